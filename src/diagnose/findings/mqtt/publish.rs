//! `mqtt_no_puback`, `mqtt_big_packet`: what the client does with messages to it.
//!
//! Evidence: the broker's account of what it published. A message counts as not acknowledged only if the device's stack had
//! all of it for ten seconds and the device then sent something else on the same connection. That a message was too large,
//! a small one before it and one after it show; where the connection ended, it did so twice at the same size. One that
//! hangs on it sends nothing more for one and a half keep-alives, and its stack answers pings all the while.
//!
//! Neighbours: a device that is not subscribed, or with QoS 0; a connection that is dead; a link that loses packets.

use super::super::super::facts;
use super::super::super::{Evidence, Finding, FindingId, Severity, Silence};
use super::super::FindingEntry;
use super::super::text::{things, time};
use super::{Case, cases, line};
use espstress_event::{MqttBig, MqttBigEnd, MqttFault, MqttOutage, MqttToDevice};

pub(in super::super) const NO_PUBACK: FindingEntry = FindingEntry {
    id: FindingId::MqttNoPuback,
    severity: Severity::Error,
    meaning: "the device did not acknowledge a message with QoS 1 or 2 within ten seconds, and went on with the connection",
    needs: "an mqtt workload with --publish, and a device that is subscribed with QoS 1 or 2",
    neighbours: "a dead connection; a message that was too large for the device",
    change: "send PUBACK (PUBREC and PUBCOMP) where packets are received, for a repetition as well",
};

pub(in super::super) const BIG_PACKET: FindingEntry = FindingEntry {
    id: FindingId::MqttBigPacket,
    severity: Severity::Error,
    meaning: "from some size on, the device drops messages to it, ends the connection, or hangs",
    needs: "an mqtt workload with --publish and --fault big, and a device that is subscribed with QoS 1 or 2",
    neighbours: "a device that acknowledges nothing; a connection that ends by chance",
    change: "a larger receive buffer, or smaller messages; in MQTT 5, Maximum Packet Size in CONNECT",
};

fn row_line(qos: usize, row: &MqttToDevice) -> String {
    let mut text = format!(
        "to the device, QoS {qos}: {}, {} again with DUP, {} acknowledged, {} of them late, {} not acknowledged",
        things(row.sent, "message"),
        row.again,
        row.acknowledged.unwrap_or(0),
        row.late,
        row.unacknowledged
    );
    let more = [
        (row.uncompleted, "of these without PUBCOMP"),
        (row.again_unacknowledged, "repetitions not acknowledged"),
        (row.strange_ids, "acknowledgements under a packet id of no message"),
    ];
    for (n, what) in more.into_iter().filter(|(n, _)| *n > 0) {
        text.push_str(&format!(", {n} {what}"));
    }
    text
}

const fn overdue(row: &MqttToDevice) -> u64 {
    row.late.saturating_add(row.unacknowledged).saturating_add(row.again_unacknowledged)
}

/// Cause, and what to change.
fn no_puback_advice(case: &Case<'_>) -> (&'static str, &'static str) {
    let sum = |of: fn(&MqttToDevice) -> u64| {
        case.mqtt.to_device.iter().skip(1).map(of).fold(0, u64::saturating_add)
    };
    let missing = sum(|row| row.unacknowledged).saturating_add(sum(|row| row.again_unacknowledged));
    if missing > 0 && sum(|row| row.strange_ids) >= missing {
        return (
            "the client acknowledges under another packet id: its bytes swapped, or read from the wrong place",
            "read the packet id behind the topic, high byte first, and send it back unchanged (MQTT 3.1.1, 2.3.1)",
        );
    }
    if missing > 0 && sum(|row| row.uncompleted) >= missing {
        return (
            "the client answers PUBLISH with PUBREC, and PUBREL with nothing",
            "send PUBCOMP for each PUBREL, also where the message is not known any more (MQTT-4.3.3-2)",
        );
    }
    if missing > 0 && sum(|row| row.again_unacknowledged) >= missing {
        return (
            "the client drops a repetition that it knows, and its acknowledgement with it",
            "send PUBACK for a repetition as well: its sender has not heard the first one (MQTT-4.3.2-4)",
        );
    }
    (
        "the client acknowledges only after its program is done with the message, or not at all",
        "send PUBACK where packets are received, before the program works on the message; for a repetition as well \
         (MQTT-4.3.2-4)",
    )
}

