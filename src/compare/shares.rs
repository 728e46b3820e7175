//! Whether two groups of runs differ in a share: how many of so many attempts failed, and the like.
//!
//! Failures come in bursts: what stalls one connection stalls those beside it. So they are counted as fewer than there
//! are: how far the runs of a group lie apart, beyond what independent failures would (Pearson's chi-square), divides
//! events and attempts alike (the effective sample size of Rao and Scott 1992). What remains goes into Fisher's exact
//! test, with Holm's procedure for the number of shares, and Newcombe's interval for the difference (1998, method 10).

use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, Normal};

use espstress_stats::significance::p_of_counts;

/// Fewest degrees of freedom that tell whether failures come in bursts.
const FEWEST_FREEDOM: usize = 3;
/// Chance with which the smallest visible difference is seen.
pub(super) const SEEN: f64 = 0.9;

/// Events among attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Events.
    pub(super) events: u64,
    /// Attempts, not fewer than events.
    pub(super) of: u64,
}

impl Counts {
    /// The attempts of the group that has fewer.
    pub(super) fn fewest(&self) -> u64 {
        Count::sum(&self.base.runs).of.min(Count::sum(&self.new.runs).of)
    }
}

impl Count {
    pub(super) const fn new(events: u64, of: u64) -> Self {
        Self { events: if events < of { events } else { of }, of }
    }

    fn share(self) -> Option<f64> {
        (self.of > 0).then(|| self.events as f64 / self.of as f64)
    }

    fn sum(counts: &[Self]) -> Self {
        counts.iter().fold(Self::default(), |a, b| Self { events: a.events + b.events, of: a.of + b.of })
    }

    fn reduced(self, by: f64) -> Self {
        Self::new((self.events as f64 / by).round() as u64, ((self.of as f64 / by).round() as u64).max(1))
    }
}

/// One group's counts, a run each.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// By run.
    pub(super) runs: Vec<Count>,
    /// By interval of the run, where there is one run only; empty where the report has no such series.
    pub(super) intervals: Vec<Count>,
}

/// Both groups' counts of one share.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) base: Group,
    pub(super) new: Group,
    /// Connections at once: as many as a burst may hold where nothing tells how large bursts are.
    pub(super) connections: u64,
}

/// The difference of one share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tested {
    pub(super) base: f64,
    pub(super) new: f64,
    /// Interval of the difference, new less base.
    pub(super) low: f64,
    pub(super) high: f64,
    /// Adjusted for the number of shares.
    pub(super) p: f64,
    /// Whether it is taken for a difference.
    pub(super) real: bool,
    /// The smallest increase that would have been seen, nine times of ten; `None` where not even all would.
    pub(super) visible: Option<f64>,
}

/// A share, ready to be tested.
struct Ready {
    base: Count,
    new: Count,
    /// The same as if each failure were independent of the others.
    effective: (Count, Count),
    p: f64,
}

/// Tests all shares together. `None` for one that a group hasn't counted.
pub(super) fn test(shares: &[Counts], level: f64) -> Vec<Option<Tested>> {
    let ready: Vec<Option<Ready>> = shares.iter().map(ready).collect();
    let mut order: Vec<(usize, f64)> =
        ready.iter().enumerate().filter_map(|(i, r)| Some((i, r.as_ref()?.p))).collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut tested = vec![None; shares.len()];
    let (mut p_before, mut left, mut going_on) = (0.0_f64, order.len(), true);
    for (i, p) in order {
        let Some(r) = &ready[i] else { continue };
        p_before = p_before.max((p * left as f64).min(1.0));
        let step = level / left as f64;
        going_on &= p_before <= level;
        let (low, high) = newcombe(r.effective.0, r.effective.1, z_of(step));
        let (base, new) = (r.base.share().unwrap_or(0.0), r.new.share().unwrap_or(0.0));
        // Counting by fewer rounds: the interval holds what was seen.
        let (low, high) = (low.min(new - base), high.max(new - base));
        let visible = visible(r.effective.0, r.effective.1.of, step);
        // The two tests are not the same one: a difference is one by both.
        let real = going_on && (low > 0.0 || high < 0.0);
        tested[i] = Some(Tested { base, new, low, high, p: p_before, real, visible });
        if going_on {
            left -= 1;
        }
    }
    tested
}

fn z_of(level: f64) -> f64 {
    Normal::standard().inverse_cdf(1.0 - level / 2.0)
}

fn ready(counts: &Counts) -> Option<Ready> {
    let (base, new) = (Count::sum(&counts.base.runs), Count::sum(&counts.new.runs));
    if base.of == 0 || new.of == 0 {
        return None;
    }
    let by = burst(counts);
    let effective = (base.reduced(by), new.reduced(by));
    let p = p_of_counts(effective.0.events, effective.0.of, effective.1.events, effective.1.of);
    Some(Ready { base, new, effective, p })
}

