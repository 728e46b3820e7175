//! Why there is no device to test.

use std::io;
use std::net::SocketAddr;

use espstress_device::persona::PersonaError;

use super::address::AddressError;
use super::spec::TwinStack;
#[cfg(target_os = "linux")]
use super::{emulator::EmulatorError, network::NetworkError, twin::TwinError};

/// Why there is no device to test.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Its address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Its persona.
    #[error("{0}")]
    Persona(PersonaError),
    /// An option that this kind of target does not have.
    #[error("{option} works only with {kinds}; the target is {target}")]
    NotForThis {
        /// The flag.
        option: &'static str,
        /// Targets that have it.
        kinds: &'static str,
        /// The target as given.
        target: String,
    },
    /// There is no such stack.
    #[error("--stack {given}: unknown stack; allowed: {}", TwinStack::ALL.map(TwinStack::name).join(", "))]
    Stack {
        /// The name as given.
        given: String,
    },
    /// This build does not have the stack.
    #[error(
        "--stack smoltcp: this build doesn't have it; build espstress with `cargo build --release --features smoltcp`"
    )]
    NotBuilt,
    /// Options of lwIP for a twin on another stack.
    #[error(
        "{target} names options of lwIP, and smoltcp has none of them: its options are fixed when it is compiled; \
         the target is `twin` with --stack smoltcp, or leave --stack out"
    )]
    OptionsOfLwip {
        /// The target as given.
        target: String,
    },
    /// A program of the user's own together with what only the device program has.
    #[error("--program can't be used with {other}: {why}")]
    NotWithProgram {
        /// The other option.
        other: &'static str,
        /// Why.
        why: &'static str,
    },
    /// It could not be started.
    #[error("cannot start the sim: {0}")]
    Sim(#[source] io::Error),
    /// This machine doesn't reach it.
    #[error(
        "cannot reach the sim at {at} ({source}): this network has no loopback interface that is up; `ip link set lo up` \
         brings it up"
    )]
    NoLoopback {
        /// Where it is.
        at: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// There is no private network for a twin.
    #[cfg(target_os = "linux")]
    #[error("cannot start the twin: {0}")]
    Network(#[from] NetworkError),
    /// The twin.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Twin(#[from] TwinError),
    /// Its link.
    #[error("--link: {0}")]
    Link(String),
    /// Its sdkconfig.
    #[error("{file}: {error}")]
    Options {
        /// The file.
        file: String,
        /// Why it cannot be read.
        error: io::Error,
    },
    /// There is no emulator.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Emulator(#[from] EmulatorError),
    /// The process behind a TAP device has no server.
    #[error(
        "the device has the address {}, but TCP port {} has no server: {what}{more}. Name another port with --device-address :PORT",
        at.ip(), at.port()
    )]
    NoServer {
        /// Where it was looked for.
        at: SocketAddr,
        /// What happened.
        what: &'static str,
        /// How the process fares.
        more: String,
    },
    /// Twins are Linux processes.
    #[error("a twin needs Linux; `sim` runs everywhere")]
    NoTwinsHere,
}

impl TargetError {
    /// Whether the device program could still run on the host's own stack.
    #[must_use]
    pub(super) fn leaves_sim(&self) -> bool {
        match self {
            Self::NoTwinsHere => true,
            #[cfg(target_os = "linux")]
            Self::Network(error) | Self::Twin(TwinError::Network(error)) => error.leaves_loopback(),
            _ => false,
        }
    }

    /// Whether other words on the command line would help, rather than another environment.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        #[cfg(target_os = "linux")]
        if let Self::Twin(TwinError::Options(_) | TwinError::Persona(_) | TwinError::Heap(_)) = self {
            return true;
        }
        // An emulator that is missing can be installed; another image takes other words.
        #[cfg(target_os = "linux")]
        if let Self::Emulator(error) = self {
            return !matches!(error, EmulatorError::NoEmulator { .. });
        }
        matches!(
            self,
            Self::Persona(_)
                | Self::NotForThis { .. }
                | Self::Stack { .. }
                | Self::NotWithProgram { .. }
                | Self::OptionsOfLwip { .. }
                | Self::Link(_)
                | Self::Options { .. }
                | Self::Address(AddressError::Public { .. } | AddressError::NotOne { .. })
        )
    }
}
