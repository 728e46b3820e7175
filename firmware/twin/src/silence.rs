//! Connections of the host whose segments the link carries no more, so that the host falls silent on them alone.
//!
//! The device's RSTs still pass: nobody answers one, so the device cannot tell, and the host learns that the device
//! has given up.

use crate::link::Direction;

const ETHERNET_HEADER: usize = 14;
const IPV4: [u8; 2] = [0x08, 0x00];
const TCP: u8 = 6;
const RST: u8 = 0x04;

/// The host's ports that are silent.
#[derive(Debug, Default)]
pub(crate) struct Silences(Vec<u16>);

impl Silences {
    /// No segment from or to that port passes from now on, but for the device's RSTs.
    pub(crate) fn begin(&mut self, port: u16) {
        if !self.0.contains(&port) {
            self.0.push(port);
        }
    }

    /// They pass again.
    pub(crate) fn end(&mut self, port: u16) {
        self.0.retain(|silent| *silent != port);
    }

    /// Whether a silence keeps this Ethernet frame from passing.
    pub(crate) fn hold_back(&self, direction: Direction, frame: &[u8]) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let Some(segment) = Segment::of(frame) else { return false };
        match direction {
            Direction::ToDevice => self.0.contains(&segment.source),
            Direction::ToHost => self.0.contains(&segment.destination) && segment.flags & RST == 0,
        }
    }
}

/// What matters of a TCP segment.
struct Segment {
    source: u16,
    destination: u16,
    flags: u8,
}

impl Segment {
    /// That of a frame; `None` where it holds none, or not its first fragment.
    fn of(frame: &[u8]) -> Option<Self> {
        let (header, packet) = frame.split_at_checked(ETHERNET_HEADER)?;
        if !header.ends_with(&IPV4) || *packet.get(9)? != TCP {
            return None;
        }
        let offset = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x1fff;
        let segment = packet.get(usize::from(packet.first()? & 0x0f) * 4..)?;
        let port = |at: usize| Some(u16::from_be_bytes([*segment.get(at)?, *segment.get(at + 1)?]));
        if offset > 0 {
            return None;
        }
        Some(Self { source: port(0)?, destination: port(2)?, flags: *segment.get(13)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: u16 = 40_000;
    const DEVICE: u16 = 80;

    fn frame(source: u16, destination: u16, flags: u8) -> Vec<u8> {
        let mut frame = vec![0; ETHERNET_HEADER + 40];
        frame[12..14].copy_from_slice(&IPV4);
        frame[14] = 0x45;
        frame[23] = TCP;
        frame[34..36].copy_from_slice(&source.to_be_bytes());
        frame[36..38].copy_from_slice(&destination.to_be_bytes());
        frame[47] = flags;
        frame
    }

    fn silent() -> Silences {
        let mut silences = Silences::default();
        silences.begin(HOST);
        silences
    }

    #[test]
    fn a_silent_port_neither_sends_nor_hears_until_its_silence_ends() {
        let mut silences = silent();
        assert!(silences.hold_back(Direction::ToDevice, &frame(HOST, DEVICE, 0x10)));
        assert!(silences.hold_back(Direction::ToHost, &frame(DEVICE, HOST, 0x10)));
        silences.end(HOST);
        assert!(!silences.hold_back(Direction::ToDevice, &frame(HOST, DEVICE, 0x10)));
    }

    #[test]
    fn other_ports_and_the_devices_resets_pass() {
        let silences = silent();
        assert!(!silences.hold_back(Direction::ToDevice, &frame(HOST + 1, DEVICE, 0x10)));
        assert!(!silences.hold_back(Direction::ToHost, &frame(DEVICE, HOST, RST | 0x10)));
        assert!(silences.hold_back(Direction::ToDevice, &frame(HOST, DEVICE, RST)), "the host's do not");
    }

    #[test]
    fn what_is_no_whole_tcp_header_passes() {
        let whole = frame(HOST, DEVICE, 0x10);
        for length in 0..ETHERNET_HEADER + 34 {
            assert!(!silent().hold_back(Direction::ToDevice, &whole[..length]), "{length} bytes");
        }
        let mut other = whole;
        other[23] = 17;
        assert!(!silent().hold_back(Direction::ToDevice, &other));
    }
}
