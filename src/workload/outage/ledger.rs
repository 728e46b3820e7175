//! Where every message stayed, one session of the framed protocol at a time. Pure: events in, counts out.
//!
//! A session outlives connections. What was not acknowledged when a connection ended is decided by the device's
//! report at the next one: TCP keeps the order, so every number up to the highest that the device received has
//! arrived, and none above it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use espstress_device::framed::Report;

use espstress_stats::MessageLedger;

/// Messages that may wait for their acknowledgement; a sender that reaches it waits.
pub(super) const MOST_PENDING: usize = 4_096;

/// What an acknowledgement was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acked {
    /// The first for its message, so long after it was sent.
    First(Duration),
    /// A further one.
    Again,
    /// For a message that was never sent.
    Stranger,
}

/// What a report at the start of a connection means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// The device knows the session.
    Kept,
    /// The device has started anew, or has given the session's place away.
    Forgotten,
}

/// Messages from the host to the device.
#[derive(Debug, Default)]
pub(super) struct SendLedger {
    last: u32,
    pending: VecDeque<(u32, Instant)>,
    /// Unacknowledged when their connection ended; nobody has said yet what became of them.
    orphans: VecDeque<u32>,
    totals: MessageLedger,
    /// The device's count of duplicates at its last report.
    duplicates_reported: u32,
    /// Messages of this memory of the device's that are known to have arrived.
    arrived: u64,
}

impl SendLedger {
    /// The number of the next message; `None` when too many wait for their acknowledgement.
    pub(super) fn send(&mut self, now: Instant) -> Option<u32> {
        if self.pending.len() >= MOST_PENDING {
            return None;
        }
        self.last = self.last.checked_add(1)?;
        self.pending.push_back((self.last, now));
        self.totals.sent += 1;
        Some(self.last)
    }

    /// An acknowledgement came.
    pub(super) fn acked(&mut self, sequence: u32, now: Instant, late_after: Duration) -> Acked {
        let Some(place) = self.pending.iter().position(|(number, _)| *number == sequence) else {
            return if sequence > 0 && sequence <= self.last {
                self.totals.duplicates += 1;
                Acked::Again
            } else {
                Acked::Stranger
            };
        };
        let sent = self.pending.remove(place).map_or(now, |(_, sent)| sent);
        let took = now.saturating_duration_since(sent);
        if took > late_after {
            self.totals.late += 1
        } else {
            self.totals.acknowledged += 1
        }
        self.arrived += 1;
        Acked::First(took)
    }

    /// The connection has ended; says how many messages had no acknowledgement.
    pub(super) fn connection_ended(&mut self) -> usize {
        let count = self.pending.len();
        self.orphans.extend(self.pending.drain(..).map(|(number, _)| number));
        count
    }

    /// The device's report at the start of a connection.
    pub(super) fn resumed(&mut self, report: &Report) -> Memory {
        if u64::from(report.received) < self.arrived {
            self.totals.unknown += self.orphans.len() as u64;
            self.orphans.clear();
            self.arrived = report.received.into();
            self.duplicates_reported = report.duplicates;
            return Memory::Forgotten;
        }
        for number in self.orphans.drain(..) {
            if number <= report.highest_received {
                self.totals.delivered += 1;
                self.arrived += 1;
            } else {
                self.totals.lost += 1;
            }
        }
        self.reported(report);
        Memory::Kept
    }

    /// Any later report of the same connection.
    pub(super) fn reported(&mut self, report: &Report) {
        self.totals.duplicates += u64::from(report.duplicates.saturating_sub(self.duplicates_reported));
        self.duplicates_reported = report.duplicates;
    }

    /// Whether the device's count of received messages fits this one's: it must hold every one that is known to
    /// have arrived, and no more than those and the ones under way.
    pub(super) fn agrees(&self, report: &Report) -> bool {
        let received = u64::from(report.received);
        (self.arrived..=self.arrived + self.pending.len() as u64).contains(&received)
    }

    /// The counts now; what nobody has decided yet counts as in flight.
    pub(super) fn totals(&self) -> MessageLedger {
        let in_flight = (self.pending.len() + self.orphans.len()) as u64;
        MessageLedger { in_flight, ..self.totals }
    }

    /// The counts when there will be no further report: what has lost its connection stays unknown.
    pub(super) fn close(&mut self) -> MessageLedger {
        self.totals.unknown += self.orphans.len() as u64;
        self.orphans.clear();
        self.totals()
    }
}

