//! The log of a run, and what is left of the run when it is killed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::{espstress, valid_report};
use espstress_report::{IntervalLine, LogLine, OutageLine, ProbedLine, Report, Verdict};

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
rate = "500/s"
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

/// Connections that fall silent on a device that never notices.
const SILENT: &str = r#"
name = "logged"

[[phase]]
name = "silent"
kind = "half-open"
connections = 3
baseline = "300ms"
expect_reclaim = "1s"
watch_reclaim = "2500ms"
client_interval = "200ms"
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
        let line = String::from_utf8_lossy(line);
        let parsed: LogLine = line.parse().unwrap_or_else(|e| panic!("a line is no line: {e}: {line}"));
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
            |of: fn(&espstress_report::SeriesRow) -> u64| workload.series.iter().map(of).sum::<u64>();
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

/// What `pick` takes from the whole lines of a log.
fn told<T>(log: &Path, pick: fn(LogLine) -> Option<T>) -> Vec<T> {
    let text = std::fs::read_to_string(log).unwrap();
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    lines.filter_map(|line| pick(line.parse().unwrap())).collect()
}

fn outages(log: &Path) -> Vec<OutageLine> {
    told(log, |line| if let LogLine::Outage(line) = line { Some(*line) } else { None })
}

fn probed(log: &Path) -> Vec<ProbedLine> {
    told(log, |line| if let LogLine::Probed(line) = line { Some(*line) } else { None })
}

/// What is rebuilt of probes and telemetry is what the last line about them says, and is not said to be all; how many
/// seconds of the run it covers.
fn assert_holds_the_probes(report: &Report, log: &Path) -> f64 {
    let lines = probed(log);
    let Some(last) = lines.last() else {
        assert!(report.probes.is_empty() && report.telemetry.is_none());
        return 0.0;
    };
    assert_eq!(report.probes.len(), last.probes.len());
    for (row, told) in report.probes.iter().zip(&last.probes) {
        assert_eq!((row.kind, row.sent, row.lost), (told.kind, told.sent, told.lost));
        assert_eq!(row.latency.count, row.sent - row.lost, "{row:?}");
        // About one a second, and some more where the machine made them late.
        assert!((row.sent as f64) < last.at_s + 2.0, "{row:?} in {} s", last.at_s);
        assert!(row.incomplete.as_ref().is_some_and(|reason| reason.contains("the log ends")), "{row:?}");
    }
    let (telemetry, told) = (report.telemetry.as_ref(), last.telemetry.as_ref());
    assert_eq!(telemetry.map(|t| (t.samples, t.reboots)), told.map(|t| (t.samples, t.reboots)));
    if let Some(telemetry) = telemetry {
        assert!(telemetry.incomplete.is_some());
        let newest = telemetry.series.last().unwrap();
        for (reading, value) in &newest.readings {
            assert_eq!(telemetry.summary[reading].last, *value, "{reading:?}");
        }
    }
    last.at_s
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

/// What a kill left behind.
struct Left {
    _folder: tempfile::TempDir,
    log: PathBuf,
    report: Report,
}

/// A run of ten minutes, killed so long after its first line, and the report of its log.
fn left(text: &str, target: &str, seed: u64, after: Duration) -> Result<Left, String> {
    println!("seed {seed}, killed after {after:?}");
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("run.log");
    let scenario = scenario(folder.path(), text, "10m");
    killed(&arguments(&scenario, target, &log.display().to_string(), seed), &log, after)?;
    let report = report(&log);
    assert!(report.interrupted, "a run without an end was interrupted");
    Ok(Left { _folder: folder, log, report })
}

/// A run that came to its end: its report, and its log.
struct Whole {
    _folder: tempfile::TempDir,
    log: PathBuf,
    written: Report,
}

impl Whole {
    /// Runs the program with these arguments, a log and a report file.
    fn run(arguments: &[String], log: &str, folder: tempfile::TempDir) -> Self {
        let json = folder.path().join("report.json");
        let output = espstress().args(arguments).arg("-o").arg(&json).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let written = valid_report(&std::fs::read(&json).unwrap());
        Self { _folder: folder, log: log.into(), written }
    }

    fn scenario(text: &str, duration: &str, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("run.log").display().to_string();
        let mut arguments = arguments(&scenario(folder.path(), text, duration), "sim", &log, 7);
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        Self::run(&arguments, &log, folder)
    }

    /// The report of the log as it was before the first line with `marker`.
    fn cut_before(&self, marker: &str) -> Report {
        let text = std::fs::read_to_string(&self.log).unwrap();
        let at = text.find(marker).unwrap_or_else(|| panic!("no {marker} in {text}"));
        let line = text[..at].rfind('\n').map_or(0, |feed| feed + 1);
        let cut = self.log.with_extension("cut");
        std::fs::write(&cut, &text[..line]).unwrap();
        report(&cut)
    }
}

/// How a log's last line begins.
const END: &str = "{\"event\":\"end\"";

#[test]
fn a_run_that_is_killed_leaves_every_completed_interval_behind() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut moments = Moments::new(seed);
    let (mut told, mut probed_s) = (0, 0.0);
    for kill in 0..kills(6) {
        let after = moments.next(1_000, 4_000);
        let Left { log, report, .. } = &left(SCENARIO, "sim", seed + kill, after).unwrap();
        assert_eq!(report.seed, seed + kill);
        assert_eq!(report.scenario["name"], "logged");
        told += assert_holds_every_interval(report, log);
        probed_s += assert_holds_the_probes(report, log);
        assert_eq!(report.verdict, Verdict::Inconclusive, "nobody knows the findings of the rest");
        assert!(report.findings_incomplete.is_some());
    }
    assert!(told > 0 && probed_s > 0.0, "no kill came after a first interval");
}

