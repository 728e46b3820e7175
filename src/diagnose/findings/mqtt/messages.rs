//! `mqtt_dup_missing`, `mqtt_duplicates`, `mqtt_message_lost`, `mqtt_availability`: what became of the client's messages.
//!
//! Evidence: the broker's ledger. Repetitions are those under the same packet id, with the same topic and payload, that
//! were not acknowledged in between; loss needs numbers in the payloads (`--sequence`) and is never guessed.
//!
//! Neighbours: the same words again under an id that is free; a message that comes for the first time with DUP because
//! its first copy was lost on the way.

use super::super::super::{Evidence, Finding, FindingId, Severity};
use super::super::FindingEntry;
use super::super::text::{things, times};
use super::{Case, cases};
use espstress_event::{MqttDelivery, MqttFault};

/// So many copies of one message are more than the one repetition that a lost answer takes.
const COPIES: u64 = 3;

pub(in super::super) const DUP_MISSING: FindingEntry = FindingEntry {
    id: FindingId::MqttDupMissing,
    severity: Severity::Warning,
    meaning: "the device sent a message again under the same packet id without the DUP flag",
    needs: "an mqtt workload, and a device that publishes with QoS 1 or 2",
    neighbours: "another message under an id that is free again; a clean session",
    change: "set DUP on each repetition (MQTT-3.3.1-1)",
};

pub(in super::super) const DUPLICATES: FindingEntry = FindingEntry {
    id: FindingId::MqttDuplicates,
    severity: Severity::Warning,
    meaning: "the device sent one message three times or more on one connection: while the broker's answer was slow, or \
              although the broker had acknowledged it",
    needs: "an mqtt workload, and a device that publishes with QoS 1 or 2; --fault slow shows more",
    neighbours: "one repetition after a reconnection, as the standard wants it",
    change: "on one connection, don't send again at all, or only after the broker's longest delay",
};

pub(in super::super) const LOST: FindingEntry = FindingEntry {
    id: FindingId::MqttMessageLost,
    severity: Severity::Error,
    meaning: "numbers are missing in the device's messages; with QoS 0 that is allowed and worth knowing",
    needs: "an mqtt workload with --sequence, and a device that numbers its messages",
    neighbours: "a counter that began anew; messages that came late",
    change: "keep messages until PUBACK, and send them again after a reconnection; on a connection that stands, check \
             where the program counts and what its publish call returns",
};

pub(in super::super) const AVAILABILITY: FindingEntry = FindingEntry {
    id: FindingId::MqttAvailability,
    severity: Severity::Warning,
    meaning: "will and birth message don't fit together: availability stays wrong for those who subscribe later",
    needs: "an mqtt workload, and a device with a will",
    neighbours: "a device that publishes nothing on its will's topic",
    change: "publish the birth message in the connect handler, retained as the will is",
};

fn reliable<'a>(case: &Case<'a>) -> impl Iterator<Item = &'a MqttDelivery> {
    case.mqtt.to_host.iter().skip(1)
}

fn ledger(row: &MqttDelivery, qos: usize) -> String {
    let mut text = format!(
        "QoS {qos}: {}, {} again with DUP, {} again without",
        things(row.received, "message"),
        row.again_dup,
        row.again_no_dup
    );
    if let Some(lost) = row.lost {
        text.push_str(&format!(", {lost} lost"));
    }
    text
}

fn ledgers(case: &Case<'_>) -> Vec<String> {
    let rows = case.mqtt.to_host.iter().enumerate().filter(|(_, row)| row.received > 0);
    std::iter::once(case.about()).chain(rows.map(|(qos, row)| ledger(row, qos))).collect()
}

pub(super) fn dup_missing(e: &Evidence<'_>) -> Option<Finding> {
    let case = cases(e).find(|case| reliable(case).any(|row| row.again_no_dup > 0))?;
    let n: u64 = reliable(&case).map(|row| row.again_no_dup).sum();
    Some(Finding {
        id: FindingId::MqttDupMissing,
        severity: Severity::Warning,
        statement: format!("The device sent messages again without the DUP flag, {}.", times(n)),
        evidence: ledgers(&case),
        cause: "the client repeats a message as if it were new".into(),
        change: "set DUP on each PUBLISH that is sent again (MQTT-3.3.1-1)".into(),
    })
}

pub(super) fn duplicates(e: &Evidence<'_>) -> Option<Finding> {
    needless(e).or_else(|| impatient(e))
}

