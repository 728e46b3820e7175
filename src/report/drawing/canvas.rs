//! SVG that is written by hand: rows, ladders. Colours are classes of the page's style sheet, so that both of its themes
//! fit; sizes of type are written out, since places depend on them.

use std::fmt::Write as _;

use crate::format::escape;

/// Size of plain type, pixels.
pub(crate) const PLAIN: f64 = 12.0;
/// Size of small type, pixels: the least that is still read on paper.
pub(crate) const SMALL: f64 = 10.5;

/// A face of type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    Sans,
    Mono,
}

/// How wide a line of type is at most, pixels. Browsers choose among many faces, so this is that of a wide one.
pub(crate) fn width_of(text: &str, size: f64, face: Face) -> f64 {
    let em = |c: char| match (face, c) {
        (_, c) if u32::from(c) >= 0x1100 => 1.0,
        (Face::Mono, _) => 0.605,
        (_, 'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '|' | '\'' | '(' | ')' | '[' | ']' | ' ' | '/') => 0.36,
        (_, 'f' | 't' | 'r' | '-') => 0.42,
        (_, 'm' | 'w' | 'M' | 'W' | '@' | '%') => 0.98,
        (_, 'A'..='Z' | '_' | '+' | '<' | '>' | '=' | '#') => 0.78,
        _ => 0.61,
    };
    text.chars().map(em).sum::<f64>() * size
}

/// Text in lines of at most `width` pixels; a word that is longer is broken.
pub(crate) fn wrapped(text: &str, width: f64, size: f64, face: Face) -> Vec<String> {
    let fits = |line: &str| width_of(line, size, face) <= width;
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if fits(&longer) {
            line = longer;
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for c in word.chars() {
            if !line.is_empty() && !fits(&format!("{line}{c}")) {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Text cut to `width` pixels, with dots for what is missing.
pub(crate) fn cut(text: &str, width: f64, size: f64, face: Face) -> String {
    if width_of(text, size, face) <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        if width_of(&format!("{short}{c}\u{2026}"), size, face) > width {
            break;
        }
        short.push(c);
    }
    format!("{}\u{2026}", short.trim_end())
}

/// Where text stands relative to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// How text looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Type {
    pub(crate) size: f64,
    pub(crate) face: Face,
    pub(crate) anchor: Anchor,
    /// Class of the style sheet.
    pub(crate) class: &'static str,
}

impl Type {
    pub(crate) const fn sans(size: f64, class: &'static str) -> Self {
        Self { size, face: Face::Sans, anchor: Anchor::Start, class }
    }

    pub(crate) const fn mono(size: f64, class: &'static str) -> Self {
        Self { size, face: Face::Mono, anchor: Anchor::Start, class }
    }

    pub(crate) const fn at(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }
}

/// A drawing in the making.
#[derive(Debug, Default)]
pub(crate) struct Canvas {
    body: String,
}

impl Canvas {
    pub(crate) fn text(&mut self, x: f64, y: f64, words: &str, look: Type) {
        let face = if look.face == Face::Mono { " m" } else { "" };
        let _ = writeln!(
            self.body,
            "<text class=\"{}{face}\" x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{}\" text-anchor=\"{}\">{}</text>",
            look.class,
            look.size,
            look.anchor.name(),
            escape(words)
        );
    }

    pub(crate) fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        let _ = writeln!(
            self.body,
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        );
    }

    /// A bar; words show when a pointer rests on it.
    pub(crate) fn bar(&mut self, (x, y): (f64, f64), (w, h): (f64, f64), class: &str, words: &str) {
        let _ = write!(
            self.body,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\""
        );
        self.titled("rect", words);
    }

    pub(crate) fn path(&mut self, d: &str, class: &str, words: &str) {
        let _ = write!(self.body, "<path class=\"{class}\" d=\"{d}\"");
        self.titled("path", words);
    }

    /// Elements that another drew.
    pub(crate) fn raw(&mut self, elements: &str) {
        self.body.push_str(elements);
    }

    fn titled(&mut self, element: &str, words: &str) {
        if words.is_empty() {
            self.body.push_str("/>\n");
        } else {
            let _ = writeln!(self.body, "><title>{}</title></{element}>", escape(words));
        }
    }

    /// What is drawn, in a drawing of this size.
    pub(crate) fn finish(self, (width, height): (f64, f64), class: &str, title: &str) -> String {
        format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{t}\">\n{}</svg>\n",
            self.body,
            t = escape(title)
        )
    }

    /// What is drawn, without a frame around it.
    pub(crate) fn into_body(self) -> String {
        self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_lines_fit_and_lose_no_letter() {
        let text = "the device answers a SYN on reused ports with averyveryverylongwordthatdoesnotfit of it";
        let lines = wrapped(text, 90.0, 11.0, Face::Sans);
        assert!(lines.len() > 3);
        for line in &lines {
            assert!(width_of(line, 11.0, Face::Sans) <= 90.0, "{line}");
        }
        let letters = |s: &str| s.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        assert_eq!(letters(&lines.join(" ")), letters(text));
    }

    #[test]
    fn a_cut_text_says_that_it_is_cut() {
        assert_eq!(cut("short", 200.0, 12.0, Face::Sans), "short");
        let short = cut("a rather long name of a workload", 80.0, 12.0, Face::Sans);
        assert!(short.ends_with('\u{2026}') && width_of(&short, 12.0, Face::Sans) <= 80.0, "{short}");
    }
}
