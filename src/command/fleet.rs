//! Several devices at once, in this one process: each has an engine of its own, with its workloads, probes, capture,
//! findings and account; the descriptors and the memory of the captures are shared.
//!
//! Devices are brought up one after the other on the main thread, since a twin ends with the thread that started it.

mod apart;
mod discovered;
mod members;
mod shares;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::output::{self, Show};
use super::run::{self, Measured, SetUp};
use super::settings::Typed;
use super::{Exit, Failed, descriptors, files, progress};
use espstress_cli::{Common, FormatName, SeveralArgs};
use espstress_engine::{Ended, EveryPhase};
use espstress_event::{Event, EventSink};
use espstress_fleet::{FleetDevice, FleetReport};
use espstress_report::{Detail, Report, Verdict};
use espstress_scenario::{InventoryDevice, Scenario};
use espstress_targets::{DeviceKind, Nest};

use apart::Apart;
pub(super) use members::members;
use shares::Shares;

/// A device with its place among all, from 0: its seed goes by that, and its place in the report.
type Numbered = (u64, InventoryDevice);

/// How often the main thread looks whether the runs are over.
const LOOK: Duration = Duration::from_millis(50);

/// What shows or continues the run of one device.
fn refuse_for_one(common: &Common) -> Result<(), Failed> {
    let given = [
        ("--live", common.live),
        ("--resume", common.resume.is_some()),
        ("--metrics-listen", common.metrics_listen.is_some()),
        ("--console", common.console.console.is_some()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        Some((option, _)) => Err(Failed::usage(format!("{option} works only with one target"))),
        None => Ok(()),
    }
}

/// Runs the scenario against all of them at once.
pub(super) fn go(
    scenario: &Scenario,
    typed: &Typed,
    common: &Common,
    several: &SeveralArgs,
    members: Vec<InventoryDevice>,
) -> Result<Exit, Failed> {
    refuse_for_one(common)?;
    let part = several.twins_to.as_deref();
    if part.is_some() {
        apart::end_with_parent();
    }
    if let Some(path) = common.output.as_ref().filter(|_| part.is_none()) {
        espstress_report::check_writable(path, "-o").map_err(Failed::usage)?;
    }
    let seed = common.seed.or(scenario.seed).unwrap_or_else(run::random_seed);
    let all = several.of_all.unwrap_or_else(|| u32::try_from(members.len()).unwrap_or(u32::MAX));
    let shares = Shares::of(several, all)?;
    let (members, twins) = apart::divide(members, part.is_some());
    let apart = if twins.is_empty() { None } else { Some(Apart::start(seed, scenario, all, common)?) };
    let commons: Vec<Common> = members.iter().map(|(i, member)| of_one(common, member, seed, *i)).collect();
    let shown = Arc::new(Mutex::new(Sums::default()));
    let mut nest = Nest::default();
    let mut runs = Vec::new();
    for ((i, member), common) in members.iter().zip(&commons) {
        let sink =
            Box::new(Display { name: member.name.clone(), quiet: common.quiet, sums: Arc::clone(&shown) });
        let scenario = of_member(scenario, member);
        let typed = shares.given_to(*i, typed);
        runs.push(match set_up(scenario, &typed, common, member, sink, &mut nest) {
            Ok(set_up) => {
                refuse_listening(&set_up)?;
                Ok(set_up)
            }
            Err(Failed { exit: Exit::Environment, error }) => Err(error.to_string()),
            Err(Failed { exit, error }) => {
                return Err(Failed { exit, error: format!("{}: {error}", member.name).into() });
            }
        });
    }
    refuse_twice(&members, &runs)?;
    let needed = runs.iter().flatten().map(|one| descriptors::needed_by(&one.phases, &one.run.device)).sum();
    if let Some(why) = descriptors::too_few_for(needed) {
        return Err(Failed::environment(why));
    }
    if !common.quiet {
        say(&format!("{} against {all} devices, seed {seed}", scenario.name));
    }
    let mut came = Came::of(members, measure(runs, &shown, common.quiet))?;
    if let Some(apart) = apart {
        let interrupted = came.interrupted;
        came.take(apart.end(interrupted, twins));
    }
    conclude(came, part, common)
}

/// One device under two names would count as two, and each run would meet the other's load.
fn refuse_twice(members: &[Numbered], runs: &[Result<SetUp<'_>, String>]) -> Result<(), Failed> {
    let places = members.iter().zip(runs).filter_map(|((_, member), run)| {
        let device = &run.as_ref().ok()?.run.device;
        (device.kind == DeviceKind::Address).then_some((member.name.as_str(), device.endpoints.http))
    });
    match same_place(&places.collect::<Vec<_>>()) {
        Some((a, b, place)) => {
            Err(Failed::usage(format!("{a} and {b} are the same device, at {place}: name each device once")))
        }
        None => Ok(()),
    }
}

/// The first two at one address and port.
fn same_place<'a>(places: &[(&'a str, SocketAddr)]) -> Option<(&'a str, &'a str, SocketAddr)> {
    let plain = |place: &SocketAddr| (place.ip().to_canonical(), place.port());
    places.iter().enumerate().find_map(|(i, (name, place))| {
        let (earlier, _) = places[..i].iter().find(|(_, other)| plain(other) == plain(place))?;
        Some((*earlier, *name, *place))
    })
}

