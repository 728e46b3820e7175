//! The twin's own console: the finding quotes the device's own words, where a device would say any.

use super::*;
use espstress_diagnose::Finding;
use espstress_report::{TimelineKind, TimelineSource};

/// A run on the twin that prints an ESP-IDF style console.
macro_rules! speaking {
    ($($more:literal)*) => {
        concat!($($more,)* " --console-style idf --watch 0s")
    };
}

/// The finding with this id.
#[track_caller]
fn found(report: &Report, id: FindingId) -> &Finding {
    let found = report.findings.iter().find(|finding| finding.id == id);
    found.unwrap_or_else(|| panic!("no {}: {:?}, {:?}", id.name(), report.findings, report.console))
}

/// Whether a finding quotes a line of the console with these words.
fn quotes(finding: &Finding, words: &str) -> bool {
    finding.evidence.iter().any(|line| line.starts_with("console at ") && line.contains(words))
}

#[track_caller]
fn quoted(report: &Report, id: FindingId, words: &str) {
    let finding = found(report, id);
    assert!(quotes(finding, words), "{words}: {finding:?}, {:?}", report.console);
}

/// What of its own the console says of a crash, a brownout and a watchdog.
fn of_console(report: &Report) -> [bool; 3] {
    [FindingId::DeviceCrashed, FindingId::Brownout, FindingId::Watchdog]
        .map(|id| report.findings.iter().any(|finding| finding.id == id))
}

#[test]
fn the_limit_is_named_with_the_devices_own_line() {
    let Some(report) = on_twin(speaking!(
        "half-open twin --persona leaky --connections 8 --baseline 300ms --expect-reclaim 1s --watch-reclaim 1500ms "
        "--client-interval 200ms"
    )) else {
        return;
    };
    let console = report.console.as_ref().expect("the twin prints one");
    assert!(console.counts.contains_key("accept ENFILE"), "{:?}", console.counts);
    let quoted = report.findings.iter().flat_map(|f| &f.evidence);
    let quoted: Vec<_> =
        quoted.filter(|line| line.contains("httpd_accept_conn: error in accept (23)")).collect();
    assert!(quoted.iter().any(|line| line.contains("ENFILE - no free socket")), "{:?}", report.findings);
    let rows = report.timeline.rows.iter();
    let errors = rows.filter(|row| row.kind == TimelineKind::Error && row.source == TimelineSource::Console);
    assert!(errors.count() > 0, "{:?}", report.timeline);
}

#[test]
fn sockets_that_are_held_are_told_by_accept_whoever_holds_them() {
    let Some([half_closer, forgetful]) = on_twins([
        speaking!("head twin --persona half-closer -c 4 -n 12 --timeout-connect 1s --timeout-read 1s"),
        speaking!(
            "half-open twin --persona no-keepalive --connections 8 --baseline 300ms --expect-reclaim 1s "
            "--watch-reclaim 1500ms --client-interval 200ms"
        ),
    ]) else {
        return;
    };
    quoted(&half_closer, FindingId::SocketExhaustion, "error in accept (23)");
    quoted(&forgetful, FindingId::HalfOpenNotReclaimed, "error in accept (23)");
}

#[test]
fn a_heap_that_is_used_up_is_told_by_the_allocation_that_fails() {
    let Some(report) =
        on_twin(speaking!("head twin --persona hoarder:bytes=16KiB -n 40 --rate 20/s --timeout-read 1s"))
    else {
        return;
    };
    quoted(&report, FindingId::NoMemoryReported, "Failed to allocate 16384 bytes");
    assert!(report.console.as_ref().unwrap().counts.contains_key("allocate allocation failed"));
}

/// What each reset reason is told as, with the line that says so.
const RESTARTS: [(&str, [bool; 3], FindingId, &str); 3] = [
    ("PANIC", [true, false, false], FindingId::DeviceCrashed, "Guru Meditation Error"),
    ("BROWNOUT", [false, true, false], FindingId::Brownout, "Brownout detector was triggered"),
    ("TASK_WDT", [false, false, true], FindingId::Watchdog, "Task watchdog got triggered"),
];

