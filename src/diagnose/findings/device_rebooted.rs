//! `device_rebooted`: the device started anew during the run.
//!
//! Evidence: telemetry whose uptime went back or whose count of starts grew. Without telemetry it can only be
//! suspected: exchanges on standing connections are cut by RSTs, few against what succeeds, and service goes on
//! at once: a stack that has forgotten its connections answers their next segment with a RST.
//!
//! Neighbours: everything that a restart brings with it (resets, silence, refused connections). It comes first.
//! A device that resets connections as a habit does so on a large share of the exchanges, or after the response:
//! hence the factor.

use std::collections::BTreeMap;

use super::super::{Evidence, Finding, FindingId, Severity};
use super::FindingEntry;
use super::signs::{self, exchanges, recovered, reset_in_exchange, telemetry};
use super::text::{things, time};
use crate::event::{AnomalyId, Ending};

/// Exchanges that succeed for each that is cut, at least; fewer are a habit and no event.
const SERVED_FOR_EACH_CUT: u64 = 20;

/// First RSTs of connections that stood.
const RESETS: [AnomalyId; 3] = [AnomalyId::AbortiveClose, AnomalyId::RstAfterFin, AnomalyId::RstAfterHandshake];

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::DeviceRebooted,
    severity: Severity::Error,
    meaning: "the device started anew during the run",
    needs: "telemetry with uptime or a count of starts; without it, suspected from connections that were forgotten",
    neighbours: "every other fault that a restart brings with it; a device that resets connections as a habit",
    change: "read the reset reason and the panic output on the console; for TASK_WDT let tasks yield, for BROWNOUT \
             look at the power supply, for PANIC enable CONFIG_ESP_COREDUMP_ENABLE_TO_FLASH=y",
};

/// Restarts that telemetry proves.
pub(super) fn restarts(e: &Evidence<'_>) -> u64 {
    telemetry(e).map_or(0, |t| t.restarts.len() as u64)
}

/// Exchanges that were cut as a restart cuts them, where no telemetry can tell.
pub(super) fn forgotten(e: &Evidence<'_>) -> u64 {
    if telemetry(e).is_some() {
        return 0;
    }
    if signs::captured(e) {
        // A device that resets by habit does so after silences as well.
        let all = RESETS.into_iter().fold(0_u64, |n, id| n.saturating_add(signs::of_device(e, id).count));
        let habit = all.saturating_sub(e.resets.after_absence) > e.resets.after_absence;
        // A device that restarts answers no probe meanwhile.
        let probes = [&e.probes.icmp, &e.probes.tcp].into_iter().filter_map(|kind| kind.value());
        let all_answered = signs::datagram_probe(e).is_some() && probes.into_iter().all(|p| p.answered == p.sent);
        return if habit || all_answered { 0 } else { e.resets.forgotten };
    }
    exchanges(e)
        .filter(|w| {
            let cut = reset_in_exchange(w);
            let habit = w.endings.get(Ending::Reset) > 0;
            cut >= 2 && !habit && w.succeeded >= cut.saturating_mul(SERVED_FOR_EACH_CUT) && recovered(w) > 0
        })
        .map(reset_in_exchange)
        .fold(0, u64::saturating_add)
}

pub(super) fn happened(e: &Evidence<'_>) -> bool {
    restarts(e) > 0 || forgotten(e) > 0
}

pub(super) fn finding(e: &Evidence<'_>) -> Finding {
    let Some(t) = telemetry(e).filter(|t| !t.restarts.is_empty()) else { return suspected(e) };
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for restart in &t.restarts {
        *reasons.entry(restart.reason.as_deref().unwrap_or("not told")).or_default() += 1;
    }
    let list: Vec<String> = reasons.iter().map(|(reason, n)| format!("{reason} {n}")).collect();
    let mut evidence: Vec<String> = t
        .restarts
        .iter()
        .take(5)
        .map(|r| {
            format!(
                "restart at {}, reset reason {}",
                time(r.at_ns),
                r.reason.as_deref().unwrap_or("not told")
            )
        })
        .collect();
    if t.restarts.len() > 5 {
        evidence.push(format!("{} further restarts", t.restarts.len() - 5));
    }
    let has = |word: &str| reasons.keys().any(|r| r.contains(word));
    let (cause, change) = if has("WDT") {
        (
            "a task kept the processor for longer than a watchdog allows",
            "let long loops yield (vTaskDelay(1)), and do no blocking call in the tcpip or event task; raising \
             CONFIG_ESP_TASK_WDT_TIMEOUT_S only hides it",
        )
    } else if has("BROWNOUT") {
        (
            "the supply voltage dips, mostly at the current peaks of Wi-Fi transmission",
            "a stronger supply or a capacitor near the module; lower CONFIG_ESP_PHY_MAX_WIFI_TX_POWER for a test",
        )
    } else if has("PANIC") {
        (
            "the program crashed",
            "read the backtrace on the console, or keep it with CONFIG_ESP_COREDUMP_ENABLE_TO_FLASH=y; want of heap \
             under load is the usual reason: check every malloc and pbuf for NULL",
        )
    } else {
        (
            "the program restarts itself, or something restarts it",
            "find the caller of esp_restart(), or what pulls EN; log the reason before it",
        )
    };
    Finding {
        id: FindingId::DeviceRebooted,
        severity: Severity::Error,
        statement: format!(
            "The device restarted {} during the run (reset reason: {}).",
            super::text::times(t.restarts.len() as u64),
            list.join(", ")
        ),
        evidence,
        cause: cause.into(),
        change: change.into(),
    }
}

fn suspected(e: &Evidence<'_>) -> Finding {
    let cut = forgotten(e);
    let evidence = exchanges(e)
        .filter(|w| reset_in_exchange(w) > 0)
        .map(|w| {
            format!(
                "{}: {} cut by a RST among {} that succeeded, and service went on",
                w.name,
                things(reset_in_exchange(w), "exchange"),
                w.succeeded
            )
        })
        .chain(["the device sends no telemetry: its uptime is not known".to_owned()])
        .collect();
    Finding {
        id: FindingId::DeviceRebooted,
        severity: Severity::Warning,
        statement: format!(
            "The device seems to have restarted: it forgot connections in the middle of {}, and went on at once.",
            things(cut, "exchange")
        ),
        evidence,
        cause: "a restart of the device or of its server; without telemetry it cannot be proved".into(),
        change: "watch the console, or add uptime and reset reason to what the device tells \
                 (esp_timer_get_time(), esp_reset_reason())"
            .into(),
    }
}
