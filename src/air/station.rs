//! One station: how it joins and leaves, sleeps and wakes, and how its frames fare.

use espstress_event::{
    AirDeed, AirEvent, AirPowerSave, AirSide, AirStation, AirTraffic, Chosen, Departure, MacAddress, Refusal,
    reason_name, status_name,
};

use super::Packet;
use super::counter::Counter;
use super::tally::Tally;
use super::waits::Waits;

/// Events that are kept.
const EVENTS: usize = 100;
/// Kinds of departures and refusals that are kept; a hostile sender has 65,536 reasons.
const KINDS: usize = 32;
/// Who is at another access point within this time has left in order to be, nanoseconds.
const ROAMS_WITHIN: i64 = 2_000_000_000;

/// Frames of one direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Traffic {
    frames: u64,
    data: u64,
    pub(super) retried: u64,
    signal: Tally<i8>,
    rate: Tally<u32>,
    /// Numbers by traffic identifier.
    pub(super) by_traffic: [Counter; 8],
}

impl Traffic {
    pub(super) fn add(&mut self, data: bool, retry: bool, signal: Option<i8>, rate: Option<u32>) {
        self.frames += 1;
        self.signal.add(signal);
        if data {
            self.data += 1;
            self.retried += u64::from(retry);
            self.rate.add(rate);
        }
    }

    /// `common` is the sender's counter of all other frames.
    fn figures(&self, common: Counter) -> AirTraffic {
        let counters = || self.by_traffic.iter().chain([&common]);
        AirTraffic {
            frames: self.frames,
            data: self.data,
            retried: self.retried,
            missed: counters().map(|counter| counter.missed).sum(),
            followed: counters().map(|counter| counter.followed).sum(),
            signal: self.signal.signal(),
            rate: self.rate.rate(),
        }
    }
}

/// Where it was last.
#[derive(Clone, Copy, Debug)]
struct With {
    network: MacAddress,
    /// When a frame between the two was last heard, nanoseconds.
    last_ns: i64,
}

/// A station.
#[derive(Clone, Debug, Default)]
pub(super) struct Station {
    /// The access point with which it is associated.
    pub(super) network: Option<MacAddress>,
    with: Option<With>,
    /// Access points that it was with, the first ones.
    pub(super) networks: Vec<MacAddress>,
    /// The number of its association, while it has one.
    pub(super) association: Option<u16>,
    last_association: Option<u16>,
    listen_interval: Option<u16>,
    authentications: u64,
    associations: u64,
    refusals: Vec<Refusal>,
    departures: Vec<Departure>,
    /// The last departure: its row, and when.
    left: Option<(usize, i64)>,
    roams: u64,
    events: Vec<AirEvent>,
    events_beyond: u64,
    /// Since when it sleeps, nanoseconds; `None` while it is awake or has not said.
    asleep_since: Option<i64>,
    asleep_ns: i64,
    sleeps: u64,
    wakes: u64,
    null_frames: u64,
    polls: u64,
    pub(super) waits: Waits,
    pub(super) sent: Traffic,
    pub(super) received: Traffic,
    /// Its numbers of all frames but those of a traffic identifier.
    pub(super) numbers: Counter,
}

impl Station {
    pub(super) const fn frames_sent(&self) -> u64 {
        self.sent.frames
    }

    fn tell(&mut self, packet: Packet, network: MacAddress, what: AirDeed, seconds: impl Fn(i64) -> f64) {
        if self.events.len() < EVENTS {
            let at_s = seconds(packet.at_ns);
            self.events.push(AirEvent { at_s, packet: packet.number, network, what });
        } else {
            self.events_beyond += 1;
        }
    }

    /// What happens to its access point happens to it.
    pub(super) fn network_deed(
        &mut self,
        packet: Packet,
        network: MacAddress,
        deed: AirDeed,
        seconds: impl Fn(i64) -> f64,
    ) {
        self.tell(packet, network, deed, seconds);
    }

