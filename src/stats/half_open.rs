//! What connections that fall silent did to the device, and what it did about them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Latency;
use crate::event::FailureCounts;

/// The result of a half-open workload. Bounded by the number of connections it may open.
#[derive(Clone, Debug, Default)]
pub struct HalfOpenStats {
    /// Why nothing was measured, in one sentence; `None` when it was.
    pub unavailable: Option<String>,
    /// Connections that answered a request before the host fell silent on them: the capacity that was found.
    pub served: u32,
    /// Connections whose handshake completed but which were not served: they wait in the device's backlog.
    pub unserved: u32,
    /// What ended the search for the limit.
    pub limit: LimitReached,
    /// The first connections that met anything but service, in order; at most [`HalfOpenStats::MOST_FAILURES`].
    pub failures: Vec<OpenFailure>,
    /// When the last connection fell silent, nanoseconds since the start of the run.
    pub silent_since_ns: Option<u64>,
    /// How long after that the host watched, nanoseconds.
    pub watched_ns: u64,
    /// The time within which the device is expected to take a socket back (its keep-alive settings), nanoseconds.
    pub expected_reclaim_ns: u64,
    /// The well-behaved client before any connection was silent.
    pub before: Availability,
    /// The same while connections were opened and fell silent.
    pub filling: Availability,
    /// The same from the last silence until the device served it again, or until the end of the watch.
    pub during: Availability,
    /// The same after the device served it again.
    pub after: Availability,
    /// From the last silence until the well-behaved client was served again while every connection was still
    /// silent, nanoseconds. `None` when that did not happen, or when it was never refused.
    pub served_again_ns: Option<u64>,
    /// Whether the well-behaved client was ever refused while the connections were silent.
    pub exhausted: Exhaustion,
    /// One entry a silenced connection, in the order of opening.
    pub connections: Vec<SilencedConnection>,
    /// From a connection's silence until its reclaim, for those that were seen to be reclaimed.
    pub reclaim: Latency,
    /// Silenced connections that were not seen to be reclaimed in the watched time.
    pub never_reclaimed: u32,
    /// What the reclaim times rest on.
    pub evidence: Vec<ReclaimEvidence>,
    /// Sockets in use by the device's own account: before, the most during, and at the end of the watch.
    pub sockets_used: Option<SocketsUsed>,
    /// From the host's resets of what was left until the well-behaved client was served, nanoseconds; `None`
    /// when nothing was left, or the device did not come back.
    pub served_after_release_ns: Option<u64>,
    /// Spells in which the well-behaved client was not served; the first [`HalfOpenStats::MOST_SPELLS`].
    pub spells: Vec<Spell>,
}

impl HalfOpenStats {
    /// Most entries of [`HalfOpenStats::failures`].
    pub const MOST_FAILURES: usize = 64;

    /// Most entries of [`HalfOpenStats::spells`].
    pub const MOST_SPELLS: usize = 64;
}

/// A spell in which no request of the well-behaved client was served. Nanoseconds since the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spell {
    /// The start of the first request that failed.
    pub from_ns: u64,
    /// The end of the next one that was served; `None` when none was.
    pub to_ns: Option<u64>,
    /// Requests that failed in it.
    pub failed: u64,
}

/// What ended the search for the device's limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitReached {
    /// The search did not come to an end.
    #[default]
    NotSearched,
    /// The device took no further connection.
    Device,
    /// The most connections that the host was to open; the device would have taken more.
    Setting,
    /// The host itself was out of ports or files.
    Host,
    /// The run was stopped.
    Stopped,
}

impl LimitReached {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotSearched => "not_searched",
            Self::Device => "device",
            Self::Setting => "setting",
            Self::Host => "host",
            Self::Stopped => "stopped",
        }
    }
}

/// Whether the silent connections kept others out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exhaustion {
    /// Not looked at.
    #[default]
    NotJudged,
    /// The well-behaved client was served throughout.
    No,
    /// It was not, for a time.
    Yes,
}

/// A connection that met anything but service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFailure {
    /// Its number in the order of opening, from 1.
    pub connection: u32,
    /// What it met.
    pub met: crate::event::Failure,
    /// When, nanoseconds since the start of the run.
    pub at_ns: u64,
}

/// A connection on which the host fell silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SilencedConnection {
    /// Its number in the order of opening, from 1.
    pub connection: u32,
    /// The host's TCP port.
    pub port: u16,
    /// Whether it had been served.
    pub stage: Stage,
    /// When the host fell silent, nanoseconds since the start of the run.
    pub silent_ns: u64,
    /// From then until the device gave it up; `None` when that was not seen.
    pub reclaimed_after_ns: Option<u64>,
    /// How that is known.
    pub evidence: Option<ReclaimEvidence>,
}

/// How far a silenced connection had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// A request was answered.
    Served,
    /// The handshake was complete, no more.
    Unserved,
}

/// How a reclaim is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReclaimEvidence {
    /// The device's RST came in on the silenced connection itself: its keep-alive or its program gave up.
    #[serde(rename = "reset_received")]
    Reset,
    /// The device's telemetry showed fewer sockets in use; which connection it was is not known, the one silent
    /// for longest is taken.
    #[serde(rename = "telemetry_sockets")]
    Telemetry,
}

impl ReclaimEvidence {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset_received",
            Self::Telemetry => "telemetry_sockets",
        }
    }
}

/// How a well-behaved client fared.
#[derive(Clone, Debug, Default)]
pub struct Availability {
    /// Its requests, each on a connection of its own.
    pub attempts: u64,
    /// Those answered.
    pub served: u64,
    /// The others by name.
    pub failures: FailureCounts,
    /// From the start of an attempt to the whole answer.
    pub latency: Latency,
}

impl Availability {
    /// Answered requests of a hundred; `None` when there was none.
    #[must_use]
    pub fn percent(&self) -> Option<f64> {
        (self.attempts > 0).then(|| 100.0 * self.served as f64 / self.attempts as f64)
    }
}

/// Sockets in use on the device, listeners included, by its own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketsUsed {
    /// Before any connection was silent.
    pub before: u32,
    /// The most that was seen.
    pub most: u32,
    /// The last account before the host let go.
    pub at_end: u32,
    /// Sockets there are; `None` when the device does not say.
    pub limit: Option<u32>,
}
