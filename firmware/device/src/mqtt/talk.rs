//! One connection of the client.

use core::time::Duration;

use crate::connection::{CloseHow, INPUT_LEN};
use crate::error::ErrorKind;
use crate::mqtt::client::{Opened, push};
use crate::mqtt::decode::{Decoded, decode, publish_start};
use crate::mqtt::head::{Head, HeadRead, Kind, MAX_REMAINING};
use crate::mqtt::packet::{Ack, Disconnect, Packet, PacketId, Publish, Qos, Version};
use crate::persona::MqttHabits;
use crate::program::Program;
use crate::protocol::{Io, Step};
use crate::time::{Instant, earliest};

/// Free output that any packet of the client's fits into.
const ROOM: usize = 256;

/// How long the broker may take to answer a CONNECT.
pub const CONNACK_LIMIT: Duration = Duration::from_secs(10);

/// The client's side of one connection.
pub(crate) struct Talk {
    stage: Stage,
    /// When a packet was last sent.
    said: Instant,
    /// When something was last heard.
    heard: Instant,
    /// When the PINGREQ was sent that nothing was heard after.
    pinged: Option<Instant>,
    /// Bytes of input already looked at while waiting for more.
    seen: usize,
    /// Changes of the client's settings until the CONNECT.
    changes: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Before the CONNECT.
    Opens,
    /// Since then for the CONNACK.
    Waits(Instant),
    /// In a session.
    Talks,
    /// In the middle of a packet that is longer than the input, with so many bytes left, and what follows.
    Skips(usize, Option<PacketId>),
}

/// What came of looking at the input.
enum Input {
    /// Something was taken from it.
    Taken,
    /// More bytes are needed.
    Waits,
    /// The connection is over.
    Over(Step),
}

