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
//!
//! The client speaks 3.1.1 to the broker that the device dials, see [`Settings`] and [`Topic`]. It sends a PINGREQ once
//! it has sent nothing, or heard nothing, for half of the keep alive, and gives the connection up when it then hears
//! nothing for another half. It dials again after [`FIRST_WAIT`], doubled up to [`LONGEST_WAIT`] until a session
//! lasts, each wait shortened by up to a half at random. Messages that wait for their acknowledgement survive the
//! connection, up to [`OUTBOX`] of them; the device numbers none that finds no place there. What a session already
//! has is sent again with its number and DUP; in a new session it is sent as new, and the client subscribes again.

pub(crate) mod client;
mod decode;
mod encode;
mod head;
mod malformed;
mod outbox;
pub mod packet;
mod properties;
mod reader;
mod settings;
pub(crate) mod talk;
pub mod topic;
mod writer;

pub use client::{BLOCKING_DIAL_LIMIT, DIAL_LIMIT, FIRST_WAIT, LONGEST_WAIT};
pub use decode::{Decoded, PublishStart, decode, publish_start};
pub use head::{Head, HeadRead, Kind, MAX_REMAINING};
pub use malformed::Malformed;
pub use outbox::{MESSAGE_LEN, OUTBOX};
pub use packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, PacketId, Password, Publish, Qos, RetainHandling,
    SubAck, Subscribe, Subscription, Subscriptions, Topics, UnsubAck, Unsubscribe, Version, Will,
};
pub use properties::Properties;
pub use settings::{Settings, Topic, client_id};
pub use talk::CONNACK_LIMIT;
pub use writer::{EncodeError, Writer};