/// What every run has, for one of several: files of its own, and nothing shown.
fn of_one(common: &Common, member: &InventoryDevice, seed: u64, index: u64) -> Common {
    let mut one = common.clone();
    one.seed = Some(seed.wrapping_add(index));
    one.output = None;
    one.log = common.log.as_deref().map(|path| with_name(path, &member.name));
    let copy = common.console.console_log.as_deref();
    one.console.console_log = copy.map(|path| with_name(path, &member.name));
    one.pcap = common.pcap.as_deref().map(|path| with_name(path, &member.name));
    one.device.persona = member.persona.clone().or(one.device.persona);
    one.device.link = member.link.clone().or(one.device.link);
    one
}

/// `run.log` as `run.kitchen.log`.
fn with_name(path: &Path, name: &str) -> PathBuf {
    // What a target may have and a file name should not.
    let name: String = name.chars().map(|c| if matches!(c, '/' | '\\') { '_' } else { c }).collect();
    match path.extension() {
        Some(extension) => path.with_extension(format!("{name}.{}", extension.to_string_lossy())),
        None => path.with_extension(name),
    }
}

fn of_member(scenario: &Scenario, member: &InventoryDevice) -> Scenario {
    let mut scenario = scenario.clone();
    scenario.target_place = None;
    scenario.target = Some(member.target.clone());
    scenario
}

fn set_up<'a>(
    scenario: Scenario,
    typed: &Typed,
    common: &'a Common,
    member: &InventoryDevice,
    sink: Box<dyn EventSink>,
    nest: &mut Nest,
) -> Result<SetUp<'a>, Failed> {
    let token = member.token_env.as_deref().map(token).transpose()?;
    let mut set_up = run::set_up(scenario, typed, common, sink, nest)?;
    set_up.run.device.control_token = token.or(set_up.run.device.control_token.take());
    Ok(set_up)
}

/// Two runs can't listen on one port, and a device that connects doesn't say for which of them it is.
fn refuse_listening(set_up: &SetUp<'_>) -> Result<(), Failed> {
    let listens = set_up.phases.iter().find(|phase| phase.workload.listens_on().is_some());
    listens.map_or(Ok(()), |phase| {
        let name = &phase.name;
        Err(Failed::usage(format!("{name} waits for devices to connect: it works with one target at a time")))
    })
}

fn token(variable: &str) -> Result<String, Failed> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    value.ok_or_else(|| Failed::usage(format!("token_env: the environment has no variable {variable}")))
}

/// What came of one device: its report and what was lost, or why there is none.
type One = Result<Measured, Failed>;

