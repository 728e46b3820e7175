//! What was done to the device.

use super::hold::HoldSeen;
use super::measured::Measured;
use super::names;
use super::ports::PortSeen;
use espstress_diagnose::Deeds;
use espstress_engine::{Packets, WorkloadOutcome};
use espstress_event::{Failure, WorkloadKind};
use espstress_stats::{HalfOpenStats, LimitReached, Phase, ProbeStats};

pub(super) fn of(measured: &Measured<'_>, ports: &[PortSeen], hold: Option<&HoldSeen>) -> Deeds {
    let mut done = Deeds::default();
    for workload in measured.workloads {
        let stats = &workload.stats;
        done.connections += connections(workload);
        done.connections_at_once = done.connections_at_once.max(u64::from(workload.at_once));
        done.bytes_sent += stats.bytes_sent;
        done.bytes_received += stats.bytes_received;
        if workload.name != names::PORTS {
            done.requests += requests(workload);
        }
        if workload.name == names::RESET {
            done.resets += stats.succeeded;
        }
        if let Some(half_open) = &stats.half_open {
            let silenced = half_open.connections.len() as u64;
            done.silenced += silenced;
            done.requests += silenced + u64::from(was_denied(half_open));
            let known = |number| half_open.connections.iter().any(|c| c.connection == number);
            let failed = half_open.failures.iter().filter(|f| !known(f.connection));
            done.requests +=
                failed.filter(|f| !NOT_CONNECTED.contains(&f.met) && !f.met.is_host()).count() as u64;
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
    // The packets count what no program counts: payload of probes, and what was sent again. And what other programs of this
    // machine sent, where their connections are among them.
    if let Some(Packets::Seen(seen)) = measured.packets
        && seen.failure.is_none()
        && seen.of_others == 0
        && seen.summary.connections <= done.connections
    {
        done.bytes_sent = done.bytes_sent.max(seen.summary.from_host.bytes);
        done.bytes_received = done.bytes_received.max(seen.summary.from_device.bytes);
    }
    done
}

/// What ends an attempt before anything can be asked.
const NOT_CONNECTED: [Failure; 4] =
    [Failure::ConnectTimeout, Failure::ConnectRefused, Failure::ConnectReset, Failure::ConnectUnreachable];

/// Attempts that ended before anything could be asked.
fn not_connected(workload: &WorkloadOutcome) -> u64 {
    let failures = &workload.stats.failures;
    NOT_CONNECTED.iter().map(|name| failures.get(*name)).sum::<u64>() + failures.of_host()
}

/// Connections that a workload has opened.
fn opened(workload: &WorkloadOutcome) -> u64 {
    workload.stats.latency.get(&Phase::Connect).map_or(0, |pair| pair.corrected.count())
}

/// Requests that a workload sent, those on silenced connections aside.
fn requests(workload: &WorkloadOutcome) -> u64 {
    match workload.facts.kind {
        // They ask once on each connection, also on one that is cut off at the end.
        Some(WorkloadKind::HalfOpen | WorkloadKind::Head) => opened(workload),
        _ => workload.stats.attempts.saturating_sub(not_connected(workload)),
    }
}

/// Whether the host was not allowed to fall silent on the connection that it had opened for that.
fn was_denied(half_open: &HalfOpenStats) -> bool {
    half_open.unavailable.is_some() && half_open.limit == LimitReached::NotSearched
}

/// Connections that a workload tried.
fn connections(workload: &WorkloadOutcome) -> u64 {
    let stats = &workload.stats;
    // One that was not served is silenced as well as failed: their numbers tell how many there were.
    let silenced = stats.half_open.as_ref().map_or(0, |h| u64::from(h.tried()) + u64::from(was_denied(h)));
    match workload.facts.kind {
        Some(WorkloadKind::Rw) => opened(workload) + not_connected(workload),
        _ => stats.attempts + stats.unfinished + silenced,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;
    use espstress_stats::{OpenFailure, Recorder, SilencedConnection, Stage};

    #[test]
    fn a_silent_connection_that_was_not_served_is_one_connection() {
        let mut recorder = Recorder::new(0, Phase::Total);
        (0..13).for_each(|_| recorder.attempt(0, 1, Ok(())));
        recorder.unfinished(1);
        // The first is served, 2 to 16 are not, 17 and 18 are refused.
        for connection in 1..=18_u32 {
            let stage = if connection == 1 { Stage::Served } else { Stage::Unserved };
            let met = if connection < 17 { Failure::ReadTimeout } else { Failure::ConnectRefused };
            let h = recorder.half_open();
            if connection > 1 {
                h.failures.push(OpenFailure { connection, met, status: None, at_ns: 1 });
            }
            if connection < 17 {
                h.fell_silent(SilencedConnection {
                    connection,
                    port: 40_000,
                    stage,
                    opened_ns: None,
                    silent_ns: 1,
                    reclaimed_after_ns: None,
                    evidence: None,
                });
            }
        }
        let silent = fixtures::silent(recorder, 1);
        assert_eq!(connections(&silent), 14 + 18);
    }
}
