//! Latency histograms: HdrHistogram, three significant figures, 1 ns to one hour.
//!
//! A run has dozens of them, and most devices answer within milliseconds: a histogram has room for what it has met, and grows
//! at most thirty times in its life.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// What a latency measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// From `connect()` to the established connection.
    Connect,
    /// The TLS handshake, from the established connection on.
    Tls,
    /// From the sent request to the first byte of the response.
    FirstByte,
    /// From the (intended) start of the attempt to the whole response.
    Total,
    /// From the end of the response to the end of the connection as the close policy defines it.
    Close,
    /// From one request on a standing connection to its whole response.
    RoundTrip,
    /// From one event of a stream, or the opened stream, to the next event.
    EventGap,
    /// From a heartbeat to its acknowledgement.
    Heartbeat,
    /// One probe: ICMP echo, TCP connect or telemetry.
    Probe,
}

impl Phase {
    /// Every phase, in the order of reports.
    pub const ALL: [Self; 9] = [
        Self::Connect,
        Self::Tls,
        Self::FirstByte,
        Self::Total,
        Self::Close,
        Self::RoundTrip,
        Self::EventGap,
        Self::Heartbeat,
        Self::Probe,
    ];

    /// The name in reports and threshold expressions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::FirstByte => "first_byte",
            Self::Total => "total",
            Self::Close => "close",
            Self::RoundTrip => "round_trip",
            Self::EventGap => "event_gap",
            Self::Heartbeat => "heartbeat",
            Self::Probe => "probe",
        }
    }
}

/// Longest latency that is told apart, nanoseconds: one hour. Longer ones count as this.
pub(crate) const LONGEST_NS: u64 = 3_600_000_000_000;

/// A latency distribution.
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Histogram<u64>,
}

impl Default for Latency {
    fn default() -> Self {
        // Within what the constructor accepts: 0..=5 figures.
        #[expect(clippy::expect_used, reason = "constant argument")]
        let histogram = Histogram::new(3).expect("constant precision");
        Self { histogram }
    }
}

impl Latency {
    /// Takes over an existing histogram of nanoseconds (a report read back).
    #[must_use]
    pub fn from_histogram(mut histogram: Histogram<u64>) -> Self {
        histogram.auto(true);
        Self { histogram }
    }

    /// Records one latency, nanoseconds.
    pub fn record(&mut self, ns: u64) {
        self.record_n(ns, 1);
    }

    /// How many were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Value at quantile `q` (0 to 1), nanoseconds; `None` when nothing was recorded.
    #[must_use]
    pub fn quantile_ns(&self, q: f64) -> Option<u64> {
        (self.count() > 0).then(|| self.histogram.value_at_quantile(q))
    }

    /// The histogram itself, for export.
    #[must_use]
    pub const fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// The histogram with room up to an hour, whatever was recorded: others can add theirs to it.
    #[must_use]
    pub fn exported(&self) -> Histogram<u64> {
        let h = &self.histogram;
        let whole = Histogram::new_with_bounds(h.low(), LONGEST_NS, h.sigfig());
        let filled = whole.map(|mut whole| whole.add(h).map(|()| whole));
        match filled {
            Ok(Ok(whole)) => whole,
            // One that was read back may have bounds of its own.
            _ => h.clone(),
        }
    }

    /// The values that were recorded, nanoseconds, each with how many of them; as near as the resolution allows.
    pub fn recorded(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.histogram.iter_recorded().map(|v| (v.value_iterated_to(), v.count_at_value()))
    }

    /// How many were recorded that the histogram doesn't tell from `ns` nanoseconds.
    pub(crate) fn count_of(&self, ns: u64) -> u64 {
        let ns = ns.clamp(1, LONGEST_NS);
        // Beyond its room the histogram would answer for its last step.
        if ns > self.histogram.max() { 0 } else { self.histogram.count_at(ns) }
    }

    /// The value that those are told as, nanoseconds.
    pub(crate) fn step_of(&self, ns: u64) -> u64 {
        self.histogram.highest_equivalent(ns.clamp(1, LONGEST_NS))
    }

    /// Records `count` latencies of `ns` nanoseconds.
    pub fn record_n(&mut self, ns: u64, count: u64) {
        // It grows with the values, and its counts saturate: this cannot fail.
        self.histogram.record_n(ns.clamp(1, LONGEST_NS), count).unwrap_or_default();
    }

    /// Adds another's records.
    pub fn merge(&mut self, other: &Self) {
        // Likewise.
        self.histogram.add(&other.histogram).unwrap_or_default();
    }

    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {
        self.histogram.reset();
    }
}

/// A phase's latency as it is to be read, and, in an open loop, the figure that leaves out the waiting for
/// the intended start (what a tester without the correction would print).
#[derive(Clone, Debug, Default)]
pub struct LatencyPair {
    /// From the intended start.
    pub corrected: Latency,
    /// From the actual start; `None` in a closed loop, where both are the same.
    pub uncorrected: Option<Latency>,
}

impl LatencyPair {
    /// From the actual start: how long the device took, whatever this host had put off before.
    #[must_use]
    pub fn from_actual_start(&self) -> &Latency {
        self.uncorrected.as_ref().unwrap_or(&self.corrected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_NS: u64 = LONGEST_NS;

    fn of(all: &[u64]) -> Latency {
        let mut latency = Latency::default();
        all.iter().for_each(|ns| latency.record(*ns));
        latency
    }

    #[test]
    fn a_distribution_has_room_for_what_it_has_met() {
        let (short, long) = (of(&[1_000_000]), of(&[1_000_000, HOUR_NS]));
        assert!(short.histogram().distinct_values() * 2 < long.histogram().distinct_values());
        assert_eq!((short.count_of(1_000_000), short.count_of(HOUR_NS)), (1, 0));
        assert_eq!((long.count_of(HOUR_NS), long.count_of(u64::MAX)), (1, 1));
    }

    #[test]
    fn what_is_exported_has_room_for_an_hour_and_says_the_same() {
        for latency in [Latency::default(), of(&[7]), of(&[7, 5_000_000_000, HOUR_NS])] {
            let mut exported = latency.exported();
            assert!(exported.iter_recorded().eq(latency.histogram().iter_recorded()));
            assert_eq!(exported.add(of(&[HOUR_NS]).histogram()), Ok(()));
        }
    }

    #[test]
    fn what_was_read_back_takes_longer_ones_as_they_are() {
        let mut small = Histogram::new_with_bounds(1, 1_000, 3).unwrap();
        small.record(900).unwrap();
        let mut latency = Latency::from_histogram(small);
        latency.merge(&of(&[5_000_000]));
        latency.record(HOUR_NS);
        assert_eq!(latency.count(), 3);
        let all: Vec<u64> = latency.recorded().map(|(ns, _)| ns).collect();
        assert!(all[1] >= 5_000_000 && all[2] >= HOUR_NS, "{all:?}");
    }
}
