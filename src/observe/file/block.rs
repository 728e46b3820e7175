//! The pcapng blocks that the writer makes, little-endian.

use super::pcapng::{
    BYTE_ORDER_MAGIC, ENHANCED_PACKET, INTERFACE, OPTION_DROP_COUNT, OPTION_IFDROP, OPTION_TSRESOL,
    SECTION_HEADER, STATISTICS,
};
use crate::capture::{CaptureStats, Travel};

const OPTION_END: u16 = 0;
const OPTION_COMMENT: u16 = 1;
const OPTION_OS: u16 = 3;
const OPTION_APPLICATION: u16 = 4;
const OPTION_NAME: u16 = 2;
const OPTION_FLAGS: u16 = 2;
const OPTION_START: u16 = 2;
const OPTION_STOP: u16 = 3;
const OPTION_RECEIVED: u16 = 4;
const OPTION_OS_DROP: u16 = 7;
const OPTION_DELIVERED: u16 = 8;
/// An option's length is 16 bits; a comment is kept far below.
const LONGEST_TEXT: usize = 4096;

/// A packet as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) at_ns: i64,
    pub(super) bytes: &'a [u8],
    pub(super) original_len: u32,
    pub(super) travel: Travel,
    /// Packets that are missing before it.
    pub(super) missed: u32,
    pub(super) comment: Option<&'a str>,
}

/// What is known at the end.
#[derive(Clone, Debug)]
pub(super) struct Summary<'a> {
    pub(super) first_ns: i64,
    pub(super) last_ns: i64,
    pub(super) stats: Option<CaptureStats>,
    pub(super) written: u64,
    /// Packets that the writer could not keep up with.
    pub(super) missed: u64,
    pub(super) comment: Option<&'a str>,
}

pub(super) fn section_header(out: &mut Vec<u8>, application: &str) {
    let start = begin(out, SECTION_HEADER);
    out.extend_from_slice(&BYTE_ORDER_MAGIC.to_le_bytes());
    out.extend_from_slice(&[1, 0, 0, 0]); // version 1.0
    out.extend_from_slice(&u64::MAX.to_le_bytes()); // section length: not known
    option(out, OPTION_OS, std::env::consts::OS.as_bytes());
    option(out, OPTION_APPLICATION, application.as_bytes());
    option(out, OPTION_END, &[]);
    finish(out, start);
}

pub(super) fn interface(out: &mut Vec<u8>, link: u16, snap_length: u32, name: &str) {
    let start = begin(out, INTERFACE);
    out.extend_from_slice(&link.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&snap_length.to_le_bytes());
    option(out, OPTION_NAME, text(name));
    option(out, OPTION_TSRESOL, &[9]); // nanoseconds
    option(out, OPTION_END, &[]);
    finish(out, start);
}

pub(super) fn enhanced_packet(out: &mut Vec<u8>, packet: &Packet<'_>) {
    let start = begin(out, ENHANCED_PACKET);
    out.extend_from_slice(&0_u32.to_le_bytes());
    timestamp(out, packet.at_ns);
    let length = u32::try_from(packet.bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&packet.original_len.to_le_bytes());
    out.extend_from_slice(packet.bytes);
    pad(out);
    let before = out.len();
    let direction: u32 = match packet.travel {
        Travel::Incoming => 1,
        Travel::Outgoing => 2,
        Travel::Unknown => 0,
    };
    if direction != 0 {
        option(out, OPTION_FLAGS, &direction.to_le_bytes());
    }
    if packet.missed > 0 {
        option(out, OPTION_DROP_COUNT, &u64::from(packet.missed).to_le_bytes());
    }
    if let Some(comment) = packet.comment {
        option(out, OPTION_COMMENT, text(comment));
    }
    if out.len() > before {
        option(out, OPTION_END, &[]);
    }
    finish(out, start);
}

pub(super) fn statistics(out: &mut Vec<u8>, summary: &Summary<'_>) {
    let start = begin(out, STATISTICS);
    out.extend_from_slice(&0_u32.to_le_bytes());
    timestamp(out, summary.last_ns);
    for (code, at_ns) in [(OPTION_START, summary.first_ns), (OPTION_STOP, summary.last_ns)] {
        let mut value = Vec::with_capacity(8);
        timestamp(&mut value, at_ns);
        option(out, code, &value);
    }
    let dropped = summary.stats.map_or(0, |s| s.dropped);
    if let Some(stats) = summary.stats {
        option(out, OPTION_RECEIVED, &stats.packets.to_le_bytes());
        option(out, OPTION_OS_DROP, &dropped.to_le_bytes());
    }
    option(out, OPTION_IFDROP, &(dropped + summary.missed).to_le_bytes());
    option(out, OPTION_DELIVERED, &summary.written.to_le_bytes());
    if let Some(comment) = summary.comment {
        option(out, OPTION_COMMENT, text(comment));
    }
    option(out, OPTION_END, &[]);
    finish(out, start);
}

fn begin(out: &mut Vec<u8>, kind: u32) -> usize {
    let start = out.len();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    start
}

/// Writes the block's length at both its ends.
fn finish(out: &mut Vec<u8>, start: usize) {
    let length = u32::try_from(out.len() + 4 - start).unwrap_or(u32::MAX).to_le_bytes();
    out[start + 4..start + 8].copy_from_slice(&length);
    out.extend_from_slice(&length);
}

fn timestamp(out: &mut Vec<u8>, at_ns: i64) {
    let units = at_ns.max(0) as u64;
    out.extend_from_slice(&((units >> 32) as u32).to_le_bytes());
    out.extend_from_slice(&(units as u32).to_le_bytes());
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
    pad(out);
}

/// Blocks begin at multiples of four in `out`, so this is the padding within the block.
fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

/// The bytes of `s`, cut at a character below the limit.
fn text(s: &str) -> &[u8] {
    &s.as_bytes()[..s.floor_char_boundary(LONGEST_TEXT)]
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;
