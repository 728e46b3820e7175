//! What a connection and its protocol say to each other.

use crate::buffer::Buffer;
use crate::connection::{CloseHow, INPUT_LEN, OUTPUT_LEN};
use crate::error::ErrorKind;
use crate::framed_server::Framed;
use crate::http::Http;
use crate::line_server::Line;
use crate::mqtt::talk::Talk;
use crate::persona::Habits;
use crate::program::Program;
use crate::raw::Raw;
use crate::service::Service;
use crate::telemetry::Readings;
use crate::time::Instant;

/// A connection's buffers and what a protocol may know of it.
pub(crate) struct Io<'a> {
    pub(crate) input: &'a mut Buffer<INPUT_LEN>,
    pub(crate) output: &'a mut Buffer<OUTPUT_LEN>,
    pub(crate) peer_closed: bool,
    pub(crate) opened: Instant,
    pub(crate) number: u32,
    pub(crate) service: Service,
    pub(crate) habits: &'a Habits,
    pub(crate) erred: &'a mut bool,
}

impl Io<'_> {
    /// Counts an error of this connection.
    pub(crate) fn error(&mut self, program: &mut Program, kind: ErrorKind) {
        program.count_error(self.service, kind);
        *self.erred = true;
    }
}

/// What a protocol wants after a step.
pub(crate) enum Step {
    /// Call again at once: something was consumed or the state changed.
    Again,
    /// Nothing more to do without further bytes, or until `wake`.
    Read {
        /// Bytes wanted at most.
        at_most: usize,
        /// When to call even if nothing comes.
        wake: Option<Instant>,
    },
    /// Nothing more to do before the output has been sent.
    Flush,
    /// Readings are needed.
    Readings,
    /// Send what there is and close.
    Close(CloseHow),
    /// Send what there is, then drop what the peer still sends until it closes.
    Drain,
}

impl Step {
    /// As many bytes as fit, whenever they come.
    pub(crate) const READ: Self = Self::Read { at_most: INPUT_LEN, wake: None };
}

/// The protocols of the TCP services.
pub(crate) enum Protocol {
    Http(Http),
    Framed(Framed),
    Raw(Raw),
    Line(Line),
    Mqtt(Talk),
}

impl Protocol {
    pub(crate) fn new(service: Service, program: &Program, now: Instant) -> Self {
        match service {
            // Telemetry has no connections; a carrier that opens one all the same gets HTTP, which has it too.
            Service::Http | Service::Telemetry => Self::Http(Http::new()),
            Service::Framed => Self::Framed(Framed::new()),
            Service::Raw => Self::Raw(Raw::new()),
            Service::Line => Self::Line(Line::new(program.config(), now)),
            Service::Mqtt => Self::Mqtt(Talk::new(now)),
        }
    }

    pub(crate) fn dialled(&mut self, number: u8) {
        if let Self::Line(line) = self {
            line.dialled_as(number);
        }
    }

    pub(crate) fn step(&mut self, io: &mut Io<'_>, program: &mut Program, now: Instant) -> Step {
        match self {
            Self::Http(http) => http.step(io, program, now),
            Self::Framed(framed) => framed.step(io, program, now),
            Self::Raw(raw) => raw.step(io, program, now),
            Self::Line(line) => line.step(io, program, now),
            Self::Mqtt(talk) => talk.step(io, program, now),
        }
    }

    pub(crate) fn provide(
        &mut self,
        io: &mut Io<'_>,
        program: &mut Program,
        readings: &Readings<'_>,
        now: Instant,
    ) {
        match self {
            Self::Http(http) => http.provide(io, program, readings, now),
            Self::Raw(raw) => raw.provide(io, program, readings, now),
            Self::Framed(_) | Self::Line(_) | Self::Mqtt(_) => {}
        }
    }

    /// Whether an end of the stream here cuts a request off.
    pub(crate) fn is_in_mid_request(&self, input_is_empty: bool) -> bool {
        match self {
            Self::Http(http) => http.is_in_mid_request(input_is_empty),
            Self::Framed(framed) => framed.is_in_mid_request(input_is_empty),
            Self::Raw(_) => false,
            Self::Line(line) => line.is_in_mid_request(input_is_empty),
            Self::Mqtt(talk) => talk.is_in_mid_request(input_is_empty),
        }
    }
}
