//! `rst_after_handshake`, `abortive_close`, `rst_after_fin`, `late_rst`, `rst_storm`, `rst_bad_seq`.

use espstress_event::{AnomalyId, Answered, Direction, Shown};
use espstress_wire::Flags;

use super::support::{Conv, Look, RST_ACK, SYN_ACK, conv, exactly, faults, healthy, told};

use Direction::{FromDevice, FromHost};
use Shown::{OnTheWay, Prompted, Unprompted};

/// Keep-alive: one number before the next.
fn device_probes(c: Conv) -> Conv {
    c.wait_ms(3_000).send_odd(FromDevice, Flags::ACK, 0, |s| s.seq = s.seq.wrapping_sub(1))
}

#[test]
fn a_reset_before_anything_was_served_is_one_after_the_handshake() {
    exactly(AnomalyId::RstAfterHandshake, 1_000, |c| c.established().request(63).device_ack().device_rst());
}

#[test]
fn a_reset_after_unanswered_probes_does_not_blame_the_device() {
    let c = device_probes(device_probes(device_probes(conv().established()))).wait_ms(3_000).device_rst();
    assert_eq!(told(&c, 100), [(AnomalyId::RstAfterHandshake, Prompted)]);
}

#[test]
fn a_reset_after_answered_probes_does() {
    let c = device_probes(conv().established()).ack().wait_ms(3_000).device_rst();
    assert_eq!(told(&c, 100), [(AnomalyId::RstAfterHandshake, Unprompted)]);
}

#[test]
fn a_reset_after_payload_without_a_fin_is_an_abortive_close() {
    exactly(AnomalyId::AbortiveClose, 1_000, |c| c.served().device_rst());
}

#[test]
fn an_abortive_close_that_meets_the_hosts_fin_is_still_one() {
    exactly(AnomalyId::AbortiveClose, 1_000, |c| c.established().request(63).response(17).fin().device_rst());
}

#[test]
fn a_reset_after_exhausted_keep_alive_is_no_abortive_close() {
    let c = device_probes(device_probes(conv().served())).wait_ms(3_000).device_rst();
    assert_eq!(told(&c, 100), [(AnomalyId::AbortiveClose, Prompted)]);
}

#[test]
fn a_reset_that_follows_the_hosts_own_is_provoked() {
    let c = conv().served().rst().device_rst();
    assert_eq!(told(&c, 100), [(AnomalyId::AbortiveClose, Prompted)]);
}

#[test]
fn a_reset_of_the_hosts_is_nothing() {
    healthy(5_000, |c| c.served().rst());
}

#[test]
fn a_request_that_meets_a_device_that_has_closed_is_answered_by_a_reset_after_fin() {
    exactly(AnomalyId::RstAfterFin, 1_000, |c| {
        c.established().wait_ms(200).response(17).device_fin().ack().wait_ms(100).request(63).device_rst()
    });
}

#[test]
fn a_reset_says_which_segment_of_the_hosts_was_before_it() {
    let answers = |c: Conv| Look::for_ms(100).at(&c.device_rst()).0[0].answers;
    assert_eq!(answers(conv().established()), Some(Answered::Ack));
    assert_eq!(answers(conv().established().request(63)), Some(Answered::Payload));
    assert_eq!(answers(conv().established().request(63).fin()), Some(Answered::Fin));
}

#[test]
fn a_reset_that_answers_the_request_is_told_from_one_that_answers_the_fin_behind_it() {
    let c = conv().established().wait_ms(200).response(17).device_fin().ack().wait_ms(100).request(63).fin();
    let c = c.send_odd(FromDevice, Flags(0x14), 0, |s| s.ack = s.ack.wrapping_sub(1));
    let (seen, _) = Look::for_ms(100).at(&c);
    assert_eq!(
        seen.iter().map(|o| (o.id, o.answers)).collect::<Vec<_>>(),
        [(AnomalyId::RstAfterFin, Some(Answered::Payload))]
    );
}

