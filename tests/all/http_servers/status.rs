//! Status codes: counted, and right or not.

use espstress_event::Failure;

use crate::common::scripted::scripted;
use crate::common::{espstress, valid_report};
use crate::http_servers::{failures, head, rw};

/// A server whose answers have these codes in turn, on each connection or over all of them.
fn turns(codes: &'static [&'static str]) -> std::net::SocketAddr {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    scripted(move |mut peer| {
        while let Some(request) = peer.request() {
            let nth = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            peer.answer(&request, codes[nth % codes.len()], "x");
        }
    })
}

#[test]
fn codes_are_counted_and_5xx_alone_is_a_failure() {
    for run in [head, rw] {
        let stats = run("count = 8", turns(&["200 OK", "404 Not Found", "200 OK", "503 Busy"]));
        assert_eq!(stats.responses.iter().collect::<Vec<_>>(), [(200, 4), (404, 2), (503, 2)]);
        assert_eq!(failures(&stats), [(Failure::BadStatus, 2)]);
        assert_eq!(stats.first_status, Some(200));
    }
}

#[test]
fn another_protocol_that_nobody_asked_for_is_no_answer() {
    for run in [head, rw] {
        let switching = || turns(&["101 Switching Protocols"]);
        assert_eq!(failures(&run("count = 2", switching())), [(Failure::BadStatus, 2)]);
        assert_eq!(run("count = 2\nheader = ['Upgrade: x']", switching()).succeeded, 2);
        assert_eq!(run("count = 2\nexpect_status = 101", switching()).succeeded, 2);
    }
}

#[test]
fn what_is_expected_decides_which_codes_are_failures() {
    for run in [head, rw] {
        let settings = "count = 6\nexpect_status = '2xx,404'";
        let stats = run(settings, turns(&["201 Created", "404 Not Found", "301 Moved"]));
        assert_eq!(failures(&stats), [(Failure::BadStatus, 2)]);
        let stats = run("count = 3\nexpect_status = 503", turns(&["503 Busy"]));
        assert_eq!(stats.succeeded, 3, "an answer that was asked for is right, whatever it says");
    }
}

#[test]
fn head_refused_is_told_by_the_first_status() {
    let target = scripted(|mut peer| {
        while let Some(request) = peer.request() {
            let status = if request.is("HEAD") { "405 Method Not Allowed" } else { "200 OK" };
            peer.answer(&request, status, "x");
        }
    });
    assert_eq!(head("count = 3", target).first_status, Some(405));
    assert_eq!(head("count = 3\nmethod = 'GET'", target).first_status, Some(200));
}

#[test]
fn report_page_and_gates_have_the_codes() {
    let target = turns(&["200 OK", "503 Busy"]).to_string();
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("report.json");
    let mut command = espstress();
    command
        .args(["head", &target, "-n", "10", "--threshold", "head.responses.503 == 0", "--output"])
        .arg(&kept);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let report = valid_report(&std::fs::read(&kept).unwrap());
    let workload = report.workload("head").unwrap();
    assert_eq!(workload.responses.get("503"), Some(&5));
    assert_eq!(workload.first_status, Some(200));
    let page = String::from_utf8_lossy(&output.stdout);
    assert!(page.contains("503 5"), "{page}");
}

#[test]
fn a_list_of_codes_that_is_none_is_refused_with_what_is_allowed() {
    let output = espstress().args(["head", "127.0.0.1:9", "--expect-status", "ok"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("200, 2xx or 200,204,3xx"), "{text}");
}
