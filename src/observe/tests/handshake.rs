//! `syn_refused`, `syn_unanswered`, `timewait_collision`, `challenge_ack`.

use espstress_event::{AnomalyId, Direction, Shown};
use espstress_wire::Flags;

use super::support::{Conv, Look, RST_ACK, conv, exactly, faults, healthy, told};

use Direction::{FromDevice, FromHost};

fn refused(c: Conv) -> Conv {
    c.syn().send_odd(FromDevice, RST_ACK, 0, |s| s.seq = 0)
}

/// Another packet much later, on another connection, so that time passes.
fn unanswered_twice(c: Conv) -> Conv {
    c.syn().wait_ms(1_000).again(FromHost)
}

fn stray_ack(c: Conv) -> Conv {
    c.send_odd(FromDevice, Flags::ACK, 0, |s| s.ack = s.ack.wrapping_sub(0x2000_0000))
}

#[test]
fn a_reset_that_answers_the_syn_is_a_refusal() {
    exactly(AnomalyId::SynRefused, 10_000, refused);
    assert_eq!(Look::for_ms(2_000).at(&refused(conv())).1.not_judged, []);
}

#[test]
fn a_reset_of_an_older_connection_refuses_nothing() {
    healthy(1_000, |c| {
        c.syn().send_odd(FromDevice, RST_ACK, 0, |s| s.ack = s.ack.wrapping_sub(500)).syn_ack().ack()
    });
}

#[test]
fn a_syn_sent_twice_and_not_answered_is_the_devices() {
    exactly(AnomalyId::SynUnanswered, 6_000, unanswered_twice);
}

#[test]
fn a_syn_answered_on_its_repetition_is_well() {
    healthy(6_000, |c| unanswered_twice(c).syn_ack().ack());
}

#[test]
fn a_syn_that_was_told_to_be_unanswered_is_not_told_again_at_its_next_copy() {
    let c = unanswered_twice(conv()).wait_ms(6_000).again(FromHost);
    assert_eq!(faults(&c, 8_000), [AnomalyId::SynUnanswered]);
}

#[test]
fn a_syn_that_met_a_stray_acknowledgement_was_answered_also_when_it_comes_again() {
    let c = stray_ack(conv().served().closed_by_device().reopened().syn()).wait_ms(1_000).again(FromHost);
    assert_eq!(faults(&c, 8_000), [AnomalyId::TimewaitCollision]);
}

#[test]
fn a_syn_whose_deadline_lies_beyond_the_watch_is_not_judged() {
    let (seen, summary) = Look::for_ms(2_000).at(&conv().syn());
    assert_eq!(seen, []);
    assert_eq!(summary.not_judged.iter().map(|n| n.id).collect::<Vec<_>>(), [AnomalyId::SynUnanswered]);
}

#[test]
fn an_ack_to_a_syn_after_the_devices_close_is_a_collision_with_its_time_wait() {
    exactly(AnomalyId::TimewaitCollision, 100, |c| stray_ack(c.served().closed_by_device().reopened().syn()));
}

#[test]
fn the_hosts_reset_of_a_stray_ack_ends_nothing() {
    let c = stray_ack(conv().served().closed_by_device().reopened().syn());
    let c = c.send_odd(FromHost, Flags::RST, 0, |s| s.seq = s.seq.wrapping_sub(0x2000_0000));
    let c = stray_ack(c.wait_ms(1_000).send_odd(FromHost, Flags::SYN, 0, |s| s.seq = s.seq.wrapping_sub(1)));
    assert_eq!(told(&c, 100), [(AnomalyId::TimewaitCollision, Shown::Unprompted); 2]);
    let (seen, _) = Look::for_ms(100).at(&c);
    assert_eq!(seen.iter().map(|o| o.nth).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(seen[0].remark, None);
}

#[test]
fn a_collision_is_suspected_where_the_connection_before_was_not_seen() {
    let (seen, _) = Look::for_ms(100).at(&stray_ack(conv().syn()));
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].id, AnomalyId::TimewaitCollision);
    assert!(seen[0].remark.unwrap().starts_with("suspected"));
}

