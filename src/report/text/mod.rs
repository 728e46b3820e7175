//! The page: verdict first, then what broke, then what was measured. Zeros are not listed; what could not be
//! looked at is said, never left out.

mod air;
mod broke;
mod console;
mod examination;
mod measured;
mod program;
mod raw;

pub(crate) use broke::excuse;
pub(crate) use examination::deeds;
pub(crate) use measured::{measured, probes};

use std::fmt::Write as _;

use super::human::{count, found, time_s};
use super::style::{Detail, Style, Tone};
use super::{Report, ThresholdStatus, Verdict};

/// The page.
#[must_use]
pub fn page(report: &Report, style: &Style) -> String {
    let style = *style;
    let mut out = String::new();
    head(&mut out, report, style);
    if let Some(examination) = &report.examination {
        examination::page(&mut out, report, examination, style);
        if style.detail == Detail::Page {
            console::section(&mut out, report, style);
            return out;
        }
    } else {
        gates(&mut out, report, style);
        broke::section(&mut out, report, style);
    }
    console::section(&mut out, report, style);
    program::section(&mut out, report, style);
    for workload in &report.workloads {
        measured::workload(&mut out, workload, style);
    }
    measured::beside(&mut out, report, style);
    air::section(&mut out, report, style);
    out
}

/// Width of the labels on the left.
const LABEL: usize = 14;

/// A label in its column.
fn label(text: &str) -> String {
    format!("  {text:<width$}", width = LABEL - 2)
}

fn title(out: &mut String, text: &str, style: Style) {
    let _ = writeln!(out, "\n{}", style.paint(Tone::Strong, text));
}

/// What the target is, for the head of both pages.
pub(crate) fn about_target(r: &Report) -> impl Iterator<Item = String> {
    let target = &r.target;
    let own = target.firmware.iter().chain(&target.stack).cloned();
    own.chain(target.persona.iter().map(|p| format!("persona {p}")))
        .chain(target.program.iter().map(|p| format!("program {}", p.command.join(" "))))
        .chain(target.link.iter().map(|l| format!("link {l}")))
        .chain(target.capacity.map(|c| format!("room for {} connections", count(c))))
}

fn head(out: &mut String, r: &Report, style: Style) {
    let (word, tone) = match (r.verdict, r.thresholds.is_empty()) {
        (_, true) => ("DONE", Tone::Strong),
        (Verdict::Pass, _) => ("PASS", Tone::Good),
        (Verdict::Fail, _) => ("FAIL", Tone::Bad),
        (Verdict::Inconclusive, _) => ("INCONCLUSIVE", Tone::Doubt),
    };
    let name = r.scenario.get("name").and_then(serde_json::Value::as_str).unwrap_or("run");
    let at = format!("{name} on {} ({})", r.target.address, r.target.kind.name());
    let mut line = String::new();
    style.wrapped(&mut line, "", word.len() + 2, &at);
    let _ = writeln!(out, "{}  {}", style.paint(tone, word), style.paint(Tone::Strong, line.trim_end()));
    let mut about =
        vec![format!("{}, started {}", time_s(r.duration_s), r.started_at), format!("seed {}", r.seed)];
    about.extend(about_target(r));
    let mut line = String::new();
    style.wrapped(&mut line, "", 0, &about.join(", "));
    out.push_str(&style.paint(Tone::Quiet, line.trim_end()));
    out.push('\n');
    for remark in &r.remarks {
        let mut line = String::new();
        style.wrapped(&mut line, "", 0, &format!("{remark}."));
        let _ = writeln!(out, "{}", style.paint(Tone::Doubt, line.trim_end()));
    }
    if r.interrupted {
        let text = "Interrupted. Everything below was measured before that.";
        let _ = writeln!(out, "{}", style.paint(Tone::Doubt, text));
    }
}

fn gates(out: &mut String, r: &Report, style: Style) {
    if r.thresholds.is_empty() {
        return;
    }
    title(out, "Gates", style);
    let widest = r.thresholds.iter().map(|t| t.expr.chars().count()).max().unwrap_or(0);
    let figures = r.thresholds.iter().map(|t| found(t).chars().count()).max().unwrap_or(0);
    let narrow = LABEL + widest + 3 + figures > style.columns();
    let wide = if narrow { 0 } else { widest };
    for t in &r.thresholds {
        let (word, tone) = match t.status {
            ThresholdStatus::Pass => ("pass", Tone::Good),
            ThresholdStatus::Fail => ("fail", Tone::Bad),
            ThresholdStatus::Inconclusive => ("not judged", Tone::Doubt),
        };
        let head = style.paint(tone, &label(word));
        if narrow {
            style.wrapped(out, &head, LABEL, &format!("{}   {}", t.expr, found(t)));
        } else {
            let _ = writeln!(out, "{head}{:<wide$}   {}", t.expr, found(t));
        }
        if let Some(reason) = &t.reason
            && (t.status != ThresholdStatus::Pass || style.detail == Detail::Evidence)
        {
            style.wrapped(out, &" ".repeat(LABEL), LABEL, reason);
        }
    }
    for reason in r.open_reasons() {
        style.wrapped(out, &style.paint(Tone::Doubt, &label("not judged")), LABEL, reason);
    }
}
