//! Where the device's messages stayed: received, again, lost, by quality of service. Pure and bounded.
//!
//! A packet id is free again once it is acknowledged; of those the last few thousand are remembered. So a PUBLISH is a
//! repetition without the flag only while the one before it under the same id, with the same topic and payload, was never
//! acknowledged. Across a clean session nothing obliges a client to say that it repeats.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use espstress_device::mqtt::{Publish, Qos};
use espstress_event::MqttDelivery;

use super::sequence::{Came, Sequence, number};

/// Why loss is not known without `--sequence`.
const NO_SEQUENCE: &str = "messages carry no number that --sequence names";
/// Why it is not known although it was asked for.
const NO_NUMBER: &str = "no payload had a number where --sequence says";

/// Acknowledged messages that are remembered, so that a late copy of one is known: a client that counts its packet ids up to
/// 65,535 would fill some megabytes.
const MOST_ACKNOWLEDGED: usize = 4_096;

/// A message under its packet id.
#[derive(Clone, Copy, Debug)]
struct Known {
    content: u64,
    /// The acknowledgement's number, counted over the run.
    acknowledged: Option<u64>,
    /// Copies on that connection: one more on another is what the standard wants (MQTT-4.4.0-1).
    copies: u64,
    /// Of these, the ones that came although the acknowledgement had arrived.
    needless: u64,
    connection: u64,
    session: u64,
}

/// The account of one device's messages.
#[derive(Debug)]
pub(super) struct Ledger {
    pointer: Option<String>,
    by_qos: [MqttDelivery; 3],
    /// One for all: which quality of service a missing message had, nobody knows.
    sequence: Sequence,
    numbered: [bool; 3],
    /// A fault is over, and no number came since.
    quiet: bool,
    /// A new number came in this session.
    news: bool,
    known: HashMap<u16, Known>,
    /// What was acknowledged, by packet id and number.
    acknowledged: VecDeque<(u16, u64)>,
    acknowledgements: u64,
    session: u64,
}

impl Ledger {
    pub(super) fn new(pointer: Option<String>) -> Self {
        Self {
            pointer,
            by_qos: Default::default(),
            sequence: Sequence::default(),
            numbered: [false; 3],
            quiet: false,
            news: false,
            known: HashMap::new(),
            acknowledged: VecDeque::new(),
            acknowledgements: 0,
            session: 0,
        }
    }

    /// A fault is over. What was lost in it shows only by the next number.
    pub(super) const fn fault_is_over(&mut self) {
        self.quiet = true;
    }

    /// Whether a new number came since this was asked last.
    pub(super) const fn news(&mut self) -> bool {
        std::mem::replace(&mut self.news, false)
    }

    /// A session began from nothing.
    pub(super) const fn new_session(&mut self) {
        self.session += 1;
    }

    /// A message has come on a connection. Until `now`, the device could send for so long. `told` is whether all that was
    /// sent to it on this connection has arrived: the acknowledgement of an earlier copy as well.
    pub(super) fn received(&mut self, connection: u64, publish: &Publish<'_>, told: bool, now: Duration) {
        let noted = self.note(connection, publish, told, content(publish));
        let copies = noted.map(|(copies, _)| copies);
        let Some(row) = self.by_qos.get_mut(publish.qos as usize) else { return };
        row.copies_max = row.copies_max.max(copies.unwrap_or(1));
        row.acknowledged_copies_max =
            row.acknowledged_copies_max.max(noted.map_or(0, |(_, needless)| needless));
        match copies {
            Some(_) if publish.dup => row.again_dup += 1,
            Some(_) => row.again_no_dup += 1,
            None => {
                row.received += 1;
                self.number(publish, now);
            }
        }
    }

    /// How many copies of it have come on this connection, with this one, and how many of them after its acknowledgement;
    /// `None` where it is the first of all.
    fn note(
        &mut self,
        connection: u64,
        publish: &Publish<'_>,
        told: bool,
        content: u64,
    ) -> Option<(u64, u64)> {
        let id = publish.id?.get();
        let new =
            Known { content, acknowledged: None, copies: 1, needless: 0, connection, session: self.session };
        let known = self.known.entry(id).or_insert(Known { copies: 0, ..new });
        let same = known.copies > 0 && known.content == content;
        let again = same && (publish.dup || (known.acknowledged.is_none() && known.session == self.session));
        if !again {
            *known = new;
            return None;
        }
        if known.connection == connection {
            known.copies += 1;
            known.needless += u64::from(told && known.acknowledged.is_some());
        } else {
            (known.copies, known.needless) = (1, 0);
        }
        known.connection = connection;
        known.acknowledged = None;
        Some((known.copies, known.needless))
    }

