//! A healthy device, again and again: each run passes and finds nothing. `scripts/acceptance healthy` does the same a
//! hundred times.

use std::sync::atomic::{AtomicUsize, Ordering};

use espstress_diagnose::FindingId;
use espstress_report::Verdict;

use super::said;
use crate::common::{espstress, skipped, valid_report};

/// What is wrong with one run of a healthy device; `None` where nothing is, or where no twin can be had.
fn wrong(arguments: &str) -> Option<String> {
    let output = espstress().args(arguments.split_whitespace()).args(["--json", "-q"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(3) && (told.contains("namespace") || told.contains("tun")) {
        skipped("twin", &told);
        return None;
    }
    let report = valid_report(&output.stdout);
    let found: Vec<FindingId> = said(&report);
    if (report.verdict, output.status.code(), found.len()) == (Verdict::Pass, Some(0), 0) {
        return None;
    }
    let evidence: Vec<_> = report.findings.iter().map(|finding| &finding.evidence).collect();
    Some(format!("seed {}: {:?}, {found:?}, {evidence:?} {told}", report.seed, report.verdict))
}

/// So many runs, some of them at once.
#[track_caller]
fn nothing_is_found(arguments: &str, runs: usize, at_once: usize) {
    let started = AtomicUsize::new(0);
    let all: Vec<String> = std::thread::scope(|scope| {
        let each = || {
            let mine = std::iter::from_fn(|| {
                (started.fetch_add(1, Ordering::Relaxed) < runs).then(|| wrong(arguments))
            });
            mine.flatten().collect::<Vec<String>>()
        };
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(each)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(all.is_empty(), "{} of {runs}: espstress {arguments}\n{}", all.len(), all.join("\n"));
}

#[cfg(feature = "long")]
#[test]
fn ten_first_runs_find_nothing() {
    nothing_is_found("run -t twin", 10, 2);
}

#[cfg(feature = "long")]
#[test]
fn ten_runs_on_a_home_link_find_nothing() {
    nothing_is_found("run -t twin --link home", 10, 5);
}

#[test]
fn six_smoke_tests_at_once_find_nothing() {
    nothing_is_found("run ci-smoke -t twin", 6, 6);
}
