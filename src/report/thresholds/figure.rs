//! The vocabulary: every figure that a gate may be about, by name. One table serves resolving, the catalogue
//! and the guess at what was meant.

use crate::{ProbeKind, Reading, Unit};
use espstress_diagnose::{FindingId, Severity};
use espstress_event::{AnomalyClass, AnomalyId, Failure, HttpFault};
use espstress_stats::Phase;

use super::Threshold;
use super::parse::units_for;

/// A figure of a distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stat {
    Count,
    Min,
    Mean,
    Stdev,
    /// Quantile, 0 to 1.
    Quantile(f64),
    Max,
}

/// Names of the distribution's figures.
pub(super) const STATS: [(&str, Stat); 12] = [
    ("count", Stat::Count),
    ("min", Stat::Min),
    ("mean", Stat::Mean),
    ("stdev", Stat::Stdev),
    ("p50", Stat::Quantile(0.5)),
    ("p75", Stat::Quantile(0.75)),
    ("p90", Stat::Quantile(0.9)),
    ("p95", Stat::Quantile(0.95)),
    ("p99", Stat::Quantile(0.99)),
    ("p999", Stat::Quantile(0.999)),
    ("p9999", Stat::Quantile(0.9999)),
    ("max", Stat::Max),
];

/// From which start an open loop's latency is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Intended,
    Actual,
}

/// Which anomalies are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anomalies {
    /// One id, as far as it counts: against the device, or, for what only a link does, on the path.
    Counted(AnomalyId),
    /// One id of one class.
    Of(AnomalyId, AnomalyClass),
    /// Every id of one class.
    Class(AnomalyClass),
}

/// A figure of one workload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum WorkloadFigure {
    Attempts,
    Succeeded,
    Failed,
    HostFailed,
    SuccessRate,
    Rate,
    Goodput,
    Duration,
    BytesSent,
    BytesReceived,
    BytesGoodput,
    PortWaits,
    Reconnects,
    LateStarts,
    LateStartsDropped,
    IdleCloses,
    Udp(UdpFigure),
    Sse(SseFigure),
    PongsMissing,
    HandshakesRefused,
    Malformed(HttpFault),
    Failure(Failure),
    Response(u16),
    Latency(Phase, Start, Stat),
    TcpRetransmissions,
    TcpLost,
    TcpRttMin,
    TcpRttMean,
    TcpRttMax,
    Anomalies(Anomalies),
    Outages,
    OutageLongestRecovery,
    OutageMessagesLost,
    OutageConnectionsDied,
    HalfOpenCapacity,
    HalfOpenAvailability,
    HalfOpenFirstReclaimed,
    HalfOpenAllReclaimed,
    MqttPingP99OfK,
    MqttPingMaxOfK,
    MqttNoticeMaxOfK,
    MqttBackMax,
    MqttLost(u8),
    MqttAttemptsPerS,
}

/// A figure of datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UdpFigure {
    /// Share that did not come back.
    Loss,
    Lost,
    Late,
    Duplicates,
    Reordered,
    /// The size up to which they came back.
    Largest,
}

/// A figure of event streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SseFigure {
    LongestGap,
    LongestSilence,
    /// Streams that the device ended, in whatever way.
    Ended,
}

/// A figure of one reading over the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trend {
    First,
    Last,
    Min,
    Max,
    Mean,
    Slope,
}

const TRENDS: [(&str, Trend); 6] = [
    ("first", Trend::First),
    ("last", Trend::Last),
    ("min", Trend::Min),
    ("max", Trend::Max),
    ("mean", Trend::Mean),
    ("slope", Trend::Slope),
];

/// A figure of one kind of probe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ProbeFigure {
    Sent,
    Lost,
    Loss,
    LongestGap,
    Latency(Stat),
}

/// A figure of a report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Figure {
    Workload(WorkloadFigure),
    Anomalies(Anomalies),
    FindingsOf(Severity),
    Finding(FindingId),
    CapturePackets,
    CaptureDropped,
    Reading(Reading, Trend),
    TelemetrySamples,
    TelemetryLost,
    TelemetryReboots,
    Probe(ProbeKind, ProbeFigure),
}

