//! `device_rebooted`: the device started anew during the run.
//!
//! Evidence: telemetry whose uptime went back or whose count of starts grew. Without telemetry it can only be
//! suspected: exchanges on standing connections are cut by RSTs, few against what succeeds, and service goes on
//! at once: a stack that has forgotten its connections answers their next segment with a RST. Or, by the packets: it was
//! silent for some seconds, and then reset connections of before without a FIN, or refused new ones for a while: no link
//! makes a device forget them, or its program stop listening.
//!
//! Neighbours: everything that a restart brings with it (resets, silence, refused connections). It comes first.
//! A device that resets connections as a habit does so on a large share of the exchanges, or after the response:
//! hence the factor.

use std::collections::BTreeMap;

use super::super::{AnomalyRow, Evidence, Finding, FindingId, Severity, Silence};
use super::FindingEntry;
use super::signs::{self, SECOND, exchanges, recovered, reset_in_exchange, telemetry};
use super::text::{things, time};
use crate::event::{AnomalyClass, AnomalyId, Ending};

/// Exchanges that succeed for each that is cut, at least; fewer are a habit and no event.
const SERVED_FOR_EACH_CUT: u64 = 20;

/// First RSTs of connections that stood.
const RESETS: [AnomalyId; 3] =
    [AnomalyId::AbortiveClose, AnomalyId::RstAfterFin, AnomalyId::RstAfterHandshake];

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
        let all_answered =
            signs::datagram_probe(e).is_some() && probes.into_iter().all(|p| p.answered == p.sent);
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

/// A silence after which the device no longer knew connections of before, or for a while took no new ones.
struct Forgot {
    silence: Silence,
    /// Connections of before that it reset.
    connections: u64,
    /// New ones that it refused, before its program listened again.
    refused: u64,
}

/// Connections that stood when the device fell silent for some seconds, and that it reset when it was back. Its own
/// time-outs end them by a FIN, which comes again and again until it arrives; TCP keep-alive gives up later.
fn forgot(e: &Evidence<'_>) -> Option<Forgot> {
    /// Longer, and keep-alive of usual settings (10 s, and 3 probes 3 s apart) gives connections up as well.
    const LONGEST: u64 = 15 * SECOND;
    if telemetry(e).is_some() || e.workloads.iter().any(|w| w.outages.is_some() || w.half_open.is_some()) {
        return None;
    }
    let silences: Vec<Silence> = signs::natural_silences(e)
        .into_iter()
        .chain(quiet_and_unpinged(e))
        .filter(|s| s.to_ns.is_some_and(|to| to.saturating_sub(s.from_ns) <= LONGEST))
        .collect();
    // The device is back before the next ping is answered; the host repeats a segment, or closes a connection, later.
    let met = |at_s: f64| {
        let after = |s: &&Silence| {
            let (from, to) = (s.from_ns.saturating_add(SECOND), s.to_ns.unwrap_or(s.from_ns));
            let settled = to.saturating_add((to.saturating_sub(s.from_ns)).max(12 * SECOND));
            at_s >= from as f64 / 1e9 && at_s <= settled as f64 / 1e9
        };
        silences.iter().find(after)
    };
    let rows = e.anomalies.iter().filter(|row| {
        matches!(row.id, AnomalyId::RstAfterHandshake | AnomalyId::SynRefused)
            && row.class != AnomalyClass::Provoked
            && row.count > 0
    });
    // A device that resets connections as a habit does so beside a silence as well, and its answer may be lost in one.
    let habits = [AnomalyId::AbortiveClose, AnomalyId::RstAfterFin, AnomalyId::RstStorm];
    let of_habit =
        |row: &&AnomalyRow| habits.contains(&row.id) && row.class == AnomalyClass::Device && row.count > 0;
    if e.anomalies.iter().filter(of_habit).any(|row| met(row.first_s).is_none() || met(row.last_s).is_none())
    {
        return None;
    }
    let mut found: Option<Forgot> = None;
    for row in rows {
        // One outside of these times is a habit, or another cause.
        let (Some(silence), Some(_)) = (met(row.first_s), met(row.last_s)) else { return None };
        let found = found.get_or_insert(Forgot { silence: *silence, connections: 0, refused: 0 });
        match row.id {
            AnomalyId::SynRefused => found.refused = found.refused.saturating_add(row.connections),
            _ => found.connections = found.connections.saturating_add(row.connections),
        }
    }
    found
}

