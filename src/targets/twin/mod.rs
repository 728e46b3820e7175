//! Twins, seen from the host program: started, watched, told what to do, and ended.
//!
//! A twin is a process of this same program in the same private network. It ends with its [`Twin`], and with this
//! process however that ends. The thread that starts a twin has to live as long as the twin: the kernel ends it with
//! that thread.

mod channel;
mod error;
mod outages;
mod spec;
mod supervise;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use espstress_device::Service;
use espstress_twin::link::LinkSpec;
use espstress_twin::protocol::{Ask, Frames, Outcome, Ready};
use espstress_twin::setup::{SETUP_VARIABLE, TWIN_ARGUMENT};

pub use error::{TwinEnd, TwinError};
pub use espstress_twin::link;
pub use espstress_twin::protocol::{Moment, NoEffect, ProgramSeen};
pub use espstress_twin::setup::{OptionSet, StackKind};
pub use outages::{OutageLog, OutageRecord};
pub use spec::{TapSpec, TwinSpec};
pub use supervise::{RestartRecord, TwinEvent};

use super::network::{Carrier, Place, PrivateNetwork};
use channel::Channel;
use supervise::Supervisor;

/// How long a twin may take to serve; a few milliseconds are usual.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// How long one may take whose program somebody else wrote; the twin itself gives up before, with the reason.
const PROGRAM_PATIENCE: Duration = Duration::from_secs(40);

/// How long a process behind a TAP device may take; an operating system has to boot in it.
const TAP_PATIENCE: Duration = Duration::from_secs(75);

/// How long a twin may take to end when asked, before it is killed.
const END_PATIENCE: Duration = Duration::from_secs(1);

/// A running twin. Ends when dropped.
#[derive(Debug)]
pub struct Twin {
    channel: Channel,
    supervisor: Arc<Supervisor>,
    ready: Ready,
    /// Whether it is a process behind a TAP device.
    foreign: bool,
    place: Place,
}

impl Twin {
    /// Starts a twin in the private network and waits until it serves.
    ///
    /// # Errors
    /// The options, the persona or the link are not what they should be; the network has no interface for it; or the
    /// process ended before it served, with its last words.
    pub fn start(spec: TwinSpec, network: &PrivateNetwork) -> Result<Self, TwinError> {
        let setup = spec.setup()?;
        let setup = serde_json::to_string(&setup).map_err(|error| TwinError::Spawn(error.into()))?;
        let attachment = network.attach(spec.index, spec.carrier)?;
        if let Some(host) = spec.further_host_address() {
            network.add_host_address(&attachment.place, host)?;
        }
        let (ours, theirs) = UnixStream::pair().map_err(TwinError::Spawn)?;
        let reports = ours.try_clone().map_err(TwinError::Spawn)?;
        let child = Command::new("/proc/self/exe")
            .arg(TWIN_ARGUMENT)
            .env(SETUP_VARIABLE, setup)
            .stdin(OwnedFd::from(theirs))
            .stdout(attachment.frames)
            .stderr(Stdio::piped())
            // Ctrl-C is for the host program, which ends its twins when it is done.
            .process_group(0)
            .spawn()
            .map_err(TwinError::Spawn)?;
        let supervisor = Supervisor::watch(child, reports, spec.show_output).map_err(TwinError::Spawn)?;
        let patience = match (&spec.program, &spec.tap) {
            (_, Some(_)) => TAP_PATIENCE,
            (Some(_), None) => PROGRAM_PATIENCE,
            (None, None) => START_PATIENCE,
        };
        let ready = match supervisor.wait_ready(patience) {
            Ok(ready) => ready,
            Err(error) => {
                supervisor.end(Duration::ZERO);
                return Err(error);
            }
        };
        let channel = Channel::new(ours, Arc::clone(&supervisor));
        Ok(Self {
            channel,
            supervisor,
            ready,
            foreign: spec.tap.is_some() || spec.program.is_some(),
            place: attachment.place,
        })
    }

    /// Its address.
    #[must_use]
    pub const fn address(&self) -> Ipv4Addr {
        self.ready.address
    }

    /// Address and port of a service, `None` when it is off.
    #[must_use]
    pub fn service(&self, service: Service) -> Option<SocketAddr> {
        let port = *self.ready.ports.get(service.name())?;
        Some(SocketAddr::new(IpAddr::V4(self.ready.address), port))
    }

