//! The devices' own framed protocol: an echo whose number, length and every byte are checked.

use espstress_device::framed::{HEADER_LEN, Header, Kind, fill_payload};

use super::codec::{Fed, Others, Whose};
use espstress_event::Failure;

/// One connection's requests and answers.
#[derive(Clone, Debug)]
pub(super) struct Framed {
    size: usize,
    /// The payload expected for `filled_for`, so that each is made once.
    expected: Vec<u8>,
    filled_for: Option<u32>,
    header: [u8; HEADER_LEN],
    have: usize,
    current: Option<Header>,
    /// Payload bytes of the current answer that have been checked.
    checked: usize,
    pub(super) others: Others,
}

impl Framed {
    pub(super) fn new(size: usize) -> Self {
        Self {
            size,
            expected: vec![0; size],
            filled_for: None,
            header: [0; HEADER_LEN],
            have: 0,
            current: None,
            checked: 0,
            others: Others::default(),
        }
    }

    pub(super) fn start(&mut self) {
        self.others.start();
        self.next();
    }

    const fn next(&mut self) {
        self.have = 0;
        self.current = None;
        self.checked = 0;
    }

    pub(super) fn request(&mut self, sequence: u32, out: &mut Vec<u8>) {
        let start = out.len() + HEADER_LEN;
        out.resize(start + self.size, 0);
        let Some(payload) = out.get_mut(start..) else { return };
        fill_payload(sequence, payload);
        let header = Header::new(Kind::Echo, sequence, payload).encode();
        if let Some(place) = out.get_mut(start - HEADER_LEN..start) {
            place.copy_from_slice(&header);
        }
    }

    pub(super) fn feed(&mut self, due: u32, bytes: &[u8]) -> Result<Fed, Failure> {
        let mut rest = bytes;
        loop {
            let Some(header) = self.current else {
                let take = (HEADER_LEN - self.have).min(rest.len());
                let (head, tail) = rest.split_at(take);
                if let Some(place) = self.header.get_mut(self.have..self.have + take) {
                    place.copy_from_slice(head);
                }
                self.have += take;
                rest = tail;
                if self.have < HEADER_LEN {
                    return Ok(Fed::More);
                }
                let header = self.check_header()?;
                self.current = Some(header);
                self.expect(header.sequence);
                continue;
            };
            let length = header.length as usize;
            let take = (length - self.checked).min(rest.len());
            let (piece, tail) = rest.split_at(take);
            if self.expected.get(self.checked..self.checked + take) != Some(piece) {
                return Err(Failure::CorruptPayload);
            }
            self.checked += take;
            rest = tail;
            if self.checked < length {
                return Ok(Fed::More);
            }
            self.next();
            let (used, payload) = (bytes.len() - rest.len(), length as u64);
            if header.sequence == due {
                self.others.answered(due);
                return Ok(Fed::Answer { used, payload });
            }
            match self.others.take(due, header.sequence) {
                Whose::Later(passed) => return Ok(Fed::Later { used, payload, passed }),
                Whose::PassedOver | Whose::Again => {}
                Whose::Nobody => return Err(Failure::CorruptPayload),
            }
        }
    }

    fn check_header(&self) -> Result<Header, Failure> {
        let header = Header::decode(&self.header).map_err(|_| Failure::BadResponse)?;
        if header.kind != Kind::EchoReply {
            return Err(Failure::BadResponse);
        }
        if header.length as usize != self.size {
            return Err(Failure::CorruptPayload);
        }
        Ok(header)
    }

    fn expect(&mut self, sequence: u32) {
        if self.filled_for != Some(sequence) {
            fill_payload(sequence, &mut self.expected);
            self.filled_for = Some(sequence);
        }
    }

    pub(super) const fn eof(&self) -> Failure {
        if self.have == 0 && self.current.is_none() {
            Failure::EofBeforeResponse
        } else {
            Failure::TruncatedResponse
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The request as a device would echo it.
    fn echo(codec: &mut Framed, sequence: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        codec.request(sequence, &mut bytes);
        let head: [u8; HEADER_LEN] = bytes[..HEADER_LEN].try_into().unwrap();
        let header = Header { kind: Kind::EchoReply, ..Header::decode(&head).unwrap() };
        bytes[..HEADER_LEN].copy_from_slice(&header.encode());
        bytes
    }

    #[test]
    fn an_exact_echo_is_an_answer() {
        let mut codec = Framed::new(300);
        let bytes = echo(&mut codec, 9);
        assert_eq!(codec.feed(9, &bytes), Ok(Fed::Answer { used: 320, payload: 300 }));
    }

    #[test]
    fn one_changed_byte_is_a_corrupt_payload() {
        let mut codec = Framed::new(300);
        let mut bytes = echo(&mut codec, 9);
        bytes[200] ^= 1;
        assert_eq!(codec.feed(9, &bytes), Err(Failure::CorruptPayload));
    }

    #[test]
    fn the_answer_to_another_request_is_a_corrupt_payload() {
        let mut codec = Framed::new(16);
        let bytes = echo(&mut codec, 8);
        assert_eq!(codec.feed(9, &bytes), Err(Failure::CorruptPayload));
    }

    #[test]
    fn what_is_no_frame_is_a_bad_response() {
        let mut codec = Framed::new(16);
        assert_eq!(codec.feed(1, b"HTTP/1.1 400 Bad Request\r\n\r\n"), Err(Failure::BadResponse));
    }

    #[test]
    fn the_peers_fin_is_judged_by_where_it_comes() {
        let mut codec = Framed::new(16);
        assert_eq!(codec.eof(), Failure::EofBeforeResponse);
        let bytes = echo(&mut codec, 1);
        codec.feed(1, &bytes[..5]).unwrap();
        assert_eq!(codec.eof(), Failure::TruncatedResponse);
    }

    proptest! {
        #[test]
        fn cuts_do_not_change_what_is_read(size in 0usize..2_000, cut in 1usize..200, sequence: u32) {
            let mut codec = Framed::new(size);
            let bytes = echo(&mut codec, sequence);
            let mut answers = 0;
            for piece in bytes.chunks(cut) {
                if let Fed::Answer { payload, .. } = codec.feed(sequence, piece).unwrap() {
                    answers += 1;
                    prop_assert_eq!(payload, size as u64);
                }
            }
            prop_assert_eq!(answers, 1);
        }

        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>) {
            let mut codec = Framed::new(64);
            let _ = codec.feed(1, &bytes);
            let _ = codec.eof();
        }
    }
}
