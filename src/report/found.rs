//! Findings of a run whose log has no end: only those that follow from what the device said of itself, and only where
//! neither packets nor the end of the run could have said otherwise. A silence of the probes is not among them: without
//! the packets nobody can tell a link that was away from a device, or a host, that was late.

use super::{DeviceRestart, ProbedSoFar, Reading, ReadingSummary, Report, TelemetrySummary, Workload};
use espstress_diagnose::{
    Evidence, FindingId, HeapEvidence, InUse, Measured, RestartEvidence, Slope, SocketsEvidence,
    TelemetryEvidence, TimeWaitEvidence, WorkloadEvidence, findings,
};
use espstress_event::{ClosePolicy, FailureCounts, WorkloadFacts, WorkloadKind};
use std::collections::BTreeMap;

/// What the log's start says of each workload, by its name; nothing in logs of older versions.
pub(super) type Facts = BTreeMap<String, WorkloadFacts>;

/// Fills in what can be said, and that it is not all.
pub(super) fn fill(report: &mut Report, told: &ProbedSoFar, facts: &Facts) {
    let mut looked = Vec::new();
    if let Some(telemetry) = &report.telemetry {
        if telemetry.reboots.is_some() {
            looked.push((FindingId::DeviceRebooted, "restarts"));
        }
        if telemetry.summary.contains_key(&Reading::HeapFreeBytes) {
            looked.push((FindingId::HeapLow, "a heap that runs low"));
        }
        if leak_shows(report, telemetry, facts) {
            looked.push((FindingId::HeapLeak, "a heap that leaks"));
        }
        if told.wifi_disconnects().is_some() && nobody_cuts(report, facts) {
            looked.push((FindingId::LinkOutages, "disconnections that the device counts"));
        }
    }
    if report.console.as_ref().is_some_and(|console| console.lines > 0) {
        looked.extend([
            (FindingId::DeviceCrashed, "crashes"),
            (FindingId::Brownout, "brownouts"),
            (FindingId::Watchdog, "watchdogs"),
            (FindingId::NoMemoryReported, "want of memory that the console tells"),
        ]);
        if nobody_cuts(report, facts) {
            looked.push((FindingId::WifiLost, "losses of the access point"));
        }
    }
    if !looked.is_empty() {
        let mut found = findings(&evidence(report, told, facts));
        found.retain(|f| looked.iter().any(|(id, _)| *id == f.id));
        report.findings = found;
    }
    let names: Vec<&str> = looked.into_iter().map(|(_, name)| name).collect();
    let looked = match names.split_last() {
        None => "no finding was looked for".to_owned(),
        Some((last, [])) => format!("of all findings only {last} could be looked for, up to its end"),
        Some((last, names)) => {
            format!("of all findings only {} and {last} could be looked for, up to its end", names.join(", "))
        }
    };
    report.findings_incomplete = Some(format!("the log ends before the run did: {looked}"));
}

/// No outage of the link or silence is the run's own doing.
fn nobody_cuts(report: &Report, facts: &Facts) -> bool {
    report.workloads.iter().all(|w| {
        facts.get(&w.name).is_some_and(|of| {
            matches!(of.kind, Some(WorkloadKind::Head | WorkloadKind::Rw)) && of.close != ClosePolicy::Vanish
        })
    })
}

/// Whether a loss of memory can be told from memory in use: the heap falls beyond doubt, over a time that has a
/// middle, the sockets in use are known, and neither an outage nor a losing path keeps data waiting.
fn leak_shows(report: &Report, telemetry: &TelemetrySummary, facts: &Facts) -> bool {
    let falls = telemetry.summary.get(&Reading::HeapFreeBytes).and_then(|heap| heap.slope_high_per_hour);
    falls.is_some_and(|high| high < 0.0)
        && telemetry.series.len() >= 3
        && telemetry.summary.contains_key(&Reading::SocketsUsed)
        && nobody_cuts(report, facts)
        && report.probes.iter().all(|p| p.lost.saturating_mul(100) < p.sent)
}

