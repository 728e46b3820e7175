//! A life of a process behind a TAP device: no stack of ours, frames go through the link both ways.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use espstress_device::telemetry::ResetReason;
use espstress_program::EndKind;

use crate::air::Station;
use crate::control::Errand;
use crate::error::ChildError;
use crate::life::{Life, Serves, StackFacts, spawn};
use crate::protocol::{Outcome, ProgramSeen};
use crate::setup::{SETUP_VARIABLE, Setup, TapSetup};
use crate::tap::lease::{self, Lease};
use crate::tap::{self, Ending, Far, NAME, Process, Started, seen};

/// How long it may take to show its address when the twin is started: an operating system in an emulator boots that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is asked for its address until then.
const QUESTION: Duration = Duration::from_millis(200);

enum News {
    /// There are errands.
    Woken,
    /// A frame showed this address.
    Seen(Ipv4Addr),
    Ended(Ending),
}

/// Runs until the host program wants no more of it, or until the process's end, which is a restart.
pub(crate) fn live(mut life: Life, setup: &TapSetup) -> Result<(), ChildError> {
    // The end of the host program closes the control channel. A signal would leave nobody to end the process's children.
    let _ = nix::sys::prctl::set_pdeathsig(None);
    let (send, news) = channel();
    let command = filled_in(&setup.command, &life.setup);
    let ended = {
        let send = send.clone();
        move |ending| drop(send.send(News::Ended(ending)))
    };
    let started = tap::start(command, environment(&life.setup), ended).map_err(ChildError::NeverServed)?;
    let Started { process, far } = started;
    let result = attend(&mut life, setup, &process, &far, (send, news));
    match result {
        Ok(Next::Stop) => {
            process.end();
            Ok(())
        }
        Ok(Next::Again(ending)) => {
            let words = words(&ending);
            let reason = match ending.kind {
                kind if kind.is_crash() => ResetReason::Panic,
                EndKind::Exited(_) => ResetReason::Software,
                EndKind::Signalled(_) | EndKind::Unknown => ResetReason::Unknown,
            };
            let seen = said(Some(words.clone()), ending.last_lines, &far);
            life.restart_program(reason, words, seen).map(|never| match never {})
        }
        Err(error) => {
            process.end();
            Err(error)
        }
    }
}

/// How the life goes on.
enum Next {
    Stop,
    Again(Ending),
}

fn attend(
    life: &mut Life,
    setup: &TapSetup,
    process: &Process,
    far: &Far,
    (send, news): (Sender<News>, Receiver<News>),
) -> Result<Next, ChildError> {
    carry(life, far, &send)?;
    let lease = Lease { address: life.setup.address, prefix: life.setup.prefix, gateway: life.setup.gateway };
    if let Err(error) = lease::serve(&setup.interface, lease) {
        drop(writeln!(io::stderr(), "twin: no DHCP server: {error}"));
    }
    let errands = life.start_threads(far.clone(), move || drop(send.send(News::Woken)))?;
    let mut start = Start { since: Instant::now(), shown: false, elsewhere: None };
    loop {
        let next = if start.shown {
            news.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            news.recv_timeout(QUESTION)
        };
        match next {
            Ok(News::Woken) => {
                while let Ok(errand) = errands.try_recv() {
                    match errand {
                        Errand::Stop => return Ok(Next::Stop),
                        Errand::Unwired(error) => return Err(ChildError::Wire(error)),
                        Errand::Persona(_, id) => {
                            let why = "this twin runs a process of yours, which has no persona".to_owned();
                            life.reporter.answer(id, Outcome::Refused(why));
                        }
                        Errand::Program(id) => {
                            let said = said(None, process.lines(), far);
                            life.reporter.answer(id, Outcome::Program(Box::new(said)));
                        }
                    }
                }
            }
            Ok(News::Seen(address)) => start.seen(life, setup, address),
            Ok(News::Ended(ending)) if !start.shown && life.setup.boot.count == 1 => {
                return Err(ChildError::NeverServed(ended_early(&ending)));
            }
            Ok(News::Ended(ending)) => return Ok(Next::Again(ending)),
            Err(RecvTimeoutError::Timeout) => {
                if life.setup.boot.count == 1 && start.since.elapsed() >= PATIENCE {
                    return Err(ChildError::NeverServed(start.never_shown(life, setup, process)));
                }
                let question = seen::question(setup.host_mac, life.setup.gateway, life.setup.address);
                // A process that does not read yet is asked again.
                let _ = far.input(&question);
            }
            // Every sender is a thread that lives as long as this process.
            Err(RecvTimeoutError::Disconnected) => return Ok(Next::Stop),
        }
    }
}

/// Hands the frames of the process to the link, and tells of the addresses that they show.
fn carry(life: &Life, far: &Far, news: &Sender<News>) -> Result<(), ChildError> {
    let (far, air, news) = (far.clone(), Arc::clone(&life.air), news.clone());
    spawn("far", move || {
        let mut last = None;
        let error = far.frames(|frame| {
            let shown = seen::address(frame);
            if shown.is_some() && shown != last {
                last = shown;
                let _ = shown.map(|address| news.send(News::Seen(address)));
            }
            air.take_out(frame);
        });
        drop(writeln!(io::stderr(), "twin: the process's TAP device is gone: {error}"));
    })
}

