//! The tests that every carrier of the device program has to pass.
//!
//! They know addresses and sockets of the host and nothing else, so that the same checks run against the program on
//! the host's own stack, on lwIP, on smoltcp, in C and on a board. A check is a function that returns what was
//! wrong; a carrier's test starts a device for each and calls [`Check::run`].
//!
//! A device for [`SERVICE_CHECKS`] is `robust`, has [`TOKEN`], ten sockets and a backlog of at least four. One for a
//! [`PersonaCheck`] is freshly started as [`PersonaCheck::persona`] says, otherwise the same.

mod client;
mod noise;
mod personas;
mod services;

use std::net::SocketAddr;
use std::string::String;
use std::vec::Vec;

use crate::service::Service;

pub use noise::withstands_noise;
pub use personas::{PERSONA_CHECKS, PersonaCheck};
pub use services::SERVICE_CHECKS;

/// The control token of a device under these checks.
pub const TOKEN: &str = "conformance-token";

/// What was wrong.
pub type Fault = String;

/// What a stack does by itself, where the checks have to expect one thing or the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backlog {
    /// Handshakes complete before the program accepts.
    Kept,
    /// A connection is refused when the program is not waiting for one.
    None,
}

/// A running device.
#[derive(Clone, Debug)]
pub struct Device {
    /// Where its services are.
    pub addresses: Vec<(Service, SocketAddr)>,
    /// Connections it holds at once.
    pub capacity: usize,
    /// What its stack does with connections that nobody accepts.
    pub backlog: Backlog,
}

impl Device {
    fn address(&self, service: Service) -> Result<SocketAddr, Fault> {
        let found = self.addresses.iter().find(|&&(each, _)| each == service);
        found.map(|&(_, address)| address).ok_or_else(|| std::format!("the device has no {service} service"))
    }
}

/// One thing that a device does.
#[derive(Clone, Copy)]
pub struct Check {
    /// A sentence, in the shape of a test's name.
    pub name: &'static str,
    pub(crate) check: fn(&Device) -> Result<(), Fault>,
}

impl Check {
    /// Looks whether the device does it.
    ///
    /// # Errors
    /// What it did instead.
    pub fn run(&self, device: &Device) -> Result<(), Fault> {
        (self.check)(device).map_err(|fault| std::format!("{}: {fault}", self.name))
    }
}

/// A table of checks out of functions whose names say what they check.
macro_rules! checks {
    ($($name:ident),* $(,)?) => {
        &[$($crate::conformance::Check { name: stringify!($name), check: $name }),*]
    };
}
pub(crate) use checks;

/// Fails the check with a message unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(std::format!($($message)+));
        }
    };
}
pub(crate) use ensure;
