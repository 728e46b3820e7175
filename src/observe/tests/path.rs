//! `retransmission`, `duplicate_ack`, `out_of_order`: both directions, the device's only where no link explains it.

use espstress_event::{AnomalyId, Direction, Shown};
use espstress_wire::Flags;

use super::support::{Conv, FIN_ACK, Look, PSH_ACK, Seg, conv, ids, numberings, told};

const FIN_PSH_ACK: Flags = FIN_ACK.and(Flags::PSH);

use Direction::{FromDevice, FromHost};
use Shown::OnTheWay;

/// The story shows that, once, of class path, and nothing else, whichever end is the device.
fn path_only(id: AnomalyId, story: impl Fn(Conv) -> Conv) {
    for start in numberings() {
        let c = story(start);
        assert_eq!(told(&c, 500), [(id, OnTheWay)], "{c:#?}");
        let (mirrored, _) = Look::mirrored(500).at(&c);
        assert!(mirrored.iter().all(|o| o.id == id && o.shows == OnTheWay), "{mirrored:#?}");
    }
}

#[test]
fn payload_seen_before_is_a_retransmission() {
    path_only(AnomalyId::Retransmission, |c| c.served().response(100).ack().wait_ms(300).again(FromDevice));
    path_only(AnomalyId::Retransmission, |c| {
        c.served()
            .request(100)
            .wait_ms(300)
            .send_odd(FromHost, PSH_ACK, 100, |s| {
                s.seq = s.seq.wrapping_sub(100);
            })
            .device_ack()
    });
}

#[test]
fn payload_that_comes_late_into_a_hole_is_a_retransmission() {
    path_only(AnomalyId::Retransmission, |c| {
        c.served().response(100).lost().response(100).wait_ms(300).send_odd(FromDevice, PSH_ACK, 100, |s| {
            s.seq = s.seq.wrapping_sub(200);
        })
    });
}

#[test]
fn part_of_a_merged_segment_again_is_a_retransmission() {
    path_only(AnomalyId::Retransmission, |c| {
        c.served().response(4_000).wait_ms(300).send_odd(FromDevice, PSH_ACK, 1_440, |s| {
            s.seq = s.seq.wrapping_sub(4_000);
        })
    });
}

#[test]
fn probes_syns_and_fins_are_no_retransmissions() {
    let c = conv()
        .syn()
        .wait_ms(1_000)
        .again(FromHost)
        .syn_ack()
        .again(FromDevice)
        .ack()
        .request(63)
        .response(17)
        .ack();
    let c = c.wait_ms(9_000).send_odd(FromDevice, Flags::ACK, 1, |s| s.seq = s.seq.wrapping_sub(1)).ack();
    let c = c.wait_ms(9_000).send_odd(FromDevice, Flags::ACK, 0, |s| s.seq = s.seq.wrapping_sub(1)).ack();
    assert_eq!(told(&c, 500), []);
}

#[test]
fn window_probes_are_no_retransmissions_nor_is_the_segment_that_follows_them() {
    let mut c = conv().served().device_window(0).device_ack();
    for _ in 0..2 {
        c = c.wait_ms(250).send_odd(FromHost, PSH_ACK, 1, |_| {}).device_ack();
    }
    c = c.device_window(5_744).device_ack().request(100).device_ack();
    assert_eq!(told(&c, 500), []);
}

#[test]
fn a_segment_that_was_overtaken_is_out_of_order() {
    path_only(AnomalyId::OutOfOrder, |c| {
        c.served().response(100).lost().response(100).send_odd(FromDevice, PSH_ACK, 100, |s| {
            s.seq = s.seq.wrapping_sub(200);
        })
    });
}

#[test]
fn the_same_ack_again_while_data_is_outstanding_is_a_duplicate() {
    path_only(AnomalyId::DuplicateAck, |c| {
        let c = c.served().device_ack();
        let c = c.request(100).request(100);
        c.send_odd(FromDevice, Flags::ACK, 0, |s| s.ack = s.ack.wrapping_sub(200))
    });
}

