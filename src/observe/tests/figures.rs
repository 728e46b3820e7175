//! What a summary counts beside the anomalies, and what an occurrence says of its connection.

use std::net::IpAddr;

use crate::{DeviceEnds, Observer, ObserverConfig, Turn, WireSummary};
use espstress_event::{AnomalyId, DialSign, Direction, MqttSign, Occurrence, RequestFate, Shown};
use espstress_wire::{Flags, Link, NotSegment, Unread};

use super::support::{Conv, DEVICE, FIN_ACK, HOST, Look, MS, conv, told};

use Direction::{FromDevice, FromHost};

fn summary(c: &Conv) -> WireSummary {
    Look::for_ms(500).at(c).1
}

fn seen(c: &Conv) -> Vec<Occurrence> {
    Look::for_ms(500).at(c).0
}

/// The device's end of the story is the host's, which dials port 80.
fn dialling() -> Observer {
    let device = DeviceEnds::Known(vec![(IpAddr::V4(HOST), Some(7_007))]);
    let mut observer = Observer::new(ObserverConfig { device, ..ObserverConfig::default() });
    observer.device_dials(80);
    observer
}

fn feed(mut observer: Observer, c: &Conv) -> WireSummary {
    for (at, seg) in &c.packets {
        observer.frame(*at, Link::Raw, &seg.frame(), 40 + usize::from(seg.len), &mut |_| {});
    }
    observer.finish(c.packets.last().unwrap().0 + 10_000 * MS, &mut |_| {})
}

#[test]
fn frames_that_cannot_be_read_are_counted_by_what_was_wrong_with_them() {
    let mut observer = Observer::new(ObserverConfig::default());
    let what = Unread::Mesh;
    let frames = [NotSegment::Damaged, NotSegment::Other, NotSegment::Unread(what), NotSegment::Damaged];
    for (n, not) in (1_u32..).zip(frames.into_iter().chain([NotSegment::Unread(what), NotSegment::Damaged])) {
        observer.decoded(i64::from(n) * MS, u64::from(n), &Err(not), &mut |_| {});
        assert_eq!(observer.packets(), u64::from(n));
    }
    let summary = observer.finish(1_000 * MS, &mut |_| {});
    assert_eq!((summary.packets, summary.damaged, summary.unread), (6, 3, 2));
    assert_eq!((summary.unread_kind, summary.tcp_packets), (Some(what), 0));
}

#[test]
fn packets_are_counted_by_whose_they_are() {
    let c = conv().served().closed();
    let of = summary(&c);
    let from_device = c.packets.iter().filter(|(_, s)| s.from == FromDevice).count() as u64;
    let all = c.packets.len() as u64;
    assert_eq!((of.packets, of.tcp_packets, of.device_packets), (all, all, from_device));
    assert_eq!((of.tcp_of_others, of.other_device), (0, None));
    let device = DeviceEnds::Known(vec![(IpAddr::V4(DEVICE), Some(8_080))]);
    let elsewhere = feed(Observer::new(ObserverConfig { device, ..ObserverConfig::default() }), &c);
    assert_eq!((elsewhere.tcp_packets, elsewhere.tcp_of_others), (0, all));
    assert_eq!(elsewhere.other_device, Some((DEVICE, 80).into()), "the side that was connected to");
    let mut answers = c.clone();
    answers.packets.retain(|(_, s)| s.from == FromDevice);
    let device = DeviceEnds::Known(vec![(IpAddr::V4(DEVICE), Some(8_080))]);
    let half = feed(Observer::new(ObserverConfig { device, ..ObserverConfig::default() }), &answers);
    assert_eq!(half.other_device, Some((DEVICE, 80).into()), "also where it is the sender");
}

#[test]
fn resets_of_connections_that_nobody_knows_are_strays() {
    let mut c = conv().served().device_rst();
    c.packets.drain(..c.packets.len() - 1);
    let twice = c.then_on(40_001).rst();
    let of = summary(&twice);
    assert_eq!((of.strays, of.connections, of.tcp_packets), (2, 0, 2));
}

#[test]
fn connections_without_their_beginning_are_counted_apart() {
    let mut c = conv().served();
    c.packets.drain(..3);
    let of = summary(&c.then_on(40_001).served());
    assert_eq!((of.connections, of.mid_stream), (2, 1));
    let mut answered = conv().served();
    answered.packets.drain(..1);
    assert_eq!(summary(&answered).mid_stream, 0, "its SYN-ACK is there");
}

