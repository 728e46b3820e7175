//! Packets: from a capture, on the air, and in files.

use std::io::Cursor;

use espstress_air::{Listener, Packet};
use espstress_analyze::{AnalyzeConfig, analyze_records};
use espstress_observe::file::Reader;
use espstress_observe::{Observer, ObserverConfig, Source};
use espstress_wire::{Aggregate, Link, MacFrame, Radio, decode};

use crate::input::Input;

/// LINKTYPE numbers of the links that are known, and one that is not.
const LINK_TYPES: [u32; 18] =
    [1, 101, 113, 276, 0, 108, 9, 50, 51, 104, 8, 239, 100, 219, 105, 127, 192, 163];

fn link(byte: u8) -> Option<Link> {
    Link::from_link_type(LINK_TYPES[usize::from(byte) % LINK_TYPES.len()])
}

/// A second, nanoseconds.
const SECOND: i64 = 1_000_000_000;

/// Frames: a link, milliseconds since the one before, a length, and the bytes. What follows connections sees all of them.
pub(crate) fn wire(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let source = if input.byte().is_multiple_of(2) { Source::Run } else { Source::File };
    let config = ObserverConfig { connections: 8, source, ..ObserverConfig::default() };
    let mut observer = Observer::new(config);
    let (mut now, mut told) = (0, 0_u64);
    let mut frames = 0;
    while !input.is_empty() {
        let (kind, wait) = (input.byte(), input.short());
        let frame = input.chunk();
        now += i64::from(wait) * SECOND / 1_000;
        frames += 1;
        let Some(link) = link(kind) else { continue };
        let whole = frame.len() + usize::from(kind >> 5) * 100;
        if let Ok(segment) = decode(link, frame, whole) {
            let _ = format!("{segment:?}");
        }
        if let Some(aggregate) = Aggregate::new(link, frame) {
            let parts: Vec<_> = aggregate.take(frame.len() + 1).collect();
            assert!(parts.len() <= frame.len(), "more parts than bytes");
            assert!(parts.iter().all(|(part, _)| part.len() <= frame.len()));
        }
        let _ = Radio::new(link, frame);
        if let Some(mac) = MacFrame::new(frame, kind & 1 == 1) {
            let addresses = (mac.receiver(), mac.transmitter(), mac.third());
            let _ = (addresses, mac.sequence(), mac.traffic(), mac.duration(), mac.body());
        }
        observer.frame(now, link, frame, whole, &mut |_| told += 1);
        match kind >> 5 {
            7 => observer.gap(),
            6 => observer.advance(now + SECOND, &mut |_| told += 1),
            _ => {}
        }
    }
    let summary = observer.finish(now + 10 * SECOND, &mut |_| told += 1);
    assert!(summary.tcp_packets <= frames, "{} of {frames} frames", summary.tcp_packets);
    // One connection shows each anomaly a few times at most.
    assert!(told <= 64 * (frames + 1), "{told} occurrences in {frames} frames");
}

/// The links of 802.11.
const AIR: [Link; 4] = [Link::Wifi, Link::Radiotap, Link::Ppi, Link::Avs];

/// 802.11 frames: a link, milliseconds, a length, and the bytes.
pub(crate) fn air(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut listener = Listener::new(None, None);
    let (mut at_ns, mut number) = (0, 0);
    while !input.is_empty() {
        let (link, wait) = (AIR[usize::from(input.byte() % 4)], input.short());
        let frame = input.chunk();
        at_ns += i64::from(wait) * SECOND / 1_000;
        number += 1;
        listener.hear(Packet { number, at_ns }, link, frame, frame.len());
    }
    let air = listener.finish(None);
    assert!(air.frames <= number, "{} of {number}", air.frames);
    if let Some(station) = air.station {
        assert!(station.events.len() <= 100, "{} events", station.events.len());
        assert!(station.power_save.fetched <= station.power_save.announced.unwrap_or(0));
    }
}

/// A capture file.
pub(crate) fn capture_file(bytes: &[u8]) {
    let Ok(reader) = Reader::new(Box::new(Cursor::new(bytes.to_vec()))) else { return };
    let mut told = 0_u64;
    let analysis = analyze_records(reader, &AnalyzeConfig::default(), |_, _| told += 1);
    if analysis.is_complete() {
        assert!(analysis.end.is_complete() && analysis.packets > 0);
    }
    // A packed file may hold a thousand times its bytes.
    assert!(analysis.packets <= 1_100 * bytes.len() as u64, "{} packets", analysis.packets);
}
