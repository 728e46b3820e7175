//! The twin's end of the control channel.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use espstress_device::Persona;

use crate::air::Air;
use crate::link::LinkSpec;
use crate::protocol::{Ask, Outcome, Report, Request};

/// How long a report waits for a host program that does not read.
const WRITE_PATIENCE: Duration = Duration::from_millis(500);

/// Sends reports, from any thread.
pub(crate) struct Reporter(Mutex<UnixStream>);

impl Reporter {
    pub(crate) fn new(stream: UnixStream) -> Self {
        // Refused only for a time of zero.
        let _ = stream.set_write_timeout(Some(WRITE_PATIENCE));
        Self(Mutex::new(stream))
    }

    /// Sends one. A host program that is gone or does not listen misses it; its end ends the twin elsewhere.
    pub(crate) fn report(&self, report: &Report) {
        if let Ok(mut line) = serde_json::to_vec(report) {
            line.push(b'\n');
            let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line);
        }
    }

    pub(crate) fn answer(&self, id: u64, outcome: Outcome) {
        self.report(&Report::Answer { id, outcome });
    }
}

/// What the device's own thread has to do.
pub(crate) enum Errand {
    /// Take over a persona; answer with this id.
    Persona(Persona, u64),
    /// Say what a foreign program has said and used; answer with this id.
    Program(u64),
    /// End.
    Stop,
    /// End, because the frames' carrier is gone.
    Unwired(std::io::Error),
}

/// Carries requests out until the host program closes the channel, and then ends the twin.
pub(crate) fn serve(
    stream: UnixStream,
    air: &Air,
    reporter: &Arc<Reporter>,
    errands: &Sender<Errand>,
    wake: impl Fn(),
) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let request = match serde_json::from_str::<Request>(&line) {
            Ok(request) => request,
            Err(error) => {
                reporter.answer(0, Outcome::Refused(error.to_string()));
                continue;
            }
        };
        let outcome = match request.ask {
            Ask::Link(text) => match text.parse::<LinkSpec>() {
                Ok(spec) => {
                    air.set_spec(spec);
                    Outcome::Done
                }
                Err(error) => Outcome::Refused(error.to_string()),
            },
            Ask::Outage(length_ns) => {
                air.start_outage(length_ns);
                Outcome::Done
            }
            Ask::Silence(port) => {
                air.silence(port);
                Outcome::Done
            }
            Ask::Hear(port) => {
                air.hear(port);
                Outcome::Done
            }
            Ask::Persona(text) => match text.parse::<Persona>() {
                Ok(persona) => {
                    // The device's thread answers; it is gone only when the process ends.
                    let _ = errands.send(Errand::Persona(persona, request.id));
                    wake();
                    continue;
                }
                Err(error) => Outcome::Refused(error.to_string()),
            },
            Ask::Program => {
                let _ = errands.send(Errand::Program(request.id));
                wake();
                continue;
            }
            Ask::Frames => Outcome::Frames(Box::new(air.frames())),
            Ask::Exit => break,
        };
        reporter.answer(request.id, outcome);
    }
    let _ = errands.send(Errand::Stop);
    wake();
}
