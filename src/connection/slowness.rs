//! A host that is slow on purpose: it takes a response, or sends a request, at so many bytes a second. Pure, the time is an
//! argument.

use std::time::Duration;

use espstress_clock::Throughput;
use tokio::time::Instant;

/// How fast the two directions of a connection may be; `None` for as fast as it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slowness {
    /// At which a response is taken.
    pub read: Option<Throughput>,
    /// At which a request is sent.
    pub send: Option<Throughput>,
}

impl Slowness {
    /// Whether a direction is slow.
    #[must_use]
    pub const fn is_any(self) -> bool {
        self.read.is_some() || self.send.is_some()
    }
}

/// The two directions of one connection, as they go.
#[derive(Clone, Debug)]
pub(super) struct Slow {
    pub(super) read: Option<Pace>,
    pub(super) send: Option<Pace>,
    /// Whether the host has waited on its own account.
    pub(super) has_waited: bool,
}

impl Slow {
    /// `None` where nothing is to be slow.
    pub(super) fn new(slowness: Slowness, now: Instant) -> Option<Box<Self>> {
        let pace = |rate: Throughput| Pace { rate: rate.bytes_per_s(), next: now };
        let (read, send) = (slowness.read.map(pace), slowness.send.map(pace));
        slowness.is_any().then(|| Box::new(Self { read, send, has_waited: false }))
    }
}

/// One direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Bytes a second.
    rate: u64,
    /// When the next piece may move.
    next: Instant,
}

impl Pace {
    /// Pieces a second, where there are as many bytes.
    const PIECES: u64 = 10;

    /// Bytes that move at once.
    pub(super) fn piece(&self) -> usize {
        usize::try_from((self.rate / Self::PIECES).max(1)).unwrap_or(usize::MAX)
    }

    /// Until when the host waits on its own account; `None` where a piece may move.
    pub(super) fn waits_until(&self, now: Instant) -> Option<Instant> {
        (self.next > now).then_some(self.next)
    }

    /// So many bytes have moved. What the device's slowness has cost is not caught up.
    pub(super) fn moved(&mut self, bytes: usize, now: Instant) {
        let ns = (bytes as u64).saturating_mul(1_000_000_000) / self.rate;
        self.next = self.next.max(now) + Duration::from_nanos(ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(rate: &str) -> (Pace, Instant) {
        let now = Instant::now();
        let slowness = Slowness { read: Some(rate.parse().unwrap()), send: None };
        (Slow::new(slowness, now).unwrap().read.unwrap(), now)
    }

    #[test]
    fn ten_pieces_a_second_make_the_rate() {
        let (mut pace, start) = pace("1000B/s");
        let mut now = start;
        for _ in 0..20 {
            now = pace.waits_until(now).unwrap_or(now);
            assert_eq!(pace.piece(), 100);
            pace.moved(pace.piece(), now);
        }
        assert_eq!(pace.waits_until(now), Some(start + Duration::from_secs(2)));
    }

    #[test]
    fn a_byte_a_second_is_one_byte_each_second() {
        let (mut pace, now) = pace("1B/s");
        assert_eq!((pace.piece(), pace.waits_until(now)), (1, None));
        pace.moved(1, now);
        assert_eq!(pace.waits_until(now), Some(now + Duration::from_secs(1)));
    }

    #[test]
    fn time_that_the_device_took_is_not_caught_up() {
        let (mut pace, start) = pace("10B/s");
        let late = start + Duration::from_secs(60);
        pace.moved(1, late);
        assert_eq!(pace.waits_until(late), Some(late + Duration::from_millis(100)));
    }
}
