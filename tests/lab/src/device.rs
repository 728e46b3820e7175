//! The device: its program on a smoltcp endpoint, behaving at its edges as lwIP does.
//!
//! lwIP keeps connections that nobody has accepted in a backlog and drops a SYN that finds it full; it answers a close
//! with unread bytes, and bytes behind a close, with RST. smoltcp does none of that by itself.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;

use espstress_device::carrier::{Dialled, Entry, Interest, Readiness, Received, Sent, Sockets, Source};
use espstress_device::config::Host as Peer;
use espstress_device::telemetry::{DisconnectReason, PowerSave, Stack as StackName, TcpUse, Wifi};
use espstress_device::{CloseHow, DeviceWish, ErrorKind, Instant, Readings, Service, SocketOptions};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::{AnySocket, tcp, udp};
use smoltcp::time::Duration;
use smoltcp::wire::IpEndpoint;

use crate::heap::{self, Heap};
use crate::packet;
use crate::stack::Stack;

/// Connections that wait to be accepted, each listener: ESP-IDF's TCP_ACCEPTMBOX_SIZE.
const BACKLOG: usize = 6;

/// Receive and send buffer of a connection: ESP-IDF's TCP_WND and TCP_SND_BUF.
const WINDOW: usize = 5_760;

/// How long a closed connection waits for the peer's part: ESP-IDF's TCP_FIN_WAIT_TIMEOUT.
const FIN_WAIT_NS: u64 = 20_000_000_000;

/// How long an acknowledgement may be put off at most: lwIP's TCP_FAST_INTERVAL.
const ACK_DELAY_MS: u64 = 200;

/// A connection of the program.
#[derive(Clone, Copy)]
struct Stream {
    handle: SocketHandle,
    /// Its failure has been told, and is not told again.
    failure_told: bool,
}

/// A connection that the program has closed and the peer has not.
#[derive(Clone, Copy)]
struct Closing {
    handle: SocketHandle,
    since_ns: u64,
}

/// Everything of a device that lives below its program.
pub(crate) struct Board {
    stack: Stack,
    /// Virtual time, nanoseconds.
    now_ns: u64,
    origin_ns: u64,
    heap: Heap,
    telemetry: SocketHandle,
    asker: Option<IpEndpoint>,
    /// Listening sockets, and those behind them that nobody has accepted.
    waiting: [Vec<SocketHandle>; Service::TCP_COUNT],
    streams: Vec<Option<Stream>>,
    closing: Vec<Closing>,
    /// To be reset once what they hold has gone out.
    doomed: Vec<SocketHandle>,
    wifi: Wifi,
    /// When the program wants to be asked again.
    until: Option<Instant>,
    any_ready: bool,
}

