//! What became of the frames of one direction.

use serde::{Deserialize, Serialize};

/// Counts of one direction since the link was made.
///
/// `frames_in + duplicated == frames_out + lost + held` at any moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Frames that were put in.
    pub frames_in: u64,
    /// Frames that came out, copies included.
    pub frames_out: u64,
    /// Frames that did not, by cause.
    pub lost: Lost,
    /// Copies that the link made.
    pub duplicated: u64,
    /// Of those that came out, the ones that were held for a time.
    pub delayed: u64,
    /// Frames in the link now.
    pub held: u64,
    /// Bytes that came out.
    pub bytes_out: u64,
}

/// Lost frames by cause.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Lost {
    /// By chance: `loss` and `burst`.
    pub chance: u64,
    /// The queue was full.
    pub queue: u64,
    /// The link was down.
    pub outage: u64,
}

impl Lost {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.chance + self.queue + self.outage
    }
}
