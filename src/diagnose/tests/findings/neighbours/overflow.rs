//! A queue that overflows, and what looks like one.

use espstress_diagnose::*;
use espstress_event::{AnomalyClass, AnomalyId, Failure, FailureCounts};

use crate::support::*;

#[test]
fn service_that_goes_on_is_an_overflow_and_service_that_ends_is_not() {
    let failures = [(Failure::ConnectTimeout, 22)];
    let on = fails_beside(WorkloadEvidence { at_once: 64, ..head(5_000) }, &failures);
    let case = Case::clean(on).anomaly(AnomalyId::SynUnanswered, 22);
    assert_eq!(case.ids(), [FindingId::AcceptOverflow]);
    let ends = dies_after(WorkloadEvidence { at_once: 64, ..head(0) }, 5_000, &failures);
    assert_eq!(Case::clean(ends).ids(), [FindingId::BlockedApplication]);
}

#[test]
fn accepting_without_a_free_socket_is_an_overflow() {
    let w = WorkloadEvidence { at_once: 16, ..head(4_459) };
    let w = fails_beside(w, &[(Failure::ReadReset, 186), (Failure::EofBeforeResponse, 355)]);
    let case = Case::clean(w)
        .anomaly(AnomalyId::RstAfterHandshake, 186)
        .anomaly(AnomalyId::ClosedUnserved, 355)
        .anomaly(AnomalyId::RstAfterFin, 355)
        .with(|e| e.resets.answering_payload = 355);
    assert_eq!(case.ids(), [FindingId::AcceptOverflow], "the late requests met closed sockets");
}

#[test]
fn a_program_that_has_read_the_request_and_closes_had_accepted_the_connection() {
    let w = WorkloadEvidence { at_once: 4, ..head(500) };
    let w = fails_beside(w, &[(Failure::EofBeforeResponse, 80)]);
    let closed = |closed| {
        let unserved = Some(Unserved { closed, ..Unserved::default() });
        let w = WorkloadEvidence { unserved, ..w.clone() };
        Case::clean(w).anomaly(AnomalyId::ClosedUnserved, 80).ids()
    };
    let read = CutRequests { acknowledged: 80, ..CutRequests::default() };
    assert_eq!(closed(read), [FindingId::ClosesUnserved]);
    let unread = CutRequests { not_sent: 80, ..CutRequests::default() };
    assert_eq!(closed(unread), [FindingId::AcceptOverflow]);
}

#[test]
fn resets_that_come_beside_fewer_connections_than_it_serves_at_once_are_no_overflow() {
    // 500 exchanges of 90 ms in 30 s: one and a half at once.
    let mut w = WorkloadEvidence { at_once: 2, ..head(500) };
    w.main = Some(Quantiles { count: 500, p50_ns: 90 * MS, ..Quantiles::default() });
    w.end_ns = w.start_ns + 30 * S;
    let w = fails_beside(w, &[(Failure::ReadReset, 20)]);
    let among = |others| {
        let reset = CutRequests { acknowledged: 20, others, ..CutRequests::default() };
        let w = WorkloadEvidence { unserved: Some(Unserved { reset, ..Unserved::default() }), ..w.clone() };
        Case::clean(w).anomaly(AnomalyId::RstAfterHandshake, 20).ids()
    };
    assert_eq!(among(Some(16)), [FindingId::ResetsRequests]);
    assert_eq!(among(Some(40)), [FindingId::AcceptOverflow]);
    assert_eq!(among(None), [FindingId::AcceptOverflow]);
}

#[test]
fn one_connection_at_a_time_cannot_overflow() {
    let w = fails_beside(WorkloadEvidence { at_once: 1, ..head(500) }, &[(Failure::ConnectTimeout, 4)]);
    assert_eq!(Case::clean(w).ids(), [FindingId::UnexplainedFailures]);
}

#[test]
fn failures_while_nothing_succeeds_are_no_overflow() {
    let nobody = || Measured::Unavailable { reason: "off".to_owned() };
    let mut w = fails_beside(head(2_000), &[(Failure::ConnectTimeout, 8)]);
    let failures = std::mem::take(&mut w.episodes[0].failures);
    w.episodes = vec![
        episode(0, 9, 1_000, &FailureCounts::default()),
        episode(11, 14, 0, &failures),
        episode(16, 29, 1_000, &FailureCounts::default()),
    ];
    let case = Case::clean(w)
        .with(|e| e.probes = ProbesEvidence { icmp: nobody(), tcp: nobody(), telemetry: nobody() });
    assert_eq!(case.ids(), [FindingId::UnexplainedFailures], "a link that was away does that as well");
    assert_eq!(case.findings()[0].severity, Severity::Warning);
}

