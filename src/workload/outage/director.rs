//! Makes outages or waits for them, and writes down what each of them did.

use std::rc::Rc;
use std::time::{Duration, Instant};

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::maker::{Made, MakeError, OutageMaker};
use super::settings::{Schedule, SpanRange};
use super::shared::{Mode, Shared};
use crate::context::Stop;
use espstress_clock::nanos;
use espstress_stats::{MakeFailure, MessageLedger, OutageOrigin, OutageRow};

/// By what means outages are made.
pub(super) enum Means {
    /// The host falls silent on its own connections.
    Filter,
    /// Something else does it.
    Maker(Rc<dyn OutageMaker>),
    /// Nothing: they come by themselves.
    Natural,
}

impl Means {
    fn name(&self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Maker(maker) => maker.name(),
            Self::Natural => "none",
        }
    }
}

/// How often the director looks at silences that nobody made.
const LOOK: Duration = Duration::from_millis(100);

/// How long the first connections may take before outages begin all the same.
const FIRST_CONNECTIONS: Duration = Duration::from_secs(5);

/// How long after a recovery the device's telemetry is waited for.
const TELEMETRY: Duration = Duration::from_millis(400);

pub(super) struct Director {
    shared: Rc<Shared>,
    means: Means,
    schedule: Schedule,
    stop: Stop,
    random: Random,
    number: u64,
    end: Option<Instant>,
    /// Spacing of what can be heard when all is well, where it is finer than the heartbeats.
    spacing: Duration,
}

/// What the counts and connections were when an outage began.
struct Before {
    to_device: MessageLedger,
    to_host: MessageLedger,
    connections: Vec<Option<u64>>,
}

/// What waiting for every connection to stand again came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Back {
    /// They do since then.
    Since(Instant),
    /// They did not by then, when the time given for it was over.
    NotBy(Instant),
    /// The run was stopped first.
    NotJudged,
}

/// Where a spell of heartbeats led to.
enum Spell {
    /// It is time for the next outage.
    Over,
    /// Nothing stands, or nothing is heard.
    Trouble,
    /// The run is over.
    Stopped,
}

impl Director {
    pub(super) fn new(shared: Rc<Shared>, means: Means, schedule: Schedule, spacing: Duration) -> Self {
        let stop = shared.context.stop.clone();
        let random = Random::new(shared.context.seed);
        let end = schedule.duration.and_then(|length| Instant::now().checked_add(length));
        Self { shared, means, schedule, stop, random, number: 0, end, spacing }
    }

    /// Directs until the cycles are done, the time is over or the run is stopped.
    pub(super) async fn run(mut self) {
        if !self.is_answered().await {
            return;
        }
        let mut last_start = Instant::now();
        let mut cycles = 0;
        while self.schedule.cycles.is_none_or(|most| cycles < most) && !self.is_over() {
            let next = match self.means {
                Means::Natural => None,
                _ => {
                    let calm = Instant::now() + self.shared.rule.heartbeat * 2;
                    Some((last_start + self.schedule.every).max(calm))
                }
            };
            match self.beat_until(next).await {
                Spell::Stopped => break,
                Spell::Trouble => {
                    self.natural().await;
                    cycles += u64::from(matches!(self.means, Means::Natural));
                }
                Spell::Over => {
                    last_start = Instant::now();
                    self.made().await;
                    cycles += 1;
                }
            }
            if self.shared.denied.borrow().is_some() {
                return;
            }
            self.idle().await;
        }
    }

    /// Waits for the first connections. Without one answer there is nothing that an outage could be seen by, and a
    /// silence says nothing of the link.
    async fn is_answered(&self) -> bool {
        let start = Instant::now();
        while self.shared.lanes_up() < self.lanes() {
            let waited = start.elapsed();
            let answered = self.shared.was_answered();
            if self.is_over() || waited >= self.schedule.recover_limit {
                return answered;
            }
            if waited >= FIRST_CONNECTIONS && (answered || self.shared.is_misunderstood()) {
                return answered;
            }
            self.shared.changed_until(Instant::now() + LOOK).await;
        }
        true
    }

