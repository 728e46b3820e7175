//! What the client keeps from one connection to the next: its outbox, its session, and its patience.

use core::time::Duration;

use crate::buffer::Buffer;
use crate::config::Config;
use crate::mqtt::outbox::{MESSAGE_LEN, Message, Outbox, Stage};
use crate::mqtt::packet::{
    Packet, PacketId, Publish, Qos, Subscribe, Subscription, Subscriptions, Version, Will,
};
use crate::mqtt::settings::{Settings, Topic, client_id};
use crate::mqtt::{ConnAck, Connect};
use crate::persona::{MqttHabits, Queueing, Reconnecting, Redelivering, Resubscribing, SessionPresent};
use crate::text::Text;
use crate::time::{Instant, earliest};

/// The first wait before dialling again, where the last session lasted.
pub const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait before dialling again.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long a session has to last for the next wait to be the first again.
const LASTING: Duration = Duration::from_secs(10);

/// The wait of a client without back-off.
const NO_WAIT: Duration = Duration::from_millis(100);

/// How long dialling may take.
pub const DIAL_LIMIT: Duration = Duration::from_secs(5);

/// The same of a client that does nothing else meanwhile, as PubSubClient's.
pub const BLOCKING_DIAL_LIMIT: Duration = Duration::from_secs(15);

/// What the broker is known to have of the subscription.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Subscribed {
    /// Nothing was ever asked.
    Never,
    /// Asked, in this session or an earlier one.
    Asked,
    /// Acknowledged, in the session of now.
    Granted,
}

/// The client's memory.
pub(crate) struct Client {
    settings: Settings,
    /// How often its settings were changed.
    changes: u32,
    id: Text<36>,
    boot: u32,
    outbox: Outbox,
    last_id: u16,
    numbered: u32,
    next_data: Instant,
    subscribed: Subscribed,
    subscribe_id: Option<PacketId>,
    /// Since when the broker accepts the connection of now.
    accepted: Option<Instant>,
    /// Whether there ever was a session.
    had_session: bool,
    /// Waits since a session lasted.
    waits: u32,
    random: u64,
}

/// What a CONNACK leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    /// The session is there.
    Session,
    /// The broker refused, or the client cannot stand the answer.
    No,
}

impl Client {
    pub(crate) fn new(settings: Settings, config: &Config, now: Instant) -> Self {
        Self {
            settings,
            changes: 0,
            id: client_id(&config.name, config.number),
            boot: config.boot.count,
            outbox: Outbox::new(),
            last_id: 0,
            numbered: 0,
            next_data: now,
            subscribed: Subscribed::Never,
            subscribe_id: None,
            accepted: None,
            had_session: false,
            waits: 0,
            random: settings.seed ^ u64::from(config.boot.count) << 32,
        }
    }

    /// Other settings from now on. A keep alive is said in CONNECT: the connection of now ends.
    pub(crate) fn set(&mut self, keep_alive: Option<u16>, interval: Option<Duration>, now: Instant) {
        if let Some(interval) = interval {
            self.settings.interval = interval;
            self.next_data = now;
        }
        if let Some(keep_alive) = keep_alive {
            self.settings.keep_alive = keep_alive;
            self.changes = self.changes.wrapping_add(1);
            self.waits = 0;
        }
    }

    pub(super) const fn changes(&self) -> u32 {
        self.changes
    }

    pub(super) const fn keep_alive(&self) -> Option<Duration> {
        match self.settings.keep_alive {
            0 => None,
            seconds => Some(Duration::from_secs(seconds as u64)),
        }
    }

    /// Whether a broker has accepted the connection of now.
    pub(crate) const fn is_accepted(&self) -> bool {
        self.accepted.is_some()
    }

    /// Writes the CONNECT.
    pub(super) fn connect<const N: usize>(&self, output: &mut Buffer<N>) -> bool {
        let status = Topic::Status.of(&self.id);
        let will = Will { topic: &status, payload: b"offline", qos: Qos::AtMostOnce, retain: true };
        let connect = Connect {
            version: Version::V311,
            clean: self.settings.clean,
            keep_alive: self.settings.keep_alive,
            client_id: &self.id,
            will: Some(will),
            ..Connect::default()
        };
        push(output, &Packet::Connect(connect))
    }

