//! Figures in the form that people read: three significant digits, a fitting unit, thousands set apart.

use super::{ThresholdRow, Unit};

/// A time given in microseconds, as `21.3 us`, `4.05 ms`, `12.0 s`, `14 min 10 s`, `2 h 30 min`.
#[must_use]
pub(crate) fn time_us(us: f64) -> String {
    let a = us.abs();
    if us == 0.0 {
        "0 s".into()
    } else if a < 0.9995 {
        format!("{} ns", digits(us * 1e3))
    } else if a < 999.5 {
        format!("{} us", digits(us))
    } else if a < 999_500.0 {
        format!("{} ms", digits(us / 1e3))
    } else if a < 300e6 {
        format!("{} s", digits(us / 1e6))
    } else if a < 7_200e6 {
        let s = (us / 1e6).round();
        format!("{} min {} s", (s / 60.0).trunc(), s % 60.0)
    } else {
        let min = (us / 60e6).round();
        format!("{} h {} min", (min / 60.0).trunc(), min % 60.0)
    }
}

/// A time given in seconds.
#[must_use]
pub(crate) fn time_s(s: f64) -> String {
    time_us(s * 1e6)
}

/// When something occurred, seconds: `at 2.00 s`, or `2.00 s to 3.00 s`.
#[must_use]
pub(crate) fn when(first_s: f64, last_s: f64) -> String {
    let (first, last) = (time_s(first_s), time_s(last_s));
    if first == last { format!("at {first}") } else { format!("{first} to {last}") }
}

/// Three significant digits, without an exponent; whole numbers beyond.
#[must_use]
pub(crate) fn digits(x: f64) -> String {
    let a = x.abs();
    if a >= 99.95 {
        grouped(&format!("{x:.0}"))
    } else if a >= 9.995 {
        format!("{x:.1}")
    } else if a >= 0.9995 || a == 0.0 {
        format!("{x:.2}")
    } else {
        format!("{x:.3}")
    }
}

/// A number of things with its thousands set apart.
#[must_use]
pub(crate) fn count(n: u64) -> String {
    grouped(&n.to_string())
}

/// `n` of something: `1 connection`, `2,000 connections`.
#[must_use]
pub fn things(n: u64, one: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {one}{plural}", count(n))
}

/// `n` of something, unless there is none.
#[must_use]
pub(crate) fn positive(n: u64, one: &str) -> Option<String> {
    (n > 0).then(|| things(n, one))
}

fn grouped(integer: &str) -> String {
    let (sign, figures) = integer.strip_prefix('-').map_or(("", integer), |rest| ("-", rest));
    let mut out = String::from(sign);
    for (i, c) in figures.chars().enumerate() {
        if i > 0 && (figures.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Bytes, as `512 B`, `61.4 KiB`.
#[must_use]
pub(crate) fn bytes(b: f64) -> String {
    let a = b.abs();
    let (size, unit) = match a {
        _ if a < 1024.0 => return format!("{} B", grouped(&format!("{b:.0}"))),
        _ if a < 1_048_576.0 => (1024.0, "KiB"),
        _ if a < 1_073_741_824.0 => (1_048_576.0, "MiB"),
        _ => (1_073_741_824.0, "GiB"),
    };
    format!("{} {unit}", digits(b / size))
}

/// A share as a percentage that never rounds a flaw away: 100 % only when it is all of it, 0 % only when none.
#[must_use]
pub(crate) fn percent(ratio: f64) -> String {
    let p = ratio * 100.0;
    if ratio == 0.0 || ratio == 1.0 {
        return format!("{p:.0} %");
    }
    let text = if p > 99.9 {
        format!("{:.3}", p.min(99.999))
    } else if p >= 10.0 {
        format!("{p:.1}")
    } else if p < 0.001 {
        "below 0.001".into()
    } else {
        digits(p)
    };
    format!("{text} %")
}

/// A rate, as `641/s`.
#[must_use]
pub(crate) fn rate(per_s: f64) -> String {
    format!("{}/s", digits(per_s))
}

/// A figure in the words of its unit.
#[must_use]
pub fn figure(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Count if value.fract() == 0.0 => grouped(&format!("{value:.0}")),
        Unit::Count => digits(value),
        Unit::Ratio => percent(value),
        Unit::Us => time_us(value),
        Unit::Bytes => bytes(value),
        Unit::BytesPerS => format!("{}/s", bytes(value)),
        Unit::PerS => rate(value),
        Unit::Dbm => format!("{} dBm", digits(value)),
        Unit::BytesPerHour => format!("{}/h", bytes(value)),
        Unit::PerHour => format!("{}/h", digits(value)),
    }
}

/// What a gate found.
#[must_use]
pub(crate) fn found(row: &ThresholdRow) -> String {
    row.value.map_or_else(|| "not measured".into(), |v| figure(v, row.unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_in_a_fitting_unit_with_three_digits() {
        let cases = [
            (0.0, "0 s"),
            (0.25, "250 ns"),
            (21.34, "21.3 us"),
            (999.6, "1.00 ms"),
            (4_050.0, "4.05 ms"),
            (946_000.0, "946 ms"),
            (999_900.0, "1.00 s"),
            (12e6, "12.0 s"),
            (850e6, "14 min 10 s"),
            (9_000e6, "2 h 30 min"),
        ];
        for (us, want) in cases {
            assert_eq!(time_us(us), want);
        }
    }

    #[test]
    fn a_flaw_is_not_rounded_away() {
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(0.999_999_9), "99.999 %");
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(percent(0.000_000_1), "below 0.001 %");
        assert_eq!(percent(0.853), "85.3 %");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(things(1, "connection"), "1 connection");
        assert_eq!(bytes(62_874.0), "61.4 KiB");
        assert_eq!(bytes(-100.0), "-100 B");
    }
}
