use super::*;
use crate::WorkloadKind;
use crate::{
    CutRequests, DeviceEvidence, Measured, ProbeEvidence, ProbesEvidence, Quantiles, Quiet, Silence, Unserved,
};
use espstress_event::{
    Asks, Availability, ByProtocol, Episode, EventStreams, Failure, FailureCounts, SilentClients, SlowClients,
};

const MINUTE: u64 = 60 * SECOND;

/// Clients that connect and ask 30 s later, of which three were closed, beside others that waited for 3 s at most.
fn connect_early() -> [WorkloadEvidence; 2] {
    let closed = CutRequests { not_sent: 3, ..CutRequests::default() };
    let late = WorkloadEvidence {
        kind: WorkloadKind::Rw,
        end_ns: MINUTE,
        unserved: Some(Unserved { closed, ..Unserved::default() }),
        asks: Asks { request_delay_ns: 30 * SECOND, ..Asks::default() },
        ..WorkloadEvidence::default()
    };
    let others = WorkloadEvidence {
        kind: WorkloadKind::Head,
        end_ns: MINUTE,
        attempts: 9,
        succeeded: 9,
        main: Some(Quantiles { max_ns: 3 * SECOND, ..Default::default() }),
        ..WorkloadEvidence::default()
    };
    [late, others]
}

/// How long the program was silent towards all: it was from 5, 20 and 40 s on for so long each, nanoseconds.
fn waited(workloads: [WorkloadEvidence; 2], idle_ns: [u64; 3]) -> Option<u64> {
    let from = [5, 20, 40].map(|s| s * SECOND);
    let idle = from.into_iter().zip(idle_ns).map(|(from_ns, ns)| Quiet { from_ns, to_ns: from_ns + ns });
    let (idle, workloads) = (Some(idle.collect()), workloads.to_vec());
    let e = Evidence { duration_ns: MINUTE, idle, workloads, ..Evidence::default() };
    before_a_request(&e, &e.workloads[0])
}

#[test]
fn a_program_that_waits_for_a_request_keeps_others_waiting_as_long() {
    assert_eq!(waited(connect_early(), [4, 5, 6].map(|s| s * SECOND)), Some(6 * SECOND));
    assert_eq!(waited(connect_early(), [SECOND; 3]), Some(SECOND));
    assert_eq!(waited(connect_early(), [4 * SECOND, 5 * SECOND, SECOND - 1]), None, "two waits of three");
    assert_eq!(waited(connect_early(), [4, 5, 7].map(|s| s * SECOND)), None, "nobody waited for so long");
}

#[test]
fn whoever_waits_for_several_at_once_may_serve_as_many_at_a_time() {
    let idle = [5, 20, 40].map(|s| Quiet { from_ns: s * SECOND, to_ns: (s + 5) * SECOND });
    let said = |at_once| {
        let [late, others] = connect_early();
        let workloads = vec![WorkloadEvidence { at_once, ..late }, others];
        let e = Evidence { duration_ns: MINUTE, idle: Some(idle.to_vec()), workloads, ..Evidence::default() };
        let one = seen(&e).unwrap();
        (one.statement(), one.advice().0)
    };
    assert_eq!((said(1).0.contains("serves one client at a time"), said(1).1), (true, CAUSE));
    assert!(
        said(4)
            .0
            .starts_with("The device serves no more than 4 clients at a time: it waits 5.0 s for a client's")
    );
    assert_eq!(said(4).1, CAUSE_OF_FEW);
}

#[test]
fn nobody_is_kept_waiting_where_no_request_is_late_or_none_is_cut() {
    let idle = [4, 5, 6].map(|s| s * SECOND);
    let [late, others] = connect_early();
    let prompt = WorkloadEvidence { asks: Asks::default(), ..late.clone() };
    let uncut = WorkloadEvidence { unserved: Some(Unserved::default()), ..late.clone() };
    let unserved = WorkloadEvidence { succeeded: 0, ..others.clone() };
    let later = WorkloadEvidence { start_ns: MINUTE, end_ns: 2 * MINUTE, ..others.clone() };
    for pair in [[prompt, others.clone()], [uncut, others], [late.clone(), unserved], [late, later]] {
        assert_eq!(waited(pair, idle), None);
    }
}

