//! What is tested: addresses, and the devices that need no hardware.
//!
//! A [`Spec`] is what was typed; a [`Device`] is the running thing, with its services and its capacity. Whatever
//! had to be started for it ends when it is dropped.

// These macros panic where nobody reads what they print.
#![cfg_attr(not(test), deny(clippy::print_stderr, clippy::print_stdout))]

mod address;
mod device;
pub mod discover;
#[cfg(target_os = "linux")]
mod emulator;
mod neighbour;
#[cfg(target_os = "linux")]
pub mod network;
pub mod sim;
mod spec;
#[cfg(target_os = "linux")]
mod tap;
#[cfg(target_os = "linux")]
pub mod twin;

pub use address::{AddressError, DeviceAddress, PublicAddresses, resolve};
pub use device::{Device, DeviceKind, DeviceSetup, DialOut, Nest, TargetError};
#[cfg(target_os = "linux")]
pub use emulator::EmulatorError;
pub use neighbour::Neighbour;
pub use spec::{Spec, SpecError, TwinOptions, TwinStack};
