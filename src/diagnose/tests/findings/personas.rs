//! What each persona would show is given its finding and no finding of another cause, with everything measured
//! and with less.

use crate::support::*;
use espstress_diagnose::*;
use espstress_event::{
    AnomalyClass, AnomalyId, ByProtocol, Ending, Failure, FailureCounts, IdleCloses, Protocol,
};

const ALL: [&str; 4] = ["everything", "no capture", "no telemetry", "neither"];

#[test]
fn a_robust_device_has_no_finding_in_any_workload() {
    for close in
        [ClosePolicy::Fin, ClosePolicy::Wait, ClosePolicy::Rst, ClosePolicy::Half, ClosePolicy::Vanish]
    {
        let mut w = WorkloadEvidence { close, ..head(5_000) };
        if matches!(close, ClosePolicy::Rst | ClosePolicy::Vanish) {
            ended(&mut w, Ending::Fin, 0);
        }
        Case::clean(w).always(&[]);
    }
    Case::clean(rw(20_000)).always(&[]);
    Case::clean(outage(1)).always(&[]);
}

#[test]
fn a_robust_device_that_takes_its_sockets_back_has_no_finding_from_half_open() {
    let case = Case::clean(half_open())
        .row(row(AnomalyId::RstAfterHandshake, AnomalyClass::Provoked, 6, Some("half-open")))
        .row(row(AnomalyId::AbortiveClose, AnomalyClass::Provoked, 5, Some("half-open")))
        .row(row(AnomalyId::SynUnanswered, AnomalyClass::Device, 14, Some("half-open")))
        .with(|e| {
            let silences = vec![Silence { from_ns: 10 * S, to_ns: Some(30 * S), lost: 20 }];
            e.probes.tcp = Measured::Value(ProbeEvidence { answered: 40, silences, ..probe(60) });
        });
    case.always(&[]);
}

#[test]
fn a_robust_device_has_no_finding_through_a_hundred_outages() {
    let w = outage(100);
    let (icmp, udp) = (probe_through(&w), probe_through(&w));
    let case = Case::clean(w)
        .telemetry(|t| (t.wifi_disconnects, t.wifi_disconnects_made) = (Some(100), 100))
        .with(|e| {
            e.duration_ns = 3_000 * S;
            e.probes.icmp = Measured::Value(icmp);
            e.probes.telemetry = Measured::Value(udp);
            e.path = Some(PathEvidence {
                to_device: PathFigures { data_segments: 9_000, retransmissions: 400, ..Default::default() },
                from_device: PathFigures { data_segments: 9_000, late_fills: 300, ..Default::default() },
                ..Default::default()
            });
        })
        .row(row(AnomalyId::NoAckToData, AnomalyClass::Provoked, 80, Some("outage")))
        .row(row(AnomalyId::AbortiveClose, AnomalyClass::Device, 3, Some("outage")));
    case.always(&[]);
}

#[test]
fn a_clean_run_whose_capture_was_refused_is_left_alone() {
    assert_eq!(Case::clean(head(100)).no_capture(CaptureState::Denied).ids(), []);
}

#[test]
fn unread_close_is_an_abortive_close() {
    let mut w = head(2_000);
    ended(&mut w, Ending::Reset, 2_000);
    let case =
        Case::clean(w).anomaly(AnomalyId::AbortiveClose, 2_000).with(|e| e.resets.answering_payload = 2_000);
    case.always(&[FindingId::AbortiveClose]);
    assert_eq!(case.findings()[0].severity, Severity::Error);
}

#[test]
fn unread_close_is_seen_though_the_rst_answers_the_hosts_ack() {
    let mut w = head(2_000);
    ended(&mut w, Ending::Reset, 2_000);
    Case::clean(w).anomaly(AnomalyId::AbortiveClose, 2_000).always(&[FindingId::AbortiveClose]);
}

#[test]
fn unread_close_on_standing_connections_is_an_abortive_close() {
    let mut w = rw(3_000);
    w.failures.add(Failure::ReadReset, 500);
    w.attempts = 3_500;
    w.episodes = vec![episode(0, 29, 3_000, &w.failures)];
    let case = Case::clean(w).anomaly(AnomalyId::AbortiveClose, 3_500);
    case.seen_in(&["everything", "no telemetry"], &[FindingId::AbortiveClose]);
}

