//! IPv4 headers (RFC 791).

use std::net::Ipv4Addr;

use super::bytes::{be16, be32, byte};

/// A header that is wholly there, options included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ipv4<'a> {
    bytes: &'a [u8],
}

impl<'a> Ipv4<'a> {
    /// Checks version and header length; `bytes` begin at the header and may be cut anywhere after it.
    #[must_use]
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        let first = byte(bytes, 0);
        let header = usize::from(first & 0x0f) * 4;
        (bytes.len() >= 20 && first >> 4 == 4 && header >= 20 && bytes.len() >= header)
            .then_some(Self { bytes })
    }

    /// Length of the header with its options, bytes, 20 to 60.
    #[must_use]
    pub(crate) fn header_len(&self) -> usize {
        usize::from(byte(self.bytes, 0) & 0x0f) * 4
    }

    /// Length of header and payload as the header says; 0 in a packet that the network card is still to
    /// cut into segments.
    #[must_use]
    pub(crate) fn total_len(&self) -> usize {
        usize::from(be16(self.bytes, 2))
    }

    /// Identification: lwIP counts it up for each packet, so that two packets with the same one are two
    /// copies made by the path.
    #[must_use]
    pub(crate) fn id(&self) -> u16 {
        be16(self.bytes, 4)
    }

    /// Where this fragment's payload belongs, in units of eight bytes; 0 for the first and the only one.
    #[must_use]
    pub(crate) fn fragment_offset(&self) -> u16 {
        be16(self.bytes, 6) & 0x1fff
    }

    /// Whether fragments follow behind this one.
    #[must_use]
    pub(crate) fn more_fragments(&self) -> bool {
        be16(self.bytes, 6) & 0x2000 != 0
    }

    /// Number of the protocol of the payload.
    #[must_use]
    pub(crate) fn protocol(&self) -> u8 {
        byte(self.bytes, 9)
    }

    /// Sender.
    #[must_use]
    pub(crate) fn source(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(be32(self.bytes, 12))
    }

    /// Receiver.
    #[must_use]
    pub(crate) fn destination(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(be32(self.bytes, 16))
    }
}