#[test]
#[cfg(target_os = "linux")]
fn a_soak_that_is_killed_leaves_every_completed_interval_and_outage_behind() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut moments = Moments::new(seed);
    let (mut told, mut cut, mut kill) = (0, 0, 0);
    // Further ones, should all have come before the first outage was over.
    while kill < kills(3) || (cut == 0 && kill < kills(3) + 20) {
        kill += 1;
        let after = moments.next(2_000, 7_000);
        let Left { log, report, .. } = &match left(SOAK, "twin", seed + kill, after) {
            Ok(left) => left,
            Err(said) => {
                assert!(said.contains("namespace") || said.contains("tun"), "{said}");
                return crate::common::skipped("twin", &said);
            }
        };
        told += assert_holds_every_interval(report, log);
        assert_holds_the_probes(report, log);
        let written = outages(log);
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
    let whole = Whole::scenario(SCENARIO, "2500ms", &[]);
    let (log, written) = (&whole.log, &whole.written);
    assert_eq!(report(log), *written);

    // The same without its end: what the intervals say is what was measured.
    let rebuilt = whole.cut_before(END);
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
    assert!(assert_holds_every_interval(&rebuilt, log) >= 4);
}

#[test]
fn what_probes_and_the_device_told_is_in_a_log_without_an_end_as_in_the_report() {
    let whole = Whole::scenario(SCENARIO, "6s", &["--persona", "rebooting:every=2s", "--no-gate"]);
    let live = &whole.written;
    let rebuilt = whole.cut_before(END);
    assert_eq!(rebuilt.probes.len(), live.probes.len());
    for (rebuilt, live) in rebuilt.probes.iter().zip(&live.probes) {
        assert_eq!((rebuilt.kind, rebuilt.sent, rebuilt.lost), (live.kind, live.sent, live.lost));
        assert_eq!((rebuilt.longest_gap_s, &rebuilt.latency), (live.longest_gap_s, &live.latency));
        assert!(rebuilt.incomplete.is_some() && live.incomplete.is_none());
    }
    let (rebuilt_telemetry, telemetry) =
        (rebuilt.telemetry.as_ref().unwrap(), live.telemetry.as_ref().unwrap());
    assert_eq!((rebuilt_telemetry.samples, rebuilt_telemetry.lost), (telemetry.samples, telemetry.lost));
    assert_eq!(rebuilt_telemetry.reboots, telemetry.reboots);
    assert_eq!(rebuilt_telemetry.reset_reasons, telemetry.reset_reasons);
    assert_eq!(rebuilt_telemetry.summary, telemetry.summary);
    let restarts =
        |report: &Report| report.findings.iter().find(|f| f.id.name() == "device_rebooted").cloned();
    assert!(telemetry.reboots > Some(0), "{telemetry:?}");
    assert_eq!(restarts(&rebuilt), restarts(live), "what telemetry proves needs no end of the run");
    assert!(restarts(live).is_some() && live.findings_incomplete.is_none());
    assert!(rebuilt.findings_incomplete.as_ref().is_some_and(|reason| reason.contains("only restarts")));

    // Cut off in its middle: what was known by then, a restart as soon as it was noticed.
    let lines = probed(&whole.log);
    let restarts = lines.iter().filter_map(|line| line.telemetry.as_ref()).flat_map(|t| &t.restarts).count();
    assert_eq!(Some(restarts as u64), telemetry.reboots);
    let early = whole.cut_before("\"restarts\":[{");
    assert!(early.telemetry.is_none_or(|t| t.reboots == Some(0)) && early.findings.is_empty());
}

