//! What a workload intends with a connection, so that the wire's evidence can be told from what was asked
//! for. Written by the workloads before they act, read by `diagnose`; a fixed 512 KiB for any run.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::away::Spells;
use super::{AwayCause, AwaySpell};

/// Index of a workload in the run, from 0 in the order of the scenario; [`WorkloadId::PROBE`] is the probe's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadId(pub u16);

impl WorkloadId {
    /// The probe beside every workload.
    pub const PROBE: Self = Self(u16::MAX - 1);
}

/// What was done to a connection on purpose. Later acts replace earlier ones, the stronger stays visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Intent {
    /// Nothing that excuses the device: request, response, orderly close.
    Plain = 1,
    /// More connections at once than the device says it can hold, those from which the host vanished a moment ago
    /// included: a SYN may go unanswered.
    BeyondCapacity = 2,
    /// The host shut down writing and goes on reading.
    HalfClosed = 3,
    /// The host closes with a RST.
    Reset = 4,
    /// The host fell silent on it for a while (filter or outage), and may come back.
    Silenced = 5,
    /// The host vanished from it without a FIN or RST.
    Vanished = 6,
}

impl Intent {
    const fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            1 => Self::Plain,
            2 => Self::BeyondCapacity,
            3 => Self::HalfClosed,
            4 => Self::Reset,
            5 => Self::Silenced,
            6 => Self::Vanished,
            _ => return None,
        })
    }
}

/// Who opened the connection on a local port, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntentEntry {
    /// The workload.
    pub workload: WorkloadId,
    /// Its intention.
    pub intent: Intent,
}

/// The latest intention for each local TCP port: one atomic word a port, no lock, no allocation.
///
/// A run uses each port for one connection at a time, and a vanished connection's port never again, so the
/// port names the connection.
pub struct IntentBook {
    ports: Box<[AtomicU32]>,
    /// Told a few times a minute at most, and asked only where something went wrong.
    away: Mutex<Spells>,
    /// When the device's first FIN came on a connection on which the host is silent, by port, nanoseconds since the Unix
    /// epoch: never more entries than there are ports.
    ended: Mutex<BTreeMap<u16, i64>>,
}

impl Default for IntentBook {
    fn default() -> Self {
        Self {
            ports: (0..=u16::MAX).map(|_| AtomicU32::new(0)).collect(),
            away: Mutex::default(),
            ended: Mutex::default(),
        }
    }
}

impl std::fmt::Debug for IntentBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IntentBook").finish_non_exhaustive()
    }
}

impl IntentBook {
    /// Notes what is about to be done on `port`; call it before the act, so that no packet can be early.
    pub fn note(&self, port: u16, workload: WorkloadId, intent: Intent) {
        if intent == Intent::Silenced {
            // A connection of before may have had the port.
            self.ended().remove(&port);
        }
        let word = (u32::from(workload.0) << 16) | intent as u32;
        self.ports[usize::from(port)].store(word, Ordering::Release);
    }

    /// Notes that the link to the device goes away at `from_ns` (since the Unix epoch); the number is for
    /// [`IntentBook::link_is_back`].
    pub fn link_goes_away(&self, cause: AwayCause, from_ns: i64) -> u64 {
        self.away().begin(cause, from_ns)
    }

    /// Notes that the link is back since `to_ns` (since the Unix epoch).
    pub fn link_is_back(&self, number: u64, to_ns: i64) {
        self.away().end(number, to_ns);
    }

    /// Takes what a modelled link says of its outages, in place of what it said before.
    pub fn link_says(&self, spells: Vec<AwaySpell>) {
        self.away().set_link(spells);
    }

    /// Whether the link was away at any time between two moments (nanoseconds since the Unix epoch), and why.
    #[must_use]
    pub fn link_was_away(&self, from_ns: i64, to_ns: i64) -> Option<AwayCause> {
        self.away().during(from_ns, to_ns)
    }

    fn ended(&self) -> MutexGuard<'_, BTreeMap<u16, i64>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn away(&self) -> MutexGuard<'_, Spells> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a FIN of the device's came on `port` at `at_ns` (since the Unix epoch), where the host is silent and does
    /// not hear it.
    pub fn device_ends(&self, port: u16, at_ns: i64) {
        if self.look_up(port).is_some_and(|entry| entry.intent == Intent::Silenced) {
            // The silent host acknowledges none, so that it comes again and again.
            self.ended().entry(port).or_insert(at_ns);
        }
    }

    /// When the device's first FIN came on `port` while the host was silent there.
    #[must_use]
    pub fn device_ended(&self, port: u16) -> Option<i64> {
        self.ended().get(&port).copied()
    }

    /// What was intended on `port`; `None` for a port that no workload of this run has used.
    #[must_use]
    pub fn look_up(&self, port: u16) -> Option<IntentEntry> {
        let word = self.ports[usize::from(port)].load(Ordering::Acquire);
        let intent = Intent::from_code(word & 0xffff)?;
        Some(IntentEntry { workload: WorkloadId((word >> 16) as u16), intent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_intention_on_a_port_is_the_one_that_is_read() {
        let book = IntentBook::default();
        assert_eq!(book.look_up(4000), None);
        book.note(4000, WorkloadId(2), Intent::Plain);
        book.note(4000, WorkloadId(2), Intent::Vanished);
        let entry = book.look_up(4000).unwrap();
        assert_eq!(entry, IntentEntry { workload: WorkloadId(2), intent: Intent::Vanished });
        assert_eq!(book.look_up(4001), None);
    }

    #[test]
    fn a_silent_connection_ended_with_the_first_fin_of_its_own() {
        let book = IntentBook::default();
        let silent = |port| book.note(port, WorkloadId(0), Intent::Silenced);
        silent(4000);
        book.device_ends(4000, 7);
        book.device_ends(4000, 9);
        assert_eq!(book.device_ended(4000), Some(7));
        book.note(4000, WorkloadId(0), Intent::Plain);
        silent(4000);
        assert_eq!(book.device_ended(4000), None);
    }
}
