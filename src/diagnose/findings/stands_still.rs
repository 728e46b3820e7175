//! `stands_still`: for a second or longer requests waited and none was answered; then all were, and no other finding says why.
//!
//! Evidence: when attempts of all workloads began and ended. That the link lost nothing: the packets, else the host's TCP; and
//! that pings were answered quickly.
//!
//! Neighbours: a device that always takes so long; requests that fail; a link that loses packets, or is away: TCP repeats them
//! after a second and more; a host that stood still; clients that are slow, silent or made to vanish on purpose, for whom others
//! may have to wait.
//!
//! Thresholds: a second, which is shorter than TCP's own time-outs and longer than anything that a busy program does between
//! two answers. One such time in fifty answers is how that device serves, and no standstill.

use super::super::facts;
use super::super::{Evidence, Finding, FindingId, Severity, WorkloadEvidence};
use super::FindingEntry;
use super::text::{things, time};
use espstress_event::Standstills;

/// Answers for each such time, at least.
const RARE: u64 = 50;

/// The greatest part of such a time that a ping may have taken, as a divisor.
const PING: u64 = 4;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::StandsStill,
    severity: Severity::Warning,
    meaning: "for a second or longer the device answered none of the requests that waited, and then it answered them all",
    needs: "requests that don't fail, and a link that loses nothing, as the packets or the client's TCP tell",
    neighbours: "a device that always takes so long; lost packets; a client that stood still; requests that fail",
    change: "find what the program waits for: flash writes, a look-up, a lock, a sensor, another connection; do that in \
             another task",
};

/// The longest, in the workload that met it.
fn longest<'a>(e: &'a Evidence<'_>) -> Option<(&'a WorkloadEvidence, Standstills)> {
    let each = e.workloads.iter().filter_map(|w| Some((w, w.by_protocol.as_ref()?.standstills?)));
    each.max_by_key(|(_, still)| still.longest_us())
}

/// Whether any segment of the run was lost or sent again; where nothing tells, one may have been.
fn may_have_lost(e: &Evidence<'_>) -> bool {
    match e.path {
        Some(path) => {
            path.losses.lost > 0 || path.to_device.retransmissions > 0 || path.from_device.retransmissions > 0
        }
        None => facts::exchanges(e).any(|w| w.tcp.is_none_or(|tcp| tcp.retransmissions > 0)),
    }
}

