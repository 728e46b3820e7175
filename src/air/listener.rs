//! Frames in, description out.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;

use espstress_event::{Air, AirChannel, AirDeed, AirNetwork, AirOther, AirSide, Chosen, MacAddress};
use espstress_wire::{FrameKind, Link, MacFrame, Radio};

use super::body::{self, Authentication, Beacon};
use super::counter::Counter;
use super::network::Network;
use super::once::{Heard, Once};
use super::station::{Leave, Station, Traffic};

/// Stations that are kept.
const STATIONS: usize = 256;
/// Access points that are kept.
const NETWORKS: usize = 128;
/// Channels that are kept; there are fewer.
const CHANNELS: usize = 64;
/// Other stations that are named.
const OTHERS: usize = 10;

// Subtypes (IEEE 802.11-2020, table 9-1).
const ASSOCIATION_REQUEST: u8 = 0;
const ASSOCIATION_RESPONSE: u8 = 1;
const REASSOCIATION_REQUEST: u8 = 2;
const REASSOCIATION_RESPONSE: u8 = 3;
const BEACON: u8 = 8;
const DISASSOCIATION: u8 = 10;
const AUTHENTICATION: u8 = 11;
const DEAUTHENTICATION: u8 = 12;
const ACTION: u8 = 13;
const PS_POLL: u8 = 10;
/// Null frames whose sequence number is anything.
const QOS_NULL: u8 = 12;

/// A packet of the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its number in the capture.
    pub number: u64,
    /// When it was captured, nanoseconds since the Unix epoch.
    pub at_ns: i64,
}

/// What of a frame is looked at besides its header.
#[derive(Clone, Copy)]
struct Note {
    packet: Packet,
    signal: Option<i8>,
    rate: Option<u32>,
}

/// Follows the stations and access points of a capture.
///
/// Call [`hear`](Self::hear) for each frame, then [`finish`](Self::finish).
#[derive(Debug)]
pub struct Listener {
    start_ns: Option<i64>,
    end_ns: i64,
    named: Option<MacAddress>,
    once: Once,
    stations: HashMap<MacAddress, Station, RandomState>,
    networks: HashMap<MacAddress, Network, RandomState>,
    channels: BTreeMap<u16, u64>,
    told: Air,
}

impl Listener {
    /// Times count from `start_ns`, nanoseconds since the Unix epoch, or from the first frame. A `named` station is kept
    /// whatever else there is.
    #[must_use]
    pub fn new(start_ns: Option<i64>, named: Option<MacAddress>) -> Self {
        Self {
            start_ns,
            end_ns: start_ns.unwrap_or(i64::MIN),
            named,
            once: Once::new(),
            stations: HashMap::default(),
            networks: HashMap::default(),
            channels: BTreeMap::new(),
            told: Air::default(),
        }
    }

    /// A captured frame, which may be cut; `original_len` is its length on the air.
    pub fn hear(&mut self, packet: Packet, link: Link, captured: &[u8], original_len: usize) {
        self.start_ns.get_or_insert(packet.at_ns);
        self.end_ns = self.end_ns.max(packet.at_ns);
        let Some(radio) = Radio::new(link, captured) else {
            self.told.not_read += 1;
            return;
        };
        if radio.bad {
            self.told.damaged += 1;
            return;
        }
        let whole = captured.len() >= original_len;
        let end = captured.len().saturating_sub(if radio.check_sequence && whole { 4 } else { 0 });
        let bytes = captured.get(radio.start..end).unwrap_or_default();
        let Some(frame) = MacFrame::new(bytes, radio.padded) else {
            self.told.not_read += 1;
            return;
        };
        // Acknowledgements and the like say nothing of their sender.
        if matches!(frame.kind(), FrameKind::Control(subtype) if subtype != PS_POLL) {
            return;
        }
        let note = Note { packet, signal: radio.signal_dbm, rate: radio.rate_100kbps };
        match self.once.hear(&identity(&frame), frame.sequence().is_some(), frame.is_retry(), packet.at_ns) {
            Heard::First => {}
            Heard::Again { first_retry } => {
                self.told.heard_again += 1;
                if first_retry && frame.has_data() {
                    self.retried(&frame);
                }
                return;
            }
        }
        self.told.frames += 1;
        if let Some(mhz) = radio.frequency_mhz
            && (self.channels.len() < CHANNELS || self.channels.contains_key(&mhz))
        {
            *self.channels.entry(mhz).or_default() += 1;
        }
        match frame.kind() {
            FrameKind::Management(subtype) => self.management(subtype, &frame, note),
            FrameKind::Control(_) => self.poll(&frame, note),
            FrameKind::Data(subtype) => self.data(subtype, &frame, note),
        }
    }

