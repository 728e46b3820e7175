//! The flags and arguments of every command but the workloads' own.

mod reports;

pub use reports::{CompareArgs, FormatName, MergeArgs, ReportArgs};

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::shells::Shell;
use espstress_clock::{Rate, Size, Span};
use espstress_event::MacAddress;

/// Stress a small networked device with real traffic, watch the packets, and report what broke, how often, when
/// and why
#[derive(Parser, Debug)]
#[command(name = "espstress", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Examples:
  espstress run                          the built-in quick scenario against the twin: no hardware needed
  espstress run -t 192.168.4.1           the same against a device
  espstress head twin -c 4 -n 5000       one workload
  espstress run soak.toml -o soak.json   a scenario of your own, with its report kept

Exit status:
  0    done, every gate passed
  1    a gate failed
  2    usage or scenario error
  3    the target or the environment doesn't allow the run
  4    a gate can't be judged
  130  interrupted; the report is still written")]
pub(crate) struct Cli {
    /// Write what the program does inside to FILE; RUST_LOG says how much (info, debug, espstress_targets=debug) [default:
    /// warnings and errors, to standard error]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) trace: Option<PathBuf>,

    /// Command to run
    #[command(subcommand)]
    pub(crate) command: Other,
}

/// When to colour what is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColourWhen {
    /// On a terminal, unless NO_COLOR is set or TERM is dumb
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Every command but the workloads.
#[derive(Subcommand, Debug)]
pub enum Other {
    /// Run a scenario
    #[command(after_help = "Examples:
  espstress run                                   quick, against the twin
  espstress run quick -t sim                      against the device program on this host's own stack
  espstress run -t twin:std --persona half-closer --link home
  espstress run ci.toml --threshold 'head.latency.total.p99 < 250ms' --json > report.json
  espstress run -t 192.168.4.1 --console /dev/ttyUSB0 --elf build/app.elf   listen to the board's console as well
  espstress run soak -t 192.168.4.1 --resume soak.log -o soak.json   one report, however often it is stopped")]
    Run(RunArgs),
    /// Start a twin in its private network, or run a program in that network
    #[command(after_help = "Examples:
  espstress twin                                  until Ctrl-C
  espstress twin --persona leaky -- curl -i http://192.168.4.91/
  espstress twin --stack smoltcp                  the stack of Rust firmware instead of lwIP")]
    Twin(TwinArgs),
    /// Find anomalies in a capture file (sends no traffic)
    #[command(after_help = "Examples:
  espstress analyze capture.pcapng
  espstress analyze field.pcap.gz --target 192.168.4.1 --json
  espstress analyze capture.pcapng --html -o capture.html
                                                  each anomaly drawn: who sent what, when, and what is wrong
  espstress analyze air.pcapng --station 24:6f:28:aa:bb:cc      a Wi-Fi card in monitor mode made it")]
    Analyze(AnalyzeArgs),
    /// Check a device in one minute: is it up, what is wrong, what to change
    #[command(after_help = "Examples:
  espstress doctor 192.168.4.1                    any device with a web server
  sudo espstress doctor 192.168.4.1 -o now.json   packets and silent peers as well, the report kept
  sudo espstress doctor 192.168.4.1 --air wlan1   what a Wi-Fi card in monitor mode hears as well
  espstress doctor twin --persona no-keepalive    a fault, and what is said of it
  espstress doctor 192.168.4.1 --console /dev/ttyUSB0   what the board says on its console as well")]
    Doctor(DoctorArgs),
    /// Compare reports of repeated runs, old against new
    #[command(after_help = "Examples:
  espstress compare --base before-*.json --new after-*.json
  espstress compare --base a1.json a2.json --new b1.json b2.json --fail-on-regression 10%
  espstress compare before.json after.json        a single pair: failures and findings, no latencies

Run each side at least 5 times, in turns (base, new, new, base, ...). Two runs of the same program
differ, so only repeats show whether a latency has changed.

The exit status is 0 for same or better, 1 for worse, 4 for can't tell.")]
    Compare(CompareArgs),
    /// Join reports of several devices, or of several machines, to one
    #[command(after_help = "Examples:
  espstress merge kitchen.json hall.json -o all.json
  espstress merge shard-*.json -o all.json --format markdown >> \"$GITHUB_STEP_SUMMARY\"
  espstress report all.json --device 192.168.4.1   one device's own page

The reports must be of the same work, by the same version of espstress. Histograms are added, and the series are put
in line by wall clock. Each report stays whole in the result.

The exit status is that of the worst verdict: 0 for pass, 1 for fail, 4 for inconclusive.")]
    Merge(MergeArgs),
    /// Convert a report to another format
    #[command(after_help = "Examples:
  espstress report run.json
  espstress report run.json --format html -o run.html
  espstress report run.json --format junit > junit.xml
  espstress report run.json --format hgrm --workload head --phase connect
  espstress report run.json --format hgrm -o latencies/   one file for each workload and phase
  ssh lab cat run.log | espstress report - --format csv > series.csv")]
    Report(ReportArgs),
    /// Find devices that announce themselves with mDNS
    #[command(after_help = "Examples:
  espstress discover                              every device in this host's networks
  espstress discover --interface wlan0 --timeout 10s
  espstress discover twin                         without hardware: a twin in its private network
  espstress discover --service _printer._tcp
  espstress discover --watch                      who appears, moves, or stops answering, until Ctrl-C
  espstress discover --json | jq -r '.devices[].addresses[0]'

Without --service it looks for _espstress, _http, _esphomelib, _arduino, _mqtt, _wled, _shelly, _hap, _matter and
_ws. If it finds no device, the exit status is still 0 and the list in the JSON is empty. Exit status 3: this host
has no network to search.

--watch says that a service is no longer announced when its device says goodbye, or when this host hasn't heard of it
for its time to live (usually 120 s). It then tries a connection to the announced port: a device that accepts it is
up, and its mDNS responder has stopped or its multicast packets no longer arrive here.")]
    Discover(DiscoverArgs),
    /// List the anomalies and explain them
    #[command(after_help = "Examples:
  espstress anomalies abortive_close
  espstress anomalies --json | jq -r '.[].id'")]
    Anomalies(CatalogueArgs),
    /// List the findings and explain them
    #[command(after_help = "Examples:
  espstress findings nagle_delay   one finding, and what to set in esp_http_server, Arduino, MicroPython and others
  espstress findings --json | jq -r '.[] | select(.severity == \"error\").id'")]
    Findings(CatalogueArgs),
    /// List the figures that a threshold can use
    #[command(after_help = "Examples:
  espstress thresholds | grep latency
  espstress head twin --threshold 'head.latency.total.p99 < 250ms'")]
    Thresholds,
    /// List the built-in scenarios
    #[command(after_help = "Examples:
  espstress scenarios                       their names, and what they do
  espstress scenarios quick > mine.toml     a file to start from")]
    Scenarios {
        /// Print this scenario's file instead
        name: Option<String>,
    },
    /// Print the JSON Schema of the report
    #[command(after_help = "Examples:
  espstress schema > report.schema.json
  espstress schema --fleet > fleet.schema.json")]
    Schema {
        /// The schema of the report of several devices instead
        #[arg(long)]
        fleet: bool,
    },
    /// Print a shell completion file
    #[command(after_help = "Example:
  espstress completions bash > ~/.local/share/bash-completion/completions/espstress")]
    Completions {
        /// Shell to complete for
        shell: Shell,
    },
    /// Print a manual page (roff)
    #[command(after_help = "Examples:
  espstress man | man -l -                        espstress(1), which names the commands
  espstress man doctor | man -l -                 the page of one command
  espstress man -o ~/.local/share/man/man1        a page for each command")]
    Man(ManArgs),
}

