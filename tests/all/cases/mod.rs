//! Behaviour that people report of their devices, one server each, and what has to be said of it. A server here plays the
//! device on this host's own stack.

#![cfg_attr(
    not(feature = "long"),
    allow(dead_code, unused_imports, reason = "only long tests need some of it")
)]

mod connections;
#[cfg(feature = "long")]
mod network;
mod responses;
mod timing;

use std::net::SocketAddr;

use crate::common::said::{Said, said};

/// Runs the program against a server.
#[track_caller]
fn run(arguments: &str, server: SocketAddr) -> Said {
    said(arguments, &[&server.to_string()])
}

/// The shortest examination in which everything but slow reclaims is looked at.
const DOCTOR: &str = "doctor --duration 20s";

/// The shortest in which a device has time to take its sockets back.
const LONG_DOCTOR: &str = "doctor --duration 56s";
