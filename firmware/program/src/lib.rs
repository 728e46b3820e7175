//! Any Linux program on the device's TCP stack.
//!
//! The program runs unmodified. A seccomp filter, installed before it is executed, hands its IPv4 socket calls to this
//! crate (seccomp_unotify(2)), which carries them out on lwIP and answers. `close`, `poll`, `select`, `epoll`, `dup2`,
//! `fork` and `exec` go to the kernel as ever, because each descriptor is real: one end of a socket pair that carries
//! readiness and no data.
//!
//! ```text
//! filter       which calls are handed over: the BPF program
//! notify       the notification descriptor: receive a call, answer it, install a descriptor
//! launch       starts the program with the filter in force, its output on a terminal
//! supervisor   the loop: hang-ups, events of the stack, finished work, calls
//! calls        one module a family of calls
//! table        the program's sockets, by the inode that /proc shows for a descriptor
//! readiness    makes a descriptor as readable and writable as its socket
//! park         calls that wait: until the socket is ready, a time-out, a signal
//! workers      calls that wait inside of lwIP
//! memory       the program's memory
//! tracee       its threads and descriptors
//! family       its processes: which there are, their end
//! output       its standard output and error
//! names        nobody answers name queries here: the answer to them
//! telemetry    a UDP port of the twin's own
//! ```
//!
//! Which lessons this follows: the filter's descriptor range leaves the calls on files alone; a descriptor is told apart
//! by its inode, which is right across `fork`, `dup` and `exec`; hang-ups go before calls, so that `close` and then
//! `socket` work at the limit; blocking sends wait in the real `lwip_send`, since doing that in pieces would change the
//! segments.

#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

mod calls;
mod family;
mod filter;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod launch;
mod memory;
mod names;
mod notify;
mod output;
mod park;
mod readiness;
mod supervisor;
mod table;
mod telemetry;
mod tracee;
mod workers;

pub use family::{End, EndKind};
pub use launch::StartError;
pub use supervisor::{News, Supervisor, Waker};
pub use telemetry::Answer;
