//! One connection of the broker's: reads packets, answers them as the phase wants it, and ends as it has to.

mod relay;

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use socket2::{SockRef, Socket};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::big::Gone;
use super::broker::{Broker, Rejected};
use super::outgoing::{Answer, Send};
use super::phase::{Phase, Task};
use espstress_connection::{all_acknowledged, fin_acknowledged};
use espstress_device::mqtt::{
    Ack, ConnAck, Connect, Decoded, Disconnect, Malformed, Packet, PacketId, Properties, Publish, Qos,
    SubAck, UnsubAck, Version, decode,
};
use espstress_event::{Failure, MqttFault, MqttLeft};

use self::relay::Upstream;
pub(super) use self::relay::open as open_upstream;

/// The longest rest of a packet that is taken.
const LONGEST: u32 = 256 * 1_024;
/// A connection without a CONNECT is closed after this.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// An answer that the device does not take in this time is not waited for.
const WRITE_LIMIT: Duration = Duration::from_secs(5);
/// Beyond one and a half keep-alives, before the connection is closed.
const GRACE: Duration = Duration::from_millis(250);
/// How long a FIN may go unacknowledged by a stack that is there.
const FIN_LIMIT: Duration = Duration::from_secs(5);

/// Why a connection is over.
#[derive(Debug)]
enum End {
    /// The device closed or reset it.
    Device,
    /// The device said DISCONNECT.
    Goodbye,
    /// The phase wants it.
    Task(Task),
    /// It was not accepted.
    Rejected(String),
    /// What came was no MQTT.
    Malformed(Malformed),
    /// What came must not come there.
    Violation(&'static str),
    /// Nothing came for one and a half keep-alives.
    Silent(Duration),
    /// The user's own broker has ended it, or says what is no MQTT.
    Broker,
    /// It is answered, and that was all.
    Done,
}

/// An answer for later.
struct Late {
    due: Instant,
    bytes: Vec<u8>,
    acknowledges: Option<PacketId>,
}

/// One connection.
pub(super) struct Connection {
    broker: Rc<Broker>,
    stream: Rc<TcpStream>,
    peer: SocketAddr,
    number: u64,
    /// The phase in which it was accepted.
    accepted_in: u64,
    accepted_at: Instant,
    version: Version,
    input: Vec<u8>,
    eof: bool,
    /// It was reset, or takes nothing more: what came before counts all the same.
    broken: bool,
    /// It is the target's, and its CONNECT was accepted.
    session: bool,
    heard: Instant,
    /// The host's deaf time until then.
    deaf: Duration,
    /// Until then a stack that was cut off may still send what it has kept.
    calm_from: Instant,
    /// Something has been wrong since then.
    disturbed: bool,
    /// Whether a packet came together with the one before: when either was sent is not known.
    together: bool,
    phase: u64,
    late: VecDeque<Late>,
    /// Behind it, where there is one.
    upstream: Option<Upstream>,
}

impl Connection {
    pub(super) fn new(broker: Rc<Broker>, stream: Rc<TcpStream>, peer: SocketAddr, number: u64) -> Self {
        let phase = broker.phase().number;
        broker.dialled(peer.ip());
        let (now, deaf) = (Instant::now(), broker.deaf());
        Self {
            broker,
            stream,
            peer,
            number,
            accepted_in: phase,
            accepted_at: now,
            version: Version::V311,
            input: Vec::new(),
            eof: false,
            broken: false,
            session: false,
            heard: now,
            deaf,
            calm_from: now,
            disturbed: false,
            together: false,
            phase,
            late: VecDeque::new(),
            upstream: None,
        }
    }

    /// Serves it to its end.
    pub(super) async fn run(mut self) {
        let held = self.broker.context.hold_one();
        let mut phases = self.broker.phase.subscribe();
        let end = self.serve(&mut phases).await;
        let now = Instant::now();
        if matches!(end, End::Device) {
            self.broker.hung_up(self.number, now);
        }
        if self.session {
            let how = match end {
                End::Device | End::Goodbye => Gone::ByDevice,
                End::Silent(_) => Gone::Silent,
                _ => Gone::ByHost,
            };
            let left = match end {
                End::Goodbye => MqttLeft::Disconnected,
                End::Device => MqttLeft::Dropped,
                End::Silent(_) => MqttLeft::Silent,
                _ => MqttLeft::Closed,
            };
            self.broker.gone(self.number, how, left, now);
        }
        self.finish(end).await;
        drop(held);
    }

