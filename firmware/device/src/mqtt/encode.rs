//! From packets to bytes.

use crate::mqtt::packet::{Ack, Connect, Packet, Publish, Qos, Subscription, Version};
use crate::mqtt::properties::Properties;
use crate::mqtt::writer::{Count, EncodeError, Out, Writer};

impl Packet<'_> {
    /// Writes the packet and returns its length. A CONNECT is written in its own version.
    ///
    /// Written as it is, right or wrong: a quality of service without an identifier, for one, gives a packet that
    /// no receiver takes.
    ///
    /// # Errors
    /// It does not fit, or has a field that is too long.
    pub fn encode(&self, version: Version, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut body = Count::default();
        self.write_body(version, &mut body);
        if body.too_long {
            return Err(EncodeError::TooLong);
        }
        let mut writer = Writer::new(out);
        writer.first(self.kind(), self.flags()).length(body.len);
        self.write_body(version, &mut writer);
        writer.finish()
    }

    fn flags(&self) -> u8 {
        match self {
            Self::Publish(publish) => {
                u8::from(publish.dup) << 3 | (publish.qos as u8) << 1 | u8::from(publish.retain)
            }
            _ => self.kind().flags().unwrap_or(0),
        }
    }

    fn write_body<O: Out>(&self, version: Version, out: &mut O) {
        match self {
            Self::Connect(connect) => write_connect(connect, out),
            Self::ConnAck(connack) => {
                out.put(&[connack.session_present.into(), connack.code]);
                write_properties(&connack.properties, version, out);
            }
            Self::Publish(publish) => write_publish(publish, version, out),
            Self::PubAck(ack) | Self::PubRec(ack) | Self::PubRel(ack) | Self::PubComp(ack) => {
                write_ack(ack, version, out);
            }
            Self::Subscribe(subscribe) => {
                out.u16(subscribe.id.get());
                write_properties(&Properties::default(), version, out);
                for subscription in subscribe.subscriptions.iter() {
                    write_subscription(&subscription, version, out);
                }
            }
            Self::SubAck(suback) => {
                out.u16(suback.id.get());
                write_properties(&Properties::default(), version, out);
                out.put(suback.codes);
            }
            Self::Unsubscribe(unsubscribe) => {
                out.u16(unsubscribe.id.get());
                write_properties(&Properties::default(), version, out);
                for filter in unsubscribe.filters.iter() {
                    out.text(filter.as_bytes());
                }
            }
            Self::UnsubAck(unsuback) => {
                out.u16(unsuback.id.get());
                write_properties(&Properties::default(), version, out);
                if version == Version::V5 {
                    out.put(unsuback.codes);
                }
            }
            Self::PingReq | Self::PingResp => {}
            Self::Disconnect(disconnect) => {
                let plain = disconnect.code == 0 && disconnect.properties == Properties::default();
                if version == Version::V5 && !plain {
                    out.put(&[disconnect.code]);
                    write_properties(&disconnect.properties, version, out);
                }
            }
            Self::Auth(auth) => {
                if auth.code != 0 {
                    out.put(&[auth.code]);
                    write_properties(&Properties::default(), version, out);
                }
            }
        }
    }
}

fn write_connect<O: Out>(connect: &Connect<'_>, out: &mut O) {
    let version = connect.version;
    out.text(version.protocol_name().as_bytes());
    let will = connect.will.as_ref();
    let flags = [
        false,
        connect.clean,
        will.is_some(),
        will.is_some_and(|will| will.qos == Qos::AtLeastOnce),
        will.is_some_and(|will| will.qos == Qos::ExactlyOnce),
        will.is_some_and(|will| will.retain),
        connect.password.is_some(),
        connect.user.is_some(),
    ];
    let flags = flags.iter().rev().fold(0, |bits, &flag| bits << 1 | u8::from(flag));
    out.put(&[version as u8, flags]);
    out.u16(connect.keep_alive);
    write_properties(&connect.properties, version, out);
    out.text(connect.client_id.as_bytes());
    if let Some(will) = will {
        write_properties(&Properties::default(), version, out);
        out.text(will.topic.as_bytes());
        out.text(will.payload);
    }
    if let Some(user) = connect.user {
        out.text(user.as_bytes());
    }
    if let Some(password) = connect.password {
        out.text(password.0);
    }
}

fn write_publish<O: Out>(publish: &Publish<'_>, version: Version, out: &mut O) {
    out.text(publish.topic.as_bytes());
    if let Some(id) = publish.id {
        out.u16(id.get());
    }
    write_properties(&Properties::default(), version, out);
    out.put(publish.payload);
}

fn write_ack<O: Out>(ack: &Ack, version: Version, out: &mut O) {
    out.u16(ack.id.get());
    if version == Version::V5 && ack.code != 0 {
        out.put(&[ack.code]);
    }
}

fn write_subscription<O: Out>(subscription: &Subscription<'_>, version: Version, out: &mut O) {
    out.text(subscription.filter.as_bytes());
    let more = if version == Version::V5 {
        u8::from(subscription.no_local) << 2
            | u8::from(subscription.retain_as_published) << 3
            | (subscription.retain_handling as u8) << 4
    } else {
        0
    };
    out.put(&[subscription.qos as u8 | more]);
}

fn write_properties<O: Out>(properties: &Properties<'_>, version: Version, out: &mut O) {
    if version != Version::V5 {
        return;
    }
    let mut count = Count::default();
    properties.write(&mut count);
    out.length(count.len);
    properties.write(out);
}
