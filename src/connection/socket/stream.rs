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
    /// What is known of the peer's FIN.
    end: Cell<End>,
}

/// How near the end of what there is to be read is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Nobody knows.
    Unknown,
    /// The FIN has come, behind what has not been read.
    HasCome,
    /// All before it has been read.
    Next,
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
        Self { registered: None, socket, end: Cell::new(End::Unknown) }
    }

    /// Reads what is there; once something has waited, what the runtime knows to be there.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut socket = &self.socket;
        let Some(Registered { fd, .. }) = &self.registered else { return socket.read(buffer) };
        if self.end.get() == End::Next {
            return Ok(0);
        }
        let (room, mut last) = (buffer.len(), None);
        let read = fd.try_io(Interest::READABLE, |_| {
            let n = socket.read(buffer)?;
            if (1..room).contains(&n) {
                // That was all (epoll(7), questions and answers, 9): an event announces what comes next, and reading before
                // it would be in vain.
                last = Some(n);
                if self.end.get() == End::HasCome {
                    self.end.set(End::Next);
                }
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(n)
        });
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

    /// Whether something has waited for it.
    pub(crate) const fn is_registered(&self) -> bool {
        self.registered.is_some()
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
        let mut guard = self.register(interest)?.ready(interest.add(Interest::ERROR)).await?;
        let ready = guard.ready();
        guard.retain_ready();
        // A RST ends reading as well, and is an error.
        if ready.is_read_closed() && !ready.is_error() && self.end.get() == End::Unknown {
            self.end.set(End::HasCome);
        }
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
