//! The bytes of an event stream (WHATWG HTML, 9.2.6), as far as a measurement needs them: how many events, not what they say.

/// Longest event, bytes: a stream with a longer one is given up.
const LONGEST_EVENT: u64 = 1024 * 1024;

/// Of a line that is kept: enough for every field's name, and for any id or time that is used.
const KEPT: usize = 256;

/// Longest time that `retry` may ask for: one hour.
const LONGEST_RETRY_MS: u64 = 3_600_000;

/// What some bytes held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The bytes of each event that is complete.
    pub(super) events: Vec<u64>,
    pub(super) comments: u64,
    /// The last event's id that can be sent back, where one was set.
    pub(super) id: Option<String>,
    pub(super) retry_ms: Option<u64>,
    /// An event grew too long.
    pub(super) too_long: bool,
}

/// Reads a stream as its bytes come.
#[derive(Clone, Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    /// Bytes of the line, those that were not kept included.
    length: u64,
    /// Bytes of the event's lines before this one.
    event: u64,
    has_data: bool,
    /// The last byte was a CR: an LF behind it belongs to it.
    after_cr: bool,
    /// A line has ended: a byte order mark is one no longer.
    begun: bool,
    id: Option<String>,
}

impl Parser {
    /// Takes the next bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Found {
        let mut found = Found::default();
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => self.end_of_line(&mut found),
                _ => {
                    self.length += 1;
                    if self.line.len() < KEPT {
                        self.line.push(byte);
                    }
                }
            }
            found.too_long |= self.event + self.length > LONGEST_EVENT;
        }
        found
    }

    /// Whether an event is half sent.
    pub(super) fn is_amid(&self) -> bool {
        // A half comment is none.
        self.has_data || self.length > 0 && !self.line.starts_with(b":")
    }

    fn end_of_line(&mut self, found: &mut Found) {
        let length = std::mem::take(&mut self.length);
        let mut line = std::mem::take(&mut self.line);
        if !std::mem::replace(&mut self.begun, true) && line.starts_with("\u{feff}".as_bytes()) {
            line.drain(..3);
        }
        if line.is_empty() {
            // Without data there is no event (9.2.6), but an id counts all the same.
            found.id = self.id.take().or_else(|| found.id.take());
            let event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.has_data) {
                found.events.push(event);
            }
        } else if line.first() == Some(&b':') {
            found.comments += 1;
        } else {
            self.event += length;
            self.field(&line, length, found);
        }
        line.clear();
        self.line = line;
    }

    fn field(&mut self, line: &[u8], length: u64, found: &mut Found) {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = value.strip_prefix(b":").unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => self.has_data = true,
            b"id" if length <= KEPT as u64 => {
                // What a header can hold; EventSource ignores an id with NUL.
                let text = std::str::from_utf8(value).ok().filter(|text| !text.contains(char::is_control));
                self.id = text.map(str::to_owned).or_else(|| self.id.take());
            }
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let ms = value
                    .iter()
                    .fold(0_u64, |ms, digit| ms.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
                found.retry_ms = Some(ms.min(LONGEST_RETRY_MS));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str) -> Found {
        Parser::default().feed(text.as_bytes())
    }

    #[test]
    fn events_end_with_a_blank_line_whatever_ends_their_lines() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["data: a", "", "event: x", "data: b", "data", "", ": hello", ""].join(end) + end;
            let found = of(&text);
            assert_eq!((found.events.as_slice(), found.comments), (&[7, 19][..], 1), "{text:?}");
        }
    }

    #[test]
    fn a_block_without_data_is_no_event() {
        assert!(of("event: x\n\nretry: 10\n\n: c\n\n").events.is_empty());
        assert_eq!(of("data\n\n").events, [4], "empty data is data");
        assert!(of("data: half\n").events.is_empty());
        assert_eq!(of("\u{feff}data: a\n\n").events.len(), 1);
    }

    #[test]
    fn ids_and_times_are_taken_as_far_as_they_can_be_used() {
        assert_eq!(of("id: 7\n\n").id.as_deref(), Some("7"));
        assert_eq!(of("id: 7\ndata: a\n").id, None, "not before its event is complete");
        assert_eq!(of("id: a\0b\n\n").id, None);
        assert_eq!(of("id: 7\n\nid\n\n").id.as_deref(), Some(""), "an empty one takes it back");
        assert_eq!(of("retry: 1500\n").retry_ms, Some(1_500));
        assert_eq!(of("retry: 1.5\n").retry_ms, None);
        assert_eq!(of(&format!("retry: {}\n", "9".repeat(40))).retry_ms, Some(LONGEST_RETRY_MS));
    }

    #[test]
    fn an_event_without_end_is_too_long_and_takes_no_memory() {
        let mut parser = Parser::default();
        let piece = vec![b'a'; 64 * 1024];
        let mut pieces = 1;
        while !parser.feed(&piece).too_long {
            pieces += 1;
        }
        assert_eq!(pieces, 17);
        assert!(parser.line.capacity() <= 2 * KEPT);
        assert!(parser.is_amid());
    }

    proptest! {
        #[test]
        fn cuts_do_not_change_what_is_found(bytes in proptest::collection::vec(
            proptest::sample::select(b"data:id retry12\r\n\n\n".to_vec()), 0..300), cut in 1usize..20) {
            let whole = Parser::default().feed(&bytes);
            let mut parser = Parser::default();
            let (mut events, mut comments) = (Vec::new(), 0);
            for piece in bytes.chunks(cut) {
                let found = parser.feed(piece);
                events.extend(found.events);
                comments += found.comments;
            }
            prop_assert_eq!((events, comments), (whole.events, whole.comments));
        }

        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>) {
            Parser::default().feed(&bytes);
        }
    }
}