/// It repeats what was acknowledged.
fn needless(e: &Evidence<'_>) -> Option<Finding> {
    let most = |case: &Case<'_>| reliable(case).map(|row| row.acknowledged_copies_max).max().unwrap_or(0);
    // One may have crossed the acknowledgement on the way.
    let case = cases(e).find(|case| most(case) >= COPIES - 1)?;
    Some(Finding {
        id: FindingId::MqttDuplicates,
        severity: Severity::Warning,
        statement: format!(
            "The device sent one message again on the same connection after the broker had acknowledged it, {}.",
            times(most(&case))
        ),
        evidence: ledgers(&case),
        cause: "the client does not take the acknowledgement: it never reads it, or looks for another packet id".into(),
        change: "forget a message at its PUBACK (PUBCOMP for QoS 2); send again only after a reconnection (MQTT-4.4.0-1)"
            .into(),
    })
}

/// It repeats on one connection because it does not wait.
fn impatient(e: &Evidence<'_>) -> Option<Finding> {
    let slow = |fault| fault == MqttFault::Slow;
    let case = cases(e).find(|case| {
        case.faults(slow).next().is_some() && reliable(case).any(|row| row.copies_max >= COPIES)
    })?;
    let most = reliable(&case).map(|row| row.copies_max).max()?;
    Some(Finding {
        id: FindingId::MqttDuplicates,
        severity: Severity::Warning,
        statement: format!(
            "The device sent one message {} because the broker's answer was slow.",
            times(most)
        ),
        evidence: ledgers(&case),
        cause: "the client sends again after a fixed time that is shorter than the broker's answer takes"
            .into(),
        change:
            "esp-mqtt: message_retransmit_timeout above the broker's longest PUBACK; MQTT 3.1.1 and 5 need \
                 repetition only after a reconnection (MQTT-4.4.0-1)"
                .into(),
    })
}

pub(super) fn lost(e: &Evidence<'_>) -> Option<Finding> {
    let any = |row: &MqttDelivery| row.lost.is_some_and(|n| n > 0);
    let case = cases(e).find(|case| case.mqtt.to_host.iter().any(any))?;
    let sum = |rows: &mut dyn Iterator<Item = &MqttDelivery>| rows.filter_map(|row| row.lost).sum::<u64>();
    let of_reliable = sum(&mut reliable(&case));
    let all = sum(&mut case.mqtt.to_host.iter());
    let (severity, n, what) = match of_reliable {
        // Which one a missing message had, only a device that always uses the same tells.
        0 if reliable(&case).any(|row| row.lost.is_some()) => (Severity::Info, all, "with QoS 0 or more"),
        0 => (Severity::Info, all, "with QoS 0"),
        n => (Severity::Error, n, "with QoS 1 or 2"),
    };
    let mut evidence = ledgers(&case);
    // TCP leaves nothing out in the middle of a connection.
    let (cause, change) = if case.client.connects <= 1 {
        evidence.push("it connected once: nothing was lost between two connections".into());
        (
            "the device never sent them, though its connection stood: it skips numbers, or drops messages before it sends \
             them, for example where its outbox is full",
            "check where the program counts and what its publish call returns; a message that is not taken has to be given \
             again, or its number used for the next",
        )
    } else {
        (
            "messages are dropped while there is no connection, or are not kept until they are acknowledged; or the device \
             skips numbers",
            "QoS 1 and an outbox that keeps each message until its PUBACK; check where the program counts",
        )
    };
    Some(Finding {
        id: FindingId::MqttMessageLost,
        severity,
        statement: format!(
            "{} {what} never came: numbers are missing in the payloads.",
            things(n, "message")
        ),
        evidence,
        cause: cause.into(),
        change: change.into(),
    })
}

pub(super) fn availability(e: &Evidence<'_>) -> Option<Finding> {
    let wrong = |case: &Case<'_>| {
        let will = case.client.will.as_ref()?;
        let birth = case.client.birth_retained?;
        if case.client.births_missing > 0 {
            return Some(format!(
                "The device published no birth message after {} of its returns.",
                case.client.births_missing
            ));
        }
        match (will.retain, birth) {
            (true, false) => Some(
                "The will is retained and the birth message is not: whoever subscribes later sees \
                                   the device as gone.",
            ),
            (false, true) => Some(
                "The birth message is retained and the will is not: whoever subscribes later sees \
                                   the device as there.",
            ),
            _ => None,
        }
        .map(str::to_owned)
    };
    let (case, statement) = cases(e).find_map(|case| wrong(&case).map(|statement| (case, statement)))?;
    let will = case.client.will.as_ref()?;
    let yes = |retained: bool| if retained { "retained" } else { "not retained" };
    Some(Finding {
        id: FindingId::MqttAvailability,
        severity: Severity::Warning,
        statement,
        evidence: vec![
            case.about(),
            format!("will {}, birth message {}", yes(will.retain), yes(case.client.birth_retained?)),
        ],
        cause: "the birth message is published once at the start, or with another retain flag than the will"
            .into(),
        change: "publish the birth message in the connect handler, each time, retained as the will is".into(),
    })
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
