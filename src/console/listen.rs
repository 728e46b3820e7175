//! Listens to a console beside a run: a thread of its own that reads, and hands over what is new.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use espstress_event::{Console, ConsoleEvent, Telemetry};

use super::account::{Account, HeapLine, Heard};
use super::elf::Elf;
use super::lines::Lines;
use super::source::{Opened, Read, Reader};

/// More than any serial port carries, bytes a second: a command or a file that gives more waits.
const MOST: usize = 16 << 20;

/// The time over which that is measured.
const WINDOW: Duration = Duration::from_millis(100);

/// How often a file is looked at, and whether it is over.
const LOOK: Duration = Duration::from_millis(50);

/// How often a source that has vanished is looked for.
const AGAIN: Duration = Duration::from_millis(250);

/// How often what is new is told.
const TELL: Duration = Duration::from_secs(1);

/// Lines that are told: as many as a view has room for.
const SHOWN: usize = 16;

/// What is listened for.
#[derive(Debug, Default)]
pub struct Options {
    /// A pattern of the user's own for heap lines.
    pub heap: Option<HeapLine>,
    /// The firmware's ELF file.
    pub elf: Option<Elf>,
    /// Where everything is written to.
    pub copy: Option<std::fs::File>,
}

/// What is new of a console.
#[derive(Debug)]
pub struct News {
    /// Events that were not told yet.
    pub events: Vec<ConsoleEvent>,
    /// What is known in all, without the lines.
    pub known: Console,
    /// The last lines, the newest at the end; `None` where there is no new one.
    pub lines: Option<Vec<String>>,
    /// The newest heap line and the like: its time, nanoseconds since the start of the run, and the reading; `None` where it
    /// was told before.
    pub telemetry: Option<(u64, Telemetry)>,
}

/// A console that is listened to.
#[derive(Debug)]
pub struct Listening {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Heard>,
}

impl Listening {
    /// The run is over: what it came to. What has arrived is still taken.
    #[must_use]
    pub fn finish(self) -> Heard {
        self.over.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(heard) => heard,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Listens to `opened` until told otherwise; `now_ns` is the run's clock. `news` hears what is new about once a second, and
/// only when there is something.
///
/// # Errors
/// When the system refuses a thread.
pub fn listen(
    opened: Opened,
    options: Options,
    now_ns: impl Fn() -> u64 + Send + 'static,
    news: impl FnMut(News) + Send + 'static,
) -> io::Result<Listening> {
    let over = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&over);
    let thread = std::thread::Builder::new().name("console".into()).spawn(move || {
        step_back();
        let Opened { runtime, source, port, reader } = opened;
        let Options { heap, elf, copy } = options;
        let mut ear = Ear {
            lines: Lines::new(reader.begins_within_a_line()),
            account: Account::new(source.to_string(), heap, elf),
            copy,
            now_ns,
            news,
            told: Instant::now(),
            known: (0, 0),
            sampled_ns: None,
            spent: 0,
            since: Instant::now(),
        };
        runtime.block_on(async {
            let mut reader = Some(reader);
            while let Some(open) = &mut reader {
                let why = ear.hear(open, &stop).await;
                let Some(why) = why else { break };
                let returns = open.may_return();
                ear.broke_off(&why);
                reader = None;
                if returns {
                    reader = ear.look_again(|| Reader::open(&source, port, false), &stop).await;
                }
            }
            // A source that is over has said everything.
            while !stop.load(Ordering::Relaxed) {
                tokio::time::sleep(LOOK).await;
            }
        });
        ear.tell_until(i64::MAX);
        ear.account.finish()
    })?;
    Ok(Listening { over, thread })
}

/// Lets the threads that carry the load go first where there is not a processor for each: a device that prints without end
/// then costs them less. On other systems than Linux that would be the whole process.
fn step_back() {
    #[cfg(target_os = "linux")]
    // Fails for no priority that is lower.
    let _ = rustix::process::nice(10);
}

/// What hears a source.
struct Ear<Now, Tell> {
    lines: Lines,
    account: Account,
    copy: Option<std::fs::File>,
    now_ns: Now,
    news: Tell,
    told: Instant,
    /// Lines and troubles that were told.
    known: (u64, usize),
    /// Time of the reading that was told.
    sampled_ns: Option<u64>,
    /// Bytes taken since then.
    spent: usize,
    since: Instant,
}

impl<Now: Fn() -> u64, Tell: FnMut(News)> Ear<Now, Tell> {
    /// Hears until the run is over, or the source: then why.
    async fn hear(&mut self, reader: &mut Reader, stop: &AtomicBool) -> Option<String> {
        let mut buffer = vec![0; 64 << 10];
        let mut data = Vec::new();
        let mut ends: Option<Instant> = None;
        loop {
            let over = stop.load(Ordering::Relaxed);
            if over {
                // A device that prints for ever does not keep a run from its end.
                let since = *ends.get_or_insert_with(Instant::now);
                if since.elapsed() >= 2 * WINDOW {
                    return None;
                }
            }
            let read = tokio::time::timeout(LOOK, reader.read(&mut buffer, &mut data)).await;
            match read {
                Ok(Ok(Read::Bytes(n))) => {
                    self.take(&data);
                    self.rest(n).await;
                }
                Ok(Ok(Read::Nothing)) if over => return None,
                Ok(Ok(Read::Nothing)) => tokio::time::sleep(LOOK).await,
                Ok(Ok(Read::Ended)) => return Some(reader.end().await),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Some(format!("broke off: {error}")),
                Err(_) if over => return None,
                Err(_) => {}
            }
            if self.told.elapsed() >= TELL {
                self.tell();
            }
        }
    }

