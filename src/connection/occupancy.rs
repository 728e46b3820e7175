//! How many connections the device may hold of this run: those that are open, and those from which the host vanished
//! and of which the device does not know yet.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use espstress_event::Intent;

/// How long a device may hold a connection whose peer vanished. Keep-alive of 10 s + 3 x 3 s meets it; one that takes
/// longer keeps others out by its own fault, `half_open_not_reclaimed`.
const RECLAIM: Duration = Duration::from_secs(30);

/// Vanished connections that are remembered: far more than such a device has room for.
const MOST: usize = 1_024;

/// Shared by all workloads and probes of a run.
#[derive(Debug, Default)]
pub struct Occupancy {
    open: Cell<u32>,
    vanished: RefCell<VecDeque<Instant>>,
}

impl Occupancy {
    /// One is open, or being opened.
    pub fn enter(&self) {
        self.open.set(self.open.get() + 1);
    }

    /// It is closed, or the host has vanished from it.
    pub fn leave(&self) {
        self.open.set(self.open.get().saturating_sub(1));
    }

    /// The host vanishes from one.
    pub fn vanish(&self, now: Instant) {
        let mut vanished = self.vanished.borrow_mut();
        if vanished.len() == MOST {
            vanished.pop_front();
        }
        vanished.push_back(now);
    }

    /// One of the open ones was served: the device holds no more at once than its capacity, so that of the vanished ones
    /// it has given back what would be beyond that next to this one. Of others that are open nobody knows whether they
    /// are held or wait in the backlog.
    pub fn served(&self, capacity: Option<u32>) {
        let Some(capacity) = capacity else { return };
        let most = capacity.saturating_sub(1) as usize;
        let mut vanished = self.vanished.borrow_mut();
        let beyond = vanished.len().saturating_sub(most);
        vanished.drain(..beyond);
    }

    /// Whether one more may be too many: beyond the capacity that the device states. Of one that states none, a single
    /// vanished connection may fill all that it has.
    #[must_use]
    pub(crate) fn is_full(&self, capacity: Option<u32>, now: Instant) -> bool {
        let mut vanished = self.vanished.borrow_mut();
        while vanished.front().is_some_and(|at| now.saturating_duration_since(*at) >= RECLAIM) {
            vanished.pop_front();
        }
        let held = self.open.get().saturating_add(u32::try_from(vanished.len()).unwrap_or(u32::MAX));
        capacity.map_or(!vanished.is_empty(), |capacity| held >= capacity)
    }

    /// The intention of a connection that is about to be opened, given what will be done to it. Until it is open, nothing
    /// but the want of room explains what keeps it from that.
    #[must_use]
    pub fn intent(&self, planned: Intent, capacity: Option<u32>, now: Instant) -> Intent {
        let full = || self.is_full(capacity, now);
        if matches!(planned, Intent::Plain | Intent::Vanished) && full() {
            Intent::BeyondCapacity
        } else {
            planned
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_connections_count_until_they_are_closed() {
        let (occupancy, now) = (Occupancy::default(), Instant::now());
        (0..3).for_each(|_| occupancy.enter());
        assert!(!occupancy.is_full(Some(4), now) && !occupancy.is_full(None, now));
        occupancy.enter();
        assert_eq!(occupancy.intent(Intent::Plain, Some(4), now), Intent::BeyondCapacity);
        assert_eq!(occupancy.intent(Intent::Reset, Some(4), now), Intent::Reset);
        occupancy.leave();
        assert_eq!(occupancy.intent(Intent::Plain, Some(4), now), Intent::Plain);
    }

    #[test]
    fn vanished_ones_count_for_as_long_as_keep_alive_may_take() {
        let (occupancy, start) = (Occupancy::default(), Instant::now());
        for second in 0..4 {
            occupancy.vanish(start + Duration::from_secs(second));
        }
        assert_eq!(occupancy.intent(Intent::Vanished, Some(4), start), Intent::BeyondCapacity);
        assert!(occupancy.is_full(Some(4), start + RECLAIM - Duration::from_millis(1)));
        assert!(!occupancy.is_full(Some(4), start + RECLAIM), "the first is given back by then");
        assert!(
            occupancy.is_full(None, start + RECLAIM),
            "others of a device that states nothing may not be"
        );
        assert!(!occupancy.is_full(None, start + RECLAIM + Duration::from_secs(3)));
    }

    #[test]
    fn a_connection_that_is_served_shows_that_there_was_room_for_it() {
        let (occupancy, now) = (Occupancy::default(), Instant::now());
        (0..10).for_each(|_| occupancy.vanish(now));
        occupancy.enter();
        occupancy.enter();
        occupancy.served(Some(4));
        occupancy.leave();
        assert!(occupancy.is_full(Some(4), now), "three vanished ones and this one");
        occupancy.leave();
        assert!(!occupancy.is_full(Some(4), now), "so that there is room for one");
        occupancy.served(None);
        assert!(occupancy.is_full(None, now), "without a capacity it shows nothing");
    }
}
