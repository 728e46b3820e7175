//! The doctor names the fault of every persona, and of no healthy device.

use espstress_diagnose::{Examination, FindingId, Mark};
use espstress_report::Report;

use super::on_twin;

/// An examination of a twin; what was found is printed, so that a failure tells.
#[track_caller]
fn examined(arguments: &str) -> Option<Report> {
    let report = on_twin(&format!("doctor twin {arguments}"))?;
    for finding in &report.findings {
        println!(
            "{} {:?}: {} {:?}",
            finding.id.name(),
            finding.severity,
            finding.statement,
            finding.evidence
        );
    }
    for workload in &report.workloads {
        let failures: Vec<_> = workload.failures.iter().filter(|(_, n)| *n > 0).collect();
        println!("{}: {} of {} {failures:?}", workload.name, workload.succeeded, workload.attempts);
    }
    Some(report)
}

#[track_caller]
fn names(persona: &str, length: &str, expected: FindingId) -> Option<Report> {
    let report = examined(&format!("--persona {persona} --duration {length}"))?;
    assert_eq!(found(&report), [expected], "{persona}, seed {}", report.seed);
    Some(report)
}

/// What was found of the device: a testing machine that has much else to do says so, and may.
fn found(report: &Report) -> Vec<FindingId> {
    let ids = report.findings.iter().map(|finding| finding.id);
    ids.filter(|id| *id != FindingId::HostLimited).collect()
}

fn mark(examination: &Examination, name: &str) -> Option<Mark> {
    examination.checks.iter().find(|check| check.name == name).map(|check| check.mark)
}

#[test]
fn a_robust_device_is_healthy_and_every_check_says_so() {
    let Some(report) = examined("--duration 1m") else { return };
    assert_eq!(found(&report), [], "seed {}", report.seed);
    let examination = report.examination.unwrap();
    // A busy machine answers its own pings late, in which no pattern is to be seen either way.
    for check in examination.checks.iter().filter(|check| check.name != "power save") {
        assert_eq!(check.mark, Mark::Good, "{}: {}", check.name, check.seen);
    }
    assert_ne!(mark(&examination, "power save"), Some(Mark::Bad));
    assert!(examination.done.silenced >= 5, "{:?}", examination.done);
    let connects = examination.checks.iter().find(|check| check.name == "TCP connect").unwrap();
    assert!(
        connects.seen.contains("kept the device full"),
        "what it refused while full is explained: {connects:?}"
    );
}

#[test]
fn a_robust_device_at_home_is_healthy() {
    let Some(report) = examined("--link home --duration 30s") else { return };
    assert_eq!(found(&report), [], "seed {}", report.seed);
}

#[test]
fn closing_with_the_request_unread_is_named() {
    names("unread-close", "20s", FindingId::AbortiveClose);
}

#[test]
fn closing_before_the_request_is_named() {
    names("early-close", "20s", FindingId::AbortiveClose);
}

#[test]
fn serving_one_client_at_a_time_is_named() {
    names("serial", "40s", FindingId::BlockedApplication);
}

#[test]
fn never_noticing_a_vanished_peer_is_named() {
    let Some(report) = names("no-keepalive", "56s", FindingId::HalfOpenNotReclaimed) else { return };
    let examination = report.examination.unwrap();
    assert_eq!(mark(&examination, "frees them"), Some(Mark::Bad));
    // Two hours are the usual idle time: what was not seen within half a minute may well be there.
    assert_eq!(mark(&examination, "TCP keep-alive"), Some(Mark::Unknown));
}

#[test]
fn forgetting_sockets_after_errors_is_named() {
    names("leaky", "20s", FindingId::SocketExhaustion);
}

#[test]
fn keeping_memory_of_each_request_is_named() {
    names("hoarder", "30s", FindingId::HeapLeak);
}

#[test]
fn accepting_one_connection_a_second_is_named() {
    names("slow-accept", "20s", FindingId::AcceptOverflow);
}

#[test]
fn no_longer_reading_is_named() {
    names("deaf", "20s", FindingId::BlockedApplication);
}

#[test]
fn never_closing_is_named() {
    names("half-closer", "20s", FindingId::SocketExhaustion);
}

#[test]
fn hanging_is_named() {
    let Some(report) = names("frozen", "20s", FindingId::BlockedApplication) else { return };
    let examination = report.examination.unwrap();
    assert_eq!(mark(&examination, "ping"), Some(Mark::Good));
    assert_eq!(mark(&examination, "full-size ping"), Some(Mark::Good));
    assert_eq!(mark(&examination, "HTTP"), Some(Mark::Bad));
    // A device that serves nobody is left alone.
    assert!(examination.done.connections < 40, "{:?}", examination.done);
}

#[test]
fn restarting_is_named() {
    names("rebooting", "30s", FindingId::DeviceRebooted);
}
