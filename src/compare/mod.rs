//! Reports side by side: what differs, and whether the difference is one.
//!
//! Several new reports stand in columns, each judged against the base by itself; they are never pooled, since
//! two runs of one firmware differ by more than chance inside a run allows, and pooling would hide that. The
//! decision is the worst column's.
//!
//! A figure counts as worse or better when the difference is both *real* (99 %: intervals of quantiles by order
//! statistics, Mann-Whitney for means and for rates by the second, Fisher's exact test for counts) and larger
//! than the tolerance. Attempts of one run are not independent of each other, so *real* is necessary for a
//! judgement and the tolerance is what keeps it calm. Reports of different work are refused, not compared.

mod comparable;
mod figures;
mod page;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::diagnose::{FindingId, Severity};
use crate::report::{GateExit, Report, Unit};

pub use comparable::Refused;
pub use page::page;

/// How reports are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Differences up to this share of the base's figure are no judgement, 0 to 1.
    pub tolerance: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { tolerance: 0.1 }
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

/// What a comparison comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Something is worse.
    Regression,
    /// Nothing is worse or better.
    Same,
    /// Something is better and nothing is worse.
    Better,
    /// No figure could be judged.
    Undecided,
}

impl Decision {
    /// What it contributes to the exit status: a regression breaks the gate that a comparison is.
    #[must_use]
    pub const fn exit(self) -> GateExit {
        match self {
            Self::Regression => GateExit::Broken,
            Self::Same | Self::Better => GateExit::Held,
            Self::Undecided => GateExit::Inconclusive,
        }
    }
}

/// What is to be thought of one difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// Real, beyond the tolerance, and for the worse.
    Worse,
    /// Real, beyond the tolerance, and for the better.
    Better,
    /// Real, and within the tolerance.
    Slight,
    /// Not more than chance would do.
    Chance,
    /// Cannot be judged.
    Unknown,
}

/// One figure of one new report against the base's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// The figure, in the row's unit; null when it was not measured.
    pub value: Option<f64>,
    /// Difference to the base's, percent of that; null where there is nothing to refer to.
    pub change_percent: Option<f64>,
    /// What is to be thought of it.
    pub judgement: Judgement,
    /// Why it cannot be judged; null when it can.
    pub reason: Option<String>,
}

/// One figure of all reports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The figure, by its name in threshold expressions.
    pub figure: String,
    /// The unit of the values.
    pub unit: Unit,
    /// The base's; null when it was not measured.
    pub base: Option<f64>,
    /// The new reports', in their order.
    pub new: Vec<Cell>,
}

/// One workload of all reports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkloadRows {
    /// Its name.
    pub name: String,
    /// Its figures.
    pub rows: Vec<Row>,
}

/// One new report as a column.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Column {
    /// The report's name.
    pub name: String,
    /// What it comes to.
    pub decision: Decision,
    /// Findings that the base has not.
    pub findings_gained: Vec<FindingId>,
    /// Findings that only the base has.
    pub findings_lost: Vec<FindingId>,
    /// What else differs and may explain the rest: firmware, options, link, host.
    pub notes: Vec<String>,
}

/// Reports side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The base's name.
    pub base: String,
    /// The new reports.
    pub new: Vec<Column>,
    /// The figures.
    pub workloads: Vec<WorkloadRows>,
    /// Differences up to this share were no judgement.
    pub tolerance: f64,
    /// The worst column's.
    pub decision: Decision,
}

impl Comparison {
    /// As JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Every key is a string and every value plain: serialising cannot fail.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// Puts reports side by side.
///
/// # Errors
/// When a new report was made by other work than the base: what differs is named.
pub fn compare(base: Named<'_>, new: &[Named<'_>], options: &Options) -> Result<Comparison, Refused> {
    for n in new {
        comparable::check(base, *n)?;
    }
    let reports: Vec<&Report> = new.iter().map(|n| n.report).collect();
    let workloads: Vec<WorkloadRows> = base
        .report
        .workloads
        .iter()
        .map(|w| WorkloadRows {
            name: w.name.clone(),
            rows: figures::rows(base.report, w, &reports, options),
        })
        .collect();
    let columns: Vec<Column> = new
        .iter()
        .enumerate()
        .map(|(i, n)| {
            let (gained, lost) = findings(base.report, n.report);
            let judgements = || workloads.iter().flat_map(|w| &w.rows).map(|r| r.new[i].judgement);
            Column {
                name: n.name.to_owned(),
                decision: decide(judgements(), base.report, n.report, &gained, &lost),
                findings_gained: gained,
                findings_lost: lost,
                notes: comparable::notes(base.report, n.report),
            }
        })
        .collect();
    let decision = worst(columns.iter().map(|c| c.decision));
    let tolerance = options.tolerance;
    Ok(Comparison { base: base.name.to_owned(), new: columns, workloads, tolerance, decision })
}

fn findings(base: &Report, new: &Report) -> (Vec<FindingId>, Vec<FindingId>) {
    let ids = |r: &Report| -> BTreeSet<FindingId> {
        r.findings.iter().filter(|f| f.severity != Severity::Info).map(|f| f.id).collect()
    };
    let (in_base, in_new) = (ids(base), ids(new));
    // Where not all were looked for, the absence of one means nothing.
    let judged = new.findings_incomplete.is_none();
    let lost = in_base.difference(&in_new).filter(|_| judged).copied().collect();
    (in_new.difference(&in_base).copied().collect(), lost)
}

fn decide(
    judgements: impl Iterator<Item = Judgement> + Clone,
    base: &Report,
    new: &Report,
    gained: &[FindingId],
    lost: &[FindingId],
) -> Decision {
    let is_error =
        |r: &Report, id: &FindingId| r.findings.iter().any(|f| f.id == *id && f.severity == Severity::Error);
    let any = |j: Judgement| judgements.clone().any(|x| x == j);
    // Without its packets a report lacks the findings that rest on them; that is no improvement.
    let looked = new.capture.is_complete() || !base.capture.is_complete();
    if any(Judgement::Worse) || gained.iter().any(|id| is_error(new, id)) {
        Decision::Regression
    } else if judgements.clone().all(|j| j == Judgement::Unknown) {
        Decision::Undecided
    } else if any(Judgement::Better) || (looked && lost.iter().any(|id| is_error(base, id))) {
        Decision::Better
    } else {
        Decision::Same
    }
}

fn worst(decisions: impl Iterator<Item = Decision> + Clone) -> Decision {
    [Decision::Regression, Decision::Undecided, Decision::Same, Decision::Better]
        .into_iter()
        .find(|d| decisions.clone().any(|x| x == *d))
        .unwrap_or(Decision::Undecided)
}