/// How many failures count as one: 1 where they come singly.
fn burst(counts: &Counts) -> f64 {
    if [&counts.base, &counts.new].iter().all(|g| Count::sum(&g.runs).events == 0) {
        return 1.0;
    }
    let (mut square, mut freedom) = (0.0, 0);
    for group in [&counts.base, &counts.new] {
        let blocks = if group.runs.len() > 1 { &group.runs } else { &group.intervals };
        let sum = Count::sum(blocks);
        // A group without failures shows nothing of how they come.
        let Some(share) = sum.share().filter(|s| *s > 0.0 && *s < 1.0) else { continue };
        let counted = blocks.iter().filter(|c| c.of > 0);
        for c in counted.clone() {
            let of = c.of as f64;
            square += (c.events as f64 - of * share).powi(2) / (of * share * (1.0 - share));
        }
        freedom += counted.count() - 1;
    }
    let by = if freedom > 0 { square / freedom as f64 } else { 1.0 };
    let unknown = freedom < FEWEST_FREEDOM;
    let least = if unknown { counts.connections.max(1) as f64 } else { 1.0 };
    by.max(least)
}

/// Wilson's interval of a share.
fn wilson(c: Count, z: f64) -> (f64, f64) {
    let (n, p) = (c.of as f64, c.share().unwrap_or(0.0));
    let zz = z * z;
    let middle = p + zz / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + zz / (4.0 * n * n)).sqrt();
    let under = 1.0 + zz / n;
    (((middle - half) / under).max(0.0), ((middle + half) / under).min(1.0))
}

/// Newcombe's hybrid score interval of the difference of two shares, new less base.
fn newcombe(base: Count, new: Count, z: f64) -> (f64, f64) {
    let (p1, p2) = (base.share().unwrap_or(0.0), new.share().unwrap_or(0.0));
    let ((l1, u1), (l2, u2)) = (wilson(base, z), wilson(new, z));
    let d = p2 - p1;
    (d - ((p2 - l2).powi(2) + (u1 - p1).powi(2)).sqrt(), d + ((u2 - p2).powi(2) + (p1 - l1).powi(2)).sqrt())
}

/// The smallest increase above the base's share that the test would have seen nine times of ten.
fn visible(base: Count, of: u64, level: f64) -> Option<f64> {
    let share = base.share()?;
    let (mut low, mut high) = ((share * of as f64) as u64, of);
    if p_of_counts(base.events, base.of, of, of) > level {
        return None;
    }
    // The fewest events that are too many.
    while low + 1 < high {
        let middle = u64::midpoint(low, high);
        if p_of_counts(base.events, base.of, middle, of) <= level { high = middle } else { low = middle }
    }
    let fewest = high;
    let seen = |p: f64| Binomial::new(p, of).map_or(0.0, |b| b.sf(fewest - 1));
    let (mut low, mut high) = (share, 1.0);
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if seen(middle) >= SEEN { high = middle } else { low = middle }
    }
    Some(high - share)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(events: &[u64], of: u64) -> Group {
        Group { runs: events.iter().map(|n| Count::new(*n, of)).collect(), intervals: Vec::new() }
    }

    fn counts(base: &[u64], new: &[u64], of: u64) -> Counts {
        Counts { base: group(base, of), new: group(new, of), connections: 4 }
    }

    #[test]
    fn newcombes_interval_is_the_papers() {
        // Newcombe 1998, table II, method 10: 56 of 70 and 48 of 80.
        let (low, high) = newcombe(Count::new(48, 80), Count::new(56, 70), 1.959_964);
        assert!((low - 0.0524).abs() < 1e-4 && (high - 0.3339).abs() < 1e-4, "{low} {high}");
    }

    #[test]
    fn failures_that_come_singly_count_as_they_are_and_a_burst_counts_as_one() {
        assert_eq!(burst(&counts(&[0; 5], &[0; 5], 500)), 1.0);
        assert_eq!(burst(&counts(&[0; 5], &[5, 4, 6, 5, 5], 500)), 1.0);
        let by = burst(&counts(&[0; 5], &[16, 0, 0, 0, 0], 500));
        assert!((15.0..17.0).contains(&by), "{by}");
        // Two runs don't show it: as many as there are connections may have failed together.
        assert_eq!(burst(&counts(&[0; 2], &[4, 4], 500)), 4.0);
    }

    #[test]
    fn one_in_a_hundred_is_found_and_as_many_in_one_burst_are_not() {
        let spread = counts(&[0; 5], &[5, 4, 6, 5, 5], 500);
        let burst = counts(&[0; 5], &[25, 0, 0, 0, 0], 500);
        let tested = test(&[spread, burst], 0.01);
        let (spread, burst) = (tested[0].unwrap(), tested[1].unwrap());
        assert!(spread.real && spread.low > 0.0, "{spread:?}");
        assert!(!burst.real && burst.low < 0.0, "{burst:?}");
    }

    #[test]
    fn the_smallest_visible_share_is_seen_nine_times_of_ten_by_count() {
        let tested = test(&[counts(&[0; 4], &[0; 4], 500)], 0.01)[0].unwrap();
        let visible = tested.visible.unwrap();
        // Eight of 2,000 are the fewest that Fisher's test takes for more than none at 1 %.
        assert!(p_of_counts(0, 2_000, 8, 2_000) < 0.01 && p_of_counts(0, 2_000, 7, 2_000) > 0.01);
        let seen = Binomial::new(visible, 2_000).unwrap().sf(7);
        assert!((seen - SEEN).abs() < 1e-6, "{seen}");
        assert!(tested.high < 0.01, "so few would show one in a hundred: {tested:?}");
    }

    #[test]
    fn a_side_without_attempts_is_not_tested() {
        assert_eq!(test(&[counts(&[], &[1], 10)], 0.01), [None]);
    }
}