    /// A repetition of a data frame whose first copy did not look like one.
    fn retried(&mut self, frame: &MacFrame<'_>) {
        let Some((station, _, by)) = ends(frame) else { return };
        if let Some(station) = self.stations.get_mut(&station) {
            direction(station, by).retried += 1;
        }
    }

    fn station(&mut self, address: MacAddress) -> Option<&mut Station> {
        if address.is_group() {
            return None;
        }
        if self.stations.len() >= STATIONS && !self.stations.contains_key(&address) {
            self.told.beyond += 1;
            let named = self.named;
            let least = self
                .stations
                .iter()
                .filter(|(other, _)| Some(**other) != named)
                .min_by_key(|(other, station)| (other.is_espressif(), station.frames_sent(), **other))
                .map(|(other, _)| *other)?;
            self.stations.remove(&least);
        }
        Some(self.stations.entry(address).or_default())
    }

    fn network(&mut self, address: MacAddress) -> &mut Network {
        if self.networks.len() >= NETWORKS && !self.networks.contains_key(&address) {
            self.told.beyond += 1;
            let least = self.networks.iter().min_by_key(|(other, network)| (network.frames, **other));
            if let Some(least) = least.map(|(other, _)| *other) {
                self.networks.remove(&least);
            }
        }
        self.networks.entry(address).or_default()
    }

    fn seconds(&self) -> impl Fn(i64) -> f64 + use<> {
        let start_ns = self.start_ns.unwrap_or(0);
        move |at_ns: i64| at_ns.saturating_sub(start_ns) as f64 / 1e9
    }

    /// Counts a frame of the two, and follows its number; whether an access point's does not follow.
    fn follow(&mut self, ends: Ends, frame: &MacFrame<'_>, note: Note) -> bool {
        let (station, network, by) = ends;
        let sequence = frame.sequence().unwrap_or(0) >> 4;
        let traffic = frame.traffic().map(|traffic| usize::from(traffic % 8));
        let mut odd = false;
        if by == AirSide::AccessPoint {
            let network = self.network(network);
            network.frames += 1;
            network.signal.add(note.signal);
            if traffic.is_none() {
                odd = network.numbered(sequence);
            }
        }
        if let Some(station) = self.station(station) {
            let way = direction(station, by);
            way.add(frame.has_data(), frame.is_retry(), note.signal, note.rate);
            match traffic {
                Some(_) if frame.kind() == FrameKind::Data(QOS_NULL) => {}
                Some(traffic) => {
                    way.by_traffic[traffic].follow(sequence);
                }
                None if by == AirSide::Station => {
                    station.numbers.follow(sequence);
                }
                None => {}
            }
        }
        odd
    }

