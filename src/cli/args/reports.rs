//! The flags and arguments of the commands that read reports.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `compare`.
#[derive(Args, Debug)]
#[command(override_usage = "espstress compare [OPTIONS] --base <BASE>... --new <NEW>...
       espstress compare [OPTIONS] <BASE> <NEW>...")]
pub struct CompareArgs {
    /// Old report, then one or more new ones
    #[arg(value_name = "REPORT", required_unless_present = "base", conflicts_with_all = ["base", "new"], num_args = 2..)]
    pub reports: Vec<PathBuf>,

    /// Old reports, from repeated runs
    #[arg(long, value_name = "BASE", num_args = 1.., requires = "new")]
    pub base: Vec<PathBuf>,

    /// New reports, from repeated runs
    #[arg(long, value_name = "NEW", num_args = 1.., requires = "base")]
    pub new: Vec<PathBuf>,

    /// Count a latency or rate as worse only if it is worse by more than this, with confidence, for example 10%
    #[arg(long, value_name = "PERCENT", value_parser = percentage)]
    pub fail_on_regression: Option<f64>,

    /// Count latencies and rates within this share of the base as the same
    #[arg(long, value_name = "PERCENT", value_parser = percentage, default_value = "10%", conflicts_with = "fail_on_regression")]
    pub tolerance: f64,

    /// Print JSON, and only that, to standard output
    #[arg(long)]
    pub json: bool,
}

/// A percentage above 0, with or without its sign, as a share.
fn percentage(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    match number.parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 1_000.0 => Ok(percent / 100.0),
        _ => Err("give a percentage above 0, as 10%".into()),
    }
}

/// A report's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "kebab-case")]
pub enum FormatName {
    /// The page that a run prints
    Text,
    /// The report itself
    Json,
    /// For a pull request
    Markdown,
    /// One file with charts
    Html,
    /// Time series of the workloads and of the telemetry, for spreadsheets
    Csv,
    /// Test cases: thresholds, findings, and the attempts of each workload
    Junit,
    /// github-action-benchmark, for figures where smaller is better
    GithubBenchmark,
    /// github-action-benchmark, for figures where bigger is better
    GithubBenchmarkBigger,
    /// Bencher metric format
    Bmf,
    /// Prometheus text exposition
    Prometheus,
    /// HdrHistogram percentile distribution
    Hgrm,
    /// The packets of anomalies as ladders
    Svg,
}

/// `merge`.
#[derive(Args, Debug)]
pub struct MergeArgs {
    /// JSON reports, or the JSON Lines logs of runs
    #[arg(value_name = "REPORT", required = true, num_args = 1..)]
    pub reports: Vec<PathBuf>,

    /// Write the joined JSON report to FILE
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// What to print: text, json or markdown
    #[arg(short, long, value_enum, default_value_t = FormatName::Text)]
    pub format: FormatName,
}

/// `report`.
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// JSON report, or the JSON Lines log of a run; - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Output format
    #[arg(short, long, value_enum, default_value_t = FormatName::Text)]
    pub format: FormatName,

    /// Write to FILE instead of standard output; with hgrm, a folder gets one file for each latency
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Of a report of several devices, this one only
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,

    /// Workload whose latency hgrm shows [default: the first]
    #[arg(long, value_name = "NAME")]
    pub workload: Option<String>,

    /// Phase whose latency hgrm shows, for example connect [default: the main phase of the workload]
    #[arg(long, value_name = "PHASE")]
    pub phase: Option<String>,

    /// Print more: settings, evidence and packets
    #[arg(short, long)]
    pub verbose: bool,
}
