//! What a console comes to: lines are counted, the last are kept, and of what they mean an account is made in memory that
//! does not grow with the run.

use std::collections::{BTreeMap, VecDeque};

use espstress_event::{
    Console, ConsoleEvent, Crash, DeviceSample, Frame, PowerSave, ResetReason, Said, Telemetry, Watchdog,
};
use espstress_stats::DeviceSeries;

use super::clock::{Clock, Shows, Stamp};
use super::elf::Elf;
use super::lines::Line;
use super::log_line::LogLine;
use super::parse::{
    MOST_FRAMES, Meaning, More, SOFT_REBOOT, Sample, USER_EXCEPTION, glued, is_no_memory, meaning,
};

/// Lines kept at the end.
const LAST: usize = 200;

/// Lines kept before an event, and around it in all.
const BEFORE: usize = 10;
const AROUND: usize = 20;

/// Events kept of what is told in the same words: half of them the first, half the last.
const OF_A_KEY: usize = 64;

/// Names under which events are counted, and tags; what comes beyond them has no count of its own.
const KEYS: usize = 64;

/// The same words again so soon are counted and make no event, nanoseconds.
const AGAIN_NS: i64 = 100_000_000;

/// What belongs to one crash is told within this, nanoseconds.
const ONE_CRASH_NS: i64 = 10_000_000_000;

/// What a program that only printed the words of a crash prints so long after them, nanoseconds.
const STILL_RUNS_NS: i64 = 2_000_000_000;

/// A dump follows the first line of a crash within this, nanoseconds.
const DUMP_NS: i64 = 2_000_000_000;

/// Lines of a log whose time goes on, after which what looked like a crash was none.
const GOES_ON: u32 = 2;

/// An event waits so long for the lines after it before it is told, nanoseconds.
const RIPE_NS: i64 = 1_000_000_000;

/// Two ways of telling one loss of the access point are this near, nanoseconds.
const ONE_LOSS_NS: i64 = 3_000_000_000;

/// A pattern of the user's own for heap lines.
#[derive(Debug)]
pub struct HeapLine(regex_lite::Regex);

impl std::str::FromStr for HeapLine {
    type Err = String;

    fn from_str(pattern: &str) -> Result<Self, Self::Err> {
        let regex = regex_lite::Regex::new(pattern).map_err(|error| error.to_string())?;
        let named = regex.capture_names().flatten().any(|name| name == "free");
        if !named {
            return Err(
                "it has no group named free; for example 'mem (?<free>\\d+) (?<least>\\d+)'".to_owned()
            );
        }
        Ok(Self(regex))
    }
}

impl HeapLine {
    fn read(&self, text: &str) -> Option<Sample> {
        let groups = self.0.captures(text)?;
        let number = |name| groups.name(name).and_then(|m| m.as_str().parse().ok());
        let sample = Sample {
            heap_free: number("free"),
            heap_least: number("least"),
            heap_block: number("largest"),
            ..Sample::default()
        };
        sample.heap_free.is_some().then_some(sample)
    }
}

/// An event that is being made.
#[derive(Debug)]
struct Kept {
    event: ConsoleEvent,
    key: String,
    heard_ns: i64,
    stamp: Option<Stamp>,
    /// Lines that are still to be put around it.
    wants: usize,
    told: bool,
    /// When a start was heard that it belongs to, of which it may turn out that it was none.
    start_ns: Option<i64>,
}

/// Something that ends the program, of which it is not sure yet that it did.
#[derive(Debug)]
struct Pending {
    kept: Kept,
    /// Lines since, or since its dump, by which the log's time goes on.
    lines: u32,
    /// Whether a dump followed.
    dumped: bool,
    /// Whether the program printed something a while after it.
    runs: bool,
}

