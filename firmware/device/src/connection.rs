//! One connection: bytes and times in, wishes out.

use core::time::Duration;

use crate::buffer::Buffer;
use crate::error::ErrorKind;
use crate::persona::{AfterError, AfterPeerCloses, Habits, Reading};
use crate::program::Program;
use crate::protocol::{Io, Protocol, Step};
use crate::service::Service;
use crate::telemetry::Readings;
use crate::time::{Instant, earliest};

/// Bytes a connection takes in before it has to act on them; also the longest HTTP request head.
pub const INPUT_LEN: usize = 1_536;

/// Bytes a connection has under way at most.
pub const OUTPUT_LEN: usize = 1_664;

/// How long a connection that refused a request reads on, so that the answer is not lost to a RST.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// How often a connection without anything to wait for is looked at: a persona may have changed.
const HOLD_CHECK: Duration = Duration::from_secs(1);

/// How often a connection that waits for its turn is looked at.
const TURN_CHECK: Duration = Duration::from_millis(10);

/// How a socket is to be closed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CloseHow {
    /// Plain close: what was written still goes out, then FIN. Everything that had arrived has been read.
    Orderly,
    /// Plain close with bytes of the peer unread. lwIP and Linux answer that with RST; on a stack that would send
    /// FIN, deliver what was written and then abort.
    Unread,
    /// RST at once.
    Abort,
    /// No close at all: the program forgets the socket, and it stays occupied until the device restarts.
    Leak,
}