/// A client that is silent before each request for spans of so long, at whose end others have waited for so long
/// (milliseconds), and others.
fn silent_beside(spans: &[(u64, Option<u64>)]) -> [WorkloadEvidence; 2] {
    let span = |(length_ms, others_waiting_ms): &(u64, Option<u64>)| SlowSpan {
        length_ms: *length_ms,
        others_served: if others_waiting_ms.is_some() { 0 } else { 9 },
        others_waited_ms: Some(others_waiting_ms.unwrap_or(2)),
        others_waiting_ms: *others_waiting_ms,
        others_served_until_ms: None,
    };
    let silent = SilentClients { spans: spans.iter().map(span).collect() };
    let asks = Asks { request_delay_ns: SECOND, ..Asks::default() };
    let [late, others] = connect_early();
    let late = WorkloadEvidence {
        asks,
        at_once: 1,
        by_protocol: Some(Box::new(ByProtocol { silent_before: Some(silent), ..ByProtocol::default() })),
        first_byte: quantiles(5 * MS, 12 * MS, 3),
        ..late
    };
    let connect = quantiles(MS, 3 * MS, 9);
    [late, WorkloadEvidence { connect, first_byte: quantiles(950 * MS, 990 * MS, 9), ..others }]
}

fn beside(workloads: [WorkloadEvidence; 2]) -> Option<u64> {
    let e = Evidence { workloads: workloads.to_vec(), ..Evidence::default() };
    beside_a_silence(&e, &e.workloads[0])
}

#[test]
fn others_that_wait_at_the_end_of_most_silences_are_kept_waiting_by_them() {
    let of = |spans: &[(u64, Option<u64>)]| beside(silent_beside(spans));
    let (out, served) = ((1_001, Some(960)), (1_001, None));
    assert_eq!(of(&[out, out, out]), Some(960 * MS));
    assert_eq!(of(&[out, out, out, out, served, served]), Some(960 * MS), "two of three");
    assert_eq!(of(&[out, out, out, served, served]), None);
    assert_eq!(of(&[out, out]), None, "two seconds are chance");
    assert_eq!(of(&[(30_000, Some(29_000))]), Some(29 * SECOND), "half a minute is none");
    let half = (2_000, Some(1_000));
    assert_eq!((of(&[half, half]), of(&[half, (2_000, Some(999))])), (Some(SECOND), None));
    assert_eq!(of(&[out, out, out, (1_001, Some(101)), (1_001, Some(100))]), Some(960 * MS));
    assert_eq!(of(&[out, out, out, (1_001, Some(100)), (1_001, Some(100))]), None, "served meanwhile");
    assert_eq!(of(&[(1_001, Some(400)); 9]), None, "they asked late, or the device is slow");
    // Of others that have no more to ask, the rest of the silences says nothing.
    let mut done = silent_beside(&[out, out, out, served, served, served]);
    let by = done[0].by_protocol.as_mut().unwrap();
    by.silent_before.as_mut().unwrap().spans[3..].iter_mut().for_each(|span| span.others_waited_ms = None);
    assert_eq!(beside(done), Some(960 * MS));
}

#[test]
fn a_device_that_is_slow_with_all_or_with_another_page_keeps_nobody_waiting_for_the_silent() {
    let silent = || silent_beside(&[(1_001, Some(960)); 3]);
    let [late, others] = silent();
    let slow = WorkloadEvidence { first_byte: quantiles(101 * MS, 200 * MS, 3), ..late.clone() };
    assert_eq!(beside([slow, others.clone()]), None, "the silent one waits as well");
    let page = |min_ns| {
        let first_byte = Some(Quantiles { min_ns, ..quantiles(950 * MS, 990 * MS, 9).unwrap() });
        let asks = Asks { path: Some("/slow".to_owned()), ..Asks::default() };
        beside([late.clone(), WorkloadEvidence { asks, first_byte, ..others.clone() }])
    };
    assert_eq!((page(950 * MS), page(320 * MS)), (None, Some(960 * MS)), "always as slow");
    let queued = WorkloadEvidence { connect: quantiles(101 * MS, 900 * MS, 9), ..others.clone() };
    let unserved = WorkloadEvidence { succeeded: 0, ..others.clone() };
    // A third page that is as slow for all occupies one of several places.
    let [busy, quick] = [950 * MS, 100 * MS].map(|ns| {
        let third = WorkloadEvidence {
            asks: Asks { path: Some("/slow".to_owned()), ..Asks::default() },
            first_byte: quantiles(ns, ns, 9),
            ..others.clone()
        };
        let e = Evidence { workloads: vec![late.clone(), others.clone(), third], ..Evidence::default() };
        beside_a_silence(&e, &e.workloads[0])
    });
    assert_eq!((busy, quick), (None, Some(960 * MS)));
    let late_too = WorkloadEvidence { asks: late.asks.clone(), ..others.clone() };
    let [before, after] = [(0, 0), (MINUTE, 2 * MINUTE)].map(|(start_ns, end_ns)| {
        let others = others.clone();
        WorkloadEvidence { start_ns, end_ns, ..others }
    });
    for others in [queued, unserved, late_too, before, after] {
        assert_eq!(beside([late.clone(), others]), None);
    }
}

