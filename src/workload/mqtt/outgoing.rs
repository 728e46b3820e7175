//! Messages to the device: what is sent when, what is acknowledged, and what never is. Pure: instants in, packets out.
//!
//! Nothing is sent unless it was asked for and the device is subscribed to it. A message that is not acknowledged says
//! something of the device only if its stack has all bytes, ten seconds have passed, and the device then sent something
//! else on the same connection.

use std::time::{Duration, Instant};

use super::big::{Big, Gone, Role};
use super::settings::PublishTo;
use espstress_clock::nanos;
use espstress_device::mqtt::{PacketId, Qos};
use espstress_event::{MqttBig, MqttFault, MqttToDevice};

/// How long an acknowledgement may take, once the device's stack has the message.
pub(super) const LIMIT: Duration = Duration::from_secs(10);
/// Messages under way at once.
const MOST_FLYING: usize = 16;
/// Between two looks at whether the device's stack has a message.
const LOOK: Duration = Duration::from_millis(50);

/// What goes to the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Send {
    Message {
        id: Option<PacketId>,
        qos: Qos,
        dup: bool,
        payload: Vec<u8>,
    },
    /// PUBREL.
    Release(PacketId),
}

/// What has come from the device for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// PUBACK.
    Acknowledged(PacketId),
    /// PUBREC.
    Received(PacketId),
    /// PUBCOMP.
    Complete(PacketId),
}

/// What the device said in its CONNECT of what it takes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Takes {
    /// Messages at once.
    pub(super) at_once: Option<u16>,
    /// Bytes of a packet.
    pub(super) packet: Option<u32>,
    /// Packets have properties.
    pub(super) v5: bool,
}

/// Which answer a message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// PUBACK or PUBREC for it.
    Sent,
    /// The same for the repetition of `redeliver`.
    Repeated,
    /// PUBCOMP.
    Released,
}

/// A message that is not acknowledged to the end.
#[derive(Debug)]
struct Flying {
    id: PacketId,
    qos: Qos,
    payload: Vec<u8>,
    stage: Stage,
    first: Instant,
    /// The device's stack has all bytes since then, with the host's deaf time until then.
    there: Option<(Instant, Duration)>,
    /// It was counted as not acknowledged.
    missed: bool,
    /// A fault began or ended while it was under way.
    disturbed: bool,
    /// It is one of those of `big`, and in no other account.
    big: Option<Role>,
}

impl Flying {
    /// Whether it was acknowledged, and only its repetition is under way.
    fn is_counted(&self) -> bool {
        self.stage == Stage::Repeated && self.qos == Qos::AtLeastOnce
    }

    /// Whether it counts as nothing so far but as sent.
    fn is_undecided(&self) -> bool {
        self.big.is_none() && !self.missed && !self.is_counted()
    }

    /// Where it counts as not acknowledged: as a message, or as a repetition of one that was.
    fn count_missed(&self, row: &mut MqttToDevice, change: fn(u64) -> u64) {
        match (self.qos, self.stage) {
            (Qos::AtLeastOnce, Stage::Repeated) => {
                row.again_unacknowledged = change(row.again_unacknowledged);
            }
            (_, Stage::Released) => {
                row.uncompleted = change(row.uncompleted);
                row.unacknowledged = change(row.unacknowledged);
            }
            _ => row.unacknowledged = change(row.unacknowledged),
        }
    }

    /// Whether it is not acknowledged although the device's stack has had it for so long.
    fn is_overdue(&self, now: Instant, deaf: Duration) -> bool {
        self.there.is_some_and(|(at, before)| now > at + LIMIT + deaf.saturating_sub(before))
    }
}

/// Everything about messages to the device.
#[derive(Debug)]
pub(super) struct Outgoing {
    to: PublishTo,
    interval: Duration,
    /// The best quality of service of a filter of the device's that takes the topic.
    granted: Option<Qos>,
    ever_granted: bool,
    /// When the next message is due; `None` without a session.
    due: Option<Instant>,
    takes: Takes,
    /// The fault allows messages.
    allowed: bool,
    redelivers: bool,
    /// Nothing new is sent any more.
    ends: bool,
    number: u64,
    last_id: u16,
    /// All ids were used.
    went_round: bool,
    flying: Vec<Flying>,
    big: Option<Big>,
    /// The longest that an acknowledgement took.
    slowest: Option<Duration>,
    by_qos: [MqttToDevice; 3],
}

