//! Charts as inline SVG: distributions on a logarithmic axis, series over time. Colours are CSS variables of
//! the page that holds them, so that both of its themes fit.

use std::fmt::Write as _;

use super::escape;
use crate::distribution::Axis;
use crate::human::{digits, time_s, time_us};
use crate::{LatencyFigures, SeriesRow};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 26.0;
const CELLS: usize = 120;

const fn inner() -> (f64, f64) {
    (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM)
}

fn open(title: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{t}\"><title>{t}</title>\n",
        t = escape(title)
    )
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let _ =
        writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escape(words));
}

fn rule(out: &mut String, x1: f64, y1: f64, x2: f64, y2: f64) {
    let _ =
        writeln!(out, "<line class=\"rule\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>");
}

/// The distributions of several latencies on one axis; height goes with the square root of the share.
pub(super) fn distributions(title: &str, rows: &[(String, &LatencyFigures)]) -> Option<String> {
    let axis = Axis::over(rows.iter().map(|(_, l)| *l))?;
    let (w, h) = inner();
    let mut out = open(title);
    for exponent in axis.low..=axis.high {
        let x = LEFT + axis.place(10_f64.powi(exponent)) * w;
        rule(&mut out, x, TOP, x, TOP + h);
        text(&mut out, x, HEIGHT - 8.0, "middle", &time_us(10_f64.powi(exponent) / 1e3));
    }
    for (i, (name, l)) in rows.iter().enumerate() {
        let Some(histogram) = l.histogram() else { continue };
        let counts = axis.cut(&histogram, CELLS);
        let most = counts.iter().copied().max().unwrap_or(1).max(1) as f64;
        let mut points = String::new();
        for (cell, n) in counts.iter().enumerate() {
            let x = LEFT + (cell as f64 + 0.5) / CELLS as f64 * w;
            let y = TOP + h - (*n as f64 / most).sqrt() * h;
            let _ = write!(points, "{x:.1},{y:.1} ");
        }
        let colour = i % 5;
        let _ = writeln!(out, "<polyline class=\"line c{colour}\" points=\"{}\"/>", points.trim_end());
        let y = TOP + 12.0 + 15.0 * i as f64;
        let _ = writeln!(
            out,
            "<text class=\"t{colour}\" x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT - 4.0,
            escape(name)
        );
    }
    out.push_str("</svg>\n");
    Some(out)
}

/// One figure of a series over time; rows without it leave a gap.
pub(super) fn series(
    title: &str,
    rows: &[SeriesRow],
    value: fn(&SeriesRow) -> Option<f64>,
    words: fn(f64) -> String,
) -> Option<String> {
    let from = rows.first()?.start_s;
    let to = rows.last().map(|r| r.start_s + r.length_s).filter(|to| *to > from)?;
    if rows.len() < 2 {
        return None;
    }
    let most = rows.iter().filter_map(value).fold(0.0, f64::max);
    if most <= 0.0 {
        return None;
    }
    let (w, h) = inner();
    let mut out = open(title);
    for part in [0.0, 0.5, 1.0] {
        let y = TOP + h * (1.0 - part);
        rule(&mut out, LEFT, y, LEFT + w, y);
        text(&mut out, LEFT - 6.0, y + 4.0, "end", &words(most * part));
    }
    for part in [0.0, 0.5, 1.0] {
        let anchor = if part == 0.0 {
            "start"
        } else if part == 1.0 {
            "end"
        } else {
            "middle"
        };
        text(&mut out, LEFT + w * part, HEIGHT - 8.0, anchor, &time_s(from + (to - from) * part));
    }
    let mut points = String::new();
    let mut flush = |points: &mut String| {
        if !points.is_empty() {
            let _ = writeln!(out, "<polyline class=\"line c0\" points=\"{}\"/>", points.trim_end());
            points.clear();
        }
    };
    for row in rows {
        match value(row) {
            Some(v) => {
                let x = LEFT + (row.start_s + row.length_s / 2.0 - from) / (to - from) * w;
                let y = TOP + h - v / most * h;
                let _ = write!(points, "{x:.1},{y:.1} ");
            }
            None => flush(&mut points),
        }
    }
    flush(&mut points);
    out.push_str("</svg>\n");
    Some(out)
}

/// A rate in an axis' words.
pub(super) fn per_second(v: f64) -> String {
    format!("{}/s", digits(v))
}
