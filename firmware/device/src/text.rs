//! Short texts in fixed memory.

use core::fmt;
use core::ops::Deref;

/// Up to `N` bytes of UTF-8, without an allocator.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Text<const N: usize>(heapless::String<N>);

impl<const N: usize> Text<N> {
    /// Empty.
    #[must_use]
    pub const fn new() -> Self {
        Self(heapless::String::new())
    }
}

impl<const N: usize> fmt::Write for Text<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push_str(text).map_err(|_| fmt::Error)
    }
}

impl<const N: usize> Deref for Text<N> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl<const N: usize> TryFrom<&str> for Text<N> {
    type Error = TooLong;

    fn try_from(text: &str) -> Result<Self, TooLong> {
        let mut short = heapless::String::new();
        short.push_str(text).map_err(|_| TooLong { limit: N })?;
        Ok(Self(short))
    }
}

/// A text that does not fit its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLong {
    /// Bytes that would have fitted.
    pub limit: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "longer than {} bytes", self.limit)
    }
}

impl core::error::Error for TooLong {}

/// The secret that control requests have to show.
///
/// Never printed: its `Debug` says only that it is there.
#[derive(Clone)]
pub struct Token(Text<64>);

impl Token {
    /// A token of 1 to 64 bytes; `None` for the empty text, which would protect nothing.
    ///
    /// # Errors
    /// The text is longer than 64 bytes.
    pub fn new(text: &str) -> Result<Option<Self>, TooLong> {
        let text = Text::try_from(text)?;
        Ok((!text.is_empty()).then_some(Self(text)))
    }

    /// Compares in a time that depends on the lengths alone.
    #[must_use]
    pub fn matches(&self, offered: &[u8]) -> bool {
        use subtle::ConstantTimeEq;
        self.0.as_bytes().ct_eq(offered).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}
