//! Conversations written down as they would be told: `conv.established().request(63).response(17)`. Every
//! step takes a millisecond. The host is 192.168.4.1, the device 192.168.4.91 port 80.

use std::net::{IpAddr, Ipv4Addr};

use crate::{DeviceEnds, Observer, ObserverConfig, WireSummary};
use espstress_event::{AnomalyId, Direction, Occurrence, Shown};
use espstress_wire::{Flags, Link};

pub(super) const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 1);
pub(super) const DEVICE: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 91);
pub(super) const MS: i64 = 1_000_000;
const START: i64 = 1_700_000_000_000_000_000;

pub(super) const FIN_ACK: Flags = Flags(0x11);
pub(super) const RST_ACK: Flags = Flags(0x14);
pub(super) const SYN_ACK: Flags = Flags(0x12);
pub(super) const PSH_ACK: Flags = Flags(0x18);

/// A TCP segment to be made into a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seg {
    pub(super) from: Direction,
    pub(super) flags: Flags,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) window: u16,
    pub(super) len: u16,
    pub(super) ip_id: u16,
    pub(super) port: u16,
}

impl Seg {
    /// An IPv4 packet cut to its headers, as the capture would.
    pub(super) fn frame(&self) -> Vec<u8> {
        let (source, destination, ports) = match self.from {
            Direction::FromHost => (HOST, DEVICE, [self.port, 80]),
            Direction::FromDevice => (DEVICE, HOST, [80, self.port]),
        };
        let mut p = vec![0_u8; 40];
        p[0] = 0x45;
        p[2..4].copy_from_slice(&(40 + self.len).to_be_bytes());
        p[4..6].copy_from_slice(&self.ip_id.to_be_bytes());
        p[9] = 6;
        p[12..16].copy_from_slice(&source.octets());
        p[16..20].copy_from_slice(&destination.octets());
        p[20..22].copy_from_slice(&ports[0].to_be_bytes());
        p[22..24].copy_from_slice(&ports[1].to_be_bytes());
        p[24..28].copy_from_slice(&self.seq.to_be_bytes());
        p[28..32].copy_from_slice(&self.ack.to_be_bytes());
        p[32] = 0x50;
        p[33] = self.flags.0;
        p[34..36].copy_from_slice(&self.window.to_be_bytes());
        p
    }
}

#[derive(Clone, Copy, Debug)]
struct Side {
    next: u32,
    window: u16,
}

/// A conversation as far as it has been told.
#[derive(Clone, Debug)]
pub(super) struct Conv {
    now: i64,
    port: u16,
    id: u16,
    host: Side,
    device: Side,
    pub(super) packets: Vec<(i64, Seg)>,
}

/// Numbers far from the wrap.
pub(super) fn conv() -> Conv {
    Conv::with_isns(1_000, 70_000)
}

impl Conv {
    pub(super) fn with_isns(host: u32, device: u32) -> Self {
        Self {
            now: START,
            port: 40_000,
            id: 0,
            host: Side { next: host, window: 64_240 },
            device: Side { next: device, window: 5_744 },
            packets: Vec::new(),
        }
    }

    /// These packets instead.
    pub(super) fn of(self, packets: Vec<(i64, Seg)>) -> Self {
        Self { packets, ..self }
    }

    /// The last packet is another.
    pub(super) fn packets_changed(mut self, change: impl Fn(&mut Seg)) -> Self {
        if let Some((_, seg)) = self.packets.last_mut() {
            change(seg);
        }
        self
    }

    pub(super) fn wait_ms(self, ms: i64) -> Self {
        Self { now: self.now + (ms - 1) * MS, ..self }
    }

    pub(super) fn device_window(mut self, window: u16) -> Self {
        self.device.window = window;
        self
    }

    pub(super) fn host_window(mut self, window: u16) -> Self {
        self.host.window = window;
        self
    }

    /// One step later.
    fn at(mut self, seg: Seg) -> Self {
        self.now += MS;
        self.packets.push((self.now, seg));
        self
    }

