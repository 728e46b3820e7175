//! Drawings of a page: what stands where, in SVG without a script. Charts with axes are plotters', rows and ladders are
//! written by hand. Each chart is drawn twice, for wide and for narrow pages, since type must not shrink with the page.

mod canvas;
pub(crate) mod ink;
mod legend;
mod percentiles;
mod plot;
mod rows;
mod scale;
mod series;
mod time;

#[cfg(test)]
pub(crate) use canvas::width_of;
pub(crate) use canvas::{Anchor, Canvas, Face, SMALL, Type, wrapped};
pub(crate) use ink::Ink;
pub(crate) use percentiles::percentiles;
pub(crate) use rows::{Bar, Row, RowChart, Shape, Sign};
pub(crate) use scale::{Quantity, Scale};
pub(crate) use series::Cell;
pub(crate) use time::{Kind, Mark, Panel, Series, TimeChart, Track};

/// A width that a chart is drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// Screens of 700 pixels and more, and paper.
    Wide,
    /// Telephones.
    Narrow,
}

impl Width {
    /// Both.
    pub(crate) const BOTH: [Self; 2] = [Self::Wide, Self::Narrow];

    /// Pixels.
    pub(crate) const fn pixels(self) -> f64 {
        match self {
            Self::Wide => 860.0,
            Self::Narrow => 330.0,
        }
    }

    /// Class of the style sheet, which shows the one that fits.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Wide => "chart wide",
            Self::Narrow => "chart narrow",
        }
    }
}

/// A chart in both widths.
pub(crate) fn both(draw: impl Fn(Width) -> String) -> String {
    Width::BOTH.into_iter().map(draw).collect()
}
