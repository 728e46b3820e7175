//! A socket that is registered with the runtime only once something waits for it, and only for what that is.
//!
//! The runtime's own stream is registered for both directions from its beginning. Each one is then told that it may be
//! written to, which a short request never waits for.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};

/// A socket that does not block, and what the runtime knows of it.
#[derive(Debug)]
pub(crate) struct Stream {
    // Before the socket: taken back from the runtime first, then closed.
    registered: Option<Registered>,
    socket: TcpStream,
    /// Whether the last read took all that there was, and the next event has not come.
    drained: Cell<bool>,
}

#[derive(Debug)]
struct Registered {
    fd: AsyncFd<RawFd>,
    /// Whether for writing as well.
    writes: bool,
}

impl Stream {
    /// `socket` must not block.
    pub(crate) const fn new(socket: TcpStream) -> Self {
        Self { registered: None, socket, drained: Cell::new(false) }
    }

    /// Reads what is there; once something has waited, what the runtime knows to be there, or what has come since a read took
    /// all of it.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut socket = &self.socket;
        let Some(Registered { fd, .. }) = self.registered.as_ref().filter(|_| !self.drained.take()) else {
            let read = socket.read(buffer);
            // More may follow on its heels, until there is nothing.
            self.drained.set(self.registered.is_some() && matches!(read, Ok(1..)));
            return read;
        };
        let (room, mut last) = (buffer.len(), None);
        let read = fd.try_io(Interest::READABLE, |_| {
            let n = socket.read(buffer)?;
            if (1..room).contains(&n) {
                // That was all (epoll(7), questions and answers, 9): an event announces what comes next.
                last = Some(n);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(n)
        });
        self.drained.set(last.is_some());
        last.map_or(read, Ok)
    }

    /// Writes what the system takes at once.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write_with(|mut socket| socket.write(bytes))
    }

    /// The same by another call.
    pub(crate) fn write_with(
        &self,
        write: impl FnOnce(&TcpStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        match &self.registered {
            Some(Registered { fd, writes: true }) => fd.try_io(Interest::WRITABLE, |_| write(&self.socket)),
            _ => write(&self.socket),
        }
    }

    /// What is there to be read, without taking it.
    pub(crate) fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.peek(buffer)
    }

    /// The next [`Stream::try_read`] asks the system, whatever the runtime knows.
    pub(crate) fn look(&self) {
        self.drained.set(true);
    }

    /// Whether a wait is better than a read: nothing has waited yet, so that hardly anything has come, or there was nothing
    /// more a moment ago.
    pub(crate) const fn waits_first(&self) -> bool {
        self.registered.is_none() || self.drained.get()
    }

    /// Whether the handshake is done.
    pub(crate) fn is_connected(&self) -> bool {
        self.socket.peer_addr().is_ok()
    }

    pub(crate) fn set_nodelay(&self) -> io::Result<()> {
        self.socket.set_nodelay(true)
    }

    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }

    /// Returns when it may be read, or the peer has ended it.
    pub(crate) async fn readable(&mut self) -> io::Result<()> {
        self.ready(Interest::READABLE).await.map(drop)
    }

    /// Returns when one of these is possible, or the connection has failed.
    pub(crate) async fn ready(&mut self, interest: Interest) -> io::Result<Ready> {
        // Exactly what `try_read` and `write_with` ask for: where one returned for anything else, and the other then did
        // nothing, those who call them in turns would never let the runtime hear of what comes next.
        let mut guard = self.register(interest)?.ready(interest).await?;
        let ready = guard.ready();
        guard.retain_ready();
        self.drained.set(false);
        Ok(ready)
    }

    #[expect(unsafe_code, reason = "registration of a descriptor with the runtime")]
    fn register(&mut self, interest: Interest) -> io::Result<&AsyncFd<RawFd>> {
        // One that does not fit is taken back first: the system refuses a second.
        let registered = match self.registered.take().filter(|r| r.writes || !interest.is_writable()) {
            Some(registered) => registered,
            None => {
                let writes = interest.is_writable();
                let interest =
                    if writes { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
                // SAFETY: the descriptor is the socket's, which is never exchanged and is closed after the registration has
                // been dropped.
                let fd = unsafe { AsyncFd::register_with_interest(self.socket.as_raw_fd(), interest)? };
                Registered { fd, writes }
            }
        };
        Ok(&self.registered.insert(registered).fd)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::time::Duration;

    /// A socket that never blocks, and its other end.
    fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        socket.set_nonblocking(true).unwrap();
        (socket, listener.accept().unwrap().0)
    }

    /// Lets the system report each byte that leaves as an event of its own, EPOLLERR and nothing else
    /// (Documentation/networking/timestamping.rst). A RST that is just being taken in looks the same for a moment.
    #[expect(unsafe_code, reason = "SO_TIMESTAMPING has no safe binding")]
    fn report_what_leaves(socket: &TcpStream) {
        let how: libc::c_uint = libc::SOF_TIMESTAMPING_TX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE;
        // SAFETY: the descriptor is open for the call, and the option's value lives across it and has that size.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_TIMESTAMPING,
                std::ptr::from_ref(&how).cast(),
                size_of::<libc::c_uint>() as libc::socklen_t,
            )
        };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_event_that_lets_nobody_read_keeps_nobody_busy() {
        let (socket, mut peer) = connected();
        report_what_leaves(&socket);
        let mut stream = Stream::new(socket);
        stream.register(Interest::READABLE).unwrap();
        stream.try_write(b"?").unwrap();
        let mut buffer = [0; 8];
        let mut read = async || loop {
            stream.readable().await.unwrap();
            if let Ok(n) = stream.try_read(&mut buffer) {
                return n;
            }
        };
        let waited = tokio::time::timeout(Duration::from_millis(50), read()).await;
        assert!(waited.is_err(), "the time-out had its turn: {waited:?}");
        peer.write_all(b"!").unwrap();
        assert_eq!(read().await, 1);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_comes_on_the_heels_of_the_last_bytes_is_there_before_the_runtime_knows() {
        let (socket, mut peer) = connected();
        let mut stream = Stream::new(socket);
        let mut buffer = [0; 8];
        peer.write_all(b"one").unwrap();
        stream.readable().await.unwrap();
        assert_eq!(stream.try_read(&mut buffer).unwrap(), 3);
        assert!(stream.waits_first());
        // On loopback a segment has arrived when the call returns; the runtime gets no turn in between.
        peer.write_all(b"two").unwrap();
        assert_eq!(stream.try_read(&mut buffer).unwrap(), 3);
        drop(peer);
        assert_eq!(stream.try_read(&mut buffer).unwrap(), 0);
    }
}
