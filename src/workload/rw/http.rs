//! Keep-alive HTTP as a read-write protocol.

use std::net::SocketAddr;

use super::codec::Fed;
use crate::connection::http::{Expects, Progress, Response};
use crate::event::Failure;

/// One connection's requests and responses.
#[derive(Debug)]
pub(super) struct Http {
    request: Vec<u8>,
    response: Response,
    /// Status of the last answer.
    status: u16,
}

impl Http {
    pub(super) fn new(method: &str, path: &str, target: SocketAddr) -> Self {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: espstress\r\n\r\n");
        let expects = if method == "HEAD" { Expects::HeadOnly } else { Expects::Body };
        Self { request: request.into_bytes(), response: Response::new(expects), status: 0 }
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
        self.response.eof()?;
        self.complete()
    }

    fn complete(&mut self) -> Result<u64, Failure> {
        let payload = self.response.body_bytes();
        // A page may change its length from one answer to the next: its framing is what has to be right.
        self.status = self.response.status();
        self.response.start();
        Ok(payload)
    }

    /// Status of the last answer.
    pub(super) const fn status(&self) -> u16 {
        self.status
    }

    pub(super) const fn persistent(&self) -> bool {
        self.response.persistent()
    }
}
