//! From what a run measured to what findings are made from: intentions, packets, probes and telemetry, side by
//! side. Nothing is judged here.

use super::plan::{DeviceFacts, Packets, WorkloadOutcome};
use espstress_diagnose::{
    AckWaitsEvidence, Asks, Availability, CaptureEvidence, CaptureState, ClosePolicy, DeviceEvidence,
    Evidence, HalfOpenEvidence, HeapEvidence, HeapStep, HostEvidence, HostResets, InUse, Measured,
    MemoryEvidence, OutageCause, OutageEvidence, OutageRowEvidence, PathEvidence, PathSide, ProbeEvidence,
    ProbesEvidence, Quantiles, Quiet, Recovery, RestartEvidence, SilentEvidence, Slope, SocketsEvidence,
    SocketsHeld, TcpEvidence, TelemetryEvidence, TimeWaitEvidence, WorkloadEvidence, WorkloadKind,
};
use espstress_event::{DeviceSample, Losses};
use espstress_observe::{AckWaits, PathFigures, QuietSpell, ResetFigures};
use espstress_stats::{
    DeviceSeries, Exhaustion, HalfOpenStats, Latency, OutageOrigin, OutageStats, Phase, ProbeOutcome,
    ProbeStats, Reading, ReclaimEvidence, SilencedConnection, Stage, Trend,
};

/// What a run left to be judged.
#[derive(Debug)]
pub struct Measurements<'a> {
    /// When it started, nanoseconds since the Unix epoch.
    pub start_unix_ns: i64,
    /// Its length, nanoseconds.
    pub duration_ns: u64,
    /// What the workloads came to, in the order of the plan.
    pub workloads: &'a [WorkloadOutcome],
    /// What the packets showed.
    pub packets: &'a Packets,
    /// What the probes saw; `None` where there were none.
    pub probes: Option<&'a ProbeOutcome>,
    /// What was known of the device before.
    pub device: &'a DeviceFacts,
    /// Source ports that the user restricted the run to.
    pub local_ports: Option<u32>,
    /// How this machine fared.
    pub host: HostEvidence,
}

/// The evidence of a run.
pub(super) fn of<'a>(run: &Measurements<'a>) -> Evidence<'a> {
    let requests = run.workloads.iter().map(|w| w.stats.succeeded).sum();
    let made = run.workloads.iter().filter_map(|w| w.stats.outage.as_deref()).map(|o| o.made).sum();
    let mut evidence = Evidence {
        duration_ns: run.duration_ns,
        workloads: run.workloads.iter().filter_map(|w| workload(w, run)).collect(),
        capture: capture(run.packets),
        device: device(run.device),
        host: run.host.clone(),
        ..Evidence::default()
    };
    if let Packets::Seen(seen) = run.packets {
        evidence.anomalies = &seen.anomalies;
        evidence.resets = seen.resets;
        evidence.not_judged = &seen.summary.not_judged;
        evidence.quiet =
            Some(seen.summary.quiet.iter().map(|spell| quiet(spell, run.start_unix_ns)).collect());
        evidence.absences =
            Some(seen.summary.absences.iter().map(|spell| quiet(spell, run.start_unix_ns)).collect());
        evidence.idle = Some(seen.summary.idle.iter().map(|spell| quiet(spell, run.start_unix_ns)).collect());
        evidence.ack_waits = Some(ack_waits(&seen.summary.ack_waits));
        evidence.path = Some(PathEvidence {
            to_device: side(&seen.summary.from_host),
            from_device: side(&seen.summary.from_device),
            resets: resets(&seen.summary.resets),
            losses: seen.summary.windows.iter().fold(Losses::default(), |sum, w| sum.and(w.losses)),
        });
    }
    match run.probes {
        None => {
            let none = || Measured::Unavailable { reason: "probes were switched off".into() };
            evidence.probes = ProbesEvidence { icmp: none(), tcp: none(), telemetry: none() };
            evidence.telemetry = Measured::Unavailable { reason: "probes were switched off".into() };
        }
        Some(probes) => {
            evidence.probes = ProbesEvidence {
                icmp: probe(&probes.icmp),
                tcp: probe(&probes.tcp),
                telemetry: probe(&probes.telemetry),
            };
            let spells = outage_spells(run.workloads);
            evidence.telemetry = telemetry(probes, requests, made, &spells, last_close(run.workloads));
        }
    }
    evidence
}

