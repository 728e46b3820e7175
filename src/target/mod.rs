//! What is tested: addresses, and the devices that need no hardware.
#[cfg(target_os = "linux")]
pub mod network;
pub mod sim;
#[cfg(target_os = "linux")]
pub mod twin;
