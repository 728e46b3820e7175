//! When attempts succeeded and when they failed: a bounded list of episodes, run-length encoded by outcome.
//!
//! Kept apart from the series, whose rows get longer as a run does. What happens often and changes little is
//! merged first, so that the beginning of a hang or the length of an outage stays sharp in a run of weeks.

use espstress_event::{Episode, Failure};

/// The episodes of a workload.
#[derive(Clone, Debug, Default)]
pub struct Episodes {
    rows: Vec<Episode>,
}

impl Episodes {
    /// Episodes at most.
    pub(crate) const MOST: usize = 512;
    /// A failing episode is cut after this long, so that what excuses a part of it excuses only that, nanoseconds.
    const FAILING: u64 = 1_000_000_000;
    /// The latest episodes, which are never merged: what they lead to is not known yet.
    const LATEST: usize = 64;

    /// Counts one attempt that began and ended at these times, nanoseconds since the start of the run.
    pub(crate) fn attempt(&mut self, from_ns: u64, to_ns: u64, outcome: Result<(), Failure>) {
        let same = self.rows.last_mut().filter(|last| match outcome {
            Ok(()) => last.uniform() == Some(true),
            Err(_) => last.uniform() == Some(false) && to_ns.saturating_sub(last.from_ns) < Self::FAILING,
        });
        if let Some(last) = same {
            last.from_ns = last.from_ns.min(from_ns);
            last.to_ns = last.to_ns.max(to_ns);
            last.count(outcome);
            return;
        }
        self.push(Episode::of(from_ns, to_ns, outcome));
    }

    /// Takes a whole episode, later than all before it.
    pub(crate) fn push(&mut self, episode: Episode) {
        if episode.attempts == 0 {
            return;
        }
        let quiet = |e: &Episode| e.uniform() == Some(true);
        match self.rows.last_mut() {
            Some(last) if quiet(last) && quiet(&episode) => last.absorb(&episode),
            _ => self.rows.push(episode),
        }
        if self.rows.len() > Self::MOST {
            self.coarsen();
        }
    }

    /// Merges the neighbours that lose the least by it, until up to a quarter is free again.
    fn coarsen(&mut self) {
        let old = self.rows.len().saturating_sub(Self::LATEST);
        let neighbours = self.rows.get(..old).unwrap_or_default().windows(2);
        let mut costs: Vec<u64> = neighbours.map(|pair| cost(&pair[0], &pair[1])).collect();
        let wanted = (Self::MOST / 4).min(costs.len().saturating_sub(1));
        costs.select_nth_unstable(wanted);
        let limit = costs.get(wanted).copied().unwrap_or(u64::MAX);
        let mut left = Self::MOST / 4;
        let mut merged: Vec<Episode> = Vec::with_capacity(Self::MOST);
        // Of two that are cheap to merge, and have a neighbour in common, one is merged at least: half of them in all.
        for (at, row) in std::mem::take(&mut self.rows).into_iter().enumerate() {
            match merged.last_mut() {
                Some(last) if at < old && left > 0 && cost(last, &row) <= limit => {
                    last.absorb(&row);
                    left -= 1;
                }
                _ => merged.push(row),
            }
        }
        self.rows = merged;
    }

    /// In the order of time.
    #[must_use]
    pub fn rows(&self) -> &[Episode] {
        &self.rows
    }
}

/// What merging two neighbours loses: the time over which nobody can tell any more what happened when. Two of the
/// same kind lose far less than a failure that is mixed into successes.
fn cost(first: &Episode, second: &Episode) -> u64 {
    let span = second.to_ns.max(first.to_ns).saturating_sub(first.from_ns);
    if first.uniform() == second.uniform() { span / 16 } else { span }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn successes_are_one_episode_and_a_failure_begins_another() {
        let mut episodes = Episodes::default();
        (0..1_000).for_each(|n| episodes.attempt(n * S, n * S + 5, Ok(())));
        episodes.attempt(1_000 * S, 1_005 * S, Err(Failure::ReadTimeout));
        episodes.attempt(1_006 * S, 1_006 * S + 1, Ok(()));
        let spans: Vec<_> =
            episodes.rows().iter().map(|e| (e.from_ns / S, e.to_ns / S, e.attempts)).collect();
        assert_eq!(spans, [(0, 999, 1_000), (1_000, 1_005, 1), (1_006, 1_006, 1)]);
    }

    #[test]
    fn a_hang_after_a_fortnight_of_single_failures_still_has_its_beginning() {
        let mut episodes = Episodes::default();
        let hang = 14 * 86_400;
        for s in 0..hang {
            let outcome = if s % 97 == 0 { Err(Failure::ConnectTimeout) } else { Ok(()) };
            episodes.attempt(s * S, s * S + 1, outcome);
        }
        for s in hang..hang + 40 {
            episodes.attempt(s * S, (s + 5) * S, Err(Failure::ReadTimeout));
        }
        let rows = episodes.rows();
        assert!(rows.len() <= Episodes::MOST);
        let last_success = rows.iter().rposition(|e| e.succeeded > 0).unwrap();
        assert!(rows[last_success].to_ns <= hang * S);
        assert!(rows[last_success + 1].from_ns >= (hang - 97) * S, "{:?}", rows[last_success + 1]);
    }

    #[test]
    fn failures_of_many_short_outages_are_never_mixed_with_the_hours_between() {
        let mut episodes = Episodes::default();
        let (apart, attempts) = (6 * 3_600, 7..13);
        for outage in 0..120 {
            let at = outage * apart;
            let failing = attempts.start + outage % (attempts.end - attempts.start);
            for n in 0..failing {
                let from = (at + n * 5) * S;
                episodes.attempt(from, from + 5 * S, Err(Failure::ReadTimeout));
            }
            for n in failing..apart / 5 {
                let from = (at + n * 5) * S;
                episodes.attempt(from, from + 1, Ok(()));
            }
        }
        let blurred = episodes
            .rows()
            .iter()
            .find(|row| row.failures.of_device() > 0 && row.to_ns - row.from_ns > attempts.end * 5 * S);
        assert_eq!(blurred, None);
    }

    proptest! {
        #[test]
        fn no_attempt_is_lost_and_the_order_stays(outcomes in proptest::collection::vec(any::<bool>(), 0..5_000)) {
            let mut episodes = Episodes::default();
            for (n, ok) in outcomes.iter().enumerate() {
                let at = n as u64 * S / 10;
                episodes.attempt(at, at + 1, if *ok { Ok(()) } else { Err(Failure::ReadReset) });
            }
            let rows = episodes.rows();
            prop_assert!(rows.len() <= Episodes::MOST);
            prop_assert_eq!(rows.iter().map(|e| e.attempts).sum::<u64>(), outcomes.len() as u64);
            let succeeded = outcomes.iter().filter(|ok| **ok).count() as u64;
            prop_assert_eq!(rows.iter().map(|e| e.succeeded).sum::<u64>(), succeeded);
            prop_assert!(rows.windows(2).all(|pair| pair[0].from_ns <= pair[1].from_ns));
        }
    }
}
