//! What an MQTT client did to a broker that misbehaves: the section of the report, and the same in words.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::LatencyFigures;
use super::human::{count, things, time_s};
pub use super::mqtt_sessions::MqttSessionFigures;
use super::mqtt_sessions::left;
use super::standing::Line;
use super::workload::seconds;
use espstress_event::{
    MqttAbsence, MqttBigEnd, MqttClient, MqttDelivery, MqttFault, MqttLeft, MqttOutage, MqttProtocol,
    MqttToDevice, MqttWill,
};
use espstress_stats::{Latency, MqttStats};

/// Faults that are told one by one on a page.
const TOLD: usize = 12;

/// What an MQTT client did to a broker that misbehaves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MqttFigures {
    /// Why nothing was measured; null when it was.
    pub unavailable: Option<String>,
    /// From the first CONNACK to the end of the workload, seconds.
    pub watched_s: f64,
    /// The device that was tested; empty where none connected.
    pub clients: Vec<MqttClientFigures>,
    /// Connections that were closed unserved: other hosts, other clients, no MQTT.
    pub turned_away: u64,
    /// Why the last of them was.
    pub turned_away_last: Option<String>,
    /// Connections of the device that were closed because of what came on them.
    pub malformed: u64,
    /// What came on the last of them.
    pub malformed_last: Option<String>,
    /// Connections that a new one with the same client id replaced outside of faults.
    #[serde(default)]
    pub taken_over: u64,
    /// How sessions ended outside of faults; the device's absence at the end.
    #[serde(default)]
    pub sessions: MqttSessionFigures,
    /// Topic filters beyond what the broker holds.
    pub beyond_limits: u64,
    /// Messages from the device, by quality of service.
    pub to_host: BTreeMap<String, MqttDelivery>,
    /// Messages to the device, by quality of service; empty unless `--publish` was given.
    #[serde(default)]
    pub to_device: BTreeMap<String, MqttToDevice>,
    /// Why none was sent although that was asked for; null otherwise.
    #[serde(default)]
    pub not_published: Option<String>,
    /// From a message to the device to the end of its acknowledgement, faults left out.
    #[serde(default)]
    pub acknowledgement: LatencyFigures,
    /// The faults, in the order of time; the first of them.
    pub outages: Vec<MqttOutage>,
    /// Faults that are not in the list.
    pub outages_left_out: u64,
    /// From accepting a connection to its CONNECT.
    pub connect: LatencyFigures,
    /// From CONNACK to the first SUBSCRIBE.
    pub subscribe: LatencyFigures,
    /// From CONNACK to the first PUBLISH.
    pub first_publish: LatencyFigures,
    /// Why the device's own notice of faults is not known; null where the packets tell.
    pub no_signs: Option<String>,
    /// Why this is not all, for the log of a run that did not end; null where it is.
    #[serde(default)]
    pub incomplete: Option<String>,
}

/// One MQTT client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MqttClientFigures {
    /// A hash of its client id.
    pub id_hash: String,
    /// Version of the protocol.
    pub protocol: MqttProtocol,
    /// Keep-alive K of its last CONNECT, seconds; 0 switches it off.
    pub keepalive_s: u16,
    /// Whether it asks for a clean session.
    pub clean: bool,
    /// Its will; null without one.
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
    pub ping_interval: LatencyFigures,
    /// The 99th percentile of that less the 1st, seconds; null without any.
    pub ping_jitter_s: Option<f64>,
    /// Longest time without a control packet on a connection that lived, faults left out, seconds.
    pub silence_max_s: Option<f64>,
    /// How often that was longer than K and a second, and not longer than 1.5 K.
    pub late: u64,
    /// How often it was longer than 1.5 K: the broker closes the connection then.
    pub missed: u64,
    /// Whether its last message on its will's topic was retained; null where there was none.
    pub birth_retained: Option<bool>,
    /// Returns without such a message.
    pub births_missing: u64,
}

