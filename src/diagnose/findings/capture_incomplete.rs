//! `capture_incomplete`: the packets were not all looked at, so that more may have been wrong.
//!
//! Evidence: packets dropped by the capture; or a capture that the system refused while something else was wrong,
//! which the packets would have told more of.
//!
//! Neighbours: a run without a capture because nobody asked for one, and a healthy run without one: the page
//! says in a line that the packets were not looked at, which is enough.

use super::super::{CaptureState, Evidence, Finding, FindingId, Severity};
use super::FindingEntry;
use super::text::{percent, things};

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::CaptureIncomplete,
    severity: Severity::Info,
    meaning: "packets were missed, or could not be looked at when something was wrong",
    needs: "the state of the capture",
    neighbours: "a run without a capture in which nothing went wrong",
    change: "run as root or with CAP_NET_RAW: sudo setcap cap_net_raw+ep on the program; a lower rate where packets \
             were dropped",
};

/// `others` are the findings that there are already.
pub(super) fn find(e: &Evidence<'_>, others: &[Finding]) -> Option<Finding> {
    let failed = e.workloads.iter().any(|w| w.failures.of_device() > 0);
    let reason = e.capture.reason.clone().into_iter();
    let (statement, cause, change) = match e.capture.status {
        CaptureState::Dropped => {
            let whole = e.capture.packets.saturating_add(e.capture.dropped);
            (
                format!(
                    "{} of {} ({}) were not looked at: there may have been more anomalies.",
                    e.capture.dropped,
                    things(whole, "packet"),
                    percent(e.capture.dropped, whole)
                ),
                "packets came faster than they could be looked at",
                "a lower rate, fewer connections, or less else to do for the machine",
            )
        }
        CaptureState::Denied if failed || !others.is_empty() => (
            "The packets could not be looked at: what they would have shown of this is not known.".to_owned(),
            "the system does not let this user capture",
            "sudo setcap cap_net_raw+ep on the program, or run it as root",
        ),
        CaptureState::Denied | CaptureState::Complete | CaptureState::Off => return None,
    };
    let unjudged = e.not_judged.iter().take(5).map(|n| {
        format!("{} not judged on {}: {}", n.id.name(), things(n.connections, "connection"), n.reason)
    });
    Some(Finding {
        id: FindingId::CaptureIncomplete,
        severity: Severity::Info,
        statement,
        evidence: reason.chain(unjudged).collect(),
        cause: cause.into(),
        change: change.into(),
    })
}
