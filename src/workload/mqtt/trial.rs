//! One fault and what the device makes of it, until it is back or was waited for long enough. Pure: instants in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use espstress_clock::Clock;
use espstress_event::{MqttBig, MqttFault, MqttOutage};

/// A session that lasted so long after its CONNACK, or on which anything came, was taken by the device.
const LASTS: Duration = Duration::from_secs(5);
/// A device that ends a session sooner than this after its CONNACK did not like what was in it.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// To be back after the fault.
    pub(super) recover: Duration,
    /// To subscribe after a CONNACK without a session.
    pub(super) subscribe: Duration,
    /// To send a message after it is back.
    pub(super) data: Duration,
}

/// A session that began after the fault.
#[derive(Clone, Copy, Debug)]
struct Return {
    connection: u64,
    at: Instant,
    session_present: bool,
    /// Something came on it.
    heard: bool,
}

/// What is looked for.
#[derive(Debug)]
pub(super) struct Trial {
    row: MqttOutage,
    limits: Limits,
    start: Instant,
    end: Option<Instant>,
    /// The target's connection at the start.
    connection: Option<u64>,
    /// When it was last heard before.
    heard: Option<Instant>,
    /// What it was subscribed to.
    filters: BTreeSet<String>,
    /// Whether it sends messages at all.
    publishes: bool,
    back: Option<Return>,
    subscribed: Option<Instant>,
    /// The grace for subscriptions is over: so many are missing.
    missing: Option<u32>,
    data: Option<Instant>,
    /// Connections of the target's whose CONNECT is not answered, and since when.
    withheld: BTreeMap<u64, Instant>,
}

/// A session that lacked filters when nothing more was waited for.
#[derive(Debug)]
pub(super) struct Lacks {
    /// The fault's number.
    pub(super) outage: u64,
    pub(super) connection: u64,
    /// When it began.
    pub(super) at: Instant,
    pub(super) filters: BTreeSet<String>,
}

/// What the target was when a fault began.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) connection: Option<u64>,
    pub(super) filters: BTreeSet<String>,
    pub(super) publishes: bool,
    /// When it was last heard.
    pub(super) heard: Option<Instant>,
}

impl Trial {
    pub(super) fn new(row: MqttOutage, limits: Limits, start: Instant, before: Before) -> Self {
        Self {
            row,
            limits,
            start,
            end: None,
            connection: before.connection,
            heard: before.heard,
            filters: before.filters,
            publishes: before.publishes,
            back: None,
            subscribed: None,
            missing: None,
            data: None,
            withheld: BTreeMap::new(),
        }
    }

    /// A CONNECT of the target's is there, and is not answered.
    pub(super) fn withheld(&mut self, connection: u64, now: Instant) {
        if self.row.fault == MqttFault::NoConnack && self.end.is_none() {
            self.withheld.entry(connection).or_insert(now);
            self.row.connack_given_up.get_or_insert(0);
        }
    }

    /// The target has ended such a connection.
    pub(super) fn hung_up(&mut self, connection: u64, now: Instant) {
        if let Some(since) = self.withheld.remove(&connection) {
            *self.row.connack_given_up.get_or_insert(0) += 1;
            self.waited(since, now);
        }
    }

    fn waited(&mut self, since: Instant, now: Instant) {
        let waited = espstress_clock::nanos(now.saturating_duration_since(since));
        self.row.connack_wait_ns = self.row.connack_wait_ns.max(Some(waited));
    }

    /// The link went away at `start` and is back since `end`.
    pub(super) fn was_cut(&mut self, start: Instant, end: Instant) {
        self.start = start;
        self.ends(end);
    }

    /// The fault is over.
    pub(super) fn ends(&mut self, now: Instant) {
        self.end = Some(now);
        for since in std::mem::take(&mut self.withheld).into_values() {
            self.waited(since, now);
        }
        self.row.length_ns = Some(espstress_clock::nanos(now - self.start));
    }

    pub(super) const fn fault(&self) -> MqttFault {
        self.row.fault
    }

    /// What came of growing messages, and why nothing did.
    pub(super) fn grown(&mut self, big: MqttBig, why: Option<String>) {
        self.row.big = Some(big);
        self.not_judged(why);
    }

    /// Why the fault shows nothing, where that is so.
    pub(super) fn not_judged(&mut self, why: Option<String>) {
        self.row.not_judged = self.row.not_judged.take().or(why);
    }

    /// Something other than a PINGRESP goes to the device while it waits for one.
    pub(super) fn answered_otherwise(&mut self, connection: u64) {
        let waits = self.end.is_none() && self.connection == Some(connection);
        if self.row.fault == MqttFault::NoPingresp && waits {
            self.row.not_judged = Some("other packets went to the device".to_owned());
        }
    }

