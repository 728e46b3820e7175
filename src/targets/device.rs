//! A target brought up: found on the network, or started.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use espstress_device::mqtt::Settings;
use espstress_device::persona::PersonaError;
use espstress_device::{Persona, Service, telemetry};

use super::address::{AddressError, DeviceAddress, PublicAddresses, resolve};
use super::sim::{Sim, SimConfig};
use super::spec::{Spec, TwinOptions, TwinStack};
#[cfg(target_os = "linux")]
use super::{
    emulator::EmulatorError,
    network::{HOST_ADDRESS, NetworkError, PrivateNetwork},
    twin::{OptionSet, StackKind, Twin, TwinError, TwinSpec, link::LinkSpec},
};
use espstress_event::{Endpoints, Protocol, Telemetry};

/// What kind of device it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// On the network.
    Address,
    /// The device program on lwIP or smoltcp.
    Twin,
    /// The device program on the host's stack.
    Sim,
    /// A process of the user's own behind a TAP device.
    Tap,
    /// Nowhere that is known: it dials in.
    DialsIn,
}

/// A host that the device program dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialOut {
    /// Its address; this machine's, as the device sees it, where none is given.
    pub host: Option<Ipv4Addr>,
    /// Its TCP port.
    pub port: u16,
    /// With it, that host is an MQTT broker; without, it speaks the line protocol. The seed in it is not used: the
    /// device's own is.
    pub mqtt: Option<Settings>,
}

impl DialOut {
    /// This machine's port, where the line protocol is spoken.
    #[must_use]
    pub const fn host(port: u16) -> Self {
        Self { host: None, port, mqtt: None }
    }

    /// This machine's port, where a broker listens; the client is set up as usual.
    #[must_use]
    pub fn broker(port: u16) -> Self {
        Self { mqtt: Some(Settings::default()), ..Self::host(port) }
    }
}

impl std::str::FromStr for DialOut {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "give PORT or ADDRESS:PORT, as 8123 or 192.168.4.1:8123; for MQTT, mqtt:1883 or mqtt:192.168.4.1:1883";
        let (mqtt, text) = match text.strip_prefix("mqtt:") {
            Some(text) => (Some(Settings::default()), text),
            None => (None, text),
        };
        let (host, port) = text.rsplit_once(':').map_or((None, text), |(host, port)| (Some(host), port));
        let port = port.parse().ok().filter(|port| *port > 0).ok_or(FORM)?;
        Ok(Self { host: host.map(str::parse).transpose().map_err(|_| FORM)?, port, mqtt })
    }
}

/// The private network that the twins of one process share.
#[derive(Debug, Default)]
pub struct Nest {
    #[cfg(target_os = "linux")]
    network: Option<PrivateNetwork>,
    /// The next twin's index.
    #[cfg(target_os = "linux")]
    next: u8,
}

/// How to bring a target up.
#[derive(Clone, Debug)]
pub struct DeviceSetup {
    /// The target.
    pub spec: Spec,
    /// The device program's habit, where it is ours to start.
    pub persona: Option<String>,
    /// The twin's link.
    pub link: Option<String>,
    /// The twin's heap, bytes.
    pub heap: Option<u64>,
    /// The twin's stack; lwIP unless said otherwise.
    pub stack: Option<String>,
    /// A program of the user's own instead of the device program, with its arguments.
    pub program: Option<Vec<String>>,
    /// Where a process behind a TAP device is.
    pub at: DeviceAddress,
    /// Whether the device program announces itself by multicast DNS; on lwIP that takes about a kilobyte of its heap.
    pub announce: bool,
    /// Whether what that program or process writes is shown on standard error.
    pub show_program: bool,
    /// Whether the device program of a twin prints a console as ESP-IDF does.
    pub prints_console: bool,
    /// The host that the device program dials, if any.
    pub dial: Option<DialOut>,
    /// Of everything random in the twin.
    pub seed: u64,
    /// Whether a public address may be used.
    pub public: PublicAddresses,
}

