//! Bencher Metric Format: benchmark, measure, value with bounds. Latency is in nanoseconds, throughput in
//! operations per second; both are Bencher's own measures.

use serde_json::{Map, Value, json};

use super::json_text;
use crate::Report;
use espstress_stats::significance::quantile_interval;

/// Each quantile as a benchmark of its own, since smaller is better for each, with the 95 % interval in which
/// the true quantile lies; the rate as the throughput of the workload.
pub(super) fn render(report: &Report) -> String {
    let mut all = Map::new();
    for w in &report.workloads {
        for (phase, l) in &w.latency {
            let Some(h) = l.histogram() else { continue };
            for (name, q) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
                let mut measure = json!({ "value": h.value_at_quantile(q) as f64 });
                if let Some((low, high)) = quantile_interval(&h, q, 1.96) {
                    measure["lower_value"] = json!(low as f64);
                    measure["upper_value"] = json!(high as f64);
                }
                let benchmark = format!("{}.latency.{}.{name}", w.name, phase.name());
                all.insert(benchmark, json!({ "latency": measure }));
            }
        }
        if let Some(rate) = w.attempts_per_s {
            all.insert(format!("{}.rate", w.name), json!({ "throughput": { "value": rate } }));
        }
    }
    json_text(&Value::Object(all))
}
