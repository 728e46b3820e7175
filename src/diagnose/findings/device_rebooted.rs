//! `device_rebooted`: the device started anew during the run.
//!
//! Evidence: telemetry whose uptime went back or whose count of starts grew, or the end of the process that is the device
//! (`tap:`). Without telemetry it can only be
//! suspected: exchanges on standing connections are cut by RSTs, few against what succeeds, and service goes on
//! at once: a stack that has forgotten its connections answers their next segment with a RST. Or, by the packets: it was
//! silent for some seconds, and then reset connections of before without a FIN, or refused new ones for a while: no link
//! makes a device forget them, or its program stop listening.
//!
//! Neighbours: everything that a restart brings with it (resets, silence, refused connections). It comes first.
//! A device that resets connections as a habit does so on a large share of the exchanges, or after the response:
//! hence the factor.

use std::collections::BTreeMap;

use super::super::choice::{Claim, Firm};
use super::super::facts::restarts;
use super::super::facts::{self, exchanges, reset_in_exchange};
use super::super::{Evidence, Finding, FindingId, ResetReason, RestartEvidence, Severity, TelemetryEvidence};
use super::FindingEntry;
use super::text::{by_kind, tally, things, time};
use super::watchdog;
use espstress_event::{Failure, Watchdog};

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::DeviceRebooted,
    severity: Severity::Error,
    meaning: "the device restarted during the run",
    needs: "telemetry with uptime or a boot count; without it, espstress suspects a restart when the device \
            has forgotten its connections",
    neighbours: "other faults that a restart causes; a device that always resets connections",
    change: "read the reset reason and the panic output on the console; TASK_WDT: let tasks yield; INT_WDT: \
             keep interrupt handlers and critical sections short; BROWNOUT: check the power supply; PANIC: set CONFIG_ESP_COREDUMP_ENABLE_TO_FLASH=y",
};

pub(super) fn claim(e: &Evidence<'_>) -> Option<Claim> {
    facts::restarts::happened(e).then(|| Claim::new(Firm::Shown, finding(e)))
}

fn finding(e: &Evidence<'_>) -> Finding {
    let Some(t) = e.telemetry.value().filter(|t| !t.restarts.is_empty()) else { return suspected(e) };
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for restart in &t.restarts {
        *reasons.entry(name(restart.reason.as_ref())).or_default() += 1;
    }
    if t.more_restarts > 0 {
        reasons.insert("not kept", t.more_restarts);
    }
    let list: Vec<String> = reasons.iter().map(|(reason, n)| format!("{reason} {n}")).collect();
    let mut evidence: Vec<String> = t
        .restarts
        .iter()
        .take(5)
        .map(|r| {
            let words = r.last_words.as_ref().map_or_else(String::new, |words| format!(": {words}"));
            format!("restart at {}, reset reason {}{words}", time(r.at_ns), name(r.reason.as_ref()))
        })
        .collect();
    let all = restarts::restarts(e);
    if all > 5 {
        evidence.push(format!("{} more restarts", all - 5));
    }
    // A device that only its console is known of has no process that ended.
    let process = t.samples == 0 && e.device.foreign;
    let (cause, change) = if process {
        (
            "the process that is the device ended: an emulator ends when the firmware tells it to, or when it crashes"
                .to_owned(),
            "look at its last words in the evidence and at its console (-v)".to_owned(),
        )
    } else if t.program_memory.is_some() {
        (
            "the program ended, which is a restart of the device".to_owned(),
            "look at its last words in the evidence and at its output (-v); run it under a debugger, or with \
             -fsanitize=address, against the same workload"
                .to_owned(),
        )
    } else {
        of_reasons(&t.restarts)
    };
    Finding {
        id: FindingId::DeviceRebooted,
        severity: if sleeps(e, t) { Severity::Info } else { Severity::Error },
        statement: format!(
            "The device restarted {} while the workloads ran (reset reason: {}).",
            super::text::times(all),
            list.join(", ")
        ),
        evidence,
        cause,
        change,
    }
}

/// Whether it only woke up from its sleep, and no attempt failed by that.
fn sleeps(e: &Evidence<'_>, t: &TelemetryEvidence) -> bool {
    let awoke = |restart: &RestartEvidence| restart.reason == Some(ResetReason::DeepSleep);
    t.more_restarts == 0
        && t.restarts.iter().all(awoke)
        && e.workloads.iter().all(|w| w.succeeded == w.attempts)
}

/// The causes of all restarts and what to change, the most frequent reason first: each after its reason where there are
/// several.
fn of_reasons(restarts: &[RestartEvidence]) -> (String, String) {
    let mut reasons = tally(restarts.iter().map(|restart| restart.reason.as_ref()));
    reasons.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let each = |of: fn((&'static str, &'static str)) -> &'static str| {
        by_kind(reasons.iter().map(|(reason, _)| (name(*reason), of(why(*reason)))))
    };
    (each(|(cause, _)| cause), each(|(_, change)| change))
}

