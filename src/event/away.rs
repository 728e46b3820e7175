//! When the link to the device was away, as far as the run itself knows: what nobody can answer then is not charged
//! to the device.

use std::collections::VecDeque;

use super::OutageOrigin;

/// Spells kept; of a run with more, the last ones.
const KEPT: usize = 4_096;

/// A packet that leaves or arrives so near to a spell's ends may have met it, nanoseconds.
const NEAR_NS: i64 = 50_000_000;

/// One spell. Nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AwaySpell {
    /// Whose doing it is; a modelled link's own plan is nobody's.
    pub cause: OutageOrigin,
    /// Since when.
    pub from_ns: i64,
    /// Until when; `None` while it goes on.
    pub to_ns: Option<i64>,
}

impl AwaySpell {
    fn meets(&self, from_ns: i64, to_ns: i64) -> bool {
        let end = self.to_ns.map_or(i64::MAX, |to| to.saturating_add(NEAR_NS));
        self.from_ns.saturating_sub(NEAR_NS) <= to_ns && from_ns <= end
    }
}

/// The spells of a run: those that its workloads note, and those that a modelled link tells.
#[derive(Debug, Default)]
pub(super) struct Spells {
    noted: VecDeque<(u64, AwaySpell)>,
    next: u64,
    link: Vec<AwaySpell>,
}

impl Spells {
    pub(super) fn begin(&mut self, cause: OutageOrigin, from_ns: i64) -> u64 {
        if self.noted.len() == KEPT {
            self.noted.pop_front();
        }
        self.next += 1;
        self.noted.push_back((self.next, AwaySpell { cause, from_ns, to_ns: None }));
        self.next
    }

    pub(super) fn end(&mut self, number: u64, to_ns: i64) {
        if let Some((_, spell)) = self.noted.iter_mut().rev().find(|(n, _)| *n == number) {
            spell.to_ns = Some(to_ns);
        }
    }

    pub(super) fn set_link(&mut self, spells: Vec<AwaySpell>) {
        self.link = spells;
    }

    /// Whether the link was away at any time from `from_ns` to `to_ns`; where several fit, what was made counts.
    pub(super) fn during(&self, from_ns: i64, to_ns: i64) -> Option<OutageOrigin> {
        let all = self.noted.iter().map(|(_, spell)| spell).chain(&self.link);
        let mut met = None;
        for spell in all.filter(|spell| spell.meets(from_ns, to_ns)) {
            match spell.cause {
                OutageOrigin::Made => return Some(OutageOrigin::Made),
                OutageOrigin::Natural => met = Some(OutageOrigin::Natural),
            }
        }
        met
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    #[test]
    fn a_spell_counts_from_its_begin_to_its_end_and_while_it_goes_on() {
        let mut spells = Spells::default();
        let first = spells.begin(OutageOrigin::Natural, 10 * S);
        assert_eq!(spells.during(100 * S, 100 * S), Some(OutageOrigin::Natural));
        spells.end(first, 12 * S);
        assert_eq!(spells.during(9 * S, 9 * S), None);
        assert_eq!(spells.during(9 * S, 11 * S), Some(OutageOrigin::Natural));
        assert_eq!(spells.during(12 * S + NEAR_NS, 20 * S), Some(OutageOrigin::Natural));
        assert_eq!(spells.during(13 * S, 20 * S), None);
    }

    #[test]
    fn what_was_made_counts_before_what_came_by_itself() {
        let mut spells = Spells::default();
        spells.set_link(vec![AwaySpell { cause: OutageOrigin::Natural, from_ns: 0, to_ns: Some(5 * S) }]);
        spells.begin(OutageOrigin::Made, S);
        assert_eq!(spells.during(2 * S, 2 * S), Some(OutageOrigin::Made));
    }
}
