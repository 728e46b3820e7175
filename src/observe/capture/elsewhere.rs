//! The capture where there is none.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use super::{BatchInfo, CaptureConfig, CaptureError, CaptureStats, Frame};

/// A capture that cannot be opened on this system.
#[derive(Debug)]
pub struct Capture(Infallible);

impl Capture {
    /// Says that it cannot.
    ///
    /// # Errors
    ///
    /// Always [`CaptureError::Unsupported`].
    pub fn open(_config: &CaptureConfig) -> Result<Self, CaptureError> {
        Err(CaptureError::Unsupported { reason: "packet sockets are Linux's".to_owned() })
    }

    /// Never called.
    ///
    /// # Errors
    ///
    /// None.
    pub fn next_batch(&mut self, _timeout: Duration, _each: impl FnMut(Frame<'_>)) -> io::Result<BatchInfo> {
        match self.0 {}
    }

    /// Never called.
    pub fn stats(&mut self) -> CaptureStats {
        match self.0 {}
    }

    /// Never called.
    #[must_use]
    pub fn interface(&self) -> &str {
        match self.0 {}
    }

    /// Never called.
    #[must_use]
    pub fn link(&self) -> u16 {
        match self.0 {}
    }
}
