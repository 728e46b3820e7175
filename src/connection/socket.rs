//! Opening a connection from a port of our own, and what is done with it until it is closed.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::endings::{Step, failure_of};
use super::http;
use super::ports::{PortPool, Release, Taken};
use super::silence;
use super::slowness::{Pace, Slow, Slowness};
use super::tls::{Heard, Session, Tls};
use super::upload::{LOOK, Upload};
use espstress_clock::unix_ns;
use espstress_event::{
    Ending, Failure, Intent, IntentBook, StallEnd, TcpSample, TlsFault, TlsFaultSeen, Uploads, WorkloadId,
};

/// How many ports of the pool are tried for one connection before the host counts as out of ports: others'
/// sockets may sit on a few of them.
const PORT_TRIES: usize = 64;

/// A handshake within this is never late, whatever its round trip.
const LATE: Duration = Duration::from_millis(20);

/// Whether a handshake that took so long was late by the host's own doing.
fn is_late(took: Duration, tcp: TcpSample) -> bool {
    tcp.retransmissions == 0 && took > LATE + Duration::from_micros(u64::from(tcp.rtt_us) * 10)
}

/// How long each step of a connection may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From `connect()` to the handshake's end.
    pub connect: Duration,
    /// For the next bytes of a response.
    pub read: Duration,
    /// For handing a request to the stack.
    pub write: Duration,
}

/// Opens connections to one device on behalf of one workload.
#[derive(Clone, Debug)]
pub struct Connector {
    /// Where to.
    pub target: SocketAddr,
    /// Source address, or the one that the routing table chooses.
    pub source: Option<IpAddr>,
    /// Step limits.
    pub timeouts: Timeouts,
    /// How slow the host is on purpose.
    pub slowness: Slowness,
    /// The run's source ports.
    pub ports: Rc<RefCell<PortPool>>,
    /// Where intentions are noted.
    pub book: Arc<IntentBook>,
    /// In whose name.
    pub workload: WorkloadId,
    /// Counts connections that the host noticed far later than their own round trip, no SYN repeated.
    pub late: Rc<Cell<u64>>,
}

/// Why a connection was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// By device, path or host, with the name.
    Failure(Failure),
    /// Every source port waits for its TIME_WAIT; the first is free then.
    PortsUntil(Instant),
}

impl Connector {
    /// Opens a connection, noting `intent` on its port first.
    ///
    /// # Errors
    /// [`Refused`]: the failure by name, or until when all source ports are waiting.
    pub async fn open(&self, intent: Intent) -> Result<Connection, Refused> {
        for _ in 0..PORT_TRIES {
            let now = Instant::now();
            let port = match self.ports.borrow_mut().take(now) {
                Taken::Port(port) => port,
                Taken::WaitUntil(at) => return Err(Refused::PortsUntil(at)),
                Taken::NoneLeft => return Err(Refused::Failure(Failure::HostOutOfPorts)),
            };
            match self.open_from(port, intent).await {
                Ok(connection) => return Ok(connection),
                // Another program's socket sits on that port, or an earlier run's TIME_WAIT: try the next one.
                Err(Failure::HostOutOfPorts) => self.give_back(port, Release::TimeWait),
                Err(failure) => {
                    self.give_back(port, Release::Free);
                    return Err(Refused::Failure(failure));
                }
            }
        }
        Err(Refused::Failure(Failure::HostOutOfPorts))
    }

    fn give_back(&self, port: u16, how: Release) {
        self.ports.borrow_mut().release(port, how, Instant::now());
    }

    async fn open_from(&self, port: u16, intent: Intent) -> Result<Connection, Failure> {
        let at_connect = |error: io::Error| failure_of(Step::Connect, &error);
        let socket = self.bound_socket(port).map_err(at_connect)?;
        // Once the port is held, so that the next SYN from it can be no other program's.
        self.book.opens(port, self.workload, intent, unix_ns());
        let start = Instant::now();
        match socket.connect(&self.target.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => {
                self.book.withdraws(port);
                return Err(at_connect(error));
            }
        }
        let stream = TcpStream::from_std(socket.into()).map_err(at_connect)?;
        let ready = match timeout(self.timeouts.connect, stream.ready(Interest::WRITABLE)).await {
            Err(_) => return Err(Failure::ConnectTimeout),
            Ok(ready) => ready.map_err(at_connect)?,
        };
        // A connection that failed is writable too, and closed for writing: only then is there an error to ask for.
        if ready.is_write_closed()
            && let Some(error) = stream.take_error().map_err(at_connect)?
        {
            return Err(at_connect(error));
        }
        let mut connection = Connection {
            stream: Some(stream),
            port,
            ports: Rc::clone(&self.ports),
            release: Release::TimeWait,
            asked: Asked::Nothing,
            written: 0,
            has_sent_fin: false,
            upload: None,
            slow: Slow::new(self.slowness, tokio::time::Instant::now()),
            tls: None,
            tls_fault: None,
        };
        if self.slowness.send.is_some() {
            // Each piece is a segment of its own.
            connection.send_at_once();
        }
        let took = start.elapsed();
        // The kernel timed the handshake itself: what lies beyond is this program's being late.
        if took > LATE && connection.tcp_sample().is_some_and(|tcp| is_late(took, tcp)) {
            self.late.set(self.late.get() + 1);
        }
        Ok(connection)
    }