/// Why there is no device to test.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Its address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Its persona.
    #[error("{0}")]
    Persona(PersonaError),
    /// An option that this kind of target does not have.
    #[error("{option} works only with {kinds}; the target is {target}")]
    NotForThis {
        /// The flag.
        option: &'static str,
        /// Targets that have it.
        kinds: &'static str,
        /// The target as given.
        target: String,
    },
    /// There is no such stack.
    #[error("--stack {given}: unknown stack; allowed: {}", TwinStack::ALL.map(TwinStack::name).join(", "))]
    Stack {
        /// The name as given.
        given: String,
    },
    /// This build does not have the stack.
    #[error(
        "--stack smoltcp: this build doesn't have it; build espstress with `cargo build --release --features smoltcp`"
    )]
    NotBuilt,
    /// Options of lwIP for a twin on another stack.
    #[error(
        "{target} names options of lwIP, and smoltcp has none of them: its options are fixed when it is compiled; \
         the target is `twin` with --stack smoltcp, or leave --stack out"
    )]
    OptionsOfLwip {
        /// The target as given.
        target: String,
    },
    /// A program of the user's own together with what only the device program has.
    #[error("--program can't be used with {other}: {why}")]
    NotWithProgram {
        /// The other option.
        other: &'static str,
        /// Why.
        why: &'static str,
    },
    /// It could not be started.
    #[error("cannot start the sim: {0}")]
    Sim(#[source] io::Error),
    /// This machine doesn't reach it.
    #[error(
        "cannot reach the sim at {at} ({source}): this network has no loopback interface that is up; `ip link set lo up` \
         brings it up"
    )]
    NoLoopback {
        /// Where it is.
        at: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// There is no private network for a twin.
    #[cfg(target_os = "linux")]
    #[error("cannot start the twin: {0}")]
    Network(#[from] NetworkError),
    /// The twin.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Twin(#[from] TwinError),
    /// Its link.
    #[error("--link: {0}")]
    Link(String),
    /// Its sdkconfig.
    #[error("{file}: {error}")]
    Options {
        /// The file.
        file: String,
        /// Why it cannot be read.
        error: io::Error,
    },
    /// There is no emulator.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Emulator(#[from] EmulatorError),
    /// The process behind a TAP device has no server.
    #[error(
        "the device has the address {}, but TCP port {} has no server: {what}{more}. Name another port with --device-address :PORT",
        at.ip(), at.port()
    )]
    NoServer {
        /// Where it was looked for.
        at: SocketAddr,
        /// What happened.
        what: &'static str,
        /// How the process fares.
        more: String,
    },
    /// Twins are Linux processes.
    #[error("a twin needs Linux; `sim` runs everywhere")]
    NoTwinsHere,
}

impl TargetError {
    /// Whether the device program could still run on the host's own stack.
    #[must_use]
    fn leaves_sim(&self) -> bool {
        match self {
            Self::NoTwinsHere => true,
            #[cfg(target_os = "linux")]
            Self::Network(error) | Self::Twin(TwinError::Network(error)) => error.leaves_loopback(),
            _ => false,
        }
    }

    /// Whether other words on the command line would help, rather than another environment.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        #[cfg(target_os = "linux")]
        if let Self::Twin(TwinError::Options(_) | TwinError::Persona(_) | TwinError::Heap(_)) = self {
            return true;
        }
        // An emulator that is missing can be installed; another image takes other words.
        #[cfg(target_os = "linux")]
        if let Self::Emulator(error) = self {
            return !matches!(error, EmulatorError::NoEmulator { .. });
        }
        matches!(
            self,
            Self::Persona(_)
                | Self::NotForThis { .. }
                | Self::Stack { .. }
                | Self::NotWithProgram { .. }
                | Self::OptionsOfLwip { .. }
                | Self::Link(_)
                | Self::Options { .. }
                | Self::Address(AddressError::Public { .. } | AddressError::NotOne { .. })
        )
    }
}

