//! `heap_leak`: the device keeps memory of requests, or as time goes by, and does not give it back.
//!
//! Evidence: the slope of the free heap, per request or per second, whose 95 % confidence interval lies below zero,
//! and free heap that is still missing after the last close. A run too short for a slope: much is missing.
//!
//! Neighbours: noise (the interval holds zero); memory in use while under load (it comes back after the watch);
//! a start-up that settles (nothing more goes in the second half); a step, which no slope is; TIME_WAIT, which comes back after 2 x MSL: what
//! its control blocks explain is subtracted, and where the device closes first and does not count them, nothing
//! is said; sockets that are held, which another finding says; segments that a losing path has not acknowledged;
//! connections that the program has closed and whose peer has not let go of them yet; readings that a program prints on
//! its console at moments of its choice, low with a connection open and high without: there only the highest of the
//! beginning and of the end are compared, since what comes back even once is not lost.
//!
//! Thresholds: 8 KiB and 8 % of the heap without a slope, more than what is set up once; else 2 KiB lost in all, less is the size of a single connection's buffers; 4 bytes a request, the least
//! that an allocator gives.

use super::super::facts;
use super::super::{
    ClosePolicy, Evidence, Finding, FindingId, HeapEvidence, InUse, MemoryEvidence, Severity, Slope,
    WorkloadKind,
};
use super::FindingEntry;
use super::text::{bytes, rate, things, time};

/// Least loss in all, bytes.
const LOST: u64 = 2_048;
/// Least loss in all where no slope tells that it goes on, bytes.
const LOST_AT_ONCE: u64 = 8 * 1024;
/// Least loss a request, bytes.
const PER_REQUEST: f64 = 4.0;
/// Fewest requests for a loss a request.
const REQUESTS: u64 = 50;
/// A control block in TIME_WAIT with what the allocator adds, bytes (lwIP's is 160 to 230, by word size).
const TIME_WAIT_BLOCK: u64 = 320;
/// What a connection that the program has closed may hold: a send buffer (`CONFIG_LWIP_TCP_SND_BUF_DEFAULT`) and its
/// control block, bytes.
const CLOSING: u64 = 6 * 1024;
/// Fewest readings that a device told unasked: three each of the beginning, the middle and the end.
const UNASKED: u64 = 9;
/// What a connection may hold: a window, a send buffer and its control structures, bytes.
const CONNECTION: u64 = 12 * 1024;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::HeapLeak,
    severity: Severity::Error,
    meaning: "free heap falls with each request, or over time, and doesn't recover",
    needs: "telemetry with free heap, for enough requests or minutes to compute a confidence interval",
    neighbours: "noise; load; TIME_WAIT, which ends after 2 x MSL; open sockets",
    change: "find the allocation that a request leaves behind: heap_trace_start(HEAP_TRACE_LEAKS) around one request \
             (CONFIG_HEAP_TRACING_STANDALONE=y)",
};

fn falls(slope: Option<Slope>) -> Option<Slope> {
    slope.filter(|s| {
        s.mean.is_finite() && s.high.is_finite() && s.low.is_finite() && s.high < 0.0 && s.mean < 0.0
    })
}

/// Memory that TIME_WAIT and held connections may take at the end, bytes.
fn allowed(e: &Evidence<'_>, heap: &HeapEvidence, holds: bool) -> u64 {
    let more = |of: fn(&InUse) -> Option<u32>| {
        of(&heap.first).zip(of(&heap.last)).map(|(first, last)| u64::from(last.saturating_sub(first)))
    };
    let blocks = more(|held| held.time_wait).unwrap_or(0);
    let sockets = more(|held| held.sockets);
    let counted = sockets.is_some();
    // Connections that no program accepts hold what their clients have sent, and no socket.
    let sockets = sockets.unwrap_or(0).max(more(|held| held.open).unwrap_or(0));
    let held = match holds {
        true => sockets.max(facts::at_once(e)).max(u64::from(e.device.capacity.unwrap_or(10))),
        // Connections that the host fell silent on may still be held, where the device does not count them; where it
        // does, the last may still be on its way out.
        _ if e.workloads.len() != facts::exchanges(e).count() => {
            // The host resets what fell silent before a half-open workload ends; what vanished is in no socket's count.
            let reset = e.workloads.iter().all(|w| w.kind == WorkloadKind::HalfOpen || facts::is_exchange(w));
            if reset && counted { sockets.max(1) } else { u64::from(e.device.capacity.unwrap_or(10)) }
        }
        // What a losing path has not acknowledged is kept, to be sent again.
        _ if facts::path::loses(e) => sockets.max(facts::at_once(e)),
        _ => sockets,
    };
    // Connections that the host has reset, and whose RST was lost, are held as well, whatever the program does.
    let held = held.max(e.path.map_or(0, |path| path.resets.lost_at_once));
    let closing = heap.last.closing.map_or(0, u64::from);
    let each = [(blocks, TIME_WAIT_BLOCK), (closing, CLOSING), (held, CONNECTION)];
    each.into_iter().fold(0, |sum, (n, size)| sum.saturating_add(n.saturating_mul(size)))
}

