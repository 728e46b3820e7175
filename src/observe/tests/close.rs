//! `closed_unserved`, `fin_retransmission`, `fin_duel`, `data_after_fin`, `half_closed_linger`.

use espstress_event::{AnomalyId, Direction, Shown};
use espstress_wire::Flags;

use super::support::{Conv, FIN_ACK, Look, MS, PSH_ACK, conv, exactly, faults, healthy, told};

use Direction::{FromDevice, FromHost};
use Shown::{OnTheWay, Unprompted};

#[test]
fn a_close_before_any_payload_is_unserved() {
    exactly(AnomalyId::ClosedUnserved, 500, |c| c.established().request(63).device_fin().ack());
}

#[test]
fn a_close_in_answer_to_the_hosts_is_well() {
    healthy(6_000, |c| c.established().closed());
}

#[test]
fn a_close_after_service_is_well_whoever_is_first() {
    healthy(6_000, |c| c.served().closed());
    healthy(6_000, |c| c.served().closed_by_device());
}

#[test]
fn a_simultaneous_close_is_well() {
    healthy(6_000, |c| {
        c.served()
            .send(FromHost, FIN_ACK, 0)
            .send_odd(FromDevice, FIN_ACK, 0, |s| s.ack = s.ack.wrapping_sub(1))
            .send_odd(FromHost, Flags::ACK, 0, |s| s.ack = s.ack.wrapping_add(1))
            .send_odd(FromDevice, Flags::ACK, 0, |s| s.seq = s.seq.wrapping_add(1))
    });
}

#[test]
fn a_response_that_carries_the_fin_is_well() {
    healthy(6_000, |c| c.established().request(63).send(FromDevice, FIN_ACK, 17).ack().fin().device_ack());
}

#[test]
fn payload_that_the_capture_missed_is_service_all_the_same() {
    healthy(500, |c| c.established().request(63).response(17).lost().device_fin().ack());
}

#[test]
fn a_fin_again_by_a_device_that_has_the_hosts_ack_is_the_devices() {
    exactly(AnomalyId::FinRetransmission, 500, |c| {
        c.served().device_fin().ack().fin().device_ack().wait_ms(300).send_odd(FromDevice, FIN_ACK, 0, |s| {
            s.seq = s.seq.wrapping_sub(1);
        })
    });
}

#[test]
fn a_fin_again_at_once_is_the_devices() {
    // Four milliseconds there and back: the repetition comes six after the FIN.
    exactly(AnomalyId::FinRetransmission, 500, |c| {
        let c = c.syn().wait_ms(3).syn_ack().ack().request(63).wait_ms(3).response(17).ack();
        c.device_fin().ack().wait_ms(4).again(FromDevice)
    });
}

#[test]
fn a_fin_again_after_each_back_off_is_the_paths() {
    let c = conv().served().fin().device_ack().device_fin().ack();
    let c = c.wait_ms(300).again(FromDevice).ack().wait_ms(600).again(FromDevice).ack();
    let seen = told(&c, 500);
    assert_eq!(seen, [(AnomalyId::FinRetransmission, OnTheWay); 2]);
}

#[test]
fn a_fin_again_that_the_host_has_not_acknowledged_is_not_the_devices() {
    healthy(500, |c| c.served().device_fin().wait_ms(300).again(FromDevice));
}

#[test]
fn a_fin_again_that_crossed_the_hosts_ack_is_not_the_devices() {
    // 50 ms there and back; the repetition comes a millisecond after the ACK, and 300 ms after the FIN.
    healthy(500, |c| {
        let c = c.syn().wait_ms(50).syn_ack().ack().request(63).wait_ms(50).response(17).ack();
        c.device_fin().wait_ms(300).ack().again(FromDevice)
    });
    exactly(AnomalyId::FinRetransmission, 500, |c| {
        let c = c.syn().wait_ms(50).syn_ack().ack().request(63).wait_ms(50).response(17).ack();
        c.device_fin().wait_ms(10).ack().wait_ms(55).again(FromDevice)
    });
}

#[test]
fn a_fin_again_as_a_probe_of_the_tail_is_not_the_devices_once() {
    let c = conv().served().device_fin().ack().wait_ms(5).again(FromDevice);
    assert_eq!(told(&c.clone(), 500), [(AnomalyId::FinRetransmission, OnTheWay)]);
    let seen = told(&c.ack().wait_ms(5).again(FromDevice), 500);
    assert_eq!(seen, [(AnomalyId::FinRetransmission, OnTheWay), (AnomalyId::FinRetransmission, Unprompted)]);
}

#[test]
fn a_fin_copied_by_the_path_is_the_paths() {
    let c = conv().served().device_fin().ack().copied(FromDevice);
    assert_eq!(told(&c, 500), [(AnomalyId::FinRetransmission, OnTheWay)]);
}

