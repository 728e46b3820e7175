//! The files that a command writes: two of them in one place would destroy each other.

use std::path::{Path, PathBuf};

use super::Failed;
use espstress_cli::{Common, Other, Parsed};

/// A file with the option that names it.
type Named<'a> = (&'static str, &'a Path);

/// Refuses one path for two files, before any of them is touched.
pub(super) fn distinct(parsed: &Parsed, trace: Option<&Path>) -> Result<(), Failed> {
    let mut files: Vec<Named<'_>> = trace.map(|path| ("--trace", path)).into_iter().collect();
    match parsed {
        Parsed::Workload { common, several, .. } => {
            files.extend(of_run(common));
            files.extend(several.targets.as_deref().map(|path| ("--targets", path)));
        }
        Parsed::Run { args, .. } => {
            files.extend(of_run(&args.common));
            files.extend(args.several.targets.as_deref().map(|path| ("--targets", path)));
            files.push(("the scenario", Path::new(&args.scenario)));
        }
        Parsed::Other(other) => match &**other {
            Other::Doctor(args) => files.extend(of_run(&args.common)),
            Other::Report(args) => {
                files.extend(args.output.as_deref().map(|path| ("-o", path)));
                files.push(("the report", &args.file));
            }
            Other::Merge(args) => files.extend(args.output.as_deref().map(|path| ("-o", path))),
            Other::Analyze(args) => {
                files.extend(args.output.as_deref().map(|path| ("-o", path)));
                files.push(("the capture file", &args.file));
            }
            _ => {}
        },
    }
    match twice(&files) {
        Some(((a, path), (b, _))) => {
            let path = path.display();
            Err(Failed::usage(format!("{b} {path}: {a} names the same file; give each a path of its own")))
        }
        None => Ok(()),
    }
}

fn of_run(common: &Common) -> impl Iterator<Item = Named<'_>> {
    [
        ("-o", &common.output),
        ("--log", &common.log),
        ("--resume", &common.resume),
        ("--pcap", &common.pcap),
        ("--console-log", &common.console.console_log),
        ("--elf", &common.console.elf),
    ]
    .into_iter()
    .filter_map(|(option, path)| Some((option, path.as_deref()?)))
}

/// The first two that are one file.
fn twice<'a>(files: &[Named<'a>]) -> Option<(Named<'a>, Named<'a>)> {
    files.iter().enumerate().find_map(|(i, later)| {
        let own = place(later.1)?;
        let earlier = files[..i].iter().find(|earlier| place(earlier.1).as_ref() == Some(&own))?;
        Some((*earlier, *later))
    })
}

/// Where a file is, whichever way its path goes; `None` for devices and pipes, which several may write.
fn place(path: &Path) -> Option<PathBuf> {
    match std::fs::metadata(path) {
        Ok(file) if !file.is_file() => None,
        Ok(_) => path.canonicalize().ok(),
        Err(_) => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new(".")).canonicalize().ok()?;
            Some(folder.join(path.file_name()?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a command line is told before it runs.
    fn said(line: &str) -> Option<String> {
        let words = std::iter::once("espstress").chain(line.split_whitespace());
        let matches = super::super::command_line().try_get_matches_from(words).unwrap();
        let parsed = espstress_cli::parse(&matches, &super::super::workload_flags()).unwrap();
        let failed = distinct(&parsed, espstress_cli::trace(&matches)).err()?;
        assert_eq!(failed.exit, super::super::Exit::Usage);
        Some(failed.error.to_string())
    }

    #[test]
    fn two_files_of_a_run_in_one_place_are_refused_whichever_way_the_path_goes() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        for (a, b) in [
            ("-o", "--log"),
            ("-o", "--pcap"),
            ("--log", "--pcap"),
            ("--log", "--console-log"),
            ("--trace", "-o"),
            ("--pcap", "--resume"),
        ] {
            let line =
                format!("head sim {a} {at}/x {b} {at}/../{}/x", folder.path().file_name().unwrap().display());
            let said = said(&line).unwrap();
            assert!(said.contains("names the same file"), "{line}: {said}");
            assert_eq!(self::said(&format!("head sim {a} {at}/x {b} {at}/y")), None);
        }
        assert!(said(&format!("doctor sim -o {at}/x --log {at}/x")).is_some());
    }

    #[test]
    fn the_scenario_and_the_inventory_are_not_overwritten() {
        assert!(said("run t.toml -o ./t.toml").is_some());
        assert!(said("head --targets lab.toml -o lab.toml").is_some());
        assert_eq!(said("run quick -o quick.json"), None);
    }

    #[test]
    fn a_device_may_be_named_twice() {
        assert_eq!(said("head sim -o /dev/null --log /dev/null"), None);
    }
}
