//! A twin that dials an MQTT broker, on either stack.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use espstress_device::Service;
use espstress_device::mqtt::{
    Ack, ConnAck, Decoded, Packet, PacketId, Publish, Qos, Settings, SubAck, Version, decode,
};
use espstress_targets::network::{HOST_ADDRESS, PrivateNetwork};
use espstress_targets::twin::{StackKind, Twin, TwinSpec};

use super::client::{self, PATIENCE, address};
use crate::runner::{Case, Outcome};

pub(crate) const ALL: &[Case] = cases![
    a_twin_on_lwip_keeps_its_session_with_a_broker_over_a_loss,
    a_twin_on_smoltcp_keeps_its_session_with_a_broker_over_a_loss,
    a_twin_on_lwip_that_blocks_while_it_dials_serves_nobody_and_tells_telemetry,
    a_twin_on_smoltcp_that_blocks_while_it_dials_serves_nobody_and_tells_telemetry,
];

/// The broker's port.
const PORT: u16 = 1_883;

fn a_twin_on_lwip_keeps_its_session_with_a_broker_over_a_loss(network: &PrivateNetwork) -> Outcome {
    keeps_its_session(StackKind::Lwip, network)
}

fn a_twin_on_smoltcp_keeps_its_session_with_a_broker_over_a_loss(network: &PrivateNetwork) -> Outcome {
    keeps_its_session(StackKind::Smoltcp, network)
}

fn a_twin_on_lwip_that_blocks_while_it_dials_serves_nobody_and_tells_telemetry(
    network: &PrivateNetwork,
) -> Outcome {
    blocks(StackKind::Lwip, network)
}

fn a_twin_on_smoltcp_that_blocks_while_it_dials_serves_nobody_and_tells_telemetry(
    network: &PrivateNetwork,
) -> Outcome {
    blocks(StackKind::Smoltcp, network)
}

fn keeps_its_session(stack: StackKind, network: &PrivateNetwork) -> Outcome {
    // Before the twin is there, so is none of the network's addresses.
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
    let settings = Settings { interval: Duration::from_millis(50), ..Settings::default() };
    let dial = Some((HOST_ADDRESS, PORT));
    let twin = Twin::start(TwinSpec { stack, dial, mqtt: Some(settings), ..TwinSpec::default() }, network)?;
    let mut first = Client::accept(&listener, false)?;
    let mut sent = Vec::new();
    while sent.len() < 3 {
        sent.extend(first.next_data()?);
    }
    if sent.iter().any(|message| message.dup) || !first.subscribed || !first.born {
        return Err(format!("{sent:?}, subscribed {}, born {}", first.subscribed, first.born).into());
    }
    // A crash of the broker: what was not acknowledged is not lost.
    drop(first);
    let mut second = Client::accept(&listener, true)?;
    let mut again = Vec::new();
    while again.len() < 3 {
        again.extend(second.next_data()?);
    }
    for (old, new) in sent.iter().zip(&again) {
        if (old.id, &old.payload) != (new.id, &new.payload) || !new.dup {
            return Err(format!("{new:?} after {old:?}").into());
        }
        second.acknowledge(new.id)?;
    }
    if second.subscribed {
        return Err("subscribed again in a session that was kept".into());
    }
    second.command(b"hello")?;
    second.until_echoed("hello")?;
    client::head(address(&twin, Service::Http)?)?;
    Ok(())
}

/// Nobody is at that address: the SYN gets no answer.
fn blocks(stack: StackKind, network: &PrivateNetwork) -> Outcome {
    let nobody = Ipv4Addr::new(192, 168, 4, 200);
    let spec = TwinSpec {
        stack,
        persona: "mqtt-blocking".to_owned(),
        dial: Some((nobody, PORT)),
        mqtt: Some(Settings::default()),
        ..TwinSpec::default()
    };
    let twin = Twin::start(spec, network)?;
    // It may have served before it dialled for the first time; each dialling takes 15 seconds then.
    let mut tries = 0;
    while is_served(&twin)? {
        tries += 1;
        if tries == 20 {
            return Err("served while it dials".into());
        }
    }
    client::telemetry(&twin)?;
    Ok(())
}

/// Whether a HEAD is answered within a time that is long for a twin.
fn is_served(twin: &Twin) -> Result<bool, Box<dyn std::error::Error>> {
    let mut stream = TcpStream::connect_timeout(&address(twin, Service::Http)?, PATIENCE)?;
    stream.write_all(b"HEAD / HTTP/1.1\r\nHost: twin\r\n\r\n")?;
    stream.set_read_timeout(Some(Duration::from_millis(700)))?;
    Ok(stream.read(&mut [0; 64]).is_ok_and(|len| len > 0))
}