#[test]
fn early_close_is_an_abortive_close() {
    let mut w = head(100);
    ended(&mut w, Ending::Reset, 100);
    let case = Case::clean(w).anomaly(AnomalyId::RstAfterFin, 100).with(|e| e.resets.answering_payload = 100);
    case.always(&[FindingId::AbortiveClose]);
    assert!(case.findings()[0].cause.contains("before the request has arrived"));
    // Five answers on each connection: what meets the close is the next request.
    let connect = Some(Quantiles { count: 100, ..Quantiles::default() });
    let kept = Case::clean(WorkloadEvidence { connect, ..rw(500) })
        .anomaly(AnomalyId::RstAfterFin, 100)
        .with(|e| e.resets.answering_payload = 100);
    let found = kept.findings().remove(0);
    assert!(found.cause.contains("while the next request is on its way"), "{}", found.cause);
    assert!(found.statement.contains("with a FIN while a request is on its way"), "{}", found.statement);
}

#[test]
fn early_close_that_the_hosts_sockets_do_not_show_needs_the_packets() {
    let case = Case::clean(head(100))
        .anomaly(AnomalyId::RstAfterFin, 100)
        .with(|e| e.resets.answering_payload = 100);
    case.seen_in(&["everything", "no telemetry"], &[FindingId::AbortiveClose]);
}

#[test]
fn serial_is_blocked_by_one_silent_client() {
    let w = half_open_with(|h| {
        never_reclaimed(h);
        fell_silent(h, 1, 6, 0);
        h.sockets_used = sockets(5, 6, 6);
    });
    let case = Case::clean(w).anomaly(AnomalyId::SynUnanswered, 10);
    case.always(&[FindingId::BlockedApplication]);
}

#[test]
fn serial_is_blocked_by_the_first_of_several_standing_connections() {
    let w = fails_beside(rw(1_000), &[(Failure::ReadTimeout, 18)]);
    Case::clean(w).always(&[FindingId::BlockedApplication]);
}

#[test]
fn no_keepalive_does_not_reclaim() {
    let case = Case::clean(half_open_with(never_reclaimed))
        .anomaly(AnomalyId::SynUnanswered, 50)
        .anomaly(AnomalyId::RstAfterHandshake, 2)
        .telemetry(|t| t.sockets = Some(SocketsEvidence { first: 5, most: 10, last: 10, limit: Some(10) }));
    case.always(&[FindingId::HalfOpenNotReclaimed]);
    // It makes room for newcomers, and reclaims nothing.
    let change = case.findings().remove(0).change;
    assert!(change.contains("keep_alive_enable") && !change.contains("lru_purge_enable"), "{change}");
}

#[test]
fn no_keepalive_does_not_reclaim_what_head_vanished_from() {
    let w = WorkloadEvidence { close: ClosePolicy::Vanish, at_once: 4, end_ns: 90 * S, ..head(0) };
    let w = dies_after(w, 5, &[(Failure::ReadTimeout, 6), (Failure::ConnectTimeout, 60)]);
    Case::clean(w).always(&[FindingId::HalfOpenNotReclaimed]);
}

#[test]
fn leaky_runs_out_of_sockets() {
    let w = WorkloadEvidence { close: ClosePolicy::Rst, ..head(0) };
    let mut w = dies_after(w, 5, &[(Failure::ReadTimeout, 6), (Failure::ConnectTimeout, 18)]);
    ended(&mut w, Ending::Fin, 0);
    let case = Case::clean(w)
        .anomaly(AnomalyId::SynUnanswered, 18)
        .anomaly(AnomalyId::HalfClosedLinger, 6)
        .telemetry(|t| {
            t.sockets = Some(SocketsEvidence { first: 5, most: 10, last: 10, limit: Some(10) });
            t.requests = 5;
            t.heap = t.heap.map(|h| HeapEvidence { free_last: 78_000, ..h });
        });
    case.always(&[FindingId::SocketExhaustion]);
    assert!(case.findings()[0].cause.contains("after an error"));
}

#[test]
fn hoarder_leaks_heap() {
    let case = Case::clean(head(300)).telemetry(|t| {
        t.requests = 300;
        t.heap = Some(HeapEvidence {
            free_first: 96_000,
            free_middle: Some(57_000),
            free_last: 18_500,
            free_min: 17_000,
            total: Some(113_840),
            largest_block_min: Some(9_000),
            first: InUse::default(),
            last: InUse::default(),
            per_second: Some(Slope { mean: -2_600.0, low: -2_700.0, high: -2_500.0 }),
            per_request: Some(Slope { mean: -258.0, low: -264.0, high: -252.0 }),
            step: None,
            ceiling: None,
            unasked: false,
        });
    });
    case.seen_in(&["everything", "no capture"], &[FindingId::HeapLeak]);
    assert!(case.findings()[0].statement.contains("258.0 B"), "{:?}", case.findings());
    let case = case.telemetry(|t| t.heap = t.heap.map(|h| HeapEvidence { free_min: 5_000, ..h }));
    case.seen_in(&["everything", "no capture"], &[FindingId::HeapLeak, FindingId::HeapLow]);
}

