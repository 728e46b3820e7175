//! Whether two groups of runs differ in what was measured once a run: by permuting whole runs.
//!
//! A run is the unit of chance. Thousands of attempts inside a run share its moment (what else the machine did, how the
//! air was), so they say how exact the figure of that run is and nothing of how far the next run will lie from it.
//!
//! The figure of a run enters as its logarithm, so that differences are ratios. Of each group the trimmed mean is
//! taken, in groups of five runs and more without the quarter at each end: one run that met a busy moment moves nothing.
//! The difference is held against its winsorised standard error (Yuen 1974). How great that quotient gets by chance
//! comes from the runs: their distances from the mean of their own group are dealt out to the two groups anew, in all
//! ways or in [`DRAWS`] drawn ones. (Dealing out the figures themselves would not do: a trimmed mean does not notice
//! when one run of a real change is dealt to the other side, so that many deals look as extreme as what was seen.)
//! All figures are dealt together, and the greatest quotient among those not yet decided is what each has to exceed:
//! Holm's step-down procedure with the dependence between the figures as it is in the data (Westfall and Young 1993,
//! "step-down maxT").
//!
//! Where there are too few runs for a permutation to be that rare, Student's distribution and Holm's procedure without
//! the dependence take its place, at a stricter level; they presume that runs scatter normally.
//!
//! Neither presumption holds on a machine that is busy at times, where the runs lie in two heaps. So a difference has to
//! be in the order of the runs as well: the rank-sum test, which presumes nothing, has to find it unlikely, and where
//! there are too few runs for that no base run may lie among the new ones.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use statrs::distribution::{ContinuousCDF, StudentsT};

use espstress_stats::significance::{p_of_z, rank_sum_of_samples};

/// Labellings that are drawn where there are more of them.
pub(super) const DRAWS: usize = 2_000;
/// Fewest runs of a group of which the ends are left out.
const TRIM_FROM: usize = 5;
/// Share of the level that Student's distribution is given: three runs of a busy machine lie close together more often
/// than it knows of. Of 200 pairs of three twin runs under load 9 were called changed at the whole level of 2 %.
const STUDENT_SHARE: f64 = 0.25;
/// Degrees of freedom below which nothing is said: two runs of each group lie close together by luck, and on a busy
/// machine apart from the other two.
const LEAST_FREEDOM: usize = 3;
/// Probability by the order of the runs below which a difference can be one.
const ORDER: f64 = 0.02;
/// Scatter of a run's figure that is allowed for in any case: histograms have three significant figures, and two runs
/// that agree to the digit by luck are no proof of a device without scatter.
const FLOOR: f64 = 0.003;

/// The logarithms of one figure, a run each: the base's runs first; `None` where a run has not measured it.
pub(super) type Logs = Vec<Option<f64>>;

/// How the critical values were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Critical {
    /// By so many labellings of the runs.
    Permutations(usize),
    /// From Student's distribution.
    Student,
}

/// The difference of the two groups in one figure, in logarithms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shift {
    /// The base's trimmed mean.
    pub(super) base: f64,
    /// The new group's less the base's.
    pub(super) estimate: f64,
    /// Its standard error.
    pub(super) error: f64,
    /// Degrees of freedom that this rests on; 0 where nothing shows how runs scatter.
    pub(super) freedom: usize,
}

impl Shift {
    /// The difference in standard errors.
    fn statistic(self) -> f64 {
        if self.freedom == 0 { 0.0 } else { self.estimate.abs() / self.error }
    }
}

/// One figure's difference with what it was held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tested {
    /// The difference.
    pub(super) shift: Shift,
    /// Standard errors from which a difference is taken for one; `None` where the runs can't show any.
    pub(super) critical: Option<f64>,
    /// Probability of such a difference if there were none, adjusted for the number of figures.
    pub(super) p: f64,
    /// Whether the runs lie in an order that chance hardly makes.
    pub(super) ordered: bool,
}

