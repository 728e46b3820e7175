//! Packets on their way to what a run is judged by: followed, ruled on, and classed by what was intended.
//!
//! Time is an argument: a live run hands in what the capture gives, a laboratory what its own clock says.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use super::dials::{self, OwnDials};
use super::plan::Seen;
use super::weigh::Watched;
use espstress_diagnose::{Classed, Intentions, Ledger, Weather};
use espstress_event::{AnomalyId, AwaySpell, Endpoints, Intent, IntentBook, Occurrence, Shown};
use espstress_observe::{DeviceEnds, Observer, ObserverConfig, Turn};
use espstress_wire::{NotSegment, Segment};

/// What surrounds the packets: hears of each occurrence, and knows the link where it is a modelled one.
pub trait Surroundings {
    /// What a modelled link says of its outages, where there is news; asked before an occurrence that would count
    /// against the device is classed.
    fn link_news(&mut self) -> Option<Vec<AwaySpell>> {
        None
    }

    /// One occurrence, as it was classed.
    fn heard(&mut self, _at_ns: i64, _occurrence: Occurrence, _classed: Classed<'_>) {}
}

/// Nobody listens, and the link is a real one.
impl Surroundings for () {}

/// What a run's packets come to.
///
/// Call [`frame`](Self::frame) for each frame in the order of capture, `gap` where some are missing,
/// [`advance`](Self::advance) as time passes, and [`finish`](Self::finish) once. All times are nanoseconds since the
/// Unix epoch.
#[derive(Debug)]
pub struct Sight {
    observer: Observer,
    ledger: Ledger,
    book: Arc<IntentBook>,
    /// The path as far as it is known, for what is told while the run goes on.
    so_far: Weather,
    others: Others,
    held: Held,
    /// What the device dials beside that; `None` where nobody can tell its connections from this host's own.
    own_dials: Option<OwnDials>,
    served: Served,
    /// Frames that were looked at: the number of the last one, as capture tools count.
    frames: u64,
}

/// The device's address and the ports that it serves.
#[derive(Debug)]
struct Served {
    ip: IpAddr,
    ports: Vec<u16>,
}

impl Served {
    /// Whether a segment is of a connection to one of them, or to the port of the host's that a workload has the device dial.
    fn has(&self, s: &Segment, dialled: Option<u16>) -> bool {
        let serves = |address: Ipv6Addr, port| {
            IpAddr::from(address).to_canonical() == self.ip && self.ports.contains(&port)
        };
        serves(s.source, s.source_port)
            || serves(s.destination, s.destination_port)
            || [s.source_port, s.destination_port].iter().any(|port| dialled == Some(*port))
    }
}

/// Occurrences on connections that this run hasn't opened: another program of this machine talks to the device as well.
#[derive(Debug, Default)]
struct Others {
    /// A port of the host's that the device dials: connections to it are the device's own.
    dialled: Option<u16>,
    left_out: u64,
}

impl Others {
    /// Whether it is one of them; if so, it is counted.
    fn take(&mut self, book: &IntentBook, occurrence: &Occurrence) -> bool {
        let connection = &occurrence.connection;
        let port = connection.host.port();
        let is_others = self.dialled != Some(port) && book.look_up(port, connection.isn).is_none();
        self.left_out += u64::from(is_others);
        is_others
    }
}

/// RSTs of the device's, for a moment: the packets may be looked at before the workload has read the answer that came with
/// one and has noted what that answer makes of it.
#[derive(Debug, Default)]
struct Held(VecDeque<(i64, Occurrence)>);

impl Held {
    /// How long a workload may take, nanoseconds.
    const MOMENT: i64 = 1_000_000_000;
    const MOST: usize = 1_024;

    /// Keeps an occurrence that the workload may still explain; gives back what is to be classed now.
    fn keep(&mut self, now_ns: i64, o: Occurrence) -> Option<Occurrence> {
        use AnomalyId as A;
        let of_reset =
            matches!(o.id, A::AbortiveClose | A::RstAfterFin | A::LateRst | A::RstStorm | A::RstBadSeq);
        if o.shows != Shown::Unprompted || !of_reset {
            return Some(o);
        }
        self.0.push_back((now_ns, o));
        if self.0.len() > Self::MOST { self.0.pop_front().map(|(_, o)| o) } else { None }
    }

