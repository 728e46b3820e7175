//! What connections that fall silent did to the device, and what it did about them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Failure, FailureCounts};

/// Latencies that were recorded: nanoseconds, and how many of them. Shared, since several reporters may keep it.
pub type Recorded = Arc<[(u64, u64)]>;

/// The result of a half-open workload. Bounded by the number of connections it may open. `L` is how latencies are
/// kept: as a histogram where they are measured, as [`Recorded`] where they are told.
#[derive(Clone, Debug, Default)]
pub struct HalfOpen<L> {
    /// Why nothing was measured, in one sentence; `None` when it was.
    pub unavailable: Option<String>,
    /// Connections that answered a request, by whatever status, before the host fell silent on them.
    pub served: u32,
    /// Connections whose handshake completed but which were not served: they wait in the device's backlog.
    pub unserved: u32,
    /// What ended the search for the limit.
    pub limit: LimitReached,
    /// Failures in a row after which the device counts as full; `None` where nothing was searched for.
    pub full_after: Option<u32>,
    /// The first connections that met anything but service, in order; at most [`HalfOpen::MOST_FAILURES`].
    pub failures: Vec<OpenFailure>,
    /// When the last connection fell silent, nanoseconds since the start of the run.
    pub silent_since_ns: Option<u64>,
    /// How long after that the host watched, nanoseconds.
    pub watched_ns: u64,
    /// The time within which the device is expected to take a socket back (its keep-alive settings), nanoseconds.
    pub expected_reclaim_ns: u64,
    /// The well-behaved client before any connection was silent.
    pub before: Availability<L>,
    /// The same while connections were opened and fell silent.
    pub filling: Availability<L>,
    /// The same from the last silence until the device served it again, or until the end of the watch.
    pub during: Availability<L>,
    /// The same after the device served it again.
    pub after: Availability<L>,
    /// From the last silence until the well-behaved client was served again while every connection was still
    /// silent, nanoseconds. `None` when that did not happen, or when it was never refused.
    pub served_again_ns: Option<u64>,
    /// Whether the well-behaved client was ever refused while the connections were silent; `None` where that was not
    /// looked at.
    pub exhausted: Option<bool>,
    /// One entry a silenced connection, in the order of opening.
    pub connections: Vec<SilencedConnection>,
    /// From a connection's silence until its reclaim, for those that were seen to be reclaimed.
    pub reclaim: L,
    /// Silenced connections that were not seen to be reclaimed in the watched time.
    pub never_reclaimed: u32,
    /// What the reclaim times rest on.
    pub evidence: Vec<ReclaimEvidence>,
    /// Sockets in use by the device's own account: before, the most during, and at the end of the watch.
    pub sockets_used: Option<SocketsUsed>,
    /// From the host's resets of what was left until the well-behaved client was served, nanoseconds; `None`
    /// when nothing was left, or the device did not come back.
    pub served_after_release_ns: Option<u64>,
    /// Spells in which the well-behaved client was not served; the first [`HalfOpen::MOST_SPELLS`].
    pub spells: Vec<Spell>,
}

impl<L> HalfOpen<L> {
    /// Most entries of [`HalfOpen::failures`].
    pub const MOST_FAILURES: usize = 64;

    /// Too Many Requests.
    const TOO_MANY: u16 = 429;

    /// Most entries of [`HalfOpen::spells`].
    pub const MOST_SPELLS: usize = 64;

    /// The host has fallen silent on one more connection.
    pub fn fell_silent(&mut self, connection: SilencedConnection) {
        match connection.stage {
            Stage::Served => self.served += 1,
            Stage::Unserved => self.unserved += 1,
        }
        self.silent_since_ns = self.silent_since_ns.max(Some(connection.silent_ns));
        self.never_reclaimed += 1;
        self.connections.push(connection);
    }

    /// Connections that the host silenced, served or not.
    #[must_use]
    pub fn silenced(&self) -> u32 {
        u32::try_from(self.connections.len()).unwrap_or(u32::MAX)
    }

    /// Connections that were tried, as far as their numbers tell: silenced or failed, each once.
    #[must_use]
    pub fn tried(&self) -> u32 {
        let failed = self.failures.iter().map(|failure| failure.connection);
        failed.chain(self.connections.iter().map(|c| c.connection)).max().unwrap_or(0)
    }

