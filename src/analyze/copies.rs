//! Packets that the capture holds more than once: one made on all interfaces (`any`) of a machine that bridges or
//! routes, or one of a mirror port, sees every packet on its way in and on its way out.
//!
//! **The rule.** A copy has the same addresses, ports, numbers, flags, window, identification, length and checksum as a
//! packet at most 5 ms before it. That alone proves nothing: links copy a packet now and then, and where packets have no
//! identification (IPv6, or 0) a sender's own repetition or duplicate ACK looks the same. So copies are left out only
//! between two addresses where, each way, four of five packets have one. How many copies a packet has is counted, and
//! no more than that are left out: two duplicate ACKs that were each captured twice stay two.
//!
//! A radio says it itself: a frame that is marked as sent again, or that the access point passes on, is a copy when the
//! same packet was heard at most 100 ms before.
//!
//! The first packets are held back until that can be told.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use espstress_wire::{NotSegment, Segment};

/// Copies come within this time, nanoseconds.
const SOON: i64 = 5_000_000;
/// A radio's copies come within this time, nanoseconds; far less than any time-out of TCP's.
const SOON_ON_AIR: i64 = 100_000_000;
/// Packets that are held back at the beginning: many more than have no copy yet because it is still to come.
const HELD: usize = 4_096;
/// Places for recent packets; a power of two, many more than come within [`SOON`]: each packet in between takes the place of
/// one in so many.
const RECENT: usize = 65_536;
/// So many packets between two addresses tell.
const ENOUGH: u32 = 3;
/// Counts are halved here, so that what was long ago matters less; many more than come within [`SOON`] on a fast link.
const WINDOW: u32 = 4_096;

/// Whether a frame is counted now or was when it was held back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Count {
    Now,
    Done,
}

/// A frame as it goes to the observer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) at_ns: i64,
    pub(super) number: u64,
    /// Whether the capture says that packets are missing before it.
    pub(super) gap: bool,
    pub(super) decoded: Result<Segment, NotSegment>,
}

/// Leaves copies out.
#[derive(Debug)]
pub(super) struct Copies {
    recent: Recent,
    /// The beginning, until it is judged.
    held: Option<Vec<Frame>>,
    pairs: Pairs,
    /// All pairs together; what holds for a pair of which little has been seen.
    whole: Pair,
    /// Whether a copy has been seen at all: without one nothing is counted.
    seen_one: bool,
    dropped: u64,
}

impl Copies {
    pub(super) fn new() -> Self {
        Self {
            recent: Recent::new(),
            held: Some(Vec::with_capacity(HELD)),
            pairs: Pairs::default(),
            whole: Pair::default(),
            seen_one: false,
            dropped: 0,
        }
    }

    /// Copies that were left out.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes a frame, and gives on what is to be looked at.
    #[inline]
    pub(super) fn take(&mut self, frame: &Frame, mut next: impl FnMut(&Frame)) {
        match &mut self.held {
            None => self.pass(frame, Count::Now, &mut next),
            Some(held) if held.len() < HELD => held.push(*frame),
            Some(_) => {
                self.release(&mut next);
                self.pass(frame, Count::Now, &mut next);
            }
        }
    }

    /// Judges the beginning and gives it on; also at the end of a short file.
    pub(super) fn release(&mut self, next: &mut impl FnMut(&Frame)) {
        let Some(held) = self.held.take() else { return };
        for frame in &held {
            if let Ok(segment) = &frame.decoded
                && !segment.heard_again
            {
                let copy = self.recent.is_copy(segment, frame.at_ns, u8::MAX);
                self.seen_one |= copy;
                let place = self.pairs.of(segment);
                self.count(segment, place, copy);
            }
        }
        self.recent = Recent::new();
        if !self.seen_one {
            self.pairs = Pairs::default();
        }
        for frame in &held {
            self.pass(frame, Count::Done, next);
        }
    }

    fn pass(&mut self, frame: &Frame, count: Count, next: &mut impl FnMut(&Frame)) {
        if let Ok(segment) = &frame.decoded
            && segment.heard_again
        {
            if self.recent.was_heard(segment, frame.at_ns) {
                self.dropped += 1;
                return;
            }
        } else if let Ok(segment) = &frame.decoded {
            let known = self.seen_one.then(|| self.pairs.of(segment));
            let copies = known.map_or(0, |place| self.copies(place));
            let copy = self.recent.is_copy(segment, frame.at_ns, copies.max(1));
            self.seen_one |= copy;
            if self.seen_one && count == Count::Now {
                let place = known.unwrap_or_else(|| self.pairs.of(segment));
                self.count(segment, place, copy);
            }
            if copy && copies > 0 {
                self.dropped += 1;
                return;
            }
        }
        next(frame);
    }

    /// How many copies of a packet between those two the capture makes.
    #[inline]
    fn copies(&self, place: usize) -> u8 {
        let pair = &self.pairs.list[place];
        if pair.packets() >= ENOUGH { pair.copies() } else { self.whole.copies() }
    }

