//! The host's sockets under the device program's loop.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant as HostInstant};

use espstress_device::carrier::{Dialled, Entry, Interest, Readiness, Received, Sent, Sockets, Source};
use espstress_device::config::Host;
use espstress_device::telemetry::{Heap, Stack};
use espstress_device::{CloseHow, DeviceWish, ErrorKind, Instant, Readings, Service, SocketOptions};
use mio::net::{TcpListener, TcpStream, UdpSocket};
use mio::{Events, Interest as Watch, Poll, Token};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::SimConfig;

/// The token of the sim's waker.
pub(super) const WAKER: Token = Token(0);

const TELEMETRY: Token = Token(1);
const FIRST_LISTENER: usize = 2;
const FIRST_STREAM: usize = FIRST_LISTENER + Service::TCP_COUNT;

/// How long to wait at most, so that a lost wake does not matter.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The sim's clock.
#[derive(Clone, Copy)]
pub(super) struct Clock(HostInstant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(HostInstant::now())
    }

    pub(super) fn now(self) -> Instant {
        Instant::from_micros(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

/// Sockets bound to their ports. After a restart they do not listen yet: a connection attempt is refused, and the
/// ports are kept.
pub(super) struct Bound {
    /// Bound to the same ports and never listening: between two listeners nobody else may get them.
    kept: Vec<(Service, Socket)>,
    streams: Vec<(Service, Socket)>,
    telemetry: Option<UdpSocket>,
}

impl Bound {
    /// On free ports.
    pub(super) fn open(config: &SimConfig) -> io::Result<Self> {
        let mut kept = Vec::new();
        for service in Service::TCP.into_iter().filter(|&service| config.services.contains(service)) {
            kept.push((service, bind(SocketAddr::new(config.address, 0))?));
        }
        let streams = bind_to(&kept)?;
        let telemetry = if config.services.contains(Service::Telemetry) {
            Some(UdpSocket::bind(SocketAddr::new(config.address, 0))?)
        } else {
            None
        };
        // Listening from the first moment on: whoever has the addresses may connect.
        for (_, socket) in &streams {
            socket.listen(config.backlog.into())?;
        }
        Ok(Self { kept, streams, telemetry })
    }

    pub(super) fn addresses(&self) -> io::Result<Vec<(Service, SocketAddr)>> {
        let mut addresses = Vec::new();
        for (service, socket) in &self.streams {
            addresses.push((*service, address(socket)?));
        }
        if let Some(socket) = &self.telemetry {
            addresses.push((Service::Telemetry, socket.local_addr()?));
        }
        Ok(addresses)
    }
}

/// A further socket on the port of each of these.
fn bind_to(kept: &[(Service, Socket)]) -> io::Result<Vec<(Service, Socket)>> {
    kept.iter().map(|(service, socket)| Ok((*service, bind(address(socket)?)?))).collect()
}

fn address(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // The port may still have connections in TIME_WAIT from before a restart.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

struct Listener {
    socket: TcpListener,
    ready: bool,
}

struct Stream {
    socket: TcpStream,
    readable: bool,
    writable: bool,
    failed: Option<ErrorKind>,
    /// The failure was reported: a hung program does nothing about it, and waiting must not end for it again.
    told: bool,
}

/// The sockets of one start of a sim.
///
/// The poll reports changes only (edge-triggered), so that what is ready is remembered until an attempt finds
/// otherwise.
pub(super) struct HostSockets<'a> {
    poll: Poll,
    events: Events,
    clock: Clock,
    stop: &'a AtomicBool,
    backlog: i32,
    kept: Vec<(Service, Socket)>,
    listeners: [Option<Listener>; Service::TCP_COUNT],
    telemetry: Option<UdpSocket>,
    telemetry_ready: bool,
    asker: Option<SocketAddr>,
    streams: Vec<Option<Stream>>,
    leaked: Vec<TcpStream>,
    hoard: Vec<Vec<u8>>,
    heap: Option<Heap>,
    options: &'a [(&'a str, &'a str)],
    away_until: Option<Instant>,
}

impl<'a> HostSockets<'a> {
    pub(super) fn new(
        bound: Bound,
        poll: Poll,
        clock: Clock,
        config: &SimConfig,
        options: &'a [(&'a str, &'a str)],
        stop: &'a AtomicBool,
    ) -> io::Result<Self> {
        let backlog = i32::from(config.backlog);
        let mut listeners = [const { None }; Service::TCP_COUNT];
        for (service, socket) in bound.streams {
            socket.listen(backlog)?;
            let mut socket = TcpListener::from_std(socket.into());
            let at = service as usize;
            poll.registry().register(&mut socket, Token(FIRST_LISTENER + at), Watch::READABLE)?;
            listeners[at] = Some(Listener { socket, ready: true });
        }
        let mut telemetry = bound.telemetry;
        if let Some(socket) = &mut telemetry {
            poll.registry().register(socket, TELEMETRY, Watch::READABLE)?;
        }
        let heap = config.accounted_heap.map(|total| Heap {
            free: total,
            min_free: Some(total),
            largest: None,
            total,
        });
        Ok(Self {
            poll,
            events: Events::with_capacity(256),
            clock,
            stop,
            backlog,
            kept: bound.kept,
            listeners,
            telemetry,
            telemetry_ready: true,
            asker: None,
            streams: Vec::new(),
            leaked: Vec::new(),
            hoard: Vec::new(),
            heap,
            options,
            away_until: None,
        })
    }

    /// Drops every connection with RST, keeps the ports, and waits for the boot to be over.
    pub(super) fn restart(mut self, boot_time: Duration) -> io::Result<(Bound, Poll)> {
        for stream in
            self.streams.drain(..).flatten().map(|stream| stream.socket).chain(self.leaked.drain(..))
        {
            abort(stream);
        }
        for listener in self.listeners.iter_mut().filter_map(Option::take) {
            // Closing is not enough: a process that begins at this moment has a copy until it runs its own program, and
            // a port that is listened on cannot be bound again. Where a listener cannot be shut down, closing is all.
            let _ = SockRef::from(&listener.socket).shutdown(Shutdown::Both);
        }
        let streams = bind_to(&self.kept)?;
        if let Some(socket) = &mut self.telemetry {
            self.poll.registry().deregister(socket)?;
        }
        self.away_until = Some(self.clock.now() + boot_time);
        self.stay_away();
        let bound = Bound { kept: self.kept, streams, telemetry: self.telemetry };
        Ok((bound, self.poll))
    }

    fn stream(&mut self, id: usize) -> Option<&mut Stream> {
        self.streams.get_mut(id).and_then(Option::as_mut)
    }

    fn adopt(&mut self, mut socket: TcpStream) -> Result<usize, ErrorKind> {
        let id = self.streams.iter().position(Option::is_none).unwrap_or(self.streams.len());
        let token = Token(FIRST_STREAM + id);
        let both = Watch::READABLE | Watch::WRITABLE;
        self.poll.registry().register(&mut socket, token, both).map_err(|error| name(&error))?;
        let stream = Stream { socket, readable: true, writable: true, failed: None, told: false };
        match self.streams.get_mut(id) {
            Some(place) => *place = Some(stream),
            None => self.streams.push(Some(stream)),
        }
        Ok(id)
    }

    /// The host's stack cannot leave its network; the device falls silent instead, and the stack goes on
    /// acknowledging for it.
    fn stay_away(&mut self) {
        while let Some(until) = self.away_until {
            let left = until.since(self.clock.now());
            if left.is_zero() || self.stop.load(Ordering::Relaxed) {
                self.away_until = None;
                return;
            }
            self.poll(left.min(LONGEST_WAIT));
        }
    }

    fn poll(&mut self, timeout: Duration) {
        if self.poll.poll(&mut self.events, Some(timeout)).is_err() {
            // Interrupted by a signal: the caller comes round again.
            return;
        }
        for event in &self.events {
            let token = event.token();
            if token == WAKER {
                continue;
            }
            if token == TELEMETRY {
                self.telemetry_ready = true;
            } else if let Some(id) = token.0.checked_sub(FIRST_STREAM) {
                let Some(stream) = self.streams.get_mut(id).and_then(Option::as_mut) else {
                    continue;
                };
                stream.readable |= event.is_readable() || event.is_read_closed();
                stream.writable |= event.is_writable() || event.is_write_closed();
                if event.is_error() && stream.failed.is_none() {
                    stream.failed = stream.socket.take_error().ok().flatten().map(|error| name(&error));
                }
            } else if let Some(Some(listener)) = self.listeners.get_mut(token.0 - FIRST_LISTENER) {
                listener.ready = true;
            }
        }
    }

    fn readiness(&self, source: Source<usize>, interest: Interest) -> Readiness {
        let ready = match source {
            Source::Empty => false,
            Source::Telemetry => self.telemetry_ready && self.telemetry.is_some(),
            Source::Listener(service) => {
                interest == Interest::Read
                    && self.listeners[service as usize].as_ref().is_some_and(|listener| listener.ready)
            }
            Source::Dialling(id) | Source::Stream(id) => match self.streams.get(id) {
                Some(Some(stream)) => match (stream.failed, interest) {
                    (Some(kind), _) if !stream.told => return Readiness::Failed(kind),
                    (Some(_), Interest::Nothing) => false,
                    (Some(_), _) => true,
                    (None, Interest::Read) => stream.readable,
                    (None, Interest::Write) => stream.writable,
                    (None, Interest::Nothing) => false,
                },
                _ => false,
            },
        };
        if ready { Readiness::Ready } else { Readiness::Idle }
    }
}

impl Sockets for HostSockets<'_> {
    type Id = usize;

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn accept(&mut self, service: Service) -> Result<Option<usize>, ErrorKind> {
        let Some(listener) = self.listeners.get_mut(service as usize).and_then(Option::as_mut) else {
            return Ok(None);
        };
        match listener.socket.accept() {
            Ok((socket, _)) => self.adopt(socket).map(Some),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                listener.ready = false;
                Ok(None)
            }
            // The peer was gone before it was accepted: nothing to count, and perhaps more behind it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => Ok(None),
            Err(error) => Err(name(&error)),
        }
    }

    fn prepare(&mut self, id: usize, options: &SocketOptions) {
        let Some(stream) = self.stream(id) else {
            return;
        };
        // A socket that takes no options is one whose connection has failed; reading will say so.
        let _ = stream.socket.set_nodelay(true);
        if let Some(wanted) = options.keep_alive {
            let times = TcpKeepalive::new()
                .with_time(wanted.idle)
                .with_interval(wanted.interval)
                .with_retries(wanted.count.into());
            let _ = SockRef::from(&stream.socket).set_tcp_keepalive(&times);
        }
    }

    fn receive(&mut self, id: usize, space: &mut [u8]) -> Received {
        let Some(stream) = self.stream(id) else {
            return Received::Failed(ErrorKind::Other);
        };
        if let Some(kind) = stream.failed {
            return Received::Failed(kind);
        }
        if !stream.readable {
            return Received::NotYet;
        }
        match stream.socket.read(space) {
            Ok(0) => Received::End,
            Ok(n) => Received::Bytes(n),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                stream.readable = false;
                Received::NotYet
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Received::NotYet,
            Err(error) => Received::Failed(name(&error)),
        }
    }

    fn send(&mut self, id: usize, bytes: &[u8]) -> Sent {
        let Some(stream) = self.stream(id) else {
            return Sent::Failed(ErrorKind::Other);
        };
        if !stream.writable {
            return Sent::NotYet;
        }
        match stream.socket.write(bytes) {
            Ok(n) => Sent::Bytes(n),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                stream.writable = false;
                Sent::NotYet
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Sent::NotYet,
            Err(error) => Sent::Failed(name(&error)),
        }
    }

    fn shutdown_write(&mut self, id: usize) {
        if let Some(stream) = self.stream(id) {
            // Fails on a connection that is gone already, which reading will say.
            let _ = stream.socket.shutdown(Shutdown::Write);
        }
    }

    fn close(&mut self, id: usize, how: CloseHow) {
        let Some(mut stream) = self.streams.get_mut(id).and_then(Option::take) else {
            return;
        };
        match how {
            CloseHow::Orderly | CloseHow::Unread => drop(stream),
            CloseHow::Abort => abort(stream.socket),
            CloseHow::Leak => {
                // Fails only for a socket that was never registered.
                let _ = self.poll.registry().deregister(&mut stream.socket);
                self.leaked.push(stream.socket);
            }
        }
    }

    fn dial(&mut self, host: &Host) -> Result<usize, ErrorKind> {
        let mut addresses = (&*host.name, host.port).to_socket_addrs().map_err(|error| name(&error))?;
        let address = addresses.next().ok_or(ErrorKind::Unreachable)?;
        let socket = TcpStream::connect(address).map_err(|error| name(&error))?;
        let id = self.adopt(socket)?;
        if let Some(stream) = self.stream(id) {
            stream.writable = false;
        }
        Ok(id)
    }

    fn dialled(&mut self, id: usize) -> Dialled {
        let Some(stream) = self.stream(id) else {
            return Dialled::Failed(ErrorKind::Other);
        };
        match stream.socket.take_error() {
            Ok(Some(error)) | Err(error) => return Dialled::Failed(name(&error)),
            Ok(None) => {}
        }
        match stream.socket.peer_addr() {
            Ok(_) => Dialled::Connected,
            Err(_) => Dialled::NotYet,
        }
    }

    fn receive_datagram(&mut self, space: &mut [u8]) -> Option<usize> {
        match self.telemetry.as_ref()?.recv_from(space) {
            Ok((len, from)) => {
                self.asker = Some(from);
                Some(len)
            }
            Err(error) => {
                self.telemetry_ready = error.kind() != io::ErrorKind::WouldBlock;
                None
            }
        }
    }

    fn answer_datagram(&mut self, bytes: &[u8]) {
        if let (Some(socket), Some(asker)) = (&self.telemetry, self.asker) {
            let _ = socket.send_to(bytes, asker);
        }
    }

    fn readings(&mut self) -> Readings<'_> {
        Readings {
            heap: self.heap,
            wifi: None,
            sockets: None,
            tcp: None,
            stack: Stack { name: "host", version: std::env::consts::OS },
            options: self.options,
        }
    }

    fn device(&mut self, wish: DeviceWish) {
        match wish {
            DeviceWish::LeaveNetwork(time) => self.away_until = Some(self.clock.now() + time),
            DeviceWish::Hoard(bytes) => {
                if let Some(heap) = &mut self.heap {
                    let Some(free) = heap.free.checked_sub(bytes) else {
                        return;
                    };
                    heap.free = free;
                    heap.min_free = Some(free);
                }
                self.hoard.push(vec![0xA5; bytes as usize]);
            }
            // The host has no radio. Hang and restart are the loop's own business.
            DeviceWish::PowerSave(_) | DeviceWish::Hang | DeviceWish::Restart(_) => {}
        }
    }

    fn wait(&mut self, entries: &mut [Entry<usize>], until: Option<Instant>) {
        self.stay_away();
        let known =
            entries.iter().any(|entry| self.readiness(entry.source(), entry.interest()) != Readiness::Idle);
        let timeout = match until {
            _ if known => Duration::ZERO,
            Some(until) => until.since(self.clock.now()).min(LONGEST_WAIT),
            None => LONGEST_WAIT,
        };
        self.poll(timeout);
        for entry in entries {
            match self.readiness(entry.source(), entry.interest()) {
                Readiness::Idle => continue,
                found => entry.set_ready(found),
            }
            if let Source::Stream(id) | Source::Dialling(id) = entry.source()
                && let Some(stream) = self.stream(id)
            {
                stream.told = stream.failed.is_some();
            }
        }
    }
}