#[test]
fn a_close_later_than_the_devices_patience_meets_a_reset_after_fin() {
    let c = conv().served().device_fin().ack().wait_ms(3_000).fin().device_rst();
    let (seen, _) = Look::for_ms(100).at(&c);
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].id, seen[0].shows), (AnomalyId::RstAfterFin, Unprompted));
    assert_eq!(seen[0].answers, Some(Answered::Fin));
    assert!(seen[0].after_fin_ns.unwrap() > 3_000_000_000);
}

#[test]
fn a_next_request_that_crosses_an_idle_close_provokes_the_reset() {
    let c = conv().served().wait_ms(60_000).request(63).send_odd(FromDevice, Flags(0x11), 0, |s| {
        s.ack = s.ack.wrapping_sub(63);
    });
    let c = c.send_odd(FromDevice, Flags::RST, 0, |s| s.seq = s.seq.wrapping_add(1));
    assert_eq!(told(&c, 100), [(AnomalyId::RstAfterFin, Prompted)]);
}

#[test]
fn a_host_that_sends_more_long_after_an_idle_close_provokes_the_reset() {
    let closed = || conv().served().wait_ms(6_000).device_fin().ack();
    assert_eq!(
        told(&closed().wait_ms(14_000).request(63).device_rst(), 100),
        [(AnomalyId::RstAfterFin, Prompted)]
    );
}

#[test]
fn a_first_request_that_crosses_the_close_does_not() {
    let c = conv().established().wait_ms(300).request(63).send_odd(FromDevice, Flags(0x11), 0, |s| {
        s.ack = s.ack.wrapping_sub(63);
    });
    let c = c.send_odd(FromDevice, Flags::RST, 0, |s| s.seq = s.seq.wrapping_add(1));
    assert!(faults(&c, 100).contains(&AnomalyId::RstAfterFin));
}

#[test]
fn a_reset_after_both_fins_were_acknowledged_is_late() {
    exactly(AnomalyId::LateRst, 500, |c| c.served().closed().device_rst());
    exactly(AnomalyId::LateRst, 500, |c| c.served().closed_by_device().device_rst());
}

#[test]
fn a_reset_that_answers_a_repeated_segment_is_the_paths() {
    let c = conv().served().fin().device_ack().device_fin().ack().again(FromHost).device_rst();
    assert_eq!(told(&c, 500), [(AnomalyId::LateRst, OnTheWay)]);
}

#[test]
fn a_reset_that_answers_the_acknowledgement_of_a_fin_that_came_twice_is_the_paths() {
    let c = conv().served().fin().device_fin().ack().wait_ms(1_500).again(FromDevice).ack().device_rst();
    assert!(faults(&c, 500).is_empty(), "{:?}", told(&c, 500));
    assert!(told(&c, 500).contains(&(AnomalyId::LateRst, OnTheWay)), "{:?}", told(&c, 500));
}

#[test]
fn a_reset_that_answers_a_fin_sent_again_is_the_paths_and_one_that_answers_the_first_is_not() {
    let closing = || conv().served().device_fin().ack().fin();
    assert_eq!(told(&closing().device_rst(), 500), [(AnomalyId::RstAfterFin, Unprompted)]);
    let again = closing().wait_ms(220).again(FromHost).device_rst();
    assert!(told(&again, 500).contains(&(AnomalyId::RstAfterFin, OnTheWay)), "{:?}", told(&again, 500));
    assert_eq!(faults(&again, 500), []);
}

#[test]
fn a_late_reset_on_a_path_that_copies_packets_is_the_paths() {
    let c = conv().established().request(63).response(17).copied(FromDevice).ack().closed().device_rst();
    assert_eq!(faults(&c, 500), []);
}

