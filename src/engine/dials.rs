//! What the device dials on this host while a run goes on, beside the port that a workload listens on: followed by an
//! observer of its own, so that no figure of the run's connections changes.
//!
//! Of such a connection nobody knows what it is for. Only what no service of the host's can excuse is judged: a SYN from the
//! ports of a connection that the host still holds (`dial_collision`). Refusals are counted.

use std::net::{IpAddr, SocketAddr};

use espstress_event::{AnomalyId, Occurrence};
use espstress_observe::{DeviceEnds, Dials, Observer, ObserverConfig};
use espstress_wire::{Flags, NotSegment, Segment};

/// Addresses and ports of this host's that a device may dial; more are left out.
const MOST: usize = 16;

/// The device's own connections to this host.
#[derive(Debug)]
pub(super) struct OwnDials {
    device: IpAddr,
    /// Whether an address is one of this host's.
    is_own: fn(IpAddr) -> bool,
    /// What it has dialled.
    to: Vec<SocketAddr>,
    observer: Observer,
}

impl OwnDials {
    pub(super) fn new(device: IpAddr, is_own: fn(IpAddr) -> bool) -> Self {
        let config =
            ObserverConfig { device: DeviceEnds::Known(vec![(device, None)]), ..ObserverConfig::default() };
        Self { device, is_own, to: Vec::new(), observer: Observer::new(config) }
    }

    /// Whether a segment belongs to such a connection: its SYN, or what follows to or from the same port of the host's.
    pub(super) fn is_one(&mut self, s: &Segment) -> bool {
        let (source, destination) =
            (end(s.source.into(), s.source_port), end(s.destination.into(), s.destination_port));
        if destination.ip() == self.device {
            return self.to.contains(&source);
        }
        if source.ip() != self.device {
            return false;
        }
        let opens = s.flags.has(Flags::SYN) && !s.flags.has(Flags::ACK);
        let new = opens && self.to.len() < MOST && !self.to.contains(&destination);
        if new && (self.is_own)(destination.ip()) {
            self.to.push(destination);
        }
        self.to.contains(&destination)
    }

    /// Takes a segment, the frame of that number, for which [`OwnDials::is_one`] holds.
    pub(super) fn take(&mut self, at_ns: i64, number: u64, s: &Segment, sink: &mut impl FnMut(Occurrence)) {
        let decoded: Result<Segment, NotSegment> = Ok(*s);
        self.observer.decoded(at_ns, number, &decoded, &mut |o| judged(o, sink));
    }

    pub(super) fn gap(&mut self) {
        self.observer.gap();
    }

    pub(super) fn advance(&mut self, until_ns: i64, sink: &mut impl FnMut(Occurrence)) {
        self.observer.advance(until_ns, &mut |o| judged(o, sink));
    }

    /// What it dialled, and how it was answered.
    pub(super) fn finish(self, end_ns: i64, sink: &mut impl FnMut(Occurrence)) -> Dials {
        self.observer.finish(end_ns, &mut |o| judged(o, sink)).dials
    }
}

fn judged(o: Occurrence, sink: &mut impl FnMut(Occurrence)) {
    if o.id == AnomalyId::DialCollision {
        sink(o);
    }
}

/// An end as it is configured: IPv4 is not mapped.
fn end(ip: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(ip.to_canonical(), port)
}

/// Whether this host has that address: nobody else can bind to it.
pub(super) fn is_own(ip: IpAddr) -> bool {
    std::net::UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: &str = "192.168.4.91";
    const HOST: &str = "192.168.4.1";
    const SECOND: i64 = 1_000_000_000;

    fn segment(from: (&str, u16), to: (&str, u16), seq: u32, ack: u32, flags: u8) -> Segment {
        let ip = |text: &str| match text.parse::<IpAddr>().unwrap() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        Segment {
            source: ip(from.0),
            destination: ip(to.0),
            source_port: from.1,
            destination_port: to.1,
            seq,
            ack,
            flags: Flags(flags),
            window: 5_840,
            payload: 0,
            ip_id: None,
            checksum: 0,
            window_scale: None,
            heard_again: false,
        }
    }

    const SYN: u8 = 0x02;
    const RST_ACK: u8 = 0x14;
    const SYN_ACK: u8 = 0x12;
    const ACK: u8 = 0x10;

    fn seen(segments: &[(i64, Segment)]) -> (Dials, Vec<AnomalyId>) {
        let mut dials = OwnDials::new(DEVICE.parse().unwrap(), |ip| ip.to_string() == HOST);
        let mut told = Vec::new();
        for (number, (at, s)) in (1..).zip(segments) {
            if dials.is_one(s) {
                dials.take(at * SECOND / 10, number, s, &mut |o| told.push(o.id));
            }
        }
        let summary = dials.finish(60 * SECOND, &mut |o| told.push(o.id));
        (summary, told)
    }

    #[test]
    fn a_dial_that_is_refused_is_counted_and_is_no_anomaly() {
        let (device, host) = ((DEVICE, 49_153), (HOST, 1_884));
        let (dials, told) =
            seen(&[(1, segment(device, host, 100, 0, SYN)), (1, segment(host, device, 0, 101, RST_ACK))]);
        let [row] = dials.rows.as_slice() else { panic!("{dials:?}") };
        assert_eq!((row.to.to_string().as_str(), row.opened, row.refused), ("192.168.4.1:1884", 1, 1));
        assert!(told.is_empty(), "{told:?}");
    }

    #[test]
    fn a_restarted_device_that_dials_from_the_same_port_is_told() {
        let (device, host) = ((DEVICE, 49_153), (HOST, 8_123));
        let old = [
            (1, segment(device, host, 100, 0, SYN)),
            (1, segment(host, device, 900, 101, SYN_ACK)),
            (1, segment(device, host, 101, 901, ACK)),
            (2, Segment { payload: 10, ..segment(device, host, 101, 901, ACK) }),
            (2, segment(host, device, 901, 111, ACK)),
        ];
        let again = [50, 60, 80]
            .map(|at| [(at, segment(device, host, 100, 0, SYN)), (at, segment(host, device, 901, 111, ACK))]);
        let all: Vec<_> = old.into_iter().chain(again.into_iter().flatten()).collect();
        assert_eq!(seen(&all).1, [AnomalyId::DialCollision]);
    }

    #[test]
    fn connections_that_the_host_opens_or_that_go_elsewhere_are_none() {
        let (device, host) = ((DEVICE, 80), (HOST, 40_000));
        let (dials, told) = seen(&[
            (1, segment(host, device, 100, 0, SYN)),
            (1, segment(device, host, 900, 101, SYN_ACK)),
            (2, segment((DEVICE, 49_153), ("192.168.4.7", 1_883), 5, 0, SYN)),
            (3, segment(("192.168.4.7", 50_000), (HOST, 22), 5, 0, SYN)),
        ]);
        assert_eq!((dials, told), (Dials::default(), vec![]));
    }
}
