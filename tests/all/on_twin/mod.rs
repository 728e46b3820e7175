//! The program against the twin: what the real stack does under load, and what must be said of it. Each run is in a
//! private network of its own.

#![cfg_attr(
    not(feature = "long"),
    allow(dead_code, unused_imports, reason = "only long tests need some of it")
)]

mod anomalies;
mod console;
mod dial_in;
#[cfg(feature = "long")]
mod doctor;
mod healthy;
mod load;
#[cfg(feature = "long")]
mod many_outages;
mod mqtt;
mod options;
mod outages;
mod program;
#[cfg(feature = "long")]
mod reclaim;
mod scenarios;
mod smoltcp;
#[cfg(feature = "long")]
mod standstill;
mod truth;

use std::process::Output;

use crate::common::{espstress, skipped, valid_report};
use espstress_diagnose::FindingId;
use espstress_event::{AnomalyClass, AnomalyId};
use espstress_report::{CaptureStatus, Report};

/// A run on the twin, its report read back; `None`, and said, where no twin or no capture can be had.
#[track_caller]
fn on_twin(arguments: &str) -> Option<Report> {
    let mut command = espstress();
    command.args(arguments.split_whitespace()).args(["--json", "-q", "--no-gate"]);
    report_of(arguments, &command.output().unwrap())
}

/// The report of a run that is over, read back; `None` as above.
#[track_caller]
fn report_of(arguments: &str, output: &Output) -> Option<Report> {
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(3) && (said.contains("namespace") || said.contains("tun")) {
        skipped("twin", &said);
        return None;
    }
    assert_eq!(output.status.code(), Some(0), "{arguments}: {said}");
    let report = valid_report(&output.stdout);
    if report.capture.status == CaptureStatus::Denied {
        skipped("capture", report.capture.reason.as_deref().unwrap_or_default());
        return None;
    }
    assert_eq!(report.capture.status, CaptureStatus::Complete, "{arguments}: {:?}", report.capture);
    Some(report)
}

/// The same side by side, for runs that mostly wait; `None` as soon as one of them cannot be had.
#[track_caller]
fn on_twins<const N: usize>(arguments: [&str; N]) -> Option<[Report; N]> {
    let reports = std::thread::scope(|scope| {
        let runs = arguments.map(|arguments| scope.spawn(move || on_twin(arguments)));
        runs.map(|run| run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let all: Option<Vec<Report>> = reports.into_iter().collect();
    all?.try_into().ok()
}

/// What a run says of the device and its link. That this machine was busy, or missed packets, says nothing of either.
fn said(report: &Report) -> Vec<FindingId> {
    let of_host = [FindingId::HostLimited, FindingId::CaptureIncomplete];
    report.findings.iter().map(|f| f.id).filter(|id| !of_host.contains(id)).collect()
}

/// The run says this of the device and of its link, and nothing else.
#[track_caller]
fn says(report: &Report, expected: &[FindingId]) {
    let workloads: Vec<_> = report.workloads.iter().map(|w| (w.attempts, w.succeeded, &w.failures)).collect();
    assert_eq!(said(report), expected, "{workloads:?}, {:#?}", report.findings);
}

/// The rows of one class, in words.
fn of_class(report: &Report, class: AnomalyClass) -> Vec<String> {
    let rows = report.anomalies.iter().filter(|row| row.class == class);
    rows.map(|row| format!("{} x {} on {}", row.count, row.id.name(), row.connections)).collect()
}

/// Connections on which the device is charged with `id`, probes included.
fn charged(report: &Report, id: AnomalyId) -> u64 {
    let rows = report.anomalies.iter().filter(|row| row.id == id && row.class == AnomalyClass::Device);
    rows.map(|row| row.connections).sum()
}

/// The same on the workload's own connections.
fn charged_in(report: &Report, workload: &str, id: AnomalyId) -> u64 {
    let rows = report.anomalies.iter().filter(|row| row.id == id && row.class == AnomalyClass::Device);
    rows.filter(|row| row.workload.as_deref() == Some(workload)).map(|row| row.connections).sum()
}

/// Every attempt was served, and the device is charged with nothing.
#[track_caller]
fn clean(report: &Report) {
    let seed = report.seed;
    for workload in &report.workloads {
        let failures: Vec<_> = workload.failures.iter().collect();
        assert_eq!(workload.succeeded, workload.attempts, "seed {seed}: {failures:?}");
    }
    assert_eq!(of_class(report, AnomalyClass::Device), Vec::<String>::new(), "seed {seed}");
}
