//! What the findings are made from: plain values of one run, filled by the engine.
//!
//! Times are nanoseconds since the start of the run, lengths nanoseconds, unless a name says otherwise. What was
//! not measured is [`Measured::Unavailable`] with its reason, or `None`: never 0.

use std::net::IpAddr;

use espstress_event::{
    AckWaits, Air, Asks, ByProtocol, ClosePolicy, ConsoleEvent, EndingCounts, Episode, FailureCounts,
    FullSize, HostResets, HttpFaults, HttpFigures, IdleCloses, Losses, NotJudged, OutageRow, PathFigures,
    PowerSave, ResetReason, Responses, Silence, WorkloadKind,
};

use super::{AnomalyRow, Lingers, ResetCauses, Unserved};

/// A value, or why there is none.
#[derive(Clone, Debug, PartialEq)]
pub enum Measured<T> {
    /// It was measured.
    Value(T),
    /// It was not.
    Unavailable {
        /// Why, in half a sentence.
        reason: String,
    },
}

impl<T> Measured<T> {
    /// The value.
    #[must_use]
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Unavailable { .. } => None,
        }
    }
}

impl<T> Default for Measured<T> {
    fn default() -> Self {
        Self::Unavailable { reason: String::new() }
    }
}

/// One run, as far as findings need it.
#[derive(Clone, Debug, Default)]
pub struct Evidence<'a> {
    /// Length of the run, the watch after the last close included.
    pub duration_ns: u64,
    /// Every workload, in the order of the scenario.
    pub workloads: Vec<WorkloadEvidence>,
    /// What the packets showed, classed by intention.
    pub anomalies: &'a [AnomalyRow],
    /// What the device's RSTs answered.
    pub resets: ResetCauses,
    /// Rules that could not be judged.
    pub not_judged: &'a [NotJudged],
    /// Whether the packets were looked at.
    pub capture: CaptureEvidence,
    /// What the packets say of the path; `None` without a capture.
    pub path: Option<PathEvidence>,
    /// Connections that counted as lingering (`half_closed_linger`), and that the device ended after all.
    pub late_ends: u64,
    /// The longest time from the client's FIN to such an end, nanoseconds.
    pub latest_end_ns: u64,
    /// Small segments of the device's that waited for an acknowledgement; `None` without a capture.
    pub ack_waits: Option<AckWaits>,
    /// Every time of half a second or more in which no packet came from the device, in the order of time; `None`
    /// without a capture.
    pub quiet: Option<Vec<Quiet>>,
    /// When the host asked and no packet came for a second or more; `None` without a capture.
    pub absences: Option<Vec<Absence>>,
    /// The same as `quiet` of what the device's program sends: payload, and FINs, but not those for clients that asked nothing
    /// while an older one waits.
    pub idle: Option<Vec<Quiet>>,
    /// The probes beside the workloads.
    pub probes: ProbesEvidence,
    /// What the device said of itself.
    pub telemetry: Measured<TelemetryEvidence>,
    /// What the device said on its console, in the order of time; `None` where nobody listened.
    pub console: Option<&'a [ConsoleEvent]>,
    /// What was heard on the air; `None` where nobody listened.
    pub air: Option<&'a Air>,
    /// What the device is known to be.
    pub device: DeviceEvidence,
    /// How the testing machine fared.
    pub host: HostEvidence,
}

