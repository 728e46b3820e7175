//! The readers of `rw` for the fuzz targets: what a device may answer.

use super::codec::{Codec, Fed};
use super::events::{Found, Parser};
use super::framed::Framed;
use super::line::Line;
use super::raw::Raw;
use super::websocket::Ws;

/// Bytes of the requests whose answers are read.
const SIZE: usize = 100;

/// Reads an answer of one of the protocols: 0 is framed, 1 line, 2 raw, and the others WebSocket before its handshake.
pub fn answer<'a>(protocol: u8, pieces: impl Iterator<Item = &'a [u8]>) {
    let host = ([127, 0, 0, 1], 80).into();
    let mut codec = match protocol {
        0 => Codec::Framed(Framed::new(SIZE)),
        1 => Codec::Line(Line::new(SIZE)),
        2 => Codec::Raw(Raw::new(host)),
        _ => Codec::WebSocket(Box::new(Ws::new(SIZE, "/".into(), host))),
    };
    codec.start();
    let mut due = 0;
    let mut out = Vec::new();
    for piece in pieces {
        let mut rest = piece;
        // One answer a byte is more than there can be.
        for _ in 0..=piece.len() {
            out.clear();
            codec.request(due, &mut out);
            if let Some(ws) = codec.websocket() {
                match ws.greeted(rest) {
                    Ok(_) => break,
                    Err(_) => return,
                }
            }
            match codec.feed(due, rest) {
                Ok(Fed::More) => break,
                Ok(Fed::Answer { used, .. } | Fed::Later { used, .. }) => {
                    assert!(used <= rest.len(), "{used} bytes of {}", rest.len());
                    rest = &rest[used..];
                    due += 1;
                }
                Err(_) => return,
            }
            if rest.is_empty() {
                break;
            }
        }
    }
    let _ = codec.eof(false);
}

/// Messages after a WebSocket's handshake.
pub fn websocket<'a>(pieces: impl Iterator<Item = &'a [u8]>) {
    let mut ws = Ws::new(SIZE, "/".into(), ([127, 0, 0, 1], 80).into());
    ws.open_for_fuzzing();
    let (mut due, mut out) = (0, Vec::new());
    ws.request(due, &mut out);
    for (number, piece) in pieces.enumerate() {
        out.clear();
        let fed = if number % 3 == 2 { ws.between(piece).map(|_| Fed::More) } else { ws.feed(due, piece) };
        match fed {
            Ok(Fed::More) => {}
            Ok(Fed::Answer { .. } | Fed::Later { .. }) => {
                due += 1;
                ws.request(due, &mut out);
            }
            Err(_) => break,
        }
        ws.replies(&mut out);
    }
    let _ = ws.farewell();
    let _ = ws.parted(b"");
    let _ = ws.eof();
}

/// An event stream, which means the same however it is cut.
pub fn event_stream<'a>(pieces: impl Iterator<Item = &'a [u8]>) {
    let (mut parser, mut at_once) = (Parser::default(), Parser::default());
    let (mut all, mut sum) = (Vec::new(), Found::default());
    for piece in pieces {
        let found = parser.feed(piece);
        sum.events.extend(found.events);
        sum.comments += found.comments;
        all.extend_from_slice(piece);
    }
    let whole = at_once.feed(&all);
    assert_eq!((&sum.events, sum.comments), (&whole.events, whole.comments), "by how the stream is cut");
    assert_eq!(parser.is_amid(), at_once.is_amid());
}
