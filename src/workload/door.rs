//! The port on which devices dial in: taken before the run's capture is open, so that the capture knows it, and opened
//! after, so that no connection is older than the capture.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpListener;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1_024;

/// A port that is taken, and on which nothing listens yet: whoever dials it is refused.
#[derive(Debug)]
pub(crate) struct Door {
    socket: Socket,
    address: SocketAddr,
}

/// Why devices cannot dial in.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub(crate) struct DoorError {
    address: SocketAddr,
    source: io::Error,
}

impl Door {
    /// Takes `port`, a free one where it is 0, on `source` or any address of the family of `peer`.
    pub(crate) fn take(source: Option<IpAddr>, peer: IpAddr, port: u16) -> Result<Self, DoorError> {
        let address = SocketAddr::new(source.unwrap_or_else(|| any(peer)), port);
        let bind = || {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
            // Connections of an earlier run may still be in TIME_WAIT.
            #[cfg(unix)]
            socket.set_reuse_address(true)?;
            socket.bind(&address.into())?;
            let bound = socket.local_addr()?.as_socket().unwrap_or(address);
            Ok(Self { socket, address: bound })
        };
        bind().map_err(|source| DoorError { address, source })
    }

    pub(crate) const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Listens from now on, before there is a runtime.
    pub(crate) fn listen(&self) -> Result<std::net::TcpListener, DoorError> {
        let listen = || {
            self.socket.listen(BACKLOG)?;
            Ok(self.socket.try_clone()?.into())
        };
        listen().map_err(|source| DoorError { address: self.address, source })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens from now on, on this thread's runtime.
    pub(crate) fn open(self) -> Result<(TcpListener, SocketAddr), DoorError> {
        let Self { socket, address } = self;
        let open = || {
            socket.listen(BACKLOG)?;
            socket.set_nonblocking(true)?;
            TcpListener::from_std(socket.into())
        };
        open().map(|listener| (listener, address)).map_err(|source| DoorError { address, source })
    }
}

/// Ports that devices have dialled. Nobody listens on them any more, and no other program gets them while the packets of the
/// run's last connections are still watched for: it would be taken for a device.
#[derive(Debug, Default)]
pub struct KeptPorts(Vec<Door>);

impl KeptPorts {
    /// Ends the listening, and takes the port again. Where the system can't do that, it is free.
    pub(crate) fn keep(&mut self, listener: &TcpListener, bound: SocketAddr) {
        // Whoever waits to be accepted holds the listener still.
        let _ = SockRef::from(listener).shutdown(std::net::Shutdown::Both);
        self.0.extend(Door::take(Some(bound.ip()), bound.ip(), bound.port()));
    }
}

/// What a device may dial: each address of this machine, with the port.
pub(crate) fn places(bound: SocketAddr) -> String {
    if !bound.ip().is_unspecified() {
        return bound.to_string();
    }
    let mut addresses: Vec<SocketAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .map(|interface| SocketAddr::new(interface.ip(), bound.port()))
        .filter(|address| address.is_ipv4() || bound.is_ipv6())
        .collect();
    addresses.sort_by_key(|address| address.ip().is_loopback());
    addresses.dedup();
    if addresses.is_empty() {
        return bound.to_string();
    }
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Every address of the family of `peer`.
const fn any(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[tokio::test]
    async fn whoever_dials_is_refused_until_the_door_is_open() {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let door = Door::take(Some(here), here, 0).unwrap();
        let address = SocketAddr::new(here, door.port());
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let (_listener, bound) = door.open().unwrap();
        assert_eq!(bound, address);
        TcpStream::connect(address).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn whoever_dials_a_kept_port_is_refused_and_nobody_else_gets_it() {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (listener, address) = Door::take(Some(here), here, 0).unwrap().open().unwrap();
        let mut kept = KeptPorts::default();
        kept.keep(&listener, address);
        drop(listener);
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let other = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        assert_eq!(other.bind(&address.into()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(kept);
        Door::take(Some(here), here, address.port()).unwrap().open().unwrap();
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_an_error_with_its_address() {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let other = std::net::TcpListener::bind((here, 0)).unwrap();
        let port = other.local_addr().unwrap().port();
        let error = Door::take(Some(here), here, port).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot listen on 127.0.0.1:{port}: ")), "{error}");
    }
}
