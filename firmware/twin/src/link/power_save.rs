//! Wi-Fi power save: the access point keeps frames for a sleeping station until it listens to a beacon.

use super::LinkSpec;
use super::luck::{Luck, Purpose};

/// Time between two beacons: 100 time units of 1,024 us (IEEE 802.11, the default of access points).
pub const BEACON_NS: u64 = 102_400_000;

/// The rhythm in which the station sleeps and listens.
#[derive(Debug)]
pub(super) struct Rhythm {
    /// Between two beacons that it listens to; `None` when it never sleeps.
    interval_ns: Option<u64>,
    awake_ns: u64,
    phase: f64,
    origin_ns: u64,
    awake_until_ns: u64,
}

impl Rhythm {
    pub(super) fn new(spec: &LinkSpec, seed: u64, origin_ns: u64) -> Self {
        let mut rhythm = Self {
            interval_ns: None,
            awake_ns: 0,
            phase: Luck::new(seed, Purpose::Beacons, 0).unit(),
            origin_ns,
            awake_until_ns: 0,
        };
        rhythm.set(spec);
        rhythm
    }

    pub(super) fn set(&mut self, spec: &LinkSpec) {
        self.interval_ns = spec.beacons().map(|beacons| BEACON_NS * u64::from(beacons));
        self.awake_ns = spec.awake_ns;
    }

    pub(super) const fn sleeps(&self) -> bool {
        self.interval_ns.is_some()
    }

    /// The station sent or received: it listens for a while.
    pub(super) fn touch(&mut self, at_ns: u64) {
        self.awake_until_ns = self.awake_until_ns.max(at_ns.saturating_add(self.awake_ns));
    }

    pub(super) const fn is_awake(&self, at_ns: u64) -> bool {
        !self.sleeps() || at_ns < self.awake_until_ns
    }

    /// The first beacon listened to at or after `at_ns`.
    pub(super) fn next_beacon_ns(&self, at_ns: u64) -> u64 {
        let Some(interval) = self.interval_ns else { return at_ns };
        let first = self.origin_ns + (self.phase * interval as f64) as u64;
        let past = at_ns.saturating_sub(first);
        first + past.div_ceil(interval) * interval
    }
}
