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
    if args.common.resume.is_some() {
        return Err(Failed::usage(
            "--resume: an examination can't be resumed: each step builds on what the ones before found; use --log, and \
             start it again",
        ));
    }
    let mut scenario = Scenario::of_one("doctor");
    scenario.phases.clear();
    scenario.target = Some(args.target.clone());
    let names = |_: &Scenario| Ok(names::ALL.map(str::to_owned).to_vec());
    let ready = Prepared::new(scenario, &args.common, names)?.bring_up(None)?;
    if ready.device.endpoints.tls_name.is_some() {
        return Err(Failed::usage(
            "doctor doesn't speak TLS: give the device's plain HTTP port, or test HTTPS with `espstress head https://...`",
        ));
    }
    let (doctor, phases) = espstress_doctor::plan(&ready.device.endpoints, length).map_err(Failed::usage)?;
    let course = Box::new(doctor.clone());
    ready.carry_out(phases, course, Probing::Sparing, |outcome, report| {
        report.examined(doctor.examination(outcome));
        if outcome.ended != Ended::Completed {
            let reason = "the examination was ended before its last step";
            report.findings_incomplete = Some(reason.to_owned());
        }
    })
}
