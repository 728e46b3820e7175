//! When the device was heard, and the longest silence of an outage. Pure: instants in, instants out.

use std::time::{Duration, Instant};

/// The host's ear over all connections of the workload.
#[derive(Debug)]
pub(super) struct Hearing {
    last: Instant,
    window: Option<Window>,
}

/// What is noted from the start of an outage until everything is back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// When it was opened.
    pub(super) from: Instant,
    /// The last byte before, and the first one after, the longest silence that ended in the window.
    pub(super) silence: Option<(Instant, Instant)>,
    /// When the host first called a peer gone.
    pub(super) noticed: Option<Instant>,
}

impl Hearing {
    pub(super) const fn new(now: Instant) -> Self {
        Self { last: now, window: None }
    }

    /// Something came from the device.
    pub(super) fn heard(&mut self, now: Instant) {
        if let Some(window) = &mut self.window {
            let longest = window.silence.map_or(Duration::ZERO, |(from, to)| to - from);
            if now > window.from && now.saturating_duration_since(self.last) > longest {
                window.silence = Some((self.last, now));
            }
        }
        self.last = self.last.max(now);
    }

    /// When the device was last heard.
    pub(super) const fn last(&self) -> Instant {
        self.last
    }

    /// An outage begins, or has begun: what is heard from `from` on belongs to it.
    pub(super) const fn open(&mut self, from: Instant) {
        self.window = Some(Window { from, silence: None, noticed: None });
    }

    /// The host's rule called a peer gone.
    pub(super) fn noticed(&mut self, now: Instant) {
        if let Some(window) = &mut self.window {
            window.noticed.get_or_insert(now);
        }
    }

    /// The outage is over.
    pub(super) const fn close(&mut self) -> Option<Window> {
        self.window.take()
    }

    /// The outage that is under way.
    pub(super) const fn window(&self) -> Option<&Window> {
        self.window.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn the_longest_silence_of_the_window_is_the_outage() {
        let t = Instant::now();
        let mut hearing = Hearing::new(t);
        for at in [100, 200, 300] {
            hearing.heard(ms(t, at));
        }
        hearing.open(ms(t, 310));
        for at in [320, 400, 1_700, 1_750, 1_900] {
            hearing.heard(ms(t, at));
        }
        let window = hearing.close().unwrap();
        assert_eq!(window.silence, Some((ms(t, 400), ms(t, 1_700))));
        assert!(hearing.window().is_none());
    }

    #[test]
    fn a_silence_that_began_before_the_window_counts_from_its_beginning() {
        let t = Instant::now();
        let mut hearing = Hearing::new(t);
        hearing.heard(ms(t, 100));
        hearing.open(ms(t, 900));
        hearing.heard(ms(t, 2_000));
        assert_eq!(hearing.close().unwrap().silence, Some((ms(t, 100), ms(t, 2_000))));
    }
}
