//! For each failure name a server that causes exactly it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::common::apart::in_this_program;
use crate::common::{OK, closed_port, request, reset, run, run_from, server};
use espstress_event::{Ending, Endpoints, Failure};
use espstress_stats::WorkloadStats;

const FAST: &str = "timeout_connect = '300ms'\ntimeout_read = '300ms'\ntimeout_write = '300ms'\n";

fn head(settings: &str, target: SocketAddr) -> WorkloadStats {
    run("head", &format!("{FAST}{settings}"), target)
}

fn rw(settings: &str, target: SocketAddr) -> WorkloadStats {
    run("rw", &format!("{FAST}{settings}"), target)
}

/// All attempts failed, and by that name.
#[track_caller]
fn only(stats: &WorkloadStats, failure: Failure) {
    let counted: Vec<_> = stats.failures.iter().filter(|(_, n)| *n > 0).collect();
    assert!(stats.attempts > 0);
    assert_eq!(counted, [(failure, stats.attempts)], "{} succeeded", stats.succeeded);
}

#[test]
fn a_backlog_that_is_full_is_a_connect_timeout() {
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let target = listener.local_addr().unwrap().as_socket().unwrap();
    let filling: Vec<_> =
        (0..3).map(|_| TcpStream::connect_timeout(&target, Duration::from_millis(200))).collect();
    assert!(filling.iter().any(Result::is_err), "the backlog is full");
    only(&head("count = 2", target), Failure::ConnectTimeout);
}

#[test]
fn a_closed_port_is_connect_refused() {
    let (_closed, target) = closed_port();
    only(&head("count = 3", target), Failure::ConnectRefused);
}

#[test]
fn a_rst_between_handshake_and_request_is_connect_reset() {
    let target = server(reset);
    only(&head("count = 3\nrequest_delay = '150ms'", target), Failure::ConnectReset);
}

#[test]
fn no_route_is_connect_unreachable() {
    const INSIDE: &str = "ESPSTRESS_TEST_WITHOUT_ROUTE";
    if std::env::var_os(INSIDE).is_some() {
        // A new network namespace: even loopback is down.
        let target = "127.0.0.1:80".parse().unwrap();
        only(&head("count = 2", target), Failure::ConnectUnreachable);
        return;
    }
    let this = std::env::current_exe().unwrap();
    let inside = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--"])
        .arg(this)
        .args(["--exact", in_this_program(concat!(module_path!(), "::no_route_is_connect_unreachable"))])
        .env(INSIDE, "1")
        .output();
    match inside {
        Ok(output) if output.status.success() => {}
        Ok(output) if String::from_utf8_lossy(&output.stderr).contains("unshare") => {
            crate::common::skipped("twin", "no network namespace can be made here");
        }
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stdout)),
        Err(error) => crate::common::skipped("twin", &format!("no unshare: {error}")),
    }
}

#[test]
fn a_peer_that_never_reads_is_a_write_timeout() {
    let target = server(|stream| {
        std::thread::sleep(Duration::from_secs(20));
        drop(stream);
    });
    // More than both ends' buffers hold.
    let settings = "protocol = 'framed'\nsize = '64KiB'\nwindow = 1000\ncount = 1000";
    only(&rw(settings, target), Failure::WriteTimeout);
}

#[test]
fn a_rst_that_meets_a_request_half_written_is_write_reset() {
    let target = server(|mut stream| {
        let mut some = [0; 1_000];
        let _ = stream.read(&mut some);
        // Long enough for a slow machine to fill the buffers of both ends, shorter than the usual time-outs.
        std::thread::sleep(Duration::from_millis(1_500));
        reset(stream);
    });
    let settings = "protocol = 'framed'\nsize = '64KiB'\nwindow = 1000\ncount = 1000";
    let stats = run("rw", settings, target);
    // On a busy machine, some requests may have gone out whole before the buffers were full: these wait for an answer.
    let (half, whole) = (stats.failures.get(Failure::WriteReset), stats.failures.get(Failure::ReadReset));
    assert_eq!((stats.succeeded, half + whole), (0, 1_000), "{:?}", stats.failures);
    assert!(half > whole, "{half} half written, {whole} whole");
}

#[test]
fn silence_after_the_request_is_a_read_timeout() {
    let target = server(|mut stream| {
        request(&mut stream);
        std::thread::sleep(Duration::from_secs(20));
    });
    only(&head("count = 2", target), Failure::ReadTimeout);
}

#[test]
fn a_rst_instead_of_the_response_is_read_reset() {
    let target = server(|mut stream| {
        request(&mut stream);
        reset(stream);
    });
    only(&head("count = 3", target), Failure::ReadReset);
}

