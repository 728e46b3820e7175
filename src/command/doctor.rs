//! `doctor`: the examination's plan, run as any scenario is, and its checks in the report.

use super::run::Prepared;
use super::{Exit, Failed};
use espstress_cli::DoctorArgs;
use espstress_clock::Span;
use espstress_doctor::names;
use espstress_engine::{Ended, Probing};
use espstress_scenario::Scenario;

/// `espstress doctor`.
pub(super) fn doctor(args: &DoctorArgs) -> Result<Exit, Failed> {
    let length = args.duration.0;
    if length < espstress_doctor::SHORTEST {
        let shortest = Span(espstress_doctor::SHORTEST);
        return Err(Failed::usage(format!("--duration: the doctor needs {shortest} or longer")));
    }
    let mut scenario = Scenario::of_one("doctor");
    scenario.phases.clear();
    scenario.target = Some(args.target.clone());
    let names = |_: &Scenario| Ok(names::ALL.map(str::to_owned).to_vec());
    let ready = Prepared::new(scenario, &args.common, names)?.bring_up(None)?;
    let (doctor, phases) = espstress_doctor::plan(&ready.device.endpoints, length).map_err(Failed::usage)?;
    let course = Box::new(doctor.clone());
    ready.carry_out(phases, course, Probing::Sparing, |outcome, report| {
        report.examination = Some(doctor.examination(outcome));
        if outcome.ended != Ended::Completed {
            let reason = "the examination was ended before its last step";
            report.findings_incomplete = Some(reason.to_owned());
        }
    })
}
