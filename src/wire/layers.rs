//! From layer to layer down to an IP header, and through tunnels to the next one.
//!
//! Formats, and where they are defined: VLAN tags (802.1Q, 802.1ad, 802.1ah), MACsec that is not encrypted
//! (802.1AE), LLC and SNAP (802.2, RFC 1042), PPP (RFC 1661), PPPoE (RFC 2516), MPLS (RFC 3032) and Ethernet over it
//! (RFC 4448), IP in IP (RFC 2003, RFC 4213), GRE (RFC 2784, RFC 2890), ERSPAN, VXLAN (RFC 7348), Geneve (RFC 8926),
//! GTP-U (3GPP TS 29.281), TZSP, the netfilter log, SLIP, 802.11.
//!
//! Every step moves on in the frame or ends the walk, and the number of steps is bounded: any bytes give a result.

use super::bytes::{be16, byte};
use super::{Link, Network, NetworkKind, NotSegment, Unread, wifi};

/// More layers than any network stacks.
const STEPS_AT_MOST: usize = 24;

/// What the bytes at some place are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    /// Two addresses, then a type or a length.
    Ethernet,
    /// Two bytes of Ethernet type or of 802.3 length, then what they name.
    EtherType,
    /// The protocol of a cooked capture, then what it names.
    Cooked,
    /// The 20 bytes of the second cooked capture, its protocol first.
    Cooked2,
    /// 802.2.
    Llc,
    /// PPP's protocol field, maybe with HDLC's two bytes before it.
    Ppp,
    /// The header of a PPPoE session.
    Pppoe,
    /// A label stack.
    Mpls,
    /// SLIP, maybe behind the 16 bytes of libpcap's.
    Slip,
    /// The netfilter log.
    Nflog,
    /// An 802.11 frame, behind what that link puts before it; the beginning of a frame.
    Wifi(Link),
    /// An IP header, of the version that it says.
    Ip,
    /// An IP header of the version that was announced.
    Announced(NetworkKind),
    /// The header of GRE.
    Gre,
    /// The UDP header of a datagram that may be a tunnel's.
    Udp,
}

/// One step: the next layer and where it begins.
pub(super) type Step = Result<(Layer, usize), NotSegment>;

/// Walks from `layer` at `offset` to an IP header.
pub(super) fn network(frame: &[u8], layer: Layer, offset: usize) -> Result<Network, NotSegment> {
    let (mut layer, mut at) = (layer, offset);
    for _ in 0..STEPS_AT_MOST {
        (layer, at) = match layer {
            Layer::Ip => return ip(frame, at),
            Layer::Announced(_) if frame.len() < at => return Err(NotSegment::Other),
            Layer::Announced(kind) => return Ok(Network { kind, offset: at }),
            Layer::Ethernet => (Layer::EtherType, at + 12),
            Layer::EtherType => ethertype(frame, at)?,
            Layer::Cooked => cooked(frame, at)?,
            Layer::Cooked2 => typed(frame, be16_at(frame, at)?, at + 20)?,
            Layer::Llc => llc(frame, at)?,
            Layer::Ppp => ppp(frame, at)?,
            Layer::Pppoe => pppoe(frame, at)?,
            Layer::Mpls => mpls(frame, at)?,
            Layer::Slip => slip(frame, at),
            Layer::Nflog => nflog(frame, at)?,
            Layer::Wifi(link) => wifi::data(frame, link)?,
            Layer::Gre => gre(frame, at)?,
            Layer::Udp => udp(frame, at)?,
        };
    }
    Err(NotSegment::Unread(Unread::TooDeep))
}

fn be16_at(frame: &[u8], at: usize) -> Result<u16, NotSegment> {
    if frame.len() >= at + 2 { Ok(be16(frame, at)) } else { Err(NotSegment::Other) }
}