    fn management(&mut self, subtype: u8, frame: &MacFrame<'_>, note: Note) {
        let seconds = self.seconds();
        let packet = note.packet;
        if subtype == BEACON {
            self.beacon(frame, note);
            return;
        }
        let of_a_station = matches!(
            subtype,
            ASSOCIATION_REQUEST..=REASSOCIATION_RESPONSE | DISASSOCIATION..=ACTION
        );
        if !of_a_station {
            return;
        }
        let Some(ends) = ends(frame) else { return };
        let (address, network, by) = ends;
        let odd = self.follow(ends, frame, note);
        let body = if frame.is_encrypted() { &[][..] } else { frame.body() };
        if matches!(subtype, DISASSOCIATION | DEAUTHENTICATION) {
            let reason = body::reason(body);
            let deauthentication = subtype == DEAUTHENTICATION;
            let how = Leave { by, deauthentication, reason, out_of_sequence: odd };
            if address.is_group() {
                let theirs = |station: &&mut Station| station.network == Some(network);
                for station in self.stations.values_mut().filter(theirs) {
                    station.departs(packet, network, &how, &seconds);
                }
            } else if let Some(station) = self.stations.get_mut(&address) {
                station.departs(packet, network, &how, seconds);
            }
            return;
        }
        if subtype == ACTION {
            if by == AirSide::AccessPoint
                && let Some(deed) = self.network(network).switch(body::announced_switch(body))
            {
                self.tell_stations(packet, network, &deed);
            }
            return;
        }
        let Some(station) = self.stations.get_mut(&address) else { return };
        match (subtype, by) {
            (AUTHENTICATION, AirSide::AccessPoint) => match Authentication::new(body) {
                Some(Authentication::Done) => station.authenticated(packet, network, seconds),
                Some(Authentication::Refused(status)) => {
                    station.refused(packet, network, false, status, seconds);
                }
                None => {}
            },
            (ASSOCIATION_REQUEST | REASSOCIATION_REQUEST, AirSide::Station) => {
                station.asks_to_associate(body::listen_interval(body));
            }
            (ASSOCIATION_RESPONSE | REASSOCIATION_RESPONSE, AirSide::AccessPoint) => {
                match body::association(body) {
                    Some(Ok(number)) => station.associated(packet, network, number, seconds),
                    Some(Err(status)) => station.refused(packet, network, true, status, seconds),
                    None => {}
                }
            }
            _ => {}
        }
    }

    fn tell_stations(&mut self, packet: Packet, network: MacAddress, deed: &AirDeed) {
        let seconds = self.seconds();
        let theirs = |station: &&mut Station| station.network == Some(network);
        for station in self.stations.values_mut().filter(theirs) {
            station.network_deed(packet, network, deed.clone(), &seconds);
        }
    }

    fn beacon(&mut self, frame: &MacFrame<'_>, note: Note) {
        let Some(beacon) = Beacon::new(frame.body()) else {
            self.told.not_read += 1;
            return;
        };
        let address = MacAddress(frame.third());
        let network = self.network(address);
        network.frames += 1;
        network.signal.add(note.signal);
        let deeds = network.beacon(&beacon, frame.sequence().unwrap_or(0) >> 4);
        let every_ns = network.every_ns();
        for deed in deeds {
            self.tell_stations(note.packet, address, &deed);
        }
        let Some(map) = beacon.map else { return };
        for station in self.stations.values_mut().filter(|station| station.network == Some(address)) {
            if let Some(association) = station.association {
                station.waits.beacon(note.packet, map.announces(association), every_ns);
            }
        }
    }

    fn poll(&mut self, frame: &MacFrame<'_>, note: Note) {
        let (Some(transmitter), network) = (frame.transmitter(), MacAddress(frame.receiver())) else {
            return;
        };
        let seconds = self.seconds();
        if let Some(station) = self.station(MacAddress(transmitter)) {
            station.exchanges(note.packet, network, AirSide::Station, seconds);
            station.says(note.packet.at_ns, true);
            station.poll(body::association_id(frame.duration()));
        }
    }

    fn data(&mut self, subtype: u8, frame: &MacFrame<'_>, note: Note) {
        if frame.has_data() {
            let count = if frame.is_encrypted() { &mut self.told.encrypted } else { &mut self.told.open };
            *count += 1;
        }
        let Some(ends) = ends(frame) else { return };
        self.follow(ends, frame, note);
        let seconds = self.seconds();
        let (address, network, by) = ends;
        let Some(station) = self.stations.get_mut(&address) else { return };
        station.exchanges(note.packet, network, by, seconds);
        match by {
            AirSide::Station => {
                station.says(note.packet.at_ns, frame.sleeps());
                if subtype & 7 == 4 {
                    station.null_frame();
                }
            }
            AirSide::AccessPoint if frame.has_data() => station.waits.delivered(note.packet),
            AirSide::AccessPoint => {}
        }
    }

