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
mod error;
mod neighbour;
#[cfg(target_os = "linux")]
pub mod network;
mod refuse;
mod setup;
pub mod sim;
mod spec;
#[cfg(target_os = "linux")]
mod tap;
#[cfg(target_os = "linux")]
pub mod twin;

pub use address::{AddressError, DeviceAddress, PublicAddresses, resolve};
pub use device::{Device, DeviceKind};
#[cfg(target_os = "linux")]
pub use emulator::EmulatorError;
pub use error::TargetError;
pub use neighbour::Neighbour;
pub use setup::{DeviceSetup, DialOut, Nest};
pub use spec::{Spec, SpecError, TwinOptions, TwinStack};
