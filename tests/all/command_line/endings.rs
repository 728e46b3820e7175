//! Runs that are ended, and streams whose reader has gone.

use super::heard_server;
use crate::common::{espstress, request, server, skipped, valid_report};
use espstress_report::{Report, Verdict};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn an_attempt_that_a_signal_cuts_off_is_told_as_such() {
    let target = crate::common::scripted::scripted(|mut peer| {
        while peer.request().is_some() {
            let mut goes_on = peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
            while goes_on {
                std::thread::sleep(Duration::from_millis(50));
                goes_on = peer.send("data: 1\n\n");
            }
        }
    });
    let arguments = format!("rw {target} --protocol http -n 3 --timeout-read 30s");
    let (status, report) = terminated(&arguments, Duration::from_millis(300));
    assert_eq!((status, report.verdict), (Some(130), Verdict::Inconclusive));
    let reason = "rw finished no attempt: one was under way when it ended, so nothing was tested";
    assert!(report.verdict_reasons.join("; ").contains(reason), "{:?}", report.verdict_reasons);
}

#[test]
fn an_attempt_that_was_answered_is_counted_once_though_its_connection_never_ends() {
    let each = |workload: &str| {
        let (closes, closed) = channel();
        let target = crate::common::scripted::scripted(move |mut peer| {
            while let Some(request) = peer.request() {
                peer.answer(&request, "200 OK", "hello");
            }
            // It keeps the connection that its client has closed, which has counted the answer by then.
            let _ = closes.send(peer);
        });
        let arguments = format!("{workload} -n 9 --timeout-read 30s --no-probes");
        let mut kept = None;
        let (_, report) = terminated_when(&arguments.replace("TARGET", &target.to_string()), || {
            kept = Some(closed.recv().unwrap());
        });
        let workload = &report.workloads[0];
        let unfinished = serde_json::to_value(workload).unwrap()["unfinished"].as_u64();
        assert_eq!((workload.attempts, workload.succeeded, unfinished), (1, 1, Some(0)), "{arguments}");
    };
    std::thread::scope(|scope| {
        for workload in
            ["head TARGET", "head TARGET --close wait", "rw TARGET --protocol http --per-connection 1"]
        {
            scope.spawn(move || each(workload));
        }
    });
}

/// A run of `arguments` that is sent SIGTERM so long after its start; its status and its report.
fn terminated(arguments: &str, after: Duration) -> (Option<i32>, Report) {
    terminated_when(arguments, || std::thread::sleep(after))
}

/// The same once `waits` returns.
fn terminated_when(arguments: &str, waits: impl FnOnce()) -> (Option<i32>, Report) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let mut child = espstress()
        .args(arguments.split_whitespace())
        .args(["--no-capture", "-o"])
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The run has begun, and hears signals, once it says what it is.
    let said = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut lines = std::io::BufRead::lines(said).map_while(Result::ok);
    assert!(lines.any(|line| line.contains(", seed ")), "{arguments}: a first line");
    waits();
    signal(&child, "TERM");
    lines.for_each(drop);
    let status = child.wait().unwrap();
    (status.code(), valid_report(&std::fs::read(file).unwrap()))
}

#[test]
fn what_is_ended_before_it_has_seen_what_it_judges_does_not_pass() {
    let each = |arguments: &str, reason: &str| {
        let (status, report) = terminated(arguments, Duration::from_secs(3));
        assert_eq!((status, report.verdict), (Some(130), Verdict::Inconclusive), "{arguments}");
        let reasons = report.verdict_reasons.join("; ");
        assert!(reasons.contains(reason), "{arguments}: {reasons}");
    };
    let cases = [
        ("doctor sim", "ended before its last step"),
        ("doctor sim --threshold requests.failed==0", "ended before its last step"),
        ("half-open sim --baseline 20s", "the run was ended before half-open"),
        ("outage sim --every 20s", "it ended before its first outage"),
    ];
    std::thread::scope(|scope| {
        for (arguments, reason) in cases {
            scope.spawn(move || each(arguments, reason));
        }
    });
}

/// Whether whoever started the tests wants all that they start to outlive the terminal.
fn hangups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// Interrupts a run in its middle; its status and its report.
fn ended_by(name: &str) -> (Option<i32>, Report) {
    let (target, hears) = heard_server();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let mut child = espstress()
        .args(["head", &target.to_string(), "-d", "10m", "-q", "--no-probes", "--no-capture", "-o"])
        .arg(&file)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..20 {
        hears.recv().unwrap();
    }
    signal(&child, name);
    let status = child.wait().unwrap();
    (status.code(), valid_report(&std::fs::read(file).unwrap()))
}

#[test]
fn an_interrupt_ends_the_run_with_its_report() {
    let (status, report) = ended_by("INT");
    assert_eq!((status, report.interrupted), (Some(130), true));
    assert!(report.workloads[0].succeeded >= 19, "{}", report.workloads[0].succeeded);
}

#[test]
fn a_termination_and_a_terminal_that_is_closed_are_told_as_an_interrupt_is() {
    for signal in ["TERM", "HUP"] {
        if signal == "HUP" && hangups_are_ignored() {
            skipped("hangup", "SIGHUP is ignored here, as under nohup, and so by the program");
            continue;
        }
        let (status, report) = ended_by(signal);
        assert_eq!((status, report.interrupted), (Some(130), true), "{signal}");
    }
}

#[test]
fn a_second_interrupt_does_not_wait_for_the_device() {
    let (heard, hears) = channel();
    let target = server(move |mut stream| {
        let _ = heard.send(());
        request(&mut stream);
        std::thread::sleep(Duration::from_secs(300));
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let mut child = espstress()
        .args(["head", &target.to_string(), "-n", "1", "-q", "--no-probes", "--no-capture"])
        .args(["--timeout-read", "5m", "-o"])
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    hears.recv().unwrap();
    let started = std::time::Instant::now();
    // Two that come together may be taken as one, so it is asked until it goes.
    let status = loop {
        signal(&child, "INT");
        std::thread::sleep(Duration::from_millis(100));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "it goes on after many interrupts");
    };
    assert!(!status.success());
    // What it did not wait for is told all the same.
    let report = valid_report(&std::fs::read(file).unwrap());
    let unfinished = serde_json::to_value(&report.workloads[0]).unwrap()["unfinished"].as_u64();
    assert_eq!((report.workloads[0].attempts, unfinished), (0, Some(1)));
}

/// Whoever started the program may have stopped reading what it says.
#[test]
fn a_reader_of_standard_error_that_has_gone_changes_no_status() {
    for (arguments, status) in [
        ("mqtt --listen 0 --wait 300ms", 3),
        ("run no-such-scenario -t sim", 2),
        ("head sim -n 2 --no-capture --watch 0s", 0),
    ] {
        let mut child = espstress()
            .args(arguments.split(' '))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stderr.take());
        assert_eq!(child.wait().unwrap().code(), Some(status), "{arguments}");
    }
}
