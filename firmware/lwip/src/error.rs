//! Errors of socket calls, by name: numbers differ between a device's C library and the host's.

/// Why a socket call failed. The names in the messages are those of `<errno.h>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.name())]
pub enum SocketError {
    /// No socket is left (or no memory for one).
    NoSocket,
    /// No buffer, or no control block.
    NoBuffer,
    /// The heap is exhausted.
    NoMemory,
    /// The peer reset the connection.
    ConnectionReset,
    /// The stack gave the connection up: retransmissions or keep-alive probes went unanswered, or its
    /// control block was needed.
    ConnectionAborted,
    /// There is no connection (any more).
    NotConnected,
    /// Nothing can be done without waiting, or a time-out passed.
    WouldBlock,
    /// The connection is being made.
    InProgress,
    /// A connection is being made already.
    Already,
    /// There is a connection already.
    IsConnected,
    /// The address is in use.
    AddressInUse,
    /// No route to the address.
    HostUnreachable,
    /// A value that the call does not take.
    Invalid,
    /// The datagram does not fit.
    MessageSize,
    /// The socket is closed.
    BadSocket,
    /// The option is not part of this build (see [`SocketOption`](crate::SocketOption)).
    NoProtocolOption,
    /// The call does not go with this kind of socket.
    NotSupported,
    /// The interface or the stack failed otherwise.
    Io,
}

impl SocketError {
    /// The error's name in `<errno.h>`, such as `ECONNRESET`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSocket => "ENFILE",
            Self::NoBuffer => "ENOBUFS",
            Self::NoMemory => "ENOMEM",
            Self::ConnectionReset => "ECONNRESET",
            Self::ConnectionAborted => "ECONNABORTED",
            Self::NotConnected => "ENOTCONN",
            Self::WouldBlock => "EWOULDBLOCK",
            Self::InProgress => "EINPROGRESS",
            Self::Already => "EALREADY",
            Self::IsConnected => "EISCONN",
            Self::AddressInUse => "EADDRINUSE",
            Self::HostUnreachable => "EHOSTUNREACH",
            Self::Invalid => "EINVAL",
            Self::MessageSize => "EMSGSIZE",
            Self::BadSocket => "EBADF",
            Self::NoProtocolOption => "ENOPROTOOPT",
            Self::NotSupported => "EOPNOTSUPP",
            Self::Io => "EIO",
        }
    }

    /// The error for one of the host's numbers, which the C side is compiled with.
    fn from_errno(errno: i32) -> Self {
        match errno {
            libc::ENFILE => Self::NoSocket,
            libc::ENOBUFS => Self::NoBuffer,
            libc::ENOMEM => Self::NoMemory,
            libc::ECONNRESET => Self::ConnectionReset,
            libc::ECONNABORTED => Self::ConnectionAborted,
            libc::ENOTCONN => Self::NotConnected,
            libc::EWOULDBLOCK => Self::WouldBlock,
            libc::EINPROGRESS => Self::InProgress,
            libc::EALREADY => Self::Already,
            libc::EISCONN => Self::IsConnected,
            libc::EADDRINUSE => Self::AddressInUse,
            libc::EHOSTUNREACH => Self::HostUnreachable,
            libc::EINVAL => Self::Invalid,
            libc::EMSGSIZE => Self::MessageSize,
            libc::EBADF => Self::BadSocket,
            libc::ENOPROTOOPT => Self::NoProtocolOption,
            libc::EOPNOTSUPP => Self::NotSupported,
            _ => Self::Io,
        }
    }
}

/// A call's value, or the error that the C side gave as a negative number.
pub(crate) fn check(ret: i32) -> Result<usize, SocketError> {
    usize::try_from(ret).map_err(|_| SocketError::from_errno(ret.saturating_neg()))
}
