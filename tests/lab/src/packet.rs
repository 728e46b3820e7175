//! Packets by hand: what is looked at on the way, and what no socket makes.

use std::net::{Ipv4Addr, SocketAddrV4};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4Packet, Icmpv4Repr, IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr,
    TcpSeqNumber,
};

/// What is looked at of a TCP segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    /// Sender.
    pub(crate) from: SocketAddrV4,
    /// Receiver.
    pub(crate) to: SocketAddrV4,
    /// Sequence number.
    pub(crate) sequence: u32,
    /// Acknowledgement number.
    pub(crate) acknowledges: u32,
    /// Sequence space that it takes.
    pub(crate) length: u32,
    /// SYN.
    pub(crate) syn: bool,
    /// ACK.
    pub(crate) ack: bool,
    /// RST.
    pub(crate) rst: bool,
}

/// The TCP segment in an IPv4 packet.
pub(crate) fn segment(packet: &[u8]) -> Option<Segment> {
    let ip = Ipv4Packet::new_checked(packet).ok()?;
    let (source, destination) = (ip.src_addr(), ip.dst_addr());
    if ip.next_header() != IpProtocol::Tcp {
        return None;
    }
    let tcp = TcpPacket::new_checked(ip.payload()).ok()?;
    Some(Segment {
        from: SocketAddrV4::new(source, tcp.src_port()),
        to: SocketAddrV4::new(destination, tcp.dst_port()),
        sequence: tcp.seq_number().0 as u32,
        acknowledges: tcp.ack_number().0 as u32,
        length: tcp.segment_len() as u32,
        syn: tcp.syn(),
        ack: tcp.ack(),
        rst: tcp.rst(),
    })
}

/// An echo request.
pub(crate) fn ping(from: Ipv4Addr, to: Ipv4Addr, number: u16) -> Vec<u8> {
    let echo = Icmpv4Repr::EchoRequest { ident: 7, seq_no: number, data: b"espstress" };
    let checksums = ChecksumCapabilities::default();
    let mut bytes = ip(from, to, IpProtocol::Icmp, echo.buffer_len());
    let mut packet = Ipv4Packet::new_unchecked(&mut bytes[..]);
    echo.emit(&mut Icmpv4Packet::new_unchecked(packet.payload_mut()), &checksums);
    bytes
}

/// The number of an echo reply.
pub(crate) fn pong(packet: &[u8]) -> Option<u16> {
    let ip = Ipv4Packet::new_checked(packet).ok()?;
    if ip.next_header() != IpProtocol::Icmp {
        return None;
    }
    let icmp = Icmpv4Packet::new_checked(ip.payload()).ok()?;
    match Icmpv4Repr::parse(&icmp, &ChecksumCapabilities::default()).ok()? {
        Icmpv4Repr::EchoReply { seq_no, .. } => Some(seq_no),
        _ => None,
    }
}

/// The acknowledgement that a host in TIME_WAIT answers a repeated segment with.
pub(crate) fn time_wait_ack(of: &Segment) -> Vec<u8> {
    let tcp = TcpRepr {
        src_port: of.to.port(),
        dst_port: of.from.port(),
        control: TcpControl::None,
        seq_number: TcpSeqNumber(of.acknowledges as i32),
        ack_number: Some(TcpSeqNumber(of.sequence.wrapping_add(of.length) as i32)),
        window_len: 64_240,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let (from, to) = (*of.to.ip(), *of.from.ip());
    let mut bytes = ip(from, to, IpProtocol::Tcp, tcp.buffer_len());
    let mut packet = Ipv4Packet::new_unchecked(&mut bytes[..]);
    tcp.emit(
        &mut TcpPacket::new_unchecked(packet.payload_mut()),
        &IpAddress::Ipv4(from),
        &IpAddress::Ipv4(to),
        &ChecksumCapabilities::default(),
    );
    bytes
}

/// An IPv4 packet with room for its payload.
fn ip(from: Ipv4Addr, to: Ipv4Addr, protocol: IpProtocol, payload_len: usize) -> Vec<u8> {
    let head = Ipv4Repr { src_addr: from, dst_addr: to, next_header: protocol, payload_len, hop_limit: 64 };
    let mut bytes = vec![0; head.buffer_len() + payload_len];
    head.emit(&mut Ipv4Packet::new_unchecked(&mut bytes[..]), &ChecksumCapabilities::default());
    bytes
}
