//! What a client that does everything right does.

use std::time::Duration;

use espstress_device::CloseHow;
use espstress_device::mqtt::{CONNACK_LIMIT, OUTBOX, Qos, Settings};

use crate::broker::{Mode, Seen, World};
use crate::{K, S, connected, data, gaps, is_close, is_dial, is_subscribe, quiet, times};

#[test]
fn a_session_opens_with_a_retained_will_the_subscription_and_a_retained_birth() {
    let mut world = World::new("robust", Settings::default());
    world.pass(Duration::ZERO);
    let seen: Vec<Seen> = world.take().into_iter().map(|(_, seen)| seen).collect();
    let will = ("espstress/dev-1/status".to_owned(), b"offline".to_vec(), true);
    assert_eq!(seen[0], Seen::Dial);
    assert_eq!(seen[1], Seen::Connect { clean: false, keep_alive: 15, will: Some(will) });
    assert_eq!(seen[2], Seen::Subscribe("espstress/dev-1/cmd".to_owned()));
    let Seen::Publish { topic, payload, retain: true, qos: Qos::AtMostOnce, .. } = &seen[3] else {
        panic!("{seen:?}");
    };
    assert_eq!((topic.as_str(), payload.as_str()), ("status", "online"));
    let Seen::Publish { topic, payload, retain: false, qos: Qos::AtLeastOnce, .. } = &seen[4] else {
        panic!("{seen:?}");
    };
    assert_eq!((topic.as_str(), payload.as_str()), ("data", r#"{"n":1,"boot":1,"up_ms":0}"#));
}

#[test]
fn messages_are_numbered_from_one_and_come_at_their_interval() {
    let mut world = World::new("robust", Settings { interval: 2 * S, ..Settings::default() });
    world.pass(60 * S);
    let data = data(&world.take());
    assert_eq!(data.iter().map(|data| data.n).collect::<Vec<_>>(), (1..=31).collect::<Vec<_>>());
    assert!(data.windows(2).all(|pair| pair[1].at.since(pair[0].at) == 2 * S && pair[1].id != pair[0].id));
}

#[test]
fn a_quiet_client_pings_each_half_of_the_keep_alive() {
    let mut world = connected("robust", quiet());
    world.pass(60 * S);
    let pings = times(&world.take(), |seen| *seen == Seen::PingReq);
    assert_eq!(pings.len(), 8);
    assert!(gaps(&pings).iter().all(|gap| *gap == K / 2), "{pings:?}");
}

#[test]
fn without_a_keep_alive_there_is_no_ping() {
    let mut world = connected("robust", Settings { keep_alive: 0, ..quiet() });
    world.pass(600 * S);
    assert_eq!(world.take(), []);
}

#[test]
fn a_client_that_sends_all_the_time_pings_when_it_hears_nothing() {
    let settings = Settings { qos: Qos::AtMostOnce, ..Settings::default() };
    let mut world = connected("robust", settings);
    world.pass(60 * S);
    assert_eq!(times(&world.take(), |seen| *seen == Seen::PingReq).len(), 8);
    for mode in [Mode::Silent, Mode::Frozen] {
        let mut world = connected("robust", settings);
        let from = world.now;
        world.turn(mode);
        world.pass(2 * K);
        let closed = times(&world.take(), is_close)[0];
        assert!(closed.since(from) <= K + S, "{mode:?}: {}", closed.since(from).as_secs_f64());
    }
}

#[test]
fn a_dead_path_is_noticed_within_the_keep_alive_whether_or_not_there_is_something_to_send() {
    for settings in [quiet(), Settings::default()] {
        for mode in [Mode::Silent, Mode::Frozen] {
            let mut world = connected("robust", settings);
            let from = world.now;
            world.turn(mode);
            world.pass(2 * K);
            let seen = world.take();
            assert!(seen.iter().any(|(_, seen)| *seen == Seen::Closed(CloseHow::Abort)), "{seen:?}");
            let closed = times(&seen, is_close)[0].since(from);
            assert!(closed >= K / 2 && closed <= K, "{mode:?}: {closed:?}");
        }
    }
}

#[test]
fn waits_double_up_to_a_minute_less_up_to_a_half_at_random() {
    for seed in 0..20 {
        let mut world = connected("robust", Settings { seed, ..Settings::default() });
        let from = world.now;
        world.turn(Mode::Closed);
        world.pass(600 * S);
        let mut dials = vec![from];
        dials.extend(times(&world.take(), is_dial));
        let gaps = gaps(&dials);
        assert!(gaps.len() >= 12, "{gaps:?}");
        for (at, gap) in gaps.iter().enumerate() {
            let whole = (S * (1 << at.min(6))).min(60 * S);
            assert!(*gap >= whole / 2 && *gap <= whole, "{gaps:?}");
        }
    }
}

#[test]
fn a_session_that_does_not_last_does_not_make_the_wait_short_again() {
    let mut world = World::new("robust", Settings::default());
    world.pass(Duration::ZERO);
    for _ in 0..6 {
        world.hang_up();
        world.pass(Duration::ZERO);
        while !world.is_connected() {
            world.pass(S / 10);
        }
    }
    let dials = gaps(&times(&world.take(), is_dial));
    assert!(dials[5] > 15 * S, "{dials:?}");
}

#[test]
fn a_broker_that_refuses_or_says_nothing_is_backed_off_from() {
    let mut world = connected("robust", Settings::default());
    world.hang_up();
    world.turn(Mode::Refuses);
    world.pass(60 * S);
    let refused = gaps(&times(&world.take(), is_dial));
    assert!(refused.len() >= 4 && refused[3] > 2 * refused[0], "{refused:?}");
    let mut world = World::new("robust", Settings::default());
    world.mode = Mode::Frozen;
    world.pass(60 * S);
    let silent = gaps(&times(&world.take(), is_dial));
    assert!(silent.iter().all(|gap| *gap > CONNACK_LIMIT), "{silent:?}");
}

#[test]
fn dialling_is_given_up_after_five_seconds() {
    let mut world = World::new("robust", Settings::default());
    world.mode = Mode::Silent;
    world.pass(30 * S);
    let dials = gaps(&times(&world.take(), is_dial));
    assert!(dials[0] >= 5 * S + S / 2 && dials[0] <= 6 * S, "{dials:?}");
}

#[test]
fn what_a_kept_session_has_comes_again_with_its_number_and_dup() {
    let mut world = connected("robust", Settings::default());
    world.puback_after = 1_000 * S;
    world.pass(3 * S);
    let first = data(&world.take());
    world.hang_up();
    world.puback_after = Duration::ZERO;
    world.pass(3 * S);
    let seen = world.take();
    let again: Vec<_> = data(&seen).into_iter().filter(|data| data.dup).collect();
    let numbers = |data: &[crate::Data]| data.iter().map(|data| (data.n, data.id)).collect::<Vec<_>>();
    assert_eq!(numbers(&again), numbers(&first));
    assert_eq!(times(&seen, is_subscribe), [], "the session has the subscription");
}

#[test]
fn in_a_new_session_everything_is_new_and_subscribed_again() {
    for clean in [false, true] {
        let mut world = connected("robust", Settings { clean, ..Settings::default() });
        world.puback_after = 1_000 * S;
        world.pass(3 * S);
        let first = data(&world.take());
        world.hang_up();
        world.session = false;
        world.puback_after = Duration::ZERO;
        world.pass(3 * S);
        let seen = world.take();
        let second = data(&seen);
        assert!(second.iter().all(|data| !data.dup && first.iter().all(|old| old.id != data.id)));
        assert_eq!(second[..3].iter().map(|data| data.n).collect::<Vec<_>>(), [21, 22, 23].map(|n| n + 1));
        assert_eq!(times(&seen, is_subscribe).len(), 1);
    }
}

#[test]
fn twenty_outages_lose_nothing_of_quality_one_and_repeat_nothing_without_saying_so() {
    let mut world = connected("robust", Settings::default());
    let mut seen = Vec::new();
    for round in 0..20 {
        let mode = [Mode::Silent, Mode::Frozen, Mode::Closed][round % 3];
        world.turn(mode);
        world.pass(2 * K + 10 * S);
        world.turn(Mode::Serves);
        world.pass(130 * S);
        assert!(world.is_connected(), "round {round}");
        seen.append(&mut world.take());
    }
    let data = data(&seen);
    let mut highest = data[0].n - 1;
    for message in &data {
        assert!(message.n <= highest + 1, "{} after {highest}", message.n);
        assert!(message.n > highest || message.dup, "{} again without DUP", message.n);
        highest = highest.max(message.n);
    }
    assert!(highest > 2_000, "{highest}");
}

#[test]
fn an_outage_longer_than_the_outbox_leaves_no_gap() {
    let mut world = connected("robust", Settings::default());
    world.turn(Mode::Closed);
    world.pass(50 * S);
    world.turn(Mode::Serves);
    world.pass(70 * S);
    let data = data(&world.take());
    let first: Vec<_> =
        data.iter().take_while(|message| message.at == data[0].at).map(|data| data.n).collect();
    assert_eq!(first.len(), OUTBOX, "{first:?}");
    assert!(data.windows(2).all(|pair| pair[1].n == pair[0].n + 1));
}

#[test]
fn a_slow_broker_gets_each_message_once() {
    let mut world = World::new("robust", Settings::default());
    world.puback_after = 12 * S;
    world.pass(120 * S);
    let data = data(&world.take());
    assert!(data.windows(2).all(|pair| pair[1].n == pair[0].n + 1) && data.iter().all(|data| !data.dup));
}

#[test]
fn a_command_is_acknowledged_and_answered_on_the_echo_topic() {
    let mut world = connected("robust", quiet());
    world.command(7, b"hello");
    world.pass(Duration::ZERO);
    let seen: Vec<Seen> = world.take().into_iter().map(|(_, seen)| seen).collect();
    assert_eq!(seen[0], Seen::PubAck(7));
    let Seen::Publish { topic, payload, qos: Qos::AtLeastOnce, .. } = &seen[1] else { panic!("{seen:?}") };
    assert_eq!((topic.as_str(), payload.as_str()), ("echo", "hello"));
}

#[test]
fn a_command_of_any_size_is_acknowledged() {
    let mut world = connected("robust", quiet());
    for (id, len) in [(1, 128), (2, 129), (3, 1_500), (4, 1_600), (5, 250_000)] {
        world.command(id, &vec![b'x'; len]);
        world.pass(Duration::ZERO);
        let seen = world.take();
        assert!(seen.iter().any(|(_, seen)| *seen == Seen::PubAck(id)), "{len} bytes: {seen:?}");
        let echoed = seen.iter().find_map(|(_, seen)| match seen {
            Seen::Publish { payload, .. } => Some(payload.clone()),
            _ => None,
        });
        let wanted = if len <= 128 { "x".repeat(len) } else { format!("{{\"bytes\":{len}}}") };
        assert_eq!(echoed, Some(wanted));
    }
    assert!(world.is_connected());
}

#[test]
fn noise_from_the_broker_ends_the_connection_and_the_next_one_works() {
    let mut world = connected("robust", Settings::default());
    world.send(&espstress_device::mqtt::Packet::PingReq);
    world.pass(Duration::ZERO);
    assert!(world.take().iter().any(|(_, seen)| *seen == Seen::Closed(CloseHow::Unread)));
    world.pass(3 * S);
    assert!(world.is_connected());
}

#[test]
fn another_keep_alive_is_said_in_a_new_connect_at_once() {
    let mut world = connected("robust", quiet());
    world.ask("mqtt_keep_alive=5&mqtt_interval_ms=2000");
    world.pass(12 * S);
    let seen = world.take();
    let connects: Vec<u16> = seen
        .iter()
        .filter_map(|(_, seen)| match seen {
            Seen::Connect { keep_alive, .. } => Some(*keep_alive),
            _ => None,
        })
        .collect();
    assert_eq!(connects, [5]);
    assert!(seen.iter().any(|(_, seen)| *seen == Seen::Disconnect));
    assert!(data(&seen).len() >= 5, "{seen:?}");
}
