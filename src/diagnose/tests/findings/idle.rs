//! Connections that are idle or silent: who closes them, and whom they keep waiting.

use crate::answers::{asks, get, said, statement};
use crate::support::*;
use espstress_diagnose::*;
use espstress_event::{ByProtocol, EventStreams, Failure, IdleCloses, Protocol, SilentClients, SlowSpan};

#[test]
fn idle_connections_that_are_closed_are_information_with_the_time() {
    let closes = |count| {
        let idle = IdleCloses { count, min_us: 2_500_000, median_us: 2_600_000, before_request: 0, told: 0 };
        Case::clean(WorkloadEvidence { idle_closes: Some(idle), ..get(20) })
    };
    assert_eq!(said(&closes(5)), [(FindingId::ClosesIdle, Severity::Info)]);
    assert!(statement(&closes(5)).contains("2.5 s or sooner"));
    assert_eq!(closes(1).ids(), []);
    assert_eq!(
        Case::clean(half_open_with(|h| closed_after(h, |n| (n < 5).then_some(20 * MS)))).ids(),
        [],
        "after each answer"
    );
    let silent = Case::clean(half_open_with(|h| closed_after(h, |n| (n < 5).then_some(2 * S))));
    assert!(statement(&silent).contains("connections 2.0 s after"), "{}", statement(&silent));
    assert!(!silent.findings()[0].cause.contains("ended"), "{}", silent.findings()[0].cause);
}

#[test]
fn connections_that_end_with_their_program_are_not_told_as_idle_ones_alone() {
    // Ten fell silent one after the other, 10 ms apart, and all were closed in the same millisecond.
    let together = half_open_with(|h| {
        h.connections.iter_mut().zip(0..).for_each(|(c, n)| c.silent_ns = 3 * S + n * 10 * MS);
        let first = 5 * S;
        closed_after(h, |n| Some(first - n * 10 * MS));
    });
    let cause = Case::clean(together).findings()[0].cause.clone();
    assert!(cause.contains("all closed at the same time"), "{cause}");
    // Others were refused while nothing listened.
    let refused = |us| {
        let idle = IdleCloses { count: 4, min_us: us, median_us: us, before_request: 0, told: 0 };
        let mut rw = WorkloadEvidence { idle_closes: Some(idle), ..get(20) };
        rw.failures.add(Failure::ConnectRefused, 7);
        rw.attempts += 7;
        let found = Case::clean(rw).findings();
        let closes = found.into_iter().find(|f| f.id == FindingId::ClosesIdle).unwrap();
        assert!(closes.cause.starts_with("the program ended"), "{}", closes.cause);
        closes.statement
    };
    assert_eq!(
        refused(730_000),
        "Connections of the device ended while they were idle, after 730 ms or sooner."
    );
    assert_eq!(
        refused(200_000),
        "Connections of the device ended between two requests: 4 connections so far."
    );
}

#[test]
fn closes_after_several_answers_are_not_told_as_one_request_on_each_connection() {
    let closes = |count, us, protocol| {
        let idle = IdleCloses { count, min_us: us, median_us: us, before_request: 0, told: 0 };
        let asks = Asks { protocol, ..asks("GET") };
        Case::clean(WorkloadEvidence { idle_closes: Some(idle), asks, at_once: 1, ..get(100) }).findings()
    };
    let cause = |count, us, protocol| closes(count, us, protocol)[0].cause.clone();
    assert!(cause(100, 40, Protocol::Http).contains("one request on each connection"));
    assert!(cause(20, 40, Protocol::Http).contains("after some requests"));
    assert!(!cause(20, 40, Protocol::Line).contains("Connection: close"));
    let short = cause(20, 300_000, Protocol::Http);
    assert!(short.contains("keep-alive timeout is that short, or the program"), "{short}");
    assert!(closes(20, 300_000, Protocol::Http)[0].statement.contains("within half a second"));
}

#[test]
fn a_request_that_meets_the_end_of_an_idle_connection_is_explained_where_clients_wait_before_it() {
    let met = |request_delay_ns, not_sent, before_request| {
        let asks = Asks { request_delay_ns, ..asks("GET") };
        let mut w = fails_beside(
            WorkloadEvidence { asks, at_once: 1, ..get(20) },
            &[(Failure::EofBeforeResponse, 3)],
        );
        let idle = IdleCloses { count: 5, min_us: 2_500_000, median_us: 2_600_000, before_request, told: 0 };
        w.idle_closes = Some(idle);
        let closed =
            Unserved { closed: CutRequests { not_sent, ..CutRequests::default() }, ..Unserved::default() };
        w.unserved = Some(closed);
        let rows = Case::clean(w).diagnosis().account.rows;
        rows.iter().map(|row| row.by.clone()).collect::<Vec<_>>()
    };
    assert_eq!(met(2_600 * MS, 3, 0), [Some("closes_idle".to_owned())]);
    assert_eq!(met(2_600 * MS, 0, 3), [Some("closes_idle".to_owned())], "also where it said 408 first");
    assert_ne!(met(2_600 * MS, 0, 0), [Some("closes_idle".to_owned())]);
}

