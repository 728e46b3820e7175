//! One workload of a report, and how it is made from what was measured.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::human::{count, things};
use super::latency::finite;
use super::{HalfOpenFigures, LatencyFigures, MqttFigures, OutageRow, OutageSummary, RawSummary};
use espstress_event::{
    ByProtocol, ClosePolicy, Failure, FailureCounts, FaultCount, HttpFault, HttpFaults, HttpFigures,
    IdleCloses, MqttFault, OutageMeans, Protocol, Responses, WorkloadKind,
};
use espstress_stats::{Phase, Row, TcpTotals, WorkloadStats};

/// What readers of a report ask of a workload's parameters: a report from a file has them in no other form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RanWith {
    /// Connections at once; `None` where the workload chose them.
    pub connections: Option<u64>,
    /// How it ended connections; `None` where its kind has no choice.
    pub(crate) close: Option<ClosePolicy>,
    /// By what means it made outages; `None` where it chose them or made none.
    by: Option<OutageMeans>,
    /// The port on which it waited for devices.
    listen: Option<u16>,
    /// The faults that its broker was to make.
    fault: Option<Vec<MqttFault>>,
    /// What it spoke; `None` where its kind has no choice.
    protocol: Option<Protocol>,
}

/// What one workload measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Its name in the scenario, unique in the report.
    pub name: String,
    /// What it does: `head`, `rw`, `outage`, `half-open`, `mqtt`.
    pub kind: String,
    /// The parameters that it ran with, by name.
    pub params: serde_json::Value,
    /// When it started, seconds since the start of the run.
    pub start_s: f64,
    /// How long it ran by wall clock, seconds.
    pub duration_s: f64,
    /// Attempts ended.
    pub attempts: u64,
    /// Successes among them.
    pub succeeded: u64,
    /// Failures by name, every name listed.
    pub failures: Failures,
    /// HTTP status codes of complete responses, with how often each came; empty where no HTTP was spoken.
    #[serde(default)]
    pub responses: StatusCounts,
    /// Status code of the first complete HTTP response; null where there was none.
    #[serde(default)]
    pub first_status: Option<u16>,
    /// What was wrong with HTTP responses, only the names that occurred, each with the figures of the first one.
    #[serde(default)]
    pub(crate) malformed: HttpFaults,
    /// What else HTTP requests met: redirects, logins, uploads, TLS; only the parts that occurred.
    #[serde(default)]
    pub http: HttpFigures,
    /// Successes as a share of the attempts that the host itself did not prevent, 0 to 1; null without any.
    pub(crate) success_rate: Option<f64>,
    /// Attempts that the host itself did not prevent, per second of wall clock.
    pub attempts_per_s: Option<f64>,
    /// Latency by phase; a phase that cannot occur is not here.
    pub latency: BTreeMap<Phase, LatencyFigures>,
    /// The phase that matters most to this workload, and that the series tells.
    pub main_phase: Option<Phase>,
    /// Application bytes.
    pub bytes: Bytes,
    /// Payload bytes of whole answers per second of wall clock; each byte was compared, except in HTTP and `sse`.
    pub goodput_bytes_per_s: Option<f64>,
    /// What the host's stack said of the connections as they closed; null where it could not be asked.
    pub(crate) tcp: Option<Tcp>,
    /// How often a closed loop waited for a free source port (in no latency).
    pub(crate) port_waits: u64,
    /// Standing connections opened again after a failure.
    pub(crate) reconnects: u64,
    /// Attempts of an open loop that started later than intended because every connection was busy, or the host was late.
    pub(crate) late_starts: u64,
    /// Starts of an open loop that never took place: until the time was up, every connection was busy, or the host was late.
    #[serde(default)]
    pub(crate) late_starts_dropped: u64,
    /// Attempts that were under way when the run ended, or its time: they count as none.
    #[serde(default)]
    pub(crate) unfinished: u64,
    /// Idle persistent connections that the device closed, noticed before the next request: no failures. Null where it
    /// closed none.
    #[serde(default)]
    pub(crate) idle_closes: Option<IdleCloses>,
    /// What only its protocol tells (`rw`); null for most.
    #[serde(default)]
    pub by_protocol: Option<Box<ByProtocol>>,
    /// One row a second, or coarser: always fewer than 2,000.
    pub series: Vec<SeriesRow>,
    /// The outages that it went through; null for a workload that looks for none.
    pub outages: Option<Vec<OutageRow>>,
    /// All of them in sum; null for a workload that looks for none.
    pub outage_summary: Option<OutageSummary>,
    /// How the device bore vanished peers; null for other workloads.
    pub half_open: Option<HalfOpenFigures>,
    /// What an MQTT client did to a broker that misbehaves; null for other workloads.
    #[serde(default)]
    pub mqtt: Option<MqttFigures>,
    /// `rw` with the protocol `raw`: the summary as the MicroPython pair's client computes it; null otherwise.
    pub raw_summary: Option<RawSummary>,
    /// What the system did not allow it to do; null where it was allowed everything.
    #[serde(default)]
    pub(crate) refused: Option<String>,
}

