//! `device_unreachable`: nothing answers, or nothing any more; or nobody listens at the port.
//!
//! Evidence: no exchange ever succeeded and every attempt failed to connect, while no probe was answered
//! either; or every SYN was refused, all the time or from a moment on to the end; or ping and telemetry went silent in the run and stayed so; or a device that
//! dials in did not do so again, and nothing else of it answers.
//!
//! Neighbours: a full backlog also leaves SYNs unanswered, but ping goes on; an outage that this run made, or
//! that ended, is no absence; a device that ran out of memory before answers nothing either.
//!
//! Threshold: five seconds of silence to the end, so that one lost probe at the end is not taken for it.

use super::super::choice::{Claim, Firm};
use super::super::facts::{self, SECOND, Stack};
use super::super::{Evidence, Finding, FindingId, Severity, Silence};
use super::FindingEntry;
use super::text::{things, time};
use espstress_event::Failure;

/// Away for so long to the end of the run, nanoseconds: longer than the blinks of a link that roams (1 to 3 s).
const GONE: u64 = 5 * SECOND;

/// So many connections refused in a row are no chance.
const REFUSALS: u64 = 3;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::DeviceUnreachable,
    severity: Severity::Error,
    meaning: "the device doesn't answer, or stopped answering and didn't come back",
    needs: "attempts to connect; ping or telemetry, to tell an absent device from one that accepts no \
            connections",
    neighbours: "a full accept queue (ping still works); an outage that ended; an outage that the test caused",
    change: "check power, address and network; make the device reconnect after a lost association \
             (esp_wifi_connect() on WIFI_EVENT_STA_DISCONNECTED)",
};

#[derive(Clone, Copy, Debug)]
enum How {
    /// Nothing was ever answered.
    Never,
    /// Every connection was refused.
    Refused,
    /// Since then every connection was refused, and those before it were served.
    RefusedSince(u64),
    /// It fell silent.
    Gone(Silence),
    /// It had dialled in under this number, was silent since then, and did not do so again.
    NotBack(u8, u64),
    /// Its service ended, and nobody asked whether the rest of it is still there.
    Ended(u64),
}

fn how(e: &Evidence<'_>) -> Option<How> {
    let workloads = || e.workloads.iter().filter(|w| w.failures.of_device() > 0);
    let failed = workloads().fold(0_u64, |n, w| n.saturating_add(w.failures.of_device()));
    let refused = workloads().fold(0_u64, |n, w| n.saturating_add(w.failures.get(Failure::ConnectRefused)));
    let unconnected = workloads().fold(0_u64, |n, w| n.saturating_add(facts::not_connected(w)));
    let never_served = !facts::ever_served(e) && failed > 0;
    if never_served && refused == failed {
        return Some(How::Refused);
    }
    let stack = facts::stack(e);
    if never_served && unconnected == failed && stack != Stack::Answers {
        return Some(How::Never);
    }
    if let Some((number, since, _)) = facts::gone_dialler(e)
        && stack != Stack::Answers
    {
        return Some(How::NotBack(number, since));
    }
    if stack != Stack::Silent {
        return None;
    }
    let silence = [&e.probes.icmp, &e.probes.telemetry]
        .into_iter()
        .filter_map(|kind| kind.value())
        .filter(|p| p.answered > 0)
        .filter_map(facts::open_silence)
        .min_by_key(|s| s.from_ns)?;
    let long = e.duration_ns.saturating_sub(silence.from_ns) >= GONE;
    let explained = facts::explained(e, silence.from_ns, None) || facts::memory::starves(e);
    (long && !explained).then_some(How::Gone(*silence))
}

/// Since when every connection was refused, where others were served before: the port has no listener any more. What was
/// under way as it went failed in ways of its own, each connection once. A last resort as well: a stack without a backlog
/// refuses where its sockets are held.
fn refused_since(e: &Evidence<'_>) -> Option<u64> {
    facts::exchanges(e)
        .filter_map(|w| Some((w, facts::ends_service(e, w)?)))
        .find(|(w, end)| {
            let refused = end.failures.get(Failure::ConnectRefused);
            let others = end.failures.of_device().saturating_sub(refused);
            w.succeeded > 0
                && refused >= REFUSALS
                && others <= u64::from(w.at_once)
                && w.end_ns.saturating_sub(end.from_ns) >= GONE
        })
        .map(|(_, end)| end.from_ns)
}