impl Figure {
    /// Whether the figure is a number, an amount or a time that can only grow while a run goes on.
    pub(super) const fn grows(self) -> bool {
        use WorkloadFigure as W;
        match self {
            Self::Workload(figure) => match figure {
                W::Attempts
                | W::Succeeded
                | W::Failed
                | W::HostFailed
                | W::Duration
                | W::BytesSent
                | W::BytesReceived
                | W::BytesGoodput
                | W::PortWaits
                | W::Reconnects
                | W::LateStarts
                | W::LateStartsDropped
                | W::IdleCloses
                | W::PongsMissing
                | W::HandshakesRefused
                | W::Malformed(_)
                | W::Failure(_)
                | W::Response(_)
                | W::TcpRetransmissions
                | W::TcpLost
                | W::TcpRttMax
                | W::Anomalies(_)
                | W::Outages
                | W::OutageLongestRecovery
                | W::OutageMessagesLost
                | W::OutageConnectionsDied
                | W::MqttPingMaxOfK
                | W::MqttNoticeMaxOfK
                | W::MqttBackMax
                | W::MqttLost(_)
                | W::MqttAttemptsPerS
                | W::Sse(_) => true,
                W::Udp(figure) => !matches!(figure, UdpFigure::Loss),
                W::Latency(_, _, stat) => matches!(stat, Stat::Count | Stat::Max),
                W::SuccessRate
                | W::Rate
                | W::Goodput
                | W::TcpRttMin
                | W::TcpRttMean
                | W::HalfOpenCapacity
                | W::HalfOpenAvailability
                | W::HalfOpenFirstReclaimed
                | W::HalfOpenAllReclaimed
                | W::MqttPingP99OfK => false,
            },
            Self::Probe(_, figure) => match figure {
                ProbeFigure::Sent | ProbeFigure::Lost | ProbeFigure::LongestGap => true,
                ProbeFigure::Loss => false,
                ProbeFigure::Latency(stat) => matches!(stat, Stat::Count | Stat::Max),
            },
            Self::Reading(_, trend) => matches!(trend, Trend::Max),
            Self::Anomalies(_)
            | Self::CapturePackets
            | Self::CaptureDropped
            | Self::TelemetrySamples
            | Self::TelemetryLost
            | Self::TelemetryReboots => true,
            Self::FindingsOf(_) | Self::Finding(_) => false,
        }
    }
}

/// A name of the vocabulary, without the workload's.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) figure: Figure,
    pub(super) unit: Unit,
}

fn entry(name: impl Into<String>, figure: Figure, unit: Unit) -> Entry {
    Entry { name: name.into(), figure, unit }
}

const fn stat_unit(stat: Stat) -> Unit {
    match stat {
        Stat::Count => Unit::Count,
        _ => Unit::Us,
    }
}