    /// The oldest that has been kept for a moment.
    fn due(&mut self, now_ns: i64) -> Option<Occurrence> {
        self.0.pop_front_if(|(since, _)| now_ns.saturating_sub(*since) >= Self::MOMENT).map(|(_, o)| o)
    }

    /// The oldest on that port of the host's.
    fn of(&mut self, port: u16) -> Option<Occurrence> {
        let nth = self.0.iter().position(|(_, o)| o.connection.host.port() == port)?;
        self.0.remove(nth).map(|(_, o)| o)
    }
}

impl Sight {
    /// Of the packets of a device; `workloads` are the names by their ids, `syn_deadline` is how long a SYN may go
    /// unanswered.
    #[must_use]
    pub fn new(
        endpoints: &Endpoints,
        syn_deadline: Duration,
        start_unix_ns: i64,
        workloads: Vec<String>,
        book: Arc<IntentBook>,
    ) -> Self {
        let ip = endpoints.http.ip();
        let ports = endpoints.tcp_ports().into_iter();
        let served: Vec<u16> = ports.collect();
        let ends: Vec<(IpAddr, Option<u16>)> = served.iter().map(|port| (ip, Some(*port))).collect();
        let observer = Observer::new(ObserverConfig {
            device: DeviceEnds::Known(ends),
            syn_deadline_ns: i64::try_from(syn_deadline.as_nanos()).unwrap_or(i64::MAX),
            ..ObserverConfig::default()
        });
        Self {
            observer,
            ledger: Ledger::new(start_unix_ns, workloads),
            book,
            so_far: Weather::default(),
            others: Others::default(),
            held: Held::default(),
            own_dials: None,
            served: Served { ip, ports: served },
            frames: 0,
        }
    }

    /// Every connection that the device opens to this host is to be followed: the frames are all of its TCP.
    #[must_use]
    pub(crate) fn with_own_dials(mut self) -> Self {
        self.own_dials = Some(OwnDials::new(self.served.ip, dials::is_own));
        self
    }

    /// Whether a frame is the device's, as far as this run is concerned: not what other programs of this host ask of it.
    pub(crate) fn is_wanted(&mut self, decoded: &Result<Segment, NotSegment>) -> bool {
        let (Some(own), Ok(s)) = (&mut self.own_dials, decoded) else { return true };
        self.served.has(s, self.others.dialled) || own.is_one(s)
    }

    /// The device dials this port of the host's as well.
    #[must_use]
    pub(crate) fn of_a_device_that_dials(mut self, port: Option<u16>) -> Self {
        if let Some(port) = port {
            self.observer.device_dials(port);
            self.others.dialled = Some(port);
        }
        self
    }

    /// Looks at one frame; `captured` may be cut to the headers.
    pub fn frame(
        &mut self,
        at_ns: i64,
        link: espstress_wire::Link,
        captured: &[u8],
        original_len: usize,
        around: &mut impl Surroundings,
    ) {
        self.decoded(at_ns, &espstress_wire::decode(link, captured, original_len), around);
    }

    /// The same for a frame that was taken apart already.
    pub(crate) fn decoded(
        &mut self,
        at_ns: i64,
        decoded: &Result<Segment, NotSegment>,
        around: &mut impl Surroundings,
    ) {
        self.frames += 1;
        let Self { observer, ledger, book, so_far, others, held, own_dials, served, frames } = self;
        while let Some(o) = held.due(at_ns) {
            class(ledger, book, so_far, at_ns, o, around);
        }
        if let (Some(own), Ok(s)) = (own_dials, decoded)
            && !served.has(s, others.dialled)
        {
            return own.take(at_ns, *frames, s, &mut |o| class(ledger, book, so_far, at_ns, o, around));
        }
        let hear = &mut |o| {
            if !others.take(book, &o)
                && let Some(o) = held.keep(at_ns, o)
            {
                class(ledger, book, so_far, at_ns, o, around);
            }
        };
        observer.decoded(at_ns, *frames, decoded, hear);
        match observer.take_turn() {
            Some(Turn::HostOpens { port, isn }) => {
                // Intentions are kept until the port is used twice more.
                while let Some(o) = held.of(port) {
                    class(ledger, book, so_far, at_ns, o, around);
                }
                book.opened(port, isn, at_ns);
            }
            Some(Turn::DeviceEnds(connection)) => {
                book.device_ends(connection.host.port(), connection.isn, at_ns);
            }
            None => {}
        }
    }

