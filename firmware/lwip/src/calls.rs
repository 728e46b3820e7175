//! Sockets for programs that were written against another C library: its flags and option numbers, errors as plain
//! numbers, readiness without waiting, and a word at each event.
//!
//! Numbers are Linux's, which the C side is compiled with.

use std::net::SocketAddrV4;
use std::sync::OnceLock;

use crate::ffi::{self, Setting};
use crate::options::SocketOption;
use crate::socket::Socket;
use crate::stack::Stack;
use crate::tcp::Shutdown;

/// An error by its number in the host's `<errno.h>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

/// A socket's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// TCP.
    Stream,
    /// UDP.
    Datagram,
}

/// What a socket is ready for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ready {
    bits: i32,
}

impl Ready {
    /// Something to receive or accept, the peer's end, or a failure.
    pub const fn readable(self) -> bool {
        self.bits & (1 | 4) != 0
    }

    /// Room to send, or a failure.
    pub const fn writable(self) -> bool {
        self.bits & (2 | 4) != 0
    }
}

const SOL_SOCKET: i32 = 1;
const SO_REUSEADDR: i32 = 2;
const SO_LINGER: i32 = 13;

/// A socket of either kind. All calls but [`DeviceSocket::send_all`], [`DeviceSocket::shutdown`] and closing return at
/// once; those may wait, and any other call may be made meanwhile from another thread.
#[derive(Debug)]
pub struct DeviceSocket {
    socket: Socket,
    kind: Kind,
}

impl DeviceSocket {
    /// Opens a socket.
    ///
    /// # Errors
    /// `ENFILE` with all sockets in use, `ENOBUFS` without memory for one.
    pub fn open(_stack: &Stack, kind: Kind) -> Result<Self, Errno> {
        let ret = match kind {
            Kind::Stream => ffi::socket_tcp(),
            Kind::Datagram => ffi::socket_udp(),
        };
        Self::opened(ret, kind)
    }

    fn opened(ret: i32, kind: Kind) -> Result<Self, Errno> {
        check(ret)?;
        let socket = Socket::opened(ret).map_err(|_| Errno(libc::EBADF))?;
        Ok(Self { socket, kind })
    }

    /// Its kind.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The number that `on_socket_event` calls it by.
    pub fn number(&self) -> usize {
        usize::try_from(self.socket.fd()).unwrap_or(usize::MAX)
    }

    /// What it is ready for.
    pub fn ready(&self) -> Ready {
        Ready { bits: ffi::ready(self.socket.fd()) }
    }

    /// Binds.
    ///
    /// # Errors
    /// lwIP's.
    pub fn bind(&self, to: SocketAddrV4) -> Result<(), Errno> {
        check(ffi::bind(self.socket.fd(), to)).map(drop)
    }

    /// Listens; a backlog beyond lwIP's 255 is 255.
    ///
    /// # Errors
    /// lwIP's.
    pub fn listen(&self, backlog: i32) -> Result<(), Errno> {
        check(ffi::listen(self.socket.fd(), backlog.clamp(0, 255)))?;
        // Accepting never waits: who calls here waits by other means.
        check(ffi::set(self.socket.fd(), Setting::NonBlocking, 1)).map(drop)
    }

    /// Accepts a connection that is there.
    ///
    /// # Errors
    /// `EWOULDBLOCK` if there is none; `ENFILE` if there is no socket for it: lwIP has closed it then.
    pub fn accept(&self) -> Result<(Self, SocketAddrV4), Errno> {
        let (ret, peer) = ffi::accept(self.socket.fd());
        Self::opened(ret, Kind::Stream).map(|socket| (socket, peer))
    }

    /// Begins to connect. A stream that is being connected answers `EINPROGRESS`; it is writable when that is over.
    ///
    /// # Errors
    /// lwIP's.
    pub fn connect(&self, to: SocketAddrV4) -> Result<(), Errno> {
        let fd = self.socket.fd();
        if self.kind == Kind::Datagram {
            return check(ffi::connect(fd, to)).map(drop);
        }
        check(ffi::set(fd, Setting::NonBlocking, 1))?;
        let result = check(ffi::connect(fd, to));
        // lwIP remembers that this connection is made in the background; sends are to wait.
        check(ffi::set(fd, Setting::NonBlocking, 0))?;
        result.map(drop)
    }

    /// Receives what is there, and who sent it.
    ///
    /// # Errors
    /// `EWOULDBLOCK` if there is nothing; lwIP's.
    pub fn receive(&self, buf: &mut [u8], peek: bool) -> Result<(usize, SocketAddrV4), Errno> {
        let (ret, from) = ffi::recv_flags(self.socket.fd(), buf, peek);
        check(ret).map(|n| (n.min(buf.len()), from))
    }

    /// Queues what fits; `more` promises that more will follow.
    ///
    /// # Errors
    /// `EWOULDBLOCK` if nothing fits; lwIP's.
    pub fn send(&self, buf: &[u8], more: bool) -> Result<usize, Errno> {
        check(ffi::send_flags(self.socket.fd(), buf, true, more))
    }

