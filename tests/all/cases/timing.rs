//! What makes a device slow although its stack is fast.

use std::net::SocketAddr;
#[cfg(feature = "long")]
use std::sync::Mutex;
use std::time::Duration;

use crate::cases::{DOCTOR, run};
use crate::common::programs::python;
use crate::common::scripted::{Peer, scripted};

/// Head and body in small pieces with Nagle's algorithm left on, as print() writes them.
fn small_pieces() -> SocketAddr {
    scripted(|mut peer| {
        let body = format!("<html>{}</html>", "x".repeat(87));
        while let Some(request) = peer.request() {
            peer.send("HTTP/1.1 200 OK\r\n");
            peer.send("Content-Type: text/html\r\n");
            peer.send(format!("Content-Length: {}\r\n\r\n", body.len()));
            if !request.is("HEAD") {
                peer.send(&body[..50]);
                peer.send(&body[50..]);
            }
        }
    })
}

#[test]
fn a_second_small_segment_that_waits_for_an_acknowledgement_is_named() {
    run("rw --protocol http -n 60", small_pieces()).blames(&["nagle_delay"]).says(&["TCP_NODELAY"]);
}

#[cfg(feature = "long")]
#[test]
fn the_doctor_names_segments_that_wait_for_an_acknowledgement() {
    run(DOCTOR, small_pieces()).blames(&["nagle_delay"]).says(&["TCP_NODELAY"]);
}

/// Each small write waits until the host has acknowledged the one before, as the old WiFiClient.write() does.
#[test]
fn writes_that_wait_for_an_acknowledgement_each_are_named() {
    let Some(server) = python(include_str!("ackwait.py"), &[]) else { return };
    run("rw --protocol http -n 20", server.address).blames(&["nagle_delay"]).says(&["TCP_NODELAY"]);
    #[cfg(feature = "long")]
    run(DOCTOR, server.address).blames(&["nagle_delay"]);
}

/// All handlers wait for one lock, which the hundredth request holds for so long.
#[cfg(feature = "long")]
fn holds_its_lock(for_so_long: Duration) -> SocketAddr {
    let (lock, answers) =
        (Mutex::new(0), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    scripted(move |mut peer: Peer| {
        if peer.request().is_some() {
            let mut served = lock.lock().unwrap();
            *served += 1;
            if *served == 100 {
                std::thread::sleep(for_so_long);
            }
            drop(served);
            peer.send(answers);
        }
    })
}

#[cfg(feature = "long")]
#[test]
fn a_program_that_stands_still_and_then_answers_everything_is_named() {
    run("head -c 4 -r 100 -n 400", holds_its_lock(Duration::from_secs(3)))
        .blames(&["stands_still"])
        .says(&["The device answered nothing for 3.", "then it answered them"])
        .never_says(&["Nothing broke"]);
    run("head -c 4 -r 100 -n 400", holds_its_lock(Duration::from_millis(100)))
        .never_says(&["answered nothing"]);
}

/// Each request costs 0.8 % more than the one before: 14, 35, 56, 77, 99 and 120 ms are the medians of sixths of 16 seconds,
/// further apart than a busy machine moves them.
#[cfg(feature = "long")]
#[test]
fn answers_that_take_longer_and_longer_are_named() {
    let slower = |by: f64| {
        let served = Mutex::new(0);
        scripted(move |mut peer: Peer| {
            if peer.request().is_some() {
                let so_far = {
                    let mut served = served.lock().unwrap();
                    *served += 1;
                    *served
                };
                std::thread::sleep(Duration::from_secs_f64(0.003 * by.powi(so_far)));
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
        })
    };
    run("head -c 1 -d 16s", slower(1.008))
        .blames(&["slows_down"])
        .says(&["The device's answers took longer and longer"]);
    run("head -c 1 -d 9s", slower(1.0)).never_says(&["longer and longer"]);
}

/// One request a recv(): what follows in the same segment is thrown away.
#[test]
fn pipelined_requests_that_are_lost_are_no_hang() {
    let server = scripted(|mut peer: Peer| {
        peer.without_delay();
        // It looks at its socket so often: all that the client sends at once has come by then.
        std::thread::sleep(Duration::from_millis(20));
        while peer.receive().is_some() {
            peer.take();
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    run("rw --protocol http -n 40", server).passes();
    run("rw --protocol http --window 4 -n 40 --timeout-read 500ms", server)
        .says(&["pipelin"])
        .never_says(&["hangs", "PASS"]);
}

/// Takes an upload and stops reading for good after 20,000 bytes.
#[cfg(feature = "long")]
#[test]
fn an_upload_that_the_device_stops_reading_is_named() {
    let server = scripted(|mut peer: Peer| {
        socket2::SockRef::from(&peer.handle()).set_recv_buffer_size(5_744).unwrap();
        let mut read = 0;
        while read < 20_000 {
            let Some(got) = peer.receive() else { return };
            read += got;
        }
        std::thread::sleep(Duration::from_secs(3_600));
    });
    run("head --method POST --body 512KiB -n 3 --timeout-write 3s --timeout-read 3s", server)
        .fails_with(&["blocked_application"])
        .says(&["stops reading"]);
}

/// A form of a kilobyte, taken and answered.
#[test]
fn an_upload_that_is_taken_passes() {
    let server = scripted(|mut peer: Peer| {
        peer.without_delay();
        while let Some(request) = peer.request() {
            let mut left = request.body_length();
            assert_eq!(left, 1_024);
            left -= peer.take().len();
            while left > 0 && peer.receive().is_some() {
                left -= peer.take().len();
            }
            peer.answer(&request, "200 OK", "taken");
        }
    });
    run("head --method POST --body 1KiB -n 60", server).passes().counts("head", 60, 60);
}

/// Reads until nothing has come for a second, as a program does that does not know how much there is.
fn reads_until_it_times_out(one_segment_is_enough: bool) -> SocketAddr {
    scripted(move |mut peer: Peer| {
        peer.without_delay();
        while peer.receive().is_some() {
            let first = peer.take();
            let whole = one_segment_is_enough && first.len() < 1_000;
            if first.starts_with(b"POST") && !whole {
                peer.wait_at_most(Duration::from_secs(1));
                while peer.receive().is_some() {}
                peer.wait_at_most(Duration::from_secs(60));
                peer.take();
            }
            let body = if first.starts_with(b"HEAD") { "" } else { "hello" };
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{body}"));
        }
    })
}

#[cfg(feature = "long")]
#[test]
fn an_answer_that_follows_a_body_by_a_time_out_is_named() {
    let post = |server, size| run(&format!("head --method POST --body {size} -n 6"), server);
    post(reads_until_it_times_out(false), "512")
        .blames(&["body_timeout"])
        .says(&["1.0 s after the body (1 segment)"]);
    // Only a body that does not fit into the first segment is waited for.
    let server = reads_until_it_times_out(true);
    post(server, "512").blames(&[]);
    post(server, "100KiB").blames(&["body_timeout"]).says(&["1.0 s after the body"]);
    run("head -n 6", server).blames(&[]);
}
