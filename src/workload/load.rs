//! How much, how fast and how long: the load options that every workload shares, and the one loop that turns
//! them into attempts.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::endless::IN_A_ROW;
use super::pacer::Pacer;
use super::registry::{Given, ParamError};
use super::seldom::Seldom;
use super::standing::Ended;
use espstress_clock::{Rate, Span, Timer};
use espstress_connection::Timeouts;
use espstress_event::{Expected, Failure};

/// The load options of a workload.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    /// Connections at once. In an open loop this limits the attempts in progress [default: 1 in a closed loop,
    /// 4 in an open loop]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connections: Option<u32>,

    /// Number of attempts
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<u64>,

    /// Number of successful attempts to reach; with several connections it may be slightly more
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) successes: Option<u64>,

    /// Length of the run [default: 10s, unless --count or --successes is given]. No attempt starts later. An
    /// attempt in progress may finish within its timeout, or within 2s if its response has begun
    #[arg(short, long, value_name = "DUR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration: Option<Span>,

    /// Open loop: start this many attempts per second, even if earlier ones haven't finished
    #[arg(short, long, value_name = "N/s", conflicts_with = "interval")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<Rate>,

    /// Open loop: start an attempt every DUR
    #[arg(short, long, value_name = "DUR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interval: Option<Span>,

    /// Closed loop: pause after a failed attempt [default: 1ms, doubled with each further failure up to 100ms]
    #[arg(long, value_name = "DUR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pause_after_failure: Option<Span>,

    /// Timeout to connect
    #[arg(long, value_name = "DUR", default_value = "5s")]
    pub(crate) timeout_connect: Span,

    /// Timeout for the next bytes of a response [default: 5s]
    #[arg(long, value_name = "DUR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_read: Option<Span>,

    /// Timeout to send a request
    #[arg(long, value_name = "DUR", default_value = "5s")]
    pub(crate) timeout_write: Span,
}

/// When an attempt should have begun, and when it did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    /// The pacer's instant; the actual one in a closed loop.
    pub(crate) intended: Instant,
    /// When the attempt really began.
    pub(crate) actual: Instant,
    /// Which of the two kinds of loop it belongs to.
    pub(crate) kind: LoopKind,
}

/// Whether attempts wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoopKind {
    /// The next attempt begins when the last has ended.
    Closed,
    /// Attempts begin at their own times.
    Open,
}

/// What an attempt means for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It went well, or is under way among others.
    GoOn,
    /// It failed: a closed loop pauses a little.
    Failed,
    /// The same, since its answer had no end.
    Endless,
    /// It did not begin: every source port is waiting; the first is free then.
    PortsUntil(Instant),
    /// It went well, and then this host waited by its own choice: starts that fell due meanwhile are nobody's delay.
    Waited,
}

/// Makes attempts, one after the other.
pub(crate) trait Worker {
    /// One attempt: the worker records it, outcome and all; the loop only paces.
    fn attempt(&mut self, start: Start) -> impl Future<Output = Outcome>;

    /// Says whether an answer is coming in just now, for the loop to see while an attempt is under way.
    fn receiving(&self) -> Rc<Cell<bool>> {
        Rc::default()
    }

    /// Whether its connections are slow or silent on purpose.
    fn is_slow(&self) -> bool {
        false
    }

    /// Whether the device's answer is all that an attempt waits for.
    fn waits_for_answers(&self) -> bool {
        true
    }

    /// When the last answer came; `None` where an attempt ends with it.
    fn answered_at(&self) -> Option<Instant> {
        None
    }

    /// The time is up and what was under way is given up: it counts as none. How many attempts that were; one that is
    /// counted already, and whose connection only had to end, is none of them.
    fn cut(&mut self) -> u64;

    /// The loop is over: end what stands.
    fn end(&mut self) -> impl Future<Output = ()> {
        std::future::ready(())
    }
}

/// How long the next bytes of a response may take, where nothing else is asked for.
const READ: Duration = Duration::from_secs(5);

/// What is said of an answer that was still coming when the time was up.
pub(crate) const TIME_UP: &str = "a response without an end: still coming when the time was up";

/// What is said of one that was given up, see `endless`.
pub(crate) const GIVEN_UP: &str = "a response without an end: still coming after 12 read timeouts";

/// Said where answers without an end are all that comes.
const ENDS_HERE: &str =
    "3 responses in a row had no end, so no more attempts are made; -d limits the time instead";