/// The least size of a packet on a topic so long in which the number of a message fits, bytes.
pub(super) const fn least_size(topic: usize) -> u32 {
    // Head of up to 3 bytes, length of the topic, packet id, length of properties, `espstress ` and ten digits.
    (3 + 2 + topic + 2 + 1 + 20) as u32
}

impl Outgoing {
    pub(super) fn new(to: PublishTo, interval: Duration) -> Self {
        Self {
            to,
            interval,
            granted: None,
            ever_granted: false,
            due: None,
            takes: Takes::default(),
            allowed: true,
            redelivers: false,
            ends: false,
            number: 0,
            last_id: 0,
            went_round: false,
            flying: Vec::new(),
            big: None,
            slowest: None,
            by_qos: Default::default(),
        }
    }

    pub(super) fn topic(&self) -> &str {
        &self.to.topic
    }

    /// The device is subscribed so now.
    pub(super) fn subscribed(&mut self, best: Option<Qos>) {
        self.granted = best.map(|best| if (best as u8) < self.to.qos as u8 { best } else { self.to.qos });
        self.ever_granted |= best.is_some();
    }

    /// A session begins, or goes on, on a new connection: what is to be sent again before anything else.
    pub(super) fn begins(&mut self, present: bool, takes: Takes, now: Instant) -> Vec<Send> {
        // A device that dials again has given its connection up.
        if self.due.is_some() {
            self.gone(Gone::ByDevice);
        }
        self.takes = takes;
        self.due = Some(now + self.interval);
        if !present {
            for message in std::mem::take(&mut self.flying) {
                self.left(&message);
            }
            return Vec::new();
        }
        let mut again = Vec::new();
        for message in &mut self.flying {
            message.there = None;
            message.disturbed = true;
            if let (Some(big), Some(role)) = (&mut self.big, message.big.filter(|_| !message.missed)) {
                big.resumes(role);
            }
            again.push(match message.stage {
                Stage::Sent | Stage::Repeated => {
                    if let Some(row) = self.by_qos.get_mut(message.qos as usize) {
                        row.again += u64::from(message.big.is_none());
                    }
                    message_of(message, true)
                }
                Stage::Released => Send::Release(message.id),
            });
        }
        again
    }

    /// The connection of the session is over.
    pub(super) fn gone(&mut self, how: Gone) {
        self.due = None;
        self.granted = None;
        if let Some(big) = &mut self.big {
            big.gone(how);
        }
    }

    /// A message that nobody waits for any more.
    fn left(&mut self, message: &Flying) {
        if let Some(row) = self.by_qos.get_mut(message.qos as usize) {
            row.abandoned += u64::from(message.is_undecided());
        }
    }

    /// Another fault, or none.
    pub(super) fn phase(&mut self, fault: Option<MqttFault>) {
        self.allowed = matches!(fault, None | Some(MqttFault::Slow) | Some(MqttFault::Redeliver));
        self.redelivers = fault == Some(MqttFault::Redeliver);
        for message in &mut self.flying {
            message.there = None;
            message.disturbed = true;
        }
    }

    /// Why a fault that is made of messages cannot be made now.
    pub(super) fn prevented(&self) -> Option<String> {
        match self.granted {
            None => Some("the device is not subscribed to the topic of --publish".to_owned()),
            Some(Qos::AtMostOnce) => {
                Some("the device subscribed with QoS 0, and so acknowledges nothing".to_owned())
            }
            Some(_) => None,
        }
    }

    /// The fault `big` begins.
    pub(super) fn grow(&mut self, sizes: impl Iterator<Item = u32>) {
        let most = self.takes.packet.unwrap_or(u32::MAX);
        self.big = Some(Big::new(sizes, most));
    }

    /// Whether that fault has nothing more to send.
    pub(super) fn is_grown(&self) -> bool {
        self.big.as_ref().is_none_or(Big::is_over)
    }

    /// The fault `big` is over.
    pub(super) fn grown(&mut self) -> Option<(MqttBig, Option<String>)> {
        // Nobody judges what is still under way of it.
        for message in self.flying.iter_mut().filter(|message| message.big.is_some()) {
            message.missed = true;
        }
        self.big.take().map(Big::result)
    }

    /// The run is over but for what is under way.
    pub(super) fn ends(&mut self) {
        self.ends = true;
    }

    /// Whether a message is under way that counts as nothing so far.
    pub(super) fn is_undecided(&self) -> bool {
        self.flying.iter().any(Flying::is_undecided)
    }