/// How often each HTTP status code came, by its three digits.
pub(super) type StatusCounts = BTreeMap<String, u64>;

/// Status codes as reports have them.
pub(super) fn status_counts(responses: &Responses) -> StatusCounts {
    responses.iter().map(|(code, n)| (code.to_string(), n)).collect()
}

/// Application bytes of a workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Bytes {
    /// Bytes for the device that the host's TCP took, acknowledged or not.
    pub sent: u64,
    /// Bytes received from it.
    pub received: u64,
    /// Payload bytes that came back whole and right.
    pub goodput: u64,
}

/// TCP_INFO, summed over a workload's connections as they closed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Tcp {
    /// Connections that could be asked.
    pub(crate) connections: u64,
    /// Segments that the host sent again.
    pub(crate) retransmissions: u64,
    /// Segments thought lost at close.
    pub(crate) lost: u64,
    /// Least smoothed round-trip time, microseconds.
    pub(crate) rtt_min_us: f64,
    /// Mean smoothed round-trip time, microseconds.
    pub(crate) rtt_mean_us: Option<f64>,
    /// Greatest smoothed round-trip time, microseconds.
    pub(crate) rtt_max_us: f64,
}

/// One interval of a workload's series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SeriesRow {
    /// Start of the interval, seconds since the start of the run.
    pub start_s: f64,
    /// Length of the interval, seconds.
    pub length_s: f64,
    /// Attempts that ended in it.
    pub attempts: u64,
    /// Successes among them.
    pub succeeded: u64,
    /// Failures among them, only the names that occurred.
    pub failures: Failures,
    /// Application bytes, both directions.
    pub bytes: u64,
    /// Mean latency of the main phase, microseconds; null when none ended here.
    pub latency_mean_us: Option<f64>,
    /// Median latency of the main phase, microseconds, at most 1/16 too long; null when none ended here, in reports of
    /// older programs, and in those of several runs.
    #[serde(default)]
    pub latency_p50_us: Option<f64>,
    /// The 90th percentile, likewise.
    #[serde(default)]
    pub latency_p90_us: Option<f64>,
    /// The 99th percentile, likewise.
    #[serde(default)]
    pub latency_p99_us: Option<f64>,
    /// Longest latency of the main phase, microseconds; null when none ended here.
    pub latency_max_us: Option<f64>,
}

/// Failures by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Failures(pub BTreeMap<Failure, u64>);

impl Failures {
    /// Every name, zeros included.
    #[must_use]
    pub(crate) fn complete(counts: &FailureCounts) -> Self {
        Self(counts.iter().collect())
    }

    /// Only the names that occurred.
    #[must_use]
    pub(crate) fn occurred(counts: &FailureCounts) -> Self {
        Self(counts.iter().filter(|(_, n)| *n > 0).collect())
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        for (failure, n) in &other.0 {
            let sum = self.0.entry(*failure).or_default();
            *sum = sum.saturating_add(*n);
        }
    }

    /// The same without the names that did not occur.
    #[must_use]
    pub fn occurred_only(mut self) -> Self {
        self.0.retain(|_, n| *n > 0);
        self
    }

    /// How often `failure` occurred.
    #[must_use]
    pub fn get(&self, failure: Failure) -> u64 {
        self.0.get(&failure).copied().unwrap_or(0)
    }

    /// The names that occurred, in the order of reports.
    pub fn iter(&self) -> impl Iterator<Item = (Failure, u64)> + '_ {
        self.0.iter().map(|(f, n)| (*f, *n)).filter(|(_, n)| *n > 0)
    }

    /// Failures that count against the device or the path.
    #[must_use]
    pub fn of_device(&self) -> u64 {
        self.iter().filter(|(f, _)| !f.is_host()).map(|(_, n)| n).sum()
    }

    /// Failures of the host's own.
    #[must_use]
    pub fn of_host(&self) -> u64 {
        self.iter().filter(|(f, _)| f.is_host()).map(|(_, n)| n).sum()
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Failures {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Failures".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let count = serde_json::json!({ "type": "integer", "format": "uint64", "minimum": 0 });
        let names: serde_json::Map<_, _> =
            Failure::ALL.iter().map(|f| (f.name().to_owned(), count.clone())).collect();
        schemars::json_schema!({
            "description": "Failures by name. The `host_` ones are the testing machine's own limits and never \
                            count against the device.",
            "type": "object",
            "properties": names,
            "additionalProperties": false,
        })
    }
}

