//! TCP headers (RFC 9293, 3.1).

use std::fmt;

use super::bytes::{be16, be32, byte};

/// The control bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// The sender has sent everything.
    pub const FIN: Self = Self(0x01);
    /// Opens a connection.
    pub const SYN: Self = Self(0x02);
    /// Ends it at once.
    pub const RST: Self = Self(0x04);
    /// Hand to the application at once; means nothing here.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement number counts.
    pub const ACK: Self = Self(0x10);

    /// Whether every bit of `other` is set here.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::SYN, "SYN"),
            (Self::FIN, "FIN"),
            (Self::RST, "RST"),
            (Self::PSH, "PSH"),
            (Self::ACK, "ACK"),
        ];
        let mut comma = "";
        f.write_str("[")?;
        for (flag, name) in names {
            if self.has(flag) {
                write!(f, "{comma}{name}")?;
                comma = ", ";
            }
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A header whose fixed 20 bytes are there; its options may be cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tcp<'a> {
    bytes: &'a [u8],
}

impl<'a> Tcp<'a> {
    /// Checks lengths; `bytes` begin at the header and may be cut anywhere after its fixed part.
    #[must_use]
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        (bytes.len() >= 20 && byte(bytes, 12) >> 4 >= 5).then_some(Self { bytes })
    }

    /// Sender's port.
    #[must_use]
    pub(crate) fn source_port(&self) -> u16 {
        be16(self.bytes, 0)
    }

    /// Receiver's port.
    #[must_use]
    pub(crate) fn destination_port(&self) -> u16 {
        be16(self.bytes, 2)
    }

    /// Sequence number of the SYN, or of the first byte of payload.
    #[must_use]
    pub(crate) fn seq(&self) -> u32 {
        be32(self.bytes, 4)
    }

    /// The next sequence number that the sender expects; nothing without [`Flags::ACK`].
    #[must_use]
    pub(crate) fn ack(&self) -> u32 {
        be32(self.bytes, 8)
    }

    /// Length of the header as it says, options included, bytes, 20 to 60.
    #[must_use]
    pub(crate) fn header_len(&self) -> usize {
        usize::from(byte(self.bytes, 12) >> 4) * 4
    }

    /// Control bits.
    #[must_use]
    pub(crate) fn flags(&self) -> Flags {
        Flags(byte(self.bytes, 13))
    }

    /// Window, not scaled.
    #[must_use]
    pub(crate) fn window(&self) -> u16 {
        be16(self.bytes, 14)
    }

    /// Checksum.
    #[must_use]
    pub(crate) fn checksum(&self) -> u16 {
        be16(self.bytes, 16)
    }

    /// The options that were captured.
    #[must_use]
    pub(crate) fn options(&self) -> TcpOptions<'a> {
        let end = self.header_len().min(self.bytes.len());
        TcpOptions { rest: self.bytes.get(20..end).unwrap_or_default() }
    }
}

/// One option (RFC 9293, 3.2; RFC 7323; RFC 2018).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TcpOption<'a> {
    /// Largest segment that the sender takes, bytes.
    MaximumSegmentSize(u16),
    /// How far the sender's windows are to be shifted left.
    WindowScale(u8),
    /// Selective acknowledgements are welcome.
    SackPermitted,
    /// Ranges received beyond the acknowledgement number: pairs of 32-bit edges.
    Sack(&'a [u8]),
    /// Sender's clock and echo of the receiver's.
    Timestamps(u32, u32),
    /// Any other, by its number.
    Other(u8),
}

/// Goes through the options; ends at the end-of-options mark, at the first that is cut or malformed.
#[derive(Clone, Debug)]
pub(crate) struct TcpOptions<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for TcpOptions<'a> {
    type Item = TcpOption<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        while let [1, rest @ ..] = self.rest {
            self.rest = rest;
        }
        let (&kind, &length) = match self.rest {
            [0, ..] => return None,
            [kind, length, ..] => (kind, length),
            _ => return None,
        };
        let data = self.rest.get(2..usize::from(length))?;
        self.rest = &self.rest[usize::from(length)..];
        Some(match (kind, data) {
            (2, [a, b]) => TcpOption::MaximumSegmentSize(u16::from_be_bytes([*a, *b])),
            (3, [shift]) => TcpOption::WindowScale(*shift),
            (4, []) => TcpOption::SackPermitted,
            (5, edges) => TcpOption::Sack(edges),
            (8, edges) if edges.len() == 8 => TcpOption::Timestamps(be32(edges, 0), be32(edges, 4)),
            _ => TcpOption::Other(kind),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_options(options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0_u8; 20];
        bytes[12] = (((20 + options.len()) / 4) as u8) << 4;
        bytes.extend_from_slice(options);
        bytes
    }

    #[test]
    fn the_options_of_a_syn_are_read() {
        let bytes =
            with_options(&[2, 4, 5, 160, 1, 3, 3, 7, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0]);
        let options: Vec<_> = Tcp::new(&bytes).unwrap().options().collect();
        assert_eq!(
            options,
            [
                TcpOption::MaximumSegmentSize(1440),
                TcpOption::WindowScale(7),
                TcpOption::SackPermitted,
                TcpOption::Timestamps(1, 2)
            ]
        );
    }

    #[test]
    fn an_option_of_impossible_length_ends_the_list() {
        for options in [[2, 0, 0, 0], [2, 1, 0, 0], [3, 200, 0, 0]] {
            let bytes = with_options(&options);
            assert_eq!(Tcp::new(&bytes).unwrap().options().next(), None, "{options:?}");
        }
    }

    #[test]
    fn a_data_offset_below_the_fixed_header_is_refused() {
        let mut bytes = with_options(&[]);
        bytes[12] = 0x40;
        assert!(Tcp::new(&bytes).is_none());
    }

    #[test]
    fn flags_read_as_people_write_them() {
        assert_eq!(Flags::RST.and(Flags::ACK).to_string(), "[RST, ACK]");
        assert_eq!(Flags::default().to_string(), "[]");
    }
}
