//! Behaviour that people report of their devices, one server each, and what has to be said of it. A server here plays the
//! device on this host's own stack.

#[path = "../common/mod.rs"]
mod common;

mod connections;
mod responses;

use std::net::SocketAddr;

use common::said::{Said, said};

/// Runs the program against a server.
#[track_caller]
fn run(arguments: &str, server: SocketAddr) -> Said {
    said(arguments, &[&server.to_string()])
}

/// The shortest examination in which everything but slow reclaims is looked at.
const DOCTOR: &str = "doctor --duration 20s";

/// What responses with a status of 500 and above are called.
const BAD_STATUS: &str = "http_errors";

/// What responses that end too early, or break their own framing, are called.
const MALFORMED: &str = "malformed_response";
