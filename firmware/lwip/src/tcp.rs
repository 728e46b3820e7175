//! TCP listeners and streams.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::error::{SocketError, check};
use crate::ffi::{self, Setting};
use crate::options::SocketOption;
use crate::socket::{Socket, seconds};
use crate::stack::Stack;

/// A listening socket.
#[derive(Debug)]
pub struct TcpListener {
    pub(crate) socket: Socket,
}

impl TcpListener {
    /// Listens on a port of the device. `backlog` (0 to 255; lwIP takes 0 for 1) bounds the
    /// connections that are not accepted yet: a SYN beyond it is dropped.
    ///
    /// # Errors
    /// [`SocketError::NoSocket`] with all sockets in use, [`SocketError::AddressInUse`],
    /// [`SocketError::NoMemory`] also at the limit of listening control blocks.
    pub fn bind(_stack: &Stack, port: u16, backlog: u8) -> Result<Self, SocketError> {
        let socket = Socket::opened(ffi::socket_tcp())?;
        check(ffi::bind(socket.fd(), SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)))?;
        check(ffi::listen(socket.fd(), i32::from(backlog)))?;
        Ok(Self { socket })
    }

    /// Waits for a connection, or for the receive time-out.
    ///
    /// # Errors
    /// [`SocketError::NoSocket`] when there is a connection and no socket for it: lwIP has closed the
    /// connection then. [`SocketError::WouldBlock`] on a non-blocking listener or after the time-out.
    pub fn accept(&self) -> Result<(TcpStream, SocketAddrV4), SocketError> {
        let (ret, peer) = ffi::accept(self.socket.fd());
        let socket = Socket::opened(ret)?;
        Ok((TcpStream { socket }, peer))
    }

    /// Makes [`TcpListener::accept`] return at once.
    ///
    /// # Errors
    /// None in practice.
    pub fn set_nonblocking(&self, on: bool) -> Result<(), SocketError> {
        self.socket.set(Setting::NonBlocking, i32::from(on))
    }

    /// The address listened on.
    ///
    /// # Errors
    /// None in practice.
    pub fn local_addr(&self) -> Result<SocketAddrV4, SocketError> {
        self.socket.local_addr()
    }
}

/// Which halves of a connection are shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// No more data is received.
    Read,
    /// No more data is sent: a FIN follows what is queued.
    Write,
    /// Both.
    Both,
}

impl Shutdown {
    pub(crate) const fn number(self) -> i32 {
        match self {
            Self::Read => 0,
            Self::Write => 1,
            Self::Both => 2,
        }
    }
}

/// A TCP connection. Dropping it closes it as [`TcpStream::close`] does.
#[derive(Debug)]
pub struct TcpStream {
    pub(crate) socket: Socket,
}

impl TcpStream {
    /// Connects, waiting until that succeeded or failed.
    ///
    /// # Errors
    /// [`SocketError::ConnectionReset`] if the port is closed, [`SocketError::ConnectionAborted`] if
    /// nobody answers, [`SocketError::NoSocket`], [`SocketError::NoBuffer`].
    pub fn connect(_stack: &Stack, addr: SocketAddrV4) -> Result<Self, SocketError> {
        let socket = Socket::opened(ffi::socket_tcp())?;
        check(ffi::connect(socket.fd(), addr))?;
        Ok(Self { socket })
    }

    /// Begins to connect on a non-blocking socket: once a poll finds it writable,
    /// [`TcpStream::take_error`] tells how it went.
    ///
    /// # Errors
    /// As for [`TcpStream::connect`], where it is known at once.
    pub fn start_connect(_stack: &Stack, addr: SocketAddrV4) -> Result<Self, SocketError> {
        let socket = Socket::opened(ffi::socket_tcp())?;
        socket.set(Setting::NonBlocking, 1)?;
        match check(ffi::connect(socket.fd(), addr)) {
            Ok(_) | Err(SocketError::InProgress) => Ok(Self { socket }),
            Err(e) => Err(e),
        }
    }

    /// Receives what there is, waiting for the first byte; 0 is the peer's end.
    ///
    /// # Errors
    /// [`SocketError::WouldBlock`] on a non-blocking socket or after the time-out; how the connection
    /// ended otherwise.
    pub fn recv(&self, buf: &mut [u8]) -> Result<usize, SocketError> {
        check(ffi::recv(self.socket.fd(), buf, false))
    }

    /// The same, without waiting.
    ///
    /// # Errors
    /// [`SocketError::WouldBlock`] if there is nothing; how the connection ended otherwise.
    pub fn try_recv(&self, buf: &mut [u8]) -> Result<usize, SocketError> {
        check(ffi::recv(self.socket.fd(), buf, true))
    }

    /// Queues bytes for sending. A blocking socket takes them all; a non-blocking one as many as fit.
    ///
    /// # Errors
    /// [`SocketError::WouldBlock`] if nothing fits; how the connection ended otherwise.
    pub fn send(&self, buf: &[u8]) -> Result<usize, SocketError> {
        check(ffi::send(self.socket.fd(), buf, false))
    }

