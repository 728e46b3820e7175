//! Connections: how many are held, how they end, who gets one.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::common::scripted::{Peer, serial};
use crate::{DOCTOR, run};

fn answer_all(peer: &mut Peer) {
    while let Some(request) = peer.request() {
        peer.answer(&request, "200 OK", "hello");
    }
}

/// A sketch on WiFiServer: reads the first line, prints a page, and stops the client, which resets the connection.
#[test]
fn a_close_with_the_rest_of_the_request_unread_is_named() {
    let server = serial(5, |mut peer| {
        peer.receive_up_to(b'\r');
        peer.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>{}</html>",
            "y".repeat(3_000)
        ));
    });
    run(DOCTOR, server).fails_with(&["abortive_close"]);
}

/// Ten sockets, and a callback that forgets each when its client has closed.
#[test]
fn sockets_that_are_never_closed_are_named() {
    let mut kept = Vec::new();
    let server = serial(4, move |peer| {
        kept.push(peer.handle());
        std::thread::spawn(move || {
            let mut peer = peer;
            answer_all(&mut peer);
            // Kept in CLOSE_WAIT by the copy.
        });
        while kept.len() >= 10 {
            std::thread::park();
        }
    });
    run(DOCTOR, server).fails_with(&["socket_exhaustion"]);
}

/// One client at a time: 5 s for its request, then 2 s for its close, as the old HTTP server of the Arduino core.
fn one_client_at_a_time() -> SocketAddr {
    serial(5, |mut peer| {
        peer.wait_at_most(Duration::from_secs(5));
        let Some(request) = peer.request() else { return };
        let body = if request.is("HEAD") { "" } else { "hello" };
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n{body}"));
        peer.wait_at_most(Duration::from_secs(2));
        while peer.receive().is_some() {}
    })
}

#[test]
fn a_server_that_one_silent_client_stops_is_named() {
    run("half-open -c 4 --watch-reclaim 5s", one_client_at_a_time())
        .fails_with(&["blocked_application"])
        .says(&["one client at a time"]);
}

/// Every handshake is finished by the stack, and the program accepts none.
#[test]
fn a_backlog_that_nobody_empties_is_one_cause() {
    let server = serial(0, |peer| {
        let _kept = peer;
        loop {
            std::thread::park();
        }
    });
    let _held: Vec<_> =
        (0..3).map(|_| TcpStream::connect_timeout(&server, Duration::from_millis(200))).collect();
    let one = run(DOCTOR, server);
    assert_eq!(one.blamed().len(), 1, "{:?}\n{}", one.blamed(), one.page);
    one.never_says(&["Nothing is wrong"]);
}