/// The address family in front of a loopback frame has one value for IPv4 and four for IPv6, in either byte order;
/// the version in the IP header itself has one.
fn ip(frame: &[u8], offset: usize) -> Result<Network, NotSegment> {
    if frame.len() <= offset {
        return Err(NotSegment::Other);
    }
    let kind = match byte(frame, offset) >> 4 {
        4 => NetworkKind::Ipv4,
        6 => NetworkKind::Ipv6,
        _ => return Err(NotSegment::Other),
    };
    Ok(Network { kind, offset })
}

/// A type below 1,536 is the length of an 802.3 frame, which begins with LLC.
fn ethertype(frame: &[u8], at: usize) -> Step {
    match be16_at(frame, at)? {
        0..0x0600 => Ok((Layer::Llc, at + 2)),
        kind => typed(frame, kind, at + 2),
    }
}

/// Linux counts protocols of its own below the Ethernet types: 1 is an 802.3 frame, 4 is LLC.
fn cooked(frame: &[u8], at: usize) -> Step {
    match be16_at(frame, at)? {
        1 | 4 => Ok((Layer::Llc, at + 2)),
        kind => typed(frame, kind, at + 2),
    }
}

/// What an Ethernet type announces, at `at`.
fn typed(frame: &[u8], kind: u16, at: usize) -> Step {
    Ok(match kind {
        0x0800 => (Layer::Announced(NetworkKind::Ipv4), at),
        0x86dd => (Layer::Announced(NetworkKind::Ipv6), at),
        0x8100 | 0x88a8 | 0x9100 | 0x9200 => (Layer::EtherType, at + 2),
        // A backbone's tag (802.1ah): the customer's frame follows whole.
        0x88e7 => (Layer::Ethernet, at + 4),
        0x8864 => (Layer::Pppoe, at),
        0x8847 | 0x8848 => (Layer::Mpls, at),
        0x6558 => (Layer::Ethernet, at),
        0x880b => (Layer::Ppp, at),
        0x88e5 => macsec(frame, at)?,
        0x894f => return Err(NotSegment::Unread(Unread::ServiceHeader)),
        0x4305 => return Err(NotSegment::Unread(Unread::Mesh)),
        _ => return Err(NotSegment::Other),
    })
}

/// 802.1AE: readable where neither encrypted nor changed (bits E and C); bit SC adds eight bytes.
fn macsec(frame: &[u8], at: usize) -> Step {
    let control = *frame.get(at).ok_or(NotSegment::Other)?;
    if control & 0x0c != 0 {
        return Err(NotSegment::Unread(Unread::Encrypted));
    }
    Ok((Layer::EtherType, at + if control & 0x20 == 0 { 6 } else { 14 }))
}

/// SNAP with an Ethernet type, or IP by its own address (RFC 1042; 6 is `SAP_IP`).
fn llc(frame: &[u8], at: usize) -> Step {
    let Some(&[destination, source, control]) = frame.get(at..).and_then(<[u8]>::first_chunk) else {
        return Err(NotSegment::Other);
    };
    match (destination & 0xfe, source & 0xfe, control) {
        (0xaa, 0xaa, 3) => match frame.get(at + 3..at + 6) {
            Some([0, 0, 0 | 0xf8]) => Ok((Layer::EtherType, at + 6)),
            // Ethernet bridged over RFC 2684: two bytes of padding before the frame; type 7 has no check sequence.
            Some([0, 0x80, 0xc2]) if matches!(be16(frame, at + 6), 1 | 7) => Ok((Layer::Ethernet, at + 10)),
            _ => Err(NotSegment::Other),
        },
        (0x06, 0x06, 3) => Ok((Layer::Ip, at + 3)),
        _ => Err(NotSegment::Other),
    }
}

