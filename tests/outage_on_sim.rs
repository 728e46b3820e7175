//! The outage workload against the device program on the host's own stack.

use std::sync::mpsc;
use std::time::Duration;

use espstress::engine::{
    self, Capturing, DeviceFacts, Plan, PlannedPhase, Ports, Probing, StartRule, WatchPlan,
};
use espstress::event::{Endpoints, Event};
use espstress::stats::{OutageOrigin, OutageRow, OutageStats, WorkloadStats};
use espstress::target::sim::{Sim, SimConfig};
use espstress::workload;
use espstress_device::Service;
use espstress_device::config::LineTimes;

fn endpoints(sim: &Sim) -> Endpoints {
    let addresses = sim.addresses();
    Endpoints {
        http: sim.address(Service::Http),
        framed: addresses.get(Service::Framed),
        raw: addresses.get(Service::Raw),
        line: addresses.get(Service::Line),
        telemetry: addresses.get(Service::Telemetry),
    }
}

fn plan(endpoints: Endpoints, capacity: Option<u32>, settings: &str, ports: &str) -> Plan {
    let table: toml::Table = settings.parse().unwrap();
    let kind = workload::kind("outage").unwrap();
    let phase = PlannedPhase {
        name: "outage".into(),
        start: StartRule::AfterPrevious,
        workload: (kind.build)(&table).unwrap(),
    };
    Plan {
        scenario: "test".into(),
        target: "sim".into(),
        endpoints,
        device: DeviceFacts { capacity, ..DeviceFacts::default() },
        phases: vec![phase],
        ports: Ports::Restricted(ports.parse().unwrap()),
        source: None,
        seed: 7,
        watch: WatchPlan {
            capturing: Capturing::Off,
            interface: None,
            pcap: None,
            after: Duration::ZERO,
            syn_deadline: Duration::from_secs(5),
        },
        probing: Probing::Off,
        #[cfg(target_os = "linux")]
        twin: None,
        control_token: None,
    }
}

