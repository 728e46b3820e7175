//! `socket_exhaustion`: earlier connections were served and the host closed them, the device did not, and new
//! ones fail for want of a socket.
//!
//! Evidence that sockets are kept, any of these:
//! - the packets: served connections on which the host's FIN was acknowledged and nothing followed;
//! - the host's sockets: connections that went well and that the device never ended;
//! - telemetry: more sockets in use after the last close than before the first connection;
//! - with nothing of that at hand: the host closes by RST, a handful were served, and then none any more;
//! - the device's console: `accept()` fails with ENFILE within a second of attempts that fail;
//!
//! With failures that last it is an error; without them yet, a warning.
//!
//! Neighbours: `blocked_application` also leaves connections without a FIN, but those that were not answered:
//! more must linger than went unanswered, or three of workloads whose every request was answered in time. `half_open_not_reclaimed`: the host had fallen silent. Sockets of
//! connections that are still open, or in TIME_WAIT, are not kept: the last reading is after the watch. Nor are
//! those, a few of all that were served, whose RST a losing path kept from the device.
//!
//! Thresholds: three connections, so that one that is closed late does not count; 32 served, three times the
//! sockets of a usual build, where only the count of successes tells.

use super::super::choice::{Claim, Firm};
use super::super::facts;
use super::super::facts::sockets;
use super::super::{ClosePolicy, Evidence, Finding, FindingId, HalfOpenEvidence, Severity, WorkloadEvidence};
use super::FindingEntry;
use super::text::{things, time};
use espstress_event::{AnomalyId, Failure};

/// A device that served more before it stopped has not run out of sockets by keeping each: small devices have 16 at most
/// (`CONFIG_LWIP_MAX_SOCKETS`), and twice that is allowed.
const HANDFUL: u64 = 32;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::SocketExhaustion,
    severity: Severity::Error,
    meaning: "the device keeps the sockets of connections that the client has closed, until none is left",
    needs: "a capture, or how connections end, or telemetry with sockets in use after the last close",
    neighbours: "a program that hangs; silent clients; a full accept queue",
    change: "call close() on every path, also when recv() returns 0 or an error; raising \
             CONFIG_LWIP_MAX_SOCKETS only delays the failure",
};

/// Without any other evidence: a host that resets, and a handful of successes before nobody was served any more. A device
/// that restarts serves a handful each time.
fn only_a_handful(e: &Evidence<'_>) -> bool {
    let handful = |w: &WorkloadEvidence| {
        facts::stuck(e, w).first().is_some_and(|bout| {
            let before = w.episodes.iter().filter(|t| t.from_ns < bout.from_ns);
            let served = before.fold(0_u64, |n, t| n.saturating_add(t.succeeded));
            (1..=HANDFUL).contains(&served)
        })
    };
    facts::telemetry(e).and_then(|t| t.sockets).is_none()
        && !facts::restarts::happened(e)
        && facts::exchanges(e).any(|w| w.close == ClosePolicy::Rst && handful(w))
}

/// All sockets were in use while nobody was served, though fewer connections were open at once.
fn filled(e: &Evidence<'_>) -> bool {
    let Some(sockets) = facts::telemetry(e).and_then(|t| t.sockets) else { return false };
    let open = |w: &WorkloadEvidence| sockets.first.saturating_add(w.at_once).saturating_add(1);
    sockets.limit.is_some_and(|limit| {
        let held = u32::try_from(sockets::held_by_a_hang(e)).unwrap_or(u32::MAX);
        sockets.most.saturating_sub(held) >= limit
            && facts::exchanges(e).any(|w| open(w) < limit && !facts::stuck(e, w).is_empty())
    })
}

fn is_shown(e: &Evidence<'_>) -> bool {
    let strong =
        sockets::lingering(e) >= sockets::KEPT || sockets::not_ended(e) > 0 || sockets::counted(e).is_some();
    facts::ever_served(e) && (strong || (sockets::are_kept(e) && sockets::new_ones_fail(e)))
}