/// What a console has come to so far.
#[derive(Debug, Default)]
pub struct Account {
    console: Console,
    clock: Clock,
    last_lines: VecDeque<String>,
    kept: Vec<Kept>,
    /// When the same words were told last.
    again: BTreeMap<String, i64>,
    pending: Option<Pending>,
    /// The words of a crash in the middle of a line: they count when a dump follows.
    glued: Option<Kept>,
    /// When a panic was told whose message is the next line.
    message_ns: Option<i64>,
    heap: Option<HeapLine>,
    elf: Option<Elf>,
    device: DeviceSeries,
    power_save: Option<PowerSave>,
    rssi_dbm: Option<i32>,
    /// What of the device is known when nothing else is told: whether it has an access point.
    lost_ns: Option<i64>,
}

impl Account {
    /// Of a console by this name.
    #[must_use]
    pub fn new(source: String, heap: Option<HeapLine>, elf: Option<Elf>) -> Self {
        Self { console: Console { source, ..Console::default() }, heap, elf, ..Self::default() }
    }

    pub(crate) fn bytes(&mut self, n: usize) {
        self.console.bytes += n as u64;
    }

    /// The source is in trouble, or out of it.
    pub(crate) fn trouble(&mut self, text: String) {
        if self.console.troubles.len() < 16 {
            self.console.troubles.push(text);
        }
    }

    /// Takes a line that arrived at `heard_ns`, nanoseconds since the start of the run.
    pub(crate) fn line(&mut self, heard_ns: i64, line: Line<'_>) {
        self.console.lines += 1;
        self.keep(line.text);
        if line.partial {
            return;
        }
        let read = LogLine::read(line.text);
        if let Some(level) = read.level {
            *self.console.levels.entry(level).or_default() += 1;
        }
        if let Some(tag) = read.tag {
            let tags = &mut self.console.tags;
            if let Some(n) = tags.get_mut(tag) {
                *n += 1;
            } else if tags.len() < KEYS {
                tags.insert(tag.to_owned(), 1);
            }
        }
        let shows = read.device_ms.map(|ms| self.clock.line(heard_ns, ms));
        match shows {
            Some(Shows::Anew { heard_ns: at }) => {
                let reason = self.reason_of_pending().unwrap_or(ResetReason::Unknown);
                self.confirm();
                self.lost_ns = None;
                self.note(at, None, Said::Restart { reason }, line.text);
                self.belongs_to_a_start(at, |kept| kept.heard_ns == at);
            }
            Some(Shows::NoStart { since_ns }) => {
                self.no_start(since_ns);
                self.goes_on();
            }
            Some(Shows::GoesOn) if !of_a_panic(read.tag) => self.goes_on(),
            _ => {}
        }
        let read_as = meaning(&read);
        self.take_message(heard_ns, &read, read_as.as_ref());
        if read_as.is_none()
            && let Some(said) = glued(line.text)
        {
            let key = said.key();
            self.glued = Some(self.make(heard_ns, read.device_ms, said, line.text, key));
        }
        let ends =
            matches!(read_as, Some(Meaning::Said(Said::Restart { .. }) | Meaning::More(More::Rebooting)));
        // A program that crashed says nothing more of its own.
        if let Some(pending) = self.pending.as_mut().filter(|_| !ends) {
            let after = heard_ns.saturating_sub(pending.kept.heard_ns);
            let own = matches!(read_as, None | Some(Meaning::More(More::Joined)));
            pending.runs |= own && after >= STILL_RUNS_NS;
            if after >= ONE_CRASH_NS {
                if pending.dumped { self.confirm() } else { self.pending = None }
            }
        }
        let sample = self.heap.as_ref().and_then(|own| own.read(line.text));
        match sample.map(Meaning::Sample).or(read_as) {
            Some(Meaning::Panic(said)) => {
                self.message_ns = Some(heard_ns);
                self.said(heard_ns, read.device_ms, said, line.text);
            }
            Some(Meaning::Said(said)) => self.said(heard_ns, read.device_ms, said, line.text),
            Some(Meaning::Sample(sample)) => self.sample(heard_ns, sample),
            Some(Meaning::More(More::Joined)) => self.lost_ns = None,
            Some(Meaning::More(more)) => self.more(heard_ns, more),
            None => {}
        }
    }