    async fn serve(&mut self, phases: &mut watch::Receiver<Phase>) -> End {
        loop {
            let phase = *phases.borrow_and_update();
            if phase.number != self.phase {
                self.phase = phase.number;
                self.disturbed = true;
                self.calm_from = Instant::now() + phase.patience;
                (self.heard, self.deaf) = (self.calm_from, self.broker.deaf());
            }
            match phase.task(self.accepted_in) {
                Task::Serve => {}
                Task::Hold => {
                    if phases.changed().await.is_err() {
                        return End::Done;
                    }
                    continue;
                }
                task => return End::Task(task),
            }
            if self.session && self.broker.connected() != Some(self.number) {
                return End::Task(Task::TakenOver);
            }
            if let Err(end) = self.read_and_answer(phase).await {
                return end;
            }
            if self.eof || self.broken {
                return End::Device;
            }
            if let Err(end) = self.relay_back(phase).await {
                return end;
            }
            // What has come is read before anybody is called silent.
            if let Err(end) = self.timers(phase).await {
                return end;
            }
            let due = self.due(phase);
            tokio::select! {
                biased;
                changed = phases.changed() => if changed.is_err() { return End::Done },
                () = tokio::time::sleep_until(due.into()) => {}
                // What the error is, reading tells.
                _ = self.stream.readable() => {}
                () = behind(self.upstream.as_ref()) => {}
            }
        }
    }

    /// When something is to be done although nothing comes.
    fn due(&self, phase: Phase) -> Instant {
        let silent = match self.silence_limit(phase) {
            Some(limit) => self.heard + limit,
            None if !self.owes_connect(phase) => Instant::now() + Duration::from_secs(3_600),
            None => self.accepted_at + CONNECT_LIMIT,
        };
        let late = self.late.front().map(|late| late.due);
        let publish = if self.session { self.broker.publishes_at(Instant::now()) } else { None };
        late.into_iter().chain(publish).fold(silent, Instant::min)
    }

    /// Whether a CONNECT is waited for; one that has come is not answered while CONNACK is withheld.
    fn owes_connect(&self, phase: Phase) -> bool {
        !self.session && self.upstream.is_none() && !phase.is(MqttFault::NoConnack)
    }

    /// How long the device may be silent now; `None` where that has no limit.
    fn silence_limit(&self, phase: Phase) -> Option<Duration> {
        let keepalive = self.broker.keepalive();
        // The user's own broker has its own patience.
        let waits = self.session
            && self.upstream.is_none()
            && !keepalive.is_zero()
            && !phase.is(MqttFault::NoConnack)
            && !phase.is(MqttFault::Silent);
        let deaf = self.broker.deaf().saturating_sub(self.deaf);
        waits.then(|| keepalive * 3 / 2 + GRACE + deaf)
    }

    async fn timers(&mut self, phase: Phase) -> Result<(), End> {
        let now = Instant::now();
        self.broker.look_for_stall(now);
        while self.late.front().is_some_and(|late| late.due <= now) {
            let Some(late) = self.late.pop_front() else { break };
            self.write(&late.bytes).await?;
            if let Some(id) = late.acknowledges.filter(|_| !self.broken) {
                self.broker.acknowledged(id.get());
            }
        }
        if self.session {
            // Where the system does not tell, what was written is taken to be there.
            let there = || all_acknowledged(&self.stream).unwrap_or(true);
            let sends = self.broker.to_publish(now, there);
            self.send(sends).await?;
        }
        if let Some(limit) = self.silence_limit(phase) {
            let silence = now - self.heard;
            if silence >= limit {
                return Err(End::Silent(silence));
            }
        } else if self.owes_connect(phase) && now >= self.accepted_at + CONNECT_LIMIT {
            return Err(End::Rejected("it sent no CONNECT".into()));
        }
        Ok(())
    }

