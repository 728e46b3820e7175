use super::*;
use espstress_wire::Flags;
use proptest::prelude::*;

const MS: i64 = 1_000_000;

/// A segment of a connection between 10.0.0.1 and 10.0.0.2.
fn segment(from_device: bool, seq: u32, ip_id: u16) -> Segment {
    let (host, device) = (0xffff_0a00_0001_u128.into(), 0xffff_0a00_0002_u128.into());
    let (source, destination) = if from_device { (device, host) } else { (host, device) };
    Segment {
        source,
        destination,
        source_port: 80,
        destination_port: 80,
        seq,
        ack: 1,
        flags: Flags::ACK,
        window: 5_744,
        payload: 10,
        ip_id: Some(ip_id).filter(|id| *id != 0),
        checksum: seq as u16,
        window_scale: None,
        heard_again: false,
    }
}

/// Times and segments, and which of them are looked at.
fn looked_at(packets: &[(i64, Segment)]) -> (Vec<u64>, u64) {
    let mut copies = Copies::new();
    let mut numbers = Vec::new();
    for ((at_ns, segment), number) in packets.iter().zip(1..) {
        let frame = Frame { at_ns: *at_ns, number, gap: false, decoded: Ok(*segment) };
        copies.take(&frame, |f| numbers.push(f.number));
    }
    copies.release(&mut |f| numbers.push(f.number));
    (numbers, copies.dropped())
}

/// `n` packets there and back, 10 ms apart, each `times` times.
fn exchange(n: u32, times: i64, ip_id: u16) -> Vec<(i64, Segment)> {
    (0..n)
        .flat_map(|i| {
            let segment = segment(i % 2 == 1, i, ip_id);
            (0..times).map(move |copy| (i64::from(i) * 10 * MS + copy * MS / 20, segment))
        })
        .collect()
}

#[test]
fn where_every_packet_was_captured_twice_one_of_each_is_looked_at_with_or_without_identification() {
    for ip_id in [0, 7] {
        for n in [3_u32, 10, 2_000] {
            let (numbers, dropped) = looked_at(&exchange(n, 2, ip_id));
            assert_eq!(dropped, u64::from(n), "{n}");
            assert!(numbers.iter().all(|n| n % 2 == 1), "the first of each");
        }
    }
}

#[test]
fn three_of_each_leave_one() {
    let (numbers, dropped) = looked_at(&exchange(300, 3, 0));
    assert_eq!((numbers.len(), dropped), (300, 600));
}

#[test]
fn a_path_that_copies_some_packets_is_left_as_it_is() {
    let mut packets = exchange(1_000, 1, 7);
    for i in (0..900).step_by(3).rev() {
        packets.insert(i + 1, (packets[i].0 + MS, packets[i].1));
    }
    assert_eq!(looked_at(&packets).1, 0);
}

#[test]
fn a_device_that_sends_everything_twice_is_not_excused() {
    let mut packets = Vec::new();
    for (at, segment) in exchange(400, 1, 7) {
        packets.push((at, segment));
        if segment.source.to_canonical() == std::net::IpAddr::from([10, 0, 0, 2]) {
            packets.push((at + MS, segment));
        }
    }
    assert_eq!(looked_at(&packets).1, 0);
}

#[test]
fn a_repetition_after_a_time_out_stays_also_where_every_packet_was_captured_twice() {
    let mut packets = exchange(100, 2, 0);
    let last = packets.last().unwrap().1;
    packets.extend([(2_000 * MS, last), (2_000 * MS + MS / 20, last)]);
    let (numbers, dropped) = looked_at(&packets);
    assert_eq!((numbers.len(), dropped), (101, 101));
}

#[test]
fn two_duplicate_acknowledgements_that_were_captured_twice_stay_two() {
    let mut packets = exchange(100, 2, 0);
    let ack = Segment { payload: 0, ..segment(false, 200, 0) };
    packets.extend([0, 1, 2, 3].map(|n| (2_000 * MS + n * MS / 20, ack)));
    let (numbers, dropped) = looked_at(&packets);
    assert_eq!((numbers.len(), dropped), (102, 102));
}

#[test]
fn duplicate_acknowledgements_of_a_plain_capture_stay() {
    let mut packets = exchange(100, 1, 0);
    let ack = Segment { payload: 0, ..segment(false, 200, 0) };
    packets.extend([0, 1, 2, 3].map(|n| (2_000 * MS + n * MS / 20, ack)));
    assert_eq!(looked_at(&packets), ((1..=104).collect(), 0));
}

#[test]
fn packets_of_others_that_were_captured_once_stay() {
    let mut packets = exchange(400, 2, 0);
    for i in 0..200 {
        let mut one = segment(i % 2 == 0, 9_000 + i, 0);
        (one.source, one.destination) =
            ((u128::from(i % 2) + 50).into(), (u128::from((i + 1) % 2) + 50).into());
        packets.push((i64::from(i) * 20 * MS + 3, one));
    }
    packets.sort_by_key(|(at, _)| *at);
    let (numbers, dropped) = looked_at(&packets);
    assert_eq!((numbers.len(), dropped), (600, 400));
}

proptest! {
    #[test]
    fn whatever_comes_each_frame_is_looked_at_or_counted_and_in_order(
        packets in prop::collection::vec((0_i64..40, any::<bool>(), 0_u32..4, 0_u16..2), 0..600)
    ) {
        let packets: Vec<_> =
            packets.into_iter().map(|(at, from, seq, id)| (at * MS / 4, segment(from, seq, id))).collect();
        let (numbers, dropped) = looked_at(&packets);
        prop_assert_eq!(numbers.len() as u64 + dropped, packets.len() as u64);
        prop_assert!(numbers.is_sorted());
    }
}
