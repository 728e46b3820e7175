//! Commands on reports that exist.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::output::{self, style};
use super::{Exit, Failed};
use espstress_cli::{CompareArgs, FormatName, ReportArgs};
use espstress_compare::Named;
use espstress_report::{Detail, Format, GateExit, Options, Rebuilt, Report};
use espstress_stats::Phase;

/// `espstress report`.
pub(super) fn report(args: &ReportArgs) -> Result<Exit, Failed> {
    let hgrm = args.format == FormatName::Hgrm;
    if !hgrm && (args.workload.is_some() || args.phase.is_some()) {
        return Err(Failed::usage("--workload and --phase select a latency for --format hgrm"));
    }
    let phase = args.phase.as_deref().map(phase).transpose()?;
    let report = read(&args.file)?;
    let detail = if args.verbose { Detail::Evidence } else { Detail::Page };
    let options = Options { style: style(detail), workload: args.workload.clone(), phase };
    let folder = args.output.as_deref().filter(|path| path.is_dir());
    if let Some(folder) = folder.filter(|_| hgrm && args.workload.is_none() && args.phase.is_none()) {
        return every_latency(&report, folder);
    }
    let text = espstress_report::render(&report, format(args.format), &options).map_err(Failed::usage)?;
    match &args.output {
        Some(path) => espstress_report::write_text(&text, path).map_err(Failed::environment)?,
        None => output::print(&text).map_err(Failed::environment)?,
    }
    Ok(Exit::Done)
}

fn phase(name: &str) -> Result<Phase, Failed> {
    Phase::ALL.into_iter().find(|phase| phase.name() == name).ok_or_else(|| {
        let known: Vec<&str> = Phase::ALL.iter().map(|phase| phase.name()).collect();
        Failed::usage(format!("--phase {name}: the phases are {}", known.join(", ")))
    })
}

/// A file for each latency of the report.
fn every_latency(report: &Report, folder: &Path) -> Result<Exit, Failed> {
    let files = espstress_report::latency_files(report);
    if files.is_empty() {
        return Err(Failed::usage("the report has no latency"));
    }
    for file in files {
        let path = folder.join(&file.name);
        espstress_report::write_text(&file.text, &path).map_err(Failed::environment)?;
        let _ = writeln!(std::io::stderr(), "wrote {}", path.display());
    }
    Ok(Exit::Done)
}

fn read(path: &Path) -> Result<Report, Failed> {
    if path == Path::new("-") {
        return standard_input();
    }
    if !espstress_report::is_log(path) {
        return espstress_report::read(path).map_err(Failed::usage);
    }
    rebuilt(espstress_report::read_log(path).map_err(Failed::usage)?, &path.display().to_string())
}

/// A report or a log, whichever comes.
fn standard_input() -> Result<Report, Failed> {
    const NAME: &str = "standard input";
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .read_to_end(&mut bytes)
        .map_err(|error| Failed::usage(format!("{NAME}: {error}")))?;
    if espstress_report::looks_like_log(&bytes[..bytes.len().min(1 << 20)]) {
        return rebuilt(espstress_report::read_log_bytes(NAME, &bytes).map_err(Failed::usage)?, NAME);
    }
    let text =
        String::from_utf8(bytes).map_err(|error| Failed::usage(format!("{NAME}: not a report: {error}")))?;
    espstress_report::from_json(NAME, &text).map_err(Failed::usage)
}

fn rebuilt(rebuilt: Rebuilt, name: &str) -> Result<Report, Failed> {
    for remark in &rebuilt.remarks {
        let _ = writeln!(std::io::stderr(), "note: {name}: {remark}");
    }
    Ok(rebuilt.report)
}

const fn format(name: FormatName) -> Format {
    match name {
        FormatName::Text => Format::Text,
        FormatName::Json => Format::Json,
        FormatName::Markdown => Format::Markdown,
        FormatName::Html => Format::Html,
        FormatName::Csv => Format::Csv,
        FormatName::Junit => Format::Junit,
        FormatName::GithubBenchmark => Format::GithubBenchmarkSmaller,
        FormatName::GithubBenchmarkBigger => Format::GithubBenchmarkBigger,
        FormatName::Bmf => Format::Bmf,
        FormatName::Prometheus => Format::Prometheus,
        FormatName::Hgrm => Format::Hgrm,
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
