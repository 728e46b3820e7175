//! The device's clock against the host's. A line comes later than it was said, never earlier: the least difference between
//! the two clocks is the true one, and how it changes is the drift. Each start of the device begins its time anew.

use espstress_event::DeviceClock;

/// Starts that are told apart; what came before the last of them is forgotten.
const STARTS: usize = 64;

/// Spans into which the time of a start is cut; when there are more, each becomes twice as long.
const SPANS: usize = 32;

/// The first spans' length, milliseconds.
const SPAN_MS: u64 = 1_000;

/// Tasks on two processors print a little out of order: less is no new start, milliseconds.
const SLACK_MS: u64 = 1_000;

/// Lines in a row with a new time, before that is the device's: a single old line may be printed again.
const SURE: usize = 3;

/// Least time over which a drift is told, milliseconds.
const DRIFT_MS: u64 = 10_000;

/// A line that took less than this from the device's clock to here came in time, nanoseconds.
const LATE_NS: i64 = 50_000_000;

/// A place in the device's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    start: u32,
    device_ms: u64,
    /// When a line with this time arrived, nanoseconds since the start of the run.
    heard_ns: i64,
}

/// What a time in a line shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shows {
    /// The device's time goes on.
    GoesOn,
    /// A time that does not fit: it is not used.
    Odd,
    /// The device's time began anew, without a word; with when that was heard first.
    Anew { heard_ns: i64 },
}

/// The device's clock.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    starts: u32,
    /// The last of them, by their number.
    known: std::collections::VecDeque<(u32, Start)>,
    /// Times that would be those of a new start.
    new: Vec<(i64, u64)>,
    /// A banner has told that a start is under way.
    announced: bool,
    last: Option<Stamp>,
}

/// The time of one start.
#[derive(Debug)]
struct Start {
    last_ms: u64,
    span_ms: u64,
    /// Least difference host minus device in each span, with its device time: nanoseconds.
    spans: Vec<Option<(u64, i64)>>,
}

impl Clock {
    /// The device told that it starts.
    pub(crate) fn starts_anew(&mut self) {
        self.announced = true;
        self.new.clear();
    }

    /// A line with the device's time arrived.
    pub(crate) fn line(&mut self, heard_ns: i64, device_ms: u64) -> Shows {
        let fits = self.known.back().is_some_and(|(_, start)| device_ms + SLACK_MS >= start.last_ms);
        if self.known.is_empty() || self.announced {
            self.begin(heard_ns, device_ms);
            return Shows::GoesOn;
        }
        if fits {
            self.new.clear();
            self.note(heard_ns, device_ms);
            return Shows::GoesOn;
        }
        if self.new.last().is_some_and(|(_, last)| device_ms < *last) {
            self.new.clear();
        }
        self.new.push((heard_ns, device_ms));
        if self.new.len() < SURE {
            return Shows::Odd;
        }
        let new = std::mem::take(&mut self.new);
        let first = new[0].0;
        new.into_iter().enumerate().for_each(|(n, (heard, ms))| match n {
            0 => self.begin(heard, ms),
            _ => self.note(heard, ms),
        });
        Shows::Anew { heard_ns: first }
    }

    fn begin(&mut self, heard_ns: i64, device_ms: u64) {
        self.announced = false;
        self.starts = self.starts.saturating_add(1);
        if self.known.len() == STARTS {
            self.known.pop_front();
        }
        self.known
            .push_back((self.starts, Start { last_ms: device_ms, span_ms: SPAN_MS, spans: Vec::new() }));
        self.note(heard_ns, device_ms);
    }

    fn note(&mut self, heard_ns: i64, device_ms: u64) {
        self.last = Some(Stamp { start: self.starts, device_ms, heard_ns });
        let Some((_, start)) = self.known.back_mut() else { return };
        start.last_ms = start.last_ms.max(device_ms);
        start.note(device_ms, heard_ns.saturating_sub(nanos(device_ms)));
    }

    /// The last time that fits.
    pub(crate) const fn last(&self) -> Option<Stamp> {
        self.last
    }

    /// When something was said that arrived at `heard_ns`, after a line with this time: earlier than it arrived by as much as
    /// that line was late.
    pub(crate) fn said_ns(&self, stamp: Option<Stamp>, heard_ns: i64) -> i64 {
        let Some(stamp) = stamp else { return heard_ns };
        let Some((_, start)) = self.known.iter().find(|(number, _)| *number == stamp.start) else {
            return heard_ns;
        };
        let Some((zero, drift)) = start.line() else { return heard_ns };
        let said = zero.saturating_add((nanos(stamp.device_ms) as f64 * (1.0 + drift)) as i64);
        let late = stamp.heard_ns.saturating_sub(said);
        if late < LATE_NS { heard_ns } else { heard_ns.saturating_sub(late) }
    }

    /// The clock as it is known; `None` where no line had a time.
    pub(crate) fn told(&self) -> Option<DeviceClock> {
        let (_, start) = self.known.back()?;
        let (zero, drift) = start.line()?;
        let drift_ppm = start.drift().map(|_| (-drift * 1e6).round() as i32);
        Some(DeviceClock { starts: self.starts, zero_ms: zero / 1_000_000, drift_ppm })
    }
}

