//! What a segment tells of itself: who sends it, which connection it belongs to, and whether others wait for it.

use espstress_event::{ConnectionKey, Direction};
use espstress_wire::{Flags, Segment};

use super::super::flow::{Facts, FinCopy, Flow, Kind, Stage, distance};

/// A segment that changes what a connection is for those outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The host's SYN.
    HostOpens {
        /// The host's port.
        port: u16,
        /// Its initial sequence number.
        isn: u32,
    },
    /// A FIN of the device's, on this connection.
    DeviceEnds(ConnectionKey),
}

pub(super) fn turn(flow: &Flow, s: &Segment, facts: &Facts) -> Option<Turn> {
    match facts.from {
        Direction::FromHost if facts.kind == Kind::Syn => {
            Some(Turn::HostOpens { port: flow.host_end.socket().port(), isn: s.seq })
        }
        Direction::FromDevice if facts.fin != FinCopy::None => Some(Turn::DeviceEnds(flow.connection())),
        _ => None,
    }
}

pub(super) enum Belongs {
    Here,
    ToNew,
    Nowhere,
}

/// Whether a segment belongs to the connection that is known between its ends.
pub(super) fn belongs(flow: &Flow, s: &Segment, from: Direction, at: i64) -> Belongs {
    if s.flags.has(Flags::RST) {
        // In SYN-SENT a RST that does not acknowledge the SYN is an older connection's.
        let old = flow.host_opens()
            && from == Direction::FromDevice
            && flow.host.isn.is_some()
            && !flow.host.syn_answered_by(s.ack);
        return if old { Belongs::Nowhere } else { Belongs::Here };
    }
    let own = flow.half(from);
    if s.flags.has(Flags::SYN) && !s.flags.has(Flags::ACK) {
        // Windows and lwIP try again with the same number after a refusal: that is a new attempt.
        if (flow.stage == Stage::Opening && flow.ended.is_some()) || flow.dials_again(from, at) {
            return Belongs::ToNew;
        }
        let answers = flow.stage == Stage::Opening && flow.opener != Some(from);
        return if own.isn == Some(s.seq) || answers { Belongs::Here } else { Belongs::ToNew };
    }
    if s.flags.has(Flags::SYN) {
        let opener = match from {
            Direction::FromDevice => &flow.host,
            Direction::FromHost => &flow.device,
        };
        let answers = opener.syn_answered_by(s.ack);
        return match flow.stage {
            Stage::Opening if answers => Belongs::Here,
            Stage::Opening => Belongs::Nowhere,
            Stage::Open if own.isn == Some(s.seq) => Belongs::Here,
            // The SYN before it was not captured.
            Stage::Open if flow.ended.is_some() || flow.opener.is_none() => Belongs::ToNew,
            Stage::Open => Belongs::Nowhere,
        };
    }
    let far = own.space.next().is_some_and(|next| distance(s.seq, next).unsigned_abs() > 1 << 29);
    if far && flow.ended.is_some() { Belongs::ToNew } else { Belongs::Here }
}

/// Ports of MQTT brokers, which devices dial.
const BROKERS: [u16; 2] = [1883, 8883];

/// Who sends, where only the segment tells.
pub(super) fn guess(s: &Segment) -> Direction {
    let host_sends = match (BROKERS.contains(&s.source_port), BROKERS.contains(&s.destination_port)) {
        (true, false) => true,
        (false, true) => false,
        _ => match (s.flags.has(Flags::SYN), s.flags.has(Flags::ACK)) {
            (true, false) => true,
            (true, true) => false,
            (false, _) => s.source_port >= s.destination_port,
        },
    };
    if host_sends { Direction::FromHost } else { Direction::FromDevice }
}
