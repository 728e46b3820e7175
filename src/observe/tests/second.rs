//! A second small segment that waits for the acknowledgement of the first, and neighbours that do not.

use super::support::{Conv, Look, conv};
use espstress_event::AckWaits;

fn waits(c: &Conv) -> AckWaits {
    Look::for_ms(1_000).at(c).1.ack_waits
}

/// An answer in two pieces, the second right behind the host's acknowledgement, which comes after so long.
fn two_pieces(c: Conv, acked_after_ms: i64) -> Conv {
    c.request(63).response(40).wait_ms(acked_after_ms).ack().response(120).ack()
}

#[test]
fn a_second_piece_behind_each_delayed_acknowledgement_waited_for_it() {
    let c = (0..6).fold(conv().established(), |c, _| two_pieces(c, 40));
    let seen = waits(&c);
    assert_eq!((seen.waited, seen.otherwise), (6, 0));
    assert_eq!((seen.total_ns, seen.longest_ns), (246_000_000, 41_000_000));
}

#[test]
fn pieces_that_follow_each_other_or_a_prompt_acknowledgement_wait_for_nothing() {
    let c = conv().established().request(63).response(40).response(120).ack();
    let c = two_pieces(c, 3);
    assert_eq!(waits(&c), AckWaits::default());
}

#[test]
fn a_program_that_is_late_for_a_reason_of_its_own_waits_for_no_acknowledgement() {
    // After a prompt acknowledgement, before the delayed one, and long after it.
    let early = conv().established().request(63).response(40).ack().wait_ms(40).response(120).ack();
    let before = early.request(63).response(40).wait_ms(40).response(120).ack();
    let after = before.request(63).response(40).wait_ms(40).ack().wait_ms(20).response(120).ack();
    let seen = waits(&after);
    assert_eq!((seen.waited, seen.otherwise), (0, 3));
}

#[test]
fn the_answer_to_the_next_request_is_no_second_piece() {
    let c = conv().established().request(63).response(40).wait_ms(40).ack().request(63).response(40).ack();
    assert_eq!(waits(&c), AckWaits::default());
}

#[test]
fn a_full_segment_or_one_that_is_sent_again_is_not_looked_at() {
    let full = conv().established().request(63).response(1_440).wait_ms(40).ack().response(120).ack();
    assert_eq!(waits(&full), AckWaits::default());
    let again = conv().established().request(63).response(40).wait_ms(250);
    let again = again.again(espstress_event::Direction::FromDevice).ack().response(120).ack();
    assert_eq!(waits(&again), AckWaits::default());
}

#[test]
fn nothing_that_follows_a_reset_is_a_second_piece() {
    let first = || conv().established().request(63).response(40);
    assert_eq!(waits(&first().wait_ms(40).rst().response(120)), AckWaits::default(), "the host's");
    assert_eq!(waits(&first().device_rst().wait_ms(40).response(120)), AckWaits::default(), "its own");
}

#[test]
fn a_bare_acknowledgement_of_the_devices_stands_between_no_two_pieces() {
    let c = conv().established().request(63).response(40).device_ack().wait_ms(40).response(120);
    assert_eq!(waits(&c).otherwise, 1);
}

#[test]
fn a_second_piece_is_late_from_twenty_milliseconds_on_and_the_first_is_small_below_536_bytes() {
    let pieces = |first: u16, after: i64| {
        let c = conv().established().request(63).response(first).wait_ms(after).response(120).ack();
        waits(&c).otherwise
    };
    assert_eq!((pieces(40, 19), pieces(40, 20)), (0, 1));
    assert_eq!((pieces(535, 40), pieces(536, 40)), (1, 0));
}

#[test]
fn a_second_piece_waited_if_it_comes_within_one_and_a_half_round_trips_of_the_acknowledgement() {
    let after_ack = |ms: i64| {
        let c = conv().syn().wait_ms(10).syn_ack().ack().response(40).wait_ms(40).ack();
        let seen = waits(&c.wait_ms(ms).response(120));
        (seen.waited, seen.otherwise)
    };
    assert_eq!((after_ack(17), after_ack(18)), ((1, 0), (0, 1)));
}