impl MqttClientFigures {
    fn of(client: &MqttClient<Latency>) -> Self {
        let pings = &client.ping_interval;
        let jitter = pings.quantile_ns(0.99).zip(pings.quantile_ns(0.01));
        Self {
            id_hash: client.id_hash.clone(),
            protocol: client.protocol,
            keepalive_s: client.keepalive_s,
            clean: client.clean,
            will: client.will.clone(),
            filters: client.filters,
            connects: client.connects,
            packets: client.packets,
            pings: client.pings,
            ping_interval: LatencyFigures::from_latency(pings),
            ping_jitter_s: jitter.map(|(high, low)| seconds(high.saturating_sub(low))),
            silence_max_s: client.silence_max_ns.map(seconds),
            late: client.late,
            missed: client.missed,
            birth_retained: client.birth_retained,
            births_missing: client.births_missing,
        }
    }

    /// A time as a multiple of the keep-alive; `None` where it is switched off.
    pub(super) fn of_keepalive(&self, seconds: f64) -> Option<f64> {
        (self.keepalive_s > 0).then(|| seconds / f64::from(self.keepalive_s))
    }
}

impl MqttFigures {
    /// What was measured.
    #[must_use]
    pub(crate) fn from_stats(of: &MqttStats) -> Self {
        let rows = of.to_host.iter().enumerate().filter(|(_, row)| row.received > 0);
        let sent = of.to_device.iter().enumerate().filter(|(_, row)| row.sent > 0);
        Self {
            unavailable: of.unavailable.clone(),
            watched_s: seconds(of.watched_ns),
            clients: of.clients.iter().map(MqttClientFigures::of).collect(),
            turned_away: of.turned_away,
            turned_away_last: of.turned_away_last.clone(),
            malformed: of.malformed,
            malformed_last: of.malformed_last.clone(),
            taken_over: of.taken_over,
            sessions: MqttSessionFigures::of(&of.sessions),
            beyond_limits: of.beyond_limits,
            to_host: rows.map(|(qos, row)| (qos.to_string(), row.clone())).collect(),
            to_device: sent.map(|(qos, row)| (qos.to_string(), row.clone())).collect(),
            not_published: of.not_published.clone(),
            acknowledgement: LatencyFigures::from_latency(&of.acknowledgement),
            outages: of.outages.clone(),
            outages_left_out: of.outages_left_out,
            connect: LatencyFigures::from_latency(&of.connect),
            subscribe: LatencyFigures::from_latency(&of.subscribe),
            first_publish: LatencyFigures::from_latency(&of.first_publish),
            no_signs: of.no_signs.clone(),
            incomplete: None,
        }
    }

    /// The device that was tested.
    #[must_use]
    pub fn target(&self) -> Option<&MqttClientFigures> {
        self.clients.first()
    }

    /// Why nothing is said of how the device keeps its keep-alive: it was watched for less than two of them.
    pub(super) fn too_short(&self) -> Option<String> {
        let client = self.target()?;
        let needed = f64::from(client.keepalive_s) * 2.0;
        (self.watched_s < needed).then(|| {
            format!(
                "the device was watched for {}, less than two keep-alives of {} s: not judged",
                time_s(self.watched_s),
                client.keepalive_s
            )
        })
    }

    /// The device was away after a fault when the workload ended, and had not been waited for long enough.
    pub(super) fn not_back(&self) -> Option<String> {
        let last = self.outages.last()?;
        let open = last.back_ns.is_none() && !last.survived && last.gave_up_ns.is_none();
        open.then(|| {
            format!(
                "it ended before the device was back after the fault {}: too short to say that it won't come",
                last.fault.name()
            )
        })
    }

