//! How a connection comes to its end.

use std::time::Duration;

use socket2::SockRef;

use super::super::endings::{Step, failure_of};
use super::super::http;
use super::super::ports::Release;
use super::{Connection, after};
use espstress_event::{Ending, Failure};

/// What an idle connection has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtRest {
    /// Nothing has come.
    Quiet,
    /// The peer's FIN has come.
    Closed,
    /// At least so many bytes have come that nobody asked for.
    Unasked(usize),
}

/// Whether a device waits for a client's first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// As far as is known.
    Still,
    /// No more: it has closed the connection, or `told` with a response 408 that it does.
    Closed {
        /// Whether it said so.
        told: bool,
    },
}

/// Who sent the first FIN of a drained connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostClosed {
    /// This host: TIME_WAIT stays here.
    First,
    /// The peer, or nobody yet.
    NotYet,
}

impl Connection {
    /// Whether the peer's FIN has been read before the host sent its own.
    #[must_use]
    pub fn peer_has_closed(&self) -> bool {
        self.release == Release::Free
    }

    /// Sends the FIN and goes on reading.
    ///
    /// # Errors
    /// The failure by name.
    pub fn shut_down_writing(&mut self) -> Result<(), Failure> {
        if let (Some(stream), Some(tls)) = (&self.stream, &mut self.tls) {
            tls.close(stream);
        }
        let stream = self.stream().map_err(|error| failure_of(Step::Write, &error))?;
        match SockRef::from(&*stream).shutdown(std::net::Shutdown::Write) {
            Ok(()) => {
                self.has_sent_fin = true;
                Ok(())
            }
            Err(error) => Err(self.ended_by(failure_of(Step::Write, &error))),
        }
    }

