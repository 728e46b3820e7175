//! Ethernet frames with ARP, IPv4, TCP, UDP and ICMP, as far as the tests need them.

use std::net::Ipv4Addr;

pub(crate) const PEER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 1];
pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;

/// A TCP segment that the stack sent, or that is to be sent to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) from: u16,
    pub(crate) to: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) mss: Option<u16>,
    /// Window shift offered.
    pub(crate) scale: Option<u8>,
    pub(crate) payload: Vec<u8>,
}

impl Segment {
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

fn checksum(parts: &[&[u8]]) -> u16 {
    let bytes = parts.concat();
    let mut sum: u32 =
        bytes.chunks(2).map(|c| u32::from(u16::from_be_bytes([c[0], *c.get(1).unwrap_or(&0)]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn ipv4(to_mac: [u8; 6], from: Ipv4Addr, to: Ipv4Addr, protocol: u8, body: &[u8]) -> Vec<u8> {
    let mut ip = vec![0x45, 0];
    ip.extend(((20 + body.len()) as u16).to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
    ip.extend(from.octets());
    ip.extend(to.octets());
    let sum = checksum(&[&ip]).to_be_bytes();
    ip[10..12].copy_from_slice(&sum);
    let mut frame = Vec::from(to_mac);
    frame.extend(PEER_MAC);
    frame.extend([0x08, 0x00]);
    frame.extend(ip);
    frame.extend(body);
    frame
}

fn pseudo_header(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, len: usize) -> Vec<u8> {
    let mut pseudo = Vec::from(from.octets());
    pseudo.extend(to.octets());
    pseudo.extend([0, protocol]);
    pseudo.extend((len as u16).to_be_bytes());
    pseudo
}

/// The frame of a TCP segment.
pub(crate) fn tcp(to_mac: [u8; 6], from: Ipv4Addr, to: Ipv4Addr, segment: &Segment) -> Vec<u8> {
    let mut body = Vec::from(segment.from.to_be_bytes());
    body.extend(segment.to.to_be_bytes());
    body.extend(segment.seq.to_be_bytes());
    body.extend(segment.ack.to_be_bytes());
    let mss = segment.mss.map(|mss| [2, 4, (mss >> 8) as u8, mss as u8]);
    let scale = segment.scale.map(|scale| [1, 3, 3, scale]);
    let options: Vec<u8> = [mss, scale].into_iter().flatten().flatten().collect();
    body.push((5 + options.len() as u8 / 4) << 4);
    body.push(segment.flags);
    body.extend(segment.window.to_be_bytes());
    body.extend([0; 4]);
    body.extend(&options);
    body.extend(&segment.payload);
    let sum = checksum(&[&pseudo_header(from, to, 6, body.len()), &body]).to_be_bytes();
    body[16..18].copy_from_slice(&sum);
    ipv4(to_mac, from, to, 6, &body)
}

/// The frame of a UDP datagram.
pub(crate) fn udp(to_mac: [u8; 6], from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::from(from.1.to_be_bytes());
    body.extend(to.1.to_be_bytes());
    body.extend(((8 + payload.len()) as u16).to_be_bytes());
    body.extend([0, 0]);
    body.extend(payload);
    let sum = checksum(&[&pseudo_header(from.0, to.0, 17, body.len()), &body]).to_be_bytes();
    body[6..8].copy_from_slice(&sum);
    ipv4(to_mac, from.0, to.0, 17, &body)
}

/// The frame of an ICMP echo request.
pub(crate) fn echo_request(to_mac: [u8; 6], from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let mut body = vec![8, 0, 0, 0, 0, 1, 0, 1];
    let sum = checksum(&[&body]).to_be_bytes();
    body[2..4].copy_from_slice(&sum);
    ipv4(to_mac, from, to, 1, &body)
}

/// Whether a frame is an ICMP echo reply.
pub(crate) fn is_echo_reply(frame: &[u8]) -> bool {
    frame.len() >= 42 && frame[12..14] == [0x08, 0x00] && frame[23] == 1 && frame[34] == 0
}

/// The reply to an ARP request for anything but the requester itself.
pub(crate) fn arp_reply(frame: &[u8]) -> Option<Vec<u8>> {
    let is_request = frame.len() >= 42 && frame[12..14] == [0x08, 0x06] && frame[20..22] == [0, 1];
    if !is_request || frame[28..32] == frame[38..42] {
        return None;
    }
    let mut reply = Vec::from(&frame[6..12]);
    reply.extend(PEER_MAC);
    reply.extend(&frame[12..20]);
    reply.extend([0, 2]);
    reply.extend(PEER_MAC);
    reply.extend(&frame[38..42]);
    reply.extend(&frame[22..32]);
    Some(reply)
}

/// The TCP segment in a frame; `None` for anything else.
pub(crate) fn parse_tcp(frame: &[u8]) -> Option<Segment> {
    if frame.get(12..14)? != [0x08, 0x00] || *frame.get(23)? != 6 {
        return None;
    }
    let end = 14 + usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    let body = frame.get(34..end)?;
    let word = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let long = |at: usize| u32::from_be_bytes([body[at], body[at + 1], body[at + 2], body[at + 3]]);
    let header = usize::from(body.get(12)? >> 4) * 4;
    let mut options = body.get(20..header)?;
    let (mut mss, mut scale) = (None, None);
    while let [kind, rest @ ..] = options {
        options = match (kind, rest) {
            (0, _) => &[],
            (1, _) => rest,
            (2, [4, high, low, rest @ ..]) => {
                mss = Some(u16::from_be_bytes([*high, *low]));
                rest
            }
            (3, [3, shift, rest @ ..]) => {
                scale = Some(*shift);
                rest
            }
            // The length counts its own two bytes, of which `rest` has one.
            (_, [len, ..]) => options.get(usize::from(*len).max(2)..)?,
            _ => &[],
        };
    }
    Some(Segment {
        from: word(0),
        to: word(2),
        seq: long(4),
        ack: long(8),
        flags: body[13],
        window: word(14),
        mss,
        scale,
        payload: body[header..].to_vec(),
    })
}
