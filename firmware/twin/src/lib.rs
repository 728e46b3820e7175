//! The twin: the device program on lwIP or smoltcp, behind a link model and a TAP device.
//!
//! ```text
//! link        the air between host and device: pure, seeded, portable
//! setup       what a twin is started with, and what it carries over a restart
//! protocol    what the host program and the twin's process say to each other
//! child       the process's life          (Linux, like all that follows)
//! life        what a life has on either stack: its setup, its threads, its restart
//! on_lwip     a life on lwIP
//! sockets     lwIP's sockets under the device program's loop
//! on_program  a life on lwIP of a program that somebody else wrote
//! on_tap      a life of a process that holds the far end of a TAP device
//! tap         that process and its TAP device
//! on_smoltcp  a life on smoltcp  (feature `smoltcp`, like the next two)
//! bell        wakes that life from another thread
//! radio       frames between the link and smoltcp
//! air         the link model at work between TAP device and stack
//! silence     connections that it carries no more
//! control     the process's end of the control channel
//! ```
//!
//! One process a twin, because lwIP's state is global. The host program starts itself again with
//! [`setup::TWIN_ARGUMENT`] and calls [`child_main`] then; standard input is the control channel, standard output
//! carries the frames.

// These macros panic where nobody reads what they print.
#![cfg_attr(not(test), deny(clippy::print_stderr, clippy::print_stdout))]

pub mod link;
pub mod protocol;
pub mod setup;

#[cfg(target_os = "linux")]
mod air;
#[cfg(all(target_os = "linux", feature = "smoltcp"))]
mod bell;
#[cfg(target_os = "linux")]
mod child;
#[cfg(target_os = "linux")]
mod clock;
#[cfg(target_os = "linux")]
mod control;
#[cfg(target_os = "linux")]
mod error;
#[cfg(target_os = "linux")]
mod idf_console;
mod life;
#[cfg(target_os = "linux")]
mod on_lwip;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod on_program;
#[cfg(all(target_os = "linux", feature = "smoltcp"))]
mod on_smoltcp;
#[cfg(target_os = "linux")]
mod on_tap;
#[cfg(all(target_os = "linux", feature = "smoltcp"))]
mod radio;
#[cfg(target_os = "linux")]
mod silence;
#[cfg(target_os = "linux")]
mod sockets;
#[cfg(target_os = "linux")]
mod tap;

#[cfg(target_os = "linux")]
pub use child::child_main;
pub use espstress_lwip::heap::{
    DEFAULT_BYTES as DEFAULT_HEAP_BYTES, MAX_BYTES as MAX_HEAP_BYTES, MIN_BYTES as MIN_HEAP_BYTES,
};
pub use espstress_lwip::sdkconfig::{Parsed as ParsedOptions, SdkconfigError};
