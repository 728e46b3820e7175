//! Clients that are not ours, in a network namespace of their own, with what the packets show. Keep-alive is five seconds.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use espstress_diagnose::FindingId;
use espstress_event::{MqttFault, MqttSign};
use espstress_report::{MqttFigures, Report};

use crate::common::apart::{OWN_NETWORK, apart, ip};
use crate::common::{espstress, skipped, valid_report};

/// What to set ESPSTRESS_REQUIRE to where these must not be skipped.
const NEEDS: &str = "mqtt";
/// The same for those with mqtt_as.
const MQTT_AS: &str = "mqtt-as";

/// A Python that has paho-mqtt: `ESPSTRESS_PAHO`, else the virtual environment that CI makes, else the system's.
fn paho_python() -> Option<PathBuf> {
    let venv = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/mqtt-venv/bin/python");
    let named = std::env::var_os("ESPSTRESS_PAHO").map(PathBuf::from);
    let has = |python: &PathBuf| {
        let import = Command::new(python).args(["-c", "import paho.mqtt.client"]).output();
        import.is_ok_and(|output| output.status.success())
    };
    named.into_iter().chain([venv, PathBuf::from("python3")]).find(has)
}

/// paho-mqtt with its own reconnection, a numbered message each second where `publishes`.
fn paho(clean: bool, publishes: bool) -> Option<Command> {
    let Some(python) = paho_python() else {
        skipped(NEEDS, "no Python with paho-mqtt");
        return None;
    };
    let mut command = Command::new(python);
    command.arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/all/mqtt/paho_client.py"));
    command.args([if clean { "clean" } else { "lasting" }, if publishes { "publish" } else { "idle" }]);
    Some(command)
}

/// mqtt_as on MicroPython's Unix port, with stand-ins for a board and its Wi-Fi. Its file is not ours to keep here:
/// `ESPSTRESS_MQTT_AS` names the folder that has it, and `MICROPYTHON` an interpreter that is not on the path.
fn mqtt_as(clean: bool) -> Option<Command> {
    let Some(folder) = std::env::var_os("ESPSTRESS_MQTT_AS").map(PathBuf::from) else {
        skipped(MQTT_AS, "ESPSTRESS_MQTT_AS does not name the folder of mqtt_as");
        return None;
    };
    let interpreter = std::env::var_os("MICROPYTHON").unwrap_or_else(|| "micropython".into());
    if Command::new(&interpreter).args(["-c", "import asyncio"]).output().is_err() {
        skipped(MQTT_AS, "no micropython");
        return None;
    }
    let mut command = Command::new(interpreter);
    command.env("MICROPYPATH", format!(".frozen:{}", folder.display()));
    command.arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/all/mqtt/micropython/client.py"));
    command.arg(if clean { "clean" } else { "lasting" });
    Some(command)
}

/// Mosquitto's subscriber.
fn mosquitto_sub() -> Option<Command> {
    if Command::new("mosquitto_sub").arg("--help").output().is_err() {
        skipped(NEEDS, "no mosquitto_sub");
        return None;
    }
    let mut command = Command::new("mosquitto_sub");
    command.args(["-h", "127.0.0.1", "-k", "5", "-t", "espstress/cmd", "-i", "subscriber"]);
    Some(command)
}

/// Mosquitto's publisher, a numbered line each second.
fn mosquitto_pub() -> Option<Command> {
    if Command::new("mosquitto_pub").arg("--help").output().is_err() {
        skipped(NEEDS, "no mosquitto_pub");
        return None;
    }
    let mut command = Command::new("sh");
    let lines = "n=0; while sleep 1; do n=$((n+1)); echo \"{\\\"n\\\":$n}\"; done";
    let publish = "mosquitto_pub -h 127.0.0.1 -k 5 -q 1 -l -t espstress/data -i publisher";
    command.args(["-c", &format!("({lines}) | exec {publish}")]);
    Some(command)
}

