//! The device program on the host's own TCP stack: no hardware, no privileges, several in one process.
//!
//! Each sim is one thread with sockets on free ports of a local address. It shows what a persona does to a socket as
//! far as the host's stack lets it: accept queues, resets and silence are real; memory, radio and the stack's limits
//! are not a device's, and readings of them are absent rather than invented.

mod sockets;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use espstress_device::carrier::{Carrier, Entry, Turn, entries_needed};
use espstress_device::config::{Boot, Host, LineTimes};
use espstress_device::mqtt::Settings;
use espstress_device::text::{Text, Token, TooLong};
use espstress_device::{Config, Persona, Program, Service, Services};

use sockets::{Bound, Clock, HostSockets};

/// How a sim is set up.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// How it behaves.
    pub persona: Persona,
    /// Sockets in all, listeners and the datagram socket included, as on a device.
    pub sockets: u16,
    /// Connections that the host's stack keeps for it until they are accepted, each service.
    pub backlog: u16,
    /// The services that are switched on.
    pub services: Services,
    /// The bearer token of control requests, 1 to 64 bytes.
    pub token: Option<String>,
    /// The local address to listen on.
    pub address: IpAddr,
    /// How long a restart takes.
    pub boot_time: Duration,
    /// Name in telemetry, at most 32 bytes.
    pub name: String,
    /// Number in telemetry, and the id line of the line protocol.
    pub number: u8,
    /// Times of the line protocol.
    pub line: LineTimes,
    /// A host to dial, name or address of at most 64 bytes.
    pub dial: Option<(String, u16)>,
    /// With it, that host is an MQTT broker.
    pub mqtt: Option<Settings>,
    /// Bytes of a heap that is kept account of and nothing more: what the persona hoards is taken from it. Without
    /// it, telemetry has no heap.
    pub accounted_heap: Option<u32>,
}

impl Default for SimConfig {
    fn default() -> Self {
        let device = Config::default();
        Self {
            persona: device.persona,
            sockets: device.sockets,
            backlog: 6,
            services: device.services,
            token: None,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            boot_time: Duration::from_millis(300),
            name: "sim".to_owned(),
            number: device.number,
            line: device.line,
            dial: None,
            mqtt: None,
            accounted_heap: None,
        }
    }
}

impl SimConfig {
    fn device(&self) -> io::Result<Config> {
        let token = match &self.token {
            Some(token) => Token::new(token).map_err(|error| invalid("token", error))?,
            None => None,
        };
        let dial = match &self.dial {
            Some((name, port)) => Some(Host {
                name: Text::try_from(name.as_str()).map_err(|error| invalid("host to dial", error))?,
                port: *port,
            }),
            None => None,
        };
        let device = Config {
            persona: self.persona,
            sockets: self.sockets,
            services: self.services,
            token,
            name: Text::try_from(self.name.as_str()).map_err(|error| invalid("name", error))?,
            number: self.number,
            boot: Boot::default(),
            line: self.line,
            dial,
            mqtt: self.mqtt,
        };
        if device.capacity() == 0 {
            let own = device.sockets;
            let message = format!(
                "sim: {own} sockets leave none for connections; more sockets, or fewer services, are needed"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Ok(device)
    }

    /// Connections it holds at once: sockets less listeners, the datagram socket and the one for dialling.
    ///
    /// # Errors
    /// The setup is not one that [`Sim::start`] would take.
    pub fn capacity(&self) -> io::Result<u16> {
        Ok(self.device()?.capacity())
    }
}

fn invalid(what: &str, error: TooLong) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("sim: {what} is {error}"))
}

/// Where the services of a sim are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(Vec<(Service, SocketAddr)>);

impl Addresses {
    /// The address of a service, `None` when it is switched off.
    #[must_use]
    pub fn get(&self, service: Service) -> Option<SocketAddr> {
        self.iter().find(|&(each, _)| each == service).map(|(_, address)| address)
    }

    /// All services that are switched on.
    pub fn iter(&self) -> impl Iterator<Item = (Service, SocketAddr)> + '_ {
        self.0.iter().copied()
    }
}

