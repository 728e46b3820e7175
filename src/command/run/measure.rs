//! The run itself: plan to outcome, outcome to report, report to exit status.

use std::io::Write as _;
use std::net::TcpListener;
use std::time::Duration;

use super::device::not_there;
use super::fit::LeftOut;
use super::prepare::Prepared;
use super::show;
use crate::command::console::Copied;
use crate::command::log::{Beside, Log};
use crate::command::nightly::Nightly;
use crate::command::whereabouts::{Watching, Whereabouts};
use crate::command::{Exit, Failed, assemble, metrics, output};
use espstress_engine::{
    AirPlan, Capturing, ConsolePlan, Course, DeviceFacts, Ended, Outcome, Plan, PlannedPhase, Probing,
    RunError, WatchPlan,
};
use espstress_event::{Event, EventSink};
use espstress_report::{Continues, Live, LogStart, Report, Verdict};
use espstress_scenario::Scenario;
use espstress_targets::{Device, DeviceKind};

/// Why packets of a device that dials in are not looked at.
const NOWHERE: &str =
    "without the device's address nobody knows on which interface its packets pass: give it before --listen";

/// How long to listen after the last close, by default.
const WATCH: Duration = Duration::from_secs(6);

/// A run whose device is up.
pub(in crate::command) struct Ready<'a> {
    pub(super) prepared: Prepared<'a>,
    pub(in crate::command) device: Device,
    pub(super) console: Option<ConsolePlan>,
    pub(super) copied: Option<Copied>,
    pub(super) sink: Box<dyn EventSink>,
    /// Why the device is another than the usual one.
    pub(super) instead: Option<String>,
    /// Captures that this process has at the same time.
    pub(in crate::command) captures: u32,
    /// Optional phases that the device can't serve.
    pub(super) left_out: Vec<LeftOut>,
}

/// What a run came to.
pub(in crate::command) struct Measured {
    pub(in crate::command) ended: Ended,
    pub(in crate::command) report: Report,
    /// What was asked for and could not be written, a sentence each.
    pub(in crate::command) lost: Vec<String>,
}

