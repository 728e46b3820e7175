//! Where every message of one direction stayed.

/// Messages of one direction, each in exactly one place: [`MessageLedger::balances`] holds at every moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
