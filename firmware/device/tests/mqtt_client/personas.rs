//! Each persona of the client against the fault that shows it.

use std::time::Duration;

use espstress_device::mqtt::{BLOCKING_DIAL_LIMIT, Settings};
use espstress_device::{Admission, Service};

use crate::broker::{Mode, Seen, World};
use crate::{K, S, connected, data, gaps, is_close, is_dial, is_subscribe, quiet, times};

#[test]
fn late_ping_is_silent_for_longer_than_a_broker_bears() {
    let mut world = connected("mqtt-late-ping", Settings::default());
    world.pass(200 * S);
    let seen = world.take();
    let said: Vec<_> = seen.iter().map(|(at, _)| *at).collect();
    let longest = gaps(&said).into_iter().max().unwrap();
    assert_eq!(longest, K * 17 / 10, "{seen:?}");
}

#[test]
fn deaf_ping_pings_on_and_never_gives_up() {
    for mode in [Mode::Silent, Mode::Frozen] {
        let mut world = connected("mqtt-deaf-ping", Settings::default());
        world.turn(mode);
        world.pass(40 * K);
        assert_eq!(times(&world.take(), is_close), [], "{mode:?}");
    }
    let mut world = connected("mqtt-deaf-ping", quiet());
    world.pingresp = false;
    world.pass(60 * S);
    assert_eq!(times(&world.take(), |seen| *seen == Seen::PingReq).len(), 8);
}

#[test]
fn no_retry_dials_until_it_had_a_session_and_never_again() {
    let mut world = World::new("mqtt-no-retry", Settings::default());
    world.turn(Mode::Closed);
    world.pass(3 * S);
    world.turn(Mode::Serves);
    world.pass(20 * S);
    assert!(world.is_connected());
    world.take();
    world.turn(Mode::Closed);
    world.pass(S);
    world.turn(Mode::Serves);
    world.pass(3_600 * S);
    assert_eq!(times(&world.take(), is_dial), []);
}

#[test]
fn storm_dials_many_times_a_second_and_never_slower() {
    let mut world = connected("mqtt-storm", Settings::default());
    world.turn(Mode::Closed);
    world.pass(20 * S);
    let gaps = gaps(&times(&world.take(), is_dial));
    assert!(gaps.len() > 100 && gaps.iter().all(|gap| *gap <= S / 5), "{}", gaps.len());
}

#[test]
fn forgetful_does_not_subscribe_in_a_new_session() {
    let mut world = connected("mqtt-forgetful", Settings::default());
    world.session = false;
    world.hang_up();
    world.pass(5 * S);
    let seen = world.take();
    assert!(world.is_connected() && times(&seen, is_subscribe).is_empty(), "{seen:?}");
}

#[test]
fn no_dup_sends_again_as_if_for_the_first_time() {
    for clean in [false, true] {
        let mut world = connected("mqtt-no-dup", Settings { clean, ..Settings::default() });
        world.puback_after = 1_000 * S;
        world.pass(3 * S);
        let first = data(&world.take());
        world.hang_up();
        world.pass(3 * S);
        let again = data(&world.take());
        assert_eq!(first.len(), 3);
        for (old, new) in first.iter().zip(&again) {
            assert_eq!((old.n, old.id, new.dup), (new.n, new.id, false));
        }
    }
}

#[test]
fn repeat_sends_each_second_until_acknowledged() {
    let mut world = connected("mqtt-repeat", Settings { interval: 30 * S, ..Settings::default() });
    world.puback_after = 5 * S + S / 2;
    world.pass(60 * S);
    let data = data(&world.take());
    let one: Vec<_> = data.iter().filter(|message| message.n == data[0].n).collect();
    assert_eq!(one.len(), 6, "{data:?}");
    assert!(one.iter().skip(1).all(|message| message.dup) && !one[0].dup);
}

#[test]
fn session_blind_comes_back_only_where_its_session_is_gone() {
    let mut world = connected("mqtt-session-blind", Settings::default());
    world.hang_up();
    world.pass(60 * S);
    let seen = world.take();
    assert!(seen.iter().any(|(_, seen)| *seen == Seen::Disconnect) && data(&seen).is_empty(), "{seen:?}");
    let mut world = connected("mqtt-session-blind", Settings::default());
    world.session = false;
    world.hang_up();
    world.pass(10 * S);
    assert!(world.is_connected() && !data(&world.take()).is_empty());
}

#[test]
fn small_buffer_drops_what_is_above_256_bytes_without_a_word() {
    let mut world = connected("mqtt-small-buffer", quiet());
    for (id, len) in [(1, 200), (2, 230), (3, 300), (4, 5_000), (5, 10)] {
        world.command(id, &vec![b'x'; len]);
        world.pass(Duration::ZERO);
        // Head, length and topic, identifier.
        let fits = 3 + 2 + "espstress/dev-1/cmd".len() + 2 + len <= 256;
        let seen = world.take();
        assert_eq!(seen.iter().any(|(_, seen)| *seen == Seen::PubAck(id)), fits, "{len}: {seen:?}");
        assert!(fits || seen.is_empty(), "{seen:?}");
    }
    assert!(world.is_connected());
}

#[test]
fn lossy_leaves_out_what_fell_due_in_the_outage() {
    let mut world = connected("mqtt-lossy", Settings::default());
    let before = data(&{
        world.pass(2 * S);
        world.take()
    });
    world.turn(Mode::Closed);
    world.pass(10 * S);
    world.turn(Mode::Serves);
    world.pass(30 * S);
    let after = data(&world.take());
    let missing = after[0].n - before[before.len() - 1].n - 1;
    assert!(missing >= 10 && after.iter().all(|data| data.qos as u8 == 1), "{missing}");
}

#[test]
fn blocking_serves_nobody_while_it_dials_and_waits_for_the_answer() {
    let mut world = connected("mqtt-blocking", Settings::default());
    let admits = |world: &World| world.program.admit(Service::Http, world.now) == Admission::Accept;
    assert!(admits(&world) && !world.program.blocks());
    assert_eq!(world.program.dial_limit(), BLOCKING_DIAL_LIMIT);
    world.turn(Mode::Silent);
    let mut blocked = Duration::ZERO;
    for _ in 0..600 {
        world.pass(S / 10);
        if !admits(&world) {
            blocked += S / 10;
        }
    }
    assert!(blocked > 20 * S, "{blocked:?}");
    world.turn(Mode::Frozen);
    let mut waits = World::new("mqtt-blocking", Settings::default());
    waits.mode = Mode::Frozen;
    waits.pass(5 * S);
    assert!(waits.is_connected() && !admits(&waits), "the CONNACK is waited for");
    let mut robust = World::new("robust", Settings::default());
    robust.mode = Mode::Silent;
    robust.pass(2 * S);
    assert!(admits(&robust));
}
