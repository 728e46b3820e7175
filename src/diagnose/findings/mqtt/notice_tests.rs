use super::super::mqtt_client::mqtt_client;
use super::*;
use crate::{CaptureEvidence, CaptureState, MqttEvidence, WorkloadEvidence};
use espstress_event::{MqttClient, MqttSign};

/// A fault of a minute with a keep-alive of 5 s, which the device noticed after so many seconds.
fn outage(fault: MqttFault, noticed_s: Option<u64>) -> MqttOutage {
    let mut outage = MqttOutage::new(1, fault, 10 * SECOND, 5);
    outage.length_ns = Some(60 * SECOND);
    outage.device_notices_ns = noticed_s.map(|s| s * SECOND);
    outage
}

#[test]
fn only_a_broker_that_says_nothing_or_no_pingresp_shows_who_notices() {
    for fault in [MqttFault::Silent, MqttFault::Frozen, MqttFault::NoPingresp] {
        assert!(is_telling(&outage(fault, None)), "{fault:?}");
        let short = MqttOutage { length_ns: Some(20 * SECOND - 1), ..outage(fault, None) };
        let unjudged = MqttOutage { not_judged: Some("no packets".into()), ..outage(fault, None) };
        assert!(!is_telling(&short) && !is_telling(&unjudged), "{fault:?}");
    }
    assert!(!is_telling(&outage(MqttFault::Close, None)) && !is_telling(&outage(MqttFault::Slow, None)));
}

#[test]
fn a_close_is_overlooked_by_who_reacts_after_two_seconds_or_never() {
    let close = |noticed_s| outage(MqttFault::Close, noticed_s);
    assert!(is_overlooked(&&close(None)) && is_overlooked(&&close(Some(3))));
    assert!(!is_overlooked(&&close(Some(2))));
    let short = MqttOutage { length_ns: Some(READS_AGAIN), ..close(None) };
    let unknown = MqttOutage { length_ns: None, ..close(None) };
    let survived = MqttOutage { survived: true, ..close(None) };
    assert!(!is_overlooked(&&short) && !is_overlooked(&&unknown) && !is_overlooked(&&survived));
}

/// A run of five minutes with these faults of the broker of a client whose keep-alive is 5 s.
fn run(outages: &[MqttOutage]) -> Evidence<'static> {
    let client = MqttClient { connects: 2, packets: 90, pings: 60, ..mqtt_client() };
    let mqtt = MqttEvidence {
        watched_ns: 300 * SECOND,
        clients: vec![client],
        outages: outages.to_vec(),
        ..MqttEvidence::default()
    };
    let w = WorkloadEvidence { name: "mqtt".to_owned(), mqtt: Some(mqtt), ..WorkloadEvidence::default() };
    let capture = CaptureEvidence { status: CaptureState::Complete, ..CaptureEvidence::default() };
    Evidence { capture, workloads: vec![w], ..Evidence::default() }
}

