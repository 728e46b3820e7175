//! `heap_low`: the device nearly ran out of memory during the run.
//!
//! Evidence: telemetry's least free heap during the run. Or want of memory as it looks from outside: connections
//! are answered by RSTs for good, and telemetry, which needs memory for its answer, is silent while ping goes on. An
//! answer to ping takes memory as well: where the heap is known to have gone, a silent ping is explained by it.
//!
//! Neighbours: `heap_leak` says why it fell; this says how near the end was. A large heap in small pieces is no
//! finding by itself, but is told.
//!
//! Severity: a warning as long as it was near, an error where it failed connections.
//!
//! Threshold: 8 % of the heap, between 4 and 16 KiB: a connection with both windows of four segments takes 12 KiB,
//! and below some 4 KiB lwIP gets no control blocks with their first segments.

use super::super::choice::{Claim, Firm};
use super::super::facts;
use super::super::facts::memory;
use super::super::{ClosePolicy, Evidence, Finding, FindingId, HeapEvidence, Severity, WorkloadEvidence};
use super::FindingEntry;
use super::text::{bytes, percent, things};

/// Cause and change where the device closes first.
const TIME_WAIT_HOLDS_IT: (&str, &str) = (
    "the device closes first, so each connection keeps its control block in TIME_WAIT for 2 x MSL",
    "set CONFIG_LWIP_TCP_MSL=6000 and use ESP-IDF 5.5 or later, which enforces CONFIG_LWIP_MAX_ACTIVE_TCP=16; \
     or let clients close first",
);

/// The same elsewhere.
const LOAD_NEEDS_IT: (&str, &str) = (
    "the load needs more memory than the device has, or the program doesn't free it",
    "use smaller windows (CONFIG_LWIP_TCP_WND_DEFAULT=2880, CONFIG_LWIP_TCP_SND_BUF_DEFAULT=2880) or fewer \
     connections at once; check for a leak",
);

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::HeapLow,
    severity: Severity::Error,
    meaning: "the device nearly ran out of memory: the next connection, or Wi-Fi itself, may fail",
    needs: "telemetry with free heap",
    neighbours: "a leak, which says why; a heap that is small but stable",
    change: "use fewer or smaller buffers: CONFIG_LWIP_TCP_WND_DEFAULT, CONFIG_LWIP_TCP_SND_BUF_DEFAULT, \
             CONFIG_LWIP_MAX_ACTIVE_TCP; CONFIG_LWIP_TCP_MSL=6000 if TIME_WAIT holds the memory",
};

pub(super) fn claim(e: &Evidence<'_>) -> Option<Claim> {
    let by_silence = || memory::starved(e).map(|w| of_silence(e, w));
    let finding = memory::low(e).map(|heap| of_reading(e, &heap)).or_else(by_silence)?;
    Some(Claim::new(Firm::Shown, finding))
}

fn of_silence(e: &Evidence<'_>, w: &WorkloadEvidence) -> Finding {
    let resets = memory::resets(w);
    let mut evidence = vec![format!(
        "{}: {} succeeded, then {} got a RST and {} failed in other ways",
        w.name,
        things(w.succeeded, "exchange"),
        resets,
        w.failures.of_device().saturating_sub(resets)
    )];
    for (name, kind) in [("ping", &e.probes.icmp), ("telemetry", &e.probes.telemetry)] {
        if let Some(p) = kind.value() {
            evidence.push(format!("{name}: {} of {} answered", p.answered, things(p.sent, "probe")));
        }
    }
    if let Some(heap) = facts::telemetry(e).and_then(|t| t.heap) {
        evidence.push(format!(
            "free heap: {} at the start, {} in the last reading",
            bytes(heap.free_first),
            bytes(heap.free_last)
        ));
    }
    let (cause, change) = if w.close == ClosePolicy::Wait { TIME_WAIT_HOLDS_IT } else { LOAD_NEEDS_IT };
    Finding {
        id: FindingId::HeapLow,
        severity: Severity::Error,
        statement: format!(
            "Probably out of memory: after {}, {}, {}.",
            things(w.succeeded, "exchange"),
            if memory::in_resets(w) { "connections were reset" } else { "requests got no response" },
            if memory::ping_goes_on(e) {
                "and telemetry stopped, while ping still works"
            } else {
                "and telemetry and ping stopped"
            }
        ),
        evidence,
        cause: cause.into(),
        change: change.into(),
    }
}

/// Whether next to nothing was left, and requests failed in that run: less than a segment with its headers.
fn broke(e: &Evidence<'_>, heap: &HeapEvidence) -> bool {
    /// A full segment with its headers and its `pbuf`, bytes.
    const SEGMENT: u64 = 1_600;
    heap.free_min < SEGMENT && facts::exchanges(e).any(|w| w.failures.of_device() > 0)
}

fn of_reading(e: &Evidence<'_>, heap: &HeapEvidence) -> Finding {
    let of = heap.total.map_or_else(String::new, |total| {
        format!(" of {} ({})", bytes(total), percent(heap.free_min, total))
    });
    let mut evidence = vec![format!(
        "free heap: {} at the start, {} at the lowest, {} at the end; below {} is low",
        bytes(heap.free_first),
        bytes(heap.free_min),
        bytes(heap.free_last),
        bytes(memory::threshold(heap))
    )];
    if let Some(block) = heap.largest_block_min {
        evidence.push(format!("the largest free block was {} at its smallest", bytes(block)));
    }
    let time_wait = facts::telemetry(e).and_then(|t| t.time_wait).filter(|t| t.most >= 50);
    let (cause, change) = match time_wait {
        Some(t) => {
            evidence.push(format!("up to {} connections in TIME_WAIT hold memory", t.most));
            TIME_WAIT_HOLDS_IT
        }
        None => LOAD_NEEDS_IT,
    };
    Finding {
        id: FindingId::HeapLow,
        severity: if memory::starves(e) || broke(e, heap) { Severity::Error } else { Severity::Warning },
        statement: format!("The device's free heap fell to {}{of}.", bytes(heap.free_min)),
        evidence,
        cause: cause.into(),
        change: change.into(),
    }
}
