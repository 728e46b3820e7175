//! The fleet report as a page: the verdict, a line a device, what broke, and the sums.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::model::{FleetDevice, FleetReport, JoinedWorkload};
use espstress_diagnose::Severity;
use espstress_report::{Report, Style, TargetKind, Unit, Verdict, human_figure, things};

/// The page.
#[must_use]
pub fn page(fleet: &FleetReport, style: &Style) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}  {}", word(fleet), title(fleet));
    if let Some(started) = &fleet.started_at {
        let _ = writeln!(out, "{}, started {started}", seconds(fleet.duration_s));
    }
    if fleet.interrupted {
        out.push_str("Interrupted. Everything below was measured before that.\n");
    }
    let mut rows =
        vec![["device", "verdict", "attempts", "failed", "p50", "p99", "findings"].map(String::from)];
    rows.extend(fleet.devices.iter().map(cells));
    out.push('\n');
    table(&mut out, &rows, 2);
    if !fleet.verdict_reasons.is_empty() {
        out.push_str("\nWhy\n");
        for reason in &fleet.verdict_reasons {
            style.wrapped(&mut out, "  ", 4, reason);
        }
    }
    if !fleet.findings.is_empty() {
        out.push_str("\nFindings\n");
        for finding in &fleet.findings {
            let severity = severity(finding.severity);
            let devices = finding.devices.join(", ");
            style.wrapped(&mut out, "  ", 4, &format!("{severity}: {} on {devices}", finding.id.name()));
        }
    }
    if !fleet.workloads.is_empty() {
        out.push_str("\nAll together\n");
        fleet.workloads.iter().for_each(|w| style.wrapped(&mut out, "  ", 4, &sums(w)));
    }
    out
}

/// The verdict in one line without an end.
#[must_use]
pub fn verdict_line(fleet: &FleetReport) -> String {
    let reasons = match fleet.verdict_reasons.as_slice() {
        [] => String::new(),
        [one] => format!(": {one}"),
        [first, more @ ..] => format!(": {first}, and {} more", more.len()),
    };
    let ended = if fleet.interrupted { "; interrupted" } else { "" };
    let line = format!("{}: {}{reasons}{ended}", word(fleet).to_lowercase(), title(fleet));
    line.replace(['\n', '\r'], " ")
}

fn word(fleet: &FleetReport) -> &'static str {
    match fleet.verdict {
        Verdict::Pass if !fleet.has_gates() => "DONE",
        Verdict::Pass => "PASS",
        Verdict::Fail => "FAIL",
        Verdict::Inconclusive => "INCONCLUSIVE",
    }
}

/// What was run, and on how many.
pub(crate) fn title(fleet: &FleetReport) -> String {
    let name = |(_, report): (&str, &Report)| Some(report.scenario.get("name")?.as_str()?.to_owned());
    let name = fleet.reports().find_map(name).unwrap_or_else(|| "run".to_owned());
    let passed = fleet.reports().filter(|(_, report)| report.verdict == Verdict::Pass).count();
    let gates = if fleet.has_gates() { format!(", {passed} passed") } else { String::new() };
    let (reports, devices) = (fleet.devices.len() as u64, devices(fleet));
    if reports > devices {
        let (reports, devices) = (things(reports, "report"), things(devices, "device"));
        return format!("{name}: {reports} of {devices} (by address){gates}");
    }
    format!("{name} on {}{gates}", things(devices, "device"))
}

/// How many devices there are: reports of one address are of one device. Each twin and each sim is a device of its own.
fn devices(fleet: &FleetReport) -> u64 {
    let mut addresses = BTreeSet::new();
    let is_new = |device: &&FleetDevice| match &device.report {
        Some(report) if report.target.kind == TargetKind::Device => {
            addresses.insert(report.target.address.clone())
        }
        _ => true,
    };
    fleet.devices.iter().filter(is_new).count() as u64
}

/// A device's line.
pub(crate) fn cells(device: &FleetDevice) -> [String; 7] {
    let none = || "-".to_owned();
    let Some(report) = &device.report else {
        return [device.name.clone(), "not tested".into(), none(), none(), none(), none(), none()];
    };
    let attempts = report.workloads.iter().fold(0_u64, |n, w| n.saturating_add(w.attempts));
    let succeeded = report.workloads.iter().fold(0_u64, |n, w| n.saturating_add(w.succeeded));
    let main = report.workloads.first().and_then(|w| w.main_latency()).map(|(_, latency)| latency);
    let time = |us: Option<f64>| us.map_or_else(none, |us| human_figure(us, Unit::Us));
    let verdict = match report.verdict {
        Verdict::Pass if !report.has_gates() => "done",
        Verdict::Pass => "pass",
        Verdict::Fail => "FAIL",
        Verdict::Inconclusive => "inconclusive",
    };
    let findings: Vec<&str> = report.findings.iter().map(|finding| finding.id.name()).collect();
    [
        device.name.clone(),
        verdict.to_owned(),
        human_figure(attempts as f64, Unit::Count),
        human_figure(attempts.saturating_sub(succeeded) as f64, Unit::Count),
        time(main.and_then(|latency| latency.p50_us)),
        time(main.and_then(|latency| latency.p99_us)),
        if findings.is_empty() { none() } else { findings.join(", ") },
    ]
}

/// A workload's sums in a sentence.
pub(crate) fn sums(w: &JoinedWorkload) -> String {
    let attempts = things(w.attempts, "attempt");
    let mut parts = match w.attempts_per_s {
        Some(rate) => {
            let length = seconds(w.duration_s);
            vec![format!("{}: {attempts} in {length}", w.name), human_figure(rate, Unit::PerS)]
        }
        None if w.duration_s > 0.0 => vec![format!(
            "{}: {attempts} in {} (no rate: they did not all overlap in time)",
            w.name,
            things(w.runs, "run")
        )],
        None => vec![format!("{}: {attempts}", w.name)],
    };
    parts.extend(w.success_rate.map(|share| format!("{} succeeded", human_figure(share, Unit::Ratio))));
    for (phase, latency) in &w.latency {
        if let (Some(p50), Some(p99)) = (latency.p50_us, latency.p99_us) {
            let (p50, p99) = (human_figure(p50, Unit::Us), human_figure(p99, Unit::Us));
            parts.push(format!("{} p50 {p50} p99 {p99}", phase.name()));
        }
    }
    parts.extend(w.failures.iter().map(|(failure, n)| format!("{} {n}", failure.name())));
    parts.join(", ")
}

pub(crate) const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

fn seconds(s: f64) -> String {
    human_figure(s * 1e6, Unit::Us)
}

fn table<const N: usize>(out: &mut String, rows: &[[String; N]], indent: usize) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in rows {
        let mut line = " ".repeat(indent);
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}
