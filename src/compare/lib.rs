//! Two groups of reports side by side: what differs, and whether the difference is one.
//!
//! Each group holds repeats of one run, and the run is the unit of chance: two runs of one program differ by more than
//! chance inside a run explains, most of all on a busy machine. `permutation` has the test of latencies and rates,
//! `shares` that of failures, anomalies and status codes, `findings` that of findings. Both tests are corrected for the
//! number of figures by Holm's procedure, so that a comparison of two groups of the same thing calls anything changed
//! with probability 0.02 at most, half of it in each test.
//!
//! A latency has to change by more than the testing machine's own scheduling makes (`figures::WAKE_UP_US`, `TICK_US`): on a
//! short link some steps of an attempt take less time than a processor takes to wake, and change with its state. Of the median
//! of a closed loop, which is its throughput, that excuses a quarter at most (`LOOP_SHARE`).
//!
//! There are four words. *Worse* and *better* are differences that chance doesn't explain. *Same* is said only where a
//! difference of the tolerance's size would have been seen: the whole interval lies within it. All else is *can't tell*.
//! The verdict is worse when anything is; it waits for the key figures of each workload (its success rate and the median
//! of its main latency), and is "can't tell" when one of those is. Reports of different work are refused, not compared.

mod comparable;
mod figures;
mod findings;
mod page;
mod permutation;
mod shares;

use std::collections::BTreeSet;

use serde::Serialize;

use espstress_report::{GateExit, Report, Unit, human_figure, things};
use figures::{Data, FEWEST_ATTEMPTS, Figure, Groups};
use permutation::Critical;

pub use comparable::{Refused, differences};
pub use findings::FindingRow;
pub use page::page;

/// Probability that a comparison of two groups of the same thing calls something changed.
pub(crate) const LEVEL: f64 = 0.02;
/// A share that differs by less counts as the same: one attempt in a hundred.
pub(crate) const SHARE_TOLERANCE: f64 = 0.01;
/// Normal quantile of the chance with which the smallest visible difference is seen, 90 %.
const SEEN_Z: f64 = 1.282;

/// How reports are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Ratios within this much of 1 count as the same, as 0.1 for 10 %.
    pub tolerance: f64,
    /// Latencies and rates count as worse only beyond this, with confidence; it takes the tolerance's place.
    pub fail_on_regression: Option<f64>,
    /// Of the labellings that are drawn where there are too many to try all.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { tolerance: 0.1, fail_on_regression: None, seed: 1 }
    }
}

/// A report with the name it goes by, usually its file's.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// The name.
    pub name: &'a str,
    /// The report.
    pub report: &'a Report,
}

/// What is to be said of a difference, and of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// A difference for the worse that chance doesn't explain.
    Worse,
    /// A difference for the better that chance doesn't explain.
    Better,
    /// A difference of the tolerance's size would have been seen, and there is none.
    Same,
    /// None of these.
    CantTell,
}

impl Decision {
    /// What it contributes to the exit status: a regression breaks the gate that a comparison is.
    #[must_use]
    pub const fn exit(self) -> GateExit {
        match self {
            Self::Worse => GateExit::Broken,
            Self::Same | Self::Better => GateExit::Held,
            Self::CantTell => GateExit::Inconclusive,
        }
    }

    /// As people read it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::Better => "better",
            Self::Same => "same",
            Self::CantTell => "can't tell",
        }
    }
}

/// What the interval and the smallest visible difference of a row are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// New divided by base.
    Ratio,
    /// New less base.
    Difference,
}

/// One figure of both groups.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The figure, by its name in threshold expressions where it has one.
    pub figure: String,
    /// The unit of the values.
    pub(crate) unit: Unit,
    /// Whether the verdict waits for it.
    pub(crate) key: bool,
    /// The base's; null when it was not measured.
    pub(crate) base: Option<f64>,
    /// The new runs'; null when it was not measured.
    pub new: Option<f64>,
    /// New divided by base; null where there is nothing to divide.
    pub ratio: Option<f64>,
    /// What `low`, `high` and `smallest_visible` are of: a ratio for latencies and rates, a difference for shares.
    pub(crate) scale: Scale,
    /// Lower end of the interval; null where there are too few runs for one.
    pub low: Option<f64>,
    /// Upper end of the interval.
    pub high: Option<f64>,
    /// Probability of such a difference if there were none, adjusted for the number of figures.
    pub(crate) p: Option<f64>,
    /// The smallest change for the worse that would have been seen, nine times of ten: 0.1 is 10 % of the base's for a
    /// ratio, ten attempts in a hundred for a share. Null where no change would.
    pub smallest_visible: Option<f64>,
    /// What is to be said of it.
    pub decision: Decision,
    /// Why it can't be told; null when it can.
    pub reason: Option<String>,
}

