//! What the view shows, in words: taken from the figures at once, so that drawing needs them no longer.

use std::time::Duration;

use espstress_event::{Expected, Reading};
use espstress_report::{Live, LiveWorkload, Unit, human_figure, things};

/// Seconds of rates that are drawn.
const RATES: usize = 60;

/// Everything on the screen.
#[derive(Clone, Debug, Default)]
pub(super) struct Screen {
    /// What runs, and for how long.
    pub(super) head: String,
    pub(super) workloads: Vec<Row>,
    /// What the device says of itself, and how it answers probes.
    pub(super) device: Vec<String>,
    /// Failures, the newest first.
    pub(super) failures: Vec<String>,
    /// Outages and anomalies, the newest first.
    pub(super) events: Vec<String>,
    /// The last lines of the device's console, or remarks where there are none.
    pub(super) last: Last,
    /// Attempts a second of all workloads.
    pub(super) rates: Vec<u64>,
}

/// The lines at the bottom.
#[derive(Clone, Debug)]
pub(super) enum Last {
    Console(Vec<String>),
    Remarks(Vec<String>),
}

impl Default for Last {
    fn default() -> Self {
        Self::Remarks(Vec::new())
    }
}

/// A workload.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) done: String,
    pub(super) attempts: String,
    pub(super) rate: String,
    pub(super) failed: String,
    pub(super) is_failing: bool,
    pub(super) p50_now: String,
    pub(super) p99_now: String,
    pub(super) p50: String,
    pub(super) p99: String,
    pub(super) open: String,
}

impl Screen {
    pub(super) fn of(live: &Live, elapsed: Duration) -> Self {
        let state = if live.watching { ", watching for late packets" } else { "" };
        let head = format!("{} against {}, {}{state}", live.scenario, live.target, clock(elapsed.as_secs()));
        let mut rates = vec![0.0; RATES];
        for w in live.workloads.iter().filter(|w| w.ended_ns.is_none()) {
            for (sum, rate) in rates.iter_mut().rev().zip(w.rates.iter().rev()) {
                *sum += rate;
            }
        }
        let console: Vec<String> = live.console.iter().rev().cloned().collect();
        let remarks = || live.notices.iter().rev().cloned().collect();
        Self {
            head,
            workloads: live.workloads.iter().map(|w| row(w, elapsed)).collect(),
            device: device(live),
            failures: failures(live),
            events: events(live),
            last: if console.is_empty() { Last::Remarks(remarks()) } else { Last::Console(console) },
            rates: rates.into_iter().map(|rate| rate.round() as u64).collect(),
        }
    }
}

