//! A report in Prometheus' text exposition format.

use super::metrics::{Family, Kind};
use crate::{CaptureStatus, Reading, Report, TelemetrySummary, ThresholdStatus, Unit, Verdict};
use espstress_diagnose::{Accounted, Severity};

pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    families(report).iter().for_each(|family| family.write(&mut out));
    out
}

/// All of a report's metrics.
pub(crate) fn families(r: &Report) -> Vec<Family> {
    let mut all = run(r);
    all.extend(workloads(r));
    all.extend(gates(r));
    all.extend(concluded(r));
    all.extend(beside(r));
    all
}

fn run(r: &Report) -> Vec<Family> {
    let mut info = Family::gauge("espstress_run_info", "What was run.");
    let seed = r.seed.to_string();
    info.add(
        "",
        &[
            ("version", &r.tool.version),
            ("target", &r.target.address),
            ("kind", r.target.kind.name()),
            ("seed", &seed),
        ],
        1.0,
    );
    let duration = Family::gauge("espstress_run_duration_seconds", "How long the run took.")
        .with(&[], Some(r.duration_s));
    let interrupted = Family::gauge("espstress_run_interrupted", "1 if the run was ended early.")
        .with(&[], Some(one_if(r.interrupted)));
    let mut verdict = Family::gauge("espstress_verdict", "1 for the verdict that was reached.");
    for v in [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive] {
        verdict.add("", &[("verdict", v.name())], one_if(v == r.verdict));
    }
    let mut capture = Family::gauge("espstress_capture_status", "1 for the state of the capture.");
    let states = [
        CaptureStatus::Complete,
        CaptureStatus::FileIncomplete,
        CaptureStatus::Dropped,
        CaptureStatus::Denied,
        CaptureStatus::Off,
    ];
    for s in states {
        capture.add("", &[("status", s.name())], one_if(s == r.capture.status));
    }
    let packets = Family::gauge("espstress_capture_packets", "Packets looked at.")
        .with(&[], r.capture.packets.map(|n| n as f64));
    let dropped = Family::gauge("espstress_capture_dropped", "Packets that the capture missed.")
        .with(&[], r.capture.dropped.map(|n| n as f64));
    vec![info, duration, interrupted, verdict, capture, packets, dropped]
}