/// One workload of both groups.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkloadRows {
    /// Its name.
    pub(crate) name: String,
    /// Its figures.
    pub rows: Vec<Row>,
}

/// By what the figures were tested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Method {
    /// Latencies and rates.
    pub(crate) timings: String,
    /// Failures, anomalies and status codes.
    pub(crate) shares: String,
}

/// Two groups of reports side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The base's reports, by name.
    pub(crate) base: Vec<String>,
    /// The new reports, by name.
    pub(crate) new: Vec<String>,
    /// All in all.
    pub decision: Decision,
    /// What that rests on, in a sentence.
    pub(crate) because: String,
    /// What else differs and may explain the rest: firmware, options, link, host.
    pub notes: Vec<String>,
    /// The findings that either group has.
    pub findings: Vec<FindingRow>,
    /// The figures.
    pub workloads: Vec<WorkloadRows>,
    /// Ratios within this much of 1 count as the same.
    pub(crate) tolerance: f64,
    /// Shares within this of each other count as the same.
    pub(crate) share_tolerance: f64,
    /// Latencies and rates are worse only beyond this; null where any change that is none by chance is.
    pub(crate) fail_on_regression: Option<f64>,
    /// Probability that two groups of the same thing are called changed.
    pub(crate) level: f64,
    /// By what it was tested.
    pub(crate) method: Method,
}

impl Comparison {
    /// As JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        espstress_report::pretty(self)
    }
}

fn reports<'a>(group: &[Named<'a>]) -> Vec<&'a Report> {
    group.iter().map(|n| n.report).collect()
}

