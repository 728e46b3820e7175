//! Nanoseconds inside, seconds in a report: for `#[serde(with)]`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub(super) fn serialize<S: Serializer>(ns: &u64, to: S) -> Result<S::Ok, S::Error> {
    (*ns as f64 / 1e9).serialize(to)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    nanos(f64::deserialize(from)?)
}

/// What is beyond the largest number of nanoseconds stays there.
fn nanos<E: de::Error>(s: f64) -> Result<u64, E> {
    if s >= 0.0 { Ok((s * 1e9).round() as u64) } else { Err(E::custom("a time is at least 0")) }
}

/// The same of what may not be known.
pub(super) mod optional {
    use super::{Deserialize, Deserializer, Serialize, Serializer, nanos};

    pub(in super::super) fn serialize<S: Serializer>(ns: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
        ns.map(|ns| ns as f64 / 1e9).serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
        Option::<f64>::deserialize(from)?.map(nanos).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Time {
        #[serde(rename = "at_s", with = "super")]
        at_ns: u64,
        #[serde(default, rename = "to_s", with = "super::optional")]
        to_ns: Option<u64>,
    }

    #[test]
    fn a_time_is_written_in_seconds_and_read_back_to_the_nanosecond() {
        let fortnight = 14 * 86_400 * 1_000_000_000 + 123_456_789;
        let time = Time { at_ns: 1_500_000_000, to_ns: Some(fortnight) };
        let text = serde_json::to_string(&time).unwrap();
        assert!(text.starts_with(r#"{"at_s":1.5,"#), "{text}");
        assert_eq!(serde_json::from_str::<Time>(&text).unwrap(), time);
        let open = Time { at_ns: 0, to_ns: None };
        assert_eq!(serde_json::from_str::<Time>(r#"{"at_s":0,"to_s":null}"#).unwrap(), open);
        assert!(serde_json::from_str::<Time>(r#"{"at_s":-1.0}"#).is_err());
    }
}
