//! Whether the device makes room for newcomers, and whom that costs a connection.

use super::super::{Evidence, HalfOpenEvidence, WorkloadEvidence};
use super::{SECOND, path};
use espstress_event::SilencedConnection;

/// Once may be chance.
const TWICE: usize = 2;

/// How it was seen.
pub(crate) struct Seen {
    /// Connections that had to go for a newcomer while the host went on opening.
    pub(crate) closed: usize,
    /// The longest that one of these had been silent.
    pub(crate) longest_ns: u64,
    /// How many were held at once.
    pub(crate) held: usize,
    /// How long the ones that were kept had been silent, at least.
    pub(crate) kept_ns: u64,
}

pub(crate) fn seen(h: &HalfOpenEvidence) -> Option<Seen> {
    let served = h.during.served == h.during.attempts && h.exhausted != Some(true) && h.unserved == 0;
    let last = h.connections.last()?.silent_ns;
    // The place is needed when the last one is accepted, and its answer comes a moment later.
    let closed = h.connections.iter().take_while(|s| s.closed_after_ns().is_some());
    let closed: Vec<u64> = closed
        .filter_map(|s| s.closed_after_ns().filter(|after| s.silent_ns.saturating_add(*after) <= last))
        .collect();
    let longest_ns = closed.iter().copied().max()?;
    // In order: whatever was closed fell silent before whatever was kept.
    let first_kept = h.connections.iter().position(|s| s.reclaimed_after_ns.is_none())?;
    let (before, after) = h.connections.split_at_checked(first_kept)?;
    let in_order = before.iter().all(|s| s.closed_after_ns().is_some())
        && after.iter().all(|s| s.reclaimed_after_ns.is_none());
    let open_at = |at: u64| {
        h.connections
            .iter()
            .filter(|s| s.silent_ns <= at)
            .filter(|s| s.closed_after_ns().is_none_or(|after| s.silent_ns.saturating_add(after) > at))
            .count()
    };
    // From the first close on it is full: the median, since a close may be late, and other clients take places as well.
    let first = closed_at(&h.connections).min()?;
    let mut full: Vec<usize> =
        h.connections.iter().filter(|s| s.silent_ns >= first).map(|s| open_at(s.silent_ns)).collect();
    full.sort_unstable();
    let held = *full.get(full.len() / 2)?;
    let kept_ns = h.watched_ns;
    let longer = kept_ns >= SECOND && kept_ns >= longest_ns.saturating_mul(2);
    (served && in_order && longer && closed.len() >= TWICE).then_some(Seen {
        closed: closed.len(),
        longest_ns,
        held,
        kept_ns,
    })
}

/// When each of those was closed that the device closed by a FIN.
fn closed_at(these: &[SilencedConnection]) -> impl Iterator<Item = u64> + '_ {
    these.iter().filter_map(|s| Some(s.silent_ns.saturating_add(s.closed_after_ns()?)))
}

/// Whether a workload opens more connections at once than the device says it has room for.
pub(crate) fn too_many(e: &Evidence<'_>, w: &WorkloadEvidence) -> bool {
    e.device.capacity.is_some_and(|capacity| w.at_once > capacity)
}

/// A workload beyond the device's room of which the device served far less than it has room for, and more failed than was
/// served: that many at once don't excuse it.
///
/// A device with room for `capacity` connections that takes a time S for each serves `capacity` / S in a second (Little's
/// law). One that works as fast as that is full all the while: what it served fills its places. So what it served is too
/// little where it fills less than half of them though others waited, and is less than one a place and second: faster
/// devices are limited by this machine, or by their link.
pub(crate) fn left_empty(e: &Evidence<'_>, w: &WorkloadEvidence) -> Option<LeftEmpty> {
    let capacity = e.device.capacity.filter(|capacity| w.at_once > *capacity)?;
    let each_ns = w.main?.p50_ns;
    let time_ns = w.end_ns.saturating_sub(w.start_ns);
    let places_ns = u128::from(capacity) * u128::from(time_ns);
    let served_ns = u128::from(w.succeeded) * u128::from(each_ns);
    let half_empty = served_ns.saturating_mul(2) < places_ns;
    let slow = u128::from(w.succeeded) * u128::from(SECOND) < places_ns;
    let most_failed = w.failures.of_device() > w.succeeded;
    let room_for = u64::try_from(places_ns / u128::from(each_ns.max(1))).unwrap_or(u64::MAX);
    (w.succeeded > 0 && most_failed && half_empty && slow && !path::loses(e)).then_some(LeftEmpty {
        capacity,
        each_ns,
        time_ns,
        room_for,
    })
}

/// What a device with so much room serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeftEmpty {
    /// Connections that it has room for.
    pub(crate) capacity: u32,
    /// How long it took for one that it served, by the median.
    pub(crate) each_ns: u64,
    /// How long the workload took.
    pub(crate) time_ns: u64,
    /// Exchanges for which that is enough.
    pub(crate) room_for: u64,
}

/// Whether so many connections at once excuse what failed for want of room.
pub(crate) fn excuses(e: &Evidence<'_>, w: &WorkloadEvidence) -> bool {
    too_many(e, w) && left_empty(e, w).is_none()
}

/// Whether silent connections were closed for others, and by no time-out.
pub(crate) fn is_seen(h: &HalfOpenEvidence) -> bool {
    seen(h).is_some()
}

/// Whether a workload opens as many at once as the device was seen to hold; the probe beside it takes a place as well.
pub(crate) fn explains(e: &Evidence<'_>, w: &WorkloadEvidence) -> bool {
    let held = e.workloads.iter().filter_map(|w| seen(w.half_open.as_ref()?)).map(|seen| seen.held).min();
    held.is_some_and(|held| w.at_once as usize >= held)
}
