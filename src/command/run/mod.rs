//! `run` and the workloads' own commands: layers to plan, plan to report, report to gates.

mod device;
mod fit;
mod measure;
mod prepare;

pub(super) use device::device_address;
pub(super) use measure::{Measured, Ready, end};
pub(super) use prepare::Prepared;

use super::output::Show;
use super::progress::{self, Verbosity};
use super::settings::{self, Typed};
use super::{Exit, Failed};
use espstress_cli::{Common, RunArgs, SeveralArgs};
use espstress_engine::{EveryPhase, PlannedPhase, Probing};
use espstress_event::{Event, EventSink, Protocol, WorkloadKind};
use espstress_scenario::Scenario;
use espstress_targets::{DeviceKind, DialOut, Nest, Spec};
use espstress_workload::Unfit;
use fit::{
    LeftOut, leave_out, refuse_by_device, refuse_lacking, refuse_resuming, refuse_tls, refuse_useless,
    warnings,
};

/// `espstress run`.
pub(super) fn scenario(args: &RunArgs, matches: &clap::ArgMatches) -> Result<Exit, Failed> {
    let mut scenario = Scenario::load(&args.scenario).map_err(Failed::usage)?;
    for expression in &args.set {
        settings::set(&mut scenario, expression).map_err(Failed::usage)?;
    }
    let typed = Typed(espstress_workload::typed_load(matches));
    let typed_targets = args.several.further.clone();
    if let Some(members) = super::fleet::members(typed_targets, &args.several)? {
        return super::fleet::go(&scenario, &typed, &args.common, &args.several, members);
    }
    if let Some(target) = args.several.further.first() {
        scenario.target_place = None;
        scenario.target = Some(target.clone());
    }
    go(scenario, &typed, &args.common)
}

/// `espstress head TARGET` and its like.
pub(super) fn one(
    kind: &'static str,
    target: Option<String>,
    several: &SeveralArgs,
    common: &Common,
    matches: &clap::ArgMatches,
) -> Result<Exit, Failed> {
    let mut scenario = Scenario::of_one(kind);
    let typed = espstress_workload::kind(kind).map(|kind| (kind.typed)(matches)).unwrap_or_default();
    let typed_targets: Vec<String> = target.into_iter().chain(several.further.clone()).collect();
    let only = typed_targets.first().cloned();
    if let Some(members) = super::fleet::members(typed_targets, several)? {
        return super::fleet::go(&scenario, &Typed(typed), common, several, members);
    }
    // Only a workload that waits for devices may be without one.
    scenario.target = Some(only.unwrap_or_else(|| Spec::DialsIn.to_string()));
    go(scenario, &Typed(typed), common)
}

fn go(scenario: Scenario, typed: &Typed, common: &Common) -> Result<Exit, Failed> {
    let sink = display(common);
    let SetUp { run, phases, probing, left_out } =
        set_up(scenario, typed, common, sink, &mut Nest::default())?;
    run.carry_out(phases, Box::new(EveryPhase), probing, |_, report| report.remarks.extend(left_out))
}

/// What shows a run while it goes on.
fn display(common: &Common) -> Box<dyn EventSink> {
    progress::display(match (common.quiet, common.live) {
        (true, _) => Verbosity::Quiet,
        (false, true) => Verbosity::Live,
        (false, false) => Verbosity::Usual,
    })
}

/// A run with everything that it needs.
pub(super) struct SetUp<'a> {
    pub(super) run: Ready<'a>,
    pub(super) phases: Vec<PlannedPhase>,
    pub(super) probing: Probing,
    /// Why phases of the scenario are not among them.
    pub(super) left_out: Vec<String>,
}

/// Everything that can be wrong is found before the first packet.
pub(super) fn set_up<'a>(
    scenario: Scenario,
    typed: &Typed,
    common: &'a Common,
    sink: Box<dyn EventSink>,
    nest: &mut Nest,
) -> Result<SetUp<'a>, Failed> {
    let prepared = Prepared::new(scenario, common, |scenario| {
        settings::workloads(scenario, typed)?;
        Ok(scenario.phases.iter().map(|phase| phase.name.clone()).collect())
    })?;
    let mut phases = settings::workloads(&prepared.scenario, typed)?;
    refuse_by_device(&prepared.scenario, &phases)?;
    if common.resume.is_some() {
        refuse_resuming(&phases)?;
    }
    for phase in &mut phases {
        phase.workload.look_up().map_err(|unfit| match unfit {
            Unfit::Usage(why) => Failed::usage(why),
            Unfit::Environment(why) => Failed::environment(why),
        })?;
    }
    let prepared = prepared.await_device(&mut phases)?;
    let listening = |phase: &PlannedPhase| phase.workload.listens_on();
    let dialled = phases.iter().find_map(listening).filter(|port| *port > 0);
    let is_broker = |phase: &PlannedPhase| phase.workload.kind() == WorkloadKind::Mqtt.name();
    let dial = if phases.iter().any(is_broker) { DialOut::broker } else { DialOut::host };
    let mut run = prepared.bring_up_in(dialled.map(dial), sink, nest)?;
    refuse_tls(&phases, &run.device)?;
    let left_out = leave_out(&run.prepared.scenario, &mut phases, &run.device);
    refuse_lacking(&phases, &run.device)?;
    refuse_useless(&phases, &run.device)?;
    let why_left_out: Vec<String> = left_out.iter().map(LeftOut::words).collect();
    for text in &why_left_out {
        run.sink.event(&Event::Notice { text: text.clone() });
    }
    run.left_out = left_out;
    let only_listens = phases.iter().all(|phase| listening(phase).is_some());
    run.device.only_dials = only_listens;
    if !only_listens && run.device.kind == DeviceKind::DialsIn {
        return Err(Failed::usage(
            "the target dials-in works only with `outage --listen`: other workloads need the device's address",
        ));
    }
    let files = super::descriptors::too_few(&phases, &run.device);
    if let (Some(why), DeviceKind::Sim) = (&files, run.device.kind) {
        // It would look like a device that takes no connections.
        return Err(Failed::environment(format!("{why}; the sim needs them as well")));
    }
    // Other devices go on; what finds no descriptor there is counted as this machine's own failure.
    let files = files.map(|why| format!("{why}; attempts that find no descriptor fail as host_out_of_files"));
    for text in warnings(&phases, run.prepared.ports.range(), &run.device).into_iter().chain(files) {
        run.sink.event(&Event::Notice { text });
    }
    // Nobody said that the device has a TCP service.
    let only_datagrams =
        phases.iter().all(|phase| phase.workload.facts(&run.device.endpoints).asks.protocol == Protocol::Udp);
    let probing = match run.device.kind {
        DeviceKind::DialsIn => Probing::Off,
        DeviceKind::Address if only_listens => Probing::WithoutConnect,
        _ if only_datagrams => Probing::WithoutConnect,
        _ => Probing::On,
    };
    Ok(SetUp { run, phases, probing, left_out: why_left_out })
}

pub(super) fn show(common: &Common) -> Show {
    if common.json {
        Show::Json
    } else if common.quiet {
        Show::Verdict
    } else if common.verbose {
        Show::Evidence
    } else {
        Show::Page
    }
}

/// A new seed for each run; it is printed and stands in the report.
pub(super) fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish() >> 16
}
