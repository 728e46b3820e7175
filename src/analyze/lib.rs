//! Anomalies in a capture file: the live rules over packets from a file, with no intentions known.
//!
//! Duty: bring a file's packets to the observer and count what it says. It sends nothing, and does not
//! decide what the anomalies mean; the formats are `observe::file`'s.
//!
//! A file that ends in the middle of a packet, or is damaged, is analysed up to there, and
//! [`Analysis::end`] says so. Where the file admits that packets are missing, the rules that this could fool
//! are not judged for the connections that were open then.
//!
//! What a capture may do to its packets is undone first: `clock` makes time run forwards, `copies` leaves out
//! packets that were captured more than once.

mod clock;
mod closed;
mod copies;
mod order;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use espstress_air::{Listener, Packet};
use espstress_clock::nanos;
use espstress_diagnose::{Absent, Anomalies, AnomalyRow, Intentions, Ledger, Weather};
use espstress_event::{Air, AnomalyClass, MacAddress, NotJudged, Occurrence};
use espstress_observe::file::{End, OpenError, Reader};
use espstress_observe::{DeviceEnds, Link, Observer, ObserverConfig, Source, WireSummary};
use espstress_wire::{Aggregate, NotSegment, Segment, Unread, decode};

use clock::Clock;
pub(crate) use clock::ClockStep;
use closed::Ports;
use copies::{Copies, Frame};
use order::Order;

/// What an analysis is to know beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnalyzeConfig {
    /// Which end of a connection is the device; guessed from who was connected to where it is not given.
    pub device: DeviceEnds,
    /// How long a SYN may go unanswered.
    pub connect_timeout: Duration,
    /// The station to describe, in a capture of the air.
    pub station: Option<MacAddress>,
}

impl Default for AnalyzeConfig {
    fn default() -> Self {
        Self { device: DeviceEnds::Guessed, connect_timeout: Duration::from_secs(5), station: None }
    }
}

/// Why there is no analysis.
#[derive(Debug, thiserror::Error)]
pub enum AnalyzeError {
    /// The file gives no packets.
    #[error("{path}: {source}")]
    Open {
        /// The file, as it was named.
        path: String,
        /// What is wrong with it.
        source: OpenError,
    },
}

/// What a capture file shows.
#[derive(Debug)]
pub struct Analysis {
    /// Packets in the file, of whatever kind.
    pub packets: u64,
    /// Packets that were not looked at because their link layer is not known here.
    pub unknown_link: u64,
    /// One LINKTYPE number of those.
    pub unknown_link_type: Option<u16>,
    /// Packets that the capture held more than once, and that were looked at once.
    pub copies: u64,
    /// What was heard on the air; `None` where no frame is 802.11's.
    pub air: Option<Air>,
    /// Where the capture's clock was first set back, and how often it was.
    pub clock_steps: Option<(ClockStep, u64)>,
    /// Packets that the file has after younger ones; they were looked at in the order of their times.
    pub out_of_order: u64,
    /// Connections of the device.
    pub connections: u64,
    /// Connections that were refused by ports of the device where nothing listens, while it accepted others: no anomaly.
    pub closed_ports: BTreeMap<SocketAddr, u64>,
    /// From the first packet to the last, nanoseconds.
    pub duration_ns: u64,
    /// A row for each anomaly and class; times count from the first packet.
    pub anomalies: Vec<AnomalyRow>,
    /// Figures of the whole, with the rules that could not be judged.
    pub wire: WireSummary,
    /// Packets that the file itself says were not captured; `None` where its format does not say.
    pub dropped: Option<u64>,
    /// How the file ended.
    pub end: End,
}

impl Analysis {
    /// Whether the absence of an anomaly means anything: there was something to look at, the file was read to its end,
    /// no packet is known to be missing, and every one could be looked at.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.saw_anything()
            && self.end.is_complete()
            && self.dropped.unwrap_or(0) == 0
            && self.wire.gaps == 0
            && self.wire.damaged == 0
            && self.wire.unread == 0
            && self.wire.incomplete == 0
            && self.wire.fragments_missing == 0
            && self.wire.evicted_live == 0
            && self.unknown_link == 0
    }

    /// Whether there was a connection of the device. Its RSTs alone show none.
    #[must_use]
    pub const fn saw_anything(&self) -> bool {
        self.wire.connections > 0
    }
}

/// Analyses a capture file; `-` is standard input.
///
/// # Errors
///
/// When it cannot be opened or is no capture file. A file that goes bad later is no error: see
/// [`Analysis::end`].
pub fn analyze(path: &Path, config: &AnalyzeConfig) -> Result<Analysis, AnalyzeError> {
    analyze_with(path, config, |_, _| {})
}

/// The same, and tells each occurrence with the number of the packet at which it was found (the last one's
/// for those that only the end of the file decides).
///
/// # Errors
///
/// As [`analyze`].
pub fn analyze_with(
    path: &Path,
    config: &AnalyzeConfig,
    each: impl FnMut(u64, &Occurrence),
) -> Result<Analysis, AnalyzeError> {
    let reader = Reader::open(path)
        .map_err(|source| AnalyzeError::Open { path: path.display().to_string(), source })?;
    Ok(analyze_records(reader, config, each))
}

