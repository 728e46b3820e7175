//! What the protocols of `rw` have in common.

use std::collections::VecDeque;

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
    /// The same of a request that is under way behind so many others: these have no answer.
    Later {
        /// As above.
        used: usize,
        /// As above.
        payload: u64,
        /// How many were passed over.
        passed: u32,
    },
}

/// What is known of the other requests on a connection, so that an answer that is not the one that is due has a name.
#[derive(Clone, Debug, Default)]
pub(super) struct Others {
    /// How many are under way behind the one that is due.
    ahead: u32,
    /// The last ones that were passed over.
    passed: VecDeque<u32>,
    /// Answers to such, which came behind those to later requests, and that nobody has asked for yet.
    out_of_order: u64,
}

/// Whose an answer is that is not due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// A request's so many places later.
    Later(u32),
    /// One's that was passed over.
    PassedOver,
    /// Nobody's: it is a wrong one, or comes again.
    Nobody,
}

impl Others {
    /// Requests that were passed over and are remembered.
    const MOST: usize = 1_024;

    pub(super) fn start(&mut self) {
        self.passed.clear();
        self.ahead = 0;
    }

    /// Whose the answer of that number is, where `due` is the one that is due; its bytes have been found right.
    pub(super) fn take(&mut self, due: u32, number: u32) -> Whose {
        let places = number.wrapping_sub(due);
        if (1..=self.ahead).contains(&places) {
            for over in 0..places {
                if self.passed.len() == Self::MOST {
                    self.passed.pop_front();
                }
                self.passed.push_back(due.wrapping_add(over));
            }
            self.ahead -= places;
            return Whose::Later(places);
        }
        let known = self.passed.iter().position(|passed| *passed == number);
        if known.and_then(|at| self.passed.remove(at)).is_some() {
            self.out_of_order += 1;
            return Whose::PassedOver;
        }
        Whose::Nobody
    }
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

    /// So many requests are under way behind the one that is due.
    pub(super) fn ahead(&mut self, others: usize) {
        if let Some(known) = self.others() {
            known.ahead = u32::try_from(others).unwrap_or(u32::MAX);
        }
    }

    /// Answers that came behind those to later requests, since this was last asked.
    pub(super) fn take_out_of_order(&mut self) -> u64 {
        self.others().map_or(0, |others| std::mem::take(&mut others.out_of_order))
    }

    /// Only where an answer names its request.
    fn others(&mut self) -> Option<&mut Others> {
        match self {
            Self::Framed(p) => Some(&mut p.others),
            Self::Line(p) => Some(&mut p.others),
            Self::WebSocket(p) => Some(&mut p.others),
            Self::Http(_) | Self::Raw(_) => None,
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
