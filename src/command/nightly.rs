//! A soak's summary: a remark for every 24 hours of a run, on the display and in the log.

use std::collections::BTreeMap;

use espstress_event::{Event, EventSink, PhaseProgress};
use espstress_report::{LatencyFigures, Unit, human_figure, things};
use espstress_stats::Latency;

/// Time between two summaries, nanoseconds.
const EVERY_NS: u64 = 24 * 3_600 * 1_000_000_000;

/// Passes events on, and remarks what each 24 hours came to.
pub(super) struct Nightly<'a> {
    inner: &'a mut dyn EventSink,
    told: u64,
    workloads: BTreeMap<String, Since>,
    outages: u64,
    restarts: (u64, u64),
    heap: Option<f64>,
}

/// What a workload did since the last summary.
#[derive(Default)]
struct Since {
    before: PhaseProgress,
    now: PhaseProgress,
    latency: Latency,
}

impl<'a> Nightly<'a> {
    pub(super) fn new(inner: &'a mut dyn EventSink) -> Self {
        let (workloads, outages, restarts, heap) = Default::default();
        Self { inner, told: 0, workloads, outages, restarts, heap }
    }

    fn progress(&mut self, workload: &str, progress: &PhaseProgress) {
        let since = self.workloads.entry(workload.to_owned()).or_default();
        progress.latencies.iter().for_each(|(ns, count)| since.latency.record_n(*ns, *count));
        since.now = progress.clone();
    }

    /// The summary, if it is time at `at_ns`.
    fn due(&mut self, at_ns: u64) -> Option<String> {
        let nth = at_ns / EVERY_NS;
        if nth <= self.told {
            return None;
        }
        self.told = nth;
        let mut parts = Vec::new();
        for (name, since) in &mut self.workloads {
            let attempts = since.now.attempts.saturating_sub(since.before.attempts);
            let succeeded = since.now.succeeded.saturating_sub(since.before.succeeded);
            let mut part = format!("{name} {}", things(attempts, "attempt"));
            let names: Vec<String> = since
                .now
                .failures
                .iter()
                .map(|(failure, n)| (failure, n.saturating_sub(since.before.failures.get(failure))))
                .filter(|(_, n)| *n > 0)
                .map(|(failure, n)| format!("{} {}", failure.name(), human_figure(n as f64, Unit::Count)))
                .collect();
            let failed = attempts.saturating_sub(succeeded);
            if failed > 0 {
                let failed = human_figure(failed as f64, Unit::Count);
                part.push_str(&format!(", {failed} failed ({})", names.join(", ")));
            }
            if let Some(p99) = LatencyFigures::from_latency(&since.latency).p99_us {
                part.push_str(&format!(", p99 {}", human_figure(p99, Unit::Us)));
            }
            parts.push(part);
            since.before = since.now.clone();
            since.latency.clear();
        }
        if self.outages > 0 {
            parts.push(things(self.outages, "outage"));
        }
        let restarts = self.restarts.1.saturating_sub(self.restarts.0);
        if restarts > 0 {
            parts.push(things(restarts, "restart"));
        }
        parts.extend(self.heap.map(|bytes| format!("heap free {}", human_figure(bytes, Unit::Bytes))));
        self.outages = 0;
        self.restarts.0 = self.restarts.1;
        Some(format!("summary of the 24 hours to hour {}: {}", nth * 24, parts.join("; ")))
    }
}

impl EventSink for Nightly<'_> {
    fn event(&mut self, event: &Event) {
        self.inner.event(event);
        let at_ns = match event {
            Event::Interval { workload, at_ns, progress }
            | Event::PhaseEnded { workload, at_ns, progress } => {
                self.progress(workload, progress);
                *at_ns
            }
            Event::Outage { .. } => {
                self.outages += 1;
                return;
            }
            Event::Probed { at_ns, probed } => {
                if let Some(device) = &probed.device {
                    self.restarts.1 = device.restart_count;
                    self.heap = device.newest.telemetry.heap_free_bytes.map(|bytes| bytes as f64);
                }
                *at_ns
            }
            _ => return,
        };
        if let Some(text) = self.due(at_ns) {
            self.inner.event(&Event::Notice { text });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use espstress_event::Failure;

    const HOUR_NS: u64 = 3_600 * 1_000_000_000;

    #[test]
    fn each_24_hours_have_one_summary_of_their_own() {
        let mut told = Vec::new();
        let mut sink = |event: &Event| {
            if let Event::Notice { text } = event {
                told.push(text.clone());
            }
        };
        let mut nightly = Nightly::new(&mut sink);
        let mut progress = PhaseProgress::default();
        for hour in 1..=49 {
            progress.attempts += 100;
            progress.succeeded += if hour > 24 { 100 } else { 99 };
            progress.failures.add(Failure::ReadTimeout, u64::from(hour <= 24));
            nightly.event(&Event::Interval {
                workload: "paced".into(),
                at_ns: hour * HOUR_NS,
                progress: progress.clone(),
            });
        }
        assert_eq!(
            told,
            [
                "summary of the 24 hours to hour 24: paced 2,400 attempts, 24 failed (read_timeout 24)",
                "summary of the 24 hours to hour 48: paced 2,400 attempts",
            ]
        );
    }
}