const MS: u64 = 1_000_000;

fn quantiles(p50_ns: u64, p90_ns: u64, count: u64) -> Option<Quantiles> {
    Some(Quantiles { count, min_ns: p50_ns, p50_ns, p90_ns, p99_ns: p90_ns, max_ns: p90_ns })
}

/// Two clients at once, for 20 s, that wait for the device's close: it came nine times, each time after two seconds.
fn closes() -> WorkloadEvidence {
    WorkloadEvidence {
        name: "head".to_owned(),
        kind: WorkloadKind::Head,
        start_ns: 10 * SECOND,
        end_ns: 30 * SECOND,
        close: ClosePolicy::Wait,
        at_once: 2,
        closing: quantiles(2 * SECOND, 2 * SECOND, 9),
        main: quantiles(2 * SECOND, 4 * SECOND, 9),
        ..WorkloadEvidence::default()
    }
}

#[test]
fn closes_that_take_the_same_long_time_one_after_the_other_are_a_program_that_waits_for_each() {
    let of = |closing| before_a_close(&WorkloadEvidence { closing, ..closes() });
    assert_eq!(before_a_close(&closes()), Some(2 * SECOND));
    assert_eq!(of(quantiles(SECOND / 2, SECOND / 2, 36)), Some(SECOND / 2), "half a second at least");
    assert_eq!(of(quantiles(SECOND / 2 - 1, SECOND / 2, 36)), None, "a slow link");
    assert_eq!(of(quantiles(2 * SECOND, 2_500 * MS, 9)), Some(2 * SECOND));
    assert_eq!(of(quantiles(2 * SECOND, 2_500 * MS + 1, 9)), None, "not always the same");
    assert_eq!(
        [6, 7, 11, 12].map(|n| of(quantiles(2 * SECOND, 2 * SECOND, n)).is_some()),
        [false, true, true, false]
    );
    let long = |n, ns| {
        let closing = quantiles(ns, ns, n);
        before_a_close(&WorkloadEvidence { closing, main: quantiles(ns, ns, n), ..closes() })
    };
    assert_eq!((long(3, 6 * SECOND), long(2, 9 * SECOND)), (Some(6 * SECOND), None), "two are chance");
}

#[test]
fn slow_closes_of_clients_that_do_not_wait_for_each_other_are_no_program_that_serves_one_at_a_time() {
    let alone = WorkloadEvidence { at_once: 1, ..closes() };
    let unasked = WorkloadEvidence { close: ClosePolicy::Rst, ..closes() };
    let main = |ns| before_a_close(&WorkloadEvidence { main: quantiles(ns, ns, 9), ..closes() });
    assert_eq!((before_a_close(&alone), before_a_close(&unasked)), (None, None));
    assert_eq!((main(1_800 * MS), main(1_800 * MS - 1)), (Some(2 * SECOND), None), "nine tenths of a close");
}

/// One silent client was served, one was not, and nobody else was, until five seconds after the silence.
fn silenced() -> HalfOpenEvidence {
    HalfOpenEvidence {
        served: 1,
        unserved: 1,
        exhausted: Some(true),
        before: Availability { attempts: 9, served: 9, ..Availability::default() },
        served_again_ns: Some(5 * SECOND),
        ..HalfOpenEvidence::default()
    }
}