/// One of the twin's numbered messages.
#[derive(Debug)]
struct Data {
    payload: String,
    dup: bool,
    id: Option<PacketId>,
}

/// The broker's end of a connection.
struct Client {
    stream: TcpStream,
    bytes: Vec<u8>,
    subscribed: bool,
    born: bool,
    echoed: Vec<String>,
}

impl Client {
    /// Waits for the twin and answers its CONNECT.
    fn accept(listener: &TcpListener, session_present: bool) -> Result<Self, Box<dyn std::error::Error>> {
        listener.set_nonblocking(true)?;
        let until = Instant::now() + PATIENCE;
        let stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock && Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(error.into()),
            }
        };
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client =
            Self { stream, bytes: Vec::new(), subscribed: false, born: false, echoed: Vec::new() };
        client.read(|packet, _| match packet {
            Packet::Connect(connect) if connect.client_id == "twin-1" && connect.will.is_some() => Ok(()),
            other => Err(format!("{other:?} first").into()),
        })?;
        client.write(&Packet::ConnAck(ConnAck { session_present, ..ConnAck::default() }))?;
        Ok(client)
    }

    /// The next packet; data, if it is that.
    fn next_data(&mut self) -> Result<Option<Data>, Box<dyn std::error::Error>> {
        let mut answer = None;
        let data = self.read(|packet, client| {
            match packet {
                Packet::Publish(publish) if publish.topic.ends_with("/data") => {
                    let payload = String::from_utf8(publish.payload.to_vec())?;
                    return Ok(Some(Data { payload, dup: publish.dup, id: publish.id }));
                }
                Packet::Publish(publish) if publish.topic.ends_with("/status") => {
                    client.born = publish.retain && publish.payload == b"online";
                }
                Packet::Publish(publish) => {
                    client.echoed.push(String::from_utf8(publish.payload.to_vec())?);
                }
                Packet::Subscribe(subscribe) => {
                    client.subscribed = true;
                    answer = Some(subscribe.id);
                }
                Packet::PubAck(_) => {}
                other => return Err(format!("{other:?}").into()),
            }
            Ok(None)
        })?;
        if let Some(id) = answer {
            self.write(&Packet::SubAck(SubAck { id, codes: &[1] }))?;
        }
        Ok(data)
    }

    fn acknowledge(&mut self, id: Option<PacketId>) -> Outcome {
        let id = id.ok_or("a message without a number")?;
        self.write(&Packet::PubAck(Ack::of(id)))
    }

    fn command(&mut self, payload: &[u8]) -> Outcome {
        let topic = "espstress/twin-1/cmd";
        let id = PacketId::new(7);
        self.write(&Packet::Publish(Publish {
            topic,
            payload,
            qos: Qos::AtLeastOnce,
            id,
            ..Publish::default()
        }))
    }

    /// Acknowledges all data until the echo is there.
    fn until_echoed(&mut self, what: &str) -> Outcome {
        let until = Instant::now() + PATIENCE;
        while !self.echoed.iter().any(|echoed| echoed == what) {
            if Instant::now() > until {
                return Err("no echo".into());
            }
            if let Some(data) = self.next_data()? {
                self.acknowledge(data.id)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, packet: &Packet<'_>) -> Outcome {
        let mut bytes = [0; 256];
        let len = packet.encode(Version::V311, &mut bytes)?;
        self.stream.write_all(&bytes[..len])?;
        Ok(())
    }

    /// The next packet.
    fn read<T>(
        &mut self,
        look: impl FnOnce(Packet<'_>, &mut Self) -> Result<T, Box<dyn std::error::Error>>,
    ) -> Result<T, Box<dyn std::error::Error>> {
        loop {
            let bytes = std::mem::take(&mut self.bytes);
            if let Decoded::Packet { packet, len } = decode(&bytes, Version::V311, 4_096)? {
                let result = look(packet, self);
                self.bytes = bytes[len..].to_vec();
                return result;
            }
            self.bytes = bytes;
            let mut more = [0; 1_024];
            match self.stream.read(&mut more)? {
                0 => return Err("the twin has closed".into()),
                n => self.bytes.extend_from_slice(&more[..n]),
            }
        }
    }
}
