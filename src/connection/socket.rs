//! An open connection: what is written to it and read from it. How it is opened, secured and ended is in the modules below.

mod alarm;
mod connector;
mod ending;
mod pace;
mod secure;
mod silent;
mod stream;
mod tcp_info;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::time::timeout;

pub use self::alarm::Alarms;
use self::alarm::{Alarm, after};
pub use self::connector::{Connector, Refused, Timeouts};
pub use self::ending::{AtRest, HostClosed, Waits};
pub(crate) use self::stream::Stream;
pub use self::tcp_info::{all_acknowledged, fin_acknowledged};
use self::tcp_info::{last_heard, tcp_info, unacknowledged};
use super::endings::{Step, failure_of};
use super::ports::{PortPool, Release};
use super::slowness::{Pace, Slow};
use super::tls::{Heard, Session};
use super::upload::{LOOK, Upload};
use espstress_event::{Failure, StallEnd, TcpSample, TlsFaultSeen, Uploads};

/// Whether the peer has been asked for anything yet: it decides what a reset on writing means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    Something,
}

/// An open connection; its source port goes back to the pool when it is dropped.
#[derive(Debug)]
pub struct Connection {
    /// `None` only after a close.
    stream: Option<Stream>,
    port: u16,
    opened_at: Instant,
    alarm: Alarm,
    /// Where the alarm goes afterwards.
    alarms: Alarms,
    ports: Rc<RefCell<PortPool>>,
    release: Release,
    asked: Asked,
    /// Bytes of the application's that were handed over.
    written: u64,
    has_sent_fin: bool,
    /// The body on its way, where it is watched.
    upload: Option<Box<Upload>>,
    /// Where the host is slow on purpose.
    slow: Option<Box<Slow>>,
    tls: Option<Box<Session>>,
    /// How TLS failed, until it is asked for.
    tls_fault: Option<TlsFaultSeen>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The descriptor goes first: the port must not be handed out while it is open.
        self.stream = None;
        self.ports.borrow_mut().release(self.port, self.release, Instant::now);
        self.alarms.give(std::mem::take(&mut self.alarm));
    }
}

