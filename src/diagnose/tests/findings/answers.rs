//! Devices that answer otherwise than they are asked: what is said of each, and of the neighbours that look alike.

use crate::support::*;
use espstress_diagnose::*;
use espstress_event::{
    AnomalyClass, AnomalyId, ByProtocol, Episode, Failure, FailureCounts, FaultSeen, HttpFault, MqttBig,
    MqttBigEnd, MqttFault, MqttOutage, MqttToDevice, Protocol, TlsFault, TlsFaultSeen, TlsFigures,
    WebSockets,
};

pub(crate) fn asks(method: &str) -> Asks {
    Asks { method: Some(method.into()), window: 1, ..Asks::default() }
}

pub(crate) fn get(attempts: u64) -> WorkloadEvidence {
    WorkloadEvidence { asks: asks("GET"), ..rw(attempts) }
}

pub(crate) fn head_by_head(attempts: u64) -> WorkloadEvidence {
    WorkloadEvidence { asks: asks("HEAD"), at_once: 1, ..head(attempts) }
}

pub(crate) fn answered_with(mut w: WorkloadEvidence, status: u16, n: u64) -> WorkloadEvidence {
    w.responses.add(status, n);
    w.first_status.get_or_insert(status);
    w
}

fn at_fault(
    mut w: WorkloadEvidence,
    fault: HttpFault,
    n: u64,
    (promised, received): (u64, u64),
) -> WorkloadEvidence {
    for _ in 0..n {
        let seen =
            FaultSeen { fault, promised: Some(promised), received: Some(received), detail: "then FIN" };
        w.malformed.count(seen);
    }
    w
}

pub(crate) fn said(case: &Case) -> Vec<(FindingId, Severity)> {
    case.findings().into_iter().map(|f| (f.id, f.severity)).collect()
}

pub(crate) fn statement(case: &Case) -> String {
    case.findings()[0].statement.clone()
}

#[test]
fn a_chunked_body_without_its_last_chunk_has_no_content_length_to_blame() {
    let mut w = fails_beside(get(10), &[(Failure::TruncatedResponse, 30)]);
    let detail = "the last chunk did not come";
    (0..30).for_each(|_| {
        w.malformed.count(FaultSeen {
            fault: HttpFault::Truncated,
            promised: None,
            received: Some(5),
            detail,
        });
    });
    let found = Case::clean(w).findings().remove(0);
    assert!(found.cause.contains("without the last chunk"), "{}", found.cause);
    assert!(!found.cause.contains("Content-Length"), "{}", found.cause);
}

#[test]
fn a_port_that_has_served_requests_does_speak_http() {
    for (served, doubted) in [(0, true), (40, false)] {
        let w = fails_beside(get(served), &[(Failure::BadResponse, 30)]);
        let found = Case::clean(at_fault(w, HttpFault::BadHead, 30, (0, 0))).findings();
        let malformed = found.iter().find(|f| f.id == FindingId::MalformedResponse).unwrap();
        assert_eq!(malformed.cause.contains("the port doesn't speak HTTP"), doubted, "{}", malformed.cause);
    }
}

#[test]
fn responses_without_an_end_that_failed_are_named_and_are_no_hang() {
    for n in [1, 3] {
        let mut w = WorkloadEvidence { at_once: 1, ..dies_after(get(0), 0, &[(Failure::ReadTimeout, n)]) };
        (0..n).for_each(|_| {
            w.malformed.count(FaultSeen {
                fault: HttpFault::Endless,
                promised: None,
                received: Some(2_700),
                detail: "a response without an end: still coming after 12 read timeouts",
            });
        });
        let case = Case::clean(w);
        assert_eq!(said(&case), [(FindingId::MalformedResponse, Severity::Error)], "{n}");
        assert!(
            statement(&case).contains("after 12 read timeouts, the first after 2,700 bytes"),
            "{}",
            statement(&case)
        );
    }
}

#[test]
fn a_response_that_is_too_short_has_its_figures_and_is_an_error() {
    let w = fails_beside(get(10), &[(Failure::TruncatedResponse, 30)]);
    let case = Case::clean(at_fault(w, HttpFault::Truncated, 30, (1_306, 1_305)));
    case.always(&[FindingId::MalformedResponse]);
    assert!(statement(&case).contains("promised 1,306 bytes and sent 1,305"), "{}", statement(&case));
}