#[test]
fn a_reused_port_that_is_accepted_is_well() {
    healthy(1_000, |c| c.served().closed_by_device().reopened().served().closed());
}

#[test]
fn an_ack_to_a_syn_on_a_connection_that_had_not_ended_is_a_challenge() {
    exactly(AnomalyId::ChallengeAck, 100, |c| stray_ack(c.served().reopened().syn()));
}

#[test]
fn an_ack_to_an_inexact_reset_is_a_challenge() {
    let c = conv().served().send_odd(FromHost, RST_ACK, 0, |s| s.seq = s.seq.wrapping_add(10)).device_ack();
    assert_eq!(told(&c, 100), [(AnomalyId::ChallengeAck, Shown::Unprompted)]);
}

#[test]
fn an_ack_that_crossed_the_hosts_reset_is_no_challenge() {
    healthy(1_000, |c| c.served().request(100).rst().device_ack());
}

#[test]
fn a_connection_that_came_about_after_a_collision_is_judged_like_any_other() {
    let c = stray_ack(conv().served().closed_by_device().reopened().syn());
    let c = c.send_odd(FromHost, Flags::RST, 0, |s| s.seq = s.seq.wrapping_sub(0x2000_0000));
    let c = c.wait_ms(1_000).send_odd(FromHost, Flags::SYN, 0, |s| s.seq = s.seq.wrapping_sub(1));
    let c = c.syn_ack().ack().request(63).response(17).ack().device_rst();
    assert_eq!(faults(&c, 100), [AnomalyId::TimewaitCollision, AnomalyId::AbortiveClose]);
}

#[test]
fn a_syn_after_a_refusal_begins_a_connection_of_its_own_also_with_the_same_number() {
    let again = refused(conv()).wait_ms(500).again(FromHost).syn_ack().ack();
    let served = again.request(63).device_ack().response(17).ack();
    let (seen, summary) = Look::for_ms(4_000).at(&served.clone().wait_ms(3_000).device_rst());
    let kinds: Vec<_> = seen.iter().map(|o| o.id).collect();
    assert_eq!((kinds, summary.connections), (vec![AnomalyId::SynRefused, AnomalyId::AbortiveClose], 2));
    assert_eq!(told(&served.wait_ms(3_000).closed(), 4_000).len(), 1, "the refusal alone");
}

#[test]
fn a_client_that_tries_three_times_is_refused_three_times_and_meets_no_storm() {
    let again = |c: Conv| c.wait_ms(500).again(FromHost).again(FromDevice);
    let (seen, summary) = Look::for_ms(4_000).at(&again(again(refused(conv()))));
    assert!(seen.iter().all(|o| o.id == AnomalyId::SynRefused && o.nth == 1), "{seen:?}");
    assert_eq!((seen.len(), summary.connections), (3, 3));
}

#[test]
fn one_refusal_for_each_copy_of_a_syn_is_no_storm_and_more_are() {
    let three = conv().syn().wait_ms(1_000).again(FromHost).wait_ms(2_000).again(FromHost);
    let refusal = |c: Conv| c.send_odd(FromDevice, RST_ACK, 0, |s| s.seq = 0);
    let answered = refusal(refusal(refusal(three)));
    assert_eq!(faults(&answered, 500), [AnomalyId::SynRefused]);
    let many = refusal(refusal(answered));
    assert_eq!(faults(&many, 500), [AnomalyId::SynRefused, AnomalyId::RstStorm]);
}

/// The device dials: the host of the story is the device. It has restarted and dials again from the same port, with
/// the same number; the other side holds the old connection and says so.
fn redialled(c: Conv) -> Conv {
    let first = c.clone().syn().packets[0].1;
    let c = c.served().wait_ms(3_000);
    let syn = |c: Conv| c.send_odd(FromHost, Flags::SYN, 0, |s| s.seq = first.seq);
    syn(syn(c).device_ack().wait_ms(1_000)).device_ack()
}

