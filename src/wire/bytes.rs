//! Reading big-endian words without a way to panic.

/// The 16-bit word at `at`; 0 beyond the end, which the views' checks rule out.
pub(super) fn be16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b| u16::from_be_bytes(*b))
}

/// The 32-bit word at `at`; 0 beyond the end, which the views' checks rule out.
pub(super) fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b| u32::from_be_bytes(*b))
}

/// The byte at `at`; 0 beyond the end, which the views' checks rule out.
pub(super) fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}
