//! The well-behaved client: one request a second on a connection of its own, closed in order.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::context::Context;
use espstress_connection::http::{Expects, Progress, Response};
use espstress_connection::{Connection, Connector, HostClosed, Refused, Timeouts};
use espstress_event::{Failure, Intent};
use espstress_stats::{HalfOpenStats, Phase, Recorder, Spell};

/// Requests under way at once; a further one is left out.
const MOST_UNDER_WAY: usize = 32;

/// What the silent connections are at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Period {
    /// None is silent yet.
    Before,
    /// They are becoming more.
    Filling,
    /// All are silent; the client may be refused.
    During,
    /// It has been served again, or the host has let go.
    After,
}

impl Period {
    /// Where an attempt counts that began in this period and ended so in `end`: an answer that came only once the host
    /// had let go was not given while the connections were silent; a failure was.
    fn of_attempt(self, end: Self, result: Result<(), Failure>) -> Self {
        match (self, end, result) {
            (Self::During, Self::After, Ok(())) => Self::After,
            _ => self,
        }
    }
}

/// What the client saw, and what it is told.
#[derive(Debug)]
pub(super) struct Client {
    context: Context,
    connector: Connector,
    request: Rc<[u8]>,
    period: Cell<Period>,
    /// Until then a refusal is to be expected.
    provoked_until: Cell<Option<Instant>>,
    refused: Cell<bool>,
    served_again: Cell<Option<Instant>>,
    last_served: Cell<Option<Instant>>,
    started: Cell<u64>,
    /// Those whose result is recorded; their connections may still be closing.
    told: Cell<u64>,
    /// Those whose connections are closed as well.
    ended: Cell<u64>,
    pub(super) changed: Notify,
}

impl Client {
    pub(super) fn new(context: Context, connector: Connector, request: Rc<[u8]>) -> Self {
        Self {
            context,
            connector,
            request,
            period: Cell::new(Period::Before),
            provoked_until: Cell::new(None),
            refused: Cell::new(false),
            served_again: Cell::new(None),
            last_served: Cell::new(None),
            started: Cell::new(0),
            told: Cell::new(0),
            ended: Cell::new(0),
            changed: Notify::new(),
        }
    }

    pub(super) fn enter(&self, period: Period) {
        self.period.set(period);
    }

    /// Refusals until then are the host's doing.
    pub(super) fn provoked_until(&self, until: Instant) {
        self.provoked_until.set(Some(until));
    }

    /// Whether a request of the time of silence failed.
    pub(super) fn was_refused(&self) -> bool {
        self.refused.get()
    }

    /// When a request was served after one had failed, with all connections still silent.
    pub(super) fn served_again(&self) -> Option<Instant> {
        self.served_again.get()
    }

    /// When a request was last served.
    pub(super) fn last_served(&self) -> Option<Instant> {
        self.last_served.get()
    }

    /// How many requests there have been, when none is under way and none of their connections open. Between two
    /// moments of the same number there was none.
    pub(super) fn at_rest(&self) -> Option<u64> {
        let started = self.started.get();
        (started == self.ended.get()).then_some(started)
    }

    /// Requests that have begun and of which nothing is recorded yet.
    pub(super) const fn under_way(&self) -> u64 {
        self.started.get().saturating_sub(self.told.get())
    }

    /// Asks once each interval until it is dropped.
    pub(super) async fn run(self: Rc<Self>, interval: Duration) {
        let mut tick = tokio::time::interval(interval.max(Duration::from_millis(10)));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    if under_way.len() < MOST_UNDER_WAY {
                        let client = Rc::clone(&self);
                        under_way.spawn_local(async move { client.attempt().await });
                    }
                }
                Some(_) = under_way.join_next() => {}
            }
        }
    }

    fn intent(&self) -> Intent {
        match self.provoked_until.get() {
            Some(until) if Instant::now() < until => Intent::BeyondCapacity,
            _ => self.context.intent(Intent::Plain),
        }
    }

    async fn attempt(&self) {
        let start = Instant::now();
        let period = self.period.get();
        self.started.update(|n| n + 1);
        let _held = self.context.hold_one();
        let asked = self.ask(start).await;
        // The answer is in: whatever the end is like, the client was served.
        self.told.update(|n| n + 1);
        self.tell(start, period, asked.as_ref().map(|_| ()).map_err(|failure| *failure));
        if let Ok(connection) = asked {
            self.close(connection).await;
        }
        self.ended.update(|n| n + 1);
    }

    /// Records what a request came to.
    fn tell(&self, start: Instant, period: Period, result: Result<(), Failure>) {
        if let Err(failure) = result
            && failure.is_host()
        {
            self.context.attempted(start, Err(failure));
            return;
        }
        let now = Instant::now();
        self.note_spell(start, now, result);
        let mut recorder = self.context.recorder.borrow_mut();
        let half_open = recorder.half_open();
        let period = period.of_attempt(self.period.get(), result);
        let availability = match period {
            Period::Before => &mut half_open.before,
            Period::Filling => &mut half_open.filling,
            Period::During => &mut half_open.during,
            Period::After => &mut half_open.after,
        };
        availability.attempts += 1;
        match result {
            Ok(()) => {
                availability.served += 1;
                availability.latency.record(self.context.since_ns(start));
                self.last_served.set(Some(now));
                if period == Period::During && !half_open.may_be_full() {
                    // There is room beside all of them: what is refused from here on is not for want of it.
                    self.provoked_until.set(None);
                }
                if self.period.get() == Period::During && period == Period::During && self.refused.get() {
                    self.served_again.set(Some(now));
                    self.period.set(Period::After);
                }
            }
            Err(failure) => {
                availability.failures.count(failure);
                if period == Period::During {
                    self.refused.set(true);
                }
            }
        }
        let clock = self.context.clock;
        recorder.attempt(clock.at_ns(start), clock.at_ns(now), result);
        if result.is_ok() {
            recorder.latency(Phase::Total, self.context.since_ns(start));
        }
        drop(recorder);
        self.changed.notify_waiters();
    }

    /// Takes a request into the spells without service.
    fn note_spell(&self, start: Instant, now: Instant, result: Result<(), Failure>) {
        let clock = self.context.clock;
        let mut recorder = self.context.recorder.borrow_mut();
        let spells = &mut recorder.half_open().spells;
        take_into(spells, clock.at_ns(start), clock.at_ns(now), result.is_ok());
    }

    /// One request on a connection of its own: the connection, still open, where it was served.
    async fn ask(&self, start: Instant) -> Result<Connection, Failure> {
        let mut connection = match self.connector.open(self.intent()).await {
            Ok(connection) => connection,
            Err(Refused::Failure(failure)) => return Err(failure),
            Err(Refused::PortsUntil(_)) => return Err(Failure::HostOutOfPorts),
        };
        self.context.recorder.borrow_mut().latency(Phase::Connect, self.context.since_ns(start));
        let status = head(&self.context, &mut connection, &self.request, self.connector.timeouts).await?;
        judge(status, &mut self.context.recorder.borrow_mut())?;
        Ok(connection)
    }

    async fn close(&self, mut connection: Connection) {
        let closing = Instant::now();
        if !connection.peer_has_closed() && connection.shut_down_writing().is_ok() {
            let limit = self.connector.timeouts.read;
            let ending = connection.drain(&mut [0; 2_048], limit, HostClosed::First).await;
            self.context.recorder.borrow_mut().ended(ending, self.context.since_ns(closing));
        }
    }
}