impl Workload {
    /// The report of one workload; `params` is what it ran with, as a JSON object.
    #[must_use]
    pub fn from_stats(
        name: impl Into<String>,
        kind: impl Into<String>,
        params: serde_json::Value,
        stats: &WorkloadStats,
    ) -> Self {
        let wall_s = seconds(stats.wall_ns());
        let per_second = |n: u64| finite(n as f64 / wall_s);
        let tried = stats.attempts.saturating_sub(stats.failures.of_host());
        Self {
            name: name.into(),
            kind: kind.into(),
            params,
            start_s: seconds(stats.start_ns),
            duration_s: wall_s,
            attempts: stats.attempts,
            succeeded: stats.succeeded,
            failures: Failures::complete(&stats.failures),
            responses: status_counts(&stats.responses),
            first_status: stats.first_status,
            malformed: stats.malformed.clone(),
            http: stats.http.clone(),
            success_rate: (tried > 0).then(|| stats.succeeded as f64 / tried as f64),
            attempts_per_s: per_second(tried),
            latency: stats
                .latency
                .iter()
                .map(|(phase, pair)| (*phase, LatencyFigures::from_pair(pair)))
                .collect(),
            main_phase: stats.main_phase,
            bytes: Bytes {
                sent: stats.bytes_sent,
                received: stats.bytes_received,
                goodput: stats.goodput_bytes,
            },
            goodput_bytes_per_s: per_second(stats.goodput_bytes),
            tcp: tcp(&stats.tcp),
            port_waits: stats.port_waits,
            reconnects: stats.reconnects,
            late_starts: stats.late_starts,
            late_starts_dropped: stats.late_starts_dropped,
            unfinished: stats.unfinished,
            idle_closes: stats.idle_closes,
            by_protocol: stats.by_protocol.clone(),
            series: stats.series.rows().iter().map(series_row).collect(),
            outages: stats.outage.as_deref().map(|o| o.rows.iter().map(OutageRow::from).collect()),
            outage_summary: stats.outage.as_deref().map(OutageSummary::from),
            half_open: stats.half_open.as_deref().map(HalfOpenFigures::from_stats),
            mqtt: stats.mqtt.as_deref().map(MqttFigures::from_stats),
            raw_summary: stats.raw.as_deref().map(|tally| RawSummary::new(tally, wall_s)),
            refused: stats.refused.clone(),
        }
    }

    /// What it does; `None` for a kind that this version doesn't know.
    #[must_use]
    pub fn does(&self) -> Option<WorkloadKind> {
        WorkloadKind::named(&self.kind)
    }

    /// What its parameters say to the readers of a report.
    #[must_use]
    pub fn ran(&self) -> RanWith {
        RanWith::deserialize(&self.params).unwrap_or_default()
    }

    /// Whether the payload of its answers was compared byte by byte with what was due: that of a web page or an event stream
    /// is only counted.
    pub(crate) fn payload_is_compared(&self) -> bool {
        self.kind == WorkloadKind::Rw.name()
            && !matches!(self.ran().protocol, None | Some(Protocol::Http | Protocol::Sse))
    }

    /// Whether it asked the device for anything, this machine's own failures left out.
    #[must_use]
    pub(crate) fn asked(&self) -> bool {
        self.attempts > self.failures.of_host() || self.half_open.as_ref().is_some_and(|h| h.asked())
    }

    /// Why the workload could not do what it is for; `None` when it could.
    #[must_use]
    pub(crate) fn not_done(&self) -> Option<String> {
        let outages = self.outage_summary.as_ref().and_then(|o| o.not_done().or_else(|| self.none_made(o)));
        let half_open = || self.half_open.as_ref()?.unavailable.clone();
        let mqtt = || self.mqtt.as_ref()?.unavailable.clone().or_else(|| self.no_fault_made());
        outages.or_else(half_open).or_else(mqtt).or_else(|| self.refused.clone())
    }

    /// The same in a sentence.
    #[must_use]
    pub(crate) fn not_done_in_words(&self) -> Option<String> {
        let how = if self.succeeded > 0 { "ran, but not as asked" } else { "couldn't run" };
        self.not_done().map(|why| format!("{} {how}: {why}", self.name))
    }

    /// Faults of a broker were to be made, and the workload ended before the first one.
    fn no_fault_made(&self) -> Option<String> {
        let asked = self.ran().fault.is_some_and(|faults| faults.iter().any(|f| *f != MqttFault::None));
        let none = self.mqtt.as_ref().is_some_and(|m| m.outages.is_empty() && m.target().is_some());
        (asked && none).then(|| "it ended before its first fault".to_owned())
    }

