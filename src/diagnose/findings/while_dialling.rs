//! A program that does nothing else while it connects to its broker: part of `blocked_application`.
//!
//! Evidence: while a broker answered nothing, three or more handshakes in a row were not completed although ping or telemetry
//! were answered all the time; at other times all were. What the queue of unaccepted connections holds is answered by the
//! stack, so a device may have been blocked for longer than that.

use super::super::{Evidence, ProbeEvidence, Silence};
use super::text::{things, time};
use espstress_event::MqttFault;

/// So many in a row are no chance.
const IN_A_ROW: u64 = 3;

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WhileDialling {
    longest_ns: u64,
    lost: u64,
}

pub(super) const CAUSE: &str = "the program waits in its MQTT client's connect() until the broker answers, and serves nobody \
                                meanwhile";
pub(super) const CHANGE: &str = "connect to the broker in a task of its own, or with a shorter limit: PubSubClient \
                                 setSocketTimeout(), and a client with a connect timeout";

impl WhileDialling {
    pub(super) fn statement(self) -> String {
        format!(
            "The program serves nobody while it connects to its broker: {} in a row failed in {}, while the device's stack \
             still answered.",
            things(self.lost, "handshake"),
            time(self.longest_ns)
        )
    }
}

/// Whether a broker that answers nothing keeps the device from serving others.
pub(super) fn seen(e: &Evidence<'_>) -> Option<WhileDialling> {
    let tcp = e.probes.tcp.value().filter(|p| p.answered > 0)?;
    let mute: Vec<(u64, u64)> = e
        .workloads
        .iter()
        .filter_map(|w| w.mqtt.as_ref())
        .flat_map(|mqtt| &mqtt.outages)
        .filter(|o| o.fault.is_mute() || o.fault == MqttFault::NoConnack)
        .filter_map(|o| Some((o.start_ns, o.end_ns()?)))
        .collect();
    let long = || tcp.silences.iter().filter(|s| s.lost >= IN_A_ROW);
    let within = |s: &Silence| mute.iter().any(|(from, to)| (*from..*to).contains(&s.from_ns));
    let stack = [&e.probes.icmp, &e.probes.telemetry].into_iter().filter_map(|kind| kind.value());
    let stack: Vec<&ProbeEvidence> = stack.filter(|p| p.answered > 0).collect();
    let end = |s: &Silence| s.to_ns.unwrap_or(e.duration_ns);
    let apart = |s: &Silence, other: &Silence| end(s) <= other.from_ns || end(other) <= s.from_ns;
    let heard = |s: &Silence| stack.iter().any(|p| p.silences.iter().all(|other| apart(s, other)));
    if !long().all(within) {
        return None;
    }
    let longest = long().filter(|s| heard(s)).max_by_key(|s| s.lost)?;
    Some(WhileDialling { longest_ns: end(longest).saturating_sub(longest.from_ns), lost: longest.lost })
}
