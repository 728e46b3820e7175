//! How a device's sessions ended outside of faults, and whether it was away at the end.

use serde::{Deserialize, Serialize};

use super::{Mqtt, MqttOutage};
use crate::seconds;

/// How a session of the device's ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MqttLeft {
    /// It said DISCONNECT.
    Disconnected,
    /// It closed or reset the connection without DISCONNECT.
    Dropped,
    /// It sent nothing for longer than its keep-alive and a second; after one and a half keep-alives the broker closed the
    /// connection.
    Silent,
    /// The broker ended it for another reason.
    Closed,
}

/// The device had no session when it was watched no longer, or one on which it was silent for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MqttAway {
    /// Since when, seconds since the start of the run: its last packet where it fell silent, else the end of its session.
    #[serde(rename = "since_s", with = "seconds")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub since_ns: u64,
    /// For how long, seconds.
    #[serde(rename = "length_s", with = "seconds")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub length_ns: u64,
    /// How its last session ended.
    pub left: MqttLeft,
    /// How long espstress waits for a device that is away (`--recover-limit`), seconds.
    #[serde(rename = "limit_s", with = "seconds")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub limit_ns: u64,
    /// Connections that it opened since then, none of which became a session.
    pub dials: u64,
}

/// Sessions that began and ended outside of faults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MqttSessions<L> {
    /// Sessions that the device ended with DISCONNECT.
    pub disconnected: u64,
    /// How long those lasted that it ended without DISCONNECT.
    pub dropped: L,
    /// From the end of a session to the next CONNACK.
    pub pause: L,
    /// The longest of these.
    pub pause_max_ns: Option<u64>,
    /// How many these are.
    pub pauses: u64,
    /// The device was away at the end; `None` where it was heard on a session, or never had one.
    pub away: Option<MqttAway>,
}

/// What an absence at the end of a run says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MqttAbsence {
    /// The device was away for as long before, and came back.
    Usual,
    /// Too short to say that it won't come, or nobody knows when it is due.
    Open,
    /// It is gone.
    Gone,
}

impl MqttAway {
    /// What it says of a device whose earlier absences were so many and at most so long. One that says DISCONNECT may sleep:
    /// only its own rhythm tells when it is due.
    #[must_use]
    pub fn judged(&self, pauses: u64, longest_ns: Option<u64>) -> MqttAbsence {
        /// Absences that make a rhythm.
        const RHYTHM: u64 = 2;
        // A rhythm is kept as well as a device's clock and its work allow.
        let usual = longest_ns.map_or(0, |ns| ns.saturating_mul(2));
        if self.length_ns <= usual {
            return MqttAbsence::Usual;
        }
        let due = self.left != MqttLeft::Disconnected || pauses >= RHYTHM;
        // Who dials and gets no session is not gone.
        if due && self.dials == 0 && self.length_ns >= self.limit_ns {
            MqttAbsence::Gone
        } else {
            MqttAbsence::Open
        }
    }
}

impl MqttAway {
    /// Whether this fault has led to it: the fault's row says what it means.
    #[must_use]
    pub fn is_of(&self, fault: &MqttOutage) -> bool {
        self.began_with(fault) || self.follows(fault)
    }

    fn began_with(&self, fault: &MqttOutage) -> bool {
        let waited = fault.end_ns().zip(fault.gave_up_ns).map(|(end, waited)| end.saturating_add(waited));
        fault.back_ns.is_none() && !fault.survived && waited.is_none_or(|until| self.since_ns <= until)
    }

    /// Whether the device may have ended its session for want of an answer that this fault withheld: its time-out runs on when
    /// the fault is over, for two keep-alives at most. The run may end before the device has dialled again.
    fn follows(&self, fault: &MqttOutage) -> bool {
        let until = fault.end_ns().zip(fault.keepalive_ns());
        let until = until.map(|(end, keepalive)| end.saturating_add(keepalive.saturating_mul(2)));
        let soon = until.is_some_and(|until| self.since_ns <= until);
        let dropped = fault.survived && self.left == MqttLeft::Dropped && self.length_ns < self.limit_ns;
        fault.fault.withholds_answers() && dropped && soon
    }
}

impl<L> Mqtt<L> {
    /// What the absence at the end says, where there is one that no fault has led to.
    #[must_use]
    pub fn absence(&self) -> Option<(&MqttAway, MqttAbsence)> {
        let away = self.sessions.away.as_ref()?;
        let of_fault = self.outages.last().is_some_and(|fault| away.is_of(fault));
        let of = &self.sessions;
        (!of_fault).then(|| (away, away.judged(of.pauses, of.pause_max_ns)))
    }
}