    /// Outages were to be made, and the workload ended before the first one.
    fn none_made(&self, outages: &OutageSummary) -> Option<String> {
        let ran = self.ran();
        let waits = ran.by == Some(OutageMeans::None) || ran.listen.is_some();
        (!waits && self.does() == Some(WorkloadKind::Outage) && outages.made + outages.make_failures == 0)
            .then(|| "it ended before its first outage".to_owned())
    }

    /// What was wrong with HTTP responses, a line a fault.
    pub(super) fn malformed_in_words(&self) -> impl Iterator<Item = String> + '_ {
        self.malformed.iter().map(|(fault, seen)| malformed(fault, seen))
    }

    /// The latency that matters most: the main phase's, or else the first measured one's.
    #[must_use]
    pub fn main_latency(&self) -> Option<(Phase, &LatencyFigures)> {
        let phase = self.main_phase.filter(|p| self.latency.contains_key(p));
        let phase = phase.or_else(|| self.latency.keys().next().copied())?;
        Some((phase, self.latency.get(&phase)?))
    }
}

/// One fault of HTTP responses in words, with the figures of the first one.
fn malformed(fault: HttpFault, seen: &FaultCount) -> String {
    let bytes = match (seen.promised_bytes, seen.received_bytes) {
        (Some(promised), Some(sent)) => {
            format!("promised {}, sent {}, ", things(promised, "byte"), things(sent, "byte"))
        }
        (Some(promised), None) => format!("promised {}, ", things(promised, "byte")),
        (None, Some(sent)) => format!("{}, ", things(sent, "byte")),
        (None, None) => String::new(),
    };
    let first = if seen.count > 1 { "; the first: " } else { ": " };
    format!("{} {}{first}{bytes}{}", fault.name(), count(seen.count), seen.detail)
}

fn tcp(totals: &TcpTotals) -> Option<Tcp> {
    (totals.connections > 0).then(|| Tcp {
        connections: totals.connections,
        retransmissions: totals.retransmissions,
        lost: totals.lost,
        rtt_min_us: f64::from(totals.rtt_min_us),
        rtt_mean_us: totals.rtt_mean_us(),
        rtt_max_us: f64::from(totals.rtt_max_us),
    })
}

fn series_row(row: &Row) -> SeriesRow {
    let quantile = |q| row.latency_quantile_ns(q).map(|ns| ns as f64 / 1e3);
    SeriesRow {
        start_s: seconds(row.start_ns),
        length_s: seconds(row.length_ns),
        attempts: row.attempts,
        succeeded: row.succeeded,
        failures: Failures::occurred(&row.failures),
        bytes: row.bytes,
        latency_mean_us: row.latency_mean_ns().map(|ns| ns as f64 / 1e3),
        latency_p50_us: quantile(0.5),
        latency_p90_us: quantile(0.9),
        latency_p99_us: quantile(0.99),
        latency_max_us: (row.latency_count > 0).then(|| row.latency_max_ns as f64 / 1e3),
    }
}

/// Nanoseconds as seconds.
pub(crate) fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use espstress_stats::Recorder;

    const S: u64 = 1_000_000_000;

    #[test]
    fn the_hosts_own_failures_are_in_no_rate() {
        let mut r = Recorder::new(0, Phase::Total);
        (0..8).for_each(|_| r.attempt(0, 1, Ok(())));
        r.attempt(0, 1, Err(Failure::ConnectTimeout));
        r.attempt(0, 1, Err(Failure::ConnectTimeout));
        (0..10).for_each(|_| r.attempt(0, 1, Err(Failure::HostOutOfPorts)));
        let w = Workload::from_stats("head", "head", serde_json::json!({}), &r.finish(2 * S));
        assert_eq!(w.success_rate, Some(0.8));
        assert_eq!(w.attempts_per_s, Some(5.0));
    }

    #[test]
    fn a_workload_of_no_length_has_no_rates() {
        let w = Workload::from_stats(
            "head",
            "head",
            serde_json::json!({}),
            &Recorder::new(5, Phase::Total).finish(5),
        );
        assert_eq!((w.attempts_per_s, w.goodput_bytes_per_s, w.success_rate), (None, None, None));
        assert_eq!(w.tcp, None);
    }

    #[test]
    fn goodput_is_by_wall_clock() {
        let mut r = Recorder::new(S, Phase::RoundTrip);
        r.goodput(30_000);
        let w = Workload::from_stats("rw", "rw", serde_json::json!({}), &r.finish(4 * S));
        assert_eq!(w.goodput_bytes_per_s, Some(10_000.0));
        assert_eq!((w.start_s, w.duration_s), (1.0, 3.0));
    }
}
