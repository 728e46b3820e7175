//! The anomalies of a run, as reports have them: a row for each id, class, direction and workload.

use serde::{Deserialize, Serialize};

use espstress_event::{AnomalyClass, AnomalyId, Direction, IntentBook, NotJudged};

/// All occurrences of one anomaly, of one class, in one workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AnomalyRow {
    /// Which anomaly.
    pub id: AnomalyId,
    /// Whom it counts against.
    pub class: AnomalyClass,
    /// Occurrences.
    pub count: u64,
    /// Connections that show it.
    pub connections: u64,
    /// Workload whose connections they are; null where no workload of the run opened them.
    pub workload: Option<String>,
    /// First occurrence, seconds since the start of the run.
    pub first_s: f64,
    /// Last occurrence, seconds since the start of the run; with its duration where it has one.
    pub last_s: f64,
    /// Who sent the telling segments.
    pub direction: Direction,
    /// Up to five.
    pub examples: Vec<Example>,
}

/// One occurrence, for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// The host's end, `address:port`.
    pub host: String,
    /// The device's end, `address:port`.
    pub device: String,
    /// When, seconds since the start of the run.
    pub at_s: f64,
    /// How long it lasted, seconds; null for an instant.
    pub lasted_s: Option<f64>,
    /// What qualifies it; null when nothing does.
    pub remark: Option<String>,
    /// The few packets that show it.
    pub packets: Vec<ExamplePacket>,
}

/// One packet of an example.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ExamplePacket {
    /// Number in the capture, from 1.
    pub number: u64,
    /// When, seconds since the start of the run.
    pub at_s: f64,
    /// Who sent it.
    pub direction: Direction,
    /// The segment in words.
    pub summary: String,
}

/// What a capture's anomalies come to.
#[derive(Clone, Debug, Default)]
pub struct Anomalies {
    /// In the order of [`AnomalyId::ALL`], then by class, direction and workload.
    pub rows: Vec<AnomalyRow>,
    /// What could not be told.
    pub not_judged: Vec<NotJudged>,
}

/// What became of one occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classed<'a> {
    /// Its class, intentions considered.
    pub class: AnomalyClass,
    /// The workload whose connection it was.
    pub workload: Option<&'a str>,
}

/// Where the reports' seconds begin, and whose intentions count.
#[derive(Clone, Copy, Debug)]
pub enum Intentions<'a> {
    /// A run's.
    Of(&'a IntentBook),
    /// Nobody knows: a capture file.
    Unknown,
}
