//! What links do: loss, reordering. Counted, shown, and never a fault by itself. Both directions.

use espstress_event::{AnomalyId, Direction, Shown};

use super::super::flow::{Acks, Kind, MILLISECOND, Place, before};
use super::{Ruling, Scene, Verdict};

/// The least time within which a segment that was overtaken comes, nanoseconds.
const OVERTAKEN: i64 = 3 * MILLISECOND;

const SPURIOUS: Option<&str> =
    Some("spurious: sent again sooner than a round trip, and it had been acknowledged");

/// `retransmission`: payload in sequence space that was seen before, or payload that fills a hole later
/// than a mere overtaking does: its first copy was lost before the point of capture.
///
/// `Unprompted`: T repeats sooner than a round trip what C has acknowledged (RFC 6298, 2: a time-out is longer than a
/// round trip), and the path did not copy it. Wireshark calls it a spurious retransmission.
///
/// Not this: keep-alive and window probes, a SYN or FIN alone, a copy that the path made.
pub(super) fn retransmission(scene: &Scene<'_>) -> Option<Ruling> {
    if scene.facts.spurious {
        let verdict = scene.of_device(AnomalyId::Retransmission);
        return Some(scene.unless_incomplete(Verdict { remark: verdict.remark.or(SPURIOUS), ..verdict }));
    }
    let remark = match scene.facts.place {
        Place::Seen if scene.flow.is_path_copy(scene.segment, scene.facts.from) => return None,
        Place::Seen => None,
        Place::Fills(age) if age > overtaking(scene) => {
            Some("its first copy was lost before the point of capture")
        }
        _ => return None,
    };
    let verdict = scene.verdict(AnomalyId::Retransmission, Shown::OnTheWay);
    Some(Ruling::Fires(Verdict { remark, ..verdict }))
}

/// `out_of_order`: payload not seen before, below the highest end seen, within 3 ms or the least round trip
/// of the segment that overtook it.
pub(super) fn out_of_order(scene: &Scene<'_>) -> Option<Ruling> {
    match scene.facts.place {
        Place::Fills(age) if age <= overtaking(scene) => {
            Some(Ruling::Fires(scene.verdict(AnomalyId::OutOfOrder, Shown::OnTheWay)))
        }
        _ => None,
    }
}

const fn overtaking(scene: &Scene<'_>) -> i64 {
    if scene.flow.rtt_min > OVERTAKEN { scene.flow.rtt_min } else { OVERTAKEN }
}

/// `duplicate_ack`: the same acknowledgement and the same window again, without payload, while the other
/// side waits for an acknowledgement (RFC 5681, 2).
///
/// Not this: answers to keep-alive and window probes; updates of the window.
pub(super) fn duplicate_ack(scene: &Scene<'_>) -> Option<Ruling> {
    let facts = scene.facts;
    if !facts.bare_ack || facts.acks != Acks::Same || facts.kind != Kind::Ordinary {
        return None;
    }
    let (own, other) = match facts.from {
        Direction::FromDevice => (&scene.flow.device, &scene.flow.host),
        Direction::FromHost => (&scene.flow.host, &scene.flow.device),
    };
    let late = own.space.next().is_some_and(|next| before(scene.segment.seq, next));
    let waits = own.owes_ack(other.space.next());
    (waits && !other.probing && !late && own.window == scene.segment.window)
        .then(|| Ruling::Fires(scene.verdict(AnomalyId::DuplicateAck, Shown::OnTheWay)))
}
