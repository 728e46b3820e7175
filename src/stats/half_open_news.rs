//! What is new about silenced connections since it was last told: so that a log can tell it as it becomes known,
//! in lines that do not grow with the watch.

use super::{HalfOpenStats, LimitReached, SilencedConnection};
use espstress_event::{HalfOpen, Recorded, SectionCourse};

/// Time between two accounts of the sums while nothing decisive happens, nanoseconds.
const EVERY_NS: u64 = 10_000_000_000;

/// What there is to tell.
#[derive(Clone, Debug, Default)]
pub struct HalfOpenNews {
    /// Connections that fell silent, and those whose fate became known.
    pub connections: Vec<SilencedConnection>,
    /// Everything, where it is time to tell it.
    pub section: Option<HalfOpen<Recorded>>,
}

/// What of the silenced connections was told. Bounded as they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    connections: Vec<SilencedConnection>,
    section: Option<(Decisive, u64)>,
}

/// What is told as soon as it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decisive {
    course: SectionCourse,
    limit: LimitReached,
    exhausted: Option<bool>,
    unavailable: bool,
    served_again: bool,
    failures: usize,
    spells: usize,
}

impl Told {
    /// What is new at `now_ns`; from now on it is told.
    pub(super) fn news(&mut self, of: &HalfOpenStats, course: SectionCourse, now_ns: u64) -> HalfOpenNews {
        let known = self.connections.len();
        let is_new = |at: usize, c: &SilencedConnection| at >= known || self.connections.get(at) != Some(c);
        let all = of.connections.iter().enumerate();
        let connections = all.filter(|(at, c)| is_new(*at, c)).map(|(_, c)| *c).collect();
        self.connections.clone_from(&of.connections);
        let decisive = Decisive {
            course,
            limit: of.limit,
            exhausted: of.exhausted,
            unavailable: of.unavailable.is_some(),
            served_again: of.served_again_ns.is_some(),
            failures: of.failures.len(),
            spells: of.spells.len(),
        };
        let due = match self.section {
            None => true,
            // What has ended changes no more.
            Some((told, _)) if told.course == SectionCourse::Ended => false,
            Some((told, at_ns)) => told != decisive || now_ns.saturating_sub(at_ns) >= EVERY_NS,
        };
        let section = due.then(|| of.with_latencies(|latency| latency.recorded().collect::<Recorded>()));
        if due {
            self.section = Some((decisive, now_ns));
        }
        HalfOpenNews { connections, section }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ReclaimEvidence, Stage};

    const S: u64 = 1_000_000_000;

    fn silent(connection: u32) -> SilencedConnection {
        let stage = Stage::Served;
        SilencedConnection {
            connection,
            port: 40_000,
            stage,
            opened_ns: None,
            silent_ns: S,
            reclaimed_after_ns: None,
            evidence: None,
        }
    }

    #[test]
    fn a_connection_is_told_when_it_falls_silent_and_when_its_fate_is_known() {
        let (mut told, mut stats) = (Told::default(), HalfOpenStats::default());
        stats.fell_silent(silent(1));
        stats.fell_silent(silent(2));
        assert_eq!(told.news(&stats, SectionCourse::UnderWay, S).connections, [silent(1), silent(2)]);
        assert!(told.news(&stats, SectionCourse::UnderWay, 2 * S).connections.is_empty());
        stats.connections[1].reclaimed_after_ns = Some(3 * S);
        stats.connections[1].evidence = Some(ReclaimEvidence::Reset);
        let news = told.news(&stats, SectionCourse::UnderWay, 5 * S);
        assert_eq!(news.connections, [stats.connections[1]]);
    }

    #[test]
    fn sums_are_told_at_once_when_something_is_decided_and_else_every_ten_seconds() {
        let (mut told, mut stats) = (Told::default(), HalfOpenStats::default());
        let mut section =
            |stats: &HalfOpenStats, course, s: u64| told.news(stats, course, s * S).section.is_some();
        assert!(section(&stats, SectionCourse::UnderWay, 1));
        assert!((2..=10).all(|s| !section(&stats, SectionCourse::UnderWay, s)));
        assert!(section(&stats, SectionCourse::UnderWay, 11));
        stats.limit = LimitReached::Device;
        assert!(section(&stats, SectionCourse::UnderWay, 12));
        assert!(section(&stats, SectionCourse::Ended, 13));
        assert!(!section(&stats, SectionCourse::Ended, 30), "what has ended is told once");
    }
}
