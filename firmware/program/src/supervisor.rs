//! The loop: hang-ups, events of the stack, finished work, time-outs, signals, and one call.
//!
//! All state is this thread's. lwIP's threads only set a flag and ring; workers hand their results over.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::OsString;
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use espstress_lwip::{SocketError, Stack};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::calls::{Outcome, Try, Unfinished};
use crate::family::{self, End};
use crate::launch::{Launched, StartError, launch};
use crate::notify::{Call, Listener};
use crate::output::Output;
use crate::park::{Parked, SIGNAL_LOOK};
use crate::readiness;
use crate::table::{SocketId, Table};
use crate::telemetry::{Answer, Telemetry};
use crate::tracee::{self, Reach};
use crate::workers::{Finished, Work, Workers};

/// lwIP's socket numbers are below this.
const NUMBERS: usize = 256;

/// Longest wait: then orphans are reaped.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

// What epoll's events are about; sockets come after these.
const CALLS: u64 = 0;
const BELL: u64 = 1;
const EXIT: u64 = 2;
const SOCKETS: u64 = 10;

/// Events at a time.
const BATCH: usize = 128;

/// What happened.
#[derive(Debug)]
pub enum News {
    /// Somebody called the [`Waker`].
    Woken,
    /// The program listens on one more TCP port.
    Listening(SocketAddrV4),
    /// It has ended, and none of its processes is left.
    Ended(End),
}

/// Rings in the loop.
struct Bell {
    rung: EventFd,
    /// Since the loop last looked.
    ringing: AtomicBool,
    woken: AtomicBool,
    events: [AtomicBool; NUMBERS],
}

impl Bell {
    fn ring(&self) {
        if !self.ringing.swap(true, Ordering::AcqRel) {
            // Fails only when it rings already.
            let _ = self.rung.write(1);
        }
    }
}

/// Ends a wait of [`Supervisor::wait`] from another thread.
#[derive(Clone)]
pub struct Waker(Arc<Bell>);

impl Waker {
    /// Makes it give [`News::Woken`].
    pub fn wake(&self) {
        self.0.woken.store(true, Ordering::Release);
        self.0.ring();
    }
}

/// A running program, its sockets on the stack.
pub struct Supervisor {
    pub(crate) stack: Stack,
    pub(crate) listener: Listener,
    pub(crate) table: Table,
    pub(crate) reach: Reach,
    pub(crate) workers: Workers,
    pub(crate) unfinished: HashMap<u64, Unfinished>,
    /// `socket` calls that wait for a socket that is being closed.
    pub(crate) openers: VecDeque<Call>,
    /// Sockets that are being closed.
    pub(crate) closing: usize,
    pub(crate) news: VecDeque<News>,
    pub(crate) telemetry: Option<Telemetry>,
    unsupported: BTreeMap<String, u64>,
    epoll: Epoll,
    bell: Arc<Bell>,
    /// Readable when the first process has ended; epoll watches it for as long as it is open.
    _exit: OwnedFd,
    process: i32,
    output: Output,
    /// The program is ending: its sockets are closed by nobody.
    forgetting: bool,
    looked: Instant,
    reaped: Instant,
}

