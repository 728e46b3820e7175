//! What a run of the program said: its report, its page, its exit status.

use std::fs::File;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use espstress_diagnose::{Mark, Severity};
use espstress_report::{Report, Verdict};

use super::{espstress, valid_report};

/// What a run said. Everything that is asked of it panics with the page when it is not so.
pub struct Said {
    pub report: Report,
    pub page: String,
    pub took: Duration,
    command: String,
    pub progress: String,
    status: Option<i32>,
}

/// Runs the program with arguments separated by blanks, the last of which are `more`.
#[track_caller]
pub fn said(arguments: &str, more: &[&str]) -> Said {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("report.json");
    let mut command: Command = espstress();
    command.args(arguments.split_whitespace()).args(more).arg("--output").arg(&kept);
    let streams = ["page", "progress"].map(|name| folder.path().join(name));
    let [page, progress] = streams.each_ref().map(|file| File::create(file).unwrap());
    let start = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(page).stderr(progress).spawn().unwrap();
    let status = ended(&mut child, start);
    let took = start.elapsed();
    let [page, progress] =
        streams.map(|file| String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned());
    let command = format!("espstress {arguments} {}", more.join(" "));
    let status = status.unwrap_or_else(|| panic!("{command}: not over after {took:?}\n{progress}{page}"));
    let json = std::fs::read(&kept).unwrap_or_else(|error| panic!("{command}: {error}: {progress}"));
    Said { report: valid_report(&json), page, took, command, progress, status: status.code() }
}

/// A run's status; `None` where it had to be killed, so that a run that never ends is one test's failure.
fn ended(child: &mut Child, start: Instant) -> Option<ExitStatus> {
    while start.elapsed() < Duration::from_secs(150) {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

impl Said {
    /// Errors and warnings about the device and its link. That this machine was busy, or did not let the packets be seen,
    /// says nothing of either.
    pub fn blamed(&self) -> Vec<(Severity, &'static str)> {
        let findings = self.report.findings.iter().filter(|finding| finding.severity != Severity::Info);
        let named = findings.map(|finding| (finding.severity, finding.id.name()));
        named.filter(|(_, id)| !["host_limited", "capture_incomplete"].contains(id)).collect()
    }

    pub fn passed(&self) -> bool {
        (self.report.verdict, self.status) == (Verdict::Pass, Some(0))
    }

    pub fn failed(&self) -> bool {
        (self.report.verdict, self.status) == (Verdict::Fail, Some(1))
    }

    /// The checks of an examination that have a cross.
    pub fn crosses(&self) -> Vec<&str> {
        let checks = self.report.examination.iter().flat_map(|examination| &examination.checks);
        checks.filter(|check| check.mark == Mark::Bad).map(|check| check.name.as_str()).collect()
    }

    /// What is wrong, if anything, and all that is needed to see why.
    pub fn told(&self, wrong: &[String]) -> Result<(), String> {
        if wrong.is_empty() {
            return Ok(());
        }
        let ends = format!("{:?}, status {:?}", self.report.verdict, self.status);
        let (blamed, crosses) = (self.blamed(), self.crosses());
        Err(format!(
            "{}\n{}\nit blames {blamed:?}, has crosses at {crosses:?}, ends with {ends}, took {:?}\n{}\n{}",
            self.command,
            wrong.join("\n"),
            self.took,
            self.progress,
            self.page
        ))
    }

    #[track_caller]
    fn must(&self, holds: bool, what: impl FnOnce() -> String) -> &Self {
        if !holds {
            panic!("{}", self.told(&[what()]).unwrap_err());
        }
        self
    }

    /// Nobody is blamed, no check has a cross, and the run passes.
    #[track_caller]
    pub fn passes(&self) -> &Self {
        let fine = self.passed() && self.blamed().is_empty() && self.crosses().is_empty();
        self.must(fine, || "has to pass".into())
    }

    /// The run fails with exactly these errors and warnings.
    #[track_caller]
    pub fn fails_with(&self, ids: &[&str]) -> &Self {
        self.blames(ids).must(self.failed() && !self.page.contains("PASS"), || "has to fail".into())
    }

    /// Exactly these errors and warnings.
    #[track_caller]
    pub fn blames(&self, ids: &[&str]) -> &Self {
        let blamed: Vec<&str> = self.blamed().into_iter().map(|(_, id)| id).collect();
        self.must(blamed == ids, || format!("has to blame {ids:?}"))
    }

    /// These words are on the page, whatever lines they are broken into.
    #[track_caller]
    pub fn says(&self, words: &[&str]) -> &Self {
        let page = self.page.split_whitespace().collect::<Vec<_>>().join(" ");
        words
            .iter()
            .fold(self, |said, word| said.must(page.contains(word), || format!("has to say {word:?}")))
    }

    /// None of these words is on the page.
    #[track_caller]
    pub fn never_says(&self, words: &[&str]) -> &Self {
        let page = self.page.split_whitespace().collect::<Vec<_>>().join(" ");
        words
            .iter()
            .fold(self, |said, word| said.must(!page.contains(word), || format!("must not say {word:?}")))
    }

    /// The run is over within this time.
    #[track_caller]
    pub fn within(&self, longest: Duration) -> &Self {
        self.must(self.took <= longest, || format!("has to end within {longest:?}"))
    }

    /// A workload's attempts and successes.
    #[track_caller]
    pub fn counts(&self, workload: &str, attempts: u64, succeeded: u64) -> &Self {
        let seen = self.report.workload(workload).map(|w| (w.attempts, w.succeeded));
        self.must(seen == Some((attempts, succeeded)), || {
            format!("{workload} has to have {succeeded} of {attempts}, not {seen:?}")
        })
    }
}
