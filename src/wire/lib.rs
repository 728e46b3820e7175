//! Packets as they lie in memory: checked, borrowed views of link layers, tunnels, IPv4, IPv6 and TCP, and
//! [`decode`], which takes a captured frame to the one [`Segment`] the rest of the program looks at.
//!
//! Every view checks its lengths once, when it is made; its accessors cannot fail. Nothing here allocates,
//! panics or keeps anything. Checksums are not looked at: a capture on the sending host sees them before the
//! network card has filled them in. It does not know connections.

mod bytes;
mod decode;
mod ipv4;
mod ipv6;
mod layers;
mod link;
mod radio;
mod tcp;
mod wifi;

pub use decode::{Fragment, NotSegment, Segment, Unread, decode};
pub(crate) use ipv4::Ipv4;
pub(crate) use ipv6::Ipv6;
pub use link::Link;
pub(crate) use link::{Network, NetworkKind};
pub use radio::Radio;
pub use tcp::Flags;
pub(crate) use tcp::{Tcp, TcpOption};
pub use wifi::{Aggregate, FrameKind, MacFrame};