#[test]
fn what_silent_connections_did_is_in_a_log_without_an_end_as_in_the_report() {
    let whole = Whole::scenario(SILENT, "", &["--no-gate", "--persona", "no-keepalive"]);
    let live = whole.written.workload("silent").unwrap().half_open.as_ref();
    let live = live.expect("a section");
    if let Some(reason) = &live.unavailable {
        return crate::common::skipped("silence", reason);
    }
    assert_eq!((live.silenced, live.never_reclaimed, live.incomplete.as_deref()), (3, 3, None));
    let half_open = |report: Report| report.workload("silent").and_then(|w| w.half_open.clone());
    assert_eq!(half_open(whole.cut_before(END)).as_ref(), Some(live));

    // Cut off while they were silent: each is known, and nobody says that this was all.
    let cut = whole.cut_before("\"course\":\"ended\"");
    let text = espstress_report::to_json(&cut);
    let cut = half_open(cut).expect("a section");
    assert_eq!(cut.connections, live.connections, "{text}");
    assert_eq!((cut.silenced, cut.served, cut.never_reclaimed), (3, live.served, 3));
    assert_eq!((cut.first_reclaimed_s, cut.all_reclaimed_s), (None, None));
    assert!(cut.watched_s <= live.watched_s, "{text}");
    assert!(cut.exhausted != Some(false) || live.exhausted == Some(false), "{text}");
    assert!(cut.incomplete.expect("a reason").contains("the log ends while"), "{text}");
}

