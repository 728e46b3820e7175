//! IPv6 headers (RFC 8200) with their extension headers.

use std::net::Ipv6Addr;

use super::bytes::{be16, be32, byte};

/// Enough for every packet that routers let pass; more is not followed.
const EXTENSIONS_AT_MOST: usize = 12;

/// A fixed header that is wholly there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ipv6<'a> {
    bytes: &'a [u8],
}

/// Where the extension headers end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transport {
    /// Protocol number.
    pub(super) protocol: u8,
    /// Length of all headers before it, the fixed one included, bytes.
    pub(super) offset: usize,
    /// Where it is only a part of a packet.
    pub(super) part: Option<Part>,
}

/// A fragment's place in its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// What the fragments of one packet have in common.
    pub(super) id: u32,
    /// Where its payload belongs, bytes.
    pub(super) start: u32,
    /// Whether others follow behind it.
    pub(super) more: bool,
}

impl<'a> Ipv6<'a> {
    /// Length of the fixed header, bytes.
    pub(crate) const HEADER_LEN: usize = 40;

    /// Checks version and length; `bytes` begin at the header and may be cut anywhere after it.
    #[must_use]
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        (bytes.len() >= Self::HEADER_LEN && byte(bytes, 0) >> 4 == 6).then_some(Self { bytes })
    }

    /// Length of what follows the fixed header; 0 in a packet larger than 65,535 bytes or still to be cut
    /// into segments.
    #[must_use]
    pub(crate) fn payload_len(&self) -> usize {
        usize::from(be16(self.bytes, 4))
    }

    /// Sender.
    #[must_use]
    pub(crate) fn source(&self) -> Ipv6Addr {
        self.address(8)
    }

    /// Receiver.
    #[must_use]
    pub(crate) fn destination(&self) -> Ipv6Addr {
        self.address(24)
    }

    fn address(&self, at: usize) -> Ipv6Addr {
        let bytes = self.bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        Ipv6Addr::from_bits(u128::from_be_bytes(bytes))
    }

    /// Steps over the extension headers; `None` where they are cut or endless. In a fragment that is not the first,
    /// what follows the fragment header is no header.
    pub(super) fn transport(&self) -> Option<Transport> {
        let mut protocol = byte(self.bytes, 6);
        let mut offset = Self::HEADER_LEN;
        let mut part = None;
        for _ in 0..EXTENSIONS_AT_MOST {
            let length = match protocol {
                // Hop-by-hop, routing, destination options, mobility, HIP, shim6: units of 8 after the first.
                0 | 43 | 60 | 135 | 139 | 140 => (usize::from(*self.bytes.get(offset + 1)?) + 1) * 8,
                // Authentication: units of 4, two of them not counted.
                51 => (usize::from(*self.bytes.get(offset + 1)?) + 2) * 4,
                44 => {
                    self.bytes.get(offset + 7)?;
                    let place = be16(self.bytes, offset + 2);
                    let here = Part {
                        id: be32(self.bytes, offset + 4),
                        start: u32::from(place & !7),
                        more: place & 1 == 1,
                    };
                    // A packet that says to be the only fragment of itself is whole (RFC 6946).
                    if here.start != 0 || here.more {
                        part = Some(here);
                    }
                    if here.start != 0 {
                        return Some(Transport {
                            protocol: byte(self.bytes, offset),
                            offset: offset + 8,
                            part,
                        });
                    }
                    8
                }
                _ => return Some(Transport { protocol, offset, part }),
            };
            protocol = *self.bytes.get(offset)?;
            offset += length;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(next: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0_u8; Ipv6::HEADER_LEN];
        bytes[0] = 0x60;
        bytes[6] = next;
        bytes.extend_from_slice(rest);
        bytes
    }

    #[test]
    fn extension_headers_are_stepped_over() {
        let mut rest = vec![60, 0, 0, 0, 0, 0, 0, 0];
        rest.extend_from_slice(&[6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let bytes = header(0, &rest);
        assert_eq!(
            Ipv6::new(&bytes).unwrap().transport(),
            Some(Transport { protocol: 6, offset: 64, part: None })
        );
    }

    #[test]
    fn a_fragment_header_tells_the_place_in_the_packet() {
        let of = |rest: &[u8]| Ipv6::new(&header(44, rest)).unwrap().transport();
        let part = |start, more| Some(Part { id: 7, start, more });
        let at = |part| Some(Transport { protocol: 6, offset: 48, part });
        assert_eq!(of(&[6, 0, 0, 1, 0, 0, 0, 7]), at(part(0, true)));
        assert_eq!(of(&[6, 0, 0, 8, 0, 0, 0, 7]), at(part(8, false)));
        assert_eq!(of(&[6, 0, 0, 0, 0, 0, 0, 7]), at(None));
        assert_eq!(of(&[6, 0, 0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn extension_headers_without_end_are_given_up() {
        let bytes = header(0, &[0; 8 * 40]);
        assert_eq!(Ipv6::new(&bytes).unwrap().transport(), None);
    }
}
