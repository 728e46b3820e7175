//! The table: starts in the middle, gaps, reused ports, room, and which end is the device.

use std::net::IpAddr;

use crate::{DeviceEnds, Observer, ObserverConfig};
use espstress_event::{AnomalyId, Direction, Shown};
use espstress_wire::{Flags, Link};

use super::support::{Conv, DEVICE, HOST, Look, MS, PSH_ACK, RST_ACK, Seg, conv, faults, told};

use Direction::{FromDevice, FromHost};

fn observe(
    c: &Conv,
    config: ObserverConfig,
    gap_before: Option<usize>,
) -> (Vec<AnomalyId>, crate::WireSummary) {
    let mut ids = Vec::new();
    let mut observer = Observer::new(config);
    for (i, (at, seg)) in c.packets.iter().enumerate() {
        if gap_before == Some(i) {
            observer.gap();
        }
        observer.frame(*at, Link::Raw, &seg.frame(), 40 + usize::from(seg.len), &mut |o| ids.push(o.id));
    }
    let end = c.packets.last().unwrap().0 + 10_000 * MS;
    let summary = observer.finish(end, &mut |o| ids.push(o.id));
    (ids, summary)
}

fn guessed() -> ObserverConfig {
    ObserverConfig::default()
}

#[test]
fn where_nobody_says_which_end_is_the_device_it_is_the_one_that_was_connected_to() {
    let (ids, summary) = observe(&conv().served().device_rst(), guessed(), None);
    assert_eq!(ids, [AnomalyId::AbortiveClose]);
    assert_eq!((summary.connections, summary.mid_stream), (1, 0));
}

#[test]
fn traffic_of_others_is_left_out() {
    let device = DeviceEnds::Known(vec![(IpAddr::V4(DEVICE), Some(8080))]);
    let (ids, summary) = observe(&conv().served().device_rst(), ObserverConfig { device, ..guessed() }, None);
    assert_eq!(ids, []);
    assert_eq!((summary.tcp_packets, summary.connections), (0, 0));
}

#[test]
fn a_device_that_dials_the_host_is_the_device_on_its_own_port() {
    // Told the other way round: the host's end of the story is the device, which dials the other's port 80.
    let device = DeviceEnds::Known(vec![(IpAddr::V4(HOST), Some(7_007))]);
    let story = conv().served().closed();
    let at = |dials: Option<u16>| {
        let mut observer = Observer::new(ObserverConfig { device: device.clone(), ..guessed() });
        if let Some(port) = dials {
            observer.device_dials(port);
        }
        for (at, seg) in &story.packets {
            observer.frame(*at, Link::Raw, &seg.frame(), 40 + usize::from(seg.len), &mut |_| ());
        }
        observer.finish(story.packets.last().unwrap().0 + 10_000 * MS, &mut |_| ())
    };
    assert_eq!(at(None).connections, 0, "none of its services");
    assert_eq!((at(Some(80)).connections, at(Some(81)).connections), (1, 0));
    assert!(at(Some(80)).device_packets > 0);
}

#[test]
fn a_capture_that_begins_in_the_middle_finds_no_fault_in_a_healthy_connection() {
    let whole = conv().served().served_again().closed();
    for cut in 0..whole.packets.len() {
        let mut c = whole.clone();
        c.packets.drain(..cut);
        assert_eq!(faults(&c, 10_000), [], "first {cut} packets cut");
    }
}

#[test]
fn any_one_packet_may_be_missing_without_a_fault_in_a_healthy_connection() {
    for whole in [conv().served().served_again().closed(), conv().served().served_again().closed_by_device()]
    {
        for missing in 0..whole.packets.len() {
            let mut c = whole.clone();
            c.packets.remove(missing);
            assert_eq!(faults(&c, 10_000), [], "packet {missing} missing");
        }
    }
}

#[test]
fn what_a_gap_in_the_capture_may_have_hidden_is_not_judged() {
    let c = conv().served().fin().device_ack();
    let (ids, summary) = observe(&c, guessed(), Some(5));
    assert_eq!(ids, []);
    assert_eq!(summary.gaps, 1);
    assert_eq!(summary.not_judged[0].id, AnomalyId::HalfClosedLinger);
}

#[test]
fn connections_after_a_gap_are_judged_as_ever() {
    let c = conv().served().closed().then_on(40_001).served().device_rst();
    let (ids, _) = observe(&c, guessed(), Some(9));
    assert_eq!(ids, [AnomalyId::AbortiveClose]);
}

#[test]
fn connections_on_a_reused_port_are_counted_apart() {
    let c = conv().served().device_rst().reopened().served().device_rst();
    let (seen, summary) = Look::for_ms(100).at(&c);
    assert_eq!(summary.connections, 2);
    assert_eq!(seen.iter().map(|o| (o.id, o.nth)).collect::<Vec<_>>(), [(AnomalyId::AbortiveClose, 1); 2]);
    assert_ne!(seen[0].connection.isn, seen[1].connection.isn);
}

