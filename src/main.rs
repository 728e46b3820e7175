//! The `espstress` command: arguments, command, exit status.

// These macros panic where nobody reads what they print.
#![cfg_attr(not(test), deny(clippy::print_stderr, clippy::print_stdout))]

mod command;

use std::io::Write as _;
use std::process::ExitCode;

use command::Failed;

fn main() -> ExitCode {
    // A twin is this program again, told so by its first argument.
    #[cfg(target_os = "linux")]
    if std::env::args_os().nth(1).is_some_and(|first| first == espstress_twin::setup::TWIN_ARGUMENT) {
        return espstress_twin::child_main();
    }
    let colour = espstress_cli::parsers_colour(std::env::args_os());
    let matches = command::command_line().color(colour).get_matches();
    let exit = command::execute(&matches).unwrap_or_else(|Failed { exit, error }| {
        tell(error.as_ref());
        exit
    });
    ExitCode::from(exit.status())
}

/// clap's errors print themselves, with usage and colour.
fn tell(error: &(dyn std::error::Error + Send + Sync + 'static)) {
    match error.downcast_ref::<clap::Error>() {
        Some(error) => {
            let _ = error.print();
        }
        // Nobody may be there to read it.
        None => drop(writeln!(std::io::stderr(), "espstress: {error}")),
    }
}
