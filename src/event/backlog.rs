//! Events on their way from those who measure to those who report. Telling one never waits, and a reporter that falls
//! behind (a terminal that was stopped, a disk that stands still) loses nothing that a report is rebuilt from: what
//! is superseded is replaced, what adds up is added up, and the rest has a bound of its own. Only rows of single
//! outages, of which a fortnight may have any number, are left out from some thousands on; how many is told, and
//! their sums are in each interval.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::{Event, PhaseProgress, Recorded, SilencedConnection};

/// From so many waiting events on, those that can be joined are.
const JOIN_FROM: usize = 256;

/// Rows of single outages that wait at most.
const MOST_OUTAGES: usize = 4_096;

/// The one end and the other: what is told on one comes out of all others, each event once.
#[derive(Clone, Debug, Default)]
pub struct Backlog(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    notify: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Event>,
    outages: usize,
    left_out: u64,
    left_out_told: u64,
    taken: u64,
    closed: bool,
}

impl Backlog {
    /// Takes an event; returns at once.
    pub fn tell(&self, event: Event) {
        self.queue().take(event);
        self.0.changed.notify_one();
        self.0.notify.notify_one();
    }

    /// No more will come.
    pub fn close(&self) {
        self.queue().closed = true;
        self.0.changed.notify_all();
    }

    /// The oldest event, where there is one.
    #[must_use]
    pub fn try_next(&self) -> Option<Event> {
        self.queue().next()
    }

    /// The oldest event, waited for.
    pub async fn next(&self) -> Event {
        loop {
            if let Some(event) = self.try_next() {
                return event;
            }
            self.0.notify.notified().await;
        }
    }

    /// The oldest event, waited for so long; `None` at the end of that time, and after the last event of a backlog
    /// that was closed.
    #[must_use]
    pub fn next_within(&self, limit: Duration) -> Option<Event> {
        let until = Instant::now() + limit;
        let mut queue = self.queue();
        loop {
            if let Some(event) = queue.next() {
                return Some(event);
            }
            let left = until.saturating_duration_since(Instant::now());
            if queue.closed || left.is_zero() {
                return None;
            }
            queue = self.0.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether it was closed and nothing waits.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let queue = self.queue();
        queue.closed && queue.events.is_empty()
    }

    /// Outages that were left out so far.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.queue().left_out
    }

    /// How many events have come out so far.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.queue().taken
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn next(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        match &event {
            Some(Event::Outage { .. }) => self.outages -= 1,
            // After everything that waited: whoever reads it has caught up.
            None if self.left_out > self.left_out_told => {
                self.left_out_told = self.left_out;
                return Some(Event::OutagesLeftOut { rows: self.left_out });
            }
            _ => {}
        }
        self.taken += u64::from(event.is_some());
        event
    }

    fn take(&mut self, event: Event) {
        if self.events.len() >= JOIN_FROM && self.joined(&event) {
            return;
        }
        if matches!(event, Event::Outage { .. }) {
            if self.outages == MOST_OUTAGES {
                self.left_out += 1;
                return;
            }
            self.outages += 1;
        }
        self.events.push_back(event);
    }

    /// Whether an event that waits has taken this one in.
    fn joined(&mut self, event: &Event) -> bool {
        self.events.iter_mut().rev().any(|waiting| join(waiting, event))
    }
}

/// Takes `new` into `waiting`, where the two say the same of the same.
fn join(waiting: &mut Event, new: &Event) -> bool {
    match (&mut *waiting, new) {
        (
            Event::Interval { workload, at_ns, progress },
            Event::Interval { workload: of, at_ns: later, progress: new },
        ) if workload == of => {
            let latencies = sum(&progress.latencies, &new.latencies);
            *at_ns = *later;
            *progress = PhaseProgress { latencies, ..new.clone() };
            true
        }
        (Event::Silenced { workload, connections }, Event::Silenced { workload: of, connections: new })
            if workload == of =>
        {
            new.iter().for_each(|connection| replace(connections, connection));
            true
        }
        (Event::HalfOpen { workload, .. }, Event::HalfOpen { workload: of, .. }) if workload == of => {
            *waiting = new.clone();
            true
        }
        (Event::Mqtt { workload, .. }, Event::Mqtt { workload: of, .. }) if workload == of => {
            *waiting = new.clone();
            true
        }
        (Event::Examined { .. }, Event::Examined { .. })
        | (Event::Probed { .. }, Event::Probed { .. })
        | (Event::ConsoleLines { .. }, Event::ConsoleLines { .. })
        | (Event::Device { .. }, Event::Device { .. }) => {
            *waiting = new.clone();
            true
        }
        _ => false,
    }
}

/// What is known last of each connection.
fn replace(connections: &mut Vec<SilencedConnection>, new: &SilencedConnection) {
    match connections.iter_mut().find(|known| known.connection == new.connection) {
        Some(known) => *known = *new,
        None => connections.push(*new),
    }
}