/// One workload.
#[derive(Clone, Debug, Default)]
pub struct WorkloadEvidence {
    /// Its name in the scenario.
    pub name: String,
    /// What it does.
    pub kind: WorkloadKind,
    /// When it began.
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// Attempts ended.
    pub attempts: u64,
    /// Successes among them.
    pub succeeded: u64,
    /// The others by name. For `HalfOpen` only the section below counts.
    pub failures: FailureCounts,
    /// HTTP status codes of complete responses.
    pub responses: Responses,
    /// Status of the first complete HTTP response; `None` where there was none.
    pub first_status: Option<u16>,
    /// What was wrong with HTTP responses, by name, each with the first one's figures.
    pub malformed: HttpFaults,
    /// What else HTTP requests met.
    pub http: HttpFigures,
    /// Attempts that timed out on a connection which had answered before: it had been accepted.
    pub timed_out_in_use: u64,
    /// Idle persistent connections that the device closed; `None` where it closed none.
    pub idle_closes: Option<IdleCloses>,
    /// What only its protocol tells; `None` for most.
    pub by_protocol: Option<Box<ByProtocol>>,
    /// When attempts succeeded and when they failed.
    pub episodes: Vec<Episode>,
    /// Connections that the device ended before any byte of a response, as the packets show; `None` without a capture.
    pub unserved: Option<Unserved>,
    /// Connections that lingered after the host's FIN; `None` without a capture.
    pub lingers: Option<Lingers>,
    /// How connections ended whose exchange went well and whose end the host waited for.
    pub endings: EndingCounts,
    /// Connections that it may have open at once.
    pub at_once: u32,
    /// What it asks for.
    pub asks: Asks,
    /// How it ends connections.
    pub close: ClosePolicy,
    /// Latency of `connect`, corrected.
    pub connect: Option<Quantiles>,
    /// From the last byte of a request to the first of its answer, where it is measured apart.
    pub first_byte: Option<Quantiles>,
    /// Latency of the main phase (total, round trip, heartbeat), corrected.
    pub main: Option<Quantiles>,
    /// How it went in each sixth of its time; `None` where that is too short for six parts.
    pub pace: Option<Box<[Pace; 6]>>,
    /// Time from the host's wish to close to the end of a connection; `None` where it waited for none.
    pub closing: Option<Quantiles>,
    /// TCP_INFO of its connections as they closed; `None` where it could not be read.
    pub tcp: Option<TcpEvidence>,
    /// How often a closed loop waited for a free source port.
    pub port_waits: u64,
    /// Attempts that started late because every connection was busy, or the host was late.
    pub late_starts: u64,
    /// Source ports that the user restricted it to; `None` without a restriction.
    pub local_ports: Option<u32>,
    /// The result of a half-open workload.
    pub half_open: Option<HalfOpenEvidence>,
    /// The result of an mqtt workload that a device connected to.
    pub mqtt: Option<MqttEvidence>,
    /// The result of an outage workload.
    pub outages: Option<OutageEvidence>,
}

/// A part of a workload's time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    /// Answers in it.
    pub answers: u64,
    /// Half of them took at most this, nanoseconds.
    pub p50_ns: u64,
    /// Requests under way on average, as latency and rate tell.
    pub under_way: f64,
    /// Application bytes of both directions for each answer.
    pub bytes_each: f64,
}

/// A latency distribution in six numbers, nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantiles {
    /// How many were measured.
    pub count: u64,
    /// Least.
    pub min_ns: u64,
    /// Half of them are at most this.
    pub p50_ns: u64,
    /// Nine in ten are at most this.
    pub p90_ns: u64,
    /// 99 in a hundred are at most this.
    pub p99_ns: u64,
    /// Greatest.
    pub max_ns: u64,
}

/// TCP_INFO, summed over a workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpEvidence {
    /// Connections that could be asked.
    pub connections: u64,
    /// Segments that the host sent again.
    pub retransmissions: u64,
    /// Mean smoothed round-trip time, nanoseconds; `None` where there is none.
    pub rtt_mean_ns: Option<u64>,
}

/// Connections on which the host fell silent, and what came of them: the measured record, its latencies as quantiles.
pub type HalfOpenEvidence = espstress_event::HalfOpen<Option<Quantiles>>;

/// What an MQTT client did: the measured record, its latencies as quantiles.
pub type MqttEvidence = espstress_event::Mqtt<Option<Quantiles>>;

/// How a well-behaved client fared beside them.
pub type Availability = espstress_event::Availability<Option<Quantiles>>;

/// Outages of an outage workload.
#[derive(Clone, Debug, Default)]
pub struct OutageEvidence {
    /// Outages made on purpose.
    pub made: u64,
    /// Outages that came by themselves.
    pub natural: u64,
    /// Deliberate quiet before a reconnection: part of a recovery and no slowness.
    pub quiet_ns: u64,
    /// Single outages, as far as they were kept.
    pub rows: Vec<EndedOutage>,
    /// Devices that dialled in and count their lines, with what became of those.
    pub lines: Vec<DialledLines>,
}

/// What a device that dials in counted of its own lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DialledLines {
    /// The device's number.
    pub device: u8,
    /// Lines that it counted as sent, by the last line that came of each connection.
    pub sent: u64,
    /// Of these, the ones that never came, although a later line of the same connection did.
    pub lost: u64,
    /// Connections of it.
    pub connections: u64,
}

/// One outage, and what came after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndedOutage {
    /// As it was measured.
    pub outage: OutageRow,
    /// What came after it.
    pub recovery: Recovery,
}

