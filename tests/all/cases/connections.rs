//! Connections: how many are held, how they end, who gets one.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use espstress_event::AnomalyId;
use espstress_report::ProbeKind;

use crate::cases::{DOCTOR, LONG_DOCTOR, run};
use crate::common::said::said;
use crate::common::scripted::{Peer, scripted, serial};

fn answer_all(peer: &mut Peer) {
    while let Some(request) = peer.request() {
        peer.answer(&request, "200 OK", "hello");
    }
}

/// Seven sessions, as esp_http_server keeps them without lru_purge_enable; with all of them taken a client waits in the
/// backlog, or is accepted and closed at once.
fn seven_sessions(turns_away: bool) -> SocketAddr {
    let held = Arc::new(AtomicUsize::new(0));
    serial(5, move |mut peer| {
        if turns_away && held.load(Ordering::Acquire) >= 7 {
            return;
        }
        while held.load(Ordering::Acquire) >= 7 {
            std::thread::sleep(Duration::from_millis(1));
        }
        held.fetch_add(1, Ordering::AcqRel);
        let held = Arc::clone(&held);
        std::thread::spawn(move || {
            answer_all(&mut peer);
            // Whoever has seen the end of a connection finds its session free.
            held.fetch_sub(1, Ordering::AcqRel);
            drop(peer);
        });
    })
}

#[cfg(feature = "long")]
#[test]
fn seven_sessions_that_silent_clients_keep_are_named() {
    run(LONG_DOCTOR, seven_sessions(false)).fails_with(&["half_open_not_reclaimed"]);
}

#[cfg(feature = "long")]
#[test]
fn seven_sessions_that_silent_clients_keep_are_named_where_others_are_turned_away() {
    run(LONG_DOCTOR, seven_sessions(true)).fails_with(&["half_open_not_reclaimed"]);
}

/// A sketch on WiFiServer: reads the first line, prints a page, and stops the client, which resets the connection.
#[cfg(feature = "long")]
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

/// The same at one path only, which another program on this machine asks for.
#[test]
fn what_other_programs_of_this_machine_meet_is_not_held_against_the_device() {
    let server = scripted(|mut peer| {
        let Some(request) = peer.request() else { return };
        if request.path() == "/other" {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
            return peer.reset();
        }
        peer.answer(&request, "200 OK", "hello");
        answer_all(&mut peer);
    });
    let over = Arc::new(AtomicUsize::new(0));
    let other = std::thread::spawn({
        let over = Arc::clone(&over);
        move || {
            while over.load(Ordering::Acquire) == 0 {
                let Ok(mut stream) = TcpStream::connect(server) else { return };
                let _ = stream.write_all(b"GET /other HTTP/1.1\r\nHost: device\r\n\r\n");
                let _ = stream.read_to_end(&mut Vec::new());
            }
        }
    });
    let one = run("head --method GET --rate 20/s -d 3s", server);
    over.store(1, Ordering::Release);
    other.join().unwrap();
    // That a packet was missed, and so what a connection met isn't known, may be said.
    one.passes();
    assert!(
        one.report.anomalies.iter().all(|row| row.id != AnomalyId::AbortiveClose),
        "{:?}",
        one.report.anomalies
    );
}

/// Ten sockets, and a callback that forgets each when its client has closed.
#[cfg(feature = "long")]
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

/// esp_http_server with lru_purge_enable: five sessions, and a newcomer ends the one that was used least recently.
fn least_recently_used() -> SocketAddr {
    let used: Arc<Mutex<Vec<(u64, TcpStream)>>> = Arc::default();
    let numbers = AtomicU64::new(0);
    serial(5, move |mut peer| {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let mut sessions = used.lock().unwrap();
        if sessions.len() >= 5 {
            let _ = sessions.remove(0).1.shutdown(Shutdown::Both);
        }
        sessions.push((number, peer.handle()));
        drop(sessions);
        let used = Arc::clone(&used);
        std::thread::spawn(move || {
            while let Some(request) = peer.request() {
                let mut sessions = used.lock().unwrap();
                let Some(at) = sessions.iter().position(|(one, _)| *one == number) else { return };
                let one = sessions.remove(at);
                sessions.push(one);
                drop(sessions);
                peer.answer(&request, "200 OK", "hello");
            }
            used.lock().unwrap().retain(|(one, _)| *one != number);
        });
    })
}

