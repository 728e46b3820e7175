//! `closes_idle`: the device closes persistent connections that are idle, in order. That is a way of working, and many
//! servers have it; clients have to be ready for it.
//!
//! Evidence: connections that the client found closed before its next request, each with the time since its last answer;
//! FINs on connections on which the host had fallen silent, or had not sent a first request for a second or more.
//!
//! Neighbours: a device that closes the oldest to make room for a newcomer (`makes_room`); a device that closes after each answer says so in its answer, and
//! may do it late, so of silent connections alone the cause has both; one that closes while a request is under way
//! fails it.
//!
//! Severity: information. It counts from twice on, so that one connection lost on the way says nothing.

use super::super::facts;
use super::super::{Evidence, Finding, FindingId, HalfOpenEvidence, Severity, WorkloadEvidence};
use super::FindingEntry;
use super::text::{things, time};
use espstress_event::{Failure, IdleCloses, Protocol, WorkloadKind};

/// Once may be a close for another reason.
const TWICE: u64 = 2;
/// A FIN sooner than this after the last answer ends the exchange: no idle time-out is that short.
const AT_ONCE: u64 = 500_000_000;

/// A FIN sooner than this after the last answer came with it, but for the path's delay, nanoseconds.
const RIGHT_AFTER: u64 = 100_000_000;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::ClosesIdle,
    severity: Severity::Info,
    meaning: "the device closes persistent connections that are idle for a while",
    needs: "persistent connections that are idle between requests (rw with an interval)",
    neighbours: "a device that closes after each response, or in the middle of a request",
    change: "nothing on the device; clients must expect a FIN on an idle connection and open a new one",
};

/// What a request meets that comes once the device has closed its connection.
pub(in super::super) fn fails_so(w: &WorkloadEvidence, failure: Failure) -> bool {
    use Failure as F;
    let closed = w.unserved.is_some_and(|unserved| unserved.closed.not_sent > 0);
    w.asks.late()
        && !turned_away(w)
        && (closed || unasked(w) > 0)
        && matches!(failure, F::EofBeforeResponse | F::ReadReset | F::WriteReset)
}

/// Connections that the client found closed before their first request.
fn unasked(w: &WorkloadEvidence) -> u64 {
    w.idle_closes.map_or(0, |idle| idle.before_request)
}

/// Whether the device ends connections as good as with the handshake: those it doesn't want, however late their request was
/// to come.
pub(super) fn turned_away(w: &WorkloadEvidence) -> bool {
    w.idle_closes.is_some_and(|idle| {
        idle.before_request > 0
            && idle.before_request == idle.count
            && idle.median_us.saturating_mul(1_000) < RIGHT_AFTER
    })
}

/// Whether requests of a workload met the end of a connection, and not for want of a request.
fn cut(w: &WorkloadEvidence) -> bool {
    use Failure as F;
    [F::EofBeforeResponse, F::ReadReset, F::WriteReset]
        .iter()
        .any(|failure| w.failures.get(*failure) > 0 && !fails_so(w, *failure))
}

