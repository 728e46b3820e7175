//! One axis of time for a whole run: tracks of spells and moments above, plots below.

use super::canvas::{Anchor, Canvas, Face, SMALL, Type, cut, width_of};
use super::ink::Ink;
use super::plot::{self, Below, Frame, LABEL, LABELS_BELOW, Layer};
use super::scale::Scale;
use super::series::{Cell, area, line, pieces};
use super::{Width, legend};

/// Room right of the plots: half a label of the axis.
const RIGHT: f64 = 26.0;
/// Height of a track: its name, and its bar.
const TRACK: f64 = 29.0;
const BAR: f64 = 10.0;
/// Columns have this many pixels, and more of them in a chart of many series: a page stays small.
const COLUMN: f64 = 2.0;
/// Series that a chart holds before columns get wider.
const SERIES: usize = 24;

/// A run on one axis of time, seconds.
#[derive(Clone, Debug)]
pub(crate) struct TimeChart {
    pub(crate) title: String,
    pub(crate) from_s: f64,
    pub(crate) to_s: f64,
    pub(crate) tracks: Vec<Track>,
    pub(crate) panels: Vec<Panel>,
}

/// A row of spells and moments.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    pub(crate) label: String,
    pub(crate) marks: Vec<Mark>,
}

/// A spell, or a moment.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) from_s: f64,
    /// `None` for a moment.
    pub(crate) to_s: Option<f64>,
    /// Class of the style sheet.
    pub(crate) class: String,
    /// What it is, for a pointer that rests on it.
    pub(crate) words: String,
    /// Words that stand in the bar if there is room.
    pub(crate) inside: Option<String>,
}

/// A plot.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) scale: Scale,
    pub(crate) height: f64,
    pub(crate) series: Vec<Series>,
}

/// One of the things in a plot.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// Its name in the legend; empty for what has none.
    pub(crate) name: String,
    pub(crate) ink: Ink,
    pub(crate) kind: Kind,
    /// In the order of time; `None` is a gap.
    pub(crate) cells: Vec<Option<Cell>>,
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Line,
    Thin,
    /// An area with this opacity.
    Band(f64),
    /// A bar for each cell.
    Bars,
}

impl TimeChart {
    /// When the last of what it shows ends.
    pub(crate) fn last_s(&self) -> f64 {
        let marks = self.tracks.iter().flat_map(|track| &track.marks);
        let marks = marks.map(|mark| mark.to_s.unwrap_or(mark.from_s));
        let series = self.panels.iter().flat_map(|panel| &panel.series);
        let cells = series.flat_map(|series| &series.cells).flatten().map(|cell| cell.to_s);
        marks.chain(cells).fold(0.0, f64::max)
    }

    pub(crate) fn draw(&self, width: Width) -> String {
        let size = width.pixels();
        let labels = self.panels.iter().map(|p| p.scale.width(LABEL)).fold(24.0, f64::max);
        let left = (labels + 10.0).ceil();
        let plot_width = size - left - RIGHT;
        let x = Scale::time(self.from_s, self.to_s, plot_width, LABEL);
        let mut c = Canvas::default();
        let mut y = 0.0;
        if !self.tracks.is_empty() {
            y = self.tracks(&mut c, &x, (left, plot_width));
        }
        let series: usize = self.panels.iter().map(|panel| panel.series.len()).sum();
        let column = COLUMN * series.div_ceil(SERIES).max(1) as f64;
        let column_s = (self.to_s - self.from_s) / plot_width * column;
        let mut plots = Vec::new();
        for (i, panel) in self.panels.iter().enumerate() {
            y += if i == 0 { 6.0 } else { 13.0 };
            y += legend::write(&mut c, (1.0, y), size, &panel.title, &swatches(panel)) + 8.0;
            let frame = Frame { left, top: y, width: plot_width, height: panel.height };
            let below = if i + 1 == self.panels.len() { Below::Labels } else { Below::Nothing };
            plots.push((frame, x.clone(), panel.scale.clone(), below, panel.layers(&x, column_s)));
            y += panel.height + if below == Below::Labels { LABELS_BELOW } else { 0.0 };
        }
        if plots.is_empty() {
            y = ticks(&mut c, &x, (left, plot_width), y);
        }
        let height = (y + 6.0).ceil();
        let drawn = plot::draw((size, height), &plots);
        c.raw(&drawn);
        c.finish((size, height), width.class(), &self.title)
    }

    /// The tracks, with the lines of the axis behind them. Gives the place below them.
    fn tracks(&self, c: &mut Canvas, x: &Scale, (left, width): (f64, f64)) -> f64 {
        let top = ticks(c, x, (left, width), 0.0);
        let bottom = top + TRACK * self.tracks.len() as f64;
        for tick in &x.ticks {
            let at = left + (tick.at - x.from) / (x.to - x.from) * width;
            c.line((at, top), (at, bottom), "rule");
        }
        for (i, track) in self.tracks.iter().enumerate() {
            let y = top + TRACK * i as f64;
            let label = cut(&track.label, left + width, SMALL, Face::Sans);
            c.bar((0.0, y + 1.0), (width_of(&label, SMALL, Face::Sans) + 2.0, 13.0), "paper", "");
            c.text(1.0, y + 11.0, &label, Type::sans(SMALL, "ink"));
            let base = y + 15.0;
            c.line((left, base + BAR / 2.0), (left + width, base + BAR / 2.0), "rule");
            for mark in gathered(track, |s| left + x.share(s) * width) {
                draw_mark(c, &mark, base);
            }
        }
        bottom + 4.0
    }
}

