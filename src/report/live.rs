//! A run while it goes on, made of its events: the figures that a report will have, as far as they are known.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::format::metrics::{Family, Kind};
use crate::format::prometheus::{base_name, summary};
use crate::human::{count, things, time_us};
use crate::{LatencyFigures, ProbeKind, Reading};
use espstress_event::{
    AnomalyId, Event, EventSink, Expected, Failure, OutageRow, PhaseProgress, ProbeProgress, Probed,
    Telemetry,
};
use espstress_stats::{Latency, Phase};

/// Failures, remarks and the like that are kept one by one.
const KEPT: usize = 64;

/// Seconds of each workload's recent past.
const RECENT: usize = 120;

/// What a run has come to.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// What is run, and on what.
    pub scenario: String,
    /// The device in words.
    pub target: String,
    /// The seed of everything random.
    pub seed: u64,
    /// How far the run is, nanoseconds since its start; that of the last event that has a time.
    pub at_ns: u64,
    /// The phases whose latencies the workloads tell, by the workload's name.
    main: BTreeMap<String, Phase>,
    /// Workloads that have begun, in that order.
    pub workloads: Vec<LiveWorkload>,
    /// Anomalies of the device that were told one by one.
    pub anomalies: BTreeMap<(AnomalyId, Option<String>), u64>,
    /// Whether there were more.
    pub anomalies_cut: bool,
    /// The last failures, the newest at the end.
    pub failures: VecDeque<LiveFailure>,
    /// The last outages.
    pub outages: VecDeque<(String, OutageRow)>,
    /// Outages in all.
    pub outage_count: u64,
    /// The last remarks.
    pub notices: VecDeque<String>,
    /// The last lines of the device's console; empty where nobody reads one.
    pub console: VecDeque<String>,
    /// What probes and telemetry have come to.
    pub probed: Option<Arc<Probed>>,
    /// The newest that the device said of itself.
    pub device: Option<Arc<Telemetry>>,
    /// The last close is past.
    pub watching: bool,
}

/// A workload that goes on or has ended.
#[derive(Clone, Debug)]
pub struct LiveWorkload {
    /// Its name.
    pub name: String,
    /// When it began, nanoseconds since the start of the run.
    pub began_ns: u64,
    /// When it ended.
    pub ended_ns: Option<u64>,
    /// How much it will do.
    pub expected: Expected,
    /// Totals since its start.
    pub progress: PhaseProgress,
    /// When those were told, nanoseconds since the start of the run.
    pub told_ns: u64,
    /// All latencies of its main phase.
    pub latency: Latency,
    /// Attempts a second in its last intervals, the newest at the end.
    pub rates: VecDeque<f64>,
}

/// Failures of one name in one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveFailure {
    /// When the interval ended, nanoseconds since the start of the run.
    pub at_ns: u64,
    /// Whose.
    pub workload: String,
    /// Which.
    pub failure: Failure,
    /// How many.
    pub count: u64,
}

fn keep<T>(list: &mut VecDeque<T>, new: T, most: usize) {
    if list.len() >= most {
        list.pop_front();
    }
    list.push_back(new);
}

/// What a workload came to in all, with the figures of the page.
#[must_use]
pub fn in_all(progress: &PhaseProgress, latency: &Latency) -> String {
    let mut words = things(progress.attempts, "attempt");
    let failed = progress.attempts.saturating_sub(progress.succeeded);
    if failed > 0 {
        let named = progress.failures.iter().filter(|(_, n)| *n > 0);
        let names: Vec<String> = named.map(|(f, n)| format!("{} {}", f.name(), count(n))).collect();
        words.push_str(&format!(", {} failed ({})", count(failed), names.join(", ")));
    }
    if let Some(p99) = LatencyFigures::from_latency(latency).p99_us {
        words.push_str(&format!(", p99 {}", time_us(p99)));
    }
    words
}

impl LiveWorkload {
    /// Attempts a second over its whole time; `None` before its first interval.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        let ns = self.told_ns.saturating_sub(self.began_ns);
        (ns > 0).then(|| self.progress.attempts as f64 * 1e9 / ns as f64)
    }

    /// Its latencies so far.
    #[must_use]
    pub fn figures(&self) -> LatencyFigures {
        LatencyFigures::from_latency(&self.latency)
    }
}

