//! Seeded chance. Every purpose has a stream of its own and takes the same number of draws for every frame, so
//! that changing the jitter of a link leaves its losses where they were.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// What a stream of chance is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Loss = 1,
    Duplication = 2,
    Jitter = 3,
    Outages = 4,
    Beacons = 5,
}

/// One stream of chance.
#[derive(Clone, Debug)]
pub(super) struct Luck(Xoshiro256PlusPlus);

impl Luck {
    /// The stream of one purpose; `lane` tells streams of the same purpose apart.
    pub(super) fn new(seed: u64, purpose: Purpose, lane: usize) -> Self {
        // seed_from_u64 spreads neighbouring values over the whole state (SplitMix64).
        let lane = u64::try_from(lane).unwrap_or(0);
        Self(Xoshiro256PlusPlus::seed_from_u64(seed ^ ((purpose as u64) << 56) ^ (lane << 48)))
    }

    /// Uniform in 0 to 1, without 1.
    pub(super) fn unit(&mut self) -> f64 {
        // The top 53 bits fill a double's fraction exactly.
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in 0 to `below`, without `below`.
    pub(super) fn below(&mut self, below: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(below)) >> 64) as u64
    }

    /// Exponentially distributed around `mean`.
    pub(super) fn exponential(&mut self, mean: u64) -> u64 {
        (-(1.0 - self.unit()).ln() * mean as f64) as u64
    }
}