/// What the free heap was in the beginning, in the middle and at the end of a run.
struct Levels {
    first: u64,
    middle: Option<u64>,
    last: u64,
    /// Whether the end is known to be after the last connection.
    at_rest: bool,
}

/// `None` where too little was told to compare. What a program prints with a connection open comes back.
fn levels(heap: &HeapEvidence) -> Option<Levels> {
    if !heap.unasked {
        let (first, middle, last) = (heap.free_first, heap.free_middle, heap.free_last);
        return Some(Levels { first, middle, last, at_rest: true });
    }
    let of = heap.ceiling.filter(|ceiling| ceiling.readings >= UNASKED)?;
    Some(Levels { first: of.first, middle: Some(of.middle), last: of.last, at_rest: of.at_rest })
}

/// Where the device closes first and does not count its TIME_WAIT, nobody can tell it from a leak.
fn may_be_time_wait(e: &Evidence<'_>, per_request: Option<Slope>) -> bool {
    let uncounted = facts::telemetry(e).is_none_or(|t| t.time_wait.is_none());
    let closes_first = facts::exchanges(e).any(|w| w.close == ClosePolicy::Wait);
    uncounted && closes_first && per_request.is_none_or(|s| s.mean > -(TIME_WAIT_BLOCK as f64))
}

/// `holds` is whether connections are known to be held, each with its memory.
pub(super) fn find(e: &Evidence<'_>, holds: bool) -> Option<Finding> {
    find_on_heap(e, holds).or_else(|| find_in_program(e))
}

/// Growth of a program of the user's own. Its allocator and garbage collector are not the device's, so this is
/// information: what grows with requests on a host grows on a device as well, unless something collects it.
fn find_in_program(e: &Evidence<'_>) -> Option<Finding> {
    /// Least growth, bytes: less is the allocator's own business.
    const GROWN: u64 = 128 * 1024;
    let telemetry = facts::telemetry(e)?;
    let memory: &MemoryEvidence = telemetry.program_memory.as_ref()?;
    let slope = memory.per_second.filter(|s| s.mean.is_finite() && s.low > 0.0)?;
    let grown = memory.last.saturating_sub(memory.first);
    let goes_on =
        memory.middle.is_some_and(|middle| memory.last.saturating_sub(middle).saturating_mul(4) >= grown);
    if !telemetry.restarts.is_empty() || telemetry.requests < REQUESTS || grown < GROWN || !goes_on {
        return None;
    }
    let mut evidence = vec![format!(
        "the program's own memory: {} at the start, {} at the end, over {}",
        bytes(memory.first),
        bytes(memory.last),
        things(telemetry.requests, "request")
    )];
    if let (Some(mean), Some(least), Some(most)) = (rate(slope.mean), rate(slope.low), rate(slope.high)) {
        evidence.push(format!("{mean} more per second, with 95 % confidence between {least} and {most}"));
    }
    Some(Finding {
        id: FindingId::HeapLeak,
        severity: Severity::Info,
        statement: format!(
            "Your program's own memory grew by {} and still grows at the end; the heap of the TCP/IP stack does not.",
            bytes(grown)
        ),
        evidence,
        cause:
            "the program allocates memory for requests and keeps it, or its garbage collector has not run yet"
                .into(),
        change: "run it longer; if it keeps growing, use valgrind or -fsanitize=leak".into(),
    })
}

