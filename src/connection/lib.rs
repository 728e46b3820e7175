//! One TCP connection of the host's, from source port to close, with every ending named.
//!
//! Knows addresses, time-outs and sockets; does not know what a workload wants from a connection, nor what the
//! packets show.

mod datagram;
mod endings;
pub mod http;
mod occupancy;
mod ports;
mod request_body;
mod silence;
mod slowness;
mod socket;
mod status;
mod tls;
mod upload;

pub use datagram::{DatagramSocket, Received};
pub use occupancy::Occupancy;
pub use ports::{PortPool, PortRange, Taken};
pub use request_body::RequestBody;
pub use silence::{SilenceError, silence, unsilence};
pub use slowness::Slowness;
pub use socket::{
    Alarms, AtRest, Connection, Connector, HostClosed, Refused, Timeouts, Turn, Waits, all_acknowledged,
    fin_acknowledged,
};
pub use status::ExpectedStatus;
pub use tls::{Tls, TlsError, TlsOptions};
