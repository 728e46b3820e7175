//! What outages did: single ones, and the sums over all of a workload's.

use serde::{Deserialize, Serialize};

use super::workload::seconds;
use super::{Failures, LatencyFigures};
use espstress_event::{LinkOutageCause, MessageLedger, OutageOrigin, OutageProgress};
use espstress_stats::OutageStats;

/// One outage, made or natural. Times are seconds since the start of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OutageRow {
    /// Which one, from 1.
    pub(crate) number: u64,
    /// Whether this run made it.
    #[serde(default)]
    pub origin: OutageOrigin,
    /// The number of the device that dialled in; null where none did.
    pub device: Option<u64>,
    /// When it was to start, seconds; null for a natural one.
    pub(crate) planned_start_s: Option<f64>,
    /// How long it was to last, seconds; null for a natural one.
    pub(crate) planned_length_s: Option<f64>,
    /// When it started by the account of what made it (the twin's link, the device's answer, the filter, the end
    /// of the user's script), seconds; null for a natural one.
    pub made_start_s: Option<f64>,
    /// How long it lasted by the same account, seconds.
    pub made_length_s: Option<f64>,
    /// When it was seen to start: the last byte heard before it, seconds.
    pub seen_start_s: Option<f64>,
    /// How long it was seen to last: until the first byte heard again, seconds.
    pub seen_length_s: Option<f64>,
    /// When the host noticed, seconds.
    pub(crate) host_noticed_s: Option<f64>,
    /// When the device noticed, seconds, where it tells.
    pub(crate) device_noticed_s: Option<f64>,
    /// When the first message was acknowledged again, seconds; null when none was within the watched time.
    pub data_again_s: Option<f64>,
    /// When every connection stood again, seconds; null when that did not come about.
    #[serde(default)]
    pub back_s: Option<f64>,
    /// From the end of the outage until every connection stood again and had an answer, seconds; null when that
    /// did not come about, and where it is not known when the outage ended.
    pub recovery_s: Option<f64>,
    /// For how long after the end of the outage recovery was waited for in vain, seconds; null when it came
    /// about, or when the run ended first.
    pub(crate) gave_up_after_s: Option<f64>,
    /// Messages to the device that were acknowledged from its start until its recovery, late ones included.
    pub(crate) messages_acknowledged: u64,
    /// Messages lost, both directions.
    pub(crate) messages_lost: u64,
    /// Messages that arrived more than once, both directions.
    pub messages_duplicated: u64,
    /// Where each message to the device stayed that was under way at its start or sent from then until its
    /// recovery.
    #[serde(default)]
    pub to_device: MessageLedger,
    /// The same from the device.
    #[serde(default)]
    pub to_host: MessageLedger,
    /// Connections that lived through it.
    pub(crate) connections_lived: u64,
    /// Connections that died in it.
    pub(crate) connections_died: u64,
    /// Sockets left half-open on the device afterwards; null where it does not tell.
    pub(crate) device_half_open_sockets: Option<u64>,
}

impl OutageRow {
    /// Moves every time of it.
    pub(super) fn shift(&mut self, by_s: f64) {
        let times = [
            &mut self.planned_start_s,
            &mut self.made_start_s,
            &mut self.seen_start_s,
            &mut self.host_noticed_s,
            &mut self.device_noticed_s,
            &mut self.data_again_s,
            &mut self.back_s,
        ];
        times.into_iter().flatten().for_each(|at_s| *at_s += by_s);
    }

    /// Whether every connection stood again. Reports from before `back_s` have the time that it took alone.
    pub(super) const fn is_back(&self) -> bool {
        self.back_s.is_some() || self.recovery_s.is_some()
    }
}

impl From<&espstress_event::OutageRow> for OutageRow {
    fn from(of: &espstress_event::OutageRow) -> Self {
        let at = |ns: Option<u64>| ns.map(seconds);
        let after_end = |ns: Option<u64>| Some(ns?.saturating_sub(of.end_ns()?));
        Self {
            number: of.number,
            origin: of.origin,
            device: of.device.map(u64::from),
            planned_start_s: at(of.planned_start_ns),
            planned_length_s: at(of.planned_length_ns),
            made_start_s: at(of.made_start_ns),
            made_length_s: at(of.length_made_ns()),
            seen_start_s: at(of.seen_start_ns),
            seen_length_s: at(of.length_seen_ns()),
            host_noticed_s: at(of.host_noticed_ns),
            device_noticed_s: at(of.device_noticed_ns),
            data_again_s: at(of.first_data_ns),
            back_s: at(of.recovered_ns),
            recovery_s: at(of.recovery_ns()),
            gave_up_after_s: at(after_end(of.gave_up_ns)),
            messages_acknowledged: of.to_device.acknowledged + of.to_device.late,
            messages_lost: of.to_device.lost + of.to_host.lost,
            messages_duplicated: of.to_device.duplicates + of.to_host.duplicates,
            to_device: of.to_device,
            to_host: of.to_host,
            connections_lived: of.lived.into(),
            connections_died: of.died.into(),
            device_half_open_sockets: of.half_open_on_device.map(u64::from),
        }
    }
}

