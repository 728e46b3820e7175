//! Asks the kernel which interface leads to an address, and what kind of interface that is (rtnetlink(7)).

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::ring::{u16_at, u32_at};

const MESSAGE_HEADER: usize = 16;
const ROUTE_HEADER: usize = 12;
const LINK_HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;
const ANSWER_LIMIT: usize = 64 << 10;

const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const NLM_F_REQUEST: u16 = 1;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const IFLA_IFNAME: u16 = 3;

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
    let (family, octets) = match address {
        IpAddr::V4(a) => (libc::AF_INET as u8, a.octets().to_vec()),
        IpAddr::V6(a) => (libc::AF_INET6 as u8, a.octets().to_vec()),
    };
    let mut body = vec![0; ROUTE_HEADER];
    body[0] = family;
    body[1] = (octets.len() * 8) as u8;
    push_attribute(&mut body, RTA_DST, &octets);
    let answer = ask(RTM_GETROUTE, RTM_NEWROUTE, &body)?;
    attributes(answer.get(ROUTE_HEADER..).unwrap_or_default())
        .find_map(|(kind, value)| (kind == RTA_OIF).then(|| u32_at(value, 0)).flatten())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NetworkUnreachable, "no interface leads there"))
}

/// The interface with this index.
pub(super) fn interface_by_index(index: u32) -> io::Result<Interface> {
    let mut body = vec![0; LINK_HEADER];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    interface(&body)
}

/// The interface with this name.
pub(super) fn interface_by_name(name: &str) -> io::Result<Interface> {
    let mut body = vec![0; LINK_HEADER];
    let mut value = name.as_bytes().to_vec();
    value.push(0);
    push_attribute(&mut body, IFLA_IFNAME, &value);
    interface(&body)
}

fn interface(body: &[u8]) -> io::Result<Interface> {
    let answer = ask(RTM_GETLINK, RTM_NEWLINK, body)?;
    let name = attributes(answer.get(LINK_HEADER..).unwrap_or_default())
        .find(|(kind, _)| *kind == IFLA_IFNAME)
        .map(|(_, value)| String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned());
    match (name, u16_at(&answer, 2), u32_at(&answer, 4)) {
        (Some(name), Some(hardware), Some(index)) => Ok(Interface { index, name, hardware }),
        _ => Err(unreadable()),
    }
}

/// Sends one request and returns the body of its one answer.
fn ask(request: u16, answer: u16, body: &[u8]) -> io::Result<Vec<u8>> {
    let protocol = Protocol::from(libc::NETLINK_ROUTE);
    let mut socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(protocol))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut message = Vec::with_capacity(MESSAGE_HEADER + body.len());
    message.extend_from_slice(&((MESSAGE_HEADER + body.len()) as u32).to_ne_bytes());
    message.extend_from_slice(&request.to_ne_bytes());
    message.extend_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(body);
    socket.write_all(&message)?;

    let mut buffer = vec![0; ANSWER_LIMIT];
    let received = socket.read(&mut buffer)?;
    buffer.truncate(received);
    let length = u32_at(&buffer, 0).map_or(0, |n| n as usize);
    let body = buffer.get(MESSAGE_HEADER..length).ok_or_else(unreadable)?;
    match u16_at(&buffer, 4) {
        Some(kind) if kind == answer => Ok(body.to_vec()),
        Some(NLMSG_ERROR) => {
            let code = u32_at(body, 0).ok_or_else(unreadable)? as i32;
            Err(io::Error::from_raw_os_error(code.saturating_neg()))
        }
        _ => Err(unreadable()),
    }
}

fn unreadable() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kernel's routing answer could not be read")
}

fn push_attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend_from_slice(&((ATTRIBUTE_HEADER + value.len()) as u16).to_ne_bytes());
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)? & 0x3fff; // without the "nested" and "byte order" marks
        let value = rest.get(ATTRIBUTE_HEADER..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
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
