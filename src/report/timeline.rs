//! One clock for everything that happened: what the run did, what failed, what the packets, the probes, the link and the
//! device itself said, as spells and moments in the order of time. Pages draw it; nothing is concluded from it.

use serde::{Deserialize, Serialize};

use super::air::air_rows;
use super::human::{count, things, time_s};
use super::{DeviceRestart, LinkOutages, OutageRow, Report, SeriesRow, Workload};
use espstress_diagnose::AnomalyRow;
use espstress_event::{AnomalyClass, LinkOutageCause, OutageOrigin};

/// Rows of one kind that are kept: a quarter are the first of them, a quarter the last, and half the longest between.
const MOST_OF_A_KIND: usize = 96;

/// What happened, in the order of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Timeline {
    /// Spells and moments that there were, those without a row included.
    pub count: u64,
    /// The rows, by their start. Of each kind the first and the last 24, and the longest 48 of the others; always fewer than 2,000.
    pub rows: Vec<TimelineRow>,
}

/// One spell or moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TimelineRow {
    /// Who says so.
    pub source: TimelineSource,
    /// What it is.
    pub kind: TimelineKind,
    /// When it began, seconds since the start of the run; negative for what began before it.
    pub start_s: f64,
    /// When it ended, seconds since the start of the run; null for a moment, and for a spell whose end is not known.
    pub end_s: Option<f64>,
    /// Whether it was still going on when the run ended.
    pub ongoing: bool,
    /// What happened, for people: one line.
    pub text: String,
}

impl TimelineRow {
    /// A moment.
    #[must_use]
    pub fn moment(source: TimelineSource, kind: TimelineKind, at_s: f64, text: impl Into<String>) -> Self {
        Self { source, kind, start_s: at_s, end_s: None, ongoing: false, text: text.into() }
    }

    /// A spell; without an end it was still going on when the run ended.
    #[must_use]
    pub fn spell(
        source: TimelineSource,
        kind: TimelineKind,
        (start_s, end_s): (f64, Option<f64>),
        text: impl Into<String>,
    ) -> Self {
        Self { source, kind, start_s, end_s, ongoing: end_s.is_none(), text: text.into() }
    }

    /// How long it was, seconds; 0 for a moment, and without end for a spell that went on at the end of the run.
    fn length_s(&self) -> f64 {
        match self.end_s {
            Some(end) => end - self.start_s,
            None if self.ongoing => f64::INFINITY,
            None => 0.0,
        }
    }
}

/// Who says what is in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TimelineSource {
    /// The workloads: what the client did and met.
    Workload,
    /// The packets.
    Packets,
    /// The probes beside the workloads.
    Probes,
    /// The device's telemetry.
    Telemetry,
    /// A modelled link.
    Link,
    /// The device's console.
    Console,
    /// 802.11 frames of a monitor interface.
    Air,
}

impl TimelineSource {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Workload => "workload",
            Self::Packets => "packets",
            Self::Probes => "probes",
            Self::Telemetry => "telemetry",
            Self::Link => "link",
            Self::Console => "console",
            Self::Air => "air",
        }
    }
}

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TimelineKind {
    /// Spell: a workload ran.
    Load,
    /// Spell: attempts failed.
    Failures,
    /// Moment, or from the first to the last of several: an anomaly in the packets.
    Anomaly,
    /// Spell: an outage, made or natural.
    Outage,
    /// Spell: a modelled link was down.
    LinkOutage,
    /// Spell: the device answered nothing that the host sent, for a second or more.
    Absence,
    /// Spell: probes had no answer.
    NoAnswer,
    /// Moment: the device restarted.
    Restart,
    /// Moment: its program crashed.
    Crash,
    /// Moment: a watchdog ran out.
    Watchdog,
    /// Moment: its supply voltage was too low.
    Brownout,
    /// Spell: it had no access point.
    WifiLost,
    /// Moment: something else about its Wi-Fi.
    Wifi,
    /// Moment: a call failed on the device.
    Error,
    /// Moment: it has an IP address.
    Address,
    /// Moment: the device joined a network, left it, or went to another access point, or its access point changed.
    Association,
}