#[test]
fn the_third_reset_makes_a_storm() {
    let c = conv().served().device_rst().device_rst().device_rst().device_rst();
    assert_eq!(told(&c, 500), [(AnomalyId::AbortiveClose, Unprompted), (AnomalyId::RstStorm, Unprompted)]);
}

#[test]
fn copies_of_one_reset_are_no_storm() {
    let c = conv().served().device_rst().copied(FromDevice).copied(FromDevice).copied(FromDevice);
    assert_eq!(told(&c, 500), [(AnomalyId::AbortiveClose, Unprompted)]);
}

#[test]
fn three_resets_of_the_host_blame_nobody() {
    healthy(500, |c| c.served().rst().rst().rst());
}

/// Farther than any window of these reaches.
const FAR_AHEAD: u32 = 0x10_0000;

#[test]
fn a_reset_that_may_follow_payload_that_nobody_saw_is_not_judged_by_its_number() {
    let c = conv().served().send_odd(FromDevice, RST_ACK, 0, |s| s.seq = s.seq.wrapping_add(63));
    assert_eq!(faults(&c, 500), [AnomalyId::AbortiveClose]);
    // As a capture filter leaves it: SYN, FIN and RST.
    let mut filtered = conv().served().device_rst();
    filtered.packets.retain(|(_, s)| s.flags.0 & (Flags::SYN.0 | Flags::FIN.0 | Flags::RST.0) != 0);
    for c in [c, filtered] {
        let (seen, summary) = Look::for_ms(500).at(&c);
        assert!(!seen.iter().any(|o| o.id == AnomalyId::RstBadSeq), "{seen:?}");
        assert!(summary.not_judged.iter().any(|n| n.id == AnomalyId::RstBadSeq), "{:?}", summary.not_judged);
    }
}

#[test]
fn a_reset_at_neither_end_has_a_bad_number() {
    for odd in [FAR_AHEAD, 0_u32.wrapping_sub(1_000), 0x3000_0000] {
        let c = conv().served().send_odd(FromDevice, RST_ACK, 0, |s| s.seq = s.seq.wrapping_add(odd));
        assert_eq!(
            told(&c, 500),
            [(AnomalyId::AbortiveClose, Unprompted), (AnomalyId::RstBadSeq, Unprompted)]
        );
        let (mirrored, _) = Look::mirrored(500).at(&c);
        assert_eq!(mirrored, []);
    }
}

#[test]
fn a_reset_that_answers_the_segment_before_the_last_has_a_good_number() {
    let c = conv().established().request(63).response(17).ack().response(17).ack();
    let c = c.send_odd(FromDevice, Flags::RST, 0, |s| s.seq = s.seq.wrapping_sub(17));
    assert_eq!(told(&c, 500), [(AnomalyId::AbortiveClose, Unprompted)]);
}

#[test]
fn a_reset_behind_lost_segments_is_the_paths() {
    let c = conv().established().request(63).response(17).again(FromDevice).response(100).lost().device_rst();
    assert_eq!(faults(&c, 500), [AnomalyId::AbortiveClose]);
    let (seen, _) = Look::for_ms(500).at(&c);
    let bad = seen.iter().find(|o| o.id == AnomalyId::RstBadSeq).unwrap();
    assert!(bad.remark.is_some_and(|remark| remark.starts_with("the path loses packets")), "{bad:?}");
}

#[test]
fn a_reset_on_a_connection_that_began_before_the_capture_is_not_invented_a_name() {
    let mut c = conv().established().request(63).device_rst();
    c.packets.drain(..3);
    let (seen, summary) = Look::for_ms(100).at(&c);
    assert_eq!(seen, []);
    assert_eq!(summary.not_judged[0].id, AnomalyId::RstAfterHandshake);
}

