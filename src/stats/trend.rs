//! The slope of a reading over time, or over requests, with an interval of confidence, and the step in it, from memory of
//! fixed size.
//!
//! Readings are averaged in batches, which grow as the run does; a straight line goes through the batches of each
//! start of the device, with one slope for all starts. Neighbouring batches that resemble each other carry less
//! than their number says, so the interval is widened by the correlation that the residuals show.

use espstress_event::{ReadingProgress, SlopeProgress};

/// A reading over what grows beside it: time in seconds, or requests.
#[derive(Clone, Debug, Default)]
pub struct Trend {
    /// Least value.
    pub min: Option<f64>,
    /// Greatest value.
    pub max: Option<f64>,
    /// First value.
    pub first: Option<f64>,
    /// Last value.
    pub last: Option<f64>,
    /// Mean of all values.
    pub(crate) mean: Option<f64>,
    /// Values taken.
    pub(crate) count: u64,
    batches: Vec<Batch>,
    /// Values that make a batch; a power of two.
    batch_size: u64,
    /// Starts of the device so far.
    start: u32,
}

#[derive(Clone, Copy, Debug)]
struct Batch {
    start: u32,
    count: u64,
    x_mean: f64,
    value_mean: f64,
    value_max: f64,
}

impl Batch {
    fn add(&mut self, other: &Self) {
        let (a, b) = (self.count as f64, other.count as f64);
        self.x_mean += (other.x_mean - self.x_mean) * b / (a + b);
        self.value_mean += (other.value_mean - self.value_mean) * b / (a + b);
        self.count += other.count;
        self.value_max = self.value_max.max(other.value_max);
    }
}

/// The highest values of a run's beginning, middle and end, a third of its batches each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceiling {
    /// Of the first third.
    pub first: f64,
    /// Of the second third.
    pub middle: f64,
    /// Of the last third.
    pub last: f64,
    /// Values in all.
    pub values: u64,
}

/// A slope and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrendEstimate {
    /// Change a second, or a request.
    pub slope: f64,
    /// Lower end of the 95 % confidence interval.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
}

/// A change at one place that stayed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// After how many seconds, or requests.
    pub at: f64,
    /// By how much.
    pub by: f64,
}

impl Trend {
    /// Batches at most.
    const MOST: usize = 128;

    /// Fewest degrees of freedom with which an interval is stated.
    const FEWEST_DEGREES: f64 = 4.0;

    /// The device has started anew: what it reads from now on says nothing about the time before.
    pub(crate) const fn restart(&mut self) {
        self.start += 1;
    }

    /// Takes a value; `x` does not go back from one to the next within a start.
    pub(crate) fn add(&mut self, x: f64, value: f64) {
        if !value.is_finite() || !x.is_finite() {
            return;
        }
        self.min = Some(self.min.map_or(value, |min| min.min(value)));
        self.max = Some(self.max.map_or(value, |max| max.max(value)));
        self.first.get_or_insert(value);
        self.last = Some(value);
        self.count += 1;
        let mean = self.mean.unwrap_or(0.0);
        self.mean = Some(mean + (value - mean) / self.count as f64);
        self.batch_size = self.batch_size.max(1);
        let one = Batch { start: self.start, count: 1, x_mean: x, value_mean: value, value_max: value };
        match self.batches.last_mut() {
            Some(last) if last.start == self.start && last.count < self.batch_size => last.add(&one),
            _ => {
                if self.batches.len() >= Self::MOST {
                    self.halve();
                }
                self.batches.push(one);
            }
        }
    }

    fn halve(&mut self) {
        self.batch_size *= 2;
        let mut halved: Vec<Batch> = Vec::with_capacity(Self::MOST);
        for batch in self.batches.drain(..) {
            match halved.last_mut() {
                Some(last) if last.start == batch.start && last.count + batch.count <= self.batch_size => {
                    last.add(&batch);
                }
                _ => halved.push(batch),
            }
        }
        // A device that restarts all the time leaves short starts that cannot be joined: the oldest go.
        let surplus = halved.len().saturating_sub(Self::MOST * 3 / 4);
        halved.drain(..surplus);
        self.batches = halved;
    }

