//! What a capture puts before an 802.11 frame: radiotap (radiotap.org), PPI (CACE's PPI 1.0.7), AVS (its version 1), or
//! nothing.
//!
//! Own views: the crate `radiotap` panics on one in ten mutated headers, and no kept crate reads PPI and AVS.

use super::Link;
use super::bytes::{be32, byte};

/// What the receiver of a frame noted. A value that it did not note is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Radio {
    /// Where the 802.11 frame begins.
    pub start: usize,
    /// Whether its header is padded to four bytes.
    pub padded: bool,
    /// Whether its check sequence was wrong.
    pub bad: bool,
    /// Whether the captured frame ends with its check sequence, four bytes.
    pub check_sequence: bool,
    /// Signal, dBm.
    pub signal_dbm: Option<i8>,
    /// Rate, units of 100 kbit/s.
    pub rate_100kbps: Option<u32>,
    /// Frequency of the channel, MHz.
    pub frequency_mhz: Option<u16>,
}

impl Radio {
    /// The header of a frame of that link; `None` where it contradicts itself or holds no 802.11.
    #[must_use]
    pub fn new(link: Link, frame: &[u8]) -> Option<Self> {
        match link {
            Link::Wifi => Some(Self::default()),
            Link::Radiotap => radiotap(frame),
            Link::Ppi => ppi(frame),
            Link::Avs => avs(frame),
            _ => None,
        }
    }
}

fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// 0 dBm and more is what drivers write that don't know, as is -128.
fn signal(raw: u8) -> Option<i8> {
    let dbm = raw as i8;
    (-127..0).contains(&dbm).then_some(dbm)
}

/// Alignment and length of radiotap's fields, from bit 0 on.
const FIELDS: [(usize, usize); 22] = [
    (8, 8),  // TSFT
    (1, 1),  // flags
    (1, 1),  // rate
    (2, 4),  // channel
    (2, 2),  // FHSS
    (1, 1),  // dBm signal
    (1, 1),  // dBm noise
    (2, 2),  // lock quality
    (2, 2),  // TX attenuation
    (2, 2),  // dB TX attenuation
    (1, 1),  // dBm TX power
    (1, 1),  // antenna
    (1, 1),  // dB signal
    (1, 1),  // dB noise
    (2, 2),  // RX flags
    (2, 2),  // TX flags
    (1, 1),  // RTS retries
    (1, 1),  // data retries
    (4, 8),  // XChannel
    (1, 3),  // MCS
    (4, 8),  // A-MPDU
    (2, 12), // VHT
];

/// Version 0; length and the words that say which fields there are, little-endian; fields are aligned to the header's
/// beginning. Those of further words are of single antennas, or a vendor's.
fn radiotap(frame: &[u8]) -> Option<Radio> {
    let length = usize::from(le16(frame, 2)?);
    if byte(frame, 0) != 0 || length < 8 {
        return None;
    }
    let header = frame.get(..length)?;
    let present = le32(header, 4)?;
    let mut at = 8;
    let mut more = present;
    while more >> 31 == 1 {
        more = le32(header, at)?;
        at += 4;
    }
    let mut radio = Radio { start: length, ..Radio::default() };
    for (bit, (align, size)) in FIELDS.into_iter().enumerate().filter(|(bit, _)| present >> bit & 1 == 1) {
        at = at.next_multiple_of(align);
        let field = header.get(at..at + size)?;
        at += size;
        match bit {
            1 => {
                let flags = byte(field, 0);
                (radio.check_sequence, radio.padded, radio.bad) =
                    (flags & 0x10 != 0, flags & 0x20 != 0, flags & 0x40 != 0);
            }
            2 => radio.rate_100kbps = Some(u32::from(byte(field, 0)) * 5).filter(|rate| *rate > 0),
            3 => radio.frequency_mhz = le16(field, 0).filter(|mhz| *mhz > 0),
            5 => radio.signal_dbm = signal(byte(field, 0)),
            19 => {
                radio.rate_100kbps =
                    ht_rate(byte(field, 0), byte(field, 1), byte(field, 2)).or(radio.rate_100kbps)
            }
            21 => radio.rate_100kbps = vht_rate(field).or(radio.rate_100kbps),
            _ => {}
        }
    }
    Some(radio)
}

/// Data bits of an OFDM symbol of one stream at 20 MHz, 52 subcarriers, by MCS (IEEE 802.11-2020, 19.5 and 21.5), times
/// six so that MCS 9 is whole.
const BITS_TIMES_6: [u32; 10] = [156, 312, 468, 624, 936, 1248, 1404, 1560, 1872, 2080];

/// A symbol has 4 us, and 3.6 us with the short guard interval.
fn ofdm_rate(mcs: u8, streams: u32, subcarriers: u32, short_guard: bool) -> Option<u32> {
    let bits = BITS_TIMES_6.get(usize::from(mcs))? * streams * subcarriers;
    let (times, over) = if short_guard { (100, 36) } else { (10, 4) };
    // Rounded to 100 kbit/s.
    let divisor = 6 * 52 * over;
    Some((bits * times + divisor / 2) / divisor)
}

/// The MCS field: what is known, flags, index. MCS 32 and those of unequal modulation are in no use.
fn ht_rate(known: u8, flags: u8, mcs: u8) -> Option<u32> {
    if known & 2 == 0 || mcs > 31 {
        return None;
    }
    let wide = known & 1 != 0 && flags & 3 == 1;
    let short_guard = known & 4 != 0 && flags & 4 != 0;
    ofdm_rate(mcs % 8, u32::from(mcs / 8) + 1, if wide { 108 } else { 52 }, short_guard)
}

