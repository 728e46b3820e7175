//! `-d` is a bound: on responses that do not end, on devices that are gone, and on starts that are late.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use espstress_event::{Failure, HttpFault};

use crate::common::scripted::{Peer, scripted};
use crate::http_servers::{failures, faults, head, rw};

/// After the end, an answer that is coming in may go on for two seconds and a wait to its time-out, five unless set; the rest
/// is this machine.
const DRAIN: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const MACHINE: Duration = Duration::from_secs(2);

fn drips(mut peer: Peer, head: &str) {
    if peer.request().is_some() && peer.send(head) {
        while peer.send("data: 1\n\n") {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn an_event_stream_ends_with_the_time_and_is_named() {
    let target = scripted(|peer| drips(peer, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"));
    for run in [head, rw] {
        let started = Instant::now();
        let stats = run("method = 'GET'\nduration = '1s'", target);
        assert!(started.elapsed() < Duration::from_secs(1) + DRAIN + MACHINE, "{:?}", started.elapsed());
        let seen = stats.malformed.get(HttpFault::Endless).unwrap();
        assert_eq!((seen.count, seen.promised_bytes), (1, None));
        assert!(seen.received_bytes.unwrap() >= 100, "{seen:?}");
        assert_eq!((stats.attempts, stats.unfinished), (0, 1), "what was given up is no attempt");
    }
}

#[test]
fn without_a_length_of_the_run_a_response_without_an_end_fails_after_twelve_read_time_outs() {
    let target = scripted(|mut peer| {
        if peer.request().is_some() && peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        {
            while peer.send("data: 1\n\n") {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    });
    std::thread::scope(|scope| {
        for run in [head, rw] {
            scope.spawn(move || {
                let stats = run("method = 'GET'\ncount = 1\ntimeout_read = '200ms'", target);
                assert_eq!((stats.attempts, failures(&stats)), (1, vec![(Failure::ReadTimeout, 1)]));
                let seen = stats.malformed.get(HttpFault::Endless).unwrap();
                assert!(seen.detail.contains("12 read timeouts"), "{}", seen.detail);
            });
        }
    });
}

#[test]
fn a_body_that_drips_is_endless_with_what_it_promised() {
    let target = scripted(|peer| drips(peer, "HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n"));
    let stats = rw("duration = '500ms'", target);
    let [(HttpFault::Endless, 1, Some(90_000), Some(received))] = faults(&stats)[..] else {
        panic!("{:?}", faults(&stats));
    };
    assert!((100..1_000).contains(&received), "{received}");
}

#[test]
fn an_answer_that_needs_a_little_longer_than_the_time_is_a_success() {
    let target = scripted(|mut peer| {
        while let Some(request) = peer.request() {
            std::thread::sleep(Duration::from_millis(700));
            peer.answer(&request, "200 OK", "x");
        }
    });
    let stats = rw("duration = '500ms'", target);
    assert_eq!((stats.attempts, stats.succeeded, faults(&stats)), (1, 1, vec![]));
}

#[test]
fn a_device_that_vanishes_does_not_make_the_run_longer_than_one_time_out() {
    const ANSWERED: u64 = 10;
    let asked = AtomicU64::new(0);
    let target = scripted(move |mut peer| {
        while let Some(request) = peer.request() {
            if asked.fetch_add(1, Ordering::Relaxed) < ANSWERED {
                peer.answer(&request, "200 OK", "x");
            }
        }
    });
    let started = Instant::now();
    let stats = rw("duration = '2s'\ninterval = '50ms'\nconnections = 2", target);
    let bound = Duration::from_secs(2) + LONGEST_WAIT + MACHINE;
    assert!(started.elapsed() < bound, "{:?}", started.elapsed());
    // Both connections wait for an answer until their time-out, and every later start is dropped.
    assert_eq!((stats.succeeded, stats.attempts), (ANSWERED, ANSWERED + 2));
    assert_eq!(stats.late_starts_dropped, 40 - (ANSWERED + 2));
}

#[test]
fn what_waits_when_the_time_is_up_is_counted_at_its_time_out_however_long_that_is() {
    let target = scripted(|mut peer| while peer.request().is_some() {});
    let stats = rw("duration = '500ms'\ninterval = '50ms'\nconnections = 2\ntimeout_read = '7s'", target);
    assert_eq!((stats.attempts, stats.late_starts_dropped), (2, 10 - 2));
    assert_eq!(failures(&stats), [(Failure::ReadTimeout, 2)]);
}

#[test]
fn nothing_begins_after_the_end() {
    let target = scripted(|mut peer| {
        while let Some(request) = peer.request() {
            std::thread::sleep(Duration::from_millis(400));
            peer.answer(&request, "200 OK", "x");
        }
    });
    let stats = rw("duration = '1s'\ninterval = '10ms'\nconnections = 1", target);
    // Each takes 0.4 s or more: no fourth can begin within the second.
    assert!((1..=3).contains(&stats.attempts), "{}", stats.attempts);
    assert_eq!(stats.attempts + stats.late_starts_dropped, 100);
}
