//! Programs that serve one client at a time, that forget sockets, and that are slow, told from those that hang.

use espstress_diagnose::*;
use espstress_event::{
    AnomalyClass, AnomalyId, Asks, Failure, FailureCounts, Protocol, ReclaimEvidence, SilencedConnection,
    Spell, Stage,
};

use crate::support::*;

/// Silent connections: when each fell silent and when the device closed it, milliseconds.
fn silent(h: &mut HalfOpenEvidence, served: u32, times: &[(u64, u64)]) {
    (h.served, h.unserved, h.never_reclaimed) = (0, 0, 0);
    h.connections.clear();
    for (number, (silent, closed)) in (1..).zip(times) {
        h.fell_silent(SilencedConnection {
            connection: number,
            port: 40_000 + number as u16,
            stage: if number <= served { Stage::Served } else { Stage::Unserved },
            opened_ns: None,
            silent_ns: silent * MS,
            reclaimed_after_ns: Some((closed - silent) * MS),
            evidence: Some(ReclaimEvidence::Fin),
        });
    }
    h.sockets_used = sockets(1, 2, 1);
}

/// Answers, closes its side at once, and waits a second for the client's: as the packets of such a server show it. Which of
/// them it comes to before the client has given it up is chance.
fn one_by_one(served: u32) -> WorkloadEvidence {
    let times =
        [(3_024, 3_025), (4_025, 4_028), (5_048, 5_050), (5_351, 6_051), (5_653, 7_055), (5_954, 8_057)];
    half_open_with(|h| silent(h, served, &times))
}

#[test]
fn a_program_that_comes_to_silent_clients_one_by_one_serves_one_at_a_time_however_many_it_served() {
    for served in [1, 2, 3] {
        for (exhausted, others) in [(Some(true), client(19, 0)), (Some(false), client(24, 24))] {
            let mut w = one_by_one(served);
            let h = w.half_open.as_mut().unwrap();
            (h.exhausted, h.during, h.served_again_ns) = (exhausted, others, None);
            h.watched_ns = 5 * S;
            let found = Case::clean(w).findings();
            assert_eq!(found.len(), 1, "{served} served: {found:#?}");
            assert_eq!(found[0].id, FindingId::BlockedApplication);
            assert!(found[0].statement.contains("it waits 1.0 s for a client"), "{}", found[0].statement);
        }
    }
}

#[test]
fn a_fin_that_came_with_the_response_is_no_wait() {
    let mut w = half_open_with(|h| silent(h, 1, &[(3_024, 3_025), (4_025, 4_528)]));
    w.half_open.as_mut().unwrap().during = client(19, 1);
    let found = Case::clean(w).findings();
    assert!(found[0].statement.contains("it waits 1.5 s for a client"), "{}", found[0].statement);
}

#[test]
fn clients_that_each_had_a_timeout_of_their_own_waited_for_nobody() {
    // Opened a second apart, closed four seconds after that each.
    let times = [(3_000, 7_000), (4_000, 8_000), (5_000, 9_000), (6_000, 10_000), (7_000, 11_000)];
    let w = half_open_with(|h| {
        silent(h, 4, &times);
        h.served_again_ns = Some(4 * S);
    });
    let ids = Case::clean(w).ids();
    assert!(!ids.contains(&FindingId::BlockedApplication), "{ids:?}");
}

/// All silent connections closed at once, and the client kept out for so many seconds after the last of them.
fn closed_and_kept_out(watched_s: u64) -> Case {
    let mut w = half_open_with(|h| {
        silent(h, 5, &[(5_000, 5_005), (5_020, 5_026), (5_040, 5_044), (5_060, 5_067), (5_080, 5_081)]);
        h.served_again_ns = None;
        h.during = client(watched_s, 0);
        h.watched_ns = watched_s * S;
        h.spells = vec![Spell { from_ns: 5_050 * MS, to_ns: None, failed: watched_s }];
    });
    let mut failures = FailureCounts::default();
    failures.add(Failure::ConnectTimeout, 1);
    w.failures = FailureCounts::default();
    w.failures.add(Failure::ConnectTimeout, watched_s);
    w.episodes = vec![episode(0, 5, 20, &FailureCounts::default())];
    w.episodes.extend((5..5 + watched_s).map(|at| episode(at, at + 2, 0, &failures)));
    Case::clean(w)
}

#[test]
fn a_device_that_serves_nobody_after_it_has_closed_all_silent_clients_fails() {
    let found = closed_and_kept_out(30).findings();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].id, found[0].severity), (FindingId::HalfOpenNotReclaimed, Severity::Error));
    assert!(found[0].statement.contains("still served no other client"), "{}", found[0].statement);
}

