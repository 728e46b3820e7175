//! The device's heap, as far as its readings go: what lies in it is counted, not allocated.
//!
//! lwIP on the twin has a real one. Here each thing costs about what it costs there; blocks and fragments are not
//! modelled, so the largest block is all that is free.

use espstress_device::telemetry::Heap as Reading;

/// Bytes in all: the twin's with ESP-IDF's options.
const TOTAL: u64 = 113_840;

/// Of these taken at start.
const BASE: u64 = 14_000;

/// A socket that is open or waits for its peer: control block, netconn, mailbox.
pub(crate) const SOCKET: u64 = 620;

/// A control block in TIME_WAIT.
pub(crate) const TIME_WAIT: u64 = 184;

/// The head of a packet buffer.
pub(crate) const BUFFER: u64 = 76;

/// Below this nothing can be received or sent.
const FLOOR: u64 = 1_700;

/// A heap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heap {
    hoarded: u64,
    in_use: u64,
    least: u64,
}

impl Default for Heap {
    fn default() -> Self {
        Self { hoarded: 0, in_use: 0, least: TOTAL - BASE }
    }
}

impl Heap {
    /// What sockets and buffers take now.
    pub(crate) fn set_in_use(&mut self, bytes: u64) {
        self.in_use = bytes;
        self.least = self.least.min(self.free());
    }

    /// Takes a block for good, where there is one.
    pub(crate) fn hoard(&mut self, bytes: u64) {
        if self.free() > bytes + 8 {
            self.hoarded += bytes + 8;
            self.least = self.least.min(self.free());
        }
    }

    /// Whether a packet of that length finds no room.
    pub(crate) fn is_full(&self, length: usize) -> bool {
        self.free() < FLOOR + length as u64
    }

    fn free(&self) -> u64 {
        TOTAL.saturating_sub(BASE + self.hoarded + self.in_use)
    }

    /// What the device says of it.
    pub(crate) fn reading(&self) -> Reading {
        let bytes = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Reading {
            free: bytes(self.free()),
            min_free: Some(bytes(self.least)),
            largest: Some(bytes(self.free())),
            total: bytes(TOTAL),
        }
    }
}
