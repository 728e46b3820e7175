//! Packets on their way to what a run is judged by: followed, ruled on, and classed by what was intended.
//!
//! Time is an argument: a live run hands in what the capture gives, a laboratory what its own clock says.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::plan::Seen;
use super::weigh::Watched;
use espstress_diagnose::{Classed, Intentions, Ledger, Weather};
use espstress_event::{AwaySpell, Endpoints, Intent, IntentBook, Occurrence, Shown};
use espstress_observe::{DeviceEnds, Observer, ObserverConfig, Turn};

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
        let ends: Vec<(IpAddr, Option<u16>)> = ports.map(|port| (ip, Some(port))).collect();
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
        }
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
        let Self { observer, ledger, book, so_far, others } = self;
        let class = &mut |o| {
            if !others.take(book, &o) {
                class(ledger, book, so_far, at_ns, o, around);
            }
        };
        observer.frame(at_ns, link, captured, original_len, class);
        match observer.take_turn() {
            Some(Turn::HostOpens { port, isn }) => book.opened(port, isn, at_ns),
            Some(Turn::DeviceEnds(connection)) => {
                book.device_ends(connection.host.port(), connection.isn, at_ns);
            }
            None => {}
        }
    }

    /// The capture missed frames here.
    pub(crate) fn gap(&mut self) {
        self.observer.gap();
    }

    /// Every frame up to this moment has been looked at.
    pub fn advance(&mut self, until_ns: i64, around: &mut impl Surroundings) {
        let Self { observer, ledger, book, so_far, others } = self;
        so_far.windows.clear();
        so_far.windows.push(observer.path());
        observer.advance(until_ns, &mut |o| {
            if !others.take(book, &o) {
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
        let Self { observer, mut ledger, book, so_far, mut others } = self;
        let packets = observer.packets();
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