    /// Silenced connections whose request was answered by a status that says no (429 or 503), and which the device kept open:
    /// it holds them. As many as [`HalfOpen::failures`] names.
    #[must_use]
    pub fn refused(&self) -> u32 {
        let held = |number: u32| self.numbers_served().any(|served| served == number);
        let refused = self.failures.iter().filter(|f| f.met == Failure::BadStatus && held(f.connection));
        u32::try_from(refused.count()).unwrap_or(u32::MAX)
    }

    /// The first connections in a row, enough of them for a full device, of which it served none; `None` where so many
    /// never were in a row, or before it had served any.
    #[must_use]
    pub fn first_full(&self) -> Option<Full> {
        let enough = self.full_after.filter(|n| *n > 0)?;
        let (mut before, mut last) = (0, 0);
        for number in self.numbers_served().chain([self.last_of_device().saturating_add(1)]) {
            let in_a_row = number.saturating_sub(last).saturating_sub(1);
            if in_a_row >= enough && before > 0 {
                return Some(Full { served: before, in_a_row, later: self.served.saturating_sub(before) });
            }
            (before, last) = (before + 1, number);
        }
        None
    }

    /// How many connections the device held at once as it served no more; `None` where its limit was not reached. Where it served
    /// some again later, these took the places of others that it had closed by then, or it was not full before.
    #[must_use]
    pub fn capacity(&self) -> Option<u32> {
        if self.rate_limit().is_some() {
            return None;
        }
        let Some(full) = self.first_full() else {
            return (self.limit == LimitReached::Device).then(|| self.held_at_once());
        };
        let last = self.numbers_served().last().unwrap_or(0);
        let at_the_end = self.last_of_device().saturating_sub(last);
        let is_full_again = self.full_after.is_some_and(|enough| at_the_end >= enough);
        let again = is_full_again && !self.in_places_of_others(full);
        Some(if again { self.held_at_once() } else { full.served })
    }

    /// The status by which the device refused all that it did not serve, where that is no want of room: 429 says how often it may
    /// be asked (RFC 6585, 4), and whoever refuses some for want of room serves no other client beside all that it holds.
    #[must_use]
    pub fn rate_limit(&self) -> Option<u16> {
        /// No device takes a silent connection back so soon.
        const SOON_NS: u64 = 2_000_000_000;
        let never_refused = self.exhausted == Some(false) && self.during.served > 0;
        let soon = never_refused || self.served_again_ns.is_some_and(|ns| ns <= SOON_NS);
        let others_served = || soon && self.reclaimed() == 0;
        let of_rate = |status| status == Self::TOO_MANY || others_served();
        let unserved = |f: &&OpenFailure| !self.numbers_served().any(|served| served == f.connection);
        let refused = || self.failures.iter().filter(|f| !f.met.is_host()).filter(unserved);
        let all = refused().all(|f| f.status.is_some_and(of_rate));
        refused().last()?.status.filter(|_| all)
    }

    /// Whether the device may have had no room left when the search ended: it was seen full, or did not serve the last that
    /// were tried.
    #[must_use]
    pub fn may_be_full(&self) -> bool {
        let unserved_last = self.numbers_served().last().unwrap_or(0) < self.last_of_device();
        self.capacity().is_some() || (unserved_last && self.rate_limit().is_none())
    }

    /// The well-behaved client's spell without service that began as the last connection fell silent, or before, and lasted
    /// beyond that. Whoever is served beside all of them, and not later, is kept out by something else.
    #[must_use]
    pub fn kept_out(&self) -> Option<Spell> {
        /// A client asks once in so long, or in what is longer than it waits for an answer.
        const MARGIN_NS: u64 = 1_500_000_000;
        let since = self.silent_since_ns?;
        let spans =
            |s: &&Spell| s.from_ns <= since.saturating_add(MARGIN_NS) && s.to_ns.is_none_or(|to| to > since);
        self.spells.iter().find(spans).copied()
    }

    /// Whether the device served nobody even after the host had let go of everything.
    #[must_use]
    pub fn stays_away(&self) -> bool {
        /// Requests that show it.
        const ENOUGH: u64 = 3;
        self.served_after_release_ns.is_none() && self.after.attempts >= ENOUGH && self.after.served == 0
    }

    /// Most connections that were served and that the device had not been seen to close, at one time.
    fn held_at_once(&self) -> u32 {
        let served: Vec<_> = self.connections.iter().filter(|c| c.stage == Stage::Served).collect();
        let held = |(c, nth): (&&SilencedConnection, u32)| {
            let gone = served.iter().filter(|one| one.is_closed_by(c.silent_ns)).count();
            nth.saturating_sub(u32::try_from(gone).unwrap_or(u32::MAX))
        };
        // Their number alone, where nothing is known of each.
        served.iter().zip(1..).map(held).max().unwrap_or(self.served)
    }

