//! Any bytes are heard, in bounded memory.

use proptest::prelude::*;

use espstress_wire::Link;

use super::*;

const LINKS: [Link; 4] = [Link::Wifi, Link::Radiotap, Link::Ppi, Link::Avs];

/// A header of that link whose own lengths are right as a rule, so that the fuzz gets behind it.
fn head(link: Link, present: u32) -> Vec<u8> {
    match link {
        Link::Radiotap => [&[0, 0, 64, 0][..], &present.to_le_bytes(), &[0x5a; 56]].concat(),
        Link::Ppi => [&[0, 0, 32, 0, 105, 0, 0, 0, 2, 0, 20, 0][..], &[0x5a; 8], &[0; 12]].concat(),
        Link::Avs => [&[0x80, 0x21, 0x10, 0x01, 0, 0, 0, 64][..], &[0; 56]].concat(),
        _ => Vec::new(),
    }
}

proptest! {
    #[test]
    fn any_frames_are_heard(
        frames in prop::collection::vec(
            (0..4_usize, any::<u32>(), prop::collection::vec(any::<u8>(), 0..120), any::<i64>(), any::<bool>()),
            0..60,
        ),
    ) {
        let mut listener = Listener::new(None, None);
        for ((link, present, bytes, at_ns, headed), number) in frames.iter().zip(1..) {
            let link = LINKS[*link];
            let mut frame = if *headed { head(link, *present) } else { Vec::new() };
            frame.extend_from_slice(bytes);
            listener.hear(Packet { number, at_ns: *at_ns }, link, &frame, frame.len());
        }
        let air = listener.finish(None);
        prop_assert!(air.frames <= frames.len() as u64);
    }

    #[test]
    fn management_frames_of_any_content_are_heard(
        frames in prop::collection::vec(
            (0..16_u8, any::<u8>(), 0..4_u8, 0..4_u8, prop::collection::vec(any::<u8>(), 0..80), any::<u16>()),
            0..80,
        ),
    ) {
        let mut listener = Listener::new(None, None);
        for ((subtype, flags, from, to, body, sequence), number) in frames.iter().zip(1..) {
            let mut frame = vec![(subtype << 4) | if *from == 3 { 8 } else { 0 }, *flags, 0, 0];
            frame.extend([2, 0, 0, 0, 0, *to]);
            frame.extend([2, 0, 0, 0, 0, *from]);
            frame.extend([2, 0, 0, 0, 0, 1]);
            frame.extend(sequence.to_le_bytes());
            frame.extend_from_slice(body);
            let at_ns = number as i64 * 1_000_000;
            listener.hear(Packet { number, at_ns }, Link::Wifi, &frame, frame.len());
        }
        let air = listener.finish(None);
        if let Some(station) = air.station {
            prop_assert!(station.power_save.fetched <= station.power_save.announced.unwrap_or(0));
            prop_assert!(station.events.len() <= 100);
        }
    }
}

#[test]
fn twenty_thousand_stations_and_networks_take_the_room_of_a_few() {
    let mut listener = Listener::new(None, None);
    for number in 0..20_000_u64 {
        let [.., a, b, c] = number.to_be_bytes();
        // Authentication, deauthentication with any reason, beacon, data: each of its own station and network.
        let kind = [0xb0, 0xc0, 0x80, 0x08][number as usize % 4];
        let mut frame = vec![kind, if kind == 0x08 { 1 } else { 0 }, 0, 0];
        frame.extend([2, 1, 0, a, b, c]);
        frame.extend([2, 0, 0, a, b, c]);
        frame.extend([2, if kind == 0x80 { 0 } else { 1 }, 0, a, b, c]);
        frame.extend([c, b]);
        frame.extend([b, c, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0, 5, 4, 0, 1, 0, 0xff]);
        let packet = Packet { number, at_ns: number as i64 * 1_000_000 };
        listener.hear(packet, Link::Wifi, &frame, frame.len());
    }
    let (stations, networks) = listener.kept();
    assert!(stations <= 256 && networks <= 128, "{stations} {networks}");
    assert!(listener.finish(None).beyond > 10_000);
}
