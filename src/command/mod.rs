//! The commands, each composed of the crates.

mod analyze;
mod assemble;
mod catalogue;
mod console;
mod descriptors;
mod discover;
mod doctor;
mod files;
mod fleet;
mod live;
mod log;
mod metrics;
mod nightly;
mod output;
mod outputs;
mod progress;
mod run;
mod settings;
mod telling;
mod trace;
mod twin;
mod whereabouts;

use clap::Command;

use espstress_cli::{Other, Parsed, WorkloadFlags};
use espstress_workload::KINDS;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, and every gate holds.
    Done,
    /// A gate is broken.
    GateBroken,
    /// The command line or the scenario is wrong.
    Usage,
    /// The target or the environment would not let it run.
    Environment,
    /// A gate could not be judged.
    Inconclusive,
    /// Ctrl-C.
    Interrupted,
    /// As the program did that was run.
    OfProgram(u8),
}

impl Exit {
    /// The exit status.
    #[must_use]
    pub(crate) const fn status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::GateBroken => 1,
            Self::Usage => 2,
            Self::Environment => 3,
            Self::Inconclusive => 4,
            Self::Interrupted => 130,
            Self::OfProgram(status) => status,
        }
    }
}

/// Why a command came to nothing, with the status that says so.
#[derive(Debug)]
pub(crate) struct Failed {
    /// The status.
    pub(crate) exit: Exit,
    /// What to tell.
    pub(crate) error: Box<dyn std::error::Error + Send + Sync>,
}

impl Failed {
    /// The command line or the scenario is wrong.
    pub(crate) fn usage(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { exit: Exit::Usage, error: error.into() }
    }

    /// The target or the environment would not let it run.
    pub(crate) fn environment(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { exit: Exit::Environment, error: error.into() }
    }
}

/// The whole command line, the workloads' commands among it.
#[must_use]
pub(crate) fn command_line() -> Command {
    espstress_cli::command(&workload_flags(), espstress_workload::load_flags)
}

fn workload_flags() -> Vec<WorkloadFlags> {
    KINDS.iter().map(|kind| WorkloadFlags { name: kind.name, flags: kind.flags }).collect()
}

/// Runs what was asked for.
///
/// # Errors
/// [`Failed`], with the exit status.
pub(crate) fn execute(matches: &clap::ArgMatches) -> Result<Exit, Failed> {
    output::colour(espstress_cli::colour(matches));
    let parsed = espstress_cli::parse(matches, &workload_flags()).map_err(Failed::usage)?;
    let trace = espstress_cli::trace(matches);
    outputs::distinct(&parsed, trace)?;
    trace::begin(trace).map_err(Failed::usage)?;
    match parsed {
        Parsed::Run { args, matches } => run::scenario(&args, &matches),
        Parsed::Workload { kind, target, several, common, matches } => {
            run::one(kind, target, &several, &common, &matches)
        }
        Parsed::Other(other) => match *other {
            // Both are taken above; clap's derive does not know that.
            Other::Run(args) => run::scenario(&args, matches),
            Other::Report(args) => files::report(&args),
            Other::Merge(args) => files::merge(&args),
            Other::Compare(args) => files::compare(&args),
            Other::Anomalies(args) => catalogue::anomalies(&args),
            Other::Findings(args) => catalogue::findings(&args),
            Other::Thresholds => catalogue::thresholds(),
            Other::Scenarios { name } => catalogue::scenarios(name.as_deref()),
            Other::Schema { fleet } => catalogue::schema(fleet),
            Other::Completions { shell } => catalogue::completions(shell),
            Other::Man(args) => catalogue::man(&args),
            Other::Twin(args) => twin::twin(&args),
            Other::Analyze(args) => analyze::analyze(&args),
            Other::Discover(args) => discover::discover(&args),
            Other::Doctor(args) => doctor::doctor(&args),
        },
    }
}