impl<L> MqttSessions<L> {
    /// The same with latencies kept in another way.
    #[must_use]
    pub fn with_latencies<M>(&self, keep: impl Fn(&L) -> M) -> MqttSessions<M> {
        MqttSessions {
            disconnected: self.disconnected,
            dropped: keep(&self.dropped),
            pause: keep(&self.pause),
            pause_max_ns: self.pause_max_ns,
            pauses: self.pauses,
            away: self.away,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MqttFault;

    const S: u64 = 1_000_000_000;

    fn judged(left: MqttLeft, length_s: u64, pauses_s: &[u64]) -> MqttAbsence {
        let away = MqttAway { since_ns: 0, length_ns: length_s * S, left, limit_ns: 60 * S, dials: 0 };
        let longest = pauses_s.iter().max().map(|s| s * S);
        away.judged(pauses_s.len() as u64, longest)
    }

    #[test]
    fn who_drops_its_session_and_does_not_dial_within_the_limit_is_gone() {
        for left in [MqttLeft::Dropped, MqttLeft::Silent, MqttLeft::Closed] {
            assert_eq!(judged(left, 60, &[]), MqttAbsence::Gone, "{left:?}");
            assert_eq!(judged(left, 59, &[]), MqttAbsence::Open, "{left:?}");
        }
        assert_eq!(judged(MqttLeft::Dropped, 2, &[1]), MqttAbsence::Usual);
        assert_eq!(judged(MqttLeft::Dropped, 115, &[60]), MqttAbsence::Usual);
    }

    #[test]
    fn who_says_disconnect_is_judged_by_its_own_rhythm_alone() {
        let of = |length_s, pauses_s: &[u64]| judged(MqttLeft::Disconnected, length_s, pauses_s);
        assert_eq!(of(1_000, &[]), MqttAbsence::Open, "nobody knows when it is due");
        assert_eq!(of(1_000, &[60]), MqttAbsence::Open, "one absence is no rhythm");
        assert_eq!((of(110, &[60, 58]), of(130, &[60, 58])), (MqttAbsence::Usual, MqttAbsence::Gone));
        assert_eq!(of(59, &[5, 5]), MqttAbsence::Open, "within the limit");
    }

    #[test]
    fn an_absence_that_a_fault_has_led_to_is_the_faults() {
        let away = |since_s| MqttAway {
            since_ns: since_s * S,
            length_ns: 90 * S,
            left: MqttLeft::Dropped,
            limit_ns: 60 * S,
            dials: 0,
        };
        let mut fault = MqttOutage::new(1, MqttFault::Close, 10 * S, 5);
        assert!(away(10).is_of(&fault), "the run ended in it");
        (fault.length_ns, fault.gave_up_ns) = (Some(20 * S), Some(60 * S));
        assert!(away(10).is_of(&fault) && away(90).is_of(&fault) && !away(91).is_of(&fault));
        let back = MqttOutage { back_ns: Some(S), gave_up_ns: None, ..fault.clone() };
        let stood = MqttOutage { survived: true, gave_up_ns: None, ..fault };
        assert!(!away(40).is_of(&back) && !away(40).is_of(&stood));
    }

    #[test]
    fn a_device_that_still_waits_for_a_withheld_answer_when_the_fault_is_over_may_drop_its_session_then() {
        let mut fault = MqttOutage::new(1, MqttFault::NoPingresp, 6 * S, 5);
        (fault.length_ns, fault.survived) = (Some(20 * S), true);
        let follows = |since_s, length_s, left| {
            let (since_ns, length_ns) = (since_s * S, length_s * S);
            MqttAway { since_ns, length_ns, left, limit_ns: 60 * S, dials: 0 }.is_of(&fault)
        };
        assert!(follows(27, 2, MqttLeft::Dropped) && follows(36, 59, MqttLeft::Dropped));
        assert!(!follows(37, 2, MqttLeft::Dropped), "later than two keep-alives");
        assert!(!follows(27, 60, MqttLeft::Dropped), "it does not come back");
        assert!(!follows(27, 2, MqttLeft::Disconnected), "on purpose");
        fault.fault = MqttFault::Close;
        let away = MqttAway {
            since_ns: 27 * S,
            length_ns: 2 * S,
            left: MqttLeft::Dropped,
            limit_ns: 60 * S,
            dials: 0,
        };
        assert!(!away.is_of(&fault), "it waits for nothing");
    }

    #[test]
    fn who_dials_in_vain_is_not_gone() {
        let away =
            MqttAway { since_ns: 0, length_ns: 90 * S, left: MqttLeft::Dropped, limit_ns: 60 * S, dials: 3 };
        assert_eq!(away.judged(0, None), MqttAbsence::Open);
    }
}