fn workload(of: &WorkloadOutcome, run: &Measurements<'_>) -> Option<WorkloadEvidence> {
    let kind = WorkloadKind::named(of.kind)?;
    let stats = &of.stats;
    let quantiles_of = |phase| stats.latency.get(&phase).and_then(|pair| quantiles(&pair.corrected));
    Some(WorkloadEvidence {
        name: of.name.clone(),
        kind,
        start_ns: stats.start_ns,
        end_ns: stats.end_ns,
        attempts: stats.attempts,
        succeeded: stats.succeeded,
        failures: stats.failures.clone(),
        responses: stats.responses.clone(),
        first_status: stats.first_status,
        malformed: stats.malformed.clone(),
        idle_closes: stats.idle_closes,
        episodes: stats.episodes.rows().to_vec(),
        unserved: match run.packets {
            Packets::Seen(seen) => Some(seen.unserved.get(&of.name).copied().unwrap_or_default()),
            Packets::Denied(_) | Packets::Off => None,
        },
        lingers: match run.packets {
            Packets::Seen(seen) => Some(seen.lingers.get(&of.name).copied().unwrap_or_default()),
            Packets::Denied(_) | Packets::Off => None,
        },
        endings: stats.endings,
        at_once: of.at_once,
        asks: Asks::of_settings(of.kind, &of.settings),
        close: ClosePolicy::of_settings(&of.settings),
        connect: quantiles_of(Phase::Connect),
        main: stats.main_phase.and_then(quantiles_of),
        closing: quantiles_of(Phase::Close),
        first_byte: quantiles_of(Phase::FirstByte),
        tcp: (stats.tcp.connections > 0).then(|| TcpEvidence {
            connections: stats.tcp.connections,
            retransmissions: stats.tcp.retransmissions,
            rtt_mean_ns: stats.tcp.rtt_mean_us().map(|us| (us * 1_000.0) as u64),
        }),
        port_waits: stats.port_waits,
        late_starts: stats.late_starts,
        local_ports: run.local_ports,
        half_open: stats.half_open.as_deref().filter(|h| h.unavailable.is_none()).map(half_open),
        outages: stats
            .outage
            .as_deref()
            .filter(|o| o.unavailable.is_none())
            .map(|o| outages(o, stats.end_ns)),
    })
}

fn quantiles(latency: &Latency) -> Option<Quantiles> {
    Some(Quantiles {
        count: latency.count(),
        min_ns: latency.quantile_ns(0.0)?,
        p50_ns: latency.quantile_ns(0.5)?,
        p90_ns: latency.quantile_ns(0.9)?,
        p99_ns: latency.quantile_ns(0.99)?,
        max_ns: latency.quantile_ns(1.0)?,
    })
}

fn half_open(of: &HalfOpenStats) -> HalfOpenEvidence {
    let client = |a: &espstress_stats::Availability| Availability { attempts: a.attempts, served: a.served };
    let served = of.connections.iter().filter(|c| c.stage == Stage::Served);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    HalfOpenEvidence {
        silenced: count(of.connections.len()),
        served: of.served,
        unserved: of.unserved,
        reclaimed: count(served.filter(|c| c.reclaimed_after_ns.is_some()).count()),
        closed: closed(of),
        silent: of.connections.iter().map(silent).collect(),
        reclaim_p50_ns: of.reclaim.quantile_ns(0.5),
        watched_ns: of.watched_ns,
        expected_reclaim_ns: of.expected_reclaim_ns,
        before: client(&of.before),
        during: client(&of.during),
        exhausted: of.exhausted == Exhaustion::Yes,
        served_again_ns: of.served_again_ns,
        sockets: of.sockets_used.map(|s| SocketsHeld { before: s.before, most: s.most, at_end: s.at_end }),
    }
}

fn silent(of: &SilencedConnection) -> SilentEvidence {
    SilentEvidence {
        since_ns: of.silent_ns,
        closed_after_ns: of.reclaimed_after_ns.filter(|_| of.evidence == Some(ReclaimEvidence::Fin)),
        reclaimed: of.reclaimed_after_ns.is_some(),
    }
}

/// Silenced connections that the device closed in order, and how soon.
fn closed(of: &HalfOpenStats) -> Option<(u32, u64)> {
    let by_fin = of.connections.iter().filter(|c| c.evidence == Some(ReclaimEvidence::Fin));
    let after: Vec<u64> = by_fin.filter_map(|c| c.reclaimed_after_ns).collect();
    Some((u32::try_from(after.len()).unwrap_or(u32::MAX), after.into_iter().min()?))
}

fn outages(of: &OutageStats, end_ns: u64) -> OutageEvidence {
    OutageEvidence {
        made: of.made,
        natural: of.natural,
        messages_lost: of.to_device.lost + of.to_host.lost,
        quiet_ns: of.rule.quiet_ns,
        rows: of.rows.iter().map(|row| outage(row, of.rule.quiet_ns, end_ns)).collect(),
    }
}