    /// The broker has answered the CONNECT.
    pub(super) fn connected(&mut self, answer: ConnAck<'_>, habits: &MqttHabits, now: Instant) -> Opened {
        if answer.code != 0 || (answer.session_present && habits.session_present == SessionPresent::Refused) {
            return Opened::No;
        }
        self.accepted = Some(now);
        self.had_session = true;
        let continues = answer.session_present && !self.settings.clean;
        if !continues && self.subscribed == Subscribed::Granted {
            self.subscribed = Subscribed::Asked;
        }
        for message in self.outbox.iter_mut().filter(|message| message.stage != Stage::New) {
            // In a new session nothing was sent before: other numbers, no DUP (MQTT-3.3.1-1 is about re-delivery).
            if continues || habits.redelivering == Redelivering::WithoutDup {
                message.stage = Stage::Again;
            } else {
                message.stage = Stage::New;
                message.id = None;
            }
        }
        Opened::Session
    }

    /// Writes what a new session starts with: SUBSCRIBE where it is needed, and the birth message.
    pub(super) fn introduce<const N: usize>(&mut self, habits: &MqttHabits, output: &mut Buffer<N>) {
        let subscribes = match (habits.resubscribing, self.subscribed) {
            (_, Subscribed::Never) => true,
            (_, Subscribed::Granted) | (Resubscribing::Never, _) => false,
            (Resubscribing::WhenNeeded, Subscribed::Asked) => true,
        };
        if subscribes {
            let id = self.free_id();
            let filter = Topic::Command.of(&self.id);
            let subscriptions = [Subscription::new(&filter, Qos::AtLeastOnce)];
            let subscribe = Subscribe { id, subscriptions: Subscriptions::new(&subscriptions) };
            if push(output, &Packet::Subscribe(subscribe)) {
                self.subscribed = Subscribed::Asked;
                self.subscribe_id = Some(id);
            }
        }
        let topic = Topic::Status.of(&self.id);
        let birth = Publish { retain: true, topic: &topic, payload: b"online", ..Publish::default() };
        push(output, &Packet::Publish(birth));
    }

    pub(super) fn granted(&mut self, id: PacketId) {
        if self.subscribe_id == Some(id) {
            self.subscribe_id = None;
            self.subscribed = Subscribed::Granted;
        }
    }

    pub(super) fn acknowledged(&mut self, id: PacketId) {
        self.outbox.acknowledge(id);
    }

    /// Answers a command of this many bytes; there is no answer when the outbox is full.
    pub(super) fn answer(&mut self, topic: &str, payload: Option<&[u8]>, len: usize) {
        if topic != &*Topic::Command.of(&self.id) {
            return;
        }
        let qos = self.settings.qos;
        let whole = payload.and_then(|payload| Message::new(Topic::Echo, qos, payload));
        let message = whole.or_else(|| {
            let mut text = Buffer::<32>::new();
            core::fmt::Write::write_fmt(&mut text, format_args!("{{\"bytes\":{len}}}")).ok()?;
            Message::new(Topic::Echo, qos, text.filled())
        });
        if let Some(message) = message {
            self.outbox.push(message);
        }
    }

    /// Publishes what has become due, as far as there is room; what does not find any takes no number.
    pub(super) fn publish_due(&mut self, habits: &MqttHabits, now: Instant) {
        let every = self.interval(habits);
        while self.next_data <= now {
            if self.outbox.is_full() {
                // On the grid, so that the time of the full outbox does not show in the phase.
                let behind = now.since(self.next_data).as_micros() / every.as_micros() + 1;
                let skipped = every.as_micros().saturating_mul(behind);
                let skipped = Duration::from_micros(u64::try_from(skipped).unwrap_or(u64::MAX));
                self.next_data = self.next_data + skipped;
                return;
            }
            self.numbered = self.numbered.wrapping_add(1);
            let (number, boot, up) = (self.numbered, self.boot, self.next_data.as_millis());
            let mut text = Buffer::<MESSAGE_LEN>::new();
            let payload = format_args!("{{\"n\":{number},\"boot\":{boot},\"up_ms\":{up}}}");
            let written = core::fmt::Write::write_fmt(&mut text, payload);
            debug_assert!(written.is_ok(), "three numbers fit");
            if let Some(message) = Message::new(Topic::Data, self.settings.qos, text.filled()) {
                self.outbox.push(message);
            }
            self.next_data = self.next_data + every;
        }
    }

    fn interval(&self, habits: &MqttHabits) -> Duration {
        let quiet = self.keep_alive().map(|time| time * u32::from(habits.quiet_for) / 100);
        self.settings.interval.max(quiet.unwrap_or_default()).max(Duration::from_millis(1))
    }

