//! The packets: what each kind says.

use core::fmt;
use core::num::NonZeroU16;

use crate::mqtt::head::Kind;
use crate::mqtt::properties::Properties;
use crate::mqtt::reader::Reader;

/// A packet's number within its session, never 0.
pub type PacketId = NonZeroU16;

/// A version of the protocol, by its level on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum Version {
    /// 3.1, "MQIsdp".
    V31 = 3,
    /// 3.1.1, an OASIS and ISO standard.
    #[default]
    V311 = 4,
    /// 5.
    V5 = 5,
}

impl Version {
    /// The name in a CONNECT.
    #[must_use]
    pub const fn protocol_name(self) -> &'static str {
        match self {
            Self::V31 => "MQIsdp",
            Self::V311 | Self::V5 => "MQTT",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V31 => "3.1",
            Self::V311 => "3.1.1",
            Self::V5 => "5",
        })
    }
}

/// How hard sender and receiver try.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum Qos {
    /// 0: sent once, not acknowledged.
    #[default]
    AtMostOnce = 0,
    /// 1: sent until acknowledged.
    AtLeastOnce = 1,
    /// 2: acknowledged in both directions.
    ExactlyOnce = 2,
}

impl Qos {
    /// The quality of service of this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// A password: not to be shown, so its `Debug` says only that it is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Password<'a>(pub &'a [u8]);

impl fmt::Debug for Password<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// The message that the broker publishes when the connection ends without a DISCONNECT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Will<'a> {
    /// Where to.
    pub topic: &'a str,
    /// What.
    pub payload: &'a [u8],
    /// How.
    pub qos: Qos,
    /// Whether later subscribers get it as well.
    pub retain: bool,
}

/// Opens a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connect<'a> {
    /// The version that the rest of the connection speaks.
    pub version: Version,
    /// Whether an earlier session is to be forgotten.
    pub clean: bool,
    /// Seconds; 0 for none.
    pub keep_alive: u16,
    /// Who it is; may be empty.
    pub client_id: &'a str,
    /// What to publish when it vanishes.
    pub will: Option<Will<'a>>,
    /// The user's name.
    pub user: Option<&'a str>,
    /// The password; before 5 only with a user's name.
    pub password: Option<Password<'a>>,
    /// Properties; only in 5.
    pub properties: Properties<'a>,
}

impl Default for Connect<'_> {
    fn default() -> Self {
        Self {
            version: Version::default(),
            clean: true,
            keep_alive: 0,
            client_id: "",
            will: None,
            user: None,
            password: None,
            properties: Properties::default(),
        }
    }
}

/// Answers a CONNECT.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ConnAck<'a> {
    /// Whether the broker had a session of this client.
    pub session_present: bool,
    /// 0 for yes; else why not.
    pub code: u8,
    /// Properties; only in 5.
    pub properties: Properties<'a>,
}

/// A message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Publish<'a> {
    /// Whether it may have been sent before.
    pub dup: bool,
    /// How hard to try.
    pub qos: Qos,
    /// To a broker: keep it for later subscribers. From one: it was kept.
    pub retain: bool,
    /// Where to.
    pub topic: &'a str,
    /// Its number; there is one exactly with a quality of service above 0.
    pub id: Option<PacketId>,
    /// What.
    pub payload: &'a [u8],
}

/// A PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ack {
    /// The number of the PUBLISH.
    pub id: PacketId,
    /// 0 for yes, 0x80 and above why not; only in 5.
    pub code: u8,
}

impl Ack {
    /// Yes to this number.
    #[must_use]
    pub const fn of(id: PacketId) -> Self {
        Self { id, code: 0 }
    }
}

/// Whether retained messages come at once with a subscription (in 5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum RetainHandling {
    /// Always; in 3.1.1 the only way.
    #[default]
    Send = 0,
    /// Unless the subscription existed.
    SendIfNew = 1,
    /// Never.
    DontSend = 2,
}

/// One filter of a SUBSCRIBE.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Subscription<'a> {
    /// Which topics.
    pub filter: &'a str,
    /// How hard the broker is to try at most.
    pub qos: Qos,
    /// Not what this client itself published; only in 5.
    pub no_local: bool,
    /// Leave the retain flag as it was published; only in 5.
    pub retain_as_published: bool,
    /// What happens with retained messages; only in 5.
    pub retain_handling: RetainHandling,
}

impl<'a> Subscription<'a> {
    /// A subscription as 3.1.1 has it.
    #[must_use]
    pub const fn new(filter: &'a str, qos: Qos) -> Self {
        let retain_handling = RetainHandling::Send;
        Self { filter, qos, no_local: false, retain_as_published: false, retain_handling }
    }
}

