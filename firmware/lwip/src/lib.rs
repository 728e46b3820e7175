//! lwIP on a host, in the shape and under the options that ESP-IDF gives it: sockets API, tcpip
//! thread, mailboxes of their real sizes, and everything that is allocated taken from one heap of a
//! device's size.
//!
//! lwIP's state is global, so a process has one stack, from [`Stack::start`] to its end.
//!
//! ```text
//! options, sdkconfig   what a project's sdkconfig says -> Options
//! heap                 the device's heap: lwIP's memory and the program's own
//! stack                start, Ethernet frames in and out, readings
//! tcp, udp, poll       sockets, blocking or not, and waiting for several
//! calls                the same for programs that bring their own C library's numbers
//! datagrams            UDP without a socket
//! announce             the device, by multicast DNS
//! ffi                  the C side; nothing outside of this crate sees it
//! ```
//!
//! Frames go in by [`Stack::input`] and come out through the closure given to the start: what lies
//! between - a TAP device, a link model, a test - is not this crate's business. A received frame is
//! copied into a buffer on the device's heap, as ESP32's dynamic Wi-Fi receive buffers are.
//!
//! # Examples
//! ```no_run
//! use espstress_lwip::{Stack, StackConfig, TcpListener};
//!
//! let stack = Stack::start(StackConfig::default(), |frame: &[u8]| drop(frame.len()))?;
//! let listener = TcpListener::bind(&stack, 7, 6)?;
//! let (stream, peer) = listener.accept()?;
//! println!("{peer}");
//! let mut buf = [0; 256];
//! while let n @ 1.. = stream.recv(&mut buf)? {
//!     stream.send_all(&buf[..n])?;
//! }
//! stream.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod announce;
mod calls;
mod datagrams;
mod error;
mod ffi;
pub mod heap;
mod options;
mod poll;
pub mod sdkconfig;
mod socket;
mod stack;
mod stats;
mod tcp;
mod udp;

pub use announce::Announcement;
pub use calls::{DeviceSocket, Errno, Kind, Ready};
pub use datagrams::Datagrams;
pub use error::SocketError;
pub use options::{OptionError, Options, PcbLimits, SocketOption};
pub use poll::{Interest, Poll, PollEntry, Pollable, Readiness, Waker};
pub use stack::{Dropped, Stack, StackConfig, StartError};
pub use stats::{Connection, Frames, Protocol, Sockets, Stats, TcpState, TcpStates};
pub use tcp::{Shutdown, TcpListener, TcpStream};
pub use udp::UdpSocket;