impl EndedOutage {
    /// From when to when attempts may have failed for it, nanoseconds: until what came after it was over, without end where
    /// its end is not known. `None` where nobody knows its beginning.
    pub(crate) fn span_ns(&self) -> Option<(u64, u64)> {
        let outage = &self.outage;
        let start = outage.seen_start_ns.or(outage.planned_start_ns)?;
        let start = outage.planned_start_ns.map_or(start, |planned| planned.min(start));
        let length = outage.length_ns().max(outage.planned_length_ns);
        let end = length.map_or(u64::MAX, |length| start.saturating_add(length));
        let end = match self.recovery {
            Recovery::After(took) => end.saturating_add(took),
            Recovery::NotWithin(_) | Recovery::NotBack(_) | Recovery::CutOff => end,
        };
        Some((start, end))
    }

    /// Of a workload that ended at `end_ns` and kept quiet for `quiet_ns` before each reconnection.
    #[must_use]
    pub fn new(of: OutageRow, quiet_ns: u64, end_ns: u64) -> Self {
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
        Self { outage: of, recovery }
    }
}

/// What came after an outage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recovery {
    /// Every connection stood again so long after its end.
    After(u64),
    /// Not within the time that was given for it, which was so long.
    NotWithin(u64),
    /// The device had dialled in, and for so long, until the run ended, it did not do so again.
    NotBack(u64),
    /// The run ended first: nothing can be said.
    #[default]
    CutOff,
}

/// Whether the packets were looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureEvidence {
    /// How far.
    pub status: CaptureState,
    /// Packets seen.
    pub packets: u64,
    /// Packets missed.
    pub dropped: u64,
    /// Why it is not complete, and what would help.
    pub reason: Option<String>,
}

/// How far the packets were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CaptureState {
    /// Every packet.
    Complete,
    /// Some were missed.
    Dropped,
    /// The system did not allow it.
    Denied,
    /// Nobody asked for it.
    #[default]
    Off,
}

/// What the packets say of the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathEvidence {
    /// From the host to the device.
    pub to_device: PathFigures,
    /// From the device to the host.
    pub from_device: PathFigures,
    /// Connections that the host reset.
    pub resets: HostResets,
    /// Losses that the packets prove.
    pub losses: Losses,
}

/// The probes beside the workloads, by kind.
#[derive(Clone, Debug, Default)]
pub struct ProbesEvidence {
    /// ICMP echo.
    pub icmp: Measured<ProbeEvidence>,
    /// TCP connect and orderly close.
    pub tcp: Measured<ProbeEvidence>,
    /// Telemetry in a datagram.
    pub telemetry: Measured<ProbeEvidence>,
}

/// One kind of probe.
#[derive(Clone, Debug, Default)]
pub struct ProbeEvidence {
    /// Probes sent whose fate is known.
    pub sent: u64,
    /// Those answered in time.
    pub answered: u64,
    /// Latency of the answers.
    pub latency: Option<Quantiles>,
    /// Spells in which two or more probes in a row were lost, in the order of time.
    pub silences: Vec<Silence>,
    /// Probes as large as the first hop carries; `None` where none were sent.
    pub full_size: Option<FullSize>,
}

/// A time in which no packet came from the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quiet {
    /// The last packet before it.
    pub from_ns: u64,
    /// The first packet after it; `u64::MAX` when none came until the end of the run.
    pub to_ns: u64,
}

/// A time in which the host asked and no packet came from the device, a second or more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Absence {
    /// The first packet that wanted an answer.
    pub from_ns: u64,
    /// The device's first packet after it.
    pub to_ns: u64,
    /// Moments at which the host asked in vain.
    pub asked: u32,
}

/// What the device said of itself over the run.
#[derive(Clone, Debug, Default)]
pub struct TelemetryEvidence {
    /// Answers taken.
    pub samples: u64,
    /// Restarts that were noticed, in the order of time.
    pub restarts: Vec<RestartEvidence>,
    /// Those that were noticed and not kept.
    pub more_restarts: u64,
    /// Heap free, bytes; `None` where the device does not tell.
    pub heap: Option<HeapEvidence>,
    /// Memory of a program of the user's own, apart from the heap, which is then the stack's alone; `None` where the
    /// device program is ours, or on a device.
    pub program_memory: Option<MemoryEvidence>,
    /// Sockets in use, listeners included; `None` where the device does not tell.
    pub sockets: Option<SocketsEvidence>,
    /// Most control blocks in TIME_WAIT, and the first and last count; `None` where the stack does not tell.
    pub time_wait: Option<TimeWaitEvidence>,
    /// Disconnections from the access point during the run; `None` where the device does not tell.
    pub wifi_disconnects: Option<u64>,
    /// Of those, the ones that the run asked for.
    pub wifi_disconnects_made: u64,
    /// The last reason, by ESP-IDF's name.
    pub wifi_last_reason: Option<String>,
    /// Power-save mode.
    pub power_save: Option<PowerSave>,
    /// Requests that the device served during the run, as far as it or the host counts them.
    pub requests: u64,
}

