//! Commands on reports that exist.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::output::{self, style};
use super::{Exit, Failed};
use espstress_cli::{CompareArgs, FormatName, MergeArgs, ReportArgs};
use espstress_compare::Named;
use espstress_fleet::{FleetReport, Read};
use espstress_report::{Detail, Format, GateExit, Options, Report, Verdict};

/// `espstress report`.
pub(super) fn report(args: &ReportArgs) -> Result<Exit, Failed> {
    let detail = if args.verbose { Detail::Evidence } else { Detail::Page };
    let text = match (read_any(&args.file)?, &args.device) {
        (Read::Fleet(fleet), None) => fleet_text(&fleet, args.format, detail)?,
        (Read::Fleet(fleet), Some(name)) => text_of(&of_fleet(*fleet, name)?, args.format, detail)?,
        (Read::Report(report), None) => text_of(&report, args.format, detail)?,
        (Read::Report(_), Some(_)) => {
            return Err(Failed::usage(format!(
                "--device is for reports of several devices; {} has one device",
                args.file.display()
            )));
        }
    };
    match &args.output {
        Some(path) => espstress_report::write_text(&text, path).map_err(Failed::environment)?,
        None => output::print(&text).map_err(Failed::environment)?,
    }
    Ok(Exit::Done)
}

fn text_of(report: &Report, name: FormatName, detail: Detail) -> Result<String, Failed> {
    let options = Options { style: style(detail), ..Options::default() };
    espstress_report::render(report, format(name), &options).map_err(Failed::usage)
}

/// One device's report out of a fleet's.
fn of_fleet(fleet: FleetReport, name: &str) -> Result<Report, Failed> {
    let names: Vec<String> = fleet.devices.iter().map(|device| device.name.clone()).collect();
    let Some(device) = fleet.devices.into_iter().find(|device| device.name == name) else {
        return Err(Failed::usage(format!("there is no device `{name}`; there are {}", names.join(", "))));
    };
    let why = device.not_run.unwrap_or_else(|| "it was not tested".to_owned());
    device.report.ok_or_else(|| Failed::usage(format!("{name} has no report: {why}")))
}

/// A fleet report in one of its formats.
pub(super) fn fleet_text(fleet: &FleetReport, name: FormatName, detail: Detail) -> Result<String, Failed> {
    match name {
        FormatName::Text => {
            let style = style(detail);
            let mut text = espstress_fleet::page(fleet, &style);
            if detail == Detail::Evidence {
                for device in &fleet.devices {
                    let Some(report) = &device.report else { continue };
                    text.push_str(&format!("\n== {} ==\n", device.name));
                    text.push_str(&espstress_report::text::page(report, &style));
                }
            }
            Ok(text)
        }
        FormatName::Json => Ok(espstress_fleet::to_json(fleet)),
        FormatName::Markdown => Ok(espstress_fleet::markdown(fleet)),
        _ => Err(Failed::usage(
            "several devices together have the formats text, json and markdown; for the others, choose one with --device NAME",
        )),
    }
}

/// `espstress merge`.
pub(super) fn merge(args: &MergeArgs) -> Result<Exit, Failed> {
    if let Some(path) = &args.output {
        espstress_report::check_writable(path).map_err(Failed::usage)?;
    }
    let named = |path: &PathBuf| {
        let name = path.display().to_string();
        Ok(match read_any(path)? {
            Read::Report(report) => espstress_fleet::Named::Report(name, report),
            Read::Fleet(fleet) => espstress_fleet::Named::Fleet(name, fleet),
        })
    };
    let read = args.reports.iter().map(named).collect::<Result<Vec<_>, Failed>>()?;
    let fleet = espstress_fleet::merge(read).map_err(Failed::usage)?;
    if let Some(path) = &args.output {
        let json = espstress_fleet::to_json(&fleet);
        espstress_report::write_text(&json, path).map_err(Failed::environment)?;
    }
    output::print(&fleet_text(&fleet, args.format, Detail::Page)?).map_err(Failed::environment)?;
    Ok(match fleet.verdict {
        Verdict::Pass => Exit::Done,
        Verdict::Fail => Exit::GateBroken,
        Verdict::Inconclusive => Exit::Inconclusive,
    })
}

/// A report of one device or of several, or the log of a run.
fn read_any(path: &Path) -> Result<Read, Failed> {
    if espstress_report::is_log(path) {
        return Ok(Read::Report(Box::new(read(path)?)));
    }
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| Failed::usage(format!("{name}: {error}")))?;
    espstress_fleet::from_json(&name, &text).map_err(Failed::usage)
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
