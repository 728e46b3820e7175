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

use super::super::{ClosePolicy, Evidence, Finding, FindingId, HeapEvidence, Severity, WorkloadEvidence};
use super::text::{bytes, percent, things};
use super::{FindingEntry, signs, socket_exhaustion};
use espstress_event::Failure;

/// RSTs that are no chance.
const FEW: u64 = 3;

/// Cause and change where the device closes first.
const TIME_WAIT_HOLDS_IT: (&str, &str) = (
    "the device closes first, and each connection in TIME_WAIT keeps its control block for 2 x MSL",
    "CONFIG_LWIP_TCP_MSL=6000, and ESP-IDF 5.5 or later, where CONFIG_LWIP_MAX_ACTIVE_TCP=16 is enforced; or let \
     clients close first",
);

/// The same elsewhere.
const LOAD_NEEDS_IT: (&str, &str) = (
    "the load needs more memory than there is, or memory is not given back",
    "smaller windows: CONFIG_LWIP_TCP_WND_DEFAULT=2880, CONFIG_LWIP_TCP_SND_BUF_DEFAULT=2880; fewer connections at \
     once; check for a leak",
);

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::HeapLow,
    severity: Severity::Error,
    meaning: "the device nearly ran out of memory: the next connection, or Wi-Fi itself, may fail",
    needs: "telemetry with free heap",
    neighbours: "a leak, which says why; a heap that is low by design and steady",
    change: "fewer or smaller buffers: CONFIG_LWIP_TCP_WND_DEFAULT, CONFIG_LWIP_TCP_SND_BUF_DEFAULT, \
             CONFIG_LWIP_MAX_ACTIVE_TCP; CONFIG_LWIP_TCP_MSL=6000 where TIME_WAIT holds it",
};

fn threshold(heap: &HeapEvidence) -> u64 {
    /// Less than this is low whatever the heap, bytes: a window and a send buffer no longer fit.
    const LEAST: u64 = 4 * 1024;
    /// More than this is not low whatever the heap, bytes: a TLS handshake still fits.
    const MOST: u64 = 16 * 1024;
    heap.total.map_or(8 * 1024, |total| total / 100 * 8).clamp(LEAST, MOST)
}

pub(super) fn low(e: &Evidence<'_>) -> Option<HeapEvidence> {
    let heap = signs::telemetry(e)?.heap?;
    (heap.free_min < threshold(&heap)).then_some(heap)
}

/// A workload whose connections fail for want of memory. A program that hangs resets nothing, and its heap does not
/// go down before; one that has no socket left still answers telemetry; sockets that are kept are another cause.
fn starved<'a>(e: &'a Evidence<'_>) -> Option<&'a WorkloadEvidence> {
    let ping = e.probes.icmp.value().filter(|p| p.answered > 0)?;
    let telemetry = e.probes.telemetry.value().filter(|p| p.answered > 0)?;
    // Its time-out is the longer one: at the end of a run the last questions may still be open.
    let silence = signs::open_silence(telemetry);
    let silent = silence.is_some() || telemetry.sent.saturating_add(2) <= ping.sent;
    if !silent || socket_exhaustion::slots_are_kept(e) {
        return None;
    }
    let heap = signs::telemetry(e).and_then(|t| t.heap);
    let until = silence.map_or(e.duration_ns, |silence| silence.from_ns);
    let fell = heap.is_some_and(|heap| fell_to_nothing(&heap, until, e.duration_ns));
    let filled = |w| heap.is_some_and(|heap| time_wait_fills(e, w, heap.free_first));
    let refuses = |w| in_resets(w) && ping_goes_on(e);
    signs::exchanges(e)
        .find(|w| w.succeeded > 0 && signs::service_end(e, w).is_some() && (fell || filled(w) || refuses(w)))
}

fn ping_goes_on(e: &Evidence<'_>) -> bool {
    e.probes.icmp.value().is_some_and(|p| p.answered > 0 && signs::open_silence(p).is_none())
}

/// Whether want of memory shows from outside: it explains any silence.
pub(super) fn starves(e: &Evidence<'_>) -> bool {
    starved(e).is_some()
}