/// What a connection wants of its carrier next.
#[derive(PartialEq, Eq, Debug)]
pub enum Wish<'a> {
    /// Read into this space, never empty, and report through [`Connection::received`],
    /// [`Connection::peer_closed`] or [`Connection::failed`].
    Read(&'a mut [u8]),
    /// Send these bytes, or some of them, and report through [`Connection::sent`] or [`Connection::failed`].
    Write(&'a [u8]),
    /// Call [`Connection::provide`] with fresh readings.
    Readings,
    /// Shut down the sending direction, then go on.
    ShutdownWrite,
    /// Neither read nor write. Failures may still be reported.
    Hold,
    /// Close and forget this connection; the last wish.
    Close(CloseHow),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    Open,
    Closed,
    Failed(ErrorKind),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// For the turn, under a persona that serves one at a time.
    WaitsForTurn,
    Serving,
    /// Sends what is left, then closes.
    Finishing(CloseHow),
    /// Sends what is left, shuts down sending, then drains.
    ShuttingDown,
    /// Reads and drops until the peer closes.
    Draining(Instant),
    /// Neither reads nor closes, while the persona lasts.
    Holding,
    Closed,
}

/// One connection of one service.
///
/// Of fixed size; carriers keep them in a table and reuse the places. The carrier calls
/// [`next`](Self::next), does what it says, reports, and calls again; when the stack cannot do it at once, it comes
/// back when it can or when [`deadline`](Self::deadline) has passed, whichever is first.
///
/// ```
/// use espstress_device::{Config, Instant, Program, Service, Wish};
///
/// let now = Instant::ZERO;
/// let mut program = Program::new(Config::default(), now);
/// let mut connection = program.open(Service::Http, now);
/// let request = b"HEAD / HTTP/1.1\r\nHost: device\r\n\r\n";
/// if let Wish::Read(space) = connection.next(&mut program, now) {
///     space[..request.len()].copy_from_slice(request);
///     connection.received(request.len());
/// }
/// let Wish::Write(answer) = connection.next(&mut program, now) else { panic!() };
/// assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
/// ```
pub struct Connection {
    service: Service,
    number: u32,
    opened: Instant,
    generation: u32,
    habits: Habits,
    protocol: Protocol,
    phase: Phase,
    peer: Peer,
    input: Buffer<INPUT_LEN>,
    output: Buffer<OUTPUT_LEN>,
    total_read: u64,
    /// Bytes have moved since `last_moved` was set; the time is not known until the next call with one.
    moved: bool,
    last_moved: Instant,
    deadline: Option<Instant>,
    /// Something went wrong on it, for personas that forget to close then.
    erred: bool,
}

impl Connection {
    pub(crate) fn new(program: &Program, service: Service, number: u32, now: Instant) -> Self {
        let mut habits = *program.persona().habits();
        let mut phase = Phase::WaitsForTurn;
        if service == Service::Mqtt {
            // The protocol has a keep alive of its own, and a client waits for nobody's turn.
            habits.idle_limit = None;
            phase = Phase::Serving;
        }
        Self {
            service,
            number,
            opened: now,
            generation: program.generation(),
            habits,
            protocol: Protocol::new(service, program, now),
            phase,
            peer: Peer::Open,
            input: Buffer::new(),
            output: Buffer::new(),
            total_read: 0,
            moved: false,
            last_moved: now,
            deadline: None,
            erred: false,
        }
    }

    /// The same connection in the role of the one who dialled.
    pub(crate) fn dialled(mut self, number: u8) -> Self {
        self.protocol.dialled(number);
        self
    }

    pub(crate) const fn number(&self) -> u32 {
        self.number
    }

    /// The service it belongs to.
    #[must_use]
    pub const fn service(&self) -> Service {
        self.service
    }

    /// When to call [`next`](Self::next) at the latest, even if nothing happens on the socket.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// So many bytes were read into the space of [`Wish::Read`].
    pub fn received(&mut self, n: usize) {
        self.input.fill(n);
        self.total_read = self.total_read.saturating_add(n as u64);
        self.moved = true;
    }

    /// So many bytes of [`Wish::Write`] were taken by the stack.
    pub fn sent(&mut self, n: usize) {
        self.output.consume(n);
        self.moved = true;
    }

    /// The peer has closed its sending direction and everything before that was read.
    pub fn peer_closed(&mut self) {
        if self.peer == Peer::Open {
            self.peer = Peer::Closed;
        }
    }

    /// The stack reports that the connection is gone.
    pub fn failed(&mut self, kind: ErrorKind) {
        if !matches!(self.peer, Peer::Failed(_)) {
            self.peer = Peer::Failed(kind);
        }
    }

    /// Answers [`Wish::Readings`].
    pub fn provide(&mut self, program: &mut Program, readings: &Readings<'_>, now: Instant) {
        let (protocol, mut io) = self.split();
        protocol.provide(&mut io, program, readings, now);
    }

    /// What to do next.
    pub fn next<'c>(&'c mut self, program: &mut Program, now: Instant) -> Wish<'c> {
        if self.moved {
            self.moved = false;
            self.last_moved = now;
        }
        match self.advance(program, now) {
            Next::Read(at_most) => {
                let space = self.input.space();
                let len = space.len().min(at_most);
                Wish::Read(&mut space[..len])
            }
            Next::Write => Wish::Write(self.output.filled()),
            Next::Readings => Wish::Readings,
            Next::ShutdownWrite => Wish::ShutdownWrite,
            Next::Hold => Wish::Hold,
            Next::Close(how) => {
                self.phase = Phase::Closed;
                self.deadline = None;
                program.note_closed(self.service, self.number, how, now);
                Wish::Close(how)
            }
        }
    }

    fn advance(&mut self, program: &mut Program, now: Instant) -> Next {
        self.deadline = None;
        if program.hangs(now) && self.phase != Phase::Closed {
            self.deadline = Some(now + HOLD_CHECK);
            return Next::Hold;
        }
        if program.blocks() && self.service != Service::Mqtt && self.phase != Phase::Closed {
            self.deadline = Some(now + TURN_CHECK);
            return Next::Hold;
        }
        if let Peer::Failed(kind) = self.peer
            && self.phase != Phase::Closed
        {
            program.count_error(self.service, kind);
            self.erred = true;
            return Next::Close(self.closing(CloseHow::Orderly));
        }
        loop {
            match self.phase {
                Phase::WaitsForTurn => {
                    if !program.takes_turn(self.number) {
                        self.deadline = Some(now + TURN_CHECK);
                        return Next::Hold;
                    }
                    self.last_moved = now;
                    self.phase = Phase::Serving;
                }
                Phase::Serving => {
                    if let Some(next) = self.serve(program, now) {
                        return next;
                    }
                }
                Phase::Finishing(how) => match self.flush(program, now) {
                    Flush::Pending => return Next::Write,
                    Flush::Stuck => return Next::Close(CloseHow::Abort),
                    Flush::Done => return Next::Close(self.closing(how)),
                },
                Phase::ShuttingDown => match self.flush(program, now) {
                    Flush::Pending => return Next::Write,
                    Flush::Stuck => return Next::Close(CloseHow::Abort),
                    Flush::Done => {
                        self.phase = Phase::Draining(now + DRAIN_TIME);
                        return Next::ShutdownWrite;
                    }
                },
                Phase::Draining(until) => {
                    self.input.clear();
                    if self.peer == Peer::Closed || now >= until {
                        return Next::Close(self.closing(CloseHow::Orderly));
                    }
                    self.deadline = Some(until);
                    return Next::Read(INPUT_LEN);
                }
                Phase::Holding => {
                    if program.generation() != self.generation {
                        return Next::Close(CloseHow::Orderly);
                    }
                    self.deadline = Some(now + HOLD_CHECK);
                    return Next::Hold;
                }
                Phase::Closed => return Next::Hold,
            }
        }
    }

    /// One step of the protocol; `None` when there is more to do at once.
    fn serve(&mut self, program: &mut Program, now: Instant) -> Option<Next> {
        let (protocol, mut io) = self.split();
        match protocol.step(&mut io, program, now) {
            Step::Again => None,
            Step::Flush => Some(self.write_or_read(INPUT_LEN, None, program, now)?),
            Step::Read { at_most, wake } => self.write_or_read(at_most, wake, program, now),
            Step::Readings => Some(Next::Readings),
            Step::Close(how) => {
                self.phase = Phase::Finishing(how);
                None
            }
            Step::Drain => {
                self.phase = Phase::ShuttingDown;
                None
            }
        }
    }

    /// Sends first; reads when there is nothing to send; acts when there is nothing to read any more.
    fn write_or_read(
        &mut self,
        at_most: usize,
        wake: Option<Instant>,
        program: &mut Program,
        now: Instant,
    ) -> Option<Next> {
        match self.flush(program, now) {
            Flush::Pending => {
                if self.service == Service::Mqtt {
                    // Its client gives up by its own times what is not getting anywhere.
                    self.deadline = earliest(self.deadline, wake);
                }
                return Some(Next::Write);
            }
            Flush::Stuck => {
                self.phase = Phase::Finishing(CloseHow::Abort);
                self.output.clear();
                return None;
            }
            Flush::Done => {}
        }
        if self.peer == Peer::Closed {
            self.phase = match self.habits.after_peer_closes {
                AfterPeerCloses::Close => Phase::Finishing(CloseHow::Orderly),
                AfterPeerCloses::Hold => Phase::Holding,
            };
            if self.protocol.is_in_mid_request(self.input.is_empty()) {
                self.error(program, ErrorKind::Truncated);
            }
            return None;
        }
        if let Reading::StopsAfter(limit) = self.habits.reading
            && self.total_read >= limit
        {
            self.phase = Phase::Holding;
            return None;
        }
        let idle_end = self.habits.idle_limit.map(|limit| self.last_moved + limit);
        if idle_end.is_some_and(|end| end <= now) {
            self.error(program, ErrorKind::Idle);
            self.phase = Phase::Finishing(CloseHow::Orderly);
            return None;
        }
        if self.input.room() == 0 {
            // Protocols take their requests before the buffer is full; this keeps a mistake there from spinning.
            self.error(program, ErrorKind::TooLarge);
            self.phase = Phase::Finishing(CloseHow::Unread);
            return None;
        }
        self.deadline = earliest(idle_end, wake);
        Some(Next::Read(at_most))
    }

    /// Whether there is something to send, and whether that is going anywhere.
    fn flush(&mut self, program: &mut Program, now: Instant) -> Flush {
        if self.output.is_empty() {
            return Flush::Done;
        }
        let end = self.habits.idle_limit.map(|limit| self.last_moved + limit);
        if end.is_some_and(|end| end <= now) {
            self.error(program, ErrorKind::Idle);
            return Flush::Stuck;
        }
        self.deadline = end;
        Flush::Pending
    }

    fn error(&mut self, program: &mut Program, kind: ErrorKind) {
        program.count_error(self.service, kind);
        self.erred = true;
    }

    /// The intended close, or none for a persona that forgets it after an error.
    fn closing(&self, how: CloseHow) -> CloseHow {
        match (self.erred, self.habits.after_error) {
            (true, AfterError::Forget) => CloseHow::Leak,
            _ => how,
        }
    }

    fn split(&mut self) -> (&mut Protocol, Io<'_>) {
        let io = Io {
            input: &mut self.input,
            output: &mut self.output,
            peer_closed: self.peer == Peer::Closed,
            opened: self.opened,
            number: self.number,
            service: self.service,
            habits: &self.habits,
            erred: &mut self.erred,
        };
        (&mut self.protocol, io)
    }
}

enum Flush {
    Done,
    Pending,
    Stuck,
}

/// A [`Wish`] without its borrow.
enum Next {
    Read(usize),
    Write,
    Readings,
    ShutdownWrite,
    Hold,
    Close(CloseHow),
}
