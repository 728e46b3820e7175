//! The device program behind a C interface: a static library and, for its tests, a Rust one.
//!
//! Thin on purpose. [`types`] has the values that cross the border, [`storage`] the memory that C keeps for us,
//! [`device`] and [`connection`] the functions. The generated header is `include/espstress_device.h`; a carrier
//! over BSD sockets is `carrier/carrier.c`.
//!
//! What holds for every function: pointers may be null, which is answered with a status or a neutral value; numbers
//! that stand for enums are checked; nothing unwinds into C, because an `extern "C"` function that panics aborts.
#![no_std]

#[cfg(any(feature = "std", test))]
extern crate std;

pub mod connection;
pub mod device;
mod panic;
pub mod storage;
pub mod types;