    /// Whether each connection that was served after the device had been full came when as many others were closed.
    fn in_places_of_others(&self, full: Full) -> bool {
        let closed_by = |at_ns: u64| self.connections.iter().filter(|c| c.is_closed_by(at_ns)).count();
        let served = self.connections.iter().filter(|c| c.stage == Stage::Served);
        served.skip(full.served as usize).zip(1..).all(|(c, nth)| closed_by(c.silent_ns) >= nth)
    }

    /// How many the device was seen to close before the last one fell silent: it did not hold those at once with that one.
    #[must_use]
    pub fn closed_early(&self) -> usize {
        let last = self.connections.iter().map(|c| c.silent_ns).max().unwrap_or(0);
        SilencedConnection::closed_before(&self.connections, last)
    }

    fn numbers_served(&self) -> impl Iterator<Item = u32> + '_ {
        self.connections.iter().filter(|c| c.stage == Stage::Served).map(|c| c.connection)
    }

    /// The last connection that the host itself did not prevent.
    fn last_of_device(&self) -> u32 {
        let failed = self.failures.iter().filter(|failure| !failure.met.is_host());
        let numbers = failed.map(|failure| failure.connection);
        numbers.chain(self.connections.iter().map(|c| c.connection)).max().unwrap_or(0)
    }

    /// Silenced connections that had been served and that the device was seen to take back.
    #[must_use]
    pub fn reclaimed(&self) -> u32 {
        let served = self.connections.iter().filter(|c| c.stage == Stage::Served);
        u32::try_from(served.filter(|c| c.reclaimed_after_ns.is_some()).count()).unwrap_or(u32::MAX)
    }

    /// Silenced connections that the device closed by a FIN, and the shortest time from the silence to that; `None`
    /// where it closed none.
    #[must_use]
    pub fn closed(&self) -> Option<(u32, u64)> {
        let after = || self.connections.iter().filter_map(SilencedConnection::closed_after_ns);
        Some((u32::try_from(after().count()).unwrap_or(u32::MAX), after().min()?))
    }

    /// The same with latencies kept in another way.
    #[must_use]
    pub fn with_latencies<M>(&self, keep: impl Fn(&L) -> M) -> HalfOpen<M> {
        HalfOpen {
            unavailable: self.unavailable.clone(),
            served: self.served,
            unserved: self.unserved,
            limit: self.limit,
            full_after: self.full_after,
            failures: self.failures.clone(),
            silent_since_ns: self.silent_since_ns,
            watched_ns: self.watched_ns,
            expected_reclaim_ns: self.expected_reclaim_ns,
            before: self.before.with_latency(&keep),
            filling: self.filling.with_latency(&keep),
            during: self.during.with_latency(&keep),
            after: self.after.with_latency(&keep),
            served_again_ns: self.served_again_ns,
            exhausted: self.exhausted,
            connections: self.connections.clone(),
            reclaim: keep(&self.reclaim),
            never_reclaimed: self.never_reclaimed,
            evidence: self.evidence.clone(),
            sockets_used: self.sockets_used,
            served_after_release_ns: self.served_after_release_ns,
            spells: self.spells.clone(),
        }
    }
}

/// Connections in a row that a device did not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// Those that it had served before.
    pub served: u32,
    /// How many in a row it did not serve.
    pub in_a_row: u32,
    /// Those that it served later all the same.
    pub later: u32,
}

/// A spell without service, since the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Spell {
    /// The start of the first request that failed.
    #[serde(rename = "from_s", with = "super::seconds")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub from_ns: u64,
    /// The end of the next one that was served; null when none was.
    #[serde(default, rename = "to_s", with = "super::seconds::optional")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub to_ns: Option<u64>,
    /// Requests that failed in it.
    pub failed: u64,
}

/// What ended the search for the device's limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// A connection that met anything but service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OpenFailure {
    /// Its number in the order of opening, from 1.
    pub connection: u32,
    /// What it met.
    pub met: Failure,
    /// The status that refused its request; absent where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// When, since the start of the run.
    #[serde(rename = "at_s", with = "super::seconds")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub at_ns: u64,
}

