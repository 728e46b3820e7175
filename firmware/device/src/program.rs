//! The device as a whole: what all its connections share.

use core::time::Duration;

use crate::config::{Config, Host};
use crate::connection::{CloseHow, Connection};
use crate::control::Command;
use crate::dial::Dialler;
use crate::error::ErrorKind;
use crate::mqtt::client::Client;
use crate::mqtt::{BLOCKING_DIAL_LIMIT, DIAL_LIMIT};
use crate::persona::{Accepting, Dialling, KeepAlive, Lifetime, Persona};
use crate::service::{Service, Services};
use crate::sessions::Sessions;
use crate::telemetry::{self, PowerSave, Readings, ResetReason, SocketUse};
use crate::time::{Instant, earliest};

/// How long a commanded outage, restart or hang waits, so that the answer to the command gets out first.
pub const COMMAND_DELAY: Duration = Duration::from_millis(200);

/// How often a listener is looked at while the device is busy with dialling.
const BLOCKED_CHECK: Duration = Duration::from_millis(10);

/// Commands that can wait at once.
const PENDING: usize = 8;

/// Whether to take a connection from the stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// Accept one, then ask again.
    Accept,
    /// Leave them with the stack.
    NotNow {
        /// When to ask again; with none, after a connection has ended.
        retry_at: Option<Instant>,
    },
}

/// What the device as a whole wants of its carrier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceWish {
    /// Restart: every connection is gone without goodbye, uptime starts again. Carry
    /// [`Program::config_after_restart`] over.
    Restart(ResetReason),
    /// Leave the network for so long and come back.
    LeaveNetwork(Duration),
    /// Switch Wi-Fi power save.
    PowerSave(PowerSave),
    /// The application stops here: no accept, no read, no write, while the stack and the telemetry datagrams live.
    Hang,
    /// Allocate so many bytes of the device's heap and never give them back. Failing is allowed.
    Hoard(u32),
}

/// Socket options for every accepted and dialled connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SocketOptions {
    /// Keep-alive probes, if any. `TCP_NODELAY` is always wanted.
    pub keep_alive: Option<KeepAlive>,
}

/// What a service has seen so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counters {
    /// Connections now open.
    pub open: u16,
    /// Connections forgotten, their sockets still occupied.
    pub leaked: u16,
    /// Connections accepted.
    pub accepted: u32,
    /// Requests answered.
    pub served: u32,
    /// Errors, by the number of their [`ErrorKind`].
    pub errors: [u32; ErrorKind::COUNT],
}

impl Counters {
    const NONE: Self = Self { open: 0, leaked: 0, accepted: 0, served: 0, errors: [0; ErrorKind::COUNT] };
}

/// The device program's shared state: setup, persona, admission, counters, sessions, and what it wants as a whole.
///
/// One a device. A carrier that runs connections in several tasks keeps it behind a lock and takes that for the
/// length of one call. Order of calls: [`poll_wish`](Self::poll_wish) whenever [`next_wish_at`](Self::next_wish_at)
/// has come or a connection was advanced; [`admit`](Self::admit) before taking a connection from the stack;
/// [`open`](Self::open) once it has one.
pub struct Program {
    config: Config,
    persona: Persona,
    /// The persona to take over once the device has been up for long enough.
    later: Option<Persona>,
    generation: u32,
    started: Instant,
    numbers: u32,
    counters: [Counters; Service::COUNTED],
    pub(crate) sessions: Sessions,
    pub(crate) mqtt: Option<Client>,
    pub(crate) dialler: Dialler,
    pending: heapless::Vec<(Instant, DeviceWish), PENDING>,
    hung: bool,
    /// Of each service: what takes its time for one keeps no other waiting.
    next_accept: [Instant; Service::TCP_COUNT],
    served: u32,
    /// Requests of which something is still to be kept.
    to_hoard: u32,
    hoarded: u64,
    turn: Option<u32>,
}

/// What a device behaves like before its persona begins.
const fn at_first(persona: Persona) -> Persona {
    if persona.from().is_zero() { persona } else { Persona::ROBUST }
}

/// The persona, if it begins later.
const fn later(persona: Persona) -> Option<Persona> {
    if persona.from().is_zero() { None } else { Some(persona) }
}

