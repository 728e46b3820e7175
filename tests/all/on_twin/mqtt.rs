//! The twin's MQTT client and its personas against the broker's faults: a few rows of the table. The whole table, on both
//! stacks and two links, is `scripts/lib/mqtt_matrix.py`.

use espstress_diagnose::FindingId;
use espstress_event::{AnomalyClass, MqttBigEnd, MqttOutage};
use espstress_report::{MqttFigures, Report};

use super::{of_class, on_twin, on_twins, said};
use crate::common::espstress_with;

/// A keep-alive of a second, so that a run may be short.
macro_rules! quick {
    ($($more:literal)*) => {
        concat!("mqtt twin --device-keepalive 1s --device-interval 250ms --cycles 1 --settle 1s --watch 200ms ", $($more)*)
    };
}

fn mqtt(report: &Report) -> &MqttFigures {
    report.workloads[0].mqtt.as_ref().unwrap()
}

fn fault(report: &Report) -> &MqttOutage {
    &mqtt(report).outages[0]
}

#[test]
fn clients_with_one_bug_are_named_for_it_and_for_nothing_else() {
    let Some([forgetful, storm, blind, lossy]) = on_twins([
        quick!("--persona mqtt-forgetful --fault session-lost --outage 300ms --subscribe-grace 1s"),
        quick!("--persona mqtt-storm --fault close --outage 2s"),
        quick!("--persona mqtt-session-blind --fault session-kept --outage 300ms --recover-limit 3s"),
        quick!("--persona mqtt-lossy --fault close --outage 1500ms --sequence auto"),
    ]) else {
        return;
    };
    assert_eq!(said(&forgetful), [FindingId::MqttNotResubscribed], "{:?}", fault(&forgetful));
    assert_eq!(said(&storm), [FindingId::MqttReconnectStorm], "{:?}", fault(&storm));
    assert_eq!(said(&blind), [FindingId::MqttSessionRefused], "{:?}", fault(&blind));
    assert_eq!(said(&lossy), [FindingId::MqttMessageLost], "{:?}", mqtt(&lossy).to_host);
}

#[test]
fn a_robust_client_takes_messages_of_any_size_and_acknowledges_each_repetition() {
    let Some([big, again]) = on_twins([
        quick!("--fault big --publish espstress/twin-1/cmd"),
        quick!("--fault redeliver --outage 3s --publish espstress/twin-1/cmd --publish-interval 200ms"),
    ]) else {
        return;
    };
    let sizes = fault(&big).big.unwrap();
    assert_eq!((said(&big), sizes.acknowledged_bytes, sizes.failed_bytes), (vec![], Some(16_384), None));
    assert_eq!(said(&again), []);
    let row = &mqtt(&again).to_device["1"];
    assert!(row.again >= 5 && row.unacknowledged == 0 && row.late == 0, "{row:?}");
    assert_eq!(row.acknowledged, Some(row.sent - row.under_way), "{row:?}");
    assert!(row.under_way <= 1, "what the end of the run overtook: {row:?}");
}

#[test]
fn a_keep_alive_that_was_asked_for_is_used_and_a_topic_without_subscription_gets_nothing() {
    let Some(report) = on_twin(
        "mqtt twin --device-interval 250ms --watch 200ms --device-keepalive 1s -d 3s --publish somebody/else",
    ) else {
        return;
    };
    let client = mqtt(&report).target().unwrap();
    assert_eq!((client.keepalive_s, said(&report)), (1, vec![]));
    assert!(mqtt(&report).to_device.is_empty());
    assert!(mqtt(&report).not_published.as_deref().is_some_and(|why| why.contains("did not subscribe")));
}

#[test]
fn behind_a_cut_link_nothing_is_charged_to_the_device_and_what_it_did_meanwhile_is_not_known() {
    let Some(report) = on_twin(quick!("--fault silent --by link --outage 2s --sequence auto")) else {
        return;
    };
    let row = fault(&report);
    assert!(row.link_cut && row.attempts.is_none() && row.back_ns.is_some(), "{row:?}");
    assert_eq!((said(&report), mqtt(&report).to_host["1"].lost), (vec![], Some(0)), "{row:?}");
    assert_eq!(of_class(&report, AnomalyClass::Device), Vec::<String>::new());
}

#[test]
fn a_cut_link_is_for_the_fault_silent_and_for_a_target_that_has_one() {
    let refused = |arguments: &str| {
        let output = espstress_with(arguments);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (status, said) = refused("mqtt --fault close --by link");
    assert!(status == Some(2) && said.contains("for --fault silent alone"), "{status:?}: {said}");
}

#[test]
fn faults_made_of_messages_are_refused_without_a_topic() {
    for arguments in ["mqtt --fault big", "mqtt --fault redeliver --publish a:0", "mqtt --publish a/#"] {
        let output = espstress_with(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {said}");
    }
}

#[cfg(feature = "long")]
#[test]
fn a_small_buffer_and_a_client_that_blocks_while_it_dials_are_named() {
    let Some([small, blocking]) = on_twins([
        quick!("--persona mqtt-small-buffer --fault big --publish espstress/twin-1/cmd"),
        quick!("--persona mqtt-blocking --fault silent --outage 20s"),
    ]) else {
        return;
    };
    assert_eq!(said(&small), [FindingId::MqttBigPacket]);
    let sizes = fault(&small).big.unwrap();
    assert_eq!((sizes.acknowledged_bytes, sizes.failed_bytes), (Some(256), Some(512)));
    assert_eq!(sizes.failed_by, Some(MqttBigEnd::Dropped));
    assert_eq!(said(&blocking), [FindingId::BlockedApplication]);
}

#[cfg(feature = "long")]
#[test]
fn a_client_that_goes_on_after_a_cut_of_two_keep_alives_and_ten_seconds_did_not_notice() {
    let Some([deaf, robust]) = on_twins([
        quick!("--persona mqtt-deaf-ping --fault silent --by link"),
        quick!("--fault silent --by link"),
    ]) else {
        return;
    };
    assert_eq!((said(&deaf), said(&robust)), (vec![FindingId::MqttOutageUnnoticed], vec![]));
    assert!(fault(&deaf).survived && !fault(&robust).survived);
}

/// The whole table of personas on lwIP.
#[cfg(feature = "long")]
#[test]
fn every_persona_is_named_with_the_fault_that_shows_it() {
    if on_twin("head twin -n 1").is_none() {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/lib/mqtt_matrix.py");
    let arguments = ["--stack", "lwip", "--link", "clean", "--at-once", "8", "--only", "mqtt-"];
    let output = std::process::Command::new("python3")
        .args([script, "--program", env!("CARGO_BIN_EXE_espstress")])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
