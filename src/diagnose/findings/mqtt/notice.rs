//! `mqtt_outage_unnoticed`, `mqtt_slow_notice`, `mqtt_close_unnoticed`, `mqtt_hasty`: how soon the client sees that its
//! broker is not there, and whether it gives up one that is.
//!
//! Evidence: the device's first FIN, RST or SYN on the wire after the fault began. That needs every packet: without a
//! complete capture none of them is judged. Where nothing reached the device, its FIN may wait behind what is not acknowledged
//! (RFC 5681, 3.1: one segment until then), and where the link was cut, nothing of it can be seen: there it has noticed nothing
//! if it goes on with the same connection afterwards.
//!
//! Thresholds: a broker that says nothing is noticed, at the latest, when PINGREQ is due (K) and its answer was waited for
//! (another K); ten seconds more for a slow program. A close is noticed when the client reads again: two seconds, since
//! many programs look once a second.

use super::super::super::facts::{self, SECOND};
use super::super::super::{Evidence, Finding, FindingId, Severity};
use super::super::FindingEntry;
use super::super::text::time;
use super::{Case, cases, line, lines};
use espstress_event::{MqttFault, MqttOutage};

/// Noticed after this long is slow, nanoseconds.
const SLOW: u64 = 60 * SECOND;
/// A close is seen by a program that looks once a second, nanoseconds.
const READS_AGAIN: u64 = 2 * SECOND;

/// A CONNACK that is waited for less long says nothing: ten seconds are a usual time-out.
const CONNACK: u64 = 10 * SECOND;

pub(in super::super) const UNNOTICED: FindingEntry = FindingEntry {
    id: FindingId::MqttOutageUnnoticed,
    severity: Severity::Error,
    meaning: "the broker said nothing for two keep-alives and ten seconds, or never answered CONNECT, and the device held on \
              to its connection",
    needs: "an mqtt workload with --fault silent, frozen, no-pingresp or no-connack that lasts as long; a capture, except for \
            no-connack",
    neighbours: "a shorter outage; other packets from the broker in place of PINGRESP",
    change: "wait for each answer (CONNACK, PINGRESP, PUBACK), and close the connection when it does not come within the \
             keep-alive",
};

pub(in super::super) const SLOW_NOTICE: FindingEntry = FindingEntry {
    id: FindingId::MqttSlowNotice,
    severity: Severity::Info,
    meaning: "the device took more than a minute to notice that the broker said nothing",
    needs: "a capture, and an mqtt workload with --fault silent or frozen",
    neighbours: "a device that did not notice at all",
    change: "a shorter keep-alive",
};

pub(in super::super) const CLOSE_UNNOTICED: FindingEntry = FindingEntry {
    id: FindingId::MqttCloseUnnoticed,
    severity: Severity::Warning,
    meaning: "the broker closed the connection, and the device noticed only at its next packet",
    needs: "a capture, and an mqtt workload with a fault that ends connections, such as close",
    neighbours: "a device that waits before it connects again: it closes its own side at once",
    change: "take read() == 0 and errors as the end of the connection",
};

pub(in super::super) const HASTY: FindingEntry = FindingEntry {
    id: FindingId::MqttHasty,
    severity: Severity::Info,
    meaning: "the device dropped the connection although the broker answered within half a keep-alive",
    needs: "a capture, and an mqtt workload with --fault slow",
    neighbours: "a delay of half a keep-alive or more",
    change: "wait for an answer at least twice as long as TCP's longest retransmission on this link",
};

/// Whether this fault can show a client that notices nothing.
fn is_telling(outage: &MqttOutage) -> bool {
    let kind = outage.fault.is_mute() || outage.fault == MqttFault::NoPingresp;
    kind && outage.not_judged.is_none() && outage.long_enough()
}

fn is_unnoticed(outage: &MqttOutage) -> bool {
    let within = |at: u64| outage.length_ns.is_some_and(|length| at <= length);
    let goes_on = outage.fault != MqttFault::Silent || outage.survived;
    is_telling(outage) && goes_on && !outage.device_notices_ns.is_some_and(within)
}

