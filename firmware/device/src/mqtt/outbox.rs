//! Messages on their way to the broker.

use crate::mqtt::packet::{PacketId, Qos};
use crate::mqtt::settings::Topic;
use crate::time::Instant;

/// Messages that can wait at once.
pub const OUTBOX: usize = 8;

/// Longest payload of a message, bytes.
pub const MESSAGE_LEN: usize = 128;

/// How far a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// To be sent for the first time in its session.
    New,
    /// Sent at that time on the connection of now; its acknowledgement is waited for.
    Sent(Instant),
    /// Sent before in the same session; to be sent again.
    Again,
}

/// One message.
pub(super) struct Message {
    pub(super) topic: Topic,
    pub(super) qos: Qos,
    pub(super) id: Option<PacketId>,
    pub(super) stage: Stage,
    payload: heapless::Vec<u8, MESSAGE_LEN>,
}

impl Message {
    /// A new one; `None` when the payload is too long.
    pub(super) fn new(topic: Topic, qos: Qos, payload: &[u8]) -> Option<Self> {
        let payload = heapless::Vec::from_slice(payload).ok()?;
        Some(Self { topic, qos, id: None, stage: Stage::New, payload })
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }
}

/// The messages, in the order in which they were published.
pub(super) struct Outbox(heapless::Vec<Message, OUTBOX>);

impl Outbox {
    pub(super) const fn new() -> Self {
        Self(heapless::Vec::new())
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.is_full()
    }

    /// Adds a message; one that finds no place is dropped.
    pub(super) fn push(&mut self, message: Message) {
        let _ = self.0.push(message);
    }

    /// Drops all messages.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The broker has it.
    pub(super) fn acknowledge(&mut self, id: PacketId) {
        self.0.retain(|message| message.id != Some(id));
    }

    /// Whether the number is taken.
    pub(super) fn has(&self, id: PacketId) -> bool {
        self.0.iter().any(|message| message.id == Some(id))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Message> {
        self.0.iter_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Message> {
        self.0.iter()
    }

    /// The place of the first message that can be sent.
    pub(super) fn first_to_send(&self) -> Option<usize> {
        self.0.iter().position(|message| !matches!(message.stage, Stage::Sent(_)))
    }

    pub(super) fn at(&mut self, place: usize) -> Option<&mut Message> {
        self.0.get_mut(place)
    }

    /// Drops the message in that place.
    pub(super) fn remove(&mut self, place: usize) {
        if place < self.0.len() {
            self.0.remove(place);
        }
    }
}
