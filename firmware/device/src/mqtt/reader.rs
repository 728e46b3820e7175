//! A packet's fields, one after the other.

use crate::mqtt::head::{Kind, read_length};
use crate::mqtt::malformed::Malformed;
use crate::mqtt::packet::PacketId;

/// Reads fields from the front of what is left of a packet.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    kind: Kind,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8], kind: Kind) -> Self {
        Self { bytes, kind }
    }

    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.bytes)
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (field, rest) = self.bytes.split_at_checked(len).ok_or(Malformed::Short(self.kind))?;
        self.bytes = rest;
        Ok(field)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (field, rest) = self.bytes.split_first_chunk().ok_or(Malformed::Short(self.kind))?;
        self.bytes = rest;
        Ok(*field)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn length(&mut self) -> Result<u32, Malformed> {
        let (value, digits) = read_length(self.bytes)?.ok_or(Malformed::Short(self.kind))?;
        self.bytes = &self.bytes[digits..];
        Ok(value)
    }

    pub(super) fn id(&mut self) -> Result<PacketId, Malformed> {
        PacketId::new(self.u16()?).ok_or(Malformed::PacketIdZero)
    }

    /// Bytes behind their length of two bytes.
    pub(super) fn binary(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.u16()?;
        self.bytes(len.into())
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Malformed> {
        let text = core::str::from_utf8(self.binary()?).map_err(|_| Malformed::Utf8(self.kind))?;
        if text.contains('\0') { Err(Malformed::Nul(self.kind)) } else { Ok(text) }
    }

    /// Ends the reading.
    pub(super) const fn end(self) -> Result<(), Malformed> {
        if self.bytes.is_empty() { Ok(()) } else { Err(Malformed::Excess(self.kind)) }
    }
}
