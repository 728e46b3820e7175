//! `.hgrm`: the percentile distribution of one latency, laid out as HdrHistogram's own tools print it and its
//! plotter reads it. Values are milliseconds.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use hdrhistogram::Histogram;

use super::{Options, RenderError};
use crate::{LatencyFigures, Report};

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
    let h = figures.and_then(LatencyFigures::histogram).ok_or_else(|| RenderError::NoLatency {
        workload: w.name.clone(),
        known: w.latency.iter().filter(|(_, l)| l.count > 0).map(|(p, _)| p.name().to_owned()).collect(),
    })?;
    Ok(distribution(&h))
}

/// One latency as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatencyFile {
    /// A name that no other file of the report has, as `head.connect.hgrm`.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// Every latency of a report, since a file of this format holds one.
#[must_use]
pub fn latency_files(report: &Report) -> Vec<LatencyFile> {
    let mut taken = BTreeSet::new();
    let mut files = Vec::new();
    for w in &report.workloads {
        let whole = w.latency.iter().map(|(phase, l)| (phase.name().to_owned(), l));
        let uncorrected = w.latency.iter().filter_map(|(phase, l)| {
            Some((format!("{}.uncorrected", phase.name()), l.uncorrected.as_deref()?))
        });
        for (phase, figures) in whole.chain(uncorrected) {
            let Some(h) = figures.histogram() else { continue };
            let stem = format!("{}.{phase}", plain(&w.name));
            // Names that differ only in what a file's name can't have.
            let numbered = (2_u32..).map(|n| format!("{stem}.{n}.hgrm"));
            let name =
                std::iter::once(format!("{stem}.hgrm")).chain(numbered).find(|name| !taken.contains(name));
            let Some(name) = name else { continue };
            taken.insert(name.clone());
            files.push(LatencyFile { name, text: distribution(&h) });
        }
    }
    files
}

/// A workload's name as a part of a file's.
fn plain(name: &str) -> String {
    let allowed = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    name.chars().map(allowed).collect()
}

fn distribution(h: &Histogram<u64>) -> String {
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
    out
}

/// Of a histogram of three significant figures: the power of two that holds 2 x 10^3.
const SUB_BUCKETS: u32 = 2048;
