//! The HTTP/1.1 service of port 80: HEAD and GET `/` and `/telemetry`, POST `/control`.
//!
//! `GET /?bytes=N` answers with a body of N bytes (at most [`MAX_BODY`]) for those who want to read more than a
//! greeting. Connections persist (RFC 9112, section 9.3) and requests may be pipelined; the device closes first only
//! when asked to, or after a request that it could not follow.

mod request;
mod response;

use crate::buffer::Buffer;
use crate::connection::{CloseHow, OUTPUT_LEN};
use crate::control::{Command, ControlError};
use crate::error::ErrorKind;
use crate::persona::Reading;
use crate::program::Program;
use crate::protocol::{Io, Step};
use crate::telemetry::{self, Null, Readings};
use crate::time::Instant;

use request::{Action, Method, Persistence, Plan, Refusal, Request};
use response::{Content, Status};

/// Largest body that `GET /?bytes=N` gives.
pub const MAX_BODY: u32 = 1024 * 1024;

/// What `/` says.
pub const GREETING: &str = "The device program is up. Telemetry: /telemetry\n";

/// Free output that any answer but telemetry fits into.
const ROOM: usize = 768;

/// Longest request body that is read and dropped for the sake of keeping the connection.
const MAX_SKIP: u64 = 64 * 1024;

/// The byte at a position of the body of `GET /?bytes=N`.
#[must_use]
pub const fn body_byte(at: u32) -> u8 {
    b'a' + (at % 26) as u8
}

/// The server's side of one HTTP connection.
pub(crate) struct Http {
    phase: Phase,
}

#[derive(Clone, Copy)]
enum Phase {
    /// Between requests or in a request's head.
    Head,
    /// Telemetry was asked for.
    Telemetry(Method, Persistence),
    /// In the middle of a long answer.
    Body { at: u32, len: u32, after: Persistence },
    /// In a request body that nobody wants.
    Skip(u64),
    /// The last answer is out.
    Ending,
}

impl Http {
    pub(crate) const fn new() -> Self {
        Self { phase: Phase::Head }
    }

    pub(crate) const fn is_in_mid_request(&self, input_is_empty: bool) -> bool {
        matches!(self.phase, Phase::Skip(_)) || !input_is_empty
    }

    pub(crate) fn step(&mut self, io: &mut Io<'_>, program: &mut Program, now: Instant) -> Step {
        if io.output.room() < ROOM {
            return Step::Flush;
        }
        match self.phase {
            Phase::Head => self.head(io, program, now),
            Phase::Telemetry(..) if !io.output.is_empty() => Step::Flush,
            Phase::Telemetry(..) => Step::Readings,
            Phase::Body { at, len, after } => self.body(io, at, len, after),
            Phase::Skip(left) => self.skip(io, left),
            Phase::Ending => Step::Close(CloseHow::Orderly),
        }
    }

    /// Answers [`Step::Readings`].
    pub(crate) fn provide(
        &mut self,
        io: &mut Io<'_>,
        program: &mut Program,
        readings: &Readings<'_>,
        now: Instant,
    ) {
        let Phase::Telemetry(method, after) = self.phase else {
            return;
        };
        program.count_served(io.service);
        let mut json = [0; telemetry::MAX_LEN];
        let len = program.telemetry(readings, now, &mut json);
        response::write(io.output, Status::Ok, Content::Json, method, after, &json[..len]);
        self.go_on(after);
    }

    fn head(&mut self, io: &mut Io<'_>, program: &mut Program, now: Instant) -> Step {
        if let Some(step) = hasty(io, program, now) {
            return step;
        }
        let plan = match request::plan(io.input.filled(), program.config().token.as_ref()) {
            Ok(plan) => plan,
            Err(refusal) => return refuse(io, program, refusal),
        };
        match plan {
            Plan::Wait => Step::READ,
            Plan::Answer(request) => self.answer(io, program, request, now),
        }
    }