pub(super) fn unnoticed(e: &Evidence<'_>) -> Option<Finding> {
    mute(e).or_else(|| no_connack(e))
}

/// Its only connection waited for CONNACK until the broker answered. The broker sees that without a capture.
fn is_patient(outage: &MqttOutage) -> bool {
    let least = outage.keepalive_ns().unwrap_or(0).max(CONNACK);
    outage.fault == MqttFault::NoConnack
        && outage.long_enough()
        && outage.connack_given_up == Some(0)
        && outage.connack_wait_ns.is_some_and(|ns| ns >= least)
}

fn no_connack(e: &Evidence<'_>) -> Option<Finding> {
    let case = cases(e).find(|case| case.mqtt.outages.iter().any(is_patient))?;
    let patient = || case.mqtt.outages.iter().filter(|o| is_patient(o));
    let longest = patient().filter_map(|o| o.connack_wait_ns).max()?;
    Some(Finding {
        id: FindingId::MqttOutageUnnoticed,
        severity: Severity::Error,
        statement: format!(
            "The device waited for CONNACK for {} on one connection, and did not give it up before the broker answered.",
            time(longest)
        ),
        evidence: lines(&case, patient()),
        cause: "the client waits for CONNACK without a time-out, or with a longer one".into(),
        change: "close the connection when CONNACK does not come within some ten seconds, and connect again with back-off \
                 (esp-mqtt: network.timeout_ms; PubSubClient: setSocketTimeout())"
            .into(),
    })
}

/// Cause and change for a client that does not notice a broker that says nothing, by what it waits for.
fn mute_advice(case: &Case<'_>, pingless: bool) -> (&'static str, &'static str) {
    let reliable = case.mqtt.to_host.iter().skip(1).any(|row| row.received > 0);
    if case.client.pings > 0 || pingless {
        (
            "the client does not wait for PINGRESP, or does not take a missing one as the end of the connection",
            "wait for PINGRESP; close the connection and connect again when it does not come within the keep-alive",
        )
    } else if reliable {
        (
            "the client goes on to publish although no PUBACK comes, and sends no PINGREQ because it publishes often enough",
            "wait for PUBACK (PUBREC for QoS 2); close the connection and connect again when it does not come within the \
             keep-alive",
        )
    } else {
        (
            "the client never sent a packet that the broker answers: no PINGREQ, and no message with QoS 1 or 2",
            "send PINGREQ although messages with QoS 0 keep the connection alive, or use QoS 1; close the connection when the \
             answer does not come within the keep-alive",
        )
    }
}

fn mute(e: &Evidence<'_>) -> Option<Finding> {
    if !facts::captured(e) {
        return None;
    }
    let case = cases(e).find(|case| case.mqtt.outages.iter().any(is_unnoticed))?;
    let all = case.mqtt.outages.iter().filter(|o| is_telling(o)).count();
    let unnoticed = || case.mqtt.outages.iter().filter(|o| is_unnoticed(o));
    let longest = unnoticed().filter_map(|o| o.length_ns).max().unwrap_or(0);
    let pingless = unnoticed().all(|o| o.fault == MqttFault::NoPingresp);
    let (cause, change) = mute_advice(&case, pingless);
    let what = if pingless { "PINGREQ went unanswered" } else { "The broker said nothing" };
    Some(Finding {
        id: FindingId::MqttOutageUnnoticed,
        severity: Severity::Error,
        statement: format!(
            "{what} for {}, and the device did not notice, in {} of {all} outages: it believes that it is connected.",
            time(longest),
            unnoticed().count()
        ),
        evidence: lines(&case, unnoticed()),
        cause: cause.into(),
        change: change.into(),
    })
}