#[test]
fn clients_that_give_up_before_the_queue_reaches_them_meet_an_overflow_and_no_hang() {
    let lost = [(Failure::ReadTimeout, 12), (Failure::ConnectTimeout, 16)];
    let w = WorkloadEvidence { at_once: 12, ..dies_after(head(0), 2, &lost) };
    // The device ended every connection in order, only later.
    let case = Case::clean(w).anomaly(AnomalyId::SynUnanswered, 16).with(|e| e.idle = Some(Vec::new()));
    assert_eq!(case.ids(), [FindingId::AcceptOverflow]);
    let provoked = row(AnomalyId::HalfClosedLinger, AnomalyClass::Provoked, 12, Some("head"));
    let of_probes = row(AnomalyId::HalfClosedLinger, AnomalyClass::Device, 3, Some("probe"));
    assert_eq!(case.clone().row(of_probes).ids(), [FindingId::AcceptOverflow]);
    let idle = |e: &mut Evidence<'static>| e.idle = Some(vec![Quiet { from_ns: 5 * S, to_ns: 30 * S }]);
    let hangs = case.row(provoked).with(idle);
    assert_eq!(hangs.ids(), [FindingId::BlockedApplication], "its program sent nothing any more");
}

#[test]
fn a_program_that_is_slow_with_some_while_it_serves_others_at_once_has_no_full_queue() {
    let of = |max_ns| {
        let w = fails_beside(WorkloadEvidence { at_once: 4, ..head(135) }, &[(Failure::ReadTimeout, 15)]);
        let main = Some(Quantiles { count: 135, p50_ns: S / 100, max_ns, ..Quantiles::default() });
        Case::clean(WorkloadEvidence { main, ..w }).ids()
    };
    assert_eq!(of(4 * S), [FindingId::AcceptOverflow], "those that were served waited as well");
    assert_eq!(of(S / 50), [FindingId::UnexplainedFailures], "a queue serves in turn");
}

#[test]
fn connections_that_fail_together_right_before_others_are_served_are_an_overflow() {
    let mut w = fails_beside(WorkloadEvidence { at_once: 12, ..head(6) }, &[(Failure::ConnectTimeout, 21)]);
    w.episodes = vec![episode(0, 1, 0, &w.failures), episode(1, 2, 6, &FailureCounts::default())];
    let case = Case::clean(w).anomaly(AnomalyId::SynUnanswered, 21).with(|e| e.idle = Some(Vec::new()));
    assert_eq!(case.ids(), [FindingId::AcceptOverflow]);
}

#[test]
fn waiting_within_the_capacity_makes_an_overflow_the_programs_fault() {
    let crowd = WorkloadEvidence { name: "crowd".into(), at_once: 12, ..head(60) };
    let crowd = fails_beside(crowd, &[(Failure::ConnectTimeout, 20)]);
    let severity = |p50_ns: u64| {
        let few = WorkloadEvidence {
            main: Some(Quantiles { count: 9, p50_ns, max_ns: 9 * S, ..Quantiles::default() }),
            ..head(9)
        };
        let case = Case::clean(crowd.clone()).anomaly(AnomalyId::SynUnanswered, 20);
        let case = case.with(|e| e.workloads.push(few));
        case.with(|e| e.device.capacity = Some(5)).findings()[0].severity
    };
    assert_eq!(severity(50 * MS), Severity::Warning, "more at once than the device has sockets for");
    assert_eq!(severity(4 * S), Severity::Error);
}

#[test]
fn requests_on_connections_that_had_answered_do_not_wait_to_be_accepted() {
    let lost = [(Failure::ReadTimeout, 12)];
    let w = WorkloadEvidence { at_once: 2, ..dies_after(head(0), 20, &lost) };
    let ids = |w: WorkloadEvidence| Case::clean(w).with(|e| e.idle = Some(Vec::new())).ids();
    assert_eq!(ids(w.clone()), [FindingId::AcceptOverflow]);
    assert!(!ids(WorkloadEvidence { timed_out_in_use: 12, ..w }).contains(&FindingId::AcceptOverflow));
}