/// `anomalies` and `findings`.
#[derive(Args, Debug)]
pub struct CatalogueArgs {
    /// Explain this one only
    pub name: Option<String>,

    /// Print JSON, and only that, to standard output
    #[arg(long)]
    pub json: bool,
}

/// `man`.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// Command to print the page of [default: the program itself]
    #[arg(value_name = "COMMAND")]
    pub name: Option<String>,

    /// Write the pages of the program and of every command to FOLDER instead
    #[arg(short, long, value_name = "FOLDER", conflicts_with = "name")]
    pub output: Option<PathBuf>,
}

/// `run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Scenario file, or name of a built-in scenario
    #[arg(value_name = "SCENARIO", default_value = "quick")]
    pub scenario: String,

    /// The devices
    #[command(flatten)]
    pub several: SeveralArgs,

    /// Override a scenario setting: cycles=3 for every phase that has it, NAME.cycles=3 for one phase; can be
    /// repeated
    #[arg(long = "set", value_name = "[NAME.]KEY=VALUE")]
    pub set: Vec<String>,

    /// What every run has
    #[command(flatten)]
    pub common: Common,
}

/// Devices of a run.
#[derive(Args, Clone, Debug, Default)]
pub struct SeveralArgs {
    /// Device to test: address or name with optional :PORT, http:// or https:// URL, twin, twin:std, twin:expr,
    /// twin:FILE, tap:CMD, emu:IMAGE, or sim; can be repeated to test several at once
    #[arg(short = 't', long = "target", value_name = "TARGET")]
    pub further: Vec<String>,

