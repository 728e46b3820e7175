//! `mqtt_no_reconnect`, `mqtt_session_refused`, `mqtt_not_resubscribed`, `mqtt_reconnect_storm`: how the client comes back
//! when its broker does.
//!
//! Evidence: CONNECTs and SUBSCRIBEs that the broker read, and for the storm the SYNs of a complete capture. A client that
//! ends each session with session present 1 is not one that does not come back: the first of them is said.
//!
//! Outside of faults, the device's own sessions show the same: how it ended them, and when it was back.
//!
//! Thresholds: `--recover-limit`, `--subscribe-grace`; a storm is ten attempts less than a second apart in the median, or
//! three sessions outside of faults that the device dropped or that were replaced.

use super::super::super::facts::{self, SECOND};
use super::super::super::{Evidence, Finding, FindingId, Severity};
use super::super::FindingEntry;
use super::super::text::{things, time, times};
use super::{Case, cases, line, lines, publish};
use espstress_event::{MqttAbsence, MqttLeft, MqttOutage};

/// Fewer attempts are no storm.
const STORM: u64 = 10;
/// So many sessions that the device dropped, or that were replaced, are no chance.
const DROPS: u64 = 3;
/// A device that sleeps between its sessions sleeps for longer, nanoseconds.
const SOON: u64 = 10 * SECOND;

pub(in super::super) const NO_RECONNECT: FindingEntry = FindingEntry {
    id: FindingId::MqttNoReconnect,
    severity: Severity::Error,
    meaning: "the broker was there, and the device did not come back within --recover-limit: after a fault, or after it had \
              ended its session itself",
    needs: "an mqtt workload; one with a fault shows more",
    neighbours: "a device that ends its session because of session present 1, or that hangs on a large packet; one that \
                 sleeps after DISCONNECT, as its earlier absences show",
    change: "connect again in a loop with back-off, whatever ended the connection",
};

pub(in super::super) const SESSION_REFUSED: FindingEntry = FindingEntry {
    id: FindingId::MqttSessionRefused,
    severity: Severity::Error,
    meaning: "the device asks for a lasting session and hangs up when the broker has one",
    needs: "an mqtt workload with --fault session-kept, and a device that connects with clean session 0",
    neighbours: "a device that does not come back at all",
    change: "accept session present 1 in CONNACK; subscribe again only when it is 0",
};

pub(in super::super) const NOT_RESUBSCRIBED: FindingEntry = FindingEntry {
    id: FindingId::MqttNotResubscribed,
    severity: Severity::Error,
    meaning: "after a CONNACK without a session the device did not subscribe again within --subscribe-grace: it gets no \
              messages until it does",
    needs: "an mqtt workload with a fault that ends the session, and a device that subscribes",
    neighbours: "a session that the broker kept; subscriptions later than --subscribe-grace",
    change: "subscribe in the connect handler, each time",
};

pub(in super::super) const STORM_ENTRY: FindingEntry = FindingEntry {
    id: FindingId::MqttReconnectStorm,
    severity: Severity::Warning,
    meaning: "the device dials again and again: without a growing pause during a fault, or outside of faults because it \
              ends its sessions without DISCONNECT or another client has its id",
    needs: "an mqtt workload; for a storm during a fault a capture, and a fault that ends connections",
    neighbours: "a back-off that grows; a device that sleeps between its sessions",
    change: "back-off with jitter, also after a session that was accepted and then ended",
};

/// It ended each session that the broker still knew.
fn is_refused(outage: &MqttOutage) -> bool {
    outage.present_refused > 0 && outage.back_ns.is_none() && outage.gave_up_ns.is_some()
}

/// It was waited for, and did not come.
fn is_lost(outage: &MqttOutage) -> bool {
    outage.gave_up_ns.is_some() && outage.back_ns.is_none() && !outage.survived && !is_refused(outage)
}

pub(super) fn no_reconnect(e: &Evidence<'_>) -> Option<Finding> {
    after_fault(e).or_else(|| gone(e))
}

