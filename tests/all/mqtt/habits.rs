//! Clients with one habit each: the finding that names it, and no other.

use std::time::Duration;

use espstress_device::mqtt::{Qos, Will};
use espstress_diagnose::FindingId;
use espstress_event::{MqttBigEnd, MqttLeft};
use espstress_report::Verdict;

use super::client::{Client, Says};
use super::run::{Broker, Said};
use crate::common::{espstress_with, failure};

const PING: Duration = Duration::from_millis(500);

#[test]
fn a_run_that_nobody_connects_to_ends_with_status_three_and_what_to_check() {
    let output = espstress_with("mqtt --listen 0 --wait 300ms");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(output.stdout.is_empty() && said.contains("no MQTT client connected to port "), "{said}");
    assert!(said.contains("waiting for a device to dial ") && said.contains("firewall"), "{said}");
}

#[test]
fn the_same_with_a_target_that_is_known() {
    let output = espstress_with("mqtt 127.0.0.1 --listen 0 --wait 300ms --no-capture --no-probes");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(output.stdout.is_empty() && said.contains("check the broker's address"), "{said}");
}

#[test]
fn tls_and_websockets_are_refused_with_a_sentence() {
    for (port, what) in
        [(8_883, "MQTT over TLS isn't supported"), (9_001, "MQTT over WebSockets isn't supported")]
    {
        let output = espstress_with(&format!("mqtt --listen {port}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(what), "{said}");
    }
}

#[test]
fn scanners_and_http_clients_are_turned_away_and_the_device_is_found() {
    let broker = Broker::start("-d 3s");
    let _scanner = Client::dial(broker.address);
    Client::dial(broker.address).raw(b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n");
    let (device, present) = Client::connect(broker.address, Says::keepalive(1)).unwrap();
    assert!(!present);
    let address = broker.address;
    let device = std::thread::spawn(move || device.ping_until_closed(PING));
    Client::dial(address).raw(b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n");
    assert!(Client::connect(address, Says { id: "hall", ..Says::keepalive(5) }).is_none());
    let said = broker.said();
    device.join().unwrap();
    let mqtt = said.mqtt();
    assert_eq!((said.status, said.findings()), (Some(0), vec![]), "{mqtt:?}");
    assert_eq!((mqtt.turned_away, mqtt.clients.len()), (2, 1), "{mqtt:?}");
    let client = mqtt.target().unwrap();
    assert_eq!((client.keepalive_s, client.connects, client.missed), (1, 1, 0));
    assert!(client.ping_interval.count >= 2 && client.ping_interval.p50_us >= Some(400_000.0), "{client:?}");
}

#[test]
fn a_run_shorter_than_two_keep_alives_is_not_judged() {
    let broker = Broker::start("-d 1s");
    let (device, _) = Client::connect(broker.address, Says::keepalive(60)).unwrap();
    let said = broker.said();
    drop(device);
    assert_eq!((said.status, said.report.verdict), (Some(4), Verdict::Inconclusive));
    assert!(
        said.report.verdict_reasons[0].contains("less than two keep-alives"),
        "{:?}",
        said.report.verdict_reasons
    );
}

#[test]
fn a_keep_alive_that_is_too_long_is_told_also_by_a_run_that_judges_nothing_else() {
    let broker = Broker::start("-d 1s");
    let (device, _) = Client::connect(broker.address, Says::keepalive(600)).unwrap();
    let said = broker.said();
    drop(device);
    assert_eq!((said.status, said.findings()), (Some(4), vec![FindingId::MqttTooLongKeepalive]));
}

/// What waited in the socket together says nothing of the time between.
#[test]
fn a_ping_that_came_together_with_the_packet_before_has_no_interval() {
    let broker = Broker::start("-d 3s");
    let (mut device, _) = Client::connect(broker.address, Says::keepalive(1)).unwrap();
    device.raw(&[0xc0, 0, 0xc0, 0, 0xc0, 0]);
    device.ping_until_closed(Duration::from_millis(700));
    let said = broker.said();
    let client = said.mqtt().target().unwrap();
    assert!(client.pings >= 5, "{client:?}");
    assert!(client.ping_interval.count < client.pings, "{client:?}");
    assert!(client.ping_interval.p50_us >= Some(600_000.0), "{client:?}");
}

#[test]
fn clients_that_take_each_others_place_are_told_and_filters_beyond_the_limit_counted_once() {
    let broker = Broker::start("-d 3s");
    let filters: Vec<String> = (0..70).map(|n| format!("a/{n}")).collect();
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    let mut devices = Vec::new();
    for _ in 0..5 {
        let (mut device, _) = Client::connect(broker.address, Says::keepalive(1)).unwrap();
        device.subscribe(&filters);
        devices.push(device);
    }
    devices.pop().unwrap().ping_until_closed(Duration::from_millis(400));
    let said = broker.said();
    assert_eq!((said.mqtt().taken_over, said.mqtt().beyond_limits), (4, 6));
    assert_eq!(said.findings(), [FindingId::MqttReconnectStorm]);
}

#[test]
fn a_device_that_vanishes_passes_no_run_whatever_its_gates_are() {
    for gate in ["findings.error==0", "mqtt.lost.qos1==0"] {
        let broker = Broker::start(&format!("-d 4s --sequence /n --threshold {gate}"));
        let (mut device, _) = Client::connect(broker.address, Says::keepalive(1)).unwrap();
        for n in 1..4 {
            device.publish(n, &format!("{{\"n\":{n}}}"), false);
            assert!(device.stays(PING));
        }
        drop(device);
        let said = broker.said();
        assert_eq!((said.status, said.findings()), (Some(4), vec![]), "{gate}");
        let reason = &said.report.verdict_reasons[0];
        assert!(reason.contains("away when it ended") && reason.contains("too short"), "{reason}");
        let away = said.mqtt().sessions.away.unwrap();
        assert_eq!(away.left, MqttLeft::Dropped);
        assert!((1_500_000_000..3_500_000_000).contains(&away.length_ns), "{away:?}");
    }
}

#[test]
fn a_device_that_comes_back_after_a_fault_and_vanishes_then_is_named() {
    let broker = Broker::start(
        "--fault slow --cycles 1 --settle 500ms --outage 300ms --recover-limit 1s --every 1s -d 6s",
    );
    let (mut device, _) = Client::connect(broker.address, Says::keepalive(1)).unwrap();
    for _ in 0..5 {
        device.raw(&[0xc0, 0]);
        assert!(device.stays(PING));
    }
    drop(device);
    let said = broker.said();
    assert_eq!((said.status, said.findings()), (Some(1), vec![FindingId::MqttNoReconnect]));
    assert!(said.mqtt().outages[0].survived, "{:?}", said.mqtt().outages);
}

#[test]
fn a_device_that_says_disconnect_and_sleeps_is_judged_by_its_rhythm() {
    let broker = Broker::start("-d 5s");
    let address = broker.address;
    let device = std::thread::spawn(move || {
        for _ in 0..3 {
            let (mut device, _) = Client::connect(address, Says::keepalive(1)).unwrap();
            device.publish(1, "21.5", false);
            assert!(device.stays(Duration::from_millis(200)));
            device.raw(&[0xe0, 0]);
            drop(device);
            std::thread::sleep(Duration::from_millis(800));
        }
        let (device, _) = Client::connect(address, Says::keepalive(1)).unwrap();
        device.ping_until_closed(PING);
    });
    let said = broker.said();
    device.join().unwrap();
    let sessions = &said.mqtt().sessions;
    assert_eq!((said.status, said.findings()), (Some(0), vec![]), "{sessions:?}");
    assert_eq!((sessions.disconnected, sessions.pauses, sessions.dropped.count), (3, 3, 0));
    assert!(sessions.pause_max_s.is_some_and(|s| s >= 0.7) && sessions.away.is_none(), "{sessions:?}");
}

#[test]
fn nobody_knows_whether_a_device_that_said_disconnect_once_sleeps() {
    let broker = Broker::start("-d 3s");
    let (mut device, _) = Client::connect(broker.address, Says::keepalive(1)).unwrap();
    device.raw(&[0xe0, 0]);
    drop(device);
    let said = broker.said();
    assert_eq!((said.status, said.findings()), (Some(4), vec![]));
    let reason = &said.report.verdict_reasons[0];
    assert!(reason.contains("DISCONNECT") && reason.contains("not known"), "{reason}");
}

/// Its keep-alive is over, and the one and a half after which a broker gives it up are not.
#[cfg(feature = "long")]
#[test]
fn a_device_that_is_overdue_at_the_end_passes_no_run() {
    let broker = Broker::start("-d 17s");
    let (mut device, _) = Client::connect(broker.address, Says::keepalive(8)).unwrap();
    for _ in 0..13 {
        device.raw(&[0xc0, 0]);
        assert!(device.stays(PING));
    }
    let said = broker.said();
    drop(device);
    assert_eq!((said.status, said.findings()), (Some(4), vec![]), "{:?}", said.mqtt());
    let away = said.mqtt().sessions.away.unwrap();
    assert_eq!(away.left, MqttLeft::Silent);
    assert!((9_000_000_000..12_250_000_000).contains(&away.length_ns), "{away:?}");
}

#[test]
fn a_device_that_tears_down_session_after_session_is_named() {
    let broker = Broker::start("-d 3s");
    for _ in 0..6 {
        let (mut device, _) = Client::connect(broker.address, Says::keepalive(1)).unwrap();
        device.publish(1, "21.5", false);
        assert!(device.stays(Duration::from_millis(100)));
    }
    let (device, _) = Client::connect(broker.address, Says::keepalive(1)).unwrap();
    device.ping_until_closed(PING);
    let said = broker.said();
    assert_eq!(said.findings(), [FindingId::MqttReconnectStorm]);
    assert_eq!(said.mqtt().sessions.dropped.count, 6, "{:?}", said.mqtt().sessions);
}

#[test]
fn a_device_that_says_nothing_for_one_and_a_half_keep_alives_is_closed_and_named() {
    let broker = Broker::start("-d 7s");
    let (mut device, _) = Client::connect(broker.address, Says::keepalive(2)).unwrap();
    assert!(!device.stays(Duration::from_secs(20)), "the broker closes");
    let said = broker.said();
    assert_eq!((said.status, said.findings()), (Some(1), vec![FindingId::MqttKeepaliveMissed]));
    assert_eq!(said.mqtt().target().unwrap().missed, 1);
}

/// Each session is too short for a verdict on its keep-alive, and both are not.
#[test]
fn sessions_of_a_run_that_is_resumed_are_judged_together() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("soak.log");
    let session = |numbers: std::ops::Range<u32>| {
        let broker = Broker::start(&format!("-d 1300ms --sequence /n --resume {}", log.display()));
        let (mut device, _) = Client::connect(broker.address, Says::keepalive(1)).unwrap();
        for (id, n) in (1..).zip(numbers) {
            device.publish(id, &format!("{{\"n\":{n}}}"), false);
            assert!(device.stays(Duration::from_millis(50)));
        }
        device.ping_until_closed(PING);
        broker.said()
    };
    let first = session(0..3);
    assert_eq!((first.status, first.report.verdict), (Some(4), Verdict::Inconclusive));
    // What it sent meanwhile is not lost: nobody listened.
    let both = session(10..14);
    assert_eq!((both.status, both.findings()), (Some(0), vec![]), "{:?}", both.report.remarks);
    let (row, client) = (&both.mqtt().to_host["1"], both.mqtt().target().unwrap());
    assert_eq!((row.received, row.lost, client.connects), (7, Some(0), 2));
    assert_eq!(both.report.sessions.len(), 2);
    let remarks = &both.report.remarks;
    assert!(!remarks.iter().any(|remark| remark.contains("two keep-alives")), "{remarks:?}");
}

#[test]
fn what_is_no_mqtt_after_a_connect_closes_the_connection_and_no_run_passes() {
    let broker = Broker::start("-d 3s");
    let (mut device, _) = Client::connect(broker.address, Says::keepalive(1)).unwrap();
    // PUBLISH with a quality of service of 3.
    device.raw(&[0x36, 0x05, 0, 1, b't', 0, 1]);
    assert!(!device.stays(Duration::from_secs(20)));
    let said = broker.said();
    assert_eq!((said.mqtt().malformed, said.status), (1, Some(4)), "{:?}", said.mqtt());
    assert_eq!(said.findings(), [FindingId::UnexplainedFailures]);
    assert_eq!(said.mqtt().malformed_last.as_deref(), Some("quality of service 3"));
}

#[test]
fn a_client_that_hangs_up_at_session_present_is_named_for_that_alone() {
    let broker = Broker::start(
        "--fault session-kept --cycles 1 --settle 500ms --outage 300ms --recover-limit 3s --every 1s",
    );
    let says = Says { clean: false, ..Says::keepalive(1) };
    let address = broker.address;
    let device = std::thread::spawn(move || {
        let (device, _) = Client::connect(address, says).unwrap();
        device.ping_until_closed(PING);
        for _ in 0..4 {
            if let Some((client, present)) = Client::connect(address, says) {
                assert!(present);
                drop(client);
            }
            std::thread::sleep(PING);
        }
    });
    let said = broker.said();
    assert_eq!((said.status, said.findings()), (Some(1), vec![FindingId::MqttSessionRefused]));
    // The broker may have gone in the middle of the last attempts.
    let _ = device.join();
}

#[test]
fn a_client_that_comes_back_without_its_subscriptions_is_named() {
    let broker = Broker::start(
        "--fault session-lost --cycles 1 --settle 2s --outage 300ms --subscribe-grace 1s --recover-limit 20s",
    );
    let address = broker.address;
    let (mut device, _) = Client::connect(address, Says::keepalive(1)).unwrap();
    device.subscribe(&["kitchen/set", "all/#"]);
    device.ping_until_closed(PING);
    let (mut device, present) = Client::connect(address, Says::keepalive(1)).unwrap();
    assert!(!present);
    device.subscribe(&["all/#"]);
    device.ping_until_closed(PING);
    let said = broker.said();
    assert_eq!((said.status, said.findings()), (Some(1), vec![FindingId::MqttNotResubscribed]));
    let row = &said.mqtt().outages[0];
    assert_eq!((row.filters_missing, row.session_present, row.survived), (Some(1), Some(false), false));
    assert!(row.back_ns.is_some());
}

#[test]
fn a_client_that_subscribes_late_is_named_for_that() {
    let broker = Broker::start(
        "--fault session-lost --cycles 1 --settle 1s --outage 300ms --subscribe-grace 1s --recover-limit 20s -d 8s",
    );
    let address = broker.address;
    let (mut device, _) = Client::connect(address, Says::keepalive(1)).unwrap();
    device.subscribe(&["kitchen/set"]);
    device.ping_until_closed(PING);
    let (mut device, _) = Client::connect(address, Says::keepalive(1)).unwrap();
    for _ in 0..6 {
        device.raw(&[0xc0, 0]);
        assert!(device.stays(PING));
    }
    device.subscribe(&["kitchen/set"]);
    device.ping_until_closed(PING);
    let said = broker.said();
    assert_eq!((said.status, said.findings()), (Some(1), vec![FindingId::MqttNotResubscribed]));
    let row = &said.mqtt().outages[0];
    assert!(row.resubscribed_ns.is_some_and(|ns| ns >= 2_500_000_000), "{row:?}");
    let statement = &said.report.findings[0].statement;
    assert!(statement.contains("subscribed again only"), "{statement}");
}

/// It comes back only because the broker answers the CONNECT that has waited all the time.
#[cfg(feature = "long")]
#[test]
fn a_client_that_waits_for_its_connack_without_end_is_named() {
    let broker = Broker::start("--fault no-connack --cycles 1 --settle 1s --outage 14s --recover-limit 20s");
    let address = broker.address;
    let (device, _) = Client::connect(address, Says::keepalive(1)).unwrap();
    device.ping_until_closed(PING);
    let (device, _) = Client::connect(address, Says::keepalive(1)).unwrap();
    device.ping_until_closed(PING);
    let said = broker.said();
    assert_eq!((said.status, said.findings()), (Some(1), vec![FindingId::MqttOutageUnnoticed]));
    let row = &said.mqtt().outages[0];
    assert_eq!(row.connack_given_up, Some(0));
    assert!(row.connack_wait_ns.is_some_and(|ns| ns >= 10_000_000_000), "{row:?}");
}

#[test]
fn a_client_that_stays_away_is_named() {
    let broker =
        Broker::start("--fault close --cycles 1 --settle 500ms --outage 500ms --recover-limit 2s --every 1s");
    let (device, _) = Client::connect(broker.address, Says::keepalive(1)).unwrap();
    device.ping_until_closed(PING);
    let said = broker.said();
    assert_eq!((said.status, said.findings()), (Some(1), vec![FindingId::MqttNoReconnect]));
}

#[test]
fn repetitions_without_the_flag_while_the_broker_is_slow_are_named() {
    let broker = Broker::start(
        "--fault slow --cycles 1 --settle 500ms --outage 3s --delay 20s --recover-limit 20s --sequence /n",
    );
    let (mut device, _) = Client::connect(broker.address, Says::keepalive(1)).unwrap();
    // Until the fault, the same words under the same id are new messages each time.
    for _ in 0..2 {
        device.publish(1, r#"{"n":1}"#, false);
        assert!(device.stays(Duration::from_millis(200)));
    }
    for _ in 0..8 {
        device.publish(2, r#"{"n":2}"#, false);
        if !device.stays(PING) {
            break;
        }
    }
    device.publish(3, r#"{"n":3}"#, false);
    device.ping_until_closed(PING);
    let said = broker.said();
    assert_eq!(said.findings(), [FindingId::MqttDupMissing, FindingId::MqttDuplicates]);
    let row = &said.mqtt().to_host["1"];
    assert!(row.again_no_dup >= 2 && row.copies_max >= 3 && row.again_dup == 0, "{row:?}");
    assert_eq!(row.lost, Some(0));
}

#[test]
fn a_client_that_ignores_its_acknowledgements_and_repeats_for_ever_is_named() {
    let broker = Broker::start("-d 4s --sequence /n");
    let (mut device, _) = Client::connect(broker.address, Says::keepalive(1)).unwrap();
    device.publish(1, r#"{"n":1}"#, false);
    for _ in 0..5 {
        assert!(device.stays(Duration::from_millis(300)));
        device.publish(1, r#"{"n":1}"#, true);
    }
    device.ping_until_closed(PING);
    let said = broker.said();
    assert_eq!(said.findings(), [FindingId::MqttDuplicates]);
    let row = &said.mqtt().to_host["1"];
    assert!(row.again_dup == 5 && row.acknowledged_copies_max >= 2 && row.lost == Some(0), "{row:?}");
}

/// The client says at once that it is back, as many do, and its next number comes a while later, or never.
#[test]
fn what_was_lost_in_the_last_fault_shows_by_the_next_number_and_without_one_nobody_knows() {
    for (next, status, findings) in [(Some(9), 1, vec![FindingId::MqttMessageLost]), (None, 4, vec![])] {
        let broker = Broker::start(
            "--fault close --cycles 1 --settle 1s --outage 1s --sequence /n --threshold findings.error==0",
        );
        let (mut device, _) = Client::connect(broker.address, Says::keepalive(1)).unwrap();
        for n in [1, 2] {
            device.publish(n, &format!("{{\"n\":{n}}}"), false);
        }
        device.ping_until_closed(PING);
        let (mut device, _) = Client::connect(broker.address, Says::keepalive(1)).unwrap();
        device.publish(1, r#"{"online":true}"#, false);
        assert!(device.stays(PING));
        if let Some(n) = next {
            device.publish(2, &format!("{{\"n\":{n}}}"), false);
        }
        device.ping_until_closed(PING);
        let said = broker.said();
        assert_eq!((said.status, said.findings()), (Some(status), findings), "{next:?}");
        let row = &said.mqtt().to_host["1"];
        assert_eq!(
            (row.lost, row.quiet_after_fault),
            (Some(if next.is_some() { 6 } else { 0 }), next.is_none())
        );
    }
}

#[test]
fn a_gap_in_the_numbers_of_reliable_messages_is_a_loss_and_one_of_others_worth_knowing() {
    for (id, status, qos) in [(1, Some(1), "1"), (0, Some(0), "0")] {
        let broker = Broker::start("-d 3s --sequence /n --threshold findings.error==0");
        let (mut device, _) = Client::connect(broker.address, Says::keepalive(1)).unwrap();
        for n in [1, 2, 5] {
            device.publish(id, &format!("{{\"n\":{n}}}"), false);
            assert!(device.stays(Duration::from_millis(50)));
        }
        device.ping_until_closed(PING);
        let said = broker.said();
        assert_eq!((said.status, said.findings()), (status, vec![FindingId::MqttMessageLost]));
        assert_eq!(said.mqtt().to_host[qos].lost, Some(2));
    }
}

#[test]
fn a_will_that_is_retained_and_a_birth_that_is_not_are_named() {
    let broker = Broker::start("-d 3s");
    let will = Will { topic: "kitchen/state", payload: b"offline", qos: Qos::AtLeastOnce, retain: true };
    let (mut device, _) =
        Client::connect(broker.address, Says { will: Some(will), ..Says::keepalive(1) }).unwrap();
    device.publish(1, "online", false);
    device.ping_until_closed(PING);
    let said = broker.said();
    assert_eq!((said.status, said.findings()), (Some(0), vec![FindingId::MqttAvailability]));
}

/// Hangs up at the second size, twice.
fn takes_no_300_bytes(settle: &str, keepalive: u16) -> Said {
    let broker = Broker::start(&format!(
        "--fault big --cycles 1 --settle {settle} --publish kitchen/set --sizes 100,300,500 --every 1s --recover-limit 20s"
    ));
    let address = broker.address;
    let device = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut device, _) = Client::connect(address, Says::keepalive(keepalive)).unwrap();
            device.subscribe(&["kitchen/set"]);
            assert!(device.takes_messages_of(299));
        }
        let (mut device, _) = Client::connect(address, Says::keepalive(keepalive)).unwrap();
        device.subscribe(&["kitchen/set"]);
        device.ping_until_closed(PING);
    });
    let said = broker.said();
    device.join().unwrap();
    said
}

#[test]
fn a_client_that_hangs_up_at_a_large_message_is_named_with_its_size() {
    let said = takes_no_300_bytes("3s", 1);
    let row = &said.mqtt().outages[0];
    assert_eq!((said.status, said.findings()), (Some(0), vec![FindingId::MqttBigPacket]), "{row:?}");
    let big = row.big.unwrap();
    assert_eq!((big.acknowledged_bytes, big.failed_bytes), (Some(100), Some(300)), "{row:?}");
    assert_eq!(big.failed_by, Some(MqttBigEnd::Disconnected));
}

/// Its keep-alive is not judged then.
#[test]
fn what_a_device_did_is_told_however_short_it_was_watched() {
    let said = takes_no_300_bytes("500ms", 60);
    assert_eq!((said.status, said.findings()), (Some(4), vec![FindingId::MqttBigPacket]));
    let reason = &said.report.verdict_reasons[0];
    assert!(reason.contains("less than two keep-alives"), "{reason}");
}

#[cfg(feature = "long")]
#[test]
fn a_client_that_acknowledges_nothing_and_goes_on_is_named() {
    let broker = Broker::start("-d 16s --publish kitchen/set --publish-interval 2s");
    let (mut device, _) = Client::connect(broker.address, Says::keepalive(1)).unwrap();
    device.subscribe(&["kitchen/set"]);
    device.ping_until_closed(PING);
    let said = broker.said();
    assert_eq!((said.status, said.findings()), (Some(1), vec![FindingId::MqttNoPuback]));
    let row = &said.mqtt().to_device["1"];
    assert!(row.unacknowledged >= 1 && row.acknowledged == Some(0) && row.sent >= 6, "{row:?}");
}

/// What stands behind `--via` is in reports.
#[test]
fn a_broker_of_via_has_no_login() {
    for via in ["mqtt://user:secret@127.0.0.1:1883", "user:secret@127.0.0.1:1883", "127.0.0.1", "127.0.0.1:0"]
    {
        let (said, status) = failure(&espstress_with(&format!("mqtt 127.0.0.1 --wait 1s --via {via}")));
        assert!(status == 2 && said.contains("HOST:PORT"), "{via}: {status}: {said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

/// Before anybody has waited for a device.
#[test]
fn a_broker_of_via_that_is_not_there_is_told_at_once_and_a_public_one_is_refused() {
    // No name has such a label, so no name server is asked.
    let nowhere = format!("{}:1883", "x".repeat(64));
    for (via, code, says) in
        [(nowhere.as_str(), 3, "cannot find the broker of --via"), ("8.8.8.8:1883", 2, "is a public address")]
    {
        let start = std::time::Instant::now();
        let (said, status) = failure(&espstress_with(&format!("mqtt --listen 0 --wait 100s --via {via}")));
        assert!(status == code && said.contains(says), "{via}: {status}: {said}");
        assert!(start.elapsed() < std::time::Duration::from_secs(60), "{via}: {:?}", start.elapsed());
    }
}