#[test]
fn responses_that_break_off_each_time_are_no_hang_and_one_that_breaks_off_as_all_ends_is() {
    let stopped = dies_after(WorkloadEvidence { at_once: 1, ..get(0) }, 0, &[(Failure::ReadTimeout, 6)]);
    let each = at_fault(stopped.clone(), HttpFault::Truncated, 6, (1_306, 1_305));
    Case::clean(each).always(&[FindingId::MalformedResponse]);
    // The first broke off in the middle; the others began no more.
    let last = at_fault(stopped, HttpFault::Truncated, 1, (1_306, 700));
    assert_eq!(Case::clean(last).ids(), [FindingId::BlockedApplication]);
}

#[test]
fn what_http_allows_is_worth_knowing_and_no_more() {
    for fault in [HttpFault::CloseIgnored, HttpFault::NoLength, HttpFault::BodyBeforeClose] {
        let case = Case::clean(at_fault(get(20), fault, 20, (0, 0)));
        assert_eq!(said(&case), [(FindingId::MalformedResponse, Severity::Info)], "{}", fault.name());
    }
    for (fault, severity) in [
        (HttpFault::BodyAfterHead, Severity::Warning),
        (HttpFault::BadChunk, Severity::Warning),
        (HttpFault::Overlong, Severity::Error),
        (HttpFault::BodyNotAllowed, Severity::Error),
    ] {
        let case = Case::clean(at_fault(get(20), fault, 20, (300, 373)));
        assert_eq!(said(&case), [(FindingId::MalformedResponse, severity)], "{}", fault.name());
    }
}

#[test]
fn a_page_that_is_on_its_way_as_the_time_is_up_is_endless_only_where_no_other_came() {
    let stream = at_fault(get(0), HttpFault::Endless, 1, (60, 5));
    assert!(statement(&Case::clean(stream)).contains("didn't end"));
    assert_eq!(Case::clean(at_fault(get(20), HttpFault::Endless, 1, (60_000, 500))).ids(), []);
}

#[test]
fn connections_that_are_cut_without_an_answer_are_named_and_a_few_are_not() {
    let cut = |failure, n| {
        let mut w = fails_beside(WorkloadEvidence { at_once: 1, ..head(60) }, &[(failure, n)]);
        let when = CutRequests {
            acknowledged: n,
            least_ns: Some(MS),
            most_ns: Some(4 * MS),
            ..CutRequests::default()
        };
        w.unserved = Some(Unserved { reset: when, closed: when });
        Case::clean(w)
    };
    assert_eq!(cut(Failure::ReadReset, 60).no_telemetry().ids(), [FindingId::ResetsRequests]);
    let closed = cut(Failure::EofBeforeResponse, 12);
    assert_eq!(closed.ids(), [FindingId::ClosesUnserved]);
    let text = statement(&closed);
    assert!(text.contains("The device closed 12 of 72 connections 1 ms to 4 ms after"), "{text}");
    assert_eq!(cut(Failure::EofBeforeResponse, 3).ids(), [FindingId::UnexplainedFailures]);
}

#[test]
fn a_head_that_nobody_answers_is_told_from_a_hang_by_a_get() {
    let silent = dies_after(head_by_head(0), 0, &[(Failure::ReadTimeout, 20)]);
    let alone = Case::clean(silent.clone());
    assert_eq!(alone.ids(), [FindingId::BlockedApplication]);
    assert!(alone.findings()[0].change.contains("--method GET"));
    let beside = Case::clean(silent).with(|e| e.workloads.push(get(20)));
    assert_eq!(said(&beside), [(FindingId::HeadUnanswered, Severity::Warning)]);
    // A GET for another page says nothing of this one, and neither does one on a connection that keeps all others out.
    let of_page = |path: &str, w: WorkloadEvidence| {
        let asks = Asks { path: Some(path.into()), ..w.asks.clone() };
        WorkloadEvidence { asks, ..w }
    };
    let pages = |head: &str, get_by: WorkloadEvidence| {
        let silent = dies_after(head_by_head(0), 0, &[(Failure::ReadTimeout, 20)]);
        let case = Case::clean(of_page(head, silent)).with(|e| e.workloads.push(of_page("/", get_by)));
        case.ids().contains(&FindingId::HeadUnanswered)
    };
    let kept = WorkloadEvidence { connect: Some(Quantiles { count: 1, ..Quantiles::default() }), ..get(20) };
    assert!(pages("/", get(20)) && !pages("/log", get(20)) && !pages("/", kept));
}