const fn one_if(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

fn workloads(r: &Report) -> Vec<Family> {
    let mut attempts = Family::gauge("espstress_attempts", "Attempts ended.");
    let mut succeeded = Family::gauge("espstress_succeeded", "Successes among the attempts.");
    let mut failures =
        Family::gauge("espstress_failures", "Failures by name; host_ ones are the host's own.");
    let mut ratio =
        Family::gauge("espstress_success_ratio", "Successes among what the host did not prevent.");
    let mut rate = Family::gauge(
        "espstress_attempts_per_second",
        "Attempts that the host did not prevent, by wall clock.",
    );
    let mut goodput =
        Family::gauge("espstress_goodput_bytes_per_second", "Payload of whole answers, by wall clock.");
    let mut latency = Family::new(
        "espstress_latency_seconds",
        Kind::Summary,
        "Latency; in an open loop from the intended start.",
    );
    let mut uncorrected = Family::new(
        "espstress_latency_uncorrected_seconds",
        Kind::Summary,
        "Open loop: from the actual start.",
    );
    for w in &r.workloads {
        let own = ("workload", w.name.as_str());
        attempts.add("", &[own], w.attempts as f64);
        succeeded.add("", &[own], w.succeeded as f64);
        for (f, n) in &w.failures.0 {
            failures.add("", &[own, ("failure", f.name())], *n as f64);
        }
        for (family, value) in [
            (&mut ratio, w.success_rate),
            (&mut rate, w.attempts_per_s),
            (&mut goodput, w.goodput_bytes_per_s),
        ] {
            if let Some(v) = value {
                family.add("", &[own], v);
            }
        }
        for (phase, l) in &w.latency {
            let labels = [own, ("phase", phase.name())];
            summary(&mut latency, &labels, l);
            if let Some(u) = &l.uncorrected {
                summary(&mut uncorrected, &labels, u);
            }
        }
    }
    vec![attempts, succeeded, failures, ratio, rate, goodput, latency, uncorrected]
}

/// The quantiles, sum and count of a latency.
pub(crate) fn summary(family: &mut Family, labels: &[(&str, &str)], l: &crate::LatencyFigures) {
    let quantiles = [("0.0", l.min_us), ("0.5", l.p50_us), ("0.9", l.p90_us), ("0.99", l.p99_us)];
    for (q, value) in quantiles.into_iter().chain([("0.999", l.p999_us), ("1.0", l.max_us)]) {
        if let Some(us) = value {
            family.add("", &[labels, &[("quantile", q)]].concat(), us / 1e6);
        }
    }
    if let Some(mean) = l.mean_us {
        family.add("_sum", labels, mean / 1e6 * l.count as f64);
    }
    family.add("_count", labels, l.count as f64);
}

fn gates(r: &Report) -> Vec<Family> {
    let mut status = Family::gauge("espstress_gate", "1 for how each gate was judged.");
    let mut value = Family::gauge("espstress_gate_value", "The figure of each gate, in the base unit.");
    let states = [
        (ThresholdStatus::Pass, "pass"),
        (ThresholdStatus::Fail, "fail"),
        (ThresholdStatus::Inconclusive, "inconclusive"),
    ];
    let mut told = std::collections::BTreeSet::new();
    // The same gate twice is one series.
    for t in r.thresholds.iter().filter(|t| told.insert(&t.expr)) {
        for (state, name) in states {
            status.add("", &[("expr", &t.expr), ("status", name)], one_if(state == t.status));
        }
        if let Some(v) = t.value {
            let (v, unit) = base(v, t.unit);
            value.add("", &[("expr", &t.expr), ("unit", unit)], v);
        }
    }
    vec![status, value]
}

/// A figure in its base unit.
fn base(value: f64, unit: Unit) -> (f64, &'static str) {
    match unit {
        Unit::Count => (value, "count"),
        Unit::Ratio => (value, "ratio"),
        Unit::Us => (value / 1e6, "seconds"),
        Unit::Bytes => (value, "bytes"),
        Unit::BytesPerS => (value, "bytes_per_second"),
        Unit::PerS => (value, "per_second"),
        Unit::Dbm => (value, "dbm"),
        Unit::BytesPerHour => (value / 3_600.0, "bytes_per_second"),
        Unit::PerHour => (value / 3_600.0, "per_second"),
    }
}

fn concluded(r: &Report) -> Vec<Family> {
    let mut anomalies = Family::gauge(
        "espstress_anomalies",
        "Anomalies; absence means none only where espstress_capture_status is complete.",
    );
    for a in &r.anomalies {
        let class = match a.class {
            espstress_event::AnomalyClass::Device => "device",
            espstress_event::AnomalyClass::Path => "path",
            espstress_event::AnomalyClass::Provoked => "provoked",
        };
        let owner = a.workload.as_deref().unwrap_or("");
        anomalies.add("", &[("id", a.id.name()), ("class", class), ("workload", owner)], a.count as f64);
    }
    let mut finding = Family::gauge("espstress_finding", "1 for each finding.");
    for f in &r.findings {
        finding.add("", &[("id", f.id.name()), ("severity", severity(f.severity))], 1.0);
    }
    let mut findings = Family::gauge(
        "espstress_findings",
        "Findings by severity; absent where espstress did not look for all of them.",
    );
    // No finding means none only where all of them were looked for.
    if r.findings_incomplete.is_none() {
        for of in [Severity::Error, Severity::Warning, Severity::Info] {
            let n = r.findings.iter().filter(|f| f.severity == of).count();
            findings.add("", &[("severity", severity(of))], n as f64);
        }
    }
    let mut account = Family::gauge("espstress_account_attempts", "Failed attempts by who answers for them.");
    let mut rows = std::collections::BTreeMap::new();
    for row in &r.account {
        let accounted = match row.accounted {
            Accounted::Explained => "explained",
            Accounted::Excused => "excused",
            Accounted::Unexplained => "unexplained",
        };
        *rows.entry((&row.workload, accounted, row.by.as_deref().unwrap_or(""))).or_insert(0) += row.attempts;
    }
    for ((workload, accounted, by), n) in rows {
        account.add("", &[("workload", workload), ("accounted", accounted), ("by", by)], n as f64);
    }
    vec![anomalies, finding, findings, account]
}

const fn severity(of: Severity) -> &'static str {
    match of {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

fn beside(r: &Report) -> Vec<Family> {
    let mut sent = Family::gauge("espstress_probes_sent", "Probes sent.");
    let mut lost = Family::gauge("espstress_probes_lost", "Probes without an answer.");
    let mut gap = Family::gauge("espstress_probes_longest_gap_seconds", "Longest time without an answer.");
    let mut latency =
        Family::new("espstress_probes_latency_seconds", Kind::Summary, "Latency of the probes' answers.");
    for p in &r.probes {
        let own = [("kind", p.kind.name())];
        sent.add("", &own, p.sent as f64);
        lost.add("", &own, p.lost as f64);
        if let Some(s) = p.longest_gap_s {
            gap.add("", &own, s);
        }
        summary(&mut latency, &own, &p.latency);
    }
    let mut all = vec![sent, lost, gap, latency];
    all.extend(r.telemetry.iter().flat_map(telemetry));
    all
}

/// The metric of a reading.
pub(crate) fn base_name(reading: Reading) -> String {
    format!("espstress_device_{}", reading.field())
}

fn telemetry(t: &TelemetrySummary) -> Vec<Family> {
    let number = |name: &'static str, help: &'static str, value: Option<u64>| {
        Family::gauge(name, help).with(&[], value.map(|n| n as f64))
    };
    let mut all = vec![
        number("espstress_telemetry_samples", "Telemetry readings received.", Some(t.samples)),
        number("espstress_telemetry_lost", "Telemetry requests without an answer.", Some(t.lost)),
        number("espstress_device_reboots", "Restarts of the device during the run.", t.reboots),
        number("espstress_device_heap_total_bytes", "Size of the device's heap.", t.heap_total_bytes),
        number("espstress_device_sockets_limit", "Sockets that the device has.", t.sockets_limit),
    ];
    for (reading, s) in &t.summary {
        let help = "What the device reports about itself: the first and last value, and the range.";
        let mut family = Family::gauge(base_name(*reading), help);
        let stats =
            [("first", Some(s.first)), ("last", Some(s.last)), ("min", Some(s.min)), ("max", Some(s.max))];
        for (stat, value) in stats.into_iter().chain([("mean", s.mean)]) {
            if let Some(value) = value {
                family.add("", &[("stat", stat)], value);
            }
        }
        all.push(family);
    }
    all
}