/// Takes a request that ended into the spells without service. Requests overlap: one that fails may have begun before the
/// last one that was served ended, and is of the spell that this one closed.
fn take_into(spells: &mut Vec<Spell>, from_ns: u64, to_ns: u64, served: bool) {
    let room = spells.len() < HalfOpenStats::MOST_SPELLS;
    let last = spells.last_mut().filter(|spell| spell.to_ns.is_none_or(|end| !served && from_ns < end));
    match last {
        Some(spell) if served => spell.to_ns = Some(to_ns),
        Some(spell) => spell.failed += 1,
        None if !served && room => spells.push(Spell { from_ns, to_ns: None, failed: 1 }),
        None => {}
    }
}

/// Statuses of a server that has no room just now (RFC 9110, 15.6.4; RFC 6585, 4): answers, and no service.
const NO_ROOM: [u16; 2] = [503, 429];

/// Counts the answer to the well-behaved client.
fn judge(status: u16, recorder: &mut Recorder) -> Result<(), Failure> {
    recorder.response(status);
    let served = service(status);
    if served.is_err() {
        *recorder.http().wrong_statuses.entry(status).or_default() += 1;
    }
    served
}

/// Whether an answer with this status is service.
pub(super) fn service(status: u16) -> Result<(), Failure> {
    if NO_ROOM.contains(&status) { Err(Failure::BadStatus) } else { Ok(()) }
}

/// One HEAD on an open connection: the status of its answer.
pub(super) async fn head(
    context: &Context,
    connection: &mut Connection,
    request: &[u8],
    limits: Timeouts,
) -> Result<u16, Failure> {
    connection.write_all(request, limits.write).await?;
    context.recorder.borrow_mut().bytes(request.len() as u64, 0);
    let mut response = Response::new(Expects::HeadOnly);
    response.start();
    let mut buffer = [0; 2_048];
    loop {
        let n = connection.read(&mut buffer, limits.read).await?;
        context.recorder.borrow_mut().bytes(0, n as u64);
        let done = match n {
            0 => response.eof().map(|()| true)?,
            n => matches!(response.feed(buffer.get(..n).unwrap_or_default())?, Progress::Done { .. }),
        };
        if done {
            return Ok(response.status());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spells_without_service_do_not_overlap_though_requests_do() {
        let mut spells = Vec::new();
        // Each begins a second after the one before and waits for two.
        take_into(&mut spells, 3, 5, false);
        take_into(&mut spells, 4, 6, false);
        take_into(&mut spells, 6, 7, true);
        take_into(&mut spells, 5, 8, false);
        take_into(&mut spells, 8, 10, false);
        let seen: Vec<_> = spells.iter().map(|s| (s.from_ns, s.to_ns, s.failed)).collect();
        assert_eq!(seen, [(3, Some(7), 3), (8, None, 1)]);
    }

    #[test]
    fn the_status_that_refused_the_client_is_told() {
        let mut recorder = Recorder::new(0, Phase::Total);
        let judged = [200, 503, 404, 429, 503].map(|status| judge(status, &mut recorder));
        let refused = Err(Failure::BadStatus);
        assert_eq!(judged, [Ok(()), refused, Ok(()), refused, refused]);
        assert_eq!(recorder.http().wrong_statuses, [(429, 1), (503, 2)].into());
        let all: Vec<_> = recorder.finish(1).responses.iter().collect();
        assert_eq!(all, [(200, 1), (404, 1), (429, 1), (503, 2)]);
    }

    #[test]
    fn an_answer_that_came_after_the_host_let_go_is_none_of_the_silence() {
        let failed = Err(Failure::ConnectTimeout);
        assert_eq!(Period::During.of_attempt(Period::After, Ok(())), Period::After);
        assert_eq!(Period::During.of_attempt(Period::After, failed), Period::During);
        assert_eq!(Period::During.of_attempt(Period::During, Ok(())), Period::During);
        assert_eq!(Period::Filling.of_attempt(Period::During, Ok(())), Period::Filling);
    }
}
