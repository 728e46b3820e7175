//! The host's TCP: smoltcp where it does as Linux does, and by hand where it does not.
//!
//! As on Linux: the shortest retransmission time-out is 200 ms; a SYN is repeated after 1, 2 and 4 s; a closed connection
//! goes on without its program, and bytes that come for it are answered with RST; a close with unread bytes is a RST;
//! TIME_WAIT lasts a minute and acknowledges what is repeated; a connection that nobody knows is answered with RST;
//! acknowledgements wait up to 40 ms. Otherwise than on Linux: there is no tail loss probe, and the longest time-out is
//! 12 s; there is no ARP, so nothing is ever unreachable.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddrV4};

use espstress_event::TcpSample;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::{Socket, tcp, udp};
use smoltcp::time::Duration;
use smoltcp::wire::IpEndpoint;

use crate::packet::{self, Segment};
use crate::stack::Stack;

const SECOND: u64 = 1_000_000_000;

/// Linux's TCP_TIMEWAIT_LEN, and tcp_fin_timeout.
const MINUTE: u64 = 60 * SECOND;

/// Receive and send buffers of a connection.
const BUFFER: usize = 65_535;

/// Linux's TCP_DELACK_MIN.
const ACK_DELAY_MS: u64 = 40;

/// smoltcp's shortest time-out is 1 s and cannot be set: its clock goes so much faster that this is Linux's
/// TCP_RTO_MIN.
const PACE: u64 = 5;

/// A SYN that has not been answered.
#[derive(Debug)]
struct Syn {
    packet: Vec<u8>,
    /// When it is sent again.
    at_ns: u64,
    /// What is waited after that.
    wait_ns: u64,
}

/// What is counted of one connection.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    syn_ns: u64,
    rtt_ns: Option<u64>,
    /// Behind the highest sequence number sent.
    sent_to: Option<u32>,
    retransmissions: u32,
}

/// The host's end.
pub(crate) struct Host {
    stack: Stack,
    address: Ipv4Addr,
    now_ns: u64,
    /// Closed by their program, and not over; until when they are kept.
    orphans: Vec<(SocketHandle, u64)>,
    time_wait: HashMap<u16, u64>,
    /// Nothing that comes for these is heard.
    vanished: HashSet<u16>,
    counts: HashMap<u16, Count>,
    syns: BTreeMap<u16, Syn>,
    datagrams: SocketHandle,
    pongs: Vec<u16>,
    by_hand: Vec<Vec<u8>>,
}

