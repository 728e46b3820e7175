//! A window over a stream of bytes: whole records at a time, in a buffer that is reused.

use std::io::{self, Read};

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// The window. It grows only as far as bytes really arrive.
pub(super) struct Source {
    inner: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Where `start` is in the stream.
    offset: u64,
    /// Set once it failed: a decoder that is asked again may say that all is well.
    failed: Option<io::ErrorKind>,
}

/// Whether the window holds what was asked for.
#[derive(Debug)]
pub(super) enum Fill {
    /// It does.
    Ready,
    /// The stream ended; this much is there.
    Ended(usize),
    /// The stream cannot be read on.
    Failed(io::Error),
}

impl Source {
    pub(super) fn new(inner: Box<dyn Read + Send>) -> Self {
        Self { inner, buffer: vec![0; CHUNK], start: 0, end: 0, offset: 0, failed: None }
    }

    /// Where the window begins in the stream.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// What the window holds.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Where in [`Self::slice`]'s coordinates the window begins, for a record to be borrowed after it was
    /// stepped over.
    pub(super) const fn position(&self) -> usize {
        self.start
    }

    /// Bytes that were in the window before it was moved by [`Self::skip`]; nothing is lost before the next
    /// [`Self::fill`].
    pub(super) fn slice(&self, start: usize, length: usize) -> &[u8] {
        self.buffer.get(start..).and_then(|b| b.get(..length)).unwrap_or_default()
    }

    /// Moves the window forward over `n` of its bytes.
    pub(super) fn skip(&mut self, n: usize) {
        let n = n.min(self.end - self.start);
        self.start += n;
        self.offset += n as u64;
    }

    /// Sees to it that the window holds `n` bytes; callers bound `n`.
    #[inline]
    pub(super) fn fill(&mut self, n: usize) -> Fill {
        if self.end - self.start >= n { Fill::Ready } else { self.read_until(n) }
    }

    #[cold]
    fn read_until(&mut self, n: usize) -> Fill {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        while self.end < n {
            if let Some(kind) = self.failed {
                return Fill::Failed(kind.into());
            }
            if self.end == self.buffer.len() {
                let length = self.buffer.len().saturating_mul(2);
                self.buffer.resize(length, 0);
            }
            match self.inner.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Fill::Ended(self.end),
                Ok(read) => self.end += read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.failed = Some(e.kind());
                    return Fill::Failed(e);
                }
            }
        }
        Fill::Ready
    }

    #[cfg(test)]
    pub(super) const fn capacity(&self) -> usize {
        self.buffer.capacity()
    }
}

/// Integers in a file's own byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    #[inline]
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let word = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u16::from_le_bytes(word),
            Self::Big => u16::from_be_bytes(word),
        })
    }

    #[inline]
    pub(super) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let word = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u32::from_le_bytes(word),
            Self::Big => u32::from_be_bytes(word),
        })
    }

    #[inline]
    pub(super) fn u64(self, bytes: &[u8], at: usize) -> Option<u64> {
        let word = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u64::from_le_bytes(word),
            Self::Big => u64::from_be_bytes(word),
        })
    }
}
