//! Whether the machine lets the load run when it wants to: a task beside the workloads sleeps a little, again and
//! again, and sees how late it wakes.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinHandle;

use espstress_clock::{Clock, STALL, nanos};
use espstress_diagnose::{HostEvidence, Stalls as Sums, StoodStill};

/// How long the task sleeps.
const STEP: Duration = Duration::from_millis(20);

/// From here on it is remembered when it was: probes and heartbeats go unanswered in it.
const LONG: Duration = Duration::from_millis(200);

/// Long ones that are remembered at most; of more, the longest.
const MOST: usize = 256;

/// What was seen so far.
#[derive(Debug, Default)]
struct Found {
    sums: Sums,
    long: Vec<StoodStill>,
}

/// The task, on the thread of the workloads.
pub(super) struct Stalls {
    found: Rc<RefCell<Found>>,
    task: JoinHandle<()>,
    began: Instant,
    /// Processor time of this thread until then, nanoseconds.
    used_ns: u64,
}

impl Stalls {
    /// Begins; to be called on the thread of the workloads, within its local set.
    pub(super) fn watch(clock: Clock) -> Self {
        let found = Rc::new(RefCell::new(Found::default()));
        let task = tokio::task::spawn_local({
            let found = Rc::clone(&found);
            async move {
                loop {
                    let due = Instant::now() + STEP;
                    tokio::time::sleep_until(due.into()).await;
                    found.borrow_mut().woken(clock.at_ns(due), due.elapsed());
                }
            }
        });
        Self { found, task, began: Instant::now(), used_ns: thread_time_ns() }
    }

    /// Ends, and says how the machine fared; `slow_connects` were counted elsewhere.
    pub(super) fn host(self, slow_connects: u64) -> HostEvidence {
        self.task.abort();
        let found = self.found.take();
        let wall = nanos(self.began.elapsed()).max(1);
        let used = thread_time_ns().saturating_sub(self.used_ns);
        HostEvidence {
            cpu_busy: Some(used as f64 / wall as f64),
            slow_connects: Some(slow_connects),
            stalls: Some(found.sums),
            stood_still: found.long,
        }
    }
}

impl Found {
    /// One waking more, due at `due_ns` and so late.
    fn woken(&mut self, due_ns: u64, late: Duration) {
        if late < STALL {
            return;
        }
        self.sums.count += 1;
        self.sums.longest_ns = self.sums.longest_ns.max(nanos(late));
        self.sums.total_ns = self.sums.total_ns.saturating_add(nanos(late));
        if late >= LONG {
            self.long.push(StoodStill { from_ns: due_ns, to_ns: due_ns.saturating_add(nanos(late)) });
        }
        if self.long.len() > MOST {
            let length = |spell: &StoodStill| spell.to_ns - spell.from_ns;
            let shortest = (0..self.long.len()).min_by_key(|&at| length(&self.long[at]));
            shortest.map(|at| self.long.remove(at));
        }
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

    fn found(late_ms: impl IntoIterator<Item = u64>) -> Found {
        let mut found = Found::default();
        for (due, ms) in (0..).zip(late_ms) {
            found.woken(due * 1_000_000_000_000, Duration::from_millis(ms));
        }
        found
    }

    #[test]
    fn only_what_is_far_too_late_is_a_stall() {
        let found = found([0, 3, 49, 70, 400, 12]);
        assert_eq!(found.sums, Sums { count: 2, longest_ns: 400_000_000, total_ns: 470_000_000 });
        let long = StoodStill { from_ns: 4_000_000_000_000, to_ns: 4_000_400_000_000 };
        assert_eq!(found.long, [long]);
    }

    #[test]
    fn of_many_long_ones_the_longest_are_remembered_in_their_order() {
        let long = found((0..2_000).map(|n| 200 + n * 7 % 2_000)).long;
        assert_eq!(long.len(), MOST);
        assert!(long.iter().all(|spell| spell.to_ns - spell.from_ns >= 1_900_000_000), "{long:?}");
        assert!(long.is_sorted_by_key(|spell| spell.from_ns));
    }

    #[test]
    fn a_thread_that_is_held_up_is_seen_to_stall() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        let host = local.block_on(&runtime, async {
            let stalls = Stalls::watch(Clock::start());
            tokio::time::sleep(STEP).await;
            std::thread::sleep(Duration::from_millis(300));
            tokio::time::sleep(STEP * 3).await;
            stalls.host(3)
        });
        assert_eq!(host.slow_connects, Some(3));
        assert!(host.stalls.is_some_and(|s| s.count >= 1 && s.longest_ns >= 250_000_000), "{host:?}");
        assert!(host.stood_still.iter().any(|s| s.to_ns - s.from_ns >= 250_000_000), "{host:?}");
        assert!(host.cpu_busy.is_some_and(|busy| busy < 0.9), "{host:?}");
    }
}
