//! Latency by percentile, as HdrHistogram's tools plot it: the axis goes by 1/(1 - p), so that the tail has as much room
//! as the rest.

use super::canvas::Canvas;
use super::ink::Ink;
use super::plot::{self, Below, Frame, LABEL, LABELS_BELOW, Layer};
use super::scale::{Quantity, Scale};
use super::{Width, legend};
use crate::LatencyFigures;

/// Latencies that a percentile plot needs: with fewer there is no 99th percentile.
const FEWEST: u64 = 100;
/// Points for each halving of what is left.
const POINTS: u32 = 4;

/// One line of the plot.
struct Curve<'a> {
    name: &'a str,
    /// 1/(1 - p) and microseconds.
    points: Vec<(f64, f64)>,
    count: u64,
}

/// The chart of these latencies, the first drawn strongest; `None` if too few were recorded.
pub(crate) fn percentiles(title: &str, lines: &[(String, &LatencyFigures)], width: Width) -> Option<String> {
    let curves: Vec<Curve<'_>> = lines
        .iter()
        .filter_map(|(name, of)| {
            let histogram = of.histogram()?;
            let most = histogram.len();
            let mut points: Vec<(f64, f64)> = histogram
                .iter_quantiles(POINTS)
                .map(|step| {
                    let left = (1.0 - step.quantile_iterated_to()).max(1.0 / most.max(1) as f64);
                    (1.0 / left, step.value_iterated_to() as f64 / 1e3)
                })
                .collect();
            points.dedup_by(|a, b| a.0 == b.0 && a.1 == b.1);
            let longest = histogram.max() as f64 / 1e3;
            points.iter_mut().for_each(|point| point.1 = point.1.min(longest));
            (!points.is_empty()).then_some(Curve { name, points, count: most })
        })
        .collect();
    let most = curves.iter().map(|curve| curve.count).max().filter(|most| *most >= FEWEST)?;
    let longest = curves.iter().flat_map(|curve| &curve.points).map(|point| point.1).fold(0.0, f64::max);
    let y = Scale::linear(0.0, longest, Quantity::Time, 4);
    let size = width.pixels();
    let left = (y.width(LABEL) + 10.0).ceil();
    // The last label stands at or before the end of the axis, in the middle of its tick.
    let right = 38.0;
    let x = Scale::percentiles(most, size - left - right, LABEL);
    let mut c = Canvas::default();
    let names: Vec<legend::Item> = curves
        .iter()
        .enumerate()
        .map(|(n, curve)| {
            legend::Item::line(curve.name, Ink::Series(n).class(), if n == 0 { 3.0 } else { 1.6 })
        })
        .collect();
    let top = legend::write(&mut c, (1.0, 0.0), size, "latency by percentile", &names) + 8.0;
    let height = if width == Width::Wide { 190.0 } else { 150.0 };
    let frame = Frame { left, top, width: size - left - right, height };
    let layers = curves.iter().enumerate().rev().map(|(n, curve)| {
        let points = curve.points.iter().map(|(of, us)| (x.place(*of), y.place(*us))).collect();
        if n == 0 { Layer::Line(points, Ink::Series(n)) } else { Layer::Thin(points, Ink::Series(n)) }
    });
    let layers = layers.collect();
    let bottom = top + height + LABELS_BELOW + 4.0;
    c.raw(&plot::draw((size, bottom), &[(frame, x, y, Below::Labels, layers)]));
    Some(c.finish((size, bottom), width.class(), title))
}
