//! What an MQTT client does about its broker: keep-alive, faults, sessions and messages.
//!
//! Evidence: the record of an `mqtt` workload, and for what the device shows on the wire a complete capture. A run that
//! was shorter than two keep-alives shows none of this and is not judged.

pub(super) mod keepalive;
pub(super) mod messages;
#[cfg(test)]
#[path = "../../tests/findings/support/mqtt_client.rs"]
mod mqtt_client;
pub(super) mod notice;
pub(super) mod publish;
pub(super) mod recovery;

use super::super::{Evidence, Finding, MqttEvidence, Quantiles, WorkloadEvidence};
use super::text::time;
use espstress_event::{MqttClient, MqttFault, MqttOutage};

/// One workload with a device that was watched for long enough.
struct Case<'a> {
    w: &'a WorkloadEvidence,
    mqtt: &'a MqttEvidence,
    client: &'a MqttClient<Option<Quantiles>>,
}

/// However short a device was watched: what it did is no less true. What its silence says, the verdict knows.
fn cases<'a>(e: &'a Evidence<'_>) -> impl Iterator<Item = Case<'a>> {
    e.workloads.iter().filter_map(|w| {
        let mqtt = w.mqtt.as_ref()?;
        Some(Case { w, mqtt, client: mqtt.target()? })
    })
}

impl<'a> Case<'a> {
    /// Its faults of one kind.
    fn faults(&self, of: impl Fn(MqttFault) -> bool + 'a) -> impl Iterator<Item = &'a MqttOutage> {
        self.mqtt.outages.iter().filter(move |outage| of(outage.fault))
    }

    /// The client in a line of evidence.
    fn about(&self) -> String {
        format!(
            "{}: client {}, MQTT {}, keep-alive {} s",
            self.w.name,
            self.client.id_hash,
            self.client.protocol.name(),
            self.client.keepalive_s
        )
    }
}

/// One fault in a line of evidence.
fn line(outage: &MqttOutage) -> String {
    let mut text = format!("{} at {}", outage.fault.name(), time(outage.start_ns));
    if let Some(length) = outage.length_ns {
        text.push_str(&format!(", {} long", time(length)));
    }
    match (outage.device_notices_ns, outage.device_sign) {
        (Some(ns), Some(sign)) => {
            text.push_str(&format!(": the device's first {} after {}", sign.name(), time(ns)));
        }
        _ if outage.link_cut => {
            text.push_str(", the link cut: the device went on with the same connection after it")
        }
        _ => text.push_str(": no FIN, RST or SYN from the device"),
    }
    if let Some(k) = outage.of_keepalive(outage.device_notices_ns) {
        text.push_str(&format!(" ({k:.1} K)"));
    }
    if let Some(attempts) = outage.attempts.filter(|n| *n > 0) {
        text.push_str(&format!("; {}", super::text::things(attempts, "attempt")));
    }
    if let Some(median) = outage.gap_median_ns {
        text.push_str(&format!(", {} apart in the median", time(median)));
    }
    text
}

/// Lines of evidence for faults: the first few.
fn lines<'a>(case: &Case<'_>, outages: impl Iterator<Item = &'a MqttOutage>) -> Vec<String> {
    const MOST: usize = 5;
    std::iter::once(case.about()).chain(outages.take(MOST).map(line)).collect()
}

/// Every rule, in the order of the catalogue.
pub(super) fn find(e: &Evidence<'_>) -> Vec<Finding> {
    let rules = [
        keepalive::missed,
        keepalive::late,
        notice::unnoticed,
        notice::slow,
        notice::close_unnoticed,
        recovery::no_reconnect,
        recovery::session_refused,
        recovery::not_resubscribed,
        recovery::storm,
        messages::dup_missing,
        messages::duplicates,
        messages::lost,
        publish::no_puback,
        publish::big_packet,
        notice::hasty,
        messages::availability,
        keepalive::too_long,
    ];
    rules.iter().filter_map(|rule| rule(e)).collect()
}
