//! `head_unanswered`: the device answers GET, and HEAD never: it lets the client wait, or closes the connection.
//!
//! Evidence: a workload that asks by HEAD and gets not one response, and one that asks for the same page by GET and is served.
//!
//! Neighbours: a program that hangs answers neither. A HEAD that is refused by a status has an answer (`http_errors`).
//!
//! Severity: a warning, because browsers ask by GET; the figures of the run are those of time-outs all the same.

use super::super::account::Account;
use super::super::facts;
use super::super::{Evidence, Finding, FindingId, Severity, WorkloadEvidence};
use super::text::things;
use super::{FindingEntry, rest};
use espstress_event::Failure;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::HeadUnanswered,
    severity: Severity::Warning,
    meaning: "the device answers GET but never HEAD",
    needs: "a workload that uses HEAD and one that uses GET",
    neighbours: "a program that hangs; a HEAD that gets an error status",
    change: "answer HEAD like GET, without the body (RFC 9110, 9.1 and 9.3.2), or with 501; test with --method \
             GET",
};

/// What a HEAD without a response ends in.
pub(in super::super) fn fails_so(e: &Evidence<'_>, w: &WorkloadEvidence, failure: Failure) -> bool {
    use Failure as F;
    let silent = matches!(failure, F::ReadTimeout | F::EofBeforeResponse | F::ReadReset | F::WriteReset);
    silent && facts::head_happens(e, w)
}

pub(super) fn find(e: &Evidence<'_>, account: &Account) -> Option<Finding> {
    let all = rest::of(e, account, |w, failure| fails_so(e, w, failure));
    let worst = all.first()?;
    let served = facts::exchanges(e).filter(|w| w.asks.get() && w.asks.same_page(&worst.w.asks));
    let served = served.fold(0_u64, |n, w| n.saturating_add(w.succeeded));
    let mut evidence: Vec<String> =
        all.iter().map(|rest| rest.in_figures("got no response to HEAD")).collect();
    evidence.push(format!("{} answered", things(served, "GET request")));
    Some(Finding {
        id: FindingId::HeadUnanswered,
        severity: Severity::Warning,
        statement: format!(
            "The device answers GET but not HEAD: none of {} got a response.",
            worst.whole("HEAD request")
        ),
        evidence,
        cause: "the program has no handler for HEAD and ignores it".into(),
        change: ENTRY.change.into(),
    })
}
