//! What the C carrier does beyond the checks that all carriers share.

mod support;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use espstress_device::Service;
use espstress_device::conformance::{TOKEN, withstands_noise};
use espstress_device::mqtt::{ConnAck, Decoded, Kind, Packet, SubAck, Version, decode};
use support::{Build, Host};

const PATIENCE: Duration = Duration::from_secs(20);

fn connect(host: &Host, service: Service) -> TcpStream {
    let stream = TcpStream::connect(host.address(service)).expect("it accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream
}

/// The whole answer to a request that is the last one on its connection.
fn ask(host: &Host, request: &str) -> String {
    let mut stream = connect(host, Service::Http);
    stream.write_all(request.as_bytes()).expect("it takes the request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers and closes");
    answer
}

fn control(host: &Host, query: &str) {
    let answer = ask(
        host,
        &format!(
            "POST /control?{query} HTTP/1.1\r\nHost: c\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        ),
    );
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn head(host: &Host) -> String {
    ask(host, "HEAD / HTTP/1.1\r\nHost: c\r\nConnection: close\r\n\r\n")
}

/// Waits until a condition holds; fails when it does not come.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn noise_on_every_port_stops_changes_and_costs_nothing() {
    // Memory that is not given back is told when the process ends, by the leak sanitizer.
    let host = Host::start(Build::Sanitized, &["--token", TOKEN]);
    withstands_noise(&host.device(), 0x00C0_FFEE_D00D).expect("the device as it was");
}

#[test]
fn a_restart_drops_connections_keeps_ports_and_persona_and_counts_the_boot() {
    let host = Host::start(Build::Sanitized, &["--token", TOKEN, "--boot", "50"]);
    control(&host, "persona=no-keepalive");
    let mut held = connect(&host, Service::Line);
    control(&host, "reboot=true");
    let mut rest = Vec::new();
    let dropped = loop {
        let mut byte = [0];
        match held.read(&mut byte) {
            // The line service keeps its peers alive until then.
            Ok(1) => rest.extend(byte),
            other => break other,
        }
    };
    assert_eq!(dropped.expect_err("no goodbye").kind(), ErrorKind::ConnectionReset);
    eventually("the second boot", || host.telemetry()["boot_count"] == 2);
    let telemetry = host.telemetry();
    assert_eq!(telemetry["reset_reason"], "SW");
    assert_eq!(telemetry["persona"], "no-keepalive");
    assert!(head(&host).starts_with("HTTP/1.1 200"));
}

#[test]
fn an_outage_is_silence_that_ends() {
    let host = Host::start(Build::Sanitized, &["--token", TOKEN]);
    control(&host, "outage_ms=600");
    let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(150))).expect("a time-out");
    let mut answer = [0; 2_048];
    eventually("silence", || {
        socket.send_to(b"telemetry", host.address(Service::Telemetry)).expect("datagrams go out");
        socket.recv(&mut answer).is_err()
    });
    host.telemetry();
    assert!(head(&host).starts_with("HTTP/1.1 200"));
}

#[test]
fn it_dials_introduces_itself_and_dials_again_after_the_peer_is_gone() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a listener");
    let address = listener.local_addr().expect("an address").to_string();
    let host = Host::start(Build::Sanitized, &["--dial", &address, "--number", "3", "--line-timeout", "300"]);
    for round in 0..2 {
        let (stream, _) = listener.accept().expect("it dials");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let mut lines = BufReader::new(stream.try_clone().expect("a second handle"));
        let mut line = String::new();
        lines.read_line(&mut line).expect("it says its number");
        assert_eq!(line, "3\n", "round {round}");
        (&stream).write_all(b"{\"n\":1}\n").expect("it takes a line");
        line.clear();
        while line.trim().is_empty() {
            line.clear();
            lines.read_line(&mut line).expect("it echoes");
        }
        assert_eq!(line, "{\"n\":1}\n", "round {round}");
    }
    drop(listener);
    eventually("a refused dial", || {
        host.telemetry()["services"]["line"]["errors"]["refused"].as_u64() > Some(0)
    });
}