pub(super) fn slow(e: &Evidence<'_>) -> Option<Finding> {
    if !facts::captured(e) {
        return None;
    }
    let is_slow = |o: &&MqttOutage| {
        o.device_notices_ns.is_some_and(|at| at > SLOW && o.length_ns.is_some_and(|l| at <= l))
    };
    let case = cases(e).find(|case| case.faults(MqttFault::is_mute).any(|o| is_slow(&o)))?;
    let slowest =
        case.faults(MqttFault::is_mute).filter(is_slow).filter_map(|o| o.device_notices_ns).max()?;
    Some(Finding {
        id: FindingId::MqttSlowNotice,
        severity: Severity::Info,
        statement: format!(
            "The device noticed after {} that the broker said nothing: its keep-alive is {} s.",
            time(slowest),
            case.client.keepalive_s
        ),
        evidence: lines(&case, case.faults(MqttFault::is_mute).filter(is_slow)),
        cause: "a long keep-alive, or a long time-out for PINGRESP".into(),
        change: "a keep-alive of 15 to 30 s, where the device has to be back sooner".into(),
    })
}

/// The broker ended the connection, and the device took no notice for a while.
fn is_overlooked(outage: &&MqttOutage) -> bool {
    outage.device_notices_ns.is_none_or(|at| at > READS_AGAIN)
        && outage.length_ns.is_some_and(|length| length > READS_AGAIN)
        && !outage.survived
}

pub(super) fn close_unnoticed(e: &Evidence<'_>) -> Option<Finding> {
    if !facts::captured(e) {
        return None;
    }
    let ended = MqttFault::ends_connections;
    // A RST is answered by nothing: a device that waits before it dials again looks the same.
    let closes = |fault: MqttFault| ended(fault) && fault != MqttFault::Reset;
    let case = cases(e).find(|case| case.faults(closes).any(|o| is_overlooked(&o) && noticed_or_gone(o)))?;
    let slowest = case.faults(closes).filter(is_overlooked).filter_map(|o| o.device_notices_ns).max();
    let after = slowest.map_or_else(|| "not at all".to_owned(), |ns| format!("only after {}", time(ns)));
    Some(Finding {
        id: FindingId::MqttCloseUnnoticed,
        severity: Severity::Warning,
        statement: format!("The broker closed the connection, and the device reacted {after}."),
        evidence: lines(&case, case.faults(closes).filter(is_overlooked)),
        cause: "the client does not look at its socket between its own packets, or ignores read() == 0"
            .into(),
        change: "take read() == 0 and errors as the end of the connection, and connect again".into(),
    })
}

/// A device that shows nothing at all may have been switched off: that is said elsewhere.
const fn noticed_or_gone(outage: &MqttOutage) -> bool {
    outage.device_notices_ns.is_some()
}

pub(super) fn hasty(e: &Evidence<'_>) -> Option<Finding> {
    if !facts::captured(e) {
        return None;
    }
    let is_hasty = |o: &&MqttOutage| {
        let short = o.delay_ns.zip(o.keepalive_ns()).is_some_and(|(delay, k)| delay < k / 2);
        let within = o.device_notices_ns.is_some_and(|at| o.length_ns.is_some_and(|length| at <= length));
        short && within
    };
    let slow = |fault| fault == MqttFault::Slow;
    let case = cases(e).find(|case| case.faults(slow).any(|o| is_hasty(&o)))?;
    let first = case.faults(slow).find(is_hasty)?;
    Some(Finding {
        id: FindingId::MqttHasty,
        severity: Severity::Info,
        statement: format!(
            "The device dropped the connection because answers took {}, less than half its keep-alive.",
            time(first.delay_ns?)
        ),
        evidence: vec![case.about(), line(first)],
        cause: "the client's time-out for answers is shorter than what a lossy link or a busy broker takes"
            .into(),
        change:
            "a time-out for PINGRESP and PUBACK of at least twice TCP's longest retransmission on this link"
                .into(),
    })
}

#[cfg(test)]
#[path = "notice_tests.rs"]
mod tests;
