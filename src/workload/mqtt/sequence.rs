//! Numbers in the device's payloads: which came, which are missing, which came late or again. Pure and bounded.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Missing numbers that are remembered; older ones are lost.
const MOST_MISSING: usize = 4_096;
/// A number so far below the last one is a counter that began anew.
const RESTART: u64 = 1_024;
/// Numbers missing at once that are believed: a longer jump is a counter that was set.
const JUMP: u64 = 1_000_000;

/// What a number says of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// It is new, and so many before it are missing for now.
    New(u64),
    /// It was missing until now.
    Late,
    /// It came before.
    Again,
}

/// The numbers of one device.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    last: Option<u64>,
    boot: Option<u64>,
    /// Each with the time since which the device may have it on its way.
    missing: BTreeMap<u64, Instant>,
    /// Missing numbers that are remembered no more.
    lost: u64,
    /// What was missing then has had its time.
    settled: Option<Instant>,
}

impl Sequence {
    /// Takes the number of a message that came `now`, and the boot that it is of where the payload tells.
    pub(super) fn take(&mut self, number: u64, boot: Option<u64>, now: Instant) -> Came {
        let restarted = match (self.boot, boot) {
            (Some(before), Some(now)) => before != now,
            _ => self.last.is_some_and(|last| number.saturating_add(RESTART) < last),
        };
        self.boot = boot.or(self.boot);
        if restarted {
            self.last = Some(number);
            return Came::New(0);
        }
        let Some(last) = self.last else {
            self.last = Some(number);
            return Came::New(0);
        };
        if number <= last {
            if self.missing.remove(&number).is_none() {
                return Came::Again;
            }
            // Who brings what was missing goes on with what comes after it.
            self.missing.range_mut(number..).for_each(|(_, since)| *since = now);
            return Came::Late;
        }
        let gap = number - last - 1;
        self.last = Some(number);
        if gap > JUMP {
            return Came::New(0);
        }
        let kept = gap.min(MOST_MISSING as u64);
        self.lost += gap - kept;
        self.missing.extend((number - kept..number).map(|missing| (missing, now)));
        while self.missing.len() > MOST_MISSING {
            self.missing.pop_first();
            self.lost += 1;
        }
        Came::New(gap)
    }

    /// Nothing has kept the device from sending from `since` to `now`: what was missing for `enough` of that won't come.
    pub(super) fn undisturbed(&mut self, since: Instant, now: Instant, enough: Duration) {
        if let Some(settled) = now.checked_sub(enough).filter(|settled| *settled >= since) {
            self.settled = self.settled.max(Some(settled));
        }
    }

    /// Numbers that have not come although the device had time to bring them.
    pub(super) fn lost(&self) -> u64 {
        self.lost + self.missing.len() as u64 - self.under_way()
    }

    /// Numbers that are missing, of which nobody knows yet whether they come.
    pub(super) fn under_way(&self) -> u64 {
        self.missing.values().filter(|since| Some(**since) > self.settled).count() as u64
    }
}

