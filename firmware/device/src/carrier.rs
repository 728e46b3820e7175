//! The loop of every carrier with a poll call, over a small trait.
//!
//! lwIP's sockets and those of an ordinary system differ in names and numbers; what to do with them does not. The
//! loop accepts what the program admits, moves bytes as its connections wish, answers telemetry datagrams, dials
//! out, and keeps to the deadlines. Its memory is the slice of [`Entry`]s it is given.

use core::time::Duration;

use crate::config::Host;
use crate::connection::{CloseHow, Connection, Wish};
use crate::error::ErrorKind;
use crate::program::{Admission, DeviceWish, Program, SocketOptions};
use crate::service::Service;
use crate::telemetry::{self, Readings, ResetReason};
use crate::time::{Instant, earliest};

/// Wishes of one connection that are carried out before others have their turn.
const STEPS_AT_ONCE: usize = 32;

/// Connections taken from one listener before others have their turn.
const ACCEPTS_AT_ONCE: usize = 16;

/// Datagrams answered before others have their turn.
const DATAGRAMS_AT_ONCE: usize = 8;

/// How long accepting rests after the stack failed at it: the connection may still be waiting there, and would fail
/// again at once.
const ACCEPT_REST: Duration = Duration::from_millis(20);

/// What came of reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// So many bytes, at least one.
    Bytes(usize),
    /// The peer has closed its sending direction.
    End,
    /// Nothing yet.
    NotYet,
    /// The connection is gone.
    Failed(ErrorKind),
}

/// What came of writing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// So many bytes were taken, at least one.
    Bytes(usize),
    /// No room yet.
    NotYet,
    /// The connection is gone.
    Failed(ErrorKind),
}

/// How far a dialled connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialled {
    /// Established.
    Connected,
    /// Not yet.
    NotYet,
    /// It will not be.
    Failed(ErrorKind),
}

/// What an [`Entry`] stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source<Id> {
    /// Nothing; to be passed over.
    Empty,
    /// The listener of a TCP service.
    Listener(Service),
    /// The datagram socket of telemetry.
    Telemetry,
    /// A connection being dialled.
    Dialling(Id),
    /// A connection.
    Stream(Id),
}

/// What an entry waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interest {
    /// Nothing but failures.
    Nothing,
    /// Something to read, accept or receive.
    Read,
    /// Room to write, or the end of dialling.
    Write,
}

/// What waiting found out about an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Readiness {
    /// Nothing.
    Idle,
    /// What it waited for, or something that only trying will tell.
    Ready,
    /// The connection is gone.
    Failed(ErrorKind),
}

/// One place in the carrier's table.
pub struct Entry<Id> {
    source: Source<Id>,
    interest: Interest,
    ready: Readiness,
    connection: Option<Connection>,
}

impl<Id: Copy> Entry<Id> {
    /// A free place.
    pub const EMPTY: Self =
        Self { source: Source::Empty, interest: Interest::Nothing, ready: Readiness::Idle, connection: None };

    /// What it stands for.
    #[must_use]
    pub const fn source(&self) -> Source<Id> {
        self.source
    }

    /// What it waits for.
    #[must_use]
    pub const fn interest(&self) -> Interest {
        self.interest
    }

    /// For [`Sockets::wait`]: what was found out.
    pub const fn set_ready(&mut self, ready: Readiness) {
        self.ready = ready;
    }
}

/// Entries that a carrier of this program needs: its connections, listeners, datagram socket and the one dialled.
#[must_use]
pub const fn entries_needed(config: &crate::config::Config) -> usize {
    config.sockets as usize + 1
}

/// The sockets of a stack, and what else the loop needs of the system under it.
///
/// Every call returns at once, but for [`wait`](Self::wait). Listeners and the datagram socket exist from the start
/// and belong to the implementation; it leaves out those of services that are off.
pub trait Sockets {
    /// The name of a connection, free for another one after its close.
    type Id: Copy;

