//! A process that holds the far end of a TAP device: an emulator, a stack in user space, an operating system's simulator.
//!
//! ```text
//! interface   a network namespace of the process's own with the TAP device, and a packet socket on it
//! raw         the system calls for it that no library here wraps
//! process     the process: its start, its console, its end
//! console     what it writes
//! offload     what a network card would still have done to a frame
//! seen        the address that a frame shows
//! lease       the DHCP server that an access point has
//! ```
//!
//! The namespace keeps the host's stack out: in the private network itself the kernel would answer the ARP requests that
//! come out of the process's TAP device, past the link.

mod console;
mod interface;
pub(crate) mod lease;
mod offload;
mod process;
mod raw;
pub(crate) mod seen;

pub(crate) use interface::{Far, NAME};
pub(crate) use process::{Ending, Process, Started, start};