/// A device, up.
#[derive(Debug)]
pub struct Device {
    /// Its services.
    pub endpoints: Endpoints,
    /// What kind.
    pub kind: DeviceKind,
    /// How it was asked for.
    pub spec: Spec,
    /// Connections that it says it holds at once.
    pub capacity: Option<u32>,
    /// Persona in force, where it is known.
    pub persona: Option<String>,
    /// The user's own program and its arguments, where it is one.
    pub program: Option<Vec<String>>,
    /// The modelled link.
    pub link: Option<String>,
    /// The stack, where it is known.
    pub stack: Option<String>,
    /// Options in force.
    pub options: BTreeMap<String, String>,
    /// Options that were asked for and have no effect.
    pub options_without_effect: Vec<String>,
    /// The token of its control service, where it is ours.
    pub control_token: Option<String>,
    /// The interface that its packets pass, where it is known.
    pub interface: Option<String>,
    /// What it does not speak, by what its telemetry says of its services.
    pub lacks: Vec<Protocol>,
    pub(super) running: Running,
}

/// What was started for it; ends when dropped.
#[derive(Debug)]
pub(super) enum Running {
    Elsewhere,
    Sim {
        _sim: Sim,
    },
    #[cfg(target_os = "linux")]
    Twin(Arc<Twin>),
}

