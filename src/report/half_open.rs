//! What connections that fall silent did to the device.

use serde::{Deserialize, Serialize};

use super::human::things;
use super::workload::seconds;
use super::{Failures, LatencyFigures};
use espstress_event::{OpenFailure, SilencedConnection, SocketsUsed, Spell};
use espstress_stats::{HalfOpenStats, LimitReached, ReclaimEvidence};

/// How the device bears connections whose peer vanishes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

impl HalfOpenFigures {
    /// What was measured.
    #[must_use]
    pub(crate) fn from_stats(of: &HalfOpenStats) -> Self {
        let reclaimed = || of.connections.iter().filter_map(|c| c.reclaimed_after_ns);
        let all = of.never_reclaimed == 0;
        let availability = |a| Some(Availability::from(a));
        Self {
            unavailable: of.unavailable.clone(),
            silenced: of.silenced().into(),
            served: of.served.into(),
            unserved: of.unserved.into(),
            capacity: of.capacity().map(u64::from),
            limit: of.limit,
            limit_rule: limit_rule(of),
            failures: of.failures.clone(),
            exhausted_attempts: of.during.attempts,
            exhausted_succeeded: of.during.served,
            exhausted: of.exhausted,
            before: availability(&of.before),
            filling: availability(&of.filling),
            during: availability(&of.during),
            after: availability(&of.after),
            unavailable_spells: of.spells.clone(),
            served_again_s: of.served_again_ns.map(seconds),
            served_after_release_s: of.served_after_release_ns.map(seconds),
            first_reclaimed_s: reclaimed().min().map(seconds),
            all_reclaimed_s: reclaimed().max().filter(|_| all).map(seconds),
            never_reclaimed: of.never_reclaimed.into(),
            evidence: of.evidence.clone(),
            connections: of.connections.clone(),
            sockets: of.sockets_used,
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

fn limit_rule(of: &HalfOpenStats) -> Option<String> {
    const AS_SET: &str = "as many were opened as the setting `connections` allows";
    let later = of.first_full().filter(|full| full.later > 0 && of.capacity() == Some(full.served));
    let in_between = later.map(|full| {
        let were = if full.later == 1 { "was" } else { "were" };
        format!("{} connections in a row were not served, then {} more {were}", full.in_a_row, full.later)
    });
    let row = || of.full_after.map_or_else(|| "several".to_owned(), |n| n.to_string());
    let failed = of.tried().saturating_sub(of.silenced());
    Some(match (of.limit, in_between) {
        (LimitReached::NotSearched, _) => return None,
        (LimitReached::Device, _) if of.rate_limit() == Some(429) => {
            format!(
                "{} connections in a row were refused by 429, a limit of how often the device is asked",
                row()
            )
        }
        (LimitReached::Device, _) if of.rate_limit().is_some() => {
            format!(
                "{} connections in a row were refused by their status, but others were served then",
                row()
            )
        }
        (LimitReached::Device, Some(in_between)) => in_between,
        (LimitReached::Device, None) => format!("{} connections in a row were not served", row()),
        (LimitReached::Setting, Some(in_between)) => format!("{in_between}; {AS_SET}"),
        (LimitReached::Setting, None) if of.unserved > 0 => {
            format!("{AS_SET}; {} of them got no answer in time", of.unserved)
        }
        (LimitReached::Setting, None) if failed > 0 => {
            format!("{AS_SET}; {} failed", things(failed.into(), "other"))
        }
        (LimitReached::Setting, None) if of.refused() > 0 => {
            let more = if of.failures.len() < HalfOpenStats::MOST_FAILURES { "" } else { " or more" };
            format!(
                "{AS_SET}; the device refused the request of {}{more} by 429 or 503, and kept these open",
                of.refused()
            )
        }
        (LimitReached::Setting, None) => format!("{AS_SET}; the device took them all"),
        (LimitReached::Host, _) => "the host itself was out of ports or files".into(),
        (LimitReached::Stopped, _) => "the run was stopped".into(),
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