/// The figures of any workload, as they follow `<workload>.`.
pub(super) fn workload_entries() -> Vec<Entry> {
    use Unit::{Bytes, BytesPerS, Count, PerS, Ratio, Us};
    use WorkloadFigure as W;
    let plain = [
        ("attempts", W::Attempts, Count),
        ("succeeded", W::Succeeded, Count),
        ("failed", W::Failed, Count),
        ("host_failed", W::HostFailed, Count),
        ("success_rate", W::SuccessRate, Ratio),
        ("rate", W::Rate, PerS),
        ("goodput", W::Goodput, BytesPerS),
        ("duration", W::Duration, Us),
        ("bytes.sent", W::BytesSent, Bytes),
        ("bytes.received", W::BytesReceived, Bytes),
        ("bytes.goodput", W::BytesGoodput, Bytes),
        ("port_waits", W::PortWaits, Count),
        ("reconnects", W::Reconnects, Count),
        ("late_starts", W::LateStarts, Count),
        ("late_starts_dropped", W::LateStartsDropped, Count),
        ("idle_closes", W::IdleCloses, Count),
        ("websocket.pongs_missing", W::PongsMissing, Count),
        ("websocket.refused", W::HandshakesRefused, Count),
        ("sse.longest_gap", W::Sse(SseFigure::LongestGap), Us),
        ("sse.longest_silence", W::Sse(SseFigure::LongestSilence), Us),
        ("sse.ended", W::Sse(SseFigure::Ended), Count),
        ("udp.loss", W::Udp(UdpFigure::Loss), Ratio),
        ("udp.lost", W::Udp(UdpFigure::Lost), Count),
        ("udp.late", W::Udp(UdpFigure::Late), Count),
        ("udp.duplicates", W::Udp(UdpFigure::Duplicates), Count),
        ("udp.reordered", W::Udp(UdpFigure::Reordered), Count),
        ("udp.largest", W::Udp(UdpFigure::Largest), Bytes),
        ("tcp.retransmissions", W::TcpRetransmissions, Count),
        ("tcp.lost", W::TcpLost, Count),
        ("tcp.rtt_min", W::TcpRttMin, Us),
        ("tcp.rtt_mean", W::TcpRttMean, Us),
        ("tcp.rtt_max", W::TcpRttMax, Us),
        ("outages.count", W::Outages, Count),
        ("outages.longest_recovery", W::OutageLongestRecovery, Us),
        ("outages.messages_lost", W::OutageMessagesLost, Count),
        ("outages.connections_died", W::OutageConnectionsDied, Count),
        ("half_open.capacity", W::HalfOpenCapacity, Count),
        ("half_open.availability", W::HalfOpenAvailability, Ratio),
        ("half_open.first_reclaimed", W::HalfOpenFirstReclaimed, Us),
        ("half_open.all_reclaimed", W::HalfOpenAllReclaimed, Us),
        ("ping_interval.p99_of_k", W::MqttPingP99OfK, Count),
        ("ping_interval.max_of_k", W::MqttPingMaxOfK, Count),
        ("device_notices.max_of_k", W::MqttNoticeMaxOfK, Count),
        ("back.max", W::MqttBackMax, Us),
        ("lost.qos0", W::MqttLost(0), Count),
        ("lost.qos1", W::MqttLost(1), Count),
        ("lost.qos2", W::MqttLost(2), Count),
        ("attempts_per_s", W::MqttAttemptsPerS, PerS),
    ];
    let mut all: Vec<_> =
        plain.into_iter().map(|(name, f, unit)| entry(name, Figure::Workload(f), unit)).collect();
    for f in Failure::ALL {
        all.push(entry(format!("failures.{}", f.name()), Figure::Workload(W::Failure(f)), Count));
    }
    for fault in HttpFault::ALL {
        all.push(entry(format!("malformed.{}", fault.name()), Figure::Workload(W::Malformed(fault)), Count));
    }
    for code in 100..=599 {
        all.push(entry(format!("responses.{code}"), Figure::Workload(W::Response(code)), Count));
    }
    for phase in Phase::ALL {
        for (word, start) in [("", Start::Intended), (".uncorrected", Start::Actual)] {
            for (name, stat) in STATS {
                let name = format!("latency.{}{word}.{name}", phase.name());
                all.push(entry(name, Figure::Workload(W::Latency(phase, start, stat)), stat_unit(stat)));
            }
        }
    }
    all.extend(anomalies().map(|(name, a)| entry(name, Figure::Workload(W::Anomalies(a)), Count)));
    all
}

/// The figures of the report's other sections, with their whole names.
pub(super) fn section_entries() -> Vec<Entry> {
    use Unit::{Bytes, BytesPerHour, Count, Dbm, PerHour, Ratio, Us};
    let mut all: Vec<_> = anomalies().map(|(name, a)| entry(name, Figure::Anomalies(a), Count)).collect();
    for (name, severity) in SEVERITIES {
        all.push(entry(format!("findings.{name}"), Figure::FindingsOf(severity), Count));
    }
    for id in FindingId::ALL {
        all.push(entry(format!("findings.{}", id.name()), Figure::Finding(id), Count));
    }
    all.push(entry("capture.packets", Figure::CapturePackets, Count));
    all.push(entry("capture.dropped", Figure::CaptureDropped, Count));
    all.push(entry("telemetry.samples", Figure::TelemetrySamples, Count));
    all.push(entry("telemetry.lost", Figure::TelemetryLost, Count));
    all.push(entry("telemetry.reboots", Figure::TelemetryReboots, Count));
    for reading in Reading::ALL {
        let (level, slope) = match reading {
            Reading::HeapFreeBytes
            | Reading::HeapMinFreeBytes
            | Reading::HeapLargestBlockBytes
            | Reading::ProgramMemoryBytes => (Bytes, BytesPerHour),
            Reading::WifiRssiDbm => (Dbm, PerHour),
            Reading::WifiDisconnects
            | Reading::SocketsUsed
            | Reading::TcpTimeWait
            | Reading::TcpEstablished
            | Reading::TcpCloseWait
            | Reading::TcpFinWait => (Count, PerHour),
        };
        for (name, trend) in TRENDS {
            let unit = if trend == Trend::Slope { slope } else { level };
            let name = format!("telemetry.{}.{name}", reading.name());
            all.push(entry(name, Figure::Reading(reading, trend), unit));
        }
    }
    for kind in ProbeKind::ALL {
        use ProbeFigure as P;
        let plain = [
            ("sent", P::Sent, Count),
            ("lost", P::Lost, Count),
            ("loss", P::Loss, Ratio),
            ("longest_gap", P::LongestGap, Us),
        ];
        let latency =
            STATS.map(|(name, stat)| (format!("latency.{name}"), P::Latency(stat), stat_unit(stat)));
        let plain = plain.map(|(name, f, unit)| (name.to_owned(), f, unit));
        for (name, f, unit) in plain.into_iter().chain(latency) {
            all.push(entry(format!("probes.{}.{name}", kind.name()), Figure::Probe(kind, f), unit));
        }
    }
    all
}

