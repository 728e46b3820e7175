//! One row for each connection, outage or fault: what went on, on an axis of time that all rows share.

use super::canvas::{Anchor, Canvas, Face, SMALL, Type, cut, width_of};
use super::plot::LABEL;
use super::scale::Scale;
use super::{Width, legend};

/// Rows that are drawn at most.
const MOST: usize = 100;
const BAR: f64 = 10.0;
/// Room right of the rows at least: half a label of the axis.
const RIGHT: f64 = 26.0;

/// A chart of rows.
#[derive(Clone, Debug)]
pub(crate) struct RowChart {
    pub(crate) title: String,
    /// What the axis counts from, in words.
    pub(crate) axis: String,
    pub(crate) from_s: f64,
    pub(crate) to_s: f64,
    /// What bars and signs mean: the name, and the class.
    pub(crate) legend: Vec<(String, String)>,
    pub(crate) rows: Vec<Row>,
}

/// A row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) label: String,
    pub(crate) bars: Vec<Bar>,
    pub(crate) signs: Vec<Sign>,
    /// How it ended, in a few words.
    pub(crate) note: String,
}

/// A bar of a row.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) from_s: f64,
    pub(crate) to_s: f64,
    pub(crate) class: &'static str,
    pub(crate) words: String,
}

/// A sign on a row.
#[derive(Clone, Debug)]
pub(crate) struct Sign {
    pub(crate) at_s: f64,
    pub(crate) shape: Shape,
    pub(crate) class: &'static str,
    pub(crate) words: String,
}

/// The shape of a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A line across the row.
    Tick,
    /// A cross: a RST, an end by force.
    Cross,
    /// A full dot: a FIN, an end in order.
    Dot,
    /// An arrow to the right: it goes on.
    Onward,
}

impl RowChart {
    pub(crate) fn draw(&self, width: Width) -> String {
        let size = width.pixels();
        let rows = self.rows.get(..self.rows.len().min(MOST)).unwrap_or_default();
        let widest = |text: fn(&Row) -> &str| {
            rows.iter().map(|row| width_of(text(row), SMALL, Face::Sans)).fold(0.0, f64::max)
        };
        // On narrow pages names and notes stand above their bars.
        let (left, right, step) = match width {
            Width::Wide => (
                widest(|r| &r.label).min(220.0) + 10.0,
                (widest(|r| &r.note).min(240.0) + 16.0).max(RIGHT),
                17.0,
            ),
            Width::Narrow => (14.0, RIGHT, 33.0),
        };
        let (left, plot) = (left.ceil().max(20.0), size - left.ceil().max(20.0) - right);
        let x = Scale::time(self.from_s, self.to_s, plot, LABEL);
        let mut c = Canvas::default();
        let items: Vec<_> = self.legend.iter().map(|(name, class)| legend::Item::area(name, class)).collect();
        let mut y = legend::write(&mut c, (1.0, 0.0), size, "", &items) + 6.0;
        let top = y;
        let bottom = top + step * rows.len() as f64;
        for tick in &x.ticks {
            let at = left + (tick.at - x.from) / (x.to - x.from) * plot;
            c.line((at, top), (at, bottom + 3.0), "rule");
            c.text(at, bottom + 16.0, &tick.label, Type::sans(LABEL, "quiet").at(Anchor::Middle));
        }
        for row in rows {
            let base = match width {
                Width::Wide => {
                    let label = cut(&row.label, left - 8.0, SMALL, Face::Sans);
                    c.text(1.0, y + 11.5, &label, Type::sans(SMALL, "ink"));
                    let note = cut(&row.note, right - 10.0, SMALL, Face::Sans);
                    if !note.is_empty() {
                        c.text(size - right + 12.0, y + 11.5, &note, Type::sans(SMALL, "quiet"));
                    }
                    y + 3.5
                }
                Width::Narrow => {
                    let label = cut(&row.label, size * 0.62, SMALL, Face::Sans);
                    let rest = size - width_of(&label, SMALL, Face::Sans) - 12.0;
                    c.text(1.0, y + 12.0, &label, Type::sans(SMALL, "ink"));
                    let note = cut(&row.note, rest, SMALL, Face::Sans);
                    if !note.is_empty() {
                        c.text(size - 1.0, y + 12.0, &note, Type::sans(SMALL, "quiet").at(Anchor::End));
                    }
                    y + 17.0
                }
            };
            let place = |s: f64| left + x.share(s) * plot;
            for bar in &row.bars {
                let (from, to) = (place(bar.from_s), place(bar.to_s));
                c.bar((from, base), ((to - from).max(1.5), BAR), bar.class, &bar.words);
            }
            for sign in &row.signs {
                sign_at(&mut c, place(sign.at_s), base + BAR / 2.0, sign);
            }
            y += step;
        }
        let mut end = bottom + 22.0;
        let mut below = vec![self.axis.clone()];
        if self.rows.len() > rows.len() {
            below.push(format!("{} more rows are in the JSON report", self.rows.len() - rows.len()));
        }
        for words in below.iter().filter(|words| !words.is_empty()) {
            for line in super::wrapped(words, size - 4.0, SMALL, Face::Sans) {
                end += 14.0;
                c.text(1.0, end - 4.0, &line, Type::sans(SMALL, "quiet"));
            }
        }
        c.finish((size, end + 4.0), width.class(), &self.title)
    }
}

fn sign_at(c: &mut Canvas, x: f64, y: f64, sign: &Sign) {
    let r = 4.0;
    let d = match sign.shape {
        Shape::Tick => format!("M{x:.1} {:.1}V{:.1}", y - 6.5, y + 6.5),
        Shape::Cross => {
            let (a, b, u, v) = (x - r, x + r, y - r, y + r);
            format!("M{a:.1} {u:.1}L{b:.1} {v:.1}M{a:.1} {v:.1}L{b:.1} {u:.1}")
        }
        Shape::Dot => {
            format!("M{:.1} {y:.1}a{r} {r} 0 1 0 {} 0a{r} {r} 0 1 0 -{} 0Z", x - r, 2.0 * r, 2.0 * r)
        }
        Shape::Onward => {
            format!("M{:.1} {:.1}L{:.1} {y:.1}L{:.1} {:.1}Z", x - 1.0, y - 5.0, x + 7.0, x - 1.0, y + 5.0)
        }
    };
    let drawn = if matches!(sign.shape, Shape::Dot | Shape::Onward) { "sign" } else { "sign stroked" };
    c.path(&d, &format!("{drawn} {}", sign.class), &sign.words);
}
