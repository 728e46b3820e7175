//! Each format read by a program that is not ours: packages of Python's, which `.ci/run` installs.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::{espstress, skipped};
use crate::report_support as make;
use espstress_diagnose::Severity;
use espstress_report::{Format, Options, Report, latency_files, render};

/// A Python that has `package`: the virtual environment that CI makes, else the system's.
fn python(package: &str) -> Option<PathBuf> {
    let venv = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/mqtt-venv/bin/python");
    let has = |python: &PathBuf| {
        let import = Command::new(python).args(["-c", &format!("import {package}")]).output();
        import.is_ok_and(|output| output.status.success())
    };
    let found = [venv, PathBuf::from("python3")].into_iter().find(has);
    if found.is_none() {
        skipped("readers", &format!("no Python with {package}"));
    }
    found
}

/// What their reader makes of `text`; `None` where it is not installed.
pub(crate) fn read_by(reader: &str, package: &str, text: &str) -> Option<Value> {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/all/report_readers/read.py");
    let mut command = Command::new(python(package)?);
    command.arg(script).arg(reader).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    let text = text.to_owned();
    let writing = std::thread::spawn(move || to.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _ = writing.join().unwrap();
    assert!(output.status.success(), "{reader}: {}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn rendered(r: &Report, format: Format) -> String {
    render(r, format, &Options::default()).unwrap()
}

/// How a JUnit case ended, and what it says.
fn case<'a>(read: &'a Value, name: &str) -> (&'a str, &'a str) {
    let case = &read["cases"][name];
    let text = |i: usize| case[i].as_str().unwrap_or_else(|| panic!("no case {name}: {read:#}"));
    (text(0), text(1))
}

#[test]
fn junit_has_gates_findings_and_failures_as_cases_and_its_sums_are_right() {
    let Some(read) = read_by("junit", "junitparser", &rendered(&make::broken(), Format::Junit)) else {
        return;
    };
    assert_eq!(case(&read, "gates/findings.error == 0").0, "failure");
    assert_eq!(case(&read, "gates/head.latency.total.p99 < 250ms").0, "passed");
    assert_eq!(case(&read, "gates/anomalies.half_closed_linger == 0").0, "error");
    let (ended, said) = case(&read, "findings/abortive_close");
    assert_eq!(ended, "failure");
    assert!(said.contains("change: Read the request to its end"), "{said}");
    let (ended, said) = case(&read, "attempts/head: connect_timeout");
    assert!(ended == "failure" && said.contains("12 of 2,017 attempts"), "{said}");
    let (ended, said) = case(&read, "attempts/head: host_out_of_ports");
    assert!(ended == "passed" && said.contains("not of the device"), "{said}");
    assert_eq!(read["total"], serde_json::json!({ "tests": 8, "failures": 4, "errors": 1 }));
}

#[test]
fn no_junit_case_is_red_in_a_run_that_passes() {
    let mut r = make::gate(make::broken(), &["head.attempts > 1"]);
    r.thresholds.clear();
    for r in [make::gate(make::broken(), &["head.attempts > 1"]), make::clean(), r] {
        let Some(read) = read_by("junit", "junitparser", &rendered(&r, Format::Junit)) else { return };
        let ends = |read: &Value| {
            let cases = read["cases"].as_object().unwrap();
            cases.values().filter(|case| ["failure", "error"].contains(&case[0].as_str().unwrap())).count()
        };
        assert_eq!(ends(&read), 0, "{read:#}");
        for f in r.findings.iter().filter(|f| f.severity == Severity::Error) {
            let (ended, said) = case(&read, &format!("findings/{}", f.id.name()));
            assert!(ended == "skipped" && said.starts_with("no gate fails for this: "), "{said}");
        }
    }
}

#[test]
fn every_junit_file_and_every_exposition_is_read() {
    for (name, r) in make::samples() {
        if let Some(read) = read_by("junit", "junitparser", &rendered(&r, Format::Junit)) {
            assert!(!read["cases"].as_object().unwrap().is_empty(), "{name}");
        }
        if let Some(read) = read_by("prometheus", "prometheus_client", &rendered(&r, Format::Prometheus)) {
            assert!(read.as_object().unwrap().len() > 20, "{name}");
        }
    }
}

#[test]
fn prometheus_reads_findings_gates_and_telemetry() {
    let mut r = make::broken();
    r.target.address = "a \"quoted\\\" name\n2".into();
    r.telemetry = Some(make::telemetry());
    let Some(read) = read_by("prometheus", "prometheus_client", &rendered(&r, Format::Prometheus)) else {
        return;
    };
    let value = |name: &str| read[name].as_f64().unwrap_or_else(|| panic!("no {name}: {read:#}"));
    assert_eq!(value("espstress_finding{id=abortive_close,severity=error}"), 1.0);
    assert_eq!(value("espstress_findings{severity=error}"), 1.0);
    assert_eq!(value("espstress_findings{severity=warning}"), 0.0);
    assert_eq!(value("espstress_gate{expr=findings.error == 0,status=fail}"), 1.0);
    assert_eq!(value("espstress_gate{expr=findings.error == 0,status=pass}"), 0.0);
    let p99_us = r.workloads[0].latency[&espstress_stats::Phase::Total].p99_us.unwrap();
    assert_eq!(value("espstress_gate_value{expr=head.latency.total.p99 < 250ms,unit=seconds}"), p99_us / 1e6);
    assert_eq!(value("espstress_gate{expr=anomalies.half_closed_linger == 0,status=inconclusive}"), 1.0);
    assert_eq!(value("espstress_device_heap_free_bytes{stat=last}"), 90_000.0);
    assert_eq!(value("espstress_device_reboots{}"), 1.0);
    assert!(read.as_object().unwrap().keys().any(|key| key.contains("target=a \"quoted\\\" name\n2")));
}

#[test]
fn csv_has_a_row_for_each_interval_and_each_reading() {
    let mut r = make::broken();
    r.workloads[0].name = "a, \"b\"\nc".into();
    r.telemetry = Some(make::telemetry());
    let Some(read) = read_by("csv", "csv", &rendered(&r, Format::Csv)) else { return };
    let rows = read.as_array().unwrap();
    let of = |source: &str| rows.iter().filter(|row| row["source"] == source).collect::<Vec<_>>();
    let (intervals, readings) = (of("workload"), of("telemetry"));
    assert_eq!(intervals.len(), r.workloads[0].series.len());
    assert_eq!(readings.len(), 2);
    assert!(intervals.iter().all(|row| row["name"] == "a, \"b\"\nc" && row["heap_free_bytes"] == ""));
    let sum = |key: &str| {
        intervals.iter().map(|row| row[key].as_str().unwrap().parse::<u64>().unwrap()).sum::<u64>()
    };
    assert_eq!(sum("attempts"), r.workloads[0].attempts);
    assert_eq!((sum("connect_timeout"), sum("failed")), (12, 17));
    assert_eq!(readings[1]["heap_free_bytes"], "90000");
    assert_eq!(
        (&readings[1]["attempts"], &readings[1]["sockets_used"]),
        (&Value::from(""), &Value::from(""))
    );
    assert_eq!(readings[1]["time"], "2026-01-01T00:00:02.000Z");
}

/// Numbers of an hgrm file, a row each; `inf` as that.
fn table(text: &str) -> Vec<Vec<f64>> {
    let rows = text.lines().filter(|line| !line.starts_with('#') && !line.trim_start().starts_with("Value"));
    rows.filter(|line| !line.trim().is_empty())
        .map(|line| line.split_whitespace().map(|cell| cell.parse().unwrap()).collect())
        .collect()
}

#[test]
fn every_latency_has_an_hgrm_file_as_hdrhistograms_own_package_prints_it() {
    let r = make::open_loop();
    let files = latency_files(&r);
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["head.total.hgrm", "head.total.uncorrected.hgrm"]);
    let figures = &r.workloads[0].latency[&espstress_stats::Phase::Total];
    let uncorrected = figures.uncorrected.as_deref().unwrap();
    for (file, figures) in files.iter().zip([figures, uncorrected]) {
        let Some(theirs) = read_by("hgrm", "hdrh", figures.hdr.as_deref().unwrap()) else { return };
        let (ours, theirs) = (table(&file.text), table(theirs.as_str().unwrap()));
        assert!(ours.len() > 20);
        // The two choose other percentiles, so each value of theirs lies between two rows of ours. They print three decimals.
        for row in &theirs {
            let slack = 0.001 + row[0] * 0.002;
            let below = ours.iter().rfind(|own| own[1] <= row[1]).map_or(0.0, |own| own[0]);
            let above = ours.iter().find(|own| own[1] >= row[1]).unwrap()[0];
            assert!(below - slack <= row[0] && row[0] <= above + slack, "{below} {row:?} {above}");
        }
        assert_eq!(ours.last().unwrap()[2], theirs.last().unwrap()[2]);
    }
}

