//! Runs as the personas would give them, in figures.

#![allow(dead_code, reason = "each test file uses its part")]

mod mqtt_client;

use espstress_diagnose::*;
use espstress_event::{
    AnomalyClass, AnomalyId, Direction, Ending, Episode, Failure, FailureCounts, Losses, ReclaimEvidence,
    SilencedConnection, SocketsUsed, Stage,
};

pub(crate) use mqtt_client::mqtt_client;

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const S: u64 = 1_000_000_000;

/// Evidence together with the rows that it borrows.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) evidence: Evidence<'static>,
    pub(crate) rows: Vec<AnomalyRow>,
}

/// Losses as these figures have them.
fn losses(path: &PathEvidence) -> Losses {
    let (to, from) = (path.to_device, path.from_device);
    Losses {
        segments: (to.data_segments + from.data_segments).saturating_sub(to.repeated_early),
        lost: to.retransmissions.saturating_sub(to.repeated_early) + from.late_fills,
        again: 0,
    }
}

impl Case {
    /// A clean run of half a minute with everything measured.
    pub(crate) fn clean(workload: WorkloadEvidence) -> Self {
        let evidence = Evidence {
            duration_ns: 36 * S,
            capture: CaptureEvidence { status: CaptureState::Complete, packets: 9_000, ..Default::default() },
            path: Some(PathEvidence {
                to_device: PathFigures { data_segments: 2_000, ..PathFigures::default() },
                from_device: PathFigures { data_segments: 2_000, ..PathFigures::default() },
                ..PathEvidence::default()
            }),
            probes: ProbesEvidence {
                icmp: Measured::Value(probe(60)),
                tcp: Measured::Value(probe(60)),
                telemetry: Measured::Value(probe(60)),
            },
            telemetry: Measured::Value(telemetry()),
            device: DeviceEvidence {
                capacity: Some(5),
                stack: Some("lwip 2.2.1".into()),
                msl_ms: Some(60_000),
                fin_wait_timeout_ms: Some(20_000),
                max_sockets: Some(10),
                foreign: false,
                place: None,
            },
            workloads: vec![workload],
            ..Evidence::default()
        };
        Self { evidence, rows: Vec::new() }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Evidence<'static>)) -> Self {
        change(&mut self.evidence);
        self
    }

    /// An anomaly of class device on the only workload.
    pub(crate) fn anomaly(mut self, id: AnomalyId, count: u64) -> Self {
        self.rows.push(row(id, AnomalyClass::Device, count, Some(&self.evidence.workloads[0].name)));
        self
    }

    pub(crate) fn row(mut self, row: AnomalyRow) -> Self {
        self.rows.push(row);
        self
    }

    pub(crate) fn telemetry(mut self, change: impl FnOnce(&mut TelemetryEvidence)) -> Self {
        if let Measured::Value(t) = &mut self.evidence.telemetry {
            change(t);
            // Heap and counts are of the same answers.
            if let Some(heap) = &mut t.heap {
                let (sockets, blocks) = (t.sockets, t.time_wait);
                (heap.first.sockets, heap.last.sockets) = (sockets.map(|s| s.first), sockets.map(|s| s.last));
                (heap.first.time_wait, heap.last.time_wait) =
                    (blocks.map(|b| b.first), blocks.map(|b| b.last));
            }
        }
        self
    }

    pub(crate) fn no_capture(mut self, status: CaptureState) -> Self {
        self.rows.clear();
        self.evidence.resets = ResetCauses::default();
        (self.evidence.path, self.evidence.quiet) = (None, None);
        let reason = (status == CaptureState::Denied).then(|| "needs CAP_NET_RAW".to_owned());
        self.evidence.capture = CaptureEvidence { status, reason, ..Default::default() };
        self
    }

    pub(crate) fn no_telemetry(mut self) -> Self {
        let reason = || "the device does not answer it".to_owned();
        self.evidence.telemetry = Measured::Unavailable { reason: reason() };
        self.evidence.probes.telemetry = Measured::Unavailable { reason: reason() };
        self.evidence.device = DeviceEvidence::default();
        for h in self.evidence.workloads.iter_mut().filter_map(|w| w.half_open.as_mut()) {
            h.sockets_used = None;
        }
        self
    }

    pub(crate) fn no_icmp(mut self) -> Self {
        self.evidence.probes.icmp = Measured::Unavailable { reason: "not permitted".into() };
        self
    }

