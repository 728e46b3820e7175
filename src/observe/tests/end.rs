//! `post_run_chatter`, and when a run's connections have settled.

use std::net::IpAddr;

use crate::{DeviceEnds, Observer, ObserverConfig};
use espstress_event::{AnomalyId, Direction, Shown};
use espstress_wire::{Flags, Link};

use super::support::{Conv, DEVICE, FIN_ACK, Look, MS, PSH_ACK, conv, exactly, faults, healthy, told};

use Direction::{FromDevice, FromHost};

#[test]
fn segments_of_the_device_long_after_the_end_are_chatter() {
    exactly(AnomalyId::PostRunChatter, 500, |c| {
        c.served()
            .closed()
            .wait_ms(2_000)
            .send_odd(FromDevice, Flags::ACK, 0, |s| s.seq = s.seq.wrapping_sub(2))
    });
}

#[test]
fn a_duel_that_goes_on_after_the_end_is_counted_and_timed() {
    let mut c = conv().served().closed();
    for _ in 0..6 {
        c = c.wait_ms(1_500).send_odd(FromDevice, FIN_ACK, 0, |s| s.seq = s.seq.wrapping_sub(1)).rst();
    }
    let (seen, _) = Look::for_ms(500).at(&c);
    let chatter: Vec<_> = seen.iter().filter(|o| o.id == AnomalyId::PostRunChatter).collect();
    assert_eq!(chatter.len(), 6);
    let device = chatter.iter().filter(|o| o.shows == Shown::Unprompted).count();
    assert!(device >= 3, "{chatter:#?}");
    assert!(chatter[5].at_ns - chatter[0].at_ns > 7_000 * MS);
}

#[test]
fn stray_segments_just_after_the_end_are_not() {
    healthy(500, |c| c.served().closed().wait_ms(700).device_ack());
}

#[test]
fn the_ack_of_a_segment_that_the_host_repeats_is_not() {
    healthy(500, |c| {
        c.served()
            .closed_by_device()
            .wait_ms(3_000)
            .send_odd(FromHost, FIN_ACK, 0, |s| s.seq = s.seq.wrapping_sub(1))
            .device_ack()
    });
}

#[test]
fn a_fin_again_because_the_last_ack_was_lost_is_not_the_devices() {
    healthy(500, |c| c.served().fin().device_ack().device_fin().ack().wait_ms(1_500).again(FromDevice).ack());
}

#[test]
fn payload_again_because_the_last_acks_were_lost_is_not_the_devices_and_payload_again_and_again_is() {
    let again = |after_ms: i64| {
        let c = conv().served().fin().device_ack().device_fin().ack().wait_ms(after_ms);
        faults(&c.send_odd(FromDevice, PSH_ACK, 17, |s| s.seq = s.seq.wrapping_sub(18)).ack(), 500)
    };
    assert_eq!(again(1_200), []);
    assert_eq!(again(20_000), [AnomalyId::PostRunChatter]);
}

#[test]
fn a_connection_that_the_host_vanished_from_has_not_ended() {
    let c = conv().served().wait_ms(10_000).send_odd(FromDevice, Flags::ACK, 0, |s| {
        s.seq = s.seq.wrapping_sub(1);
    });
    assert_eq!(told(&c, 500), []);
}

#[test]
fn a_device_that_has_not_received_the_hosts_reset_is_not_blamed_for_going_on() {
    healthy(500, |c| c.served().response(10).rst().wait_ms(1_500).again(FromDevice).rst());
}

fn observer_of(c: &Conv) -> Observer {
    let device = DeviceEnds::Known(vec![(IpAddr::V4(DEVICE), Some(80))]);
    let mut observer = Observer::new(ObserverConfig { device, ..ObserverConfig::default() });
    for (at, seg) in &c.packets {
        observer.frame(*at, Link::Raw, &seg.frame(), 40 + usize::from(seg.len), &mut |_| {});
    }
    observer
}

fn end_of(c: &Conv) -> i64 {
    c.packets.last().unwrap().0
}