    /// The device was away when the workload ended, and no fault was why. A long absence is a finding; a gate that
    /// asks for something else must not pass because of what a device that is gone leaves out.
    pub(super) fn away(&self) -> Option<String> {
        let away = self.sessions.away?;
        if self.outages.last().is_some_and(|fault| away.is_of(fault)) {
            return None;
        }
        let longest = self.sessions.pause_max_s.map(|s| (s * 1e9) as u64);
        let judged = away.judged(self.sessions.pauses, longest);
        let why = match (judged, away.left) {
            (MqttAbsence::Usual, _) => return None,
            (MqttAbsence::Gone, _) => "it did not come back",
            (MqttAbsence::Open, _) if away.dials > 0 => "it dialled, and got no session",
            (MqttAbsence::Open, MqttLeft::Disconnected) => {
                "whether it sleeps, and for how long, is not known"
            }
            (MqttAbsence::Open, _) => "too short to say that it won't come back",
        };
        Some(format!(
            "the device was away when it ended, for {} ({}): {why}",
            time_s(seconds(away.length_ns)),
            left(away.left)
        ))
    }

    /// Messages that a device promises to deliver were missing when the workload ended, or none came after the last fault.
    pub(super) fn messages_open(&self) -> Option<String> {
        let reliable = || self.to_host.iter().filter(|(qos, _)| *qos != "0").map(|(_, row)| row);
        let missing: u64 = reliable().map(|row| row.under_way).sum();
        if missing > 0 {
            let messages = things(missing, "numbered message");
            return Some(format!("{messages} missing when it ended, too soon to call lost"));
        }
        let overdue: u64 = self.to_device.values().map(|row| row.overdue).sum();
        if overdue > 0 {
            let than = match self.to_device.values().any(|row| row.acknowledged.is_some_and(|n| n > 0)) {
                true => ", for longer than any before",
                false => ", and none had been acknowledged",
            };
            let messages = things(overdue, "message");
            return Some(format!(
                "{messages} to the device waited for an acknowledgement when it ended{than}"
            ));
        }
        reliable().any(|row| row.quiet_after_fault).then(|| QUIET.to_owned())
    }

    /// How many messages with this quality of service were lost: so many, with what more may be and why.
    pub(super) fn lost(&self, qos: u8) -> Option<(u64, Option<Unsure>)> {
        let own = self.to_host.get(&qos.to_string())?;
        let lost = own.lost?;
        let others =
            || self.to_host.iter().filter(|(other, row)| **other != qos.to_string() && row.lost.is_some());
        // What is missing is in the row of the lowest, whichever it had.
        let missing = |row: &MqttDelivery| row.lost.unwrap_or(0) + row.under_way;
        let all = missing(own) + others().map(|(_, row)| missing(row)).sum::<u64>();
        let unsure = if all > 0 && others().next().is_some() {
            Some(Unsure::AtMost(all, "messages are missing, and nobody knows with which QoS they were sent"))
        } else if own.under_way > 0 {
            Some(Unsure::More("more were missing when it ended, too soon to call them lost"))
        } else {
            own.quiet_after_fault.then_some(Unsure::More(QUIET))
        };
        Some((lost, unsure))
    }

    /// Messages to the device were asked for, and none was sent.
    pub(super) fn nothing_published(&self) -> Option<String> {
        self.not_published.as_ref().map(|why| format!("nothing was published to the device: {why}"))
    }

    /// Most attempts a second during one fault; `None` without a fault that the packets tell of.
    pub(super) fn attempts_per_s(&self) -> Option<f64> {
        let rate = |o: &MqttOutage| Some(o.attempts? as f64 / seconds(o.length_ns?).max(1.0));
        self.outages.iter().filter_map(rate).reduce(f64::max)
    }

    /// The longest time that the device took to notice a fault that left nothing of the broker, as a multiple of its
    /// keep-alive. One that it did not notice lasted at least as long as the fault.
    pub(super) fn notice_max_of_k(&self) -> Option<f64> {
        // With the fault silent, what the device sends after its end does not say when it had noticed.
        let unknown = |o: &MqttOutage| o.fault == MqttFault::Silent && !o.survived;
        let noticed = |o: &MqttOutage| match (o.device_notices_ns, o.length_ns) {
            (Some(at), Some(length)) if at > length && unknown(o) => None,
            (None, _) if unknown(o) => None,
            (at, length) => o.of_keepalive(Some(at.or(length)?)),
        };
        let mute = self.outages.iter().filter(|o| o.fault.is_mute() && o.attempts.is_some());
        mute.filter_map(noticed).reduce(f64::max)
    }

