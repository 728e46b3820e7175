//! RSTs of the device on connections that stand or stood.

use espstress_event::{AnomalyId, Direction, Shown};
use espstress_wire::Flags;

use super::super::flow::{Ending, Previous, Stage, after, before, distance};
use super::{Obstacle, Ruling, Scene, Verdict};

/// How long C may be taken not to have noticed T's FIN, nanoseconds.
const UNNOTICED: i64 = 200_000;

/// Names the first RST that T sends on a connection; the first of these that fits.
///
/// `late_rst`: both FINs had been acknowledged. Not this, but `OnTheWay`: the answer to a C segment that was a
/// duplicate of one already seen, that acknowledged T's FIN once more because that came twice, or that the path held up
/// or copied: T no longer has a connection for it. The number of a RST tells which segments it may answer.
///
/// `rst_after_fin`: T had sent its FIN: it closed while C was not done, or gave up waiting for C's FIN (lwIP
/// drops FIN-WAIT-2 after `TCP_FIN_WAIT_TIMEOUT` and answers what comes later with a RST). `Prompted`: T
/// closed after having been idle, and C's next request crossed that FIN, or C ignored it and sent more. `OnTheWay`: C had to send its FIN again,
/// because it or its acknowledgement was lost, and T has ended TIME-WAIT meanwhile (ESP-IDF recycles it at
/// `LWIP_MAX_ACTIVE_TCP`).
///
/// `abortive_close`: T had sent payload, and no FIN (RFC 9293, 3.10.4; lwIP `tcp_close_shutdown`: unread data
/// makes a close a RST). `Prompted`: C had let keep-alive probes go unanswered.
///
/// `rst_after_handshake`: T had sent neither payload nor FIN (lwIP: the accept mailbox is full or there is
/// no socket left, `lwip_accept`, `accept_function`). `Prompted`: as above. `OnTheWay`: T had answered a copy of the SYN of
/// an earlier connection.
///
/// Not any of these: a RST that follows C's own, which is at most `Prompted`; a second RST.
pub(super) fn first_reset(scene: &Scene<'_>) -> Option<Ruling> {
    let flow = scene.flow;
    if flow.stage == Stage::Opening || flow.device.resets > 0 || flow.has_told(AnomalyId::LateRst) {
        return None;
    }
    if flow.device.last_at.is_none() && flow.device.isn.is_none() {
        // Nothing of T's side is known: the capture, or C's silence, began in the middle.
        return Some(Ruling::CannotTell(AnomalyId::RstAfterHandshake, Obstacle::BeganBefore));
    }
    let id = if matches!(flow.ended, Some((_, Ending::Closed))) {
        AnomalyId::LateRst
    } else if flow.device.fin.is_some() {
        AnomalyId::RstAfterFin
    } else {
        match flow.device_sent_payload() {
            Some(true) => AnomalyId::AbortiveClose,
            // By its own number, it follows what the path lost.
            Some(false)
                if copied_syn_excuse(scene).is_none()
                    && flow.device.isn.is_some_and(|isn| after(scene.segment.seq, isn.wrapping_add(1))) =>
            {
                let id = AnomalyId::RstAfterHandshake;
                return Some(Ruling::CannotTell(id, Obstacle::PacketsMissing));
            }
            Some(false) => AnomalyId::RstAfterHandshake,
            None => return Some(Ruling::CannotTell(AnomalyId::RstAfterHandshake, Obstacle::BeganBefore)),
        }
    };
    let excuse = match id {
        AnomalyId::LateRst => late_excuse(scene),
        AnomalyId::RstAfterHandshake => copied_syn_excuse(scene),
        AnomalyId::RstAfterFin => idle_close_excuse(scene).or_else(|| repeated_fin_excuse(scene)),
        _ => None,
    };
    Some(scene.unless_incomplete(excused(scene.of_device(id), excuse)))
}

