//! 802.11 frames as a sniffer in monitor mode hears them, and the radiotap header before them.

use super::bytes::{be16, byte};
use super::layers::{Layer, Step};
use super::{NotSegment, Unread};

const TO_ACCESS_POINT: u8 = 0x01;
const FROM_ACCESS_POINT: u8 = 0x02;
const RETRY: u8 = 0x08;
const PROTECTED: u8 = 0x40;
const ORDER: u8 = 0x80;

/// What of the radiotap header matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Radiotap {
    /// Its length.
    length: usize,
    /// Whether the 802.11 header is padded to four bytes.
    padded: bool,
    /// Whether the frame's check sequence was found to be wrong.
    bad: bool,
}

/// Version 0; length and the words that say which fields there are, little-endian; the flags follow the timestamp.
fn radiotap(frame: &[u8]) -> Option<Radiotap> {
    let word = |at: usize| Some(u32::from_le_bytes(*frame.get(at..)?.first_chunk()?));
    let length = usize::from(be16(frame, 2).swap_bytes());
    if byte(frame, 0) != 0 || frame.len() < length || length < 8 {
        return None;
    }
    let present = word(4)?;
    let mut fields = 8;
    let mut more = present;
    while more >> 31 == 1 {
        more = word(fields)?;
        fields += 4;
    }
    if present & 1 == 1 {
        fields = fields.next_multiple_of(8) + 8;
    }
    let flags = if present & 2 == 2 { *frame.get(..length)?.get(fields)? } else { 0 };
    Some(Radiotap { length, padded: flags & 0x20 != 0, bad: flags & 0x40 != 0 })
}

/// Where the 802.11 header begins, and whether it is padded.
fn start(frame: &[u8], behind_radiotap: bool) -> Result<(usize, bool), NotSegment> {
    if !behind_radiotap {
        return Ok((0, false));
    }
    let radiotap = radiotap(frame).filter(|radiotap| !radiotap.bad).ok_or(NotSegment::Other)?;
    Ok((radiotap.length, radiotap.padded))
}

/// Steps over the header of a data frame.
pub(super) fn data(frame: &[u8], behind_radiotap: bool) -> Step {
    let (at, padded) = start(frame, behind_radiotap)?;
    let Some(&[control, flags]) = frame.get(at..).and_then(<[u8]>::first_chunk) else {
        return Err(NotSegment::Other);
    };
    let (version, kind, subtype) = (control & 3, control >> 2 & 3, control >> 4);
    // Subtypes with the bit of 4 have no data.
    if version != 0 || kind != 2 || subtype & 4 != 0 {
        return Err(NotSegment::Other);
    }
    let quality = subtype & 8 != 0;
    let relayed = flags & (TO_ACCESS_POINT | FROM_ACCESS_POINT) == TO_ACCESS_POINT | FROM_ACCESS_POINT;
    let mut header = 24 + if relayed { 6 } else { 0 };
    if quality {
        let aggregated = byte(frame, at + header) & 0x80 != 0;
        header += 2 + if flags & ORDER == 0 { 0 } else { 4 };
        if aggregated {
            return Err(NotSegment::Unread(Unread::Aggregated));
        }
    }
    if flags & PROTECTED != 0 {
        return Err(NotSegment::Unread(Unread::Encrypted));
    }
    if padded {
        header = header.next_multiple_of(4);
    }
    Ok((Layer::Llc, at + header))
}

/// Whether a data frame says that it may have been heard before: it is sent again, or the access point passes it on.
pub(super) fn may_be_heard_again(frame: &[u8], behind_radiotap: bool) -> bool {
    start(frame, behind_radiotap).is_ok_and(|(at, _)| {
        let flags = byte(frame, at + 1);
        flags & RETRY != 0 || flags & (TO_ACCESS_POINT | FROM_ACCESS_POINT) == FROM_ACCESS_POINT
    })
}
