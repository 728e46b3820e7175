//! WebSocket (RFC 6455) as a read-write protocol: a binary message goes out, the same message comes back.
//!
//! `tungstenite` speaks it on a pair of buffers; the bytes are moved by the connection as those of all protocols are.
//! Compression is not offered, so that no message can be larger than its frames.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use tungstenite::error::Error;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

use super::codec::{Fed, Others, Whose};
use espstress_device::framed::fill_payload;
use espstress_event::{Failure, WebSockets};
use espstress_stats::{Phase, Recorder};

/// The connection's mark and the number: what an echo is known by.
pub(super) const LEAST: u64 = 8;

/// The largest message of this workload.
pub(super) const MOST: u64 = 1 << 20;

/// Longest head of a handshake's response, bytes.
const LONGEST_HEAD: usize = 16 * 1_024;

/// A ping goes before the first message of a connection, and before each one after so many.
const PING_EVERY: u64 = 16;

/// Pings of which a pong is still waited for; a device that answers none has the oldest forgotten.
const MOST_PINGS: usize = 64;

/// What tells an echo of ours from a message that the device sends by itself.
const MARK: [u8; 4] = *b"\xe5\x57\x0e\xc0";

/// One connection's messages.
#[derive(Debug)]
pub(super) struct Ws {
    path: String,
    host: SocketAddr,
    size: usize,
    key: String,
    head: Vec<u8>,
    socket: Option<WebSocket<Pipe>>,
    messages: u64,
    /// Pings under way: what they hold, and when they were sent.
    pings: VecDeque<(u64, Instant)>,
    expected: Vec<u8>,
    expected_for: Option<u32>,
    closed: bool,
    /// Whether another message came while this one's echo was due, and one of its length.
    spoke: bool,
    alike: bool,
    /// Whether the device sends messages of that length by itself.
    sends_alike: bool,
    /// What the recorder has not been told yet.
    seen: WebSockets,
    pongs_ns: Vec<u64>,
    pub(super) others: Others,
}

impl Clone for Ws {
    /// Another connection to the same service.
    fn clone(&self) -> Self {
        Self::new(self.size, self.path.clone(), self.host)
    }
}

/// Both directions' bytes.
#[derive(Debug, Default)]
struct Pipe {
    from_device: VecDeque<u8>,
    to_device: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.from_device.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            n => Ok(n),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to_device.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Ws {
    pub(super) fn new(size: usize, path: String, host: SocketAddr) -> Self {
        Self {
            path,
            host,
            size,
            key: String::new(),
            head: Vec::new(),
            socket: None,
            messages: 0,
            pings: VecDeque::new(),
            expected: Vec::new(),
            expected_for: None,
            closed: false,
            spoke: false,
            alike: false,
            sends_alike: false,
            seen: WebSockets::default(),
            pongs_ns: Vec::new(),
            others: Others::default(),
        }
    }

    pub(super) fn start(&mut self) {
        self.key = generate_key();
        self.head.clear();
        self.socket = None;
        self.messages = 0;
        self.pings.clear();
        self.closed = false;
        self.others.start();
    }

    /// After the handshake.
    #[cfg(feature = "fuzzing")]
    pub(super) fn open_for_fuzzing(&mut self) {
        self.start();
        let accept = derive_accept_key(self.key.as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: \
             {accept}\r\n\r\n"
        );
        assert_eq!(self.greeted(head.as_bytes()), Ok(true));
    }

    /// The client's part of the handshake (RFC 6455, 4.1).
    pub(super) fn greeting(&self) -> Vec<u8> {
        format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: espstress\r\nUpgrade: websocket\r\nConnection: \
             Upgrade\r\nSec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n\r\n",
            self.path, self.host, self.key
        )
        .into_bytes()
    }