#[test]
fn a_program_that_keeps_the_sockets_of_connections_that_have_ended_is_told_from_a_stack_that_does() {
    let mut case = closed_and_kept_out(30);
    assert!(case.findings()[0].cause.contains("stays in the stack"), "{}", case.findings()[0].cause);
    case = case.with(|e| {
        let half_open = e.workloads.iter_mut().find_map(|w| w.half_open.as_mut()).unwrap();
        half_open.sockets_used = sockets(5, 10, 10);
    });
    let found = case.findings();
    assert_eq!(found.iter().map(|f| f.id).collect::<Vec<_>>(), [FindingId::HalfOpenNotReclaimed]);
    assert!(found[0].cause.contains("doesn't close a socket after an error"), "{}", found[0].cause);
}

#[test]
fn a_device_that_served_others_beside_all_silent_clients_and_then_nobody_was_not_full() {
    let half = |case: Case, change: fn(&mut HalfOpenEvidence)| {
        case.with(|e| change(e.workloads.iter_mut().find_map(|w| w.half_open.as_mut()).unwrap()))
    };
    let later = half(closed_and_kept_out(30), |h| {
        h.spells = vec![Spell { from_ns: 12 * S, to_ns: None, failed: 20 }];
    });
    assert!(!later.ids().contains(&FindingId::HalfOpenNotReclaimed), "{:?}", later.ids());
    assert!(later.ids().contains(&FindingId::UnexplainedFailures), "{:?}", later.ids());
    // Nor was it they that kept others out, if it serves nobody once the host has let go of all.
    let stays = half(closed_and_kept_out(30), |h| h.after = client(9, 0));
    assert!(!stays.ids().contains(&FindingId::HalfOpenNotReclaimed), "{:?}", stays.ids());
}

#[test]
fn a_device_that_closed_most_silent_clients_is_kept_by_their_fins_and_not_by_the_rest() {
    let case = closed_and_kept_out(30).with(|e| {
        let h = e.workloads.iter_mut().find_map(|w| w.half_open.as_mut()).unwrap();
        h.connections.iter_mut().take(1).for_each(|c| (c.reclaimed_after_ns, c.evidence) = (None, None));
    });
    let found = case.findings();
    assert!(found[0].statement.contains("closed 4 of 5 connections whose client"), "{}", found[0].statement);
    assert!(found[0].cause.contains("control blocks"), "{}", found[0].cause);
}

#[test]
fn queued_clients_that_had_vanished_as_well_are_no_fin_that_waits() {
    let case = closed_and_kept_out(30).with(|e| {
        let h = e.workloads.iter_mut().find_map(|w| w.half_open.as_mut()).unwrap();
        h.connections.iter_mut().for_each(|c| c.evidence = Some(ReclaimEvidence::Reset));
        h.unserved = 11;
    });
    let found = case.findings();
    assert_eq!((found[0].id, found[0].severity), (FindingId::HalfOpenNotReclaimed, Severity::Warning));
    assert!(found[0].cause.contains("accept queue"), "{}", found[0].cause);
}

#[test]
fn silence_excuses_failures_for_as_long_as_the_device_may_take_and_no_longer() {
    let rows = |case: Case| {
        let rows = case.diagnosis().account.rows;
        rows.into_iter().map(|row| (row.by, row.attempts)).collect::<Vec<_>>()
    };
    // 19 s and a second after the last silence, which is at 5.08 s.
    let both = rows(closed_and_kept_out(30));
    assert_eq!(both, [(Some("half_open_not_reclaimed".into()), 9), (Some("provoked".into()), 21)]);
    assert_eq!(rows(closed_and_kept_out(15)), [(Some("provoked".into()), 15)]);
}

/// Forty requests one after the other, each answered in some milliseconds, and a crowd of twelve later.
fn forgets(one_in: u64) -> Case {
    let quick =
        Quantiles { count: 40, min_ns: MS, p50_ns: MS, p90_ns: 2 * MS, p99_ns: 9 * MS, max_ns: 9 * MS };
    let first = WorkloadEvidence { main: Some(quick), ..head(40) };
    let crowd = WorkloadEvidence {
        name: "crowd".into(),
        start_ns: 30 * S,
        at_once: 12,
        episodes: vec![episode(30, 33, 36, &FailureCounts::default())],
        ..head(36)
    };
    Case::clean(first).anomaly(AnomalyId::HalfClosedLinger, 40 / one_in).with(|e| e.workloads.push(crowd))
}

