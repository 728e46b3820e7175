//! The bounded table of connections.

use std::collections::VecDeque;
use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::chain::{Chain, Chains};
use super::pack::{Scratch, pack, packed_key, unpack};
use super::{Flow, FlowKey, SECOND};

/// Which connection had to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evicted {
    /// One that had ended.
    Settled,
    /// One that might have gone on.
    Live,
}

/// How long a connection that has ended is remembered, nanoseconds: longer than TIME_WAIT (RFC 9293, 3.4.1: twice an
/// MSL of two minutes), after which its place is used again. A table of a steady load does not grow.
const REMEMBERED: i64 = 300 * SECOND;

/// Connections that ended a moment ago, and are still open to look at: the last segments of a connection often come after
/// its end. In tests there is hardly one, so all of them show that packing loses nothing.
const AT_HAND: usize = if cfg!(test) { 1 } else { 256 };

/// Connections by their ends, never more than a set number. The hash is seeded: who sends the packets cannot
/// choose ends that collide.
#[derive(Debug)]
pub(crate) struct Table {
    /// Places by the key of what is there, which says its key itself.
    index: HashTable<u32>,
    hasher: RandomState,
    slots: Vec<Slot>,
    chains: Chains,
    /// Those that ended and are not packed, the first first; a place may since have been taken by another.
    at_hand: VecDeque<u32>,
    /// Room of those that were packed.
    #[expect(clippy::vec_box, reason = "they go from and to the table as they are")]
    spare: Vec<Box<Flow>>,
    scratch: Scratch,
    limit: usize,
}

/// A connection's place.
#[derive(Debug)]
enum Slot {
    Open(Box<Flow>),
    /// It has ended, then.
    Packed(i64, Box<[u8]>),
}

impl Slot {
    fn key(&self) -> FlowKey {
        match self {
            Self::Open(flow) => flow.key(),
            Self::Packed(_, bytes) => packed_key(bytes),
        }
    }
}

impl Table {
    /// Holds up to `limit` connections, and at least one.
    pub(crate) fn new(limit: usize) -> Self {
        let limit = limit.clamp(1, 1 << 24);
        Self {
            index: HashTable::new(),
            hasher: RandomState::default(),
            slots: Vec::new(),
            chains: Chains::default(),
            at_hand: VecDeque::new(),
            spare: Vec::new(),
            scratch: Scratch::default(),
            limit,
        }
    }

