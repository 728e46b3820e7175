//! A series of a run, one row a second at first, coarser as it grows: never more than [`Series::MOST`] rows.

use hdrhistogram::Histogram;

use espstress_event::{Failure, FailureCounts};

/// What happened in one interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Start of the interval, nanoseconds since the start of the run.
    pub start_ns: u64,
    /// Length, nanoseconds.
    pub length_ns: u64,
    /// Attempts that ended in it.
    pub attempts: u64,
    /// Successes among them.
    pub succeeded: u64,
    /// Failures among them, by name.
    pub failures: FailureCounts,
    /// Application bytes, both directions.
    pub bytes: u64,
    /// Sum of the main phase's latencies, nanoseconds; with `succeeded` it gives the mean.
    pub latency_sum_ns: u128,
    /// Latencies in the sum.
    pub latency_count: u64,
    /// Longest of them, nanoseconds.
    pub latency_max_ns: u64,
    /// Their distribution, nanoseconds, to 1 part in 16: thousands of rows are held at once. `None` where there were none.
    latencies: Option<Box<Histogram<u32>>>,
}

impl Row {
    /// An interval in which nothing has happened yet.
    #[must_use]
    pub fn of(start_ns: u64, length_ns: u64) -> Self {
        Self { start_ns, length_ns, ..Self::default() }
    }

    /// Takes `count` latencies of `ns` nanoseconds of the main phase.
    pub fn latency(&mut self, ns: u64, count: u64) {
        self.latency_sum_ns += u128::from(ns) * u128::from(count);
        self.latency_count += count;
        self.latency_max_ns = self.latency_max_ns.max(ns);
        if self.latencies.is_none() {
            // One significant figure is a legal precision: this cannot fail.
            self.latencies = Histogram::new(1).ok().map(Box::new);
        }
        if let Some(h) = &mut self.latencies {
            // It grows with the values, and its counts saturate: this cannot fail.
            h.record_n(ns, u32::try_from(count).unwrap_or(u32::MAX)).unwrap_or_default();
        }
    }

    /// The latency at quantile `q` (0 to 1), nanoseconds, at most 1/16 too long; `None` when there was none.
    #[must_use]
    pub fn latency_quantile_ns(&self, q: f64) -> Option<u64> {
        let h = self.latencies.as_ref().filter(|h| !h.is_empty())?;
        Some(h.value_at_quantile(q).min(self.latency_max_ns))
    }

    fn absorb(&mut self, next: &Self) {
        self.length_ns = next.start_ns + next.length_ns - self.start_ns;
        self.attempts += next.attempts;
        self.succeeded += next.succeeded;
        self.failures.merge(&next.failures);
        self.bytes += next.bytes;
        self.latency_sum_ns += next.latency_sum_ns;
        self.latency_count += next.latency_count;
        self.latency_max_ns = self.latency_max_ns.max(next.latency_max_ns);
        match (&mut self.latencies, &next.latencies) {
            // Both resize themselves and saturate: adding cannot fail.
            (Some(all), Some(more)) => all.add(more.as_ref()).unwrap_or_default(),
            (all @ None, Some(more)) => *all = Some(more.clone()),
            (_, None) => {}
        }
    }

    /// Mean latency, nanoseconds; `None` when there was none.
    #[must_use]
    pub fn latency_mean_ns(&self) -> Option<u64> {
        let count = u128::from(self.latency_count);
        (count > 0).then(|| u64::try_from(self.latency_sum_ns / count).unwrap_or(u64::MAX))
    }

    /// Counts one ended attempt.
    pub(crate) fn attempt(&mut self, outcome: Result<(), Failure>) {
        self.attempts += 1;
        match outcome {
            Ok(()) => self.succeeded += 1,
            Err(failure) => self.failures.count(failure),
        }
    }
}

/// A bounded series of equal intervals.
#[derive(Clone, Debug)]
pub struct Series {
    rows: Vec<Row>,
    current: Row,
    interval_ns: u64,
}

impl Series {
    /// Rows at most; reaching it doubles the interval and halves the rows.
    pub(crate) const MOST: usize = 1_800;

    /// A series that starts at `start_ns` with rows of one second.
    #[must_use]
    pub(crate) fn new(start_ns: u64) -> Self {
        Self {
            rows: Vec::with_capacity(Self::MOST),
            current: Row { start_ns, ..Row::default() },
            interval_ns: 1_000_000_000,
        }
    }

    /// The row that is being filled.
    pub(crate) const fn current(&mut self) -> &mut Row {
        &mut self.current
    }