#[test]
fn a_socket_forgotten_now_and_then_is_a_leak_though_fewer_are_kept_than_were_open_at_once() {
    let found = forgets(10).findings();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].id, found[0].severity), (FindingId::SocketExhaustion, Severity::Warning));
    assert!(found[0].statement.contains("some closed connections"), "{}", found[0].statement);
    assert_eq!(forgets(20).ids(), [], "two may be closed late");
}

#[test]
fn a_program_that_kept_somebody_waiting_as_long_may_have_been_late_to_close() {
    let case = forgets(10).with(|e| {
        e.workloads[0].main = e.workloads[0].main.map(|main| Quantiles { max_ns: 6 * S, ..main });
    });
    assert!(!case.ids().contains(&FindingId::SocketExhaustion));
}

#[test]
fn a_device_that_answered_head_before_has_a_handler_for_it() {
    let asks = |method: &str| Asks {
        method: Some(method.into()),
        protocol: Protocol::Http,
        window: 1,
        ..Asks::default()
    };
    let case = |answered: u64| {
        let head = |n| WorkloadEvidence { asks: asks("HEAD"), ..head(n) };
        let before =
            if answered > 0 { head(answered) } else { dies_after(head(0), 0, &[(Failure::ReadReset, 9)]) };
        let get = WorkloadEvidence { name: "get".into(), asks: asks("GET"), ..rw(20) };
        let after = dies_after(head(0), 0, &[(Failure::ReadReset, 12)]);
        let after = WorkloadEvidence { name: "after".into(), start_ns: 31 * S, ..after };
        Case::clean(before).no_telemetry().with(|e| e.workloads.extend([get, after]))
    };
    assert!(case(0).ids().contains(&FindingId::HeadUnanswered), "{:?}", case(0).ids());
    assert!(!case(38).ids().contains(&FindingId::HeadUnanswered), "{:?}", case(38).ids());
}

/// Nobody is served for so many seconds, and everybody before and after; the slowest answer took so many milliseconds.
fn stuck_for(seconds: u64, slowest_ms: u64) -> Finding {
    let mut lost = FailureCounts::default();
    lost.add(Failure::ConnectTimeout, 6);
    let slow = Quantiles { count: 30, max_ns: slowest_ms * MS, ..Quantiles::default() };
    let none = FailureCounts::default();
    let mut w = WorkloadEvidence { attempts: 36, succeeded: 30, main: Some(slow), at_once: 12, ..head(36) };
    w.failures.merge(&lost);
    w.episodes =
        vec![episode(0, 12, 20, &none), episode(12, 12 + seconds, 0, &lost), episode(20, 29, 10, &none)];
    let found = Case::clean(w).with(|e| e.device.capacity = None).findings();
    found.into_iter().find(|f| f.id == FindingId::BlockedApplication).unwrap()
}

#[test]
fn a_program_that_goes_on_is_in_no_deadlock_and_slow_where_its_answers_take_as_long() {
    let slow = stuck_for(3, 3_600);
    assert!(slow.statement.contains("slow at times") && slow.statement.contains("up to 3.6 s"), "{slow:?}");
    let stuck = stuck_for(8, 40);
    assert!(stuck.statement.contains("stopped answering once"), "{stuck:?}");
    for finding in [slow, stuck] {
        assert!(!finding.cause.contains("deadlock"), "{}", finding.cause);
    }
}

#[test]
fn a_rst_on_a_connection_that_found_no_room_is_no_abortive_close() {
    let case = |closed: u64| {
        let reset = row(AnomalyId::RstAfterFin, AnomalyClass::Device, 1, Some("head"));
        let unserved = row(AnomalyId::ClosedUnserved, AnomalyClass::Provoked, closed, Some("head"));
        let resets = ResetCauses { answering_payload: 1, ..ResetCauses::default() };
        Case::clean(head(83)).row(reset).row(unserved).with(|e| e.resets = resets)
    };
    assert!(case(0).ids().contains(&FindingId::AbortiveClose));
    assert_eq!(case(1).ids(), []);
}

#[test]
fn a_program_that_nobody_asked_for_a_while_stopped_some_time_between() {
    let statement = |asked_s| {
        let lost = [(Failure::ReadTimeout, 8)];
        let mut w = dies_after(WorkloadEvidence { at_once: 2, ..head(0) }, 20, &lost);
        for (episode, (from, to)) in w.episodes.iter_mut().zip([(0, 4), (asked_s, 20)]) {
            (episode.from_ns, episode.to_ns) = (from * S, to * S);
        }
        let found = Case::clean(w).findings();
        found.into_iter().find(|f| f.id == FindingId::BlockedApplication).unwrap().statement
    };
    assert!(statement(9).contains("stopped answering between 4.0 s and 9.0 s"), "{}", statement(9));
    assert!(statement(4).contains("stopped answering at 4.0 s"), "{}", statement(4));
}