    /// Stations and networks that are kept.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> (usize, usize) {
        (self.stations.len(), self.networks.len())
    }

    /// Up to when something was heard, nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn end_ns(&self) -> i64 {
        self.end_ns
    }

    /// Describes the station that is named, else the one of Espressif's that talks most, else the one that talks most.
    #[must_use]
    pub fn finish(mut self, named: Option<MacAddress>) -> Air {
        let seconds = self.seconds();
        let named = named.or(self.named);
        let mut by_talk: Vec<(u64, MacAddress)> =
            self.stations.iter().map(|(address, station)| (station.frames_sent(), *address)).collect();
        by_talk.sort_unstable_by_key(|(frames, address)| (std::cmp::Reverse(*frames), *address));
        let talks = || by_talk.iter().filter(|(frames, _)| *frames > 0).map(|(_, address)| *address);
        let chosen = match named {
            Some(address) => Some((address, Chosen::Named)),
            None => talks()
                .find(|address| address.is_espressif())
                .map(|address| (address, Chosen::Espressif))
                .or_else(|| talks().next().map(|address| (address, Chosen::TalksMost))),
        };
        let other = |(frames, address): &(u64, MacAddress)| AirOther {
            address: *address,
            espressif: address.is_espressif(),
            frames: *frames,
        };
        let not_chosen = |(_, address): &&(u64, MacAddress)| chosen.is_none_or(|(it, _)| it != *address);
        self.told.other_stations = by_talk
            .iter()
            .filter(|(frames, _)| *frames > 0)
            .filter(not_chosen)
            .take(OTHERS)
            .map(other)
            .collect();
        if let Some((address, why)) = chosen
            && let Some(station) = self.stations.get(&address)
        {
            let network = |of: &MacAddress| self.networks.get(of).map(|network| network.figures(*of));
            let common = station.networks.last().and_then(|last| self.networks.get(last));
            let common = common.map_or_else(Counter::default, |network| network.numbers);
            self.told.station = Some(station.figures(address, why, common, self.end_ns, seconds));
            self.told.networks = station.networks.iter().filter_map(network).collect::<Vec<AirNetwork>>();
        }
        self.told.channels = self
            .channels
            .iter()
            .map(|(mhz, frames)| AirChannel { frequency_mhz: *mhz, frames: *frames })
            .collect();
        self.told
    }
}

/// Station, access point, and who of them sent a frame.
type Ends = (MacAddress, MacAddress, AirSide);

fn direction(station: &mut Station, by: AirSide) -> &mut Traffic {
    match by {
        AirSide::Station => &mut station.sent,
        AirSide::AccessPoint => &mut station.received,
    }
}

/// `None` for frames among stations, or among access points.
fn ends(frame: &MacFrame<'_>) -> Option<Ends> {
    let (receiver, transmitter) = (MacAddress(frame.receiver()), MacAddress(frame.transmitter()?));
    let to_station = match frame.kind() {
        FrameKind::Management(_) => transmitter.0 == frame.third(),
        _ if frame.is_from_access_point() => true,
        _ if frame.is_to_access_point() => false,
        _ => return None,
    };
    let ends = if to_station {
        (receiver, transmitter, AirSide::AccessPoint)
    } else {
        (transmitter, receiver, AirSide::Station)
    };
    (!transmitter.is_group()).then_some(ends)
}

/// What a frame keeps when it is sent again: kind, addresses, sequence number, and the clock of a beacon, which some
/// access points don't count.
fn identity(frame: &MacFrame<'_>) -> [u8; 32] {
    let mut identity = [0; 32];
    let (kind, subtype) = match frame.kind() {
        FrameKind::Management(subtype) => (0, subtype),
        FrameKind::Control(subtype) => (1, subtype),
        FrameKind::Data(subtype) => (2, subtype),
    };
    identity[..2].copy_from_slice(&[kind, subtype]);
    identity[2..8].copy_from_slice(&frame.receiver());
    identity[8..14].copy_from_slice(&frame.transmitter().unwrap_or_default());
    if let Some(sequence) = frame.sequence() {
        identity[14..16].copy_from_slice(&sequence.to_le_bytes());
        identity[16..22].copy_from_slice(&frame.third());
    }
    identity[22] = frame.traffic().unwrap_or(u8::MAX);
    if frame.kind() == FrameKind::Management(BEACON)
        && let Some(clock) = frame.body().first_chunk::<8>()
    {
        identity[24..].copy_from_slice(clock);
    }
    identity
}