#[test]
fn a_silent_client_that_kept_the_others_out_was_waited_for() {
    let e = Evidence::default();
    let again = |ns| while_silent(&e, &HalfOpenEvidence { served_again_ns: Some(ns), ..silenced() });
    assert_eq!(while_silent(&e, &silenced()), Some(5 * SECOND));
    assert_eq!(
        (again(SECOND / 2), again(SECOND / 2 - 1)),
        (Some(SECOND / 2), None),
        "no answer to a silence"
    );
    let device = DeviceEvidence { capacity: Some(1), ..DeviceEvidence::default() };
    let small = Evidence { device, ..Evidence::default() };
    assert_eq!(while_silent(&small, &silenced()), None, "it says that it has room for one");
    let before = Availability { attempts: 9, ..Availability::default() };
    let never = HalfOpenEvidence { before, ..silenced() };
    assert_eq!(while_silent(&e, &never), None, "nor was anybody served without a silence");
    let room = HalfOpenEvidence { unserved: 0, ..silenced() };
    assert_eq!(while_silent(&e, &room), None, "no other connection had to wait");
}

#[test]
fn a_pause_shows_that_a_request_is_waited_for_only_while_such_a_connection_stands() {
    let [late, others] = connect_early();
    let late = WorkloadEvidence { start_ns: 5 * SECOND, end_ns: 45 * SECOND, ..late };
    // Of three closed connections two have a pause of their own; the third pause was before, or after.
    let pauses = |third: Quiet| {
        let quiet = |from_s: u64| Quiet { from_ns: from_s * SECOND, to_ns: (from_s + 4) * SECOND };
        let idle = Some(vec![quiet(10), quiet(20), third]);
        let e = Evidence { idle, workloads: vec![late.clone(), others.clone()], ..Evidence::default() };
        before_a_request(&e, &e.workloads[0])
    };
    let during = Quiet { from_ns: 30 * SECOND, to_ns: 34 * SECOND };
    let before = Quiet { from_ns: SECOND, to_ns: 5 * SECOND };
    let after = Quiet { from_ns: 45 * SECOND, to_ns: 49 * SECOND };
    let endless = Quiet { from_ns: 40 * SECOND, to_ns: u64::MAX };
    assert_eq!(pauses(during), Some(4 * SECOND));
    assert_eq!([before, after, endless].map(pauses), [None; 3]);
}

#[test]
fn whoever_is_served_in_the_middle_of_a_silence_is_served_beside_it() {
    let served = |until_ms| {
        let mut workloads = silent_beside(&[(1_000, Some(800)); 6]);
        let by = workloads[0].by_protocol.as_mut().unwrap();
        let spans = &mut by.silent_before.as_mut().unwrap().spans;
        spans.iter_mut().for_each(|span| span.others_served_until_ms = Some(until_ms));
        beside(workloads)
    };
    assert_eq!((served(100), served(101)), (Some(800 * MS), None), "at its very beginning, or later");
}

/// A client that reads slowly, in spans of so long and with so long a wait of others (milliseconds), and another.
fn slow_beside(spans: &[(u64, Option<u64>)]) -> Evidence<'static> {
    let span = |(length_ms, others_waited_ms): &(u64, Option<u64>)| SlowSpan {
        length_ms: *length_ms,
        others_served: 0,
        others_waited_ms: *others_waited_ms,
        ..SlowSpan::default()
    };
    let slow = SlowClients { spans: spans.iter().map(span).collect(), ..SlowClients::default() };
    let slow = WorkloadEvidence {
        name: "slow".to_owned(),
        kind: WorkloadKind::Rw,
        asks: Asks { reads_slowly: true, ..Asks::default() },
        by_protocol: Some(Box::new(ByProtocol { slow: Some(slow), ..ByProtocol::default() })),
        first_byte: quantiles(10 * MS, 20 * MS, 3),
        succeeded: 3,
        ..WorkloadEvidence::default()
    };
    let others = WorkloadEvidence {
        kind: WorkloadKind::Head,
        attempts: 9,
        succeeded: 9,
        ..WorkloadEvidence::default()
    };
    Evidence { workloads: vec![slow, others], ..Evidence::default() }
}

fn kept_out(e: &Evidence<'_>) -> Option<u64> {
    beside_slow(e, &e.workloads[0])
}

const OUT: (u64, Option<u64>) = (10_000, Some(8_000));
const IN: (u64, Option<u64>) = (10_000, Some(100));