/// `1:02:03`, or `2:03`.
fn clock(s: u64) -> String {
    let (hours, minutes, seconds) = (s / 3_600, s / 60 % 60, s % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

fn time(us: f64) -> String {
    human_figure(us, Unit::Us)
}

fn row(w: &LiveWorkload, elapsed: Duration) -> Row {
    let none = || "-".to_owned();
    let now =
        |ns: Option<u64>| ns.filter(|_| w.ended_ns.is_none()).map_or_else(none, |ns| time(ns as f64 / 1e3));
    let run_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX).max(w.told_ns);
    let share = match w.expected {
        Expected::Count(n) if n > 0 => Some(w.progress.attempts as f64 / n as f64),
        Expected::Duration(ns) if ns > 0 => Some(run_ns.saturating_sub(w.began_ns) as f64 / ns as f64),
        _ => None,
    };
    let done = match share {
        _ if w.ended_ns.is_some() => "ended".to_owned(),
        Some(share) => format!("{:.0} %", (share * 100.0).clamp(0.0, 100.0).floor()),
        None => "runs".to_owned(),
    };
    let failed = w.progress.attempts.saturating_sub(w.progress.succeeded);
    let figures = w.figures();
    let rate = match w.ended_ns {
        None => w.rates.back().copied().or_else(|| w.rate()),
        Some(_) => w.rate(),
    };
    Row {
        name: w.name.clone(),
        done,
        attempts: human_figure(w.progress.attempts as f64, Unit::Count),
        rate: rate.map_or_else(none, |rate| human_figure(rate, Unit::PerS)),
        failed: human_figure(failed as f64, Unit::Count),
        is_failing: failed > 0,
        p50_now: now(w.progress.p50_ns),
        p99_now: now(w.progress.p99_ns),
        p50: figures.p50_us.map_or_else(none, time),
        p99: figures.p99_us.map_or_else(none, time),
        open: w.progress.open.to_string(),
    }
}

fn device(live: &Live) -> Vec<String> {
    let probed = live.probed.as_deref();
    let device = probed.and_then(|probed| probed.device.as_ref());
    let mut lines = Vec::new();
    if let Some(of) = live.device.as_deref().or(device.map(|device| &device.newest.telemetry)) {
        let mut parts = Vec::new();
        if let Some(free) = of.heap_free_bytes {
            // The readings so far are told less often than the newest one.
            let so_far = device.and_then(|device| {
                let mut readings = device.readings.iter();
                readings.find(|(one, _)| *one == Reading::HeapFree).map(|(_, r)| r.min.min(free as f64))
            });
            let least = so_far
                .map_or_else(String::new, |bytes| format!(" (least {})", human_figure(bytes, Unit::Bytes)));
            parts.push(format!("heap {}{least}", human_figure(free as f64, Unit::Bytes)));
        }
        if let Some(used) = of.sockets_used {
            let limit = of.sockets_limit.map_or_else(String::new, |limit| format!(" of {limit}"));
            parts.push(format!("sockets {used}{limit}"));
        }
        parts.extend(of.wifi_rssi_dbm.map(|dbm| format!("signal {dbm} dBm")));
        let restarts = device.map_or(0, |device| device.restart_count);
        if restarts > 0 {
            parts.push(things(restarts, "restart"));
        }
        lines.push(parts.join(", "));
    }
    let Some(probed) = probed else { return lines };
    let kinds = [("ping", &probed.icmp), ("connect", &probed.tcp), ("telemetry", &probed.telemetry)];
    let lost: Vec<String> = kinds
        .into_iter()
        .filter_map(|(name, progress)| {
            let progress = progress.as_ref()?;
            Some(format!(
                "{name} {} of {} lost",
                progress.sent.saturating_sub(progress.answered),
                progress.sent
            ))
        })
        .collect();
    if !lost.is_empty() {
        lines.push(lost.join(", "));
    }
    lines.retain(|line| !line.is_empty());
    lines
}

fn failures(live: &Live) -> Vec<String> {
    let line = |row: &espstress_report::LiveFailure| {
        let times = if row.count > 1 { format!(" x{}", row.count) } else { String::new() };
        format!("{:>8}  {}{times}, {}", clock(row.at_ns / 1_000_000_000), row.failure.name(), row.workload)
    };
    live.failures.iter().rev().map(line).collect()
}

fn events(live: &Live) -> Vec<String> {
    let more = if live.anomalies_cut { " and more" } else { "" };
    let anomalies = live.anomalies.iter().map(|((id, workload), n)| {
        let owner = workload.as_deref().unwrap_or("no workload");
        format!("{} {n}{more}, {owner}", id.name())
    });
    let outages = live.outages.iter().rev().map(|(workload, row)| {
        let start = row.seen_start_ns.or(row.made_start_ns);
        let at = start.map_or_else(|| "-".to_owned(), |ns| clock(ns / 1_000_000_000));
        let length = row.length_seen_ns().or(row.length_made_ns());
        let length = length.map_or_else(|| "no end known".to_owned(), |ns| time(ns as f64 / 1e3));
        let back = if row.recovered_ns.is_some() { "" } else { ", not recovered" };
        format!("{at:>8}  outage of {length}{back}, {workload}")
    });
    anomalies.chain(outages).collect()
}
