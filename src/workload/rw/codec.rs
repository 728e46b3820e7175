//! What the protocols of `rw` have in common.

use super::framed::Framed;
use super::http::Http;
use super::line::Line;
use super::raw::Raw;
use super::websocket::Ws;
use espstress_event::{Failure, FaultSeen};
use espstress_stats::Recorder;

/// What the peer's bytes amounted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fed {
    /// All are taken; the answer goes on.
    More,
    /// The answer that was due is complete and right.
    Answer {
        /// Bytes of the input that belonged to it or came before it.
        used: usize,
        /// Payload bytes that it carried.
        payload: u64,
    },
}

/// A protocol: requests out, answers in. Answers come in the order of requests.
#[derive(Clone, Debug)]
pub(super) enum Codec {
    /// Keep-alive HTTP.
    Http(Box<Http>),
    /// Frames.
    Framed(Framed),
    /// GET and read to the end.
    Raw(Raw),
    /// JSON lines.
    Line(Line),
    /// WebSocket messages.
    WebSocket(Box<Ws>),
}

impl Codec {
    /// A connection is new: forget what was half read.
    pub(super) fn start(&mut self) {
        match self {
            Self::Http(p) => p.start(),
            Self::Framed(p) => p.start(),
            Self::Raw(p) => p.start(),
            Self::Line(p) => p.start(),
            Self::WebSocket(p) => p.start(),
        }
    }

    /// Appends the request of that number.
    pub(super) fn request(&mut self, sequence: u32, out: &mut Vec<u8>) {
        match self {
            Self::Http(p) => p.request(out),
            Self::Framed(p) => p.request(sequence, out),
            Self::Raw(p) => p.request(out),
            Self::Line(p) => p.request(sequence, out),
            Self::WebSocket(p) => p.request(sequence, out),
        }
    }

    /// Takes bytes of the answer to request `due`.
    pub(super) fn feed(&mut self, due: u32, bytes: &[u8]) -> Result<Fed, Failure> {
        match self {
            Self::Http(p) => p.feed(bytes),
            Self::Framed(p) => p.feed(due, bytes),
            Self::Raw(p) => p.feed(bytes),
            Self::Line(p) => p.feed(due, bytes),
            Self::WebSocket(p) => p.feed(due, bytes),
        }
    }

    /// Takes the peer's FIN, `abrupt` where TLS has not ended before: the payload of an answer that it completes, or the failure
    /// that it is.
    pub(super) fn eof(&mut self, abrupt: bool) -> Result<u64, Failure> {
        match self {
            Self::Http(p) => p.eof(abrupt),
            Self::Framed(p) => Err(p.eof()),
            Self::Raw(p) => p.eof(),
            Self::Line(p) => Err(p.eof()),
            Self::WebSocket(p) => Err(p.eof()),
        }
    }

    /// The WebSocket part, where it is spoken.
    pub(super) fn websocket(&mut self) -> Option<&mut Ws> {
        match self {
            Self::WebSocket(p) => Some(p),
            _ => None,
        }
    }

    /// The HTTP part, where HTTP is spoken.
    pub(super) const fn http(&mut self) -> Option<&mut Http> {
        match self {
            Self::Http(p) => Some(p),
            Self::Framed(_) | Self::Raw(_) | Self::Line(_) | Self::WebSocket(_) => None,
        }
    }

    /// What was wrong with an HTTP answer, once; `None` for other protocols.
    pub(super) const fn take_fault(&mut self) -> Option<FaultSeen> {
        match self {
            Self::Http(p) => p.take_fault(),
            Self::Framed(_) | Self::Raw(_) | Self::Line(_) | Self::WebSocket(_) => None,
        }
    }

    /// Counts and judges the last answer's status; there is none in other protocols.
    pub(super) fn judge(&mut self, recorder: &mut Recorder) -> Result<(), Failure> {
        match self {
            Self::Http(p) => p.judge(recorder),
            Self::Framed(_) | Self::Raw(_) | Self::Line(_) | Self::WebSocket(_) => Ok(()),
        }
    }

    /// Whether the connection may be asked again after the last answer.
    pub(super) const fn persistent(&self) -> bool {
        match self {
            Self::Http(p) => p.persistent(),
            Self::Framed(_) | Self::Line(_) | Self::WebSocket(_) => true,
            Self::Raw(_) => false,
        }
    }
}
