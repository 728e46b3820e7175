//! From a captured frame to a TCP segment.

use std::net::{IpAddr, Ipv6Addr};

use super::{Flags, Ipv4, Ipv6, Link, NetworkKind, Tcp, TcpOption};

const TCP: u8 = 6;

/// What of a TCP segment is looked at: a plain copy, without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Sender, an IPv4 address in its mapped form.
    pub source: Ipv6Addr,
    /// Receiver, an IPv4 address in its mapped form.
    pub destination: Ipv6Addr,
    /// Sender's port.
    pub source_port: u16,
    /// Receiver's port.
    pub destination_port: u16,
    /// Sequence number of the SYN, or of the first byte of payload.
    pub seq: u32,
    /// Next sequence number expected; nothing without [`Flags::ACK`].
    pub ack: u32,
    /// Control bits.
    pub flags: Flags,
    /// Window, not scaled.
    pub window: u16,
    /// Payload on the wire, bytes, however little of it was captured.
    pub payload: u32,
    /// Identification of the IPv4 packet; `None` where it says nothing (IPv6, or 0).
    pub ip_id: Option<u16>,
    /// Window shift, on a SYN that offers it.
    pub window_scale: Option<u8>,
}

impl Segment {
    /// Sequence space that it takes: payload, SYN and FIN.
    #[must_use]
    pub const fn space(&self) -> u32 {
        self.payload.wrapping_add((self.flags.0 & 1) as u32).wrapping_add((self.flags.0 >> 1 & 1) as u32)
    }

    /// Sequence number behind its last.
    #[must_use]
    pub const fn end(&self) -> u32 {
        self.seq.wrapping_add(self.space())
    }

    /// Sender's address as people write it.
    #[must_use]
    pub const fn source_address(&self) -> IpAddr {
        self.source.to_canonical()
    }

    /// Receiver's address as people write it.
    #[must_use]
    pub const fn destination_address(&self) -> IpAddr {
        self.destination.to_canonical()
    }
}

/// Why a frame holds no TCP segment to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSegment {
    /// No IP, or an IP that carries something else; also any fragment but the first.
    Other,
    /// Headers that were cut off by the capture, or whose lengths contradict each other.
    Damaged,
}

/// Takes a frame apart. `captured` may be cut (a snapshot length); `original_len` is the frame's length on
/// the wire, from which a packet with no length of its own (segmentation offload) has its payload's length.
///
/// # Errors
/// Says whether the frame is none of ours, or damaged.
pub fn decode(link: Link, captured: &[u8], original_len: usize) -> Result<Segment, NotSegment> {
    let network = link.network(captured).ok_or(NotSegment::Other)?;
    let packet = captured.get(network.offset..).ok_or(NotSegment::Damaged)?;
    let on_wire = original_len.max(captured.len()).saturating_sub(network.offset);
    let (source, destination, ip_id, transport, length) = match network.kind {
        NetworkKind::Ipv4 => {
            let ip = Ipv4::new(packet).ok_or(NotSegment::Damaged)?;
            if ip.protocol() != TCP || ip.fragment_offset() != 0 {
                return Err(NotSegment::Other);
            }
            let total = if ip.total_len() == 0 { on_wire } else { ip.total_len() };
            let length = within(total, on_wire)?.checked_sub(ip.header_len()).ok_or(NotSegment::Damaged)?;
            let id = Some(ip.id()).filter(|&id| id != 0);
            (ip.source().to_ipv6_mapped(), ip.destination().to_ipv6_mapped(), id, ip.payload(), length)
        }
        NetworkKind::Ipv6 => {
            let ip = Ipv6::new(packet).ok_or(NotSegment::Damaged)?;
            let transport = ip.transport().ok_or(NotSegment::Other)?;
            if transport.protocol != TCP {
                return Err(NotSegment::Other);
            }
            let total = if ip.payload_len() == 0 { on_wire } else { ip.payload_len() + Ipv6::HEADER_LEN };
            let length = within(total, on_wire)?.checked_sub(transport.offset).ok_or(NotSegment::Damaged)?;
            let bytes = packet.get(transport.offset..).ok_or(NotSegment::Damaged)?;
            (ip.source(), ip.destination(), None, bytes, length)
        }
    };
    let tcp = Tcp::new(transport).ok_or(NotSegment::Damaged)?;
    let payload = length.checked_sub(tcp.header_len()).ok_or(NotSegment::Damaged)?;
    let flags = tcp.flags();
    let window_scale = if flags.has(Flags::SYN) {
        tcp.options().find_map(|o| match o {
            // RFC 7323, 2.3: more than 14 counts as 14.
            TcpOption::WindowScale(shift) => Some(shift.min(14)),
            _ => None,
        })
    } else {
        None
    };
    Ok(Segment {
        source,
        destination,
        source_port: tcp.source_port(),
        destination_port: tcp.destination_port(),
        seq: tcp.seq(),
        ack: tcp.ack(),
        flags,
        window: tcp.window(),
        payload: u32::try_from(payload).map_err(|_| NotSegment::Damaged)?,
        ip_id,
        window_scale,
    })
}

