//! Writes captures of the air: what an access point and a station send, with the header that a capture puts before it.

use std::collections::HashMap;

/// A hardware address.
pub(super) type Mac = [u8; 6];

/// The access point.
pub(super) const AP: Mac = [0x02, 0xaa, 0, 0, 0, 1];
/// Another one.
pub(super) const OTHER_AP: Mac = [0x02, 0xaa, 0, 0, 0, 2];
/// A board of Espressif's.
pub(super) const BOARD: Mac = [0x24, 0x6f, 0x28, 0, 0, 7];
/// Everybody.
pub(super) const ALL: Mac = [0xff; 6];
/// Microseconds of a beacon interval.
pub(super) const INTERVAL: u64 = 102_400;

pub(super) const RETRY: u8 = 0x08;
pub(super) const SLEEPS: u8 = 0x10;
pub(super) const PROTECTED: u8 = 0x40;

/// What stands before a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    Plain,
    Radiotap,
    Ppi,
    Avs,
}

impl Head {
    pub(super) const EVERY: [Self; 4] = [Self::Plain, Self::Radiotap, Self::Ppi, Self::Avs];

    const fn link_type(self) -> u32 {
        match self {
            Self::Plain => 105,
            Self::Radiotap => 127,
            Self::Ppi => 192,
            Self::Avs => 163,
        }
    }

    fn bytes(self, frame: &Frame) -> Vec<u8> {
        let (signal, rate) = (frame.signal as u8, frame.rate);
        match self {
            Self::Plain => Vec::new(),
            Self::Radiotap => {
                let mut head = vec![0, 0, 23, 0];
                head.extend(0x2f_u32.to_le_bytes());
                head.extend(frame.at_us.to_le_bytes());
                head.extend([0, (rate / 5) as u8]);
                head.extend(2_437_u16.to_le_bytes());
                head.extend([0x80, 0x04, signal]);
                head
            }
            Self::Ppi => {
                let mut head = vec![0, 0, 32, 0];
                head.extend(105_u32.to_le_bytes());
                head.extend([2, 0, 20, 0]);
                head.extend(frame.at_us.to_le_bytes());
                head.extend([0, 0]);
                head.extend(((rate / 5) as u16).to_le_bytes());
                head.extend(2_437_u16.to_le_bytes());
                head.extend([0x80, 0x04, 0, 0, signal, 0xa0]);
                head
            }
            Self::Avs => {
                let mut head = Vec::new();
                let words = |head: &mut Vec<u8>, words: &[u32]| {
                    words.iter().for_each(|word| head.extend(word.to_be_bytes()));
                };
                words(&mut head, &[0x8021_1001, 64, 0, frame.at_us as u32, 0, frame.at_us as u32]);
                words(&mut head, &[6, 6, rate, 0, 0, 2]);
                words(&mut head, &[i32::from(frame.signal) as u32, -96_i32 as u32, 0, 0]);
                head
            }
        }
    }
}

/// A frame on the air.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) at_us: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) signal: i8,
    /// Units of 100 kbit/s.
    pub(super) rate: u32,
}

/// All frames, and the counters of their senders.
#[derive(Clone, Debug, Default)]
pub(super) struct Sky {
    pub(super) frames: Vec<Frame>,
    numbers: HashMap<(Mac, Option<Mac>), u16>,
}

impl Sky {
    fn number(&mut self, sender: Mac, to: Option<Mac>) -> u16 {
        let number = self.numbers.entry((sender, to)).or_insert(100);
        *number = (*number + 1) % 4_096;
        *number
    }

    /// A number that nobody hears being used.
    pub(super) fn skip(&mut self, sender: Mac) {
        self.number(sender, None);
    }

    fn push(&mut self, at_us: u64, bytes: Vec<u8>) {
        self.frames.push(Frame { at_us, bytes, signal: -50, rate: 540 });
    }

    /// Header and body of a numbered frame.
    fn frame(&mut self, at_us: u64, control: [u8; 2], addresses: [Mac; 3], number: u16, body: &[u8]) {
        let [to, from, third] = addresses;
        let sequence = (number << 4).to_le_bytes();
        self.push(at_us, [&control[..], &[0x3a, 0x01], &to, &from, &third, &sequence, body].concat());
    }

