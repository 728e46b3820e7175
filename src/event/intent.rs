//! What a workload intends with a connection, so that the wire's evidence can be told from what was asked
//! for. Written by the workloads before they act, read by `diagnose`.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::away::Spells;
use super::by_port::ByPort;
use super::{AwaySpell, OutageOrigin};

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
    Plain,
    /// The host is slow on it on purpose: the device may give it up.
    Slow,
    /// More connections at once than the device says it can hold, those from which the host vanished a moment ago
    /// included: a SYN may go unanswered.
    BeyondCapacity,
    /// The host shut down writing and goes on reading.
    HalfClosed,
    /// The host closes with a RST.
    Reset,
    /// The device announced with a response that it closes, requests were under way behind it, and the host closes with a
    /// RST: these requests may draw RSTs of the device's at any time (RFC 9112, 9.6).
    LeftBehind,
    /// The host fell silent on it for a while (filter or outage), and may come back.
    Silenced,
    /// The host vanished from it without a FIN or RST.
    Vanished,
}

/// Who opened the connection on a local port, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntentEntry {
    /// The workload.
    pub workload: WorkloadId,
    /// Its intention.
    pub intent: Intent,
}

/// What was intended with each connection of the run: the latest on every local port, and the one before it, of which
/// packets may still come. No more than the run's source ports.
#[derive(Default)]
pub struct IntentBook {
    ports: Mutex<ByPort<Port>>,
    /// Told a few times a minute at most, and asked only where something went wrong.
    away: Mutex<Spells>,
    /// Connections that devices had dialled and that a cut of the link met.
    cut_off: Mutex<VecDeque<CutOff>>,
}

/// A connection that a device had dialled, and when an end of it is the cut's doing, nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
struct CutOff {
    port: u16,
    peer: u16,
    from_ns: i64,
    to_ns: i64,
}

/// Cut connections that are kept: the last ones.
const CUT_OFF: usize = 64;

/// The connections on one local port.
#[derive(Clone, Copy, Debug)]
struct Port {
    latest: Noted,
    previous: Option<Noted>,
    /// When the device's first FIN came on the latest while the host was silent, nanoseconds since the Unix epoch: never 0, and
    /// half of the room of an `Option<i64>`.
    ended_ns: Option<NonZero<i64>>,
    /// Devices dial it: every connection on it is the workload's.
    dialled: bool,
    /// Another program has opened a connection from it since.
    others_too: bool,
}

/// One connection.
#[derive(Clone, Copy, Debug)]
struct Noted {
    entry: IntentEntry,
    /// When it was to be opened, nanoseconds since the Unix epoch.
    at_ns: i64,
    /// The initial sequence number of the host's SYN, once that has been seen.
    isn: Option<u32>,
}

impl Port {
    fn of(&self, isn: Option<u32>) -> Option<&Noted> {
        if self.dialled {
            return Some(&self.latest);
        }
        let Some(isn) = isn else { return self.unnamed().then_some(&self.latest) };
        [Some(&self.latest), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|noted| noted.isn == Some(isn))
    }

    fn is_latest(&self, isn: Option<u32>) -> bool {
        self.dialled || if isn.is_some() { self.latest.isn == isn } else { self.unnamed() }
    }

    /// Whether a connection whose SYN was missed can only be the latest of this run's.
    const fn unnamed(&self) -> bool {
        !self.others_too
    }
}

impl std::fmt::Debug for IntentBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IntentBook").finish_non_exhaustive()
    }
}

impl IntentBook {
    /// Notes that `workload` is about to open a connection from `port` at `at_ns` (since the Unix epoch); call it once the
    /// port is held and before the act, so that no packet can be early, and the next SYN from there is this connection's.
    pub fn opens(&self, port: u16, workload: WorkloadId, intent: Intent, at_ns: i64) {
        let entry = IntentEntry { workload, intent };
        let latest = Noted { entry, at_ns, isn: None };
        let new = Port { latest, previous: None, ended_ns: None, dialled: false, others_too: false };
        let mut ports = self.ports();
        match ports.get_mut(port) {
            Some(known) => *known = Port { previous: Some(known.latest), ..new },
            None => drop(ports.insert(port, new)),
        }
    }

    /// Nothing was opened from `port` after all.
    pub fn withdraws(&self, port: u16) {
        let mut ports = self.ports();
        match ports.get_mut(port) {
            Some(Port { latest, previous: previous @ Some(_), .. }) => {
                if let Some(before) = previous.take() {
                    *latest = before;
                }
            }
            _ => ports.remove(port),
        }
    }