    fn bound_socket(&self, port: u16) -> io::Result<Socket> {
        let socket = Socket::new(
            Domain::for_address(self.target),
            Type::STREAM.nonblocking().cloexec(),
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        if self.slowness.read.is_some() {
            // The smallest that the system has: what is not read shuts the window soon. It counts from the SYN on.
            socket.set_recv_buffer_size(1)?;
        }
        let source = self.source.unwrap_or(match self.target {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        });
        socket.bind(&SocketAddr::new(source, port).into())?;
        Ok(socket)
    }
}

/// Whether the peer has been asked for anything yet: it decides what a reset on writing means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    Something,
}

/// An open connection; its source port goes back to the pool when it is dropped.
#[derive(Debug)]
pub struct Connection {
    /// `None` only after a close.
    stream: Option<TcpStream>,
    port: u16,
    ports: Rc<RefCell<PortPool>>,
    release: Release,
    asked: Asked,
    /// Bytes of the application's that were handed over.
    written: u64,
    has_sent_fin: bool,
    /// The body on its way, where it is watched.
    upload: Option<Box<Upload>>,
    /// Where the host is slow on purpose.
    slow: Option<Box<Slow>>,
    tls: Option<Box<Session>>,
    /// How TLS failed, until it is asked for.
    tls_fault: Option<TlsFaultSeen>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The descriptor goes first: the port must not be handed out while it is open.
        self.stream = None;
        self.ports.borrow_mut().release(self.port, self.release, Instant::now());
    }
}