    /// Test the devices of an inventory (TOML) at once: names, targets, tags; or, with the word discover, the devices that
    /// announce themselves (docs/fleets.md)
    #[arg(long, value_name = "FILE|discover")]
    pub targets: Option<PathBuf>,

    /// Of the inventory, test only devices with this tag; can be repeated
    #[arg(long = "tag", value_name = "TAG", requires = "targets")]
    pub tags: Vec<String>,

    /// With --targets discover: service to look for, such as http or _http._tcp; can be repeated [default: _espstress._tcp and
    /// _http._tcp]
    #[arg(long = "service", value_name = "NAME", requires = "targets")]
    pub services: Vec<String>,

    /// Open loop: start this many attempts per second on all devices together, each device an equal share
    #[arg(long, value_name = "N/s", conflicts_with_all = ["rate", "interval"])]
    pub total_rate: Option<Rate>,

    /// Connections at once to all devices together; each device gets its share
    #[arg(long, value_name = "N", conflicts_with = "connections", value_parser = clap::value_parser!(u32).range(1..))]
    pub total_connections: Option<u32>,

    /// Run only the twins, and write the fleet report to FILE: for the process that runs the other devices
    #[arg(long, value_name = "FILE", hide = true)]
    pub twins_to: Option<PathBuf>,

    /// Devices in all processes together
    #[arg(long, value_name = "N", hide = true, requires = "twins_to")]
    pub of_all: Option<u32>,
}

impl SeveralArgs {
    /// Whether the work is shared out among the devices.
    #[must_use]
    pub const fn shares(&self) -> bool {
        self.total_rate.is_some() || self.total_connections.is_some()
    }
}

/// Options of a twin or a sim.
#[derive(Args, Clone, Debug, Default)]
pub struct DeviceOptions {
    /// Fault to simulate (twin and sim only): robust, unread-close, early-close, serial, no-keepalive, leaky,
    /// hoarder, slow-accept, deaf, half-closer, frozen, rebooting, or a fault of the MQTT client (mqtt-late-ping, ...:
    /// docs/targets.md), with optional settings (leaky:from=15s)
    #[arg(long, value_name = "NAME")]
    pub persona: Option<String>,

    /// Link to simulate (twin, tap:CMD and emu:IMAGE): clean, home, busy, lossy, roaming, min-modem or max-modem, with optional
    /// changes (home,loss=2%)
    #[arg(long, value_name = "NAME|key=value,...")]
    pub link: Option<String>,

    /// Heap size of the twin [default: 113840]
    #[arg(long, value_name = "SIZE")]
    pub heap: Option<Size>,

    /// Run your own program as the twin, instead of our device program: its IPv4 sockets live on lwIP
    #[arg(long, value_name = "CMD")]
    pub program: Option<String>,

    /// Where the device of tap:CMD or emu:IMAGE is: its IPv4 address, the TCP port of its server, or both
    /// (192.168.4.91:8080, :8080) [default: learned from DHCP and ARP, port 80]
    #[arg(long, value_name = "[ADDRESS][:PORT]")]
    pub device_address: Option<String>,

    /// Make the twin print a console, as a device does, and listen to it: idf is ESP-IDF's style
    #[arg(long, value_enum, value_name = "STYLE")]
    pub console_style: Option<ConsoleStyle>,

