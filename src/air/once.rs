//! Every frame once: a second radio hears it again, and a sender repeats what was not acknowledged.
//!
//! A frame has a sequence number that its sender does not use again for 4,096 frames, and its repetitions keep it (IEEE
//! 802.11-2020, 10.3.2.14). Frames without one are the same only within a moment.

use foldhash::fast::FixedState;
use std::hash::BuildHasher;

/// Repetitions come within this time, nanoseconds; at full speed 4,096 frames take longer.
const REPEATED_WITHIN: i64 = 250_000_000;
/// A frame without a number is the same within this time, nanoseconds: two radios' clocks differ by less, and a station
/// doesn't poll twice in it.
const SAME_WITHIN: i64 = 2_000_000;
/// Places for recent frames; a power of two, many more than come within [`REPEATED_WITHIN`].
const RECENT: usize = 16_384;

/// Whether a frame was heard before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    First,
    Again {
        /// Whether this is the first time that it is marked as sent again.
        first_retry: bool,
    },
}

#[derive(Clone, Copy, Debug)]
struct Place {
    mark: u64,
    at: i64,
    retried: bool,
}

/// The frames of the last moment, each in the place that its content gives it.
#[derive(Debug)]
pub(super) struct Once {
    places: Box<[Place]>,
    hasher: FixedState,
}

impl Once {
    pub(super) fn new() -> Self {
        let empty = Place { mark: 0, at: i64::MIN, retried: false };
        Self { places: vec![empty; RECENT].into_boxed_slice(), hasher: FixedState::default() }
    }

    /// `identity` is what a frame keeps when it is repeated.
    pub(super) fn hear(&mut self, identity: &[u8], numbered: bool, retry: bool, at: i64) -> Heard {
        let mark = self.hasher.hash_one(identity) | 1;
        let within = if numbered { REPEATED_WITHIN } else { SAME_WITHIN };
        let place = &mut self.places[mark as usize / 2 % RECENT];
        let since = at.checked_sub(place.at).map(i64::unsigned_abs);
        if place.mark == mark && since.is_some_and(|since| since <= within.unsigned_abs()) {
            let first_retry = retry && !place.retried;
            place.retried |= retry;
            return Heard::Again { first_retry };
        }
        *place = Place { mark, at, retried: retry };
        Heard::First
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_new_once_and_retried_once() {
        let mut once = Once::new();
        assert_eq!(once.hear(b"a", true, false, 0), Heard::First);
        assert_eq!(once.hear(b"a", true, false, 400_000), Heard::Again { first_retry: false });
        assert_eq!(once.hear(b"a", true, true, 900_000), Heard::Again { first_retry: true });
        assert_eq!(once.hear(b"a", true, true, 1_300_000), Heard::Again { first_retry: false });
        assert_eq!(once.hear(b"b", true, false, 1_300_000), Heard::First);
        assert_eq!(once.hear(b"a", true, false, 300_000_000), Heard::First);
    }

    #[test]
    fn a_frame_without_a_number_is_the_same_for_a_moment_only() {
        let mut once = Once::new();
        assert_eq!(once.hear(b"poll", false, false, 0), Heard::First);
        assert_eq!(once.hear(b"poll", false, false, 1_000_000), Heard::Again { first_retry: false });
        assert_eq!(once.hear(b"poll", false, false, 5_000_000), Heard::First);
    }
}