impl Board {
    /// A device that starts now.
    pub(crate) fn start(address: Ipv4Addr, seed: u64, now_ns: u64, power_save: PowerSave) -> Self {
        let mut stack = Stack::new(address, seed, now_ns);
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 4], vec![0; 6_000]);
        let mut socket = udp::Socket::new(buffer(), buffer());
        // A port that is not 0, on a socket that is not bound.
        let _ = socket.bind(Service::Telemetry.port());
        let telemetry = stack.sockets.add(socket);
        let wifi = Wifi { rssi_dbm: None, disconnects: 0, last_reason: None, power_save };
        let mut board = Self {
            stack,
            now_ns,
            origin_ns: now_ns,
            heap: Heap::default(),
            telemetry,
            asker: None,
            waiting: Default::default(),
            streams: Vec::new(),
            closing: Vec::new(),
            doomed: Vec::new(),
            wifi,
            until: None,
            any_ready: false,
        };
        board.rearm();
        board
    }

    /// The station has lost its access point.
    pub(crate) fn disconnected(&mut self) {
        /// `WIFI_REASON_BEACON_TIMEOUT`
        const BEACON_TIMEOUT: DisconnectReason = DisconnectReason(200);
        self.wifi.disconnects += 1;
        self.wifi.last_reason = Some(BEACON_TIMEOUT);
    }

    /// Takes a packet that has arrived.
    pub(crate) fn take(&mut self, packet: Vec<u8>, now_ns: u64) {
        self.now_ns = now_ns;
        self.weigh();
        if self.heap.is_full(packet.len()) || self.drops_syn(&packet) {
            return;
        }
        self.stack.take(packet, now_ns);
        self.rearm();
    }

    /// Time goes on.
    pub(crate) fn at(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
    }

    /// Whether the program should be asked again before time goes on.
    pub(crate) fn is_restless(&self) -> bool {
        self.any_ready || self.until.is_some_and(|until| until <= self.clock())
    }

    /// Sends what there is to send, and tidies up.
    pub(crate) fn send(&mut self) {
        let now_ns = self.now_ns;
        self.stack.send(now_ns);
        for handle in std::mem::take(&mut self.doomed) {
            self.tcp(handle).abort();
        }
        let late: Vec<SocketHandle> = self
            .closing
            .iter()
            .filter(|c| self.stack.sockets.get::<tcp::Socket<'_>>(c.handle).can_recv())
            .map(|c| c.handle)
            .collect();
        for handle in late {
            // Bytes behind the close: lwIP's TF_RXCLOSED.
            self.tcp(handle).abort();
        }
        self.stack.send(now_ns);
        let Self { closing, stack, .. } = self;
        closing.retain(|c| {
            let state = stack.sockets.get::<tcp::Socket<'_>>(c.handle).state();
            let waits = matches!(state, tcp::State::FinWait1 | tcp::State::FinWait2 | tcp::State::LastAck);
            let over = waits && now_ns.saturating_sub(c.since_ns) > FIN_WAIT_NS;
            let keep = state != tcp::State::Closed && !over;
            if !keep {
                stack.sockets.remove(c.handle);
            }
            keep
        });
        self.rearm();
        self.weigh();
    }

    /// The next packet that leaves; there is none when no memory is left to build it.
    pub(crate) fn outgoing(&mut self) -> Option<Vec<u8>> {
        while let Some(packet) = self.stack.outgoing() {
            if !self.heap.is_full(packet.len()) {
                return Some(packet);
            }
        }
        None
    }

    /// When something happens here without anything coming in.
    pub(crate) fn next_ns(&mut self) -> Option<u64> {
        let asked = self.until.map(|until| {
            let at_ns = self.origin_ns.saturating_add(until.as_micros().saturating_mul(1_000));
            at_ns.max(self.now_ns + 1_000)
        });
        [asked, self.stack.next_ns(self.now_ns)].into_iter().flatten().min()
    }

    fn clock(&self) -> Instant {
        Instant::from_micros(self.now_ns.saturating_sub(self.origin_ns) / 1_000)
    }

    fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.stack.sockets.get_mut(handle)
    }

    /// A SYN that finds no room in the backlog is not answered. One that comes again belongs to the connection that it
    /// began, whose own timer repeats the answer; smoltcp would give it to the next listener.
    fn drops_syn(&mut self, packet: &[u8]) -> bool {
        let Some(segment) = packet::segment(packet).filter(|s| s.syn && !s.ack) else { return false };
        let Some(service) = Service::TCP.into_iter().find(|s| s.port() == segment.to.port()) else {
            return false;
        };
        let sockets = self.stack.sockets.iter();
        let known = sockets.filter_map(|(_, socket)| tcp::Socket::downcast(socket)).any(|socket| {
            socket.local_endpoint().is_some_and(|end| end.port == segment.to.port())
                && socket.remote_endpoint().is_some_and(|end| end.port == segment.from.port())
        });
        let listens = self.waiting[service as usize]
            .iter()
            .any(|&handle| self.stack.sockets.get::<tcp::Socket<'_>>(handle).state() == tcp::State::Listen);
        known || !listens
    }

    /// One socket listens for each service as long as its backlog has room.
    fn rearm(&mut self) {
        for service in Service::TCP {
            let Self { waiting, stack, .. } = self;
            let waiting = &mut waiting[service as usize];
            let mut listening = 0;
            waiting.retain(|&handle| {
                let state = stack.sockets.get::<tcp::Socket<'_>>(handle).state();
                listening += usize::from(state == tcp::State::Listen);
                let keep = state != tcp::State::Closed && (state != tcp::State::Listen || listening <= 1);
                if !keep {
                    stack.sockets.remove(handle);
                }
                keep
            });
            if listening == 0 && waiting.len() < BACKLOG {
                let buffer = || tcp::SocketBuffer::new(vec![0; WINDOW]);
                let mut socket = tcp::Socket::new(buffer(), buffer());
                socket.set_nagle_enabled(false);
                socket.set_ack_delay(Some(Duration::from_millis(ACK_DELAY_MS)));
                // A port that is not 0, on a fresh socket.
                let _ = socket.listen(service.port());
                waiting.push(stack.sockets.add(socket));
            }
        }
    }

    /// What the stack holds in the heap now.
    fn weigh(&mut self) {
        let mut bytes = 0;
        for (_, socket) in self.stack.sockets.iter() {
            let Some(socket) = tcp::Socket::downcast(socket) else { continue };
            bytes += match socket.state() {
                tcp::State::Listen | tcp::State::Closed => 0,
                tcp::State::TimeWait => heap::TIME_WAIT,
                _ => {
                    let queued = socket.send_queue() + socket.recv_queue();
                    let buffers = queued.div_ceil(1_460) as u64;
                    heap::SOCKET + queued as u64 + buffers * heap::BUFFER
                }
            };
        }
        self.heap.set_in_use(bytes);
    }

    fn by_state(&self) -> TcpUse {
        let mut sums = TcpUse::default();
        for (_, socket) in self.stack.sockets.iter() {
            let Some(socket) = tcp::Socket::downcast(socket) else { continue };
            match socket.state() {
                tcp::State::Established => sums.established += 1,
                tcp::State::CloseWait => sums.close_wait += 1,
                tcp::State::FinWait1 | tcp::State::FinWait2 | tcp::State::Closing | tcp::State::LastAck => {
                    sums.fin_wait += 1
                }
                tcp::State::TimeWait => sums.time_wait += 1,
                tcp::State::Listen | tcp::State::Closed | tcp::State::SynSent | tcp::State::SynReceived => {}
            }
        }
        sums
    }

    /// A connection behind a listener whose handshake is over.
    fn acceptable(&self, service: Service) -> Option<usize> {
        self.waiting[service as usize].iter().position(|&handle| {
            let state = self.stack.sockets.get::<tcp::Socket<'_>>(handle).state();
            matches!(state, tcp::State::Established | tcp::State::CloseWait)
        })
    }

    fn readiness(&mut self, source: Source<usize>, interest: Interest) -> Readiness {
        let ready = |ready: bool| if ready { Readiness::Ready } else { Readiness::Idle };
        match source {
            Source::Empty | Source::Dialling(_) => Readiness::Idle,
            Source::Telemetry => ready(self.stack.sockets.get::<udp::Socket<'_>>(self.telemetry).can_recv()),
            Source::Listener(_) if interest == Interest::Nothing => Readiness::Idle,
            Source::Listener(service) => ready(self.acceptable(service).is_some()),
            Source::Stream(id) => {
                let Some(Some(stream)) = self.streams.get_mut(id) else { return Readiness::Idle };
                let socket = self.stack.sockets.get::<tcp::Socket<'_>>(stream.handle);
                match interest {
                    Interest::Nothing if socket.state() == tcp::State::Closed && !stream.failure_told => {
                        stream.failure_told = true;
                        Readiness::Failed(ErrorKind::Reset)
                    }
                    Interest::Nothing => Readiness::Idle,
                    Interest::Read => ready(socket.can_recv() || !socket.may_recv()),
                    Interest::Write => ready(socket.can_send() || !socket.may_send()),
                }
            }
        }
    }
}

/// The board under the program's loop.
pub(crate) struct BoardSockets(pub(crate) Rc<RefCell<Board>>);

impl Sockets for BoardSockets {
    type Id = usize;

    fn now(&self) -> Instant {
        self.0.borrow().clock()
    }

    fn accept(&mut self, service: Service) -> Result<Option<usize>, ErrorKind> {
        let mut board = self.0.borrow_mut();
        let Some(at) = board.acceptable(service) else { return Ok(None) };
        let handle = board.waiting[service as usize].remove(at);
        board.rearm();
        let stream = Some(Stream { handle, failure_told: false });
        Ok(Some(match board.streams.iter().position(Option::is_none) {
            Some(id) => {
                board.streams[id] = stream;
                id
            }
            None => {
                board.streams.push(stream);
                board.streams.len() - 1
            }
        }))
    }

    fn prepare(&mut self, id: usize, options: &SocketOptions) {
        let mut board = self.0.borrow_mut();
        let Some(Some(stream)) = board.streams.get(id).copied() else { return };
        let wanted = options.keep_alive;
        let millis = |time: core::time::Duration| Duration::from_micros(time.as_micros() as u64);
        let socket = board.tcp(stream.handle);
        // smoltcp gives up a peer that is silent for its time-out; without one it tries for ever.
        socket.set_keep_alive(wanted.map(|times| millis(times.idle)));
        socket.set_timeout(wanted.map(|times| millis(times.idle + times.interval * times.count.into())));
    }

    fn receive(&mut self, id: usize, space: &mut [u8]) -> Received {
        let mut board = self.0.borrow_mut();
        let Some(Some(stream)) = board.streams.get(id).copied() else {
            return Received::Failed(ErrorKind::Other);
        };
        match board.tcp(stream.handle).recv_slice(space) {
            Ok(0) => Received::NotYet,
            Ok(n) => Received::Bytes(n),
            Err(tcp::RecvError::Finished) => Received::End,
            Err(tcp::RecvError::InvalidState) => Received::Failed(ErrorKind::Reset),
        }
    }

    fn send(&mut self, id: usize, bytes: &[u8]) -> Sent {
        let mut board = self.0.borrow_mut();
        let Some(Some(stream)) = board.streams.get(id).copied() else {
            return Sent::Failed(ErrorKind::Other);
        };
        match board.tcp(stream.handle).send_slice(bytes) {
            Ok(0) => Sent::NotYet,
            Ok(n) => Sent::Bytes(n),
            Err(tcp::SendError::InvalidState) => Sent::Failed(ErrorKind::Reset),
        }
    }

    fn shutdown_write(&mut self, id: usize) {
        let mut board = self.0.borrow_mut();
        if let Some(Some(stream)) = board.streams.get(id).copied() {
            board.tcp(stream.handle).close();
        }
    }

    fn close(&mut self, id: usize, how: CloseHow) {
        let mut board = self.0.borrow_mut();
        let Some(Stream { handle, .. }) = board.streams.get_mut(id).and_then(Option::take) else { return };
        let since_ns = board.now_ns;
        let socket = board.tcp(handle);
        socket.set_keep_alive(None);
        socket.set_timeout(None);
        match how {
            CloseHow::Orderly => socket.close(),
            CloseHow::Abort => socket.abort(),
            CloseHow::Unread => board.doomed.push(handle),
            // Nobody names it any more, and it stays.
            CloseHow::Leak => return,
        }
        board.closing.push(Closing { handle, since_ns });
    }

    fn dial(&mut self, _: &Peer) -> Result<usize, ErrorKind> {
        Err(ErrorKind::Unreachable)
    }

    fn dialled(&mut self, _: usize) -> Dialled {
        Dialled::Failed(ErrorKind::Unreachable)
    }

    fn receive_datagram(&mut self, space: &mut [u8]) -> Option<usize> {
        let mut board = self.0.borrow_mut();
        let handle = board.telemetry;
        let socket: &mut udp::Socket<'_> = board.stack.sockets.get_mut(handle);
        let (length, from) = socket.recv_slice(space).ok()?;
        board.asker = Some(from.endpoint);
        Some(length)
    }

    fn answer_datagram(&mut self, bytes: &[u8]) {
        let mut board = self.0.borrow_mut();
        let (handle, Some(asker)) = (board.telemetry, board.asker) else { return };
        let socket: &mut udp::Socket<'_> = board.stack.sockets.get_mut(handle);
        // What the stack does not take is lost.
        let _ = socket.send_slice(bytes, asker);
    }

    fn readings(&mut self) -> Readings<'_> {
        let mut board = self.0.borrow_mut();
        board.weigh();
        Readings {
            heap: Some(board.heap.reading()),
            wifi: Some(board.wifi),
            sockets: None,
            tcp: Some(board.by_state()),
            stack: StackName { name: "smoltcp", version: "0.13" },
            options: &[],
        }
    }

    fn device(&mut self, wish: DeviceWish) {
        if let DeviceWish::Hoard(bytes) = wish {
            self.0.borrow_mut().heap.hoard(bytes.into());
        }
    }

    /// Never waits: the world asks again when there is something.
    fn wait(&mut self, entries: &mut [Entry<usize>], until: Option<Instant>) {
        let mut board = self.0.borrow_mut();
        board.until = until;
        board.any_ready = false;
        for entry in entries {
            let readiness = board.readiness(entry.source(), entry.interest());
            if readiness != Readiness::Idle {
                entry.set_ready(readiness);
                board.any_ready = true;
            }
        }
    }
}