impl Device {
    /// Brings the target up.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn bring_up(setup: &DeviceSetup) -> Result<Self, TargetError> {
        Self::bring_up_in(setup, &mut Nest::default())
    }

    /// The same for one of several devices of this process, whose twins live in one `nest`.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn bring_up_in(setup: &DeviceSetup, nest: &mut Nest) -> Result<Self, TargetError> {
        #[cfg(not(target_os = "linux"))]
        let _ = nest;
        match &setup.spec {
            Spec::Address { host, port, tls } => Self::find(setup, host, *port, *tls),
            Spec::Sim => Self::start_sim(setup),
            Spec::DialsIn => Self::dials_in(setup),
            #[cfg(target_os = "linux")]
            Spec::Twin(options) => Self::start_twin(setup, options, nest),
            #[cfg(target_os = "linux")]
            Spec::Tap(_) | Spec::Emulator(_) => {
                refuse_device_program(setup)?;
                super::tap::bring_up(setup)
            }
            #[cfg(not(target_os = "linux"))]
            Spec::Twin(_) | Spec::Tap(_) | Spec::Emulator(_) => Err(TargetError::NoTwinsHere),
        }
    }

    /// Brings up a twin, or a sim where a twin cannot be had; then also says why.
    ///
    /// # Errors
    /// [`TargetError`], of the sim or of what is wrong with the setup.
    pub fn bring_up_usual(setup: &DeviceSetup) -> Result<(Self, Option<String>), TargetError> {
        let twin = DeviceSetup { spec: Spec::Twin(TwinOptions::Current), ..setup.clone() };
        match Self::bring_up(&twin) {
            Ok(device) => Ok((device, None)),
            // Somebody who names a stack means that stack, and not the host's; a program of their own needs a twin.
            Err(error) if error.leaves_sim() && setup.stack.is_none() && setup.program.is_none() => {
                let sim = DeviceSetup { spec: Spec::Sim, ..setup.clone() };
                Ok((Self::bring_up(&sim)?, Some(error.to_string())))
            }
            Err(error) => Err(error),
        }
    }

    /// Enters a private network, where that is not done yet, and starts a twin in it. To enter it, the process must have
    /// one thread.
    #[cfg(target_os = "linux")]
    fn start_twin(setup: &DeviceSetup, options: &TwinOptions, nest: &mut Nest) -> Result<Self, TargetError> {
        refuse_address(setup)?;
        let stack = twin_stack(setup, options)?;
        refuse_with_program(setup, stack)?;
        let options = match options {
            TwinOptions::Current => OptionSet::Current,
            TwinOptions::Std => OptionSet::Std,
            TwinOptions::Expr => OptionSet::Expr,
            TwinOptions::File(path) => {
                let file = path.display().to_string();
                let text = std::fs::read_to_string(path);
                let text = text.map_err(|error| TargetError::Options { file: file.clone(), error })?;
                OptionSet::file(&file, &text)
            }
        };
        let link = setup.link.as_deref().map_or(Ok(LinkSpec::CLEAN), str::parse);
        let usual = TwinSpec::default();
        let spec = TwinSpec {
            stack,
            options,
            persona: setup.persona.clone().unwrap_or(usual.persona),
            link: link.map_err(|error| TargetError::Link(error.to_string()))?,
            heap_bytes: setup
                .heap
                .map_or(usual.heap_bytes, |heap| usize::try_from(heap).unwrap_or(usize::MAX)),
            seed: setup.seed,
            token: Some(control_token(setup.seed)),
            dial: setup.dial.map(|dial| (dial.host.unwrap_or(HOST_ADDRESS), dial.port)),
            mqtt: setup.dial.and_then(|dial| dial.mqtt),
            program: setup.program.clone(),
            announce: setup.announce,
            show_output: setup.show_program,
            prints_console: setup.prints_console,
            index: nest.next,
            ..TwinSpec::default()
        };
        spec.check()?;
        let network = match &mut nest.network {
            Some(network) => network,
            none => none.insert(PrivateNetwork::enter()?),
        };
        let twin = Twin::start(spec, network)?;
        nest.next = nest.next.saturating_add(1);
        Ok(Self::of_twin(setup, stack, twin))
    }

    #[cfg(target_os = "linux")]
    fn of_twin(setup: &DeviceSetup, stack: StackKind, twin: Twin) -> Self {
        let ready = twin.ready();
        let at = |service| twin.service(service);
        let http =
            at(Service::Http).unwrap_or_else(|| SocketAddr::new(ready.address.into(), Service::Http.port()));
        let mut options = ready.options.clone();
        options.insert("heap_bytes".into(), ready.heap_bytes.to_string());
        let told = match stack {
            StackKind::Lwip => ("structures", "64-bit: heap figures are the twin's, not a board's"),
            StackKind::Smoltcp => {
                ("heap_holds", "what the program hoards: the stack's buffers are not on it")
            }
        };
        options.insert(told.0.into(), told.1.into());
        Self {
            endpoints: Endpoints {
                http,
                tls_name: None,
                framed: at(Service::Framed),
                raw: at(Service::Raw),
                line: at(Service::Line),
                telemetry: at(Service::Telemetry),
            },
            kind: DeviceKind::Twin,
            spec: setup.spec.clone(),
            capacity: Some(ready.capacity.into()),
            persona: ready.persona.clone(),
            program: setup.program.clone(),
            link: Some(ready.link.clone()),
            stack: Some(ready.stack.clone()),
            options,
            options_without_effect: ready
                .no_effect
                .iter()
                .map(|one| format!("{}={}", one.key, one.value))
                .collect(),
            // A program of the user's own has no control service.
            control_token: setup.program.is_none().then(|| control_token(setup.seed)),
            interface: Some(twin.interface().to_owned()),
            lacks: Vec::new(),
            running: Running::Twin(Arc::new(twin)),
        }
    }

    /// The twin, where the device is one.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn twin(&self) -> Option<Arc<Twin>> {
        match &self.running {
            Running::Twin(twin) => Some(Arc::clone(twin)),
            Running::Elsewhere | Running::Sim { .. } => None,
        }
    }

    fn find(setup: &DeviceSetup, host: &str, port: Option<u16>, tls: bool) -> Result<Self, TargetError> {
        refuse_persona(setup)?;
        refuse_twin_options(setup)?;
        let http = resolve(host, port.unwrap_or(if tls { 443 } else { 80 }), setup.public)?;
        let mut lacks = Vec::new();
        let endpoints = match port {
            // Somebody who names a port means that port, whatever else the device may have.
            Some(_) => Endpoints::only(http),
            // Its telemetry tells what TLS costs; the other services are not what was asked for.
            None if tls && lacking(http).is_some() => {
                Endpoints { telemetry: ours_at(http, &[]).telemetry, ..Endpoints::only(http) }
            }
            None if tls => Endpoints::only(http),
            None => match lacking(http) {
                Some(told) => {
                    lacks = told;
                    ours_at(http, &lacks)
                }
                None => Endpoints::only(http),
            },
        };
        let endpoints = Endpoints { tls_name: tls.then(|| host.to_owned()), ..endpoints };
        Ok(Self { lacks, ..Self::elsewhere(setup, DeviceKind::Address, endpoints) })
    }

    /// A device that nobody has to find: it dials in.
    fn dials_in(setup: &DeviceSetup) -> Result<Self, TargetError> {
        refuse_persona(setup)?;
        refuse_twin_options(setup)?;
        let nowhere = Endpoints::only(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0));
        Ok(Self::elsewhere(setup, DeviceKind::DialsIn, nowhere))
    }

    fn elsewhere(setup: &DeviceSetup, kind: DeviceKind, endpoints: Endpoints) -> Self {
        Self {
            endpoints,
            kind,
            spec: setup.spec.clone(),
            capacity: None,
            persona: None,
            program: None,
            link: None,
            stack: None,
            options: BTreeMap::new(),
            options_without_effect: Vec::new(),
            control_token: None,
            interface: None,
            lacks: Vec::new(),
            running: Running::Elsewhere,
        }
    }

    fn start_sim(setup: &DeviceSetup) -> Result<Self, TargetError> {
        refuse_twin_options(setup)?;
        let persona = setup.persona.as_deref().map_or(Ok(Persona::default()), str::parse);
        let persona = persona.map_err(TargetError::Persona)?;
        let host = |dial: DialOut| (dial.host.unwrap_or(Ipv4Addr::LOCALHOST).to_string(), dial.port);
        let mqtt = setup.dial.and_then(|dial| dial.mqtt).map(|mqtt| Settings { seed: setup.seed, ..mqtt });
        let config = SimConfig { persona, dial: setup.dial.map(host), mqtt, ..SimConfig::default() };
        let sim = Sim::start(config).map_err(TargetError::Sim)?;
        reachable(sim.address(Service::Http))?;
        let addresses = sim.addresses();
        let endpoints = Endpoints {
            http: sim.address(Service::Http),
            tls_name: None,
            framed: addresses.get(Service::Framed),
            raw: addresses.get(Service::Raw),
            line: addresses.get(Service::Line),
            telemetry: addresses.get(Service::Telemetry),
        };
        Ok(Self {
            endpoints,
            kind: DeviceKind::Sim,
            spec: setup.spec.clone(),
            capacity: Some(sim.capacity().into()),
            persona: Some(persona.to_string()),
            program: None,
            link: None,
            stack: Some("the host's own TCP stack".into()),
            options: BTreeMap::new(),
            options_without_effect: Vec::new(),
            control_token: None,
            interface: None,
            lacks: Vec::new(),
            running: Running::Sim { _sim: sim },
        })
    }
}