fn duel(mut c: Conv) -> Conv {
    c = c.served().closed();
    for _ in 0..3 {
        c = c.send_odd(FromDevice, Flags::ACK, 0, |s| s.seq = s.seq.wrapping_sub(2)).ack();
    }
    c
}

#[test]
fn three_segments_after_both_fins_that_the_host_has_to_answer_are_a_duel() {
    exactly(AnomalyId::FinDuel, 500, |c| duel(c.established().request(63).response(17).ack()).clone());
}

#[test]
fn repeated_fins_that_are_answered_at_once_are_a_duel_too() {
    let mut c = conv().served().closed();
    for _ in 0..4 {
        c = c.send_odd(FromDevice, FIN_ACK, 0, |s| s.seq = s.seq.wrapping_sub(1)).ack();
    }
    assert!(faults(&c, 500).contains(&AnomalyId::FinDuel));
}

#[test]
fn a_lost_last_ack_makes_no_duel() {
    let mut c = conv().served().fin().device_ack().device_fin().ack();
    for n in 1..5 {
        c = c.wait_ms(1_500 << n).again(FromDevice).ack();
    }
    assert!(!faults(&c, 500).contains(&AnomalyId::FinDuel));
}

#[test]
fn payload_beyond_the_devices_own_fin_is_a_fault() {
    exactly(AnomalyId::DataAfterFin, 500, |c| c.served().device_fin().response(10));
}

#[test]
fn payload_below_the_fin_again_is_not() {
    let c = conv().served().response(17).device_fin().ack();
    let c = c.send_odd(FromDevice, PSH_ACK, 17, |s| s.seq = s.seq.wrapping_sub(18));
    assert_eq!(told(&c, 500), [(AnomalyId::Retransmission, OnTheWay)]);
}

#[test]
fn a_device_that_never_closes_after_the_host_lingers() {
    exactly(AnomalyId::HalfClosedLinger, 6_000, |c| c.served().fin().device_ack());
}

#[test]
fn a_download_after_the_hosts_half_close_does_not_linger() {
    healthy(4_000, |mut c| {
        c = c.established().request(63).fin().device_ack();
        for _ in 0..10 {
            c = c.wait_ms(2_000).response(500).ack();
        }
        c
    });
}

#[test]
fn a_watch_shorter_than_the_lingering_says_that_it_could_not_tell() {
    let (seen, summary) = Look::for_ms(3_000).at(&conv().served().fin().device_ack());
    assert_eq!(seen, []);
    assert_eq!(summary.not_judged.iter().map(|n| n.id).collect::<Vec<_>>(), [AnomalyId::HalfClosedLinger]);
}

#[test]
fn a_device_that_cannot_send_because_the_hosts_window_is_shut_is_not_blamed() {
    healthy(6_000, |c| c.established().request(63).response(17).host_window(0).fin().device_ack());
}

#[test]
fn the_duel_is_told_once() {
    let c = duel(conv()).send_odd(FromDevice, Flags::ACK, 0, |s| s.seq = s.seq.wrapping_sub(2)).ack();
    let duels = told(&c, 500).into_iter().filter(|t| *t == (AnomalyId::FinDuel, Unprompted)).count();
    assert_eq!(duels, 1);
    let _ = FromHost;
}

#[test]
fn before_both_fins_nothing_is_a_duel() {
    let answered =
        |c: Conv, _| c.send_odd(FromDevice, Flags::ACK, 0, |s| s.seq = s.seq.wrapping_sub(2)).ack();
    let duels =
        |c: Conv| told(&(0..4).fold(c, answered), 500).iter().any(|(id, _)| *id == AnomalyId::FinDuel);
    assert!(!duels(conv().served().device_fin().ack()) && duels(conv().served().closed()));
}

#[test]
fn resets_are_answers_in_a_duel_as_well() {
    let mut c = conv().served().closed();
    for _ in 0..4 {
        c = c.send_odd(FromDevice, FIN_ACK, 0, |s| s.seq = s.seq.wrapping_sub(1)).rst();
    }
    assert!(told(&c, 500).iter().any(|(id, _)| *id == AnomalyId::FinDuel), "{:?}", told(&c, 500));
}

/// A conversation on a path that loses: the device had to send its response again.
fn on_a_losing_path(c: Conv) -> Conv {
    c.established().request(63).response(17).wait_ms(1_500).again(FromDevice).ack().closed()
}

fn lingering(c: Conv, port: u16) -> Conv {
    c.then_on(port).served().fin().device_ack()
}

#[test]
fn three_silences_after_the_hosts_fin_are_the_devices_on_any_path() {
    let c = (50_001..=50_003).fold(on_a_losing_path(conv()), lingering);
    assert_eq!(faults(&c, 6_000), [AnomalyId::HalfClosedLinger; 3]);
}

