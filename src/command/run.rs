//! `run` and the workloads' own commands: layers to plan, plan to report, report to gates.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use super::log::Beside;
use super::nightly::Nightly;
use super::output::{self, Show};
use super::progress::{self, Verbosity};
use super::settings::{self, Typed};
use super::whereabouts::{Watching, Whereabouts};
use super::{Exit, Failed, assemble, metrics};
use espstress_cli::{Common, RunArgs, SeveralArgs};
use espstress_connection::PortRange;
use espstress_engine::{
    AirPlan, Capturing, ConsolePlan, Course, DeviceFacts, Ended, EveryPhase, Outcome, Plan, PlannedPhase,
    Ports, Probing, RunError, WatchPlan,
};
use espstress_event::{Event, EventSink, Protocol, WorkloadKind};
use espstress_report::thresholds::Gates;
use espstress_report::{Continues, Live, LogStart, Report, Verdict};
use espstress_scenario::{Place, Scenario};
#[cfg(target_os = "linux")]
use espstress_targets::twin::TwinError;
use espstress_targets::{
    Device, DeviceAddress, DeviceKind, DeviceSetup, DialOut, Nest, PublicAddresses, Spec, TargetError,
};
use espstress_workload::Unfit;

/// `espstress run`.
pub(super) fn scenario(args: &RunArgs, matches: &clap::ArgMatches) -> Result<Exit, Failed> {
    let mut scenario = Scenario::load(&args.scenario).map_err(Failed::usage)?;
    for expression in &args.set {
        settings::set(&mut scenario, expression).map_err(Failed::usage)?;
    }
    let typed = Typed(espstress_workload::typed_load(matches));
    let typed_targets = args.several.further.clone();
    if let Some(members) = super::fleet::members(typed_targets, &args.several)? {
        return super::fleet::go(&scenario, &typed, &args.common, members);
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
        return super::fleet::go(&scenario, &Typed(typed), common, members);
    }
    // Only a workload that waits for devices may be without one.
    scenario.target = Some(only.unwrap_or_else(|| Spec::DialsIn.to_string()));
    go(scenario, &Typed(typed), common)
}

/// Why packets of a device that dials in are not looked at.
const NOWHERE: &str =
    "without the device's address nobody knows on which interface its packets pass: give it before --listen";

/// How long to listen after the last close, by default.
const WATCH: Duration = Duration::from_secs(6);

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
    for text in &left_out {
        run.sink.event(&Event::Notice { text: text.clone() });
    }
    let only_listens = phases.iter().all(|phase| listening(phase).is_some());
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
    Ok(SetUp { run, phases, probing, left_out })
}

/// Only HTTP is spoken over TLS.
fn refuse_tls(phases: &[PlannedPhase], device: &Device) -> Result<(), Failed> {
    if device.endpoints.tls_name.is_none() {
        return Ok(());
    }
    let speaks = |phase: &&PlannedPhase| {
        let facts = phase.workload.facts(&device.endpoints);
        let kind = matches!(facts.kind, Some(WorkloadKind::Head | WorkloadKind::Rw));
        !kind || facts.asks.protocol != Protocol::Http
    };
    phases.iter().find(speaks).map_or(Ok(()), |phase| {
        Err(Failed::usage(format!(
            "{}: only `head` and `rw --protocol http` speak TLS; give the device's plain HTTP port for the others",
            phase.name
        )))
    })
}

/// Refuses what the device says that it does not have, rather than to wait for it.
fn refuse_lacking(phases: &[PlannedPhase], device: &Device) -> Result<(), Failed> {
    let needs = |phase: &PlannedPhase| {
        let facts = phase.workload.facts(&device.endpoints);
        match facts.kind {
            Some(WorkloadKind::Outage) if phase.workload.listens_on().is_none() => Some(Protocol::Framed),
            Some(WorkloadKind::Rw) => Some(facts.asks.protocol),
            _ => None,
        }
    };
    let lacking = phases.iter().find_map(|phase| {
        let protocol = needs(phase).filter(|protocol| device.lacks.contains(protocol))?;
        Some((phase, protocol))
    });
    let Some((phase, protocol)) = lacking else { return Ok(()) };
    let protocol = protocol.name();
    let instead = match phase.workload.kind() == WorkloadKind::Outage.name() {
        true => "let the device dial in: outage --listen PORT",
        false => "choose another --protocol",
    };
    Err(Failed::usage(format!(
        "{}: needs the {protocol} service, and by its telemetry the device has none; {instead}",
        phase.name
    )))
}

