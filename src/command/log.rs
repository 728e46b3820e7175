//! The log of a run: a line for everything that happens, written as it happens, so that a power cut leaves a
//! report behind. A thread of its own writes, and a disk that is full or slow costs the run nothing: what could not be
//! written waits, joined with what comes later, and what is left out in the end is said.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use espstress_event::{Backlog, Event, EventSink, PhaseProgress, Probed, SectionCourse};
use espstress_observe::file::Lost;
use espstress_report::{
    AnomalyLine, ConsoleLine, ExaminedLine, HalfOpenLine, IntervalLine, LogEnd, LogLine, LogStart, MqttLine,
    NoticeLine, OutageLine, PhaseStart, ProbedSoFar, Report, SilencedLine, lines_left_out, outages_left_out,
};
use espstress_stats::Latency;

/// Lines that are kept for a disk that is full, beside those that add up; of more, the oldest are left out.
const OWED: usize = 4_096;

/// At the end of a run, how long a disk may take no line at all before the log is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the console's sums are told, seconds; what it says is told at once.
const CONSOLE_S: f64 = 30.0;

/// How often what was written is made to last through a power cut.
const SYNC_EVERY: Duration = Duration::from_secs(5);

/// How often the end of a run looks whether the log is whole.
const LOOK: Duration = Duration::from_millis(5);

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
#[error("cannot write the log {}: {source}; choose another path with --log", path.display())]
pub(super) struct LogOpenError {
    path: PathBuf,
    source: io::Error,
}

/// A log that is being written.
pub(super) struct Log {
    events: Backlog,
    /// Outages that had been left out before this log was told of them.
    left_out: u64,
    end: Sender<Box<Report>>,
    remarks: Receiver<String>,
    path: PathBuf,
    thread: Option<JoinHandle<Whole>>,
}

/// Whether all of a run is in its log; otherwise what is missing, and why.
type Whole = Result<(), String>;

/// Why a log that was asked for isn't whole.
#[derive(Debug, thiserror::Error)]
#[error("the log {} is incomplete: {reason}", path.display())]
pub(super) struct LogLost {
    path: PathBuf,
    reason: String,
}

impl Log {
    fn open(path: &Path, start: LogStart) -> io::Result<Self> {
        let files = Files::open(path, LIMITS)?;
        let events = Backlog::default();
        let (end, ends) = mpsc::channel();
        let (remarks_out, remarks) = mpsc::channel();
        let mut writer = Writer::new(files, start, remarks_out);
        let incoming = events.clone();
        let run = move || writer.run(&incoming, &ends);
        let thread = Some(std::thread::Builder::new().name("log".into()).spawn(run)?);
        Ok(Self { events, left_out: 0, end, remarks, path: path.to_owned(), thread })
    }

    /// A disk that stands still costs detail, never the run's time.
    fn tell(&mut self, event: &Event) {
        if let Event::OutagesLeftOut { rows } = event {
            self.left_out = *rows;
        }
        self.events.tell(event.clone());
    }

    /// What of the run is not in the log, where that is known before its end.
    pub(super) fn left_out(&self) -> Option<String> {
        let rows = self.left_out + self.events.left_out();
        (rows > 0).then(|| outages_left_out(rows))
    }

    /// Writes the end and waits until it is on the disk, as long as the disk takes anything.
    ///
    /// # Errors
    /// When a part of the run is not in the log.
    pub(super) fn finish(mut self, report: &Report) -> Result<(), LogLost> {
        // A writer that is gone has nothing left to write.
        let _ = self.end.send(Box::new(report.clone()));
        self.events.close();
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let lost = |reason| LogLost { path: self.path.clone(), reason };
        let (mut taken, mut since) = (self.events.taken(), Instant::now());
        while !thread.is_finished() {
            std::thread::sleep(LOOK);
            let now = self.events.taken();
            if now != taken {
                (taken, since) = (now, Instant::now());
            }
            if since.elapsed() >= PATIENCE {
                let waited = PATIENCE.as_secs();
                return Err(lost(format!(
                    "it has accepted no line for {waited} s, and espstress has stopped writing it"
                )));
            }
        }
        let whole = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        self.remarks.try_iter().for_each(|text| say(&text));
        whole.map_err(lost)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.events.close();
    }
}

