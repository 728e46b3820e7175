//! The lines of a run's log: JSON objects with an `event` and its `data`. Field names carry their unit, as the
//! report's do; what is not known is null.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::workload::{Failures, StatusCounts, status_counts};
use super::{
    ConsoleLine, HalfOpenFigures, Host, MqttFigures, ProbedLine, Report, SCHEMA_VERSION, Target, Tool,
    Verdict, latency,
};
use espstress_diagnose::ExamplePacket;
use espstress_event::{
    AnomalyClass, AnomalyId, ByProtocol, Direction, Examination, HalfOpen, HttpFaults, HttpFigures,
    IdleCloses, Mqtt, Occurrence, OutageProgress, OutageRow, PhaseProgress, Recorded, SectionCourse,
    SilencedConnection, WorkloadFacts,
};
use espstress_stats::{Latency, Phase};

/// One line; read by `str::parse`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub enum LogLine {
    /// The first line of a run, and of each further file that its log fills.
    Start(Box<LogStart>),
    /// A workload began.
    PhaseStart(PhaseStart),
    /// About a second of one workload.
    Interval(Box<IntervalLine>),
    /// The packets showed something that counts against the device.
    Anomaly(Box<AnomalyLine>),
    /// A workload's connections have been through an outage.
    Outage(Box<OutageLine>),
    /// The host fell silent on connections, or what became of them is known.
    Silenced(SilencedLine),
    /// What silenced connections have come to.
    HalfOpen(Box<HalfOpenLine>),
    /// What an MQTT client did.
    Mqtt(Box<MqttLine>),
    /// What an examination has come to.
    Examined(Box<ExaminedLine>),
    /// What probes and telemetry have come to.
    Probed(Box<ProbedLine>),
    /// What the device said on its console.
    Console(Box<ConsoleLine>),
    /// A remark for people.
    Notice(NoticeLine),
    /// A workload ended; the rest since its last interval.
    PhaseEnd(Box<IntervalLine>),
    /// The run is over.
    End(Box<LogEnd>),
}

impl LogLine {
    /// The line with its line feed.
    #[must_use]
    pub fn to_text(&self) -> String {
        // Every key is a string and every value plain: serialising cannot fail.
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// A line of which only its event is read. To derive the reading of the whole would compile that of every type in it twice:
/// once for a line whose data comes before its event.
#[derive(Deserialize)]
struct Named {
    event: EventName,
}

/// The same line once its event has said what its data is.
#[derive(Deserialize)]
struct Filled<T> {
    data: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum EventName {
    Start,
    PhaseStart,
    Interval,
    Anomaly,
    Outage,
    Silenced,
    HalfOpen,
    Mqtt,
    Examined,
    Probed,
    Console,
    Notice,
    PhaseEnd,
    End,
}

impl FromStr for LogLine {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        fn data<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, serde_json::Error> {
            serde_json::from_str(text).map(|Filled { data }| data)
        }
        let Named { event } = serde_json::from_str(text)?;
        Ok(match event {
            EventName::Start => Self::Start(data(text)?),
            EventName::PhaseStart => Self::PhaseStart(data(text)?),
            EventName::Interval => Self::Interval(data(text)?),
            EventName::Anomaly => Self::Anomaly(data(text)?),
            EventName::Outage => Self::Outage(data(text)?),
            EventName::Silenced => Self::Silenced(data(text)?),
            EventName::HalfOpen => Self::HalfOpen(data(text)?),
            EventName::Mqtt => Self::Mqtt(data(text)?),
            EventName::Examined => Self::Examined(data(text)?),
            EventName::Probed => Self::Probed(data(text)?),
            EventName::Console => Self::Console(data(text)?),
            EventName::Notice => Self::Notice(data(text)?),
            EventName::PhaseEnd => Self::PhaseEnd(data(text)?),
            EventName::End => Self::End(data(text)?),
        })
    }
}

/// Whether a run was to look at packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureAsked {
    /// It was, if the system let it.
    On,
    /// It was not.
    Off,
}

/// What is known before a run's first packet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogStart {
    /// Version of the report that is rebuilt from the log.
    pub schema_version: u64,
    /// What writes it.
    pub tool: Tool,
    /// Which of the files that this run's log has filled, from 1.
    pub part: u32,
    /// When the run started, RFC 3339, UTC.
    pub started_at: String,
    /// The machine that the traffic comes from.
    pub host: Host,
    /// The device.
    pub target: Target,
    /// What is run, every default written out.
    pub scenario: serde_json::Value,
    /// The seed of everything random.
    pub seed: u64,
    /// Whether packets are looked at.
    pub capture: CaptureAsked,
    /// The gates' expressions, empty for the default one; null when nothing is judged.
    pub thresholds: Option<Vec<String>>,
    /// The workloads to come, in the order of the scenario.
    pub workloads: Vec<Announced>,
    /// The report of the sessions before this one, where a run is resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Box<Report>>,
}

