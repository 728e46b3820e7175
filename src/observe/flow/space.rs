//! Which part of one direction's sequence space the capture has shown: everything up to the highest end,
//! less a few holes.

use super::seq::{after, before, earlier, later};

const HOLES: usize = 4;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hole {
    pub(super) start: u32,
    pub(super) end: u32,
    /// When a later segment showed that it is there.
    pub(super) since: i64,
}

/// Where a stretch of sequence numbers lies in what was seen before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Takes no sequence space.
    Empty,
    /// Follows the highest end, or is the first of all.
    Next,
    /// Leaves a hole before it.
    Ahead,
    /// Was seen before, at least in part, and fills no hole.
    Seen,
    /// Fills a hole, or a part of one, that is so many nanoseconds old.
    Fills(i64),
    /// Lies before everything that the capture has of this direction: nobody can say.
    Unknown,
}

/// What was seen. A fifth hole makes the oldest count as seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Space {
    /// Lowest number seen and number behind the highest; `None` before the first segment.
    pub(super) range: Option<(u32, u32)>,
    pub(super) holes: [Hole; HOLES],
    pub(super) open: u8,
}

impl Space {
    /// The number behind the highest that was seen.
    pub(crate) fn next(&self) -> Option<u32> {
        self.range.map(|(_, next)| next)
    }

    pub(super) fn holes(&self) -> &[Hole] {
        self.holes.get(..usize::from(self.open)).unwrap_or_default()
    }

    /// Says where `seq..end` lies.
    pub(crate) fn place(&self, seq: u32, end: u32, at: i64) -> Place {
        if seq == end {
            return Place::Empty;
        }
        let Some((base, next)) = self.range else { return Place::Next };
        if seq == next {
            return Place::Next;
        }
        if after(seq, next) {
            return Place::Ahead;
        }
        for hole in self.holes() {
            if before(seq, hole.end) && before(hole.start, end) {
                return Place::Fills(at.saturating_sub(hole.since));
            }
        }
        if before(seq, base) && !after(end, base) { Place::Unknown } else { Place::Seen }
    }

    /// Notes `seq..end` as seen.
    pub(crate) fn claim(&mut self, seq: u32, end: u32, at: i64) {
        let Some((base, next)) = self.range else {
            self.range = Some((seq, end));
            return;
        };
        if after(seq, next) {
            self.push(Hole { start: next, end: seq, since: at });
        } else if self.open > 0 {
            self.fill(seq, end);
        }
        self.range = Some((earlier(base, seq), later(next, end)));
    }

    fn push(&mut self, hole: Hole) {
        let open = usize::from(self.open);
        if open == HOLES {
            self.holes.copy_within(1.., 0);
            self.holes[HOLES - 1] = hole;
        } else {
            self.holes[open] = hole;
            self.open += 1;
        }
    }

    fn fill(&mut self, seq: u32, end: u32) {
        let old = *self;
        self.open = 0;
        for hole in old.holes() {
            if !before(seq, hole.end) || !before(hole.start, end) {
                self.push(*hole);
                continue;
            }
            if before(hole.start, seq) {
                self.push(Hole { end: seq, ..*hole });
            }
            if before(end, hole.end) {
                self.push(Hole { start: end, ..*hole });
            }
        }
    }

    /// The other side has acknowledged everything before `ack`. Says whether part of that was never seen:
    /// packets are missing from the capture.
    pub(crate) fn acknowledged(&mut self, ack: u32) -> bool {
        let Some((base, next)) = self.range else {
            self.range = Some((ack, ack));
            return false;
        };
        let mut missing = false;
        if self.open > 0 && self.holes().iter().any(|h| before(h.start, ack)) {
            missing = true;
            let start = self.holes[0].start;
            self.fill(earlier(start, ack), ack);
        }
        if after(ack, next) {
            self.range = Some((base, ack));
            missing = true;
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u32 = u32::MAX - 50;

    fn at(n: u32) -> u32 {
        START.wrapping_add(n)
    }

    #[test]
    fn a_hole_is_filled_piece_by_piece_across_the_wrap() {
        let mut s = Space::default();
        s.claim(at(0), at(10), 0);
        assert_eq!(s.place(at(70), at(80), 1), Place::Ahead);
        s.claim(at(70), at(80), 1);
        assert_eq!(s.place(at(30), at(40), 5), Place::Fills(4));
        s.claim(at(30), at(40), 5);
        assert_eq!(s.place(at(30), at(40), 6), Place::Seen);
        assert_eq!(s.place(at(40), at(70), 6), Place::Fills(5));
        s.claim(at(10), at(30), 7);
        s.claim(at(40), at(70), 7);
        assert_eq!(s.place(at(0), at(80), 8), Place::Seen);
        assert_eq!(s.next(), Some(at(80)));
    }

    #[test]
    fn what_lies_behind_a_hole_does_not_fill_it() {
        let mut s = Space::default();
        s.claim(at(0), at(10), 0);
        s.claim(at(70), at(80), 1);
        assert_eq!(s.place(at(70), at(80), 5), Place::Seen);
        assert_eq!(s.place(at(0), at(10), 5), Place::Seen);
    }

    #[test]
    fn an_acknowledgement_of_what_was_never_seen_says_that_packets_are_missing() {
        let mut s = Space::default();
        s.claim(at(0), at(10), 0);
        s.claim(at(20), at(30), 0);
        assert!(!s.acknowledged(at(10)));
        assert!(s.acknowledged(at(30)));
        assert_eq!(s.place(at(10), at(20), 9), Place::Seen);
        assert!(!s.acknowledged(at(30)));
        assert!(s.acknowledged(at(31)));
    }

    #[test]
    fn nobody_can_say_what_lay_before_the_capture_began() {
        let mut s = Space::default();
        s.claim(at(100), at(110), 0);
        assert_eq!(s.place(at(90), at(100), 0), Place::Unknown);
    }

    #[test]
    fn a_fifth_hole_makes_the_oldest_count_as_seen() {
        let mut s = Space::default();
        (0..=HOLES as u32 + 1).for_each(|n| s.claim(at(20 * n), at(20 * n + 10), i64::from(n)));
        assert_eq!(s.place(at(10), at(20), 9), Place::Seen);
        for n in 1..=HOLES as u32 {
            assert_eq!(s.place(at(20 * n + 10), at(20 * n + 20), 9), Place::Fills(8 - i64::from(n)), "{n}");
        }
    }
}
