//! The comparison as a page: the verdict first, then what may explain it, findings, and a table a workload.

use std::fmt::Write as _;

use super::figures::{LOOP_SHARE, TICK_US, WAKE_UP_US};
use super::{Comparison, Decision, FindingRow, Row, Scale, percent};
use espstress_diagnose::Severity;
use espstress_report::{Style, Unit, human_figure, things};

/// The page: every figure, with its interval and the smallest difference that would have been seen.
#[must_use]
pub fn page(c: &Comparison, style: &Style) -> String {
    let mut out = String::new();
    let runs = |names: &[String], side: &str| things(names.len() as u64, &format!("{side} run"));
    let word = c.decision.words().to_uppercase();
    let _ = writeln!(
        out,
        "{}  {} against {}",
        paint(*style, code(c.decision), &word),
        runs(&c.new, "new"),
        runs(&c.base, "base")
    );
    style.wrapped(&mut out, "  ", 2, &c.because);
    for note in &c.notes {
        style.wrapped(&mut out, "  ", 2, note);
    }
    if !c.findings.is_empty() {
        let mut table = vec![cells(["findings", "base", "new", ""])];
        table.extend(c.findings.iter().map(finding));
        out.push('\n');
        aligned(&mut out, &table, *style);
    }
    for w in &c.workloads {
        let mut table = vec![cells([&w.name, "base", "new", "change", "interval", "visible", ""])];
        // Phases that hardly occur, as connecting does on standing connections; the reason is told below.
        let shown = w.rows.iter().filter(|r| r.key || r.base.or(r.new).is_some());
        table.extend(shown.map(line));
        out.push('\n');
        aligned(&mut out, &table, *style);
        for (reason, figures) in reasons(&w.rows) {
            style.wrapped(&mut out, "  ", 4, &format!("can't tell {}: {reason}", figures.join(", ")));
        }
    }
    out.push('\n');
    for line in legend(c) {
        style.wrapped(&mut out, "", 0, &line);
    }
    out
}

fn legend(c: &Comparison) -> [String; 3] {
    let beyond = c.fail_on_regression.map_or_else(String::new, |limit| {
        format!(" Latencies and rates are worse only by more than {}.", percent(limit))
    });
    let margin = percent(c.fail_on_regression.unwrap_or(c.tolerance));
    [
        format!(
            "* key figure: the verdict waits for it. visible: the smallest change for the worse that would have been seen, \
             nine times of ten. same: the interval is within {margin}, of a share within {} pt.{beyond}",
            c.share_tolerance * 100.0
        ),
        format!(
            "Two groups of the same thing are called changed in {} of comparisons at most. A latency is worse or better only \
             by more than this machine's scheduling can make: {}, at p99 {}, at the median of a \
             closed loop {} at most.",
            percent(c.level),
            human_figure(WAKE_UP_US, Unit::Us),
            human_figure(TICK_US, Unit::Us),
            percent(LOOP_SHARE)
        ),
        format!("Latencies and rates: {}. Shares: {}.", c.method.timings, c.method.shares),
    ]
}

fn cells<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).into()
}

fn finding(f: &FindingRow) -> Vec<String> {
    let severity = if f.severity == Severity::Error { "error" } else { "warning" };
    let runs = |n: u64, of: u64| format!("{n} of {of}");
    vec![
        format!("  {severity} {}", f.id.name()),
        runs(f.base, f.base_of),
        runs(f.new, f.new_of),
        f.decision.words().to_owned(),
    ]
}

