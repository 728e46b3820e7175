//! The events a run is made of. The engine's dispatcher sends them; progress display, the log and the tests
//! consume the same ones.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    ByProtocol, Console, ConsoleEvent, Examination, FailureCounts, HalfOpen, HttpFaults, HttpFigures,
    IdleCloses, Mqtt, Occurrence, OutageProgress, OutageRow, Probed, Recorded, Responses, SilencedConnection,
    Telemetry,
};

/// How far a phase has come; a plain copy, taken a few times a second.
#[derive(Clone, Debug, Default)]
pub struct PhaseProgress {
    /// Attempts ended so far.
    pub attempts: u64,
    /// Of those, successes.
    pub succeeded: u64,
    /// The others, by name.
    pub failures: FailureCounts,
    /// HTTP status codes of complete responses so far.
    pub responses: Responses,
    /// Status of the first complete HTTP response; `None` before it.
    pub first_status: Option<u16>,
    /// What was wrong with HTTP responses so far.
    pub malformed: HttpFaults,
    /// What else HTTP requests met so far.
    pub http: HttpFigures,
    /// Application bytes sent to the device.
    pub bytes_sent: u64,
    /// Application bytes received from it.
    pub bytes_received: u64,
    /// Payload bytes that came back whole and right.
    pub goodput_bytes: u64,
    /// How often a closed loop waited for a free source port.
    pub port_waits: u64,
    /// Standing connections opened again after a failure.
    pub reconnects: u64,
    /// Attempts of an open loop that started late because every connection was busy, or the host was late.
    pub late_starts: u64,
    /// Starts of an open loop that never took place: until the time was up, every connection was busy, or the host was late.
    pub late_starts_dropped: u64,
    /// Attempts that were under way when the run ended, or its time: they count as none.
    pub unfinished: u64,
    /// Idle connections that the device closed; `None` where it closed none.
    pub idle_closes: Option<IdleCloses>,
    /// What only its protocol tells; `None` for most.
    pub by_protocol: Option<Box<ByProtocol>>,
    /// Connections open now.
    pub open: u32,
    /// p50 of the last interval, nanoseconds, where there was a transaction.
    pub p50_ns: Option<u64>,
    /// p99 of the last interval, nanoseconds.
    pub p99_ns: Option<u64>,
    /// The main phase's latencies of the last interval: nanoseconds, and how many of them. Shared, since several
    /// reporters may keep it.
    pub latencies: Recorded,
    /// What outages have come to; `None` for a workload that has none.
    pub outages: Option<OutageProgress>,
}

