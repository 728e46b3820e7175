//! The remarks beside occurrences, and the moments at which one reading gives way to another.

use espstress_event::{AnomalyId, Direction, Occurrence, Shown};
use espstress_wire::Flags;

use super::support::{Conv, Look, PSH_ACK, conv, ids, told};

use AnomalyId::{
    ChallengeAck, DialCollision, FinDuel, FinRetransmission, LateRst, NoAckToData, OutOfOrder,
    PostRunChatter, Retransmission, RstAfterFin, TimewaitCollision, ZeroWindowStall,
};
use Direction::{FromDevice, FromHost};
use Shown::{OnTheWay, Prompted, Unprompted};

fn seen(c: &Conv) -> Vec<Occurrence> {
    Look::for_ms(500).at(c).0
}

/// The last occurrence, and its remark.
fn last(c: &Conv) -> (AnomalyId, Shown, &'static str) {
    let last = seen(c).pop().unwrap();
    (last.id, last.shows, last.remark.unwrap_or_default())
}

/// The same of the last one that comes after the end.
fn chatter(c: &Conv) -> (Shown, &'static str) {
    let chatter = seen(c).into_iter().rfind(|o| o.id == PostRunChatter).unwrap();
    (chatter.shows, chatter.remark.unwrap_or_default())
}

fn stray_ack(c: Conv) -> Conv {
    c.send_odd(FromDevice, Flags::ACK, 0, |s| s.ack = s.ack.wrapping_sub(0x2000_0000))
}

#[test]
fn a_fin_that_comes_again_says_why_it_may_have() {
    let fin = || conv().served().device_fin();
    let of = |c: Conv, shows, remark| assert_eq!(last(&c), (FinRetransmission, shows, remark));
    of(fin().ack().copied(FromDevice), OnTheWay, "a copy made by the path");
    of(fin().wait_ms(300).again(FromDevice), OnTheWay, "the host had not acknowledged it, or only just");
    let lost = "the host's acknowledgement may have been lost";
    of(fin().ack().wait_ms(300).again(FromDevice), OnTheWay, lost);
    let again = |c: Conv, n: u32| c.wait_ms(1_500 << n).again(FromDevice);
    let silent = "the host had left the device's probes or repetitions unanswered";
    of((0..4).fold(fin(), again), Prompted, silent);
}

#[test]
fn a_late_reset_says_what_it_may_answer() {
    let twice = conv().served().fin().device_ack().device_fin().wait_ms(300).again(FromDevice).ack();
    let remark = "answers an acknowledgement of the device's FIN, which came twice";
    assert_eq!(last(&twice.device_rst()), (LateRst, OnTheWay, remark));
    assert_eq!(last(&conv().served().closed().device_rst()), (LateRst, Unprompted, ""));
}

#[test]
fn a_request_after_an_idle_close_either_crossed_it_or_ignored_it() {
    let crossed = conv().served().wait_ms(60_000).request(63);
    let crossed = crossed.send_odd(FromDevice, Flags(0x11), 0, |s| s.ack = s.ack.wrapping_sub(63));
    let crossed = crossed.send_odd(FromDevice, Flags::RST, 0, |s| s.seq = s.seq.wrapping_add(1));
    let remark = "the host's next request crossed the device's idle close";
    assert_eq!(last(&crossed), (RstAfterFin, Prompted, remark));
    let ignored = conv().served().wait_ms(6_000).device_fin().ack().wait_ms(14_000).request(63).device_rst();
    let remark = "the host sent more though the device had closed the idle connection";
    assert_eq!(last(&ignored), (RstAfterFin, Prompted, remark));
}

#[test]
fn what_comes_after_the_end_says_what_may_have_been_lost() {
    let fin = conv().served().fin().device_ack().device_fin().ack().wait_ms(1_500).again(FromDevice);
    let remark = "the host's last acknowledgement may have been lost";
    assert_eq!(chatter(&fin), (OnTheWay, remark));
    let reset = conv().served().response(10).rst().wait_ms(1_500).again(FromDevice);
    assert_eq!(chatter(&reset), (Prompted, "the host had reset the connection"));
}

#[test]
fn a_device_that_heeds_no_reset_of_three_has_nothing_to_be_excused_by() {
    let again = |c: Conv, _| c.rst().wait_ms(1_500).again(FromDevice);
    let shown = |resets: u32| chatter(&(0..resets).fold(conv().served().response(10), again)).0;
    assert_eq!((shown(1), shown(2), shown(3)), (Prompted, Prompted, Unprompted));
}

#[test]
fn a_collision_says_how_sure_it_is() {
    let host_first = stray_ack(conv().served().closed().reopened().syn());
    let remark = "suspected: the previous connection ended with the host's FIN first";
    assert_eq!(last(&host_first), (TimewaitCollision, Unprompted, remark));
    let reset = stray_ack(conv().served().device_rst().reopened().syn());
    assert_eq!(last(&reset).2, "suspected: the previous connection ended with a RST");
    let live = stray_ack(conv().served().reopened().syn());
    let remark =
        "may have been provoked: the host opened anew on the ports of a connection that had not ended";
    assert_eq!(last(&live), (ChallengeAck, Unprompted, remark));
}

#[test]
fn a_dial_collision_is_suspected_where_the_connection_before_was_not_captured() {
    let syn = |c: Conv| c.send_odd(FromHost, Flags::SYN, 0, |s| s.seq = 500);
    let mut c = syn(syn(conv().served().wait_ms(3_000)).device_ack().wait_ms(1_000)).device_ack();
    c.packets.drain(..c.packets.len() - 4);
    let (seen, _) = Look::mirrored(100).at(&c);
    assert_eq!(ids(&seen), [(DialCollision, Unprompted)]);
    assert_eq!(
        seen[0].remark,
        Some("suspected: the connection that the host holds began before the capture")
    );
}