#[test]
fn files_of_workloads_with_odd_names_are_told_apart() {
    let mut r = make::clean();
    r.workloads[0].name = "a/b".into();
    let mut again = r.workloads[0].clone();
    again.name = "a:b".into();
    r.workloads.push(again);
    let files = latency_files(&r);
    let names: std::collections::BTreeSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names.len(), files.len());
    assert!(names.contains("a_b.total.hgrm") && names.contains("a_b.total.2.hgrm"), "{names:?}");
}

/// `espstress report` with `text` as standard input.
fn report_of(text: &str, arguments: &[&str]) -> (String, String, Option<i32>) {
    let mut command = espstress();
    command.args(["report", "-"]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that refuses its arguments doesn't read.
    let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

#[test]
fn standard_input_may_be_a_report_a_log_or_neither() {
    let report = espstress_report::to_json(&make::broken());
    let (page, _, status) = report_of(&report, &[]);
    assert!(status == Some(0) && page.starts_with("FAIL  quick on"), "{page}");
    let log = make::log_without_end();
    let (page, notes, status) = report_of(&log, &["--format", "json"]);
    assert_eq!(status, Some(0), "{notes}");
    assert!(make::assert_valid_report(&page).interrupted);
    assert!(notes.starts_with("note: standard input: "), "{notes}");
    let (page, said, status) = report_of("{\"a\": 1}", &[]);
    assert!(page.is_empty() && status == Some(2) && said.contains("standard input: not a report"), "{said}");
}

#[test]
fn hgrm_of_a_phase_or_of_all_of_them() {
    let report = espstress_report::to_json(&make::clean());
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    let (connect, _, _) = report_of(&report, &["--format", "hgrm", "--workload", "rw", "--phase", "connect"]);
    let (_, said, status) = report_of(&report, &["--format", "hgrm", "-o", at]);
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(std::fs::read_to_string(folder.path().join("rw.connect.hgrm")).unwrap(), connect);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), said.lines().count());
    let (_, said, status) = report_of(&report, &["--format", "hgrm", "--phase", "conect"]);
    assert!(status == Some(2) && said.contains("connect, tls"), "{said}");
    let (_, said, status) = report_of(&report, &["--phase", "connect"]);
    assert!(status == Some(2) && said.contains("--format hgrm"), "{said}");
}
