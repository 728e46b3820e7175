//! MQTT's packets, shared by device and host, and the device's client.
//!
//! Protocols 3.1 ("MQIsdp"), 3.1.1 and 5, both directions: what a client sends and what a broker sends. Packets borrow
//! from the bytes they were read from; nothing allocates. [`decode`] is incremental: over the bytes that are there, it
//! gives a packet and its length, or says how many bytes are missing at least, or why no further byte can help. Of 5's
//! properties, those in [`Properties`] are kept and the others are parsed past.
//!
//! ```
//! use espstress_device::mqtt::{Decoded, Packet, Publish, Qos, Version, decode};
//!
//! let packet = Packet::Publish(Publish { topic: "a/b", payload: b"1", ..Publish::default() });
//! let mut bytes = [0; 32];
//! let len = packet.encode(Version::V311, &mut bytes).unwrap();
//! assert_eq!(decode(&bytes[..len], Version::V311, 1_024), Ok(Decoded::Packet { packet, len }));
//! assert_eq!(decode(&bytes[..1], Version::V311, 1_024), Ok(Decoded::Needs(1)));
//! # assert_eq!(Publish::default().qos, Qos::AtMostOnce);
//! ```
//!
//! Whoever has to send wrong packets writes them with [`Writer`].

mod decode;
mod encode;
mod head;
mod malformed;
pub mod packet;
mod properties;
mod reader;
pub mod topic;
mod writer;

pub use decode::{Decoded, PublishStart, decode, publish_start};
pub use head::{Head, HeadRead, Kind, MAX_REMAINING};
pub use malformed::Malformed;
pub use packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, PacketId, Password, Publish, Qos, RetainHandling,
    SubAck, Subscribe, Subscription, Subscriptions, Topics, UnsubAck, Unsubscribe, Version, Will,
};
pub use properties::Properties;
pub use writer::{EncodeError, Writer};
