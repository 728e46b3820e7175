//! What a response is: its status, its length, its end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::cases::{DOCTOR, run};
use crate::common::scripted::{Peer, Request, scripted};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const FORTY: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// A server that keeps connections and gives each request to `answer`, as long as that returns true.
fn keeping(answer: impl Fn(&mut Peer, &Request) -> bool + Send + Sync + 'static) -> SocketAddr {
    scripted(move |mut peer| {
        peer.without_delay();
        while let Some(request) = peer.request() {
            if !answer(&mut peer, &request) {
                return peer.finish();
            }
        }
    })
}

/// A head that promises more than comes: `/big` ends with a FIN, `/short` lacks one byte and stays open.
fn truncating() -> SocketAddr {
    keeping(|peer, request| {
        let (promised, sent, ends) = match request.path() {
            "/big" => (9_000, 4_000, true),
            "/short" => (1_306, 1_305, false),
            _ => (300, 300, false),
        };
        let mut all = format!("HTTP/1.1 200 OK\r\nContent-Length: {promised}\r\n\r\n");
        if !request.is("HEAD") {
            all.push_str(&"z".repeat(sent));
        }
        peer.send(all);
        request.is("HEAD") || !ends
    })
}

#[test]
fn a_response_that_ends_before_its_length_is_truncated() {
    let server = truncating();
    run("rw --protocol http --path /big -n 20", server)
        .fails_with(&["malformed_response"])
        .says(&["9,000", "4,000"]);
    run("head --method GET --path /big -n 20", server)
        .fails_with(&["malformed_response"])
        .says(&["9,000", "4,000"]);
}

#[test]
fn a_response_that_lacks_its_last_byte_is_truncated() {
    let server = truncating();
    let short = "--path /short -n 6 --timeout-read 300ms";
    run(&format!("rw --protocol http {short}"), server)
        .fails_with(&["malformed_response"])
        .says(&["1,306", "1,305"])
        .never_says(&["hangs"]);
    run(&format!("head --method GET {short}"), server)
        .fails_with(&["malformed_response"])
        .says(&["1,306", "1,305"])
        .never_says(&["hangs"]);
}

/// Chunked responses: right, padded, without the last chunk, with a size too large by one, and one that ends by FIN.
fn chunking() -> SocketAddr {
    keeping(|peer, request| {
        let head = request.is("HEAD");
        let body = match request.path() {
            "/pad" => format!("28  \r\n{FORTY}\r\n0\r\n\r\n"),
            "/cut" => format!("28\r\n{FORTY}\r\n"),
            "/bad" => format!("29\r\n{FORTY}\r\n0\r\n\r\n"),
            "/close" => {
                let body = if head { String::new() } else { "q".repeat(500) };
                peer.send(format!("HTTP/1.1 200 OK\r\n\r\n{body}"));
                return false;
            }
            _ => format!("28\r\n{FORTY}\r\n0\r\n\r\n"),
        };
        peer.send(format!("{CHUNKED}{}", if head { "" } else { &body }));
        head || request.path() != "/cut"
    })
}

#[test]
fn right_chunks_are_right() {
    run("rw --protocol http --path /ok -n 20", chunking()).passes();
}

#[test]
fn a_body_that_ends_with_its_connection_is_right() {
    run("rw --protocol http --path /close -n 20", chunking()).passes();
    run("head --method GET --path /close -n 20", chunking()).passes();
}

#[test]
fn a_padded_size_of_a_chunk_is_named() {
    run("rw --protocol http --path /pad -n 20", chunking()).says(&["chunk"]);
}

#[test]
fn a_body_without_its_last_chunk_is_truncated() {
    run("rw --protocol http --path /cut -n 20", chunking())
        .fails_with(&["malformed_response"])
        .says(&["chunk"]);
}

#[test]
fn a_chunk_whose_size_is_wrong_is_named() {
    run("rw --protocol http --path /bad -n 6 --timeout-read 300ms", chunking())
        .fails_with(&["malformed_response"])
        .says(&["chunk"]);
}

