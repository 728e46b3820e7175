//! `lossy_link`: the path loses segments here and there.
//!
//! Evidence, the best there is: pings (else telemetry) lost one by one; segments that came through only when they were
//! sent again, and whose first copy had not arrived; the host's own count of repetitions.
//!
//! Neighbours: an outage loses everything for a time; `power_save_latency` makes the host repeat what is only
//! late; a program that does not read, a full backlog and TIME_WAIT leave segments unanswered that did arrive: what never
//! comes through does not count. lwIP delays acknowledgements by up to 250 ms, so that one-way data, and requests that a
//! program is slow to answer, are repeated on a perfect link: repetitions that met what had arrived do not count, and
//! pings that all arrive outweigh the others. On a machine that stood still for a fifth of the run nothing is said.
//!
//! Severity: information, because it is no fault of the device; a warning from 5 %, where TCP no longer hides it.
//!
//! Threshold: more losses than a link that loses one in two hundred has by chance, once in a thousand runs
//! (`loss::constants`). A percentage is given of 200 and more: of fewer, three losses may stand for one in a hundred or
//! ten.

use super::super::choice::{Claim, Firm};
use super::super::facts;
use super::super::{Evidence, Finding, FindingId, Severity};
use super::FindingEntry;
use super::text::{percent, things};

/// Least sample whose share is worth a figure in percent.
const PERCENT: u64 = 200;
pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::LossyLink,
    severity: Severity::Warning,
    meaning: "the path between host and device loses segments",
    needs: "ping, or the packets, or TCP_INFO",
    neighbours: "outages; power save; a device that doesn't read or accept; retransmissions due to delayed \
                 acknowledgements",
    change: "nothing on the device; check signal, channel and access point; CONFIG_LWIP_TCP_QUEUE_OOSEQ=y \
             makes losses cheaper",
};

pub(super) fn claim(e: &Evidence<'_>) -> Option<Claim> {
    let finding = find(e)?;
    let fills = facts::lost_resets::fill_the_device(e);
    Some(Claim::new(if fills { Firm::Shown } else { Firm::Likely }, finding))
}

fn find(e: &Evidence<'_>) -> Option<Finding> {
    let loss = facts::path::loss(e)?;
    let mut evidence = vec![format!("{} of {} {} lost", loss.lost, loss.whole, loss.of)];
    if let Some(path) = e.path {
        evidence.push(format!(
            "packets: the client retransmitted {} of {}, {} of them needlessly; {} of {} from the device \
             arrived late and filled a gap; {} out of order",
            path.to_device.retransmissions,
            things(path.to_device.data_segments, "segment"),
            path.to_device.repeated_early,
            path.from_device.late_fills,
            path.from_device.data_segments,
            path.to_device.out_of_order.saturating_add(path.from_device.out_of_order)
        ));
        if path.resets.lost > 0 {
            evidence.push(format!(
                "of {} that the client reset, the device still held {} long after, {} at once: their RSTs were \
                 lost",
                things(path.resets.sent, "connection"),
                path.resets.lost,
                path.resets.lost_at_once
            ));
        }
    }
    let bad = loss.lost.saturating_mul(20) >= loss.whole;
    Some(Finding {
        id: FindingId::LossyLink,
        severity: if bad { Severity::Warning } else { Severity::Info },
        statement: if loss.whole >= PERCENT {
            format!("The link loses {} of {}.", percent(loss.lost, loss.whole), loss.of)
        } else {
            format!("The link loses {}: {} of {}.", loss.of, loss.lost, loss.whole)
        },
        evidence,
        cause: "radio: distance, interference, a crowded channel; these losses are not the program's doing"
            .into(),
        change:
            "nothing in the program; try another channel or a place nearer to the access point, and keep \
             CONFIG_LWIP_TCP_QUEUE_OOSEQ=y so a loss costs only one segment"
                .into(),
    })
}
