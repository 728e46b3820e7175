//! From a captured frame to a TCP segment.

use std::net::Ipv6Addr;

use super::ipv6::Part;
use super::{Flags, Ipv4, Ipv6, Link, Network, NetworkKind, Tcp, TcpOption, layers};

const TCP: u8 = 6;
const UDP: u8 = 17;
const AUTHENTICATION: u8 = 51;
/// Packets within packets that are followed.
const TUNNELS_AT_MOST: usize = 8;

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
    /// Checksum as captured; a sender's own capture has it before the network card fills it in.
    pub checksum: u16,
    /// Window shift, on a SYN that offers it.
    pub window_scale: Option<u8>,
    /// Whether the radio frame says that it may have been heard before: it is sent again, or passed on by the access
    /// point.
    pub heard_again: bool,
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
}

/// Why a frame holds no TCP segment to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSegment {
    /// No IP, or an IP that carries something else.
    Other,
    /// Headers that were cut off by the capture, or whose lengths contradict each other.
    Damaged,
    /// Something in which TCP may be, and which is not read here.
    Unread(Unread),
    /// A part of an IP packet with TCP.
    Fragment(Fragment),
}

/// What is not read here although TCP may be inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unread {
    /// Encrypted: IPsec, MACsec, PPP encryption, 802.11.
    Encrypted,
    /// Compressed headers or payload of PPP.
    Compressed,
    /// GRE of a kind that is not known.
    Gre,
    /// L2TP.
    L2tp,
    /// A network service header.
    ServiceHeader,
    /// Frames of a mesh network.
    Mesh,
    /// Frames that a remote sniffer sent on, of a kind that is not known.
    Sniffer,
    /// Several packets in one 802.11 frame (A-MSDU).
    Aggregated,
    /// A packet of a tunnel that was cut into fragments: all but the first.
    TunnelFragment,
    /// More layers in each other than are followed.
    TooDeep,
}

impl Unread {
    /// In words, after "packets of".
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Encrypted => "an encrypted link or tunnel",
            Self::Compressed => "a compressed PPP link",
            Self::Gre => "a GRE tunnel of unknown kind",
            Self::L2tp => "an L2TP tunnel",
            Self::ServiceHeader => "a service function chain (NSH)",
            Self::Mesh => "a batman-adv mesh",
            Self::Sniffer => "a remote sniffer (TZSP) of unknown kind",
            Self::Aggregated => "aggregated 802.11 frames (A-MSDU)",
            Self::TunnelFragment => "a fragmented tunnel",
            Self::TooDeep => "tunnels nested too deeply",
        }
    }
}

/// A part of an IP packet that was cut up on its way (RFC 791, 3.2; RFC 8200, 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// In the first part, the segment as far as this part goes; of any other the addresses alone.
    pub segment: Segment,
    /// What all parts of the packet have in common.
    pub id: u32,
    /// Where its bytes belong in the packet's payload.
    pub start: u32,
    /// How many there are.
    pub length: u32,
    /// Whether others follow behind it.
    pub more: bool,
}

impl Fragment {
    /// Whether it is the first part.
    #[must_use]
    pub const fn is_first(&self) -> bool {
        self.start == 0
    }
}

/// The IP header that a segment has been looked for in.
struct Packet<'a> {
    source: Ipv6Addr,
    destination: Ipv6Addr,
    /// IPv4 identification.
    id: Option<u16>,
    protocol: u8,
    /// Where in the frame its payload begins.
    at: usize,
    payload: &'a [u8],
    /// Length of the payload on the wire.
    length: usize,
    part: Option<Part>,
}

/// Takes a frame apart, through tunnels down to the innermost packet. `captured` may be cut (a snapshot length);
/// `original_len` is the frame's length on the wire, from which a packet with no length of its own (segmentation
/// offload) has its payload's length.
///
/// # Errors
/// Says whether the frame is none of ours, damaged, a fragment, or something that is not read here.
#[inline]
pub fn decode(link: Link, captured: &[u8], original_len: usize) -> Result<Segment, NotSegment> {
    let on_wire = original_len.max(captured.len());
    match usual(link, captured, on_wire) {
        Some(segment) => Ok(segment),
        None => in_full(link, captured, on_wire),
    }
}

/// The packet that nearly all of a capture are: Ethernet II, IPv4 in one part, a sound TCP header. `None` for every other
/// one. It gives what [`in_full`] gives, in a third of the time: nothing is kept on the way.
#[inline]
fn usual(link: Link, captured: &[u8], on_wire: usize) -> Option<Segment> {
    const HEADER: usize = 14;
    let (header, bytes) = captured.split_at_checked(HEADER)?;
    if link != Link::Ethernet || header.get(12..) != Some(&[0x08, 0x00][..]) {
        return None;
    }
    let ip = Ipv4::new(bytes)?;
    if ip.protocol() != TCP || ip.fragment_offset() != 0 || ip.more_fragments() || ip.total_len() == 0 {
        return None;
    }
    let total = within(ip.total_len(), on_wire - HEADER).ok()?;
    let tcp = Tcp::new(bytes.get(ip.header_len()..)?)?;
    let payload = total.checked_sub(ip.header_len())?.checked_sub(tcp.header_len())?;
    let (source, destination) = (ip.source().to_ipv6_mapped(), ip.destination().to_ipv6_mapped());
    Some(seen(&tcp, source, destination, Some(ip.id()).filter(|&id| id != 0), u32::try_from(payload).ok()?))
}