/// The number at `pointer`, and our own device program's count of its boots.
pub(super) fn number(pointer: &str, payload: &[u8]) -> Option<(u64, Option<u64>)> {
    let value: serde_json::Value = serde_json::from_slice(payload).ok()?;
    let auto = pointer == "auto";
    let number = value.pointer(if auto { "/n" } else { pointer })?.as_u64()?;
    let boot = if auto { value.pointer("/boot").and_then(serde_json::Value::as_u64) } else { None };
    Some((number, boot))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENOUGH: Duration = Duration::from_secs(10);

    /// Each number a second after the one before, and what is lost when the device has had time for the rest.
    fn took(numbers: &[u64]) -> (Vec<Came>, u64) {
        let mut sequence = Sequence::default();
        let start = Instant::now();
        let mut now = start;
        let mut came = Vec::new();
        for number in numbers {
            came.push(sequence.take(*number, None, now));
            now += Duration::from_secs(1);
        }
        assert_eq!(sequence.lost(), 0, "before its time");
        sequence.undisturbed(start, now + ENOUGH, ENOUGH);
        assert_eq!(sequence.under_way(), 0);
        (came, sequence.lost())
    }

    /// A sequence that began with 1, when that was, and so many seconds later.
    fn begun() -> (Sequence, Instant, impl Fn(u64) -> Instant) {
        let (mut sequence, start) = (Sequence::default(), Instant::now());
        sequence.take(1, None, start);
        (sequence, start, move |s| start + Duration::from_secs(s))
    }

    #[test]
    fn a_gap_is_a_loss_until_it_is_filled() {
        assert_eq!(took(&[1, 2, 5]), (vec![Came::New(0), Came::New(0), Came::New(2)], 2));
        assert_eq!(took(&[1, 2, 5, 3, 4]).1, 0);
        assert_eq!(took(&[1, 3, 2, 2]).0[2..], [Came::Late, Came::Again]);
    }

    #[test]
    fn a_counter_that_begins_anew_has_lost_nothing() {
        assert_eq!(took(&[5_000, 5_001, 0, 1]).1, 0);
        let mut sequence = Sequence::default();
        sequence.take(9, Some(1), Instant::now());
        assert_eq!(sequence.take(1, Some(2), Instant::now()), Came::New(0));
        assert_eq!((sequence.lost(), sequence.under_way()), (0, 0));
    }

    #[test]
    fn what_is_missing_is_lost_once_the_device_could_send_for_long_enough() {
        let (mut sequence, start, at) = begun();
        sequence.take(4, None, at(20));
        // Nine seconds since the gap, or since the device was back.
        sequence.undisturbed(start, at(29), ENOUGH);
        sequence.undisturbed(at(40), at(49), ENOUGH);
        assert_eq!((sequence.lost(), sequence.under_way()), (0, 2));
        sequence.undisturbed(at(40), at(50), ENOUGH);
        assert_eq!((sequence.lost(), sequence.under_way()), (2, 0));
        // What is known stays known, and a gap of later isn't.
        sequence.take(6, None, at(51));
        sequence.undisturbed(at(60), at(61), ENOUGH);
        assert_eq!((sequence.lost(), sequence.under_way()), (2, 1));
        assert_eq!(sequence.take(2, None, at(62)), Came::Late);
        assert_eq!((sequence.lost(), sequence.under_way()), (0, 2), "3 follows on 2");
    }

    #[test]
    fn who_brings_what_was_missing_one_after_the_other_has_time_for_the_rest() {
        let (mut sequence, start, at) = begun();
        sequence.take(9, None, start);
        for (number, s) in [(3, 8), (4, 16), (5, 24)] {
            sequence.take(number, None, at(s));
            sequence.undisturbed(start, at(s), ENOUGH);
        }
        assert_eq!((sequence.lost(), sequence.under_way()), (1, 3), "2 was passed over, 6 to 8 may come");
        sequence.undisturbed(start, at(34), ENOUGH);
        assert_eq!((sequence.lost(), sequence.under_way()), (4, 0));
    }

    #[test]
    fn memory_is_bounded_whatever_the_numbers_are() {
        let mut sequence = Sequence::default();
        for n in 0..200 {
            sequence.take(n * 500_000, None, Instant::now());
        }
        assert!(sequence.missing.len() <= MOST_MISSING);
        assert_eq!(sequence.lost() + sequence.under_way(), 199 * 499_999);
    }

    #[test]
    fn a_payload_that_is_no_json_has_no_number() {
        assert_eq!(number("/a/n", br#"{"a":{"n":7}}"#), Some((7, None)));
        assert_eq!(number("auto", br#"{"n":7,"boot":2}"#), Some((7, Some(2))));
        assert_eq!(number("/n", b"21.5"), None);
        assert_eq!(number("/n", br#"{"n":-1}"#), None);
    }
}
