//! Twins beside devices on the network: the process that enters the twins' private network reaches nothing else, so this
//! program runs once more for them, with the same command line, and its reports are joined with those of this process.

use std::ffi::OsString;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Came, Numbered, of_member_came};
use crate::command::{Exit, Failed};
use espstress_cli::Common;
use espstress_fleet::Read;
use espstress_scenario::{InventoryDevice, Scenario};
use espstress_targets::Spec;

/// Those that this process runs, and those of the other one. Twins alone need no other.
pub(super) fn divide(members: Vec<InventoryDevice>, only_twins: bool) -> (Vec<Numbered>, Vec<Numbered>) {
    let numbered = (0..).zip(members);
    let (twins, others): (Vec<Numbered>, Vec<Numbered>) =
        numbered.partition(|(_, member)| matches!(member.target.parse(), Ok(Spec::Twin(_))));
    if only_twins {
        return (twins, Vec::new());
    }
    let elsewhere =
        others.iter().any(|(_, member)| matches!(member.target.parse(), Ok(Spec::Address { .. })));
    if elsewhere {
        return (others, twins);
    }
    let mut all = twins;
    all.extend(others);
    all.sort_by_key(|(number, _)| *number);
    (all, Vec::new())
}

/// In the process for the twins: it ends, as if interrupted, when the other one is gone.
pub(super) fn end_with_parent() {
    // A system that refuses, or has no such thing, leaves it running to its own end.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::TERM));
}

/// The process that runs the twins.
pub(super) struct Apart {
    child: Child,
    /// Where its report comes.
    folder: TempDir,
}

const REPORT: &str = "twins.json";

impl Apart {
    /// Starts this program again for the twins among `all` devices.
    pub(super) fn start(seed: u64, scenario: &Scenario, all: u32, common: &Common) -> Result<Self, Failed> {
        let cannot = |error: std::io::Error| {
            Failed::environment(format!("cannot start the process for the twins: {error}"))
        };
        let folder = tempfile::tempdir().map_err(cannot)?;
        let mut words: Vec<OsString> = std::env::args_os().skip(1).collect();
        words.extend(["--twins-to".into(), folder.path().join(REPORT).into()]);
        words.extend(["--of-all".into(), all.to_string().into()]);
        if common.seed.or(scenario.seed).is_none() {
            words.extend(["--seed".into(), seed.to_string().into()]);
        }
        if !common.quiet {
            words.push("--quiet".into());
        }
        let mut command = Command::new(std::env::current_exe().map_err(cannot)?);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null());
        // Ctrl-C is for this process, which passes it on once: a second one would lose the report.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().map_err(cannot)?;
        Ok(Self { child, folder })
    }

    /// Waits for the twins' reports; ends their runs where this process's were ended.
    pub(super) fn end(mut self, interrupted: bool, twins: Vec<Numbered>) -> Came {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| interrupted) {
            // One that has ended is not there any more.
            let _ = kill_process(pid, Signal::INT);
        }
        let status = self.child.wait();
        let path = self.folder.path().join(REPORT);
        let text = std::fs::read_to_string(&path);
        let read = text.ok().and_then(|text| espstress_fleet::from_json(REPORT, &text).ok());
        let Some(Read::Fleet(fleet)) = read else {
            let why = format!("the process for the twins {}", ending(status));
            let without = |(number, member)| (number, of_member_came(member, None, Some(why.clone())));
            return Came { devices: twins.into_iter().map(without).collect(), ..Came::default() };
        };
        let left_out = fleet.devices.iter().any(|device| device.report.is_none());
        Came {
            interrupted: fleet.interrupted,
            cpu_s: fleet.cpu_s,
            memory_peak_bytes: fleet.memory_peak_bytes,
            devices: twins.into_iter().map(|(number, _)| number).zip(fleet.devices).collect(),
            lost: lost(status, !left_out).into_iter().collect(),
        }
    }
}

/// Whether it could not keep everything, which it has said on standard error.
fn lost(status: std::io::Result<ExitStatus>, all_ran: bool) -> Option<String> {
    let lost =
        all_ran && status.is_ok_and(|status| status.code() == Some(i32::from(Exit::Environment.status())));
    lost.then(|| "a file of the twins is not complete: see above".to_owned())
}

fn ending(status: std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => format!("ended without a report: {status}"),
        Err(error) => format!("is lost: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::members::device;
    use super::*;

    fn divided(targets: &[&str], only_twins: bool) -> (Vec<u64>, Vec<u64>) {
        let all = targets.iter().map(|target| device((*target).to_owned(), (*target).to_owned(), Vec::new()));
        let (here, apart) = divide(all.collect(), only_twins);
        let numbers = |some: Vec<Numbered>| some.into_iter().map(|(number, _)| number).collect();
        (numbers(here), numbers(apart))
    }

    #[test]
    fn twins_run_apart_only_beside_devices_on_the_network_and_keep_their_numbers() {
        let mixed = ["192.168.4.1", "twin", "sim", "twin:std"];
        assert_eq!(divided(&mixed, false), (vec![0, 2], vec![1, 3]));
        assert_eq!(divided(&mixed, true), (vec![1, 3], vec![]), "the process for the twins");
        assert_eq!(divided(&["twin", "sim", "twin"], false), (vec![0, 1, 2], vec![]));
    }
}