#[test]
fn a_fin_instead_of_the_response_is_eof_before_response() {
    let target = server(|mut stream| {
        request(&mut stream);
    });
    only(&head("count = 3", target), Failure::EofBeforeResponse);
}

#[test]
fn a_fin_within_the_response_is_a_truncated_response() {
    let target = server(|mut stream| {
        request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive.");
    });
    only(&head("count = 3\nmethod = 'GET'", target), Failure::TruncatedResponse);
}

#[test]
fn what_is_no_http_is_a_bad_response() {
    let target = server(|mut stream| {
        request(&mut stream);
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n");
        request(&mut stream);
    });
    only(&head("count = 3", target), Failure::BadResponse);
}

#[test]
fn an_echo_that_differs_by_one_bit_is_a_corrupt_payload() {
    let target = server(|mut stream| {
        let mut frame = [0; 276];
        while stream.read_exact(&mut frame).is_ok() {
            let header: [u8; 20] = frame[..20].try_into().unwrap();
            let mut header = espstress_device::framed::Header::decode(&header).unwrap();
            header.kind = espstress_device::framed::Kind::EchoReply;
            frame[..20].copy_from_slice(&header.encode());
            frame[100] ^= 4;
            let _ = stream.write_all(&frame);
        }
    });
    only(&rw("protocol = 'framed'\nsize = 256\ncount = 3", target), Failure::CorruptPayload);
}

#[test]
fn ports_that_are_used_up_are_the_hosts_failure_in_an_open_loop() {
    let target = server(crate::common::answer_all);
    let ports = "20000-20003".parse().unwrap();
    let endpoints = Endpoints::only(target);
    // Four connections that the host closes first keep their ports for a minute.
    let stats = run_from("head", "rate = '50/s'\nconnections = 1\ncount = 20", endpoints, ports)
        .workloads
        .remove(0)
        .stats;
    assert_eq!(stats.failures.get(Failure::HostOutOfPorts), 16, "{:?}", stats.failures);
    assert_eq!((stats.succeeded, stats.failures.of_device()), (4, 0));
}

#[test]
fn a_closed_loop_waits_for_a_port_and_counts_the_wait() {
    let target = server(crate::common::answer_all);
    let ports = "20010-20013".parse().unwrap();
    let stats = run_from("head", "duration = '2s'", Endpoints::only(target), ports).workloads.remove(0).stats;
    assert_eq!((stats.attempts, stats.succeeded, stats.port_waits), (4, 4, 1), "{:?}", stats.failures);
}

#[test]
fn ports_whose_peer_closed_first_are_used_again_at_once() {
    let target = server(|mut stream| {
        request(&mut stream);
        let _ = stream.write_all(OK);
    });
    let ports = "20020-20023".parse().unwrap();
    let stats = run_from("head", "close = 'wait'\ncount = 40", Endpoints::only(target), ports)
        .workloads
        .remove(0)
        .stats;
    assert_eq!((stats.succeeded, stats.port_waits), (40, 0), "{:?}", stats.failures);
}

#[test]
fn descriptors_that_are_used_up_are_the_hosts_failure() {
    let target = server(|mut stream| {
        while !request(&mut stream).is_empty() {
            std::thread::sleep(Duration::from_millis(50));
            let _ = stream.write_all(OK);
        }
    });
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 48; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_espstress")])
        .args(["head", &target.to_string(), "-c", "64", "-n", "200", "--json", "--no-capture", "--no-gate"])
        .output()
        .unwrap();
    let report = crate::common::valid_report(&output.stdout);
    let json = serde_json::to_value(&report.workloads[0].failures).unwrap();
    assert!(json["host_out_of_files"].as_u64().unwrap() > 0, "{json}");
    let others: u64 = json
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| *name != "host_out_of_files")
        .map(|(_, n)| n.as_u64().unwrap())
        .sum();
    assert_eq!(others, 0, "{json}");
}

#[test]
fn a_device_that_floods_after_the_close_ends_neither_the_run_nor_is_waited_for() {
    let target = server(|mut stream| {
        request(&mut stream);
        let _ = stream.write_all(OK);
        // Until this side's FIN is in, so that nothing of it belongs to the response.
        while !request(&mut stream).is_empty() {}
        let piece = [b'x'; 64 * 1024];
        while stream.write_all(&piece).is_ok() {}
    });
    let start = std::time::Instant::now();
    let stats = run("head", &format!("{FAST}close = 'fin'\ncount = 2\n"), target);
    assert_eq!((stats.attempts, stats.endings.get(Ending::StillSending)), (2, 2));
    assert!(start.elapsed() < Duration::from_secs(60));
}
