//! An input taken apart: settings first, then pieces.

/// What is left of an input. Where it is over, everything is 0 or empty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub(crate) fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// A short length, and so many bytes or what there is.
    pub(crate) fn chunk(&mut self) -> &'a [u8] {
        let length = usize::from(self.short()).min(self.0.len());
        let (chunk, rest) = self.0.split_at(length);
        self.0 = rest;
        chunk
    }

    pub(crate) const fn rest(self) -> &'a [u8] {
        self.0
    }

    /// The rest in pieces of a length: 0 is one piece; above 200, the lengths change.
    pub(crate) fn pieces(mut self) -> impl Iterator<Item = &'a [u8]> {
        let length = self.byte();
        let mut rest = self.0;
        let mut number = 0_usize;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            number += 1;
            let take = match length {
                0 => rest.len(),
                1..=200 => usize::from(length),
                _ => number.wrapping_mul(usize::from(length)) % 97 + 1,
            };
            let (piece, after) = rest.split_at(take.min(rest.len()));
            rest = after;
            Some(piece)
        })
    }
}
