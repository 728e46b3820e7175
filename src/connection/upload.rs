//! How the device takes a request's body: pure, the time is an argument.

use std::time::Duration;

use espstress_event::{StallEnd, UploadStall, Uploads};
use tokio::time::Instant;

/// A device that takes no byte of a body for so long has stalled.
const STALL: Duration = Duration::from_secs(1);

/// How often to look how much the device has taken.
pub(super) const LOOK: Duration = Duration::from_millis(10);

/// One body on its way.
#[derive(Clone, Debug)]
pub(super) struct Upload {
    /// Bytes of the connection before the body, its request's head included.
    start: u64,
    /// Bytes of the body.
    length: u64,
    /// Bytes of the connection that the device had acknowledged when it was last looked.
    taken: u64,
    /// When that became more.
    since: Instant,
    stalls: u64,
    longest: Option<UploadStall>,
}

impl Upload {
    pub(super) const fn new(start: u64, length: u64, now: Instant) -> Self {
        Self { start, length, taken: 0, since: now, stalls: 0, longest: None }
    }

    /// The device has acknowledged so many bytes of the connection by now; `waits_for_host` says that these are all that a
    /// slow host has sent: the device is not to blame for its waiting.
    pub(super) fn look(&mut self, taken: u64, waits_for_host: bool, now: Instant) {
        if taken > self.taken {
            self.note(now, StallEnd::Resumed);
            self.taken = taken;
            self.since = now;
        } else if waits_for_host && !self.is_taken() {
            self.since = now;
        }
    }

    /// Since when the device has taken nothing; `None` once it has taken all.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        (!self.is_taken()).then_some(self.since)
    }

    /// Since when the device has had it all.
    pub(super) fn taken_since(&self) -> Option<Instant> {
        self.is_taken().then_some(self.since)
    }

    const fn is_taken(&self) -> bool {
        self.taken >= self.start + self.length
    }

    fn note(&mut self, now: Instant, end: StallEnd) {
        let length = now.duration_since(self.since);
        if length < STALL {
            return;
        }
        self.stalls += 1;
        let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        if self.longest.is_none_or(|longest| length_ms > longest.length_ms) {
            let taken_bytes = self.taken.saturating_sub(self.start).min(self.length);
            self.longest = Some(UploadStall { length_ms, taken_bytes, of_bytes: self.length, end });
        }
    }

    /// It is over: what it met.
    pub(super) fn end(mut self, now: Instant, end: StallEnd) -> Uploads {
        if !self.is_taken() {
            self.note(now, end);
        }
        Uploads {
            begun: 1,
            taken: u64::from(self.is_taken()),
            answered_early: u64::from(!self.is_taken() && end == StallEnd::Answered),
            stalls: self.stalls,
            longest_stall: self.longest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn a_stall_has_the_length_of_its_silence_and_the_bytes_of_its_beginning() {
        let t = Instant::now();
        let mut upload = Upload::new(100, 10_000, t);
        upload.look(5_844, false, at(t, 200));
        upload.look(5_844, false, at(t, 3_000));
        upload.look(10_100, false, at(t, 3_200));
        let seen = upload.end(at(t, 9_000), StallEnd::Answered);
        assert_eq!((seen.taken, seen.stalls, seen.answered_early), (1, 1, 0));
        let stall =
            UploadStall { length_ms: 3_000, taken_bytes: 5_744, of_bytes: 10_000, end: StallEnd::Resumed };
        assert_eq!(seen.longest_stall, Some(stall));
    }

    #[test]
    fn a_device_that_waits_for_a_slow_host_does_not_stall() {
        let t = Instant::now();
        let mut upload = Upload::new(0, 100, t);
        upload.look(0, true, at(t, 1_990));
        for n in 1..=10 {
            upload.look(n * 10, false, at(t, n * 2_000));
            upload.look(n * 10, true, at(t, n * 2_000 + 10));
            upload.look(n * 10, true, at(t, n * 2_000 + 1_990));
        }
        let seen = upload.end(at(t, 22_000), StallEnd::Answered);
        assert_eq!((seen.taken, seen.stalls), (1, 0));
    }

    #[test]
    fn a_device_that_takes_all_and_answers_late_has_not_stalled() {
        let t = Instant::now();
        let mut upload = Upload::new(0, 10, t);
        upload.look(10, false, at(t, 900));
        let seen = upload.end(at(t, 60_000), StallEnd::GaveUp);
        assert_eq!((seen.taken, seen.stalls, seen.longest_stall), (1, 0, None));
    }

    #[test]
    fn an_answer_before_the_body_is_taken_is_early() {
        let t = Instant::now();
        let mut upload = Upload::new(50, 1_000, t);
        upload.look(40, false, at(t, 10));
        let seen = upload.end(at(t, 1_500), StallEnd::Answered);
        assert_eq!((seen.taken, seen.answered_early), (0, 1));
        let stall = seen.longest_stall.unwrap();
        assert_eq!((stall.taken_bytes, stall.length_ms, stall.end), (0, 1_490, StallEnd::Answered));
    }
}
