//! JUnit XML: a suite for the gates, one for the findings, one for the attempts of the workloads. The gates alone decide:
//! a case that no gate judges never turns a build red, and never green what a gate has failed.

use std::fmt::Write as _;

use super::escape;
use crate::human::{count, found};
use crate::{Report, Style, ThresholdStatus, Verdict, Workload, text};
use espstress_diagnose::{Accounted, Finding, Severity};
use espstress_event::Failure;

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Passed,
    /// The device is at fault, and a gate fails.
    Failed,
    /// It could not be judged; a build that could not look must not be green.
    Unjudged,
    /// Bad, and no gate fails for it.
    NoGate,
}

/// One test case.
struct Case {
    name: String,
    end: End,
    /// Of which kind its end is, as `connect_timeout`.
    kind: String,
    /// Why it ended so, in a sentence; empty for a pass without a remark.
    message: String,
    /// The rest, a line each.
    details: Vec<String>,
}

/// Cases of one kind.
struct Suite {
    name: &'static str,
    cases: Vec<Case>,
}

impl Suite {
    fn ended(&self, end: End) -> usize {
        self.cases.iter().filter(|case| case.end == end).count()
    }
}

pub(super) fn render(report: &Report) -> String {
    let suites = [
        Suite { name: "gates", cases: gates(report) },
        Suite { name: "findings", cases: report.findings.iter().map(|f| finding(report, f)).collect() },
        Suite {
            name: "attempts",
            cases: report.workloads.iter().flat_map(|w| attempts(report, w)).collect(),
        },
    ];
    let sum = |of: fn(&Suite) -> usize| suites.iter().map(of).sum::<usize>();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<testsuites name=\"espstress\" tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{:.3}\">",
        sum(|s| s.cases.len()),
        sum(|s| s.ended(End::Failed)),
        sum(|s| s.ended(End::Unjudged)),
        report.duration_s
    );
    for (id, suite) in suites.iter().enumerate() {
        write(&mut out, report, suite, id);
    }
    out.push_str("</testsuites>\n");
    out
}

fn write(out: &mut String, report: &Report, suite: &Suite, id: usize) {
    let run = report.scenario.get("name").and_then(serde_json::Value::as_str).unwrap_or("run");
    let name = escape(&format!("espstress.{run}.{}", suite.name));
    let _ = writeln!(
        out,
        "  <testsuite name=\"{name}\" id=\"{id}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" \
         time=\"{:.3}\" timestamp=\"{}\" hostname=\"{}\">",
        suite.cases.len(),
        suite.ended(End::Failed),
        suite.ended(End::Unjudged),
        suite.ended(End::NoGate),
        report.duration_s,
        escape(report.started_at.trim_end_matches('Z')),
        escape(&report.target.address),
    );
    for case in &suite.cases {
        let _ = write!(out, "    <testcase classname=\"{name}\" name=\"{}\" time=\"0\"", escape(&case.name));
        let (kind, message) = (escape(&case.kind), escape(&case.message));
        let details = escape(&case.details.join("\n"));
        let (element, message) = match case.end {
            End::Passed if case.message.is_empty() && details.is_empty() => {
                out.push_str("/>\n");
                continue;
            }
            End::Passed => {
                let lines = [message, details];
                let said = lines.iter().filter(|text| !text.is_empty()).cloned().collect::<Vec<_>>();
                let _ =
                    writeln!(out, ">\n      <system-out>{}</system-out>\n    </testcase>", said.join("\n"));
                continue;
            }
            End::Failed => ("failure", message),
            End::Unjudged => ("error", message),
            End::NoGate => ("skipped", format!("no gate fails for this: {message}")),
        };
        let _ = writeln!(
            out,
            ">\n      <{element} type=\"{kind}\" message=\"{message}\">{details}</{element}>\n    </testcase>"
        );
    }
    if id == 0 {
        let page = escape(&text::page(report, &Style::default()));
        let _ = writeln!(out, "    <system-out>{page}</system-out>");
    }
    out.push_str("  </testsuite>\n");
}