#[cfg(feature = "long")]
#[test]
fn what_a_doctor_has_seen_is_in_its_log_after_each_workload() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("run.log").display().to_string();
    let arguments = ["doctor", "sim", "--no-capture", "--no-gate", "-q", "--duration", "20s", "--log", &log];
    let whole = Whole::run(&arguments.map(str::to_owned), &log, folder);
    let live = whole.written.examination.as_ref().expect("an examination");
    assert_eq!(live.incomplete, None);
    let rebuilt = whole.cut_before(END).examination.expect("an examination");
    assert_eq!(rebuilt.done, live.done);
    let of_packets = ["clean close", "TCP keep-alive"];
    for (rebuilt, live) in rebuilt.checks.iter().zip(&live.checks) {
        assert_eq!((&rebuilt.name, rebuilt.mark), (&live.name, live.mark));
        assert!(rebuilt.seen == live.seen || of_packets.contains(&&*live.name), "{rebuilt:?}, {live:?}");
    }
    assert_eq!(rebuilt.checks.len(), live.checks.len());
    assert!(rebuilt.incomplete.expect("a reason").contains("after `ports`"));

    // Cut off in its middle: what had been looked at by then, and that this is not all.
    let early = whole.cut_before("{\"event\":\"phase_start\",\"data\":{\"workload\":\"crowd\"");
    let early = early.examination.expect("an examination");
    let has = |name: &str| early.checks.iter().any(|check| check.name == name);
    assert!(has("HTTP") && has("late request") && !has("many at once"), "{:?}", early.checks);
    assert!(early.done.requests < live.done.requests);
    assert!(early.incomplete.as_deref().is_some_and(|reason| reason.contains("after `")), "{early:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_costs_the_log_and_nothing_else_and_the_status_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("report.json");
    let scenario = scenario(dir.path(), SCENARIO, "1500ms");
    let mut arguments = arguments(&scenario, "sim", "/dev/full", 7);
    arguments.retain(|argument| argument != "--quiet");
    let output = espstress().args(arguments).arg("-o").arg(&json).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert_eq!(said.matches("cannot write the log").count(), 1, "{said}");
    assert!(
        said.contains("espstress: the log /dev/full is incomplete: its end is missing (No space left"),
        "{said}"
    );
    let report = valid_report(&std::fs::read(&json).unwrap());
    assert!(report.workloads.iter().all(|w| w.attempts > 0));
    assert!(
        report.remarks.iter().any(|remark| remark.contains("/dev/full is incomplete")),
        "{:?}",
        report.remarks
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_costs_the_packet_file_and_the_capture_is_not_called_complete() {
    use espstress_report::CaptureStatus;
    let output = espstress()
        .args("head sim -n 20 --no-probes --watch 100ms --json --pcap /dev/full".split(' '))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let report = valid_report(&output.stdout);
    if report.capture.status == CaptureStatus::Denied {
        return crate::common::skipped("capture", "no right to capture");
    }
    assert_eq!(
        (output.status.code(), report.capture.status),
        (Some(3), CaptureStatus::FileIncomplete),
        "{said}"
    );
    assert!(said.contains("espstress: the packet file /dev/full is incomplete: "), "{said}");
    // The packets were looked at: what they don't show is judged.
    assert!(report.capture.saw_all() && report.workloads[0].succeeded == 20);
}

#[test]
fn a_log_in_a_folder_that_is_not_there_is_refused_before_the_run() {
    let output =
        crate::common::espstress_with("head sim --no-capture --count 1 --log /nonexistent/folder/run.log");
    let (said, status) = crate::common::failure(&output);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("/nonexistent/folder/run.log"), "{said}");
}

/// A disk that takes nothing more until somebody reads: a pipe that is full of empty lines.
#[cfg(target_os = "linux")]
struct FullPipe {
    path: PathBuf,
    both_ends: std::fs::File,
}

#[cfg(target_os = "linux")]
impl FullPipe {
    /// As much as a pipe holds (pipe(7)).
    const HOLDS: usize = 65_536;

    fn new(folder: &Path) -> Self {
        let path = folder.join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let mut both_ends = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        std::io::Write::write_all(&mut both_ends, &[b'\n'; Self::HOLDS]).unwrap();
        Self { path, both_ends }
    }

    /// The lines, until the program has closed its end.
    fn lines(self) -> impl Iterator<Item = String> {
        let reader = std::fs::File::open(&self.path).unwrap();
        let mut both_ends = Some(self.both_ends);
        let lines = std::io::BufRead::lines(std::io::BufReader::new(reader)).map(Result::unwrap);
        // The program has its end once a line has come.
        lines.filter(|line| !line.is_empty()).inspect(move |_| drop(both_ends.take()))
    }
}

/// A program that ends with its test.
#[cfg(target_os = "linux")]
struct Running(std::process::Child);

#[cfg(target_os = "linux")]
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_stands_still_costs_the_run_nothing_and_the_log_no_measurement() {
    let dir = tempfile::tempdir().unwrap();
    let (json, log) = (dir.path().join("report.json"), dir.path().join("run.log"));
    let pipe = FullPipe::new(dir.path());
    let scenario = scenario(dir.path(), SCENARIO, "4s");
    let mut arguments = arguments(&scenario, "sim", &pipe.path.display().to_string(), 7);
    arguments.retain(|argument| argument != "--quiet");
    let mut program = espstress();
    program.args(arguments).arg("-o").arg(&json).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = Running(program.spawn().unwrap());
    // Both workloads come to their end though no line of the log has been taken.
    let mut said = std::io::BufRead::lines(std::io::BufReader::new(child.0.stderr.take().unwrap()));
    for name in ["paced: ", "standing: "] {
        assert!(said.any(|line| line.unwrap().starts_with(name)), "{name}");
    }
    let lines: Vec<String> = pipe.lines().collect();
    assert!(child.0.wait().unwrap().success());
    std::fs::write(&log, lines.join("\n") + "\n").unwrap();
    let written = valid_report(&std::fs::read(&json).unwrap());
    assert_eq!(report(&log), written);
    assert!(assert_holds_every_interval(&written, &log) >= 6, "three seconds of two workloads and more");
}

#[test]
#[cfg(target_os = "linux")]
fn a_run_with_a_slow_disk_that_is_killed_leaves_whatever_the_disk_has_taken() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("run.log");
    let pipe = FullPipe::new(dir.path());
    let scenario = scenario(dir.path(), SCENARIO, "10m");
    let arguments = arguments(&scenario, "sim", &pipe.path.display().to_string(), 7);
    let child = Running(espstress().args(arguments).stdout(Stdio::null()).spawn().unwrap());
    let mut lines = pipe.lines();
    let mut taken = Vec::new();
    while taken.iter().filter(|line: &&String| line.starts_with("{\"event\":\"interval\"")).count() < 6 {
        taken.push(lines.next().unwrap());
    }
    drop(child);
    taken.extend(lines);
    // A line that the kill has cut off is no line.
    taken.retain(|line| line.parse::<LogLine>().is_ok());
    std::fs::write(&log, taken.join("\n") + "\n").unwrap();
    let report = report(&log);
    assert!(report.interrupted);
    assert!(assert_holds_every_interval(&report, &log) >= 6);
}
