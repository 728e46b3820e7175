//! A run of days: what happens in it, and when, so that a report can be held to it hour by hour.
//!
//! The load is a HEAD a minute as in `resilience-360h`, and a message every five seconds on a persistent connection; a device
//! that loses heap with each request has the HEADs alone, or it would be out of memory within hours. Blinks of
//! the link and restarts of the device lie at seeded times, each far enough from the next to be told from it. The last part
//! of the run may have a leak.

use std::ops::Range;

use espstress_device::Persona;
use espstress_twin::link::{LinkSpec, OutagePlan, Spacing};

use crate::case::Tells;
use crate::chance::{Chance, Purpose};
use crate::load::{Close, Kind, Load};
use crate::world::{Setup, Switch};

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Blinks of the link are at least so long: three probes are lost.
const BLINK: Range<u64> = 4 * SECOND..60 * SECOND;

/// Blinks at most: a report names 96 absences of a run.
const MOST_BLINKS: u64 = 60;

/// Time between two events at least.
const APART: u64 = 4 * MINUTE;

/// Bytes of the heap that a leak takes until the end: more than half of what is free.
const LEAKED: u64 = 70_000;

/// The device's heap keeps eight bytes more for each block.
const BLOCK_HEAD: u64 = 8;

/// What the device loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leak {
    /// Nothing.
    None,
    /// Some bytes of heap with each request, from then on.
    Heap {
        /// Nanoseconds since the start of the run.
        from_ns: u64,
    },
    /// The socket of each connection that the peer closes, until it is restarted.
    Sockets {
        /// Nanoseconds since the start of the run.
        from_ns: u64,
        /// When it restarts, and has the fault no longer.
        to_ns: u64,
    },
}

/// A run of days.
#[derive(Clone, Debug)]
pub struct Soak {
    /// Of everything random.
    pub seed: u64,
    /// How long, nanoseconds.
    pub length_ns: u64,
    /// Blinks of the link: from when to when, nanoseconds.
    pub blinks: Vec<(u64, u64)>,
    /// Restarts of the device, nanoseconds; that after a leak of sockets is not among them.
    pub restarts: Vec<u64>,
    /// What the device loses.
    pub leak: Leak,
}

impl Soak {
    /// The run of a seed. A third of the seeds have a leak of heap, a third one of sockets.
    #[must_use]
    pub fn of(seed: u64, hours: u64) -> Self {
        let mut chance = Chance::new(seed, Purpose::Case);
        let length_ns = hours * HOUR;
        let minutes = |n: u64| n * MINUTE;
        let leak = match seed % 3 {
            0 => Leak::None,
            1 => Leak::Heap { from_ns: chance.between(length_ns / 100 * 55, length_ns / 100 * 70) },
            _ => {
                let from_ns = chance.between(length_ns / 100 * 55, length_ns / 100 * 70);
                Leak::Sockets { from_ns, to_ns: from_ns + chance.between(minutes(15), minutes(25)) }
            }
        };
        let blink_count = (hours * 3).min(MOST_BLINKS);
        // A restart gives the heap back: what a leak takes later is no slope over the run any more.
        let restart_count = match leak {
            Leak::Heap { .. } => 0,
            _ if hours < 6 => 1,
            _ => 4,
        };
        let mut events = Events { leak, taken: Vec::new() };
        let restarts =
            (0..restart_count).map(|_| events.place(&mut chance, minutes(5)..length_ns / 2, SECOND));
        let mut restarts: Vec<u64> = restarts.collect();
        restarts.sort_unstable();
        let mut blinks: Vec<(u64, u64)> = (0..blink_count)
            .map(|_| {
                let length = chance.between(BLINK.start, BLINK.end);
                let from = events.place(&mut chance, minutes(2)..length_ns - minutes(5), length);
                (from, from + length)
            })
            .collect();
        blinks.sort_unstable();
        Self { seed, length_ns, blinks, restarts, leak }
    }

    /// Between two HEADs: a minute, less in a run of hours, since a loss is none before fifty requests.
    const fn heads_ns(&self) -> u64 {
        if self.length_ns < 24 * HOUR { 10 * SECOND } else { MINUTE }
    }

    /// What is run.
    #[must_use]
    pub fn setup(&self) -> Setup {
        let switch = |at_ns, persona| Switch { at_ns, persona };
        let mut personas = vec![switch(0, Persona::ROBUST)];
        let mut restarts = self.restarts.clone();
        match self.leak {
            Leak::None => {}
            Leak::Heap { from_ns } => {
                let requests = (self.length_ns - from_ns) / self.heads_ns();
                let bytes = (LEAKED / requests.max(1)).saturating_sub(BLOCK_HEAD).max(1);
                let persona = format!("hoarder:bytes={bytes}").parse().unwrap_or(Persona::ROBUST);
                personas.push(switch(from_ns, persona));
            }
            Leak::Sockets { from_ns, to_ns } => {
                personas.push(switch(from_ns, "half-closer".parse().unwrap_or(Persona::ROBUST)));
                personas.push(switch(to_ns, Persona::ROBUST));
                restarts.push(to_ns + 1);
                restarts.sort_unstable();
            }
        }
        let outages = self.blinks.iter().map(|&(from, to)| OutagePlan {
            shortest_ns: to - from,
            longest_ns: to - from,
            spacing: Spacing::Once(from),
        });
        let load = |kind, interval_ns| Load {
            kind,
            lanes: 1,
            interval_ns: Some(interval_ns),
            duration_ns: self.length_ns,
        };
        Setup {
            seed: self.seed,
            personas,
            link: LinkSpec { outages: outages.collect(), ..LinkSpec::CLEAN },
            load: load(Kind::Head { close: Close::Fin, request_delay: 0 }, self.heads_ns()),
            beside: (!matches!(self.leak, Leak::Heap { .. }))
                .then(|| load(Kind::Framed { size: 256 }, MESSAGES)),
            restarts,
            tells: Tells::All,
            keeps: false,
        }
    }
}

/// Between two messages of the persistent connection.
const MESSAGES: u64 = 5 * SECOND;

/// Times that are given away.
struct Events {
    leak: Leak,
    taken: Vec<Range<u64>>,
}

impl Events {
    /// A time for an event of that length, away from all others and from a leak's beginning and end.
    fn place(&mut self, chance: &mut Chance, within: Range<u64>, length: u64) -> u64 {
        // A run has far more room than events: it ends after a few tries.
        loop {
            let from = chance.between(within.start, within.end - length);
            let free = |other: &Range<u64>| from + length + APART < other.start || other.end + APART < from;
            let leak = match self.leak {
                Leak::None => 0..0,
                Leak::Heap { from_ns } => from_ns..from_ns + 1,
                Leak::Sockets { from_ns, to_ns } => from_ns..to_ns,
            };
            if self.taken.iter().all(free) && (leak.is_empty() || free(&leak)) {
                self.taken.push(from..from + length);
                return from;
            }
        }
    }
}