/// Every packet.
#[inline(never)]
fn in_full(link: Link, captured: &[u8], on_wire: usize) -> Result<Segment, NotSegment> {
    let network = link.network(captured)?;
    let packet = packet(network, captured, on_wire)?;
    if packet.protocol != TCP || packet.part.is_some() {
        return inside(captured, on_wire, packet, link);
    }
    let segment = segment(&packet)?;
    Ok(Segment { heard_again: link.may_be_heard_again(captured), ..segment })
}

/// What a packet that is no whole TCP segment may hold: a part of one, or a tunnel's packet.
#[cold]
fn inside<'a>(
    captured: &'a [u8],
    mut on_wire: usize,
    mut outer: Packet<'a>,
    link: Link,
) -> Result<Segment, NotSegment> {
    for _ in 1..TUNNELS_AT_MOST {
        if let Some(part) = outer.part {
            if outer.protocol == TCP {
                return Err(fragment(&outer, part));
            }
            if part.start != 0 {
                let tunnel = layers::through(&[], outer.protocol, 0).is_some() && outer.protocol != UDP;
                return Err(if tunnel {
                    NotSegment::Unread(Unread::TunnelFragment)
                } else {
                    NotSegment::Other
                });
            }
            // The inner packet goes on in the fragments that follow.
            on_wire = usize::MAX;
        }
        let network =
            layers::through(captured, outer.protocol, outer.at).unwrap_or(Err(NotSegment::Other))?;
        outer = packet(network, captured, on_wire)?;
        if outer.protocol == TCP && outer.part.is_none() {
            let segment = segment(&outer)?;
            return Ok(Segment { heard_again: link.may_be_heard_again(captured), ..segment });
        }
    }
    Err(NotSegment::Unread(Unread::TooDeep))
}

/// The packet whose header `network` names.
#[inline]
fn packet(network: Network, captured: &[u8], on_wire: usize) -> Result<Packet<'_>, NotSegment> {
    let bytes = captured.get(network.offset..).ok_or(NotSegment::Damaged)?;
    let on_wire = on_wire.saturating_sub(network.offset);
    match network.kind {
        NetworkKind::Ipv4 => {
            let ip = Ipv4::new(bytes).ok_or(NotSegment::Damaged)?;
            let (start, more) = (u32::from(ip.fragment_offset()) * 8, ip.more_fragments());
            let part = (start != 0 || more).then(|| Part { id: u32::from(ip.id()), start, more });
            let total = if ip.total_len() == 0 { on_wire } else { ip.total_len() };
            let (mut protocol, mut header) = (ip.protocol(), ip.header_len());
            if protocol == AUTHENTICATION && start == 0 {
                (protocol, header) =
                    layers::behind_authentication(bytes, header).ok_or(NotSegment::Damaged)?;
            }
            // Only TCP's own lengths are needed, and only there a contradiction is damage.
            let length = match within(total, on_wire) {
                Ok(total) => total.checked_sub(header).ok_or(NotSegment::Damaged)?,
                Err(damage) if protocol == TCP => return Err(damage),
                Err(_) => 0,
            };
            Ok(Packet {
                source: ip.source().to_ipv6_mapped(),
                destination: ip.destination().to_ipv6_mapped(),
                id: Some(ip.id()).filter(|&id| id != 0),
                protocol,
                at: network.offset + header,
                payload: bytes.get(header..).unwrap_or_default(),
                length,
                part,
            })
        }
        NetworkKind::Ipv6 => {
            let ip = Ipv6::new(bytes).ok_or(NotSegment::Damaged)?;
            let transport = ip.transport().ok_or(NotSegment::Other)?;
            let total = if ip.payload_len() == 0 { on_wire } else { ip.payload_len() + Ipv6::HEADER_LEN };
            let length = match within(total, on_wire) {
                Ok(total) => total.checked_sub(transport.offset).ok_or(NotSegment::Damaged)?,
                Err(damage) if transport.protocol == TCP => return Err(damage),
                Err(_) => 0,
            };
            Ok(Packet {
                source: ip.source(),
                destination: ip.destination(),
                id: None,
                protocol: transport.protocol,
                at: network.offset + transport.offset,
                payload: bytes.get(transport.offset..).unwrap_or_default(),
                length,
                part: transport.part,
            })
        }
    }
}