#[test]
fn the_table_keeps_its_size_and_says_what_it_forgot() {
    let mut c = conv();
    for port in 0..50 {
        c = c.then_on(1_000 + port).served();
        if port % 2 == 0 {
            c = c.closed();
        }
    }
    let (ids, summary) = observe(&c, ObserverConfig { connections: 10, ..guessed() }, None);
    assert_eq!(ids, []);
    assert_eq!(summary.connections, 50);
    assert_eq!(summary.evicted_settled + summary.evicted_live, 40);
    assert!(summary.evicted_settled >= 20, "{summary:?}");
}

#[test]
fn a_steady_load_for_hours_needs_no_more_room_than_for_minutes() {
    let mut c = conv();
    for port in 0..50 {
        c = c.then_on(1_000 + port).served().closed().wait_ms(30_000);
    }
    let (ids, summary) = observe(&c, guessed(), None);
    assert_eq!(ids, []);
    assert_eq!(summary.connections, 50);
    assert!((35..=40).contains(&summary.evicted_settled), "five minutes are ten of them: {summary:?}");
    assert_eq!(summary.evicted_live, 0);
}

#[test]
fn an_example_shows_the_packets_around_it() {
    let (seen, _) = Look::for_ms(100).at(&conv().served().device_rst());
    let words: Vec<_> = seen[0].packets.iter().map(|p| (p.number, p.summary.as_str())).collect();
    assert_eq!(words.last(), Some(&(8, "[RST, ACK] seq=18 ack=64 win=5744 len=0")));
    assert_eq!(words[2], (5, "[ACK] seq=1 ack=64 win=5744 len=0"));
}

#[test]
fn a_device_that_dials_in_is_served_by_the_host_without_blame() {
    let (seen, _) = Look::mirrored(10_000).at(&conv().served().closed());
    assert_eq!(seen, []);
}

#[test]
fn a_healthy_conversation_is_told_nothing_of_at_all() {
    assert_eq!(told(&conv().served().served_again().closed(), 10_000), []);
    assert_eq!(told(&conv().served().served_again().closed_by_device(), 10_000), []);
}

#[test]
fn an_ethernet_frame_shows_the_same_as_a_bare_packet() {
    let mut seen = Vec::new();
    let mut observer = Observer::new(guessed());
    for (at, seg) in &conv().served().device_rst().packets {
        let mut frame = vec![0_u8; 14];
        frame[12] = 8;
        frame.extend_from_slice(&Seg::frame(seg));
        observer.frame(*at, Link::Ethernet, &frame, 54 + usize::from(seg.len), &mut |o| {
            seen.push((o.id, o.shows, o.direction))
        });
    }
    assert_eq!(seen, [(AnomalyId::AbortiveClose, Shown::Unprompted, Direction::FromDevice)]);
}

#[test]
fn where_the_ends_are_guessed_a_connection_the_other_way_turns_them_round() {
    let mut c = conv().served();
    c.packets.drain(..3);
    let mut turned = Vec::new();
    for (at, seg) in conv().wait_ms(5_000).served().device_rst().packets {
        turned.push((at, seg));
    }
    c.packets.extend(turned);
    // The middle of a connection between the same ends first: the guess there may be anything.
    let (ids, summary) = observe(&c, guessed(), None);
    assert_eq!(ids, [AnomalyId::AbortiveClose]);
    assert_eq!((summary.connections, summary.mid_stream), (2, 1));
}

#[test]
fn a_connection_counts_once_for_each_direction_of_an_anomaly() {
    let c = conv().served().response(100).ack().wait_ms(300).again(FromDevice);
    let c =
        c.request(100).device_ack().wait_ms(300).send_odd(FromHost, espstress_wire::Flags(0x18), 100, |s| {
            s.seq = s.seq.wrapping_sub(100);
        });
    let (seen, _) = Look::for_ms(100).at(&c);
    let rows: Vec<_> = seen.iter().map(|o| (o.id, o.direction, o.nth)).collect();
    assert_eq!(rows, [(AnomalyId::Retransmission, FromDevice, 1), (AnomalyId::Retransmission, FromHost, 1),]);
}

#[test]
fn a_healthy_capture_of_which_one_half_is_missing_says_so() {
    for half in [FromHost, FromDevice] {
        let mut c = conv().served().served_again().closed();
        c.packets.retain(|(_, s)| s.from == half);
        let (seen, summary) = Look::for_ms(10_000).at(&c);
        assert!(seen.iter().all(|o| o.shows != Shown::Unprompted), "{seen:?}");
        let halves = (summary.host_half_only, summary.device_half_only);
        assert_eq!(halves, if half == FromHost { (1, 0) } else { (0, 1) });
        assert_eq!(summary.incomplete, 1);
    }
}

