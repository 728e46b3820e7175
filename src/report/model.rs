//! The report's top level. Field names carry their unit; what was not measured is null.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{LinkOutages, ProbeRow, SessionRow, TelemetrySummary, Timeline, Workload};
use espstress_diagnose::{AccountRow, AnomalyRow, Examination, Finding};
use espstress_event::{Air, AnomalyId, Console, NotJudged};

/// The version of the format that this program writes and reads.
pub(crate) const SCHEMA_VERSION: u64 = 2;

/// The oldest version that is still read: what it lacks is empty.
pub(crate) const OLDEST_SCHEMA_VERSION: u64 = 1;

/// What one run of espstress did, measured, saw and concluded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Version of this format: 2. Version 1 is still read: what it lacks is empty.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 2)))]
    pub(crate) schema_version: u64,
    /// What made the report.
    pub tool: Tool,
    /// The machine that the traffic came from.
    pub host: Host,
    /// The device that was tested.
    pub target: Target,
    /// What was run, every default written out.
    pub scenario: serde_json::Value,
    /// The seed of everything random.
    pub seed: u64,
    /// When the run started, RFC 3339, UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub started_at: String,
    /// How long the run took, the watch after the last close included, seconds.
    pub duration_s: f64,
    /// Whether the run was ended by an interrupt before it was complete.
    pub interrupted: bool,
    /// The sessions of a run that was resumed; empty for one that was not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<SessionRow>,
    /// Whether the packets were looked at.
    pub capture: Capture,
    /// What each workload measured, in the order of the scenario.
    pub workloads: Vec<Workload>,
    /// What the packets showed: a row for each anomaly, class and workload. Empty means "none" only where
    /// `capture.status` is `complete`.
    pub anomalies: Vec<AnomalyRow>,
    /// Rules that could not be judged: never to be read as "none".
    pub not_judged: Vec<NotJudgedRow>,
    /// What the device said of itself; null where it says nothing.
    pub telemetry: Option<TelemetrySummary>,
    /// The probes beside the workloads, one row a kind.
    pub probes: Vec<ProbeRow>,
    /// What a modelled link says of its own outages; null on a real one.
    pub link_outages: Option<LinkOutages>,
    /// What the device said on its console; null where nobody listened.
    #[serde(default)]
    pub console: Option<Console>,
    /// What was heard on the air; null where nobody listened.
    #[serde(default)]
    pub air: Option<Air>,
    /// Everything that happened on one clock: load, failures, anomalies, outages, absences, restarts.
    #[serde(default)]
    pub timeline: Timeline,
    /// What it means.
    pub findings: Vec<Finding>,
    /// Every failed attempt in exactly one row: explained by a finding, excused, or unexplained. Those of a session that
    /// ended without a report (power cut, `kill -9`) were not looked at and are in no row.
    #[serde(default)]
    pub account: Vec<AccountRow>,
    /// Why findings may be missing, as after a power cut: then the absence of one means nothing; null when all were
    /// looked for.
    #[serde(default)]
    pub findings_incomplete: Option<String>,
    /// What a doctor looked at and did; null for any other run.
    pub examination: Option<Examination>,
    /// The gates and how each was judged; empty when the run had none.
    pub thresholds: Vec<ThresholdRow>,
    /// All gates together.
    pub verdict: Verdict,
    /// Why the verdict is not `pass`, a sentence each: gates that are broken or could not be judged, and what the run
    /// did not test; empty for `pass` and without gates.
    #[serde(default)]
    pub verdict_reasons: Vec<String>,
    /// What the verdict leaves open or does not count against the device, a sentence each.
    #[serde(default)]
    pub remarks: Vec<String>,
}

