//! Whether a difference is one: tests on distributions and on counts. Pure arithmetic.

use hdrhistogram::Histogram;

/// The interval in which the true quantile `q` lies, by order statistics: `z` 1.96 for 95 %, 2.58 for 99 %.
/// `None` with too few records for the interval to end inside them.
#[must_use]
pub fn quantile_interval(h: &Histogram<u64>, q: f64, z: f64) -> Option<(u64, u64)> {
    let n = h.len() as f64;
    let half = z * (n * q * (1.0 - q)).sqrt();
    let (low, high) = (n * q - half, n * q + half + 1.0);
    (n > 0.0 && low >= 1.0 && high <= n)
        .then(|| (h.value_at_quantile(low / n), h.value_at_quantile(high / n)))
}

/// Mann-Whitney test on two small samples: positive when `b` tends to be greater, in standard errors. The normal
/// approximation with the correction for ties. `None` when a side is empty or all values are equal.
#[must_use]
pub fn rank_sum_of_samples(a: &[f64], b: &[f64]) -> Option<f64> {
    let finite = |xs: &[f64]| -> Vec<f64> { xs.iter().copied().filter(|x| x.is_finite()).collect() };
    let (a, b) = (finite(a), finite(b));
    let (na, nb) = (a.len() as f64, b.len() as f64);
    let n = na + nb;
    // Pairs in which b is greater count whole, ties half.
    let pairs = b.iter().flat_map(|y| a.iter().map(move |x| (x, y)));
    let u_b: f64 = pairs
        .map(|(x, y)| match x.total_cmp(y) {
            std::cmp::Ordering::Less => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Greater => 0.0,
        })
        .sum();
    let mut all = [a, b].concat();
    all.sort_by(f64::total_cmp);
    let ties: f64 = all
        .chunk_by(|x, y| x.total_cmp(y).is_eq())
        .map(|same| same.len() as f64)
        .map(|t| t * t * t - t)
        .sum();
    let variance = na * nb / 12.0 * ((n + 1.0) - ties / (n * (n - 1.0)));
    (na > 0.0 && nb > 0.0 && variance > 0.0).then(|| (u_b - na * nb / 2.0) / variance.sqrt())
}

/// Two-sided probability of a deviation of at least `z` standard errors, if there were no difference.
#[must_use]
pub fn p_of_z(z: f64) -> f64 {
    erfc(z.abs() / std::f64::consts::SQRT_2).clamp(0.0, 1.0)
}

