//! What a segment is, in the light of the connection before it.

use espstress_event::Direction;
use espstress_wire::{Flags, Segment};

use super::seq::{after, before, distance};
use super::space::Place;
use super::{Fin, Flow, Half, MILLISECOND, Stage};

/// Beyond this a number belongs to another connection: larger than any window (RFC 7323, 2.3).
const FAR: i32 = 1 << 29;

/// What a segment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SYN without ACK.
    Syn,
    /// SYN with ACK.
    SynAck,
    /// RST.
    Reset,
    /// Keep-alive probe (RFC 9293, 3.8.4): one number before the next, to draw an ACK.
    KeepAlive,
    /// Zero-window probe (RFC 9293, 3.8.6.1).
    WindowProbe,
    /// ACK, payload, FIN.
    Ordinary,
    /// Its numbers have nothing to do with this connection.
    Foreign,
}

/// What its acknowledgement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acks {
    /// Nothing: no ACK flag, or a RST's.
    Nothing,
    /// Less than before.
    Older,
    /// The same as before.
    Same,
    /// More than before.
    More,
}

/// Whether it carries a FIN, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FinCopy {
    /// None.
    None,
    /// The first of this side.
    First,
    /// The same again.
    Again(Repetition),
}

/// Why a FIN may have come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repetition {
    /// The path copied it: the sender sent it once.
    PathCopy,
    /// The other side has not acknowledged it, or not so long ago that its sender could know.
    Unacknowledged,
    /// It was acknowledged, the acknowledgement may have been lost, and a back-off has passed, or what a probe of the tail waits.
    BackOff,
    /// It was acknowledged, and the back-off has not passed.
    TooSoon,
    /// It was acknowledged, and the sender shows that it has received that.
    Delivered,
    /// Both sides closed at once, and this copy is the acknowledgement of the other side's FIN: BSD's stacks send
    /// their FIN along with it.
    Closing,
}

/// The shortest retransmission time-out in use: Linux's is 200 ms (`TCP_RTO_MIN`), lwIP's 500 ms and more;
/// half of it leaves room for timer grains.
const SHORTEST_BACK_OFF: i64 = 100 * MILLISECOND;

/// The shortest wait of Linux before it probes the tail: two ticks of a millisecond (`TCP_TIMEOUT_MIN`).
const SHORTEST_TAIL_PROBE: i64 = 2 * MILLISECOND;

/// All of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) at: i64,
    pub(crate) from: Direction,
    pub(crate) kind: Kind,
    pub(crate) place: Place,
    pub(crate) acks: Acks,
    pub(crate) fin: FinCopy,
    /// No payload, SYN, FIN or RST.
    pub(crate) bare_ack: bool,
    /// Payload of the device's sent again sooner than a round trip, although its first copy came and was
    /// acknowledged: no time-out may be that short (RFC 6298, 2).
    pub(crate) spurious: bool,
}

impl Flow {
    /// Looks at a segment without changing anything.
    pub(crate) fn look(&self, s: &Segment, from: Direction, at: i64) -> Facts {
        let (own, other) = match from {
            Direction::FromDevice => (&self.device, &self.host),
            Direction::FromHost => (&self.host, &self.device),
        };
        let kind = self.kind(s, own, other);
        let counts = matches!(kind, Kind::Ordinary | Kind::Syn | Kind::SynAck);
        let place = if counts && s.payload > 0 && !s.flags.has(Flags::SYN) {
            own.space.place(s.seq, s.seq.wrapping_add(s.payload), at)
        } else {
            Place::Empty
        };
        let acks = if !s.flags.has(Flags::ACK) || matches!(kind, Kind::Reset | Kind::Foreign) {
            Acks::Nothing
        } else {
            match own.ack {
                Some(ack) if before(s.ack, ack) => Acks::Older,
                Some(ack) if s.ack == ack => Acks::Same,
                _ => Acks::More,
            }
        };
        let fin = match own.fin {
            _ if !s.flags.has(Flags::FIN) || kind != Kind::Ordinary => FinCopy::None,
            None => FinCopy::First,
            Some(fin) => FinCopy::Again(self.repetition(s, from, &fin, at)),
        };
        let others = Flags::SYN.and(Flags::FIN).and(Flags::RST);
        let bare_ack = s.flags.has(Flags::ACK) && s.flags.0 & others.0 == 0 && s.payload == 0;
        let spurious = place == Place::Seen && from == Direction::FromDevice && self.is_spurious(s, at);
        Facts { at, from, kind, place, acks, fin, bare_ack, spurious }
    }

