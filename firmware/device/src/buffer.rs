//! A byte queue of fixed size: filled at the end, consumed at the front.

use core::fmt;

/// Up to `N` bytes between a producer and a consumer. Never allocates, never grows.
#[derive(Clone)]
pub(crate) struct Buffer<const N: usize> {
    bytes: [u8; N],
    start: usize,
    end: usize,
}

impl<const N: usize> Buffer<N> {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; N], start: 0, end: 0 }
    }

    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) const fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Bytes that can still be added, counting what a compaction would free.
    pub(crate) const fn room(&self) -> usize {
        N - self.len()
    }

    /// The free space, all of it in one piece.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.bytes[self.end..]
    }

    /// Declares `n` bytes of the free space as filled; more than there is counts as all of it.
    pub(crate) fn fill(&mut self, n: usize) {
        self.end = self.end.saturating_add(n).min(N);
    }

    /// Drops `n` bytes from the front; more than there are counts as all of them.
    pub(crate) fn consume(&mut self, n: usize) {
        self.start = self.start.saturating_add(n).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Adds all of `bytes`, or nothing and says `false`.
    #[must_use]
    pub(crate) fn push(&mut self, bytes: &[u8]) -> bool {
        match self.space().get_mut(..bytes.len()) {
            Some(space) => {
                space.copy_from_slice(bytes);
                self.end += bytes.len();
                true
            }
            None => false,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }
}

impl<const N: usize> fmt::Write for Buffer<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.push(text.as_bytes()) { Ok(()) } else { Err(fmt::Error) }
    }
}

/// Formats into a borrowed slice and remembers how far it came.
pub(crate) struct SliceWriter<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl<'a> SliceWriter<'a> {
    pub(crate) const fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Takes back everything written after the first `len` bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Bytes that still fit.
    pub(crate) const fn room(&self) -> usize {
        self.bytes.len() - self.len
    }
}

impl fmt::Write for SliceWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let space = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        space.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Write;

    #[test]
    fn bytes_come_out_in_the_order_they_went_in_across_compactions() {
        let mut buffer = Buffer::<4>::new();
        assert!(buffer.push(b"abc"));
        buffer.consume(2);
        assert!(buffer.push(b"def"));
        assert_eq!(buffer.filled(), b"cdef");
        assert!(!buffer.push(b"g"));
        assert_eq!(buffer.filled(), b"cdef", "a refused push changes nothing");
    }

    #[test]
    fn a_slice_writer_refuses_what_does_not_fit_and_keeps_what_did() {
        let mut bytes = [0; 4];
        let mut writer = SliceWriter::new(&mut bytes);
        assert!(writer.write_str("abc").is_ok());
        assert!(writer.write_str("de").is_err());
        assert_eq!(writer.len(), 3);
    }
}
