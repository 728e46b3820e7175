//! Readings of the stack: connections by state, sockets, lwIP's counters.

use std::net::SocketAddrV4;

use crate::ffi;
use crate::heap;

/// A TCP connection's state (RFC 9293, section 3.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TcpState {
    /// Not connected.
    Closed,
    /// Listening.
    Listen,
    /// SYN sent.
    SynSent,
    /// SYN received and answered.
    SynReceived,
    /// Established.
    Established,
    /// FIN sent.
    FinWait1,
    /// FIN sent and acknowledged.
    FinWait2,
    /// The peer's FIN received.
    CloseWait,
    /// Both FINs, ours not acknowledged.
    Closing,
    /// The peer's FIN first, then ours, not acknowledged.
    LastAck,
    /// Both FINs acknowledged, ours first.
    TimeWait,
}

impl TcpState {
    /// All states, in lwIP's order.
    pub const ALL: [Self; ffi::STATES] = [
        Self::Closed,
        Self::Listen,
        Self::SynSent,
        Self::SynReceived,
        Self::Established,
        Self::FinWait1,
        Self::FinWait2,
        Self::CloseWait,
        Self::Closing,
        Self::LastAck,
        Self::TimeWait,
    ];

    /// The name used in telemetry and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Listen => "listen",
            Self::SynSent => "syn_sent",
            Self::SynReceived => "syn_received",
            Self::Established => "established",
            Self::FinWait1 => "fin_wait_1",
            Self::FinWait2 => "fin_wait_2",
            Self::CloseWait => "close_wait",
            Self::Closing => "closing",
            Self::LastAck => "last_ack",
            Self::TimeWait => "time_wait",
        }
    }
}

/// How many TCP control blocks are in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TcpStates {
    counts: [u32; ffi::STATES],
}

impl TcpStates {
    /// Those in one state.
    pub const fn count(&self, state: TcpState) -> u32 {
        self.counts[state as usize]
    }

    /// Connections in any state: all but the listeners.
    pub fn connections(&self) -> u32 {
        self.counts.iter().sum::<u32>() - self.count(TcpState::Listen)
    }

    /// State and count, of those that there are.
    pub fn iter(&self) -> impl Iterator<Item = (TcpState, u32)> + '_ {
        TcpState::ALL
            .into_iter()
            .zip(self.counts)
            .filter(|&(_, n)| n > 0)
    }
}

/// Sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sockets {
    /// Open ones, leaked ones included.
    pub in_use: u32,
    /// The most there can be.
    pub limit: u32,
}

/// Ethernet frames of the interface since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Frames {
    /// Handed to lwIP.
    pub received: u64,
    /// Not handed to it, because the heap had no room for them.
    pub dropped_no_memory: u64,
    /// Not handed to it, because the tcpip thread's mailbox was full (or the heap had no room for the
    /// message).
    pub dropped_mailbox_full: u64,
    /// Too short or too long to be one.
    pub dropped_malformed: u64,
    /// Sent.
    pub sent: u64,
}

/// lwIP's counters of one protocol since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Protocol {
    /// Packets sent.
    pub sent: u32,
    /// Packets received.
    pub received: u32,
    /// Packets dropped.
    pub dropped: u32,
    /// Wrong checksums.
    pub checksum_errors: u32,
    /// Allocations that failed.
    pub memory_errors: u32,
    /// Everything else that was wrong with a packet.
    pub other_errors: u32,
}

impl From<ffi::ProtocolCounts> for Protocol {
    fn from(c: ffi::ProtocolCounts) -> Self {
        Self {
            sent: c.sent,
            received: c.received,
            dropped: c.dropped,
            checksum_errors: c.checksum_errors,
            memory_errors: c.memory_errors,
            other_errors: c.other_errors,
        }
    }
}

/// Everything that can be read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// The heap.
    pub heap: heap::Readings,
    /// The sockets.
    pub sockets: Sockets,
    /// TCP control blocks by state.
    pub tcp_states: TcpStates,
    /// TCP control blocks allocated, listeners not counted.
    pub tcp_control_blocks: u32,
    /// TCP control blocks refused, at the limit or by the heap; lwIP recycles one and tries again.
    pub tcp_control_blocks_refused: u32,
    /// Elements of all types refused.
    pub elements_refused: u32,
    /// TCP segments retransmitted.
    pub tcp_retransmitted: u32,
    /// TCP resets sent.
    pub tcp_resets_sent: u32,
    /// The interface.
    pub frames: Frames,
    /// Ethernet.
    pub link: Protocol,
    /// ARP.
    pub arp: Protocol,
    /// IPv4.
    pub ip: Protocol,
    /// ICMP.
    pub icmp: Protocol,
    /// UDP.
    pub udp: Protocol,
    /// TCP.
    pub tcp: Protocol,
}

impl Stats {
    pub(crate) fn collect(heap: heap::Readings, sockets: Sockets, frames: Frames) -> Self {
        let raw = ffi::stats();
        let [link, arp, ip, icmp, udp, tcp] = raw.protocols.map(Protocol::from);
        Self {
            heap,
            sockets,
            tcp_states: TcpStates {
                counts: raw.tcp_states,
            },
            tcp_control_blocks: raw.tcp_pcbs,
            tcp_control_blocks_refused: raw.tcp_pcbs_refused,
            elements_refused: raw.elements_refused,
            tcp_retransmitted: raw.tcp_retransmitted,
            tcp_resets_sent: raw.tcp_resets_sent,
            frames,
            link,
            arp,
            ip,
            icmp,
            udp,
            tcp,
        }
    }
}

/// A TCP connection as the stack sees it, whether or not a socket is left for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// The device's end.
    pub local: SocketAddrV4,
    /// The peer's end.
    pub remote: SocketAddrV4,
    /// Its state.
    pub state: TcpState,
}

/// All connections, `TIME_WAIT` included.
pub(crate) fn connections() -> Vec<Connection> {
    let mut raw = vec![ffi::Connection::default(); 64];
    loop {
        let found = ffi::connections(&mut raw);
        if found <= raw.len() {
            raw.truncate(found);
            break;
        }
        raw.resize(found + 16, ffi::Connection::default());
    }
    raw.into_iter()
        .map(|c| Connection {
            local: ffi::socket_addr(c.local_ip, c.local_port),
            remote: ffi::socket_addr(c.remote_ip, c.remote_port),
            state: *TcpState::ALL
                .get(c.state as usize)
                .unwrap_or(&TcpState::Closed),
        })
        .collect()
}