/// The same by signs that want of memory or TIME_WAIT shows as well.
fn is_likely(e: &Evidence<'_>) -> bool {
    facts::ever_served(e)
        && sockets::new_ones_fail(e)
        && (filled(e) || only_a_handful(e) || super::console::has_no_socket(e))
}

pub(super) fn claim(e: &Evidence<'_>) -> Option<Claim> {
    let firm = match () {
        () if is_shown(e) => Firm::Shown,
        () if is_likely(e) => Firm::Likely,
        () => return None,
    };
    Some(Claim::new(firm, finding(e)))
}

/// Whether the connections whose sockets are kept were reset by the host. The workload that failed first has to have been
/// served and to have reset its connections, and no connection that the host closed by FIN may be among the kept: a later
/// workload only meets what an earlier one has left.
fn kept_after_resets(e: &Evidence<'_>) -> bool {
    let ended = facts::exchanges(e).filter_map(|w| Some((facts::ends_service(e, w)?.from_ns, w)));
    let first = ended.min_by_key(|(from_ns, _)| *from_ns).map(|(_, w)| w);
    first.is_some_and(|w| w.close == ClosePolicy::Rst && w.succeeded > 0)
        && sockets::lingering(e) == 0
        && sockets::not_ended(e) == 0
}

/// The longest time in which it served nobody, where each workload was served again.
fn for_a_while(e: &Evidence<'_>) -> Option<(u64, u64)> {
    if facts::exchanges(e).any(|w| facts::ends_service(e, w).is_some()) {
        return None;
    }
    let bouts = facts::exchanges(e).flat_map(|w| facts::stuck(e, w));
    bouts.map(|bout| (bout.from_ns, bout.to_ns)).max_by_key(|(from_ns, to_ns)| to_ns.saturating_sub(*from_ns))
}

