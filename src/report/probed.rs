//! What probes and telemetry have come to, as a log tells it: a line holds the sums since the start of the run, and
//! of what is a list or a distribution only what is new. A log's writer keeps the same account that its reader makes
//! of the lines, so that each can tell what the other knows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::from_log::{LATEST_S, MOST};
use super::latency;
use super::workload::seconds;
use super::{
    LatencyFigures, ProbeKind, ProbeRow, Reading, ReadingSummary, Report, TelemetryRow, TelemetrySummary,
    TimelineRow, timeline,
};
use espstress_event::{DeviceProgress, ProbeProgress, Probed, ResetReason};
use espstress_stats::{DeviceSeries, Latency, ProbeKindStats};

/// Rows of the telemetry's series at most; reaching it halves them.
const MOST_ROWS: usize = 1_000;

/// What the probes beside the workloads have come to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbedLine {
    /// When, seconds since the start of the run.
    pub at_s: f64,
    /// What its lists and distributions cover; counts are always those since the start of the run.
    pub(crate) covers: Covers,
    /// The probes, one entry a kind that has sent anything.
    pub probes: Vec<ProbedKind>,
    /// What the device said of itself; null where it has said nothing.
    pub telemetry: Option<ProbedDevice>,
}

/// What the lists and distributions of a line cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Covers {
    /// Everything since the start of the run: at the head of each further file.
    SinceStart,
    /// What came since the line before.
    SinceLast,
}

/// One kind of probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbedKind {
    /// How it asked.
    pub kind: ProbeKind,
    /// Questions sent whose fate is known.
    pub sent: u64,
    /// Questions without an answer in time.
    pub lost: u64,
    /// Longest spell without an answer, seconds; null when every question was answered.
    pub(crate) longest_gap_s: Option<f64>,
    /// Latency of the answers: an HdrHistogram of nanoseconds, V2 deflate, base64.
    pub(crate) hdr: Option<String>,
    /// Spells without answers that are new or have changed, the first 256 of the run.
    pub(crate) silences: Vec<ProbeSilence>,
}

/// A spell in which two or more questions in a row went without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProbeSilence {
    /// Its number, from 1; a later account of it replaces an earlier one.
    pub(crate) number: u64,
    /// When the first lost question was sent, seconds since the start of the run.
    pub(crate) from_s: f64,
    /// When the next one was answered; null when none was yet.
    pub(crate) to_s: Option<f64>,
    /// Questions lost in it.
    pub(crate) lost: u64,
}

/// What the device said of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProbedDevice {
    /// Readings received.
    pub samples: u64,
    /// Restarts seen; null where the device does not tell its uptime.
    pub reboots: Option<u64>,
    /// Restarts that are new, the first 256 of the run.
    pub restarts: Vec<DeviceRestart>,
    /// Time since the device started, seconds.
    pub(crate) uptime_s: Option<f64>,
    /// Why it last started, by ESP-IDF's name without the prefix.
    pub(crate) reset_reason: Option<ResetReason>,
    /// Disconnections from the access point during the run.
    pub(crate) wifi_disconnects: Option<u64>,
    /// Last reason for which the device left its access point, by ESP-IDF's name.
    pub(crate) wifi_last_reason: Option<String>,
    /// Heap in all, bytes.
    pub(crate) heap_total_bytes: Option<u64>,
    /// Sockets that the device has.
    pub(crate) sockets_limit: Option<u64>,
    /// How each reading went since the start of the run; those that have not changed are left out.
    pub(crate) summary: BTreeMap<Reading, ReadingSummary>,
    /// Readings as they were made: the newest, or of the whole run some of them.
    pub(crate) rows: Vec<TelemetryRow>,
}

/// A restart of the device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceRestart {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// When it was noticed, seconds since the start of the run.
    pub(crate) at_s: f64,
    /// Why, by ESP-IDF's name without the prefix; null where the device does not tell.
    pub(crate) reset_reason: Option<ResetReason>,
    /// How its program ended, in its own words; null where nobody kept them.
    #[serde(default)]
    pub(crate) last_words: Option<String>,
}

