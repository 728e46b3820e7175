//! What the account leaves unexplained, by workload and for some kinds of failure: the findings that name a fault by the
//! failures that it produces take from it, once every finding that knows more has had its share.

use super::super::account::{Account, Accounted};
use super::super::{Evidence, Protocol, Severity, WorkloadEvidence};
use super::text::{percent, things};
use espstress_event::Failure;

/// A person no longer calls three in a row chance, and one in a hundred is the success rate that gates usually ask for.
pub(super) const FEW: u64 = 3;
/// One in so many: see above.
pub(super) const ONE_IN: u64 = 100;

/// The unexplained failures of one workload, of some kinds.
pub(super) struct Rest<'a> {
    pub(super) w: &'a WorkloadEvidence,
    /// Whether the run has other workloads.
    beside_others: bool,
    /// Attempts that failed so.
    pub(super) attempts: u64,
    /// The same by name, the most frequent first.
    pub(super) failures: Vec<(Failure, u64)>,
    /// When the first of them began, and when the last of them ended, seconds since the start of the run.
    pub(super) first_s: f64,
    pub(super) last_s: f64,
}

impl Rest<'_> {
    /// Too much to be chance.
    pub(super) const fn is_much(&self) -> bool {
        is_much(self.attempts, self.w.attempts)
    }

    /// How many failed in one way.
    pub(super) fn get(&self, failure: Failure) -> u64 {
        self.failures.iter().find(|(name, _)| *name == failure).map_or(0, |(_, n)| *n)
    }

    /// `60 requests`; beside other workloads, of which this figure knows nothing, `60 requests of head`.
    pub(super) fn whole(&self, thing: &str) -> String {
        let all = things(self.w.attempts, thing);
        if self.beside_others { format!("{all} of {}", self.w.name) } else { all }
    }

    /// `12 of 60 requests`, or `12 of 60 requests of head`.
    pub(super) fn share(&self, thing: &str) -> String {
        format!("{} of {}", self.attempts, self.whole(thing))
    }

    /// Them in figures: `head: 12 of 60 attempts (20 %) failed, from 0.1 s to 3.2 s: read_reset 12`.
    pub(super) fn in_figures(&self, what: &str) -> String {
        let names: Vec<String> = self.failures.iter().map(|(f, n)| format!("{} {n}", f.name())).collect();
        format!(
            "{}: {} of {} ({}) {what}, from {:.1} s to {:.1} s: {}",
            self.w.name,
            self.attempts,
            things(self.w.attempts, "attempt"),
            percent(self.attempts, self.w.attempts),
            self.first_s,
            self.last_s,
            names.join(", ")
        )
    }
}

/// What is left of these kinds, the workload that it hurts most first.
pub(super) fn of<'a>(
    e: &'a Evidence<'_>,
    account: &Account,
    takes: impl Fn(&WorkloadEvidence, Failure) -> bool,
) -> Vec<Rest<'a>> {
    let unexplained = account.rows.iter().filter(|row| row.accounted == Accounted::Unexplained);
    let beside_others = e.workloads.len() > 1;
    let mut all: Vec<Rest<'a>> = unexplained
        .filter_map(|row| {
            let w = e.workloads.iter().find(|w| w.name == row.workload)?;
            let mut failures: Vec<(Failure, u64)> =
                row.failures.iter().filter(|(f, _)| takes(w, **f)).map(|(f, n)| (*f, *n)).collect();
            failures.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
            let attempts = failures.iter().fold(0_u64, |sum, (_, n)| sum.saturating_add(*n));
            // Others of these kinds are explained, and the row has other kinds as well.
            let (first, last) = span(w, &failures).unwrap_or((row.first_s, row.last_s));
            let (first_s, last_s) = (first.max(row.first_s), last.min(row.last_s));
            (attempts > 0).then_some(Rest { w, beside_others, attempts, failures, first_s, last_s })
        })
        .collect();
    all.sort_by_key(|rest| (!rest.is_much(), std::cmp::Reverse(rest.attempts)));
    all
}

/// A statement about one workload, which names it where the run has others.
pub(super) fn of_workload(e: &Evidence<'_>, w: &WorkloadEvidence, statement: String) -> String {
    if e.workloads.len() > 1 { format!("Workload {}: {statement}", w.name) } else { statement }
}