/// Tests all figures together, `bases` of the runs being the base's, so that a difference is seen in any of them with
/// probability `level` at most where there is none. `None` for a figure that one of the groups hasn't measured.
pub(super) fn test(
    figures: &[Logs],
    bases: usize,
    runs: usize,
    level: f64,
    seed: u64,
) -> (Critical, Vec<Option<Tested>>) {
    let mut room = Room::default();
    let seen: Vec<bool> = (0..runs).map(|run| run >= bases).collect();
    let shifts: Vec<Option<Shift>> = figures.iter().map(|logs| room.shift(&sorted(logs), &seen)).collect();
    let ordered: Vec<bool> = figures.iter().map(|logs| ordered(logs, bases)).collect();
    let labellings = labellings(bases, runs, seed);
    // What was seen is one of them.
    let allowed = (level * (labellings.len() + 1) as f64) as usize;
    if allowed >= 1 {
        let centred = figures.iter().zip(&shifts).map(|(logs, shift)| sorted(&centred(logs, *shift, bases)));
        let tested = permuted(&centred.collect::<Vec<_>>(), &shifts, &ordered, &labellings, allowed);
        (Critical::Permutations(labellings.len()), tested)
    } else {
        (Critical::Student, student(&shifts, &ordered, level * STUDENT_SHARE))
    }
}

fn ordered(logs: &Logs, bases: usize) -> bool {
    let of = |part: &[Option<f64>]| part.iter().flatten().copied().collect::<Vec<f64>>();
    let (base, new) = (of(&logs[..bases]), of(&logs[bases..]));
    let ends = |xs: &[f64]| {
        xs.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(*x), high.max(*x)))
    };
    let (base_ends, new_ends) = (ends(&base), ends(&new));
    let apart = base_ends.1 < new_ends.0 || new_ends.1 < base_ends.0;
    apart || rank_sum_of_samples(&base, &new).is_some_and(|z| p_of_z(z) <= ORDER)
}

/// Each run's distance from the mean of its group.
fn centred(logs: &Logs, shift: Option<Shift>, bases: usize) -> Logs {
    let Some(shift) = shift else { return Logs::new() };
    let mean = |run: usize| if run < bases { shift.base } else { shift.base + shift.estimate };
    logs.iter().enumerate().map(|(run, x)| x.map(|x| x - mean(run))).collect()
}

fn sorted(logs: &Logs) -> Vec<(f64, usize)> {
    let mut values: Vec<_> = logs.iter().enumerate().filter_map(|(run, x)| Some(((*x)?, run))).collect();
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    values
}

/// What a difference is computed in: kept, since it is computed some ten thousand times.
#[derive(Default)]
struct Room {
    base: Vec<f64>,
    new: Vec<f64>,
}

impl Room {
    fn shift(&mut self, sorted: &[(f64, usize)], is_new: &[bool]) -> Option<Shift> {
        self.base.clear();
        self.new.clear();
        for (value, run) in sorted {
            if is_new[*run] { &mut self.new } else { &mut self.base }.push(*value);
        }
        let (a, b) = (Trimmed::of(&self.base)?, Trimmed::of(&self.new)?);
        let freedom = a.kept + b.kept - 2;
        let variance = if freedom > 0 { (a.squares + b.squares) / freedom as f64 } else { 0.0 };
        let error = ((variance + FLOOR * FLOOR) * (1.0 / a.kept as f64 + 1.0 / b.kept as f64)).sqrt();
        Some(Shift { base: a.mean, estimate: b.mean - a.mean, error, freedom })
    }
}

/// A group's location, and its winsorised sum of squares.
struct Trimmed {
    kept: usize,
    mean: f64,
    squares: f64,
}

impl Trimmed {
    fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        let cut = if n >= TRIM_FROM { n / 4 } else { 0 };
        let kept = values.get(cut..n - cut).filter(|kept| !kept.is_empty())?;
        let (first, last) = (*kept.first()?, *kept.last()?);
        let mean = kept.iter().sum::<f64>() / kept.len() as f64;
        let ends = cut as f64;
        let winsorised = (kept.iter().sum::<f64>() + ends * (first + last)) / n as f64;
        let square = |x: f64| (x - winsorised) * (x - winsorised);
        let squares = kept.iter().copied().map(square).sum::<f64>() + ends * (square(first) + square(last));
        Some(Self { kept: kept.len(), mean, squares })
    }
}

