//! The device's side of the framed protocol.

use core::time::Duration;

use crate::error::ErrorKind;
use crate::framed::{
    Checksum, ErrorCode, HEADER_LEN, Header, HeaderError, Kind, MAX_HEARTBEAT, Report, Subscribe,
};
use crate::program::Program;
use crate::protocol::{Io, Step};
use crate::sessions::Sending;
use crate::time::Instant;

/// Free output that any message but an echo's payload fits into.
const ROOM: usize = HEADER_LEN + Report::LEN;

/// Shortest time between the device's heartbeats; shorter ones are stretched.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// The device's side of one framed connection.
pub(crate) struct Framed {
    phase: Phase,
    session: Option<Session>,
}

enum Phase {
    /// Between messages or in a header.
    Header,
    /// In the payload of an echo, which goes straight back.
    Echo { left: u32, sum: Checksum, expected: u32 },
    /// Waits for the whole of a short payload.
    Payload(Header),
}

#[derive(Clone, Copy)]
struct Session {
    number: u32,
    /// None without heartbeats.
    beat: Option<Beat>,
}

/// The device's heartbeats on a connection.
#[derive(Clone, Copy)]
struct Beat {
    interval: Duration,
    next: Next,
}

/// When the next heartbeat is to go out.
#[derive(Clone, Copy)]
enum Next {
    /// Then.
    At(Instant),
    /// It was due, but too many wait for their Ack: with the next one.
    WithAck,
}

impl Framed {
    pub(crate) const fn new() -> Self {
        Self { phase: Phase::Header, session: None }
    }

    pub(crate) const fn is_in_mid_request(&self, input_is_empty: bool) -> bool {
        !matches!(self.phase, Phase::Header) || !input_is_empty
    }

    pub(crate) fn step(&mut self, io: &mut Io<'_>, program: &mut Program, now: Instant) -> Step {
        if io.output.room() < ROOM {
            return Step::Flush;
        }
        match &mut self.phase {
            Phase::Header => {
                self.beat(io, program, now);
                if io.output.room() < ROOM {
                    return Step::Flush;
                }
                self.header(io, program)
            }
            Phase::Echo { .. } => self.echo(io, program),
            &mut Phase::Payload(header) => self.payload(io, program, header, now),
        }
    }

    fn wait(&self) -> Step {
        Step::Read {
            at_most: usize::MAX,
            wake: match self.session.and_then(|session| session.beat) {
                Some(Beat { next: Next::At(due), .. }) => Some(due),
                Some(Beat { next: Next::WithAck, .. }) | None => None,
            },
        }
    }

    /// Sends the device's own heartbeat when one is due and not too many wait for their Ack. Missed ones are not made
    /// up for: a burst after an outage would say nothing about the link.
    fn beat(&mut self, io: &mut Io<'_>, program: &mut Program, now: Instant) {
        let Some(Session { number, beat: Some(beat) }) = &mut self.session else {
            return;
        };
        match beat.next {
            Next::At(due) if now >= due => {}
            Next::At(_) | Next::WithAck => return,
        }
        match program.sessions.send(*number, io.number) {
            Sending::Number(sequence) => {
                beat.next = Next::At(now + beat.interval);
                send(io, Header::new(Kind::Heartbeat, sequence, b""), b"");
            }
            Sending::Waits => beat.next = Next::WithAck,
            // A newer connection has taken the session over.
            Sending::Over => self.session = None,
        }
    }

    fn header(&mut self, io: &mut Io<'_>, program: &mut Program) -> Step {
        let Some(bytes) = io.input.filled().first_chunk::<HEADER_LEN>() else {
            return self.wait();
        };
        let header = match Header::decode(bytes) {
            Ok(header) => header,
            Err(HeaderError::Length(_)) => {
                return refuse(io, program, ErrorCode::TooLarge, ErrorKind::TooLarge);
            }
            Err(_) => return refuse(io, program, ErrorCode::BadHeader, ErrorKind::Malformed),
        };
        let limit = match header.kind {
            Kind::Echo => header.length,
            Kind::Heartbeat => MAX_HEARTBEAT,
            Kind::Subscribe => Subscribe::LEN as u32,
            Kind::Ack | Kind::ReportRequest => 0,
            Kind::EchoReply | Kind::Report | Kind::Error => {
                return refuse(io, program, ErrorCode::Unexpected, ErrorKind::Malformed);
            }
        };
        if header.length > limit {
            return refuse(io, program, ErrorCode::TooLarge, ErrorKind::TooLarge);
        }
        io.input.consume(HEADER_LEN);
        self.phase = if header.kind == Kind::Echo {
            let reply = Header { kind: Kind::EchoReply, ..header };
            send(io, reply, b"");
            Phase::Echo { left: header.length, sum: Checksum::new(), expected: header.checksum }
        } else {
            Phase::Payload(header)
        };
        Step::Again
    }

