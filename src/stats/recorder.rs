//! What one workload measured, and the recorder that its transactions write to.

use std::collections::BTreeMap;

use super::half_open_news::Told;
use super::mqtt_news;
use super::recent::{self, Recent};
use super::{
    Episodes, HalfOpenNews, HalfOpenStats, Latency, LatencyPair, MqttStats, OutageStats, Phase, RawTally,
    Series, TcpTotals,
};
use espstress_event::{
    ByProtocol, Ending, EndingCounts, Failure, FailureCounts, FaultSeen, HttpFaults, HttpFigures, IdleCloses,
    Mqtt, OutageRow, PhaseProgress, Recorded, Responses, SectionCourse, TcpSample,
};

/// The whole of what one workload measured.
#[derive(Clone, Debug)]
pub struct WorkloadStats {
    /// Attempts ended.
    pub attempts: u64,
    /// Successes among them.
    pub succeeded: u64,
    /// The others by name.
    pub failures: FailureCounts,
    /// Latency by phase; a phase that cannot occur is not here.
    pub latency: BTreeMap<Phase, LatencyPair>,
    /// Application bytes sent.
    pub bytes_sent: u64,
    /// Application bytes received.
    pub bytes_received: u64,
    /// Payload bytes that came back whole and right.
    pub goodput_bytes: u64,
    /// TCP_INFO sums.
    pub tcp: TcpTotals,
    /// One row a second, or coarser.
    pub series: Series,
    /// HTTP status codes of complete responses.
    pub responses: Responses,
    /// Status of the first complete HTTP response.
    pub first_status: Option<u16>,
    /// What was wrong with HTTP responses.
    pub malformed: HttpFaults,
    /// What else HTTP requests met.
    pub http: HttpFigures,
    /// When attempts succeeded and when they failed.
    pub episodes: Episodes,
    /// How connections ended whose exchange went well and whose end the host waited for.
    pub endings: EndingCounts,
    /// How often a closed loop waited for a free source port.
    pub port_waits: u64,
    /// Connections opened again after a failure.
    pub reconnects: u64,
    /// Attempts whose start was put off beyond its interval because all connections were busy.
    pub late_starts: u64,
    /// Starts of an open loop that never took place: until the time was up, every connection was busy, or the host was late.
    pub late_starts_dropped: u64,
    /// Attempts that were under way when the run ended, or its time: they count as none.
    pub unfinished: u64,
    /// Attempts that timed out on a connection which had answered before: it had been accepted.
    pub timed_out_in_use: u64,
    /// Idle connections that the device closed, noticed before the next request; `None` where it closed none.
    pub idle_closes: Option<IdleCloses>,
    /// What only its protocol tells; `None` for most.
    pub by_protocol: Option<Box<ByProtocol>>,
    /// What the system did not allow it to do, in words.
    pub refused: Option<String>,
    /// What outages did; `None` for a workload that has none.
    pub outage: Option<Box<OutageStats>>,
    /// What silenced connections did; `None` for a workload that has none.
    pub half_open: Option<Box<HalfOpenStats>>,
    /// What MQTT clients did; `None` for a workload that is no broker.
    pub mqtt: Option<Box<MqttStats>>,
    /// The raw protocol's own counting; `None` for any other.
    pub raw: Option<Box<RawTally>>,
    /// Start, nanoseconds since the start of the run.
    pub start_ns: u64,
    /// End, nanoseconds since the start of the run.
    pub end_ns: u64,
    /// The phase whose latency the series holds; `None` where nobody named one.
    pub main_phase: Option<Phase>,
}

impl WorkloadStats {
    /// Empty, from `start_ns` on.
    #[must_use]
    pub fn new(start_ns: u64) -> Self {
        Self {
            attempts: 0,
            succeeded: 0,
            failures: FailureCounts::default(),
            latency: BTreeMap::new(),
            bytes_sent: 0,
            bytes_received: 0,
            goodput_bytes: 0,
            tcp: TcpTotals::default(),
            series: Series::new(start_ns),
            responses: Responses::default(),
            first_status: None,
            malformed: HttpFaults::default(),
            http: HttpFigures::default(),
            episodes: Episodes::default(),
            endings: EndingCounts::default(),
            port_waits: 0,
            reconnects: 0,
            late_starts: 0,
            late_starts_dropped: 0,
            unfinished: 0,
            timed_out_in_use: 0,
            idle_closes: None,
            by_protocol: None,
            refused: None,
            outage: None,
            half_open: None,
            mqtt: None,
            raw: None,
            start_ns,
            end_ns: start_ns,
            main_phase: None,
        }
    }