    pub(crate) fn findings(&self) -> Vec<Finding> {
        self.diagnosis().findings
    }

    pub(crate) fn diagnosis(&self) -> Diagnosis {
        let mut evidence = Evidence { anomalies: &self.rows, ..self.evidence.clone() };
        // What the packets behind these figures would say besides.
        if let Some(path) = evidence.path.as_mut().filter(|path| path.losses == Losses::default()) {
            path.losses = losses(path);
        }
        for w in evidence.workloads.iter_mut().filter(|w| w.lingers.is_none()) {
            w.lingers = evidence.path.map(|_| self.lingers(w));
        }
        diagnose(&evidence)
    }

    /// Of the connections that linger, those that were not answered as well.
    fn lingers(&self, w: &WorkloadEvidence) -> Lingers {
        let rows = self.rows.iter().filter(|row| {
            row.id == AnomalyId::HalfClosedLinger
                && row.class == AnomalyClass::Device
                && row.workload.as_deref() == Some(&w.name)
        });
        let all: u64 = rows.map(|row| row.connections).sum();
        let silent = w.failures.get(Failure::ReadTimeout) + w.failures.get(Failure::WriteTimeout);
        Lingers { answered: all.saturating_sub(silent), unanswered: all.min(silent) }
    }

    pub(crate) fn ids(&self) -> Vec<FindingId> {
        self.findings().into_iter().map(|f| f.id).collect()
    }

