//! A distribution cut into logarithmic cells, for histograms in text and in SVG.

use hdrhistogram::Histogram;

use super::LatencyFigures;

/// A logarithmic axis over whole decades, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    /// Exponent of ten of its left end.
    pub(crate) low: i32,
    /// Exponent of ten of its right end, greater than `low`.
    pub(crate) high: i32,
}

impl Axis {
    /// The axis on which all of these fit; `None` when nothing was recorded.
    pub(crate) fn over<'a>(figures: impl Iterator<Item = &'a LatencyFigures>) -> Option<Self> {
        let mut axis: Option<Self> = None;
        for f in figures {
            let (Some(min), Some(max)) = (f.min_us, f.max_us) else { continue };
            let low = (min * 1e3).max(1.0).log10().floor() as i32;
            let high = ((max * 1e3).max(1.0).log10().floor() as i32) + 1;
            axis = Some(
                axis.map_or(Self { low, high }, |a| Self { low: a.low.min(low), high: a.high.max(high) }),
            );
        }
        axis
    }

    /// Where a value lies on it, 0 (left) to 1 (right).
    pub(crate) fn place(self, ns: f64) -> f64 {
        let x = (ns.max(1.0).log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        x.clamp(0.0, 1.0)
    }

    /// How many fall into each of `cells` cells of equal width on the axis.
    pub(crate) fn cut(self, h: &Histogram<u64>, cells: usize) -> Vec<u64> {
        let mut counts = vec![0; cells];
        for v in h.iter_recorded() {
            let cell = (self.place(v.value_iterated_to() as f64) * cells as f64) as usize;
            if let Some(n) = counts.get_mut(cell.min(cells.saturating_sub(1))) {
                *n += v.count_at_value();
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use espstress_stats::Latency;

    #[test]
    fn cells_hold_every_value_once() {
        let mut l = Latency::default();
        (1..=1000).for_each(|n| l.record(n * 7_919));
        let f = LatencyFigures::from_latency(&l);
        let axis = Axis::over([&f].into_iter()).unwrap();
        assert_eq!(axis, Axis { low: 3, high: 7 });
        assert_eq!(axis.cut(&f.histogram().unwrap(), 20).iter().sum::<u64>(), 1000);
    }

    #[test]
    fn nothing_recorded_has_no_axis() {
        assert_eq!(Axis::over([&LatencyFigures::default()].into_iter()), None);
    }
}
