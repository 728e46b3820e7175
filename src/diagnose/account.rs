//! The account of failures: each failed attempt of a run, and each connection that showed an anomaly of the device, is in
//! exactly one row. It is explained by a finding, excused by what was known to go on at the time, or unexplained.
//!
//! A finding explains failures of the kinds that its fault produces, and where its fault has a time, those of that
//! time alone: a link that was away for two seconds explains no failure ten seconds later.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::intervals::Intervals;
use super::{AnomalyRow, ClosePolicy, Evidence, Finding, FindingId, WorkloadEvidence, WorkloadKind};
use espstress_event::{AnomalyId, Episode, Failure, FailureCounts};

mod anomalies;
mod scope;

/// Who or what answers for failed attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Accounted {
    /// A finding of the run explains them.
    Explained,
    /// Something that is no fault of the device's explains them.
    Excused,
    /// Nothing does.
    Unexplained,
}

/// Why failures are excused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Excuse {
    /// The testing machine's own limits: ports, files, its system.
    Host,
    /// The testing machine stood still.
    HostStoodStill,
    /// An outage that the run made.
    OutageMade,
    /// The link was away, and the run did not do it.
    LinkAway,
    /// The device was restarting.
    Restarting,
    /// The workload fell silent on the device, vanished from it, or was slow on purpose.
    Provoked,
    /// More connections at once than the device states that it holds.
    BeyondCapacity,
}

/// Failures, and anomalies of the device, of a workload with the same answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AccountRow {
    /// The workload.
    pub workload: String,
    /// Whether they are explained.
    pub accounted: Accounted,
    /// The finding's id, or the excuse; null when they are unexplained.
    pub by: Option<String>,
    /// Failed attempts.
    pub attempts: u64,
    /// The same by name.
    pub failures: BTreeMap<Failure, u64>,
    /// Connections that showed an anomaly of the device, by its name: those of failed attempts are among them. Empty
    /// without a capture, and in reports of older programs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub anomalies: BTreeMap<AnomalyId, u64>,
    /// When the first of them began, seconds since the start of the run.
    pub first_s: f64,
    /// When the last of them ended, seconds since the start of the run.
    pub last_s: f64,
}

/// Every failed attempt of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// In the order of workloads; explained rows first.
    pub rows: Vec<AccountRow>,
}

impl Account {
    /// Failed attempts that nothing explains.
    #[must_use]
    pub fn unexplained(&self) -> u64 {
        self.rows.iter().filter(|r| r.accounted == Accounted::Unexplained).map(|r| r.attempts).sum()
    }
}

/// The answer for one kind of failure in one episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum By {
    Finding(FindingId),
    Excuse(Excuse),
    Nothing,
}

impl By {
    const fn accounted(self) -> Accounted {
        match self {
            Self::Finding(_) => Accounted::Explained,
            Self::Excuse(_) => Accounted::Excused,
            Self::Nothing => Accounted::Unexplained,
        }
    }

    fn name(self) -> Option<String> {
        match self {
            Self::Finding(id) => Some(id.name().to_owned()),
            Self::Excuse(excuse) => serde_json::to_value(excuse).ok()?.as_str().map(str::to_owned),
            Self::Nothing => None,
        }
    }
}

/// Puts every failed attempt of the run into a row, given what was found.
pub(super) fn account(e: &Evidence<'_>, findings: &[Finding]) -> Account {
    let intervals = Intervals::of(e);
    let mut rows = Vec::new();
    for w in &e.workloads {
        let mut of_workload: BTreeMap<By, AccountRow> = BTreeMap::new();
        let mut limits = scope::Limits::of(e, w);
        for episode in &w.episodes {
            for (failure, n) in episode.failures.iter().filter(|(_, n)| *n > 0) {
                split(e, w, findings, &intervals, episode, failure, n, &mut limits)
                    .into_iter()
                    .filter(|(_, n)| *n > 0)
                    .for_each(|(by, n)| note(&mut of_workload, w, by, episode, failure, n));
            }
        }
        for row in e.anomalies.iter().filter(|row| row.workload.as_deref() == Some(w.name.as_str())) {
            let by = anomalies::answer(e, findings, &intervals, row);
            if let Some(by) = by {
                note_anomaly(&mut of_workload, w, by, row);
            }
        }
        rows.extend(of_workload.into_values());
    }
    Account { rows }
}

