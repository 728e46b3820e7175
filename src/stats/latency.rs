//! Latency histograms: HdrHistogram, three significant figures, 1 ns to one hour.

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

/// Longest latency that is told apart: one hour. Longer ones count as this.
pub(crate) const LONGEST_NS: u64 = 3_600_000_000_000;

/// A latency distribution.
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Histogram<u64>,
}

impl Default for Latency {
    fn default() -> Self {
        // Bounds within what the constructor accepts: low >= 1, high >= 2 * low, 0..=5 figures.
        #[expect(clippy::expect_used, reason = "constant arguments")]
        let histogram = Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("constant bounds");
        Self { histogram }
    }
}

impl Latency {
    /// Takes over an existing histogram of nanoseconds (a report read back).
    #[must_use]
    pub const fn from_histogram(histogram: Histogram<u64>) -> Self {
        Self { histogram }
    }

    /// Records one latency, nanoseconds.
    pub fn record(&mut self, ns: u64) {
        self.histogram.saturating_record(ns.clamp(1, LONGEST_NS));
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

    /// The values that were recorded, nanoseconds, each with how many of them; as near as the resolution allows.
    pub fn recorded(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.histogram.iter_recorded().map(|v| (v.value_iterated_to(), v.count_at_value()))
    }

    /// How many were recorded that the histogram doesn't tell from `ns` nanoseconds.
    pub(crate) fn count_of(&self, ns: u64) -> u64 {
        self.histogram.count_at(ns.clamp(1, LONGEST_NS))
    }

    /// The value that those are told as, nanoseconds.
    pub(crate) fn step_of(&self, ns: u64) -> u64 {
        self.histogram.highest_equivalent(ns.clamp(1, LONGEST_NS))
    }

    /// Records `count` latencies of `ns` nanoseconds.
    pub fn record_n(&mut self, ns: u64, count: u64) {
        self.histogram.saturating_record_n(ns.clamp(1, LONGEST_NS), count);
    }

    /// Adds another's records.
    pub fn merge(&mut self, other: &Self) {
        // Same bounds on both sides, or an auto-sized one read from a report: the longest value fits.
        if self.histogram.add(&other.histogram).is_err() {
            for v in other.histogram.iter_recorded() {
                self.histogram.saturating_record_n(v.value_iterated_to(), v.count_at_value());
            }
        }
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
