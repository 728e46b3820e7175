//! github-action-benchmark: an array of figures. It takes one file of which smaller is better and another of
//! which bigger is better.

use serde_json::{Value, json};

use super::json_text;
use crate::Report;
use espstress_event::AnomalyClass;

/// Latencies, failures, and, where all packets were looked at, anomalies of the device.
pub(super) fn smaller(report: &Report) -> String {
    let mut all: Vec<Value> = Vec::new();
    for w in &report.workloads {
        for (phase, l) in &w.latency {
            let figures = [("p50", l.p50_us), ("p90", l.p90_us), ("p99", l.p99_us), ("mean", l.mean_us)];
            for (name, value) in figures {
                let Some(value) = value else { continue };
                let mut figure = json!({
                    "name": format!("{}.latency.{}.{name}", w.name, phase.name()),
                    "unit": "us",
                    "value": value,
                    "extra": format!("{} samples", l.count),
                });
                if let (Some(stdev), "mean") = (l.stdev_us, name) {
                    figure["range"] = json!(format!("\u{b1} {stdev:.1}"));
                }
                all.push(figure);
            }
        }
        all.push(json!({
            "name": format!("{}.failed", w.name),
            "unit": "failures",
            "value": w.failures.of_device(),
            "extra": format!("of {} attempts", w.attempts),
        }));
    }
    if report.capture.saw_all() {
        let rows = report.anomalies.iter().filter(|a| a.class == AnomalyClass::Device);
        all.push(json!({
            "name": "anomalies.device",
            "unit": "anomalies",
            "value": rows.map(|a| a.count).sum::<u64>(),
        }));
    }
    json_text(&Value::Array(all))
}

/// Rates and shares of success.
pub(super) fn bigger(report: &Report) -> String {
    let mut all: Vec<Value> = Vec::new();
    for w in &report.workloads {
        let figures = [
            ("rate", "attempts/s", w.attempts_per_s),
            ("goodput", "bytes/s", w.goodput_bytes_per_s.filter(|_| w.bytes.goodput > 0)),
            ("success_rate", "%", w.success_rate.map(|r| r * 100.0)),
        ];
        for (name, unit, value) in figures {
            let Some(value) = value else { continue };
            all.push(json!({ "name": format!("{}.{name}", w.name), "unit": unit, "value": value }));
        }
    }
    json_text(&Value::Array(all))
}
