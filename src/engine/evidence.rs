//! From what a run measured to what findings are made from: intentions, packets, probes and telemetry, side by
//! side. Nothing is judged here.

use super::plan::{DeviceFacts, Packets, WorkloadOutcome};
use espstress_diagnose::{
    Absence, CaptureEvidence, CaptureState, DeviceEvidence, DialledLines, EndedOutage, Evidence, HeapCeiling,
    HeapEvidence, HeapStep, HostEvidence, InUse, Measured, MemoryEvidence, OutageEvidence, Pace,
    PathEvidence, Place, ProbeEvidence, ProbesEvidence, Quantiles, Quiet, RestartEvidence, Slope,
    SocketsEvidence, TcpEvidence, TelemetryEvidence, TimeWaitEvidence, WorkloadEvidence, WorkloadKind,
};
use espstress_event::{Air, Console, DeviceSample, Losses, MqttOutage};
use espstress_observe::QuietSpell;
use espstress_stats::{
    DeviceSeries, DialledDevice, Latency, OutageStats, Phase, ProbeOutcome, ProbeStats, Reading, Row, Trend,
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
    /// What the device said on its console; `None` where nobody listened.
    pub console: Option<&'a Console>,
    /// What was heard on the air; `None` where nobody listened.
    pub air: Option<&'a Air>,
    /// What was known of the device before.
    pub device: &'a DeviceFacts,
    /// Where the run talked to it; `None` where that is not known.
    pub place: Option<Place>,
    /// Source ports that the user restricted the run to.
    pub local_ports: Option<u32>,
    /// How this machine fared.
    pub host: HostEvidence,
}

/// The evidence of a run.
pub(super) fn of<'a>(run: &Measurements<'a>) -> Evidence<'a> {
    let requests = run.workloads.iter().map(|w| w.stats.succeeded).sum();
    let made: u64 = run.workloads.iter().filter_map(|w| w.stats.outage.as_deref()).map(|o| o.made).sum();
    let made = made + link_cuts(run.workloads).count() as u64;
    let mut evidence = Evidence {
        duration_ns: run.duration_ns,
        workloads: run.workloads.iter().filter_map(|w| workload(w, run)).collect(),
        capture: capture(run.packets),
        air: run.air,
        device: device(run.device, run.place.clone()),
        host: run.host.clone(),
        console: run.console.map(|console| console.events.as_slice()),
        ..Evidence::default()
    };
    if let Packets::Seen(seen) = run.packets {
        evidence.anomalies = &seen.anomalies;
        evidence.resets = seen.resets;
        evidence.not_judged = &seen.summary.not_judged;
        evidence.quiet =
            Some(seen.summary.quiet.iter().map(|spell| quiet(spell, run.start_unix_ns)).collect());
        evidence.absences =
            Some(seen.summary.absences.iter().map(|spell| absence(spell, run.start_unix_ns)).collect());
        evidence.idle = Some(seen.summary.idle.iter().map(|spell| quiet(spell, run.start_unix_ns)).collect());
        evidence.late_ends = seen.summary.late_ends.count;
        evidence.latest_end_ns = seen.summary.late_ends.longest_ns.unsigned_abs();
        evidence.ack_waits = Some(seen.summary.ack_waits);
        evidence.path = Some(PathEvidence {
            to_device: seen.summary.from_host,
            from_device: seen.summary.from_device,
            resets: seen.summary.resets,
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
    let kind = of.facts.kind?;
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
        http: stats.http.clone(),
        timed_out_in_use: stats.timed_out_in_use,
        idle_closes: stats.idle_closes,
        by_protocol: stats.by_protocol.clone(),
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
        asks: of.facts.asks.clone(),
        close: of.facts.close,
        connect: quantiles_of(Phase::Connect),
        main: stats.main_phase.and_then(quantiles_of),
        pace: stats.series.parts().map(|parts| Box::new(parts.map(|part| pace(&part)))),
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
        half_open: stats
            .half_open
            .as_deref()
            .filter(|h| h.unavailable.is_none())
            .map(|h| h.with_latencies(quantiles)),
        mqtt: stats.mqtt.as_deref().filter(|m| m.unavailable.is_none()).map(|m| m.with_latencies(quantiles)),
        outages: stats
            .outage
            .as_deref()
            .filter(|o| o.unavailable.is_none())
            .map(|o| outages(o, stats.end_ns)),
    })
}