impl Connection {
    fn stream(&mut self) -> io::Result<&mut TcpStream> {
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// The host's TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Sends small requests at once (TCP_NODELAY), for more than one request in flight.
    pub fn send_at_once(&mut self) {
        if let Some(stream) = &self.stream {
            // A system that refuses only makes the requests later; the latency then says so.
            let _ = stream.set_nodelay(true);
        }
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// The failure by name.
    pub async fn write_all(&mut self, bytes: &[u8], limit: Duration) -> Result<(), Failure> {
        let mut rest = bytes;
        loop {
            if rest.is_empty() && !self.tls.as_ref().is_some_and(|tls| tls.wants_write()) {
                return Ok(());
            }
            if let Some(until) = self.sends_not_before().filter(|_| !rest.is_empty()) {
                self.wait_until(until).await;
            }
            let step = self.step_of_writing();
            if let Some(n) = self.write_ready(rest)? {
                rest = rest.get(n..).unwrap_or_default();
                continue;
            }
            let stream = self.stream().map_err(|error| failure_of(step, &error))?;
            match timeout(limit, stream.writable()).await {
                Err(_) => return Err(Failure::WriteTimeout),
                Ok(ready) => ready.map_err(|error| self.ended_by(failure_of(step, &error)))?,
            }
        }
    }

    const fn step_of_writing(&self) -> Step {
        match self.asked {
            Asked::Nothing => Step::FirstWrite,
            Asked::Something => Step::Write,
        }
    }

    /// Until when the host sends nothing on its own account.
    fn sends_not_before(&self) -> Option<tokio::time::Instant> {
        self.slow.as_ref()?.send.as_ref()?.waits_until(tokio::time::Instant::now())
    }

    /// Until when the host reads nothing on its own account.
    fn reads_not_before(&self) -> Option<tokio::time::Instant> {
        self.slow.as_ref()?.read.as_ref()?.waits_until(tokio::time::Instant::now())
    }

    async fn wait_until(&mut self, until: tokio::time::Instant) {
        self.waits();
        tokio::time::sleep_until(until).await;
    }

    fn waits(&mut self) {
        if let Some(slow) = &mut self.slow {
            slow.has_waited = true;
        }
    }

    /// Whether the host has kept the device waiting on purpose.
    #[must_use]
    pub fn was_slow(&self) -> bool {
        self.slow.as_ref().is_some_and(|slow| slow.has_waited)
    }

    /// Whether the host takes what comes slowly on purpose.
    #[must_use]
    pub fn reads_slowly(&self) -> bool {
        self.slow.as_ref().is_some_and(|slow| slow.read.is_some())
    }

    /// Whether the host sends slowly on purpose.
    #[must_use]
    pub fn sends_slowly(&self) -> bool {
        self.slow.as_ref().is_some_and(|slow| slow.send.is_some())
    }

    /// From now on the host is as fast as it can be.
    fn hurry(&mut self) {
        if let Some(slow) = &mut self.slow {
            (slow.read, slow.send) = (None, None);
        }
    }

    /// Hands over some of `bytes`; `None` where the stack takes no more now.
    fn write_ready(&mut self, bytes: &[u8]) -> Result<Option<usize>, Failure> {
        let step = self.step_of_writing();
        let piece = self.slow.as_ref().and_then(|slow| slow.send.as_ref()).map_or(bytes.len(), Pace::piece);
        let bytes = bytes.get(..piece).unwrap_or(bytes);
        let result = match (&self.stream, &mut self.tls) {
            (None, _) => Err(io::ErrorKind::NotConnected.into()),
            (Some(stream), None) => unless_blocked(stream.try_write(bytes)),
            (Some(stream), Some(tls)) if bytes.is_empty() => tls.flush(stream).map(|all| all.then_some(0)),
            (Some(stream), Some(tls)) => tls.write(stream, bytes),
        };
        let written = result.map_err(|error| self.ended_by(failure_of(step, &error)))?;
        self.note_written(written);
        Ok(written)
    }

    fn note_written(&mut self, written: Option<usize>) {
        if let Some(n) = written.filter(|n| *n > 0) {
            self.written += n as u64;
            self.asked = Asked::Something;
            if let Some(pace) = self.slow.as_mut().and_then(|slow| slow.send.as_mut()) {
                pace.moved(n, tokio::time::Instant::now());
            }
        }
    }

    /// Hands over what the stack takes of `bytes` at once, which may be none.
    ///
    /// # Errors
    /// The failure by name.
    pub fn write_now(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        if self.sends_slowly() {
            // Piece by piece, as `turn` does it.
            return Ok(0);
        }
        if self.tls.is_some() {
            return Ok(if bytes.is_empty() { 0 } else { self.write_ready(bytes)?.unwrap_or(0) });
        }
        let step = self.step_of_writing();
        let result = self.stream().and_then(|stream| send_record(stream, bytes));
        let written = unless_blocked(result).map_err(|error| self.ended_by(failure_of(step, &error)))?;
        self.note_written(written);
        Ok(written.unwrap_or(0))
    }

    /// Moves some bytes, whichever way is possible first: `out` to the stack, or what has come into `buffer`.
    ///
    /// While a body is watched, the device has to acknowledge some of it within `write_limit`, and is waited for only from
    /// when it has it all.
    ///
    /// # Errors
    /// The failure by name; a passed limit is a write time-out while bytes wait to be sent or to be acknowledged, else a
    /// read time-out.
    pub async fn turn(
        &mut self,
        out: &[u8],
        buffer: &mut [u8],
        read_limit: Duration,
        write_limit: Duration,
    ) -> Result<Turn, Failure> {
        let mut started = tokio::time::Instant::now();
        loop {
            let mut refused = None;
            let (send_at, read_at) = (self.sends_not_before(), self.reads_not_before());
            if !out.is_empty() && send_at.is_none() {
                match self.write_ready(out) {
                    Ok(Some(n)) => return Ok(Turn::Wrote(n)),
                    Ok(None) => {}
                    Err(failure) => refused = Some(failure),
                }
            }
            // A reset that comes between the two calls meets the bytes that wait to be sent.
            let step = if out.is_empty() { Step::Read } else { Step::Write };
            let heard = if read_at.is_none() { self.read_ready(buffer, step) } else { Ok(None) };
            match (heard, refused) {
                // An answer that came before the reset counts.
                (Ok(Some(n)), None) | (Ok(Some(n @ 1..)), Some(_)) => {
                    self.note_read(n);
                    return Ok(Turn::Read(n));
                }
                (_, Some(failure)) | (Err(failure), None) => return Err(failure),
                (Ok(None), None) => {}
            }
            self.look_at_upload();
            if let Some(until) = send_at.filter(|_| !out.is_empty()).into_iter().chain(read_at).min() {
                // No limit of the device's runs while it is the host that waits.
                self.pause(until, read_at.is_none()).await?;
                started = tokio::time::Instant::now();
                continue;
            }
            let unsent = !out.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write());
            let interest = if unsent { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            let (since, limit, late) = match &self.upload {
                Some(upload) => match (upload.waits_since(), upload.taken_since()) {
                    (Some(since), _) => (since, write_limit, Failure::WriteTimeout),
                    (None, taken) => {
                        (taken.unwrap_or(started).max(started), read_limit, Failure::ReadTimeout)
                    }
                },
                None if unsent => (started, write_limit, Failure::WriteTimeout),
                None => (started, read_limit, Failure::ReadTimeout),
            };
            let left = limit.saturating_sub(since.elapsed());
            let watched = self.upload.as_ref().is_some_and(|upload| upload.waits_since().is_some());
            if left.is_zero() && !limit.is_zero() {
                return Err(late);
            }
            let wait = if watched { left.min(LOOK) } else { left };
            let stream = self.stream().map_err(|error| failure_of(Step::Read, &error))?;
            match timeout(wait, stream.ready(interest)).await {
                Err(_) if watched => {}
                Err(_) => return Err(late),
                Ok(ready) => {
                    ready.map_err(|error| failure_of(Step::Read, &error))?;
                }
            }
        }
    }

    /// Waits on the host's own account until then, or until something can be read where that `may_read`.
    async fn pause(&mut self, until: tokio::time::Instant, may_read: bool) -> Result<(), Failure> {
        self.waits();
        // What a body has met meanwhile is looked at in time.
        let look = self.upload.as_ref().map(|_| tokio::time::Instant::now() + LOOK);
        let until = look.map_or(until, |look| look.min(until));
        if !may_read {
            tokio::time::sleep_until(until).await;
            return Ok(());
        }
        let stream = self.stream().map_err(|error| failure_of(Step::Read, &error))?;
        match tokio::time::timeout_at(until, stream.readable()).await {
            Ok(Err(error)) => Err(failure_of(Step::Read, &error)),
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    /// What has come into `buffer`; `None` where nothing is there now.
    fn read_ready(&mut self, buffer: &mut [u8], step: Step) -> Result<Option<usize>, Failure> {
        let piece = self.slow.as_ref().and_then(|slow| slow.read.as_ref()).map_or(buffer.len(), Pace::piece);
        let piece = piece.min(buffer.len());
        let buffer = buffer.get_mut(..piece).unwrap_or_default();
        let result = match (&self.stream, &mut self.tls) {
            (None, _) => Err(io::ErrorKind::NotConnected.into()),
            (Some(stream), None) => unless_blocked(stream.try_read(buffer)),
            (Some(stream), Some(tls)) => match tls.read(stream, buffer) {
                Heard::Bytes(n) => Ok(Some(n)),
                Heard::Nothing => Ok(None),
                Heard::Socket(error) => Err(error),
                Heard::Fault(seen) => {
                    self.tls_fault = Some(seen);
                    return Err(Failure::TlsFailed);
                }
            },
        };
        result.map_err(|error| self.ended_by(failure_of(step, &error)))
    }

    /// From now on the next `length` bytes, after `before` others that are still to be written, are a body to be watched.
    pub fn begin_upload(&mut self, before: u64, length: u64) {
        let now = tokio::time::Instant::now();
        self.upload = Some(Box::new(Upload::new(self.written + before, length, now)));
    }

    /// The body's time is over; what it met. `None` where none was watched.
    pub fn end_upload(&mut self, end: StallEnd) -> Option<Uploads> {
        self.look_at_upload();
        Some(self.upload.take()?.end(tokio::time::Instant::now(), end))
    }

    fn look_at_upload(&mut self) {
        if self.upload.is_none() {
            return;
        }
        // Where the system does not tell, what it has taken is all that is known.
        let taken = self.acknowledged().unwrap_or(self.written);
        let waits_for_host = taken >= self.written && self.sends_slowly();
        if let Some(upload) = &mut self.upload {
            upload.look(taken, waits_for_host, tokio::time::Instant::now());
        }
    }

    /// Bytes of the application's that the device's stack has acknowledged; `None` where the system does not tell.
    fn acknowledged(&self) -> Option<u64> {
        let unacknowledged =
            unacknowledged(self.stream.as_ref()?)?.saturating_sub(u64::from(self.has_sent_fin));
        Some(match &self.tls {
            Some(tls) => tls.plain_within(unacknowledged),
            None => self.written.saturating_sub(unacknowledged),
        })
    }

    /// Speaks TLS from now on; the handshake takes `limit` at most.
    ///
    /// # Errors
    /// [`Failure::TlsFailed`]; a time-out, a FIN and a RST by the names that they have elsewhere, since nothing in them is
    /// TLS's own. How it failed is asked for by [`Connection::take_tls_fault`].
    pub async fn secure(&mut self, tls: &Tls, limit: Duration) -> Result<(), Failure> {
        // The end of the handshake and the request are two small segments: Nagle's algorithm would hold the second back until
        // the device acknowledges the first, which it may delay.
        self.send_at_once();
        let mut session = match tls.start() {
            Ok(session) => session,
            Err(seen) => {
                self.tls_fault = Some(seen);
                return Err(Failure::TlsFailed);
            }
        };
        let stream = self.stream.as_ref().ok_or(Failure::HostOther)?;
        let shaken = timeout(limit, shake_hands(&mut session, stream)).await;
        let (failure, seen) = match shaken {
            Ok(Ok(())) => {
                self.tls = Some(Box::new(session));
                return Ok(());
            }
            Ok(Err(Heard::Fault(seen))) => (Failure::TlsFailed, Some(seen)),
            Ok(Err(Heard::Socket(error))) => {
                let failure = self.ended_by(failure_of(Step::Read, &error));
                let fault = match failure {
                    Failure::ReadReset => Some(TlsFault::Reset),
                    Failure::ReadTimeout => Some(TlsFault::TimedOut),
                    _ => None,
                };
                (failure, fault.map(|fault| TlsFaultSeen { fault, detail: session.progress() }))
            }
            Ok(Err(Heard::Bytes(_) | Heard::Nothing)) => {
                self.note_read(0);
                let seen = session.closed_early();
                let is_tls = seen.fault == TlsFault::Closed;
                (if is_tls { Failure::EofBeforeResponse } else { Failure::TlsFailed }, Some(seen))
            }
            Err(_) => {
                let seen = TlsFaultSeen { fault: TlsFault::TimedOut, detail: session.progress() };
                (Failure::ReadTimeout, Some(seen))
            }
        };
        self.tls_fault = seen;
        Err(failure)
    }

    /// How TLS failed, once.
    pub const fn take_tls_fault(&mut self) -> Option<TlsFaultSeen> {
        self.tls_fault.take()
    }

    /// Version and cipher suite, and whether the session was resumed; `None` without TLS.
    #[must_use]
    pub fn tls_in_words(&self) -> Option<(String, bool)> {
        self.tls.as_ref().map(|tls| (tls.in_words(), tls.was_resumed()))
    }

    /// Whether the peer ended TCP without TLS's own end.
    #[must_use]
    pub fn ended_without_close_notify(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.was_abrupt())
    }

    fn note_read(&mut self, n: usize) {
        if let Some(pace) = self.slow.as_mut().and_then(|slow| slow.read.as_mut()) {
            pace.moved(n, tokio::time::Instant::now());
        }
        // TLS may have ended before TCP.
        let ended = n == 0
            && match &self.tls {
                Some(tls) => tls.tcp_ended(),
                None => true,
            };
        if ended && matches!(self.release, Release::TimeWait) {
            // The peer closed first: TIME_WAIT is on its side.
            self.release = Release::Free;
        }
    }

    /// Whether the peer's FIN has been read before the host sent its own.
    #[must_use]
    pub fn peer_has_closed(&self) -> bool {
        self.release == Release::Free
    }

    /// Reads what has come into the free end of `buffer`; `Ok(0)` is the peer's FIN.
    ///
    /// # Errors
    /// The failure by name.
    pub async fn read(&mut self, buffer: &mut [u8], limit: Duration) -> Result<usize, Failure> {
        if let Some(until) = self.reads_not_before() {
            self.wait_until(until).await;
        }
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            if let Some(n) = self.read_ready(buffer, Step::Read)? {
                self.note_read(n);
                return Ok(n);
            }
            self.readable_until(deadline).await?;
            // Records that carry nothing are no answer, however many there are.
            if self.tls.is_some() && tokio::time::Instant::now() >= deadline {
                return Err(Failure::ReadTimeout);
            }
        }
    }

    async fn readable_until(&mut self, deadline: tokio::time::Instant) -> Result<(), Failure> {
        let stream = self.stream().map_err(|error| failure_of(Step::Read, &error))?;
        match tokio::time::timeout_at(deadline, stream.readable()).await {
            Err(_) => Err(Failure::ReadTimeout),
            Ok(ready) => ready.map_err(|error| self.ended_by(failure_of(Step::Read, &error))),
        }
    }

    /// A reset connection leaves no TIME_WAIT.
    fn ended_by(&mut self, failure: Failure) -> Failure {
        if matches!(failure, Failure::ConnectReset | Failure::WriteReset | Failure::ReadReset) {
            self.release = Release::Free;
        }
        failure
    }

    /// Sends the FIN and goes on reading.
    ///
    /// # Errors
    /// The failure by name.
    pub fn shut_down_writing(&mut self) -> Result<(), Failure> {
        if let (Some(stream), Some(tls)) = (&self.stream, &mut self.tls) {
            tls.close(stream);
        }
        let stream = self.stream().map_err(|error| failure_of(Step::Write, &error))?;
        match SockRef::from(&*stream).shutdown(std::net::Shutdown::Write) {
            Ok(()) => {
                self.has_sent_fin = true;
                Ok(())
            }
            Err(error) => Err(self.ended_by(failure_of(Step::Write, &error))),
        }
    }

    /// What has come, without waiting; 0 is the peer's FIN. `None` where nothing is there.
    ///
    /// # Errors
    /// The failure by name.
    pub fn read_now(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Failure> {
        let read = self.read_ready(buffer, Step::Read)?;
        if let Some(n) = read {
            self.note_read(n);
        }
        Ok(read)
    }

    /// The device closes after the response that has come: TLS's own end would meet a closed socket.
    pub fn peer_will_close(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.peer_will_close();
        }
    }

    /// What an idle connection has come to, without waiting and without taking anything from it.
    ///
    /// A FIN that is there before a request is written ends the connection in order: whoever writes all the same meets
    /// a RST (RFC 9112, 9.5: a client has to expect such a close at any time).
    pub fn at_rest(&mut self) -> AtRest {
        if self.tls.is_some() {
            return self.tls_at_rest();
        }
        let mut bytes = [std::mem::MaybeUninit::uninit(); 2_048];
        let Some(stream) = &self.stream else { return AtRest::Closed };
        match SockRef::from(stream).peek(&mut bytes) {
            Ok(0) => {
                self.note_read(0);
                AtRest::Closed
            }
            Ok(n) => AtRest::Unasked(n),
            // Nothing is there; or a reset, which the next write meets and names.
            Err(_) => AtRest::Quiet,
        }
    }

    /// After a silence before the first request: whether the device still waits for it. One that has closed does not, nor
    /// one that has said 408 (RFC 9110, 15.5.9): who asks all the same meets a RST. One that has answered already is asked
    /// all the same, for the answer to be looked at.
    ///
    /// # Errors
    /// [`Failure::EofBeforeResponse`]; or the failure by name.
    pub async fn still_open(&mut self, scratch: &mut [u8]) -> Result<(), Failure> {
        let Some(stream) = &self.stream else { return Err(Failure::EofBeforeResponse) };
        let waits = match &mut self.tls {
            Some(tls) => !tls.peer_has_ended(stream),
            None => match timeout(Duration::ZERO, stream.peek(scratch)).await {
                Ok(Ok(n)) => n > 0 && !http::is_timeout(scratch.get(..n).unwrap_or_default()),
                // Nothing has come; or a reset, which the request meets and names.
                Ok(Err(_)) | Err(_) => true,
            },
        };
        if waits {
            return Ok(());
        }
        // What it said is read: a socket that is closed with bytes in it sends a RST.
        while self.read_now(scratch)?.is_some_and(|n| n > 0) {}
        Err(Failure::EofBeforeResponse)
    }

    /// As [`Connection::at_rest`]: what TLS says between answers, as new sessions, is nobody's answer.
    fn tls_at_rest(&mut self) -> AtRest {
        let mut byte = [0];
        match self.read_ready(&mut byte, Step::Read) {
            Ok(Some(0)) => {
                self.note_read(0);
                AtRest::Closed
            }
            Ok(Some(n)) => AtRest::Unasked(n),
            Ok(None) => AtRest::Quiet,
            // A reset leaves nothing to be met by the next write but its name.
            Err(_) => AtRest::Quiet,
        }
    }

    /// After TLS's end: TCP's, which may come later.
    async fn tcp_end(&mut self, deadline: tokio::time::Instant) -> Ending {
        loop {
            let (Some(stream), Some(tls)) = (&self.stream, &mut self.tls) else { return Ending::Fin };
            let ended = match tls.tcp_end(stream) {
                Ok(true) => return Ending::Fin,
                Ok(false) => self.readable_until(deadline).await,
                Err(error) => Err(self.ended_by(failure_of(Step::Read, &error))),
            };
            match ended {
                Ok(()) if tokio::time::Instant::now() < deadline => {}
                Err(Failure::ReadReset) => return Ending::Reset,
                Ok(()) | Err(_) => return Ending::NotEnded,
            }
        }
    }

    /// Reads and forgets whatever comes until the peer ends the connection or the limit passes.
    pub async fn drain(&mut self, scratch: &mut [u8], limit: Duration, host_closed: HostClosed) -> Ending {
        self.drain_counting(scratch, limit, host_closed).await.0
    }

    /// As [`Connection::drain`]; also how many bytes came.
    pub async fn drain_counting(
        &mut self,
        scratch: &mut [u8],
        limit: Duration,
        host_closed: HostClosed,
    ) -> (Ending, u64) {
        let mut bytes = 0;
        self.hurry();
        let keep = self.release;
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            match self.read(scratch, left).await {
                Ok(0) => {
                    let ending = self.tcp_end(deadline).await;
                    if ending == Ending::Fin {
                        self.note_read(0);
                    }
                    if host_closed == HostClosed::First && ending == Ending::Fin {
                        self.release = keep;
                    }
                    return (ending, bytes);
                }
                Ok(n) => {
                    bytes += n as u64;
                    // What never ends to come ends neither the wait nor keeps others from their turn.
                    if tokio::time::Instant::now() >= deadline {
                        return (Ending::NotEnded, bytes);
                    }
                    tokio::task::yield_now().await;
                }
                Err(Failure::ReadReset) => return (Ending::Reset, bytes),
                Err(_) => return (Ending::NotEnded, bytes),
            }
        }
    }

    /// Makes the close a RST.
    pub fn reset_on_close(&mut self) {
        if let Some(stream) = &self.stream
            && SockRef::from(stream).set_linger(Some(Duration::ZERO)).is_ok()
        {
            self.release = Release::Free;
        }
    }

    /// Makes the close silent: neither FIN nor RST leaves the host, and the port is not used again.
    ///
    /// # Errors
    /// `silence::SilenceError`, with what is missing.
    pub fn vanish(mut self) -> Result<(), silence::SilenceError> {
        if let Some(stream) = &self.stream {
            silence::vanish(stream)?;
        }
        self.release = Release::Never;
        Ok(())
    }

    /// From now on the host neither hears nor answers anything on this connection.
    ///
    /// # Errors
    /// `silence::SilenceError`, with what is missing.
    pub fn silence(&mut self) -> Result<(), silence::SilenceError> {
        match &self.stream {
            Some(stream) => silence::silence(stream),
            None => Ok(()),
        }
    }

    /// As [`Connection::silence`], but the peer's RST still comes in, as a read reset.
    ///
    /// # Errors
    /// `silence::SilenceError`, with what is missing.
    pub fn silence_but_for_resets(&mut self) -> Result<(), silence::SilenceError> {
        match &self.stream {
            Some(stream) => silence::silence_but_for_resets(stream),
            None => Ok(()),
        }
    }

    /// The host hears and answers again.
    ///
    /// # Errors
    /// `silence::SilenceError`, with what is missing.
    pub fn unsilence(&mut self) -> Result<(), silence::SilenceError> {
        match &self.stream {
            Some(stream) => silence::unsilence(stream),
            None => Ok(()),
        }
    }

    /// TCP_INFO now; `None` where the system has none.
    #[must_use]
    pub fn tcp_sample(&self) -> Option<TcpSample> {
        tcp_info(self.stream.as_ref()?)
    }
}

/// What an idle connection has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtRest {
    /// Nothing has come.
    Quiet,
    /// The peer's FIN has come.
    Closed,
    /// At least so many bytes have come that nobody asked for.
    Unasked(usize),
}

