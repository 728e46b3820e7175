//! Between the TAP device and the stack: the link model at work.
//!
//! Frames of the host come in by a thread of this module, and frames of the device by a thread of its stack. What the
//! link lets through at once goes on at once, in the thread that brought it; the rest is handed on by this module's
//! thread when it is due.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use espstress_device::telemetry::{DisconnectReason, PowerSave as StationPowerSave, Wifi};
use espstress_lwip::{Dropped, Stack};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;

use crate::clock;
use crate::control::Reporter;
use crate::link::{Direction, Link, LinkEvent, LinkSpec, OutageCause, Passage, PowerSave};
use crate::protocol::{Frames, Report};
use crate::silence::Silences;

/// A full Ethernet frame and some more, so that an oversized one is seen as such.
const FRAME_ROOM: usize = 2_048;

/// Frames taken from the TAP device before due ones have their turn.
const FRAMES_AT_ONCE: usize = 64;

/// A Wi-Fi driver keeps some frames while the stack's mailbox is full; so long and in such steps.
const MAILBOX_PATIENCE: u32 = 40;
const MAILBOX_STEP: Duration = Duration::from_micros(50);

/// The stack's end of the link.
pub(crate) trait Station {
    /// Takes a frame, from this module's thread.
    fn input(&self, frame: &[u8]) -> Result<(), Dropped>;
}

impl Station for Stack {
    fn input(&self, frame: &[u8]) -> Result<(), Dropped> {
        Self::input(self, frame)
    }
}

struct Guarded {
    link: Link,
    silences: Silences,
    origin_ns: u64,
    /// Until when the thread sleeps; an earlier frame has to wake it.
    sleeps_until_ns: u64,
}

/// The link of this process, with both its ends.
pub(crate) struct Air {
    guarded: Mutex<Guarded>,
    wire: OwnedFd,
    wake: EventFd,
    reporter: Arc<Reporter>,
    disconnects: AtomicU32,
    /// Whether the link carries anything.
    is_up: AtomicBool,
    /// Number of the last reason, 0 for none.
    last_reason: AtomicU32,
    dropped_no_memory: AtomicU64,
    dropped_mailbox_full: AtomicU64,
}

