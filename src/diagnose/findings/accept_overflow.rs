//! `accept_overflow`: more new connections than the device accepts in time; those that it holds are served, and
//! it recovers by itself.
//!
//! Evidence: several connections at once; SYNs without an answer, or connections ended before any answer, beside
//! exchanges that go on succeeding. Or connections that wait in the queue for longer than their clients do, and that
//! the device comes to after all, as their orderly ends show.
//!
//! Not this: failures that come while fewer connections are open than the device serves at once otherwise; the load has no
//! part in them (`resets_requests`, `closes_unserved`).
//!
//! Neighbours: `socket_exhaustion`, `half_open_not_reclaimed`, `blocked_application` do not recover.
//! A TLS session that the device refuses is `tls_failed`: it had taken the connection.
//! `timewait_port_reuse` and want of memory also leave SYNs unanswered, and so do connections whose RST a losing path
//! kept from the device (`lost_resets`): they are looked at before. A link that is away: failures without successes
//! beside them.
//!
//! Severity: a warning where more connections were opened than the device says it holds, unless fewer of them waited
//! for long as well, or the device left its places empty meanwhile.
//!
//! Thresholds: three SYNs, because the host repeats each twice before it counts one as unanswered; connections
//! ended unserved are more ambiguous, so two in a hundred; on a link that loses segments two in a hundred of
//! either.

use super::super::choice::{Claim, Firm};
use super::super::facts::{self, Stack};
use super::super::{CutRequests, Evidence, Finding, FindingId, Severity, Untold, WorkloadEvidence};
use super::text::{percent, things, time, times};
use super::{FindingEntry, closes_idle, http_use};
use espstress_event::{AnomalyClass, AnomalyId, Failure, NotJudged};

/// Three in a row are no chance to a person; where losses may make more, the bound of the loss asks for more.
const FEW: u64 = 3;

/// Half of the shortest patience that is usual.
const LONG_NS: u64 = facts::SECOND / 2;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::AcceptOverflow,
    severity: Severity::Error,
    meaning: "new connections arrive faster than the device accepts them; it still serves the ones it has",
    needs: "several connections at once, some of which fail to connect while others succeed",
    neighbours: "faults that don't recover; TIME_WAIT; lack of memory; lost RSTs; a link outage",
    change: "call accept() in its own task while sockets are free; keep listen()'s backlog within the accept \
             mailbox; raise CONFIG_LWIP_MAX_SOCKETS for more connections",
};

/// Connections of a workload that ended before an answer.
fn cut(w: &WorkloadEvidence) -> u64 {
    let resets = w.failures.get(Failure::ConnectReset).saturating_add(facts::reset_in_exchange(w));
    // A WebSocket that is open was accepted.
    if facts::opens_websockets(w) {
        return 0;
    }
    let cut = w.failures.get(Failure::EofBeforeResponse).saturating_add(resets);
    // These had been taken, and an earlier answer was their last.
    if closes_idle::unannounced(w) {
        return w.failures.get(Failure::ConnectReset);
    }
    // Whoever gives a connection up in the TLS handshake has taken it.
    let shaking = http_use::handshakes_cut(w);
    // Where the packets were looked at, they show which of them had no answer, and none that was lost.
    let Some(unserved) = w.unserved else { return cut.saturating_sub(shaking) };
    let untaken = |part: &CutRequests| part.not_sent.saturating_add(part.unacknowledged);
    // A stack acknowledges what nobody has accepted, and a close then resets it, as unread; a FIN comes from a program that
    // has read the request. With TLS the first bytes are the ClientHello: who has it refuses the session.
    let reset = if shaking > 0 { 0 } else { unserved.reset.acknowledged };
    cut.min(untaken(&unserved.reset).saturating_add(untaken(&unserved.closed)).saturating_add(reset))
}

/// Whether more connections than the device has room for were open at once, or more than one exchange was under way at a
/// time on average (Little's law: rate times latency). Without that no queue is too full, and what cuts connections is
/// something else.
fn crowded(e: &Evidence<'_>, w: &WorkloadEvidence) -> bool {
    let Some(main) = w.main.filter(|_| !facts::room::too_many(e, w)) else { return true };
    let under_way = u128::from(w.attempts) * u128::from(main.p50_ns);
    under_way >= u128::from(w.end_ns.saturating_sub(w.start_ns))
}