fn gates(report: &Report) -> Vec<Case> {
    let case = |t: &crate::ThresholdRow| {
        let (end, kind) = match t.status {
            ThresholdStatus::Pass => (End::Passed, "gate"),
            ThresholdStatus::Fail => (End::Failed, "gate"),
            ThresholdStatus::Inconclusive => (End::Unjudged, "inconclusive"),
        };
        let message = match &t.reason {
            Some(reason) => format!("found {}: {reason}", found(t)),
            None if end == End::Passed => String::new(),
            None => format!("found {}", found(t)),
        };
        Case { name: t.expr.clone(), end, kind: kind.into(), message, details: Vec::new() }
    };
    let mut cases: Vec<Case> = report.thresholds.iter().map(case).collect();
    // Every gate passes, and the run has not tested what it was to test.
    if report.verdict == Verdict::Inconclusive && cases.iter().all(|case| case.end != End::Unjudged) {
        let message = report.verdict_reasons.join("; ");
        let kind = "inconclusive".to_owned();
        cases.push(Case { name: "verdict".into(), end: End::Unjudged, kind, message, details: Vec::new() });
    }
    cases
}

/// Whether something bad fails its case: only where the run fails.
fn bad(report: &Report) -> End {
    if report.verdict == Verdict::Fail { End::Failed } else { End::NoGate }
}

fn finding(report: &Report, f: &Finding) -> Case {
    let (end, kind) = match f.severity {
        Severity::Error => (bad(report), "error"),
        Severity::Warning => (End::Passed, "warning"),
        Severity::Info => (End::Passed, "info"),
    };
    let mut details = vec![format!("severity: {kind}")];
    details.extend(f.evidence.iter().map(|line| format!("evidence: {line}")));
    details.extend([format!("cause: {}", f.cause), format!("change: {}", f.change)]);
    Case { name: f.id.name().into(), end, kind: kind.into(), message: f.statement.clone(), details }
}

/// All attempts of a workload, and a case for each failure that occurred.
fn attempts(report: &Report, w: &Workload) -> Vec<Case> {
    let name = |of: &str| format!("{}: {of}", w.name);
    let said = |n: u64| format!("{} of {} attempts", count(n), count(w.attempts));
    let whole = match w.not_done_in_words() {
        Some(why) => (End::Unjudged, why),
        None if w.attempts == 0 => (End::Unjudged, "no attempt ended".to_owned()),
        None => (End::Passed, format!("{} succeeded", said(w.succeeded))),
    };
    // An error makes a build red: only a run that is not passed may have one.
    let end = if report.verdict == Verdict::Pass && whole.0 == End::Unjudged { End::NoGate } else { whole.0 };
    let kind = "not_tested".to_owned();
    let mut cases = vec![Case { name: name("attempts"), end, kind, message: whole.1, details: Vec::new() }];
    cases.extend(w.failures.iter().map(|(failure, n)| Case {
        name: name(failure.name()),
        end: if is_excused(report, w, failure) { End::Passed } else { bad(report) },
        kind: failure.name().into(),
        message: said(n),
        details: answers(report, w, failure),
    }));
    cases
}

/// Whether something other than the device answers for every one of these failures.
fn is_excused(report: &Report, w: &Workload, failure: Failure) -> bool {
    let mut rows = rows(report, w, failure).peekable();
    failure.is_host() || (rows.peek().is_some() && rows.all(|row| row.accounted == Accounted::Excused))
}

fn rows<'a>(
    report: &'a Report,
    w: &'a Workload,
    failure: Failure,
) -> impl Iterator<Item = &'a espstress_diagnose::AccountRow> {
    let of = move |row: &&espstress_diagnose::AccountRow| {
        row.workload == w.name && row.failures.get(&failure).is_some_and(|n| *n > 0)
    };
    report.account.iter().filter(of)
}

/// Who answers for failures of one name.
fn answers(report: &Report, w: &Workload, failure: Failure) -> Vec<String> {
    let told = |row: &espstress_diagnose::AccountRow| {
        let n = count(row.failures.get(&failure).copied().unwrap_or(0));
        let by = row.by.as_deref().unwrap_or("unknown");
        let when = format!("{:.1} s to {:.1} s", row.first_s, row.last_s);
        match row.accounted {
            Accounted::Explained => format!("{n} explained by {by}, {when}"),
            Accounted::Excused => format!("{n} excused: {}, {when}", text::excuse(Some(by))),
            Accounted::Unexplained => format!("{n} not explained, {when}"),
        }
    };
    let mut lines: Vec<String> = rows(report, w, failure).map(told).collect();
    if lines.is_empty() && failure.is_host() {
        lines.push("a limit of the testing machine, not of the device".into());
    }
    lines
}
