//! The broker that misbehaves, against clients with one habit each and, with the feature `long`, against clients that are
//! not ours: paho-mqtt and Mosquitto's, in a network namespace of their own.

#![cfg_attr(
    not(feature = "long"),
    allow(dead_code, unused_imports, reason = "only long tests need some of it")
)]

mod client;
mod habits;
mod run;
#[cfg(target_os = "linux")]
mod strangers;