/// When failures of these kinds began and ended.
fn span(w: &WorkloadEvidence, failures: &[(Failure, u64)]) -> Option<(f64, f64)> {
    let holds = |failure: &Failure| failures.iter().any(|(name, _)| name == failure);
    let of_these = || w.episodes.iter().filter(|t| t.failures.iter().any(|(f, n)| n > 0 && holds(&f)));
    let first = of_these().map(|t| t.from_ns).min()?;
    let last = of_these().map(|t| t.to_ns).max()?;
    Some((first as f64 / 1e9, last as f64 / 1e9))
}

/// More than three, and more than one in a hundred.
pub(super) const fn is_much(part: u64, whole: u64) -> bool {
    part > FEW && part.saturating_mul(ONE_IN) > whole
}

/// An error where it hurts one workload much, or leaves it nothing, or where it is no chance, however rare: TCP hands on no
/// byte that a link has changed (RFC 9293, 3.1).
pub(super) fn severity(all: &[Rest<'_>]) -> Severity {
    let leaves_nothing = |rest: &Rest<'_>| rest.attempts >= rest.w.attempts;
    let changes =
        |rest: &Rest<'_>| rest.w.asks.protocol != Protocol::Udp && rest.get(Failure::CorruptPayload) > 0;
    if all.iter().any(|rest| rest.is_much() || leaves_nothing(rest) || changes(rest)) {
        Severity::Error
    } else {
        Severity::Warning
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::AccountRow;
    use espstress_event::{Episode, FailureCounts};

    /// What is left of a workload of which one attempt has failed for no known reason at 100 s, beside some others.
    fn left<T>(others: usize, told: impl Fn(&Rest<'_>) -> T) -> T {
        left_of(Failure::ReadTimeout, others, told)
    }

    fn left_of<T>(failure: Failure, others: usize, told: impl Fn(&Rest<'_>) -> T) -> T {
        let episode = |at_s: u64| Episode::of(at_s * 1_000_000_000, (at_s + 5) * 1_000_000_000, Err(failure));
        let w = WorkloadEvidence {
            name: "rw".into(),
            attempts: 60,
            episodes: [10, 100, 900].map(episode).into(),
            ..Default::default()
        };
        let others = vec![WorkloadEvidence { name: "head".into(), ..Default::default() }; others];
        let e = Evidence { workloads: [vec![w], others].concat(), ..Evidence::default() };
        let mut failures = FailureCounts::default();
        failures.add(failure, 1);
        let row = AccountRow {
            workload: "rw".into(),
            accounted: Accounted::Unexplained,
            by: None,
            attempts: 1,
            failures: failures.iter().filter(|(_, n)| *n > 0).collect(),
            anomalies: std::collections::BTreeMap::new(),
            first_s: 100.0,
            last_s: 105.0,
        };
        told(&of(&e, &Account { rows: vec![row] }, |_, _| true)[0])
    }

    #[test]
    fn what_is_explained_is_not_in_the_time_of_what_is_not() {
        assert_eq!(left(0, |rest| (rest.first_s, rest.last_s)), (100.0, 105.0));
    }

    #[test]
    fn one_wrong_byte_is_an_error_where_one_missing_answer_may_be_chance() {
        let severity = |failure| left_of(failure, 0, |rest| severity(std::slice::from_ref(rest)));
        assert_eq!(severity(Failure::ReadTimeout), Severity::Warning);
        assert_eq!(severity(Failure::CorruptPayload), Severity::Error);
    }

    #[test]
    fn a_figure_of_one_workload_names_it_where_there_are_others() {
        assert_eq!(left(0, |rest| rest.share("request")), "1 of 60 requests");
        assert_eq!(left(1, |rest| rest.share("request")), "1 of 60 requests of rw");
        let w = WorkloadEvidence { name: "rw".into(), ..Default::default() };
        let of = |n| {
            let e = Evidence { workloads: vec![w.clone(); n], ..Evidence::default() };
            of_workload(&e, &w, "2 of 9 failed.".into())
        };
        assert_eq!((of(1), of(2)), ("2 of 9 failed.".into(), "Workload rw: 2 of 9 failed.".into()));
    }
}
