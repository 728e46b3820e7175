//! The twin's clock: nanoseconds of `CLOCK_MONOTONIC`, which goes on over a restart.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use crate::protocol::Moment;

/// Now.
pub(crate) fn now_ns() -> u64 {
    // Linux has had this clock for ever; without it, time would stand still rather than jump.
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |time| u64::try_from(Duration::from(time).as_nanos()).unwrap_or(0))
}

/// A monotonic time with its wall time.
pub(crate) fn moment(at_ns: u64) -> Moment {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let unix_now = i64::try_from(unix.as_nanos()).unwrap_or(i64::MAX);
    let ago = i64::try_from(now_ns().saturating_sub(at_ns)).unwrap_or(0);
    Moment { monotonic_ns: at_ns, unix_ns: unix_now.saturating_sub(ago) }
}
