//! `abortive_close`: the device ends served connections by a RST, because it closes while bytes of the request are
//! unread or still on their way. The client may lose the response.
//!
//! Evidence: RSTs after payload without a FIN (lwIP: `tcp_close_shutdown` with unread data), or RSTs that answer
//! payload after the device's own FIN; without a capture, resets where a FIN was due after a good exchange.
//!
//! Neighbours: `fin_wait_timeout` (the RST answers the host's FIN or ACK, a second or more after the device's FIN,
//! with nothing unread); a connection closed without service, whose late request meets a RST (`closed_unserved`);
//! a restart, which cuts what is under way: twice what it can explain must be seen.
//!
//! Severity: a warning below one connection in a hundred.

use super::super::facts;
use super::super::{AnomalyRow, Evidence, Finding, FindingId, Severity};
use super::text::{percent, things};
use super::{FindingEntry, closes_idle};
use espstress_event::{AnomalyClass, AnomalyId, Ending, Failure, WorkloadKind};

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::AbortiveClose,
    severity: Severity::Error,
    meaning: "the device closes before it has read the whole request, so it sends a RST instead of a FIN",
    needs: "a capture; without one, connections that the client waits on until they end",
    neighbours: "a RST in reply to a late close (fin_wait_timeout); a restart; connections closed without a \
                 response",
    change: "read the whole request, call shutdown(s, SHUT_WR), then recv() until it returns 0, then close(s)",
};

struct Seen {
    /// RST after payload, no FIN.
    unread: u64,
    /// RST that answers payload after the device's FIN.
    early: u64,
    /// Resets that the host's sockets met after good exchanges.
    sockets: u64,
}

fn seen(e: &Evidence<'_>) -> Seen {
    let after_fin = facts::of_device(e, AnomalyId::RstAfterFin).count;
    // Whoever's doing it was that there was no room: the RST on such a connection comes of the close.
    let cut = |name: &str| e.workloads.iter().any(|w| w.name == name && !facts::is_exchange(w));
    let unserved = e.anomalies.iter().filter(|row| row.id == AnomalyId::ClosedUnserved);
    let unserved = unserved.filter(|row| !row.workload.as_deref().is_some_and(cut));
    let unserved = unserved.fold(0_u64, |n, row| n.saturating_add(row.count));
    // Of connections that nobody answered, that a stack had forgotten, or on which TLS failed, where the host's alert meets
    // whoever has gone: consequences of something else.
    let tls = facts::exchanges(e).fold(0_u64, |n, w| n.saturating_add(w.failures.get(Failure::TlsFailed)));
    let early =
        after_fin.saturating_sub(e.resets.answering_late_close).saturating_sub(unserved).saturating_sub(tls);
    let of_others = e.resets.unanswered.saturating_add(e.resets.after_absence).saturating_add(tls);
    let of_others = of_others.saturating_add(instead_of_answers(e));
    // Whoever refuses a body may close without reading it, and who says goodbye on a WebSocket need not read on.
    let refused = |id| facts::of_unread_by_right(e, id).saturating_add(facts::after_close_frames(e, id));
    let sockets = facts::exchanges(e).fold(0_u64, |n, w| {
        n.saturating_add(w.endings.get(Ending::Reset).saturating_sub(facts::unread_by_right(w)))
    });
    Seen {
        unread: facts::of_device(e, AnomalyId::AbortiveClose)
            .count
            .saturating_sub(of_others)
            .saturating_sub(refused(AnomalyId::AbortiveClose)),
        early: early.saturating_sub(refused(AnomalyId::RstAfterFin)).min(e.resets.answering_payload),
        sockets,
    }
}

/// Resets on kept connections that came in the place of an answer: `resets_requests` has them.
fn instead_of_answers(e: &Evidence<'_>) -> u64 {
    // Where each connection serves one exchange, the RST belongs to its end.
    let kept = facts::exchanges(e).filter(|w| {
        let opened = w.connect.map_or(u64::MAX, |connect| connect.count);
        let many = w.succeeded.saturating_mul(2) > opened.saturating_mul(3);
        w.kind == WorkloadKind::Rw && w.asks.window <= 1 && many
    });
    let failed = kept.fold(0_u64, |n, w| {
        let reset = [Failure::ReadReset, Failure::WriteReset];
        n.saturating_add(facts::count(&w.failures, &reset))
    });
    e.resets.instead_of_answer.min(failed)
}

/// Whether every such RST was on a connection of a workload whose next requests met closes that nothing announced.
fn only_in_races(e: &Evidence<'_>) -> bool {
    let raced = |name: &str| facts::exchanges(e).any(|w| w.name == name && closes_idle::unannounced(w));
    let ids = [AnomalyId::AbortiveClose, AnomalyId::RstAfterFin];
    let mut rows = e
        .anomalies
        .iter()
        .filter(|row| ids.contains(&row.id) && row.class == AnomalyClass::Device)
        .map(|row| row.workload.as_deref().is_some_and(raced))
        .peekable();
    rows.peek().is_some() && rows.all(|raced| raced)
}

