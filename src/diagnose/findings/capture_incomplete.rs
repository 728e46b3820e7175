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
    meaning: "the capture missed packets, or there was none although something went wrong",
    needs: "the capture's status",
    neighbours: "a run without a capture in which everything succeeded",
    change: "run as root or with CAP_NET_RAW (sudo setcap cap_net_raw,cap_net_admin+ep on the program); lower the rate if \
             packets were dropped",
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
                    "The capture missed {} of {} ({}): there may be more anomalies.",
                    e.capture.dropped,
                    things(whole, "packet"),
                    percent(e.capture.dropped, whole)
                ),
                "packets arrived faster than espstress could read them",
                "lower the rate, use fewer connections, or stop other work on this machine",
            )
        }
        CaptureState::Denied if failed || !others.is_empty() => (
            "There was no capture, so the packets can't tell why this happened.".to_owned(),
            "this user may not capture packets",
            "sudo setcap cap_net_raw,cap_net_admin+ep on the program, or run it as root",
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