fn line(r: &Row) -> Vec<String> {
    let value = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), |v| human_figure(v, r.unit));
    let none = || "-".to_owned();
    let (change, interval, visible) = match r.scale {
        Scale::Ratio => (
            r.ratio.map_or_else(none, |ratio| format!("x {}", times(ratio))),
            r.low.zip(r.high).map_or_else(none, |(low, high)| format!("{} to {}", times(low), times(high))),
            r.smallest_visible.map_or_else(none, |v| format!("{} %", rounded(v * 100.0))),
        ),
        Scale::Difference => (
            r.base.zip(r.new).map_or_else(none, |(base, new)| points(new - base)),
            r.low.zip(r.high).map_or_else(none, |(low, high)| format!("{} to {}", points(low), points(high))),
            r.smallest_visible.map_or_else(none, |v| format!("{} pt", rounded(v * 100.0))),
        ),
    };
    let star = if r.key { "*" } else { " " };
    vec![
        format!("{star} {}", r.figure),
        value(r.base),
        value(r.new),
        change,
        interval,
        visible,
        r.decision.words().to_owned(),
    ]
}

/// A ratio; beyond a thousand nobody reads its digits.
fn times(ratio: f64) -> String {
    if ratio >= 1_000.0 {
        "over 1000".into()
    } else if ratio >= 10.0 {
        format!("{ratio:.0}")
    } else {
        format!("{ratio:.3}")
    }
}

/// A difference of shares in percentage points.
fn points(difference: f64) -> String {
    let points = difference * 100.0;
    if points == 0.0 { "0 pt".into() } else { format!("{points:+.2} pt") }
}

fn rounded(percent: f64) -> String {
    if percent >= 100_000.0 {
        "over 100000".into()
    } else if percent.abs() >= 10.0 {
        format!("{percent:.0}")
    } else {
        format!("{percent:.2}")
    }
}

/// Why figures can't be told: each reason once, with the figures that it concerns.
fn reasons(rows: &[Row]) -> Vec<(&str, Vec<&str>)> {
    let mut all: Vec<(&str, Vec<&str>)> = Vec::new();
    for row in rows {
        let Some(reason) = row.reason.as_deref() else { continue };
        match all.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, figures)) => figures.push(&row.figure),
            None => all.push((reason, vec![&row.figure])),
        }
    }
    all
}

/// Columns in line: the first and the last to the left, figures to the right. Where there is no room for all of them,
/// the smallest visible change goes first, then the two sides' figures, then the interval.
fn aligned(out: &mut String, table: &[Vec<String>], style: Style) {
    const DISPENSABLE: [&str; 4] = ["visible", "base", "new", "interval"];
    let mut table = table.to_vec();
    let width = |table: &[Vec<String>], i: usize| {
        table.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let count = |table: &[Vec<String>]| table.iter().map(Vec::len).max().unwrap_or(0);
    let fits = |table: &[Vec<String>]| {
        (0..count(table)).map(|i| width(table, i) + 2).sum::<usize>() <= style.width.max(60) + 2
    };
    for name in DISPENSABLE {
        let at = table.first().and_then(|head| head.iter().position(|cell| cell == name));
        if let Some(at) = at.filter(|at| *at > 0 && !fits(&table)) {
            table.iter_mut().filter(|row| at < row.len()).for_each(|row| drop(row.remove(at)));
        }
    }
    let columns = count(&table);
    let widths: Vec<usize> = (0..columns).map(|i| width(&table, i)).collect();
    for row in &table {
        let mut line = String::new();
        for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if i > 0 {
                line.push_str("  ");
            }
            let left = i == 0 || i + 1 == columns;
            let padded = if left { format!("{cell:<width$}") } else { format!("{cell:>width$}") };
            let decision = [Decision::Worse, Decision::Better, Decision::CantTell]
                .into_iter()
                .find(|d| i + 1 == columns && d.words() == cell);
            line.push_str(&decision.map_or_else(|| padded.clone(), |d| paint(style, code(d), &padded)));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

const fn code(decision: Decision) -> &'static str {
    match decision {
        Decision::Worse => "1;31",
        Decision::Better | Decision::Same => "1;32",
        Decision::CantTell => "1;33",
    }
}

fn paint(style: Style, code: &str, text: &str) -> String {
    match style.colour {
        espstress_report::Colour::Ansi => format!("\x1b[{code}m{text}\x1b[0m"),
        espstress_report::Colour::Plain => text.to_owned(),
    }
}