/// Who sent the first FIN of a drained connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostClosed {
    /// This host: TIME_WAIT stays here.
    First,
    /// The peer, or nobody yet.
    NotYet,
}

/// Moves bytes until the handshake is done and all of it sent; [`Heard::Bytes`] is the peer's FIN.
async fn shake_hands(session: &mut Session, stream: &TcpStream) -> Result<(), Heard> {
    loop {
        let sent = session.flush(stream).map_err(Heard::Socket)?;
        if !session.is_handshaking() {
            return Ok(());
        }
        match session.hear(stream) {
            Heard::Bytes(0) => return Err(Heard::Bytes(0)),
            Heard::Bytes(_) => {
                tokio::task::yield_now().await;
                continue;
            }
            Heard::Nothing => {}
            other => return Err(other),
        }
        let interest = if sent { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
        stream.ready(interest).await.map_err(Heard::Socket)?;
    }
}

/// Bytes that this host has taken and the peer's stack has not acknowledged (SIOCOUTQ, tcp(7)).
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "SIOCOUTQ has no safe binding")]
fn unacknowledged(stream: &TcpStream) -> Option<u64> {
    use std::os::fd::AsRawFd;

    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open for the call, and this request (SIOCOUTQ is another name of it) writes one int.
    let result = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    (result == 0).then(|| u64::try_from(bytes).unwrap_or(0))
}

