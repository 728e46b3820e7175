//! The conformance checks against smoltcp behind a TAP device: each in a network namespace of its own.

use std::env;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use espstress_device::conformance::{self, Backlog, PERSONA_CHECKS, SERVICE_CHECKS};
use espstress_device::text::Token;
use espstress_device::{Config, Persona, Service};
use espstress_embassy::tap::TapDevice;

/// Tells the started program which case it is for.
const CASE: &str = "ESPSTRESS_EMBASSY_CASE";

const DEVICE: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 91);

/// Runs the body in a process and a network namespace of its own; says so and passes where that cannot be had, unless
/// `ESPSTRESS_REQUIRE` names the twin.
fn isolated(case: &str, body: impl FnOnce()) {
    if env::var_os(CASE).is_some_and(|wanted| wanted == case) {
        return body();
    }
    if let Err(why) = possible() {
        let required = env::var("ESPSTRESS_REQUIRE").is_ok_and(|required| required.contains("twin"));
        assert!(!required, "{case}: {why}");
        println!("SKIPPED: {why}");
        return;
    }
    let program = env::current_exe().expect("the test program's path");
    let mut command = Command::new("unshare");
    command.args(["--net", "--map-root-user"]).arg(program).args(["--exact", case, "--nocapture"]);
    let output = command.env(CASE, case).output().expect("the test program starts");
    print!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{case}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Tries what the cases need, in a namespace that is thrown away.
fn possible() -> Result<(), String> {
    let attempt = "ip tuntap add dev t mode tap && ip link set dev t up";
    let output = Command::new("unshare").args(["--net", "--map-root-user", "sh", "-c", attempt]).output();
    let output = output.map_err(|error| format!("unshare: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Starts a device in this process's namespace and waits until it answers.
fn start(persona: Persona) -> conformance::Device {
    let device = TapDevice::open("tap0", DEVICE, 24).expect("a TAP device");
    let up = "ip addr add 192.168.4.1/24 dev tap0 && ip link set dev tap0 up && ip link set dev lo up";
    assert!(Command::new("sh").args(["-c", up]).status().expect("a shell").success());
    let token = Token::new(conformance::TOKEN).expect("short enough");
    let config = Config { persona, token, ..Config::default() };
    let capacity = config.capacity().into();
    std::thread::spawn(move || device.run(config));
    let addresses = Service::ALL.map(|service| (service, SocketAddr::from((DEVICE, service.port()))));
    conformance::Device { addresses: addresses.into(), capacity, backlog: Backlog::Kept }
}

/// Waits until the network is up, without being served.
fn await_network() {
    let end = Instant::now() + Duration::from_secs(10);
    let raw = SocketAddr::from((DEVICE, 9));
    // Nobody listens there: a RST says that the stack is up.
    while TcpStream::connect_timeout(&raw, Duration::from_secs(1))
        .is_err_and(|error| error.kind() != std::io::ErrorKind::ConnectionRefused)
    {
        assert!(Instant::now() < end, "the device does not come up");
    }
}

#[test]
fn every_service_does_what_it_does_on_the_other_carriers() {
    isolated("every_service_does_what_it_does_on_the_other_carriers", || {
        let device = start(Persona::ROBUST);
        await_network();
        let faults: Vec<_> = SERVICE_CHECKS.iter().filter_map(|check| check.run(&device).err()).collect();
        assert!(faults.is_empty(), "{faults:#?}");
    });
}

/// One test a persona, each against a device that has just started.
macro_rules! personas {
    ($($name:ident => $at:expr),* $(,)?) => {
        $(#[test]
        fn $name() {
            isolated(stringify!($name), || {
                let check = &PERSONA_CHECKS[$at];
                let device = start(check.persona.parse().expect("a persona"));
                await_network();
                check.run(&device).unwrap();
            });
        })*

        #[test]
        fn no_persona_is_left_out() {
            assert_eq!([$($at),*].len(), PERSONA_CHECKS.len());
        }
    };
}

personas! {
    robust_closes_after_the_peer => 0,
    unread_close_resets_after_the_answer => 1,
    early_close_answers_and_closes_before_the_request => 2,
    serial_serves_the_second_after_the_first => 3,
    no_keepalive_closes_after_the_peer => 4,
    leaky_loses_a_slot_with_each_reset => 5,
    hoarder_keeps_bytes_of_each_request => 6,
    slow_accept_takes_its_time_for_each_connection => 7,
    deaf_stops_reading => 8,
    half_closer_holds_its_side_open => 9,
    frozen_answers_nothing_but_telemetry => 10,
    rebooting_starts_again_and_again => 11,
}
