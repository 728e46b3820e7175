//! The link as a whole: two paths, outages, and a device that sleeps.

use std::collections::VecDeque;

use super::counters::Counters;
use super::outage::{OutageCause, Schedule};
use super::path::{Path, Verdict};
use super::pool::{Pool, Slot};
use super::power_save::Rhythm;
use super::{Direction, LinkSpec};

/// Events kept for [`Link::poll_event`]; older ones are dropped.
const MAX_EVENTS: usize = 64;

/// Between the seeds of one start and the next; any large odd number.
const RESTART_STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// What [`Link::push`] did with a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Passage {
    /// Nothing is in its way: hand the same bytes on at once. The link has kept no copy.
    Through,
    /// The link has it; [`Link::poll`] gives it out when it is due.
    Held,
    /// It is lost.
    Lost,
}

/// A change of the link's state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkEvent {
    /// The link went down.
    Down {
        /// When, on the clock of the calls.
        at_ns: u64,
        /// Why.
        cause: OutageCause,
    },
    /// The link came back.
    Up {
        /// When, on the clock of the calls.
        at_ns: u64,
    },
}

#[derive(Clone, Copy, Debug)]
struct Down {
    until_ns: u64,
}

/// What happens next in the link.
#[derive(Clone, Copy)]
enum Step {
    OutageEnds,
    OutageBegins,
    Arrival(Direction),
    Beacon,
}

/// A link between the host and one device.
///
/// Order of calls: [`push`](Self::push) a frame when there is one; then, and when
/// [`next_due_ns`](Self::next_due_ns) has come, [`poll`](Self::poll) until it gives none. Times may not go
/// backwards. Frames of one direction come out in order of arrival.
#[derive(Debug)]
pub struct Link {
    spec: LinkSpec,
    seed: u64,
    pool: Pool,
    paths: [Path; 2],
    rhythm: Rhythm,
    /// Frames for the sleeping device.
    waiting: VecDeque<Slot>,
    beacon_ns: Option<u64>,
    schedule: Schedule,
    down: Option<Down>,
    ready: VecDeque<(Direction, Slot)>,
    lent: Option<Slot>,
    events: VecDeque<LinkEvent>,
    now_ns: u64,
}

impl Link {
    /// A link that starts at `origin_ns`; planned outages count from there.
    #[must_use]
    pub fn new(spec: LinkSpec, seed: u64, origin_ns: u64) -> Self {
        Self::restarted(spec, seed, origin_ns, 0)
    }

    /// The same link after its device has restarted so often: planned outages and beacons go on as if nothing had
    /// happened, and frames meet a fate of their own instead of the one they met before.
    #[must_use]
    pub fn restarted(spec: LinkSpec, seed: u64, origin_ns: u64, restarts: u32) -> Self {
        let frames = seed.wrapping_add(u64::from(restarts).wrapping_mul(RESTART_STRIDE));
        Self {
            pool: Pool::default(),
            paths: Direction::ALL.map(|direction| Path::new(frames, direction.index())),
            rhythm: Rhythm::new(&spec, seed, origin_ns),
            waiting: VecDeque::new(),
            beacon_ns: None,
            schedule: Schedule::new(&spec.outages, seed, origin_ns),
            down: None,
            ready: VecDeque::new(),
            lent: None,
            events: VecDeque::new(),
            now_ns: origin_ns,
            spec,
            seed,
        }
    }

    /// What the link is asked to do.
    #[must_use]
    pub const fn spec(&self) -> &LinkSpec {
        &self.spec
    }

    /// Asks it to do something else from now on. Frames on their way keep their time of arrival, an outage that is
    /// going on keeps its end, and new plans for outages count from now.
    pub fn set_spec(&mut self, spec: LinkSpec, now_ns: u64) {
        self.advance(now_ns);
        if spec.outages != self.spec.outages {
            self.schedule = Schedule::new(&spec.outages, self.seed, now_ns);
        }
        self.rhythm.set(&spec);
        self.spec = spec;
        if self.rhythm.sleeps() {
            self.beacon_ns = self.beacon_ns.map(|_| self.rhythm.next_beacon_ns(now_ns));
        } else {
            self.wake(now_ns);
        }
    }

