//! Durations and sizes as people write them.

use core::fmt;
use core::time::Duration;

/// Reads a whole number with one of the units `us`, `ms`, `s`, `m`, `h`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let micros = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return None,
    };
    number.checked_mul(micros).map(Duration::from_micros)
}

/// Reads a whole number of bytes, alone or with one of the units `B`, `KiB`, `MiB`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let bytes = match unit {
        "" | "B" => 1,
        "KiB" => 1024,
        "MiB" => 1024 * 1024,
        _ => return None,
    };
    number.checked_mul(bytes)
}

/// A duration as [`duration`] reads it, to the microsecond.
pub(crate) struct Written(pub(crate) Duration);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_micros() {
            micros if micros % 1_000_000 == 0 => write!(f, "{}s", micros / 1_000_000),
            micros if micros % 1_000 == 0 => write!(f, "{}ms", micros / 1_000),
            micros => write!(f, "{micros}us"),
        }
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    Some((digits.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_as_people_write_them() {
        assert_eq!(duration("200ms"), Some(Duration::from_millis(200)));
        assert_eq!(duration("10m"), Some(Duration::from_secs(600)));
        assert_eq!(size("10KiB"), Some(10_240));
        assert_eq!(size("512"), Some(512));
    }

    #[test]
    fn durations_are_written_in_the_largest_unit_that_is_exact() {
        extern crate std;
        use std::string::ToString;
        for text in ["0s", "2s", "300ms", "1ms", "7us", "1500ms"] {
            assert_eq!(Written(duration(text).unwrap()).to_string(), text);
        }
    }

    #[test]
    fn nonsense_and_overflow_are_refused() {
        for text in ["", "s", "3", "-1s", "3 s", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(duration(text), None, "{text}");
        }
        for text in ["", "KiB", "1kb", "18446744073709551615MiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }
}