pub(super) fn no_puback(e: &Evidence<'_>) -> Option<Finding> {
    let reliable =
        |case: &Case<'_>| case.mqtt.to_device.iter().skip(1).map(overdue).fold(0, u64::saturating_add);
    let case = cases(e).find(|case| reliable(case) > 0)?;
    let n = reliable(&case);
    let rows = case.mqtt.to_device.iter().enumerate().skip(1).filter(|(_, row)| row.sent > 0);
    let (cause, change) = no_puback_advice(&case);
    Some(Finding {
        id: FindingId::MqttNoPuback,
        severity: Severity::Error,
        statement: format!(
            "The device did not acknowledge {} within ten seconds, and went on with the connection.",
            things(n, "message")
        ),
        evidence: std::iter::once(case.about()).chain(rows.map(|(qos, row)| row_line(qos, row))).collect(),
        cause: cause.into(),
        change: change.into(),
    })
}

fn too_large(e: &Evidence<'_>, outage: &MqttOutage) -> Option<(MqttBig, u32, MqttBigEnd)> {
    let big = outage.big.filter(|_| outage.fault == MqttFault::Big && outage.not_judged.is_none())?;
    let (bytes, by) = (big.failed_bytes?, big.failed_by?);
    // A device that sends nothing more may have lost its link: pings tell.
    (by != MqttBigEnd::Hung || was_there(e, outage)).then_some((big, bytes, by))
}

/// Whether the device's stack answered pings or telemetry all through a fault.
fn was_there(e: &Evidence<'_>, outage: &MqttOutage) -> bool {
    let until = outage.length_ns.map_or(u64::MAX, |length| outage.start_ns.saturating_add(length));
    facts::datagram_probe(e).is_some_and(|probe| {
        let amid = |s: &Silence| s.from_ns <= until && s.to_ns.is_none_or(|to| to >= outage.start_ns);
        probe.answered > 0 && !probe.silences.iter().any(amid)
    })
}

/// Whether a large packet is what the device hangs on, so that it does not come back.
pub(super) fn hangs(e: &Evidence<'_>, outage: &MqttOutage) -> bool {
    too_large(e, outage).is_some_and(|(.., by)| by == MqttBigEnd::Hung)
}

pub(super) fn big_packet(e: &Evidence<'_>) -> Option<Finding> {
    let (case, outage, (big, bytes, by)) = cases(e).find_map(|case| {
        let found =
            case.mqtt.outages.iter().filter_map(|o| Some((o, too_large(e, o)?))).min_by_key(|(_, f)| f.1);
        found.map(|(outage, found)| (case, outage, found))
    })?;
    let did = match by {
        MqttBigEnd::Dropped => "did not acknowledge",
        MqttBigEnd::Mute => "acknowledged nothing more after",
        MqttBigEnd::Disconnected => "ended the connection, twice, at",
        MqttBigEnd::Hung => "sent nothing more after",
    };
    let lost = outage.gave_up_ns.filter(|_| by == MqttBigEnd::Hung && outage.back_ns.is_none());
    let lost = lost.map_or_else(String::new, |ns| format!(", and did not come back within {}", time(ns)));
    let mut evidence = vec![case.about(), line(outage)];
    evidence.extend(big.acknowledged_bytes.map(|n| format!("it acknowledged a packet of {n} bytes")));
    evidence
        .extend((by == MqttBigEnd::Dropped).then(|| "it acknowledged a small message after it".to_owned()));
    Some(Finding {
        id: FindingId::MqttBigPacket,
        severity: if lost.is_empty() { Severity::Warning } else { Severity::Error },
        statement: format!("The device {did} a PUBLISH packet of {bytes} bytes{lost}."),
        evidence,
        cause: if by == MqttBigEnd::Hung {
            "the client hangs on a packet that is larger than its receive buffer; its stack answers pings all the while"
                .into()
        } else {
            "the client's receive buffer is smaller than the packet".into()
        },
        change: "a larger receive buffer, or smaller messages; in MQTT 5, Maximum Packet Size in CONNECT, so that the broker \
                 does not send it"
            .into(),
    })
}