    /// Keeps a line among the last, and around events that want more of them.
    fn keep(&mut self, text: &str) {
        let mut line = if self.last_lines.len() == LAST {
            let mut oldest = self.last_lines.pop_front().unwrap_or_default();
            oldest.clear();
            oldest
        } else {
            String::new()
        };
        line.push_str(text);
        self.last_lines.push_back(line);
        let open =
            self.kept.iter_mut().rev().take(4).chain(self.pending.as_mut().map(|pending| &mut pending.kept));
        for kept in open.filter(|kept| kept.wants > 0) {
            kept.event.around.push(text.to_owned());
            kept.wants -= 1;
        }
    }

    fn said(&mut self, heard_ns: i64, device_ms: Option<u64>, said: Said, line: &str) {
        match said {
            Said::Restart { reason } => {
                // The reset that follows a crash is the panic handler's own, by software.
                let reason = self.reason_of_pending().unwrap_or(reason);
                self.confirm();
                // The interpreter starts anew, and the system under it goes on.
                if line != SOFT_REBOOT {
                    self.clock.starts_anew(heard_ns);
                }
                self.lost_ns = None;
                self.note(heard_ns, None, Said::Restart { reason }, line);
                self.belongs_to_a_start(heard_ns, |kept| kept.heard_ns == heard_ns);
            }
            said @ (Said::Crash { .. } | Said::Brownout | Said::Watchdog { restarts: true, .. }) => {
                if self.is_of_pending(heard_ns) {
                    self.tells_better(said, line);
                    return;
                }
                if self.ends_a_watchdog(heard_ns) {
                    return;
                }
                self.confirm();
                let key = said.key();
                let kept = self.make(heard_ns, device_ms, said, line, key);
                self.pending = Some(Pending { kept, lines: 0, dumped: false, runs: false });
            }
            Said::WifiLost { reason, name } => self.wifi_lost(heard_ns, device_ms, (reason, name), line),
            said @ (Said::WifiUp | Said::Address { .. }) => {
                self.lost_ns = None;
                self.note(heard_ns, device_ms, said, line);
            }
            said => self.note(heard_ns, device_ms, said, line),
        }
    }

    /// The driver tells a loss, and the program tells it again: the first account stays, with the better reason.
    fn wifi_lost(
        &mut self,
        heard_ns: i64,
        device_ms: Option<u64>,
        (reason, name): (Option<u16>, String),
        line: &str,
    ) {
        let again = self.lost_ns.is_some_and(|at| heard_ns.saturating_sub(at) < ONE_LOSS_NS);
        self.lost_ns = Some(heard_ns);
        if !again {
            self.note(heard_ns, device_ms, Said::WifiLost { reason, name }, line);
            return;
        }
        let Some(reason) = reason else { return };
        let lost = |kept: &&mut Kept| matches!(kept.event.said, Said::WifiLost { .. });
        let Some(kept) = self.kept.iter_mut().rev().find(lost) else { return };
        if let Said::WifiLost { reason: known @ None, name: told } = &mut kept.event.said {
            (*known, *told) = (Some(reason), name);
            kept.event.line = line.to_owned();
        }
    }

    /// What follows a crash closely belongs to it: the abort after an assertion, the assertion after a corrupt heap.
    fn is_of_pending(&self, heard_ns: i64) -> bool {
        let near = |pending: &Pending| heard_ns.saturating_sub(pending.kept.heard_ns) < ONE_CRASH_NS;
        self.pending.as_ref().is_some_and(near)
    }

    /// The ESP8266's core says first that something was wrong, and then what.
    fn tells_better(&mut self, better: Said, line: &str) {
        let Some(Pending { kept, .. }) = &mut self.pending else { return };
        if matches!(&kept.event.said, Said::Crash { cause, .. } if cause == USER_EXCEPTION) {
            (kept.event.said, kept.event.line) = (better, line.to_owned());
            kept.key = kept.event.said.key();
        }
    }