#[test]
fn an_accounted_heap_shrinks_under_the_hoarder() {
    let host = Host::start(Build::Sanitized, &["--persona", "hoarder:bytes=1KiB", "--heap", "100000"]);
    for _ in 0..10 {
        head(&host);
    }
    eventually("the hoard", || host.telemetry()["hoarded_bytes"] == 10_240);
    let heap = host.telemetry()["heap"].clone();
    assert_eq!(heap["free_bytes"], 89_760);
    assert_eq!(heap["min_free_bytes"], 89_760);
    assert!(heap["largest_free_block_bytes"].is_null(), "{heap}");
}

#[test]
fn waiting_costs_no_processor_time_whatever_became_of_the_connections() {
    for persona in ["robust", "half-closer", "deaf:after=4B", "frozen:after=200ms", "no-keepalive"] {
        let host = Host::start(Build::Sanitized, &["--persona", persona]);
        let mut held = Vec::new();
        for ending in 0..4 {
            let mut stream = connect(&host, Service::Http);
            stream.write_all(b"GET / HTTP/1.1\r\nHost: c\r\n\r\n").expect("it takes the request");
            match ending {
                // With the answer unread: a reset.
                0 => {
                    let _ = stream.peek(&mut [0]);
                    drop(stream);
                    continue;
                }
                1 => stream.shutdown(std::net::Shutdown::Write).expect("a half-close"),
                // Until here and no further.
                2 => stream.write_all(b"GET").expect("the start of a request"),
                _ => {}
            }
            held.push(stream);
        }
        std::thread::sleep(Duration::from_millis(400));
        let before = host.ticks();
        std::thread::sleep(Duration::from_millis(600));
        let used = host.ticks() - before;
        assert!(used < 15, "{persona}: {used} ticks while nothing happened");
    }
}

#[test]
fn services_that_are_switched_off_have_no_port_and_free_their_sockets() {
    let host = Host::start(Build::Sanitized, &["--services", "http,telemetry"]);
    let services: Vec<_> = host.addresses.iter().map(|&(service, _)| service).collect();
    assert_eq!(services, [Service::Http, Service::Telemetry]);
    assert_eq!(host.capacity, 8);
}

#[test]
fn options_that_make_no_sense_are_refused_with_words() {
    let wrong: [&[&str]; 6] = [
        &["--persona", "nobody"],
        &["--persona"],
        &["--port-base", "70000"],
        &["--services", "http,ftp"],
        &["--sockets", "500"],
        &["--token", "0123456789012345678901234567890123456789012345678901234567890123456789"],
    ];
    for arguments in wrong {
        let output = Command::new(Build::Sanitized.program()).args(arguments).output().expect("it starts");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("usage:"), "{arguments:?}");
    }
}

#[test]
fn a_broker_that_is_dialled_gets_the_client_of_every_carrier() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let dial = format!("mqtt:{}", listener.local_addr().expect("an address"));
    let _host = Host::start(Build::Sanitized, &["--dial", &dial, "--mqtt-keep-alive", "5", "--name", "c"]);
    let (mut stream, _) = listener.accept().expect("it dials");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let mut bytes = Vec::new();
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let mut more = [0; 512];
        let len = stream.read(&mut more).expect("it goes on");
        assert!(len > 0, "it closed after {seen:?}");
        bytes.extend_from_slice(&more[..len]);
        while let Decoded::Packet { packet, len } = decode(&bytes, Version::V311, 4_096).expect("MQTT") {
            let answer = match packet {
                Packet::Connect(connect) => {
                    assert_eq!((connect.client_id, connect.keep_alive), ("c-1", 5));
                    Some(Packet::ConnAck(ConnAck::default()))
                }
                Packet::Subscribe(subscribe) => {
                    Some(Packet::SubAck(SubAck { id: subscribe.id, codes: &[1] }))
                }
                _ => None,
            };
            if let Some(answer) = answer {
                let mut out = [0; 16];
                let len = answer.encode(Version::V311, &mut out).expect("it fits");
                stream.write_all(&out[..len]).expect("it takes the answer");
            }
            seen.push(packet.kind());
            bytes.drain(..len);
        }
    }
    assert_eq!(seen[..4], [Kind::Connect, Kind::Subscribe, Kind::Publish, Kind::Publish]);
}