#[test]
fn slow_accept_overflows() {
    let w = WorkloadEvidence { at_once: 16, succeeded: 30, ..head(30) };
    let w = fails_beside(w, &[(Failure::ConnectTimeout, 40), (Failure::ReadTimeout, 20)]);
    let case = Case::clean(w).anomaly(AnomalyId::SynUnanswered, 40);
    case.always(&[FindingId::AcceptOverflow]);
    assert_eq!(case.findings()[0].severity, Severity::Warning, "16 at once are beyond what it says it holds");
    assert_eq!(case.no_telemetry().findings()[0].severity, Severity::Error);
}

#[test]
fn deaf_is_blocked_when_its_window_shuts() {
    let w = dies_after(rw(0), 0, &[(Failure::WriteTimeout, 24)]);
    let case = Case::clean(w).anomaly(AnomalyId::ZeroWindowStall, 24);
    case.always(&[FindingId::BlockedApplication]);
}

#[test]
fn deaf_is_blocked_when_small_requests_stay_unacknowledged() {
    let w = fails_beside(rw(960), &[(Failure::ReadTimeout, 24)]);
    let case = Case::clean(w).anomaly(AnomalyId::NoAckToData, 24).with(|e| {
        let to_device = PathFigures { data_segments: 2_000, retransmissions: 150, ..Default::default() };
        e.path = e.path.map(|p| PathEvidence { to_device, ..p });
        e.workloads[0].tcp = Some(TcpEvidence { connections: 24, retransmissions: 150, rtt_mean_ns: None });
    });
    case.always(&[FindingId::BlockedApplication]);
}

#[test]
fn deaf_is_blocked_when_its_few_connections_are_stuck_at_the_same_time_twice() {
    let mut stuck = FailureCounts::default();
    stuck.add(Failure::ReadTimeout, 2);
    let none = FailureCounts::default();
    let case = |times: u64| {
        let mut w = rw(400);
        w.episodes = vec![
            episode(0, 9, 200, &none),
            episode(10, 15, 0, &stuck),
            episode(15, 19, 196, &none),
            episode(20, 25, 0, if times == 2 { &stuck } else { &none }),
            episode(25, 29, 4, &none),
        ];
        w.episodes.retain(|episode| episode.attempts > 0);
        w.at_once = 2;
        w.failures.add(Failure::ReadTimeout, 2 * times);
        w.succeeded = 400;
        w.attempts = 400 + 2 * times;
        Case::clean(w)
    };
    case(2).always(&[FindingId::BlockedApplication]);
    // Two in a run may be chance; they stay unexplained.
    case(1).always(&[FindingId::UnexplainedFailures]);
}

#[test]
fn half_closer_runs_out_of_sockets() {
    let w = dies_after(head(0), 5, &[(Failure::ReadTimeout, 6), (Failure::ConnectTimeout, 18)]);
    let mut w = w;
    ended(&mut w, Ending::NotEnded, 5);
    let case = Case::clean(w)
        .anomaly(AnomalyId::HalfClosedLinger, 11)
        .anomaly(AnomalyId::SynUnanswered, 18)
        .telemetry(|t| t.sockets = Some(SocketsEvidence { first: 5, most: 10, last: 10, limit: Some(10) }));
    case.always(&[FindingId::SocketExhaustion]);
}

#[test]
fn a_request_that_the_path_lost_before_the_silence_takes_nothing_from_what_the_silence_excuses() {
    let unexplained = |served: u64| {
        let w = half_open_with(|h| h.before = client(5, served));
        let mut w = WorkloadEvidence { attempts: 41, close: ClosePolicy::Fin, ..w };
        let mut early = FailureCounts::default();
        early.add(Failure::EofBeforeResponse, 1);
        w.failures.merge(&early);
        w.episodes.insert(1, episode(1, 3, 0, &early));
        let rows = Case::clean(w).diagnosis().account.rows;
        rows.iter().filter(|row| row.accounted == Accounted::Unexplained).map(|row| row.attempts).sum::<u64>()
    };
    assert_eq!((unexplained(4), unexplained(3)), (1, 1), "the one before, which no silence explains");
    assert_eq!(unexplained(2), 21, "a device that failed most before needed no silence for that");
}