#[test]
fn a_window_update_is_no_duplicate_ack() {
    let c = conv().served().device_ack().request(100).device_window(4_000);
    let c = c.send_odd(FromDevice, Flags::ACK, 0, |s| s.ack = s.ack.wrapping_sub(100));
    assert_eq!(told(&c, 500), []);
}

#[test]
fn the_answer_to_a_probe_is_no_duplicate_ack() {
    let c = conv().served().device_ack().response(50);
    let c = c.wait_ms(9_000).send_odd(FromDevice, Flags::ACK, 0, |s| s.seq = s.seq.wrapping_sub(1));
    let c = c.send_odd(FromHost, Flags::ACK, 0, |s| s.ack = s.ack.wrapping_sub(50));
    assert_eq!(told(&c, 500), []);
}

#[test]
fn an_ack_with_nothing_outstanding_is_no_duplicate() {
    assert_eq!(told(&conv().served().ack().ack().device_ack().device_ack(), 500), []);
}

#[test]
fn the_figures_say_what_each_direction_suffered() {
    let c = conv().served().response(100).ack().wait_ms(300).again(FromDevice).request(10).device_ack();
    let (_, summary) = Look::for_ms(500).at(&c);
    assert_eq!(summary.from_device.retransmissions, 1);
    assert_eq!(summary.from_host.retransmissions, 0);
    assert_eq!((summary.from_device.data_segments, summary.from_host.data_segments), (3, 2));
}

#[test]
fn a_repetition_that_is_acknowledged_at_once_and_with_nothing_else_met_what_had_arrived() {
    let repeated = || conv().served().request(100).wait_ms(210).again(FromHost);
    let early = |c: &Conv| Look::for_ms(500).at(c).1.from_host.repeated_early;
    assert_eq!(early(&repeated().device_ack()), 1);
    assert_eq!(early(&repeated().wait_ms(150).device_ack()), 0, "a delayed acknowledgement");
    assert_eq!(early(&repeated().response(100)), 0, "an answer");
    assert_eq!(early(&repeated().wait_ms(420).again(FromHost).device_ack()), 0, "the second repetition");
    assert_eq!(early(&conv().served().request(100).wait_ms(210).device_ack()), 0, "nothing was repeated");
}

#[test]
fn the_acknowledgement_of_a_fin_does_not_say_that_a_repetition_met_what_had_arrived() {
    let early = |c: &Conv| Look::for_ms(500).at(c).1.from_host.repeated_early;
    // The host's system puts the FIN that it had sent behind the request into the same segment.
    let again = |s: &mut Seg| s.seq = s.seq.wrapping_sub(101);
    let repeated =
        || conv().served().request(100).fin().wait_ms(210).send_odd(FromHost, FIN_PSH_ACK, 100, again);
    assert_eq!(early(&repeated().device_ack()), 0, "FINs are acknowledged at once");
    let answer_lost = repeated().response(90).lost().device_ack();
    assert_eq!(early(&answer_lost), 1, "its number shows that the request had been answered");
}

#[test]
fn an_ack_that_is_ahead_of_what_came_shows_that_payload_before_it_was_lost() {
    let lost =
        |c: Conv| c.served().request(100).response(90).lost().wait_ms(210).again(FromHost).device_ack();
    let filled = |c: Conv, ms: i64| {
        c.wait_ms(ms).send_odd(FromDevice, PSH_ACK, 90, |s| s.seq = s.seq.wrapping_sub(90)).ack()
    };
    let figures = |c: &Conv| {
        let from = Look::for_ms(500).at(c).1.from_device;
        (from.late_fills, from.out_of_order)
    };
    for start in numberings() {
        assert_eq!(figures(&filled(lost(start.clone()), 1_000)), (1, 0));
        assert_eq!(figures(&filled(lost(start), 1)), (0, 1), "overtaken by the ACK");
    }
}

