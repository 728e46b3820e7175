//! Loss as a rate with a bound, and what it can explain.
//!
//! The packets show how many segments were lost for certain, of how many that could have shown it. From that comes an
//! upper bound of the rate (Wilson's score, one-sided), and a bound of how
//! often a copy is lost after the copy before it was: links lose in bursts (Gilbert, Bell System Technical Journal 39,
//! 1960). A silence that needs k lost copies then has a chance, and n such silences among N occasions a Poisson tail.

use statrs::distribution::{ContinuousCDF, DiscreteCDF, Normal, Poisson};

use espstress_event::{AnomalyClass, Losses};

/// What makes the bounds and the verdicts; each has a test that moves it and sees a verdict change.
pub(super) mod constants {
    /// How sure the upper bound of a rate is. Of a thousand links as good as it says, one is worse.
    pub(crate) const CONFIDENCE: f64 = 0.999;
    /// What chance brings about so often or more is the path's doing (the design's figure).
    pub(crate) const PATH: f64 = 1e-3;
    /// What chance brings about so seldom or less is the device's doing (the design's figure).
    pub(crate) const DEVICE: f64 = 1e-6;
    /// What is assumed of a path before anything is seen: that it lost one of so many segments, as a crowded channel does
    /// (`busy` loses one in two hundred). A few hundred segments outweigh it.
    pub(crate) const ASSUMED: (u64, u64) = (1, 300);
    /// What a good link loses at most: the link models `clean` and `home` stay below half of it.
    pub(crate) const GOOD: f64 = 0.005;
    /// Further losses of the next copy, and losses, that are assumed before any is seen: bursts of 1.3 frames on average,
    /// between single losses and those of the link model `lossy` (1.5). What is seen soon outweighs it.
    pub(crate) const AGAIN: (f64, f64) = (1.0, 4.0);
}

/// The highest share that fits `part` of `whole`, 0 to 1: of a thousand samples like this one, the true share is higher in one.
#[must_use]
pub fn share_at_most(part: u64, whole: u64) -> f64 {
    upper(part, whole, constants::CONFIDENCE)
}

/// The highest rate of loss that fits what was seen and what is assumed, 0 to 1.
pub(super) fn rate_bound(losses: Losses) -> f64 {
    let (lost, segments) = constants::ASSUMED;
    upper(losses.lost.saturating_add(lost), losses.segments.saturating_add(segments), constants::CONFIDENCE)
}

/// The chance that a copy is lost after the copy before it was, 0 to 1.
fn again_share(losses: Losses) -> f64 {
    let (again, lost) = constants::AGAIN;
    let all = losses.lost.saturating_add(losses.again) as f64;
    ((losses.again as f64 + again) / (all + lost)).max(rate_bound(losses)).min(1.0)
}

/// The chance, at most, that `copies` of a segment, or of the answers to it, are all lost.
pub(super) fn silence(losses: Losses, copies: u32) -> f64 {
    // Either the segment or its answer. The next copy may meet the same burst; those after it are a second and more
    // apart (RFC 6298, 5.5), and no burst is that long.
    let each = (2.0 * rate_bound(losses)).min(1.0);
    let rest = each.powi(i32::try_from(copies.saturating_sub(2)).unwrap_or(i32::MAX));
    if copies < 2 { each } else { each * again_share(losses) * rest }
}

/// Whether they are more than a good link has by chance.
pub(super) fn is_bad(losses: Losses) -> bool {
    tail(losses.lost, losses.segments as f64 * constants::GOOD) < constants::PATH
}

/// Wilson's upper bound of a share, one-sided (Journal of the American Statistical Association 22, 1927). In closed form:
/// it takes no time whatever the counts are.
fn upper(part: u64, whole: u64, confidence: f64) -> f64 {
    if part >= whole {
        return 1.0;
    }
    let (n, share) = (whole as f64, part as f64 / whole as f64);
    let z = Normal::standard().inverse_cdf(confidence);
    let spread = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    ((share + z * z / (2.0 * n) + spread) / (1.0 + z * z / n)).clamp(0.0, 1.0)
}

