//! Quantities as people type them: `200ms`, `10m`, `360h`; `10KiB`; `1000/s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A quantity that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no {what}: {allowed}")]
pub struct UnitError {
    given: String,
    what: &'static str,
    allowed: &'static str,
}

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "String")]
pub struct Span(pub Duration);

impl Span {
    /// So many milliseconds.
    #[must_use]
    pub const fn millis(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }
}

const SPAN_UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

impl FromStr for Span {
    type Err = UnitError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let error = || UnitError {
            given: s.to_owned(),
            what: "duration",
            allowed: "a number with ns, us, ms, s, m, h or d, as 200ms, 3s, 10m or 360h",
        };
        let (number, unit) = split(s).ok_or_else(error)?;
        let (_, scale) = SPAN_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?;
        let ns = number * *scale as f64;
        if !(ns.is_finite() && ns <= u64::MAX as f64 / 2.0) {
            let what = "duration that espstress can count";
            return Err(UnitError { what, allowed: "106751d (292 years) is the longest", ..error() });
        }
        Ok(Self(Duration::from_nanos(ns.round() as u64)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX);
        let whole = SPAN_UNITS.iter().rev().find(|(_, scale)| ns.is_multiple_of(*scale));
        match whole {
            _ if ns == 0 => f.write_str("0s"),
            Some((unit, scale)) => write!(f, "{}{unit}", ns / scale),
            None => write!(f, "{ns}ns"),
        }
    }
}

/// An amount of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "String")]
pub struct Size(pub u64);

const SIZE_UNITS: [(&str, u64); 8] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

