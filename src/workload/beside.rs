//! What other workloads meet while a client is slow on purpose. Shared by all workloads of a run; pure, the time is an
//! argument.

use std::time::{Duration, Instant};

use espstress_event::SlowSpan;

/// An attempt that begins within this after the last one failed goes on waiting for what that one waited for.
const FOLLOWS: Duration = Duration::from_secs(1);

/// Attempts of workloads that are not slow, and the slow clients that they are beside.
#[derive(Debug, Default)]
pub struct Beside {
    /// Attempts under way.
    waiting: u32,
    /// Since when attempts have waited, or failed one after the other, while none was served; `None` where none does.
    since: Option<Instant>,
    /// When the last one failed; no other has waited since.
    failed: Option<Instant>,
    slow: Vec<Open>,
    next: u64,
}

/// A slow client that is not done.
#[derive(Debug)]
struct Open {
    id: u64,
    from: Instant,
    served: u64,
    served_at: Option<Instant>,
    waited: Option<Duration>,
    /// When another attempt began or ended last.
    asked: Option<Instant>,
}

impl Open {
    fn note(&mut self, since: Option<Instant>, now: Instant) {
        let Some(since) = since else { return };
        let waited = now.saturating_duration_since(since.max(self.from));
        self.waited = self.waited.max(Some(waited));
    }
}

impl Beside {
    /// Another workload's attempt begins. It waits where the one before it failed, if it follows on that.
    pub(crate) fn enter(&mut self, now: Instant) {
        let failed = self.failed.take().filter(|_| self.waiting == 0);
        if failed.is_some_and(|failed| now.saturating_duration_since(failed) > FOLLOWS) {
            self.since = None;
        }
        self.since.get_or_insert(now);
        self.waiting += 1;
        self.slow.iter_mut().for_each(|open| open.asked = Some(now));
    }

    /// It ends.
    pub(crate) fn leave(&mut self, served: bool, now: Instant) {
        self.waiting = self.waiting.saturating_sub(1);
        for open in &mut self.slow {
            open.note(self.since, now);
            open.served += u64::from(served);
            open.served_at = if served { Some(now) } else { open.served_at };
            open.asked = Some(now);
        }
        match (self.waiting, served) {
            (0, true) => self.since = None,
            (0, false) => self.failed = Some(now),
            (_, true) => self.since = Some(now),
            (_, false) => {}
        }
    }

    /// A client begins to be slow; the number is for [`Beside::end`].
    pub(crate) fn begin(&mut self, now: Instant) -> u64 {
        self.next += 1;
        self.slow.push(Open {
            id: self.next,
            from: now,
            served: 0,
            served_at: None,
            waited: None,
            asked: None,
        });
        self.next
    }