fn say(text: &str) {
    let _ = writeln!(io::stderr(), "note: {text}");
}

/// Makes lines of events.
struct Writer {
    files: Files,
    start: LogStart,
    /// When the run started, nanoseconds since the Unix epoch.
    start_unix_ns: i64,
    workloads: BTreeMap<String, Workload>,
    /// The workloads' starts, told again in each file.
    began: Vec<PhaseStart>,
    /// Sections that are whole, told again in each file: one a workload that has one.
    sections: Vec<LogLine>,
    /// The last word of an examination, told again in each file.
    examined: Option<LogLine>,
    /// What of the probes is in the log, told again in each file.
    probed: ProbedSoFar,
    /// When the console was told last, seconds since the start of the run.
    console_s: Option<f64>,
    /// Lines that could not be written yet and that no later line makes up for.
    owed: VecDeque<LogLine>,
    /// Of them, those that were given up.
    left_out: u64,
    left_out_told: u64,
    /// The file has begun and lacks what each file begins with.
    headless: bool,
    remarks: Sender<String>,
    /// Why the last line could not be written; `None` when it could.
    trouble: Option<String>,
    /// What others did to the file.
    lost: Option<Lost>,
}

/// What of a workload is in the log, and what is not yet.
struct Workload {
    since_s: f64,
    written: PhaseProgress,
    latencies: Latency,
}

impl Writer {
    fn new(files: Files, start: LogStart, remarks: Sender<String>) -> Self {
        Self {
            files,
            start,
            start_unix_ns: unix_now_ns(),
            workloads: BTreeMap::new(),
            began: Vec::new(),
            sections: Vec::new(),
            examined: None,
            probed: ProbedSoFar::default(),
            console_s: None,
            owed: VecDeque::new(),
            left_out: 0,
            left_out_told: 0,
            headless: false,
            remarks,
            trouble: None,
            lost: None,
        }
    }

    fn run(&mut self, incoming: &Backlog, end: &Receiver<Box<Report>>) -> Whole {
        let mut synced = Instant::now();
        while !incoming.is_over() {
            if let Some(event) = incoming.next_within(SYNC_EVERY) {
                self.event(event);
            }
            if synced.elapsed() >= SYNC_EVERY {
                self.files.sync();
                self.look();
                synced = Instant::now();
            }
        }
        // Before the end as well: what is left of a truncated log then begins like a log.
        self.look();
        if let Ok(report) = end.try_recv() {
            self.end(*report);
        }
        self.files.sync();
        self.look();
        self.whole()
    }

    /// Whether every line was written, and is there.
    fn whole(&self) -> Whole {
        match (&self.trouble, &self.lost, self.left_out) {
            (Some(why), ..) => Err(format!("its end is missing ({why})")),
            (None, Some(lost), _) => Err(lost.to_string()),
            (None, None, 0) => Ok(()),
            (None, None, n) => Err(lines_left_out(n)),
        }
    }

    /// Looks whether the file is still where it should be, and tells when it isn't.
    fn look(&mut self) {
        let Some(lost) = self.files.lost() else { return };
        if lost == Lost::Truncated {
            self.files.take_length();
            self.start.part += 1;
            self.headless = true;
        }
        if self.lost.is_none() {
            self.lost = Some(lost);
            self.remark(format!("the log {} is lost: {lost}", self.files.path.display()));
        }
    }

    /// When a line is written that has no time of its own.
    fn now_s(&self) -> f64 {
        seconds(u64::try_from(unix_now_ns() - self.start_unix_ns).unwrap_or(0))
    }