#[test]
fn a_connection_that_ends_with_the_handshake_was_not_idle() {
    let late = |min_us, median_us, count| {
        let asks = Asks { request_delay_ns: S, ..asks("GET") };
        let w = WorkloadEvidence { asks, at_once: 1, ..get(62) };
        let mut w = fails_beside(w, &[(Failure::EofBeforeResponse, 18)]);
        w.idle_closes = Some(IdleCloses { count, min_us, median_us, before_request: 18, told: 0 });
        let closed = CutRequests { not_sent: 18, ..CutRequests::default() };
        w.unserved = Some(Unserved { closed, ..Unserved::default() });
        Case::clean(w)
    };
    let turned_away = late(7_000, 10_700, 18);
    assert_eq!(turned_away.ids(), [FindingId::ClosesUnserved]);
    let cause = turned_away.findings().remove(0).cause;
    assert!(!cause.contains("--request-delay"), "{cause}");
    // Some at once, and most at the bound.
    assert_eq!(late(7_000, 900_000, 18).ids(), [FindingId::ClosesIdle]);
    assert_eq!(
        statement(&late(7_000, 900_000, 18)),
        "The device closes idle connections after 900 ms or sooner."
    );
}

#[test]
fn what_an_idle_close_advises_agrees_with_what_a_close_without_an_answer_does() {
    let change = |us, failures: &[(Failure, u64)]| {
        let mut w = WorkloadEvidence { at_once: 1, ..fails_beside(rw(64), failures) };
        w.asks = Asks { window: 1, ..Asks::default() };
        w.connect = Some(Quantiles { count: 20, ..Quantiles::default() });
        w.idle_closes = Some(IdleCloses { count: 40, min_us: us, median_us: us, before_request: 0, told: 0 });
        let found = Case::clean(w).no_telemetry().findings();
        let of = |id| found.iter().find(|f| f.id == id).map(|f| f.change.clone());
        (of(FindingId::ClosesIdle).unwrap(), of(FindingId::ClosesUnserved))
    };
    let unserved = [(Failure::EofBeforeResponse, 16)];
    let (idle, closed) = change(2_010_000, &unserved);
    assert!(
        idle.starts_with("nothing for idle connections") && idle.contains("without a response"),
        "{idle}"
    );
    assert!(closed.unwrap().starts_with("log why the program closes"));
    // Closes right behind responses, which the requests ran into.
    let (idle, closed) = change(40, &unserved);
    assert_eq!(Some(idle), closed);
    let (idle, closed) = change(2_010_000, &[]);
    assert!(idle.starts_with("nothing on the device;") && closed.is_none(), "{idle}");
}

#[test]
fn waits_for_each_close_that_fill_the_run_are_one_client_at_a_time() {
    let waits = |count| {
        let two =
            Quantiles { count, min_ns: 2 * S, p50_ns: 2 * S, p90_ns: 2 * S, p99_ns: 2 * S, max_ns: 2 * S };
        let main = Some(Quantiles { p50_ns: 4 * S, ..two });
        let head = WorkloadEvidence { at_once: 4, close: ClosePolicy::Wait, ..head(count) };
        let w = WorkloadEvidence { start_ns: 0, end_ns: 30 * S, main, closing: Some(two), ..head };
        Case::clean(w).no_telemetry()
    };
    assert_eq!(waits(15).ids(), [FindingId::BlockedApplication]);
    assert!(statement(&waits(15)).contains("2.0 s for a client's close"), "{}", statement(&waits(15)));
    assert_eq!(waits(60).ids(), [], "four at once, each of which waits");
}

#[test]
fn others_that_wait_for_as_long_as_a_silent_connection_are_kept_out_by_it() {
    let quick =
        Quantiles { count: 20, min_ns: MS, p50_ns: MS, p90_ns: 2 * MS, p99_ns: 3 * MS, max_ns: 3 * MS };
    let each = |ns| Quantiles { min_ns: ns, p50_ns: ns, p90_ns: ns, p99_ns: ns, max_ns: ns, ..quick };
    // At the end of each silence others have waited for so long.
    let beside = |silence: u64, answer: Quantiles, waiting_ms: Option<u64>| {
        let asks = Asks { request_delay_ns: silence, ..asks("GET") };
        let mut late =
            WorkloadEvidence { name: "late".into(), asks, first_byte: None, main: Some(answer), ..get(10) };
        let span = SlowSpan {
            length_ms: silence / MS,
            others_served: u64::from(waiting_ms.is_none()),
            others_waited_ms: Some(waiting_ms.unwrap_or(2)),
            others_waiting_ms: waiting_ms,
            others_served_until_ms: None,
        };
        let silent_before = Some(SilentClients { spans: vec![span; 10] });
        late.by_protocol = Some(Box::new(ByProtocol { silent_before, ..ByProtocol::default() }));
        Case::clean(late).no_telemetry().with(|e| {
            let first_byte = Some(each(waiting_ms.unwrap_or(1) * MS));
            let others = WorkloadEvidence { connect: Some(quick), first_byte, ..head(20) };
            e.workloads.push(others);
        })
    };
    let found = beside(3 * S, quick, Some(2_960));
    assert_eq!(found.ids(), [FindingId::BlockedApplication]);
    assert!(statement(&found).contains("3.0 s for a client's request"), "{}", statement(&found));
    // Others that ask twice a second may ask for the first time half a second after it began.
    assert_eq!(beside(1_500 * MS, quick, Some(1_000)).ids(), [FindingId::BlockedApplication]);
    assert_eq!(beside(3 * S, quick, None).ids(), [], "it serves others meanwhile");
    assert_eq!(beside(3 * S, quick, Some(1_400)).ids(), [], "their page is a slow one");
    assert_eq!(beside(3 * S, each(2 * S), Some(2_960)).ids(), [], "it is slow with each");
    assert_eq!(beside(500 * MS, quick, Some(490)).ids(), [], "that is no silence");
}

