//! UDP sockets.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::error::{SocketError, check};
use crate::ffi::{self, Setting};
use crate::options::SocketOption;
use crate::socket::Socket;
use crate::stack::Stack;

/// A UDP socket.
#[derive(Debug)]
pub struct UdpSocket {
    pub(crate) socket: Socket,
}

impl UdpSocket {
    /// A socket on a port of the device; 0 takes a free one.
    ///
    /// # Errors
    /// [`SocketError::NoSocket`], [`SocketError::AddressInUse`].
    pub fn bind(_stack: &Stack, port: u16) -> Result<Self, SocketError> {
        let socket = Socket::opened(ffi::socket_udp())?;
        bind(&socket, port)?;
        Ok(Self { socket })
    }

    /// A socket on a port that others may share (`SO_REUSEADDR`).
    ///
    /// # Errors
    /// [`SocketError::NoProtocolOption`] where the options do not have it; as for
    /// [`UdpSocket::bind`].
    pub fn bind_shared(_stack: &Stack, port: u16) -> Result<Self, SocketError> {
        if Stack::options_in_force().is_none_or(|o| o.so_reuse == SocketOption::Refused) {
            return Err(SocketError::NoProtocolOption);
        }
        let socket = Socket::opened(ffi::socket_udp())?;
        socket.set(Setting::ReuseAddress, 1)?;
        bind(&socket, port)?;
        Ok(Self { socket })
    }

    /// Receives datagrams sent to a multicast group as well.
    ///
    /// # Errors
    /// [`SocketError::Io`] if the address is no multicast group or there are too many.
    pub fn join_multicast(&self, group: Ipv4Addr) -> Result<(), SocketError> {
        check(ffi::join_multicast(
            self.socket.fd(),
            group,
            Ipv4Addr::UNSPECIFIED,
        ))
        .map(drop)
    }

    /// Time to live of multicast datagrams sent; mDNS wants 255.
    ///
    /// # Errors
    /// None in practice.
    pub fn set_multicast_ttl(&self, ttl: u8) -> Result<(), SocketError> {
        self.socket.set(Setting::MulticastTtl, i32::from(ttl))
    }

    /// Waits for a datagram. What does not fit in the buffer is lost.
    ///
    /// # Errors
    /// [`SocketError::WouldBlock`] on a non-blocking socket or after the time-out.
    pub fn recv_from(&self, buf: &mut [u8]) -> Result<(usize, SocketAddrV4), SocketError> {
        let (ret, from) = ffi::recv_from(self.socket.fd(), buf, false);
        check(ret).map(|n| (n.min(buf.len()), from))
    }

    /// Receives a datagram without waiting.
    ///
    /// # Errors
    /// [`SocketError::WouldBlock`] if there is none.
    pub fn try_recv_from(&self, buf: &mut [u8]) -> Result<(usize, SocketAddrV4), SocketError> {
        let (ret, from) = ffi::recv_from(self.socket.fd(), buf, true);
        check(ret).map(|n| (n.min(buf.len()), from))
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// [`SocketError::NoMemory`], [`SocketError::HostUnreachable`], [`SocketError::MessageSize`].
    pub fn send_to(&self, buf: &[u8], to: SocketAddrV4) -> Result<usize, SocketError> {
        if buf.len() > usize::from(u16::MAX) {
            return Err(SocketError::MessageSize);
        }
        check(ffi::send_to(self.socket.fd(), buf, to))
    }

    /// Makes every call on this socket return at once.
    ///
    /// # Errors
    /// None in practice.
    pub fn set_nonblocking(&self, on: bool) -> Result<(), SocketError> {
        self.socket.set(Setting::NonBlocking, i32::from(on))
    }

    /// How long [`UdpSocket::recv_from`] waits; `None` is for ever.
    ///
    /// # Errors
    /// None in practice.
    pub fn set_recv_timeout(&self, timeout: Option<Duration>) -> Result<(), SocketError> {
        self.socket.set_timeout(Setting::ReceiveTimeoutMs, timeout)
    }

    /// The address bound to.
    ///
    /// # Errors
    /// None in practice.
    pub fn local_addr(&self) -> Result<SocketAddrV4, SocketError> {
        self.socket.local_addr()
    }
}

fn bind(socket: &Socket, port: u16) -> Result<(), SocketError> {
    let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
    check(ffi::bind(socket.fd(), any)).map(drop)
}