    /// Wall-clock length, nanoseconds.
    #[must_use]
    pub const fn wall_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }
}

/// Takes what transactions measure. One a workload, on the thread that runs it: no locks.
#[derive(Debug)]
pub struct Recorder {
    stats: WorkloadStats,
    /// Latency by phase, in the order of [`Phase::ALL`]; in the stats at the end.
    latency: [Option<Box<LatencyPair>>; Phase::ALL.len()],
    main_phase: Phase,
    /// The main phase's latencies of the current interval, for the live display.
    recent: Recent,
    /// How long connections had been idle that the device closed; made with the first one.
    idle: Option<Box<Latency>>,
    /// How long TLS handshakes took; made with the first one.
    handshakes: Option<Box<Handshakes>>,
    open: u32,
    /// Outages that were told to the reporters.
    outages_told: u64,
    /// What of silenced connections was told to them.
    half_open_told: Told,
    mqtt_told: mqtt_news::Told,
}

/// Lengths of TLS handshakes by their kind.
#[derive(Debug, Default)]
struct Handshakes {
    full: Latency,
    resumed: Latency,
}

impl Recorder {
    /// A recorder for a workload whose headline figure is `main_phase`.
    #[must_use]
    pub fn new(start_ns: u64, main_phase: Phase) -> Self {
        let stats = WorkloadStats { main_phase: Some(main_phase), ..WorkloadStats::new(start_ns) };
        let (recent, half_open_told) = (Recent::default(), Told::default());
        Self {
            stats,
            latency: Default::default(),
            main_phase,
            recent,
            idle: None,
            handshakes: None,
            open: 0,
            outages_told: 0,
            half_open_told,
            mqtt_told: mqtt_news::Told::default(),
        }
    }

    /// One attempt has ended. It began and ended at these times, nanoseconds since the start of the run.
    pub fn attempt(&mut self, from_ns: u64, to_ns: u64, outcome: Result<(), Failure>) {
        self.stats.episodes.attempt(from_ns, to_ns, outcome);
        self.stats.attempts += 1;
        match outcome {
            Ok(()) => self.stats.succeeded += 1,
            Err(failure) => self.stats.failures.count(failure),
        }
        self.stats.series.current().attempt(outcome);
    }

    /// A complete HTTP response came.
    pub fn response(&mut self, status: u16) {
        self.stats.first_status.get_or_insert(status);
        self.stats.responses.count(status);
    }

    /// An HTTP response was at fault.
    pub fn malformed(&mut self, seen: FaultSeen) {
        self.stats.malformed.count(seen);
    }

    /// What else HTTP requests met, to add to.
    pub const fn http(&mut self) -> &mut HttpFigures {
        &mut self.stats.http
    }

    /// A TLS handshake is done, after `ns` nanoseconds; `what` names its version and cipher suite.
    pub fn secured(&mut self, ns: u64, resumed: bool, what: impl FnOnce() -> String) {
        self.latency(Phase::Tls, ns);
        let lengths = self.handshakes.get_or_insert_default();
        let of = if resumed { &mut lengths.resumed } else { &mut lengths.full };
        of.record(ns);
        let (count, median) = (of.count(), of.quantile_ns(0.5).map(|ns| ns / 1_000));
        let tls = self.stats.http.tls.get_or_insert_default();
        tls.first.get_or_insert_with(what);
        if resumed {
            (tls.resumed, tls.resumed_median_us) = (count, median);
        } else {
            (tls.full, tls.full_median_us) = (count, median);
        }
    }

    /// So many attempts timed out on a connection that had answered before.
    pub const fn timed_out_in_use(&mut self, attempts: u64) {
        self.stats.timed_out_in_use += attempts;
    }