/// What to change. Where requests met the end of a connection too, other findings advise on that, and this one must not
/// call it nothing.
fn advice(e: &Evidence<'_>) -> &'static str {
    if facts::exchanges(e).any(|w| cut(w) && unannounced(w)) {
        SAY_SO
    } else if facts::exchanges(e).any(cut) {
        "nothing for idle connections: clients must expect a FIN on one and open a new one; connections that end without a \
         response are a fault of their own"
    } else {
        ENTRY.change
    }
}

/// Whether each connection had one answer, and perhaps those that are still open.
fn one_each(w: &WorkloadEvidence, idle: &IdleCloses) -> bool {
    w.succeeded <= idle.count.saturating_add(u64::from(w.at_once))
}

/// Whether half of them were closed as good as at once.
fn sooner(seen: &[(&WorkloadEvidence, IdleCloses)]) -> bool {
    seen.iter().all(|(_, idle)| idle.median_us.saturating_mul(1_000) < RIGHT_AFTER)
}

/// What fails requests on connections that end with an earlier answer.
pub(super) const RACE: &str =
    "the program closes a persistent connection without saying so, while the next request is on its way";

/// What ends that.
pub(super) const SAY_SO: &str = "say Connection: close in the last response; before close(): shutdown(s, SHUT_WR), \
                                 then recv() until it returns 0";

/// Whether the device closes connections right after answers that don't say so. Where the client has sent its next request
/// by then, that fails, by a FIN or by a RST as it happens.
pub(super) fn unannounced(w: &WorkloadEvidence) -> bool {
    w.kind == WorkloadKind::Rw
        && w.asks.protocol == Protocol::Http
        && w.asks.window <= 1
        && w.idle_closes
            .is_some_and(|idle| idle.count >= TWICE && idle.before_request == 0 && sooner(&[(w, idle)]))
}

/// Whether the device keeps connections after its responses, as far as the run shows: others ended while idle, or one took
/// several requests.
fn keeps(e: &Evidence<'_>) -> bool {
    let several = |w: &WorkloadEvidence| w.connect.is_some_and(|connect| w.succeeded > connect.count);
    facts::exchanges(e).any(|w| w.kind == WorkloadKind::Rw && w.asks.protocol == Protocol::Http && several(w))
}

/// Whether nothing listened for a while: what the program held then ended with it.
fn ended(e: &Evidence<'_>) -> bool {
    facts::exchanges(e).any(|w| w.succeeded > 0 && w.failures.get(Failure::ConnectRefused) > 0)
}

/// Whether connections that fell silent one after the other were closed all at the same time: by a sweep, or by the end of the
/// program that held them.
fn together(h: &HalfOpenEvidence) -> bool {
    let closed = || h.connections.iter().filter_map(|c| Some((c.silent_ns, c.closed_after_ns()?)));
    let width = |times: &mut dyn Iterator<Item = u64>| {
        let (least, most) = times.fold((u64::MAX, 0), |(least, most), ns| (least.min(ns), most.max(ns)));
        most.saturating_sub(least)
    };
    let silences = width(&mut closed().map(|(from, _)| from));
    let closes = width(&mut closed().map(|(from, after)| from.saturating_add(after)));
    closes.saturating_mul(4) <= silences
}

const fn announce(http: bool) -> &'static str {
    if http {
        "; a response that says Connection: close spares clients a failed attempt (RFC 9112, 9.6)"
    } else {
        ""
    }
}

