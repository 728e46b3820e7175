//! The private network: a network namespace of this process's own, in which twins live.
//!
//! Entered once, before there is any thread. Nothing of the machine's own network is touched, and nothing is left
//! behind: the kernel takes the namespace away with its last process, however that ends.
//!
//! Each twin has an interface of its own, `esp0` and so on: the first one carries 192.168.4.1/24, further ones the same
//! address with a route to their twin alone. So one twin needs nothing but a TAP device, and a capture on one
//! interface sees one twin.

mod error;
mod facts;
mod namespace;
mod raw;
mod rtnetlink;
mod sysctl;
mod wire;

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

pub use error::{NetworkError, Step};
pub use facts::{Facts, TunDevice};
pub use wire::Carrier;

use rtnetlink::Rtnetlink;

/// The host's address in the private network.
pub const HOST_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 1);

/// Length of the network's prefix.
pub const PREFIX: u8 = 24;

/// Most twins of one network.
pub const MAX_TWINS: u8 = 64;

/// Address of the twin with this index, from 0: 192.168.4.91 and so on.
#[must_use]
pub const fn twin_address(index: u8) -> Ipv4Addr {
    let [a, b, c, _] = HOST_ADDRESS.octets();
    Ipv4Addr::new(a, b, c, 91 + if index < MAX_TWINS { index } else { MAX_TWINS - 1 })
}

/// Hardware address of the twin with this index: locally administered, its last byte that of the IP address.
#[must_use]
pub const fn twin_mac(index: u8) -> [u8; 6] {
    [0x02, 0x45, 0x53, 0x50, 0x00, twin_address(index).octets()[3]]
}

/// Whose rights the network was made with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Privilege {
    /// Those this process had: CAP_SYS_ADMIN and CAP_NET_ADMIN.
    Own,
    /// Those of a user namespace, where this process's user is root.
    UserNamespace,
}

/// The private network that this process is in.
#[derive(Debug)]
pub struct PrivateNetwork {
    privilege: Privilege,
}

/// An interface of the private network with the twin's end of it.
#[derive(Debug)]
pub struct Attachment {
    /// The host's interface, to capture on.
    pub interface: String,
    /// What carries the frames.
    pub carrier: Carrier,
    /// The twin's end: a frame a read, a frame a write.
    pub frames: OwnedFd,
}

impl PrivateNetwork {
    /// Moves this process into a network of its own, and into a user namespace of its own where it may not do that
    /// otherwise.
    ///
    /// To be called first thing in `main`: a process with more than one thread cannot do it.
    ///
    /// # Errors
    /// The first step that failed and what to do about it. The process may be in a namespace of its own then; it
    /// should end, or go on with the `sim` alone.
    pub fn enter() -> Result<Self, NetworkError> {
        let privilege = namespace::enter()?;
        let mut rtnetlink = Rtnetlink::open()?;
        rtnetlink.set_up("lo").map_err(|error| NetworkError::new(Step::Loopback, error))?;
        sysctl::pin(privilege);
        Ok(Self { privilege })
    }

    /// Whose rights it was made with.
    #[must_use]
    pub const fn privilege(&self) -> Privilege {
        self.privilege
    }

    /// Makes the interface of the twin with this index, by a TAP device or where that cannot be had by a veth pair and
    /// a packet socket; `carrier` asks for one of them.
    ///
    /// # Errors
    /// The step that failed and what to do about it.
    pub fn attach(&self, index: u8, carrier: Option<Carrier>) -> Result<Attachment, NetworkError> {
        if index >= MAX_TWINS {
            return Err(NetworkError::new(Step::Index, std::io::ErrorKind::InvalidInput.into()));
        }
        let interface = format!("esp{index}");
        let mut rtnetlink = Rtnetlink::open()?;
        let (carrier, frames) = wire::open(&mut rtnetlink, &interface, carrier)?;
        let address = |error| NetworkError::new(Step::Address, error);
        rtnetlink.set_mac(&interface, [0x02, 0x45, 0x53, 0x50, 0x01, index]).map_err(address)?;
        let prefix = if index == 0 { PREFIX } else { 32 };
        rtnetlink.add_address(&interface, HOST_ADDRESS, prefix).map_err(address)?;
        rtnetlink.set_up(&interface).map_err(|error| NetworkError::new(Step::Interface, error))?;
        if index > 0 {
            let route = rtnetlink.add_route(&interface, twin_address(index), HOST_ADDRESS);
            route.map_err(|error| NetworkError::new(Step::Route, error))?;
        }
        Ok(Attachment { interface, carrier, frames })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twins_are_numbered_from_ninety_one_and_stay_in_the_network() {
        assert_eq!(twin_address(0), Ipv4Addr::new(192, 168, 4, 91));
        assert_eq!(twin_address(1), Ipv4Addr::new(192, 168, 4, 92));
        assert_eq!(twin_address(u8::MAX), Ipv4Addr::new(192, 168, 4, 154));
        assert_eq!(twin_mac(0)[5], 91);
    }
}
