//! JSON lines as a read-write protocol: an object goes out, the same object comes back. Keep-alives (empty lines)
//! and the device's own data between the answers are passed over.

use espstress_device::framed::fill_payload;
use espstress_device::line;

use super::codec::Fed;
use espstress_event::Failure;

/// Longest payload of a line, bytes.
pub(super) const LONGEST_PAYLOAD: usize = 32 * 1024;

/// One connection's lines.
#[derive(Clone, Debug)]
pub(super) struct Line {
    size: usize,
    expected: Vec<u8>,
    filled_for: Option<u32>,
    have: Vec<u8>,
}

impl Line {
    pub(super) fn new(size: usize) -> Self {
        Self { size, expected: Vec::new(), filled_for: None, have: Vec::new() }
    }

    pub(super) fn start(&mut self) {
        self.have.clear();
    }

    pub(super) fn request(&self, sequence: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{{\"seq\":{sequence},\"data\":\"").as_bytes());
        let start = out.len();
        out.resize(start + self.size, 0);
        if let Some(payload) = out.get_mut(start..) {
            fill_payload(sequence, payload);
            for byte in payload {
                // Letters only: nothing that JSON would have to escape.
                *byte = b'a' + *byte % 26;
            }
        }
        out.extend_from_slice(b"\"}\n");
    }

    pub(super) fn feed(&mut self, due: u32, bytes: &[u8]) -> Result<Fed, Failure> {
        if self.filled_for != Some(due) {
            let mut expected = std::mem::take(&mut self.expected);
            expected.clear();
            self.request(due, &mut expected);
            self.expected = expected;
            self.filled_for = Some(due);
        }
        let mut used = 0;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            used += piece.len();
            if self.have.len() + piece.len() > line::MAX_LINE {
                return Err(Failure::BadResponse);
            }
            self.have.extend_from_slice(piece);
            if !piece.ends_with(b"\n") {
                return Ok(Fed::More);
            }
            let kind = line::classify(&self.have);
            let right = self.have == self.expected;
            self.have.clear();
            match kind {
                line::Line::Object if right => return Ok(Fed::Answer { used, payload: self.size as u64 }),
                line::Line::Object => return Err(Failure::CorruptPayload),
                line::Line::KeepAlive | line::Line::Id(_) | line::Line::Data => {}
            }
        }
        Ok(Fed::More)
    }

    pub(super) const fn eof(&self) -> Failure {
        if self.have.is_empty() { Failure::EofBeforeResponse } else { Failure::TruncatedResponse }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_found_between_keep_alives_and_data() {
        let mut codec = Line::new(20);
        let mut bytes = b"\n1\n[\"data\", 5]\n\n".to_vec();
        codec.request(3, &mut bytes);
        let answer = Fed::Answer { used: bytes.len(), payload: 20 };
        bytes.extend_from_slice(b"\n");
        assert_eq!(codec.feed(3, &bytes), Ok(answer));
    }

    #[test]
    fn another_object_than_the_one_that_was_sent_is_a_corrupt_payload() {
        let mut codec = Line::new(20);
        assert_eq!(codec.feed(1, b"{\"seq\":1,\"data\":\"\"}\n"), Err(Failure::CorruptPayload));
    }

    #[test]
    fn a_line_without_end_is_a_bad_response() {
        let mut codec = Line::new(20);
        let endless = vec![b'x'; line::MAX_LINE + 1];
        assert_eq!(codec.feed(1, &endless), Err(Failure::BadResponse));
    }
}
