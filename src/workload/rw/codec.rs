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
    /// The last ones that were answered.
    answered: VecDeque<u32>,
    /// Answers to such as were passed over, which came behind those to later requests, and that nobody has asked for yet.
    out_of_order: u64,
    /// The same of answers that came again.
    repeated: u64,
    /// Whether one came again in the time of the request that is due.
    again: bool,
    /// Whether the device is known to repeat answers: one came again, and then the one that was due.
    repeats: bool,
}

/// Whose an answer is that is not due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// A request's so many places later.
    Later(u32),
    /// One's that was passed over.
    PassedOver,
    /// One's that has been answered before: the same answer comes again.
    Again,
    /// Nobody's: it is a wrong one.
    Nobody,
}

impl Others {
    /// Requests that were passed over and are remembered, and as many that were answered.
    const MOST: usize = 1_024;

    pub(super) fn start(&mut self) {
        self.passed.clear();
        self.answered.clear();
        self.ahead = 0;
        self.again = false;
    }

    /// The request of that number has its answer, and another one is due.
    pub(super) fn answered(&mut self, number: u32) {
        keep(&mut self.answered, number);
        self.repeats |= std::mem::take(&mut self.again);
    }

    /// Whether an answer that was given before came in the place of the one that is due and didn't come in time: a wrong answer.
    /// Of a device that repeats answers and gives the right one as well, a repetition says nothing.
    fn stale(&mut self) -> bool {
        let stale = std::mem::take(&mut self.again) && !self.repeats;
        self.repeated -= u64::from(stale && self.repeated > 0);
        stale
    }

    /// Whose the answer of that number is, where `due` is the one that is due; its bytes have been found right.
    pub(super) fn take(&mut self, due: u32, number: u32) -> Whose {
        let places = number.wrapping_sub(due);
        if (1..=self.ahead).contains(&places) {
            for over in 0..places {
                keep(&mut self.passed, due.wrapping_add(over));
            }
            self.ahead -= places;
            self.answered(number);
            return Whose::Later(places);
        }
        let whose = self.take_late(number);
        self.again |= whose == Whose::Again;
        whose
    }

    /// The same where none is due, or this one is neither that nor a later one's.
    pub(super) fn take_late(&mut self, number: u32) -> Whose {
        let known = self.passed.iter().position(|passed| *passed == number);
        if known.and_then(|at| self.passed.remove(at)).is_some() {
            self.out_of_order += 1;
            keep(&mut self.answered, number);
            return Whose::PassedOver;
        }
        if self.answered.contains(&number) {
            self.repeated += 1;
            return Whose::Again;
        }
        Whose::Nobody
    }
}

/// One more number, instead of the oldest where there is no room.
fn keep(numbers: &mut VecDeque<u32>, number: u32) {
    if numbers.len() == Others::MOST {
        numbers.pop_front();
    }
    numbers.push_back(number);
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

    /// Answers that came again, since this was last asked.
    pub(super) fn take_repeated(&mut self) -> u64 {
        self.others().map_or(0, |others| std::mem::take(&mut others.repeated))
    }

    /// What has been fed until now came before the request that is due went out.
    pub(super) fn came_before(&mut self) {
        self.others().into_iter().for_each(|others| others.again = false);
    }

    /// The answer that is due did not come in time, nor those of so many requests in all: what that is.
    pub(super) fn timed_out(&mut self, requests: usize) -> Failure {
        // Behind others nobody knows in whose place one came again.
        if requests == 1 && self.others().is_some_and(Others::stale) {
            return Failure::CorruptPayload;
        }
        self.websocket().map_or(Failure::ReadTimeout, |ws| ws.timed_out(requests))
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