/// What the lines of a log tell together.
#[derive(Clone, Debug, Default)]
pub struct ProbedSoFar {
    at_s: f64,
    kinds: BTreeMap<ProbeKind, KindSoFar>,
    telemetry: Option<DeviceSoFar>,
}

/// One kind of probe; of the row everything but the latencies and the silences is kept.
#[derive(Clone, Debug)]
struct KindSoFar {
    row: ProbedKind,
    latency: Latency,
    silences: BTreeMap<u64, ProbeSilence>,
}

/// The device; of the row everything but the restarts.
#[derive(Clone, Debug, Default)]
struct DeviceSoFar {
    row: ProbedDevice,
    restarts: BTreeMap<u64, DeviceRestart>,
    /// Least time between two rows that are kept, seconds.
    every_s: f64,
}

impl ProbedSoFar {
    /// The line that tells what is new at `at_s`, seconds since the start of the run.
    #[must_use]
    pub fn news(&self, at_s: f64, probed: &Probed) -> ProbedLine {
        let kinds = [
            (ProbeKind::Icmp, &probed.icmp),
            (ProbeKind::TcpConnect, &probed.tcp),
            (ProbeKind::Telemetry, &probed.telemetry),
        ];
        let known = |kind| self.kinds.get(&kind);
        let told = |(kind, progress): (_, &Option<ProbeProgress>)| {
            progress.as_ref().map(|progress| kind_news(kind, progress, known(kind)))
        };
        ProbedLine {
            at_s,
            covers: Covers::SinceLast,
            probes: kinds.into_iter().filter_map(told).collect(),
            telemetry: probed.device.as_ref().map(|device| device_news(device, self.telemetry.as_ref())),
        }
    }

    /// Takes a line that is in the log.
    pub fn take(&mut self, line: ProbedLine) {
        if line.covers == Covers::SinceStart {
            *self = Self::default();
        }
        self.at_s = self.at_s.max(line.at_s);
        for row in line.probes {
            let kind = self.kinds.entry(row.kind).or_insert_with(|| KindSoFar::new(row.kind));
            kind.take(row);
        }
        if let Some(device) = line.telemetry {
            self.telemetry.get_or_insert_default().take(device);
        }
    }

    /// The line that tells everything; `None` while there is nothing to tell.
    #[must_use]
    pub fn whole(&self) -> Option<ProbedLine> {
        if self.kinds.is_empty() && self.telemetry.is_none() {
            return None;
        }
        let kind = |kind: &KindSoFar| ProbedKind {
            hdr: latency::hdr(&kind.latency),
            silences: kind.silences.values().copied().collect(),
            ..kind.row.clone()
        };
        let device = |device: &DeviceSoFar| ProbedDevice {
            restarts: device.restarts.values().cloned().collect(),
            ..device.row.clone()
        };
        Some(ProbedLine {
            at_s: self.at_s,
            covers: Covers::SinceStart,
            probes: self.kinds.values().map(kind).collect(),
            telemetry: self.telemetry.as_ref().map(device),
        })
    }

    /// Restarts of the device that were kept.
    pub(super) fn restarts(&self) -> impl Iterator<Item = &DeviceRestart> {
        self.telemetry.iter().flat_map(|device| device.restarts.values())
    }

    /// Restarts that were noticed and not kept.
    pub(super) fn more_restarts(&self) -> u64 {
        let all = self.telemetry.as_ref().and_then(|device| device.row.reboots).unwrap_or(0);
        all.saturating_sub(self.restarts().count() as u64)
    }

    /// What of them belongs on the timeline.
    pub(super) fn timeline(&self) -> Vec<TimelineRow> {
        let silences = self.kinds.iter().flat_map(|(kind, of)| {
            of.silences.values().map(|s| timeline::no_answer(*kind, (s.from_s, s.to_s), s.lost))
        });
        self.restarts().map(TimelineRow::from).chain(silences).collect()
    }

    /// Disconnections from the access point during the run; `None` where the device does not tell.
    pub(super) fn wifi_disconnects(&self) -> Option<u64> {
        self.telemetry.as_ref()?.row.wifi_disconnects
    }

