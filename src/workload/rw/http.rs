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
    /// Whether each request asks for the end of its connection.
    asks_close: bool,
}

impl Http {
    pub(super) fn new(request: Addressed) -> Self {
        let response = Response::new(request.expects());
        let asks_close = request.asks_close();
        Self { request, response, status: 0, persistent: false, asks_close }
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

    pub(super) fn eof(&mut self, abrupt: bool) -> Result<u64, Failure> {
        if abrupt {
            self.response.end_without_close_notify()?;
        }
        // Where the host asks for a close, a response that ends with the connection is as good as any.
        if !self.asks_close || self.response.eof().is_err() {
            self.response.end()?;
        }
        self.complete()
    }

    fn complete(&mut self) -> Result<u64, Failure> {
        // A page may change its length from one answer to the next: its framing is what has to be right.
        self.status = self.response.status();
        self.persistent = self.response.persistent() && !self.asks_close;
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

    /// Whether an answer is coming in whose head says that the connection ends with it.
    pub(super) const fn is_last(&self) -> bool {
        self.response.head_is_in() && !self.response.persistent()
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
    pub(super) fn unasked(&mut self, bytes: u64, begin: &[u8]) {
        self.response.unasked(bytes, begin);
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

#[cfg(test)]
mod tests {
    use super::super::{Params, ReadWrite};
    use super::*;
    use crate::registry;
    use espstress_event::Endpoints;

    /// The workload with that header; each of its connections.
    fn with_header(header: &str, more: &str) -> Result<(ReadWrite, Http), String> {
        let settings = format!("protocol = 'http'\nheader = ['{header}']\n{more}");
        let params: Params = registry::params(&settings.parse().unwrap()).map_err(|e| e.to_string())?;
        let workload = ReadWrite::new(params).map_err(|e| e.to_string())?;
        let target = ([127, 0, 0, 1], 80).into();
        let http = Http::new(workload.asked.address(target, &Endpoints::only(target), false, false));
        Ok((workload, http))
    }

    #[test]
    fn a_header_that_asks_for_a_close_ends_the_connection_behind_its_response() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        for (header, last) in [
            ("Connection: close", true),
            ("connection:TE, Close", true),
            ("Connection: keep-alive", false),
            ("X-Connection: close", false),
        ] {
            let (workload, mut http) = with_header(header, "").unwrap();
            assert!(matches!(http.feed(whole), Ok(Fed::Answer { .. })), "{header}");
            assert_eq!(http.persistent(), !last, "{header}");
            assert_eq!(workload.per_connection(), last.then_some(1), "{header}");
        }
    }

    #[test]
    fn where_the_client_asks_for_a_close_a_response_may_end_with_the_connection() {
        for (header, fault) in [("Connection: close", false), ("X: y", true)] {
            let (_, mut http) = with_header(header, "").unwrap();
            assert_eq!(http.feed(b"HTTP/1.1 200 OK\r\n\r\nok"), Ok(Fed::More), "{header}");
            assert_eq!(http.eof(false), Ok(2), "{header}");
            assert_eq!(http.take_fault().is_some(), fault, "{header}");
        }
        let (_, mut http) = with_header("Connection: close", "").unwrap();
        assert_eq!(http.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"), Ok(Fed::More));
        assert_eq!(http.eof(false), Err(Failure::TruncatedResponse));
        assert!(http.take_fault().is_some());
    }

    #[test]
    fn requests_behind_one_that_ends_the_connection_are_refused() {
        for more in ["window = 4", "per_connection = 10"] {
            let said = with_header("Connection: close", more).err().unwrap_or_default();
            assert!(said.contains("ends each connection after one response"), "{more}: {said}");
        }
        assert!(with_header("Connection: close", "per_connection = 1").is_ok());
    }
}
