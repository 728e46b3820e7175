//! What the packets show of the path: occasions, and losses that are certain.

use espstress_event::{Direction, Losses, PathWindow};

use super::support::{Conv, Look, PSH_ACK, Seg, conv};

use Direction::{FromDevice, FromHost};

fn path(c: &Conv) -> PathWindow {
    let (_, summary) = Look::for_ms(500).at(c);
    summary.windows.into_iter().reduce(PathWindow::and).unwrap_or_default()
}

/// The host sends its last request again.
fn request_again(c: Conv) -> Conv {
    c.send_odd(FromHost, PSH_ACK, 63, |s: &mut Seg| s.seq = s.seq.wrapping_sub(63))
}

#[test]
fn each_segment_that_asks_is_an_occasion() {
    let w = path(&conv().served().served_again().closed());
    assert_eq!((w.syns, w.requests, w.fins), (1, 2, 1));
    assert_eq!(w.losses, Losses { segments: 7, lost: 0, again: 0 }, "payload and FINs, not the SYNs");
}

#[test]
fn a_request_that_comes_through_when_it_is_sent_again_was_lost() {
    let c = request_again(conv().established().request(63).wait_ms(200)).wait_ms(100).device_ack();
    assert_eq!((path(&c).losses.lost, path(&c).losses.again), (1, 0));
    let twice = request_again(conv().established().request(63).wait_ms(200));
    let twice = request_again(twice.wait_ms(150)).wait_ms(100).device_ack();
    assert_eq!((path(&twice).losses.lost, path(&twice).losses.again), (1, 1));
}

#[test]
fn a_request_that_never_comes_through_may_be_the_devices_silence() {
    let c = request_again(conv().established().request(63).wait_ms(200));
    assert_eq!(path(&request_again(c.wait_ms(400))).losses.lost, 0);
}

#[test]
fn a_fin_that_only_probes_for_a_late_acknowledgement_shows_no_loss_and_one_after_a_time_out_does() {
    let again = |after_ms| conv().served().fin().wait_ms(after_ms).again(FromHost).device_ack();
    assert_eq!(path(&again(6)).losses.lost, 0);
    assert_eq!(path(&again(210)).losses.lost, 1);
}

#[test]
fn what_is_acknowledged_at_once_when_it_comes_again_had_arrived() {
    let c = request_again(conv().established().request(63).wait_ms(200)).device_ack();
    assert_eq!(path(&c).losses.lost, 0);
}

#[test]
fn an_answer_to_a_repetition_shows_that_the_first_copy_was_lost_unless_both_are_acknowledged() {
    let c = request_again(conv().established().request(63).wait_ms(200)).response(100);
    assert_eq!(path(&c).losses.lost, 1);
    assert_eq!(path(&c.device_ack()).losses.lost, 0, "the device acknowledges the second copy as well");
    let c = request_again(conv().established().request(63).wait_ms(200)).response(100).ack();
    assert_eq!(path(&c.response(100).device_ack()).losses.lost, 1, "it says something else first");
}

#[test]
fn a_response_that_comes_late_into_a_hole_was_lost_and_one_that_comes_again_unheard() {
    let hole = conv().served().response(100).lost().response(100).wait_ms(300);
    let hole = hole.send_odd(FromDevice, PSH_ACK, 100, |s| s.seq = s.seq.wrapping_sub(200));
    assert_eq!(path(&hole).losses.lost, 1);
    let unheard = conv().served().response(100).ack().wait_ms(1_500).again(FromDevice);
    assert_eq!(path(&unheard).losses.lost, 1);
}

#[test]
fn a_syn_that_is_answered_on_its_repetition_shows_nothing() {
    let c = conv().syn().wait_ms(1_000).again(FromHost).syn_ack().ack();
    assert_eq!(path(&c).losses, Losses::default());
}

#[test]
fn what_was_under_way_while_nothing_was_answered_shows_no_single_loss() {
    let c = request_again(conv().established().request(63).wait_ms(600));
    let c = request_again(c.wait_ms(600)).wait_ms(100).device_ack();
    assert_eq!(path(&c).losses.lost, 0);
}
