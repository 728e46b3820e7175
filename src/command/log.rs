//! The log of a run: a line for everything that happens, written as it happens, so that a power cut leaves a
//! report behind. A thread of its own writes, and a disk that is full or slow costs the run nothing.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::clock::Clock;
use crate::event::{Event, EventSink, PhaseProgress, Probed, SectionCourse};
use crate::report::{
    AnomalyLine, ExaminedLine, HalfOpenLine, IntervalLine, LogEnd, LogLine, LogStart, NoticeLine, OutageLine,
    PhaseStart, ProbedSoFar, Report, SilencedConnection, SilencedLine,
};
use crate::stats::Latency;

/// Lines that may wait for a slow disk; with more the newest are left out.
const WAITING: usize = 4_096;

/// How often what was written is made to last through a power cut.
const SYNC_EVERY: Duration = Duration::from_secs(5);

/// How large a log may grow.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Bytes in one file, about.
    bytes: u64,
    /// Files: the one that is written, and the older ones.
    files: u32,
}

/// A quarter of a gigabyte: a day and a half of three workloads second by second; sums are those of the whole run.
const LIMITS: Limits = Limits { bytes: 64 << 20, files: 4 };

/// The display, and a log beside it where one is asked for.
pub(super) struct Beside {
    display: Box<dyn EventSink>,
    log: Option<Log>,
}

impl Beside {
    /// Opens the log at `path`.
    ///
    /// # Errors
    /// When there is no such folder, or the system refuses the file or a thread.
    pub(super) fn open(
        display: Box<dyn EventSink>,
        path: Option<&Path>,
        start: impl FnOnce() -> LogStart,
    ) -> Result<Self, LogOpenError> {
        let open = |path: &Path| {
            Log::open(path, start()).map_err(|source| LogOpenError { path: path.to_owned(), source })
        };
        Ok(Self { display, log: path.map(open).transpose()? })
    }

    /// The display is over; the log still wants its end.
    pub(super) fn into_log(self) -> Option<Log> {
        self.log
    }
}

impl EventSink for Beside {
    fn event(&mut self, event: &Event) {
        self.display.event(event);
        let Some(log) = &mut self.log else { return };
        log.tell(event);
        while let Ok(text) = log.remarks.try_recv() {
            self.display.event(&Event::Notice { text });
        }
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the log {}: {source}; give another path to --log", path.display())]
pub(super) struct LogOpenError {
    path: PathBuf,
    source: io::Error,
}

/// A log that is being written.
pub(super) struct Log {
    lines: SyncSender<Message>,
    remarks: Receiver<String>,
    thread: JoinHandle<()>,
}

/// What the writing thread gets.
enum Message {
    Event(Box<Event>),
    End(Box<Report>),
}

impl Log {
    fn open(path: &Path, start: LogStart) -> io::Result<Self> {
        let files = Files::open(path, LIMITS)?;
        let (lines, incoming) = mpsc::sync_channel(WAITING);
        let (remarks_out, remarks) = mpsc::channel();
        let mut writer = Writer::new(files, start, remarks_out);
        let thread = std::thread::Builder::new().name("log".into()).spawn(move || writer.run(&incoming))?;
        Ok(Self { lines, remarks, thread })
    }

    fn tell(&self, event: &Event) {
        // A disk that stands still costs lines, never the run's time; totals are in every line.
        let _ = self.lines.try_send(Message::Event(Box::new(event.clone())));
    }

    /// Writes the end and waits until it is on the disk.
    pub(super) fn finish(self, report: &Report) {
        let Self { lines, remarks, thread } = self;
        // A writer that is gone has nothing left to write.
        let _ = lines.send(Message::End(Box::new(report.clone())));
        drop(lines);
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
        for text in remarks {
            let _ = writeln!(io::stderr(), "note: {text}");
        }
    }
}

/// Makes lines of events.
struct Writer {
    files: Files,
    start: LogStart,
    clock: Clock,
    workloads: BTreeMap<String, Workload>,
    /// The workloads' starts, told again in each file.
    began: Vec<PhaseStart>,
    /// Sections that are whole, told again in each file: one a workload that has one.
    sections: Vec<LogLine>,
    /// The last word of an examination, told again in each file.
    examined: Option<LogLine>,
    /// What of the probes is in the log, told again in each file.
    probed: ProbedSoFar,
    remarks: mpsc::Sender<String>,
    trouble: Trouble,
}

/// Whether the last line could be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    Told,
}

/// What of a workload is in the log, and what is not yet.
struct Workload {
    since_s: f64,
    written: PhaseProgress,
    latencies: Latency,
}

impl Writer {
    fn new(files: Files, start: LogStart, remarks: mpsc::Sender<String>) -> Self {
        Self {
            files,
            start,
            clock: Clock::start(),
            workloads: BTreeMap::new(),
            began: Vec::new(),
            sections: Vec::new(),
            examined: None,
            probed: ProbedSoFar::default(),
            remarks,
            trouble: Trouble::None,
        }
    }