#[test]
fn half_closer_that_has_not_run_out_yet_is_a_warning() {
    let mut w = head(4);
    ended(&mut w, Ending::NotEnded, 4);
    let case = Case::clean(w).anomaly(AnomalyId::HalfClosedLinger, 4);
    case.always(&[FindingId::SocketExhaustion]);
    assert_eq!(case.findings()[0].severity, Severity::Warning);
    // No request was due any more, and the probe met a full queue.
    let probed = |to_ns| {
        let silences = vec![Silence { from_ns: 27 * S, to_ns, lost: 3 }];
        let tcp = ProbeEvidence { answered: 57, silences, ..probe(60) };
        case.clone().with(|e| e.probes.tcp = Measured::Value(tcp)).findings()[0].clone()
    };
    assert_eq!(probed(Some(30 * S)).severity, Severity::Warning);
    let full = probed(None);
    assert_eq!(full.severity, Severity::Error);
    assert!(full.statement.contains("at the end 3 handshakes in a row got no answer"), "{}", full.statement);
}

#[test]
fn a_device_that_still_sends_after_the_clients_close_keeps_no_socket() {
    let mut w = head(10);
    ended(&mut w, Ending::StillSending, 10);
    assert_eq!(Case::clean(w).no_telemetry().ids(), []);
}

#[test]
fn resets_in_the_place_of_answers_on_kept_connections_are_no_abortive_close() {
    let kept = |served: u64, connections: u64| {
        let mut w = fails_beside(rw(served), &[(Failure::ReadReset, connections)]);
        w.connect = Some(Quantiles { count: connections, ..Quantiles::default() });
        Case::clean(w)
            .anomaly(AnomalyId::AbortiveClose, connections)
            .with(|e| e.resets.instead_of_answer = connections)
    };
    kept(60, 10).seen_in(&["everything", "no telemetry"], &[FindingId::ResetsRequests]);
    assert!(kept(60, 10).findings()[0].statement.contains("answering 10 of 70 requests"));
    // There each connection served one, and its end is the close.
    kept(10, 10).seen_in(&["everything", "no telemetry"], &[FindingId::AbortiveClose]);
}

#[test]
fn a_close_that_no_answer_announced_is_the_cause_however_the_next_request_fares() {
    let race = |failures: &[(Failure, u64)], median_us: u64| {
        let mut w = fails_beside(rw(500), failures);
        w.asks = Asks { window: 1, ..Asks::default() };
        w.connect = Some(Quantiles { count: 100, ..Quantiles::default() });
        w.idle_closes = Some(IdleCloses { count: 70, min_us: 2, median_us, before_request: 0, told: 0 });
        Case::clean(w).no_telemetry()
    };
    let of = |case: &Case| -> Vec<(FindingId, String)> {
        let found = case.findings().into_iter().filter(|f| f.severity == Severity::Error);
        found.map(|f| (f.id, f.cause)).collect()
    };
    let cause =
        "the program closes a persistent connection without saying so, while the next request is on its way"
            .to_owned();
    let ended = race(&[(Failure::EofBeforeResponse, 20)], 6);
    assert_eq!(of(&ended), [(FindingId::ClosesUnserved, cause.clone())]);
    let reset = [(Failure::ReadReset, 30)];
    assert_eq!(of(&race(&reset, 6)), [(FindingId::ResetsRequests, cause.clone())]);
    let unread = |median| race(&reset, median).anomaly(AnomalyId::AbortiveClose, 30);
    assert_eq!(of(&unread(6)), [(FindingId::AbortiveClose, cause.clone())]);
    // A time-out of idle connections is no close behind an answer.
    assert_ne!(of(&unread(5_000_000))[0].1, cause);
    // Beside others whose connections end well, it is the cause of the ones that met it all the same.
    let beside = |met: &str| {
        let case = race(&reset, 6).row(row(AnomalyId::AbortiveClose, AnomalyClass::Device, 30, Some(met)));
        let mut clean = head(1_000);
        clean.connect = Some(Quantiles { count: 1_000, ..Quantiles::default() });
        of(&case.with(|e| e.workloads.push(clean)))[0].clone()
    };
    assert_eq!(beside("rw"), (FindingId::AbortiveClose, cause.clone()));
    assert_ne!(beside("head").1, cause);
}

