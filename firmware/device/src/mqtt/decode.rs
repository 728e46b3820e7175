//! From bytes to packets.

use crate::mqtt::head::{Head, HeadRead, Kind};
use crate::mqtt::malformed::Malformed;
use crate::mqtt::packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, PacketId, Password, Publish, Qos, RetainHandling,
    SubAck, Subscribe, Subscription, Subscriptions, Topics, UnsubAck, Unsubscribe, Version, Will,
};
use crate::mqtt::properties::Properties;
use crate::mqtt::reader::Reader;
use crate::mqtt::topic;

/// What the bytes that are there give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decoded<'a> {
    /// At least so many bytes are missing.
    Needs(usize),
    /// A packet, in the first `len` bytes.
    Packet {
        /// What it says.
        packet: Packet<'a>,
        /// Its bytes.
        len: usize,
    },
}

/// Reads the packet that starts here, with a rest of at most `at_most` bytes behind its head.
///
/// A CONNECT says its own version; `version` is that of every other packet. Whoever reads from a client starts with
/// any version and goes on with the CONNECT's.
///
/// # Errors
/// The rule that the bytes break, as soon as they show it.
pub fn decode(bytes: &[u8], version: Version, at_most: u32) -> Result<Decoded<'_>, Malformed> {
    let head = match Head::read(bytes, version, at_most)? {
        HeadRead::Needs(missing) => return Ok(Decoded::Needs(missing)),
        HeadRead::Head(head) => head,
    };
    let len = head.packet_len();
    let Some(body) = bytes.get(head.len..len) else {
        return Ok(Decoded::Needs(len - bytes.len()));
    };
    let mut reader = Reader::new(body, head.kind);
    let packet = match head.kind {
        Kind::Connect => Packet::Connect(connect(&mut reader)?),
        Kind::ConnAck => Packet::ConnAck(connack(&mut reader, version)?),
        Kind::Publish => {
            let PublishStart { dup, qos, retain, topic, id, .. } = start(&mut reader, head, version)?;
            Packet::Publish(Publish { dup, qos, retain, topic, id, payload: reader.rest() })
        }
        Kind::PubAck => Packet::PubAck(ack(&mut reader, version)?),
        Kind::PubRec => Packet::PubRec(ack(&mut reader, version)?),
        Kind::PubRel => Packet::PubRel(ack(&mut reader, version)?),
        Kind::PubComp => Packet::PubComp(ack(&mut reader, version)?),
        Kind::Subscribe => {
            let id = start_of_list(&mut reader, version)?;
            let fields = reader.rest();
            let mut reader = Reader::new(fields, head.kind);
            while !reader.is_empty() {
                subscription(&mut reader, version)?;
            }
            Packet::Subscribe(Subscribe { id, subscriptions: Subscriptions::read(fields) })
        }
        Kind::SubAck => {
            let id = start_of_codes(&mut reader, version)?;
            Packet::SubAck(SubAck { id, codes: reader.rest() })
        }
        Kind::Unsubscribe => {
            let id = start_of_list(&mut reader, version)?;
            let fields = reader.rest();
            let mut reader = Reader::new(fields, head.kind);
            while !reader.is_empty() {
                filter(&mut reader)?;
            }
            Packet::Unsubscribe(Unsubscribe { id, filters: Topics::read(fields) })
        }
        Kind::UnsubAck => {
            let id = start_of_codes(&mut reader, version)?;
            let codes = if version == Version::V5 { reader.rest() } else { &[] };
            Packet::UnsubAck(UnsubAck { id, codes })
        }
        Kind::PingReq => Packet::PingReq,
        Kind::PingResp => Packet::PingResp,
        Kind::Disconnect => {
            let (code, properties) = ending(&mut reader, version)?;
            Packet::Disconnect(Disconnect { code, properties })
        }
        Kind::Auth => Packet::Auth(Auth { code: ending(&mut reader, version)?.0 }),
    };
    reader.end()?;
    Ok(Decoded::Packet { packet, len })
}

/// The fields of a PUBLISH before its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PublishStart<'a> {
    /// Whether it may have been sent before.
    pub dup: bool,
    /// How hard the sender tries.
    pub qos: Qos,
    /// Whether it was kept.
    pub retain: bool,
    /// Where to.
    pub topic: &'a str,
    /// Its number.
    pub id: Option<PacketId>,
    /// Length of the payload.
    pub payload: usize,
}

/// Reads a PUBLISH up to its payload, for receivers without room for the whole of it: `None` as long as there are too
/// few bytes for that, or when it is another kind of packet.
///
/// # Errors
/// The rule that the bytes break.
pub fn publish_start(
    bytes: &[u8],
    version: Version,
    at_most: u32,
) -> Result<Option<PublishStart<'_>>, Malformed> {
    match Head::read(bytes, version, at_most)? {
        HeadRead::Head(head) if head.kind == Kind::Publish => {
            let there = bytes.get(head.len..).unwrap_or(&[]);
            let whole = there.len() >= head.remaining as usize;
            let mut reader = Reader::new(there.get(..head.remaining as usize).unwrap_or(there), head.kind);
            match start(&mut reader, head, version) {
                Err(Malformed::Short(_)) if !whole => Ok(None),
                start => start.map(Some),
            }
        }
        HeadRead::Needs(_) | HeadRead::Head(_) => Ok(None),
    }
}