/// A restart of the device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestartEvidence {
    /// When.
    pub at_ns: u64,
    /// Why; `None` where the device does not tell.
    pub reason: Option<ResetReason>,
    /// How its program ended, in its own words; `None` where nobody kept them.
    pub last_words: Option<String>,
}

/// Memory of a program of the user's own, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MemoryEvidence {
    /// At the first reading.
    pub first: u64,
    /// At the reading in the middle of the run; `None` where there are too few.
    pub middle: Option<u64>,
    /// At the last reading.
    pub last: u64,
    /// Change a second.
    pub per_second: Option<Slope>,
}

/// What connections held at one reading of the heap: heap and counts of the same answer, never of two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InUse {
    /// Sockets in use, listeners included; `None` where the device does not tell.
    pub sockets: Option<u32>,
    /// Connections that the stack holds, ESTABLISHED and CLOSE_WAIT: those that no program has accepted are in no
    /// socket's count, and their data is in the heap as well; `None` where the stack does not tell.
    pub open: Option<u32>,
    /// Control blocks in TIME_WAIT; `None` where the stack does not tell.
    pub time_wait: Option<u32>,
    /// Connections that the program has closed and that were not over: they are in no socket's count; `None` where
    /// the stack does not tell.
    pub closing: Option<u32>,
}

impl InUse {
    /// The connections that the stack holds, of those in these states.
    #[must_use]
    pub fn open_of(established: Option<u32>, close_wait: Option<u32>) -> Option<u32> {
        established.map(|established| established.saturating_add(close_wait.unwrap_or(0)))
    }
}

/// The device's heap, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HeapEvidence {
    /// Free at the first reading.
    pub free_first: u64,
    /// Free at the reading in the middle of the run; `None` where there are too few.
    pub free_middle: Option<u64>,
    /// Free at the last reading; of a run with outages, at the last one that was not within or right after one.
    pub free_last: u64,
    /// What connections held at the first reading.
    pub first: InUse,
    /// What connections held at the last reading, the one of `free_last`.
    pub last: InUse,
    /// Least free reading during the run.
    pub free_min: u64,
    /// Heap in all; `None` where the device does not tell.
    pub total: Option<u64>,
    /// Least reading of the largest block during the run; `None` where the device does not tell.
    pub largest_block_min: Option<u64>,
    /// Change of the free heap a second.
    pub per_second: Option<Slope>,
    /// Change of the free heap a request, by the device's own count of requests; `None` where it does not count them.
    pub per_request: Option<Slope>,
    /// The step by which it changed, where that explains it far better than a slope does.
    pub step: Option<HeapStep>,
    /// What the free heap came back to, where the device told it unasked: `None` for answers to questions, whose first and
    /// last are at rest, and with too few readings.
    pub ceiling: Option<HeapCeiling>,
    /// Whether the device told it unasked, at moments of its program's choice.
    pub unasked: bool,
}

/// The highest readings of the free heap in the beginning, the middle and the end of a run, bytes. One reading alone may come
/// with a connection open, and what is open then comes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeapCeiling {
    /// Of the first third of the readings.
    pub first: u64,
    /// Of the second third.
    pub middle: u64,
    /// Of the last third.
    pub last: u64,
    /// Readings in all.
    pub readings: u64,
    /// Whether a reading came a while after the last connection.
    pub at_rest: bool,
}

/// A change of the free heap that came at once and stayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeapStep {
    /// When, nanoseconds since the start of the run.
    pub at_ns: u64,
    /// By how much, bytes; less than zero for a loss.
    pub by: i64,
}

/// A slope with its 95 % confidence interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slope {
    /// Best estimate.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Sockets in use over the run, listeners included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketsEvidence {
    /// At the first reading.
    pub first: u32,
    /// The most.
    pub most: u32,
    /// At the last reading, after the watch.
    pub last: u32,
    /// Sockets there are; `None` where the device does not tell.
    pub limit: Option<u32>,
}

/// Control blocks in TIME_WAIT over the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeWaitEvidence {
    /// At the first reading.
    pub first: u32,
    /// The most.
    pub most: u32,
    /// At the last reading.
    pub last: u32,
}

