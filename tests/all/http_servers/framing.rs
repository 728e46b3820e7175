//! Where a response ends, and whether it is one.

use espstress_event::{Failure, HttpFault};

use crate::common::scripted::scripted;
use crate::http_servers::{failures, faults, head, rw};

const GET: &str = "method = 'GET'\ncount = 3\ntimeout_read = '300ms'\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A server that sends `text` for each request and then keeps the connection, or ends it.
fn sends(text: &'static str, ends: bool) -> std::net::SocketAddr {
    scripted(move |mut peer| {
        while peer.request().is_some() {
            if !peer.send(text) {
                return;
            }
            if ends {
                return peer.finish();
            }
        }
    })
}

const SHORT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello";

#[test]
fn a_body_that_ends_before_its_length_is_truncated_and_both_figures_are_told() {
    for stats in [head(GET, sends(SHORT, true)), rw(GET, sends(SHORT, true))] {
        assert_eq!(faults(&stats), [(HttpFault::Truncated, 3, Some(6), Some(5))]);
        assert_eq!(failures(&stats), [(Failure::TruncatedResponse, 3)]);
    }
}

#[test]
fn a_body_one_byte_short_on_an_open_connection_is_a_time_out_that_is_told_as_truncated() {
    for stats in [head(GET, sends(SHORT, false)), rw(GET, sends(SHORT, false))] {
        assert_eq!(faults(&stats), [(HttpFault::Truncated, 3, Some(6), Some(5))]);
        assert_eq!(failures(&stats), [(Failure::ReadTimeout, 3)]);
    }
}

#[test]
fn bytes_after_the_end_of_a_response_are_named_whichever_workload_meets_them() {
    const LONG: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 302 Found\r\n\r\n";
    for stats in [head(GET, sends(LONG, false)), rw(GET, sends(LONG, false))] {
        assert_eq!(faults(&stats), [(HttpFault::Overlong, 3, Some(5), Some(27))]);
        assert_eq!(stats.succeeded, 3, "the responses themselves were right");
    }
}

#[test]
fn a_body_of_a_response_that_has_none_by_its_status_is_named_with_its_figures() {
    for text in [
        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        for stats in [head(GET, sends(text, false)), rw(GET, sends(text, false))] {
            assert_eq!(faults(&stats), [(HttpFault::BodyNotAllowed, 3, Some(5), Some(5))], "{text}");
        }
    }
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let stats = rw(GET, sends(interim, false));
    assert_eq!(faults(&stats), [(HttpFault::BodyNotAllowed, 3, None, None)]);
}

#[test]
fn a_body_after_head_is_named_whether_or_not_the_status_is_right() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        let head = head("count = 3", sends(text, false));
        let rw = rw("method = 'HEAD'\ncount = 3", sends(text, false));
        for stats in [head, rw] {
            assert_eq!(faults(&stats), [(HttpFault::BodyAfterHead, 3, None, Some(5))], "{text}");
        }
    }
}

#[test]
fn a_body_after_head_that_comes_late_is_still_that_and_no_bad_head() {
    let target = scripted(|mut peer| {
        peer.without_delay();
        while peer.request().is_some() {
            if !peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n") {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
            if !peer.send("hello") {
                return;
            }
        }
    });
    for settings in ["count = 4\n", "count = 4\ninterval = '60ms'\nconnections = 1\n", "count = 1\n"] {
        let stats = rw(&format!("method = 'HEAD'\n{settings}"), target);
        let names: Vec<_> = stats.malformed.iter().map(|(fault, _)| fault).collect();
        assert_eq!(names, [HttpFault::BodyAfterHead], "{settings}");
    }
}

#[test]
fn each_way_to_chunk_badly_has_its_words() {
    let cases = [
        ("28  \r\n", true, "padded"),
        ("29\r\n", false, "should end by its size"),
        ("zz\r\n", false, "not a hexadecimal number"),
        ("28\n", false, "not followed by CRLF"),
    ];
    for (size, read_all_the_same, words) in cases {
        let text = format!("{CHUNKED}{size}{}\r\n0\r\n\r\n", "a".repeat(40));
        let text: &'static str = Box::leak(text.into_boxed_str());
        for stats in [head(GET, sends(text, false)), rw(GET, sends(text, false))] {
            let seen = stats.malformed.get(HttpFault::BadChunk).unwrap_or_else(|| panic!("{size:?}"));
            assert_eq!(seen.count, 3, "{size:?}");
            assert!(seen.detail.contains(words), "{size:?}: {}", seen.detail);
            assert_eq!(stats.succeeded == 3, read_all_the_same, "{size:?}");
        }
    }
}

#[test]
fn a_chunked_body_without_its_last_chunk_is_truncated() {
    let text: &'static str = Box::leak(format!("{CHUNKED}5\r\nhello\r\n").into_boxed_str());
    let stats = rw(GET, sends(text, true));
    assert_eq!(faults(&stats), [(HttpFault::Truncated, 3, None, Some(5))]);
    assert_eq!(failures(&stats), [(Failure::TruncatedResponse, 3)]);
}

#[test]
fn a_response_that_only_ends_with_the_connection_is_whole_and_named() {
    const TEXT: &str = "HTTP/1.1 200 OK\r\n\r\nhello";
    for stats in [head(GET, sends(TEXT, true)), rw(GET, sends(TEXT, true))] {
        assert_eq!(faults(&stats), [(HttpFault::NoLength, 3, None, Some(5))]);
        assert_eq!(stats.succeeded, 3);
    }
    let stats = rw(GET, sends(TEXT, false));
    assert_eq!(faults(&stats), [(HttpFault::NoLength, 3, None, Some(5))]);
    assert_eq!(failures(&stats), [(Failure::ReadTimeout, 3)]);
    const SAID: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello";
    assert_eq!(faults(&rw(GET, sends(SAID, true))), [], "the device said that it closes");
}

#[test]
fn a_head_that_is_none_is_a_bad_head_and_says_why() {
    let stats = rw(GET, sends("HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n", false));
    let seen = stats.malformed.get(HttpFault::BadHead).unwrap();
    assert_eq!((seen.count, &*seen.detail), (3, "Content-Length is not a number"));
    let stats = head(GET, sends("SSH-2.0-dropbear\r\n", false));
    assert_eq!(stats.malformed.times(HttpFault::BadHead), 3);
}

#[test]
fn a_page_whose_length_changes_from_answer_to_answer_is_healthy() {
    let target = scripted(|mut peer| {
        for n in 1.. {
            let Some(request) = peer.request() else { return };
            peer.answer(&request, "200 OK", "x".repeat(n % 7 + 1));
        }
    });
    let stats = rw("count = 40", target);
    assert_eq!((stats.succeeded, faults(&stats)), (40, vec![]));
}

#[test]
fn an_interim_response_is_not_the_answer() {
    const TEXT: &str =
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let stats = rw(GET, sends(TEXT, false));
    assert_eq!((stats.succeeded, stats.responses.get(200), faults(&stats)), (3, 3, vec![]));
}
