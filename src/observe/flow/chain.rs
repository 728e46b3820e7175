//! Doubly linked lists through the slots of the flow table: queues of deadlines and orders of age that are
//! entered, left and moved in constant time and never hold more than one entry a slot.

const NONE: u32 = u32::MAX;

/// One list. The last two exclude each other and share their links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chain {
    /// A SYN waits for its answer.
    Syn,
    /// A zero window waits to open.
    Window,
    /// A half-closed connection waits for the device.
    Linger,
    /// Connections that go on, the longest idle first.
    Live,
    /// Connections that ended, the first to end first.
    Settled,
}

impl Chain {
    /// The lists that are queues of deadlines.
    pub(crate) const DEADLINES: [Self; 3] = [Self::Syn, Self::Window, Self::Linger];

    const fn row(self) -> usize {
        match self {
            Self::Syn => 0,
            Self::Window => 1,
            Self::Linger => 2,
            Self::Live | Self::Settled => 3,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    after: u32,
}

const LOOSE: Link = Link { before: NONE, after: NONE };

/// All lists of one table.
#[derive(Debug)]
pub(crate) struct Chains {
    links: Vec<[Link; 4]>,
    ends: [Link; 5],
    lengths: [u32; 5],
}

impl Default for Chains {
    fn default() -> Self {
        Self { links: Vec::new(), ends: [LOOSE; 5], lengths: [0; 5] }
    }
}

impl Chains {
    /// Makes room for one slot more.
    pub(crate) fn add_slot(&mut self) {
        self.links.push([LOOSE; 4]);
    }

    /// First slot of a list.
    pub(crate) fn first(&self, chain: Chain) -> Option<u32> {
        // `after` of the ends is the first slot, `before` the last.
        Some(self.ends[chain as usize].after).filter(|&s| s != NONE)
    }

    /// The slot behind `slot`.
    pub(crate) fn following(&self, chain: Chain, slot: u32) -> Option<u32> {
        Some(self.links[slot as usize][chain.row()].after).filter(|&s| s != NONE)
    }

    /// How many slots are in a list.
    pub(crate) const fn len(&self, chain: Chain) -> u32 {
        self.lengths[chain as usize]
    }

    /// Puts a slot that is in no list of this row at the end.
    pub(crate) fn append(&mut self, chain: Chain, slot: u32) {
        let last = self.ends[chain as usize].before;
        self.links[slot as usize][chain.row()] = Link { before: last, after: NONE };
        self.set_after(chain, last, slot);
        self.ends[chain as usize].before = slot;
        self.lengths[chain as usize] += 1;
    }

    /// Takes a slot out of the list that it is in.
    pub(crate) fn remove(&mut self, chain: Chain, slot: u32) {
        let Link { before, after } = self.links[slot as usize][chain.row()];
        self.set_after(chain, before, after);
        if after == NONE {
            self.ends[chain as usize].before = before;
        } else {
            self.links[after as usize][chain.row()].before = before;
        }
        self.links[slot as usize][chain.row()] = LOOSE;
        self.lengths[chain as usize] -= 1;
    }

    fn set_after(&mut self, chain: Chain, slot: u32, after: u32) {
        if slot == NONE {
            self.ends[chain as usize].after = after;
        } else {
            self.links[slot as usize][chain.row()].after = after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(c: &Chains, chain: Chain) -> Vec<u32> {
        std::iter::successors(c.first(chain), |&s| c.following(chain, s)).collect()
    }

    #[test]
    fn a_slot_waits_in_several_lists_and_leaves_one_without_the_others() {
        let mut c = Chains::default();
        let lists = [Chain::Syn, Chain::Window, Chain::Linger, Chain::Live];
        (0..3).for_each(|_| c.add_slot());
        for (list, slots) in lists.into_iter().zip([[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1]]) {
            slots.into_iter().for_each(|slot| c.append(list, slot));
        }
        c.remove(Chain::Window, 2);
        let orders = lists.map(|list| order(&c, list));
        assert_eq!(orders, [vec![0, 1, 2], vec![1, 0], vec![2, 0, 1], vec![0, 2, 1]]);
    }

    #[test]
    fn slots_leave_from_anywhere_and_come_back_at_the_end() {
        let mut c = Chains::default();
        for slot in 0..4 {
            c.add_slot();
            c.append(Chain::Live, slot);
        }
        c.remove(Chain::Live, 0);
        c.remove(Chain::Live, 2);
        c.append(Chain::Settled, 2);
        c.append(Chain::Live, 0);
        assert_eq!(order(&c, Chain::Live), [1, 3, 0]);
        assert_eq!(order(&c, Chain::Settled), [2]);
        c.remove(Chain::Live, 0);
        c.remove(Chain::Live, 1);
        c.remove(Chain::Live, 3);
        assert_eq!((order(&c, Chain::Live), c.len(Chain::Live)), (vec![], 0));
    }
}
