//! What the packets show of the path: occasions, and losses that are certain.

use espstress_event::{Direction, Losses, PathWindow};
use espstress_wire::Flags;

use super::support::{Conv, Look, PSH_ACK, SYN_ACK, Seg, conv};

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
    assert_eq!(path(&twice).requests, 1, "a repetition asks for nothing new");
}

#[test]
fn a_request_that_had_to_be_sent_twice_more_was_lost_however_it_is_answered() {
    let twice = || request_again(request_again(conv().established().request(63).wait_ms(200)).wait_ms(150));
    assert_eq!(path(&twice().device_ack()).losses.lost, 1, "also where it is acknowledged at once");
    assert_eq!(path(&twice().response(100).device_ack()).losses.lost, 1, "or acknowledged once more");
}

#[test]
fn an_acknowledgement_after_an_answer_takes_no_other_loss_back() {
    let lost = request_again(conv().established().request(63).wait_ms(200)).wait_ms(100).device_ack();
    assert_eq!(path(&lost.request(63).response(100).device_ack()).losses.lost, 1);
}

#[test]
fn a_reset_says_nothing_of_what_came_through_before_it() {
    let again = request_again(conv().established().request(63).wait_ms(200)).wait_ms(100);
    assert_eq!(path(&again.device_rst()).losses.lost, 0);
}

#[test]
fn what_a_probe_of_the_hosts_draws_out_was_not_lost() {
    let c = request_again(conv().established().request(63).wait_ms(200)).wait_ms(100);
    let c = c.send_odd(FromHost, Flags::ACK, 0, |s| s.seq = s.seq.wrapping_sub(1));
    assert_eq!(path(&c.wait_ms(100).device_ack()).losses.lost, 0);
}

#[test]
fn a_fin_counts_each_copy_after_the_second_again() {
    let copies = [210, 100, 60, 60];
    let c = copies.iter().fold(conv().served().fin(), |c, ms| c.wait_ms(*ms).again(FromHost)).device_ack();
    assert_eq!((path(&c).losses.lost, path(&c).losses.again), (1, 3));
}

#[test]
fn a_connection_without_its_beginning_has_no_syn_that_could_be_lost() {
    let mut c = conv().served();
    c.packets.drain(..3);
    assert_eq!(path(&c).syns, 0);
    let twice = conv().syn().wait_ms(300).again(FromHost).syn_ack().ack();
    assert_eq!(path(&twice).syns, 1, "nor has a repeated SYN");
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

/// The request, and its copies after 200 and 400 ms, of which only the last comes through; before it, the device answers the
/// SYN once more, or somebody else at the same time.
fn taken_third(syn_ack_again: bool) -> Conv {
    let c = request_again(conv().established().request(63).wait_ms(200)).wait_ms(200);
    let syn_ack = |s: &mut Seg| (s.seq, s.ack) = (s.seq.wrapping_sub(1), s.ack.wrapping_sub(63));
    let c = match syn_ack_again {
        true => c.send_odd(FromDevice, SYN_ACK, 0, syn_ack).ack(),
        false => c,
    };
    request_again(c.wait_ms(200)).wait_ms(20).device_ack()
}

#[test]
fn what_a_full_accept_queue_drops_until_it_answers_the_syn_again_was_not_lost() {
    assert_eq!(path(&taken_third(true)).losses, Losses { segments: 1, lost: 0, again: 0 });
    let lost = request_again(request_again(conv().established().request(63).wait_ms(200)).wait_ms(200));
    assert_eq!(path(&lost.wait_ms(20).device_ack()).losses, Losses { segments: 1, lost: 1, again: 1 });
    // What is lost later on the same connection counts.
    let later = request_again(taken_third(true).response(17).ack().request(63).wait_ms(200));
    assert_eq!(path(&later.wait_ms(100).device_ack()).losses.lost, 1);
}

/// As many connections, one after the other; each tenth of them needs three copies of its first request.
fn queue(connections: u16, each: impl Fn(Conv) -> Conv) -> Conv {
    (0..connections).fold(conv(), |c, n| {
        let c = c.wait_ms(20).then_on(50_000 + n).established().request(63);
        let c = if n % 10 == 0 { request_again(request_again(c.wait_ms(200)).wait_ms(200)) } else { c };
        each(c.device_ack().response(17).ack()).closed()
    })
}

#[test]
fn where_first_requests_alone_come_through_late_a_full_accept_queue_dropped_them() {
    assert_eq!(path(&queue(100, |c| c)).losses.lost, 0);
    assert_eq!(path(&queue(10, |c| c)).losses.lost, 1, "chance may spare so few others");
    let later = |c: Conv| {
        if c.packets.len() < 100 {
            request_again(c.request(63).wait_ms(200)).wait_ms(100).device_ack()
        } else {
            c
        }
    };
    assert!(path(&queue(100, later)).losses.lost > 10, "a path that loses others as well lost them");
}