/// What the finding says of these faults; nothing without it.
fn said(rule: fn(&Evidence<'_>) -> Option<Finding>, outages: &[MqttOutage]) -> Option<String> {
    let e = run(outages);
    let blind = Evidence { capture: CaptureEvidence::default(), ..run(outages) };
    assert!(rule(&blind).is_none(), "without packets nobody knows what the device noticed");
    rule(&e).map(|finding| finding.statement)
}

#[test]
fn a_broker_that_says_nothing_is_unnoticed_until_the_device_shows_otherwise() {
    let of = |outages: &[MqttOutage]| said(unnoticed, outages);
    let silent = |noticed_s| MqttOutage { survived: true, ..outage(MqttFault::Silent, noticed_s) };
    let text = "The broker said nothing for 60 s, and the device did not notice, in 1 of 2 outages: it believes that it is \
                connected.";
    assert_eq!(of(&[silent(Some(7)), silent(None)]).as_deref(), Some(text));
    assert!(of(&[silent(Some(61))]).is_some(), "not before its end");
    assert_eq!((of(&[silent(Some(60))]), of(&[silent(Some(7))])), (None, None));
    let gave_up = MqttOutage { survived: false, ..silent(Some(61)) };
    assert_eq!(of(&[gave_up]), None, "its FIN may have waited behind what nothing acknowledged");
    assert!(of(&[outage(MqttFault::Frozen, Some(61))]).is_some(), "a frozen broker's stack acknowledges");
    let pings = of(&[outage(MqttFault::NoPingresp, None)]).unwrap();
    assert!(pings.starts_with("PINGREQ went unanswered for 60 s"), "{pings}");
    let both = of(&[outage(MqttFault::NoPingresp, None), silent(None)]).unwrap();
    assert!(both.starts_with("The broker said nothing for 60 s"), "{both}");
}

#[test]
fn where_the_link_was_cut_only_who_goes_on_afterwards_has_noticed_nothing() {
    let cut = |survived| MqttOutage { link_cut: true, survived, ..outage(MqttFault::Silent, None) };
    assert!(said(unnoticed, &[cut(true)]).is_some());
    assert_eq!(said(unnoticed, &[cut(false)]), None, "it dialled again, and nobody saw when it gave up");
}

#[test]
fn more_than_a_minute_until_a_silent_broker_is_noticed_is_slow() {
    let of = |fault, noticed_s, length_s: u64| {
        let outage = MqttOutage { length_ns: Some(length_s * SECOND), ..outage(fault, noticed_s) };
        said(slow, &[outage])
    };
    let text = "The device noticed after 70 s that the broker said nothing: its keep-alive is 5 s.";
    assert_eq!(of(MqttFault::Frozen, Some(70), 120).as_deref(), Some(text));
    assert!(of(MqttFault::Silent, Some(70), 70).is_some());
    assert_eq!(of(MqttFault::Silent, Some(70), 69), None, "what comes after the fault answers its end");
    assert_eq!((of(MqttFault::Silent, Some(60), 120), of(MqttFault::Silent, None, 120)), (None, None));
    assert_eq!(of(MqttFault::Close, Some(70), 120), None, "the broker said that it closed");
}

#[test]
fn a_close_that_a_device_notices_late_is_told_and_a_reset_is_not() {
    let of = |fault, noticed_s| said(close_unnoticed, &[outage(fault, noticed_s)]);
    let text = "The broker closed the connection, and the device reacted only after 9.0 s.";
    assert_eq!(of(MqttFault::Close, Some(9)).as_deref(), Some(text));
    assert_eq!(of(MqttFault::Close, Some(2)), None);
    assert_eq!(
        of(MqttFault::Reset, Some(9)),
        None,
        "a device that waits before it dials again looks the same"
    );
    assert_eq!(of(MqttFault::Silent, Some(9)), None, "there was no close");
    assert_eq!(of(MqttFault::Close, None), None, "it may have been switched off");
}

#[test]
fn a_device_that_gives_a_slow_broker_up_within_half_a_keep_alive_is_hasty() {
    let of = |delay_ms: u64, noticed_s, fault| {
        let slow = MqttOutage {
            delay_ns: Some(delay_ms * 1_000_000),
            device_sign: Some(MqttSign::Fin),
            ..outage(fault, noticed_s)
        };
        said(hasty, &[slow])
    };
    let text = "The device dropped the connection because answers took 2.0 s, less than half its keep-alive.";
    assert_eq!(of(2_000, Some(3), MqttFault::Slow).as_deref(), Some(text));
    assert!(of(2_499, Some(60), MqttFault::Slow).is_some());
    assert_eq!(of(2_500, Some(3), MqttFault::Slow), None, "half a keep-alive");
    assert_eq!(of(2_000, Some(61), MqttFault::Slow), None, "it held on until the broker was quick again");
    assert_eq!(of(2_000, None, MqttFault::Slow), None);
    assert_eq!(of(2_000, Some(3), MqttFault::Silent), None, "there was no answer to wait for");
}

#[test]
fn what_an_unanswered_device_should_wait_for_follows_from_what_it_sends() {
    let advice = |pings, qos: usize| {
        let mut e = run(&[outage(MqttFault::Frozen, None)]);
        let mqtt = e.workloads[0].mqtt.as_mut().unwrap();
        mqtt.clients[0].pings = pings;
        mqtt.to_host[qos].received = 20;
        let finding = unnoticed(&e).unwrap();
        format!("{}; {}", finding.cause, finding.change)
    };
    assert!(advice(3, 1).contains("PINGRESP") && !advice(3, 1).contains("PUBACK"));
    assert!(advice(0, 1).contains("PUBACK") && !advice(0, 1).contains("PINGRESP"));
    assert!(advice(0, 0).contains("never sent a packet that the broker answers"));
}

#[test]
fn who_waits_for_a_connack_without_end_is_told_also_without_packets() {
    let of = |given_up, waited_s: u64| {
        let mut row = outage(MqttFault::NoConnack, Some(0));
        (row.connack_given_up, row.connack_wait_ns) = (Some(given_up), Some(waited_s * SECOND));
        let blind = Evidence { capture: CaptureEvidence::default(), ..run(&[row]) };
        unnoticed(&blind).map(|finding| finding.statement)
    };
    let text = "The device waited for CONNACK for 58 s on one connection, and did not give it up before the broker answered.";
    assert_eq!(of(0, 58).as_deref(), Some(text));
    assert_eq!((of(1, 58), of(0, 9)), (None, None));
}