    /// The same run seen with less and less.
    pub(crate) fn views(&self) -> [(&'static str, Self); 4] {
        let off = CaptureState::Off;
        [
            ("everything", self.clone()),
            ("no capture", self.clone().no_capture(off)),
            ("no telemetry", self.clone().no_telemetry()),
            ("neither", self.clone().no_capture(off).no_telemetry()),
        ]
    }

    /// In every view the findings are these and no others.
    pub(crate) fn always(&self, ids: &[FindingId]) {
        for (view, case) in self.views() {
            assert_eq!(case.ids(), ids, "{view}: {:#?}", case.findings());
        }
    }

    /// In these views the findings are these; in the others, none of another cause: failures may be unexplained there.
    pub(crate) fn seen_in(&self, telling: &[&str], ids: &[FindingId]) {
        for (view, case) in self.views() {
            let found = case.ids();
            if telling.contains(&view) {
                assert_eq!(found, ids, "{view}: {:#?}", case.findings());
            } else {
                let allowed = |id| ids.contains(id) || names_what_is_seen(*id);
                assert!(found.iter().all(allowed), "{view}: {:#?}", case.findings());
            }
        }
    }
}

/// Findings that name what the client met, where nothing tells why.
pub(crate) const fn names_what_is_seen(id: FindingId) -> bool {
    matches!(id, FindingId::UnexplainedFailures | FindingId::ResetsRequests | FindingId::ClosesUnserved)
}

pub(crate) fn row(id: AnomalyId, class: AnomalyClass, count: u64, workload: Option<&str>) -> AnomalyRow {
    AnomalyRow {
        id,
        class,
        count,
        connections: count,
        workload: workload.map(str::to_owned),
        first_s: 0.5,
        last_s: 20.0,
        direction: Direction::FromDevice,
        examples: Vec::new(),
    }
}

/// A probe that is always answered in two milliseconds or so.
pub(crate) fn probe(sent: u64) -> ProbeEvidence {
    ProbeEvidence {
        sent,
        answered: sent,
        latency: Some(Quantiles {
            count: sent,
            min_ns: MS,
            p50_ns: 2 * MS,
            p90_ns: 4 * MS,
            p99_ns: 9 * MS,
            max_ns: 12 * MS,
        }),
        silences: Vec::new(),
        full_size: None,
    }
}

/// A probe that fell silent at a moment and stayed so.
pub(crate) fn silent_from(from_ns: u64) -> ProbeEvidence {
    let silences = vec![Silence { from_ns, to_ns: None, lost: 30 }];
    ProbeEvidence { answered: 30, silences, ..probe(60) }
}

pub(crate) fn telemetry() -> TelemetryEvidence {
    TelemetryEvidence {
        samples: 36,
        heap: Some(HeapEvidence {
            free_first: 96_000,
            free_middle: Some(91_000),
            free_last: 95_600,
            first: InUse { sockets: Some(5), ..InUse::default() },
            last: InUse { sockets: Some(5), ..InUse::default() },
            free_min: 70_000,
            total: Some(113_840),
            largest_block_min: Some(60_000),
            per_second: Some(Slope { mean: -8.0, low: -60.0, high: 44.0 }),
            per_request: None,
            step: None,
            ceiling: None,
            unasked: false,
        }),
        sockets: Some(SocketsEvidence { first: 5, most: 9, last: 5, limit: Some(10) }),
        time_wait: Some(TimeWaitEvidence::default()),
        wifi_disconnects: Some(0),
        power_save: Some(PowerSave::None),
        requests: 1_000,
        ..TelemetryEvidence::default()
    }
}

/// A workload that went well.
pub(crate) fn workload(name: &str, kind: WorkloadKind, attempts: u64) -> WorkloadEvidence {
    let mut w = WorkloadEvidence {
        name: name.into(),
        kind,
        end_ns: 30 * S,
        attempts,
        succeeded: attempts,
        episodes: vec![episode(0, 29, attempts, &FailureCounts::default())],
        at_once: 4,
        tcp: Some(TcpEvidence { connections: attempts, retransmissions: 0, rtt_mean_ns: Some(2 * MS) }),
        ..WorkloadEvidence::default()
    };
    if kind == WorkloadKind::Head {
        ended(&mut w, Ending::Fin, attempts);
    }
    w
}

pub(crate) fn head(attempts: u64) -> WorkloadEvidence {
    workload("head", WorkloadKind::Head, attempts)
}

pub(crate) fn rw(attempts: u64) -> WorkloadEvidence {
    workload("rw", WorkloadKind::Rw, attempts)
}

/// All exchanges that went well ended so.
pub(crate) fn ended(w: &mut WorkloadEvidence, ending: Ending, n: u64) {
    w.endings = Default::default();
    for _ in 0..n {
        w.endings.count(ending);
    }
}

/// From one second to another.
pub(crate) fn episode(from: u64, to: u64, succeeded: u64, failures: &FailureCounts) -> Episode {
    let attempts = succeeded + failures.of_device();
    Episode { from_ns: from * S, to_ns: to * S, attempts, succeeded, failures: failures.clone() }
}

/// Served so many, then failed so for good.
pub(crate) fn dies_after(
    mut w: WorkloadEvidence,
    succeeded: u64,
    failures: &[(Failure, u64)],
) -> WorkloadEvidence {
    fail(&mut w, failures);
    w.succeeded = succeeded;
    w.attempts = succeeded + w.failures.of_device();
    w.episodes = vec![episode(0, 5, succeeded, &FailureCounts::default()), episode(5, 30, 0, &w.failures)];
    w.episodes.retain(|episode| episode.attempts > 0);
    if w.kind == WorkloadKind::Head {
        ended(&mut w, Ending::Fin, succeeded);
    }
    w
}

/// Fails now and then while others succeed.
pub(crate) fn fails_beside(mut w: WorkloadEvidence, failures: &[(Failure, u64)]) -> WorkloadEvidence {
    fail(&mut w, failures);
    let failed = w.failures.of_device();
    w.attempts = w.succeeded + failed;
    w.episodes = vec![episode(0, 29, w.succeeded, &w.failures)];
    w
}

fn fail(w: &mut WorkloadEvidence, failures: &[(Failure, u64)]) {
    for (failure, n) in failures {
        w.failures.add(*failure, *n);
    }
}

/// A half-open workload of a device that takes everything back after its keep-alive.
pub(crate) fn half_open() -> WorkloadEvidence {
    let mut section = HalfOpenEvidence {
        watched_ns: 60 * S,
        expected_reclaim_ns: 19 * S,
        before: client(5, 5),
        during: client(19, 0),
        exhausted: Some(true),
        served_again_ns: Some(19_500 * MS),
        sockets_used: sockets(5, 10, 5),
        ..HalfOpenEvidence::default()
    };
    fell_silent(&mut section, 5, 6, 5);
    let mut w = workload("half-open", WorkloadKind::HalfOpen, 0);
    fail(&mut w, &[(Failure::ReadTimeout, 6), (Failure::ConnectTimeout, 14)]);
    (w.attempts, w.succeeded) = (40, 20);
    w.episodes = vec![episode(0, 5, 20, &FailureCounts::default()), episode(5, 30, 0, &w.failures)];
    WorkloadEvidence { at_once: 1, close: ClosePolicy::Vanish, half_open: Some(section), ..w }
}

/// The same of a device that behaves as `change` says.
pub(crate) fn half_open_with(change: impl FnOnce(&mut HalfOpenEvidence)) -> WorkloadEvidence {
    let mut w = half_open();
    if let Some(h) = w.half_open.as_mut() {
        change(h);
    }
    w
}

/// Nothing comes back.
pub(crate) fn never_reclaimed(h: &mut HalfOpenEvidence) {
    h.connections.iter_mut().for_each(|c| (c.reclaimed_after_ns, c.evidence) = (None, None));
    h.served_again_ns = None;
    h.during = client(60, 0);
    h.sockets_used = sockets(5, 10, 10);
}

/// So many silent connections that had been served, of which the device took the first `reclaimed` back, and so many that
/// had not been.
pub(crate) fn fell_silent(h: &mut HalfOpenEvidence, served: u32, unserved: u32, reclaimed: u32) {
    (h.served, h.unserved, h.never_reclaimed) = (0, 0, 0);
    h.connections.clear();
    for number in 1..=served + unserved {
        h.fell_silent(SilencedConnection {
            connection: number,
            port: 40_000 + number as u16,
            stage: if number <= served { Stage::Served } else { Stage::Unserved },
            opened_ns: None,
            silent_ns: 5 * S + u64::from(number - 1) * 20 * MS,
            reclaimed_after_ns: (number <= reclaimed).then_some(19_300 * MS),
            evidence: (number <= reclaimed).then_some(ReclaimEvidence::Reset),
        });
    }
}

/// The device closes the silent connections by a FIN, each so long after its silence; `None` where it doesn't.
pub(crate) fn closed_after(h: &mut HalfOpenEvidence, after_ns: impl Fn(u64) -> Option<u64>) {
    for (n, connection) in (0..).zip(&mut h.connections) {
        connection.reclaimed_after_ns = after_ns(n);
        connection.evidence = connection.reclaimed_after_ns.map(|_| ReclaimEvidence::Fin);
    }
}

/// How a well-behaved client fared.
pub(crate) fn client(attempts: u64, served: u64) -> Availability {
    Availability { attempts, served, ..Availability::default() }
}

/// Sockets in use by the device's own account.
pub(crate) const fn sockets(before: u32, most: u32, at_end: u32) -> Option<SocketsUsed> {
    Some(SocketsUsed { before, most, at_end, limit: None })
}

/// An outage workload of outages that were made and recovered from.
pub(crate) fn outage(number: u64) -> WorkloadEvidence {
    let rows = (0..number)
        .map(|n| EndedOutage {
            outage: OutageRow {
                planned_start_ns: Some(n * 30 * S + 5 * S),
                planned_length_ns: Some(n % 100 * S / 10 + S / 10),
                ..seen(OutageOrigin::Made, n * 30 * S + 5 * S + 20 * MS, n % 100 * S / 10 + S / 10)
            },
            recovery: if n + 1 == number { Recovery::CutOff } else { Recovery::After(3 * S + n % 10 * S) },
        })
        .collect();
    let section = OutageEvidence { made: number, natural: 0, quiet_ns: 3 * S, rows, lines: Vec::new() };
    let w = workload("outage", WorkloadKind::Outage, 5_000);
    WorkloadEvidence { outages: Some(section), end_ns: number * 30 * S, ..w }
}

/// An outage that was seen from then on and for so long.
pub(crate) fn seen(origin: OutageOrigin, start_ns: u64, length_ns: u64) -> OutageRow {
    OutageRow {
        origin,
        seen_start_ns: Some(start_ns),
        seen_end_ns: Some(start_ns + length_ns),
        ..OutageRow::default()
    }
}

/// A probe that lost what the outages of a workload cost it.
pub(crate) fn probe_through(w: &WorkloadEvidence) -> ProbeEvidence {
    let mut p = probe(3_000);
    for row in &w.outages.as_ref().unwrap().rows {
        let lost = row.outage.planned_length_ns.unwrap() / S;
        p.answered -= lost;
        if lost >= 2 {
            let from = row.outage.planned_start_ns.unwrap();
            p.silences.push(Silence { from_ns: from, to_ns: Some(from + lost * S), lost });
        }
    }
    p
}
