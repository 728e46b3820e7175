//! `half_open_not_reclaimed`: connections whose peer vanished keep their sockets, so that others are refused,
//! for longer than keep-alive would take.
//!
//! Evidence: the host fell silent on connections that had been served; a well-behaved client was refused; and
//! within a watch that was long enough it was not served again. Without exhaustion: the device's own count of
//! sockets does not go down over such a watch (a warning).
//!
//! Neighbours: `blocked_application` (at most one connection was served, the rest waited for it);
//! `socket_exhaustion` (the host closed the connections, and said so). A device whose keep-alive is slower than
//! the watch cannot be judged: no finding.
//!
//! Threshold: the watch must have been as long as the reclaim that the device is expected to manage; for
//! connections that a plain workload vanished from, half a minute, which keep-alive of 10 s + 3 x 3 s meets.

use super::super::choice::{Claim, Firm};
use super::super::facts::{self, SECOND, Stack};
use super::super::{ClosePolicy, Evidence, Finding, FindingId, HalfOpenEvidence, Severity, WorkloadEvidence};
use super::FindingEntry;
use super::text::{things, time};
use espstress_event::Failure;

/// So long without room after hosts vanished, nanoseconds: keep-alive with usual settings (10 s, and 3 probes 3 s apart) takes
/// less than 20 s.
const WITHOUT_RECLAIM: u64 = 30 * SECOND;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::HalfOpenNotReclaimed,
    severity: Severity::Error,
    meaning: "connections whose client vanished keep their sockets, so others are refused",
    needs: "a half-open workload that filled the device and then waited longer than its keep-alive",
    neighbours: "a program that serves only one client; sockets kept after a normal close; too short a wait",
    change: "enable keep-alive on each accepted socket: SO_KEEPALIVE, TCP_KEEPIDLE 10, TCP_KEEPINTVL 3, \
             TCP_KEEPCNT 3",
};

/// What shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// Others were refused, and were so to the end.
    Exhausted,
    /// The same, though the device had closed all of them.
    Closed,
    /// The same, and the device's own count shows that the program still holds their sockets.
    Kept,
    /// Others were still served; the device's own count shows the sockets.
    Counted,
}

fn proof(e: &Evidence<'_>) -> Option<Proof> {
    if facts::sockets::forgotten(e) > 0 {
        return None;
    }
    let sections = || e.workloads.iter().filter_map(|w| w.half_open.as_ref());
    let unlimited = || e.workloads.iter().filter(|w| !rate_limited(w)).filter_map(|w| w.half_open.as_ref());
    let kept_out = || unlimited().filter(|h| to_exhaustion(h) && by_silence(h));
    let held = |h: &HalfOpenEvidence| h.reclaimed() < h.served;
    // Of a device that closed most of them, it's those that nobody acknowledges.
    let most = |h: &HalfOpenEvidence| h.reclaimed().saturating_mul(2) < h.served;
    if kept_out().any(most) || e.workloads.iter().any(|w| vanished(e, w)) {
        Some(Proof::Exhausted)
    } else if sections().any(|h| !held(h) && to_exhaustion(h) && keeps_sockets(h))
        && facts::stack(e) == Stack::Answers
    {
        Some(Proof::Kept)
    } else if kept_out().next().is_some() && facts::stack(e) == Stack::Answers {
        Some(Proof::Closed)
    } else if kept_out().any(held) {
        Some(Proof::Exhausted)
    } else if sections().any(held_by_count) {
        Some(Proof::Counted)
    } else {
        None
    }
}

const fn watched_enough(h: &HalfOpenEvidence) -> bool {
    h.watched_ns > 0 && h.watched_ns >= h.expected_reclaim_ns
}

/// Nobody was served beside them, for longer than the device should need to get over them.
fn to_exhaustion(h: &HalfOpenEvidence) -> bool {
    h.served > 0 && h.exhausted == Some(true) && h.served_again_ns.is_none() && watched_enough(h)
}

