//! What the packets show of the path as time goes by: facts, and nothing about fault.

/// Losses that the packets prove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Segments that would have shown their loss, both directions.
    pub segments: u64,
    /// Of those, the ones that were lost at first and came through later.
    pub lost: u64,
    /// Copies of those that were lost as well.
    pub again: u64,
}

impl Losses {
    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            segments: self.segments.saturating_add(other.segments),
            lost: self.lost.saturating_add(other.lost),
            again: self.again.saturating_add(other.again),
        }
    }
}

/// A stretch of time on the path. Times are nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathWindow {
    /// When it began.
    pub from_ns: i64,
    /// When the next one begins.
    pub to_ns: i64,
    /// Losses in it.
    pub losses: Losses,
    /// Connections that the host opened: occasions for a SYN to go unanswered.
    pub syns: u64,
    /// Segments with new payload of the host's: occasions for payload not to be acknowledged, or not to be read.
    pub requests: u64,
    /// FINs of the host's: occasions for a connection to linger.
    pub fins: u64,
}

impl PathWindow {
    /// Counts what `seen` counts as well.
    pub const fn add(&mut self, seen: Self) {
        *self = Self { to_ns: self.to_ns, ..self.and(seen) };
    }

    /// This one and the next as one.
    #[must_use]
    pub const fn and(self, next: Self) -> Self {
        Self {
            from_ns: self.from_ns,
            to_ns: next.to_ns,
            losses: self.losses.and(next.losses),
            syns: self.syns.saturating_add(next.syns),
            requests: self.requests.saturating_add(next.requests),
            fins: self.fins.saturating_add(next.fins),
        }
    }
}
