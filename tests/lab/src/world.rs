//! Host, link and device in one virtual time, and a run through them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use espstress_device::carrier::{Carrier, Entry, Turn, entries_needed};
use espstress_device::telemetry::{PowerSave, ResetReason};
use espstress_device::{Config, Persona, Program, Service};
use espstress_diagnose::{Account, Diagnosis, Finding, HostEvidence, Stalls};
use espstress_engine::{DeviceFacts, Measurements, Packets, Sight, WorkloadOutcome, judge};
use espstress_event::{Endpoints, Event, Expected, IntentBook, SectionCourse, WorkloadId};
use espstress_observe::Link as LinkType;
use espstress_stats::ProbeOutcome;
use espstress_twin::link::{self, Direction, Link, LinkEvent, LinkSpec, Passage};

use crate::case::Tells;
use crate::chance::{Chance, Purpose};
use crate::device::{Board, BoardSockets};
use crate::host::Host;
use crate::load::{Load, Ports, Shared, Workload};
use crate::probes::Probes;

const US: u64 = 1_000;
const MS: u64 = 1_000 * US;
const SECOND: u64 = 1_000 * MS;

const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 1);
const DEVICE: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 2);

/// Wall time of each run's start: any will do.
pub const START_UNIX_NS: i64 = 1_760_000_000_000_000_000;

/// How long the host takes for a packet.
const HOST_TAKES: u64 = 20 * US;

/// How long a device is away when it restarts: bootloader, association, address.
const BOOT: std::ops::Range<u64> = 700 * MS..3_000 * MS;

/// How long `run` listens after the last close, unless all connections are over before.
const WATCH: u64 = 6 * SECOND;

/// How often the watch looks whether they are.
const LOOK: u64 = 50 * MS;

/// The device is another one from then on.
#[derive(Clone, Copy, Debug)]
pub struct Switch {
    /// When, nanoseconds since the start of the run.
    pub at_ns: u64,
    /// What it becomes.
    pub persona: Persona,
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Of everything random.
    pub seed: u64,
    /// How the device behaves, in order of time; the first one from 0.
    pub personas: Vec<Switch>,
    /// The link.
    pub link: LinkSpec,
    /// The load.
    pub load: Load,
    /// Another one at the same time.
    pub beside: Option<Load>,
    /// When the device restarts, whatever its program does; in order of time, nanoseconds since the start of the run.
    pub restarts: Vec<u64>,
    /// Whether the device tells of itself.
    pub tells: Tells,
    /// Whether the packets are kept.
    pub keeps: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Run {
    /// The workload's figures.
    pub workloads: Vec<WorkloadOutcome>,
    /// The packets.
    pub packets: Packets,
    /// The probes.
    pub probes: ProbeOutcome,
    /// Length, nanoseconds.
    pub duration_ns: u64,
    /// What the program says it means.
    pub findings: Vec<Finding>,
    /// Who answers for each failed attempt.
    pub account: Account,
    /// How often a fault can have shown: attempts that failed, connections that were reset or left open.
    pub troubles: u64,
    /// Requests that a device with a fault served.
    pub served_with_fault: u64,
    /// Restarts of the device.
    pub restarts: u64,
    /// Outages of the link, from when to when, nanoseconds.
    pub outages: Vec<(u64, u64)>,
    /// The packets as the host saw them, where they were to be kept: nanoseconds since the start, and bytes.
    pub kept: Vec<(u64, Vec<u8>)>,
}

/// Runs and judges.
pub fn run(setup: &Setup) -> Run {
    run_telling(setup, &mut |_| {})
}

/// The same, and tells what happens as a live run does.
pub fn run_telling(setup: &Setup, tell: &mut dyn FnMut(Event)) -> Run {
    let persona = setup.personas.first().map_or(Persona::ROBUST, |switch| switch.persona);
    let config = Config { persona, ..Config::default() };
    let mut world = World::new(setup, &config, tell);
    let mut next = Some(config);
    while let Some(config) = next {
        next = world.live(config);
    }
    world.finish()
}

struct World<'a> {
    tell: &'a mut dyn FnMut(Event),
    now: u64,
    seed: u64,
    host: Host,
    shared: Shared,
    workloads: Vec<Workload>,
    /// After their end.
    outcomes: Vec<WorkloadOutcome>,
    probes: Option<Probes>,
    probed: Option<ProbeOutcome>,
    link: Link,
    sight: Option<Sight>,
    board: Rc<RefCell<Board>>,
    power_save: PowerSave,
    chance: Chance,
    /// What the device's processor has not come to, and when it does.
    device_queue: VecDeque<(u64, Vec<u8>)>,
    host_queue: VecDeque<(u64, Vec<u8>)>,
    /// The fastest that the device takes a packet, and by how much it varies.
    takes: (u64, u64),
    /// Off while it starts, until then.
    off_until: u64,
    switches: VecDeque<Switch>,
    roll_ns: u64,
    watch_end: Option<u64>,
    look_ns: u64,
    restarts_due: VecDeque<u64>,
    troubles: u64,
    served_with_fault: u64,
    restarts: u64,
    outages: Vec<(u64, u64)>,
    kept: Option<Vec<(u64, Vec<u8>)>>,
}