#[test]
fn a_hole_is_filled_by_what_was_overtaken_within_a_round_trip_and_by_a_repetition_later() {
    let filled = |round_trip: i64, after: i64| {
        let c = conv().syn().wait_ms(round_trip).syn_ack().ack().response(100).lost().response(100);
        let c = c.wait_ms(after).send_odd(FromDevice, PSH_ACK, 100, |s| s.seq = s.seq.wrapping_sub(200));
        let figures = Look::for_ms(500).at(&c).1.from_device;
        (last(&c), figures.late_fills, figures.out_of_order)
    };
    let overtaken = ((OutOfOrder, OnTheWay, ""), 0, 1);
    let lost = "its first copy was lost before the point of capture";
    let repeated = ((Retransmission, OnTheWay, lost), 1, 0);
    assert_eq!((filled(10, 10), filled(10, 11)), (overtaken, repeated));
    assert_eq!((filled(1, 3), filled(1, 4)), (overtaken, repeated), "three milliseconds at least");
}

#[test]
fn a_device_that_says_itself_that_its_window_is_shut_lost_no_answer() {
    let copies = |c: &Conv| {
        let (seen, _) = Look::for_ms(3_000).at(c);
        assert_eq!(ids(&seen), [(ZeroWindowStall, Unprompted)]);
        seen[0].copies
    };
    let shut = || conv().served().request(500).device_window(0).device_ack();
    let probed = |after: i64| {
        shut()
            .wait_ms(after - 1)
            .send_odd(FromHost, Flags::ACK, 0, |s| s.seq = s.seq.wrapping_sub(1))
            .device_ack()
    };
    assert_eq!((copies(&shut()), copies(&probed(999)), copies(&probed(1_000))), (Some(3), Some(3), None));
    let opened = probed(1_500).device_window(5_744).device_ack();
    assert_eq!(copies(&opened), Some(3), "the last word was an open window");
}

fn repeated(times: u32) -> Conv {
    (0..times).fold(conv().served().request(200), |c, n| c.wait_ms(200 << n).again(FromHost))
}

#[test]
fn payload_that_is_never_acknowledged_is_told_from_the_third_repetition_on() {
    let c = repeated(5);
    let (seen, _) = Look::for_ms(500).at(&c);
    let one = seen.iter().find(|o| o.id == NoAckToData).unwrap();
    let at = |n: usize| c.packets[c.packets.len() - n].0;
    assert_eq!((one.at_ns, one.lasted_ns, one.copies), (at(3), at(1) - at(3), Some(6)));
}

#[test]
fn a_host_that_gives_up_after_two_repetitions_leaves_nothing_to_be_told() {
    let of = |times| {
        let (seen, summary) = Look::for_ms(500).at(&repeated(times).rst());
        (seen.iter().any(|o| o.id == NoAckToData), summary.not_judged.len())
    };
    assert_eq!((of(2), of(3)), ((false, 0), (true, 0)));
}

#[test]
fn a_stray_answer_is_told_once_for_each_copy_of_a_syn() {
    let c = conv().served().closed_by_device().reopened().syn();
    assert_eq!(told(&stray_ack(stray_ack(c)), 100), [(TimewaitCollision, Unprompted)]);
}

#[test]
fn a_duel_is_what_the_device_does_although_it_is_told_at_an_answer_of_the_hosts() {
    let answered =
        |c: Conv, _| c.send_odd(FromDevice, Flags::ACK, 0, |s| s.seq = s.seq.wrapping_sub(2)).ack();
    let seen = seen(&(0..3).fold(conv().served().closed(), answered));
    let directions: Vec<_> = seen.iter().filter(|o| o.id == FinDuel).map(|o| o.direction).collect();
    assert_eq!(directions, [FromDevice]);
}

#[test]
fn nothing_is_said_of_a_connection_of_which_packets_are_missing() {
    let names = |c: &Conv| {
        let (seen, summary) = Look::for_ms(500).at(c);
        let told = seen.iter().map(|o| o.id).filter(|id| *id != Retransmission).collect::<Vec<_>>();
        (told, summary.not_judged.iter().map(|n| n.id).collect::<Vec<_>>())
    };
    let gap = || conv().established().request(63).device_ack().response(17).lost().ack();
    assert_eq!(names(&gap().device_rst()), (vec![], vec![AnomalyId::AbortiveClose]));
    let again = |c: Conv, n: u32| c.wait_ms(200 << n).again(FromHost);
    assert_eq!(names(&(0..4).fold(gap().request(200), again)), (vec![], vec![NoAckToData]));
}

/// The last thing told of a device that is silent for 0.7 s, then resets: whether silence goes before it, and whether it
/// may have forgotten the connection.
fn after_silence(c: Conv) -> (bool, bool) {
    let last = seen(&c.wait_ms(700).device_rst()).pop().unwrap();
    (last.after_absence, last.forgotten)
}

#[test]
fn a_device_may_have_forgotten_what_was_last_asked_while_it_was_silent_and_is_still_open() {
    assert_eq!(after_silence(conv().served().request(63)), (true, true));
    assert_eq!(after_silence(conv().served().request(63).fin()), (true, false), "the host was done with it");
    // The first connection asks, another one is served, and then the second asks in vain.
    let first = conv().established().request(63);
    let mut c = first.clone().then_on(50_000).served().request(63).wait_ms(700);
    let (at, _) = *c.clone().device_ack().packets.last().unwrap();
    c.packets.push((at, first.device_rst().packets.last().unwrap().1));
    let last = seen(&c).pop().unwrap();
    assert_eq!((last.after_absence, last.forgotten), (true, false), "it was asked before the silence");
}