    /// What `from` would send next.
    fn next_of(&mut self, from: Direction, flags: Flags, len: u16) -> Seg {
        let (own, other) = match from {
            Direction::FromHost => (self.host, self.device),
            Direction::FromDevice => (self.device, self.host),
        };
        self.id += 1;
        let ack = if flags.has(Flags::ACK) { other.next } else { 0 };
        Seg { from, flags, seq: own.next, ack, window: own.window, len, ip_id: self.id, port: self.port }
    }

    /// Sends in order: sequence numbers move on.
    pub(super) fn send(mut self, from: Direction, flags: Flags, len: u16) -> Self {
        let seg = self.next_of(from, flags, len);
        let space = u32::from(len) + u32::from(flags.0 & 1) + u32::from(flags.0 >> 1 & 1);
        match from {
            Direction::FromHost => self.host.next = self.host.next.wrapping_add(space),
            Direction::FromDevice => self.device.next = self.device.next.wrapping_add(space),
        }
        self.at(seg)
    }

    /// Sends something else than what would be next, and nothing moves on.
    pub(super) fn send_odd(
        mut self,
        from: Direction,
        flags: Flags,
        len: u16,
        odd: impl Fn(&mut Seg),
    ) -> Self {
        let mut seg = self.next_of(from, flags, len);
        odd(&mut seg);
        self.at(seg)
    }

    /// The last segment of that side again, by its sender.
    pub(super) fn again(mut self, from: Direction) -> Self {
        let mut seg = self.last_of(from);
        self.id += 1;
        seg.ip_id = self.id;
        self.at(seg)
    }

    /// The last segment of that side again, by the path.
    pub(super) fn copied(self, from: Direction) -> Self {
        let seg = self.last_of(from);
        self.at(seg)
    }

    fn last_of(&self, from: Direction) -> Seg {
        self.packets.iter().rev().find(|(_, s)| s.from == from).expect("that side has sent something").1
    }

    /// The last packet did not reach the point of capture.
    pub(super) fn lost(mut self) -> Self {
        self.packets.pop();
        self
    }

    pub(super) fn syn(self) -> Self {
        self.send(Direction::FromHost, Flags::SYN, 0)
    }

    pub(super) fn syn_ack(self) -> Self {
        self.send(Direction::FromDevice, SYN_ACK, 0)
    }

    pub(super) fn established(self) -> Self {
        self.syn().syn_ack().ack()
    }

    pub(super) fn ack(self) -> Self {
        self.send(Direction::FromHost, Flags::ACK, 0)
    }

    pub(super) fn device_ack(self) -> Self {
        self.send(Direction::FromDevice, Flags::ACK, 0)
    }

    pub(super) fn request(self, len: u16) -> Self {
        self.send(Direction::FromHost, PSH_ACK, len)
    }

    pub(super) fn response(self, len: u16) -> Self {
        self.send(Direction::FromDevice, PSH_ACK, len)
    }

    pub(super) fn fin(self) -> Self {
        self.send(Direction::FromHost, FIN_ACK, 0)
    }

    pub(super) fn device_fin(self) -> Self {
        self.send(Direction::FromDevice, FIN_ACK, 0)
    }

    pub(super) fn rst(self) -> Self {
        self.send(Direction::FromHost, RST_ACK, 0)
    }

    pub(super) fn device_rst(self) -> Self {
        self.send(Direction::FromDevice, RST_ACK, 0)
    }

    /// The host closes first and everything is acknowledged.
    pub(super) fn closed(self) -> Self {
        self.fin().device_ack().device_fin().ack()
    }

    /// The device closes first and everything is acknowledged.
    pub(super) fn closed_by_device(self) -> Self {
        self.device_fin().ack().fin().device_ack()
    }

    /// A connection, request, response.
    pub(super) fn served(self) -> Self {
        self.established().request(63).device_ack().response(17).ack()
    }

    /// The same again on a connection that stands.
    pub(super) fn served_again(self) -> Self {
        self.request(63).device_ack().response(1_400).response(200).ack()
    }

