//! From devices with their reports to what all of them show together.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::model::{FLEET_VERSION, FleetDevice, FleetFinding, FleetReport, JoinedWorkload};
use super::series::aligned;
use espstress_diagnose::{FindingId, Severity};
use espstress_report::{Bytes, Failures, LatencyFigures, Report, Tool, Verdict, Workload};
use espstress_stats::Latency;

/// The fleet report of `devices`; their reports are of the same work.
#[must_use]
pub fn join(mut devices: Vec<FleetDevice>) -> FleetReport {
    let first = devices.iter().filter_map(|d| d.report.as_ref()).filter_map(started).min();
    for device in &mut devices {
        let after = |report: &Report| Some(started(report)?.duration_since(first?).ok()?.as_secs_f64());
        device.start_s = device.report.as_ref().map(|report| after(report).unwrap_or(0.0));
    }
    let timed: Vec<(f64, &Report)> = devices.iter().filter_map(timed).collect();
    let duration_s = timed.iter().map(|(at, report)| at + report.duration_s).fold(0.0, f64::max);
    let interrupted = timed.iter().any(|(_, report)| report.interrupted);
    let workloads = workloads(&timed);
    let findings = findings(&devices);
    let (verdict, verdict_reasons) = verdict(&devices);
    FleetReport {
        fleet_version: FLEET_VERSION,
        tool: Tool::this(),
        started_at: first.map(|first| humantime::format_rfc3339_millis(first).to_string()),
        duration_s,
        interrupted,
        cpu_s: None,
        memory_peak_bytes: None,
        verdict,
        verdict_reasons,
        workloads,
        findings,
        devices,
    }
}

fn timed(device: &FleetDevice) -> Option<(f64, &Report)> {
    Some((device.start_s.unwrap_or(0.0), device.report.as_ref()?))
}

fn started(report: &Report) -> Option<SystemTime> {
    humantime::parse_rfc3339_weak(&report.started_at).ok()
}

fn workloads(reports: &[(f64, &Report)]) -> Vec<JoinedWorkload> {
    let mut names: Vec<&str> = Vec::new();
    for workload in reports.iter().flat_map(|(_, report)| &report.workloads) {
        if !names.contains(&workload.name.as_str()) {
            names.push(&workload.name);
        }
    }
    let of = |name: &str| {
        let runs = reports.iter().filter_map(|(at, report)| Some((*at, report.workload(name)?)));
        joined(&runs.collect::<Vec<_>>())
    };
    names.into_iter().filter_map(of).collect()
}

/// The sums of one workload; each run with when it started, seconds after the first one.
fn joined(runs: &[(f64, &Workload)]) -> Option<JoinedWorkload> {
    let (_, first) = runs.first()?;
    let sum = |of: fn(&Workload) -> u64| runs.iter().fold(0_u64, |n, (_, w)| n.saturating_add(of(w)));
    let starts = runs.iter().map(|(at, w)| at + w.start_s).fold(f64::INFINITY, f64::min);
    let ends = runs.iter().map(|(at, w)| at + w.start_s + w.duration_s).fold(0.0, f64::max);
    let duration_s = (ends - starts).max(0.0);
    // Time in which none of the runs went on is no time of theirs.
    let together = overlap(runs);
    let mut failures = Failures::default();
    runs.iter().for_each(|(_, w)| failures.add(&w.failures));
    let (attempts, succeeded) = (sum(|w| w.attempts), sum(|w| w.succeeded));
    let tried = attempts.saturating_sub(failures.of_host());
    let series: Vec<_> = runs.iter().map(|(at, w)| (*at, w.series.as_slice())).collect();
    Some(JoinedWorkload {
        name: first.name.clone(),
        kind: first.kind.clone(),
        runs: runs.len() as u64,
        duration_s,
        attempts,
        succeeded,
        failures: failures.occurred_only(),
        success_rate: (tried > 0).then(|| succeeded as f64 / tried as f64),
        attempts_per_s: (duration_s > 0.0 && together).then(|| tried as f64 / duration_s),
        latency: latency(runs),
        bytes: Bytes {
            sent: sum(|w| w.bytes.sent),
            received: sum(|w| w.bytes.received),
            goodput: sum(|w| w.bytes.goodput),
        },
        series: aligned(&series),
    })
}

