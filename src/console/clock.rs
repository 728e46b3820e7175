//! The device's clock against the host's. A line comes later than it was said, never earlier: the least difference between
//! the two clocks is the true one, and how it changes is the drift. Each start of the device begins its time anew.
//!
//! Not every time on a console is its device's: programs print old logs, and forward those of another processor. What goes
//! on is the device's. So the time of before a start, or before a leap, is kept for a while: where lines go on from it, there
//! was no start.

use espstress_event::DeviceClock;

/// Starts that are told apart; what came before the last of them is forgotten.
const STARTS: usize = 64;

/// Spans into which the time of a start is cut; when there are more, each becomes twice as long.
const SPANS: usize = 32;

/// The first spans' length, milliseconds.
const SPAN_MS: u64 = 1_000;

/// Tasks on two processors print a little out of order: less is no new start, milliseconds.
const SLACK_MS: u64 = 1_000;

/// A clock that is this much ahead of where the host expects it is still the same: lines come late, milliseconds.
const AHEAD_MS: u64 = 2_000;

/// A device that has just started shows at most this more than the time since its banner, milliseconds.
const YOUNG_MS: u64 = 3_000;

/// Of a device that had run for less, a new time cannot be told from the old one, milliseconds.
const OLD_MS: u64 = 5_000;

/// Lines that go on from the time of before, after which there was no start.
const GO_ON: u32 = 2;

/// So long is it possible that there was no start, nanoseconds.
const DOUBT_NS: i64 = 600_000_000_000;

/// Starts that follow each other within this may all be another device's, nanoseconds.
const TOGETHER_NS: i64 = 30_000_000_000;

/// Log libraries count milliseconds in 32 bits: after 49.7 days they begin at 0.
const WRAPS_MS: u64 = 1 << 32;

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
    /// It is a little behind, as lines of two tasks are.
    Behind,
    /// A time that does not fit: it is not used.
    Odd,
    /// The device's time began anew, without a word; with when that was heard first.
    Anew { heard_ns: i64 },
    /// The time of before goes on: what was taken for a start at this time, or later, was none.
    NoStart { since_ns: i64 },
}

/// The device's clock.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    starts: u32,
    /// Numbers given to them; one that was none keeps its own.
    numbers: u32,
    /// The last of them, by their number.
    known: std::collections::VecDeque<(u32, Start)>,
    /// Times that would be those of a new start.
    new: Vec<(i64, u64)>,
    /// When a banner told that a start is under way.
    announced: Option<i64>,
    /// The time of before a start or a leap that may be none of the device's.
    before: Option<Before>,
    last: Option<Stamp>,
}

/// A time that may yet go on.
#[derive(Debug)]
struct Before {
    number: u32,
    starts: u32,
    start: Start,
    /// When another time was heard, nanoseconds.
    since_ns: i64,
    /// Lines since then that go on from it.
    lines: u32,
}

/// The time of one start.
#[derive(Clone, Debug)]
struct Start {
    last_ms: u64,
    /// When that was heard, nanoseconds.
    heard_ns: i64,
    /// What the turns of the device's counter add, milliseconds.
    turns_ms: u64,
    /// A time far ahead of this one: a line that came late, or another device's.
    leap_ms: Option<u64>,
    span_ms: u64,
    /// Least difference host minus device in each span, with its device time: nanoseconds.
    spans: Vec<Option<(u64, i64)>>,
}

impl Clock {
    /// The device told at `heard_ns` that it starts.
    pub(crate) fn starts_anew(&mut self, heard_ns: i64) {
        self.keep_before(heard_ns);
        self.announced = Some(heard_ns);
        self.new.clear();
    }

    /// Whether a start was announced of which no line has come, but one of the time before.
    pub(crate) fn doubts_a_start(&self) -> Option<i64> {
        let before = self.before.as_ref().filter(|before| before.lines > 0)?;
        self.announced.map(|_| before.since_ns)
    }

    /// A line with the device's time arrived.
    pub(crate) fn line(&mut self, heard_ns: i64, told_ms: u64) -> Shows {
        if self.known.is_empty() {
            self.begin(heard_ns, told_ms);
            return Shows::GoesOn;
        }
        if let Some(at) = self.announced {
            let young = told_ms <= since(at, heard_ns).saturating_add(YOUNG_MS);
            if !young && let Some(shows) = self.goes_on_before(heard_ns, told_ms) {
                return shows;
            }
            self.begin(heard_ns, told_ms);
            return Shows::GoesOn;
        }
        let Some((_, start)) = self.known.back() else { return Shows::Odd };
        let (turns_ms, device_ms) = start.turned(heard_ns, told_ms);
        let (last_ms, leap_ms) = (start.last_ms, start.leap_ms);
        let ahead = !start.may_show(heard_ns, device_ms) && device_ms > last_ms;
        let behind = device_ms.saturating_add(SLACK_MS) < last_ms;
        if (ahead || behind)
            && let Some(shows) = self.goes_on_before(heard_ns, told_ms)
        {
            return shows;
        }
        if behind {
            return self.may_be_new(heard_ns, told_ms);
        }
        self.new.clear();
        let leaps_on = leap_ms.is_some_and(|leap| device_ms.saturating_add(SLACK_MS) >= leap);
        if ahead && !leaps_on {
            let Some((number, start)) = self.known.back_mut() else { return Shows::Odd };
            start.leap_ms = Some(device_ms);
            self.last = Some(Stamp { start: *number, device_ms, heard_ns });
            return Shows::Odd;
        }
        if ahead {
            self.keep_before(heard_ns);
        }
        if let Some((_, start)) = self.known.back_mut() {
            start.turns_ms = turns_ms;
        }
        self.note(heard_ns, device_ms);
        if device_ms >= last_ms { Shows::GoesOn } else { Shows::Behind }
    }

