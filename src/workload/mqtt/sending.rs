//! For how long the target could send: it was connected, there was no fault, and this host was awake. Pure: instants in.

use std::time::{Duration, Instant};

/// The time so far.
#[derive(Debug, Default)]
pub(super) struct Sending {
    sum: Duration,
    /// Since when it can, and for how long the host was deaf until then.
    since: Option<(Instant, Duration)>,
    /// The sum when its session began.
    session: Duration,
}

impl Sending {
    /// So long until `now`, until which the host was `deaf` for so long.
    pub(super) fn until(&self, now: Instant, deaf: Duration) -> Duration {
        let since = self.since.map_or(Duration::ZERO, |(since, before)| {
            now.saturating_duration_since(since).saturating_sub(deaf.saturating_sub(before))
        });
        self.sum + since
    }

    /// It sends something already.
    pub(super) fn sends(&mut self, now: Instant) {
        if let Some((since, _)) = &mut self.since {
            *since = now.min(*since);
        }
    }

    /// Its session begins.
    pub(super) const fn begins(&mut self) {
        self.session = self.sum;
    }

    /// Its session ends, in which it sent something new: that it had time for what it has kept, counts for this much at least.
    /// Some devices stay for a moment only.
    pub(super) fn ends(&mut self, least: Duration) {
        self.sum = self.sum.max(self.session + least);
    }

    /// It can send from `from` on, or can't from `now` on.
    pub(super) fn can(&mut self, from: Option<Instant>, now: Instant, deaf: Duration) {
        self.sum = self.until(now, deaf);
        self.since = from.map(|from| (from.max(now), deaf));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_counts_in_which_the_target_could_send_and_was_heard() {
        let s = Duration::from_secs;
        let start = Instant::now();
        let at = |n| start + s(n);
        let mut sending = Sending::default();
        assert_eq!(sending.until(at(5), s(0)), s(0));
        sending.can(Some(at(5)), at(5), s(0));
        assert_eq!(sending.until(at(8), s(1)), s(2), "deaf for a second of three");
        sending.can(None, at(9), s(1));
        assert_eq!(sending.until(at(30), s(9)), s(3));
        // The stack repeats itself only a while after the link is back.
        sending.can(Some(at(40)), at(30), s(9));
        assert_eq!(sending.until(at(35), s(9)), s(3));
        assert_eq!(sending.until(at(42), s(9)), s(5));
        sending.can(Some(at(60)), at(42), s(9));
        sending.sends(at(50));
        sending.sends(at(51));
        assert_eq!(sending.until(at(52), s(9)), s(7));
        sending.can(None, at(52), s(9));
        sending.ends(s(3));
        assert_eq!(sending.until(at(60), s(9)), s(7), "its session was longer");
        sending.begins();
        sending.can(Some(at(60)), at(60), s(9));
        sending.can(None, at(61), s(9));
        sending.ends(s(3));
        assert_eq!(sending.until(at(70), s(9)), s(10));
    }
}
