//! The figures of one workload side by side, each with its own test.

use std::collections::BTreeSet;

use super::comparable::host_limited;
use super::{Cell, Judgement, Options, Row};
use crate::event::{AnomalyClass, AnomalyId, Failure};
use crate::report::{LatencyFigures, Report, SeriesRow, Unit, Workload};
use crate::stats::significance::{
    p_of_counts, p_of_z, quantile_interval, rank_sum_of_histograms, rank_sum_of_samples,
};

/// Chance that a difference taken for real is none.
const LEVEL: f64 = 0.01;
/// The same for an interval, in standard errors.
const LEVEL_Z: f64 = 2.576;
/// Fewest intervals of a series that a rate is judged by.
const FEWEST_INTERVALS: usize = 8;

/// Which way a figure is better.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Better {
    Smaller,
    Bigger,
}

/// What the test of a difference came to.
enum Test {
    Real,
    Chance,
    Unknown(String),
}

impl Test {
    fn of_p(p: f64) -> Self {
        if p < LEVEL { Self::Real } else { Self::Chance }
    }
}

/// Every figure of `w` that either side measured.
pub(super) fn rows(base: &Report, w: &Workload, new: &[&Report], options: &Options) -> Vec<Row> {
    let table = Table { base, w, new, options };
    let mut rows = Vec::new();
    for phase in w.latency.keys() {
        for (name, q) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
            let figure = format!("latency.{}.{name}", phase.name());
            rows.push(table.timing(
                figure,
                Unit::Us,
                Better::Smaller,
                |w| {
                    let l = w.latency.get(phase)?;
                    l.quantile_us(q)
                },
                |a, b| match (a.latency.get(phase), b.latency.get(phase)) {
                    (Some(a), Some(b)) => quantiles(a, b, q),
                    _ => Test::Unknown("not measured".into()),
                },
            ));
        }
        let figure = format!("latency.{}.mean", phase.name());
        rows.push(table.timing(
            figure,
            Unit::Us,
            Better::Smaller,
            |w| w.latency.get(phase)?.mean_us,
            |a, b| match (a.latency.get(phase), b.latency.get(phase)) {
                (Some(a), Some(b)) => means(a, b),
                _ => Test::Unknown("not measured".into()),
            },
        ));
    }
    rows.push(table.timing(
        "rate".into(),
        Unit::PerS,
        Better::Bigger,
        |w| w.attempts_per_s,
        |a, b| rates(a, b, |row| row.attempts),
    ));
    if w.bytes.goodput > 0 {
        rows.push(table.timing(
            "goodput".into(),
            Unit::BytesPerS,
            Better::Bigger,
            |w| w.goodput_bytes_per_s,
            |a, b| rates(a, b, |row| row.bytes),
        ));
    }
    rows.push(table.row(
        "success_rate".into(),
        Unit::Ratio,
        Better::Bigger,
        |_, w| w.success_rate,
        |a, b| Test::of_p(p_of_counts(a.1.succeeded, tried(a.1), b.1.succeeded, tried(b.1))),
    ));
    let names = new.iter().filter_map(|r| r.workload(&w.name)).chain([w]).flat_map(|w| w.failures.iter());
    let names: BTreeSet<Failure> = names.map(|(f, _)| f).filter(|f| !f.is_host()).collect();
    for f in names {
        let share = |_: &Report, w: &Workload| share(w.failures.get(f), tried(w));
        rows.push(table.row(
            format!("failures.{}", f.name()),
            Unit::Ratio,
            Better::Smaller,
            share,
            |a, b| Test::of_p(p_of_counts(a.1.failures.get(f), tried(a.1), b.1.failures.get(f), tried(b.1))),
        ));
    }
    rows.extend(anomalies(&table));
    rows
}

fn anomalies(table: &Table<'_>) -> Vec<Row> {
    let name = table.w.name.clone();
    let counted = |r: &Report| -> Vec<(AnomalyId, u64)> {
        let rows = r.anomalies.iter().filter(|a| a.class == AnomalyClass::Device);
        let rows = rows.filter(|a| a.workload.as_deref() == Some(name.as_str()));
        rows.map(|a| (a.id, a.connections)).collect()
    };
    let all = table.new.iter().copied().chain([table.base]).flat_map(&counted);
    let ids: BTreeSet<AnomalyId> = all.map(|(id, _)| id).collect();
    let of = |r: &Report, id: AnomalyId| counted(r).iter().filter(|a| a.0 == id).map(|a| a.1).sum::<u64>();
    ids.into_iter()
        .map(|id| {
            let value = |r: &Report, w: &Workload| {
                let n = of(r, id);
                (n > 0 || r.capture.is_complete()).then(|| share(n, w.attempts.max(n))).flatten()
            };
            table.row(format!("anomalies.{}", id.name()), Unit::Ratio, Better::Smaller, value, |a, b| {
                if !(a.0.capture.is_complete() && b.0.capture.is_complete()) {
                    return Test::Unknown("the packets of one side were not all looked at".into());
                }
                let (k1, k2) = (of(a.0, id), of(b.0, id));
                Test::of_p(p_of_counts(k1, a.1.attempts.max(k1), k2, b.1.attempts.max(k2)))
            })
        })
        .collect()
}

