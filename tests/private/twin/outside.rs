//! What is seen from outside of the private network.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use libtest_mimic::Failed;

use super::client::{PATIENCE, until};
use super::{HOLD, case_command};
use crate::runner::{judge, skip};

/// A case of the outside.
pub(crate) type Case = (&'static str, fn() -> Result<(), Failed>);

pub(crate) const ALL: &[Case] = &[
    ("a_twin_ends_with_a_killed_parent_and_leaves_nothing_behind", a_twin_ends_with_a_killed_parent),
    ("two_private_networks_live_side_by_side", two_private_networks_live_side_by_side),
    ("an_ordinary_user_has_a_twin_too", an_ordinary_user_has_a_twin_too),
];

/// Nobody: the user and group that own nothing.
const NOBODY: u32 = 65_534;

/// The machine's interfaces and addresses, by its own tool where there is one.
fn interfaces() -> String {
    match Command::new("ip").arg("addr").output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(_) => std::fs::read_to_string("/proc/net/dev")
            .unwrap_or_default()
            .lines()
            .filter_map(|line| Some(line.split_once(':')?.0.to_owned()))
            .collect(),
    }
}

fn a_twin_ends_with_a_killed_parent() -> Result<(), Failed> {
    let before = interfaces();
    let mut parent = case_command(HOLD.0)?.stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(parent.stdout.take().ok_or("its output")?).read_line(&mut line)?;
    let Ok(twin) = line.trim().parse::<u32>() else {
        parent.wait()?;
        return skip("twin", &line);
    };
    let process = format!("/proc/{twin}");
    assert!(Path::new(&process).exists());
    assert_eq!(interfaces(), before, "untouched while it runs");
    parent.kill()?;
    parent.wait()?;
    let gone = until("the twin is gone", PATIENCE, || !runs(&process));
    println!("gone after {:?}", gone.map_err(|error| error.to_string())?);
    assert_eq!(interfaces(), before, "and after it was killed");
    Ok(())
}

/// Whether a process is there, other than as a dead one that waits for its new parent to notice.
fn runs(process: &str) -> bool {
    let status = std::fs::read_to_string(format!("{process}/stat")).unwrap_or_default();
    status.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z') && !rest.starts_with('X'))
}

fn two_private_networks_live_side_by_side() -> Result<(), Failed> {
    let name = "sixteen_at_once_are_served_where_sockets_and_backlog_allow";
    std::thread::scope(|scope| {
        let both = [0, 1].map(|_| scope.spawn(|| judge(&mut case_command(name)?)));
        both.into_iter().try_for_each(|one| one.join().map_err(|_| Failed::from("panicked"))?)
    })
}

fn an_ordinary_user_has_a_twin_too() -> Result<(), Failed> {
    let root = std::fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own))? == 0;
    for name in [
        "a_twin_serves_as_soon_as_it_has_started",
        "a_robust_twin_answers_heads_by_the_thousand_and_loses_no_frame",
        "a_rebooting_twin_starts_anew_with_its_interface_kept",
        "two_twins_share_a_network",
        "curl_and_ping_reach_the_twin",
    ] {
        let mut command = case_command(name)?;
        if root {
            command.uid(NOBODY).gid(NOBODY).current_dir("/");
        }
        judge(&mut command).map_err(|error| format!("{name}: {error:?}"))?;
    }
    Ok(())
}
