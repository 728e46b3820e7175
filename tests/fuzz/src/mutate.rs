//! Seeded changes of inputs, where no libFuzzer guides them.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// Longest input that is made.
const LONGEST: usize = 64 * 1_024;

/// Bytes and numbers at which readers go wrong.
const EDGES: [u64; 12] =
    [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];

/// Changes inputs; the same seed makes the same changes.
#[derive(Clone, Debug)]
pub struct Mutator {
    random: Xoshiro256PlusPlus,
    words: &'static [&'static str],
}

impl Mutator {
    /// With words to put in.
    #[must_use]
    pub fn new(seed: u64, words: &'static [&'static str]) -> Self {
        Self { random: Xoshiro256PlusPlus::seed_from_u64(seed), words }
    }

    fn below(&mut self, limit: usize) -> usize {
        let limit = limit.max(1) as u128;
        ((u128::from(self.random.next_u64()) * limit) >> 64) as usize
    }

    /// One of the inputs, changed at a few places.
    ///
    /// # Panics
    /// Where there is no input.
    pub fn next(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = inputs[self.below(inputs.len())].clone();
        for _ in 0..=self.below(6) {
            self.change(&mut bytes, inputs);
        }
        bytes.truncate(LONGEST);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let at = self.below(bytes.len() + 1);
        let span = at..(at + self.below(16) + 1).min(bytes.len());
        match self.below(10) {
            0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            1 if at < bytes.len() => bytes[at] = self.random.next_u64() as u8,
            2 => {
                let width = 1 << self.below(4);
                let edge = EDGES[self.below(EDGES.len())];
                let number = if self.below(2) == 0 { edge.to_le_bytes() } else { edge.to_be_bytes() };
                let number = if number[0] == 0 { &number[8 - width..] } else { &number[..width] };
                let end = (at + width).min(bytes.len());
                bytes[at..end].copy_from_slice(&number[..end - at]);
            }
            3 if at < bytes.len() => drop(bytes.drain(span)),
            4 if at < bytes.len() => {
                let again = bytes[span].to_vec();
                let to = self.below(bytes.len() + 1);
                drop(bytes.splice(to..to, again));
            }
            5 => {
                let noise: Vec<u8> = (0..=self.below(24)).map(|_| self.random.next_u64() as u8).collect();
                drop(bytes.splice(at..at, noise));
            }
            6 if !self.words.is_empty() => {
                let word = self.words[self.below(self.words.len())].bytes();
                drop(bytes.splice(at..at, word));
            }
            // The head of this one, and the tail of another.
            7 => {
                let other = &inputs[self.below(inputs.len())];
                let from = self.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            // Many times the same.
            8 if at < bytes.len() && bytes.len() < LONGEST / 4 => {
                let again = bytes[span].repeat(self.below(64) + 1);
                drop(bytes.splice(at..at, again));
            }
            _ => bytes.truncate(at),
        }
    }
}
