//! The twin: the device program on lwIP, behind a link model and a TAP device.
//!
//! `link` is the air between host and device, pure and seeded.

pub mod link;