/// Attempts that the host itself did not prevent.
fn tried(w: &Workload) -> u64 {
    w.attempts.saturating_sub(w.failures.of_host())
}

fn share(n: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| n as f64 / of as f64)
}

/// The sides of a comparison, for one workload.
struct Table<'a> {
    base: &'a Report,
    w: &'a Workload,
    new: &'a [&'a Report],
    options: &'a Options,
}

impl Table<'_> {
    /// A row of a figure that the host can spoil: not judged where one side was limited by its host.
    fn timing(
        &self,
        figure: String,
        unit: Unit,
        better: Better,
        value: impl Fn(&Workload) -> Option<f64>,
        test: impl Fn(&Workload, &Workload) -> Test,
    ) -> Row {
        self.row(
            figure,
            unit,
            better,
            |_, w| value(w),
            |a, b| {
                if host_limited(a.0) || host_limited(b.0) {
                    return Test::Unknown("one side was limited by its host".into());
                }
                test(a.1, b.1)
            },
        )
    }

    fn row(
        &self,
        figure: String,
        unit: Unit,
        better: Better,
        value: impl Fn(&Report, &Workload) -> Option<f64>,
        test: impl Fn((&Report, &Workload), (&Report, &Workload)) -> Test,
    ) -> Row {
        let base = value(self.base, self.w);
        let cells = self.new.iter().map(|r| {
            let Some(w) = r.workload(&self.w.name) else {
                return unknown(None, "the report has no such workload".into());
            };
            match (base, value(r, w)) {
                (Some(b), Some(n)) => self.cell(b, n, better, test((self.base, self.w), (r, w))),
                (_, n) => unknown(n, "not measured on both sides".into()),
            }
        });
        Row { figure, unit, base, new: cells.collect() }
    }

    fn cell(&self, base: f64, new: f64, better: Better, test: Test) -> Cell {
        let change = (new - base) / base;
        let change_percent = change.is_finite().then_some(change * 100.0);
        let judgement = match test {
            Test::Unknown(reason) => return Cell { change_percent, ..unknown(Some(new), reason) },
            Test::Chance => Judgement::Chance,
            // From nothing to something has no percentage and is beyond any tolerance.
            Test::Real if change.is_finite() && change.abs() <= self.options.tolerance => Judgement::Slight,
            Test::Real if new == base => Judgement::Chance,
            Test::Real if (new < base) == (better == Better::Smaller) => Judgement::Better,
            Test::Real => Judgement::Worse,
        };
        Cell { value: Some(new), change_percent, judgement, reason: None }
    }
}

const fn unknown(value: Option<f64>, reason: String) -> Cell {
    Cell { value, change_percent: None, judgement: Judgement::Unknown, reason: Some(reason) }
}

/// A quantile differs for real when the intervals in which it lies do not meet.
fn quantiles(a: &LatencyFigures, b: &LatencyFigures, q: f64) -> Test {
    let interval = |l: &LatencyFigures| quantile_interval(&l.histogram()?, q, LEVEL_Z);
    match (interval(a), interval(b)) {
        (Some(a), Some(b)) if a.1 < b.0 || b.1 < a.0 => Test::Real,
        (Some(_), Some(_)) => Test::Chance,
        _ => Test::Unknown("too few samples".into()),
    }
}

/// A mean differs for real when one side's latencies tend to be greater, and in the mean's direction.
fn means(a: &LatencyFigures, b: &LatencyFigures) -> Test {
    let (Some(ha), Some(hb)) = (a.histogram(), b.histogram()) else {
        return Test::Unknown("not measured".into());
    };
    if ha.len().min(hb.len()) < 30 {
        return Test::Unknown("too few samples".into());
    }
    let Some(z) = rank_sum_of_histograms(&ha, &hb) else { return Test::Chance };
    let same_way = (hb.mean() > ha.mean()) == (z > 0.0);
    if same_way { Test::of_p(p_of_z(z)) } else { Test::Chance }
}

/// A rate differs for real when its intervals' rates do. In an open loop the rate was set, not measured.
fn rates(a: &Workload, b: &Workload, of: fn(&SeriesRow) -> u64) -> Test {
    let open = |w: &Workload| w.latency.values().any(|l| l.uncorrected.is_some());
    if open(a) || open(b) {
        return Test::Chance;
    }
    let samples = |w: &Workload| -> Vec<f64> {
        // The last, shorter row is none of the equal ones.
        let full = w.series.iter().map(|r| r.length_s).fold(0.0, f64::max) * 0.9;
        w.series
            .iter()
            .filter(|r| r.length_s >= full && full > 0.0)
            .map(|r| of(r) as f64 / r.length_s)
            .collect()
    };
    let (a, b) = (samples(a), samples(b));
    if a.len().min(b.len()) < FEWEST_INTERVALS {
        return Test::Unknown(format!("too short: a rate takes {FEWEST_INTERVALS} intervals on both sides"));
    }
    rank_sum_of_samples(&a, &b).map_or(Test::Chance, |z| Test::of_p(p_of_z(z)))
}
