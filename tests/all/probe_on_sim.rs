//! The probes against the device program on the host's own stack.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use espstress_clock::Clock;
use espstress_device::Service;
use espstress_event::{IntentBook, WorkloadId};
use espstress_probe::{ProbeConfig, ProbeContext, Prober, TelemetrySource, own_ports};
use espstress_stats::{ProbeOutcome, ProbeStats};
use espstress_targets::sim::{Sim, SimConfig};

/// Probes until `enough`, at most half a minute.
fn probe(
    sim: &Sim,
    source: TelemetrySource,
    enough: impl Fn(&Prober, Duration) -> bool,
) -> (ProbeOutcome, Arc<IntentBook>) {
    let book = Arc::new(IntentBook::default());
    let http = sim.address(Service::Http);
    let context = ProbeContext {
        clock: Clock::start(),
        ports: Rc::new(RefCell::new(own_ports("32768-60999".parse().unwrap(), 5))),
        book: Arc::clone(&book),
        capacity: None,
        occupancy: Rc::default(),
    };
    let every = Some(Duration::from_millis(50));
    let config = ProbeConfig {
        icmp_interval: every,
        tcp_interval: every,
        telemetry_interval: every,
        ..ProbeConfig::new(http.ip(), http, source)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = tokio::task::LocalSet::new().block_on(&runtime, async {
        let prober = Prober::start(&config, &context);
        let start = Instant::now();
        while !enough(&prober, start.elapsed()) {
            assert!(start.elapsed() < Duration::from_secs(30), "the probes never saw enough");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        prober.stop()
    });
    (outcome, book)
}

#[test]
fn a_restart_is_seen_with_its_reason() {
    let persona = "rebooting:every=1s".parse().unwrap();
    let sim = Sim::start(SimConfig { persona, ..SimConfig::default() }).unwrap();
    let udp = TelemetrySource::Udp(sim.address(Service::Telemetry));
    let started_again =
        |prober: &Prober, _| prober.latest().is_some_and(|sample| sample.telemetry.boot_count >= Some(3));
    let (outcome, _) = probe(&sim, udp, started_again);
    assert!(outcome.device.restart_count >= 1, "{:?}", outcome.device.restarts);
    let restart = &outcome.device.restarts[0];
    assert!(restart.reset_reason.is_some() && restart.started_ns <= restart.noticed_ns, "{restart:?}");
    let telemetry = outcome.telemetry.measured().unwrap();
    assert!(telemetry.answered > 0 && telemetry.sent >= telemetry.answered);
}

#[test]
fn a_healthy_device_answers_every_probe_and_none_is_a_workloads() {
    let sim = Sim::start(SimConfig::default()).unwrap();
    let udp = TelemetrySource::Udp(sim.address(Service::Telemetry));
    let (outcome, book) = probe(&sim, udp, |_, elapsed| elapsed > Duration::from_secs(1));
    let tcp = outcome.tcp.measured().unwrap();
    assert!(tcp.answered >= 5 && tcp.answered == tcp.sent, "{tcp:?}");
    let telemetry = outcome.telemetry.measured().unwrap();
    assert!(telemetry.answered >= 5 && telemetry.answered == telemetry.sent, "{telemetry:?}");
    assert_eq!(outcome.device.restart_count, 0);
    match &outcome.icmp {
        ProbeStats::Measured(icmp) => assert!(icmp.answered >= 5 && icmp.answered == icmp.sent, "{icmp:?}"),
        ProbeStats::Unavailable { reason } => assert!(reason.contains("ping_group_range"), "{reason}"),
    }
    let noted: Vec<_> = (0..=u16::MAX).filter_map(|port| book.look_up(port, None)).collect();
    assert!(noted.len() >= 5 && noted.iter().all(|entry| entry.workload == WorkloadId::PROBE));
}

#[test]
fn telemetry_comes_over_http_where_there_is_no_datagram_service() {
    let sim = Sim::start(SimConfig::default()).unwrap();
    let http = TelemetrySource::Http(sim.address(Service::Http));
    let (outcome, _) = probe(&sim, http, |prober, _| prober.latest().is_some());
    let sample = outcome.device.last.unwrap();
    assert_eq!(sample.telemetry.persona.as_deref(), Some("robust"));
    assert!(sample.telemetry.sockets_used.is_some());
}