    /// When something is to be done although nothing comes.
    pub(super) fn wakes_at(&self, now: Instant) -> Option<Instant> {
        let looks = self.flying.iter().any(|message| message.there.is_none() && !message.missed);
        let big = self.big.as_ref().is_some_and(|big| !big.is_over());
        let look = (looks || big).then_some(now + LOOK);
        let due = self.due.filter(|_| self.may_send());
        look.into_iter().chain(due).min()
    }

    fn may_send(&self) -> bool {
        self.allowed && !self.ends && self.granted.is_some() && self.has_room()
    }

    fn has_room(&self) -> bool {
        let at_once = self.takes.at_once.map_or(MOST_FLYING, usize::from).min(MOST_FLYING);
        self.flying.len() < at_once
    }

    /// What is to be sent now. `there` says whether the device's stack has all that was sent, `deaf` how long this host has
    /// stood still in all.
    pub(super) fn due(&mut self, now: Instant, deaf: Duration, there: bool) -> Vec<Send> {
        if there {
            for message in self.flying.iter_mut().filter(|message| message.there.is_none()) {
                message.there = Some((now, deaf));
            }
        }
        if self.due.is_none() {
            return Vec::new();
        }
        if self.big.is_some() {
            return self.due_of_big(now, deaf);
        }
        let Some(due) = self.due.filter(|due| *due <= now && self.may_send()) else { return Vec::new() };
        // A message that was late is not made up for.
        self.due = Some((due + self.interval).max(now));
        let Some(qos) = self.granted else { return Vec::new() };
        self.number += 1;
        let payload = format!("espstress {}", self.number).into_bytes();
        vec![self.send(qos, payload, None, now)]
    }

    fn due_of_big(&mut self, now: Instant, deaf: Duration) -> Vec<Send> {
        let (Some(big), Some(qos)) = (&mut self.big, self.granted) else { return Vec::new() };
        let mut waiting = self.flying.iter_mut().filter(|message| message.big.is_some() && !message.missed);
        if let Some(message) = waiting.next_back() {
            if !message.is_overdue(now, deaf) {
                return Vec::new();
            }
            message.missed = true;
            big.unanswered();
        }
        let room = self.takes.at_once.map_or(MOST_FLYING, usize::from) > self.flying.len();
        let Some(role) = big.next_if(room) else { return Vec::new() };
        self.number += 1;
        let mut payload = format!("espstress {}", self.number).into_bytes();
        if let Role::Size(size) = role {
            payload.resize(payload_len(size, self.to.topic.len(), self.takes.v5), b'.');
        }
        vec![self.send(qos, payload, Some(role), now)]
    }

    fn send(&mut self, qos: Qos, payload: Vec<u8>, big: Option<Role>, now: Instant) -> Send {
        if let Some(row) = self.by_qos.get_mut(qos as usize).filter(|_| big.is_none()) {
            row.sent += 1;
        }
        if qos == Qos::AtMostOnce {
            return Send::Message { id: None, qos, dup: false, payload };
        }
        let id = self.free_id();
        let message = Flying {
            id,
            qos,
            payload,
            stage: Stage::Sent,
            first: now,
            there: None,
            missed: false,
            disturbed: false,
            big,
        };
        let send = message_of(&message, false);
        self.flying.push(message);
        send
    }

