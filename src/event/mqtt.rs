//! What an MQTT client did to a broker that misbehaves on purpose: one record, from the workload to the report.
//!
//! Times are nanoseconds since the start of the run, lengths nanoseconds; `None` is "not known", never 0.

use serde::{Deserialize, Serialize};

use super::seconds;

mod sessions;

pub use sessions::{MqttAbsence, MqttAway, MqttLeft, MqttSessions};

/// What the broker does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum MqttFault {
    /// Nothing
    None,
    /// Close connections with a FIN and refuse new ones, as a restart does
    Close,
    /// Close connections with a RST and refuse new ones, as a crash does
    Reset,
    /// Send nothing: the path is dead (see --by)
    Silent,
    /// TCP acknowledges, but the broker reads and answers nothing
    Frozen,
    /// Answer everything but PINGREQ
    NoPingresp,
    /// Close the connection, accept the next ones and never send CONNACK
    NoConnack,
    /// Close the connection and refuse each CONNECT with a code
    Refuse,
    /// Send PUBACK, SUBACK and PINGRESP late
    Slow,
    /// End each session as if a second client used the same id
    Takeover,
    /// Restart without the sessions: CONNACK says session present 0
    SessionLost,
    /// Restart with the sessions: CONNACK says session present 1
    SessionKept,
    /// Send each message again with DUP after the device has acknowledged it (needs --publish)
    Redeliver,
    /// Send larger and larger messages (needs --publish)
    Big,
}

impl MqttFault {
    /// The name in settings and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Close => "close",
            Self::Reset => "reset",
            Self::Silent => "silent",
            Self::Frozen => "frozen",
            Self::NoPingresp => "no-pingresp",
            Self::NoConnack => "no-connack",
            Self::Refuse => "refuse",
            Self::Slow => "slow",
            Self::Takeover => "takeover",
            Self::SessionLost => "session-lost",
            Self::SessionKept => "session-kept",
            Self::Redeliver => "redeliver",
            Self::Big => "big",
        }
    }

    /// Whether it is made of messages to the device.
    #[must_use]
    pub const fn publishes(self) -> bool {
        matches!(self, Self::Redeliver | Self::Big)
    }

    /// Whether it leaves nothing of the broker to be heard, so that only the client's own time-out can notice.
    #[must_use]
    pub const fn is_mute(self) -> bool {
        matches!(self, Self::Silent | Self::Frozen)
    }

    /// Whether the session stands and the client waits for answers that don't come, or come late.
    #[must_use]
    pub const fn withholds_answers(self) -> bool {
        self.is_mute() || matches!(self, Self::NoPingresp | Self::Slow)
    }

    /// Whether the broker ends the connection at its start, where the client can see it.
    #[must_use]
    pub const fn ends_connections(self) -> bool {
        matches!(
            self,
            Self::Close
                | Self::Reset
                | Self::NoConnack
                | Self::Refuse
                | Self::Takeover
                | Self::SessionLost
                | Self::SessionKept
        )
    }
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum MqttProtocol {
    /// MQIsdp.
    #[serde(rename = "3.1")]
    V31,
    /// The usual one.
    #[serde(rename = "3.1.1")]
    V311,
    /// With properties.
    #[serde(rename = "5")]
    V5,
}

impl MqttProtocol {
    /// The version in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V31 => "3.1",
            Self::V311 => "3.1.1",
            Self::V5 => "5",
        }
    }
}

/// A message that the broker is to publish when the client vanishes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MqttWill {
    /// Quality of service.
    pub qos: u8,
    /// Whether it is kept for later subscribers.
    pub retain: bool,
    /// A hash of its topic: topics tell too much of a household.
    pub topic_hash: String,
}

/// One client.
#[derive(Clone, Debug, PartialEq)]
pub struct MqttClient<L> {
    /// A hash of its client id.
    pub id_hash: String,
    /// What it speaks.
    pub protocol: MqttProtocol,
    /// Keep-alive as it said in its last CONNECT, seconds; 0 switches it off.
    pub keepalive_s: u16,
    /// Whether it asks for a clean session.
    pub clean: bool,
    /// Its will.
    pub will: Option<MqttWill>,
    /// Topic filters that it is subscribed to.
    pub filters: u32,
    /// CONNECTs that were accepted.
    pub connects: u64,
    /// Control packets that came from it.
    pub packets: u64,
    /// PINGREQs among them.
    pub pings: u64,
    /// From its last control packet to a PINGREQ, faults left out.
    pub ping_interval: L,
    /// The longest time without a control packet on a connection that lived, faults left out; `None` before the second
    /// packet.
    pub silence_max_ns: Option<u64>,
    /// How often that was longer than the keep-alive and a second, and not longer than one and a half times the keep-alive.
    pub late: u64,
    /// How often it was longer than one and a half times the keep-alive: the broker closes the connection then.
    pub missed: u64,
    /// The client's message on its will's topic, the last one: whether it was retained; `None` where there was none.
    pub birth_retained: Option<bool>,
    /// Accepted CONNECTs, long enough ago, that no such message followed, after an earlier one was followed by one.
    pub births_missing: u64,
}

