//! Anomalies in a capture file: the live rules over packets from a file, with no intentions known.
//!
//! Duty: bring a file's packets to the observer and count what it says. It sends nothing, and does not
//! decide what the anomalies mean; the formats are `observe::file`'s.
//!
//! A file that ends in the middle of a packet, or is damaged, is analysed up to there, and
//! [`Analysis::end`] says so. Where the file admits that packets are missing, the rules that this could fool
//! are not judged for the connections that were open then.

use std::path::Path;
use std::time::Duration;

use crate::clock::nanos;
use crate::diagnose::{AnomalyRow, Intentions, Ledger, ResetCauses};
use crate::event::Occurrence;
use crate::observe::file::{End, OpenError, Reader};
use crate::observe::{DeviceEnds, Link, Observer, ObserverConfig, WireSummary};

/// What an analysis is to know beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnalyzeConfig {
    /// Which end of a connection is the device; guessed from who was connected to where it is not given.
    pub device: DeviceEnds,
    /// How long a SYN may go unanswered.
    pub connect_timeout: Duration,
}

impl Default for AnalyzeConfig {
    fn default() -> Self {
        Self { device: DeviceEnds::Guessed, connect_timeout: Duration::from_secs(5) }
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
    /// Connections of the device.
    pub connections: u64,
    /// Time of the first packet, nanoseconds since the Unix epoch; 0 where there is none.
    pub start_ns: i64,
    /// From the first packet to the last, nanoseconds.
    pub duration_ns: u64,
    /// A row for each anomaly and class; times count from `start_ns`.
    pub anomalies: Vec<AnomalyRow>,
    /// What the device's own RSTs answered.
    pub resets: ResetCauses,
    /// Figures of the whole, with the rules that could not be judged.
    pub wire: WireSummary,
    /// Packets that the file itself says were not captured; `None` where its format does not say.
    pub dropped: Option<u64>,
    /// How the file ended.
    pub end: End,
}

impl Analysis {
    /// Whether the absence of an anomaly means anything: the file was read to its end, admits no drops, and
    /// every packet could be looked at.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.end.is_complete()
            && self.dropped.unwrap_or(0) == 0
            && self.wire.gaps == 0
            && self.wire.damaged == 0
            && self.wire.evicted_live == 0
            && self.unknown_link == 0
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
        ..ObserverConfig::default()
    });
    let mut ledger: Option<Ledger> = None;
    let (mut start_ns, mut last_ns) = (0, 0);
    let (mut unknown_link, mut unknown_link_type) = (0, None);
    while let Some(record) = reader.next_record() {
        let ledger = ledger.get_or_insert_with(|| {
            start_ns = record.at_ns;
            Ledger::new(start_ns, Vec::new())
        });
        last_ns = record.at_ns.max(last_ns);
        if record.dropped_before > 0 {
            observer.gap();
        }
        let (link, bytes) = match Link::from_link_type(record.link.into()) {
            Some(link) => (link, record.bytes),
            None => {
                unknown_link += 1;
                unknown_link_type = Some(record.link);
                // Nothing to look at, but the observer's numbers stay the file's.
                (Link::Raw, &[][..])
            }
        };
        observer.frame(record.at_ns, link, bytes, record.original_len as usize, &mut |occurrence| {
            ledger.take(&occurrence, Intentions::Unknown);
            each(record.number, &occurrence);
        });
    }
    let packets = reader.packets();
    let mut ledger = ledger.unwrap_or_else(|| Ledger::new(start_ns, Vec::new()));
    let wire = observer.finish(last_ns, &mut |occurrence| {
        ledger.take(&occurrence, Intentions::Unknown);
        each(packets, &occurrence);
    });
    Analysis {
        packets,
        unknown_link,
        unknown_link_type,
        connections: wire.connections,
        start_ns,
        duration_ns: last_ns.saturating_sub(start_ns).max(0) as u64,
        anomalies: ledger.rows(),
        resets: ledger.reset_causes(),
        wire,
        dropped: reader.dropped(),
        end: reader.into_end().unwrap_or(End::Complete),
    }
}

#[cfg(test)]
mod tests;