impl Ready<'_> {
    /// Runs the phases and shows the report; `add` writes into it what only its caller knows.
    pub(in crate::command) fn carry_out(
        self,
        phases: Vec<PlannedPhase>,
        course: Box<dyn Course>,
        probing: Probing,
        add: impl FnOnce(&Outcome, &mut Report),
    ) -> Result<Exit, Failed> {
        let common = self.prepared.common;
        let Measured { ended, report, mut lost } = self.measure(phases, course, probing, add)?;
        if let Some(path) = &common.output {
            lost.extend(espstress_report::write_json(&report, path).err().map(|error| error.to_string()));
        }
        output::show(&report, &show(common)).map_err(Failed::environment)?;
        end(exit(ended, report.verdict), &lost)
    }

    /// Runs the phases and makes the report.
    pub(in crate::command) fn measure(
        self,
        phases: Vec<PlannedPhase>,
        course: Box<dyn Course>,
        probing: Probing,
        add: impl FnOnce(&Outcome, &mut Report),
    ) -> Result<Measured, Failed> {
        let Self { prepared, device, console, copied, mut sink, instead, captures, left_out } = self;
        let Prepared { scenario, common, gates, ports, seed, metrics, earlier } = prepared;
        if let Some(earlier) = &earlier {
            continues(earlier, &device, &phases)?;
        }
        let nowhere = device.kind == DeviceKind::DialsIn;
        let longest = phases.iter().map(|phase| phase.workload.connect_timeout()).max();
        let watch = WatchPlan {
            capturing: if common.no_capture || nowhere { Capturing::Off } else { Capturing::On },
            interface: device.interface.clone(),
            pcap: common.pcap.clone(),
            captures,
            after: scenario.watch.map_or(WATCH, |span| span.0),
            syn_deadline: longest.unwrap_or(Duration::from_secs(5)),
        };
        let mut echo = echo(&scenario, &phases, seed);
        if !left_out.is_empty() {
            let phase = |phase: &LeftOut| serde_json::json!({ "name": phase.name, "reason": phase.reason });
            echo["left_out"] = left_out.iter().map(phase).collect();
        }
        let judged = gates.is_some().then_some(&scenario);
        let planned: Vec<String> = phases.iter().map(|phase| phase.name.clone()).collect();
        if let Some(listener) = metrics {
            let main = phases.iter().map(|phase| (phase.name.clone(), phase.workload.main_phase()));
            sink = followed(sink, listener, Live::new(main), common.quiet).map_err(Failed::environment)?;
        }
        let start = || LogStart {
            earlier: earlier.clone(),
            ..assemble::log_start(&device, &echo, &phases, &watch, judged, seed)
        };
        let log = common.log.as_deref().or(common.resume.as_deref());
        let mut sink = Beside::open(sink, log, start).map_err(Failed::environment)?;
        let plan = Plan {
            scenario: scenario.name.clone(),
            target: describe(&device),
            endpoints: device.endpoints.clone(),
            device: facts(&device),
            phases,
            course,
            ports,
            source: common.source,
            seed,
            watch,
            console,
            air: common.air.clone().map(|interface| AirPlan { interface, station: common.station }),
            probing: if common.no_probes { Probing::Off } else { probing },
            // A doctor has something to say of a device that is not there as well.
            looks_first: probing == Probing::On && device.kind == DeviceKind::Address,
            #[cfg(target_os = "linux")]
            twin: device.twin(),
            control_token: device.control_token.clone(),
        };
        let mut whereabouts = Whereabouts::of(&device);
        let mut nightly = Nightly::new(&mut sink);
        let mut watching = Watching { whereabouts: whereabouts.as_mut(), inner: &mut nightly };
        let outcome = espstress_engine::run(plan, &mut watching).map_err(|error| match error {
            RunError::Aborted => Failed { exit: Exit::Interrupted, error: error.into() },
            RunError::NotThere(_) => not_there(&device),
            RunError::Runtime(_) => Failed::environment(error),
        })?;
        if let Some(reason) = nobody_dialled(&outcome) {
            return Err(Failed::environment(reason));
        }
        let log = sink.into_log();
        let mut report = assemble::report(&outcome, &device, &planned, echo, seed);
        drop(device);
        report.remarks.extend(instead);
        report.remarks.extend(whereabouts.map(|here| here.remarks(&outcome)).unwrap_or_default());
        if nowhere {
            report.capture = espstress_report::Capture::off(Some(NOWHERE.to_owned()));
        }
        add(&outcome, &mut report);
        if let Some(earlier) = &earlier {
            report = report.after(earlier);
        }
        if let Some(gates) = &gates {
            gates.judge(&mut report);
        }
        let mut lost: Vec<String> =
            log.and_then(|log| finish(log, &outcome, &mut report)).into_iter().collect();
        if let (Some(path), Some(why)) = (&common.pcap, assemble::packet_file(&outcome)) {
            lost.push(format!("the packet file {} is incomplete: {why}", path.display()));
        }
        lost.extend(copied.and_then(|copied| copied.incomplete(outcome.console.as_ref())));
        Ok(Measured { ended: outcome.ended, report, lost })
    }
}

fn facts(device: &Device) -> DeviceFacts {
    DeviceFacts {
        capacity: device.capacity,
        stack: device.stack.clone(),
        options: device.options.clone(),
        foreign: device.program.is_some(),
        name: Whereabouts::name_of(device),
    }
}

/// Ends the log with the report; why it is incomplete, if it is. The report says so as well.
fn finish(log: Log, outcome: &Outcome, report: &mut Report) -> Option<String> {
    report.remarks.extend(assemble::unnamed(outcome).into_iter().chain(log.left_out()));
    let error = log.finish(report).err()?.to_string();
    report.remarks.push(error.clone());
    Some(error)
}

