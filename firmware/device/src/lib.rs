//! The device program: what runs on a small networked device so that it can be put under stress.
//!
//! Sans-I/O: bytes and times go in, bytes and wishes come out. There is no clock, no socket, no allocator and no
//! unsafe code in here, so that one program runs on every stack that somebody carries it on. A carrier owns the
//! sockets. It gives each accepted connection a [`Connection`] from [`Program::open`], does what
//! [`Connection::next`] wishes, and does what [`Program::poll_wish`] wishes for the device as a whole. Carriers with
//! a poll call can leave all of that to [`carrier`].
//!
//! Without a poll call, one task a socket does the same (in the style of embassy, `device` behind a lock that is taken
//! for the length of one call):
//!
//! ```text
//! loop {
//!     wait until device.admit(service, now) says Accept, then accept a socket;
//!     let mut connection = device.open(service, now);
//!     loop {
//!         match connection.next(&mut device, now) {
//!             Read(space)   => whichever is first: socket.read(space), or connection.deadline();
//!             Write(bytes)  => whichever is first: socket.write(bytes), or connection.deadline();
//!             Readings      => connection.provide(&mut device, &readings, now),
//!             ShutdownWrite => send FIN, go on reading,
//!             Hold          => sleep until connection.deadline(),
//!             Close(how)    => do as it says; break,
//!         }
//!         do what device.poll_wish(now) wants, until it wants nothing;
//!     }
//! }
//! ```
//!
//! A stack without a backlog accepts by itself; [`Program::open`] takes such connections as they come, and those that a
//! persona would have left waiting are held.
//!
//! Memory is bounded: one [`Program`] a device, one [`Connection`] of fixed size a socket, nothing else.
//!
//! | service | port | module |
//! |---|---|---|
//! | HTTP/1.1 | 80 | [`http`] |
//! | framed read-write | 7007 | [`framed`] |
//! | telemetry datagrams | 7008/udp | [`telemetry`] |
//! | raw | 8080 | [`raw`] |
//! | line | 8123 | [`mod@line`] |
#![no_std]
#![forbid(unsafe_code)]

pub mod announcement;
mod buffer;
pub mod carrier;
pub mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
mod connection;
pub mod control;
mod dial;
mod error;
pub mod framed;
mod framed_server;
pub mod http;
pub mod line;
mod line_server;
pub mod mqtt;
pub mod persona;
mod program;
mod protocol;
pub mod raw;
mod service;
mod sessions;
pub mod telemetry;
pub mod text;
mod time;
mod units;

#[cfg(feature = "conformance")]
extern crate std;

pub use config::Config;
pub use connection::{CloseHow, Connection, INPUT_LEN, OUTPUT_LEN, Wish};
pub use error::ErrorKind;
pub use persona::Persona;
pub use program::{Admission, COMMAND_DELAY, Counters, DeviceWish, Program, SocketOptions};
pub use service::{Service, Services};
pub use telemetry::Readings;
pub use time::Instant;