/// The VHT field: what is known (2 bytes), flags, bandwidth, MCS and streams of the first user.
fn vht_rate(field: &[u8]) -> Option<u32> {
    let known = le16(field, 0)?;
    let short_guard = known & 4 != 0 && byte(field, 2) & 4 != 0;
    let subcarriers = match byte(field, 3) & 0x1f {
        _ if known & 0x40 == 0 => return None,
        0 => 52,
        1..=3 => 108,
        4..=10 => 234,
        11..=25 => 468,
        _ => return None,
    };
    let user = byte(field, 4);
    let streams = u32::from(user & 15);
    if streams == 0 { None } else { ofdm_rate(user >> 4, streams, subcarriers, short_guard) }
}

/// Version 0, flags, length, the link type of what follows; then fields of type, length and data, the second one of
/// which is common to all radios. Bit 0 of the flags pads the fields to four bytes.
fn ppi(frame: &[u8]) -> Option<Radio> {
    const WIFI: u32 = 105;
    const COMMON: u16 = 2;
    let length = usize::from(le16(frame, 2)?);
    if byte(frame, 0) != 0 || length < 8 || le32(frame, 4)? != WIFI {
        return None;
    }
    let header = frame.get(..length)?;
    let aligned = byte(frame, 1) & 1 != 0;
    let mut radio = Radio { start: length, ..Radio::default() };
    let mut at = 8;
    while let (Some(kind), Some(size)) = (le16(header, at), le16(header, at + 2)) {
        let size = usize::from(size);
        let field = header.get(at + 4..at + 4 + size)?;
        if kind == COMMON && field.len() >= 20 {
            let flags = le16(field, 8)?;
            (radio.check_sequence, radio.bad) = (flags & 1 != 0, flags & 0x0c != 0);
            radio.rate_100kbps = le16(field, 10).map(|rate| u32::from(rate) * 5).filter(|rate| *rate > 0);
            radio.frequency_mhz = le16(field, 12).filter(|mhz| *mhz > 0);
            radio.signal_dbm = signal(byte(field, 18));
        }
        at += 4 + if aligned { size.next_multiple_of(4) } else { size };
    }
    Some(radio)
}

/// The link type that a PPI header announces, and where it ends.
pub(super) fn ppi_carries(frame: &[u8]) -> Option<(u32, usize)> {
    Some((le32(frame, 4)?, usize::from(le16(frame, 2)?))).filter(|(_, length)| *length >= 8)
}

/// Words in network order: version, length, two times of eight bytes, kind of radio, channel, rate in 100 kbit/s, antenna,
/// priority, kind of signal (2 is dBm), signal, noise, preamble, encoding.
fn avs(frame: &[u8]) -> Option<Radio> {
    const VERSION: u32 = 0x8021_1001;
    const LENGTH: usize = 64;
    const DBM: u32 = 2;
    let length = be32(frame, 4) as usize;
    if be32(frame, 0) != VERSION || length < LENGTH || frame.len() < length {
        return None;
    }
    let channel = be32(frame, 28);
    let dbm = be32(frame, 48) as i32;
    Some(Radio {
        start: length,
        rate_100kbps: Some(be32(frame, 32)).filter(|rate| (1..100_000).contains(rate)),
        frequency_mhz: u16::try_from(channel).ok().and_then(frequency),
        signal_dbm: i8::try_from(dbm)
            .ok()
            .filter(|_| be32(frame, 44) == DBM)
            .and_then(|dbm| signal(dbm as u8)),
        ..Radio::default()
    })
}

/// Of the channels of 2.4 and 5 GHz.
fn frequency(channel: u16) -> Option<u16> {
    match channel {
        1..=13 => Some(2_407 + 5 * channel),
        14 => Some(2_484),
        32..=177 => Some(5_000 + 5 * channel),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn radiotap_fields_are_found_behind_their_padding() {
        // TSFT, flags, rate, channel, signal: two words of presence, so that the time begins at 16.
        let mut header = vec![0, 0, 32, 0];
        header.extend(0x8000_002f_u32.to_le_bytes());
        header.extend([0x20, 0, 0, 0, 0, 0, 0, 0]); // the signal of an antenna; to be skipped
        header.truncate(12);
        header.extend([0; 4]);
        header.extend([1, 2, 3, 4, 5, 6, 7, 8]);
        header.extend([0x10, 108]);
        header.extend(2_412_u16.to_le_bytes());
        header.extend([0; 2]);
        header.push(200);
        header.push(0);
        assert_eq!(header.len(), 32);
        let radio = Radio::new(Link::Radiotap, &header).unwrap();
        assert_eq!((radio.start, radio.check_sequence, radio.bad), (32, true, false));
        assert_eq!(
            (radio.rate_100kbps, radio.frequency_mhz, radio.signal_dbm),
            (Some(540), Some(2_412), Some(-56))
        );
    }

    #[test]
    fn rates_of_802_11n_and_ac_are_those_of_the_standards_tables() {
        assert_eq!(ht_rate(7, 0, 7), Some(650));
        assert_eq!(ht_rate(7, 4, 7), Some(722));
        assert_eq!(ht_rate(7, 1, 0), Some(135));
        assert_eq!(ht_rate(7, 5, 15), Some(3_000));
        assert_eq!(ht_rate(7, 0, 32), None);
        let vht = |bandwidth, user, guard| vht_rate(&[0x44, 0, guard, bandwidth, user, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(vht(0, 0x81, 0), Some(780));
        assert_eq!(vht(4, 0x92, 4), Some(8_667));
        assert_eq!(vht(0, 0x80, 0), None);
    }

    #[test]
    fn a_signal_that_no_radio_hears_is_not_known() {
        assert_eq!([signal(0), signal(0x80), signal(20), signal(0xd0)], [None, None, None, Some(-48)]);
    }
}
