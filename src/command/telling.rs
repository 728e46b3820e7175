//! What probes and telemetry came to, as sections of the report.

use crate::report::{
    LatencyFigures, ProbeKind, ProbeRow, Reading, ReadingSummary, Report, TelemetryRow, TelemetrySummary,
};
use crate::stats::{self, DeviceSeries, ProbeOutcome, ProbeStats, Trend};

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
        stats::Reading::Established => Reading::TcpEstablished,
        stats::Reading::CloseWait => Reading::TcpCloseWait,
        stats::Reading::FinWait => Reading::TcpFinWait,
    }
}
