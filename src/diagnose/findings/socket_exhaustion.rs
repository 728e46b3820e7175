//! `socket_exhaustion`: earlier connections were served and the host closed them, the device did not, and new
//! ones fail for want of a socket.
//!
//! Evidence that sockets are kept, any of these:
//! - the packets: served connections on which the host's FIN was acknowledged and nothing followed;
//! - the host's sockets: connections that went well and that the device never ended;
//! - telemetry: more sockets in use after the last close than before the first connection;
//! - with nothing of that at hand: the host closes by RST, a handful were served, and then none any more;
//!
//! With failures that last it is an error; without them yet, a warning.
//!
//! Neighbours: `blocked_application` also leaves connections without a FIN, but those that were not answered:
//! more must linger than went unanswered. `half_open_not_reclaimed`: the host had fallen silent. Sockets of
//! connections that are still open, or in TIME_WAIT, are not kept: the last reading is after the watch. Nor are
//! those, a few of all that were served, whose RST a losing path kept from the device.
//!
//! Thresholds: three connections, so that one that is closed late does not count; 32 served, three times the
//! sockets of a usual build, where only the count of successes tells.

use super::super::{ClosePolicy, Evidence, Finding, FindingId, Severity, SocketsEvidence, WorkloadEvidence};
use super::signs;
use super::text::things;
use super::{FindingEntry, lost_resets};
use espstress_event::{AnomalyId, Ending};

/// Fewer sockets may be connections on their way out.
const KEPT: u64 = 3;
/// A device that served more before it stopped has not run out of sockets by keeping each: small devices have 16 at most
/// (`CONFIG_LWIP_MAX_SOCKETS`), and twice that is allowed.
const HANDFUL: u64 = 32;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::SocketExhaustion,
    severity: Severity::Error,
    meaning: "the device keeps the sockets of connections that the host has closed, until none is left",
    needs: "the packets, or the ends of connections, or telemetry with sockets in use after the last close",
    neighbours: "a hanging program; silent peers; a queue of new connections that is merely full",
    change: "close() on every path, also when recv() returns 0 or an error; CONFIG_LWIP_MAX_SOCKETS only puts it off",
};

/// Connections that linger after the host's FIN though everything was answered.
fn lingering(e: &Evidence<'_>) -> u64 {
    // A probe's connection asks for nothing, so that it can linger in the backlog without ever holding a socket.
    let kept = signs::exchanges(e).fold(0_u64, |n, w| n.saturating_add(w.lingers.map_or(0, |l| l.answered)));
    if more_than_open(e, kept) { kept } else { 0 }
}

/// A hanging program keeps what it had open, each time that it hangs: at most the connections at once.
fn more_than_open(e: &Evidence<'_>, kept: u64) -> bool {
    let served = signs::exchanges(e).fold(0_u64, |n, w| n.saturating_add(w.succeeded));
    let stuck = signs::exchanges(e).filter_map(|w| {
        let times = signs::stuck(e, w).len() as u64;
        (times > 0).then(|| u64::from(w.at_once).saturating_mul(times).saturating_add(1))
    });
    let open = stuck.max().unwrap_or_else(|| signs::at_once(e));
    served > 0 && (kept >= open || served <= kept.saturating_add(2))
}

/// Connections whose last request nobody answered: who hangs on them keeps their sockets. Where the host resets what was
/// served, sockets that are kept do not show as connections, and these wait in the queue.
fn held_by_a_hang(e: &Evidence<'_>) -> u64 {
    signs::exchanges(e)
        .filter(|w| w.close != ClosePolicy::Rst)
        .fold(0_u64, |n, w| n.saturating_add(w.lingers.map_or(0, |l| l.unanswered)))
}

/// Connections that went well and were never ended by the device, where that is the rule.
fn not_ended(e: &Evidence<'_>) -> u64 {
    let open = signs::endings(e, Ending::NotEnded);
    if open >= KEPT && open.saturating_mul(2) >= signs::all_endings(e) { open } else { 0 }
}

