//! What was found in several sessions. The words of a finding, and the times in them, are those of one session: each says
//! of which.

use espstress_diagnose::{AccountRow, Finding};

use crate::Report;
use crate::human::count;

impl Report {
    /// Failures that nobody looked at, in words: those of a session whose log has no end.
    pub(crate) fn unaccounted(&self) -> Option<String> {
        self.findings_incomplete.as_ref()?;
        let failed: u64 = self.workloads.iter().map(|w| w.failures.of_device()).sum();
        let by_device = self.account.iter().filter(|row| row.by.as_deref() != Some("host"));
        let left = failed.saturating_sub(by_device.map(|row| row.attempts).sum());
        (left > 0).then(|| format!("{} not looked at: not all findings are known", count(left)))
    }
}

/// A finding of any session is one of the run; the more severe one speaks, with the evidence of both.
pub(super) fn findings(before: &[Finding], now: Vec<Finding>, nth: usize) -> Vec<Finding> {
    // The first one did not know that it would be one of several.
    let of_first =
        |finding: &Finding| if nth == 2 { of_session(finding.clone(), 1) } else { finding.clone() };
    let mut all: Vec<Finding> = before.iter().map(of_first).collect();
    for finding in now.into_iter().map(|finding| of_session(finding, nth)) {
        match all.iter_mut().find(|own| own.id == finding.id) {
            Some(own) if own.severity <= finding.severity => own.evidence.extend(finding.evidence),
            Some(own) => {
                let evidence = own.evidence.drain(..).chain(finding.evidence).collect();
                *own = Finding { evidence, ..finding };
            }
            None => all.push(finding),
        }
    }
    all.sort_by_key(|finding| finding.severity);
    all
}

fn of_session(finding: Finding, nth: usize) -> Finding {
    Finding {
        statement: format!("Session {nth}: {}", finding.statement),
        evidence: finding.evidence.iter().map(|line| format!("session {nth}: {line}")).collect(),
        ..finding
    }
}

/// Why not all findings of all sessions are known.
pub(super) fn incomplete(before: Option<&str>, now: Option<&str>, nth: usize) -> Option<String> {
    let before = before.map(|why| if nth == 2 { format!("session 1: {why}") } else { why.to_owned() });
    let now = now.map(|why| format!("session {nth}: {why}"));
    let both: Vec<String> = before.into_iter().chain(now).collect();
    (!both.is_empty()).then(|| both.join("; "))
}

pub(super) fn account(before: &[AccountRow], now: Vec<AccountRow>) -> Vec<AccountRow> {
    let mut rows = before.to_vec();
    for row in now {
        let same = |own: &&mut AccountRow| {
            own.workload == row.workload && own.accounted == row.accounted && own.by == row.by
        };
        match rows.iter_mut().find(same) {
            None => rows.push(row),
            Some(own) => {
                own.attempts += row.attempts;
                own.last_s = own.last_s.max(row.last_s);
                row.failures.into_iter().for_each(|(f, n)| *own.failures.entry(f).or_default() += n);
                row.anomalies.into_iter().for_each(|(a, n)| *own.anomalies.entry(a).or_default() += n);
            }
        }
    }
    rows
}
