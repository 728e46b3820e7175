//! How long a recovery took, and what is not known of it.

use super::{endpoints, listened, listening, plan, rows};
use espstress_device::Service;
use espstress_device::telemetry::{MAX_LEN, REQUEST};
use espstress_diagnose::{FindingId, Severity};
use espstress_event::{Endpoints, Event};
use espstress_targets::sim::{Sim, SimConfig};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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
    let away = rows[0].recovered_ns.unwrap() - rows[0].seen_start_ns.unwrap();
    assert!(outage.dialled[0].longest_silence_ns >= away, "not only until the host hung up: {outage:?}");
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
