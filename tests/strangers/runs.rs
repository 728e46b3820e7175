//! A run of the program against an address, and what came of it.

use std::net::SocketAddr;

use espstress::diagnose::{Mark, Severity};
use espstress::report::{Report, Verdict};

use crate::common::{espstress, valid_report};

/// Attempts of `head` and `rw`.
const ATTEMPTS: u64 = 60;

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

impl Kind {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Head => &["head", "-n", "60", "--pause-after-failure", "5ms"],
            Self::Rw => &["rw", "--protocol", "http", "-n", "60", "--pause-after-failure", "5ms"],
            Self::Doctor => &["doctor", "--duration", "20s"],
        }
    }
}

/// What a run said.
pub(crate) struct Run {
    pub(crate) kind: Kind,
    pub(crate) report: Report,
    page: String,
    status: Option<i32>,
}

/// Runs the program against a server.
pub(crate) fn run(kind: Kind, server: SocketAddr) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("report.json");
    let mut command = espstress();
    command.args(kind.arguments()).arg(server.to_string()).arg("--output").arg(&kept);
    let output = command.output().unwrap();
    let json = std::fs::read(&kept)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    Run {
        kind,
        report: valid_report(&json),
        page: String::from_utf8_lossy(&output.stdout).into_owned(),
        status: output.status.code(),
    }
}

impl Run {
    /// Errors and warnings about the device and its link, as `(severity, id)`. That this machine was busy, or did not let
    /// the packets be seen, says nothing of either.
    fn blamed(&self) -> Vec<(Severity, &'static str)> {
        let findings = self.report.findings.iter().filter(|finding| finding.severity != Severity::Info);
        let named = findings.map(|finding| (finding.severity, finding.id.name()));
        named.filter(|(_, id)| !["host_limited", "capture_incomplete"].contains(id)).collect()
    }

    fn crosses(&self) -> usize {
        let checks = self.report.examination.iter().flat_map(|examination| &examination.checks);
        checks.filter(|check| check.mark == Mark::Bad).count()
    }

    /// The run fails with this error, and blames nothing else.
    pub(crate) fn fails_with(&self, id: &str) -> Result<(), String> {
        let mut wrong = Vec::new();
        if self.blamed() != [(Severity::Error, id)] {
            wrong.push(format!("it says {:?}, not {id}", self.blamed()));
        }
        if (self.report.verdict, self.status) != (Verdict::Fail, Some(1)) {
            wrong.push(format!("it ends with {:?}, status {:?}", self.report.verdict, self.status));
        }
        if self.page.contains("PASS") {
            wrong.push("the page says PASS".into());
        }
        if self.page.contains("Nothing is wrong") {
            wrong.push("the page says that nothing is wrong".into());
        }
        self.told(wrong)
    }

    /// The run passes, every request was answered, and the device is blamed for nothing.
    pub(crate) fn passes(&self) -> Result<(), String> {
        let mut wrong = Vec::new();
        if !self.blamed().is_empty() {
            wrong.push(format!("it says {:?}", self.blamed()));
        }
        if (self.report.verdict, self.status) != (Verdict::Pass, Some(0)) {
            wrong.push(format!("it ends with {:?}, status {:?}", self.report.verdict, self.status));
        }
        if self.crosses() > 0 {
            wrong.push("a check has a cross".into());
        }
        let one = self.report.workloads.iter().filter(|_| !matches!(self.kind, Kind::Doctor));
        for workload in one {
            if (workload.attempts, workload.succeeded) != (ATTEMPTS, ATTEMPTS) {
                let (attempts, succeeded) = (workload.attempts, workload.succeeded);
                wrong.push(format!("{succeeded} of {attempts} attempts succeeded"));
            }
        }
        self.told(wrong)
    }

    fn told(&self, wrong: Vec<String>) -> Result<(), String> {
        if wrong.is_empty() {
            return Ok(());
        }
        Err(format!("{:?}, seed {}: {}\n{}", self.kind, self.report.seed, wrong.join("; "), self.page))
    }
}
