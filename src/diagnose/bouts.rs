//! Bouts: stretches of a workload in which attempts failed and nothing was served, told from failures beside
//! successes.
//!
//! A program that hangs serves nobody for a time, and perhaps everybody again after it. A queue that is too short, or a
//! path that loses segments, fails some while others are served. The difference is in the order of ends: what ended
//! in a bout ended with no success before it since the attempt began.

use super::facts::{of_program, silent_probes};
use super::intervals::Intervals;
use super::{Evidence, WorkloadEvidence};
use espstress_event::{Episode, Failure, FailureCounts};

/// A stretch in which nothing was served. Times are nanoseconds since the start of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bout {
    /// Since when: the last success before it, or the beginning of the first attempt in it.
    pub(super) from_ns: u64,
    /// The last success before it: how long before its beginning the program may have stopped. `None` where there was none.
    pub(super) served_ns: Option<u64>,
    /// When the last attempt of it ended.
    pub(super) to_ns: u64,
    /// Its failures that no interval excuses.
    pub(super) failures: FailureCounts,
    /// The shortest wait in it: of the attempts that ended together in its quickest episode.
    pub(super) wait_ns: u64,
    /// Whether nothing was served after it.
    pub(super) is_last: bool,
}

/// How a workload went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Course {
    /// In the order of time.
    pub(super) bouts: Vec<Bout>,
    /// Failures beside successes that no interval excuses.
    pub(super) beside: FailureCounts,
}

/// How a workload went, without what intervals excuse.
pub(super) fn course(e: &Evidence<'_>, w: &WorkloadEvidence) -> Course {
    let intervals = Intervals::of(e);
    let mut bouts: Vec<Bout> = Vec::new();
    let mut rest: Vec<(&Episode, FailureCounts)> = Vec::new();
    let (mut served_ns, mut going_on) = (None::<u64>, false);
    for episode in &w.episodes {
        let left = of_program(e, w, intervals.left(episode));
        if left.of_device() > 0 {
            let dark_from = episode.from_ns.max(served_ns.unwrap_or(0));
            let dark = episode.to_ns.saturating_sub(dark_from);
            let is_dark = episode.succeeded == 0
                && dark.saturating_mul(2) >= episode.to_ns.saturating_sub(episode.from_ns);
            match bouts.last_mut().filter(|_| going_on) {
                _ if !is_dark => rest.push((episode, left)),
                Some(bout) => {
                    bout.to_ns = bout.to_ns.max(episode.to_ns);
                    bout.wait_ns = bout.wait_ns.min(episode.to_ns.saturating_sub(episode.from_ns));
                    bout.failures.merge(&left);
                }
                None => {
                    let (from_ns, to_ns) = (dark_from, episode.to_ns);
                    let wait_ns = to_ns.saturating_sub(episode.from_ns);
                    bouts.push(Bout { from_ns, served_ns, to_ns, failures: left, wait_ns, is_last: true });
                    going_on = true;
                }
            }
        }
        if episode.succeeded > 0 {
            served_ns = served_ns.max(Some(episode.to_ns));
            going_on = false;
            bouts.iter_mut().for_each(|bout| bout.is_last = false);
        }
    }
    // What began in a bout and ended just after it is of the bout as well.
    let mut beside = FailureCounts::default();
    for (episode, left) in rest {
        let length = episode.to_ns.saturating_sub(episode.from_ns);
        let common = |b: &Bout| b.to_ns.min(episode.to_ns).saturating_sub(b.from_ns.max(episode.from_ns));
        let home = bouts.iter_mut().find(|b| length > 0 && common(b).saturating_mul(2) >= length);
        home.map_or(&mut beside, |bout| &mut bout.failures).merge(&left);
    }
    Course { bouts, beside }
}

/// No answer in time, at whatever stage: what a program that hangs, and a stack without room, look like.
pub(super) const SLOW: [Failure; 3] = [Failure::ConnectTimeout, Failure::ReadTimeout, Failure::WriteTimeout];

impl Bout {
    /// Its failures of some kinds.
    pub(super) fn count(&self, kinds: &[Failure]) -> u64 {
        kinds.iter().fold(0, |n, f| n.saturating_add(self.failures.get(*f)))
    }

    /// Whether most of its failures are answers that did not come.
    pub(super) fn is_slow(&self) -> bool {
        self.count(&SLOW).saturating_mul(2) > self.failures.of_device()
    }

    /// Whether the device's program sent nothing for as long as its clients waited; `None` without a capture. One that is
    /// only slow comes to its clients one by one, also to those that have given up.
    pub(super) fn program_is_idle(&self, e: &Evidence<'_>) -> Option<bool> {
        e.idle.as_ref().map(|idle| {
            idle.iter().any(|q| {
                let common = q.to_ns.min(self.to_ns).saturating_sub(q.from_ns.max(self.from_ns));
                // Between the program's last word and the first attempt that waits in vain.
                common >= self.wait_ns / 10 * 9
            })
        })
    }

    /// Whether the device's stack answered probes in it; `None` where nobody asked.
    pub(super) fn stack_answers(&self, e: &Evidence<'_>) -> Option<bool> {
        let length = self.to_ns.saturating_sub(self.from_ns);
        silent_probes(e).map(|silences| {
            let silent = silences.iter().fold(0_u64, |sum, s| {
                let to = s.to_ns.unwrap_or(u64::MAX).min(self.to_ns);
                sum.saturating_add(to.saturating_sub(s.from_ns.max(self.from_ns)))
            });
            silent.saturating_mul(2) < length.max(1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn attempt(from: u64, to: u64, outcome: Result<(), Failure>) -> Episode {
        Episode::of(from * S / 10, to * S / 10, outcome)
    }

    fn of(episodes: Vec<Episode>) -> Course {
        let w = WorkloadEvidence { episodes, ..WorkloadEvidence::default() };
        course(&Evidence { duration_ns: 600 * S, ..Evidence::default() }, &w)
    }

    #[test]
    fn a_stretch_without_a_success_is_a_bout_and_what_follows_it_is_known() {
        let late = Err(Failure::ReadTimeout);
        let c = of(vec![
            attempt(0, 100, Ok(())),
            attempt(99, 150, late),
            attempt(150, 200, late),
            attempt(200, 201, Ok(())),
        ]);
        assert_eq!(c.bouts.len(), 1, "{c:?}");
        assert_eq!((c.bouts[0].from_ns, c.bouts[0].to_ns, c.bouts[0].is_last), (10 * S, 20 * S, false));
        assert_eq!((c.bouts[0].count(&SLOW), c.beside.of_device()), (2, 0));
    }

    #[test]
    fn failures_while_others_are_served_are_no_bout() {
        let late = Err(Failure::ConnectTimeout);
        let served = |at| attempt(at, at + 1, Ok(()));
        let c = of(vec![
            served(10),
            served(59),
            attempt(10, 60, late),
            served(60),
            served(109),
            attempt(60, 110, late),
        ]);
        assert_eq!((c.bouts.len(), c.beside.of_device()), (0, 2), "{c:?}");
    }

    #[test]
    fn what_began_in_a_bout_and_ended_just_after_it_belongs_to_it() {
        let late = Err(Failure::ReadTimeout);
        let c = of(vec![
            attempt(0, 100, Ok(())),
            attempt(100, 150, late),
            attempt(149, 151, Ok(())),
            attempt(102, 152, late),
        ]);
        assert_eq!((c.bouts[0].count(&SLOW), c.beside.of_device()), (2, 0), "{c:?}");
    }
}
