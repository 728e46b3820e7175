//! Servers that are served by every workload: the sim, nginx, Python.

use super::well;
use crate::common::{espstress_with, failure, skipped};
use std::io::Read as _;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

#[track_caller]
fn served(arguments: &str, attempts: u64) {
    let report = well(arguments);
    let workload = &report.workloads[0];
    let failures: Vec<_> = workload.failures.iter().collect();
    assert_eq!((workload.attempts, workload.succeeded), (attempts, attempts), "{arguments}: {failures:?}");
}

#[test]
fn the_quick_scenario_passes_against_the_sim() {
    let report = well("run -t sim");
    assert_eq!(report.workloads.len(), 3);
    for workload in &report.workloads {
        assert_eq!(workload.attempts, workload.succeeded, "{}", workload.name);
    }
}

#[test]
fn each_way_of_closing_is_served_by_the_sim() {
    for close in ["fin", "wait", "rst", "half"] {
        served(&format!("head sim -c 4 -n 60 --close {close}"), 60);
    }
}

#[test]
fn heads_flat_out_are_served_with_one_and_with_four_connections() {
    served("head sim -c 1 -n 200", 200);
    served("head sim -c 4 -n 200", 200);
}

#[test]
fn an_interval_of_a_fifth_of_a_second_makes_fifteen_heads_in_three() {
    let report = well("head sim --interval 200ms -d 3s");
    let workload = &report.workloads[0];
    assert!((15..=16).contains(&workload.attempts), "{}", workload.attempts);
    assert_eq!(workload.succeeded, workload.attempts);
}

#[test]
fn ten_kilobytes_come_back_unchanged_on_one_and_on_eight_connections() {
    served("rw sim -c 1 -n 300 --size 10KiB", 300);
    served("rw sim -c 8 -n 300 --size 10KiB", 300);
}

#[test]
fn each_protocol_is_served_by_the_sim() {
    for protocol in ["http", "framed", "raw", "line"] {
        served(&format!("rw sim -c 2 -n 40 --protocol {protocol}"), 40);
    }
}

/// A child that is ended with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn heads_are_served_by_pythons_http_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = Command::new("python3")
        .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut server) = server else { return skipped("peers", "no python3") };
    let mut first = server.stdout.take().unwrap();
    let _server = Ended(server);
    let mut line = String::new();
    let mut byte = [0; 1];
    while !line.ends_with('\n') && matches!(first.read(&mut byte), Ok(1)) {
        line.push(char::from(byte[0]));
    }
    // Serving HTTP on 127.0.0.1 port 40123 (http://...) ...
    let port = line.split(" port ").nth(1).and_then(|rest| rest.split(' ').next());
    let Some(port) = port else { return skipped("peers", "python3 has no http.server") };
    served(&format!("head 127.0.0.1:{port} -n 100"), 100);
    served(&format!("head 127.0.0.1:{port} -n 100 -c 2 --close wait"), 100);
}

#[test]
fn heads_are_served_by_nginx() {
    let folder = tempfile::tempdir().unwrap();
    // Taken until the test is over: two sockets that both say SO_REUSEADDR may share a port of which one listens.
    let taken = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    taken.set_reuse_address(true).unwrap();
    taken.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let port = taken.local_addr().unwrap().as_socket().unwrap().port();
    let here = folder.path().display();
    let configuration = format!(
        "daemon off; master_process off; pid {here}/pid; error_log {here}/error.log;\n\
         events {{ }}\n\
         http {{ access_log off; client_body_temp_path {here}/a; proxy_temp_path {here}/b;\n\
         fastcgi_temp_path {here}/c; uwsgi_temp_path {here}/d; scgi_temp_path {here}/e;\n\
         server {{ listen 127.0.0.1:{port}; location / {{ return 200 'ok'; }} }} }}\n"
    );
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, configuration).unwrap();
    let path = format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default());
    let server = Command::new("nginx").env("PATH", path).arg("-c").arg(&file).stderr(Stdio::null()).spawn();
    let Ok(server) = server else { return skipped("peers", "no nginx") };
    let _server = Ended(server);
    let up = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    assert!(up, "nginx did not come up on port {port}");
    served(&format!("head 127.0.0.1:{port} -c 4 -n 500"), 500);
    served(&format!("head 127.0.0.1:{port} -c 4 -n 500 --close wait"), 500);
    let keep_alive: Output = espstress_with(&format!("rw 127.0.0.1:{port} -c 4 -n 400 -q"));
    assert_eq!(keep_alive.status.code(), Some(0), "{:?}", failure(&keep_alive));
}
