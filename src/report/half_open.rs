//! What connections that fall silent did to the device.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::workload::seconds;
use super::{Failures, LatencyFigures};
use espstress_event::Failure;
use espstress_stats::{Exhaustion, HalfOpenStats, LimitReached, ReclaimEvidence, Stage};

/// How the device bears connections whose peer vanishes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HalfOpenFigures {
    /// Why nothing was measured; null when it was.
    pub unavailable: Option<String>,
    /// Connections opened and then silenced.
    pub silenced: u64,
    /// Of those, the ones that had been served before.
    #[serde(default)]
    pub served: u64,
    /// Of those, the ones whose handshake completed and that were never served: they wait in the backlog.
    #[serde(default)]
    pub(crate) unserved: u64,
    /// Connections that the device held at once when the next one failed; null when its limit was not reached.
    pub capacity: Option<u64>,
    /// What ended the search for the limit.
    #[serde(default)]
    pub(crate) limit: LimitReached,
    /// The rule by which it ended, in words.
    pub(crate) limit_rule: Option<String>,
    /// The first connections that met anything but service, in order.
    #[serde(default)]
    pub(crate) failures: Vec<OpenFailure>,
    /// Attempts of the well-behaved client while every socket was held.
    pub(crate) exhausted_attempts: u64,
    /// Successes among them.
    pub(crate) exhausted_succeeded: u64,
    /// Whether the well-behaved client was kept out; null where that was not looked at.
    pub exhausted: Option<bool>,
    /// The well-behaved client before any connection was silent.
    pub before: Option<Availability>,
    /// The same while connections were opened and fell silent.
    pub(crate) filling: Option<Availability>,
    /// The same from the last silence until it was served again, or until the end of the watch.
    pub(crate) during: Option<Availability>,
    /// The same after it was served again, or after the host had let go.
    pub(crate) after: Option<Availability>,
    /// Spells in which the well-behaved client was not served, in order; the first few.
    #[serde(default)]
    pub(crate) unavailable_spells: Vec<Spell>,
    /// From the last silence until the well-behaved client was served again with all of them still silent,
    /// seconds; null when it was not, or was never kept out.
    pub(crate) served_again_s: Option<f64>,
    /// From the host's resets of what was left until the well-behaved client was served, seconds.
    pub(crate) served_after_release_s: Option<f64>,
    /// Time from a connection's silence until the first socket came back, seconds; null when none did.
    pub first_reclaimed_s: Option<f64>,
    /// Time from a connection's silence until the last one came back, seconds; null when not all did.
    pub all_reclaimed_s: Option<f64>,
    /// Silenced connections that were not seen to come back.
    #[serde(default)]
    pub never_reclaimed: u64,
    /// What the times of coming back rest on.
    #[serde(default)]
    pub(crate) evidence: Vec<ReclaimEvidence>,
    /// Each silenced connection, in the order of opening.
    #[serde(default)]
    pub connections: Vec<SilencedConnection>,
    /// Sockets in use by the device's own account; null where it does not tell.
    pub(crate) sockets: Option<SocketsUsed>,
    /// Time within which the device is expected to take a socket back, seconds.
    pub(crate) expected_reclaim_s: Option<f64>,
    /// Time for which the device was watched after the exhaustion, seconds.
    pub watched_s: f64,
    /// Why this is not complete, as after a power cut; null when the workload came to its end.
    #[serde(default)]
    pub incomplete: Option<String>,
}

/// How a well-behaved client fared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Availability {
    /// Its requests, each on a connection of its own.
    pub attempts: u64,
    /// Those answered.
    pub(crate) served: u64,
    /// The others, only the names that occurred.
    pub(crate) failures: Failures,
    /// From the start of an attempt to the whole answer.
    pub latency: LatencyFigures,
}

/// A spell without service. Seconds since the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spell {
    /// The start of the first request that failed.
    pub(crate) from_s: f64,
    /// The end of the next one that was served; null when none was.
    pub(crate) to_s: Option<f64>,
    /// Requests that failed in it.
    pub(crate) failed: u64,
}

/// A connection that met anything but service.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenFailure {
    /// Its number in the order of opening, from 1.
    pub(crate) connection: u64,
    /// What it met.
    pub(crate) met: Failure,
    /// When, seconds since the start of the run.
    pub(crate) at_s: f64,
}

/// A connection on which the host fell silent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SilencedConnection {
    /// Its number in the order of opening, from 1.
    pub(crate) connection: u64,
    /// The host's TCP port.
    pub(crate) port: u16,
    /// Whether it had been served.
    pub(crate) stage: Stage,
    /// When the host fell silent, seconds since the start of the run.
    pub(crate) silent_s: f64,
    /// From then until the device gave it up, seconds; null when that was not seen.
    pub(crate) reclaimed_after_s: Option<f64>,
    /// How that is known; null when it is not.
    pub(crate) evidence: Option<ReclaimEvidence>,
}

