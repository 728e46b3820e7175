//! The whole run on one axis of time: what ran, what happened, and how load, failures, latency and the device went.

use std::collections::BTreeMap;

use super::markup::{figure, heading};
use super::tracks::{self, ink, lanes};
use crate::drawing::{Cell, Ink, Kind, Panel, Quantity, Scale, Series, TimeChart, both};
use crate::human::{count, time_s};
use crate::{Reading, Report, SeriesRow, TelemetrySummary, Workload};
use espstress_event::Failure;

/// Bars of failures at most.
const BARS: f64 = 100.0;
/// Kinds of failures that have a colour of their own.
const KINDS: usize = 7;

pub(super) fn section(out: &mut String, r: &Report) {
    let mut chart = chart(r);
    if chart.tracks.is_empty() && chart.panels.is_empty() {
        return;
    }
    heading(out, "The run over time");
    let mut caption = String::new();
    // Of a short load and a long watch, the load is what there is to see.
    let last = chart.last_s() * 1.04;
    if last > 0.0 && last < 0.8 * chart.to_s {
        caption = format!("The axis ends where nothing more happened; the run took {}.", time_s(chart.to_s));
        chart.to_s = last;
    }
    figure(out, &caption, &both(|width| chart.draw(width)));
}

fn chart(r: &Report) -> TimeChart {
    let workloads_end = r.workloads.iter().map(|w| w.start_s + w.duration_s).fold(0.0, f64::max);
    let mut panels = Vec::new();
    panels.extend(load(&r.workloads));
    panels.extend(failures(&r.workloads, r.duration_s));
    panels.extend(latency(&r.workloads));
    panels.extend(r.telemetry.iter().flat_map(telemetry));
    TimeChart {
        title: "the run over time".to_owned(),
        from_s: 0.0,
        to_s: r.duration_s.max(workloads_end).max(1e-3),
        tracks: tracks::of(r),
        panels,
    }
}

fn cell(row: &SeriesRow, low: f64, high: f64) -> Cell {
    Cell { from_s: row.start_s, to_s: row.start_s + row.length_s, low, high }
}

/// Rows whose rate means something: the short one at the end belongs to the one before it.
fn rated(rows: &[SeriesRow]) -> Vec<Option<Cell>> {
    let mut sums: Vec<(f64, f64, u64)> = Vec::new();
    for row in rows.iter().filter(|row| row.length_s > 0.0) {
        let end = row.start_s + row.length_s;
        match sums.last_mut() {
            Some((from, to, attempts)) if row.length_s < (*to - *from) / 4.0 && row.start_s - *to < 1e-3 => {
                (*to, *attempts) = (end, *attempts + row.attempts);
            }
            _ => sums.push((row.start_s, end, row.attempts)),
        }
    }
    let cell = |(from_s, to_s, attempts): (f64, f64, u64)| {
        let rate = attempts as f64 / (to_s - from_s);
        Some(Cell { from_s, to_s, low: rate, high: rate })
    };
    sums.into_iter().map(cell).collect()
}

fn load(workloads: &[Workload]) -> Option<Panel> {
    let series: Vec<Series> = workloads
        .iter()
        .enumerate()
        .filter(|(_, w)| w.series.iter().any(|row| row.attempts > 0))
        .map(|(n, w)| Series { name: w.name.clone(), ink: ink(n), kind: Kind::Line, cells: rated(&w.series) })
        .collect();
    panel("load, attempts per second", 84.0, series, |_, most| {
        Scale::linear(0.0, most, Quantity::PerSecond, 3)
    })
}

fn panel(title: &str, height: f64, series: Vec<Series>, scale: impl Fn(f64, f64) -> Scale) -> Option<Panel> {
    let cells = || series.iter().flat_map(|s| &s.cells).flatten();
    let least = cells().map(|cell| cell.low).reduce(f64::min)?;
    let most = cells().map(|cell| cell.high).reduce(f64::max)?;
    Some(Panel { title: title.to_owned(), scale: scale(least, most), height, series })
}

/// Failures by kind, in bars of the same length of time, one kind on the other.
fn failures(workloads: &[Workload], duration_s: f64) -> Option<Panel> {
    let mut sums: BTreeMap<Failure, u64> = BTreeMap::new();
    let rows = || workloads.iter().flat_map(|w| &w.series);
    rows().flat_map(|row| row.failures.iter()).for_each(|(f, n)| *sums.entry(f).or_default() += n);
    if sums.is_empty() {
        return None;
    }
    // The commonest have colours of their own; the others share one.
    let mut kinds: Vec<(Failure, u64)> = sums.into_iter().collect();
    kinds.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let others: Vec<(Failure, u64)> = kinds.split_off(kinds.len().min(KINDS));
    let longest_row = rows().map(|row| row.length_s).fold(0.0, f64::max);
    let bar_s = (duration_s / BARS).max(longest_row.min(duration_s / 4.0)).max(1.0).ceil();
    let mut bars: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for row in rows() {
        let bar = ((row.start_s + row.length_s / 2.0).max(0.0) / bar_s) as u64;
        for (failure, n) in row.failures.iter() {
            let place = kinds.iter().position(|(kind, _)| *kind == failure).unwrap_or(kinds.len());
            let heights = bars.entry(bar).or_insert_with(|| vec![0; kinds.len() + 1]);
            if let Some(height) = heights.get_mut(place) {
                *height += n;
            }
        }
    }
    let mut series: Vec<Series> = kinds
        .iter()
        .enumerate()
        .map(|(n, (kind, sum))| bars_of(format!("{} {}", kind.name(), count(*sum)), ink(n)))
        .collect();
    let sum: u64 = others.iter().map(|(_, n)| n).sum();
    series.push(bars_of(if sum > 0 { format!("others {}", count(sum)) } else { String::new() }, Ink::Label));
    for (bar, heights) in &bars {
        let (from_s, mut low) = (*bar as f64 * bar_s, 0.0);
        for (one, height) in series.iter_mut().zip(heights) {
            let high = low + *height as f64;
            one.cells.push((*height > 0).then_some(Cell { from_s, to_s: from_s + bar_s * 0.92, low, high }));
            low = high;
        }
    }
    panel(&format!("failed attempts per {}", whole_time(bar_s)), 70.0, series, |_, most| {
        Scale::linear(0.0, most, Quantity::Count, 3)
    })
}