    /// The slot of a connection, which is open.
    pub(crate) fn find(&mut self, key: &FlowKey) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        let slot = *self.index.find(hash, |slot| self.slots[*slot as usize].key() == *key)?;
        if self.open(slot) {
            self.is_at_hand(slot);
        }
        Some(slot)
    }

    /// The connection in an open slot.
    pub(crate) fn flow(&self, slot: u32) -> &Flow {
        match &self.slots[slot as usize] {
            Slot::Open(flow) => flow,
            Slot::Packed(..) => unreachable!("slot {slot} is used without being opened"),
        }
    }

    /// The same, to change it.
    pub(crate) fn flow_mut(&mut self, slot: u32) -> &mut Flow {
        match &mut self.slots[slot as usize] {
            Slot::Open(flow) => flow,
            Slot::Packed(..) => unreachable!("slot {slot} is used without being opened"),
        }
    }

    /// Opens a slot to look at its connection, and to let go of it; whether it was packed.
    pub(crate) fn open(&mut self, slot: u32) -> bool {
        let Slot::Packed(_, bytes) = &self.slots[slot as usize] else { return false };
        let flow = unpack(bytes, &mut self.scratch);
        self.slots[slot as usize] = Slot::Open(self.room_for(flow));
        true
    }

    /// Nobody asks for the connection in `slot` any more: its room is for others.
    pub(crate) fn let_go(&mut self, slot: u32) {
        if let Slot::Open(room) =
            std::mem::replace(&mut self.slots[slot as usize], Slot::Packed(0, Box::default()))
        {
            self.spare.push(room);
        }
    }

    fn room_for(&mut self, flow: Flow) -> Box<Flow> {
        match self.spare.pop() {
            Some(mut room) => {
                *room = flow;
                room
            }
            None => Box::new(flow),
        }
    }

    /// The connection in `slot` has ended and is open: one of those that were before it is packed.
    fn is_at_hand(&mut self, slot: u32) {
        self.at_hand.push_back(slot);
        let first = if self.at_hand.len() > AT_HAND { self.at_hand.pop_front() } else { None };
        let Some(first) = first.filter(|first| *first != slot) else { return };
        let Slot::Open(flow) = &self.slots[first as usize] else { return };
        let Some((ended, _)) = flow.ended else { return };
        let packed = Slot::Packed(ended, pack(flow, &mut self.scratch));
        if let Slot::Open(room) = std::mem::replace(&mut self.slots[first as usize], packed) {
            self.spare.push(room);
        }
    }

    /// The connections that are open; all others have ended.
    pub(crate) fn iter_open(&self) -> impl Iterator<Item = &Flow> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Open(flow) => Some(&**flow),
            Slot::Packed(..) => None,
        })
    }

    /// So many of the connections that go on, the longest idle first.
    pub(crate) fn longest_idle(&self, most: usize) -> impl Iterator<Item = &Flow> {
        let next = |slot: &u32| self.chains.following(Chain::Live, *slot);
        std::iter::successors(self.chains.first(Chain::Live), next).take(most).map(|slot| self.flow(slot))
    }

    pub(crate) fn len(&self) -> u32 {
        // The limit is far below.
        self.slots.len() as u32
    }

    /// How many connections have not ended.
    pub(crate) fn live(&self) -> u32 {
        self.chains.len(Chain::Live)
    }

    /// The connection that the next [`Table::insert`] at this time will push out, and why that one.
    pub(crate) fn victim(&self, at: i64) -> Option<(u32, Evicted)> {
        let settled = self.chains.first(Chain::Settled);
        if self.slots.len() < self.limit {
            let over = |slot: &u32| {
                let ended = match &self.slots[*slot as usize] {
                    Slot::Open(flow) => flow.ended.map(|(ended, _)| ended),
                    Slot::Packed(ended, _) => Some(*ended),
                };
                ended.is_some_and(|ended| at.saturating_sub(ended) > REMEMBERED)
            };
            return settled.filter(over).map(|slot| (slot, Evicted::Settled));
        }
        let settled = settled.map(|slot| (slot, Evicted::Settled));
        settled.or_else(|| self.chains.first(Chain::Live).map(|s| (s, Evicted::Live)))
    }

    /// Takes in a connection that is not there yet, in place of [`Table::victim`].
    pub(crate) fn insert(&mut self, flow: Flow, at: i64) -> u32 {
        let key = flow.key();
        let slot = if let Some((slot, _)) = self.victim(at) {
            self.open(slot);
            self.leave(slot);
            let hash = self.hasher.hash_one(self.flow(slot).key());
            if let Ok(old) = self.index.find_entry(hash, |known| *known == slot) {
                old.remove();
            }
            *self.flow_mut(slot) = flow;
            slot
        } else {
            let room = self.room_for(flow);
            self.slots.push(Slot::Open(room));
            self.chains.add_slot();
            self.len() - 1
        };
        let (slots, hasher) = (&self.slots, &self.hasher);
        let hash = |slot: &u32| hasher.hash_one(slots[*slot as usize].key());
        self.index.insert_unique(hasher.hash_one(key), slot, hash);
        self.chains.append(Chain::Live, slot);
        slot
    }

    /// Puts a new connection of the same ends in place of an old one.
    pub(crate) fn replace(&mut self, slot: u32, flow: Flow) {
        self.leave(slot);
        *self.flow_mut(slot) = flow;
        self.chains.append(Chain::Live, slot);
    }

    fn leave(&mut self, slot: u32) {
        let Slot::Open(flow) = &mut self.slots[slot as usize] else { return };
        for (chain, armed) in Chain::DEADLINES.into_iter().zip(&mut flow.armed) {
            if armed.take().is_some() {
                self.chains.remove(chain, slot);
            }
        }
        let age = if flow.in_settled { Chain::Settled } else { Chain::Live };
        self.chains.remove(age, slot);
    }

    /// Brings the lists in line with what the connection has become.
    pub(crate) fn file(&mut self, slot: u32, at: i64) {
        let Slot::Open(flow) = &mut self.slots[slot as usize] else { return };
        for (i, chain) in Chain::DEADLINES.into_iter().enumerate() {
            let wanted = flow.wait(chain);
            if flow.armed[i] != wanted {
                if flow.armed[i].is_some() {
                    self.chains.remove(chain, slot);
                }
                if wanted.is_some() {
                    self.chains.append(chain, slot);
                }
                flow.armed[i] = wanted;
            }
        }
        if flow.ended.is_some() {
            if !flow.in_settled {
                self.chains.remove(Chain::Live, slot);
                self.chains.append(Chain::Settled, slot);
                flow.in_settled = true;
                self.is_at_hand(slot);
            }
        } else if at.saturating_sub(flow.touched_at) > SECOND {
            self.chains.remove(Chain::Live, slot);
            self.chains.append(Chain::Live, slot);
            flow.touched_at = at;
        }
    }

    /// The connection whose deadline on `chain` is the next, and since when it waits.
    pub(crate) fn next_due(&self, chain: Chain) -> Option<(u32, i64)> {
        let slot = self.chains.first(chain)?;
        self.flow(slot).wait(chain).map(|since| (slot, since))
    }
}
