//! What a device sends: HTTP, the protocols of `rw`, MQTT, its console, its telemetry.

use espstress_connection::http::{Expects, Progress, Response};
use espstress_device::mqtt::{Decoded, Head, HeadRead, Packet, Version, decode};
use espstress_event::Telemetry;
use espstress_workload::fuzzing;

use crate::input::Input;

pub(crate) const HTTP_WORDS: &[&str] = &[
    "HTTP/1.1 ",
    "HTTP/1.0 ",
    "100 Continue\r\n\r\n",
    "Content-Length: ",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "\r\n\r\n",
    "0\r\n\r\n",
    "ffffffffffffffff\r\n",
    "Location: ",
    "WWW-Authenticate: ",
    "Content-Type: text/event-stream\r\n",
    "18446744073709551615",
];

/// Responses on one connection.
pub(crate) fn http_response(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let settings = input.byte();
    let expects = if settings & 1 == 0 { Expects::Body } else { Expects::HeadOnly };
    let keeps = settings & 2 != 0;
    let mut response = Response::new(expects);
    if keeps {
        response = response.keeping_body();
    }
    let mut body = 0_u64;
    for piece in input.pieces() {
        let mut rest = piece;
        while !rest.is_empty() {
            match response.feed(rest) {
                Ok(Progress::More) => break,
                Ok(Progress::Done { used }) => {
                    // A response is never without bytes: the loop ends.
                    assert!(used <= rest.len(), "{used} of {}", rest.len());
                    rest = &rest[used..];
                    let _ = (response.persistent(), response.content_type());
                    response.follow();
                    if used == 0 {
                        break;
                    }
                }
                Err(_) => {
                    response.start();
                    break;
                }
            }
        }
        body += response.take_body().len() as u64;
    }
    assert!(body <= bytes.len() as u64, "{body} body bytes of {}", bytes.len());
    let _ = response.eof();
}

/// The other protocols of `rw`, a session of `outage`, and a WebSocket's handshake.
pub(crate) fn answers(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    match input.byte() % 5 {
        4 => fuzzing::session(input.pieces()),
        protocol => fuzzing::answer(protocol, input.pieces()),
    }
}

/// Frames of a WebSocket.
pub(crate) fn websocket(bytes: &[u8]) {
    fuzzing::websocket(Input::new(bytes).pieces());
}

/// An event stream.
pub(crate) fn event_stream(bytes: &[u8]) {
    fuzzing::event_stream(Input::new(bytes).pieces());
}

/// MQTT: packets of either end in both versions, written again where they can be read, and a client's answers to the
/// broker's messages.
pub(crate) fn mqtt(bytes: &[u8]) {
    const LONGEST: u32 = 64 * 1_024;
    let mut input = Input::new(bytes);
    let (which, qos) = (input.byte(), input.byte());
    fuzzing::broker(which, qos, input.pieces());
    let version = if which.is_multiple_of(2) { Version::V311 } else { Version::V5 };
    let mut rest = input.rest();
    loop {
        if let Ok(HeadRead::Head(head)) = Head::read(rest, version, LONGEST) {
            assert!(head.packet_len() >= 2, "{head:?}");
        }
        let Ok(Decoded::Packet { packet, len }) = decode(rest, version, LONGEST) else { return };
        assert!((2..=rest.len()).contains(&len), "a packet of {len} bytes");
        written_again(&packet, version, len);
        rest = &rest[len..];
    }
}

/// What was read is written and read again: the same packet, and no longer than before.
fn written_again(packet: &Packet<'_>, version: Version, len: usize) {
    // A CONNECT says itself which version it is of.
    let version = if let Packet::Connect(connect) = packet { connect.version } else { version };
    let mut bytes = vec![0; len + 16];
    let Ok(written) = packet.encode(version, &mut bytes) else { return };
    match decode(&bytes[..written], version, u32::MAX) {
        Ok(Decoded::Packet { packet: again, len }) => {
            assert_eq!((&again, len), (packet, written), "written otherwise than read");
        }
        other => panic!("{packet:?} was read and cannot be read again: {other:?}"),
    }
}

pub(crate) const CONSOLE_WORDS: &[&str] = &[
    "I (123) wifi: ",
    "E (18446744073709551615) ",
    "Guru Meditation Error: Core  0 panic'ed (",
    "Backtrace: 0x400d1231:0x3ffb5c50",
    "rst:0xc (SW_CPU_RESET)",
    "abort() was called at PC 0x",
    "Brownout detector was triggered",
    "task_wdt: Task watchdog got triggered.",
    "Rebooting...",
    "ESP-IDF v5.1",
    "Free heap: ",
    "errno: 104",
    "\u{1b}[0;32m",
    "\r\n",
    "wifi:state: run -> init (",
    "ELF file SHA256: ",
    "***ERROR*** A stack overflow in task ",
];

/// A console, plain or behind Telnet.
pub(crate) fn console(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let telnet = !input.byte().is_multiple_of(2);
    let heard = espstress_console::fuzzing::hear(telnet, input.pieces());
    assert!(heard.console.bytes <= bytes.len() as u64);
    assert!(heard.console.lines <= bytes.len() as u64);
    assert!(serde_json::to_string(&heard.console).is_ok());
}

/// An answer to a telemetry request.
pub(crate) fn telemetry(bytes: &[u8]) {
    if let Some(telemetry) = Telemetry::parse(bytes) {
        let _ = (telemetry.served(), telemetry.open("http"));
    }
}