#[test]
fn resets_on_kept_connections_are_counted_by_connection_and_their_cause_is_a_guess() {
    let mut w = rw(97);
    w.connect = Some(Quantiles { count: 4, ..Quantiles::default() });
    let found = Case::clean(w).anomaly(AnomalyId::AbortiveClose, 3).findings();
    assert_eq!((found[0].id, found[0].severity), (FindingId::AbortiveClose, Severity::Error));
    assert!(found[0].statement.contains("3 of 4 connections (75 %)"), "{}", found[0].statement);
    assert!(found[0].cause.starts_with("usually") && found[0].cause.contains("SO_LINGER"));
}

#[test]
fn a_websocket_that_the_device_closed_by_a_close_frame_is_no_abortive_close() {
    let mut w = fails_beside(rw(84), &[(Failure::EofBeforeResponse, 16)]);
    let mut ws = espstress_event::WebSockets { handshakes: 5, pings: 5, pongs: 5, ..Default::default() };
    ws.closes.insert("normal".into(), 4);
    w.asks.protocol = Protocol::WebSocket;
    w.by_protocol = Some(Box::new(ByProtocol { websocket: Some(ws), ..ByProtocol::default() }));
    let case = Case::clean(w)
        .no_telemetry()
        .anomaly(AnomalyId::RstAfterFin, 4)
        .with(|e| e.resets.answering_payload = 4);
    assert_eq!(case.ids(), [FindingId::UnexplainedFailures]);
    let found = case.findings().remove(0);
    assert!(found.statement.contains("the device closed their WebSocket connections"), "{}", found.statement);
}

#[test]
fn a_websocket_that_sends_other_messages_in_place_of_the_echo_does_not_hang() {
    let of = |passed_over| {
        let mut w = fails_beside(rw(180), &[(Failure::ReadTimeout, 20)]);
        let ws =
            espstress_event::WebSockets { handshakes: 22, pushed: 20, passed_over, ..Default::default() };
        w.asks.protocol = Protocol::WebSocket;
        w.by_protocol = Some(Box::new(ByProtocol { websocket: Some(ws), ..ByProtocol::default() }));
        Case::clean(w).findings().remove(0)
    };
    let found = of(20);
    assert_eq!(found.id, FindingId::UnexplainedFailures);
    assert!(found.statement.contains("while the device sent others on the same connections"), "{found:?}");
    assert!(found.cause.contains("something else") && !found.cause.contains("unknown"), "{found:?}");
    assert_eq!(of(0).id, FindingId::BlockedApplication);
}

#[test]
fn a_program_that_answers_others_meanwhile_is_not_said_to_hang() {
    let beside = Case::clean(fails_beside(rw(180), &[(Failure::ReadTimeout, 20)])).findings().remove(0);
    assert_eq!(beside.id, FindingId::BlockedApplication);
    assert!(beside.statement.ends_with("its program answered others meanwhile or soon after."), "{beside:?}");
    assert!(!beside.cause.contains("hangs") && beside.cause.contains("loses some requests"), "{beside:?}");
    let dead = Case::clean(dies_after(rw(0), 180, &[(Failure::ReadTimeout, 20)])).findings().remove(0);
    assert!(dead.cause.contains("hangs"), "{dead:?}");
}

#[test]
fn who_refuses_a_body_may_close_without_reading_it_however_many_resets_that_makes() {
    for resets in [1, 10] {
        let mut w = rw(10);
        w.asks = Asks { body: true, method: Some("POST".into()), window: 1, ..Asks::default() };
        w.responses.add(413, 10);
        w.first_status = Some(413);
        let case = Case::clean(w).anomaly(AnomalyId::AbortiveClose, resets);
        assert_eq!(case.ids(), [FindingId::HttpErrors], "{resets} resets");
        let mut taken = rw(10);
        taken.asks.body = true;
        taken.responses.add(200, 10);
        let case = Case::clean(taken).anomaly(AnomalyId::AbortiveClose, resets);
        assert_eq!(case.ids(), [FindingId::AbortiveClose], "{resets} resets");
    }
}

#[test]
fn who_announces_the_close_may_leave_the_requests_behind_it_unread() {
    let mut w = rw(40);
    w.http.left_behind = 10;
    Case::clean(w.clone()).anomaly(AnomalyId::AbortiveClose, 10).always(&[]);
    let case = Case::clean(w).anomaly(AnomalyId::AbortiveClose, 20);
    assert_eq!(case.ids(), [FindingId::AbortiveClose], "ten more had no such excuse");
}