#[test]
fn others_are_kept_out_where_most_slow_clients_keep_them_out_for_most_of_their_time() {
    let of = |spans: &[(u64, Option<u64>)]| kept_out(&slow_beside(spans));
    assert_eq!(of(&[OUT, OUT, IN]), Some(8 * SECOND), "two of three");
    assert_eq!(of(&[OUT, IN, IN]), None);
    assert_eq!(of(&[OUT, OUT, OUT, IN, IN]), None, "three of five");
    let half = (10_000, Some(5_000));
    assert_eq!((of(&[half, half]), of(&[half, (10_000, Some(4_999))])), (Some(5 * SECOND), None));
    let untold = [(10_000, None), (999, Some(900))];
    assert_eq!(of(&untold), None, "nobody asked, or it was over at once");
    assert_eq!(of(&[untold[0], OUT, untold[0]]), Some(8 * SECOND));
    assert_eq!(of(&[OUT, untold[0], untold[1]]), Some(8 * SECOND), "and these say nothing against it");
}

#[test]
fn one_slow_client_alone_shows_it_where_it_kept_others_out_nearly_all_the_time_or_they_failed() {
    let one = |waited| slow_beside(&[(10_000, Some(waited))]);
    assert_eq!((kept_out(&one(8_000)), kept_out(&one(7_999))), (Some(8 * SECOND), None));
    let mut failed = one(5_000);
    failed.workloads[1].failures.add(Failure::ReadTimeout, 1);
    assert_eq!(kept_out(&failed), Some(5 * SECOND));
    for change in [
        |w: &mut WorkloadEvidence| w.asks.sends_slowly = true,
        |w: &mut WorkloadEvidence| w.asks.reads_slowly = true,
        |w: &mut WorkloadEvidence| {
            let sse = Some(EventStreams::default());
            w.by_protocol = Some(Box::new(ByProtocol { sse, ..ByProtocol::default() }));
        },
    ] {
        let mut slow_itself = failed.clone();
        change(&mut slow_itself.workloads[1]);
        assert_eq!(kept_out(&slow_itself), None, "who is slow itself is kept out by nobody");
    }
}

#[test]
fn a_device_that_is_slow_or_away_or_has_one_place_keeps_nobody_out_for_the_sake_of_one() {
    let base = || slow_beside(&[OUT, OUT]);
    let mut slow = base();
    slow.workloads[0].first_byte = quantiles(800 * MS, SECOND, 3);
    assert_eq!(kept_out(&slow), Some(8 * SECOND));
    slow.workloads[0].first_byte = quantiles(800 * MS + 1, SECOND, 3);
    assert_eq!(kept_out(&slow), None, "slow with the slow one as well");
    let mut unserved = base();
    unserved.workloads[1].succeeded = 0;
    assert_eq!(kept_out(&unserved), None, "nobody is ever served");
    let brings = |events| {
        let mut e = unserved.clone();
        let spans = spans(&e.workloads[0]).unwrap().to_vec();
        let sse = Some(EventStreams { streams: 2, events, spans, ..EventStreams::default() });
        e.workloads[0].by_protocol = Some(Box::new(ByProtocol { sse, ..ByProtocol::default() }));
        kept_out(&e)
    };
    assert_eq!((brings(0), brings(9)), (None, Some(8 * SECOND)), "but for events on a stream");
    let mut one_place = base();
    one_place.device.capacity = Some(1);
    assert_eq!(kept_out(&one_place), None);
    let gone = Silence { from_ns: SECOND, to_ns: None, ..Silence::default() };
    let icmp = ProbeEvidence { sent: 9, answered: 3, silences: vec![gone], ..ProbeEvidence::default() };
    let probes = ProbesEvidence { icmp: Measured::Value(icmp), ..ProbesEvidence::default() };
    assert_eq!(kept_out(&Evidence { probes, ..base() }), None, "its stack is gone");
}

