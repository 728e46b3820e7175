//! How long a peer has been silent, less the time in which this host stood still. Pure: instants in, instants out.
//!
//! A machine that is stopped for a second, by its hypervisor or by other programs, hears nothing in that second. What
//! the peer said meanwhile waits in the socket, and a peer on the same machine could not even speak. Calling it gone
//! would blame it for what the host did.

use std::time::{Duration, Instant};

use espstress_clock::STALL;

/// The silence of one peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    heard: Instant,
    /// Since then, time in which the host could not have heard it.
    deaf: Duration,
}

impl Silence {
    pub(super) const fn new(now: Instant) -> Self {
        Self { heard: now, deaf: Duration::ZERO }
    }

    /// Something came.
    pub(super) const fn heard(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// When something last came.
    pub(super) const fn last(&self) -> Instant {
        self.heard
    }

    /// The host woke now, and wanted to at `due`.
    pub(super) fn woke(&mut self, due: Instant, now: Instant) {
        let late = now.saturating_duration_since(due.max(self.heard));
        if late >= STALL {
            self.deaf += late;
        }
    }

    /// When the peer counts as gone.
    pub(super) fn ends(&self, limit: Duration) -> Instant {
        self.heard + self.deaf + limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(600);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn time_in_which_the_host_stood_still_is_no_silence_of_the_peer() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        silence.woke(start + ms(200), start + ms(900));
        assert_eq!(silence.ends(LIMIT), start + ms(1_300));
        silence.woke(start + ms(1_000), start + ms(1_100));
        assert_eq!(silence.ends(LIMIT), start + ms(1_400), "each of them counts");
        silence.heard(start + ms(1_200));
        assert_eq!(silence.ends(LIMIT), start + ms(1_800), "and is forgotten with the next byte");
        assert_eq!(silence.last(), start + ms(1_200));
    }

    #[test]
    fn a_host_that_wakes_in_time_gives_no_grace() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        for at in (100..600).step_by(100) {
            silence.woke(start + ms(at), start + ms(at + 40));
        }
        assert_eq!(silence.ends(LIMIT), start + LIMIT);
    }
}
