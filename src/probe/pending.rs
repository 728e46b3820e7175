//! Questions under way, by number: which are answered, which come late, which are lost. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Lost questions whose late answers are still told apart.
const MOST_LOST: usize = 64;

/// What an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A question under way, sent so long ago.
    InTime(Duration),
    /// A question that counts as lost.
    Late,
    /// No question, or one that had its answer.
    Stranger,
}

#[derive(Debug, Default)]
pub(super) struct Pending {
    under_way: VecDeque<(u32, Instant)>,
    lost: VecDeque<u32>,
    last: u32,
}

impl Pending {
    /// The number of a question that is sent now.
    pub(super) fn ask(&mut self, now: Instant) -> u32 {
        self.last = self.last.wrapping_add(1);
        self.under_way.push_back((self.last, now));
        self.last
    }

    /// The question was not sent after all.
    pub(super) fn take_back(&mut self) {
        self.under_way.pop_back();
    }

    /// An answer to the question of which `is_it` knows the number.
    pub(super) fn answer(&mut self, now: Instant, is_it: impl Fn(u32) -> bool) -> Answer {
        if let Some(place) = self.under_way.iter().position(|(number, _)| is_it(*number)) {
            let sent = self.under_way.remove(place).map_or(now, |(_, sent)| sent);
            return Answer::InTime(now.saturating_duration_since(sent));
        }
        match self.lost.iter().position(|number| is_it(*number)) {
            Some(place) => {
                self.lost.remove(place);
                Answer::Late
            }
            None => Answer::Stranger,
        }
    }

    /// Questions that have become lost.
    pub(super) fn expire(&mut self, now: Instant, timeout: Duration) -> u64 {
        let mut count = 0;
        while let Some((number, sent)) = self.under_way.front().copied()
            && now >= sent + timeout
        {
            self.under_way.pop_front();
            if self.lost.len() == MOST_LOST {
                self.lost.pop_front();
            }
            self.lost.push_back(number);
            count += 1;
        }
        count
    }

    /// When the oldest question becomes lost.
    pub(super) fn next_expiry(&self, timeout: Duration) -> Option<Instant> {
        self.under_way.front().map(|(_, sent)| *sent + timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_in_time_late_or_strangers() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        let second = Duration::from_secs(1);
        let (first, next) = (pending.ask(now), pending.ask(now + second));
        assert_eq!(pending.expire(now + second, second), 1);
        assert_eq!(pending.answer(now + second * 3 / 2, |n| n == first), Answer::Late);
        assert_eq!(pending.answer(now + second * 3 / 2, |n| n == next), Answer::InTime(second / 2));
        assert_eq!(pending.answer(now + second * 2, |n| n == next), Answer::Stranger);
        assert_eq!(pending.next_expiry(second), None);
    }
}
