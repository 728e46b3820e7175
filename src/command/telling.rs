//! What probes and telemetry came to, as sections of the report.

use crate::report::{
    HalfOpenFigures, LatencyFigures, OutageRow, ProbeKind, ProbeRow, Reading, ReadingSummary, Report,
    TelemetryRow, TelemetrySummary,
};
use crate::stats::{
    self, DeviceSeries, HalfOpenStats, LimitReached, OutageStats, ProbeOutcome, ProbeStats, Trend,
};

/// Fills the report's sections.
pub(super) fn fill(report: &mut Report, probes: &ProbeOutcome) {
    let kinds = [
        (ProbeKind::Icmp, &probes.icmp),
        (ProbeKind::TcpConnect, &probes.tcp),
        (ProbeKind::Telemetry, &probes.telemetry),
    ];
    report.probes = kinds.into_iter().filter_map(|(kind, stats)| row(kind, stats)).collect();
    let lost = probes.telemetry.measured().map_or(0, |stats| stats.sent - stats.answered);
    report.telemetry = (probes.device.samples > 0).then(|| telemetry(&probes.device, lost));
}

fn row(kind: ProbeKind, stats: &ProbeStats) -> Option<ProbeRow> {
    let stats = stats.measured().filter(|stats| stats.sent > 0)?;
    Some(ProbeRow {
        kind,
        sent: stats.sent,
        lost: stats.sent - stats.answered,
        longest_gap_s: stats.longest_gap_ns.map(|ns| ns as f64 / 1e9),
        latency: LatencyFigures::from_latency(&stats.latency),
    })
}

fn telemetry(device: &DeviceSeries, lost: u64) -> TelemetrySummary {
    let last = device.last.as_ref().map(|sample| &sample.telemetry);
    let tells_uptime = last.is_some_and(|t| t.uptime_ms.is_some() || t.boot_count.is_some());
    TelemetrySummary {
        samples: device.samples,
        lost,
        reboots: tells_uptime.then_some(device.restart_count),
        reset_reasons: device.restarts.iter().filter_map(|restart| restart.reset_reason.clone()).collect(),
        wifi_last_reason: last.and_then(|t| t.wifi_last_reason.clone()),
        heap_total_bytes: last.and_then(|t| t.heap_total_bytes),
        sockets_limit: last.and_then(|t| t.sockets_limit.map(u64::from)),
        summary: device
            .readings
            .iter()
            .filter_map(|(one, trend)| Some((reading(*one), summary(trend)?)))
            .collect(),
        series: device.rows().iter().map(telemetry_row).collect(),
    }
}

fn telemetry_row(sample: &crate::event::DeviceSample) -> TelemetryRow {
    let readings = stats::Reading::ALL.into_iter();
    TelemetryRow {
        at_s: sample.at_ns as f64 / 1e9,
        readings: readings.filter_map(|one| Some((reading(one), one.of(&sample.telemetry)?))).collect(),
    }
}

fn summary(trend: &Trend) -> Option<ReadingSummary> {
    const HOUR: f64 = 3_600.0;
    let slope = trend.estimate();
    Some(ReadingSummary {
        first: trend.first?,
        last: trend.last?,
        min: trend.min?,
        max: trend.max?,
        mean: trend.mean,
        slope_per_hour: slope.map(|s| s.per_second * HOUR),
        slope_low_per_hour: slope.map(|s| s.low_per_second * HOUR),
        slope_high_per_hour: slope.map(|s| s.high_per_second * HOUR),
    })
}

const fn reading(of: stats::Reading) -> Reading {
    match of {
        stats::Reading::HeapFree => Reading::HeapFreeBytes,
        stats::Reading::HeapMinFree => Reading::HeapMinFreeBytes,
        stats::Reading::HeapLargestBlock => Reading::HeapLargestBlockBytes,
        stats::Reading::SocketsUsed => Reading::SocketsUsed,
        stats::Reading::Rssi => Reading::WifiRssiDbm,
        stats::Reading::Disconnects => Reading::WifiDisconnects,
        stats::Reading::TimeWait => Reading::TcpTimeWait,
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// Outages, one row each.
pub(super) fn outages(of: &OutageStats) -> Vec<OutageRow> {
    of.rows.iter().map(outage).collect()
}

fn outage(of: &stats::OutageRow) -> OutageRow {
    let end_ns = of.end_ns();
    OutageRow {
        number: of.number,
        planned_start_s: of.planned_start_ns.map(seconds),
        planned_length_s: of.planned_length_ns.map(seconds),
        seen_start_s: of.seen_start_ns.map(seconds),
        seen_length_s: of.length_seen_ns().map(seconds),
        host_noticed_s: of.host_noticed_ns.map(seconds),
        device_noticed_s: of.device_noticed_ns.map(seconds),
        data_again_s: of.first_data_ns.map(seconds),
        recovery_s: of
            .recovered_ns
            .zip(end_ns)
            .map(|(recovered, end)| seconds(recovered.saturating_sub(end))),
        messages_acknowledged: of.acknowledged,
        messages_lost: of.lost,
        messages_duplicated: of.duplicated,
        connections_lived: of.lived.into(),
        connections_died: of.died.into(),
        device_half_open_sockets: of.half_open_on_device.map(u64::from),
    }
}

/// What silenced connections came to; `None` where they could not be silenced.
pub(super) fn half_open(of: &HalfOpenStats) -> Option<HalfOpenFigures> {
    if of.unavailable.is_some() {
        return None;
    }
    let reclaimed: Vec<u64> = of.connections.iter().filter_map(|c| c.reclaimed_after_ns).collect();
    let all = !reclaimed.is_empty() && of.never_reclaimed == 0;
    Some(HalfOpenFigures {
        silenced: of.connections.len() as u64,
        capacity: (of.limit == LimitReached::Device).then_some(of.served.into()),
        exhausted_attempts: of.during.attempts,
        exhausted_succeeded: of.during.served,
        first_reclaimed_s: reclaimed.iter().min().copied().map(seconds),
        all_reclaimed_s: reclaimed.iter().max().copied().filter(|_| all).map(seconds),
        watched_s: seconds(of.watched_ns),
    })
}
