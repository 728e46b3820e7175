//! Keep-alive HTTP as a read-write protocol.

use std::net::SocketAddr;

use super::codec::Fed;
use espstress_connection::ExpectedStatus;
use espstress_connection::http::{Expects, Progress, Response};
use espstress_event::{Failure, FaultSeen};

/// One connection's requests and responses.
#[derive(Clone, Debug)]
pub(super) struct Http {
    request: Vec<u8>,
    response: Response,
    /// Status of the last answer.
    status: u16,
    /// Which are right; `None` for all but 5xx.
    expected: Option<ExpectedStatus>,
    /// Whether the connection may be asked again after the last answer.
    persistent: bool,
}

impl Http {
    pub(super) fn new(
        method: &str,
        path: &str,
        target: SocketAddr,
        expected: Option<ExpectedStatus>,
    ) -> Self {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: espstress\r\n\r\n");
        let expects = if method == "HEAD" { Expects::HeadOnly } else { Expects::Body };
        let response = Response::new(expects);
        Self { request: request.into_bytes(), response, status: 0, expected, persistent: false }
    }

    pub(super) fn start(&mut self) {
        self.response.start();
    }

    pub(super) fn request(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request);
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Fed, Failure> {
        match self.response.feed(bytes)? {
            Progress::More => Ok(Fed::More),
            Progress::Done { used } => Ok(Fed::Answer { used, payload: self.complete()? }),
        }
    }

    pub(super) fn eof(&mut self) -> Result<u64, Failure> {
        self.response.end()?;
        self.complete()
    }

    fn complete(&mut self) -> Result<u64, Failure> {
        let payload = self.response.body_bytes();
        // A page may change its length from one answer to the next: its framing is what has to be right.
        self.status = self.response.status();
        self.persistent = self.response.persistent();
        self.response.follow();
        Ok(payload)
    }

    /// Whether the last answer's status is right; 5xx says that the server failed (RFC 9110, 15.6), where nothing else
    /// was asked for.
    pub(super) fn status_is_right(&self) -> bool {
        self.expected.as_ref().map_or(self.status < 500, |expected| expected.allows(self.status))
    }

    /// Whether an answer is coming in.
    pub(super) const fn receiving(&self) -> bool {
        self.response.head_is_in()
    }

    /// What was wrong with an answer, once.
    pub(super) const fn take_fault(&mut self) -> Option<FaultSeen> {
        self.response.take_fault()
    }

    /// Nothing (more) came within the read time-out.
    pub(super) fn stalled(&mut self) {
        self.response.stalled();
    }

    /// Bytes came that nobody had asked for.
    pub(super) fn unasked(&mut self, bytes: u64) {
        self.response.unasked(bytes);
    }

    /// The time was up while an answer was coming in.
    pub(super) fn endless(&mut self) {
        self.response.endless();
    }

    /// Status of the last answer.
    pub(super) const fn status(&self) -> u16 {
        self.status
    }

    pub(super) const fn persistent(&self) -> bool {
        self.persistent
    }
}
