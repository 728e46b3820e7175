//! 802.11 frames as a sniffer in monitor mode hears them (IEEE 802.11-2020, 9.2 and 9.3): their MAC header, and the way
//! down to LLC.

use super::bytes::byte;
use super::layers::{Layer, Step};
use super::{Link, NotSegment, Radio, Unread};

const TO_ACCESS_POINT: u8 = 0x01;
const FROM_ACCESS_POINT: u8 = 0x02;
const RETRY: u8 = 0x08;
const SLEEPS: u8 = 0x10;
const PROTECTED: u8 = 0x40;
const ORDER: u8 = 0x80;

/// What kind of frame, with its subtype.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// Management: beacons, associations.
    Management(u8),
    /// Control: acknowledgements, PS-Poll.
    Control(u8),
    /// Data, and null frames.
    Data(u8),
}

/// An 802.11 frame without its check sequence, its MAC header whole.
#[derive(Clone, Copy, Debug)]
pub struct MacFrame<'a> {
    bytes: &'a [u8],
    kind: FrameKind,
    header: usize,
}

impl<'a> MacFrame<'a> {
    /// `None` for other versions, and for headers that are cut.
    #[must_use]
    pub fn new(bytes: &'a [u8], padded: bool) -> Option<Self> {
        let &[control, flags] = bytes.first_chunk()?;
        let subtype = control >> 4;
        let (kind, header): (_, usize) = match control & 0x0f {
            0x0 => (FrameKind::Management(subtype), 24 + if flags & ORDER == 0 { 0 } else { 4 }),
            0x4 => (FrameKind::Control(subtype), if subtype >= 12 { 10 } else { 16 }),
            0x8 => {
                let relayed = flags & 3 == TO_ACCESS_POINT | FROM_ACCESS_POINT;
                let quality = subtype & 8 != 0;
                let addresses = 24 + if relayed { 6 } else { 0 };
                let throughput = if quality && flags & ORDER != 0 { 4 } else { 0 };
                (FrameKind::Data(subtype), addresses + if quality { 2 } else { 0 } + throughput)
            }
            _ => return None,
        };
        let header = if padded { header.next_multiple_of(4) } else { header };
        (bytes.len() >= header).then_some(Self { bytes, kind, header })
    }

    /// Which frame.
    #[must_use]
    pub const fn kind(&self) -> FrameKind {
        self.kind
    }

    fn flags(&self) -> u8 {
        byte(self.bytes, 1)
    }

    fn address(&self, at: usize) -> [u8; 6] {
        self.bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default()
    }

    /// To whom it is sent on the air.
    #[must_use]
    pub fn receiver(&self) -> [u8; 6] {
        self.address(4)
    }

    /// Who sent it on the air; acknowledgements don't say.
    #[must_use]
    pub fn transmitter(&self) -> Option<[u8; 6]> {
        (self.header >= 16).then(|| self.address(10))
    }

    /// The third address of management and data frames: the network, or the end beyond the access point.
    #[must_use]
    pub fn third(&self) -> [u8; 6] {
        self.address(16)
    }

    /// Whether it goes from a station to an access point.
    #[must_use]
    pub fn is_to_access_point(&self) -> bool {
        self.flags() & 3 == TO_ACCESS_POINT
    }

    /// Whether it goes from an access point to a station.
    #[must_use]
    pub fn is_from_access_point(&self) -> bool {
        self.flags() & 3 == FROM_ACCESS_POINT
    }

    /// Whether it was sent before.
    #[must_use]
    pub fn is_retry(&self) -> bool {
        self.flags() & RETRY != 0
    }

    /// Whether its sender is about to sleep (power management).
    #[must_use]
    pub fn sleeps(&self) -> bool {
        self.flags() & SLEEPS != 0
    }

