//! One plot with its axes, drawn by plotters into the text of an SVG.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;

use super::ink::Ink;
use super::scale::Scale;

/// Size of labels of axes, pixels.
pub(crate) const LABEL: f64 = 11.5;
/// plotters gives type a size that browsers divide by this.
const PLOTTERS: f64 = 1.24;

/// Where the plot itself stands, pixels: its labels are around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// Whether labels stand below the plot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Below {
    Labels,
    Nothing,
}

/// Room below a plot for its labels.
pub(crate) const LABELS_BELOW: f64 = 22.0;

/// What is drawn in a plot, in the numbers of its axes.
#[derive(Clone, Debug)]
pub(crate) enum Layer {
    /// A line.
    Line(Vec<(f64, f64)>, Ink),
    /// A thin line.
    Thin(Vec<(f64, f64)>, Ink),
    /// An area with an opacity.
    Area(Vec<(f64, f64)>, Ink, f64),
    /// A bar from one corner to the other.
    Bar([(f64, f64); 2], Ink),
}

/// The elements of an SVG of this size.
pub(crate) fn draw(size: (f64, f64), plots: &[(Frame, Scale, Scale, Below, Vec<Layer>)]) -> String {
    let mut text = String::new();
    {
        let size = (size.0.ceil() as u32, size.1.ceil() as u32);
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        for (frame, x, y, below, layers) in plots {
            // Writing to a text does not fail; if it ever did, one plot would be missing, not the page.
            let _ = plot(&root, *frame, x, y, *below, layers);
        }
        let _ = root.present();
    }
    // The page has its own frame around the elements.
    let inner = text.split_once('>').map_or("", |(_, rest)| rest);
    inner.trim_end().trim_end_matches("</svg>").to_owned()
}

/// An axis whose ticks are known beforehand.
impl Ranged for Scale {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, at: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (at - self.from) / (self.to - self.from);
        from + (share * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() {
            return Vec::new();
        }
        self.ticks.iter().map(|tick| tick.at).collect()
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

type Drawn = Result<(), Box<dyn std::error::Error + Send + Sync>>;

fn plot(
    root: &DrawingArea<SVGBackend<'_>, Shift>,
    frame: Frame,
    x: &Scale,
    y: &Scale,
    below: Below,
    layers: &[Layer],
) -> Drawn {
    let room_below = if below == Below::Labels { LABELS_BELOW } else { 0.0 };
    let area = root.clone().shrink(
        (0, frame.top as i32),
        ((frame.left + frame.width) as u32, (frame.height + room_below) as u32),
    );
    let mut chart = ChartBuilder::on(&area)
        .set_label_area_size(LabelAreaPosition::Left, frame.left as u32)
        .set_label_area_size(LabelAreaPosition::Bottom, room_below as u32)
        .build_cartesian_2d(x.clone(), y.clone())?;
    let label = ("sans-serif", LABEL * PLOTTERS).into_font().color(&Ink::Label.colour());
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(Ink::Grid.colour())
        .axis_style(Ink::Grid.colour())
        .label_style(label)
        .set_tick_mark_size(LabelAreaPosition::Left, 4)
        .set_tick_mark_size(LabelAreaPosition::Bottom, 4)
        .x_label_formatter(&|at| x.label_at(*at))
        .y_label_formatter(&|at| y.label_at(*at))
        .draw()?;
    for layer in layers {
        match layer {
            Layer::Line(points, ink) => {
                chart.draw_series(LineSeries::new(points.iter().copied(), ink.colour().stroke_width(2)))?;
            }
            Layer::Thin(points, ink) => {
                chart.draw_series(LineSeries::new(points.iter().copied(), ink.colour().stroke_width(1)))?;
            }
            Layer::Area(points, ink, opacity) => {
                let area = Polygon::new(points.clone(), ink.colour().mix(*opacity).filled());
                chart.draw_series(std::iter::once(area))?;
            }
            Layer::Bar(corners, ink) => {
                chart.draw_series(std::iter::once(Rectangle::new(*corners, ink.colour().filled())))?;
            }
        }
    }
    Ok(())
}