/// Whether the heap was down to a quarter when it was last told, or to half and at its pace had nothing left at the
/// end of the run.
fn fell_to_nothing(heap: &HeapEvidence, told_until: u64, end: u64) -> bool {
    let lost = u128::from(heap.free_first.saturating_sub(heap.free_last));
    let silent_for = u128::from(end.saturating_sub(told_until));
    let gone = u128::from(heap.free_last) * u128::from(told_until) <= lost * silent_for;
    let down_to = |part: u64| heap.free_last.saturating_mul(part) <= heap.free_first;
    down_to(4) || (down_to(2) && gone)
}

/// Whether control blocks in TIME_WAIT must have taken half of the heap or more, where the device closes first and keeps
/// them all: lwIP's take 160 to 230 bytes, by word size, and the allocator adds to each.
fn time_wait_fills(e: &Evidence<'_>, w: &WorkloadEvidence, free: u64) -> bool {
    /// lwIP's control block in TIME_WAIT, the least of its sizes, bytes.
    const BLOCK: u64 = 160;
    let kept_for = e.device.msl_ms.unwrap_or(60_000).saturating_mul(2 * 1_000_000);
    let took = signs::last_success_ns(w).unwrap_or(w.end_ns).saturating_sub(w.start_ns);
    w.close == ClosePolicy::Wait && took < kept_for && w.succeeded.saturating_mul(BLOCK) >= free / 2
}

/// Whether its failures are RSTs, most of them.
fn in_resets(w: &WorkloadEvidence) -> bool {
    let resets = resets(w);
    resets >= FEW && resets > w.failures.of_device().saturating_sub(resets)
}

fn resets(w: &WorkloadEvidence) -> u64 {
    w.failures.get(Failure::ConnectReset).saturating_add(signs::reset_in_exchange(w))
}

pub(super) fn happened(e: &Evidence<'_>) -> bool {
    low(e).is_some() || starved(e).is_some()
}

pub(super) fn find(e: &Evidence<'_>) -> Option<Finding> {
    low(e).map(|heap| of_reading(e, &heap)).or_else(|| starved(e).map(|w| of_silence(e, w)))
}

fn of_silence(e: &Evidence<'_>, w: &WorkloadEvidence) -> Finding {
    let resets = resets(w);
    let mut evidence = vec![format!(
        "{}: {} succeeded, then {} met a RST and {} failed otherwise",
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
    if let Some(heap) = signs::telemetry(e).and_then(|t| t.heap) {
        evidence.push(format!(
            "free heap {} at first, {} when it was last told",
            bytes(heap.free_first),
            bytes(heap.free_last)
        ));
    }
    let (cause, change) = if w.close == ClosePolicy::Wait { TIME_WAIT_HOLDS_IT } else { LOAD_NEEDS_IT };
    Finding {
        id: FindingId::HeapLow,
        severity: Severity::Error,
        statement: format!(
            "The device ran out of memory, as it looks from outside: after {} {} telemetry is answered, and ping {}.",
            things(w.succeeded, "exchange"),
            if in_resets(w) { "connections meet RSTs, no" } else { "neither requests nor" },
            if ping_goes_on(e) { "goes on" } else { "ended as well" }
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
    heap.free_min < SEGMENT && signs::exchanges(e).any(|w| w.failures.of_device() > 0)
}

fn of_reading(e: &Evidence<'_>, heap: &HeapEvidence) -> Finding {
    let of = heap.total.map_or_else(String::new, |total| {
        format!(" of {} ({})", bytes(total), percent(heap.free_min, total))
    });
    let mut evidence = vec![format!(
        "free heap {} at first, {} at its lowest, {} at the end; low is below {}",
        bytes(heap.free_first),
        bytes(heap.free_min),
        bytes(heap.free_last),
        bytes(threshold(heap))
    )];
    if let Some(block) = heap.largest_block_min {
        evidence.push(format!("the largest free block was {} at its smallest", bytes(block)));
    }
    let time_wait = signs::telemetry(e).and_then(|t| t.time_wait).filter(|t| t.most >= 50);
    let (cause, change) = match time_wait {
        Some(t) => {
            evidence.push(format!("up to {} connections in TIME_WAIT hold memory", t.most));
            TIME_WAIT_HOLDS_IT
        }
        None => LOAD_NEEDS_IT,
    };
    Finding {
        id: FindingId::HeapLow,
        severity: if starved(e).is_some() || broke(e, heap) { Severity::Error } else { Severity::Warning },
        statement: format!("The device's free heap went down to {}{of}.", bytes(heap.free_min)),
        evidence,
        cause: cause.into(),
        change: change.into(),
    }
}