/// A Mosquitto on port 1884, until it is dropped.
fn mosquitto() -> Option<Ends> {
    ip("link set lo up");
    // In a namespace of an ordinary user's there is no other user whose rights it could take.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "user root\nlistener 1884 127.0.0.1\nallow_anonymous true\n").unwrap();
    let mut command = Command::new("mosquitto");
    let started = command.arg("-c").arg(file.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let Ok(child) = started else {
        skipped(NEEDS, "no mosquitto");
        return None;
    };
    let mut broker = Ends(child);
    while std::net::TcpStream::connect("127.0.0.1:1884").is_err() {
        assert!(broker.0.try_wait().unwrap().is_none(), "Mosquitto has ended");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Some(broker)
}

struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        // A shell's children as well.
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.0.id())]).status();
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A run against this client, and its exit status.
fn run(client: Option<Command>, arguments: &str) -> Option<(Report, Option<i32>)> {
    let mut client = client?;
    ip("link set lo up");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    // Without a fault these would have no effect.
    let faulty: &[&str] =
        if arguments.contains("--fault none") { &[] } else { &["--settle", "6s", "--cycles", "1"] };
    let broker = espstress()
        .args(["mqtt", "127.0.0.1", "-o"])
        .arg(&file)
        .args(faulty)
        .args(arguments.split_whitespace())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut broker = Ends(broker);
    // mosquitto_sub gives up where nobody listens yet.
    while std::net::TcpStream::connect("127.0.0.1:1883").is_err() {
        assert!(broker.0.try_wait().unwrap().is_none(), "the broker has ended");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let client = client.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn().unwrap();
    let client = Ends(client);
    let status = broker.0.wait().unwrap().code();
    drop(client);
    let report = valid_report(&std::fs::read(file).unwrap());
    assert_eq!(report.target.address, "127.0.0.1", "nothing asked at a port of its");
    // For whoever reads that a test failed.
    let said: Vec<_> = report.findings.iter().map(|found| &found.statement).collect();
    println!("status {status:?}: {:?} {said:?}", report.verdict_reasons);
    Some((report, status))
}

/// The same without what mqtt_as shows in every run: it sends each packet in pieces, and Nagle's algorithm holds them back.
fn findings_but_nagle(report: &Report) -> Vec<FindingId> {
    findings(report).into_iter().filter(|id| *id != FindingId::NagleDelay).collect()
}

fn mqtt(report: &Report) -> &MqttFigures {
    report.workloads[0].mqtt.as_ref().unwrap()
}

/// Errors and warnings about the device.
fn findings(report: &Report) -> Vec<FindingId> {
    let about_host = [FindingId::HostLimited, FindingId::CaptureIncomplete];
    report.findings.iter().map(|f| f.id).filter(|id| !about_host.contains(id)).collect()
}

/// Seconds after which the device noticed its first fault.
fn noticed(report: &Report) -> f64 {
    mqtt(report).outages[0].device_notices_ns.unwrap() as f64 / 1e9
}

macro_rules! strangers {
    ($($name:ident => $body:expr;)*) => {$(
        #[test]
        #[cfg(feature = "long")]
        fn $name() {
            apart(NEEDS, concat!(module_path!(), "::", stringify!($name)), &OWN_NETWORK, $body);
        }
    )*};
}

strangers! {
    an_idle_mosquitto_sub_pings_at_its_keep_alive_and_nothing_is_found => || {
        let Some((report, status)) = run(mosquitto_sub(), "--fault none -d 32s") else { return };
        let client = mqtt(&report).target().unwrap().clone();
        assert_eq!((status, findings(&report)), (Some(0), vec![]), "{client:?}");
        let p50 = client.ping_interval.p50_us.unwrap() / 1e6;
        assert!(client.ping_interval.count >= 4 && (4.0..=5.6).contains(&p50), "{client:?}");
    };

    paho_with_numbered_messages_loses_none_and_repeats_none => || {
        let Some((report, status)) = run(paho(true, true), "--fault none -d 30s --sequence /n") else { return };
        let row = &mqtt(&report).to_host["1"];
        assert_eq!((status, findings(&report)), (Some(0), vec![]));
        assert_eq!((row.lost, row.again_dup, row.again_no_dup, row.again_new_id), (Some(0), 0, 0, Some(0)));
        assert!(row.received >= 20, "{row:?}");
    };

    paho_notices_a_dead_path_is_back_soon_and_loses_nothing => || {
        let arguments = "--fault silent --outage 20s --sequence /n";
        let Some((report, status)) = run(paho(true, true), arguments) else { return };
        let row = mqtt(&report).outages[0].clone();
        assert_eq!((status, findings(&report)), (Some(0), vec![]), "{row:?}");
        assert!((4.0..=11.5).contains(&noticed(&report)), "{row:?}");
        assert!(row.host_notices_ns.is_some_and(|ns| ns <= 7_500_000_000), "{row:?}");
        assert!(row.back_ns.is_some_and(|ns| ns <= 8_000_000_000), "{row:?}");
        assert_eq!((mqtt(&report).to_host["1"].lost, mqtt(&report).to_host["1"].again_no_dup), (Some(0), 0));
    };

    mosquitto_sub_notices_a_dead_path_and_subscribes_again => || {
        let Some((report, status)) = run(mosquitto_sub(), "--fault silent --outage 20s") else { return };
        let row = mqtt(&report).outages[0].clone();
        assert_eq!((status, findings(&report)), (Some(0), vec![]), "{row:?}");
        assert!(noticed(&report) <= 13.0 && row.resubscribed_ns.is_some(), "{row:?}");
    };

    paho_notices_a_frozen_broker_and_its_own_take_over_is_no_fault => || {
        let Some((report, status)) = run(paho(true, true), "--fault frozen --outage 20s --sequence /n") else {
            return;
        };
        let row = mqtt(&report).outages[0].clone();
        assert_eq!((status, findings(&report)), (Some(0), vec![]), "{row:?}");
        assert!((3.0..=11.5).contains(&noticed(&report)) && row.attempts >= Some(1), "{row:?}");
        assert_eq!(mqtt(&report).to_host["1"].lost, Some(0));
    };

    mosquitto_sub_closes_a_keep_alive_after_a_pingreq_that_nobody_answers => || {
        let Some((report, status)) = run(mosquitto_sub(), "--fault no-pingresp --outage 20s") else { return };
        let row = mqtt(&report).outages[0].clone();
        assert_eq!((status, findings(&report)), (Some(0), vec![]), "{row:?}");
        assert!((4.0..=12.0).contains(&noticed(&report)) && row.device_sign == Some(MqttSign::Fin), "{row:?}");
    };

    a_missing_pingresp_beside_other_packets_is_not_judged => || {
        // It drops its third session half a second after the fault, and the run ends before it has dialled again.
        let arguments = "--fault no-pingresp --outage 30500ms";
        let Some((report, status)) = run(paho(true, true), arguments) else { return };
        let row = mqtt(&report).outages[0].clone();
        assert_eq!((status, findings(&report)), (Some(0), vec![]), "{row:?}");
        assert_eq!(row.not_judged.as_deref(), Some("other packets went to the device"));
    };

    paho_backs_off_from_a_broker_that_refuses_it => || {
        let Some((report, status)) = run(paho(true, true), "--fault refuse --code 3 --outage 15s") else { return };
        let row = mqtt(&report).outages[0].clone();
        assert_eq!((status, findings(&report)), (Some(0), vec![]), "{row:?}");
        assert!(row.attempts >= Some(3) && row.gap_max_ns >= row.gap_min_ns.map(|ns| ns * 3 / 2), "{row:?}");
    };

    paho_takes_a_session_that_was_kept_and_subscribes_again_where_it_was_lost => || {
        let arguments = "--fault session-kept,session-lost --every 10s";
        let Some((report, status)) = run(paho(false, false), arguments) else { return };
        let rows = &mqtt(&report).outages;
        assert_eq!((status, findings(&report)), (Some(0), vec![]), "{rows:?}");
        assert_eq!((rows[0].fault, rows[0].session_present), (MqttFault::SessionKept, Some(true)));
        assert_eq!((rows[1].session_present, rows[1].filters_missing), (Some(false), None));
        assert!(rows[1].resubscribed_ns.is_some(), "{rows:?}");
    };

    paho_is_seen_alike_in_front_of_mosquitto => || {
        let Some(_mosquitto) = mosquitto() else { return };
        let arguments = "--via 127.0.0.1:1884 --fault frozen,close --outage 20s --sequence /n";
        let Some((report, status)) = run(paho(false, true), arguments) else { return };
        let rows = &mqtt(&report).outages;
        assert_eq!((status, findings(&report)), (Some(0), vec![]), "{rows:?}");
        assert!((3.0..=11.5).contains(&noticed(&report)) && rows[0].attempts >= Some(1), "{rows:?}");
        assert!(rows.iter().all(|row| row.back_ns.is_some() && row.session_present == Some(true)), "{rows:?}");
        assert_eq!(mqtt(&report).to_host["1"].lost, Some(0));
    };

    mosquitto_sub_in_front_of_mosquitto_misses_a_pingresp_that_is_withheld => || {
        let Some(_mosquitto) = mosquitto() else { return };
        let arguments = "--via 127.0.0.1:1884 --fault no-pingresp --outage 20s";
        let Some((report, status)) = run(mosquitto_sub(), arguments) else { return };
        let row = mqtt(&report).outages[0].clone();
        assert_eq!((status, findings(&report)), (Some(0), vec![]), "{row:?}");
        assert!((4.0..=12.0).contains(&noticed(&report)) && row.device_sign == Some(MqttSign::Fin), "{row:?}");
    };

    a_broker_that_is_not_there_is_no_fault_of_the_devices => || {
        ip("link set lo up");
        let mut command = espstress();
        command.args(["mqtt", "127.0.0.1", "--wait", "1s", "--via", "127.0.0.1:1884"]);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("cannot connect to the broker at 127.0.0.1:1884"), "{said}");
    };

    mosquitto_pub_ends_or_comes_back_and_either_is_said_as_it_is => || {
        let arguments = "--fault close --outage 5s --sequence /n --recover-limit 15s";
        let Some((report, _)) = run(mosquitto_pub(), arguments) else { return };
        let row = mqtt(&report).outages[0].clone();
        let back = row.back_ns.is_some() || row.survived;
        let expected = if back { vec![] } else { vec![FindingId::MqttNoReconnect] };
        assert_eq!(findings(&report), expected, "{row:?}, {:?}", mqtt(&report).to_host);
    };

    mqtt_as_pings_each_quarter_of_its_keep_alive_whatever_else_it_sends => || {
        let Some((report, status)) = run(mqtt_as(true), "--fault none -d 30s --sequence /n") else { return };
        let client = mqtt(&report).target().unwrap();
        assert_eq!((status, findings_but_nagle(&report)), (Some(0), vec![]), "{client:?}");
        assert!((20..=26).contains(&client.pings) && mqtt(&report).to_host["1"].lost == Some(0), "{client:?}");
    };

    mqtt_as_is_back_after_a_dead_path_and_loses_nothing => || {
        let arguments = "--fault silent --outage 20s --sequence /n";
        let Some((report, status)) = run(mqtt_as(true), arguments) else { return };
        let row = mqtt(&report).outages[0].clone();
        assert_eq!((status, findings_but_nagle(&report)), (Some(0), vec![]), "{row:?}");
        assert!(noticed(&report) <= 15.0 && row.back_ns.is_some_and(|ns| ns <= 15_000_000_000), "{row:?}");
        let sent = &mqtt(&report).to_host["1"];
        assert_eq!((sent.lost, sent.again_no_dup, sent.again_new_id), (Some(0), 0, Some(0)), "{sent:?}");
    };

    mqtt_as_takes_any_packet_for_a_pingresp_and_is_not_judged => || {
        let Some((report, status)) = run(mqtt_as(true), "--fault no-pingresp --outage 30s") else { return };
        let row = mqtt(&report).outages[0].clone();
        assert_eq!((status, findings_but_nagle(&report)), (Some(0), vec![]), "{row:?}");
        assert_eq!(row.not_judged.as_deref(), Some("other packets went to the device"));
    };

    mqtt_as_sends_again_under_a_new_id_where_the_broker_is_slow_and_no_flag_is_missed => || {
        let arguments = "--fault slow --delay 12s --outage 40s --sequence /n";
        let Some((report, status)) = run(mqtt_as(true), arguments) else { return };
        let (row, sent) = (mqtt(&report).outages[0].clone(), mqtt(&report).to_host["1"].clone());
        assert_eq!((status, findings_but_nagle(&report)), (Some(0), vec![]), "{row:?}");
        assert!(row.attempts >= Some(1) && sent.again_no_dup == 0, "{row:?}, {sent:?}");
        assert!(sent.again_new_id > Some(0) && sent.lost == Some(0), "{sent:?}");
    };

    mqtt_as_gives_up_a_session_that_was_kept => || {
        let arguments = "--fault session-kept --recover-limit 30s";
        let Some((report, status)) = run(mqtt_as(false), arguments) else { return };
        let row = mqtt(&report).outages[0].clone();
        let found = vec![FindingId::MqttSessionRefused];
        assert_eq!((status, findings_but_nagle(&report)), (Some(1), found), "{row:?}");
        assert!(row.present_refused >= 2 && row.gave_up_ns.is_some(), "{row:?}");
    };

    paho_comes_back_after_a_restart_of_the_broker => || {
        let Some((report, status)) = run(paho(true, true), "--fault close,reset --outage 5s --every 15s") else {
            return;
        };
        assert_eq!((status, findings(&report)), (Some(0), vec![]), "{:?}", mqtt(&report).outages);
        assert!(mqtt(&report).outages.iter().all(|row| row.back_ns.is_some()), "{:?}", mqtt(&report).outages);
    };
}
