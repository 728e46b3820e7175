//! A life on lwIP of a program that somebody else wrote.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use espstress_device::Service;
use espstress_device::telemetry::{ResetReason, read_request};
use espstress_lwip::Stack;
use espstress_program::{End, EndKind, News, Supervisor};

use crate::air::Air;
use crate::control::Errand;
use crate::error::ChildError;
use crate::life::{Life, Serves, StackFacts};
use crate::on_lwip::{facts, start_stack};
use crate::protocol::{Outcome, ProgramSeen};
use crate::setup::SETUP_VARIABLE;
use crate::sockets::by_state;

/// How long the program may take to listen when the twin is started.
const PATIENCE: Duration = Duration::from_secs(25);

/// A program that listens on one port may come to listen on others: so long after the last one it is taken to be up.
const SETTLED: Duration = Duration::from_millis(150);

/// Runs until the host program wants no more of it, or until the program's end, which is a restart.
pub(crate) fn live(life: Life, command: &[String]) -> Result<(), ChildError> {
    let parsed = life.setup.options.resolve()?;
    let stack = start_stack(&life.setup, &parsed, &life.air)?;
    let backlog = u8::try_from(parsed.options.tcp_acceptmbox_size).unwrap_or(u8::MAX);
    let facts = facts(&parsed, backlog, stack.version());
    let command: Vec<OsString> = command.iter().map(OsString::from).collect();
    let telemetry = (Service::Telemetry.port(), telemetry(&life, &stack));
    let say = |line: &str| drop(writeln!(std::io::stderr(), "{line}"));
    let mut program = Supervisor::start(stack.clone(), &command, &environment(&life), Some(telemetry), say)?;
    let waker = program.waker();
    let errands = life.start_threads(stack.clone(), move || waker.wake())?;
    let mut start = Start { since: Instant::now(), facts: Some(facts), last_listened: None };
    start.look_again(&program, PATIENCE);
    if life.setup.dial.is_some() {
        start.ready(&life, &mut program, None);
    }
    loop {
        match program.wait().map_err(|error| ChildError::System("seccomp notification", error))? {
            News::Woken => {
                while let Ok(errand) = errands.try_recv() {
                    match errand {
                        Errand::Stop => {
                            program.end();
                            return Ok(());
                        }
                        Errand::Unwired(error) => return Err(ChildError::Wire(error)),
                        Errand::Persona(_, id) => {
                            let why = "this twin runs a program of yours, which has no persona".to_owned();
                            life.reporter.answer(id, Outcome::Refused(why));
                        }
                        Errand::Program(id) => {
                            let seen = seen(&program, None, program.last_lines());
                            life.reporter.answer(id, Outcome::Program(Box::new(seen)));
                        }
                    }
                }
                start.look(&life, &mut program)?;
            }
            News::Listening(_) => start.listens(&life, &mut program)?,
            News::Ended(end) => return ended(life, &start, &program, end),
        }
    }
}

/// What the program gets to see of the environment.
fn environment(life: &Life) -> Vec<(OsString, Option<OsString>)> {
    let set = |name: &str, value: String| (name.into(), Some(value.into()));
    vec![
        (SETUP_VARIABLE.into(), None),
        set("TERM", "dumb".to_owned()),
        set("ESPSTRESS_TWIN", life.setup.address.to_string()),
        set("ESPSTRESS_HOST", life.setup.gateway.to_string()),
    ]
}

/// The start of the program, until it listens.
struct Start {
    since: Instant,
    /// Told once.
    facts: Option<StackFacts>,
    last_listened: Option<Instant>,
}

impl Start {
    /// Makes the loop look after some time.
    fn look_again(&self, program: &Supervisor, after: Duration) {
        let waker = program.waker();
        let wait = move || {
            std::thread::sleep(after + Duration::from_millis(1));
            waker.wake();
        };
        // Without a thread the program is looked at with its next call.
        let _ = std::thread::Builder::new().name("start".to_owned()).spawn(wait);
    }

    fn listens(&mut self, life: &Life, program: &mut Supervisor) -> Result<(), ChildError> {
        self.last_listened = Some(Instant::now());
        self.look_again(program, SETTLED);
        self.look(life, program)
    }

    fn look(&mut self, life: &Life, program: &mut Supervisor) -> Result<(), ChildError> {
        if self.facts.is_none() {
            return Ok(());
        }
        let here = life.setup.address;
        let reached = |at: &SocketAddrV4| at.ip().is_unspecified() || *at.ip() == here;
        let ports: Vec<u16> =
            program.listening().iter().filter(|at| reached(at)).map(|at| at.port()).collect();
        let settled = self.last_listened.is_some_and(|at| at.elapsed() >= SETTLED);
        let port = if ports.contains(&Service::Http.port()) {
            Some(Service::Http.port())
        } else {
            let ours = |port: &u16| Service::TCP.iter().any(|service| service.port() == *port);
            ports.iter().copied().find(|port| !ours(port)).or(ports.first().copied())
        };
        if port.is_some() && settled {
            self.ready(life, program, port);
        } else if port.is_none() && life.setup.boot.count == 1 && self.since.elapsed() >= PATIENCE {
            return Err(ChildError::NeverServed(never_listened(program, here)));
        }
        Ok(())
    }

