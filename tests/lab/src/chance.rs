//! Seeded chance, a stream for each purpose.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// What a stream is for: one more draw in one of them changes nothing in the others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// Times of a case: onsets and outages.
    Case = 1,
    /// Initial sequence numbers and local ports.
    Stacks = 2,
    /// How long the device's processor takes.
    Processor = 3,
    /// The link.
    Link = 4,
}

/// One stream.
#[derive(Clone, Debug)]
pub(crate) struct Chance(Xoshiro256PlusPlus);

impl Chance {
    /// The stream of a purpose.
    pub(crate) fn new(seed: u64, purpose: Purpose) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed ^ (purpose as u64) << 56))
    }

    /// Any number.
    pub(crate) fn any(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform between two numbers, the upper one left out.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        let width = u128::from(to.saturating_sub(from));
        from + ((u128::from(self.any()) * width) >> 64) as u64
    }
}