/// A connection on which the host fell silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SilencedConnection {
    /// Its number in the order of opening, from 1.
    pub connection: u32,
    /// The host's TCP port.
    pub port: u16,
    /// Whether it had been served.
    pub stage: Stage,
    /// When it was open, since the start of the run; null in reports of older programs.
    #[serde(default, rename = "opened_s", with = "super::seconds::optional")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub opened_ns: Option<u64>,
    /// When the host fell silent, since the start of the run.
    #[serde(rename = "silent_s", with = "super::seconds")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub silent_ns: u64,
    /// From then until the device gave it up; null when that was not seen.
    #[serde(default, rename = "reclaimed_after_s", with = "super::seconds::optional")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub reclaimed_after_ns: Option<u64>,
    /// How that is known; null when it is not.
    pub evidence: Option<ReclaimEvidence>,
}

impl SilencedConnection {
    /// How long after its silence the device closed it by a FIN; `None` where it did not.
    #[must_use]
    pub fn closed_after_ns(&self) -> Option<u64> {
        self.reclaimed_after_ns.filter(|_| self.evidence == Some(ReclaimEvidence::Fin))
    }

    /// Whether the device was seen to have taken it back by then.
    fn is_closed_by(&self, at_ns: u64) -> bool {
        self.reclaimed_after_ns.is_some_and(|after| self.silent_ns.saturating_add(after) <= at_ns)
    }

    /// How many of these the device had closed by a FIN before this moment.
    #[must_use]
    pub fn closed_before(these: &[Self], at_ns: u64) -> usize {
        let closed = |one: &Self| Some(one.silent_ns.saturating_add(one.closed_after_ns()?));
        these.iter().filter_map(closed).filter(|closed_ns| *closed_ns < at_ns).count()
    }
}

/// How far a silenced connection had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// A request was answered.
    Served,
    /// The handshake was complete, no more.
    Unserved,
}

/// How a reclaim is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ReclaimEvidence {
    /// The device's RST came in on the silenced connection itself: its keep-alive or its program gave up.
    #[serde(rename = "reset_received")]
    Reset,
    /// The device's telemetry showed fewer sockets in use; which connection it was is not known, the one silent
    /// for longest is taken.
    #[serde(rename = "telemetry_sockets")]
    Telemetry,
    /// The packets showed the device's FIN on it: its program has closed.
    #[serde(rename = "fin_seen")]
    Fin,
}

impl ReclaimEvidence {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset_received",
            Self::Telemetry => "telemetry_sockets",
            Self::Fin => "fin_seen",
        }
    }
}

/// How a well-behaved client fared.
#[derive(Clone, Debug, Default)]
pub struct Availability<L> {
    /// Its requests, each on a connection of its own.
    pub attempts: u64,
    /// Those answered.
    pub served: u64,
    /// The others by name.
    pub failures: FailureCounts,
    /// From the start of an attempt to the whole answer.
    pub latency: L,
}

impl<L> Availability<L> {
    fn with_latency<M>(&self, keep: impl Fn(&L) -> M) -> Availability<M> {
        Availability {
            attempts: self.attempts,
            served: self.served,
            failures: self.failures.clone(),
            latency: keep(&self.latency),
        }
    }

    /// Answered requests of a hundred; `None` when there was none.
    #[must_use]
    pub fn percent(&self) -> Option<f64> {
        (self.attempts > 0).then(|| 100.0 * self.served as f64 / self.attempts as f64)
    }
}