/// Whether it was the silent connections that kept others out: these had no room from the first moment, and had it again once
/// the host had let go.
fn by_silence(h: &HalfOpenEvidence) -> bool {
    (h.may_be_full() || h.kept_out().is_some()) && !h.stays_away()
}

/// Whether every refusal of the well-behaved client was 429, on a connection that the device took: a limit of how often it may
/// be asked (RFC 6585, 4), which says nothing of its room.
fn rate_limited(w: &WorkloadEvidence) -> bool {
    let statuses = &w.http.wrong_statuses;
    let only_429 = !statuses.is_empty() && statuses.iter().all(|(status, n)| *status == 429 || *n == 0);
    let only_statuses = |h: &HalfOpenEvidence| {
        let mut failures = h.during.failures.iter().filter(|(_, n)| *n > 0);
        failures.all(|(failure, _)| failure == Failure::BadStatus)
    };
    only_429 && w.half_open.as_ref().is_some_and(only_statuses)
}

/// The device counts as many sockets at the end as at most.
fn keeps_sockets(h: &HalfOpenEvidence) -> bool {
    h.sockets_used.is_some_and(|s| s.most > s.before && s.at_end >= s.most)
}

fn held_by_count(h: &HalfOpenEvidence) -> bool {
    let held = keeps_sockets(h);
    // The only one that is served, and others that wait for it: no want of sockets.
    let one_at_a_time = h.served <= 1 && h.unserved > 0;
    h.served > 0 && h.reclaimed() == 0 && held && watched_enough(h) && !one_at_a_time
}

/// How long nobody has been served at the end of a workload.
fn failing_for(e: &Evidence<'_>, w: &WorkloadEvidence) -> u64 {
    facts::service_end(e, w).map_or(0, |end| w.end_ns.saturating_sub(end.from_ns))
}

/// A workload of plain exchanges that vanishes from each.
fn vanished(e: &Evidence<'_>, w: &WorkloadEvidence) -> bool {
    w.close == ClosePolicy::Vanish
        && w.succeeded > 0
        && failing_for(e, w) >= WITHOUT_RECLAIM
        && facts::stack(e) != Stack::Silent
}

pub(super) fn claim(e: &Evidence<'_>) -> Option<Claim> {
    proof(e).map(|proof| Claim::new(Firm::Shown, finding(e, proof)))
}

fn finding(e: &Evidence<'_>, proof: Proof) -> Finding {
    let mut evidence = Vec::new();
    let (mut held, mut watched) = (0_u64, 0_u64);
    for w in &e.workloads {
        if let Some(h) = &w.half_open {
            held = held.max(u64::from(h.served.saturating_sub(h.reclaimed())));
            watched = watched.max(h.watched_ns);
            evidence.push(format!(
                "{}: {} served, then silent; the device reclaimed {} in {} (expected within {})",
                w.name,
                things(u64::from(h.served), "connection"),
                h.reclaimed(),
                time(h.watched_ns),
                time(h.expected_reclaim_ns)
            ));
            evidence.push(format!(
                "a normal client in the meantime: {} of {} served",
                h.during.served, h.during.attempts
            ));
            if let Some(s) = h.sockets_used {
                evidence.push(format!(
                    "sockets in use, as the device reports: {} before, {} at most, {} at the end",
                    s.before, s.most, s.at_end
                ));
            }
        } else if vanished(e, w) {
            let failing = failing_for(e, w);
            held = held.max(w.succeeded.min(u64::from(u16::MAX)));
            watched = watched.max(failing);
            evidence.push(format!(
                "{}: {} served before the client vanished, then none for {}",
                w.name,
                things(w.succeeded, "connection"),
                time(failing)
            ));
        }
    }
    let sockets = |consequence| {
        let those = things(held, "connection");
        format!(
            "{those} whose client vanished still held their sockets after {}: {consequence}.",
            time(watched)
        )
    };
    let (severity, statement) = match proof {
        Proof::Exhausted => (Severity::Error, sockets("it serves no other client")),
        Proof::Counted => (Severity::Warning, sockets("enough of them will block other clients")),
        Proof::Closed => return closed(e, evidence, watched),
        Proof::Kept => return kept(evidence, watched),
    };
    Finding {
        id: FindingId::HalfOpenNotReclaimed,
        severity,
        statement,
        evidence,
        cause: "no TCP keep-alive on accepted sockets (lwIP's default is two hours), and no idle timeout in \
                the program"
            .into(),
        // Not lru_purge_enable: it closes a session only as a newcomer comes, and a FIN that nobody acknowledges keeps lwIP's
        // control block for minutes. Seven sessions with it alone served nobody beside 16 vanished clients.
        change: "after accept(): setsockopt(s, SOL_SOCKET, SO_KEEPALIVE, &one, ..), TCP_KEEPIDLE 10, \
                 TCP_KEEPINTVL 3, TCP_KEEPCNT 3; with esp_http_server set keep_alive_enable in httpd_config_t"
            .into(),
    }
}