    /// The message of a panic is the line after its place.
    fn take_message(&mut self, heard_ns: i64, line: &LogLine<'_>, read_as: Option<&Meaning>) {
        let Some(at) = self.message_ns.take() else { return };
        let no_memory = matches!(read_as, Some(Meaning::Said(Said::Crash { how: Crash::NoMemory, .. })))
            || is_no_memory(line.message);
        let words = line.is_bare() && (read_as.is_none() || no_memory);
        let is_one = words && heard_ns.saturating_sub(at) < DUMP_NS;
        if let Some(Pending { kept, .. }) = &mut self.pending
            && let Said::Crash { how, cause, .. } = &mut kept.event.said
            && is_one
        {
            *cause = format!("{} {}", cause, line.message);
            if no_memory {
                *how = Crash::NoMemory;
            }
        }
    }

    /// Marks what is part of a start, as it may turn out that there was none.
    fn belongs_to_a_start(&mut self, start_ns: i64, also: impl Fn(&Kept) -> bool) {
        for kept in self.kept.iter_mut().rev().take(2) {
            let crash = !matches!(kept.event.said, Said::Restart { .. })
                && kept.event.said.ends_the_program()
                && start_ns.saturating_sub(kept.heard_ns) < ONE_CRASH_NS;
            if kept.start_ns.is_none() && (crash || also(kept)) {
                kept.start_ns = Some(start_ns);
            }
        }
    }

    /// What was taken for a start at this time or later was none, and the crash before it a text.
    fn no_start(&mut self, since_ns: i64) {
        let counts = &mut self.console.counts;
        self.kept.retain(|kept| {
            let none = kept.start_ns.is_some_and(|start| start >= since_ns);
            if none && let Some(n) = counts.get_mut(&kept.key) {
                *n = n.saturating_sub(1);
            }
            !none
        });
        self.pending = self.pending.take().filter(|pending| pending.kept.heard_ns < since_ns);
    }

    /// The task watchdog's own abort.
    fn ends_a_watchdog(&self, heard_ns: i64) -> bool {
        let Some(kept) = self.kept.last() else { return false };
        let near = heard_ns.saturating_sub(kept.heard_ns) < ONE_CRASH_NS;
        near && matches!(kept.event.said, Said::Watchdog { which: Watchdog::Task, restarts: true, .. })
    }

    fn more(&mut self, heard_ns: i64, more: More) {
        let dumps = !matches!(more, More::Frame(_));
        if let Some(kept) = self.glued.take_if(|_| dumps)
            && self.pending.is_none()
            && heard_ns.saturating_sub(kept.heard_ns) < DUMP_NS
        {
            self.pending = Some(Pending { kept, lines: 0, dumped: true, runs: false });
        }
        if let Some(Pending { kept, lines, dumped, .. }) = &mut self.pending {
            let near = heard_ns.saturating_sub(kept.heard_ns) < ONE_CRASH_NS;
            if near && add(&mut kept.event.said, &more) {
                if let Said::Crash { backtrace, .. } = &mut kept.event.said
                    && let Some(elf) = &self.elf
                {
                    elf.resolve(backtrace);
                }
                (*lines, *dumped) = (0, *dumped || dumps);
            }
            return;
        }
        if let Some(kept) =
            self.kept.last_mut().filter(|kept| heard_ns.saturating_sub(kept.heard_ns) < ONE_CRASH_NS)
        {
            add(&mut kept.event.said, &more);
            if let (Said::Crash { backtrace, .. }, Some(elf)) = (&mut kept.event.said, &self.elf) {
                elf.resolve(backtrace);
            }
        }
    }

    /// The log's time goes on: after a few such lines, what looked like a crash was a text.
    fn goes_on(&mut self) {
        self.glued = None;
        if let Some(pending) = &mut self.pending {
            pending.lines += 1;
            if pending.lines >= GOES_ON {
                self.pending = None;
            }
        }
    }