#[test]
fn a_fin_that_the_capture_missed_leaves_its_rule_unjudged() {
    let mut c = conv().served().closed();
    let fin = c.packets.iter().position(|(_, s)| s.from == FromDevice && s.flags.0 & 1 == 1).unwrap();
    c.packets.remove(fin);
    let (seen, summary) = Look::for_ms(10_000).at(&c);
    assert_eq!(seen, []);
    assert_eq!((summary.not_judged[0].id, summary.incomplete), (AnomalyId::HalfClosedLinger, 1));
}

#[test]
fn of_a_connection_that_ends_with_the_capture_each_rule_that_waits_is_left_unjudged() {
    let c = conv().served().device_window(0).device_ack().request(10);
    let c = c.again(FromHost).wait_ms(300).again(FromHost).wait_ms(600);
    let (seen, summary) = Look::for_ms(10).at(&c);
    assert!(seen.iter().all(|o| o.shows != Shown::Unprompted), "{seen:?}");
    let ids: Vec<_> = summary.not_judged.iter().map(|n| n.id).collect();
    assert_eq!(ids, [AnomalyId::NoAckToData, AnomalyId::ZeroWindowStall]);
}

#[test]
fn payload_far_from_a_connection_that_stands_is_none_of_its_own() {
    let repeated = |by: u32| {
        let stray = conv().served().send_odd(FromDevice, PSH_ACK, 17, |s| s.seq = s.seq.wrapping_add(by));
        Look::for_ms(500).at(&stray.wait_ms(300).again(FromDevice)).1.from_device.retransmissions
    };
    assert_eq!(
        (repeated(0x2000_0000), repeated(0x2000_0001), repeated(0u32.wrapping_sub(0x3000_0000))),
        (1, 0, 0)
    );
}

#[test]
fn a_broker_is_the_host_of_the_device_that_dials_it() {
    let mut observer = Observer::new(guessed());
    let mut seen = Vec::new();
    for (at, seg) in &conv().served().rst().packets {
        let mut frame = seg.frame();
        let port = if seg.from == FromHost { 22 } else { 20 };
        frame[port..port + 2].copy_from_slice(&1883_u16.to_be_bytes());
        observer.frame(*at, Link::Raw, &frame, 40 + usize::from(seg.len), &mut |o| {
            seen.push((o.id, o.direction))
        });
    }
    assert_eq!(seen, [(AnomalyId::AbortiveClose, FromDevice)]);
}

/// What the device's reset of the first of two connections shows where a third one begins, and there is room for two.
fn reset_of_the_first(c: Conv) -> Vec<AnomalyId> {
    let reset = |s: &mut Seg| (s.seq, s.ack, s.port) = (70_018, 1_064, 40_000);
    let c = c.then_on(50_002).served().send_odd(FromDevice, RST_ACK, 0, reset);
    let device = DeviceEnds::Known(vec![(IpAddr::V4(DEVICE), None)]);
    let mut observer = Observer::new(ObserverConfig { device, connections: 2, ..ObserverConfig::default() });
    let mut seen = Vec::new();
    for (at, seg) in &c.packets {
        observer.frame(*at, Link::Raw, &seg.frame(), 40 + usize::from(seg.len), &mut |o| seen.push(o.id));
    }
    assert_eq!(observer.finish(c.packets.last().unwrap().0, &mut |_| {}).evicted_live, 1);
    seen
}

#[test]
fn where_there_is_no_room_the_connection_that_was_silent_for_longest_is_given_up() {
    let two = || conv().served().wait_ms(1_500).then_on(50_001).served().wait_ms(1_500);
    assert_eq!(reset_of_the_first(two()), [], "the first was");
    let first = |s: &mut Seg| (s.seq, s.ack, s.port) = (1_064, 70_018, 40_000);
    let goes_on = two().send_odd(FromHost, Flags::ACK, 0, first);
    assert_eq!(reset_of_the_first(goes_on), [AnomalyId::AbortiveClose], "the second was");
}

#[test]
fn where_a_capture_begins_in_the_middle_the_higher_port_is_the_hosts() {
    let mut c = conv().served().served_again().device_rst();
    c.packets.drain(..3);
    assert_eq!(observe(&c, guessed(), None).0, [AnomalyId::AbortiveClose]);
}

#[test]
fn a_syn_and_a_fin_ask_for_an_answer_as_well() {
    let absences = |c: Conv| Look::for_ms(500).at(&c).1.absences.len();
    assert_eq!(absences(conv().syn().wait_ms(2_000).syn_ack()), 1);
    assert_eq!(absences(conv().served().fin().wait_ms(2_000).device_ack()), 1);
    assert_eq!(absences(conv().served().ack().wait_ms(2_000).device_ack()), 0, "an ACK asks for nothing");
}

#[test]
fn a_syn_ack_opens_no_connection_of_the_devices() {
    let mut c = conv().served();
    c.packets.drain(..1);
    assert_eq!(Look::for_ms(500).at(&c).1.dials, crate::Dials::default());
}