#[test]
fn the_host_is_told_who_opens_and_who_ends_as_it_happens() {
    let mut observer = Observer::new(ObserverConfig {
        device: DeviceEnds::Known(vec![(IpAddr::V4(DEVICE), None)]),
        ..ObserverConfig::default()
    });
    let mut turns = Vec::new();
    for (at, seg) in &conv().served().fin().device_ack().device_fin().ack().packets {
        observer.frame(*at, Link::Raw, &seg.frame(), 40 + usize::from(seg.len), &mut |_| {});
        turns.extend(observer.take_turn());
        assert_eq!(observer.take_turn(), None, "asked for once");
    }
    let [Turn::HostOpens { port: 40_000, isn: 1_000 }, Turn::DeviceEnds(key)] = turns[..] else {
        panic!("{turns:?}")
    };
    assert_eq!((key.host.port(), key.device.port(), key.isn), (40_000, 80, Some(1_000)));
}

#[test]
fn what_the_device_begins_and_ends_on_the_port_that_it_dials_is_noted_once() {
    let c = conv().syn().wait_ms(1_000).again(FromHost).syn_ack().ack().request(10).device_ack();
    let c = c.fin().wait_ms(300).again(FromHost).device_fin().rst();
    let signs = feed(dialling(), &c).dial_signs;
    let at = |n: usize| c.packets[n].0;
    let sign = |n: usize, seq, sign| DialSign { at_ns: at(n), port: 40_000, seq, sign };
    assert_eq!(
        signs,
        [sign(0, 1_000, MqttSign::Syn), sign(6, 1_011, MqttSign::Fin), sign(9, 1_012, MqttSign::Rst)]
    );
    let mut elsewhere = dialling();
    elsewhere.device_dials(81);
    assert_eq!(feed(elsewhere, &c).dial_signs, []);
    assert_eq!(summary(&c).dial_signs, [], "a device that is known dials nowhere");
}

#[test]
fn who_neither_dials_that_port_nor_is_dialled_is_none_of_the_devices() {
    // Others talk to a port 80 as well.
    let other = DeviceEnds::Known(vec![(IpAddr::from([192, 168, 4, 7]), Some(7_007))]);
    let mut observer = Observer::new(ObserverConfig { device: other, ..ObserverConfig::default() });
    observer.device_dials(80);
    let of = feed(observer, &conv().served().closed());
    assert_eq!((of.connections, of.tcp_packets), (0, 0));
    let both = feed(dialling(), &conv().served().closed());
    assert_eq!((both.connections, both.tcp_of_others), (1, 0), "answers from the port are of it too");
}

#[test]
fn only_what_the_host_sends_while_the_device_opens_answers_its_dialling() {
    let dials = |c: &Conv| {
        let dials = feed(dialling(), c).dials;
        (dials.rows.iter().map(|d| (d.opened, d.accepted, d.refused)).collect::<Vec<_>>(), dials.beyond)
    };
    assert_eq!(dials(&conv().served().device_rst()), (vec![(1, 1, 0)], 0), "a RST later refuses nothing");
    assert_eq!(dials(&conv().syn().rst().device_rst()), (vec![(1, 0, 0)], 0), "it had given up");
}

#[test]
fn an_answer_is_missed_since_the_request_and_not_where_it_came() {
    let unanswered = |c: &Conv| seen(c).last().unwrap().unanswered_ns;
    let asked = conv().served().request(63).device_ack().wait_ms(3_000).device_rst();
    assert_eq!(unanswered(&asked), Some(3_001 * MS));
    assert_eq!(unanswered(&conv().served().wait_ms(3_000).device_rst()), None);
    let at_once = conv().served().request(63).wait_ms(0).response(17).wait_ms(500).device_rst();
    assert_eq!(unanswered(&at_once), None, "answered within the clock's grain");
    assert_eq!(unanswered(&conv().established().response(17).device_rst()), None, "nobody asked");
}

