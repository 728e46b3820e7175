//! Opening a connection from a port of our own, and what is done with it until it is closed.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::endings::{Step, failure_of};
use super::ports::{PortPool, Release, Taken};
use super::silence;
use espstress_clock::unix_ns;
use espstress_event::TcpSample;
use espstress_event::{Ending, Failure, Intent, IntentBook, WorkloadId};

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
            self.book.opens(port, self.workload, intent, unix_ns());
            match self.open_from(port).await {
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

    async fn open_from(&self, port: u16) -> Result<Connection, Failure> {
        let at_connect = |error: io::Error| failure_of(Step::Connect, &error);
        let socket = self.bound_socket(port).map_err(at_connect)?;
        let start = Instant::now();
        match socket.connect(&self.target.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(at_connect(error)),
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
        let connection = Connection {
            stream: Some(stream),
            port,
            ports: Rc::clone(&self.ports),
            release: Release::TimeWait,
            asked: Asked::Nothing,
        };
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
        while !rest.is_empty() {
            let step = if self.asked == Asked::Nothing { Step::FirstWrite } else { Step::Write };
            let written = match timeout(limit, self.write_some(rest)).await {
                Err(_) => return Err(Failure::WriteTimeout),
                Ok(result) => result.map_err(|error| self.ended_by(failure_of(step, &error)))?,
            };
            self.asked = Asked::Something;
            rest = rest.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    async fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.stream()?.write(bytes).await? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            n => Ok(n),
        }
    }

    /// Hands over what the stack takes of `bytes` at once, which may be none.
    ///
    /// # Errors
    /// The failure by name.
    pub fn write_now(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let step = if self.asked == Asked::Nothing { Step::FirstWrite } else { Step::Write };
        let result = self.stream().and_then(|stream| send_record(stream, bytes));
        let written = unless_blocked(result).map_err(|error| self.ended_by(failure_of(step, &error)))?;
        if written.is_some() {
            self.asked = Asked::Something;
        }
        Ok(written.unwrap_or(0))
    }

    /// Moves some bytes, whichever way is possible first: `out` to the stack, or what has come into `buffer`.
    ///
    /// # Errors
    /// The failure by name; a passed limit is a write time-out while bytes wait to be sent, else a read time-out.
    pub async fn turn(
        &mut self,
        out: &[u8],
        buffer: &mut [u8],
        read_limit: Duration,
        write_limit: Duration,
    ) -> Result<Turn, Failure> {
        loop {
            if !out.is_empty() {
                let step = if self.asked == Asked::Nothing { Step::FirstWrite } else { Step::Write };
                let result = self.stream().and_then(|stream| stream.try_write(out));
                if let Some(n) =
                    unless_blocked(result).map_err(|error| self.ended_by(failure_of(step, &error)))?
                {
                    self.asked = Asked::Something;
                    return Ok(Turn::Wrote(n));
                }
            }
            // A reset that comes between the two calls meets the bytes that wait to be sent.
            let step = if out.is_empty() { Step::Read } else { Step::Write };
            let result = self.stream().and_then(|stream| stream.try_read(buffer));
            if let Some(n) =
                unless_blocked(result).map_err(|error| self.ended_by(failure_of(step, &error)))?
            {
                self.note_read(n);
                return Ok(Turn::Read(n));
            }
            let (interest, limit, late) = if out.is_empty() {
                (Interest::READABLE, read_limit, Failure::ReadTimeout)
            } else {
                (Interest::READABLE | Interest::WRITABLE, write_limit, Failure::WriteTimeout)
            };
            let stream = self.stream().map_err(|error| failure_of(Step::Read, &error))?;
            match timeout(limit, stream.ready(interest)).await {
                Err(_) => return Err(late),
                Ok(ready) => {
                    ready.map_err(|error| failure_of(Step::Read, &error))?;
                }
            }
        }
    }

    const fn note_read(&mut self, n: usize) {
        if n == 0 && matches!(self.release, Release::TimeWait) {
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
        let result = match timeout(limit, async { self.stream()?.read(buffer).await }).await {
            Err(_) => return Err(Failure::ReadTimeout),
            Ok(result) => result.map_err(|error| self.ended_by(failure_of(Step::Read, &error)))?,
        };
        self.note_read(result);
        Ok(result)
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
        let stream = self.stream().map_err(|error| failure_of(Step::Write, &error))?;
        match SockRef::from(&*stream).shutdown(std::net::Shutdown::Write) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.ended_by(failure_of(Step::Write, &error))),
        }
    }

    /// What an idle connection has come to, without waiting and without taking anything from it.
    ///
    /// A FIN that is there before a request is written ends the connection in order: whoever writes all the same meets
    /// a RST (RFC 9112, 9.5: a client has to expect such a close at any time).
    pub fn at_rest(&mut self) -> AtRest {
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
        let keep = self.release;
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            match self.read(scratch, left).await {
                Ok(0) => {
                    if host_closed == HostClosed::First {
                        self.release = keep;
                    }
                    return (Ending::Fin, bytes);
                }
                Ok(n) => bytes += n as u64,
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
