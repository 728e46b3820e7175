//! How a connection ended, as the host's socket could tell.

use serde::{Deserialize, Serialize};

/// The end of a connection whose exchange went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Both sides sent FIN.
    Fin,
    /// The device sent a RST.
    Reset,
    /// The device had not ended it within the read time-out.
    NotEnded,
    /// The device had not ended it though it was asked to (`Connection: close`); it did once the host had closed.
    CloseIgnored,
    /// The device was still sending when the host stopped waiting for its end.
    StillSending,
}

impl Ending {
    /// Every ending.
    pub const ALL: [Self; 5] =
        [Self::Fin, Self::Reset, Self::NotEnded, Self::CloseIgnored, Self::StillSending];
}

/// A count for each [`Ending`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndingCounts([u64; 5]);

impl EndingCounts {
    /// Adds one.
    pub const fn count(&mut self, ending: Ending) {
        self.0[ending as usize] += 1;
    }

    /// How often it was so.
    #[must_use]
    pub const fn get(&self, ending: Ending) -> u64 {
        self.0[ending as usize]
    }
}
