//! The comparison as a page: decision first, then what may explain it, then a table a workload.

use std::fmt::Write as _;

use super::{Cell, Comparison, Decision, Judgement, Row};
use crate::report::{Colour, Detail, Style, human_figure};

/// The page. Figures that differ by chance only are left out unless the style asks for evidence.
#[must_use]
pub fn page(c: &Comparison, style: &Style) -> String {
    let mut out = String::new();
    for column in &c.new {
        let (word, code) = match column.decision {
            Decision::Regression => ("WORSE", "1;31"),
            Decision::Better => ("BETTER", "1;32"),
            Decision::Same => ("SAME", "1;32"),
            Decision::Undecided => ("UNDECIDED", "1;33"),
        };
        let _ = writeln!(out, "{}  {} against {}", paint(*style, code, word), column.name, c.base);
        for note in &column.notes {
            let _ = writeln!(out, "  {note}");
        }
        let names =
            |ids: &[crate::diagnose::FindingId]| ids.iter().map(|i| i.name()).collect::<Vec<_>>().join(", ");
        if !column.findings_gained.is_empty() {
            let _ = writeln!(out, "  found now, not before: {}", names(&column.findings_gained));
        }
        if !column.findings_lost.is_empty() {
            let _ = writeln!(out, "  found before, not now: {}", names(&column.findings_lost));
        }
    }
    for w in &c.workloads {
        let rows: Vec<_> =
            w.rows.iter().filter(|r| style.detail == Detail::Evidence || r.new.iter().any(telling)).collect();
        let left_out = w.rows.len() - rows.len();
        let mut table = vec![vec![w.name.clone(), "base".to_owned()]];
        table[0].extend(c.new.iter().flat_map(|n| [n.name.clone(), String::new(), String::new()]));
        for r in &rows {
            let mut line = vec![format!("  {}", r.figure), words(r.base, r.unit)];
            line.extend(r.new.iter().flat_map(|cell| {
                let change = cell.change_percent.map_or_else(String::new, |p| format!("{p:+.1} %"));
                [words(cell.value, r.unit), change, judgement(cell).to_owned()]
            }));
            table.push(line);
        }
        out.push('\n');
        aligned(&mut out, &table, *style);
        for (reason, figures) in reasons(&rows) {
            let _ = writeln!(out, "  not judged: {}: {reason}", figures.join(", "));
        }
        if left_out > 0 {
            let _ = writeln!(out, "  {left_out} more figures differ by no more than chance");
        }
    }
    let percent = c.tolerance * 100.0;
    let _ = writeln!(
        out,
        "\nworse, better: real (99 %) and by more than {percent} %; slight: real, within that; chance: no more than chance"
    );
    out
}

/// Why figures could not be judged: each reason once, with the figures that it concerns.
fn reasons<'a>(rows: &[&'a Row]) -> Vec<(&'a str, Vec<&'a str>)> {
    let mut all: Vec<(&str, Vec<&str>)> = Vec::new();
    for row in rows {
        for reason in row.new.iter().filter_map(|cell| cell.reason.as_deref()) {
            let known = all.iter_mut().find(|(known, _)| *known == reason);
            match known {
                Some((_, figures)) if figures.last() == Some(&row.figure.as_str()) => {}
                Some((_, figures)) => figures.push(&row.figure),
                None => all.push((reason, vec![&row.figure])),
            }
        }
    }
    all
}

const fn telling(cell: &Cell) -> bool {
    !matches!(cell.judgement, Judgement::Chance)
}

fn words(value: Option<f64>, unit: crate::report::Unit) -> String {
    value.map_or_else(|| "-".into(), |v| human_figure(v, unit))
}

const fn judgement(cell: &Cell) -> &'static str {
    match cell.judgement {
        Judgement::Worse => "worse",
        Judgement::Better => "better",
        Judgement::Slight => "slight",
        Judgement::Chance => "chance",
        Judgement::Unknown => "not judged",
    }
}

/// Columns in line: names and judgements to the left, figures to the right.
fn aligned(out: &mut String, table: &[Vec<String>], style: Style) {
    let columns = table.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|i| table.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0))
        .collect();
    for row in table {
        let mut line = String::new();
        for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let left = i == 0 || (i > 1 && (i - 2) % 3 == 2);
            if i > 0 {
                line.push_str("  ");
            }
            let padded = if left { format!("{cell:<width$}") } else { format!("{cell:>width$}") };
            line.push_str(&match cell.as_str() {
                "worse" => paint(style, "1;31", &padded),
                "better" => paint(style, "1;32", &padded),
                "not judged" => paint(style, "2", &padded),
                _ => padded,
            });
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

fn paint(style: Style, code: &str, text: &str) -> String {
    match style.colour {
        Colour::Ansi => format!("\x1b[{code}m{text}\x1b[0m"),
        Colour::Plain => text.to_owned(),
    }
}