#[cfg(feature = "long")]
#[test]
fn a_session_that_makes_room_for_a_newcomer_is_given_back() {
    let server = least_recently_used();
    run("half-open -c 12 --watch-reclaim 5s", server)
        .passes()
        .says(&["makes room for new connections: it holds"])
        .never_says(&["no socket was seen to come back"]);
}

#[cfg(feature = "long")]
#[test]
fn the_doctor_calls_a_device_healthy_that_makes_room_for_newcomers() {
    run(DOCTOR, least_recently_used())
        .passes()
        .says(&["makes room for new connections"])
        .never_says(&["without a free socket"]);
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

#[cfg(feature = "long")]
#[test]
fn a_server_that_one_silent_client_stops_is_named() {
    run("half-open -c 4 --watch-reclaim 5s", one_client_at_a_time())
        .fails_with(&["blocked_application"])
        .says(&["one client at a time: it waits 2.0 s for a client that has fallen silent"]);
}

/// One client at a time, each FIN right after the response, and then a second for the client's own: as careful programs on
/// lwIP close.
fn closes_its_side_and_waits() -> SocketAddr {
    serial(5, |mut peer| {
        peer.wait_at_most(Duration::from_secs(3));
        let Some(request) = peer.request() else { return };
        peer.answer(&request, "200 OK", "hello");
        let _ = peer.handle().shutdown(Shutdown::Write);
        peer.wait_at_most(Duration::from_secs(1));
        while peer.receive().is_some() {}
    })
}

#[cfg(feature = "long")]
#[test]
fn a_fin_that_comes_with_the_response_is_not_the_wait_for_a_silent_client() {
    run("half-open -c 6 --watch-reclaim 8s", closes_its_side_and_waits())
        .fails_with(&["blocked_application"])
        .says(&["one client at a time: it waits 1.0 s for a client that has fallen silent"])
        .never_says(&[" us for a client", "sockets were back", "socket was seen back"]);
}

#[cfg(feature = "long")]
#[test]
fn a_server_that_waits_for_each_client_to_close_serves_one_at_a_time() {
    run("head --close wait -c 4 -n 12", one_client_at_a_time())
        .fails_with(&["blocked_application"])
        .says(&["one client at a time: it waits 2.0 s for a client's close"]);
}

/// Pages, and beside them connections on which a browser asks nothing for 8 s.
const WITH_A_SPARE: &str = r#"
name = "spare"

[[phase]]
name = "page"
kind = "head"
rate = "2/s"
duration = "14s"
connections = 4

[[phase]]
name = "spare"
kind = "head"
start = "with-previous"
count = 2
connections = 1
request_delay = "8s"
"#;

#[cfg(feature = "long")]
#[test]
fn a_spare_connection_without_a_request_shows_that_one_is_served_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("spare.toml");
    std::fs::write(&file, WITH_A_SPARE).unwrap();
    let scenario = format!("run {}", file.display());
    let to = |server: SocketAddr| crate::cases::said(&scenario, &["-t", &server.to_string()]);
    to(one_client_at_a_time())
        .fails_with(&["blocked_application"])
        .says(&["one client at a time", "for a client's request"]);
    // Who serves others meanwhile closes an idle connection, and no more.
    let several = scripted(|mut peer| {
        peer.without_delay();
        peer.wait_at_most(Duration::from_secs(5));
        answer_all(&mut peer);
    });
    to(several).passes().says(&["closes idle connections"]);
}

/// Keeps its connections whatever the client asks for.
fn ignores_connection_close() -> SocketAddr {
    scripted(|mut peer| {
        peer.without_delay();
        answer_all(&mut peer);
    })
}

/// Each connection and each request is counted.
#[test]
fn a_device_counts_exactly_what_was_asked_for() {
    let seen = Arc::new([const { AtomicU64::new(0) }; 2]);
    let counts = Arc::clone(&seen);
    let server = scripted(move |mut peer| {
        peer.without_delay();
        counts[0].fetch_add(1, Ordering::AcqRel);
        while let Some(request) = peer.request() {
            counts[1].fetch_add(1, Ordering::AcqRel);
            peer.answer(&request, "200 OK", "hello");
        }
    });
    let counted = || seen.each_ref().map(|n| n.swap(0, Ordering::AcqRel));
    run("head -n 60 --no-probes", server).passes().counts("head", 60, 60);
    assert_eq!(counted(), [60, 60]);
    let one = run("head -n 60", server);
    let probes =
        one.passes().report.probes.iter().find(|probe| probe.kind == ProbeKind::TcpConnect).unwrap().sent;
    assert_eq!(counted(), [60 + probes, 60]);
    assert!(one.report.not_judged.is_empty(), "{:?}", one.report.not_judged);
}

