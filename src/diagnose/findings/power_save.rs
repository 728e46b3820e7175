//! `power_save_latency`: frames wait for the device's next wake-up, up to one or several beacon intervals.
//!
//! Evidence: beacons that announce frames for the device, which come when it wakes (`air::held`). Probe latencies spread evenly from the least to about a multiple of the beacon interval (102.4 ms)
//! above it. Ping, else telemetry, else TCP connect, else the connects of a workload.
//!
//! Neighbours: a long path (the least is long as well, and the spread small); a busy link (a short spread, or a
//! tail: the median near the least); `lossy_link` (a lost frame is not late, and a late one makes the host
//! repeat, which is no loss); a slow program (ping is fast). A device that says that it does not sleep does not.
//!
//! Thresholds: 20 answers; a spread within 12 % of a multiple from 1 to 10; a median at a third of it or later (of
//! several intervals, of which probes a second apart meet few places, a fifth). One or two answers that something else
//! held up must not hide it: up to 4 intervals, nine in ten at 63 (of one 75) to 105 % of them and a median at no more
//! than 72 % are enough. (Jitter of up to 40 ms each way puts nine in ten within 55 ms.)

use super::super::facts::sleep;
use super::super::{Evidence, Finding, FindingId, Severity};
use super::FindingEntry;
use super::air::held;
use super::text::{things, time};

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::PowerSaveLatency,
    severity: Severity::Warning,
    meaning: "the device sleeps between beacons, so packets to it wait up to 100 ms, or a multiple",
    needs: "ping, telemetry or TCP probes, 20 answers or more; or frames in monitor mode",
    neighbours: "a long path; a busy channel; a slow program; losses",
    change: "call esp_wifi_set_ps(WIFI_PS_NONE) if latency matters more than power",
};

const CHANGE: &str = "call esp_wifi_set_ps(WIFI_PS_NONE) after esp_wifi_start(); it costs 50 to 80 mA. With MAX_MODEM, a smaller \
                      listen_interval in wifi_sta_config_t helps";

pub(super) fn find(e: &Evidence<'_>) -> Option<Finding> {
    let Some((name, q, n)) = sleep::pattern(e) else { return of_air(e) };
    let mut evidence = vec![
        format!(
            "{name}: min {}, p50 {}, p90 {}, p99 {}, of {}",
            time(q.min_ns),
            time(q.p50_ns),
            time(q.p90_ns),
            time(q.p99_ns),
            things(q.count, "answer")
        ),
        format!("the spread is about {} of 102.4 ms", things(n, "beacon interval")),
    ];
    if let Some(mode) = sleep::mode(e) {
        evidence.push(format!("the device reports power-save mode {}", mode.name()));
    }
    evidence.extend(e.air.map(held::lines).unwrap_or_default());
    let mode = if n == 1 { "MIN_MODEM, ESP-IDF's default" } else { "MAX_MODEM, or a DTIM period above 1" };
    Some(Finding {
        id: FindingId::PowerSaveLatency,
        severity: Severity::Warning,
        statement: format!(
            "Packets to the device wait for its next wake-up: median {} more, up to {}.",
            time(q.p50_ns.saturating_sub(q.min_ns)),
            time(n.saturating_mul(sleep::BEACON))
        ),
        evidence,
        cause: format!(
            "Wi-Fi modem sleep ({mode}): the access point holds frames until the next beacon that \
                        the device listens to"
        ),
        change: CHANGE.into(),
    })
}

/// The same from the air alone.
fn of_air(e: &Evidence<'_>) -> Option<Finding> {
    let wait = held::waits(e.air?)?;
    Some(Finding {
        id: FindingId::PowerSaveLatency,
        severity: Severity::Warning,
        statement: held::statement(&wait),
        evidence: e.air.map(held::lines).unwrap_or_default(),
        cause: "Wi-Fi modem sleep: the access point holds frames until a beacon that the device listens to"
            .into(),
        change: CHANGE.into(),
    })
}