    #[inline]
    fn count(&mut self, s: &Segment, place: usize, copy: bool) {
        let back = s.source > s.destination;
        self.whole.count(back, copy);
        self.pairs.list[place].count(back, copy);
    }
}

/// What is counted between two addresses each. Nearly all packets of a capture are between the same two, or between
/// those of the packet before.
#[derive(Debug, Default)]
struct Pairs {
    list: Vec<Pair>,
    places: HashMap<(u128, u128), usize, RandomState>,
    last: Option<((u128, u128), usize)>,
}

impl Pairs {
    /// The place of the two in the list.
    #[inline]
    fn of(&mut self, s: &Segment) -> usize {
        let key = key(s);
        match self.last {
            Some((last, place)) if last == key => place,
            _ => self.find(key),
        }
    }

    #[cold]
    fn find(&mut self, key: (u128, u128)) -> usize {
        let place = *self.places.entry(key).or_insert(self.list.len());
        if place == self.list.len() {
            self.list.push(Pair::default());
        }
        self.last = Some((key, place));
        place
    }
}

#[inline]
fn key(s: &Segment) -> (u128, u128) {
    let (a, b) = (s.source.to_bits(), s.destination.to_bits());
    if a <= b { (a, b) } else { (b, a) }
}

/// Packets between two addresses, there and back, and copies of them.
#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    packets: [u32; 2],
    copies: [u32; 2],
}

impl Pair {
    #[inline]
    fn count(&mut self, back: bool, copy: bool) {
        let way = usize::from(back);
        let n = if copy { &mut self.copies[way] } else { &mut self.packets[way] };
        *n += 1;
        if self.packets() >= WINDOW {
            self.packets = self.packets.map(|n| n / 2);
            self.copies = self.copies.map(|n| n / 2);
        }
    }

    #[inline]
    const fn packets(&self) -> u32 {
        self.packets[0] + self.packets[1]
    }

    /// Copies of each packet; 0 unless, each way, at least four of five have one.
    fn copies(&self) -> u8 {
        // The usual capture has next to none.
        if self.copies == [0, 0] {
            return 0;
        }
        let most = |way: usize| self.packets[way] > 0 && self.copies[way] * 5 >= self.packets[way] * 4;
        if self.packets() < ENOUGH || !most(0) || !most(1) {
            return 0;
        }
        let (packets, copies) = (self.packets(), self.copies[0] + self.copies[1]);
        u8::try_from((copies + packets / 2) / packets).unwrap_or(u8::MAX).max(1)
    }
}

/// Packets of the last few milliseconds, each in the place that its content gives it.
#[derive(Debug)]
struct Recent(Box<[Place]>);

#[derive(Clone, Copy, Debug)]
struct Place {
    mark: u64,
    at: i64,
    copies: u8,
}

impl Recent {
    fn new() -> Self {
        Self(vec![Place { mark: 0, at: i64::MIN, copies: 0 }; RECENT].into_boxed_slice())
    }

    /// Whether the same packet was heard a moment ago; if not, it is remembered.
    fn was_heard(&mut self, s: &Segment, at: i64) -> bool {
        let mark = mark(s);
        let place = &mut self.0[mark as usize % RECENT];
        let heard = place.mark == mark && at.saturating_sub(place.at) <= SOON_ON_AIR;
        if !heard {
            *place = Place { mark, at, copies: 0 };
        }
        heard
    }

    /// Whether `s` is a copy of a recent packet that has fewer than `most`; if not, it is remembered.
    fn is_copy(&mut self, s: &Segment, at: i64, most: u8) -> bool {
        let mark = mark(s);
        let place = &mut self.0[mark as usize % RECENT];
        let soon = at.checked_sub(place.at).is_some_and(|since| since.unsigned_abs() <= SOON.unsigned_abs());
        if place.mark == mark && soon && place.copies < most {
            place.copies += 1;
            return true;
        }
        *place = Place { mark, at, copies: 0 };
        false
    }
}

/// All of a segment in 64 bits.
#[inline]
fn mark(s: &Segment) -> u64 {
    let low = |address: std::net::Ipv6Addr| address.to_bits() as u64;
    let numbers = u64::from(s.seq) << 32 | u64::from(s.ack);
    let ports = u64::from(s.source_port) << 48
        | u64::from(s.destination_port) << 32
        | u64::from(s.checksum) << 16
        | u64::from(s.window);
    let rest = u64::from(s.payload) << 32 | u64::from(s.flags.0) << 16 | u64::from(s.ip_id.unwrap_or(0));
    let ends = low(s.source).rotate_left(32) ^ low(s.destination);
    // Products of odd numbers, so that every bit counts and none waits for another.
    let mark = numbers.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ ports.wrapping_mul(0xff51_afd7_ed55_8ccd)
        ^ rest.wrapping_mul(0xc4ce_b9fe_1a85_ec53)
        ^ ends.wrapping_mul(0x2545_f491_4f6c_dd1d);
    mark ^ mark >> 32
}

#[cfg(test)]
#[path = "copies_tests.rs"]
mod tests;