/// Messages from the device to the host, as far as the host knows of them: what the device sent after its last
/// report and what did not arrive is in no count.
#[derive(Debug, Default)]
pub(super) struct ReceiveLedger {
    /// Of sessions that the device has forgotten.
    before: MessageLedger,
    now: Received,
}

#[derive(Clone, Copy, Debug, Default)]
struct Received {
    highest: u32,
    /// Distinct messages received.
    received: u64,
    duplicates: u64,
    /// The device's counts at its last report.
    sent_reported: u32,
    acked_reported: u32,
    /// Messages received whose acknowledgement was on its way when an earlier connection ended, and got lost.
    acks_lost: u64,
}

impl Received {
    fn totals(&self) -> MessageLedger {
        let sent = u64::from(self.highest.max(self.sent_reported)).max(self.received);
        let acknowledged = u64::from(self.acked_reported).min(self.received);
        let delivered = self.acks_lost.min(self.received - acknowledged);
        MessageLedger {
            sent,
            acknowledged,
            late: 0,
            delivered,
            lost: sent - self.received,
            unknown: 0,
            in_flight: self.received - acknowledged - delivered,
            duplicates: self.duplicates,
        }
    }
}

impl ReceiveLedger {
    /// A message came.
    pub(super) fn heartbeat(&mut self, sequence: u32) {
        // One connection delivers in order and the device never repeats a number, so that anything at or below
        // the highest has been there before.
        if sequence > self.now.highest {
            self.now.highest = sequence;
            self.now.received += 1;
        } else {
            self.now.duplicates += 1;
        }
    }

    /// The device's report at the start of a connection, and whether it still knew the session.
    pub(super) fn resumed(&mut self, report: &Report, memory: Memory) {
        if memory == Memory::Forgotten || report.sent < self.now.highest {
            let mut closed = self.now.totals();
            closed.unknown += closed.in_flight;
            closed.in_flight = 0;
            self.before.merge(&closed);
            self.now = Received::default();
        }
        self.reported(report);
        let acknowledged = u64::from(report.acked).min(self.now.received);
        self.now.acks_lost = self.now.received - acknowledged;
    }

    /// Any later report of the same connection.
    pub(super) const fn reported(&mut self, report: &Report) {
        self.now.sent_reported = report.sent;
        self.now.acked_reported = report.acked;
    }

    /// Whether the device's count of acknowledgements is possible.
    pub(super) fn agrees(&self, report: &Report) -> bool {
        u64::from(report.acked) <= self.now.received
    }

    /// The counts now.
    pub(super) fn totals(&self) -> MessageLedger {
        let mut totals = self.before;
        totals.merge(&self.now.totals());
        totals
    }

    /// The counts when the connection has ended and nobody will say which acknowledgements arrived.
    pub(super) fn close_without_report(&mut self) -> MessageLedger {
        let mut totals = self.totals();
        totals.unknown += totals.in_flight;
        totals.in_flight = 0;
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LATE: Duration = Duration::from_secs(1);

    /// What may happen between a host and a device, the device's part played by the test.
    #[derive(Clone, Debug)]
    enum Act {
        /// The host sends; the message arrives or is held up.
        Send,
        /// The device takes the oldest message under way.
        Deliver,
        /// The host takes the oldest acknowledgement under way.
        TakeAck,
        /// An acknowledgement comes twice.
        RepeatAck,
        /// The device sends.
        DeviceSends,
        /// The host takes the oldest message of the device's, and its acknowledgement goes out.
        TakeBeat,
        /// The device takes the oldest acknowledgement.
        DeviceTakesAck,
        /// The connection ends with all that is under way, and the host comes back.
        Reconnect,
        /// The device forgets everything.
        Restart,
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            5 => Just(Act::Send),
            5 => Just(Act::Deliver),
            4 => Just(Act::TakeAck),
            1 => Just(Act::RepeatAck),
            5 => Just(Act::DeviceSends),
            4 => Just(Act::TakeBeat),
            3 => Just(Act::DeviceTakesAck),
            1 => Just(Act::Reconnect),
            1 => Just(Act::Restart),
        ];
        proptest::collection::vec(act, 0..400)
    }

    /// The device's memory and the wires.
    #[derive(Default)]
    struct World {
        to_device: VecDeque<u32>,
        acks: VecDeque<u32>,
        to_host: VecDeque<u32>,
        acks_to_device: VecDeque<u32>,
        device: Report,
        last_ack: u32,
    }