impl Report {
    /// A report with nothing in it yet, of a run that started at `start_unix_ns` (nanoseconds since the Unix
    /// epoch). The capture is `off` and the verdict `pass` until they are filled in.
    #[must_use]
    pub fn new(target: Target, scenario: serde_json::Value, seed: u64, start_unix_ns: i64) -> Self {
        let since_epoch = Duration::from_nanos(u64::try_from(start_unix_ns).unwrap_or(0));
        Self {
            schema_version: SCHEMA_VERSION,
            tool: Tool::this(),
            host: Host::here(),
            target,
            scenario,
            seed,
            started_at: humantime::format_rfc3339_millis(UNIX_EPOCH + since_epoch).to_string(),
            duration_s: 0.0,
            interrupted: false,
            sessions: Vec::new(),
            capture: Capture::off(None),
            workloads: Vec::new(),
            anomalies: Vec::new(),
            not_judged: Vec::new(),
            telemetry: None,
            probes: Vec::new(),
            link_outages: None,
            console: None,
            air: None,
            timeline: Timeline::default(),
            findings: Vec::new(),
            account: Vec::new(),
            findings_incomplete: None,
            examination: None,
            thresholds: Vec::new(),
            verdict: Verdict::Pass,
            verdict_reasons: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// The version of its format.
    #[must_use]
    pub const fn schema_version(&self) -> u64 {
        self.schema_version
    }

    /// Whether it was judged by any gate.
    #[must_use]
    pub const fn has_gates(&self) -> bool {
        !self.thresholds.is_empty()
    }

    /// The workload of that name.
    #[must_use]
    pub fn workload(&self, name: &str) -> Option<&Workload> {
        self.workloads.iter().find(|w| w.name == name)
    }
}

/// What made a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl Tool {
    /// This program.
    #[must_use]
    pub fn this() -> Self {
        Self { name: "espstress".into(), version: env!("CARGO_PKG_VERSION").into() }
    }
}

/// The machine that the traffic came from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Operating system, as `linux`.
    pub os: String,
    /// Kernel release; null where it could not be read.
    pub kernel: Option<String>,
    /// Processor architecture, as `x86_64`.
    pub arch: String,
    /// Processors that the program may use; null where it could not be read.
    pub cpus: Option<u64>,
    /// Processor time that the program used in user mode, seconds.
    pub cpu_user_s: Option<f64>,
    /// Processor time that the kernel used for the program, seconds.
    pub cpu_system_s: Option<f64>,
    /// Most memory that the program held, bytes.
    pub memory_peak_bytes: Option<u64>,
}

impl Host {
    /// What can be said of this machine before a run; what the run used is not filled in.
    #[must_use]
    pub(crate) fn here() -> Self {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        Self {
            os: std::env::consts::OS.into(),
            kernel: kernel.map(|k| k.trim().to_owned()).filter(|k| !k.is_empty()),
            arch: std::env::consts::ARCH.into(),
            cpus: std::thread::available_parallelism().ok().map(|n| n.get() as u64),
            cpu_user_s: None,
            cpu_system_s: None,
            memory_peak_bytes: None,
        }
    }
}

/// What kind of device was tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// A device on the network.
    Device,
    /// The device program on lwIP or smoltcp, in a private network.
    Twin,
    /// The device program on the host's own TCP stack.
    Sim,
    /// A process of the user's own, such as an emulator, behind a TAP device in a private network.
    Tap,
}

impl TargetKind {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Twin => "twin",
            Self::Sim => "sim",
            Self::Tap => "tap",
        }
    }
}

/// The device that was tested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Where it was: the address and, where one was given, the port.
    pub address: String,
    /// What kind of device.
    pub kind: TargetKind,
    /// The TCP/IP stack with its version; null where the device does not tell.
    pub stack: Option<String>,
    /// The options in force, by their names in sdkconfig.
    pub options: BTreeMap<String, String>,
    /// Options that were asked for and have no effect on this target.
    pub options_without_effect: Vec<String>,
    /// The firmware or device program with its version; null where the device does not tell.
    pub firmware: Option<String>,
    /// The habit that the device program was given; null where there is none to give.
    pub persona: Option<String>,
    /// The user's own program that ran as the device; null where the device program is ours, or on a device.
    pub program: Option<Program>,
    /// The link that was modelled, in words; null on a real link.
    pub link: Option<String>,
    /// Connections that the device states it can hold at once; null where it does not tell.
    pub capacity: Option<u64>,
    /// Where its services were.
    pub services: Vec<Service>,
}

