//! A broker that does as its test says, and the time between it and the device.

use std::collections::VecDeque;
use std::time::Duration;

use espstress_device::config::Host;
use espstress_device::mqtt::{
    Ack, ConnAck, Decoded, MAX_REMAINING, Packet, PacketId, Publish, Qos, Settings, SubAck, Version, decode,
};
use espstress_device::text::{Text, Token};
use espstress_device::{CloseHow, Config, Connection, ErrorKind, Instant, Program, Service, Wish};

/// What the broker does with what comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// All that it should.
    Serves,
    /// TCP acknowledges, the broker says nothing.
    Frozen,
    /// Nothing arrives, and dialling gets no answer.
    Silent,
    /// Connections end, and dialling is refused.
    Closed,
    /// Every CONNECT is answered with 3.
    Refuses,
}

/// What was seen on the wire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    Dial,
    Connect { clean: bool, keep_alive: u16, will: Option<(String, Vec<u8>, bool)> },
    Publish { topic: String, payload: String, qos: Qos, dup: bool, retain: bool, id: Option<u16> },
    Subscribe(String),
    PingReq,
    PubAck(u16),
    Disconnect,
    Closed(CloseHow),
}

/// Device, broker, and what passed between them.
pub(crate) struct World {
    pub(crate) program: Program,
    pub(crate) now: Instant,
    pub(crate) mode: Mode,
    /// Whether the broker still has the session.
    pub(crate) session: bool,
    /// How long a PUBACK takes.
    pub(crate) puback_after: Duration,
    /// Whether a PINGREQ is answered.
    pub(crate) pingresp: bool,
    pub(crate) seen: Vec<(Instant, Seen)>,
    wire: Option<Wire>,
    dialling_until: Option<Instant>,
}

struct Wire {
    connection: Connection,
    to_broker: Vec<u8>,
    to_device: VecDeque<u8>,
    /// PUBACKs for later.
    later: VecDeque<(Instant, PacketId)>,
    ended: bool,
    told: bool,
}

impl World {
    pub(crate) fn new(persona: &str, settings: Settings) -> Self {
        let host = Host { name: Text::try_from("broker").unwrap(), port: 1883 };
        let persona = persona.parse().expect("a persona");
        let name = Text::try_from("dev").unwrap();
        let token = Token::new("t").unwrap();
        let config =
            Config { persona, name, dial: Some(host), mqtt: Some(settings), token, ..Config::default() };
        Self {
            program: Program::new(config, Instant::ZERO),
            now: Instant::ZERO,
            mode: Mode::Serves,
            session: false,
            puback_after: Duration::ZERO,
            pingresp: true,
            seen: Vec::new(),
            wire: None,
            dialling_until: None,
        }
    }

