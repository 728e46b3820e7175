//! Asks the kernel which interface leads to an address, and what kind of interface that is.

use std::io;
use std::net::IpAddr;

use espstress_netlink::{Body, Rtnetlink, attributes};

use super::ring::{u16_at, u32_at};

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) index: u32,
    pub(super) name: String,
    /// ARPHRD number.
    pub(super) hardware: u16,
}

/// Index of the interface by which packets to `address` leave.
pub(super) fn route_to(address: IpAddr) -> io::Result<u32> {
    let answer = Rtnetlink::open()?.ask(libc::RTM_GETROUTE, libc::RTM_NEWROUTE, &Body::route(address))?;
    attributes(answer.get(Body::ROUTE..).unwrap_or_default())
        .find_map(|(kind, value)| (kind == libc::RTA_OIF).then(|| u32_at(value, 0)).flatten())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NetworkUnreachable, "no interface leads there"))
}

/// The interface with this index.
pub(super) fn interface_by_index(index: u32) -> io::Result<Interface> {
    interface(&Body::link(index))
}

/// The interface with this name.
pub(super) fn interface_by_name(name: &str) -> io::Result<Interface> {
    interface(&Body::link(0).with_name(libc::IFLA_IFNAME, name))
}

fn interface(body: &Body) -> io::Result<Interface> {
    let answer = Rtnetlink::open()?.ask(libc::RTM_GETLINK, libc::RTM_NEWLINK, body)?;
    let name = attributes(answer.get(Body::LINK..).unwrap_or_default())
        .find(|(kind, _)| *kind == libc::IFLA_IFNAME)
        .map(|(_, value)| String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned());
    match (name, u16_at(&answer, 2), u32_at(&answer, 4)) {
        (Some(name), Some(hardware), Some(index)) => Ok(Interface { index, name, hardware }),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the kernel did not describe the interface")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_address_is_reached_by_the_loopback_interface() {
        for address in ["127.0.0.1", "127.9.8.7"] {
            let interface = interface_by_index(route_to(address.parse().unwrap()).unwrap()).unwrap();
            assert_eq!(interface.hardware, libc::ARPHRD_LOOPBACK);
            assert_eq!(interface_by_name(&interface.name).unwrap(), interface);
        }
    }

    #[test]
    fn an_interface_that_does_not_exist_is_an_error() {
        let code = |answer: io::Result<Interface>| answer.unwrap_err().raw_os_error();
        assert_eq!(code(interface_by_name("no-such-thing")), Some(libc::ENODEV));
        assert_eq!(code(interface_by_index(u32::MAX >> 1)), Some(libc::ENODEV));
    }
}