    /// How the reading went so far; `None` without a value.
    #[must_use]
    pub fn progress(&self) -> Option<ReadingProgress> {
        let slope = self.estimate().map(|slope| SlopeProgress {
            per_second: slope.slope,
            low_per_second: slope.low,
            high_per_second: slope.high,
        });
        let (first, last) = (self.first?, self.last?);
        Some(ReadingProgress { first, last, min: self.min?, max: self.max?, mean: self.mean, slope })
    }

    /// The slope; `None` while there is too little to state an interval.
    #[must_use]
    pub fn estimate(&self) -> Option<TrendEstimate> {
        let starts: Vec<Line> = self
            .batches
            .chunk_by(|a, b| a.start == b.start)
            .filter(|batches| batches.len() > 2)
            .map(Line::of)
            .collect();
        let (xx, xy) = starts.iter().fold((0.0, 0.0), |(xx, xy), line| (xx + line.xx, xy + line.xy));
        let batches: usize = starts.iter().map(|line| line.batches.len()).sum();
        if xx <= 0.0 {
            return None;
        }
        let slope = xy / xx;
        let (mut squares, mut products, mut neighbours_squares) = (0.0, 0.0, 0.0);
        for line in &starts {
            let mut before: Option<f64> = None;
            for batch in line.batches {
                let weight = (batch.count as f64).sqrt();
                let residual = weight * line.residual(batch, slope);
                squares += residual * residual;
                if let Some(before) = before {
                    products += residual * before;
                    neighbours_squares += f64::midpoint(residual * residual, before * before);
                }
                before = Some(residual);
            }
        }
        let correlation = if neighbours_squares > 0.0 { products / neighbours_squares } else { 0.0 };
        let correlation = correlation.clamp(-0.99, 0.99);
        // A first-order autoregressive noise multiplies the variance of a slope by about this.
        let inflation = ((1.0 + correlation) / (1.0 - correlation)).max(1.0);
        let fitted = starts.len() as f64 + 1.0;
        let degrees = batches as f64 / inflation - fitted;
        let degrees = degrees.min(batches as f64 - fitted);
        if degrees < Self::FEWEST_DEGREES {
            return None;
        }
        let variance = squares / (batches as f64 - fitted) * inflation;
        let half = student_975(degrees) * (variance / xx).sqrt();
        Some(TrendEstimate { slope, low: slope - half, high: slope + half })
    }

    /// The highest values of the first, the second and the last third, of the batches that `counts` takes by their place;
    /// `None` with fewer than three.
    #[must_use]
    pub fn ceiling(&self, counts: impl Fn(f64) -> bool) -> Option<Ceiling> {
        let batches: Vec<&Batch> = self.batches.iter().filter(|batch| counts(batch.x_mean)).collect();
        let third = batches.len() / 3;
        let highest = |of: &[&Batch]| of.iter().map(|batch| batch.value_max).reduce(f64::max);
        Some(Ceiling {
            first: highest(&batches[..third])?,
            middle: highest(&batches[third..batches.len() - third])?,
            last: highest(&batches[batches.len() - third..])?,
            values: batches.iter().map(|batch| batch.count).sum(),
        })
    }

    /// The step by which the value changed, where one explains it far better than a line does; of several starts of the
    /// device, the greatest.
    #[must_use]
    pub fn step(&self) -> Option<Step> {
        let starts = self.batches.chunk_by(|a, b| a.start == b.start).filter(|batches| batches.len() > 3);
        starts.filter_map(|batches| Line::of(batches).step()).max_by(|a, b| a.by.abs().total_cmp(&b.by.abs()))
    }
}

/// The batches of one start of the device with their weighted sums.
struct Line<'a> {
    batches: &'a [Batch],
    x_mean: f64,
    value_mean: f64,
    xx: f64,
    xy: f64,
}