fn finding(e: &Evidence<'_>) -> Finding {
    let mut evidence = Vec::new();
    let lingering = facts::of_device_in_exchanges(e, AnomalyId::HalfClosedLinger).connections;
    let lingering = lingering.saturating_add(sockets::forgotten(e));
    if lingering > 0 {
        evidence.push(format!(
            "on {} the device acknowledged the client's FIN and sent nothing more",
            things(lingering, "connection")
        ));
    }
    if sockets::not_ended(e) > 0 {
        evidence.push(format!(
            "the device never closed {} of {} that had a good response",
            sockets::not_ended(e),
            things(facts::all_endings(e), "connection")
        ));
    }
    if let Some(s) = sockets::counted(e) {
        let limit = s.limit.map_or_else(String::new, |limit| format!(" of {limit}"));
        evidence.push(format!(
            "sockets in use, as the device reports: {} before, {}{limit} after everything was closed",
            s.first, s.last
        ));
    }
    let limit = facts::telemetry(e).and_then(|t| t.sockets).and_then(|sockets| sockets.limit);
    if let Some(limit) = limit.filter(|_| sockets::counted(e).is_none() && filled(e)) {
        evidence.push(format!("as the device reports, all {limit} sockets were in use at a time"));
    }
    for w in facts::exchanges(e) {
        let Some(end) = facts::ends_service(e, w) else { continue };
        let before = if w.succeeded > 0 {
            format!("{} succeeded, then none", things(w.succeeded, "exchange"))
        } else {
            "no exchange succeeded".to_owned()
        };
        let mut failed: Vec<(Failure, u64)> = end.failures.iter().filter(|(_, n)| *n > 0).collect();
        failed.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        let failed: Vec<String> = failed.iter().map(|(f, n)| format!("{} {n}", f.name())).collect();
        evidence.push(format!("{}: {before}: {}", w.name, failed.join(", ")));
    }
    let fails = sockets::new_ones_fail(e);
    let served = facts::exchanges(e).fold(0_u64, |n, w| n.saturating_add(w.succeeded));
    let shut_out = beside_silent_ones(e);
    // One that keeps each does so from the first on.
    let few = (1..served / 2).contains(&lingering) && sockets::not_ended(e) == 0;
    let those = if few { "some closed connections" } else { "closed connections" };
    let (severity, statement) = if fails {
        let sentence = format!("The device doesn't free the sockets of {those}:");
        // Who waits in the queue has connected, and is not accepted.
        let no_more = if turns_away(e) { "accepted no more" } else { "answered no more" };
        let then = match for_a_while(e) {
            Some((from_ns, to_ns)) => {
                let length = time(to_ns.saturating_sub(from_ns));
                format!("from {} on it {no_more} for {length}", time(from_ns))
            }
            None => format!("after {} it {no_more}", things(served, "exchange")),
        };
        (Severity::Error, format!("{sentence} {then}."))
    } else if let Some(served) = shut_out {
        let then = format!(
            "after {} it answered no more, while {} fallen silent",
            things(served.served, "exchange"),
            if served.silent == 1 {
                "one client had".to_owned()
            } else {
                format!("{} clients had", served.silent)
            }
        );
        (Severity::Error, format!("The device doesn't free the sockets of closed connections: {then}."))
    } else if let Some(limit) = full_at_the_end(e) {
        let then = format!("all {limit} were still in use after everything was closed");
        (Severity::Error, format!("The device doesn't free the sockets of {those}: {then}."))
    } else if let Some(lost) = handshakes_fail_at_the_end(e) {
        let then = format!(
            "at the end {} in a row got no answer, while it answered every ping",
            things(lost, "handshake")
        );
        (Severity::Error, format!("The device doesn't free the sockets of {those}: {then}."))
    } else {
        let sentence =
            format!("The device doesn't free the sockets of {those}. It hasn't run out of them yet.");
        (Severity::Warning, sentence)
    };
    let after_reset = kept_after_resets(e);
    let (cause, change) = if after_reset && facts::path::loses(e) {
        (
            "the program doesn't close a socket after an error, here the client's RST; or the path lost some \
             of these RSTs, and the device has no keep-alive to end such connections",
            "if (recv(s, ..) < 0) { close(s); } - every path out of the loop must close the socket; \
             SO_KEEPALIVE with TCP_KEEPIDLE 10, TCP_KEEPINTVL 3, TCP_KEEPCNT 3 ends connections whose RST was \
             lost",
        )
    } else if after_reset {
        (
            "the program doesn't close a socket after an error, here the client's RST",
            "if (recv(s, ..) < 0) { close(s); } - every path out of the loop must close the socket",
        )
    } else {
        (
            "the program doesn't close its socket when the client has closed",
            "if (recv(s, ..) <= 0) { close(s); } - 0 means that the client has closed, so close() too",
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

/// Whether somebody could not connect when service had ended.
fn turns_away(e: &Evidence<'_>) -> bool {
    let at_connect = [Failure::ConnectTimeout, Failure::ConnectRefused, Failure::ConnectReset];
    let ends = facts::exchanges(e).filter_map(|w| facts::ends_service(e, w)).map(|end| end.failures);
    let stuck = facts::exchanges(e).flat_map(|w| facts::stuck(e, w)).map(|bout| bout.failures);
    ends.chain(stuck).any(|failures| facts::count(&failures, &at_connect) > 0)
}

/// How many were served until others were kept out beside silent clients, and by how many of these.
struct ShutOut {
    served: u64,
    silent: u32,
}

/// Where a program forgets what the host closes, and nobody is served any more beside a few silent clients.
fn beside_silent_ones(e: &Evidence<'_>) -> Option<ShutOut> {
    let shut_out = |h: &&HalfOpenEvidence| h.exhausted == Some(true) && h.served_again_ns.is_none();
    let h = e.workloads.iter().filter_map(|w| w.half_open.as_ref()).find(shut_out)?;
    let served = h.before.served.saturating_add(h.filling.served).saturating_add(u64::from(h.served));
    (sockets::forgotten(e) > 0).then_some(ShutOut { served, silent: h.served })
}

/// The most sockets that the device can have, where it had as many at the end.
fn full_at_the_end(e: &Evidence<'_>) -> Option<u32> {
    let sockets = sockets::counted(e)?;
    sockets.limit.filter(|limit| sockets.last >= *limit)
}

/// How many handshakes of the TCP probe had no answer from some time on to the end of the run, where pings had theirs.
fn handshakes_fail_at_the_end(e: &Evidence<'_>) -> Option<u64> {
    /// One may be lost.
    const TWICE: u64 = 2;
    let pings = e.probes.icmp.value().filter(|p| p.sent > 0 && p.answered == p.sent);
    let last = pings.and(e.probes.tcp.value())?.silences.last()?;
    (last.to_ns.is_none() && last.lost >= TWICE).then_some(last.lost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WorkloadKind;
    use crate::facts::SECOND as S;
    use espstress_event::{Episode, FailureCounts};

    /// A workload that is served for a second, and then fails for another one.
    fn workload(
        name: &str,
        close: ClosePolicy,
        at_s: u64,
        served: u64,
        failed: &[(Failure, u64)],
    ) -> WorkloadEvidence {
        let mut failures = FailureCounts::default();
        failed.iter().for_each(|(failure, n)| failures.add(*failure, *n));
        let lost = failures.of_device();
        let (from, middle, to) = (at_s * S, (at_s + 1) * S, (at_s + 2) * S);
        let good = Episode {
            from_ns: from,
            to_ns: middle,
            attempts: served,
            succeeded: served,
            ..Episode::default()
        };
        let bad =
            Episode { from_ns: middle, to_ns: to, attempts: lost, succeeded: 0, failures: failures.clone() };
        WorkloadEvidence {
            name: name.into(),
            kind: WorkloadKind::Head,
            close,
            at_once: 4,
            attempts: served + lost,
            succeeded: served,
            failures,
            episodes: [good, bad].into_iter().filter(|episode| episode.attempts > 0).collect(),
            start_ns: from,
            end_ns: to,
            ..WorkloadEvidence::default()
        }
    }

    fn run(workloads: Vec<WorkloadEvidence>) -> Evidence<'static> {
        Evidence { duration_ns: 60 * S, workloads, ..Evidence::default() }
    }

    #[test]
    fn a_reset_is_not_the_cause_where_the_device_had_stopped_before_the_first_one() {
        let finding = finding(&run(vec![
            workload("requests", ClosePolicy::Fin, 0, 38, &[]),
            workload("crowd", ClosePolicy::Fin, 10, 20, &[(Failure::ReadReset, 16)]),
            workload(
                "reset",
                ClosePolicy::Rst,
                20,
                0,
                &[(Failure::EofBeforeResponse, 3), (Failure::ReadReset, 9)],
            ),
        ]));
        assert!(!finding.cause.contains("RST"), "{}", finding.cause);
        assert!(finding.change.contains("<= 0"), "{}", finding.change);
    }

    #[test]
    fn a_reset_is_the_cause_where_only_connections_that_were_reset_are_kept() {
        let finding = finding(&run(vec![
            workload("crowd", ClosePolicy::Fin, 10, 36, &[]),
            workload("reset", ClosePolicy::Rst, 20, 9, &[(Failure::ConnectTimeout, 3)]),
        ]));
        assert!(finding.cause.contains("the client's RST"), "{}", finding.cause);
    }

    #[test]
    fn the_evidence_names_every_failure_after_the_last_success() {
        let finding = finding(&run(vec![
            workload("crowd", ClosePolicy::Fin, 10, 20, &[(Failure::ReadReset, 16)]),
            workload(
                "reset",
                ClosePolicy::Rst,
                20,
                0,
                &[(Failure::EofBeforeResponse, 3), (Failure::ReadReset, 9)],
            ),
        ]));
        let evidence = finding.evidence.join("\n");
        assert!(evidence.contains("crowd: 20 exchanges succeeded, then none: read_reset 16"), "{evidence}");
        assert!(
            evidence.contains("reset: no exchange succeeded: read_reset 9, eof_before_response 3"),
            "{evidence}"
        );
    }
}
