//! The log of a run: a line for everything that happens, written as it happens, so that a power cut leaves a
//! report behind. A thread of its own writes, and a disk that is full or slow costs the run nothing: what could not be
//! written waits, joined with what comes later, and what is left out in the end is said.

mod files;
mod writer;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use espstress_event::{Backlog, Event, EventSink};
use espstress_report::{LogStart, Report, outages_left_out};
use files::{Files, LIMITS};
use writer::Writer;

/// At the end of a run, how long a disk may take no line at all before the log is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the end of a run looks whether the log is whole.
const LOOK: Duration = Duration::from_millis(5);

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