    /// Sends all, waiting for room, as a device's program does.
    ///
    /// # Errors
    /// lwIP's.
    pub fn send_all(&self, buf: &[u8], more: bool) -> Result<usize, Errno> {
        check(ffi::send_flags(self.socket.fd(), buf, false, more))
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// lwIP's.
    pub fn send_to(&self, buf: &[u8], to: SocketAddrV4) -> Result<usize, Errno> {
        if buf.len() > usize::from(u16::MAX) {
            return Err(Errno(libc::EMSGSIZE));
        }
        check(ffi::send_to(self.socket.fd(), buf, to))
    }

    /// Shuts down one half or both. May wait for room for the FIN.
    ///
    /// # Errors
    /// lwIP's.
    pub fn shutdown(&self, how: Shutdown) -> Result<(), Errno> {
        check(ffi::shutdown(self.socket.fd(), how.number())).map(drop)
    }

    /// The address bound to.
    ///
    /// # Errors
    /// lwIP's.
    pub fn local_addr(&self) -> Result<SocketAddrV4, Errno> {
        let (ret, addr) = ffi::local_addr(self.socket.fd());
        check(ret).map(|_| addr)
    }

    /// The peer's address.
    ///
    /// # Errors
    /// lwIP's.
    pub fn peer_addr(&self) -> Result<SocketAddrV4, Errno> {
        let (ret, addr) = ffi::peer_addr(self.socket.fd());
        check(ret).map(|_| addr)
    }

    /// The pending error, which this clears.
    ///
    /// # Errors
    /// That error.
    pub fn take_error(&self) -> Result<(), Errno> {
        check(ffi::take_error(self.socket.fd())).map(drop)
    }

    /// Sets an option, level and name by Linux's numbers.
    ///
    /// # Errors
    /// `ENOPROTOOPT` for what this stack has not; lwIP's.
    pub fn set_option(&self, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
        refuse_missing(level, name)?;
        check(ffi::set_linux_option(self.socket.fd(), level, name, value)).map(drop)
    }

    /// Reads an option: how many bytes of `value` it is.
    ///
    /// # Errors
    /// As for [`DeviceSocket::set_option`].
    pub fn option(&self, level: i32, name: i32, value: &mut [u8]) -> Result<usize, Errno> {
        refuse_missing(level, name)?;
        let (ret, len) = ffi::get_linux_option(self.socket.fd(), level, name, value);
        check(ret).map(|_| len)
    }

    /// `FIONREAD`.
    ///
    /// # Errors
    /// `ENOSYS` where the stack has it not.
    pub fn unread(&self) -> Result<usize, Errno> {
        check(ffi::unread(self.socket.fd()))
    }

    /// Closes as lwIP does: with a FIN, or with a RST if received data was not read. May wait up to 20 s.
    ///
    /// # Errors
    /// lwIP's, and then the socket is lost, as on a device whose program does not try again.
    pub fn close(&self) -> Result<(), Errno> {
        match self.socket.close_once() {
            Some(ret) => check(ret).map(drop),
            None => Err(Errno(libc::EBADF)),
        }
    }
}

/// Options that an sdkconfig leaves out.
fn refuse_missing(level: i32, name: i32) -> Result<(), Errno> {
    let Some(options) = Stack::options_in_force() else { return Ok(()) };
    let refused = match (level, name) {
        (SOL_SOCKET, SO_REUSEADDR) => options.so_reuse == SocketOption::Refused,
        (SOL_SOCKET, SO_LINGER) => options.so_linger == SocketOption::Refused,
        _ => false,
    };
    if refused { Err(Errno(libc::ENOPROTOOPT)) } else { Ok(()) }
}

fn check(ret: i32) -> Result<usize, Errno> {
    usize::try_from(ret).map_err(|_| Errno(ret.saturating_neg()))
}

type Listener = Box<dyn Fn(usize) + Send + Sync>;

static EVENTS: OnceLock<Listener> = OnceLock::new();

impl Stack {
    /// Says that the calling thread is none that a device would have, before its first call: the semaphore that its calls
    /// wait on does not come from the device's heap.
    pub fn this_thread_is_no_task(&self) {
        ffi::thread_is_no_task();
    }

    /// Calls `tell` with a socket's number at each of its events (data, room, a connection, an end, a failure), in the
    /// thread that the event happens in: it must return quickly and make no socket call. Only the first one is kept.
    pub fn on_socket_event(&self, tell: impl Fn(usize) + Send + Sync + 'static) {
        let _ = EVENTS.set(Box::new(tell));
    }
}

#[expect(unsafe_code, reason = "called by name from C")]
#[unsafe(no_mangle)]
extern "C" fn esl_socket_event(fd: i32) {
    if let (Some(tell), Ok(number)) = (EVENTS.get(), usize::try_from(fd)) {
        tell(number);
    }
}
