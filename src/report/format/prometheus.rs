//! Prometheus text exposition: base units (seconds, bytes, ratios), the unit in the name, HELP and TYPE once a
//! family. What was not measured is not exposed.

use std::fmt::Write as _;

use crate::{CaptureStatus, Report, Verdict};

/// One family's samples, gathered before they are written so that each family stands together.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: Vec<String>,
}

impl Family {
    const fn new(name: &'static str, kind: &'static str, help: &'static str) -> Self {
        Self { name, kind, help, samples: Vec::new() }
    }

    fn add(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        if !value.is_finite() {
            return;
        }
        let labels: Vec<_> = labels.iter().map(|(k, v)| format!("{k}=\"{}\"", label_value(v))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        self.samples.push(format!("{}{suffix}{labels} {value}", self.name));
    }

    fn write(&self, out: &mut String) {
        if self.samples.is_empty() {
            return;
        }
        let _ = write!(out, "# HELP {} {}\n# TYPE {} {}\n", self.name, self.help, self.name, self.kind);
        for sample in &self.samples {
            let _ = writeln!(out, "{sample}");
        }
    }
}

fn label_value(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    run(report).iter().chain(&workloads(report)).chain(&rest(report)).for_each(|f| f.write(&mut out));
    out
}

fn run(r: &Report) -> Vec<Family> {
    let mut info = Family::new("espstress_run_info", "gauge", "What was run.");
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
    let mut duration = Family::new("espstress_run_duration_seconds", "gauge", "How long the run took.");
    duration.add("", &[], r.duration_s);
    let mut verdict = Family::new("espstress_verdict", "gauge", "1 for the verdict that was reached.");
    for v in [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive] {
        verdict.add("", &[("verdict", v.name())], f64::from(u8::from(v == r.verdict)));
    }
    let mut capture = Family::new("espstress_capture_status", "gauge", "1 for the state of the capture.");
    let states = [
        CaptureStatus::Complete,
        CaptureStatus::FileIncomplete,
        CaptureStatus::Dropped,
        CaptureStatus::Denied,
        CaptureStatus::Off,
    ];
    for s in states {
        capture.add("", &[("status", s.name())], f64::from(u8::from(s == r.capture.status)));
    }
    let mut packets = Family::new("espstress_capture_packets", "gauge", "Packets looked at.");
    if let Some(n) = r.capture.packets {
        packets.add("", &[], n as f64);
    }
    vec![info, duration, verdict, capture, packets]
}

fn workloads(r: &Report) -> Vec<Family> {
    let mut attempts = Family::new("espstress_attempts", "gauge", "Attempts ended.");
    let mut succeeded = Family::new("espstress_succeeded", "gauge", "Successes among the attempts.");
    let mut failures =
        Family::new("espstress_failures", "gauge", "Failures by name; host_ ones are the host's own.");
    let mut ratio =
        Family::new("espstress_success_ratio", "gauge", "Successes among what the host did not prevent.");
    let mut rate = Family::new("espstress_attempts_per_second", "gauge", "Attempts by wall clock.");
    let mut goodput = Family::new(
        "espstress_goodput_bytes_per_second",
        "gauge",
        "Payload that came back whole and right, by wall clock.",
    );
    let mut latency = Family::new(
        "espstress_latency_seconds",
        "summary",
        "Latency; in an open loop from the intended start.",
    );
    let mut uncorrected =
        Family::new("espstress_latency_uncorrected_seconds", "summary", "Open loop: from the actual start.");
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

fn summary(family: &mut Family, labels: &[(&str, &str)], l: &crate::LatencyFigures) {
    let quantiles = [("0", l.min_us), ("0.5", l.p50_us), ("0.9", l.p90_us), ("0.99", l.p99_us)];
    for (q, value) in quantiles.into_iter().chain([("0.999", l.p999_us), ("1", l.max_us)]) {
        if let Some(us) = value {
            family.add("", &[labels, &[("quantile", q)]].concat(), us / 1e6);
        }
    }
    if let Some(mean) = l.mean_us {
        family.add("_sum", labels, mean / 1e6 * l.count as f64);
    }
    family.add("_count", labels, l.count as f64);
}

fn rest(r: &Report) -> Vec<Family> {
    let mut anomalies = Family::new(
        "espstress_anomalies",
        "gauge",
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
    let mut findings = Family::new("espstress_finding", "gauge", "1 for each finding.");
    for f in &r.findings {
        let severity = match f.severity {
            espstress_diagnose::Severity::Error => "error",
            espstress_diagnose::Severity::Warning => "warning",
            espstress_diagnose::Severity::Info => "info",
        };
        findings.add("", &[("id", f.id.name()), ("severity", severity)], 1.0);
    }
    let mut sent = Family::new("espstress_probes_sent", "gauge", "Probes sent.");
    let mut lost = Family::new("espstress_probes_lost", "gauge", "Probes without an answer.");
    for p in &r.probes {
        sent.add("", &[("kind", p.kind.name())], p.sent as f64);
        lost.add("", &[("kind", p.kind.name())], p.lost as f64);
    }
    vec![anomalies, findings, sent, lost]
}
