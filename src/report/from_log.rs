//! The report of a run out of its log, whether the run came to its end or not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::console::ConsoleSoFar;
use super::cut_off::{self, Silenced};
use super::found;
use super::log_lines::{
    AnomalyLine, CUT, ExaminedLine, HalfOpenLine, IntervalLine, LEFT_OUT, LogLine, LogStart, MqttLine,
    OutageLine, PhaseStart, SilencedLine, Totals,
};
use super::tame::tame;
use super::thresholds::Gates;
use super::workload::seconds;
use super::{
    ConsoleLine, LatencyFigures, OLDEST_SCHEMA_VERSION, OutageRow, OutageSummary, ProbedLine, ProbedSoFar,
    Report, SCHEMA_VERSION, Workload,
};
use espstress_diagnose::{AnomalyRow, Example};
use espstress_event::{AnomalyId, FailureCounts, OutageProgress};
use espstress_stats::{Latency, Row, WorkloadStats};

/// Counts beyond this are no counts: a damaged line is known by them.
pub(super) const MOST: u64 = 1 << 40;

/// Times beyond this (30 years in seconds) are no times.
pub(super) const LATEST_S: f64 = 1e9;

/// Damaged lines that are told one by one; further ones are only counted.
const TOLD: u64 = 10;

/// Examples kept of one anomaly.
const EXAMPLES: usize = 5;

/// Why no report comes out of a log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No run's start is in it.
    #[error("a log without a readable start line: what was run is not known")]
    NoStart,
    /// A log of another version.
    #[error(
        "a log of schema_version {0}; this program reads schema_version {OLDEST_SCHEMA_VERSION} to {SCHEMA_VERSION}"
    )]
    Version(u64),
}

/// A report out of a log.
#[derive(Clone, Debug)]
pub struct Rebuilt {
    /// The report of the last run in the log.
    pub report: Report,
    /// What a reader should know of how it came about, a sentence each.
    pub remarks: Vec<String>,
}

/// Whether a file looks like a log rather than a report.
#[must_use]
pub fn is_log(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let mut head = Vec::new();
    // A first line may be damaged, or be a long one: one of those that follow tells as well.
    if file.take(1 << 20).read_to_end(&mut head).is_err() {
        return false;
    }
    looks_like_log(&head)
}

/// Whether text that begins so is a log rather than a report.
#[must_use]
pub fn looks_like_log(head: &[u8]) -> bool {
    head.split(|b| *b == b'\n').any(|line| line.starts_with(b"{\"event\":"))
}

/// The report of the last run in the log at `path`, the older parts `path.1`, `path.2`, ... included.
///
/// # Errors
/// `LogError` when a file cannot be read or no run starts in them.
pub fn read_log(path: &Path) -> Result<Rebuilt, LogError> {
    let older = (1..).map(|n| part(path, n)).take_while(|p| p.exists());
    let mut paths: Vec<PathBuf> = older.collect();
    paths.reverse();
    paths.push(path.to_owned());
    let mut builder = Builder::default();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let failed = |source| LogError::Io { path: path.clone(), source };
        let file = BufReader::new(File::open(&path).map_err(failed)?);
        builder.file(&name, file).map_err(failed)?;
    }
    builder.finish()
}

/// The report of the last run in a log that is in memory; `name` is what remarks call it.
///
/// # Errors
/// `LogError` when no run starts in it.
pub fn read_log_bytes(name: &str, bytes: &[u8]) -> Result<Rebuilt, LogError> {
    let mut builder = Builder::default();
    builder.file(name, bytes).map_err(|source| LogError::Io { path: name.into(), source })?;
    builder.finish()
}

fn part(path: &Path, n: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    name.into()
}

/// What the lines of the last run have told.
#[derive(Default)]
struct Builder {
    start: Option<LogStart>,
    workloads: BTreeMap<String, Gathered>,
    anomalies: BTreeMap<(AnomalyId, Option<String>), AnomalyRow>,
    end: Option<Report>,
    no_packets: Option<String>,
    examined: Option<ExaminedLine>,
    probed: ProbedSoFar,
    console: ConsoleSoFar,
    last_s: f64,
    damaged: u64,
    /// Runs before the last one, which it doesn't continue.
    runs_before: u64,
    remarks: Vec<String>,
}

/// One workload.
struct Gathered {
    stats: WorkloadStats,
    main: Latency,
    seen: Totals,
    outages: Vec<OutageRow>,
    silenced: Silenced,
    mqtt: Option<MqttLine>,
}

impl Gathered {
    fn new(start_s: f64) -> Self {
        Self {
            stats: WorkloadStats::new(nanos(start_s)),
            main: Latency::default(),
            seen: Totals::default(),
            outages: Vec::new(),
            silenced: Silenced::default(),
            mqtt: None,
        }
    }
}