/// A running sim. Ends when dropped.
#[derive(Debug)]
pub struct Sim {
    addresses: Addresses,
    capacity: u16,
    stop: Arc<AtomicBool>,
    waker: Arc<mio::Waker>,
    thread: Option<JoinHandle<()>>,
}

impl Sim {
    /// Binds the services to free ports and starts serving. Connections are taken as soon as this returns.
    ///
    /// # Errors
    /// The setup has a text that is too long, or the host would not give the sockets or the thread.
    pub fn start(config: SimConfig) -> io::Result<Self> {
        let device = config.device()?;
        let bound = Bound::open(&config)?;
        let addresses = Addresses(bound.addresses()?);
        let poll = mio::Poll::new()?;
        let waker = Arc::new(mio::Waker::new(poll.registry(), sockets::WAKER)?);
        let stop = Arc::new(AtomicBool::new(false));
        let capacity = device.capacity();
        let thread = std::thread::Builder::new().name(format!("sim-{}", config.name)).spawn({
            let stop = Arc::clone(&stop);
            move || run(&config, device, bound, poll, &stop)
        })?;
        Ok(Self { addresses, capacity, stop, waker, thread: Some(thread) })
    }

    /// Where its services are; the same over restarts.
    #[must_use]
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The address of a service.
    ///
    /// # Panics
    /// The service is switched off.
    #[must_use]
    pub fn address(&self, service: Service) -> SocketAddr {
        match self.addresses.get(service) {
            Some(address) => address,
            None => panic!("the sim has no {service} service"),
        }
    }

    /// Connections it holds at once.
    #[must_use]
    pub const fn capacity(&self) -> u16 {
        self.capacity
    }

    /// Ends it and waits until its sockets are closed.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Without the wake, the thread looks at the flag within a second by itself.
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            // A panic there was printed by that thread; there is nothing to add here.
            let _ = thread.join();
        }
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.end();
    }
}

/// The thread: one start of the device after the other until told to stop.
fn run(config: &SimConfig, mut device: Config, bound: Bound, poll: mio::Poll, stop: &AtomicBool) {
    let clock = Clock::start();
    let backlog = config.backlog.to_string();
    let options = [("backlog", backlog.as_str()), ("link", "none: the host's own stack")];
    let mut entries = Vec::new();
    entries.resize_with(entries_needed(&device), || Entry::EMPTY);
    let mut bound = Some(bound);
    let mut poll = Some(poll);
    while let (Some(listening), Some(polled)) = (bound.take(), poll.take()) {
        let program = Program::new(device.clone(), clock.now());
        let sockets = match HostSockets::new(listening, polled, clock, config, &options, stop) {
            Ok(sockets) => sockets,
            Err(error) => {
                tracing::error!(%error, "sim cannot listen any more");
                return;
            }
        };
        let mut carrier = Carrier::new(program, sockets, &mut entries);
        let reason = loop {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            if let Turn::Restart(reason) = carrier.turn() {
                break reason;
            }
        };
        let (program, sockets) = carrier.into_parts();
        device = program.config_after_restart(reason);
        match sockets.restart(config.boot_time) {
            Ok((listening, polled)) => (bound, poll) = (Some(listening), Some(polled)),
            Err(error) => tracing::error!(%error, "sim cannot come back on its ports"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    #[test]
    fn several_sims_run_in_one_process_and_end_when_dropped() {
        let sims: Vec<_> = (0..3).map(|_| Sim::start(SimConfig::default()).unwrap()).collect();
        let addresses: Vec<_> = sims.iter().map(|sim| sim.address(Service::Http)).collect();
        for address in &addresses {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.ends_with(espstress_device::http::GREETING), "{answer}");
        }
        drop(sims);
        for address in &addresses {
            assert!(TcpStream::connect(address).is_err(), "the port is closed");
        }
    }

    #[test]
    fn a_text_that_is_too_long_is_an_error_and_no_panic() {
        let config = SimConfig { token: Some("x".repeat(65)), ..SimConfig::default() };
        let error = Sim::start(config).unwrap_err();
        assert_eq!(error.to_string(), "sim: token is longer than 64 bytes");
    }
}
