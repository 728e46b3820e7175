//! TLS on a connection: its handshake, and what it says between answers.

use std::time::Duration;

use tokio::io::Interest;
use tokio::time::timeout;

use super::super::endings::{Step, failure_of};
use super::super::tls::{Heard, Session, Tls};
use super::{AtRest, Connection, Stream};
use espstress_event::{Failure, TlsFault, TlsFaultSeen};

impl Connection {
    /// Speaks TLS from now on; the handshake takes `limit` at most.
    ///
    /// # Errors
    /// [`Failure::TlsFailed`]; a time-out, a FIN and a RST by the names that they have elsewhere, since nothing in them is
    /// TLS's own. How it failed is asked for by [`Connection::take_tls_fault`].
    pub async fn secure(&mut self, tls: &Tls, limit: Duration) -> Result<(), Failure> {
        // The end of the handshake and the request are two small segments: Nagle's algorithm would hold the second back until
        // the device acknowledges the first, which it may delay.
        self.send_at_once();
        let mut session = match tls.start() {
            Ok(session) => session,
            Err(seen) => {
                self.tls_fault = Some(seen);
                return Err(Failure::TlsFailed);
            }
        };
        let stream = self.stream.as_mut().ok_or(Failure::HostOther)?;
        let shaken = timeout(limit, shake_hands(&mut session, stream)).await;
        let (failure, seen) = match shaken {
            Ok(Ok(())) => {
                self.tls = Some(Box::new(session));
                return Ok(());
            }
            Ok(Err(Heard::Fault(seen))) => (Failure::TlsFailed, Some(seen)),
            Ok(Err(Heard::Socket(error))) => {
                let failure = self.ended_by(failure_of(Step::Read, &error));
                let fault = match failure {
                    Failure::ReadReset => Some(TlsFault::Reset),
                    Failure::ReadTimeout => Some(TlsFault::TimedOut),
                    _ => None,
                };
                (failure, fault.map(|fault| TlsFaultSeen { fault, detail: session.progress() }))
            }
            Ok(Err(Heard::Bytes(_) | Heard::Nothing)) => {
                self.note_read(0);
                let seen = session.closed_early();
                let is_tls = seen.fault == TlsFault::Closed;
                (if is_tls { Failure::EofBeforeResponse } else { Failure::TlsFailed }, Some(seen))
            }
            Err(_) => {
                let seen = TlsFaultSeen { fault: TlsFault::TimedOut, detail: session.progress() };
                (Failure::ReadTimeout, Some(seen))
            }
        };
        self.tls_fault = seen;
        Err(failure)
    }

    /// How TLS failed, once.
    pub const fn take_tls_fault(&mut self) -> Option<TlsFaultSeen> {
        self.tls_fault.take()
    }

    /// Version and cipher suite, and whether the session was resumed; `None` without TLS.
    #[must_use]
    pub fn tls_in_words(&self) -> Option<(String, bool)> {
        self.tls.as_ref().map(|tls| (tls.in_words(), tls.was_resumed()))
    }

    /// Whether the peer ended TCP without TLS's own end.
    #[must_use]
    pub fn ended_without_close_notify(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.was_abrupt())
    }

    /// As [`Connection::at_rest`]: what TLS says between answers, as new sessions, is nobody's answer.
    pub(super) fn tls_at_rest(&mut self, scratch: &mut [u8]) -> AtRest {
        match self.read_ready(scratch, Step::Read) {
            Ok(Some(0)) => {
                self.note_read(0);
                AtRest::Closed
            }
            Ok(Some(n)) => AtRest::Unasked(n),
            Ok(None) => AtRest::Quiet,
            // A reset leaves nothing to be met by the next write but its name.
            Err(_) => AtRest::Quiet,
        }
    }
}

/// Moves bytes until the handshake is done and all of it sent; [`Heard::Bytes`] is the peer's FIN.
async fn shake_hands(session: &mut Session, stream: &mut Stream) -> Result<(), Heard> {
    loop {
        let sent = session.flush(stream).map_err(Heard::Socket)?;
        if !session.is_handshaking() {
            return Ok(());
        }
        match session.hear(stream) {
            Heard::Bytes(0) => return Err(Heard::Bytes(0)),
            Heard::Bytes(_) => {
                tokio::task::yield_now().await;
                continue;
            }
            Heard::Nothing => {}
            other => return Err(other),
        }
        let interest = if sent { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
        stream.ready(interest).await.map_err(Heard::Socket)?;
    }
}
