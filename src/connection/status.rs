//! Which HTTP status codes are right.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Status codes as a list of codes and classes: `200,204`, `2xx`, `2xx,404`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Given", into = "String")]
pub struct ExpectedStatus {
    /// First and last code of each entry.
    ranges: Vec<(u16, u16)>,
}

/// A list of status codes that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no status code: use codes and classes, as 200, 2xx or 200,204,3xx")]
pub struct StatusError {
    given: String,
}

impl ExpectedStatus {
    /// Whether a response with that code is right.
    #[must_use]
    pub fn allows(&self, status: u16) -> bool {
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }
}

impl FromStr for ExpectedStatus {
    type Err = StatusError;

    fn from_str(text: &str) -> Result<Self, StatusError> {
        let ranges = text.split(',').map(|one| {
            let error = || StatusError { given: one.trim().to_owned() };
            let range = match one.trim().as_bytes() {
                [class @ b'1'..=b'5', b'x' | b'X', b'x' | b'X'] => {
                    let first = u16::from(class - b'0') * 100;
                    (first, first + 99)
                }
                [a @ b'1'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
                    let code = [a, b, c].iter().fold(0, |n, digit| n * 10 + u16::from(**digit - b'0'));
                    (code, code)
                }
                _ => return Err(error()),
            };
            Ok(range)
        });
        Ok(Self { ranges: ranges.collect::<Result<_, _>>()? })
    }
}

impl fmt::Display for ExpectedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (first, last)) in self.ranges.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{}xx", first / 100)?,
            }
        }
        Ok(())
    }
}

/// As scenario files may have it: one code is a number there.
#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    Code(u16),
    List(String),
}

impl TryFrom<Given> for ExpectedStatus {
    type Error = StatusError;

    fn try_from(given: Given) -> Result<Self, StatusError> {
        match given {
            Given::Code(code) => code.to_string().parse(),
            Given::List(list) => list.parse(),
        }
    }
}

impl From<ExpectedStatus> for String {
    fn from(status: ExpectedStatus) -> Self {
        status.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_classes_are_read_and_written_alike() {
        let expected: ExpectedStatus = "200, 204,3xx".parse().unwrap();
        assert_eq!(expected.to_string(), "200,204,3xx");
        let allowed: Vec<u16> = (100..600).filter(|code| expected.allows(*code)).collect();
        assert_eq!(allowed.len(), 102);
        assert!(
            expected.allows(204) && expected.allows(399) && !expected.allows(201) && !expected.allows(400)
        );
    }

    #[test]
    fn what_is_no_status_is_refused_by_name() {
        for text in ["", "2x", "600", "099", "2xx,", "ok", "20O"] {
            assert!(text.parse::<ExpectedStatus>().is_err(), "{text}");
        }
    }
}
