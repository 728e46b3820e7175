//! What a workload of an examination came to, for tests.

use super::names;
use espstress_diagnose::WorkloadKind;
use espstress_engine::WorkloadOutcome;
use espstress_event::WorkloadFacts;
use espstress_stats::Recorder;

/// The client beside silent connections.
pub(super) fn silent(recorder: Recorder, end_ns: u64) -> WorkloadOutcome {
    WorkloadOutcome {
        name: names::SILENT.into(),
        kind: "half-open",
        facts: WorkloadFacts { kind: Some(WorkloadKind::HalfOpen), ..WorkloadFacts::default() },
        settings: serde_json::Value::Null,
        at_once: 1,
        stats: recorder.finish(end_ns),
    }
}