#[inline]
fn segment(packet: &Packet<'_>) -> Result<Segment, NotSegment> {
    let tcp = Tcp::new(packet.payload).ok_or(NotSegment::Damaged)?;
    let payload = packet.length.checked_sub(tcp.header_len()).ok_or(NotSegment::Damaged)?;
    let payload = u32::try_from(payload).map_err(|_| NotSegment::Damaged)?;
    Ok(seen(&tcp, packet.source, packet.destination, packet.id, payload))
}

/// What of a TCP header is looked at.
#[inline(always)]
fn seen(tcp: &Tcp<'_>, source: Ipv6Addr, destination: Ipv6Addr, ip_id: Option<u16>, payload: u32) -> Segment {
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
    Segment {
        source,
        destination,
        source_port: tcp.source_port(),
        destination_port: tcp.destination_port(),
        seq: tcp.seq(),
        ack: tcp.ack(),
        flags,
        window: tcp.window(),
        payload,
        ip_id,
        checksum: tcp.checksum(),
        window_scale,
        heard_again: false,
    }
}

#[cold]
fn fragment(packet: &Packet<'_>, part: Part) -> NotSegment {
    let Part { id, start, more } = part;
    let Ok(length) = u32::try_from(packet.length) else { return NotSegment::Damaged };
    // A first part without the TCP header whole is made by nobody who means well (RFC 1858, 3).
    let segment = if start == 0 { segment(packet) } else { Ok(addresses_alone(packet)) };
    segment
        .map_or_else(|why| why, |segment| NotSegment::Fragment(Fragment { segment, id, start, length, more }))
}

const fn addresses_alone(packet: &Packet<'_>) -> Segment {
    Segment {
        source: packet.source,
        destination: packet.destination,
        source_port: 0,
        destination_port: 0,
        seq: 0,
        ack: 0,
        flags: Flags(0),
        window: 0,
        payload: 0,
        ip_id: None,
        checksum: 0,
        window_scale: None,
        heard_again: false,
    }
}

/// A packet cannot be longer than the frame that held it.
const fn within(total: usize, on_wire: usize) -> Result<usize, NotSegment> {
    if total <= on_wire { Ok(total) } else { Err(NotSegment::Damaged) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::IpAddr;

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
        assert_eq!(s.source.to_canonical(), IpAddr::from([192, 168, 4, 1]));
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
    fn fragments_say_where_they_belong_and_the_first_has_the_segment() {
        let mut p = ipv4(64, 24);
        p[6] = 0x20;
        let Err(NotSegment::Fragment(first)) = decode(Link::Raw, &p, 64) else { panic!("a fragment") };
        assert_eq!((first.id, first.start, first.length, first.more), (7, 0, 44, true));
        assert_eq!((first.is_first(), first.segment.payload), (true, 24));
        p[6..8].copy_from_slice(&[0, 4]);
        let Err(NotSegment::Fragment(last)) = decode(Link::Raw, &p, 64) else { panic!("a fragment") };
        assert_eq!((last.start, last.length, last.more, last.is_first()), (32, 44, false, false));
    }

    #[test]
    fn every_way_to_cut_a_packet_is_survived() {
        let p = ipv4(50, 10);
        for n in 0..p.len() {
            let cut = decode(Link::Raw, &p[..n], 50);
            assert_eq!(cut.is_ok(), n >= 40, "{n} bytes");
        }
    }

    /// The same behind an Ethernet header.
    fn ethernet(packet: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00]);
        frame.extend(packet);
        frame
    }

    #[test]
    fn the_usual_packet_takes_the_short_way_and_gives_the_same() {
        for frame in [ethernet(&ipv4(50, 10)), ethernet(&ipv4(1040, 0))] {
            let short = usual(Link::Ethernet, &frame, 1_054);
            assert!(short.is_some());
            assert_eq!(short.map(Ok), Some(in_full(Link::Ethernet, &frame, 1_054)));
        }
        let mut part = ipv4(64, 24);
        part[6] = 0x20;
        assert_eq!(usual(Link::Ethernet, &ethernet(&part), 78), None);
        assert_eq!(usual(Link::Ethernet, &ethernet(&ipv4(0, 0)), 54), None);
    }

    proptest! {
        #[test]
        fn what_takes_the_short_way_gives_what_the_long_way_gives(
            changes in prop::collection::vec((0_usize..64, any::<u8>()), 0..6),
            cut in 0_usize..80,
            beyond in 0_usize..20,
            total in prop_oneof![Just(50_u16), any::<u16>()],
        ) {
            let mut frame = ethernet(&ipv4(total, 10));
            for (at, byte) in changes {
                frame[at] = byte;
            }
            frame.truncate(cut);
            if let Some(short) = usual(Link::Ethernet, &frame, cut + beyond) {
                prop_assert_eq!(Ok(short), in_full(Link::Ethernet, &frame, cut + beyond));
            }
        }
    }
}
