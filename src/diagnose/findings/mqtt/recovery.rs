//! `mqtt_no_reconnect`, `mqtt_session_refused`, `mqtt_not_resubscribed`, `mqtt_reconnect_storm`: how the client comes back
//! when its broker does.
//!
//! Evidence: CONNECTs and SUBSCRIBEs that the broker read, and for the storm the SYNs of a complete capture. A client that
//! ends each session with session present 1 is not one that does not come back: the first of them is said.
//!
//! Thresholds: `--recover-limit`, `--subscribe-grace`; a storm is ten attempts less than a second apart in the median.

use super::super::super::facts::{self, SECOND};
use super::super::super::{Evidence, Finding, FindingId, Severity};
use super::super::FindingEntry;
use super::super::text::{things, time, times};
use super::{cases, line, lines, publish};
use espstress_event::MqttOutage;

/// Fewer attempts are no storm.
const STORM: u64 = 10;

pub(in super::super) const NO_RECONNECT: FindingEntry = FindingEntry {
    id: FindingId::MqttNoReconnect,
    severity: Severity::Error,
    meaning: "the broker was there again, and the device did not come back within --recover-limit",
    needs: "an mqtt workload with a fault",
    neighbours: "a device that ends its session because of session present 1, or that hangs on a large packet",
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
    meaning: "after a CONNACK without a session the device did not subscribe again: it gets no more messages",
    needs: "an mqtt workload with a fault that ends the session, and a device that subscribes",
    neighbours: "a session that the broker kept; subscriptions later than --subscribe-grace",
    change: "subscribe in the connect handler, each time",
};

pub(in super::super) const STORM_ENTRY: FindingEntry = FindingEntry {
    id: FindingId::MqttReconnectStorm,
    severity: Severity::Warning,
    meaning: "the device dials again and again without a pause that grows",
    needs: "a capture, and an mqtt workload with a fault that ends connections",
    neighbours: "a back-off that grows",
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
    let missing = |o: &MqttOutage| o.filters_missing.is_some_and(|n| n > 0);
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