    /// TCP/IP stack of the twin: lwip (ESP-IDF, Arduino, MicroPython) or smoltcp (Rust firmware; needs a build
    /// with --features smoltcp) [default: lwip]
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
            None => Err(format!("--program {command}: missing closing quote")),
        }
    }
}

/// How a twin's console looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ConsoleStyle {
    /// ESP-IDF's: restart banner, heap lines, errors of accept()
    Idf,
}

/// The device's console.
#[derive(Args, Clone, Debug, Default)]
pub struct ConsoleOptions {
    /// Listen to the device's console: a serial port (/dev/ttyUSB0), tcp:HOST:PORT, rfc2217:HOST:PORT, file:PATH
    /// (followed as it grows) or cmd:COMMAND (its standard output). Nothing leaves this machine
    #[arg(long, value_name = "SOURCE")]
    pub console: Option<String>,

    /// Speed of the serial port
    #[arg(long, value_name = "N", default_value_t = 115_200, requires = "console")]
    pub baud: u32,

    /// Reset the board through the serial port before the run; without this flag, opening the port doesn't reset it
    #[arg(long, requires = "console")]
    pub console_reset: bool,

    /// Firmware's ELF file: turns the addresses of a backtrace into functions and lines
    #[arg(long, value_name = "FILE")]
    pub elf: Option<PathBuf>,

    /// Pattern of your own heap lines, with a group named free and optionally least and largest:
    /// `mem (?<free>[0-9]+) (?<least>[0-9]+)`
    #[arg(long, value_name = "REGEX")]
    pub console_heap: Option<String>,

    /// Write everything that the console prints to FILE
    #[arg(long, value_name = "FILE")]
    pub console_log: Option<PathBuf>,
}

/// What every run has.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// The device program, where it is ours to start.
    #[command(flatten)]
    pub device: DeviceOptions,

    /// The device's console.
    #[command(flatten)]
    pub console: ConsoleOptions,

    /// Write the JSON report to FILE
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Print the JSON report, and only that, to standard output
    #[arg(long)]
    pub json: bool,

    /// Append to a JSON Lines log during the run; `espstress report FILE` rebuilds the report from it
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,

    /// Continue the report of the run that wrote this log, and append to it; a log that isn't there yet is begun
    #[arg(long, value_name = "LOG", conflicts_with = "log")]
    pub resume: Option<PathBuf>,

    /// Serve the figures of the run as OpenMetrics while it goes on, at http://ADDR/metrics; a port alone means
    /// 127.0.0.1, and 0 a free port
    #[arg(long, value_name = "[IP:]PORT")]
    pub metrics_listen: Option<String>,

    /// Save the packets to FILE (pcapng)
    #[arg(long, value_name = "FILE", conflicts_with = "no_capture")]
    pub pcap: Option<PathBuf>,

    /// Don't capture packets
    #[arg(long)]
    pub no_capture: bool,

    /// Also listen to a Wi-Fi card that is in monitor mode: associations, power save, retries, beacons
    #[arg(long, value_name = "IFACE")]
    pub air: Option<String>,

    /// Describe this station, by its hardware address [default: the device, by ARP]
    #[arg(long, value_name = "MAC", requires = "air")]
    pub station: Option<MacAddress>,

    /// Don't send ping, TCP connect and telemetry probes during the workloads
    #[arg(long)]
    pub no_probes: bool,

    /// Fail unless this holds, for example 'head.latency.total.p99 < 250ms'; can be repeated (see `espstress
    /// thresholds`)
    #[arg(long = "threshold", value_name = "EXPR")]
    pub thresholds: Vec<String>,

    /// Ignore all thresholds
    #[arg(long, conflicts_with = "thresholds")]
    pub no_gate: bool,

    /// How long to watch after the last close; ends early when every connection has ended
    #[arg(long, value_name = "DUR")]
    pub watch: Option<Span>,

    /// Random seed; by default a new one, which is printed and in the report
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Source ports to use, in turn
    #[arg(long, value_name = "A-B")]
    pub local_ports: Option<String>,

    /// Source address
    #[arg(long, value_name = "IP")]
    pub source: Option<IpAddr>,

    /// Show the run on the whole terminal: rates, latency, failures, heap, outages [default: bars]
    #[arg(long, conflicts_with = "quiet")]
    pub live: bool,

    /// Print only the verdict, and no progress
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Print more: settings, evidence and packets
    #[arg(short, long)]
    pub verbose: bool,

    /// Allow a public address (only test devices you own)
    #[arg(long)]
    pub allow_public: bool,
}