    /// The time now, on the clock of the program's start.
    fn now(&self) -> Instant;

    /// Takes a connection from a listener, `None` when there is none.
    ///
    /// # Errors
    /// The stack could not accept; counted, and tried again when the listener is ready again.
    fn accept(&mut self, service: Service) -> Result<Option<Self::Id>, ErrorKind>;

    /// Sets the options of a new connection, and `TCP_NODELAY`.
    fn prepare(&mut self, id: Self::Id, options: &SocketOptions);

    /// Reads.
    fn receive(&mut self, id: Self::Id, space: &mut [u8]) -> Received;

    /// Writes.
    fn send(&mut self, id: Self::Id, bytes: &[u8]) -> Sent;

    /// Shuts down the sending direction.
    fn shutdown_write(&mut self, id: Self::Id);

    /// Closes, or forgets.
    fn close(&mut self, id: Self::Id, how: CloseHow);

    /// Starts dialling.
    ///
    /// # Errors
    /// The name does not resolve, or the stack has no socket.
    fn dial(&mut self, host: &Host) -> Result<Self::Id, ErrorKind>;

    /// Says how far dialling is.
    fn dialled(&mut self, id: Self::Id) -> Dialled;

    /// Receives a telemetry datagram into the space and remembers its sender; `None` when there is none.
    fn receive_datagram(&mut self, space: &mut [u8]) -> Option<usize>;

    /// Sends a datagram to the sender of the last one. What the stack does not take is lost.
    fn answer_datagram(&mut self, bytes: &[u8]);

    /// Readings of this moment.
    fn readings(&mut self) -> Readings<'_>;

    /// Does what the device as a whole wants. [`DeviceWish::Restart`] and [`DeviceWish::Hang`] never come here.
    fn device(&mut self, wish: DeviceWish);

    /// Waits until an entry is ready or the time has come, and marks the ready ones. Never longer than a second or
    /// so when `until` is `None`, so that a request to stop is noticed. Entries without interest are only watched for
    /// failures, where the stack can.
    fn wait(&mut self, entries: &mut [Entry<Self::Id>], until: Option<Instant>);
}

/// Why [`Carrier::turn`] wants to be called again, or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// Call again.
    Again,
    /// Restart: end the loop, drop every socket without goodbye, and start anew with
    /// [`Program::config_after_restart`].
    Restart(ResetReason),
}

/// The loop.
pub struct Carrier<'a, S: Sockets> {
    program: Program,
    sockets: S,
    entries: &'a mut [Entry<S::Id>],
    dial_until: Instant,
    accept_again: Instant,
}

impl<'a, S: Sockets> Carrier<'a, S> {
    /// A loop over these sockets. The table has [`entries_needed`] places; with fewer, fewer connections are taken.
    pub fn new(program: Program, sockets: S, entries: &'a mut [Entry<S::Id>]) -> Self {
        for entry in entries.iter_mut() {
            *entry = Entry::EMPTY;
        }
        let sources = program.services().iter().map(|service| match service {
            Service::Telemetry => Source::Telemetry,
            service => Source::Listener(service),
        });
        for (entry, source) in entries.iter_mut().zip(sources) {
            entry.source = source;
        }
        Self { program, sockets, entries, dial_until: Instant::ZERO, accept_again: Instant::ZERO }
    }

    /// The program.
    pub const fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// The sockets.
    pub const fn sockets(&mut self) -> &mut S {
        &mut self.sockets
    }

    /// Ends the loop and gives back what it ran on.
    pub fn into_parts(self) -> (Program, S) {
        (self.program, self.sockets)
    }

    /// Waits for something to happen and does what is to be done.
    pub fn turn(&mut self) -> Turn {
        let now = self.sockets.now();
        if let Some(reason) = self.obey(now) {
            return Turn::Restart(reason);
        }
        let until = self.prepare(self.sockets.now());
        self.sockets.wait(self.entries, until);
        let now = self.sockets.now();
        for at in 0..self.entries.len() {
            self.visit(at, now);
        }
        // Before telemetry is read, so that it shows what the requests just served have cost.
        if let Some(reason) = self.obey(now) {
            return Turn::Restart(reason);
        }
        self.answer_datagrams(now);
        self.dial(now);
        Turn::Again
    }

