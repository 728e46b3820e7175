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
    pub(crate) fn open(_config: &CaptureConfig) -> Result<Self, CaptureError> {
        Err(CaptureError::Unsupported { reason: "packet sockets are Linux's".to_owned() })
    }

    /// Says that it cannot.
    ///
    /// # Errors
    ///
    /// Always [`CaptureError::Unsupported`].
    pub fn monitor(_interface: &str) -> Result<Self, CaptureError> {
        Err(CaptureError::Unsupported { reason: "packet sockets are Linux's".to_owned() })
    }

    /// Never called.
    ///
    /// # Errors
    ///
    /// None.
    pub(crate) fn next_batch(
        &mut self,
        _timeout: Duration,
        _each: impl FnMut(Frame<'_>),
    ) -> io::Result<BatchInfo> {
        match self.0 {}
    }

    /// Never called.
    pub(crate) fn stats(&mut self) -> CaptureStats {
        match self.0 {}
    }

    /// Never called.
    #[must_use]
    pub(crate) fn interface(&self) -> &str {
        match self.0 {}
    }

    /// Never called.
    #[must_use]
    pub(crate) fn link(&self) -> u16 {
        match self.0 {}
    }
}
