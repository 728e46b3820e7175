//! What names a connection's place in the table: both ends, in an order that does not depend on who sends.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use espstress_wire::Segment;

/// One end: address (IPv4 mapped) and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct End {
    pub(crate) address: u128,
    pub(crate) port: u16,
}

impl End {
    /// As people write it.
    pub(crate) fn socket(self) -> SocketAddr {
        SocketAddr::new(Ipv6Addr::from_bits(self.address).to_canonical(), self.port)
    }

    /// An address as ends have it.
    pub(crate) const fn mapped(ip: IpAddr) -> u128 {
        match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
            IpAddr::V6(ip) => ip.to_bits(),
        }
    }

    pub(crate) const fn source(s: &Segment) -> Self {
        Self { address: s.source.to_bits(), port: s.source_port }
    }

    pub(crate) const fn destination(s: &Segment) -> Self {
        Self { address: s.destination.to_bits(), port: s.destination_port }
    }
}

/// Both ends, the lower first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FlowKey {
    low: u128,
    high: u128,
    ports: u32,
}

impl FlowKey {
    /// The same for both directions.
    pub(crate) fn new(a: End, b: End) -> Self {
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        let ports = u32::from(low.port) << 16 | u32::from(high.port);
        Self { low: low.address, high: high.address, ports }
    }
}
