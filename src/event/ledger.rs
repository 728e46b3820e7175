//! Where every message of one direction stayed.

use serde::{Deserialize, Serialize};

/// Messages of one direction, each in exactly one place: [`MessageLedger::balances`] holds at every moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MessageLedger {
    /// Messages handed to the stack, each number once.
    pub sent: u64,
    /// Acknowledged by the peer's program, in time.
    pub acknowledged: u64,
    /// Acknowledged, but later than the silence after which a peer counts as gone.
    pub late: u64,
    /// Received by the peer as it says itself, while the acknowledgement was lost.
    pub delivered: u64,
    /// Not received by the peer.
    pub lost: u64,
    /// Nobody can say: the connection ended and the peer has forgotten, or was not asked any more.
    pub unknown: u64,
    /// Sent and not yet acknowledged, on a connection that stood at the end.
    pub in_flight: u64,
    /// Further arrivals of messages that had arrived before; in no other count.
    pub duplicates: u64,
}

impl MessageLedger {
    /// No message at all.
    pub const NONE: Self = Self {
        sent: 0,
        acknowledged: 0,
        late: 0,
        delivered: 0,
        lost: 0,
        unknown: 0,
        in_flight: 0,
        duplicates: 0,
    };

    /// Whether every message is in one place.
    #[must_use]
    pub const fn balances(&self) -> bool {
        self.sent
            == self.acknowledged + self.late + self.delivered + self.lost + self.unknown + self.in_flight
    }

    /// Takes the new state of a part whose old state is contained.
    pub const fn exchange(&mut self, old: &Self, new: &Self) {
        self.sent = self.sent - old.sent + new.sent;
        self.acknowledged = self.acknowledged - old.acknowledged + new.acknowledged;
        self.late = self.late - old.late + new.late;
        self.delivered = self.delivered - old.delivered + new.delivered;
        self.lost = self.lost - old.lost + new.lost;
        self.unknown = self.unknown - old.unknown + new.unknown;
        self.in_flight = self.in_flight - old.in_flight + new.in_flight;
        self.duplicates = self.duplicates - old.duplicates + new.duplicates;
    }

    /// What has become, since `before`, of the messages that had no place for good then: those under way, those
    /// sent later, and those whose place has changed. It balances where both sides do.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let places = |of: &Self| [of.acknowledged, of.late, of.delivered, of.lost, of.unknown];
        let moved: u64 = places(before).into_iter().zip(places(self)).map(|(b, a)| b.saturating_sub(a)).sum();
        Self {
            sent: self.sent.saturating_sub(before.sent) + before.in_flight + moved,
            acknowledged: self.acknowledged.saturating_sub(before.acknowledged),
            late: self.late.saturating_sub(before.late),
            delivered: self.delivered.saturating_sub(before.delivered),
            lost: self.lost.saturating_sub(before.lost),
            unknown: self.unknown.saturating_sub(before.unknown),
            in_flight: self.in_flight,
            duplicates: self.duplicates.saturating_sub(before.duplicates),
        }
    }

    /// Adds another's messages.
    pub const fn merge(&mut self, other: &Self) {
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.late += other.late;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.unknown += other.unknown;
        self.in_flight += other.in_flight;
        self.duplicates += other.duplicates;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ledger(places: [u64; 6]) -> MessageLedger {
        let [acknowledged, late, delivered, lost, unknown, in_flight] = places;
        let sent = places.iter().sum();
        MessageLedger { sent, acknowledged, late, delivered, lost, unknown, in_flight, duplicates: 0 }
    }

    #[test]
    fn a_message_under_way_belongs_to_the_outage_that_decides_it() {
        let before = ledger([10, 0, 0, 0, 0, 2]);
        let after = ledger([11, 1, 0, 1, 0, 0]);
        let since = after.since(&before);
        assert_eq!(since, MessageLedger { duplicates: 0, ..ledger([1, 1, 0, 1, 0, 0]) });
    }

    proptest! {
        #[test]
        fn what_lies_between_two_balanced_ledgers_balances(before: [u16; 6], more: [u16; 6], moved in 0_u64..50) {
            let before = before.map(u64::from);
            let mut after = before;
            after.iter_mut().zip(more).for_each(|(place, n)| *place += u64::from(n));
            // What was taken for lost has come after all.
            let moved = moved.min(after[3]);
            after[3] -= moved;
            after[0] += moved;
            let (before, after) = (ledger(before), ledger(after));
            prop_assume!(after.sent >= before.sent);
            prop_assert!(after.since(&before).balances());
        }
    }
}