/// Compares two groups of reports.
///
/// # Errors
/// When a group is empty or holds a run twice, or a report was made by other work than the first: what differs is named.
pub fn compare(base: &[Named<'_>], new: &[Named<'_>], options: &Options) -> Result<Comparison, Refused> {
    comparable::check(base, new)?;
    let (base_reports, new_reports) = (reports(base), reports(new));
    let groups = Groups { base: &base_reports, new: &new_reports };
    let names: Vec<String> = groups.base.iter().flat_map(|r| &r.workloads).map(|w| w.name.clone()).collect();
    let mut seen = BTreeSet::new();
    let figures: Vec<(String, Vec<Figure>)> = names
        .into_iter()
        .filter(|name| seen.insert(name.clone()))
        .map(|name| {
            let figures = figures::of_workload(groups, &name);
            (name, figures)
        })
        .collect();
    let (critical, workloads) = judge(groups, &figures, options);
    let findings = findings::rows(groups);
    let (decision, because) = verdict(groups, &workloads, &findings, options);
    let texts = |group: &[Named<'_>]| group.iter().map(|n| n.name.to_owned()).collect();
    Ok(Comparison {
        base: texts(base),
        new: texts(new),
        decision,
        because,
        notes: comparable::notes(groups),
        findings,
        workloads,
        tolerance: options.tolerance,
        share_tolerance: SHARE_TOLERANCE,
        fail_on_regression: options.fail_on_regression,
        level: LEVEL,
        method: method(critical),
    })
}

fn method(critical: Critical) -> Method {
    let timings = match critical {
        Critical::Permutations(n) => format!(
            "trimmed means of the logarithms of the runs' figures; {n} permutations of whole runs; \
             Holm's step-down by the greatest statistic (Westfall and Young)"
        ),
        Critical::Student => {
            "means of the logarithms of the runs' figures; Student's distribution, since there are too few runs to permute; \
             Holm's step-down"
                .into()
        }
    };
    let shares = "Fisher's exact test on counts reduced by how far the runs lie apart; Holm's step-down; Newcombe's interval";
    Method { timings, shares: shares.into() }
}

/// Tests all figures of all workloads together, and decides on each.
fn judge(
    groups: Groups<'_>,
    figures: &[(String, Vec<Figure>)],
    options: &Options,
) -> (Critical, Vec<WorkloadRows>) {
    let (bases, runs) = (groups.base.len(), groups.all().count());
    let (mut logs, mut counts) = (Vec::new(), Vec::new());
    for figure in figures.iter().flat_map(|(_, figures)| figures) {
        match &figure.data {
            Data::Timing { logs: of, .. } => logs.push(of.clone()),
            Data::Share { bad, .. } => counts.push(bad.clone()),
        }
    }
    let (critical, timings) = permutation::test(&logs, bases, runs, LEVEL / 2.0, options.seed);
    let shares = shares::test(&counts, LEVEL / 2.0);
    let (mut timings, mut shares) = (timings.into_iter(), shares.into_iter());
    let rows = figures.iter().map(|(name, figures)| {
        let rows = figures.iter().map(|figure| match &figure.data {
            Data::Timing { logs, more_is_better, of_host, of_host_at_most } => {
                let tested = timings.next().flatten();
                let base = tested.map_or(0.0, |t| t.shift.base.exp());
                // Where all of it counts the bound is infinite, and an infinite share of nothing is no number.
                let of_host = of_host.min(of_host_at_most * base.max(f64::MIN_POSITIVE));
                let row = timing(figure, *more_is_better, of_host, tested, options);
                let unscattered = tested.is_some_and(|t| t.critical.is_none());
                Row { reason: if unscattered { Some(too_few_runs(logs, bases)) } else { row.reason }, ..row }
            }
            Data::Share { shows_good, .. } => share(figure, *shows_good, shares.next().flatten()),
        });
        WorkloadRows { name: name.clone(), rows: rows.collect() }
    });
    (critical, rows.collect())
}

fn unmeasured(figure: &Figure, scale: Scale) -> Row {
    Row {
        figure: figure.name.clone(),
        unit: figure.unit,
        key: figure.key,
        base: None,
        new: None,
        ratio: None,
        scale,
        low: None,
        high: None,
        p: None,
        smallest_visible: None,
        decision: Decision::CantTell,
        reason: Some(figure.missing.unwrap_or("not measured on both sides").to_owned()),
    }
}

/// Why runs that measured a figure, the first `bases` of them the base's, don't show how far runs lie apart.
fn too_few_runs(logs: &[Option<f64>], bases: usize) -> String {
    let measured = |side: &[Option<f64>]| side.iter().flatten().count();
    let (base, new) = logs.split_at(bases);
    match (measured(base), measured(new)) {
        (1, 1) => "one run on each side doesn't show how far runs lie apart; repeat them".into(),
        (base, new) => format!(
            "{} and {} don't show how far runs lie apart; repeat them, at least 5 times on each side",
            things(base as u64, "base run"),
            things(new as u64, "new run")
        ),
    }
}

fn timing(
    figure: &Figure,
    more_is_better: bool,
    of_host: f64,
    tested: Option<permutation::Tested>,
    options: &Options,
) -> Row {
    let row = unmeasured(figure, Scale::Ratio);
    let Some(tested) = tested else { return row };
    let shift = tested.shift;
    let row = Row {
        base: Some(shift.base.exp()),
        new: Some((shift.base + shift.estimate).exp()),
        ratio: Some(shift.estimate.exp()),
        ..row
    };
    let Some(critical) = tested.critical else { return row };
    let half = critical * shift.error;
    // In the direction that is worse.
    let worse = if more_is_better { -shift.estimate } else { shift.estimate };
    let (low, high) = (worse - half, worse + half);
    let tolerance = options.fail_on_regression.unwrap_or(options.tolerance);
    let margin = tolerance.ln_1p();
    let asked = if options.fail_on_regression.is_some() { margin } else { 0.0 };
    // What the testing machine makes of the base's figure, as a ratio: none of it is the device's.
    let of_host_share = of_host / shift.base.exp();
    let beyond = asked.max(of_host_share.ln_1p());
    let sinks = if of_host_share < 1.0 { (-of_host_share).ln_1p() } else { f64::NEG_INFINITY };
    let decision = if figure.too_few {
        Decision::CantTell
    } else if low >= -margin && high <= margin {
        Decision::Same
    } else if low > beyond && tested.ordered {
        Decision::Worse
    } else if high < sinks && tested.ordered {
        Decision::Better
    } else {
        Decision::CantTell
    };
    let reason = (decision == Decision::CantTell).then(|| {
        if let Some(missing) = figure.missing.filter(|_| figure.too_few) {
            missing.to_owned()
        } else if (low > beyond || high < sinks) && !tested.ordered {
            "the runs of the two sides lie among each other".to_owned()
        } else if low > asked || high < 0.0 {
            let of_host = human_figure(of_host, figure.unit);
            format!(
                "changed, but not certainly by more than {of_host}, which this machine's scheduling can make"
            )
        } else if low > 0.0 {
            format!("worse, but not certainly by more than {}", percent(tolerance))
        } else {
            figure.missing.map_or_else(|| "the runs lie too far apart".to_owned(), str::to_owned)
        }
    });
    let finite = |x: f64| x.is_finite().then_some(x);
    let visible = of_host_share.ln_1p() + half + SEEN_Z * shift.error;
    Row {
        // A gate on regressions waits only for those that can't be ruled out.
        key: row.key && !(decision == Decision::CantTell && asked > 0.0 && high <= margin),
        low: finite((shift.estimate - half).exp()),
        high: finite((shift.estimate + half).exp()),
        p: Some(tested.p),
        // Of a rate a tenth less is 1 divided by 1.11.
        smallest_visible: finite(if more_is_better { -(-visible).exp_m1() } else { visible.exp_m1() }),
        decision,
        reason,
        ..row
    }
}

fn share(figure: &Figure, shows_good: bool, tested: Option<shares::Tested>) -> Row {
    let row = unmeasured(figure, Scale::Difference);
    let Some(t) = tested else { return row };
    let decision = if t.real {
        if t.new > t.base { Decision::Worse } else { Decision::Better }
    } else if t.low >= -SHARE_TOLERANCE && t.high <= SHARE_TOLERANCE {
        Decision::Same
    } else {
        Decision::CantTell
    };
    let reason = (decision == Decision::CantTell).then(|| {
        let few = "too few attempts, or failures in bursts: one in a hundred would not have been seen";
        figure.missing.unwrap_or(few).to_owned()
    });
    let shown = |bad: f64| if shows_good { 1.0 - bad } else { bad };
    let (base, new) = (shown(t.base), shown(t.new));
    let (low, high) = if shows_good { (-t.high, -t.low) } else { (t.low, t.high) };
    Row {
        base: Some(base),
        new: Some(new),
        ratio: (base > 0.0).then(|| new / base),
        low: Some(low),
        high: Some(high),
        p: Some(t.p),
        smallest_visible: t.visible,
        decision,
        reason,
        ..row
    }
}

/// All in all, with what it rests on.
fn verdict(
    groups: Groups<'_>,
    workloads: &[WorkloadRows],
    findings: &[FindingRow],
    options: &Options,
) -> (Decision, String) {
    let rows = || workloads.iter().flat_map(|w| w.rows.iter().map(move |r| (w, r)));
    let names = |decision: Decision, key: bool| -> Vec<String> {
        let figures = rows().filter(|(_, r)| r.decision == decision && (r.key || !key));
        let figures = figures.map(|(w, r)| format!("{} {}", w.name, r.figure));
        let errors = findings.iter().filter(|f| f.is_error() && f.decision == decision && (f.open() || !key));
        errors.map(|f| format!("finding {}", f.id.name())).chain(figures).collect()
    };
    let worse = names(Decision::Worse, false);
    if !worse.is_empty() {
        return (Decision::Worse, format!("worse: {}", listed(&worse)));
    }
    let mut open = names(Decision::CantTell, true);
    let judged = |r: &Row| matches!(r.decision, Decision::Same | Decision::Better);
    if !rows().any(|(_, r)| r.key && r.scale == Scale::Difference) {
        open.push(format!("success rates (they need {FEWEST_ATTEMPTS} attempts on each side)"));
    }
    if !open.is_empty() || !rows().any(|(_, r)| r.key && judged(r)) {
        let remedy = match groups.base.len().min(groups.new.len()) {
            0..5 => "run each side at least 5 times, in turns",
            _ => {
                "more or longer runs narrow the intervals; so does a slower link (--link), next to which the delays of this \
                  machine count less"
            }
        };
        return (Decision::CantTell, format!("can't tell for {}; {remedy}", listed(&open)));
    }
    let better = names(Decision::Better, false);
    if !better.is_empty() {
        return (Decision::Better, format!("better: {}; nothing is worse", listed(&better)));
    }
    let keys: Vec<String> =
        rows().filter(|(_, r)| r.key).map(|(w, r)| format!("{} {}", w.name, r.figure)).collect();
    let within = percent(options.fail_on_regression.unwrap_or(options.tolerance));
    let points = SHARE_TOLERANCE * 100.0;
    let which = listed(&keys);
    let because = if options.fail_on_regression.is_some() {
        format!("not worse by more than {within}, or {points} point of a share: {which}")
    } else {
        format!("within {within}, or {points} point of a share: {which}")
    };
    (Decision::Same, because)
}

fn listed(names: &[String]) -> String {
    const MOST: usize = 4;
    let shown = names.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A share as a percentage, as it was typed.
fn percent(share: f64) -> String {
    format!("{} %", (share * 1e6).round() / 1e4)
}