    /// Queues as many bytes as fit without waiting.
    ///
    /// # Errors
    /// As for [`TcpStream::send`].
    pub fn try_send(&self, buf: &[u8]) -> Result<usize, SocketError> {
        check(ffi::send(self.socket.fd(), buf, true))
    }

    /// Sends all bytes, waiting for room.
    ///
    /// # Errors
    /// As for [`TcpStream::send`]; how much was taken is not known then.
    pub fn send_all(&self, mut buf: &[u8]) -> Result<(), SocketError> {
        while !buf.is_empty() {
            let sent = self.send(buf)?;
            buf = &buf[sent..];
        }
        Ok(())
    }

    /// Shuts down one or both halves.
    ///
    /// # Errors
    /// [`SocketError::NotConnected`] after the connection's end.
    pub fn shutdown(&self, how: Shutdown) -> Result<(), SocketError> {
        check(ffi::shutdown(self.socket.fd(), how.number())).map(drop)
    }

    /// Closes as lwIP does: with a FIN, or with a RST if received data was not read.
    ///
    /// # Errors
    /// [`SocketError::WouldBlock`] or [`SocketError::NoMemory`] if no FIN could be queued for 20 s.
    pub fn close(self) -> Result<(), SocketError> {
        self.socket.close()
    }

    /// Ends the connection with a RST, whatever is queued or unread. It needs no `SO_LINGER`.
    ///
    /// # Errors
    /// As for [`TcpStream::close`].
    pub fn abort(self) -> Result<(), SocketError> {
        self.socket.abort()
    }

    /// Forgets the socket without closing it, as a program does that loses track: neither the socket
    /// nor the connection's memory comes back.
    pub fn leak(self) {
        self.socket.leak();
    }

    /// Sets `SO_LINGER` in whole seconds; `None` switches it off. As lwIP has it, closing then waits
    /// that long for the acknowledgement of what was sent and resets the connection otherwise: with
    /// zero seconds at once, but with a FIN still if there is nothing unacknowledged.
    ///
    /// # Errors
    /// [`SocketError::NoProtocolOption`] where the options do not have it.
    pub fn set_linger(&self, linger: Option<Duration>) -> Result<(), SocketError> {
        if Stack::options_in_force().is_none_or(|o| o.so_linger == SocketOption::Refused) {
            return Err(SocketError::NoProtocolOption);
        }
        let value = linger.map_or(-1, |d| i32::try_from(d.as_secs()).unwrap_or(i32::MAX));
        self.socket.set(Setting::LingerSeconds, value)
    }

    /// Switches keep-alive on: probes after `idle` without traffic, every `interval`, and the
    /// connection is given up after `count` of them. Times are rounded up to seconds.
    ///
    /// # Errors
    /// [`SocketError::Invalid`] after the connection's end.
    pub fn set_keepalive(&self, idle: Duration, interval: Duration, count: u8) -> Result<(), SocketError> {
        self.socket.set(Setting::KeepIdleSeconds, seconds(idle))?;
        self.socket.set(Setting::KeepIntervalSeconds, seconds(interval))?;
        self.socket.set(Setting::KeepCount, i32::from(count))?;
        self.socket.set(Setting::KeepAlive, 1)
    }

    /// Switches Nagle's algorithm off or on.
    ///
    /// # Errors
    /// [`SocketError::Invalid`] after the connection's end.
    pub fn set_nodelay(&self, on: bool) -> Result<(), SocketError> {
        self.socket.set(Setting::NoDelay, i32::from(on))
    }

    /// Makes every call on this socket return at once.
    ///
    /// # Errors
    /// None in practice.
    pub fn set_nonblocking(&self, on: bool) -> Result<(), SocketError> {
        self.socket.set(Setting::NonBlocking, i32::from(on))
    }

    /// How long [`TcpStream::recv`] waits; `None` is for ever.
    ///
    /// # Errors
    /// None in practice.
    pub fn set_recv_timeout(&self, timeout: Option<Duration>) -> Result<(), SocketError> {
        self.socket.set_timeout(Setting::ReceiveTimeoutMs, timeout)
    }

    /// How long [`TcpStream::send`] waits; `None` is for ever.
    ///
    /// # Errors
    /// None in practice.
    pub fn set_send_timeout(&self, timeout: Option<Duration>) -> Result<(), SocketError> {
        self.socket.set_timeout(Setting::SendTimeoutMs, timeout)
    }

    /// The pending error (`SO_ERROR`), which this clears.
    ///
    /// # Errors
    /// That error.
    pub fn take_error(&self) -> Result<(), SocketError> {
        check(ffi::take_error(self.socket.fd())).map(drop)
    }

    /// The device's address of the connection.
    ///
    /// # Errors
    /// [`SocketError::NotConnected`] after the connection's end.
    pub fn local_addr(&self) -> Result<SocketAddrV4, SocketError> {
        self.socket.local_addr()
    }

    /// The peer's address.
    ///
    /// # Errors
    /// [`SocketError::NotConnected`] after the connection's end.
    pub fn peer_addr(&self) -> Result<SocketAddrV4, SocketError> {
        self.socket.peer_addr()
    }
}
