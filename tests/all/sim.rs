//! What a sim does as a device of its own: restarts, outages, dialling out, readings.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use espstress_device::config::LineTimes;
use espstress_device::{Service, Services};
use espstress_targets::sim::{Sim, SimConfig};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(10);

fn start(config: SimConfig) -> Sim {
    Sim::start(SimConfig { token: Some("secret".to_owned()), ..config }).expect("sim starts")
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("socket option");
    stream
}

fn control(sim: &Sim, query: &str) {
    let mut stream = connect(sim.address(Service::Http));
    let request = format!(
        "POST /control?{query} HTTP/1.1\r\nHost: sim\r\nAuthorization: Bearer secret\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("write");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Asks until there is an answer: a device that restarts or is away has none.
#[track_caller]
fn telemetry(sim: &Sim) -> Value {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
    socket.set_read_timeout(Some(Duration::from_millis(50))).expect("socket option");
    let give_up = Instant::now() + PATIENCE;
    let mut bytes = [0; 2048];
    loop {
        socket.send_to(b"telemetry", sim.address(Service::Telemetry)).expect("send");
        if let Ok(len) = socket.recv(&mut bytes) {
            return serde_json::from_slice(&bytes[..len]).expect("telemetry is JSON");
        }
        assert!(Instant::now() < give_up, "no telemetry");
    }
}

#[test]
fn a_reboot_resets_connections_and_comes_back_on_the_same_ports() {
    let sim = start(SimConfig::default());
    let mut held = connect(sim.address(Service::Framed));
    assert_eq!(telemetry(&sim)["boot_count"], 1);
    control(&sim, "reboot=true");
    let ended = held.read(&mut [0; 1]).expect_err("a restart is no orderly end");
    assert_eq!(ended.kind(), ErrorKind::ConnectionReset);
    let after = telemetry(&sim);
    assert_eq!(after["boot_count"], 2);
    assert_eq!(after["reset_reason"], "SW");
    connect(sim.address(Service::Http));
}

#[test]
fn while_a_sim_boots_its_ports_refuse() {
    let sim = start(SimConfig {
        persona: "rebooting:every=500ms".parse().expect("a persona"),
        boot_time: Duration::from_secs(5),
        ..SimConfig::default()
    });
    let give_up = Instant::now() + PATIENCE;
    let error = loop {
        match TcpStream::connect(sim.address(Service::Http)) {
            Ok(_) => assert!(Instant::now() < give_up, "never refused"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn an_outage_is_silence_for_so_long_and_then_service() {
    let sim = start(SimConfig::default());
    let mut stream = connect(sim.address(Service::Http));
    let commanded = Instant::now();
    control(&sim, "outage_ms=600");
    // The command waits for its answer to get out first.
    std::thread::sleep(Duration::from_millis(300));
    stream.write_all(b"HEAD / HTTP/1.1\r\nHost: sim\r\n\r\n").expect("write");
    let n = stream.read(&mut [0; 512]).expect("an answer after the outage");
    assert!(n > 0);
    // However late this machine lets the request go out: the outage began after its command.
    assert!(commanded.elapsed() >= Duration::from_millis(600), "answered after {:?}", commanded.elapsed());
}

#[test]
fn a_sim_dials_its_host_says_its_number_and_dials_again_after_a_loss() {
    let host = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = host.local_addr().expect("address").port();
    let _sim = start(SimConfig {
        number: 4,
        dial: Some(("127.0.0.1".to_owned(), port)),
        line: LineTimes { timeout: Duration::from_secs(1), data_interval: Duration::from_millis(50) },
        ..SimConfig::default()
    });
    for round in 0..2 {
        let (stream, _) = host.accept().expect("the device dials");
        stream.set_read_timeout(Some(PATIENCE)).expect("socket option");
        let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
        assert_eq!(lines.next().as_deref(), Some("4"), "round {round}");
        let data = lines.find(|line| !line.is_empty());
        assert_eq!(data.as_deref(), Some("[1,0]"), "round {round}");
        // This host says nothing: the device notices and hangs up.
        assert!(lines.all(|line| line.is_empty() || line.starts_with('[')), "round {round}");
    }
}

#[test]
fn a_sim_without_an_accounted_heap_has_none_and_one_with_it_counts_what_is_hoarded() {
    let plain = start(SimConfig::default());
    assert!(telemetry(&plain)["heap"].is_null());
    let hoarder = start(SimConfig {
        persona: "hoarder".parse().expect("a persona"),
        accounted_heap: Some(10_000),
        ..SimConfig::default()
    });
    let mut stream = connect(hoarder.address(Service::Http));
    stream.write_all(b"HEAD / HTTP/1.1\r\nHost: sim\r\n\r\n").expect("write");
    assert!(stream.read(&mut [0; 512]).expect("read") > 0);
    assert_eq!(telemetry(&hoarder)["heap"]["free_bytes"], 10_000 - 256);
}

#[test]
fn services_that_are_off_take_no_socket_and_have_no_address() {
    let services = Services::NONE.with(Service::Http).with(Service::Telemetry);
    let sim = start(SimConfig { services, ..SimConfig::default() });
    assert_eq!(sim.capacity(), 8);
    assert_eq!(sim.addresses().get(Service::Raw), None);
    assert_eq!(telemetry(&sim)["capacity"], 8);
}

#[test]
fn a_setup_without_room_for_connections_is_refused() {
    let error = Sim::start(SimConfig { sockets: 5, ..SimConfig::default() })
        .expect_err("five sockets are the services' own");
    assert!(error.to_string().contains("sockets"), "{error}");
}