    /// Fills the sections of a report whose run has no end.
    pub(super) fn fill(&self, report: &mut Report) {
        let incomplete =
            || Some(format!("the log ends before the run did; this was known at {:.1} s", self.at_s));
        let row = |kind: &KindSoFar| ProbeRow {
            kind: kind.row.kind,
            sent: kind.row.sent,
            lost: kind.row.lost,
            longest_gap_s: kind.row.longest_gap_s,
            latency: LatencyFigures::from_latency(&kind.latency),
            incomplete: incomplete(),
        };
        report.probes = self.kinds.values().map(row).collect();
        let lost = self.kinds.get(&ProbeKind::Telemetry).map_or(0, |kind| kind.row.lost);
        report.telemetry = self.telemetry.as_ref().map(|device| TelemetrySummary {
            samples: device.row.samples,
            lost,
            reboots: device.row.reboots,
            reset_reasons: device
                .restarts
                .values()
                .filter_map(|r| r.reset_reason.clone().map(String::from))
                .collect(),
            wifi_last_reason: device.row.wifi_last_reason.clone(),
            heap_total_bytes: device.row.heap_total_bytes,
            sockets_limit: device.row.sockets_limit,
            summary: device.row.summary.clone(),
            series: device.row.rows.clone(),
            incomplete: incomplete(),
        });
    }
}

fn kind_news(kind: ProbeKind, of: &ProbeProgress, known: Option<&KindSoFar>) -> ProbedKind {
    let told: BTreeMap<u64, u64> = known.map(|known| known.latency.recorded().collect()).unwrap_or_default();
    let mut latency = Latency::default();
    for (ns, count) in of.latencies.iter() {
        latency.record_n(*ns, count.saturating_sub(told.get(ns).copied().unwrap_or(0)));
    }
    let silences = of.silences.iter().zip(1..).map(|(silence, number)| ProbeSilence {
        number,
        from_s: seconds(silence.from_ns),
        to_s: silence.to_ns.map(seconds),
        lost: silence.lost,
    });
    let is_new = |silence: &ProbeSilence| {
        known.and_then(|known| known.silences.get(&silence.number)).is_none_or(|told| told != silence)
    };
    ProbedKind {
        kind,
        sent: of.sent,
        lost: of.sent.saturating_sub(of.answered),
        longest_gap_s: of.longest_gap_ns.map(seconds),
        hdr: latency::hdr(&latency),
        silences: silences.filter(is_new).collect(),
    }
}

fn device_news(of: &DeviceProgress, known: Option<&DeviceSoFar>) -> ProbedDevice {
    let telemetry = &of.newest.telemetry;
    let tells_uptime = telemetry.uptime_ms.is_some() || telemetry.boot_count.is_some();
    let restarts = of.restarts.iter().zip(1..).map(|(restart, number)| DeviceRestart {
        number,
        at_s: seconds(restart.noticed_ns),
        reset_reason: restart.reset_reason.clone(),
        last_words: restart.last_words.clone(),
    });
    let is_new =
        |restart: &DeviceRestart| known.is_none_or(|known| !known.restarts.contains_key(&restart.number));
    let summary = of.readings.iter().map(|(one, went)| (Reading::from(*one), ReadingSummary::from(*went)));
    let changed = |(one, went): &(Reading, ReadingSummary)| {
        known.and_then(|known| known.row.summary.get(one)).is_none_or(|told| told != went)
    };
    ProbedDevice {
        samples: of.samples,
        reboots: tells_uptime.then_some(of.restart_count),
        restarts: restarts.filter(is_new).collect(),
        uptime_s: telemetry.uptime_ms.map(|ms| ms as f64 / 1e3),
        reset_reason: telemetry.reset_reason.clone(),
        wifi_disconnects: of.disconnects,
        wifi_last_reason: telemetry.wifi_last_reason.clone(),
        heap_total_bytes: telemetry.heap_total_bytes,
        sockets_limit: telemetry.sockets_limit.map(u64::from),
        summary: summary.filter(changed).collect(),
        rows: vec![TelemetryRow::from(&of.newest)],
    }
}

impl KindSoFar {
    fn new(kind: ProbeKind) -> Self {
        let row = ProbedKind { kind, sent: 0, lost: 0, longest_gap_s: None, hdr: None, silences: Vec::new() };
        Self { row, latency: Latency::default(), silences: BTreeMap::new() }
    }