/// All outages of a workload in sum.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OutageSummary {
    /// Why no outage could be made at all; null when they could.
    pub unavailable: Option<String>,
    /// Outages that were made.
    pub made: u64,
    /// Of those, the ones that the host saw on its connections; null in a report rebuilt from a log.
    pub made_seen: Option<u64>,
    /// Outages that came by themselves.
    pub natural: u64,
    /// Outages after which not every connection stood again in the given time, or before the run ended.
    pub unrecovered: u64,
    /// Outages that are in the sums and have no row.
    pub(crate) rows_left_out: u64,
    /// Attempts to make an outage that failed.
    pub make_failures: u64,
    /// The first of them; empty in a report rebuilt from a log.
    pub make_failure_examples: Vec<MakeFailureRow>,
    /// Messages to the device, each in exactly one place; duplicates are in no other count.
    pub to_device: MessageLedger,
    /// Messages from the device.
    pub to_host: MessageLedger,
    /// Whether every message of both directions is in one place.
    pub messages_balance: bool,
    /// Times that the device's own count of messages contradicted the host's.
    pub contradictions: u64,
    /// Times that the device did not know the session any more when the host came back.
    pub sessions_forgotten: u64,
    /// What became of the connections.
    pub connections: ConnectionFates,
    /// Spells without any message, and the connections over them; null where there were none.
    pub(crate) idle: Option<IdleSpells>,
    /// The waiting times of the recovery rule; null in a report rebuilt from a log.
    pub(crate) rule: Option<RecoveryTimes>,
    /// Restarts of the device that its telemetry showed.
    pub(crate) device_restarts: u64,
    /// Disconnections from the access point that the device counted; null where it does not tell.
    pub(crate) wifi_disconnects: Option<u64>,
    /// Devices that dialled in, by their number.
    pub dialled: Vec<DialledDevice>,
    /// Connections that came in and were turned away.
    pub(crate) turned_away: u64,
    /// Distributions over all outages; those that nothing fell into are not here.
    pub(crate) times: std::collections::BTreeMap<OutageTime, LatencyFigures>,
}

/// A time of an outage whose distribution is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum OutageTime {
    /// From the last byte heard to the first one heard again.
    LengthSeen,
    /// From the last byte heard until the host called the peer gone.
    HostNoticed,
    /// From the last byte heard until the device was seen to have let go of its dead connections.
    DeviceNoticed,
    /// From the end until the first acknowledged message.
    FirstData,
    /// From the end until every connection stood again.
    Recovery,
    /// Difference between the start as seen and as made.
    StartError,
    /// Difference between the length as seen and as made.
    LengthError,
}

/// An outage that could not be made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MakeFailureRow {
    /// When, seconds since the start of the run.
    pub(crate) at_s: f64,
    /// What was to make it, as `command --off`.
    pub what: String,
    /// The exit status of a script; null when it was ended, or it was no script.
    pub exit_status: Option<i32>,
    /// What a script said last, or the error.
    pub(crate) message: String,
}

/// What became of connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ConnectionFates {
    /// Stood through an outage, summed over outages.
    pub lived: u64,
    /// Ended by an outage, summed over outages.
    pub died: u64,
    /// Ended outside of any outage.
    pub(crate) died_outside: u64,
    /// Opened again.
    pub(crate) reconnected: u64,
    /// Attempts to open one again that failed, only the names that occurred.
    pub(crate) reconnect_failures: Failures,
    /// Given up because the device was silent for too long, not by the stack.
    pub(crate) given_up_by_silence: u64,
    /// Outages after which the device still held more connections than the host; null where it does not tell.
    pub(crate) half_open_outages: Option<u64>,
    /// The most such connections at once; null where the device does not tell.
    pub(crate) half_open_most: Option<u64>,
}

/// Spells without any message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct IdleSpells {
    /// Spells.
    pub(crate) spells: u64,
    /// Connections that answered after one.
    pub(crate) lived: u64,
    /// Connections found dead after one.
    pub(crate) died: u64,
}

