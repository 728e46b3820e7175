//! The numbers among what a device says of itself.

use super::Telemetry;

/// A number that the device tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reading {
    /// Heap free, bytes.
    HeapFree,
    /// Least heap that was ever free, bytes.
    HeapMinFree,
    /// Largest block that could be had, bytes.
    HeapLargestBlock,
    /// Memory of a program of the user's own, bytes.
    ProgramMemory,
    /// Sockets in use.
    SocketsUsed,
    /// Signal strength, dBm.
    Rssi,
    /// Disconnections from the access point since start.
    Disconnects,
    /// Control blocks in TIME_WAIT.
    TimeWait,
    /// TCP connections established.
    Established,
    /// TCP connections that the peer alone has closed.
    CloseWait,
    /// TCP connections that the device has closed and that are not over.
    FinWait,
}

impl Reading {
    /// Every reading.
    pub const ALL: [Self; 11] = [
        Self::HeapFree,
        Self::HeapMinFree,
        Self::HeapLargestBlock,
        Self::ProgramMemory,
        Self::SocketsUsed,
        Self::Rssi,
        Self::Disconnects,
        Self::TimeWait,
        Self::Established,
        Self::CloseWait,
        Self::FinWait,
    ];

    /// Its value in a telemetry; `None` where the device does not have it.
    #[must_use]
    pub fn of(self, telemetry: &Telemetry) -> Option<f64> {
        match self {
            Self::HeapFree => telemetry.heap_free_bytes.map(|n| n as f64),
            Self::HeapMinFree => telemetry.heap_min_free_bytes.map(|n| n as f64),
            Self::HeapLargestBlock => telemetry.heap_largest_block_bytes.map(|n| n as f64),
            Self::ProgramMemory => telemetry.program_memory_bytes.map(|n| n as f64),
            Self::SocketsUsed => telemetry.sockets_used.map(f64::from),
            Self::Rssi => telemetry.wifi_rssi_dbm.map(f64::from),
            Self::Disconnects => telemetry.wifi_disconnects.map(|n| n as f64),
            Self::TimeWait => telemetry.tcp_time_wait.map(f64::from),
            Self::Established => telemetry.tcp_established.map(f64::from),
            Self::CloseWait => telemetry.tcp_close_wait.map(f64::from),
            Self::FinWait => telemetry.tcp_fin_wait.map(f64::from),
        }
    }
}