fn ppp(frame: &[u8], at: usize) -> Step {
    let start = match frame.get(at..at + 2) {
        Some([0xff, 0x03]) => at + 2,
        // Cisco HDLC in place of PPP.
        Some([0x0f | 0x8f, 0x00]) => return Ok((Layer::EtherType, at + 2)),
        _ => at,
    };
    // RFC 1661, 2: an odd first byte is the whole of a compressed field.
    let first = *frame.get(start).ok_or(NotSegment::Other)?;
    let (protocol, next) =
        if first & 1 == 1 { (u16::from(first), start + 1) } else { (be16_at(frame, start)?, start + 2) };
    match protocol {
        0x0021 | 0x0057 => Ok((Layer::Ip, next)),
        0x0281 | 0x0283 => Ok((Layer::Mpls, next)),
        // Bridged Ethernet (RFC 3518): flags, then the kind of MAC; 1 is 802.3.
        0x0031 if byte(frame, next + 1) == 1 => Ok((Layer::Ethernet, next + 2)),
        0x0053 | 0x0055 => Err(NotSegment::Unread(Unread::Encrypted)),
        0x002d | 0x002f | 0x00fd | 0x00fb | 0x003d => Err(NotSegment::Unread(Unread::Compressed)),
        _ => Err(NotSegment::Other),
    }
}

/// Version and type 1, code 0 (a session's), session, length.
fn pppoe(frame: &[u8], at: usize) -> Step {
    match frame.get(at..at + 6) {
        Some([0x11, 0, ..]) => Ok((Layer::Ppp, at + 6)),
        _ => Err(NotSegment::Other),
    }
}

/// What lies below the labels is not said: an IP header by its version, else Ethernet, behind a control word where
/// there is one (RFC 4448, 4.6; RFC 4928 keeps the two apart).
fn mpls(frame: &[u8], at: usize) -> Step {
    let mut at = at;
    while frame.len() >= at + 4 {
        let last = byte(frame, at + 2) & 1 == 1;
        at += 4;
        if last {
            return match frame.get(at).map(|first| first >> 4) {
                Some(4 | 6) => Ok((Layer::Ip, at)),
                Some(_) if byte(frame, at) == 0 => Ok((Layer::Ethernet, at + 4)),
                Some(_) => Ok((Layer::Ethernet, at)),
                None => Err(NotSegment::Other),
            };
        }
    }
    Err(NotSegment::Other)
}

/// libpcap's header begins with the direction, 0 or 1, which is no IP version.
fn slip(frame: &[u8], at: usize) -> (Layer, usize) {
    if matches!(byte(frame, at) >> 4, 4 | 6) { (Layer::Ip, at) } else { (Layer::Ip, at + 16) }
}

/// Attributes, each with length and type in the byte order of the machine that captured, padded to four bytes.
fn nflog(frame: &[u8], at: usize) -> Step {
    const PAYLOAD: u16 = 9;
    for order in [u16::from_le_bytes, u16::from_be_bytes] {
        let mut next = at + 4;
        while let Some(&[a, b, c, d]) = frame.get(next..).and_then(<[u8]>::first_chunk) {
            let (length, kind) = (usize::from(order([a, b])), order([c, d]));
            if kind & 0x7fff == PAYLOAD && length >= 4 {
                return Ok((Layer::Ip, next + 4));
            }
            if length < 4 || frame.len() < next + length {
                break;
            }
            next += length.next_multiple_of(4);
        }
    }
    Err(NotSegment::Other)
}

/// Version 0; checksum, key and sequence number where their bits say so. Version 1 is PPTP's (RFC 2637), with PPP.
fn gre(frame: &[u8], at: usize) -> Step {
    let (flags, protocol) = (be16_at(frame, at)?, be16_at(frame, at + 2)?);
    let words = |bits: u16| 4 * (flags & bits).count_ones() as usize;
    if flags & 7 == 1 {
        // Key always, sequence number and acknowledgement by their bits; an acknowledgement alone carries nothing.
        let payload = be16_at(frame, at + 4)?;
        let next = at + 8 + words(0x1000 | 0x0080);
        return if payload == 0 { Err(NotSegment::Other) } else { Ok((Layer::Ppp, next)) };
    }
    if flags & 0x4007 != 0 {
        return Err(NotSegment::Unread(Unread::Gre));
    }
    let next = at + 4 + words(0x8000 | 0x2000 | 0x1000);
    match protocol {
        // ERSPAN: type I has no header of its own and no sequence number, type II eight bytes, type III twelve and
        // eight more by its last bit.
        0x88be if flags & 0x1000 == 0 => Ok((Layer::Ethernet, next)),
        0x88be => Ok((Layer::Ethernet, next + 8)),
        0x22eb => Ok((Layer::Ethernet, next + 12 + 8 * usize::from(byte(frame, next + 11) & 1))),
        _ => match typed(frame, protocol, next) {
            Err(NotSegment::Other) => Err(NotSegment::Unread(Unread::Gre)),
            step => step,
        },
    }
}