impl Target {
    /// A target of which nothing more is known.
    #[must_use]
    pub fn new(address: impl Into<String>, kind: TargetKind) -> Self {
        Self {
            address: address.into(),
            kind,
            stack: None,
            options: BTreeMap::new(),
            options_without_effect: Vec::new(),
            firmware: None,
            persona: None,
            program: None,
            link: None,
            capacity: None,
            services: Vec::new(),
        }
    }
}

/// A program of the user's own as the device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// How it last ended during the run, with its last line; null where it did not.
    pub end: Option<String>,
    /// The last lines that it wrote, to standard output and error.
    pub last_lines: Vec<String>,
    /// What it used that lwIP does not have, with how often: the call failed, as it does on a device. Behind a TAP device:
    /// what it sent that no link carries.
    pub unsupported: BTreeMap<String, u64>,
}

impl Program {
    /// One of which only the command is known.
    #[must_use]
    pub fn new(command: Vec<String>) -> Self {
        Self { command, ..Self::default() }
    }
}

/// Where one service of the device was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// What it speaks, as `http`, `framed`, `telemetry`.
    pub name: String,
    /// Over what.
    pub transport: Transport,
    /// Port number.
    pub port: u16,
}

/// What a service is carried by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Whether the packets were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CaptureStatus {
    /// Every packet.
    Complete,
    /// Every packet, but the file of `--pcap` lacks some of them.
    FileIncomplete,
    /// Some were missed: the kernel dropped them, or some sessions of a resumed run were not captured.
    Dropped,
    /// The system did not allow it.
    Denied,
    /// Nobody asked for it.
    Off,
}

impl CaptureStatus {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::FileIncomplete => "file_incomplete",
            Self::Dropped => "dropped",
            Self::Denied => "denied",
            Self::Off => "off",
        }
    }
}

/// The capture beside the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Capture {
    /// Whether the packets were looked at.
    pub status: CaptureStatus,
    /// Packets seen; null when nothing was captured.
    pub(crate) packets: Option<u64>,
    /// Packets missed; null when nothing was captured or the system does not tell.
    pub(crate) dropped: Option<u64>,
    /// Why it is not complete, and what would help; null when it is.
    pub reason: Option<String>,
}

impl Capture {
    /// A capture that saw `packets` and missed `dropped`.
    #[must_use]
    pub fn seen(packets: u64, dropped: u64) -> Self {
        let (status, reason) = match dropped {
            0 => (CaptureStatus::Complete, None),
            n => (
                CaptureStatus::Dropped,
                Some(format!("the kernel dropped {n} packets before they were read")),
            ),
        };
        Self { status, packets: Some(packets), dropped: Some(dropped), reason }
    }

    /// A capture that the system refused, and why.
    #[must_use]
    pub fn denied(reason: impl Into<String>) -> Self {
        let reason = Some(reason.into());
        Self { status: CaptureStatus::Denied, packets: None, dropped: None, reason }
    }

    /// No capture, and why not where there is a reason to tell.
    #[must_use]
    pub const fn off(reason: Option<String>) -> Self {
        Self { status: CaptureStatus::Off, packets: None, dropped: None, reason }
    }

    /// Notes that the packet file is not whole, and why.
    pub fn file_lacks(&mut self, why: &str) {
        if self.status == CaptureStatus::Complete {
            self.status = CaptureStatus::FileIncomplete;
        }
        let before = self.reason.take().map_or_else(String::new, |reason| format!("{reason}; "));
        self.reason = Some(format!("{before}the packet file is incomplete: {why}"));
    }

