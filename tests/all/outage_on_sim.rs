//! The outage workload against the device program on the host's own stack.

use std::future::Future;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use espstress_device::Service;
use espstress_device::config::LineTimes;
use espstress_device::telemetry::{MAX_LEN, REQUEST};
use espstress_diagnose::{Finding, FindingId, Severity};
use espstress_engine::{Capturing, DeviceFacts, Outcome, Packets, Plan, PlannedPhase, StartRule};
use espstress_event::{Endpoints, Event, Expected, WorkloadFacts, WorkloadKind};
use espstress_stats::{OutageOrigin, OutageRow, OutageStats, Phase, WorkloadStats};
use espstress_targets::sim::{Sim, SimConfig};
use espstress_workload::{Context, Workload};

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
        assert!(row.first_data_ns >= row.made_end_ns && row.recovered_ns >= row.made_end_ns, "{row:?}");
    }
    // Of the best one: others may be at work on this machine, and heartbeats come late.
    let early = |row: &OutageRow| row.made_start_ns.unwrap().saturating_sub(row.seen_start_ns.unwrap());
    let earliest = rows(outage).iter().map(early).min();
    assert!(earliest <= Some(150_000_000), "the start as seen is within a heartbeat: {:?}", rows(outage));
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
    let seen: Vec<u64> = rows(outage).iter().map(|row| row.length_seen_ns().unwrap()).collect();
    assert!(seen.iter().all(|length| *length >= 500_000_000), "at least all but a heartbeat: {seen:?}");
    assert!(seen.iter().any(|length| *length < 800_000_000), "within a heartbeat: {seen:?}");
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
    let stats = run(&sim, "by = 'link'\ncycles = 1", "20500-20579");
    let reason = stats.outage.as_deref().unwrap().unavailable.clone().unwrap();
    assert!(reason.contains("--by"), "{reason}");
}

