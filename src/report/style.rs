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
