//! The log of a run, and what is left of the run when it is killed.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{espstress, valid_report};
use espstress::report::{IntervalLine, LogLine, OutageLine, Report};

/// A paced and a standing workload side by side, with failures of both.
const SCENARIO: &str = r#"
name = "logged"

[[phase]]
name = "paced"
kind = "head"
rate = "100/s"
duration = "DURATION"

[[phase]]
name = "standing"
kind = "rw"
start = "with-previous"
connections = 2
duration = "DURATION"
"#;

/// A soak in small: the same on a twin whose link goes away now and then.
const SOAK: &str = r#"
name = "logged"

[[phase]]
name = "paced"
kind = "head"
rate = "50/s"
connections = 2
duration = "DURATION"

[[phase]]
name = "standing"
kind = "rw"
start = "with-previous"
connections = 1
rate = "50/s"
duration = "DURATION"

[[phase]]
name = "cut"
kind = "outage"
start = "with-previous"
connections = 1
by = "link"
outage = "200ms-800ms"
every = "1500ms"
heartbeat = "200ms"
peer_timeout = "500ms"
stable = "300ms"
duration = "DURATION"
"#;

/// How often a run is killed; `scripts/acceptance-soak` asks for more.
fn kills(usually: u64) -> u64 {
    std::env::var("ESPSTRESS_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(usually)
}

fn scenario(folder: &Path, text: &str, duration: &str) -> String {
    let path = folder.join("logged.toml");
    std::fs::write(&path, text.replace("DURATION", duration)).unwrap();
    path.display().to_string()
}

/// The run's arguments after the program's name.
fn arguments(scenario: &str, target: &str, log: &str, seed: u64) -> Vec<String> {
    let seed = seed.to_string();
    let all = ["run", scenario, "-t", target, "--no-capture", "--quiet", "--seed", &seed, "--log", log];
    all.map(str::to_owned).to_vec()
}

fn report(log: &Path) -> Report {
    let output = espstress().args(["report", "--format", "json"]).arg(log).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    valid_report(&output.stdout)
}

/// The whole lines of a log that are intervals, by workload: those that a reader must not lose.
fn intervals(log: &Path) -> BTreeMap<String, Vec<IntervalLine>> {
    let bytes = std::fs::read(log).unwrap();
    let mut found: BTreeMap<String, Vec<IntervalLine>> = BTreeMap::new();
    for line in bytes.split_inclusive(|b| *b == b'\n').filter(|line| line.ends_with(b"\n")) {
        let parsed: LogLine = serde_json::from_slice(line)
            .unwrap_or_else(|e| panic!("a line is no line: {e}: {}", String::from_utf8_lossy(line)));
        if let LogLine::Interval(line) | LogLine::PhaseEnd(line) = parsed {
            found.entry(line.workload.clone()).or_default().push(*line);
        }
    }
    found
}

fn assert_holds_every_interval(report: &Report, log: &Path) -> usize {
    let intervals = intervals(log);
    for (name, lines) in &intervals {
        let workload = report.workload(name).unwrap_or_else(|| panic!("{name} is in the report"));
        let sum = |of: fn(&IntervalLine) -> u64| lines.iter().map(of).sum::<u64>();
        assert_eq!(workload.attempts, sum(|l| l.attempts), "{name}");
        assert_eq!(workload.succeeded, sum(|l| l.succeeded), "{name}");
        assert_eq!(workload.bytes.sent + workload.bytes.received, sum(|l| l.bytes), "{name}");
        let failures: u64 = workload.failures.iter().map(|(_, n)| n).sum();
        assert_eq!(failures, sum(|l| l.failures.iter().map(|(_, n)| n).sum()), "{name}");
        let series =
            |of: fn(&espstress::report::SeriesRow) -> u64| workload.series.iter().map(of).sum::<u64>();
        assert_eq!(series(|row| row.attempts), workload.attempts, "{name}: the series tells every interval");
        assert_eq!(series(|row| row.bytes), sum(|l| l.bytes), "{name}");
        for line in lines.iter().filter(|line| line.attempts > 0) {
            let covered = workload.series.iter().any(|row| {
                row.start_s - 1e-6 <= line.start_s && line.end_s <= row.start_s + row.length_s + 1e-6
            });
            assert!(covered, "{name}: no row for {} s to {} s", line.start_s, line.end_s);
        }
        if workload.succeeded > 0 {
            let (phase, figures) = workload.main_latency().expect("a latency");
            assert_eq!(figures.count, workload.succeeded, "{name}: {phase:?} of every success");
        }
    }
    intervals.values().map(Vec::len).sum()
}

/// The whole lines of a log that are outages.
fn outages(log: &Path) -> Vec<OutageLine> {
    let text = std::fs::read_to_string(log).unwrap();
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    lines
        .filter_map(|line| match serde_json::from_str(line).unwrap() {
            LogLine::Outage(line) => Some(*line),
            _ => None,
        })
        .collect()
}

/// Moments to kill at, repeatable by their seed.
struct Moments(u64);

impl Moments {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self, least_ms: u64, most_ms: u64) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_millis(least_ms + self.0 % (most_ms - least_ms))
    }
}