/// What was asked for and cannot have an effect on this device.
fn refuse_useless(phases: &[PlannedPhase], device: &Device) -> Result<(), Failed> {
    let ours = device.control_token.is_some();
    phases.iter().try_for_each(|phase| {
        let checked = phase.workload.check_device(&device.endpoints, ours);
        checked.map_err(|error| Failed::usage(format!("{}: {error}", phase.name)))
    })
}

/// How long a device may take to refuse or accept a connection to the framed service.
const KNOCK: Duration = Duration::from_secs(2);

/// Takes out the optional phases whose service the device lacks; the reasons.
fn leave_out(scenario: &Scenario, phases: &mut Vec<PlannedPhase>, device: &Device) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut specs = scenario.phases.iter();
    phases.retain(|phase| {
        let optional = specs.next().is_some_and(|spec| spec.optional);
        let needs_framed = phase.workload.kind() == WorkloadKind::Outage.name();
        let lacks = optional && needs_framed && !has_framed(device);
        if lacks {
            reasons.push(format!(
                "phase {} is left out: it needs the framed service, which this device does not have",
                phase.name
            ));
        }
        let settings = phase.workload.settings();
        let unasked =
            optional && settings.get("device_keepalive").is_some() && device.control_token.is_none();
        if unasked {
            reasons.push(format!(
                "phase {} is left out: only our device program can be asked for another keep-alive",
                phase.name
            ));
        }
        !lacks && !unasked
    });
    reasons
}

/// Whether the device has the framed service, as far as can be known without speaking to it: a port that refuses has
/// none, and one that says nothing may come back.
fn has_framed(device: &Device) -> bool {
    let Some(framed) = device.endpoints.framed else { return false };
    if device.kind != DeviceKind::Address {
        return true;
    }
    let knocked = std::net::TcpStream::connect_timeout(&framed, KNOCK);
    !knocked.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// A program of the user's own has no control service that could take the device off its network.
fn refuse_by_device(scenario: &Scenario, phases: &[PlannedPhase]) -> Result<(), Failed> {
    let by_device = |phase: &PlannedPhase| {
        phase.workload.settings().get("by").and_then(serde_json::Value::as_str) == Some("device")
    };
    let tap = scenario
        .target
        .as_deref()
        .is_some_and(|target| matches!(target.parse(), Ok(Spec::Tap(_) | Spec::Emulator(_))));
    if tap && phases.iter().any(by_device) {
        return Err(Failed::usage(
            "--by device isn't for tap:CMD and emu:IMAGE: leaving the network is a command of the device program; --by \
             link cuts the link to the process",
        ));
    }
    if scenario.program.is_some() && phases.iter().any(by_device) {
        return Err(Failed::usage(
            "--program can't be used with --by device: leaving the network is a command of the device program; \
             --by link cuts the twin's link",
        ));
    }
    Ok(())
}

/// A run of which all is known but the device.
pub(super) struct Prepared<'a> {
    scenario: Scenario,
    common: &'a Common,
    gates: Option<Gates>,
    ports: Ports,
    seed: u64,
    /// Opened before this process may enter a network of its own.
    metrics: Option<TcpListener>,
    /// The sessions of the run before this one.
    earlier: Option<Box<Report>>,
}

/// A run whose device is up.
pub(super) struct Ready<'a> {
    prepared: Prepared<'a>,
    pub(super) device: Device,
    console: Option<ConsolePlan>,
    sink: Box<dyn EventSink>,
    /// Why the device is another than the usual one.
    instead: Option<String>,
    /// Captures that this process has at the same time.
    pub(super) captures: u32,
}

/// What a run came to.
pub(super) struct Measured {
    pub(super) ended: Ended,
    pub(super) report: Report,
    /// What was asked for and could not be written, a sentence each.
    pub(super) lost: Vec<String>,
}

impl<'a> Prepared<'a> {
    /// `names` checks the scenario's phases and names them.
    pub(super) fn new(
        mut scenario: Scenario,
        common: &'a Common,
        names: impl FnOnce(&Scenario) -> Result<Vec<String>, Failed>,
    ) -> Result<Self, Failed> {
        overlay(&mut scenario, common)?;
        let names = names(&scenario)?;
        let gates = gates(&scenario, &names, common)?;
        let files = [
            (&common.output, "-o"),
            (&common.pcap, "--pcap"),
            (&common.log, "--log"),
            (&common.resume, "--resume"),
        ];
        for (path, option) in files {
            path.as_deref().map_or(Ok(()), |path| writable(path, option))?;
        }
        let earlier = common.resume.as_deref().map(earlier).transpose()?.flatten();
        let metrics = common.metrics_listen.as_deref().map(metrics::listen);
        let metrics = metrics.transpose().map_err(Failed::usage)?;
        let ports = match &scenario.local_ports {
            Some(text) => Ports::Restricted(text.parse().map_err(Failed::usage)?),
            None => Ports::Usual(PortRange::of_this_host()),
        };
        let seed = scenario.seed.unwrap_or_else(random_seed);
        Ok(Self { scenario, common, gates, ports, seed, metrics, earlier })
    }

