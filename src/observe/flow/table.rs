//! The bounded table of connections.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::chain::{Chain, Chains};
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

/// Connections by their ends, never more than a set number. The hash is seeded: who sends the packets cannot
/// choose ends that collide.
#[derive(Debug)]
pub(crate) struct Table {
    index: HashMap<FlowKey, u32, RandomState>,
    flows: Vec<Flow>,
    chains: Chains,
    limit: usize,
}

impl Table {
    /// Holds up to `limit` connections, and at least one.
    pub(crate) fn new(limit: usize) -> Self {
        let limit = limit.clamp(1, 1 << 24);
        Self {
            index: HashMap::with_hasher(RandomState::default()),
            flows: Vec::new(),
            chains: Chains::default(),
            limit,
        }
    }

    /// The slot of a connection.
    pub(crate) fn find(&self, key: &FlowKey) -> Option<u32> {
        self.index.get(key).copied()
    }

    pub(crate) fn flow(&self, slot: u32) -> &Flow {
        &self.flows[slot as usize]
    }

    pub(crate) fn flow_mut(&mut self, slot: u32) -> &mut Flow {
        &mut self.flows[slot as usize]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Flow> {
        self.flows.iter()
    }

    pub(crate) fn len(&self) -> u32 {
        // The limit is far below.
        self.flows.len() as u32
    }

    /// How many connections have not ended.
    pub(crate) fn live(&self) -> u32 {
        self.chains.len(Chain::Live)
    }

    /// The connection that the next [`Table::insert`] at this time will push out, and why that one.
    pub(crate) fn victim(&self, at: i64) -> Option<(u32, Evicted)> {
        let settled = self.chains.first(Chain::Settled);
        if self.flows.len() < self.limit {
            let over = |slot: &u32| {
                let ended = self.flow(*slot).ended;
                ended.is_some_and(|(ended, _)| at.saturating_sub(ended) > REMEMBERED)
            };
            return settled.filter(over).map(|slot| (slot, Evicted::Settled));
        }
        let settled = settled.map(|slot| (slot, Evicted::Settled));
        settled.or_else(|| self.chains.first(Chain::Live).map(|s| (s, Evicted::Live)))
    }

    /// Takes in a connection that is not there yet, in place of [`Table::victim`].
    pub(crate) fn insert(&mut self, flow: Flow, at: i64) -> u32 {
        let slot = if let Some((slot, _)) = self.victim(at) {
            self.leave(slot);
            let old = self.flows[slot as usize].key;
            self.index.remove(&old);
            self.flows[slot as usize] = flow;
            slot
        } else {
            self.flows.push(flow);
            self.chains.add_slot();
            self.len() - 1
        };
        self.index.insert(flow.key, slot);
        self.chains.append(Chain::Live, slot);
        slot
    }

    /// Puts a new connection of the same ends in place of an old one.
    pub(crate) fn replace(&mut self, slot: u32, flow: Flow) {
        self.leave(slot);
        self.flows[slot as usize] = flow;
        self.chains.append(Chain::Live, slot);
    }

    fn leave(&mut self, slot: u32) {
        let flow = &mut self.flows[slot as usize];
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
        let flow = &mut self.flows[slot as usize];
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
