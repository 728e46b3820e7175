//! What can go wrong with a twin.

use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use espstress_twin::{MAX_HEAP_BYTES, MIN_HEAP_BYTES, SdkconfigError};
use thiserror::Error;

use crate::network::NetworkError;

/// A twin that could not be started, or does not do as told.
#[derive(Debug, Error)]
pub enum TwinError {
    /// The network has no interface for it.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The sdkconfig cannot be used.
    #[error(transparent)]
    Options(#[from] SdkconfigError),
    /// No such persona.
    #[error("{0}")]
    Persona(String),
    /// A heap that no device has.
    #[error("a heap of {0} bytes isn't possible; allowed: {MIN_HEAP_BYTES} to {MAX_HEAP_BYTES}")]
    Heap(usize),
    /// The process could not be started.
    #[error("cannot start the twin's process: {0}")]
    Spawn(io::Error),
    /// The process ended.
    #[error("the twin ended: {0}")]
    Ended(TwinEnd),
    /// It does not serve, or does not answer.
    #[error("the twin didn't answer within {0:?}")]
    Silent(Duration),
    /// It refused what it was asked.
    #[error("the twin refused: {0}")]
    Refused(String),
}

/// How a twin ended.
#[derive(Clone, Debug)]
pub struct TwinEnd {
    /// The process's status, where it could be had.
    pub status: Option<ExitStatus>,
    /// Why, in the twin's own words, where it had some.
    pub message: Option<String>,
    /// The last lines it wrote to standard error.
    pub last_lines: Vec<String>,
}

impl fmt::Display for TwinEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "{status}")?,
            None => f.write_str("status unknown")?,
        }
        match &self.message {
            Some(message) => write!(f, ", {message}"),
            None if self.last_lines.is_empty() => Ok(()),
            None => write!(f, ", its last words: {}", self.last_lines.join(" | ")),
        }
    }
}
