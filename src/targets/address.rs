//! From a name to an address, and which addresses are public: this is for one's own devices only.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, ToSocketAddrs};

use espstress_event::is_public;

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The name does not resolve.
    #[error("`{host}` does not resolve to an address: {error}{}", hint(host))]
    Unresolved {
        /// As given.
        host: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// It is public.
    #[error(
        "{host}{resolved} is a public address; espstress is for your own devices. If this is one, add --allow-public"
    )]
    Public {
        /// As given.
        host: String,
        /// What it resolved to, in words, or empty.
        resolved: String,
    },
    /// It stands for no single device.
    #[error("{address} is a multicast or broadcast address, not a device's")]
    NotOne {
        /// What it resolved to.
        address: IpAddr,
    },
}

/// Where a name of the local network is to come from.
fn hint(host: &str) -> &'static str {
    if host.trim_end_matches('.').ends_with(".local") {
        " (names in .local are asked for by mDNS: the device has to announce itself, and this system has to ask, as \
         with avahi and nss-mdns; `espstress discover` lists who answers)"
    } else {
        ""
    }
}

/// Whether public addresses may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicAddresses {
    /// `--allow-public` was given.
    Allowed,
    /// It was not.
    Refused,
}

/// Finds the address of `host`, IPv4 before IPv6, and looks whether it may be used.
///
/// # Errors
/// [`AddressError`].
pub fn resolve(host: &str, port: u16, public: PublicAddresses) -> Result<SocketAddr, AddressError> {
    let unresolved = |error| AddressError::Unresolved { host: host.to_owned(), error };
    let found = (host, port).to_socket_addrs().map_err(unresolved)?;
    choose(host, found.collect(), public)
}

/// The address to use of those that a name resolved to.
fn choose(
    host: &str,
    mut found: Vec<SocketAddr>,
    public: PublicAddresses,
) -> Result<SocketAddr, AddressError> {
    found.sort_by_key(SocketAddr::is_ipv6);
    let first = *found.first().ok_or_else(|| AddressError::Unresolved {
        host: host.to_owned(),
        error: io::ErrorKind::NotFound.into(),
    })?;
    let ip = first.ip().to_canonical();
    if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err(AddressError::NotOne { address: ip });
    }
    if is_public(ip) && public == PublicAddresses::Refused {
        let literal = host.parse() == Ok(ip);
        let resolved = if literal { String::new() } else { format!(" ({ip})") };
        return Err(AddressError::Public { host: host.to_owned(), resolved });
    }
    Ok(first)
}

/// Where the device is, as `--device-address` says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceAddress {
    /// Its address; learned where it is not given.
    pub address: Option<Ipv4Addr>,
    /// The TCP port of its server.
    pub port: Option<u16>,
}

impl std::str::FromStr for DeviceAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "give an IPv4 address, with or without a port, or a port alone: 192.168.4.91, \
                            192.168.4.91:8080 or :8080";
        if let Some(port) = text.strip_prefix(':') {
            let port = port.parse().ok().filter(|port| *port > 0);
            return Ok(Self { address: None, port: Some(port.ok_or(FORM)?) });
        }
        let (address, port) = match text.parse::<SocketAddrV4>() {
            Ok(at) if at.port() > 0 => (*at.ip(), Some(at.port())),
            _ => (text.parse::<Ipv4Addr>().map_err(|_| FORM)?, None),
        };
        let of_one = !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast();
        if !of_one || address.is_loopback() || address == Ipv4Addr::new(192, 168, 4, 1) {
            return Err(
                "this can't be a device's address in the private network, where the host is 192.168.4.1",
            );
        }
        Ok(Self { address: Some(address), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_ones_own_network_are_not_public() {
        let own = "127.0.0.1 10.1.2.3 172.16.0.1 192.168.4.1 169.254.1.1 100.64.0.1 ::1 fe80::1 fd00::1 ::ffff:10.0.0.1";
        for ip in own.split(' ') {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in "8.8.8.8 1.1.1.1 172.32.0.1 100.128.0.1 203.0.113.7 198.18.0.1 2001:db8::1 2606:4700::1111 ::ffff:8.8.8.8".split(' ') {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn a_public_address_is_refused_unless_it_is_allowed() {
        let said = resolve("8.8.8.8", 80, PublicAddresses::Refused).unwrap_err().to_string();
        assert!(said.contains("--allow-public"), "{said}");
        assert!(resolve("8.8.8.8", 80, PublicAddresses::Allowed).is_ok());
    }

    #[test]
    fn a_name_resolves_and_an_unknown_one_is_named_in_the_error() {
        assert!(resolve("localhost", 80, PublicAddresses::Refused).unwrap().ip().is_loopback());
        let said = resolve("no.such.host.invalid", 80, PublicAddresses::Refused).unwrap_err().to_string();
        assert!(said.contains("no.such.host.invalid"), "{said}");
    }

    #[test]
    fn a_name_that_resolves_to_a_public_address_is_refused_with_that_address() {
        let found = vec!["[fd00::1]:80".parse().unwrap(), "8.8.8.8:80".parse().unwrap()];
        let said = choose("dns.example", found, PublicAddresses::Refused).unwrap_err().to_string();
        assert!(said.contains("dns.example (8.8.8.8)") && said.contains("--allow-public"), "{said}");
    }

    #[test]
    fn an_address_of_many_is_no_device() {
        assert!(matches!(
            resolve("224.0.0.251", 80, PublicAddresses::Allowed),
            Err(AddressError::NotOne { .. })
        ));
    }

    #[test]
    fn a_devices_address_is_an_address_a_port_or_both() {
        let at = |text: &str| text.parse::<DeviceAddress>().map(|at| (at.address, at.port));
        let address = Some(Ipv4Addr::new(192, 168, 5, 100));
        assert_eq!(at("192.168.5.100"), Ok((address, None)));
        assert_eq!(at("192.168.5.100:8080"), Ok((address, Some(8_080))));
        assert_eq!(at(":8080"), Ok((None, Some(8_080))));
        for bad in
            ["", ":", ":0", "esp.local", "192.168.4.91:0", "192.168.4.1", "127.0.0.1", "0.0.0.0", "::1"]
        {
            assert!(at(bad).is_err(), "{bad}");
        }
    }
}
