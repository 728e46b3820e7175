//! What the host's stack says of one connection.

/// TCP_INFO of one connection as it is closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpSample {
    /// Smoothed round-trip time, microseconds.
    pub rtt_us: u32,
    /// Segments sent again, in all.
    pub retransmissions: u32,
    /// Segments thought lost when it closed.
    pub lost: u32,
}