    fn free_id(&mut self) -> PacketId {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            self.went_round |= self.last_id == 0;
            // At most a few are taken.
            if let Some(id) = PacketId::new(self.last_id)
                && self.flying.iter().all(|message| message.id != id)
            {
                return id;
            }
        }
    }

    /// The device has answered a message: what follows, and how long it took to the end where that is over.
    pub(super) fn answered(&mut self, answer: Answer, now: Instant) -> (Vec<Send>, Option<u64>) {
        let (Answer::Acknowledged(id) | Answer::Received(id) | Answer::Complete(id)) = answer;
        let Some(at) = self.flying.iter().position(|message| message.id == id) else {
            self.count_strange(answer, id);
            return (Vec::new(), None);
        };
        let redelivers = self.redelivers;
        let Some(message) = self.flying.get_mut(at) else { return (Vec::new(), None) };
        let first_of_two = message.qos == Qos::ExactlyOnce;
        let fits = match (answer, message.stage) {
            (Answer::Acknowledged(_), Stage::Sent | Stage::Repeated) => !first_of_two,
            (Answer::Received(_), Stage::Sent | Stage::Repeated) | (Answer::Complete(_), Stage::Released) => {
                first_of_two
            }
            _ => false,
        };
        if !fits {
            return (Vec::new(), None);
        }
        let Some(row) = self.by_qos.get_mut(message.qos as usize) else { return (Vec::new(), None) };
        if std::mem::take(&mut message.missed) && message.big.is_none() {
            message.count_missed(row, |n| n.saturating_sub(1));
            row.late += 1;
        }
        message.there = None;
        if redelivers && message.stage == Stage::Sent && message.big.is_none() {
            message.stage = Stage::Repeated;
            message.disturbed = true;
            row.again += 1;
            if !first_of_two {
                *row.acknowledged.get_or_insert(0) += 1;
            }
            return (vec![message_of(message, true)], None);
        }
        if first_of_two && message.stage != Stage::Released {
            message.stage = Stage::Released;
            return (vec![Send::Release(id)], None);
        }
        let counted = message.stage == Stage::Repeated;
        let message = self.flying.swap_remove(at);
        if let Some(role) = message.big {
            if let Some(big) = &mut self.big {
                big.answered(role);
            }
            return (Vec::new(), None);
        }
        if !counted {
            *row.acknowledged.get_or_insert(0) += 1;
        }
        let took = now.saturating_duration_since(message.first);
        self.slowest = self.slowest.max(Some(took));
        let fair = !message.disturbed;
        (Vec::new(), fair.then(|| nanos(took)))
    }

    /// An acknowledgement of nothing that is under way: of something long over, or under an id of its own.
    fn count_strange(&mut self, answer: Answer, id: PacketId) {
        let qos = match answer {
            Answer::Acknowledged(_) => Qos::AtLeastOnce,
            Answer::Received(_) | Answer::Complete(_) => Qos::ExactlyOnce,
        };
        let never_used = !self.went_round && id.get() > self.last_id;
        if let Some(row) = self.by_qos.get_mut(qos as usize).filter(|_| never_used) {
            row.strange_ids += 1;
        }
    }

    /// The device has sent something: what it has not acknowledged by now, it has passed over.
    pub(super) fn heard(&mut self, now: Instant, deaf: Duration) {
        if let Some(big) = &mut self.big {
            big.heard();
        }
        let overdue =
            |message: &&mut Flying| !message.missed && message.big.is_none() && message.is_overdue(now, deaf);
        for message in self.flying.iter_mut().filter(overdue) {
            message.missed = true;
            if let Some(row) = self.by_qos.get_mut(message.qos as usize) {
                message.count_missed(row, |n| n + 1);
            }
        }
    }

    /// The account so far.
    pub(super) fn by_qos(&self, now: Instant) -> [MqttToDevice; 3] {
        let mut all = self.by_qos.clone();
        for row in all.iter_mut().skip(1).filter(|row| row.sent > 0) {
            row.acknowledged.get_or_insert(0);
        }
        for message in self.flying.iter().filter(|message| message.is_undecided()) {
            if let Some(row) = all.get_mut(message.qos as usize) {
                row.under_way += 1;
                let waited = now.saturating_duration_since(message.first);
                let longer = self.slowest.is_none_or(|slowest| waited > slowest && !message.disturbed);
                row.overdue += u64::from(longer);
            }
        }
        all
    }

    /// Why nothing was sent.
    pub(super) fn not_published(&self) -> Option<String> {
        let why = if self.ever_granted {
            None
        } else {
            Some("the device did not subscribe to the topic of --publish")
        };
        why.or_else(|| (self.number == 0).then_some("the device was not connected for long enough"))
            .map(str::to_owned)
    }
}

fn message_of(message: &Flying, dup: bool) -> Send {
    Send::Message { id: Some(message.id), qos: message.qos, dup, payload: message.payload.clone() }
}

/// A payload that makes a packet of this size.
fn payload_len(size: u32, topic: usize, v5: bool) -> usize {
    let size = size as usize;
    // One byte, the length of the rest in as many bytes as it needs, the topic behind its length, the packet id, and in
    // 5 an empty list of properties.
    let digits = match size {
        0..=129 => 1,
        130..=16_386 => 2,
        _ => 3,
    };
    size.saturating_sub(1 + digits + 2 + topic + 2 + usize::from(v5))
}

#[cfg(test)]
#[path = "outgoing_tests.rs"]
mod tests;
