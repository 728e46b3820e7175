//! What is measured, in memory that does not grow with the run: histograms, counters and bounded series.
//!
//! Knows nothing of sockets, workloads or reports. Times are nanoseconds; `report` turns them into the units
//! of its field names.

mod episodes;
mod half_open_news;
mod latency;
mod outage;
mod probe;
mod probe_news;
mod raw;
mod recorder;
mod series;
pub mod significance;
mod tcp;
mod trend;

pub use episodes::Episodes;
pub use espstress_event::Episode;
pub use espstress_event::{
    Exhaustion, LimitReached, OpenFailure, ReclaimEvidence, SilencedConnection, SocketsUsed, Spell, Stage,
};
pub use espstress_event::{MessageLedger, OutageOrigin, OutageRow};
pub use espstress_event::{Reading, Restart, Silence};
pub use half_open_news::HalfOpenNews;
pub use latency::{LONGEST_NS, Latency, LatencyPair, Phase};
pub use outage::{
    ConnectionFates, DialledDevice, IdleSpells, MakeFailure, OutageRows, OutageStats, RecoveryRule,
};

pub use probe::{DeviceSeries, ProbeKindStats, ProbeOutcome, ProbeRow, ProbeSeries, ProbeStats};
pub use probe_news::ProbeNews;
pub use raw::{RawTally, Times};
pub use recorder::{Recorder, WorkloadStats};
pub use series::{Row, Series};
pub use tcp::TcpTotals;
pub use trend::{Step, Trend, TrendEstimate};

/// What connections that fall silent did to the device, as it is measured.
pub type HalfOpenStats = espstress_event::HalfOpen<Latency>;

/// How a well-behaved client fared, as it is measured.
pub type Availability = espstress_event::Availability<Latency>;