    /// Numbers that nobody has sent lie between those before and those that follow.
    pub(super) fn skipped(mut self, host: u32, device: u32) -> Self {
        self.host.next = self.host.next.wrapping_add(host);
        self.device.next = self.device.next.wrapping_add(device);
        self
    }

    /// A new connection on the same ports, with numbers far from the old ones.
    pub(super) fn reopened(mut self) -> Self {
        self.host.next = self.host.next.wrapping_add(0x2000_0000);
        self.device.next = self.device.next.wrapping_add(0x1234_5678);
        self
    }

    /// One that begins `ms` after this one's last packet, on another port.
    pub(super) fn then_on(mut self, port: u16) -> Self {
        self.port = port;
        self.reopened()
    }
}

/// How it is looked at.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) device: DeviceEnds,
    pub(super) watch_ms: i64,
}

impl Default for Look {
    fn default() -> Self {
        Self { device: DeviceEnds::Known(vec![(IpAddr::V4(DEVICE), None)]), watch_ms: 0 }
    }
}

impl Look {
    pub(super) fn for_ms(watch_ms: i64) -> Self {
        Self { watch_ms, ..Self::default() }
    }

    /// The other end is the device: what the device did, now the host has done.
    pub(super) fn mirrored(watch_ms: i64) -> Self {
        Self { device: DeviceEnds::Known(vec![(IpAddr::V4(HOST), None)]), watch_ms }
    }

    pub(super) fn at(&self, c: &Conv) -> (Vec<Occurrence>, WireSummary) {
        let mut seen = Vec::new();
        let config = ObserverConfig { device: self.device.clone(), ..ObserverConfig::default() };
        let mut observer = Observer::new(config);
        let mut sink = |o| seen.push(o);
        for (at, seg) in &c.packets {
            observer.frame(*at, Link::Raw, &seg.frame(), 40 + usize::from(seg.len), &mut sink);
        }
        let end = c.packets.last().map_or(START, |p| p.0) + self.watch_ms * MS;
        let summary = observer.finish(end, &mut sink);
        (seen, summary)
    }
}

pub(super) fn ids(seen: &[Occurrence]) -> Vec<(AnomalyId, Shown)> {
    seen.iter().map(|o| (o.id, o.shows)).collect()
}

/// Occurrences of class device.
pub(super) fn faults(c: &Conv, watch_ms: i64) -> Vec<AnomalyId> {
    let (seen, _) = Look::for_ms(watch_ms).at(c);
    seen.iter().filter(|o| o.shows == Shown::Unprompted).map(|o| o.id).collect()
}

/// Everything that was told.
pub(super) fn told(c: &Conv, watch_ms: i64) -> Vec<(AnomalyId, Shown)> {
    ids(&Look::for_ms(watch_ms).at(c).0)
}

/// Numbers far from the wrap, and ones that wrap in the middle of the conversation, at several places.
pub(super) fn numberings() -> impl Iterator<Item = Conv> {
    [(1_000, 70_000), (u32::MAX, u32::MAX), (u32::MAX - 20, u32::MAX - 2), (u32::MAX - 63, u32::MAX - 18)]
        .into_iter()
        .map(|(host, device)| Conv::with_isns(host, device))
}

/// The story shows that anomaly, once, of class device, and nothing else; told the other way round, with
/// the host in the device's place, nobody blames the device.
pub(super) fn exactly(id: AnomalyId, watch_ms: i64, story: impl Fn(Conv) -> Conv) {
    for start in numberings() {
        let c = story(start);
        assert_eq!(told(&c, watch_ms), [(id, Shown::Unprompted)], "{c:#?}");
        let (mirrored, _) = Look::mirrored(watch_ms).at(&c);
        assert!(!mirrored.iter().any(|o| o.shows == Shown::Unprompted), "{mirrored:#?}");
    }
}

/// The story holds nothing of class device.
pub(super) fn healthy(watch_ms: i64, story: impl Fn(Conv) -> Conv) {
    for start in numberings() {
        let c = story(start);
        assert_eq!(faults(&c, watch_ms), [], "{c:#?}");
    }
}