#[cfg(not(target_os = "linux"))]
fn unacknowledged(_: &TcpStream) -> Option<u64> {
    None
}

#[cfg(target_os = "linux")]
fn tcp_info(stream: &TcpStream) -> Option<TcpSample> {
    let info = whole_tcp_info(stream)?;
    Some(TcpSample { rtt_us: info.tcpi_rtt, retransmissions: info.tcpi_total_retrans, lost: info.tcpi_lost })
}

/// Whether the peer's stack has acknowledged this host's FIN; `None` where the system does not tell.
#[cfg(target_os = "linux")]
#[must_use]
pub fn fin_acknowledged(stream: &TcpStream) -> Option<bool> {
    /// `TCP_FIN_WAIT1`, `TCP_CLOSING` and `TCP_LAST_ACK` of Linux's `net/tcp_states.h`: a FIN is on its way.
    const UNACKNOWLEDGED: [u8; 3] = [4, 11, 9];
    /// `TCP_ESTABLISHED` and `TCP_CLOSE_WAIT`: there was none.
    const NOT_SENT: [u8; 2] = [1, 8];
    let state = whole_tcp_info(stream)?.tcpi_state;
    (!NOT_SENT.contains(&state)).then(|| !UNACKNOWLEDGED.contains(&state))
}