    fn event(&mut self, event: Event) {
        let line = match event {
            Event::RunStarted { start_unix_ns, .. } => {
                self.start_unix_ns = start_unix_ns;
                self.start.started(start_unix_ns);
                LogLine::Start(Box::new(self.start.clone()))
            }
            Event::Notice { text } => LogLine::Notice(NoticeLine { at_s: self.now_s(), text }),
            Event::PhaseStarted { workload, at_ns, .. } => {
                let at_s = seconds(at_ns);
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
                LogLine::Anomaly(Box::new(AnomalyLine::new(workload, &occurrence, self.start_unix_ns)))
            }
            Event::AnomaliesCut { told } => LogLine::Notice(NoticeLine {
                at_s: self.now_s(),
                text: espstress_report::anomalies_cut(told),
            }),
            Event::OutagesLeftOut { rows } => {
                LogLine::Notice(NoticeLine { at_s: self.now_s(), text: outages_left_out(rows) })
            }
            Event::Outage { workload, outage } => {
                LogLine::Outage(Box::new(OutageLine::new(workload, &outage)))
            }
            Event::Silenced { workload, connections } => {
                LogLine::Silenced(SilencedLine { workload, connections })
            }
            Event::HalfOpen { workload, at_ns, course, section } => {
                let line = HalfOpenLine::new(workload, seconds(at_ns), course, &section);
                let line = LogLine::HalfOpen(Box::new(line));
                if course == SectionCourse::Ended {
                    self.sections.push(line.clone());
                }
                line
            }
            Event::Mqtt { workload, at_ns, course, section } => {
                let line = MqttLine::new(workload, seconds(at_ns), course, &section);
                let line = LogLine::Mqtt(Box::new(line));
                if course == SectionCourse::Ended {
                    self.sections.push(line.clone());
                }
                line
            }
            Event::Examined { workload, at_ns, examination } => {
                let examination = Arc::unwrap_or_clone(examination);
                let line = ExaminedLine { workload, at_s: seconds(at_ns), examination };
                let line = LogLine::Examined(Box::new(line));
                self.examined = Some(line.clone());
                line
            }
            Event::Console { at_ns, events, known } => {
                let known = Arc::unwrap_or_clone(known);
                let line = ConsoleLine { at_s: seconds(at_ns), events, known };
                // Sums alone can wait for the next line.
                if line.events.is_empty() && self.console_s.is_some_and(|at| line.at_s < at + CONSOLE_S) {
                    return;
                }
                self.console_s = Some(line.at_s);
                LogLine::Console(Box::new(line))
            }
            Event::Probed { at_ns, probed } => return self.probed(seconds(at_ns), &probed),
            _ => return,
        };
        self.keep(line);
    }

    /// Writes a line that nothing makes up for, or keeps it for when that is possible again.
    fn keep(&mut self, line: LogLine) {
        if self.write(&line) {
            return;
        }
        // What is superseded need not wait.
        self.owed.retain(|owed| match (owed, &line) {
            (LogLine::HalfOpen(owed), LogLine::HalfOpen(new)) => owed.workload != new.workload,
            (LogLine::Mqtt(owed), LogLine::Mqtt(new)) => owed.workload != new.workload,
            (LogLine::Examined(_), LogLine::Examined(_)) => false,
            _ => true,
        });
        self.owed.push_back(line);
        if self.owed.len() > OWED {
            // Not the start, nor what tells of a workload: without them no other line means anything.
            let single = |line: &LogLine| {
                matches!(
                    line,
                    LogLine::Outage(_)
                        | LogLine::Anomaly(_)
                        | LogLine::Silenced(_)
                        | LogLine::Notice(_)
                        | LogLine::Console(_)
                )
            };
            if let Some(at) = self.owed.iter().position(single) {
                self.owed.remove(at);
                self.left_out += 1;
            }
        }
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
        let line = line(Box::new(interval));
        // A workload's last line is made up for by no later one.
        let done = if matches!(line, LogLine::PhaseEnd(_)) {
            self.keep(line);
            true
        } else {
            self.write(&line)
        };
        if done {
            workload.since_s = end_s;
            workload.written = progress;
            workload.latencies.clear();
        }
        self.workloads.insert(name, workload);
    }

