//! Sockets that the device keeps of connections that are over.

use super::super::{ClosePolicy, Evidence, SocketsEvidence, WorkloadEvidence};
use super::program::stopped_midway;
use super::{SECOND, all_endings, at_once, endings, ends_service, exchanges, lost_resets, stuck, telemetry};
use espstress_event::Ending;

/// Fewer sockets may be connections on their way out.
pub(crate) const KEPT: u64 = 3;

/// Connections that linger after the host's FIN though everything was answered.
pub(crate) fn lingering(e: &Evidence<'_>) -> u64 {
    // A probe's connection asks for nothing, so that it can linger in the backlog without ever holding a socket. A response
    // that stopped midway is no answer: the program has not come to the close yet.
    let answered =
        |w: &WorkloadEvidence| w.lingers.map_or(0, |l| l.answered.saturating_sub(stopped_midway(w)));
    let kept = exchanges(e).fold(0_u64, |n, w| n.saturating_add(answered(w)));
    let at_work = exchanges(e).filter(|w| answers_all_the_while(w)).map(answered).sum::<u64>();
    let shown = more_than_open(e, kept, u64::MAX) || at_work >= KEPT;
    let kept = (if shown { kept } else { 0 }).saturating_add(forgotten(e));
    if ends_late(e, kept) { 0 } else { kept }
}

/// Connections of a half-open workload that were served, that the host closed in order, and that linger: a program that forgets
/// them has less and less room, whoever is silent.
pub(crate) fn forgotten(e: &Evidence<'_>) -> u64 {
    /// The client before the silences asks once a second, for two seconds at least.
    const TWICE: u64 = 2;
    let all = |w: &WorkloadEvidence| {
        let before = w.half_open.as_ref()?.before.served;
        w.lingers.map(|l| l.answered).filter(|n| *n >= KEPT.min(before).max(TWICE))
    };
    e.workloads.iter().filter_map(all).fold(0, u64::saturating_add)
}

/// Whether the device ended most of what lingered, only later: it forgets none. What is younger than that at the end of the
/// run may yet end.
fn ends_late(e: &Evidence<'_>, kept: u64) -> bool {
    e.late_ends.saturating_mul(2) >= kept && e.late_ends > 0
}

/// Whether a workload had an answer to each request, and sooner than a connection counts as lingering: a program that hung
/// or was late to close kept somebody waiting. What lingers there, the program has forgotten.
fn answers_all_the_while(w: &WorkloadEvidence) -> bool {
    /// `half_closed_linger` waits for 5 s.
    const LINGERS: u64 = 5 * SECOND;
    w.succeeded > 0 && w.failures.of_device() == 0 && w.main.is_some_and(|main| main.max_ns < LINGERS / 2)
}

/// A hanging program keeps what it had open, each time that it hangs: at most the connections at once. `times` bounds how
/// often that counts.
fn more_than_open(e: &Evidence<'_>, kept: u64, times: u64) -> bool {
    let served = exchanges(e).fold(0_u64, |n, w| n.saturating_add(w.succeeded));
    let stuck = exchanges(e).filter_map(|w| {
        let times = (stuck(e, w).len() as u64).min(times);
        (times > 0).then(|| u64::from(w.at_once).saturating_mul(times).saturating_add(1))
    });
    let open = stuck.max().unwrap_or_else(|| at_once(e));
    served > 0 && (kept >= open || served <= kept.saturating_add(2))
}

/// Connections whose last request nobody answered: who hangs on them keeps their sockets. Where the host resets what was
/// served, sockets that are kept do not show as connections, and these wait in the queue.
pub(crate) fn held_by_a_hang(e: &Evidence<'_>) -> u64 {
    exchanges(e)
        .filter(|w| w.close != ClosePolicy::Rst)
        .fold(0_u64, |n, w| n.saturating_add(w.lingers.map_or(0, |l| l.unanswered)))
}

/// Connections that went well and were never ended by the device, where that is the rule.
pub(crate) fn not_ended(e: &Evidence<'_>) -> u64 {
    let open = endings(e, Ending::NotEnded);
    let is_rule = open >= KEPT && open.saturating_mul(2) >= all_endings(e);
    if is_rule && !ends_late(e, open) { open } else { 0 }
}

/// Sockets that the device counts in use though every connection was closed.
pub(crate) fn counted(e: &Evidence<'_>) -> Option<SocketsEvidence> {
    let sockets = telemetry(e)?.sockets?;
    // Others keep sockets open on purpose.
    if e.workloads.len() != exchanges(e).count() {
        return None;
    }
    // A storm that ends in failures may have filled them before the first account: without connections only the
    // listeners' and the probe's are in use.
    let idle = sockets.limit.zip(e.device.capacity).map(|(limit, capacity)| limit.saturating_sub(capacity));
    let idle = idle.filter(|_| new_ones_fail(e));
    let first = idle.map_or(sockets.first, |idle| idle.min(sockets.first));
    let kept = u64::from(sockets.last.saturating_sub(first)).saturating_sub(held_by_a_hang(e));
    let full = sockets.limit.is_some_and(|limit| sockets.last.saturating_add(1) >= limit);
    let sockets = SocketsEvidence { first, ..sockets };
    let many = kept >= KEPT || (full && kept > 0);
    // A program that served again has come to what it held before.
    (many && (more_than_open(e, kept, 1) || lingering(e) > 0) && !lost_resets::may_be_kept(e, kept))
        .then_some(sockets)
}

pub(crate) fn are_kept(e: &Evidence<'_>) -> bool {
    lingering(e) > 0 || not_ended(e) > 0 || counted(e).is_some()
}

pub(crate) fn new_ones_fail(e: &Evidence<'_>) -> bool {
    exchanges(e).any(|w| ends_service(e, w).is_some() || !stuck(e, w).is_empty())
}
