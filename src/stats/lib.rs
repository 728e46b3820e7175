//! What is measured, in memory that does not grow with the run: histograms, counters and bounded series.
//!
//! Knows nothing of sockets, workloads or reports. Times are nanoseconds; `report` turns them into the units
//! of its field names.

mod episodes;
mod half_open_news;
mod latency;
mod mqtt_news;
mod outage;
mod probe;
mod probe_news;
mod raw;
mod recent;
mod recorder;
mod series;
pub mod significance;
mod tcp;
mod trend;

pub(crate) use episodes::Episodes;
pub use espstress_event::Reading;
pub use espstress_event::{
    LimitReached, OpenFailure, ReclaimEvidence, SilencedConnection, SocketsUsed, Spell, Stage,
};
pub use espstress_event::{MessageLedger, OutageOrigin, OutageRow};
pub(crate) use half_open_news::HalfOpenNews;
pub use latency::{Latency, LatencyPair, Phase};
pub use outage::{DialledDevice, MakeFailure, OutageStats, RecoveryRule};

pub use probe::{DeviceSeries, ProbeGap, ProbeKindStats, ProbeOutcome, ProbeStats};
pub use probe_news::ProbeNews;
pub use raw::{RawTally, Times};
pub use recorder::{Recorder, WorkloadStats};
pub use series::Row;
pub(crate) use series::Series;
pub use tcp::TcpTotals;
pub use trend::Trend;

/// What connections that fall silent did to the device, as it is measured.
pub type HalfOpenStats = espstress_event::HalfOpen<Latency>;

/// What MQTT clients did, as it is measured.
pub type MqttStats = espstress_event::Mqtt<Latency>;

/// How a well-behaved client fared, as it is measured.
pub type Availability = espstress_event::Availability<Latency>;
