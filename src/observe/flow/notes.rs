//! The last few packets of a connection, so that an example can show them.

use espstress_event::{Direction, PacketNote};
use espstress_wire::{Flags, Segment};

use super::seq::distance;

/// How many are kept.
pub(crate) const NOTES: usize = 6;

/// One packet, compact.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note {
    pub(crate) at: i64,
    pub(super) number: u64,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(super) payload: u32,
    pub(super) window: u16,
    pub(crate) ip_id: Option<u16>,
    pub(crate) flags: Flags,
    pub(crate) from: Direction,
}

impl Note {
    pub(crate) const fn new(s: &Segment, from: Direction, at: i64, number: u64) -> Self {
        Self {
            at,
            number,
            seq: s.seq,
            ack: s.ack,
            payload: s.payload,
            window: s.window,
            ip_id: s.ip_id,
            flags: s.flags,
            from,
        }
    }

    /// Whether `s` is this very packet, copied by the path: senders that count their IPv4 packets give a
    /// repetition of their own another identification.
    pub(crate) fn is_copied_by(&self, s: &Segment, from: Direction) -> bool {
        s.ip_id.is_some()
            && self.ip_id == s.ip_id
            && self.from == from
            && self.seq == s.seq
            && self.ack == s.ack
            && self.flags == s.flags
            && self.payload == s.payload
    }

    /// In words; sequence numbers count from where each direction's begin.
    pub(crate) fn in_words(&self, own_isn: u32, other_isn: u32) -> PacketNote {
        let seq = self.seq.wrapping_sub(own_isn);
        let acks = if self.flags.has(Flags::ACK) {
            format!(" ack={}", self.ack.wrapping_sub(other_isn))
        } else {
            String::new()
        };
        PacketNote {
            at_ns: self.at,
            number: self.number,
            direction: self.from,
            summary: format!("{} seq={seq}{acks} win={} len={}", self.flags, self.window, self.payload),
        }
    }
}

/// A ring of notes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Notes {
    pub(super) ring: [Option<Note>; NOTES],
    pub(super) next: u8,
}

impl Notes {
    /// Keeps one, in place of the oldest.
    pub(crate) fn keep(&mut self, note: Note) {
        if let Some(place) = self.ring.get_mut(usize::from(self.next)) {
            *place = Some(note);
        }
        self.next = (self.next + 1) % NOTES as u8;
    }

    /// Whether one of them, from the device, has the payload of `s` and is certainly another packet: its
    /// identification differs, or, where there is none, its headers do.
    pub(crate) fn holds_another(&self, s: &Segment) -> bool {
        let first = self.iter().find(|n| {
            let (start, end) = (distance(s.seq, n.seq), distance(n.seq.wrapping_add(n.payload), s.seq));
            n.from == Direction::FromDevice && start >= 0 && i64::from(end) >= i64::from(s.payload)
        });
        first.is_some_and(|n| match (n.ip_id, s.ip_id) {
            (Some(first), Some(again)) => first != again,
            _ => (n.ack, n.window, n.flags, n.payload) != (s.ack, s.window, s.flags, s.payload),
        })
    }

    /// All that are kept, the oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Note> {
        let (newer, older) = self.ring.split_at(usize::from(self.next).min(NOTES));
        older.iter().chain(newer).flatten()
    }
}
