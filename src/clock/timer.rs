//! A timer that is finer than the runtime's millisecond.

use std::io;
use std::time::{Duration, Instant};

/// Sleeps until an instant, to within some tens of microseconds; to a millisecond where the system has no descriptor left
/// for it.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub struct Timer {
    fd: Option<tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>>,
}

#[cfg(target_os = "linux")]
impl Timer {
    /// A timer on this thread's runtime.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it is on a runtime, which has to be there")]
    pub fn new() -> Self {
        Self { fd: Self::descriptor().ok() }
    }

    #[expect(unsafe_code, reason = "registration of a descriptor with the runtime")]
    fn descriptor() -> io::Result<tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // SAFETY: the `OwnedFd` moves into the `AsyncFd`, which keeps it open and unchanged until it is dropped.
        let fd =
            unsafe { tokio::io::unix::AsyncFd::register_with_interest(fd, tokio::io::Interest::READABLE)? };
        Ok(fd)
    }

    /// Returns at `at`, at once when that is past.
    ///
    /// # Errors
    /// When the system refuses the timer.
    pub async fn sleep_until(&mut self, at: Instant) -> io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let Some(fd) = &self.fd else {
            tokio::time::sleep_until(at.into()).await;
            return Ok(());
        };
        let value = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(fd, TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut guard = fd.readable().await?;
            let fired = guard.try_io(|fd| {
                let mut expirations = [0; 8];
                Ok(rustix::io::read(fd, &mut expirations)?)
            });
            match fired {
                Ok(result) => {
                    // Disarmed and read: what the runtime remembers would only cost the next sleep a vain read.
                    guard.clear_ready();
                    return result.map(|_| ());
                }
                Err(_would_block) => {}
            }
        }
    }

    /// Returns after `duration`.
    ///
    /// # Errors
    /// When the system refuses the timer.
    pub async fn sleep(&mut self, duration: Duration) -> io::Result<()> {
        self.sleep_until(Instant::now() + duration).await
    }
}

/// Sleeps until an instant: the runtime's timer up to the last two milliseconds, then by yielding.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub struct Timer;

#[cfg(not(target_os = "linux"))]
impl Timer {
    /// A timer on this thread's runtime.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it is on a runtime, which has to be there")]
    pub fn new() -> Self {
        Self
    }

    /// Returns at `at`, at once when that is past.
    ///
    /// # Errors
    /// Never on this system.
    pub async fn sleep_until(&mut self, at: Instant) -> io::Result<()> {
        let coarse = at.checked_sub(Duration::from_millis(2)).unwrap_or(at);
        tokio::time::sleep_until(coarse.into()).await;
        while Instant::now() < at {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Returns after `duration`.
    ///
    /// # Errors
    /// Never on this system.
    pub async fn sleep(&mut self, duration: Duration) -> io::Result<()> {
        self.sleep_until(Instant::now() + duration).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn it_never_returns_early() {
        #[cfg(target_os = "linux")]
        let without_descriptor = Timer { fd: None };
        #[cfg(not(target_os = "linux"))]
        let without_descriptor = Timer;
        for mut timer in [Timer::new(), without_descriptor] {
            for us in [1, 300, 700, 2_500] {
                let at = Instant::now() + Duration::from_micros(us);
                timer.sleep_until(at).await.unwrap();
                assert!(Instant::now() >= at, "{us} us");
            }
        }
    }
}