fn name(reason: Option<&ResetReason>) -> &str {
    reason.map_or("not told", ResetReason::name)
}

/// The cause behind a reset reason, and what to change.
const fn why(reason: Option<&ResetReason>) -> (&'static str, &'static str) {
    match reason {
        Some(ResetReason::InterruptWatchdog) => {
            (watchdog::cause(Watchdog::Interrupt), watchdog::change(Watchdog::Interrupt))
        }
        Some(ResetReason::TaskWatchdog) => {
            (watchdog::cause(Watchdog::Task), watchdog::change(Watchdog::Task))
        }
        Some(ResetReason::Watchdog) => {
            (watchdog::cause(Watchdog::Hardware), watchdog::change(Watchdog::Hardware))
        }
        Some(ResetReason::Brownout) => (
            "the supply voltage drops, usually at the current peaks of Wi-Fi transmission",
            "use a stronger supply, or a capacitor near the module; lower CONFIG_ESP_PHY_MAX_WIFI_TX_POWER as \
             a test",
        ),
        Some(ResetReason::Panic) => (
            "the program crashed",
            "read the backtrace on the console, or keep it with CONFIG_ESP_COREDUMP_ENABLE_TO_FLASH=y; the \
             usual reason is an allocation that fails under load: check every malloc and pbuf for NULL",
        ),
        Some(ResetReason::DeepSleep) => (
            "the device woke up from deep sleep, which starts its program anew: its own way of working",
            "nothing where it is to sleep; else find who calls esp_deep_sleep_start(), and keep it awake while it has \
             clients",
        ),
        Some(ResetReason::Usb) => (
            "the chip's USB-Serial-JTAG reset it: a host that opened the port, or a flasher",
            "close what else opens the device's USB port, such as a monitor or a flasher, and repeat",
        ),
        _ => (
            "the program restarts the device, or something else does",
            "find who calls esp_restart(), or what pulls EN low; log the reason before the restart",
        ),
    }
}

/// After a silence the device no longer knew its connections.
fn after_silence(forgot: &restarts::Forgot) -> Finding {
    let (from, to) = (forgot.silence.from_ns, forgot.silence.to_ns.unwrap_or(forgot.silence.from_ns));
    let length = time(to.saturating_sub(from));
    let no_longer = (forgot.connections > 0)
        .then(|| format!("no longer knew {} from before", things(forgot.connections, "connection")));
    let refused = (forgot.refused > 0)
        .then(|| format!("refused {} before it listened again", things(forgot.refused, "connection")));
    let did: Vec<String> = no_longer.into_iter().chain(refused).collect();
    Finding {
        id: FindingId::DeviceRebooted,
        severity: Severity::Error,
        statement: format!(
            "The device probably restarted: it was silent for {length} from {}, then {}.",
            time(from),
            did.join(" and ")
        ),
        evidence: vec![
            format!("no ping answered for {length} from {}", time(from)),
            format!(
                "packets: RSTs without a FIN on {} from before; {} refused",
                things(forgot.connections, "connection"),
                things(forgot.refused, "new one")
            ),
            "the device sends no telemetry, so its uptime is unknown".to_owned(),
        ],
        cause:
            "a crash, a watchdog, or the supply voltage; a link outage alone doesn't make a device forget \
                its connections"
                .into(),
        change: "read the reset reason on the console (esp_reset_reason()); PANIC: set \
                 CONFIG_ESP_COREDUMP_ENABLE_TO_FLASH=y; BROWNOUT: check the supply"
            .into(),
    }
}

fn suspected(e: &Evidence<'_>) -> Finding {
    if let Some(forgot) = restarts::forgot(e).filter(|_| restarts::forgotten(e) == 0) {
        return after_silence(&forgot);
    }
    let cut = restarts::forgotten(e);
    let refused = exchanges(e)
        .fold(0_u64, |n, w| n.saturating_add(facts::unexcused(e, w).get(Failure::ConnectRefused)));
    let evidence = exchanges(e)
        .filter(|w| reset_in_exchange(w) > 0)
        .map(|w| {
            format!(
                "{}: {} cut by a RST, {} succeeded, and service continued",
                w.name,
                things(reset_in_exchange(w), "exchange"),
                w.succeeded
            )
        })
        .chain(["the device sends no telemetry, so its uptime is unknown".to_owned()])
        .collect();
    Finding {
        id: FindingId::DeviceRebooted,
        severity: if refused > 0 { Severity::Error } else { Severity::Warning },
        statement: format!(
            "The device probably restarted: it forgot its connections in the middle of {}, then {}.",
            things(cut, "exchange"),
            if refused > 0 {
                format!("refused {} before it listened again", things(refused, "connection"))
            } else {
                "continued at once".to_owned()
            }
        ),
        evidence,
        cause: "the device or its server restarted; only telemetry can prove it".into(),
        change: "watch the console, or report uptime and reset reason as telemetry (esp_timer_get_time(), \
                 esp_reset_reason())"
            .into(),
    }
}

#[cfg(test)]
#[path = "device_rebooted_tests.rs"]
mod tests;