/// How long attempts that are under way at a stop may go on: a little less than the run waits for them.
const STOPPED: Duration = Duration::from_millis(1_800);

/// How long after the end an attempt may go on whose answer is coming in.
const DRAIN: Duration = Duration::from_secs(2);

/// Longest pause of a closed loop after failures in a row: a dead device is not flooded.
const LONGEST_BACK_OFF: Duration = Duration::from_millis(100);

impl Load {
    /// Refuses what was given and has no effect.
    pub(crate) fn check_given(&self, given: Given<'_>) -> Result<(), ParamError> {
        if self.rate.is_some() && self.interval.is_some() {
            let what = "`rate` sets the same; give one of them".to_owned();
            return Err(ParamError::Value { key: "interval".into(), what });
        }
        let closed = self.pace().is_none();
        given.only_where(closed, &["pause_after_failure"], "an open loop (rate, interval) doesn't pause")
    }

    /// The step limits.
    #[must_use]
    pub(crate) const fn timeouts(&self) -> Timeouts {
        let read = match self.timeout_read {
            Some(span) => span.0,
            None => READ,
        };
        Timeouts { connect: self.timeout_connect.0, read, write: self.timeout_write.0 }
    }

    /// As reports have it: with the read time-out that holds where none was given.
    #[must_use]
    pub(crate) fn for_reports(&self) -> Self {
        Self { timeout_read: Some(self.timeout_read.unwrap_or(Span(READ))), ..self.clone() }
    }

    /// Time between starts of an open loop; `None` for a closed one.
    #[must_use]
    pub(crate) fn pace(&self) -> Option<Duration> {
        self.rate.map(Rate::interval).or(self.interval.map(|span| span.0))
    }

    /// Attempts at once.
    #[must_use]
    pub(crate) fn at_once(&self) -> u32 {
        self.connections.unwrap_or(if self.pace().is_some() { 4 } else { 1 })
    }

    /// How long, when nothing else ends it.
    #[must_use]
    pub(crate) fn time_limit(&self) -> Option<Duration> {
        match (self.duration, self.count.or(self.successes)) {
            (Some(span), _) => Some(span.0),
            (None, Some(_)) => None,
            (None, None) => Some(Duration::from_secs(10)),
        }
    }

    /// For a progress bar.
    #[must_use]
    pub(crate) fn expected(&self) -> Expected {
        match (self.count.or(self.successes), self.time_limit()) {
            (Some(count), _) => Expected::Count(count),
            (None, Some(limit)) => Expected::Duration(espstress_clock::nanos(limit)),
            (None, None) => Expected::Open,
        }
    }

    /// New connections that this load may open within a minute, when each attempt opens one: the time for which a closed
    /// connection may keep its source port. `None` when only the device's speed limits them.
    #[must_use]
    pub(crate) fn attempts_in_a_minute(&self) -> Option<u64> {
        const MINUTE: Duration = Duration::from_secs(60);
        let time = self.time_limit().unwrap_or(MINUTE).min(MINUTE);
        let by_pace = self.pace().filter(|pace| !pace.is_zero());
        let by_pace = by_pace.map(|pace| (time.as_nanos() / pace.as_nanos()) as u64 + 1);
        match (self.count.or(self.successes), by_pace) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Runs attempts until the limit or the stop: as many workers as [`Load::at_once`], each made by `worker`.
    pub(crate) async fn drive<W: Worker + 'static>(&self, context: &Context, worker: impl Fn(u32) -> W) {
        let now = Instant::now();
        let schedule = Rc::new(RefCell::new(Schedule {
            left: self.count,
            goal: self.successes,
            pause: self.pause_after_failure.map(|span| span.0),
            end: self.time_limit().and_then(|limit| now.checked_add(limit)),
            pacer: self.pace().map(|interval| Pacer::new(now, interval)),
            dropped: 0,
            endless: 0,
        }));
        let limits = self.timeouts();
        // What waits when the time is up goes on to its time-out: given up before, it would be counted nowhere.
        let wait = limits.connect.max(limits.read).max(limits.write) + DRAIN;
        let mut tasks = tokio::task::JoinSet::new();
        for i in 0..self.at_once() {
            tasks.spawn_local(work(worker(i), Rc::clone(&schedule), wait, context.clone()));
        }
        // A worker that panicked has taken its attempt with it; the panic goes on here.
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended
                && let Ok(panic) = error.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        }
        let mut schedule = schedule.borrow_mut();
        // Where every attempt was given up, nobody has asked for another one.
        if let Some(end) = schedule.end.filter(|end| Instant::now() >= *end) {
            schedule.drop_until(end);
        }
        context.recorder.borrow_mut().late_starts_dropped(schedule.dropped);
    }
}

