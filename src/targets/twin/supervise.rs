//! Watches a twin's process: what it reports, what it writes to standard error, and its end.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use espstress_twin::link::OutageCause;
use espstress_twin::protocol::{Moment, Outcome, ProgramSeen, Ready, Report};

use super::{OutageLog, TwinEnd, TwinError};

/// Lines of standard error that are kept.
const LAST_LINES: usize = 20;

/// Longest line of standard error that is kept whole.
const LINE_LEN: u64 = 2_048;

/// Events that wait for a slow receiver.
const EVENTS: usize = 1_000;

/// Restarts kept. When there are as many, the newest takes the place of the one before it.
const RESTARTS: usize = 4_096;

/// Answers that nobody has fetched, kept at most: those of askers who gave up.
const ANSWERS: usize = 64;

/// How often a process that has closed its channel is looked at until it is gone.
const REAP_STEP: Duration = Duration::from_millis(2);

/// Something that happened to a twin.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TwinEvent {
    /// It serves again after a restart.
    Ready {
        /// Since when.
        at: Moment,
        /// Starts since power-on.
        boot_count: u32,
        /// Why it started, as ESP-IDF names it.
        reset_reason: String,
    },
    /// It restarts: every connection is gone, and it is silent for its boot time.
    Restarting {
        /// When.
        at: Moment,
        /// As ESP-IDF names it.
        reason: String,
        /// The number of the start to come.
        boot_count: u32,
    },
    /// The link went down.
    OutageBegan {
        /// When.
        at: Moment,
        /// Why.
        cause: OutageCause,
    },
    /// The link came back.
    OutageEnded {
        /// When.
        at: Moment,
    },
    /// The process ended, whether or not it was told to.
    Ended(TwinEnd),
}

/// One restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestartRecord {
    /// When.
    pub at: Moment,
    /// As ESP-IDF names it.
    pub reason: String,
    /// How a foreign program ended, with its last line.
    pub last_words: Option<String>,
    /// The number of the start that followed.
    pub boot_count: u32,
}

#[derive(Debug)]
struct State {
    /// Absent while it starts or restarts.
    ready: Option<Ready>,
    restarts: u32,
    answers: BTreeMap<u64, Outcome>,
    outages: OutageLog,
    restart_log: Vec<RestartRecord>,
    message: Option<String>,
    /// What a foreign program had said and used until its last end.
    program: ProgramSeen,
    last_lines: VecDeque<String>,
    /// Where what it writes is copied to.
    console: Option<std::fs::File>,
    ended: Option<TwinEnd>,
    sender: Option<SyncSender<TwinEvent>>,
    receiver: Option<Receiver<TwinEvent>>,
}

/// What is known of a twin's process.
#[derive(Debug)]
pub(super) struct Supervisor {
    child: Mutex<Child>,
    state: Mutex<State>,
    changed: Condvar,
}

/// How an asked twin answered.
pub(super) enum Reply {
    /// It did.
    Answered(Outcome),
    /// It has restarted meanwhile, and the question is lost.
    Lost,
}

