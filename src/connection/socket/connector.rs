//! Opening a connection from a port of our own.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{Interest, Ready};

use super::super::endings::{Step, failure_of};
use super::super::ports::{PortPool, Release, Taken};
use super::super::slowness::{Slow, Slowness};
use super::alarm::{Alarms, after};
use super::{Asked, Connection, Stream};
use espstress_clock::unix_ns;
use espstress_event::{Failure, Intent, IntentBook, TcpSample, WorkloadId};

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
    /// Timers of connections that have ended.
    pub alarms: Alarms,
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
            match self.open_from(port, intent, now).await {
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
        self.ports.borrow_mut().release(port, how, Instant::now);
    }

    async fn open_from(&self, port: u16, intent: Intent, start: Instant) -> Result<Connection, Failure> {
        let at_connect = |error: io::Error| failure_of(Step::Connect, &error);
        let socket = self.bound_socket(port).map_err(at_connect)?;
        // Once the port is held, so that the next SYN from it can be no other program's.
        self.book.opens(port, self.workload, intent, unix_ns());
        match socket.connect(&self.target.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => {
                self.book.withdraws(port);
                return Err(at_connect(error));
            }
        }
        let mut stream = Stream::new(socket.into());
        let mut alarm = self.alarms.take();
        // Within this machine the handshake is done before `connect` returns, as a rule.
        if !(self.target.ip().is_loopback() && stream.is_connected()) {
            let until = after(start.into(), self.timeouts.connect);
            let ready = match alarm.before(until, stream.ready(Interest::WRITABLE)).await {
                // A program that stood still has not heard yet.
                None if stream.is_connected() => None,
                None => return Err(Failure::ConnectTimeout),
                Some(ready) => Some(ready.map_err(at_connect)?),
            };
            // A connection that failed is writable too, and closed for writing: only then is there an error to ask for.
            if ready.is_some_and(Ready::is_write_closed)
                && let Some(error) = stream.take_error().map_err(at_connect)?
            {
                return Err(at_connect(error));
            }
        }
        let opened_at = Instant::now();
        let mut connection = Connection {
            stream: Some(stream),
            port,
            opened_at,
            alarm,
            alarms: self.alarms.clone(),
            ports: Rc::clone(&self.ports),
            release: Release::TimeWait,
            asked: Asked::Nothing,
            written: 0,
            has_sent_fin: false,
            upload: None,
            slow: Slow::new(self.slowness, opened_at.into()),
            tls: None,
            tls_fault: None,
        };
        if self.slowness.send.is_some() {
            // Each piece is a segment of its own.
            connection.send_at_once();
        }
        let took = opened_at.saturating_duration_since(start);
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