#[test]
fn a_reset_in_a_capture_without_the_hosts_packets_has_no_bad_number_that_could_be_told() {
    let c = conv().served().send_odd(FromDevice, RST_ACK, 0, |s| s.seq = s.seq.wrapping_add(FAR_AHEAD));
    assert!(faults(&c, 500).contains(&AnomalyId::RstBadSeq));
    let mut half = c;
    half.packets.retain(|(_, s)| s.from == FromDevice);
    assert!(!faults(&half, 500).contains(&AnomalyId::RstBadSeq));
}

#[test]
fn what_the_device_sends_long_after_the_hosts_reset_shows_that_this_was_lost() {
    let figures = |c: &Conv| {
        let resets = Look::for_ms(500).at(c).1.resets;
        (resets.sent, resets.lost, resets.lost_at_once)
    };
    let probe = |c: Conv| c.send_odd(FromDevice, Flags::ACK, 0, |s| s.seq = s.seq.wrapping_sub(1));
    let reset = |port| conv().then_on(port).served().rst();
    assert_eq!(figures(&reset(1).wait_ms(10_000)), (1, 0, 0));
    assert_eq!(figures(&probe(reset(1).wait_ms(300))), (1, 0, 0), "it was on its way");
    assert_eq!(figures(&probe(reset(1).wait_ms(10_000))), (1, 1, 1));
    assert_eq!(figures(&probe(probe(reset(1).wait_ms(10_000)).rst().wait_ms(3_000))), (1, 1, 1), "told once");
    assert_eq!(figures(&reset(1).wait_ms(1_500).again(FromDevice)), (1, 1, 1), "a repeated answer as well");
    assert_eq!(figures(&conv().served().closed().wait_ms(5_000).again(FromDevice)), (0, 0, 0));
}

/// Requests and responses, one after the other without waiting, then the device's close.
fn busy(c: Conv, exchanges: u16) -> (Conv, Vec<u32>) {
    let mut c = c.established().request(10).device_ack();
    let mut acks = Vec::new();
    for _ in 0..exchanges {
        c = c.response(10).request(5);
        acks.extend(c.packets.last().map(|(_, s)| s.ack));
    }
    (c.device_fin(), acks)
}

#[test]
fn resets_that_answer_segments_sent_before_the_last_have_their_numbers_however_many_they_are() {
    for exchanges in [1, 8, 14, 40] {
        let (c, acks) = busy(conv(), exchanges);
        let c = acks.iter().fold(c, |c, ack| c.send_odd(FromDevice, Flags::RST, 0, |s| s.seq = *ack));
        assert!(!faults(&c, 500).contains(&AnomalyId::RstBadSeq), "{exchanges}");
    }
}

#[test]
fn a_number_that_the_host_never_acknowledged_is_bad_also_among_those_that_it_did() {
    let (c, acks) = busy(conv(), 8);
    let c = c.send_odd(FromDevice, Flags::RST, 0, |s| s.seq = acks[3] + 3);
    assert!(faults(&c, 500).contains(&AnomalyId::RstBadSeq));
}

#[test]
fn a_reset_behind_payload_that_nobody_saw_has_no_name() {
    let c = conv().established().request(63).response(17).lost().device_rst();
    let (seen, summary) = Look::for_ms(100).at(&c);
    assert!(!seen.iter().any(|o| o.id == AnomalyId::RstAfterHandshake), "{seen:?}");
    assert_eq!(summary.not_judged[0].id, AnomalyId::RstAfterHandshake);
}

#[test]
fn a_late_reset_after_the_hosts_own_is_provoked_whatever_else_may_explain_it() {
    let twice = conv().served().device_fin().wait_ms(300).again(FromDevice).ack().fin().device_ack();
    let late = |c: &Conv| told(c, 500).into_iter().rfind(|(id, _)| *id == AnomalyId::LateRst);
    assert_eq!(late(&twice.clone().device_rst()), Some((AnomalyId::LateRst, OnTheWay)));
    assert_eq!(late(&twice.rst().device_rst()), Some((AnomalyId::LateRst, Prompted)));
}

