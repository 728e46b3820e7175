//! The host program, built by the Makefile and run as a process.
#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use espstress_device::Service;
use espstress_device::conformance::{Backlog, Device};
use serde_json::Value;

/// Which of the Makefile's programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Build {
    /// Address and undefined-behaviour sanitizers, library with std.
    Sanitized,
    /// The library without std, as boards get it.
    NoStd,
}

impl Build {
    /// The program; the first to ask builds it.
    pub(crate) fn program(self) -> &'static Path {
        static SANITIZED: OnceLock<PathBuf> = OnceLock::new();
        static NO_STD: OnceLock<PathBuf> = OnceLock::new();
        match self {
            Self::Sanitized => SANITIZED.get_or_init(sanitized),
            Self::NoStd => NO_STD.get_or_init(|| make("no-std", "espstress-host-no-std")),
        }
    }
}

/// The program under the sanitizers; without them, and saying so, where their runtime can't start any program. A limit
/// on virtual memory is enough for that.
fn sanitized() -> PathBuf {
    let empty = make("sanitizers", "empty-sanitized");
    let ran = Command::new(empty).output().expect("the empty program starts");
    if ran.status.success() {
        return make("sanitized", "espstress-host-sanitized");
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    let why = format!("SKIPPED: the sanitizers can't start here ({}): {}\n", ran.status, said.trim_end());
    // The test harness shows what is printed by other ways only when a test fails.
    let _ = std::io::stderr().write_all(why.as_bytes());
    make("all", "espstress-host")
}

fn make(goal: &str, program: &str) -> PathBuf {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let target = temporary.parent().expect("the folder for temporary files is in the target folder");
    // A folder for each test program: they may run at once.
    let test = std::env::current_exe().expect("a test has a name");
    let build = temporary.join(test.file_stem().expect("a test has a name"));
    let made = Command::new("make")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg(goal)
        .arg("PROFILE=dev")
        .arg(format!("BUILD={}", build.display()))
        .arg(format!("CARGO_TARGET_DIR={}", target.display()))
        .output()
        .expect("make is installed");
    assert!(made.status.success(), "make {goal}: {}", String::from_utf8_lossy(&made.stderr));
    build.join(program)
}

/// A running host program. Ends when dropped, and then must not have anything to say.
pub(crate) struct Host {
    child: Child,
    pub(crate) addresses: Vec<(Service, SocketAddr)>,
    pub(crate) capacity: usize,
}

impl Host {
    pub(crate) fn start(build: Build, arguments: &[&str]) -> Self {
        let mut child = Command::new(build.program())
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the host program starts");
        let mut addresses = Vec::new();
        let mut capacity = None;
        let lines = BufReader::new(child.stdout.take().expect("its output is a pipe")).lines();
        for line in lines {
            let line: Value = serde_json::from_str(&line.expect("it prints text")).expect("it prints JSON");
            if let Some(held) = line["capacity"].as_u64() {
                capacity = usize::try_from(held).ok();
                break;
            }
            let service = Service::ALL
                .into_iter()
                .find(|service| line["service"] == service.name())
                .expect("it names services");
            let address: IpAddr = line["address"].as_str().and_then(|a| a.parse().ok()).expect("an address");
            let port = line["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
            addresses.push((service, SocketAddr::new(address, port)));
        }
        let Some(capacity) = capacity else {
            let ended = child.wait_with_output().expect("it ended, as its output did");
            panic!(
                "it named no capacity and ended with {}: {}",
                ended.status,
                String::from_utf8_lossy(&ended.stderr)
            );
        };
        Self { child, addresses, capacity }
    }

    pub(crate) fn address(&self, service: Service) -> SocketAddr {
        let found = self.addresses.iter().find(|&&(each, _)| each == service);
        found.map(|&(_, address)| address).expect("the service is switched on")
    }

    /// Processor time it has used, in clock ticks of usually 10 ms.
    pub(crate) fn ticks(&self) -> u64 {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(path).expect("it runs");
        // After the name in parentheses: utime and stime are the 12th and 13th fields.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let number = |at: usize| fields[at].parse::<u64>().expect("a number");
        number(11) + number(12)
    }

    /// Itself as the conformance checks want it.
    pub(crate) fn device(&self) -> Device {
        Device { addresses: self.addresses.clone(), capacity: self.capacity, backlog: Backlog::Kept }
    }

    /// Telemetry by datagram; asks again, as one may get lost in a restart.
    pub(crate) fn telemetry(&self) -> Value {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a time-out");
        let mut answer = [0; 2_048];
        for _ in 0..20 {
            let address = self.address(Service::Telemetry);
            if socket.send_to(b"telemetry", address).is_ok()
                && let Ok(len) = socket.recv(&mut answer)
            {
                return serde_json::from_slice(&answer[..len]).expect("telemetry is JSON");
            }
        }
        panic!("no telemetry within ten seconds");
    }

    /// Ends it and looks at how it ended.
    fn end(&mut self) -> Result<(), String> {
        // Its own child, not yet waited for: the number is nobody else's.
        let killed = Command::new("kill").arg(self.child.id().to_string()).status();
        if !killed.is_ok_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let status = self.child.wait().map_err(|error| error.to_string())?;
        let mut said = String::new();
        if let Some(mut output) = self.child.stderr.take() {
            let _ = output.read_to_string(&mut said);
        }
        if status.success() && said.is_empty() { Ok(()) } else { Err(format!("{status}: {said}")) }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let ended = self.end();
        if !std::thread::panicking() {
            assert!(ended.is_ok(), "the host program ended with {ended:?}");
        }
    }
}