impl Supervisor {
    /// Watches a process that has just been started.
    pub(super) fn watch(mut child: Child, reports: UnixStream, show: bool) -> io::Result<Arc<Self>> {
        let stderr = child.stderr.take();
        let (sender, receiver) = sync_channel(EVENTS);
        let supervisor = Arc::new(Self {
            child: Mutex::new(child),
            state: Mutex::new(State {
                ready: None,
                restarts: 0,
                answers: BTreeMap::new(),
                outages: OutageLog::default(),
                restart_log: Vec::new(),
                message: None,
                program: ProgramSeen::default(),
                last_lines: VecDeque::new(),
                console: None,
                ended: None,
                sender: None,
                receiver: Some(receiver),
            }),
            changed: Condvar::new(),
        });
        supervisor.state().sender = Some(sender);
        let lines = std::thread::Builder::new().name("twin-stderr".to_owned()).spawn({
            let supervisor = Arc::clone(&supervisor);
            move || supervisor.keep_lines(stderr, show)
        })?;
        std::thread::Builder::new().name("twin".to_owned()).spawn({
            let supervisor = Arc::clone(&supervisor);
            move || {
                supervisor.follow(reports);
                // A panic there has been printed.
                let _ = lines.join();
                supervisor.reap();
            }
        })?;
        Ok(supervisor)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies what it writes from now on.
    pub(super) fn copy_console(&self, to: OwnedFd) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&to, true)?;
        self.state().console = Some(to.into());
        Ok(())
    }

    fn keep_lines(&self, stderr: Option<impl Read>, show: bool) {
        let Some(stderr) = stderr else { return };
        let mut stderr = BufReader::new(stderr);
        let mut line = Vec::new();
        while stderr.by_ref().take(LINE_LEN).read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
            if show {
                drop(writeln!(io::stderr(), "{}", String::from_utf8_lossy(&line).trim_end()));
            }
            let mut state = self.state();
            if let Some(console) = &mut state.console {
                // Where the pipe is full, or nobody reads it any more, the line is missing there alone.
                let _ = console.write(&line);
            }
            if state.last_lines.len() == LAST_LINES {
                state.last_lines.pop_front();
            }
            state.last_lines.push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
            line.clear();
        }
    }

    /// Takes reports until the process closes the channel.
    fn follow(&self, reports: UnixStream) {
        for line in BufReader::new(reports).lines().map_while(Result::ok) {
            match serde_json::from_str(&line) {
                Ok(report) => self.take(report),
                Err(error) => tracing::warn!(%error, line, "a twin's report that cannot be read"),
            }
        }
    }

    fn take(&self, report: Report) {
        let mut state = self.state();
        let event = match report {
            Report::Ready(ready) => {
                let event = TwinEvent::Ready {
                    at: ready.since,
                    boot_count: ready.boot_count,
                    reset_reason: ready.reset_reason.clone(),
                };
                state.ready = Some(*ready);
                Some(event)
            }
            Report::Answer { id, outcome } => {
                state.answers.insert(id, outcome);
                if state.answers.len() > ANSWERS {
                    state.answers.pop_first();
                }
                None
            }
            Report::OutageBegan { at, cause } => {
                state.outages.began(cause, at);
                Some(TwinEvent::OutageBegan { at, cause })
            }
            Report::OutageEnded { at } => {
                state.outages.ended(at);
                Some(TwinEvent::OutageEnded { at })
            }
            Report::Restarting { at, reason, boot_count, program } => {
                state.ready = None;
                state.restarts += 1;
                let last_words = program.as_ref().and_then(|seen| seen.end.clone());
                state.restart_log.truncate(RESTARTS - 1);
                state.restart_log.push(RestartRecord { at, reason: reason.clone(), last_words, boot_count });
                if let Some(seen) = program {
                    state.program = add_up(std::mem::take(&mut state.program), *seen);
                }
                Some(TwinEvent::Restarting { at, reason, boot_count })
            }
            Report::Failed { message } => {
                state.message = Some(message);
                None
            }
        };
        Self::tell(&state, event);
        drop(state);
        self.changed.notify_all();
    }

    fn tell(state: &State, event: Option<TwinEvent>) {
        if let (Some(sender), Some(event)) = (&state.sender, event) {
            // Full or gone: the receiver does not want to know.
            let _ = sender.try_send(event);
        }
    }

    /// Waits for the end of a process that has closed its channels.
    fn reap(&self) {
        let status = loop {
            match self.child().try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => break Some(status),
                Err(_) => break None,
            }
            std::thread::sleep(REAP_STEP);
        };
        let mut state = self.state();
        let end = TwinEnd {
            status,
            message: state.message.take(),
            last_lines: state.last_lines.drain(..).collect(),
        };
        state.ready = None;
        state.ended = Some(end.clone());
        Self::tell(&state, Some(TwinEvent::Ended(end)));
        state.sender = None;
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until something is known, or gives up.
    fn wait_for<T>(
        &self,
        patience: Duration,
        mut known: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, TwinError> {
        let until = Instant::now() + patience;
        let mut state = self.state();
        loop {
            if let Some(value) = known(&mut state) {
                return Ok(value);
            }
            if let Some(end) = &state.ended {
                return Err(TwinError::Ended(end.clone()));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(TwinError::Silent(patience));
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until it serves.
    pub(super) fn wait_ready(&self, patience: Duration) -> Result<Ready, TwinError> {
        self.wait_for(patience, |state| state.ready.clone())
    }

    /// Waits for the answer to a question put after so many restarts.
    pub(super) fn wait_answer(&self, id: u64, restarts: u32, patience: Duration) -> Result<Reply, TwinError> {
        self.wait_for(patience, |state| match state.answers.remove(&id) {
            Some(outcome) => Some(Reply::Answered(outcome)),
            None if state.restarts != restarts => Some(Reply::Lost),
            None => None,
        })
    }

    /// Waits for its end, as the error that it is for who wanted something of it.
    pub(super) fn wait_end(&self, patience: Duration) -> TwinError {
        match self.wait_for(patience, |state| state.ended.clone()) {
            Ok(end) => TwinError::Ended(end),
            Err(error) => error,
        }
    }

    /// What is known of a foreign program, with what it has said and used since its last start.
    pub(super) fn program_with(&self, now: ProgramSeen) -> ProgramSeen {
        add_up(self.state().program.clone(), now)
    }

    pub(super) fn restarts(&self) -> u32 {
        self.state().restarts
    }

    pub(super) fn restart_log(&self) -> Vec<RestartRecord> {
        self.state().restart_log.clone()
    }

    pub(super) fn process_id(&self) -> u32 {
        self.child().id()
    }

    pub(super) fn outage_log(&self) -> OutageLog {
        self.state().outages.clone()
    }

    pub(super) fn ended(&self) -> Option<TwinEnd> {
        self.state().ended.clone()
    }

    pub(super) fn events(&self) -> Option<Receiver<TwinEvent>> {
        let receiver = self.state().receiver.take()?;
        // What happened before belongs to nobody.
        while receiver.try_recv().is_ok() {}
        Some(receiver)
    }

    /// Waits for its end, and then makes one.
    pub(super) fn end(&self, patience: Duration) {
        let gone = |state: &mut State| state.ended.as_ref().map(drop);
        if self.wait_for(patience, gone).is_err() {
            // Fails when it is gone by itself in this moment.
            let _ = self.child().kill();
            let _ = self.wait_for(Duration::from_secs(5), gone);
        }
    }
}

/// What was seen before, and since. The end that counts is the last one there was.
fn add_up(before: ProgramSeen, now: ProgramSeen) -> ProgramSeen {
    let mut unsupported = before.unsupported;
    for (what, count) in now.unsupported {
        let sum = unsupported.entry(what).or_default();
        *sum = sum.saturating_add(count);
    }
    let last_lines = if now.last_lines.is_empty() { before.last_lines } else { now.last_lines };
    ProgramSeen { end: now.end.or(before.end), last_lines, unsupported }
}
