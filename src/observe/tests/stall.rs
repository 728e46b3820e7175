//! `no_ack_to_data`, `zero_window_stall`.

use espstress_event::{AnomalyId, Direction, Shown};
use espstress_wire::Flags;

use super::support::{Conv, Look, RST_ACK, conv, faults, healthy, told};

use Direction::{FromDevice, FromHost};

fn repeated(c: Conv, times: u32) -> Conv {
    (0..times).fold(c.served().request(200), |c, n| c.wait_ms(200 << n).again(FromHost))
}

fn no_ack(c: &Conv) -> bool {
    faults(c, 500).contains(&AnomalyId::NoAckToData)
}

#[test]
fn payload_sent_again_three_times_and_never_acknowledged_is_the_devices() {
    let c = repeated(conv(), 3);
    assert!(no_ack(&c));
    assert_eq!(faults(&c, 500), [AnomalyId::NoAckToData]);
    let (mirrored, _) = Look::mirrored(500).at(&c);
    assert!(mirrored.iter().all(|o| o.shows == Shown::OnTheWay));
}

#[test]
fn payload_acknowledged_at_last_is_not() {
    healthy(500, |c| repeated(c, 5).device_ack());
}

#[test]
fn payload_sent_again_twice_cannot_be_told() {
    let (seen, summary) = Look::for_ms(500).at(&repeated(conv(), 2));
    assert!(seen.iter().all(|o| o.id == AnomalyId::Retransmission));
    assert_eq!(summary.not_judged[0].id, AnomalyId::NoAckToData);
}

#[test]
fn payload_answered_by_a_reset_is_answered() {
    assert!(!no_ack(&repeated(conv(), 4).device_rst()));
}

#[test]
fn keep_alive_probes_of_the_host_are_no_payload() {
    healthy(500, |mut c| {
        c = c.served();
        for _ in 0..5 {
            c = c.wait_ms(1_000).send_odd(FromHost, Flags::ACK, 1, |s| s.seq = s.seq.wrapping_sub(1));
        }
        c
    });
}

fn shut(c: Conv) -> Conv {
    c.served().request(500).device_window(0).device_ack()
}

#[test]
fn a_window_shut_for_more_than_a_second_is_a_stall() {
    super::support::exactly(AnomalyId::ZeroWindowStall, 1_500, shut);
}

#[test]
fn a_window_that_opens_in_time_is_not() {
    healthy(5_000, |c| shut(c).wait_ms(800).device_window(5_744).device_ack());
}

#[test]
fn an_old_acknowledgement_that_comes_late_shuts_no_window() {
    healthy(3_000, |c| {
        c.served().request(500).device_ack().send_odd(FromDevice, Flags::ACK, 0, |s| {
            (s.ack, s.window) = (s.ack.wrapping_sub(500), 0);
        })
    });
}

#[test]
fn a_window_opened_by_an_answer_to_a_probe_is_not() {
    healthy(5_000, |c| {
        shut(c)
            .wait_ms(200)
            .send_odd(FromHost, Flags::ACK, 0, |s| s.seq = s.seq.wrapping_sub(1))
            .device_ack()
            .wait_ms(400)
            .send_odd(FromHost, Flags::ACK, 0, |s| s.seq = s.seq.wrapping_sub(1))
            .device_window(1_440)
            .device_ack()
    });
}

#[test]
fn the_window_of_a_reset_or_a_syn_ack_says_nothing() {
    let reset = conv().served().send_odd(FromDevice, RST_ACK, 0, |s| s.window = 0);
    assert_eq!(told(&reset, 900), [(AnomalyId::AbortiveClose, Shown::Unprompted)]);
    healthy(5_000, |c| c.syn().device_window(0).syn_ack().device_window(5_744).ack());
}

#[test]
fn a_shut_window_after_the_hosts_fin_was_acknowledged_matters_no_more() {
    healthy(4_000, |c| c.served().fin().device_window(0).device_ack());
}

#[test]
fn a_stall_is_told_when_its_time_has_passed_without_a_packet() {
    let (seen, _) = Look::for_ms(1_000).at(&shut(conv()));
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].lasted_ns, 1_000_000_000);
    let (none, summary) = Look::for_ms(999).at(&shut(conv()));
    assert_eq!(none, []);
    assert_eq!(summary.not_judged[0].id, AnomalyId::ZeroWindowStall);
}

#[test]
fn a_window_shut_again_is_a_second_stall() {
    let c = shut(conv()).wait_ms(2_000).device_window(100).device_ack();
    let c = c.request(100).device_window(0).device_ack();
    assert_eq!(faults(&c, 2_000), [AnomalyId::ZeroWindowStall; 2]);
}

#[test]
fn a_stall_has_its_whole_length_however_it_ends() {
    let lasted = |c: &Conv, watch| {
        let (seen, _) = Look::for_ms(watch).at(c);
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!((seen[0].id, seen[0].shows), (AnomalyId::ZeroWindowStall, Shown::Unprompted));
        seen[0].lasted_ns / 1_000_000
    };
    assert_eq!(lasted(&shut(conv()), 23_000), 23_000, "at the end of the capture");
    assert_eq!(
        lasted(&shut(conv()).wait_ms(23_000).device_window(5_744).device_ack(), 10),
        23_000,
        "it opens"
    );
    assert_eq!(lasted(&shut(conv()).wait_ms(23_000).rst(), 10), 23_000, "the host gives up");
}
