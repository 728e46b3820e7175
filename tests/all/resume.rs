//! `--resume`: one report of a run that was stopped; and two runs never share a log.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use crate::common::{answer_all, espstress, failure, server, valid_report};
use crate::report_support as make;
use espstress_diagnose::{AccountRow, Accounted};
use espstress_event::Failure;
use espstress_report::{Report, Verdict};
use espstress_stats::Phase;

const QUIET: &[&str] = &["--no-capture", "--no-probes", "--watch", "10ms", "-q"];

fn run(target: &str, arguments: &str, folder: &Path) -> Output {
    let mut command = espstress();
    command.args(["head", target]).args(arguments.split_whitespace()).args(QUIET);
    command.current_dir(folder).output().unwrap()
}

fn report(folder: &Path, name: &str) -> Report {
    valid_report(&std::fs::read(folder.join(name)).unwrap())
}

#[test]
fn a_run_that_is_resumed_has_one_report_of_all_its_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let target = server(answer_all).to_string();
    // A log that isn't there is begun, as a service's first start does.
    for (n, out) in [(60, "a.json"), (30, "b.json"), (10, "c.json")] {
        let output = run(&target, &format!("-n {n} --resume soak.log -o {out}"), folder.path());
        assert_eq!(output.status.code(), Some(0), "{:?}", failure(&output));
    }
    let (first, last) = (report(folder.path(), "a.json"), report(folder.path(), "c.json"));
    assert!(first.sessions.is_empty());
    assert_eq!(last.sessions.iter().map(|s| s.attempts).collect::<Vec<_>>(), [60, 30, 10]);
    assert_eq!((last.workloads.len(), last.workloads[0].attempts), (1, 100));
    assert_eq!(last.workloads[0].latency[&Phase::Total].count, 100);
    assert_eq!(last.workloads[0].series.iter().map(|row| row.attempts).sum::<u64>(), 100);
    assert_eq!(last.started_at, first.started_at);
    assert!(last.duration_s > first.duration_s && last.verdict == Verdict::Pass);
    // The log gives the same one.
    let output =
        espstress().args(["report", "soak.log", "--format", "json"]).current_dir(folder.path()).output();
    assert_eq!(valid_report(&output.unwrap().stdout), last);
}

#[test]
fn a_run_that_was_killed_is_resumed_and_no_gate_passes_on_what_is_not_known() {
    let folder = tempfile::tempdir().unwrap();
    let target = server(answer_all).to_string();
    let mut command = espstress();
    command.args(["head", &target, "-d", "10m", "--interval", "5ms", "--log", "soak.log"]).args(QUIET);
    let mut child = command.current_dir(folder.path()).stdout(Stdio::null()).spawn().unwrap();
    let log = folder.path().join("soak.log");
    let give_up = Instant::now() + Duration::from_secs(60);
    while !std::fs::read_to_string(&log).is_ok_and(|text| text.contains("\"event\":\"interval\"")) {
        assert!(Instant::now() < give_up, "no interval");
        std::thread::sleep(Duration::from_millis(20));
    }
    // While it runs, no other run may write its log.
    let (said, status) = failure(&run(&target, "-n 1 --interval 5ms --log soak.log", folder.path()));
    assert!(status == 3 && said.contains("another run is writing it"), "{said}");
    child.kill().unwrap();
    child.wait().unwrap();
    let output = run(&target, "-n 7 -d 10m --interval 5ms --resume soak.log -o whole.json", folder.path());
    assert_eq!(output.status.code(), Some(4), "{:?}", failure(&output));
    let whole = report(folder.path(), "whole.json");
    assert_eq!(whole.sessions.len(), 2);
    assert!(
        whole.sessions[0].interrupted && !whole.sessions[1].interrupted && whole.sessions[0].attempts > 0
    );
    assert_eq!(whole.workloads[0].attempts, whole.sessions.iter().map(|s| s.attempts).sum::<u64>());
    // The log of a session without an end has neither these nor TCP_INFO.
    let partly = whole.remarks.iter().filter(|r| r.ends_with("tcp not of every session")).collect::<Vec<_>>();
    assert!(matches!(partly[..], [one] if one.contains("latency.connect")), "{:?}", whole.remarks);
    assert_eq!(whole.verdict, Verdict::Inconclusive);
    assert!(whole.findings_incomplete.is_some());
    assert!(
        whole.remarks.iter().any(|r| r.ends_with("nothing is known of the time in between")),
        "{:?}",
        whole.remarks
    );
}

