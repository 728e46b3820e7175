//! Classic pcap (draft-ietf-opsawg-pcap): one header, then packets; both byte orders, microseconds and
//! nanoseconds, and the variant of Alexey Kuznetsov's with eight more bytes a packet.

use super::reader::{Damage, Found, MAX_RECORD, Step};
use super::source::{Fill, Order, Source};

/// Length of the file header.
const FILE_HEADER: usize = 24;

/// How the packets of a classic file are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pcap {
    order: Order,
    /// Nanoseconds in a unit of the fraction.
    unit_ns: i64,
    record_header: usize,
    link: u16,
}

impl Pcap {
    /// Whether the first bytes are a classic file's.
    pub(super) fn is_magic(header: &[u8]) -> bool {
        Self::variant(header).is_some()
    }

    /// Byte order, unit of the fraction, and length of a packet's header.
    fn variant(header: &[u8]) -> Option<(Order, i64, usize)> {
        let magic = u32::from_le_bytes(*header.first_chunk()?);
        Some(match magic {
            0xa1b2_c3d4 => (Order::Little, 1000, 16),
            0xd4c3_b2a1 => (Order::Big, 1000, 16),
            0xa1b2_3c4d => (Order::Little, 1, 16),
            0x4d3c_b2a1 => (Order::Big, 1, 16),
            0xa1b2_cd34 => (Order::Little, 1000, 24),
            0x34cd_b2a1 => (Order::Big, 1000, 24),
            _ => return None,
        })
    }

    /// Reads the file header; `None` when the first bytes are not one.
    pub(super) fn of_header(header: &[u8]) -> Option<Self> {
        let (order, unit_ns, record_header) = Self::variant(header)?;
        // The upper half of the word says how long a frame check sequence is.
        let link = (order.u32(header.get(..FILE_HEADER)?, 20)? & 0xffff) as u16;
        Some(Self { order, unit_ns, record_header, link })
    }

    /// The header's length.
    pub(super) const fn header_length() -> usize {
        FILE_HEADER
    }

    pub(super) fn next(&self, source: &mut Source) -> Step {
        match source.fill(self.record_header) {
            Fill::Ready => {}
            Fill::Ended(0) => return Step::Complete,
            Fill::Ended(there) => return Step::Truncated { missing: (self.record_header - there) as u64 },
            Fill::Failed(e) => return Step::Failed(e),
        }
        let header = source.bytes();
        let word = |at| self.order.u32(header, at).unwrap_or_default();
        let (seconds, fraction, captured, original_len) = (word(0), word(4), word(8), word(12));
        if captured > MAX_RECORD {
            return Step::Damaged(Damage::RecordTooLong { bytes: captured });
        }
        let length = captured as usize;
        let whole = self.record_header + length;
        match source.fill(whole) {
            Fill::Ready => {}
            Fill::Ended(there) => return Step::Truncated { missing: (whole - there) as u64 },
            Fill::Failed(e) => return Step::Failed(e),
        }
        let start = source.position() + self.record_header;
        source.skip(whole);
        Step::Packet(Found {
            at_ns: i64::from(seconds) * 1_000_000_000 + i64::from(fraction) * self.unit_ns,
            link: self.link,
            start,
            length,
            original_len,
            dropped_before: 0,
        })
    }
}