/// The services at the device's own ports.
fn endpoints() -> Endpoints {
    let at = |service: Service| SocketAddr::from((DEVICE, service.port()));
    Endpoints {
        http: at(Service::Http),
        tls_name: None,
        framed: Some(at(Service::Framed)),
        raw: Some(at(Service::Raw)),
        line: Some(at(Service::Line)),
        telemetry: Some(at(Service::Telemetry)),
    }
}

fn at(service: Service) -> SocketAddrV4 {
    SocketAddrV4::new(DEVICE, service.port())
}

impl<'a> World<'a> {
    fn new(setup: &Setup, config: &Config, tell: &'a mut dyn FnMut(Event)) -> Self {
        let Setup { seed, load, tells, .. } = *setup;
        let mut stacks = Chance::new(seed, Purpose::Stacks);
        let mut chance = Chance::new(seed, Purpose::Processor);
        let book = Arc::new(IntentBook::default());
        let service = |load: &Load| match load.kind {
            crate::load::Kind::Framed { .. } => Service::Framed,
            _ => Service::Http,
        };
        let loads: Vec<Load> = std::iter::once(load).chain(setup.beside).collect();
        let sight = Sight::new(
            &endpoints(),
            Duration::from_secs(5),
            START_UNIX_NS,
            loads.iter().map(|load| load.workload().to_owned()).collect(),
            Arc::clone(&book),
        );
        let power_save = match setup.link.power_save {
            link::PowerSave::None => PowerSave::None,
            link::PowerSave::MinModem => PowerSave::MinModem,
            link::PowerSave::MaxModem => PowerSave::MaxModem,
        };
        let takes = (chance.between(150, 900) * US, chance.between(100, 1_500) * US);
        let board = Board::start(DEVICE, stacks.any(), 0, power_save);
        tell(Event::RunStarted {
            scenario: "lab".to_owned(),
            target: DEVICE.to_string(),
            seed,
            start_unix_ns: START_UNIX_NS,
        });
        for load in &loads {
            let expected = Expected::Duration(load.duration_ns);
            tell(Event::PhaseStarted { workload: load.workload().to_owned(), at_ns: 0, expected });
        }
        Self {
            tell,
            now: 0,
            seed,
            host: Host::new(HOST, stacks.any()),
            shared: Shared {
                book,
                open: 0,
                capacity: (tells == Tells::All).then(|| config.capacity().into()),
                ports: Ports::from(32_768 + stacks.between(0, 20_000) as u16),
            },
            workloads: (0..)
                .zip(&loads)
                .map(|(id, load)| Workload::new(*load, at(service(load)), WorkloadId(id)))
                .collect(),
            outcomes: Vec::new(),
            probes: Some(Probes::new(
                at(Service::Http),
                (tells == Tells::All).then(|| at(Service::Telemetry)),
            )),
            probed: None,
            link: Link::new(setup.link.clone(), Chance::new(seed, Purpose::Link).any(), 0),
            sight: Some(sight),
            board: Rc::new(RefCell::new(board)),
            power_save,
            chance,
            device_queue: VecDeque::new(),
            host_queue: VecDeque::new(),
            takes,
            off_until: 0,
            switches: setup.personas.iter().skip(1).copied().collect(),
            roll_ns: SECOND,
            watch_end: None,
            look_ns: 0,
            restarts_due: setup.restarts.iter().copied().collect(),
            troubles: 0,
            served_with_fault: 0,
            restarts: 0,
            outages: Vec::new(),
            kept: setup.keeps.then(Vec::new),
        }
    }

    /// One life of the device: to the end of the run (`None`), or to its restart, and what it starts with next.
    fn live(&mut self, config: Config) -> Option<Config> {
        let mut entries = Vec::new();
        entries.resize_with(entries_needed(&config), || Entry::EMPTY);
        let sockets = BoardSockets(Rc::clone(&self.board));
        let program = Program::new(config, espstress_device::Instant::ZERO);
        let mut carrier = Carrier::new(program, sockets, &mut entries);
        loop {
            while let Some(switch) = self.switches.pop_front_if(|switch| switch.at_ns <= self.now) {
                carrier.program().set_persona(switch.persona);
            }
            self.deliver();
            if self.restarts_due.pop_front_if(|at| *at <= self.now).is_some() {
                let next = carrier.program().config_after_restart(ResetReason::Panic);
                self.restart();
                return Some(next);
            }
            if self.now >= self.off_until
                && let Some(reason) = self.device(&mut carrier)
            {
                let next = carrier.program().config_after_restart(reason);
                self.restart();
                return Some(next);
            }
            self.host();
            if self.is_over() {
                return None;
            }
            self.now = self.next_ns().max(self.now);
        }
    }