/// Runs all of them, each on a thread of its own.
fn measure(
    runs: Vec<Result<SetUp<'_>, String>>,
    sums: &Mutex<Sums>,
    quiet: bool,
) -> Vec<Result<One, String>> {
    let captures = u32::try_from(runs.iter().flatten().count()).unwrap_or(u32::MAX);
    std::thread::scope(|scope| {
        let threads: Vec<_> = runs
            .into_iter()
            .map(|one| {
                one.map(|SetUp { mut run, phases, probing, left_out }| {
                    run.captures = captures;
                    let body = move || {
                        run.measure(phases, Box::new(EveryPhase), probing, |_, report| {
                            report.remarks.extend(left_out);
                        })
                    };
                    std::thread::Builder::new().name("device".into()).spawn_scoped(scope, body)
                })
            })
            .collect();
        let started = Instant::now();
        let mut said = Duration::ZERO;
        let running = || {
            let on = |thread: &&Result<_, String>| matches!(thread, Ok(Ok(handle)) if !std::thread::ScopedJoinHandle::is_finished(handle));
            threads.iter().filter(on).count()
        };
        while running() > 0 {
            std::thread::sleep(LOOK);
            let now = started.elapsed();
            let every = Duration::from_nanos(progress::line_every_ns(espstress_clock::nanos(now)));
            if !quiet && now.saturating_sub(said) >= every {
                said = now;
                say(&format!("{:7.0} s  {}, {} running", now.as_secs_f64(), words(sums), running()));
            }
        }
        let joined = |spawned: std::io::Result<std::thread::ScopedJoinHandle<'_, One>>| match spawned {
            Ok(handle) => handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(error) => Err(Failed::environment(format!("the system refused a thread: {error}"))),
        };
        threads.into_iter().map(|thread| thread.map(joined)).collect()
    })
}

/// What came of all devices.
#[derive(Default)]
struct Came {
    devices: Vec<(u64, FleetDevice)>,
    /// What could not be kept, in words.
    lost: Vec<String>,
    interrupted: bool,
    cpu_s: Option<f64>,
    memory_peak_bytes: Option<u64>,
}

impl Came {
    /// Of this process's devices.
    fn of(members: Vec<Numbered>, measured: Vec<Result<One, String>>) -> Result<Self, Failed> {
        let mut all = Self::default();
        for ((number, member), one) in members.into_iter().zip(measured) {
            let (report, why) = match one {
                Ok(Ok(measured)) => {
                    all.interrupted |= measured.ended != Ended::Completed;
                    all.lost.extend(measured.lost.into_iter().map(|text| format!("{}: {text}", member.name)));
                    (Some(measured.report), None)
                }
                Ok(Err(Failed { exit: Exit::Interrupted, error })) => {
                    return Err(Failed { exit: Exit::Interrupted, error });
                }
                Ok(Err(Failed { error, .. })) => (None, Some(error.to_string())),
                Err(why) => (None, Some(why)),
            };
            all.devices.push((number, of_member_came(member, report, why)));
        }
        (all.cpu_s, all.memory_peak_bytes) = one_process(&mut all.devices);
        Ok(all)
    }

    /// And of those of another process.
    fn take(&mut self, other: Self) {
        self.devices.extend(other.devices);
        self.lost.extend(other.lost);
        self.interrupted |= other.interrupted;
        self.cpu_s = self.cpu_s.zip(other.cpu_s).map(|(a, b)| a + b);
        self.memory_peak_bytes = self.memory_peak_bytes.zip(other.memory_peak_bytes).map(|(a, b)| a + b);
    }
}

fn of_member_came(member: InventoryDevice, report: Option<Report>, not_run: Option<String>) -> FleetDevice {
    FleetDevice { name: member.name, tags: member.tags, start_s: None, not_run, report }
}

