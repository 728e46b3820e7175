//! When the attempts of an open loop begin. Pure: an index in, an instant out.

use std::time::{Duration, Instant};

/// Equal intervals from a start, without drift: attempt `n` begins at `start + n x interval`.
#[derive(Clone, Copy, Debug)]
pub struct Pacer {
    start: Instant,
    interval: Duration,
    next: u64,
}

impl Pacer {
    /// Attempts at `start`, `start + interval`, ...
    #[must_use]
    pub const fn new(start: Instant, interval: Duration) -> Self {
        Self { start, interval, next: 0 }
    }

    /// The intended start of the next attempt; each call hands out one.
    pub fn advance(&mut self) -> Instant {
        let n = self.next;
        self.next += 1;
        // Nanoseconds in 128 bits: a fortnight at a million a second stays exact.
        let offset = self.interval.as_nanos().saturating_mul(u128::from(n));
        let offset = Duration::from_nanos(u64::try_from(offset).unwrap_or(u64::MAX));
        self.start.checked_add(offset).unwrap_or(self.start)
    }

    /// Time between two starts.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.interval
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
}
