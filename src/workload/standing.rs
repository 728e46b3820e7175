//! Times in which requests wait and none is answered. Shared by all workloads of a run; pure, the time is an argument.

use std::time::Instant;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With an answer, which came then.
    Answered(Instant),
    /// It failed, was given up, or had to wait for something else.
    Otherwise,
    /// Its request is out, and the answer is for a later attempt to wait for.
    Open,
}

/// The requests under way, whichever workload's they are.
#[derive(Debug, Default)]
pub struct Standing {
    /// How many are under way.
    waiting: u32,
    /// Since when some have been and none was answered.
    since: Option<Instant>,
    /// One has failed since then: this is no time in which all only waited.
    failed: bool,
}

impl Standing {
    /// A request begins.
    pub(crate) fn enter(&mut self, now: Instant) {
        if self.waiting == 0 {
            (self.since, self.failed) = (Some(now), false);
        }
        self.waiting += 1;
    }

    /// It ends. Since when requests had waited for an answer, where this is the first one and none failed meanwhile.
    pub(crate) fn leave(&mut self, ended: Ended) -> Option<Instant> {
        self.waiting = self.waiting.saturating_sub(1);
        match ended {
            Ended::Answered(at) => {
                let since = self.since.filter(|_| !self.failed);
                (self.since, self.failed) = (self.since.max(Some(at)), false);
                since
            }
            Ended::Otherwise => {
                self.failed = true;
                None
            }
            Ended::Open => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_time_runs_from_the_last_answer_or_from_the_first_request_where_none_was_under_way() {
        let (mut standing, start) = (Standing::default(), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        standing.enter(at(1));
        standing.enter(at(2));
        assert_eq!(standing.leave(Ended::Answered(at(3))), Some(at(1)));
        assert_eq!(standing.leave(Ended::Answered(at(7))), Some(at(3)), "the other one waited on");
        standing.enter(at(9));
        assert_eq!(
            standing.leave(Ended::Answered(at(10))),
            Some(at(9)),
            "for two seconds none was under way"
        );
    }

    #[test]
    fn a_time_in_which_one_failed_is_none_in_which_all_only_waited() {
        let (mut standing, start) = (Standing::default(), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        standing.enter(at(0));
        standing.enter(at(0));
        assert_eq!(standing.leave(Ended::Otherwise), None);
        assert_eq!(standing.leave(Ended::Answered(at(6))), None);
        standing.enter(at(7));
        assert_eq!(standing.leave(Ended::Answered(at(8))), Some(at(7)));
    }
    #[test]
    fn an_attempt_that_leaves_its_answer_to_a_later_one_says_nothing() {
        let (mut standing, start) = (Standing::default(), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        standing.enter(at(0));
        standing.enter(at(1));
        assert_eq!(standing.leave(Ended::Answered(at(9))), Some(at(0)));
        standing.enter(at(9));
        assert_eq!(standing.leave(Ended::Open), None);
        assert_eq!(standing.leave(Ended::Answered(at(10))), Some(at(9)));
    }
}