/// Makes the fleet report, writes and shows it; the part of one process is only written.
fn conclude(mut came: Came, part: Option<&Path>, common: &Common) -> Result<Exit, Failed> {
    came.devices.sort_by_key(|(number, _)| *number);
    let mut lost = came.lost;
    let mut fleet = espstress_fleet::join(came.devices.into_iter().map(|(_, device)| device).collect());
    (fleet.cpu_s, fleet.memory_peak_bytes) = (came.cpu_s, came.memory_peak_bytes);
    if let Some(path) = part.or(common.output.as_deref()) {
        let written = espstress_report::write_text(&espstress_fleet::to_json(&fleet), path);
        lost.extend(written.err().map(|error| error.to_string()));
    }
    if part.is_none() {
        output::print(&shown(&fleet, common)?).map_err(Failed::environment)?;
    }
    let not_run = fleet.devices.iter().any(|device| device.report.is_none());
    // The order of the exit statuses: what came first there wins.
    let exit = match (came.interrupted, not_run, fleet.verdict) {
        (true, ..) => Exit::Interrupted,
        (_, true, _) => Exit::Environment,
        (.., Verdict::Fail) => Exit::GateBroken,
        (.., Verdict::Inconclusive) => Exit::Inconclusive,
        (.., Verdict::Pass) => Exit::Done,
    };
    run::end(exit, &lost)
}

/// What this process used, the last reading of each; a single device's share is not known and so in no report.
fn one_process(devices: &mut [(u64, FleetDevice)]) -> (Option<f64>, Option<u64>) {
    let (mut cpu_s, mut memory) = (None::<f64>, None::<u64>);
    let reports = devices.iter_mut().filter_map(|(_, device)| device.report.as_mut());
    for host in reports.map(|report| &mut report.host) {
        if let (Some(user), Some(system)) = (host.cpu_user_s.take(), host.cpu_system_s.take()) {
            cpu_s = Some(cpu_s.map_or(user + system, |most| most.max(user + system)));
        }
        memory = memory.max(host.memory_peak_bytes.take());
    }
    (cpu_s, memory)
}

fn shown(fleet: &FleetReport, common: &Common) -> Result<String, Failed> {
    match run::show(common) {
        Show::Json => files::fleet_text(fleet, FormatName::Json, Detail::Page),
        Show::Verdict => Ok(format!("{}\n", espstress_fleet::verdict_line(fleet))),
        Show::Page => files::fleet_text(fleet, FormatName::Text, Detail::Page),
        Show::Evidence => files::fleet_text(fleet, FormatName::Text, Detail::Evidence),
    }
}

/// What all devices together have done so far: attempts and successes, by device and workload.
#[derive(Debug, Default)]
struct Sums(BTreeMap<(String, String), (u64, u64)>);

/// Takes what one device's run tells.
struct Display {
    name: String,
    quiet: bool,
    sums: Arc<Mutex<Sums>>,
}

impl EventSink for Display {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Notice { text } if !self.quiet => say(&format!("note: {}: {text}", self.name)),
            Event::Interval { workload, progress, .. } | Event::PhaseEnded { workload, progress, .. } => {
                let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
                let key = (self.name.clone(), workload.clone());
                sums.0.insert(key, (progress.attempts, progress.succeeded));
            }
            _ => {}
        }
    }
}

fn words(sums: &Mutex<Sums>) -> String {
    let sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
    let (attempts, succeeded) =
        sums.0.values().fold((0_u64, 0_u64), |(a, s), (attempts, ok)| (a + attempts, s + ok));
    format!("{attempts} done, {} failed", attempts - succeeded)
}

/// Standard error that is closed is no reason to stop measuring.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_names_of_one_address_and_port_are_one_device() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (a, b) = (("a", at("192.168.4.1:80")), ("b", at("[::ffff:192.168.4.1]:80")));
        assert_eq!(same_place(&[a, ("c", at("192.168.4.1:81")), b]), Some(("a", "b", b.1)));
        assert_eq!(same_place(&[a, ("c", at("192.168.4.1:81")), ("d", at("192.168.4.2:80"))]), None);
    }

    #[test]
    fn each_device_has_files_of_its_own() {
        let named = |path: &str, name: &str| with_name(Path::new(path), name).display().to_string();
        assert_eq!(named("/tmp/run.log", "kitchen"), "/tmp/run.kitchen.log");
        assert_eq!(named("run", "10.0.0.1:80"), "run.10.0.0.1:80");
        assert_eq!(named("a/run.pcapng", "twin:x/y"), "a/run.twin:x_y.pcapng");
    }
}
