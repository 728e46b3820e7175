//! pcapng (draft-ietf-opsawg-pcapng): sections of blocks; packets are in enhanced, simple and the older
//! packet blocks, and what was dropped in interface statistics.

use super::reader::{Damage, Found, MAX_RECORD, Step};
use super::source::{Fill, Order, Source};

pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
pub(super) const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
pub(super) const STATISTICS: u32 = 5;
pub(super) const ENHANCED_PACKET: u32 = 6;
pub(super) const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

pub(super) const OPTION_TSRESOL: u16 = 9;
const OPTION_TSOFFSET: u16 = 14;
pub(super) const OPTION_IFDROP: u16 = 5;
const OPTION_OSDROP: u16 = 7;
pub(super) const OPTION_DROP_COUNT: u16 = 4;

/// A block with nothing in it: type, length, length.
const LEAST_BLOCK: usize = 12;
/// Fixed part of an enhanced packet block before the packet's bytes, its type and length included.
const ENHANCED_HEADER: usize = 28;
/// More interfaces than any machine has; a bound on what a hostile file can make us keep.
const MAX_INTERFACES: usize = 4096;

/// Time units of an interface.
#[derive(Clone, Copy, Debug)]
enum Scale {
    /// Nanoseconds in a unit.
    Times(u64),
    /// Units in a second, where that is not a whole number of nanoseconds.
    PerSecond(u128),
}

impl Scale {
    /// From if_tsresol: a power of ten, or of two when the upper bit is set.
    fn of(resolution: u8) -> Self {
        let power = u32::from(resolution & 0x7f);
        if resolution & 0x80 == 0 {
            match 9_u32.checked_sub(power) {
                Some(zeros) => Self::Times(10_u64.pow(zeros)),
                None => Self::PerSecond(10_u128.checked_pow(power).unwrap_or(u128::MAX)),
            }
        } else {
            Self::PerSecond(1_u128.checked_shl(power).unwrap_or(u128::MAX))
        }
    }