#[test]
fn a_stranger_that_answers_no_frames_speaks_something_else_and_the_device_program_hangs() {
    let mut w = dies_after(rw(0), 0, &[(Failure::ReadTimeout, 20)]);
    w.asks = Asks { protocol: Protocol::Framed, window: 1, ..Asks::default() };
    assert_eq!(Case::clean(w.clone()).ids(), [FindingId::BlockedApplication]);
    assert_eq!(Case::clean(w.clone()).no_telemetry().ids(), [FindingId::OtherProtocol]);
    // Who speaks something else accepts its clients: a full backlog is a program that hangs, by the packets or the probe.
    let full = Case::clean(w.clone()).no_telemetry().anomaly(AnomalyId::SynUnanswered, 25);
    assert_eq!(full.ids(), [FindingId::BlockedApplication]);
    let probed = Case::clean(w).no_telemetry().with(|e| {
        e.probes.tcp = Measured::Value(ProbeEvidence { answered: 6, ..probe(29) });
    });
    assert_eq!(probed.ids(), [FindingId::BlockedApplication]);
}

#[test]
fn requests_lost_behind_others_are_told_from_a_hang_by_the_first_of_each_connection() {
    let window =
        |w: WorkloadEvidence| WorkloadEvidence { asks: Asks { window: 4, ..asks("GET") }, at_once: 1, ..w };
    let mut lost = FailureCounts::default();
    lost.add(Failure::ReadTimeout, 3);
    let mut w = window(get(40));
    w.episodes = (0..10)
        .flat_map(|n| [episode(n, n, 4, &FailureCounts::default()), episode(n, n + 1, 0, &lost)])
        .collect();
    (0..10).for_each(|_| w.failures.merge(&lost));
    w.attempts += 30;
    assert_eq!(Case::clean(w).ids(), [FindingId::PipeliningLost]);
    let hung = dies_after(window(get(0)), 40, &[(Failure::ReadTimeout, 8)]);
    assert_eq!(Case::clean(hung).ids(), [FindingId::BlockedApplication]);
}

/// Each answer took so long.
fn took(w: WorkloadEvidence, ns: u64) -> WorkloadEvidence {
    let main = Quantiles { count: w.succeeded, min_ns: ns, p50_ns: ns, p90_ns: ns, p99_ns: ns, max_ns: ns };
    WorkloadEvidence { main: Some(main), ..w }
}

#[test]
fn waits_that_no_answer_of_this_run_shows_are_those_of_another_program() {
    let seen = |waited, main: Quantiles| {
        let waits = AckWaits { waited, total_ns: waited * 44 * MS, longest_ns: 45 * MS, otherwise: 0 };
        let w = WorkloadEvidence { main: Some(main), ..get(80) };
        Case::clean(w).with(|e| e.ack_waits = Some(waits)).ids()
    };
    let quick = took(get(80), MS).main.unwrap();
    assert_eq!(seen(196, quick), []);
    assert_eq!(seen(30, Quantiles { max_ns: 44 * MS, ..quick }), [], "many waited, and one took as long");
    assert_eq!(seen(30, Quantiles { p90_ns: 44 * MS, ..quick }), [FindingId::NagleDelay]);
    assert_eq!(seen(7, Quantiles { max_ns: 44 * MS, ..quick }), [FindingId::NagleDelay]);
}