    /// The longest return after a fault, seconds. One that was waited for in vain took at least as long.
    pub(super) fn back_max_s(&self) -> Option<f64> {
        self.outages.iter().filter_map(|o| o.back_ns.or(o.gave_up_ns)).max().map(seconds)
    }

    fn published(&self, row: &MqttToDevice) -> String {
        let mut list = vec![things(row.sent, "message")];
        list.extend((row.again > 0).then(|| format!("{} again with DUP", count(row.again))));
        list.extend(row.acknowledged.map(|n| format!("{} acknowledged", count(n))));
        if row.acknowledged.is_some()
            && let (Some(p50), Some(max)) = (self.acknowledgement.p50_us, self.acknowledgement.max_us)
        {
            list.push(format!("after {} in the median, {} at most", time_s(p50 / 1e6), time_s(max / 1e6)));
        }
        list.extend((row.late > 0).then(|| format!("{} after more than ten seconds", count(row.late))));
        list.extend(
            (row.unacknowledged > 0).then(|| format!("{} not acknowledged", count(row.unacknowledged))),
        );
        list.extend(
            (row.uncompleted > 0).then(|| format!("{} of these without PUBCOMP", count(row.uncompleted))),
        );
        list.extend(
            (row.abandoned > 0).then(|| format!("{} ended with their session", count(row.abandoned))),
        );
        list.extend((row.under_way > 0).then(|| format!("{} under way at the end", count(row.under_way))));
        list.extend(
            (row.again_unacknowledged > 0)
                .then(|| format!("{} not acknowledged", things(row.again_unacknowledged, "repetition"))),
        );
        list.extend((row.strange_ids > 0).then(|| {
            format!("{} under a packet id of no message", things(row.strange_ids, "acknowledgement"))
        }));
        list.join(", ")
    }

    /// In words, for any form of the report.
    pub(super) fn lines(&self, say: &mut impl FnMut(&str, String)) {
        if let Some(reason) = &self.unavailable {
            say("mqtt", format!("nothing measured: {reason}"));
        }
        if let Some(reason) = &self.incomplete {
            say("incomplete", reason.clone());
        }
        if let Some(client) = self.target() {
            client_lines(client, self.sessions.longest_s(), say);
        }
        for (qos, row) in &self.to_host {
            say(&format!("QoS {qos}"), delivery(row));
        }
        for (qos, row) in &self.to_device {
            say("to device", format!("QoS {qos}: {}", self.published(row)));
        }
        if let Some(why) = &self.not_published {
            say("not published", why.clone());
        }
        if let Some(why) = self.too_short() {
            say("not judged", why);
        }
        for outage in self.outages.iter().take(TOLD) {
            say("fault", fault(outage, self.no_signs.is_none()));
        }
        let more = self.outages.len().saturating_sub(TOLD) as u64 + self.outages_left_out;
        if more > 0 {
            say("", format!("{more} more in the JSON report"));
        }
        if let Some(why) = self.no_signs.as_ref().filter(|_| !self.outages.is_empty()) {
            say("not known", format!("when the device noticed, and how often it dialled: {why}"));
        }
        if self.malformed > 0 {
            let last = self.malformed_last.as_deref().unwrap_or_default();
            say(
                "malformed",
                format!(
                    "{} closed for what came on it, the last one for: {last}",
                    things(self.malformed, "connection")
                ),
            );
        }
        if self.turned_away > 0 {
            let last = self.turned_away_last.as_deref().unwrap_or_default();
            say("turned away", format!("{}; the last one: {last}", things(self.turned_away, "connection")));
        }
        self.sessions.lines(say);
        if self.taken_over > 0 {
            let text = "by a new one with the same client id: two clients use one id, or the device dials again \
                        without closing";
            say("replaced", format!("{} {text}", things(self.taken_over, "connection")));
        }
        if self.beyond_limits > 0 {
            say("limits", format!("{} beyond 64, not kept", things(self.beyond_limits, "topic filter")));
        }
    }
}

