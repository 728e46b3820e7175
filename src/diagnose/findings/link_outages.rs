//! `link_outages`: the link was away for a time, and came back, and nobody here made it so.
//!
//! Evidence: spells in which no ping and no telemetry was answered and no packet came; outages that an outage
//! workload saw and did not make; disconnections that the device counted and the run did not ask for.
//!
//! Neighbours: outages that were made; a restart; a program that hangs (ping goes on all the while); a testing machine
//! that stood still for half of the time or more.
//! A link that is away at the end is `device_unreachable`.
//!
//! Threshold: two probes of each kind lost in a row, which single losses seldom do to both kinds at once: then the
//! packets beside them, where there is a capture, show that the device was there.

use super::super::facts;
use super::super::{Evidence, Finding, FindingId, OutageOrigin, OutageRow, Recovery, Severity};
use super::FindingEntry;
use super::text::{things, time};

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::LinkOutages,
    severity: Severity::Warning,
    meaning: "the link dropped and came back",
    needs: "ping, telemetry, an outage workload, or the device's disconnect count",
    neighbours: "outages that the test caused; restarts; a program that hangs while ping still works; a stall \
                 of this machine",
    change: "check signal strength, channel and access point; reconnect on WIFI_EVENT_STA_DISCONNECTED",
};

/// Natural outages of outage workloads in which the device's stack was silent as well, as far as anybody asked.
fn natural(e: &Evidence<'_>) -> Vec<OutageRow> {
    let mute = facts::mute::mute(e);
    e.workloads
        .iter()
        .filter_map(|w| w.outages.as_ref())
        .flat_map(|o| &o.rows)
        .filter(|row| row.outage.origin == OutageOrigin::Natural)
        // A device that does not dial in again is another matter.
        .filter(|row| !matches!(row.recovery, Recovery::NotBack(_)))
        .map(|row| row.outage)
        .filter(|row| !mute.contains(row))
        .filter(|row| {
            let Some(start) = row.seen_start_ns else { return true };
            let end = start.saturating_add(row.length_ns().unwrap_or(u64::MAX));
            !facts::explained(e, start, Some(end)) && !facts::host_stood_still(e, start, Some(end))
        })
        .collect()
}

fn disconnects(e: &Evidence<'_>) -> u64 {
    facts::telemetry(e).map_or(0, |t| t.wifi_disconnects.unwrap_or(0).saturating_sub(t.wifi_disconnects_made))
}

/// Whether the device's telemetry proves its restarts, and the probes show silences that none of them made.
pub(super) fn are_apart_from_restarts(e: &Evidence<'_>) -> bool {
    facts::restarts::restarts(e) > 0 && !facts::natural_silences(e).is_empty()
}

pub(super) fn find(e: &Evidence<'_>) -> Option<Finding> {
    let (silences, natural, disconnects) = (facts::natural_silences(e), natural(e), disconnects(e));
    let outages = (silences.len() as u64).max(natural.len() as u64).max(disconnects);
    if outages == 0 {
        return None;
    }
    // A device that restarts tells so.
    let told = facts::telemetry(e).is_some();
    let mut evidence: Vec<String> = silences
        .iter()
        .take(5)
        .map(|s| {
            let length = s.to_ns.unwrap_or(s.from_ns).saturating_sub(s.from_ns);
            format!("no probe answered from {} for {}", time(s.from_ns), time(length))
        })
        .collect();
    evidence.extend(natural.iter().take(5).map(|row| {
        let at = row.seen_start_ns.map_or_else(String::new, |ns| format!(" at {}", time(ns)));
        let length = row.length_ns().map_or_else(String::new, |ns| format!(", for {}", time(ns)));
        format!("an outage that this test didn't cause{at}{length}")
    }));
    if disconnects > 0 {
        let reason = facts::telemetry(e).and_then(|t| t.wifi_last_reason.as_deref()).unwrap_or("not told");
        evidence.push(format!(
            "the device reports {} from its access point, last reason {reason}",
            things(disconnects, "disconnection")
        ));
    }
    if silences.is_empty() && disconnects == 0 && no_probe_lost(e) {
        return Some(between_probes(outages, evidence));
    }
    Some(Finding {
        id: FindingId::LinkOutages,
        severity: Severity::Warning,
        statement: if told {
            format!(
                "The link dropped and came back: {}. This test did not cause it.",
                things(outages, "outage")
            )
        } else {
            format!(
                "The device or its link dropped and came back: {}. This test did not cause it.",
                things(outages, "outage")
            )
        },
        evidence,
        cause: if told {
            "radio: range, interference, roaming, or an access point that drops the station".into()
        } else {
            "radio: range, interference, roaming, or an access point that drops the station; or the device \
             restarted, which looks the same without telemetry"
                .into()
        },
        change: "compare signal strength (esp_wifi_sta_get_ap_info) and disconnect reasons; BEACON_TIMEOUT \
                 means that the signal is too weak: esp_wifi_set_inactive_time() tolerates longer gaps"
            .into(),
    })
}

/// Whether every ping, or every telemetry request, was answered.
fn no_probe_lost(e: &Evidence<'_>) -> bool {
    facts::datagram_probe(e).is_some_and(|probe| probe.sent > 0 && probe.answered >= probe.sent)
}

/// Connections were silent for less than two probes take: nobody knows whether the link was away in between.
fn between_probes(outages: u64, mut evidence: Vec<String>) -> Finding {
    evidence
        .push("all pings or telemetry requests got an answer meanwhile; one goes out each second".to_owned());
    Finding {
        id: FindingId::LinkOutages,
        severity: Severity::Warning,
        statement: format!(
            "Connections of the device fell silent {}, though no probe was lost. This test did not cause it.",
            super::text::times(outages)
        ),
        evidence,
        cause: "the program stood still for a moment, or the link was away between two probes".into(),
        change:
            "look at what the program does at that time: it may block in the task that serves its connections"
                .into(),
    }
}
