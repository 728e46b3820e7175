//! The summary of the MicroPython pair's client, computed as it computes it, so that its figures can be compared
//! with ones that people have. `report::text` prints it beside the figures that do not mislead.

use serde::{Deserialize, Serialize};

use super::latency::finite;
use espstress_stats::{RawTally, Times};

/// The summary that the client of the MicroPython pair prints, by that client's own arithmetic. It misleads in four
/// ways: the mean connect time divides the time of successful connects by all attempts, so that failures lower it;
/// every connect error counts as a time-out; the rate divides bytes by the time of answered transactions alone, so
/// that neither time-outs nor the pauses after them lower it; and whatever is read before the device's FIN counts as
/// an answer. The honest figures are `latency`, `failures`, `goodput_bytes_per_s`, and here `wall_rate_bytes_per_s`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RawSummary {
    /// Connections tried.
    pub attempts: u64,
    /// Connects that failed, for whatever reason.
    pub timeouts: u64,
    /// Connections whose request could not be written.
    pub write_errors: u64,
    /// Connections on which reading failed before the device's FIN. The script waits for ever where this program
    /// counts a `read_timeout`.
    pub read_errors: u64,
    /// Answers read up to the device's FIN, whatever was in them.
    pub transactions: u64,
    /// Bytes of those answers, the lines of heap figures included.
    pub bytes: u64,
    /// Least time of a successful connect, microseconds.
    pub(crate) connect_min_us: Option<f64>,
    /// Time of all successful connects divided by all attempts, microseconds.
    pub connect_avg_us: Option<f64>,
    /// Greatest time of a successful connect, microseconds.
    pub(crate) connect_max_us: Option<f64>,
    /// Least time from the call of `connect()` to the end of the answer, microseconds.
    pub transaction_min_us: Option<f64>,
    /// Mean of the same, microseconds.
    pub transaction_avg_us: Option<f64>,
    /// Greatest of the same, microseconds.
    pub(crate) transaction_max_us: Option<f64>,
    /// `bytes` divided by the time of answered transactions.
    pub rate_bytes_per_s: Option<f64>,
    /// The honest one: `bytes` divided by wall-clock time.
    pub wall_rate_bytes_per_s: Option<f64>,
}

impl RawSummary {
    /// The summary of a workload that ran for `wall_s` seconds.
    #[must_use]
    pub(crate) fn new(tally: &RawTally, wall_s: f64) -> Self {
        let us = |ns: Option<u64>| ns.map(|ns| ns as f64 / 1e3);
        let sum_us = |times: &Times| times.sum_ns as f64 / 1e3;
        let bytes = tally.bytes as f64;
        Self {
            attempts: tally.attempts,
            timeouts: tally.connect_errors,
            write_errors: tally.write_errors,
            read_errors: tally.read_errors,
            transactions: tally.transactions.count,
            bytes: tally.bytes,
            connect_min_us: us(tally.connects.min_ns),
            connect_avg_us: finite(sum_us(&tally.connects) / tally.attempts as f64),
            connect_max_us: us(tally.connects.max_ns),
            transaction_min_us: us(tally.transactions.min_ns),
            transaction_avg_us: finite(sum_us(&tally.transactions) / tally.transactions.count as f64),
            transaction_max_us: us(tally.transactions.max_ns),
            rate_bytes_per_s: finite(bytes * 1e6 / sum_us(&tally.transactions)),
            wall_rate_bytes_per_s: finite(bytes / wall_s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn failures_lower_the_mean_connect_time_and_not_the_rate() {
        let mut tally = RawTally::default();
        for ms in [4, 6, 20] {
            tally.connected(ms * MS);
        }
        tally.connect_failed();
        tally.connect_failed();
        tally.answered(100 * MS, 10_000);
        tally.answered(300 * MS, 10_000);
        tally.read_errors += 1;
        let summary = RawSummary::new(&tally, 5.0);
        // 30 ms over five attempts; three connected.
        assert_eq!(summary.connect_avg_us, Some(6_000.0));
        assert_eq!((summary.connect_min_us, summary.connect_max_us), (Some(4_000.0), Some(20_000.0)));
        assert_eq!((summary.attempts, summary.timeouts, summary.read_errors), (5, 2, 1));
        assert_eq!((summary.transactions, summary.transaction_avg_us), (2, Some(200_000.0)));
        // 20,000 bytes in 0.4 s of answered transactions, in 5 s of the clock on the wall.
        assert_eq!(summary.rate_bytes_per_s, Some(50_000.0));
        assert_eq!(summary.wall_rate_bytes_per_s, Some(4_000.0));
    }

    #[test]
    fn without_any_answer_there_is_no_rate() {
        let summary = RawSummary::new(&RawTally::default(), 1.0);
        assert_eq!((summary.connect_avg_us, summary.rate_bytes_per_s), (None, None));
        assert_eq!((summary.transaction_avg_us, summary.wall_rate_bytes_per_s), (None, Some(0.0)));
    }
}
