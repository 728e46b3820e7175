//! The grammar of a threshold: `NAME OP NUMBER[UNIT]`. Total: any text is an expression or a located error.

use std::fmt;

use crate::Unit;

/// How a figure is held against its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

impl Op {
    /// Every operator; those of two characters first, so that the first that fits is the right one.
    pub(crate) const ALL: [Self; 6] =
        [Self::AtMost, Self::AtLeast, Self::Equal, Self::NotEqual, Self::Less, Self::Greater];

    /// As it is written.
    #[must_use]
    pub(crate) const fn symbol(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
        }
    }

    /// The operator that holds of the values with their signs changed.
    #[must_use]
    pub(crate) const fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::AtMost => Self::AtLeast,
            Self::Greater => Self::Less,
            Self::AtLeast => Self::AtMost,
            same => same,
        }
    }

    /// Whether `value OP bound` holds. Values that differ in the tenth digit only are equal: 99.9 % is 0.999.
    #[must_use]
    pub(crate) fn holds(self, value: f64, bound: f64) -> bool {
        let equal = (value - bound).abs() <= 1e-9 * value.abs().max(bound.abs());
        match self {
            Self::Less => value < bound && !equal,
            Self::AtMost => value < bound || equal,
            Self::Greater => value > bound && !equal,
            Self::AtLeast => value > bound || equal,
            Self::Equal => equal,
            Self::NotEqual => !equal,
        }
    }
}

/// A unit as it is written, what it measures, and its size in the report's unit for that.
type UnitRow = (&'static str, Unit, f64);

/// Every unit there is. The report's own unit has size 1.
const UNITS: [UnitRow; 30] = [
    ("ns", Unit::Us, 1e-3),
    ("us", Unit::Us, 1.0),
    ("ms", Unit::Us, 1e3),
    ("s", Unit::Us, 1e6),
    ("m", Unit::Us, 60e6),
    ("h", Unit::Us, 3_600e6),
    ("%", Unit::Ratio, 0.01),
    ("B", Unit::Bytes, 1.0),
    ("kB", Unit::Bytes, 1e3),
    ("KB", Unit::Bytes, 1e3),
    ("MB", Unit::Bytes, 1e6),
    ("GB", Unit::Bytes, 1e9),
    ("KiB", Unit::Bytes, 1024.0),
    ("MiB", Unit::Bytes, 1_048_576.0),
    ("GiB", Unit::Bytes, 1_073_741_824.0),
    ("B/s", Unit::BytesPerS, 1.0),
    ("kB/s", Unit::BytesPerS, 1e3),
    ("KB/s", Unit::BytesPerS, 1e3),
    ("MB/s", Unit::BytesPerS, 1e6),
    ("KiB/s", Unit::BytesPerS, 1024.0),
    ("MiB/s", Unit::BytesPerS, 1_048_576.0),
    ("/s", Unit::PerS, 1.0),
    ("B/h", Unit::BytesPerHour, 1.0),
    ("kB/h", Unit::BytesPerHour, 1e3),
    ("KB/h", Unit::BytesPerHour, 1e3),
    ("MB/h", Unit::BytesPerHour, 1e6),
    ("KiB/h", Unit::BytesPerHour, 1024.0),
    ("MiB/h", Unit::BytesPerHour, 1_048_576.0),
    ("/h", Unit::PerHour, 1.0),
    ("dBm", Unit::Dbm, 1.0),
];

/// The units that a figure measured in `unit` may be given in; empty where it is a plain number.
pub(super) fn units_for(unit: Unit) -> impl Iterator<Item = &'static str> {
    UNITS.iter().filter(move |row| row.1 == unit).map(|row| row.0)
}

/// One gate: a figure's name, how it is compared, and with what.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Threshold {
    text: String,
    name: String,
    op: Op,
    number: f64,
    unit: Option<UnitRow>,
}