#[test]
fn a_host_that_left_a_probe_alone_for_a_fifth_of_a_second_has_fallen_silent() {
    let after = |ms: i64| {
        let c = conv().served().wait_ms(100);
        let c = c.send_odd(FromDevice, Flags::ACK, 0, |s| s.seq = s.seq.wrapping_sub(1));
        told(&c.wait_ms(ms - 100).device_rst(), 100)
    };
    assert_eq!(after(199), [(AnomalyId::AbortiveClose, Shown::Unprompted)]);
    assert_eq!(after(200), [(AnomalyId::AbortiveClose, Shown::Prompted)]);
    let c = conv().served().wait_ms(100);
    let c =
        c.send_odd(FromDevice, Flags::ACK, 0, |s| s.seq = s.seq.wrapping_sub(1)).wait_ms(100).device_rst();
    assert!(seen(&c)[0].remark.unwrap().contains("unanswered"));
}

#[test]
fn after_a_long_round_trip_stray_segments_have_four_of_them() {
    let served = |rtt: i64| {
        let c = conv().syn().wait_ms(rtt).syn_ack().ack().request(63).wait_ms(rtt).response(17).ack();
        c.fin().wait_ms(rtt).device_ack().device_fin().ack()
    };
    let chatter = |rtt: i64, after: i64| {
        let c =
            served(rtt).wait_ms(after).send_odd(FromDevice, Flags::ACK, 0, |s| s.seq = s.seq.wrapping_sub(2));
        told(&c, 500).iter().filter(|(id, _)| *id == AnomalyId::PostRunChatter).count()
    };
    assert_eq!((chatter(500, 1_900), chatter(500, 2_100)), (0, 1));
    assert_eq!((chatter(5, 990), chatter(5, 1_010)), (0, 1));
    assert_eq!((chatter(5, 1_000), chatter(5, 1_001)), (0, 1), "a second and no more");
}

#[test]
fn a_syn_that_the_path_brings_late_begins_no_other_connection() {
    let late = |c: Conv| {
        let syn = c.packets[0].1;
        summary(&c.wait_ms(3_000).send_odd(FromHost, Flags::SYN, 0, |s| s.seq = syn.seq)).connections
    };
    assert_eq!(late(conv().served()), 1, "of a connection that stands");
    assert_eq!(late(conv().served().closed()), 1, "of one that has ended");
}

#[test]
fn a_device_that_dials_with_the_same_number_opens_another_connection_a_tenth_of_a_second_later() {
    let again = |c: Conv, ms: i64| {
        let syn = c.packets[0].1;
        let c = c.wait_ms(ms).send_odd(FromHost, Flags::SYN, 0, |s| s.seq = syn.seq);
        Look::mirrored(500).at(&c).1.connections
    };
    let asked = || conv().established().request(63);
    assert_eq!((again(asked(), 100), again(asked(), 101)), (1, 2));
    assert_eq!(again(conv().established(), 3_000), 1, "it has sent nothing: the SYN-ACK was lost");
    assert_eq!(again(conv().established().device_rst(), 3_000), 2, "it has ended");
}

#[test]
fn a_syn_that_came_to_nothing_leaves_what_was_before_it() {
    let c = conv().served().closed_by_device().reopened().syn().wait_ms(500).reopened().syn();
    let c = c.send_odd(FromDevice, Flags::ACK, 0, |s| s.ack = s.ack.wrapping_sub(0x2000_0000));
    let of = seen(&c);
    assert_eq!(
        of.iter().map(|o| (o.id, o.remark)).collect::<Vec<_>>(),
        [(AnomalyId::TimewaitCollision, None)]
    );
}

#[test]
fn an_example_of_a_connection_without_its_beginning_counts_from_what_was_seen_first() {
    let mut c = conv().served().device_fin().request(63).device_rst();
    c.packets.drain(..5);
    let (seen, _) = Look::for_ms(100).at(&c);
    let words: Vec<_> = seen[0].packets.iter().map(|p| p.summary.as_str()).collect();
    assert_eq!(words[0], "[PSH, ACK] seq=0 ack=0 win=5744 len=17");
    assert_eq!(words.last(), Some(&"[RST, ACK] seq=18 ack=63 win=5744 len=0"));
}

