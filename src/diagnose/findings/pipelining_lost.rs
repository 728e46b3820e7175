//! `pipelining_lost`: requests that are sent before the one before is answered are lost; without them all is well.
//!
//! Evidence: a workload with several requests under way on a connection (`rw --window`), on which the first is answered and
//! some behind it never are.
//!
//! Neighbours: a program that hangs leaves whole windows unanswered, the first request of a connection as well; here fewer
//! than a window fail in a row.
//!
//! Severity: an error where it fails more than one request in a hundred, since the user asked for it; else a warning. Browsers do
//! not pipeline; RFC 9112, 9.3.2 asks servers for it all the same.

use super::super::account::Account;
use super::super::{Evidence, Finding, FindingId, Severity, WorkloadEvidence, WorkloadKind};
use super::text::things;
use super::{FindingEntry, rest};
use espstress_event::Failure;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::PipeliningLost,
    severity: Severity::Error,
    meaning: "of several requests on a connection at once the first is answered and others are lost",
    needs: "several requests under way on a connection (rw --window)",
    neighbours: "a program that hangs: there the first request of a connection gets no answer either",
    change: "keep what recv() returned behind the first request, and answer it next; or test with --window 1",
};

/// What a request that was thrown away ends in.
pub(in super::super) fn fails_so(w: &WorkloadEvidence, failure: Failure) -> bool {
    failure == Failure::ReadTimeout && happens_to(w)
}

/// Whether fewer requests failed in a row than are under way at once: the first of each connection was answered.
pub(super) fn happens_to(w: &WorkloadEvidence) -> bool {
    let behind = u64::from(w.asks.window.saturating_sub(1)).saturating_mul(u64::from(w.at_once));
    let mut in_a_row = 0_u64;
    let mut longest = 0_u64;
    for episode in &w.episodes {
        in_a_row = if episode.succeeded == 0 { in_a_row.saturating_add(episode.attempts) } else { 0 };
        longest = longest.max(in_a_row);
    }
    w.kind == WorkloadKind::Rw
        && w.asks.method.is_some()
        && behind > 0
        && w.succeeded > 0
        && w.failures.get(Failure::ReadTimeout) > 0
        && longest <= behind
}

pub(super) fn find(e: &Evidence<'_>, account: &Account) -> Option<Finding> {
    let all = rest::of(e, account, fails_so);
    let worst = all.first()?;
    Some(Finding {
        id: FindingId::PipeliningLost,
        severity: if worst.attempts.saturating_mul(100) > worst.w.attempts {
            Severity::Error
        } else {
            Severity::Warning
        },
        statement: format!(
            "Pipelined requests are lost: with up to {} at once on a connection {} of {} got no answer, and the first of \
             each connection did.",
            worst.w.asks.window,
            worst.attempts,
            things(worst.w.attempts, "request")
        ),
        evidence: all.iter().map(|rest| rest.in_figures("were lost behind another")).collect(),
        cause: "the program takes what one recv() returns for one request, and throws away what comes behind it".into(),
        change: "test with --window 1 for what browsers meet; in the program keep what is left in the buffer behind the \
                 first request, and answer it next (RFC 9112, 9.3.2)"
            .into(),
    })
}
