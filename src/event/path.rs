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

/// One direction's figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathFigures {
    /// Segments with payload.
    pub data_segments: u64,
    /// Payload, bytes, repetitions included.
    pub bytes: u64,
    /// Segments that repeated payload seen before.
    pub retransmissions: u64,
    /// Segments that repeated payload sooner than a round trip although it had arrived and was acknowledged; not among
    /// the retransmissions, since they show nothing of the path.
    pub spurious: u64,
    /// Of the retransmissions, repetitions of payload that had arrived: the other side acknowledged at once and with nothing
    /// else, as a stack does that has the bytes already (RFC 9293, 3.10.7.4). A sender whose time-out is
    /// shorter than the receiver's delay of acknowledgements repeats so on a perfect path.
    pub repeated_early: u64,
    /// Segments that filled a hole later than a mere overtaking: their first copy was lost before the
    /// point of capture.
    pub late_fills: u64,
    /// Segments that had been overtaken.
    pub out_of_order: u64,
    /// Packets that the path copied, as far as their IPv4 identification shows it.
    pub path_copies: u64,
}

/// Connections that the host ended by a RST.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostResets {
    /// How many.
    pub sent: u64,
    /// Of those, the ones that the device still held long after: the RST was lost.
    pub lost: u64,
    /// The most of these at once.
    pub lost_at_once: u64,
}

/// Small segments of the device's that came 20 ms or more after a small one before them, in the same answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AckWaits {
    /// Those that came right behind the host's delayed acknowledgement of the one before: they waited for it.
    pub waited: u64,
    /// How long after the one before, all of those together, nanoseconds.
    pub total_ns: u64,
    /// The longest, nanoseconds.
    pub longest_ns: u64,
    /// Those that came at another time, whatever held them up.
    pub otherwise: u64,
}

impl AckWaits {
    /// One more, so long after the one before.
    pub fn waited(&mut self, ns: u64) {
        self.waited += 1;
        self.total_ns = self.total_ns.saturating_add(ns);
        self.longest_ns = self.longest_ns.max(ns);
    }
}
