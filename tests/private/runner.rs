//! Runs each case in a process of its own.

use std::error::Error;
use std::process::{Command, ExitCode};

use espstress_targets::network::PrivateNetwork;
use libtest_mimic::{Arguments, Failed};

use crate::{air, program, twin};

/// What a case comes to.
pub(crate) type Outcome = Result<(), Box<dyn Error>>;

/// A case: what it shows, as a sentence, and how.
pub(crate) type Case = (&'static str, fn(&PrivateNetwork) -> Outcome);

const CASE_ARGUMENT: &str = "__case";
const SKIPPED: u8 = 77;

pub(crate) fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some(espstress_twin::setup::TWIN_ARGUMENT) => return espstress_twin::child_main(),
        Some(CASE_ARGUMENT) => return run_case(&arguments.next().unwrap_or_default()),
        _ => {}
    }
    let mut arguments = Arguments::from_args();
    // As libtest, which libtest-mimic follows in all but this.
    let threads = std::env::var("RUST_TEST_THREADS").ok().and_then(|threads| threads.parse().ok());
    arguments.test_threads = arguments.test_threads.or(threads);
    let programs = program::Programs::compile();
    // They begin in this order, and the last to end is among those of programs.
    let mut trials = program::trials(&programs);
    trials.extend(twin::trials());
    trials.extend(air::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn run_case(name: &str) -> ExitCode {
    let network = match PrivateNetwork::enter() {
        Ok(network) => network,
        Err(error) => {
            println!("{error}");
            return ExitCode::from(SKIPPED);
        }
    };
    let Some((_, case)) =
        twin::inside().chain(program::inside()).chain(air::inside()).find(|(known, _)| known == name)
    else {
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

/// The command that runs one case, by its whole name.
pub(crate) fn case_command(name: &str) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([CASE_ARGUMENT, name]);
    Ok(command)
}

/// Runs a case and takes its status for what it is.
pub(crate) fn judge(command: &mut Command) -> Result<(), Failed> {
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    match output.status.code() {
        Some(0) => {
            if !said.is_empty() {
                println!("{said}");
            }
            Ok(())
        }
        Some(code) if code == i32::from(SKIPPED) => skip("twin", said),
        _ => Err(Failed::from(format!("{}: {said}", output.status))),
    }
}

/// Passes with a word why, or fails where what is needed is required.
pub(crate) fn skip(needs: &str, why: &str) -> Result<(), Failed> {
    let required =
        std::env::var("ESPSTRESS_REQUIRE").is_ok_and(|list| list.split(',').any(|what| what == needs));
    if required {
        return Err(Failed::from(format!("{needs} is required, but: {why}")));
    }
    println!("SKIPPED: {why}");
    Ok(())
}