    /// Does what the device as a whole wants; a restart is the caller's.
    fn obey(&mut self, now: Instant) -> Option<ResetReason> {
        while let Some(wish) = self.program.poll_wish(now) {
            match wish {
                DeviceWish::Restart(reason) => return Some(reason),
                // The program knows that it hangs, and the loop asks it.
                DeviceWish::Hang => {}
                wish => self.sockets.device(wish),
            }
        }
        None
    }

    /// Sets what each entry waits for and returns when to stop waiting.
    fn prepare(&mut self, now: Instant) -> Option<Instant> {
        let mut until = self.program.next_wish_at();
        let hung = self.program.is_hung();
        for entry in self.entries.iter_mut() {
            if entry.ready != Readiness::Idle {
                until = Some(now);
            }
            match entry.source {
                Source::Empty | Source::Telemetry => entry.interest = Interest::Read,
                _ if hung => entry.interest = Interest::Nothing,
                Source::Listener(_) if now < self.accept_again => {
                    entry.interest = Interest::Nothing;
                    until = earliest(until, Some(self.accept_again));
                }
                Source::Listener(service) => {
                    entry.interest = match self.program.admit(service, now) {
                        Admission::Accept => Interest::Read,
                        Admission::NotNow { retry_at } => {
                            until = earliest(until, retry_at);
                            Interest::Nothing
                        }
                    };
                }
                Source::Dialling(_) => {
                    entry.interest = Interest::Write;
                    until = earliest(until, Some(self.dial_until));
                }
                Source::Stream(_) => {
                    until = earliest(until, entry.connection.as_ref().and_then(Connection::deadline));
                }
            }
        }
        if hung { until } else { earliest(until, self.program.next_dial_at()) }
    }

    fn visit(&mut self, at: usize, now: Instant) {
        let entry = &mut self.entries[at];
        if matches!(entry.source, Source::Telemetry) {
            return;
        }
        let ready = core::mem::replace(&mut entry.ready, Readiness::Idle);
        match entry.source {
            Source::Empty | Source::Telemetry => {}
            _ if self.program.is_hung() => {}
            Source::Listener(service) => {
                if ready != Readiness::Idle {
                    self.accept(service, now);
                }
            }
            Source::Dialling(id) => self.follow_dial(at, id, ready, now),
            Source::Stream(id) => {
                let Some(connection) = &mut entry.connection else {
                    return;
                };
                if let Readiness::Failed(kind) = ready {
                    connection.failed(kind);
                }
                if ready != Readiness::Idle || connection.deadline().is_some_and(|deadline| deadline <= now) {
                    self.drive(at, id, now);
                }
            }
        }
    }

    fn accept(&mut self, service: Service, now: Instant) {
        for _ in 0..ACCEPTS_AT_ONCE {
            if self.program.admit(service, now) != Admission::Accept {
                return;
            }
            let Some(at) = self.entries.iter().position(|entry| matches!(entry.source, Source::Empty)) else {
                return;
            };
            match self.sockets.accept(service) {
                Ok(Some(id)) => {
                    let options = self.program.socket_options();
                    self.sockets.prepare(id, &options);
                    let connection = self.program.open(service, now);
                    self.settle(at, id, connection, now);
                }
                Ok(None) => return,
                Err(kind) => {
                    self.program.count_error(service, kind);
                    self.accept_again = now + ACCEPT_REST;
                    return;
                }
            }
        }
    }

    fn settle(&mut self, at: usize, id: S::Id, connection: Connection, now: Instant) {
        let entry = &mut self.entries[at];
        entry.source = Source::Stream(id);
        entry.connection = Some(connection);
        self.drive(at, id, now);
    }