    /// The capture missed frames here.
    pub(crate) fn gap(&mut self) {
        self.observer.gap();
        self.own_dials.iter_mut().for_each(OwnDials::gap);
    }

    /// Every frame up to this moment has been looked at.
    pub fn advance(&mut self, until_ns: i64, around: &mut impl Surroundings) {
        let Self { observer, ledger, book, so_far, others, held, own_dials, .. } = self;
        so_far.windows.clear();
        so_far.windows.push(observer.path());
        while let Some(o) = held.due(until_ns) {
            class(ledger, book, so_far, until_ns, o, around);
        }
        if let Some(own) = own_dials {
            own.advance(until_ns, &mut |o| class(ledger, book, so_far, until_ns, o, around));
        }
        observer.advance(until_ns, &mut |o| {
            if !others.take(book, &o)
                && let Some(o) = held.keep(until_ns, o)
            {
                class(ledger, book, so_far, until_ns, o, around);
            }
        });
    }

    /// Whether every connection that may still say something has said it.
    #[must_use]
    pub fn is_settled(&self, now_ns: i64) -> bool {
        self.observer.settled(now_ns, |connection| {
            let entry = self.book.look_up(connection.host.port(), connection.isn);
            entry.is_some_and(|e| !matches!(e.intent, Intent::Vanished | Intent::Silenced))
        })
    }

    /// What was seen, of a watch that ended then and missed nothing.
    pub fn finish(self, end_ns: i64, around: &mut impl Surroundings) -> Watched {
        let Self { observer, mut ledger, book, so_far, mut others, held, own_dials, frames: packets, .. } =
            self;
        for (_, o) in held.0 {
            class(&mut ledger, &book, &so_far, end_ns, o, around);
        }
        let own_dials = own_dials
            .map(|own| own.finish(end_ns, &mut |o| class(&mut ledger, &book, &so_far, end_ns, o, around)));
        let class = &mut |o| {
            if !others.take(&book, &o) {
                class(&mut ledger, &book, &so_far, end_ns, o, around);
            }
        };
        let summary = observer.finish(end_ns, class);
        let seen = Seen {
            packets,
            dropped: 0,
            failure: None,
            pcap_failure: None,
            anomalies: Vec::new(),
            resets: ledger.reset_causes(),
            unserved: ledger.unserved(),
            lingers: BTreeMap::new(),
            untold: 0,
            of_others: others.left_out,
            own_dials: own_dials.unwrap_or_default(),
            summary,
        };
        Watched { seen, ledger }
    }
}

fn class(
    ledger: &mut Ledger,
    book: &IntentBook,
    so_far: &Weather,
    at_ns: i64,
    occurrence: Occurrence,
    around: &mut impl Surroundings,
) {
    if occurrence.shows == Shown::Unprompted
        && let Some(spells) = around.link_news()
    {
        book.link_says(spells);
    }
    let classed = ledger.take(&occurrence, Intentions::Of(book), so_far);
    around.heard(at_ns, occurrence, classed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lone;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_reset_is_classed_by_what_the_workload_notes_within_a_moment_of_it() {
        let mut held = Held::default();
        let of = |id, shows| lone::lone(id, shows, 0);
        assert!(held.keep(0, of(AnomalyId::AbortiveClose, Shown::OnTheWay)).is_some());
        assert!(held.keep(0, of(AnomalyId::ClosedUnserved, Shown::Unprompted)).is_some());
        assert!(held.keep(0, of(AnomalyId::AbortiveClose, Shown::Unprompted)).is_none());
        assert!(held.keep(5, of(AnomalyId::RstAfterFin, Shown::Unprompted)).is_none());
        assert!(held.due(SECOND - 1).is_none());
        assert_eq!(held.due(SECOND).map(|o| o.id), Some(AnomalyId::AbortiveClose));
        // Its port is used again.
        assert!(held.of(40_001).is_none());
        assert_eq!(held.of(40_000).map(|o| o.id), Some(AnomalyId::RstAfterFin));
        assert!(held.due(i64::MAX).is_none());
    }

    #[test]
    fn no_more_resets_are_kept_than_there_is_room_for() {
        let mut held = Held::default();
        let keep = |_| held.keep(0, lone::lone(AnomalyId::RstStorm, Shown::Unprompted, 0)).is_some();
        assert_eq!((0..Held::MOST + 3).map(keep).filter(|given_back| *given_back).count(), 3);
    }
}