#[test]
fn segments_that_wait_for_an_acknowledgement_are_named_unless_as_many_come_at_other_times() {
    let waits = |waited, otherwise| {
        let seen = AckWaits { waited, total_ns: waited * 42 * MS, longest_ns: 44 * MS, otherwise };
        Case::clean(took(get(200), 43 * MS)).with(|e| e.ack_waits = Some(seen))
    };
    let case = waits(199, 3);
    assert_eq!(said(&case), [(FindingId::NagleDelay, Severity::Warning)]);
    assert!(statement(&case).contains("199 times, 42 ms each"), "{}", statement(&case));
    assert!(case.findings()[0].change.contains("TCP_NODELAY"));
    assert_eq!((waits(20, 10).ids(), waits(20, 11).ids()), (vec![FindingId::NagleDelay], vec![]));
    assert_eq!(waits(4, 0).ids(), []);
}

#[test]
fn what_is_written_in_pieces_is_said_by_what_the_device_speaks() {
    let cause = |w: WorkloadEvidence| {
        let seen = AckWaits { waited: 50, total_ns: 50 * 42 * MS, longest_ns: 44 * MS, otherwise: 0 };
        let found = Case::clean(w).with(|e| e.ack_waits = Some(seen)).findings();
        let named = found.iter().find(|f| f.id == FindingId::NagleDelay).unwrap();
        assert!(named.change.contains("TCP_NODELAY"));
        named.cause.clone()
    };
    assert!(cause(took(get(200), 43 * MS)).contains("sends its response in several small writes"));
    let mut tls = get(200);
    tls.http.tls = Some(TlsFigures { full: 200, ..TlsFigures::default() });
    assert!(cause(tls).contains("session tickets"));
    assert!(
        cause(workload("mqtt", WorkloadKind::Mqtt, 1)).contains("writes its packets in several small pieces")
    );
}

#[test]
fn connections_that_are_cut_in_the_tls_handshake_were_accepted() {
    let cut = |part: CutRequests| {
        let mut w = fails_beside(get(26), &[(Failure::ReadReset, 34)]);
        let seen = TlsFaultSeen { fault: TlsFault::Reset, detail: "ClientHello sent".into() };
        let tls = w.http.tls.get_or_insert_default();
        (0..34).for_each(|_| tls.failed(seen.clone()));
        w.unserved = Some(Unserved { reset: part, ..Unserved::default() });
        Case::clean(w).no_telemetry().anomaly(AnomalyId::RstAfterHandshake, 34)
    };
    let hello =
        CutRequests { acknowledged: 34, least_ns: Some(MS), most_ns: Some(4 * MS), ..CutRequests::default() };
    assert_eq!(said(&cut(hello)), [(FindingId::TlsFailed, Severity::Error)]);
    let blind = cut(hello).no_capture(CaptureState::Off).with(|e| e.workloads[0].unserved = None);
    assert_eq!(said(&blind), [(FindingId::TlsFailed, Severity::Error)]);
    // Nobody had the ClientHello.
    let refused = CutRequests { unacknowledged: 34, ..CutRequests::default() };
    assert_eq!(cut(refused).ids(), [FindingId::AcceptOverflow]);
}

#[test]
fn full_size_pings_tell_a_path_that_swallows_large_answers_from_a_hang() {
    let silent = dies_after(head_by_head(0), 0, &[(Failure::ReadTimeout, 3)]);
    let pinged = |lost: u64, answered: u64| {
        Case::clean(silent.clone()).no_telemetry().with(|e| {
            let full_size = Some(FullSize { bytes: 1_500, sent: 5, answered, reported: None });
            e.probes.icmp = Measured::Value(ProbeEvidence { answered: 8 - lost, full_size, ..probe(8) });
        })
    };
    assert_eq!(said(&pinged(0, 0)), [(FindingId::PathMtu, Severity::Error)]);
    assert_eq!(pinged(0, 1).ids(), [FindingId::BlockedApplication]);
    let lossy = pinged(4, 0).ids();
    assert!(!lossy.contains(&FindingId::PathMtu), "a path that loses half of all: {lossy:?}");
}

#[test]
fn answers_a_constant_time_after_a_body_are_a_time_out_and_slow_ones_are_not() {
    let posts = |min_ns, body| {
        let q = Quantiles { count: 20, min_ns, p50_ns: 1_002 * MS, p90_ns: S, p99_ns: 2 * S, max_ns: 2 * S };
        let asks = Asks { body, ..asks("POST") };
        Case::clean(WorkloadEvidence { asks, first_byte: Some(q), ..head(20) })
    };
    assert_eq!(said(&posts(S, true)), [(FindingId::BodyTimeout, Severity::Warning)]);
    assert!(statement(&posts(S, true)).contains("1.0 s after"), "{}", statement(&posts(S, true)));
    assert_eq!(posts(700 * MS, true).ids(), [], "a program that takes its time");
    assert_eq!(posts(S, false).ids(), [], "no body");
}

