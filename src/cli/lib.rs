//! What was typed: the command line, nothing resolved and no system call made.
//!
//! The workloads' own flags come from their registry; `command` adds them to [`command`] before it is parsed.

mod args;
mod shells;

pub(crate) use args::Cli;
pub use args::{
    AnalyzeArgs, AnalyzeForm, CatalogueArgs, ColourWhen, Common, CompareArgs, ConsoleOptions, ConsoleStyle,
    DeviceOptions, DiscoverArgs, DoctorArgs, FormatName, ManArgs, MergeArgs, Other, ReportArgs, RunArgs,
    SeveralArgs, TwinArgs,
};
pub use shells::{ManPage, Shell, completions, man_pages};

use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory, FromArgMatches};

/// A workload's command, as the registry describes it.
pub struct WorkloadFlags {
    /// Its name.
    pub name: &'static str,
    /// Adds its flags.
    pub flags: fn(Command) -> Command,
}

/// What was asked for.
#[derive(Debug)]
pub enum Parsed {
    /// `espstress head TARGET` and its like.
    Workload {
        /// The kind.
        kind: &'static str,
        /// The device; `None` where it waits for one, or the devices are named by other options.
        target: Option<String>,
        /// Further devices.
        several: SeveralArgs,
        /// The common flags.
        common: Box<Common>,
        /// For the workload's own flags.
        matches: Box<clap::ArgMatches>,
    },
    /// `espstress run`.
    Run {
        /// Its own and the common flags.
        args: Box<RunArgs>,
        /// For the load flags that override the scenario's.
        matches: Box<clap::ArgMatches>,
    },
    /// Any other command.
    Other(Box<Other>),
}

/// The whole command line. `load_flags` are those of every workload, which `run` takes as overrides.
#[must_use]
pub fn command(workloads: &[WorkloadFlags], load_flags: fn(Command) -> Command) -> Command {
    // Flattened structures bring their own description along; the command's stays.
    let run = |run: Command| {
        let about = run.get_about().cloned().unwrap_or_default();
        load_flags(run).about(about)
    };
    let mut command = Cli::command().arg(colour_flag()).mut_subcommand("run", run);
    for workload in workloads {
        command = command.subcommand(workload_command(workload));
    }
    command
}

/// A flag of every command.
fn colour_flag() -> clap::Arg {
    clap::Arg::new(COLOUR)
        .long("color")
        .value_name("WHEN")
        .help("When to use color: auto, always or never [default: auto]")
        .hide_possible_values(true)
        .hide_default_value(true)
        .value_parser(clap::value_parser!(ColourWhen))
        .default_value("auto")
        .global(true)
}

const COLOUR: &str = "color";

/// When to colour, as the command line says.
#[must_use]
pub fn colour(matches: &clap::ArgMatches) -> ColourWhen {
    let inner = matches.subcommand().map_or(matches, |(_, sub)| sub);
    inner.get_one(COLOUR).copied().unwrap_or_default()
}

/// The same for the parser's own words, which come before the command line is understood.
#[must_use]
pub fn parsers_colour(words: impl Iterator<Item = std::ffi::OsString>) -> clap::ColorChoice {
    let words: Vec<_> =
        words.filter_map(|word| word.into_string().ok()).take_while(|word| word != "--").collect();
    let joined = words.iter().rev().find_map(|word| word.strip_prefix("--color="));
    let apart = || words.windows(2).rev().find(|pair| pair[0] == "--color").map(|pair| pair[1].as_str());
    match joined.or_else(apart) {
        Some("always") => clap::ColorChoice::Always,
        Some("never") => clap::ColorChoice::Never,
        _ => clap::ColorChoice::Auto,
    }
}

fn workload_command(workload: &WorkloadFlags) -> Command {
    let (about, examples) = workload_help(workload.name);
    let target = clap::Arg::new("target").value_name("TARGET").help(TARGET_HELP);
    // A device that dials in needs no address.
    let target = match workload.name {
        "outage" => target.required_unless_present("listen"),
        // Nor does the first one to connect to a broker.
        "mqtt" => target.help(MQTT_TARGET_HELP),
        _ if takes_several(workload.name) => target.required_unless_present_any(["further", "targets"]),
        _ => target.required(true),
    };
    let own = Command::new(workload.name).about(about).after_help(examples).arg(target);
    let own = (workload.flags)(own.next_help_heading("Workload"));
    let own = own.next_help_heading("Run");
    let own = if takes_several(workload.name) { SeveralArgs::augment_args(own) } else { own };
    Common::augment_args(own).about(about)
}

/// Whether a workload can drive several devices at once: others wait for the device, or change this host's network.
fn takes_several(workload: &str) -> bool {
    matches!(workload, "head" | "rw")
}

const TARGET_HELP: &str = "Address or name of the device, with optional :PORT, an http:// or https:// URL, twin, twin:std, twin:expr, twin:FILE, tap:CMD, emu:IMAGE, or sim";

