//! `fin_wait_timeout`: the device gave up waiting for the host's FIN, so that a late close meets a RST.
//!
//! Evidence: RSTs that answer the host's FIN or ACK a second or more after the device's own FIN, nothing being
//! unread (lwIP frees FIN_WAIT_2 after `TCP_FIN_WAIT_TIMEOUT`, silently).
//!
//! Neighbours: `abortive_close` (the RST answers payload). Without a capture it cannot be seen: the exchange is
//! complete for both programs, which also makes it a warning and no error.

use super::super::{Evidence, Finding, FindingId, Severity};
use super::text::things;
use super::{FindingEntry, device_rebooted, signs};
use espstress_event::AnomalyId;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::FinWaitTimeout,
    severity: Severity::Warning,
    meaning: "the device stops waiting for the client's FIN, and a client that closes later meets a RST",
    needs: "the packets",
    neighbours: "a RST that answers payload (abortive_close)",
    change: "CONFIG_LWIP_TCP_FIN_WAIT_TIMEOUT=20000, or longer than clients take to close",
};

pub(super) fn find(e: &Evidence<'_>) -> Option<Finding> {
    let after_fin = signs::of_device(e, AnomalyId::RstAfterFin).count;
    let late = e.resets.answering_late_close.min(after_fin);
    if late == 0 || device_rebooted::happened(e) {
        return None;
    }
    let mut evidence = vec![format!(
        "packets: {} in answer to the host's FIN or ACK, a second or more after the device's FIN",
        things(late, "RST")
    )];
    if let Some(ms) = e.device.fin_wait_timeout_ms {
        evidence.push(format!("CONFIG_LWIP_TCP_FIN_WAIT_TIMEOUT is {ms} on this device"));
    }
    Some(Finding {
        id: FindingId::FinWaitTimeout,
        severity: Severity::Warning,
        statement: format!(
            "The device stops waiting for the peer's close too soon: {} after complete exchanges.",
            things(late, "late RST")
        ),
        evidence,
        cause:
            "CONFIG_LWIP_TCP_FIN_WAIT_TIMEOUT is shorter than the client takes to close; the connection is \
                dropped in FIN_WAIT_2"
                .into(),
        change: "CONFIG_LWIP_TCP_FIN_WAIT_TIMEOUT=20000 in sdkconfig, or let the client close at once".into(),
    })
}