impl<L> MqttClient<L> {
    /// Keep-alive, nanoseconds; `None` where it is switched off.
    #[must_use]
    pub fn keepalive_ns(&self) -> Option<u64> {
        (self.keepalive_s > 0).then(|| u64::from(self.keepalive_s) * 1_000_000_000)
    }
}

/// Messages of one quality of service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MqttDelivery {
    /// Messages received, repetitions left out as far as they are known.
    pub received: u64,
    /// Repetitions with the DUP flag.
    pub again_dup: u64,
    /// Repetitions under the same packet id, unacknowledged, in the same session, without the DUP flag.
    pub again_no_dup: u64,
    /// Repetitions as a new message; null without a sequence.
    pub again_new_id: Option<u64>,
    /// Numbers of the sequence that never came although the device had time to send them; null without a sequence.
    pub lost: Option<u64>,
    /// Numbers that were missing at the end, too soon after a gap or a reconnection to know whether they are lost.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub under_way: u64,
    /// No number came after the last fault: whether messages were lost in it is not known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quiet_after_fault: bool,
    /// Messages that came after a later one; null without a sequence.
    pub out_of_order: Option<u64>,
    /// Most copies of one message on one connection.
    pub copies_max: u64,
    /// Most copies of one message that came on one connection although its acknowledgement had arrived.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub acknowledged_copies_max: u64,
    /// Why loss is not known; null where it is.
    pub not_kept: Option<String>,
}

/// Messages to the device, of one quality of service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MqttToDevice {
    /// Messages published, repetitions left out.
    pub sent: u64,
    /// Repetitions with the DUP flag: after a reconnection, or by the fault `redeliver`.
    pub again: u64,
    /// Messages that the device acknowledged, in time or late; null with QoS 0.
    pub acknowledged: Option<u64>,
    /// Messages, and repetitions by `redeliver`, that the device acknowledged too late.
    pub late: u64,
    /// Messages that it did not acknowledge, although it went on with the connection; oversized ones left out.
    pub unacknowledged: u64,
    /// Of those with QoS 2, the ones that lack only PUBCOMP: it said PUBREC, and nothing to PUBREL.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uncompleted: u64,
    /// Repetitions by `redeliver` of acknowledged messages that it did not acknowledge.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub again_unacknowledged: u64,
    /// Acknowledgements under a packet id that no message ever had.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub strange_ids: u64,
    /// Messages whose session ended before anything can be said of them.
    pub abandoned: u64,
    /// Messages that were under way at the end, unacknowledged for less time than says anything.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub under_way: u64,
    /// Of those under way, the ones that had waited for longer than any acknowledgement took; all where it acknowledged none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub overdue: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// What a device did with a message that was too large for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MqttBigEnd {
    /// It did not acknowledge it, and acknowledged a small one after it.
    Dropped,
    /// It acknowledged nothing more, small ones neither.
    Mute,
    /// It ended the connection, twice.
    Disconnected,
    /// It sent nothing more, until the broker closed the connection after one and a half keep-alives.
    Hung,
}

/// How large the messages are that a device takes: whole PUBLISH packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MqttBig {
    /// The largest that it acknowledged, bytes; null where there was none.
    pub acknowledged_bytes: Option<u32>,
    /// The first that it did not take, bytes; null where it took all.
    pub failed_bytes: Option<u32>,
    /// What it did with that.
    pub failed_by: Option<MqttBigEnd>,
    /// Sizes that were not sent: above the maximum packet size in the device's CONNECT.
    pub beyond_its_maximum: u32,
}

/// What was seen of the device first after a fault began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MqttSign {
    /// It closed the connection.
    Fin,
    /// It reset the connection.
    Rst,
    /// It dialled again.
    Syn,
}

impl MqttSign {
    /// The segment's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fin => "FIN",
            Self::Rst => "RST",
            Self::Syn => "SYN",
        }
    }
}

