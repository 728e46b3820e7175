//! From what a run came to, to its report.

use std::time::UNIX_EPOCH;

use espstress_engine::{Capturing, Ended, LinkSpell, Outcome, Packets, PlannedPhase, WatchPlan};
use espstress_event::WorkloadKind;
use espstress_observe::Dial;
use espstress_report::{
    Announced, Capture, CaptureAsked, CaptureStatus, LinkOutage, LinkOutages, LogStart, Program, Report,
    Service, Target, TargetKind, Transport, Workload,
};
use espstress_scenario::Scenario;
use espstress_targets::{Device, DeviceKind};

/// The report of a run, all but its gates.
pub(super) fn report(
    outcome: &Outcome,
    device: &Device,
    planned: &[String],
    scenario: serde_json::Value,
    seed: u64,
) -> Report {
    let mut report = measured(outcome, target(device), planned, scenario, seed);
    #[cfg(target_os = "linux")]
    program(&mut report, device);
    conclude(&mut report, outcome);
    usage(&mut report);
    report
}

/// What was measured on a target.
pub(super) fn measured(
    outcome: &Outcome,
    target: Target,
    planned: &[String],
    scenario: serde_json::Value,
    seed: u64,
) -> Report {
    let mut report = Report::new(target, scenario, seed, start_unix_ns(outcome));
    report.duration_s = outcome.duration_ns as f64 / 1e9;
    report.interrupted = outcome.ended != Ended::Completed;
    report.workloads = outcome
        .workloads
        .iter()
        .map(|w| Workload::from_stats(w.name.clone(), w.kind, w.settings.clone(), &w.stats))
        .collect();
    report.findings_incomplete = cut_short(outcome, planned);
    report.findings.clone_from(&outcome.findings);
    report.account.clone_from(&outcome.account.rows);
    packets(&mut report, &outcome.packets);
    air(&mut report, outcome);
    if let Some(probes) = &outcome.probes {
        super::telling::fill(&mut report, probes);
    }
    report.console.clone_from(&outcome.console);
    report.link_outages = outcome.link_outages.as_deref().map(link_outages);
    report
}

/// The timeline and the remarks, which are made of everything else.
pub(super) fn conclude(report: &mut Report, outcome: &Outcome) {
    report.note_timeline(super::telling::timeline(outcome, start_unix_ns(outcome)));
    report.note_remarks();
}

fn start_unix_ns(outcome: &Outcome) -> i64 {
    let start = outcome.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(start.as_nanos()).unwrap_or(i64::MAX)
}

/// Why findings may be missing from a run that was ended early: what only its end would have shown. A storm shows what it
/// showed until then; connections that fell silent have to be watched to the end, and a workload that did not begin shows
/// nothing. Which of a doctor's steps are left out is the doctor's to say.
fn cut_short(outcome: &Outcome, planned: &[String]) -> Option<String> {
    if outcome.ended == Ended::Completed {
        return None;
    }
    if let Some(w) = outcome.workloads.iter().find(|w| w.facts.kind == Some(WorkloadKind::HalfOpen)) {
        let what = "had watched its silent connections to the end";
        return Some(format!("the run was ended before {} {what}", w.name));
    }
    let left = planned.iter().find(|name| outcome.workloads.iter().all(|w| w.name != **name))?;
    Some(format!("the run was ended before {left} began"))
}

/// Outages of a modelled link, as it tells them.
fn link_outages(spells: &[LinkSpell]) -> LinkOutages {
    let row = |spell: &LinkSpell| LinkOutage {
        cause: spell.cause,
        start_s: spell.start_ns as f64 / 1e9,
        length_s: spell.end_ns.map(|end| end.saturating_sub(spell.start_ns) as f64 / 1e9),
    };
    let first = spells.len().saturating_sub(MOST_LINK_OUTAGES);
    LinkOutages { count: spells.len() as u64, rows: spells.iter().skip(first).map(row).collect() }
}

/// Anomalies that the log does not name, in a sentence.
pub(super) fn unnamed(outcome: &Outcome) -> Option<String> {
    let Packets::Seen(seen) = &outcome.packets else { return None };
    (seen.untold > 0)
        .then(|| format!("{} anomalies of the device are counted here and not named in the log", seen.untold))
}

/// What is wrong with the packet file, if anything.
pub(super) fn packet_file(outcome: &Outcome) -> Option<&str> {
    let Packets::Seen(seen) = &outcome.packets else { return None };
    seen.pcap_failure.as_deref()
}

/// Rows of them in a report.
const MOST_LINK_OUTAGES: usize = 1_999;

fn packets(report: &mut Report, packets: &Packets) {
    report.capture = match packets {
        Packets::Off => Capture::off(None),
        Packets::Denied(reason) => Capture::denied(reason.clone()),
        Packets::Seen(seen) => {
            let mut capture = Capture::seen(seen.packets, seen.dropped);
            if let Some(failure) = &seen.failure {
                capture.status = CaptureStatus::Dropped;
                capture.reason = Some(failure.clone());
            }
            if let Some(why) = &seen.pcap_failure {
                capture.file_lacks(why);
            }
            capture
        }
    };
    if let Packets::Seen(seen) = packets {
        report.anomalies.clone_from(&seen.anomalies);
        report.not_judged = seen.summary.not_judged.iter().map(Into::into).collect();
        if seen.of_others > 0 {
            report.remarks.push(format!(
                "another program on this machine also uses the device; left out is what its connections met: {}",
                match seen.of_others {
                    1 => "1 anomaly".to_owned(),
                    n => format!("{} anomalies", n),
                }
            ));
        }
        report.remarks.extend(refused_dials(&seen.own_dials.rows));
    }
}