fn start<'a>(reader: &mut Reader<'a>, head: Head, version: Version) -> Result<PublishStart<'a>, Malformed> {
    let before = reader.len();
    let qos = Qos::from_number(head.flags >> 1 & 0b11).ok_or(Malformed::Qos3)?;
    let topic = reader.text()?;
    topic::check_topic(topic)?;
    let id = if qos == Qos::AtMostOnce { None } else { Some(reader.id()?) };
    properties(reader, version)?;
    Ok(PublishStart {
        dup: head.flags & 0b1000 != 0,
        qos,
        retain: head.flags & 1 != 0,
        topic,
        id,
        payload: (head.remaining as usize).saturating_sub(before - reader.len()),
    })
}

fn connect<'a>(reader: &mut Reader<'a>) -> Result<Connect<'a>, Malformed> {
    let name = reader.binary()?;
    let version = match (name, reader.byte()?) {
        (b"MQIsdp", 3) => Version::V31,
        (b"MQTT", 4) => Version::V311,
        (b"MQTT", 5) => Version::V5,
        (b"MQIsdp" | b"MQTT", level) => return Err(Malformed::Protocol { level: Some(level) }),
        _ => return Err(Malformed::Protocol { level: None }),
    };
    let flags = reader.byte()?;
    let [reserved, clean, has_will, _, _, will_retain, has_password, has_user] =
        core::array::from_fn(|bit| flags >> bit & 1 != 0);
    // 3.1 leaves the lowest bit unused.
    if reserved && version != Version::V31 {
        return Err(Malformed::ConnectFlags);
    }
    let will_qos = Qos::from_number(flags >> 3 & 0b11).ok_or(Malformed::Qos3)?;
    if !has_will && (will_retain || will_qos != Qos::AtMostOnce) {
        return Err(Malformed::ConnectFlags);
    }
    if has_password && !has_user && version != Version::V5 {
        return Err(Malformed::ConnectFlags);
    }
    let keep_alive = reader.u16()?;
    let properties = properties(reader, version)?;
    let client_id = reader.text()?;
    let will = if has_will { Some(will(reader, version, will_qos, will_retain)?) } else { None };
    let user = if has_user { Some(reader.text()?) } else { None };
    let password = if has_password { Some(Password(reader.binary()?)) } else { None };
    Ok(Connect { version, clean, keep_alive, client_id, will, user, password, properties })
}

fn will<'a>(
    reader: &mut Reader<'a>,
    version: Version,
    qos: Qos,
    retain: bool,
) -> Result<Will<'a>, Malformed> {
    properties(reader, version)?;
    let topic = reader.text()?;
    topic::check_topic(topic)?;
    Ok(Will { topic, payload: reader.binary()?, qos, retain })
}

fn connack<'a>(reader: &mut Reader<'a>, version: Version) -> Result<ConnAck<'a>, Malformed> {
    let session_present = match reader.byte()? {
        0 => false,
        1 => true,
        _ => return Err(Malformed::ConnectFlags),
    };
    let code = reader.byte()?;
    Ok(ConnAck { session_present, code, properties: properties(reader, version)? })
}

fn ack(reader: &mut Reader<'_>, version: Version) -> Result<Ack, Malformed> {
    let id = reader.id()?;
    Ok(Ack { id, code: ending(reader, version)?.0 })
}

/// A code and properties, each of which 5 may leave out, and which the others do not have.
fn ending<'a>(reader: &mut Reader<'a>, version: Version) -> Result<(u8, Properties<'a>), Malformed> {
    if version != Version::V5 || reader.is_empty() {
        return Ok((0, Properties::default()));
    }
    let code = reader.byte()?;
    if reader.is_empty() {
        return Ok((code, Properties::default()));
    }
    Ok((code, properties(reader, version)?))
}

fn properties<'a>(reader: &mut Reader<'a>, version: Version) -> Result<Properties<'a>, Malformed> {
    if version == Version::V5 { Properties::read(reader) } else { Ok(Properties::default()) }
}

/// What a SUBSCRIBE or UNSUBSCRIBE has before its filters, of which there must be some.
fn start_of_list(reader: &mut Reader<'_>, version: Version) -> Result<PacketId, Malformed> {
    let id = start_of_codes(reader, version)?;
    if reader.is_empty() { Err(Malformed::NoFilters) } else { Ok(id) }
}

fn start_of_codes(reader: &mut Reader<'_>, version: Version) -> Result<PacketId, Malformed> {
    let id = reader.id()?;
    properties(reader, version)?;
    Ok(id)
}

pub(super) fn filter<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Malformed> {
    let filter = reader.text()?;
    topic::check_filter(filter)?;
    Ok(filter)
}

pub(super) fn subscription<'a>(
    reader: &mut Reader<'a>,
    version: Version,
) -> Result<Subscription<'a>, Malformed> {
    let filter = filter(reader)?;
    let options = reader.byte()?;
    let reserved = if version == Version::V5 { 0b1100_0000 } else { 0b1111_1100 };
    if options & reserved != 0 {
        return Err(Malformed::SubscribeOptions);
    }
    let retain_handling = match options >> 4 & 0b11 {
        0 => RetainHandling::Send,
        1 => RetainHandling::SendIfNew,
        2 => RetainHandling::DontSend,
        _ => return Err(Malformed::SubscribeOptions),
    };
    Ok(Subscription {
        filter,
        qos: Qos::from_number(options & 0b11).ok_or(Malformed::Qos3)?,
        no_local: options & 0b100 != 0,
        retain_as_published: options & 0b1000 != 0,
        retain_handling,
    })
}
