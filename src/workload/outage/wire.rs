//! The framed protocol's messages from the device, as their bytes come.

use espstress_device::framed::{HEADER_LEN, Header, Kind, MAX_HEARTBEAT, Report, Subscribe, checksum};

use espstress_event::Failure;

/// A message from the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// The device's heartbeat of that number.
    Heartbeat(u32),
    /// The acknowledgement of the host's heartbeat of that number.
    Ack(u32),
    /// The session's counts.
    Report(Report),
}

/// Bytes that have come and are no whole message yet; at most one message long.
#[derive(Debug, Default)]
pub(super) struct Reader {
    have: Vec<u8>,
}

impl Reader {
    /// A connection is new: forget what was half read.
    pub(super) fn start(&mut self) {
        self.have.clear();
    }

    /// Takes bytes and hands every whole message to `each`.
    pub(super) fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(Message)) -> Result<(), Failure> {
        self.have.extend_from_slice(bytes);
        let mut used = 0;
        while let Some((message, length)) = parse(self.have.get(used..).unwrap_or_default())? {
            used += length;
            each(message);
        }
        self.have.drain(..used);
        Ok(())
    }

    /// The peer's FIN, judged by where it comes.
    pub(super) fn eof(&self) -> Failure {
        if self.have.is_empty() { Failure::EofBeforeResponse } else { Failure::TruncatedResponse }
    }
}

fn parse(bytes: &[u8]) -> Result<Option<(Message, usize)>, Failure> {
    let Some(head) = bytes.first_chunk::<HEADER_LEN>() else { return Ok(None) };
    let header = Header::decode(head).map_err(|_| Failure::BadResponse)?;
    let length = header.length as usize;
    let fits = match header.kind {
        Kind::Heartbeat => header.length <= MAX_HEARTBEAT,
        Kind::Ack => length == 0,
        Kind::Report => length == Report::LEN,
        _ => false,
    };
    if !fits {
        return Err(Failure::BadResponse);
    }
    let Some(payload) = bytes.get(HEADER_LEN..HEADER_LEN + length) else { return Ok(None) };
    if checksum(payload) != header.checksum {
        return Err(Failure::CorruptPayload);
    }
    let message = match header.kind {
        Kind::Heartbeat => Message::Heartbeat(header.sequence),
        Kind::Ack => Message::Ack(header.sequence),
        _ => Message::Report(Report::decode(payload).ok_or(Failure::BadResponse)?),
    };
    Ok(Some((message, HEADER_LEN + length)))
}

/// Appends a message without payload.
pub(super) fn push(out: &mut Vec<u8>, kind: Kind, sequence: u32) {
    out.extend_from_slice(&Header::new(kind, sequence, b"").encode());
}

/// Appends a subscription.
pub(super) fn push_subscribe(out: &mut Vec<u8>, subscribe: Subscribe) {
    let payload = subscribe.encode();
    out.extend_from_slice(&Header::new(Kind::Subscribe, 0, &payload).encode());
    out.extend_from_slice(&payload);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_are_found_wherever_the_stream_is_cut() {
        let report = Report { session: 1, sent: 2, acked: 1, ..Report::default() };
        let payload = report.encode();
        let mut bytes = Vec::new();
        push(&mut bytes, Kind::Heartbeat, 7);
        bytes.extend_from_slice(&Header::new(Kind::Report, 0, &payload).encode());
        bytes.extend_from_slice(&payload);
        push(&mut bytes, Kind::Ack, 3);
        for cut in 1..bytes.len() {
            let (mut reader, mut messages) = (Reader::default(), Vec::new());
            for piece in bytes.chunks(cut) {
                reader.feed(piece, |message| messages.push(message)).unwrap();
            }
            assert_eq!(messages, [Message::Heartbeat(7), Message::Report(report), Message::Ack(3)], "{cut}");
        }
    }

    #[test]
    fn an_answer_in_another_protocol_is_a_bad_response() {
        let result = Reader::default().feed(b"HTTP/1.1 400 Bad Request\r\n\r\n", |_| {});
        assert_eq!(result, Err(Failure::BadResponse));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let mut reader = Reader::default();
            let _ = reader.feed(&bytes, |_| {});
            let _ = reader.eof();
        }
    }
}
