//! Interfaces, addresses and routes by rtnetlink, one acknowledged request after the other.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use espstress_netlink::Body;

use super::error::{NetworkError, Step};

const NEW: libc::c_int = libc::NLM_F_CREATE | libc::NLM_F_EXCL;

/// The other end of a pair, in what a link of the kind veth is told (linux/veth.h).
const VETH_INFO_PEER: u16 = 1;

/// A socket to the kernel's rtnetlink.
pub(super) struct Rtnetlink(espstress_netlink::Rtnetlink);

impl Rtnetlink {
    pub(super) fn open() -> Result<Self, NetworkError> {
        let open = espstress_netlink::Rtnetlink::open();
        open.map(Self).map_err(|error| NetworkError::new(Step::Rtnetlink, error))
    }

    /// Makes a veth pair.
    pub(super) fn add_veth(&mut self, name: &str, peer: &str) -> io::Result<()> {
        let named = |name: &str| Body::link(0).with_name(libc::IFLA_IFNAME, name);
        let kind = Body::nested().with(libc::IFLA_INFO_KIND, b"veth");
        let data = Body::nested().with_nested(VETH_INFO_PEER, &named(peer));
        let pair =
            named(name).with_nested(libc::IFLA_LINKINFO, &kind.with_nested(libc::IFLA_INFO_DATA, &data));
        self.0.change(libc::RTM_NEWLINK, NEW, &pair)
    }

    /// Removes an interface, and with it the other end of a veth pair.
    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.0.change(libc::RTM_DELLINK, 0, &Body::link(index(name)?))
    }

    /// Sets an interface up.
    pub(super) fn set_up(&mut self, name: &str) -> io::Result<()> {
        let up = libc::IFF_UP as u32;
        self.0.change(libc::RTM_SETLINK, 0, &Body::link_with(index(name)?, up, up))
    }

    /// Sets an interface's hardware address.
    pub(super) fn set_mac(&mut self, name: &str, mac: [u8; 6]) -> io::Result<()> {
        self.0.change(libc::RTM_SETLINK, 0, &Body::link(index(name)?).with(libc::IFLA_ADDRESS, &mac))
    }

    /// Gives an interface an address.
    pub(super) fn add_address(&mut self, name: &str, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let octets = address.octets();
        let body = Body::address(index(name)?, prefix);
        let body = body.with(libc::IFA_LOCAL, &octets).with(libc::IFA_ADDRESS, &octets);
        self.0.change(libc::RTM_NEWADDR, NEW, &body)
    }

    /// Routes one address over an interface.
    pub(super) fn add_route(&mut self, name: &str, to: Ipv4Addr, source: Ipv4Addr) -> io::Result<()> {
        let body = Body::static_route(IpAddr::V4(to)).with(libc::RTA_PREFSRC, &source.octets());
        self.0.change(libc::RTM_NEWROUTE, NEW, &body.with(libc::RTA_OIF, &index(name)?.to_ne_bytes()))
    }
}

/// The number of the interface of this name.
pub(super) fn index(name: &str) -> io::Result<u32> {
    use rustix::net::{AddressFamily, SocketType, netdevice, socket};
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    Ok(netdevice::name_to_index(any, name)?)
}