impl Air {
    /// `wire` is the TAP device or packet socket, not blocking.
    pub(crate) fn new(
        link: Link,
        origin_ns: u64,
        wire: OwnedFd,
        reporter: Arc<Reporter>,
    ) -> io::Result<Self> {
        Ok(Self {
            guarded: Mutex::new(Guarded {
                link,
                silences: Silences::default(),
                origin_ns,
                sleeps_until_ns: 0,
            }),
            wire,
            wake: EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
            reporter,
            disconnects: AtomicU32::new(0),
            is_up: AtomicBool::new(true),
            last_reason: AtomicU32::new(0),
            dropped_no_memory: AtomicU64::new(0),
            dropped_mailbox_full: AtomicU64::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Guarded> {
        self.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The host's end.
    pub(crate) fn wire(&self) -> BorrowedFd<'_> {
        self.wire.as_fd()
    }

    /// The link in force, and where its plans count from.
    pub(crate) fn spec(&self) -> (LinkSpec, u64) {
        let guarded = self.lock();
        (guarded.link.spec().clone(), guarded.origin_ns)
    }

    /// Changes the link.
    pub(crate) fn set_spec(&self, spec: LinkSpec) {
        let mut guarded = self.lock();
        let now = clock::now_ns();
        if spec.outages != guarded.link.spec().outages {
            guarded.origin_ns = now;
        }
        guarded.link.set_spec(spec, now);
        drop(guarded);
        self.wake();
    }

    /// Switches power save as the device asks for it.
    pub(crate) fn set_power_save(&self, mode: StationPowerSave) {
        let (mut spec, _) = self.spec();
        spec.power_save = match mode {
            StationPowerSave::None => PowerSave::None,
            StationPowerSave::MinModem => PowerSave::MinModem,
            StationPowerSave::MaxModem => PowerSave::MaxModem,
        };
        self.set_spec(spec);
    }

    /// Takes the link down for so long.
    pub(crate) fn start_outage(&self, length_ns: u64) {
        let mut guarded = self.lock();
        guarded.link.start_outage(length_ns, clock::now_ns());
        drop(guarded);
        self.wake();
    }

    /// Carries nothing of that port of the host any more, but for RSTs to it; a restart of the twin forgets it.
    pub(crate) fn silence(&self, port: u16) {
        self.lock().silences.begin(port);
    }

    /// Carries it again.
    pub(crate) fn hear(&self, port: u16) {
        self.lock().silences.end(port);
    }

    /// What became of the frames.
    pub(crate) fn frames(&self) -> Frames {
        let guarded = self.lock();
        Frames {
            to_device: *guarded.link.counters(Direction::ToDevice),
            to_host: *guarded.link.counters(Direction::ToHost),
            dropped_no_memory: self.dropped_no_memory.load(Ordering::Relaxed),
            dropped_mailbox_full: self.dropped_mailbox_full.load(Ordering::Relaxed),
        }
    }

    /// The station, as telemetry shows it. There is no signal to be strong.
    pub(crate) fn wifi(&self) -> Wifi {
        let reason = u8::try_from(self.last_reason.load(Ordering::Relaxed)).unwrap_or(0);
        Wifi {
            rssi_dbm: None,
            disconnects: self.disconnects.load(Ordering::Relaxed),
            last_reason: (reason > 0).then_some(DisconnectReason(reason)),
            power_save: match self.lock().link.spec().power_save {
                PowerSave::None => StationPowerSave::None,
                PowerSave::MinModem => StationPowerSave::MinModem,
                PowerSave::MaxModem => StationPowerSave::MaxModem,
            },
        }
    }

    /// Whether the station is associated: not in an outage.
    pub(crate) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    /// Takes a frame of the device, in its stack's thread.
    pub(crate) fn take_out(&self, frame: &[u8]) {
        let mut guarded = self.lock();
        if guarded.silences.hold_back(Direction::ToHost, frame) {
            return;
        }
        if guarded.link.push(Direction::ToHost, frame, clock::now_ns()) == Passage::Through {
            // Under the lock, so that no frame overtakes one that the other thread is writing.
            self.to_host(frame);
        }
        let due = guarded.link.next_due_ns();
        let wanted = due.is_some_and(|due| due < guarded.sleeps_until_ns);
        drop(guarded);
        if wanted {
            self.wake();
        }
    }

    fn wake(&self) {
        // Fails only when it is signalled already.
        let _ = self.wake.write(1);
    }

    fn to_host(&self, frame: &[u8]) {
        // A host that does not take a frame loses it, as any receiver may.
        let _ = nix::unistd::write(&self.wire, frame);
    }

    fn to_device(&self, station: &impl Station, frame: &[u8]) {
        for _ in 0..MAILBOX_PATIENCE {
            match station.input(frame) {
                Ok(()) | Err(Dropped::Malformed) => return,
                Err(Dropped::NoMemory) => {
                    self.dropped_no_memory.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Err(Dropped::MailboxFull) => std::thread::sleep(MAILBOX_STEP),
            }
        }
        self.dropped_mailbox_full.fetch_add(1, Ordering::Relaxed);
    }

    /// The thread: for ever, or until the TAP device is gone.
    pub(crate) fn run(&self, station: &impl Station) -> io::Error {
        // Timers of microseconds, where the default slack is 50.
        let _ = nix::sys::prctl::set_timerslack(1);
        let mut frame = [0; FRAME_ROOM];
        loop {
            let due = self.hand_on(station, &mut frame);
            let timeout = due.map(|due| Duration::from_nanos(due.saturating_sub(clock::now_ns())));
            let mut fds = [
                PollFd::new(self.wire(), PollFlags::POLLIN),
                PollFd::new(self.wake.as_fd(), PollFlags::POLLIN),
            ];
            match nix::poll::ppoll(&mut fds, timeout.map(TimeSpec::from), None) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return error.into(),
            }
            let [wire, wake] = fds.map(|fd| fd.any().unwrap_or(true));
            if wake {
                // Empty when the wake was for the moment before the sleep.
                let _ = self.wake.read();
            }
            if wire && let Err(error) = self.take_in(station, &mut frame) {
                return error;
            }
        }
    }

    /// Hands on what is due, and says when there is more.
    fn hand_on(&self, station: &impl Station, scratch: &mut [u8; FRAME_ROOM]) -> Option<u64> {
        loop {
            let mut guarded = self.lock();
            let now = clock::now_ns();
            let mut len = None;
            while let Some((direction, bytes)) = guarded.link.poll(now) {
                match direction {
                    Direction::ToHost => self.to_host(bytes),
                    Direction::ToDevice => {
                        let space = &mut scratch[..bytes.len().min(FRAME_ROOM)];
                        space.copy_from_slice(&bytes[..space.len()]);
                        len = Some(space.len());
                        break;
                    }
                }
            }
            let event = guarded.link.poll_event();
            let due = guarded.link.next_due_ns();
            guarded.sleeps_until_ns = due.unwrap_or(u64::MAX);
            drop(guarded);
            if let Some(len) = len {
                self.to_device(station, &scratch[..len]);
            }
            if let Some(event) = event {
                self.tell(event);
            }
            if len.is_none() && event.is_none() {
                return due;
            }
        }
    }

    /// Takes frames of the host.
    fn take_in(&self, station: &impl Station, frame: &mut [u8; FRAME_ROOM]) -> io::Result<()> {
        for _ in 0..FRAMES_AT_ONCE {
            let len = match nix::unistd::read(&self.wire, frame) {
                Ok(len) => len,
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let frame = &frame[..len];
            let mut guarded = self.lock();
            if guarded.silences.hold_back(Direction::ToDevice, frame) {
                continue;
            }
            let passage = guarded.link.push(Direction::ToDevice, frame, clock::now_ns());
            drop(guarded);
            if passage == Passage::Through {
                self.to_device(station, frame);
            }
        }
        Ok(())
    }

    /// Counts and reports a change of the link's state.
    pub(crate) fn tell(&self, event: LinkEvent) {
        self.reporter.report(&match event {
            LinkEvent::Down { at_ns, cause } => {
                self.disconnects.fetch_add(1, Ordering::Relaxed);
                self.is_up.store(false, Ordering::Relaxed);
                // BEACON_TIMEOUT, ASSOC_LEAVE
                let reason = match cause {
                    OutageCause::Planned => 200,
                    OutageCause::Asked => 8,
                };
                self.last_reason.store(reason, Ordering::Relaxed);
                Report::OutageBegan { at: clock::moment(at_ns), cause }
            }
            LinkEvent::Up { at_ns } => {
                self.is_up.store(true, Ordering::Relaxed);
                Report::OutageEnded { at: clock::moment(at_ns) }
            }
        });
    }
}
