//! FINs, and what comes after the end.

use espstress_event::{AnomalyId, Direction, Shown};

use super::super::flow::{Ending, FinCopy, Flow, Kind, Place, Repetition, SECOND, after};
use super::{Obstacle, Ruling, Scene, Verdict};

/// Repetitions of a FIN that lost acknowledgements may explain.
const LOST_ACKS: u16 = 3;
/// In so long lwIP repeats a segment as often (`tcp_backoff`: 1.5, 3 and 6 s), and a little more, nanoseconds.
const LOST_ACKS_LAST: i64 = 15 * SECOND;
/// FINs that a device sends within the deadline of `half_closed_linger`: one at once, one after lwIP's 1.5 s and one after
/// 3 s more (`tcp_backoff`).
const REPEATED_FINS: u32 = 3;
/// RSTs of C that the path may have lost before the device is said not to heed them.
const LOST_RESETS: u16 = 3;

/// `closed_unserved`: T's FIN before any payload of its own, C not having sent its FIN (lwIP: the
/// application closed what it had accepted, or the netconn for it could not be had).
///
/// Judged by sequence numbers: T's FIN is the first number behind its SYN.
/// Not this: C had sent its FIN or a RST; T had opened the connection itself.
pub(super) fn closed_unserved(scene: &Scene<'_>) -> Option<Ruling> {
    let flow = scene.flow;
    let dialled = flow.opener == Some(Direction::FromDevice);
    if scene.facts.fin != FinCopy::First || flow.host.fin.is_some() || flow.ended.is_some() || dialled {
        return None;
    }
    let Some(isn) = flow.device.isn else {
        // In the middle of a connection, payload seen before it is service enough.
        return flow
            .device
            .payload_at
            .is_none()
            .then_some(Ruling::CannotTell(AnomalyId::ClosedUnserved, Obstacle::BeganBefore));
    };
    if scene.segment.seq != isn.wrapping_add(1) || scene.segment.payload > 0 {
        return None;
    }
    if flow.host.space.next().is_some_and(|next| after(scene.segment.ack, next)) {
        // It acknowledges what was never seen: C's FIN may be in it.
        return Some(Ruling::CannotTell(AnomalyId::ClosedUnserved, Obstacle::PacketsMissing));
    }
    Some(scene.unless_incomplete(scene.of_device(AnomalyId::ClosedUnserved)))
}

/// `fin_retransmission`: the same FIN of T again.
///
/// `OnTheWay`: C has not acknowledged it, or could have lost its acknowledgement to the path and T waited for
/// its back-off (RFC 6298, 5) before each repetition. Not this: after both closed at once, the FIN that acknowledges
/// C's. `Unprompted`: it shows by what it acknowledges that it has
/// C's acknowledgement, or it does not wait.
pub(super) fn fin_retransmission(scene: &Scene<'_>) -> Option<Ruling> {
    let FinCopy::Again(why) = scene.facts.fin else { return None };
    let id = AnomalyId::FinRetransmission;
    let path = |remark| Verdict { remark: Some(remark), ..scene.verdict(id, Shown::OnTheWay) };
    let verdict = match why {
        Repetition::PathCopy => path("a copy made by the path"),
        Repetition::Unacknowledged => match scene.host_caused() {
            Some(remark) => Verdict { remark: Some(remark), ..scene.verdict(id, Shown::Prompted) },
            None => path("the host had not acknowledged it, or only just"),
        },
        Repetition::BackOff => path("the host's acknowledgement may have been lost"),
        Repetition::Closing => return None,
        Repetition::TooSoon => return Some(scene.unless_incomplete(scene.of_device(id))),
        Repetition::Delivered => return Some(scene.unless_incomplete(scene.of_device(id))),
    };
    Some(Ruling::Fires(verdict))
}

/// `fin_duel`: both sides have sent their FIN, and T sends three or more further segments that say nothing
/// new and that C's system answers at once; told once, at the third answer.
///
/// Not counted: a FIN repeated after its back-off (C's last ACK was lost), payload repeated, a RST.
pub(super) fn fin_duel(scene: &Scene<'_>) -> Option<Ruling> {
    let fires = scene.flow.duels >= 3 && !scene.flow.has_told(AnomalyId::FinDuel);
    fires.then(|| {
        let verdict = Verdict { direction: Direction::FromDevice, ..scene.of_device(AnomalyId::FinDuel) };
        scene.unless_incomplete(verdict)
    })
}