/// What the device is known to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceEvidence {
    /// Connections that it states it can hold at once; `None` where it does not tell.
    pub capacity: Option<u32>,
    /// Its TCP/IP stack; `None` where it does not tell.
    pub stack: Option<String>,
    /// Maximum segment lifetime in force, milliseconds (`CONFIG_LWIP_TCP_MSL`).
    pub msl_ms: Option<u64>,
    /// Time-out of FIN_WAIT_2 in force, milliseconds (`CONFIG_LWIP_TCP_FIN_WAIT_TIMEOUT`).
    pub fin_wait_timeout_ms: Option<u64>,
    /// Sockets (`CONFIG_LWIP_MAX_SOCKETS`).
    pub max_sockets: Option<u32>,
    /// Whether its program is known to be somebody else's, whatever stack it runs on and whoever answers for telemetry.
    pub foreign: bool,
    /// Where the run talks to it; `None` where that is not known.
    pub place: Option<Place>,
}

/// Where a run talks to the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its address at the start, which the run keeps.
    pub address: IpAddr,
    /// What the name of the target stands for at the end; `None` where it was typed as an address, or nobody asked.
    pub resolved: Option<Resolved>,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// As it was typed.
    pub name: String,
    /// The system's answer; empty where it has none.
    pub addresses: Vec<IpAddr>,
}

/// How the testing machine fared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostEvidence {
    /// Share of one processor that the program's own threads used while workloads ran, 0 to 1 (the busiest
    /// thread); `None` where it was not measured.
    pub cpu_busy: Option<f64>,
    /// Connections that took far longer to open than their own round-trip time, no SYN repeated: the host was
    /// late. `None` where it was not looked at.
    pub slow_connects: Option<u64>,
    /// Times that the program's own clock found it asleep when it wanted to run; `None` where not looked at.
    pub stalls: Option<Stalls>,
    /// Of those the longest, each of 200 ms and more, in the order of time.
    pub stood_still: Vec<StoodStill>,
}

/// A time in which the program could not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoodStill {
    /// When it wanted to.
    pub from_ns: u64,
    /// When it did.
    pub to_ns: u64,
}

/// Times that the program could not run when it wanted to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stalls {
    /// How often by more than 50 ms.
    pub count: u64,
    /// The longest.
    pub longest_ns: u64,
    /// All together.
    pub total_ns: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use espstress_event::OutageOrigin;

    const S: u64 = 1_000_000_000;

    fn recovery(change: impl FnOnce(&mut OutageRow)) -> Recovery {
        let mut row = OutageRow::new(1, OutageOrigin::Made);
        (row.made_start_ns, row.made_end_ns) = (Some(S), Some(3 * S));
        change(&mut row);
        EndedOutage::new(row, 5 * S, 90 * S).recovery
    }

    #[test]
    fn a_recovery_that_was_waited_for_in_vain_is_told_from_one_that_the_run_cut_off() {
        assert_eq!(recovery(|row| row.recovered_ns = Some(4 * S)), Recovery::After(S));
        assert_eq!(recovery(|row| row.gave_up_ns = Some(63 * S)), Recovery::NotWithin(60 * S));
        assert_eq!(recovery(|_| ()), Recovery::CutOff);
    }

    #[test]
    fn a_device_that_dials_in_is_away_until_it_dials_in() {
        let dialled = |change: fn(&mut OutageRow)| {
            let mut row = OutageRow::new(1, OutageOrigin::Natural);
            (row.device, row.seen_start_ns) = (Some(1), Some(10 * S));
            change(&mut row);
            EndedOutage::new(row, 3 * S, 40 * S)
        };
        assert_eq!(dialled(|_| ()).recovery, Recovery::NotBack(30 * S));
        // Its telemetry answers again, and it does not dial.
        assert_eq!(dialled(|row| row.seen_end_ns = Some(12 * S)).recovery, Recovery::NotBack(30 * S));
        let measured = dialled(|row| (row.seen_end_ns, row.recovered_ns) = (Some(12 * S), Some(16 * S)));
        assert_eq!((measured.recovery, measured.outage.length_ns()), (Recovery::After(4 * S), Some(2 * S)));
        let unseen = dialled(|row| row.recovered_ns = Some(16 * S));
        assert_eq!((unseen.recovery, unseen.outage.length_ns()), (Recovery::CutOff, Some(6 * S)));
    }

    #[test]
    fn no_recovery_is_judged_where_the_host_kept_quiet_or_the_outage_went_on() {
        assert_eq!(recovery(|row| row.gave_up_ns = Some(7 * S)), Recovery::CutOff);
        let unended = |row: &mut OutageRow| (row.made_end_ns, row.gave_up_ns) = (None, Some(63 * S));
        assert_eq!(recovery(unended), Recovery::CutOff);
    }
}
