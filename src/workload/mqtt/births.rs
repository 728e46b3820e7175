//! Whether the device says that it is there each time it connects: a message on its will's topic. Pure: instants in.

use std::time::{Duration, Instant};

/// Time in a session in which that message is expected.
const EXPECTED: Duration = Duration::from_secs(5);

/// The births of one device.
#[derive(Debug, Default)]
pub(super) struct Births {
    topic: Option<String>,
    /// When the session began that has had none yet.
    since: Option<Instant>,
    ever: bool,
}

impl Births {
    /// A session begins; whether the one before lacked its birth.
    pub(super) fn begins(&mut self, will_topic: Option<&str>, now: Instant) -> bool {
        let missing = self.ends(now);
        self.topic = will_topic.map(str::to_owned);
        self.since = self.topic.as_ref().map(|_| now);
        missing
    }

    /// A message has come; whether it is the birth.
    pub(super) fn message(&mut self, topic: &str) -> bool {
        let birth = self.topic.as_deref() == Some(topic);
        if birth {
            self.ever = true;
            self.since = None;
        }
        birth
    }

    /// The session is over; whether it was long enough for a birth and had none, where an earlier one had.
    pub(super) fn ends(&mut self, now: Instant) -> bool {
        let since = self.since.take();
        since.is_some_and(|at| self.ever && now.saturating_duration_since(at) >= EXPECTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_return_without_its_birth_is_noticed_once() {
        let (mut births, t) = (Births::default(), Instant::now());
        assert!(!births.begins(Some("status"), t));
        assert!(!births.message("data") && births.message("status"));
        assert!(!births.ends(t + 9 * S));
        assert!(!births.begins(Some("status"), t + 10 * S));
        assert!(births.ends(t + 20 * S));
        assert!(!births.begins(Some("status"), t + 40 * S));
    }

    #[test]
    fn a_session_that_ended_at_once_lacks_none_however_late_the_next_one_is() {
        let (mut births, t) = (Births::default(), Instant::now());
        births.begins(Some("status"), t);
        births.message("status");
        births.ends(t + S);
        births.begins(Some("status"), t + 2 * S);
        assert!(!births.ends(t + 2 * S));
        assert!(!births.begins(Some("status"), t + 30 * S));
    }

    #[test]
    fn a_device_that_never_says_it_or_has_no_will_lacks_nothing() {
        let (mut births, t) = (Births::default(), Instant::now());
        births.begins(Some("status"), t);
        assert!(!births.ends(t + 60 * S));
        births.begins(None, t + 61 * S);
        assert!(!births.message("status") && !births.ends(t + 90 * S));
    }
}
