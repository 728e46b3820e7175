//! Whether the machine lets the load run when it wants to: a task beside the workloads sleeps a little, again and
//! again, and sees how late it wakes.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinHandle;

use crate::clock::nanos;
use crate::diagnose::{HostEvidence, Stalls as Found};

/// How long the task sleeps.
const STEP: Duration = Duration::from_millis(20);

/// Lateness from here on is a stall: far above what a scheduler's time slices do to a machine in use.
const STALL: Duration = Duration::from_millis(50);

/// The task, on the thread of the workloads.
pub(super) struct Stalls {
    found: Rc<Cell<Found>>,
    task: JoinHandle<()>,
    began: Instant,
    /// Processor time of this thread until then, nanoseconds.
    used_ns: u64,
}

impl Stalls {
    /// Begins; to be called on the thread of the workloads, within its local set.
    pub(super) fn watch() -> Self {
        let found = Rc::new(Cell::new(Found::default()));
        let task = tokio::task::spawn_local({
            let found = Rc::clone(&found);
            async move {
                loop {
                    let due = Instant::now() + STEP;
                    tokio::time::sleep_until(due.into()).await;
                    found.set(with(found.get(), due.elapsed()));
                }
            }
        });
        Self { found, task, began: Instant::now(), used_ns: thread_time_ns() }
    }

    /// Ends, and says how the machine fared; `slow_connects` were counted elsewhere.
    pub(super) fn host(self, slow_connects: u64) -> HostEvidence {
        self.task.abort();
        let wall = nanos(self.began.elapsed()).max(1);
        let used = thread_time_ns().saturating_sub(self.used_ns);
        HostEvidence {
            cpu_busy: Some(used as f64 / wall as f64),
            slow_connects: Some(slow_connects),
            stalls: Some(self.found.get()),
        }
    }
}

/// One waking more, so late.
fn with(found: Found, late: Duration) -> Found {
    if late < STALL {
        return found;
    }
    Found {
        count: found.count + 1,
        longest_ns: found.longest_ns.max(nanos(late)),
        total_ns: found.total_ns.saturating_add(nanos(late)),
    }
}

/// Processor time of the calling thread, nanoseconds.
fn thread_time_ns() -> u64 {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    let part = |n: i64| u64::try_from(n).unwrap_or(0);
    part(used.tv_sec) * 1_000_000_000 + part(used.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_far_too_late_is_a_stall() {
        let mut found = Found::default();
        for ms in [0, 3, 49, 70, 400, 12] {
            found = with(found, Duration::from_millis(ms));
        }
        assert_eq!(found, Found { count: 2, longest_ns: 400_000_000, total_ns: 470_000_000 });
    }

    #[test]
    fn a_thread_that_is_held_up_is_seen_to_stall() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        let host = local.block_on(&runtime, async {
            let stalls = Stalls::watch();
            tokio::time::sleep(STEP).await;
            std::thread::sleep(Duration::from_millis(300));
            tokio::time::sleep(STEP * 3).await;
            stalls.host(3)
        });
        assert_eq!(host.slow_connects, Some(3));
        assert!(host.stalls.is_some_and(|s| s.count >= 1 && s.longest_ns >= 250_000_000), "{host:?}");
        assert!(host.cpu_busy.is_some_and(|busy| busy < 0.9), "{host:?}");
    }
}