    fn take(&mut self, mut row: ProbedKind) {
        if let Some(latency) = row.hdr.take().and_then(histogram) {
            self.latency.merge(&latency);
        }
        self.silences.extend(std::mem::take(&mut row.silences).into_iter().map(|s| (s.number, s)));
        self.row = row;
    }
}

impl DeviceSoFar {
    fn take(&mut self, mut row: ProbedDevice) {
        self.restarts.extend(std::mem::take(&mut row.restarts).into_iter().map(|r| (r.number, r)));
        let (mut summary, mut rows) =
            (std::mem::take(&mut self.row.summary), std::mem::take(&mut self.row.rows));
        summary.append(&mut row.summary);
        for new in std::mem::take(&mut row.rows) {
            self.keep(&mut rows, new);
        }
        self.row = ProbedDevice { summary, rows, ..row };
    }

    /// Keeps a row, in places that get coarser as the run goes on.
    fn keep(&mut self, rows: &mut Vec<TelemetryRow>, new: TelemetryRow) {
        if rows.last().is_some_and(|last| new.at_s < last.at_s + self.every_s) {
            return;
        }
        if rows.len() >= MOST_ROWS {
            let mut nth = 0;
            rows.retain(|_| {
                nth += 1;
                nth % 2 == 1
            });
        }
        rows.push(new);
        // Fewer were never halved. A little less than the mean, since lines come a little early or late.
        if rows.len() > MOST_ROWS / 2
            && let (Some(first), Some(last)) = (rows.first(), rows.last())
        {
            self.every_s = 0.75 * (last.at_s - first.at_s) / rows.len() as f64;
        }
    }
}

fn histogram(hdr: String) -> Option<Latency> {
    let figures = LatencyFigures { hdr: Some(hdr), ..LatencyFigures::default() };
    figures.histogram().filter(|histogram| histogram.len() <= MOST).map(Latency::from_histogram)
}

impl ProbedLine {
    /// Whether its figures can be figures.
    pub(super) fn is_sane(&self) -> bool {
        is_time(self.at_s)
            && self.probes.iter().all(ProbedKind::is_sane)
            && self.telemetry.as_ref().is_none_or(ProbedDevice::is_sane)
    }
}

impl ProbedKind {
    fn is_sane(&self) -> bool {
        let silence = |s: &ProbeSilence| {
            (1..=ProbeKindStats::MOST_SILENCES as u64).contains(&s.number)
                && is_time(s.from_s)
                && s.to_s.is_none_or(is_time)
                && s.lost <= MOST
        };
        self.sent <= MOST
            && self.lost <= self.sent
            && self.longest_gap_s.is_none_or(is_time)
            && self.hdr.as_ref().is_none_or(|hdr| histogram(hdr.clone()).is_some())
            && self.silences.iter().all(silence)
    }
}

impl ProbedDevice {
    fn is_sane(&self) -> bool {
        let counts = [
            Some(self.samples),
            self.reboots,
            self.wifi_disconnects,
            self.heap_total_bytes,
            self.sockets_limit,
        ];
        let restart = |r: &DeviceRestart| {
            (1..=DeviceSeries::MOST_RESTARTS as u64).contains(&r.number) && is_time(r.at_s)
        };
        counts.into_iter().flatten().all(|n| n <= MOST)
            && self.uptime_s.is_none_or(is_time)
            && self.restarts.iter().all(restart)
            && self.summary.values().all(ReadingSummary::is_sane)
            && self.rows.iter().all(|row| is_time(row.at_s) && row.readings.values().all(|v| is_value(*v)))
    }
}

impl ReadingSummary {
    fn is_sane(&self) -> bool {
        let values = [Some(self.first), Some(self.last), Some(self.min), Some(self.max), self.mean];
        let slopes = [self.slope_per_hour, self.slope_low_per_hour, self.slope_high_per_hour];
        values.into_iter().flatten().all(is_value)
            && self.min <= self.max
            && slopes.into_iter().flatten().all(f64::is_finite)
    }
}

fn is_time(s: f64) -> bool {
    (0.0..=LATEST_S).contains(&s)
}

fn is_value(value: f64) -> bool {
    value.abs() <= MOST as f64
}

#[cfg(test)]
#[path = "probed_tests.rs"]
mod tests;