    /// Whether frames can pass.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.down.is_none()
    }

    /// Takes the link down for so long. During an outage it prolongs that where it would end later.
    pub fn start_outage(&mut self, length_ns: u64, now_ns: u64) {
        self.advance(now_ns);
        self.go_down(now_ns, now_ns.saturating_add(length_ns), OutageCause::Asked);
    }

    /// Puts a frame in.
    pub fn push(&mut self, direction: Direction, frame: &[u8], now_ns: u64) -> Passage {
        self.advance(now_ns);
        let spec = *self.spec.path(direction);
        let path = &mut self.paths[direction.index()];
        path.counters.frames_in += 1;
        if self.down.is_some() {
            path.counters.lost.outage += 1;
            return Passage::Lost;
        }
        if direction == Direction::ToHost && self.rhythm.sleeps() {
            // A station that sends is awake, and says so: the access point hands out what it keeps.
            self.wake(now_ns);
        }
        if self.passes(direction, now_ns) {
            let counters = &mut self.paths[direction.index()].counters;
            counters.frames_out += 1;
            counters.bytes_out += frame.len() as u64;
            self.rhythm.touch(now_ns);
            return Passage::Through;
        }
        let waiting = if direction == Direction::ToDevice { self.waiting.len() } else { 0 };
        let path = &mut self.paths[direction.index()];
        match path.judge(&spec, frame.len(), waiting, now_ns) {
            Verdict::NoRoom => {
                path.counters.lost.queue += 1;
                Passage::Lost
            }
            Verdict::Lost => {
                path.counters.lost.chance += 1;
                Passage::Lost
            }
            Verdict::Arrives { at_ns, copy_ns } => {
                path.launch(at_ns, self.pool.store(frame));
                if let Some(copy_ns) = copy_ns {
                    path.counters.duplicated += 1;
                    path.launch(copy_ns, self.pool.store(frame));
                }
                Passage::Held
            }
        }
    }

    /// The next frame that is due, to be handed on before the next call.
    pub fn poll(&mut self, now_ns: u64) -> Option<(Direction, &[u8])> {
        if let Some(slot) = self.lent.take() {
            self.pool.release(slot);
        }
        self.advance(now_ns);
        let (direction, slot) = self.ready.pop_front()?;
        self.lent = Some(slot);
        let bytes = self.pool.bytes(slot);
        let counters = &mut self.paths[direction.index()].counters;
        counters.held -= 1;
        counters.frames_out += 1;
        counters.delayed += 1;
        counters.bytes_out += bytes.len() as u64;
        Some((direction, bytes))
    }

    /// When [`poll`](Self::poll) or [`poll_event`](Self::poll_event) will have something, if nothing is put in
    /// before; a time that has passed when they have now.
    #[must_use]
    pub fn next_due_ns(&self) -> Option<u64> {
        if !self.ready.is_empty() || !self.events.is_empty() {
            return Some(self.now_ns);
        }
        self.next_step().map(|(at_ns, _)| at_ns)
    }

    /// The next change of state that has not been told.
    pub fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    /// What became of the frames of one direction.
    #[must_use]
    pub const fn counters(&self, direction: Direction) -> &Counters {
        &self.paths[direction.index()].counters
    }

    /// Whether a frame of this direction can be handed on without being kept.
    fn passes(&self, direction: Direction, now_ns: u64) -> bool {
        let awake = || self.waiting.is_empty() && self.rhythm.is_awake(now_ns);
        self.spec.path(direction).is_transparent()
            && self.paths[direction.index()].is_empty()
            && self.ready.iter().all(|&(ready, _)| ready != direction)
            && (direction == Direction::ToHost || awake())
    }

    fn next_step(&self) -> Option<(u64, Step)> {
        // At equal times the first of these goes first.
        [
            self.down.map(|down| (down.until_ns, Step::OutageEnds)),
            self.schedule.next_start_ns().map(|at_ns| (at_ns, Step::OutageBegins)),
            self.arrival(Direction::ToDevice),
            self.arrival(Direction::ToHost),
            self.beacon_ns.map(|at_ns| (at_ns, Step::Beacon)),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|&(at_ns, _)| at_ns)
    }

    fn arrival(&self, direction: Direction) -> Option<(u64, Step)> {
        let at_ns = self.paths[direction.index()].next_arrival_ns()?;
        Some((at_ns, Step::Arrival(direction)))
    }

    /// Lets everything happen that was to happen by `now_ns`, each thing at its own time.
    fn advance(&mut self, now_ns: u64) {
        self.now_ns = self.now_ns.max(now_ns);
        while let Some((at_ns, step)) = self.next_step().filter(|&(at_ns, _)| at_ns <= self.now_ns) {
            match step {
                Step::OutageEnds => {
                    self.down = None;
                    self.tell(LinkEvent::Up { at_ns });
                }
                Step::OutageBegins => {
                    if let Some(outage) = self.schedule.take() {
                        self.go_down(outage.start_ns, outage.end_ns, OutageCause::Planned);
                    }
                }
                Step::Arrival(direction) => {
                    if let Some(flight) = self.paths[direction.index()].land() {
                        self.arrive(direction, flight.slot, at_ns);
                    }
                }
                Step::Beacon => self.wake(at_ns),
            }
        }
    }

    fn arrive(&mut self, direction: Direction, slot: Slot, at_ns: u64) {
        if self.down.is_some() {
            self.drop_held(direction, slot);
        } else if direction == Direction::ToHost {
            self.ready.push_back((direction, slot));
        } else if self.rhythm.is_awake(at_ns) && self.waiting.is_empty() {
            self.rhythm.touch(at_ns);
            self.ready.push_back((direction, slot));
        } else if self.waiting.len() >= self.spec.to_device.queue as usize {
            let counters = &mut self.paths[direction.index()].counters;
            counters.held -= 1;
            counters.lost.queue += 1;
            self.pool.release(slot);
        } else {
            self.waiting.push_back(slot);
            self.beacon_ns = self.beacon_ns.or_else(|| Some(self.rhythm.next_beacon_ns(at_ns)));
        }
    }

    /// The device listens: it gets what was kept for it.
    fn wake(&mut self, at_ns: u64) {
        self.beacon_ns = None;
        self.rhythm.touch(at_ns);
        self.ready.extend(self.waiting.drain(..).map(|slot| (Direction::ToDevice, slot)));
    }

    fn go_down(&mut self, at_ns: u64, until_ns: u64, cause: OutageCause) {
        if let Some(down) = &mut self.down {
            down.until_ns = down.until_ns.max(until_ns);
            return;
        }
        self.down = Some(Down { until_ns });
        self.tell(LinkEvent::Down { at_ns, cause });
        // The access point forgets a station that is gone.
        self.beacon_ns = None;
        while let Some(slot) = self.waiting.pop_front() {
            self.drop_held(Direction::ToDevice, slot);
        }
    }

    fn drop_held(&mut self, direction: Direction, slot: Slot) {
        let counters = &mut self.paths[direction.index()].counters;
        counters.held -= 1;
        counters.lost.outage += 1;
        self.pool.release(slot);
    }

    fn tell(&mut self, event: LinkEvent) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Places for frames that were ever needed at once.
    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.pool.places()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_of_frames_is_used_again() {
        let mut link = Link::new("delay=5ms,duplicate=50%".parse().expect("a link"), 3, 0);
        for n in 0..100_000_u64 {
            let now = n * 1_000_000;
            link.push(Direction::ALL[n as usize % 2], &[0; 100], now);
            while link.poll(now).is_some() {}
        }
        // Six in 5 ms, each perhaps twice, and the one lent out.
        assert!(link.places() <= 13, "{}", link.places());
    }

    #[test]
    fn a_direction_holds_no_more_frames_than_its_bound() {
        let mut link = Link::new("delay=10s".parse().expect("a link"), 3, 0);
        for n in 0..20_000 {
            link.push(Direction::ToHost, &[0; 60], n);
        }
        assert_eq!(link.counters(Direction::ToHost).held, u64::from(super::super::MAX_QUEUE));
        assert_eq!(link.counters(Direction::ToHost).lost.queue, 20_000 - u64::from(super::super::MAX_QUEUE));
    }
}