    /// A device of which nothing is known but that it dials in is the target when it has.
    fn await_device(mut self, phases: &mut [PlannedPhase]) -> Result<Self, Failed> {
        if self.scenario.target.as_deref() != Some(&Spec::DialsIn.to_string()) {
            return Ok(self);
        }
        let quiet = self.common.quiet;
        let mut say = |text: String| {
            if !quiet {
                drop(writeln!(std::io::stderr(), "{text}"));
            }
        };
        let source = self.common.source;
        let found = phases.iter_mut().find_map(|phase| phase.workload.await_device(source, &mut say));
        if let Some(address) = found.transpose().map_err(Failed::environment)? {
            self.scenario.target = Some(address.to_string());
        }
        Ok(self)
    }

    /// Finds or starts the device; one that is ours to start dials as it is told.
    pub(super) fn bring_up(self, dial: Option<DialOut>) -> Result<Ready<'a>, Failed> {
        let sink = display(self.common);
        self.bring_up_in(dial, sink, &mut Nest::default())
    }

    fn bring_up_in(
        self,
        dial: Option<DialOut>,
        mut sink: Box<dyn EventSink>,
        nest: &mut Nest,
    ) -> Result<Ready<'a>, Failed> {
        let console = super::console::open(&self.common.console)?;
        let (device, instead_of_twin) = bring_up(&self.scenario, self.common, self.seed, dial, nest)?;
        let console = console.of(&device, &self.common.device)?;
        super::descriptors::raise_limit();
        source_is_here(self.common.source)?;
        let instead = instead_of_twin.map(|reason| format!("the target is sim: {reason}"));
        if let Some(text) = &instead {
            // Another target than the usual one is said in any case: what follows is about another stack.
            if self.common.quiet {
                drop(writeln!(std::io::stderr(), "note: {text}"));
            }
            sink.event(&Event::Notice { text: text.clone() });
        }
        Ok(Ready { prepared: self, device, console, sink, instead, captures: 1 })
    }
}

impl Ready<'_> {
    /// Runs the phases and shows the report; `add` writes into it what only its caller knows.
    pub(super) fn carry_out(
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
    pub(super) fn measure(
        self,
        phases: Vec<PlannedPhase>,
        course: Box<dyn Course>,
        probing: Probing,
        add: impl FnOnce(&Outcome, &mut Report),
    ) -> Result<Measured, Failed> {
        let Self { prepared, device, console, mut sink, instead, captures } = self;
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
        let echo = echo(&scenario, &phases, seed);
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
            device: DeviceFacts {
                capacity: device.capacity,
                stack: device.stack.clone(),
                options: device.options.clone(),
                foreign: device.program.is_some(),
            },
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
        let failed = outcome.workloads.iter().any(|w| w.stats.succeeded < w.stats.attempts);
        report.remarks.extend(whereabouts.map(|here| here.remarks(failed)).unwrap_or_default());
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
        let mut lost = Vec::new();
        if let Some(log) = log {
            report.remarks.extend(assemble::unnamed(&outcome).into_iter().chain(log.left_out()));
            if let Err(error) = log.finish(&report) {
                report.remarks.push(error.to_string());
                lost.push(error.to_string());
            }
        }
        if let (Some(path), Some(why)) = (&common.pcap, assemble::packet_file(&outcome)) {
            lost.push(format!("the packet file {} is incomplete: {why}", path.display()));
        }
        Ok(Measured { ended: outcome.ended, report, lost })
    }
}

/// The end of a run: what was asked for and isn't there is no lesser thing than a gate, since whoever reads only the
/// status must know.
pub(super) fn end(exit: Exit, lost: &[String]) -> Result<Exit, Failed> {
    if lost.is_empty() {
        return Ok(exit);
    }
    let exit = if exit == Exit::Interrupted { exit } else { Exit::Environment };
    Err(Failed { exit, error: lost.join("\nespstress: ").into() })
}