#[test]
fn a_path_that_copies_packets_explains_no_reset_long_after_the_hosts_last_acknowledgement() {
    let c = conv().established().request(63).response(17).copied(FromDevice).ack().closed();
    assert!(faults(&c.wait_ms(5_000).device_rst(), 500).contains(&AnomalyId::LateRst));
}

#[test]
fn a_reset_that_has_the_number_of_an_earlier_segment_answers_what_the_path_held_up_or_copied() {
    // The numbers of the handshake's last ACK, and of the host's FIN.
    for back in [18, 1] {
        let late = |c: Conv| c.send_odd(FromDevice, Flags::RST, 0, |s| s.seq = s.seq.wrapping_sub(back));
        let c = late(conv().served().closed().wait_ms(40));
        assert_eq!(told(&c, 500), [(AnomalyId::LateRst, OnTheWay)], "{back}");
        // More such copies are neither a storm nor another late RST; a FIN that comes then was sent before.
        let again = c.clone().send_odd(FromDevice, Flags(0x11), 0, |s| s.seq = s.seq.wrapping_sub(1));
        assert_eq!(faults(&late(late(late(again))), 500), [], "{back}");
    }
    exactly(AnomalyId::LateRst, 500, |c| c.served().closed().wait_ms(40).device_rst());
}

#[test]
fn on_a_path_that_lets_segments_overtake_each_other_a_late_reset_is_the_paths() {
    let c = conv().established().request(63).device_ack().response(17);
    let c =
        c.send_odd(FromDevice, Flags::ACK, 0, |s| s.ack = s.ack.wrapping_sub(63)).ack().closed_by_device();
    let c = c.device_rst();
    assert_eq!(faults(&c, 500), [], "{:?}", told(&c, 500));
    let c = c.wait_ms(20).device_rst().wait_ms(20).device_rst().wait_ms(20).device_rst();
    assert_eq!(faults(&c, 500), [], "{:?}", told(&c, 500));
}

#[test]
fn a_reset_to_what_the_host_says_to_a_copy_of_its_last_syn_is_the_paths() {
    let c = conv().served().closed().wait_ms(10).send_odd(FromDevice, SYN_ACK, 0, |s| {
        s.seq = s.seq.wrapping_add(7_590);
        s.ack = s.ack.wrapping_sub(64);
    });
    let c = c.ack().send_odd(FromDevice, Flags::RST, 0, |_| {});
    assert_eq!(told(&c, 500), [(AnomalyId::RstAfterHandshake, OnTheWay)]);
    let c = c.device_rst().device_rst();
    assert!(told(&c, 500).contains(&(AnomalyId::RstStorm, OnTheWay)), "{:?}", told(&c, 500));
    assert_eq!(faults(&c, 500), []);
}

#[test]
fn a_greeting_makes_the_request_that_crosses_a_close_no_next_request() {
    let greeted = conv().established().response(17).ack().wait_ms(300).request(63);
    let c = greeted.send_odd(FromDevice, Flags(0x11), 0, |s| s.ack = s.ack.wrapping_sub(63));
    let c = c.send_odd(FromDevice, Flags::RST, 0, |s| s.seq = s.seq.wrapping_add(1));
    assert_eq!(faults(&c, 100), [AnomalyId::RstAfterFin]);
}

#[test]
fn copies_of_a_reset_with_a_bad_number_are_one() {
    let c = conv().served().send_odd(FromDevice, RST_ACK, 0, |s| s.seq = s.seq.wrapping_add(FAR_AHEAD));
    let c = c.copied(FromDevice).copied(FromDevice);
    assert_eq!(faults(&c, 500), [AnomalyId::AbortiveClose, AnomalyId::RstBadSeq]);
}

#[test]
fn a_reset_that_crosses_the_hosts_own_shows_no_lost_one() {
    let c = conv().served().rst().device_rst();
    assert_eq!(Look::for_ms(500).at(&c).1.resets.lost, 0);
}
