//! `heap_low`: the device nearly ran out of memory during the run.
//!
//! Evidence: telemetry's least free heap during the run.
//!
//! Neighbours: `heap_leak` says why it fell; this says how near the end was. A large heap in small pieces is no
//! finding by itself, but is told.
//!
//! Threshold: 8 % of the heap, between 4 and 16 KiB: a connection with both windows of four segments takes 12 KiB,
//! and below some 4 KiB lwIP gets no control blocks with their first segments.

use super::super::{Evidence, Finding, FindingId, HeapEvidence, Severity};
use super::text::{bytes, percent};
use super::{FindingEntry, signs};

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::HeapLow,
    severity: Severity::Warning,
    meaning: "the device nearly ran out of memory: the next connection, or Wi-Fi itself, may fail",
    needs: "telemetry with free heap",
    neighbours: "a leak, which says why; a heap that is low by design and steady",
    change: "fewer or smaller buffers: CONFIG_LWIP_TCP_WND_DEFAULT, CONFIG_LWIP_TCP_SND_BUF_DEFAULT, \
             CONFIG_LWIP_MAX_ACTIVE_TCP; CONFIG_LWIP_TCP_MSL=6000 where TIME_WAIT holds it",
};

fn threshold(heap: &HeapEvidence) -> u64 {
    const LEAST: u64 = 4 * 1024;
    const MOST: u64 = 16 * 1024;
    heap.total.map_or(8 * 1024, |total| total / 100 * 8).clamp(LEAST, MOST)
}

fn low(e: &Evidence<'_>) -> Option<HeapEvidence> {
    let heap = signs::telemetry(e)?.heap?;
    (heap.free_min < threshold(&heap)).then_some(heap)
}

pub(super) fn happened(e: &Evidence<'_>) -> bool {
    low(e).is_some()
}

pub(super) fn find(e: &Evidence<'_>) -> Option<Finding> {
    let heap = low(e)?;
    let of = heap.total.map_or_else(String::new, |total| {
        format!(" of {} ({})", bytes(total), percent(heap.free_min, total))
    });
    let mut evidence = vec![format!(
        "free heap {} at first, {} at least, {} at the end; low is below {}",
        bytes(heap.free_first),
        bytes(heap.free_min),
        bytes(heap.free_last),
        bytes(threshold(&heap))
    )];
    if let Some(block) = heap.largest_block_min {
        evidence.push(format!("largest free block at least {}", bytes(block)));
    }
    let time_wait = signs::telemetry(e).and_then(|t| t.time_wait).filter(|t| t.most >= 50);
    let (cause, change) = match time_wait {
        Some(t) => {
            evidence.push(format!("up to {} connections in TIME_WAIT hold memory", t.most));
            (
                "the device closes first, and each connection in TIME_WAIT keeps its control block for 2 x MSL",
                "CONFIG_LWIP_TCP_MSL=6000, and ESP-IDF 5.5 or later, where CONFIG_LWIP_MAX_ACTIVE_TCP=16 is enforced; \
                 or let clients close first",
            )
        }
        None => (
            "the load needs more memory than there is, or memory is not given back",
            "smaller windows: CONFIG_LWIP_TCP_WND_DEFAULT=2880, CONFIG_LWIP_TCP_SND_BUF_DEFAULT=2880; fewer connections \
             at once; check for a leak",
        ),
    };
    Some(Finding {
        id: FindingId::HeapLow,
        severity: Severity::Warning,
        statement: format!("The device's free heap went down to {}{of}.", bytes(heap.free_min)),
        evidence,
        cause: cause.into(),
        change: change.into(),
    })
}