/// The severities by name.
pub(super) const SEVERITIES: [(&str, Severity); 3] =
    [("error", Severity::Error), ("warning", Severity::Warning), ("info", Severity::Info)];

/// The classes by name.
pub(super) const CLASSES: [(&str, AnomalyClass); 3] =
    [("device", AnomalyClass::Device), ("path", AnomalyClass::Path), ("provoked", AnomalyClass::Provoked)];

fn anomalies() -> impl Iterator<Item = (String, Anomalies)> {
    let classes = CLASSES.into_iter().map(|(name, c)| (format!("anomalies.{name}"), Anomalies::Class(c)));
    let ids = AnomalyId::ALL.into_iter().flat_map(|id| {
        let whole = (format!("anomalies.{}", id.name()), Anomalies::Counted(id));
        let of = CLASSES.map(|(name, c)| (format!("anomalies.{}.{name}", id.name()), Anomalies::Of(id, c)));
        std::iter::once(whole).chain(of)
    });
    classes.chain(ids)
}

/// A name resolved: whose figure it is, and which.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Resolved {
    pub(super) workload: Option<String>,
    pub(super) figure: Figure,
    pub(super) unit: Unit,
}

/// Finds the figure of that name among those of a run with these workloads.
pub(super) fn resolve(name: &str, workloads: &[&str]) -> Option<Resolved> {
    let find = |entries: Vec<Entry>, name: &str| entries.into_iter().find(|e| e.name == name);
    // A workload's name may hold a dot: the longest that fits is meant.
    let owner = workloads
        .iter()
        .filter(|w| name.strip_prefix(**w).is_some_and(|rest| rest.starts_with('.')))
        .max_by_key(|w| w.len());
    if let Some(owner) = owner
        && let Some(e) = find(workload_entries(), &name[owner.len() + 1..])
    {
        return Some(Resolved { workload: Some((*owner).to_owned()), figure: e.figure, unit: e.unit });
    }
    find(section_entries(), name).map(|e| Resolved { workload: None, figure: e.figure, unit: e.unit })
}

/// Why a gate cannot be about a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// No figure has that name.
    #[error(
        "threshold `{expr}`: no figure `{name}`; {}; `espstress thresholds` lists them all",
        meant(nearest, workloads)
    )]
    Name {
        /// The expression.
        expr: String,
        /// The name in it.
        name: String,
        /// The names nearest to it, best first.
        nearest: Vec<String>,
        /// The run's workloads.
        workloads: Vec<String>,
    },
    /// The bound's unit does not measure that figure.
    #[error("threshold `{expr}`: cannot compare `{name}` with a {given}; use {allowed}")]
    Unit {
        /// The expression.
        expr: String,
        /// The name in it.
        name: String,
        /// What was given.
        given: String,
        /// What may be given.
        allowed: String,
    },
    /// No share can reach the bound.
    #[error("threshold `{expr}`: shares run from 0 to 1, or 0 % to 100 %{}", percent_meant(meant.as_deref()))]
    Share {
        /// The expression.
        expr: String,
        /// The percentage that a plain number was perhaps meant to be.
        meant: Option<String>,
    },
}

fn percent_meant(meant: Option<&str>) -> String {
    meant.map_or_else(String::new, |percent| format!(": did you mean {percent} %?"))
}

fn meant(nearest: &[String], workloads: &[String]) -> String {
    if nearest.is_empty() {
        if workloads.is_empty() {
            return "this run has no workloads".into();
        }
        return format!("this run's workloads are {}", workloads.join(", "));
    }
    format!("nearest: {}", nearest.join(", "))
}