/// When service ended for good, where no probe tells what of the device is left: nothing answers any more, but for what was
/// under way as it went. The last resort: any evidence of another cause goes before it.
fn ended(e: &Evidence<'_>) -> Option<u64> {
    facts::exchanges(e)
        .filter(|_| facts::stack(e) == Stack::Unknown)
        .filter_map(|w| Some((w, facts::ends_service(e, w)?)))
        .find(|(w, end)| {
            let silent = facts::count(&end.failures, &UNHEARD);
            let others = end.failures.of_device().saturating_sub(silent);
            others <= u64::from(w.at_once) && silent > 0 && w.end_ns.saturating_sub(end.from_ns) >= GONE
        })
        .map(|(_, end)| end.from_ns)
}

/// What attempts meet where nothing is heard of the device.
const UNHEARD: [Failure; 5] = [
    Failure::ConnectTimeout,
    Failure::ConnectUnreachable,
    Failure::ReadTimeout,
    Failure::WriteTimeout,
    Failure::DatagramLost,
];

/// Since when it is gone, where it was there before.
pub(super) fn since(e: &Evidence<'_>) -> Option<u64> {
    match how(e) {
        Some(How::Gone(silence)) => Some(silence.from_ns),
        Some(How::NotBack(_, at) | How::Ended(at) | How::RefusedSince(at)) => Some(at),
        Some(How::Never | How::Refused) => None,
        None => refused_since(e).or_else(|| ended(e)),
    }
}

pub(super) fn claim(e: &Evidence<'_>) -> Option<Claim> {
    let firm = match how(e) {
        Some(_) => Firm::Shown,
        None if refused_since(e).is_some() || ended(e).is_some() => Firm::Left,
        None => return None,
    };
    Some(Claim::new(firm, finding(e)))
}

/// Whether the system knew of no way to the device at most attempts: no answer to ARP is told as that.
fn no_way(e: &Evidence<'_>) -> bool {
    let all = facts::exchanges(e).fold(0_u64, |n, w| n.saturating_add(w.failures.of_device()));
    let no_way = |w: &super::super::WorkloadEvidence| w.failures.get(Failure::ConnectUnreachable);
    let met = facts::exchanges(e).fold(0_u64, |n, w| n.saturating_add(no_way(w)));
    met > 0 && met.saturating_mul(2) >= all
}

