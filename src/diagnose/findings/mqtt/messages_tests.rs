use super::super::mqtt_client::mqtt_client;
use super::*;
use crate::{MqttEvidence, WorkloadEvidence};
use espstress_event::MqttClient;

/// What is said of five lost messages of a client that connected so often.
fn said_of_lost(connects: u64) -> Finding {
    let mut mqtt = MqttEvidence {
        watched_ns: 300_000_000_000,
        clients: vec![MqttClient { connects, packets: 90, pings: 60, ..mqtt_client() }],
        ..MqttEvidence::default()
    };
    mqtt.to_host[1] = MqttDelivery { received: 45, lost: Some(5), ..MqttDelivery::default() };
    let w = WorkloadEvidence { mqtt: Some(mqtt), ..WorkloadEvidence::default() };
    lost(&Evidence { workloads: vec![w], ..Evidence::default() }).unwrap()
}

#[test]
fn what_is_missing_on_a_connection_that_stood_was_never_sent() {
    let finding = said_of_lost(1);
    assert!(finding.cause.contains("never sent them") && finding.cause.contains("skips numbers"));
    assert!(!finding.cause.contains("no connection") && !finding.cause.contains("acknowledged"));
    assert!(finding.evidence.iter().any(|line| line.contains("connected once")), "{finding:?}");
    let finding = said_of_lost(2);
    assert!(finding.cause.contains("no connection") && finding.cause.contains("skips numbers"));
    assert!(!finding.evidence.iter().any(|line| line.contains("connected once")), "{finding:?}");
}

#[test]
fn a_message_that_comes_again_after_its_acknowledgement_is_named_without_any_fault() {
    let said = |needless| {
        let mut mqtt = MqttEvidence {
            watched_ns: 300_000_000_000,
            clients: vec![MqttClient { packets: 90, ..mqtt_client() }],
            ..MqttEvidence::default()
        };
        mqtt.to_host[1] = MqttDelivery {
            received: 21,
            again_dup: 94,
            copies_max: 10,
            acknowledged_copies_max: needless,
            ..MqttDelivery::default()
        };
        let w = WorkloadEvidence { mqtt: Some(mqtt), ..WorkloadEvidence::default() };
        let finding = duplicates(&Evidence { workloads: vec![w], ..Evidence::default() })?;
        Some(finding.statement)
    };
    let text = "The device sent one message again on the same connection after the broker had acknowledged it, 9 times.";
    assert_eq!(said(9).as_deref(), Some(text));
    assert_eq!(said(1), None, "it crossed its acknowledgement on the way");
}
