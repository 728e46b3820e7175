//! Series in line by wall clock.

use espstress_report::{Failures, SeriesRow};

/// Rows at most.
const MOST: usize = 1_800;

/// Puts the rows of several series on one line of time. Each series comes with when its run started, seconds after the
/// first one. Every attempt of every row is in exactly one row of the result: the one in which the row's middle lies.
pub(crate) fn aligned(series: &[(f64, &[SeriesRow])]) -> Vec<SeriesRow> {
    let rows = || series.iter().flat_map(|(at, rows)| rows.iter().map(move |row| (at + row.start_s, row)));
    let end = rows().map(|(start, row)| start + row.length_s).fold(0.0, f64::max);
    // As coarse as the coarsest, in powers of two of a second, and no coarser than the limit asks for.
    let coarsest = rows().map(|(_, row)| row.length_s).fold(0.0, f64::max);
    let mut width = 1.0;
    while width * 1.5 < coarsest || end / width >= MOST as f64 {
        width *= 2.0;
    }
    let mut joined: Vec<Option<SeriesRow>> = Vec::new();
    for (start, row) in rows() {
        let middle = start + row.length_s / 2.0;
        // Saturates, and a time that is no number is the first row.
        let at = ((middle / width) as usize).min(MOST - 1);
        if joined.len() <= at {
            joined.resize(at + 1, None);
        }
        let into = joined[at].get_or_insert_with(|| empty(at as f64 * width, width));
        absorb(into, row);
    }
    joined.into_iter().flatten().collect()
}

fn empty(start_s: f64, length_s: f64) -> SeriesRow {
    SeriesRow {
        start_s,
        length_s,
        attempts: 0,
        succeeded: 0,
        failures: Failures::default(),
        bytes: 0,
        latency_mean_us: None,
        latency_max_us: None,
    }
}

fn absorb(into: &mut SeriesRow, row: &SeriesRow) {
    into.latency_mean_us = match (into.latency_mean_us, row.latency_mean_us) {
        (Some(a), Some(b)) => {
            let (n, m) = (into.succeeded.max(1) as f64, row.succeeded.max(1) as f64);
            Some((a * n + b * m) / (n + m))
        }
        (a, b) => a.or(b),
    };
    into.latency_max_us = match (into.latency_max_us, row.latency_max_us) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    };
    into.attempts = into.attempts.saturating_add(row.attempts);
    into.succeeded = into.succeeded.saturating_add(row.succeeded);
    into.bytes = into.bytes.saturating_add(row.bytes);
    into.failures.add(&row.failures);
}
