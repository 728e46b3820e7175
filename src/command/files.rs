//! Commands on reports that exist.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::output::{self, style};
use super::{Exit, Failed};
use espstress_cli::{CompareArgs, FormatName, ReportArgs};
use espstress_compare::Named;
use espstress_report::{Detail, Format, GateExit, Options, Report};

/// `espstress report`.
pub(super) fn report(args: &ReportArgs) -> Result<Exit, Failed> {
    let report = read(&args.file)?;
    let detail = if args.verbose { Detail::Evidence } else { Detail::Page };
    let options = Options { style: style(detail), ..Options::default() };
    let text = espstress_report::render(&report, format(args.format), &options).map_err(Failed::usage)?;
    match &args.output {
        Some(path) => espstress_report::write_text(&text, path).map_err(Failed::environment)?,
        None => output::print(&text).map_err(Failed::environment)?,
    }
    Ok(Exit::Done)
}

fn read(path: &Path) -> Result<Report, Failed> {
    if !espstress_report::is_log(path) {
        return espstress_report::read(path).map_err(Failed::usage);
    }
    let rebuilt = espstress_report::read_log(path).map_err(Failed::usage)?;
    for remark in &rebuilt.remarks {
        let _ = writeln!(std::io::stderr(), "note: {}: {remark}", path.display());
    }
    Ok(rebuilt.report)
}

const fn format(name: FormatName) -> Format {
    match name {
        FormatName::Text => Format::Text,
        FormatName::Json => Format::Json,
        FormatName::Markdown => Format::Markdown,
        FormatName::Html => Format::Html,
        FormatName::Junit => Format::Junit,
        FormatName::GithubBenchmark => Format::GithubBenchmarkSmaller,
        FormatName::GithubBenchmarkBigger => Format::GithubBenchmarkBigger,
        FormatName::Bmf => Format::Bmf,
        FormatName::Prometheus => Format::Prometheus,
        FormatName::Hgrm => Format::Hgrm,
        FormatName::Svg => Format::Svg,
    }
}

fn named(group: &[(String, Report)]) -> Vec<Named<'_>> {
    group.iter().map(|(name, report)| Named { name, report }).collect()
}

/// `espstress compare`.
pub(super) fn compare(args: &CompareArgs) -> Result<Exit, Failed> {
    let (base, new) = args
        .reports
        .split_first()
        .map_or_else(|| (&args.base[..], &args.new[..]), |(base, new)| (std::slice::from_ref(base), new));
    let read_all = |paths: &[PathBuf]| -> Result<Vec<(String, Report)>, Failed> {
        paths.iter().map(|path| Ok((path.display().to_string(), read(path)?))).collect()
    };
    let (base, new) = (read_all(base)?, read_all(new)?);
    let options = espstress_compare::Options {
        tolerance: args.tolerance,
        fail_on_regression: args.fail_on_regression,
        ..espstress_compare::Options::default()
    };
    let comparison =
        espstress_compare::compare(&named(&base), &named(&new), &options).map_err(Failed::usage)?;
    let text = if args.json {
        comparison.to_json()
    } else {
        espstress_compare::page(&comparison, &style(Detail::Page))
    };
    output::print(&text).map_err(Failed::environment)?;
    Ok(match comparison.decision.exit() {
        GateExit::Held => Exit::Done,
        GateExit::Broken => Exit::GateBroken,
        GateExit::Inconclusive => Exit::Inconclusive,
    })
}