/// Twelve silent connections to a device that holds five, each 20 ms after the one before, and a crowd of 12.
fn crowded_out(after: impl Fn(u64) -> Option<u64>) -> Case {
    let h = half_open_with(|h| {
        fell_silent(h, 12, 0, 0);
        closed_after(h, after);
        (h.exhausted, h.during) = (Some(false), client(30, 30));
        (h.served_again_ns, h.sockets_used) = (None, None);
    });
    let h = WorkloadEvidence { failures: FailureCounts::default(), episodes: Vec::new(), ..h };
    let w = fails_beside(WorkloadEvidence { at_once: 12, ..head(29) }, &[(Failure::EofBeforeResponse, 7)]);
    Case::clean(w).no_telemetry().with(|e| e.workloads.push(h))
}

#[test]
fn the_oldest_connection_that_is_closed_for_a_newcomer_is_information_and_explains_a_crowds_losses() {
    let lru = crowded_out(|n| (n < 7).then_some(99 * MS));
    assert_eq!(said(&lru), [(FindingId::MakesRoom, Severity::Info)]);
    assert!(statement(&lru).contains("it holds 5 connections"), "{}", statement(&lru));
    let late = crowded_out(|n| (n < 7).then_some(if n == 2 { 139 * MS } else { 99 * MS }));
    assert!(statement(&late).contains("it holds 5 connections"), "one closed late: {}", statement(&late));
    let evidence = |case: &Case| case.findings()[0].evidence.len();
    let served = lru.clone().with(|e| e.workloads[0].failures = FailureCounts::default());
    assert_eq!((evidence(&lru), evidence(&served)), (2, 1), "a crowd that lost nothing is no evidence");
    let newest = crowded_out(|n| (n >= 5).then_some(MS));
    assert!(!newest.ids().contains(&FindingId::MakesRoom), "who closes the newcomer has no room");
    let all = crowded_out(|_| Some(99 * MS));
    assert!(!all.ids().contains(&FindingId::MakesRoom), "a time-out closes the last one as well");
}

/// Pings lost for four seconds, and anomalies of the device's between these seconds.
fn silent_then(id: AnomalyId, class: AnomalyClass, n: u64, (first_s, last_s): (f64, f64)) -> Case {
    let row = AnomalyRow { first_s, last_s, ..row(id, class, n, Some("head")) };
    let w = WorkloadEvidence { at_once: 1, ..head(300) };
    let silence = Silence { from_ns: 10 * S, to_ns: Some(14 * S), lost: 4 };
    Case::clean(w).no_telemetry().row(row).with(|e| {
        e.probes.icmp = Measured::Value(ProbeEvidence { silences: vec![silence], answered: 56, ..probe(60) });
    })
}

#[test]
fn a_silence_after_which_connections_are_forgotten_or_refused_is_a_restart() {
    use AnomalyClass::{Device, Path};
    let forgot = silent_then(AnomalyId::RstAfterHandshake, Device, 2, (14.2, 15.0));
    assert_eq!(said(&forgot), [(FindingId::DeviceRebooted, Severity::Error)]);
    let refused = silent_then(AnomalyId::SynRefused, Device, 40, (13.1, 14.0));
    assert!(statement(&refused).contains("refused 40 connections"), "{}", statement(&refused));
    let habit = silent_then(AnomalyId::RstAfterHandshake, Device, 40, (0.5, 29.0));
    assert_eq!(habit.ids(), [FindingId::LinkOutages]);
    let closes_so = row(AnomalyId::AbortiveClose, Device, 250, Some("head"));
    let beside = silent_then(AnomalyId::RstAfterHandshake, Device, 2, (14.2, 15.0)).row(closes_so);
    assert!(!beside.ids().contains(&FindingId::DeviceRebooted), "{:?}", beside.ids());
    let lost = silent_then(AnomalyId::Retransmission, Path, 9, (14.1, 14.4));
    assert_eq!(lost.ids(), [FindingId::LinkOutages]);
}