/// The waiting times of the recovery rule, seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct RecoveryTimes {
    /// Between a side's heartbeats, or the keep-alives of devices that dial in.
    pub(crate) heartbeat_s: f64,
    /// Silence after which the peer counts as gone; null when only the stack gives up.
    pub(crate) silence_s: Option<f64>,
    /// Quiet between the loss of a connection and the first attempt to open it again.
    pub(crate) quiet_s: f64,
}

/// A device that dialled in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DialledDevice {
    /// Its number.
    pub(crate) id: u64,
    /// Connections that it made.
    pub connections: u64,
    /// Silences after which its connection counted as lost.
    pub outages: u64,
    /// Connections that it closed itself.
    pub closed_by_device: u64,
    /// Empty lines received.
    pub keep_alives_received: u64,
    /// Empty lines sent.
    pub keep_alives_sent: u64,
    /// Lines of data to it.
    pub to_device: MessageLedger,
    /// Lines of data from it.
    pub to_host: MessageLedger,
    /// Longest time without a byte from it, with or without a connection, seconds.
    pub(crate) longest_silence_s: f64,
    /// Since when it was away when the workload ended, seconds since the start of the run; null where a connection of
    /// it stood then.
    #[serde(default)]
    pub away_since_s: Option<f64>,
}

impl From<&OutageStats> for OutageSummary {
    fn from(of: &OutageStats) -> Self {
        let fates = &of.fates;
        let idle = of.idle;
        let times = [
            (OutageTime::LengthSeen, &of.length_seen),
            (OutageTime::HostNoticed, &of.host_noticed),
            (OutageTime::DeviceNoticed, &of.device_noticed),
            (OutageTime::FirstData, &of.first_data),
            (OutageTime::Recovery, &of.recovery),
            (OutageTime::StartError, &of.start_error),
            (OutageTime::LengthError, &of.length_error),
        ];
        Self {
            unavailable: of.unavailable.clone(),
            made: of.made,
            made_seen: Some(of.made_seen),
            natural: of.natural,
            unrecovered: of.unrecovered,
            rows_left_out: of.rows.left_out(),
            make_failures: of.make_failures,
            make_failure_examples: of.make_failure_examples.iter().map(MakeFailureRow::from).collect(),
            to_device: of.to_device,
            to_host: of.to_host,
            messages_balance: of.to_device.balances() && of.to_host.balances(),
            contradictions: of.contradictions,
            sessions_forgotten: of.sessions_forgotten,
            connections: ConnectionFates {
                lived: fates.lived,
                died: fates.died,
                died_outside: fates.died_outside,
                reconnected: fates.reconnected,
                reconnect_failures: Failures::occurred(&fates.reconnect_failures),
                given_up_by_silence: fates.given_up_by_silence,
                half_open_outages: fates.half_open_outages,
                half_open_most: fates.half_open_most.map(u64::from),
            },
            idle: (idle.spells > 0).then_some(IdleSpells {
                spells: idle.spells,
                lived: idle.lived,
                died: idle.died,
            }),
            rule: Some(RecoveryTimes {
                heartbeat_s: seconds(of.rule.heartbeat_ns),
                silence_s: of.rule.silence_ns.map(seconds),
                quiet_s: seconds(of.rule.quiet_ns),
            }),
            device_restarts: of.device_restarts,
            wifi_disconnects: of.wifi_disconnects,
            dialled: of.dialled.iter().map(DialledDevice::from).collect(),
            turned_away: of.turned_away,
            times: times
                .into_iter()
                .filter(|(_, latency)| latency.count() > 0)
                .map(|(time, latency)| (time, LatencyFigures::from_latency(latency)))
                .collect(),
        }
    }
}

impl OutageSummary {
    /// What the last line of a log tells, with the single outages that are in it.
    pub(super) fn rebuilt(of: &OutageProgress, rows: &[OutageRow]) -> Self {
        Self {
            made: of.made,
            natural: of.natural,
            unrecovered: rows.iter().filter(|row| !row.is_back()).count() as u64,
            rows_left_out: (of.made + of.natural).saturating_sub(rows.len() as u64),
            make_failures: of.make_failures,
            to_device: of.to_device,
            to_host: of.to_host,
            messages_balance: of.to_device.balances() && of.to_host.balances(),
            connections: ConnectionFates {
                lived: of.lived,
                died: of.died,
                died_outside: of.died_outside,
                reconnected: of.reconnected,
                ..ConnectionFates::default()
            },
            ..Self::default()
        }
    }

