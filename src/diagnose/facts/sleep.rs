//! Whether frames wait for the device to wake up.

use super::super::needs::ANSWERS;
use super::super::{Evidence, PowerSave, Quantiles};
use super::{exchanges, telemetry};

/// 100 time units of 1,024 us (IEEE 802.11), the usual beacon interval, nanoseconds.
pub(crate) const BEACON: u64 = 102_400_000;

/// Listen intervals beyond this are not in use.
const LONGEST: u64 = 10;

/// More beacon intervals than these cannot be told from any wide spread without its end.
const BY_NINE_IN_TEN: u64 = 4;

/// Beacon intervals that the latencies spread over.
pub(crate) fn beacons(q: &Quantiles) -> Option<u64> {
    if q.count < ANSWERS {
        return None;
    }
    by_spread(q).or_else(|| by_nine_in_ten(q))
}

/// By the whole spread, where no answer came later than power save explains.
pub(crate) fn by_spread(q: &Quantiles) -> Option<u64> {
    // Of few answers the 99th percentile is the greatest.
    let spread = q.p99_ns.saturating_sub(q.min_ns);
    let n = spread.saturating_add(BEACON / 2) / BEACON;
    let exact = spread.abs_diff(n.saturating_mul(BEACON));
    let even = {
        let median = q.p50_ns.saturating_sub(q.min_ns);
        median as f64 >= spread as f64 * least_median(n)
    };
    let full = q.p90_ns.saturating_sub(q.min_ns) as f64 >= spread as f64 * least_of_nine(n);
    let fits = (1..=LONGEST).contains(&n) && exact <= n * BEACON / 100 * 12;
    (fits && even && full).then_some(n)
}

/// By the earlier nine of ten, whatever became of the last.
pub(crate) fn by_nine_in_ten(q: &Quantiles) -> Option<u64> {
    let beyond = |ns: u64| ns.saturating_sub(q.min_ns) as f64 / BEACON as f64;
    let (median, nine) = (beyond(q.p50_ns), beyond(q.p90_ns));
    (1..=BY_NINE_IN_TEN).find(|whole| {
        let n = *whole as f64;
        (least_of_nine(*whole) * n..=1.05 * n).contains(&nine)
            && (least_median(*whole) * n..=0.72 * n).contains(&median)
    })
}

/// The least share of the intervals that half of the answers reach.
pub(crate) const fn least_median(intervals: u64) -> f64 {
    if intervals == 1 { 0.33 } else { 0.22 }
}

/// The same for nine in ten. Probes a second apart meet several intervals in a
/// few places only; of a single one, jitter of the path reaches more than two thirds by chance.
pub(crate) const fn least_of_nine(intervals: u64) -> f64 {
    if intervals == 1 { 0.75 } else { 0.63 }
}

/// What shows it: a name, the latencies, and the beacon intervals that they spread over.
pub(crate) fn pattern(e: &Evidence<'_>) -> Option<(&'static str, Quantiles, u64)> {
    // Whoever does not sleep misses no frame: then the path is what spreads them.
    if mode(e) == Some(&PowerSave::None) {
        return None;
    }
    let probes =
        [("ping", &e.probes.icmp), ("telemetry", &e.probes.telemetry), ("TCP connect", &e.probes.tcp)]
            .into_iter()
            .filter_map(|(name, kind)| Some((name, kind.value()?.latency?)))
            .filter(|(_, q)| q.count >= ANSWERS);
    let kinds: Vec<_> = probes.collect();
    if kinds.is_empty() {
        let connects = exchanges(e).filter_map(|w| Some(("connect of the workload", w.connect?)));
        let (name, q) = connects.into_iter().find(|(_, q)| q.count >= ANSWERS)?;
        return beacons(&q).map(|n| (name, q, n));
    }
    let (name, q, n) = kinds.iter().find_map(|(name, q)| Some((*name, *q, beacons(q)?)))?;
    // A ping needs no program: where pings are answered sooner, something else made the others late.
    let waits = |q: &Quantiles| q.p90_ns.saturating_sub(q.min_ns) >= n * BEACON / 2;
    let pings = e.probes.icmp.value().and_then(|p| p.latency).filter(|q| q.count >= ANSWERS);
    pings.is_none_or(|q| waits(&q)).then_some((name, q, n))
}

/// What the device says of its power save.
pub(crate) fn mode<'a>(e: &'a Evidence<'_>) -> Option<&'a PowerSave> {
    telemetry(e).and_then(|t| t.power_save.as_ref())
}

pub(crate) fn shows(e: &Evidence<'_>) -> bool {
    pattern(e).is_some()
}