fn finding(e: &Evidence<'_>) -> Finding {
    let mut evidence: Vec<String> = e
        .workloads
        .iter()
        .filter(|w| w.failures.of_device() > 0)
        .map(|w| {
            format!(
                "{}: {} of {} failed, {} of them at connect",
                w.name,
                w.failures.of_device(),
                things(w.attempts, "attempt"),
                facts::not_connected(w)
            )
        })
        .collect();
    if let Some((number, since, took)) = facts::gone_dialler(e) {
        evidence.push(format!(
            "device {number}: disconnected at {}, for {} until the end of the run",
            time(since),
            time(took)
        ));
    }
    for (name, kind) in
        [("ping", &e.probes.icmp), ("telemetry", &e.probes.telemetry), ("TCP connect", &e.probes.tcp)]
    {
        if let Some(p) = kind.value() {
            evidence.push(format!("{name}: {} of {} answered", p.answered, things(p.sent, "probe")));
        }
    }
    let how = how(e).or_else(|| refused_since(e).map(How::RefusedSince)).or_else(|| ended(e).map(How::Ended));
    let (statement, cause, change) = match how {
        Some(How::Refused) => (
            "The device refuses every connection: nothing listens on that port.".to_owned(),
            "the port is wrong, or the server didn't start or couldn't get a listening socket",
            "check the port, and what bind() and listen() return (ESP_ERROR_CHECK(httpd_start(..)))",
        ),
        Some(How::RefusedSince(at)) => (
            format!(
                "Nothing listens on that port any more: from {} on, the device refused every connection.",
                time(at)
            ),
            "the server stopped, crashed, or closed its listening socket; a stack without a backlog also \
             refuses while no socket is free",
            "check the device's log at that time; restart the server, or the device, when its serving task ends",
        ),
        Some(How::Gone(silence)) => (
            format!("The device stopped answering at {} and didn't come back.", time(silence.from_ns)),
            "it crashed, was switched off, or lost its network and didn't rejoin it",
            "call esp_wifi_connect() on every WIFI_EVENT_STA_DISCONNECTED; let a watchdog restart a device \
             that stays offline",
        ),
        Some(How::NotBack(number, at)) => (
            format!(
                "Device {number}, which dials in, disconnected at {} and didn't dial in again.",
                time(at)
            ),
            "it crashed, was switched off, lost its network, or doesn't dial again",
            "dial again after every loss, whatever connect() returns; call esp_wifi_connect() on every \
             WIFI_EVENT_STA_DISCONNECTED; let a watchdog restart a device that stays offline",
        ),
        Some(How::Ended(at)) => (
            format!("The device stopped serving at {} and didn't resume.", time(at)),
            "the device or its program is gone; without ping or telemetry, espstress can't tell which",
            "allow ping (net.ipv4.ping_group_range), and check the console; a watchdog that restarts an \
             offline device helps in both cases",
        ),
        Some(How::Never) if no_way(e) => (
            "The device never answered: the network reports that it's unreachable.".to_owned(),
            "nothing answers ARP (IPv6: neighbor discovery) for that address: the device is off, not on this \
             network, or has a new address",
            "find its address on the console (IP_EVENT_STA_GOT_IP) or with `espstress discover`; a fixed lease \
             in the router keeps the address",
        ),
        Some(How::Never) | None => (
            "The device never answered.".to_owned(),
            "it's off, has another address, is on another network, or a firewall blocks it",
            "check power and address; find its address on the console (IP_EVENT_STA_GOT_IP)",
        ),
    };
    Finding {
        id: FindingId::DeviceUnreachable,
        severity: Severity::Error,
        statement,
        evidence,
        cause: cause.into(),
        change: change.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{WorkloadEvidence, WorkloadKind};
    use espstress_event::{Episode, FailureCounts};

    /// Served for 20 s, and from then on to the end, so much later, refused so often; so many others failed as it went.
    fn refused(times: u64, others: u64, after_s: u64) -> Option<u64> {
        let mut failures = FailureCounts::default();
        failures.add(Failure::ConnectRefused, times);
        failures.add(Failure::ReadReset, others);
        let (gone, end_ns) = (20 * SECOND, (20 + after_s) * SECOND);
        let served = Episode { to_ns: gone, attempts: 100, succeeded: 100, ..Episode::default() };
        let attempts = times + others;
        let over = Episode {
            from_ns: gone,
            to_ns: end_ns,
            attempts,
            failures: failures.clone(),
            ..Episode::default()
        };
        let w = WorkloadEvidence {
            kind: WorkloadKind::Head,
            end_ns,
            attempts: 100 + attempts,
            succeeded: 100,
            failures,
            episodes: vec![served, over],
            at_once: 4,
            ..WorkloadEvidence::default()
        };
        refused_since(&Evidence { duration_ns: end_ns, workloads: vec![w], ..Evidence::default() })
    }

    #[test]
    fn a_listener_is_gone_where_all_is_refused_for_long_and_little_else_failed() {
        assert_eq!(refused(18, 4, 20), Some(20 * SECOND));
        assert_eq!(refused(3, 0, 5), Some(20 * SECOND));
        assert_eq!(refused(2, 0, 20), None, "too few");
        assert_eq!(refused(18, 5, 20), None, "more than were under way");
        assert_eq!(refused(18, 4, 4), None, "too short");
    }
}