#[test]
fn another_run_is_not_continued_and_the_difference_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let target = server(answer_all).to_string();
    assert!(run(&target, "-n 5 --log soak.log", folder.path()).status.success());
    let other = server(answer_all).to_string();
    for (target, arguments, named) in [
        (target.as_str(), "-n 5 -c 2", "another setting `connections`"),
        (other.as_str(), "-n 5", &target),
        ("sim", "-n 5", "another kind of target"),
    ] {
        let (said, status) = failure(&run(target, &format!("{arguments} --resume soak.log"), folder.path()));
        assert!(status == 2 && said.contains(named), "{said}");
    }
}

#[test]
fn what_must_begin_anew_refuses_to_be_resumed_with_the_reason_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, why) in [
        ("half-open sim", "the silent connections that it waits for ended with the run that opened them"),
        ("run half-open -t sim", "the silent connections that it waits for ended"),
        ("doctor sim", "each step builds on what the ones before found"),
    ] {
        let mut command = espstress();
        command.args(arguments.split_whitespace()).args(["--resume", "soak.log"]);
        let output = command.current_dir(folder.path()).output().unwrap();
        let (said, status) = failure(&output);
        assert!(status == 2 && said.contains(why), "{arguments}: {status}: {said}");
        assert!(output.stdout.is_empty() && !folder.path().join("soak.log").exists(), "{arguments}");
    }
}

#[test]
fn a_figure_that_one_session_lacks_is_said_to_be_not_of_all() {
    let mut whole = make::broken();
    let mut without = whole.clone();
    let w = &mut without.workloads[0];
    let (phase, _) = w.latency.pop_first().unwrap();
    let said = format!("head: latency.{} not of every session", phase.name());
    let times = |report: &Report| report.remarks.iter().filter(|r| r.starts_with(&said)).count();
    assert_eq!(times(&whole.clone().after(&whole)), 0);
    // The session without it comes last, first, and in the middle, where it is said once.
    assert_eq!(times(&without.clone().after(&whole)), 1);
    assert_eq!(times(&whole.clone().after(&without)), 1);
    whole = whole.clone().after(&without.after(&whole));
    assert_eq!(times(&whole), 1, "{:?}", whole.remarks);
}

#[test]
fn failures_of_a_session_without_an_end_are_said_to_be_unaccounted_for() {
    let mut later = make::broken();
    let failed = later.workloads.iter().map(|w| w.failures.of_device()).sum::<u64>();
    later.account = vec![AccountRow {
        workload: "head".into(),
        accounted: Accounted::Unexplained,
        by: None,
        attempts: failed,
        failures: [(Failure::ConnectTimeout, failed)].into(),
        anomalies: [].into(),
        first_s: 0.0,
        last_s: 1.0,
    }];
    let mut killed = later.clone();
    (killed.account, killed.findings) = (Vec::new(), Vec::new());
    killed.findings_incomplete = Some("the log ends before the run did: no finding was looked for".into());
    let both = later.clone().after(&killed);
    assert_eq!(
        both.findings_incomplete.as_deref(),
        Some("session 1: the log ends before the run did: no finding was looked for")
    );
    assert!(both.findings[0].statement.starts_with("Session 2: "));
    let page = espstress_report::text::page(&both, &espstress_report::Style::default());
    let said = format!("{failed} not looked at: not all findings are known");
    assert!(page.replace(',', "").contains(&said), "{said}: {page}");
    let whole =
        espstress_report::text::page(&later.clone().after(&later), &espstress_report::Style::default());
    assert!(!whole.contains("not looked at"), "{whole}");
}