    /// It is done, or was given up.
    pub(crate) fn end(&mut self, id: u64, now: Instant) -> Option<SlowSpan> {
        let at = self.slow.iter().position(|open| open.id == id)?;
        let mut open = self.slow.swap_remove(at);
        let last = self.failed.filter(|_| self.waiting == 0);
        open.note(self.since, last.unwrap_or(now));
        let length = now.saturating_duration_since(open.from);
        // Others that had ended before say little of a client that was slow for longer.
        if self.waiting == 0 && open.asked.is_none_or(|asked| asked < open.from + length / 2) {
            open.waited = None;
        }
        let waiting = self.since.filter(|_| self.waiting > 0);
        let waiting = waiting.map(|since| now.saturating_duration_since(since.max(open.from)));
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Some(SlowSpan {
            length_ms: ms(length),
            others_served: open.served,
            others_waited_ms: open.waited.map(ms),
            others_waiting_ms: waiting.map(ms),
            others_served_until_ms: open.served_at.map(|at| ms(at.saturating_duration_since(open.from))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    /// One at whose end nobody waits, and in which none was served.
    fn span(length_ms: u64, others_served: u64, others_waited_ms: Option<u64>) -> Option<SlowSpan> {
        Some(SlowSpan { length_ms, others_served, others_waited_ms, ..SlowSpan::default() })
    }

    fn until(span: Option<SlowSpan>, served_ms: u64) -> Option<SlowSpan> {
        span.map(|span| SlowSpan { others_served_until_ms: Some(served_ms), ..span })
    }

    fn still(span: Option<SlowSpan>, waiting_ms: u64) -> Option<SlowSpan> {
        span.map(|span| SlowSpan { others_waiting_ms: Some(waiting_ms), ..span })
    }

    #[test]
    fn others_that_wait_until_the_slow_one_is_done_have_waited_all_its_time() {
        let (mut beside, t) = (Beside::default(), Instant::now());
        beside.enter(t);
        let id = beside.begin(after(t, 100));
        beside.enter(after(t, 200));
        assert_eq!(beside.end(id, after(t, 2_100)), still(span(2_000, 0, Some(2_000)), 2_000));
        beside.leave(true, after(t, 2_101));
        beside.leave(true, after(t, 2_102));
        assert_eq!((beside.waiting, beside.since), (0, None));
    }

    #[test]
    fn others_that_are_served_meanwhile_have_waited_as_long_as_the_longest_of_them() {
        let (mut beside, t) = (Beside::default(), Instant::now());
        let id = beside.begin(t);
        for n in 0..10 {
            beside.enter(after(t, n * 200));
            beside.leave(true, after(t, n * 200 + n));
        }
        assert_eq!(beside.end(id, after(t, 2_000)), until(span(2_000, 10, Some(9)), 1_809));
    }

    #[test]
    fn whoever_waits_at_the_end_has_done_so_since_the_last_one_was_served() {
        let (mut beside, t) = (Beside::default(), Instant::now());
        let id = beside.begin(t);
        beside.enter(t);
        beside.leave(true, after(t, 700));
        beside.enter(after(t, 800));
        assert_eq!(beside.end(id, after(t, 1_000)), until(still(span(1_000, 1, Some(700)), 200), 700));
    }

    #[test]
    fn attempts_that_fail_end_no_waiting_of_others() {
        let (mut beside, t) = (Beside::default(), Instant::now());
        let id = beside.begin(t);
        (0..5).for_each(|n| beside.enter(after(t, n * 1_000)));
        (0..4).for_each(|n| beside.leave(false, after(t, (n + 5) * 1_000)));
        assert_eq!(beside.end(id, after(t, 9_500)), still(span(9_500, 0, Some(9_500)), 9_500));
    }

    #[test]
    fn attempts_that_fail_one_after_the_other_have_waited_together() {
        let (mut beside, t) = (Beside::default(), Instant::now());
        let id = beside.begin(t);
        for n in 0..4 {
            beside.enter(after(t, n * 500));
            beside.leave(false, after(t, n * 500 + 450));
        }
        assert_eq!(beside.end(id, after(t, 3_000)), span(3_000, 0, Some(1_950)));
        let id = beside.begin(after(t, 3_000));
        beside.enter(after(t, 4_000));
        let waiting = still(span(2_000, 0, Some(1_000)), 1_000);
        assert_eq!(beside.end(id, after(t, 5_000)), waiting, "nobody asked in between");
    }

    #[test]
    fn others_that_had_ended_before_its_second_half_say_nothing() {
        let (mut beside, t) = (Beside::default(), Instant::now());
        let id = beside.begin(t);
        beside.enter(t);
        beside.leave(true, after(t, 1));
        assert_eq!(beside.end(id, after(t, 1_000)), until(span(1_000, 1, None), 1));
    }

    #[test]
    fn where_nobody_else_asks_nobody_waits() {
        let (mut beside, t) = (Beside::default(), Instant::now());
        let id = beside.begin(t);
        assert_eq!(beside.end(id, after(t, 1_000)), span(1_000, 0, None));
        assert_eq!(beside.end(id, after(t, 1_000)), None);
    }
}
