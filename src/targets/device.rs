//! A target brought up: found on the network, or started.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use espstress_device::mqtt::Settings;
use espstress_device::{Persona, Service, telemetry};

use super::address::resolve;
use super::error::TargetError;
#[cfg(target_os = "linux")]
use super::refuse::{refuse_address, refuse_device_program, refuse_with_program, twin_stack};
use super::refuse::{refuse_persona, refuse_twin_options};
use super::setup::{DeviceSetup, DialOut, Nest};
use super::sim::{Sim, SimConfig};
use super::spec::{Spec, TwinOptions};
#[cfg(target_os = "linux")]
use super::{
    network::{HOST_ADDRESS, PrivateNetwork},
    twin::{OptionSet, StackKind, Twin, TwinSpec, link::LinkSpec},
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
    /// Nothing dials it, so that its ports are not known: it dials, and is waited for.
    pub only_dials: bool,
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
            only_dials: false,
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

    /// Where it is: the address and, unless nothing asked there, the port.
    #[must_use]
    pub fn place(&self) -> String {
        let http = self.endpoints.http;
        match self.kind {
            DeviceKind::DialsIn => self.spec.to_string(),
            DeviceKind::Address if self.only_dials => http.ip().to_string(),
            _ => http.to_string(),
        }
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
            only_dials: false,
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
            only_dials: false,
            running: Running::Sim { _sim: sim },
        })
    }
}

/// A device of ours gets a token that only this run knows.
fn control_token(seed: u64) -> String {
    format!("{seed:016x}")
}

/// Whether there is a way to an address of this machine: in a new network namespace `lo` is down, and every attempt would
/// look like the device's failure. Nothing is sent.
fn reachable(at: SocketAddr) -> Result<(), TargetError> {
    let any: SocketAddr = if at.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 8], 0).into() };
    let found = UdpSocket::bind(any).and_then(|socket| socket.connect(at));
    found.map_err(|source| TargetError::NoLoopback { at, source })
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
    fn a_place_without_a_way_to_it_is_the_machines_fault() {
        assert!(reachable(([127, 0, 0, 1], 9).into()).is_ok());
        // A way to this address is a link's, and none is named (RFC 4291, 2.5.6).
        let error = reachable("[fe80::1]:9".parse().unwrap()).unwrap_err();
        assert!(matches!(error, TargetError::NoLoopback { .. }) && !error.is_usage(), "{error}");
        assert!(error.to_string().contains("loopback"), "{error}");
    }

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
}