    fn take(&mut self, data: &[u8]) {
        use std::io::Write as _;
        let now = i64::try_from((self.now_ns)()).unwrap_or(i64::MAX);
        self.account.bytes(data.len());
        if let Some(copy) = &mut self.copy
            && let Err(error) = copy.write_all(data)
        {
            self.copy = None;
            self.account.trouble(format!("--console-log is incomplete: {error}"));
        }
        let account = &mut self.account;
        self.lines.take(data, |line| account.line(now, line));
    }

    /// Waits where more than its share was taken.
    async fn rest(&mut self, bytes: usize) {
        self.spent += bytes;
        let elapsed = self.since.elapsed();
        if self.spent >= MOST / 10 && elapsed < WINDOW {
            tokio::time::sleep(WINDOW - elapsed).await;
        }
        if self.since.elapsed() >= WINDOW {
            (self.spent, self.since) = (0, Instant::now());
        }
    }

    fn at(&self) -> String {
        format!("{:.1} s", (self.now_ns)() as f64 / 1e9)
    }

    fn broke_off(&mut self, why: &str) {
        self.lines.broke_off();
        self.account.trouble(format!("at {} the console {why}", self.at()));
        self.tell();
    }

    async fn look_again(
        &mut self,
        open: impl Fn() -> io::Result<Reader>,
        stop: &AtomicBool,
    ) -> Option<Reader> {
        while !stop.load(Ordering::Relaxed) {
            if let Ok(reader) = open() {
                self.account.trouble(format!("at {} the console was back", self.at()));
                self.tell();
                return Some(reader);
            }
            tokio::time::sleep(AGAIN).await;
        }
        None
    }

    fn tell(&mut self) {
        self.tell_until(i64::try_from((self.now_ns)()).unwrap_or(i64::MAX));
    }

    /// Tells what is new by this time.
    fn tell_until(&mut self, now_ns: i64) {
        self.told = Instant::now();
        let new = self.account.news(now_ns);
        let known = self.account.so_far();
        let size = (known.lines, known.troubles.len());
        if new.is_empty() && size == self.known {
            return;
        }
        let lines = (known.lines != self.known.0).then(|| self.account.last_lines(SHOWN));
        let telemetry = self.account.reading().filter(|(at_ns, _)| self.sampled_ns != Some(*at_ns));
        self.known = size;
        self.sampled_ns = telemetry.as_ref().map(|(at_ns, _)| *at_ns).or(self.sampled_ns);
        (self.news)(News { events: new, known, lines, telemetry });
    }
}

#[cfg(all(test, unix))]
#[path = "listen_tests.rs"]
mod tests;
