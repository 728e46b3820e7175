//! How a page is to look. The caller decides from terminal, locale and NO_COLOR; nothing is looked up here.

/// Colour on the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// None.
    #[default]
    Plain,
    /// ANSI sequences, the terminal's own sixteen colours only.
    Ansi,
}

/// Characters on the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Glyphs {
    /// Block characters.
    #[default]
    Unicode,
    /// ASCII alone.
    Ascii,
}

/// How much the page tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// What matters.
    #[default]
    Page,
    /// The evidence as well: parameters, evidence of findings, examples of anomalies, distributions.
    Evidence,
}

/// How a page is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns; narrower than 60 is laid out as 60.
    pub width: usize,
    /// Colour.
    pub colour: Colour,
    /// Characters.
    pub glyphs: Glyphs,
    /// How much.
    pub detail: Detail,
}

impl Default for Style {
    fn default() -> Self {
        Self { width: 100, colour: Colour::Plain, glyphs: Glyphs::Unicode, detail: Detail::Page }
    }
}

/// What a piece of text is to be felt as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Bad,
    Doubt,
    Strong,
    Quiet,
}

impl Style {
    /// Text in a tone. Pad before painting: the sequences have no width.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "1;32",
            Tone::Bad => "1;31",
            Tone::Doubt => "1;33",
            Tone::Strong => "1",
            Tone::Quiet => "2",
        };
        match self.colour {
            Colour::Ansi => format!("\x1b[{code}m{text}\x1b[0m"),
            Colour::Plain => text.to_owned(),
        }
    }

    /// Columns to lay out for.
    pub(crate) fn columns(self) -> usize {
        self.width.max(60)
    }

    /// The same text with every line that is too long broken at blanks, and what follows indented. A line that fits, as those
    /// of drawings do, is as it was.
    #[must_use]
    pub fn fitted(self, text: &str) -> String {
        let most = self.columns();
        let mut out = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            // Sequences of colour have no width.
            if line.contains('\x1b') || line.trim_end_matches('\n').chars().count() <= most {
                out.push_str(line);
                continue;
            }
            let blanks = line.chars().take_while(|c| *c == ' ').count();
            let hanging = " ".repeat((blanks + 2).min(most / 2));
            let mut column = 0;
            for (i, word) in line.trim_end().split(' ').enumerate() {
                let width = word.chars().count();
                if column > blanks && column + 1 + width > most {
                    out.truncate(out.trim_end_matches(' ').len());
                    out.push('\n');
                    out.push_str(&hanging);
                    column = hanging.len();
                } else if i > 0 {
                    out.push(' ');
                    column += 1;
                }
                out.push_str(word);
                column += width;
            }
            out.push('\n');
        }
        out
    }

    /// Appends `text` in lines that fit, the first after `head`, the others indented by `indent` blanks.
    /// `head` is as wide as the indent.
    pub fn wrapped(self, out: &mut String, head: &str, indent: usize, text: &str) {
        let room = self.columns().saturating_sub(indent).max(20);
        out.push_str(head);
        let mut used = 0;
        for word in text.split_whitespace() {
            let width = word.chars().count();
            if used > 0 && used + 1 + width > room {
                out.push('\n');
                out.push_str(&" ".repeat(indent));
                used = 0;
            }
            if used > 0 {
                out.push(' ');
                used += 1;
            }
            out.push_str(word);
            used += width;
        }
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::Style;

    #[test]
    fn a_long_line_is_broken_at_blanks_and_hangs_and_a_short_one_is_as_it_was() {
        let style = Style { width: 60, ..Style::default() };
        let text = "short\n  retransmission       12 on 3 connections, 0.001 s to 3.000 s, and then some more\n\nend\n";
        let right = "short\n  retransmission       12 on 3 connections, 0.001 s to 3.000\n    s, and then some more\n\nend\n";
        assert_eq!(style.fitted(text), right);
        // A word that no line holds stays whole.
        let long = format!("{} x", "y".repeat(70));
        assert_eq!(style.fitted(&long), format!("{}\n  x\n", "y".repeat(70)));
    }
}