    /// Carries out a connection's wishes until the stack has to be waited for.
    fn drive(&mut self, at: usize, id: S::Id, now: Instant) {
        let entry = &mut self.entries[at];
        let Some(connection) = &mut entry.connection else {
            return;
        };
        for _ in 0..STEPS_AT_ONCE {
            match connection.next(&mut self.program, now) {
                Wish::Read(space) => match self.sockets.receive(id, space) {
                    Received::Bytes(n) => connection.received(n),
                    Received::End => connection.peer_closed(),
                    Received::Failed(kind) => connection.failed(kind),
                    Received::NotYet => {
                        entry.interest = Interest::Read;
                        return;
                    }
                },
                Wish::Write(bytes) => match self.sockets.send(id, bytes) {
                    Sent::Bytes(n) => connection.sent(n),
                    Sent::Failed(kind) => connection.failed(kind),
                    Sent::NotYet => {
                        entry.interest = Interest::Write;
                        return;
                    }
                },
                Wish::Readings => {
                    let readings = self.sockets.readings();
                    connection.provide(&mut self.program, &readings, now);
                }
                Wish::ShutdownWrite => self.sockets.shutdown_write(id),
                Wish::Hold => {
                    entry.interest = Interest::Nothing;
                    return;
                }
                Wish::Close(how) => {
                    self.sockets.close(id, how);
                    entry.source = Source::Empty;
                    entry.connection = None;
                    return;
                }
            }
        }
        // Still busy: comes back after the others.
        entry.interest = Interest::Nothing;
        entry.ready = Readiness::Ready;
    }

    fn answer_datagrams(&mut self, now: Instant) {
        let mut telemetry = self.entries.iter_mut().filter(|entry| matches!(entry.source, Source::Telemetry));
        match telemetry.next() {
            Some(entry) if entry.ready != Readiness::Idle => entry.ready = Readiness::Idle,
            _ => return,
        }
        let mut datagram = [0; 64];
        let mut answer = [0; telemetry::MAX_LEN];
        for _ in 0..DATAGRAMS_AT_ONCE {
            let Some(len) = self.sockets.receive_datagram(&mut datagram) else {
                return;
            };
            let request = &datagram[..len.min(datagram.len())];
            let readings = self.sockets.readings();
            if let Some(len) = self.program.answer_datagram(request, &readings, now, &mut answer) {
                self.sockets.answer_datagram(&answer[..len]);
            }
        }
    }

    fn dial(&mut self, now: Instant) {
        let free = self.entries.iter().position(|entry| matches!(entry.source, Source::Empty));
        let Some(at) = free else {
            return;
        };
        let Some(host) = self.program.poll_dial(now) else {
            return;
        };
        match self.sockets.dial(&host) {
            Ok(id) => {
                self.entries[at].source = Source::Dialling(id);
                self.dial_until = now + self.program.dial_limit();
            }
            Err(kind) => self.program.dial_failed(kind, now),
        }
    }

    fn follow_dial(&mut self, at: usize, id: S::Id, ready: Readiness, now: Instant) {
        let outcome = match ready {
            Readiness::Failed(kind) => Dialled::Failed(kind),
            Readiness::Ready => self.sockets.dialled(id),
            Readiness::Idle => Dialled::NotYet,
        };
        match outcome {
            Dialled::Connected => {
                let options = self.program.dial_options();
                self.sockets.prepare(id, &options);
                let connection = self.program.dialled(now);
                self.settle(at, id, connection, now);
            }
            Dialled::NotYet if now < self.dial_until => {}
            Dialled::NotYet => self.give_dial_up(at, id, ErrorKind::TimedOut, now),
            Dialled::Failed(kind) => self.give_dial_up(at, id, kind, now),
        }
    }

    fn give_dial_up(&mut self, at: usize, id: S::Id, kind: ErrorKind, now: Instant) {
        self.sockets.close(id, CloseHow::Abort);
        self.entries[at].source = Source::Empty;
        self.program.dial_failed(kind, now);
    }
}
