//! The free heap: how low it went, whether it ran out, and the step by which it fell.

use super::super::findings::text::{bytes, time};
use super::super::{ClosePolicy, Evidence, HeapEvidence, HeapStep, WorkloadEvidence};
use super::{exchanges, last_success_ns, open_silence, reset_in_exchange, service_end, sockets, telemetry};
use espstress_event::Failure;

/// The step by which the free heap fell, where most of what is missing went in it.
pub(crate) fn heap_step(e: &Evidence<'_>) -> Option<HeapStep> {
    let heap = telemetry(e)?.heap.as_ref()?;
    let lost = heap.ceiling.map_or_else(
        || heap.free_first.saturating_sub(heap.free_last),
        |ceiling| ceiling.first.saturating_sub(ceiling.last),
    );
    heap.step.filter(|step| step.by < 0 && step.by.unsigned_abs().saturating_mul(2) >= lost)
}

/// It, with its time.
pub(crate) fn step_in_words(step: HeapStep) -> String {
    let (fell, at) = (bytes(step.by.unsigned_abs()), time(step.at_ns));
    format!("free heap fell by {fell} at {at} and stayed there: a single step, not a loss with each request")
}

/// RSTs that are no chance.
const FEW: u64 = 3;

pub(crate) fn threshold(heap: &HeapEvidence) -> u64 {
    /// Less than this is low whatever the heap, bytes: a window and a send buffer no longer fit.
    const LEAST: u64 = 4 * 1024;
    /// More than this is not low whatever the heap, bytes: a TLS handshake still fits.
    const MOST: u64 = 16 * 1024;
    heap.total.map_or(8 * 1024, |total| total / 100 * 8).clamp(LEAST, MOST)
}

pub(crate) fn low(e: &Evidence<'_>) -> Option<HeapEvidence> {
    let heap = telemetry(e)?.heap?;
    (heap.free_min < threshold(&heap)).then_some(heap)
}

/// A workload whose connections fail for want of memory. A program that hangs resets nothing, and its heap does not
/// go down before; one that has no socket left still answers telemetry; sockets that are kept are another cause.
pub(crate) fn starved<'a>(e: &'a Evidence<'_>) -> Option<&'a WorkloadEvidence> {
    let ping = e.probes.icmp.value().filter(|p| p.answered > 0)?;
    let asked = e.probes.telemetry.value().filter(|p| p.answered > 0)?;
    // Its time-out is the longer one: at the end of a run the last questions may still be open.
    let silence = open_silence(asked);
    let silent = silence.is_some() || asked.sent.saturating_add(2) <= ping.sent;
    if !silent || sockets::are_kept(e) {
        return None;
    }
    let heap = telemetry(e).and_then(|t| t.heap);
    let until = silence.map_or(e.duration_ns, |silence| silence.from_ns);
    let fell = heap.is_some_and(|heap| fell_to_nothing(&heap, until, e.duration_ns));
    let filled = |w| heap.is_some_and(|heap| time_wait_fills(e, w, heap.free_first));
    let refuses = |w| in_resets(w) && ping_goes_on(e);
    exchanges(e).find(|w| w.succeeded > 0 && service_end(e, w).is_some() && (fell || filled(w) || refuses(w)))
}

pub(crate) fn ping_goes_on(e: &Evidence<'_>) -> bool {
    e.probes.icmp.value().is_some_and(|p| p.answered > 0 && open_silence(p).is_none())
}

/// Whether want of memory shows from outside: it explains any silence.
pub(crate) fn starves(e: &Evidence<'_>) -> bool {
    starved(e).is_some()
}

/// Whether the heap was down to a quarter when it was last told, or to half and at its pace had nothing left at the
/// end of the run.
pub(crate) fn fell_to_nothing(heap: &HeapEvidence, told_until: u64, end: u64) -> bool {
    let lost = u128::from(heap.free_first.saturating_sub(heap.free_last));
    let silent_for = u128::from(end.saturating_sub(told_until));
    let gone = u128::from(heap.free_last) * u128::from(told_until) <= lost * silent_for;
    let down_to = |part: u64| heap.free_last.saturating_mul(part) <= heap.free_first;
    down_to(4) || (down_to(2) && gone)
}

/// Whether control blocks in TIME_WAIT must have taken half of the heap or more, where the device closes first and keeps
/// them all: lwIP's take 160 to 230 bytes, by word size, and the allocator adds to each.
pub(crate) fn time_wait_fills(e: &Evidence<'_>, w: &WorkloadEvidence, free: u64) -> bool {
    /// lwIP's control block in TIME_WAIT, the least of its sizes, bytes.
    const BLOCK: u64 = 160;
    let kept_for = e.device.msl_ms.unwrap_or(60_000).saturating_mul(2 * 1_000_000);
    let took = last_success_ns(w).unwrap_or(w.end_ns).saturating_sub(w.start_ns);
    w.close == ClosePolicy::Wait && took < kept_for && w.succeeded.saturating_mul(BLOCK) >= free / 2
}

/// Whether its failures are RSTs, most of them.
pub(crate) fn in_resets(w: &WorkloadEvidence) -> bool {
    let resets = resets(w);
    resets >= FEW && resets > w.failures.of_device().saturating_sub(resets)
}

pub(crate) fn resets(w: &WorkloadEvidence) -> u64 {
    w.failures.get(Failure::ConnectReset).saturating_add(reset_in_exchange(w))
}

pub(crate) fn runs_low(e: &Evidence<'_>) -> bool {
    low(e).is_some() || starved(e).is_some()
}