pub(super) fn find(e: &Evidence<'_>, found: &[Finding]) -> Option<Finding> {
    // What is wrong otherwise may be why.
    if found.iter().any(|other| other.severity != Severity::Info) {
        return None;
    }
    let (w, still) = longest(e)?;
    let sum = |all: u64, n: u64| all.saturating_add(n);
    let served = facts::exchanges(e).map(|w| w.succeeded).fold(0, sum);
    let each = e.workloads.iter().filter_map(|w| w.by_protocol.as_ref()?.standstills);
    let times = each.map(|still| still.times).fold(0, sum);
    let (from, to) =
        (still.longest_since_us.saturating_mul(1_000), still.longest_to_us.saturating_mul(1_000));
    let length = to.saturating_sub(from);
    let by_others = facts::host_stood_still(e, from, Some(to)) || facts::explained(e, from, Some(to));
    if times.saturating_mul(RARE) > served
        || by_others
        || may_have_lost(e)
        || e.workloads.iter().any(facts::keeps_others_waiting)
    {
        return None;
    }
    let ping = e.probes.icmp.value().filter(|ping| ping.answered > 0);
    if ping.is_some_and(|ping| {
        ping.answered < ping.sent || ping.latency.is_some_and(|q| q.max_ns > length / PING)
    }) {
        return None;
    }
    let mut evidence = vec![format!(
        "{}: {} answered, half of them within {}",
        w.name,
        things(w.succeeded, "request"),
        w.main.map_or_else(|| "an unknown time".to_owned(), |main| time(main.p50_ns))
    )];
    evidence.push(match e.path {
        Some(_) => "packets: no segment was lost or sent again".into(),
        None => "the client's TCP: no segment was sent again".into(),
    });
    evidence.extend(ping.map(|ping| {
        let most = ping.latency.map_or_else(String::new, |q| format!(", {} at most", time(q.max_ns)));
        format!("ping: {} of {} answered{most}", ping.answered, ping.sent)
    }));
    let more = times.saturating_sub(1);
    let more = if more == 0 {
        String::new()
    } else {
        format!(", and {} of a second or more", things(more, "other time"))
    };
    Some(Finding {
        id: FindingId::StandsStill,
        severity: Severity::Warning,
        statement: format!(
            "The device answered nothing for {}, from {} on, while requests waited{more}; then it answered them.",
            time(length),
            time(from)
        ),
        evidence,
        cause: if ping.is_some() || facts::path::has_no_link(e) {
            "the program did something else for that time, or waited for it; the link was there".into()
        } else {
            "the program did something else for that time, or the link held everything back: no ping tells them apart".into()
        },
        change: ENTRY.change.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Measured, PathEvidence, ProbeEvidence, Quantiles, TcpEvidence};
    use espstress_event::ByProtocol;

    const S: u64 = 1_000_000;

    fn workload(times: u64, succeeded: u64) -> WorkloadEvidence {
        let standstills = Some(Standstills { times, longest_since_us: 4 * S, longest_to_us: 7 * S });
        WorkloadEvidence {
            name: "head".into(),
            attempts: succeeded,
            succeeded,
            by_protocol: Some(Box::new(ByProtocol { standstills, ..ByProtocol::default() })),
            tcp: Some(TcpEvidence::default()),
            ..WorkloadEvidence::default()
        }
    }

    fn found(change: impl Fn(&mut Evidence<'_>)) -> Option<String> {
        let mut e = Evidence { workloads: vec![workload(1, 400)], ..Evidence::default() };
        change(&mut e);
        find(&e, &[]).map(|finding| format!("{} {}", finding.statement, finding.cause))
    }

    #[test]
    fn a_time_in_which_requests_waited_is_told_with_its_length() {
        let statement = found(|_| {}).unwrap();
        let told = "The device answered nothing for 3.0 s, from 4.0 s on, while requests waited; then it answered them.";
        assert!(
            statement.starts_with(told) && statement.ends_with("no ping tells them apart"),
            "{statement}"
        );
        let again = found(|e| e.workloads[0] = workload(3, 400)).unwrap();
        assert!(again.contains("and 2 other times of a second or more"), "{again}");
    }

    #[test]
    fn a_device_that_always_takes_so_long_stands_not_still() {
        assert_eq!(found(|e| e.workloads[0] = workload(9, 400)), None);
    }

    #[test]
    fn a_link_that_loses_or_delays_packets_may_be_why() {
        assert_eq!(found(|e| e.workloads[0].tcp = None), None);
        assert_eq!(
            found(|e| e.workloads[0].tcp = Some(TcpEvidence { retransmissions: 1, ..TcpEvidence::default() })),
            None
        );
        let lossy = |e: &mut Evidence<'_>| {
            let mut path = PathEvidence::default();
            path.from_device.retransmissions = 1;
            e.path = Some(path);
        };
        assert_eq!(found(lossy), None);
        let pings = |answered, max_ns| {
            found(|e| {
                let latency = Some(Quantiles { max_ns, ..Quantiles::default() });
                e.probes.icmp =
                    Measured::Value(ProbeEvidence { sent: 9, answered, latency, ..ProbeEvidence::default() });
            })
        };
        assert!(pings(9, 5_000_000).unwrap().ends_with("the link was there"));
        assert_eq!((pings(8, 5_000_000), pings(9, 2_000_000_000)), (None, None));
    }

    #[test]
    fn others_that_wait_for_slow_clients_are_kept_waiting_by_the_test() {
        let beside = |e: &mut Evidence<'_>| {
            let by = ByProtocol {
                silent_before: Some(espstress_event::SilentClients::default()),
                ..ByProtocol::default()
            };
            e.workloads
                .push(WorkloadEvidence { by_protocol: Some(Box::new(by)), ..WorkloadEvidence::default() });
        };
        assert_eq!(found(beside), None);
    }
}
