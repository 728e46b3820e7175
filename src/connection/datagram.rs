//! A UDP socket to one service of a device, with its errors named: whose they are decides what they say.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use espstress_event::Failure;

/// Room for what comes in while this program does something else. The system may give less.
const RECEIVE_BUFFER: usize = 1 << 20;

/// A socket for datagrams to one address, and from it: the system keeps others' away. Or to a multicast group, and from
/// whoever answers.
#[derive(Debug)]
pub struct DatagramSocket {
    socket: UdpSocket,
    group: Option<Group>,
}

/// Where datagrams to a group go.
#[derive(Clone, Copy, Debug)]
struct Group {
    to: SocketAddr,
    /// The largest packet on the way to the device that stands for it.
    mtu: Option<u32>,
}

/// What a socket had to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A datagram of so many bytes.
    Datagram {
        /// How many.
        bytes: usize,
        /// Who sent it; `None` for the one that the socket is for.
        from: Option<IpAddr>,
    },
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
        open().map(|socket| Self { socket, group: None }).map_err(|error| named(&error))
    }

    /// Opens one for a multicast group, on the interface that leads to `device` and no other. A datagram passes no router
    /// (TTL 1, RFC 1112, 6.1), and no program of this machine hears it on another interface.
    ///
    /// # Errors
    /// The host's own failures; [`Failure::ConnectUnreachable`] where no route leads to the device, or only one within this
    /// machine that is no loopback.
    pub fn open_group(
        group: Ipv4Addr,
        device: SocketAddrV4,
        source: Option<IpAddr>,
    ) -> Result<Self, Failure> {
        let way = Self::open(device.into(), source)?;
        let local = match way.socket.local_addr() {
            Ok(SocketAddr::V4(local)) => *local.ip(),
            Ok(SocketAddr::V6(_)) | Err(_) => return Err(Failure::HostOther),
        };
        // The system takes the interface by its address: that of this machine's own address would be a real one.
        if local == *device.ip() && !local.is_loopback() {
            return Err(Failure::ConnectUnreachable);
        }
        let open = || -> io::Result<UdpSocket> {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
            let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
            socket.set_multicast_if_v4(&local)?;
            socket.set_multicast_ttl_v4(1)?;
            socket.set_multicast_loop_v4(local.is_loopback())?;
            socket.bind(&SocketAddrV4::new(local, 0).into())?;
            UdpSocket::from_std(socket.into())
        };
        let socket = open().map_err(|error| named(&error))?;
        let to = SocketAddrV4::new(group, device.port()).into();
        Ok(Self { socket, group: Some(Group { to, mtu: way.mtu() }) })
    }

    /// Sends one datagram, in several IP packets where one does not hold it.
    ///
    /// # Errors
    /// [`Failure::PortUnreachable`] and [`Failure::ConnectUnreachable`] are about an earlier datagram, and this one
    /// was not sent; all others are the host's.
    pub async fn send(&self, datagram: &[u8]) -> Result<(), Failure> {
        let sent = match self.group {
            Some(group) => self.socket.send_to(datagram, group.to).await,
            None => self.socket.send(datagram).await,
        };
        sent.map(drop).map_err(|error| named(&error))
    }

    /// Waits for a datagram or an ICMP error.
    pub async fn receive(&self, buffer: &mut [u8]) -> Received {
        if self.group.is_some() {
            return told_by(self.socket.recv_from(buffer).await);
        }
        told(self.socket.recv(buffer).await)
    }

    /// What has come in already; `None` where there is nothing.
    pub fn received(&self, buffer: &mut [u8]) -> Option<Received> {
        let is_empty = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        if self.group.is_some() {
            let received = self.socket.try_recv_from(buffer);
            return (!received.as_ref().is_err_and(is_empty)).then(|| told_by(received));
        }
        let received = self.socket.try_recv(buffer);
        (!received.as_ref().is_err_and(is_empty)).then(|| told(received))
    }

    /// The largest IP packet that goes to the device in one piece, bytes; `None` where the system does not tell.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn mtu(&self) -> Option<u32> {
        if let Some(group) = self.group {
            return group.mtu;
        }
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
    let datagram = |bytes| Received::Datagram { bytes, from: None };
    result.map_or_else(|error| Received::Failure(named(&error)), datagram)
}

fn told_by(result: io::Result<(usize, SocketAddr)>) -> Received {
    let datagram = |(bytes, from): (usize, SocketAddr)| Received::Datagram { bytes, from: Some(from.ip()) };
    result.map_or_else(|error| Received::Failure(named(&error)), datagram)
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

    #[tokio::test]
    async fn datagrams_to_a_group_pass_no_router_and_go_where_the_device_is() {
        let device = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9);
        let socket = DatagramSocket::open_group(Ipv4Addr::new(233, 252, 0, 7), device, None).unwrap();
        let options = socket2::SockRef::from(&socket.socket);
        assert_eq!(options.multicast_ttl_v4().unwrap(), 1);
        assert_eq!(options.multicast_if_v4().unwrap(), Ipv4Addr::LOCALHOST);
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
