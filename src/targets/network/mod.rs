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

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

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
pub(crate) const fn twin_address(index: u8) -> Ipv4Addr {
    let [a, b, c, _] = HOST_ADDRESS.octets();
    Ipv4Addr::new(a, b, c, 91 + if index < MAX_TWINS { index } else { MAX_TWINS - 1 })
}

/// Hardware address of the twin with this index: locally administered, its last byte that of the IP address.
#[must_use]
pub(crate) const fn twin_mac(index: u8) -> [u8; 6] {
    [0x02, 0x45, 0x53, 0x50, 0x00, twin_address(index).octets()[3]]
}

/// Hardware address of the host's interface to the twin with this index.
#[must_use]
pub const fn host_mac(index: u8) -> [u8; 6] {
    [0x02, 0x45, 0x53, 0x50, 0x01, index]
}

/// Name of that interface.
#[must_use]
pub fn interface_name(index: u8) -> String {
    format!("esp{index}")
}

/// Whose rights the network was made with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Privilege {
    /// Those this process had: CAP_SYS_ADMIN and CAP_NET_ADMIN.
    Own,
    /// Those of a user namespace, where this process's user is root.
    UserNamespace,
}

/// The private network that this process is in.
#[derive(Debug)]
pub struct PrivateNetwork {
    taken: Arc<Mutex<BTreeSet<u8>>>,
}

/// A twin's place in the network. Given up when dropped: the interface goes, and the number is free again.
#[derive(Debug)]
pub struct Place {
    index: u8,
    interface: String,
    carrier: Carrier,
    taken: Arc<Mutex<BTreeSet<u8>>>,
}

impl Place {
    /// The host's interface, to capture on.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// What carries the frames.
    #[must_use]
    pub const fn carrier(&self) -> Carrier {
        self.carrier
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A TAP device goes with its last descriptor, which may be this moment or was before; a veth pair would stay.
        if let Ok(mut rtnetlink) = Rtnetlink::open() {
            let _ = rtnetlink.remove(&self.interface);
        }
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.index);
    }
}

/// A twin's place with its end of the interface.
#[derive(Debug)]
pub struct Attachment {
    /// The place.
    pub place: Place,
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
        Ok(Self { taken: Arc::default() })
    }

    /// Gives the host a further address on a twin's interface.
    ///
    /// # Errors
    /// The step that failed and what to do about it.
    pub(crate) fn add_host_address(&self, place: &Place, address: Ipv4Addr) -> Result<(), NetworkError> {
        let added = Rtnetlink::open()?.add_address(&place.interface, address, PREFIX);
        added.map_err(|error| NetworkError::new(Step::Address, error))
    }

    /// Makes the interface of the twin with this index, by a TAP device or where that cannot be had by a veth pair and
    /// a packet socket; `carrier` asks for one of them.
    ///
    /// # Errors
    /// The step that failed and what to do about it.
    pub fn attach(&self, index: u8, carrier: Option<Carrier>) -> Result<Attachment, NetworkError> {
        if index >= MAX_TWINS {
            return Err(NetworkError::new(Step::Index, ErrorKind::InvalidInput.into()));
        }
        if !self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(index) {
            return Err(NetworkError::new(Step::Index, ErrorKind::AlreadyExists.into()));
        }
        let taken = Arc::clone(&self.taken);
        // From here on the number is given back whatever fails.
        let mut place = Place { index, interface: interface_name(index), carrier: Carrier::Tap, taken };
        let mut rtnetlink = Rtnetlink::open()?;
        let (carrier, frames) = wire::open(&mut rtnetlink, &place.interface, carrier)?;
        place.carrier = carrier;
        set_up(&mut rtnetlink, &place.interface, index)?;
        Ok(Attachment { place, frames })
    }
}

/// Addresses, state and route of the interface of the twin with this index.
fn set_up(rtnetlink: &mut Rtnetlink, interface: &str, index: u8) -> Result<(), NetworkError> {
    let address = |error| NetworkError::new(Step::Address, error);
    rtnetlink.set_mac(interface, host_mac(index)).map_err(address)?;
    let prefix = if index == 0 { PREFIX } else { 32 };
    rtnetlink.add_address(interface, HOST_ADDRESS, prefix).map_err(address)?;
    rtnetlink.set_up(interface).map_err(|error| NetworkError::new(Step::Interface, error))?;
    if index > 0 {
        let route = rtnetlink.add_route(interface, twin_address(index), HOST_ADDRESS);
        route.map_err(|error| NetworkError::new(Step::Route, error))?;
    }
    Ok(())
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
