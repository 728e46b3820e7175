//! The sections beside the workloads: probes, and what the device said of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::LatencyFigures;

/// How a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProbeKind {
    /// ICMP echo.
    Icmp,
    /// TCP connect, closed at once.
    TcpConnect,
    /// A telemetry datagram.
    Telemetry,
}

impl ProbeKind {
    /// Every kind, in the order of reports.
    pub(crate) const ALL: [Self; 3] = [Self::Icmp, Self::TcpConnect, Self::Telemetry];

    /// The name in reports and threshold expressions.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Icmp => "icmp",
            Self::TcpConnect => "tcp_connect",
            Self::Telemetry => "telemetry",
        }
    }
}

/// One kind of probe, over the whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ProbeRow {
    /// How it asked.
    pub kind: ProbeKind,
    /// Questions sent.
    pub sent: u64,
    /// Questions without an answer in time.
    pub lost: u64,
    /// Longest spell without an answer, seconds; null when every question was answered.
    pub longest_gap_s: Option<f64>,
    /// Latency of the answers.
    pub latency: LatencyFigures,
    /// Why this is not complete, as after a power cut; null when the run came to its end.
    #[serde(default)]
    pub incomplete: Option<String>,
}

impl ProbeRow {
    /// Share of the questions that were lost, 0 to 1; `None` when none was sent.
    #[must_use]
    pub(crate) fn loss_ratio(&self) -> Option<f64> {
        (self.sent > 0).then(|| self.lost as f64 / self.sent as f64)
    }
}

/// What the device can read of itself, by the name that carries the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// Heap free, bytes.
    HeapFreeBytes,
    /// Least heap that was ever free, bytes.
    HeapMinFreeBytes,
    /// Largest block that could be allocated, bytes.
    HeapLargestBlockBytes,
    /// Memory of a program of the user's own, apart from the stack's heap, bytes.
    ProgramMemoryBytes,
    /// Signal strength, dBm.
    WifiRssiDbm,
    /// Disconnections from the access point.
    WifiDisconnects,
    /// Sockets in use.
    SocketsUsed,
    /// TCP control blocks in TIME_WAIT.
    TcpTimeWait,
    /// TCP connections established.
    TcpEstablished,
    /// TCP connections that the peer has closed and the device's program has not.
    TcpCloseWait,
    /// TCP connections that the device has closed and that are not over.
    TcpFinWait,
}

impl Reading {
    /// Every reading, in the order of reports.
    pub(crate) const ALL: [Self; 11] = [
        Self::HeapFreeBytes,
        Self::HeapMinFreeBytes,
        Self::HeapLargestBlockBytes,
        Self::ProgramMemoryBytes,
        Self::WifiRssiDbm,
        Self::WifiDisconnects,
        Self::SocketsUsed,
        Self::TcpTimeWait,
        Self::TcpEstablished,
        Self::TcpCloseWait,
        Self::TcpFinWait,
    ];

    /// The name in threshold expressions: the report's without its unit.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::HeapFreeBytes => "heap_free",
            Self::HeapMinFreeBytes => "heap_min_free",
            Self::HeapLargestBlockBytes => "heap_largest_block",
            Self::ProgramMemoryBytes => "program_memory",
            Self::WifiRssiDbm => "wifi_rssi",
            Self::WifiDisconnects => "wifi_disconnects",
            Self::SocketsUsed => "sockets_used",
            Self::TcpTimeWait => "tcp_time_wait",
            Self::TcpEstablished => "tcp_established",
            Self::TcpCloseWait => "tcp_close_wait",
            Self::TcpFinWait => "tcp_fin_wait",
        }
    }

    /// The name in reports, which carries the unit.
    #[must_use]
    pub(crate) const fn field(self) -> &'static str {
        match self {
            Self::HeapFreeBytes => "heap_free_bytes",
            Self::HeapMinFreeBytes => "heap_min_free_bytes",
            Self::HeapLargestBlockBytes => "heap_largest_block_bytes",
            Self::ProgramMemoryBytes => "program_memory_bytes",
            Self::WifiRssiDbm => "wifi_rssi_dbm",
            Self::WifiDisconnects => "wifi_disconnects",
            Self::SocketsUsed => "sockets_used",
            Self::TcpTimeWait => "tcp_time_wait",
            Self::TcpEstablished => "tcp_established",
            Self::TcpCloseWait => "tcp_close_wait",
            Self::TcpFinWait => "tcp_fin_wait",
        }
    }

    /// The name on the page, at most eleven characters.
    pub(crate) const fn short(self) -> &'static str {
        match self {
            Self::HeapFreeBytes => "heap free",
            Self::HeapMinFreeBytes => "heap least",
            Self::HeapLargestBlockBytes => "heap block",
            Self::ProgramMemoryBytes => "own memory",
            Self::WifiRssiDbm => "signal",
            Self::WifiDisconnects => "Wi-Fi left",
            Self::SocketsUsed => "sockets",
            Self::TcpTimeWait => "TIME_WAIT",
            Self::TcpEstablished => "established",
            Self::TcpCloseWait => "CLOSE_WAIT",
            Self::TcpFinWait => "FIN_WAIT",
        }
    }
}

