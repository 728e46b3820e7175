//! A twin's link: its outages on the run's axis, and for the workload that wants some.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::plan::LinkSpell;
use espstress_clock::Clock;
use espstress_event::{LinkOutageCause, ResetReason, Restart};
use espstress_stats::DeviceSeries;
use espstress_targets::twin::link::OutageCause;
use espstress_targets::twin::{OutageRecord, Twin};
use espstress_workload::{Made, MakeError, Making, OutageMaker, Silencer, Stop};

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

impl Silencer for TwinLink {
    fn silence(&self, port: u16) -> Result<(), String> {
        self.0.silence(port).map_err(|error| error.to_string())
    }

    fn hear(&self, port: u16) {
        // A twin that has ended carries nothing any more.
        let _ = self.0.hear(port);
    }
}

/// What the twin's link says of its own outages, on the run's axis; those that were over before the run left out.
pub(super) fn outages(twin: &Twin, clock: Clock) -> Vec<LinkSpell> {
    let log = twin.outage_log();
    let spells = log.iter().map(|record| LinkSpell {
        cause: match record.cause {
            OutageCause::Planned => LinkOutageCause::Planned,
            OutageCause::Asked => LinkOutageCause::Asked,
        },
        start_ns: on_axis(record.start.monotonic_ns, clock),
        end_ns: record.end.map(|end| on_axis(end.monotonic_ns, clock)),
    });
    spells.filter(|spell| spell.end_ns.is_none_or(|end| end >= 0)).collect()
}

/// The ends of a process that somebody else wrote, which are the device's restarts: also the one after which no
/// telemetry was read.
pub(super) fn note_restarts(twin: &Twin, device: &mut DeviceSeries, clock: Clock) {
    let ends = twin.process_ends().unwrap_or_default();
    let not_kept = u64::from(twin.restarts()).saturating_sub(ends.len() as u64);
    // Those before the run are no part of it.
    let known: Vec<Restart> = ends
        .into_iter()
        .filter_map(|end| {
            let at_ns = u64::try_from(on_axis(end.at.monotonic_ns, clock)).ok()?;
            Some(Restart {
                noticed_ns: at_ns,
                started_ns: at_ns,
                reset_reason: Some(ResetReason::from(end.reason)),
                last_words: end.last_words,
                boot_count: Some(end.boot_count),
            })
        })
        .collect();
    if known.len() > device.restarts.len() {
        device.restart_count = device.restart_count.max(known.len() as u64 + not_kept);
        device.restarts = known;
    }
}

fn on_axis(monotonic_ns: u64, clock: Clock) -> i64 {
    let signed = |ns: u64| i64::try_from(ns).unwrap_or(i64::MAX);
    // Both are read anew each time: a run does not outlast either clock's resolution.
    let (now_ns, at) = (monotonic_now_ns(), clock.now_ns());
    signed(at).saturating_sub(signed(now_ns).saturating_sub(signed(monotonic_ns)))
}

fn monotonic_now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// The record's begin as an instant of this process: both count CLOCK_MONOTONIC.
fn begin(record: &OutageRecord) -> Instant {
    let now = Instant::now();
    let ago = Duration::from_nanos(monotonic_now_ns().saturating_sub(record.start.monotonic_ns));
    now.checked_sub(ago).unwrap_or(now)
}
