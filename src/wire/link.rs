//! Link layers: what lies before the IP header.

use super::bytes::{be16, byte};

/// How frames of a capture begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// Ethernet II, with any number of VLAN tags up to four (802.1Q, 802.1ad).
    Ethernet,
    /// No link layer: the IP header comes first (TUN devices, cooked sockets).
    Raw,
    /// Linux "cooked" capture, 16 bytes (`LINKTYPE_LINUX_SLL`).
    LinuxSll,
    /// Linux "cooked" capture, second version, 20 bytes (`LINKTYPE_LINUX_SLL2`).
    LinuxSll2,
    /// BSD loopback: four bytes of address family in the byte order of the capturing machine, or, for
    /// OpenBSD's `LOOP`, in network order.
    Null,
}

/// Which IP the link layer announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkKind {
    /// Version 4.
    Ipv4,
    /// Version 6.
    Ipv6,
}

/// What a frame carries: the IP version and where its header begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Which header.
    pub kind: NetworkKind,
    /// Length of everything before it, bytes.
    pub offset: usize,
}

const TAGS_AT_MOST: usize = 4;

impl Link {
    /// From the link type of a pcap header, a pcapng interface block or libpcap's `datalink()`; `None` for
    /// one that is not read here.
    #[must_use]
    pub const fn from_link_type(link_type: u32) -> Option<Self> {
        // 12 and 14 are DLT_RAW of BSDs, 101 LINKTYPE_RAW, 228 and 229 IPv4 and IPv6 alone.
        Some(match link_type {
            1 => Self::Ethernet,
            12 | 14 | 101 | 228 | 229 => Self::Raw,
            113 => Self::LinuxSll,
            276 => Self::LinuxSll2,
            0 | 108 => Self::Null,
            _ => return None,
        })
    }

    /// The number a capture file names this link by.
    #[must_use]
    pub const fn link_type(self) -> u32 {
        match self {
            Self::Ethernet => 1,
            Self::Raw => 101,
            Self::LinuxSll => 113,
            Self::LinuxSll2 => 276,
            Self::Null => 0,
        }
    }

    /// Finds the IP header; `None` when the frame is too short or carries something else.
    #[must_use]
    pub fn network(self, frame: &[u8]) -> Option<Network> {
        match self {
            Self::Ethernet => by_ethertype(frame, 12),
            Self::LinuxSll => by_ethertype(frame, 14),
            Self::LinuxSll2 => {
                let network = tagged(frame, be16(frame, 0), 20)?;
                (frame.len() >= network.offset).then_some(network)
            }
            Self::Null => by_version(frame, 4),
            Self::Raw => by_version(frame, 0),
        }
    }
}

/// The two bytes at `at` are the type of what follows them.
fn by_ethertype(frame: &[u8], at: usize) -> Option<Network> {
    if frame.len() < at + 2 {
        return None;
    }
    tagged(frame, be16(frame, at), at + 2)
}

/// Steps over VLAN tags: each is two bytes of tag and two of the next type.
fn tagged(frame: &[u8], mut ethertype: u16, mut offset: usize) -> Option<Network> {
    for _ in 0..=TAGS_AT_MOST {
        let kind = match ethertype {
            0x0800 => NetworkKind::Ipv4,
            0x86dd => NetworkKind::Ipv6,
            0x8100 | 0x88a8 | 0x9100 if frame.len() >= offset + 4 => {
                ethertype = be16(frame, offset + 2);
                offset += 4;
                continue;
            }
            _ => return None,
        };
        return Some(Network { kind, offset });
    }
    None
}

/// The address family in front has one value for IPv4 and four for IPv6, in either byte order; the version
/// in the IP header itself has one.
fn by_version(frame: &[u8], offset: usize) -> Option<Network> {
    if frame.len() <= offset {
        return None;
    }
    let kind = match byte(frame, offset) >> 4 {
        4 => NetworkKind::Ipv4,
        6 => NetworkKind::Ipv6,
        _ => return None,
    };
    Some(Network { kind, offset })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(link: Link, frame: &[u8]) -> Option<(NetworkKind, usize)> {
        link.network(frame).map(|n| (n.kind, n.offset))
    }

    #[test]
    fn ethernet_types_lead_to_their_ip_version() {
        let mut frame = [0_u8; 15];
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        assert_eq!(found(Link::Ethernet, &frame), Some((NetworkKind::Ipv4, 14)));
        frame[12..14].copy_from_slice(&[0x86, 0xdd]);
        assert_eq!(found(Link::Ethernet, &frame), Some((NetworkKind::Ipv6, 14)));
        frame[12..14].copy_from_slice(&[0x08, 0x06]);
        assert_eq!(found(Link::Ethernet, &frame), None);
    }

    #[test]
    fn vlan_tags_are_stepped_over_even_two_of_them() {
        let mut frame = [0_u8; 22];
        frame[12..14].copy_from_slice(&[0x88, 0xa8]);
        frame[16..18].copy_from_slice(&[0x81, 0x00]);
        frame[20..22].copy_from_slice(&[0x08, 0x00]);
        assert_eq!(found(Link::Ethernet, &frame), Some((NetworkKind::Ipv4, 22)));
    }

    #[test]
    fn cooked_captures_name_the_protocol_at_their_own_place() {
        let mut sll = [0_u8; 20];
        sll[14..16].copy_from_slice(&[0x08, 0x00]);
        assert_eq!(found(Link::LinuxSll, &sll), Some((NetworkKind::Ipv4, 16)));
        let mut sll2 = [0_u8; 24];
        sll2[..2].copy_from_slice(&[0x86, 0xdd]);
        assert_eq!(found(Link::LinuxSll2, &sll2), Some((NetworkKind::Ipv6, 20)));
    }

    #[test]
    fn loopback_and_raw_frames_are_told_by_the_ip_version() {
        assert_eq!(found(Link::Null, &[2, 0, 0, 0, 0x45]), Some((NetworkKind::Ipv4, 4)));
        assert_eq!(found(Link::Null, &[0, 0, 0, 30, 0x60]), Some((NetworkKind::Ipv6, 4)));
        assert_eq!(found(Link::Raw, &[0x60]), Some((NetworkKind::Ipv6, 0)));
        assert_eq!(found(Link::Raw, &[0x10]), None);
    }

    #[test]
    fn a_link_keeps_its_number() {
        for link in [Link::Ethernet, Link::Raw, Link::LinuxSll, Link::LinuxSll2, Link::Null] {
            assert_eq!(Link::from_link_type(link.link_type()), Some(link));
        }
        assert_eq!(Link::from_link_type(127), None);
    }
}
