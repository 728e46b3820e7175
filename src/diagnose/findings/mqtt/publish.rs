//! `mqtt_no_puback`, `mqtt_big_packet`: what the client does with messages to it.
//!
//! Evidence: the broker's account of what it published. A message counts as not acknowledged only if the device's stack had
//! all of it for ten seconds and the device then sent something else on the same connection. That a message was too large,
//! a small one before it and one after it show; where the connection ended, it did so twice at the same size.
//!
//! Neighbours: a device that is not subscribed, or with QoS 0; a connection that is dead; a link that loses packets.

use super::super::super::{Evidence, Finding, FindingId, Severity};
use super::super::FindingEntry;
use super::super::text::things;
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
    severity: Severity::Warning,
    meaning: "from some size on, the device drops messages to it or ends the connection",
    needs: "an mqtt workload with --publish and --fault big, and a device that is subscribed with QoS 1 or 2",
    neighbours: "a device that acknowledges nothing; a connection that ends by chance",
    change: "a larger receive buffer, or smaller messages; in MQTT 5, Maximum Packet Size in CONNECT",
};

fn row_line(qos: usize, row: &MqttToDevice) -> String {
    format!(
        "to the device, QoS {qos}: {}, {} again with DUP, {} acknowledged, {} of them late, {} not acknowledged",
        things(row.sent, "message"),
        row.again,
        row.acknowledged.unwrap_or(0),
        row.late,
        row.unacknowledged
    )
}

const fn overdue(row: &MqttToDevice) -> u64 {
    row.late.saturating_add(row.unacknowledged)
}

pub(super) fn no_puback(e: &Evidence<'_>) -> Option<Finding> {
    let reliable =
        |case: &Case<'_>| case.mqtt.to_device.iter().skip(1).map(overdue).fold(0, u64::saturating_add);
    let case = cases(e).find(|case| reliable(case) > 0)?;
    let n = reliable(&case);
    let rows = case.mqtt.to_device.iter().enumerate().skip(1).filter(|(_, row)| row.sent > 0);
    Some(Finding {
        id: FindingId::MqttNoPuback,
        severity: Severity::Error,
        statement: format!(
            "The device did not acknowledge {} within ten seconds, and went on with the connection.",
            things(n, "message")
        ),
        evidence: std::iter::once(case.about()).chain(rows.map(|(qos, row)| row_line(qos, row))).collect(),
        cause: "the client acknowledges only after its program is done with the message, or not at all".into(),
        change: "send PUBACK where packets are received, before the program works on the message; for a repetition as \
                 well (MQTT-4.3.2-4)"
            .into(),
    })
}

fn too_large(outage: &MqttOutage) -> Option<(MqttBig, u32, MqttBigEnd)> {
    let big = outage.big.filter(|_| outage.fault == MqttFault::Big && outage.not_judged.is_none())?;
    Some((big, big.failed_bytes?, big.failed_by?))
}

pub(super) fn big_packet(e: &Evidence<'_>) -> Option<Finding> {
    let (case, outage, (big, bytes, by)) = cases(e).find_map(|case| {
        let found =
            case.mqtt.outages.iter().filter_map(|o| Some((o, too_large(o)?))).min_by_key(|(_, f)| f.1);
        found.map(|(outage, found)| (case, outage, found))
    })?;
    let did = match by {
        MqttBigEnd::Dropped => "did not acknowledge",
        MqttBigEnd::Mute => "acknowledged nothing more after",
        MqttBigEnd::Disconnected => "ended the connection, twice, at",
    };
    let mut evidence = vec![case.about(), line(outage)];
    evidence.extend(big.acknowledged_bytes.map(|n| format!("it acknowledged a packet of {n} bytes")));
    evidence
        .extend((by == MqttBigEnd::Dropped).then(|| "it acknowledged a small message after it".to_owned()));
    Some(Finding {
        id: FindingId::MqttBigPacket,
        severity: Severity::Warning,
        statement: format!("The device {did} a PUBLISH packet of {bytes} bytes."),
        evidence,
        cause: "the client's receive buffer is smaller than the packet".into(),
        change: "a larger receive buffer, or smaller messages; in MQTT 5, Maximum Packet Size in CONNECT, so that the broker \
                 does not send it"
            .into(),
    })
}
