//! Runs each case in a process of its own.

use std::error::Error;
use std::process::{Command, ExitCode};

use espstress_targets::network::PrivateNetwork;
use libtest_mimic::{Arguments, Failed, Trial};

use crate::{cases, conformance, mqtt, outside, smoltcp};

/// What a case comes to.
pub(crate) type Outcome = Result<(), Box<dyn Error>>;

/// A case: what it shows, as a sentence, and how.
pub(crate) type Case = (&'static str, fn(&PrivateNetwork) -> Outcome);

/// The case that stays until it is killed.
pub(crate) const HOLD: &str = "hold";

const CASE_ARGUMENT: &str = "__case";
const SKIPPED: u8 = 77;

pub(crate) fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some(espstress_twin::setup::TWIN_ARGUMENT) => return espstress_twin::child_main(),
        Some(CASE_ARGUMENT) => return run_case(&arguments.next().unwrap_or_default()),
        _ => {}
    }
    let inside = inside().map(|&(name, _)| Trial::test(name, move || spawn_case(name)));
    let outside = outside::ALL.iter().map(|&(name, test)| Trial::test(name, test));
    libtest_mimic::run(&Arguments::from_args(), inside.chain(outside).collect()).exit_code()
}

/// The cases that have a private network.
fn inside() -> impl Iterator<Item = &'static Case> {
    cases::ALL.iter().chain(smoltcp::ALL).chain(mqtt::ALL).chain(conformance::ALL)
}

fn run_case(name: &str) -> ExitCode {
    let network = match PrivateNetwork::enter() {
        Ok(network) => network,
        Err(error) => {
            println!("{error}");
            return ExitCode::from(SKIPPED);
        }
    };
    let known = inside().chain(&[(HOLD, cases::hold as fn(&PrivateNetwork) -> Outcome)]);
    let Some((_, case)) = { known }.find(|&&(known, _)| known == name) else {
        println!("no such case");
        return ExitCode::FAILURE;
    };
    match case(&network) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn spawn_case(name: &str) -> Result<(), Failed> {
    let mut command = case_command(name).map_err(|error| Failed::from(error.to_string()))?;
    judge(&mut command)
}

/// The command that runs one case.
pub(crate) fn case_command(name: &str) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([CASE_ARGUMENT, name]);
    Ok(command)
}

/// Runs a case and takes its status for what it is.
pub(crate) fn judge(command: &mut Command) -> Result<(), Failed> {
    let output = command.output().map_err(|error| Failed::from(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    match output.status.code() {
        Some(0) => {
            if !said.is_empty() {
                println!("{said}");
            }
            Ok(())
        }
        Some(code) if code == i32::from(SKIPPED) => skip(said),
        _ => Err(Failed::from(format!("{}: {said}", output.status))),
    }
}

/// Passes with a word why, or fails where twins are required.
pub(crate) fn skip(why: &str) -> Result<(), Failed> {
    let required =
        std::env::var("ESPSTRESS_REQUIRE").is_ok_and(|list| list.split(',').any(|what| what == "twin"));
    if required {
        return Err(Failed::from(format!("required, but: {why}")));
    }
    println!("SKIPPED: {why}");
    Ok(())
}
