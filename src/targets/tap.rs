//! A target that is a process of the user's own behind a TAP device: brought up in a private network.

use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::device::{Running, lacking, ours_at};
use super::network::PrivateNetwork;
use super::twin::link::LinkSpec;
use super::twin::{TapSpec, Twin, TwinSpec};
use super::{Device, DeviceKind, DeviceSetup, Spec, TargetError, emulator};
use espstress_event::Endpoints;

/// How long its server may take to accept a connection from when its address is known: it comes up with the application.
const PATIENCE: Duration = Duration::from_secs(30);

/// One attempt.
const ATTEMPT: Duration = Duration::from_millis(500);

/// Between two attempts.
const STEP: Duration = Duration::from_millis(100);

/// Enters a private network and starts the process in it. The process must have one thread.
pub(super) fn bring_up(setup: &DeviceSetup) -> Result<Device, TargetError> {
    let command = match &setup.spec {
        Spec::Emulator(image) => emulator::command(image)?,
        Spec::Tap(command) => shlex::split(command).unwrap_or_default(),
        _ => Vec::new(),
    };
    let link = setup.link.as_deref().map_or(Ok(LinkSpec::CLEAN), str::parse);
    let spec = TwinSpec {
        link: link.map_err(|error| TargetError::Link(error.to_string()))?,
        seed: setup.seed,
        tap: Some(TapSpec { command: command.clone(), address: setup.at.address }),
        show_output: setup.show_program,
        ..TwinSpec::default()
    };
    spec.check()?;
    let network = PrivateNetwork::enter()?;
    let twin = Twin::start(spec, &network)?;
    let http = SocketAddr::from((twin.address(), setup.at.port.unwrap_or(80)));
    // A device that dials in need not listen.
    if setup.dial.is_none() {
        await_server(&twin, http)?;
    }
    let lacks = match setup.at.port {
        None => lacking(http),
        Some(_) => None,
    };
    let endpoints = lacks.as_ref().map_or(Endpoints::only(http), |lacks| ours_at(http, lacks));
    Ok(Device {
        endpoints,
        kind: DeviceKind::Tap,
        spec: setup.spec.clone(),
        capacity: None,
        persona: None,
        program: Some(command),
        link: Some(twin.ready().link.clone()),
        stack: None,
        options: [].into(),
        options_without_effect: Vec::new(),
        control_token: None,
        interface: Some(twin.interface().to_owned()),
        lacks: lacks.unwrap_or_default(),
        only_dials: false,
        running: Running::Twin(Arc::new(twin)),
    })
}

/// Closes a connection, and waits for the device to do so too: it should not reach into what is measured.
fn close(mut connection: TcpStream) {
    let mut over = || {
        connection.shutdown(Shutdown::Write)?;
        connection.set_read_timeout(Some(ATTEMPT))?;
        io::copy(&mut connection.by_ref().take(1 << 16), &mut io::sink())
    };
    // A device that keeps it open has one connection less for a while.
    let _: io::Result<u64> = over();
}

/// Waits until the device's server accepts a connection.
fn await_server(twin: &Twin, at: SocketAddr) -> Result<(), TargetError> {
    let until = Instant::now() + PATIENCE;
    loop {
        let error = match TcpStream::connect_timeout(&at, ATTEMPT) {
            Ok(connection) => {
                close(connection);
                return Ok(());
            }
            Err(error) => error,
        };
        if Instant::now() >= until || twin.ended().is_some() {
            let seen = twin.program().unwrap_or_default();
            let end = seen.end.map_or_else(String::new, |end| format!("; it ended meanwhile: {end}"));
            let wrote = match seen.last_lines.as_slice() {
                [] => String::new(),
                lines => format!("; it wrote: {}", lines.join(" | ")),
            };
            let what = match error.kind() {
                io::ErrorKind::ConnectionRefused => "it refuses connections",
                _ => "it doesn't answer SYNs",
            };
            return Err(TargetError::NoServer { at, what, more: format!("{end}{wrote}") });
        }
        std::thread::sleep(STEP);
    }
}
