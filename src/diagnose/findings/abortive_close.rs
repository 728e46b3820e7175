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

use super::super::{Evidence, Finding, FindingId, Severity};
use super::text::{percent, things};
use super::{FindingEntry, device_rebooted, heap_low, signs};
use espstress_event::{AnomalyId, Ending};

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::AbortiveClose,
    severity: Severity::Error,
    meaning: "the device closes with request bytes unread, or before the request has arrived: a RST instead of a FIN",
    needs: "the packets; without them, connections whose end the host waited for",
    neighbours: "a RST that answers a late close (fin_wait_timeout); a restart; connections closed unserved",
    change: "read the request to its end, shutdown(s, SHUT_WR), recv() until 0, then close(s)",
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
    let after_fin = signs::of_device(e, AnomalyId::RstAfterFin).count;
    let unserved = signs::of_device(e, AnomalyId::ClosedUnserved).count;
    let early = after_fin.saturating_sub(e.resets.answering_late_close).saturating_sub(unserved);
    // Of connections that nobody answered, or that a stack had forgotten: consequences of something else.
    let of_others = e.resets.unanswered.saturating_add(e.resets.after_absence);
    Seen {
        unread: signs::of_device(e, AnomalyId::AbortiveClose).count.saturating_sub(of_others),
        early: early.min(e.resets.answering_payload),
        sockets: signs::endings(e, Ending::Reset),
    }
}

/// Resets that a restart explains.
fn of_restarts(e: &Evidence<'_>) -> u64 {
    let restarts = device_rebooted::restarts(e).saturating_mul(signs::at_once(e));
    restarts.max(device_rebooted::forgotten(e)).saturating_mul(2)
}

pub(super) fn find(e: &Evidence<'_>) -> Option<Finding> {
    let seen = seen(e);
    let on_wire = seen.unread.saturating_add(seen.early);
    let resets = if signs::captured(e) { on_wire } else { seen.sockets };
    if resets == 0 || resets <= of_restarts(e) {
        return None;
    }
    let served = signs::exchanges(e).fold(0_u64, |n, w| n.saturating_add(w.succeeded));
    // Without memory a stack resets what it cannot go on with.
    let often = resets.saturating_mul(100) >= served;
    if !often && heap_low::happened(e) {
        return None;
    }
    let mut evidence = Vec::new();
    if seen.unread > 0 {
        evidence.push(format!(
            "packets: {} after the device's payload, without a FIN of its own",
            things(seen.unread, "RST")
        ));
    }
    if seen.early > 0 {
        evidence.push(format!(
            "packets: {} in answer to request bytes after the device's FIN",
            things(seen.early, "RST")
        ));
    }
    if seen.sockets > 0 {
        evidence.push(format!(
            "{} of {} that went well ended by a reset at the host's socket",
            seen.sockets,
            things(signs::all_endings(e), "connection")
        ));
    }
    evidence.push(format!("{served} exchanges succeeded: to the client's program nothing is wrong"));
    let early = seen.early > seen.unread;
    let (cause, change) = if early {
        (
            "the program replies and closes before the request has arrived, so that the request meets a closed \
             socket",
            "wait for the end of the request (the empty line) before replying, with a time-out well above the \
             round trip",
        )
    } else {
        (
            "the program closes the socket while received bytes are unread; lwIP then sends a RST instead of a FIN",
            "before close(): shutdown(s, SHUT_WR); while (recv(s, buf, sizeof buf, 0) > 0) {} - read to the end",
        )
    };
    Some(Finding {
        id: FindingId::AbortiveClose,
        severity: if often { Severity::Error } else { Severity::Warning },
        statement: format!(
            "The device ends connections by a RST instead of a FIN: {} against {} ({}).",
            things(resets, "reset"),
            things(served, "served exchange"),
            percent(resets.min(served), served)
        ),
        evidence,
        cause: cause.into(),
        change: change.into(),
    })
}
