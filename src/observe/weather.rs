//! What a segment shows of the path: that it was an occasion to be lost, or that something was lost.

use espstress_event::{Direction, Losses, PathWindow};
use espstress_wire::Segment;

use super::flow::{Acks, Facts, Fin, FinCopy, Flow, Kind, MILLISECOND, Place, Repetition, after, before};

/// A stack acknowledges what it has already within a round trip and so much more, also on a busy machine; delayed
/// acknowledgements come at any time within 250 ms (lwIP: `TCP_FAST_INTERVAL`).
pub(super) const AT_ONCE: i64 = 50 * MILLISECOND;

/// The shortest time-out after which the host sends again (Linux: `TCP_RTO_MIN`).
const TIME_OUT: i64 = 200 * MILLISECOND;

/// What a segment adds to its window, before the connection has taken it in.
///
/// A SYN is no occasion to be lost: one that is answered on its repetition shows nothing, because a device whose queue is
/// full leaves it unanswered as well, and to count those alone that were answered at once would make the path look better.
pub(super) fn occasions(flow: &Flow, s: &Segment, facts: &Facts) -> PathWindow {
    let new_payload = s.payload > 0 && matches!(facts.place, Place::Next | Place::Ahead);
    let first_fin = facts.fin == FinCopy::First;
    let host = facts.from == Direction::FromHost;
    let segments = u64::from(new_payload || first_fin);
    PathWindow {
        losses: Losses { segments, ..Losses::default() },
        requests: u64::from(host && new_payload),
        fins: u64::from(host && first_fin),
        syns: u64::from(host && facts.kind == Kind::Syn && flow.syns == 0),
        ..PathWindow::default()
    }
}

/// What a segment of the device's shows to have been lost of its own.
pub(super) fn lost_of_device(flow: &Flow, s: &Segment, facts: &Facts) -> Losses {
    let late = matches!(facts.place, Place::Fills(age) if age > flow.rtt_min.max(3 * MILLISECOND));
    // The host had it and had said so: the answer was lost.
    let had_it = |end: u32| flow.host.ack.is_some_and(|ack| !before(ack, end));
    let unheard =
        facts.place == Place::Seen && !facts.spurious && !flow.is_path_copy(s, facts.from) && had_it(s.end());
    let fin_unheard = facts.fin == FinCopy::Again(Repetition::BackOff);
    Losses { lost: u64::from(late) + u64::from(unheard || fin_unheard), ..Losses::default() }
}

/// What a segment of the device's shows to have been lost of the host's: only what came through later. What never does may
/// be the device's silence.
pub(super) fn lost_of_host(flow: &Flow, s: &Segment, facts: &Facts) -> Losses {
    let mut losses = Losses::default();
    // The path did not lose the ACK, the request and its copy one after the other: the accept queue was full.
    if facts.acks != Acks::More || (flow.taken_late && nothing_taken(flow)) {
        return losses;
    }
    let repeated = flow.host.repeated.filter(|r| after(s.ack, r.seq) && !flow.host.probing);
    if let Some(repeated) = repeated.filter(|r| r.times > 1 || !had_arrived(flow, r.last_at, facts)) {
        losses.lost += 1;
        losses.again += u64::from(repeated.times - 1);
    }
    let fin = flow.host.fin.filter(|fin| fin.copies > 1 && !before(s.ack, fin.end()));
    // A FIN that comes again sooner than any time-out probes for an acknowledgement that may only be late (RFC 8985, 7.2).
    let probed =
        |fin: &Fin| fin.copies == 2 && fin.interval < TIME_OUT && had_arrived(flow, fin.last_at, facts);
    if let Some(fin) = fin.filter(|fin| fin.acked_at.is_none() && !probed(fin)) {
        losses.lost += 1;
        losses.again += u64::from(fin.copies) - 2;
    }
    losses
}

/// Whether the device has acknowledged nothing but the SYN so far. Then its accept queue may have dropped what the host sent:
/// a full one drops the ACK of the handshake and all behind it (Linux, `tcp_check_req`).
pub(super) const fn nothing_taken(flow: &Flow) -> bool {
    flow.request_acked_at.is_none()
}

/// Whether what the host sent again at `sent_at`, for the first time, may have been there before. A stack that delays its
/// acknowledgement sends it as soon as the same comes again; one that hears it for the first time waits for the answer
/// to go with it.
fn had_arrived(flow: &Flow, sent_at: i64, facts: &Facts) -> bool {
    facts.bare_ack && facts.at.saturating_sub(sent_at) <= flow.rtt_min.saturating_add(AT_ONCE)
}

/// Whether the device's answer to a first repetition of the host's, by which the segment seems lost, is one that an
/// acknowledgement of the same again may take back (RFC 9293, 3.10.7.4: what is not acceptable is acknowledged at once).
pub(super) fn is_presumed(flow: &Flow, s: &Segment, facts: &Facts) -> bool {
    facts.acks == Acks::More
        && flow.host.repeated.is_some_and(|r| r.times == 1 && after(s.ack, r.seq))
        && !flow.host.probing
        && !facts.bare_ack
}

/// Whether this is that acknowledgement: both copies had arrived.
pub(super) fn takes_back(facts: &Facts) -> bool {
    facts.bare_ack && facts.acks == Acks::Same && facts.kind == Kind::Ordinary
}