/// The start of the process, until it shows its address.
struct Start {
    since: Instant,
    shown: bool,
    /// An address that it showed and that is not the one.
    elsewhere: Option<Ipv4Addr>,
}

impl Start {
    fn seen(&mut self, life: &mut Life, setup: &TapSetup, address: Ipv4Addr) {
        let Setup { prefix, gateway, .. } = life.setup;
        if self.shown || address == gateway {
            return;
        }
        let wanted = setup.given || life.setup.boot.count > 1;
        if address != life.setup.address && (wanted || !inside(address, gateway, prefix)) {
            self.elsewhere = Some(address);
            return;
        }
        self.shown = true;
        life.setup.address = address;
        // Nothing is known of its stack.
        let stack = StackFacts {
            name: String::new(),
            sockets: 0,
            backlog: 0,
            options: [].into(),
            no_effect: Vec::new(),
            idf_version: None,
        };
        life.report_serving(
            stack,
            Serves { ports: [].into(), capacity: 0, persona: None, program_port: None },
        );
    }

    fn never_shown(&self, life: &Life, setup: &TapSetup, process: &Process) -> String {
        let Setup { address, prefix, gateway, .. } = life.setup;
        let what = match self.elsewhere {
            Some(other) if inside(other, gateway, prefix) => {
                format!("the process has the address {other}, not {address}; use --device-address {other}")
            }
            Some(other) => format!(
                "the process is at {other}, which is not in the network {gateway}/{prefix}: let it use DHCP, give it \
                 {address}, or say --device-address {other}"
            ),
            None if setup.given => format!("the process doesn't answer ARP requests for {address}"),
            None => "the process shows no address: it neither asks for one by DHCP nor sends a packet that has one; \
                     --device-address says where it is"
                .to_owned(),
        };
        let opened = if setup.command.iter().any(|word| word.contains("{tap}")) {
            String::new()
        } else {
            format!("; the command doesn't contain {{tap}}, the name of the TAP device ({NAME})")
        };
        let lines = process.lines();
        let said =
            if lines.is_empty() { String::new() } else { format!("; it wrote: {}", lines.join(" | ")) };
        format!("{what} ({} s after its start){opened}{said}", PATIENCE.as_secs())
    }
}

/// Whether the address is in the host's network.
fn inside(address: Ipv4Addr, host: Ipv4Addr, prefix: u8) -> bool {
    let differ = u32::from(address) ^ u32::from(host);
    differ.leading_zeros() >= u32::from(prefix)
}

fn ended_early(ending: &Ending) -> String {
    if ending.left_behind && ending.kind == EndKind::Exited(0) {
        return "the process went to the background: start it so that it stays in the foreground".to_owned();
    }
    let lines = ending.last_lines.join(" | ");
    let said = if lines.is_empty() { "it wrote nothing".to_owned() } else { format!("it wrote: {lines}") };
    format!("the process ended before it showed an address: {}; {said}", ending.kind)
}

fn words(ending: &Ending) -> String {
    let last = ending.last_lines.last();
    format!("{}{}", ending.kind, last.map_or_else(String::new, |line| format!(", its last line: {line}")))
}

fn said(end: Option<String>, last_lines: Vec<String>, far: &Far) -> ProgramSeen {
    ProgramSeen { end, last_lines, unsupported: far.not_carried().collect() }
}

/// The command with what it leaves open.
fn filled_in(command: &[String], setup: &Setup) -> Vec<String> {
    let mac = setup.mac.map(|byte| format!("{byte:02x}")).join(":");
    let (address, gateway) = (setup.address.to_string(), setup.gateway.to_string());
    let open = [("{tap}", NAME), ("{address}", &address), ("{gateway}", &gateway), ("{mac}", &mac)];
    let fill =
        |word: &String| open.iter().fold(word.clone(), |word, (name, value)| word.replace(name, value));
    command.iter().map(fill).collect()
}

/// What the process gets to see of the environment.
fn environment(setup: &Setup) -> Vec<(OsString, Option<OsString>)> {
    let set = |name: &str, value: &str| (name.into(), Some(value.into()));
    vec![
        (SETUP_VARIABLE.into(), None),
        set("TERM", "dumb"),
        set("ESPSTRESS_TAP", NAME),
        set("ESPSTRESS_TWIN", &setup.address.to_string()),
        set("ESPSTRESS_HOST", &setup.gateway.to_string()),
        // What lwIP's own port for Unix looks for.
        set("PRECONFIGURED_TAPIF", NAME),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_leaves_open_is_filled_in() {
        let command = ["-nic", "tap,ifname={tap},mac={mac}", "{address}", "{gateway}", "{other}"];
        let filled = filled_in(&command.map(str::to_owned), &Setup::default());
        let expected =
            ["-nic", "tap,ifname=tap0,mac=02:45:53:50:00:5b", "192.168.4.91", "192.168.4.1", "{other}"];
        assert_eq!(filled, expected);
    }

    #[test]
    fn an_address_is_inside_its_network_alone() {
        let at = |text: &str| text.parse::<Ipv4Addr>().unwrap();
        assert!(inside(at("192.168.4.7"), at("192.168.4.1"), 24));
        assert!(!inside(at("192.168.5.7"), at("192.168.4.1"), 24));
        assert!(inside(at("10.0.0.1"), at("192.168.4.1"), 0));
    }
}