impl LogStart {
    /// A start of which nothing more is known; `started_at` is filled in when the run starts.
    #[must_use]
    pub fn new(target: Target, scenario: serde_json::Value, seed: u64) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            tool: Tool::this(),
            part: 1,
            started_at: String::new(),
            host: Host::here(),
            target,
            scenario,
            seed,
            capture: CaptureAsked::Off,
            thresholds: None,
            workloads: Vec::new(),
            earlier: None,
        }
    }

    /// Fills in when the run started, nanoseconds since the Unix epoch.
    pub fn started(&mut self, unix_ns: i64) {
        let since = std::time::Duration::from_nanos(u64::try_from(unix_ns).unwrap_or(0));
        self.started_at = humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + since).to_string();
    }
}

#[cfg(test)]
impl LogStart {
    /// The start of a run of one workload, for tests of what follows it.
    pub(crate) fn of_one(name: &str, kind: &str, main_phase: Phase) -> Self {
        let params = serde_json::json!({});
        let announced = Announced { name: name.into(), kind: kind.into(), params, facts: None, main_phase };
        let target = Target::new("127.0.0.1:80", super::TargetKind::Sim);
        Self { workloads: vec![announced], ..Self::new(target, serde_json::json!({ "name": "t" }), 7) }
    }
}

/// A workload that is to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Announced {
    /// Its name, unique in the scenario.
    pub name: String,
    /// What it does.
    pub kind: String,
    /// Its parameters.
    pub params: serde_json::Value,
    /// What findings have to know of it; `None` in logs of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<WorkloadFacts>,
    /// The phase whose latency its intervals tell.
    pub main_phase: Phase,
}

/// A workload began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseStart {
    /// Which.
    pub workload: String,
    /// When, seconds since the start of the run.
    pub at_s: f64,
}

/// What a log says when it names no more anomalies.
#[must_use]
pub fn anomalies_cut(told: u32) -> String {
    format!("{CUT}{told} anomalies are named one by one; further ones are only counted")
}

/// How that begins.
pub(super) const CUT: &str = "no more than ";

/// The remark on outages that are told no more, since the log's disk did not keep up.
#[must_use]
pub fn outages_left_out(rows: u64) -> String {
    format!(
        "{LEFT_OUT}{rows} outages are counted and not told one by one: the log could not be written in time"
    )
}

/// The remark on lines that a disk without room took no more.
#[must_use]
pub fn lines_left_out(lines: u64) -> String {
    format!("{LEFT_OUT}{lines} lines are not in the log: it could not be written for too long")
}

/// How those remarks begin.
pub(super) const LEFT_OUT: &str = "left out: ";

/// A remark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoticeLine {
    /// When, seconds since the start of the run.
    pub at_s: f64,
    /// One sentence.
    pub text: String,
}

/// What a workload did since its last line, and since its start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IntervalLine {
    /// Which workload.
    pub workload: String,
    /// From when, seconds since the start of the run.
    pub start_s: f64,
    /// Until when, seconds since the start of the run.
    pub end_s: f64,
    /// Attempts that ended.
    pub attempts: u64,
    /// Successes among them.
    pub succeeded: u64,
    /// Failures among them, only the names that occurred.
    pub failures: Failures,
    /// Application bytes, both directions.
    pub bytes: u64,
    /// Connections open at its end.
    pub(crate) open: u32,
    /// Median latency of the main phase, microseconds.
    pub(crate) p50_us: Option<f64>,
    /// 99th percentile of it, microseconds.
    pub(crate) p99_us: Option<f64>,
    /// Its whole distribution: an HdrHistogram of nanoseconds, V2 deflate, base64.
    pub(crate) hdr: Option<String>,
    /// Everything since the workload's start, so that a line that is lost costs its seconds and no more.
    pub(crate) total: Totals,
}

