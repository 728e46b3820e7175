//! Gates: expressions such as `head.latency.total.p99 < 250ms` over the figures of a report.
//!
//! Three steps, each on its own: an expression is parsed (`Threshold::parse`), its name and unit are checked
//! against the figures that the run will have ([`Gates::check_names`], before the first packet), and after the
//! run it is judged on the report ([`Gates::judge`]).
//!
//! A gate is *inconclusive* where its figure was not measured, rests on too few samples, or counts what the
//! packets show and the packets were not all looked at - unless what was seen breaks it already. Where the
//! testing machine was the limit, times count as upper bounds and rates as lower ones. The gate
//! that stands when none is given, `findings.error == 0`, is judged on the findings that could be made: where
//! the packets were not looked at it passes with a remark that says so.

mod by_host;
mod catalogue;
mod figure;
mod judge;
mod needs;
mod parse;

pub use catalogue::catalogue;
pub(crate) use figure::{CheckError, check_names};
pub(crate) use parse::{Op, ParseError, Threshold};

use super::Report;

/// The gate that stands when none is given.
pub(crate) const DEFAULT_GATE: &str = "findings.error == 0";

/// The gates of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Gates(Vec<Threshold>);

impl Gates {
    /// The gates given, or the default one when the list is empty.
    ///
    /// # Errors
    /// The first expression that is none.
    pub fn from_expressions<S: AsRef<str>>(expressions: &[S]) -> Result<Self, ParseError> {
        if expressions.is_empty() {
            return Ok(Self(vec![Threshold::parse(DEFAULT_GATE)?]));
        }
        expressions.iter().map(|e| Threshold::parse(e.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    /// Looks whether a run of these workloads can have the figures that the gates are about.
    ///
    /// # Errors
    /// The first gate with a name that no figure has, or with a unit that its figure has not.
    pub fn check_names(&self, workloads: &[&str]) -> Result<(), CheckError> {
        check_names(&self.0, workloads)
    }

    /// Judges every gate on the report and writes the result, and the verdict, into it.
    pub fn judge(&self, report: &mut Report) {
        report.thresholds = self.0.iter().map(|t| judge::judge(t, report)).collect();
        (report.verdict, report.verdict_reasons) = super::verdict::conclude(report);
    }
}

/// Whether a value of a gate's figure keeps it; `None` where the expression is none of ours.
pub(crate) fn is_kept(expression: &str, value: f64, workloads: &[&str]) -> Option<bool> {
    let threshold = Threshold::parse(expression).ok()?;
    let (_, bound) = figure::check_name(&threshold, workloads).ok()?;
    Some(threshold.op().holds(value, bound))
}
