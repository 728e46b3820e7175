//! A latency distribution as the report holds it: the usual figures, and the whole histogram.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

use espstress_stats::{Latency, LatencyPair};

/// A latency distribution. Every figure is null when nothing was recorded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LatencyFigures {
    /// Latencies recorded.
    pub count: u64,
    /// Shortest, microseconds.
    pub min_us: Option<f64>,
    /// Arithmetic mean, microseconds.
    pub mean_us: Option<f64>,
    /// Standard deviation, microseconds.
    pub stdev_us: Option<f64>,
    /// Median, microseconds.
    pub p50_us: Option<f64>,
    /// 90th percentile, microseconds.
    pub p90_us: Option<f64>,
    /// 99th percentile, microseconds.
    pub p99_us: Option<f64>,
    /// 99.9th percentile, microseconds.
    pub p999_us: Option<f64>,
    /// Longest, microseconds.
    pub max_us: Option<f64>,
    /// The whole distribution: an HdrHistogram in the V2 compressed encoding, base64 (`HISTFAAA...`), as other
    /// HdrHistogram tools read it. Its values are nanoseconds, with three significant figures.
    pub hdr: Option<String>,
    /// In an open loop, the same figures from the actual start of each attempt instead of the intended one:
    /// what a tester without the correction would print. Null in a closed loop, and in itself.
    pub uncorrected: Option<Box<LatencyFigures>>,
}

impl LatencyFigures {
    /// The figures of one distribution.
    #[must_use]
    pub fn from_latency(latency: &Latency) -> Self {
        let h = latency.histogram();
        if h.is_empty() {
            return Self::default();
        }
        let at = |q| Some(us(h.value_at_quantile(q)));
        Self {
            count: h.len(),
            min_us: Some(us(h.min())),
            mean_us: finite(h.mean() / 1e3),
            stdev_us: finite(h.stdev() / 1e3),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: Some(us(h.max())),
            hdr: hdr(latency),
            uncorrected: None,
        }
    }

    /// The figures of a phase, the uncorrected ones beside them where there are any.
    #[must_use]
    pub(crate) fn from_pair(pair: &LatencyPair) -> Self {
        Self {
            uncorrected: pair.uncorrected.as_ref().map(|u| Box::new(Self::from_latency(u))),
            ..Self::from_latency(&pair.corrected)
        }
    }

    /// The whole distribution; `None` when nothing was recorded or `hdr` does not hold a histogram.
    #[must_use]
    pub fn histogram(&self) -> Option<Histogram<u64>> {
        decode(self.hdr.as_deref()?)
    }

    /// The latency at quantile `q` (0 to 1), microseconds; `None` when nothing was recorded.
    #[must_use]
    pub(crate) fn quantile_us(&self, q: f64) -> Option<f64> {
        let h = self.histogram()?;
        (!h.is_empty()).then(|| us(h.value_at_quantile(q)))
    }
}

/// The whole distribution: an HdrHistogram of nanoseconds, V2 deflate, base64; `None` when nothing was recorded. Each of the
/// other figures walks the histogram once more.
pub(crate) fn hdr(latency: &Latency) -> Option<String> {
    if latency.count() == 0 { None } else { encode(&latency.exported()) }
}

/// Nanoseconds as microseconds.
pub(crate) fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}

/// A figure that may stand in a report: never NaN, never infinite.
pub(crate) fn finite(x: f64) -> Option<f64> {
    x.is_finite().then_some(x)
}

/// Writing to memory fails only if the histogram cannot be encoded at all, which is then absent.
fn encode(h: &Histogram<u64>) -> Option<String> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(h, &mut bytes).ok()?;
    Some(STANDARD.encode(bytes))
}

/// Reads a histogram back; total, whatever the text is.
fn decode(text: &str) -> Option<Histogram<u64>> {
    let bytes = STANDARD.decode(text).ok()?;
    Deserializer::new().deserialize(&mut bytes.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thousand() -> LatencyFigures {
        let mut l = Latency::default();
        (1..=1000).for_each(|ms| l.record(ms * 1_000_000));
        LatencyFigures::from_latency(&l)
    }

    #[test]
    fn figures_are_microseconds_and_the_histogram_is_nanoseconds() {
        let f = thousand();
        assert_eq!(f.count, 1000);
        let p99 = f.p99_us.unwrap();
        assert!((989_000.0..=992_000.0).contains(&p99), "{p99}");
        let h = f.histogram().unwrap();
        assert_eq!(h.len(), 1000);
        assert_eq!(h.value_at_quantile(0.99) as f64 / 1e3, p99);
    }

    #[test]
    fn the_histogram_is_in_the_encoding_that_other_tools_read() {
        assert!(thousand().hdr.unwrap().starts_with("HISTFAAA"));
    }

    #[test]
    fn nothing_recorded_is_null_everywhere() {
        let f = LatencyFigures::from_latency(&Latency::default());
        assert_eq!(f, LatencyFigures::default());
        assert_eq!(serde_json::to_value(&f).unwrap()["p99_us"], serde_json::Value::Null);
    }

    #[test]
    fn text_that_holds_no_histogram_is_none() {
        for hdr in ["", "HISTFAAA", "not base64!", "aGVsbG8="] {
            let f = LatencyFigures { hdr: Some(hdr.into()), ..LatencyFigures::default() };
            assert!(f.histogram().is_none(), "{hdr}");
        }
    }
}