/// Both close at once, and each sends its FIN again with the acknowledgement of the other's.
fn closed_at_once_with_fins(c: Conv) -> Conv {
    c.served()
        .send(FromHost, FIN_ACK, 0)
        .send(FromDevice, FIN_ACK, 0)
        .packets_changed(|s| s.ack = s.ack.wrapping_sub(1))
        .send_odd(FromHost, FIN_ACK, 0, |s| s.seq = s.seq.wrapping_sub(1))
        .send_odd(FromDevice, FIN_ACK, 0, |s| s.seq = s.seq.wrapping_sub(1))
        .ack()
}

#[test]
fn a_fin_that_acknowledges_the_other_after_both_closed_at_once_is_well() {
    healthy(6_000, closed_at_once_with_fins);
    assert_eq!(told(&closed_at_once_with_fins(conv()), 6_000), []);
}

#[test]
fn the_same_fin_once_more_is_none_of_that() {
    let c =
        closed_at_once_with_fins(conv()).send_odd(FromDevice, FIN_ACK, 0, |s| s.seq = s.seq.wrapping_sub(1));
    assert_eq!(told(&c, 500), [(AnomalyId::FinRetransmission, Unprompted)]);
}

/// The FINs of the device that came again, in order.
fn fins_again(c: &Conv) -> Vec<Shown> {
    let again = told(c, 500).into_iter().filter(|(id, _)| *id == AnomalyId::FinRetransmission);
    again.map(|(_, shows)| shows).collect()
}

#[test]
fn a_fin_again_without_what_came_behind_its_acknowledgement_is_not_the_devices() {
    let c = conv().served().device_fin().fin().wait_ms(300).again(FromDevice);
    assert_eq!(fins_again(&c), [OnTheWay], "the host's FIN, and what it acknowledged, may have been lost");
}

#[test]
fn a_fin_comes_again_after_no_less_than_half_of_the_time_before() {
    let acked = |ms| conv().served().device_fin().ack().wait_ms(1_500).again(FromDevice).ack().wait_ms(ms);
    let unacked = |ms| conv().served().device_fin().wait_ms(1_500).again(FromDevice).wait_ms(ms);
    assert_eq!(fins_again(&acked(752).again(FromDevice)), [OnTheWay, OnTheWay]);
    assert_eq!(fins_again(&acked(700).again(FromDevice)), [OnTheWay, Unprompted]);
    assert_eq!(fins_again(&unacked(752).again(FromDevice)), [OnTheWay, OnTheWay]);
    assert_eq!(fins_again(&unacked(700).again(FromDevice)), [OnTheWay, Unprompted]);
}

#[test]
fn a_fin_again_within_a_round_trip_of_its_acknowledgement_is_not_the_devices() {
    let c = conv().syn().wait_ms(50).syn_ack().ack().request(63).wait_ms(50).response(17).ack();
    let c = c.device_fin().wait_ms(10).ack().wait_ms(30).again(FromDevice);
    assert_eq!(fins_again(&c), [OnTheWay]);
}

#[test]
fn the_wait_for_a_close_begins_with_the_devices_acknowledgement_and_is_judged_once() {
    let closing = || conv().served().fin().device_ack();
    let later = closing().wait_ms(3_000).ack();
    assert_eq!(faults(&later, 2_500), [AnomalyId::HalfClosedLinger], "what the host sends prolongs nothing");
    let acknowledged = closing().wait_ms(3_000).device_ack();
    assert_eq!(faults(&acknowledged, 2_500), [AnomalyId::HalfClosedLinger], "nor does an empty word");
    let on_and_on = (0..3).fold(closing(), |c, _| c.wait_ms(6_000).device_ack());
    assert_eq!(faults(&on_and_on, 6_000), [AnomalyId::HalfClosedLinger]);
}

#[test]
fn a_connection_that_lingers_and_ends_after_all_is_counted() {
    let ends = |c: Conv| {
        let late = Look::for_ms(500).at(&c).1.late_ends;
        (late.count, late.longest_ns / (1_000 * MS))
    };
    let lingers = || conv().established().request(63).response(17).ack().fin().device_ack();
    assert_eq!(ends(lingers().wait_ms(7_000).device_fin().ack()), (1, 7));
    assert_eq!(ends(lingers().wait_ms(7_000).device_rst()), (1, 7));
    assert_eq!(ends(lingers().wait_ms(3_000).device_fin().ack()), (0, 0));
    assert_eq!(ends(lingers().wait_ms(7_000)), (0, 0));
}

/// On ports used before, and numbers that follow those of the connection before, as Linux gives them.
#[test]
fn a_connection_whose_handshake_is_missing_is_no_data_after_the_fin_of_the_one_before() {
    let mut next = conv().served().closed();
    let before = next.packets.len();
    next = next.skipped(65_000, 2_000).served().closed();
    // Also where the ACK of the handshake is missing.
    for missing in [2, 3] {
        let mut c = next.clone();
        c.packets.drain(before..before + missing);
        assert_eq!(faults(&c, 500), [], "{c:#?}");
        assert_eq!(Look::for_ms(500).at(&c).1.incomplete, 1, "{c:#?}");
    }
}