const MQTT_TARGET_HELP: &str = "The device: address or name, twin, or a file or command as for other commands [default: the first MQTT client that connects]";

fn workload_help(name: &str) -> (&'static str, &'static str) {
    match name {
        "head" => (
            "HTTP HEAD connect/close storm",
            "Examples:\n  espstress head 192.168.4.1                      ten seconds, one connection after the other\n  \
             espstress head twin -c 4 -n 5000                five thousand connections, four at once\n  \
             espstress head 192.168.4.1 --interval 200ms -d 10m --close wait\n  \
             espstress head https://192.168.4.1 --ca device.pem\n  \
             espstress head 192.168.4.1 --method PUT --path /config --body @config.json --expect-status 2xx\n  \
             espstress head 192.168.4.1 --path /admin --user admin --password-file password.txt\n  \
             espstress head twin --persona unread-close      a device that resets what it answers",
        ),
        "rw" => (
            "Persistent connections with numbered requests and a checked payload",
            "Examples:\n  espstress rw twin -c 4 -n 5000 --size 10KiB     ten kilobytes there and back, checked\n  \
             espstress rw 192.168.4.1 --protocol http -d 1m  keep-alive requests to any web server\n  \
             espstress rw https://192.168.4.1 --insecure --method POST --body 20KiB --expect-continue\n  \
             espstress rw 192.168.4.1:8080 --protocol raw    the MicroPython pair's server\n  \
             espstress rw 192.168.4.1 --protocol websocket --path /ws -n 1000\n  \
             espstress rw 192.168.4.1 --protocol sse --path /events -d 10m   gaps and ends of an event stream\n  \
             espstress rw 192.168.4.1:7 --protocol udp --sweep   datagrams to an echo service: loss, order, sizes",
        ),
        "outage" => (
            "Idle connections and outages",
            "Examples:\n  espstress outage twin --by link --cycles 20\n  espstress outage 192.168.4.1 --by device\n  \
             espstress outage --listen 8123 -d 10m           a device that dials this port; its address is not needed\n  \
             espstress outage 192.168.4.1 --listen 8123      the same, with ping and packets",
        ),
        "half-open" => (
            "Connections whose peer vanishes, to exhaustion and back",
            "Examples:\n  espstress half-open twin --persona no-keepalive\n  sudo espstress half-open 192.168.4.1\n  \
             espstress half-open twin --persona leaky --console-style idf   the limit in the device's own words",
        ),
        "mqtt" => (
            "An MQTT broker that misbehaves, for devices that connect to it",
            "Set this machine's address as the broker in the device's settings; no TLS, no WebSockets.\n\nExamples:\n  \
             espstress mqtt --listen 1883                    watch the first client to connect: keep-alive, pings, messages\n  \
             espstress mqtt 192.168.4.1 --fault silent,close,frozen --cycles 3\n  \
             espstress mqtt --client-id kitchen --sequence /n -d 10m\n  \
             espstress mqtt 192.168.4.1 --fault refuse --code 5 --outage 1m\n  \
             espstress mqtt 192.168.4.1 --via 192.168.4.2:1883 --fault silent,slow\n  \
             espstress mqtt 192.168.4.1 --publish kitchen/set --fault redeliver,big\n  \
             espstress mqtt twin --persona mqtt-forgetful --fault session-lost --cycles 1",
        ),
        _ => ("A workload", ""),
    }
}

/// The file of `--trace`, which every command has.
#[must_use]
pub fn trace(matches: &clap::ArgMatches) -> Option<&Path> {
    let mut last = matches;
    while let Some((_, sub)) = last.subcommand() {
        last = sub;
    }
    last.try_get_one::<PathBuf>("trace").ok().flatten().map(PathBuf::as_path)
}

/// Sorts out what clap has matched.
///
/// # Errors
/// clap's own error where a command's arguments do not fit; it prints itself.
pub fn parse(matches: &clap::ArgMatches, workloads: &[WorkloadFlags]) -> Result<Parsed, clap::Error> {
    if let Some((name, sub)) = matches.subcommand() {
        if let Some(workload) = workloads.iter().find(|w| w.name == name) {
            return Ok(Parsed::Workload {
                kind: workload.name,
                several: match takes_several(name) {
                    true => SeveralArgs::from_arg_matches(sub)?,
                    false => SeveralArgs::default(),
                },
                target: sub.get_one::<String>("target").cloned(),
                common: Box::new(Common::from_arg_matches(sub)?),
                matches: Box::new(sub.clone()),
            });
        }
        if name == "run" {
            let args = Box::new(RunArgs::from_arg_matches(sub)?);
            return Ok(Parsed::Run { args, matches: Box::new(sub.clone()) });
        }
    }
    let Cli { command, .. } = Cli::from_arg_matches(matches)?;
    Ok(Parsed::Other(Box::new(command)))
}
