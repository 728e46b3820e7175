//! The report: one JSON object for machines, one page for people, and the formats that dashboards take.
//!
//! Made from what `stats` measured and what `diagnose` concluded; the only crate that turns figures into
//! sentences. It knows nothing of how a run is made, and a report read from a file is as good as a fresh one.

mod air;
mod by_protocol;
mod consistent;
mod console;
mod cut_off;
mod distribution;
mod drawing;
mod file;
mod format;
mod found;
mod from_log;
mod half_open;
mod http;
mod human;
mod json;
pub mod ladder;
mod latency;
mod live;
mod log_lines;
mod model;
mod mqtt;
mod mqtt_sessions;
mod outages;
mod probed;
mod raw;
mod same_device;
mod sections;
mod sessions;
mod standing;
mod style;
mod tame;
pub mod text;
pub mod thresholds;
pub mod timeline;
mod verdict;
mod workload;

pub use air::air_lines;
pub use console::ConsoleLine;
#[cfg(feature = "schema")]
pub use file::schema_of_types;
pub use file::{
    ReadError, WriteError, check_writable, from_json, read, schema, to_json, without_controls, write_json,
    write_text,
};
pub use format::{
    CapturePage, Format, LatencyFile, Options, RenderError, capture_page, latency_files, markdown_text,
    render,
};
pub use from_log::{Rebuilt, is_log, looks_like_log, read_log, read_log_bytes};
pub(crate) use half_open::{Availability, HalfOpenFigures};
pub use human::figure as human_figure;
pub use human::things;
pub use json::pretty;
pub use latency::LatencyFigures;
pub use live::{Live, LiveFailure, LiveWorkload, in_all};
pub use log_lines::{
    Announced, AnomalyLine, CaptureAsked, ExaminedLine, HalfOpenLine, IntervalLine, LogEnd, LogLine,
    LogStart, MqttLine, NoticeLine, OutageLine, PhaseStart, SilencedLine, anomalies_cut, lines_left_out,
    outages_left_out,
};
pub use model::{
    Capture, CaptureStatus, GateExit, Host, NotJudgedRow, Program, Report, Service, Target, TargetKind,
    ThresholdStatus, Tool, Transport, Unit, Verdict,
};
pub(crate) use model::{OLDEST_SCHEMA_VERSION, SCHEMA_VERSION, ThresholdRow};
pub use mqtt::{MqttClientFigures, MqttFigures, MqttSessionFigures};
pub use outages::{LinkOutage, LinkOutages, OutageRow, OutageSummary};
pub(crate) use probed::DeviceRestart;
pub use probed::{ProbedLine, ProbedSoFar};
pub use raw::RawSummary;
pub use sections::{ProbeKind, ProbeRow, Reading, ReadingSummary, TelemetryRow, TelemetrySummary};
pub use sessions::{Continues, SessionRow, cannot_resume};
pub use style::{Colour, Detail, Glyphs, Style};
pub use timeline::{Timeline, TimelineKind, TimelineRow, TimelineSource};
pub use verdict::verdict_line;
pub(crate) use workload::Tcp;
pub use workload::{Bytes, Failures, SeriesRow, Workload};