/// A packet cannot be longer than the frame that held it.
const fn within(total: usize, on_wire: usize) -> Result<usize, NotSegment> {
    if total <= on_wire { Ok(total) } else { Err(NotSegment::Damaged) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of `total` bytes by its header, `payload` bytes of which are there.
    fn ipv4(total: u16, payload: usize) -> Vec<u8> {
        let mut p = vec![0_u8; 40 + payload];
        p[0] = 0x45;
        p[2..4].copy_from_slice(&total.to_be_bytes());
        p[4..6].copy_from_slice(&7_u16.to_be_bytes());
        p[9] = 6;
        p[12..16].copy_from_slice(&[192, 168, 4, 1]);
        p[16..20].copy_from_slice(&[192, 168, 4, 91]);
        p[20..22].copy_from_slice(&40_000_u16.to_be_bytes());
        p[22..24].copy_from_slice(&80_u16.to_be_bytes());
        p[32] = 0x50;
        p[33] = 0x18;
        p
    }

    #[test]
    fn a_packet_gives_its_segment() {
        let s = decode(Link::Raw, &ipv4(50, 10), 50).unwrap();
        assert_eq!(s.source_address(), IpAddr::from([192, 168, 4, 1]));
        assert_eq!((s.source_port, s.destination_port, s.payload), (40_000, 80, 10));
        assert_eq!(s.flags, Flags::PSH.and(Flags::ACK));
        assert_eq!(s.ip_id, Some(7));
    }

    #[test]
    fn payload_beyond_the_snapshot_length_still_counts() {
        assert_eq!(decode(Link::Raw, &ipv4(1040, 0), 1040).unwrap().payload, 1000);
    }

    #[test]
    fn ethernet_padding_is_no_payload() {
        assert_eq!(decode(Link::Raw, &ipv4(40, 6), 46).unwrap().payload, 0);
    }

    #[test]
    fn a_packet_without_a_length_takes_that_of_its_frame() {
        assert_eq!(decode(Link::Raw, &ipv4(0, 0), 64_040).unwrap().payload, 64_000);
    }

    #[test]
    fn a_length_that_no_frame_could_hold_is_damage() {
        assert_eq!(decode(Link::Raw, &ipv4(41, 0), 40), Err(NotSegment::Damaged));
    }

    #[test]
    fn later_fragments_are_not_tcp() {
        let mut p = ipv4(50, 10);
        p[7] = 4;
        assert_eq!(decode(Link::Raw, &p, 50), Err(NotSegment::Other));
    }

    #[test]
    fn every_way_to_cut_a_packet_is_survived() {
        let p = ipv4(50, 10);
        for n in 0..p.len() {
            let cut = decode(Link::Raw, &p[..n], 50);
            assert_eq!(cut.is_ok(), n >= 40, "{n} bytes");
        }
    }
}
