//! The outage workload against the device program on the host's own stack.

mod dialling_in;
mod made;
mod recovery;
mod stalls;

use espstress_device::Service;
use espstress_diagnose::{Finding, FindingId};
use espstress_engine::{DeviceFacts, Outcome, Plan};
use espstress_event::{Endpoints, Event};
use espstress_stats::{OutageRow, OutageStats, WorkloadStats};
use espstress_targets::sim::Sim;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

fn endpoints(sim: &Sim) -> Endpoints {
    let addresses = sim.addresses();
    Endpoints {
        http: sim.address(Service::Http),
        tls_name: None,
        framed: addresses.get(Service::Framed),
        raw: addresses.get(Service::Raw),
        line: addresses.get(Service::Line),
        telemetry: addresses.get(Service::Telemetry),
    }
}

fn plan(endpoints: Endpoints, capacity: Option<u32>, settings: &str, ports: &str) -> Plan {
    Plan {
        device: DeviceFacts { capacity, ..DeviceFacts::default() },
        seed: 7,
        ..crate::common::plan("outage", settings, endpoints, ports.parse().unwrap())
    }
}

fn run(sim: &Sim, settings: &str, ports: &str) -> WorkloadStats {
    let plan = plan(endpoints(sim), Some(sim.capacity().into()), settings, ports);
    let mut outcome = espstress_engine::run(plan, &mut |_: &Event| {}).unwrap();
    outcome.workloads.remove(0).stats
}

/// The outages' part; `None`, said aloud, where this machine does not let a host fall silent.
fn filtered(stats: &WorkloadStats) -> Option<&OutageStats> {
    let outage = stats.outage.as_deref().unwrap();
    match &outage.unavailable {
        Some(reason) if reason.contains("CAP_NET_ADMIN") => {
            println!("SKIPPED: {reason}");
            None
        }
        Some(reason) => panic!("{reason}"),
        None => Some(outage),
    }
}

fn balanced(outage: &OutageStats) {
    assert!(outage.to_device.balances(), "{:?}", outage.to_device);
    assert!(outage.to_host.balances(), "{:?}", outage.to_host);
    assert_eq!(outage.contradictions, 0, "{outage:?}");
    assert_eq!(outage.to_device.unknown + outage.to_host.unknown, 0, "{outage:?}");
}

fn rows(outage: &OutageStats) -> Vec<OutageRow> {
    outage.rows.iter().copied().collect()
}

/// A host that listens, and the port that a device has to dial.
fn listening(settings: &str, plan: impl FnOnce(&str) -> Plan) -> (JoinHandle<Outcome>, u16) {
    let (ports, port) = mpsc::channel();
    let plan = plan(&format!("listen = 0\n{settings}"));
    let host = std::thread::spawn(move || {
        let mut sink = |event: &Event| {
            if let Event::Notice { text } = event
                && let Some(port) = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok())
            {
                ports.send(port).unwrap();
            }
        };
        espstress_engine::run(plan, &mut sink).unwrap()
    });
    let port = port.recv_timeout(Duration::from_secs(10)).unwrap();
    (host, port)
}

/// A plan against a device of which nothing is known.
fn of_nobody(settings: &str) -> Plan {
    plan(Endpoints::only("127.0.0.1:9".parse().unwrap()), None, settings, "20800-20899")
}

/// The outages of a run that listened.
fn listened(host: JoinHandle<Outcome>) -> (OutageStats, Vec<Finding>) {
    let mut outcome = host.join().unwrap();
    let stats = outcome.workloads.remove(0).stats;
    // That this machine was busy says nothing of the devices.
    outcome.findings.retain(|finding| finding.id != FindingId::HostLimited);
    (*stats.outage.unwrap(), outcome.findings)
}

/// A device that dials with its number and sends `lines` lines of data, one every 50 ms, or until the host closes.
fn dialler(port: u16, lines: u32) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"1\n").unwrap();
    for n in 1..=lines {
        // The host has closed: its run is over.
        if stream.write_all(format!("[{n},0]\n").as_bytes()).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    stream
}
