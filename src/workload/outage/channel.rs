//! One standing connection with heartbeats both ways, lost and found again by the recovery rule.

use std::rc::Rc;
use std::time::{Duration, Instant};

use espstress_device::framed::{Kind, Subscribe};
use tokio::sync::watch;

use super::ledger::{Acked, Memory, ReceiveLedger, SendLedger};
use super::patience::Silence;
use super::shared::{Mode, Order, Shared};
use super::wire::{self, Message, Reader};
use espstress_connection::{Connection, HostClosed, Refused, Turn};
use espstress_event::{Failure, Intent};
use espstress_stats::{OutageStats, Phase};

/// Longest wait for the last report and for the device's FIN when the run ends.
const FAREWELL: Duration = Duration::from_millis(500);

/// A wait that other waits end.
const FOR_EVER: Duration = Duration::from_secs(365 * 86_400);

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// The run is over.
    Stopped,
    /// The device was silent for too long.
    Silence,
    /// By name.
    Failed(Failure),
}

/// Hears when the director has finished.
struct End(watch::Receiver<bool>);

impl End {
    fn is_stopping(&self) -> bool {
        *self.0.borrow()
    }

    async fn stopped(&mut self) {
        // A director that is gone directs no more.
        let _ = self.0.wait_for(|ended| *ended).await;
    }
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// The first report is due by then.
    Subscribing(Instant),
    /// Messages flow.
    Up,
}

pub(super) struct Channel {
    shared: Rc<Shared>,
    lane: usize,
    session: u32,
    ends: watch::Receiver<bool>,
    sends: SendLedger,
    receives: ReceiveLedger,
    reader: Reader,
    out: Vec<u8>,
    sent: usize,
    buffer: Box<[u8]>,
    ever_up: bool,
    order: Order,
    next_beat: Instant,
    silence: Silence,
    standing: Standing,
    /// Reports taken.
    reports: u64,
}

impl Channel {
    /// The connection of that place, until `ends` says so.
    pub(super) fn new(shared: Rc<Shared>, lane: usize, session: u32, ends: watch::Receiver<bool>) -> Self {
        let now = Instant::now();
        let order = *shared.orders.borrow();
        Self {
            shared,
            lane,
            session,
            ends,
            sends: SendLedger::default(),
            receives: ReceiveLedger::default(),
            reader: Reader::default(),
            out: Vec::with_capacity(1_024),
            sent: 0,
            buffer: vec![0; 2_048].into(),
            ever_up: false,
            order,
            next_beat: now,
            silence: Silence::new(now),
            standing: Standing::Subscribing(now),
            reports: 0,
        }
    }