impl TimelineKind {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Failures => "failures",
            Self::Anomaly => "anomaly",
            Self::Outage => "outage",
            Self::LinkOutage => "link_outage",
            Self::Absence => "absence",
            Self::NoAnswer => "no_answer",
            Self::Restart => "restart",
            Self::Crash => "crash",
            Self::Watchdog => "watchdog",
            Self::Brownout => "brownout",
            Self::WifiLost => "wifi_lost",
            Self::Wifi => "wifi",
            Self::Error => "error",
            Self::Address => "address",
            Self::Association => "association",
        }
    }
}

impl Report {
    /// Makes the timeline of what the report has, and of the rows that only its maker knows.
    pub fn note_timeline(&mut self, more: impl IntoIterator<Item = TimelineRow>) {
        let workloads = self.workloads.iter().flat_map(workload);
        let anomalies = self.anomalies.iter().map(anomaly);
        let links = self.link_outages.iter().flat_map(link);
        let air = self.air.iter().flat_map(air_rows);
        let rows = workloads
            .chain(anomalies)
            .chain(links)
            .chain(air)
            .chain(super::console::timeline(self))
            .chain(more)
            .collect();
        self.timeline = Timeline::of(rows);
    }
}

impl Timeline {
    /// Two timelines of one clock.
    pub(super) fn joined(before: &Self, later: Self) -> Self {
        let count = before.count + later.count;
        let rows = before.rows.iter().cloned().chain(later.rows).collect();
        Self { count, ..Self::of(rows) }
    }

    fn of(mut rows: Vec<TimelineRow>) -> Self {
        rows.retain(|row| row.start_s.is_finite() && row.end_s.is_none_or(f64::is_finite));
        rows.sort_by(|a, b| a.start_s.total_cmp(&b.start_s).then(a.kind.cmp(&b.kind)));
        let count = rows.len() as u64;
        let mut of_a_kind = std::collections::BTreeMap::<_, Vec<usize>>::new();
        for (at, row) in rows.iter().enumerate() {
            of_a_kind.entry((row.source, row.kind)).or_default().push(at);
        }
        let mut goes = std::collections::BTreeSet::new();
        for all in of_a_kind.into_values().filter(|all| all.len() > MOST_OF_A_KIND) {
            let ends = MOST_OF_A_KIND / 4;
            let mut between: Vec<usize> = all.get(ends..all.len() - ends).unwrap_or_default().to_vec();
            let length = |at: &usize| rows.get(*at).map_or(0.0, TimelineRow::length_s);
            between.sort_by(|a, b| length(b).total_cmp(&length(a)));
            goes.extend(between.into_iter().skip(MOST_OF_A_KIND / 2));
        }
        let mut at = 0..;
        rows.retain(|_| at.next().is_none_or(|at| !goes.contains(&at)));
        Self { count, rows }
    }
}

fn workload(of: &Workload) -> Vec<TimelineRow> {
    use {TimelineKind as Kind, TimelineSource::Workload as Source};
    let served = format!("{}: {} of {}", of.name, of.succeeded, things(of.attempts, "attempt"));
    let ran = (of.start_s, Some(of.start_s + of.duration_s));
    let load = TimelineRow::spell(Source, Kind::Load, ran, format!("{served} succeeded"));
    let rows = of.series.chunk_by(|a, b| fails(a) && fails(b)).filter(|rows| rows.iter().any(fails));
    let failures = rows.filter_map(|rows| failures(&of.name, rows));
    let outages = of.outages.iter().flatten().filter_map(|row| outage(&of.name, row));
    std::iter::once(load).chain(failures).chain(outages).collect()
}