/// Starts a run and kills it so long after the first line of its log; what it said, where it never got there.
fn killed(arguments: &[String], log: &Path, after: Duration) -> Result<(), String> {
    let mut child = espstress()
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The run's own time starts with its first line, however long the machine takes to get there.
    let patience = Instant::now() + Duration::from_secs(60);
    while std::fs::metadata(log).map_or(0, |m| m.len()) == 0 {
        if child.try_wait().unwrap().is_some() {
            return Err(String::from_utf8_lossy(&child.wait_with_output().unwrap().stderr).into_owned());
        }
        assert!(Instant::now() < patience, "a first line");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    Ok(())
}

#[test]
fn a_run_that_is_killed_leaves_every_completed_interval_behind() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut moments = Moments::new(seed);
    let mut told = 0;
    for kill in 0..kills(6) {
        let after = moments.next(1_000, 4_000);
        println!("kill {kill} after {after:?}");
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("run.log");
        let scenario = scenario(dir.path(), SCENARIO, "10m");
        killed(&arguments(&scenario, "sim", &log.display().to_string(), seed + kill), &log, after).unwrap();
        let report = report(&log);
        assert!(report.interrupted, "a run without an end was interrupted");
        assert_eq!(report.seed, seed + kill);
        assert_eq!(report.scenario["name"], "logged");
        told += assert_holds_every_interval(&report, &log);
    }
    assert!(told > 0, "no kill came after a first interval");
}

#[test]
#[cfg(target_os = "linux")]
fn a_soak_that_is_killed_leaves_every_completed_interval_and_outage_behind() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut moments = Moments::new(seed);
    let (mut told, mut cut) = (0, 0);
    for kill in 0..kills(3) {
        let after = moments.next(2_000, 7_000);
        println!("kill {kill} after {after:?}");
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("run.log");
        let scenario = scenario(dir.path(), SOAK, "10m");
        let arguments = arguments(&scenario, "twin", &log.display().to_string(), seed + kill);
        if let Err(said) = killed(&arguments, &log, after) {
            assert!(said.contains("namespace") || said.contains("tun"), "{said}");
            return common::skipped("twin", &said);
        }
        let report = report(&log);
        assert!(report.interrupted, "a run without an end was interrupted");
        told += assert_holds_every_interval(&report, &log);
        let written = outages(&log);
        let workload = report.workload("cut").map(|w| w.outages.clone().unwrap_or_default());
        let rows = workload.unwrap_or_default();
        assert_eq!(rows.len(), written.len());
        for (row, line) in rows.iter().zip(&written) {
            assert_eq!(*row, line.outage);
        }
        cut += rows.len();
    }
    println!("{told} intervals and {cut} outages");
    assert!(told > 0 && cut > 0, "{told} intervals and {cut} outages");
}

#[test]
fn the_log_of_a_whole_run_gives_the_very_report() {
    let dir = tempfile::tempdir().unwrap();
    let (log, json) = (dir.path().join("run.log"), dir.path().join("report.json"));
    let scenario = scenario(dir.path(), SCENARIO, "2500ms");
    let output = espstress()
        .args(arguments(&scenario, "sim", &log.display().to_string(), 7))
        .arg("-o")
        .arg(&json)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let written = valid_report(&std::fs::read(&json).unwrap());
    assert_eq!(report(&log), written);

    // The same without its end: what the intervals say is what was measured.
    let text = std::fs::read_to_string(&log).unwrap();
    let cut = text.find("{\"event\":\"end\"").expect("an end line");
    std::fs::write(&log, &text[..cut]).unwrap();
    let rebuilt = report(&log);
    assert!(rebuilt.interrupted && !written.interrupted);
    assert_eq!(rebuilt.target, written.target);
    assert_eq!(rebuilt.workloads.len(), 2);
    for (rebuilt, written) in rebuilt.workloads.iter().zip(&written.workloads) {
        assert_eq!((rebuilt.attempts, rebuilt.succeeded), (written.attempts, written.succeeded));
        assert_eq!((&rebuilt.failures, rebuilt.bytes), (&written.failures, written.bytes));
        let phase = written.main_phase.unwrap();
        let (a, b) = (&rebuilt.latency[&phase], &written.latency[&phase]);
        assert_eq!((a.count, a.p50_us, a.p99_us), (b.count, b.p50_us, b.p99_us));
    }
    assert!(assert_holds_every_interval(&rebuilt, &log) >= 4);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_costs_the_log_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("report.json");
    let scenario = scenario(dir.path(), SCENARIO, "1500ms");
    let mut arguments = arguments(&scenario, "sim", "/dev/full", 7);
    arguments.retain(|argument| argument != "--quiet");
    let output = espstress().args(arguments).arg("-o").arg(&json).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(said.matches("the log cannot be written").count(), 1, "{said}");
    assert!(valid_report(&std::fs::read(&json).unwrap()).workloads.iter().all(|w| w.attempts > 0));
}

#[test]
fn a_log_in_a_folder_that_is_not_there_is_refused_before_the_run() {
    let output = common::espstress_with("head sim --no-capture --count 1 --log /nonexistent/folder/run.log");
    let (said, status) = common::failure(&output);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("/nonexistent/folder/run.log"), "{said}");
}
