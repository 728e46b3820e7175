//! What a workload of an examination runs with and came to, for tests.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;

use super::names;
use espstress_clock::Clock;
use espstress_connection::{PortPool, PortRange};
use espstress_diagnose::WorkloadKind;
use espstress_engine::WorkloadOutcome;
use espstress_event::{Endpoints, WorkloadFacts, WorkloadId};
use espstress_stats::{Phase, Recorder};
use espstress_workload::{Context, Stop};

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

/// A recorder without figures.
pub(super) fn recorder() -> Recorder {
    Recorder::new(0, Phase::RoundTrip)
}

/// What a workload runs with that sends nothing.
pub(super) fn context(stop: Stop) -> Context {
    Context {
        clock: Clock::start(),
        endpoints: Endpoints::only((Ipv4Addr::LOCALHOST, 9).into()),
        recorder: Rc::new(RefCell::new(recorder())),
        stop,
        id: WorkloadId(0),
        ports: Rc::new(RefCell::new(PortPool::new(PortRange::between(1, 1), 0))),
        book: Default::default(),
        source: None,
        seed: 0,
        capacity: None,
        occupancy: Default::default(),
        beside: Default::default(),
        standing: Default::default(),
        outage_maker: None,
        silencer: None,
        control_token: None,
        late_connects: Default::default(),
        kept_ports: Default::default(),
        notices: Default::default(),
    }
}
