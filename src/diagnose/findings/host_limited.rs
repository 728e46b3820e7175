//! `host_limited`: the testing machine was the limit, so that figures say less of the device than they seem to.
//!
//! Evidence: failures of the host's own; waits for source ports; connections that opened far later than their own
//! round trip; a program that could not run when it wanted to.
//!
//! Neighbours: a slow device: its round trip is slow as well. A processor in full use by itself is no limit: a
//! closed loop takes all there is. Ports that the user restricted are what was asked for.
//!
//! Thresholds: one failure of the host's own is one too many; one port wait, or slow connection, in a hundred
//! attempts, or a median connect of ten round trips and 20 ms; stalls of a hundredth of the run, or one of 250 ms; with a processor in full use, late starts of one in
//! a hundred.

use super::super::{Evidence, Finding, FindingId, Severity, WorkloadEvidence};
use super::FindingEntry;
use super::text::{percent, things, time};
use espstress_event::Failure;

/// A stall that shows in latencies and probes, nanoseconds: more than Linux's least time-out (200 ms).
const LONG_STALL: u64 = 250_000_000;
/// Beyond ten round trips, nanoseconds.
const FAR: u64 = 20_000_000;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::HostLimited,
    severity: Severity::Warning,
    meaning: "this machine was the limit: source ports, open files, or CPU time",
    needs: "failures on this machine, waits for ports, stalls, and connect times compared with round trips",
    neighbours: "a slow device, whose round trip is slow too",
    change: "lower the rate, or use --close rst, a wider --local-ports range, ulimit -n, or a faster machine",
};

/// Half of the connects took far longer than the round trip, though hardly any segment was repeated.
fn opens_late(w: &WorkloadEvidence) -> bool {
    let (Some(q), Some(tcp)) = (w.connect, w.tcp) else { return false };
    let far = |rtt: u64| q.p50_ns >= rtt.saturating_mul(10).saturating_add(FAR);
    q.count >= 20
        && tcp.rtt_mean_ns.is_some_and(far)
        && tcp.retransmissions.saturating_mul(10) < tcp.connections
}

pub(super) fn find(e: &Evidence<'_>) -> Option<Finding> {
    let attempts = e.workloads.iter().fold(0_u64, |n, w| n.saturating_add(w.attempts));
    let often = |n: u64| n > 0 && n.saturating_mul(100) >= attempts;
    let mut evidence = Vec::new();
    let (mut ports, mut files) = (false, false);
    for w in &e.workloads {
        for (failure, n) in w.failures.iter().filter(|(f, n)| f.is_host() && *n > 0) {
            ports |= failure == Failure::HostOutOfPorts && w.local_ports.is_none();
            files |= failure == Failure::HostOutOfFiles;
            evidence.push(format!("{}: {} {n} of {}", w.name, failure.name(), things(w.attempts, "attempt")));
        }
        if w.local_ports.is_none() && often(w.port_waits) {
            ports = true;
            evidence.push(format!(
                "{}: waited {} for a free source port",
                w.name,
                super::text::times(w.port_waits)
            ));
        }
    }
    if let Some(n) = e.host.slow_connects.filter(|n| *n >= 10 && often(*n)) {
        evidence.push(format!(
            "{} took far longer to open than their round trip ({})",
            things(n, "connection"),
            percent(n, attempts)
        ));
    }
    for w in e.workloads.iter().filter(|w| e.host.slow_connects.is_none() && opens_late(w)) {
        if let (Some(q), Some(rtt)) = (w.connect, w.tcp.and_then(|t| t.rtt_mean_ns)) {
            evidence.push(format!(
                "{}: median connect {} with a round trip of {}, and no SYN was sent twice",
                w.name,
                time(q.p50_ns),
                time(rtt)
            ));
        }
    }
    if let Some(s) = e.host.stalls.filter(|s| {
        s.longest_ns >= LONG_STALL || (s.total_ns > 0 && s.total_ns.saturating_mul(100) >= e.duration_ns)
    }) {
        evidence.push(format!(
            "espstress didn't get the CPU in time {}, for up to {}, {} in total",
            super::text::times(s.count),
            time(s.longest_ns),
            time(s.total_ns)
        ));
    }
    let late = e.workloads.iter().fold(0_u64, |n, w| n.saturating_add(w.late_starts));
    if let Some(busy) = e.host.cpu_busy.filter(|busy| *busy >= 0.9 && busy.is_finite() && often(late)) {
        evidence.push(format!(
            "espstress used {:.0} % of a CPU, and {} started late",
            100.0 * busy.min(1.0),
            things(late, "start")
        ));
    }
    if evidence.is_empty() {
        return None;
    }
    let (cause, change) = if ports {
        (
            "every closed connection holds its source port for a minute (TIME_WAIT on this machine)",
            "use a lower rate (about 470 connections/s is sustainable), --close rst, a wider --local-ports \
             range, or a second --source address",
        )
    } else if files {
        ("the limit of open files", "ulimit -n 65536 before the run, or fewer connections at once")
    } else {
        (
            "this machine was busy, or too slow for the rate",
            "stop other work on this machine during a run, lower the rate, or use a faster machine",
        )
    };
    Some(Finding {
        id: FindingId::HostLimited,
        severity: Severity::Warning,
        statement: if e.workloads.iter().any(|w| w.succeeded > 0) {
            "This machine was the limit for part of the run; the device may be faster than shown."
        } else {
            "This machine was the limit for part of the run."
        }
        .into(),
        evidence,
        cause: cause.into(),
        change: change.into(),
    })
}