fn find_on_heap(e: &Evidence<'_>, holds: bool) -> Option<Finding> {
    let telemetry = facts::telemetry(e)?;
    let heap = telemetry.heap.as_ref()?;
    let levels = levels(heap)?;
    let step = facts::memory::heap_step(e);
    let falls = |slope| falls(slope).filter(|_| step.is_none());
    let per_request =
        falls(heap.per_request).filter(|s| s.mean <= -PER_REQUEST && telemetry.requests >= REQUESTS);
    let per_second = falls(heap.per_second);
    let slope = per_request.or(per_second);
    let whole = levels.first.saturating_sub(levels.last);
    let mut allowed = allowed(e, heap, holds);
    if !levels.at_rest {
        // In each third one connection may have been open or none; more of them at once hold more.
        allowed = allowed.max(facts::at_once(e).saturating_sub(2).saturating_mul(CONNECTION));
    }
    let allowed = allowed.min(whole);
    let by_slope = per_request.map_or(0.0, |s| -s.mean * telemetry.requests as f64) as u64;
    // Over restarts, only the slopes within each start of the device are left.
    let missing = if telemetry.restarts.is_empty() { whole - allowed } else { by_slope };
    let goes_on = levels.middle.is_none_or(|middle| {
        let second = middle.saturating_sub(levels.last);
        !telemetry.restarts.is_empty() || second.saturating_mul(4) >= whole
    });
    let much = LOST_AT_ONCE.max(heap.total.unwrap_or(0) / 100 * 8);
    let at_once =
        levels.at_rest && telemetry.restarts.is_empty() && telemetry.requests >= REQUESTS && missing >= much;
    let steadily = slope.is_some() && goes_on && missing >= LOST;
    // Each start settles anew, which looks like a loss over its first requests: a leak that ends in restarts takes most
    // of the heap before.
    let settles = !telemetry.restarts.is_empty() && heap.free_min > heap.free_first / 2;
    if settles || !(steadily || at_once) || may_be_time_wait(e, per_request) {
        return None;
    }
    let of = if heap.unasked { "highest free heap" } else { "free heap" };
    let lowest =
        if heap.unasked { String::new() } else { format!(", {} at the lowest", bytes(heap.free_min)) };
    let mut evidence = vec![format!(
        "{of}: {} at the start{lowest}, {} at the end, over {}",
        bytes(levels.first),
        bytes(levels.last),
        things(telemetry.requests, "request")
    )];
    if allowed > 0 && telemetry.restarts.is_empty() {
        evidence
            .push(format!("open connections may hold {} of it, which isn't counted as lost", bytes(allowed)));
    }
    evidence.extend(step.map(facts::memory::step_in_words));
    let mut interval = |slope: Slope, unit: &str| {
        if let (Some(mean), Some(least), Some(most)) = (rate(slope.mean), rate(slope.high), rate(slope.low)) {
            evidence.push(format!("{mean} lost a {unit}, with 95 % confidence between {least} and {most}"));
        }
    };
    if let Some(slope) = per_request {
        interval(slope, "request");
    }
    if let Some(slope) = per_second {
        interval(slope, "second");
    }
    if let Some(t) = telemetry.time_wait {
        evidence.push(format!("connections in TIME_WAIT: {} at the start, {} at the end", t.first, t.last));
    }
    let each = slope.and_then(|s| rate(s.mean)).map_or_else(
        || step.map_or_else(|| "heap under load".to_owned(), |step| format!("heap at {}", time(step.at_ns))),
        |mean| {
            format!(
                "about {mean} of heap with each {}",
                if per_request.is_some() { "request" } else { "second" }
            )
        },
    );
    // What open connections may hold is left out, so it may be more.
    let lost = missing.max(by_slope.min(whole));
    let at_least = if telemetry.restarts.is_empty() && lost < whole { "at least " } else { "" };
    Some(Finding {
        id: FindingId::HeapLeak,
        severity: Severity::Error,
        statement: format!(
            "{} loses {each}: {at_least}{} did not come back.",
            if telemetry.program_memory.is_some() {
                "The TCP/IP stack under your program"
            } else {
                "The device"
            },
            bytes(lost)
        ),
        evidence,
        cause: "the program allocates memory for a request or a connection and doesn't free it".into(),
        change: "set CONFIG_HEAP_TRACING_STANDALONE=y, call heap_trace_start(HEAP_TRACE_LEAKS) before and \
                 heap_trace_dump() after one request; check error paths, and lists that only grow"
            .into(),
    })
}
