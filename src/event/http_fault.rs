//! What was wrong with an HTTP response, in detail: the failure says that it was bad, this says how.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A head that may be HTTP/1.1, and that is longer than this client reads.
pub const HEAD_TOO_LONG: &str = "the head is longer than 128 KiB";

/// The same of one with more fields.
pub const TOO_MANY_FIELDS: &str = "more than 512 fields";

/// What is said of a response whose head was cut off: of its body nothing is known.
pub const HEAD_CUT: &str = "the head did not end";

/// The same of one that only the connection's end would have ended, where TLS's end did not come with it.
pub const NO_CLOSE_NOTIFY: &str =
    "the connection closed without TLS's end (close_notify), and nothing else says where the body ends";

/// What is said of bytes that are an alert of TLS instead of a head.
pub const TLS_ALERT: &str = "a TLS alert came back, so the port speaks TLS";

/// What is said of bytes behind a response that begin as another one does.
pub const SECOND_RESPONSE: &str = "the bytes begin with a status line: a second response";

/// A way in which a response breaks HTTP/1.1 (RFC 9112), or leaves its client in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum HttpFault {
    /// Fewer bytes came than the head promised (RFC 9112, 8).
    Truncated,
    /// Bytes came after the end of the response that nobody had asked for.
    Overlong,
    /// The chunked coding is not what RFC 9112, 7.1 says.
    BadChunk,
    /// A body followed the response to HEAD (RFC 9110, 9.3.2).
    BodyAfterHead,
    /// The same where the response says that its connection ends with it: no client takes these bytes for another one.
    BodyBeforeClose,
    /// A body followed a response that has none by its status: 1xx, 204 or 304 (RFC 9112, 6.3).
    BodyNotAllowed,
    /// Nothing in a response on a persistent connection says where it ends (RFC 9112, 9.3).
    NoLength,
    /// The client asked for `Connection: close`, and the device kept the connection open (RFC 9112, 9.6).
    CloseIgnored,
    /// The response was still coming when the run's time was up.
    Endless,
    /// The head is none that HTTP/1.x allows.
    BadHead,
}

impl HttpFault {
    /// Every fault, in the order of reports.
    pub const ALL: [Self; 10] = [
        Self::Truncated,
        Self::Overlong,
        Self::BadChunk,
        Self::BodyAfterHead,
        Self::BodyBeforeClose,
        Self::BodyNotAllowed,
        Self::NoLength,
        Self::CloseIgnored,
        Self::Endless,
        Self::BadHead,
    ];

    /// The name in reports and threshold expressions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Overlong => "overlong",
            Self::BadChunk => "bad_chunk",
            Self::BodyAfterHead => "body_after_head",
            Self::BodyBeforeClose => "body_before_close",
            Self::BodyNotAllowed => "body_not_allowed",
            Self::NoLength => "no_length",
            Self::CloseIgnored => "close_ignored",
            Self::Endless => "endless",
            Self::BadHead => "bad_head",
        }
    }
}

/// One response that was at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultSeen {
    /// How.
    pub fault: HttpFault,
    /// Body bytes that the head or a chunk's size promised; `None` where nothing was promised.
    pub promised: Option<u64>,
    /// Body bytes that came; `None` where that says nothing.
    pub received: Option<u64>,
    /// What exactly was wrong, in a few words.
    pub detail: &'static str,
}

/// How often a fault was seen, and the figures of the first one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FaultCount {
    /// Responses that had it.
    pub count: u64,
    /// Of the first one: body bytes that its head or a chunk's size promised; null where nothing was promised.
    pub promised_bytes: Option<u64>,
    /// Of the first one: body bytes that came; null where that says nothing.
    pub received_bytes: Option<u64>,
    /// Of the first one: what exactly was wrong.
    pub detail: Cow<'static, str>,
}

/// Faults of HTTP responses by name; never more entries than there are names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct HttpFaults(BTreeMap<HttpFault, FaultCount>);

impl HttpFaults {
    /// Counts one.
    pub fn count(&mut self, seen: FaultSeen) {
        let first = || FaultCount {
            count: 0,
            promised_bytes: seen.promised,
            received_bytes: seen.received,
            detail: seen.detail.into(),
        };
        self.0.entry(seen.fault).or_insert_with(first).count += 1;
    }

    /// The count and the first example of `fault`; `None` where it did not occur.
    #[must_use]
    pub fn get(&self, fault: HttpFault) -> Option<&FaultCount> {
        self.0.get(&fault)
    }

    /// How often `fault` occurred.
    #[must_use]
    pub fn times(&self, fault: HttpFault) -> u64 {
        self.get(fault).map_or(0, |seen| seen.count)
    }

    /// What occurred, in the order of reports.
    pub fn iter(&self) -> impl Iterator<Item = (HttpFault, &FaultCount)> + '_ {
        self.0.iter().map(|(fault, seen)| (*fault, seen))
    }

    /// Adds those of a later time: the first example stays.
    pub fn add(&mut self, later: &Self) {
        for (fault, seen) in later.iter() {
            match self.0.get_mut(&fault) {
                Some(own) => own.count += seen.count,
                None => drop(self.0.insert(fault, seen.clone())),
            }
        }
    }

    /// Whether none occurred.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Persistent connections that the device closed while they were idle, noticed before the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct IdleCloses {
    /// How many.
    pub count: u64,
    /// The least time from the last answer until the device's FIN, microseconds, as the host's stack tells it; where it
    /// does not, until the client looked. The device closed it no later than that.
    pub min_us: u64,
    /// The median of these times, microseconds.
    pub median_us: u64,
    /// Of these, the ones that were silent before their first request: that request was not sent, and failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub before_request: u64,
    /// Of all of them, the ones that the device told with a response 408 (RFC 9110, 15.5.9).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub told: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_example_is_kept_and_the_rest_are_counted() {
        let mut faults = HttpFaults::default();
        let seen = |received| FaultSeen {
            fault: HttpFault::Truncated,
            promised: Some(1_306),
            received: Some(received),
            detail: "then FIN",
        };
        (1_305..1_400).for_each(|received| faults.count(seen(received)));
        let kept = faults.get(HttpFault::Truncated).unwrap();
        assert_eq!((kept.count, kept.promised_bytes, kept.received_bytes), (95, Some(1_306), Some(1_305)));
        assert_eq!(faults.times(HttpFault::Endless), 0);
    }

    #[test]
    fn reports_and_thresholds_use_the_same_names() {
        for fault in HttpFault::ALL {
            assert_eq!(serde_json::to_value(fault).unwrap(), fault.name());
        }
    }
}
