//! A machine that stands still in the middle of a run: suspended, or too busy with something else.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use espstress_diagnose::FindingId;
use espstress_event::AnomalyClass;
use espstress_report::Report;

use super::{of_class, report_of, says};
use crate::common::espstress;

/// Longer than the probes' time-out and than the gap between them.
const STILL: Duration = Duration::from_secs(4);

/// A run that stands still, its twin with it, once it has told three intervals.
#[track_caller]
fn stood_still(arguments: &str) -> Option<Report> {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("run.log");
    let mut command = espstress();
    command.args(arguments.split_whitespace()).args(["--json", "-q", "--no-gate", "--log"]).arg(&log);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut run = command.spawn().unwrap();
    if under_way(&mut run, &log) {
        signal(&run, "STOP");
        std::thread::sleep(STILL);
        signal(&run, "CONT");
    }
    report_of(arguments, &run.wait_with_output().unwrap())
}

/// Whether it comes to three intervals, before it ends.
fn under_way(run: &mut Child, log: &Path) -> bool {
    let give_up = Instant::now() + Duration::from_secs(60);
    loop {
        let told = std::fs::read_to_string(log).unwrap_or_default();
        if told.matches("\"event\":\"interval\"").count() >= 3 {
            return true;
        }
        if run.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(Instant::now() < give_up, "no interval in a minute: {told}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// To the run and to its twin.
fn signal(run: &Child, name: &str) {
    let group = format!("-{}", run.id());
    assert!(Command::new("kill").args(["-s", name, "--", &group]).status().unwrap().success());
}

#[test]
fn a_machine_that_stands_still_is_no_fault_of_the_device_or_its_link() {
    let runs = ["head twin -c 3 -d 12s", "rw twin -c 3 -d 12s", "outage twin --by none -d 15s"];
    let reports = std::thread::scope(|scope| {
        let runs = runs.map(|arguments| scope.spawn(move || stood_still(arguments)));
        runs.map(|run| run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    for report in reports.into_iter().flatten() {
        says(&report, &[]);
        assert_eq!(of_class(&report, AnomalyClass::Device), Vec::<String>::new());
        let limited = report.findings.iter().any(|finding| finding.id == FindingId::HostLimited);
        assert!(limited, "that it stood still is told");
    }
}
