//! JSON lines as a read-write protocol: an object goes out, the same object comes back, however it is written. Keep-alives
//! (empty lines) and the device's own data between the answers are passed over.

use std::borrow::Cow;

use espstress_device::framed::fill_payload;
use espstress_device::line;

use super::codec::{Fed, Others, Whose};
use espstress_event::Failure;
use serde::Deserialize;

/// Longest payload of a line, bytes.
pub(super) const LONGEST_PAYLOAD: usize = 32 * 1024;

/// An object, as far as it may be an echo.
#[derive(Deserialize)]
struct Echo<'a> {
    seq: Option<u64>,
    #[serde(borrow)]
    data: Option<Cow<'a, str>>,
}

/// One connection's lines.
#[derive(Clone, Debug)]
pub(super) struct Line {
    size: usize,
    expected: Vec<u8>,
    filled_for: Option<u32>,
    have: Vec<u8>,
    pub(super) others: Others,
}

impl Line {
    pub(super) fn new(size: usize) -> Self {
        Self { size, expected: Vec::new(), filled_for: None, have: Vec::new(), others: Others::default() }
    }

    pub(super) fn start(&mut self) {
        self.have.clear();
        self.others.start();
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
            let echo = match kind {
                line::Line::Object => is_echo(&self.have, &self.expected),
                line::Line::KeepAlive | line::Line::Id(_) | line::Line::Data => None,
            };
            let whose = (echo == Some(false)).then(|| self.whose(due));
            self.have.clear();
            let payload = self.size as u64;
            match whose {
                Some(Whose::Later(passed)) => return Ok(Fed::Later { used, payload, passed }),
                Some(Whose::Nobody) => return Err(Failure::CorruptPayload),
                Some(Whose::PassedOver | Whose::Again) => {}
                None if echo.is_some() => {
                    self.others.answered(due);
                    return Ok(Fed::Answer { used, payload });
                }
                None => {}
            }
        }
        Ok(Fed::More)
    }

    /// Whose echo the object is that has come, where it is not the one that is due.
    fn whose(&mut self, due: u32) -> Whose {
        let seq = serde_json::from_slice::<Echo<'_>>(&self.have).ok().and_then(|echo| echo.seq);
        let Some(number) = seq.and_then(|seq| u32::try_from(seq).ok()) else { return Whose::Nobody };
        let mut expected = Vec::new();
        self.request(number, &mut expected);
        if is_echo(&self.have, &expected) == Some(true) {
            self.others.take(due, number)
        } else {
            Whose::Nobody
        }
    }

    pub(super) const fn eof(&self) -> Failure {
        if self.have.is_empty() { Failure::EofBeforeResponse } else { Failure::TruncatedResponse }
    }
}

/// Whether an object that has come is the expected one; `None` where it is no echo at all, but the device's own.
fn is_echo(have: &[u8], expected: &[u8]) -> Option<bool> {
    if have == expected {
        return Some(true);
    }
    // Seldom: most programs send back the bytes that came.
    let (Ok(have), Ok(due)) =
        (serde_json::from_slice::<Echo<'_>>(have), serde_json::from_slice::<Echo<'_>>(expected))
    else {
        return Some(false);
    };
    let Echo { seq, data } = &due;
    (have.seq.is_some() || have.data.is_some()).then(|| have.seq == *seq && have.data == *data)
}

#[cfg(test)]
mod tests {
    use super::super::codec::Codec;
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
    fn an_answer_to_a_later_line_passes_those_before_it_over() {
        let mut codec = Codec::Line(Line::new(20));
        let line = |seq| {
            let mut bytes = Vec::new();
            Line::new(20).request(seq, &mut bytes);
            bytes
        };
        codec.ahead(2);
        let used = line(3).len();
        assert_eq!(codec.feed(1, &line(3)), Ok(Fed::Later { used, payload: 20, passed: 2 }));
        codec.ahead(0);
        // One of those comes after all, and the next is due.
        assert_eq!(
            codec.feed(4, &[line(2), line(4)].concat()),
            Ok(Fed::Answer { used: 2 * used, payload: 20 })
        );
        assert_eq!((codec.take_out_of_order(), codec.take_out_of_order()), (1, 0));
        assert_eq!(codec.feed(5, &[line(2), line(4)].concat()), Ok(Fed::More), "they came before");
        assert_eq!((codec.take_repeated(), codec.take_repeated()), (2, 0));
        assert_eq!(codec.feed(5, &line(6)), Err(Failure::CorruptPayload), "it was not sent yet");
    }

    #[test]
    fn an_answer_that_comes_again_instead_of_the_one_that_is_due_is_a_wrong_one() {
        let line = |seq| {
            let mut bytes = Vec::new();
            Line::new(20).request(seq, &mut bytes);
            bytes
        };
        let mut codec = Codec::Line(Line::new(20));
        let used = line(1).len();
        assert_eq!(codec.feed(1, &line(1)), Ok(Fed::Answer { used, payload: 20 }));
        assert_eq!(codec.feed(2, &line(1)), Ok(Fed::More));
        assert_eq!((codec.timed_out(1), codec.take_repeated()), (Failure::CorruptPayload, 0));
        assert_eq!(codec.timed_out(1), Failure::ReadTimeout, "nothing came in the time of this one");
        // A device that repeats answers gives the right ones as well.
        assert_eq!(
            codec.feed(2, &[line(1), line(2)].concat()),
            Ok(Fed::Answer { used: 2 * used, payload: 20 })
        );
        assert_eq!(codec.feed(3, &line(2)), Ok(Fed::More));
        assert_eq!((codec.timed_out(1), codec.take_repeated()), (Failure::ReadTimeout, 2));
        // Another connection has its own.
        codec.start();
        assert_eq!(codec.feed(3, &line(2)), Err(Failure::CorruptPayload));
    }

    #[test]
    fn an_echo_may_be_written_in_another_way_and_an_object_of_the_devices_own_is_none() {
        let mut codec = Line::new(8);
        let mut sent = Vec::new();
        codec.request(7, &mut sent);
        let echo: serde_json::Value = serde_json::from_slice(&sent).unwrap();
        let data = &echo["data"];
        let answer = |text: &str| Ok(Fed::Answer { used: text.len(), payload: 8 });
        for text in [
            format!("{{ \"data\" : {data}, \"seq\" : 7 }}\r\n"),
            format!("{{\"temperature\":21.5}}\n{{\"seq\":7,\"data\":{data},\"ok\":true}}\n"),
        ] {
            assert_eq!(codec.feed(7, text.as_bytes()), answer(&text), "{text}");
        }
        for text in
            [format!("{{\"seq\":8,\"data\":{data}}}\n"), "{\"seq\":7}\n".into(), "{\"seq\":7,}\n".into()]
        {
            assert_eq!(codec.feed(7, text.as_bytes()), Err(Failure::CorruptPayload), "{text}");
        }
    }

    #[test]
    fn a_line_without_end_is_a_bad_response() {
        let mut codec = Line::new(20);
        let endless = vec![b'x'; line::MAX_LINE + 1];
        assert_eq!(codec.feed(1, &endless), Err(Failure::BadResponse));
    }
}
