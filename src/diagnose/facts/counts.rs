//! Counts of attempts, failures and anomalies, as many rules ask for them.

use super::super::{
    CaptureState, ClosePolicy, EndedOutage, Evidence, OutageEvidence, OutageOrigin, TelemetryEvidence,
    WorkloadEvidence, WorkloadKind,
};
use super::program::without_silence;
use super::stops_in_the_middle;
use espstress_event::{AnomalyClass, AnomalyId, Ending, Failure, FailureCounts};

pub(crate) const SECOND: u64 = 1_000_000_000;

/// How often an anomaly was seen, and on how many connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    pub(crate) connections: u64,
}

/// Workloads of plain exchanges: nothing in them is silenced or cut.
pub(crate) fn exchanges<'a>(e: &'a Evidence<'_>) -> impl Iterator<Item = &'a WorkloadEvidence> {
    e.workloads.iter().filter(|w| is_exchange(w))
}

/// Whether this run has clients for whom others may have to wait.
pub(crate) fn keeps_others_waiting(w: &WorkloadEvidence) -> bool {
    let slow = w.by_protocol.as_ref().is_some_and(|by| by.slow.is_some() || by.silent_before.is_some());
    slow || w.half_open.is_some() || w.outages.is_some() || w.mqtt.is_some()
}

/// Whether nothing in it is silenced or cut.
pub(crate) fn is_exchange(w: &WorkloadEvidence) -> bool {
    matches!(w.kind, WorkloadKind::Head | WorkloadKind::Rw) && w.close != ClosePolicy::Vanish
}

/// An anomaly counted against the device, outside of workloads that silence connections or cut the link: there
/// the host's own absence explains most of what is seen.
pub(crate) fn of_device(e: &Evidence<'_>, id: AnomalyId) -> Tally {
    let cut = |name: &str| {
        e.workloads.iter().any(|w| {
            w.name == name
                && (matches!(w.kind, WorkloadKind::Outage | WorkloadKind::HalfOpen | WorkloadKind::Mqtt)
                    || w.close == ClosePolicy::Vanish)
        })
    };
    e.anomalies
        .iter()
        .filter(|row| row.id == id && row.class == AnomalyClass::Device)
        .filter(|row| !row.workload.as_deref().is_some_and(cut))
        .fold(Tally::default(), |sum, row| Tally {
            count: sum.count.saturating_add(row.count),
            connections: sum.connections.saturating_add(row.connections),
        })
}

/// The same on the connections of workloads alone: probes are not among them.
pub(crate) fn of_device_in_exchanges(e: &Evidence<'_>, id: AnomalyId) -> Tally {
    e.anomalies
        .iter()
        .filter(|row| row.id == id && row.class == AnomalyClass::Device)
        .filter(|row| row.workload.as_deref().is_none_or(|name| exchanges(e).any(|w| w.name == name)))
        .fold(Tally::default(), |sum, row| Tally {
            count: sum.count.saturating_add(row.count),
            connections: sum.connections.saturating_add(row.connections),
        })
}

/// No connection came about.
pub(crate) const CONNECT: [Failure; 4] =
    [Failure::ConnectTimeout, Failure::ConnectRefused, Failure::ConnectReset, Failure::ConnectUnreachable];

/// A connection stood and no answer came.
pub(crate) const SILENT: [Failure; 2] = [Failure::ReadTimeout, Failure::WriteTimeout];

pub(crate) fn sum(w: &WorkloadEvidence, names: &[Failure]) -> u64 {
    count(&w.failures, names)
}

/// The sum of some failures.
pub(crate) fn count(failures: &FailureCounts, names: &[Failure]) -> u64 {
    names.iter().fold(0, |n, f| n.saturating_add(failures.get(*f)))
}

/// The handshake did not come about.
pub(crate) fn not_connected(w: &WorkloadEvidence) -> u64 {
    sum(w, &CONNECT)
}

/// The connection stood and no answer came. One that began and broke off by itself is an answer, and a broken one.
pub(crate) fn unanswered(w: &WorkloadEvidence) -> u64 {
    count(&without_silence(w.failures.clone(), stops_in_the_middle(w)), &SILENT)
}

/// The device ended the connection by a RST in the middle of an exchange.
pub(crate) fn reset_in_exchange(w: &WorkloadEvidence) -> u64 {
    sum(w, &[Failure::ReadReset, Failure::WriteReset])
}

/// Attempts of a workload that outages made by this run may have cost: each of them every connection once.
pub(crate) fn met_outages(e: &Evidence<'_>, w: &WorkloadEvidence) -> u64 {
    let made = e.workloads.iter().filter_map(|w| w.outages.as_ref()).map(|o| o.made);
    made.fold(0, u64::saturating_add).saturating_mul(u64::from(w.at_once))
}