    /// Lets so much time pass.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        // Far more turns than any test here needs: a device that spins fails the test.
        for _ in 0..2_000_000 {
            self.settle();
            let mut next = end;
            let mut at = |time: Option<Instant>| next = next.min(time.unwrap_or(end));
            match &self.wire {
                Some(wire) => {
                    at(wire.connection.deadline());
                    at(wire.later.front().map(|(time, _)| *time).filter(|_| self.mode == Mode::Serves));
                }
                None => at(self.dialling_until.or(self.program.next_dial_at())),
            }
            if next <= self.now {
                assert_eq!(self.now, end, "a deadline that has passed");
                return;
            }
            self.now = next;
        }
        panic!("the device does not come to rest");
    }

    /// Another mode from now on. What a frozen broker has not read, or a silent path has not delivered, comes once it
    /// serves again.
    pub(crate) fn turn(&mut self, mode: Mode) {
        self.mode = mode;
        if mode == Mode::Closed
            && let Some(wire) = &mut self.wire
        {
            wire.ended = true;
        }
    }

    /// The broker ends the connection of now.
    pub(crate) fn hang_up(&mut self) {
        self.wire.as_mut().expect("a connection").ended = true;
    }

    /// The broker sends these bytes.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.wire.as_mut().expect("a connection").to_device.extend(bytes);
    }

    /// The broker sends something.
    pub(crate) fn send(&mut self, packet: &Packet<'_>) {
        let wire = self.wire.as_mut().expect("a connection");
        wire.to_device.extend(encode(packet));
    }

    /// A command with this payload and id, QoS 1.
    pub(crate) fn command(&mut self, id: u16, payload: &[u8]) {
        let topic = "espstress/dev-1/cmd";
        let id = PacketId::new(id);
        self.send(&Packet::Publish(Publish {
            topic,
            payload,
            qos: Qos::AtLeastOnce,
            id,
            ..Publish::default()
        }));
    }

    /// Asks the device's control service for something.
    pub(crate) fn ask(&mut self, query: &str) {
        let request = format!(
            "POST /control?{query} HTTP/1.1\r\nHost: d\r\nAuthorization: Bearer t\r\nConnection: close\r\n\r\n"
        );
        let mut left = request.as_bytes();
        let mut answer = Vec::new();
        let mut connection = self.program.open(Service::Http, self.now);
        for _ in 0..1_000 {
            match connection.next(&mut self.program, self.now) {
                Wish::Read(space) if !left.is_empty() => {
                    let n = space.len().min(left.len());
                    space[..n].copy_from_slice(&left[..n]);
                    left = &left[n..];
                    connection.received(n);
                }
                Wish::Read(_) => connection.peer_closed(),
                Wish::Write(bytes) => {
                    answer.extend_from_slice(bytes);
                    let n = bytes.len();
                    connection.sent(n);
                }
                Wish::Close(_) => {
                    assert!(answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
                    return;
                }
                other => panic!("{other:?} of a server"),
            }
        }
        panic!("no answer");
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.wire.is_some()
    }

    /// What was seen since the last time, as it was.
    pub(crate) fn take(&mut self) -> Vec<(Instant, Seen)> {
        std::mem::take(&mut self.seen)
    }

    fn note(&mut self, seen: Seen) {
        self.seen.push((self.now, seen));
    }

    /// Everything that happens at this moment.
    fn settle(&mut self) {
        while self.program.poll_wish(self.now).is_some() {}
        loop {
            if self.wire.is_none() && !self.dial() {
                return;
            }
            let Some(mut wire) = self.wire.take() else {
                return;
            };
            let open = self.drive(&mut wire);
            let answered = self.answer(&mut wire);
            if open {
                self.wire = Some(wire);
                if !answered {
                    return;
                }
            }
        }
    }

    /// Whether there is a connection now.
    fn dial(&mut self) -> bool {
        if let Some(until) = self.dialling_until {
            if self.mode != Mode::Silent {
                self.dialling_until = None;
                self.open();
                return true;
            }
            if until > self.now {
                return false;
            }
            self.dialling_until = None;
            self.program.dial_failed(ErrorKind::TimedOut, self.now);
        }
        if self.program.poll_dial(self.now).is_none() {
            return false;
        }
        self.note(Seen::Dial);
        match self.mode {
            Mode::Silent => self.dialling_until = Some(self.now + self.program.dial_limit()),
            Mode::Closed => self.program.dial_failed(ErrorKind::Refused, self.now),
            Mode::Serves | Mode::Frozen | Mode::Refuses => {
                self.open();
                return true;
            }
        }
        false
    }

    fn open(&mut self) {
        let connection = self.program.dialled(self.now);
        self.wire = Some(Wire {
            connection,
            to_broker: Vec::new(),
            to_device: VecDeque::new(),
            later: VecDeque::new(),
            ended: false,
            told: false,
        });
    }

    /// Lets the device do all it can; false at the end of the connection.
    fn drive(&mut self, wire: &mut Wire) -> bool {
        for _ in 0..100_000 {
            match wire.connection.next(&mut self.program, self.now) {
                Wish::Read(space) => {
                    let n = space.len().min(wire.to_device.len());
                    if n > 0 {
                        for (place, byte) in space.iter_mut().zip(wire.to_device.drain(..n)) {
                            *place = byte;
                        }
                        wire.connection.received(n);
                    } else if wire.ended && !wire.told {
                        wire.told = true;
                        wire.connection.peer_closed();
                    } else {
                        return true;
                    }
                }
                Wish::Write(bytes) => {
                    let n = bytes.len();
                    wire.to_broker.extend_from_slice(bytes);
                    wire.connection.sent(n);
                }
                Wish::Close(how) => {
                    // What was sent before it still counts.
                    self.answer(wire);
                    self.note(Seen::Closed(how));
                    return false;
                }
                other => panic!("{other:?} of a client"),
            }
        }
        panic!("the connection does not come to rest");
    }

    /// Reads what came; says whether there is something for the device.
    fn answer(&mut self, wire: &mut Wire) -> bool {
        if matches!(self.mode, Mode::Silent | Mode::Frozen) {
            return false;
        }
        let bytes = std::mem::take(&mut wire.to_broker);
        let mut rest = &bytes[..];
        while let Decoded::Packet { packet, len } =
            decode(rest, Version::V311, MAX_REMAINING).expect("the client sends what is right")
        {
            rest = &rest[len..];
            self.take_in(wire, packet);
        }
        wire.to_broker = rest.to_vec();
        while let Some(&(at, id)) = wire.later.front()
            && at <= self.now
        {
            wire.later.pop_front();
            wire.to_device.extend(encode(&Packet::PubAck(Ack::of(id))));
        }
        !wire.to_device.is_empty()
    }

    fn take_in(&mut self, wire: &mut Wire, packet: Packet<'_>) {
        match packet {
            Packet::Connect(connect) => {
                let will =
                    connect.will.map(|will| (will.topic.to_owned(), will.payload.to_vec(), will.retain));
                self.note(Seen::Connect { clean: connect.clean, keep_alive: connect.keep_alive, will });
                let refuses = self.mode == Mode::Refuses;
                let session_present = self.session && !connect.clean && !refuses;
                let code = if refuses { 3 } else { 0 };
                self.session |= !refuses;
                wire.to_device.extend(encode(&Packet::ConnAck(ConnAck {
                    session_present,
                    code,
                    ..ConnAck::default()
                })));
            }
            Packet::Publish(publish) => {
                if let Some(id) = publish.id {
                    wire.later.push_back((self.now + self.puback_after, id));
                }
                self.note(Seen::Publish {
                    topic: publish.topic.strip_prefix("espstress/dev-1/").expect("its own topics").to_owned(),
                    payload: String::from_utf8(publish.payload.to_vec()).expect("text"),
                    qos: publish.qos,
                    dup: publish.dup,
                    retain: publish.retain,
                    id: publish.id.map(PacketId::get),
                });
            }
            Packet::Subscribe(subscribe) => {
                for subscription in subscribe.subscriptions.iter() {
                    self.note(Seen::Subscribe(subscription.filter.to_owned()));
                }
                let answer = SubAck { id: subscribe.id, codes: &[1] };
                wire.to_device.extend(encode(&Packet::SubAck(answer)));
            }
            Packet::PingReq => {
                self.note(Seen::PingReq);
                if self.pingresp {
                    wire.to_device.extend(encode(&Packet::PingResp));
                }
            }
            Packet::PubAck(ack) => self.note(Seen::PubAck(ack.id.get())),
            Packet::Disconnect(_) => self.note(Seen::Disconnect),
            other => panic!("{other:?} from a client"),
        }
    }
}

fn encode(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = vec![0; 300_000];
    let len = packet.encode(Version::V311, &mut bytes).expect("fits");
    bytes.truncate(len);
    bytes
}
