//! Findings of the groups: in how many runs of each, and what that comes to.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Decision;
use super::figures::Groups;
use espstress_diagnose::{FindingId, Severity};
use espstress_report::Report;
use espstress_stats::significance::p_of_counts;

/// Chance that a finding seen in more runs is seen so by chance, below which it is not put down to that.
const LEVEL: f64 = 0.01;

/// One finding that a run has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FindingRow {
    /// Which.
    pub id: FindingId,
    /// The worst that a run calls it. Only an error decides anything.
    pub(crate) severity: Severity,
    /// Base runs that have it.
    pub(crate) base: u64,
    /// Base runs that looked for it.
    pub(crate) base_of: u64,
    /// New runs that have it.
    pub new: u64,
    /// New runs that looked for it.
    pub new_of: u64,
    /// What it comes to.
    pub decision: Decision,
    /// Why that can't be told; null when it can.
    pub(crate) reason: Option<String>,
}

impl FindingRow {
    /// Whether the verdict waits for it: an error that no base run has.
    pub(super) fn open(&self) -> bool {
        self.is_error() && self.decision == Decision::CantTell && self.base == 0 && self.new > 0
    }

    pub(super) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Findings but those that only inform, in the order of their names.
pub(super) fn rows(groups: Groups<'_>) -> Vec<FindingRow> {
    let mut severities: BTreeMap<FindingId, Severity> = BTreeMap::new();
    for f in groups.all().flat_map(|r| &r.findings).filter(|f| f.severity != Severity::Info) {
        let severity = severities.entry(f.id).or_insert(f.severity);
        if f.severity == Severity::Error {
            *severity = Severity::Error;
        }
    }
    severities.into_iter().map(|(id, severity)| row(groups, id, severity)).collect()
}

fn row(groups: Groups<'_>, id: FindingId, severity: Severity) -> FindingRow {
    let has = |r: &Report| r.findings.iter().any(|f| f.id == id && f.severity != Severity::Info);
    let packets = |runs: &[&Report]| runs.iter().any(|r| r.capture.saw_all());
    // Where not all were looked for, the absence of one means nothing; nor, beside runs that saw packets, does it
    // where none were seen.
    let blind = packets(groups.base) != packets(groups.new);
    let looked = |r: &Report| has(r) || (r.findings_incomplete.is_none() && (!blind || r.capture.saw_all()));
    let count =
        |runs: &[&Report], what: &dyn Fn(&Report) -> bool| runs.iter().filter(|r| what(r)).count() as u64;
    let (base, base_of) = (count(groups.base, &has), count(groups.base, &looked));
    let (new, new_of) = (count(groups.new, &has), count(groups.new, &looked));
    let decision = decide(base, base_of, new, new_of);
    let reason = (decision == Decision::CantTell).then(|| {
        if base_of == 0 || new_of == 0 {
            "one side did not look for all findings".into()
        } else {
            "in too few runs to tell it from chance".into()
        }
    });
    FindingRow { id, severity, base, base_of, new, new_of, decision, reason }
}

fn decide(base: u64, base_of: u64, new: u64, new_of: u64) -> Decision {
    // A base that did not look has no finding either; what the new runs have is still theirs.
    let most = |n: u64, of: u64| 2 * n > of;
    if new_of == 0 || (base_of == 0 && new == 0) {
        return Decision::CantTell;
    }
    let real = p_of_counts(base, base_of, new, new_of) < LEVEL;
    let more = (new * base_of).cmp(&(base * new_of));
    if (base == 0 && most(new, new_of)) || (real && more.is_gt()) {
        Decision::Worse
    } else if base_of == 0 {
        Decision::CantTell
    } else if (new == 0 && most(base, base_of)) || (real && more.is_lt()) {
        Decision::Better
    } else if more.is_eq() {
        Decision::Same
    } else {
        Decision::CantTell
    }
}