/// Whether it served more connections at once, on average, than were open beside those that it cut (Little's law). Its room
/// was not what they wanted then. By more than a quarter of a connection: a program may count one that has just ended.
fn serves_more_at_once(w: &WorkloadEvidence) -> bool {
    let (Some(unserved), Some(main)) = (w.unserved, w.main) else { return false };
    let parts = [unserved.reset, unserved.closed];
    let all = |part: &CutRequests| {
        part.not_sent.saturating_add(part.unacknowledged).saturating_add(part.acknowledged)
    };
    let cut = parts.iter().map(all).fold(0, u64::saturating_add);
    let Some(others) = parts.iter().filter_map(|part| part.others).reduce(u64::saturating_add) else {
        return false;
    };
    let time = u128::from(w.end_ns.saturating_sub(w.start_ns));
    let served = u128::from(w.succeeded).saturating_mul(main.p50_ns.into());
    let beside = u128::from(others).saturating_mul(4).saturating_add(cut.into());
    cut > 0 && served.saturating_mul(4).saturating_mul(cut.into()) > beside.saturating_mul(time)
}

/// Connections that ended before an answer, as far as that shows a refused accept: one that made room for a newcomer had
/// been accepted.
fn dropped(e: &Evidence<'_>, w: &WorkloadEvidence) -> u64 {
    // Of those that are beyond its room the packets count as this test's doing.
    let at_accept = e.anomalies.iter().any(|row| {
        row.id == AnomalyId::RstAfterHandshake
            && (row.class == AnomalyClass::Device
                || (row.class == AnomalyClass::Provoked && row.workload.as_deref() == Some(w.name.as_str())))
    });
    let shows = at_accept || w.failures.get(Failure::EofBeforeResponse) > 0;
    // What meets clients that come one after the other as well has another cause.
    let anyway =
        facts::exchanges(e).any(|other| !crowded(e, other) && other.succeeded > 0 && cut(other) >= FEW);
    let overflows =
        shows && crowded(e, w) && !anyway && !serves_more_at_once(w) && !facts::room::explains(e, w);
    if overflows { cut(w) } else { 0 }
}

/// Clients that wait for less than the queue takes: the device comes to each of them after it has gone.
pub(super) fn taken_late(e: &Evidence<'_>, w: &WorkloadEvidence) -> bool {
    let unanswered = facts::count(&facts::while_serving(e, w), &facts::SILENT);
    // On a connection that has answered before, no request waits to be accepted.
    let unanswered = unanswered.saturating_sub(w.timed_out_in_use);
    w.at_once >= 2 && w.succeeded > 0 && waited_too(w) && unanswered >= least(e, w) && facts::taken_late(e)
}

/// Those that are served come through the same queue, one after the other: some of them have waited for a good part of what
/// the others had patience for. Where all of them are served at once, the program took the others as well, and was slow with
/// them alone.
fn waited_too(w: &WorkloadEvidence) -> bool {
    w.main.is_none_or(|main| main.max_ns >= LONG_NS)
}

fn overflows(e: &Evidence<'_>, w: &WorkloadEvidence) -> bool {
    if taken_late(e, w) {
        return true;
    }
    let beside = facts::while_serving(e, w);
    let timeouts = beside.get(Failure::ConnectTimeout).min(not_lost(e, w));
    let dropped = dropped(e, w).min(beside.of_device());
    w.at_once >= 2 && w.succeeded > 0 && (timeouts >= least(e, w) || dropped >= (w.attempts / 50).max(FEW))
}

/// SYNs without an answer that the path's losses do not explain; as many as there may be without a capture.
fn not_lost(e: &Evidence<'_>, w: &WorkloadEvidence) -> u64 {
    if !facts::captured(e) {
        return u64::MAX;
    }
    let rows = e.anomalies.iter().filter(|row| {
        row.id == AnomalyId::SynUnanswered
            && row.class != AnomalyClass::Path
            && row.workload.as_deref() == Some(w.name.as_str())
    });
    let few = |n: &&NotJudged| Untold::FEW.iter().any(|few| n.reason == few.in_words());
    let untold =
        e.not_judged.iter().filter(|n| n.id == AnomalyId::SynUnanswered).filter(few).map(|n| n.connections);
    rows.map(|row| row.connections).chain(untold).fold(0, u64::saturating_add)
}