/// Looks whether a run of these workloads can have the figures that the gates are about.
///
/// # Errors
/// The first gate with a name that no figure has, or with a unit that its figure has not.
pub(crate) fn check_names(thresholds: &[Threshold], workloads: &[&str]) -> Result<(), CheckError> {
    thresholds.iter().try_for_each(|t| check_name(t, workloads).map(drop))
}

/// Resolves one gate's figure and sees that its unit fits.
pub(super) fn check_name(t: &Threshold, workloads: &[&str]) -> Result<(Resolved, f64), CheckError> {
    let (expr, name) = (t.text().to_owned(), t.name().to_owned());
    let Some(resolved) = resolve(&name, workloads) else {
        let nearest = nearest(&name, workloads);
        let workloads = workloads.iter().map(|w| (*w).to_owned()).collect();
        return Err(CheckError::Name { expr, name, nearest, workloads });
    };
    let Some(bound) = t.bound_in(resolved.unit) else {
        let given = t.unit_text().map_or("number without a unit".into(), |u| format!("value in {u}"));
        let allowed = allowed(resolved.unit);
        return Err(CheckError::Unit { expr, name, given, allowed });
    };
    if resolved.unit == Unit::Ratio && !(0.0..=1.0).contains(&bound) {
        let meant = t.unit_text().is_none().then_some(bound).filter(|bound| (1.0..=100.0).contains(bound));
        return Err(CheckError::Share { expr, meant: meant.map(|bound| bound.to_string()) });
    }
    Ok((resolved, bound))
}

/// What a figure of that unit may be compared with, in words.
pub(super) fn allowed(unit: Unit) -> String {
    let units: Vec<_> = units_for(unit).collect();
    match (unit, units.as_slice()) {
        (_, []) => "a plain number".into(),
        (Unit::Us, units) => format!("a number and one of {}", units.join(" ")),
        (_, units) => format!("a plain number, or one with {}", units.join(" ")),
    }
}

/// The names most like `name`, best first; none when nothing is like it.
fn nearest(name: &str, workloads: &[&str]) -> Vec<String> {
    let of_workloads = workload_entries();
    let candidates = workloads
        .iter()
        .flat_map(|w| of_workloads.iter().map(move |e| format!("{w}.{}", e.name)))
        .chain(section_entries().into_iter().map(|e| e.name));
    let mut scored: Vec<_> =
        candidates.map(|c| (likeness(name, &c), c)).filter(|(score, _)| *score >= 0.55).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let best = scored.first().map_or(0.0, |s| s.0);
    scored.into_iter().take_while(|(score, _)| *score >= best - 0.12).take(3).map(|(_, c)| c).collect()
}

