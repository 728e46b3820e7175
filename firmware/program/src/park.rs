//! Calls that wait. lwIP is never waited in for these: they are tried again at each of their socket's events.

use std::time::{Duration, Instant};

use crate::notify::Call;

/// How often the callers are looked at for signals. The kernel cannot interrupt a call that is handed over (it waits
/// killably, so that no answer is lost), so this does.
pub(crate) const SIGNAL_LOOK: Duration = Duration::from_millis(20);

/// `ERESTARTSYS` (linux/errno.h): the kernel restarts the call, or makes it `EINTR`, as the handler was installed.
pub(crate) const RESTART: i32 = 512;

/// A call that waits.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) call: Call,
    deadline: Option<Instant>,
}

impl Parked {
    pub(crate) fn until(call: Call, timeout: Option<Duration>) -> Self {
        Self { call, deadline: timeout.map(|timeout| Instant::now() + timeout) }
    }

    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(crate) fn is_late(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// What an interrupted call answers: with a time-out it cannot be restarted (signal(7)).
    pub(crate) const fn interrupted(&self) -> i32 {
        if self.deadline.is_some() { libc::EINTR } else { RESTART }
    }
}