#[test]
fn resets_in_one_moment_before_refusals_are_an_end_of_the_program_and_no_habit() {
    let at = |id, n, (first_s, last_s)| AnomalyRow {
        first_s,
        last_s,
        ..row(id, AnomalyClass::Device, n, Some("rw"))
    };
    let run = |reset_s: (f64, f64)| {
        let lost = [(Failure::ConnectRefused, 18), (Failure::WriteReset, 2)];
        let w = WorkloadEvidence { name: "rw".into(), at_once: 2, ..fails_beside(get(70), &lost) };
        Case::clean(w).row(at(AnomalyId::AbortiveClose, 2, reset_s)).row(at(
            AnomalyId::SynRefused,
            18,
            (4.6, 6.3),
        ))
    };
    let ended = run((4.32, 4.33));
    assert_eq!(ended.ids(), [FindingId::UnexplainedFailures]);
    assert!(ended.findings()[0].cause.starts_with("the program ended"), "{:?}", ended.findings());
    assert!(run((0.5, 4.3)).ids().contains(&FindingId::AbortiveClose));
}

/// A device that was published to for a minute, with these figures.
fn published_to(qos: usize, row: MqttToDevice) -> Case {
    let mut w = workload("mqtt", WorkloadKind::Mqtt, 1);
    let mut mqtt = MqttEvidence { watched_ns: 60 * S, ..MqttEvidence::default() };
    mqtt.clients.push(mqtt_client());
    mqtt.to_device[qos] = MqttToDevice { sent: 20, ..row };
    w.mqtt = Some(mqtt);
    Case::clean(w)
}

#[test]
fn why_messages_are_not_acknowledged_is_said_by_what_came_instead() {
    let cause = |qos, row| {
        let found = published_to(qos, row).findings();
        assert_eq!(found.iter().map(|f| f.id).collect::<Vec<_>>(), [FindingId::MqttNoPuback]);
        found[0].cause.clone()
    };
    let missing = MqttToDevice { unacknowledged: 4, ..MqttToDevice::default() };
    assert!(cause(1, missing.clone()).contains("after its program is done"));
    assert!(cause(1, MqttToDevice { strange_ids: 9, ..missing.clone() }).contains("another packet id"));
    assert!(cause(2, MqttToDevice { uncompleted: 4, ..missing }).contains("PUBREL with nothing"));
    let again = MqttToDevice { again_unacknowledged: 4, ..MqttToDevice::default() };
    assert!(cause(1, again).contains("drops a repetition"));
}

#[test]
fn a_device_that_hangs_on_a_large_packet_is_told_from_one_that_does_not_reconnect() {
    let hung = |silences| {
        let mut outage = MqttOutage::new(1, MqttFault::Big, 6 * S, 5);
        (outage.length_ns, outage.gave_up_ns) = (Some(8 * S), Some(12 * S));
        outage.big = Some(MqttBig {
            acknowledged_bytes: Some(2_048),
            failed_bytes: Some(4_096),
            failed_by: Some(MqttBigEnd::Hung),
            beyond_its_maximum: 0,
        });
        let mut case = published_to(1, MqttToDevice::default());
        case.evidence.workloads[0].mqtt.as_mut().unwrap().outages.push(outage);
        case.no_telemetry().with(|e| e.probes.icmp = Measured::Value(ProbeEvidence { silences, ..probe(60) }))
    };
    let case = hung(Vec::new());
    assert_eq!(said(&case), [(FindingId::MqttBigPacket, Severity::Error)]);
    assert!(statement(&case).contains("4096 bytes, and did not come back within 12"), "{}", statement(&case));
    let away = hung(vec![Silence { from_ns: 7 * S, to_ns: None, lost: 30 }]);
    assert!(away.ids().contains(&FindingId::MqttNoReconnect), "{:?}", away.ids());
}

