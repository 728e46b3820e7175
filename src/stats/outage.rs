//! What outages did to standing connections: the timeline of each, and where every message stayed.

use std::collections::VecDeque;

use super::Latency;
use espstress_event::{FailureCounts, MessageLedger, OutageOrigin, OutageProgress, OutageRow};

/// The result of an outage workload. Bounded: sums, distributions and at most `OutageRows::MOST` single outages.
#[derive(Clone, Debug, Default)]
pub struct OutageStats {
    /// Why no outage could be made at all, in one sentence; `None` when they could.
    pub unavailable: Option<String>,
    /// Outages that were made on purpose.
    pub made: u64,
    /// Of those, the ones that this host saw on its connections.
    pub made_seen: u64,
    /// Outages that came by themselves.
    pub natural: u64,
    /// Attempts to make an outage that failed; they are no outages.
    pub make_failures: u64,
    /// The first few of those failures.
    pub make_failure_examples: Vec<MakeFailure>,
    /// Outages after which not every connection came back within the given time, or before the run ended.
    pub unrecovered: u64,
    /// Length as this host saw it: from the last byte heard to the first one heard again.
    pub length_seen: Latency,
    /// From the last byte heard until the host's own rule called the peer gone.
    pub host_noticed: Latency,
    /// From the last byte heard until the device was seen to have let go of its dead connections: an upper bound.
    pub device_noticed: Latency,
    /// From the end of the outage until every connection stood again.
    pub recovery: Latency,
    /// From the end of the outage until the first acknowledged message.
    pub first_data: Latency,
    /// Difference between the start as seen and as made, nanoseconds either way.
    pub start_error: Latency,
    /// Difference between the length as seen and as made, nanoseconds either way.
    pub length_error: Latency,
    /// Single outages.
    pub rows: OutageRows,
    /// Messages from this host to the device.
    pub to_device: MessageLedger,
    /// Messages from the device to this host.
    pub to_host: MessageLedger,
    /// Times that the device's own count contradicted this host's: more acknowledged than received, say.
    pub contradictions: u64,
    /// Times that the device did not know the session any more when the host came back.
    pub sessions_forgotten: u64,
    /// What became of the connections.
    pub fates: ConnectionFates,
    /// Spells without any message.
    pub idle: IdleSpells,
    /// Restarts of the device that its telemetry showed.
    pub device_restarts: u64,
    /// Disconnections from the access point that the device counted during the run; `None` when it does not say.
    pub wifi_disconnects: Option<u64>,
    /// The recovery rule that was followed.
    pub rule: RecoveryRule,
    /// Devices that dialled in, by their number; empty unless the workload listened.
    pub dialled: Vec<DialledDevice>,
    /// Connections that came in and were turned away: no number, a number in use, or too many devices.
    pub turned_away: u64,
}

/// The waiting times of the recovery rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoveryRule {
    /// Time between a side's heartbeats, nanoseconds.
    pub heartbeat_ns: u64,
    /// Silence after which the peer counts as gone, nanoseconds; `None` when only the stack gives up.
    pub silence_ns: Option<u64>,
    /// Deliberate quiet between the loss of a connection and the first attempt to open it again, nanoseconds:
    /// part of every recovery of a lost connection, and no slowness of the device's.
    pub quiet_ns: u64,
}

/// What became of connections at outages.
#[derive(Clone, Debug, Default)]
pub struct ConnectionFates {
    /// Connections that stood through an outage, summed over outages.
    pub lived: u64,
    /// Connections that an outage ended, summed over outages.
    pub died: u64,
    /// Connections that ended outside of any outage.
    pub died_outside: u64,
    /// Connections opened again.
    pub reconnected: u64,
    /// Attempts to open one again that failed, by name.
    pub reconnect_failures: FailureCounts,
    /// Connections on which the silent rule and not the stack decided that the peer was gone.
    pub given_up_by_silence: u64,
    /// Outages after which the device's telemetry still showed more connections than this host had.
    pub half_open_outages: Option<u64>,
    /// The most such connections at once; `None` without telemetry that tells.
    pub half_open_most: Option<u32>,
}

/// Spells without any message, and what became of the connections over them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdleSpells {
    /// Spells.
    pub spells: u64,
    /// Connections that answered after one.
    pub lived: u64,
    /// Connections that were found dead, or ended, in one.
    pub died: u64,
}

/// An outage that could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MakeFailure {
    /// When, nanoseconds since the start of the run.
    pub at_ns: u64,
    /// What the means was, as `command --off`.
    pub what: String,
    /// The exit status of a script; `None` when a signal ended it, or it was no script.
    pub exit_status: Option<i32>,
    /// In a script's own words (the last line of its standard error), or the error.
    pub message: String,
}

/// A device that dialled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialledDevice {
    /// Its number.
    pub id: u8,
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
    /// Lines of data to the device. The protocol has no acknowledgement: they count as acknowledged where the
    /// device's own data tells how many it has received, else as unknown.
    pub to_device: MessageLedger,
    /// Lines of data from the device, by its own numbering where it has one.
    pub to_host: MessageLedger,
    /// The longest time without a byte from it, with or without a connection, nanoseconds.
    pub longest_silence_ns: u64,
    /// Since when it was away when the workload ended, nanoseconds since the start of the run; `None` where a
    /// connection of it stood then.
    pub away_since_ns: Option<u64>,
}

