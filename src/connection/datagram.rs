//! A UDP socket to one service of a device, with its errors named: whose they are decides what they say.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use espstress_event::Failure;

/// Room for what comes in while this program does something else. The system may give less.
const RECEIVE_BUFFER: usize = 1 << 20;

/// A socket for datagrams to one address, and from it: the system keeps others' away.
#[derive(Debug)]
pub struct DatagramSocket {
    socket: UdpSocket,
}

/// What a socket had to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A datagram of so many bytes.
    Datagram(usize),
    /// An ICMP error that answers an earlier datagram.
    Failure(Failure),
}

impl DatagramSocket {
    /// Opens one. Nothing is sent.
    ///
    /// # Errors
    /// The host's own failures.
    pub fn open(target: SocketAddr, source: Option<IpAddr>) -> Result<Self, Failure> {
        let open = || -> io::Result<UdpSocket> {
            let kind = Type::DGRAM.nonblocking().cloexec();
            let socket = Socket::new(Domain::for_address(target), kind, Some(Protocol::UDP))?;
            // Less room is no failure: what it costs is counted.
            let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
            if let Some(source) = source {
                socket.bind(&SocketAddr::new(source, 0).into())?;
            }
            socket.connect(&target.into())?;
            UdpSocket::from_std(socket.into())
        };
        open().map(|socket| Self { socket }).map_err(|error| named(&error))
    }

    /// Sends one datagram, in several IP packets where one does not hold it.
    ///
    /// # Errors
    /// [`Failure::PortUnreachable`] and [`Failure::ConnectUnreachable`] are about an earlier datagram, and this one
    /// was not sent; all others are the host's.
    pub async fn send(&self, datagram: &[u8]) -> Result<(), Failure> {
        self.socket.send(datagram).await.map(drop).map_err(|error| named(&error))
    }

    /// Waits for a datagram or an ICMP error.
    pub async fn receive(&self, buffer: &mut [u8]) -> Received {
        told(self.socket.recv(buffer).await)
    }

    /// What has come in already; `None` where there is nothing.
    pub fn received(&self, buffer: &mut [u8]) -> Option<Received> {
        match self.socket.try_recv(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            other => Some(told(other)),
        }
    }

    /// The largest IP packet that goes to the device in one piece, bytes; `None` where the system does not tell.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn mtu(&self) -> Option<u32> {
        let v6 = self.socket.peer_addr().ok()?.is_ipv6();
        let (level, name) =
            if v6 { (libc::IPPROTO_IPV6, libc::IPV6_MTU) } else { (libc::IPPROTO_IP, libc::IP_MTU) };
        let [mtu] = options::<1>(&self.socket, level, name)?;
        Some(mtu)
    }

    /// Datagrams to this socket that the system dropped, because its buffer was full or a checksum was wrong; `None`
    /// where it does not tell.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn dropped(&self) -> Option<u64> {
        /// `SK_MEMINFO_DROPS` (include/uapi/linux/sock_diag.h).
        const DROPS: usize = 8;
        let all = options::<9>(&self.socket, libc::SOL_SOCKET, libc::SO_MEMINFO)?;
        all.get(DROPS).copied().map(u64::from)
    }

    /// Not known here.
    #[cfg(not(target_os = "linux"))]
    #[must_use]
    pub const fn mtu(&self) -> Option<u32> {
        None
    }

    /// Not known here.
    #[cfg(not(target_os = "linux"))]
    #[must_use]
    pub const fn dropped(&self) -> Option<u64> {
        None
    }
}

fn told(result: io::Result<usize>) -> Received {
    result.map_or_else(|error| Received::Failure(named(&error)), Received::Datagram)
}

/// Names what a datagram met. ICMP errors come back as errors of a connected socket (udp(7)).
fn named(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::PortUnreachable,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
            Failure::ConnectUnreachable
        }
        _ => match error.raw_os_error() {
            Some(libc::EADDRNOTAVAIL | libc::EADDRINUSE | libc::EAGAIN) => Failure::HostOutOfPorts,
            Some(libc::EMFILE | libc::ENFILE) => Failure::HostOutOfFiles,
            _ => Failure::HostOther,
        },
    }
}

/// A socket option that is a row of 32-bit numbers.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "IP_MTU and SO_MEMINFO have no safe binding for all address families")]
fn options<const N: usize>(socket: &UdpSocket, level: i32, name: i32) -> Option<[u32; N]> {
    use std::os::fd::AsRawFd;

    let mut values = [0_u32; N];
    let mut length = size_of::<[u32; N]>() as libc::socklen_t;
    // SAFETY: the descriptor is open for the call; the buffer is valid for `length` bytes, and the kernel writes at most
    // that many.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, name, values.as_mut_ptr().cast(), &raw mut length)
    };
    (result == 0 && length as usize == size_of::<[u32; N]>()).then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_named() {
        let free = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let socket = DatagramSocket::open(free, None).unwrap();
        socket.send(b"anybody?").await.unwrap();
        let received = socket.receive(&mut [0; 16]).await;
        assert_eq!(received, Received::Failure(Failure::PortUnreachable));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_this_system_dropped_is_counted() {
        let device = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let socket = DatagramSocket::open(device.local_addr().unwrap(), None).unwrap();
        socket.send(b"here I am").await.unwrap();
        let mut buffer = [0; 16];
        let (_, peer) = device.recv_from(&mut buffer).await.unwrap();
        assert_eq!(socket.dropped(), Some(0));
        for _ in 0..2_000 {
            device.send_to(&[0; 8_000], peer).await.unwrap();
        }
        assert!(socket.dropped().unwrap() > 500, "{:?}", socket.dropped());
        assert!(socket.mtu().unwrap() >= 1_500);
    }
}