impl Builder {
    fn file(&mut self, name: &str, mut lines: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            if lines.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let whole = line.last() == Some(&b'\n');
            if line.trim_ascii().is_empty() {
                continue;
            }
            let parsed = std::str::from_utf8(&line).ok().map(tame);
            let taken = parsed.and_then(|text| text.parse().ok()).is_some_and(|line| self.take(line));
            match (taken, whole) {
                (true, _) => {}
                (false, true) => self.damage(format!("{name}, line {number}, is damaged and left out")),
                (false, false) => self.remarks.push(format!("{name} ends in the middle of line {number}")),
            }
        }
        Ok(())
    }

    fn damage(&mut self, remark: String) {
        self.damaged += 1;
        if self.damaged <= TOLD {
            self.remarks.push(remark);
        }
    }

    /// Whether the line makes sense.
    fn take(&mut self, line: LogLine) -> bool {
        match line {
            LogLine::Start(start) => self.begin(*start),
            LogLine::PhaseStart(PhaseStart { workload, at_s }) => {
                self.is_time(at_s) && self.workload(&workload, at_s).is_some()
            }
            LogLine::Interval(line) => self.interval(*line),
            LogLine::PhaseEnd(line) => self.phase_end(*line),
            LogLine::Anomaly(line) => self.anomaly(*line),
            LogLine::Outage(line) => self.outage(*line),
            LogLine::Silenced(line) => self.silenced(line),
            LogLine::HalfOpen(line) => self.half_open(*line),
            LogLine::Mqtt(line) => self.mqtt(*line),
            LogLine::Examined(line) => self.examined(*line),
            LogLine::Probed(line) => self.probed(*line),
            LogLine::Console(line) => self.console(*line),
            LogLine::Notice(notice) => {
                if notice.text.starts_with(CUT) {
                    self.remarks.push(
                        "the log names only a part of the anomalies: there were more than the report counts"
                            .into(),
                    );
                }
                if notice.text.starts_with(LEFT_OUT) {
                    self.left_out(notice.text);
                } else if notice.text.starts_with(cut_off::NO_PACKETS) {
                    self.no_packets = Some(notice.text);
                }
                true
            }
            LogLine::End(end) => {
                self.end = Some(end.report);
                true
            }
        }
    }

    /// A later remark counts what an earlier one of its kind did as well.
    fn left_out(&mut self, text: String) {
        let kind = |text: &str| text.strip_prefix(LEFT_OUT)?.split(' ').nth(1).map(str::to_owned);
        let which = kind(&text);
        self.remarks.retain(|remark| !(remark.starts_with(LEFT_OUT) && kind(remark) == which));
        self.remarks.push(text);
    }

    fn begin(&mut self, start: LogStart) -> bool {
        let same = |known: &LogStart| known.seed == start.seed && known.started_at == start.started_at;
        if start.part > 1 && self.start.as_ref().is_some_and(same) {
            return true;
        }
        // A session that continues an earlier one has that one's report.
        let another = self.start.is_some() && start.earlier.is_none();
        *self = Self { runs_before: self.runs_before + u64::from(another), ..Self::default() };
        if start.part > 1 {
            self.remarks.push(
                "the log's oldest part is gone: totals are whole, the series and the latencies begin later"
                    .into(),
            );
        }
        self.start = Some(start);
        true
    }

    fn is_time(&self, s: f64) -> bool {
        (0.0..=LATEST_S).contains(&s)
    }

    /// The workload of that name, begun at `start_s` if nothing was known of it; `None` when none was announced.
    fn workload(&mut self, name: &str, start_s: f64) -> Option<&mut Gathered> {
        let announced = self.start.as_ref()?.workloads.iter().any(|w| w.name == name);
        announced.then(|| self.workloads.entry(name.to_owned()).or_insert_with(|| Gathered::new(start_s)))
    }

    fn interval(&mut self, line: IntervalLine) -> bool {
        let sane = self.is_time(line.start_s) && self.is_time(line.end_s) && line.start_s <= line.end_s;
        if !sane || !line.is_countable() {
            return false;
        }
        let histogram = match &line.hdr {
            None => None,
            Some(hdr) => {
                let figures = LatencyFigures { hdr: Some(hdr.clone()), ..LatencyFigures::default() };
                match figures.histogram() {
                    Some(histogram) if histogram.len() <= MOST => Some(Latency::from_histogram(histogram)),
                    _ => return false,
                }
            }
        };
        let Some(gathered) = self.workload(&line.workload, line.start_s) else { return false };
        let mut row = Row::of(nanos(line.start_s), nanos(line.end_s) - nanos(line.start_s));
        (row.attempts, row.succeeded, row.bytes) = (line.attempts, line.succeeded, line.bytes);
        line.failures.iter().for_each(|(failure, n)| row.failures.add(failure, n));
        if let Some(latency) = histogram {
            latency.recorded().for_each(|(ns, count)| {
                row.latency(ns, count);
                gathered.main.record_n(ns, count);
            });
        }
        if row.length_ns > 0 {
            gathered.stats.series.push(row);
        }
        gathered.stats.end_ns = gathered.stats.end_ns.max(nanos(line.end_s));
        gathered.seen = line.total;
        self.last_s = self.last_s.max(line.end_s);
        true
    }

    fn phase_end(&mut self, line: IntervalLine) -> bool {
        let name = line.workload.clone();
        let sane = self.interval(line);
        if let Some(gathered) = self.workloads.get_mut(&name).filter(|_| sane) {
            gathered.stats.series.flush();
        }
        sane
    }

    fn anomaly(&mut self, line: AnomalyLine) -> bool {
        if line.at_s.abs() > LATEST_S {
            return false;
        }
        let lasted = line.lasted_s.unwrap_or(0.0);
        let row = self.anomalies.entry((line.id, line.workload.clone())).or_insert_with(|| AnomalyRow {
            id: line.id,
            class: line.class,
            count: 0,
            connections: 0,
            workload: line.workload.clone(),
            first_s: line.at_s,
            last_s: line.at_s,
            direction: line.direction,
            examples: Vec::new(),
        });
        row.count += 1;
        row.connections += u64::from(line.nth == 1);
        row.first_s = row.first_s.min(line.at_s);
        row.last_s = row.last_s.max(line.at_s + lasted);
        if row.examples.len() < EXAMPLES {
            row.examples.push(Example {
                host: line.host,
                device: line.device,
                at_s: line.at_s,
                lasted_s: line.lasted_s,
                remark: line.remark,
                packets: line.packets,
            });
        }
        self.last_s = self.last_s.max(line.at_s);
        true
    }

    fn outage(&mut self, line: OutageLine) -> bool {
        let start = line.outage.seen_start_s.unwrap_or(0.0).clamp(0.0, LATEST_S);
        let Some(gathered) = self.workload(&line.workload, start) else { return false };
        gathered.outages.push(line.outage);
        true
    }

    fn silenced(&mut self, line: SilencedLine) -> bool {
        let first = line.connections.iter().map(|c| c.silent_ns).min().map_or(0.0, seconds);
        if !line.is_sane() {
            return false;
        }
        let Some(gathered) = self.workload(&line.workload, first) else { return false };
        gathered.silenced.connections(line);
        true
    }

    fn half_open(&mut self, line: HalfOpenLine) -> bool {
        if !line.is_sane() {
            return false;
        }
        self.last_s = self.last_s.max(line.at_s);
        let Some(gathered) = self.workload(&line.workload, line.at_s) else { return false };
        gathered.silenced.section(line);
        true
    }

    fn mqtt(&mut self, line: MqttLine) -> bool {
        if !self.is_time(line.at_s) {
            return false;
        }
        self.last_s = self.last_s.max(line.at_s);
        let Some(gathered) = self.workload(&line.workload, line.at_s) else { return false };
        gathered.mqtt = Some(line);
        true
    }

    fn examined(&mut self, line: ExaminedLine) -> bool {
        let sane = self.is_time(line.at_s) && self.start.is_some();
        if sane {
            self.examined = Some(line);
        }
        sane
    }

    fn probed(&mut self, line: ProbedLine) -> bool {
        let sane = line.is_sane() && self.start.is_some();
        if sane {
            self.last_s = self.last_s.max(line.at_s);
            self.probed.take(line);
        }
        sane
    }

    fn console(&mut self, line: ConsoleLine) -> bool {
        let sane = self.is_time(line.at_s) && self.start.is_some();
        if sane {
            self.last_s = self.last_s.max(line.at_s);
            self.console.take(line);
        }
        sane
    }

    fn finish(mut self) -> Result<Rebuilt, LogError> {
        let start = self.start.take().ok_or(LogError::NoStart)?;
        if !(OLDEST_SCHEMA_VERSION..=SCHEMA_VERSION).contains(&start.schema_version) {
            return Err(LogError::Version(start.schema_version));
        }
        if self.runs_before > 0 {
            let all = self.runs_before + 1;
            self.remarks.push(format!(
                "the log has {all} runs; this is the report of the last one, of {}",
                start.started_at
            ));
        }
        if self.damaged > TOLD {
            self.remarks.push(format!("{} lines in all are damaged and left out", self.damaged));
        }
        if let Some(report) = self.end {
            return Ok(Rebuilt { report, remarks: self.remarks });
        }
        self.remarks.push(
            "the run has no end in its log: rebuilt up to the last interval, with the latencies of each workload's \
             main phase; other phases, what the packets showed in sum, and most findings are not in a log"
                .into(),
        );
        let mut report = Report::new(start.target, start.scenario, start.seed, 0);
        report.started_at = start.started_at;
        report.tool = start.tool;
        report.host = start.host;
        report.interrupted = true;
        report.duration_s = self.last_s;
        report.capture = cut_off::capture(start.capture, self.no_packets);
        report.examination = self.examined.map(cut_off::examination);
        self.probed.fill(&mut report);
        report.console = std::mem::take(&mut self.console).rebuilt();
        report.anomalies = self.anomalies.into_values().collect();
        let mut facts = found::Facts::new();
        for announced in start.workloads {
            let Some(mut gathered) = self.workloads.remove(&announced.name) else { continue };
            let half_open = std::mem::take(&mut gathered.silenced).rebuilt();
            let mqtt = gathered.mqtt.take().map(MqttLine::rebuilt);
            let stats = gathered.stats(announced.main_phase);
            facts.extend(announced.facts.map(|of| (announced.name.clone(), of)));
            let mut workload =
                Workload::from_stats(announced.name, announced.kind, announced.params, &stats.0);
            workload.half_open = half_open;
            workload.mqtt = mqtt;
            if let Some(progress) = stats.2 {
                workload.outage_summary = Some(OutageSummary::rebuilt(&progress, &stats.1));
                workload.outages = Some(stats.1);
            }
            report.workloads.push(workload);
        }
        found::fill(&mut report, &self.probed, &facts);
        report.note_timeline(self.probed.timeline());
        report.note_remarks();
        let gates = start.thresholds.as_deref().map(Gates::from_expressions).transpose();
        let gates = gates.unwrap_or_else(|error| {
            self.remarks.push(format!("the gates are not judged: {error}"));
            None
        });
        match (&start.earlier, &gates) {
            (Some(earlier), gates) => report = report.after_judged(earlier, gates.as_ref()),
            (None, Some(gates)) => gates.judge(&mut report),
            (None, None) => {}
        }
        Ok(Rebuilt { report, remarks: self.remarks })
    }
}

