//! When the attempts of an open loop begin. Pure: an index in, an instant out.

use std::time::{Duration, Instant};

/// Equal intervals from a start, without drift: attempt `n` begins at `start + n x interval`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pacer {
    start: Instant,
    interval: Duration,
    next: u64,
}

impl Pacer {
    /// Attempts at `start`, `start + interval`, ...
    #[must_use]
    pub(crate) const fn new(start: Instant, interval: Duration) -> Self {
        Self { start, interval, next: 0 }
    }

    /// The intended start of the next attempt; each call hands out one.
    pub(crate) fn advance(&mut self) -> Instant {
        let n = self.next;
        self.next += 1;
        // Nanoseconds in 128 bits: a fortnight at a million a second stays exact.
        let offset = self.interval.as_nanos().saturating_mul(u128::from(n));
        let offset = Duration::from_nanos(u64::try_from(offset).unwrap_or(u64::MAX));
        self.start.checked_add(offset).unwrap_or(self.start)
    }

    /// Passes over every start before `at`; how many there were.
    pub(crate) fn skip_until(&mut self, at: Instant) -> u64 {
        let first = match at.saturating_duration_since(self.start).as_nanos() {
            0 => 0,
            offset => offset.div_ceil(self.interval.as_nanos().max(1)),
        };
        let first = u64::try_from(first).unwrap_or(u64::MAX);
        let skipped = first.saturating_sub(self.next);
        self.next += skipped;
        skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_do_not_drift_whatever_the_interval() {
        let start = Instant::now();
        let interval = Duration::from_nanos(333_333);
        let mut pacer = Pacer::new(start, interval);
        let last = (0..3_000_001).map(|_| pacer.advance()).last().unwrap();
        assert_eq!(last - start, Duration::from_nanos(333_333 * 3_000_000));
    }

    #[test]
    fn starts_that_are_passed_over_are_counted_and_the_rest_keep_their_times() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let mut pacer = Pacer::new(start, ms(100));
        assert_eq!(pacer.advance(), start);
        assert_eq!(pacer.skip_until(start + ms(350)), 3);
        assert_eq!(pacer.advance(), start + ms(400));
        assert_eq!(pacer.skip_until(start + ms(400)), 0);
        assert_eq!(pacer.skip_until(start + ms(500)), 0);
        assert_eq!(pacer.skip_until(start + ms(501)), 1);
    }
}