/// It went away outside of faults, and did not dial again until the end.
fn gone(e: &Evidence<'_>) -> Option<Finding> {
    let found = |case: &Case<'_>| case.mqtt.absence().is_some_and(|(_, says)| says == MqttAbsence::Gone);
    let case = cases(e).find(found)?;
    let (away, _) = case.mqtt.absence()?;
    let did = match away.left {
        MqttLeft::Disconnected => "said DISCONNECT",
        MqttLeft::Dropped => "ended its connection without DISCONNECT",
        MqttLeft::Silent => "fell silent",
        MqttLeft::Closed => "lost its connection",
    };
    let sessions = &case.mqtt.sessions;
    let before = sessions.pause_max_ns.map_or_else(
        || "it had not been away before".to_owned(),
        |ns| format!("before that it had been away {}, for {} at most", times(sessions.pauses), time(ns)),
    );
    Some(Finding {
        id: FindingId::MqttNoReconnect,
        severity: Severity::Error,
        statement: format!(
            "The device {did} at {} and did not dial again in the {} until the end.",
            time(away.since_ns),
            time(away.length_ns)
        ),
        evidence: vec![case.about(), "no fault was being made".to_owned(), before],
        cause: "it crashed, was switched off, lost its network, or its program connects only once".into(),
        change: "connect again in a loop with back-off for as long as there is no session; let a watchdog restart a \
                 device that stays offline"
            .into(),
    })
}

fn after_fault(e: &Evidence<'_>) -> Option<Finding> {
    // What it hangs on is said of a packet that is too large.
    let gone = |o: &MqttOutage| is_lost(o) && !publish::hangs(e, o);
    let case = cases(e).find(|case| case.mqtt.outages.iter().any(gone))?;
    let first = case.mqtt.outages.iter().find(|o| gone(o))?;
    let attempts = match first.attempts {
        Some(0) => "it did not dial once during the fault".to_owned(),
        Some(n) => format!("it had dialled {} during the fault", times(n)),
        None => "its attempts are not known without a capture".to_owned(),
    };
    Some(Finding {
        id: FindingId::MqttNoReconnect,
        severity: Severity::Error,
        statement: format!(
            "The device did not come back within {} after the fault {} was over.",
            time(first.gave_up_ns?),
            first.fault.name()
        ),
        evidence: vec![case.about(), line(first), attempts],
        cause: "the client gives up after some attempts, does not notice the end of its connection, or its program \
                connects only once"
            .into(),
        change: "connect again in a loop with back-off for as long as there is no session".into(),
    })
}

pub(super) fn session_refused(e: &Evidence<'_>) -> Option<Finding> {
    let case = cases(e).find(|case| case.mqtt.outages.iter().any(is_refused))?;
    let first = case.mqtt.outages.iter().find(|o| is_refused(o))?;
    Some(Finding {
        id: FindingId::MqttSessionRefused,
        severity: Severity::Error,
        statement: "The device hangs up when CONNACK says session present 1, and so never comes back to a broker that \
                    kept its session."
            .into(),
        evidence: vec![
            case.about(),
            line(first),
            format!("{} ended by the device right after CONNACK 0 with session present 1", things(first.present_refused.into(), "session")),
        ],
        cause: "the client takes the flag in CONNACK for an error".into(),
        change: "accept CONNACK with session present 1 and code 0; or connect with clean session 1".into(),
    })
}

pub(super) fn not_resubscribed(e: &Evidence<'_>) -> Option<Finding> {
    never(e).or_else(|| late(e))
}

/// It subscribed, later than it may.
fn late(e: &Evidence<'_>) -> Option<Finding> {
    let is_late = |o: &MqttOutage| o.filters_missing.is_some_and(|n| n > 0) && o.resubscribed_ns.is_some();
    let case = cases(e).find(|case| case.mqtt.outages.iter().any(is_late))?;
    let all = || case.mqtt.outages.iter().filter(|o| is_late(o));
    let slowest = all().filter_map(|o| o.resubscribed_ns).max()?;
    Some(Finding {
        id: FindingId::MqttNotResubscribed,
        severity: Severity::Error,
        statement: format!(
            "After a CONNACK without a session, the device subscribed again only {} later: until then it gets no messages.",
            time(slowest)
        ),
        evidence: lines(&case, all()),
        cause: "the program subscribes on a timer, or after other work, and not when it connects".into(),
        change: "subscribe in the connect handler, each time that session present is 0; --subscribe-grace allows more time"
            .into(),
    })
}

