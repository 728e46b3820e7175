//! The flags and arguments of every command but the workloads' own.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::shells::Shell;
use crate::clock::{Size, Span};

/// Finds out how a small networked device stands up to real traffic: drives it, watches the packets, and says
/// what broke, how often, when and why
#[derive(Parser, Debug)]
#[command(name = "espstress", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Examples:
  espstress run                          the built-in quick scenario against the twin: no hardware needed
  espstress run -t 192.168.4.1           the same against a device
  espstress head twin -c 4 -n 5000       one workload
  espstress run soak.toml -o soak.json   a scenario of your own, with its report kept

Exit status:
  0    done, every gate holds
  1    a gate is broken
  2    usage or scenario error
  3    the target or the environment would not let it run
  4    a gate could not be judged
  130  interrupted, report written all the same")]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Other,
}

/// Every command but the workloads.
#[derive(Subcommand, Debug)]
pub enum Other {
    /// Run a scenario
    #[command(after_help = "Examples:
  espstress run                                   quick, against the twin
  espstress run quick -t sim                      against the device program on this host's own stack
  espstress run -t twin:std --persona half-closer --link home
  espstress run ci.toml --threshold 'head.latency.total.p99 < 250ms' --json > report.json")]
    Run(RunArgs),
    /// Keep a twin up in its private network, or run a program inside it
    #[command(after_help = "Examples:
  espstress twin                                  until Ctrl-C
  espstress twin --persona leaky -- curl -i http://192.168.4.91/
  espstress twin --stack smoltcp                  the stack of Rust firmware instead of lwIP")]
    Twin(TwinArgs),
    /// Find the anomalies in a capture file; no traffic is sent
    #[command(after_help = "Examples:
  espstress analyze capture.pcapng
  espstress analyze field.pcap.gz --target 192.168.4.1 --json")]
    Analyze(AnalyzeArgs),
    /// One minute, one page: is it up, what is wrong with it, what to change
    #[command(after_help = "Examples:
  espstress doctor 192.168.4.1                    any device with a web server
  sudo espstress doctor 192.168.4.1 -o now.json   packets and silent peers as well, the report kept
  espstress doctor twin --persona no-keepalive    a fault, and what is said of it")]
    Doctor(DoctorArgs),
    /// Compare reports: repeated runs of a base and of what is new
    #[command(after_help = "Examples:
  espstress compare --base before-*.json --new after-*.json
  espstress compare --base a1.json a2.json --new b1.json b2.json --fail-on-regression 10%
  espstress compare before.json after.json        a single pair: failures and findings, no latencies

Run each side at least 5 times, in turns (base, new, new, base, ...). Two runs of the same program
differ, so only repeats show whether a latency has changed.

The exit status is 0 for same or better, 1 for worse, 4 for can't tell.")]
    Compare(CompareArgs),
    /// Show a report in another format
    #[command(after_help = "Examples:
  espstress report run.json
  espstress report run.json --format html -o run.html
  espstress report run.json --format junit > junit.xml")]
    Report(ReportArgs),
    /// Find the devices that announce themselves by mDNS
    #[command(after_help = "Examples:
  espstress discover                              every device in this host's networks
  espstress discover --interface wlan0 --timeout 10s
  espstress discover --json | jq -r '.devices[].addresses[0]'

A device that runs this project's firmware announces _espstress._tcp. Finding none is no failure: the status is 0,
and the list in the JSON is empty. 3 says that this host has no network to look in.")]
    Discover(DiscoverArgs),
    /// The anomalies that are looked for, explained
    Anomalies,
    /// The findings there are, explained
    Findings,
    /// The figures that a threshold can name
    Thresholds,
    /// The built-in scenarios
    Scenarios {
        /// Print this scenario's file instead of the list
        name: Option<String>,
    },
    /// JSON Schema of the report
    Schema,
    /// Completion file for a shell
    #[command(after_help = "Example:
  espstress completions bash > ~/.local/share/bash-completion/completions/espstress")]
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// The manual page, in roff
    #[command(after_help = "Example:
  espstress man > espstress.1 && man ./espstress.1")]
    Man,
}