impl IntervalLine {
    /// What lies between two states of a workload; `latencies` are those of the main phase in between.
    #[must_use]
    pub fn between(
        workload: String,
        (start_s, before): (f64, &PhaseProgress),
        (end_s, now): (f64, &PhaseProgress),
        latencies: &Latency,
    ) -> Self {
        let at = |q| latencies.quantile_ns(q).map(latency::us);
        let failures = now.failures.iter().map(|(f, n)| (f, n.saturating_sub(before.failures.get(f))));
        let bytes = |p: &PhaseProgress| p.bytes_sent + p.bytes_received;
        Self {
            workload,
            start_s,
            end_s,
            attempts: now.attempts.saturating_sub(before.attempts),
            succeeded: now.succeeded.saturating_sub(before.succeeded),
            failures: Failures(failures.filter(|(_, n)| *n > 0).collect()),
            bytes: bytes(now).saturating_sub(bytes(before)),
            open: now.open,
            p50_us: at(0.5),
            p99_us: at(0.99),
            hdr: latency::hdr(latencies),
            total: Totals::of(now),
        }
    }
}

/// Sums since a workload's start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    /// Attempts ended.
    pub(crate) attempts: u64,
    /// Successes among them.
    pub(crate) succeeded: u64,
    /// Failures among them, only the names that occurred.
    pub(crate) failures: Failures,
    /// HTTP status codes of complete responses.
    #[serde(default, skip_serializing_if = "StatusCounts::is_empty")]
    pub(crate) responses: StatusCounts,
    /// Status code of the first complete HTTP response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first_status: Option<u16>,
    /// What was wrong with HTTP responses.
    #[serde(default, skip_serializing_if = "HttpFaults::is_empty")]
    pub(crate) malformed: HttpFaults,
    /// What else HTTP requests met.
    #[serde(default, skip_serializing_if = "HttpFigures::is_empty")]
    pub(crate) http: HttpFigures,
    /// Application bytes sent.
    pub(crate) sent_bytes: u64,
    /// Application bytes received.
    pub(crate) received_bytes: u64,
    /// Payload bytes that came back whole and right.
    pub(crate) goodput_bytes: u64,
    /// How often a closed loop waited for a free source port.
    pub(crate) port_waits: u64,
    /// Standing connections opened again.
    pub(crate) reconnects: u64,
    /// Attempts that started late.
    pub(crate) late_starts: u64,
    /// Starts that never took place.
    #[serde(default)]
    pub(crate) late_starts_dropped: u64,
    /// Attempts that were under way when the run ended, or its time.
    #[serde(default)]
    pub(crate) unfinished: u64,
    /// Idle connections that the device closed; null where it closed none.
    #[serde(default)]
    pub(crate) idle_closes: Option<IdleCloses>,
    /// What only its protocol tells; null for most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by_protocol: Option<Box<ByProtocol>>,
    /// What outages came to; null for a workload that has none.
    pub(crate) outages: Option<OutageProgress>,
}

impl Totals {
    fn of(progress: &PhaseProgress) -> Self {
        Self {
            attempts: progress.attempts,
            succeeded: progress.succeeded,
            failures: Failures::occurred(&progress.failures),
            responses: status_counts(&progress.responses),
            first_status: progress.first_status,
            malformed: progress.malformed.clone(),
            http: progress.http.clone(),
            sent_bytes: progress.bytes_sent,
            received_bytes: progress.bytes_received,
            goodput_bytes: progress.goodput_bytes,
            port_waits: progress.port_waits,
            reconnects: progress.reconnects,
            late_starts: progress.late_starts,
            late_starts_dropped: progress.late_starts_dropped,
            unfinished: progress.unfinished,
            idle_closes: progress.idle_closes,
            by_protocol: progress.by_protocol.clone(),
            outages: progress.outages,
        }
    }
}

/// One anomaly, once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnomalyLine {
    /// Which.
    pub(crate) id: AnomalyId,
    /// Whom it counts against: the device.
    pub(crate) class: AnomalyClass,
    /// Workload whose connection it is; null where no workload opened it.
    pub(crate) workload: Option<String>,
    /// The host's end, `address:port`.
    pub(crate) host: String,
    /// The device's end, `address:port`.
    pub(crate) device: String,
    /// When, seconds since the start of the run.
    pub(crate) at_s: f64,
    /// How long it lasted, seconds; null for an instant.
    pub(crate) lasted_s: Option<f64>,
    /// How manyth of this anomaly on this connection, from 1.
    pub(crate) nth: u32,
    /// Who sent the telling segment.
    pub(crate) direction: Direction,
    /// What qualifies it.
    pub(crate) remark: Option<String>,
    /// The few packets that show it.
    pub(crate) packets: Vec<ExamplePacket>,
}

