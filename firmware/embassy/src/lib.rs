//! The carrier of the device program over embassy-net, that is over smoltcp.
//!
//! The same on a board and on a TAP device of the host, so that what the board runs can be tested without one. Nothing
//! in here knows a chip, a clock but `embassy_time`'s, or an allocator.
//!
//! smoltcp has no backlog: a SYN is answered when a socket listens on its port at that moment, and refused with a RST
//! otherwise. A [`Device`] therefore has a pool of sockets. Every one that serves nobody listens; which of them listens
//! where is decided anew with each change ([`slots`]). A connection whose handshake is done waits in its socket until
//! the program admits it, which is what a backlog would have held.
//!
//! The next SYN has to find that done: [`turns::Turns`] around the driver sees to it.
//!
//! | task | does |
//! |---|---|
//! | [`Device::serve`] | one socket of the pool: listens, serves, closes, listens again |
//! | [`Device::answer_telemetry`] | telemetry datagrams, whatever the persona does |
//! | [`Device::obey`] | what the device as a whole wants, when its time has come |
//! | [`Device::dial`] | the line protocol's host, with a socket of its own |
//! | [`announce`](mdns::announce) | the services, by multicast DNS |
//!
//! | wish of a connection | on smoltcp |
//! |---|---|
//! | close, everything read | FIN after the data; the socket is used again once the peer has closed as well. TIME_WAIT lasts 10 s or until its socket is needed |
//! | close with bytes unread | smoltcp would send FIN; here the answer is delivered, then RST |
//! | abort | RST |
//! | forget | the socket is never used again |
//! | keep-alive idle / interval / count | a probe each idle time, RST after idle + interval x count of silence |
//! | failure by name | `reset` for all: smoltcp does not tell a RST from a time-out |
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(feature = "host", test))]
extern crate std;

mod announce;
pub mod console;
mod device;
mod dial;
mod digits;
#[cfg(feature = "host")]
pub mod host;
pub mod lasting;
pub mod mdns;
mod options;
pub mod setup;
mod slot;
pub mod slots;
mod socket;
#[cfg(feature = "tap")]
pub mod tap;
mod telemetry;
pub mod turns;

pub use device::{Board, Change, Device};
pub use embassy_net::driver;
pub use slot::Buffers;

/// The stack's version, as `Cargo.lock` has it.
pub const SMOLTCP_VERSION: &str = "0.13.1";

/// The version of what binds it to tasks, as `Cargo.lock` has it.
pub const EMBASSY_NET_VERSION: &str = "0.9.1";

/// Sockets that a device needs beside those of its pool: telemetry, multicast DNS, DHCP, DNS, and the one to dial.
pub const OTHER_SOCKETS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_told_are_those_that_are_built() {
        let lock = include_str!("../../../Cargo.lock");
        for (name, version) in [("smoltcp", SMOLTCP_VERSION), ("embassy-net", EMBASSY_NET_VERSION)] {
            let entry = std::format!("name = \"{name}\"\nversion = \"{version}\"\n");
            assert!(lock.contains(&entry), "{name} is not {version} in Cargo.lock");
        }
    }
}
