//! Bytes of packets, right and wrong ones.

use core::fmt;

use crate::mqtt::head::{Kind, MAX_REMAINING};

/// Why a packet could not be written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EncodeError {
    /// The packet needs so many bytes.
    Full {
        /// Length of the packet.
        needs: usize,
    },
    /// A text or binary field is longer than 65,535 bytes, or the packet than its head can say.
    TooLong,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { needs } => write!(f, "the packet needs {needs} bytes"),
            Self::TooLong => f.write_str("a field or the packet is longer than MQTT can say"),
        }
    }
}

impl core::error::Error for EncodeError {}

/// Where a packet's fields go: to bytes, or to a count of them.
pub(super) trait Out {
    fn put(&mut self, bytes: &[u8]);

    /// Notes that a field is too long to be said.
    fn too_long(&mut self);

    fn u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    /// Bytes behind their length of two bytes.
    fn text(&mut self, bytes: &[u8]) {
        match u16::try_from(bytes.len()) {
            Ok(len) => {
                self.u16(len);
                self.put(bytes);
            }
            Err(_) => self.too_long(),
        }
    }

    /// A number of seven bits a byte.
    fn length(&mut self, value: usize) {
        match u32::try_from(value) {
            Ok(value) if value <= MAX_REMAINING => {
                let (bytes, len) = length_bytes(value);
                self.put(&bytes[..len]);
            }
            _ => self.too_long(),
        }
    }
}

fn length_bytes(mut value: u32) -> ([u8; 4], usize) {
    let mut bytes = [0; 4];
    let mut len = 0;
    loop {
        let more = value > 0x7F && len < 3;
        bytes[len] = (value & 0x7F) as u8 | if more { 0x80 } else { 0 };
        len += 1;
        if !more {
            return (bytes, len);
        }
        value >>= 7;
    }
}

/// Counts instead of writing.
#[derive(Default)]
pub(super) struct Count {
    pub(super) len: usize,
    pub(super) too_long: bool,
}

impl Out for Count {
    fn put(&mut self, bytes: &[u8]) {
        self.len = self.len.saturating_add(bytes.len());
    }

    fn too_long(&mut self) {
        self.too_long = true;
    }
}

/// Writes packets piece by piece, whatever sense they make: for a broker that has to send wrong ones.
///
/// ```
/// use espstress_device::mqtt::{Kind, Writer};
///
/// let mut bytes = [0; 16];
/// let mut writer = Writer::new(&mut bytes);
/// // A PINGRESP with reserved flags and a length of more bytes than it needs.
/// writer.first(Kind::PingResp, 0b0101).length_of(0, 3);
/// assert_eq!(writer.finish(), Ok(4));
/// assert_eq!(bytes[..4], [0xD5, 0x80, 0x80, 0x00]);
/// ```
pub struct Writer<'a> {
    bytes: &'a mut [u8],
    /// Bytes asked for so far, those that did not fit included.
    len: usize,
    too_long: bool,
}

impl Out for Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        if let Some(space) = self.bytes.get_mut(self.len..end) {
            space.copy_from_slice(bytes);
        }
        self.len = end;
    }

    fn too_long(&mut self) {
        self.too_long = true;
    }
}

impl<'a> Writer<'a> {
    /// Writes from the beginning of these bytes on.
    #[must_use]
    pub const fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, len: 0, too_long: false }
    }

    /// The first byte of a packet.
    pub fn first(&mut self, kind: Kind, flags: u8) -> &mut Self {
        self.raw(&[(kind as u8) << 4 | flags & 0x0F])
    }

    /// A length in as few bytes as it needs.
    pub fn length(&mut self, value: usize) -> &mut Self {
        Out::length(self, value);
        self
    }

    /// The low bits of a length in so many bytes, five and more included: each but the last says that it goes on.
    pub fn length_of(&mut self, value: u32, bytes: usize) -> &mut Self {
        for index in 0..bytes {
            let digit = value.checked_shr(7 * index as u32).unwrap_or(0) as u8 & 0x7F;
            self.raw(&[if index + 1 < bytes { digit | 0x80 } else { digit }]);
        }
        self
    }

    /// A number of two bytes.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Bytes behind their length of two bytes: a text, or what should be one.
    pub fn text(&mut self, bytes: &[u8]) -> &mut Self {
        Out::text(self, bytes);
        self
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.put(bytes);
        self
    }

    /// How many bytes were written.
    ///
    /// # Errors
    /// Not everything fitted, or a field was too long.
    pub const fn finish(&self) -> Result<usize, EncodeError> {
        if self.too_long {
            Err(EncodeError::TooLong)
        } else if self.len > self.bytes.len() {
            Err(EncodeError::Full { needs: self.len })
        } else {
            Ok(self.len)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_bytes_of_the_standards_table() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (127, &[0x7F]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xFF, 0x7F]),
            (16_384, &[0x80, 0x80, 0x01]),
            (2_097_151, &[0xFF, 0xFF, 0x7F]),
            (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
            (268_435_455, &[0xFF, 0xFF, 0xFF, 0x7F]),
        ] {
            let (written, len) = length_bytes(value);
            assert_eq!(&written[..len], bytes, "{value}");
        }
    }

    #[test]
    fn what_does_not_fit_says_how_much_it_needs() {
        let mut bytes = [0; 3];
        let mut writer = Writer::new(&mut bytes);
        writer.text(b"abc").raw(b"d");
        assert_eq!(writer.finish(), Err(EncodeError::Full { needs: 6 }));
        assert_eq!(bytes, [0, 3, 0], "no field is written in part, and none behind one that did not fit");
    }
}
