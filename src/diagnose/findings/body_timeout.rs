//! `body_timeout`: each answer to a request with a body comes a constant time after its last segment. The program goes on
//! reading until nothing has come for so long, instead of counting the bytes that Content-Length promises (RFC 9112, 6.2).
//!
//! Evidence: requests with a body; the time from their last byte to the first of the answer has a floor on which at least
//! half of them lie, far above ping.
//!
//! Neighbours: a program that takes its time with a body has a spread. `nagle_delay`: there the answer's own segments wait.
//!
//! Severity: a warning: each upload takes so much longer, and nothing fails.
//!
//! Thresholds: five answers; 200 ms, which delayed acknowledgements and Nagle's algorithm stay below; half of the answers
//! within a twentieth of the fastest: on a busy machine the host and the device wake up some 20 ms late.

use super::super::facts;
use super::super::{Evidence, Finding, FindingId, Quantiles, Severity, WorkloadEvidence};
use super::FindingEntry;
use super::text::{things, time};

/// Fewer answers may have been late by chance.
const ENOUGH: u64 = 5;
/// An answer that comes so late waited for something, nanoseconds: Linux's least time-out, and less than lwIP's timers.
const LONG: u64 = facts::SECOND / 5;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::BodyTimeout,
    severity: Severity::Warning,
    meaning: "each response to a request with a body comes a fixed time after the body: probably a recv() \
              timeout",
    needs: "a workload whose requests have a body (head --body)",
    neighbours: "a slow program; segments that wait for an acknowledgement",
    change: "read exactly Content-Length bytes, however many segments they arrive in, then answer",
};

fn waits<'a>(e: &Evidence<'_>, w: &'a WorkloadEvidence) -> Option<(&'a WorkloadEvidence, Quantiles)> {
    let first = w.first_byte.filter(|first| w.asks.body && first.count >= ENOUGH && first.p50_ns >= LONG)?;
    let constant = first.p50_ns.saturating_sub(first.min_ns) <= first.p50_ns / 20;
    let ping = facts::datagram_probe(e).and_then(|probe| probe.latency).map_or(0, |ping| ping.p50_ns);
    (constant && ping.saturating_mul(4) < first.p50_ns).then_some((w, first))
}

/// Segments of a request, where the packets show them and nothing else was sent.
fn segments(e: &Evidence<'_>) -> Option<u64> {
    let [w] = e.workloads.as_slice() else { return None };
    let side = e.path?.to_device;
    let sent = side.data_segments.saturating_sub(side.retransmissions);
    (w.attempts > 0 && sent % w.attempts == 0).then(|| sent / w.attempts)
}

pub(super) fn find(e: &Evidence<'_>) -> Option<Finding> {
    let all: Vec<_> = facts::exchanges(e).filter_map(|w| waits(e, w)).collect();
    let (_, worst) = all.iter().max_by_key(|(_, first)| first.p50_ns)?;
    let mut evidence: Vec<String> = all
        .iter()
        .map(|(w, first)| {
            format!(
                "{}: first byte {} after the request at the fastest, median {}",
                w.name,
                time(first.min_ns),
                time(first.p50_ns)
            )
        })
        .collect();
    evidence.extend(
        facts::exchanges(e).filter(|w| !w.asks.body).filter_map(|w| {
            Some(format!("{}: median {} without a body", w.name, time(w.first_byte?.p50_ns)))
        }),
    );
    Some(Finding {
        id: FindingId::BodyTimeout,
        severity: Severity::Warning,
        statement: format!(
            "Each response to a request with a body comes {} after the body{}: probably a recv() timeout.",
            time(worst.p50_ns),
            segments(e).map_or_else(String::new, |n| format!(" ({})", things(n, "segment")))
        ),
        evidence,
        cause: "the program reads until recv() times out, instead of reading Content-Length bytes; or it \
                always pauses for the same time"
            .into(),
        change: ENTRY.change.into(),
    })
}