fn fails(row: &SeriesRow) -> bool {
    row.failures.iter().next().is_some()
}

/// Intervals in a row in each of which attempts failed.
fn failures(name: &str, rows: &[SeriesRow]) -> Option<TimelineRow> {
    let (first, last) = (rows.first()?, rows.last()?);
    let mut counts = std::collections::BTreeMap::<_, u64>::new();
    rows.iter()
        .flat_map(|row| row.failures.iter())
        .for_each(|(failure, n)| *counts.entry(failure).or_default() += n);
    let failed = counts.values().sum();
    let attempts: u64 = rows.iter().map(|row| row.attempts).sum();
    let names: Vec<String> = counts.iter().map(|(failure, n)| format!("{} {n}", failure.name())).collect();
    let text =
        format!("{name}: {} of {} failed: {}", count(failed), things(attempts, "attempt"), names.join(", "));
    let ends = (first.start_s, Some(last.start_s + last.length_s));
    Some(TimelineRow::spell(TimelineSource::Workload, TimelineKind::Failures, ends, text))
}

fn outage(name: &str, of: &OutageRow) -> Option<TimelineRow> {
    let made = of.made_start_s.zip(Some(of.made_length_s));
    let (start, length) = made.or_else(|| of.seen_start_s.zip(Some(of.seen_length_s)))?;
    let origin = match of.origin {
        OutageOrigin::Made => "made",
        OutageOrigin::Natural => "natural",
    };
    let ends = (start, length.map(|length| start + length));
    let recovered = match (of.recovery_s, of.is_back()) {
        (Some(s), _) => format!(", recovery {}", time_s(s)),
        (None, true) => String::new(),
        (None, false) => ", not recovered".to_owned(),
    };
    let text = format!("{name}: {origin} outage {}{recovered}", of.number);
    Some(TimelineRow::spell(TimelineSource::Workload, TimelineKind::Outage, ends, text))
}

fn anomaly(of: &AnomalyRow) -> TimelineRow {
    let whose = of.workload.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    let class = match of.class {
        AnomalyClass::Device => "device",
        AnomalyClass::Path => "path",
        AnomalyClass::Provoked => "provoked",
    };
    let times = if of.count == 1 { "once".to_owned() } else { things(of.count, "time") };
    let text = format!("{whose}{} ({class}), {times}", of.id.name());
    let row = TimelineRow::moment(TimelineSource::Packets, TimelineKind::Anomaly, of.first_s, text);
    TimelineRow { end_s: (of.last_s > of.first_s).then_some(of.last_s), ..row }
}

fn link(of: &LinkOutages) -> Vec<TimelineRow> {
    let row = |row: &super::LinkOutage| {
        let cause = match row.cause {
            LinkOutageCause::Planned => "by its own plan",
            LinkOutageCause::Asked => "because the run asked for it",
        };
        let ends = (row.start_s, row.length_s.map(|length| row.start_s + length));
        let text = format!("the link was down {cause}");
        TimelineRow::spell(TimelineSource::Link, TimelineKind::LinkOutage, ends, text)
    };
    of.rows.iter().map(row).collect()
}

/// A restart that telemetry showed.
#[must_use]
pub fn restart(at_s: f64, reason: Option<&str>, last_words: Option<&str>) -> TimelineRow {
    let reason = reason.map(|name| format!(", reset reason {name}")).unwrap_or_default();
    let words = last_words.map(|words| format!(": {words}")).unwrap_or_default();
    let text = format!("the device restarted{reason}{words}");
    TimelineRow::moment(TimelineSource::Telemetry, TimelineKind::Restart, at_s, text)
}

/// Probes of one kind that had no answer.
#[must_use]
pub fn no_answer(kind: super::ProbeKind, ends: (f64, Option<f64>), lost: u64) -> TimelineRow {
    let text = format!("{}: {} without an answer", kind.name(), things(lost, "probe"));
    TimelineRow::spell(TimelineSource::Probes, TimelineKind::NoAnswer, ends, text)
}

