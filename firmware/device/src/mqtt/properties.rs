//! Properties of protocol 5: the few that are kept, and past the others.

use core::num::{NonZeroU16, NonZeroU32};

use crate::mqtt::malformed::Malformed;
use crate::mqtt::reader::Reader;
use crate::mqtt::writer::Out;

/// The properties that are kept of a CONNECT, CONNACK or DISCONNECT.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Properties<'a> {
    /// Seconds that the session outlives its connection; `u32::MAX` is for ever.
    pub session_expiry: Option<u32>,
    /// The client identifier that the broker made up.
    pub assigned_client_id: Option<&'a str>,
    /// Seconds of keep alive that the broker wants instead.
    pub server_keep_alive: Option<u16>,
    /// Messages of quality of service 1 and 2 that may be under way to the sender of this.
    pub receive_maximum: Option<NonZeroU16>,
    /// Bytes of the longest packet that the sender of this takes.
    pub maximum_packet_size: Option<NonZeroU32>,
}

const SESSION_EXPIRY: u8 = 0x11;
const ASSIGNED_CLIENT_ID: u8 = 0x12;
const SERVER_KEEP_ALIVE: u8 = 0x13;
const RECEIVE_MAXIMUM: u8 = 0x21;
const MAXIMUM_PACKET_SIZE: u8 = 0x27;
const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
const USER_PROPERTY: u8 = 0x26;

impl<'a> Properties<'a> {
    /// Reads the length of properties and as many.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let len = reader.length()?;
        let mut fields = Reader::new(reader.bytes(len as usize)?, reader.kind());
        let mut properties = Self::default();
        // Every identifier is below 64; a bit for each that may be there once.
        let mut seen = 0u64;
        while !fields.is_empty() {
            let number = fields.length()?;
            let id = u8::try_from(number).map_err(|_| Malformed::Property(number))?;
            let bit = 1u64.checked_shl(id.into()).ok_or(Malformed::Property(number))?;
            if seen & bit != 0 && !matches!(id, USER_PROPERTY | SUBSCRIPTION_IDENTIFIER) {
                return Err(Malformed::PropertyTwice(id));
            }
            seen |= bit;
            properties.read_one(id, &mut fields)?;
        }
        Ok(properties)
    }

    fn read_one(&mut self, id: u8, fields: &mut Reader<'a>) -> Result<(), Malformed> {
        match id {
            SESSION_EXPIRY => self.session_expiry = Some(fields.u32()?),
            ASSIGNED_CLIENT_ID => self.assigned_client_id = Some(fields.text()?),
            SERVER_KEEP_ALIVE => self.server_keep_alive = Some(fields.u16()?),
            RECEIVE_MAXIMUM => {
                let value = NonZeroU16::new(fields.u16()?);
                self.receive_maximum = Some(value.ok_or(Malformed::PropertyValue(id))?);
            }
            MAXIMUM_PACKET_SIZE => {
                let value = NonZeroU32::new(fields.u32()?);
                self.maximum_packet_size = Some(value.ok_or(Malformed::PropertyValue(id))?);
            }
            // Payload format, problem information, response information, maximum QoS, retain available, wildcard,
            // identifiers and shared subscriptions available.
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => {
                if fields.byte()? > 1 {
                    return Err(Malformed::PropertyValue(id));
                }
            }
            // Topic alias maximum, topic alias.
            0x22 | 0x23 => _ = fields.u16()?,
            // Message expiry, will delay.
            0x02 | 0x18 => _ = fields.u32()?,
            SUBSCRIPTION_IDENTIFIER => {
                if fields.length()? == 0 {
                    return Err(Malformed::PropertyValue(id));
                }
            }
            // Content type, response topic, authentication method, response information, server reference, reason.
            0x03 | 0x08 | 0x15 | 0x1A | 0x1C | 0x1F => _ = fields.text()?,
            // Correlation data, authentication data.
            0x09 | 0x16 => _ = fields.binary()?,
            USER_PROPERTY => {
                fields.text()?;
                fields.text()?;
            }
            _ => return Err(Malformed::Property(id.into())),
        }
        Ok(())
    }

    pub(super) fn write<O: Out>(&self, out: &mut O) {
        let number = |out: &mut O, id, value: &[u8]| {
            out.put(&[id]);
            out.put(value);
        };
        if let Some(value) = self.session_expiry {
            number(out, SESSION_EXPIRY, &value.to_be_bytes());
        }
        if let Some(value) = self.assigned_client_id {
            out.put(&[ASSIGNED_CLIENT_ID]);
            out.text(value.as_bytes());
        }
        if let Some(value) = self.server_keep_alive {
            number(out, SERVER_KEEP_ALIVE, &value.to_be_bytes());
        }
        if let Some(value) = self.receive_maximum {
            number(out, RECEIVE_MAXIMUM, &value.get().to_be_bytes());
        }
        if let Some(value) = self.maximum_packet_size {
            number(out, MAXIMUM_PACKET_SIZE, &value.get().to_be_bytes());
        }
    }
}