#[test]
fn what_the_clients_own_options_did_is_in_the_cause_of_a_close_without_an_answer() {
    let closed = |close, request_delay_ns, not_sent, served| {
        let w =
            WorkloadEvidence { at_once: 1, asks: Asks { request_delay_ns, ..asks("HEAD") }, ..head(served) };
        let mut w = fails_beside(w, &[(Failure::EofBeforeResponse, 40)]);
        let cut = CutRequests { acknowledged: 40 - not_sent, not_sent, ..CutRequests::default() };
        w.unserved = Some(Unserved { closed: cut, ..Unserved::default() });
        w.close = close;
        let found = Case::clean(w).findings();
        found.iter().find(|f| f.id == FindingId::ClosesUnserved).unwrap().cause.clone()
    };
    assert!(closed(ClosePolicy::Half, 0, 0, 0).contains("--close half"));
    assert!(!closed(ClosePolicy::Half, 0, 0, 400).contains("--close half"), "others were served so");
    assert!(closed(ClosePolicy::Fin, 700 * MS, 40, 60).contains("--request-delay"));
    assert!(!closed(ClosePolicy::Fin, 700 * MS, 0, 60).contains("--request-delay"), "the requests were sent");
    assert!(closed(ClosePolicy::Fin, 0, 0, 0).contains("no handler for HEAD"));
}

#[test]
fn an_open_websocket_that_ends_was_not_closed_without_a_response() {
    let closed = |handshakes| {
        let mut w =
            fails_beside(WorkloadEvidence { at_once: 1, ..rw(60) }, &[(Failure::EofBeforeResponse, 12)]);
        w.asks = Asks { protocol: Protocol::WebSocket, window: 1, ..Asks::default() };
        let websocket = Some(WebSockets { handshakes, ..WebSockets::default() });
        w.by_protocol = Some(Box::new(ByProtocol { websocket, ..ByProtocol::default() }));
        let case = Case::clean(w).no_telemetry();
        (case.ids(), statement(&case))
    };
    let (found, text) = closed(13);
    assert_eq!(found, [FindingId::UnexplainedFailures]);
    assert!(text.contains("messages were not sent back"), "{text}");
    assert_eq!(closed(0).0, [FindingId::ClosesUnserved]);
}

#[test]
fn a_few_handshakes_that_just_ended_stay_unexplained() {
    let few = |fault, failure| {
        let mut w = fails_beside(get(57), &[(failure, 3)]);
        let tls = w.http.tls.get_or_insert_default();
        (0..3).for_each(|_| tls.failed(TlsFaultSeen { fault, detail: String::new() }));
        said(&Case::clean(w).no_telemetry())
    };
    let closed = few(TlsFault::Closed, Failure::EofBeforeResponse);
    assert_eq!(closed, [(FindingId::UnexplainedFailures, Severity::Warning)]);
    assert_eq!(few(TlsFault::Expired, Failure::TlsFailed), [(FindingId::TlsFailed, Severity::Warning)]);
}

#[test]
fn what_a_failed_handshake_shows_in_the_packets_has_no_finding_of_its_own() {
    for (fault, id) in [
        (TlsFault::Closed, AnomalyId::ClosedUnserved),
        (TlsFault::Reset, AnomalyId::RstAfterHandshake),
        (TlsFault::NotTls, AnomalyId::AbortiveClose),
    ] {
        let failure = match fault {
            TlsFault::Closed => Failure::EofBeforeResponse,
            TlsFault::Reset => Failure::ReadReset,
            _ => Failure::TlsFailed,
        };
        let mut w = dies_after(WorkloadEvidence { at_once: 1, ..get(0) }, 0, &[(failure, 10)]);
        let tls = w.http.tls.get_or_insert_default();
        (0..10).for_each(|_| tls.failed(TlsFaultSeen { fault, detail: String::new() }));
        let found = Case::clean(w).no_telemetry().anomaly(id, 10).ids();
        assert!(found.contains(&FindingId::TlsFailed), "{fault:?}: {found:?}");
        assert!(!found.contains(&FindingId::UnexplainedFailures), "{fault:?}: {found:?}");
    }
}