type Excuse = Option<(Shown, &'static str)>;

/// What the host itself led to needs no other excuse.
fn excused(verdict: Verdict, excuse: Excuse) -> Verdict {
    match excuse {
        Some((shows, remark)) if verdict.shows == Shown::Unprompted => {
            Verdict { shows, remark: Some(remark), ..verdict }
        }
        _ => verdict,
    }
}

/// The path copies or holds up a SYN as well. Where its connection has ended, T answers by a SYN-ACK for which C has no
/// use, and by a RST to what C says to that (RFC 9293, 3.10.7.4).
fn copied_syn_excuse(scene: &Scene<'_>) -> Excuse {
    let flow = scene.flow;
    let ended = matches!(flow.previous, Previous::ClosedFirstBy(_) | Previous::Reset);
    (ended && flow.syns == 0).then_some((
        Shown::OnTheWay,
        "the host opened no such connection: the path copied the SYN of the one before",
    ))
}

fn late_excuse(scene: &Scene<'_>) -> Excuse {
    let flow = scene.flow;
    if flow.answers_astray(scene.segment, scene.facts.at) {
        return Some((
            Shown::OnTheWay,
            "answers a segment of before the end, which the path held up or copied",
        ));
    }
    if flow.host_repeated {
        return Some((Shown::OnTheWay, "answers a duplicate of a segment that the host had sent before"));
    }
    if flow.device.fin.is_some_and(|fin| fin.copies > 1) {
        return Some((Shown::OnTheWay, "answers an acknowledgement of the device's FIN, which came twice"));
    }
    may_answer_last_again(scene).then_some((Shown::OnTheWay, LAST_AGAIN))
}

const LAST_AGAIN: &str = "the path copies packets or holds them up: may answer such a one of the host's last";

/// A path that copies packets or holds them up does so with the last of C's that acknowledge T's FIN as well, behind the
/// point of capture.
fn may_answer_last_again(scene: &Scene<'_>) -> bool {
    let flow = scene.flow;
    let since_host = flow.host.last_at.map_or(i64::MAX, |t| scene.facts.at.saturating_sub(t));
    scene.path.astray > 0 && flow.host.ack == Some(scene.segment.seq) && since_host <= flow.grace()
}

fn idle_close_excuse(scene: &Scene<'_>) -> Excuse {
    let flow = scene.flow;
    let fin = flow.device.fin?;
    let sent_at = flow.host.payload_at?;
    let beyond = flow.host.space.next().is_some_and(|next| before(fin.ack, next));
    let served = flow.device.payload_at.is_some()
        && flow.host.isn.is_none_or(|isn| after(fin.ack, isn.wrapping_add(1)));
    let crossed = sent_at <= fin.first_at.saturating_add(UNNOTICED);
    (fin.after_idle && served && beyond).then_some((
        Shown::Prompted,
        match crossed {
            true => "the host's next request crossed the device's idle close",
            false => "the host sent more though the device had closed the idle connection",
        },
    ))
}

fn repeated_fin_excuse(scene: &Scene<'_>) -> Excuse {
    let acknowledges = scene.segment.flags.has(Flags::ACK).then_some(scene.segment.ack);
    let fin = scene.flow.host.fin.filter(|fin| fin.copies > 1)?;
    // What the RST acknowledges is the segment that it answers.
    (acknowledges.is_none_or(|ack| ack == fin.seq.wrapping_add(1)))
        .then_some((Shown::OnTheWay, "answers a FIN that the host sent again: it or its answer was lost"))
}

/// `rst_storm`: T sends three RSTs or more on one connection; told once, at the third.
///
/// Not this: copies that the path made of one RST, or of what it answers; one for each copy of a SYN that is refused.
/// `OnTheWay`: both sides had closed, and the path copies packets or holds them up; or T had answered a copy of the SYN of
/// an earlier connection.
pub(super) fn rst_storm(scene: &Scene<'_>) -> Option<Ruling> {
    let flow = scene.flow;
    let copied = flow.is_path_copy(scene.segment, Direction::FromDevice)
        || flow.answers_astray(scene.segment, scene.facts.at);
    let due = if flow.stage == Stage::Opening { flow.syns.saturating_sub(1) } else { 0 };
    if copied || flow.device.resets != due.saturating_add(2) {
        return None;
    }
    let verdict = scene.of_device(AnomalyId::RstStorm);
    let closed = matches!(flow.ended, Some((_, Ending::Closed)));
    let again = (closed && may_answer_last_again(scene)).then_some((Shown::OnTheWay, LAST_AGAIN));
    Some(Ruling::Fires(excused(verdict, again.or_else(|| copied_syn_excuse(scene)))))
}

/// `rst_bad_seq`: T's RST is neither at what C acknowledged last (RFC 9293, 3.5.2: a RST takes its number
/// from the segment that it answers) nor at the end of what T has sent. C cannot accept it (RFC 5961, 3.2).
///
/// Not this: a RST that answers a SYN; one that answers a C segment sent before the last; one beyond
/// what T was seen to send and within the window: what T sent in between was lost, which is `OnTheWay` on a path that
/// loses packets, or is missing from the capture.
pub(super) fn rst_bad_seq(scene: &Scene<'_>) -> Option<Ruling> {
    let flow = scene.flow;
    let seq = scene.segment.seq;
    if flow.host_opens() || flow.is_path_copy(scene.segment, Direction::FromDevice) {
        return None;
    }
    let (next, acked) = (flow.device.space.next(), flow.host.ack);
    let known = next.or(acked)?;
    let answers_recent = flow.host_acked.may_have_sent(seq, scene.facts.at, flow.grace());
    // T's FIN, not yet acknowledged, may or may not be counted.
    let at_fin = flow.device.fin.is_some_and(|f| f.seq == seq);
    if next == Some(seq) || acked == Some(seq) || answers_recent || at_fin {
        return None;
    }
    let window = u32::from(flow.host.window) << flow.host.shift;
    let ahead = distance(seq, known);
    let may_follow_others = ahead > 0 && ahead.unsigned_abs() <= window.max(65_535);
    let verdict = scene.of_device(AnomalyId::RstBadSeq);
    if !may_follow_others || verdict.shows != Shown::Unprompted {
        return Some(scene.unless_incomplete(verdict));
    }
    if scene.path.device_losses == 0 {
        return Some(Ruling::CannotTell(verdict.id, Obstacle::PacketsMissing));
    }
    let remark = Some("the path loses packets: segments before the RST may be among them");
    Some(scene.unless_incomplete(Verdict { shows: Shown::OnTheWay, remark, ..verdict }))
}