    /// Notes that devices dial `port`.
    pub fn is_dialled(&self, port: u16, workload: WorkloadId) {
        let entry = IntentEntry { workload, intent: Intent::Plain };
        let latest = Noted { entry, at_ns: i64::MIN, isn: None };
        self.ports()
            .insert(port, Port { latest, previous: None, ended_ns: None, dialled: true, others_too: false });
    }

    /// Notes what is about to be done to the open connection on `port`; call it before the act.
    pub fn intends(&self, port: u16, intent: Intent) {
        if let Some(known) = self.ports().get_mut(port) {
            known.latest.entry.intent = intent;
            known.ended_ns = None;
        }
    }

    /// The host's SYN from `port` was seen, at `at_ns` (since the Unix epoch): from here on its number names the connection.
    /// One that nobody has announced is another program's.
    pub fn opened(&self, port: u16, isn: u32, at_ns: i64) {
        let mut ports = self.ports();
        let Some(known) = ports.get_mut(port) else { return };
        let Port { latest, previous, others_too, .. } = known;
        if latest.isn == Some(isn) || previous.is_some_and(|noted| noted.isn == Some(isn)) {
            return;
        }
        let of_its_time = if at_ns >= latest.at_ns {
            Some(latest)
        } else {
            previous.as_mut().filter(|previous| at_ns >= previous.at_ns)
        };
        match of_its_time.filter(|noted| noted.isn.is_none()) {
            Some(noted) => noted.isn = Some(isn),
            None => *others_too = true,
        }
    }

    /// Notes that the link is about to be cut under the connection that the device had dialled from `peer` to `port`: whatever
    /// becomes of that one from `from_ns` to `to_ns` (since the Unix epoch) is the cut's doing.
    pub fn cuts_off(&self, port: u16, peer: u16, from_ns: i64, to_ns: i64) {
        let mut cut_off = self.cut_off.lock().unwrap_or_else(PoisonError::into_inner);
        if cut_off.len() == CUT_OFF {
            cut_off.pop_front();
        }
        cut_off.push_back(CutOff { port, peer, from_ns, to_ns });
    }

    /// Whether that was done to a connection, at that time.
    #[must_use]
    pub fn is_cut_off(&self, port: u16, peer: u16, at_ns: i64) -> bool {
        let cut_off = self.cut_off.lock().unwrap_or_else(PoisonError::into_inner);
        cut_off.iter().any(|c| (c.port, c.peer) == (port, peer) && (c.from_ns..=c.to_ns).contains(&at_ns))
    }