    fn reason_of_pending(&self) -> Option<ResetReason> {
        let said = match &self.pending {
            Some(pending) => &pending.kept.event.said,
            None => &self.kept.last()?.event.said,
        };
        Some(match said {
            Said::Crash { .. } => ResetReason::Panic,
            Said::Brownout => ResetReason::Brownout,
            Said::Watchdog { which: Watchdog::Task, restarts: true, .. } => ResetReason::TaskWatchdog,
            Said::Watchdog { which: Watchdog::Interrupt, .. } => ResetReason::InterruptWatchdog,
            Said::Watchdog { restarts: true, .. } => ResetReason::Watchdog,
            _ => return None,
        })
    }

    /// It was one.
    fn confirm(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.push(pending.kept);
        }
    }

    fn note(&mut self, heard_ns: i64, device_ms: Option<u64>, said: Said, line: &str) {
        let key = said.key();
        let known = self.again.len() < KEYS || self.again.contains_key(&key);
        let key = if known { key } else { "other".to_owned() };
        *self.console.counts.entry(key.clone()).or_default() += 1;
        let soon = self.again.get(&key).is_some_and(|at| heard_ns.saturating_sub(*at) < AGAIN_NS);
        // Every start is one, also when lines that waited somewhere arrive all at once.
        if soon && !matches!(said, Said::Restart { .. }) {
            return;
        }
        self.again.insert(key.clone(), heard_ns);
        let kept = self.make(heard_ns, device_ms, said, line, key);
        self.put(kept);
    }

    fn make(&self, heard_ns: i64, device_ms: Option<u64>, said: Said, line: &str, key: String) -> Kept {
        let stamp = self.clock.last();
        let first = self.last_lines.len().saturating_sub(BEFORE + 1);
        let around: Vec<String> = self.last_lines.iter().skip(first).cloned().collect();
        let at_ns = u64::try_from(self.clock.said_ns(stamp, heard_ns)).unwrap_or(0);
        let wants = AROUND.saturating_sub(around.len());
        let event = ConsoleEvent { at_ns, device_ms, said, line: line.to_owned(), around };
        Kept { event, key, heard_ns, stamp, wants, told: false, start_ns: None }
    }

    fn push(&mut self, kept: Kept) {
        *self.console.counts.entry(kept.key.clone()).or_default() += 1;
        self.put(kept);
    }

    fn put(&mut self, kept: Kept) {
        let of_key = self.kept.iter().filter(|other| other.key == kept.key).count();
        if of_key >= OF_A_KEY {
            let nth = self.kept.iter().enumerate().filter(|(_, other)| other.key == kept.key);
            if let Some(at) = nth.map(|(at, _)| at).nth(OF_A_KEY / 2) {
                self.kept.remove(at);
            }
        }
        let at = self.kept.partition_point(|other| other.heard_ns <= kept.heard_ns);
        self.kept.insert(at, kept);
    }

    fn sample(&mut self, heard_ns: i64, sample: Sample) {
        if let Some(power_save) = sample.power_save {
            self.power_save = Some(power_save);
        }
        let Ok(at_ns) = u64::try_from(self.clock.said_ns(self.clock.last(), heard_ns)) else { return };
        self.rssi_dbm = sample.rssi_dbm.or(self.rssi_dbm);
        let Some(free) = sample.heap_free else { return };
        match (self.device.collected, sample.collected) {
            // The system's own heap is told besides: that is the one that counts.
            (false, true) if self.device.samples > 0 => return,
            (true, false) => self.device = DeviceSeries::default(),
            _ => {}
        }
        self.device.collected = sample.collected;
        let telemetry = Telemetry {
            heap_free_bytes: Some(free),
            heap_min_free_bytes: sample.heap_least,
            heap_largest_block_bytes: sample.heap_block,
            wifi_rssi_dbm: self.rssi_dbm,
            wifi_power_save: self.power_save.clone(),
            ..Telemetry::default()
        };
        self.device.take(DeviceSample { asked_ns: at_ns, at_ns, telemetry });
    }

    /// Events that were not told yet, and that are whole or a second old.
    pub(crate) fn news(&mut self, now_ns: i64) -> Vec<ConsoleEvent> {
        let old = |pending: &Pending| {
            pending.dumped && now_ns.saturating_sub(pending.kept.heard_ns) >= ONE_CRASH_NS
        };
        if self.pending.as_ref().is_some_and(old) {
            self.confirm();
        }
        let ripe = |kept: &Kept| kept.wants == 0 || now_ns.saturating_sub(kept.heard_ns) >= RIPE_NS;
        let new = self.kept.iter_mut().filter(|kept| !kept.told && ripe(kept));
        new.map(|kept| {
            kept.told = true;
            kept.event.clone()
        })
        .collect()
    }

    /// What it has come to, without the lines.
    pub(crate) fn so_far(&self) -> Console {
        Console { clock: self.clock.told(), ..self.console.clone() }
    }

    /// The last lines, the newest at the end.
    pub(crate) fn last_lines(&self, most: usize) -> Vec<String> {
        let before = self.last_lines.len().saturating_sub(most);
        self.last_lines.iter().skip(before).cloned().collect()
    }

    /// The newest heap line and the like, and its time.
    pub(crate) fn reading(&self) -> Option<(u64, Telemetry)> {
        self.device.last.as_ref().map(|last| (last.at_ns, last.telemetry.clone()))
    }

    /// What it came to. What was said before the run is not in it.
    #[must_use]
    pub fn finish(mut self) -> Heard {
        if let Some(since_ns) = self.clock.doubts_a_start() {
            self.no_start(since_ns);
        }
        // Words of a crash alone, from a program that went on.
        if !self.pending.as_ref().is_some_and(|pending| pending.runs && !pending.dumped) {
            self.confirm();
        }
        let Self { mut console, clock, kept, device, last_lines, .. } = self;
        for mut kept in kept {
            let at_ns = clock.said_ns(kept.stamp, kept.heard_ns);
            match u64::try_from(at_ns) {
                Ok(at_ns) => {
                    kept.event.at_ns = at_ns;
                    console.events.push(kept.event);
                }
                Err(_) => {
                    if let Some(n) = console.counts.get_mut(&kept.key) {
                        *n = n.saturating_sub(1);
                    }
                }
            }
        }
        console.counts.retain(|_, n| *n > 0);
        console.events.sort_by_key(|event| event.at_ns);
        console.last_lines = last_lines.into();
        console.clock = clock.told();
        Heard { console, device }
    }
}