    proptest! {
        #[test]
        fn every_message_is_in_one_place_whatever_happens(acts in acts()) {
            let (mut send, mut receive, mut world) =
                (SendLedger::default(), ReceiveLedger::default(), World::default());
            let mut now = Instant::now();
            let mut restarted = false;
            let (mut truly_sent, mut truly_acked) = (0u64, 0u64);
            for act in acts {
                now += Duration::from_millis(100);
                match act {
                    Act::Send => {
                        world.to_device.extend(send.send(now));
                        truly_sent += 1;
                    }
                    Act::Deliver => if let Some(number) = world.to_device.pop_front() {
                        world.device.received += 1;
                        world.device.highest_received = number;
                        world.acks.push_back(number);
                    },
                    Act::TakeAck => if let Some(number) = world.acks.pop_front() {
                        prop_assert!(matches!(send.acked(number, now, LATE), Acked::First(_)));
                        truly_acked += 1;
                        world.last_ack = number;
                    },
                    Act::RepeatAck => if world.last_ack > 0 {
                        prop_assert_eq!(send.acked(world.last_ack, now, LATE), Acked::Again);
                    },
                    Act::DeviceSends => {
                        world.device.sent += 1;
                        world.to_host.push_back(world.device.sent);
                    }
                    Act::TakeBeat => if let Some(number) = world.to_host.pop_front() {
                        receive.heartbeat(number);
                        world.acks_to_device.push_back(number);
                    },
                    Act::DeviceTakesAck => if world.acks_to_device.pop_front().is_some() {
                        world.device.acked += 1;
                    },
                    Act::Restart | Act::Reconnect => {
                        if matches!(act, Act::Restart) {
                            world.device = Report::default();
                            restarted = true;
                        }
                        send.connection_ended();
                        world = World { device: world.device, last_ack: world.last_ack, ..World::default() };
                        let memory = send.resumed(&world.device);
                        receive.resumed(&world.device, memory);
                    }
                }
                let (out, back) = (send.totals(), receive.totals());
                prop_assert!(out.balances(), "{:?}", out);
                prop_assert!(back.balances(), "{:?}", back);
                prop_assert_eq!(out.sent, truly_sent);
                prop_assert_eq!(out.acknowledged + out.late, truly_acked);
                if !restarted {
                    prop_assert_eq!(out.unknown, 0);
                    prop_assert!(send.agrees(&world.device) && receive.agrees(&world.device));
                    prop_assert_eq!(back.acknowledged <= u64::from(world.device.acked), true);
                    let arrived = u64::from(world.device.received);
                    prop_assert!(out.acknowledged + out.late + out.delivered <= arrived);
                }
            }
            prop_assert!(send.close().balances());
            prop_assert!(receive.close_without_report().balances());
        }
    }

    #[test]
    fn what_the_device_had_received_is_told_from_what_was_lost() {
        let (mut ledger, now) = (SendLedger::default(), Instant::now());
        for _ in 0..5 {
            ledger.send(now);
        }
        ledger.acked(1, now, LATE);
        assert_eq!(ledger.connection_ended(), 4);
        let report = Report { received: 3, highest_received: 3, ..Report::default() };
        assert_eq!(ledger.resumed(&report), Memory::Kept);
        let totals = ledger.totals();
        assert_eq!((totals.acknowledged, totals.delivered, totals.lost), (1, 2, 2));
    }

    #[test]
    fn a_device_that_forgot_leaves_the_fate_of_messages_unknown() {
        let (mut ledger, now) = (SendLedger::default(), Instant::now());
        ledger.send(now);
        ledger.acked(1, now, LATE);
        ledger.send(now);
        ledger.connection_ended();
        assert_eq!(ledger.resumed(&Report::default()), Memory::Forgotten);
        assert_eq!((ledger.totals().unknown, ledger.totals().lost), (1, 0));
    }

    #[test]
    fn an_acknowledgement_beyond_the_silence_that_ends_a_peer_is_late() {
        let (mut ledger, now) = (SendLedger::default(), Instant::now());
        ledger.send(now);
        ledger.acked(1, now + LATE * 2, LATE);
        assert_eq!((ledger.totals().late, ledger.totals().acknowledged), (1, 0));
    }

    #[test]
    fn an_acknowledgement_of_what_was_never_sent_is_a_strangers() {
        let mut ledger = SendLedger::default();
        assert_eq!(ledger.acked(1, Instant::now(), LATE), Acked::Stranger);
    }

    #[test]
    fn a_sender_without_acknowledgements_stops_at_the_limit() {
        let (mut ledger, now) = (SendLedger::default(), Instant::now());
        let sent = (0..MOST_PENDING + 10).filter(|_| ledger.send(now).is_some()).count();
        assert_eq!(sent, MOST_PENDING);
    }
}