#[test]
fn a_service_that_speaks_something_else_has_no_outages() {
    let sim = Sim::start(SimConfig::default()).unwrap();
    let other = Endpoints { framed: None, telemetry: None, ..endpoints(&sim) };
    let settings =
        "by = 'none'\nduration = '60s'\nheartbeat = '100ms'\npeer_timeout = '300ms'\nconnections = 1";
    let mut outcome =
        espstress_engine::run(plan(other, None, settings, "20580-20599"), &mut |_: &Event| {}).unwrap();
    let stats = outcome.workloads.remove(0).stats;
    let outage = stats.outage.as_deref().unwrap();
    assert!(
        outage.unavailable.as_ref().unwrap().contains("does not speak the framed protocol"),
        "{outage:?}"
    );
    assert_eq!((outage.natural, outage.made), (0, 0));
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

#[test]
fn where_no_device_dials_in_there_is_nothing_to_judge() {
    let (host, port) = listening("duration = '1s'", of_nobody);
    let (outage, findings) = listened(host);
    assert_eq!(outage.unavailable, Some(format!("no device dialled in to port {port}")));
    assert!(findings.is_empty(), "{findings:?}");
}

#[test]
fn a_client_that_is_none_of_these_devices_is_turned_away_with_what_it_said() {
    let (host, port) = listening("duration = '2s'", of_nobody);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let (outage, _) = listened(host);
    let reason = outage.unavailable.unwrap();
    assert!(reason.contains("1 turned away") && reason.contains("\"GET / HTTP/1.1\""), "{reason}");
    assert_eq!(outage.turned_away, 1);
}

#[cfg(feature = "long")]
#[test]
fn a_device_that_leaves_for_good_is_gone_whether_it_closes_or_falls_silent() {
    let settings = "duration = '13s'\npeer_timeout = '300ms'\nstable = '600ms'\ndata_interval = '1s'";
    let both = [true, false].map(|closes| {
        let (host, port) = listening(settings, of_nobody);
        let stream = dialler(port, 10);
        (closes, host, if closes { None } else { Some(stream) })
    });
    for (closes, host, _silent) in both {
        let (outage, findings) = listened(host);
        let gone: Vec<_> = findings.iter().map(|f| (f.id, f.severity)).collect();
        assert!(gone.contains(&(FindingId::DeviceUnreachable, Severity::Error)), "{closes}: {findings:?}");
        let device = &outage.dialled[0];
        assert!(device.away_since_ns.is_some() && device.connections == 1, "{device:?}");
        assert_eq!((device.to_host.acknowledged, device.to_host.lost), (10, 0), "{device:?}");
        assert_eq!((outage.natural, outage.unrecovered), (1, 1), "{outage:?}");
        assert!(outage.to_device.balances() && outage.to_host == device.to_host, "{outage:?}");
    }
}

#[test]
fn a_device_that_closes_and_dials_again_has_had_no_outage() {
    let (host, port) = listening("duration = '3s'\npeer_timeout = '1s'", of_nobody);
    drop(dialler(port, 2));
    let stream = dialler(port, 400);
    let (outage, findings) = listened(host);
    drop(stream);
    let device = &outage.dialled[0];
    assert_eq!((device.connections, device.closed_by_device, device.outages), (2, 1, 0), "{device:?}");
    assert_eq!((outage.natural, outage.unrecovered, device.away_since_ns), (0, 0, None), "{outage:?}");
    assert!(findings.is_empty(), "{findings:?}");
}

#[test]
fn without_telemetry_nobody_knows_when_an_outage_ended_and_how_long_the_recovery_took() {
    let settings = "duration = '5s'\npeer_timeout = '300ms'\ncycles = 1000";
    let (host, port) = listening(settings, of_nobody);
    let mut silent = dialler(port, 4);
    // Until the host has given it up: with a FIN, or with a RST, which is an error here.
    while matches!(silent.read(&mut [0; 64]), Ok(1..)) {}
    let back = dialler(port, 400);
    let (outage, _) = listened(host);
    drop(back);
    let row = rows(&outage)[0];
    assert_eq!((row.recovery_ns(), row.length_seen_ns(), row.device), (None, None, Some(1)), "{row:?}");
    assert!(row.recovered_ns > row.host_noticed_ns && row.first_data_ns > row.recovered_ns, "{row:?}");
    assert_eq!((outage.natural, outage.unrecovered, outage.fates.reconnected), (1, 0, 1), "{outage:?}");
}

/// What a device answers to a question of telemetry.
fn telemetry() -> Vec<u8> {
    let sim = Sim::start(SimConfig::default()).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.send_to(REQUEST.as_bytes(), sim.address(Service::Telemetry)).unwrap();
    let mut answer = vec![0; MAX_LEN];
    let length = socket.recv(&mut answer).unwrap();
    answer.truncate(length);
    answer
}

/// A device that dials in and counts its lines of data, and those of its host.
struct Counting {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
    sent: u32,
    received: u32,
}

impl Counting {
    fn dial(port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(b"1\n").unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap());
        Self { stream, lines, sent: 0, received: 0 }
    }

    /// Answers each line of data with one of its own until `most` have come; `false` once the host has hung up.
    fn talk(&mut self, most: u32) -> bool {
        let mut line = String::new();
        while self.received < most {
            line.clear();
            match self.lines.read_line(&mut line) {
                Ok(0) | Err(_) => return false,
                Ok(_) if line == "\n" => continue,
                Ok(_) => self.received += 1,
            }
            self.sent += 1;
            if self.stream.write_all(format!("[{},{}]\n", self.sent, self.received).as_bytes()).is_err() {
                return false;
            }
        }
        true
    }

    /// Says no more, and waits until the host has hung up.
    fn fall_silent(mut self) {
        while matches!(self.lines.read_line(&mut String::new()), Ok(1..)) {}
    }
}