/// One fault, and what the client made of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MqttOutage {
    /// Its number in the run, from 1.
    pub number: u64,
    /// What the broker did.
    pub fault: MqttFault,
    /// When it began, seconds since the start of the run.
    #[serde(rename = "start_s", with = "seconds")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub start_ns: u64,
    /// How long it lasted, seconds; null where the run ended first.
    #[serde(rename = "length_s", with = "seconds::optional")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub length_ns: Option<u64>,
    /// The client's keep-alive, seconds.
    pub keepalive_s: u16,
    /// How late the broker answered, seconds; null for other faults than `slow`.
    #[serde(rename = "delay_s", with = "seconds::optional")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub delay_ns: Option<u64>,
    /// The link was cut, both ways: what the device did meanwhile is not on the wire.
    #[serde(default)]
    pub link_cut: bool,
    /// From its start until a broker would call the client gone: one and a half keep-alives after the last packet, seconds;
    /// null without a keep-alive, and for faults in which the broker goes on with the connection (slow, redeliver, big,
    /// no-pingresp).
    #[serde(rename = "host_notices_s", with = "seconds::optional")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub host_notices_ns: Option<u64>,
    /// From its start until the device's first FIN, RST or SYN on the wire, seconds; null where none was seen, or none can be
    /// because the link was cut.
    #[serde(rename = "device_notices_s", with = "seconds::optional")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub device_notices_ns: Option<u64>,
    /// Which it was.
    pub device_sign: Option<MqttSign>,
    /// Connections that the device tried to open during the fault; null without a capture, and where the link was cut.
    pub attempts: Option<u64>,
    /// Least time between two of them, seconds.
    #[serde(rename = "gap_min_s", with = "seconds::optional")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub gap_min_ns: Option<u64>,
    /// Median time between two of them, seconds.
    #[serde(rename = "gap_median_s", with = "seconds::optional")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub gap_median_ns: Option<u64>,
    /// Greatest time between two of them, seconds.
    #[serde(rename = "gap_max_s", with = "seconds::optional")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub gap_max_ns: Option<u64>,
    /// Whether those times grow; null where there are fewer than two.
    pub gaps_grow: Option<bool>,
    /// The device was connected at its end: its connection stood through it, or a later one was accepted before it ended.
    pub survived: bool,
    /// From its end to the CONNACK of a session that lasted, seconds; null where none came, or none was needed.
    #[serde(rename = "back_s", with = "seconds::optional")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub back_ns: Option<u64>,
    /// Session present in that CONNACK.
    pub session_present: Option<bool>,
    /// Sessions that the device ended right after a CONNACK with session present 1.
    pub present_refused: u32,
    /// From that CONNACK until every filter of before was subscribed again, seconds; null where that was not seen.
    #[serde(rename = "resubscribed_s", with = "seconds::optional")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub resubscribed_ns: Option<u64>,
    /// Filters of before that were missing when the time for them was over; null where that was not looked at.
    pub filters_missing: Option<u32>,
    /// From its end to the first message from the device, seconds; null where none came.
    #[serde(rename = "data_again_s", with = "seconds::optional")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub data_again_ns: Option<u64>,
    /// How long the broker waited for the device to come back when it had not, seconds; null where it came back or the run
    /// ended first.
    #[serde(rename = "gave_up_s", with = "seconds::optional")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub gave_up_ns: Option<u64>,
    /// The longest that the device waited for CONNACK on one connection during the fault `no-connack`, seconds; null for
    /// other faults, and where it sent no CONNECT.
    #[serde(rename = "connack_wait_s", default, with = "seconds::optional")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub connack_wait_ns: Option<u64>,
    /// Connections that it gave up while it waited for CONNACK; null where the above is.
    #[serde(default)]
    pub connack_given_up: Option<u32>,
    /// How large the messages are that the device takes; null for other faults than `big`.
    #[serde(default)]
    pub big: Option<MqttBig>,
    /// Why it says nothing of what it is made to show; null where it does.
    pub not_judged: Option<String>,
}

impl MqttOutage {
    /// One that begins now.
    #[must_use]
    pub const fn new(number: u64, fault: MqttFault, start_ns: u64, keepalive_s: u16) -> Self {
        Self {
            number,
            fault,
            start_ns,
            length_ns: None,
            keepalive_s,
            delay_ns: None,
            link_cut: false,
            host_notices_ns: None,
            device_notices_ns: None,
            device_sign: None,
            attempts: None,
            gap_min_ns: None,
            gap_median_ns: None,
            gap_max_ns: None,
            gaps_grow: None,
            survived: false,
            back_ns: None,
            session_present: None,
            present_refused: 0,
            resubscribed_ns: None,
            filters_missing: None,
            data_again_ns: None,
            gave_up_ns: None,
            connack_wait_ns: None,
            connack_given_up: None,
            big: None,
            not_judged: None,
        }
    }

    /// When it ended.
    #[must_use]
    pub fn end_ns(&self) -> Option<u64> {
        Some(self.start_ns.saturating_add(self.length_ns?))
    }

    /// The client's keep-alive, nanoseconds; `None` where it is switched off.
    #[must_use]
    pub fn keepalive_ns(&self) -> Option<u64> {
        (self.keepalive_s > 0).then(|| u64::from(self.keepalive_s) * 1_000_000_000)
    }

    /// A time as a multiple of the keep-alive.
    #[must_use]
    pub fn of_keepalive(&self, ns: Option<u64>) -> Option<f64> {
        Some(ns? as f64 / self.keepalive_ns()? as f64)
    }