impl Supervisor {
    /// Starts a program, its sockets on the stack, and opens a UDP port that takes none of them. `tell` gets each line
    /// that it writes.
    ///
    /// The thread that calls this has to live as long as the program, which the kernel ends with it.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(
        stack: Stack,
        command: &[OsString],
        environment: &[(OsString, Option<OsString>)],
        telemetry: Option<(u16, Answer)>,
        tell: impl FnMut(&str) + Send + 'static,
    ) -> Result<Self, StartError> {
        let system = |what| move |error: nix::errno::Errno| StartError::System(what, error.into());
        let rung =
            EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC).map_err(system("eventfd"))?;
        let bell = Arc::new(Bell {
            rung,
            ringing: AtomicBool::new(false),
            woken: AtomicBool::new(false),
            events: [const { AtomicBool::new(false) }; NUMBERS],
        });
        let of_stack = Arc::clone(&bell);
        stack.on_socket_event(move |number| {
            if let Some(event) = of_stack.events.get(number) {
                event.store(true, Ordering::Release);
                of_stack.ring();
            }
        });
        let of_workers = Arc::clone(&bell);
        let workers = Workers::new(stack.clone(), Arc::new(move || of_workers.ring()));
        let telemetry = telemetry.map(|(port, answer)| Telemetry::open(&stack, port, answer)).transpose();
        let telemetry = telemetry.map_err(|error: SocketError| {
            StartError::System("telemetry", io::Error::other(error.to_string()))
        })?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(system("epoll"))?;
        let Launched { listener, process, exit, output } = launch(command, environment, Box::new(tell))?;
        let add = |fd: BorrowedFd<'_>, token| {
            epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token)).map_err(system("epoll"))
        };
        add(listener.as_fd(), CALLS)?;
        add(bell.rung.as_fd(), BELL)?;
        add(exit.as_fd(), EXIT)?;
        let now = Instant::now();
        Ok(Self {
            stack,
            listener,
            table: Table::default(),
            reach: Reach::default(),
            workers,
            unfinished: HashMap::new(),
            openers: VecDeque::new(),
            closing: 0,
            news: VecDeque::new(),
            telemetry,
            unsupported: BTreeMap::new(),
            epoll,
            bell,
            _exit: exit,
            process,
            output,
            forgetting: false,
            looked: now,
            reaped: now,
        })
    }

    /// Ends a wait from another thread.
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.bell))
    }

    /// What it used that the stack has not, and how often.
    pub const fn unsupported(&self) -> &BTreeMap<String, u64> {
        &self.unsupported
    }

    /// Where it listens.
    pub fn listening(&self) -> Vec<SocketAddrV4> {
        self.table.iter().filter_map(|(_, socket)| socket.listening).collect()
    }

    /// How many of the device's sockets it leaves free; one that it has just closed is free.
    pub fn free_sockets(&mut self) -> u32 {
        self.collect_hang_ups();
        let sockets = self.stack.sockets();
        let closing = u32::try_from(self.closing).unwrap_or(u32::MAX);
        sockets.limit.saturating_sub(sockets.in_use.saturating_sub(closing))
    }

    /// The last lines that it wrote.
    pub fn last_lines(&self) -> Vec<String> {
        self.output.lines()
    }

    /// The first of its processes.
    pub const fn process_id(&self) -> i32 {
        self.process
    }

    /// Memory of the program's own, all its processes together: a figure apart from the stack's heap.
    pub fn memory() -> Option<u64> {
        family::memory()
    }

    /// Ends it, as a power cut would: nothing more leaves.
    pub fn end(mut self) {
        self.table.forget_all();
        family::end_all();
    }

    /// Serves the program until something happens that is not the program's business.
    ///
    /// # Errors
    /// The kernel's: the program cannot be served any longer.
    pub fn wait(&mut self) -> io::Result<News> {
        loop {
            if let Some(news) = self.news.pop_front() {
                return Ok(news);
            }
            self.turn()?;
        }
    }

    fn turn(&mut self) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); BATCH];
        let n = match self.epoll.wait(&mut events, self.patience()) {
            Ok(n) => n,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        let (mut call, mut ended) = (false, false);
        // Hang-ups first: what was closed before a call is closed for it.
        for event in &events[..n] {
            match event.data() {
                CALLS => call = event.events().contains(EpollFlags::EPOLLIN),
                BELL => {}
                EXIT => ended = true,
                socket => self.hung_up(socket - SOCKETS),
            }
        }
        self.answer_bell();
        self.look_at_parked();
        if ended {
            let end = self.finish();
            self.news.push_back(News::Ended(end));
            return Ok(());
        }
        if call && let Some(call) = self.listener.receive()? {
            self.handle(&call);
        }
        if self.reaped.elapsed() >= LONGEST_WAIT {
            self.reaped = Instant::now();
            family::reap_orphans(self.process);
        }
        Ok(())
    }

    fn patience(&self) -> EpollTimeout {
        let mut wait = LONGEST_WAIT;
        let now = Instant::now();
        for (_, socket) in self.table.iter() {
            for parked in &socket.parked {
                wait = wait.min(SIGNAL_LOOK);
                if let Some(deadline) = parked.deadline() {
                    wait = wait.min(deadline.saturating_duration_since(now));
                }
            }
        }
        EpollTimeout::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(EpollTimeout::ZERO)
    }

    fn answer_bell(&mut self) {
        if !self.bell.ringing.load(Ordering::Acquire) {
            return;
        }
        // In this order: what rings between the two is seen below, and what rings later rings aloud.
        let _ = self.bell.rung.read();
        self.bell.ringing.swap(false, Ordering::AcqRel);
        if self.bell.woken.swap(false, Ordering::AcqRel) {
            self.news.push_back(News::Woken);
        }
        while let Ok(finished) = self.workers.finished.try_recv() {
            self.finished(finished);
        }
        for number in 0..NUMBERS {
            if self.bell.events[number].swap(false, Ordering::AcqRel)
                && let Some(id) = self.table.of_number(number)
            {
                // Who waits takes it, before others are told that there is something.
                self.retry(id);
                if let Some(socket) = self.table.get(id) {
                    readiness::mirror(socket, true);
                }
            }
        }
    }

    fn look_at_parked(&mut self) {
        let now = Instant::now();
        let look_for_signals = now.duration_since(self.looked) >= SIGNAL_LOOK;
        if look_for_signals {
            self.looked = now;
        }
        for id in self.table.ids() {
            let Some(socket) = self.table.get(id) else { continue };
            if socket.parked.is_empty() {
                continue;
            }
            if look_for_signals {
                let listener = &self.listener;
                socket.parked.retain(|parked| {
                    let signal = tracee::has_signal(parked.call.thread);
                    // One that is gone needs no answer.
                    !signal || !listener.answer(&parked.call, Err(parked.interrupted()))
                });
            }
            if socket.parked.iter().any(|parked| parked.is_late(now)) {
                self.retry(id);
            }
        }
    }

    /// Tries again what waits on a socket.
    pub(crate) fn retry(&mut self, id: SocketId) {
        let Some(socket) = self.table.get(id) else { return };
        if socket.parked.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut still = VecDeque::new();
        for parked in std::mem::take(&mut socket.parked) {
            if !self.listener.is_waited_for(&parked.call) {
                continue;
            }
            let attempt = if parked.is_late(now) { Try::Late } else { Try::Again };
            match self.perform(id, &parked.call, attempt) {
                Outcome::Wait => still.push_back(parked),
                outcome => self.conclude(&parked.call, outcome),
            }
        }
        if let Some(socket) = self.table.get(id) {
            still.append(&mut socket.parked);
            socket.parked = still;
        }
    }

    pub(crate) fn park(&mut self, id: SocketId, call: &Call, timeout: Option<Duration>) {
        if let Some(socket) = self.table.get(id) {
            socket.parked.push_back(Parked::until(*call, timeout));
        }
    }

    pub(crate) fn conclude(&self, call: &Call, outcome: Outcome) {
        match outcome {
            Outcome::Answer(result) => drop(self.listener.answer(call, result)),
            Outcome::PassOn => self.listener.pass_on(call),
            Outcome::Wait | Outcome::Taken => {}
        }
    }

    /// Watches a socket's end for the hang-up.
    pub(crate) fn watch(&mut self, id: SocketId) -> io::Result<()> {
        let Some(socket) = self.table.get(id) else { return Ok(()) };
        // The hang-up is told unasked.
        Ok(self.epoll.add(&socket.end, EpollEvent::new(EpollFlags::empty(), SOCKETS + id))?)
    }

    /// Looks for hang-ups alone.
    pub(crate) fn collect_hang_ups(&mut self) {
        let mut events = [EpollEvent::empty(); BATCH];
        let n = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        for event in events[..n].iter().filter(|event| event.data() >= SOCKETS) {
            self.hung_up(event.data() - SOCKETS);
        }
    }

    /// The last of the program's descriptors of a socket is closed.
    fn hung_up(&mut self, id: SocketId) {
        if self.forgetting || tracee::is_exiting(self.process) {
            // As a device that crashed: nothing is closed, nothing leaves.
            self.forgetting = true;
            if let Some(socket) = self.table.get(id) {
                let _ = self.epoll.delete(&socket.end);
            }
            return;
        }
        self.close(id);
    }

    /// Closes a socket on the stack.
    pub(crate) fn close(&mut self, id: SocketId) {
        let Some(socket) = self.table.remove(id) else { return };
        let _ = self.epoll.delete(&socket.end);
        for parked in &socket.parked {
            self.listener.answer(&parked.call, Err(libc::EBADF));
        }
        if socket.is_datagram() || socket.listening.is_some() {
            // These never wait; a failure leaves the socket lost, as on the device.
            let _ = socket.device.close();
            return;
        }
        let job = self.workers.start(Arc::clone(&socket.device), Work::Close);
        self.unfinished.insert(job, Unfinished::Close);
        self.closing += 1;
    }

    fn finished(&mut self, finished: Finished) {
        match self.unfinished.remove(&finished.job) {
            Some(Unfinished::Close) => {
                self.closing = self.closing.saturating_sub(1);
                for call in std::mem::take(&mut self.openers) {
                    if self.listener.is_waited_for(&call) {
                        self.handle(&call);
                    }
                }
                let listeners = self.table.iter().filter(|(_, socket)| socket.listening.is_some());
                let waiting: Vec<_> =
                    listeners.filter(|(_, socket)| !socket.parked.is_empty()).map(|(id, _)| id).collect();
                for id in waiting {
                    self.retry(id);
                }
            }
            Some(work) => self.resume(work, finished.result),
            None => {}
        }
    }

    fn finish(&mut self) -> End {
        self.forgetting = true;
        let kind = family::reap(self.process);
        self.table.forget_all();
        let left_behind = family::end_all();
        End { kind, left_behind, last_lines: self.output.last_lines() }
    }

    /// Notes what the program used and the stack has not.
    pub(crate) fn note_unsupported(&mut self, what: impl Into<String>) {
        /// Kinds kept; a program that makes them up is told apart by no more.
        const KINDS: usize = 64;
        let what = what.into();
        if self.unsupported.len() < KINDS || self.unsupported.contains_key(&what) {
            let count = self.unsupported.entry(what).or_default();
            *count = count.saturating_add(1);
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.table.forget_all();
    }
}
