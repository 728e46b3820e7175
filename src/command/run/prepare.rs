//! What a run needs beside its workloads: the command line over the scenario, gates, files, and the device.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;

use super::device::{bring_up, source_is_here};
use super::measure::Ready;
use super::{display, random_seed};
use crate::command::{Failed, console, descriptors, metrics};
use espstress_cli::Common;
use espstress_connection::PortRange;
use espstress_engine::{PlannedPhase, Ports};
use espstress_event::{Event, EventSink};
use espstress_report::Report;
use espstress_report::thresholds::Gates;
use espstress_scenario::{Place, Scenario};
use espstress_targets::{DialOut, Nest, Spec};

/// A run of which all is known but the device.
pub(in crate::command) struct Prepared<'a> {
    pub(super) scenario: Scenario,
    pub(super) common: &'a Common,
    pub(super) gates: Option<Gates>,
    pub(super) ports: Ports,
    pub(super) seed: u64,
    /// Opened before this process may enter a network of its own.
    pub(super) metrics: Option<TcpListener>,
    /// The sessions of the run before this one.
    pub(super) earlier: Option<Box<Report>>,
}

impl<'a> Prepared<'a> {
    /// `names` checks the scenario's phases and names them.
    pub(in crate::command) fn new(
        mut scenario: Scenario,
        common: &'a Common,
        names: impl FnOnce(&Scenario) -> Result<Vec<String>, Failed>,
    ) -> Result<Self, Failed> {
        overlay(&mut scenario, common)?;
        let names = names(&scenario)?;
        let gates = gates(&scenario, &names, common)?;
        let files = [
            (&common.output, "-o"),
            (&common.pcap, "--pcap"),
            (&common.log, "--log"),
            (&common.resume, "--resume"),
        ];
        for (path, option) in files {
            path.as_deref().map_or(Ok(()), |path| writable(path, option))?;
        }
        let earlier = common.resume.as_deref().map(earlier).transpose()?.flatten();
        let metrics = common.metrics_listen.as_deref().map(metrics::listen);
        let metrics = metrics.transpose().map_err(Failed::usage)?;
        let ports = match &scenario.local_ports {
            Some(text) => Ports::Restricted(text.parse().map_err(Failed::usage)?),
            None => Ports::Usual(PortRange::of_this_host()),
        };
        let seed = scenario.seed.unwrap_or_else(random_seed);
        Ok(Self { scenario, common, gates, ports, seed, metrics, earlier })
    }

    /// A device of which nothing is known but that it dials in is the target when it has.
    pub(super) fn await_device(mut self, phases: &mut [PlannedPhase]) -> Result<Self, Failed> {
        if self.scenario.target.as_deref() != Some(&Spec::DialsIn.to_string()) {
            return Ok(self);
        }
        let quiet = self.common.quiet;
        let mut say = |text: String| {
            if !quiet {
                drop(writeln!(std::io::stderr(), "{text}"));
            }
        };
        let source = self.common.source;
        let found = phases.iter_mut().find_map(|phase| phase.workload.await_device(source, &mut say));
        if let Some(address) = found.transpose().map_err(Failed::environment)? {
            self.scenario.target = Some(address.to_string());
        }
        Ok(self)
    }

    /// Finds or starts the device; one that is ours to start dials as it is told.
    pub(in crate::command) fn bring_up(self, dial: Option<DialOut>) -> Result<Ready<'a>, Failed> {
        let sink = display(self.common);
        self.bring_up_in(dial, sink, &mut Nest::default())
    }

    pub(super) fn bring_up_in(
        self,
        dial: Option<DialOut>,
        mut sink: Box<dyn EventSink>,
        nest: &mut Nest,
    ) -> Result<Ready<'a>, Failed> {
        let console = console::open(&self.common.console)?;
        let (device, instead_of_twin) = bring_up(&self.scenario, self.common, self.seed, dial, nest)?;
        let (console, copied) = console.of(&device, &self.common.device)?;
        descriptors::raise_limit();
        source_is_here(self.common.source)?;
        let instead = instead_of_twin.map(|reason| format!("the target is sim: {reason}"));
        if let Some(text) = &instead {
            // Another target than the usual one is said in any case: what follows is about another stack.
            if self.common.quiet {
                drop(writeln!(std::io::stderr(), "note: {text}"));
            }
            sink.event(&Event::Notice { text: text.clone() });
        }
        Ok(Ready {
            prepared: self,
            device,
            console,
            copied,
            sink,
            instead,
            captures: 1,
            left_out: Vec::new(),
        })
    }
}

/// The report of the sessions that a log has; `None` where it is still to be begun.
fn earlier(log: &Path) -> Result<Option<Box<Report>>, Failed> {
    let begun = std::fs::metadata(log).is_ok_and(|file| file.len() > 0);
    if !begun {
        return Ok(None);
    }
    let rebuilt = espstress_report::read_log(log)
        .map_err(|error| Failed::usage(format!("--resume {}: {error}", log.display())))?;
    Ok(Some(Box::new(rebuilt.report)))
}

/// The command line over the file.
fn overlay(scenario: &mut Scenario, common: &Common) -> Result<(), Failed> {
    // What was typed stands in no file.
    let take = |slot: &mut Option<String>, place: &mut Option<Place>, typed: &Option<String>| {
        if typed.is_some() {
            *place = None;
            slot.clone_from(typed);
        }
    };
    take(&mut scenario.persona, &mut scenario.persona_place, &common.device.persona);
    take(&mut scenario.link, &mut scenario.link_place, &common.device.link);
    take(&mut scenario.stack, &mut None, &common.device.stack);
    take(&mut scenario.device_address, &mut None, &common.device.device_address);
    take(&mut scenario.local_ports, &mut None, &common.local_ports);
    scenario.program = common.device.program_words().map_err(Failed::usage)?.or(scenario.program.take());
    scenario.seed = common.seed.or(scenario.seed);
    scenario.watch = common.watch.or(scenario.watch);
    if !common.thresholds.is_empty() {
        scenario.thresholds.clone_from(&common.thresholds);
    }
    Ok(())
}

fn gates(scenario: &Scenario, names: &[String], common: &Common) -> Result<Option<Gates>, Failed> {
    if common.no_gate {
        return Ok(None);
    }
    let gates = Gates::from_expressions(&scenario.thresholds).map_err(Failed::usage)?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    gates.check_names(&names).map_err(Failed::usage)?;
    Ok(Some(gates))
}

fn writable(path: &Path, option: &'static str) -> Result<(), Failed> {
    espstress_report::check_writable(path, option).map_err(Failed::usage)
}