pub(super) fn find(e: &Evidence<'_>) -> Option<Finding> {
    let seen: Vec<(&WorkloadEvidence, IdleCloses)> = facts::exchanges(e)
        .filter_map(|w| Some((w, w.idle_closes?)))
        .filter(|(w, idle)| (idle.count >= TWICE || idle.before_request > 0) && !turned_away(w))
        .collect();
    let silent: Vec<(&WorkloadEvidence, u32, u64)> = e
        .workloads
        .iter()
        .filter_map(|w| {
            // A program that ends closes them all, and nothing listens then.
            let ends = w.failures.get(Failure::ConnectRefused) > 0;
            let half_open = w.half_open.as_ref().filter(|h| !ends && !facts::room::is_seen(h))?;
            let (closed, least_ns) = half_open.closed()?;
            (u64::from(closed) >= TWICE && least_ns >= AT_ONCE).then_some((w, closed, least_ns))
        })
        .collect();
    // One that ended with the response, or with the handshake, was not idle.
    let of_idle = |idle: &IdleCloses| {
        let least = if idle.before_request > 0 { RIGHT_AFTER } else { AT_ONCE };
        let times = [idle.min_us, idle.median_us].map(|us| us.saturating_mul(1_000));
        times.into_iter().find(|ns| *ns >= least)
    };
    let found = seen.iter().filter_map(|(_, idle)| of_idle(idle));
    let unasked: Vec<(&WorkloadEvidence, u64)> = facts::exchanges(e)
        // What the client noticed is counted above.
        .filter(|w| w.asks.late() && unasked(w) == 0)
        .filter_map(|w| Some((w, w.unserved?.closed.not_sent)))
        .filter(|(_, closed)| *closed > 0)
        .collect();
    let found = found.chain(unasked.iter().map(|(w, _)| w.asks.request_delay_ns));
    // A silent connection shows the time itself; one that was found closed was closed sooner.
    let exact = silent.iter().map(|(_, _, least_ns)| *least_ns).min();
    let least = exact.or_else(|| found.min());
    let or_sooner = if exact.is_some() { "" } else { " or sooner" };
    let at_once = seen.iter().fold(0_u64, |n, (_, idle)| n.saturating_add(idle.count));
    let http = seen.iter().all(|(w, _)| w.asks.protocol == Protocol::Http);
    let together = silent.iter().any(|(w, ..)| w.half_open.as_ref().is_some_and(together));
    let ended = silent.is_empty() && ended(e);
    // Of a device that nobody saw keep a connection, a response may have announced the close that came so late.
    let late = !silent.is_empty() && seen.is_empty() && unasked.is_empty() && !keeps(e);
    let statement = match least {
        Some(least) if ended => {
            format!("Connections of the device ended while they were idle, after {}{or_sooner}.", time(least))
        }
        None if at_once > 0 && ended => format!(
            "Connections of the device ended between two requests: {} so far.",
            things(at_once, "connection")
        ),
        Some(least) if late => format!(
            "The device closes connections {} after the response, while their client is silent.",
            time(least)
        ),
        Some(least) => format!("The device closes idle connections after {}{or_sooner}.", time(least)),
        None if at_once > 0 => format!(
            "The device closes connections {} a response{}: {} so far.",
            if sooner(&seen) { "right after" } else { "within half a second of" },
            if http { ", without Connection: close" } else { "" },
            things(at_once, "connection")
        ),
        None => return None,
    };
    let mut evidence: Vec<String> = silent
        .iter()
        .map(|(w, closed, least_ns)| {
            format!(
                "{}: {} closed while the client was silent, the first after {}",
                w.name,
                things(u64::from(*closed), "connection"),
                time(*least_ns)
            )
        })
        .collect();
    evidence.extend(seen.iter().map(|(w, idle)| {
        let quiet =
            if idle.before_request > 0 { "the handshake or the last response" } else { "the last response" };
        format!(
            "{}: {} closed before the next request, median {} after {quiet}, {} at least",
            w.name,
            things(idle.count, "connection"),
            time(idle.median_us.saturating_mul(1_000)),
            time(idle.min_us.saturating_mul(1_000))
        )
    }));
    evidence.extend(seen.iter().filter(|(_, idle)| idle.told > 0).map(|(w, idle)| {
        format!("{}: {} told with a response 408 (Request Timeout)", w.name, things(idle.told, "close"))
    }));
    evidence.extend(unasked.iter().map(|(w, closed)| {
        format!(
            "{}: {} closed before their first request, which came {} after the handshake",
            w.name,
            things(*closed, "connection"),
            time(w.asks.request_delay_ns)
        )
    }));
    Some(Finding {
        id: FindingId::ClosesIdle,
        severity: Severity::Info,
        statement,
        evidence,
        cause: match (least.is_some(), seen.iter().all(|(w, idle)| one_each(w, idle))) {
            _ if ended => "the program ended, and connections were refused until it was there again; or the server's keep-alive \
                           timeout"
                .into(),
            (true, _) if together => "the server's keep-alive timeout, if it looks for idle clients from time to time; or the \
                                      program that held the connections ended: they were all closed at the same time"
                .into(),
            (true, _) if late => "the server's keep-alive timeout, which frees the sockets of idle clients; or, if its responses \
                                  say Connection: close, a close that comes so late"
                .into(),
            (true, _) => "the server's keep-alive timeout, which frees the sockets of idle clients".into(),
            // Seldom is a keep-alive timeout as short as that.
            _ if !sooner(&seen) => "the server ends a connection after some requests, its keep-alive timeout is that short, or the \
                                    program that held the connections ended"
                .into(),
            (false, true) => format!("the server serves one request on each connection{}", announce(http)),
            (false, false) => format!(
                "the server ends a connection after some requests, or its program ended{}",
                announce(http)
            ),
        },
        change: advice(e).into(),
    })
}