fn client_lines(client: &MqttClientFigures, away_s: Option<f64>, say: &mut impl FnMut(&str, String)) {
    let session = if client.clean { "clean session" } else { "lasting session" };
    let mut text = format!(
        "{}, MQTT {}, keep-alive {} s, {session}, {}, {}",
        client.id_hash,
        client.protocol.name(),
        client.keepalive_s,
        things(client.filters.into(), "topic filter"),
        things(client.connects, "accepted CONNECT")
    );
    if let Some(will) = &client.will {
        let retained = if will.retain { ", retained" } else { "" };
        text.push_str(&format!(", will with QoS {}{retained}", will.qos));
    }
    say("client", text);
    let of_k = |s: f64| client.of_keepalive(s).map_or_else(String::new, |k| format!(" ({k:.2} K)"));
    let us = |us: Option<f64>| us.map(|us| us / 1e6);
    let text = match (us(client.ping_interval.p50_us), us(client.ping_interval.max_us)) {
        (Some(p50), Some(max)) => format!(
            "{} PINGREQ, after {}{} in the median, {}{} at most",
            count(client.ping_interval.count),
            time_s(p50),
            of_k(p50),
            time_s(max),
            of_k(max)
        ),
        _ => format!("{} PINGREQ outside of faults", count(client.ping_interval.count)),
    };
    // A device that is away says nothing either.
    let silence = match (client.silence_max_s, away_s) {
        (on, Some(away)) if on.is_none_or(|on| on < away) => {
            format!("; longest silence {}{}", time_s(away), of_k(away))
        }
        (Some(s), _) => format!("; longest silence {}{}", time_s(s), of_k(s)),
        (None, _) => String::new(),
    };
    say("pings", format!("{text}{silence}"));
    if client.late + client.missed > 0 {
        let text =
            format!("{} above K and a second, {} above 1.5 K", count(client.late), count(client.missed));
        say("silences", text);
    }
}

/// Why a loss may not have shown.
const QUIET: &str = "no numbered message came after the last fault: whether any was lost in it is not known";