fn outage(of: &espstress_stats::OutageRow, quiet_ns: u64, end_ns: u64) -> OutageRowEvidence {
    let recovery = match (of.recovery_ns(), of.gave_up_ns, of.end_ns()) {
        (Some(took), _, _) => Recovery::After(took),
        // As long as the host itself kept quiet, nothing could come back. An outage without an end is none that
        // anybody could have recovered from.
        (None, Some(gave_up), Some(end)) if gave_up.saturating_sub(end) > quiet_ns => {
            Recovery::NotWithin(gave_up.saturating_sub(end))
        }
        _ => match (of.device, of.recovered_ns, of.seen_start_ns) {
            // A device that dials in is away until it dials in, whatever the link does.
            (Some(_), None, Some(start)) => Recovery::NotBack(end_ns.saturating_sub(start)),
            _ => Recovery::CutOff,
        },
    };
    // Where nobody saw the end, it was over at the latest when the device was back.
    let back = of.recovered_ns.filter(|_| of.device.is_some());
    let until_back = || back.zip(of.seen_start_ns).map(|(back, start)| back.saturating_sub(start));
    OutageRowEvidence {
        cause: match of.origin {
            OutageOrigin::Made => OutageCause::Made,
            OutageOrigin::Natural => OutageCause::Natural,
        },
        planned_start_ns: of.planned_start_ns,
        planned_length_ns: of.planned_length_ns,
        seen_start_ns: of.seen_start_ns,
        device: of.device,
        seen_length_ns: of.length_seen_ns().or_else(until_back),
        recovery,
    }
}

fn capture(packets: &Packets) -> CaptureEvidence {
    match packets {
        Packets::Off => CaptureEvidence::default(),
        Packets::Denied(reason) => CaptureEvidence {
            status: CaptureState::Denied,
            reason: Some(reason.clone()),
            ..CaptureEvidence::default()
        },
        Packets::Seen(seen) => CaptureEvidence {
            status: if seen.dropped > 0 || seen.failure.is_some() {
                CaptureState::Dropped
            } else {
                CaptureState::Complete
            },
            packets: seen.packets,
            dropped: seen.dropped,
            reason: seen.failure.clone(),
        },
    }
}

const fn side(of: &PathFigures) -> PathSide {
    PathSide {
        data_segments: of.data_segments,
        retransmissions: of.retransmissions,
        repeated_early: of.repeated_early,
        late_fills: of.late_fills,
        out_of_order: of.out_of_order,
    }
}

fn ack_waits(of: &AckWaits) -> AckWaitsEvidence {
    let ns = |ns: i64| u64::try_from(ns).unwrap_or(0);
    AckWaitsEvidence {
        waited: of.waited,
        total_ns: ns(of.total_ns),
        longest_ns: ns(of.longest_ns),
        otherwise: of.otherwise,
    }
}

const fn resets(of: &ResetFigures) -> HostResets {
    HostResets { sent: of.sent, lost: of.lost, lost_at_once: of.lost_at_once }
}

/// From wall time to the run's own.
fn quiet(of: &QuietSpell, start_unix_ns: i64) -> Quiet {
    let since_start = |unix_ns: i64| u64::try_from(unix_ns.saturating_sub(start_unix_ns)).unwrap_or(0);
    Quiet {
        from_ns: since_start(of.from_ns),
        to_ns: if of.to_ns == i64::MAX { u64::MAX } else { since_start(of.to_ns) },
    }
}

fn probe(of: &ProbeStats) -> Measured<ProbeEvidence> {
    match of {
        ProbeStats::Unavailable { reason } => Measured::Unavailable { reason: reason.clone() },
        ProbeStats::Measured(stats) => Measured::Value(ProbeEvidence {
            sent: stats.sent,
            answered: stats.answered,
            latency: quantiles(&stats.latency),
            silences: stats
                .silences
                .iter()
                .map(|s| espstress_diagnose::Silence { from_ns: s.from_ns, to_ns: s.to_ns, lost: s.lost })
                .collect(),
            full_size: stats.full_size.map(|full| espstress_diagnose::FullSize {
                bytes: full.bytes,
                sent: full.sent,
                answered: full.answered,
            }),
        }),
    }
}

