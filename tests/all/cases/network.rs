//! What the network between does: a device in a network namespace of its own, which can be unplugged or restarted.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cases::DOCTOR;
use crate::common::apart::{OWN_NETWORK, apart, ip};
use crate::common::said::said;
use crate::common::{espstress_with, failure, skipped};

/// A process that is ended with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A network namespace beside the test's.
struct Namespace {
    holder: Ended,
}

impl Namespace {
    fn new() -> Self {
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        let holder = Ended(Command::new("unshare").args(["--net", "sleep", "infinity"]).spawn().unwrap());
        let made = Self { holder };
        let give_up = Instant::now() + Duration::from_secs(60);
        while std::fs::read_link(made.path()).unwrap() == own {
            assert!(Instant::now() < give_up, "no second namespace");
            std::thread::sleep(Duration::from_millis(5));
        }
        made
    }

    fn path(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.holder.0.id()).into()
    }

    fn id(&self) -> u32 {
        self.holder.0.id()
    }

    /// A command in it.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg(program).stdin(Stdio::null());
        command
    }

    fn ip(&self, arguments: &str) {
        let status = self.command("ip").args(arguments.split(' ')).status().unwrap();
        assert!(status.success(), "ip {arguments}");
    }
}

const DEVICE: &str = "10.77.0.2:80";

/// The host's end of a cable, and the device at the other, `vd` in a namespace of its own.
fn cable() -> Namespace {
    let device = Namespace::new();
    ip("link set lo up");
    ip(&format!("link add vh type veth peer name vd netns {}", device.id()));
    ip("addr add 10.77.0.1/24 dev vh");
    ip("link set vh up");
    for arguments in ["link set lo up", "addr add 10.77.0.2/24 dev vd", "link set vd up"] {
        device.ip(arguments);
    }
    // A namespace lets nobody ping unless told to.
    let _ = std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0");
    device
}