/// The same of a part of the run: those that are known to have been over long before it, or to have come long after it, cost
/// nothing in it. In a run of days there are hundreds.
pub(crate) fn met_outages_in(e: &Evidence<'_>, w: &WorkloadEvidence, from_ns: u64, to_ns: u64) -> u64 {
    /// An attempt that an outage delayed may end so long after it.
    const LATE: u64 = 15 * SECOND;
    let met = |of: &OutageEvidence| {
        let made = of.rows.iter().filter(|row| row.outage.origin == OutageOrigin::Made);
        let apart = made
            .filter_map(EndedOutage::span_ns)
            .filter(|(start, end)| end.saturating_add(LATE) < from_ns || *start > to_ns.saturating_add(LATE));
        of.made.saturating_sub(apart.count() as u64)
    };
    let all = e.workloads.iter().filter_map(|w| w.outages.as_ref()).map(met).fold(0, u64::saturating_add);
    all.saturating_mul(u64::from(w.at_once))
}

/// Failures that successes follow.
pub(crate) fn recovered(w: &WorkloadEvidence) -> u64 {
    let last = w.episodes.iter().rposition(|episode| episode.succeeded > 0);
    let before = last.map_or(&[][..], |last| w.episodes.get(..=last).unwrap_or_default());
    before.iter().fold(0, |n, t| n.saturating_add(t.failures.of_device()))
}

/// When the last success of a workload ended.
pub(crate) fn last_success_ns(w: &WorkloadEvidence) -> Option<u64> {
    w.episodes.iter().filter(|t| t.succeeded > 0).map(|t| t.to_ns).max()
}

/// Whether any exchange of the run succeeded.
pub(crate) fn ever_served(e: &Evidence<'_>) -> bool {
    e.workloads
        .iter()
        .any(|w| w.succeeded > 0 || w.half_open.as_ref().is_some_and(|h| h.served > 0 || h.before.served > 0))
}

/// Connections that the device may have ended with bytes unread: those of a body that it refused (RFC 9110, 15.5.14), and
/// those of requests behind a response that announced the end (RFC 9112, 9.6). Only the stack's buffers decide whether a
/// RST follows.
pub(crate) fn unread_by_right(w: &WorkloadEvidence) -> u64 {
    let refused = w.responses.iter().filter(|(code, _)| w.asks.body && *code >= 400);
    refused.fold(w.http.left_behind, |n, (_, times)| n.saturating_add(times))
}

/// Anomalies of this kind on WebSockets that the device closed by a close frame: messages that were on their way meet a
/// socket that is gone.
pub(crate) fn after_close_frames(e: &Evidence<'_>, id: AnomalyId) -> u64 {
    let closed = |w: &WorkloadEvidence| {
        let ws = w.by_protocol.as_ref()?.websocket.as_ref()?;
        let named = ws.closes.iter().filter(|(name, _)| *name != "no_close_frame");
        Some(named.fold(0_u64, |n, (_, times)| n.saturating_add(*times)))
    };
    let rows = e.anomalies.iter().filter(|row| row.id == id && row.class == AnomalyClass::Device);
    rows.fold(0_u64, |n, row| {
        let w = exchanges(e).find(|w| row.workload.as_deref() == Some(w.name.as_str()));
        n.saturating_add(w.and_then(closed).map_or(0, |closes| row.count.min(closes)))
    })
}

/// Anomalies of this kind on connections of workloads that [`unread_by_right`] explains.
pub(crate) fn of_unread_by_right(e: &Evidence<'_>, id: AnomalyId) -> u64 {
    let rows = e.anomalies.iter().filter(|row| row.id == id && row.class == AnomalyClass::Device);
    rows.fold(0_u64, |n, row| {
        let w = exchanges(e).find(|w| row.workload.as_deref() == Some(w.name.as_str()));
        n.saturating_add(w.map_or(0, |w| row.count.min(unread_by_right(w))))
    })
}

/// How many of a workload's well-ended exchanges ended so.
pub(crate) fn endings(e: &Evidence<'_>, ending: Ending) -> u64 {
    exchanges(e).fold(0, |n, w| n.saturating_add(w.endings.get(ending)))
}

/// All well-ended exchanges whose end the host waited for.
pub(crate) fn all_endings(e: &Evidence<'_>) -> u64 {
    Ending::ALL.into_iter().fold(0, |n, ending| n.saturating_add(endings(e, ending)))
}

/// Connections that all workloads may have open at once, and the probe's.
pub(crate) fn at_once(e: &Evidence<'_>) -> u64 {
    e.workloads.iter().map(|w| u64::from(w.at_once)).max().unwrap_or(0) + 1
}

/// Whether the packets were looked at, at least most of them.
pub(crate) const fn captured(e: &Evidence<'_>) -> bool {
    matches!(e.capture.status, CaptureState::Complete | CaptureState::Dropped)
}

/// What the device said, if it said anything.
pub(crate) fn telemetry<'a>(e: &'a Evidence<'_>) -> Option<&'a TelemetryEvidence> {
    e.telemetry.value().filter(|t| t.samples > 0)
}
