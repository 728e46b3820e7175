//! Frames that wait at the access point for a station that sleeps: from the beacon that announces them to the first frame
//! that the station is sent.

use hdrhistogram::Histogram;

use espstress_event::AirWait;

use super::Packet;

/// Longer ones are no wait for a beacon, microseconds.
const LONGEST: u64 = 60_000_000;

/// An announcement that goes on.
#[derive(Clone, Copy, Debug)]
struct Announced {
    beacon: Packet,
    /// When a beacon last did not announce it, nanoseconds.
    not_yet_ns: Option<i64>,
}

#[derive(Clone, Debug)]
struct Lengths {
    since_beacon: Histogram<u32>,
    at_most: Histogram<u32>,
    longest: (u64, Packet, Packet),
}

/// The waits of one station.
#[derive(Clone, Debug, Default)]
pub(super) struct Waits {
    going_on: Option<Announced>,
    /// When a beacon last announced nothing, nanoseconds.
    clear_ns: Option<i64>,
    pub(super) announced: u64,
    pub(super) fetched: u64,
    lengths: Option<Box<Lengths>>,
}

impl Waits {
    /// A beacon announces frames, or none; `every_ns` is the interval.
    pub(super) fn beacon(&mut self, beacon: Packet, announces: bool, every_ns: i64) {
        if !announces {
            // What was announced came and was not heard, or was given up.
            self.going_on = None;
            self.clear_ns = Some(beacon.at_ns);
        } else if self.going_on.is_none() {
            // A beacon between may have been missed.
            let recent = |ns: &i64| beacon.at_ns.saturating_sub(*ns) <= every_ns.saturating_mul(3) / 2;
            self.going_on = Some(Announced { beacon, not_yet_ns: self.clear_ns.filter(recent) });
            self.clear_ns = None;
            self.announced += 1;
        }
    }

    /// A frame goes to the station.
    pub(super) fn delivered(&mut self, frame: Packet) {
        let Some(announced) = self.going_on.take() else { return };
        let micros = |from: i64| {
            let ns = frame.at_ns.saturating_sub(from).max(0);
            (ns.unsigned_abs() / 1_000).min(LONGEST)
        };
        let wait = micros(announced.beacon.at_ns);
        self.fetched += 1;
        let first = || {
            let empty = || Histogram::new_with_max(LONGEST, 2);
            let (since_beacon, at_most) = (empty().ok()?, empty().ok()?);
            Some(Box::new(Lengths { since_beacon, at_most, longest: (wait, announced.beacon, frame) }))
        };
        self.lengths = self.lengths.take().or_else(first);
        let Some(lengths) = &mut self.lengths else { return };
        lengths.since_beacon.saturating_record(wait);
        if let Some(not_yet) = announced.not_yet_ns {
            lengths.at_most.saturating_record(micros(not_yet));
        }
        if wait > lengths.longest.0 {
            lengths.longest = (wait, announced.beacon, frame);
        }
    }

    /// The association has ended.
    pub(super) const fn end(&mut self) {
        self.going_on = None;
        self.clear_ns = None;
    }

    pub(super) fn figures(&self, seconds: impl Fn(i64) -> f64) -> Option<AirWait> {
        let lengths = self.lengths.as_deref()?;
        let median = |of: &Histogram<u32>| of.value_at_quantile(0.5) as f64 / 1e6;
        let (longest, beacon, frame) = lengths.longest;
        Some(AirWait {
            count: self.fetched,
            p50_s: median(&lengths.since_beacon),
            max_s: longest as f64 / 1e6,
            at_most_p50_s: (!lengths.at_most.is_empty()).then(|| median(&lengths.at_most)),
            beacon: beacon.number,
            beacon_at_s: seconds(beacon.at_ns),
            frame: frame.number,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;
    const EVERY: i64 = 102 * MS;

    const fn at(number: u64, ms: i64) -> Packet {
        Packet { number, at_ns: ms * MS }
    }

    #[test]
    fn a_wait_lies_between_the_beacon_that_announces_and_the_one_before_it() {
        let mut waits = Waits::default();
        waits.beacon(at(1, 0), false, EVERY);
        waits.beacon(at(2, 102), true, EVERY);
        waits.beacon(at(3, 204), true, EVERY);
        waits.delivered(at(4, 207));
        let wait = waits.figures(|ns| ns as f64 / 1e9).unwrap();
        assert!((0.104..0.106).contains(&wait.max_s), "{wait:?}");
        assert!(wait.at_most_p50_s.is_some_and(|s| (0.205..0.209).contains(&s)), "{wait:?}");
        assert_eq!((waits.announced, waits.fetched, wait.beacon, wait.frame), (1, 1, 2, 4));
    }

    #[test]
    fn what_was_given_up_or_not_heard_is_no_wait_and_a_missed_beacon_bounds_none() {
        let mut waits = Waits::default();
        waits.beacon(at(1, 0), true, EVERY);
        waits.beacon(at(2, 102), false, EVERY);
        waits.delivered(at(3, 105));
        assert_eq!((waits.announced, waits.fetched), (1, 0));
        waits.beacon(at(4, 408), true, EVERY);
        waits.delivered(at(5, 410));
        assert_eq!(waits.figures(|_| 0.0).unwrap().at_most_p50_s, None);
    }
}
