//! Connections that the device closes: idle ones, and those that it was asked to close and does not.

use std::time::Duration;

use espstress_event::{Ending, HttpFault};

use crate::common::scripted::scripted;
use crate::http_servers::{failures, faults, head, rw};

#[test]
fn an_idle_connection_that_the_device_closed_is_opened_again_and_nothing_failed() {
    let target = scripted(|mut peer| {
        peer.wait_at_most(Duration::from_millis(100));
        while let Some(request) = peer.request() {
            peer.answer(&request, "200 OK", "x");
        }
        peer.finish();
    });
    let stats = rw("interval = '300ms'\nconnections = 1\ncount = 5", target);
    assert_eq!((stats.succeeded, failures(&stats)), (5, vec![]));
    assert_eq!(stats.reconnects, 0, "these are for connections that failed");
    let closes = stats.idle_closes.unwrap();
    assert_eq!(closes.count, 4);
    assert!((100_000..=closes.median_us).contains(&closes.min_us), "{closes:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn an_idle_time_is_that_of_the_devices_close_and_not_of_the_look_that_found_it() {
    let target = scripted(|mut peer| {
        peer.wait_at_most(Duration::from_millis(100));
        while let Some(request) = peer.request() {
            peer.answer(&request, "200 OK", "x");
        }
        peer.finish();
    });
    let closes = rw("interval = '1500ms'\nconnections = 1\ncount = 2", target).idle_closes.unwrap();
    assert!((100_000..1_000_000).contains(&closes.min_us), "{closes:?}");
}

const TIMEOUT: &str = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\nConnection: close\r\n\r\nidle";

/// Keeps a connection until its client has been silent for so long, and then says this.
fn says_after(idle: Duration, said: &'static str) -> std::net::SocketAddr {
    scripted(move |mut peer| {
        peer.wait_at_most(idle);
        let mut since = std::time::Instant::now();
        while let Some(request) = peer.request() {
            peer.answer(&request, "200 OK", "page");
            since = std::time::Instant::now();
        }
        // Not to a client that has closed.
        if since.elapsed() >= idle {
            peer.send(said);
        }
        peer.finish();
    })
}

#[test]
fn a_408_on_an_idle_connection_is_an_idle_close_and_no_bytes_behind_a_response() {
    let target = says_after(Duration::from_millis(700), TIMEOUT);
    // More than a second lies between the close and the next request, also on a busy machine.
    let stats = rw("interval = '2s'\nconnections = 1\ncount = 3", target);
    assert_eq!((stats.succeeded, failures(&stats), faults(&stats)), (3, vec![], vec![]));
    let closes = stats.idle_closes.unwrap();
    assert_eq!((closes.count, closes.told), (2, 2));
    assert!((600_000..2_000_000).contains(&closes.min_us), "{closes:?}");
}

#[test]
fn a_408_while_the_host_waits_before_its_close_is_no_byte_behind_the_response() {
    for settings in ["close_delay = '1500ms'", "close = 'wait'\ntimeout_read = '2s'"] {
        let target = says_after(Duration::from_millis(800), TIMEOUT);
        let stats = head(&format!("method = 'GET'\ncount = 1\n{settings}"), target);
        assert_eq!((stats.succeeded, failures(&stats), faults(&stats)), (1, vec![], vec![]), "{settings}");
    }
}

#[test]
fn a_second_response_at_once_is_bytes_behind_the_first_whatever_its_status() {
    let target = scripted(|mut peer| {
        while let Some(request) = peer.request() {
            peer.answer(&request, "200 OK", "page");
            // As a packet of its own, which comes behind the answer.
            std::thread::sleep(Duration::from_millis(50));
            peer.send(TIMEOUT);
        }
    });
    let stats = rw("interval = '1s'\nconnections = 1\ncount = 2", target);
    assert_eq!(stats.malformed.times(HttpFault::Overlong), 2);
    assert!(stats.idle_closes.is_none());
}

#[test]
fn other_bytes_on_an_idle_connection_are_bytes_behind_a_response() {
    for more in ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "HTTP/1.1 408 Requ"] {
        let target = says_after(Duration::from_millis(700), more);
        let stats = rw("interval = '1s'\nconnections = 1\ncount = 2", target);
        assert_eq!(stats.malformed.times(HttpFault::Overlong), 1, "{more}");
    }
}

#[test]
fn a_device_that_closes_after_each_answer_without_a_word_is_no_failure_when_it_is_seen_in_time() {
    let target = scripted(|mut peer| {
        if let Some(request) = peer.request() {
            peer.answer(&request, "200 OK", "x");
        }
        peer.finish();
    });
    let stats = rw("interval = '500ms'\nconnections = 1\ncount = 5", target);
    assert_eq!((stats.succeeded, failures(&stats)), (5, vec![]));
    assert_eq!(stats.idle_closes.map(|closes| closes.count), Some(4));
}

#[test]
fn a_device_that_ignores_connection_close_is_waited_for_less_and_less() {
    let target = scripted(|mut peer| {
        while let Some(request) = peer.request() {
            peer.answer(&request, "200 OK", "x");
        }
        peer.finish();
    });
    let started = std::time::Instant::now();
    let stats = head("close = 'wait'\ncount = 12\ntimeout_read = '800ms'", target);
    assert_eq!(faults(&stats), [(HttpFault::CloseIgnored, 12, None, None)]);
    assert_eq!(stats.endings.get(Ending::CloseIgnored), 12);
    assert_eq!(stats.succeeded, 12);
    // 0.8 s, 0.2 s, and ten times 0.1 s; twelve full waits would be 9.6 s.
    assert!(started.elapsed() < Duration::from_millis(4_800), "{:?}", started.elapsed());
}

#[test]
fn what_the_host_waits_for_a_close_is_no_latency_of_an_open_loop() {
    let target = scripted(|mut peer| {
        while let Some(request) = peer.request() {
            peer.answer(&request, "200 OK", "x");
        }
        peer.finish();
    });
    let settings = "close = 'wait'\nconnections = 1\ninterval = '50ms'\nduration = '3s'\ntimeout_read = '1s'";
    let stats = head(settings, target);
    let total = &stats.latency[&espstress_stats::Phase::Total].corrected;
    // Twenty starts fall due during the first wait; counted as late, the last of them would come to a second.
    assert!(total.quantile_ns(1.0).unwrap() < 500_000_000, "{:?}", total.quantile_ns(1.0));
    assert!(stats.late_starts_dropped >= 15, "{}", stats.late_starts_dropped);
}

#[test]
fn a_device_that_closes_when_it_is_asked_to_is_at_no_fault() {
    let target = scripted(|mut peer| {
        while let Some(request) = peer.request() {
            peer.answer(&request, "200 OK", "x");
            if request.wants_close() {
                break;
            }
        }
        peer.finish();
    });
    let stats = head("close = 'wait'\ncount = 5", target);
    assert_eq!((stats.endings.get(Ending::Fin), faults(&stats)), (5, vec![]));
}
