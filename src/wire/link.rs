//! Link layers: how the frames of a capture begin.

use super::layers::{self, Layer};
use super::{radio, wifi};

/// How frames of a capture begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// Ethernet II and 802.3, with whatever `layers` steps over: VLAN tags, PPPoE, MPLS, LLC.
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
    /// PPP, with or without the address and control bytes of HDLC (RFC 1661, RFC 1662).
    Ppp,
    /// PPP behind a byte that says who sent it (`LINKTYPE_PPP_PPPD`).
    PppWithDirection,
    /// A PPPoE session without its Ethernet header (RFC 2516).
    PppEther,
    /// Cisco HDLC: address, control, Ethernet type.
    CiscoHdlc,
    /// SLIP (RFC 1055), as a rule behind 16 bytes of libpcap's own.
    Slip,
    /// The netfilter log: attributes, of which one is the packet (`LINKTYPE_NFLOG`).
    Nflog,
    /// 802.2 LLC and SNAP without anything before it (`LINKTYPE_ATM_RFC1483`).
    Llc,
    /// An MPLS label stack.
    Mpls,
    /// 802.11 as a sniffer hears it.
    Wifi,
    /// The same behind a radiotap header.
    Radiotap,
    /// The same behind a PPI header, which may hold another link as well.
    Ppi,
    /// The same behind an AVS header.
    Avs,
}

/// Which IP the link layer announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetworkKind {
    /// Version 4.
    Ipv4,
    /// Version 6.
    Ipv6,
}

/// What a frame carries: the IP version and where its header begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    /// Which header.
    pub(crate) kind: NetworkKind,
    /// Length of everything before it, bytes.
    pub(crate) offset: usize,
}

impl Link {
    /// Every link that is read.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 17] = [
        Self::Ethernet,
        Self::Raw,
        Self::LinuxSll,
        Self::LinuxSll2,
        Self::Null,
        Self::Ppp,
        Self::PppWithDirection,
        Self::PppEther,
        Self::CiscoHdlc,
        Self::Slip,
        Self::Nflog,
        Self::Llc,
        Self::Mpls,
        Self::Wifi,
        Self::Radiotap,
        Self::Ppi,
        Self::Avs,
    ];

    /// From the link type of a pcap header, a pcapng interface block or libpcap's `datalink()`; `None` for
    /// one that is not read here.
    #[must_use]
    pub const fn from_link_type(link_type: u32) -> Option<Self> {
        // 12 and 14 are DLT_RAW of BSDs, 101 LINKTYPE_RAW, 228 and 229 IPv4 and IPv6 alone; 50 is PPP that may be
        // Cisco HDLC, which PPP's reader tells apart.
        Some(match link_type {
            1 => Self::Ethernet,
            12 | 14 | 101 | 228 | 229 => Self::Raw,
            113 => Self::LinuxSll,
            276 => Self::LinuxSll2,
            0 | 108 => Self::Null,
            9 | 50 => Self::Ppp,
            166 | 204 => Self::PppWithDirection,
            51 => Self::PppEther,
            104 => Self::CiscoHdlc,
            8 => Self::Slip,
            239 => Self::Nflog,
            100 => Self::Llc,
            219 => Self::Mpls,
            105 => Self::Wifi,
            127 => Self::Radiotap,
            163 => Self::Avs,
            192 => Self::Ppi,
            _ => return None,
        })
    }

    /// The number a capture file names this link by.
    #[must_use]
    #[cfg(test)]
    pub(crate) const fn link_type(self) -> u32 {
        match self {
            Self::Ethernet => 1,
            Self::Raw => 101,
            Self::LinuxSll => 113,
            Self::LinuxSll2 => 276,
            Self::Null => 0,
            Self::Ppp => 9,
            Self::PppWithDirection => 166,
            Self::PppEther => 51,
            Self::CiscoHdlc => 104,
            Self::Slip => 8,
            Self::Nflog => 239,
            Self::Llc => 100,
            Self::Mpls => 219,
            Self::Wifi => 105,
            Self::Radiotap => 127,
            Self::Ppi => 192,
            Self::Avs => 163,
        }
    }

    /// What a frame of this link begins with.
    const fn first_layer(self) -> (Layer, usize) {
        match self {
            Self::Ethernet => (Layer::Ethernet, 0),
            Self::Raw => (Layer::Ip, 0),
            Self::LinuxSll => (Layer::Cooked, 14),
            Self::LinuxSll2 => (Layer::Cooked2, 0),
            Self::Null => (Layer::Ip, 4),
            Self::Ppp => (Layer::Ppp, 0),
            Self::PppWithDirection => (Layer::Ppp, 1),
            Self::PppEther => (Layer::Pppoe, 0),
            Self::CiscoHdlc => (Layer::EtherType, 2),
            Self::Slip => (Layer::Slip, 0),
            Self::Nflog => (Layer::Nflog, 0),
            Self::Llc => (Layer::Llc, 0),
            Self::Mpls => (Layer::Mpls, 0),
            Self::Wifi | Self::Radiotap | Self::Ppi | Self::Avs => (Layer::Wifi(self), 0),
        }
    }

    /// Whether its frames are 802.11's.
    #[must_use]
    pub const fn is_air(self) -> bool {
        matches!(self, Self::Wifi | Self::Radiotap | Self::Ppi | Self::Avs)
    }

    /// Whether a frame says itself that it may have been heard before: 802.11 repeats and relays.
    #[inline]
    pub(super) fn may_be_heard_again(self, frame: &[u8]) -> bool {
        self.is_air() && wifi::may_be_heard_again(self, frame)
    }

    /// Finds the IP header.
    ///
    /// # Errors
    /// Says what there is instead.
    #[inline]
    pub(super) fn network(self, frame: &[u8]) -> Result<Network, super::NotSegment> {
        // Nearly every frame.
        if self == Self::Ethernet && frame.get(12..14) == Some(&[0x08, 0x00]) {
            return Ok(Network { kind: NetworkKind::Ipv4, offset: 14 });
        }
        if self == Self::Ppi
            && let Some((link_type, length)) = radio::ppi_carries(frame)
            && let Some(inner) = Self::from_link_type(link_type).filter(|inner| !inner.is_air())
        {
            let (layer, offset) = inner.first_layer();
            return layers::network(frame, layer, length + offset);
        }
        let (layer, offset) = self.first_layer();
        layers::network(frame, layer, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(link: Link, frame: &[u8]) -> Option<(NetworkKind, usize)> {
        link.network(frame).ok().map(|n| (n.kind, n.offset))
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
        for link in Link::ALL {
            assert_eq!(Link::from_link_type(link.link_type()), Some(link));
        }
        assert_eq!(Link::from_link_type(189), None);
    }
}
