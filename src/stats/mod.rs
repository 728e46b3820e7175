//! What is measured, in memory that does not grow with the run: histograms, counters and bounded series.
//!
//! Knows nothing of sockets, workloads or reports. Times are nanoseconds; `report` turns them into the units
//! of its field names.

mod latency;
mod recorder;
mod series;
pub mod significance;
mod tcp;

pub use latency::{LONGEST_NS, Latency, LatencyPair, Phase};
pub use recorder::{Recorder, WorkloadStats};
pub use series::{Row, Series};
pub use tcp::TcpTotals;