fn run(sim: &Sim, settings: &str, ports: &str) -> WorkloadStats {
    let plan = plan(endpoints(sim), Some(sim.capacity().into()), settings, ports);
    let mut outcome = engine::run(plan, &mut |_: &Event| {}).unwrap();
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

#[test]
fn connections_live_through_a_short_silence_and_lose_nothing() {
    let sim = Sim::start(SimConfig::default()).unwrap();
    let settings = "by = 'filter'\ncycles = 3\noutage = '300ms'\nevery = '1s'\nheartbeat = '100ms'\n\
                    peer_timeout = '2s'\nconnections = 2";
    let stats = run(&sim, settings, "20000-20099");
    let Some(outage) = filtered(&stats) else { return };
    balanced(outage);
    assert_eq!((outage.made, outage.made_seen, outage.unrecovered), (3, 3, 0), "{outage:?}");
    assert_eq!((outage.fates.lived, outage.fates.died), (6, 0), "{:?}", rows(outage));
    assert_eq!(outage.to_device.lost + outage.to_host.lost, 0, "{outage:?}");
    for row in rows(outage) {
        assert!(row.length_seen_ns() >= Some(200_000_000), "at least the silence less a heartbeat: {row:?}");
        let early = row.made_start_ns.unwrap().saturating_sub(row.seen_start_ns.unwrap());
        assert!(early <= 150_000_000, "the start as seen is within a heartbeat: {row:?}");
        assert!(row.first_data_ns >= row.made_end_ns && row.recovered_ns >= row.first_data_ns, "{row:?}");
    }
}

#[test]
fn connections_die_in_a_long_silence_and_come_back_with_every_message_accounted_for() {
    let sim = Sim::start(SimConfig::default()).unwrap();
    let settings = "by = 'filter'\ncycles = 1\noutage = '1500ms'\nevery = '1s'\nheartbeat = '100ms'\n\
                    peer_timeout = '500ms'\nstable = '200ms'\nconnections = 2";
    let stats = run(&sim, settings, "20100-20199");
    let Some(outage) = filtered(&stats) else { return };
    balanced(outage);
    let rows = rows(outage);
    assert_eq!((rows[0].lived, rows[0].died), (0, 2), "{rows:?}");
    assert!(rows[0].half_open_on_device.is_some(), "the telemetry tells: {rows:?}");
    assert!(rows[0].host_noticed_ns < rows[0].made_end_ns, "{rows:?}");
    assert!(rows[0].device_noticed_ns.is_none_or(|at| Some(at) > rows[0].host_noticed_ns), "{rows:?}");
    assert_eq!(outage.fates.reconnected, 2);
    assert_eq!(stats.failures.of_device(), 0, "what an outage breaks is not the device's failure");
}

#[test]
fn the_device_leaves_its_network_when_asked_with_its_token() {
    let config = SimConfig { token: Some("secret".into()), ..SimConfig::default() };
    let sim = Sim::start(config).unwrap();
    let settings = "by = 'device'\ntoken = 'secret'\ncycles = 2\noutage = '600ms'\nevery = '1s'\n\
                    heartbeat = '100ms'\npeer_timeout = '300ms'\nstable = '100ms'\nconnections = 2";
    let stats = run(&sim, settings, "20200-20299");
    let outage = stats.outage.as_deref().unwrap();
    balanced(outage);
    assert_eq!((outage.made, outage.made_seen, outage.unrecovered), (2, 2, 0), "{outage:?}");
    for row in rows(outage) {
        let length = row.length_seen_ns().unwrap();
        assert!((500_000_000..800_000_000).contains(&length), "within a heartbeat: {row:?}");
    }
}

#[test]
fn a_wrong_token_makes_no_outage_and_says_so() {
    let config = SimConfig { token: Some("secret".into()), ..SimConfig::default() };
    let sim = Sim::start(config).unwrap();
    let settings = "by = 'device'\ntoken = 'guess'\ncycles = 1\noutage = '100ms'\nevery = '200ms'\n\
                    heartbeat = '100ms'\nconnections = 1";
    let stats = run(&sim, settings, "20300-20399");
    let outage = stats.outage.as_deref().unwrap();
    assert_eq!((outage.made, outage.make_failures), (0, 1));
    assert!(outage.make_failure_examples[0].message.contains("403"), "{:?}", outage.make_failure_examples);
}

#[test]
fn a_script_that_fails_is_no_outage() {
    let sim = Sim::start(SimConfig::default()).unwrap();
    let settings = "by = 'command'\noff = 'echo no such interface >&2; exit 3'\non = 'true'\ncycles = 2\n\
                    outage = '100ms'\nevery = '200ms'\nheartbeat = '100ms'\nconnections = 1";
    let stats = run(&sim, settings, "20400-20499");
    let outage = stats.outage.as_deref().unwrap();
    assert_eq!((outage.made, outage.natural, outage.make_failures), (0, 0, 2));
    let failure = &outage.make_failure_examples[0];
    assert_eq!((failure.what.as_str(), failure.exit_status), ("command --off", Some(3)));
    assert_eq!(failure.message, "no such interface");
    balanced(outage);
}

#[test]
fn a_link_that_cannot_be_cut_is_said_to_be_missing() {
    let sim = Sim::start(SimConfig::default()).unwrap();
    let stats = run(&sim, "by = 'link'\ncycles = 1", "20500-20599");
    let reason = stats.outage.as_deref().unwrap().unavailable.clone().unwrap();
    assert!(reason.contains("--by"), "{reason}");
}

#[test]
fn restarts_of_the_device_are_natural_outages_and_messages_are_still_accounted_for() {
    let persona = "rebooting:every=2s".parse().unwrap();
    let sim = Sim::start(SimConfig { persona, ..SimConfig::default() }).unwrap();
    let settings = "by = 'none'\nduration = '6s'\nheartbeat = '100ms'\npeer_timeout = '500ms'\nstable = '0s'\n\
                    connections = 2";
    let stats = run(&sim, settings, "20600-20699");
    let outage = stats.outage.as_deref().unwrap();
    assert!(outage.to_device.balances() && outage.to_host.balances(), "{outage:?}");
    assert!(outage.natural >= 1 && outage.made == 0, "{outage:?}");
    assert!(outage.device_restarts >= 1 && outage.sessions_forgotten >= 1, "{outage:?}");
    assert!(rows(outage).iter().all(|row| row.origin == OutageOrigin::Natural));
}

#[test]
fn idle_spells_end_with_every_connection_alive() {
    let sim = Sim::start(SimConfig::default()).unwrap();
    let settings = "by = 'command'\noff = 'true'\non = 'true'\ncycles = 1\noutage = '100ms'\nevery = '200ms'\n\
                    heartbeat = '100ms'\npeer_timeout = '300ms'\nidle = '1s'\nconnections = 2";
    let stats = run(&sim, settings, "20700-20799");
    let outage = stats.outage.as_deref().unwrap();
    balanced(outage);
    assert_eq!((outage.idle.spells, outage.idle.lived, outage.idle.died), (1, 2, 0), "{outage:?}");
}

#[test]
fn four_devices_dial_in_and_each_keeps_its_own_ledger() {
    let (ports, port) = mpsc::channel();
    let settings = "listen = 0\nduration = '6s'\npeer_timeout = '600ms'\ndata_interval = '200ms'";
    let nobody = Endpoints::only("127.0.0.1:9".parse().unwrap());
    let plan = plan(nobody, None, settings, "20800-20899");
    let host = std::thread::spawn(move || {
        let mut sink = |event: &Event| {
            if let Event::Notice { text } = event
                && let Some(port) = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok())
            {
                ports.send(port).unwrap();
            }
        };
        engine::run(plan, &mut sink).unwrap()
    });
    let port = port.recv_timeout(Duration::from_secs(10)).unwrap();
    let line = LineTimes { timeout: Duration::from_millis(600), data_interval: Duration::from_millis(200) };
    let sims: Vec<Sim> = (1..=4)
        .map(|number| {
            let dial = Some(("127.0.0.1".to_owned(), port));
            Sim::start(SimConfig { number, dial, line, ..SimConfig::default() }).unwrap()
        })
        .collect();
    let mut outcome = host.join().unwrap();
    let stats = outcome.workloads.remove(0).stats;
    let outage = stats.outage.as_deref().unwrap();
    let ids: Vec<u8> = outage.dialled.iter().map(|device| device.id).collect();
    assert_eq!(ids, [1, 2, 3, 4], "{outage:?}");
    for device in &outage.dialled {
        assert!(device.to_device.balances() && device.to_host.balances(), "{device:?}");
        assert!(device.to_device.acknowledged > 5 && device.to_host.acknowledged > 5, "{device:?}");
        assert_eq!((device.outages, device.to_host.lost), (0, 0), "{device:?}");
    }
    drop(sims);
}