#[test]
fn bytes_after_the_end_of_a_response_are_named() {
    use std::sync::atomic::{AtomicU64, Ordering};
    let asked = AtomicU64::new(0);
    let server = keeping(move |peer, request| {
        let mut all = String::from("HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n");
        if !request.is("HEAD") {
            all.push_str(&"z".repeat(300));
        }
        if (asked.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(5) {
            all.push_str(
                "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: /\r\n\r\n",
            );
        }
        peer.send(all)
    });
    run("rw --protocol http -n 60", server).fails_with(&["malformed_response"]).says(&["after the end"]);
}

/// HEAD as devices do it, while GET is answered: with a status, a body, silence or a FIN.
fn without_head(answer: &'static str) -> SocketAddr {
    const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n";
    keeping(move |peer, request| {
        let page = format!("{PAGE}{}", "z".repeat(300));
        let status = answer.parse::<u16>().ok();
        let everything = matches!(status, Some(401 | 302 | 503));
        if !request.is("HEAD") && !everything {
            return peer.send(page);
        }
        match (answer, status) {
            ("body", _) => peer.send(page),
            ("silent", _) => true,
            (_, Some(status)) => {
                // With a body even after a HEAD, as esp_http_server's error handler does it.
                peer.send(format!("HTTP/1.1 {status} X\r\nContent-Length: 13\r\n\r\nNot like this"))
            }
            _ => false,
        }
    })
}

#[test]
fn refused_heads_are_counted_by_status_and_the_option_that_helps_is_told() {
    for status in ["405", "404"] {
        let server = without_head(status);
        let one = run("head -n 20", server);
        one.says(&[status, "--method GET"]).never_says(&["Nothing broke"]);
        run("rw --protocol http -n 20", server).passes();
    }
}

#[test]
fn a_login_and_a_redirection_are_counted_by_status() {
    for status in ["401", "302"] {
        let server = without_head(status);
        run("head -n 20", server).says(&[status]);
        run("rw --protocol http -n 20", server).says(&[status]);
    }
}

#[cfg(feature = "long")]
#[test]
fn a_503_fails() {
    let server = without_head("503");
    run("head -n 20", server).fails_with(&["http_errors"]).says(&["503"]);
    run("rw --protocol http -n 20", server).fails_with(&["http_errors"]).says(&["503"]);
    run(DOCTOR, server).fails_with(&["http_errors"]).says(&["503"]).never_says(&["Nothing wrong was found"]);
}

#[cfg(feature = "long")]
#[test]
fn a_body_after_a_head_is_named() {
    let server = without_head("body");
    run("head -n 20", server).says(&["body", "HEAD"]).never_says(&["Nothing broke"]);
    run(DOCTOR, server).says(&["body", "HEAD"]);
}

#[cfg(feature = "long")]
#[test]
fn a_head_without_an_answer_is_told_as_that() {
    for answer in ["silent", "close"] {
        let server = without_head(answer);
        run("head -n 6 --timeout-read 300ms", server).says(&["--method GET"]).never_says(&["hangs"]);
        let examined = run(DOCTOR, server);
        examined.says(&["HEAD"]).never_says(&["hangs", "Nothing wrong was found"]);
    }
}

#[test]
fn a_length_that_follows_the_values_is_no_corruption() {
    let start = Instant::now();
    let server = keeping(move |peer, request| {
        let up = start.elapsed().as_micros();
        let body = format!(
            "{{\"uptime\":{up},\"temp\":{:.1}}}",
            9.0 + f64::from(u32::try_from(up % 20).unwrap()) / 10.0
        );
        peer.answer(request, "200 OK", body)
    });
    run("rw --protocol http -n 200", server).passes().counts("rw", 200, 200);
}

/// `/events` sends an event a second for ever, `/drip` a byte a second.
fn streaming() -> SocketAddr {
    const SECOND: Duration = Duration::from_secs(1);
    keeping(|peer, request| match request.path() {
        "/events" => {
            peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
            while peer.send("data: 1\n\n") {
                std::thread::sleep(SECOND);
            }
            false
        }
        "/drip" => {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n");
            (0..60).all(|_| {
                std::thread::sleep(SECOND);
                peer.send(".")
            })
        }
        _ => peer.answer(request, "200 OK", "hello"),
    })
}

#[cfg(feature = "long")]
#[test]
fn a_duration_is_a_bound_and_a_response_without_an_end_is_named() {
    let server = streaming();
    for kind in ["head --method GET", "rw --protocol http"] {
        for path in ["/events", "/drip"] {
            let one = run(&format!("{kind} --path {path} -d 3s"), server);
            one.within(Duration::from_secs(15)).says(&["didn't end"]);
        }
    }
}