    /// The device closes after the response that has come: TLS's own end would meet a closed socket.
    pub fn peer_will_close(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.peer_will_close();
        }
    }

    /// What an idle connection has come to, without waiting and without taking anything from it.
    ///
    /// A FIN that is there before a request is written ends the connection in order: whoever writes all the same meets
    /// a RST (RFC 9112, 9.5: a client has to expect such a close at any time).
    ///
    /// `scratch` gets what has come, and TLS has that nowhere else afterwards.
    pub fn at_rest(&mut self, scratch: &mut [u8]) -> AtRest {
        if self.tls.is_some() {
            return self.tls_at_rest(scratch);
        }
        let Some(stream) = &self.stream else { return AtRest::Closed };
        match stream.peek(scratch) {
            Ok(0) => {
                self.note_read(0);
                AtRest::Closed
            }
            Ok(n) => AtRest::Unasked(n),
            // Nothing is there; or a reset, which the next write meets and names.
            Err(_) => AtRest::Quiet,
        }
    }

    /// Whether the device has closed an idle connection and told it: the first so many bytes of `scratch`, where
    /// [`Connection::at_rest`] has put what nobody asked for, are a whole response 408 (RFC 9110, 15.5.9), and the connection
    /// ends with it. They are read then: a socket that is closed with bytes in it sends a RST.
    pub fn says_timeout(&mut self, scratch: &mut [u8], bytes: usize) -> bool {
        let Some(announced) = http::timeout_said(scratch.get(..bytes).unwrap_or_default()) else {
            return false;
        };
        if self.tls.is_none() {
            self.ask_the_system();
            let _ = self.read_now(scratch);
        }
        self.ask_the_system();
        let ended = matches!(self.read_now(scratch), Ok(Some(0)));
        announced || ended
    }

    /// After a silence before the first request: whether the device still waits for it. One that has closed does not, nor
    /// one that has said 408 (RFC 9110, 15.5.9): who asks all the same meets a RST. One that has answered already is asked
    /// all the same, for the answer to be looked at.
    ///
    /// # Errors
    /// The failure by name.
    pub fn still_waits(&mut self, scratch: &mut [u8]) -> Result<Waits, Failure> {
        let Some(stream) = &self.stream else { return Ok(Waits::Closed { told: false }) };
        let (ended, told) = match &mut self.tls {
            Some(tls) => {
                let ended = tls.peer_has_ended(stream);
                let said = tls.unread();
                (ended && said.is_empty(), http::is_timeout(said))
            }
            None => match stream.peek(scratch) {
                Ok(n) => (n == 0, http::is_timeout(scratch.get(..n).unwrap_or_default())),
                // Nothing has come; or a reset, which the request meets and names.
                Err(_) => (false, false),
            },
        };
        if !ended && !told {
            return Ok(Waits::Still);
        }
        // What it said is read: a socket that is closed with bytes in it sends a RST.
        while self.read_now(scratch)?.is_some_and(|n| n > 0) {}
        Ok(Waits::Closed { told })
    }

    /// A FIN without TLS's own end before it is a fault of this host's to a device that waits for that end, and says so.
    fn forget_provoked_fault(&mut self) {
        if self.has_sent_fin && self.tls.as_ref().is_some_and(|tls| !tls.has_said_end()) {
            self.tls_fault = None;
        }
    }

    /// After TLS's end: TCP's, which may come later.
    async fn tcp_end(&mut self, deadline: tokio::time::Instant) -> Ending {
        loop {
            let (Some(stream), Some(tls)) = (&self.stream, &mut self.tls) else { return Ending::Fin };
            let ended = match tls.tcp_end(stream) {
                Ok(true) => return Ending::Fin,
                Ok(false) => self.readable_until(deadline).await,
                Err(error) => Err(self.ended_by(failure_of(Step::Read, &error))),
            };
            match ended {
                Ok(()) if tokio::time::Instant::now() < deadline => {}
                Err(Failure::ReadReset) => return Ending::Reset,
                Ok(()) | Err(_) => return Ending::NotEnded,
            }
        }
    }

    /// Reads and forgets whatever comes until the peer ends the connection or the limit passes.
    pub async fn drain(&mut self, scratch: &mut [u8], limit: Duration, host_closed: HostClosed) -> Ending {
        self.drain_counting(scratch, limit, host_closed).await.0
    }

    /// As [`Connection::drain`]; also how many bytes came, the first of them at the beginning of `scratch`.
    pub async fn drain_counting(
        &mut self,
        scratch: &mut [u8],
        limit: Duration,
        host_closed: HostClosed,
    ) -> (Ending, u64) {
        let mut bytes = 0;
        self.hurry();
        let keep = self.release;
        let now = tokio::time::Instant::now();
        let deadline = after(now, limit);
        // One that has sent something in the second half of the time is not done with the connection: only a failed send
        // will tell its program that nobody reads any more.
        let sends_from = after(now, limit / 2);
        let mut not_ended = Ending::NotEnded;
        loop {
            // What has come is kept as far as half of the room goes.
            let kept = usize::try_from(bytes).unwrap_or(usize::MAX).min(scratch.len() / 2);
            match self.read_until(scratch.get_mut(kept..).unwrap_or_default(), deadline).await {
                // TLS's end, or its failure: TCP's own may come later.
                Ok(0) | Err(Failure::TlsFailed) => {
                    self.forget_provoked_fault();
                    let ending = self.tcp_end(deadline).await;
                    if ending == Ending::Fin {
                        self.note_read(0);
                    }
                    if host_closed == HostClosed::First && ending == Ending::Fin {
                        self.release = keep;
                    }
                    return (ending, bytes);
                }
                Ok(n) => {
                    bytes += n as u64;
                    let now = tokio::time::Instant::now();
                    if now >= sends_from {
                        not_ended = Ending::StillSending;
                    }
                    // What never ends to come ends neither the wait nor keeps others from their turn.
                    if now >= deadline {
                        return (not_ended, bytes);
                    }
                    tokio::task::yield_now().await;
                }
                Err(Failure::ReadReset) => return (Ending::Reset, bytes),
                Err(_) => return (not_ended, bytes),
            }
        }
    }
}