#[test]
fn frozen_is_blocked_in_any_workload() {
    let lost = [(Failure::ReadTimeout, 6), (Failure::ConnectTimeout, 18)];
    Case::clean(dies_after(head(0), 0, &lost))
        .anomaly(AnomalyId::HalfClosedLinger, 6)
        .anomaly(AnomalyId::SynUnanswered, 18)
        .always(&[FindingId::BlockedApplication]);
    Case::clean(dies_after(rw(0), 0, &lost)).always(&[FindingId::BlockedApplication]);
    let w = half_open_with(|h| {
        never_reclaimed(h);
        fell_silent(h, 0, 6, 0);
        h.before = client(3, 0);
        h.sockets_used = sockets(5, 5, 5);
    });
    Case::clean(WorkloadEvidence { succeeded: 0, ..w }).always(&[FindingId::BlockedApplication]);
    // The queue was full before any connection could be held.
    let w = half_open();
    let episodes = vec![episode(0, 30, 0, &w.failures)];
    let none_held = WorkloadEvidence { succeeded: 0, half_open: None, episodes, ..w };
    Case::clean(none_held).always(&[FindingId::BlockedApplication]);
    let w = dies_after(outage(0), 0, &[(Failure::ReadTimeout, 12)]);
    Case::clean(w).always(&[FindingId::BlockedApplication]);
}

#[test]
fn frozen_after_a_while_is_blocked() {
    let lost = [(Failure::ReadTimeout, 10), (Failure::ConnectTimeout, 18)];
    let head_case = Case::clean(dies_after(head(0), 2_000, &lost))
        .anomaly(AnomalyId::HalfClosedLinger, 10)
        .anomaly(AnomalyId::SynUnanswered, 18)
        .telemetry(|t| t.sockets = Some(SocketsEvidence { first: 5, most: 9, last: 8, limit: Some(10) }));
    head_case.always(&[FindingId::BlockedApplication]);
    head_case.no_icmp().always(&[FindingId::BlockedApplication]);
    Case::clean(dies_after(rw(0), 2_000, &lost)).always(&[FindingId::BlockedApplication]);
}

#[test]
fn rebooting_is_told_by_telemetry_in_any_workload() {
    let restart =
        |s: u64| RestartEvidence { at_ns: s * S, reason: Some(ResetReason::Software), last_words: None };
    let cut = fails_beside(rw(5_000), &[(Failure::ReadReset, 20)]);
    let mut storm = fails_beside(head(5_000), &[(Failure::ReadReset, 9), (Failure::ConnectTimeout, 4)]);
    storm.failures.add(Failure::ConnectRefused, 3);
    let natural = EndedOutage {
        outage: seen(OutageOrigin::Natural, 9_500 * MS, 5 * S),
        recovery: Recovery::After(14 * S),
    };
    let mut out = outage(0);
    out.outages = Some(OutageEvidence { natural: 1, rows: vec![natural], ..Default::default() });
    let half = half_open_with(|h| (h.exhausted, h.during.served) = (Some(false), 19));
    for w in [cut, storm, out, half] {
        let case = Case::clean(w)
            .anomaly(AnomalyId::AbortiveClose, 20)
            .anomaly(AnomalyId::RstAfterHandshake, 4)
            .anomaly(AnomalyId::SynRefused, 2)
            .with(|e| {
                let silences = vec![Silence { from_ns: 9 * S, to_ns: Some(12 * S), lost: 2 }];
                e.probes.icmp = Measured::Value(ProbeEvidence { answered: 54, silences, ..probe(60) });
                e.resets.answering_payload = 20;
            })
            .telemetry(|t| t.restarts = [5, 10, 15, 20, 25].map(restart).to_vec());
        for case in [case.clone(), case.no_capture(CaptureState::Off)] {
            assert_eq!(case.ids(), [FindingId::DeviceRebooted], "{:#?}", case.findings());
        }
    }
}

#[test]
fn rebooting_without_telemetry_is_suspected_and_not_called_anything_else() {
    for w in [rw(5_000), head(5_000)] {
        let w = fails_beside(w, &[(Failure::ReadReset, 20)]);
        let case = Case::clean(w).anomaly(AnomalyId::AbortiveClose, 20).no_telemetry().with(|e| {
            (e.resets.after_absence, e.resets.forgotten) = (20, 20);
            e.probes.icmp = Measured::Value(ProbeEvidence { answered: 57, ..probe(60) });
        });
        for case in [case.clone(), case.no_capture(CaptureState::Off)] {
            assert_eq!(case.ids(), [FindingId::DeviceRebooted]);
            assert_eq!(case.findings()[0].severity, Severity::Warning);
        }
    }
}