    /// Closes the current row if its interval is over; call it at least once an interval.
    pub(crate) fn roll(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.current.start_ns) >= self.interval_ns {
            self.close(now_ns);
        }
    }

    /// Takes a whole row that was made elsewhere, later than all before it; those of a series that has grown
    /// coarser are gathered into one.
    pub fn push(&mut self, row: Row) {
        let end = self.current.start_ns + self.current.length_ns;
        let follows = self.current.length_ns > 0 && row.start_ns <= end;
        if follows {
            self.current.absorb(&row);
        } else {
            self.flush();
            self.current = row;
        }
        // A clock's tick comes a little early at times: that is still a whole interval.
        if self.current.length_ns >= self.interval_ns / 10 * 9 {
            self.flush();
        }
    }

    /// Closes the row that [`Series::push`] gathers.
    pub fn flush(&mut self) {
        if self.current.length_ns == 0 {
            return;
        }
        let end = self.current.start_ns + self.current.length_ns;
        self.rows.push(std::mem::replace(&mut self.current, Row { start_ns: end, ..Row::default() }));
        if self.rows.len() >= Self::MOST {
            self.halve();
        }
    }

    /// Ends the series: what the last, shorter row holds is kept.
    pub(crate) fn finish(&mut self, now_ns: u64) {
        if now_ns > self.current.start_ns {
            self.close(now_ns);
        }
    }

    /// The closed rows in `N` parts of their time, each row where its middle lies: rows are not all as long, and the last may be
    /// a moment. `None` where a part has none.
    #[must_use]
    pub fn parts<const N: usize>(&self) -> Option<[Row; N]> {
        let (first, last) = (self.rows.first()?, self.rows.last()?);
        let whole = u128::from((last.start_ns + last.length_ns).saturating_sub(first.start_ns));
        let mut parts = [const { None::<Row> }; N];
        for row in &self.rows {
            let middle = u128::from((row.start_ns + row.length_ns / 2).saturating_sub(first.start_ns));
            let at = usize::try_from((middle * N as u128).checked_div(whole)?).unwrap_or(usize::MAX);
            match parts.get_mut(at.min(N - 1))? {
                Some(part) => part.absorb(row),
                part => *part = Some(row.clone()),
            }
        }
        parts.iter().all(Option::is_some).then(|| parts.map(Option::unwrap_or_default))
    }

    fn close(&mut self, now_ns: u64) {
        let mut row = std::mem::replace(&mut self.current, Row { start_ns: now_ns, ..Row::default() });
        row.length_ns = now_ns - row.start_ns;
        self.rows.push(row);
        if self.rows.len() >= Self::MOST {
            self.halve();
        }
    }

    fn halve(&mut self) {
        self.interval_ns *= 2;
        let half = self.rows.len() / 2;
        for i in 0..half {
            let second = std::mem::take(&mut self.rows[2 * i + 1]);
            let mut first = std::mem::take(&mut self.rows[2 * i]);
            first.absorb(&second);
            self.rows[i] = first;
        }
        if self.rows.len() % 2 == 1 {
            let last = self.rows.len() - 1;
            self.rows.swap(half, last);
            self.rows.truncate(half + 1);
        } else {
            self.rows.truncate(half);
        }
    }

    /// The closed rows.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn a_fortnight_stays_under_the_limit_and_loses_nothing() {
        let mut series = Series::new(0);
        let seconds = 14 * 86_400;
        for s in 0..seconds {
            series.current().attempt(Ok(()));
            series.current().bytes += 2;
            series.roll((s + 1) * S);
        }
        series.finish(seconds * S + 1);
        assert!(series.rows().len() <= Series::MOST, "{}", series.rows().len());
        assert_eq!(series.rows().iter().map(|r| r.attempts).sum::<u64>(), seconds);
        assert_eq!(series.rows().iter().map(|r| r.bytes).sum::<u64>(), 2 * seconds);
        let mut end = 0;
        for row in series.rows() {
            assert_eq!(row.start_ns, end, "rows follow each other without a gap");
            end = row.start_ns + row.length_ns;
        }
        assert_eq!(end, seconds * S + 1);
    }

    #[test]
    fn parts_are_parts_of_the_time_and_a_moment_at_the_end_is_none_of_its_own() {
        let mut series = Series::new(0);
        for s in 0..7 {
            series.current().latency((s + 1) * 1_000_000, 3);
            series.roll((s + 1) * S);
        }
        series.finish(7 * S + S / 50);
        let parts: [Row; 3] = series.parts().unwrap();
        assert_eq!(parts.each_ref().map(|part| part.latency_count), [6, 9, 6]);
        assert_eq!(parts.each_ref().map(|part| part.start_ns), [0, 2 * S, 5 * S]);
        assert_eq!(parts.each_ref().map(|part| part.length_ns), [2 * S, 3 * S, 2 * S + S / 50]);
        assert_eq!(parts.each_ref().map(|part| part.latency_max_ns), [2_000_000, 5_000_000, 7_000_000]);
        assert!(series.parts::<8>().is_none() && Series::new(0).parts::<2>().is_none());
    }

    #[test]
    fn an_interval_without_a_latency_has_no_mean() {
        assert_eq!(Row::default().latency_mean_ns(), None);
        assert_eq!(Row::default().latency_quantile_ns(0.5), None);
    }

    #[test]
    fn intervals_that_are_gathered_keep_their_distribution() {
        let mut all = Row { start_ns: 0, length_ns: S, ..Row::default() };
        let mut next = Row { start_ns: S, length_ns: S, ..Row::default() };
        all.latency(2_000_000, 90);
        next.latency(400_000_000, 10);
        all.absorb(&next);
        let near = |q, ns: u64| {
            let at = all.latency_quantile_ns(q).unwrap();
            assert!((ns..=ns + ns / 16).contains(&at), "{q}: {at}");
        };
        near(0.5, 2_000_000);
        near(0.9, 2_000_000);
        near(0.99, 400_000_000);
        assert_eq!(all.latency_quantile_ns(1.0), Some(400_000_000), "never beyond the longest");
    }
}