/// Sockets that the device counts in use though every connection was closed.
fn counted(e: &Evidence<'_>) -> Option<SocketsEvidence> {
    let sockets = signs::telemetry(e)?.sockets?;
    // Others keep sockets open on purpose.
    if e.workloads.len() != signs::exchanges(e).count() {
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
    (many && more_than_open(e, kept) && !lost_resets::may_be_kept(e, kept)).then_some(sockets)
}

/// Without any other evidence: a host that resets, and a handful of successes before nobody was served any more.
fn only_a_handful(e: &Evidence<'_>) -> bool {
    let handful = |w: &WorkloadEvidence| {
        signs::stuck(e, w).first().is_some_and(|bout| {
            let before = w.episodes.iter().filter(|t| t.from_ns < bout.from_ns);
            let served = before.fold(0_u64, |n, t| n.saturating_add(t.succeeded));
            (1..=HANDFUL).contains(&served)
        })
    };
    signs::telemetry(e).and_then(|t| t.sockets).is_none()
        && signs::exchanges(e).any(|w| w.close == ClosePolicy::Rst && handful(w))
}

/// All sockets were in use while nobody was served, though fewer connections were open at once.
fn filled(e: &Evidence<'_>) -> bool {
    let Some(sockets) = signs::telemetry(e).and_then(|t| t.sockets) else { return false };
    let open = |w: &WorkloadEvidence| sockets.first.saturating_add(w.at_once).saturating_add(1);
    sockets.limit.is_some_and(|limit| {
        let held = u32::try_from(held_by_a_hang(e)).unwrap_or(u32::MAX);
        sockets.most.saturating_sub(held) >= limit
            && signs::exchanges(e).any(|w| open(w) < limit && !signs::stuck(e, w).is_empty())
    })
}

pub(super) fn slots_are_kept(e: &Evidence<'_>) -> bool {
    lingering(e) > 0 || not_ended(e) > 0 || counted(e).is_some()
}

fn new_ones_fail(e: &Evidence<'_>) -> bool {
    signs::exchanges(e).any(|w| signs::ends_service(e, w).is_some() || !signs::stuck(e, w).is_empty())
}

pub(super) fn happened(e: &Evidence<'_>) -> bool {
    let strong = lingering(e) >= KEPT || not_ended(e) > 0 || counted(e).is_some();
    signs::ever_served(e) && (strong || (slots_are_kept(e) && new_ones_fail(e)))
}

/// The same by signs that want of memory or TIME_WAIT shows as well.
pub(super) fn is_likely(e: &Evidence<'_>) -> bool {
    signs::ever_served(e) && new_ones_fail(e) && (filled(e) || only_a_handful(e))
}

pub(super) fn finding(e: &Evidence<'_>) -> Finding {
    let mut evidence = Vec::new();
    let lingering = signs::of_device_in_exchanges(e, AnomalyId::HalfClosedLinger).connections;
    if lingering > 0 {
        evidence.push(format!(
            "on {} the device acknowledged the host's FIN and sent nothing more",
            things(lingering, "connection")
        ));
    }
    if not_ended(e) > 0 {
        evidence.push(format!(
            "{} of {} that went well were never ended by the device",
            not_ended(e),
            things(signs::all_endings(e), "connection")
        ));
    }
    if let Some(s) = counted(e) {
        let limit = s.limit.map_or_else(String::new, |limit| format!(" of {limit}"));
        evidence.push(format!(
            "sockets in use by the device's own account: {} before, {}{limit} after everything was closed",
            s.first, s.last
        ));
    }
    for w in signs::exchanges(e).filter(|w| signs::ends_service(e, w).is_some()) {
        evidence.push(format!(
            "{}: {} succeeded, then none any more: {} failed to connect, {} got no answer",
            w.name,
            things(w.succeeded, "exchange"),
            signs::not_connected(w),
            signs::unanswered(w)
        ));
    }
    let fails = new_ones_fail(e);
    let served = signs::exchanges(e).fold(0_u64, |n, w| n.saturating_add(w.succeeded));
    let (severity, statement) = if fails {
        let sentence = "The device does not give back the sockets of closed connections: after";
        (Severity::Error, format!("{sentence} {} it took no more.", things(served, "exchange")))
    } else {
        let sentence = "The device does not give back the sockets of closed connections; it has not run out of them yet.";
        (Severity::Warning, sentence.to_owned())
    };
    let after_reset =
        signs::exchanges(e).any(|w| w.close == ClosePolicy::Rst && signs::ends_service(e, w).is_some());
    let (cause, change) = if after_reset {
        (
            "the program forgets to close a socket after an error, here the peer's RST",
            "if (recv(s, ..) < 0) { close(s); } - every path out of the loop must close the socket",
        )
    } else {
        (
            "the program does not close its socket when the peer has closed",
            "if (recv(s, ..) <= 0) { close(s); } - 0 means that the peer is done, and asks for close() as well",
        )
    };
    Finding {
        id: FindingId::SocketExhaustion,
        severity,
        statement,
        evidence,
        cause: cause.into(),
        change: change.into(),
    }
}
