//! To which connection a segment belongs, where two have the same ends.

use crate::{Observer, ObserverConfig};
use espstress_event::{AnomalyId, Direction};
use espstress_wire::{Flags, Link};

use super::support::{Conv, Look, PSH_ACK, SYN_ACK, Seg, conv};

use Direction::{FromDevice, FromHost};

/// Connections, and segments that belong to none.
fn counted(c: &Conv) -> (u64, u64) {
    let summary = Look::for_ms(500).at(c).1;
    (summary.connections, summary.strays)
}

#[test]
fn a_syn_ack_belongs_to_the_syn_that_it_answers() {
    let other = |c: Conv| c.send_odd(FromDevice, SYN_ACK, 0, |s| s.ack = s.ack.wrapping_sub(500));
    assert_eq!(counted(&other(conv().syn()).syn_ack().ack()), (1, 1));
    assert_eq!(counted(&conv().syn().syn_ack().again(FromDevice).ack()), (1, 0), "sent again");
}

#[test]
fn a_syn_ack_with_another_number_begins_a_connection_only_where_the_one_before_may_be_over() {
    let another = |c: Conv| c.send_odd(FromDevice, SYN_ACK, 0, |s| s.seq = s.seq.wrapping_add(0x1000_0000));
    assert_eq!(counted(&another(conv().served())), (1, 1), "one that stands");
    assert_eq!(counted(&another(conv().served().closed())), (2, 0), "its SYN was not captured");
    let mut middle = conv().served();
    middle.packets.drain(..3);
    assert_eq!(counted(&another(middle)), (2, 0), "nobody knows who opened it");
}

#[test]
fn a_host_that_gives_up_its_own_syn_ends_that_connection() {
    assert_eq!(counted(&conv().syn().rst()), (1, 0));
}

#[test]
fn two_syns_that_cross_open_one_connection_and_a_later_one_another() {
    assert_eq!(counted(&conv().syn().send(FromDevice, Flags::SYN, 0)), (1, 0));
    let later = conv().served().send_odd(FromDevice, Flags::SYN, 0, |s| s.seq = s.seq.wrapping_add(1_000));
    assert_eq!(counted(&later), (2, 0));
}

#[test]
fn payload_far_from_a_connection_that_has_ended_is_of_another_one() {
    let far = |c: Conv| {
        let summary = Look::for_ms(500).at(&c.reopened().request(10).response(10)).1;
        (summary.connections, summary.mid_stream)
    };
    assert_eq!(far(conv().served()), (1, 0), "while it stands nobody can tell");
    // Half of the distance that tells, for each `reopened`.
    assert_eq!(far(conv().served().closed().reopened().reopened()), (2, 1));
}

#[test]
fn a_broker_is_the_host_also_where_its_answer_is_seen_first() {
    let mut observer = Observer::new(ObserverConfig::default());
    let mut seen = Vec::new();
    for (at, seg) in conv().served().rst().packets.iter().skip(1) {
        let mut frame = seg.frame();
        let port = if seg.from == FromHost { 22 } else { 20 };
        frame[port..port + 2].copy_from_slice(&1883_u16.to_be_bytes());
        observer.frame(*at, Link::Raw, &frame, 40 + usize::from(seg.len), &mut |o| {
            seen.push((o.id, o.direction))
        });
    }
    assert_eq!(seen, [(AnomalyId::AbortiveClose, FromDevice)]);
}

#[test]
fn the_program_is_idle_until_it_sends_something_new_and_the_device_until_it_sends_anything() {
    let c = conv().served().wait_ms(2_000).request(63).device_ack().wait_ms(2_000).response(17).ack();
    let summary = Look::for_ms(500).at(&c).1;
    assert_eq!((longest(&summary.quiet), longest(&summary.idle)), (Some(2_002), Some(4_002)));
}

#[test]
fn a_program_is_not_idle_that_waits_for_what_its_full_accept_queue_dropped() {
    let request = |c: Conv| c.send_odd(FromHost, PSH_ACK, 63, |s| s.seq = s.seq.wrapping_sub(63));
    let asked = |c: Conv| request(c.then_on(50_002).established().request(63).wait_ms(200)).wait_ms(600);
    let syn_ack = |c: Conv| {
        let odd = |s: &mut Seg| (s.seq, s.ack) = (s.seq.wrapping_sub(1), s.ack.wrapping_sub(63));
        c.send_odd(FromDevice, SYN_ACK, 0, odd).ack()
    };
    let answered = |c: Conv| request(c.wait_ms(3_000)).device_ack().wait_ms(100).response(17).ack();
    let idle = |c: Conv| longest(&Look::for_ms(500).at(&c).1.idle).unwrap_or(0);
    assert!(idle(answered(syn_ack(asked(conv().served())))) < 1_000);
    assert!(idle(answered(asked(conv().served()))) >= 3_000, "nothing shows that the queue was full");
    // What it does with the next request is its own.
    let next = answered(syn_ack(asked(conv().served()))).request(63).device_ack().wait_ms(2_000).response(17);
    assert!(idle(next) >= 2_000);
}

#[test]
fn a_program_that_ends_silent_connections_while_an_older_request_waits_is_idle() {
    let probed = |c: Conv| c.wait_ms(2_000).then_on(50_002).established().fin().device_fin().ack();
    let idle = |c: Conv| longest(&Look::for_ms(500).at(&c.wait_ms(2_000).then_on(50_004).served()).1.idle);
    let waits = conv().served().request(63).device_ack();
    assert!(idle(probed(waits)).is_some_and(|ms| ms >= 4_000));
    // A queue that it takes in order: the one that waits came later, or has been given up, or all have their answers.
    let later = probed(conv()).then_on(50_006).established().request(63).device_ack();
    for taken in [later, probed(conv().served()), probed(conv().served().request(63).device_ack().fin())] {
        assert!(idle(taken).is_some_and(|ms| ms < 3_000));
    }
}

/// The longest of them that began and ended, milliseconds.
fn longest(spells: &[crate::QuietSpell]) -> Option<i64> {
    let inner = spells.iter().filter(|s| s.from_ns != i64::MIN && s.to_ns != i64::MAX);
    inner.map(|s| (s.to_ns - s.from_ns) / 1_000_000).max()
}
