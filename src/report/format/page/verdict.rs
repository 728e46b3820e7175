//! The head of the page: the verdict, why it is so, and the gates; for a doctor its checks.

use std::fmt::Write as _;

use super::markup::{Cell, heading, paragraph, sentence, table};
use crate::format::escape;
use crate::human::{found, time_s};
use crate::text::{about_target, deeds};
use crate::{Report, ThresholdStatus, Verdict};
use espstress_diagnose::{Examination, Mark};

/// The class and the word of the verdict.
fn word(r: &Report) -> (&'static str, &'static str) {
    match (r.verdict, r.thresholds.is_empty()) {
        (_, true) => ("quiet", "done"),
        (Verdict::Pass, _) => ("good", "pass"),
        (Verdict::Fail, _) => ("bad", "fail"),
        (Verdict::Inconclusive, _) => ("doubt", "inconclusive"),
    }
}

/// The run and its target.
fn what(r: &Report) -> String {
    let name = r.scenario.get("name").and_then(serde_json::Value::as_str).unwrap_or("run");
    format!("{name} on {} ({})", r.target.address, r.target.kind.name())
}

/// For the browser's bar.
pub(super) fn title(r: &Report) -> String {
    format!("{}: {}", word(r).1, what(r))
}

pub(super) fn section(out: &mut String, r: &Report) {
    let (class, word) = word(r);
    let _ = writeln!(out, "<h1><span class=\"badge {class}\">{word}</span> {}</h1>", escape(&what(r)));
    let mut about =
        vec![format!("{}, started {}", time_s(r.duration_s), r.started_at), format!("seed {}", r.seed)];
    about.push(format!("{} {}", r.tool.name, r.tool.version));
    about.extend(about_target(r));
    paragraph(out, "quiet", &about.join(", "));
    why(out, r, class);
    if r.interrupted {
        paragraph(out, "doubt", "Interrupted. Everything below was measured before that.");
    }
    for remark in &r.remarks {
        sentence(out, "doubt", remark);
    }
    gates(out, r);
    if let Some(examination) = &r.examination {
        checks(out, examination);
    }
}

fn why(out: &mut String, r: &Report, class: &str) {
    let reasons: Vec<String> = if r.verdict_reasons.is_empty() {
        let line = crate::verdict_line(&Report { remarks: Vec::new(), interrupted: false, ..r.clone() });
        line.split_once(": ").map(|(_, why)| why.to_owned()).into_iter().collect()
    } else {
        r.verdict_reasons.clone()
    };
    let _ = writeln!(out, "<div class=\"why {class}\">");
    reasons.iter().for_each(|reason| sentence(out, "", reason));
    out.push_str("</div>\n");
}

fn gates(out: &mut String, r: &Report) {
    if r.thresholds.is_empty() {
        return;
    }
    heading(out, "Gates");
    let rows = r.thresholds.iter().map(|t| {
        let (class, word) = match t.status {
            ThresholdStatus::Pass => ("good mark", "pass"),
            ThresholdStatus::Fail => ("bad mark", "fail"),
            ThresholdStatus::Inconclusive => ("doubt mark", "not judged"),
        };
        vec![
            Cell::toned(class, word),
            Cell::code(&t.expr),
            Cell::text(format!("found {}", found(t))),
            Cell::toned("quiet", t.reason.as_deref().unwrap_or("")),
        ]
    });
    table(out, &[], rows);
}

/// What a doctor looked at, and what it did for it.
fn checks(out: &mut String, of: &Examination) {
    heading(out, "Checks");
    let rows = of.checks.iter().map(|check| {
        let (class, sign) = match check.mark {
            Mark::Good => ("good mark", "\u{2713}"),
            Mark::Bad => ("bad mark", "\u{2717}"),
            Mark::Unknown => ("doubt mark", "?"),
        };
        vec![Cell::toned(class, sign), Cell::toned("name", &check.name), Cell::text(&check.seen)]
    });
    table(out, &[], rows);
    if let Some(reason) = &of.incomplete {
        sentence(out, "doubt", reason);
    }
    paragraph(out, "quiet", &format!("What this test did to the device: {}.", deeds(&of.done)));
}
