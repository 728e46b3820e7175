//! When to dial the host, and when again.

use core::time::Duration;

use crate::time::Instant;

/// The state of dialling out.
pub(crate) enum Dialler {
    /// There is no host to dial.
    Off,
    /// Keeping quiet until then.
    Quiet(Instant),
    /// The carrier is at it.
    Dialling,
    /// Connected, under this connection's number.
    Connected(u32),
}

impl Dialler {
    pub(crate) const fn new(has_host: bool, now: Instant) -> Self {
        if has_host { Self::Quiet(now) } else { Self::Off }
    }

    /// Whether to dial now; asking counts as starting.
    pub(crate) fn starts(&mut self, now: Instant) -> bool {
        let due = matches!(self, Self::Quiet(until) if *until <= now);
        if due {
            *self = Self::Dialling;
        }
        due
    }

    pub(crate) const fn starts_at(&self) -> Option<Instant> {
        match self {
            Self::Quiet(until) => Some(*until),
            Self::Off | Self::Dialling | Self::Connected(_) => None,
        }
    }

    pub(crate) const fn is_connected(&self) -> bool {
        matches!(self, Self::Connected(_))
    }

    pub(crate) fn connected(&mut self, number: u32) {
        *self = Self::Connected(number);
    }

    pub(crate) const fn is_dialling(&self) -> bool {
        matches!(self, Self::Dialling)
    }

    /// Whether this is the number of the connection.
    pub(crate) const fn has(&self, number: u32) -> bool {
        matches!(self, Self::Connected(connected) if *connected == number)
    }

    /// Keeps quiet for so long from now on; for ever when it is `None`.
    pub(crate) fn rest(&mut self, now: Instant, quiet: Option<Duration>) {
        *self = match quiet {
            Some(quiet) => Self::Quiet(now + quiet),
            None => Self::Off,
        };
    }

    /// Dials again at once if it would not any more.
    pub(crate) fn wake(&mut self) {
        if matches!(self, Self::Off) {
            *self = Self::Quiet(Instant::ZERO);
        }
    }
}