    fn run(&mut self, incoming: &Receiver<Message>) {
        let mut synced = Instant::now();
        loop {
            match incoming.recv_timeout(SYNC_EVERY) {
                Ok(Message::Event(event)) => self.event(*event),
                Ok(Message::End(report)) => self.end(*report),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if synced.elapsed() >= SYNC_EVERY {
                self.files.sync();
                synced = Instant::now();
            }
        }
        self.files.sync();
    }

    fn now_s(&self) -> f64 {
        seconds(self.clock.now_ns())
    }

    fn event(&mut self, event: Event) {
        let line = match event {
            Event::RunStarted { .. } => {
                self.clock = Clock::start();
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                self.start.started(i64::try_from(now.as_nanos()).unwrap_or(i64::MAX));
                LogLine::Start(Box::new(self.start.clone()))
            }
            Event::Notice { text } => LogLine::Notice(NoticeLine { at_s: self.now_s(), text }),
            Event::PhaseStarted { workload, .. } => {
                let at_s = self.now_s();
                self.workloads.insert(workload.clone(), Workload::new(at_s));
                let began = PhaseStart { workload, at_s };
                self.began.push(began.clone());
                LogLine::PhaseStart(began)
            }
            Event::Interval { workload, at_ns, progress } => {
                return self.progress(workload, seconds(at_ns), progress, LogLine::Interval);
            }
            Event::PhaseEnded { workload, at_ns, progress } => {
                return self.progress(workload, seconds(at_ns), progress, LogLine::PhaseEnd);
            }
            Event::Anomaly { workload, occurrence } => {
                let start_unix_ns = self.clock.start_unix_ns();
                LogLine::Anomaly(Box::new(AnomalyLine::new(workload, &occurrence, start_unix_ns)))
            }
            Event::AnomaliesCut { told } => {
                LogLine::Notice(NoticeLine { at_s: self.now_s(), text: crate::report::anomalies_cut(told) })
            }
            Event::Outage { workload, outage } => {
                LogLine::Outage(Box::new(OutageLine::new(workload, &outage)))
            }
            Event::Silenced { workload, connections } => {
                let connections = connections.iter().map(SilencedConnection::from).collect();
                LogLine::Silenced(SilencedLine { workload, connections })
            }
            Event::HalfOpen { workload, at_ns, course, section } => {
                let announced = self.start.workloads.iter().find(|announced| announced.name == workload);
                let Some(params) = announced.map(|announced| &announced.params) else { return };
                let line = HalfOpenLine::new(workload, seconds(at_ns), course, &section, params);
                let line = LogLine::HalfOpen(Box::new(line));
                if course == SectionCourse::Ended {
                    self.sections.push(line.clone());
                }
                line
            }
            Event::Examined { workload, examination } => {
                let examination = Arc::unwrap_or_clone(examination);
                let line = ExaminedLine { workload, at_s: self.now_s(), examination };
                let line = LogLine::Examined(Box::new(line));
                self.examined = Some(line.clone());
                line
            }
            Event::Probed { at_ns, probed } => return self.probed(seconds(at_ns), &probed),
            _ => return,
        };
        self.write(&line);
    }

    /// What a workload did since the last line that could be written.
    fn progress(
        &mut self,
        name: String,
        end_s: f64,
        progress: PhaseProgress,
        line: fn(Box<IntervalLine>) -> LogLine,
    ) {
        let Some(mut workload) = self.workloads.remove(&name) else { return };
        progress.latencies.iter().for_each(|(ns, count)| workload.latencies.record_n(*ns, *count));
        let end_s = end_s.max(workload.since_s);
        let before = (workload.since_s, &workload.written);
        let interval = IntervalLine::between(name.clone(), before, (end_s, &progress), &workload.latencies);
        if self.write(&line(Box::new(interval))) == Written::Yes {
            workload.since_s = end_s;
            workload.written = progress;
            workload.latencies.clear();
        }
        self.workloads.insert(name, workload);
    }

    /// What the probes came to since the last line that could be written.
    fn probed(&mut self, at_s: f64, probed: &Probed) {
        let news = self.probed.news(at_s, probed);
        if self.write(&LogLine::Probed(Box::new(news.clone()))) == Written::Yes {
            self.probed.take(news);
        }
    }

    fn end(&mut self, report: Report) {
        let end = LogEnd { duration_s: report.duration_s, verdict: report.verdict, report };
        self.write(&LogLine::End(Box::new(end)));
    }

    fn write(&mut self, line: &LogLine) -> Written {
        let text = line.to_text();
        let written = self.files.make_room(text.len() as u64).and_then(|room| {
            if room == Room::NewFile {
                // Each file can be read without the ones before it.
                self.start.part += 1;
                let mut head = LogLine::Start(Box::new(self.start.clone())).to_text();
                for began in &self.began {
                    head.push_str(&LogLine::PhaseStart(began.clone()).to_text());
                }
                let probed = self.probed.whole().map(|line| LogLine::Probed(Box::new(line)));
                for section in self.sections.iter().chain(&self.examined).chain(&probed) {
                    head.push_str(&section.to_text());
                }
                self.files.write(head.as_bytes())?;
            }
            self.files.write(text.as_bytes())
        });
        match written {
            Ok(()) => {
                if self.trouble == Trouble::Told {
                    self.remark("the log can be written again".into());
                }
                self.trouble = Trouble::None;
                Written::Yes
            }
            Err(error) => {
                if self.trouble == Trouble::None {
                    self.remark(format!("the log cannot be written: {error}; the run goes on without it"));
                }
                self.trouble = Trouble::Told;
                Written::No
            }
        }
    }

    fn remark(&self, text: String) {
        // Nobody listens after an end by force.
        let _ = self.remarks.send(text);
    }
}

impl Workload {
    fn new(began_s: f64) -> Self {
        Self { since_s: began_s, written: PhaseProgress::default(), latencies: Latency::default() }
    }
}

/// Whether a line is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Yes,
    No,
}

/// Where the next line goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    SameFile,
    NewFile,
}