#[test]
fn of_sessions_of_which_one_was_not_captured_the_report_says_which() {
    let (seen, off) = (espstress_report::Capture::seen(1_007, 0), espstress_report::Capture::off(None));
    let session = |hour: u32, capture: &espstress_report::Capture| {
        let mut r = make::broken();
        r.started_at = format!("2026-01-01T{hour:02}:00:00.000Z");
        r.capture = capture.clone();
        r
    };
    let of = |captures: &[&espstress_report::Capture]| {
        let sessions = (0..).zip(captures).map(|(hour, capture)| session(hour, capture));
        sessions.reduce(|earlier, later| later.after(&earlier)).unwrap()
    };
    let page = |r: &Report| {
        let page = espstress_report::text::page(r, &espstress_report::Style::default());
        page.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let part = of(&[&seen, &off]);
    assert_eq!(part.capture.status.name(), "dropped");
    assert_eq!(part.capture.reason.as_deref(), Some("session 2 was not captured"));
    let said = "1,007 packets captured, but not all: session 2 was not captured; there may be more anomalies";
    assert!(page(&part).contains(said), "{}", page(&part));
    let part = of(&[&off, &off, &seen]);
    assert_eq!(part.capture.reason.as_deref(), Some("sessions 1 to 2 were not captured"));
    let part = of(&[&seen, &off, &seen, &off]);
    let said = "session 2 was not captured; session 4 was not captured";
    assert_eq!(part.capture.reason.as_deref(), Some(said));
    assert_eq!(of(&[&off, &off]).capture, off);
    assert!(of(&[&seen, &seen]).capture.saw_all());
}

#[test]
fn what_adds_up_is_added_up_and_stays_within_its_bounds() {
    let mut earlier = make::broken();
    earlier.telemetry = Some(make::telemetry());
    let mut later = make::broken();
    later.started_at = "2026-01-01T01:00:00.000Z".into();
    later.telemetry = Some(make::telemetry());
    let both = later.clone().after(&earlier);
    make::assert_valid_report(&espstress_report::to_json(&both));
    let (one, two) = (&earlier.workloads[0], &both.workloads[0]);
    assert_eq!((two.attempts, two.succeeded), (2 * one.attempts, 2 * one.succeeded));
    assert_eq!(two.failures.of_device(), 2 * one.failures.of_device());
    for (phase, l) in &one.latency {
        let sum = &two.latency[phase];
        assert_eq!(
            (sum.count, sum.min_us, sum.p50_us, sum.max_us),
            (2 * l.count, l.min_us, l.p50_us, l.max_us)
        );
    }
    assert_eq!(both.anomalies.len(), earlier.anomalies.len());
    assert_eq!(both.anomalies[0].count, 4_000);
    assert!(both.anomalies[0].last_s > 3_600.0 && both.anomalies[0].first_s < 1.0);
    assert_eq!(both.duration_s, 3_609.5);
    assert_eq!(both.sessions[1].start_s, 3_600.0);
    let finding = &both.findings[0];
    assert_eq!((both.findings.len(), finding.evidence.len()), (1, 4));
    assert!(finding.evidence[0].starts_with("session 1: ") && finding.evidence[2].starts_with("session 2: "));
    assert!(
        finding.statement.starts_with("Session 1: "),
        "its times are those of that one: {}",
        finding.statement
    );
    let third = later.clone().after(&both);
    assert!(third.findings[0].statement.starts_with("Session 1: ") && third.findings[0].evidence.len() == 6);
    assert!(!third.findings[0].evidence.iter().any(|line| line.starts_with("session 1: session")));
    let telemetry = both.telemetry.as_ref().unwrap();
    assert_eq!((telemetry.samples, telemetry.reboots, telemetry.series.len()), (4, Some(2), 4));
    // Weeks of stops: the series is coarser and loses nothing.
    let mut all = earlier;
    for hour in 1..=900 {
        let mut next = later.clone();
        let day = 1 + hour / 24;
        next.started_at = format!("2026-{:02}-{:02}T{:02}:00:00.000Z", 1 + day / 28, 1 + day % 28, hour % 24);
        all = next.after(&all);
    }
    assert!(all.workloads[0].series.len() < 2_000);
    assert_eq!(
        all.workloads[0].series.iter().map(|row| row.attempts).sum::<u64>(),
        all.workloads[0].attempts
    );
    assert!(all.telemetry.unwrap().series.len() < 2_000);
}
