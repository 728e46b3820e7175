//! What is tested: addresses, and the devices that need no hardware.
pub mod sim;
