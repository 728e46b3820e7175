//! Sockets that are kept, and those that are only in use.

use espstress_diagnose::*;
use espstress_event::{AnomalyClass, AnomalyId, Ending, Failure, FailureCounts, FaultSeen, HttpFault};

use crate::answers::get;
use crate::support::*;

#[test]
fn a_watch_shorter_than_the_keep_alive_accuses_nobody() {
    let w = half_open_with(|h| {
        never_reclaimed(h);
        h.watched_ns = 10 * S;
    });
    assert_eq!(Case::clean(w).ids(), []);
}

#[test]
fn a_server_that_takes_all_silent_connections_and_serves_on_has_no_finding() {
    let mut w = half_open_with(|h| {
        never_reclaimed(h);
        fell_silent(h, 64, 0, 0);
        h.exhausted = Some(false);
        h.during = client(60, 60);
    });
    let none = FailureCounts::default();
    (w.attempts, w.succeeded, w.episodes) = (60, 60, vec![episode(0, 30, 60, &none)]);
    w.failures = none;
    assert_eq!(Case::clean(w.clone()).no_telemetry().ids(), []);
    // What it loses meanwhile, it has no excuse for.
    w.failures.add(Failure::ReadTimeout, 1);
    (w.attempts, w.episodes) = (61, vec![episode(0, 30, 60, &w.failures)]);
    assert_eq!(Case::clean(w).no_telemetry().ids(), [FindingId::UnexplainedFailures]);
}

#[test]
fn sockets_that_the_device_counts_and_never_frees_are_a_warning_before_they_run_out() {
    let w = half_open_with(|h| {
        never_reclaimed(h);
        fell_silent(h, 3, 0, 0);
        h.exhausted = Some(false);
        h.during = client(60, 60);
        h.sockets_used = sockets(5, 8, 8);
    });
    let found = Case::clean(w).findings();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].id, found[0].severity), (FindingId::HalfOpenNotReclaimed, Severity::Warning));
}

#[test]
fn what_half_open_did_is_not_blamed_on_a_later_workload() {
    let lost = [(Failure::ReadTimeout, 6), (Failure::ConnectTimeout, 18)];
    let case = Case::clean(half_open_with(never_reclaimed))
        .with(|e| e.workloads.push(dies_after(head(0), 0, &lost)));
    assert_eq!(case.ids(), [FindingId::HalfOpenNotReclaimed]);
}

#[test]
fn sockets_that_were_filled_before_the_first_account_are_kept_all_the_same() {
    let lost = [(Failure::ReadTimeout, 5), (Failure::ConnectTimeout, 10)];
    let w = WorkloadEvidence { close: ClosePolicy::Rst, ..dies_after(head(0), 5, &lost) };
    let full = SocketsEvidence { first: 10, most: 10, last: 10, limit: Some(10) };
    let provoked = row(AnomalyId::HalfClosedLinger, AnomalyClass::Provoked, 5, Some("head"));
    let case = Case::clean(w).row(provoked).telemetry(|t| t.sockets = Some(full));
    assert_eq!(case.ids(), [FindingId::SocketExhaustion]);
}

#[test]
fn as_many_time_waits_as_the_heap_holds_are_want_of_memory_without_a_single_reset() {
    let failures = [(Failure::ReadTimeout, 8), (Failure::ConnectTimeout, 5)];
    let w = WorkloadEvidence { close: ClosePolicy::Wait, ..dies_after(head(0), 455, &failures) };
    let silent = |e: &mut Evidence<'static>| e.probes.telemetry = Measured::Value(silent_from(S));
    let case = Case::clean(w.clone()).anomaly(AnomalyId::HalfClosedLinger, 8).with(silent);
    assert_eq!(case.ids(), [FindingId::HeapLow]);
    let host_closes = WorkloadEvidence { close: ClosePolicy::Fin, ..w };
    let case = Case::clean(host_closes).anomaly(AnomalyId::HalfClosedLinger, 8).with(silent);
    assert_eq!(case.ids(), [FindingId::BlockedApplication], "the host keeps TIME_WAIT then");
}

#[test]
fn sockets_kept_are_held_against_what_was_open_as_service_ended_and_not_against_an_earlier_crowd() {
    let crowd = WorkloadEvidence {
        name: "crowd".into(),
        at_once: 12,
        episodes: vec![episode(0, 1, 36, &FailureCounts::default())],
        ..head(36)
    };
    let failures = [(Failure::ReadTimeout, 5), (Failure::ConnectTimeout, 2)];
    let resets = WorkloadEvidence { close: ClosePolicy::Rst, at_once: 1, ..head(12) };
    let resets = dies_after(resets, 5, &failures);
    let case = Case::clean(crowd)
        .with(|e| e.workloads.push(resets))
        .telemetry(|t| t.sockets = Some(SocketsEvidence { first: 5, most: 10, last: 10, limit: Some(10) }));
    assert_eq!(case.ids(), [FindingId::SocketExhaustion]);
}