impl Program {
    /// A device that has just started.
    #[must_use]
    pub fn new(config: Config, now: Instant) -> Self {
        Self {
            persona: at_first(config.persona),
            later: later(config.persona),
            dialler: Dialler::new(config.dial.is_some(), now),
            mqtt: config.mqtt.map(|settings| Client::new(settings, &config, now)),
            config,
            generation: 0,
            started: now,
            numbers: 0,
            counters: [Counters::NONE; Service::COUNTED],
            sessions: Sessions::new(),
            pending: heapless::Vec::new(),
            hung: false,
            next_accept: [now; Service::TCP_COUNT],
            served: 0,
            to_hoard: 0,
            hoarded: 0,
            turn: None,
        }
    }

    /// The setup for the start after this one: the persona in force stays, or one that still waits; the boot is counted.
    #[must_use]
    pub fn config_after_restart(&self, reason: ResetReason) -> Config {
        let persona = self.later.unwrap_or(self.persona);
        Config { persona, boot: self.config.boot.next(reason), ..self.config.clone() }
    }

    /// The setup.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The persona in force.
    #[must_use]
    pub const fn persona(&self) -> &Persona {
        &self.persona
    }

    /// Changes the persona: for new connections at once, for those that hold or wait for ever within a second. One that
    /// begins later is taken over in [`poll_wish`](Self::poll_wish); until then the device is robust.
    pub fn set_persona(&mut self, persona: Persona) {
        self.later = later(persona);
        self.persona = at_first(persona);
        self.to_hoard = 0;
        if self.config.dial.is_some() {
            self.dialler.wake();
        }
        self.generation = self.generation.wrapping_add(1);
        self.hung = false;
    }

    /// Time since the start.
    #[must_use]
    pub const fn uptime(&self, now: Instant) -> Duration {
        now.since(self.started)
    }

    /// Whether the application hangs: the carrier then serves telemetry datagrams and nothing else.
    #[must_use]
    pub fn is_hung(&self) -> bool {
        self.hung
    }

    /// Whether it hangs, or would if it were asked what it wants: the carrier asks only between its rounds, and one of
    /// them may hold many requests.
    pub(crate) fn hangs(&self, now: Instant) -> bool {
        let due = match self.persona.habits().lifetime {
            Lifetime::HangsAfter { uptime, requests } => {
                self.uptime(now) >= uptime && self.served >= requests
            }
            Lifetime::Forever | Lifetime::RestartsEvery { .. } => false,
        };
        self.is_hung() || due
    }

    /// Connections open and forgotten, and the sockets under the services.
    #[must_use]
    pub fn sockets(&self) -> SocketUse {
        SocketUse { used: self.config.services.sockets() + self.taken(), limit: self.config.sockets }
    }

    /// What a TCP service has seen so far; of [`Service::Telemetry`], nothing.
    #[must_use]
    pub fn counters(&self, service: Service) -> Counters {
        self.counters.get(service.index()).copied().unwrap_or(Counters::NONE)
    }

    /// Bytes hoarded in all.
    #[must_use]
    pub const fn hoarded(&self) -> u64 {
        self.hoarded
    }

    /// Socket options for a new connection.
    #[must_use]
    pub const fn socket_options(&self) -> SocketOptions {
        SocketOptions { keep_alive: self.persona.habits().keep_alive }
    }

    /// Socket options for a dialled connection: MQTT has a keep alive of its own.
    #[must_use]
    pub const fn dial_options(&self) -> SocketOptions {
        if self.config.mqtt.is_some() { SocketOptions { keep_alive: None } } else { self.socket_options() }
    }

    /// The services that are switched on.
    #[must_use]
    pub const fn services(&self) -> Services {
        self.config.services
    }

    /// Whether to take a connection of this service from the stack now.
    #[must_use]
    pub fn admit(&self, service: Service, now: Instant) -> Admission {
        let never = Admission::NotNow { retry_at: None };
        if self.hangs(now) || !self.config.services.contains(service) || self.free_slots() == 0 {
            return never;
        }
        if self.blocks() {
            return Admission::NotNow { retry_at: Some(now + BLOCKED_CHECK) };
        }
        match self.persona.habits().accepting {
            Accepting::WhileSlotFree => Admission::Accept,
            Accepting::OneEach(_) => match self.next_accept.get(service.index()) {
                Some(&at) if now < at => Admission::NotNow { retry_at: Some(at) },
                _ => Admission::Accept,
            },
            Accepting::OneAtATime if self.open_connections() > 0 => never,
            Accepting::OneAtATime => Admission::Accept,
        }
    }