fn pace(part: &Row) -> Pace {
    let answers = part.latency_count as f64;
    Pace {
        answers: part.latency_count,
        p50_ns: part.latency_quantile_ns(0.5).unwrap_or(0),
        under_way: part.latency_sum_ns as f64 / part.length_ns.max(1) as f64,
        bytes_each: part.bytes as f64 / answers.max(1.0),
    }
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

fn outages(of: &OutageStats, end_ns: u64) -> OutageEvidence {
    OutageEvidence {
        made: of.made,
        natural: of.natural,
        quiet_ns: of.rule.quiet_ns,
        rows: of.rows.iter().map(|row| EndedOutage::new(*row, of.rule.quiet_ns, end_ns)).collect(),
        lines: of.dialled.iter().map(lines).collect(),
    }
}

fn lines(of: &DialledDevice) -> DialledLines {
    DialledLines { device: of.id, sent: of.to_host.sent, lost: of.to_host.lost, connections: of.connections }
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

/// From wall time to the run's own.
fn absence(of: &espstress_observe::Absence, start_unix_ns: i64) -> Absence {
    let since_start = |unix_ns: i64| u64::try_from(unix_ns.saturating_sub(start_unix_ns)).unwrap_or(0);
    Absence { from_ns: since_start(of.from_ns), to_ns: since_start(of.to_ns), asked: of.asked }
}

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
            silences: stats.silences.clone(),
            full_size: stats.full_size,
        }),
    }
}

/// When connections held what an outage kept from being acknowledged: from its start until a while after its end,
/// nanoseconds. lwIP's repetitions are seconds apart then.
fn outage_spells(workloads: &[WorkloadOutcome]) -> Vec<(u64, u64)> {
    const AFTER: u64 = 6_000_000_000;
    let cuts = link_cuts(workloads)
        .map(|o| (o.start_ns, o.end_ns().map_or(u64::MAX, |end| end + o.back_ns.unwrap_or(0) + AFTER)));
    let rows = workloads.iter().filter_map(|w| w.stats.outage.as_deref()).flat_map(|o| o.rows.iter());
    rows.filter_map(|row| {
        let start = row.made_start_ns.or(row.seen_start_ns)?;
        let end = row.end_ns().max(row.recovered_ns).unwrap_or(u64::MAX);
        Some((start, end.saturating_add(AFTER)))
    })
    .chain(cuts)
    .collect()
}

/// The faults for which a broker had the link cut.
fn link_cuts(workloads: &[WorkloadOutcome]) -> impl Iterator<Item = &MqttOutage> {
    let outages = workloads.iter().filter_map(|w| w.stats.mqtt.as_deref()).flat_map(|m| m.outages.iter());
    outages.filter(|outage| outage.link_cut)
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
        more_restarts: device.restart_count.saturating_sub(device.restarts.len() as u64),
        restarts: device
            .restarts
            .iter()
            .map(|r| RestartEvidence {
                at_ns: r.noticed_ns,
                reason: r.reset_reason.clone(),
                last_words: r.last_words.clone(),
            })
            .collect(),
        heap: heap(device, outages, closed_ns),
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

fn heap(device: &DeviceSeries, outages: &[(u64, u64)], closed_ns: u64) -> Option<HeapEvidence> {
    /// A line takes a while to the host: sooner after the last connection, it may still be of it, nanoseconds.
    const AFTER: u64 = 1_000_000_000;
    // A collector's heap falls until the collector runs: neither low nor a loss says anything of it.
    let free = device.readings.get(&Reading::HeapFree).filter(|_| !device.collected)?;
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
    let in_calm = |at_s: f64| !in_outage((at_s * 1e9) as u64);
    let at_rest = device.last.as_ref().is_some_and(|last| last.at_ns >= closed_ns.saturating_add(AFTER));
    let ceiling = device.unasked.then(|| free.ceiling(in_calm)).flatten().map(|ceiling| HeapCeiling {
        first: ceiling.first as u64,
        middle: ceiling.middle as u64,
        last: ceiling.last as u64,
        readings: ceiling.values,
        at_rest,
    });
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
        ceiling,
        unasked: device.unasked,
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
fn in_use(sample: &DeviceSample) -> InUse {
    let told = &sample.telemetry;
    InUse {
        sockets: told.sockets_used,
        open: InUse::open_of(told.tcp_established, told.tcp_close_wait),
        time_wait: told.tcp_time_wait,
        closing: told.tcp_fin_wait,
    }
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
    let closing =
        workloads.iter().filter(|w| matches!(w.facts.kind, Some(WorkloadKind::Head | WorkloadKind::Rw)));
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

fn device(facts: &DeviceFacts, place: Option<Place>) -> DeviceEvidence {
    let number = |name: &str| facts.options.get(name).and_then(|value| value.parse().ok());
    DeviceEvidence {
        capacity: facts.capacity,
        stack: facts.stack.clone(),
        msl_ms: number("CONFIG_LWIP_TCP_MSL"),
        fin_wait_timeout_ms: number("CONFIG_LWIP_TCP_FIN_WAIT_TIMEOUT"),
        max_sockets: number("CONFIG_LWIP_MAX_SOCKETS").and_then(|n: u64| u32::try_from(n).ok()),
        foreign: facts.foreign,
        place,
    }
}