/// Runs a script of Python's at the device until it is ended, and waits until it listens; `None`, and said, where there is
/// no Python.
fn at(device: &Namespace, script: &str, more: &[&str]) -> Option<(Ended, tempfile::TempDir)> {
    if Command::new("python3").arg("--version").output().is_err() {
        skipped("strangers", "no python3");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("script.py");
    std::fs::write(&file, script).unwrap();
    let child = device.command("python3").arg(file).args(["10.77.0.2", "80"]).args(more).spawn().unwrap();
    let server = Ended(child);
    let give_up = Instant::now() + Duration::from_secs(60);
    while std::net::TcpStream::connect(DEVICE).is_err() {
        assert!(Instant::now() < give_up, "the script does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some((server, folder))
}

/// A test in a network of its own.
macro_rules! in_a_network {
    ($($test:ident $body:block)*) => {
        $(#[test]
        fn $test() {
            fn body() $body
            apart("twin", concat!(module_path!(), "::", stringify!($test)), &OWN_NETWORK, body);
        })*
    };
}

const RADIO: [&str; 3] = ["radio", "roaming", "interference"];

in_a_network! {
    a_device_that_restarts_under_load_is_no_radio {
        let device = cable();
        let Some(_server) = at(&device, include_str!("restart.py"), &["crowd"]) else { return };
        said(DOCTOR, &[DEVICE]).fails_with(&["device_rebooted"]).never_says(&RADIO);
    }

    a_device_that_restarts_now_and_then_is_no_radio {
        let device = cable();
        let Some(_server) = at(&device, include_str!("restart.py"), &["every"]) else { return };
        said("head -c 6 --rate 20/s -d 18s", &[DEVICE]).fails_with(&["device_rebooted"]).never_says(&RADIO);
    }

    a_path_that_swallows_full_frames_is_no_hang {
        // host - switch - device: the switch's port to the device carries no more than 1400 bytes.
        let (device, switch) = (Namespace::new(), Namespace::new());
        ip("link set lo up");
        ip(&format!("link add vh type veth peer name left netns {}", switch.id()));
        switch.ip(&format!("link add right mtu 1400 type veth peer name vd netns {}", device.id()));
        switch.ip("link add name switch type bridge");
        for port in ["left", "right"] {
            switch.ip(&format!("link set {port} master switch"));
            switch.ip(&format!("link set {port} up"));
        }
        switch.ip("link set switch up");
        // Each segment is a frame of its own: a bridge passes on what a card would cut up.
        for arguments in [
            "link set lo up",
            "addr add 10.77.0.2/24 dev vd",
            "link set vd mtu 1500",
            "link set vd gso_max_segs 1",
            "link set vd up",
        ] {
            device.ip(arguments);
        }
        for arguments in ["addr add 10.77.0.1/24 dev vh", "link set vh gso_max_segs 1", "link set vh up"] {
            ip(arguments);
        }
        let _ = std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0");
        let Some(_server) = at(&device, include_str!("page.py"), &[]) else { return };
        said("head --method GET -n 10", &[DEVICE]).passes();
        said("head --method GET --path /big -n 3 --timeout-read 2s", &[DEVICE])
            .fails_with(&["path_mtu"])
            .never_says(&["hangs"]);
    }

    an_address_that_nobody_has_is_told_as_that {
        let _device = cable();
        let (told, status) = failure(&espstress_with("head -n 2 --no-gate 10.77.0.9"));
        assert!(status != 0 && told.contains("no answer to ARP"), "{status}: {told}");
        said(DOCTOR, &["10.77.0.9"]).fails_with(&["device_unreachable"]).says(&["ARP"]);
    }

    a_duration_ends_a_run_against_a_device_that_vanishes {
        let device = cable();
        let Some(_server) = at(&device, include_str!("page.py"), &[]) else { return };
        let unplug = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(3));
            device.ip("link set vd down");
            device
        });
        let one = said("rw --protocol http --rate 20/s -d 8s", &[DEVICE]);
        unplug.join().unwrap();
        one.within(Duration::from_secs(25)).never_says(&["PASS"]);
    }

    another_machine_at_the_devices_address_is_told_with_both_hardware_addresses {
        let device = cable();
        device.ip("link set vd address 02:00:00:00:00:01");
        let Some(_server) = at(&device, include_str!("page.py"), &[]) else { return };
        let swap = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(3));
            // As after a new lease: whoever comes announces itself, here by asking for the host.
            device.ip("link set vd address 02:00:00:00:00:02");
            ip("neigh flush dev vh");
            device
        });
        let one = said("head --method GET --rate 10/s -d 7s --no-gate -v", &[DEVICE]);
        swap.join().unwrap();
        one.says(&["10.77.0.2 changed its hardware address during the run, from 02:00:00:00:00:01 to 02:00:00:00:00:02"]);
    }

    a_device_that_gives_up_its_address_is_told_with_the_silence_of_arp {
        let device = cable();
        let Some(_server) = at(&device, include_str!("page.py"), &[]) else { return };
        let moved = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(2));
            device.ip("addr del 10.77.0.2/24 dev vd");
            ip("neigh flush dev vh");
            device
        });
        let one = said("head --method GET --rate 10/s -d 8s --timeout-connect 2s --no-gate -v", &[DEVICE]);
        moved.join().unwrap();
        one.says(&["at the end of the run, no machine answered ARP for 10.77.0.2"]);
    }

    a_local_name_that_nobody_answers_leads_to_discover {
        ip("link set lo up");
        let (told, status) = failure(&espstress_with("head no-such-device.local -n 1"));
        assert_ne!(status, 0);
        assert!(told.contains("mDNS") && told.contains("espstress discover"), "{told}");
    }
}

#[test]
fn a_device_that_listens_on_ipv4_only_may_be_the_reason_at_an_ipv6_address() {
    let listening = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("[::1]:{}", listening.local_addr().unwrap().port());
    let (told, status) = failure(&espstress_with(&format!("head -n 3 {target}")));
    assert!(status != 0 && told.contains("listens on IPv4 only"), "{status}: {told}");
}

#[test]
fn other_protocols_are_named_with_what_is_spoken() {
    for target in ["ws://127.0.0.1/", "mqtt://127.0.0.1"] {
        let (told, status) = failure(&espstress_with(&format!("head {target} -n 1")));
        assert_eq!(status, 2, "{told}");
        let scheme = target.split(':').next().unwrap();
        assert!(told.contains(&format!("{scheme}://")) && told.contains("http://"), "{told}");
        assert!(!told.contains("number"), "{told}");
    }
}