/// What all workers of a loop share.
struct Schedule {
    left: Option<u64>,
    /// Successes that end the loop.
    goal: Option<u64>,
    /// The same pause after each failure, where one was asked for.
    pause: Option<Duration>,
    end: Option<Instant>,
    pacer: Option<Pacer>,
    /// Starts that fell due and will not take place.
    dropped: u64,
    /// Answers without an end since the last success.
    endless: u32,
}

impl Schedule {
    /// The next attempt's intended start after `succeeded` successes; `None` when there is to be no further one.
    fn next(&mut self, succeeded: u64, now: Instant) -> Option<(Instant, LoopKind)> {
        if self.left == Some(0) || self.goal.is_some_and(|goal| succeeded >= goal) || self.is_hopeless() {
            return None;
        }
        if let Some(end) = self.end
            && now >= end
        {
            // What falls due before the end and has not begun by then does not begin at all.
            self.drop_until(end);
            return None;
        }
        let next = match &mut self.pacer {
            Some(pacer) => (pacer.advance(), LoopKind::Open),
            None => (now, LoopKind::Closed),
        };
        if self.end.is_some_and(|end| next.0 >= end) {
            return None;
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        Some(next)
    }

    /// Takes an attempt's outcome into account.
    fn ended(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Endless => self.endless += 1,
            Outcome::GoOn | Outcome::Waited => self.endless = 0,
            Outcome::Failed | Outcome::PortsUntil(_) => {}
        }
    }

    /// Whether nothing but answers without an end comes, and no time ends the loop.
    fn is_hopeless(&self) -> bool {
        self.end.is_none() && self.endless >= IN_A_ROW
    }

    /// Leaves out the starts that fall due before `at`.
    fn drop_until(&mut self, at: Instant) {
        let Some(pacer) = &mut self.pacer else { return };
        let dropped = pacer.skip_until(at).min(self.left.unwrap_or(u64::MAX));
        self.dropped += dropped;
        if let Some(left) = &mut self.left {
            *left -= dropped;
        }
    }
}

/// Returns when an attempt that is under way at `end` has to be given up; never where there is no end.
async fn time_up(end: Option<Instant>, wait: Duration, receiving: &Cell<bool>) {
    let Some(end) = end else { return std::future::pending().await };
    tokio::time::sleep_until((end + DRAIN).into()).await;
    if !receiving.get() {
        tokio::time::sleep_until((end + wait).into()).await;
    }
}

