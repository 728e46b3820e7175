//! Outages by plan: when the next one of each plan begins, and how long it is.

use serde::{Deserialize, Serialize};

use super::luck::{Luck, Purpose};
use super::{OutagePlan, Spacing};

/// Why the link is down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutageCause {
    /// By the link's own plan; a station would say BEACON_TIMEOUT.
    Planned,
    /// Somebody asked for it; a station would say ASSOC_LEAVE.
    Asked,
}

/// An outage to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coming {
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
}

#[derive(Debug)]
struct Course {
    plan: OutagePlan,
    luck: Luck,
    next: Option<Coming>,
}

/// The outages of a link, in the order of their begins.
#[derive(Debug)]
pub(super) struct Schedule {
    courses: Vec<Course>,
}

impl Schedule {
    /// `origin_ns` is the link's start, from which plans count.
    pub(super) fn new(plans: &[OutagePlan], seed: u64, origin_ns: u64) -> Self {
        let courses = plans.iter().enumerate().map(|(lane, &plan)| {
            let mut course = Course { plan, luck: Luck::new(seed, Purpose::Outages, lane), next: None };
            let start = match plan.spacing {
                Spacing::Once(at) | Spacing::Every(at) => at,
                Spacing::Around(mean) => course.luck.exponential(mean),
            };
            course.next = Some(course.outage(origin_ns.saturating_add(start)));
            course
        });
        Self { courses: courses.collect() }
    }

    /// When the next outage begins.
    pub(super) fn next_start_ns(&self) -> Option<u64> {
        self.courses.iter().filter_map(|course| Some(course.next?.start_ns)).min()
    }

    /// Takes the outage that begins first.
    pub(super) fn take(&mut self) -> Option<Coming> {
        let first = self.next_start_ns()?;
        let course =
            self.courses.iter_mut().find(|course| course.next.is_some_and(|n| n.start_ns == first))?;
        let outage = course.next.take()?;
        course.next = match course.plan.spacing {
            Spacing::Once(_) => None,
            Spacing::Every(period) => Some(course.outage(outage.start_ns.saturating_add(period.max(1)))),
            Spacing::Around(mean) => {
                let gap = course.luck.exponential(mean).max(1);
                Some(course.outage(outage.end_ns.saturating_add(gap)))
            }
        };
        Some(outage)
    }
}

impl Course {
    fn outage(&mut self, start_ns: u64) -> Coming {
        let spread = self.plan.longest_ns.saturating_sub(self.plan.shortest_ns);
        let length = self.plan.shortest_ns + self.luck.below(spread.saturating_add(1));
        Coming { start_ns, end_ns: start_ns.saturating_add(length) }
    }
}
