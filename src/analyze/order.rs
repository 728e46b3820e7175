//! Packets in the order of time.
//!
//! A capture on several interfaces or queues is written a little out of order: an answer may stand before what it answers.
//! Packets are held for a second of the capture's time and taken in the order of their times; equal times keep the file's
//! order.

use std::collections::VecDeque;

use super::copies::Frame;

/// How long they are held, nanoseconds: a step of the clock is longer.
const HOLD: i64 = 1_000_000_000;

/// Packets held at most.
const MOST: usize = 65_536;

/// Puts packets in order.
#[derive(Debug, Default)]
pub(super) struct Order {
    held: VecDeque<Frame>,
    late: u64,
}

impl Order {
    /// Takes a packet, and gives those whose turn it is.
    pub(super) fn take(&mut self, frame: Frame, mut give: impl FnMut(&Frame)) {
        let newest = self.held.back().map_or(frame.at_ns, |last| last.at_ns.max(frame.at_ns));
        if newest > frame.at_ns {
            self.late += 1;
            let at = self.held.partition_point(|held| held.at_ns <= frame.at_ns);
            self.held.insert(at, frame);
        } else {
            self.held.push_back(frame);
        }
        while self.held.front().is_some_and(|first| newest.saturating_sub(first.at_ns) > HOLD)
            || self.held.len() > MOST
        {
            self.held.pop_front().iter().for_each(&mut give);
        }
    }

    /// Gives what is left.
    pub(super) fn release(&mut self, give: impl FnMut(&Frame)) {
        std::mem::take(&mut self.held).iter().for_each(give);
    }

    /// How many came after one that is younger.
    pub(super) const fn late(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use espstress_wire::NotSegment;

    fn ordered(times: &[i64]) -> (Vec<i64>, u64) {
        let (mut order, mut given) = (Order::default(), Vec::new());
        for (number, at_ns) in (1..).zip(times) {
            let frame = Frame { at_ns: *at_ns, number, gap: false, decoded: Err(NotSegment::Other) };
            order.take(frame, |frame| given.push(frame.at_ns));
        }
        order.release(|frame| given.push(frame.at_ns));
        (given, order.late())
    }

    #[test]
    fn packets_come_in_the_order_of_their_times() {
        assert_eq!(ordered(&[1, 2, 3]), (vec![1, 2, 3], 0));
        assert_eq!(ordered(&[5, 1, 4, 6, 2]), (vec![1, 2, 4, 5, 6], 3));
    }

    #[test]
    fn nothing_is_held_for_longer_than_a_second_nor_more_than_may_be() {
        let (mut order, mut given) = (Order::default(), 0);
        for n in 0..2 * MOST as i64 {
            let frame = Frame { at_ns: n, number: 1, gap: false, decoded: Err(NotSegment::Other) };
            order.take(frame, |_| given += 1);
        }
        assert_eq!((given, order.held.len()), (MOST, MOST));
        let late = Frame { at_ns: 3 * HOLD, number: 1, gap: false, decoded: Err(NotSegment::Other) };
        order.take(late, |_| given += 1);
        assert_eq!((given, order.held.len()), (2 * MOST, 1));
    }
}
