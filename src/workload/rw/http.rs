//! Keep-alive HTTP as a read-write protocol.

use super::codec::Fed;
use crate::http::Addressed;
use espstress_connection::http::{Progress, Response};
use espstress_event::{Failure, FaultSeen};
use espstress_stats::Recorder;

/// One connection's requests and responses.
#[derive(Clone, Debug)]
pub(super) struct Http {
    request: Addressed,
    response: Response,
    /// Status of the last answer.
    status: u16,
    /// Whether the connection may be asked again after the last answer.
    persistent: bool,
}

impl Http {
    pub(super) fn new(request: Addressed) -> Self {
        let response = Response::new(request.expects());
        Self { request, response, status: 0, persistent: false }
    }

    pub(super) fn start(&mut self) {
        self.response.start();
    }

    /// Head and body; the head alone where the body has to wait.
    pub(super) fn request(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request.head);
        if !self.request.expect_continue() {
            out.extend_from_slice(self.request.body().unwrap_or_default());
        }
    }

    /// The request itself.
    pub(super) const fn asked(&self) -> &Addressed {
        &self.request
    }

    /// Whether the device has said 100 Continue, and no more.
    pub(super) const fn continued(&self) -> bool {
        self.response.continued() && !self.response.head_is_in()
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
        // A page may change its length from one answer to the next: its framing is what has to be right.
        self.status = self.response.status();
        self.persistent = self.response.persistent();
        Ok(self.response.body_bytes())
    }

    /// Counts and judges the last answer; from here on the next one is read.
    pub(super) fn judge(&mut self, recorder: &mut Recorder) -> Result<(), Failure> {
        let judged = self.request.judge(&self.response, self.status, recorder);
        self.response.follow();
        judged
    }

    /// Status of the last answer.
    pub(super) const fn status(&self) -> u16 {
        self.status
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

    /// An answer that was still coming in was given up, in words.
    pub(super) fn endless(&mut self, detail: &'static str) {
        self.response.endless(detail);
    }

    /// Body bytes that are still to come; `None` where the answer does not say how long it is.
    pub(super) fn left(&self) -> Option<u64> {
        self.response.left()
    }

    pub(super) const fn persistent(&self) -> bool {
        self.persistent
    }
}
