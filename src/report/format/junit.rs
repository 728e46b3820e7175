//! JUnit XML: a test case for each gate. A broken gate is a failure; one that could not be judged an error,
//! because a build that could not look must not be green.

use std::fmt::Write as _;

use super::escape;
use crate::human::found;
use crate::{Report, Style, ThresholdStatus, Verdict, text};

pub(super) fn render(report: &Report) -> String {
    let with = |status| report.thresholds.iter().filter(|t| t.status == status).count();
    let (failures, mut errors) = (with(ThresholdStatus::Fail), with(ThresholdStatus::Inconclusive));
    // Every gate holds, and the run has not tested what it was to test.
    let open = errors == 0 && report.verdict == Verdict::Inconclusive;
    errors += usize::from(open);
    let tests = report.thresholds.len() + usize::from(open);
    let counts = format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\"");
    let name = report.scenario.get("name").and_then(serde_json::Value::as_str).unwrap_or("run");
    let suite = escape(&format!("espstress.{name}"));
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(out, "<testsuites name=\"espstress\" {counts} time=\"{:.3}\">", report.duration_s);
    let _ = writeln!(
        out,
        "  <testsuite name=\"{suite}\" {counts} skipped=\"0\" time=\"{:.3}\" timestamp=\"{}\" hostname=\"{}\">",
        report.duration_s,
        escape(report.started_at.trim_end_matches('Z')),
        escape(&report.target.address),
    );
    for t in &report.thresholds {
        let _ = write!(out, "    <testcase classname=\"{suite}\" name=\"{}\" time=\"0\"", escape(&t.expr));
        let message = match &t.reason {
            Some(reason) => format!("found {}: {reason}", found(t)),
            None => format!("found {}", found(t)),
        };
        let element = match t.status {
            ThresholdStatus::Pass => {
                out.push_str("/>\n");
                continue;
            }
            ThresholdStatus::Fail => "failure",
            ThresholdStatus::Inconclusive => "error",
        };
        let _ = writeln!(out, ">\n      <{element} message=\"{}\"/>\n    </testcase>", escape(&message));
    }
    if open {
        let message = escape(&report.verdict_reasons.join("; "));
        let _ = writeln!(
            out,
            "    <testcase classname=\"{suite}\" name=\"verdict\" time=\"0\">\n      <error message=\"{message}\"/>\n    </testcase>"
        );
    }
    let page = escape(&text::page(report, &Style::default()));
    let _ = writeln!(out, "    <system-out>{page}</system-out>\n  </testsuite>\n</testsuites>");
    out
}