    /// Notes that the link to the device goes away at `from_ns` (since the Unix epoch); the number is for
    /// [`IntentBook::link_is_back`].
    pub fn link_goes_away(&self, cause: OutageOrigin, from_ns: i64) -> u64 {
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
    pub fn link_away_during(&self, from_ns: i64, to_ns: i64) -> Option<OutageOrigin> {
        self.away().during(from_ns, to_ns)
    }

    fn away(&self) -> MutexGuard<'_, Spells> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a FIN of the device's came on a connection at `at_ns` (since the Unix epoch), where the host is silent and
    /// does not hear it.
    pub fn device_ends(&self, port: u16, isn: Option<u32>, at_ns: i64) {
        let mut ports = self.ports();
        let Some(known) = ports.get_mut(port) else { return };
        if known.is_latest(isn) && known.latest.entry.intent == Intent::Silenced {
            // The silent host acknowledges none, so that it comes again and again.
            known.ended_ns = known.ended_ns.or(NonZero::new(at_ns));
        }
    }

    /// When the device's first FIN came on the latest connection on `port` while the host was silent there, nanoseconds since
    /// the Unix epoch.
    #[must_use]
    pub fn device_ended(&self, port: u16) -> Option<i64> {
        self.ports().get(port)?.ended_ns.map(NonZero::get)
    }

    /// What was intended with the connection from `port` whose SYN had the number `isn`; `None` where no workload of this
    /// run has opened it.
    #[must_use]
    pub fn look_up(&self, port: u16, isn: Option<u32>) -> Option<IntentEntry> {
        Some(self.ports().get(port)?.of(isn)?.entry)
    }

    fn ports(&self) -> MutexGuard<'_, ByPort<Port>> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: IntentEntry = IntentEntry { workload: WorkloadId(2), intent: Intent::Plain };
    const VANISHED: IntentEntry = IntentEntry { workload: WorkloadId(2), intent: Intent::Vanished };

    #[test]
    fn the_last_intention_with_a_connection_is_the_one_that_is_read() {
        let book = IntentBook::default();
        assert_eq!(book.look_up(4000, None), None);
        book.opens(4000, WorkloadId(2), Intent::Plain, 0);
        assert_eq!(book.look_up(4000, None), Some(PLAIN), "its SYN was missed");
        book.intends(4000, Intent::Vanished);
        book.opened(4000, 7, 1);
        assert_eq!(book.look_up(4000, Some(7)), Some(VANISHED));
        assert_eq!(book.look_up(4001, None), None);
    }

    #[test]
    fn two_connections_on_one_port_keep_their_own_intentions() {
        let book = IntentBook::default();
        book.opens(4000, WorkloadId(2), Intent::Vanished, 10);
        book.opened(4000, 7, 11);
        book.opens(4000, WorkloadId(2), Intent::Plain, 20);
        assert_eq!((book.look_up(4000, Some(7)), book.look_up(4000, Some(8))), (Some(VANISHED), None));
        book.opened(4000, 8, 21);
        assert_eq!((book.look_up(4000, Some(7)), book.look_up(4000, Some(8))), (Some(VANISHED), Some(PLAIN)));
    }

    #[test]
    fn a_syn_that_is_seen_late_names_the_connection_of_its_time() {
        let book = IntentBook::default();
        book.opens(4000, WorkloadId(2), Intent::Vanished, 10);
        book.opens(4000, WorkloadId(2), Intent::Plain, 20);
        book.opened(4000, 7, 11);
        book.opened(4000, 8, 21);
        assert_eq!((book.look_up(4000, Some(7)), book.look_up(4000, Some(8))), (Some(VANISHED), Some(PLAIN)));
    }

    #[test]
    fn a_connection_of_another_program_on_a_port_of_ours_is_nobodys() {
        let book = IntentBook::default();
        book.opens(4000, WorkloadId(2), Intent::Vanished, 10);
        book.opened(4000, 7, 11);
        book.opened(4000, 9, 30);
        assert_eq!(book.look_up(4000, Some(9)), None);
        assert_eq!(book.look_up(4000, None), None, "what is left of it");
    }

    #[test]
    fn a_connection_of_another_program_that_ended_before_a_port_was_held_is_nobodys() {
        let book = IntentBook::default();
        book.opens(4000, WorkloadId(2), Intent::Plain, 10);
        book.opened(4000, 9, 5);
        assert_eq!(book.look_up(4000, Some(9)), None, "its SYN was looked at late");
        book.opened(4000, 7, 11);
        assert_eq!((book.look_up(4000, Some(9)), book.look_up(4000, Some(7))), (None, Some(PLAIN)));
    }

    #[test]
    fn a_port_that_another_program_held_is_not_this_runs() {
        let book = IntentBook::default();
        book.opens(4000, WorkloadId(2), Intent::Vanished, 10);
        book.opened(4000, 7, 11);
        book.opens(4000, WorkloadId(2), Intent::Plain, 20);
        book.withdraws(4000);
        book.opened(4000, 9, 30);
        assert_eq!((book.look_up(4000, Some(9)), book.look_up(4000, Some(7))), (None, Some(VANISHED)));
        book.opens(4001, WorkloadId(2), Intent::Plain, 20);
        book.withdraws(4001);
        book.opened(4001, 9, 30);
        assert_eq!(book.look_up(4001, Some(9)), None);
    }

    #[test]
    fn every_connection_on_a_port_that_devices_dial_is_the_workloads() {
        let book = IntentBook::default();
        book.is_dialled(4000, WorkloadId(2));
        assert_eq!((book.look_up(4000, Some(1)), book.look_up(4000, Some(2))), (Some(PLAIN), Some(PLAIN)));
    }

    #[test]
    fn a_dialled_connection_is_cut_off_for_a_while_and_its_neighbours_are_not() {
        let book = IntentBook::default();
        book.cuts_off(1883, 5000, 10, 20);
        assert!(book.is_cut_off(1883, 5000, 15));
        for (port, peer, at) in [(1883, 5001, 15), (1884, 5000, 15), (1883, 5000, 9), (1883, 5000, 21)] {
            assert!(!book.is_cut_off(port, peer, at), "{port}, {peer}, {at}");
        }
    }

    #[test]
    fn a_silent_connection_ended_with_the_first_fin_of_its_own() {
        let book = IntentBook::default();
        book.opens(4000, WorkloadId(2), Intent::Plain, 0);
        book.opened(4000, 7, 1);
        book.device_ends(4000, Some(7), 3);
        assert_eq!(book.device_ended(4000), None, "the host heard it");
        book.intends(4000, Intent::Silenced);
        book.device_ends(4000, Some(7), 5);
        book.device_ends(4000, Some(7), 9);
        assert_eq!(book.device_ended(4000), Some(5));
        book.opens(4000, WorkloadId(2), Intent::Silenced, 20);
        assert_eq!(book.device_ended(4000), None);
    }
}