#[test]
fn with_telemetry_the_recovery_of_a_device_that_dials_in_is_counted_from_the_end_of_the_outage() {
    let (answer, socket) = (telemetry(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let endpoints = Endpoints {
        telemetry: Some(socket.local_addr().unwrap()),
        ..Endpoints::only("127.0.0.1:9".parse().unwrap())
    };
    let settings = "duration = '8s'\npeer_timeout = '600ms'\ndata_interval = '50ms'";
    let (host, port) = listening(settings, |settings| plan(endpoints, None, settings, "20800-20899"));
    let mut device = Counting::dial(port);
    assert!(device.talk(12), "the host hung up on a device that talks");
    device.fall_silent();
    // It answers from now on; a host that has heard it asks no more.
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    while let Ok((_, asker)) = socket.recv_from(&mut [0; 64]) {
        socket.send_to(&answer, asker).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    }
    assert!(!Counting::dial(port).talk(u32::MAX), "until the run is over");
    let (outage, _) = listened(host);
    let rows = rows(&outage);
    assert_eq!((rows.len(), outage.unrecovered), (1, 0), "{outage:?}");
    let seen = rows[0].length_seen_ns().unwrap();
    assert!(seen >= 600_000_000, "{:?}", rows[0]);
    assert!(rows[0].recovery_ns() > Some(0), "{:?}", rows[0]);
    assert!(outage.to_device.balances() && outage.to_host.balances(), "{outage:?}");
    assert!(outage.to_device.acknowledged > 10 && outage.dialled[0].connections == 2, "{outage:?}");
}

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

#[test]
fn the_first_connection_of_a_device_that_dials_in_is_captured_from_its_syn_on() {
    let (host, port) = listening("duration = '2s'", |settings| {
        let mut plan = of_nobody(settings);
        plan.watch.capturing = Capturing::On;
        plan
    });
    drop(dialler(port, 3));
    let outcome = host.join().unwrap();
    let seen = match outcome.packets {
        Packets::Seen(seen) => seen,
        Packets::Denied(reason) => return crate::common::skipped("capture", &reason),
        Packets::Off => panic!("it was asked for"),
    };
    let summary = &seen.summary;
    assert_eq!((summary.connections, summary.mid_stream, summary.strays), (1, 0, 0), "{summary:?}");
    assert!(summary.device_packets > 3, "{summary:?}");
}

#[test]
fn four_devices_dial_in_and_each_keeps_its_own_ledger() {
    let (host, port) =
        listening("duration = '6s'\npeer_timeout = '600ms'\ndata_interval = '200ms'", of_nobody);
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

/// Passes bytes on to `device` until `cut`; from then on every connection that it had is gone, one is served and the
/// others hear nothing.
fn half_of_a_door(device: SocketAddr, cut: Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        let mut served_after = 0;
        for stream in listener.incoming().flatten() {
            if cut.load(Ordering::SeqCst) {
                served_after += 1;
                if served_after > 1 {
                    silent.push(stream);
                    continue;
                }
            }
            let since = cut.load(Ordering::SeqCst);
            let onward = TcpStream::connect(device).unwrap();
            for (from, to) in [(&stream, &onward), (&onward, &stream)] {
                let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                let cut = Arc::clone(&cut);
                std::thread::spawn(move || {
                    pass_on(&mut from, &mut to, || cut.load(Ordering::SeqCst) != since)
                });
            }
        }
    });
    address
}

fn pass_on(from: &mut TcpStream, to: &mut TcpStream, over: impl Fn() -> bool) {
    from.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut bytes = [0; 4_096];
    while !over() {
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(n) => {
                if to.write_all(&bytes[..n]).is_err() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn an_outage_from_which_not_every_connection_comes_back_in_time_is_an_error() {
    let sim = Sim::start(SimConfig::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("off");
    let cut = Arc::new(AtomicBool::new(false));
    let door = half_of_a_door(sim.address(Service::Framed), Arc::clone(&cut));
    let watched = mark.clone();
    std::thread::spawn(move || {
        while !watched.exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
        cut.store(true, Ordering::SeqCst);
    });
    let settings = format!(
        "by = 'command'\noff = 'touch {}; sleep 0.3'\non = 'true'\ncycles = 1\noutage = '200ms'\nevery = '600ms'\n\
         heartbeat = '100ms'\npeer_timeout = '500ms'\nstable = '100ms'\nrecover_limit = '2s'\nconnections = 2",
        mark.display()
    );
    let endpoints = Endpoints { framed: Some(door), ..endpoints(&sim) };
    let plan = plan(endpoints, None, &settings, "20900-20999");
    let outcome = espstress_engine::run(plan, &mut |_: &Event| {}).unwrap();
    let outage = outcome.workloads[0].stats.outage.as_deref().unwrap();
    assert_eq!((outage.made, outage.unrecovered), (1, 1), "{outage:?}");
    let row = rows(outage)[0];
    assert!(row.recovered_ns.is_none() && row.gave_up_ns > row.made_end_ns, "{row:?}");
    let slow = outcome.findings.iter().find(|finding| finding.id == FindingId::SlowRecovery);
    assert_eq!(slow.map(|finding| finding.severity), Some(Severity::Error), "{:?}", outcome.findings);
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
    fn connections_planned(&self) -> Option<u64> {
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
