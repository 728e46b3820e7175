//! What comes behind an answer: further answers in the same read, bytes that nobody asked for, and requests that the device
//! leaves unanswered because that answer was the connection's last.

use std::collections::VecDeque;

use super::Channel;
use crate::http;
use crate::load::Start;
use crate::rw::codec::{Codec, Fed};
use espstress_connection::Refused;
use espstress_event::{Failure, Intent};

/// Said once where requests had to be sent again.
const REPEATS: &str = "the device closed connections after a response that said so, with pipelined requests behind it; \
                       espstress sent these again on new connections, as clients must (RFC 9112, 9.3.2)";

/// The same behind a wrong answer.
const REPEATS_WRONG: &str = "behind a wrong answer espstress gave the connection up, and sent the requests that were under way \
                             there again on a new one";

/// Whether an answer has come, and is not the one that was asked for.
const fn is_wrong(failure: Failure) -> bool {
    matches!(failure, Failure::BadResponse | Failure::CorruptPayload)
}

impl Channel {
    /// Answers to later requests that came in the same read.
    pub(super) fn answers_behind(&mut self, mut from: usize, to: usize) -> Result<(), Failure> {
        // Behind the last answer of a connection nothing more is one.
        while from < to && !self.leaves_some() {
            // An answer that nobody asked for is none.
            let Some((due, start)) = self.in_flight.front().copied() else {
                return match &mut self.codec {
                    Codec::Http(http) => {
                        http.unasked((to - from) as u64, self.buffer.get(from..to).unwrap_or_default());
                        Err(Failure::BadResponse)
                    }
                    Codec::WebSocket(_) => Err(Failure::BadResponse),
                    Codec::Framed(_) | Codec::Line(_) | Codec::Raw(_) => {
                        self.behind.extend_from_slice(self.buffer.get(from..to).unwrap_or_default());
                        Ok(())
                    }
                };
            };
            let bytes = self.buffer.get(from..to).unwrap_or_default();
            self.codec.ahead(self.in_flight.len() - 1);
            match self.codec.feed(due, bytes)? {
                Fed::More => return Ok(()),
                Fed::Later { used, payload, passed } => {
                    from += used;
                    let start = self.pass_over(passed).unwrap_or(start);
                    self.answered(start, payload);
                }
                Fed::Answer { used, payload } => {
                    from += used;
                    self.answered(start, payload);
                }
            }
        }
        Ok(())
    }

    /// The oldest requests under way, so many, have no answer: that to a later one has come, whose start this is.
    pub(super) fn pass_over(&mut self, requests: u32) -> Option<Start> {
        for _ in 0..requests {
            let (_, start) = self.in_flight.pop_front()?;
            self.context.attempted(start.actual, Err(Failure::PassedOver));
        }
        self.in_flight.front().map(|(_, start)| *start)
    }

    /// Whether the last answer was the connection's last, as the device said with it, and requests are under way behind it.
    pub(super) fn leaves_some(&self) -> bool {
        // Where only the connection's end ended the answer, it is over already.
        let last = self.link.as_ref().is_none_or(|link| link.answers > 0 && !self.codec.persistent());
        last && !self.in_flight.is_empty()
    }

    /// Takes the oldest answer. Where a RST ends the connection in the middle of one whose head has announced the close, the
    /// requests behind it may have caused the RST, and it may have cost the rest of that answer (RFC 9112, 9.6): all are sent
    /// again, that one too, and what ends it once it is alone is the device's. Behind an answer that is wrong nothing on that
    /// connection can be told apart any more: those requests are sent again, and only that one has failed.
    pub(super) async fn answer_or_repeat(&mut self) -> Result<(), Failure> {
        let answered = self.answer().await;
        let others = self.in_flight.len() > 1;
        match answered {
            Err(Failure::ConnectReset | Failure::WriteReset | Failure::ReadReset)
                if others && self.codec.http().is_some_and(|http| http.is_last()) =>
            {
                self.receiving.set(false);
                self.repeat().await
            }
            Err(failure) if others && is_wrong(failure) => {
                let behind = self.in_flight.split_off(1);
                self.fail_one(failure);
                self.context.notice(REPEATS_WRONG.into());
                self.ask_again(behind).await
            }
            answered => answered,
        }
    }

    /// Sends the requests that the device left behind once more.
    pub(super) async fn repeat(&mut self) -> Result<(), Failure> {
        let again = std::mem::take(&mut self.in_flight);
        self.context.notice(REPEATS.into());
        self.context.recorder.borrow_mut().http().left_behind += 1;
        if let Some(mut link) = self.link.take() {
            let mut recorder = self.context.recorder.borrow_mut();
            link.connection.tcp_sample().into_iter().for_each(|sample| recorder.tcp(sample));
            drop(recorder);
            http::note_tls(&self.context, &mut link.connection);
            // What the device has not read may end the connection by a RST, also by one that has come.
            self.context.book.intends(link.connection.port(), Intent::LeftBehind);
            link.connection.reset_on_close();
        }
        self.ask_again(again).await
    }

    /// Sends these once more, one after the other: a client has to (RFC 9112, 9.3.2), and must not pipeline them again at once.
    async fn ask_again(&mut self, mut again: VecDeque<(u32, Start)>) -> Result<(), Failure> {
        self.unsent = again.len() as u64;
        while let Some((sequence, start)) = again.pop_front() {
            match self.ask_alone(sequence, start).await {
                Err(failure) if is_wrong(failure) => self.fail_one(failure),
                Err(failure) => {
                    self.in_flight.append(&mut again);
                    return Err(failure);
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// The only request in flight has failed, and the next one is not to follow at once.
    fn fail_one(&mut self, failure: Failure) {
        self.fail(self.of_slowness(failure));
        self.one_failed = true;
    }

    /// One request with nothing else under way.
    async fn ask_alone(&mut self, sequence: u32, start: Start) -> Result<(), Failure> {
        while self.link.is_none() {
            match self.connect().await {
                Ok(()) => {}
                Err(Refused::PortsUntil(at)) => tokio::time::sleep_until(at.into()).await,
                Err(Refused::Failure(failure)) => {
                    self.in_flight.push_back((sequence, start));
                    return Err(failure);
                }
            }
        }
        self.send(start)?;
        self.answer().await?;
        if self.is_spent() {
            self.close().await;
        }
        Ok(())
    }
}
