use super::super::mqtt_client::mqtt_client;
use super::*;
use crate::{MqttEvidence, Quantiles, WorkloadEvidence};
use espstress_event::{MqttAway, MqttClient, MqttFault};

/// What is said of a client with a keep-alive of 5 s that was watched for five minutes.
fn said(rule: fn(&Evidence<'_>) -> Option<Finding>, of: impl FnOnce(&mut MqttEvidence)) -> Option<String> {
    let client = MqttClient { connects: 21, packets: 90, pings: 60, ..mqtt_client() };
    let mut mqtt =
        MqttEvidence { watched_ns: 300 * SECOND, clients: vec![client], ..MqttEvidence::default() };
    of(&mut mqtt);
    let w = WorkloadEvidence { mqtt: Some(mqtt), ..WorkloadEvidence::default() };
    rule(&Evidence { workloads: vec![w], ..Evidence::default() }).map(|finding| finding.statement)
}

fn away(left: MqttLeft, length_s: u64) -> MqttAway {
    MqttAway { since_ns: 5 * SECOND, length_ns: length_s * SECOND, left, limit_ns: 60 * SECOND, dials: 0 }
}

fn quantiles(count: u64, p50_ns: u64) -> Option<Quantiles> {
    let (min_ns, max_ns) = (p50_ns / 2, p50_ns * 2);
    Some(Quantiles { count, min_ns, p50_ns, p90_ns: max_ns, p99_ns: max_ns, max_ns })
}

#[test]
fn a_device_that_drops_its_session_and_stays_away_is_named_without_any_fault() {
    let of = |left, length_s| said(no_reconnect, |mqtt| mqtt.sessions.away = Some(away(left, length_s)));
    let text = "The device ended its connection without DISCONNECT at 5.0 s and did not dial again in the 115 s until the \
                end.";
    assert_eq!(of(MqttLeft::Dropped, 115).as_deref(), Some(text));
    assert!(of(MqttLeft::Silent, 115).unwrap().starts_with("The device fell silent at 5.0 s"));
    assert_eq!(of(MqttLeft::Dropped, 59), None, "too short to say");
    assert_eq!(of(MqttLeft::Disconnected, 115), None, "it may sleep");
}

#[test]
fn an_absence_is_not_held_against_a_device_with_such_a_habit_or_a_fault_that_led_to_it() {
    let habit = |mqtt: &mut MqttEvidence| {
        mqtt.sessions.away = Some(away(MqttLeft::Disconnected, 70));
        (mqtt.sessions.pauses, mqtt.sessions.pause_max_ns) = (3, Some(60 * SECOND));
    };
    assert_eq!(said(no_reconnect, habit), None);
    let fault = |mqtt: &mut MqttEvidence| {
        mqtt.sessions.away = Some(away(MqttLeft::Closed, 115));
        mqtt.outages.push(MqttOutage::new(1, MqttFault::Close, 0, 5));
    };
    assert_eq!(said(no_reconnect, fault), None, "the run ended in it");
}

#[test]
fn a_device_that_drops_session_after_session_is_named_and_one_that_sleeps_is_not() {
    let of = |count, pause_ns| {
        said(storm, |mqtt| {
            mqtt.sessions.dropped = quantiles(count, 200_000_000);
            mqtt.sessions.pause = quantiles(count, pause_ns);
        })
    };
    let text = "The device ended 70 sessions without DISCONNECT outside of faults, after 200 ms in the median, and dialled \
                again each time.";
    assert_eq!(of(70, 50_000_000).as_deref(), Some(text));
    assert_eq!((of(2, 50_000_000), of(70, 60 * SECOND)), (None, None));
}

#[test]
fn clients_that_evict_each_other_are_named() {
    let of = |taken_over| said(storm, |mqtt| mqtt.taken_over = taken_over);
    let text = "20 connections were replaced by a new one with the same client id, outside of faults.";
    assert_eq!(of(20).as_deref(), Some(text));
    assert_eq!(of(2), None, "a restart, or a link that broke");
}

#[test]
fn who_subscribes_late_is_not_said_to_get_no_more_messages() {
    let of = |resubscribed_s: Option<u64>| {
        said(not_resubscribed, |mqtt| {
            let mut row = MqttOutage::new(1, MqttFault::SessionLost, 0, 5);
            (row.back_ns, row.filters_missing) = (Some(SECOND), Some(1));
            row.resubscribed_ns = resubscribed_s.map(|s| s * SECOND);
            mqtt.outages.push(row);
        })
        .unwrap()
    };
    let text = "After a CONNACK without a session, the device subscribed again only 8.0 s later: until then it gets no \
                messages.";
    assert_eq!(of(Some(8)), text);
    assert!(of(None).contains("no more messages"), "{}", of(None));
}