#[test]
fn sockets_that_were_in_use_before_the_first_account_are_counted_from_those_of_an_idle_device() {
    let failures = [(Failure::ReadTimeout, 5), (Failure::ConnectTimeout, 2)];
    let resets = WorkloadEvidence { close: ClosePolicy::Rst, at_once: 1, ..head(12) };
    // Of its ten the device has room for five clients: five are its own.
    let sockets = SocketsEvidence { first: 8, most: 10, last: 10, limit: Some(10) };
    let case = Case::clean(dies_after(resets, 5, &failures)).telemetry(|t| t.sockets = Some(sockets));
    assert_eq!(case.ids(), [FindingId::SocketExhaustion]);
    let told = case.findings()[0].evidence.join("; ");
    assert!(told.contains("5 before, 10 of 10 after everything was closed"), "{told}");
}

#[test]
fn a_device_with_all_sockets_in_use_at_the_end_has_run_out_of_them_though_nobody_was_refused_yet() {
    let left = |last| {
        let sockets = SocketsEvidence { first: 5, most: last, last, limit: Some(10) };
        let by_fin = WorkloadEvidence { close: ClosePolicy::Fin, ..head(5) };
        let case = Case::clean(by_fin).anomaly(AnomalyId::HalfClosedLinger, 5);
        let found = case.telemetry(|t| t.sockets = Some(sockets)).findings();
        let finding = found.into_iter().find(|f| f.id == FindingId::SocketExhaustion).unwrap();
        (finding.severity, finding.statement)
    };
    let (severity, statement) = left(10);
    assert_eq!(severity, Severity::Error);
    assert!(statement.contains("all 10 were still in use"), "{statement}");
    let (severity, statement) = left(9);
    assert_eq!(severity, Severity::Warning);
    assert!(statement.contains("hasn't run out"), "{statement}");
}

#[test]
fn connections_that_the_device_ends_late_are_not_kept() {
    let case = |late_ends| {
        let mut w = WorkloadEvidence { close: ClosePolicy::Fin, ..head(24) };
        ended(&mut w, Ending::NotEnded, 24);
        Case::clean(w).anomaly(AnomalyId::HalfClosedLinger, 24).with(move |e| e.late_ends = late_ends)
    };
    assert_eq!(case(0).no_telemetry().ids(), [FindingId::SocketExhaustion]);
    let late = case(23).no_telemetry();
    assert_eq!(late.ids(), [FindingId::UnexplainedFailures]);
    assert_eq!(late.findings()[0].severity, Severity::Warning, "the packets show what no finding names");
}

/// One client has fallen silent and nobody is served beside it; of those that the host had closed before, so many linger.
fn shut_out_beside_one(lingering: u64) -> Vec<Finding> {
    let w = half_open_with(|h| {
        fell_silent(h, 1, 3, 0);
        never_reclaimed(h);
        (h.before, h.sockets_used) = (client(3, 3), None);
    });
    let lingers = Some(Lingers { answered: lingering, unanswered: 2 });
    Case::clean(WorkloadEvidence { lingers, ..w }).no_telemetry().findings()
}

#[test]
fn room_that_is_taken_by_closed_connections_is_not_taken_by_the_silent_one() {
    let found = shut_out_beside_one(3);
    let ids: Vec<FindingId> = found.iter().map(|f| f.id).collect();
    assert_eq!(ids, [FindingId::SocketExhaustion]);
    assert_eq!(found[0].severity, Severity::Error);
    assert!(found[0].statement.contains("no more, while one client had fallen silent"), "{found:?}");
    for few in [0, 2] {
        let ids: Vec<FindingId> = shut_out_beside_one(few).iter().map(|f| f.id).collect();
        assert!(!ids.contains(&FindingId::SocketExhaustion), "{few}: {ids:?}");
    }
}

#[test]
fn the_socket_of_a_response_that_stopped_midway_is_not_forgotten() {
    let stopped = |truncated| {
        let failed = fails_beside(get(36), &[(Failure::ReadTimeout, 4)]);
        let mut w = WorkloadEvidence { close: ClosePolicy::Fin, at_once: 2, ..failed };
        let seen = FaultSeen {
            fault: HttpFault::Truncated,
            promised: Some(400),
            received: Some(200),
            detail: "then nothing",
        };
        (0..truncated).for_each(|_| w.malformed.count(seen));
        w.lingers = Some(Lingers { answered: 4, unanswered: 0 });
        Case::clean(w).no_telemetry().ids()
    };
    assert!(stopped(0).contains(&FindingId::SocketExhaustion), "{:?}", stopped(0));
    assert!(!stopped(4).contains(&FindingId::SocketExhaustion), "{:?}", stopped(4));
    assert!(stopped(4).contains(&FindingId::MalformedResponse), "{:?}", stopped(4));
}