#[test]
fn a_reset_tells_how_far_the_request_had_come() {
    let fate = |c: &Conv| seen(c).last().unwrap().request;
    assert_eq!(fate(&conv().established().device_rst()), Some(RequestFate::NotSent));
    let acked = conv().established().request(63).device_ack().wait_ms(40).device_rst();
    assert_eq!(fate(&acked), Some(RequestFate::Acknowledged(40 * MS)));
    let twice = conv().established().request(63).device_ack().wait_ms(30).device_ack().ack().wait_ms(9);
    assert_eq!(fate(&twice.device_rst()), Some(RequestFate::Acknowledged(40 * MS)), "since the first time");
    assert_eq!(fate(&conv().established().request(63).device_rst()), Some(RequestFate::Acknowledged(0)));
    let before = conv().established().request(63).send_odd(FromDevice, Flags::RST, 0, |_| {});
    assert_eq!(fate(&before), Some(RequestFate::Unacknowledged));
}

#[test]
fn a_close_that_follows_the_hosts_silence_or_reset_says_which_it_was() {
    let c = conv().served().rst().device_rst();
    assert_eq!(seen(&c)[0].remark, Some("the host had reset the connection"));
}

#[test]
fn the_path_is_known_while_the_capture_goes_on() {
    let mut observer = Observer::new(ObserverConfig::default());
    for (at, seg) in &conv().served().closed().packets {
        observer.frame(*at, Link::Raw, &seg.frame(), 40 + usize::from(seg.len), &mut |_| {});
    }
    let path = observer.path();
    assert_eq!((path.syns, path.requests, path.fins, path.losses.segments), (1, 1, 1, 4));
}

#[test]
fn the_first_examples_have_their_packets_and_the_others_are_told_without() {
    let mut observer = Observer::new(ObserverConfig { examples: 2, ..ObserverConfig::default() });
    let mut told = Vec::new();
    let c = (50_001..=50_004).fold(conv(), |c, port| c.then_on(port).served().device_rst());
    for (at, seg) in &c.packets {
        observer.frame(*at, Link::Raw, &seg.frame(), 40 + usize::from(seg.len), &mut |o: Occurrence| {
            told.push(o.packets.is_empty());
        });
    }
    assert_eq!(told, [false, false, true, true]);
}

#[test]
fn keep_alive_probes_are_counted_with_the_shortest_idle_time_before_a_first_one() {
    let probe = |c: Conv| c.send_odd(FromDevice, Flags::ACK, 0, |s| s.seq = s.seq.wrapping_sub(1));
    let c = probe(conv().served().wait_ms(5_000));
    let c = probe(c.ack().wait_ms(4_000));
    let c = probe(c.wait_ms(2_000));
    let c = probe(c.ack().wait_ms(900)).ack();
    let figures = summary(&c).keep_alive;
    assert_eq!((figures.probes, figures.idle_ns), (3, Some(4_000 * MS)), "sooner than a second is none");
    assert_eq!(summary(&conv().served().wait_ms(5_000).response(10)).keep_alive.probes, 0, "payload is none");
    let at_once = probe(conv().served().wait_ms(1_000));
    assert_eq!(summary(&at_once).keep_alive.probes, 1);
}

#[test]
fn a_syn_sent_again_is_counted_and_a_copy_of_a_response_is_the_paths() {
    let c = conv().syn().wait_ms(1_000).again(FromHost).wait_ms(2_000).again(FromHost).syn_ack().ack();
    assert_eq!(summary(&c).syn_repetitions, 2);
    let c =
        conv().established().request(63).response(17).copied(FromDevice).wait_ms(300).again(FromDevice).ack();
    let of = summary(&c).from_device;
    assert_eq!((of.data_segments, of.path_copies, of.retransmissions, of.bytes), (3, 1, 2, 51));
}

#[test]
fn a_fin_that_a_device_sends_with_its_last_payload_ends_the_connection() {
    let c = conv().established().request(63).send(FromDevice, FIN_ACK, 17).ack().fin().device_ack();
    let mut observer = Observer::new(ObserverConfig::default());
    for (at, seg) in &c.packets {
        observer.frame(*at, Link::Raw, &seg.frame(), 40 + usize::from(seg.len), &mut |_| {});
    }
    let end = c.packets.last().unwrap().0;
    assert!(observer.settled(end + 1_001 * MS, |_| true) && !observer.settled(end + 1_000 * MS, |_| true));
}