/// The report of the sessions that a log has; `None` where it is still to be begun.
fn earlier(log: &Path) -> Result<Option<Box<Report>>, Failed> {
    let begun = std::fs::metadata(log).is_ok_and(|file| file.len() > 0);
    if !begun {
        return Ok(None);
    }
    let rebuilt = espstress_report::read_log(log)
        .map_err(|error| Failed::usage(format!("--resume {}: {error}", log.display())))?;
    Ok(Some(Box::new(rebuilt.report)))
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

/// The command line over the file.
fn overlay(scenario: &mut Scenario, common: &Common) -> Result<(), Failed> {
    // What was typed stands in no file.
    let take = |slot: &mut Option<String>, place: &mut Option<Place>, typed: &Option<String>| {
        if typed.is_some() {
            *place = None;
            slot.clone_from(typed);
        }
    };
    take(&mut scenario.persona, &mut scenario.persona_place, &common.device.persona);
    take(&mut scenario.link, &mut scenario.link_place, &common.device.link);
    take(&mut scenario.stack, &mut None, &common.device.stack);
    take(&mut scenario.device_address, &mut None, &common.device.device_address);
    take(&mut scenario.local_ports, &mut None, &common.local_ports);
    scenario.program = common.device.program_words().map_err(Failed::usage)?.or(scenario.program.take());
    scenario.seed = common.seed.or(scenario.seed);
    scenario.watch = common.watch.or(scenario.watch);
    if !common.thresholds.is_empty() {
        scenario.thresholds.clone_from(&common.thresholds);
    }
    Ok(())
}

fn gates(scenario: &Scenario, names: &[String], common: &Common) -> Result<Option<Gates>, Failed> {
    if common.no_gate {
        return Ok(None);
    }
    let gates = Gates::from_expressions(&scenario.thresholds).map_err(Failed::usage)?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    gates.check_names(&names).map_err(Failed::usage)?;
    Ok(Some(gates))
}

fn writable(path: &Path, option: &'static str) -> Result<(), Failed> {
    espstress_report::check_writable(path, option).map_err(Failed::usage)
}

fn bring_up(
    scenario: &Scenario,
    common: &Common,
    seed: u64,
    dial: Option<DialOut>,
    nest: &mut Nest,
) -> Result<(Device, Option<String>), Failed> {
    let typed: Option<Spec> = scenario.target.as_deref().map(str::parse).transpose().map_err(|error| {
        let text = scenario.target.as_deref();
        let shown = text.map(without_login);
        Failed::usage(placed("target", shown.as_deref(), scenario.target_place.as_ref(), &error))
    })?;
    let usual = typed.is_none();
    let spec = typed.unwrap_or(Spec::Sim);
    let setup = DeviceSetup {
        spec,
        persona: scenario.persona.clone(),
        link: scenario.link.clone(),
        heap: common.device.heap.map(|size| size.0),
        stack: scenario.stack.clone(),
        program: scenario.program.clone(),
        at: device_address(scenario.device_address.as_deref())?,
        announce: false,
        show_program: common.verbose,
        prints_console: common.device.console_style.is_some(),
        dial,
        seed,
        public: if common.allow_public { PublicAddresses::Allowed } else { PublicAddresses::Refused },
    };
    let up = if usual {
        Device::bring_up_usual(&setup)
    } else {
        Device::bring_up_in(&setup, nest).map(|device| (device, None))
    };
    up.map_err(|error| match error.is_usage() {
        true => Failed::usage(misnamed(scenario, &error)),
        false => Failed::environment(error),
    })
}

/// Where a process behind a TAP device is said to be.
pub(super) fn device_address(text: Option<&str>) -> Result<DeviceAddress, Failed> {
    let Some(text) = text else { return Ok(DeviceAddress::default()) };
    text.parse().map_err(|why: &str| Failed::usage(format!("--device-address {text}: {why}")))
}

/// What is wrong with the device as it was asked for: what was asked, and where.
fn misnamed(scenario: &Scenario, error: &TargetError) -> String {
    match error {
        TargetError::Persona(why) => {
            placed("persona", scenario.persona.as_deref(), scenario.persona_place.as_ref(), why)
        }
        #[cfg(target_os = "linux")]
        TargetError::Twin(TwinError::Persona(why)) => {
            placed("persona", scenario.persona.as_deref(), scenario.persona_place.as_ref(), why)
        }
        TargetError::NotForThis { option, kinds, target } => {
            let place = match *option {
                "--persona" => &scenario.persona_place,
                "--link" => &scenario.link_place,
                _ => &None,
            };
            let why = format!("works only with {kinds}, not with {target}");
            let key = option.trim_start_matches('-');
            place.as_ref().map_or_else(|| error.to_string(), |place| format!("{place}: `{key}` {why}"))
        }
        TargetError::Link(why) => placed("link", scenario.link.as_deref(), scenario.link_place.as_ref(), why),
        other => other.to_string(),
    }
}

/// A target as it may be shown: a user name and a password in it are nobody's business.
fn without_login(target: &str) -> String {
    let (scheme, rest) = target.split_once("://").map_or(("", target), |(scheme, rest)| (scheme, rest));
    match rest.rsplit_once('@') {
        Some((_, rest)) if scheme.is_empty() => format!("...@{rest}"),
        Some((_, rest)) => format!("{scheme}://...@{rest}"),
        None => target.to_owned(),
    }
}

/// An error with what was typed and where it stands: the file's line, or the flag.
fn placed(key: &str, text: Option<&str>, place: Option<&Place>, why: &dyn std::fmt::Display) -> String {
    let text = text.unwrap_or_default();
    match place {
        Some(place) => format!("{place}: {key} `{text}`: {why}"),
        None => format!("{key} `{text}`: {why}"),
    }
}

/// Whether connections can come from the address that was asked for.
fn source_is_here(source: Option<std::net::IpAddr>) -> Result<(), Failed> {
    let Some(source) = source else { return Ok(()) };
    let Err(error) = std::net::UdpSocket::bind((source, 0)) else { return Ok(()) };
    let mut here: Vec<String> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .map(|interface| interface.ip().to_string())
        .collect();
    here.dedup();
    let here = if here.is_empty() { "none is up".to_owned() } else { here.join(", ") };
    Err(Failed::usage(format!(
        "--source {source}: not an address of this machine ({error}); its addresses: {here}"
    )))
}

/// Why no connection to the device came about, and what may help: what the system says by the next one.
fn not_there(device: &Device) -> Failed {
    let address = device.endpoints.http;
    let limit = std::time::Duration::from_secs(5);
    match std::net::TcpStream::connect_timeout(&address, limit) {
        Ok(_) => Failed::environment(format!(
            "{address} takes connections only now: the first ones were refused, or not answered for 5 s; try again"
        )),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Failed::environment(format!(
            "{address} refuses connections: nothing listens on that port (for another port: HOST:PORT){}",
            ipv4_only(address)
        )),
        Err(error) => Failed::environment(format!(
            "cannot reach {address}: {error}{} (is the device up, on this network, and at that address?)",
            neighbour(&error, address)
        )),
    }
}

/// What else a refusal may mean at an IPv6 address.
const fn ipv4_only(address: std::net::SocketAddr) -> &'static str {
    if address.is_ipv6() {
        "; or the device has IPv6 and its program listens on IPv4 only: try its IPv4 address"
    } else {
        ""
    }
}