/// Other ports of this machine at which the device knocked and nothing listened, in one remark however many there are.
fn refused_dials(rows: &[Dial]) -> Option<String> {
    const NAMED: usize = 3;
    let refused = || rows.iter().filter(|dial| dial.refused > 0);
    let sum: u64 = refused().map(|dial| dial.refused).sum();
    let opened: u64 = refused().map(|dial| dial.opened).sum();
    let named: Vec<String> = refused().take(NAMED).map(|dial| dial.to.to_string()).collect();
    let more = match refused().count().saturating_sub(NAMED) {
        0 => String::new(),
        1 => " and 1 other port".to_owned(),
        n => format!(" and {n} other ports"),
    };
    (sum > 0).then(|| {
        format!(
            "the device dialed {}{more} on this machine {}, and {} refused: nothing listens there",
            named.join(", "),
            if opened == 1 { "once".to_owned() } else { format!("{} times", opened) },
            if sum == 1 { "one connection was".to_owned() } else { format!("{} connections were", sum) },
        )
    })
}

/// What was heard on the air, or why nothing was.
fn air(report: &mut Report, outcome: &Outcome) {
    match &outcome.air {
        Some(Ok(air)) => report.air = Some(air.clone()),
        Some(Err(reason)) => report.remarks.push(format!("the air was not heard: {reason}")),
        None => {}
    }
}

/// What a log says of a run at its start; the gates are `judged`'s, where there are any.
pub(super) fn log_start(
    device: &Device,
    echo: &serde_json::Value,
    phases: &[PlannedPhase],
    watch: &WatchPlan,
    judged: Option<&Scenario>,
    seed: u64,
) -> LogStart {
    let announced = |phase: &PlannedPhase| Announced {
        name: phase.name.clone(),
        kind: phase.workload.kind().to_owned(),
        params: phase.workload.settings(),
        facts: Some(phase.workload.facts(&device.endpoints)),
        main_phase: phase.workload.main_phase(),
    };
    LogStart {
        capture: match watch.capturing {
            Capturing::On => CaptureAsked::On,
            Capturing::Off => CaptureAsked::Off,
        },
        thresholds: judged.map(|scenario| scenario.thresholds.clone()),
        workloads: phases.iter().map(announced).collect(),
        ..LogStart::new(target(device), echo.clone(), seed)
    }
}

/// What a program of the user's own has said and used.
#[cfg(target_os = "linux")]
fn program(report: &mut Report, device: &Device) {
    let (Some(program), Some(twin)) = (&mut report.target.program, device.twin()) else { return };
    match twin.program() {
        Ok(seen) => {
            program.end = seen.end;
            program.last_lines = seen.last_lines;
            program.unsupported = seen.unsupported;
        }
        Err(error) => report.remarks.push(format!("what the program said is not known: {error}")),
    }
}

/// The device as the report has it.
pub(super) fn target(device: &Device) -> Target {
    let kind = match device.kind {
        DeviceKind::Address | DeviceKind::DialsIn => TargetKind::Device,
        DeviceKind::Twin => TargetKind::Twin,
        DeviceKind::Sim => TargetKind::Sim,
        DeviceKind::Tap => TargetKind::Tap,
    };
    let endpoints = &device.endpoints;
    let tcp = [
        ("http", Some(endpoints.http)),
        ("framed", endpoints.framed),
        ("raw", endpoints.raw),
        ("line", endpoints.line),
    ];
    let service = |name: &str, transport, port| Service { name: name.to_owned(), transport, port };
    let mut services: Vec<Service> = tcp
        .into_iter()
        .filter_map(|(name, address)| Some(service(name, Transport::Tcp, address?.port())))
        .collect();
    services.extend(endpoints.telemetry.map(|address| service("telemetry", Transport::Udp, address.port())));
    if device.kind == DeviceKind::DialsIn || (device.kind == DeviceKind::Address && device.only_dials) {
        services.clear();
    }
    let mut target = Target::new(device.place(), kind);
    target.stack.clone_from(&device.stack);
    target.options.clone_from(&device.options);
    target.options_without_effect.clone_from(&device.options_without_effect);
    target.persona.clone_from(&device.persona);
    target.program = device.program.clone().map(Program::new);
    target.link = device.link.as_deref().map(link_name);
    target.capacity = device.capacity.map(u64::from);
    target.services = services;
    target
}

/// A modelled link's name where it has one, else its settings.
#[cfg(target_os = "linux")]
fn link_name(settings: &str) -> String {
    use espstress_targets::twin::link::{LinkSpec, NAMED};
    let Ok(link) = settings.parse::<LinkSpec>() else { return settings.to_owned() };
    let named = NAMED.iter().find(|named| named.name.parse::<LinkSpec>().is_ok_and(|other| other == link));
    named.map_or_else(|| settings.to_owned(), |named| named.name.to_owned())
}

#[cfg(not(target_os = "linux"))]
fn link_name(settings: &str) -> String {
    settings.to_owned()
}

/// What the program itself used, where the system tells.
#[cfg(target_os = "linux")]
fn usage(report: &mut Report) {
    let Ok(text) = std::fs::read_to_string("/proc/self/stat") else { return };
    // Fields after the command's closing bracket; utime and stime are the 14th and 15th of all (proc_pid_stat(5)).
    let fields: Vec<&str> = text.rsplit_once(") ").map_or(vec![], |(_, rest)| rest.split(' ').collect());
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let seconds = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).map(|t| t / ticks);
    report.host.cpu_user_s = seconds(11);
    report.host.cpu_system_s = seconds(12);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|rest| rest.trim().trim_end_matches(" kB").trim().parse::<u64>().ok());
    report.host.memory_peak_bytes = kib.map(|kib| kib * 1_024);
}

#[cfg(not(target_os = "linux"))]
fn usage(_: &mut Report) {}
