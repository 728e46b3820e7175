//! What each colour of a chart means: swatches with their names, in as many lines as they need.

use super::canvas::{Canvas, Face, PLAIN, SMALL, Type, width_of};

/// Height of a line.
pub(super) const LINE: f64 = 16.0;
const SWATCH: f64 = 12.0;
const GAP: f64 = 14.0;

/// A swatch with its name.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) name: String,
    /// Class of the style sheet.
    pub(super) class: String,
    /// How thick it is drawn: an area, or a line.
    pub(super) height: f64,
}

impl Item {
    pub(super) fn area(name: impl Into<String>, class: impl Into<String>) -> Self {
        Self { name: name.into(), class: class.into(), height: 8.0 }
    }

    pub(super) fn line(name: impl Into<String>, class: impl Into<String>, height: f64) -> Self {
        Self { name: name.into(), class: class.into(), height }
    }
}

/// Writes a title and swatches behind it from `y` on, within `x` to `right`. Gives the height that they took.
pub(super) fn write(c: &mut Canvas, (x, y): (f64, f64), right: f64, title: &str, items: &[Item]) -> f64 {
    let mut at = (x, y + LINE - 4.0);
    if !title.is_empty() {
        c.text(at.0, at.1, title, Type::sans(PLAIN, "ink strong"));
        at.0 += width_of(title, PLAIN, Face::Sans) * 1.06 + GAP;
    }
    for Item { name, class, height } in items {
        let name = super::canvas::cut(name, right - x - SWATCH - 6.0, SMALL, Face::Sans);
        let wide = SWATCH + 5.0 + width_of(&name, SMALL, Face::Sans);
        if at.0 > x && at.0 + wide > right {
            at = (x, at.1 + LINE);
        }
        c.bar((at.0, at.1 - 4.0 - height / 2.0), (SWATCH, *height), class, "");
        c.text(at.0 + SWATCH + 5.0, at.1, &name, Type::sans(SMALL, "quiet"));
        at.0 += wide + GAP;
    }
    at.1 + 4.0 - y
}
