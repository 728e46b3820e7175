//! The clock of a capture file, made to run forwards.
//!
//! A machine whose clock is set back while it captures writes times that go back. The rules wait for deadlines, so that
//! time has to go on: from a step back on, what was stepped back by is added. Times that go back by less are packets of
//! several queues or interfaces, written a little out of order.

/// Going back by more than this is a step, nanoseconds.
const STEP: i64 = 1_000_000_000;

/// A step back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockStep {
    /// Number of the first packet after it.
    pub packet: u64,
    /// By how much, nanoseconds.
    pub back_ns: i64,
}

/// The clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    added: i64,
    last: Option<i64>,
    first_step: Option<ClockStep>,
    steps: u64,
}

impl Clock {
    /// The time of packet `packet`, which the file says was captured at `written`.
    pub(super) fn at(&mut self, written: i64, packet: u64) -> i64 {
        let Some(last) = self.last else {
            self.last = Some(written);
            return written;
        };
        if self.added > 0 && written >= last {
            // Set right again, or a single packet that was very late.
            self.added = 0;
        }
        let mut at = written.saturating_add(self.added);
        if at < last.saturating_sub(STEP) {
            let back_ns = last.saturating_sub(at);
            self.added = self.added.saturating_add(back_ns);
            self.first_step.get_or_insert(ClockStep { packet, back_ns });
            self.steps += 1;
            at = last;
        }
        self.last = Some(last.max(at));
        at
    }

    /// The time of the last packet.
    pub(super) fn last(&self) -> i64 {
        self.last.unwrap_or(0)
    }

    /// The first step back, and how many there were.
    pub(super) const fn steps(&self) -> Option<(ClockStep, u64)> {
        match self.first_step {
            Some(step) => Some((step, self.steps)),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: i64 = 1_000_000_000;

    fn run(written: &[i64]) -> (Vec<i64>, Clock) {
        let mut clock = Clock::default();
        let times = written.iter().zip(1..).map(|(at, n)| clock.at(*at, n)).collect();
        (times, clock)
    }

    #[test]
    fn after_a_step_back_time_goes_on_from_where_it_was() {
        let (times, clock) = run(&[100 * S, 110 * S, 10 * S, 15 * S]);
        assert_eq!(times, [100 * S, 110 * S, 110 * S, 115 * S]);
        assert_eq!(clock.steps(), Some((ClockStep { packet: 3, back_ns: 100 * S }, 1)));
    }

    #[test]
    fn a_clock_that_is_set_right_again_counts_as_written() {
        let (times, _) = run(&[100 * S, 10 * S, 12 * S, 103 * S, 104 * S]);
        assert_eq!(times, [100 * S, 100 * S, 102 * S, 103 * S, 104 * S]);
    }

    #[test]
    fn packets_that_are_a_little_out_of_order_are_no_step() {
        let (times, clock) = run(&[100 * S, 99 * S, 101 * S]);
        assert_eq!((times, clock.steps()), (vec![100 * S, 99 * S, 101 * S], None));
    }

    proptest! {
        #[test]
        fn whatever_is_written_time_never_goes_back_by_more_than_a_second(
            written in prop::collection::vec(any::<i64>(), 0..50)
        ) {
            let (times, _) = run(&written);
            let mut last = i64::MIN;
            for at in times {
                prop_assert!(at >= last.saturating_sub(STEP));
                last = last.max(at);
            }
        }
    }
}