#[track_caller]
fn restarts_are_told_apart(reports: &[Report]) {
    for (report, (reason, wanted, id, line)) in reports.iter().zip(RESTARTS) {
        assert_eq!(of_console(report), wanted, "{reason}: {:?}", report.findings);
        quoted(report, id, line);
        let rebooted = found(report, FindingId::DeviceRebooted);
        assert!(rebooted.statement.contains(&format!("reset reason: {reason}")), "{rebooted:?}");
        assert!(rebooted.evidence.iter().any(|e| e.contains(line)), "{rebooted:?}");
    }
}

#[test]
fn a_panic_a_brownout_and_a_watchdog_are_told_apart_with_packets() {
    let reports = on_twins([
        speaking!("head twin --no-probes --persona rebooting:every=800ms -d 2s --rate 20/s"),
        speaking!("head twin --no-probes --persona rebooting:every=800ms,reason=brownout -d 2s --rate 20/s"),
        speaking!("head twin --no-probes --persona rebooting:every=800ms,reason=watchdog -d 2s --rate 20/s"),
    ]);
    if let Some(reports) = reports {
        restarts_are_told_apart(&reports);
    }
}

#[test]
fn a_panic_a_brownout_and_a_watchdog_are_told_apart_without_packets() {
    let reports = ["panic", "brownout", "watchdog"].map(|reason| {
        let run = format!(
            "head twin --no-capture --no-probes --persona rebooting:every=800ms,reason={reason} -d 2s --rate 20/s \
             --console-style idf --json -q --no-gate"
        );
        let output = espstress().args(run.split_whitespace()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(3) {
            skipped("twin", &said);
            return None;
        }
        assert_eq!(output.status.code(), Some(0), "{run}: {said}");
        Some(valid_report(&output.stdout))
    });
    let reports: Option<Vec<Report>> = reports.into_iter().collect();
    if let Some(reports) = reports {
        restarts_are_told_apart(&reports);
    }
}

#[test]
fn without_a_console_and_without_telemetry_nobody_claims_to_know_why_it_restarted() {
    let Some(reports) = on_twins([
        "rw twin --no-probes --persona rebooting:every=800ms,reason=brownout -c 2 --rate 20/s -d 2s --watch 0s",
        "rw twin --no-probes --persona rebooting:every=800ms,reason=watchdog -c 2 --rate 20/s -d 2s --watch 0s",
    ]) else {
        return;
    };
    for report in &reports {
        assert_eq!(of_console(report), [false; 3], "{:?}", report.findings);
        let text =
            format!("{:?}", report.findings.iter().map(|f| (&f.statement, &f.evidence)).collect::<Vec<_>>());
        assert!(!["BROWNOUT", "TASK_WDT", "reset reason:"].iter().any(|word| text.contains(word)), "{text}");
    }
}

#[test]
fn a_fault_that_a_device_does_not_notice_is_found_and_nothing_is_quoted() {
    let Some(reports) = on_twins([
        speaking!("head twin --persona unread-close -c 4 -n 40"),
        speaking!("head twin --persona early-close --request-delay 300ms -c 4 -n 12"),
        speaking!("head twin --persona slow-accept -c 16 -n 16 --timeout-connect 1s --timeout-read 1s"),
        speaking!(
            "half-open twin --persona serial --connections 3 --baseline 300ms --expect-reclaim 1s --watch-reclaim 1500ms"
        ),
        speaking!("head twin --persona robust -c 4 -n 40"),
    ]) else {
        return;
    };
    for report in &reports {
        let console = report.console.as_ref().unwrap();
        // A client that gives up may be told as one that is gone; nobody is told as a reason.
        let told: Vec<&String> = console.counts.keys().collect();
        let of_clients = |key: &&&String| key.starts_with("receive ") || key.starts_with("send ");
        let known = ["restart", "wifi_up", "address"];
        let other = told.iter().filter(|key| !of_clients(key)).find(|key| !known.contains(&key.as_str()));
        assert_eq!(other, None, "{told:?}");
        let evidence: Vec<&String> = report.findings.iter().flat_map(|f| &f.evidence).collect();
        assert!(evidence.iter().all(|line| !line.contains("console at")), "{evidence:?}");
    }
    assert!(reports[..4].iter().all(|report| !report.findings.is_empty()));
    assert_eq!(said(&reports[4]), []);
}

/// A keep-alive of a second, so that a run may be short.
macro_rules! mqtt {
    ($($more:literal)*) => {
        speaking!(
            "mqtt twin --device-keepalive 1s --device-interval 250ms --cycles 1 --settle 1s " $($more)*
        )
    };
}

#[test]
fn a_session_that_ends_is_told_in_the_words_of_the_mqtt_client() {
    let Some([storm, blind]) = on_twins([
        mqtt!("--persona mqtt-storm --fault close --outage 2s"),
        mqtt!("--persona mqtt-session-blind --fault session-kept --outage 300ms --recover-limit 3s"),
    ]) else {
        return;
    };
    quoted(
        &storm,
        FindingId::MqttReconnectStorm,
        "mqtt_client: esp_mqtt_handle_transport_read_error: transport_read(): EOF",
    );
    quoted(&blind, FindingId::MqttSessionRefused, "mqtt_client: ");
}

#[cfg(feature = "long")]
#[test]
fn a_program_that_hangs_is_told_by_the_task_watchdog() {
    let load = speaking!(
        "head twin --persona frozen:requests=20 -c 2 --rate 10/s -d 12s --timeout-connect 1s --timeout-read 1s"
    );
    let Some(report) = on_twin(load) else { return };
    quoted(&report, FindingId::BlockedApplication, "Task watchdog got triggered");
    let watchdog = found(&report, FindingId::Watchdog);
    assert!(watchdog.statement.contains("task device held the processor"), "{watchdog:?}");
}

#[cfg(feature = "long")]
#[test]
fn each_mqtt_persona_whose_client_notices_anything_is_quoted() {
    let Some([late, no_retry, blocking, deaf]) = on_twins([
        speaking!("mqtt twin --device-keepalive 1s --device-interval 250ms --persona mqtt-late-ping -d 12s"),
        mqtt!("--persona mqtt-no-retry --fault close --outage 1s --recover-limit 5s"),
        mqtt!("--persona mqtt-blocking --fault silent --outage 20s"),
        mqtt!("--persona mqtt-deaf-ping --fault silent --by link --outage 12s"),
    ]) else {
        return;
    };
    // A RST, not EOF, where a packet of the device's crossed the FIN.
    quoted(&no_retry, FindingId::MqttNoReconnect, "transport_read()");
    quoted(&blocking, FindingId::BlockedApplication, "mqtt_client: ");
    // Nothing happened to it but the end of the run, which is no evidence.
    let late = found(&late, FindingId::MqttKeepaliveMissed);
    assert!(!quotes(late, "mqtt_client"), "{late:?}");
    // It waits for no answer, so it notices nothing.
    assert!(!deaf.console.as_ref().unwrap().counts.contains_key("mqtt no PINGRESP"), "{:?}", deaf.console);
}

#[cfg(feature = "long")]
#[test]
fn a_twin_that_restarts_says_so_on_its_console_and_the_restart_is_counted_once() {
    let Some(report) =
        on_twin("head twin --persona rebooting:every=4s --console-style idf --duration 10s --rate 20/s")
    else {
        return;
    };
    let starts = report.console.as_ref().unwrap().counts.get("restart").copied().unwrap_or(0);
    // A busy machine stretches the run, and the device goes on restarting: each of its lives lasts 4 s.
    let most = report.duration_s / 4.0;
    assert!(
        starts >= 1 && starts as f64 <= most,
        "{starts} in {} s: {:?}",
        report.duration_s,
        report.console
    );
    assert_eq!(report.telemetry.as_ref().unwrap().reboots, Some(starts), "{:?}", report.timeline);
}