/// `run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// A scenario file, or a built-in scenario's name
    #[arg(value_name = "SCENARIO", default_value = "quick")]
    pub scenario: String,

    /// The device: address or name with optional :PORT, http:// URL, twin, twin:std, twin:expr, twin:FILE, sim
    #[arg(short, long, value_name = "TARGET")]
    pub target: Option<String>,

    /// A setting over the scenario's, as cycles=3 for every phase that has it, or NAME.cycles=3 for the phase of
    /// that name; may be given again
    #[arg(long = "set", value_name = "[NAME.]KEY=VALUE")]
    pub set: Vec<String>,

    /// What every run has
    #[command(flatten)]
    pub common: Common,
}

/// Options of a twin or a sim.
#[derive(Args, Clone, Debug, Default)]
pub struct DeviceOptions {
    /// The device program's habit (twin and sim)
    #[arg(long, value_name = "NAME")]
    pub persona: Option<String>,

    /// The twin's link: clean, home, busy, lossy, roaming, min-modem, max-modem, and key=value
    #[arg(long, value_name = "NAME|key=value,...")]
    pub link: Option<String>,

    /// The twin's heap; 113840 bytes by default
    #[arg(long, value_name = "SIZE")]
    pub heap: Option<Size>,

    /// Run this program of yours as the twin instead of the device program: its IPv4 sockets live on lwIP
    #[arg(long, value_name = "CMD")]
    pub program: Option<String>,

    /// The twin's TCP/IP stack: lwip (ESP-IDF, Arduino, MicroPython) unless said otherwise, or smoltcp (Rust firmware)
    #[arg(long, value_name = "lwip|smoltcp")]
    pub stack: Option<String>,
}

impl DeviceOptions {
    /// The words of `--program`, quoted as in a shell; no shell is started.
    ///
    /// # Errors
    /// Quotes that do not end, or no word at all.
    pub fn program_words(&self) -> Result<Option<Vec<String>>, String> {
        let Some(command) = &self.program else { return Ok(None) };
        match shlex::split(command) {
            Some(words) if !words.is_empty() => Ok(Some(words)),
            Some(_) => Err("--program: no program is named, as in --program './my_server --port 80'".into()),
            None => Err(format!("--program {command}: a quote does not end")),
        }
    }
}

/// What every run has.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// The device program, where it is ours to start.
    #[command(flatten)]
    pub device: DeviceOptions,

    /// Write the JSON report to FILE
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// JSON report on standard output, and nothing else there
    #[arg(long)]
    pub json: bool,

    /// Append to a JSON Lines log as the run goes on; `espstress report FILE` rebuilds the report from it
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,

    /// Keep the packets in FILE (pcapng)
    #[arg(long, value_name = "FILE", conflicts_with = "no_capture")]
    pub pcap: Option<PathBuf>,

    /// Do not look at packets
    #[arg(long)]
    pub no_capture: bool,

    /// No ping, TCP connect and telemetry beside the workloads
    #[arg(long)]
    pub no_probes: bool,

    /// A gate, as 'head.latency.total.p99 < 250ms'; may be given again (see `espstress thresholds`)
    #[arg(long = "threshold", value_name = "EXPR")]
    pub thresholds: Vec<String>,

    /// No gates at all
    #[arg(long, conflicts_with = "thresholds")]
    pub no_gate: bool,

    /// How long to listen after the last close; ends early once every connection is over
    #[arg(long, value_name = "DUR")]
    pub watch: Option<Span>,

    /// Seed of everything random; a new one by default, printed and in the report
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Source ports to use, in rotation
    #[arg(long, value_name = "A-B")]
    pub local_ports: Option<String>,

    /// Source address
    #[arg(long, value_name = "IP")]
    pub source: Option<IpAddr>,

    /// Only the verdict, and no progress
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,

    /// The evidence as well
    #[arg(short, long)]
    pub verbose: bool,

    /// Allow a public address: for devices of your own only
    #[arg(long)]
    pub allow_public: bool,
}

/// `twin`.
#[derive(Args, Debug)]
pub struct TwinArgs {
    /// Options of lwIP: current, std, expr, or an sdkconfig file
    #[arg(value_name = "OPTION_SET", default_value = "current")]
    pub options: String,

    /// Habit, link, heap and stack.
    #[command(flatten)]
    pub device: DeviceOptions,