    /// A packet has come on a connection of the target's.
    pub(super) fn heard(&mut self, connection: u64) {
        if let Some(back) = &mut self.back
            && back.connection == connection
        {
            back.heard = true;
        } else if self.end.is_some() && self.connection == Some(connection) {
            self.row.survived = true;
        }
    }

    /// The target's session begins. One that begins before the fault is over, as with `slow`, counts when it is.
    pub(super) fn accepted(&mut self, connection: u64, session_present: bool, now: Instant) {
        if self.row.fault == MqttFault::Takeover && self.end.is_none() {
            return;
        }
        self.row.survived = false;
        self.back = Some(Return { connection, at: now, session_present, heard: false });
        self.subscribed = (session_present || self.filters.is_empty()).then_some(now);
        self.missing = None;
    }

    /// The target is subscribed to these now.
    pub(super) fn subscribes(&mut self, filters: &BTreeSet<String>, now: Instant) {
        if self.back.is_some() && self.subscribed.is_none() && self.filters.is_subset(filters) {
            self.subscribed = Some(now);
        }
    }

    /// A message of the target's has come on a connection.
    pub(super) fn message(&mut self, connection: u64, now: Instant) {
        let on = self.back.map(|back| back.connection).or(self.connection);
        if self.end.is_some() && on == Some(connection) {
            self.data.get_or_insert(now);
        }
    }

    /// A connection of the target's has ended, `by_device` or not.
    pub(super) fn gone(&mut self, connection: u64, by_device: bool, now: Instant) {
        if self.connection == Some(connection) {
            self.connection = None;
            self.row.survived = false;
            // What it had sent during the fault is no message after it.
            self.data = None;
        }
        let Some(back) = self.back.as_mut().filter(|back| back.connection == connection) else { return };
        if !back.heard && now - back.at < AT_ONCE {
            self.row.present_refused += u32::from(by_device && back.session_present);
            self.back = None;
        } else if by_device {
            // Some devices come, look and go again.
            back.heard = true;
        } else if !self.lasted(now) {
            self.back = None;
        }
    }

    fn lasted(&self, now: Instant) -> bool {
        self.back.is_some_and(|back| back.heard || now - back.at >= LASTS)
    }

    /// Whether nothing more is to be waited for.
    pub(super) fn is_done(&mut self, filters: &BTreeSet<String>, now: Instant) -> bool {
        let Some(end) = self.end else { return false };
        if let Some(back) = self.back
            && self.subscribed.is_none()
            && self.missing.is_none()
            && now >= back.at.max(end) + self.limits.subscribe
        {
            // Who subscribes to something else has not forgotten to.
            let another = filters.difference(&self.filters).next().is_some();
            let missing = if another { 0 } else { self.filters.difference(filters).count() };
            self.missing = Some(u32::try_from(missing).unwrap_or(u32::MAX));
        }
        // What was under way when nothing reached the device any more may still come on a connection that it has given up.
        let stands = self.row.fault != MqttFault::Silent || now >= end + LASTS;
        let there = self.lasted(now) || (self.row.survived && self.back.is_none() && stands);
        if there {
            let since = self.back.map_or(end, |back| back.at.max(end));
            let subscribed = self.back.is_none() || self.subscribed.is_some() || self.missing.is_some();
            let data = !self.publishes || self.data.is_some() || now >= since + self.limits.data;
            return subscribed && data;
        }
        let over = now >= end + self.limits.recover;
        if over {
            self.row.gave_up_ns = Some(espstress_clock::nanos(self.limits.recover));
        }
        over
    }

    /// The session that lacks filters, where one does: it may still subscribe to them.
    pub(super) fn lacks(&self) -> Option<Lacks> {
        let back = self.back.filter(|_| self.subscribed.is_none() && self.missing.is_some_and(|n| n > 0))?;
        let filters = self.filters.clone();
        Some(Lacks { outage: self.row.number, connection: back.connection, at: back.at, filters })
    }