/// The filters of a SUBSCRIBE.
#[derive(Clone, Copy)]
pub struct Subscriptions<'a>(Fields<'a, Subscription<'a>>);

/// The filters of an UNSUBSCRIBE.
#[derive(Clone, Copy)]
pub struct Topics<'a>(Fields<'a, &'a str>);

#[derive(Clone, Copy)]
enum Fields<'a, T> {
    Listed(&'a [T]),
    /// As on the wire, already found to be right.
    Read(&'a [u8]),
}

impl<'a> Subscriptions<'a> {
    /// These.
    #[must_use]
    pub const fn new(subscriptions: &'a [Subscription<'a>]) -> Self {
        Self(Fields::Listed(subscriptions))
    }

    pub(super) const fn read(bytes: &'a [u8]) -> Self {
        Self(Fields::Read(bytes))
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = Subscription<'a>> + use<'a> {
        let (listed, read): (&[_], &[_]) = match self.0 {
            Fields::Listed(listed) => (listed, &[]),
            Fields::Read(read) => (&[], read),
        };
        let mut reader = Reader::new(read, Kind::Subscribe);
        // Options that the version does not have were refused when the packet was read.
        let read = core::iter::from_fn(move || super::decode::subscription(&mut reader, Version::V5).ok());
        listed.iter().copied().chain(read)
    }
}

impl<'a> Topics<'a> {
    /// These.
    #[must_use]
    pub const fn new(filters: &'a [&'a str]) -> Self {
        Self(Fields::Listed(filters))
    }

    pub(super) const fn read(bytes: &'a [u8]) -> Self {
        Self(Fields::Read(bytes))
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let (listed, read): (&[_], &[_]) = match self.0 {
            Fields::Listed(listed) => (listed, &[]),
            Fields::Read(read) => (&[], read),
        };
        let mut reader = Reader::new(read, Kind::Unsubscribe);
        let read = core::iter::from_fn(move || super::decode::filter(&mut reader).ok());
        listed.iter().copied().chain(read)
    }
}

impl PartialEq for Subscriptions<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Subscriptions<'_> {}

impl fmt::Debug for Subscriptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for Topics<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Topics<'_> {}

impl fmt::Debug for Topics<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Asks for messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subscribe<'a> {
    /// Its number.
    pub id: PacketId,
    /// Which ones, at least one filter.
    pub subscriptions: Subscriptions<'a>,
}

/// Answers a SUBSCRIBE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SubAck<'a> {
    /// The number of the SUBSCRIBE.
    pub id: PacketId,
    /// For each filter the quality of service granted, or 0x80 and above.
    pub codes: &'a [u8],
}

/// Asks for no more messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unsubscribe<'a> {
    /// Its number.
    pub id: PacketId,
    /// Of which filters, at least one.
    pub filters: Topics<'a>,
}

/// Answers an UNSUBSCRIBE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnsubAck<'a> {
    /// The number of the UNSUBSCRIBE.
    pub id: PacketId,
    /// For each filter, how it went; only in 5, empty before.
    pub codes: &'a [u8],
}

/// Ends the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Disconnect<'a> {
    /// Why; only in 5.
    pub code: u8,
    /// Properties; only in 5.
    pub properties: Properties<'a>,
}

/// Authenticates further; only in 5.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Auth {
    /// How it goes on.
    pub code: u8,
}

/// One packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the types say it")]
pub enum Packet<'a> {
    Connect(Connect<'a>),
    ConnAck(ConnAck<'a>),
    Publish(Publish<'a>),
    PubAck(Ack),
    PubRec(Ack),
    PubRel(Ack),
    PubComp(Ack),
    Subscribe(Subscribe<'a>),
    SubAck(SubAck<'a>),
    Unsubscribe(Unsubscribe<'a>),
    UnsubAck(UnsubAck<'a>),
    PingReq,
    PingResp,
    Disconnect(Disconnect<'a>),
    Auth(Auth),
}

impl Packet<'_> {
    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Connect(_) => Kind::Connect,
            Self::ConnAck(_) => Kind::ConnAck,
            Self::Publish(_) => Kind::Publish,
            Self::PubAck(_) => Kind::PubAck,
            Self::PubRec(_) => Kind::PubRec,
            Self::PubRel(_) => Kind::PubRel,
            Self::PubComp(_) => Kind::PubComp,
            Self::Subscribe(_) => Kind::Subscribe,
            Self::SubAck(_) => Kind::SubAck,
            Self::Unsubscribe(_) => Kind::Unsubscribe,
            Self::UnsubAck(_) => Kind::UnsubAck,
            Self::PingReq => Kind::PingReq,
            Self::PingResp => Kind::PingResp,
            Self::Disconnect(_) => Kind::Disconnect,
            Self::Auth(_) => Kind::Auth,
        }
    }
}
