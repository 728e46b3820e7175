//! Processes that hold the far end of a TAP device: the device program on smoltcp, which this test program runs itself, a
//! Linux kernel under QEMU, and stand-ins for the emulators.
//!
//! Where no private network or no TAP device can be had, a case says `SKIPPED: why` and passes; with
//! `ESPSTRESS_REQUIRE=twin` it fails.

#![cfg(target_os = "linux")]

mod device;
mod emulators;
mod wrong;

use std::process::{Command, Output};

use crate::common::{espstress, skipped, valid_report};
use espstress_report::Report;

/// A run of this program; `None`, and said, where no private network can be had.
#[track_caller]
fn ran(command: &mut Command) -> Option<Output> {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(3) && (said.contains("private network") || said.contains("/dev/net/tun"))
    {
        skipped("twin", &said);
        return None;
    }
    Some(output)
}

/// The report of a run against this target, whatever its verdict.
#[track_caller]
fn report(workload: &str, target: &str, more: &[&str]) -> Option<Report> {
    let mut command = espstress();
    command.args(workload.split_whitespace()).arg(target).args(more).args(["--json", "-q", "--no-gate"]);
    let output = ran(&mut command)?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{workload}: {said}");
    Some(valid_report(&output.stdout))
}

/// Every attempt of every workload was served.
#[track_caller]
fn served(report: &Report) {
    for workload in &report.workloads {
        let failures: Vec<_> = workload.failures.iter().collect();
        assert_eq!(workload.succeeded, workload.attempts, "{failures:?}, {:#?}", report.findings);
        assert!(workload.attempts > 0, "nothing was attempted");
    }
}

/// What a refused run says.
#[track_caller]
fn refused(arguments: &[&str], status: i32) -> Option<String> {
    let output = ran(espstress().args(arguments))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
    Some(said)
}
