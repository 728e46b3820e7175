//! The MicroPython pair's protocol: a GET, then everything up to the peer's FIN. The answer has no HTTP head: two
//! lines of heap figures, then 10,240 bytes of one repeated word.
//!
//! Beside what every protocol measures, the counts of that pair's client are kept, so that a report can print its
//! summary: see [`RawTally`].

use std::net::SocketAddr;
use std::time::Instant;

use super::codec::Fed;
use espstress_clock::nanos;
use espstress_event::Failure;
use espstress_stats::RawTally;

/// Bytes that follow the two lines.
pub(super) const PAYLOAD: usize = 10_240;

/// Longest of the two lines that is read, bytes.
const LONGEST_LINE: usize = 4_096;

/// Longest repeated word: a blank, `HelloWorld@`, and the nanoseconds of a 64-bit clock.
const LONGEST_WORD: usize = 32;

/// One connection's answer.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    request: Vec<u8>,
    part: Part,
    any: bool,
    line: usize,
    word: [u8; LONGEST_WORD],
    word_length: Option<usize>,
    received: usize,
    /// When `connect()` was called.
    since: Instant,
    /// Bytes of the answer, the two lines included.
    read: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Exec,
    Data,
    Words,
}

impl Raw {
    pub(super) fn new(target: SocketAddr) -> Self {
        Self {
            request: format!("GET / HTTP/1.1\r\nHost: {target}\r\n\r\n").into_bytes(),
            part: Part::Exec,
            any: false,
            line: 0,
            word: [0; LONGEST_WORD],
            word_length: None,
            received: 0,
            since: Instant::now(),
            read: 0,
        }
    }

    /// A connection stands for which `connect()` was called at `since` and took `ns` nanoseconds.
    pub(super) fn connected(&mut self, since: Instant, ns: u64, tally: &mut RawTally) {
        self.since = since;
        tally.connected(ns);
    }

    /// The answer is complete.
    pub(super) fn answered(&self, tally: &mut RawTally) {
        tally.answered(nanos(self.since.elapsed()), self.read);
    }

    /// The transaction has failed. The script looks at no answer: what it would have read to the end is one there.
    pub(super) fn failed(&self, failure: Failure, tally: &mut RawTally) {
        match failure {
            Failure::ConnectReset | Failure::WriteTimeout | Failure::WriteReset => tally.write_errors += 1,
            Failure::EofBeforeResponse
            | Failure::TruncatedResponse
            | Failure::BadResponse
            | Failure::BadStatus
            | Failure::CorruptPayload => self.answered(tally),
            _ => tally.read_errors += 1,
        }
    }

    pub(super) const fn start(&mut self) {
        self.part = Part::Exec;
        self.any = false;
        self.line = 0;
        self.word_length = None;
        self.received = 0;
        self.read = 0;
    }

    pub(super) fn request(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request);
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Fed, Failure> {
        self.read += bytes.len() as u64;
        for &byte in bytes {
            self.any = true;
            match self.part {
                Part::Exec => self.line_byte(byte, b"EXEC:", Part::Data)?,
                Part::Data => self.line_byte(byte, b"DATA:", Part::Words)?,
                Part::Words => self.word_byte(byte)?,
            }
        }
        Ok(Fed::More)
    }

    fn line_byte(&mut self, byte: u8, prefix: &[u8], next: Part) -> Result<(), Failure> {
        if prefix.get(self.line).is_some_and(|wanted| *wanted != byte) || self.line > LONGEST_LINE {
            return Err(Failure::BadResponse);
        }
        self.line += 1;
        if byte == b'\n' {
            self.part = next;
            self.line = 0;
        }
        Ok(())
    }

    /// The first word is learnt up to the second blank; from there every byte is compared.
    fn word_byte(&mut self, byte: u8) -> Result<(), Failure> {
        let at = self.received;
        self.received += 1;
        if at >= PAYLOAD {
            return Err(Failure::CorruptPayload);
        }
        match self.word_length {
            Some(length) => {
                if self.word.get(at % length) != Some(&byte) {
                    return Err(Failure::CorruptPayload);
                }
            }
            None if byte == b' ' && at > 0 => self.word_length = Some(at),
            None => {
                const START: &[u8] = b" HelloWorld@";
                let wanted = START.get(at).is_none_or(|wanted| *wanted == byte);
                let digit = at < START.len() || byte.is_ascii_digit();
                match self.word.get_mut(at) {
                    Some(place) if wanted && digit => *place = byte,
                    _ => return Err(Failure::CorruptPayload),
                }
            }
        }
        Ok(())
    }

    pub(super) const fn eof(&mut self) -> Result<u64, Failure> {
        match self.part {
            _ if !self.any => Err(Failure::EofBeforeResponse),
            Part::Words if self.received == PAYLOAD => Ok(PAYLOAD as u64),
            _ => Err(Failure::TruncatedResponse),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(words: usize) -> Vec<u8> {
        let mut bytes = b"EXEC:[(123, 45, 6, 7)]\nDATA:[(8, 9, 10, 11)]\n".to_vec();
        bytes.extend(b" HelloWorld@1234567890".iter().cycle().take(words));
        bytes
    }

    fn read(bytes: &[u8]) -> Result<u64, Failure> {
        let mut raw = Raw::new("127.0.0.1:8080".parse().unwrap());
        for piece in bytes.chunks(256) {
            raw.feed(piece)?;
        }
        raw.eof()
    }

    #[test]
    fn two_lines_and_ten_kilobytes_are_an_answer() {
        assert_eq!(read(&answer(PAYLOAD)), Ok(PAYLOAD as u64));
    }

    #[test]
    fn an_early_fin_is_named_by_where_it_comes() {
        assert_eq!(read(b""), Err(Failure::EofBeforeResponse));
        assert_eq!(read(&answer(PAYLOAD - 1)), Err(Failure::TruncatedResponse));
        assert_eq!(read(b"EXEC:[(1,2"), Err(Failure::TruncatedResponse));
    }

    #[test]
    fn one_wrong_byte_or_one_too_many_is_a_corrupt_payload() {
        let mut bytes = answer(PAYLOAD);
        bytes[5_000] ^= 1;
        assert_eq!(read(&bytes), Err(Failure::CorruptPayload));
        assert_eq!(read(&answer(PAYLOAD + 1)), Err(Failure::CorruptPayload));
    }

    #[test]
    fn an_http_head_is_a_bad_response() {
        assert_eq!(read(b"HTTP/1.1 200 OK\r\n\r\n"), Err(Failure::BadResponse));
    }
}
