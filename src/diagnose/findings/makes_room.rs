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

use super::super::facts::room;
use super::super::facts::{self};
use super::super::{Evidence, Finding, FindingId, Severity, WorkloadEvidence};
use super::FindingEntry;
use super::text::{things, time};
use espstress_event::Failure;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::MakesRoom,
    severity: Severity::Info,
    meaning: "the device closes the longest-idle connection when a new one needs its slot",
    needs: "a half-open workload that opens more connections than the device holds, and the packets",
    neighbours: "an idle timeout; a device that refuses new connections, or closes them instead of the oldest",
    change: "nothing on the device; clients must open a new connection when an idle one is closed",
};

/// What a connection that has to go meets.
pub(super) fn fails_so(e: &Evidence<'_>, w: &WorkloadEvidence, failure: Failure) -> bool {
    use Failure as F;
    let cut = matches!(failure, F::EofBeforeResponse | F::ReadReset | F::WriteReset | F::ConnectReset);
    cut && facts::is_exchange(w) && room::explains(e, w)
}

pub(super) fn find(e: &Evidence<'_>) -> Option<Finding> {
    let all: Vec<_> =
        e.workloads.iter().filter_map(|w| Some((w, room::seen(w.half_open.as_ref()?)?))).collect();
    let (_, first) = all.first()?;
    let mut evidence: Vec<String> = all
        .iter()
        .map(|(w, seen)| {
            format!(
                "{}: {} closed, longest-idle first, as new ones arrived, the longest after {}; the last ones \
                 stayed open for {}",
                w.name,
                things(seen.closed as u64, "silent connection"),
                time(seen.longest_ns),
                time(seen.kept_ns)
            )
        })
        .collect();
    evidence.extend(facts::exchanges(e).filter(|w| room::explains(e, w)).filter_map(|w| {
        let cut = w.failures.iter().filter(|(failure, _)| fails_so(e, w, *failure));
        let cut = cut.fold(0_u64, |n, (_, more)| n.saturating_add(more));
        (cut > 0).then(|| {
            format!(
                "{}: {} of {} closed for new ones before they got a response, with up to {} at once",
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
            "The device makes room for new connections: it holds {}, then closes the longest-idle one.",
            things(first.held as u64, "connection")
        ),
        evidence,
        cause:
            "the program closes its least recently used session when it needs one, as esp_http_server does \
                with lru_purge_enable"
                .into(),
        change: ENTRY.change.into(),
    })
}