/// More than the path may have made.
fn least(e: &Evidence<'_>, w: &WorkloadEvidence) -> u64 {
    FEW.max(facts::path::by_loss(e, w.attempts) + 1)
}

fn happened(e: &Evidence<'_>) -> bool {
    facts::stack(e) != Stack::Silent && facts::exchanges(e).any(|w| overflows(e, w))
}

pub(super) fn claim(e: &Evidence<'_>) -> Option<Claim> {
    happened(e).then(|| Claim::new(Firm::Shown, finding(e)))
}

/// A workload within what the device says it holds whose exchanges waited for long: for being accepted, since ping
/// did not.
fn slow_within_capacity<'a>(e: &'a Evidence<'_>) -> Option<(&'a WorkloadEvidence, u64)> {
    let ping = facts::datagram_probe(e)?.latency?.p50_ns;
    let within = |w: &&WorkloadEvidence| e.device.capacity.is_some_and(|capacity| w.at_once <= capacity);
    facts::exchanges(e)
        .filter(within)
        .filter_map(|w| Some((w, w.main?.p50_ns)))
        .find(|(_, median)| *median >= facts::SECOND && ping.saturating_mul(4) < *median)
}

fn finding(e: &Evidence<'_>) -> Finding {
    let mut evidence = Vec::new();
    let (mut refused, mut ended, mut attempts, mut most) = (0_u64, 0_u64, 0_u64, 0_u32);
    for w in facts::exchanges(e).filter(|w| overflows(e, w)) {
        let (timeouts, dropped) = (w.failures.get(Failure::ConnectTimeout), dropped(e, w));
        let late = if taken_late(e, w) { facts::unanswered(w).saturating_sub(w.timed_out_in_use) } else { 0 };
        refused = refused.saturating_add(timeouts).saturating_add(dropped).saturating_add(late);
        ended = ended.saturating_add(dropped);
        attempts = attempts.saturating_add(w.attempts);
        most = most.max(w.at_once);
        evidence.push(format!(
            "{}: up to {} at once; {timeouts} of {} timed out at connect, {dropped} were closed without a \
             response, {} got no response in time, {} succeeded",
            w.name,
            things(u64::from(w.at_once), "connection"),
            things(w.attempts, "attempt"),
            facts::unanswered(w),
            w.succeeded
        ));
        if late > 0 {
            evidence.push(format!(
                "{}: the device closed most of those normally, but after their clients had given up",
                w.name
            ));
        }
    }
    for id in [AnomalyId::SynUnanswered, AnomalyId::RstAfterHandshake, AnomalyId::ClosedUnserved] {
        let seen = facts::of_device(e, id);
        if seen.count > 0 {
            evidence.push(format!("packets: {} {} against the device", id.name(), times(seen.count)));
        }
    }
    let beyond = e.device.capacity.filter(|capacity| most > *capacity);
    if let Some(capacity) = beyond {
        evidence.push(format!("the device reports room for {}", things(u64::from(capacity), "connection")));
    }
    // A connection that is ended may have been accepted.
    let turns_away = ended.saturating_mul(2) > refused;
    let slow = slow_within_capacity(e);
    if let Some((w, median)) = slow {
        evidence.push(format!(
            "{}: median {} with up to {} at once, while ping is fast",
            w.name,
            time(median),
            things(u64::from(w.at_once), "connection")
        ));
    }
    let left_empty = facts::exchanges(e).find_map(|w| Some((w, facts::room::left_empty(e, w)?)));
    if let Some((w, room)) = left_empty {
        evidence.push(format!(
            "{}: a device with room for {} that takes {} for each (the median here) serves about {} in {}; this one served {}",
            w.name,
            things(u64::from(room.capacity), "connection"),
            time(room.each_ns),
            things(room.room_for, "exchange"),
            time(room.time_ns),
            w.succeeded
        ));
    }
    let (severity, cause, change) = if beyond.is_some() && slow.is_none() && left_empty.is_none() {
        (
            Severity::Warning,
            "more connections at once than the device has sockets for",
            "fewer connections at once (-c), or more sockets: CONFIG_LWIP_MAX_SOCKETS=16 (each costs memory)",
        )
    } else if turns_away {
        (
            Severity::Error,
            "the program calls accept() too rarely, or without a free socket, so the accept queue overflows; or it \
             accepts and closes at once, because no session is free",
            "call accept() while a session is free, and leave other connections in the queue: a client waits there; \
             reuse connections (HTTP keep-alive)",
        )
    } else {
        (
            Severity::Error,
            "the program calls accept() too rarely, or without a free socket, so the accept queue overflows",
            "call accept() in its own task while sockets are free, and keep listen()'s backlog within \
             CONFIG_LWIP_TCP_ACCEPTMBOX_SIZE; reuse connections (HTTP keep-alive)",
        )
    };
    let of_all = format!("{refused} of {} ({})", things(attempts, "connection"), percent(refused, attempts));
    let statement = match beyond {
        Some(capacity) if severity == Severity::Warning => format!(
            "The device has room for {}: with {most} at once, it didn't accept {of_all}, and served the others.",
            things(u64::from(capacity), "connection")
        ),
        _ if turns_away => format!(
            "The device ended {of_all} without an answer, while it served others: more come at once than it takes."
        ),
        _ => format!(
            "The device didn't accept {of_all} in time, while it served others: new connections arrive faster \
             than it accepts them."
        ),
    };
    Finding {
        id: FindingId::AcceptOverflow,
        severity,
        statement,
        evidence,
        cause: cause.into(),
        change: change.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::SECOND as S;
    use crate::{CaptureState, Quantiles, WorkloadKind};
    use espstress_event::{Episode, FailureCounts};

    /// Thirty at once for 11 s on a device with room for five: so many served, by the median after so long, and so many failed.
    fn crowd(served: u64, each_ns: u64, failed: u64) -> Evidence<'static> {
        let mut failures = FailureCounts::default();
        failures.add(Failure::ConnectTimeout, failed);
        let w = WorkloadEvidence {
            name: "head".into(),
            kind: WorkloadKind::Head,
            at_once: 30,
            attempts: served + failed,
            succeeded: served,
            failures: failures.clone(),
            end_ns: 11 * S,
            episodes: vec![Episode {
                from_ns: 0,
                to_ns: 11 * S,
                attempts: served + failed,
                succeeded: served,
                failures: failures.clone(),
            }],
            main: Some(Quantiles { count: served, p50_ns: each_ns, max_ns: 5 * S, ..Quantiles::default() }),
            ..WorkloadEvidence::default()
        };
        let mut e = Evidence { duration_ns: 12 * S, workloads: vec![w], ..Evidence::default() };
        e.device.capacity = Some(5);
        e.capture.status = CaptureState::Off;
        e
    }

    fn severity(e: &Evidence<'_>) -> Severity {
        finding(e).severity
    }

    #[test]
    fn too_many_at_once_do_not_excuse_a_device_that_leaves_its_places_empty() {
        let e = crowd(5, 2 * S, 56);
        assert_eq!(severity(&e), Severity::Error);
        assert!(finding(&e).cause.contains("accept()"), "{}", finding(&e).cause);
        assert!(
            finding(&e).evidence.iter().any(|line| line.contains("about 27 exchanges")),
            "{:?}",
            finding(&e).evidence
        );
        assert!(!facts::room::excuses(&e, &e.workloads[0]));
    }

    #[test]
    fn of_connections_that_the_device_ends_nobody_knows_whether_it_had_accepted_them() {
        let mut e = crowd(200, S / 4, 0);
        e.device.capacity = None;
        for failure in [Failure::EofBeforeResponse, Failure::ConnectTimeout] {
            let w = &mut e.workloads[0];
            (w.attempts, w.failures) = (256, FailureCounts::default());
            w.failures.add(failure, 56);
            w.episodes[0].failures = w.failures.clone();
            let finding = finding(&e);
            let ended = failure == Failure::EofBeforeResponse;
            assert_eq!(finding.statement.contains("ended 56 of 256"), ended, "{}", finding.statement);
            assert_eq!(finding.statement.contains("didn't accept"), !ended, "{}", finding.statement);
            assert_eq!(finding.cause.contains("no session is free"), ended, "{}", finding.cause);
        }
    }

    #[test]
    fn they_excuse_one_that_serves_what_it_has_room_for() {
        // As fast as can be, slow with full places, and as fast as a slow link lets it be.
        for e in [crowd(11_745, S / 100, 16), crowd(55, S, 100), crowd(200, S / 20, 400)] {
            assert_eq!(severity(&e), Severity::Warning, "{:?}", e.workloads[0].succeeded);
            assert!(facts::room::excuses(&e, &e.workloads[0]));
        }
    }
}