impl AnomalyLine {
    /// An occurrence in a run that started at `start_unix_ns` (nanoseconds since the Unix epoch).
    #[must_use]
    pub fn new(workload: Option<String>, o: &Occurrence, start_unix_ns: i64) -> Self {
        let seconds = |unix_ns: i64| unix_ns.saturating_sub(start_unix_ns) as f64 / 1e9;
        Self {
            id: o.id,
            class: AnomalyClass::Device,
            workload,
            host: o.connection.host.to_string(),
            device: o.connection.device.to_string(),
            at_s: seconds(o.at_ns),
            lasted_s: (o.lasted_ns > 0).then(|| o.lasted_ns as f64 / 1e9),
            nth: o.nth,
            direction: o.direction,
            remark: o.remark.map(str::to_owned),
            packets: o
                .packets
                .iter()
                .map(|p| ExamplePacket {
                    number: p.number,
                    at_s: seconds(p.at_ns),
                    direction: p.direction,
                    summary: p.summary.clone(),
                })
                .collect(),
        }
    }
}

/// One outage of a workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutageLine {
    /// Which workload.
    pub(crate) workload: String,
    /// What is known of it.
    pub outage: super::OutageRow,
}

impl OutageLine {
    /// An outage that `workload` went through.
    #[must_use]
    pub fn new(workload: String, o: &OutageRow) -> Self {
        Self { workload, outage: o.into() }
    }
}

/// Connections on which the host fell silent; a later line about one of them replaces what an earlier one says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SilencedLine {
    /// Which workload.
    pub workload: String,
    /// Those of which something is new, in the order of opening.
    pub connections: Vec<SilencedConnection>,
}

/// What silenced connections have come to: a line when something is decided, every ten seconds, and at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HalfOpenLine {
    /// Which workload.
    pub workload: String,
    /// When, seconds since the start of the run.
    pub(crate) at_s: f64,
    /// Whether it may change.
    pub(crate) course: SectionCourse,
    /// The report's section; without its `connections` while it may change, those have lines of their own.
    pub(crate) half_open: HalfOpenFigures,
}

impl HalfOpenLine {
    /// What is known at `at_s`.
    #[must_use]
    pub fn new(workload: String, at_s: f64, course: SectionCourse, section: &HalfOpen<Recorded>) -> Self {
        let stats = section.with_latencies(|recorded| {
            let mut latency = Latency::default();
            recorded.iter().for_each(|(ns, count)| latency.record_n(*ns, *count));
            latency
        });
        let mut half_open = HalfOpenFigures::from_stats(&stats);
        if course == SectionCourse::UnderWay {
            half_open.connections.clear();
        }
        Self { workload, at_s, course, half_open }
    }
}

/// What an MQTT client did: a line after each fault, every ten seconds, and at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MqttLine {
    /// Which workload.
    pub workload: String,
    /// When, seconds since the start of the run.
    pub(crate) at_s: f64,
    /// Whether it may change.
    pub(crate) course: SectionCourse,
    /// The report's section, with the last faults only while it may change.
    pub(crate) mqtt: MqttFigures,
}

impl MqttLine {
    /// What is known at `at_s`.
    #[must_use]
    pub fn new(workload: String, at_s: f64, course: SectionCourse, section: &Mqtt<Recorded>) -> Self {
        let stats = section.with_latencies(|recorded| {
            let mut latency = Latency::default();
            recorded.iter().for_each(|(ns, count)| latency.record_n(*ns, *count));
            latency
        });
        Self { workload, at_s, course, mqtt: MqttFigures::from_stats(&stats) }
    }

    /// The section of a run whose log has no end: what the packets showed of the device is not in a log.
    pub(super) fn rebuilt(self) -> MqttFigures {
        let mut mqtt = self.mqtt;
        mqtt.no_signs =
            Some("the log of a run without an end does not tell what the packets showed".to_owned());
        if self.course == SectionCourse::UnderWay {
            mqtt.incomplete = Some(format!("what is known is that of {:.1} s of the run", self.at_s));
        }
        mqtt
    }
}

/// What an examination has come to after one of its workloads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExaminedLine {
    /// The workload that had just ended.
    pub workload: String,
    /// When, seconds since the start of the run.
    pub at_s: f64,
    /// The report's section, as far as it is known.
    pub examination: Examination,
}

/// The run is over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogEnd {
    /// How long it took, seconds.
    pub duration_s: f64,
    /// All gates together.
    pub verdict: Verdict,
    /// The whole report.
    pub report: Report,
}
