//! What the probes beside the workloads have come to, as it is told while a run goes on.

use super::{DeviceSample, Reading, Recorded, ResetReason};

/// Probes as large as the first hop carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FullSize {
    /// Bytes of a packet, IP header included.
    pub bytes: u32,
    /// Those whose fate is known.
    pub sent: u64,
    /// Those answered in time.
    pub answered: u64,
    /// The largest packet that the path carries, bytes, where something on it reported a smaller one (RFC 1191).
    pub reported: Option<u32>,
}

/// A spell in which every probe of a kind was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    /// When the first lost one was sent, nanoseconds since the start of the run.
    pub from_ns: u64,
    /// When the next one was answered; `None` when none was yet.
    pub to_ns: Option<u64>,
    /// Probes lost in it.
    pub lost: u64,
}

/// A restart of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    /// When it was noticed, nanoseconds since the start of the run.
    pub noticed_ns: u64,
    /// When the device started by its own uptime, nanoseconds since the start of the run; 0 for one that was
    /// before it.
    pub started_ns: u64,
    /// Why; `None` where the device does not tell.
    pub reset_reason: Option<ResetReason>,
    /// How its program ended, in its own words, where somebody kept them.
    pub last_words: Option<String>,
    /// The device's count of starts, this one included.
    pub boot_count: Option<u32>,
}

/// What the probes of a run have come to: everything since its start, in memory that does not grow with it.
#[derive(Clone, Debug, Default)]
pub struct Probed {
    /// ICMP echo; `None` while nothing of it is known.
    pub icmp: Option<ProbeProgress>,
    /// TCP connect and orderly close.
    pub tcp: Option<ProbeProgress>,
    /// Telemetry, as a request and an answer.
    pub telemetry: Option<ProbeProgress>,
    /// What the device said of itself; `None` while it has said nothing.
    pub device: Option<DeviceProgress>,
}

/// One kind of probe.
#[derive(Clone, Debug)]
pub struct ProbeProgress {
    /// Probes sent whose fate is known.
    pub sent: u64,
    /// Those answered in time.
    pub answered: u64,
    /// The longest time between two answers that lost probes lie between, nanoseconds; `None` when none was lost.
    pub longest_gap_ns: Option<u64>,
    /// Spells in which two or more in a row were lost, as far as they are kept; the last one may be going on.
    pub silences: Vec<Silence>,
    /// From sending to the answer.
    pub latencies: Recorded,
}

/// What the device said of itself.
#[derive(Clone, Debug)]
pub struct DeviceProgress {
    /// Answers taken.
    pub samples: u64,
    /// The last of them, without its options and its services' counters.
    pub newest: DeviceSample,
    /// All restarts that were noticed.
    pub restart_count: u64,
    /// Restarts, as far as they are kept.
    pub restarts: Vec<Restart>,
    /// Disconnections from the access point during the run; `None` where the device does not tell.
    pub disconnects: Option<u64>,
    /// How each number went; one that the device does not have is not here.
    pub readings: Vec<(Reading, ReadingProgress)>,
}

/// How one number went, in its own unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReadingProgress {
    /// First value.
    pub first: f64,
    /// Last value.
    pub last: f64,
    /// Least value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
    /// Mean of all values.
    pub mean: Option<f64>,
    /// Change a second; `None` while there is too little to tell one.
    pub slope: Option<SlopeProgress>,
}

/// A change a second, and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlopeProgress {
    /// Best estimate.
    pub per_second: f64,
    /// Lower end of its 95 % confidence interval.
    pub low_per_second: f64,
    /// Upper end of it.
    pub high_per_second: f64,
}
