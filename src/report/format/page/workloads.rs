//! What each workload measured.

use std::fmt::Write as _;

use super::markup::{Cell, facts, figure, heading, paragraph, table};
use super::{outages, silenced};
use crate::drawing::{both, percentiles};
use crate::format::escape;
use crate::human::{count, rate, things, time_s, time_us};
use crate::{LatencyFigures, Workload, text};

pub(super) fn section(out: &mut String, w: &Workload) {
    let kind = if w.kind == w.name { String::new() } else { format!(" ({})", w.kind) };
    heading(out, &format!("{}{kind}", w.name));
    let mut head = vec![format!("{} in {}", things(w.attempts, "attempt"), time_s(w.duration_s))];
    head.extend(w.attempts_per_s.map(rate));
    head.extend(w.success_in_words());
    paragraph(out, "", &format!("{}.", head.join(", ")));
    latency(out, w);
    facts(out, &text::measured(w));
    outages::drawing(out, w);
    outages::rows(out, w);
    silenced::drawing(out, w);
    outages::faults(out, w);
}

/// Every phase that was measured, the main one first, each with its uncorrected twin.
fn phases(w: &Workload) -> Vec<(String, &LatencyFigures)> {
    let main = w.main_latency().map(|(phase, _)| phase);
    let mut all: Vec<_> = w.latency.iter().filter(|(_, l)| l.count > 0).collect();
    all.sort_by_key(|(phase, _)| Some(**phase) != main);
    let mut rows = Vec::new();
    for (phase, l) in all {
        let twin = l.uncorrected.as_deref();
        let name =
            if twin.is_some() { format!("{} corrected", phase.name()) } else { phase.name().to_owned() };
        rows.push((name, l));
        rows.extend(twin.map(|u| (format!("{} uncorrected", phase.name()), u)));
    }
    rows
}

fn latency(out: &mut String, w: &Workload) {
    let rows = phases(w);
    if rows.is_empty() {
        return;
    }
    let t = |us: Option<f64>| us.map_or_else(|| "-".to_owned(), time_us);
    let cells = rows.iter().map(|(name, l)| {
        let mut cells = vec![Cell::text(name), Cell::number(count(l.count))];
        let figures = [l.min_us, l.mean_us, l.p50_us, l.p90_us, l.p99_us, l.p999_us, l.max_us];
        cells.extend(figures.map(|us| Cell::number(t(us))));
        cells
    });
    table(out, &["latency", "count", "min", "mean", "p50", "p90", "p99", "p99.9", "max"], cells);
    let title = format!("{} latency by percentile", w.name);
    let svg = both(|width| percentiles(&title, &rows, width).unwrap_or_default());
    if !svg.is_empty() {
        figure(out, "", &svg);
    }
    if rows.iter().any(|(name, _)| name.ends_with(" uncorrected")) {
        let _ = writeln!(
            out,
            "<p class=\"quiet\">{}</p>",
            escape(
                "Corrected latency counts from the intended start of an attempt, uncorrected latency from the actual one."
            )
        );
    }
}