/// The same for a reader that is open.
pub fn analyze_records(
    mut reader: Reader,
    config: &AnalyzeConfig,
    mut each: impl FnMut(u64, &Occurrence),
) -> Analysis {
    let mut observer = Observer::new(ObserverConfig {
        device: config.device.clone(),
        syn_deadline_ns: i64::try_from(nanos(config.connect_timeout)).unwrap_or(i64::MAX),
        source: Source::File,
        ..ObserverConfig::default()
    });
    let mut ledger: Option<Ledger> = None;
    let mut clock = Clock::default();
    let mut copies = Copies::new();
    let mut order = Order::default();
    let mut start_ns = 0;
    let (mut unknown_link, mut unknown_link_type) = (0, None);
    let mut air: Option<Listener> = None;
    let mut ports = Ports::default();
    let mut look = |frame: &Frame, ledger: &mut Ledger, observer: &mut Observer| {
        if frame.gap {
            observer.gap();
        }
        if let Ok(segment) = &frame.decoded {
            ports.see(segment);
        }
        observer.decoded(frame.at_ns, frame.number, &frame.decoded, &mut |occurrence| {
            each(frame.number, &occurrence);
            if let Some(occurrence) = ports.keep(occurrence) {
                ledger.take(&occurrence, Intentions::Unknown, &Weather::default());
            }
        });
    };
    while let Some(record) = reader.next_record() {
        let at_ns = clock.at(record.at_ns, record.number);
        let ledger = ledger.get_or_insert_with(|| {
            start_ns = at_ns;
            Ledger::new(start_ns, Vec::new())
        });
        let link = Link::from_link_type(record.link.into());
        if let Some(link) = link.filter(|link| link.is_air()) {
            let listener = air.get_or_insert_with(|| Listener::new(Some(start_ns), config.station));
            let packet = Packet { number: record.number, at_ns };
            listener.hear(packet, link, record.bytes, record.original_len as usize);
        }
        let decoded = match link {
            Some(link) => decode(link, record.bytes, record.original_len as usize),
            None => {
                unknown_link += 1;
                unknown_link_type = Some(record.link);
                // Nothing to look at, but the observer's numbers stay the file's.
                Err(NotSegment::Other)
            }
        };
        let frame = Frame { at_ns, number: record.number, gap: record.dropped_before > 0, decoded };
        let aggregate = link
            .filter(|_| decoded == Err(NotSegment::Unread(Unread::Aggregated)))
            .and_then(|link| Aggregate::new(link, record.bytes));
        let Some(aggregate) = aggregate else {
            order.take(frame, |f| copies.take(f, |f| look(f, ledger, &mut observer)));
            continue;
        };
        let heard_again = aggregate.heard_again();
        for (packet, length) in aggregate {
            let decoded = decode(Link::Llc, packet, length).map(|segment| Segment { heard_again, ..segment });
            let frame = Frame { decoded, ..frame };
            order.take(frame, |f| copies.take(f, |f| look(f, ledger, &mut observer)));
        }
    }
    let packets = reader.packets();
    let mut ledger = ledger.unwrap_or_else(|| Ledger::new(start_ns, Vec::new()));
    order.release(|f| copies.take(f, |f| look(f, &mut ledger, &mut observer)));
    copies.release(&mut |frame| look(frame, &mut ledger, &mut observer));
    let mut wire = observer.finish(clock.last(), &mut |occurrence| {
        each(packets, &occurrence);
        if let Some(occurrence) = ports.keep(occurrence) {
            ledger.take(&occurrence, Intentions::Unknown, &Weather::default());
        }
    });
    let (closed_ports, refused) = ports.finish();
    for occurrence in &refused {
        ledger.take(occurrence, Intentions::Unknown, &Weather::default());
    }
    let quiet = wire.quiet.iter().map(|q| Absent { from_ns: q.from_ns, to_ns: q.to_ns }).collect();
    let (windows, held) = (wire.windows.clone(), wire.held.clone());
    let weather = Weather { windows, quiet, held, ..Weather::default() };
    let Anomalies { rows: mut anomalies, mut not_judged } = ledger.anomalies(&weather);
    if wire.device_packets == 0 && wire.host_half_only > 0 {
        // Whatever seems to have stayed unanswered may have been answered.
        for row in anomalies.extract_if(.., |row| row.class == AnomalyClass::Device) {
            let reason = "the capture has none of the device's packets".to_owned();
            wire.not_judged.push(NotJudged { id: row.id, reason, connections: row.connections });
        }
        for silence in &mut not_judged {
            silence.reason = "the capture has none of the device's packets".to_owned();
        }
    }
    wire.not_judged.extend(not_judged);
    Analysis {
        packets,
        unknown_link,
        unknown_link_type,
        copies: copies.dropped(),
        air: air.map(|listener| listener.finish(config.station)),
        clock_steps: clock.steps(),
        out_of_order: order.late(),
        connections: wire.connections,
        closed_ports,
        duration_ns: clock.last().saturating_sub(start_ns).max(0) as u64,
        anomalies,
        wire,
        dropped: reader.dropped(),
        end: reader.into_end().unwrap_or(End::Complete),
    }
}

#[cfg(test)]
mod tests;
