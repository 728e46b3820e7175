//! What goes wrong before a connection stands.

use espstress_event::{AnomalyId, Direction, END_NOT_SEEN, Shown};
use espstress_wire::Flags;

use super::super::flow::{Flow, Kind, MILLISECOND, Previous, Stage, after, before};
use super::{Ruling, Scene, Verdict};

/// What comes within this time of a segment may have been on its way before, nanoseconds.
const AT_ONCE: i64 = 100 * MILLISECOND;

/// `syn_refused`: T's RST answers C's SYN (RFC 9293, 3.10.7.1): it acknowledges the SYN, and no SYN-ACK has
/// come. lwIP sends it where nobody listens, `src/core/tcp_in.c`, `tcp_input`.
///
/// Not this: a RST that acknowledges something else belongs to an earlier connection on these ports.
pub(super) fn syn_refused(scene: &Scene<'_>) -> Option<Ruling> {
    let flow = scene.flow;
    let answers = scene.segment.flags.has(Flags::ACK) && flow.host.syn_answered_by(scene.segment.ack);
    (flow.host_opens() && answers && flow.device.resets == 0)
        .then(|| Ruling::Fires(scene.verdict(AnomalyId::SynRefused, Shown::Unprompted)))
}

/// `syn_unanswered`: no answer of any kind to C's SYN by the deadline.
///
/// lwIP drops a SYN silently when the backlog is full or no control block is to be had (`tcp_listen_input`).
///
/// Not this: a SYN answered on its repetition within the deadline.
pub(super) fn syn_unanswered(flow: &Flow, deadline: i64) -> Option<Verdict> {
    flow.host_opens().then_some(Verdict {
        id: AnomalyId::SynUnanswered,
        shows: Shown::Unprompted,
        direction: Direction::FromHost,
        at: flow.opened_at,
        lasted: deadline.saturating_sub(flow.opened_at),
        answers: None,
        after_fin: None,
        request: None,
        copies: Some(u32::from(flow.syns).max(1)),
        remark: None,
    })
}

/// A bare ACK of something else meets C's SYN: the first such answer to each copy of the SYN.
fn stray_ack(scene: &Scene<'_>) -> bool {
    scene.device_sends(Kind::Foreign)
        && scene.flow.host_opens()
        && scene.facts.bare_ack
        && scene.flow.stray_acks < scene.flow.syns
}

/// `timewait_collision`: C's SYN on a 4-tuple that was in use before is answered by an ACK that is no
/// SYN-ACK: T still holds the old connection in TIME-WAIT and the new SYN lies outside its window (RFC 9293,
/// 3.10.7.4; lwIP `tcp_timewait_input`; it ignores the RST that C answers with, as RFC 1337 advises).
///
/// Certain when the connection before was seen to end with T's FIN first; else marked suspected. Where the
/// connection before was not seen to end at all it is `challenge_ack`.
pub(super) fn timewait_collision(scene: &Scene<'_>) -> Option<Ruling> {
    if !stray_ack(scene) || scene.flow.previous == Previous::Live {
        return None;
    }
    let remark = match scene.flow.previous {
        Previous::ClosedFirstBy(Direction::FromDevice) => None,
        Previous::ClosedFirstBy(Direction::FromHost) => {
            Some("suspected: the previous connection ended with the host's FIN first")
        }
        Previous::Reset => Some("suspected: the previous connection ended with a RST"),
        Previous::Unseen | Previous::Live => Some(END_NOT_SEEN),
    };
    let verdict = Verdict { remark, ..scene.verdict(AnomalyId::TimewaitCollision, Shown::Unprompted) };
    Some(Ruling::Fires(verdict))
}

/// `dial_collision`: T dials C with the ports of a connection that C still holds. C answers the SYN with an ACK of that
/// connection (RFC 9293, 3.10.7.4; RFC 5961, 4); T must answer with a RST, after which its SYN gets through (RFC 9293,
/// 3.10.7.3; lwIP `tcp_process`, `SYN_SENT`), but sends the SYN again. Told once.
///
/// Not this: a SYN that was on its way when C's ACK was sent.
pub(super) fn dial_collision(scene: &Scene<'_>) -> Option<Ruling> {
    let flow = scene.flow;
    let refused_for = flow.host_acked_dial.map_or(0, |at| scene.facts.at.saturating_sub(at));
    let repeats = scene.device_sends(Kind::Syn) && flow.device_opens();
    if !repeats || refused_for <= flow.rtt_min.max(AT_ONCE) || flow.has_told(AnomalyId::DialCollision) {
        return None;
    }
    let remark = match flow.previous {
        Previous::Live => None,
        _ => Some("suspected: the connection that the host holds began before the capture"),
    };
    Some(Ruling::Fires(Verdict { remark, ..scene.verdict(AnomalyId::DialCollision, Shown::Unprompted) }))
}

/// `challenge_ack`: T's bare ACK in direct answer to C's SYN, or to C's RST inside the window but not at the
/// next number, on a connection that T holds to be alive (RFC 5961, 3.2 and 4.2; lwIP `tcp_process`).
///
/// Not this: an ACK that was on its way when C's RST was sent (less than a round trip after it), or one that
/// acknowledges more than before.
pub(super) fn challenge_ack(scene: &Scene<'_>) -> Option<Ruling> {
    let flow = scene.flow;
    let remark = if stray_ack(scene) && flow.previous == Previous::Live {
        "may have been provoked: the host opened anew on the ports of a connection that had not ended"
    } else if answers_inexact_reset(scene) {
        "may have been provoked: the host's RST was not at the next sequence number"
    } else {
        return None;
    };
    let verdict = scene.verdict(AnomalyId::ChallengeAck, Shown::Unprompted);
    Some(scene.unless_incomplete(Verdict { remark: Some(remark), ..verdict }))
}

fn answers_inexact_reset(scene: &Scene<'_>) -> bool {
    let flow = scene.flow;
    let (Some((seq, at)), Some(expected)) = (flow.host.reset, flow.device.ack) else { return false };
    let in_window = after(seq, expected)
        && before(seq, expected.wrapping_add(u32::from(flow.device.window) << flow.device.shift));
    scene.device_sends(Kind::Ordinary)
        && flow.stage == Stage::Open
        && scene.reset_by_host()
        && scene.facts.bare_ack
        && scene.segment.ack == expected
        && in_window
        && flow.device.last_at.is_none_or(|last| last < at)
        && scene.facts.at.saturating_sub(at) >= flow.rtt_min
        && scene.facts.at.saturating_sub(at) <= flow.grace()
}