/// The evidence of what is left when these findings have explained theirs, and intervals and intentions theirs.
pub(super) fn unexplained_part<'a>(e: &Evidence<'a>, findings: &[Finding]) -> Evidence<'a> {
    let intervals = Intervals::of(e);
    let mut left = e.clone();
    for (w, part) in e.workloads.iter().zip(&mut left.workloads) {
        let mut limits = scope::Limits::of(e, w);
        part.failures = FailureCounts::default();
        for (episode, part_of) in w.episodes.iter().zip(&mut part.episodes) {
            part_of.failures = FailureCounts::default();
            for (failure, n) in episode.failures.iter().filter(|(_, n)| *n > 0) {
                let parts = split(e, w, findings, &intervals, episode, failure, n, &mut limits);
                let unexplained = parts.into_iter().filter(|(by, _)| *by == By::Nothing);
                let unexplained = unexplained.fold(0_u64, |sum, (_, n)| sum.saturating_add(n));
                part_of.failures.add(failure, unexplained);
            }
            part.failures.merge(&part_of.failures);
            part_of.attempts = part_of.succeeded.saturating_add(part_of.failures.of_device());
        }
        part.attempts = part.succeeded.saturating_add(part.failures.of_device());
    }
    left
}

fn note(
    rows: &mut BTreeMap<By, AccountRow>,
    w: &WorkloadEvidence,
    by: By,
    at: &Episode,
    failure: Failure,
    n: u64,
) {
    let (from, to) = (at.from_ns as f64 / 1e9, at.to_ns as f64 / 1e9);
    let row = row(rows, w, by, from, to);
    row.attempts = row.attempts.saturating_add(n);
    let named = row.failures.entry(failure).or_default();
    *named = named.saturating_add(n);
}

fn note_anomaly(rows: &mut BTreeMap<By, AccountRow>, w: &WorkloadEvidence, by: By, of: &AnomalyRow) {
    let row = row(rows, w, by, of.first_s, of.last_s);
    let named = row.anomalies.entry(of.id).or_default();
    *named = named.saturating_add(of.connections);
}

/// The row of this answer, which reaches over this time as well.
fn row<'a>(
    rows: &'a mut BTreeMap<By, AccountRow>,
    w: &WorkloadEvidence,
    by: By,
    from: f64,
    to: f64,
) -> &'a mut AccountRow {
    let row = rows.entry(by).or_insert_with(|| AccountRow {
        workload: w.name.clone(),
        accounted: by.accounted(),
        by: by.name(),
        attempts: 0,
        failures: BTreeMap::new(),
        anomalies: BTreeMap::new(),
        first_s: from,
        last_s: to,
    });
    row.first_s = row.first_s.min(from);
    row.last_s = row.last_s.max(to);
    row
}

/// Who answers for `n` failures of one kind in one episode: up to two parts, since a finding may explain only so many.
#[expect(clippy::too_many_arguments, reason = "the one place where all of them meet")]
fn split(
    e: &Evidence<'_>,
    w: &WorkloadEvidence,
    findings: &[Finding],
    intervals: &Intervals,
    episode: &Episode,
    failure: Failure,
    n: u64,
    limits: &mut scope::Limits,
) -> [(By, u64); 2] {
    let whole = |by| [(by, n), (By::Nothing, 0)];
    if failure.is_host() {
        return whole(By::Excuse(Excuse::Host));
    }
    let found = |id| findings.iter().any(|f| f.id == id);
    if let Some(excuse) = intervals.excuse(episode, failure) {
        let by = match excuse {
            Excuse::LinkAway if found(FindingId::LinkOutages) => By::Finding(FindingId::LinkOutages),
            Excuse::LinkAway | Excuse::Restarting if found(FindingId::DeviceRebooted) => {
                By::Finding(FindingId::DeviceRebooted)
            }
            other => By::Excuse(other),
        };
        return whole(by);
    }
    if w.kind == WorkloadKind::HalfOpen && scope::is_of_silence(w, episode) {
        return whole(By::Excuse(Excuse::Provoked));
    }
    let mut explains = findings.iter().filter(|f| scope::explains(e, w, f.id, failure, episode));
    if let Some(finding) = explains.next() {
        let part = limits.take(finding.id, n);
        // Of datagrams some are too large, and others are lost here and there.
        let next = explains.next().filter(|_| failure == Failure::DatagramLost);
        let rest = next.map_or(By::Nothing, |next| By::Finding(next.id));
        return [(By::Finding(finding.id), part), (rest, n - part)];
    }
    // Of a half-open workload's client, `scope::is_of_silence` has said which are.
    if w.close == ClosePolicy::Vanish && w.kind != WorkloadKind::HalfOpen {
        return whole(By::Excuse(Excuse::Provoked));
    }
    // Where nothing listens every SYN is refused; for want of room some are served beside it.
    let room = failure != Failure::ConnectRefused || w.succeeded > 0;
    if room && super::facts::room::excuses(e, w) && scope::WANT_OF_ROOM.contains(&failure) {
        return whole(By::Excuse(Excuse::BeyondCapacity));
    }
    whole(By::Nothing)
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