/// Whether there is a way to an address of this machine: in a new network namespace `lo` is down, and every attempt would
/// look like the device's failure. Nothing is sent.
fn reachable(at: SocketAddr) -> Result<(), TargetError> {
    let any: SocketAddr = if at.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 8], 0).into() };
    let found = UdpSocket::bind(any).and_then(|socket| socket.connect(at));
    found.map_err(|source| TargetError::NoLoopback { at, source })
}

/// Refuses a persona where the device program is not ours to start.
fn refuse_persona(setup: &DeviceSetup) -> Result<(), TargetError> {
    match setup.persona {
        Some(_) => Err(TargetError::NotForThis {
            option: "--persona",
            kinds: "twin and sim",
            target: setup.spec.to_string(),
        }),
        None => Ok(()),
    }
}

/// Refuses what belongs to the device program and the stacks under it.
#[cfg(target_os = "linux")]
fn refuse_device_program(setup: &DeviceSetup) -> Result<(), TargetError> {
    let given = [
        ("--persona", "twin and sim", setup.persona.is_some()),
        ("--stack", "twin", setup.stack.is_some()),
        ("--heap", "twin", setup.heap.is_some()),
        ("--program", "twin", setup.program.is_some()),
    ];
    match given.into_iter().find(|(.., is_given)| *is_given) {
        Some((option, kinds, _)) => {
            Err(TargetError::NotForThis { option, kinds, target: setup.spec.to_string() })
        }
        None => Ok(()),
    }
}

