//! The twin itself: what it serves, what it counts, how it starts and ends, on both stacks.

mod cases;
mod client;
mod conformance;
mod mqtt;
mod outside;
mod smoltcp;

use std::process::Command;

use espstress_targets::network::PrivateNetwork;
use libtest_mimic::Trial;

use crate::runner::{self, Case, Outcome, judge};

/// The case that stays until it is killed.
const HOLD: Case = ("hold", cases::hold);

pub(crate) fn trials() -> Vec<Trial> {
    let inside = cases().map(|&(name, _)| Trial::test(whole(name), move || judge(&mut case_command(name)?)));
    inside.chain(outside::ALL.iter().map(|&(name, test)| Trial::test(whole(name), test))).collect()
}

/// The cases that run in a private network, by their whole names.
pub(crate) fn inside() -> impl Iterator<Item = (String, fn(&PrivateNetwork) -> Outcome)> {
    cases().chain([&HOLD]).map(|&(name, case)| (whole(name), case))
}

fn cases() -> impl Iterator<Item = &'static Case> {
    cases::ALL.iter().chain(smoltcp::ALL).chain(mqtt::ALL).chain(conformance::ALL)
}

fn whole(name: &str) -> String {
    format!("twin::{name}")
}

fn case_command(name: &str) -> std::io::Result<Command> {
    runner::case_command(&whole(name))
}