/// A time in which the device answered nothing, as the packets show it.
#[must_use]
pub fn absence(ends: (f64, Option<f64>)) -> TimelineRow {
    let text = "the device answered nothing";
    TimelineRow::spell(TimelineSource::Packets, TimelineKind::Absence, ends, text)
}

impl From<&DeviceRestart> for TimelineRow {
    fn from(of: &DeviceRestart) -> Self {
        restart(of.at_s, of.reset_reason.as_ref().map(|r| r.name()), of.last_words.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Target, TargetKind};
    use espstress_event::Failure;
    use espstress_stats::{Phase, Recorder};

    const S: u64 = 1_000_000_000;

    fn report() -> Report {
        Report::new(Target::new("127.0.0.1", TargetKind::Sim), serde_json::json!({}), 1, 0)
    }

    fn moments(n: u32) -> Vec<TimelineRow> {
        let moment = |n: u32| {
            TimelineRow::moment(TimelineSource::Telemetry, TimelineKind::Restart, f64::from(n), n.to_string())
        };
        (0..n).map(moment).collect()
    }

    #[test]
    fn seconds_in_a_row_with_failures_are_one_spell() {
        let mut recorder = Recorder::new(0, Phase::Total);
        for second in 0..10 {
            let outcome = if (3..6).contains(&second) { Err(Failure::ReadTimeout) } else { Ok(()) };
            recorder.attempt(second * S + 1, second * S + S / 2, outcome);
            recorder.roll((second + 1) * S);
        }
        let stats = recorder.finish(10 * S);
        let mut report = report();
        report.workloads = vec![Workload::from_stats("head", "head", serde_json::json!({}), &stats)];
        report.note_timeline([]);
        let rows = &report.timeline.rows;
        let kinds: Vec<_> = rows.iter().map(|row| row.kind).collect();
        assert_eq!(kinds, [TimelineKind::Load, TimelineKind::Failures]);
        assert_eq!((rows[1].start_s, rows[1].end_s), (3.0, Some(6.0)));
        assert_eq!(rows[1].text, "head: 3 of 3 attempts failed: read_timeout 3");
    }

    #[test]
    fn of_many_of_a_kind_the_first_and_the_last_stay_and_all_are_counted() {
        let mut report = report();
        let mut more = moments(1_000);
        more.push(no_answer(crate::ProbeKind::Icmp, (500.0, None), 7));
        report.note_timeline(more);
        let Timeline { count, rows } = &report.timeline;
        assert_eq!((*count, rows.len()), (1_001, MOST_OF_A_KIND + 1));
        assert_eq!((rows[0].text.as_str(), rows[MOST_OF_A_KIND].text.as_str()), ("0", "999"));
        assert!(rows.iter().any(|row| row.ongoing && row.end_s.is_none()));
        assert!(rows.is_sorted_by(|a, b| a.start_s <= b.start_s));
    }

    #[test]
    fn of_many_of_a_kind_the_longest_stays_wherever_it_was() {
        let silence = |n: u32| {
            let length = if n == 500 { 1_000.0 } else { 4.0 };
            no_answer(
                crate::ProbeKind::TcpConnect,
                (f64::from(n) * 2_000.0, Some(f64::from(n) * 2_000.0 + length)),
                4,
            )
        };
        let mut report = report();
        report.note_timeline((0..1_000).map(silence));
        let rows = &report.timeline.rows;
        assert_eq!(rows.len(), MOST_OF_A_KIND);
        assert!(rows.iter().any(|row| row.length_s() > 999.0), "{rows:?}");
    }

    #[test]
    fn a_time_that_is_none_makes_no_row() {
        let mut report = report();
        report.note_timeline([restart(f64::NAN, Some("PANIC"), None)]);
        assert_eq!(report.timeline, Timeline::default());
    }
}