    /// Starts the program's side of a connection that the stack has accepted.
    ///
    /// Takes what comes, also when [`admit`](Self::admit) would not: stacks without a backlog accept by themselves.
    /// A persona that serves one at a time then lets the connection wait.
    #[must_use]
    pub fn open(&mut self, service: Service, now: Instant) -> Connection {
        if let (Accepting::OneEach(pause), Some(next)) =
            (self.persona.habits().accepting, self.next_accept.get_mut(service.index()))
        {
            *next = now + pause;
        }
        let number = self.take_number();
        if let Some(counters) = self.counters.get_mut(service.index()) {
            counters.accepted = counters.accepted.saturating_add(1);
            counters.open = counters.open.saturating_add(1);
        }
        Connection::new(self, service, number, now)
    }

    /// The host to dial, when it is time to; answer with [`dialled`](Self::dialled) or
    /// [`dial_failed`](Self::dial_failed) within [`dial_limit`](Self::dial_limit).
    #[must_use]
    pub fn poll_dial(&mut self, now: Instant) -> Option<Host> {
        if self.is_hung() || !self.dialler.starts(now) {
            return None;
        }
        self.config.dial.clone()
    }

    /// How long dialling may take.
    #[must_use]
    pub fn dial_limit(&self) -> Duration {
        match (self.config.mqtt, self.persona.habits().mqtt.dialling) {
            (None, _) => self.config.line.timeout.max(Duration::from_secs(1)),
            (Some(_), Dialling::Beside) => DIAL_LIMIT,
            (Some(_), Dialling::Blocking) => BLOCKING_DIAL_LIMIT,
        }
    }

    /// Whether the device does nothing else for the time being, because it is on its way to the broker. Telemetry
    /// datagrams are answered all the same, as with every fault that they report.
    #[must_use]
    pub fn blocks(&self) -> bool {
        let on_its_way = |client: &Client| {
            self.dialler.is_dialling() || (self.dialler.is_connected() && !client.is_accepted())
        };
        self.persona.habits().mqtt.dialling == Dialling::Blocking
            && self.mqtt.as_ref().is_some_and(on_its_way)
    }

    /// When [`poll_dial`](Self::poll_dial) will next have something.
    #[must_use]
    pub const fn next_dial_at(&self) -> Option<Instant> {
        self.dialler.starts_at()
    }

    /// The dialled host has answered: the program's side of the connection.
    #[must_use]
    pub fn dialled(&mut self, now: Instant) -> Connection {
        let connection = self.open(self.dials_for(), now);
        self.dialler.connected(connection.number());
        connection.dialled(self.config.number)
    }

    /// The dialled host has not answered.
    pub fn dial_failed(&mut self, kind: ErrorKind, now: Instant) {
        self.count_error(self.dials_for(), kind);
        if self.dialler.is_dialling() {
            self.rest_from_dialling(now);
        }
    }

    const fn dials_for(&self) -> Service {
        if self.config.mqtt.is_some() { Service::Mqtt } else { Service::Line }
    }

    fn rest_from_dialling(&mut self, now: Instant) {
        let quiet = match &mut self.mqtt {
            Some(client) => client.ended(&self.persona.habits().mqtt, now),
            None => Some(self.config.line.recovery()),
        };
        self.dialler.rest(now, quiet);
    }

    /// Counts a failure that has no connection, such as an accept that found no socket.
    pub fn count_error(&mut self, service: Service, kind: ErrorKind) {
        if let Some(counters) = self.counters.get_mut(service.index()) {
            let count = &mut counters.errors[kind as usize];
            *count = count.saturating_add(1);
        }
    }

    /// The next thing the device as a whole wants, if any is due.
    pub fn poll_wish(&mut self, now: Instant) -> Option<DeviceWish> {
        if let Some(persona) = self.later.filter(|persona| self.uptime(now) >= persona.from()) {
            self.set_persona(persona.at_once());
        }
        // Of each request by itself: there may be memory for that where there is none for all at once.
        if let Some(left) = self.to_hoard.checked_sub(1) {
            self.to_hoard = left;
            let bytes = self.persona.habits().hoards;
            self.hoarded = self.hoarded.saturating_add(bytes.into());
            return Some(DeviceWish::Hoard(bytes));
        }
        match self.persona.habits().lifetime {
            Lifetime::RestartsEvery { period, reason } if self.uptime(now) >= period => {
                return Some(DeviceWish::Restart(reason));
            }
            Lifetime::HangsAfter { .. } if !self.hung && self.hangs(now) => {
                self.hung = true;
                return Some(DeviceWish::Hang);
            }
            _ => {}
        }
        let due = self.pending.iter().position(|&(at, _)| at <= now)?;
        Some(self.pending.remove(due).1)
    }