/// Ways to call `bases` of `runs` the base, as "is new" by run. All of them, or [`DRAWS`] at random.
fn labellings(bases: usize, runs: usize, seed: u64) -> Vec<Vec<bool>> {
    let seen: Vec<bool> = (0..runs).map(|run| run >= bases).collect();
    let mut all = vec![seen.clone()];
    if ways(bases, runs).is_some_and(|ways| ways <= DRAWS) {
        let mut current = seen;
        while next_labelling(&mut current) {
            all.push(current.clone());
        }
    } else {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut current = seen;
        for _ in 1..DRAWS {
            for i in (1..runs).rev() {
                // The bias of a remainder is below runs / 2^64.
                let j = (random.next_u64() % (i as u64 + 1)) as usize;
                current.swap(i, j);
            }
            all.push(current.clone());
        }
    }
    all
}

/// The next greater arrangement of the same labels (Narayana Pandita's algorithm); false after the last.
fn next_labelling(labels: &mut [bool]) -> bool {
    let Some(i) = (1..labels.len()).rev().find(|i| !labels[i - 1] & labels[*i]) else { return false };
    let Some(j) = (i..labels.len()).rev().find(|j| labels[*j]) else { return false };
    labels.swap(i - 1, j);
    labels[i..].reverse();
    true
}

/// Binomial coefficient; `None` where it is far beyond [`DRAWS`].
fn ways(bases: usize, runs: usize) -> Option<usize> {
    let mut ways = 1usize;
    for i in 0..bases.min(runs - bases) {
        ways = ways.checked_mul(runs - i)? / (i + 1);
        if ways > 1 << 32 {
            return None;
        }
    }
    Some(ways)
}

/// Step-down maxT. What was seen and `allowed` - 1 labellings may exceed a critical value.
fn permuted(
    centred: &[Vec<(f64, usize)>],
    shifts: &[Option<Shift>],
    ordered: &[bool],
    labellings: &[Vec<bool>],
    allowed: usize,
) -> Vec<Option<Tested>> {
    let mut order: Vec<(usize, f64)> =
        shifts.iter().enumerate().filter_map(|(i, s)| Some((i, (*s)?.statistic()))).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    // Of each labelling the greatest statistic among the figures from a step on.
    let mut greatest: Vec<Vec<f64>> = vec![Vec::with_capacity(labellings.len()); order.len()];
    let mut room = Room::default();
    for is_new in labellings {
        let mut so_far = 0.0_f64;
        for (step, (figure, _)) in order.iter().enumerate().rev() {
            let one = room.shift(&centred[*figure], is_new).map_or(0.0, Shift::statistic);
            so_far = so_far.max(one);
            greatest[step].push(so_far);
        }
    }
    let mut tested = vec![None; shifts.len()];
    let mut p_before = 0.0_f64;
    let mut stopped: Option<f64> = None;
    for (step, (figure, statistic)) in order.iter().enumerate() {
        let column = &mut greatest[step];
        let reached = 1 + column.iter().filter(|t| **t >= *statistic).count();
        p_before = p_before.max(reached as f64 / (labellings.len() + 1) as f64);
        let critical = stopped.unwrap_or_else(|| {
            column.sort_by(|a, b| b.total_cmp(a));
            column.get(allowed - 1).copied().unwrap_or(f64::INFINITY)
        });
        if *statistic <= critical {
            stopped = Some(critical);
        }
        let Some(shift) = shifts[*figure] else { continue };
        let critical = (shift.freedom > 0).then_some(critical);
        tested[*figure] = Some(Tested { shift, critical, p: p_before, ordered: ordered[*figure] });
    }
    tested
}