    /// Whether it was long enough for a client that keeps to the standard to notice, with room for its own time-out.
    #[must_use]
    pub fn long_enough(&self) -> bool {
        let needed = self.keepalive_ns().map(|k| 2 * k + 10 * 1_000_000_000);
        needed.zip(self.length_ns).is_some_and(|(needed, length)| length >= needed)
    }
}

/// What the device showed on the wire of a port that it dials, nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialSign {
    /// When.
    pub at_ns: i64,
    /// The device's port.
    pub port: u16,
    /// The segment's sequence number: a repetition has the same.
    pub seq: u32,
    /// What it was.
    pub sign: MqttSign,
}

/// Everything that was measured of MQTT clients.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mqtt<L> {
    /// Why nothing was measured, in one sentence; `None` when it was.
    pub unavailable: Option<String>,
    /// From the first CONNACK to the end of the workload.
    pub watched_ns: u64,
    /// Clients, the target first.
    pub clients: Vec<MqttClient<L>>,
    /// Connections that were closed unserved: other hosts, other clients, no MQTT.
    pub turned_away: u64,
    /// Why the last of them was.
    pub turned_away_last: Option<String>,
    /// Connections of the target's that were closed because of what came on them.
    pub malformed: u64,
    /// What came on the last of them.
    pub malformed_last: Option<String>,
    /// Connections that a new one with the same client id replaced outside of faults (MQTT 3.1.1, 3.1.4-2).
    pub taken_over: u64,
    /// How sessions ended outside of faults.
    pub sessions: MqttSessions<L>,
    /// Messages or filters beyond what the broker holds: they were not kept.
    pub beyond_limits: u64,
    /// Messages from the target, by quality of service.
    pub to_host: [MqttDelivery; 3],
    /// Messages to the target, by quality of service.
    pub to_device: [MqttToDevice; 3],
    /// Why none was sent although that was asked for.
    pub not_published: Option<String>,
    /// From a message to the target to the end of its acknowledgement, faults left out.
    pub acknowledgement: L,
    /// Faults, the first of them; further ones are only counted.
    pub outages: Vec<MqttOutage>,
    /// Faults that are not in the list.
    pub outages_left_out: u64,
    /// From accepting a connection to its CONNECT.
    pub connect: L,
    /// From CONNACK to the first SUBSCRIBE.
    pub subscribe: L,
    /// From CONNACK to the first PUBLISH.
    pub first_publish: L,
    /// Why the device's own notice of faults is not known; `None` where the packets tell.
    pub no_signs: Option<String>,
}

impl<L> Mqtt<L> {
    /// Faults kept one by one.
    pub const MOST_OUTAGES: usize = 512;

    /// The device that is tested.
    #[must_use]
    pub fn target(&self) -> Option<&MqttClient<L>> {
        self.clients.first()
    }

    /// Keeps a fault, or counts it.
    pub fn ended(&mut self, outage: MqttOutage) {
        if self.outages.len() < Self::MOST_OUTAGES {
            self.outages.push(outage);
        } else {
            self.outages_left_out += 1;
        }
    }

    /// The same with latencies kept in another way.
    #[must_use]
    pub fn with_latencies<M>(&self, keep: impl Fn(&L) -> M) -> Mqtt<M> {
        let client = |c: &MqttClient<L>| MqttClient {
            id_hash: c.id_hash.clone(),
            protocol: c.protocol,
            keepalive_s: c.keepalive_s,
            clean: c.clean,
            will: c.will.clone(),
            filters: c.filters,
            connects: c.connects,
            packets: c.packets,
            pings: c.pings,
            ping_interval: keep(&c.ping_interval),
            silence_max_ns: c.silence_max_ns,
            late: c.late,
            missed: c.missed,
            birth_retained: c.birth_retained,
            births_missing: c.births_missing,
        };
        Mqtt {
            unavailable: self.unavailable.clone(),
            watched_ns: self.watched_ns,
            clients: self.clients.iter().map(client).collect(),
            turned_away: self.turned_away,
            turned_away_last: self.turned_away_last.clone(),
            malformed: self.malformed,
            malformed_last: self.malformed_last.clone(),
            taken_over: self.taken_over,
            sessions: self.sessions.with_latencies(&keep),
            beyond_limits: self.beyond_limits,
            to_host: self.to_host.clone(),
            to_device: self.to_device.clone(),
            not_published: self.not_published.clone(),
            acknowledgement: keep(&self.acknowledgement),
            outages: self.outages.clone(),
            outages_left_out: self.outages_left_out,
            connect: keep(&self.connect),
            subscribe: keep(&self.subscribe),
            first_publish: keep(&self.first_publish),
            no_signs: self.no_signs.clone(),
        }
    }
}