    /// What the probes came to since the last line that could be written.
    fn probed(&mut self, at_s: f64, probed: &Probed) {
        let news = self.probed.news(at_s, probed);
        if self.write(&LogLine::Probed(Box::new(news.clone()))) {
            self.probed.take(news);
        }
    }

    fn end(&mut self, report: Report) {
        let end = LogEnd { duration_s: report.duration_s, verdict: report.verdict, report };
        self.write(&LogLine::End(Box::new(end)));
    }

    /// Writes a line, and before it what is owed.
    fn write(&mut self, line: &LogLine) -> bool {
        let written = self.pay().and_then(|()| self.put(line));
        self.told(written)
    }

    /// Writes what is owed, in its order.
    fn pay(&mut self) -> io::Result<()> {
        while let Some(owed) = self.owed.pop_front() {
            if let Err(error) = self.put(&owed) {
                self.owed.push_front(owed);
                return Err(error);
            }
        }
        if self.left_out > self.left_out_told {
            let text = lines_left_out(self.left_out);
            self.put(&LogLine::Notice(NoticeLine { at_s: self.now_s(), text: text.clone() }))?;
            self.remark(text);
            self.left_out_told = self.left_out;
        }
        Ok(())
    }

    /// Writes one line where one can be written.
    fn put(&mut self, line: &LogLine) -> io::Result<()> {
        let text = line.to_text();
        let room = self.files.make_room(text.len() as u64)?;
        if room == Room::NewFile {
            self.start.part += 1;
            self.headless = true;
        }
        if self.headless {
            // Each file can be read without the ones before it.
            let mut head = LogLine::Start(Box::new(self.start.clone())).to_text();
            for began in &self.began {
                head.push_str(&LogLine::PhaseStart(began.clone()).to_text());
            }
            let probed = self.probed.whole().map(|line| LogLine::Probed(Box::new(line)));
            for section in self.sections.iter().chain(&self.examined).chain(&probed) {
                head.push_str(&section.to_text());
            }
            self.files.write(head.as_bytes())?;
            self.headless = false;
        }
        self.files.write(text.as_bytes())
    }

    /// Tells when trouble begins and when it is over.
    fn told(&mut self, written: io::Result<()>) -> bool {
        match written {
            Ok(()) => {
                if self.trouble.take().is_some() {
                    self.remark("the log can be written again".into());
                }
                true
            }
            Err(error) => {
                if self.trouble.is_none() {
                    self.remark(format!("cannot write the log: {error}; the run continues, and espstress writes the missing lines as soon as it can"));
                }
                self.trouble = Some(error.to_string());
                false
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
        lock(&file)?;
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
        lock(&self.file)?;
        self.written = self.file.metadata()?.len();
        self.tail = Tail::Whole;
        Ok(Room::NewFile)
    }

    /// What others did to the file.
    fn lost(&self) -> Option<Lost> {
        espstress_observe::file::lost(&self.path, &self.file, self.written)
    }

    /// Goes on from what others left of the file.
    fn take_length(&mut self) {
        self.written = self.file.metadata().map_or(self.written, |file| file.len());
        self.tail = Tail::Whole;
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

/// Two runs never write one log: their lines would be those of no run. The lock ends with the file, also after a kill.
fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::new(io::ErrorKind::ResourceBusy, "another run is writing it"))
        }
        // A file system without locks has the log all the same.
        Err(TryLockError::Error(_)) | Ok(()) => Ok(()),
    }
}

fn unix_now_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