/// Sockets in use on the device, listeners included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SocketsUsed {
    /// Before any connection was silent.
    pub(crate) before: u64,
    /// The most that was seen.
    pub(crate) most: u64,
    /// The last account before the host let go.
    pub(crate) at_end: u64,
    /// Sockets there are; null where the device does not tell.
    pub(crate) limit: Option<u64>,
}

impl HalfOpenFigures {
    /// What was measured.
    #[must_use]
    pub(crate) fn from_stats(of: &HalfOpenStats) -> Self {
        let reclaimed = || of.connections.iter().filter_map(|c| c.reclaimed_after_ns);
        let all = of.never_reclaimed == 0;
        let availability = |a| Some(Availability::from(a));
        Self {
            unavailable: of.unavailable.clone(),
            silenced: of.connections.len() as u64,
            served: of.served.into(),
            unserved: of.unserved.into(),
            capacity: (of.limit == LimitReached::Device).then_some(of.served.into()),
            limit: of.limit,
            limit_rule: limit_rule(of.limit, of.full_after),
            failures: of.failures.iter().map(OpenFailure::from).collect(),
            exhausted_attempts: of.during.attempts,
            exhausted_succeeded: of.during.served,
            exhausted: match of.exhausted {
                Exhaustion::NotJudged => None,
                Exhaustion::No => Some(false),
                Exhaustion::Yes => Some(true),
            },
            before: availability(&of.before),
            filling: availability(&of.filling),
            during: availability(&of.during),
            after: availability(&of.after),
            unavailable_spells: of.spells.iter().map(Spell::from).collect(),
            served_again_s: of.served_again_ns.map(seconds),
            served_after_release_s: of.served_after_release_ns.map(seconds),
            first_reclaimed_s: reclaimed().min().map(seconds),
            all_reclaimed_s: reclaimed().max().filter(|_| all).map(seconds),
            never_reclaimed: of.never_reclaimed.into(),
            evidence: of.evidence.clone(),
            connections: of.connections.iter().map(SilencedConnection::from).collect(),
            sockets: of.sockets_used.as_ref().map(SocketsUsed::from),
            expected_reclaim_s: Some(seconds(of.expected_reclaim_ns)),
            watched_s: seconds(of.watched_ns),
            incomplete: None,
        }
    }

    /// Whether a connection was opened, or tried to be.
    pub(super) fn asked(&self) -> bool {
        let client = [&self.before, &self.filling, &self.during, &self.after];
        self.silenced > 0
            || !self.failures.is_empty()
            || client.into_iter().flatten().any(|availability| availability.attempts > 0)
    }

    /// Share of the well-behaved client's attempts that succeeded during exhaustion, 0 to 1.
    #[must_use]
    pub(crate) fn availability(&self) -> Option<f64> {
        (self.exhausted_attempts > 0)
            .then(|| self.exhausted_succeeded as f64 / self.exhausted_attempts as f64)
    }
}

fn limit_rule(limit: LimitReached, full_after: Option<u32>) -> Option<String> {
    Some(match limit {
        LimitReached::NotSearched => return None,
        LimitReached::Device => {
            let n = full_after.map_or_else(|| "several".to_owned(), |n| n.to_string());
            format!("{n} connections in a row were not taken")
        }
        LimitReached::Setting => {
            "as many were opened as the setting `connections` allows; the device took them all".into()
        }
        LimitReached::Host => "the host itself was out of ports or files".into(),
        LimitReached::Stopped => "the run was stopped".into(),
    })
}

impl From<&espstress_stats::Availability> for Availability {
    fn from(of: &espstress_stats::Availability) -> Self {
        Self {
            attempts: of.attempts,
            served: of.served,
            failures: Failures::occurred(&of.failures),
            latency: LatencyFigures::from_latency(&of.latency),
        }
    }
}

impl From<&espstress_stats::Spell> for Spell {
    fn from(of: &espstress_stats::Spell) -> Self {
        Self { from_s: seconds(of.from_ns), to_s: of.to_ns.map(seconds), failed: of.failed }
    }
}

impl From<&espstress_stats::OpenFailure> for OpenFailure {
    fn from(of: &espstress_stats::OpenFailure) -> Self {
        Self { connection: of.connection.into(), met: of.met, at_s: seconds(of.at_ns) }
    }
}

impl From<&espstress_stats::SilencedConnection> for SilencedConnection {
    fn from(of: &espstress_stats::SilencedConnection) -> Self {
        Self {
            connection: of.connection.into(),
            port: of.port,
            stage: of.stage,
            silent_s: seconds(of.silent_ns),
            reclaimed_after_s: of.reclaimed_after_ns.map(seconds),
            evidence: of.evidence,
        }
    }
}

impl From<&espstress_stats::SocketsUsed> for SocketsUsed {
    fn from(of: &espstress_stats::SocketsUsed) -> Self {
        Self {
            before: of.before.into(),
            most: of.most.into(),
            at_end: of.at_end.into(),
            limit: of.limit.map(u64::from),
        }
    }
}
