//! `.hgrm`: the percentile distribution of one latency, laid out as HdrHistogram's own tools print it and its
//! plotter reads it. Values are milliseconds.

use std::fmt::Write as _;

use super::{Options, RenderError};
use crate::Report;

/// Rows in each half of the remaining way to the maximum, as HdrHistogram prints by default.
const TICKS_PER_HALF: u32 = 5;

pub(super) fn render(report: &Report, options: &Options) -> Result<String, RenderError> {
    let names = || report.workloads.iter().map(|w| w.name.clone()).collect();
    let w = match &options.workload {
        None => report.workloads.first().ok_or(RenderError::Nothing)?,
        Some(name) => report
            .workload(name)
            .ok_or_else(|| RenderError::NoWorkload { name: name.clone(), known: names() })?,
    };
    let figures = match options.phase {
        Some(phase) => w.latency.get(&phase),
        None => w.main_latency().map(|(_, l)| l),
    };
    let h = figures.and_then(crate::LatencyFigures::histogram).ok_or_else(|| RenderError::NoLatency {
        workload: w.name.clone(),
        known: w.latency.keys().map(|p| p.name().to_owned()).collect(),
    })?;
    let ms = |ns: f64| ns / 1e6;
    let mut out =
        format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut seen = 0;
    for v in h.iter_quantiles(TICKS_PER_HALF) {
        seen += v.count_since_last_iteration();
        let (value, quantile) = (ms(v.value_iterated_to() as f64), v.quantile_iterated_to());
        let _ = write!(out, "{value:>12.6} {quantile:>14.12} {seen:>10}");
        let _ = if quantile < 1.0 {
            writeln!(out, " {:>14.2}", 1.0 / (1.0 - quantile))
        } else {
            writeln!(out, " {:>14}", "inf")
        };
    }
    let _ = writeln!(out, "#[Mean    = {:>12.6}, StdDeviation   = {:>12.6}]", ms(h.mean()), ms(h.stdev()));
    let _ = writeln!(out, "#[Max     = {:>12.6}, Total count    = {:>12}]", ms(h.max() as f64), h.len());
    let _ = writeln!(out, "#[Buckets = {:>12}, SubBuckets     = {:>12}]", h.buckets(), SUB_BUCKETS);
    Ok(out)
}

/// Of a histogram of three significant figures: the power of two that holds 2 x 10^3.
const SUB_BUCKETS: u32 = 2048;
