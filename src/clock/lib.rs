//! The one place that reads clocks. Monotonic for every latency; wall time only to name the moment a run
//! started and to place kernel capture times on the run's own axis.

mod timer;
mod units;

pub use timer::Timer;
pub use units::{Rate, Size, Span, Throughput, UnitError};

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The run's time axis: nanoseconds since its start, with the wall time of that start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    start_unix_ns: i64,
}

impl Clock {
    /// Starts the axis now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now(), start_unix_ns: unix_ns() }
    }

    /// Nanoseconds since the start of the run, monotonic.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        nanos(self.start.elapsed())
    }

    /// Places a monotonic instant on the axis; instants before the start are 0.
    #[must_use]
    pub fn at_ns(&self, instant: Instant) -> u64 {
        nanos(instant.saturating_duration_since(self.start))
    }

    /// Wall time of the start, nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn start_unix_ns(&self) -> i64 {
        self.start_unix_ns
    }
}

/// Wall time, nanoseconds since the Unix epoch, as captures have it.
#[must_use]
pub fn unix_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// A waking that is later than this is a stall of this machine: far above what a scheduler's time slices do to a
/// machine in use.
pub const STALL: Duration = Duration::from_millis(50);

/// A duration in whole nanoseconds, saturating after 584 years.
#[must_use]
pub fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}