    /// Let the device program dial this port, of the twin's host unless an address is given, and speak the line protocol
    #[arg(long, value_name = "[ADDRESS:]PORT")]
    pub dial: Option<String>,

    /// Seed of the link and of the stack's random numbers
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Run this inside the twin's network and return its status
    #[arg(last = true, value_name = "COMMAND")]
    pub run: Vec<std::ffi::OsString>,
}

/// `analyze`.
#[derive(Args, Debug)]
pub struct AnalyzeArgs {
    /// A pcap or pcapng file, gzipped or not; - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The device's address; otherwise the side that was connected to, or the client of an MQTT broker
    #[arg(short, long, value_name = "IP")]
    pub target: Option<IpAddr>,

    /// JSON on standard output, and nothing else there
    #[arg(long)]
    pub json: bool,

    /// The evidence as well
    #[arg(short, long)]
    pub verbose: bool,
}

/// `doctor`.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Address or name of the device, with optional :PORT, an http:// URL, twin, twin:std, twin:expr, twin:FILE, or sim
    #[arg(value_name = "TARGET")]
    pub target: String,

    /// How long at most, about; less time is left for sockets to come back
    #[arg(short, long, value_name = "DUR", default_value = "1m")]
    pub duration: Span,

    /// What every run has.
    #[command(flatten)]
    pub common: Common,
}

/// `compare`.
#[derive(Args, Debug)]
#[command(override_usage = "espstress compare [OPTIONS] --base <BASE>... --new <NEW>...
       espstress compare [OPTIONS] <BASE> <NEW>...")]
pub struct CompareArgs {
    /// The report to compare with, then the new ones
    #[arg(value_name = "REPORT", required_unless_present = "base", conflicts_with_all = ["base", "new"], num_args = 2..)]
    pub reports: Vec<PathBuf>,

    /// Reports of repeated runs to compare with
    #[arg(long, value_name = "BASE", num_args = 1.., requires = "new")]
    pub base: Vec<PathBuf>,

    /// Reports of repeated runs of what is new
    #[arg(long, value_name = "NEW", num_args = 1.., requires = "base")]
    pub new: Vec<PathBuf>,

    /// Latencies and rates are worse only if they are so by more than this, with confidence, as 10%
    #[arg(long, value_name = "PERCENT", value_parser = percentage)]
    pub fail_on_regression: Option<f64>,

    /// Latencies and rates within this of the base's count as the same
    #[arg(long, value_name = "PERCENT", value_parser = percentage, default_value = "10%", conflicts_with = "fail_on_regression")]
    pub tolerance: f64,

    /// JSON on standard output, and nothing else there
    #[arg(long)]
    pub json: bool,
}

/// A percentage above 0, with or without its sign, as a share.
fn percentage(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    match number.parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 1_000.0 => Ok(percent / 100.0),
        _ => Err("give a percentage above 0, as 10%".into()),
    }
}

/// A report's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "kebab-case")]
pub enum FormatName {
    /// The page that a run prints
    Text,
    /// The report itself
    Json,
    /// For a pull request
    Markdown,
    /// One file with charts
    Html,
    /// A test case a threshold
    Junit,
    /// github-action-benchmark, figures where smaller is better
    GithubBenchmark,
    /// github-action-benchmark, figures where bigger is better
    GithubBenchmarkBigger,
    /// Bencher metric format
    Bmf,
    /// Prometheus text exposition
    Prometheus,
    /// HdrHistogram percentile distributions
    Hgrm,
}

/// `report`.
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// A JSON report, or the JSON Lines log of a run
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// In which format
    #[arg(short, long, value_enum, default_value_t = FormatName::Text)]
    pub format: FormatName,

    /// Write to FILE
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// The evidence as well
    #[arg(short, long)]
    pub verbose: bool,
}

/// `discover`.
#[derive(Args, Debug)]
pub struct DiscoverArgs {
    /// How long to listen
    #[arg(long, value_name = "DUR", default_value = "3s")]
    pub timeout: Span,

    /// Ask and listen on this network interface alone; by default on each one but the loopback
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,

    /// JSON on standard output, and nothing else there
    #[arg(long)]
    pub json: bool,
}
