//! The framed protocol of port 7007: wire format, shared by device and host.
//!
//! Every message is a header of 20 bytes and a payload of `length` bytes. Numbers are big-endian.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | magic `ESF1` |
//! | 4 | 1 | [`Kind`] |
//! | 5 | 1 | code: an [`ErrorCode`] in an `Error`, 0 elsewhere |
//! | 6 | 2 | check: the low 16 bits of the CRC-32 of the other 18 bytes |
//! | 8 | 4 | sequence number |
//! | 12 | 4 | length of the payload, at most [`MAX_PAYLOAD`] |
//! | 16 | 4 | CRC-32 (IEEE) of the payload, 0 for an empty one |
//!
//! | kind | from | payload | answer |
//! |---|---|---|---|
//! | `Echo` | host | anything | `EchoReply`: same sequence, length, checksum and payload |
//! | `Heartbeat` | both | up to [`MAX_HEARTBEAT`] bytes, ignored | `Ack` with the same sequence number |
//! | `Ack` | both | none | none |
//! | `Subscribe` | host | [`Subscribe`] | `Report`; then the device sends a `Heartbeat` each interval, see below |
//! | `ReportRequest` | host | none | `Report` of the connection's session |
//! | `Report` | device | [`Report`] | none |
//! | `Error` | device | none | none; the device closes |
//!
//! The device streams an echo: it sends the reply's header as soon as it has the request's, and the payload as it
//! comes in, from a buffer far smaller than the payload. Whoever sends large requests therefore has to read while
//! writing. The reply's checksum is the request's own, so that corruption on either way shows at the host; the
//! device checks as well and counts.
//!
//! A session is a number chosen by the host. It outlives connections: a host that comes back after an outage
//! subscribes with the same number and learns from the `Report` what the device had sent and seen. Numbers in a
//! session start at 1 and are never reused; the device does not repeat a lost heartbeat, so `sent - acked` is what
//! was lost or is under way.
//!
//! At most [`MOST_UNACKNOWLEDGED`] of the device's heartbeats are under way at once, so that a link that is away
//! does not fill its memory: a stack keeps what is sent until the peer's has it, and each small segment in a buffer
//! of its own (of 1.6 KB on lwIP). Under way are those above the highest number acknowledged, counted from the last
//! `Subscribe` on. As TCP keeps the order, an `Ack` also stands for all before it here, and one that never comes
//! holds nothing up for good; [`Report::acked`] counts those that came. A heartbeat that falls due above the bound
//! waits for an `Ack` or a `Subscribe`, however late; those that would have followed it meanwhile are not sent, take
//! no number and are in no count. The bound is in heartbeats and not in time: an interval shorter than an eighth of
//! the time to the `Ack` comes to a slower pace.

/// First bytes of every header.
pub const MAGIC: [u8; 4] = *b"ESF1";

/// Length of a header in bytes.
pub const HEADER_LEN: usize = 20;

/// Longest payload in bytes.
pub const MAX_PAYLOAD: u32 = 64 * 1024;

/// Longest payload of a `Heartbeat` in bytes.
pub const MAX_HEARTBEAT: u32 = 256;

/// Heartbeats of the device that may wait for their `Ack` at once; above it the device sends none.
pub const MOST_UNACKNOWLEDGED: u32 = 8;

/// What a message is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Please send this back.
    Echo = 1,
    /// Sent back.
    EchoReply = 2,
    /// A numbered message that wants an acknowledgement.
    Heartbeat = 3,
    /// Acknowledges the heartbeat of the same number.
    Ack = 4,
    /// Opens or resumes a session.
    Subscribe = 5,
    /// Asks for the session's counts.
    ReportRequest = 6,
    /// The session's counts.
    Report = 7,
    /// The device gives up; the header's code says why.
    Error = 15,
}

impl Kind {
    const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Echo,
            2 => Self::EchoReply,
            3 => Self::Heartbeat,
            4 => Self::Ack,
            5 => Self::Subscribe,
            6 => Self::ReportRequest,
            7 => Self::Report,
            15 => Self::Error,
            _ => return None,
        })
    }
}

/// Why the device gave up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum ErrorCode {
    /// Not a header, or one that was damaged.
    BadHeader = 1,
    /// A payload longer than its kind allows.
    TooLarge = 2,
    /// A message that the device does not take in this place.
    Unexpected = 3,
}

/// Why bytes are not a header.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HeaderError {
    /// The magic is not there.
    Magic,
    /// The check does not fit the other bytes.
    Check,
    /// No such kind.
    Kind(u8),
    /// The length is above [`MAX_PAYLOAD`].
    Length(u32),
}

impl core::fmt::Display for HeaderError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Magic => f.write_str("not a frame"),
            Self::Check => f.write_str("damaged frame header"),
            Self::Kind(kind) => write!(f, "unknown kind of frame {kind}"),
            Self::Length(length) => write!(f, "frame of {length} bytes is above {MAX_PAYLOAD}"),
        }
    }
}

impl core::error::Error for HeaderError {}

/// A message's header.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Header {
    /// What the message is.
    pub kind: Kind,
    /// An [`ErrorCode`] in an `Error`, 0 elsewhere.
    pub code: u8,
    /// The sender's number for it.
    pub sequence: u32,
    /// Bytes of payload that follow.
    pub length: u32,
    /// CRC-32 of the payload.
    pub checksum: u32,
}

impl Header {
    /// The header of a message with this payload.
    ///
    /// A payload above [`MAX_PAYLOAD`] gives a header that no receiver takes.
    #[must_use]
    pub fn new(kind: Kind, sequence: u32, payload: &[u8]) -> Self {
        Self {
            kind,
            code: 0,
            sequence,
            length: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            checksum: checksum(payload),
        }
    }

