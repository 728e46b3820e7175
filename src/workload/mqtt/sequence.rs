//! Numbers in the device's payloads: which came, which are missing, which came late or again. Pure and bounded.
//!
//! Times are those in which the device could send (`Sending`), not the clock's: who was away, or not heard, has lost nothing
//! meanwhile.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

/// Missing numbers that are remembered; older ones are lost.
const MOST_MISSING: usize = 4_096;
/// A number so far below the last one is a counter that began anew.
const RESTART: u64 = 1_024;
/// Numbers missing at once that are believed: a longer jump is a counter that was set.
const JUMP: u64 = 1_000_000;
/// So few numbers may have been the newest of a backlog that follows, and not a counter before it.
const FEW: u64 = 16;
/// Counters begin with one of these.
const BEGINNINGS: RangeInclusive<u64> = 0..=1;

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
    /// The least and the greatest number since the counter last began.
    span: Option<(u64, u64)>,
    boot: Option<u64>,
    /// Each with the time since which the device may have it on its way.
    missing: BTreeMap<u64, Duration>,
    /// The same of the counter before this one, and its last number.
    before: (BTreeMap<u64, Duration>, u64),
    /// Where that one had few numbers, which: they need not come again.
    came: Option<RangeInclusive<u64>>,
    /// The number that came late before.
    late: Option<u64>,
    /// Missing numbers that are remembered no more.
    lost: u64,
}

impl Sequence {
    /// Takes the number of a message, and the boot that it is of where the payload tells. Until `now`, the device could send
    /// for so long.
    pub(super) fn take(&mut self, number: u64, boot: Option<u64>, now: Duration) -> Came {
        let new_boot = matches!((self.boot, boot), (Some(before), Some(now)) if before != now);
        self.boot = boot.or(self.boot);
        let Some((first, last)) = self.span else {
            self.span = Some((number, number));
            return Came::New(0);
        };
        if !new_boot && self.missing.remove(&number).is_some() {
            self.on_its_way(number, now);
            return Came::Late;
        }
        // A number that lies nearer to the last one of the counter before is that one's.
        let nearer = number.abs_diff(self.before.1) < number.abs_diff(last);
        if !new_boot && nearer && self.before.0.remove(&number).is_some() {
            return Came::Late;
        }
        // One below the first is of before the first message that was heard: the newest may come first.
        let begins = BEGINNINGS.contains(&number) && number < last && number + 1 != first;
        if new_boot || (boot.is_none() && begins) || number.saturating_add(RESTART) < last {
            self.begins_anew(number, first, last);
            return Came::New(0);
        }
        if number > last {
            self.span = Some((first, number));
            return Came::New(self.misses(last + 1..number, now));
        }
        if number < first {
            self.span = Some((number, last));
            self.misses(number + 1..first, now);
            self.late = Some(number);
            return Came::Late;
        }
        Came::Again
    }

    /// The counter begins again; of the one before it, what is missing may still come.
    fn begins_anew(&mut self, number: u64, first: u64, last: u64) {
        self.came = (last - first < FEW).then_some(first..=last);
        let (older, _) = std::mem::replace(&mut self.before, (std::mem::take(&mut self.missing), last));
        self.lost += older.len() as u64;
        self.span = Some((number, number));
        self.late = None;
    }

    /// Who brings what was missing goes on with what comes after it, or before it where the newest comes first.
    fn on_its_way(&mut self, number: u64, now: Duration) {
        let down = self.late.is_none_or(|late| number < late);
        let up = self.late.is_none_or(|late| number > late);
        let still = self.missing.iter_mut().filter(|(other, _)| if **other < number { down } else { up });
        still.for_each(|(_, since)| *since = now);
        self.late = Some(number);
    }

    /// How many there are of these, which are missing from `now` on. Of a jump none is.
    fn misses(&mut self, numbers: Range<u64>, now: Duration) -> u64 {
        let gap = numbers.end - numbers.start;
        if gap > JUMP {
            return 0;
        }
        let kept = gap.min(MOST_MISSING as u64);
        self.lost += gap - kept;
        let came = &self.came;
        let missing = (numbers.end - kept..numbers.end)
            .filter(|number| !came.as_ref().is_some_and(|came| came.contains(number)));
        self.missing.extend(missing.map(|missing| (missing, now)));
        while self.missing.len() > MOST_MISSING {
            self.missing.pop_first();
            self.lost += 1;
        }
        gap
    }

    fn all_missing(&self) -> impl Iterator<Item = Duration> {
        self.missing.values().chain(self.before.0.values()).copied()
    }

    /// Numbers that have not come although the device had time for what was missing at `settled`.
    pub(super) fn lost(&self, settled: Option<Duration>) -> u64 {
        self.lost + self.all_missing().count() as u64 - self.under_way(settled)
    }