/// Holm's procedure over Student's distribution.
fn student(shifts: &[Option<Shift>], ordered: &[bool], level: f64) -> Vec<Option<Tested>> {
    let of = |freedom: usize| StudentsT::new(0.0, 1.0, freedom as f64).ok();
    let enough = |s: Shift| s.freedom >= LEAST_FREEDOM;
    let p = |s: Shift| of(s.freedom).filter(|_| enough(s)).map_or(1.0, |t| 2.0 * t.sf(s.statistic()));
    let mut order: Vec<(usize, f64)> =
        shifts.iter().enumerate().filter_map(|(i, s)| Some((i, p((*s)?)))).collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut tested = vec![None; shifts.len()];
    let (mut p_before, mut left) = (0.0_f64, order.len());
    let mut going_on = true;
    for (figure, p) in order.iter().copied() {
        let Some(shift) = shifts[figure] else { continue };
        p_before = p_before.max((p * left as f64).min(1.0));
        let critical = of(shift.freedom).map(|t| t.inverse_cdf(1.0 - level / (2.0 * left as f64)));
        let critical = critical.filter(|c| c.is_finite() && enough(shift));
        tested[figure] = Some(Tested { shift, critical, p: p_before, ordered: ordered[figure] });
        going_on &= p_before <= level;
        if going_on {
            left -= 1;
        }
    }
    tested
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(values: &[f64]) -> Logs {
        values.iter().map(|x| Some(x.ln())).collect()
    }

    #[test]
    fn every_labelling_is_made_once() {
        let all = labellings(2, 5, 1);
        assert_eq!(all.len(), 10);
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), 10);
        assert!(all.iter().all(|l| l.iter().filter(|new| **new).count() == 3));
        assert_eq!(labellings(12, 24, 1).len(), DRAWS);
    }

    #[test]
    fn the_trimmed_mean_and_its_winsorised_squares_are_the_textbooks() {
        // 1 to 10 without two at each end (a quarter, rounded down); winsorised 3 3 3 4 5 6 7 8 8 8.
        let values: Vec<f64> = (1..=10).map(f64::from).collect();
        let t = Trimmed::of(&values).unwrap();
        assert_eq!((t.kept, t.mean), (6, 5.5));
        assert!((t.squares - 42.5).abs() < 1e-9, "{}", t.squares);
        assert_eq!(Trimmed::of(&[1.0, 2.0, 9.0]).unwrap().mean, 4.0);
    }

    #[test]
    fn five_slower_runs_are_told_from_five_others_and_one_busy_run_changes_nothing() {
        let mut runs = vec![100.0, 101.0, 99.0, 100.5, 99.5, 110.0, 111.0, 109.0, 110.5, 109.5];
        for busy in [None, Some(160.0)] {
            if let Some(busy) = busy {
                runs[9] = busy;
            }
            let (how, tested) = test(&[logs(&runs)], 5, 10, 0.01, 1);
            assert_eq!(how, Critical::Permutations(252));
            let t = tested[0].unwrap();
            assert!(t.ordered && t.shift.statistic() > t.critical.unwrap(), "{t:?}");
            assert!((1.09..1.12).contains(&t.shift.estimate.exp()), "{t:?}");
        }
    }

    #[test]
    fn a_busy_base_run_above_the_new_ones_leaves_it_open() {
        let runs = [100.0, 101.0, 99.0, 100.5, 160.0, 110.0, 111.0, 109.0, 110.5, 109.5];
        let (_, tested) = test(&[logs(&runs)], 5, 10, 0.01, 1);
        assert!(!tested[0].unwrap().ordered);
    }

    #[test]
    fn a_single_pair_has_no_critical_value() {
        let (how, tested) = test(&[logs(&[100.0, 900.0])], 1, 2, 0.01, 1);
        assert_eq!((how, tested[0].unwrap().critical), (Critical::Student, None));
    }

    #[test]
    fn more_figures_ask_for_more() {
        let real = logs(&[100.0, 101.0, 99.0, 103.0, 104.0, 102.0]);
        let noise =
            |k: usize| (0..k).map(|i| logs(&[90.0, 110.0 + i as f64, 100.0, 95.0, 105.0, 99.0])).collect();
        let critical = |k: usize| {
            let mut figures: Vec<Logs> = noise(k);
            figures.push(real.clone());
            test(&figures, 3, 6, 0.01, 1).1[k].unwrap().critical.unwrap()
        };
        assert!(critical(0) < critical(1) && critical(1) < critical(20));
    }

    #[test]
    fn a_figure_that_one_group_has_not_measured_is_left_out_of_the_test() {
        let missing = vec![Some(1.0), Some(1.1), None, None];
        let (_, tested) = test(&[missing, logs(&[1.0, 2.0, 3.0, 4.0])], 2, 4, 0.01, 1);
        assert!(tested[0].is_none() && tested[1].is_some());
    }
}