impl<'a> Line<'a> {
    fn of(batches: &'a [Batch]) -> Self {
        let weight: f64 = batches.iter().map(|batch| batch.count as f64).sum();
        let mean = |of: fn(&Batch) -> f64| {
            batches.iter().map(|batch| batch.count as f64 * of(batch)).sum::<f64>() / weight
        };
        let (x_mean, value_mean) = (mean(|batch| batch.x_mean), mean(|batch| batch.value_mean));
        let (mut xx, mut xy) = (0.0, 0.0);
        for batch in batches {
            let x = batch.x_mean - x_mean;
            xx += batch.count as f64 * x * x;
            xy += batch.count as f64 * x * (batch.value_mean - value_mean);
        }
        Self { batches, x_mean, value_mean, xx, xy }
    }

    /// The step between two levels, where those leave a quarter or less of what the line leaves: a true step leaves noise
    /// alone, and what falls over a fifth of the run or more leaves as much as the line.
    fn step(&self) -> Option<Step> {
        const BETTER: f64 = 4.0;
        let slope = if self.xx > 0.0 { self.xy / self.xx } else { 0.0 };
        let of_line: f64 =
            self.batches.iter().map(|b| b.count as f64 * self.residual(b, slope).powi(2)).sum();
        let all: f64 =
            self.batches.iter().map(|b| b.count as f64 * (b.value_mean - self.value_mean).powi(2)).sum();
        let weight: f64 = self.batches.iter().map(|b| b.count as f64).sum();
        let (mut before, mut sum) = (0.0, 0.0);
        let splits = self.batches.windows(2).map(|pair| {
            before += pair[0].count as f64;
            sum += pair[0].count as f64 * (pair[0].value_mean - self.value_mean);
            let by = -sum / (weight - before) - sum / before;
            // What the two levels explain of the whole.
            let explained = by * by * before * (weight - before) / weight;
            (all - explained, Step { at: f64::midpoint(pair[0].x_mean, pair[1].x_mean), by })
        });
        let (left, step) = splits.min_by(|a, b| a.0.total_cmp(&b.0))?;
        (all > 0.0 && left.max(0.0) * BETTER <= of_line).then_some(step)
    }

    fn residual(&self, batch: &Batch, slope: f64) -> f64 {
        batch.value_mean - self.value_mean - slope * (batch.x_mean - self.x_mean)
    }
}