/// What a number of lost messages does not tell.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unsure {
    /// There may be more.
    More(&'static str),
    /// There are at most so many, and perhaps none.
    AtMost(u64, &'static str),
}

fn delivery(row: &MqttDelivery) -> String {
    let mut list = vec![things(row.received, "message")];
    list.extend((row.again_dup > 0).then(|| format!("{} again with DUP", count(row.again_dup))));
    list.extend((row.again_no_dup > 0).then(|| format!("{} again without DUP", count(row.again_no_dup))));
    list.extend((row.acknowledged_copies_max > 0).then(|| {
        format!("one of them {} after its acknowledgement", things(row.acknowledged_copies_max, "time"))
    }));
    list.extend(row.again_new_id.filter(|n| *n > 0).map(|n| format!("{} again as new", count(n))));
    list.extend(row.out_of_order.filter(|n| *n > 0).map(|n| format!("{} out of order", count(n))));
    list.push(match (row.lost, &row.not_kept) {
        (Some(n), _) => format!("{} lost", count(n)),
        (None, Some(why)) => format!("loss not known: {why}"),
        (None, None) => "loss not known".to_owned(),
    });
    list.extend(
        (row.under_way > 0)
            .then(|| format!("{} missing at the end, too soon to call lost", count(row.under_way))),
    );
    list.extend(row.quiet_after_fault.then(|| "none after the last fault".to_owned()));
    list.join(", ")
}

/// One fault in a line.
fn fault(o: &MqttOutage, has_signs: bool) -> String {
    let mut list = Vec::new();
    let of_k = |ns| o.of_keepalive(Some(ns)).map_or_else(String::new, |k| format!(" ({k:.1} K)"));
    let length = o.length_ns.map_or_else(|| "not to its end".to_owned(), |ns| time_s(seconds(ns)));
    list.extend(o.host_notices_ns.map(|ns| format!("a broker notices after {}", time_s(seconds(ns)))));
    match (o.device_notices_ns, o.device_sign) {
        (Some(ns), Some(sign)) => {
            list.push(format!("the device's {} after {}{}", sign.name(), time_s(seconds(ns)), of_k(ns)));
        }
        _ if o.link_cut => list.push("when the device notices can't be seen: the link was cut".into()),
        _ if has_signs => list.push("no FIN, RST or SYN from the device".into()),
        _ => {}
    }
    if let Some(n) = o.attempts.filter(|n| *n > 0) {
        let gaps = o.gap_min_ns.zip(o.gap_max_ns).map_or_else(String::new, |(least, most)| {
            let (least, most) = (time_s(seconds(least)), time_s(seconds(most)));
            if least == most { format!(", {least} apart") } else { format!(", {least} to {most} apart") }
        });
        list.push(format!("{}{gaps}", things(n, "attempt")));
    }
    match (o.back_ns, o.gave_up_ns) {
        _ if o.survived => list.push("connected at its end".into()),
        // Its old CONNECT was answered then: that is no return of its own.
        (Some(_), _) if o.connack_given_up == Some(0) => {
            list.push("back as its CONNECT was answered at the end".into());
        }
        (Some(ns), _) => list.push(format!("back {} after its end", time_s(seconds(ns)))),
        (None, Some(ns)) => list.push(format!("not back within {}", time_s(seconds(ns)))),
        (None, None) => list.push("the run ended before the device was back".into()),
    }
    list.extend(o.connack_wait_ns.map(|ns| {
        let waited = time_s(seconds(ns));
        match o.connack_given_up {
            None | Some(0) => {
                format!("it waited for CONNACK for {waited} on one connection and gave none up")
            }
            Some(n) => {
                let n = things(n.into(), "connection");
                format!("it gave up {n} without CONNACK, after {waited} at most")
            }
        }
    }));
    list.extend(o.filters_missing.filter(|n| *n > 0).map(|n| {
        let filters = things(n.into(), "topic filter");
        match o.resubscribed_ns {
            Some(ns) => format!("{filters} late, {} after CONNACK", time_s(seconds(ns))),
            None => format!("{filters} missing"),
        }
    }));
    if let Some(big) = &o.big {
        list.extend(big.acknowledged_bytes.map(|n| format!("took {n} bytes")));
        list.extend(
            big.failed_bytes.zip(big.failed_by).map(|(n, by)| format!("{} at {n} bytes", big_end(by))),
        );
        list.extend((big.beyond_its_maximum > 0).then(|| {
            format!("{} above its own maximum not sent", things(big.beyond_its_maximum.into(), "size"))
        }));
    }
    list.extend(o.not_judged.iter().map(|why| format!("not judged: {why}")));
    format!("{} at {}, {length}: {}", o.fault.name(), time_s(seconds(o.start_ns)), list.join(", "))
}

/// What the device did with a message that was too large for it.
const fn big_end(by: MqttBigEnd) -> &'static str {
    match by {
        MqttBigEnd::Dropped => "acknowledged none",
        MqttBigEnd::Mute => "acknowledged nothing more",
        MqttBigEnd::Disconnected => "ended the connection twice",
        MqttBigEnd::Hung => "sent nothing more",
    }
}

/// The lines of a section.
pub(super) fn lines(of: &MqttFigures) -> Vec<Line> {
    let mut lines = Vec::new();
    of.lines(&mut |label, text| lines.push((label.to_owned(), text)));
    lines
}