/// The latencies of two intervals together.
fn sum(a: &Recorded, b: &Recorded) -> Recorded {
    let mut counts: BTreeMap<u64, u64> = a.iter().copied().collect();
    for (ns, count) in b.iter() {
        *counts.entry(*ns).or_default() += count;
    }
    counts.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Expected, OutageOrigin, OutageRow, SectionCourse, Stage};

    fn interval(workload: &str, second: u64) -> Event {
        let progress = PhaseProgress {
            attempts: second * 10,
            latencies: [(second % 7, 9), (100, 1)].into(),
            ..PhaseProgress::default()
        };
        Event::Interval { workload: workload.into(), at_ns: second, progress }
    }

    fn outage(number: u64) -> Event {
        Event::Outage { workload: "a".into(), outage: OutageRow::new(number, OutageOrigin::Natural) }
    }

    fn all(backlog: &Backlog) -> Vec<Event> {
        std::iter::from_fn(|| backlog.try_next()).collect()
    }

    #[test]
    fn events_come_out_as_they_were_told_while_somebody_listens() {
        let backlog = Backlog::default();
        for second in 1..=2_000 {
            backlog.tell(interval("a", second));
            assert!(matches!(backlog.try_next(), Some(Event::Interval { at_ns, .. }) if at_ns == second));
        }
        assert!(backlog.try_next().is_none());
    }

    #[test]
    fn a_day_without_a_listener_takes_little_room_and_loses_no_measurement() {
        let backlog = Backlog::default();
        let seconds = 86_400;
        backlog.tell(Event::PhaseStarted { workload: "a".into(), at_ns: 0, expected: Expected::Open });
        for second in 1..=seconds {
            backlog.tell(interval("a", second));
            backlog.tell(interval("b", second));
        }
        backlog.tell(Event::PhaseEnded {
            workload: "a".into(),
            at_ns: seconds,
            progress: PhaseProgress::default(),
        });
        let events = all(&backlog);
        assert!(events.len() <= JOIN_FROM + 2, "{}", events.len());
        assert!(matches!(events[0], Event::PhaseStarted { .. }), "what comes once is kept");
        assert!(matches!(events.last(), Some(Event::PhaseEnded { .. })));
        for name in ["a", "b"] {
            let mut of = events.iter().filter_map(|event| match event {
                Event::Interval { workload, progress, .. } if workload == name => Some(progress),
                _ => None,
            });
            let recorded: u64 = of.clone().flat_map(|p| p.latencies.iter()).map(|(_, count)| count).sum();
            assert_eq!(recorded, seconds * 10);
            assert_eq!(of.next_back().unwrap().attempts, seconds * 10, "totals are the last ones");
        }
    }

    #[test]
    fn of_outages_some_thousand_wait_and_the_others_are_told_as_a_number() {
        let backlog = Backlog::default();
        (1..=MOST_OUTAGES as u64 + 5).for_each(|n| backlog.tell(outage(n)));
        let events = all(&backlog);
        assert_eq!(events.len(), MOST_OUTAGES + 1);
        assert!(matches!(events.last(), Some(Event::OutagesLeftOut { rows: 5 })));
        backlog.tell(outage(9_999));
        assert_eq!(all(&backlog).len(), 1, "there is room again, and what was told is not told twice");
    }

    #[test]
    fn what_is_superseded_is_replaced_and_of_silent_connections_each_is_kept() {
        let backlog = Backlog::default();
        (0..JOIN_FROM as u64).for_each(|n| backlog.tell(outage(n)));
        let silent = |connection, reclaimed_after_ns| SilencedConnection {
            connection,
            port: 40_000,
            stage: Stage::Served,
            opened_ns: None,
            silent_ns: 1,
            reclaimed_after_ns,
            evidence: None,
        };
        for n in 0..1_000_u32 {
            let connections = vec![silent(n % 50, Some(u64::from(n)))];
            backlog.tell(Event::Silenced { workload: "a".into(), connections });
            backlog.tell(Event::HalfOpen {
                workload: "a".into(),
                at_ns: n.into(),
                course: SectionCourse::UnderWay,
                section: Arc::default(),
            });
            backlog.tell(Event::Examined {
                workload: "a".into(),
                at_ns: n.into(),
                examination: Arc::default(),
            });
            backlog.tell(Event::Probed { at_ns: n.into(), probed: Arc::default() });
            backlog.tell(Event::ConsoleLines { lines: [n.to_string()].into() });
            backlog.tell(Event::Device { at_ns: n.into(), telemetry: Arc::default() });
        }
        let events = all(&backlog).split_off(JOIN_FROM);
        let [
            Event::Silenced { connections, .. },
            Event::HalfOpen { at_ns, .. },
            Event::Examined { .. },
            Event::Probed { at_ns: probed_ns, .. },
            Event::ConsoleLines { lines },
            Event::Device { .. },
        ] = &events[..]
        else {
            panic!("one of each: {events:?}");
        };
        assert_eq!((connections.len(), *at_ns, *probed_ns, lines[0].as_str()), (50, 999, 999, "999"));
        assert!(connections.iter().all(|c| c.reclaimed_after_ns >= Some(950)), "{connections:?}");
    }

    #[test]
    fn one_who_waits_is_woken_and_one_who_waits_for_nothing_is_told_the_end() {
        let backlog = Backlog::default();
        let other = backlog.clone();
        let waiting = std::thread::spawn(move || {
            let first = other.next_within(Duration::from_secs(60));
            (first.is_some(), other.next_within(Duration::from_secs(60)).is_none(), other.is_over())
        });
        backlog.tell(outage(1));
        while backlog.taken() == 0 {
            std::thread::yield_now();
        }
        backlog.close();
        assert_eq!(waiting.join().unwrap(), (true, true, true));
    }
}