    /// The bytes on the wire.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4] = self.kind as u8;
        bytes[5] = self.code;
        bytes[8..12].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.length.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.checksum.to_be_bytes());
        let check = check(&bytes);
        bytes[6..8].copy_from_slice(&check.to_be_bytes());
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    /// Says which of the header's own rules the bytes break.
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, HeaderError> {
        if bytes[0..4] != MAGIC {
            return Err(HeaderError::Magic);
        }
        if u16::from_be_bytes([bytes[6], bytes[7]]) != check(bytes) {
            return Err(HeaderError::Check);
        }
        let header = Self {
            kind: Kind::from_byte(bytes[4]).ok_or(HeaderError::Kind(bytes[4]))?,
            code: bytes[5],
            sequence: word(bytes, 8),
            length: word(bytes, 12),
            checksum: word(bytes, 16),
        };
        if header.length > MAX_PAYLOAD {
            return Err(HeaderError::Length(header.length));
        }
        Ok(header)
    }
}

/// Payload of a `Subscribe`: eight bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Subscribe {
    /// The session, any number that the host uses for nothing else.
    pub session: u32,
    /// Milliseconds between the device's heartbeats; 0 for none.
    pub interval_ms: u32,
}

impl Subscribe {
    /// Length on the wire in bytes.
    pub const LEN: usize = 8;

    /// The bytes on the wire.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0..4].copy_from_slice(&self.session.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.interval_ms.to_be_bytes());
        bytes
    }

    /// Reads a payload of exactly [`Self::LEN`] bytes.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == Self::LEN).then(|| Self { session: word(bytes, 0), interval_ms: word(bytes, 4) })
    }
}

/// Payload of a `Report`: what the device knows of a session, twenty-four bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Report {
    /// The session, 0 when the connection has none.
    pub session: u32,
    /// Heartbeats the device sent; also the number of its last one.
    pub sent: u32,
    /// Those of them that were acknowledged, each counted once.
    pub acked: u32,
    /// Heartbeats received from the host, each counted once.
    pub received: u32,
    /// Further arrivals of heartbeats that had been received before.
    pub duplicates: u32,
    /// The highest number received.
    pub highest_received: u32,
}

impl Report {
    /// Length on the wire in bytes.
    pub const LEN: usize = 24;

    /// The bytes on the wire.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::LEN] {
        let fields =
            [self.session, self.sent, self.acked, self.received, self.duplicates, self.highest_received];
        let mut bytes = [0; Self::LEN];
        for (place, field) in bytes.chunks_exact_mut(4).zip(fields) {
            place.copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    /// Reads a payload of exactly [`Self::LEN`] bytes.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == Self::LEN).then(|| Self {
            session: word(bytes, 0),
            sent: word(bytes, 4),
            acked: word(bytes, 8),
            received: word(bytes, 12),
            duplicates: word(bytes, 16),
            highest_received: word(bytes, 20),
        })
    }
}

/// CRC-32 (IEEE) of a payload as the header carries it.
#[must_use]
pub fn checksum(payload: &[u8]) -> u32 {
    crc32fast::hash(payload)
}

/// A CRC-32 in the making, for payloads that pass by in pieces.
#[derive(Clone, Debug, Default)]
pub struct Checksum(crc32fast::Hasher);

impl Checksum {
    /// Of nothing so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The checksum of all pieces.
    #[must_use]
    pub fn finish(self) -> u32 {
        self.0.finalize()
    }
}

/// Fills a payload with bytes that depend on its sequence number and the position in it, so that a payload
/// delivered for another request or shifted in the stream does not pass for the right one.
pub fn fill_payload(sequence: u32, payload: &mut [u8]) {
    // xorshift32 with a seed that is never zero; quality matters little, difference does.
    let mut state = sequence.wrapping_mul(0x9E37_79B9) | 1;
    for piece in payload.chunks_mut(4) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        for (place, byte) in piece.iter_mut().zip(state.to_le_bytes()) {
            *place = byte;
        }
    }
}

fn check(bytes: &[u8; HEADER_LEN]) -> u16 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[0..6]);
    crc.update(&bytes[8..20]);
    (crc.finalize() & 0xFFFF) as u16
}

/// The big-endian word at an offset that the caller has checked to be inside.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_as_it_was_written() {
        let header = Header::new(Kind::Echo, 0xDEAD_BEEF, b"payload");
        assert_eq!(Header::decode(&header.encode()), Ok(header));
    }

    #[test]
    fn any_single_damaged_byte_of_a_header_is_noticed() {
        let good = Header::new(Kind::Heartbeat, 7, b"x").encode();
        for at in 0..HEADER_LEN {
            let mut bad = good;
            bad[at] ^= 0x10;
            assert!(Header::decode(&bad).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_length_above_the_limit_is_refused() {
        let mut header = Header::new(Kind::Echo, 1, b"");
        header.length = MAX_PAYLOAD + 1;
        assert_eq!(Header::decode(&header.encode()), Err(HeaderError::Length(MAX_PAYLOAD + 1)));
    }

    #[test]
    fn session_payloads_read_back_as_they_were_written() {
        let subscribe = Subscribe { session: 3, interval_ms: 250 };
        assert_eq!(Subscribe::decode(&subscribe.encode()), Some(subscribe));
        let report =
            Report { session: 3, sent: 5, acked: 4, received: 9, duplicates: 1, highest_received: 10 };
        assert_eq!(Report::decode(&report.encode()), Some(report));
        assert_eq!(Report::decode(&[0; 23]), None);
    }

    #[test]
    fn payloads_of_neighbouring_sequence_numbers_differ() {
        let (mut a, mut b) = ([0; 64], [0; 64]);
        fill_payload(1, &mut a);
        fill_payload(2, &mut b);
        assert_ne!(a, b);
    }
}