    /// When [`poll_wish`](Self::poll_wish) will have something without anything else happening.
    #[must_use]
    pub fn next_wish_at(&self) -> Option<Instant> {
        let lifetime = match self.persona.habits().lifetime {
            Lifetime::RestartsEvery { period, .. } => Some(self.started + period),
            Lifetime::HangsAfter { uptime, requests } if !self.hung && self.served >= requests => {
                Some(self.started + uptime)
            }
            _ => None,
        };
        let later = self.later.map(|persona| self.started + persona.from());
        let pending = self.pending.iter().map(|&(at, _)| at).min();
        earliest(earliest(lifetime, later), pending)
    }

    /// Writes the telemetry object, at most [`telemetry::MAX_LEN`] bytes, and returns its length.
    pub fn telemetry(&self, readings: &Readings<'_>, now: Instant, out: &mut [u8]) -> usize {
        telemetry::write(self, readings, None, now, out)
    }

    /// Answers a datagram of [`Service::Telemetry`]: the length of the answer, or `None` when there is none.
    ///
    /// A datagram that is not a telemetry request gets no answer, so that the device cannot be made to talk to
    /// another one's echo.
    pub fn answer_datagram(
        &self,
        datagram: &[u8],
        readings: &Readings<'_>,
        now: Instant,
        out: &mut [u8],
    ) -> Option<usize> {
        let request = telemetry::read_request(datagram)?;
        Some(telemetry::write(self, readings, request, now, out))
    }

    pub(crate) fn command(&mut self, command: &Command, now: Instant) {
        if let Some(persona) = command.persona {
            self.set_persona(persona);
        }
        if let Some(client) = &mut self.mqtt {
            client.set(command.keep_alive, command.interval, now);
        }
        let mut later = |wish| {
            // A full queue means that eight commands wait within a fifth of a second; the ninth is dropped.
            let _ = self.pending.push((now + COMMAND_DELAY, wish));
        };
        if let Some(mode) = command.power_save {
            later(DeviceWish::PowerSave(mode));
        }
        if let Some(outage) = command.outage {
            later(DeviceWish::LeaveNetwork(outage));
        }
        if command.reboot {
            later(DeviceWish::Restart(ResetReason::Software));
        }
    }

    pub(crate) const fn generation(&self) -> u32 {
        self.generation
    }

    pub(crate) fn take_number(&mut self) -> u32 {
        self.numbers = self.numbers.wrapping_add(1);
        self.numbers
    }

    pub(crate) fn count_served(&mut self, service: Service) {
        self.served = self.served.saturating_add(1);
        if self.persona.habits().hoards > 0 {
            self.to_hoard = self.to_hoard.saturating_add(1);
        }
        if let Some(counters) = self.counters.get_mut(service.index()) {
            counters.served = counters.served.saturating_add(1);
        }
    }

    /// Whether this connection may be served now; the first to ask gets the turn of a one-at-a-time persona.
    pub(crate) fn takes_turn(&mut self, number: u32) -> bool {
        if self.persona.habits().accepting != Accepting::OneAtATime {
            return true;
        }
        *self.turn.get_or_insert(number) == number
    }

    pub(crate) fn note_closed(&mut self, service: Service, number: u32, how: CloseHow, now: Instant) {
        let leaked = how == CloseHow::Leak;
        if self.turn == Some(number) {
            self.turn = None;
        }
        if self.dialler.has(number) {
            self.rest_from_dialling(now);
        }
        if let Some(counters) = self.counters.get_mut(service.index()) {
            counters.open = counters.open.saturating_sub(1);
            counters.leaked = counters.leaked.saturating_add(u16::from(leaked));
        }
    }

    fn open_connections(&self) -> u16 {
        // The client's own connection keeps nobody waiting.
        self.counters.iter().take(Service::TCP_COUNT).map(|counters| counters.open).sum()
    }

    fn taken(&self) -> u16 {
        self.counters.iter().map(|counters| counters.open.saturating_add(counters.leaked)).sum()
    }

    fn free_slots(&self) -> u16 {
        // The dialled connection has a socket of its own beside the capacity.
        let own = u16::from(self.dialler.is_connected());
        self.config.capacity().saturating_add(own).saturating_sub(self.taken())
    }
}
