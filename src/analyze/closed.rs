//! Ports of the device where nothing listens: a RST is the answer that TCP has for a SYN to one (RFC 9293, 3.10.7.1), and
//! no anomaly. Clients try such ports, as browsers do with 443 first.
//!
//! A port is one of them if the capture shows no connection to it that the device accepted, and it accepted some on another.
//! Until the end of the capture, what was refused is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use espstress_event::{AnomalyId, Occurrence};
use espstress_wire::{Flags, Segment};

/// Occurrences that are kept; more of them are counted as they come.
const MOST: usize = 16_384;

/// Ends that are remembered.
const ENDS: usize = 1_024;

/// What is known of the ports.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    /// Ends that sent a SYN-ACK.
    accept: BTreeSet<SocketAddr>,
    refused: BTreeMap<SocketAddr, Vec<Occurrence>>,
    kept: usize,
}

impl Ports {
    /// Sees a segment.
    pub(crate) fn see(&mut self, segment: &Segment) {
        if segment.flags.has(Flags::SYN) && segment.flags.has(Flags::ACK) && self.accept.len() < ENDS {
            let source = SocketAddr::new(segment.source.to_canonical(), segment.source_port);
            self.accept.insert(source);
        }
    }

    /// Keeps an occurrence that may be a closed port's; gives back any other.
    pub(crate) fn keep(&mut self, occurrence: Occurrence) -> Option<Occurrence> {
        let device = occurrence.connection.device;
        if occurrence.id != AnomalyId::SynRefused || self.accept.contains(&device) || self.kept >= MOST {
            return Some(occurrence);
        }
        self.kept += 1;
        self.refused.entry(device).or_default().push(occurrence);
        None
    }

    /// At the end: how many connections each closed port refused, and what was kept of others.
    pub(crate) fn finish(self) -> (BTreeMap<SocketAddr, u64>, Vec<Occurrence>) {
        let Self { accept, refused, .. } = self;
        let elsewhere = |device: &SocketAddr| accept.iter().any(|end| end.ip() == device.ip());
        let (mut closed, mut others) = (BTreeMap::new(), Vec::new());
        for (device, occurrences) in refused {
            if accept.contains(&device) || !elsewhere(&device) {
                others.extend(occurrences);
            } else {
                closed.insert(device, occurrences.len() as u64);
            }
        }
        others.sort_by_key(|occurrence| occurrence.at_ns);
        (closed, others)
    }
}