/// `twin`.
#[derive(Args, Debug)]
pub struct TwinArgs {
    /// lwIP options: current, std, expr, or an sdkconfig file
    #[arg(value_name = "OPTION_SET", default_value = "current")]
    pub options: String,

    /// Habit, link, heap and stack.
    #[command(flatten)]
    pub device: DeviceOptions,

    /// Make the device program connect to this port (on the twin's host unless you give an address) and speak
    /// the line protocol, or MQTT with the prefix mqtt:
    #[arg(long, value_name = "[mqtt:][ADDRESS:]PORT")]
    pub dial: Option<String>,

    /// Random seed of the link and the stack
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Command to run in the twin's network; espstress exits with its status
    #[arg(last = true, value_name = "COMMAND")]
    pub run: Vec<std::ffi::OsString>,
}

/// `analyze`.
#[derive(Args, Debug)]
pub struct AnalyzeArgs {
    /// pcap or pcapng file, gzipped or not; - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Address of the device [default: the side that accepts connections, or the client of an MQTT broker]
    #[arg(short, long, value_name = "IP")]
    pub target: Option<IpAddr>,

    /// Station to describe in a capture of the air, by its hardware address [default: the Espressif station that talks
    /// most, or else the station that talks most]
    #[arg(long, value_name = "MAC")]
    pub station: Option<MacAddress>,

    /// Print JSON, and only that, to standard output
    #[arg(long, group = "form")]
    pub json: bool,

    /// Make an HTML page with the packets of each anomaly as a ladder
    #[arg(long, group = "form")]
    pub html: bool,

    /// Make an SVG file of those ladders
    #[arg(long, group = "form")]
    pub svg: bool,

    /// File to write to instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Print more: the packets of every example
    #[arg(short, long)]
    pub verbose: bool,
}

/// What `analyze` makes of a capture file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnalyzeForm {
    /// The page for people.
    Page,
    /// JSON.
    Json,
    /// An HTML page.
    Html,
    /// The ladders of its anomalies.
    Svg,
}

impl AnalyzeArgs {
    /// The one that was asked for.
    #[must_use]
    pub const fn form(&self) -> AnalyzeForm {
        match (self.json, self.html, self.svg) {
            (true, ..) => AnalyzeForm::Json,
            (_, true, _) => AnalyzeForm::Html,
            (_, _, true) => AnalyzeForm::Svg,
            _ => AnalyzeForm::Page,
        }
    }
}

/// `doctor`.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Device to test: address or name with optional :PORT, http:// URL, twin, twin:std, twin:expr, twin:FILE,
    /// tap:CMD, emu:IMAGE, or sim
    #[arg(value_name = "TARGET")]
    pub target: String,

    /// Approximate time limit; a shorter one leaves less time to see whether sockets are freed
    #[arg(short, long, value_name = "DUR", default_value = "1m")]
    pub duration: Span,

    /// What every run has.
    #[command(flatten)]
    pub common: Common,
}

/// `discover`.
#[derive(Args, Debug)]
pub struct DiscoverArgs {
    /// Start a twin and look in its private network: twin, twin:std, twin:expr, or twin:FILE [default: the host's networks]
    #[arg(value_name = "TWIN", conflicts_with = "interface")]
    pub target: Option<String>,

    /// How long to listen [default: 3s; with --watch until Ctrl-C]
    #[arg(long, value_name = "DUR")]
    pub timeout: Option<Span>,

    /// Use only this network interface [default: all but loopback]
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,

    /// Look for this service, such as _http._tcp; may be repeated [default: the usual ones of small devices]
    #[arg(long, value_name = "NAME")]
    pub service: Vec<String>,

    /// Keep listening, and print a line when a service appears, changes, or ends
    #[arg(long)]
    pub watch: bool,

    /// Print JSON, and only that, to standard output; with --watch one object a line
    #[arg(long)]
    pub json: bool,
}
