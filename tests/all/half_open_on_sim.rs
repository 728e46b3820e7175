//! The half-open workload against the device program on the host's own stack. What the host's stack does not show
//! is left to the twin: the limit on control blocks, and what lwIP sends.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use espstress_device::Service;
use espstress_engine::{DeviceFacts, Plan};
use espstress_event::{Endpoints, Event, Failure};
use espstress_stats::{HalfOpenStats, Phase};
use espstress_targets::sim::{Sim, SimConfig};

/// Runs half-open; `None`, said aloud, where this machine does not let a host fall silent.
fn run(persona: &str, settings: &str, ports: &str) -> Option<HalfOpenStats> {
    let sim = Sim::start(SimConfig { persona: persona.parse().unwrap(), ..SimConfig::default() }).unwrap();
    let http = sim.address(Service::Http);
    let telemetry = sim.addresses().get(Service::Telemetry);
    let endpoints = Endpoints { telemetry, ..Endpoints::only(http) };
    let plan = Plan {
        device: DeviceFacts { capacity: Some(sim.capacity().into()), ..DeviceFacts::default() },
        seed: 3,
        ..crate::common::plan("half-open", settings, endpoints, ports.parse().unwrap())
    };
    let mut outcome = espstress_engine::run(plan, &mut |_: &Event| {}).unwrap();
    let stats = *outcome.workloads.remove(0).stats.half_open.unwrap();
    match &stats.unavailable {
        Some(reason) if reason.contains("CAP_NET_ADMIN") => {
            println!("SKIPPED: {reason}");
            None
        }
        Some(reason) => panic!("{reason}"),
        None => Some(stats),
    }
}

const QUICK: &str = "connections = 20\nbaseline = '500ms'\nwatch_reclaim = '3s'\nexpect_reclaim = '1s'\n\
                     client_interval = '200ms'\ntimeout_connect = '400ms'\ntimeout_read = '400ms'";

#[test]
fn a_device_that_never_notices_stays_full_until_the_host_lets_go() {
    let Some(stats) = run("no-keepalive", QUICK, "21000-21999") else { return };
    assert_eq!(stats.served, 5, "ten sockets less five: {stats:?}");
    assert_eq!(stats.exhausted, Some(true), "{stats:?}");
    assert_eq!(stats.never_reclaimed as usize, stats.connections.len(), "{stats:?}");
    assert_eq!(stats.before.percent(), Some(100.0), "{stats:?}");
    assert!(stats.during.percent() < Some(50.0), "{stats:?}");
    assert!(stats.served_after_release_ns.is_some(), "{stats:?}");
    assert_eq!(stats.failures.first().map(|failure| failure.connection), Some(6), "{stats:?}");
    let sockets = stats.sockets_used.unwrap();
    assert!(sockets.at_end >= sockets.before + 5, "{stats:?}");
}

#[test]
fn one_silent_connection_is_enough_for_a_device_that_serves_one_at_a_time() {
    let Some(stats) = run("serial", QUICK, "22000-22999") else { return };
    assert_eq!(stats.served, 1, "{stats:?}");
    assert_eq!(stats.failures.first().map(|failure| failure.met), Some(Failure::ReadTimeout), "{stats:?}");
    assert_eq!(stats.exhausted, Some(true), "{stats:?}");
    assert_eq!(stats.during.served, 0, "{stats:?}");
}

#[cfg(feature = "long")]
#[test]
fn a_device_with_keep_alive_takes_every_socket_back_in_its_time() {
    let settings = "connections = 5\nbaseline = '500ms'\nwatch_reclaim = '30s'\nclient_interval = '500ms'\n\
                    timeout_connect = '1s'\ntimeout_read = '1s'";
    let Some(stats) = run("robust", settings, "23000-23999") else { return };
    assert_eq!((stats.served, stats.never_reclaimed), (5, 0), "{stats:?}");
    assert_eq!(stats.evidence, [espstress_stats::ReclaimEvidence::Reset], "{stats:?}");
    for connection in &stats.connections {
        // Idle 10 s, then three probes three seconds apart; the host's timers are coarse.
        let after = connection.reclaimed_after_ns.unwrap();
        assert!((18_000_000_000..23_000_000_000).contains(&after), "{connection:?}");
    }
    assert!(stats.served_again_ns.is_some(), "{stats:?}");
}

#[test]
fn a_status_that_says_there_is_no_room_is_no_service() {
    static OPEN: AtomicUsize = AtomicUsize::new(0);
    let target = crate::common::server(|mut stream| {
        let has_room = OPEN.fetch_add(1, Ordering::SeqCst) < 5;
        if has_room {
            crate::common::answer_all(stream);
        } else if !crate::common::request(&mut stream).is_empty() {
            let _ = stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
        }
        OPEN.fetch_sub(1, Ordering::SeqCst);
    });
    let mut outcome =
        crate::common::run_from("half-open", QUICK, Endpoints::only(target), "24000-24999".parse().unwrap());
    let stats = *outcome.workloads.remove(0).stats.half_open.unwrap();
    if let Some(reason) = &stats.unavailable {
        assert!(reason.contains("CAP_NET_ADMIN"), "{reason}");
        println!("SKIPPED: {reason}");
        return;
    }
    assert!((4..=5).contains(&stats.served), "the client is one of five now and then: {stats:?}");
    assert_eq!(stats.limit, espstress_stats::LimitReached::Device, "{stats:?}");
    assert!(stats.failures.iter().all(|failure| failure.met == Failure::BadStatus), "{stats:?}");
}

/// The client is served when its answer is in. What the device does with the connection afterwards is told apart.
#[test]
fn a_slow_close_is_no_part_of_the_time_that_an_answer_took() {
    const CLOSES_AFTER: Duration = Duration::from_millis(300);
    let target = crate::common::server(|mut stream| {
        while !crate::common::request(&mut stream).is_empty() {
            let _ = stream.write_all(crate::common::OK);
        }
        std::thread::sleep(CLOSES_AFTER);
    });
    let settings = QUICK.replace("connections = 20", "connections = 2");
    let ports = "25000-25999".parse().unwrap();
    let mut outcome = crate::common::run_from("half-open", &settings, Endpoints::only(target), ports);
    let stats = outcome.workloads.remove(0).stats;
    let median = |phase| stats.latency.get(&phase).and_then(|pair| pair.corrected.quantile_ns(0.5));
    assert!(median(Phase::Close) >= Some(CLOSES_AFTER.as_nanos() as u64), "{stats:?}");
    assert!(median(Phase::Total) < Some(CLOSES_AFTER.as_nanos() as u64), "{stats:?}");
    // Those whose close the end of the run cut off are told as well, and what was said on all connections.
    assert_eq!(stats.responses.iter().map(|(_, n)| n).sum::<u64>(), stats.succeeded, "{stats:?}");
    let answers = stats.succeeded + stats.half_open.as_ref().map_or(0, |h| u64::from(h.served));
    assert_eq!(stats.bytes_received, answers * crate::common::OK.len() as u64, "{stats:?}");
    assert!(stats.bytes_sent > stats.bytes_received, "a request is longer: {stats:?}");
}
