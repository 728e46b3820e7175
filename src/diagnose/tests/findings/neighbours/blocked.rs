//! A program that hangs, and what looks like one.

use espstress_diagnose::*;
use espstress_event::{AnomalyId, Failure, FailureCounts};

use crate::support::*;

#[test]
fn one_connection_served_is_blocked_and_several_are_not_reclaimed() {
    for (served, expected) in [
        (0, FindingId::BlockedApplication),
        (1, FindingId::BlockedApplication),
        (2, FindingId::HalfOpenNotReclaimed),
    ] {
        let w = half_open_with(|h| {
            never_reclaimed(h);
            h.served = served;
        });
        assert_eq!(Case::clean(w).ids(), [expected], "{served} served");
    }
}

#[test]
fn a_device_made_for_one_connection_is_not_called_blocked() {
    let w = half_open_with(|h| {
        never_reclaimed(h);
        h.served = 1;
    });
    let case = Case::clean(w).with(|e| e.device.capacity = Some(1));
    assert_eq!(case.ids(), [FindingId::HalfOpenNotReclaimed]);
}

/// Nobody is served for some seconds, and later the device restarts, in a run of 36 s.
fn hangs_and_restarts_later(stuck: u64, cut: u64) -> Case {
    let counts = |failure, n| {
        let mut failures = FailureCounts::default();
        failures.add(failure, n);
        failures
    };
    let (silent, reset) = (counts(Failure::ReadTimeout, stuck), counts(Failure::ReadReset, cut));
    let mut w = head(60 + stuck + cut);
    (w.succeeded, w.at_once) = (60, 4);
    w.failures.merge(&silent);
    w.failures.merge(&reset);
    let none = FailureCounts::default();
    w.episodes = vec![
        episode(0, 4, 30, &none),
        episode(4, 12, 0, &silent),
        episode(12, 33, 30, &none),
        episode(33, 34, 0, &reset),
    ];
    let restart =
        RestartEvidence { at_ns: 34 * S, reason: Some(ResetReason::TaskWatchdog), last_words: None };
    Case::clean(w).telemetry(|t| t.restarts = vec![restart])
}

#[test]
fn a_second_fault_needs_failures_that_the_first_does_not_explain() {
    assert_eq!(
        hangs_and_restarts_later(20, 4).ids(),
        [FindingId::BlockedApplication, FindingId::DeviceRebooted]
    );
    assert_eq!(hangs_and_restarts_later(0, 4).ids(), [FindingId::DeviceRebooted]);
}

#[test]
fn a_hang_apart_from_the_outages_of_a_long_run_is_one_and_what_they_delayed_is_none() {
    let mut silent = FailureCounts::default();
    silent.add(Failure::ReadTimeout, 9);
    let none = FailureCounts::default();
    let hangs_at = |from: u64| {
        let mut w = head(0);
        (w.attempts, w.succeeded, w.at_once) = (409, 400, 2);
        w.failures.merge(&silent);
        w.episodes = vec![
            episode(0, from, 200, &none),
            episode(from, from + 40, 0, &silent),
            episode(from + 40, 2_000, 200, &none),
        ];
        // Twenty in the first ten minutes.
        Case::clean(w).with(|e| {
            e.duration_ns = 2_000 * S;
            e.workloads.push(outage(20));
        })
    };
    assert!(hangs_at(1_000).ids().contains(&FindingId::BlockedApplication));
    assert!(!hangs_at(302).ids().contains(&FindingId::BlockedApplication));
}

#[test]
fn lingering_of_served_connections_is_exhaustion_and_of_unanswered_ones_is_a_hang() {
    let lost = [(Failure::ReadTimeout, 6), (Failure::ConnectTimeout, 18)];
    let case = Case::clean(dies_after(head(0), 5, &lost));
    let hang = case.clone().anomaly(AnomalyId::HalfClosedLinger, 6);
    assert_eq!(hang.ids(), [FindingId::BlockedApplication]);
    assert_eq!(case.anomaly(AnomalyId::HalfClosedLinger, 11).ids(), [FindingId::SocketExhaustion]);
}

#[test]
fn ping_without_tcp_is_a_program_that_accepts_nothing() {
    let case = Case::clean(dies_after(head(0), 0, &[(Failure::ConnectTimeout, 9)]));
    case.always(&[FindingId::BlockedApplication]);
}