/// The end of a run: what was asked for and isn't there is no lesser thing than a gate, since whoever reads only the
/// status must know.
pub(in crate::command) fn end(exit: Exit, lost: &[String]) -> Result<Exit, Failed> {
    if lost.is_empty() {
        return Ok(exit);
    }
    let exit = if exit == Exit::Interrupted { exit } else { Exit::Environment };
    Err(Failed { exit, error: lost.join("\nespstress: ").into() })
}

/// Whether this run can continue an earlier one.
fn continues(earlier: &Report, device: &Device, phases: &[PlannedPhase]) -> Result<(), Failed> {
    let settings: Vec<_> = phases.iter().map(|phase| phase.workload.settings()).collect();
    let workloads = phases.iter().zip(&settings);
    let run = Continues {
        target: &assemble::target(device),
        workloads: workloads
            .map(|(phase, settings)| (phase.name.as_str(), phase.workload.kind(), settings))
            .collect(),
    };
    earlier.refuses(&run).map_or(Ok(()), |why| {
        Err(Failed::usage(format!(
            "--resume: this run can't continue the log's: {why}; use --log with another file"
        )))
    })
}

/// A display, and the figures that it shows for those who fetch them.
fn followed(
    mut display: Box<dyn EventSink>,
    listener: TcpListener,
    live: Live,
    quiet: bool,
) -> std::io::Result<Box<dyn EventSink>> {
    let address = listener.local_addr()?;
    let mut figures = metrics::Shared::new(live);
    metrics::serve(listener, figures.clone())?;
    let text = format!("metrics are at http://{address}/metrics");
    if quiet {
        // Whoever lets the system choose the port can't know it otherwise.
        drop(writeln!(std::io::stderr(), "note: {text}"));
    }
    display.event(&Event::Notice { text });
    Ok(Box::new(move |event: &Event| {
        figures.event(event);
        display.event(event);
    }))
}

/// Why a broker had no device to test: such a run has no report.
fn nobody_dialled(outcome: &Outcome) -> Option<String> {
    let brokers = outcome.workloads.iter().filter_map(|w| w.stats.mqtt.as_deref());
    brokers.filter(|mqtt| mqtt.clients.is_empty()).find_map(|mqtt| mqtt.unavailable.clone())
}

fn describe(device: &Device) -> String {
    match device.kind {
        DeviceKind::DialsIn => "a device that dials in".to_owned(),
        DeviceKind::Address if device.only_dials => device.place(),
        _ => format!("{} at {}", device.spec, device.place()),
    }
}

/// The scenario as it was run: what was given and what came from defaults.
fn echo(scenario: &Scenario, phases: &[PlannedPhase], seed: u64) -> serde_json::Value {
    let workloads: Vec<serde_json::Value> = phases
        .iter()
        .map(|phase| {
            let mut value = phase.workload.settings();
            if let Some(object) = value.as_object_mut() {
                object.insert("name".into(), phase.name.clone().into());
                object.insert("kind".into(), phase.workload.kind().into());
                let start = match phase.start {
                    espstress_engine::StartRule::AfterPrevious => "after-previous",
                    espstress_engine::StartRule::WithPrevious => "with-previous",
                };
                object.insert("start".into(), start.into());
            }
            value
        })
        .collect();
    serde_json::json!({
        "name": scenario.name,
        "description": scenario.description,
        "target": scenario.target,
        "persona": scenario.persona,
        "link": scenario.link,
        "stack": scenario.stack,
        "program": scenario.program,
        "device_address": scenario.device_address,
        "seed": seed,
        "watch": scenario.watch,
        "local_ports": scenario.local_ports,
        "thresholds": scenario.thresholds,
        "phase": workloads,
    })
}

const fn exit(ended: Ended, verdict: Verdict) -> Exit {
    match (ended, verdict) {
        (Ended::Interrupted | Ended::Terminated, _) => Exit::Interrupted,
        (_, Verdict::Fail) => Exit::GateBroken,
        (_, Verdict::Inconclusive) => Exit::Inconclusive,
        (_, Verdict::Pass) => Exit::Done,
    }
}