/// Whether at every moment from the first start to the last end one of the runs went on.
fn overlap(runs: &[(f64, &Workload)]) -> bool {
    let mut spans: Vec<(f64, f64)> =
        runs.iter().map(|(at, w)| (at + w.start_s, at + w.start_s + w.duration_s)).collect();
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut until = f64::INFINITY;
    spans.into_iter().enumerate().all(|(nth, (from, to))| {
        let goes_on = nth == 0 || from <= until;
        until = if nth == 0 { to } else { until.max(to) };
        goes_on
    })
}

fn latency(runs: &[(f64, &Workload)]) -> BTreeMap<espstress_stats::Phase, LatencyFigures> {
    let mut phases: BTreeMap<_, Vec<&LatencyFigures>> = BTreeMap::new();
    for (phase, figures) in runs.iter().flat_map(|(_, w)| &w.latency) {
        phases.entry(*phase).or_default().push(figures);
    }
    phases.into_iter().map(|(phase, all)| (phase, added(&all))).collect()
}

/// The figures of all distributions added, the uncorrected ones as well where each has them.
fn added(all: &[&LatencyFigures]) -> LatencyFigures {
    let sum = |figures: &[&LatencyFigures]| {
        let mut latency = Latency::default();
        for histogram in figures.iter().filter_map(|f| f.histogram()) {
            latency.merge(&Latency::from_histogram(histogram));
        }
        LatencyFigures::from_latency(&latency)
    };
    let uncorrected: Vec<&LatencyFigures> = all.iter().filter_map(|f| f.uncorrected.as_deref()).collect();
    let recorded = all.iter().filter(|f| f.count > 0).count();
    let whole = recorded > 0 && uncorrected.len() >= recorded;
    LatencyFigures { uncorrected: whole.then(|| Box::new(sum(&uncorrected))), ..sum(all) }
}

fn findings(devices: &[FleetDevice]) -> Vec<FleetFinding> {
    let mut found: BTreeMap<FindingId, FleetFinding> = BTreeMap::new();
    for device in devices {
        for finding in device.report.iter().flat_map(|report| &report.findings) {
            let row = found.entry(finding.id).or_insert_with(|| FleetFinding {
                id: finding.id,
                severity: finding.severity,
                devices: Vec::new(),
            });
            if rank(finding.severity) < rank(row.severity) {
                row.severity = finding.severity;
            }
            if row.devices.last() != Some(&device.name) {
                row.devices.push(device.name.clone());
            }
        }
    }
    let mut rows: Vec<FleetFinding> = found.into_values().collect();
    rows.sort_by_key(|row| (rank(row.severity), std::cmp::Reverse(row.devices.len())));
    rows
}

const fn rank(severity: Severity) -> u8 {
    match severity {
        Severity::Error => 0,
        Severity::Warning => 1,
        Severity::Info => 2,
    }
}

/// The worst verdict, and why, each reason with the device's name.
pub(super) fn verdict(devices: &[FleetDevice]) -> (Verdict, Vec<String>) {
    let mut worst = Verdict::Pass;
    let mut reasons = Vec::new();
    for device in devices {
        let (verdict, why) = match &device.report {
            Some(report) => (report.verdict, report.verdict_reasons.clone()),
            None => {
                let why = device.not_run.clone().unwrap_or_else(|| "it has no report".to_owned());
                (Verdict::Inconclusive, vec![format!("not tested: {why}")])
            }
        };
        worst = match (worst, verdict) {
            (Verdict::Fail, _) | (_, Verdict::Fail) => Verdict::Fail,
            (Verdict::Inconclusive, _) | (_, Verdict::Inconclusive) => Verdict::Inconclusive,
            (Verdict::Pass, Verdict::Pass) => Verdict::Pass,
        };
        reasons.extend(why.into_iter().map(|why| format!("{}: {why}", device.name)));
    }
    (worst, reasons)
}
