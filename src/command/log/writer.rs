//! Makes lines of events, and keeps those that a full disk did not take.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Whole;
use super::files::{Files, Room};
use espstress_event::{Backlog, Event, PhaseProgress, Probed, SectionCourse};
use espstress_observe::file::Lost;
use espstress_report::{
    AnomalyLine, ConsoleLine, ExaminedLine, HalfOpenLine, IntervalLine, LogEnd, LogLine, LogStart, MqttLine,
    NoticeLine, OutageLine, PhaseStart, ProbedSoFar, Report, SilencedLine, lines_left_out, outages_left_out,
};
use espstress_stats::Latency;

/// Lines that are kept for a disk that is full, beside those that add up; of more, the oldest are left out.
const OWED: usize = 4_096;

/// How often the console's sums are told, seconds; what it says is told at once.
const CONSOLE_S: f64 = 30.0;

/// How often what was written is made to last through a power cut.
const SYNC_EVERY: Duration = Duration::from_secs(5);

/// Makes lines of events.
pub(super) struct Writer {
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
    pub(super) fn new(files: Files, start: LogStart, remarks: Sender<String>) -> Self {
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

    pub(super) fn run(&mut self, incoming: &Backlog, end: &Receiver<Box<Report>>) -> Whole {
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

fn unix_now_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;

// Hours in virtual time take seconds for each test run that nothing else shares.
#[cfg(all(test, feature = "long"))]
#[path = "virtual_soak.rs"]
mod virtual_soak;