    /// A frame between it and an access point that it may be with: data, or a poll.
    pub(super) fn exchanges(
        &mut self,
        packet: Packet,
        network: MacAddress,
        by: AirSide,
        seconds: impl Fn(i64) -> f64,
    ) {
        if self.network == Some(network) {
            self.with = Some(With { network, last_ns: packet.at_ns });
            return;
        }
        // What an access point still sends to a station that has gone on says nothing of where that is.
        if by == AirSide::AccessPoint {
            return;
        }
        if self.with.is_none() {
            self.tell(packet, network, AirDeed::AlreadyAssociated, seconds);
            self.arrive(packet, network, None);
        } else {
            // Its association was not heard.
            self.joins(packet, network, None, seconds);
        }
    }

    /// Tells a roaming where it is one, and is with `network` from now on.
    fn joins(
        &mut self,
        packet: Packet,
        network: MacAddress,
        association: Option<u16>,
        seconds: impl Fn(i64) -> f64,
    ) {
        if let Some(With { network: from, last_ns }) = self.with
            && from != network
        {
            self.roams += 1;
            let gap_s = packet.at_ns.saturating_sub(last_ns).max(0) as f64 / 1e9;
            self.tell(packet, network, AirDeed::Roamed { from, gap_s }, seconds);
            if let Some((row, at)) = self.left.take()
                && packet.at_ns.saturating_sub(at) <= ROAMS_WITHIN
                && let Some(row) = self.departures.get_mut(row)
            {
                row.before_roam += 1;
            }
        }
        self.arrive(packet, network, association);
    }

    fn arrive(&mut self, packet: Packet, network: MacAddress, association: Option<u16>) {
        if self.network != Some(network) {
            self.waits.end();
            self.association = None;
        }
        self.network = Some(network);
        self.association = association.or(self.association);
        self.last_association = self.association.or(self.last_association);
        self.with = Some(With { network, last_ns: packet.at_ns });
        self.left = None;
        if self.networks.len() < 8 && !self.networks.contains(&network) {
            self.networks.push(network);
        }
    }

    pub(super) const fn asks_to_associate(&mut self, listen_interval: Option<u16>) {
        if listen_interval.is_some() {
            self.listen_interval = listen_interval;
        }
    }

    pub(super) fn authenticated(
        &mut self,
        packet: Packet,
        network: MacAddress,
        seconds: impl Fn(i64) -> f64,
    ) {
        self.authentications += 1;
        // A station that begins anew counts anew.
        self.numbers.restart();
        self.tell(packet, network, AirDeed::Authenticated, seconds);
    }

    pub(super) fn associated(
        &mut self,
        packet: Packet,
        network: MacAddress,
        association: u16,
        seconds: impl Fn(i64) -> f64,
    ) {
        self.associations += 1;
        self.waits.end();
        self.sent.by_traffic.iter_mut().chain(&mut self.received.by_traffic).for_each(Counter::restart);
        self.wakes_up(packet.at_ns);
        self.tell(packet, network, AirDeed::Associated, &seconds);
        self.joins(packet, network, Some(association), seconds);
    }

    pub(super) fn refused(
        &mut self,
        packet: Packet,
        network: MacAddress,
        association: bool,
        status: u16,
        seconds: impl Fn(i64) -> f64,
    ) {
        let at_s = seconds(packet.at_ns);
        let deed = if association { AirDeed::AssociationRefused } else { AirDeed::AuthenticationRefused };
        self.tell(packet, network, deed(status), seconds);
        let same = |row: &&mut Refusal| row.association == association && row.status == status;
        if let Some(row) = self.refusals.iter_mut().find(same) {
            row.count += 1;
            row.last_s = at_s;
        } else if self.refusals.len() < KINDS {
            let status_name = status_name(status).map(str::to_owned);
            self.refusals.push(Refusal {
                association,
                status,
                status_name,
                count: 1,
                first_s: at_s,
                last_s: at_s,
            });
        }
    }