    /// A connection starts. For QoS 0, and for a client that drops its queue, what fell due without one is gone.
    pub(super) fn starts(&mut self, habits: &MqttHabits, now: Instant) {
        let drops = habits.queueing == Queueing::DroppedInOutages;
        if self.settings.qos != Qos::AtMostOnce && !drops {
            return;
        }
        self.outbox.clear();
        let every = self.interval(habits);
        let missed = now.since(self.next_data).as_micros() / every.as_micros();
        let missed = u32::try_from(missed).unwrap_or(u32::MAX);
        if drops && self.had_session {
            self.numbered = self.numbered.wrapping_add(missed);
        }
        self.next_data = self.next_data + every.saturating_mul(missed);
    }

    /// Writes messages that are to be sent, as long as there is room; says whether it wrote any.
    pub(super) fn send<const N: usize>(
        &mut self,
        habits: &MqttHabits,
        output: &mut Buffer<N>,
        room: usize,
        now: Instant,
    ) -> bool {
        if let Some(every) = habits.repeats_every {
            for message in self.outbox.iter_mut() {
                if matches!(message.stage, Stage::Sent(at) if at + every <= now) {
                    message.stage = Stage::Again;
                }
            }
        }
        let mut wrote = false;
        while output.room() >= room
            && let Some(place) = self.outbox.first_to_send()
        {
            let unnumbered = |message: &Message| message.qos != Qos::AtMostOnce && message.id.is_none();
            let needs_number = self.outbox.iter().nth(place).is_some_and(unnumbered);
            let number = needs_number.then(|| self.free_id());
            let Some(message) = self.outbox.at(place) else {
                return wrote;
            };
            let again = message.stage == Stage::Again;
            message.id = message.id.or(number);
            let topic = message.topic.of(&self.id);
            let publish = Publish {
                dup: again && habits.redelivering == Redelivering::WithDup,
                qos: message.qos,
                retain: false,
                topic: &topic,
                id: message.id,
                payload: message.payload(),
            };
            wrote |= push(output, &Packet::Publish(publish));
            message.stage = Stage::Sent(now);
            if message.qos == Qos::AtMostOnce {
                self.outbox.remove(place);
            }
        }
        wrote
    }

    /// When there is next something to send without anything else happening.
    pub(super) fn sends_at(&self, habits: &MqttHabits) -> Option<Instant> {
        let repeats = habits.repeats_every.and_then(|every| {
            let sent = self.outbox.iter().filter_map(|message| match message.stage {
                Stage::Sent(at) => Some(at + every),
                Stage::New | Stage::Again => None,
            });
            sent.min()
        });
        earliest(repeats, Some(self.next_data))
    }

    /// A number that no message has, and the next one is not the same.
    fn free_id(&mut self) -> PacketId {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            // At most nine are taken.
            if let Some(id) = PacketId::new(self.last_id)
                && !self.outbox.has(id)
                && self.subscribe_id != Some(id)
            {
                return id;
            }
        }
    }

    /// Dialling failed or the connection is gone: how long to wait, `None` for ever.
    pub(crate) fn ended(&mut self, habits: &MqttHabits, now: Instant) -> Option<Duration> {
        let lasted = self.accepted.take().is_some_and(|since| now.since(since) >= LASTING);
        if lasted {
            self.waits = 0;
        }
        match habits.reconnecting {
            Reconnecting::Never if self.had_session => None,
            Reconnecting::AtOnce => Some(NO_WAIT),
            Reconnecting::Never | Reconnecting::BackingOff => {
                let doubled = FIRST_WAIT.saturating_mul(1 << self.waits.min(6));
                self.waits = self.waits.saturating_add(1);
                Some(self.jittered(doubled.min(LONGEST_WAIT)))
            }
        }
    }

    /// Between half of it and the whole.
    fn jittered(&mut self, wait: Duration) -> Duration {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.random;
        bits = (bits ^ bits >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        let permille = 500 + ((bits ^ bits >> 31) % 501) as u32;
        wait * permille / 1_000
    }
}

/// Writes a packet, if it fits.
pub(super) fn push<const N: usize>(output: &mut Buffer<N>, packet: &Packet<'_>) -> bool {
    match packet.encode(Version::V311, output.space()) {
        Ok(len) => {
            output.fill(len);
            true
        }
        Err(_) => false,
    }
}