async fn work<W: Worker>(mut worker: W, schedule: Rc<RefCell<Schedule>>, wait: Duration, context: Context) {
    let mut timer = Timer::new();
    let mut stop = context.stop.clone();
    let mut back_off = Duration::ZERO;
    // What slow and silent clients keep others from is told by those that are neither.
    let counts = !worker.is_slow();
    let waits = counts && worker.waits_for_answers();
    let (end, receiving) = (schedule.borrow().end, worker.receiving());
    let mut time_up = Seldom::new(time_up(end, wait, &receiving));
    let mut stopped = Seldom::new({
        let mut stop = context.stop.clone();
        async move {
            stop.stopped().await;
            let _ = tokio::time::timeout(STOPPED, stop.hurried()).await;
        }
    });
    // Read once for each attempt: when one has ended, the next one begins.
    let mut now = Instant::now();
    while !stop.is_stopping() {
        let succeeded = context.recorder.borrow().succeeded();
        let Some((intended, kind)) = schedule.borrow_mut().next(succeeded, now) else { break };
        if intended > now {
            tokio::select! {
                biased;
                () = stop.stopped() => break,
                _ = timer.sleep_until(intended) => {}
            }
            now = Instant::now();
        } else if kind == LoopKind::Open && now - intended > Duration::from_millis(1) {
            context.recorder.borrow_mut().late_start();
        }
        let outcome = loop {
            let actual = now;
            let intended = if kind == LoopKind::Open { intended } else { actual };
            if counts {
                context.beside.borrow_mut().enter(actual);
            }
            if waits {
                context.standing.borrow_mut().enter(actual);
            }
            let attempted = tokio::select! {
                biased;
                ended = worker.attempt(Start { intended, actual, kind }) => Some(ended),
                () = &mut time_up => None,
                () = &mut stopped => {
                    // Of an answer that the stop cut off nobody knows whether it would have ended.
                    receiving.set(false);
                    None
                }
            };
            now = Instant::now();
            if counts {
                let served = matches!(attempted, Some(Outcome::GoOn | Outcome::Waited));
                context.beside.borrow_mut().leave(served, now);
            }
            if waits {
                let at = worker.answered_at().unwrap_or(now);
                let ended = match attempted {
                    Some(Outcome::GoOn) if at < actual => Ended::Open,
                    Some(Outcome::GoOn) => Ended::Answered(at),
                    // One that waited for the connection's end was answered before.
                    _ => Ended::Otherwise,
                };
                let since = context.standing.borrow_mut().leave(ended);
                since.into_iter().for_each(|since| context.stood_still(since, at));
            }
            let Some(ended) = attempted else {
                let cut = worker.cut();
                context.recorder.borrow_mut().unfinished(cut);
                break None;
            };
            match ended {
                Outcome::PortsUntil(at) if kind == LoopKind::Closed => {
                    context.recorder.borrow_mut().port_wait();
                    let end = schedule.borrow().end.filter(|end| *end < at);
                    tokio::select! {
                        biased;
                        () = stop.stopped() => break None,
                        _ = timer.sleep_until(end.unwrap_or(at)) => {}
                    }
                    now = Instant::now();
                    if end.is_some() {
                        // Time is up before a port is free: this attempt never began.
                        break None;
                    }
                }
                Outcome::PortsUntil(_) => {
                    context.attempted(actual, Err(Failure::HostOutOfPorts));
                    break Some(Outcome::Failed);
                }
                ended => break Some(ended),
            }
        };
        let Some(outcome) = outcome else { break };
        schedule.borrow_mut().ended(outcome);
        if schedule.borrow().is_hopeless() {
            context.notice(ENDS_HERE.into());
        }
        if outcome == Outcome::Waited {
            schedule.borrow_mut().drop_until(now);
        }
        if kind == LoopKind::Open || !matches!(outcome, Outcome::Failed | Outcome::Endless) {
            back_off = Duration::ZERO;
            continue;
        }
        back_off = match schedule.borrow().pause {
            Some(pause) => pause,
            None => (back_off * 2).clamp(Duration::from_millis(1), LONGEST_BACK_OFF),
        };
        tokio::select! {
            biased;
            () = stop.stopped() => break,
            _ = timer.sleep(back_off) => {}
        }
        now = Instant::now();
    }
    match end {
        // A FIN that does not come is waited for as long as an attempt would be, and no longer.
        Some(end) => {
            let limit = (end + wait).max(Instant::now() + LONGEST_BACK_OFF);
            let _ = tokio::time::timeout_at(limit.into(), worker.end()).await;
        }
        None => worker.end().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(end: Option<Instant>) -> Schedule {
        Schedule { left: Some(100), goal: None, pause: None, end, pacer: None, dropped: 0, endless: 0 }
    }

    #[test]
    fn a_soak_at_a_fixed_rate_needs_no_more_ports_than_it_opens_in_a_minute() {
        let load = |more: &str| -> Load {
            let always = r#""timeout_connect": "5s", "timeout_write": "5s""#;
            serde_json::from_str(&format!("{{{always}, {more}}}")).unwrap()
        };
        let soak = load(r#""rate": "5/s", "duration": "24h""#);
        assert_eq!(soak.attempts_in_a_minute(), Some(301));
        assert_eq!(load(r#""rate": "5/s", "count": 20"#).attempts_in_a_minute(), Some(20));
        assert_eq!(load(r#""count": 100000"#).attempts_in_a_minute(), Some(100_000));
        assert_eq!(load(r#""duration": "24h""#).attempts_in_a_minute(), None);
    }

    #[test]
    fn three_answers_without_an_end_in_a_row_end_a_run_that_no_time_ends() {
        let now = Instant::now();
        let mut counted = schedule(None);
        for outcome in [Outcome::Endless, Outcome::Endless, Outcome::GoOn, Outcome::Endless, Outcome::Endless]
        {
            counted.ended(outcome);
            assert!(counted.next(0, now).is_some());
        }
        counted.ended(Outcome::Endless);
        assert!(counted.next(0, now).is_none());
        let mut timed = schedule(now.checked_add(Duration::from_secs(600)));
        (0..9).for_each(|_| timed.ended(Outcome::Endless));
        assert!(timed.next(0, now).is_some());
    }
}