/// Times in which no packet came from the device, that the last pings before its return were lost in: refusals before the
/// next ping is answered end the silence, and not the row of lost pings.
fn quiet_and_unpinged(e: &Evidence<'_>) -> impl Iterator<Item = Silence> {
    let pings = e.probes.icmp.value().map(|p| p.silences.as_slice()).unwrap_or_default();
    let quiet = e.quiet.as_deref().unwrap_or_default().iter();
    quiet.filter_map(move |quiet| {
        let lost =
            pings.iter().find(|s| s.from_ns < quiet.to_ns && s.to_ns.is_some_and(|to| to > quiet.from_ns))?;
        let (from_ns, to_ns) = (quiet.from_ns, Some(quiet.to_ns).filter(|to| *to < u64::MAX));
        let long = to_ns?.saturating_sub(from_ns) >= SECOND;
        (long && !signs::explained(e, from_ns, to_ns)).then_some(Silence { from_ns, to_ns, lost: lost.lost })
    })
}

pub(super) fn happened(e: &Evidence<'_>) -> bool {
    restarts(e) > 0 || forgotten(e) > 0 || forgot(e).is_some()
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
            let words = r.last_words.as_ref().map_or_else(String::new, |words| format!(": {words}"));
            format!(
                "restart at {}, reset reason {}{words}",
                time(r.at_ns),
                r.reason.as_deref().unwrap_or("not told")
            )
        })
        .collect();
    if t.restarts.len() > 5 {
        evidence.push(format!("{} further restarts", t.restarts.len() - 5));
    }
    let has = |word: &str| reasons.keys().any(|r| r.contains(word));
    let (cause, change) = if t.program_memory.is_some() {
        (
            "the program ended, which is a restart of the device",
            "look at its last words above and at its output (-v); run it under a debugger, or with \
             -fsanitize=address, against the same workload",
        )
    } else if has("WDT") {
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

/// After a silence the device no longer knew its connections.
fn after_silence(forgot: &Forgot) -> Finding {
    let (from, to) = (forgot.silence.from_ns, forgot.silence.to_ns.unwrap_or(forgot.silence.from_ns));
    let length = time(to.saturating_sub(from));
    let no_longer = (forgot.connections > 0)
        .then(|| format!("no longer knew {} that stood before", things(forgot.connections, "connection")));
    let refused = (forgot.refused > 0)
        .then(|| format!("refused {} before it listened again", things(forgot.refused, "connection")));
    let did: Vec<String> = no_longer.into_iter().chain(refused).collect();
    Finding {
        id: FindingId::DeviceRebooted,
        severity: Severity::Error,
        statement: format!(
            "The device seems to have restarted: it was silent for {length} from {} on, and then {}.",
            time(from),
            did.join(" and ")
        ),
        evidence: vec![
            format!("no ping was answered from {} on for {length}", time(from)),
            format!(
                "packets: RSTs without a FIN on {} of before; {} refused",
                things(forgot.connections, "connection"),
                things(forgot.refused, "new one")
            ),
            "the device sends no telemetry: its uptime is not known".to_owned(),
        ],
        cause: "a restart: a crash, a watchdog, or the supply voltage; a link that is away makes no device forget its \
                connections"
            .into(),
        change: "watch the console for the reset reason (esp_reset_reason()); for PANIC enable \
                 CONFIG_ESP_COREDUMP_ENABLE_TO_FLASH=y, for BROWNOUT look at the supply"
            .into(),
    }
}

fn suspected(e: &Evidence<'_>) -> Finding {
    if let Some(forgot) = forgot(e).filter(|_| forgotten(e) == 0) {
        return after_silence(&forgot);
    }
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
