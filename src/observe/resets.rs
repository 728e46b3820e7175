//! RSTs of the host that the device did not receive: a RST is never sent again, so that the device goes on holding
//! the connection, until its own repetitions or keep-alive probes meet the host's next RST.

use espstress_event::HostResets;

/// Connections remembered for how many there were at once; more than a device has.
const REMEMBERED: usize = 32;

/// Counts them.
#[derive(Debug, Default)]
pub(super) struct Resets {
    figures: HostResets,
    /// From the RST to the first sign that the device still held the connection, nanoseconds since the Unix epoch.
    held: [Option<(i64, i64)>; REMEMBERED],
    next: usize,
}

impl Resets {
    /// The host has ended a connection by a RST.
    pub(super) const fn sent(&mut self) {
        self.figures.sent += 1;
    }

    /// The device shows at `until` that it still holds a connection that the host reset at `from`.
    pub(super) fn lost(&mut self, from: i64, until: i64) {
        self.figures.lost += 1;
        self.held[self.next] = Some((from, until));
        self.next = (self.next + 1) % REMEMBERED;
        let spells = || self.held.iter().flatten();
        // The most at once are there as one of them begins; of the others' beginnings only those in this spell are new.
        let at = |time: i64| spells().filter(|(from, until)| (*from..*until).contains(&time)).count();
        let begin = spells().map(|(begin, _)| *begin).filter(|begin| (from..until).contains(begin));
        let most = begin.map(at).max().unwrap_or(0);
        self.figures.lost_at_once = self.figures.lost_at_once.max(most as u64);
    }

    /// The last of them, in any order.
    pub(super) fn held(&self) -> Vec<(i64, i64)> {
        self.held.iter().flatten().copied().collect()
    }

    pub(super) const fn figures(&self) -> HostResets {
        self.figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn lost(spells: impl IntoIterator<Item = (i64, i64)>) -> (u64, u64) {
        let mut resets = Resets::default();
        spells.into_iter().for_each(|(from, until)| resets.lost(from * S, until * S));
        (resets.figures().lost, resets.figures().lost_at_once)
    }

    #[test]
    fn the_most_at_once_are_those_whose_times_overlap_in_whatever_order_they_end() {
        assert_eq!(lost([]), (0, 0));
        assert_eq!(lost([(0, 10), (10, 20), (20, 30)]), (3, 1), "one after the other");
        assert_eq!(lost([(3, 4), (0, 10), (1, 11), (2, 12)]), (4, 4));
        assert_eq!(lost([(0, 10), (1, 11), (10, 20), (12, 22)]), (4, 2));
    }

    #[test]
    fn the_last_are_known_with_their_times() {
        let mut resets = Resets::default();
        (0..40).for_each(|n| resets.lost(n, n + 5));
        let mut held = resets.held();
        held.sort_unstable();
        assert_eq!(held, (8..40).map(|n| (n, n + 5)).collect::<Vec<_>>());
    }

    #[test]
    fn those_of_long_ago_are_forgotten_and_counted() {
        assert_eq!(lost((0..1_000).map(|n| (n, n + 5))), (1_000, 5));
        assert_eq!(lost((0..1_000).map(|n| (n, n + 5_000))), (1_000, REMEMBERED as u64));
    }
}