/// What the system says by "no route to host" of an address on its own network: nobody there answered for it.
fn neighbour(error: &std::io::Error, address: std::net::SocketAddr) -> &'static str {
    match (error.kind(), address) {
        (std::io::ErrorKind::HostUnreachable, std::net::SocketAddr::V4(_)) => {
            ": no answer to ARP, so that nobody on this network has this address now; after a restart it may be another, \
             see `espstress discover`"
        }
        (std::io::ErrorKind::HostUnreachable, std::net::SocketAddr::V6(_)) => {
            ": no answer to neighbour discovery, so that nobody on this network has this address now; see `espstress discover`"
        }
        _ => "",
    }
}

/// What will not go as it may have been meant.
fn warnings(phases: &[PlannedPhase], ports: PortRange, device: &Device) -> Vec<String> {
    let mut warnings = Vec::new();
    let planned: u64 = phases.iter().filter_map(|phase| phase.workload.connections_planned()).sum();
    if planned > ports.len() as u64 {
        warnings.push(format!(
            "this run may open {planned} connections, more than there are source ports ({}): where the host closes \
             first, a port can be used again after 60 s, so that it will have to wait",
            ports.len()
        ));
    }
    if let Some(capacity) = device.capacity {
        for phase in phases.iter().filter(|phase| phase.workload.at_once() > capacity) {
            warnings.push(format!(
                "{} wants {} connections at once; the device states a capacity of {capacity}",
                phase.name,
                phase.workload.at_once()
            ));
        }
    }
    warnings
}

fn describe(device: &Device) -> String {
    match device.kind {
        DeviceKind::DialsIn => "a device that dials in".to_owned(),
        _ => format!("{} at {}", device.spec, device.endpoints.http),
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

const fn exit(ended: Ended, verdict: Verdict) -> Exit {
    match (ended, verdict) {
        (Ended::Interrupted | Ended::Terminated, _) => Exit::Interrupted,
        (_, Verdict::Fail) => Exit::GateBroken,
        (_, Verdict::Inconclusive) => Exit::Inconclusive,
        (_, Verdict::Pass) => Exit::Done,
    }
}