    /// A management frame.
    pub(super) fn management(
        &mut self,
        at_us: u64,
        subtype: u8,
        from: Mac,
        to: Mac,
        network: Mac,
        body: &[u8],
    ) {
        let number = self.number(from, None);
        self.frame(at_us, [subtype << 4, 0], [to, from, network], number, body);
    }

    /// A beacon of `network` on channel 6 with further elements; `announced` are associations.
    pub(super) fn beacon_with(
        &mut self,
        n: u64,
        network: Mac,
        dtim: (u8, u8),
        announced: &[u8],
        channel: u8,
        further: &[u8],
    ) {
        let at_us = n * INTERVAL;
        let mut body = at_us.to_le_bytes().to_vec();
        body.extend([100, 0, 0x11, 0x04, 0, 4]);
        body.extend(b"home");
        body.extend([1, 4, 0x82, 0x84, 0x8b, 0x96, 3, 1, channel]);
        let map = announced.iter().fold(0_u8, |map, n| map | 1 << (n % 8));
        body.extend([5, 4, dtim.0, dtim.1, 0, map]);
        body.extend_from_slice(further);
        self.management(at_us, 8, network, ALL, network, &body);
    }

    pub(super) fn beacon(&mut self, n: u64, network: Mac, dtim: (u8, u8), announced: &[u8]) {
        self.beacon_with(n, network, dtim, announced, 6, &[]);
    }

    /// Authentication and association, 10 ms.
    pub(super) fn joins(&mut self, at_us: u64, station: Mac, network: Mac, association: u8) {
        self.management(at_us, 11, station, network, network, &[0, 0, 1, 0, 0, 0]);
        self.management(at_us + 2_000, 11, network, station, network, &[0, 0, 2, 0, 0, 0]);
        self.management(at_us + 4_000, 0, station, network, network, b"\x11\x04\x03\x00\x00\x04home");
        let answer = [0x11, 0x04, 0, 0, association, 0xc0, 1, 4, 0x82, 0x84, 0x8b, 0x96];
        self.management(at_us + 6_000, 1, network, station, network, &answer);
    }

    /// A data frame of QoS in either direction; `flags` beside those of the direction.
    pub(super) fn data(&mut self, at_us: u64, station: Mac, network: Mac, up: bool, flags: u8, body: &[u8]) {
        let (from, to, way) = if up { (station, network, 1) } else { (network, station, 2) };
        let number = self.number(from, Some(to));
        let body = [&[0, 0][..], body].concat();
        self.frame(at_us, [0x88, flags | way], [to, from, [2, 0, 0, 0, 0, 9]], number, &body);
    }

    /// A null frame of the station's, with or without power management.
    pub(super) fn null(&mut self, at_us: u64, station: Mac, network: Mac, sleeps: bool) {
        let number = self.number(station, None);
        let flags = 1 | if sleeps { SLEEPS } else { 0 };
        self.frame(at_us, [0x48, flags], [network, station, network], number, &[]);
    }

    /// A PS-Poll.
    pub(super) fn poll(&mut self, at_us: u64, station: Mac, network: Mac, association: u8) {
        self.push(at_us, [&[0xa4, SLEEPS, association, 0xc0][..], &network, &station].concat());
    }

    /// The last frame again, marked as sent again.
    pub(super) fn again(&mut self, after_us: u64) {
        let mut frame = self.frames.last().unwrap().clone();
        frame.at_us += after_us;
        frame.bytes[1] |= RETRY;
        self.frames.push(frame);
    }

    /// A classic file, in the order of time.
    pub(super) fn pcap(&self, head: Head) -> Vec<u8> {
        self.cut_pcap(head, usize::MAX)
    }

    /// The same, each packet cut to `snap` bytes.
    pub(super) fn cut_pcap(&self, head: Head, snap: usize) -> Vec<u8> {
        let mut frames: Vec<&Frame> = self.frames.iter().collect();
        frames.sort_by_key(|frame| frame.at_us);
        let mut file = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
        file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0]);
        file.extend(head.link_type().to_le_bytes());
        for frame in frames {
            let bytes = [head.bytes(frame), frame.bytes.clone()].concat();
            let kept = bytes.len().min(snap);
            let at = (10_000 + (frame.at_us / 1_000_000) as u32, (frame.at_us % 1_000_000) as u32);
            for word in [at.0, at.1, kept as u32, bytes.len() as u32] {
                file.extend(word.to_le_bytes());
            }
            file.extend(&bytes[..kept]);
        }
        file
    }
}