    /// A connection was found closed by the device after it had been idle for `ns` nanoseconds; `told` says whether the device
    /// said so with a response 408.
    pub fn idle_closed(&mut self, ns: u64, told: bool) {
        let idle = self.idle.get_or_insert_default();
        idle.record(ns);
        let least = self.stats.idle_closes.map_or(u64::MAX, |closes| closes.min_us);
        self.stats.idle_closes = Some(IdleCloses {
            count: idle.count(),
            min_us: least.min(ns / 1_000),
            median_us: idle.quantile_ns(0.5).unwrap_or(ns) / 1_000,
            before_request: self.stats.idle_closes.map_or(0, |closes| closes.before_request),
            told: self.stats.idle_closes.map_or(0, |closes| closes.told) + u64::from(told),
        });
    }

    /// The same of one that had not had a request.
    pub fn closed_unasked(&mut self, ns: u64, told: bool) {
        self.idle_closed(ns, told);
        self.stats.idle_closes.iter_mut().for_each(|closes| closes.before_request += 1);
    }

    /// What only the protocol tells, made when it is first asked for.
    pub fn by_protocol(&mut self) -> &mut ByProtocol {
        self.stats.by_protocol.get_or_insert_default()
    }

    /// The system did not allow what the workload is for.
    pub fn refused(&mut self, why: impl FnOnce() -> String) {
        self.stats.refused.get_or_insert_with(why);
    }

    /// The failures so far, by name.
    #[must_use]
    pub const fn failures(&self) -> &FailureCounts {
        &self.stats.failures
    }

    /// A latency of a closed loop, nanoseconds.
    pub fn latency(&mut self, phase: Phase, ns: u64) {
        self.pair(phase).corrected.record(ns);
        self.note_main(phase, ns);
    }

    /// A latency of an open loop: from the intended start, and from the actual one, nanoseconds.
    pub fn latency_pair(&mut self, phase: Phase, corrected_ns: u64, uncorrected_ns: u64) {
        let pair = self.pair(phase);
        pair.corrected.record(corrected_ns);
        pair.uncorrected.get_or_insert_default().record(uncorrected_ns);
        self.note_main(phase, corrected_ns);
    }

    fn pair(&mut self, phase: Phase) -> &mut LatencyPair {
        self.latency[phase as usize].get_or_insert_default()
    }

    fn note_main(&mut self, phase: Phase, ns: u64) {
        if phase == self.main_phase {
            self.recent.record(ns);
            self.stats.series.current().latency(ns, 1);
        }
    }

    /// Application bytes that were handed to or taken from the stack.
    pub fn bytes(&mut self, sent: u64, received: u64) {
        self.stats.bytes_sent += sent;
        self.stats.bytes_received += received;
        self.stats.series.current().bytes += sent + received;
    }

    /// Payload that came back whole and right, bytes.
    pub const fn goodput(&mut self, bytes: u64) {
        self.stats.goodput_bytes += bytes;
    }

    /// TCP_INFO of a connection about to be closed.
    pub fn tcp(&mut self, sample: TcpSample) {
        self.stats.tcp.add(sample);
    }

    /// A connection was opened.
    pub const fn opened(&mut self) {
        self.open += 1;
    }