/// `data_after_fin`: payload of T beyond its own FIN (RFC 9293, 3.6: the FIN is the last).
///
/// Not this: payload below the FIN sent again.
pub(super) fn data_after_fin(scene: &Scene<'_>) -> Option<Ruling> {
    let fin = scene.flow.device.fin?;
    scene
        .facts
        .payload_beyond(scene.segment, fin.seq)
        .then(|| scene.unless_incomplete(scene.of_device(AnomalyId::DataAfterFin)))
}

/// `half_closed_linger`: T has acknowledged C's FIN, then sends neither FIN nor RST nor payload for the
/// deadline (5 s).
///
/// Not this: a download that goes on after C's half-close: each payload starts the wait anew. `Prompted`: C
/// keeps its window shut, so that T cannot go on.
pub(super) fn half_closed_linger(flow: &Flow, since: i64, deadline: i64) -> Verdict {
    let shut = flow.host.window == 0;
    Verdict {
        id: AnomalyId::HalfClosedLinger,
        shows: if shut { Shown::Prompted } else { Shown::Unprompted },
        direction: Direction::FromDevice,
        at: since,
        lasted: deadline.saturating_sub(since),
        answers: flow.host_last,
        after_fin: None,
        request: None,
        copies: Some(REPEATED_FINS),
        remark: shut.then_some("the host kept its window shut"),
    }
}

/// `post_run_chatter`: a T segment later than max(1 s, four round trips) after the connection had both FINs
/// acknowledged or a RST. Each segment counts, so that first, last and count say how long it went on.
///
/// Not this: the ACK that answers a C segment; a connection that never ended, as one from which C vanished.
/// `OnTheWay`: a RST that answers a repetition of C's; T's payload or FIN again after its back-off, as long as lost
/// acknowledgements explain it. `Prompted`: C ended it with a RST that T may not have received.
pub(super) fn post_run_chatter(scene: &Scene<'_>) -> Option<Ruling> {
    let flow = scene.flow;
    let (ended_at, ending) = flow.ended?;
    if scene.facts.at.saturating_sub(ended_at) <= flow.grace() {
        return None;
    }
    let id = AnomalyId::PostRunChatter;
    let since_host = match (flow.host.last_at, flow.device.last_at) {
        (Some(host), Some(device)) if host >= device => scene.facts.at.saturating_sub(host),
        _ => i64::MAX,
    };
    let answers_host = flow.host_repeated && since_host <= SECOND;
    if answers_host && scene.facts.bare_ack && scene.facts.kind == Kind::Ordinary {
        return None;
    }
    let shows = if answers_host && scene.facts.kind == Kind::Reset {
        Shown::OnTheWay
    } else {
        match (ending, scene.facts.fin) {
            (Ending::Reset(Direction::FromHost), _) if flow.host.resets < LOST_RESETS => Shown::Prompted,
            (Ending::Closed, FinCopy::Again(Repetition::BackOff | Repetition::Unacknowledged))
                if flow.device.fin.is_some_and(|f| f.copies <= LOST_ACKS) =>
            {
                Shown::OnTheWay
            }
            (Ending::Closed, FinCopy::None)
                if scene.facts.place == Place::Seen
                    && scene.facts.at.saturating_sub(ended_at) <= LOST_ACKS_LAST =>
            {
                Shown::OnTheWay
            }
            _ => Shown::Unprompted,
        }
    };
    if scene.facts.kind == Kind::Foreign || scene.facts.place == Place::Unknown {
        return None;
    }
    let remark = match shows {
        Shown::Unprompted => None,
        Shown::OnTheWay => Some("the host's last acknowledgement may have been lost"),
        Shown::Prompted => Some("the host had reset the connection"),
    };
    Some(scene.unless_incomplete(Verdict { remark, ..scene.verdict(id, shows) }))
}
