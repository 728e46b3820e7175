//! What the integration tests share: servers with one habit each, and runs through the library or the binary.

#![allow(unreachable_pub, reason = "a module of the tests, not a crate")]

pub mod apart;
pub mod programs;
pub mod said;
pub mod scripted;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use espstress_connection::PortRange;
use espstress_engine::{
    Capturing, DeviceFacts, Outcome, Plan, PlannedPhase, Ports, Probing, StartRule, WatchPlan,
};
use espstress_event::Endpoints;
use espstress_stats::WorkloadStats;

/// An answer that every client takes.
pub const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A server on a free port of 127.0.0.1: `serve` gets each connection on a thread of its own.
pub fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    server_at(Ipv4Addr::LOCALHOST, serve)
}

/// The same on an address of the test's own network.
pub fn server_at(address: Ipv4Addr, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// A port that nobody listens on, and that nobody else gets while the socket lives.
pub fn closed_port() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// Reads a request's head; what it held, empty at the peer's FIN.
pub fn request(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return Vec::new(),
        }
    }
    head
}

/// Answers every request on a connection until the peer closes it.
pub fn answer_all(mut stream: TcpStream) {
    while !request(&mut stream).is_empty() {
        if stream.write_all(OK).is_err() {
            return;
        }
    }
}

/// A server with one loop: it serves a client to its end, and only then accepts the next.
pub fn one_client_at_a_time(serve: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
    address
}

/// Closes with a RST.
pub fn reset(stream: TcpStream) {
    let socket = socket2::Socket::from(stream);
    socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
}

/// Runs one workload of `kind` with TOML `settings` against `target`, through the library.
pub fn run(kind: &str, settings: &str, target: SocketAddr) -> WorkloadStats {
    run_at(kind, settings, Endpoints::only(target)).workloads.remove(0).stats
}

/// Runs one workload against a device of several services.
pub fn run_at(kind: &str, settings: &str, endpoints: Endpoints) -> Outcome {
    run_from(kind, settings, endpoints, PortRange::of_this_host())
}

/// The same with source ports of the test's own.
pub fn run_from(kind: &str, settings: &str, endpoints: Endpoints, ports: PortRange) -> Outcome {
    espstress_engine::run(plan(kind, settings, endpoints, ports), &mut |_: &espstress_event::Event| {})
        .unwrap()
}

/// One workload of `kind` with TOML `settings` from source ports of its own: no packets, no probes, nothing known of
/// the device.
pub fn plan(kind: &str, settings: &str, endpoints: Endpoints, ports: PortRange) -> Plan {
    let table = settings.parse().unwrap();
    let workload = (espstress_workload::kind(kind).unwrap().build)(&table).unwrap();
    Plan {
        scenario: "test".into(),
        target: endpoints.http.to_string(),
        endpoints,
        device: DeviceFacts::default(),
        phases: vec![PlannedPhase { name: kind.into(), start: StartRule::AfterPrevious, workload }],
        course: Box::new(espstress_engine::EveryPhase),
        ports: Ports::Restricted(ports),
        source: None,
        seed: std::process::id().into(),
        watch: WatchPlan {
            captures: 1,
            capturing: Capturing::Off,
            interface: None,
            pcap: None,
            after: Duration::ZERO,
            syn_deadline: Duration::from_secs(5),
        },
        console: None,
        air: None,
        probing: Probing::Off,
        looks_first: false,
        #[cfg(target_os = "linux")]
        twin: None,
        control_token: None,
    }
}

/// The program.
pub fn espstress() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_espstress"));
    command.env("NO_COLOR", "1");
    command
}

/// Runs the program with arguments separated by blanks.
pub fn espstress_with(arguments: &str) -> Output {
    espstress().args(arguments.split_whitespace()).output().unwrap()
}

/// Standard error, and the status.
pub fn failure(output: &Output) -> (String, i32) {
    (String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code().unwrap())
}

/// The report's schema, read once.
pub fn report_schema() -> &'static jsonschema::Validator {
    static SCHEMA: LazyLock<jsonschema::Validator> =
        LazyLock::new(|| jsonschema::validator_for(&espstress_report::schema()).expect("the schema is one"));
    &SCHEMA
}

/// A JSON report, validated against the schema and read back with unknown fields denied.
pub fn valid_report(json: &[u8]) -> espstress_report::Report {
    let value: serde_json::Value = serde_json::from_slice(json)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&json[..json.len().min(400)])));
    let errors: Vec<String> =
        report_schema().iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "the report does not fit its schema: {errors:#?}");
    serde_json::from_value(value).unwrap()
}

/// The environment that a test needs is missing: said, and a failure where it is required.
pub fn skipped(needs: &str, why: &str) {
    // Not by println!, which a test that passes keeps to itself.
    let _ = writeln!(std::io::stdout(), "SKIPPED: {why}");
    let required = std::env::var("ESPSTRESS_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|one| one == needs), "{needs} is required here: {why}");
}