impl Start {
    fn note(&mut self, device_ms: u64, difference: i64) {
        while usize::try_from(device_ms / self.span_ms).unwrap_or(usize::MAX) >= SPANS {
            self.span_ms = self.span_ms.saturating_mul(2);
            let halves = std::mem::take(&mut self.spans);
            self.spans = halves
                .chunks(2)
                .map(|pair| pair.iter().flatten().min_by_key(|(_, difference)| *difference).copied())
                .collect();
        }
        let at = (device_ms / self.span_ms) as usize;
        if self.spans.len() <= at {
            self.spans.resize(at + 1, None);
        }
        let span = &mut self.spans[at];
        if span.is_none_or(|(_, least)| difference < least) {
            *span = Some((device_ms, difference));
        }
    }

    /// How the difference changes with the device's time; `None` where too little is known.
    fn drift(&self) -> Option<f64> {
        let points: Vec<(f64, f64)> =
            self.spans.iter().flatten().map(|(ms, d)| (nanos(*ms) as f64, *d as f64)).collect();
        let (first, last) = (self.spans.iter().flatten().next()?, self.spans.iter().flatten().last()?);
        if last.0.saturating_sub(first.0) < DRIFT_MS || points.len() < 4 {
            return None;
        }
        let n = points.len() as f64;
        let (mx, my) =
            (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
        let above: f64 = points.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum();
        let below: f64 = points.iter().map(|p| (p.0 - mx) * (p.0 - mx)).sum();
        // More than a hundredth is no drift of a crystal, but lines that came late.
        Some(above / below).filter(|drift| drift.is_finite() && drift.abs() < 0.01)
    }

    /// The device's zero on the host's clock, nanoseconds, and the drift that goes with it.
    fn line(&self) -> Option<(i64, f64)> {
        let drift = self.drift().unwrap_or(0.0);
        let zero = |(ms, difference): &(u64, i64)| difference - (nanos(*ms) as f64 * drift) as i64;
        let zero = self.spans.iter().flatten().map(zero).min()?;
        Some((zero, drift))
    }
}

fn nanos(ms: u64) -> i64 {
    i64::try_from(ms.saturating_mul(1_000_000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn offset_and_drift_are_found_although_lines_come_late() {
        let mut clock = Clock::default();
        // The device started 5 s before the run, and its clock is 200 ppm fast. Every line but some comes late.
        for ms in (5_000..125_000_u64).step_by(100) {
            let said = (ms as f64 / 1.0002) as i64 - 5_000;
            let late = (ms / 100 % 7) as i64 * 30;
            assert_eq!(clock.line((said + late) * MS, ms), Shows::GoesOn);
        }
        let told = clock.told().unwrap();
        assert!(told.zero_ms.abs_diff(-5_000) <= 3, "{told:?}");
        assert!(told.drift_ppm.unwrap().abs_diff(200) <= 20, "{told:?}");
        assert_eq!(told.starts, 1);
    }

    #[test]
    fn a_line_that_came_late_was_said_when_the_devices_clock_says() {
        let mut clock = Clock::default();
        for ms in 0..50_u64 {
            clock.line((ms * 100) as i64 * MS, ms * 100);
        }
        // A batch: 4 s of lines arrive at once.
        clock.line(9_000 * MS, 5_000);
        let said = clock.said_ns(clock.last(), 9_000 * MS);
        assert!((said - 5_000 * MS).abs() < 5 * MS, "{said}");
        // A line without a time right after it was as late.
        assert!((clock.said_ns(clock.last(), 9_001 * MS) - 5_001 * MS).abs() < 5 * MS);
    }

    #[test]
    fn a_time_that_begins_anew_is_a_start_after_three_lines_and_one_old_line_is_none() {
        let mut clock = Clock::default();
        for n in 0..10_u64 {
            clock.line(n as i64 * 1_000 * MS, 60_000 + n * 1_000);
        }
        assert_eq!(clock.line(10_000 * MS, 300), Shows::Odd);
        assert_eq!(clock.line(10_100 * MS, 70_000), Shows::GoesOn);
        assert_eq!(clock.line(11_000 * MS, 310), Shows::Odd);
        assert_eq!(clock.line(11_100 * MS, 410), Shows::Odd);
        assert_eq!(clock.line(11_200 * MS, 510), Shows::Anew { heard_ns: 11_000 * MS });
        let told = clock.told().unwrap();
        assert_eq!((told.starts, told.zero_ms), (2, 10_690));
    }

    #[test]
    fn a_start_that_was_announced_needs_no_further_sign() {
        let mut clock = Clock::default();
        clock.line(0, 60_000);
        clock.starts_anew();
        assert_eq!(clock.line(1_000 * MS, 30), Shows::GoesOn);
        assert_eq!(clock.told().unwrap().starts, 2);
    }

    proptest! {
        #[test]
        fn any_times_are_survived_in_bounded_memory(times in proptest::collection::vec((any::<i64>(), any::<u64>(), any::<bool>()), 0..300)) {
            let mut clock = Clock::default();
            for (heard, ms, anew) in times {
                if anew { clock.starts_anew(); }
                let _ = clock.line(heard >> 2, ms >> 24);
                let _ = (clock.told(), clock.said_ns(clock.last(), heard >> 2));
                prop_assert!(clock.known.len() <= STARTS && clock.new.len() < SURE);
                prop_assert!(clock.known.iter().all(|(_, start)| start.spans.len() <= SPANS));
            }
        }
    }
}
