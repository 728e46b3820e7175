//! The life of a twin's process: from its setup to its end, or to its next start.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use espstress_device::carrier::{Carrier, Entry, Turn, entries_needed};
use espstress_device::config::{Boot, Host, LineTimes};
use espstress_device::telemetry::ResetReason;
use espstress_device::text::{Text, Token, TooLong};
use espstress_device::{Config, Persona, Program, Service, Services};
use espstress_lwip::sdkconfig::Parsed;
use espstress_lwip::{Stack, StackConfig};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::Signal;
use thiserror::Error;

use crate::air::Air;
use crate::clock;
use crate::control::{self, Errand, Reporter};
use crate::link::{Link, LinkError, LinkSpec};
use crate::protocol::{NoEffect, Outcome, Ready, Report};
use crate::setup::{BootState, SETUP_VARIABLE, Setup};
use crate::sockets::{LwipSockets, Surroundings};

/// Names the width of the stack's structures among the options: a device's are of 32 bits, and take less heap.
const STRUCTURE_BITS: &str = "ESPSTRESS_STRUCTURE_BITS";

/// Status of a twin that could not run.
const CANNOT_RUN: u8 = 3;

#[derive(Debug, Error)]
enum ChildError {
    #[error("{SETUP_VARIABLE} holds no setup: this argument is for the program itself ({0})")]
    Setup(String),
    #[error(transparent)]
    Options(#[from] espstress_lwip::sdkconfig::SdkconfigError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("persona: {0}")]
    Persona(String),
    #[error("{0} is {1}")]
    Text(&'static str, TooLong),
    #[error("no service is named {0}")]
    Service(String),
    #[error("lwIP: {0}")]
    Stack(#[from] espstress_lwip::StartError),
    #[error("the {0} service finds no place on the device: {1} (heap or sockets too small)")]
    Bind(Service, espstress_lwip::SocketError),
    #[error("the frames' carrier is gone: {0}")]
    Wire(io::Error),
    #[error("{0}: {1}")]
    System(&'static str, io::Error),
}

/// Runs this process as a twin: standard input is the control channel, standard output the TAP device or packet
/// socket, [`SETUP_VARIABLE`] the setup. Returns when the host program is gone or asks it to.
pub fn child_main() -> ExitCode {
    // Whatever happens to the host program's own words, the kernel ends the twin with it.
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
    let (control, wire) = match channels() {
        Ok(channels) => channels,
        Err(error) => {
            eprintln!("twin: {error}");
            return ExitCode::from(CANNOT_RUN);
        }
    };
    let reporter = match control.try_clone() {
        Ok(stream) => Arc::new(Reporter::new(stream)),
        Err(error) => {
            eprintln!("twin: {error}");
            return ExitCode::from(CANNOT_RUN);
        }
    };
    match live(control, wire, &reporter) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("twin: {error}");
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
    let parsed = setup.options.resolve()?;
    let air = Arc::new(air(&setup, wire, reporter)?);
    let stack = start_stack(&setup, &parsed, &air)?;
    let options = lend(in_force(&parsed));
    let backlog = u8::try_from(parsed.options.tcp_acceptmbox_size).unwrap_or(u8::MAX);
    let around = Surroundings { stack: stack.clone(), air: Arc::clone(&air), backlog, options };
    let device = Config { sockets: u16::try_from(parsed.options.max_sockets).unwrap_or(u16::MAX), ..device };
    let sockets =
        LwipSockets::open(device.services, around).map_err(|(service, e)| ChildError::Bind(service, e))?;

    let (send_errand, errands) = channel();
    let send_unwired = send_errand.clone();
    let waker = sockets.waker();
    let kept = control.try_clone().map_err(|error| ChildError::System("control channel", error))?;
    let serving = (Arc::clone(&air), Arc::clone(reporter), send_errand, waker);
    spawn("control", move || {
        let (air, reporter, errands, waker) = serving;
        control::serve(control, &air, &reporter, &errands, &waker);
    })?;
    let (carrying, unwired, woken) = (Arc::clone(&air), send_unwired, sockets.waker());
    let ready = ready(&setup, &device, &parsed, backlog, stack.version());
    spawn("air", move || {
        let error = carrying.run(&stack);
        // The device's thread ends the process; it is gone only when the process is.
        let _ = unwired.send(Errand::Unwired(error));
        woken.wake();
    })?;
    let life = Life { setup, device, air, control: kept, reporter: Arc::clone(reporter), errands };
    life.run(sockets, ready)
}

fn spawn(name: &'static str, work: impl FnOnce() + Send + 'static) -> Result<(), ChildError> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map(drop).map_err(|error| ChildError::System(name, error))
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

fn start_stack(setup: &Setup, parsed: &Parsed, air: &Arc<Air>) -> Result<Stack, ChildError> {
    let ones = u32::MAX.checked_shl(32_u32.saturating_sub(setup.prefix.into())).unwrap_or(0);
    let config = StackConfig {
        options: parsed.options.clone(),
        heap_bytes: setup.heap_bytes,
        mac: setup.mac,
        ip: setup.address,
        netmask: Ipv4Addr::from(ones),
        gateway: setup.gateway,
        seed: setup.seed ^ u64::from(setup.boot.count),
    };
    let air = Arc::clone(air);
    Ok(Stack::start(config, move |frame: &[u8]| air.take_out(frame))?)
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

/// The options in force, and first of all that the heap's figures are those of a 64-bit stack.
fn in_force(parsed: &Parsed) -> Vec<(String, String)> {
    let bits = (STRUCTURE_BITS.to_owned(), usize::BITS.to_string());
    std::iter::once(bits).chain(parsed.options.in_force()).collect()
}

/// The same for telemetry, which borrows them for the rest of the process's life.
fn lend(options: Vec<(String, String)>) -> &'static [(&'static str, &'static str)] {
    let leak = |text: String| -> &'static str { text.leak() };
    options.into_iter().map(|(name, value)| (leak(name), leak(value))).collect::<Vec<_>>().leak()
}

fn ready(setup: &Setup, device: &Config, parsed: &Parsed, backlog: u8, version: &str) -> Ready {
    Ready {
        since: clock::moment(clock::now_ns()),
        address: setup.address,
        ports: device.services.iter().map(|service| (service.name().to_owned(), service.port())).collect(),
        capacity: device.capacity(),
        sockets: device.sockets,
        backlog,
        heap_bytes: setup.heap_bytes,
        stack: format!("lwIP {version}"),
        options: in_force(parsed).into_iter().collect(),
        no_effect: parsed
            .no_effect
            .iter()
            .map(|line| NoEffect { line: line.line, key: line.key.clone(), value: line.value.clone() })
            .collect(),
        idf_version: parsed.idf_version.map(|(major, minor, patch)| format!("{major}.{minor}.{patch}")),
        persona: setup.persona.clone(),
        link: setup.link.clone(),
        boot_count: setup.boot.count,
        reset_reason: setup.boot.reason.clone(),
    }
}

/// The device's own thread.
struct Life {
    setup: Setup,
    device: Config,
    air: Arc<Air>,
    control: UnixStream,
    reporter: Arc<Reporter>,
    errands: Receiver<Errand>,
}

impl Life {
    fn run(mut self, sockets: LwipSockets, ready: Ready) -> Result<(), ChildError> {
        let mut entries = Vec::new();
        entries.resize_with(entries_needed(&self.device), || Entry::EMPTY);
        let program = Program::new(self.device.clone(), espstress_device::carrier::Sockets::now(&sockets));
        let mut carrier = Carrier::new(program, sockets, &mut entries);
        let ready = Ready { since: clock::moment(clock::now_ns()), ..ready };
        self.reporter.report(&Report::Ready(Box::new(ready)));
        loop {
            while let Ok(errand) = self.errands.try_recv() {
                match errand {
                    Errand::Stop => return Ok(()),
                    Errand::Unwired(error) => return Err(ChildError::Wire(error)),
                    Errand::Persona(persona, text, id) => {
                        carrier.program().set_persona(persona);
                        self.setup.persona = text;
                        self.reporter.answer(id, Outcome::Done);
                    }
                }
            }
            if let Turn::Restart(reason) = carrier.turn() {
                let next = carrier.program().config_after_restart(reason);
                return self.restart(&next).map(|never| match never {});
            }
        }
    }

    /// Starts this program again in this process: every connection is gone without goodbye, the heap is as new, and
    /// the TAP device and the control channel stay.
    fn restart(mut self, next: &Config) -> Result<Infallible, ChildError> {
        let (spec, origin) = self.air.spec();
        self.setup.link = spec.to_string();
        let written: Option<Persona> = self.setup.persona.parse().ok();
        if written != Some(next.persona) {
            // Changed by a control request, whose parameters are not known here.
            self.setup.persona = next.persona.name().to_owned();
        }
        self.setup.boot = BootState {
            count: next.boot.count,
            reason: next.boot.reason.name().to_owned(),
            link_origin_ns: Some(origin),
        };
        self.reporter.report(&Report::Restarting {
            at: clock::moment(clock::now_ns()),
            reason: self.setup.boot.reason.clone(),
            boot_count: self.setup.boot.count,
        });
        let fail = |error| ChildError::System("restart", error);
        let setup = serde_json::to_string(&self.setup).map_err(|error| fail(error.into()))?;
        let wire = self.air.wire().try_clone_to_owned().map_err(fail)?;
        let error = Command::new("/proc/self/exe")
            .args(std::env::args_os().skip(1))
            .env(SETUP_VARIABLE, setup)
            .stdin(OwnedFd::from(self.control))
            .stdout(wire)
            .exec();
        Err(fail(error))
    }
}