    /// Takes bytes of the device's part: whether it is complete, or how it refuses, with its status where it has one.
    pub(super) fn greeted(&mut self, bytes: &[u8]) -> Result<bool, (Failure, Option<u16>)> {
        self.head.extend_from_slice(bytes);
        let Some(end) = self.head.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) else {
            let starts = self.head.iter().zip(b"HTTP/1.").all(|(a, b)| a == b);
            return if starts && self.head.len() <= LONGEST_HEAD { Ok(false) } else { self.refuse(None) };
        };
        let rest = self.head.split_off(end);
        let (accept, key) = (derive_accept_key(self.key.as_bytes()), std::mem::take(&mut self.head));
        match judge(&key, &accept) {
            Ok(()) => {}
            Err(status) => return self.refuse(status),
        }
        self.seen.handshakes += 1;
        let config = WebSocketConfig::default()
            .max_message_size(Some(2 * MOST as usize))
            .max_frame_size(Some(2 * MOST as usize));
        let pipe = Pipe { from_device: rest.into(), to_device: Vec::new() };
        self.socket = Some(WebSocket::from_raw_socket(pipe, Role::Client, Some(config)));
        Ok(true)
    }

    fn refuse<T>(&mut self, status: Option<u16>) -> Result<T, (Failure, Option<u16>)> {
        self.seen.refused += 1;
        let failure = if status.is_some_and(|status| status != 101) {
            Failure::BadStatus
        } else {
            Failure::BadResponse
        };
        Err((failure, status))
    }

    fn payload(sequence: u32, size: usize, payload: &mut Vec<u8>) {
        payload.clear();
        payload.extend_from_slice(&MARK);
        payload.extend_from_slice(&sequence.to_be_bytes());
        payload.resize(size.max(LEAST as usize), 0);
        if let Some(rest) = payload.get_mut(LEAST as usize..) {
            fill_payload(sequence, rest);
        }
    }

    pub(super) fn request(&mut self, sequence: u32, out: &mut Vec<u8>) {
        let mut payload = Vec::new();
        Self::payload(sequence, self.size, &mut payload);
        let number = self.messages;
        self.messages += 1;
        let Some(socket) = &mut self.socket else { return };
        // What the buffers do not take shows as a message without an answer: they have no limit.
        if number.is_multiple_of(PING_EVERY)
            && socket.send(Message::Ping(number.to_be_bytes().to_vec().into())).is_ok()
        {
            self.seen.pings += 1;
            if self.pings.len() == MOST_PINGS {
                self.pings.pop_front();
            }
            self.pings.push_back((number, Instant::now()));
        }
        let _ = socket.send(Message::Binary(payload.into()));
        out.append(&mut socket.get_mut().to_device);
    }

    /// What has to be sent without being asked: pongs and the answer to a close.
    pub(super) fn replies(&mut self, out: &mut Vec<u8>) {
        if let Some(socket) = &mut self.socket {
            let _ = socket.flush();
            out.append(&mut socket.get_mut().to_device);
        }
    }

    pub(super) fn feed(&mut self, due: u32, bytes: &[u8]) -> Result<Fed, Failure> {
        if let Some(socket) = &mut self.socket {
            socket.get_mut().from_device.extend(bytes);
        }
        let used = bytes.len();
        Ok(match self.answer(due)? {
            Some((payload, 0)) => Fed::Answer { used, payload },
            Some((payload, passed)) => Fed::Later { used, payload, passed },
            None => Fed::More,
        })
    }

    /// The answer to request `due`, or to one so many places behind it, where it has come in whole; several may come in one read.
    pub(super) fn answer(&mut self, due: u32) -> Result<Option<(u64, u32)>, Failure> {
        if self.expected_for != Some(due) {
            Self::payload(due, self.size, &mut self.expected);
            self.expected_for = Some(due);
            (self.spoke, self.alike) = (false, false);
        }
        while let Some(message) = self.next()? {
            if message == self.expected {
                self.sends_alike |= self.alike;
                self.others.answered(due);
                return Ok(Some((message.len() as u64, 0)));
            }
            let whose = self.number(&message).map_or(Whose::Nobody, |number| self.others.take(due, number));
            match whose {
                Whose::Later(passed) => return Ok(Some((message.len() as u64, passed))),
                Whose::PassedOver | Whose::Again => continue,
                Whose::Nobody => {}
            }
            if message.starts_with(&MARK) || is_changed(&message, &self.expected) {
                return Err(Failure::CorruptPayload);
            }
            self.seen.pushed += 1;
            self.spoke = true;
            self.alike |= message.len() == self.expected.len();
        }
        Ok(None)
    }

    /// The number of the request whose exact echo a message is; `None` where it is none.
    fn number(&self, message: &[u8]) -> Option<u32> {
        let behind_mark = message.strip_prefix(&MARK).and_then(|rest| rest.first_chunk::<4>());
        let number = behind_mark.map(|four| u32::from_be_bytes(*four))?;
        let mut expected = Vec::new();
        Self::payload(number, self.size, &mut expected);
        (message == expected).then_some(number)
    }

    /// Counts a message that came while none was under way.
    fn came_between(&mut self, message: &[u8]) {
        let whose = self.number(message).map_or(Whose::Nobody, |number| self.others.take_late(number));
        if whose == Whose::Nobody {
            self.seen.pushed += 1;
            self.sends_alike |= message.len() == self.size.max(LEAST as usize);
        }
    }

    /// The echo did not come in time, nor those of so many messages in all: what that is. One of its length in its place is
    /// its echo with other bytes, unless the device is known to send such by itself.
    pub(super) fn timed_out(&mut self, messages: usize) -> Failure {
        if self.alike && !self.sends_alike {
            self.seen.pushed = self.seen.pushed.saturating_sub(1);
            return Failure::CorruptPayload;
        }
        self.seen.passed_over += if self.spoke { messages as u64 } else { 0 };
        Failure::ReadTimeout
    }

    /// Takes what comes while no message is under way: whether the device goes on with the connection.
    pub(super) fn between(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        if let Some(socket) = &mut self.socket {
            socket.get_mut().from_device.extend(bytes);
        }
        loop {
            match self.next() {
                Ok(Some(message)) => self.came_between(&message),
                Ok(None) => return Ok(true),
                Err(Failure::EofBeforeResponse) => return Ok(false),
                Err(failure) => return Err(failure),
            }
        }
    }

    /// The next message of the device's; `None` where none is whole.
    fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(socket) = &mut self.socket else { return Ok(None) };
        loop {
            match socket.read() {
                Ok(Message::Binary(bytes)) => return Ok(Some(bytes.to_vec())),
                Ok(Message::Text(text)) => return Ok(Some(text.as_bytes().to_vec())),
                Ok(Message::Ping(_)) => self.seen.pings_from_device += 1,
                Ok(Message::Pong(bytes)) => {
                    let number = bytes.as_ref().first_chunk::<8>().map(|eight| u64::from_be_bytes(*eight));
                    let at = self.pings.iter().position(|(sent, _)| Some(*sent) == number);
                    if let Some((_, sent)) = at.and_then(|at| self.pings.remove(at)) {
                        self.seen.pongs += 1;
                        self.pongs_ns.push(espstress_clock::nanos(sent.elapsed()));
                    }
                }
                Ok(Message::Close(frame)) => {
                    self.closed_by(frame.map_or(CloseCode::Status, |frame| frame.code));
                    return Err(Failure::EofBeforeResponse);
                }
                Ok(Message::Frame(_)) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                    return Err(Failure::EofBeforeResponse);
                }
                // A frame that RFC 6455 does not allow, or a message beyond every limit.
                Err(error) => {
                    *self.seen.violations.entry(violation(&error).to_owned()).or_insert(0) += 1;
                    return Err(Failure::BadResponse);
                }
            }
        }
    }

    fn closed_by(&mut self, code: CloseCode) {
        if !std::mem::replace(&mut self.closed, true) {
            *self.seen.closes.entry(name(code)).or_insert(0) += 1;
        }
    }

    pub(super) fn eof(&mut self) -> Failure {
        if self.socket.is_some() && !std::mem::replace(&mut self.closed, true) {
            *self.seen.closes.entry("no_close_frame".into()).or_insert(0) += 1;
        }
        Failure::EofBeforeResponse
    }

    /// This side's close frame (RFC 6455, 7.1.1); `None` where there is nothing to close.
    pub(super) fn farewell(&mut self) -> Option<Vec<u8>> {
        let closed = self.closed;
        let socket = self.socket.as_mut().filter(|_| !closed)?;
        socket.close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() })).ok()?;
        let _ = socket.flush();
        Some(std::mem::take(&mut socket.get_mut().to_device))
    }

    /// Takes what comes after it: whether the device's close frame is in.
    pub(super) fn parted(&mut self, bytes: &[u8]) -> bool {
        let Some(socket) = &mut self.socket else { return true };
        socket.get_mut().from_device.extend(bytes);
        loop {
            let Some(socket) = &mut self.socket else { return true };
            match socket.read() {
                Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                    self.closed = true;
                    return true;
                }
                Ok(Message::Binary(bytes)) => self.came_between(&bytes),
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }

    /// The device did not answer this side's close frame.
    pub(super) fn close_unanswered(&mut self) {
        self.seen.close_unanswered += 1;
    }

    /// Tells what the recorder does not know yet.
    pub(super) fn tell(&mut self, recorder: &mut Recorder) {
        self.pongs_ns.drain(..).for_each(|ns| recorder.latency(Phase::Heartbeat, ns));
        let seen = std::mem::take(&mut self.seen);
        let all = recorder.by_protocol().websocket.get_or_insert_default();
        all.handshakes += seen.handshakes;
        all.refused += seen.refused;
        all.pings += seen.pings;
        all.pongs += seen.pongs;
        all.pings_from_device += seen.pings_from_device;
        all.pushed += seen.pushed;
        all.passed_over += seen.passed_over;
        all.close_unanswered += seen.close_unanswered;
        for (name, n) in seen.violations {
            *all.violations.entry(name).or_insert(0) += n;
        }
        for (name, n) in seen.closes {
            *all.closes.entry(name).or_insert(0) += n;
        }
    }
}