impl Host {
    /// A host.
    pub(crate) fn new(address: Ipv4Addr, seed: u64) -> Self {
        let mut stack = Stack::new(address, seed, 0);
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 8], vec![0; 16_384]);
        let mut socket = udp::Socket::new(buffer(), buffer());
        // A port that is not 0, on a socket that is not bound.
        let _ = socket.bind(40_000);
        let datagrams = stack.sockets.add(socket);
        Self {
            stack,
            address,
            now_ns: 0,
            orphans: Vec::new(),
            time_wait: HashMap::new(),
            vanished: HashSet::new(),
            counts: HashMap::new(),
            syns: BTreeMap::new(),
            datagrams,
            pongs: Vec::new(),
            by_hand: Vec::new(),
        }
    }

    /// Time goes on.
    pub(crate) fn at(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
    }

    /// Takes a packet that has arrived.
    pub(crate) fn take(&mut self, packet: Vec<u8>) {
        if let Some(number) = packet::pong(&packet) {
            self.pongs.push(number);
            return;
        }
        if let Some(segment) = packet::segment(&packet) {
            let port = segment.to.port();
            if self.vanished.contains(&port) {
                return;
            }
            if self.time_wait.get(&port).is_some_and(|&until| until > self.now_ns) {
                if segment.length > 0 && !segment.rst {
                    self.by_hand.push(packet::time_wait_ack(&segment));
                }
                return;
            }
            self.syns.remove(&port);
            self.note_incoming(&segment);
        }
        self.stack.take(packet, self.now_ns * PACE);
    }

    /// Sends what there is to send, and tidies up.
    pub(crate) fn send(&mut self) {
        let now_ns = self.now_ns;
        for syn in self.syns.values_mut().filter(|syn| syn.at_ns <= now_ns) {
            (syn.at_ns, syn.wait_ns) = (now_ns + syn.wait_ns, syn.wait_ns * 2);
            self.by_hand.push(syn.packet.clone());
        }
        self.stack.send(now_ns * PACE);
        let Self { orphans, stack, time_wait, .. } = self;
        let mut aborted = false;
        for (handle, _) in orphans.iter() {
            let socket: &mut tcp::Socket<'_> = stack.sockets.get_mut(*handle);
            if socket.can_recv() && socket.state() != tcp::State::Closed {
                socket.abort();
                aborted = true;
            }
        }
        if aborted {
            stack.send(now_ns * PACE);
        }
        orphans.retain(|&(handle, until_ns)| {
            let socket: &mut tcp::Socket<'_> = stack.sockets.get_mut(handle);
            let over = match socket.state() {
                tcp::State::Closed => true,
                tcp::State::TimeWait => {
                    if let Some(end) = socket.local_endpoint() {
                        time_wait.insert(end.port, now_ns + MINUTE);
                    }
                    true
                }
                _ => now_ns > until_ns,
            };
            if over {
                stack.sockets.remove(handle);
            }
            !over
        });
    }

    /// The next packet that leaves.
    pub(crate) fn outgoing(&mut self) -> Option<Vec<u8>> {
        let packet = loop {
            if let Some(packet) = self.by_hand.pop() {
                break packet;
            }
            let packet = self.stack.outgoing()?;
            let syn = packet::segment(&packet).filter(|segment| segment.syn && !segment.ack);
            let Some(syn) = syn else { break packet };
            // The first one is its; when it comes again is Linux's business.
            if self.counts.get(&syn.from.port()).is_none_or(|count| count.sent_to.is_none()) {
                let at_ns = self.now_ns + SECOND;
                self.syns.insert(syn.from.port(), Syn { packet: packet.clone(), at_ns, wait_ns: 2 * SECOND });
                break packet;
            }
        };
        if let Some(segment) = packet::segment(&packet) {
            self.note_outgoing(&segment);
        }
        Some(packet)
    }

    /// When something happens here without anything coming in.
    pub(crate) fn next_ns(&mut self) -> Option<u64> {
        let stack = self.stack.next_ns(self.now_ns * PACE).map(|at_ns| at_ns.div_ceil(PACE));
        let syns = self.syns.values().map(|syn| syn.at_ns);
        syns.chain(stack).min()
    }

    fn note_outgoing(&mut self, segment: &Segment) {
        let count = self.counts.entry(segment.from.port()).or_default();
        if segment.syn && count.sent_to.is_none() {
            count.syn_ns = self.now_ns;
        }
        if segment.length == 0 || segment.rst {
            return;
        }
        let end = segment.sequence.wrapping_add(segment.length);
        match count.sent_to {
            Some(sent) if (end.wrapping_sub(sent) as i32) <= 0 => count.retransmissions += 1,
            _ => count.sent_to = Some(end),
        }
    }

    fn note_incoming(&mut self, segment: &Segment) {
        let now_ns = self.now_ns;
        if let Some(count) = self.counts.get_mut(&segment.to.port())
            && segment.syn
        {
            count.rtt_ns.get_or_insert(now_ns.saturating_sub(count.syn_ns));
        }
    }

    fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.stack.sockets.get_mut(handle)
    }

    /// Whether a connection has a local port, or had it until a moment ago.
    pub(crate) fn holds(&self, port: u16) -> bool {
        let is_on = |socket: &Socket<'_>| match socket {
            Socket::Tcp(socket) => socket.local_endpoint().is_some_and(|end| end.port == port),
            _ => false,
        };
        let waits = self.time_wait.get(&port).is_some_and(|&until| until > self.now_ns);
        waits || self.stack.sockets.iter().any(|(_, socket)| is_on(socket))
    }

    /// Begins a connection from a local port.
    pub(crate) fn connect(&mut self, port: u16, to: SocketAddrV4) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(Some(Duration::from_millis(ACK_DELAY_MS * PACE)));
        // What an earlier connection on this port has left.
        self.counts.remove(&port);
        self.vanished.remove(&port);
        self.time_wait.remove(&port);
        let (interface, sockets) = self.stack.parts();
        // Ports are not 0 and the socket is fresh.
        let _ = socket.connect(interface.context(), (*to.ip(), to.port()), (self.address, port));
        sockets.add(socket)
    }

    /// Where a connection stands.
    pub(crate) fn state(&self, handle: SocketHandle) -> tcp::State {
        self.stack.sockets.get::<tcp::Socket<'_>>(handle).state()
    }

    /// Hands bytes over; how many were taken.
    pub(crate) fn write(&mut self, handle: SocketHandle, bytes: &[u8]) -> usize {
        self.tcp(handle).send_slice(bytes).unwrap_or(0)
    }

    /// Takes what has come.
    pub(crate) fn read(&mut self, handle: SocketHandle, space: &mut [u8]) -> Incoming {
        let socket = self.tcp(handle);
        match socket.recv_slice(space) {
            Ok(n) if n > 0 => Incoming::Bytes(n),
            _ => match socket.state() {
                tcp::State::Closed => Incoming::Reset,
                tcp::State::CloseWait | tcp::State::Closing | tcp::State::LastAck | tcp::State::TimeWait => {
                    Incoming::End
                }
                _ => Incoming::Nothing,
            },
        }
    }

    /// Shuts down writing.
    pub(crate) fn shut_down(&mut self, handle: SocketHandle) {
        self.tcp(handle).close();
    }

    /// The program lets go of the connection.
    pub(crate) fn close(&mut self, handle: SocketHandle) {
        let now_ns = self.now_ns;
        let socket = self.tcp(handle);
        match socket.state() {
            // What the peer answers later meets nobody.
            tcp::State::SynSent => {
                if let Some(end) = socket.local_endpoint() {
                    self.syns.remove(&end.port);
                }
                self.stack.sockets.remove(handle);
                return;
            }
            _ if socket.recv_queue() > 0 => socket.abort(),
            _ => socket.close(),
        }
        self.orphans.push((handle, now_ns + MINUTE));
    }

    /// The program resets the connection.
    pub(crate) fn reset(&mut self, handle: SocketHandle) {
        self.tcp(handle).abort();
        self.orphans.push((handle, self.now_ns));
    }

    /// The host is gone from the connection, without a word.
    pub(crate) fn vanish(&mut self, handle: SocketHandle) {
        if let Some(end) = self.tcp(handle).local_endpoint() {
            self.vanished.insert(end.port);
        }
        self.stack.sockets.remove(handle);
    }

    /// What Linux would say of the connection in TCP_INFO.
    pub(crate) fn sample(&self, port: u16) -> Option<TcpSample> {
        let count = self.counts.get(&port)?;
        Some(TcpSample {
            rtt_us: u32::try_from(count.rtt_ns? / 1_000).unwrap_or(u32::MAX),
            retransmissions: count.retransmissions,
            lost: 0,
        })
    }

    /// Sends an echo request.
    pub(crate) fn ping(&mut self, to: Ipv4Addr, number: u16) {
        let ping = packet::ping(self.address, to, number);
        self.by_hand.push(ping);
    }

    /// The echo replies that have come.
    pub(crate) fn pongs(&mut self) -> Vec<u16> {
        std::mem::take(&mut self.pongs)
    }

    /// Sends a datagram.
    pub(crate) fn send_datagram(&mut self, to: SocketAddrV4, bytes: &[u8]) {
        let handle = self.datagrams;
        let socket: &mut udp::Socket<'_> = self.stack.sockets.get_mut(handle);
        // Its buffer holds a dozen of them.
        let _ = socket.send_slice(bytes, IpEndpoint::new((*to.ip()).into(), to.port()));
    }

    /// The next datagram that has come.
    pub(crate) fn datagram(&mut self) -> Option<Vec<u8>> {
        let handle = self.datagrams;
        let socket: &mut udp::Socket<'_> = self.stack.sockets.get_mut(handle);
        socket.recv().ok().map(|(bytes, _)| bytes.to_vec())
    }
}

/// What reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// So many bytes.
    Bytes(usize),
    /// Nothing yet.
    Nothing,
    /// The peer's FIN.
    End,
    /// The peer's RST.
    Reset,
}
