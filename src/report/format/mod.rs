//! The report in the formats that other programs take; one module a format.

mod bmf;
mod chart;
mod csv;
mod github_benchmark;
mod hgrm;
mod html;
mod junit;
mod markdown;
pub(crate) mod metrics;
pub(crate) mod prometheus;

pub use markdown::plain as markdown_text;

use std::fmt;
use std::str::FromStr;

pub use hgrm::{LatencyFile, latency_files};

use super::{Report, Style, text, to_json};
use espstress_stats::Phase;

/// What a report can be turned into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// The page for people.
    Text,
    /// The report itself.
    Json,
    /// Markdown with tables, for a comment on a change or a wiki.
    Markdown,
    /// One HTML file with charts, that needs nothing else.
    Html,
    /// CSV of the time series.
    Csv,
    /// JUnit XML, a test case for each gate, finding, and kind of failure.
    Junit,
    /// github-action-benchmark, figures of which smaller is better.
    GithubBenchmarkSmaller,
    /// github-action-benchmark, figures of which bigger is better.
    GithubBenchmarkBigger,
    /// Bencher Metric Format.
    Bmf,
    /// Prometheus text exposition.
    Prometheus,
    /// The percentile distribution of one latency, as HdrHistogram's tools print and plot it.
    Hgrm,
}

impl Format {
    /// Every format, in the order of help texts.
    pub const ALL: [Self; 11] = [
        Self::Text,
        Self::Json,
        Self::Markdown,
        Self::Html,
        Self::Csv,
        Self::Junit,
        Self::GithubBenchmarkSmaller,
        Self::GithubBenchmarkBigger,
        Self::Bmf,
        Self::Prometheus,
        Self::Hgrm,
    ];

    /// The name on the command line. `github-benchmark` alone means the first of its two.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Markdown => "markdown",
            Self::Html => "html",
            Self::Csv => "csv",
            Self::Junit => "junit",
            Self::GithubBenchmarkSmaller => "github-benchmark-smaller",
            Self::GithubBenchmarkBigger => "github-benchmark-bigger",
            Self::Bmf => "bmf",
            Self::Prometheus => "prometheus",
            Self::Hgrm => "hgrm",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no format has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no format `{name}`; there are {}", Format::ALL.map(Format::name).join(", "))]
pub struct UnknownFormat {
    /// The name.
    pub(crate) name: String,
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        if name == "github-benchmark" {
            return Ok(Self::GithubBenchmarkSmaller);
        }
        Self::ALL
            .into_iter()
            .find(|f| f.name() == name)
            .ok_or_else(|| UnknownFormat { name: name.to_owned() })
    }
}

/// What some formats want to know besides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// How a page is to look.
    pub style: Style,
    /// Which workload, where a format holds one latency only; the first when `None`.
    pub workload: Option<String>,
    /// Which of its phases; the main one when `None`.
    pub phase: Option<Phase>,
}

/// Why a report could not be turned into a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The report has no such workload.
    #[error("the report has no workload `{name}`; it has {}", listed(known))]
    NoWorkload {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Nothing was measured that the format could show.
    #[error("workload `{workload}` measured no such latency; it has {}", listed(known))]
    NoLatency {
        /// Which workload.
        workload: String,
        /// The phases that were measured.
        known: Vec<String>,
    },
    /// There is no workload at all.
    #[error("the report has no workload, and so no latency")]
    Nothing,
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// Turns a report into a format.
///
/// # Errors
/// Only formats that hold one latency can fail: when the one asked for was not measured.
pub fn render(report: &Report, format: Format, options: &Options) -> Result<String, RenderError> {
    Ok(match format {
        Format::Text => text::page(report, &options.style),
        Format::Json => to_json(report),
        Format::Markdown => markdown::render(report),
        Format::Html => html::render(report),
        Format::Csv => csv::render(report),
        Format::Junit => junit::render(report),
        Format::GithubBenchmarkSmaller => github_benchmark::smaller(report),
        Format::GithubBenchmarkBigger => github_benchmark::bigger(report),
        Format::Bmf => bmf::render(report),
        Format::Prometheus => prometheus::render(report),
        Format::Hgrm => hgrm::render(report, options)?,
    })
}

/// Text made safe for XML and HTML, in elements and in quoted attributes. Characters that XML 1.0 does not
/// allow at all become the replacement character.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' | '\r' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// JSON text of a value, ending in a newline.
fn json_text(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_found_by_its_name() {
        for f in Format::ALL {
            assert_eq!(f.name().parse::<Format>().unwrap(), f);
        }
        assert_eq!("github-benchmark".parse(), Ok(Format::GithubBenchmarkSmaller));
        let e = "pdf".parse::<Format>().unwrap_err().to_string();
        assert!(e.contains("pdf") && e.contains("markdown"), "{e}");
    }

    #[test]
    fn markup_and_forbidden_characters_do_not_survive_escaping() {
        assert_eq!(escape("<a href=\"x\">'&\u{1}"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;\u{fffd}");
    }
}