/// Single outages: the first [`OutageRows::FIRST`] and the last as many; those between are only in the sums.
#[derive(Clone, Debug, Default)]
pub struct OutageRows {
    first: Vec<OutageRow>,
    latest: VecDeque<OutageRow>,
    left_out: u64,
}

impl OutageRows {
    /// The first rows that are always kept.
    pub(crate) const FIRST: usize = 1_000;
    /// Rows at most.
    pub(crate) const MOST: usize = 2 * Self::FIRST;

    /// Adds one.
    pub(crate) fn push(&mut self, row: OutageRow) {
        if self.first.len() < Self::FIRST {
            self.first.push(row);
            return;
        }
        if self.latest.len() == Self::MOST - Self::FIRST {
            self.latest.pop_front();
            self.left_out += 1;
        }
        self.latest.push_back(row);
    }

    /// The rows that are kept, in the order of time.
    pub fn iter(&self) -> impl Iterator<Item = &OutageRow> {
        self.first.iter().chain(&self.latest)
    }

    /// How many are kept.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.first.len() + self.latest.len()
    }

    /// How many are not kept.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }
}

impl OutageStats {
    /// Most examples of failures to make an outage.
    pub(crate) const MOST_EXAMPLES: usize = 8;

    /// The sums so far.
    #[must_use]
    pub(crate) const fn progress(&self) -> OutageProgress {
        OutageProgress {
            made: self.made,
            natural: self.natural,
            make_failures: self.make_failures,
            lived: self.fates.lived,
            died: self.fates.died,
            died_outside: self.fates.died_outside,
            reconnected: self.fates.reconnected,
            to_device: self.to_device,
            to_host: self.to_host,
        }
    }

    /// Counts an outage that could not be made.
    pub fn make_failed(&mut self, failure: MakeFailure) {
        self.make_failures += 1;
        if self.make_failure_examples.len() < Self::MOST_EXAMPLES {
            self.make_failure_examples.push(failure);
        }
    }

    /// Takes a whole outage into sums, distributions and rows.
    pub fn ended(&mut self, row: OutageRow) {
        match row.origin {
            OutageOrigin::Made => {
                self.made += 1;
                self.made_seen += u64::from(row.seen_end_ns.is_some());
            }
            OutageOrigin::Natural => self.natural += 1,
        }
        self.fates.lived += u64::from(row.lived);
        self.fates.died += u64::from(row.died);
        if let Some(half_open) = row.half_open_on_device {
            *self.fates.half_open_outages.get_or_insert(0) += u64::from(half_open > 0);
            let most = self.fates.half_open_most.get_or_insert(0);
            *most = half_open.max(*most);
        }
        let between = |from: Option<u64>, to: Option<u64>| Some(to?.saturating_sub(from?));
        let apart = |a: Option<u64>, b: Option<u64>| Some(a?.abs_diff(b?));
        for (distribution, value) in [
            (&mut self.length_seen, row.length_seen_ns()),
            (&mut self.host_noticed, between(row.seen_start_ns, row.host_noticed_ns)),
            (&mut self.device_noticed, between(row.seen_start_ns, row.device_noticed_ns)),
            (&mut self.recovery, row.recovery_ns()),
            (&mut self.first_data, between(row.end_ns(), row.first_data_ns)),
            (&mut self.start_error, apart(row.seen_start_ns, row.made_start_ns)),
            (&mut self.length_error, apart(row.length_seen_ns(), row.length_made_ns())),
        ] {
            if let Some(ns) = value {
                distribution.record(ns);
            }
        }
        self.unrecovered += u64::from(row.recovered_ns.is_none());
        self.rows.push(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fortnight_of_outages_keeps_the_first_and_the_last_and_counts_all() {
        let mut stats = OutageStats::default();
        for number in 1..=5_000 {
            let mut row = OutageRow::new(number, OutageOrigin::Natural);
            row.seen_start_ns = Some(number * 1_000);
            row.seen_end_ns = Some(number * 1_000 + 500);
            stats.ended(row);
        }
        assert_eq!(stats.rows.len(), OutageRows::MOST);
        assert_eq!(stats.rows.left_out(), 3_000);
        assert_eq!(stats.rows.iter().next().map(|row| row.number), Some(1));
        assert_eq!(stats.rows.iter().last().map(|row| row.number), Some(5_000));
        assert_eq!((stats.natural, stats.length_seen.count(), stats.unrecovered), (5_000, 5_000, 5_000));
    }

    #[test]
    fn what_is_not_known_of_an_outage_is_in_no_distribution() {
        let mut stats = OutageStats::default();
        stats.ended(OutageRow::new(1, OutageOrigin::Made));
        assert_eq!(stats.length_seen.count() + stats.recovery.count() + stats.start_error.count(), 0);
        assert_eq!(stats.fates.half_open_most, None);
    }
}