/// It did not subscribe in the whole session, as far as it was watched.
fn never(e: &Evidence<'_>) -> Option<Finding> {
    let missing = |o: &MqttOutage| o.filters_missing.is_some_and(|n| n > 0) && o.resubscribed_ns.is_none();
    let case = cases(e).find(|case| case.mqtt.outages.iter().any(missing))?;
    let all = || case.mqtt.outages.iter().filter(|o| missing(o));
    let most = all().filter_map(|o| o.filters_missing).max()?;
    Some(Finding {
        id: FindingId::MqttNotResubscribed,
        severity: Severity::Error,
        statement: format!(
            "After a CONNACK without a session, {} of before {} not subscribed again: the device gets no more messages.",
            things(most.into(), "filter"),
            if most == 1 { "was" } else { "were" }
        ),
        evidence: lines(&case, all()),
        cause: "the program subscribes once at its start, not each time it connects".into(),
        change: "subscribe in the connect handler, each time that session present is 0".into(),
    })
}

pub(super) fn storm(e: &Evidence<'_>) -> Option<Finding> {
    dials(e).or_else(|| drops(e)).or_else(|| evicts(e))
}

/// It ends session after session itself, and dials again.
fn drops(e: &Evidence<'_>) -> Option<Finding> {
    let found = |case: &Case<'_>| {
        let of = &case.mqtt.sessions;
        let soon = of.pause.is_some_and(|pause| pause.p50_ns < SOON);
        soon && of.dropped.is_some_and(|dropped| dropped.count >= DROPS)
    };
    let case = cases(e).find(found)?;
    let (dropped, pause) = (case.mqtt.sessions.dropped?, case.mqtt.sessions.pause?);
    Some(Finding {
        id: FindingId::MqttReconnectStorm,
        severity: Severity::Warning,
        statement: format!(
            "The device ended {} without DISCONNECT outside of faults, after {} in the median, and dialled again each time.",
            things(dropped.count, "session"),
            time(dropped.p50_ns)
        ),
        evidence: vec![
            case.about(),
            format!("these sessions lasted {} to {}", time(dropped.min_ns), time(dropped.max_ns)),
            format!("{} later in the median the next session began", time(pause.p50_ns)),
        ],
        cause: "the program takes an error of its own for the end of the connection, restarts, or connects anew for each \
                message: the broker publishes the device's will each time"
            .into(),
        change: "keep one connection open, and send DISCONNECT before it is closed on purpose; back-off with jitter before \
                 the next attempt"
            .into(),
    })
}

/// New connections with the same client id take the session away, again and again.
fn evicts(e: &Evidence<'_>) -> Option<Finding> {
    let case = cases(e).find(|case| case.mqtt.taken_over >= DROPS)?;
    Some(Finding {
        id: FindingId::MqttReconnectStorm,
        severity: Severity::Warning,
        statement: format!(
            "{} were replaced by a new one with the same client id, outside of faults.",
            things(case.mqtt.taken_over, "connection")
        ),
        evidence: vec![case.about(), format!("{} accepted", things(case.client.connects, "CONNECT"))],
        cause: "two clients use one id and evict each other, or the device dials again without closing its connection".into(),
        change: "a client id of its own for each client, for example with the MAC address in it; close a connection before \
                 the next one is opened"
            .into(),
    })
}

/// During a fault it dials again and again.
fn dials(e: &Evidence<'_>) -> Option<Finding> {
    if !facts::captured(e) {
        return None;
    }
    let is_storm = |o: &&MqttOutage| {
        o.attempts.is_some_and(|n| n >= STORM)
            && o.gap_median_ns.is_some_and(|ns| ns < SECOND)
            && o.gaps_grow != Some(true)
    };
    let case = cases(e).find(|case| case.mqtt.outages.iter().any(|o| is_storm(&o)))?;
    let first = case.mqtt.outages.iter().find(is_storm)?;
    Some(Finding {
        id: FindingId::MqttReconnectStorm,
        severity: Severity::Warning,
        statement: format!(
            "The device dialled {} during {}, {} apart in the median and without a growing pause.",
            times(first.attempts?),
            first.fault.name(),
            time(first.gap_median_ns?)
        ),
        evidence: lines(&case, case.mqtt.outages.iter().filter(is_storm)),
        cause: "no back-off, or one that each accepted connection resets".into(),
        change: "back-off with jitter, from one second doubled to a minute, also after a session that was accepted and \
                 then ended"
            .into(),
    })
}

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod tests;
