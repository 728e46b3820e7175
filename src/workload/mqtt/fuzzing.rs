//! The broker's account of its own messages for the fuzz targets: what a client may answer to them, and when.

use std::time::{Duration, Instant};

use espstress_device::mqtt::{Decoded, Packet, Qos, Version, decode};
use espstress_event::MqttFault;

use super::big::Gone;
use super::outgoing::{Answer, Outgoing, Takes};
use super::settings::PublishTo;

/// The longest packet of a client's that is read.
const LONGEST: u32 = 256 * 1_024;

/// A client's packets in both versions, and what they do to the messages that are under way. Each piece comes a quarter of
/// a second after the one before.
pub fn broker<'a>(version: u8, qos: u8, pieces: impl Iterator<Item = &'a [u8]>) {
    let version = if version.is_multiple_of(2) { Version::V311 } else { Version::V5 };
    let qos = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][usize::from(qos % 3)];
    let to = PublishTo { topic: "a/b".to_owned(), qos };
    let mut outgoing = Outgoing::new(to, Duration::from_millis(200));
    let (mut now, mut input) = (Instant::now(), Vec::new());
    for (number, piece) in pieces.enumerate() {
        now += Duration::from_millis(250);
        if input.len() < LONGEST as usize {
            input.extend_from_slice(piece);
        }
        let mut used = 0;
        while let Ok(Decoded::Packet { packet, len }) = decode(&input[used..], version, LONGEST) {
            assert!(len > 0 && used + len <= input.len(), "a packet of {len} bytes");
            used += len;
            outgoing.heard(now, Duration::ZERO);
            match packet {
                Packet::Connect(connect) => {
                    let at_once = connect.properties.receive_maximum.map(std::num::NonZeroU16::get);
                    let takes = Takes { at_once, packet: None, v5: version == Version::V5 };
                    let _ = outgoing.begins(!connect.clean, takes, now);
                }
                Packet::Subscribe(subscribe) => {
                    outgoing.subscribed(subscribe.subscriptions.iter().map(|one| one.qos).next());
                }
                Packet::PubAck(ack) => drop(outgoing.answered(Answer::Acknowledged(ack.id), now)),
                Packet::PubRec(ack) => drop(outgoing.answered(Answer::Received(ack.id), now)),
                Packet::PubComp(ack) => drop(outgoing.answered(Answer::Complete(ack.id), now)),
                Packet::Disconnect(_) => outgoing.gone(Gone::ByDevice),
                _ => {}
            }
        }
        input.drain(..used);
        match number % 16 {
            9 => outgoing.phase(Some(MqttFault::Redeliver)),
            12 => outgoing.grow([100, 1_000].into_iter()),
            14 => drop(outgoing.grown()),
            15 => outgoing.phase(None),
            _ => {}
        }
        let _ = outgoing.due(now, Duration::ZERO, number % 2 == 0);
        let _ = outgoing.wakes_at(now);
    }
    let _ = outgoing.by_qos(now);
}
