//! The fleet report.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use espstress_diagnose::{FindingId, Severity};
use espstress_report::{Bytes, Failures, LatencyFigures, Report, SeriesRow, Tool, Verdict};
use espstress_stats::Phase;

/// The version of the format that this program writes and reads.
pub(crate) const FLEET_VERSION: u64 = 1;

/// Several reports as one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FleetReport {
    /// Version of this format: 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1)))]
    pub(crate) fleet_version: u64,
    /// What made it.
    pub tool: Tool,
    /// When the first of the runs started, RFC 3339, UTC; null where none ran.
    pub started_at: Option<String>,
    /// From the first start to the last end by wall clock, seconds.
    pub duration_s: f64,
    /// Whether any of the runs was ended by an interrupt.
    pub interrupted: bool,
    /// Processor time that the one process used that ran all of them, seconds; null where several did.
    pub cpu_s: Option<f64>,
    /// Most memory that this process held, bytes; null where several did.
    pub memory_peak_bytes: Option<u64>,
    /// The worst verdict; inconclusive where a device could not be tested and none failed.
    pub verdict: Verdict,
    /// Why it is not `pass`, a sentence each, with the device's name before it.
    pub verdict_reasons: Vec<String>,
    /// The devices, each with its whole report, in the order in which they were given.
    pub devices: Vec<FleetDevice>,
    /// The sums of each workload over all devices.
    pub workloads: Vec<JoinedWorkload>,
    /// Each finding, with the devices that have it; the most severe first.
    pub findings: Vec<FleetFinding>,
}

impl FleetReport {
    /// The device of that name.
    #[must_use]
    pub fn device(&self, name: &str) -> Option<&FleetDevice> {
        self.devices.iter().find(|device| device.name == name)
    }

    /// Whether any run had a gate.
    #[must_use]
    pub fn has_gates(&self) -> bool {
        self.reports().any(|(_, report)| report.has_gates())
    }

    /// The reports, each with its device's name.
    pub(crate) fn reports(&self) -> impl Iterator<Item = (&str, &Report)> {
        self.devices.iter().filter_map(|device| Some((device.name.as_str(), device.report.as_ref()?)))
    }
}

/// A device of a fleet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FleetDevice {
    /// Its name, unique in the fleet.
    pub name: String,
    /// What the inventory says of it.
    pub tags: Vec<String>,
    /// When its run started, seconds after the first one; null where it has no report.
    pub start_s: Option<f64>,
    /// Why it has no report; null where it has one.
    pub not_run: Option<String>,
    /// Its report, whole.
    pub report: Option<Report>,
}

/// What all runs of a workload measured together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct JoinedWorkload {
    /// Its name in the scenario.
    pub name: String,
    /// What it does.
    pub kind: String,
    /// Reports that have it.
    pub runs: u64,
    /// From its first start to its last end by wall clock, seconds.
    pub duration_s: f64,
    /// Attempts ended.
    pub attempts: u64,
    /// Successes among them.
    pub succeeded: u64,
    /// Failures by name, only the names that occurred.
    pub failures: Failures,
    /// Successes as a share of the attempts that the hosts themselves did not prevent, 0 to 1; null without any.
    pub success_rate: Option<f64>,
    /// Attempts ended per second of wall clock, all runs together; null where no run went on for a part of that time.
    pub attempts_per_s: Option<f64>,
    /// Latency by phase: the histograms of all runs added.
    pub latency: BTreeMap<Phase, LatencyFigures>,
    /// Application bytes.
    pub bytes: Bytes,
    /// The series of all runs in line by wall clock: `start_s` is since the first start of all. Always fewer than 2,000
    /// rows.
    pub series: Vec<SeriesRow>,
}

/// A finding and who has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FleetFinding {
    /// Which finding.
    pub id: FindingId,
    /// How much it matters, at worst.
    pub severity: Severity,
    /// The devices, by name.
    pub devices: Vec<String>,
}