impl std::fmt::Debug for HostSockets<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostSockets").field("backlog", &self.backlog).finish_non_exhaustive()
    }
}

fn abort(socket: TcpStream) {
    // Without it the close is an ordinary one, which is as near as the host lets it be.
    let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
}

fn name(error: &io::Error) -> ErrorKind {
    use io::ErrorKind as Io;
    match error.kind() {
        Io::ConnectionReset | Io::BrokenPipe | Io::ConnectionAborted => ErrorKind::Reset,
        Io::TimedOut => ErrorKind::TimedOut,
        Io::ConnectionRefused => ErrorKind::Refused,
        Io::HostUnreachable | Io::NetworkUnreachable | Io::NetworkDown | Io::AddrNotAvailable => {
            ErrorKind::Unreachable
        }
        Io::OutOfMemory => ErrorKind::OutOfMemory,
        _ => match error.raw_os_error() {
            #[cfg(unix)]
            Some(libc::EMFILE | libc::ENFILE) => ErrorKind::OutOfSockets,
            _ => ErrorKind::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_keeps_its_ports_though_a_process_that_begins_has_copies_of_them() -> io::Result<()> {
        let (config, stop) =
            (SimConfig { boot_time: Duration::ZERO, ..SimConfig::default() }, AtomicBool::new(false));
        let bound = Bound::open(&config)?;
        let before = bound.addresses()?;
        let copies: Vec<_> =
            bound.streams.iter().map(|(_, socket)| socket.try_clone()).collect::<Result<_, _>>()?;
        let sockets = HostSockets::new(bound, Poll::new()?, Clock::start(), &config, &[], &stop)?;
        let (bound, poll) = sockets.restart(config.boot_time)?;
        assert_eq!(bound.addresses()?, before);
        HostSockets::new(bound, poll, Clock::start(), &config, &[], &stop)?;
        drop(copies);
        Ok(())
    }
}