impl FromStr for Size {
    type Err = UnitError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let error = || UnitError {
            given: s.to_owned(),
            what: "size",
            allowed: "a number of bytes, or with KiB, MiB, GiB, kB, MB or GB, as 200 or 10KiB",
        };
        let (number, unit) = split(s).ok_or_else(error)?;
        let scale = match unit {
            "" => 1,
            _ => SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?.1,
        };
        let bytes = number * scale as f64;
        if !(bytes.is_finite() && bytes <= (1u64 << 50) as f64) {
            return Err(error());
        }
        Ok(Self(bytes.round() as u64))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = SIZE_UNITS[..3].iter().find(|(_, scale)| self.0 > 0 && self.0.is_multiple_of(*scale));
        match whole {
            Some((unit, scale)) => write!(f, "{}{unit}", self.0 / scale),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// A rate below this is none: one attempt in 28 hours.
const LEAST_RATE: f64 = 1e-5;

/// So many a second.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "String")]
pub struct Rate(f64);

impl Rate {
    /// Time between two starts.
    #[must_use]
    pub fn interval(self) -> Duration {
        Duration::from_secs_f64(1.0 / self.0)
    }

    /// One of `n` equal shares; the least rate there is where that is less.
    #[must_use]
    pub fn share(self, n: u32) -> Self {
        Self((self.0 / f64::from(n.max(1))).max(LEAST_RATE))
    }
}

impl FromStr for Rate {
    type Err = UnitError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let error = || UnitError {
            given: s.to_owned(),
            what: "rate",
            allowed: "N/s, N/m or N/h, up to 1000000/s, as 1000/s or 30/m",
        };
        let (number, per) = s.split_once('/').unwrap_or((s, "s"));
        let number: f64 = number.trim().parse().map_err(|_| error())?;
        let seconds = match per.trim() {
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3_600.0,
            _ => return Err(error()),
        };
        let rate = number / seconds;
        if !(LEAST_RATE..=1e6).contains(&rate) {
            return Err(error());
        }
        Ok(Self(rate))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

/// So many bytes a second, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "String")]
pub struct Throughput(u64);

impl Throughput {
    /// Bytes a second.
    #[must_use]
    pub const fn bytes_per_s(self) -> u64 {
        self.0
    }
}

impl FromStr for Throughput {
    type Err = UnitError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let error = || UnitError {
            given: s.to_owned(),
            what: "throughput",
            allowed: "a size for each second, 1B/s or more, as 100B/s or 10KiB/s",
        };
        let size = s.trim().strip_suffix("/s").unwrap_or(s);
        match size.parse::<Size>() {
            Ok(Size(bytes @ 1..)) => Ok(Self(bytes)),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Throughput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", Size(self.0))
    }
}

/// What a file may hold where a quantity is wanted: text, or a bare number where that means something.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Written(String),
    Whole(u64),
    Fraction(f64),
}

impl Text {
    fn into_text(self) -> String {
        match self {
            Self::Written(text) => text,
            Self::Whole(number) => number.to_string(),
            Self::Fraction(number) => number.to_string(),
        }
    }
}

macro_rules! textual {
    ($($name:ident),*) => {$(
        impl TryFrom<Text> for $name {
            type Error = UnitError;
            fn try_from(text: Text) -> Result<Self, UnitError> {
                text.into_text().parse()
            }
        }

        impl From<$name> for String {
            fn from(quantity: $name) -> Self {
                quantity.to_string()
            }
        }
    )*};
}

textual!(Span, Size, Rate, Throughput);

/// A non-negative number and what follows it.
fn split(s: &str) -> Option<(f64, &str)> {
    let s = s.trim();
    let end = s.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(s.len());
    let (number, unit) = s.split_at(end);
    Some((number.replace('_', "").parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_duration_that_is_too_long_is_called_too_long() {
        let said = "99999999d".parse::<Span>().unwrap_err().to_string();
        assert!(said.contains("292 years") && said.contains("can count"), "{said}");
        assert!("106751d".parse::<Span>().is_ok());
    }

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, ns) in [
            ("200ms", 200_000_000u64),
            ("3s", 3_000_000_000),
            ("0.2s", 200_000_000),
            ("10m", 600_000_000_000),
            ("360h", 1_296_000_000_000_000),
            ("1.5us", 1_500),
        ] {
            assert_eq!(text.parse::<Span>().unwrap().0, Duration::from_nanos(ns), "{text}");
        }
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, bytes) in
            [("10KiB", 10_240), ("200", 200), ("200B", 200), ("1.5MiB", 1_572_864), ("5kB", 5_000)]
        {
            assert_eq!(text.parse::<Size>().unwrap().0, bytes, "{text}");
        }
    }

    #[test]
    fn throughputs_are_sizes_for_each_second() {
        for (text, bytes) in [("100B/s", 100), ("100", 100), ("10KiB/s", 10_240), ("1 B/s", 1)] {
            let read = text.parse::<Throughput>().unwrap();
            assert_eq!(read.bytes_per_s(), bytes, "{text}");
            assert_eq!(read.to_string().parse::<Throughput>().unwrap(), read);
        }
        for bad in ["0", "0.2B/s", "100B/m", "/s", "fast"] {
            assert!(bad.parse::<Throughput>().unwrap_err().to_string().contains("100B/s"), "{bad}");
        }
    }

    #[test]
    fn a_wrong_quantity_says_what_is_allowed() {
        for bad in ["", "5", "ms", "-3s", "5 parsecs", "1e999s"] {
            let error = bad.parse::<Span>().unwrap_err().to_string();
            assert!(error.contains("200ms"), "{error}");
        }
        assert!("0/s".parse::<Rate>().is_err());
        assert!("5/parsec".parse::<Rate>().is_err());
        assert!("12XiB".parse::<Size>().is_err());
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(ns in 0u64..u64::MAX / 4) {
            // Beyond 2^53 the decimal goes through a double: whole milliseconds only.
            let ns = if ns > 1 << 53 { ns / 1_000_000 * 1_000_000 } else { ns };
            let span = Span(Duration::from_nanos(ns));
            let back: Span = span.to_string().parse().unwrap();
            prop_assert!(back.0.abs_diff(span.0) <= Duration::from_nanos(ns >> 52));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = text.parse::<Span>();
            let _ = text.parse::<Size>();
            let _ = text.parse::<Rate>();
            let _ = text.parse::<Throughput>();
        }
    }
}