#[test]
fn resets_of_a_run_without_successes_are_not_told_as_unseen_by_clients() {
    let resets = |succeeded| {
        let w = WorkloadEvidence { succeeded, ..head(succeeded) };
        let w = if succeeded == 0 { dies_after(w, 0, &[(Failure::ReadReset, 10)]) } else { w };
        let case = Case::clean(w).no_telemetry().anomaly(AnomalyId::AbortiveClose, 10);
        let found = case.with(|e| e.resets.answering_payload = 10).findings();
        let named = found.iter().find(|f| f.id == FindingId::AbortiveClose).unwrap();
        assert_eq!(named.statement.contains("no exchange was served"), succeeded == 0, "{}", named.statement);
        named.evidence.iter().any(|line| line.contains("sees nothing wrong"))
    };
    assert!(resets(200) && !resets(0));
}

#[test]
fn what_http_allows_is_in_the_evidence_of_the_workload_that_met_it() {
    let met = at_fault(get(20), HttpFault::CloseIgnored, 20, (0, 0));
    let name = met.name.clone();
    let evidence = Case::clean(met).findings()[0].evidence.clone();
    let said = format!("{name}: {} 20 times", HttpFault::CloseIgnored.name());
    assert!(evidence.iter().any(|line| line.starts_with(&said)), "{evidence:?}");
}

#[test]
fn a_close_that_did_not_come_in_time_may_come_later() {
    let case = Case::clean(at_fault(get(20), HttpFault::CloseIgnored, 20, (0, 0)));
    let found = &case.findings()[0];
    assert_eq!(
        found.statement,
        "After Connection: close, 20 of 20 responses had no close by the device in the time that espstress waits; the \
         client closed instead."
    );
    assert!(found.cause.contains("closes later than espstress waits"), "{}", found.cause);
    let waits = |line: &String| line.contains("at most 2.5 s") && line.contains("100 ms");
    assert!(found.evidence.iter().any(waits), "{:?}", found.evidence);
}

#[test]
fn a_head_that_was_cut_off_has_no_content_length_to_blame() {
    let mut w = fails_beside(get(10), &[(Failure::TruncatedResponse, 30)]);
    for _ in 0..30 {
        let (fault, detail) = (HttpFault::Truncated, espstress_event::HEAD_CUT);
        w.malformed.count(FaultSeen { fault, promised: None, received: None, detail });
    }
    let found = Case::clean(w).findings().remove(0);
    assert_eq!(found.statement, "30 of 40 responses ended too early: the head did not end.");
    assert!(!found.cause.contains("Content-Length"), "{}", found.cause);
    assert!(found.cause.contains("before the whole head is sent"), "{}", found.cause);
}

#[test]
fn requests_that_were_the_last_ones_are_told_from_some_that_were_left_out() {
    let mut lost = FailureCounts::default();
    lost.add(Failure::ReadTimeout, 2);
    let none = FailureCounts::default();
    let cause = |episodes: Vec<Episode>| {
        let mut w = WorkloadEvidence { episodes, ..get(60) };
        w.failures.merge(&lost);
        w.attempts += 2;
        let found = Case::clean(w).no_telemetry().findings();
        found.into_iter().find(|f| f.id == FindingId::UnexplainedFailures).unwrap().cause
    };
    let last = cause(vec![episode(0, 5, 60, &none), episode(5, 25, 0, &lost)]);
    assert!(last.contains("stopped answering, or lost just these"), "{last}");
    let between = cause(vec![episode(0, 5, 30, &none), episode(5, 6, 0, &lost), episode(7, 12, 30, &none)]);
    assert!(between.contains("left these requests unanswered"), "{between}");
}

#[test]
fn resets_after_a_fin_are_not_told_as_resets_instead_of_one() {
    let said = |instead: u64, after: u64| {
        let case = Case::clean(get(200)).no_telemetry();
        let case = if instead > 0 { case.anomaly(AnomalyId::AbortiveClose, instead) } else { case };
        let case = if after > 0 { case.anomaly(AnomalyId::RstAfterFin, after) } else { case };
        let found = case.with(|e| e.resets.answering_payload = after).findings();
        found.into_iter().find(|f| f.id == FindingId::AbortiveClose).unwrap().statement
    };
    assert!(said(40, 0).contains("with a RST instead of a FIN: 40"), "{}", said(40, 0));
    assert!(said(0, 40).contains("with a FIN while a request is on its way"), "{}", said(0, 40));
    assert!(said(40, 30).contains("with a RST, some of them after a FIN"), "{}", said(40, 30));
}
