//! A connection behind which the user's own broker is (`--via`): what comes from either side is looked at and passed on as it
//! came, but for what the fault withholds.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::super::phase::{Phase, Task};
use super::{Connection, End, LONGEST, Late};
use espstress_device::mqtt::{Connect, Decoded, Packet, PacketId, Version, decode};
use espstress_event::MqttFault;

/// How long the broker may take to accept a connection, or to take bytes.
const LIMIT: Duration = Duration::from_secs(5);

/// The connection to the user's broker.
pub(super) struct Upstream {
    stream: TcpStream,
    input: Vec<u8>,
    /// The CONNECT that was passed on.
    connect: Vec<u8>,
}

/// Opens a connection to the user's broker; why that failed, in a sentence.
pub(in super::super) async fn open(via: SocketAddr) -> Result<TcpStream, String> {
    let opened = tokio::time::timeout(LIMIT, TcpStream::connect(via)).await;
    let opened = opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let stream = opened.map_err(|error| format!("cannot connect to the broker at {via}: {error}"))?;
    // Answers are small: none waits for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

impl Upstream {
    async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    tokio::time::timeout(LIMIT, self.stream.writable()).await??;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) async fn readable(&self) {
        // What the error is, reading tells.
        let _ = self.stream.readable().await;
    }
}

/// The id of a message that this packet acknowledges.
fn acknowledges(packet: &Packet<'_>) -> Option<PacketId> {
    match packet {
        Packet::PubAck(ack) | Packet::PubRec(ack) => Some(ack.id),
        _ => None,
    }
}

impl Connection {
    /// A packet has come from the device: into the account, and on to the broker.
    pub(super) async fn relay(&mut self, packet: &Packet<'_>, raw: &[u8], phase: Phase) -> Result<(), End> {
        let now = Instant::now();
        if let Packet::Connect(connect) = packet {
            if self.upstream.is_some() {
                return Err(End::Violation("a second CONNECT"));
            }
            return self.relay_connect(connect, raw, phase).await;
        }
        if !self.session {
            return Err(End::Violation("a packet before CONNECT"));
        }
        if matches!(packet, Packet::Disconnect(_)) {
            self.to_broker(raw).await?;
            return Err(End::Goodbye);
        }
        self.heard_from(packet, phase, now);
        match packet {
            Packet::Publish(publish) => self.broker.message(self.number, publish, false, now),
            Packet::Subscribe(subscribe) => {
                self.broker.subscribe(subscribe.subscriptions.iter().map(|s| (s.filter, s.qos)), now);
            }
            Packet::Unsubscribe(unsubscribe) => self.broker.unsubscribe(unsubscribe.filters.iter(), now),
            _ => {}
        }
        self.to_broker(raw).await
    }

    async fn relay_connect(&mut self, connect: &Connect<'_>, raw: &[u8], phase: Phase) -> Result<(), End> {
        self.admit(connect, phase).await?;
        let Some(via) = self.broker.via else { return Err(End::Done) };
        let stream = match open(via).await {
            Ok(stream) => stream,
            Err(why) => return Err(End::Rejected(why)),
        };
        self.upstream = Some(Upstream { stream, input: Vec::new(), connect: raw.to_vec() });
        self.to_broker(raw).await
    }

    async fn to_broker(&self, raw: &[u8]) -> Result<(), End> {
        let Some(upstream) = &self.upstream else { return Ok(()) };
        upstream.write(raw).await.map_err(|_| End::Broker)
    }

    /// Takes what the broker has sent, and passes it on as the phase wants it.
    pub(super) async fn relay_back(&mut self, phase: Phase) -> Result<(), End> {
        let Some(upstream) = &mut self.upstream else { return Ok(()) };
        let mut buffer = [0; 4_096];
        let mut ended = false;
        while !ended && upstream.input.len() <= LONGEST as usize {
            match upstream.stream.try_read(&mut buffer) {
                Ok(0) => ended = true,
                Ok(n) => upstream.input.extend_from_slice(buffer.get(..n).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => ended = true,
            }
        }
        let input = std::mem::take(&mut upstream.input);
        let mut rest = input.as_slice();
        loop {
            match decode(rest, self.version, LONGEST) {
                Ok(Decoded::Packet { packet, len }) => {
                    let (raw, more) = rest.split_at_checked(len).unwrap_or((rest, &[]));
                    self.broker_says(&packet, raw, phase).await?;
                    rest = more;
                }
                Ok(Decoded::Needs(_)) => break,
                Err(what) => {
                    self.broker.context.notice(format!("the broker of --via sent what is no MQTT: {what}"));
                    return Err(End::Broker);
                }
            }
        }
        if let Some(upstream) = &mut self.upstream {
            upstream.input = rest.to_vec();
        }
        if ended { Err(End::Broker) } else { Ok(()) }
    }

    async fn broker_says(&mut self, packet: &Packet<'_>, raw: &[u8], phase: Phase) -> Result<(), End> {
        match packet {
            Packet::ConnAck(answer) if !self.session => {
                return self.session_opens(answer.code, answer.session_present, raw, phase).await;
            }
            Packet::PingResp if phase.is(MqttFault::NoPingresp) => return Ok(()),
            Packet::PingResp => {}
            _ => self.answered_otherwise(),
        }
        let answers = matches!(
            packet,
            Packet::PubAck(_)
                | Packet::PubRec(_)
                | Packet::PubComp(_)
                | Packet::SubAck(_)
                | Packet::UnsubAck(_)
                | Packet::PingResp
        );
        let acknowledges = acknowledges(packet);
        if answers && phase.is(MqttFault::Slow) {
            let due = Instant::now() + self.broker.params.delay.0;
            self.late.push_back(Late { due, bytes: raw.to_vec(), acknowledges });
            return Ok(());
        }
        self.write(raw).await?;
        if let Some(id) = acknowledges.filter(|_| !self.broken) {
            self.broker.acknowledged(id.get());
        }
        Ok(())
    }

    /// The broker has answered the CONNECT.
    async fn session_opens(&mut self, code: u8, present: bool, raw: &[u8], phase: Phase) -> Result<(), End> {
        let bytes = self.upstream.as_mut().map(|upstream| std::mem::take(&mut upstream.connect));
        let bytes = bytes.unwrap_or_default();
        let Ok(Decoded::Packet { packet: Packet::Connect(connect), .. }) =
            decode(&bytes, Version::V311, LONGEST)
        else {
            return Err(End::Broker);
        };
        if code != 0 {
            self.write(raw).await?;
            return Err(End::Rejected(format!("the broker of --via refused it with code {code}")));
        }
        let now = Instant::now();
        self.opened(&connect, present, phase, now);
        self.write(raw).await?;
        if phase.is(MqttFault::Takeover) { Err(End::Task(Task::TakenOver)) } else { Ok(()) }
    }
}
