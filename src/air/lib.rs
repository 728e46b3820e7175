//! What is heard on the air: a capture in monitor mode becomes a description of one station, its access points, and of
//! what the capture missed.
//!
//! Duty: follow associations, power save, retries, rates, signal and beacons. It knows no TCP, reads no clock and judges
//! nothing: findings are `diagnose`'s. Its memory doesn't grow with the capture.
//!
//! The MAC header is `wire`'s; bodies of management frames have views of their own in [`body`](self). The crates
//! `ieee80211` and `libwifi` didn't panic on 300,000 mutated frames, but they bring fifteen crates and more for what are a
//! hundred lines here, and neither reads frames that a snap length cut.

mod body;
mod counter;
mod listener;
mod network;
mod once;
mod station;
mod tally;
#[cfg(test)]
mod tests;
mod waits;

pub use listener::{Listener, Packet};
