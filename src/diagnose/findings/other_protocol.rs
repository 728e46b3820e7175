//! `other_protocol`: the device takes connections and never answers in the protocol that it is asked in; nothing else
//! is wrong with it as far as is known.
//!
//! Evidence: a workload that speaks something else than HTTP (`rw --protocol line|framed|raw`), not one answer, and nothing
//! that says that the device runs a program that speaks it.
//!
//! Neighbours: `blocked_application`: a device that tells its stack or its telemetry runs this project's program, and
//! speaks all of them; one that does not accept leaves SYNs unanswered, and who speaks something else accepts.
//!
//! Severity: an error, because not one figure of the run is the device's.

use super::super::account::Account;
use super::super::{Evidence, Finding, FindingId, Severity, WorkloadEvidence};
use super::text::things;
use super::{FindingEntry, rest, signs};
use espstress_event::{AnomalyId, Failure};

/// SYNs that go unanswered: the host repeats each before it counts as that.
const FEW: u64 = 3;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::OtherProtocol,
    severity: Severity::Error,
    meaning: "the device never answers in the protocol that it is asked in: it speaks something else on this port",
    needs: "a workload in another protocol than HTTP, and a device of which nothing is known",
    neighbours: "a program that hangs; a device program of this project",
    change: "--protocol http for a web server; check the port",
};

/// What a question that nobody understands ends in.
pub(in super::super) fn fails_so(e: &Evidence<'_>, w: &WorkloadEvidence, failure: Failure) -> bool {
    use Failure as F;
    let kinds = [F::ReadTimeout, F::EofBeforeResponse, F::ReadReset, F::BadResponse, F::TruncatedResponse];
    kinds.contains(&failure) && happens_to(e, w)
}

/// Whether this workload speaks to a device of which nobody knows that it speaks this, and got not one answer.
pub(super) fn happens_to(e: &Evidence<'_>, w: &WorkloadEvidence) -> bool {
    let known = e.device.stack.is_some() || signs::telemetry(e).is_some();
    // A program that speaks something else reads what it is sent all the same.
    let reads = [AnomalyId::ZeroWindowStall, AnomalyId::NoAckToData];
    let reads = reads.into_iter().all(|id| signs::of_device(e, id).count == 0);
    w.asks.other_protocol.is_some() && w.attempts > 0 && w.succeeded == 0 && !known && reads && accepts(e)
}

/// Whether new connections come about all the while: a program that accepts none fills its backlog with those that ask
/// nothing as well, and then SYNs go unanswered.
fn accepts(e: &Evidence<'_>) -> bool {
    let unanswered = signs::of_device(e, AnomalyId::SynUnanswered).connections;
    let most_missed = e.probes.tcp.value().is_some_and(|tcp| tcp.answered.saturating_mul(2) < tcp.sent);
    unanswered < FEW && !(most_missed && signs::stack(e) == signs::Stack::Answers)
}

pub(super) fn find(e: &Evidence<'_>, account: &Account) -> Option<Finding> {
    let all = rest::of(e, account, |w, failure| fails_so(e, w, failure));
    let worst = all.first()?;
    let protocol = worst.w.asks.other_protocol.as_deref().unwrap_or("this");
    Some(Finding {
        id: FindingId::OtherProtocol,
        severity: Severity::Error,
        statement: format!(
            "The device takes connections and answers none of {} in the {protocol} protocol: it speaks something else on \
             this port, or answers nothing at all.",
            things(worst.w.attempts, "request")
        ),
        evidence: all.iter().map(|rest| rest.in_figures("got no answer in this protocol")).collect(),
        cause: "another server listens there; the framed, line and raw protocols are those of this project's device programs"
            .into(),
        change: "test a web server with --protocol http, or with head; check the port".into(),
    })
}
