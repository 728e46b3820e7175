//! One smoltcp endpoint, frame by frame, with time as an argument.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpCidr};

/// Bytes of an IP packet at most: Ethernet's, and Wi-Fi's behind it.
pub(crate) const MTU: usize = 1_500;

/// Nanoseconds of virtual time, in smoltcp's microseconds.
pub(crate) fn instant(ns: u64) -> Instant {
    Instant::from_micros(i64::try_from(ns / 1_000).unwrap_or(i64::MAX))
}

/// Frames on their way into and out of an interface.
#[derive(Default)]
struct Port {
    incoming: Option<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

struct Incoming(Vec<u8>);

struct Outgoing<'a>(&'a mut VecDeque<Vec<u8>>);

impl phy::RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl phy::TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.push_back(frame);
        result
    }
}

impl phy::Device for Port {
    type RxToken<'a> = Incoming;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Incoming, Outgoing<'_>)> {
        Some((Incoming(self.incoming.take()?), Outgoing(&mut self.outgoing)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Outgoing<'_>> {
        Some(Outgoing(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

/// An interface and its sockets.
pub(crate) struct Stack {
    interface: Interface,
    port: Port,
    /// Its sockets.
    pub(crate) sockets: SocketSet<'static>,
}

impl Stack {
    /// An interface with one address, on a network without a router.
    pub(crate) fn new(address: Ipv4Addr, seed: u64, now_ns: u64) -> Self {
        let mut port = Port::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut port, instant(now_ns));
        interface.update_ip_addrs(|addresses| {
            // Its table has room for one.
            let _ = addresses.push(IpCidr::new(address.into(), 24));
        });
        Self { interface, port, sockets: SocketSet::new(Vec::new()) }
    }

    /// The interface's context, to connect with.
    pub(crate) fn parts(&mut self) -> (&mut Interface, &mut SocketSet<'static>) {
        (&mut self.interface, &mut self.sockets)
    }

    /// Takes one packet in.
    pub(crate) fn take(&mut self, packet: Vec<u8>, now_ns: u64) {
        self.port.incoming = Some(packet);
        let Self { interface, port, sockets } = self;
        while interface.poll_ingress_single(instant(now_ns), port, sockets) != PollIngressSingleResult::None {
        }
    }

    /// Lets its sockets send what they have to.
    pub(crate) fn send(&mut self, now_ns: u64) {
        let Self { interface, port, sockets } = self;
        while interface.poll_egress(instant(now_ns), port, sockets) == PollResult::SocketStateChanged {}
    }

    /// The next packet that it sends.
    pub(crate) fn outgoing(&mut self) -> Option<Vec<u8>> {
        self.port.outgoing.pop_front()
    }

    /// When its sockets want to be asked again without anything coming in; always later than now.
    pub(crate) fn next_ns(&mut self, now_ns: u64) -> Option<u64> {
        let at = self.interface.poll_at(instant(now_ns), &self.sockets)?;
        let at_ns = u64::try_from(at.total_micros()).unwrap_or(0).saturating_mul(1_000);
        Some(at_ns.max(now_ns + 1_000))
    }
}