impl Threshold {
    /// Reads `NAME OP NUMBER[UNIT]`.
    ///
    /// # Errors
    /// When the text is not of that form: where, what was found, and what may stand there.
    pub(crate) fn parse(text: &str) -> Result<Self, ParseError> {
        let at = |position: usize, expected: &str| ParseError {
            text: text.to_owned(),
            column: text[..position].chars().count() + 1,
            found: found(&text[position..]),
            expected: expected.to_owned(),
        };
        let name_end = text.find(['<', '>', '=', '!']).unwrap_or(text.len());
        let name = text[..name_end].trim();
        if name.is_empty() {
            let start = text.len() - text.trim_start().len();
            return Err(at(start, "a figure's name, as head.latency.total.p99"));
        }
        let symbols = "one of < <= > >= == !=";
        let rest = &text[name_end..];
        let op = Op::ALL.into_iter().find(|op| rest.starts_with(op.symbol()));
        let op = op.ok_or_else(|| at(name_end, symbols))?;
        let after_op = name_end + op.symbol().len();
        let number_start = skip_blanks(text, after_op);
        if text[number_start..].starts_with(['<', '>', '=', '!']) {
            return Err(at(name_end, symbols));
        }
        let number_end = number_start + number_length(&text[number_start..]);
        let number = text[number_start..number_end].parse::<f64>().ok().filter(|n| n.is_finite());
        let number = number.ok_or_else(|| at(number_start, "a number, as 250 or 99.9 or -1"))?;
        let unit_start = skip_blanks(text, number_end);
        let unit = match text[unit_start..].trim_end() {
            "" => None,
            "\u{b5}s" | "\u{3bc}s" => UNITS.iter().find(|row| row.0 == "us").copied(),
            word => Some(
                UNITS
                    .iter()
                    .find(|row| row.0 == word)
                    .copied()
                    .ok_or_else(|| at(unit_start, &all_units()))?,
            ),
        };
        Ok(Self { text: text.trim().to_owned(), name: name.to_owned(), op, number, unit })
    }

    /// The expression as it was given.
    #[must_use]
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The figure's name.
    #[must_use]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How it is compared.
    #[must_use]
    pub(crate) const fn op(&self) -> Op {
        self.op
    }

    /// The bound in the report's unit for `unit`, or `None` where the bound's unit does not fit. A time wants a
    /// unit, since 250 alone could be anything; everything else may be a plain number, and so may 0.
    #[must_use]
    pub(crate) fn bound_in(&self, unit: Unit) -> Option<f64> {
        match self.unit {
            Some((_, of, size)) => (of == unit).then_some(self.number * size),
            None => (unit != Unit::Us || self.number == 0.0).then_some(self.number),
        }
    }

    /// The bound's unit as it was written.
    pub(super) fn unit_text(&self) -> Option<&'static str> {
        self.unit.map(|row| row.0)
    }
}

fn skip_blanks(text: &str, from: usize) -> usize {
    text.len() - text[from..].trim_start().len()
}

/// Length in bytes of the number that `text` starts with: sign, digits, a fraction. All of it ASCII.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let sign = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    let digits = bytes[sign..].iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
    sign + digits
}

/// The word at the place of an error.
fn found(rest: &str) -> Option<String> {
    let word = rest.split_whitespace().next()?;
    Some(word.chars().take(24).collect())
}

fn all_units() -> String {
    let names: Vec<_> = UNITS.iter().map(|row| row.0).collect();
    format!("a unit, one of {}, or nothing", names.join(" "))
}

/// Where and why a text is no threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The text.
    pub(crate) text: String,
    /// Where in it, in characters from 1.
    pub(crate) column: usize,
    /// What stands there; `None` at the end of the text.
    pub(crate) found: Option<String>,
    /// What may stand there.
    pub(crate) expected: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, column, found, expected } = self;
        write!(f, "threshold `{text}`, column {column}: expected {expected}; found ")?;
        match found {
            Some(word) => write!(f, "`{word}`"),
            None => write!(f, "the end"),
        }
    }
}