    /// Whether absence of an anomaly may be concluded from it: what is missing in a file was looked at all the same.
    #[must_use]
    pub fn saw_all(&self) -> bool {
        matches!(self.status, CaptureStatus::Complete | CaptureStatus::FileIncomplete)
    }
}

/// A rule that could not be judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NotJudgedRow {
    /// The anomaly that it looks for.
    pub id: AnomalyId,
    /// Why it could not be judged.
    pub reason: String,
    /// On how many connections.
    pub connections: u64,
}

impl From<&NotJudged> for NotJudgedRow {
    fn from(n: &NotJudged) -> Self {
        Self { id: n.id, reason: n.reason.clone(), connections: n.connections }
    }
}

/// One gate and how it was judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ThresholdRow {
    /// The expression as it was given.
    pub(crate) expr: String,
    /// The figure that it is about, in `unit`; null when it was not measured.
    pub(crate) value: Option<f64>,
    /// The unit of `value`.
    pub(crate) unit: Unit,
    /// Whether it holds.
    pub status: ThresholdStatus,
    /// Why it could not be judged, or what a pass leaves open; null otherwise.
    pub(crate) reason: Option<String>,
}

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A number of things.
    Count,
    /// A share, 0 to 1.
    Ratio,
    /// Microseconds.
    Us,
    /// Bytes.
    Bytes,
    /// Bytes per second.
    BytesPerS,
    /// Things per second.
    PerS,
    /// dBm.
    Dbm,
    /// Bytes per hour.
    BytesPerHour,
    /// Things, or dB, per hour.
    PerHour,
}

/// Whether a gate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ThresholdStatus {
    /// It holds.
    Pass,
    /// It is broken.
    Fail,
    /// It could not be judged.
    Inconclusive,
}

/// All gates of a run together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every gate holds, or there was none.
    Pass,
    /// A gate is broken.
    Fail,
    /// No gate is broken, and one could not be judged.
    Inconclusive,
}

impl Verdict {
    /// The verdict on gates that were judged.
    #[must_use]
    pub(crate) fn of(rows: &[ThresholdRow]) -> Self {
        let any = |status| rows.iter().any(|r| r.status == status);
        if any(ThresholdStatus::Fail) {
            Self::Fail
        } else if any(ThresholdStatus::Inconclusive) {
            Self::Inconclusive
        } else {
            Self::Pass
        }
    }

    /// The name in reports.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// What the gates of a run contribute to the exit status; the discriminant is the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum GateExit {
    /// Every gate holds.
    Held = 0,
    /// A gate is broken.
    Broken = 1,
    /// A gate could not be judged.
    Inconclusive = 4,
}

impl GateExit {
    /// The exit status.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(status: ThresholdStatus) -> ThresholdRow {
        ThresholdRow { expr: String::new(), value: None, unit: Unit::Count, status, reason: None }
    }

    #[test]
    fn a_broken_gate_outweighs_one_that_could_not_be_judged() {
        use ThresholdStatus::{Fail, Inconclusive, Pass};
        assert_eq!(Verdict::of(&[row(Pass), row(Inconclusive), row(Fail)]), Verdict::Fail);
        assert_eq!(Verdict::of(&[row(Pass), row(Inconclusive)]), Verdict::Inconclusive);
        assert_eq!(Verdict::of(&[row(Pass)]), Verdict::Pass);
        assert_eq!(Verdict::of(&[]), Verdict::Pass);
    }

    #[test]
    fn the_start_is_written_in_utc_with_milliseconds() {
        let r = Report::new(
            Target::new("127.0.0.1", TargetKind::Sim),
            serde_json::json!({}),
            1,
            1_700_000_000_123_000_000,
        );
        assert_eq!(r.started_at, "2023-11-14T22:13:20.123Z");
    }

    #[test]
    fn a_capture_that_missed_packets_is_not_complete() {
        assert!(Capture::seen(10, 0).saw_all());
        assert_eq!(Capture::seen(10, 1).status, CaptureStatus::Dropped);
    }
}
