//! What probes and telemetry came to, as sections of the report.

use espstress_engine::{Outcome, Packets};
use espstress_report::{
    LatencyFigures, ProbeKind, ProbeRow, ReadingSummary, Report, TelemetryRow, TelemetrySummary, TimelineRow,
    timeline,
};
use espstress_stats::{DeviceSeries, ProbeOutcome, ProbeStats};

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
        incomplete: None,
    })
}

fn telemetry(device: &DeviceSeries, lost: u64) -> TelemetrySummary {
    let last = device.last.as_ref().map(|sample| &sample.telemetry);
    let tells_uptime = last.is_some_and(|t| t.uptime_ms.is_some() || t.boot_count.is_some());
    TelemetrySummary {
        samples: device.samples,
        lost,
        reboots: tells_uptime.then_some(device.restart_count),
        reset_reasons: device
            .restarts
            .iter()
            .filter_map(|r| r.reset_reason.clone().map(String::from))
            .collect(),
        wifi_last_reason: last.and_then(|t| t.wifi_last_reason.clone()),
        heap_total_bytes: last.and_then(|t| t.heap_total_bytes),
        sockets_limit: last.and_then(|t| t.sockets_limit.map(u64::from)),
        summary: device
            .readings
            .iter()
            .filter_map(|(one, trend)| Some(((*one).into(), ReadingSummary::from(trend.progress()?))))
            .collect(),
        series: device.rows().iter().map(TelemetryRow::from).collect(),
        incomplete: None,
    }
}

/// What of a run belongs on its timeline and in no other section.
pub(super) fn timeline(outcome: &Outcome, start_unix_ns: i64) -> Vec<TimelineRow> {
    let mut rows = Vec::new();
    if let Some(probes) = &outcome.probes {
        let kinds = [
            (ProbeKind::Icmp, &probes.icmp),
            (ProbeKind::TcpConnect, &probes.tcp),
            (ProbeKind::Telemetry, &probes.telemetry),
        ];
        for (kind, stats) in kinds {
            let silences = stats.measured().map(|stats| stats.silences.as_slice()).unwrap_or_default();
            rows.extend(
                silences
                    .iter()
                    .map(|s| timeline::no_answer(kind, (seconds(s.from_ns), s.to_ns.map(seconds)), s.lost)),
            );
        }
        rows.extend(probes.device.restarts.iter().map(|r| {
            let reason = r.reset_reason.as_ref().map(|reason| reason.name());
            timeline::restart(seconds(r.noticed_ns), reason, r.last_words.as_deref())
        }));
    }
    if let Packets::Seen(seen) = &outcome.packets {
        let at = |unix_ns: i64| unix_ns.saturating_sub(start_unix_ns) as f64 / 1e9;
        rows.extend(
            seen.summary
                .absences
                .iter()
                .map(|spell| timeline::absence((at(spell.from_ns), Some(at(spell.to_ns))))),
        );
    }
    rows
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