    /// A connection was closed.
    pub const fn closed(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// A connection has ended, `ns` nanoseconds after the host was ready for it.
    pub fn ended(&mut self, ending: Ending, ns: u64) {
        self.stats.endings.count(ending);
        if ending == Ending::Fin {
            self.latency(Phase::Close, ns);
        }
    }

    /// A closed loop had to wait for a free source port.
    pub const fn port_wait(&mut self) {
        self.stats.port_waits += 1;
    }

    /// A standing connection was opened again after a failure.
    pub const fn reconnected(&mut self) {
        self.stats.reconnects += 1;
    }

    /// An open loop's start found every connection busy.
    pub const fn late_start(&mut self) {
        self.stats.late_starts += 1;
    }

    /// Starts of an open loop that will not take place.
    pub const fn late_starts_dropped(&mut self, n: u64) {
        self.stats.late_starts_dropped += n;
    }

    /// Attempts under way are given up because the run ends: they count as none.
    pub const fn unfinished(&mut self, n: u64) {
        self.stats.unfinished += n;
    }

    /// The outages' part, made when it is first asked for.
    pub fn outage(&mut self) -> &mut OutageStats {
        self.stats.outage.get_or_insert_default()
    }

    /// The silenced connections' part, made when it is first asked for.
    pub fn half_open(&mut self) -> &mut HalfOpenStats {
        self.stats.half_open.get_or_insert_default()
    }

    /// The MQTT clients' part, made when it is first asked for.
    pub fn mqtt(&mut self) -> &mut MqttStats {
        self.stats.mqtt.get_or_insert_default()
    }

    /// The raw protocol's own counting, made when it is first asked for.
    pub fn raw(&mut self) -> &mut RawTally {
        self.stats.raw.get_or_insert_default()
    }

    /// Successes so far.
    #[must_use]
    pub const fn succeeded(&self) -> u64 {
        self.stats.succeeded
    }

    /// The silenced connections' part as far as there is one.
    #[must_use]
    pub fn half_open_so_far(&self) -> Option<&HalfOpenStats> {
        self.stats.half_open.as_deref()
    }

    /// Closes an interval of the series when it is due and tells the progress so far.
    pub fn roll(&mut self, now_ns: u64) -> PhaseProgress {
        self.stats.series.roll(now_ns);
        let progress = self.progress();
        self.recent.clear();
        progress
    }

    /// The progress so far.
    #[must_use]
    pub fn progress(&self) -> PhaseProgress {
        let latencies = self.recent.recorded();
        PhaseProgress {
            attempts: self.stats.attempts,
            succeeded: self.stats.succeeded,
            failures: self.stats.failures.clone(),
            responses: self.stats.responses.clone(),
            first_status: self.stats.first_status,
            malformed: self.stats.malformed.clone(),
            http: self.stats.http.clone(),
            bytes_sent: self.stats.bytes_sent,
            bytes_received: self.stats.bytes_received,
            goodput_bytes: self.stats.goodput_bytes,
            port_waits: self.stats.port_waits,
            reconnects: self.stats.reconnects,
            late_starts: self.stats.late_starts,
            late_starts_dropped: self.stats.late_starts_dropped,
            unfinished: self.stats.unfinished,
            idle_closes: self.stats.idle_closes,
            by_protocol: self.stats.by_protocol.clone(),
            open: self.open,
            p50_ns: recent::quantile_ns(&latencies, 0.5),
            p99_ns: recent::quantile_ns(&latencies, 0.99),
            latencies: latencies.into_iter().collect(),
            outages: self.stats.outage.as_deref().map(OutageStats::progress),
        }
    }

    /// Outages that are over and have not been asked for yet.
    pub fn new_outages(&mut self) -> Vec<OutageRow> {
        let Some(outages) = &self.stats.outage else { return Vec::new() };
        let all = outages.rows.len() as u64 + outages.rows.left_out();
        let new = all.saturating_sub(self.outages_told);
        self.outages_told = all;
        let known = (outages.rows.len() as u64).saturating_sub(new);
        outages.rows.iter().skip(usize::try_from(known).unwrap_or(usize::MAX)).copied().collect()
    }

    /// What MQTT clients came to, where it is time to tell it; `None` for a workload that is no broker as well.
    pub fn mqtt_news(&mut self, course: SectionCourse, now_ns: u64) -> Option<Mqtt<Recorded>> {
        self.mqtt_told.news(self.stats.mqtt.as_deref()?, course, now_ns)
    }

    /// What is new about silenced connections since it was last asked for; `None` for a workload that has none.
    pub fn half_open_news(&mut self, course: SectionCourse, now_ns: u64) -> Option<HalfOpenNews> {
        let half_open = self.stats.half_open.as_deref()?;
        Some(self.half_open_told.news(half_open, course, now_ns))
    }

    /// Ends the recording.
    #[must_use]
    pub fn finish(mut self, now_ns: u64) -> WorkloadStats {
        self.stats.end_ns = now_ns;
        self.stats.series.finish(now_ns);
        let phases = Phase::ALL.into_iter().zip(self.latency);
        self.stats.latency = phases.filter_map(|(phase, pair)| Some((phase, *pair?))).collect();
        self.stats
    }
}
