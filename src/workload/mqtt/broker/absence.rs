//! Times in which the target has no session, or keeps silent on one: how each began, how long it was, and the one at the end.

use std::net::IpAddr;
use std::time::Instant;

use super::{Broker, LATE, Target};
use espstress_clock::nanos;
use espstress_event::{MqttAway, MqttLeft};

/// The target has no session.
#[derive(Clone, Copy)]
pub(super) struct Absence {
    since: Instant,
    left: MqttLeft,
    /// Connections that it opened since then.
    dials: u64,
    /// It began outside of faults.
    calm: bool,
}

impl Broker {
    /// The target's absence is over, where it was away.
    pub(super) fn is_back(&self, now: Instant) {
        let calm = self.is_calm();
        if let Some(absence) = self.absence.take().filter(|absence| absence.calm && calm) {
            let pause = nanos(now.saturating_duration_since(absence.since));
            self.stats(|stats| {
                let sessions = &mut stats.sessions;
                sessions.pause.record(pause);
                sessions.pause_max_ns = sessions.pause_max_ns.max(Some(pause));
                sessions.pauses += 1;
            });
        }
    }

    /// A connection was accepted from there.
    pub(in super::super) fn dialled(&self, peer: IpAddr) {
        if let Some(absence) = self.absence.get().filter(|_| self.may_be_target(peer)) {
            self.absence.set(Some(Absence { dials: absence.dials + 1, ..absence }));
        }
    }

    /// The target has lost its session, or given it up.
    pub(super) fn is_away(&self, target: &Target, left: MqttLeft, now: Instant) {
        let calm = self.is_calm();
        let since = if left == MqttLeft::Silent { target.heard } else { now };
        self.absence.set(Some(Absence { since, left, dials: 0, calm }));
        let lasted = nanos(now.saturating_duration_since(target.accepted));
        let counts = calm && target.calm;
        self.stats(|stats| match left {
            MqttLeft::Disconnected if counts => stats.sessions.disconnected += 1,
            MqttLeft::Dropped if counts => stats.sessions.dropped.record(lasted),
            _ => {}
        });
    }

    /// The target is watched no longer: whether it has a session then.
    pub(in super::super) fn count_absence(&self, now: Instant) {
        let limit_ns = nanos(self.params.recover_limit(self.keepalive()));
        let clock = self.context.clock;
        let away = self.absence.get().map(|absence| MqttAway {
            since_ns: clock.at_ns(absence.since),
            length_ns: nanos(now.saturating_duration_since(absence.since)),
            left: absence.left,
            limit_ns,
            dials: absence.dials,
        });
        let away = away.or_else(|| self.overdue(now, limit_ns));
        self.stats(|stats| stats.sessions.away = away);
    }

    /// The target has a session, and has been silent for longer than it may: nobody knows whether it is still there.
    fn overdue(&self, now: Instant, limit_ns: u64) -> Option<MqttAway> {
        let keepalive = self.keepalive();
        let target = self.target.borrow();
        let heard = target.as_ref().filter(|target| target.connection.is_some())?.heard;
        let silence = now.saturating_duration_since(heard).saturating_sub(self.deaf());
        let overdue = self.is_calm() && !keepalive.is_zero() && silence > keepalive + LATE;
        overdue.then(|| MqttAway {
            since_ns: self.context.clock.at_ns(heard),
            length_ns: nanos(silence),
            left: MqttLeft::Silent,
            // A session that stands is not waited for: too short a time to call the device gone.
            limit_ns: limit_ns.max(nanos(silence) + 1),
            dials: 0,
        })
    }
}
