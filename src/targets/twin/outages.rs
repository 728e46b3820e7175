//! The log of a twin's outages.

use std::collections::VecDeque;

use espstress_twin::link::OutageCause;
use espstress_twin::protocol::Moment;

/// Outages kept; of a run with more, the last ones.
const KEPT: usize = 4_096;

/// One outage as it really was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutageRecord {
    /// By plan, or asked for.
    pub cause: OutageCause,
    /// When it began.
    pub start: Moment,
    /// When it ended; `None` while it goes on.
    pub end: Option<Moment>,
}

/// A twin's outages in order.
#[derive(Clone, Debug, Default)]
pub struct OutageLog {
    records: VecDeque<OutageRecord>,
    forgotten: u64,
}

impl OutageLog {
    /// The outages, the oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &OutageRecord> {
        self.records.iter()
    }

    /// All outages so far, those no longer kept included.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.forgotten + self.records.len() as u64
    }

    pub(super) fn began(&mut self, cause: OutageCause, start: Moment) {
        if let Some(last) = self.records.back_mut() {
            // A twin that restarts within a planned outage tells of it again.
            if last.start.monotonic_ns == start.monotonic_ns {
                last.end = None;
                return;
            }
            last.end.get_or_insert(start);
        }
        if self.records.len() == KEPT {
            self.records.pop_front();
            self.forgotten += 1;
        }
        self.records.push_back(OutageRecord { cause, start, end: None });
    }

    pub(super) fn ended(&mut self, end: Moment) {
        if let Some(last) = self.records.back_mut() {
            last.end.get_or_insert(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment { monotonic_ns: ms * 1_000_000, unix_ns: 0 }
    }

    #[test]
    fn an_outage_told_again_after_a_restart_is_one() {
        let mut log = OutageLog::default();
        log.began(OutageCause::Planned, at(1));
        log.ended(at(2));
        log.began(OutageCause::Planned, at(1));
        log.ended(at(3));
        let records: Vec<_> = log.iter().copied().collect();
        assert_eq!(records, [OutageRecord { cause: OutageCause::Planned, start: at(1), end: Some(at(3)) }]);
    }

    #[test]
    fn the_log_keeps_the_last_outages_and_counts_all() {
        let mut log = OutageLog::default();
        for n in 0..5_000 {
            log.began(OutageCause::Asked, at(2 * n));
            log.ended(at(2 * n + 1));
        }
        assert_eq!((log.iter().len(), log.total()), (KEPT, 5_000));
    }
}
