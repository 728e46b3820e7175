//! One access point: what its beacons say, and which of them are missing.

use espstress_event::{AirDeed, AirNetwork, MacAddress};

use super::body::Beacon;
use super::counter::{Counter, Follows};
use super::tally::Tally;

/// Microseconds in a time unit.
const TIME_UNIT: u64 = 1_024;
/// An access point's clock that goes back by more began anew, microseconds.
const CLOCK_BACK: u64 = 1_000_000;
/// After a longer time without a beacon the radio was elsewhere, or the access point was off: nothing is said of the
/// beacons between, microseconds.
const ELSEWHERE: u64 = 60_000_000;
/// Frames after which a counter is known, and the share of jumps in it that no sound one has.
const KNOWN: u64 = 20;
const JUMPS: u64 = 50;

/// An access point.
#[derive(Clone, Debug, Default)]
pub(super) struct Network {
    ssid: Option<String>,
    channel: Option<u8>,
    announced: Option<u8>,
    interval: Option<u16>,
    dtim: Option<u8>,
    last_clock_us: Option<u64>,
    /// Whether a frame may have been missed since the last beacon.
    doubt: bool,
    /// Its numbers of all frames but those of a traffic identifier.
    pub(super) numbers: Counter,
    beacons: u64,
    unsent: u64,
    unheard: u64,
    longest_unsent_us: Option<u64>,
    pub(super) signal: Tally<i8>,
    /// Frames from it, to tell which to forget.
    pub(super) frames: u64,
}

impl Network {
    /// A numbered frame from it, other than one with a traffic identifier. Whether its number does not follow.
    pub(super) fn numbered(&mut self, sequence: u16) -> bool {
        let sound = self.numbers.followed >= KNOWN && self.numbers.jumps * JUMPS <= self.numbers.followed;
        let follows = self.numbers.follow(sequence);
        self.doubt |= matches!(follows, Follows::Gap(_) | Follows::Jump);
        sound && follows == Follows::Jump
    }

    /// A beacon, with its sequence number; what it says that is new.
    pub(super) fn beacon(&mut self, beacon: &Beacon<'_>, sequence: u16) -> Vec<AirDeed> {
        let mut deeds = Vec::new();
        if self.last_clock_us.is_some_and(|last| beacon.clock_us.saturating_add(CLOCK_BACK) < last) {
            deeds.push(AirDeed::AccessPointRestarted);
            self.numbers.restart();
            self.last_clock_us = None;
        }
        let before = self.numbers;
        self.numbered(sequence);
        // A sender that doesn't count its beacons says nothing of those that are missing.
        let counts = self.numbers.followed > before.followed;
        self.gap(beacon, !counts);
        self.doubt = false;
        self.last_clock_us = Some(beacon.clock_us.max(self.last_clock_us.unwrap_or(0)));
        self.beacons += 1;
        self.interval = Some(beacon.interval).filter(|interval| *interval > 0);
        self.dtim = beacon.map.and_then(|map| map.period).or(self.dtim);
        if self.ssid.as_deref() != beacon.ssid && beacon.ssid.is_some() {
            self.ssid = beacon.ssid.map(str::to_owned);
        }
        deeds.extend(self.switch(beacon.switch_to));
        match (self.channel, beacon.channel) {
            (Some(from), Some(to)) if from != to => {
                deeds.push(AirDeed::ChannelSwitched { from, to });
                self.announced = None;
                self.channel = Some(to);
            }
            (None, channel) => self.channel = channel,
            _ => {}
        }
        deeds
    }

    /// An announcement that it goes to another channel, where it is a new one.
    pub(super) fn switch(&mut self, to: Option<u8>) -> Option<AirDeed> {
        let channel = to.filter(|to| self.announced != Some(*to) && self.channel != Some(*to))?;
        self.announced = Some(channel);
        Some(AirDeed::ChannelSwitchAnnounced { channel })
    }

    /// Beacons that were due since the last one: the access point's own clock says how many.
    fn gap(&mut self, beacon: &Beacon<'_>, uncounted: bool) {
        let (Some(last), Some(interval)) = (self.last_clock_us, self.interval) else { return };
        let (passed, every) = (beacon.clock_us.saturating_sub(last), u64::from(interval) * TIME_UNIT);
        // The clock is whatever the sender wrote.
        if passed > ELSEWHERE {
            return;
        }
        let missing = ((passed + every / 2) / every).saturating_sub(1);
        if missing == 0 {
            return;
        }
        if self.doubt || uncounted {
            self.unheard += missing;
        } else {
            self.unsent += missing;
            self.longest_unsent_us = self.longest_unsent_us.max(Some(passed));
        }
    }

    /// Beacon interval, nanoseconds; the usual one where no beacon was heard.
    pub(super) fn every_ns(&self) -> i64 {
        i64::from(self.interval.unwrap_or(100)) * (TIME_UNIT as i64) * 1_000
    }

    pub(super) fn figures(&self, address: MacAddress) -> AirNetwork {
        AirNetwork {
            address,
            ssid: self.ssid.clone(),
            channel: self.channel,
            beacon_interval_tu: self.interval,
            dtim_period: self.dtim,
            beacons: self.beacons,
            beacons_unsent: self.unsent,
            beacons_unheard: self.unheard,
            longest_unsent_s: self.longest_unsent_us.map(|us| us as f64 / 1e6),
            signal: self.signal.signal(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A beacon each 100 time units, at this time of the access point's clock.
    fn at(clock_us: u64) -> Beacon<'static> {
        Beacon { clock_us, interval: 100, ..Beacon::default() }
    }

    #[test]
    fn beacons_that_are_missing_are_those_its_clock_says_unless_it_was_away_for_long() {
        let every = 100 * TIME_UNIT;
        for (clock_us, unsent) in [(every, 0), (4 * every, 3), (ELSEWHERE + 1, 0), (u64::MAX, 0)] {
            let mut network = Network::default();
            network.numbered(0);
            network.beacon(&at(0), 1);
            network.beacon(&at(clock_us), 2);
            assert_eq!((network.unsent, network.unheard), (unsent, 0), "{clock_us} us later");
        }
    }
}