/// A number of whole seconds, without figures after the point.
fn whole_time(s: f64) -> String {
    if s < 300.0 { format!("{s:.0} s") } else { time_s(s) }
}

fn bars_of(name: String, ink: Ink) -> Series {
    Series { name, ink, kind: Kind::Bars, cells: Vec::new() }
}

/// Latency as bands, a plot for each lane of workloads: p50 to p90, p90 to p99, and the longest.
fn latency(workloads: &[Workload]) -> Vec<Panel> {
    let all: Vec<(usize, &Workload)> = workloads
        .iter()
        .enumerate()
        .filter(|(_, w)| w.series.iter().any(|row| row.latency_max_us.is_some()))
        .collect();
    let lanes = lanes(&all);
    let many = lanes.len() > 1;
    lanes.into_iter().filter_map(|lane| bands(&lane, many)).collect()
}

fn bands(lane: &[(usize, &Workload)], named: bool) -> Option<Panel> {
    let mut series = Vec::new();
    for (i, (n, w)) in lane.iter().enumerate() {
        let between = |low: fn(&SeriesRow) -> Option<f64>, high: fn(&SeriesRow) -> Option<f64>| {
            w.series.iter().map(|row| Some(cell(row, low(row)?, high(row)?))).collect::<Vec<_>>()
        };
        let mut add = |name: &str, kind, cells: Vec<Option<Cell>>| {
            let name = if i == 0 { name.to_owned() } else { String::new() };
            if cells.iter().any(Option::is_some) {
                series.push(Series { name, ink: ink(*n), kind, cells });
            }
        };
        add("p90 to p99", Kind::Band(0.25), between(|r| r.latency_p90_us, |r| r.latency_p99_us));
        add("p50 to p90", Kind::Band(0.55), between(|r| r.latency_p50_us, |r| r.latency_p90_us));
        if w.series.iter().all(|row| row.latency_p50_us.is_none()) {
            add("mean", Kind::Line, between(|r| r.latency_mean_us, |r| r.latency_mean_us));
        }
        add("longest", Kind::Thin, between(|r| r.latency_max_us, |r| r.latency_max_us));
    }
    let mut phases: Vec<&str> = lane.iter().filter_map(|(_, w)| w.main_phase.map(|p| p.name())).collect();
    let mut seen = std::collections::BTreeSet::new();
    phases.retain(|phase| seen.insert(*phase));
    let whose = if named {
        lane.iter().map(|(_, w)| w.name.as_str()).collect::<Vec<_>>().join(", ")
    } else {
        String::new()
    };
    let title = format!("latency ({}) {whose}", phases.join(", "));
    panel(title.trim_end(), 112.0, series, Scale::decades)
}

/// What the device said of itself.
fn telemetry(t: &TelemetrySummary) -> Vec<Panel> {
    use Reading as R;
    let groups: [(&str, &[Reading], Quantity); 4] = [
        ("heap", &[R::HeapFreeBytes, R::HeapLargestBlockBytes, R::HeapMinFreeBytes], Quantity::Bytes),
        ("memory of the program", &[R::ProgramMemoryBytes], Quantity::Bytes),
        (
            "sockets and connections",
            &[R::SocketsUsed, R::TcpEstablished, R::TcpTimeWait, R::TcpCloseWait, R::TcpFinWait],
            Quantity::Count,
        ),
        ("signal", &[R::WifiRssiDbm], Quantity::Dbm),
    ];
    groups.into_iter().filter_map(|(title, readings, quantity)| gauge(t, title, readings, quantity)).collect()
}

fn gauge(t: &TelemetrySummary, title: &str, readings: &[Reading], quantity: Quantity) -> Option<Panel> {
    let mut series = Vec::new();
    for (n, reading) in readings.iter().enumerate() {
        // What stayed at zero has nothing to show.
        if t.summary.get(reading).is_none_or(|s| s.min == 0.0 && s.max == 0.0) {
            continue;
        }
        let at = |row: &crate::TelemetryRow, until: f64| {
            let value = *row.readings.get(reading)?;
            Some(Cell { from_s: row.at_s, to_s: until, low: value, high: value })
        };
        let next = t.series.iter().skip(1).map(|row| row.at_s).chain(t.series.last().map(|row| row.at_s));
        let cells = t.series.iter().zip(next).map(|(row, until)| at(row, until)).collect();
        series.push(Series { name: reading.short().to_owned(), ink: ink(n), kind: Kind::Line, cells });
    }
    if quantity == Quantity::Count && series.is_empty() {
        return None;
    }
    if let (Some(limit), true, Some(first), Some(last)) =
        (t.sockets_limit, readings.contains(&Reading::SocketsUsed), t.series.first(), t.series.last())
    {
        let cell = Cell { from_s: first.at_s, to_s: last.at_s, low: limit as f64, high: limit as f64 };
        series.push(Series {
            name: format!("{limit} sockets in all"),
            ink: Ink::Limit,
            kind: Kind::Thin,
            cells: vec![Some(cell)],
        });
    }
    panel(title, 70.0, series, |least, most| Scale::linear(least, most, quantity, 3))
}
