//! The line protocol of port 8123, shared by device and host: newline-terminated JSON.
//!
//! An empty line is the keep-alive. Whoever dials sends its number first, as a line of digits. A peer that has sent
//! a keep-alive counts as gone after [`LineTimes::timeout`](crate::config::LineTimes) of silence; keep-alives go out
//! at two thirds of it. Application data is a JSON array each [`LineTimes::data_interval`](crate::config::LineTimes).
//! A line in flight when the link goes is lost: the protocol has no acknowledgement. So that a tester can have one,
//! the device sends every line that starts with `{` back as it is.

/// The keep-alive.
pub const KEEP_ALIVE: &[u8] = b"\n";

/// Longest line in bytes, without the newline.
pub const MAX_LINE: usize = 64 * 1024;

/// What a line is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Line {
    /// Empty.
    KeepAlive,
    /// The number of the peer that dialled.
    Id(u8),
    /// A JSON object: a request, to be sent back.
    Object,
    /// Anything else: the peer's data.
    Data,
}

/// Says what a line without its newline is. A carriage return at its end does not matter.
#[must_use]
pub fn classify(line: &[u8]) -> Line {
    let line = line.trim_ascii();
    match line.first() {
        None => Line::KeepAlive,
        Some(b'{') => Line::Object,
        Some(_) => match core::str::from_utf8(line).ok().and_then(|text| text.parse().ok()) {
            Some(id) => Line::Id(id),
            None => Line::Data,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart_by_their_beginning() {
        assert_eq!(classify(b"\r"), Line::KeepAlive);
        assert_eq!(classify(b"4"), Line::Id(4));
        assert_eq!(classify(br#"{"n":1}"#), Line::Object);
        assert_eq!(classify(b"[1,2]"), Line::Data);
        assert_eq!(classify(&[0xFF, 0xFE]), Line::Data);
    }
}
