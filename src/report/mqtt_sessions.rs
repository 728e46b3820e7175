//! How an MQTT client's sessions ended outside of faults: the part of the report, and the same in words.

use serde::{Deserialize, Serialize};

use super::LatencyFigures;
use super::human::{things, time_s};
use super::workload::seconds;
use espstress_event::{MqttAway, MqttLeft, MqttSessions};
use espstress_stats::Latency;

/// Sessions that began and ended outside of faults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MqttSessionFigures {
    /// Sessions that the device ended with DISCONNECT.
    pub disconnected: u64,
    /// How long those lasted that it ended without DISCONNECT.
    pub dropped: LatencyFigures,
    /// From the end of a session to the next CONNACK.
    pub pause: LatencyFigures,
    /// How many these are.
    pub pauses: u64,
    /// The longest of these, seconds; null without any.
    pub pause_max_s: Option<f64>,
    /// The device had no session at the end, or was silent on it for longer than its keep-alive and a second; null otherwise.
    pub away: Option<MqttAway>,
}

impl MqttSessionFigures {
    pub(super) fn of(of: &MqttSessions<Latency>) -> Self {
        Self {
            disconnected: of.disconnected,
            dropped: LatencyFigures::from_latency(&of.dropped),
            pause: LatencyFigures::from_latency(&of.pause),
            pauses: of.pauses,
            pause_max_s: of.pause_max_ns.map(seconds),
            away: of.away,
        }
    }

    /// These and those of a later session of the run. Where the device was at the end, the later one tells.
    pub(super) fn with(&self, later: &Self) -> Self {
        Self {
            disconnected: self.disconnected + later.disconnected,
            dropped: self.dropped.with(&later.dropped),
            pause: self.pause.with(&later.pause),
            pauses: self.pauses + later.pauses,
            pause_max_s: longest(self.pause_max_s, later.pause_max_s),
            away: later.away,
        }
    }

    /// Moves every time of it.
    pub(super) fn shift(&mut self, by_s: f64) {
        if let Some(away) = &mut self.away {
            away.since_ns = away.since_ns.saturating_add((by_s * 1e9) as u64);
        }
    }

    /// The longest time without a session, seconds.
    pub(super) fn longest_s(&self) -> Option<f64> {
        longest(self.pause_max_s, self.away.map(|away| seconds(away.length_ns)))
    }

    /// In words.
    pub(super) fn lines(&self, say: &mut impl FnMut(&str, String)) {
        let mut list = Vec::new();
        if self.dropped.count > 0 {
            let lasted = self
                .dropped
                .p50_us
                .map_or_else(String::new, |us| format!(", after {} in the median", time_s(us / 1e6)));
            let sessions = things(self.dropped.count, "session");
            list.push(format!("{sessions} ended by the device without DISCONNECT{lasted}"));
        }
        if self.disconnected > 0 {
            list.push(format!("{} with DISCONNECT", things(self.disconnected, "session")));
        }
        list.extend(self.pause_max_s.map(|s| format!("at most {} until the next", time_s(s))));
        if !list.is_empty() {
            say("sessions", list.join(", "));
        }
        if let Some(away) = self.away {
            let (at, length) = (time_s(seconds(away.since_ns)), time_s(seconds(away.length_ns)));
            say("away", format!("since {at} for {length} until the end, {}", left(away.left)));
        }
    }
}

fn longest(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    a.into_iter().chain(b).reduce(f64::max)
}

/// How its last session ended, in words that go on after a time.
pub(super) const fn left(left: MqttLeft) -> &'static str {
    match left {
        MqttLeft::Disconnected => "it had said DISCONNECT",
        MqttLeft::Dropped => "it had ended its connection without DISCONNECT",
        MqttLeft::Silent => "it had sent nothing for longer than its keep-alive",
        MqttLeft::Closed => "the broker had ended its connection",
    }
}