/// When connections held what an outage kept from being acknowledged: from its start until a while after its end,
/// nanoseconds. lwIP's repetitions are seconds apart then.
fn outage_spells(workloads: &[WorkloadOutcome]) -> Vec<(u64, u64)> {
    const AFTER: u64 = 6_000_000_000;
    let rows = workloads.iter().filter_map(|w| w.stats.outage.as_deref()).flat_map(|o| o.rows.iter());
    rows.filter_map(|row| {
        let start = row.made_start_ns.or(row.seen_start_ns)?;
        let end = row.end_ns().max(row.recovered_ns).unwrap_or(u64::MAX);
        Some((start, end.saturating_add(AFTER)))
    })
    .collect()
}

fn telemetry(
    probes: &ProbeOutcome,
    requests: u64,
    made: u64,
    outages: &[(u64, u64)],
    closed_ns: u64,
) -> Measured<TelemetryEvidence> {
    let device = &probes.device;
    // A process that ended is known of without telemetry.
    if device.samples == 0 && device.restarts.is_empty() {
        let reason = match &probes.telemetry {
            ProbeStats::Unavailable { reason } => reason.clone(),
            ProbeStats::Measured(_) => "the device answered no request for it".into(),
        };
        return Measured::Unavailable { reason };
    }
    let last = device.last.as_ref().map(|sample| &sample.telemetry);
    Measured::Value(TelemetryEvidence {
        samples: device.samples,
        restarts: device
            .restarts
            .iter()
            .map(|r| RestartEvidence {
                at_ns: r.noticed_ns,
                reason: r.reset_reason.clone(),
                last_words: r.last_words.clone(),
            })
            .collect(),
        heap: heap(device, outages),
        program_memory: program_memory(device),
        sockets: sockets(device, closed_ns),
        time_wait: time_wait(device),
        wifi_disconnects: last.and_then(|t| t.wifi_disconnects).map(|_| device.disconnects.values().sum()),
        wifi_disconnects_made: made,
        wifi_last_reason: last.and_then(|t| t.wifi_last_reason.clone()),
        power_save: last.and_then(|t| t.wifi_power_save.clone()),
        requests,
    })
}

fn heap(device: &DeviceSeries, outages: &[(u64, u64)]) -> Option<HeapEvidence> {
    let free = device.readings.get(&Reading::HeapFree)?;
    let rows = device.rows();
    let in_outage = |at: u64| outages.iter().any(|(from, to)| (*from..=*to).contains(&at));
    // What unacknowledged data holds comes back: the last reading of a calm moment counts.
    let calm = device.last.iter().chain(rows.iter().rev()).find(|row| !in_outage(row.at_ns));
    let (first, last) = (device.first.as_ref()?, calm.or(device.first.as_ref())?);
    let middle = (rows.len() >= 3).then(|| rows.get(rows.len() / 2)).flatten();
    let slope = |trend: &Trend| {
        trend.estimate().map(|found| Slope { mean: found.slope, low: found.low, high: found.high })
    };
    let step = free.step().map(|step| HeapStep { at_ns: (step.at * 1e9) as u64, by: step.by as i64 });
    Some(HeapEvidence {
        free_first: first.telemetry.heap_free_bytes?,
        free_middle: middle.and_then(|sample| sample.telemetry.heap_free_bytes),
        free_last: last.telemetry.heap_free_bytes?,
        first: in_use(first),
        last: in_use(last),
        free_min: lowest(device).map_or(free.min?, |lowest| lowest.min(free.min.unwrap_or(lowest))) as u64,
        total: device.last.as_ref().and_then(|sample| sample.telemetry.heap_total_bytes),
        largest_block_min: device
            .readings
            .get(&Reading::HeapLargestBlock)
            .and_then(|t| t.min)
            .map(|b| b as u64),
        per_second: slope(free),
        per_request: slope(&device.heap_by_request),
        step,
    })
}

/// Memory of a program of the user's own.
fn program_memory(device: &DeviceSeries) -> Option<MemoryEvidence> {
    let memory = device.readings.get(&Reading::ProgramMemory)?;
    let of = |sample: &DeviceSample| sample.telemetry.program_memory_bytes;
    let rows = device.rows();
    let middle = (rows.len() >= 3).then(|| rows.get(rows.len() / 2)).flatten();
    Some(MemoryEvidence {
        first: of(device.first.as_ref()?)?,
        middle: middle.and_then(of),
        last: of(device.last.as_ref()?)?,
        per_second: memory.estimate().map(|found| Slope {
            mean: found.slope,
            low: found.low,
            high: found.high,
        }),
    })
}

/// What connections held, by one answer.
const fn in_use(sample: &DeviceSample) -> InUse {
    let told = &sample.telemetry;
    InUse { sockets: told.sockets_used, time_wait: told.tcp_time_wait, closing: told.tcp_fin_wait }
}