/// Tunnels are known by the port that they are sent to, and by a header that fits.
fn udp(frame: &[u8], at: usize) -> Step {
    let port = be16_at(frame, at + 2)?;
    let body = at + 8;
    match port {
        // 8472 is Linux's from before the number was given.
        4789 | 8472 if byte(frame, body) & 0x08 != 0 && frame.len() >= body + 8 => {
            Ok((Layer::Ethernet, body + 8))
        }
        6081 if byte(frame, body) >> 6 == 0 && frame.len() >= body + 8 => {
            let options = usize::from(byte(frame, body) & 0x3f) * 4;
            typed(frame, be16(frame, body + 2), body + 8 + options)
        }
        2152 => gtp(frame, body),
        37_008 => tzsp(frame, body),
        6635 => Ok((Layer::Mpls, body)),
        _ => Err(NotSegment::Other),
    }
}

/// Version 1 and message 255 (G-PDU); the optional four bytes are there when any of three bits is set, and the last
/// of them begins a chain of extension headers, each of its own length in units of four.
fn gtp(frame: &[u8], at: usize) -> Step {
    let (flags, message) = (byte(frame, at), byte(frame, at + 1));
    if flags >> 4 != 3 || message != 255 {
        return Err(NotSegment::Other);
    }
    let mut next = at + 8;
    if flags & 7 != 0 {
        next += 4;
        let mut extension = flags & 4 != 0 && byte(frame, next - 1) != 0;
        while extension {
            let length = usize::from(*frame.get(next).ok_or(NotSegment::Other)?) * 4;
            if length == 0 {
                return Err(NotSegment::Damaged);
            }
            next += length;
            extension = byte(frame, next - 1) != 0;
        }
    }
    Ok((Layer::Ip, next))
}

/// Version 1, type 0 (received) or 1 (to be sent), what is carried (1 is Ethernet), then tagged fields up to tag 1.
fn tzsp(frame: &[u8], at: usize) -> Step {
    if byte(frame, at) != 1 || byte(frame, at + 1) > 1 {
        return Err(NotSegment::Other);
    }
    if be16_at(frame, at + 2)? != 1 {
        return Err(NotSegment::Unread(Unread::Sniffer));
    }
    let mut next = at + 4;
    loop {
        match *frame.get(next).ok_or(NotSegment::Other)? {
            0 => next += 1,
            1 => return Ok((Layer::Ethernet, next + 1)),
            _ => next += 2 + usize::from(*frame.get(next + 1).ok_or(NotSegment::Other)?),
        }
    }
}

/// Where the payload of the IP protocol `protocol`, which begins at `at`, leads; `None` for one that is no tunnel.
pub(super) fn through(frame: &[u8], protocol: u8, at: usize) -> Option<Result<Network, NotSegment>> {
    let (layer, at) = match protocol {
        4 | 41 => (Layer::Ip, at),
        17 => (Layer::Udp, at),
        47 => (Layer::Gre, at),
        137 => (Layer::Mpls, at),
        50 => return Some(Err(NotSegment::Unread(Unread::Encrypted))),
        115 => return Some(Err(NotSegment::Unread(Unread::L2tp))),
        _ => return None,
    };
    Some(network(frame, layer, at))
}

/// The payload of an authentication header (RFC 4302) at `at`: its protocol, and where it begins.
pub(super) fn behind_authentication(frame: &[u8], at: usize) -> Option<(u8, usize)> {
    let length = (usize::from(*frame.get(at + 1)?) + 2) * 4;
    Some((byte(frame, at), at + length))
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