#[test]
fn others_that_an_open_event_stream_keeps_out_are_told_from_others_that_are_slow() {
    let beside = |others: WorkloadEvidence, waited_ms| {
        let mut stream = WorkloadEvidence { name: "events".into(), at_once: 1, ..rw(300) };
        stream.asks = Asks { protocol: Protocol::Sse, window: 1, ..Asks::default() };
        let spans = vec![SlowSpan {
            length_ms: 20_000,
            others_served: others.succeeded,
            others_waited_ms: Some(waited_ms),
            ..SlowSpan::default()
        }];
        let sse = Some(EventStreams { streams: 1, events: 300, spans, ..EventStreams::default() });
        stream.by_protocol = Some(Box::new(ByProtocol { sse, ..ByProtocol::default() }));
        Case::clean(stream).no_telemetry().with(|e| e.workloads.push(others))
    };
    let one = WorkloadEvidence { at_once: 2, ..head(2) };
    let failures = [(Failure::ConnectTimeout, 4), (Failure::ReadTimeout, 2)];
    let kept_out = beside(fails_beside(one, &failures), 19_000);
    assert_eq!(kept_out.ids(), [FindingId::BlockedApplication]);
    assert!(statement(&kept_out).contains("every other client waits"), "{}", statement(&kept_out));
    let slow = fails_beside(WorkloadEvidence { at_once: 2, ..head(60) }, &[(Failure::ConnectTimeout, 6)]);
    let served = beside(slow, 2_000);
    let text = statement(&served);
    assert!(!text.contains("event stream"), "{text}");
}

#[test]
fn a_reset_while_the_client_was_silent_before_its_request_may_be_a_time_out() {
    let cause = |request_delay_ns, not_sent, failure, captured: bool| {
        let w = WorkloadEvidence { at_once: 1, asks: Asks { request_delay_ns, ..asks("HEAD") }, ..head(60) };
        let mut w = fails_beside(w, &[(failure, 40)]);
        let reset = CutRequests { acknowledged: 40 - not_sent, not_sent, ..CutRequests::default() };
        w.unserved = captured.then_some(Unserved { reset, ..Unserved::default() });
        let case = if captured { Case::clean(w) } else { Case::clean(w).no_capture(CaptureState::Off) };
        let found = case.findings();
        found.iter().find(|f| f.id == FindingId::ResetsRequests).unwrap().cause.clone()
    };
    const DELAY: u64 = 1_500 * MS;
    let first = "the server gives up connections that send no request for so long (--request-delay)";
    for failure in [Failure::WriteReset, Failure::ReadReset] {
        assert!(cause(DELAY, 40, failure, true).starts_with(first), "{failure:?}");
        assert!(!cause(DELAY, 0, failure, true).contains("--request-delay"), "the requests were sent");
        assert!(!cause(0, 40, failure, true).contains("--request-delay"), "nobody was silent");
    }
    assert!(cause(DELAY, 0, Failure::WriteReset, false).starts_with(first));
    assert!(!cause(DELAY, 0, Failure::ReadReset, false).contains("--request-delay"), "nobody saw when");
}

#[test]
fn a_close_after_a_silence_is_an_idle_time_out_only_of_a_device_that_keeps_connections() {
    let silent = || half_open_with(|h| closed_after(h, |n| (n < 5).then_some(7 * S)));
    let beside = |connections| {
        let connect = Some(Quantiles { count: connections, ..Quantiles::default() });
        Case::clean(silent()).with(|e| e.workloads.push(WorkloadEvidence { connect, ..get(20) }))
    };
    for unknown in [Case::clean(silent()), beside(20)] {
        let found = unknown.findings().remove(0);
        let said = "The device closes connections 7.0 s after the response, while their client is silent.";
        assert_eq!((found.id, found.statement.as_str()), (FindingId::ClosesIdle, said));
        assert!(found.cause.contains("if its responses say Connection: close"), "{}", found.cause);
    }
    let found = beside(1).findings().remove(0);
    assert_eq!(found.statement, "The device closes idle connections after 7.0 s.");
    assert!(!found.cause.contains("Connection: close"), "{}", found.cause);
}