/// Not to be had on this system.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn fin_acknowledged(_: &TcpStream) -> Option<bool> {
    None
}

/// Whether the peer's stack has acknowledged all that was written; `None` where the system does not tell.
#[cfg(target_os = "linux")]
#[must_use]
pub fn all_acknowledged(stream: &TcpStream) -> Option<bool> {
    let info = whole_tcp_info(stream)?;
    Some(info.tcpi_unacked == 0 && info.tcpi_notsent_bytes == 0)
}

/// Not to be had on this system.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn all_acknowledged(_: &TcpStream) -> Option<bool> {
    None
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "TCP_INFO has no safe binding")]
fn whole_tcp_info(stream: &TcpStream) -> Option<libc::tcp_info> {
    use std::mem::MaybeUninit;
    use std::os::fd::AsRawFd;

    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is open for the call; the buffer is valid for `length` bytes, and the kernel writes
    // at most that many.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return None;
    }
    // SAFETY: the memory was zeroed and the structure holds integers only, so every byte pattern is a value.
    Some(unsafe { info.assume_init() })
}

#[cfg(not(target_os = "linux"))]
fn tcp_info(_: &TcpStream) -> Option<TcpSample> {
    None
}

/// What moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// So many bytes to the stack.
    Wrote(usize),
    /// So many bytes from the stack; 0 is the peer's FIN.
    Read(usize),
}

/// Sends bytes as a record of their own: Linux appends no later bytes to the segment that ends it, so that small
/// requests stay small segments however many wait for the window (MSG_EOR, tcp(7)).
#[cfg(target_os = "linux")]
fn send_record(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    stream.try_io(Interest::WRITABLE, || {
        SockRef::from(stream).send_with_flags(bytes, libc::MSG_EOR | libc::MSG_NOSIGNAL)
    })
}

#[cfg(not(target_os = "linux"))]
fn send_record(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    stream.try_write(bytes)
}

fn unless_blocked(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(n) => Ok(Some(n)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