/// Whether a message is the expected one with some bytes changed: most are the same, as is no other's.
fn is_changed(message: &[u8], expected: &[u8]) -> bool {
    let same = message.iter().zip(expected).filter(|(a, b)| a == b).count();
    message.len() == expected.len() && same * 2 > expected.len()
}

/// Whether a response's head completes the handshake; else its status, where it has one.
fn judge(head: &[u8], accept: &str) -> Result<(), Option<u16>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    if !matches!(response.parse(head), Ok(httparse::Status::Complete(_))) {
        return Err(None);
    }
    let has = |name: &str, wanted: &str| {
        response.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)).any(|header| {
            let value = String::from_utf8_lossy(header.value);
            value.split(',').any(|word| word.trim().eq_ignore_ascii_case(wanted))
        })
    };
    let accepts = response.headers.iter().any(|header| {
        header.name.eq_ignore_ascii_case("sec-websocket-accept")
            && header.value.trim_ascii() == accept.as_bytes()
    });
    // Nothing was offered, and so nothing may be chosen (RFC 6455, 4.1).
    let chosen = response.headers.iter().any(|header| {
        ["sec-websocket-extensions", "sec-websocket-protocol"]
            .iter()
            .any(|name| header.name.eq_ignore_ascii_case(name) && !header.value.trim_ascii().is_empty())
    });
    let right = has("upgrade", "websocket") && has("connection", "upgrade") && accepts && !chosen;
    if response.code == Some(101) && right { Ok(()) } else { Err(response.code) }
}

