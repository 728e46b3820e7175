//! A host that stalls beside the workload.

use super::{endpoints, listened, listening, of_nobody, plan};
use espstress_diagnose::{Finding, FindingId};
use espstress_engine::{PlannedPhase, StartRule};
use espstress_event::{Endpoints, Event, Expected, WorkloadFacts, WorkloadKind};
use espstress_stats::Phase;
use espstress_targets::sim::{Sim, SimConfig};
use espstress_workload::{Context, Workload};
use std::future::Future;
use std::io::Write as _;
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn a_device_that_was_not_heard_while_the_host_stood_still_is_not_gone() {
    // Host and device are on one machine: nothing runs while it stands still.
    let length = Duration::from_millis(1_000);
    let hold_up = HoldUp::new(length);
    hold_up.begin.store(false, Ordering::SeqCst);
    let (begin, still) = (Arc::clone(&hold_up.begin), Arc::clone(&hold_up.still));
    let (host, port) = listening("duration = '4s'\npeer_timeout = '600ms'", |settings| {
        let mut plan = of_nobody(settings);
        let start = StartRule::WithPrevious;
        plan.phases.push(PlannedPhase { name: "hold-up".into(), start, workload: Box::new(hold_up) });
        plan
    });
    let mut device = TcpStream::connect(("127.0.0.1", port)).unwrap();
    device.write_all(b"1\n").unwrap();
    let mut n = 0;
    loop {
        if !still.load(Ordering::SeqCst) {
            n += 1;
            if device.write_all(format!("[{n},0]\n").as_bytes()).is_err() {
                break;
            }
            begin.store(n > 3, Ordering::SeqCst);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let (outage, findings) = listened(host);
    let dialled = &outage.dialled[0];
    assert_eq!((outage.natural, dialled.connections, dialled.outages), (0, 1, 0), "{outage:?}");
    assert!(findings.iter().all(|finding| finding.id == FindingId::HostLimited), "{findings:?}");
}

/// Holds the thread of the workloads up for so long.
#[derive(Debug)]
struct HoldUp {
    length: Duration,
    /// It may begin.
    begin: Arc<AtomicBool>,
    /// It does so now.
    still: Arc<AtomicBool>,
}

impl HoldUp {
    fn new(length: Duration) -> Self {
        Self { length, begin: Arc::new(AtomicBool::new(true)), still: Arc::default() }
    }
}

impl Workload for HoldUp {
    fn kind(&self) -> &'static str {
        "head"
    }
    fn main_phase(&self) -> Phase {
        Phase::Total
    }
    fn expected(&self) -> Expected {
        Expected::Open
    }
    fn facts(&self, _: &Endpoints) -> WorkloadFacts {
        WorkloadFacts { kind: Some(WorkloadKind::Head), ..WorkloadFacts::default() }
    }
    fn settings(&self) -> serde_json::Value {
        serde_json::json!({})
    }
    fn at_once(&self) -> u32 {
        0
    }
    fn connections_in_a_minute(&self) -> Option<u64> {
        None
    }
    fn connect_timeout(&self) -> Duration {
        Duration::from_secs(5)
    }
    fn run(&self, _: Context) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            while !self.begin.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            self.still.store(true, Ordering::SeqCst);
            std::thread::sleep(self.length);
            self.still.store(false, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(100)).await;
        })
    }
}

/// A paced load beside a workload that holds the machine up for so long.
fn held_up(sim: &Sim, length: Duration, ports: &str) -> Vec<Finding> {
    let mut plan = plan(endpoints(sim), Some(sim.capacity().into()), "cycles = 1", ports);
    let settings = "rate = '50/s'\nduration = '2s'\nconnections = 2".parse().unwrap();
    let head = (espstress_workload::kind("head").unwrap().build)(&settings).unwrap();
    let phase = |name: &str, start, workload| PlannedPhase { name: name.into(), start, workload };
    plan.phases = vec![
        phase("head", StartRule::AfterPrevious, head),
        phase("hold-up", StartRule::WithPrevious, Box::new(HoldUp::new(length))),
    ];
    espstress_engine::run(plan, &mut |_: &Event| {}).unwrap().findings
}

#[test]
fn a_host_that_stalls_is_said_to_be_the_limit() {
    let sim = Sim::start(SimConfig::default()).unwrap();
    let findings = held_up(&sim, Duration::from_millis(400), "21000-21499");
    let limited = findings.iter().find(|finding| finding.id == FindingId::HostLimited);
    let evidence = limited.map(|finding| finding.evidence.join("; ")).unwrap_or_default();
    assert!(evidence.contains("didn't get the CPU in time"), "{findings:?}");
}

#[test]
fn a_host_that_does_not_stall_is_not_said_to_be_the_limit() {
    let sim = Sim::start(SimConfig::default()).unwrap();
    // What else goes on on the machine may hold one run up, or two.
    let clean = (0..5).any(|_| held_up(&sim, Duration::ZERO, "21500-21999").is_empty());
    assert!(clean, "every run of five is said to be limited");
}
