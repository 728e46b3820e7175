//! Numbers in the device's payloads: which came, which are missing, which came late or again. Pure and bounded.

use std::collections::BTreeSet;

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
    missing: BTreeSet<u64>,
    /// Missing numbers that are remembered no more.
    lost: u64,
}

impl Sequence {
    /// Takes the number of a message, and the boot that it is of where the payload tells.
    pub(super) fn take(&mut self, number: u64, boot: Option<u64>) -> Came {
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
            return if self.missing.remove(&number) { Came::Late } else { Came::Again };
        }
        let gap = number - last - 1;
        self.last = Some(number);
        if gap > JUMP {
            return Came::New(0);
        }
        let kept = gap.min(MOST_MISSING as u64);
        self.lost += gap - kept;
        self.missing.extend(number - kept..number);
        while self.missing.len() > MOST_MISSING {
            self.missing.pop_first();
            self.lost += 1;
        }
        Came::New(gap)
    }

    /// Numbers that have not come.
    pub(super) fn lost(&self) -> u64 {
        self.lost + self.missing.len() as u64
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

    fn took(numbers: &[u64]) -> (Vec<Came>, u64) {
        let mut sequence = Sequence::default();
        (numbers.iter().map(|n| sequence.take(*n, None)).collect(), sequence.lost())
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
        sequence.take(9, Some(1));
        assert_eq!(sequence.take(1, Some(2)), Came::New(0));
        assert_eq!(sequence.lost(), 0);
    }

    #[test]
    fn memory_is_bounded_whatever_the_numbers_are() {
        let mut sequence = Sequence::default();
        for n in 0..200 {
            sequence.take(n * 500_000, None);
        }
        assert!(sequence.missing.len() <= MOST_MISSING);
        assert_eq!(sequence.lost(), 199 * 499_999);
    }

    #[test]
    fn a_payload_that_is_no_json_has_no_number() {
        assert_eq!(number("/a/n", br#"{"a":{"n":7}}"#), Some((7, None)));
        assert_eq!(number("auto", br#"{"n":7,"boot":2}"#), Some((7, Some(2))));
        assert_eq!(number("/n", b"21.5"), None);
        assert_eq!(number("/n", br#"{"n":-1}"#), None);
    }
}