/// The program has closed them, and the device serves nobody all the same.
fn closed(e: &Evidence<'_>, evidence: Vec<String>, watched: u64) -> Finding {
    let sections = || e.workloads.iter().filter_map(|w| w.half_open.as_ref());
    let waits_for_fin = sections().any(|h| h.closed().is_some());
    let queued = sections().any(|h| h.unserved > 0);
    if queued && !waits_for_fin {
        return queue(evidence, watched);
    }
    Finding {
        id: FindingId::HalfOpenNotReclaimed,
        severity: Severity::Error,
        statement: format!(
            "The device closed {} whose client vanished, and still served no other client after {}.",
            which(e),
            time(watched)
        ),
        evidence,
        cause:
            "a closed connection stays in the stack until its FIN is acknowledged or given up, which takes \
                minutes: enough of them use up its control blocks (lwIP: CONFIG_LWIP_MAX_ACTIVE_TCP, 16)"
                .into(),
        change:
            "lower CONFIG_LWIP_TCP_MAXRTX (12), raise CONFIG_LWIP_MAX_ACTIVE_TCP; keep connections open and \
                 let keep-alive end those of vanished clients; close a client that timed out with SO_LINGER \
                 {1, 0}, which frees it at once"
                .into(),
    }
}

/// How many of them the device took back.
fn which(e: &Evidence<'_>) -> String {
    let sections = e.workloads.iter().filter_map(|w| w.half_open.as_ref());
    let (back, all) = sections
        .fold((0_u64, 0_u64), |(back, all), h| (back + u64::from(h.reclaimed()), all + u64::from(h.served)));
    if back == all {
        "the connections".to_owned()
    } else {
        format!("{back} of {}", things(all, "connection"))
    }
}

/// Keep-alive has ended them, and others of the test's that had waited in the accept queue came next.
fn queue(evidence: Vec<String>, watched: u64) -> Finding {
    Finding {
        id: FindingId::HalfOpenNotReclaimed,
        severity: Severity::Warning,
        statement: format!(
            "The device ended the connections whose client vanished, and still served no other client after {}.",
            time(watched)
        ),
        evidence,
        cause: "connections of this test waited in the accept queue, and their clients had vanished as well: perhaps the \
                program accepted these next, and each has to be found dead in its turn"
            .into(),
        change: "a shorter keep-alive (TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT) and a smaller backlog in listen() make \
                 that shorter; to see when others are served again, watch longer (--watch-reclaim)"
            .into(),
    }
}

/// The stack has ended them, and the program keeps their sockets.
fn kept(evidence: Vec<String>, watched: u64) -> Finding {
    Finding {
        id: FindingId::HalfOpenNotReclaimed,
        severity: Severity::Error,
        statement: format!(
            "The connections whose client vanished have ended, but the program still held their sockets after {}: it \
             serves no other client.",
            time(watched)
        ),
        evidence,
        cause: "the program doesn't close a socket after an error: keep-alive ends the connection, and recv() fails with \
                ETIMEDOUT or ECONNABORTED"
            .into(),
        change: "if (recv(s, ..) <= 0) { close(s); } - every path out of the loop must close the socket".into(),
    }
}
