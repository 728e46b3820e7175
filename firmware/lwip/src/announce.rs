//! The device, announced by lwIP's own multicast DNS responder (RFC 6762, RFC 6763).

use std::ffi::CString;

use crate::error::{SocketError, check};
use crate::ffi;
use crate::stack::Stack;

/// An announcement of this stack's device; it stays until the process ends.
///
/// It takes about 1.3 KB of the heap, so that a device under test does without unless it is asked for.
#[derive(Debug)]
pub struct Announcement {
    _announced: (),
}

impl Announcement {
    /// Announces `name._espstress._tcp.local` on this port, and `name.local`, and answers questions for them.
    ///
    /// # Errors
    /// [`SocketError::AddressInUse`] when there is one already, [`SocketError::NoMemory`], [`SocketError::MessageSize`]
    /// for a name of more than 63 bytes or more to say than 255, [`SocketError::Invalid`] for a name with a zero in it.
    pub fn start(_stack: &Stack, name: &str, port: u16, txt: &[(&str, &str)]) -> Result<Self, SocketError> {
        let name = CString::new(name).map_err(|_| SocketError::Invalid)?;
        check(ffi::announce(&name, port, &strings(txt)?))?;
        Ok(Self { _announced: () })
    }

    /// Says something else from now on, and says it to everybody.
    ///
    /// # Errors
    /// [`SocketError::MessageSize`] for more than 255 bytes.
    pub fn change(&self, txt: &[(&str, &str)]) -> Result<(), SocketError> {
        check(ffi::announce_again(&strings(txt)?)).map(drop)
    }
}

/// A TXT record: `key=value` each, after a byte of length (RFC 6763 section 6).
fn strings(txt: &[(&str, &str)]) -> Result<Vec<u8>, SocketError> {
    let mut bytes = Vec::new();
    for (key, value) in txt {
        let string = format!("{key}={value}");
        bytes.push(u8::try_from(string.len()).map_err(|_| SocketError::MessageSize)?);
        bytes.extend_from_slice(string.as_bytes());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_have_their_length_before_them() {
        assert_eq!(strings(&[("stack", "lwIP"), ("chip", "")]), Ok(b"\x0astack=lwIP\x05chip=".to_vec()));
        assert_eq!(strings(&[("key", &"x".repeat(252))]), Err(SocketError::MessageSize));
    }
}