    /// A time that is younger than the one that is known: a start's, after some lines.
    fn may_be_new(&mut self, heard_ns: i64, told_ms: u64) -> Shows {
        if self.new.last().is_some_and(|(_, last)| told_ms < *last) {
            self.new.clear();
        }
        self.new.push((heard_ns, told_ms));
        if self.new.len() < SURE {
            return Shows::Odd;
        }
        let new = std::mem::take(&mut self.new);
        let first = new[0].0;
        self.keep_before(first);
        new.into_iter().enumerate().for_each(|(n, (heard, ms))| match n {
            0 => self.begin(heard, ms),
            _ => self.note(heard, ms),
        });
        Shows::Anew { heard_ns: first }
    }

    /// Keeps the time that is known, since another one is heard.
    fn keep_before(&mut self, heard_ns: i64) {
        let together = |before: &Before| heard_ns.saturating_sub(before.since_ns) < TOGETHER_NS;
        if self.before.as_ref().is_some_and(together) {
            return;
        }
        let old = self.known.back().filter(|(_, start)| start.last_ms >= OLD_MS);
        self.before = old.map(|(number, start)| Before {
            number: *number,
            starts: self.starts,
            start: start.clone(),
            since_ns: heard_ns,
            lines: 0,
        });
    }

    /// What a line shows that goes on from the time of before; `None` where it does not.
    fn goes_on_before(&mut self, heard_ns: i64, told_ms: u64) -> Option<Shows> {
        let before = self.before.as_mut()?;
        let since_ns = before.since_ns;
        let (turns_ms, device_ms) = before.start.turned(heard_ns, told_ms);
        let past = heard_ns.saturating_sub(since_ns) > DOUBT_NS;
        if past || device_ms <= before.start.last_ms || !before.start.may_show(heard_ns, device_ms) {
            return None;
        }
        before.start.turns_ms = turns_ms;
        before.start.take(heard_ns, device_ms);
        before.lines += 1;
        if before.lines < GO_ON {
            return Some(Shows::Odd);
        }
        let Before { number, starts, start, .. } = self.before.take()?;
        self.known.retain(|(known, _)| *known < number);
        self.known.push_back((number, start));
        (self.starts, self.announced) = (starts, None);
        self.new.clear();
        self.last = Some(Stamp { start: number, device_ms, heard_ns });
        Some(Shows::NoStart { since_ns })
    }

    fn begin(&mut self, heard_ns: i64, device_ms: u64) {
        self.announced = None;
        self.starts = self.starts.saturating_add(1);
        self.numbers = self.numbers.saturating_add(1);
        if self.known.len() == STARTS {
            self.known.pop_front();
        }
        let start = Start {
            last_ms: device_ms,
            heard_ns,
            turns_ms: 0,
            leap_ms: None,
            span_ms: SPAN_MS,
            spans: Vec::new(),
        };
        self.known.push_back((self.numbers, start));
        self.note(heard_ns, device_ms);
    }