#[test]
fn not_closing_when_asked_to_is_said_once_and_spoils_no_latency() {
    let server = ignores_connection_close();
    let one = run("head --close wait -c 4 -n 20", server);
    one.passes().says(&["Connection: close"]).within(Duration::from_secs(40));
    assert_eq!(one.page.matches("Connection: close").count(), 1, "{}", one.page);
}

#[test]
fn a_first_run_against_a_server_that_does_not_close_when_asked_to_ends_in_time() {
    let server = format!("-t {}", ignores_connection_close());
    crate::cases::said("run quick", &server.split(' ').collect::<Vec<_>>())
        .passes()
        .within(Duration::from_secs(60));
}

/// Every handshake is finished by the stack, and the program accepts none.
#[cfg(feature = "long")]
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
    one.never_says(&["Nothing wrong was found"]);
}

/// Keep-alive, and an idle connection is closed after 2 s without a word.
fn closes_when_idle() -> SocketAddr {
    scripted(|mut peer| {
        peer.without_delay();
        peer.wait_at_most(Duration::from_secs(2));
        answer_all(&mut peer);
    })
}

#[cfg(feature = "long")]
#[test]
fn a_server_that_closes_idle_connections_is_healthy() {
    let server = closes_when_idle();
    run("rw --protocol http -i 2500ms -n 6 -c 1", server)
        .passes()
        .counts("rw", 6, 6)
        .says(&["closes idle connections"]);
}

#[cfg(feature = "long")]
#[test]
fn idle_connections_that_are_closed_are_given_back() {
    run(LONG_DOCTOR, closes_when_idle()).passes().says(&["closes idle connections", "16 of 16"]);
}

#[cfg(feature = "long")]
#[test]
fn what_speaks_no_http_speaks_something_else() {
    // As port 6053 of ESPHome, and Modbus: they wait for their own protocol, and close at anything else.
    let server = scripted(|mut peer| {
        peer.receive();
        peer.take();
        peer.finish();
    });
    run(DOCTOR, server)
        .says(&["the port speaks another protocol"])
        .never_says(&["hangs", "Nothing wrong was found"]);
}

#[cfg(feature = "long")]
#[test]
fn a_web_server_speaks_neither_lines_nor_frames() {
    let server = ignores_connection_close();
    for kind in ["rw --protocol line", "rw --protocol framed"] {
        let one = run(&format!("{kind} -n 4 --timeout-read 500ms"), server);
        one.says(&["the port speaks another protocol"]).never_says(&["hangs", "PASS"]);
    }
    let one = run("outage --cycles 1 --every 2s --outage 300ms -d 6s", server);
    one.says(&["the port speaks another protocol"]).never_says(&["PASS"]);
}

/// Each second line comes twice. The copy meets the next request, and is no answer to it.
#[test]
fn a_line_that_comes_again_is_told_and_fails_nothing() {
    use std::io::{BufRead, BufReader};
    let address = crate::common::server(|stream| {
        let (mut to, mut lines) = (stream.try_clone().unwrap(), BufReader::new(stream));
        let (mut line, mut n) = (Vec::new(), 0);
        while lines.read_until(b'\n', &mut line).is_ok_and(|got| got > 0) {
            n += 1;
            let whole = line.repeat(1 + usize::from(n % 2 == 0));
            if to.write_all(&whole).is_err() {
                return;
            }
            line.clear();
        }
    });
    let run = said("rw --protocol line -n 40 --no-probes --no-capture", &[&address.to_string()]);
    run.says(&["PASS", "answers_repeated"]).never_says(&["wrong payload"]);
    let w = &run.report.workloads[0];
    // The last line's copy comes as the connection ends.
    assert_eq!((w.succeeded, w.attempts), (40, 40));
    assert!(matches!(w.by_protocol.as_ref().map(|by| by.repeated), Some(19..=20)), "{:?}", w.by_protocol);
}
