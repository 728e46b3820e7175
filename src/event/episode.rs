//! Attempts in a row that went the same way.

use super::{Failure, FailureCounts};

/// Attempts in a row with the same kind of outcome; merged ones hold both kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Episode {
    /// When the first of its attempts began, nanoseconds since the start of the run.
    pub from_ns: u64,
    /// When the last of them ended, nanoseconds since the start of the run.
    pub to_ns: u64,
    /// Attempts that ended in it.
    pub attempts: u64,
    /// Successes among them.
    pub succeeded: u64,
    /// The others by name.
    pub failures: FailureCounts,
}

impl Episode {
    /// One attempt.
    #[must_use]
    pub fn of(from_ns: u64, to_ns: u64, outcome: Result<(), Failure>) -> Self {
        let mut episode = Self { from_ns, to_ns, ..Self::default() };
        episode.count(outcome);
        episode
    }

    /// Counts one more attempt.
    pub fn count(&mut self, outcome: Result<(), Failure>) {
        self.attempts += 1;
        match outcome {
            Ok(()) => self.succeeded += 1,
            Err(failure) => self.failures.count(failure),
        }
    }

    /// Whether all of its attempts succeeded, or none did; `None` where it holds both.
    #[must_use]
    pub const fn uniform(&self) -> Option<bool> {
        match self.succeeded {
            0 => Some(false),
            n if n == self.attempts => Some(true),
            _ => None,
        }
    }

    /// Takes a later one in.
    pub fn absorb(&mut self, next: &Self) {
        self.from_ns = self.from_ns.min(next.from_ns);
        self.to_ns = self.to_ns.max(next.to_ns);
        self.attempts += next.attempts;
        self.succeeded += next.succeeded;
        self.failures.merge(&next.failures);
    }
}