/// Complementary error function of a value >= 0 (Abramowitz and Stegun 7.1.26; off by less than 1.5e-7).
fn erfc(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let poly = t
        * (0.254_829_592
            + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    poly * (-x * x).exp()
}

/// Two-sided probability that `k1` of `n1` and `k2` of `n2` differ at least as much by chance: Fisher's exact
/// test for few events, the normal approximation for many. 1 when a side has no trial.
#[must_use]
pub fn p_of_counts(k1: u64, n1: u64, k2: u64, n2: u64) -> f64 {
    let (k1, k2) = (k1.min(n1), k2.min(n2));
    let k = k1 + k2;
    if n1 == 0 || n2 == 0 || k == 0 || k == n1 + n2 {
        return 1.0;
    }
    if k.min(n1 + n2 - k) > EXACT_UP_TO {
        let (n1, n2) = (n1 as f64, n2 as f64);
        let pooled = k as f64 / (n1 + n2);
        let error = (pooled * (1.0 - pooled) * (1.0 / n1 + 1.0 / n2)).sqrt();
        return p_of_z((k2 as f64 / n2 - k1 as f64 / n1) / error);
    }
    // Turned round where the events are the greater part, so that the sum stays short.
    let (k1, k) = if k <= n1 + n2 - k { (k1, k) } else { (n1 - k1, n1 + n2 - k) };
    let log_p = |i: u64| ln_choose(n1, i) + ln_choose(n2, k - i) - ln_choose(n1 + n2, k);
    let seen = log_p(k1);
    let (from, to) = (k.saturating_sub(n2), k.min(n1));
    let p: f64 = (from..=to).map(log_p).filter(|p| *p <= seen + 1e-7).map(f64::exp).sum();
    p.min(1.0)
}

/// Events up to which the exact test is used.
const EXACT_UP_TO: u64 = 5_000;

fn ln_choose(n: u64, k: u64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// Exact by summing up to 20, Stirling's series beyond.
fn ln_factorial(n: u64) -> f64 {
    if n <= 20 {
        return (2..=n).map(|i| (i as f64).ln()).sum();
    }
    let x = n as f64 + 1.0;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + 1.0 / (12.0 * x)
        - 1.0 / (360.0 * x.powi(3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Latency;

    fn ramp(n: u64, offset: u64) -> Latency {
        let mut l = Latency::default();
        (0..n).for_each(|i| l.record(1_000_000 + offset + (i * 7_919) % 500_000));
        l
    }

    /// Values of 1.0 to 1.5 ms in no order, so many of them, moved by `offset` ms.
    fn samples(n: u32, offset: f64) -> Vec<f64> {
        (0..n).map(|i| 1.0 + offset + f64::from(i * 7_919 % 500) / 1_000.0).collect()
    }

    #[test]
    fn the_same_distribution_shows_no_difference() {
        let z = rank_sum_of_samples(&samples(200, 0.0), &samples(300, 0.0)).unwrap();
        assert!(p_of_z(z) > 0.5, "{z}");
    }

    #[test]
    fn a_shift_is_seen_with_its_sign() {
        let (a, b) = (samples(200, 0.0), samples(200, 0.1));
        let (up, down) = (rank_sum_of_samples(&a, &b).unwrap(), rank_sum_of_samples(&b, &a).unwrap());
        assert!(up > 5.0 && (up + down).abs() < 1e-6, "{up} {down}");
    }

    #[test]
    fn ties_make_the_variance_smaller() {
        // Two ties of two: n = 4, variance 2 * 2 / 12 * (5 - (6 + 6) / 12) = 4 / 3; U = 1 + 0.5 + 1 + 0.5 of 4, less 2.
        let z = rank_sum_of_samples(&[1.0, 2.0], &[2.0, 1.0]).unwrap();
        assert_eq!(z, 0.0);
        let z = rank_sum_of_samples(&[1.0, 1.0], &[2.0, 2.0]).unwrap();
        assert!((z - 2.0 / (4.0_f64 / 3.0).sqrt()).abs() < 1e-9, "{z}");
        assert_eq!(rank_sum_of_samples(&[1.0], &[]), None);
        assert_eq!(rank_sum_of_samples(&[1.0, 1.0], &[1.0]), None);
    }

    #[test]
    fn the_rank_sum_of_a_small_sample_is_the_textbooks() {
        // U = 23 of 25 pairs, n = 5 and 5: z = (23 - 12.5) / sqrt(25 * 11 / 12).
        let z = rank_sum_of_samples(&[1.0, 2.0, 3.0, 4.0, 7.0], &[5.0, 6.0, 8.0, 9.0, 10.0]).unwrap();
        assert!((z - 10.5 / (25.0_f64 * 11.0 / 12.0).sqrt()).abs() < 1e-9, "{z}");
    }

    #[test]
    fn fishers_exact_test_is_the_textbooks() {
        // Fisher's tea: 3 of 4 against 1 of 4, two-sided 0.4857.
        assert!((p_of_counts(3, 4, 1, 4) - 0.485_714).abs() < 1e-5);
        assert!((p_of_counts(0, 1000, 10, 1000) - 0.001_926).abs() < 5e-5);
        assert_eq!(p_of_counts(0, 10, 0, 10), 1.0);
        assert_eq!(p_of_counts(0, 0, 5, 10), 1.0);
    }

    #[test]
    fn the_exact_test_and_the_approximation_meet() {
        let exact = p_of_counts(2_450, 100_000, 2_540, 100_000);
        let near = p_of_counts(2_460, 100_000, 2_550, 100_000);
        assert!((exact - near).abs() < 0.01, "{exact} {near}");
    }

    #[test]
    fn rare_failures_and_rare_successes_are_judged_alike() {
        let (a, b) = (p_of_counts(5, 100, 15, 100), p_of_counts(95, 100, 85, 100));
        assert!((a - b).abs() < 1e-9, "{a} {b}");
    }

    #[test]
    fn the_interval_of_a_quantile_holds_it_and_narrows_with_the_sample() {
        let width = |n| {
            let l = ramp(n, 0);
            let (low, high) = quantile_interval(l.histogram(), 0.5, 1.96).unwrap();
            let mid = l.quantile_ns(0.5).unwrap();
            assert!(low <= mid && mid <= high);
            high - low
        };
        assert!(width(400) > 2 * width(10_000));
        assert_eq!(quantile_interval(ramp(50, 0).histogram(), 0.99, 1.96), None);
    }

    #[test]
    fn p_of_z_has_the_usual_values() {
        assert!((p_of_z(1.96) - 0.05).abs() < 1e-4);
        assert!((p_of_z(-2.576) - 0.01).abs() < 1e-4);
        assert!((p_of_z(0.0) - 1.0).abs() < 1e-6);
    }
}