/// What the findings are made from: nothing that packets or probes would have to confirm.
fn evidence<'a>(report: &'a Report, told: &ProbedSoFar, facts: &Facts) -> Evidence<'a> {
    let restart = |r: &DeviceRestart| RestartEvidence {
        at_ns: nanos(r.at_s),
        reason: r.reset_reason.clone(),
        last_words: r.last_words.clone(),
    };
    let said = |telemetry: &TelemetrySummary| TelemetryEvidence {
        samples: telemetry.samples,
        restarts: told.restarts().map(restart).collect(),
        more_restarts: told.more_restarts(),
        heap: heap(telemetry),
        // Only its summary is in a log; whether it goes on growing is not.
        program_memory: None,
        sockets: counts(telemetry, Reading::SocketsUsed).map(|(first, most, last)| {
            let limit = telemetry.sockets_limit.and_then(|n| u32::try_from(n).ok());
            SocketsEvidence { first, most, last, limit }
        }),
        time_wait: counts(telemetry, Reading::TcpTimeWait).map(|(first, most, last)| TimeWaitEvidence {
            first,
            most,
            last,
        }),
        wifi_disconnects: told.wifi_disconnects(),
        wifi_last_reason: telemetry.wifi_last_reason.clone(),
        requests: report.workloads.iter().map(|w| w.succeeded).fold(0, u64::saturating_add),
        ..TelemetryEvidence::default()
    };
    Evidence {
        duration_ns: nanos(report.duration_s),
        workloads: report.workloads.iter().filter_map(|w| workload(w, facts.get(&w.name)?)).collect(),
        telemetry: match &report.telemetry {
            Some(telemetry) => Measured::Value(said(telemetry)),
            None => Measured::Unavailable { reason: "the device told nothing of itself".to_owned() },
        },
        console: report.console.as_ref().map(|console| console.events.as_slice()),
        ..Evidence::default()
    }
}

fn workload(of: &Workload, facts: &WorkloadFacts) -> Option<WorkloadEvidence> {
    let mut failures = FailureCounts::default();
    of.failures.iter().for_each(|(failure, n)| failures.add(failure, n));
    Some(WorkloadEvidence {
        name: of.name.clone(),
        kind: facts.kind?,
        asks: facts.asks.clone(),
        start_ns: nanos(of.start_s),
        end_ns: nanos(of.start_s + of.duration_s),
        attempts: of.attempts,
        succeeded: of.succeeded,
        failures,
        first_status: of.first_status,
        malformed: of.malformed.clone(),
        http: of.http.clone(),
        idle_closes: of.idle_closes,
        by_protocol: of.by_protocol.clone(),
        late_starts: of.late_starts,
        close: facts.close,
        ..WorkloadEvidence::default()
    })
}

fn heap(telemetry: &TelemetrySummary) -> Option<HeapEvidence> {
    let free = telemetry.summary.get(&Reading::HeapFreeBytes)?;
    // Between two readings there may have been less than either shows, which the device's own account tells.
    let ever = telemetry.summary.get(&Reading::HeapMinFreeBytes).filter(|ever| ever.min < ever.first);
    let rows = &telemetry.series;
    let middle = (rows.len() >= 3).then(|| rows.get(rows.len() / 2)).flatten();
    let slope = match (free.slope_per_hour, free.slope_low_per_hour, free.slope_high_per_hour) {
        (Some(mean), Some(low), Some(high)) => Some([mean, low, high].map(|per_hour| per_hour / 3_600.0)),
        _ => None,
    };
    let bytes = |value: f64| value as u64;
    Some(HeapEvidence {
        free_first: bytes(free.first),
        free_middle: middle.and_then(|row| row.readings.get(&Reading::HeapFreeBytes)).copied().map(bytes),
        free_last: bytes(free.last),
        first: in_use(telemetry, |went| went.first),
        last: in_use(telemetry, |went| went.last),
        free_min: bytes(ever.map_or(free.min, |ever| ever.min.min(free.min))),
        total: telemetry.heap_total_bytes,
        largest_block_min: telemetry.summary.get(&Reading::HeapLargestBlockBytes).map(|b| bytes(b.min)),
        per_second: slope.map(|[mean, low, high]| Slope { mean, low, high }),
        per_request: None,
        step: None,
        // The log has no readings of the console.
        ceiling: None,
        unasked: false,
    })
}

/// What connections held when the heap was first or last told: the log has all numbers of an answer together.
fn in_use(telemetry: &TelemetrySummary, of: impl Fn(&ReadingSummary) -> f64) -> InUse {
    let count = |reading| telemetry.summary.get(&reading).map(|went| of(went) as u32);
    InUse {
        sockets: count(Reading::SocketsUsed),
        open: InUse::open_of(count(Reading::TcpEstablished), count(Reading::TcpCloseWait)),
        time_wait: count(Reading::TcpTimeWait),
        closing: count(Reading::TcpFinWait),
    }
}

/// First, most and last of a reading that counts things.
fn counts(telemetry: &TelemetrySummary, reading: Reading) -> Option<(u32, u32, u32)> {
    let went = telemetry.summary.get(&reading)?;
    Some((went.first as u32, went.max as u32, went.last as u32))
}

/// Seconds as nanoseconds; what is beyond them stays at the ends.
fn nanos(s: f64) -> u64 {
    (s * 1e9).round() as u64
}