/// Resets that a restart explains.
fn of_restarts(e: &Evidence<'_>) -> u64 {
    let restarts = facts::restarts::restarts(e).saturating_mul(facts::at_once(e));
    restarts.max(facts::restarts::forgotten(e)).saturating_mul(2)
}

/// Whether all of them came in one moment, and then the device refused connections: its program had ended, and its
/// system reset what that left behind.
pub(super) fn before_refusals(e: &Evidence<'_>) -> bool {
    /// Between the first and the last of them.
    const AT_ONCE_S: f64 = 0.5;
    /// Until a client that pauses after failures asks again.
    const SOON_S: f64 = 2.0;
    let of = |id| e.anomalies.iter().filter(move |row| row.id == id && row.class == AnomalyClass::Device);
    let first = of(AnomalyId::AbortiveClose).map(|row| row.first_s).fold(f64::INFINITY, f64::min);
    let last = of(AnomalyId::AbortiveClose).map(|row| row.last_s).fold(f64::NEG_INFINITY, f64::max);
    let soon = |row: &&AnomalyRow| row.first_s >= last && row.first_s <= last + SOON_S;
    let refused = of(AnomalyId::SynRefused).filter(soon).fold(0_u64, |n, row| n.saturating_add(row.count));
    last - first <= AT_ONCE_S && refused >= 3
}

pub(super) fn find(e: &Evidence<'_>) -> Option<Finding> {
    let seen = seen(e);
    let on_wire = seen.unread.saturating_add(seen.early);
    let resets = if facts::captured(e) { on_wire } else { seen.sockets };
    let by_an_end = resets <= facts::at_once(e) && before_refusals(e);
    if resets == 0 || resets <= of_restarts(e) || by_an_end {
        return None;
    }
    let served = facts::exchanges(e).fold(0_u64, |n, w| n.saturating_add(w.succeeded));
    // A kept connection serves many exchanges.
    let opened = facts::exchanges(e).filter_map(|w| Some(w.connect?.count)).fold(0, u64::saturating_add);
    let opened = (opened > 0).then_some(opened);
    let often = resets.saturating_mul(100) >= opened.unwrap_or(served);
    let mut evidence = Vec::new();
    if seen.unread > 0 {
        evidence
            .push(format!("packets: {} after the device's payload, with no FIN", things(seen.unread, "RST")));
    }
    if seen.early > 0 {
        evidence.push(format!(
            "packets: {} in reply to request bytes after the device's FIN",
            things(seen.early, "RST")
        ));
    }
    if seen.sockets > 0 {
        evidence.push(format!(
            "{} of {} with a good response ended in a reset at the client's socket",
            seen.sockets,
            things(facts::all_endings(e), "connection")
        ));
    }
    if served > 0 {
        evidence.push(format!(
            "{served} exchanges succeeded: a client that only looks at responses sees nothing wrong there"
        ));
    }
    let early = seen.early > seen.unread;
    let kept = opened.is_some_and(|opened| served.saturating_mul(2) > opened.saturating_mul(3));
    let races = kept && (early || facts::exchanges(e).any(closes_idle::unannounced));
    let (cause, change) = if races || only_in_races(e) {
        (closes_idle::RACE, closes_idle::SAY_SO)
    } else if early {
        (
            "the program replies and closes before the request has arrived, so the request reaches a closed \
             socket",
            "wait for the end of the request (the empty line) before you reply, with a timeout well above the \
             round trip",
        )
    } else {
        (
            "usually the program closes the socket before it has read all received bytes, and the stack then sends a RST \
             instead of a FIN; SO_LINGER with time 0 does the same",
            "before close(): shutdown(s, SHUT_WR); while (recv(s, buf, sizeof buf, 0) > 0) {}; set no SO_LINGER",
        )
    };
    Some(Finding {
        id: FindingId::AbortiveClose,
        severity: if often { Severity::Error } else { Severity::Warning },
        statement: format!(
            "The device {}: {}.",
            match (seen.early > 0 && facts::captured(e), seen.unread > 0) {
                (true, false) =>
                    "closes connections with a FIN while a request is on its way, and then resets them",
                (true, true) =>
                    "ends connections with a RST, some of them after a FIN while a request is on its way",
                _ => "ends connections with a RST instead of a FIN",
            },
            if served == 0 {
                format!("{}, and no exchange was served", things(resets, "reset"))
            } else {
                match opened {
                    // Those in the place of an answer may be told elsewhere.
                    Some(opened) => format!(
                        "{}{} of {} ({})",
                        if facts::captured(e) && instead_of_answers(e) > 0 { "at least " } else { "" },
                        resets.min(opened),
                        things(opened, "connection"),
                        percent(resets.min(opened), opened)
                    ),
                    None => {
                        format!("{} for {}", things(resets, "reset"), things(served, "served exchange"))
                    }
                }
            }
        ),
        evidence,
        cause: cause.into(),
        change: change.into(),
    })
}
