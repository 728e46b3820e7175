//! `fin_wait_timeout`: the device gave up waiting for the host's FIN, so that a late close meets a RST.
//!
//! Evidence: RSTs that answer the host's FIN or ACK a second or more after the device's own FIN, nothing being
//! unread (lwIP frees FIN_WAIT_2 after `TCP_FIN_WAIT_TIMEOUT`, silently).
//!
//! Neighbours: `abortive_close` (the RST answers payload). Without a capture it cannot be seen: the exchange is
//! complete for both programs, which also makes it a warning and no error.

use super::super::facts;
use super::super::{Evidence, Finding, FindingId, Severity};
use super::FindingEntry;
use super::text::things;
use espstress_event::AnomalyId;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::FinWaitTimeout,
    severity: Severity::Warning,
    meaning: "the device doesn't wait long enough for the client's FIN, so a client that closes later gets a \
              RST",
    needs: "the packets",
    neighbours: "a RST in reply to payload (abortive_close)",
    change: "set CONFIG_LWIP_TCP_FIN_WAIT_TIMEOUT=20000, or longer than clients take to close",
};

pub(super) fn find(e: &Evidence<'_>) -> Option<Finding> {
    let after_fin = facts::of_device(e, AnomalyId::RstAfterFin).count;
    let late = e.resets.answering_late_close.min(after_fin);
    if late == 0 {
        return None;
    }
    let mut evidence = vec![format!(
        "packets: {} in reply to the client's FIN or ACK, a second or more after the device's FIN",
        things(late, "RST")
    )];
    if let Some(ms) = e.device.fin_wait_timeout_ms {
        evidence.push(format!("CONFIG_LWIP_TCP_FIN_WAIT_TIMEOUT is {ms} on this device"));
    }
    Some(Finding {
        id: FindingId::FinWaitTimeout,
        severity: Severity::Warning,
        statement: format!(
            "The device stops waiting for the client's FIN too soon: {} after complete exchanges.",
            things(late, "late RST")
        ),
        evidence,
        cause:
            "CONFIG_LWIP_TCP_FIN_WAIT_TIMEOUT is shorter than the client takes to close, so lwIP drops the \
             connection in FIN_WAIT_2"
                .into(),
        change: "CONFIG_LWIP_TCP_FIN_WAIT_TIMEOUT=20000 in sdkconfig, or let the client close at once".into(),
    })
}
