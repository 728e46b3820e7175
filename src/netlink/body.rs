//! Bodies of messages: a fixed header of their kind, and attributes.

use std::net::IpAddr;

const ATTRIBUTE_HEADER: usize = 4;

/// The body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body(Vec<u8>);

impl Body {
    /// Length of the header of a message about an interface (`ifinfomsg`), bytes.
    pub const LINK: usize = 16;
    /// Length of the header of a message about a route (`rtmsg`), bytes.
    pub const ROUTE: usize = 12;

    /// About the interface with this number, or 0 for one that an attribute names (`ifinfomsg`).
    #[must_use]
    pub fn link(index: u32) -> Self {
        Self::link_with(index, 0, 0)
    }

    /// The same, with `flags` (`IFF_`) that it is to have, of those in `mask`.
    #[must_use]
    pub fn link_with(index: u32, flags: u32, mask: u32) -> Self {
        // Family and type are any.
        let mut header = vec![0; 4];
        header.extend_from_slice(&index.to_ne_bytes());
        header.extend_from_slice(&flags.to_ne_bytes());
        header.extend_from_slice(&mask.to_ne_bytes());
        Self(header)
    }

    /// About an IPv4 address of an interface, with so many bits of network (`ifaddrmsg`).
    #[must_use]
    pub fn address(index: u32, prefix: u8) -> Self {
        let mut header = vec![libc::AF_INET as u8, prefix, 0, libc::RT_SCOPE_UNIVERSE];
        header.extend_from_slice(&index.to_ne_bytes());
        Self(header)
    }

    /// About the route to one address, which the attribute `RTA_DST` names (`rtmsg`).
    #[must_use]
    pub fn route(to: IpAddr) -> Self {
        let mut header = vec![0; Self::ROUTE];
        let (family, bits) = match to {
            IpAddr::V4(_) => (libc::AF_INET, 32),
            IpAddr::V6(_) => (libc::AF_INET6, 128),
        };
        (header[0], header[1]) = (family as u8, bits);
        Self(header).with_address(libc::RTA_DST, to)
    }

    /// The same, for a route that somebody set, straight to the other end of a link, in the main table.
    #[must_use]
    pub fn static_route(to: IpAddr) -> Self {
        let Self(mut header) = Self::route(to);
        header[4] = libc::RT_TABLE_MAIN;
        header[5] = libc::RTPROT_STATIC;
        header[6] = libc::RT_SCOPE_LINK;
        header[7] = libc::RTN_UNICAST;
        Self(header)
    }

    /// With an attribute.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend_from_slice(&((ATTRIBUTE_HEADER + value.len()) as u16).to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// With an attribute that is a name.
    #[must_use]
    pub fn with_name(self, kind: u16, name: &str) -> Self {
        self.with(kind, &[name.as_bytes(), &[0]].concat())
    }

    /// With an attribute that is an address.
    #[must_use]
    pub fn with_address(self, kind: u16, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(a) => self.with(kind, &a.octets()),
            IpAddr::V6(a) => self.with(kind, &a.octets()),
        }
    }

    /// With an attribute that has attributes of its own, or a body with some.
    #[must_use]
    pub fn with_nested(self, kind: u16, inner: &Self) -> Self {
        self.with(kind, &inner.0)
    }

    /// Attributes alone, to be nested.
    #[must_use]
    pub const fn nested() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The attributes of a body behind its header: each type, without the marks "nested" and "byte order", and value. What is cut
/// off ends them.
pub fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)? & 0x3fff;
        let value = rest.get(ATTRIBUTE_HEADER..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// A number in the machine's byte order; `None` beyond the end.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A number in the machine's byte order; `None` beyond the end.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_they_were_written() {
        let inner = Body::nested().with_name(1, "veth");
        let body = Body::link(7).with_name(3, "a").with_nested(18 | 0x8000, &inner).with(9, &[]);
        assert_eq!(u32_at(body.bytes(), 4), Some(7));
        let all: Vec<_> = attributes(&body.bytes()[Body::LINK..]).collect();
        assert_eq!(all, [(3, &b"a\0"[..]), (18, &inner.bytes()[..12]), (9, &[][..])]);
        assert_eq!(attributes(all[1].1).collect::<Vec<_>>(), [(1, &b"veth\0"[..])]);
    }

    #[test]
    fn attributes_that_are_cut_off_or_shorter_than_their_header_end_the_list() {
        let body = Body::nested().with(1, &[1, 2, 3, 4]).with(2, &[5]);
        for length in 0..body.bytes().len() {
            assert!(attributes(&body.bytes()[..length]).count() <= 2);
        }
        assert_eq!(attributes(&[3, 0, 1, 0, 9, 9, 9, 9]).count(), 0);
        assert_eq!(attributes(&[0; 8]).count(), 0);
    }
}
