//! The raw protocol's two lines: what the MicroPython pair's client would print, and what is so.

use super::measured::line;
use crate::human::{count, percent, time_us};
use crate::style::Style;
use crate::{RawSummary, Workload};
use espstress_event::Failure;
use espstress_stats::Phase;

/// Both lines, the script's in its own order.
pub(super) fn lines(out: &mut String, w: &Workload, raw: &RawSummary, style: Style) {
    let script = [
        format!(
            "connect {} (min/avg/max; avg by all {} attempts)",
            three([raw.connect_min_us, raw.connect_avg_us, raw.connect_max_us]),
            count(raw.attempts)
        ),
        format!("timeouts {} (any connect error)", count(raw.timeouts)),
        format!("w-err {}, r-err {}", count(raw.write_errors), count(raw.read_errors)),
        format!(
            "{} transactions {}",
            count(raw.transactions),
            three([raw.transaction_min_us, raw.transaction_avg_us, raw.transaction_max_us])
        ),
        format!("rate {} by the time of answered ones", per_s(raw.rate_bytes_per_s)),
    ];
    line(out, "script says", &script.join(", "), style);
    let connect = w.latency.get(&Phase::Connect);
    let mut truth = vec![format!(
        "{} of the attempts failed",
        w.success_rate.map_or_else(|| "-".to_owned(), |share| percent(1.0 - share))
    )];
    truth.extend(
        connect
            .and_then(|l| Some((l.mean_us?, l.count)))
            .map(|(mean, n)| format!("connect mean {} of the {} that connected", time_us(mean), count(n))),
    );
    truth.push(format!("connect_timeout {}", count(w.failures.get(Failure::ConnectTimeout))));
    truth.push(format!("rate {} by wall clock", per_s(raw.wall_rate_bytes_per_s)));
    line(out, "in truth", &truth.join(", "), style);
}

fn three(times: [Option<f64>; 3]) -> String {
    times.map(|t| t.map_or_else(|| "-".to_owned(), time_us)).join(" / ")
}

/// In the script's unit.
fn per_s(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".to_owned(), |rate| format!("{} B/s", count(rate.round() as u64)))
}