/// Labels of the axis above or below what has none of plotters'. Gives the place below them.
fn ticks(c: &mut Canvas, x: &Scale, (left, width): (f64, f64), y: f64) -> f64 {
    for tick in &x.ticks {
        let at = left + (tick.at - x.from) / (x.to - x.from) * width;
        c.text(at, y + 12.0, &tick.label, Type::sans(LABEL, "quiet").at(Anchor::Middle));
    }
    y + 18.0
}

fn swatches(panel: &Panel) -> Vec<legend::Item> {
    let item = |series: &Series| match series.kind {
        Kind::Band(opacity) => {
            legend::Item::area(&series.name, format!("{} o{:.0}", series.ink.class(), opacity * 100.0))
        }
        Kind::Bars => legend::Item::area(&series.name, series.ink.class()),
        Kind::Line => legend::Item::line(&series.name, series.ink.class(), 3.0),
        Kind::Thin => legend::Item::line(&series.name, series.ink.class(), 1.6),
    };
    panel.series.iter().filter(|series| !series.name.is_empty()).map(item).collect()
}

impl Panel {
    fn layers(&self, x: &Scale, column_s: f64) -> Vec<Layer> {
        let at = |points: Vec<(f64, f64)>| -> Vec<(f64, f64)> {
            points.into_iter().map(|(s, value)| (x.place(s), self.scale.place(value))).collect()
        };
        let mut layers = Vec::new();
        for series in &self.series {
            if series.kind == Kind::Bars {
                let bars = series.cells.iter().flatten().map(|cell| {
                    let (from, to) = (x.place(cell.from_s), x.place(cell.to_s));
                    let (low, high) = (self.scale.place(cell.low), self.scale.place(cell.high));
                    Layer::Bar([(from, low), (to, high)], series.ink)
                });
                layers.extend(bars);
                continue;
            }
            for piece in pieces(series.cells.iter().copied(), column_s) {
                layers.push(match series.kind {
                    Kind::Thin => Layer::Thin(at(line(&piece)), series.ink),
                    Kind::Band(opacity) => Layer::Area(at(area(&piece)), series.ink, opacity),
                    Kind::Line | Kind::Bars => Layer::Line(at(line(&piece)), series.ink),
                });
            }
        }
        layers
    }
}

/// A mark in pixels.
struct Placed {
    from: f64,
    to: Option<f64>,
    class: String,
    words: String,
    inside: Option<String>,
    count: usize,
}

/// Marks of a track; of those that would lie on each other one is drawn, and says how many there are.
fn gathered(track: &Track, place: impl Fn(f64) -> f64) -> Vec<Placed> {
    let mut marks: Vec<&Mark> = track.marks.iter().collect();
    marks.sort_by(|a, b| a.to_s.is_none().cmp(&b.to_s.is_none()).then(a.from_s.total_cmp(&b.from_s)));
    let mut placed: Vec<Placed> = Vec::new();
    for mark in marks {
        let (from, to) = (place(mark.from_s), mark.to_s.map(&place));
        if let Some(last) = placed.last_mut()
            && last.class == mark.class
            && last.to.is_none() == to.is_none()
            && from - last.to.unwrap_or(last.from) < 1.0
        {
            last.count += 1;
            last.to = last.to.zip(to).map(|(a, b)| a.max(b));
            last.inside = None;
            continue;
        }
        placed.push(Placed {
            from,
            to,
            class: mark.class.clone(),
            words: mark.words.clone(),
            inside: mark.inside.clone(),
            count: 1,
        });
    }
    placed
}

fn draw_mark(c: &mut Canvas, mark: &Placed, y: f64) {
    let more = if mark.count > 1 { format!(", and {} more", mark.count - 1) } else { String::new() };
    let words = format!("{}{more}", mark.words);
    match mark.to {
        Some(to) => {
            let wide = (to - mark.from).max(2.0);
            c.bar((mark.from, y), (wide, BAR), &format!("spell {}", mark.class), &words);
            let fits = |s: &&String| width_of(s, SMALL, Face::Sans) * 1.05 + 8.0 <= wide;
            if let Some(inside) = mark.inside.as_ref().filter(fits) {
                c.text(mark.from + 4.0, y + 9.0, inside, Type::sans(SMALL, "inside"));
            }
        }
        None => {
            let (x, middle) = (mark.from, y + BAR / 2.0);
            let d = format!(
                "M{x:.1} {:.1}L{:.1} {middle:.1}L{x:.1} {:.1}L{:.1} {middle:.1}Z",
                middle - 6.0,
                x + 5.0,
                middle + 6.0,
                x - 5.0
            );
            c.path(&d, &format!("moment {}", mark.class), &words);
        }
    }
}
