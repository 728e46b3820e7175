//! Whether the second of two small segments of the device's waited for the acknowledgement of the first.
//!
//! A sender with Nagle's algorithm keeps a segment that is not full until everything before it is acknowledged (RFC 1122,
//! 4.2.3.4); a receiver keeps that acknowledgement for up to 500 ms in the hope of data to go along (4.2.3.2; 40 ms on
//! Linux, 250 ms on lwIP). Together they hold up every answer that a program writes in two pieces. What shows it is the
//! second segment coming right behind an acknowledgement that was itself late; a program that is late for a reason of its
//! own does not know when the host acknowledges.

use espstress_event::Direction;
use espstress_wire::{Flags, Segment};

use super::seq::before;
use super::{Facts, Flow, Kind, MILLISECOND, Place};

/// A payload below this is less than a full segment whatever the path (RFC 9293, 3.7.1: the default MSS).
const SMALL: u32 = 536;

/// An acknowledgement that comes later than this was delayed: stacks acknowledge at once, or after 40 ms and more.
const DELAYED: i64 = 20 * MILLISECOND;

/// A stack sends what it has kept within this time of the acknowledgement's arrival.
const AT_ONCE: i64 = 2 * MILLISECOND;

/// A small segment of the device's that was the last of its side so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Small {
    pub(super) end: u32,
    pub(super) at: i64,
    pub(super) acked_at: Option<i64>,
}

/// A second segment that came late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Second {
    /// Right behind the delayed acknowledgement of the first, so long after the first (nanoseconds).
    Waited(i64),
    /// At a time that has nothing to do with an acknowledgement.
    Otherwise,
}

impl Flow {
    /// Looks at a segment, before it is applied: what it says of the small segment before it.
    pub(crate) fn second(&mut self, s: &Segment, facts: &Facts) -> Option<Second> {
        let ends = s.flags.has(Flags::SYN) || s.flags.has(Flags::RST) || facts.kind == Kind::Foreign;
        match facts.from {
            // What comes after the next request is another answer.
            Direction::FromHost if ends || s.payload > 0 => self.small = None,
            Direction::FromHost => {
                if let Some(small) = self.small.as_mut().filter(|small| !before(s.ack, small.end)) {
                    small.acked_at.get_or_insert(facts.at);
                }
            }
            Direction::FromDevice if ends => self.small = None,
            Direction::FromDevice if s.payload > 0 => {
                let in_order = facts.kind == Kind::Ordinary && facts.place == Place::Next;
                let first = self.small.take().filter(|_| in_order);
                let kept = Small { end: s.seq.wrapping_add(s.payload), at: facts.at, acked_at: None };
                self.small = (in_order && s.payload < SMALL).then_some(kept);
                return self.came_late(first?, facts.at);
            }
            Direction::FromDevice => {}
        }
        None
    }

    fn came_late(&self, first: Small, at: i64) -> Option<Second> {
        let after = at.saturating_sub(first.at);
        if after < DELAYED {
            return None;
        }
        // As captured on the host: to the device and back.
        let round_trip = self.rtt_min.saturating_mul(3) / 2;
        let behind = first.acked_at.is_some_and(|acked| {
            let delayed = acked.saturating_sub(first.at) >= DELAYED;
            delayed && at.saturating_sub(acked) <= round_trip.saturating_add(AT_ONCE)
        });
        Some(if behind { Second::Waited(after) } else { Second::Otherwise })
    }
}