/// Two clients that read event streams: one got a stream with nine events, and twice another waited in vain.
fn streams() -> Evidence<'static> {
    let sse = EventStreams { streams: 1, events: 9, ..EventStreams::default() };
    let late = |at: u64| Episode::of(at * SECOND, (at + 5) * SECOND, Err(Failure::ReadTimeout));
    let mut failures = FailureCounts::default();
    failures.add(Failure::ReadTimeout, 2);
    let w = WorkloadEvidence {
        name: "sse".to_owned(),
        kind: WorkloadKind::Rw,
        asks: Asks { protocol: Protocol::Sse, ..Asks::default() },
        by_protocol: Some(Box::new(ByProtocol { sse: Some(sse), ..ByProtocol::default() })),
        at_once: 2,
        attempts: 3,
        succeeded: 1,
        failures,
        episodes: vec![late(10), late(20)],
        ..WorkloadEvidence::default()
    };
    Evidence { workloads: vec![w], ..Evidence::default() }
}

#[test]
fn a_device_that_leaves_requests_for_another_stream_unanswered_serves_too_few() {
    let of = |change: fn(&mut WorkloadEvidence, &mut EventStreams)| {
        let mut e = streams();
        let mut sse = facts::streams(&e.workloads[0]).unwrap().clone();
        change(&mut e.workloads[0], &mut sse);
        e.workloads[0].by_protocol = Some(Box::new(ByProtocol { sse: Some(sse), ..ByProtocol::default() }));
        without_a_stream(&e, &e.workloads[0])
    };
    assert_eq!(of(|_, _| {}), Some(2));
    assert_eq!(of(|_, sse| sse.streams = 0), None, "no stream was open");
    assert_eq!(of(|_, sse| sse.events = 0), None, "the stream brought nothing");
    assert_eq!(of(|w, _| w.at_once = 1), None, "one reader");
    assert_eq!(of(|w, _| w.succeeded = 0), None);
    assert_eq!(of(|w, _| w.episodes.truncate(1)), None, "once may be a lost segment");
    let mut small = streams();
    small.device.capacity = Some(1);
    assert_eq!(without_a_stream(&small, &small.workloads[0]), None, "it says that it has room for one");
}

#[test]
fn the_statement_says_for_what_the_device_waits_and_how_long() {
    let said = |e: &Evidence<'_>| seen(e).map(|one| one.statement()).unwrap_or_default();
    let reads = slow_beside(&[OUT, OUT]);
    let waits = "it waits 8.0 s for a client that reads slowly, and";
    assert!(said(&reads).contains(waits), "{}", said(&reads));
    let mut both = reads;
    both.workloads[0].asks.sends_slowly = true;
    let waits = "it waits 8.0 s for a client that sends slowly, and";
    assert!(said(&both).contains(waits), "{}", said(&both));
    assert!(said(&streams()).starts_with("The device serves too few event streams at once"));
    let mut more = slow_beside(&[OUT, OUT]);
    more.workloads.extend(streams().workloads);
    assert!(
        said(&more)
            .starts_with("The device serves one client at a time: it waits 8.0 s for a client that reads")
    );
    assert_eq!(said(&slow_beside(&[IN, IN])), "");
}

#[test]
fn the_advice_for_event_streams_is_a_task_of_their_own() {
    let advice = |e: &Evidence<'_>| seen(e).unwrap().advice();
    let (cause, change) = advice(&streams());
    assert!(cause.contains("event stream") && change.contains("streams from a task of their own"));
    let mut read = slow_beside(&[OUT, OUT]);
    read.workloads[0].asks = Asks { protocol: Protocol::Sse, ..Asks::default() };
    assert!(advice(&read).0.contains("event stream"), "also where one keeps others out");
    assert_eq!(advice(&slow_beside(&[OUT, OUT])), (CAUSE, CHANGE));
}

#[test]
fn each_wait_has_a_line_with_its_figures() {
    let lines = |e: &Evidence<'_>| in_figures(e, &e.workloads[0]);
    let closing = Evidence { workloads: vec![closes()], ..Evidence::default() };
    let line = "head: the device closed 9 connections 2.0 s after each response, one after the other, with 2 at once";
    assert_eq!(lines(&closing), [line]);
    let line = "slow: 2 slow clients for up to 10 s each; in that time the device served no other client for up to 8.0 s, \
                although others asked";
    assert_eq!(lines(&slow_beside(&[OUT, OUT])), [line]);
    let line =
        "sse: 1 event stream brought 9 events; beside it 2 attempts got no answer or no connection in time";
    assert_eq!(lines(&streams()), [line]);
    assert!(lines(&slow_beside(&[IN, IN])).is_empty());
}