    fn is_spurious(&self, s: &Segment, at: i64) -> bool {
        let end = s.seq.wrapping_add(s.payload);
        let acknowledged = self.host.ack.is_some_and(|ack| !before(ack, end));
        let soon =
            self.device_sent.when(s.seq, end).is_some_and(|sent| at.saturating_sub(sent) < self.rtt_min);
        // The sender's own doing is certain where its packet is another than the first one.
        acknowledged && soon && !self.is_path_copy(s, Direction::FromDevice) && self.notes.holds_another(s)
    }

    fn repetition(&self, s: &Segment, from: Direction, fin: &Fin, at: i64) -> Repetition {
        // Who has answered by a RST after both closed holds no connection: what comes behind that was sent before.
        let gone = from == Direction::FromDevice
            && matches!(self.ended, Some((_, super::Ending::Closed)))
            && self.device.reset.is_some();
        if gone || self.is_path_copy(s, from) {
            return Repetition::PathCopy;
        }
        if self.closes_at_once(s, from, fin) {
            return Repetition::Closing;
        }
        if fin.proof.is_some_and(|end| s.flags.has(Flags::ACK) && !before(s.ack, end)) {
            return Repetition::Delivered;
        }
        let interval = at.saturating_sub(fin.last_at);
        // Back-off doubles; a probe of the tail (RFC 8985, 7.2) may come before the first.
        let paced = interval >= fin.interval / 2;
        match fin.acked_at {
            None if paced => Repetition::Unacknowledged,
            Some(acked) if at.saturating_sub(acked) < self.rtt_min => Repetition::Unacknowledged,
            Some(_) if paced && interval >= SHORTEST_BACK_OFF => Repetition::BackOff,
            Some(_) if fin.copies == 1 && interval >= self.tail_probe() => Repetition::BackOff,
            _ => Repetition::TooSoon,
        }
    }

    /// The shortest wait before a probe of the tail: two round trips (RFC 8985, 7.2).
    fn tail_probe(&self) -> i64 {
        self.rtt_min.saturating_mul(2).max(SHORTEST_TAIL_PROBE)
    }

    /// Simultaneous close (RFC 9293, 3.6, case 3): the FINs crossed, and `s` is the first to acknowledge the other's.
    fn closes_at_once(&self, s: &Segment, from: Direction, fin: &Fin) -> bool {
        let (own, other) = match from {
            Direction::FromDevice => (&self.device, &self.host),
            Direction::FromHost => (&self.host, &self.device),
        };
        other.fin.is_some_and(|others| {
            before(others.ack, fin.end())
                && before(fin.ack, others.end())
                && !before(s.ack, others.end())
                && own.ack.is_none_or(|ack| before(ack, others.end()))
        })
    }

    fn kind(&self, s: &Segment, own: &Half, other: &Half) -> Kind {
        if s.flags.has(Flags::RST) {
            return Kind::Reset;
        }
        if s.flags.has(Flags::SYN) {
            return if s.flags.has(Flags::ACK) { Kind::SynAck } else { Kind::Syn };
        }
        let next = own.space.next();
        let strange = |number: u32, known: u32| distance(number, known).unsigned_abs() > FAR as u32;
        let ack_is_strange = s.flags.has(Flags::ACK)
            && (own.ack.or_else(|| other.space.next())).is_some_and(|known| strange(s.ack, known));
        let syn_unacked = self.stage == Stage::Opening
            && own.isn.is_none()
            && other.isn.is_some()
            && !other.syn_answered_by(s.ack);
        if syn_unacked || ack_is_strange || next.is_some_and(|n| strange(s.seq, n)) {
            return Kind::Foreign;
        }
        let Some(next) = next else { return Kind::Ordinary };
        if s.payload > 1 || s.flags.has(Flags::FIN) {
            return Kind::Ordinary;
        }
        let everything_acked = other.ack == Some(next);
        let before_next = s.seq == next.wrapping_sub(1);
        let before_unacked = other.ack.is_some_and(|ack| s.seq == ack.wrapping_sub(1));
        let closed = other.window == 0 && other.ack.is_some();
        match s.payload {
            0 if closed && before_unacked => Kind::WindowProbe,
            0 if before_next || before_unacked => Kind::KeepAlive,
            1 if closed && other.ack == Some(s.seq) => Kind::WindowProbe,
            1 if before_next && everything_acked => Kind::KeepAlive,
            _ => Kind::Ordinary,
        }
    }
}

impl Facts {
    /// Whether payload of this segment lies, wholly or in part, beyond `fin`.
    pub(crate) fn payload_beyond(&self, s: &Segment, fin: u32) -> bool {
        self.kind == Kind::Ordinary && s.payload > 0 && after(s.seq.wrapping_add(s.payload), fin)
    }
}