#[test]
fn requests_that_wait_behind_others_when_the_device_closes_are_no_sign_of_a_restart() {
    let mut w = fails_beside(rw(5_000), &[(Failure::WriteReset, 20)]);
    w.asks = Asks { protocol: Protocol::WebSocket, window: 4, ..Asks::default() };
    let case = |w, answered| {
        Case::clean(w).no_telemetry().no_capture(CaptureState::Off).with(|e| {
            e.probes.icmp = Measured::Value(ProbeEvidence { answered, ..probe(60) });
        })
    };
    assert!(!case(w.clone(), 59).ids().contains(&FindingId::DeviceRebooted));
    w.asks.window = 1;
    assert_eq!(case(w.clone(), 59).ids(), [FindingId::DeviceRebooted]);
    // Who restarts answers no ping meanwhile.
    assert!(!case(w.clone(), 60).ids().contains(&FindingId::DeviceRebooted));
    // And who refused others in between did not go on at once.
    let mut refused = FailureCounts::default();
    refused.add(Failure::ConnectRefused, 30);
    let mut short = head(300);
    short.failures.merge(&refused);
    short.attempts += 30;
    short.episodes.push(episode(12, 13, 0, &refused));
    let both = case(w, 59).with(|e| e.workloads.push(short)).findings();
    let said = both.iter().find(|f| f.id == FindingId::DeviceRebooted).unwrap();
    assert!(said.statement.contains("then refused 30 connections"), "{}", said.statement);
    assert_eq!(said.severity, Severity::Error);
}

#[test]
fn a_reused_port_in_time_wait_is_told_with_and_without_packets() {
    let w = WorkloadEvidence { close: ClosePolicy::Wait, at_once: 1, local_ports: Some(100), ..head(100) };
    let mut w = dies_after(w, 100, &[(Failure::ConnectTimeout, 40)]);
    let served = FailureCounts::default();
    w.episodes = vec![episode(0, 20, 100, &served), episode(25, 30, 0, &w.failures)];
    let case = Case::clean(w)
        .anomaly(AnomalyId::TimewaitCollision, 40)
        .anomaly(AnomalyId::SynUnanswered, 40)
        .telemetry(|t| {
            t.time_wait = Some(TimeWaitEvidence { first: 0, most: 100, last: 100 });
            t.heap = t.heap.map(|h| HeapEvidence {
                free_last: 66_000,
                free_middle: Some(80_000),
                per_request: Some(Slope { mean: -300.0, low: -310.0, high: -290.0 }),
                ..h
            });
        });
    case.always(&[FindingId::TimewaitPortReuse]);
    assert!(case.findings()[0].change.contains("CONFIG_LWIP_TCP_MSL=6000"));
    assert!(case.findings()[0].cause.starts_with("the device closes first"), "{:?}", case.findings());
    // Connections from which a client had vanished before the run answer in the same way, and nobody is kept out.
    let example = |remark: &str| Example { remark: Some(remark.into()), ..example() };
    let met = |remark| {
        let mut met = row(AnomalyId::TimewaitCollision, AnomalyClass::Device, 10, Some("head"));
        met.examples = vec![example(remark)];
        Case::clean(head(10)).row(met).findings().remove(0)
    };
    let unseen = met(espstress_event::END_NOT_SEEN);
    assert!(unseen.statement.ends_with("(10 times); no attempt timed out."), "{unseen:?}");
    assert!(unseen.cause.contains("or because they never ended"), "{unseen:?}");
    assert!(met("suspected: another").cause.starts_with("the device closes first"));
}

fn example() -> Example {
    Example {
        host: "192.0.2.1:40000".into(),
        device: "192.0.2.2:80".into(),
        at_s: 1.0,
        lasted_s: None,
        remark: None,
        packets: Vec::new(),
    }
}

#[test]
fn a_heap_full_of_time_wait_is_low_and_no_leak() {
    let w = WorkloadEvidence { close: ClosePolicy::Wait, ..head(460) };
    let w = fails_beside(w, &[(Failure::ConnectTimeout, 30)]);
    let case = Case::clean(w).anomaly(AnomalyId::SynUnanswered, 30).telemetry(|t| {
        t.requests = 460;
        t.time_wait = Some(TimeWaitEvidence { first: 0, most: 434, last: 430 });
        t.heap = t.heap.map(|h| HeapEvidence {
            free_first: 96_000,
            free_middle: Some(2_000),
            free_last: 1_500,
            free_min: 300,
            per_request: Some(Slope { mean: -215.0, low: -220.0, high: -210.0 }),
            per_second: Some(Slope { mean: -3_000.0, low: -4_000.0, high: -2_000.0 }),
            ..h
        });
    });
    for case in [case.clone(), case.clone().no_capture(CaptureState::Off)] {
        assert_eq!(case.ids(), [FindingId::HeapLow], "{:#?}", case.findings());
    }
    assert!(case.findings()[0].cause.contains("TIME_WAIT"));
    assert_eq!(case.findings()[0].severity, Severity::Error, "requests failed for want of it");
    let bearable = case.telemetry(|t| t.heap = t.heap.map(|h| HeapEvidence { free_min: 6_000, ..h }));
    assert_eq!(bearable.findings()[0].severity, Severity::Warning);
}

