//! What is run against each server, and what has to come of it.

use std::net::SocketAddr;

use espstress_diagnose::Severity;

use crate::common::said::{Said, said};

/// What is run against a server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A connection for each of 60 requests.
    Head,
    /// 60 requests on one connection.
    Rw,
    /// The shortest examination.
    Doctor,
}

/// Runs the program against a server.
pub(crate) fn run(kind: Kind, server: SocketAddr) -> Said {
    let arguments = match kind {
        Kind::Head => "head -n 60 --pause-after-failure 5ms",
        Kind::Rw => "rw --protocol http -n 60 --pause-after-failure 5ms",
        Kind::Doctor => "doctor --duration 20s",
    };
    said(arguments, &[&server.to_string()])
}

/// The run fails with this error, and blames nothing else.
pub(crate) fn fails_with(run: &Said, id: &str) -> Result<(), String> {
    let mut wrong = Vec::new();
    if run.blamed() != [(Severity::Error, id)] {
        wrong.push(format!("has to blame {id} and nothing else"));
    }
    if !run.failed() || run.page.contains("PASS") {
        wrong.push("has to fail".into());
    }
    if run.page.contains("Nothing wrong was found") {
        wrong.push("must not say that nothing is wrong".into());
    }
    run.told(&wrong)
}

/// The run passes, every request was answered, and the device is blamed for nothing.
pub(crate) fn passes(run: &Said) -> Result<(), String> {
    let mut wrong = Vec::new();
    if !run.blamed().is_empty() || !run.crosses().is_empty() {
        wrong.push("has to blame nobody".into());
    }
    if !run.passed() {
        wrong.push("has to pass".into());
    }
    let served = |name: &str| ["head", "rw", "requests", "late", "persistent"].contains(&name);
    for workload in run.report.workloads.iter().filter(|workload| served(&workload.name)) {
        let (attempts, succeeded) = (workload.attempts, workload.succeeded);
        if attempts == 0 || succeeded != attempts {
            wrong.push(format!("{}: {succeeded} of {attempts} attempts succeeded", workload.name));
        }
    }
    run.told(&wrong)
}
