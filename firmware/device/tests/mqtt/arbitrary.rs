//! Arbitrary packets.

use std::num::{NonZeroU16, NonZeroU32};

use espstress_device::mqtt::{
    Ack, Auth, ConnAck, Connect, Disconnect, Kind, Packet, PacketId, Password, Properties, Publish, Qos,
    RetainHandling, SubAck, Subscribe, Subscription, Subscriptions, Topics, UnsubAck, Unsubscribe, Version,
    Will,
};
use proptest::prelude::*;
use proptest::sample::select;

/// What a packet is made of.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) version: Version,
    pub(crate) kind: Kind,
    text: String,
    topic: String,
    filters: Vec<(String, Qos, bool, bool, RetainHandling)>,
    payload: Vec<u8>,
    id: PacketId,
    qos: Qos,
    flags: [bool; 6],
    number: u16,
    properties: Kept,
}

/// The properties that are kept.
#[derive(Clone, Debug)]
struct Kept {
    session_expiry: Option<u32>,
    assigned_client_id: Option<String>,
    server_keep_alive: Option<u16>,
    receive_maximum: Option<NonZeroU16>,
    maximum_packet_size: Option<NonZeroU32>,
}

fn kept() -> impl Strategy<Value = Kept> {
    let id = proptest::option::of(topic());
    (any::<Option<u32>>(), id, any::<Option<u16>>(), any::<Option<NonZeroU16>>(), any::<Option<NonZeroU32>>())
        .prop_map(
            |(
                session_expiry,
                assigned_client_id,
                server_keep_alive,
                receive_maximum,
                maximum_packet_size,
            )| {
                Kept {
                    session_expiry,
                    assigned_client_id,
                    server_keep_alive,
                    receive_maximum,
                    maximum_packet_size,
                }
            },
        )
}

fn qos() -> impl Strategy<Value = Qos> {
    select(vec![Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce])
}

fn filter() -> impl Strategy<Value = (String, Qos, bool, bool, RetainHandling)> {
    let handling = select(vec![RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DontSend]);
    let filter = prop_oneof![topic(), select(vec!["#".to_owned(), "+/a/#".to_owned(), "/+".to_owned()])];
    (filter, qos(), any::<bool>(), any::<bool>(), handling)
}

fn topic() -> impl Strategy<Value = String> {
    "[a-zé/]{1,40}"
}

pub(crate) fn parts(versions: &[Version]) -> impl Strategy<Value = Parts> + use<> {
    let text = "[a-z0-9 ü]{0,30}";
    let payload = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..300),
        (100usize..20_000).prop_map(|len| vec![0xA5; len]),
    ];
    let filters = proptest::collection::vec(filter(), 1..5);
    let tail = (any::<[bool; 6]>(), any::<u16>(), kept());
    (
        select(versions.to_vec()),
        select(Kind::ALL.to_vec()),
        text,
        topic(),
        filters,
        payload,
        any::<PacketId>(),
        qos(),
        tail,
    )
        .prop_map(
            |(version, kind, text, topic, filters, payload, id, qos, (flags, number, properties))| {
                // Before 5 there is no AUTH.
                let kind = if kind == Kind::Auth && version != Version::V5 { Kind::Publish } else { kind };
                Parts { version, kind, text, topic, filters, payload, id, qos, flags, number, properties }
            },
        )
}

impl Parts {
    /// The packet, for the length of a call.
    pub(crate) fn with<T>(&self, look: impl FnOnce(Packet<'_>) -> T) -> T {
        let five = self.version == Version::V5;
        let [a, b, c, d, e, f] = self.flags;
        let subscriptions: Vec<_> = self
            .filters
            .iter()
            .map(|&(ref filter, qos, no_local, retain_as_published, retain_handling)| Subscription {
                no_local: five && no_local,
                retain_as_published: five && retain_as_published,
                retain_handling: if five { retain_handling } else { RetainHandling::Send },
                ..Subscription::new(filter, qos)
            })
            .collect();
        let filters: Vec<_> = self.filters.iter().map(|(filter, ..)| filter.as_str()).collect();
        let codes = &[0, 1, 2, 0x80][..self.filters.len().min(4)];
        let ack = Ack { id: self.id, code: if five && a { 0x80 } else { 0 } };
        let Kept { session_expiry, receive_maximum, maximum_packet_size, .. } = self.properties;
        let of_client =
            Properties { session_expiry, receive_maximum, maximum_packet_size, ..Properties::default() };
        let of_client = if five { of_client } else { Properties::default() };
        look(match self.kind {
            Kind::Connect => Packet::Connect(Connect {
                version: self.version,
                clean: a,
                keep_alive: self.number,
                client_id: if a { &self.text } else { &self.topic },
                will: b.then_some(Will {
                    topic: &self.topic,
                    payload: &self.payload,
                    qos: self.qos,
                    retain: c,
                }),
                user: d.then_some(&self.text),
                password: (e && (d || five)).then_some(Password(&self.payload)),
                properties: of_client,
            }),
            Kind::ConnAck => Packet::ConnAck(ConnAck {
                session_present: a,
                code: if a { 0 } else { u8::from(b) * if five { 0x87 } else { 5 } },
                properties: if five {
                    Properties {
                        assigned_client_id: self.properties.assigned_client_id.as_deref(),
                        server_keep_alive: self.properties.server_keep_alive,
                        ..of_client
                    }
                } else {
                    Properties::default()
                },
            }),
            Kind::Publish => Packet::Publish(Publish {
                dup: f && self.qos != Qos::AtMostOnce,
                qos: self.qos,
                retain: a,
                topic: &self.topic,
                id: (self.qos != Qos::AtMostOnce).then_some(self.id),
                payload: &self.payload,
            }),
            Kind::PubAck => Packet::PubAck(ack),
            Kind::PubRec => Packet::PubRec(ack),
            Kind::PubRel => Packet::PubRel(Ack { code: if ack.code == 0 { 0 } else { 0x92 }, ..ack }),
            Kind::PubComp => Packet::PubComp(Ack { code: if ack.code == 0 { 0 } else { 0x92 }, ..ack }),
            Kind::Subscribe => Packet::Subscribe(Subscribe {
                id: self.id,
                subscriptions: Subscriptions::new(&subscriptions),
            }),
            Kind::SubAck => Packet::SubAck(SubAck { id: self.id, codes }),
            Kind::Unsubscribe => {
                Packet::Unsubscribe(Unsubscribe { id: self.id, filters: Topics::new(&filters) })
            }
            Kind::UnsubAck => {
                Packet::UnsubAck(UnsubAck { id: self.id, codes: if five { &[0, 0x11, 0x80] } else { &[] } })
            }
            Kind::PingReq => Packet::PingReq,
            Kind::PingResp => Packet::PingResp,
            Kind::Disconnect => Packet::Disconnect(Disconnect {
                code: if five && a { 0x8E } else { 0 },
                properties: if five && b {
                    Properties { session_expiry, ..Properties::default() }
                } else {
                    Properties::default()
                },
            }),
            Kind::Auth => Packet::Auth(Auth { code: if a { 0x18 } else { 0 } }),
        })
    }

    /// The same as a PUBLISH.
    pub(crate) fn published(self) -> Self {
        Self { kind: Kind::Publish, ..self }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        self.with(|packet| encode(&packet, self.version))
    }
}

pub(crate) fn encode(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut bytes = vec![0; 70_000];
    let len = packet.encode(version, &mut bytes).expect("fits");
    bytes.truncate(len);
    bytes
}
