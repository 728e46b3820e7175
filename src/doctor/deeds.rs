//! What was done to the device.

use super::hold::HoldSeen;
use super::measured::Measured;
use super::names;
use super::ports::PortSeen;
use espstress_diagnose::Deeds;
use espstress_engine::{Packets, WorkloadOutcome};
use espstress_event::WorkloadKind;
use espstress_stats::{Phase, ProbeStats};

pub(super) fn of(measured: &Measured<'_>, ports: &[PortSeen], hold: Option<&HoldSeen>) -> Deeds {
    let mut done = Deeds::default();
    for workload in measured.workloads {
        let stats = &workload.stats;
        done.connections += connections(workload);
        done.connections_at_once = done.connections_at_once.max(u64::from(workload.at_once));
        done.bytes_sent += stats.bytes_sent;
        done.bytes_received += stats.bytes_received;
        if workload.name != names::PORTS {
            done.requests += stats.attempts.saturating_sub(not_connected(workload));
        }
        if workload.name == names::RESET {
            done.resets += stats.succeeded;
        }
        if let Some(half_open) = &stats.half_open {
            let silenced = half_open.connections.len() as u64;
            done.silenced += silenced;
            done.requests += silenced;
            done.connections_at_once = done.connections_at_once.max(silenced + 1);
            // What the device had not given up by the end was let go by a RST.
            done.resets += u64::from(half_open.never_reclaimed);
        }
    }
    if let Some(hold) = hold {
        done.connections_at_once = done.connections_at_once.max(u64::from(hold.held) + 1);
    }
    debug_assert!(done.connections >= ports.len() as u64 || measured.workloads.is_empty());
    if let Some(probes) = measured.probes {
        let sent = |stats: &ProbeStats| stats.measured().map_or(0, |stats| stats.sent);
        done.connections += sent(&probes.tcp);
        let full = probes.icmp.measured().and_then(|stats| stats.full_size).map_or(0, |full| full.sent);
        done.datagrams = sent(&probes.icmp) + full + sent(&probes.telemetry);
    }
    // The packets count what no program counts: payload of probes, and what was sent again.
    if let Some(Packets::Seen(seen)) = measured.packets
        && seen.failure.is_none()
    {
        done.bytes_sent = done.bytes_sent.max(seen.summary.from_host.bytes);
        done.bytes_received = done.bytes_received.max(seen.summary.from_device.bytes);
    }
    done
}

/// Attempts that ended before anything could be asked.
fn not_connected(workload: &WorkloadOutcome) -> u64 {
    use espstress_event::Failure as F;
    let failures = &workload.stats.failures;
    let names = [F::ConnectTimeout, F::ConnectRefused, F::ConnectReset, F::ConnectUnreachable];
    names.iter().map(|name| failures.get(*name)).sum::<u64>() + failures.of_host()
}

/// Connections that a workload tried.
fn connections(workload: &WorkloadOutcome) -> u64 {
    let stats = &workload.stats;
    let opened = stats.latency.get(&Phase::Connect).map_or(0, |pair| pair.corrected.count());
    let silenced = stats.half_open.as_ref().map_or(0, |h| (h.connections.len() + h.failures.len()) as u64);
    match workload.facts.kind {
        Some(WorkloadKind::Rw) => opened + not_connected(workload),
        _ => stats.attempts + silenced,
    }
}
