//! Reports from files joined: what may be joined, and under what names.

use std::collections::BTreeSet;

use super::join::join;
use super::model::{FleetDevice, FleetReport};
use espstress_report::{Report, Workload};

/// What was read from a file.
#[derive(Clone, Debug)]
pub enum Named {
    /// One device's report, and the file's name.
    Report(String, Box<Report>),
    /// Several that are already one, and the file's name.
    Fleet(String, Box<FleetReport>),
}

/// Why reports were not joined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is nothing to join.
    #[error("there are no reports to join: no device of these files has one")]
    NoReport,
    /// They are of different work.
    #[error("cannot join {other} with {first}: {}", differences.join("; "))]
    OtherWork {
        /// A report's name.
        first: String,
        /// The name of the one that differs from it.
        other: String,
        /// What differs, each in words.
        differences: Vec<String>,
    },
    /// Different versions of the program or of the format made them.
    #[error("cannot join {other} with {first}: {versions}; make all of them with the same espstress")]
    OtherVersion {
        /// A report's name.
        first: String,
        /// The name of the one that differs from it.
        other: String,
        /// Which versions.
        versions: String,
    },
    /// One run is in them twice.
    #[error("{first} and {other} are reports of the same run: its attempts would count twice")]
    SameRun {
        /// A report's name.
        first: String,
        /// The other's.
        other: String,
    },
    /// A distribution can't be added.
    #[error("{name}: {workload}: the latency {phase} has no readable histogram to add")]
    NoHistogram {
        /// The report's name.
        name: String,
        /// Which workload.
        workload: String,
        /// Which latency.
        phase: &'static str,
    },
}

/// Joins reports, fleet reports among them.
///
/// # Errors
/// [`Refused`].
pub fn merge(all: Vec<Named>) -> Result<FleetReport, Refused> {
    // Each with the file that it is from.
    let mut devices: Vec<(String, FleetDevice)> = Vec::new();
    for one in all {
        match one {
            Named::Report(file, report) => {
                let name = report.target.address.clone();
                let device = FleetDevice {
                    name,
                    tags: Vec::new(),
                    start_s: None,
                    not_run: None,
                    report: Some(*report),
                };
                devices.push((file, device));
            }
            Named::Fleet(file, fleet) => {
                devices.extend(fleet.devices.into_iter().map(|device| (file.clone(), device)));
            }
        }
    }
    check(&devices)?;
    Ok(join(named(devices)))
}

fn check(devices: &[(String, FleetDevice)]) -> Result<(), Refused> {
    let reports: Vec<(&str, &Report)> =
        devices.iter().filter_map(|(file, device)| Some((file.as_str(), device.report.as_ref()?))).collect();
    let Some(((first, base), others)) = reports.split_first() else { return Err(Refused::NoReport) };
    for (other, report) in others {
        let names = || ((*first).to_owned(), (*other).to_owned());
        if let Some(versions) = versions(base, report) {
            let (first, other) = names();
            return Err(Refused::OtherVersion { first, other, versions });
        }
        let differences = espstress_compare::differences(
            espstress_compare::Named { name: first, report: base },
            espstress_compare::Named { name: other, report },
        );
        if !differences.is_empty() {
            let (first, other) = names();
            return Err(Refused::OtherWork { first, other, differences });
        }
    }
    for (nth, (file, report)) in reports.iter().enumerate() {
        let mut before = reports.iter().take(nth);
        if let Some((first, _)) = before.find(|(_, other)| other.shares_a_session(report)) {
            return Err(Refused::SameRun { first: (*first).to_owned(), other: (*file).to_owned() });
        }
        report.workloads.iter().try_for_each(|workload| histograms(file, workload))?;
    }
    Ok(())
}

/// Which versions two reports are of, where they differ.
fn versions(a: &Report, b: &Report) -> Option<String> {
    if a.schema_version() != b.schema_version() {
        return Some(format!("schema_version {} and {}", a.schema_version(), b.schema_version()));
    }
    (a.tool != b.tool).then(|| {
        let of = |report: &Report| format!("{} {}", report.tool.name, report.tool.version);
        format!("{} and {}", of(a), of(b))
    })
}

/// Whether every distribution can be added whole.
fn histograms(name: &str, workload: &Workload) -> Result<(), Refused> {
    for (phase, figures) in &workload.latency {
        let each = [Some(figures), figures.uncorrected.as_deref()];
        let whole = each.into_iter().flatten().all(|f| f.histogram().map_or(0, |h| h.len()) == f.count);
        if !whole {
            return Err(Refused::NoHistogram {
                name: name.to_owned(),
                workload: workload.name.clone(),
                phase: phase.name(),
            });
        }
    }
    Ok(())
}

/// Names that tell the devices apart: where two have the same one, each with its file's.
fn named(devices: Vec<(String, FleetDevice)>) -> Vec<FleetDevice> {
    let names: Vec<String> = devices.iter().map(|(_, device)| device.name.clone()).collect();
    let mut taken = BTreeSet::new();
    let mut out = Vec::with_capacity(devices.len());
    for (file, mut device) in devices {
        if names.iter().filter(|name| **name == device.name).count() > 1 {
            device.name = format!("{} ({file})", device.name);
        }
        let base = device.name.clone();
        let mut number = 2;
        while !taken.insert(device.name.clone()) {
            device.name = format!("{base} #{number}");
            number += 1;
        }
        out.push(device);
    }
    out
}
