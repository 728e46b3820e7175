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
use super::super::facts;
use super::super::{Evidence, Finding, FindingId, Protocol, Severity, WorkloadEvidence};
use super::text::things;
use super::{FindingEntry, rest};
use espstress_event::Failure;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::OtherProtocol,
    severity: Severity::Error,
    meaning: "the device never answers in this protocol: the port speaks another one",
    needs: "a workload that doesn't use HTTP, and a device that espstress knows nothing about",
    neighbours: "a program that hangs; a device program of this project",
    change: "--protocol http for a web server; check the port",
};

/// What a question that nobody understands ends in.
pub(in super::super) fn fails_so(e: &Evidence<'_>, w: &WorkloadEvidence, failure: Failure) -> bool {
    use Failure as F;
    let kinds = [F::ReadTimeout, F::EofBeforeResponse, F::ReadReset, F::BadResponse, F::TruncatedResponse];
    kinds.contains(&failure) && facts::other_happens(e, w)
}

pub(super) fn find(e: &Evidence<'_>, account: &Account) -> Option<Finding> {
    let all = rest::of(e, account, |w, failure| fails_so(e, w, failure));
    let worst = all.first()?;
    let protocol = worst.w.asks.protocol.name();
    Some(Finding {
        id: FindingId::OtherProtocol,
        severity: Severity::Error,
        statement: format!(
            "The device accepts connections but answers none of {} in the {protocol} protocol: the port speaks \
             another protocol, or the program doesn't answer at all.",
            things(worst.w.attempts, "request")
        ),
        evidence: all.iter().map(|rest| rest.in_figures("got no response in this protocol")).collect(),
        cause: if worst.w.asks.protocol == Protocol::WebSocket {
            "another server listens there, or one that pushes messages and echoes none".into()
        } else {
            "another server listens there; only this project's device programs speak the framed, line and \
                 raw protocols"
                .into()
        },
        change: if worst.w.asks.protocol == Protocol::WebSocket {
            "the service has to send each message back; check the port and --path".into()
        } else {
            "test a web server with --protocol http, or with head; check the port".into()
        },
    })
}