    #[inline]
    fn nanoseconds(self, units: u64) -> i64 {
        match self {
            Self::Times(ns) => i64::try_from(units.saturating_mul(ns)).unwrap_or(i64::MAX),
            Self::PerSecond(units_a_second) => {
                let ns = u128::from(units).saturating_mul(1_000_000_000) / units_a_second;
                i64::try_from(ns).unwrap_or(i64::MAX)
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: u16,
    snap_length: u32,
    scale: Scale,
    offset_ns: i64,
    dropped: u64,
}

/// Where we are in a pcapng file.
#[derive(Debug)]
pub(super) struct Pcapng {
    order: Order,
    interfaces: Vec<Interface>,
    /// Drops of earlier sections.
    dropped: u64,
    /// Time of the packet before; a simple packet block has none of its own.
    last_ns: i64,
}

impl Pcapng {
    pub(super) const fn new() -> Self {
        Self { order: Order::Little, interfaces: Vec::new(), dropped: 0, last_ns: 0 }
    }

    /// Packets that the file itself says were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.interfaces.iter().fold(self.dropped, |sum, i| sum.saturating_add(i.dropped))
    }

    /// Reads on to the next packet.
    pub(super) fn next(&mut self, source: &mut Source) -> Step {
        loop {
            let whole = match self.block(source) {
                Ok(whole) => whole,
                Err(step) => return step,
            };
            let at = source.position();
            let result = self.content(&source.bytes()[..whole]);
            match result {
                Ok(content) => {
                    source.skip(whole);
                    if let Some(mut found) = content {
                        self.last_ns = found.at_ns;
                        found.start += at;
                        return Step::Packet(found);
                    }
                }
                Err(damage) => return Step::Damaged(damage),
            }
        }
    }

    /// Brings the next block into the window and returns its length.
    fn block(&mut self, source: &mut Source) -> Result<usize, Step> {
        match source.fill(LEAST_BLOCK) {
            Fill::Ready => {}
            Fill::Ended(0) => return Err(Step::Complete),
            Fill::Ended(there) => return Err(Step::Truncated { missing: (LEAST_BLOCK - there) as u64 }),
            Fill::Failed(e) => return Err(Step::Failed(e)),
        }
        let head = source.bytes();
        if self.order.u32(head, 0) == Some(SECTION_HEADER) {
            // The same in both byte orders; what follows tells which it is.
            self.order = match (Order::Little.u32(head, 8), Order::Big.u32(head, 8)) {
                (Some(BYTE_ORDER_MAGIC), _) => Order::Little,
                (_, Some(BYTE_ORDER_MAGIC)) => Order::Big,
                _ => return Err(Step::Damaged(Damage::ByteOrder)),
            };
        }
        let length = self.order.u32(head, 4).unwrap_or_default();
        let whole = length as usize;
        if whole < LEAST_BLOCK || !whole.is_multiple_of(4) {
            return Err(Step::Damaged(Damage::BlockLength { bytes: length }));
        }
        if length > MAX_RECORD {
            return Err(Step::Damaged(Damage::RecordTooLong { bytes: length }));
        }
        match source.fill(whole) {
            Fill::Ready => {}
            Fill::Ended(there) => return Err(Step::Truncated { missing: (whole - there) as u64 }),
            Fill::Failed(e) => return Err(Step::Failed(e)),
        }
        if self.order.u32(source.bytes(), whole - 4) != Some(length) {
            return Err(Step::Damaged(Damage::BlockTrailer));
        }
        Ok(whole)
    }

    /// Looks into a block; a packet's place is relative to it.
    fn content(&mut self, block: &[u8]) -> Result<Option<Found>, Damage> {
        let body_end = block.len() - 4;
        let word = |at: usize| self.order.u32(&block[..body_end], at).ok_or(Damage::BlockContent);
        match word(0)? {
            ENHANCED_PACKET => {
                let (interface, high, low) = (word(8)? as usize, word(12)?, word(16)?);
                let (captured, original_len) = (word(20)?, word(24)?);
                let mut found =
                    self.packet(block, interface, (high, low), ENHANCED_HEADER, captured, original_len)?;
                let after = ENHANCED_HEADER + found.length.next_multiple_of(4);
                if after < body_end {
                    found.dropped_before = options(self.order, &block[after..body_end])
                        .find(|(code, _)| *code == OPTION_DROP_COUNT)
                        .and_then(|(_, value)| self.order.u64(value, 0))
                        .unwrap_or_default();
                }
                Ok(Some(found))
            }
            SIMPLE_PACKET => {
                let original_len = word(8)?;
                let interface = self.interfaces.first().ok_or(Damage::UnknownInterface)?;
                let limit = if interface.snap_length == 0 { u32::MAX } else { interface.snap_length };
                let captured = original_len.min(limit).min((body_end - 12) as u32);
                let (link, length) = (interface.link, captured as usize);
                Ok(Some(Found {
                    at_ns: self.last_ns,
                    link,
                    start: 12,
                    length,
                    original_len,
                    dropped_before: 0,
                }))
            }
            OLD_PACKET => {
                let interface = self.order.u16(block, 8).ok_or(Damage::BlockContent)?;
                let (high, low, captured, original_len) = (word(12)?, word(16)?, word(20)?, word(24)?);
                let interface = usize::from(interface);
                let mut found =
                    self.packet(block, interface, (high, low), ENHANCED_HEADER, captured, original_len)?;
                // All ones where the number is not known.
                let drops = self.order.u16(block, 10).filter(|n| *n != u16::MAX);
                found.dropped_before = drops.unwrap_or(0).into();
                Ok(Some(found))
            }
            INTERFACE => self.interface(&block[..body_end]).map(|()| None),
            STATISTICS => {
                let interface = word(8)? as usize;
                // What the interface dropped may count what the system dropped as well.
                let drop = options(self.order, block.get(20..body_end).unwrap_or_default())
                    .filter(|(code, _)| matches!(*code, OPTION_IFDROP | OPTION_OSDROP))
                    .filter_map(|(_, value)| self.order.u64(value, 0))
                    .max();
                if let (Some(interface), Some(drop)) = (self.interfaces.get_mut(interface), drop) {
                    interface.dropped = drop; // a running total
                }
                Ok(None)
            }
            SECTION_HEADER => {
                self.dropped = self.dropped();
                self.interfaces.clear();
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    #[inline]
    fn packet(
        &self,
        block: &[u8],
        interface: usize,
        (high, low): (u32, u32),
        start: usize,
        captured: u32,
        original_len: u32,
    ) -> Result<Found, Damage> {
        let interface = self.interfaces.get(interface).ok_or(Damage::UnknownInterface)?;
        let length = captured as usize;
        if length > block.len().saturating_sub(start + 4) {
            return Err(Damage::BlockContent);
        }
        let units = u64::from(high) << 32 | u64::from(low);
        let at_ns = interface.scale.nanoseconds(units).saturating_add(interface.offset_ns);
        Ok(Found { at_ns, link: interface.link, start, length, original_len, dropped_before: 0 })
    }

    fn interface(&mut self, block: &[u8]) -> Result<(), Damage> {
        let order = self.order;
        let link = order.u16(block, 8).ok_or(Damage::BlockContent)?;
        let snap_length = order.u32(block, 12).ok_or(Damage::BlockContent)?;
        if self.interfaces.len() >= MAX_INTERFACES {
            return Err(Damage::TooManyInterfaces);
        }
        let mut interface = Interface { link, snap_length, scale: Scale::of(6), offset_ns: 0, dropped: 0 };
        for (code, value) in options(order, block.get(16..).unwrap_or_default()) {
            match (code, value) {
                (OPTION_TSRESOL, [resolution, ..]) => interface.scale = Scale::of(*resolution),
                (OPTION_TSOFFSET, value) => {
                    let seconds = order.u64(value, 0).unwrap_or_default() as i64;
                    interface.offset_ns = seconds.saturating_mul(1_000_000_000);
                }
                _ => {}
            }
        }
        self.interfaces.push(interface);
        Ok(())
    }
}

/// The options of a block, until the end mark or the first that does not fit.
fn options(order: Order, mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (code, length) = (order.u16(rest, 0)?, usize::from(order.u16(rest, 2)?));
        let value = rest.get(4..4 + length)?;
        rest = rest.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
        (code != 0).then_some((code, value))
    })
}
