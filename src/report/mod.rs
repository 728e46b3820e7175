//! The report: one JSON object for machines, one page for people, and the formats that dashboards take.
//!
//! Made from what `stats` measured and what `diagnose` concluded; the only room that turns figures into
//! sentences. It knows nothing of how a run is made, and a report read from a file is as good as a fresh one.

mod cut_off;
mod distribution;
mod file;
mod format;
mod found;
mod from_log;
mod half_open;
mod human;
mod latency;
mod log_lines;
mod model;
mod outages;
mod probed;
mod raw;
mod sections;
mod standing;
mod style;
pub mod text;
pub mod thresholds;
mod verdict;
mod workload;

pub use file::{
    ReadError, WriteError, check_writable, from_json, read, schema, to_json, write_json, write_text,
};
pub use format::{Format, Options, RenderError, UnknownFormat, render};
pub use from_log::{LogError, Rebuilt, is_log, read_log, read_log_lines};
pub use half_open::{Availability, HalfOpenFigures, OpenFailure, SilencedConnection, SocketsUsed, Spell};
pub(crate) use human::figure as human_figure;
pub(crate) use human::things;
pub use latency::LatencyFigures;
pub use log_lines::{
    Announced, AnomalyLine, CaptureAsked, ExaminedLine, HalfOpenLine, IntervalLine, LogEnd, LogLine,
    LogStart, NoticeLine, OutageLine, PhaseStart, SilencedLine, Totals, anomalies_cut, lines_left_out,
    outages_left_out,
};
pub use model::{
    Capture, CaptureStatus, GateExit, Host, NotJudgedRow, OLDEST_SCHEMA_VERSION, Program, Report,
    SCHEMA_VERSION, Service, Target, TargetKind, ThresholdRow, ThresholdStatus, Tool, Transport, Unit,
    Verdict,
};
pub use outages::{
    ConnectionFates, DialledDevice, IdleSpells, LinkOutage, LinkOutageCause, LinkOutages, MakeFailureRow,
    OutageRow, OutageSummary, OutageTime, RecoveryTimes,
};
pub use probed::{Covers, DeviceRestart, ProbeSilence, ProbedDevice, ProbedKind, ProbedLine, ProbedSoFar};
pub use raw::RawSummary;
pub use sections::{ProbeKind, ProbeRow, Reading, ReadingSummary, TelemetryRow, TelemetrySummary};
pub use style::{Colour, Detail, Glyphs, Style};
pub use verdict::verdict_line;
pub use workload::{Bytes, Failures, SeriesRow, Tcp, Workload};
