//! Why bytes are no MQTT packet.

use core::fmt;

use crate::mqtt::head::Kind;

/// The rule that a packet breaks. Its connection has to be closed: there is no way to find the next packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Malformed {
    /// No such kind of packet in this version of the protocol.
    Kind(u8),
    /// Flags of the first byte that are reserved for this kind.
    Flags(Kind),
    /// A length that goes on after four bytes.
    LengthBytes,
    /// A length above the reader's bound.
    TooLarge {
        /// Bytes that the packet says will follow its head.
        remaining: u32,
        /// The bound.
        at_most: u32,
    },
    /// A field that ends behind its packet.
    Short(Kind),
    /// Bytes behind the last field.
    Excess(Kind),
    /// A quality of service of 3.
    Qos3,
    /// Marked as a repetition with a quality of service that has none (MQTT-3.3.1-2).
    DupAtMostOnce,
    /// Packet identifier 0 (MQTT-2.3.1-1).
    PacketIdZero,
    /// A text that is not UTF-8 (MQTT-1.5.3-1).
    Utf8(Kind),
    /// A text with U+0000 (MQTT-1.5.3-2).
    Nul(Kind),
    /// A topic of no characters (MQTT-4.7.3-1).
    EmptyTopic,
    /// A topic to publish to with `+` or `#` (MQTT-3.3.2-2).
    WildcardTopic,
    /// A filter of no characters (MQTT-4.7.3-1).
    EmptyFilter,
    /// A filter with `+` or `#` where it must not be (MQTT-4.7.1-2, MQTT-4.7.1-3).
    BadFilter,
    /// A subscription or its end without any filter (MQTT-3.8.3-3).
    NoFilters,
    /// A CONNECT of no version known here: it has this level, or none of the protocol's names.
    Protocol {
        /// The level, where the name is MQTT's.
        level: Option<u8>,
    },
    /// Flags of a CONNECT or CONNACK that are reserved or contradict each other.
    ConnectFlags,
    /// Reserved bits in a subscription's options.
    SubscribeOptions,
    /// An unknown property.
    Property(u32),
    /// A property that may be there once, twice.
    PropertyTwice(u8),
    /// A property with a value that it must not have.
    PropertyValue(u8),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => write!(f, "unknown kind of packet {kind}"),
            Self::Flags(kind) => write!(f, "{kind} with reserved flags"),
            Self::LengthBytes => f.write_str("remaining length of more than four bytes"),
            Self::TooLarge { remaining, at_most } => {
                write!(f, "packet of {remaining} bytes is above {at_most}")
            }
            Self::Short(kind) => write!(f, "{kind} shorter than its fields"),
            Self::Excess(kind) => write!(f, "{kind} longer than its fields"),
            Self::Qos3 => f.write_str("quality of service 3"),
            Self::DupAtMostOnce => f.write_str("DUP with quality of service 0"),
            Self::PacketIdZero => f.write_str("packet identifier 0"),
            Self::Utf8(kind) => write!(f, "{kind} with a text that is not UTF-8"),
            Self::Nul(kind) => write!(f, "{kind} with a text that contains U+0000"),
            Self::EmptyTopic => f.write_str("empty topic"),
            Self::WildcardTopic => f.write_str("wildcard in a topic to publish to"),
            Self::EmptyFilter => f.write_str("empty filter"),
            Self::BadFilter => f.write_str("filter with a misplaced wildcard"),
            Self::NoFilters => f.write_str("no filter"),
            Self::Protocol { level: Some(level) } => write!(f, "unknown protocol level {level}"),
            Self::Protocol { level: None } => f.write_str("not MQTT"),
            Self::ConnectFlags => f.write_str("reserved or contradictory connect flags"),
            Self::SubscribeOptions => f.write_str("reserved subscription options"),
            Self::Property(id) => write!(f, "unknown property {id}"),
            Self::PropertyTwice(id) => write!(f, "property {id} twice"),
            Self::PropertyValue(id) => write!(f, "forbidden value of property {id}"),
        }
    }
}

impl core::error::Error for Malformed {}