    /// What came of it.
    pub(super) fn finish(self, clock: &Clock) -> MqttOutage {
        let mut row = self.row;
        row.start_ns = clock.at_ns(self.start);
        // A broker calls the client gone one and a half keep-alives after its last packet (MQTT-3.1.2-24).
        let since = self.heard.unwrap_or(self.start);
        let goes_on = matches!(
            row.fault,
            MqttFault::Slow | MqttFault::Redeliver | MqttFault::Big | MqttFault::NoPingresp
        );
        row.host_notices_ns = row.keepalive_ns().filter(|_| !goes_on).map(|k| {
            let at = since + Duration::from_nanos(k + k / 2);
            espstress_clock::nanos(at.saturating_duration_since(self.start))
        });
        let Some(end) = self.end else { return row };
        let since = |from: Instant, at: Instant| espstress_clock::nanos(at.saturating_duration_since(from));
        if let Some(back) = self.back {
            // A session that began before the end of the fault is no return after it.
            row.survived = back.at < end;
            row.back_ns = (!row.survived).then(|| since(end, back.at));
            row.session_present = Some(back.session_present);
            if !back.session_present && !self.filters.is_empty() {
                row.resubscribed_ns = self.subscribed.map(|at| since(back.at, at));
                row.filters_missing = self.missing;
            }
        }
        row.data_again_ns = self.data.map(|at| since(end, at));
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    struct Scene {
        clock: Clock,
        start: Instant,
        trial: Trial,
    }

    fn scene(fault: MqttFault, filters: &[&str]) -> Scene {
        let clock = Clock::start();
        let start = Instant::now();
        let limits = Limits { recover: 60 * S, subscribe: 5 * S, data: 10 * S };
        let filters = filters.iter().map(|f| (*f).to_owned()).collect();
        let before = Before { connection: Some(1), filters, publishes: false, heard: Some(start) };
        let trial = Trial::new(MqttOutage::new(1, fault, 0, 10), limits, start, before);
        Scene { clock, start, trial }
    }

    fn filters(all: &[&str]) -> BTreeSet<String> {
        all.iter().map(|f| (*f).to_owned()).collect()
    }

    #[test]
    fn a_device_that_is_back_and_subscribed_is_waited_for_no_longer() {
        let Scene { clock, start, mut trial } = scene(MqttFault::Close, &["a", "b"]);
        trial.gone(1, false, start);
        trial.ends(start + 20 * S);
        trial.accepted(2, false, start + 22 * S);
        trial.subscribes(&filters(&["a"]), start + 23 * S);
        trial.heard(2);
        assert!(!trial.is_done(&filters(&["a"]), start + 23 * S));
        trial.subscribes(&filters(&["a", "b"]), start + 24 * S);
        assert!(trial.is_done(&filters(&["a", "b"]), start + 24 * S));
        let row = trial.finish(&clock);
        assert_eq!((row.back_ns, row.resubscribed_ns), (Some(2_000_000_000), Some(2_000_000_000)));
        assert_eq!(
            (row.filters_missing, row.gave_up_ns, row.host_notices_ns),
            (None, None, Some(15_000_000_000))
        );
    }

    #[test]
    fn filters_that_do_not_come_again_in_time_are_missing() {
        let Scene { clock, start, mut trial } = scene(MqttFault::SessionLost, &["a", "b"]);
        trial.gone(1, false, start);
        trial.ends(start + S);
        trial.accepted(2, false, start + 2 * S);
        trial.heard(2);
        assert!(!trial.is_done(&filters(&["b"]), start + 6 * S));
        assert!(trial.is_done(&filters(&["b"]), start + 7 * S));
        assert_eq!(trial.finish(&clock).filters_missing, Some(1));
    }

    #[test]
    fn a_device_that_subscribes_to_something_else_has_not_forgotten_to() {
        let Scene { clock, start, mut trial } = scene(MqttFault::SessionLost, &["inbox/1"]);
        trial.gone(1, false, start);
        trial.ends(start + S);
        trial.accepted(2, false, start + 2 * S);
        trial.heard(2);
        assert!(trial.is_done(&filters(&["inbox/2"]), start + 7 * S));
        let row = trial.finish(&clock);
        assert_eq!((row.filters_missing, row.resubscribed_ns), (Some(0), None));
    }

    #[test]
    fn a_device_that_stays_for_a_moment_and_says_nothing_was_back() {
        let Scene { clock, start, mut trial } = scene(MqttFault::SessionKept, &[]);
        trial.gone(1, false, start);
        trial.ends(start + S);
        trial.accepted(2, true, start + 2 * S);
        trial.gone(2, true, start + 5 * S);
        assert!(trial.is_done(&filters(&[]), start + 5 * S));
        let row = trial.finish(&clock);
        assert_eq!((row.back_ns, row.present_refused), (Some(1_000_000_000), 0));
    }

    #[test]
    fn a_session_that_the_device_ends_at_once_is_no_return() {
        let Scene { clock, start, mut trial } = scene(MqttFault::SessionKept, &[]);
        trial.gone(1, false, start);
        trial.ends(start + S);
        for n in 2..4 {
            trial.accepted(n, true, start + 2 * S);
            trial.gone(n, true, start + 2 * S);
        }
        assert!(!trial.is_done(&filters(&[]), start + 50 * S));
        assert!(trial.is_done(&filters(&[]), start + 61 * S));
        let row = trial.finish(&clock);
        assert_eq!((row.back_ns, row.present_refused, row.gave_up_ns), (None, 2, Some(60_000_000_000)));
    }

    #[test]
    fn a_broker_would_notice_only_where_it_hears_no_more_of_the_device() {
        let notices = |fault| {
            let Scene { clock, start, mut trial } = scene(fault, &["a"]);
            trial.ends(start + 5 * S);
            trial.finish(&clock).host_notices_ns
        };
        assert!(notices(MqttFault::Silent).is_some());
        for fault in [MqttFault::Slow, MqttFault::Redeliver, MqttFault::Big, MqttFault::NoPingresp] {
            assert_eq!(notices(fault), None, "{}", fault.name());
        }
    }

    #[test]
    fn a_connection_on_which_the_device_goes_on_has_survived() {
        let Scene { clock, start, mut trial } = scene(MqttFault::Silent, &["a"]);
        trial.ends(start + 5 * S);
        assert!(!trial.is_done(&filters(&["a"]), start + 6 * S));
        trial.heard(1);
        assert!(!trial.is_done(&filters(&["a"]), start + 7 * S), "it may have been under way");
        assert!(trial.is_done(&filters(&["a"]), start + 10 * S));
        let row = trial.finish(&clock);
        assert!(row.survived && row.back_ns.is_none() && row.gave_up_ns.is_none());
    }

    #[test]
    fn what_was_under_way_when_the_link_was_cut_is_no_connection_that_stood_through_it() {
        let Scene { clock, start, mut trial } = scene(MqttFault::Silent, &[]);
        trial.row.link_cut = true;
        trial.was_cut(start, start + 20 * S);
        trial.heard(1);
        assert!(!trial.is_done(&filters(&[]), start + 21 * S));
        trial.gone(1, true, start + 21 * S);
        trial.accepted(2, false, start + 22 * S);
        trial.heard(2);
        assert!(trial.is_done(&filters(&[]), start + 22 * S));
        let row = trial.finish(&clock);
        assert_eq!((row.survived, row.back_ns), (false, Some(2_000_000_000)));
    }

    #[test]
    fn a_connection_that_goes_on_after_a_cut_link_has_stood_through_it() {
        let Scene { clock, start, mut trial } = scene(MqttFault::Silent, &[]);
        trial.row.link_cut = true;
        trial.was_cut(start, start + 20 * S);
        trial.heard(1);
        assert!(trial.is_done(&filters(&[]), start + 25 * S));
        assert!(trial.finish(&clock).survived);
    }

    #[test]
    fn a_session_that_begins_during_the_fault_and_lasts_is_no_return_after_it() {
        let Scene { clock, start, mut trial } = scene(MqttFault::NoPingresp, &[]);
        trial.gone(1, true, start + 5 * S);
        trial.accepted(2, false, start + 6 * S);
        trial.answered_otherwise(2);
        trial.ends(start + 20 * S);
        trial.heard(2);
        assert!(trial.is_done(&filters(&[]), start + 20 * S));
        let row = trial.finish(&clock);
        assert!(row.survived && row.back_ns.is_none() && row.not_judged.is_none());
    }

    #[test]
    fn who_gives_a_withheld_connack_up_and_who_waits_to_the_end_is_told() {
        let Scene { clock, start, mut trial } = scene(MqttFault::NoConnack, &[]);
        trial.withheld(2, start + S);
        trial.withheld(2, start + 3 * S);
        trial.hung_up(2, start + 11 * S);
        trial.withheld(3, start + 12 * S);
        trial.ends(start + 30 * S);
        trial.hung_up(3, start + 31 * S);
        trial.withheld(4, start + 31 * S);
        let row = trial.finish(&clock);
        assert_eq!((row.connack_given_up, row.connack_wait_ns), (Some(1), Some(18_000_000_000)));
    }

    #[test]
    fn a_missing_pingresp_beside_other_packets_is_not_judged() {
        let Scene { clock, mut trial, .. } = scene(MqttFault::NoPingresp, &[]);
        trial.answered_otherwise(1);
        assert!(trial.finish(&clock).not_judged.is_some());
        let Scene { clock, mut trial, .. } = scene(MqttFault::Slow, &[]);
        trial.answered_otherwise(1);
        assert_eq!(trial.finish(&clock).not_judged, None);
    }
}
