use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const S: Duration = Duration::from_secs(1);
const AWAKE: Duration = Duration::ZERO;

fn subscribed(to: &str) -> (Outgoing, Instant) {
    let (mut outgoing, now) = (Outgoing::new(to.parse().unwrap(), S), Instant::now());
    outgoing.begins(false, Takes::default(), now);
    outgoing.subscribed(Some(Qos::ExactlyOnce));
    (outgoing, now)
}

fn id(sent: &[Send]) -> PacketId {
    match sent {
        [Send::Message { id: Some(id), .. }] => *id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_sent_to_a_device_that_is_not_subscribed_and_the_better_promise_is_not_made() {
    let (mut outgoing, now) = subscribed("t:1");
    outgoing.subscribed(None);
    assert_eq!(outgoing.due(now + 5 * S, AWAKE, true), []);
    assert_eq!(outgoing.by_qos(now)[1].sent, 0);
    outgoing.subscribed(Some(Qos::AtMostOnce));
    assert!(matches!(outgoing.due(now + 5 * S, AWAKE, true)[..], [Send::Message { id: None, .. }]));
    assert_eq!((outgoing.by_qos(now)[0].sent, outgoing.by_qos(now)[0].acknowledged), (1, None));
    assert!(outgoing.prevented().is_some());
}

#[test]
fn messages_that_are_acknowledged_are_counted_with_their_time() {
    let (mut outgoing, now) = subscribed("t");
    assert_eq!(outgoing.due(now, AWAKE, true), []);
    let sent = outgoing.due(now + S, AWAKE, true);
    let (next, took) = outgoing.answered(Answer::Acknowledged(id(&sent)), now + S + S / 10);
    assert_eq!((next, took), (vec![], Some(100_000_000)));
    assert_eq!((outgoing.by_qos(now)[1].sent, outgoing.by_qos(now)[1].acknowledged), (1, Some(1)));
    // What nobody waits for is passed over.
    assert_eq!(outgoing.answered(Answer::Acknowledged(id(&sent)), now + 2 * S), (vec![], None));
    assert_eq!(outgoing.answered(Answer::Complete(id(&sent)), now + 2 * S), (vec![], None));
}

#[test]
fn a_message_is_not_acknowledged_once_the_stack_had_it_for_ten_seconds_and_the_device_speaks() {
    let (mut outgoing, now) = subscribed("t");
    let sent = outgoing.due(now + S, AWAKE, true);
    // The device's stack does not have it.
    outgoing.due(now + S, AWAKE, false);
    outgoing.heard(now + 20 * S, AWAKE);
    assert_eq!(outgoing.by_qos(now)[1].unacknowledged, 0);
    outgoing.due(now + 20 * S, AWAKE, true);
    // Nor does time count in which this host stood still.
    outgoing.heard(now + 32 * S, 5 * S);
    assert_eq!(outgoing.by_qos(now)[1].unacknowledged, 0);
    outgoing.heard(now + 36 * S, 5 * S);
    assert_eq!(outgoing.by_qos(now)[1].unacknowledged, 1);
    outgoing.answered(Answer::Acknowledged(id(&sent)), now + 40 * S);
    let row = outgoing.by_qos(now)[1].clone();
    assert_eq!((row.unacknowledged, row.late, row.acknowledged), (0, 1, Some(1)));
}

#[test]
fn at_the_end_nothing_new_is_sent_and_what_is_under_way_is_decided() {
    let (mut outgoing, now) = subscribed("t");
    outgoing.due(now + S, AWAKE, true);
    outgoing.ends();
    assert_eq!(outgoing.due(now + 2 * S, AWAKE, true), []);
    assert!(outgoing.is_undecided());
    outgoing.heard(now + 13 * S, AWAKE);
    assert!(!outgoing.is_undecided());
    assert_eq!((outgoing.by_qos(now)[1].sent, outgoing.by_qos(now)[1].unacknowledged), (1, 1));
}

#[test]
fn what_waits_for_longer_than_any_before_is_overdue() {
    let (mut outgoing, now) = subscribed("t");
    let overdue = |outgoing: &Outgoing, at: u32| outgoing.by_qos(now + at * S)[1].overdue;
    let sent = outgoing.due(now + S, AWAKE, true);
    assert_eq!(overdue(&outgoing, 1), 1);
    outgoing.answered(Answer::Acknowledged(id(&sent)), now + 3 * S);
    outgoing.due(now + 4 * S, AWAKE, true);
    assert_eq!((overdue(&outgoing, 6), overdue(&outgoing, 7)), (0, 1));
    outgoing.phase(None);
    assert_eq!((overdue(&outgoing, 7), outgoing.by_qos(now)[1].under_way), (0, 1));
}

#[test]
fn a_session_that_goes_on_has_its_messages_again_with_dup_and_a_new_one_has_not() {
    let (mut outgoing, now) = subscribed("t");
    let sent = outgoing.due(now + S, AWAKE, true);
    outgoing.gone(Gone::ByDevice);
    assert_eq!(outgoing.due(now + 5 * S, AWAKE, true), []);
    let again = outgoing.begins(true, Takes::default(), now + 6 * S);
    assert_eq!(id(&again), id(&sent));
    assert!(matches!(again[..], [Send::Message { dup: true, .. }]));
    outgoing.gone(Gone::ByHost);
    assert_eq!(outgoing.begins(false, Takes::default(), now + 9 * S), []);
    let row = outgoing.by_qos(now)[1].clone();
    assert_eq!((row.sent, row.again, row.abandoned), (1, 1, 1));
}

#[test]
fn a_redelivery_has_to_be_acknowledged_as_well() {
    let (mut outgoing, now) = subscribed("t");
    outgoing.phase(Some(MqttFault::Redeliver));
    let sent = outgoing.due(now + S, AWAKE, true);
    let (again, _) = outgoing.answered(Answer::Acknowledged(id(&sent)), now + S);
    assert!(matches!(again[..], [Send::Message { dup: true, .. }]));
    assert_eq!(id(&again), id(&sent));
    outgoing.due(now + S, AWAKE, true);
    outgoing.heard(now + 12 * S, AWAKE);
    let row = outgoing.by_qos(now)[1].clone();
    assert_eq!((row.sent, row.again, row.acknowledged), (1, 1, Some(1)));
    assert_eq!((row.unacknowledged, row.again_unacknowledged), (0, 1));
}

#[test]
fn a_message_counts_once_also_where_its_redelivery_ends_with_the_session() {
    let (mut outgoing, now) = subscribed("t");
    outgoing.phase(Some(MqttFault::Redeliver));
    let sent = outgoing.due(now + S, AWAKE, true);
    outgoing.answered(Answer::Acknowledged(id(&sent)), now + S);
    outgoing.gone(Gone::ByDevice);
    outgoing.begins(false, Takes::default(), now + 2 * S);
    let row = outgoing.by_qos(now)[1].clone();
    assert_eq!((row.sent, row.acknowledged, row.unacknowledged, row.abandoned), (1, Some(1), 0, 0));
}

#[test]
fn an_acknowledgement_under_another_id_is_counted_and_one_that_comes_twice_is_not() {
    let (mut outgoing, now) = subscribed("t");
    let sent = outgoing.due(now + S, AWAKE, true);
    outgoing.answered(Answer::Acknowledged(PacketId::new(256).unwrap()), now + S);
    assert_eq!((outgoing.by_qos(now)[1].strange_ids, outgoing.by_qos(now)[1].acknowledged), (1, Some(0)));
    outgoing.answered(Answer::Acknowledged(id(&sent)), now + S);
    outgoing.answered(Answer::Acknowledged(id(&sent)), now + S);
    assert_eq!((outgoing.by_qos(now)[1].strange_ids, outgoing.by_qos(now)[1].acknowledged), (1, Some(1)));
}

#[test]
fn a_message_that_lacks_only_its_last_answer_is_told_apart() {
    let (mut outgoing, now) = subscribed("t:2");
    let sent = outgoing.due(now + S, AWAKE, true);
    outgoing.answered(Answer::Received(id(&sent)), now + S);
    outgoing.due(now + S, AWAKE, true);
    outgoing.heard(now + 12 * S, AWAKE);
    let row = outgoing.by_qos(now)[2].clone();
    assert_eq!((row.unacknowledged, row.uncompleted), (1, 1));
    outgoing.answered(Answer::Complete(id(&sent)), now + 13 * S);
    let row = outgoing.by_qos(now)[2].clone();
    assert_eq!((row.unacknowledged, row.uncompleted, row.late), (0, 0, 1));
}

#[test]
fn a_message_of_the_highest_quality_goes_through_all_its_steps_once() {
    let (mut outgoing, now) = subscribed("t:2");
    outgoing.phase(Some(MqttFault::Redeliver));
    let sent = outgoing.due(now + S, AWAKE, true);
    let id = id(&sent);
    assert_eq!(outgoing.answered(Answer::Acknowledged(id), now), (vec![], None));
    let (again, _) = outgoing.answered(Answer::Received(id), now + S);
    assert!(matches!(again[..], [Send::Message { dup: true, .. }]));
    assert_eq!(outgoing.answered(Answer::Received(id), now + S).0, [Send::Release(id)]);
    assert_eq!(outgoing.answered(Answer::Complete(id), now + S).0, []);
    let row = outgoing.by_qos(now)[2].clone();
    assert_eq!((row.sent, row.again, row.acknowledged), (1, 1, Some(1)));
}

#[test]
fn a_device_that_acknowledges_nothing_has_few_messages_under_way() {
    let (mut outgoing, now) = subscribed("t");
    let sent: usize = (0..100).map(|n| outgoing.due(now + n * S, AWAKE, true).len()).sum();
    assert_eq!(sent, MOST_FLYING);
}

#[test]
fn sizes_grow_until_one_is_not_taken() {
    let (mut outgoing, now) = subscribed("espstress/twin-1/cmd");
    outgoing.phase(Some(MqttFault::Big));
    outgoing.grow([128, 256].into_iter());
    let sent = outgoing.due(now, AWAKE, true);
    assert_eq!(outgoing.due(now, AWAKE, true), []);
    outgoing.answered(Answer::Acknowledged(id(&sent)), now);
    outgoing.due(now, AWAKE, true);
    outgoing.due(now, AWAKE, true);
    let check = outgoing.due(now + 11 * S, AWAKE, true);
    outgoing.answered(Answer::Acknowledged(id(&check)), now + 11 * S);
    assert!(outgoing.is_grown());
    let (result, why) = outgoing.grown().unwrap();
    assert_eq!((result.acknowledged_bytes, result.failed_bytes, why), (Some(128), Some(256), None));
    assert_eq!(outgoing.by_qos(now)[1], MqttToDevice { acknowledged: None, ..MqttToDevice::default() });
}

#[test]
fn a_packet_is_as_large_as_it_is_said_to_be() {
    use espstress_device::mqtt::{Packet, Publish, Version};
    for (version, v5) in [(Version::V311, false), (Version::V5, true)] {
        for size in [128_u32, 256, 16_384, 65_536] {
            let payload = vec![0; payload_len(size, 5, v5)];
            let id = PacketId::new(1);
            let publish = Publish {
                qos: Qos::AtLeastOnce,
                id,
                topic: "a/b/c",
                payload: &payload,
                ..Publish::default()
            };
            let mut out = vec![0; 70_000];
            assert_eq!(Packet::Publish(publish).encode(version, &mut out).unwrap(), size as usize);
        }
    }
}

proptest! {
    #[test]
    fn each_message_sent_is_in_the_account_once(qos in 1..=2, steps in vec((0..9_u8, 0..6_u16), 0..80)) {
        let (mut outgoing, mut now) = subscribed(&format!("t:{qos}"));
        let mut deaf = AWAKE;
        for (step, n) in steps {
            let id = PacketId::new(outgoing.last_id.saturating_sub(n)).unwrap_or(PacketId::MIN);
            match step {
                0 => drop(outgoing.due(now, deaf, false)),
                1 | 2 => drop(outgoing.due(now, deaf, true)),
                3 => drop(outgoing.answered(Answer::Acknowledged(id), now)),
                4 => drop(outgoing.answered(Answer::Received(id), now)),
                5 => drop(outgoing.answered(Answer::Complete(id), now)),
                6 => outgoing.heard(now, deaf),
                7 => outgoing.phase([None, Some(MqttFault::Redeliver), Some(MqttFault::Silent)][usize::from(n) % 3]),
                _ => {
                    outgoing.gone(Gone::ByDevice);
                    outgoing.begins(n > 2, Takes::default(), now);
                    outgoing.subscribed(Some(Qos::ExactlyOnce));
                }
            }
            now += u32::from(n) * S;
            deaf += u32::from(n) * S / 9;
        }
        for row in &outgoing.by_qos(now)[1..] {
            let ends = row.acknowledged.unwrap_or(0) + row.unacknowledged + row.abandoned + row.under_way;
            prop_assert_eq!(row.sent, ends, "{:?}", row);
        }
    }
}
