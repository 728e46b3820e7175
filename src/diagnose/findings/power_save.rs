//! `power_save_latency`: frames wait for the device's next wake-up, up to one or several beacon intervals.
//!
//! Evidence: probe latencies spread evenly from the least to about a multiple of the beacon interval (102.4 ms)
//! above it. Ping, else telemetry, else TCP connect, else the connects of a workload.
//!
//! Neighbours: a long path (the least is long as well, and the spread small); a busy link (a short spread, or a
//! tail: the median near the least); `lossy_link` (a lost frame is not late, and a late one makes the host
//! repeat, which is no loss); a slow program (ping is fast). A device that says that it does not sleep does not.
//!
//! Thresholds: 20 answers; a spread within 12 % of a multiple from 1 to 10; a median at a third of it or later (of
//! several intervals, of which probes a second apart meet few places, a fifth). One or two answers that something else
//! held up must not hide it: up to 4 intervals, nine in ten at 63 (of one 75) to 105 % of them and a median at no more
//! than 72 % are enough. (Jitter of up to 40 ms each way puts nine in ten within 55 ms.)

use super::super::needs::ANSWERS;
use super::super::{Evidence, Finding, FindingId, Quantiles, Severity};
use super::text::{things, time};
use super::{FindingEntry, signs};

/// 100 time units of 1,024 us (IEEE 802.11), the usual beacon interval, nanoseconds.
const BEACON: u64 = 102_400_000;
/// Listen intervals beyond this are not in use.
const LONGEST: u64 = 10;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::PowerSaveLatency,
    severity: Severity::Warning,
    meaning: "the device sleeps between beacons: what is sent to it waits up to 100 ms, or a multiple",
    needs: "ping, telemetry or TCP probes, 20 answers or more",
    neighbours: "a long path; a busy channel; a slow program; losses",
    change: "esp_wifi_set_ps(WIFI_PS_NONE) where latency matters more than current",
};

/// More beacon intervals than these cannot be told from any wide spread without its end.
const BY_NINE_IN_TEN: u64 = 4;

/// Beacon intervals that the latencies spread over.
pub(super) fn beacons(q: &Quantiles) -> Option<u64> {
    if q.count < ANSWERS {
        return None;
    }
    by_spread(q).or_else(|| by_nine_in_ten(q))
}

/// By the whole spread, where no answer came later than power save explains.
fn by_spread(q: &Quantiles) -> Option<u64> {
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
fn by_nine_in_ten(q: &Quantiles) -> Option<u64> {
    let beyond = |ns: u64| ns.saturating_sub(q.min_ns) as f64 / BEACON as f64;
    let (median, nine) = (beyond(q.p50_ns), beyond(q.p90_ns));
    (1..=BY_NINE_IN_TEN).find(|whole| {
        let n = *whole as f64;
        (least_of_nine(*whole) * n..=1.05 * n).contains(&nine)
            && (least_median(*whole) * n..=0.72 * n).contains(&median)
    })
}

/// The least share of the intervals that half of the answers reach.
const fn least_median(intervals: u64) -> f64 {
    if intervals == 1 { 0.33 } else { 0.22 }
}

/// The same for nine in ten. Probes a second apart meet several intervals in a
/// few places only; of a single one, jitter of the path reaches more than two thirds by chance.
const fn least_of_nine(intervals: u64) -> f64 {
    if intervals == 1 { 0.75 } else { 0.63 }
}

/// What shows it: a name, the latencies, and the beacon intervals that they spread over.
fn pattern(e: &Evidence<'_>) -> Option<(&'static str, Quantiles, u64)> {
    // Whoever does not sleep misses no frame: then the path is what spreads them.
    if mode(e) == Some("NONE") {
        return None;
    }
    let probes =
        [("ping", &e.probes.icmp), ("telemetry", &e.probes.telemetry), ("TCP connect", &e.probes.tcp)]
            .into_iter()
            .filter_map(|(name, kind)| Some((name, kind.value()?.latency?)))
            .filter(|(_, q)| q.count >= ANSWERS);
    let kinds: Vec<_> = probes.collect();
    if kinds.is_empty() {
        let connects = signs::exchanges(e).filter_map(|w| Some(("connect of the workload", w.connect?)));
        let (name, q) = connects.into_iter().find(|(_, q)| q.count >= ANSWERS)?;
        return beacons(&q).map(|n| (name, q, n));
    }
    let (name, q, n) = kinds.iter().find_map(|(name, q)| Some((*name, *q, beacons(q)?)))?;
    // A ping needs no program: where pings are answered sooner, something else made the others late.
    let waits = |q: &Quantiles| q.p90_ns.saturating_sub(q.min_ns) >= n * BEACON / 2;
    let pings = e.probes.icmp.value().and_then(|p| p.latency).filter(|q| q.count >= ANSWERS);
    pings.is_none_or(|q| waits(&q)).then_some((name, q, n))
}

/// What the device says of its power save, by ESP-IDF's name without the prefix.
fn mode<'a>(e: &'a Evidence<'_>) -> Option<&'a str> {
    signs::telemetry(e).and_then(|t| t.power_save.as_deref())
}

pub(super) fn happened(e: &Evidence<'_>) -> bool {
    pattern(e).is_some()
}

pub(super) fn find(e: &Evidence<'_>) -> Option<Finding> {
    let (name, q, n) = pattern(e)?;
    let mut evidence = vec![
        format!(
            "{name}: {} least, {} median, {} of 90 %, {} of 99 %, of {}",
            time(q.min_ns),
            time(q.p50_ns),
            time(q.p90_ns),
            time(q.p99_ns),
            things(q.count, "answer")
        ),
        format!("the spread is about {} of 102.4 ms", things(n, "beacon interval")),
    ];
    if let Some(mode) = mode(e) {
        evidence.push(format!("the device says that its power-save mode is {mode}"));
    }
    let mode = if n == 1 { "MIN_MODEM, ESP-IDF's default" } else { "MAX_MODEM, or a DTIM period above 1" };
    Some(Finding {
        id: FindingId::PowerSaveLatency,
        severity: Severity::Warning,
        statement: format!(
            "What is sent to the device waits for its next wake-up: {} more in the median, up to {}.",
            time(q.p50_ns.saturating_sub(q.min_ns)),
            time(n.saturating_mul(BEACON))
        ),
        evidence,
        cause: format!("Wi-Fi modem sleep ({mode}): the access point keeps frames until a beacon that the device listens to"),
        change: "esp_wifi_set_ps(WIFI_PS_NONE) after esp_wifi_start(); it costs some 50 to 80 mA. With MAX_MODEM a \
                 smaller listen_interval in wifi_sta_config_t helps"
            .into(),
    })
}