impl std::error::Error for ParseError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Threshold {
        Threshold::parse(text).unwrap_or_else(|e| panic!("{e}"))
    }

    fn error(text: &str) -> ParseError {
        Threshold::parse(text).unwrap_err()
    }

    #[test]
    fn blanks_are_optional_everywhere() {
        for text in ["a.b<=5ms", " a.b <= 5 ms ", "a.b <=5ms"] {
            let t = parse(text);
            assert_eq!((t.name(), t.op(), t.bound_in(Unit::Us)), ("a.b", Op::AtMost, Some(5000.0)), "{text}");
        }
    }

    #[test]
    fn units_are_converted_to_the_reports() {
        let cases = [
            ("x < 250ms", Unit::Us, 250_000.0),
            ("x < 3s", Unit::Us, 3e6),
            ("x < 800ns", Unit::Us, 0.8),
            ("x < 7\u{b5}s", Unit::Us, 7.0),
            ("x > 50KiB/s", Unit::BytesPerS, 51_200.0),
            ("x > 50 kB/s", Unit::BytesPerS, 50_000.0),
            ("x > 100/s", Unit::PerS, 100.0),
            ("x > -1KiB/h", Unit::BytesPerHour, -1024.0),
            ("x > -70dBm", Unit::Dbm, -70.0),
            ("x > 30KiB", Unit::Bytes, 30_720.0),
            ("x == 12", Unit::Count, 12.0),
        ];
        for (text, unit, want) in cases {
            assert_eq!(parse(text).bound_in(unit), Some(want), "{text}");
        }
        assert!((parse("x >= 99.9%").bound_in(Unit::Ratio).unwrap() - 0.999).abs() < 1e-12);
    }

    #[test]
    fn a_bound_in_the_wrong_unit_is_none() {
        assert_eq!(parse("x < 5ms").bound_in(Unit::Count), None);
        assert_eq!(parse("x < 5KiB").bound_in(Unit::BytesPerS), None);
        assert_eq!(parse("x < 250").bound_in(Unit::Us), None, "250 what?");
        assert_eq!(parse("x == 0").bound_in(Unit::Us), Some(0.0));
    }

    #[test]
    fn each_operator_compares_as_it_is_written() {
        for (op, [below, equal, above]) in [
            (Op::Less, [true, false, false]),
            (Op::AtMost, [true, true, false]),
            (Op::Greater, [false, false, true]),
            (Op::AtLeast, [false, true, true]),
            (Op::Equal, [false, true, false]),
            (Op::NotEqual, [true, false, true]),
        ] {
            for (value, expected) in [
                (99.0, below),
                (100.0 - 1e-5, below),
                (100.0 - 1e-8, equal),
                (100.0, equal),
                (100.0 + 1e-8, equal),
                (100.0 + 1e-5, above),
                (101.0, above),
            ] {
                assert_eq!(op.holds(value, 100.0), expected, "{value} {} 100", op.symbol());
            }
            assert_eq!(op.holds(1e-3 - 1e-9, 1e-3), below, "small values are as exact");
        }
    }

    #[test]
    fn percentages_compare_as_they_read() {
        let bound = parse("x >= 99.9%").bound_in(Unit::Ratio).unwrap();
        assert!(Op::AtLeast.holds(0.999, bound) && Op::Equal.holds(0.999, bound));
        assert!(!Op::Greater.holds(0.999, bound) && !Op::AtLeast.holds(0.998_999, bound));
    }

    #[test]
    fn an_error_tells_where_what_was_found_and_what_may_stand_there() {
        let e = error("head.success_rate => 1");
        assert_eq!((e.column, e.found.as_deref()), (19, Some("=>")));
        assert!(e.expected.contains(">="), "{e}");
        let e = error("head.attempts >= lots");
        assert_eq!((e.column, e.found.as_deref()), (18, Some("lots")));
        let e = error("head.p99 < 5 parsecs");
        assert_eq!((e.column, e.found.as_deref()), (14, Some("parsecs")));
        assert!(e.expected.contains("KiB/s"), "{e}");
        let e = error("head.p99");
        assert_eq!((e.column, e.found), (9, None));
        let e = error("  < 5");
        assert_eq!((e.column, e.found.as_deref()), (3, Some("<")));
        let said =
            "threshold `head.p99 <`, column 11: expected a number, as 250 or 99.9 or -1; found the end";
        assert_eq!(error("head.p99 <").to_string(), said);
        assert!(error("head.p99 < 5 parsecs").to_string().ends_with("; found `parsecs`"));
        for text in ["", " ", "a <", "a < 1.2.3", "a < -", "a === 1", "a < 1 ms ms"] {
            error(text);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_expression_or_an_error(text in "\\PC*") {
            let _ = Threshold::parse(&text);
        }

        #[test]
        fn text_that_looks_like_an_expression_never_panics(
            text in "[a-z.\u{b5}\u{e9} ]{0,12}[<>=! ]{0,3}[-+0-9. ]{0,8}[a-zA-Z/%\u{b5} ]{0,5}",
        ) {
            if let Ok(t) = Threshold::parse(&text) {
                prop_assert_eq!(Threshold::parse(t.text()).unwrap(), t);
            }
        }

        #[test]
        fn any_finite_bound_is_read_back(n in -1e12..1e12f64) {
            let t = Threshold::parse(&format!("a.b <= {n}"));
            if let Ok(t) = t {
                prop_assert_eq!(t.bound_in(Unit::Count), Some(n));
            }
        }
    }
}