/// Sockets in use on the device, listeners included, by its own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SocketsUsed {
    /// Before any connection was silent.
    pub before: u32,
    /// The most that was seen.
    pub most: u32,
    /// The last account before the host let go.
    pub at_end: u32,
    /// Sockets there are; null where the device does not tell.
    pub limit: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    const fn failed(connection: u32, met: Failure, status: Option<u16>) -> OpenFailure {
        OpenFailure { connection, met, status, at_ns: S }
    }

    /// One connection a second, served (`s`), silenced and not served (`u`) or failed (`f`); the device is seen to close the
    /// first `closed` of them at second 10. The setting ended the search.
    fn search(course: &str, closed: u32) -> HalfOpen<()> {
        let mut h: HalfOpen<()> =
            HalfOpen { full_after: Some(3), limit: LimitReached::Setting, ..HalfOpen::default() };
        for (connection, what) in (1..).zip(course.chars()) {
            let silent_ns = u64::from(connection) * S;
            let stage = if what == 's' { Stage::Served } else { Stage::Unserved };
            if what != 's' {
                h.failures.push(failed(connection, Failure::ReadTimeout, None));
            }
            if what != 'f' {
                let after = (connection <= closed).then(|| 10 * S - silent_ns);
                h.fell_silent(SilencedConnection {
                    connection,
                    port: 40_000,
                    stage,
                    opened_ns: None,
                    silent_ns,
                    reclaimed_after_ns: after,
                    evidence: after.map(|_| ReclaimEvidence::Fin),
                });
            }
        }
        h
    }

    #[test]
    fn a_connection_that_is_kept_open_behind_a_refusal_is_held() {
        let mut h = search("ssssss", 0);
        let refused = |connection| failed(connection, Failure::BadStatus, Some(503));
        h.failures.extend([4, 5, 6].map(refused));
        assert_eq!((h.capacity(), h.may_be_full(), h.refused()), (None, false, 3));
        // One that is closed is not.
        let mut h = search("sssfff", 0);
        h.failures.iter_mut().for_each(|failure| failure.met = Failure::BadStatus);
        assert_eq!((h.capacity(), h.refused()), (Some(3), 0));
    }

    #[test]
    fn who_refuses_by_rate_is_not_full() {
        let refuses = |status, exhausted, closed| {
            let mut h = HalfOpen { limit: LimitReached::Device, exhausted, ..search("sssfff", closed) };
            h.failures.iter_mut().for_each(|f| (f.met, f.status) = (Failure::BadStatus, Some(status)));
            h.during.served = 9;
            (h.capacity(), h.may_be_full(), h.rate_limit())
        };
        for exhausted in [None, Some(false), Some(true)] {
            assert_eq!(refuses(429, exhausted, 0), (None, false, Some(429)));
        }
        assert_eq!(
            refuses(503, Some(false), 0),
            (None, false, Some(503)),
            "others are served beside all of them"
        );
        for (exhausted, closed) in [(None, 0), (Some(true), 0), (Some(false), 3)] {
            assert_eq!(refuses(503, exhausted, closed), (Some(3), true, None));
        }
        // One that is refused once, and served soon after beside all of them.
        for (ns, capacity) in [(S, None), (5 * S, Some(3))] {
            let mut h =
                HalfOpen { limit: LimitReached::Device, exhausted: Some(true), ..search("sssfff", 0) };
            h.failures.iter_mut().for_each(|f| (f.met, f.status) = (Failure::BadStatus, Some(503)));
            h.served_again_ns = Some(ns);
            assert_eq!(h.capacity(), capacity);
        }
        // A single one that is not answered at all is no matter of how often it is asked.
        let mut h = search("sssfffu", 0);
        h.failures[..3].iter_mut().for_each(|f| (f.met, f.status) = (Failure::BadStatus, Some(429)));
        assert_eq!((h.capacity(), h.rate_limit()), (Some(3), None));
    }

    #[test]
    fn a_device_that_served_none_of_enough_in_a_row_was_full_also_where_it_served_others_later() {
        let h = search("sssssuuuufsuu", 5);
        assert_eq!(h.first_full(), Some(Full { served: 5, in_a_row: 5, later: 1 }));
        assert_eq!((h.capacity(), h.served, h.tried()), (Some(5), 6, 13));
        // It closes them and is full again: five at a time.
        assert_eq!(search("sssssuuuufsssssuuu", 5).capacity(), Some(5));
        // Nobody closed any: it did not answer for a while, and had room for more.
        assert_eq!(search("sssssuuussssssuuu", 0).capacity(), Some(11));
        assert_eq!(search("sssssuuu", 0).capacity(), Some(5));
        assert_eq!(search("ssssufu", 0).capacity(), Some(4));
        // The device's limit ended the search: four of seven at once, as it had closed three before the last.
        let ended = |course, closed| HalfOpen { limit: LimitReached::Device, ..search(course, closed) };
        assert_eq!((ended("ssssuuuufsss", 3).capacity(), ended("sssuu", 0).capacity()), (Some(4), Some(3)));
        let none_in_a_row = HalfOpen { full_after: None, ..ended("sssssssssssu", 4) };
        assert_eq!(none_in_a_row.capacity(), Some(9));
        assert_eq!((search("ssssssssssss", 3).closed_early(), search("sssss", 3).closed_early()), (3, 0));
        for not_full in ["ssssssss", "sssssuu", "ssuusuuss", "uuussss"] {
            assert_eq!(search(not_full, 0).capacity(), None, "{not_full}");
        }
    }
}
