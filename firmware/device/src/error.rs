//! Every way in which a connection can go wrong, by name.

use core::fmt;

/// What ended or disturbed a connection, as the device saw it.
///
/// A carrier maps its own error numbers to these (they differ between newlib, lwIP and Linux), so that telemetry
/// carries names only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum ErrorKind {
    /// The peer reset the connection.
    Reset,
    /// The stack gave the peer up: keep-alive or retransmissions exhausted.
    TimedOut,
    /// Nobody listens where the device dialled.
    Refused,
    /// No way to the peer.
    Unreachable,
    /// The stack had no memory.
    OutOfMemory,
    /// The stack had no socket left.
    OutOfSockets,
    /// Any other failure of the stack.
    Other,
    /// Nothing was heard for as long as the device is willing to wait.
    Idle,
    /// The peer closed in the middle of a request.
    Truncated,
    /// A request that does not follow its protocol.
    Malformed,
    /// A request larger than the device takes.
    TooLarge,
    /// A well-formed request for something the device does not have or do.
    Unsupported,
    /// A control request without the right token.
    Forbidden,
    /// A payload whose checksum does not fit.
    Corrupt,
}

impl ErrorKind {
    /// How many kinds there are.
    pub const COUNT: usize = 14;

    /// All kinds, in the order of their counters.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Reset,
        Self::TimedOut,
        Self::Refused,
        Self::Unreachable,
        Self::OutOfMemory,
        Self::OutOfSockets,
        Self::Other,
        Self::Idle,
        Self::Truncated,
        Self::Malformed,
        Self::TooLarge,
        Self::Unsupported,
        Self::Forbidden,
        Self::Corrupt,
    ];

    /// The name used in telemetry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::TimedOut => "timed_out",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::OutOfMemory => "out_of_memory",
            Self::OutOfSockets => "out_of_sockets",
            Self::Other => "other",
            Self::Idle => "idle",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Unsupported => "unsupported",
            Self::Forbidden => "forbidden",
            Self::Corrupt => "corrupt",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl core::error::Error for ErrorKind {}