#[test]
fn what_a_device_without_memory_does_not_acknowledge_says_nothing_of_its_program() {
    let failures = [(Failure::ReadReset, 90), (Failure::ConnectReset, 86), (Failure::ReadTimeout, 9)];
    let w = WorkloadEvidence { close: ClosePolicy::Wait, ..dies_after(head(0), 467, &failures) };
    let case = Case::clean(w).anomaly(AnomalyId::NoAckToData, 1).anomaly(AnomalyId::HalfClosedLinger, 8);
    let starved = case.clone().with(|e| e.probes.telemetry = Measured::Value(silent_from(S)));
    assert_eq!(starved.ids(), [FindingId::HeapLow], "{:#?}", starved.findings());
    assert!(case.ids().contains(&FindingId::BlockedApplication), "with memory it does");
}

#[test]
fn connections_that_were_open_when_a_program_hung_are_no_sockets_that_it_keeps() {
    let lost = [(Failure::ReadTimeout, 5), (Failure::ConnectTimeout, 7)];
    let case = Case::clean(dies_after(head(0), 20, &lost));
    // Four at once: five without an answer, and at most four answered ones that the hang kept open.
    let hang = case.clone().anomaly(AnomalyId::HalfClosedLinger, 8);
    assert_eq!(hang.ids(), [FindingId::BlockedApplication]);
    assert_eq!(case.anomaly(AnomalyId::HalfClosedLinger, 11).ids(), [FindingId::SocketExhaustion]);
}

#[test]
fn what_made_outages_left_without_a_first_answer_is_no_hang() {
    let w = WorkloadEvidence { at_once: 1, ..fails_beside(outage(5), &[(Failure::ReadTimeout, 5)]) };
    assert_eq!(Case::clean(w.clone()).ids(), []);
    let mut more = WorkloadEvidence { at_once: 1, ..fails_beside(outage(5), &[(Failure::ReadTimeout, 14)]) };
    let served = FailureCounts::default();
    more.episodes =
        vec![episode(0, 4, 900, &served), episode(20, 22, 0, &more.failures), episode(24, 29, 900, &served)];
    assert_eq!(Case::clean(more).ids(), [FindingId::BlockedApplication]);
}

#[test]
fn one_client_at_a_time_is_no_want_of_sockets_though_nobody_was_asked_meanwhile() {
    let w = half_open_with(|h| {
        never_reclaimed(h);
        fell_silent(h, 1, 2, 0);
        h.during = Availability::default();
        h.exhausted = Some(false);
        h.sockets_used = sockets(5, 6, 6);
    });
    assert_eq!(Case::clean(w).ids(), []);
}

#[test]
fn a_program_that_hangs_in_one_workload_hangs_whatever_a_later_one_meets() {
    let one = WorkloadEvidence { at_once: 1, ..head(60) };
    let dead = dies_after(one, 9, &[(Failure::ReadTimeout, 6)]);
    assert_eq!(Case::clean(dead.clone()).ids(), [FindingId::BlockedApplication]);
    let later = WorkloadEvidence { name: "later".into(), start_ns: 31 * S, ..head(60) };
    let case = Case::clean(dead).with(|e| e.workloads.push(later));
    assert_eq!(case.ids(), [FindingId::BlockedApplication]);
    let said = &case.findings()[0].statement;
    assert!(
        said.contains("for at least 25 s at the longest") && !said.contains("recovered"),
        "it did, by then: {said}"
    );
}

#[test]
fn a_hang_names_clients_that_were_not_closed_as_its_cause_only_where_answered_ones_linger() {
    let lost = [(Failure::ReadTimeout, 5), (Failure::ConnectTimeout, 7)];
    let hang = |lingering: u64| {
        let case =
            Case::clean(dies_after(head(0), 20, &lost)).anomaly(AnomalyId::HalfClosedLinger, lingering);
        assert_eq!(case.ids(), [FindingId::BlockedApplication]);
        case.findings()[0].cause.contains("doesn't close connections that the client has closed")
    };
    assert!(hang(6), "one of the six had its answer");
    assert!(!hang(5), "all of them waited for an answer");
}

#[test]
fn a_device_that_answered_no_head_may_know_none_and_one_that_answered_no_get_hangs() {
    let said = |method: &str| {
        let asks = Asks { method: Some(method.to_owned()), ..Asks::default() };
        let w = WorkloadEvidence { asks, ..dies_after(head(0), 0, &[(Failure::ReadTimeout, 9)]) };
        let found = Case::clean(w).findings().remove(0);
        assert_eq!(found.id, FindingId::BlockedApplication);
        (found.statement.contains("only HEAD was tried"), found.cause.contains("no handler for HEAD"))
    };
    assert_eq!((said("HEAD"), said("GET")), ((true, true), (false, false)));
}