    fn echo(&mut self, io: &mut Io<'_>, program: &mut Program) -> Step {
        let Phase::Echo { left, sum, expected } = &mut self.phase else {
            return Step::Again;
        };
        let piece = io.input.filled();
        let take = piece.len().min(*left as usize).min(io.output.room());
        let piece = &piece[..take];
        sum.update(piece);
        let fits = io.output.push(piece);
        debug_assert!(fits, "no more was taken than there is room for");
        io.input.consume(take);
        *left -= take as u32;
        if *left > 0 {
            // Heartbeats wait for the end of the echo.
            return if io.output.room() < ROOM { Step::Flush } else { Step::READ };
        }
        let intact = core::mem::take(sum).finish() == *expected;
        self.phase = Phase::Header;
        program.count_served(io.service);
        if !intact {
            // The reply carries the same checksum, so that the host sees it as well.
            program.count_error(io.service, ErrorKind::Corrupt);
        }
        Step::Again
    }

    fn payload(&mut self, io: &mut Io<'_>, program: &mut Program, header: Header, now: Instant) -> Step {
        let Some(payload) = io.input.filled().get(..header.length as usize) else {
            return Step::READ;
        };
        if crate::framed::checksum(payload) != header.checksum {
            io.error(program, ErrorKind::Corrupt);
            return refuse(io, program, ErrorCode::BadHeader, ErrorKind::Malformed);
        }
        let subscribe = Subscribe::decode(payload);
        io.input.consume(header.length as usize);
        self.phase = Phase::Header;
        let sequence = header.sequence;
        match (header.kind, subscribe) {
            (Kind::Heartbeat, _) => {
                if let Some(session) = self.session {
                    program.sessions.received(session.number, io.number, sequence);
                }
                send(io, Header::new(Kind::Ack, sequence, b""), b"");
                program.count_served(io.service);
            }
            (Kind::Ack, _) => {
                if let Some(session) = &mut self.session {
                    program.sessions.acked(session.number, io.number, sequence);
                    if let Some(Beat { next: next @ Next::WithAck, .. }) = &mut session.beat {
                        *next = Next::At(now);
                    }
                }
            }
            (Kind::ReportRequest, _) => self.report(io, program, sequence),
            (Kind::Subscribe, Some(wanted)) => {
                let interval = Duration::from_millis(wanted.interval_ms.into());
                let interval = if interval.is_zero() { interval } else { interval.max(SHORTEST_INTERVAL) };
                program.sessions.subscribe(wanted.session, io.number);
                self.session = Some(Session {
                    number: wanted.session,
                    beat: (!interval.is_zero()).then(|| Beat { interval, next: Next::At(now + interval) }),
                });
                self.report(io, program, sequence);
            }
            _ => return refuse(io, program, ErrorCode::Unexpected, ErrorKind::Malformed),
        }
        Step::Again
    }

    fn report(&self, io: &mut Io<'_>, program: &mut Program, sequence: u32) {
        let report = self.session.and_then(|session| program.sessions.report(session.number, io.number));
        let payload = report.unwrap_or_default().encode();
        send(io, Header::new(Kind::Report, sequence, &payload), &payload);
        program.count_served(io.service);
    }
}

/// Puts a message into the output, where the caller has seen to the room.
fn send(io: &mut Io<'_>, header: Header, payload: &[u8]) {
    let whole = io.output.push(&header.encode()) && io.output.push(payload);
    debug_assert!(whole, "a message always fits");
}

/// Says why and gives up: the place in the stream is lost.
fn refuse(io: &mut Io<'_>, program: &mut Program, code: ErrorCode, kind: ErrorKind) -> Step {
    io.error(program, kind);
    let mut header = Header::new(Kind::Error, 0, b"");
    header.code = code as u8;
    send(io, header, b"");
    Step::Drain
}