/// Refuses a place for a device that has one, or is ours to place.
fn refuse_address(setup: &DeviceSetup) -> Result<(), TargetError> {
    if setup.at == DeviceAddress::default() {
        return Ok(());
    }
    let (option, kinds) = ("--device-address", "tap:CMD and emu:IMAGE");
    Err(TargetError::NotForThis { option, kinds, target: setup.spec.to_string() })
}

/// Refuses what only twins have.
fn refuse_twin_options(setup: &DeviceSetup) -> Result<(), TargetError> {
    refuse_address(setup)?;
    let given = [
        ("--link", setup.link.is_some()),
        ("--heap", setup.heap.is_some()),
        ("--stack", setup.stack.is_some()),
        ("--program", setup.program.is_some()),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => {
            Err(TargetError::NotForThis { option, kinds: "twin", target: setup.spec.to_string() })
        }
        None => Ok(()),
    }
}

/// Refuses what a program of the user's own has not.
#[cfg(target_os = "linux")]
fn refuse_with_program(setup: &DeviceSetup, stack: StackKind) -> Result<(), TargetError> {
    let refused = |other, why| Err(TargetError::NotWithProgram { other, why });
    match (&setup.program, &setup.persona, stack) {
        (Some(_), Some(_), _) => refused("--persona", "a persona is a habit of the device program"),
        (Some(_), _, StackKind::Smoltcp) => refused("--stack smoltcp", "a program's sockets live on lwIP"),
        _ => Ok(()),
    }
}

/// The stack that was asked for, which has to be one for these options.
#[cfg(target_os = "linux")]
fn twin_stack(setup: &DeviceSetup, options: &TwinOptions) -> Result<StackKind, TargetError> {
    let Some(given) = &setup.stack else { return Ok(StackKind::Lwip) };
    match (TwinStack::from_name(given), options) {
        (None, _) => Err(TargetError::Stack { given: given.clone() }),
        (Some(TwinStack::Lwip), _) => Ok(StackKind::Lwip),
        (Some(TwinStack::Smoltcp), _) if !StackKind::Smoltcp.is_built() => Err(TargetError::NotBuilt),
        (Some(TwinStack::Smoltcp), TwinOptions::Current) => Ok(StackKind::Smoltcp),
        (Some(TwinStack::Smoltcp), _) => Err(TargetError::OptionsOfLwip { target: setup.spec.to_string() }),
    }
}

/// A device of ours gets a token that only this run knows.
fn control_token(seed: u64) -> String {
    format!("{seed:016x}")
}

/// The services of the device program at its usual ports, less those that it lacks.
pub(super) fn ours_at(http: SocketAddr, lacks: &[Protocol]) -> Endpoints {
    let at = |service: Service| SocketAddr::new(http.ip(), service.port());
    let tcp = |service, protocol| (!lacks.contains(&protocol)).then(|| at(service));
    Endpoints {
        http,
        tls_name: None,
        framed: tcp(Service::Framed, Protocol::Framed),
        raw: tcp(Service::Raw, Protocol::Raw),
        line: tcp(Service::Line, Protocol::Line),
        telemetry: Some(at(Service::Telemetry)),
    }
}