impl Live {
    /// A run of workloads with these names, of each the phase whose latency it tells.
    #[must_use]
    pub fn new(main: impl IntoIterator<Item = (String, Phase)>) -> Self {
        Self { main: main.into_iter().collect(), ..Self::default() }
    }

    fn progress(&mut self, name: &str, at_ns: u64, progress: &PhaseProgress) {
        self.at_ns = self.at_ns.max(at_ns);
        let Some(w) = self.workloads.iter_mut().rfind(|w| w.name == name) else { return };
        progress.latencies.iter().for_each(|(ns, count)| w.latency.record_n(*ns, *count));
        let length = at_ns.saturating_sub(w.told_ns);
        let attempts = progress.attempts.saturating_sub(w.progress.attempts);
        if length > 0 {
            keep(&mut w.rates, attempts as f64 * 1e9 / length as f64, RECENT);
        }
        for (failure, n) in progress.failures.iter() {
            let new = n.saturating_sub(w.progress.failures.get(failure));
            if new > 0 {
                let row = LiveFailure { at_ns, workload: name.to_owned(), failure, count: new };
                keep(&mut self.failures, row, KEPT);
            }
        }
        w.told_ns = at_ns;
        w.progress = progress.clone();
    }

    /// What a workload came to in all, with the figures of the page: `head: 20 attempts, p99 1.20 ms`.
    #[must_use]
    pub fn last_line(&self, workload: &str) -> Option<String> {
        let w = self.workloads.iter().rfind(|w| w.name == workload)?;
        Some(format!("{workload}: {}", in_all(&w.progress, &w.latency)))
    }

    /// What is known as metrics in OpenMetrics' text format, with the names of the report's where they have the same kind.
    #[must_use]
    pub fn open_metrics(&self) -> String {
        let mut out = String::new();
        for family in self.run().into_iter().chain(self.of_workloads()).chain(self.beside()) {
            family.write_open(&mut out);
        }
        out.push_str("# EOF\n");
        out
    }

    fn run(&self) -> Vec<Family> {
        let seed = self.seed.to_string();
        let labels = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("scenario", &self.scenario),
            ("target", &self.target),
            ("seed", &seed),
        ];
        vec![
            Family::new("espstress_run", Kind::Info, "What is run.").with(&labels, Some(1.0)),
            Family::gauge("espstress_run_elapsed_seconds", "How far the run is.")
                .with(&[], Some(self.at_ns as f64 / 1e9)),
        ]
    }

    fn of_workloads(&self) -> Vec<Family> {
        let mut running = Family::gauge("espstress_running", "1 while a workload runs.");
        let mut attempts = Family::new("espstress_attempts", Kind::Counter, "Attempts ended.");
        let mut succeeded =
            Family::new("espstress_succeeded", Kind::Counter, "Successes among the attempts.");
        let mut failures = Family::new(
            "espstress_failures",
            Kind::Counter,
            "Failures by name; host_ ones are the host's own.",
        );
        let mut sent = Family::new("espstress_sent_bytes", Kind::Counter, "Application bytes sent.");
        let mut received =
            Family::new("espstress_received_bytes", Kind::Counter, "Application bytes received.");
        let mut open = Family::gauge("espstress_open_connections", "Connections open now.");
        let mut latency = Family::new(
            "espstress_latency_seconds",
            Kind::Summary,
            "Latency of the main phase; in an open loop from the intended start.",
        );
        for w in &self.workloads {
            let own = ("workload", w.name.as_str());
            running.add("", &[own], if w.ended_ns.is_none() { 1.0 } else { 0.0 });
            let p = &w.progress;
            let counters = [
                (&mut attempts, p.attempts),
                (&mut succeeded, p.succeeded),
                (&mut sent, p.bytes_sent),
                (&mut received, p.bytes_received),
            ];
            for (family, n) in counters {
                family.add("_total", &[own], n as f64);
            }
            for (failure, n) in p.failures.iter() {
                failures.add("_total", &[own, ("failure", failure.name())], n as f64);
            }
            open.add("", &[own], f64::from(p.open));
            if let Some(phase) = self.main.get(&w.name) {
                summary(&mut latency, &[own, ("phase", phase.name())], &w.figures());
            }
        }
        let mut anomalies = Family::new(
            "espstress_anomalies",
            Kind::Counter,
            "Anomalies of the device, the first thousand of the run; their absence means nothing without a capture.",
        );
        for ((id, workload), n) in &self.anomalies {
            let owner = workload.as_deref().unwrap_or("");
            let labels = [("id", id.name()), ("class", "device"), ("workload", owner)];
            anomalies.add("_total", &labels, *n as f64);
        }
        let outages = Family::new("espstress_outages", Kind::Counter, "Outages that have ended.")
            .with_total(self.outage_count as f64);
        vec![running, attempts, succeeded, failures, sent, received, open, latency, anomalies, outages]
    }

    fn beside(&self) -> Vec<Family> {
        let Some(probed) = &self.probed else { return Vec::new() };
        let mut sent = Family::new("espstress_probes_sent", Kind::Counter, "Probes whose fate is known.");
        let mut lost = Family::new("espstress_probes_lost", Kind::Counter, "Probes without an answer.");
        let kinds: [(ProbeKind, &Option<ProbeProgress>); 3] = [
            (ProbeKind::Icmp, &probed.icmp),
            (ProbeKind::TcpConnect, &probed.tcp),
            (ProbeKind::Telemetry, &probed.telemetry),
        ];
        for (kind, progress) in kinds {
            let Some(progress) = progress else { continue };
            let own = [("kind", kind.name())];
            sent.add("_total", &own, progress.sent as f64);
            lost.add("_total", &own, progress.sent.saturating_sub(progress.answered) as f64);
        }
        let mut all = vec![sent, lost];
        let Some(device) = &probed.device else { return all };
        all.push(
            Family::new("espstress_telemetry_samples", Kind::Counter, "Telemetry readings received.")
                .with_total(device.samples as f64),
        );
        let tells = &device.newest.telemetry;
        if tells.uptime_ms.is_some() || tells.boot_count.is_some() {
            all.push(
                Family::new(
                    "espstress_device_reboots",
                    Kind::Counter,
                    "Restarts of the device during the run.",
                )
                .with_total(device.restart_count as f64),
            );
        }
        for (reading, of) in &device.readings {
            let mut family = Family::gauge(
                base_name(Reading::from(*reading)),
                "What the device reports about itself: the first and last value, and the range.",
            );
            let stats = [("first", of.first), ("last", of.last), ("min", of.min), ("max", of.max)];
            for (stat, value) in stats.into_iter().chain(of.mean.map(|mean| ("mean", mean))) {
                family.add("", &[("stat", stat)], value);
            }
            all.push(family);
        }
        all
    }
}

