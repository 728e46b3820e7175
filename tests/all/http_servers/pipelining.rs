//! Pipelining with servers that end the connection after some requests, as they say with the last response.

use std::time::Duration;

use espstress_event::HttpFault;

use crate::common::scripted::scripted;
use crate::http_servers::{failures, faults, rw};

/// Answers so many requests on each connection, the last with these lines.
fn answers(most: usize, last: &'static str) -> std::net::SocketAddr {
    scripted(move |mut peer| {
        for nth in 1..=most {
            if peer.request().is_none() {
                return;
            }
            let head = if nth == most { last } else { "HTTP/1.1 200 OK\r\n" };
            if !peer.send(format!("{head}Content-Length: 2\r\n\r\nok")) {
                return;
            }
        }
        peer.finish();
    })
}

#[test]
fn requests_behind_a_response_that_announces_the_close_are_sent_again_and_none_fails() {
    for last in ["HTTP/1.1 200 OK\r\nConnection: close\r\n", "HTTP/1.0 200 OK\r\n"] {
        for most in [1, 7] {
            let stats = rw("count = 40\nwindow = 3", answers(most, last));
            let figures = (stats.succeeded, failures(&stats), stats.reconnects);
            assert_eq!(figures, (40, vec![], 0), "{most} on each connection: {last}");
            assert_eq!(faults(&stats), [], "{last}");
        }
    }
}

#[test]
fn requests_behind_a_response_that_ends_with_its_connection_are_sent_again() {
    let target = scripted(|mut peer| {
        if peer.request().is_some() && peer.send("HTTP/1.0 200 OK\r\n\r\nok") {
            peer.finish();
        }
    });
    let stats = rw("count = 20\nwindow = 4", target);
    assert_eq!((stats.succeeded, failures(&stats), stats.reconnects), (20, vec![], 0));
}

#[test]
fn a_response_that_came_before_a_reset_counts_and_the_requests_behind_it_are_sent_again() {
    let target = scripted(|mut peer| {
        if peer.request().is_none() {
            return;
        }
        // Whoever is alone on its connection is served until it closes.
        peer.wait_at_most(Duration::from_millis(100));
        let is_alone = peer.take().is_empty() && peer.receive().is_none();
        peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        if is_alone { peer.finish() } else { peer.reset() }
    });
    let stats = rw("count = 24\nwindow = 4", target);
    assert_eq!((stats.succeeded, failures(&stats), stats.reconnects), (24, vec![], 0));
    assert!(stats.http.left_behind > 0);
}

#[test]
fn a_reset_in_the_middle_of_a_response_that_announces_the_close_fails_nothing_where_requests_are_behind_it() {
    for head in
        ["HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 400\r\n\r\n"]
    {
        let target = scripted(move |mut peer| {
            if peer.request().is_none() {
                return;
            }
            peer.wait_at_most(Duration::from_millis(100));
            let is_alone = peer.take().is_empty() && peer.receive().is_none();
            peer.send(format!("{head}{}", "x".repeat(if is_alone { 400 } else { 200 })));
            if is_alone { peer.finish() } else { peer.reset() }
        });
        let stats = rw("count = 24\nwindow = 4", target);
        let figures = (stats.succeeded, failures(&stats), stats.reconnects);
        assert_eq!(figures, (24, vec![], 0), "{head}");
        assert_eq!(faults(&stats), [], "{head}");
        assert!(stats.http.left_behind > 0, "{head}");
    }
}

#[test]
fn a_reset_in_the_middle_of_the_response_to_a_request_that_is_alone_is_the_devices() {
    let target = scripted(|mut peer| {
        if peer.request().is_some() {
            peer.send("HTTP/1.0 200 OK\r\n\r\nok");
            peer.reset();
        }
    });
    let stats = rw("count = 6\nwindow = 1", target);
    assert_eq!((stats.attempts, stats.succeeded), (6, 0));
}

#[test]
fn what_fails_on_the_new_connection_fails_once_for_each_request() {
    let served = std::sync::atomic::AtomicUsize::new(0);
    let target = scripted(move |mut peer| {
        if served.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 0 {
            return peer.reset();
        }
        if peer.request().is_some() {
            peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
            peer.finish();
        }
    });
    let stats = rw("count = 12\nwindow = 4", target);
    assert_eq!((stats.attempts, stats.succeeded), (12, 1));
    assert_eq!(stats.malformed.times(HttpFault::Overlong), 0);
}