    /// Whether its body is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.flags() & PROTECTED != 0
    }

    /// Sequence number (upper twelve bits) and fragment; control frames have none.
    #[must_use]
    pub fn sequence(&self) -> Option<u16> {
        let numbered = !matches!(self.kind, FrameKind::Control(_));
        numbered.then(|| u16::from_le_bytes([byte(self.bytes, 22), byte(self.bytes, 23)]))
    }

    /// Duration, or in a PS-Poll the association's number.
    #[must_use]
    pub fn duration(&self) -> u16 {
        u16::from_le_bytes([byte(self.bytes, 2), byte(self.bytes, 3)])
    }

    /// The QoS control field of data frames that have one.
    fn quality(&self) -> Option<u8> {
        let has = matches!(self.kind, FrameKind::Data(subtype) if subtype & 8 != 0);
        let at = if self.flags() & 3 == 3 { 30 } else { 24 };
        has.then(|| byte(self.bytes, at))
    }

    /// The traffic identifier, 0 to 15, whose sequence numbers it has; `None` where it has the sender's common ones.
    #[must_use]
    pub fn traffic(&self) -> Option<u8> {
        self.quality().map(|quality| quality & 15)
    }

    /// Whether it is a data frame with data.
    #[must_use]
    pub const fn has_data(&self) -> bool {
        matches!(self.kind, FrameKind::Data(subtype) if subtype & 4 == 0)
    }

    /// Whether several packets are in it (A-MSDU).
    #[must_use]
    pub(crate) fn is_aggregate(&self) -> bool {
        self.has_data() && self.quality().is_some_and(|quality| quality & 0x80 != 0)
    }

    /// What follows its header.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.bytes.get(self.header..).unwrap_or_default()
    }
}

/// Steps over the header of a data frame.
pub(super) fn data(frame: &[u8], link: Link) -> Step {
    let radio = Radio::new(link, frame).filter(|radio| !radio.bad).ok_or(NotSegment::Other)?;
    let bytes = frame.get(radio.start..).unwrap_or_default();
    let mac = MacFrame::new(bytes, radio.padded).filter(MacFrame::has_data).ok_or(NotSegment::Other)?;
    if mac.is_encrypted() {
        return Err(NotSegment::Unread(Unread::Encrypted));
    }
    if mac.is_aggregate() {
        return Err(NotSegment::Unread(Unread::Aggregated));
    }
    Ok((Layer::Llc, radio.start + mac.header))
}

/// The packets in an open A-MSDU, each from its LLC header on (IEEE 802.11-2020, 9.3.2.2): two addresses and a length
/// before each, padding to four bytes behind.
#[derive(Clone, Debug)]
pub struct Aggregate<'a> {
    rest: &'a [u8],
    heard_again: bool,
}

impl<'a> Aggregate<'a> {
    /// `None` where the frame of that link is none, or encrypted.
    #[must_use]
    pub fn new(link: Link, frame: &'a [u8]) -> Option<Self> {
        let radio = Radio::new(link, frame).filter(|radio| !radio.bad)?;
        let end = frame.len().saturating_sub(if radio.check_sequence { 4 } else { 0 });
        let mac = MacFrame::new(frame.get(radio.start..end)?, radio.padded)?;
        let heard_again = mac.is_retry() || mac.is_from_access_point();
        (mac.is_aggregate() && !mac.is_encrypted()).then(|| Self { rest: mac.body(), heard_again })
    }

    /// Whether they may have been heard before: the frame is sent again, or the access point passes it on.
    #[must_use]
    pub const fn heard_again(&self) -> bool {
        self.heard_again
    }
}

impl<'a> Iterator for Aggregate<'a> {
    /// What was captured of a packet, and its length.
    type Item = (&'a [u8], usize);

    fn next(&mut self) -> Option<Self::Item> {
        const HEADER: usize = 14;
        let (header, rest) = self.rest.split_at_checked(HEADER)?;
        let length = usize::from(u16::from_be_bytes([byte(header, 12), byte(header, 13)]));
        let (packet, _) = rest.split_at(length.min(rest.len()));
        self.rest = rest.get((HEADER + length).next_multiple_of(4) - HEADER..).unwrap_or_default();
        (length > 0).then_some((packet, length))
    }
}

/// Whether a data frame says that it may have been heard before: it is sent again, or the access point passes it on.
pub(super) fn may_be_heard_again(link: Link, frame: &[u8]) -> bool {
    let Some(radio) = Radio::new(link, frame) else { return false };
    let flags = byte(frame, radio.start + 1);
    flags & RETRY != 0 || flags & (TO_ACCESS_POINT | FROM_ACCESS_POINT) == FROM_ACCESS_POINT
}