    fn number(&mut self, publish: &Publish<'_>, now: Duration) {
        let qos = publish.qos as usize;
        let Some(pointer) = &self.pointer else { return };
        let Some((number, boot)) = number(pointer, publish.payload) else { return };
        let Some(row) = self.by_qos.get_mut(qos) else { return };
        if let Some(numbered) = self.numbered.get_mut(qos) {
            *numbered = true;
        }
        match self.sequence.take(number, boot, now) {
            Came::New(_) => (self.quiet, self.news) = (false, true),
            Came::Late => *row.out_of_order.get_or_insert(0) += 1,
            Came::Again => {
                row.received -= 1;
                *row.again_new_id.get_or_insert(0) += 1;
            }
        }
    }

    /// The message of this id was acknowledged.
    pub(super) fn acknowledged(&mut self, id: u16) {
        let Some(known) = self.known.get_mut(&id) else { return };
        self.acknowledgements += 1;
        known.acknowledged = Some(self.acknowledgements);
        self.acknowledged.push_back((id, self.acknowledgements));
        if self.acknowledged.len() > MOST_ACKNOWLEDGED
            && let Some((id, number)) = self.acknowledged.pop_front()
            && self.known.get(&id).is_some_and(|known| known.acknowledged == Some(number))
        {
            self.known.remove(&id);
        }
    }

    /// The account so far. Lost messages count where the least was promised.
    pub(super) fn by_qos(&self, settled: Option<Duration>) -> [MqttDelivery; 3] {
        let mut all = self.by_qos.clone();
        let mut quiet = self.quiet;
        let (mut lost, mut under_way) = (self.sequence.lost(settled), self.sequence.under_way(settled));
        for (row, numbered) in all.iter_mut().zip(self.numbered) {
            if numbered {
                row.lost = Some(std::mem::take(&mut lost));
                row.under_way = std::mem::take(&mut under_way);
                row.quiet_after_fault = std::mem::take(&mut quiet);
                row.again_new_id.get_or_insert(0);
                row.out_of_order.get_or_insert(0);
            } else {
                let why = if self.pointer.is_some() { NO_NUMBER } else { NO_SEQUENCE };
                row.not_kept = Some(why.to_owned());
            }
        }
        all
    }

    /// Whether a message ever came.
    pub(super) fn any(&self) -> bool {
        self.by_qos.iter().any(|row| row.received > 0)
    }
}