impl Gathered {
    fn stats(
        mut self,
        main: espstress_stats::Phase,
    ) -> (WorkloadStats, Vec<OutageRow>, Option<OutageProgress>) {
        let stats = &mut self.stats;
        stats.series.flush();
        stats.attempts = self.seen.attempts;
        stats.succeeded = self.seen.succeeded;
        stats.failures = FailureCounts::default();
        self.seen.failures.iter().for_each(|(failure, n)| stats.failures.add(failure, n));
        for (code, n) in &self.seen.responses {
            stats.responses.add(code.parse().unwrap_or(0), *n);
        }
        stats.bytes_sent = self.seen.sent_bytes;
        stats.bytes_received = self.seen.received_bytes;
        stats.goodput_bytes = self.seen.goodput_bytes;
        stats.port_waits = self.seen.port_waits;
        stats.reconnects = self.seen.reconnects;
        stats.late_starts = self.seen.late_starts;
        stats.late_starts_dropped = self.seen.late_starts_dropped;
        stats.unfinished = self.seen.unfinished;
        stats.first_status = self.seen.first_status;
        stats.idle_closes = self.seen.idle_closes;
        stats.by_protocol = self.seen.by_protocol.take();
        stats.malformed = std::mem::take(&mut self.seen.malformed);
        stats.http = std::mem::take(&mut self.seen.http);
        stats.main_phase = Some(main);
        if self.main.count() > 0 {
            stats.latency.entry(main).or_default().corrected = self.main;
        }
        (self.stats, self.outages, self.seen.outages)
    }
}