    fn lanes(&self) -> u32 {
        u32::try_from(self.shared.lanes.borrow().len()).unwrap_or(u32::MAX)
    }

    fn is_over(&self) -> bool {
        self.stop.is_stopping() || self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// Heartbeats flow until it is time, or until they do not.
    async fn beat_until(&mut self, next: Option<Instant>) -> Spell {
        loop {
            let now = Instant::now();
            if self.is_over() {
                return Spell::Stopped;
            }
            if next.is_some_and(|next| now >= next) {
                return Spell::Over;
            }
            let silent_for = now.saturating_duration_since(self.shared.hearing.borrow().last());
            let silence = self.silence();
            if self.number_of_connections_ever() > 0 && (self.shared.lanes_up() == 0 || silent_for >= silence)
            {
                return Spell::Trouble;
            }
            let until = next.map_or(now + LOOK, |next| next.min(now + LOOK));
            tokio::select! {
                biased;
                () = self.stop.stopped() => return Spell::Stopped,
                () = self.shared.trouble.notified() => {}
                () = tokio::time::sleep_until(until.into()) => {}
            }
        }
    }

    /// Silence after which something is wrong.
    fn silence(&self) -> Duration {
        self.shared.rule.silence.unwrap_or(self.shared.rule.heartbeat * 2)
    }

    fn number_of_connections_ever(&self) -> u64 {
        self.shared.lanes.borrow().iter().map(|lane| lane.incarnation).sum()
    }

    fn before(&self) -> Before {
        let lanes = self.shared.lanes.borrow();
        let mut recorder = self.shared.context.recorder.borrow_mut();
        let stats = recorder.outage();
        Before {
            to_device: stats.to_device,
            to_host: stats.to_host,
            connections: lanes.iter().map(|lane| lane.up.then_some(lane.incarnation)).collect(),
        }
    }

    /// Makes one outage and watches what becomes of everything.
    async fn made(&mut self) {
        let length = self.random.length(self.schedule.outage);
        let before = self.before();
        let begin = Instant::now();
        self.shared.expected.set(true);
        self.shared.note_silence();
        self.shared.device_noticed.set(None);
        self.shared.hearing.borrow_mut().open(begin);
        // A filter silences this workload's connections alone: they have intentions of their own.
        if matches!(self.means, Means::Maker(_)) {
            self.shared.link_goes_away(OutageOrigin::Made, begin);
        }
        let result = match &self.means {
            Means::Filter => self.mute(length).await,
            Means::Maker(maker) => {
                let maker = Rc::clone(maker);
                maker.make(length, self.stop.clone()).await
            }
            Means::Natural => return,
        };
        let made = match result {
            Ok(made) => made,
            Err(error) => {
                self.shared.expected.set(false);
                self.shared.hearing.borrow_mut().close();
                self.shared.link_is_back(Instant::now());
                self.failed(&error);
                return;
            }
        };
        self.wait_until(made.end).await;
        if !matches!(self.means, Means::Filter) {
            self.shared.order(Mode::Beat);
        }
        let back = self.recovered(made.end).await;
        self.shared.expected.set(false);
        let mut row = self.row(OutageOrigin::Made);
        let clock = self.shared.context.clock;
        row.planned_start_ns = Some(clock.at_ns(begin));
        row.planned_length_ns = Some(nanos(length));
        row.made_start_ns = Some(clock.at_ns(made.start));
        row.made_end_ns = Some(clock.at_ns(made.end));
        // A silence shorter than half of what was made, or than the usual pauses, is none that was seen.
        let least = (made.end.saturating_duration_since(made.start) / 2).max(self.spacing * 3);
        self.finish(row, &before, made.end, back, least).await;
    }

    /// The host is silent for so long.
    async fn mute(&mut self, length: Duration) -> Result<Made, MakeError> {
        let start = Instant::now();
        self.shared.order(Mode::Mute);
        self.wait_until(start + length).await;
        self.shared.leave_parked();
        self.shared.order(Mode::Beat);
        match self.shared.denied.borrow().clone() {
            Some(reason) => Err(MakeError::Other(reason)),
            None => Ok(Made { start, end: Instant::now() }),
        }
    }

    /// An outage that is there already.
    async fn natural(&mut self) {
        let before = self.before();
        let last_heard = self.shared.hearing.borrow().last();
        self.shared.device_noticed.set(None);
        self.shared.hearing.borrow_mut().open(last_heard);
        // Where the device still answers telemetry it is not the link that is away.
        if last_heard.elapsed() >= self.silence() {
            self.shared.link_goes_away(OutageOrigin::Natural, last_heard);
        }
        if self.shared.lanes_up() == 0 {
            self.shared.hearing.borrow_mut().noticed(Instant::now());
        }
        let back = self.recovered(Instant::now()).await;
        let row = self.row(OutageOrigin::Natural);
        self.finish(row, &before, last_heard, back, Duration::ZERO).await;
    }

    fn failed(&self, error: &MakeError) {
        let context = &self.shared.context;
        let what = match error {
            MakeError::Script { script, .. } | MakeError::NoScript { script, .. } => {
                format!("{} {script}", self.means.name())
            }
            _ => self.means.name().to_owned(),
        };
        let message = match error {
            MakeError::Script { stderr, .. } => stderr.clone(),
            other => other.to_string(),
        };
        let failure =
            MakeFailure { at_ns: context.clock.now_ns(), what, exit_status: error.exit_status(), message };
        context.recorder.borrow_mut().outage().make_failed(failure);
        // What makes every outage impossible is said by the workload, once.
        if self.shared.denied.borrow().is_none() {
            context.notice(format!("no outage: {error}"));
        }
    }

    async fn wait_until(&mut self, at: Instant) {
        tokio::select! {
            biased;
            () = self.stop.stopped() => {}
            () = tokio::time::sleep_until(at.into()) => {}
        }
    }

    /// Waits until every connection stands and has had an answer to something.
    async fn recovered(&mut self, since: Instant) -> Back {
        let deadline = Instant::now() + self.schedule.recover_limit;
        loop {
            if self.shared.all_acked_since(since) {
                return Back::Since(Instant::now());
            }
            if self.stop.is_stopping() {
                return Back::NotJudged;
            }
            if Instant::now() >= deadline {
                return Back::NotBy(Instant::now());
            }
            let stop = async {
                self.stop.stopped().await;
            };
            tokio::select! {
                biased;
                () = stop => {}
                () = self.shared.changed_until(deadline) => {}
            }
        }
    }

    fn row(&mut self, origin: OutageOrigin) -> OutageRow {
        self.number += 1;
        OutageRow::new(self.number, origin)
    }

    async fn finish(
        &mut self,
        mut row: OutageRow,
        before: &Before,
        since: Instant,
        back: Back,
        least: Duration,
    ) {
        let shared = Rc::clone(&self.shared);
        let clock = shared.context.clock;
        match back {
            Back::Since(at) => {
                row.recovered_ns = Some(clock.at_ns(at));
                row.half_open_on_device = self.half_open_since(at).await;
            }
            Back::NotBy(at) => row.gave_up_ns = Some(clock.at_ns(at)),
            Back::NotJudged => {}
        }
        let window = shared.hearing.borrow_mut().close();
        // A device that has to join its network again is away for longer than the outage that was made.
        let heard = window.and_then(|window| window.silence).map(|(_, to)| to);
        match (heard, back) {
            (Some(heard), _) => shared.link_is_back(heard.max(since)),
            (None, Back::NotBy(at)) => shared.link_is_back(at),
            (None, _) => shared.link_is_back(since.max(Instant::now())),
        }
        if let Some(window) = window {
            if let Some((from, to)) = window.silence.filter(|(from, to)| *to - *from >= least) {
                row.seen_start_ns = Some(clock.at_ns(from));
                row.seen_end_ns = Some(clock.at_ns(to));
            }
            row.host_noticed_ns = window.noticed.map(|at| clock.at_ns(at));
        }
        let mut first_data: Option<Instant> = None;
        for (lane, before) in shared.lanes.borrow().iter().zip(&before.connections) {
            match before {
                Some(incarnation) if lane.up && lane.incarnation == *incarnation => row.lived += 1,
                Some(_) => row.died += 1,
                None => {}
            }
            if let Some(at) = lane.last_acked.filter(|at| *at > since) {
                first_data = Some(first_data.map_or(at, |first| first.min(at)));
            }
        }
        row.first_data_ns = first_data.map(|at| clock.at_ns(at));
        row.device_noticed_ns =
            shared.device_noticed.get().filter(|_| row.died > 0).map(|at| clock.at_ns(at));
        let mut recorder = shared.context.recorder.borrow_mut();
        let stats = recorder.outage();
        row.to_device = stats.to_device.since(&before.to_device);
        row.to_host = stats.to_host.since(&before.to_host);
        stats.ended(row);
    }

    /// Connections that the device holds beyond the host's own, by a telemetry that is younger than `at`.
    async fn half_open_since(&mut self, at: Instant) -> Option<u32> {
        self.shared.device.get()?;
        let deadline = at + TELEMETRY;
        loop {
            if let Some(view) = self.shared.device.get().filter(|view| view.at > at) {
                return Some(view.open?.saturating_sub(self.shared.lanes_up()));
            }
            if Instant::now() >= deadline || self.stop.is_stopping() {
                return None;
            }
            self.shared.changed_until(deadline).await;
        }
    }

    /// A spell without any message.
    async fn idle(&mut self) {
        let Some(length) = self.schedule.idle else { return };
        if self.is_over() {
            return;
        }
        let before = self.before();
        self.shared.order(Mode::Idle);
        self.wait_until(Instant::now() + length).await;
        let end = Instant::now();
        // What was not heard in the spell was not expected.
        self.shared.hearing.borrow_mut().heard(end);
        self.shared.order(Mode::Beat);
        self.recovered(end).await;
        let lanes = self.shared.lanes.borrow();
        let mut recorder = self.shared.context.recorder.borrow_mut();
        let idle = &mut recorder.outage().idle;
        idle.spells += 1;
        for (lane, before) in lanes.iter().zip(&before.connections) {
            match before {
                Some(incarnation) if lane.up && lane.incarnation == *incarnation => idle.lived += 1,
                Some(_) => idle.died += 1,
                None => {}
            }
        }
    }
}

/// Repeatable lengths from the run's seed.
struct Random(SplitMix64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(SplitMix64::seed_from_u64(seed))
    }

    fn length(&mut self, range: SpanRange) -> Duration {
        let (least, most) = (nanos(range.least), nanos(range.most));
        Duration::from_nanos(least + self.0.next_u64() % (most - least + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_stay_in_their_range_and_repeat_with_the_seed() {
        let range: SpanRange = "0.1s-10s".parse().unwrap();
        let lengths = |seed| {
            let mut random = Random::new(seed);
            (0..1_000).map(|_| random.length(range)).collect::<Vec<_>>()
        };
        let all = lengths(5);
        assert!(all.iter().all(|length| (range.least..=range.most).contains(length)));
        assert_eq!(all, lengths(5));
        assert_ne!(all, lengths(6));
        assert_eq!(Random::new(1).length("2s".parse().unwrap()), Duration::from_secs(2));
    }
}