    /// The device is off, and everything it knew is gone.
    fn restart(&mut self) {
        self.restarts += 1;
        self.off_until = self.now + self.chance.between(BOOT.start, BOOT.end);
        self.device_queue.clear();
        let seed = self.seed ^ self.restarts << 32;
        *self.board.borrow_mut() = Board::start(DEVICE, seed, self.off_until, self.power_save);
    }

    /// Frames that the link has for the two.
    fn deliver(&mut self) {
        while let Some((direction, frame)) = self.link.poll(self.now) {
            let frame = frame.to_vec();
            match direction {
                Direction::ToDevice => self.reach_device(frame),
                Direction::ToHost => self.reach_host(frame),
            }
        }
        while let Some(event) = self.link.poll_event() {
            match event {
                LinkEvent::Down { at_ns, .. } => {
                    self.outages.push((at_ns, u64::MAX));
                    self.board.borrow_mut().disconnected();
                }
                LinkEvent::Up { at_ns } => {
                    if let Some((_, end)) = self.outages.last_mut() {
                        *end = at_ns;
                    }
                }
            }
        }
    }

    fn reach_device(&mut self, frame: Vec<u8>) {
        if self.now < self.off_until {
            return;
        }
        let (least, more) = self.takes;
        let free = self.device_queue.back().map_or(self.now, |&(at, _)| at.max(self.now));
        let ready = free + least + self.chance.between(0, more);
        self.device_queue.push_back((ready, frame));
    }

    fn reach_host(&mut self, frame: Vec<u8>) {
        self.see(&frame);
        self.host_queue.push_back((self.now + HOST_TAKES, frame));
    }

    /// The host's capture.
    fn see(&mut self, frame: &[u8]) {
        if let Some(kept) = &mut self.kept {
            kept.push((self.now, frame.to_vec()));
        }
        if let Some(sight) = &mut self.sight {
            sight.frame(unix(self.now), LinkType::Raw, frame, frame.len(), &mut ());
        }
    }

    /// The device does what it can; the reason, where it restarts.
    fn device(&mut self, carrier: &mut Carrier<'_, BoardSockets>) -> Option<ResetReason> {
        /// A device that is not done after so many turns has others wait.
        const TURNS: usize = 200;
        let before = served(carrier);
        self.board.borrow_mut().at(self.now);
        while let Some((_, frame)) = self.device_queue.pop_front_if(|(at, _)| *at <= self.now) {
            self.board.borrow_mut().take(frame, self.now);
        }
        for _ in 0..TURNS {
            if let Turn::Restart(reason) = carrier.turn() {
                return Some(reason);
            }
            if !self.board.borrow().is_restless() {
                break;
            }
        }
        if *carrier.program().persona() != Persona::ROBUST {
            self.served_with_fault += served(carrier) - before;
        }
        loop {
            self.board.borrow_mut().send();
            let Some(frame) = self.board.borrow_mut().outgoing() else { break };
            self.leave_device(frame);
        }
        None
    }

    fn leave_device(&mut self, frame: Vec<u8>) {
        if self.link.push(Direction::ToHost, &frame, self.now) == Passage::Through {
            self.reach_host(frame);
        }
    }

    /// The host does what it can.
    fn host(&mut self) {
        self.host.at(self.now);
        while let Some((_, frame)) = self.host_queue.pop_front_if(|(at, _)| *at <= self.now) {
            self.host.take(frame);
        }
        for workload in &mut self.workloads {
            workload.step(&mut self.host, &mut self.shared, self.now);
        }
        if self.now >= self.roll_ns && !self.workloads.is_empty() {
            self.roll_ns += SECOND;
            for workload in &mut self.workloads {
                let progress = workload.recorder().roll(self.now);
                let name = workload.load().workload().to_owned();
                (self.tell)(Event::Interval { workload: name, at_ns: self.now, progress });
            }
            self.tell_probes(SectionCourse::UnderWay);
        }
        if let Some(probes) = &mut self.probes {
            probes.step(&mut self.host, &mut self.shared, self.now);
        }
        self.end_load();
        self.host.send();
        while let Some(frame) = self.host.outgoing() {
            self.see(&frame);
            if self.link.push(Direction::ToDevice, &frame, self.now) == Passage::Through {
                self.reach_device(frame);
            }
        }
    }