    /// Opens, keeps and re-opens the connection until the run ends.
    pub(super) async fn run(mut self) {
        let mut stop = End(self.ends.clone());
        let mut orders = self.shared.orders.subscribe();
        let mut back_off = self.shared.rule.back_off;
        while !stop.is_stopping() {
            // Silent means silent: no new connection either.
            tokio::select! {
                biased;
                () = stop.stopped() => break,
                _ = orders.wait_for(|order| order.mode != Mode::Mute) => {}
            }
            let pause = match self.connect().await {
                Ok(connection) => {
                    back_off = self.shared.rule.back_off;
                    match self.keep(connection, &mut orders, &mut stop).await {
                        Ended::Stopped => break,
                        _ => self.shared.rule.quiet,
                    }
                }
                Err(until) => {
                    let pause = until.max(back_off);
                    back_off = (back_off * 2).min(self.shared.rule.back_off_most);
                    pause
                }
            };
            tokio::select! {
                biased;
                () = stop.stopped() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        let to_host =
            if self.is_up() { self.receives.totals() } else { self.receives.close_without_report() };
        let to_device = self.sends.close();
        self.shared.count(self.lane, to_device, to_host);
    }

    fn is_up(&self) -> bool {
        self.shared.lanes.borrow().get(self.lane).is_some_and(|lane| lane.up)
    }

    /// A new connection, or how long to wait at least before the next attempt.
    async fn connect(&mut self) -> Result<Connection, Duration> {
        let shared = Rc::clone(&self.shared);
        let from = Instant::now();
        match shared.connector.open(shared.intent()).await {
            Ok(mut connection) => {
                connection.send_at_once();
                let ns = shared.context.since_ns(from);
                shared.context.recorder.borrow_mut().latency(Phase::Connect, ns);
                Ok(connection)
            }
            Err(Refused::PortsUntil(at)) => {
                shared.context.recorder.borrow_mut().port_wait();
                Err(at.saturating_duration_since(Instant::now()))
            }
            Err(Refused::Failure(failure)) => {
                self.not_opened(from, failure);
                Err(Duration::ZERO)
            }
        }
    }

    fn not_opened(&self, from: Instant, failure: Failure) {
        let mut recorder = self.shared.context.recorder.borrow_mut();
        if self.ever_up {
            recorder.outage().fates.reconnect_failures.count(failure);
        }
        // What fails while an outage lasts says nothing about the device.
        if !self.shared.expected.get() {
            drop(recorder);
            self.shared.context.attempted(from, Err(failure));
        }
    }

    /// Talks on a connection until it ends.
    async fn keep(
        &mut self,
        mut connection: Connection,
        orders: &mut watch::Receiver<Order>,
        stop: &mut End,
    ) -> Ended {
        let held = self.shared.context.hold_one();
        let port = connection.port();
        self.shared.update(self.lane, |lane| {
            lane.port = Some(port);
            lane.incarnation += 1;
        });
        let now = Instant::now();
        self.reader.start();
        self.out.clear();
        self.sent = 0;
        self.silence.heard(now);
        self.standing = Standing::Subscribing(now + self.shared.connector.timeouts.read);
        // An order that came meanwhile is taken at the first turn; a mute one must act on this connection as well.
        self.order = Order { mode: Mode::Beat, poke: orders.borrow().poke };
        self.subscribe();
        orders.mark_changed();
        let ended = self.talk(&mut connection, orders, stop).await;
        if let Some(sample) = connection.tcp_sample() {
            self.shared.context.recorder.borrow_mut().tcp(sample);
        }
        match ended {
            Ended::Stopped => self.farewell(connection).await,
            Ended::Silence | Ended::Failed(_) => self.lost(connection, ended),
        }
        drop(held);
        ended
    }

    async fn talk(
        &mut self,
        connection: &mut Connection,
        orders: &mut watch::Receiver<Order>,
        stop: &mut End,
    ) -> Ended {
        loop {
            let deadline = self.deadline();
            let mute = self.order.mode == Mode::Mute;
            let rest = if mute { &[][..] } else { self.out.get(self.sent..).unwrap_or_default() };
            tokio::select! {
                biased;
                () = stop.stopped() => return Ended::Stopped,
                Ok(()) = orders.changed() => {
                    let order = *orders.borrow_and_update();
                    if let Err(failure) = self.obey(connection, order) {
                        return Ended::Failed(failure);
                    }
                }
                turn = connection.turn(rest, &mut self.buffer, FOR_EVER, FOR_EVER) => {
                    if let Err(failure) = self.turned(turn) {
                        return Ended::Failed(failure);
                    }
                }
                () = tokio::time::sleep_until(deadline.into()) => {
                    if let Some(ended) = self.due(deadline) {
                        return ended;
                    }
                }
            }
        }
    }

    fn deadline(&self) -> Instant {
        let now = Instant::now();
        let mut deadline = now + FOR_EVER;
        match self.standing {
            Standing::Subscribing(until) => deadline = deadline.min(until),
            Standing::Up if self.order.mode != Mode::Idle => deadline = deadline.min(self.next_beat),
            Standing::Up => {}
        }
        if self.order.mode != Mode::Idle
            && let Some(silence) = self.shared.rule.silence
        {
            deadline = deadline.min(self.silence.ends(silence));
        }
        deadline
    }

    /// Does what the time asks for.
    fn due(&mut self, wanted: Instant) -> Option<Ended> {
        let now = Instant::now();
        self.silence.woke(wanted, now);
        let limit = self.shared.rule.silence;
        if self.order.mode != Mode::Idle && limit.is_some_and(|limit| now >= self.silence.ends(limit)) {
            self.shared.hearing.borrow_mut().noticed(now);
            return Some(Ended::Silence);
        }
        match self.standing {
            Standing::Subscribing(until) if now >= until => Some(Ended::Failed(Failure::ReadTimeout)),
            Standing::Up if now >= self.next_beat && self.order.mode != Mode::Idle => {
                self.beat(now);
                None
            }
            _ => None,
        }
    }

    fn beat(&mut self, now: Instant) {
        self.next_beat = now + self.shared.rule.heartbeat;
        if let Some(number) = self.sends.send(now) {
            self.compact();
            wire::push(&mut self.out, Kind::Heartbeat, number);
            self.count();
        }
    }

    fn subscribe(&mut self) {
        let interval =
            if self.order.mode == Mode::Idle { Duration::ZERO } else { self.shared.rule.heartbeat };
        let interval_ms = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
        self.compact();
        wire::push_subscribe(&mut self.out, Subscribe { session: self.session, interval_ms });
    }

    fn compact(&mut self) {
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
    }

    fn obey(&mut self, connection: &mut Connection, order: Order) -> Result<(), Failure> {
        let now = Instant::now();
        let before = std::mem::replace(&mut self.order, order);
        if before.mode != order.mode {
            match (before.mode, order.mode) {
                (_, Mode::Mute) => {
                    self.shared.context.book.intends(connection.port(), Intent::Silenced);
                    if let Err(error) = connection.silence() {
                        self.shared.denied.borrow_mut().get_or_insert_with(|| error.to_string());
                    }
                }
                (Mode::Mute, _) => connection.unsilence().map_err(|_| Failure::HostOther)?,
                _ => {}
            }
            if before.mode == Mode::Idle || order.mode == Mode::Idle {
                self.silence.heard(now);
                self.subscribe();
            }
        }
        if before.poke != order.poke && order.mode == Mode::Beat && self.standing == Standing::Up {
            self.beat(now);
        }
        Ok(())
    }

    fn turned(&mut self, turn: Result<Turn, Failure>) -> Result<(), Failure> {
        let received = match turn? {
            Turn::Wrote(n) => {
                self.sent += n;
                self.shared.context.recorder.borrow_mut().bytes(n as u64, 0);
                return Ok(());
            }
            Turn::Read(0) => return Err(self.reader.eof()),
            Turn::Read(n) => n,
        };
        let now = Instant::now();
        self.silence.heard(now);
        self.shared.hearing.borrow_mut().heard(now);
        self.shared.context.recorder.borrow_mut().bytes(0, received as u64);
        let mut reader = std::mem::take(&mut self.reader);
        let buffer = std::mem::take(&mut self.buffer);
        let bytes = buffer.get(..received).unwrap_or_default();
        let mut right = Ok(());
        let fed = reader.feed(bytes, |message| {
            if right.is_ok() {
                right = self.take(message, now);
            }
        });
        (self.reader, self.buffer) = (reader, buffer);
        self.count();
        fed.and(right)
    }

    fn take(&mut self, message: Message, now: Instant) -> Result<(), Failure> {
        self.reports += u64::from(matches!(message, Message::Report(_)));
        match message {
            Message::Heartbeat(number) => {
                self.receives.heartbeat(number);
                self.compact();
                wire::push(&mut self.out, Kind::Ack, number);
            }
            Message::Ack(number) => match self.sends.acked(number, now, self.shared.rule.late_after) {
                Acked::First(took) => {
                    let context = &self.shared.context;
                    let from = now.checked_sub(took).unwrap_or(now);
                    context.attempted(from, Ok(()));
                    context.recorder.borrow_mut().latency(Phase::Heartbeat, espstress_clock::nanos(took));
                    self.shared.update(self.lane, |lane| lane.last_acked = Some(now));
                }
                Acked::Again => {}
                Acked::Stranger => return Err(Failure::BadResponse),
            },
            Message::Report(report) if matches!(self.standing, Standing::Subscribing(_)) => {
                let memory = self.sends.resumed(&report);
                self.receives.resumed(&report, memory);
                let agrees = self.sends.agrees(&report) && self.receives.agrees(&report);
                self.came_up(now, memory, agrees);
            }
            Message::Report(report) => {
                self.sends.reported(&report);
                self.receives.reported(&report);
                if !(self.sends.agrees(&report) && self.receives.agrees(&report)) {
                    self.shared.context.recorder.borrow_mut().outage().contradictions += 1;
                }
            }
        }
        Ok(())
    }

    fn came_up(&mut self, now: Instant, memory: Memory, agrees: bool) {
        self.standing = Standing::Up;
        let mut recorder = self.shared.context.recorder.borrow_mut();
        if self.ever_up {
            recorder.reconnected();
            recorder.outage().fates.reconnected += 1;
        }
        let stats: &mut OutageStats = recorder.outage();
        stats.contradictions += u64::from(!agrees && memory == Memory::Kept);
        stats.sessions_forgotten += u64::from(memory == Memory::Forgotten);
        drop(recorder);
        // The first heartbeat of a new connection goes out at once; the very first ones are spread, so that lanes
        // do not all speak at the same moment.
        let lanes = u32::try_from(self.shared.lanes.borrow().len().max(1)).unwrap_or(u32::MAX);
        let share = self.shared.rule.heartbeat / lanes * u32::try_from(self.lane).unwrap_or(0);
        self.next_beat = if self.ever_up { now } else { now + share };
        self.ever_up = true;
        self.shared.update(self.lane, |lane| lane.up = true);
    }

    fn count(&self) {
        self.shared.count(self.lane, self.sends.totals(), self.receives.totals());
    }

    /// The connection is lost: leave it as the mode demands.
    fn lost(&mut self, connection: Connection, ended: Ended) {
        let waiting = self.sends.connection_ended();
        let was_up = self.is_up();
        self.shared.hearing.borrow_mut().noticed(Instant::now());
        if self.order.mode == Mode::Mute {
            self.shared.context.book.intends(connection.port(), Intent::Vanished);
            // A socket that is gone is answered for by a RST, and a silent host sends none: the socket has to stay
            // until the silence is over.
            self.shared.parked.borrow_mut().push(connection);
        } else {
            drop(connection);
        }
        self.count();
        self.shared.update(self.lane, |lane| {
            lane.up = false;
            lane.port = None;
        });
        let clock = self.shared.context.clock;
        let mut recorder = self.shared.context.recorder.borrow_mut();
        let fates = &mut recorder.outage().fates;
        fates.given_up_by_silence += u64::from(ended == Ended::Silence);
        let failure = match ended {
            Ended::Failed(failure) => failure,
            _ => Failure::ReadTimeout,
        };
        if !was_up {
            drop(recorder);
            self.not_opened(self.silence.last(), failure);
            return;
        }
        if !self.shared.expected.get() {
            fates.died_outside += 1;
            for _ in 0..waiting.max(1) {
                recorder.attempt(clock.at_ns(self.silence.last()), clock.now_ns(), Err(failure));
            }
            self.shared.trouble.notify_one();
        }
    }

    /// Ends in order: the last report settles what is under way, then FIN and FIN.
    async fn farewell(&mut self, mut connection: Connection) {
        if self.order.mode == Mode::Mute && connection.unsilence().is_err() {
            return;
        }
        if self.standing == Standing::Up {
            self.compact();
            wire::push(&mut self.out, Kind::ReportRequest, 0);
            let reported = self.settle(&mut connection);
            // Without it, what is under way stays in flight.
            let _ = tokio::time::timeout(FAREWELL, reported).await;
        }
        self.count();
        if connection.peer_has_closed() || connection.shut_down_writing().is_err() {
            return;
        }
        let closing = Instant::now();
        let ending = connection.drain(&mut self.buffer, FAREWELL, HostClosed::First).await;
        let ns = self.shared.context.since_ns(closing);
        self.shared.context.recorder.borrow_mut().ended(ending, ns);
    }

    async fn settle(&mut self, connection: &mut Connection) {
        let before = self.reports;
        // The report is the last thing that comes: everything that was sent before it is settled with it.
        while self.reports == before {
            let rest = self.out.get(self.sent..).unwrap_or_default();
            let turn = connection.turn(rest, &mut self.buffer, FAREWELL, FAREWELL).await;
            if self.turned(turn).is_err() {
                return;
            }
        }
    }
}