    /// A deauthentication or disassociation.
    pub(super) fn departs(
        &mut self,
        packet: Packet,
        network: MacAddress,
        how: &Leave,
        seconds: impl Fn(i64) -> f64,
    ) {
        let Leave { by, deauthentication, reason, out_of_sequence } = *how;
        let at_s = seconds(packet.at_ns);
        let deed = if deauthentication {
            AirDeed::Deauthenticated { by, reason }
        } else {
            AirDeed::Disassociated { by, reason }
        };
        self.tell(packet, network, deed, seconds);
        let same = |row: &Departure| {
            row.by == by && row.deauthentication == deauthentication && row.reason == reason
        };
        let place = self.departures.iter().position(same);
        if place.is_none() && self.departures.len() < KINDS {
            self.departures.push(Departure {
                by,
                deauthentication,
                reason,
                reason_name: reason.and_then(reason_name).map(str::to_owned),
                count: 0,
                before_roam: 0,
                out_of_sequence: 0,
                packet: packet.number,
                first_s: at_s,
                last_s: at_s,
            });
        }
        let place = place.unwrap_or(self.departures.len().saturating_sub(1));
        if let Some(row) = self.departures.get_mut(place).filter(|row| same(row)) {
            row.count += 1;
            row.last_s = at_s;
            row.out_of_sequence += u64::from(out_of_sequence);
            self.left = Some((place, packet.at_ns));
        }
        if self.network == Some(network) {
            self.network = None;
            self.association = None;
            self.waits.end();
            self.wakes_up(packet.at_ns);
        }
    }

    /// What a frame from it says of its sleep.
    pub(super) fn says(&mut self, at_ns: i64, sleeps: bool) {
        match (sleeps, self.asleep_since) {
            (true, None) => {
                self.sleeps += 1;
                self.asleep_since = Some(at_ns);
            }
            (false, Some(_)) => {
                self.wakes += 1;
                self.wakes_up(at_ns);
            }
            _ => {}
        }
    }

    fn wakes_up(&mut self, at_ns: i64) {
        if let Some(since) = self.asleep_since.take() {
            self.asleep_ns = self.asleep_ns.saturating_add(at_ns.saturating_sub(since).max(0));
        }
    }

    pub(super) const fn null_frame(&mut self) {
        self.null_frames += 1;
    }

    pub(super) const fn poll(&mut self, association: u16) {
        self.polls += 1;
        self.association = Some(association);
        self.last_association = self.association;
    }

    /// `common` is its last access point's counter of frames without a traffic identifier.
    pub(super) fn figures(
        &self,
        address: MacAddress,
        chosen: Chosen,
        common: Counter,
        end_ns: i64,
        seconds: impl Fn(i64) -> f64,
    ) -> AirStation {
        let asleep_now = self.asleep_since.map_or(0, |since| end_ns.saturating_sub(since).max(0));
        let known = self.last_association.is_some();
        AirStation {
            association_id: self.last_association,
            listen_interval: self.listen_interval,
            authentications: self.authentications,
            associations: self.associations,
            refusals: self.refusals.clone(),
            departures: self.departures.clone(),
            roams: self.roams,
            events: self.events.clone(),
            events_beyond: self.events_beyond,
            power_save: AirPowerSave {
                sleeps: self.sleeps,
                wakes: self.wakes,
                asleep_s: self.asleep_ns.saturating_add(asleep_now) as f64 / 1e9,
                null_frames: self.null_frames,
                ps_polls: self.polls,
                announced: known.then_some(self.waits.announced),
                fetched: self.waits.fetched,
                wait: self.waits.figures(&seconds),
            },
            sent: self.sent.figures(self.numbers),
            received: self.received.figures(common),
            ..AirStation::new(address, chosen)
        }
    }
}

/// A departure as its frame says it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leave {
    pub(super) by: AirSide,
    pub(super) deauthentication: bool,
    pub(super) reason: Option<u16>,
    pub(super) out_of_sequence: bool,
}