impl From<espstress_event::Reading> for Reading {
    fn from(of: espstress_event::Reading) -> Self {
        match of {
            espstress_event::Reading::HeapFree => Self::HeapFreeBytes,
            espstress_event::Reading::HeapMinFree => Self::HeapMinFreeBytes,
            espstress_event::Reading::HeapLargestBlock => Self::HeapLargestBlockBytes,
            espstress_event::Reading::ProgramMemory => Self::ProgramMemoryBytes,
            espstress_event::Reading::SocketsUsed => Self::SocketsUsed,
            espstress_event::Reading::Rssi => Self::WifiRssiDbm,
            espstress_event::Reading::Disconnects => Self::WifiDisconnects,
            espstress_event::Reading::TimeWait => Self::TcpTimeWait,
            espstress_event::Reading::Established => Self::TcpEstablished,
            espstress_event::Reading::CloseWait => Self::TcpCloseWait,
            espstress_event::Reading::FinWait => Self::TcpFinWait,
        }
    }
}

/// How one reading went over the run, in the unit that its name carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ReadingSummary {
    /// First reading.
    pub first: f64,
    /// Last reading.
    pub last: f64,
    /// Least.
    pub min: f64,
    /// Greatest.
    pub max: f64,
    /// Mean; null where it was not computed.
    pub(crate) mean: Option<f64>,
    /// Trend, the reading's unit per hour; null with too few readings to tell one.
    pub(crate) slope_per_hour: Option<f64>,
    /// Lower end of the trend's 95 % confidence interval, the reading's unit per hour.
    pub(crate) slope_low_per_hour: Option<f64>,
    /// Upper end of the trend's 95 % confidence interval, the reading's unit per hour.
    pub(crate) slope_high_per_hour: Option<f64>,
}

impl From<espstress_event::ReadingProgress> for ReadingSummary {
    fn from(of: espstress_event::ReadingProgress) -> Self {
        const HOUR: f64 = 3_600.0;
        Self {
            first: of.first,
            last: of.last,
            min: of.min,
            max: of.max,
            mean: of.mean,
            slope_per_hour: of.slope.map(|slope| slope.per_second * HOUR),
            slope_low_per_hour: of.slope.map(|slope| slope.low_per_second * HOUR),
            slope_high_per_hour: of.slope.map(|slope| slope.high_per_second * HOUR),
        }
    }
}

/// One row of the telemetry series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TelemetryRow {
    /// When, seconds since the start of the run.
    pub at_s: f64,
    /// The readings that the device could make.
    pub readings: BTreeMap<Reading, f64>,
}

impl From<&espstress_event::DeviceSample> for TelemetryRow {
    fn from(of: &espstress_event::DeviceSample) -> Self {
        let readings = espstress_event::Reading::ALL.into_iter();
        Self {
            at_s: of.at_ns as f64 / 1e9,
            readings: readings.filter_map(|one| Some((one.into(), one.of(&of.telemetry)?))).collect(),
        }
    }
}

/// What the device said of itself during the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TelemetrySummary {
    /// Readings received.
    pub samples: u64,
    /// Readings asked for and not received.
    pub lost: u64,
    /// Restarts seen; null where the device does not tell its uptime.
    pub reboots: Option<u64>,
    /// Why it restarted, in the order seen, by ESP-IDF's names without the prefix.
    pub reset_reasons: Vec<String>,
    /// Last reason for which the device left its access point, by ESP-IDF's name; null where it has none.
    pub wifi_last_reason: Option<String>,
    /// Heap in all, bytes.
    pub heap_total_bytes: Option<u64>,
    /// Sockets that the device has.
    pub sockets_limit: Option<u64>,
    /// Summary by reading; a reading that the device cannot make is not here.
    pub summary: BTreeMap<Reading, ReadingSummary>,
    /// The readings themselves, thinned to fewer than 2,000 rows.
    pub series: Vec<TelemetryRow>,
    /// Why this is not complete, as after a power cut; null when the run came to its end.
    #[serde(default)]
    pub incomplete: Option<String>,
}
