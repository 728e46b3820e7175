//! Connections that say nothing before their first request, as browsers open them, and what the others meet meanwhile.

use std::io::Write;
use std::net::SocketAddr;

use espstress_event::Failure;

use crate::common::said::said;
use crate::common::scripted::scripted;
use crate::common::{answer_all, one_client_at_a_time, request, server};

const SCENARIO: &str = "
[[phase]]
name = 'browser'
kind = 'rw'
protocol = 'http'
connections = 1
per_connection = 1
silent_before = '1s'
duration = '5s'

[[phase]]
name = 'others'
kind = 'head'
start = 'with-previous'
rate = '5/s'
connections = 8
duration = '5s'
";

#[track_caller]
fn beside(address: SocketAddr) -> crate::common::said::Said {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("both.toml");
    std::fs::write(&file, SCENARIO).unwrap();
    said("run --no-capture -t", &[&address.to_string(), file.to_str().unwrap()])
}

/// The close that follows is announced: no next request is on its way then, which the close would answer with a RST.
const LAST: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// It waits for a client's request, and answers it.
fn waits_for_each() -> SocketAddr {
    one_client_at_a_time(|mut stream| {
        if !request(&mut stream).is_empty() {
            let _ = stream.write_all(LAST);
        }
    })
}

#[test]
fn a_server_for_one_client_at_a_time_keeps_the_others_waiting_and_is_named() {
    let run = beside(waits_for_each());
    run.fails_with(&["blocked_application"]).says(&["serves one client at a time", "for a client's request"]);
    let failed: u64 = run.report.workloads.iter().map(|w| w.failures.of_device()).sum();
    assert_eq!(failed, 0, "nobody failed: they waited");
}

#[cfg(feature = "long")]
#[test]
fn the_doctor_names_a_server_that_waits_for_a_client_that_says_nothing() {
    let run = said("doctor", &[&waits_for_each().to_string()]);
    run.fails_with(&["blocked_application"]).says(&["for a client's request", "others waited up to 1."]);
    // It is asked the rest all the same.
    let asked: Vec<&str> = run.report.workloads.iter().map(|w| w.name.as_str()).collect();
    assert!(["beside", "persistent", "silent"].iter().all(|name| asked.contains(name)), "{asked:?}");
}

#[cfg(feature = "long")]
#[test]
fn the_doctor_asks_a_server_that_gives_silent_clients_up_everything_and_finds_no_fault() {
    let address = scripted(|mut peer| {
        peer.wait_at_most(std::time::Duration::from_millis(500));
        if let Some(request) = peer.request() {
            // Announced, so that no next request meets the close.
            let body = if request.is("HEAD") { "" } else { "page" };
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n";
            peer.send(format!("{head}{body}"));
        }
        peer.finish();
    });
    let run = said("doctor", &[&address.to_string()]);
    run.passes().says(&["closes_idle", "0 of 10", "silent for so long"]);
    assert!(run.report.workload("silent").is_some());
}

#[test]
fn a_server_that_serves_others_meanwhile_is_blamed_for_nothing() {
    beside(server(answer_all)).passes();
}

/// HAProxy and others say 408 to a client that says nothing, and close.
#[test]
fn a_server_that_gives_silent_connections_up_with_408_closes_idle_ones_and_resets_nobody() {
    let address = scripted(|mut peer| {
        peer.wait_at_most(std::time::Duration::from_millis(300));
        match peer.request() {
            Some(request) => drop(peer.answer(&request, "200 OK", "page")),
            None => drop(
                peer.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
            ),
        }
        peer.finish();
    });
    for command in ["head --silent-before 1s", "rw --protocol http --silent-before 1s --per-connection 1"] {
        let run = said(&format!("{command} -n 4 -c 4 --watch 0s"), &[&address.to_string()]);
        let workload = &run.report.workloads[0];
        assert_eq!(
            workload.failures.get(Failure::EofBeforeResponse),
            4,
            "{command}: {:?}",
            workload.failures
        );
        assert_eq!(run.blamed(), [], "{command}: {}", run.page);
        run.says(&["closes_idle", "4 before their first request", "with a response 408"]);
        // Nothing was served, so nothing is known.
        assert!(!run.passed() && !run.failed(), "{command}: {:?}", run.report.verdict);
    }
}
