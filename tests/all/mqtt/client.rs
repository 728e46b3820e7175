//! A client of MQTT 3.1.1 that does what a test says, right or wrong.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use espstress_device::mqtt::{
    Ack, ConnAck, Connect, Decoded, Packet, PacketId, Publish, Qos, Subscribe, Subscription, Subscriptions,
    Version, Will, decode,
};

/// A connection to the broker.
pub(crate) struct Client {
    stream: TcpStream,
    input: Vec<u8>,
}

/// What a client says in its CONNECT.
#[derive(Clone, Copy)]
pub(crate) struct Says {
    pub(crate) id: &'static str,
    pub(crate) keepalive: u16,
    pub(crate) clean: bool,
    pub(crate) will: Option<Will<'static>>,
}

impl Says {
    pub(crate) const fn keepalive(keepalive: u16) -> Self {
        Self { id: "kitchen", keepalive, clean: true, will: None }
    }
}

impl Client {
    /// Dials until somebody listens, and connects: the client, and whether its session was present.
    pub(crate) fn connect(broker: SocketAddr, says: Says) -> Option<(Self, bool)> {
        let mut client = Self::dial(broker);
        client.send(&Packet::Connect(Connect {
            version: Version::V311,
            clean: says.clean,
            keep_alive: says.keepalive,
            client_id: says.id,
            will: says.will,
            ..Connect::default()
        }));
        client.connack().map(|present| (client, present))
    }

    /// Dials until somebody listens.
    pub(crate) fn dial(broker: SocketAddr) -> Self {
        for _ in 0..400 {
            if let Ok(stream) = TcpStream::connect(broker) {
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                return Self { stream, input: Vec::new() };
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("nobody listens on {broker}");
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        // A broker that has closed takes nothing more: what follows tells.
        let _ = self.stream.write_all(bytes);
    }

    pub(crate) fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = vec![0; 512];
        let len = packet.encode(Version::V311, &mut bytes).unwrap();
        self.raw(&bytes[..len]);
    }

    pub(crate) fn publish(&mut self, id: u16, payload: &str, dup: bool) {
        let id = PacketId::new(id);
        let qos = if id.is_some() { Qos::AtLeastOnce } else { Qos::AtMostOnce };
        let payload = payload.as_bytes();
        self.send(&Packet::Publish(Publish { dup, qos, retain: false, topic: "kitchen/state", id, payload }));
    }

    pub(crate) fn subscribe(&mut self, filters: &[&str]) {
        let all: Vec<Subscription<'_>> =
            filters.iter().map(|f| Subscription::new(f, Qos::AtLeastOnce)).collect();
        let id = PacketId::new(1).unwrap();
        self.send(&Packet::Subscribe(Subscribe { id, subscriptions: Subscriptions::new(&all) }));
    }

    /// Reads on until the broker ends the connection or says nothing for so long; `false` where it has ended.
    pub(crate) fn stays(&mut self, quiet: Duration) -> bool {
        self.stream.set_read_timeout(Some(quiet)).unwrap();
        loop {
            let mut buffer = [0; 1_024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => {
                    use std::io::ErrorKind::{TimedOut, WouldBlock};
                    return matches!(error.kind(), WouldBlock | TimedOut);
                }
            }
        }
    }

    /// Acknowledges messages whose packets have at most so many bytes, and pings, until one is larger or the broker ends the
    /// connection; whether one was larger.
    pub(crate) fn takes_messages_of(&mut self, most: usize) -> bool {
        self.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        loop {
            let mut buffer = [0; 1_024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(n) => self.input.extend_from_slice(&buffer[..n]),
                Err(_) => self.send(&Packet::PingReq),
            }
            let input = std::mem::take(&mut self.input);
            let mut rest = input.as_slice();
            while let Ok(Decoded::Packet { packet, len }) = decode(rest, Version::V311, 65_536) {
                if len > most {
                    return true;
                }
                if let Packet::Publish(Publish { id: Some(id), .. }) = packet {
                    self.send(&Packet::PubAck(Ack::of(id)));
                }
                rest = &rest[len..];
            }
            if rest.len() > most {
                return true;
            }
            self.input = rest.to_vec();
        }
    }

    /// Sends PINGREQ at this interval until the broker ends the connection.
    pub(crate) fn ping_until_closed(mut self, interval: Duration) {
        loop {
            self.send(&Packet::PingReq);
            if !self.stays(interval) {
                return;
            }
        }
    }

    fn connack(&mut self) -> Option<bool> {
        loop {
            if let Ok(Decoded::Packet { packet, .. }) = decode(&self.input, Version::V311, 1_024) {
                let Packet::ConnAck(ConnAck { session_present, code: 0, .. }) = packet else { return None };
                self.input.clear();
                return Some(session_present);
            }
            let mut buffer = [0; 4];
            match self.stream.read(&mut buffer) {
                Ok(n) if n > 0 => self.input.extend_from_slice(&buffer[..n]),
                _ => return None,
            }
        }
    }
}