#[test]
fn connections_have_settled_once_the_grace_after_the_last_end_is_over() {
    let c = conv().served().closed();
    let observer = observer_of(&c);
    assert!(!observer.settled(end_of(&c) + 900 * MS, |_| true));
    assert!(observer.settled(end_of(&c) + 1_100 * MS, |_| true));
}

#[test]
fn a_connection_that_goes_on_keeps_a_run_from_settling_unless_it_is_of_no_interest() {
    let c = conv().served().closed().then_on(40_001).served();
    let observer = observer_of(&c);
    assert!(!observer.settled(end_of(&c) + 60_000 * MS, |_| true));
    assert!(observer.settled(end_of(&c) + 60_000 * MS, |k| k.host.port() != 40_001));
}

#[test]
fn a_syn_that_was_judged_keeps_nobody_waiting() {
    let c = conv().syn();
    let mut observer = observer_of(&c);
    assert!(!observer.settled(end_of(&c) + 2_000 * MS, |_| true));
    observer.advance(end_of(&c) + 6_000 * MS, &mut |_| {});
    assert!(observer.settled(end_of(&c) + 6_000 * MS, |_| true));
}

#[test]
fn a_device_heard_late_on_a_reused_port_is_not_chatter_of_the_connection_before() {
    let c = conv().served().closed().wait_ms(5_000).reopened().served().closed();
    assert_eq!(faults(&c, 500), []);
}

#[test]
fn the_reason_that_a_rule_was_not_judged_names_the_watch_of_a_run_and_the_end_of_a_file() {
    use crate::{Observer, ObserverConfig, Source};
    use espstress_wire::Link;
    let reason = |source| {
        let mut observer = Observer::new(ObserverConfig { source, ..ObserverConfig::default() });
        let (at, seg) = conv().syn().packets[0];
        observer.frame(at, Link::Raw, &seg.frame(), 40, &mut |_| {});
        observer.finish(at, &mut |_| {}).not_judged[0].reason.clone()
    };
    assert!(reason(Source::Run).contains("--watch"));
    assert!(!reason(Source::File).contains("watch"), "{}", reason(Source::File));
}

#[test]
fn a_repetition_of_the_hosts_excuses_one_answer_at_once_and_nothing_later() {
    let repeated = || {
        let c = conv().served().closed_by_device().wait_ms(3_000);
        c.send_odd(FromHost, FIN_ACK, 0, |s| s.seq = s.seq.wrapping_sub(1)).device_ack()
    };
    assert_eq!(faults(&repeated(), 500), []);
    assert_eq!(faults(&repeated().device_ack(), 500), [AnomalyId::PostRunChatter], "a second answer");
    assert_eq!(faults(&repeated().wait_ms(5_000).device_ack(), 500), [AnomalyId::PostRunChatter], "later");
}

#[test]
fn a_reset_long_after_the_end_that_answers_nothing_is_chatter() {
    let c = conv().served().closed().wait_ms(5_000).device_rst();
    assert!(faults(&c, 500).contains(&AnomalyId::PostRunChatter));
}

#[test]
fn what_comes_again_from_before_the_capture_is_no_chatter() {
    let mut c = conv().served().response(100).ack().closed().wait_ms(2_000);
    c.packets.drain(..8);
    let c = c.send_odd(FromDevice, PSH_ACK, 50, |s| s.seq = s.seq.wrapping_sub(102));
    assert_eq!(faults(&c, 500), []);
}

#[test]
fn the_round_trip_is_measured_on_requests_where_the_handshake_was_not_captured() {
    let mut c = conv().established().request(63).wait_ms(500).response(17).ack();
    c.packets.drain(..3);
    let chatter = |after_ms: i64| {
        let c = c.clone().fin().wait_ms(500).device_ack().device_fin().ack().wait_ms(after_ms);
        faults(&c.send_odd(FromDevice, Flags::ACK, 0, |s| s.seq = s.seq.wrapping_sub(2)), 500)
    };
    assert_eq!(chatter(1_900), [], "within four round trips");
    assert_eq!(chatter(2_100), [AnomalyId::PostRunChatter]);
}
