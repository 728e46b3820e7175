//! The life of a twin's process: from its setup to the start of its stack.

use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use espstress_device::config::{Boot, Host, LineTimes};
use espstress_device::telemetry::ResetReason;
use espstress_device::text::{Text, Token};
use espstress_device::{Config, Persona, Service, Services};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::Signal;

use crate::air::Air;
use crate::clock;
use crate::control::Reporter;
use crate::error::ChildError;
use crate::life::Life;
use crate::link::{Link, LinkSpec};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use crate::on_program;
#[cfg(feature = "smoltcp")]
use crate::on_smoltcp;
use crate::protocol::Report;
use crate::setup::{SETUP_VARIABLE, Setup, StackKind};
use crate::{on_lwip, on_tap};

/// Status of a twin that could not run.
const CANNOT_RUN: u8 = 3;

/// Runs this process as a twin: standard input is the control channel, standard output the TAP device or packet
/// socket, [`SETUP_VARIABLE`] the setup. Returns when the host program is gone or asks it to.
pub fn child_main() -> ExitCode {
    // Whatever happens to the host program's own words, the kernel ends the twin with it.
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
    let (control, wire) = match channels() {
        Ok(channels) => channels,
        Err(error) => {
            drop(writeln!(io::stderr(), "twin: {error}"));
            return ExitCode::from(CANNOT_RUN);
        }
    };
    let reporter = match control.try_clone() {
        Ok(stream) => Arc::new(Reporter::new(stream)),
        Err(error) => {
            drop(writeln!(io::stderr(), "twin: {error}"));
            return ExitCode::from(CANNOT_RUN);
        }
    };
    match live(control, wire, &reporter) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "twin: {error}"));
            reporter.report(&Report::Failed { message: error.to_string() });
            ExitCode::from(CANNOT_RUN)
        }
    }
}

/// Takes the two channels off standard input and output, so that nothing printed by mistake ends up in them.
fn channels() -> Result<(UnixStream, OwnedFd), ChildError> {
    let take = |fd: io::Result<OwnedFd>| fd.map_err(|error| ChildError::System("channels", error));
    let control = take(io::stdin().as_fd().try_clone_to_owned())?;
    let wire = take(io::stdout().as_fd().try_clone_to_owned())?;
    let redirected = nix::unistd::dup2_stdout(io::stderr())
        .and_then(|()| nix::unistd::dup2_stdin(io::stderr()))
        .and_then(|()| nix::fcntl::fcntl(&wire, FcntlArg::F_SETFL(OFlag::O_NONBLOCK | OFlag::O_RDWR)));
    redirected.map_err(|error| ChildError::System("channels", error.into()))?;
    Ok((UnixStream::from(control), wire))
}

fn live(control: UnixStream, wire: OwnedFd, reporter: &Arc<Reporter>) -> Result<(), ChildError> {
    let setup = std::env::var(SETUP_VARIABLE).map_err(|error| ChildError::Setup(error.to_string()))?;
    let setup: Setup = serde_json::from_str(&setup).map_err(|error| ChildError::Setup(error.to_string()))?;
    if setup.boot.count > 1 {
        stay_silent(&wire, Duration::from_millis(setup.boot_ms)).map_err(ChildError::Wire)?;
    }
    let device = device_config(&setup)?;
    let air = Arc::new(air(&setup, wire, reporter)?);
    let life = Life { setup, device, air, control, reporter: Arc::clone(reporter) };
    if let Some(tap) = life.setup.tap.clone() {
        return on_tap::live(life, &tap);
    }
    if let Some(command) = life.setup.program.clone() {
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        return on_program::live(life, &command);
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        return Err(ChildError::NeverServed(format!(
            "--program needs a machine with an x86-64 or ARM64 processor, to run {}",
            command.join(" ")
        )));
    }
    match life.setup.stack {
        StackKind::Lwip => on_lwip::live(life),
        #[cfg(feature = "smoltcp")]
        StackKind::Smoltcp => on_smoltcp::live(life),
        #[cfg(not(feature = "smoltcp"))]
        StackKind::Smoltcp => Err(ChildError::NotBuilt),
    }
}

/// A device that boots hears nothing and says nothing.
fn stay_silent(wire: &OwnedFd, time: Duration) -> io::Result<()> {
    let until = clock::now_ns() + u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let mut frame = [0; 2_048];
    loop {
        let left = until.saturating_sub(clock::now_ns()).div_ceil(1_000_000);
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(wire.as_fd(), PollFlags::POLLIN)];
        match nix::poll::poll(&mut fds, timeout) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => match nix::unistd::read(wire, &mut frame) {
                Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        }
        if clock::now_ns() >= until {
            return Ok(());
        }
    }
}

fn air(setup: &Setup, wire: OwnedFd, reporter: &Arc<Reporter>) -> Result<Air, ChildError> {
    let spec: LinkSpec = setup.link.parse()?;
    let origin = setup.boot.link_origin_ns.unwrap_or_else(clock::now_ns);
    let mut link = Link::restarted(spec, setup.seed, origin, setup.boot.count.saturating_sub(1));
    // What was planned for the time before this start has been told before it.
    while link.poll(clock::now_ns()).is_some() {}
    let mut last = None;
    while let Some(event) = link.poll_event() {
        last = Some(event);
    }
    let is_up = link.is_up();
    let air = Air::new(link, origin, wire, Arc::clone(reporter));
    let air = air.map_err(|error| ChildError::System("eventfd", error))?;
    if let (false, Some(event)) = (is_up, last) {
        air.tell(event);
    }
    Ok(air)
}

fn device_config(setup: &Setup) -> Result<Config, ChildError> {
    let persona: Persona = setup.persona.parse().map_err(|e| ChildError::Persona(format!("{e}")))?;
    let services = setup.services.iter().map(|name| {
        let known = Service::ALL.into_iter().find(|service| service.name() == name);
        known.ok_or_else(|| ChildError::Service(name.clone()))
    });
    let token = match &setup.token {
        Some(token) => Token::new(token).map_err(|e| ChildError::Text("the token", e))?,
        None => None,
    };
    let dial = match &setup.dial {
        Some((name, port)) => {
            let name = Text::try_from(name.as_str()).map_err(|e| ChildError::Text("the host to dial", e))?;
            Some(Host { name, port: *port })
        }
        None => None,
    };
    Ok(Config {
        persona,
        services: services.collect::<Result<Services, _>>()?,
        token,
        name: Text::try_from(setup.name.as_str()).map_err(|e| ChildError::Text("the name", e))?,
        number: setup.number,
        boot: Boot { count: setup.boot.count, reason: reset_reason(&setup.boot.reason) },
        line: LineTimes::default(),
        dial,
        mqtt: setup.mqtt.map(|mqtt| mqtt.settings(setup.seed)),
        ..Config::default()
    })
}

fn reset_reason(name: &str) -> ResetReason {
    use ResetReason::{
        Brownout, InterruptWatchdog, Panic, PowerOn, Software, TaskWatchdog, Unknown, Watchdog,
    };
    let known = [PowerOn, Software, Panic, InterruptWatchdog, TaskWatchdog, Watchdog, Brownout];
    known.into_iter().find(|reason| reason.name() == name).unwrap_or(Unknown)
}