/// The least heap by the device's own account, where that went down during the run: between two readings there may
/// have been less than either shows.
fn lowest(device: &DeviceSeries) -> Option<f64> {
    let ever = device.readings.get(&Reading::HeapMinFree)?;
    let (first, min) = (ever.first?, ever.min?);
    (min < first).then_some(min)
}

/// When the last workload had closed what it opened, of those that close.
fn last_close(workloads: &[WorkloadOutcome]) -> u64 {
    let closing = workloads
        .iter()
        .filter(|w| matches!(WorkloadKind::named(w.kind), Some(WorkloadKind::Head | WorkloadKind::Rw)));
    closing.map(|w| w.stats.end_ns).max().unwrap_or(0)
}

/// Nothing is said of sockets where the last account is older than the last close: what was open then may be closed.
fn sockets(device: &DeviceSeries, closed_ns: u64) -> Option<SocketsEvidence> {
    device.last.as_ref().filter(|sample| sample.asked_ns >= closed_ns)?;
    let (first, most, last) = counts(device.readings.get(&Reading::SocketsUsed)?)?;
    let limit = device.last.as_ref().and_then(|sample| sample.telemetry.sockets_limit);
    Some(SocketsEvidence { first, most, last, limit })
}

fn time_wait(device: &DeviceSeries) -> Option<TimeWaitEvidence> {
    let (first, most, last) = counts(device.readings.get(&Reading::TimeWait)?)?;
    Some(TimeWaitEvidence { first, most, last })
}

/// First, most and last of a reading that counts things.
fn counts(trend: &Trend) -> Option<(u32, u32, u32)> {
    Some((trend.first? as u32, trend.max? as u32, trend.last? as u32))
}

fn device(facts: &DeviceFacts) -> DeviceEvidence {
    let number = |name: &str| facts.options.get(name).and_then(|value| value.parse().ok());
    DeviceEvidence {
        capacity: facts.capacity,
        stack: facts.stack.clone(),
        msl_ms: number("CONFIG_LWIP_TCP_MSL"),
        fin_wait_timeout_ms: number("CONFIG_LWIP_TCP_FIN_WAIT_TIMEOUT"),
        max_sockets: number("CONFIG_LWIP_MAX_SOCKETS").and_then(|n: u64| u32::try_from(n).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn recovery(change: impl FnOnce(&mut espstress_stats::OutageRow)) -> Recovery {
        let mut row = espstress_stats::OutageRow::new(1, OutageOrigin::Made);
        (row.made_start_ns, row.made_end_ns) = (Some(S), Some(3 * S));
        change(&mut row);
        outage(&row, 5 * S, 90 * S).recovery
    }

    #[test]
    fn a_recovery_that_was_waited_for_in_vain_is_told_from_one_that_the_run_cut_off() {
        assert_eq!(recovery(|row| row.recovered_ns = Some(4 * S)), Recovery::After(S));
        assert_eq!(recovery(|row| row.gave_up_ns = Some(63 * S)), Recovery::NotWithin(60 * S));
        assert_eq!(recovery(|_| ()), Recovery::CutOff);
    }

    #[test]
    fn a_device_that_dials_in_is_away_until_it_dials_in() {
        let dialled = |change: fn(&mut espstress_stats::OutageRow)| {
            let mut row = espstress_stats::OutageRow::new(1, OutageOrigin::Natural);
            (row.device, row.seen_start_ns) = (Some(1), Some(10 * S));
            change(&mut row);
            outage(&row, 3 * S, 40 * S)
        };
        assert_eq!(dialled(|_| ()).recovery, Recovery::NotBack(30 * S));
        // Its telemetry answers again, and it does not dial.
        assert_eq!(dialled(|row| row.seen_end_ns = Some(12 * S)).recovery, Recovery::NotBack(30 * S));
        let measured = dialled(|row| (row.seen_end_ns, row.recovered_ns) = (Some(12 * S), Some(16 * S)));
        assert_eq!((measured.recovery, measured.seen_length_ns), (Recovery::After(4 * S), Some(2 * S)));
        let unseen = dialled(|row| row.recovered_ns = Some(16 * S));
        assert_eq!((unseen.recovery, unseen.seen_length_ns), (Recovery::CutOff, Some(6 * S)));
    }

    #[test]
    fn no_recovery_is_judged_where_the_host_kept_quiet_or_the_outage_went_on() {
        assert_eq!(recovery(|row| row.gave_up_ns = Some(7 * S)), Recovery::CutOff);
        let unended =
            |row: &mut espstress_stats::OutageRow| (row.made_end_ns, row.gave_up_ns) = (None, Some(63 * S));
        assert_eq!(recovery(unended), Recovery::CutOff);
    }
}