    /// Connections it holds at once: sockets less listeners and probes.
    #[must_use]
    pub const fn capacity(&self) -> u16 {
        self.ready.capacity
    }

    /// What it said of itself when it first served: options in force and without effect, heap, persona, link.
    #[must_use]
    pub const fn ready(&self) -> &Ready {
        &self.ready
    }

    /// The host's interface towards it, to capture on.
    #[must_use]
    pub fn interface(&self) -> &str {
        self.place.interface()
    }

    /// What carries its frames.
    #[must_use]
    pub const fn carrier(&self) -> Carrier {
        self.place.carrier()
    }

    /// Its process.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.supervisor.process_id()
    }

    /// Takes its link down from now on for so long.
    ///
    /// # Errors
    /// The twin has ended or does not answer.
    pub fn outage(&self, length: Duration) -> Result<(), TwinError> {
        self.channel.ask(Ask::Outage(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX))).map(drop)
    }

    /// Carries no segment of that TCP port of the host any more, but for RSTs to it: the host falls silent on that
    /// connection alone. A restart of the twin ends it.
    ///
    /// # Errors
    /// The twin has ended or does not answer.
    pub fn silence(&self, port: u16) -> Result<(), TwinError> {
        self.channel.ask(Ask::Silence(port)).map(drop)
    }

    /// Ends [`Twin::silence`].
    ///
    /// # Errors
    /// The twin has ended or does not answer.
    pub fn hear(&self, port: u16) -> Result<(), TwinError> {
        self.channel.ask(Ask::Hear(port)).map(drop)
    }

    /// Changes its link from now on.
    ///
    /// # Errors
    /// The twin has ended or does not answer.
    pub fn link(&self, link: &LinkSpec) -> Result<(), TwinError> {
        self.channel.ask(Ask::Link(link.to_string())).map(drop)
    }

    /// Makes it behave like another persona, `name` or `name:key=value,...`.
    ///
    /// # Errors
    /// There is no such persona, or the twin has ended or does not answer.
    pub fn persona(&self, persona: &str) -> Result<(), TwinError> {
        self.channel.ask(Ask::Persona(persona.to_owned())).map(drop)
    }

    /// What became of its frames since its last start.
    ///
    /// # Errors
    /// The twin has ended or does not answer.
    pub fn frames(&self) -> Result<Frames, TwinError> {
        match self.channel.ask(Ask::Frames)? {
            Outcome::Frames(frames) => Ok(*frames),
            other => Err(TwinError::Refused(format!("{other:?}"))),
        }
    }

    /// What is known of a foreign program: how it ended, its last lines, and what it used that the stack has not.
    ///
    /// # Errors
    /// It runs the device program, or has ended or does not answer.
    pub fn program(&self) -> Result<ProgramSeen, TwinError> {
        match self.channel.ask(Ask::Program)? {
            Outcome::Program(now) => Ok(self.supervisor.program_with(*now)),
            other => Err(TwinError::Refused(format!("{other:?}"))),
        }
    }

    /// Copies what it writes from now on to a pipe. A reader that falls behind misses lines, and costs the twin nothing.
    ///
    /// # Errors
    /// The system refuses to make the pipe one that never waits.
    pub fn copy_console(&self, to: OwnedFd) -> std::io::Result<()> {
        self.supervisor.copy_console(to)
    }

    /// The outages so far, with their real begins and ends.
    #[must_use]
    pub fn outage_log(&self) -> OutageLog {
        self.supervisor.outage_log()
    }

    /// The ends of a process that somebody else wrote, each a restart; `None` where it is our own device program, whose
    /// telemetry tells.
    #[must_use]
    pub fn process_ends(&self) -> Option<Vec<RestartRecord>> {
        self.foreign.then(|| self.supervisor.restart_log())
    }

    /// How often it has restarted.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.supervisor.restarts()
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<TwinEnd> {
        self.supervisor.ended()
    }

    /// The events from now on; the first call alone gets them. A receiver that falls behind by a thousand misses some.
    #[must_use]
    pub fn events(&self) -> Option<Receiver<TwinEvent>> {
        self.supervisor.events()
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        self.channel.say_exit();
        self.supervisor.end(END_PATIENCE);
    }
}
