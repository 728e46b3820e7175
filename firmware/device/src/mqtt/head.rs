//! The head of every packet: its kind, four flags, and the length of the rest.

use core::fmt;

use crate::mqtt::malformed::Malformed;
use crate::mqtt::packet::Version;

/// The longest rest of a packet that four bytes of length can say.
pub const MAX_REMAINING: u32 = 0x0FFF_FFFF;

/// What a packet is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// From the client: opens the session.
    Connect = 1,
    /// From the broker: answers `Connect`.
    ConnAck = 2,
    /// A message, either way.
    Publish = 3,
    /// Answers a `Publish` of quality of service 1.
    PubAck = 4,
    /// Answers a `Publish` of quality of service 2.
    PubRec = 5,
    /// Answers `PubRec`.
    PubRel = 6,
    /// Answers `PubRel`.
    PubComp = 7,
    /// From the client: filters of messages it wants.
    Subscribe = 8,
    /// From the broker: answers `Subscribe`.
    SubAck = 9,
    /// From the client: filters it wants no more.
    Unsubscribe = 10,
    /// From the broker: answers `Unsubscribe`.
    UnsubAck = 11,
    /// From the client: are you there?
    PingReq = 12,
    /// From the broker: answers `PingReq`.
    PingResp = 13,
    /// The end of the connection; in 5 either way.
    Disconnect = 14,
    /// Further authentication; only in 5.
    Auth = 15,
}

impl Kind {
    /// All kinds in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Connect,
        Self::ConnAck,
        Self::Publish,
        Self::PubAck,
        Self::PubRec,
        Self::PubRel,
        Self::PubComp,
        Self::Subscribe,
        Self::SubAck,
        Self::Unsubscribe,
        Self::UnsubAck,
        Self::PingReq,
        Self::PingResp,
        Self::Disconnect,
        Self::Auth,
    ];

    /// The name in the standard.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::ConnAck => "CONNACK",
            Self::Publish => "PUBLISH",
            Self::PubAck => "PUBACK",
            Self::PubRec => "PUBREC",
            Self::PubRel => "PUBREL",
            Self::PubComp => "PUBCOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::SubAck => "SUBACK",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::UnsubAck => "UNSUBACK",
            Self::PingReq => "PINGREQ",
            Self::PingResp => "PINGRESP",
            Self::Disconnect => "DISCONNECT",
            Self::Auth => "AUTH",
        }
    }

    /// The flags that the standard wants; `None` where they mean something.
    #[must_use]
    pub const fn flags(self) -> Option<u8> {
        match self {
            Self::Publish => None,
            Self::PubRel | Self::Subscribe | Self::Unsubscribe => Some(0b0010),
            _ => Some(0),
        }
    }

    fn from_number(number: u8, version: Version) -> Result<Self, Malformed> {
        let kind = number.checked_sub(1).and_then(|index| Self::ALL.get(usize::from(index)));
        match kind {
            Some(Self::Auth) if version != Version::V5 => Err(Malformed::Kind(number)),
            Some(&kind) => Ok(kind),
            None => Err(Malformed::Kind(number)),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A packet's head.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Head {
    /// What the packet is.
    pub kind: Kind,
    /// The low four bits of its first byte.
    pub flags: u8,
    /// Length of the head itself: 2 to 5 bytes.
    pub len: usize,
    /// Bytes that follow the head.
    pub remaining: u32,
}

/// What the first bytes of a packet give.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HeadRead {
    /// At least so many bytes are missing.
    Needs(usize),
    /// The head is there.
    Head(Head),
}

impl Head {
    /// Reads the head of the packet that starts here, with a rest of at most `at_most` bytes.
    ///
    /// # Errors
    /// The kind is unknown, its flags are reserved, or the length is no length or above the bound: said as soon as
    /// the bytes show it.
    pub fn read(bytes: &[u8], version: Version, at_most: u32) -> Result<HeadRead, Malformed> {
        let Some((&first, rest)) = bytes.split_first() else {
            return Ok(HeadRead::Needs(2));
        };
        let kind = Kind::from_number(first >> 4, version)?;
        let flags = first & 0x0F;
        // 3.1 lets a repeated one of these say that it is (its 2.1): DUP.
        let meant = if version == Version::V31 { flags & 0b0111 } else { flags };
        match kind.flags() {
            Some(0) if flags != 0 => return Err(Malformed::Flags(kind)),
            Some(wanted) if meant != wanted => return Err(Malformed::Flags(kind)),
            _ => {}
        }
        if kind == Kind::Publish {
            match flags >> 1 & 0b11 {
                3 => return Err(Malformed::Qos3),
                0 if flags & 0b1000 != 0 => return Err(Malformed::DupAtMostOnce),
                _ => {}
            }
        }
        let Some((remaining, digits)) = read_length(rest)? else {
            return Ok(HeadRead::Needs(1));
        };
        if remaining > at_most {
            return Err(Malformed::TooLarge { remaining, at_most });
        }
        Ok(HeadRead::Head(Self { kind, flags, len: 1 + digits, remaining }))
    }

    /// Bytes of the whole packet.
    #[must_use]
    pub const fn packet_len(&self) -> usize {
        self.len + self.remaining as usize
    }
}

/// A number of one to four bytes, seven bits each, and how many bytes it took; `None` where it goes on behind the end.
pub(super) fn read_length(bytes: &[u8]) -> Result<Option<(u32, usize)>, Malformed> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err(Malformed::LengthBytes) }
}