impl Connection {
    fn stream(&mut self) -> io::Result<&mut Stream> {
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// The host's TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// When the handshake was done.
    #[must_use]
    pub const fn opened_at(&self) -> Instant {
        self.opened_at
    }

    /// Sends small requests at once (TCP_NODELAY), for more than one request in flight.
    pub fn send_at_once(&mut self) {
        if let Some(stream) = &self.stream {
            // A system that refuses only makes the requests later; the latency then says so.
            let _ = stream.set_nodelay();
        }
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// The failure by name.
    pub async fn write_all(&mut self, bytes: &[u8], limit: Duration) -> Result<(), Failure> {
        let mut rest = bytes;
        loop {
            if rest.is_empty() && !self.tls.as_ref().is_some_and(|tls| tls.wants_write()) {
                return Ok(());
            }
            if let Some(until) = self.sends_not_before().filter(|_| !rest.is_empty()) {
                self.wait_until(until).await;
            }
            let step = self.step_of_writing();
            if let Some(n) = self.write_ready(rest)? {
                rest = rest.get(n..).unwrap_or_default();
                continue;
            }
            let stream = self.stream().map_err(|error| failure_of(step, &error))?;
            match timeout(limit, stream.ready(Interest::WRITABLE)).await {
                Err(_) => return Err(Failure::WriteTimeout),
                Ok(ready) => ready.map_err(|error| self.ended_by(failure_of(step, &error)))?,
            };
        }
    }

    const fn step_of_writing(&self) -> Step {
        match self.asked {
            Asked::Nothing => Step::FirstWrite,
            Asked::Something => Step::Write,
        }
    }

    /// Hands over some of `bytes`; `None` where the stack takes no more now.
    fn write_ready(&mut self, bytes: &[u8]) -> Result<Option<usize>, Failure> {
        let step = self.step_of_writing();
        let piece = self.slow.as_ref().and_then(|slow| slow.send.as_ref()).map_or(bytes.len(), Pace::piece);
        let bytes = bytes.get(..piece).unwrap_or(bytes);
        let result = match (&self.stream, &mut self.tls) {
            (None, _) => Err(io::ErrorKind::NotConnected.into()),
            (Some(stream), None) => unless_blocked(stream.try_write(bytes)),
            (Some(stream), Some(tls)) if bytes.is_empty() => tls.flush(stream).map(|all| all.then_some(0)),
            (Some(stream), Some(tls)) => tls.write(stream, bytes),
        };
        let written = result.map_err(|error| self.ended_by(failure_of(step, &error)))?;
        self.note_written(written);
        Ok(written)
    }

    fn note_written(&mut self, written: Option<usize>) {
        if let Some(n) = written.filter(|n| *n > 0) {
            self.written += n as u64;
            self.asked = Asked::Something;
            if let Some(pace) = self.slow.as_mut().and_then(|slow| slow.send.as_mut()) {
                pace.moved(n, tokio::time::Instant::now());
            }
        }
    }

    /// Hands over what the stack takes of `bytes` at once, which may be none.
    ///
    /// # Errors
    /// The failure by name.
    pub fn write_now(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        if self.sends_slowly() {
            // Piece by piece, as `turn` does it.
            return Ok(0);
        }
        if self.tls.is_some() {
            return Ok(if bytes.is_empty() { 0 } else { self.write_ready(bytes)?.unwrap_or(0) });
        }
        let step = self.step_of_writing();
        let result = self.stream().and_then(|stream| send_record(stream, bytes));
        let written = unless_blocked(result).map_err(|error| self.ended_by(failure_of(step, &error)))?;
        self.note_written(written);
        Ok(written.unwrap_or(0))
    }

    /// Moves some bytes, whichever way is possible first: `out` to the stack, or what has come into `buffer`.
    ///
    /// While a body is watched, the device has to acknowledge some of it within `write_limit`, and is waited for only from
    /// when it has it all.
    ///
    /// # Errors
    /// The failure by name; a passed limit is a write time-out while bytes wait to be sent or to be acknowledged, else a
    /// read time-out.
    pub async fn turn(
        &mut self,
        out: &[u8],
        buffer: &mut [u8],
        read_limit: Duration,
        write_limit: Duration,
    ) -> Result<Turn, Failure> {
        let mut started = tokio::time::Instant::now();
        let mut asked_at_last = false;
        loop {
            let mut refused = None;
            let (send_at, read_at) = (self.sends_not_before(), self.reads_not_before());
            if !out.is_empty() && send_at.is_none() {
                match self.write_ready(out) {
                    Ok(Some(n)) => return Ok(Turn::Wrote(n)),
                    Ok(None) => {}
                    Err(failure) => {
                        refused = Some(failure);
                        // The answer may have come with the reset, and the runtime has heard of neither.
                        self.ask_the_system();
                    }
                }
            }
            // A reset that comes between the two calls meets the bytes that wait to be sent.
            let step = if out.is_empty() { Step::Read } else { Step::Write };
            let heard = if read_at.is_none() { self.read_ready(buffer, step) } else { Ok(None) };
            match (heard, refused) {
                // An answer that came before the reset counts.
                (Ok(Some(n)), None) | (Ok(Some(n @ 1..)), Some(_)) => {
                    self.note_read(n);
                    return Ok(Turn::Read(n));
                }
                (_, Some(failure)) | (Err(failure), None) => return Err(failure),
                (Ok(None), None) => {}
            }
            self.look_at_upload();
            if let Some(until) = send_at.filter(|_| !out.is_empty()).into_iter().chain(read_at).min() {
                // No limit of the device's runs while it is the host that waits.
                self.pause(until, read_at.is_none()).await?;
                started = tokio::time::Instant::now();
                continue;
            }
            let unsent = !out.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write());
            let interest = if unsent { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            let (since, limit, late) = match &self.upload {
                Some(upload) => match (upload.waits_since(), upload.taken_since()) {
                    (Some(since), _) => (since, write_limit, Failure::WriteTimeout),
                    (None, taken) => {
                        (taken.unwrap_or(started).max(started), read_limit, Failure::ReadTimeout)
                    }
                },
                None if unsent => (started, write_limit, Failure::WriteTimeout),
                None => (started, read_limit, Failure::ReadTimeout),
            };
            let left = limit.saturating_sub(since.elapsed());
            let watched = self.upload.as_ref().is_some_and(|upload| upload.waits_since().is_some());
            let is_over = left.is_zero() && !limit.is_zero();
            if is_over && asked_at_last {
                return Err(late);
            }
            if is_over {
                asked_at_last = self.ask_the_system();
                continue;
            }
            let wait = if watched { left.min(LOOK) } else { left };
            let until = after(tokio::time::Instant::now(), wait);
            let Some(stream) = &mut self.stream else { return Err(closed(Step::Read)) };
            match self.alarm.before(until, stream.ready(interest)).await {
                None if watched => {}
                None if !asked_at_last => asked_at_last = self.ask_the_system(),
                None => return Err(late),
                Some(ready) => {
                    ready.map_err(|error| failure_of(Step::Read, &error))?;
                }
            }
        }
    }

    /// Waits on the host's own account until then, or until something can be read where that `may_read`.
    async fn pause(&mut self, until: tokio::time::Instant, may_read: bool) -> Result<(), Failure> {
        self.waits();
        // What a body has met meanwhile is looked at in time.
        let look = self.upload.as_ref().map(|_| tokio::time::Instant::now() + LOOK);
        let until = look.map_or(until, |look| look.min(until));
        if !may_read {
            tokio::time::sleep_until(until).await;
            return Ok(());
        }
        let stream = self.stream().map_err(|error| failure_of(Step::Read, &error))?;
        match tokio::time::timeout_at(until, stream.readable()).await {
            Ok(Err(error)) => Err(failure_of(Step::Read, &error)),
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    /// What has come into `buffer`; `None` where nothing is there now.
    fn read_ready(&mut self, buffer: &mut [u8], step: Step) -> Result<Option<usize>, Failure> {
        let piece = self.slow.as_ref().and_then(|slow| slow.read.as_ref()).map_or(buffer.len(), Pace::piece);
        let piece = piece.min(buffer.len());
        let buffer = buffer.get_mut(..piece).unwrap_or_default();
        let result = match (&self.stream, &mut self.tls) {
            (None, _) => Err(io::ErrorKind::NotConnected.into()),
            (Some(stream), None) => unless_blocked(stream.try_read(buffer)),
            (Some(stream), Some(tls)) => match tls.read(stream, buffer) {
                Heard::Bytes(n) => Ok(Some(n)),
                Heard::Nothing => Ok(None),
                Heard::Socket(error) => Err(error),
                Heard::Fault(seen) => {
                    self.tls_fault = Some(seen);
                    return Err(Failure::TlsFailed);
                }
            },
        };
        result.map_err(|error| self.ended_by(failure_of(step, &error)))
    }

    /// From now on the next `length` bytes, after `before` others that are still to be written, are a body to be watched.
    pub fn begin_upload(&mut self, before: u64, length: u64) {
        let now = tokio::time::Instant::now();
        self.upload = Some(Box::new(Upload::new(self.written + before, length, now)));
    }

    /// The body's time is over; what it met. `None` where none was watched.
    pub fn end_upload(&mut self, end: StallEnd) -> Option<Uploads> {
        self.look_at_upload();
        Some(self.upload.take()?.end(tokio::time::Instant::now(), end))
    }

    fn look_at_upload(&mut self) {
        if self.upload.is_none() {
            return;
        }
        // Where the system does not tell, what it has taken is all that is known.
        let taken = self.acknowledged().unwrap_or(self.written);
        let waits_for_host = taken >= self.written && self.sends_slowly();
        if let Some(upload) = &mut self.upload {
            upload.look(taken, waits_for_host, tokio::time::Instant::now());
        }
    }

    /// Bytes of the application's that the device's stack has acknowledged; `None` where the system does not tell.
    fn acknowledged(&self) -> Option<u64> {
        let unacknowledged =
            unacknowledged(self.stream.as_ref()?)?.saturating_sub(u64::from(self.has_sent_fin));
        Some(match &self.tls {
            Some(tls) => tls.plain_within(unacknowledged),
            None => self.written.saturating_sub(unacknowledged),
        })
    }

    fn note_read(&mut self, n: usize) {
        if let Some(pace) = self.slow.as_mut().and_then(|slow| slow.read.as_mut()) {
            pace.moved(n, tokio::time::Instant::now());
        }
        // TLS may have ended before TCP.
        let ended = n == 0
            && match &self.tls {
                Some(tls) => tls.tcp_ended(),
                None => true,
            };
        if ended && matches!(self.release, Release::TimeWait) {
            // The peer closed first: TIME_WAIT is on its side.
            self.release = Release::Free;
        }
    }

    /// Reads what has come into the free end of `buffer`; `Ok(0)` is the peer's FIN.
    ///
    /// # Errors
    /// The failure by name.
    pub async fn read(&mut self, buffer: &mut [u8], limit: Duration) -> Result<usize, Failure> {
        self.read_from(buffer, Instant::now(), limit).await
    }

    /// The same, by one who knows the time.
    ///
    /// # Errors
    /// The failure by name.
    pub async fn read_from(
        &mut self,
        buffer: &mut [u8],
        now: Instant,
        limit: Duration,
    ) -> Result<usize, Failure> {
        let mut from = now.into();
        if let Some(until) = self.reads_not_before() {
            self.wait_until(until).await;
            from = tokio::time::Instant::now();
        }
        self.read_until(buffer, after(from, limit)).await
    }

    async fn read_until(
        &mut self,
        buffer: &mut [u8],
        deadline: tokio::time::Instant,
    ) -> Result<usize, Failure> {
        // A signal may end the runtime's sleep before it has heard of what came: a program that stood still would call that a
        // silence of the device's. So the system itself is asked once before the time is said to be up.
        let mut asked_at_last = false;
        if self.tls.is_none() && self.stream.as_ref().is_some_and(Stream::waits_first) {
            match self.readable_until(deadline).await {
                Err(Failure::ReadTimeout) => asked_at_last = self.ask_the_system(),
                waited => waited?,
            }
        }
        loop {
            if let Some(n) = self.read_ready(buffer, Step::Read)? {
                self.note_read(n);
                return Ok(n);
            }
            match self.readable_until(deadline).await {
                Err(Failure::ReadTimeout) if !asked_at_last => {
                    asked_at_last = self.ask_the_system();
                    continue;
                }
                waited => waited?,
            }
            // Records that carry nothing are no answer, however many there are.
            if self.tls.is_some() && tokio::time::Instant::now() >= deadline {
                return Err(Failure::ReadTimeout);
            }
        }
    }

    /// The next read asks the system, whatever the runtime knows: as [`Connection::read_until`] does once.
    fn ask_the_system(&self) -> bool {
        self.stream.iter().for_each(Stream::look);
        true
    }

    async fn readable_until(&mut self, deadline: tokio::time::Instant) -> Result<(), Failure> {
        let Some(stream) = &mut self.stream else { return Err(closed(Step::Read)) };
        match self.alarm.before(deadline, stream.readable()).await {
            None => Err(Failure::ReadTimeout),
            Some(ready) => ready.map_err(|error| self.ended_by(failure_of(Step::Read, &error))),
        }
    }

    /// A reset connection leaves no TIME_WAIT.
    fn ended_by(&mut self, failure: Failure) -> Failure {
        if matches!(failure, Failure::ConnectReset | Failure::WriteReset | Failure::ReadReset) {
            self.release = Release::Free;
        }
        failure
    }

    /// What has come, without waiting; 0 is the peer's FIN. `None` where nothing is there.
    ///
    /// # Errors
    /// The failure by name.
    pub fn read_now(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Failure> {
        let read = self.read_ready(buffer, Step::Read)?;
        if let Some(n) = read {
            self.note_read(n);
        }
        Ok(read)
    }

    /// How long ago the peer's last segment came, its FIN where it has closed; zero where the system does not tell.
    #[must_use]
    pub fn last_heard(&self) -> Duration {
        self.stream.as_ref().and_then(last_heard).unwrap_or_default()
    }

    /// TCP_INFO now; `None` where the system has none.
    #[must_use]
    pub fn tcp_sample(&self) -> Option<TcpSample> {
        tcp_info(self.stream.as_ref()?)
    }
}

/// What moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// So many bytes to the stack.
    Wrote(usize),
    /// So many bytes from the stack; 0 is the peer's FIN.
    Read(usize),
}

/// Sends bytes as a record of their own: Linux appends no later bytes to the segment that ends it, so that small
/// requests stay small segments however many wait for the window (MSG_EOR, tcp(7)).
#[cfg(target_os = "linux")]
fn send_record(stream: &Stream, bytes: &[u8]) -> io::Result<usize> {
    stream.write_with(|socket| {
        socket2::SockRef::from(socket).send_with_flags(bytes, libc::MSG_EOR | libc::MSG_NOSIGNAL)
    })
}

#[cfg(not(target_os = "linux"))]
fn send_record(stream: &Stream, bytes: &[u8]) -> io::Result<usize> {
    stream.try_write(bytes)
}

/// What is said of a connection that has been closed.
fn closed(step: Step) -> Failure {
    failure_of(step, &io::ErrorKind::NotConnected.into())
}

fn unless_blocked(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(n) => Ok(Some(n)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