impl EventSink for Live {
    fn event(&mut self, event: &Event) {
        match event {
            Event::RunStarted { scenario, target, seed, .. } => {
                self.scenario.clone_from(scenario);
                self.target.clone_from(target);
                self.seed = *seed;
            }
            Event::Notice { text } => keep(&mut self.notices, text.clone(), KEPT),
            Event::PhaseStarted { workload, at_ns, expected } => {
                self.at_ns = self.at_ns.max(*at_ns);
                self.workloads.push(LiveWorkload {
                    name: workload.clone(),
                    began_ns: *at_ns,
                    ended_ns: None,
                    expected: *expected,
                    progress: PhaseProgress::default(),
                    told_ns: *at_ns,
                    latency: Latency::default(),
                    rates: VecDeque::new(),
                });
            }
            Event::Interval { workload, at_ns, progress } => self.progress(workload, *at_ns, progress),
            Event::PhaseEnded { workload, at_ns, progress } => {
                self.progress(workload, *at_ns, progress);
                if let Some(w) = self.workloads.iter_mut().rfind(|w| w.name == *workload) {
                    w.ended_ns = Some(*at_ns);
                }
            }
            Event::Anomaly { workload, occurrence } => {
                *self.anomalies.entry((occurrence.id, workload.clone())).or_default() += 1;
            }
            Event::AnomaliesCut { .. } => self.anomalies_cut = true,
            Event::Outage { workload, outage } => {
                self.outage_count += 1;
                keep(&mut self.outages, (workload.clone(), *outage), KEPT);
            }
            Event::Probed { at_ns, probed } => {
                self.at_ns = self.at_ns.max(*at_ns);
                self.probed = Some(Arc::clone(probed));
            }
            Event::ConsoleLines { lines } => self.console = lines.iter().cloned().collect(),
            Event::Device { at_ns, telemetry } => {
                self.at_ns = self.at_ns.max(*at_ns);
                self.device = Some(Arc::clone(telemetry));
            }
            Event::Watching { .. } => self.watching = true,
            _ => {}
        }
    }
}