/// How alike two names are, 0 to 1: as a whole, or, where a part was left out (`head.p99`), by how many of the
/// asked parts the candidate has in order.
fn likeness(name: &str, candidate: &str) -> f64 {
    let whole = strsim::normalized_damerau_levenshtein(name, candidate);
    let mut parts = candidate.split('.');
    let asked = name.split('.').count();
    let kept = name.split('.').all(|p| parts.any(|c| c == p));
    if kept && asked > 1 {
        let extra = candidate.split('.').count() - asked;
        return whole.max(0.97 - 0.04 * extra as f64);
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expr: &str) -> Result<(), CheckError> {
        check_names(&[Threshold::parse(expr).unwrap()], &["head", "rw"])
    }

    /// The report's sections beside the workloads.
    const RESERVED: [&str; 5] = ["anomalies", "findings", "capture", "telemetry", "probes"];

    #[test]
    fn every_name_of_the_vocabulary_resolves_to_itself() {
        for e in workload_entries() {
            let r = resolve(&format!("head.{}", e.name), &["head"]).unwrap();
            assert_eq!((r.figure, r.unit), (e.figure, e.unit), "{}", e.name);
        }
        for e in section_entries() {
            let r = resolve(&e.name, &["head"]).unwrap();
            assert_eq!((r.figure, r.unit, r.workload), (e.figure, e.unit, None), "{}", e.name);
        }
    }

    #[test]
    fn reserved_words_are_the_first_words_of_the_sections() {
        for e in section_entries() {
            assert!(RESERVED.contains(&e.name.split('.').next().unwrap()), "{}", e.name);
        }
    }

    #[test]
    fn the_usual_gates_are_known() {
        for expr in [
            "head.latency.total.p99 < 250ms",
            "head.latency.total.uncorrected.p99 < 250ms",
            "head.failures.connect_timeout == 0",
            "head.success_rate >= 99.9%",
            "head.attempts >= 100",
            "head.latency.total.count >= 100",
            "head.rate > 100/s",
            "rw.goodput > 50KiB/s",
            "anomalies.abortive_close == 0",
            "anomalies.device == 0",
            "anomalies.path < 20",
            "findings.error == 0",
            "findings.heap_leak == 0",
            "capture.dropped == 0",
            "telemetry.heap_free.slope > -100B/h",
            "probes.icmp.loss < 1%",
            "probes.icmp.latency.p99 < 50ms",
        ] {
            check(expr).unwrap_or_else(|e| panic!("{e}"));
        }
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_nearest_right_ones() {
        let first = |expr: &str| match check(expr) {
            Err(CheckError::Name { nearest, .. }) => nearest.first().cloned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(first("head.latency.totl.p99 < 1s").as_deref(), Some("head.latency.total.p99"));
        assert_eq!(first("haed.success_rate > 99%").as_deref(), Some("head.success_rate"));
        assert_eq!(first("anomalies.abortiv_close == 0").as_deref(), Some("anomalies.abortive_close"));
        assert_eq!(first("head.total.p99 < 1s").as_deref(), Some("head.latency.total.p99"));
        assert_eq!(first("findings.errors == 0").as_deref(), Some("findings.error"));
        assert_eq!(first("qqqq == 0"), None);
    }

    #[test]
    fn a_unit_that_does_not_fit_is_refused_with_those_that_do() {
        let e = check("head.latency.total.p99 < 250").unwrap_err().to_string();
        assert!(e.contains("without a unit") && e.contains("ms"), "{e}");
        let e = check("rw.goodput > 50KiB").unwrap_err().to_string();
        assert!(e.contains("KiB/s"), "{e}");
        let e = check("head.attempts > 5ms").unwrap_err().to_string();
        assert!(e.contains("with a value in ms; use a plain number"), "{e}");
    }

    #[test]
    fn a_bound_that_no_share_can_reach_is_refused_with_the_percentage_that_was_meant() {
        let said = |expr: &str| check(expr).unwrap_err().to_string();
        let range = "shares run from 0 to 1, or 0 % to 100 %";
        assert!(said("head.success_rate >= 99.9").ends_with(&format!("{range}: did you mean 99.9 %?")));
        assert!(said("probes.tcp_connect.loss<5").ends_with(&format!("{range}: did you mean 5 %?")));
        for expr in ["head.success_rate<101", "head.success_rate >= 100.5%", "probes.icmp.loss > -1%"] {
            assert!(said(expr).ends_with(range), "{}", said(expr));
        }
        for expr in ["head.success_rate <= 1", "head.success_rate == 100%", "probes.icmp.loss >= 0"] {
            check(expr).unwrap_or_else(|e| panic!("{e}"));
        }
    }

    #[test]
    fn a_workload_with_a_dot_in_its_name_is_found() {
        let r = resolve("head.fast.attempts", &["head", "head.fast"]).unwrap();
        assert_eq!(r.workload.as_deref(), Some("head.fast"));
    }

    #[test]
    fn the_gates_of_a_run_are_refused_when_one_of_them_names_no_figure_of_its_workloads() {
        let gates = |exprs: &[&str]| crate::thresholds::Gates::from_expressions(exprs).unwrap();
        assert_eq!(gates(&["head.attempts > 1", "findings.error == 0"]).check_names(&["head"]), Ok(()));
        let error = gates(&["head.attempts > 1", "rw.attempts > 1"]).check_names(&["head"]).unwrap_err();
        assert!(error.to_string().contains("no figure `rw.attempts`"), "{error}");
    }

    #[test]
    fn a_name_without_its_middle_is_answered_with_those_that_have_one_the_shortest_first() {
        match check("head.p99 < 1s") {
            Err(CheckError::Name { nearest, .. }) => {
                assert_eq!(nearest.len(), 3);
                let plain = |n: &String| n.starts_with("head.latency.") && n.ends_with(".p99");
                assert!(nearest.iter().all(|n| plain(n) && !n.contains("uncorrected")), "{nearest:?}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_name_that_is_like_no_other_is_answered_with_the_workloads() {
        let said = |expr: &str| check(expr).unwrap_err().to_string();
        assert!(said("loss == 0").contains("no figure `loss`; this run's workloads are head, rw;"));
        assert!(
            said("head.atempts == 0").contains("; nearest: head.attempts"),
            "{}",
            said("head.atempts == 0")
        );
    }
}