impl IntervalLine {
    /// Whether its counts can be counts.
    fn is_countable(&self) -> bool {
        let t = &self.total;
        let counts = [
            self.attempts,
            self.succeeded,
            self.bytes,
            t.attempts,
            t.succeeded,
            t.port_waits,
            t.reconnects,
            t.late_starts,
            t.late_starts_dropped,
            t.unfinished,
            t.idle_closes.map_or(0, |closes| closes.count),
            t.by_protocol.as_ref().map_or(0, |figures| figures.most()),
        ];
        // Bytes of a fortnight at full rate are more than attempts can ever be.
        let bytes = [t.sent_bytes, t.received_bytes, t.goodput_bytes];
        counts.into_iter().all(|n| n <= MOST)
            && bytes.into_iter().all(|n| n <= MOST << 16)
            && self.failures.iter().chain(t.failures.iter()).all(|(_, n)| n <= MOST)
            && t.responses.values().all(|n| *n <= MOST)
            && t.malformed.iter().all(|(_, seen)| seen.count <= MOST)
            && t.http.counts().all(|n| n <= MOST)
    }
}

/// Seconds as nanoseconds; callers have seen to it that they fit.
fn nanos(s: f64) -> u64 {
    (s * 1e9).round() as u64
}

#[cfg(test)]
#[path = "from_log_tests.rs"]
mod tests;
