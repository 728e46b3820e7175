//! `makes_room`: the device closes the connection that was idle for longest as soon as a newcomer needs its place. That is
//! a way of working, and the one that keeps silent peers from shutting others out; esp_http_server calls it
//! `lru_purge_enable`.
//!
//! Evidence: connections on which the host fell silent, one after the other. The device closed the first of them while
//! further ones came, in that order, served every newcomer, and kept the last ones for much longer.
//!
//! Neighbours: `closes_idle`: a time-out closes each at the same age, also the last. `half_open_not_reclaimed` refuses the
//! newcomer. A program that closes what it has no session for closes the newcomer, not the oldest.
//!
//! Severity: information. It explains connections of a crowd that were closed before an answer, where the crowd is as
//! large as what the device holds.
//!
//! Thresholds: two closed, so that one closed by chance says nothing; the ones that were kept were silent for twice as
//! long as those that had to go, and a second at least.

use super::super::{Evidence, Finding, FindingId, HalfOpenEvidence, Severity, WorkloadEvidence};
use super::FindingEntry;
use super::signs::{self, SECOND};
use super::text::{things, time};
use espstress_event::Failure;

/// Once may be chance.
const TWICE: usize = 2;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::MakesRoom,
    severity: Severity::Info,
    meaning: "the device closes the connection that was idle for longest when a newcomer needs its place",
    needs: "a half-open workload that opens more connections than the device holds, and the packets",
    neighbours: "an idle time-out; a device that refuses newcomers; a program that closes the newcomer",
    change: "nothing in the device; a client opens another connection where an idle one was closed",
};

/// How it was seen.
struct Seen {
    /// Connections that had to go for a newcomer while the host went on opening.
    closed: usize,
    /// The longest that one of these had been silent.
    longest_ns: u64,
    /// The most that were held at once.
    held: usize,
    /// How long the ones that were kept had been silent, at least.
    kept_ns: u64,
}

fn seen(h: &HalfOpenEvidence) -> Option<Seen> {
    let served = h.during.served == h.during.attempts && !h.exhausted && h.unserved == 0;
    let last = h.silent.last()?.since_ns;
    // The place is needed when the last one is accepted, and its answer comes a moment later.
    let closed = h.silent.iter().take_while(|s| s.closed_after_ns.is_some());
    let closed: Vec<u64> = closed
        .filter_map(|s| s.closed_after_ns.filter(|after| s.since_ns.saturating_add(*after) <= last))
        .collect();
    let longest_ns = closed.iter().copied().max()?;
    // In order: whatever was closed fell silent before whatever was kept.
    let first_kept = h.silent.iter().position(|s| !s.reclaimed)?;
    let (before, after) = h.silent.split_at_checked(first_kept)?;
    let in_order = before.iter().all(|s| s.closed_after_ns.is_some()) && after.iter().all(|s| !s.reclaimed);
    let open_at = |at: u64| {
        h.silent
            .iter()
            .filter(|s| s.since_ns <= at)
            .filter(|s| s.closed_after_ns.is_none_or(|after| s.since_ns.saturating_add(after) > at))
            .count()
    };
    let held = h.silent.iter().map(|s| open_at(s.since_ns)).max()?;
    let kept_ns = h.watched_ns;
    let longer = kept_ns >= SECOND && kept_ns >= longest_ns.saturating_mul(2);
    (served && in_order && longer && closed.len() >= TWICE).then_some(Seen {
        closed: closed.len(),
        longest_ns,
        held,
        kept_ns,
    })
}

/// Whether silent connections were closed for others, and by no time-out.
pub(super) fn is_seen(h: &HalfOpenEvidence) -> bool {
    seen(h).is_some()
}

/// What a connection that has to go meets.
pub(super) fn fails_so(e: &Evidence<'_>, w: &WorkloadEvidence, failure: Failure) -> bool {
    use Failure as F;
    let cut = matches!(failure, F::EofBeforeResponse | F::ReadReset | F::WriteReset | F::ConnectReset);
    cut && signs::is_exchange(w) && explains(e, w)
}

/// Whether a workload opens as many at once as the device was seen to hold; the probe beside it takes a place as well.
pub(super) fn explains(e: &Evidence<'_>, w: &WorkloadEvidence) -> bool {
    let held = e.workloads.iter().filter_map(|w| seen(w.half_open.as_ref()?)).map(|seen| seen.held).min();
    held.is_some_and(|held| w.at_once as usize >= held)
}

pub(super) fn find(e: &Evidence<'_>) -> Option<Finding> {
    let all: Vec<_> = e.workloads.iter().filter_map(|w| Some((w, seen(w.half_open.as_ref()?)?))).collect();
    let (_, first) = all.first()?;
    let mut evidence: Vec<String> = all
        .iter()
        .map(|(w, seen)| {
            format!(
                "{}: {} closed in the order of silence while further ones came, the longest after {}; the last ones were \
                 kept for {}",
                w.name,
                things(seen.closed as u64, "silent connection"),
                time(seen.longest_ns),
                time(seen.kept_ns)
            )
        })
        .collect();
    evidence.extend(signs::exchanges(e).filter(|w| explains(e, w)).filter_map(|w| {
        let cut = w.failures.iter().filter(|(failure, _)| fails_so(e, w, *failure));
        let cut = cut.fold(0_u64, |n, (_, more)| n.saturating_add(more));
        (cut > 0).then(|| {
            format!(
                "{}: {} of {} made room for others before an answer, with up to {} at once",
                w.name,
                cut,
                things(w.attempts, "connection"),
                w.at_once
            )
        })
    }));
    Some(Finding {
        id: FindingId::MakesRoom,
        severity: Severity::Info,
        statement: format!(
            "The device makes room for newcomers: it holds {}, and then closes the one that was idle for longest.",
            things(first.held as u64, "connection")
        ),
        evidence,
        cause: "the program ends its least recently used session when it needs one, as esp_http_server does with \
                lru_purge_enable"
            .into(),
        change: ENTRY.change.into(),
    })
}