#[test]
fn a_device_that_dials_from_the_ports_of_a_connection_that_the_host_still_holds_is_told() {
    for watch in [100, 9_000] {
        let (seen, summary) = Look::mirrored(watch).at(&redialled(conv()));
        let [one] = seen.as_slice() else { panic!("{seen:?}") };
        assert_eq!(
            (one.id, one.shows, one.direction),
            (AnomalyId::DialCollision, Shown::Unprompted, FromDevice)
        );
        assert_eq!((one.remark, summary.connections), (None, 2));
    }
}

/// The device dials three times: answered, refused twice with the SYN repeated once, and not answered.
#[test]
fn what_the_device_dials_is_counted_by_how_it_is_answered() {
    let refuse = |c: Conv| c.send_odd(FromDevice, RST_ACK, 0, |s| s.seq = 0).wait_ms(200);
    let served = Look::mirrored(5_000).at(&conv().served()).1.dials;
    let c = refuse(conv().syn());
    let refused = Look::mirrored(5_000).at(&refuse(c.syn().wait_ms(50).again(FromHost))).1.dials;
    let silent = Look::mirrored(5_000).at(&conv().syn().wait_ms(1_000).again(FromHost)).1.dials;
    let count = |dials: &crate::Dials| {
        let [one] = dials.rows.as_slice() else { panic!("{dials:?}") };
        (one.opened, one.accepted, one.refused)
    };
    assert_eq!((count(&served), count(&refused), count(&silent)), ((1, 1, 0), (2, 0, 2), (1, 0, 0)));
    assert_eq!(Look::for_ms(5_000).at(&conv().served()).1.dials, crate::Dials::default());
}

#[test]
fn a_device_that_resets_what_it_has_forgotten_and_dials_again_is_well() {
    let first = conv().syn().packets[0].1;
    let syn = |c: Conv| c.send_odd(FromHost, Flags::SYN, 0, |s| s.seq = first.seq);
    let c = syn(conv().served().wait_ms(3_000)).device_ack();
    let acked = c.packets.last().unwrap().1.ack;
    let c = syn(c.send_odd(FromHost, Flags::RST, 0, |s| s.seq = acked).wait_ms(5));
    let (seen, _) = Look::mirrored(5_000).at(&c);
    assert_eq!(seen, []);
}

#[test]
fn a_device_that_dials_and_closes_without_a_word_serves_nobody_and_owes_nothing() {
    let (seen, _) = Look::mirrored(10_000).at(&conv().established().fin().device_ack().device_fin().ack());
    assert_eq!(seen, []);
}

/// TCP Fast Open (RFC 7413): the request comes with the SYN.
#[test]
fn payload_of_an_accepted_syn_is_seen() {
    let opened = |c: Conv| c.send(FromHost, Flags::SYN, 63).syn_ack();
    healthy(500, |c| opened(c).ack().response(17).ack().closed());
    healthy(500, |c| opened(c).response(17).ack().closed());
    exactly(AnomalyId::RstAfterHandshake, 500, |c| opened(c).ack().device_rst());
    exactly(AnomalyId::AbortiveClose, 500, |c| opened(c).response(17).ack().device_rst());
    exactly(AnomalyId::ClosedUnserved, 500, |c| opened(c).ack().device_fin().ack());
    for c in
        [opened(conv()).ack().response(17).ack().closed(), opened(conv()).response(17).ack().device_rst()]
    {
        assert_eq!(Look::for_ms(500).at(&c).1.incomplete, 0, "{c:#?}");
    }
}

#[test]
fn payload_of_a_syn_that_was_not_accepted_is_sent_again_and_nothing_is_missing() {
    let c =
        conv().syn().packets_changed(|s| s.len = 63).syn_ack().ack().request(63).response(17).ack().closed();
    let (seen, summary) = Look::for_ms(500).at(&c);
    assert_eq!((seen.len(), summary.incomplete), (0, 0), "{seen:?}");
}