/// The chance of `n` events or more where `expected` are to come.
pub(super) fn tail(n: u64, expected: f64) -> f64 {
    let Some(before) = n.checked_sub(1) else { return 1.0 };
    if expected <= 0.0 {
        return 0.0;
    }
    // Above this the sum takes long, and is the normal's to four digits.
    if expected > 1e5 {
        let deviations = (before as f64 + 0.5 - expected) / expected.sqrt();
        return Normal::standard().sf(deviations);
    }
    // So far above the mean nothing is left of it.
    if before as f64 > 1e6 {
        return 0.0;
    }
    Poisson::new(expected).map_or(1.0, |poisson| poisson.sf(before))
}

/// Whose doing `n` silences are where the path brings about `expected` at most; `None` where it cannot be told.
pub(super) fn whose(n: u64, expected: f64) -> Option<AnomalyClass> {
    whose_of_many(n, expected, 1)
}

/// The same of one of so many places that were looked at (Bonferroni).
pub(super) fn whose_of_many(n: u64, expected: f64, places: usize) -> Option<AnomalyClass> {
    let chance = tail(n, expected) * places.max(1) as f64;
    if chance >= constants::PATH {
        Some(AnomalyClass::Path)
    } else if chance <= constants::DEVICE {
        Some(AnomalyClass::Device)
    } else {
        None
    }
}

/// How many silences the path may have brought about where it brings about `expected` at most.
pub(super) fn at_most(expected: f64) -> u64 {
    /// More attempts than any run has.
    const MOST: u64 = 1 << 40;
    let likely = |n: u64| tail(n, expected) >= constants::PATH;
    let mut above = 1;
    while above < MOST && likely(above) {
        above *= 2;
    }
    let mut below = above / 2;
    // `below` is likely, or 0, and `above` is not.
    while above - below > 1 {
        let middle = below + (above - below) / 2;
        if likely(middle) {
            below = middle;
        } else {
            above = middle;
        }
    }
    below
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn losses(lost: u64, segments: u64) -> Losses {
        Losses { segments, lost, again: 0 }
    }

    #[test]
    fn the_bound_is_wilsons() {
        // Without an event it is z²/(n + z²).
        let z2 = 3.090_232_306_167_813_f64.powi(2);
        assert!((upper(0, 1_000, 0.999) - z2 / (1_000.0 + z2)).abs() < 1e-6);
        assert!((upper(0, 0, 0.999) - 1.0).abs() < f64::EPSILON);
        assert!((0.0300..0.0302).contains(&upper(3_000_000, 100_000_000, 0.999)));
    }

    #[test]
    fn little_is_assumed_of_a_path_and_what_is_seen_outweighs_it() {
        assert!((0.02..0.05).contains(&rate_bound(losses(0, 0))));
        assert!(rate_bound(losses(0, 10_000)) < 0.002);
        assert!((0.03..0.07).contains(&rate_bound(losses(30, 1_000))));
    }

    #[test]
    fn fifty_unanswered_syns_are_no_chance_where_one_segment_in_forty_thousand_was_lost() {
        let path = losses(1, 39_751);
        assert_eq!(whose(50, 5_000.0 * silence(path, 3)), Some(AnomalyClass::Device));
        assert_ne!(whose(1, 5_000.0 * silence(path, 3)), Some(AnomalyClass::Device));
    }

    #[test]
    fn a_link_that_loses_three_in_a_hundred_brings_about_some_silences() {
        let path = Losses { segments: 2_000, lost: 60, again: 20 };
        let expected = 500.0 * silence(path, 3);
        assert_eq!(whose(5, expected), Some(AnomalyClass::Path));
        assert_eq!(whose(60, expected), Some(AnomalyClass::Device));
        assert!((5..60).contains(&at_most(expected)), "{}", at_most(expected));
    }

    #[test]
    fn between_chance_and_certainty_nothing_is_said() {
        assert_eq!(whose(2, 0.01), None);
        assert_eq!(whose(1, 0.01), Some(AnomalyClass::Path));
        assert_eq!(whose(4, 0.01), Some(AnomalyClass::Device));
    }

    #[test]
    fn the_tail_is_poissons() {
        assert!((tail(0, 0.0) - 1.0).abs() < f64::EPSILON && tail(1, 0.0) <= 0.0);
        assert!((tail(1, 1.0) - (1.0 - (-1.0_f64).exp())).abs() < 1e-12);
        assert_eq!((at_most(0.0), at_most(1.0), at_most(f64::MAX) > 1 << 30), (0, 5, true));
    }
}
