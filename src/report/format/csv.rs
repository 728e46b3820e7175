//! CSV (RFC 4180) of what happened when: a row for each interval of each workload, and one for each telemetry reading. All rows
//! have the same columns; a cell is empty where its row has no such figure.

use std::fmt::{Display, Write as _};
use std::time::{Duration, SystemTime};

use crate::{Reading, Report, SeriesRow, TelemetryRow};
use espstress_event::Failure;

/// What a row is about, and when.
const HEAD: [&str; 9] =
    ["source", "name", "time", "start_s", "length_s", "attempts", "succeeded", "failed", "bytes"];
const LATENCY: [&str; 2] = ["latency_mean_us", "latency_max_us"];

pub(super) fn render(report: &Report) -> String {
    let started = humantime::parse_rfc3339(&report.started_at).ok();
    let mut rows: Vec<(f64, Vec<String>)> = Vec::new();
    for w in &report.workloads {
        rows.extend(w.series.iter().map(|row| (row.start_s, interval(&w.name, row, started))));
    }
    let readings = report.telemetry.iter().flat_map(|t| &t.series);
    rows.extend(readings.map(|row| (row.at_s, reading(row, started))));
    // Stable: what happened at the same time stays in the order of the scenario.
    rows.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let failures = Failure::ALL.iter().map(|failure| failure.name());
    let readings = Reading::ALL.iter().map(|reading| reading.field());
    let header = HEAD.into_iter().chain(LATENCY).chain(failures).chain(readings).map(str::to_owned);
    let mut out = String::new();
    line(&mut out, header);
    for (_, row) in rows {
        line(&mut out, row);
    }
    out
}

fn interval(name: &str, row: &SeriesRow, started: Option<SystemTime>) -> Vec<String> {
    let mut cells = vec!["workload".to_owned(), name.to_owned(), time(started, row.start_s)];
    cells.extend([number(row.start_s), number(row.length_s)]);
    let failed = row.attempts.saturating_sub(row.succeeded);
    cells.extend([row.attempts, row.succeeded, failed, row.bytes].map(|n| n.to_string()));
    cells.extend([row.latency_mean_us, row.latency_max_us].map(|us| us.map_or_else(String::new, number)));
    cells.extend(Failure::ALL.iter().map(|failure| row.failures.get(*failure).to_string()));
    cells.extend(Reading::ALL.iter().map(|_| String::new()));
    cells
}

fn reading(row: &TelemetryRow, started: Option<SystemTime>) -> Vec<String> {
    let mut cells = vec!["telemetry".to_owned(), String::new(), time(started, row.at_s), number(row.at_s)];
    cells.resize(HEAD.len() + LATENCY.len() + Failure::ALL.len(), String::new());
    cells.extend(
        Reading::ALL.iter().map(|one| row.readings.get(one).map_or_else(String::new, |v| number(*v))),
    );
    cells
}

fn number(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { String::new() }
}

/// When by the calendar; empty where the start is not known.
fn time(started: Option<SystemTime>, s: f64) -> String {
    let after = Duration::try_from_secs_f64(s).ok();
    let at = started.zip(after).and_then(|(started, after)| started.checked_add(after));
    // Years beyond 9999 have no such form.
    let latest = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    at.filter(|at| *at <= latest)
        .map_or_else(String::new, |at| humantime::format_rfc3339_millis(at).to_string())
}

fn line(out: &mut String, cells: impl IntoIterator<Item = impl Display + AsRef<str>>) {
    for (i, cell) in cells.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        let text = cell.as_ref();
        if text.contains(['"', ',', '\n', '\r']) {
            let _ = write!(out, "\"{}\"", text.replace('"', "\"\""));
        } else {
            out.push_str(text);
        }
    }
    out.push('\n');
}
