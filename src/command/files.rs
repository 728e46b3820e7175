//! Commands on reports that exist.

use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

use super::output::{self, style};
use super::{Exit, Failed};
use espstress_cli::{CompareArgs, FormatName, MergeArgs, ReportArgs};
use espstress_compare::Named;
use espstress_fleet::{FleetReport, Read};
use espstress_report::{Detail, Format, GateExit, Options, Rebuilt, Report, Verdict};
use espstress_stats::Phase;

/// `espstress report`.
pub(super) fn report(args: &ReportArgs) -> Result<Exit, Failed> {
    let hgrm = args.format == FormatName::Hgrm;
    if !hgrm && (args.workload.is_some() || args.phase.is_some()) {
        return Err(Failed::usage("--workload and --phase select a latency for --format hgrm"));
    }
    let phase = args.phase.as_deref().map(phase).transpose()?;
    let detail = if args.verbose { Detail::Evidence } else { Detail::Page };
    let report = match (read_any(&args.file)?, &args.device) {
        (Read::Fleet(fleet), None) => return told(&fleet_text(&fleet, args.format, detail)?, args),
        (Read::Fleet(fleet), Some(name)) => of_fleet(*fleet, name)?,
        (Read::Report(report), None) => *report,
        (Read::Report(_), Some(_)) => {
            return Err(Failed::usage(format!(
                "--device is for reports of several devices; {} has one device",
                args.file.display()
            )));
        }
    };
    let options = Options { style: style(detail), workload: args.workload.clone(), phase };
    let every = hgrm && args.workload.is_none() && args.phase.is_none();
    if let Some(path) = args.output.as_deref().filter(|_| every) {
        if is_folder(path) {
            std::fs::create_dir_all(path)
                .map_err(|error| Failed::environment(format!("cannot create {}: {error}", path.display())))?;
            return every_latency(&report, path);
        }
        let n = espstress_report::latency_files(&report).len();
        if n > 1 {
            let path = path.display();
            let _ = writeln!(
                std::io::stderr(),
                "note: {path} has the main latency of the first workload; `-o {path}/` writes a folder with all {n}"
            );
        }
    }
    told(&espstress_report::render(&report, format(args.format), &options).map_err(Failed::usage)?, args)
}

/// A folder that is there, or one to be made: its path ends in a slash.
fn is_folder(path: &Path) -> bool {
    path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

fn told(text: &str, args: &ReportArgs) -> Result<Exit, Failed> {
    match &args.output {
        Some(path) => espstress_report::write_text(text, path).map_err(Failed::environment)?,
        None => output::print(text).map_err(Failed::environment)?,
    }
    Ok(Exit::Done)
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
        espstress_report::check_writable(path, "-o").map_err(Failed::usage)?;
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
    if path != Path::new("-") && espstress_report::is_log(path) {
        return Ok(Read::Report(Box::new(read(path)?)));
    }
    if path == Path::new("-") {
        return standard_input();
    }
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| Failed::usage(format!("{name}: {error}")))?;
    espstress_fleet::from_json(&name, &text).map_err(Failed::usage)
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
        return match standard_input()? {
            Read::Report(report) => Ok(*report),
            Read::Fleet(_) => {
                Err(Failed::usage("standard input: a report of several devices; one device's is needed"))
            }
        };
    }
    if !espstress_report::is_log(path) {
        return espstress_report::read(path).map_err(Failed::usage);
    }
    rebuilt(espstress_report::read_log(path).map_err(Failed::usage)?, &path.display().to_string())
}

/// A report of one device or of several, or a log, whichever comes.
fn standard_input() -> Result<Read, Failed> {
    const NAME: &str = "standard input";
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .read_to_end(&mut bytes)
        .map_err(|error| Failed::usage(format!("{NAME}: {error}")))?;
    if espstress_report::looks_like_log(&bytes[..bytes.len().min(1 << 20)]) {
        let report = rebuilt(espstress_report::read_log_bytes(NAME, &bytes).map_err(Failed::usage)?, NAME)?;
        return Ok(Read::Report(Box::new(report)));
    }
    let text =
        String::from_utf8(bytes).map_err(|error| Failed::usage(format!("{NAME}: not a report: {error}")))?;
    espstress_fleet::from_json(NAME, &text).map_err(Failed::usage)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_ends_in_a_slash_is_a_folder_that_need_not_be_there() {
        let folder = tempfile::tempdir().unwrap();
        assert!(is_folder(folder.path()) && is_folder(&folder.path().join("new/")));
        assert!(!is_folder(&folder.path().join("new")));
    }
}