/// What the device does not speak; `None` when it does not run the device program. Asks with a few datagrams and for half
/// a second at most.
pub(super) fn lacking(http: SocketAddr) -> Option<Vec<Protocol>> {
    let ask = || -> io::Result<Option<Vec<Protocol>>> {
        let any: SocketAddr = if http.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 8], 0).into() };
        let socket = UdpSocket::bind(any)?;
        socket.connect(SocketAddr::new(http.ip(), Service::Telemetry.port()))?;
        socket.set_read_timeout(Some(Duration::from_millis(170)))?;
        let mut answer = [0; 2_048];
        for _ in 0..3 {
            socket.send(telemetry::REQUEST.as_bytes())?;
            match socket.recv(&mut answer) {
                Ok(n) => return Ok(answer.get(..n).and_then(left_out)),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(None),
                Err(_) => {}
            }
        }
        Ok(None)
    };
    ask().ok().flatten()
}

/// What a device does not speak by its telemetry; `None` when that is none. One that counts no service may have them all.
fn left_out(answer: &[u8]) -> Option<Vec<Protocol>> {
    if !answer.starts_with(b"{") {
        return None;
    }
    let services = Telemetry::parse(answer).map(|told| told.services).unwrap_or_default();
    let ours =
        [(Service::Framed, Protocol::Framed), (Service::Raw, Protocol::Raw), (Service::Line, Protocol::Line)];
    let lacks = ours.into_iter().filter(|(service, _)| !services.contains_key(service.name()));
    Some(if services.is_empty() { Vec::new() } else { lacks.map(|(_, protocol)| protocol).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_that_telemetry_does_not_list_are_lacking() {
        let script = br#"{"services":{"http":{"served":1},"raw":{},"line":{}}}"#;
        assert_eq!(left_out(script), Some(vec![Protocol::Framed]));
        assert_eq!(left_out(br#"{"services":{"http":{}}}"#).unwrap().len(), 3);
        // One that counts nothing, one that says something else, and one that is cut.
        for unknown in [&b"{\"services\":{}}"[..], b"{\"device\":\"kitchen\"}", b"{\"services\":{\"http"] {
            assert_eq!(left_out(unknown), Some(Vec::new()));
        }
        assert_eq!(left_out(b"hello"), None);
        let at: SocketAddr = "192.168.4.91:80".parse().unwrap();
        assert_eq!(
            (ours_at(at, &[Protocol::Framed]).framed, ours_at(at, &[]).framed.is_some()),
            (None, true)
        );
    }

    #[test]
    fn a_place_without_a_way_to_it_is_the_machines_fault() {
        assert!(reachable(([127, 0, 0, 1], 9).into()).is_ok());
        // A way to this address is a link's, and none is named (RFC 4291, 2.5.6).
        let error = reachable("[fe80::1]:9".parse().unwrap()).unwrap_err();
        assert!(matches!(error, TargetError::NoLoopback { .. }) && !error.is_usage(), "{error}");
        assert!(error.to_string().contains("loopback"), "{error}");
    }

    #[test]
    fn a_host_to_dial_is_a_port_with_or_without_an_address() {
        let line = |host, port| DialOut { host, port, mqtt: None };
        assert_eq!("8123".parse(), Ok(line(None, 8_123)));
        let host = Some(Ipv4Addr::new(192, 168, 4, 1));
        assert_eq!("192.168.4.1:81".parse(), Ok(line(host, 81)));
        let mqtt = Some(Settings::default());
        assert_eq!("mqtt:1883".parse(), Ok(DialOut { mqtt, ..line(None, 1_883) }));
        assert_eq!("mqtt:192.168.4.1:81".parse(), Ok(DialOut { mqtt, ..line(host, 81) }));
        for bad in ["", "0", "host:80", "192.168.4.1", "192.168.4.1:", ":80", "mqtt:", "mqtt:host:80"] {
            assert!(bad.parse::<DialOut>().is_err(), "{bad}");
        }
    }
}