    fn ready(&mut self, life: &Life, program: &mut Supervisor, port: Option<u16>) {
        let Some(facts) = self.facts.take() else { return };
        let capacity = u16::try_from(program.free_sockets()).unwrap_or(u16::MAX);
        let listening: Vec<u16> = program.listening().iter().map(SocketAddrV4::port).collect();
        let mut ports: BTreeMap<String, u16> = Service::TCP
            .into_iter()
            .filter(|service| listening.contains(&service.port()))
            .map(|service| (service.name().to_owned(), service.port()))
            .collect();
        ports.insert(Service::Telemetry.name().to_owned(), Service::Telemetry.port());
        if let Some(port) = port {
            ports.insert(Service::Http.name().to_owned(), port);
        }
        let serves = Serves { ports, capacity, persona: None, program_port: port };
        life.report_serving(facts, serves);
    }
}

fn never_listened(program: &Supervisor, here: Ipv4Addr) -> String {
    let elsewhere: Vec<String> = program.listening().iter().map(SocketAddrV4::to_string).collect();
    let where_to = match elsewhere.as_slice() {
        [] => "the program does not listen on any IPv4 TCP port".to_owned(),
        at => format!("the program listens on {} only: bind it to 0.0.0.0 or {here}", at.join(", ")),
    };
    let lines = program.last_lines();
    let said = if lines.is_empty() { String::new() } else { format!("; it wrote: {}", lines.join(" | ")) };
    format!("{where_to} ({} s after its start){said}", PATIENCE.as_secs())
}

/// The program has ended.
fn ended(life: Life, start: &Start, program: &Supervisor, end: End) -> Result<(), ChildError> {
    let last = end.last_lines.last();
    let said = last.map_or_else(String::new, |line| format!(", its last line: {line}"));
    let words = format!("{}{said}", end.kind);
    if start.facts.is_some() && life.setup.boot.count == 1 {
        let why = if end.left_behind && end.kind == EndKind::Exited(0) {
            "the program went to the background: start it so that it stays in the foreground (nginx -g 'daemon off;', \
             lighttpd -D)"
                .to_owned()
        } else {
            let lines = end.last_lines.join(" | ");
            let said =
                if lines.is_empty() { "it wrote nothing".to_owned() } else { format!("it wrote: {lines}") };
            format!("the program ended before it listened on a TCP port: {}; {said}", end.kind)
        };
        return Err(ChildError::NeverServed(why));
    }
    let reason = match end.kind {
        kind if kind.is_crash() => ResetReason::Panic,
        EndKind::Exited(_) => ResetReason::Software,
        EndKind::Signalled(_) | EndKind::Unknown => ResetReason::Unknown,
    };
    let seen = seen(program, Some(words.clone()), end.last_lines);
    life.restart_program(reason, words, seen).map(|never| match never {})
}

fn seen(program: &Supervisor, end: Option<String>, last_lines: Vec<String>) -> ProgramSeen {
    ProgramSeen { end, last_lines, unsupported: program.unsupported().clone() }
}

/// What the twin says of itself, since the program does not.
fn telemetry(life: &Life, stack: &Stack) -> espstress_program::Answer {
    let (stack, air) = (stack.clone(), Arc::clone(&life.air));
    let (name, boot) = (life.setup.name.clone(), life.setup.boot.clone());
    let started = Instant::now();
    Box::new(move |datagram: &[u8]| {
        let request = read_request(datagram)?;
        let mut said = readings(&stack, &air);
        let text = |value: String| serde_json::Value::from(value);
        said.insert("request".into(), request.into());
        said.insert("device".into(), text(name.clone()));
        let uptime = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        said.insert("uptime_ms".into(), uptime.into());
        said.insert("boot_count".into(), boot.count.into());
        said.insert("reset_reason".into(), text(boot.reason.clone()));
        if let Some(words) = &boot.last_words {
            said.insert("last_words".into(), text(words.clone()));
        }
        said.insert("program".into(), serde_json::json!({ "memory_bytes": Supervisor::memory() }));
        serde_json::to_vec(&said).ok()
    })
}

fn readings(stack: &Stack, air: &Air) -> serde_json::Map<String, serde_json::Value> {
    let stats = stack.stats();
    let tcp = by_state(&stats.tcp_states);
    let wifi = air.wifi();
    let all = serde_json::json!({
        "stack": { "name": "lwIP", "version": stack.version() },
        "heap": {
            "free_bytes": stats.heap.free,
            "min_free_bytes": stats.heap.min_free,
            "largest_free_block_bytes": stats.heap.largest_block,
            "total_bytes": stats.heap.total,
        },
        "wifi": {
            "rssi_dbm": wifi.rssi_dbm,
            "disconnects": wifi.disconnects,
            "last_disconnect_reason": wifi.last_reason.map(|reason| reason.to_string()),
            "power_save": wifi.power_save.name(),
        },
        "sockets": { "used": stats.sockets.in_use, "limit": stats.sockets.limit },
        "tcp": {
            "established": tcp.established,
            "close_wait": tcp.close_wait,
            "fin_wait": tcp.fin_wait,
            "time_wait": tcp.time_wait,
        },
        "services": {},
    });
    match all {
        serde_json::Value::Object(all) => all,
        _ => serde_json::Map::new(),
    }
}