/// What a console came to.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// The account.
    pub console: Console,
    /// What the device measured of itself.
    pub device: DeviceSeries,
}

/// Whether a panic handler itself logs by this name: it does so with the time at which the program ended.
fn of_a_panic(tag: Option<&str>) -> bool {
    tag.is_some_and(|tag| tag == "task_wdt" || tag.starts_with("esp_core_dump"))
}

/// Adds to an event what was told after it; whether it is of it.
fn add(said: &mut Said, more: &More) -> bool {
    match (said, more) {
        (Said::Crash { backtrace, .. }, More::Backtrace(addresses)) => {
            if backtrace.is_empty() {
                *backtrace =
                    addresses.iter().map(|address| Frame { address: *address, place: None }).collect();
            }
            true
        }
        (Said::Crash { backtrace, .. }, More::Frame(address)) => {
            if backtrace.len() < MOST_FRAMES {
                backtrace.push(Frame { address: *address, place: None });
            }
            true
        }
        (Said::Crash { how, task, .. }, More::StackOf(name)) => {
            (*how, *task) = (espstress_event::Crash::StackOverflow, Some(name.clone()));
            true
        }
        (Said::Crash { task, .. } | Said::Watchdog { task: task @ None, .. }, More::InTask(name)) => {
            *task = Some(name.clone());
            true
        }
        // The task that runs holds the processor, unless it is the idle task.
        (Said::Watchdog { task: task @ None, .. }, More::Running(name)) if !name.starts_with("IDLE") => {
            *task = Some(name.clone());
            true
        }
        (Said::Watchdog { restarts, .. }, More::Aborting) => {
            *restarts = true;
            true
        }
        (said, More::Rebooting | More::Dump) => said.ends_the_program(),
        (Said::Watchdog { .. } | Said::Brownout, More::Backtrace(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