#[test]
fn an_ack_behind_a_lost_fin_shows_no_lost_payload() {
    let c = conv().served().fin().device_ack().device_fin().lost().wait_ms(300).again(FromHost).device_ack();
    let c = c.wait_ms(1_000).send_odd(FromDevice, FIN_ACK, 0, |s| s.seq = s.seq.wrapping_sub(1)).ack();
    let (seen, summary) = Look::for_ms(2_000).at(&c);
    assert_eq!(ids(&seen), []);
    assert_eq!((summary.from_device.late_fills, summary.incomplete), (0, 0));
}

/// A round trip is 40 ms, and a response is there and acknowledged.
fn answered_at_40_ms(c: Conv) -> Conv {
    c.syn().wait_ms(40).syn_ack().ack().request(63).wait_ms(40).device_ack().response(17).ack()
}

#[test]
fn payload_again_sooner_than_a_round_trip_although_acknowledged_is_the_devices() {
    for start in numberings() {
        let c = answered_at_40_ms(start).wait_ms(20).again(FromDevice);
        let (seen, summary) = Look::for_ms(500).at(&c);
        assert_eq!(ids(&seen), [(AnomalyId::Retransmission, Shown::Unprompted)]);
        assert!(seen[0].remark.is_some_and(|r| r.starts_with("spurious")));
        assert_eq!((summary.from_device.spurious, summary.from_device.retransmissions), (1, 0));
        let (mirrored, _) = Look::mirrored(500).at(&c);
        assert!(mirrored.iter().all(|o| o.shows == OnTheWay), "{mirrored:#?}");
    }
}

#[test]
fn an_answer_was_held_up_if_it_comes_later_than_one_and_a_half_round_trips_and_a_tenth_of_a_second() {
    let again = |after_ms: i64| {
        let c = conv().syn().wait_ms(400).syn_ack().ack().request(63).wait_ms(after_ms).response(17);
        told(&c.ack().wait_ms(20).again(FromDevice), 500)
    };
    assert_eq!(again(700), [(AnomalyId::Retransmission, Shown::Unprompted)]);
    assert_eq!(again(701), [(AnomalyId::Retransmission, OnTheWay)], "its repetition may have waited with it");
}

#[test]
fn the_hosts_payload_under_the_same_numbers_is_no_first_copy_of_the_devices() {
    // What was held up has no first time, and the host's request, from the same number on, gives it none.
    let asked = || Conv::with_isns(5_000, 5_000).syn().wait_ms(40).syn_ack().ack();
    let greeted = asked().wait_ms(2_000).response(17).ack().wait_ms(40).device_ack().request(63);
    let again = greeted.send_odd(FromDevice, PSH_ACK, 17, |s| s.seq = 5_001);
    assert_eq!(told(&again, 500), [(AnomalyId::Retransmission, OnTheWay)]);
    // Nor does it show that a copy without identification is another packet.
    let answered = asked().request(63).wait_ms(40).device_ack().response(17).packets_changed(|s| s.ip_id = 0);
    let copied = answered.ack().wait_ms(20).copied(FromDevice);
    assert_eq!(told(&copied, 500), [(AnomalyId::Retransmission, OnTheWay)]);
}

#[test]
fn payload_again_that_a_link_may_explain_is_the_paths() {
    let path =
        |what: &str, c: Conv| assert_eq!(told(&c, 500), [(AnomalyId::Retransmission, OnTheWay)], "{what}");
    path("later than a round trip", answered_at_40_ms(conv()).wait_ms(60).again(FromDevice));
    assert_eq!(
        told(&answered_at_40_ms(conv()).wait_ms(20).copied(FromDevice), 500),
        [],
        "the path copied it"
    );
    let asked = conv().syn().wait_ms(40).syn_ack().ack().request(63).wait_ms(40).device_ack();
    path("not acknowledged", asked.clone().response(17).wait_ms(20).again(FromDevice));
    path("held up with its first copy", asked.wait_ms(2_000).response(17).ack().again(FromDevice));
    let no_id = |c: Conv| c.packets_changed(|s| s.ip_id = 0);
    let response = no_id(answered_at_40_ms(conv()).response(17)).ack().wait_ms(20);
    path("no identification, and the same in everything", response.copied(FromDevice));
}