/// One thing that happened in a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The run is about to send its first packet.
    RunStarted {
        /// Scenario's name.
        scenario: String,
        /// The device's address in words.
        target: String,
        /// The seed of everything random.
        seed: u64,
        /// When, nanoseconds since the Unix epoch.
        start_unix_ns: i64,
    },
    /// A remark for the person who waits, as `no capture: ...`.
    Notice {
        /// One sentence.
        text: String,
    },
    /// A workload began.
    PhaseStarted {
        /// Its name in the scenario.
        workload: String,
        /// Since the start of the run, nanoseconds.
        at_ns: u64,
        /// How much it will do, where that is known: transactions, or nanoseconds of running.
        expected: Expected,
    },
    /// About once a second for each running workload.
    Interval {
        /// Its name in the scenario.
        workload: String,
        /// Since the start of the run, nanoseconds.
        at_ns: u64,
        /// Totals since the workload's start.
        progress: PhaseProgress,
    },
    /// The packets showed something; `workload` where the connection is one of ours.
    Anomaly {
        /// Its name in the scenario.
        workload: Option<String>,
        /// What, shared because several reporters keep it.
        occurrence: Arc<Occurrence>,
    },
    /// Anomalies go on, and from here on they are only counted: enough of them have been told.
    AnomaliesCut {
        /// How many were told.
        told: u32,
    },
    /// A workload's connections have been through an outage.
    Outage {
        /// Its name in the scenario.
        workload: String,
        /// What of it is known.
        outage: OutageRow,
    },
    /// So many outages in all were not told one by one: those who report could not keep up.
    OutagesLeftOut {
        /// How many.
        rows: u64,
    },
    /// The host fell silent on connections, or what became of them is known.
    Silenced {
        /// Its name in the scenario.
        workload: String,
        /// Those of which something is new, in the order of opening.
        connections: Vec<SilencedConnection>,
    },
    /// What the device said on its console since the last time.
    Console {
        /// Since the start of the run, nanoseconds.
        at_ns: u64,
        /// What is new of it.
        events: Vec<ConsoleEvent>,
        /// Everything that is known in sum, without the events and the last lines; shared because several reporters may
        /// keep it.
        known: Arc<Console>,
    },
    /// The last lines of the device's console, about once a second while it prints: for whoever shows a run, and in no log.
    ConsoleLines {
        /// The newest at the end.
        lines: Arc<[String]>,
    },
    /// The newest that the device said of itself, over the network or on its console: for whoever shows a run, and in no
    /// log, which has [`Event::Probed`].
    Device {
        /// Since the start of the run, nanoseconds.
        at_ns: u64,
        /// What it said, without its options and services.
        telemetry: Arc<Telemetry>,
    },
    /// What silenced connections have come to, now and then while they are watched and once at the end.
    HalfOpen {
        /// Its name in the scenario.
        workload: String,
        /// Since the start of the run, nanoseconds.
        at_ns: u64,
        /// Whether it may change.
        course: SectionCourse,
        /// Everything that is known, shared because several reporters may keep it.
        section: Arc<HalfOpen<Recorded>>,
    },
    /// What an MQTT client did, now and then while it is watched and once at the end.
    Mqtt {
        /// Its name in the scenario.
        workload: String,
        /// Since the start of the run, nanoseconds.
        at_ns: u64,
        /// Whether it may change.
        course: SectionCourse,
        /// Everything that is known, shared because several reporters may keep it.
        section: Arc<Mqtt<Recorded>>,
    },
    /// What an examination has come to, after each of its workloads.
    Examined {
        /// The workload that has just ended.
        workload: String,
        /// Since the start of the run, nanoseconds.
        at_ns: u64,
        /// What is known by now, shared because several reporters may keep it.
        examination: Arc<Examination>,
    },
    /// What the probes have come to: as soon as something is decided, else every ten seconds, and when workloads end.
    Probed {
        /// Since the start of the run, nanoseconds.
        at_ns: u64,
        /// Everything since the start of the run, shared because several reporters may keep it.
        probed: Arc<Probed>,
    },
    /// A workload ended.
    PhaseEnded {
        /// Its name in the scenario.
        workload: String,
        /// When, nanoseconds since the start of the run.
        at_ns: u64,
        /// Totals.
        progress: PhaseProgress,
    },
    /// The last close is past; the capture listens on.
    Watching {
        /// For at most this long, nanoseconds.
        at_most_ns: u64,
    },
    /// Everything is over.
    RunEnded {
        /// By Ctrl-C.
        interrupted: bool,
    },
}

/// Whether a part of a report is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SectionCourse {
    /// It may change.
    UnderWay,
    /// It is what it will be.
    Ended,
}

/// How much a workload is going to do, for a progress bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// This many transactions.
    Count(u64),
    /// This long, nanoseconds.
    Duration(u64),
    /// Nobody knows.
    Open,
}

/// Where events go. Implementations must not block: the dispatcher calls them between transactions.
pub trait EventSink: Send {
    /// Takes one event.
    fn event(&mut self, event: &Event);
}

impl<F: FnMut(&Event) + Send> EventSink for F {
    fn event(&mut self, event: &Event) {
        self(event);
    }
}