/// The 97.5 % quantile of Student's distribution: Cornish-Fisher's expansion, off by less than 1 % from four
/// degrees of freedom on.
fn student_975(degrees: f64) -> f64 {
    const Z: f64 = 1.959_963_985;
    let (z3, z5, z7) = (Z.powi(3), Z.powi(5), Z.powi(7));
    Z + (z3 + Z) / (4.0 * degrees)
        + (5.0 * z5 + 16.0 * z3 + 3.0 * Z) / (96.0 * degrees.powi(2))
        + (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * Z) / (384.0 * degrees.powi(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plain generator, so that the figures are the same everywhere.
    struct Noise(u64);

    impl Noise {
        /// Sum of uniform numbers, variance 1, mean 0.
        fn next(&mut self) -> f64 {
            let mut sum = -6.0;
            for _ in 0..12 {
                self.0 =
                    self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                sum += (self.0 >> 11) as f64 / (1u64 << 53) as f64;
            }
            sum
        }
    }

    /// Readings each second: a slope, and noise that remembers `memory` of the second before.
    fn trend(seed: u64, seconds: u32, slope: f64, memory: f64) -> Trend {
        let (mut noise, mut trend, mut state) = (Noise(seed), Trend::default(), 0.0);
        for second in 0..seconds {
            state = memory * state + 500.0 * noise.next();
            trend.add(second.into(), 100_000.0 + slope * f64::from(second) + state);
        }
        trend
    }

    /// Whether the whole interval lies below zero.
    fn falls(estimate: &TrendEstimate) -> bool {
        estimate.high < 0.0
    }

    /// Whether the whole interval lies above zero.
    fn rises(estimate: &TrendEstimate) -> bool {
        estimate.low > 0.0
    }

    #[test]
    fn the_quantile_is_the_tables() {
        for (degrees, value) in [(4.0, 2.776), (10.0, 2.228), (30.0, 2.042), (120.0, 1.980)] {
            assert!((student_975(degrees) / value - 1.0).abs() < 0.01, "{degrees}");
        }
    }

    #[test]
    fn a_leak_under_noise_is_found_with_its_rate() {
        let estimate = trend(1, 3_600, -10.0, 0.0).estimate().unwrap();
        assert!(falls(&estimate), "{estimate:?}");
        assert!(estimate.low <= -10.0 && -10.0 <= estimate.high, "{estimate:?}");
    }

    #[test]
    fn noise_alone_is_called_a_trend_about_as_often_as_the_confidence_says() {
        for memory in [0.0, 0.9] {
            let wrong = (0..400)
                .filter_map(|seed| trend(seed, 600, 0.0, memory).estimate())
                .filter(|estimate| falls(estimate) || rises(estimate))
                .count();
            // 5 % of 400 is 20; the correction is an approximation, so twice that is allowed.
            assert!(wrong <= 40, "memory {memory}: {wrong} of 400");
        }
    }

    #[test]
    fn a_restart_is_no_slope() {
        let (mut trend, mut noise) = (Trend::default(), Noise(3));
        for start in 0..10 {
            for second in 0..60 {
                let level = 100_000.0 - f64::from(start) * 5_000.0;
                trend.add(f64::from(start * 60 + second), level + 100.0 * noise.next());
            }
            trend.restart();
        }
        let estimate = trend.estimate().unwrap();
        assert!(!falls(&estimate) && !rises(&estimate), "{estimate:?}");
    }

    /// A hundred readings of a level, with noise of 100 bytes.
    fn level(of: impl Fn(f64) -> f64) -> Trend {
        let (mut trend, mut noise) = (Trend::default(), Noise(5));
        (0..100).map(f64::from).for_each(|x| trend.add(x, of(x) + 100.0 * noise.next()));
        trend
    }

    #[test]
    fn a_step_is_told_with_its_time_and_its_size() {
        for at in [10.0, 41.0, 90.0] {
            let step = level(|x| if x < at { 100_000.0 } else { 88_000.0 }).step().unwrap();
            assert!((step.at - at).abs() <= 1.0 && (step.by + 12_000.0).abs() < 200.0, "{step:?}");
        }
    }

    #[test]
    fn a_slope_a_late_slope_and_one_that_ends_are_no_steps() {
        for (from, to) in [(0.0, 100.0), (50.0, 100.0), (33.0, 66.0), (0.0, 20.0)] {
            let trend = level(|x| 100_000.0 - 120.0 * (x.clamp(from, to) - from));
            assert_eq!(trend.step(), None, "from {from} to {to}");
        }
        assert_eq!(level(|_| 100_000.0).step(), None, "noise");
    }

    #[test]
    fn a_ceiling_is_what_the_readings_come_back_to_however_many_there_are() {
        for readings in [12_u32, 1_000, 100_000] {
            let mut trend = Trend::default();
            for n in 0..readings {
                let lost = f64::from(n / (readings / 4)) * 1_000.0;
                trend.add(n.into(), if n % 2 == 0 { 50_000.0 - lost } else { 30_000.0 });
            }
            let ceiling = trend.ceiling(|_| true).unwrap();
            assert_eq!((ceiling.first, ceiling.last), (50_000.0, 48_000.0), "{readings}: {ceiling:?}");
            assert_eq!(ceiling.values, u64::from(readings));
            assert!(trend.ceiling(|x| x < f64::from(readings) / 200.0).is_none() || readings > 300);
        }
        assert_eq!(Trend::default().ceiling(|_| true), None);
    }

    #[test]
    fn two_weeks_stay_within_the_batches_and_constant_readings_have_slope_zero() {
        let mut trend = Trend::default();
        for second in 0..1_209_600 {
            trend.add(second.into(), 7.0);
        }
        assert!(trend.batches.len() <= Trend::MOST);
        assert_eq!(trend.estimate().map(|estimate| estimate.slope), Some(0.0));
    }

    #[test]
    fn a_handful_of_readings_gives_no_interval() {
        assert_eq!(trend(1, 5, -10.0, 0.0).estimate(), None);
    }
}
