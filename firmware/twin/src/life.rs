//! What a life of the device has on either stack: its setup, its threads, what it is told, and its restart.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use espstress_device::config::Boot;
use espstress_device::telemetry::ResetReason;
use espstress_device::{Config, Persona, Program};

use crate::air::{Air, Station};
use crate::clock;
use crate::control::{self, Errand, Reporter};
use crate::error::ChildError;
use crate::protocol::{NoEffect, Outcome, ProgramSeen, Ready, Report};
use crate::setup::{BootState, SETUP_VARIABLE, Setup};

/// One start of a twin.
pub(crate) struct Life {
    pub(crate) setup: Setup,
    pub(crate) device: Config,
    pub(crate) air: Arc<Air>,
    pub(crate) control: UnixStream,
    pub(crate) reporter: Arc<Reporter>,
}

/// What its stack says of itself.
pub(crate) struct StackFacts {
    /// Name and version.
    pub(crate) name: String,
    /// Sockets in all.
    pub(crate) sockets: u16,
    /// Connections that wait to be accepted, each listener.
    pub(crate) backlog: u8,
    /// Options in force.
    pub(crate) options: BTreeMap<String, String>,
    /// Options of the set that change nothing.
    pub(crate) no_effect: Vec<NoEffect>,
    /// The ESP-IDF version that the option set names.
    pub(crate) idf_version: Option<String>,
}

/// What it serves.
pub(crate) struct Serves {
    /// Ports by service.
    pub(crate) ports: BTreeMap<String, u16>,
    /// Connections it holds at once.
    pub(crate) capacity: u16,
    /// The persona in force, where there is one.
    pub(crate) persona: Option<String>,
    /// The port of a foreign program.
    pub(crate) program_port: Option<u16>,
}

/// Whether the life goes on after an errand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    GoOn,
    End,
}

impl Life {
    /// Starts the threads of the control channel and of the link. What they bring is received from here, after `wake`.
    pub(crate) fn start_threads(
        &self,
        station: impl Station + Send + 'static,
        wake: impl Fn() + Send + Clone + 'static,
    ) -> Result<Receiver<Errand>, ChildError> {
        let (send, errands) = channel();
        let control =
            self.control.try_clone().map_err(|error| ChildError::System("control channel", error))?;
        let serving = (Arc::clone(&self.air), Arc::clone(&self.reporter), send.clone(), wake.clone());
        spawn("control", move || {
            let (air, reporter, errands, wake) = serving;
            control::serve(control, &air, &reporter, &errands, wake);
        })?;
        let air = Arc::clone(&self.air);
        spawn("air", move || {
            let error = air.run(&station);
            // The device's thread ends the process; it is gone only when the process is.
            let _ = send.send(Errand::Unwired(error));
            wake();
        })?;
        Ok(errands)
    }

    /// Says that the device program serves.
    pub(crate) fn report_ready(&self, stack: StackFacts) {
        let services = self.device.services.iter();
        let serves = Serves {
            ports: services.map(|service| (service.name().to_owned(), service.port())).collect(),
            capacity: self.device.capacity(),
            persona: Some(self.setup.persona.clone()),
            program_port: None,
        };
        self.report_serving(stack, serves);
    }

    /// Says what it serves.
    pub(crate) fn report_serving(&self, stack: StackFacts, serves: Serves) {
        let Self { setup, .. } = self;
        let ready = Ready {
            since: clock::moment(clock::now_ns()),
            address: setup.address,
            ports: serves.ports,
            capacity: serves.capacity,
            sockets: stack.sockets,
            backlog: stack.backlog,
            heap_bytes: setup.heap_bytes,
            stack: stack.name,
            options: stack.options,
            no_effect: stack.no_effect,
            idf_version: stack.idf_version,
            persona: serves.persona,
            program_port: serves.program_port,
            link: setup.link.clone(),
            boot_count: setup.boot.count,
            reset_reason: setup.boot.reason.clone(),
        };
        self.reporter.report(&Report::Ready(Box::new(ready)));
    }

    /// Does what came over the control channel, between two turns of the program.
    pub(crate) fn obey(&self, errand: Errand, program: &mut Program) -> Result<After, ChildError> {
        match errand {
            Errand::Stop => Ok(After::End),
            Errand::Unwired(error) => Err(ChildError::Wire(error)),
            Errand::Persona(persona, id) => {
                program.set_persona(persona);
                self.reporter.answer(id, Outcome::Done);
                Ok(After::GoOn)
            }
            Errand::Program(id) => {
                self.reporter.answer(id, Outcome::Refused("this twin runs the device program".to_owned()));
                Ok(After::GoOn)
            }
        }
    }

    /// The same after a foreign program's end.
    pub(crate) fn restart_program(
        mut self,
        reason: ResetReason,
        words: String,
        seen: ProgramSeen,
    ) -> Result<Infallible, ChildError> {
        self.setup.boot.last_words = Some(words);
        let boot = Boot { count: self.setup.boot.count.saturating_add(1), reason };
        let next = Config { boot, ..self.device.clone() };
        self.start_again(&next, Some(Box::new(seen)))
    }

    /// Starts this program again in this process: every connection is gone without goodbye, the heap is as new, and
    /// the TAP device and the control channel stay.
    pub(crate) fn restart(self, next: &Config) -> Result<Infallible, ChildError> {
        self.start_again(next, None)
    }

    fn start_again(
        mut self,
        next: &Config,
        program: Option<Box<ProgramSeen>>,
    ) -> Result<Infallible, ChildError> {
        let (spec, origin) = self.air.spec();
        self.setup.link = spec.to_string();
        // The one it was started with stays as it was written; another one is written with all its parameters.
        if self.setup.persona.parse() != Ok::<Persona, _>(next.persona) {
            self.setup.persona = next.persona.spelled().to_string();
        }
        self.setup.boot = BootState {
            count: next.boot.count,
            reason: next.boot.reason.name().to_owned(),
            link_origin_ns: Some(origin),
            last_words: self.setup.boot.last_words.take(),
        };
        self.reporter.report(&Report::Restarting {
            at: clock::moment(clock::now_ns()),
            reason: self.setup.boot.reason.clone(),
            boot_count: self.setup.boot.count,
            program,
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

pub(crate) fn spawn(name: &'static str, work: impl FnOnce() + Send + 'static) -> Result<(), ChildError> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map(drop).map_err(|error| ChildError::System(name, error))
}