/// What a frame or a message was that RFC 6455 does not allow.
const fn violation(error: &Error) -> &'static str {
    use tungstenite::error::{CapacityError, ProtocolError as P};
    match error {
        Error::Protocol(P::ControlFrameTooBig) => "a control frame of more than 125 bytes",
        Error::Protocol(P::FragmentedControlFrame) => "a fragmented control frame",
        Error::Protocol(P::UnknownControlFrameType(_) | P::UnknownDataFrameType(_) | P::InvalidOpcode(_)) => {
            "a reserved opcode"
        }
        Error::Protocol(P::NonZeroReservedBits) => "a reserved bit that is set",
        Error::Protocol(P::MaskedFrameFromServer) => "a masked frame",
        Error::Protocol(P::UnexpectedContinueFrame) => "a continuation of no message",
        Error::Protocol(P::ExpectedFragment(_)) => "a new message inside a fragmented one",
        Error::Protocol(P::InvalidCloseSequence) => "a close frame of one byte, or with a wrong code",
        Error::Utf8(_) => "a text message that is not UTF-8",
        Error::Capacity(CapacityError::MessageTooLong { .. }) => "a message of more than 2 MiB",
        _ => "a frame that is not allowed",
    }
}

/// A close code's name, or its number where RFC 6455 has none for it.
fn name(code: CloseCode) -> String {
    let name = match code {
        CloseCode::Normal => "normal",
        CloseCode::Away => "going_away",
        CloseCode::Protocol => "protocol_error",
        CloseCode::Unsupported => "unsupported_data",
        CloseCode::Status => "no_code",
        CloseCode::Invalid => "invalid_data",
        CloseCode::Policy => "policy_violation",
        CloseCode::Size => "too_big",
        CloseCode::Extension => "extension_missing",
        CloseCode::Error => "internal_error",
        CloseCode::Restart => "service_restart",
        CloseCode::Again => "try_again_later",
        other => return u16::from(other).to_string(),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::codec::Codec;
    use super::*;
    use proptest::prelude::*;

    fn open() -> Ws {
        let mut ws = Ws::new(100, "/ws".into(), ([127, 0, 0, 1], 80).into());
        ws.start();
        let accept = derive_accept_key(ws.key.as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, \
             Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        let (first, rest) = head.as_bytes().split_at(40);
        assert_eq!(ws.greeted(first), Ok(false));
        assert_eq!(ws.greeted(rest), Ok(true));
        ws
    }

    #[test]
    fn pings_that_a_device_never_answers_are_not_kept_for_days() {
        let (mut ws, mut out) = (open(), Vec::new());
        for sequence in 0..200 * PING_EVERY as u32 {
            ws.request(sequence, &mut out);
            out.clear();
        }
        assert_eq!((ws.seen.pings, ws.pings.len()), (200, MOST_PINGS));
    }

    /// A server's frame.
    fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            n @ 0..126 => frame.push(n as u8),
            n => frame.extend([&[126][..], &(n as u16).to_be_bytes()].concat()),
        }
        frame.extend_from_slice(payload);
        frame
    }

    fn echo(sequence: u32) -> Vec<u8> {
        let mut payload = Vec::new();
        Ws::payload(sequence, 100, &mut payload);
        frame(2, &payload)
    }

    #[test]
    fn an_exact_echo_is_an_answer_and_what_the_device_sends_by_itself_is_passed_over() {
        let mut ws = open();
        ws.request(1, &mut Vec::new());
        let bytes = [frame(1, b"temperature 21"), echo(1), echo(2)].concat();
        assert_eq!(ws.feed(1, &bytes), Ok(Fed::Answer { used: bytes.len(), payload: 100 }));
        assert_eq!(ws.answer(2), Ok(Some((100, 0))), "it came in the same read");
        assert_eq!(ws.seen.pushed, 1);
    }

    #[test]
    fn one_changed_byte_and_another_number_are_corrupt() {
        let mut wrong = echo(1);
        let last = wrong.len() - 1;
        wrong[last] ^= 1;
        assert_eq!(open().feed(1, &wrong), Err(Failure::CorruptPayload));
        assert_eq!(open().feed(1, &echo(2)), Err(Failure::CorruptPayload));
    }

    #[test]
    fn one_changed_byte_of_the_mark_or_the_number_is_corrupt_as_well() {
        for at in 2..2 + LEAST as usize {
            let mut wrong = echo(1);
            wrong[at] ^= 1;
            let mut ws = open();
            assert_eq!(ws.feed(1, &wrong), Err(Failure::CorruptPayload), "byte {at}");
            assert_eq!(ws.seen.pushed, 0, "byte {at}");
        }
    }

    #[test]
    fn an_echo_that_never_comes_is_corrupt_where_another_of_its_length_came_in_its_place() {
        let after = |bytes: &[u8]| {
            let mut ws = open();
            assert_eq!(ws.feed(1, bytes), Ok(Fed::More));
            (ws.timed_out(1), ws.seen.passed_over)
        };
        let other = frame(2, &[0; 100]);
        assert_eq!(after(&other), (Failure::CorruptPayload, 0));
        assert_eq!(after(&frame(1, b"temperature 21")), (Failure::ReadTimeout, 1));
        assert_eq!(after(b""), (Failure::ReadTimeout, 0));
        // The device sends such by itself, as it did beside an echo, or between two.
        let mut ws = open();
        ws.feed(1, &[other.clone(), echo(1)].concat()).unwrap();
        assert_eq!((ws.feed(2, &other), ws.timed_out(1)), (Ok(Fed::More), Failure::ReadTimeout));
        let mut ws = open();
        assert_eq!(ws.between(&other), Ok(true));
        assert_eq!((ws.feed(2, &other), ws.timed_out(1)), (Ok(Fed::More), Failure::ReadTimeout));
        // What came in another one's time says nothing of this one.
        ws.feed(3, &[]).unwrap();
        assert_eq!((ws.timed_out(1), ws.seen.passed_over), (Failure::ReadTimeout, 1));
    }

    #[test]
    fn an_echo_that_comes_again_is_counted_and_costs_nothing() {
        let mut codec = Codec::WebSocket(Box::new(open()));
        let bytes = [echo(1), echo(1), echo(2)].concat();
        assert_eq!(codec.feed(1, &bytes), Ok(Fed::Answer { used: bytes.len(), payload: 100 }));
        let ws = codec.websocket().unwrap();
        assert_eq!(ws.answer(2), Ok(Some((100, 0))));
        // Between two messages as well, and beside the farewell.
        assert_eq!(ws.between(&echo(2)), Ok(true));
        assert!(!ws.parted(&echo(1)));
        assert_eq!((ws.seen.pushed, ws.seen.passed_over), (0, 0));
        assert_eq!((codec.take_repeated(), codec.take_repeated()), (3, 0));
    }

    #[test]
    fn pings_are_answered_and_pongs_are_counted() {
        let mut ws = open();
        ws.request(1, &mut Vec::new());
        ws.feed(1, &[frame(10, &0_u64.to_be_bytes()), frame(10, b"others"), frame(9, b"there?")].concat())
            .unwrap();
        assert_eq!((ws.seen.pings, ws.seen.pongs, ws.seen.pings_from_device), (1, 1, 1));
        let mut out = Vec::new();
        ws.replies(&mut out);
        assert_eq!(out.first(), Some(&0x8a), "a pong");
    }

    #[test]
    fn a_close_is_named_by_its_code() {
        for (code, expected) in
            [(1_001, "going_away"), (1_009, "too_big"), (1_011, "internal_error"), (4_001, "4001")]
        {
            let mut ws = open();
            let payload = u16::to_be_bytes(code);
            assert_eq!(ws.feed(1, &frame(8, &payload)), Err(Failure::EofBeforeResponse));
            assert_eq!(ws.seen.closes.keys().collect::<Vec<_>>(), [expected]);
            assert_eq!(ws.eof(), Failure::EofBeforeResponse);
            assert_eq!(ws.seen.closes.len(), 1, "its FIN is no second close");
        }
        let mut ws = open();
        ws.eof();
        assert!(ws.seen.closes.contains_key("no_close_frame"));
    }

    #[test]
    fn a_handshake_that_is_not_one_is_refused_by_name() {
        let of = |head: &str| {
            let mut ws = Ws::new(100, "/".into(), ([127, 0, 0, 1], 80).into());
            ws.start();
            let accept = derive_accept_key(ws.key.as_bytes());
            let result = ws.greeted(head.replace("ACCEPT", &accept).as_bytes());
            assert_eq!(ws.seen.refused, 1, "{head}");
            result.unwrap_err()
        };
        let upgraded = "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
        assert_eq!(of("HTTP/1.1 404 Not Found\r\n\r\n"), (Failure::BadStatus, Some(404)));
        assert_eq!(of("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), (Failure::BadStatus, Some(200)));
        assert_eq!(of(&format!("{upgraded}\r\n")), (Failure::BadResponse, Some(101)));
        assert_eq!(
            of(&format!("{upgraded}Sec-WebSocket-Accept: AAAA\r\n\r\n")),
            (Failure::BadResponse, Some(101))
        );
        let deflate = "Sec-WebSocket-Accept: ACCEPT\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
        assert_eq!(of(&format!("{upgraded}{deflate}")), (Failure::BadResponse, Some(101)));
        assert_eq!(of("220 smtp.example.com ready\r\n"), (Failure::BadResponse, None));
        assert_eq!(
            of(&format!("HTTP/1.1 101 X\r\nA: {}", "a".repeat(LONGEST_HEAD))),
            (Failure::BadResponse, None)
        );
    }

    #[test]
    fn compressed_frames_and_endless_lengths_are_bad_responses() {
        assert_eq!(open().feed(1, &[0xc2, 0x05, 0xec, 0x1d, 0xc1, 0x01, 0x00]), Err(Failure::BadResponse));
        let endless = [&[0x82, 127][..], &(u64::MAX >> 1).to_be_bytes()].concat();
        assert_eq!(open().feed(1, &endless), Err(Failure::BadResponse));
        let masked = [0x82, 0x81, 1, 2, 3, 4, 5];
        assert_eq!(open().feed(1, &masked), Err(Failure::BadResponse));
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>, cut in 1usize..50) {
            let mut ws = Ws::new(100, "/".into(), ([127, 0, 0, 1], 80).into());
            ws.start();
            let _ = ws.greeted(&bytes);
            let mut ws = open();
            ws.request(1, &mut Vec::new());
            for piece in bytes.chunks(cut) {
                if ws.feed(1, piece).is_err() {
                    break;
                }
            }
            ws.replies(&mut Vec::new());
            ws.farewell();
            ws.parted(&bytes);
            ws.eof();
        }
    }
}
