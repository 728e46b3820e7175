//! What a response is: its status, its length, its end.

use std::net::SocketAddr;
use std::time::Instant;

use crate::common::scripted::{Peer, Request, scripted};
use crate::{BAD_STATUS, DOCTOR, MALFORMED, run};

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

/// A head that promises 9,000 bytes, 4,000 of them, and a FIN.
fn truncating() -> SocketAddr {
    keeping(|peer, request| {
        let mut all = String::from("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n");
        if !request.is("HEAD") {
            all.push_str(&"z".repeat(4_000));
        }
        peer.send(all) && request.is("HEAD")
    })
}

#[test]
fn a_response_that_ends_before_its_length_is_truncated() {
    let server = truncating();
    run("rw --protocol http  -n 20", server).fails_with(&[MALFORMED]);
    run("head --method GET  -n 20", server).fails_with(&[MALFORMED]);
}

/// Chunked responses: right, without the last chunk, with a size too large by one, and one that ends by FIN.
fn chunking() -> SocketAddr {
    keeping(|peer, request| {
        let head = request.is("HEAD");
        let body = match request.path() {
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
fn a_body_without_its_last_chunk_is_truncated() {
    run("rw --protocol http --path /cut -n 20", chunking()).fails_with(&[MALFORMED]);
}

#[test]
fn a_chunk_whose_size_is_wrong_is_named() {
    run("rw --protocol http --path /bad -n 6 --timeout-read 300ms", chunking()).fails_with(&[MALFORMED]);
}

/// A server that answers everything with a status, and with a body even after a HEAD, as esp_http_server's error handler
/// does it.
fn answering(status: &'static str) -> SocketAddr {
    keeping(move |peer, _| {
        peer.send(format!("HTTP/1.1 {status} X\r\nContent-Length: 13\r\n\r\nNot like this"))
    })
}

#[test]
fn a_login_and_a_redirection_are_counted_by_status() {
    for status in ["401", "302"] {
        let server = answering(status);
        let counted = format!("responses {status} 20");
        run("head -n 20", server).says(&[&counted]);
        run("rw --protocol http -n 20", server).says(&[&counted]);
    }
}

#[test]
fn a_503_fails() {
    let server = answering("503");
    run("head -n 20", server).fails_with(&[BAD_STATUS]).says(&["503"]);
    run("rw --protocol http -n 20", server).fails_with(&[BAD_STATUS]).says(&["503"]);
    run(DOCTOR, server).fails_with(&[BAD_STATUS]).says(&["503"]).never_says(&["Nothing is wrong"]);
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