    fn note(&mut self, heard_ns: i64, device_ms: u64) {
        let Some((number, start)) = self.known.back_mut() else { return };
        self.last = Some(Stamp { start: *number, device_ms, heard_ns });
        start.take(heard_ns, device_ms);
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
    /// Takes a time of its own.
    fn take(&mut self, heard_ns: i64, device_ms: u64) {
        self.leap_ms = None;
        if device_ms >= self.last_ms {
            (self.last_ms, self.heard_ns) = (device_ms, heard_ns);
        }
        self.note(device_ms, heard_ns.saturating_sub(nanos(device_ms)));
    }

    /// Whether this clock, going on, may show this now.
    fn may_show(&self, heard_ns: i64, device_ms: u64) -> bool {
        let latest = self.last_ms.saturating_add(since(self.heard_ns, heard_ns)).saturating_add(AHEAD_MS);
        device_ms.saturating_add(SLACK_MS) >= self.last_ms && device_ms <= latest
    }

    /// What the device told, with the turns of its counter; and those.
    fn turned(&self, heard_ns: i64, told_ms: u64) -> (u64, u64) {
        let device_ms = told_ms.saturating_add(self.turns_ms);
        if told_ms >= WRAPS_MS {
            return (self.turns_ms, device_ms);
        }
        // A line of before the turn comes after one of after it.
        let earlier = device_ms.saturating_sub(WRAPS_MS);
        if self.turns_ms > 0 && !self.may_show(heard_ns, device_ms) && self.may_show(heard_ns, earlier) {
            return (self.turns_ms, earlier);
        }
        let later = device_ms.saturating_add(WRAPS_MS);
        if device_ms.saturating_add(SLACK_MS) < self.last_ms && self.may_show(heard_ns, later) {
            return (self.turns_ms.saturating_add(WRAPS_MS), later);
        }
        (self.turns_ms, device_ms)
    }

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

/// The time from one moment to the next, with what clocks may differ by: milliseconds.
fn since(from_ns: i64, to_ns: i64) -> u64 {
    let ms = u64::try_from(to_ns.saturating_sub(from_ns)).unwrap_or(0) / 1_000_000;
    ms.saturating_add(ms / 100)
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
        clock.starts_anew(900 * MS);
        assert_eq!(clock.line(1_000 * MS, 30), Shows::GoesOn);
        assert_eq!(clock.told().unwrap().starts, 2);
    }

    #[test]
    fn a_counter_of_32_bits_that_turns_is_no_start() {
        let mut clock = Clock::default();
        let lines = [4_294_966_900_u64, 4_294_967_200, 204, 504, 4_294_967_290, 804, 1_104, 1_404];
        for (n, ms) in lines.into_iter().enumerate() {
            let shows = clock.line(n as i64 * 300 * MS, ms);
            assert!(matches!(shows, Shows::GoesOn | Shows::Behind), "{ms}: {shows:?}");
        }
        assert_eq!(clock.told().unwrap().starts, 1);
        // A device that starts so late in its counter's turn is younger than the turn would be.
        let mut clock = Clock::default();
        clock.line(0, 4_294_960_000);
        let shows = [100, 200, 300].map(|ms| clock.line(ms * MS, 100 + ms as u64));
        assert_eq!(shows[2], Shows::Anew { heard_ns: 100 * MS });
    }

    #[test]
    fn a_start_after_which_the_time_of_before_goes_on_was_none() {
        // A banner, with the lines of another processor's start after it or without.
        for foreign in [&[][..], &[29, 300, 900, 1_500]] {
            let mut clock = Clock::default();
            clock.line(0, 921_034);
            clock.starts_anew(100 * MS);
            for (n, ms) in foreign.iter().enumerate() {
                clock.line((200 + 100 * n as i64) * MS, *ms);
            }
            assert_eq!(clock.line(1_100 * MS, 921_335), Shows::Odd);
            assert_eq!(clock.line(1_600 * MS, 921_835), Shows::NoStart { since_ns: 100 * MS });
            assert_eq!(clock.line(2_600 * MS, 922_835), Shows::GoesOn);
            assert_eq!(clock.told().unwrap().starts, 1);
        }
        // An old log that is printed again.
        let mut clock = Clock::default();
        clock.line(0, 921_034);
        let shows = [30, 500, 900, 921_335, 921_835].map(|ms| clock.line(500 * MS, ms));
        assert_eq!(shows[2], Shows::Anew { heard_ns: 500 * MS });
        assert_eq!(shows[4], Shows::NoStart { since_ns: 500 * MS });
    }

    #[test]
    fn another_clock_that_is_ahead_is_no_start_of_this_one() {
        let mut clock = Clock::default();
        let mut shows = Vec::new();
        for n in 0..20_i64 {
            shows.push(clock.line(n * 500 * MS, 5_000 + n as u64 * 500));
            // One line of the other, then two.
            for extra in 0..=(n % 2) {
                shows.push(clock.line((n * 500 + 100 + extra) * MS, 921_000 + n as u64 * 500));
            }
        }
        assert!(!shows.iter().any(|shows| matches!(shows, Shows::Anew { .. })), "{shows:?}");
        assert_eq!(clock.told().unwrap().starts, 1);
    }

    #[test]
    fn a_device_that_starts_again_and_again_and_runs_on_has_started() {
        let mut clock = Clock::default();
        clock.line(0, 60_000);
        let mut at = 1_000;
        for _ in 0..3 {
            clock.starts_anew(at * MS);
            for ms in (30..20_000).step_by(500) {
                assert_eq!(clock.line((at + 100) * MS + ms * MS, ms as u64), Shows::GoesOn);
            }
            at += 21_000;
        }
        for ms in (20_000..200_000).step_by(500) {
            assert_eq!(clock.line((at - 21_000 + 100 + ms) * MS, ms as u64), Shows::GoesOn);
        }
        assert_eq!(clock.told().unwrap().starts, 4);
    }

    proptest! {
        #[test]
        fn any_times_are_survived_in_bounded_memory(times in proptest::collection::vec((any::<i64>(), any::<u64>(), any::<bool>()), 0..300)) {
            let mut clock = Clock::default();
            for (heard, ms, anew) in times {
                if anew { clock.starts_anew(heard >> 2); }
                let _ = clock.line(heard >> 2, ms >> 24);
                let _ = (clock.told(), clock.said_ns(clock.last(), heard >> 2));
                prop_assert!(clock.known.len() <= STARTS && clock.new.len() < SURE);
                prop_assert!(clock.known.iter().all(|(_, start)| start.spans.len() <= SPANS));
            }
        }
    }
}
