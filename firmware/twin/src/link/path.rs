//! One direction of a link: queue, air time, loss, duplication, time on the way.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::counters::Counters;
use super::luck::{Luck, Purpose};
use super::pool::Slot;
use super::spec::{MAX_QUEUE, Order, PathSpec};

/// A frame on its way; the earliest arrival first, then the one sent first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Flight {
    pub(super) arrival_ns: u64,
    number: u64,
    pub(super) slot: Slot,
}

/// What is decided of a frame when it is put in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// The queue is full.
    NoRoom,
    /// Lost by chance.
    Lost,
    /// It arrives, and perhaps a copy of it.
    Arrives {
        /// When.
        at_ns: u64,
        /// When the copy does.
        copy_ns: Option<u64>,
    },
}

/// The Gilbert-Elliott chain: every frame is lost in the bad state, none in the good one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Air {
    Good,
    Bad,
}

#[derive(Debug)]
pub(super) struct Path {
    loss: Luck,
    duplication: Luck,
    jitter: Luck,
    air: Air,
    /// When the air is free again.
    busy_until_ns: u64,
    /// When each frame that waits for the air, or is in it, has been sent.
    sending: VecDeque<u64>,
    last_arrival_ns: u64,
    numbers: u64,
    flights: BinaryHeap<Reverse<Flight>>,
    pub(super) counters: Counters,
}

impl Path {
    pub(super) fn new(seed: u64, lane: usize) -> Self {
        Self {
            loss: Luck::new(seed, Purpose::Loss, lane),
            duplication: Luck::new(seed, Purpose::Duplication, lane),
            jitter: Luck::new(seed, Purpose::Jitter, lane),
            air: Air::Good,
            busy_until_ns: 0,
            sending: VecDeque::new(),
            last_arrival_ns: 0,
            numbers: 0,
            flights: BinaryHeap::new(),
            counters: Counters::default(),
        }
    }

    /// Whether nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    /// Decides on a frame of `len` bytes. `waiting` frames wait for the device to wake.
    pub(super) fn judge(&mut self, spec: &PathSpec, len: usize, waiting: usize, now_ns: u64) -> Verdict {
        // All draws first, whatever becomes of the frame: see `luck`.
        let lost = self.is_lost(spec);
        let twice = self.duplication.unit() < spec.duplicate;
        let jitter =
            [self.jitter.unit(), self.jitter.unit()].map(|unit| (unit * spec.jitter_ns as f64) as u64);

        while self.sending.front().is_some_and(|&sent| sent <= now_ns) {
            self.sending.pop_front();
        }
        if self.sending.len() + waiting >= spec.queue as usize || self.flights.len() >= MAX_QUEUE as usize {
            return Verdict::NoRoom;
        }
        // A lost frame has used the air all the same.
        let sent_ns = match spec.rate {
            None => now_ns,
            Some(rate) => {
                let air_ns = (len as u64).saturating_mul(8_000_000_000) / rate.max(1);
                self.busy_until_ns = self.busy_until_ns.max(now_ns).saturating_add(air_ns);
                self.sending.push_back(self.busy_until_ns);
                self.busy_until_ns
            }
        };
        if lost {
            return Verdict::Lost;
        }
        let [at_ns, copy_ns] =
            jitter.map(|jitter| sent_ns.saturating_add(spec.delay_ns).saturating_add(jitter));
        let at_ns = self.in_order(spec.order, at_ns);
        Verdict::Arrives { at_ns, copy_ns: twice.then(|| self.in_order(spec.order, copy_ns)) }
    }

    fn in_order(&mut self, order: Order, at_ns: u64) -> u64 {
        match order {
            Order::Free => at_ns,
            Order::Kept => {
                self.last_arrival_ns = self.last_arrival_ns.max(at_ns);
                self.last_arrival_ns
            }
        }
    }

    fn is_lost(&mut self, spec: &PathSpec) -> bool {
        let unit = self.loss.unit();
        let Some(burst) = spec.burst else {
            self.air = Air::Good;
            return unit < spec.loss;
        };
        // The bad state lasts `burst` frames on average and takes up the share `loss` of all.
        let recover = 1.0 / burst;
        let fail = spec.loss * recover / (1.0 - spec.loss);
        self.air = match self.air {
            Air::Good if unit < fail => Air::Bad,
            Air::Bad if unit < recover => Air::Good,
            same => same,
        };
        self.air == Air::Bad
    }

    /// Sends a stored frame on its way.
    pub(super) fn launch(&mut self, arrival_ns: u64, slot: Slot) {
        self.numbers += 1;
        self.flights.push(Reverse(Flight { arrival_ns, number: self.numbers, slot }));
        self.counters.held += 1;
    }

    /// When the next frame arrives.
    pub(super) fn next_arrival_ns(&self) -> Option<u64> {
        self.flights.peek().map(|flight| flight.0.arrival_ns)
    }

    /// Takes the frame that arrives next.
    pub(super) fn land(&mut self) -> Option<Flight> {
        self.flights.pop().map(|flight| flight.0)
    }
}
