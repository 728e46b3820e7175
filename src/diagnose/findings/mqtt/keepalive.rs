//! `mqtt_keepalive_missed`, `mqtt_ping_late`, `mqtt_too_long_keepalive`: how well the client keeps its own promise to be
//! heard once in each keep-alive K (MQTT-3.1.2-23).
//!
//! Evidence: the time between control packets as the broker read them, less what this host stood still. A broker closes
//! the connection after one and a half K (MQTT-3.1.2-24); the device's stack acknowledged that close, so it was there and
//! its program was silent.
//!
//! Neighbours: a device that is gone (its stack acknowledges nothing). A PINGREQ at K itself, as PubSubClient and
//! mosquitto_sub send it, is not late: hence the second beyond K.

use super::super::super::{Evidence, Finding, FindingId, Severity};
use super::super::FindingEntry;
use super::super::text::{time, times};
use super::{Case, cases};

/// A keep-alive beyond this leaves a half-open connection for minutes, seconds.
const LONG: u16 = 300;

pub(in super::super) const MISSED: FindingEntry = FindingEntry {
    id: FindingId::MqttKeepaliveMissed,
    severity: Severity::Error,
    meaning: "the device sent no control packet for one and a half keep-alives: brokers close the connection then",
    needs: "an mqtt workload of two keep-alives or more",
    neighbours: "a device that is gone: its stack does not acknowledge the close",
    change: "call loop() at least twice in each keep-alive, with no blocking work beside it",
};

pub(in super::super) const LATE: FindingEntry = FindingEntry {
    id: FindingId::MqttPingLate,
    severity: Severity::Warning,
    meaning: "the device was silent for more than its keep-alive and a second: with a little delay more, brokers close \
              the connection",
    needs: "an mqtt workload of two keep-alives or more",
    neighbours: "PINGREQ right at the keep-alive, which the standard allows",
    change: "send PINGREQ after half the keep-alive",
};

pub(in super::super) const TOO_LONG: FindingEntry = FindingEntry {
    id: FindingId::MqttTooLongKeepalive,
    severity: Severity::Info,
    meaning: "the keep-alive is off or above five minutes: a dead connection goes unnoticed for that long",
    needs: "an mqtt workload",
    neighbours: "nothing else looks like this",
    change: "a keep-alive of 15 to 60 s",
};

pub(super) fn missed(e: &Evidence<'_>) -> Option<Finding> {
    let case = cases(e).find(|case| case.client.missed > 0)?;
    let longest = time(case.client.silence_max_ns?);
    Some(Finding {
        id: FindingId::MqttKeepaliveMissed,
        severity: Severity::Error,
        statement: format!(
            "The device sent nothing for more than one and a half times its keep-alive of {} s, {}: brokers close the \
             connection then.",
            case.client.keepalive_s,
            times(case.client.missed)
        ),
        evidence: evidence(&case, &format!("longest silence {longest}; its stack acknowledged the broker's close")),
        cause: "the client's loop is not called often enough, or waits for something else; or PINGREQ is never sent"
            .into(),
        change: "call the client's loop at least twice in each keep-alive (PubSubClient: loop()), and do blocking work \
                 elsewhere; esp-mqtt has a task of its own"
            .into(),
    })
}

pub(super) fn late(e: &Evidence<'_>) -> Option<Finding> {
    let case = cases(e).find(|case| case.client.late > 0 && case.client.missed == 0)?;
    let longest = time(case.client.silence_max_ns?);
    Some(Finding {
        id: FindingId::MqttPingLate,
        severity: Severity::Warning,
        statement: format!(
            "The device was silent for longer than its keep-alive of {} s, {}, {longest} at most.",
            case.client.keepalive_s,
            times(case.client.late)
        ),
        evidence: evidence(&case, "a broker closes the connection after one and a half keep-alives"),
        cause:
            "the client counts its keep-alive from something else than its last packet, or its loop runs late"
                .into(),
        change: "send PINGREQ after half the keep-alive without another packet".into(),
    })
}

pub(super) fn too_long(e: &Evidence<'_>) -> Option<Finding> {
    // CONNECT says it, however short the run.
    let case = cases(e).find(|case| case.client.keepalive_s == 0 || case.client.keepalive_s > LONG)?;
    let (statement, change) = match case.client.keepalive_s {
        0 => (
            "The device switched keep-alive off: neither side notices a dead connection.".to_owned(),
            "15 to 60 s",
        ),
        k => (
            format!(
                "The keep-alive is {k} s: a broker notices that the device is gone only after {} s.",
                u32::from(k) * 3 / 2
            ),
            "60 s or less",
        ),
    };
    Some(Finding {
        id: FindingId::MqttTooLongKeepalive,
        severity: Severity::Info,
        statement,
        evidence: vec![case.about()],
        cause: "the keep-alive in CONNECT".into(),
        change: format!("a keep-alive of {change}"),
    })
}

fn evidence(case: &Case<'_>, more: &str) -> Vec<String> {
    let mut lines = vec![case.about(), more.to_owned()];
    if let Some(pings) = case.client.ping_interval {
        lines.push(format!(
            "{} PINGREQs, {} after the packet before in the median, {} at most",
            pings.count,
            time(pings.p50_ns),
            time(pings.max_ns)
        ));
    }
    lines
}
