//! IP packets that came in parts: a segment counts when all of its parts are there.
//!
//! Only lengths are put together: the first part has the TCP header, and what the payload is does not matter.

use std::net::Ipv6Addr;

use espstress_wire::{Fragment, Segment};

use super::flow::SECOND;

/// Packets waited for at once; a device sends one after the other.
const WAITING: usize = 64;
/// Parts of one packet; more are made by nobody who means well.
const PARTS: usize = 128;
/// How long parts are waited for, nanoseconds, as Linux does (`IP_FRAG_TIME`).
const PATIENCE: i64 = 30 * SECOND;

#[derive(Debug)]
struct Waiting {
    ends: (Ipv6Addr, Ipv6Addr, u32),
    since: i64,
    /// Start and length of each part.
    parts: Vec<(u32, u32)>,
    /// Length of the whole, once the last part is there.
    whole: Option<u32>,
    segment: Option<Segment>,
}

/// The packets that are not complete.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    waiting: Vec<Waiting>,
    given_up: u64,
}

impl Fragments {
    /// Takes one part; gives the segment when it was the missing one.
    pub(super) fn take(&mut self, f: &Fragment, at: i64) -> Option<Segment> {
        let before = self.waiting.len();
        self.waiting.retain(|w| at.saturating_sub(w.since) <= PATIENCE);
        self.given_up += (before - self.waiting.len()) as u64;
        let ends = (f.segment.source, f.segment.destination, f.id);
        let index = self.waiting.iter().position(|w| w.ends == ends).unwrap_or_else(|| {
            if self.waiting.len() == WAITING {
                self.waiting.remove(0);
                self.given_up += 1;
            }
            self.waiting.push(Waiting { ends, since: at, parts: Vec::new(), whole: None, segment: None });
            self.waiting.len() - 1
        });
        let packet = &mut self.waiting[index];
        packet.add(f);
        let segment = packet.complete()?;
        self.waiting.remove(index);
        Some(segment)
    }

    /// Packets of which a part never came.
    pub(super) fn missing(&self) -> u64 {
        self.given_up + self.waiting.len() as u64
    }
}

impl Waiting {
    fn add(&mut self, f: &Fragment) {
        if self.parts.len() < PARTS && !self.parts.contains(&(f.start, f.length)) {
            self.parts.push((f.start, f.length));
        }
        if !f.more {
            self.whole = f.start.checked_add(f.length);
        }
        self.segment = self.segment.or(f.is_first().then_some(f.segment));
    }

    /// The segment with its whole payload, when the parts leave no hole.
    fn complete(&mut self) -> Option<Segment> {
        let (whole, mut segment) = (self.whole?, self.segment?);
        self.parts.sort_unstable();
        let first = self.parts.first()?.1;
        let reached = self.parts.iter().fold(0_u32, |reached, (start, length)| {
            if *start <= reached { reached.max(start.saturating_add(*length)) } else { reached }
        });
        if reached < whole {
            return None;
        }
        // What the first part had beside the header is counted already.
        segment.payload = segment.payload.saturating_add(whole.saturating_sub(first));
        Some(segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use espstress_wire::{Link, NotSegment, decode};
    use proptest::prelude::*;

    /// A part of a packet of 192.168.4.91 with a TCP header of 20 bytes.
    fn part(id: u16, start: u16, length: u16, more: bool) -> Fragment {
        let mut p = vec![0_u8; 40];
        p[0] = 0x45;
        p[2..4].copy_from_slice(&(20 + length).to_be_bytes());
        p[4..6].copy_from_slice(&id.to_be_bytes());
        p[6..8].copy_from_slice(&((start / 8) | if more { 0x2000 } else { 0 }).to_be_bytes());
        p[9] = 6;
        p[15] = 91;
        p[32] = 0x50;
        match decode(Link::Raw, &p, 20 + usize::from(length)) {
            Err(NotSegment::Fragment(f)) => f,
            other => panic!("{other:?}"),
        }
    }

    fn payload(parts: &[Fragment]) -> Vec<Option<u32>> {
        let mut fragments = Fragments::default();
        parts.iter().map(|f| fragments.take(f, 0).map(|s| s.payload)).collect()
    }

    #[test]
    fn the_last_part_to_come_completes_the_segment_whichever_it_is() {
        let parts = [part(1, 0, 520, true), part(1, 520, 480, true), part(1, 1_000, 20, false)];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]] {
            assert_eq!(payload(&order.map(|i| parts[i])), [None, None, Some(1_000)], "{order:?}");
        }
    }

    #[test]
    fn a_part_that_comes_twice_counts_once() {
        let (first, last) = (part(1, 0, 520, true), part(1, 520, 20, false));
        assert_eq!(payload(&[first, first, last]), [None, None, Some(520)]);
        let hole = part(1, 1_040, 20, false);
        assert_eq!(payload(&[first, first, hole]), [None, None, None]);
    }

    #[test]
    fn packets_are_told_apart_and_those_that_stay_incomplete_are_counted() {
        let mut fragments = Fragments::default();
        assert_eq!(fragments.take(&part(1, 0, 520, true), 0), None);
        assert_eq!(fragments.take(&part(2, 520, 20, false), 0), None);
        assert_eq!(fragments.missing(), 2);
        assert!(fragments.take(&part(1, 520, 20, false), SECOND).is_some());
        assert_eq!(fragments.missing(), 1);
        assert_eq!(fragments.take(&part(2, 0, 520, true), PATIENCE + 1), None, "too late");
        assert_eq!(fragments.missing(), 2);
    }

    #[test]
    fn of_one_packet_so_many_parts_are_kept_and_no_more() {
        let mut fragments = Fragments::default();
        for start in 0..2 * PARTS as u16 {
            fragments.take(&part(1, 24 * start, 24, true), 0);
            fragments.take(&part(1, 0, 24, true), 0);
        }
        assert_eq!(fragments.waiting.iter().map(|w| w.parts.len()).collect::<Vec<_>>(), [PARTS]);
    }

    #[test]
    fn where_too_many_packets_wait_the_oldest_is_given_up_and_counted() {
        let mut fragments = Fragments::default();
        let many = WAITING as u16 + 1;
        for id in 1..=many {
            fragments.take(&part(id, 0, 520, true), i64::from(id));
        }
        assert_eq!(fragments.missing(), u64::from(many), "each lacks a part");
        assert!(fragments.take(&part(2, 520, 20, false), 100).is_some());
        assert_eq!(fragments.take(&part(1, 520, 20, false), 100), None, "its first part is gone");
        assert_eq!(fragments.missing(), u64::from(many));
    }

    proptest! {
        #[test]
        fn any_parts_give_a_result_in_bounded_room(
            parts in prop::collection::vec((0_u16..200, 0_u16..8_000, 20_u16..2_000, any::<bool>(), any::<i64>()), 0..300)
        ) {
            let mut fragments = Fragments::default();
            for (id, start, length, more, at) in parts {
                let start = start * 8;
                if start != 0 || more {
                    fragments.take(&part(id, start, length, more), at);
                }
            }
            prop_assert!(fragments.waiting.len() <= WAITING);
        }
    }
}