    /// The sums of two sessions; devices that dialled in are those of the later one.
    pub(super) fn joined(before: Self, later: Self) -> Self {
        let add = |a: Option<u64>, b: Option<u64>| Some(a? + b?);
        let both = |mut a: MessageLedger, b: MessageLedger| {
            a.merge(&b);
            a
        };
        let (a, b) = (before.connections, later.connections);
        let mut reconnect_failures = a.reconnect_failures;
        for (failure, n) in b.reconnect_failures.0 {
            *reconnect_failures.0.entry(failure).or_default() += n;
        }
        let mut examples = before.make_failure_examples;
        examples.extend(later.make_failure_examples);
        examples.truncate(3);
        let mut times = before.times;
        for (time, figures) in later.times {
            let own = times.entry(time).or_default();
            *own = own.with(&figures);
        }
        let idle = match (before.idle, later.idle) {
            (Some(a), Some(b)) => Some(IdleSpells {
                spells: a.spells + b.spells,
                lived: a.lived + b.lived,
                died: a.died + b.died,
            }),
            (a, b) => a.or(b),
        };
        Self {
            unavailable: later.unavailable,
            made: before.made + later.made,
            made_seen: add(before.made_seen, later.made_seen),
            natural: before.natural + later.natural,
            unrecovered: before.unrecovered + later.unrecovered,
            rows_left_out: before.rows_left_out + later.rows_left_out,
            make_failures: before.make_failures + later.make_failures,
            make_failure_examples: examples,
            to_device: both(before.to_device, later.to_device),
            to_host: both(before.to_host, later.to_host),
            messages_balance: before.messages_balance && later.messages_balance,
            contradictions: before.contradictions + later.contradictions,
            sessions_forgotten: before.sessions_forgotten + later.sessions_forgotten,
            connections: ConnectionFates {
                lived: a.lived + b.lived,
                died: a.died + b.died,
                died_outside: a.died_outside + b.died_outside,
                reconnected: a.reconnected + b.reconnected,
                reconnect_failures,
                given_up_by_silence: a.given_up_by_silence + b.given_up_by_silence,
                half_open_outages: add(a.half_open_outages, b.half_open_outages),
                half_open_most: a.half_open_most.max(b.half_open_most),
            },
            idle,
            rule: later.rule,
            device_restarts: before.device_restarts + later.device_restarts,
            wifi_disconnects: add(before.wifi_disconnects, later.wifi_disconnects),
            dialled: later.dialled,
            turned_away: before.turned_away + later.turned_away,
            times,
        }
    }

    /// Why the workload could not do what it is for: there was to be an outage, and there was none.
    #[must_use]
    pub(crate) fn not_done(&self) -> Option<String> {
        if let Some(reason) = &self.unavailable {
            return Some(reason.clone());
        }
        if self.make_failures == 0 || self.made > 0 {
            return None;
        }
        let first = self.make_failure_examples.first();
        let why = first.map_or_else(String::new, |failure| format!(": {}", failure.words()));
        Some(format!("none of {} outages could be made{why}", self.make_failures))
    }
}

impl From<&espstress_stats::MakeFailure> for MakeFailureRow {
    fn from(of: &espstress_stats::MakeFailure) -> Self {
        Self {
            at_s: seconds(of.at_ns),
            what: of.what.clone(),
            exit_status: of.exit_status,
            message: of.message.clone(),
        }
    }
}

impl MakeFailureRow {
    /// In half a sentence.
    pub(super) fn words(&self) -> String {
        let status = self.exit_status.map_or_else(String::new, |n| format!(" ended with exit status {n}"));
        let message = match (self.exit_status, self.message.as_str()) {
            (_, "") => String::new(),
            (Some(_), text) => format!(": {text}"),
            // What is no script's own words names the script itself.
            (None, text) => return text.to_owned(),
        };
        format!("{}{status}{message}", self.what)
    }
}

impl From<&espstress_stats::DialledDevice> for DialledDevice {
    fn from(of: &espstress_stats::DialledDevice) -> Self {
        Self {
            id: of.id.into(),
            connections: of.connections,
            outages: of.outages,
            closed_by_device: of.closed_by_device,
            keep_alives_received: of.keep_alives_received,
            keep_alives_sent: of.keep_alives_sent,
            to_device: of.to_device,
            to_host: of.to_host,
            longest_silence_s: seconds(of.longest_silence_ns),
            away_since_s: of.away_since_ns.map(seconds),
        }
    }
}

/// What the link between the host and a twin says of its own outages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LinkOutages {
    /// Outages in all.
    pub count: u64,
    /// The last of them, fewer than 2,000.
    pub rows: Vec<LinkOutage>,
}

/// One outage of a modelled link.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LinkOutage {
    /// Why.
    pub cause: LinkOutageCause,
    /// When it began, seconds since the start of the run; negative for one that was going on then.
    pub start_s: f64,
    /// How long it lasted, seconds; null when it went on at the end.
    pub length_s: Option<f64>,
}
