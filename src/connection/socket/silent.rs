//! Ends and pauses that the peer does not hear, and the RST.

use std::time::Duration;

use socket2::SockRef;

use super::super::ports::Release;
use super::super::silence;
use super::Connection;

impl Connection {
    /// Makes the close a RST.
    pub fn reset_on_close(&mut self) {
        if let Some(stream) = &self.stream
            && SockRef::from(stream).set_linger(Some(Duration::ZERO)).is_ok()
        {
            self.release = Release::Free;
        }
    }

    /// Makes the close silent: neither FIN nor RST leaves the host, and the port is not used again.
    ///
    /// # Errors
    /// `silence::SilenceError`, with what is missing.
    pub fn vanish(mut self) -> Result<(), silence::SilenceError> {
        if let Some(stream) = &self.stream {
            silence::vanish(stream)?;
        }
        self.release = Release::Never;
        Ok(())
    }

    /// From now on the host neither hears nor answers anything on this connection.
    ///
    /// # Errors
    /// `silence::SilenceError`, with what is missing.
    pub fn silence(&mut self) -> Result<(), silence::SilenceError> {
        match &self.stream {
            Some(stream) => silence::silence(stream),
            None => Ok(()),
        }
    }

    /// As [`Connection::silence`], but the peer's RST still comes in, as a read reset.
    ///
    /// # Errors
    /// `silence::SilenceError`, with what is missing.
    pub fn silence_but_for_resets(&mut self) -> Result<(), silence::SilenceError> {
        match &self.stream {
            Some(stream) => silence::silence_but_for_resets(stream),
            None => Ok(()),
        }
    }

    /// The host hears and answers again.
    ///
    /// # Errors
    /// `silence::SilenceError`, with what is missing.
    pub fn unsilence(&mut self) -> Result<(), silence::SilenceError> {
        match &self.stream {
            Some(stream) => silence::unsilence(stream),
            None => Ok(()),
        }
    }
}
