//! Sequence numbers: what of a sender's frames was not heard.
//!
//! A sender counts its frames modulo 4,096, those of each traffic identifier and receiver for themselves and all others
//! together (IEEE 802.11-2020, 10.3.2.14). A gap is frames that the capture missed, or frames to others on the same
//! counter that it could not read: it may tell too many, never too few.

/// Numbers in use.
const NUMBERS: u16 = 4_096;
/// Frames of one block acknowledgement may come in any order; it has 64 as a rule.
const REORDERED: u16 = 64;
/// A longer gap is a counter that began anew, or a radio that was elsewhere.
const LONGEST_GAP: u16 = 1_024;

/// One counter of one sender.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counter {
    last: Option<u16>,
    /// Frames whose number follows another's.
    pub(super) followed: u64,
    /// Frames that were not heard.
    pub(super) missed: u64,
    /// How often it began anew.
    pub(super) jumps: u64,
}

/// What a number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    /// The first one.
    First,
    /// No frame is missing before it.
    Next,
    /// So many are missing.
    Gap(u16),
    /// It belongs into a gap, or is the last one's.
    Late,
    /// It has nothing to do with the last one.
    Jump,
}

impl Counter {
    /// `sequence` has twelve bits.
    pub(super) fn follow(&mut self, sequence: u16) -> Follows {
        let sequence = sequence % NUMBERS;
        let Some(last) = self.last else {
            self.last = Some(sequence);
            return Follows::First;
        };
        let step = (sequence + NUMBERS - last) % NUMBERS;
        match step {
            0 => return Follows::Late,
            step if step >= NUMBERS - REORDERED => {
                self.missed = self.missed.saturating_sub(1);
                self.followed += 1;
                return Follows::Late;
            }
            _ => {}
        }
        self.last = Some(sequence);
        if step > LONGEST_GAP {
            self.jumps += 1;
            return Follows::Jump;
        }
        self.followed += 1;
        self.missed += u64::from(step - 1);
        if step == 1 { Follows::Next } else { Follows::Gap(step - 1) }
    }

    /// It begins anew.
    pub(super) const fn restart(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_gap_is_counted_and_what_comes_late_fills_it() {
        let mut counter = Counter::default();
        let said: Vec<_> = [4_094, 4_095, 2, 0, 3, 3].map(|n| counter.follow(n)).into();
        use Follows::{First, Gap, Late, Next};
        assert_eq!(said, [First, Next, Gap(2), Late, Next, Late]);
        assert_eq!((counter.followed, counter.missed), (4, 1));
    }

    #[test]
    fn a_counter_that_begins_anew_has_missed_nothing() {
        let mut counter = Counter::default();
        counter.follow(3_000);
        assert_eq!(counter.follow(1_000), Follows::Jump);
        assert_eq!(counter.missed, 0);
    }

    proptest! {
        #[test]
        fn any_numbers_are_followed(numbers in prop::collection::vec(any::<u16>(), 0..50)) {
            let mut counter = Counter::default();
            for number in numbers {
                counter.follow(number);
            }
        }
    }
}