    fn answer(&mut self, io: &mut Io<'_>, program: &mut Program, mut request: Request, now: Instant) -> Step {
        if matches!(io.habits.reading, Reading::OnlyWithin(_)) {
            // This habit comes with closing first, whatever the client asks for.
            request.persistence = Persistence::Close;
        }
        io.input.consume(request.len);
        let Request { method, persistence: after, skip, action, .. } = request;
        match action {
            Action::Greet => {
                program.count_served(io.service);
                response::write(io.output, Status::Ok, Content::Text, method, after, GREETING.as_bytes());
                self.go_on(after);
            }
            Action::Bytes(len) => {
                program.count_served(io.service);
                response::write_head(io.output, Status::Ok, Content::Text, after, len as usize);
                self.go_on(after);
                if method == Method::Get {
                    self.phase = Phase::Body { at: 0, len, after };
                }
            }
            Action::Telemetry => self.phase = Phase::Telemetry(method, after),
            Action::Control(Ok(command)) => {
                program.count_served(io.service);
                program.command(&command, now);
                accept(io.output, method, after, &command);
                self.go_on(after);
            }
            Action::Control(Err(error)) => {
                io.error(program, ErrorKind::Malformed);
                decline(io.output, method, after, &error);
                self.go_on(after);
            }
            Action::Decline(status, kind) => {
                io.error(program, kind);
                response::write(io.output, status, Content::Text, method, after, status.text().as_bytes());
                self.go_on(after);
            }
        }
        if skip > 0 {
            // Only answers that are complete come with a body to skip, see `request::plan`.
            if skip > MAX_SKIP || after == Persistence::Close {
                return Step::Drain;
            }
            self.phase = Phase::Skip(skip);
        }
        Step::Again
    }

    fn body(&mut self, io: &mut Io<'_>, mut at: u32, len: u32, after: Persistence) -> Step {
        let space = io.output.space();
        let take = space.len().min((len - at) as usize);
        for place in &mut space[..take] {
            *place = body_byte(at);
            at += 1;
        }
        io.output.fill(take);
        if at == len {
            self.go_on(after);
            return Step::Again;
        }
        self.phase = Phase::Body { at, len, after };
        Step::Flush
    }

    fn skip(&mut self, io: &mut Io<'_>, left: u64) -> Step {
        let take = (io.input.len() as u64).min(left);
        io.input.consume(take as usize);
        if take == left {
            self.phase = Phase::Head;
            return Step::Again;
        }
        self.phase = Phase::Skip(left - take);
        Step::READ
    }

    fn go_on(&mut self, after: Persistence) {
        self.phase = match after {
            Persistence::Keep | Persistence::KeepAnnounced => Phase::Head,
            Persistence::Close => Phase::Ending,
        };
    }
}

/// The habits of personas that do not wait for the request.
fn hasty(io: &mut Io<'_>, program: &mut Program, now: Instant) -> Option<Step> {
    let how = match io.habits.reading {
        Reading::ToTheEnd | Reading::StopsAfter(_) => return None,
        Reading::OnlyFirst(bytes) => {
            let missing = usize::from(bytes).saturating_sub(io.input.len());
            if io.peer_closed && io.input.is_empty() {
                return None;
            }
            if missing > 0 && !io.peer_closed {
                return Some(Step::Read { at_most: missing, wake: None });
            }
            CloseHow::Unread
        }
        Reading::OnlyWithin(wait) => {
            let end = io.opened + wait;
            if !io.input.is_empty() || io.peer_closed {
                return None;
            }
            if now < end {
                return Some(Step::Read { at_most: usize::MAX, wake: Some(end) });
            }
            CloseHow::Orderly
        }
    };
    program.count_served(io.service);
    // An empty body is right for every method.
    response::write(io.output, Status::Ok, Content::Text, Method::Get, Persistence::Close, b"");
    io.input.clear();
    Some(Step::Close(how))
}

/// Refuses a request that leaves the stream in an unknown place.
fn refuse(io: &mut Io<'_>, program: &mut Program, refusal: Refusal) -> Step {
    io.error(program, refusal.kind);
    let status = refusal.status;
    let text = status.text().as_bytes();
    response::write(io.output, status, Content::Text, Method::Get, Persistence::Close, text);
    Step::Drain
}

fn accept(output: &mut Buffer<OUTPUT_LEN>, method: Method, after: Persistence, command: &Command) {
    let mut json = Buffer::<256>::new();
    let outage_ms = command.outage.map(|outage| outage.as_millis());
    let reboot = command.reboot;
    // Names and numbers of this crate alone: below 256 bytes by far.
    let _ = core::fmt::write(
        &mut json,
        format_args!(
            "{{\"outage_ms\":{},\"persona\":{},\"power_save\":{},\"reboot\":{reboot}}}\n",
            Null(outage_ms),
            Null(command.persona.map(|persona| telemetry::Quoted(persona.name()))),
            Null(command.power_save.map(|mode| telemetry::Quoted(mode.name()))),
        ),
    );
    response::write(output, Status::Ok, Content::Json, method, after, json.filled());
}

fn decline(output: &mut Buffer<OUTPUT_LEN>, method: Method, after: Persistence, error: &ControlError) {
    let mut text = Buffer::<384>::new();
    // Longest is the list of personas; what does not fit is cut off.
    let _ = core::fmt::write(&mut text, format_args!("{error}\n"));
    response::write(output, Status::BadRequest, Content::Text, method, after, text.filled());
}