    /// Takes what is there, and answers each whole packet.
    async fn read_and_answer(&mut self, phase: Phase) -> Result<(), End> {
        let mut buffer = [0; 4_096];
        while !self.eof && !self.broken && self.input.len() <= LONGEST as usize {
            match self.stream.try_read(&mut buffer) {
                Ok(0) => self.eof = true,
                Ok(n) => {
                    self.input.extend_from_slice(buffer.get(..n).unwrap_or_default());
                    self.broker.context.recorder.borrow_mut().bytes(0, n as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.broken = true,
            }
        }
        let input = std::mem::take(&mut self.input);
        let mut rest = input.as_slice();
        let outcome = loop {
            match decode(rest, self.version, LONGEST) {
                Ok(Decoded::Packet { packet, len }) => {
                    // It is answered when the phase is over.
                    if phase.is(MqttFault::NoConnack)
                        && let Packet::Connect(connect) = &packet
                    {
                        self.broker.withholds(self.number, self.peer.ip(), connect);
                        break Ok(());
                    }
                    let raw = rest.get(..len).unwrap_or_default();
                    let done = match self.broker.via {
                        Some(_) => self.relay(&packet, raw, phase).await,
                        None => self.packet(&packet, phase).await,
                    };
                    if let Err(end) = done {
                        break Err(end);
                    }
                    rest = rest.get(len..).unwrap_or_default();
                    self.together = true;
                }
                Ok(Decoded::Needs(_)) => break Ok(()),
                Err(malformed) => break Err(End::Malformed(malformed)),
            }
        };
        self.together = false;
        // What waited in the socket during a fault says nothing of when it was sent.
        self.disturbed = phase.fault.is_some()
            || Instant::now() < self.calm_from
            || (self.disturbed && rest.len() == input.len());
        self.input = rest.to_vec();
        outcome
    }

    async fn packet(&mut self, packet: &Packet<'_>, phase: Phase) -> Result<(), End> {
        let now = Instant::now();
        if let Packet::Connect(connect) = packet {
            if self.session {
                return Err(End::Violation("a second CONNECT"));
            }
            return self.connect(connect, phase, now).await;
        }
        if !self.session {
            return Err(End::Violation("a packet before CONNECT"));
        }
        // Who says goodbye has not taken the session.
        if matches!(packet, Packet::Disconnect(_)) {
            return Err(End::Goodbye);
        }
        self.heard_from(packet, phase, now);
        match packet {
            Packet::PingReq if phase.is(MqttFault::NoPingresp) => Ok(()),
            Packet::PingReq => self.answer(&Packet::PingResp, phase, None).await,
            Packet::Publish(publish) => self.publish(publish, phase, now).await,
            Packet::PubRel(ack) => {
                self.answered_otherwise();
                // Only now is the packet id free again (MQTT 3.1.1, 4.3.3).
                self.answer(&Packet::PubComp(Ack::of(ack.id)), phase, Some(ack.id)).await
            }
            Packet::Subscribe(subscribe) => {
                self.broker.subscribe(subscribe.subscriptions.iter().map(|s| (s.filter, s.qos)), now);
                let codes: Vec<u8> = subscribe.subscriptions.iter().map(|s| s.qos as u8).collect();
                self.answered_otherwise();
                self.answer(&Packet::SubAck(SubAck { id: subscribe.id, codes: &codes }), phase, None).await
            }
            Packet::Unsubscribe(unsubscribe) => {
                self.broker.unsubscribe(unsubscribe.filters.iter(), now);
                // Only MQTT 5 has a code for each filter.
                let n = if self.version == Version::V5 { unsubscribe.filters.iter().count() } else { 0 };
                let codes = vec![0; n];
                self.answered_otherwise();
                self.answer(&Packet::UnsubAck(UnsubAck { id: unsubscribe.id, codes: &codes }), phase, None)
                    .await
            }
            Packet::PubAck(ack) => self.answered(Answer::Acknowledged(ack.id), now).await,
            Packet::PubRec(ack) => self.answered(Answer::Received(ack.id), now).await,
            Packet::PubComp(ack) => self.answered(Answer::Complete(ack.id), now).await,
            Packet::Auth(_) | Packet::Disconnect(_) => Ok(()),
            Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp => Err(End::Violation("a packet that only a broker sends")),
        }
    }

    /// The device has sent a packet.
    fn heard_from(&mut self, packet: &Packet<'_>, phase: Phase, now: Instant) {
        self.broker.look_for_stall(now);
        let ping = matches!(packet, Packet::PingReq);
        let fair = phase.fault.is_none() && !self.disturbed && !self.together;
        self.broker.heard(self.number, fair.then_some((self.heard, self.deaf)), ping, now);
        (self.heard, self.deaf) = (now, self.broker.deaf());
    }

    /// The session of the target's is on this connection from now on.
    fn opened(&mut self, connect: &Connect<'_>, present: bool, phase: Phase, now: Instant) {
        let took = espstress_clock::nanos(now - self.accepted_at);
        self.broker.opens(self.number, self.peer.ip(), connect, present, now);
        self.session = true;
        (self.heard, self.deaf, self.disturbed) = (now, self.broker.deaf(), phase.fault.is_some());
        if phase.fault.is_none() {
            self.broker.stats(|stats| stats.connect.record(took));
        }
        self.broker.context.attempted(self.accepted_at, Ok(()));
        // Whoever had the session hears that it has it no more.
        self.broker.phase.send_modify(|_| {});
    }

    async fn connect(&mut self, connect: &Connect<'_>, phase: Phase, now: Instant) -> Result<(), End> {
        let present = self.admit(connect, phase).await?;
        self.opened(connect, present, phase, now);
        self.connack(present, 0, connect).await?;
        let again = self.broker.publishing_begins(present, connect, now);
        self.send(again).await?;
        if phase.is(MqttFault::Takeover) { Err(End::Task(Task::TakenOver)) } else { Ok(()) }
    }

    /// Whether its session is there, of one who may connect; who may not is answered.
    async fn admit(&mut self, connect: &Connect<'_>, phase: Phase) -> Result<bool, End> {
        self.version = connect.version;
        // Who has hung up already is not there to be served.
        if self.eof || self.broken {
            return Err(End::Device);
        }
        if !self.broker.may_be_target(self.peer.ip()) {
            return Err(End::Rejected(format!("{} is not the device that is tested", self.peer.ip())));
        }
        if phase.is(MqttFault::Refuse) {
            self.connack(false, self.broker.params.code, connect).await?;
            return Err(End::Done);
        }
        match self.broker.may_connect(connect) {
            Ok(present) => Ok(present),
            Err(Rejected { why, code }) => {
                self.connack(false, code, connect).await?;
                Err(End::Rejected(why))
            }
        }
    }

    async fn connack(&mut self, present: bool, code: u8, connect: &Connect<'_>) -> Result<(), End> {
        /// Codes of MQTT 5 for those of 3.1.1 from 1 to 5 (3.2.2.2 of the standard).
        const V5: [u8; 5] = [0x84, 0x85, 0x88, 0x86, 0x87];
        let v5 = self.version == Version::V5;
        let nameless = v5 && connect.client_id.is_empty() && code == 0;
        let name = format!("espstress-{}", self.number);
        let properties =
            Properties { assigned_client_id: nameless.then_some(name.as_str()), ..Properties::default() };
        let at = usize::from(code).checked_sub(1);
        let code = at.and_then(|at| V5.get(at).copied()).filter(|_| v5).unwrap_or(code);
        let packet = Packet::ConnAck(ConnAck { session_present: present, code, properties });
        let bytes = encoded(&packet, self.version);
        self.write(&bytes).await
    }

    async fn publish(&mut self, publish: &Publish<'_>, phase: Phase, now: Instant) -> Result<(), End> {
        // A copy that came together with another packet was sent before it could be answered.
        let fair = phase.fault.is_none() && !self.disturbed && !self.together;
        let told = fair && all_acknowledged(&self.stream) == Some(true);
        self.broker.message(self.number, publish, told, now);
        let Some(id) = publish.id else { return Ok(()) };
        self.answered_otherwise();
        let ack = Ack::of(id);
        match publish.qos {
            Qos::ExactlyOnce => self.answer(&Packet::PubRec(ack), phase, None).await,
            _ => self.answer(&Packet::PubAck(ack), phase, Some(id)).await,
        }
    }

    /// The device has answered a message of the host's.
    async fn answered(&mut self, answer: Answer, now: Instant) -> Result<(), End> {
        let next = self.broker.answered(answer, now);
        self.send(next).await
    }

    /// Messages to the device, and what belongs to them.
    async fn send(&mut self, sends: Vec<Send>) -> Result<(), End> {
        for send in sends {
            let bytes = match &send {
                Send::Message { id, qos, dup, payload } => {
                    self.answered_otherwise();
                    let topic = self.broker.params.publish.as_ref().map_or("", |to| to.topic.as_str());
                    let publish = Publish { dup: *dup, qos: *qos, retain: false, topic, id: *id, payload };
                    encoded(&Packet::Publish(publish), self.version)
                }
                Send::Release(id) => encoded(&Packet::PubRel(Ack::of(*id)), self.version),
            };
            self.write(&bytes).await?;
        }
        Ok(())
    }

    fn answered_otherwise(&self) {
        self.broker.answered_otherwise(self.number);
    }

    /// Answers now, or later where the broker is slow.
    async fn answer(
        &mut self,
        packet: &Packet<'_>,
        phase: Phase,
        acknowledges: Option<PacketId>,
    ) -> Result<(), End> {
        let bytes = encoded(packet, self.version);
        if phase.is(MqttFault::Slow) {
            let due = Instant::now() + self.broker.params.delay.0;
            self.late.push_back(Late { due, bytes, acknowledges });
            return Ok(());
        }
        self.write(&bytes).await?;
        if let Some(id) = acknowledges.filter(|_| !self.broken) {
            self.broker.acknowledged(id.get());
        }
        Ok(())
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), End> {
        let whole = bytes.len();
        let give_up = Instant::now() + WRITE_LIMIT;
        while !bytes.is_empty() && !self.broken {
            match self.stream.try_write(bytes) {
                Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let ready = tokio::time::timeout_at(give_up.into(), self.stream.writable()).await;
                    if !matches!(ready, Ok(Ok(()))) {
                        return Err(End::Done);
                    }
                }
                Err(_) => self.broken = true,
            }
        }
        self.broker.context.recorder.borrow_mut().bytes((whole - bytes.len()) as u64, 0);
        Ok(())
    }

    async fn finish(&mut self, end: End) {
        match end {
            End::Device | End::Goodbye | End::Done => {}
            End::Broker => {
                // It closes a connection that was silent for one and a half keep-alives.
                let keepalive = self.broker.keepalive();
                let deaf = self.broker.deaf().saturating_sub(self.deaf);
                let silence = self.heard.elapsed().saturating_sub(deaf);
                let overdue = !keepalive.is_zero() && silence >= keepalive * 3 / 2;
                if self.session && overdue && !self.disturbed {
                    self.broker.missed(silence);
                }
                self.shut_down();
            }
            End::Task(Task::Reset) => {
                // Nothing hinders a close that sends a RST; where it does, a FIN goes.
                let _ = SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO));
            }
            End::Task(Task::TakenOver) => {
                if self.version == Version::V5 {
                    // 0x8E: session taken over.
                    let packet = Packet::Disconnect(Disconnect { code: 0x8E, ..Disconnect::default() });
                    let _ = self.write(&encoded(&packet, self.version)).await;
                }
                self.shut_down();
            }
            End::Task(_) => self.shut_down(),
            End::Rejected(why) => {
                self.broker.turn_away(why);
                self.shut_down();
            }
            End::Malformed(malformed) => self.no_mqtt(malformed.to_string()),
            End::Violation(what) => self.no_mqtt(what.to_owned()),
            End::Silent(silence) => {
                self.shut_down();
                // A stack that acknowledges the FIN is there, and so its program was silent and not gone.
                let give_up = Instant::now() + FIN_LIMIT;
                while Instant::now() < give_up {
                    if fin_acknowledged(&self.stream) == Some(true) {
                        // What it says may still wait in its TCP, which a fault has slowed down.
                        if !self.disturbed {
                            self.broker.missed(silence);
                        }
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// What came was no MQTT: from the target a fault of it, from others none.
    fn no_mqtt(&self, what: String) {
        if self.session {
            self.broker.malformed(what);
            self.broker.context.attempted(self.accepted_at, Err(Failure::BadResponse));
        } else {
            self.broker.turn_away(format!("{what}, from {}", self.peer.ip()));
        }
        self.shut_down();
    }

    fn shut_down(&self) {
        end_in_order(&SockRef::from(&*self.stream));
    }
}

/// A FIN, and no RST behind it: a socket that is closed with unread bytes sends one.
fn end_in_order(mut socket: &Socket) {
    /// Whoever sends on and on is not listened to.
    const READS: usize = 64;
    // A connection that is broken already needs no end.
    let _ = socket.shutdown(std::net::Shutdown::Write);
    let mut unread = [0; 4_096];
    for _ in 0..READS {
        if !matches!(socket.read(&mut unread), Ok(1..)) {
            return;
        }
    }
}

/// Until the user's own broker has sent something, where there is one.
async fn behind(upstream: Option<&Upstream>) {
    match upstream {
        Some(upstream) => upstream.readable().await,
        None => std::future::pending().await,
    }
}

/// A packet's bytes.
fn encoded(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let more = match packet {
        Packet::SubAck(ack) => ack.codes.len(),
        Packet::UnsubAck(ack) => ack.codes.len(),
        Packet::Publish(publish) => publish.topic.len() + publish.payload.len(),
        _ => 0,
    };
    // Heads, ids, properties and a name of ours fit in a hundred bytes.
    let mut bytes = vec![0; 128 + more];
    let len = packet.encode(version, &mut bytes).unwrap_or(0);
    bytes.truncate(len);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;

    #[test]
    fn whoever_is_left_with_unread_bytes_gets_a_fin_all_the_same() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut device = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let broker = listener.accept().unwrap().0;
        broker.set_nonblocking(true).unwrap();
        device.write_all(&[0; 9_000]).unwrap();
        // On loopback they have arrived when the call returns.
        end_in_order(&SockRef::from(&broker));
        drop(broker);
        assert_eq!(device.read(&mut [0; 8]).unwrap(), 0);
        // Behind a FIN that has been read, a RST shows nowhere else.
        assert!(device.take_error().unwrap().is_none());
    }
}