    /// Numbers that are missing, of which nobody knows yet whether they come.
    pub(super) fn under_way(&self, settled: Option<Duration>) -> u64 {
        self.all_missing().filter(|since| Some(*since) > settled).count() as u64
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

    /// What is lost and what is under way after so many seconds, with a device that takes up to ten.
    fn counted(sequence: &Sequence, s: u64) -> (u64, u64) {
        let settled = at(s).checked_sub(at(10));
        (sequence.lost(settled), sequence.under_way(settled))
    }

    fn at(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    /// Each number a second after the one before, and what is lost when the device has had time for the rest.
    fn took(numbers: &[u64]) -> (Vec<Came>, u64) {
        let mut sequence = Sequence::default();
        let came: Vec<_> =
            (0..).zip(numbers).map(|(s, number)| sequence.take(*number, None, at(s))).collect();
        let (lost, under_way) = counted(&sequence, numbers.len() as u64 + 10);
        assert_eq!(under_way, 0);
        (came, lost)
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
        assert_eq!(took(&[u64::MAX - 1, u64::MAX, 0, u64::MAX, 1]).1, 0);
        assert_eq!(took(&[254, 255, 0, 1, 2]), (vec![Came::New(0); 5], 0));
        let mut sequence = Sequence::default();
        sequence.take(9, Some(1), at(0));
        assert_eq!(sequence.take(1, Some(2), at(1)), Came::New(0));
        assert_eq!(sequence.take(2, Some(2), at(2)), Came::New(0));
        assert_eq!(counted(&sequence, 2), (0, 0));
    }

    #[test]
    fn what_the_counter_before_lacks_is_not_filled_by_the_numbers_of_the_next() {
        let numbers: Vec<u64> = (1..=6).chain(16..=20).chain(1..=20).collect();
        let (came, lost) = took(&numbers);
        assert_eq!((lost, came.iter().filter(|came| **came == Came::Again).count()), (9, 0));
        // It may still bring its own: the wrap of a small counter is no loss.
        assert_eq!(
            took(&[252, 253, 255, 0, 254, 1, 2]),
            (
                vec![
                    Came::New(0),
                    Came::New(0),
                    Came::New(1),
                    Came::New(0),
                    Came::Late,
                    Came::New(0),
                    Came::New(0)
                ],
                0,
            )
        );
    }

    #[test]
    fn a_backlog_behind_the_newest_message_is_one_however_long_it_is() {
        let numbers: Vec<u64> = (1..=10).chain([3_000]).chain(11..3_000).collect();
        let (came, lost) = took(&numbers);
        assert_eq!((lost, came.iter().filter(|came| **came == Came::Again).count()), (0, 0));
    }

    #[test]
    fn a_backlog_behind_the_first_message_that_was_heard_is_no_counter_that_begins_anew() {
        let numbers: Vec<u64> = [60].into_iter().chain(1..60).chain([120]).chain(61..120).collect();
        let (came, lost) = took(&numbers);
        assert_eq!((lost, came.iter().filter(|came| **came == Came::Again).count()), (0, 0));
    }

    #[test]
    fn the_newest_may_come_first_also_at_the_beginning() {
        assert_eq!(took(&[20, 19, 18, 21]).0[1..], [Came::Late, Came::Late, Came::New(0)]);
        assert_eq!(took(&[3, 2, 1, 4]), (vec![Came::New(0), Came::Late, Came::Late, Came::New(0)], 0));
        assert_eq!(took(&[20, 17, 19]), (vec![Came::New(0), Came::Late, Came::Late], 1));
    }

    #[test]
    fn what_is_missing_is_lost_once_the_device_could_send_for_long_enough() {
        let mut sequence = Sequence::default();
        sequence.take(1, None, at(0));
        sequence.take(4, None, at(20));
        assert_eq!(counted(&sequence, 29), (0, 2));
        assert_eq!(counted(&sequence, 30), (2, 0));
        sequence.take(6, None, at(31));
        assert_eq!(counted(&sequence, 32), (2, 1));
        assert_eq!(sequence.take(2, None, at(33)), Came::Late);
        assert_eq!(counted(&sequence, 34), (0, 2), "3 may follow on 2");
    }

    #[test]
    fn who_brings_what_was_missing_one_after_the_other_has_time_for_the_rest() {
        for (order, passed_over) in [([3, 4, 5], 2), ([7, 6, 5], 8)] {
            let mut sequence = Sequence::default();
            sequence.take(1, None, at(0));
            sequence.take(9, None, at(0));
            for (number, s) in order.into_iter().zip([8, 16, 24]) {
                sequence.take(number, None, at(s));
            }
            assert_eq!(counted(&sequence, 24), (1, 3), "{passed_over}");
            assert_eq!(counted(&sequence, 34), (4, 0));
        }
    }

    #[test]
    fn memory_is_bounded_whatever_the_numbers_are() {
        let mut sequence = Sequence::default();
        for n in 0..200 {
            sequence.take(n * 500_000, None, at(n));
        }
        assert!(sequence.missing.len() <= MOST_MISSING);
        let (lost, under_way) = counted(&sequence, 200);
        assert_eq!(lost + under_way, 199 * 499_999);
        for n in (0..400).rev() {
            sequence.take(n * 9_000, None, at(n));
        }
        assert!(sequence.missing.len() + sequence.before.0.len() <= 2 * MOST_MISSING);
    }

    #[test]
    fn a_payload_that_is_no_json_has_no_number() {
        assert_eq!(number("/a/n", br#"{"a":{"n":7}}"#), Some((7, None)));
        assert_eq!(number("auto", br#"{"n":7,"boot":2}"#), Some((7, Some(2))));
        assert_eq!(number("/n", b"21.5"), None);
        assert_eq!(number("/n", br#"{"n":-1}"#), None);
    }
}