fn content(publish: &Publish<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (publish.topic, publish.payload, publish.qos == Qos::ExactlyOnce).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use espstress_device::mqtt::PacketId;

    fn publish(id: u16, payload: &'static [u8], dup: bool) -> Publish<'static> {
        let qos = if id == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce };
        Publish { dup, qos, retain: false, topic: "t", id: PacketId::new(id), payload }
    }

    fn ledger(pointer: Option<&str>) -> Ledger {
        Ledger::new(pointer.map(str::to_owned))
    }

    /// When the device has had time for everything.
    fn row(ledger: &Ledger) -> MqttDelivery {
        ledger.by_qos(Some(Duration::ZERO))[1].clone()
    }

    fn receive(ledger: &mut Ledger, connection: u64, publish: &Publish<'_>) {
        ledger.received(connection, publish, true, Duration::ZERO);
    }

    #[test]
    fn a_packet_id_that_was_acknowledged_is_free_for_the_same_words() {
        let mut ledger = ledger(None);
        for _ in 0..3 {
            receive(&mut ledger, 1, &publish(1, b"ON", false));
            ledger.acknowledged(1);
        }
        assert_eq!((row(&ledger).received, row(&ledger).again_no_dup), (3, 0));
    }

    #[test]
    fn of_messages_that_were_acknowledged_the_last_ones_are_remembered_and_of_others_all() {
        let mut ledger = ledger(None);
        receive(&mut ledger, 1, &publish(1, b"ON", false));
        for id in 2..=u16::MAX {
            receive(&mut ledger, 1, &publish(id, b"ON", false));
            ledger.acknowledged(id);
        }
        assert_eq!(
            (ledger.known.len(), ledger.acknowledged.len()),
            (MOST_ACKNOWLEDGED + 1, MOST_ACKNOWLEDGED)
        );
        receive(&mut ledger, 1, &publish(1, b"ON", true));
        receive(&mut ledger, 1, &publish(u16::MAX, b"ON", true));
        assert_eq!(row(&ledger).again_dup, 2);
    }

    #[test]
    fn an_unacknowledged_message_that_comes_again_is_a_repetition_with_its_flag_or_without() {
        let mut ledger = ledger(None);
        receive(&mut ledger, 1, &publish(1, b"ON", false));
        receive(&mut ledger, 1, &publish(1, b"ON", false));
        receive(&mut ledger, 1, &publish(1, b"ON", true));
        let row = row(&ledger);
        assert_eq!((row.received, row.again_no_dup, row.again_dup, row.copies_max), (1, 1, 1, 3));
    }

    #[test]
    fn one_more_copy_on_each_connection_is_no_flood() {
        let mut ledger = ledger(None);
        (1..6).for_each(|connection| receive(&mut ledger, connection, &publish(1, b"ON", connection > 1)));
        assert_eq!((row(&ledger).again_dup, row(&ledger).copies_max), (4, 1));
    }

    #[test]
    fn a_copy_that_crosses_its_acknowledgement_is_not_needless() {
        let mut ledger = ledger(None);
        let message = publish(1, b"ON", true);
        for told in [true, true, false, true] {
            ledger.received(1, &message, told, Duration::ZERO);
            ledger.acknowledged(1);
        }
        assert_eq!((row(&ledger).copies_max, row(&ledger).acknowledged_copies_max), (4, 2));
        // After a reconnection it has to be sent again.
        ledger.received(2, &message, true, Duration::ZERO);
        ledger.acknowledged(1);
        ledger.received(2, &message, true, Duration::ZERO);
        assert_eq!(row(&ledger).acknowledged_copies_max, 2);
    }

    #[test]
    fn a_clean_session_owes_no_flag() {
        let mut ledger = ledger(None);
        receive(&mut ledger, 1, &publish(1, b"ON", false));
        ledger.new_session();
        receive(&mut ledger, 1, &publish(1, b"ON", false));
        assert_eq!((row(&ledger).received, row(&ledger).again_no_dup), (2, 0));
    }

    #[test]
    fn with_the_flag_and_nothing_before_it_a_message_came_for_the_first_time() {
        let mut ledger = ledger(None);
        receive(&mut ledger, 1, &publish(9, b"late", true));
        assert_eq!((row(&ledger).received, row(&ledger).again_dup), (1, 0));
    }

    #[test]
    fn a_gap_between_messages_of_two_qualities_is_laid_to_the_lesser() {
        let mut ledger = ledger(Some("/n"));
        receive(&mut ledger, 1, &publish(1, br#"{"n":1}"#, false));
        receive(&mut ledger, 1, &publish(0, br#"{"n":2}"#, false));
        receive(&mut ledger, 1, &publish(2, br#"{"n":4}"#, false));
        let counted = |settled| ledger.by_qos(settled).map(|row| (row.lost, row.under_way));
        assert_eq!(counted(None), [(Some(0), 1), (Some(0), 0), (None, 0)]);
        assert_eq!(counted(Some(Duration::ZERO)), [(Some(1), 0), (Some(0), 0), (None, 0)]);
    }

    #[test]
    fn after_a_fault_only_a_new_number_shows_what_was_lost() {
        let mut ledger = ledger(Some("/n"));
        let quiet = |ledger: &Ledger| row(ledger).quiet_after_fault;
        ledger.fault_is_over();
        assert!(!quiet(&ledger), "it has no numbers");
        receive(&mut ledger, 1, &publish(1, br#"{"n":1}"#, false));
        ledger.fault_is_over();
        receive(&mut ledger, 2, &publish(1, br#"{"n":1}"#, true));
        assert!(quiet(&ledger), "an old one again");
        receive(&mut ledger, 2, &publish(2, br#"{"n":2}"#, false));
        assert!(!quiet(&ledger));
    }

    #[test]
    fn a_ledger_without_numbers_says_that_it_is_not_kept() {
        let mut ledger = ledger(Some("/n"));
        receive(&mut ledger, 1, &publish(1, br#"{"temperature":1}"#, false));
        assert_eq!((row(&ledger).lost, row(&ledger).not_kept.as_deref()), (None, Some(NO_NUMBER)));
        receive(&mut ledger, 1, &publish(2, br#"{"n":1}"#, false));
        receive(&mut ledger, 1, &publish(3, br#"{"n":3}"#, false));
        receive(&mut ledger, 1, &publish(4, br#"{"n":3}"#, false));
        let row = row(&ledger);
        assert_eq!((row.lost, row.again_new_id, row.not_kept), (Some(1), Some(1), None));
    }
}