    /// Where the workload is over, so are the probes, and the watch begins.
    fn end_load(&mut self) {
        let over = self.probes.as_ref().is_some_and(|probes| probes.are_over(self.now));
        if over || (self.workloads.is_empty() && self.probes.is_none() && self.watch_end.is_none()) {
            self.tell_probes(SectionCourse::Ended);
            self.probed = self.probes.take().map(|probes| probes.stop(&mut self.host)).or(self.probed.take());
            self.watch_end = Some(self.now + WATCH);
            self.look_ns = self.now;
            return;
        }
        // Together: a live run's probes go on until the last workload has ended.
        let ended: Option<Vec<u64>> = self.workloads.iter().map(Workload::ended_ns).collect();
        let Some(ended) = ended.filter(|ended| !ended.is_empty()) else { return };
        for (mut workload, ended) in std::mem::take(&mut self.workloads).into_iter().zip(ended) {
            let load = *workload.load();
            let progress = workload.recorder().progress();
            let name = load.workload().to_owned();
            (self.tell)(Event::PhaseEnded { workload: name, at_ns: ended, progress });
            self.troubles += workload.troubles;
            self.outcomes.push(WorkloadOutcome {
                name: load.workload().to_owned(),
                kind: load.workload(),
                facts: load.facts(),
                settings: serde_json::Value::Null,
                at_once: load.lanes,
                stats: workload.finish().finish(ended),
            });
        }
        if let Some(probes) = &mut self.probes {
            probes.closed(self.now);
        }
    }

    /// What the probes have come to, where there is something to tell.
    fn tell_probes(&mut self, course: SectionCourse) {
        let news = self.probes.as_mut().and_then(|probes| probes.news(course, self.now));
        if let Some(probed) = news {
            (self.tell)(Event::Probed { at_ns: self.now, probed: Arc::new(probed) });
        }
    }

    fn is_over(&mut self) -> bool {
        let Some(end) = self.watch_end else { return false };
        if self.now < self.look_ns {
            return false;
        }
        self.look_ns = self.now + LOOK;
        let Some(sight) = &mut self.sight else { return true };
        sight.advance(unix(self.now), &mut ());
        self.now >= end || sight.is_settled(unix(self.now))
    }

    fn next_ns(&mut self) -> u64 {
        let device_off = self.now < self.off_until;
        let times = [
            self.link.next_due_ns(),
            self.host_queue.front().map(|&(at, _)| at),
            self.host.next_ns(),
            self.device_queue.front().map(|&(at, _)| at),
            if device_off { Some(self.off_until) } else { self.board.borrow_mut().next_ns() },
            self.workloads.iter().filter_map(Workload::next_ns).min(),
            (!self.workloads.is_empty()).then_some(self.roll_ns),
            self.probes.as_ref().map(Probes::next_ns),
            self.switches.front().map(|switch| switch.at_ns),
            self.restarts_due.front().copied(),
            self.watch_end.map(|end| end.min(self.look_ns)),
        ];
        times.into_iter().flatten().min().unwrap_or(self.now + SECOND)
    }

    fn finish(mut self) -> Run {
        let packets = match self.sight.take() {
            Some(sight) => {
                let watched = sight.finish(unix(self.now), &mut ());
                Packets::Seen(Box::new(watched.weighed(self.probed.as_ref(), START_UNIX_NS)))
            }
            None => Packets::Off,
        };
        let workloads = self.outcomes;
        let device = DeviceFacts { capacity: self.shared.capacity, ..DeviceFacts::default() };
        let host = HostEvidence {
            cpu_busy: Some(0.0),
            slow_connects: Some(0),
            stalls: Some(Stalls::default()),
            stood_still: Vec::new(),
        };
        let measured = Measurements {
            start_unix_ns: START_UNIX_NS,
            duration_ns: self.now,
            workloads: &workloads,
            packets: &packets,
            probes: self.probed.as_ref(),
            console: None,
            air: None,
            device: &device,
            place: None,
            local_ports: None,
            host,
        };
        let Diagnosis { findings, account } = judge(&measured);
        Run {
            findings,
            account,
            duration_ns: self.now,
            workloads,
            packets,
            probes: self.probed.unwrap_or_else(|| Probes::new(at(Service::Http), None).stop(&mut self.host)),
            troubles: self.troubles,
            served_with_fault: self.served_with_fault,
            restarts: self.restarts,
            outages: self.outages,
            kept: self.kept.unwrap_or_default(),
        }
    }
}

fn unix(ns: u64) -> i64 {
    START_UNIX_NS + i64::try_from(ns).unwrap_or(i64::MAX / 2)
}

fn served(carrier: &mut Carrier<'_, BoardSockets>) -> u64 {
    let program = carrier.program();
    Service::TCP.into_iter().map(|service| u64::from(program.counters(service).served)).sum()
}
