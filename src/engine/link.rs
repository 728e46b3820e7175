//! Outages of a twin's link, for the workload that wants them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::target::twin::{OutageRecord, Twin};
use crate::workload::{Made, MakeError, Making, OutageMaker, Stop};

/// How long the twin may take to say that an outage has begun.
const PATIENCE: Duration = Duration::from_secs(2);

/// The link of a twin.
#[derive(Debug)]
pub(super) struct TwinLink(pub(super) Arc<Twin>);

impl OutageMaker for TwinLink {
    fn name(&self) -> &'static str {
        "link"
    }

    fn make(&self, length: Duration, mut stop: Stop) -> Making<'_> {
        Box::pin(async move {
            let before = self.0.outage_log().total();
            self.0.outage(length).map_err(|error| MakeError::Other(error.to_string()))?;
            let asked = Instant::now();
            let record = loop {
                let log = self.0.outage_log();
                let newest = log.iter().last().copied().filter(|_| log.total() > before);
                match newest {
                    Some(record) => break record,
                    None if asked.elapsed() > PATIENCE => {
                        return Err(MakeError::Other("the twin's link did not go down".into()));
                    }
                    None => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            };
            let start = begin(&record);
            tokio::select! {
                () = stop.stopped() => {}
                () = tokio::time::sleep_until((start + length).into()) => {}
            }
            Ok(Made { start, end: start + length })
        })
    }
}

/// The record's begin as an instant of this process: both count CLOCK_MONOTONIC.
fn begin(record: &OutageRecord) -> Instant {
    let now = Instant::now();
    let now_ns = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let now_ns = u64::try_from(now_ns.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(now_ns.tv_nsec).unwrap_or(0);
    let ago = Duration::from_nanos(now_ns.saturating_sub(record.start.monotonic_ns));
    now.checked_sub(ago).unwrap_or(now)
}
