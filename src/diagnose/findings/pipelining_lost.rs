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
use super::super::facts;
use super::super::{Evidence, Finding, FindingId, Severity, WorkloadEvidence};
use super::{FindingEntry, rest};
use espstress_event::Failure;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::PipeliningLost,
    severity: Severity::Error,
    meaning: "the device answers the first of several pipelined requests and loses the others",
    needs: "several requests in flight on a connection (rw --window)",
    neighbours: "a program that hangs doesn't answer the first request either",
    change: "keep what recv() returned after the first request, and answer it next; or test with --window 1",
};

/// What a request that was thrown away ends in.
pub(in super::super) fn fails_so(w: &WorkloadEvidence, failure: Failure) -> bool {
    failure == Failure::ReadTimeout && facts::pipe_happens(w)
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
            "The device loses pipelined requests: with up to {} in flight on a connection, {} got no \
             response, while the first on each connection did.",
            worst.w.asks.window,
            worst.share("request")
        ),
        evidence: all.iter().map(|rest| rest.in_figures("were lost after another")).collect(),
        // Whoever discards all but the first of what comes together loses more than one in four.
        cause: if worst.attempts.saturating_mul(4) > worst.w.attempts {
            "the program treats each recv() as one request and discards the rest"
        } else {
            "the program leaves some requests unanswered, whatever comes with them; or it treats a recv() as one request and \
             discards the rest, which --window 1 doesn't show"
        }
        .into(),
        change: "keep what is left in the buffer after the first request, and answer it next (RFC 9112, \
                 9.3.2); browsers don't pipeline, so --window 1 tests what they see"
            .into(),
    })
}