impl Talk {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { stage: Stage::Opens, said: now, heard: now, pinged: None, seen: 0, changes: 0 }
    }

    pub(crate) const fn is_in_mid_request(&self, input_is_empty: bool) -> bool {
        !input_is_empty || matches!(self.stage, Stage::Skips(..))
    }

    pub(crate) fn step(&mut self, io: &mut Io<'_>, program: &mut Program, now: Instant) -> Step {
        let habits = program.persona().habits().mqtt;
        if io.input.len() > self.seen {
            self.heard = now;
            self.pinged = None;
        }
        self.seen = io.input.len();
        if self.is_given_up(program, &habits, now) {
            io.error(program, ErrorKind::TimedOut);
            // Nothing of it would arrive: the next connection sends it again.
            io.output.clear();
            return Step::Close(CloseHow::Abort);
        }
        if io.output.room() < ROOM {
            // Nothing is said before some of it is sent.
            return Step::Read { at_most: INPUT_LEN, wake: self.gives_up_at(program, &habits) };
        }
        if self.stage == Stage::Opens {
            let Some(client) = &mut program.mqtt else {
                return Step::Close(CloseHow::Orderly);
            };
            client.starts(&habits, now);
            client.connect(io.output);
            self.changes = client.changes();
            self.said = now;
            self.stage = Stage::Waits(now);
            return Step::Again;
        }
        let changed = program.mqtt.as_ref().is_some_and(|client| client.changes() != self.changes);
        if changed && self.stage == Stage::Talks {
            push(io.output, &Packet::Disconnect(Disconnect::default()));
            return Step::Close(CloseHow::Orderly);
        }
        match self.input(io, program, &habits, now) {
            Input::Taken => {
                self.seen = io.input.len();
                return Step::Again;
            }
            Input::Over(step) => return step,
            Input::Waits => {}
        }
        self.speak(io, program, &habits, now);
        self.wait(program, &habits)
    }

    /// Whether the broker has not answered for too long.
    fn is_given_up(&self, program: &Program, habits: &MqttHabits, now: Instant) -> bool {
        self.gives_up_at(program, habits).is_some_and(|at| at <= now)
    }

    fn gives_up_at(&self, program: &Program, habits: &MqttHabits) -> Option<Instant> {
        match self.stage {
            Stage::Opens => None,
            Stage::Waits(since) => Some(since + CONNACK_LIMIT),
            Stage::Talks | Stage::Skips(..) => {
                let patience = share(program, habits.gives_up_after?)?;
                Some(self.pinged? + patience)
            }
        }
    }

    /// When a PINGREQ is due: too little was said, or nothing heard. One at a time, where it is waited for.
    fn pings_at(&self, program: &Program, habits: &MqttHabits) -> Option<Instant> {
        let after = share(program, habits.pings_after)?;
        match (habits.gives_up_after, self.pinged) {
            (None, _) => Some(self.said + after),
            (Some(_), None) => Some(self.said.min(self.heard) + after),
            (Some(_), Some(_)) => None,
        }
    }

    fn wait(&self, program: &Program, habits: &MqttHabits) -> Step {
        let mut wake = self.gives_up_at(program, habits);
        if matches!(self.stage, Stage::Talks | Stage::Skips(..)) {
            wake = earliest(wake, self.pings_at(program, habits));
            wake = earliest(wake, program.mqtt.as_ref().and_then(|client| client.sends_at(habits)));
        }
        Step::Read { at_most: INPUT_LEN, wake }
    }

    /// What the client says by itself.
    fn speak(&mut self, io: &mut Io<'_>, program: &mut Program, habits: &MqttHabits, now: Instant) {
        if !matches!(self.stage, Stage::Talks | Stage::Skips(..)) {
            return;
        }
        if let Some(client) = &mut program.mqtt {
            client.publish_due(habits, now);
            if client.send(habits, io.output, ROOM, now) {
                self.said = now;
            }
        }
        if self.pings_at(program, habits).is_some_and(|at| at <= now) && push(io.output, &Packet::PingReq) {
            self.said = now;
            self.pinged = Some(now);
        }
    }

    /// Takes the next packet from the input.
    fn input(&mut self, io: &mut Io<'_>, program: &mut Program, habits: &MqttHabits, now: Instant) -> Input {
        if let Stage::Skips(left, id) = self.stage {
            return self.skip(io, left, id, now);
        }
        let head = match Head::read(io.input.filled(), Version::V311, MAX_REMAINING) {
            Ok(HeadRead::Head(head)) => head,
            Ok(HeadRead::Needs(_)) => return Input::Waits,
            Err(_) => return self.refuse(io, program),
        };
        let longest = habits.longest_packet.map_or(INPUT_LEN, |len| usize::from(len).min(INPUT_LEN));
        if head.packet_len() > longest && self.stage == Stage::Talks {
            return self.start_to_skip(io, program, habits, head);
        }
        let packet = match decode(io.input.filled(), Version::V311, INPUT_LEN as u32) {
            Ok(Decoded::Needs(_)) => return Input::Waits,
            Ok(Decoded::Packet { packet, .. }) => packet,
            Err(_) => return self.refuse(io, program),
        };
        let Some(client) = &mut program.mqtt else {
            return Input::Over(Step::Close(CloseHow::Orderly));
        };
        let mut served = false;
        match (self.stage, packet) {
            (Stage::Waits(_), Packet::ConnAck(answer)) => {
                if client.connected(answer, habits, now) == Opened::No {
                    if answer.code == 0 {
                        push(io.output, &Packet::Disconnect(Disconnect::default()));
                    }
                    io.input.consume(head.packet_len());
                    io.error(program, ErrorKind::Refused);
                    return Input::Over(Step::Close(CloseHow::Orderly));
                }
                client.introduce(habits, io.output);
                self.said = now;
                self.stage = Stage::Talks;
            }
            (Stage::Talks, Packet::Publish(Publish { topic, qos, id, payload, .. })) => {
                match (qos, id) {
                    (Qos::AtMostOnce, _) => {}
                    (Qos::AtLeastOnce, Some(id)) => {
                        push(io.output, &Packet::PubAck(Ack::of(id)));
                        self.said = now;
                    }
                    // Not subscribed to with 2.
                    _ => return self.refuse(io, program),
                }
                client.answer(topic, Some(payload), payload.len());
                served = true;
            }
            (Stage::Talks, Packet::PubAck(ack)) => client.acknowledged(ack.id),
            (Stage::Talks, Packet::SubAck(suback)) => {
                if suback.codes.first().is_some_and(|&code| code < 0x80) {
                    client.granted(suback.id);
                }
            }
            (Stage::Talks, Packet::PingResp) => {}
            _ => return self.refuse(io, program),
        }
        io.input.consume(head.packet_len());
        if served {
            program.count_served(io.service);
        }
        Input::Taken
    }

    /// The packet is longer than the input: its start is looked at, and the rest passed over as it comes.
    fn start_to_skip(
        &mut self,
        io: &mut Io<'_>,
        program: &mut Program,
        habits: &MqttHabits,
        head: Head,
    ) -> Input {
        let len = head.packet_len();
        let acknowledged = if habits.longest_packet.is_some() || head.kind != Kind::Publish {
            None
        } else {
            match publish_start(io.input.filled(), Version::V311, MAX_REMAINING) {
                Ok(Some(start)) => {
                    if let Some(client) = &mut program.mqtt {
                        client.answer(start.topic, None, start.payload);
                    }
                    start.id
                }
                Ok(None) if io.input.room() > 0 => return Input::Waits,
                Ok(None) | Err(_) => return self.refuse(io, program),
            }
        };
        self.stage = Stage::Skips(len, acknowledged);
        Input::Taken
    }

    fn skip(&mut self, io: &mut Io<'_>, left: usize, id: Option<PacketId>, now: Instant) -> Input {
        let there = io.input.len().min(left);
        io.input.consume(there);
        if there < left {
            self.stage = Stage::Skips(left - there, id);
            self.seen = 0;
            return Input::Waits;
        }
        self.stage = Stage::Talks;
        if let Some(id) = id {
            push(io.output, &Packet::PubAck(Ack::of(id)));
            self.said = now;
        }
        Input::Taken
    }

    fn refuse(&self, io: &mut Io<'_>, program: &mut Program) -> Input {
        io.error(program, ErrorKind::Malformed);
        Input::Over(Step::Close(CloseHow::Unread))
    }
}

/// So many hundredths of the keep alive; `None` without one.
fn share(program: &Program, percent: u16) -> Option<Duration> {
    let keep_alive = program.mqtt.as_ref()?.keep_alive()?;
    Some(keep_alive * u32::from(percent) / 100)
}
