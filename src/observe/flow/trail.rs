//! Two short memories of one side: what it acknowledged lately, and when it sent what.

use super::seq::before;

const ACKS: usize = 14;
const SENDS: usize = 4;

/// The last different acknowledgement numbers of a side. A RST that answers a segment takes its number from it
/// (RFC 9293, 3.10.7.1), and several segments may be on their way when it is sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Acked {
    pub(super) ring: [u32; ACKS],
    pub(super) count: u32,
    /// When the newest of those that had to make room was sent.
    pub(super) forgot_at: Option<i64>,
    /// The last was sent then.
    pub(super) at: i64,
}

impl Acked {
    pub(crate) fn note(&mut self, ack: u32, at: i64) {
        let last = self.count.checked_sub(1).map(|n| self.ring[n as usize % ACKS]);
        if last == Some(ack) {
            self.at = at;
            return;
        }
        if self.count as usize >= ACKS {
            self.forgot_at = Some(self.at);
        }
        self.ring[self.count as usize % ACKS] = ack;
        self.count = self.count.wrapping_add(1).max(1);
        self.at = at;
    }

    pub(super) fn known(&self) -> &[u32] {
        self.ring.get(..ACKS.min(self.count as usize)).unwrap_or_default()
    }

    /// Whether it sent this number, or may have within `grace` before `at`.
    pub(crate) fn may_have_sent(&self, ack: u32, at: i64, grace: i64) -> bool {
        let known = self.known();
        let forgotten = self.forgot_at.is_some_and(|forgot| at.saturating_sub(forgot) <= grace)
            && known.iter().all(|known| before(ack, *known));
        forgotten || known.contains(&ack)
    }
}

/// When the last segments with payload came that followed in order, and were not held up on their way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    pub(super) ring: [(u32, u32, i64); SENDS],
    pub(super) count: u8,
    /// Whether the last segment of whatever kind came without delay: a link that keeps segments while it is away
    /// delivers the original and its repetition together.
    pub(crate) prompt: bool,
}

impl Sent {
    pub(crate) fn note(&mut self, seq: u32, end: u32, at: i64) {
        self.ring.rotate_right(1);
        self.ring[0] = (seq, end, at);
        self.count = (self.count + 1).min(SENDS as u8);
    }

    /// When all of `seq..end` came first.
    pub(crate) fn when(&self, seq: u32, end: u32) -> Option<i64> {
        let known = self.ring.get(..usize::from(self.count)).unwrap_or_default();
        known.iter().find(|(from, to, _)| !before(seq, *from) && !before(*to, end)).map(|(_, _, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acknowledged_lately_is_known_and_what_was_forgotten_lately_may_have_been() {
        let mut acked = Acked::default();
        assert!(!acked.may_have_sent(0, 0, 100));
        for n in 0..20_u32 {
            acked.note(n.wrapping_mul(10).wrapping_sub(50), i64::from(n));
        }
        let number = |n: u32| n.wrapping_mul(10).wrapping_sub(50);
        assert!(acked.may_have_sent(number(6), 20, 100) && acked.may_have_sent(number(19), 20, 100));
        assert!(!acked.may_have_sent(number(8) + 1, 20, 100), "between two that are known");
        assert!(acked.may_have_sent(number(1), 20, 100), "forgotten a moment ago");
        assert!(!acked.may_have_sent(number(1), 200, 100), "forgotten long ago");
        assert!(!acked.may_have_sent(number(20), 20, 100), "never sent");
    }

    #[test]
    fn an_acknowledgement_that_is_repeated_makes_no_other_forgotten() {
        let mut acked = Acked::default();
        (0..ACKS as u32).for_each(|n| acked.note(10 * n, 1));
        (0..9).for_each(|_| acked.note(10 * (ACKS as u32 - 1), 1));
        assert!(acked.may_have_sent(0, 1_000, 100));
        (0..500).for_each(|n| acked.note(1_000 + n, 2));
        assert!(acked.may_have_sent(1_499, 1_000, 100) && !acked.may_have_sent(0, 1_000, 100));
    }

    #[test]
    fn the_time_of_a_segment_is_that_of_the_one_that_holds_all_of_it() {
        let mut sent = Sent::default();
        sent.note(u32::MAX - 5, 4, 1);
        sent.note(4, 14, 2);
        assert_eq!((sent.when(4, 14), sent.when(6, 10), sent.when(0, 4)), (Some(2), Some(2), Some(1)));
        assert_eq!((sent.when(0, 14), sent.when(14, 20)), (None, None));
        (0..SENDS as u32).for_each(|n| sent.note(20 + n, 21 + n, 3));
        assert_eq!(sent.when(4, 14), None);
    }
}