/// The files of a log: the one that is written, and older ones with a number.
struct Files {
    path: PathBuf,
    file: File,
    written: u64,
    limits: Limits,
    /// What must come before the next line: a line feed after one that was cut off.
    tail: Tail,
    kind: Kind,
}

/// How the file ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tail {
    Whole,
    Torn,
}

/// Whether it can be renamed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    /// A device or a pipe.
    Special,
}

impl Files {
    fn open(path: &Path, limits: Limits) -> io::Result<Self> {
        let special = std::fs::metadata(path).is_ok_and(|m| !m.is_file());
        if special {
            let file = OpenOptions::new().append(true).open(path)?;
            let (tail, kind) = (Tail::Whole, Kind::Special);
            return Ok(Self { path: path.to_owned(), file, written: 0, limits, tail, kind });
        }
        let mut file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
        let written = file.metadata()?.len();
        let mut tail = Tail::Whole;
        if written > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                tail = Tail::Torn;
            }
        }
        Ok(Self { path: path.to_owned(), file, written, limits, tail, kind: Kind::File })
    }

    /// Begins a new file when `bytes` more would be too many for this one.
    fn make_room(&mut self, bytes: u64) -> io::Result<Room> {
        let fits = self.written == 0 || self.written + bytes <= self.limits.bytes;
        if fits || self.kind == Kind::Special {
            return Ok(Room::SameFile);
        }
        self.sync();
        for n in (0..self.limits.files.saturating_sub(1)).rev() {
            match std::fs::rename(self.older(n), self.older(n + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        self.written = self.file.metadata()?.len();
        self.tail = Tail::Whole;
        Ok(Room::NewFile)
    }

    /// The file of `n` files ago.
    fn older(&self, n: u32) -> PathBuf {
        if n == 0 {
            return self.path.clone();
        }
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{n}"));
        name.into()
    }

    /// Hands whole lines to the kernel in one call.
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.tail == Tail::Torn {
            self.put(b"\n")?;
            self.tail = Tail::Whole;
        }
        let before = self.written;
        let result = self.put(lines);
        if result.is_err() && self.written > before {
            self.tail = Tail::Torn;
        }
        result
    }

    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        // One call takes all, unless the disk fills up in the middle of it.
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.written += n as u64;
                    bytes = &bytes[n..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What was written lasts through a power cut; a file that cannot do that is written all the same.
    fn sync(&self) {
        let _ = self.file.sync_data();
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