#[test]
fn a_late_close_that_meets_a_rst_is_the_fin_wait_timeout() {
    let w = WorkloadEvidence { close: ClosePolicy::Wait, ..head(50) };
    let case = Case::clean(w)
        .anomaly(AnomalyId::RstAfterFin, 50)
        .with(|e| e.resets.answering_late_close = 50)
        .with(|e| e.device.fin_wait_timeout_ms = Some(2_000));
    case.seen_in(&["everything", "no telemetry"], &[FindingId::FinWaitTimeout]);
    assert_eq!(case.no_capture(CaptureState::Off).ids(), []);
}

#[test]
fn power_save_is_told_by_its_beacons_and_is_no_loss() {
    for (beacons, mode) in [(1, "MIN_MODEM"), (3, "MAX_MODEM")] {
        let spread = beacons * 102_400_000;
        let sleepy = |sent| ProbeEvidence {
            latency: Some(Quantiles {
                count: sent,
                min_ns: 5 * MS,
                p50_ns: 5 * MS + spread / 2,
                p90_ns: 5 * MS + spread / 10 * 9,
                p99_ns: 5 * MS + spread / 100 * 98,
                max_ns: 6 * MS + spread,
            }),
            ..probe(sent)
        };
        let case = Case::clean(head(300)).with(|e| {
            e.probes.icmp = Measured::Value(sleepy(60));
            e.probes.tcp = Measured::Value(sleepy(60));
            e.probes.telemetry = Measured::Value(sleepy(60));
            // The host repeats what is only late.
            let to_device = PathFigures { data_segments: 600, retransmissions: 90, ..Default::default() };
            e.path = e.path.map(|p| PathEvidence { to_device, ..p });
            e.workloads[0].tcp =
                Some(TcpEvidence { connections: 300, retransmissions: 90, rtt_mean_ns: None });
        });
        let case = case.telemetry(|t| t.power_save = Some(PowerSave::from(mode.to_owned())));
        case.always(&[FindingId::PowerSaveLatency]);
        case.no_icmp().always(&[FindingId::PowerSaveLatency]);
    }
}

#[test]
fn a_lossy_link_is_said_alone_and_is_no_error() {
    let w = fails_beside(head(2_000), &[(Failure::ConnectTimeout, 2)]);
    let case = Case::clean(w).with(|e| {
        e.probes.icmp = Measured::Value(ProbeEvidence { answered: 94, ..probe(100) });
        e.probes.telemetry = Measured::Value(ProbeEvidence { answered: 95, ..probe(100) });
        e.path = Some(PathEvidence {
            to_device: PathFigures { data_segments: 2_000, retransmissions: 64, ..Default::default() },
            from_device: PathFigures { data_segments: 2_000, late_fills: 50, ..Default::default() },
            ..Default::default()
        });
        e.workloads[0].tcp =
            Some(TcpEvidence { connections: 2_000, retransmissions: 120, rtt_mean_ns: None });
    });
    let case = case.row(row(AnomalyId::Retransmission, AnomalyClass::Path, 114, Some("head")));
    case.always(&[FindingId::LossyLink]);
    for (view, case) in case.no_icmp().views() {
        let found = case.findings();
        assert!(
            found.iter().all(|f| {
                matches!(f.id, FindingId::LossyLink | FindingId::UnexplainedFailures)
                    && f.severity != Severity::Error
            }),
            "{view}"
        );
    }
}

#[test]
fn a_finding_of_a_run_whose_capture_was_refused_says_so() {
    let case = Case::clean(dies_after(head(0), 0, &[(Failure::ReadTimeout, 20)]));
    let ids = case.no_capture(CaptureState::Denied).ids();
    assert_eq!(ids, [FindingId::BlockedApplication, FindingId::CaptureIncomplete]);
}

#[test]
fn every_view_is_looked_at() {
    let names = Case::clean(head(1)).views().map(|(view, _)| view);
    assert_eq!(names, ALL);
}
