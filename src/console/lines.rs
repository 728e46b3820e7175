//! Bytes to lines: bounded in length, without colours, whatever the bytes are.

/// Longest line that is kept whole, bytes; the rest of a longer one is left out.
pub(crate) const LINE: usize = 512;

/// Makes lines of bytes as they come.
#[derive(Debug)]
pub(crate) struct Lines {
    line: Vec<u8>,
    escape: Escape,
    /// Until the first end of a line: what comes before it may be the rest of one.
    torn: bool,
    cut: bool,
}

/// Where in an ANSI escape sequence (ECMA-48, 5.4) the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    None,
    Begun,
    /// After `ESC [`, until a byte from `@` to `~`; with how many there may still be.
    Control(u8),
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// Its text: printable, trimmed.
    pub(crate) text: &'a str,
    /// Whether its beginning or its end may be missing: it is kept, and nothing is read out of it.
    pub(crate) partial: bool,
}

impl Lines {
    /// Of a source that may begin in the middle of a line where `torn`.
    pub(crate) const fn new(torn: bool) -> Self {
        Self { line: Vec::new(), escape: Escape::None, torn, cut: false }
    }

    /// The source broke off: what comes next is another line.
    pub(crate) fn broke_off(&mut self) {
        self.line.clear();
        (self.escape, self.torn, self.cut) = (Escape::None, true, false);
    }

    /// Takes bytes, and hands over each line that they end.
    pub(crate) fn take(&mut self, bytes: &[u8], mut line: impl FnMut(Line<'_>)) {
        let mut rest = bytes;
        while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
            self.append(&rest[..at]);
            self.end(&mut line);
            rest = &rest[at + 1..];
        }
        self.append(rest);
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.line.len() >= LINE && self.escape == Escape::None {
            self.cut |= !bytes.is_empty();
            return;
        }
        for byte in bytes {
            match (self.escape, *byte) {
                (_, 0x1b) => self.escape = Escape::Begun,
                (Escape::Begun, b'[') => self.escape = Escape::Control(16),
                (Escape::Begun, _) => self.escape = Escape::None,
                (Escape::Control(_), b'@'..=b'~') | (Escape::Control(0), _) => self.escape = Escape::None,
                (Escape::Control(left), _) => self.escape = Escape::Control(left - 1),
                (Escape::None, 0) => {}
                (Escape::None, byte) if self.line.len() < LINE => self.line.push(byte),
                (Escape::None, _) => self.cut = true,
            }
        }
    }

    fn end(&mut self, line: &mut impl FnMut(Line<'_>)) {
        let partial = std::mem::take(&mut self.torn) | std::mem::take(&mut self.cut);
        self.escape = Escape::None;
        let text = String::from_utf8_lossy(&self.line);
        let text = text.trim();
        if !text.is_empty() {
            if text.contains(|c: char| c.is_control()) {
                let clean: String = text.chars().map(|c| if c.is_control() { '.' } else { c }).collect();
                line(Line { text: &clean, partial });
            } else {
                line(Line { text, partial });
            }
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(torn: bool, chunks: &[&[u8]]) -> Vec<(String, bool)> {
        let mut lines = Lines::new(torn);
        let mut got = Vec::new();
        for chunk in chunks {
            lines.take(chunk, |line| got.push((line.text.to_owned(), line.partial)));
        }
        got
    }

    fn whole(texts: &[&str]) -> Vec<(String, bool)> {
        texts.iter().map(|text| ((*text).to_owned(), false)).collect()
    }

    #[test]
    fn colours_nuls_and_both_ends_of_a_line_are_left_out_wherever_the_bytes_are_cut() {
        let bytes = b"\x1b[0;32mI (1) a: b\x1b[0m\r\nro\0ot\r\n\r\nlast\n";
        let want = whole(&["I (1) a: b", "root", "last"]);
        assert_eq!(lines(false, &[bytes]), want);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(lines(false, &single), want);
    }

    #[test]
    fn the_rest_of_a_line_whose_beginning_nobody_saw_is_partial() {
        assert_eq!(
            lines(true, &[b"editation Error\nok\n"]),
            [("editation Error".to_owned(), true), ("ok".to_owned(), false)]
        );
    }

    #[test]
    fn a_line_without_an_end_takes_no_more_than_its_limit_and_is_partial() {
        let long = vec![b'x'; 10 << 20];
        let got = lines(false, &[&long, b"\nok\n"]);
        assert_eq!((got[0].0.len(), got[0].1), (LINE, true));
        assert_eq!(got[1], ("ok".to_owned(), false));
    }

    proptest! {
        #[test]
        fn any_bytes_become_lines_of_at_most_the_limit(chunks in proptest::collection::vec(any::<Vec<u8>>(), 0..20)) {
            let mut lines = Lines::new(false);
            for chunk in &chunks {
                // A byte that is no UTF-8 becomes three.
                lines.take(chunk, |line| {
                    assert!(line.text.len() <= 3 * LINE && !line.text.contains(|c: char| c.is_control()));
                });
            }
        }
    }
}
