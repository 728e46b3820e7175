//! Axes: where ticks stand, and what is written at them. A label is whole or not there: its width is known before it
//! is placed.

use super::canvas::{Face, width_of};
use crate::human::digits;

/// What an axis counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantity {
    /// Things.
    Count,
    /// Things per second.
    PerSecond,
    /// Microseconds.
    Time,
    /// Bytes.
    Bytes,
    /// dBm.
    Dbm,
}

/// An axis: from where to where, in the unit of its labels or in powers of ten, with its ticks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scale {
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) ticks: Vec<Tick>,
    of: Of,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Of {
    /// Values divided by this.
    Linear(f64),
    /// Decimal logarithms.
    Logarithmic,
}

/// One tick.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    pub(crate) at: f64,
    pub(crate) label: String,
}

/// Further from zero no axis reaches: a report that was edited by hand may hold any number, and its sums none.
fn bounded(value: f64) -> f64 {
    const MOST: f64 = 1e15;
    if value.is_nan() { 0.0 } else { value.clamp(-MOST, MOST) }
}

impl Scale {
    /// A linear axis that holds `least` to `most`, with zero unless values are far from it, and about `ticks` ticks.
    pub(crate) fn linear(least: f64, most: f64, quantity: Quantity, ticks: usize) -> Self {
        let (least, most) = (bounded(least), bounded(most));
        let low = if quantity == Quantity::Dbm { least } else { least.min(0.0) };
        let (factor, unit) = unit_of(low.abs().max(most.abs()), quantity);
        let (low, mut high) = (low / factor, most / factor);
        if high - low < 1e-9 {
            high = low + low.abs().max(1.0);
        }
        let whole = matches!(quantity, Quantity::Count);
        let step = nice((high - low) / ticks.max(1) as f64, whole);
        let (from, to) = ((low / step).floor() * step, (high / step).ceil() * step);
        let steps = ((to - from) / step).round() as usize;
        let tick = |n: usize| {
            let at = from + n as f64 * step;
            Tick { at, label: joined(&trimmed(at), unit) }
        };
        Self { from, to, ticks: (0..=steps).map(tick).collect(), of: Of::Linear(factor) }
    }

    /// Axis of time of a run, seconds, with as many ticks as labels find room in `width` pixels.
    pub(crate) fn time(from_s: f64, to_s: f64, width: f64, size: f64) -> Self {
        let (from_s, to_s) = (bounded(from_s), bounded(to_s));
        // So long that both ends differ.
        let span = (to_s - from_s).max(1e-6).max(from_s.abs() * 1e-9);
        let (factor, unit) = match span {
            ..2e-3 => (1e-6, "us"),
            ..2.0 => (1e-3, "ms"),
            ..300.0 => (1.0, "s"),
            ..10_800.0 => (60.0, "min"),
            ..432_000.0 => (3_600.0, "h"),
            _ => (86_400.0, "d"),
        };
        let (from, to) = (from_s / factor, (from_s + span) / factor);
        let mut step = nice((to - from) / 12.0, false);
        loop {
            let first = (from / step).ceil() as i64;
            let last = (to / step + 1e-9).floor() as i64;
            let tick = |n: i64| {
                let at = n as f64 * step;
                Tick { at, label: joined(&trimmed(at), unit) }
            };
            let ticks: Vec<Tick> = (first..=last).map(tick).collect();
            let widest = ticks.iter().map(|t| width_of(&t.label, size, Face::Sans)).fold(0.0, f64::max);
            if ticks.len() <= 2 || (widest + 14.0) <= width * step / (to - from) {
                return Self { from, to, ticks, of: Of::Linear(factor) };
            }
            step = nice(step * 1.5, false);
        }
    }

    /// A logarithmic axis of latency, microseconds, over whole decades.
    pub(crate) fn decades(least_us: f64, most_us: f64) -> Self {
        let low = least_us.max(1e-3).log10().floor();
        let high = most_us.max(least_us).max(1e-3).log10().ceil().max(low + 1.0);
        // Of many decades every second one has a tick.
        let every = if high - low > 5.0 { 2 } else { 1 };
        let ticks =
            (low as i64..=high as i64).step_by(every).map(|n| Tick { at: n as f64, label: decade(n) });
        Self { from: low, to: high, ticks: ticks.collect(), of: Of::Logarithmic }
    }

    /// An axis of percentiles up to one in `count`, by 1/(1 - p), with labels that have room in `width` pixels.
    pub(crate) fn percentiles(count: u64, width: f64, size: f64) -> Self {
        let most = (count.max(10) as f64).log10();
        let label = |n: i32| match n {
            0 => "0 %".to_owned(),
            1 => "90 %".to_owned(),
            2 => "99 %".to_owned(),
            n => format!("99.{} %", "9".repeat((n - 2) as usize)),
        };
        let last = most.floor() as i32;
        let apart = width / most;
        let every = ((width_of(&label(last), size, Face::Sans) + 10.0) / apart).ceil().max(1.0) as usize;
        let ticks = (0..=last).rev().step_by(every).map(|n| Tick { at: f64::from(n), label: label(n) });
        Self { from: 0.0, to: most, ticks: ticks.collect(), of: Of::Logarithmic }
    }

    /// Where a value stands, in the axis' own numbers.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let at = match self.of {
            Of::Linear(factor) => value / factor,
            Of::Logarithmic => value.max(1e-3).log10(),
        };
        // Not `clamp`: a value may be no number, where a report was edited by hand.
        at.max(self.from).min(self.to)
    }

    /// The same as a share of the axis, 0 to 1.
    pub(crate) fn share(&self, value: f64) -> f64 {
        (self.place(value) - self.from) / (self.to - self.from)
    }

    /// The width of its widest label.
    pub(crate) fn width(&self, size: f64) -> f64 {
        self.ticks.iter().map(|tick| width_of(&tick.label, size, Face::Sans)).fold(0.0, f64::max)
    }

    /// What is written at a tick that stands here.
    pub(crate) fn label_at(&self, at: f64) -> String {
        let near = |tick: &&Tick| (tick.at - at).abs() <= (self.to - self.from) * 1e-6;
        self.ticks.iter().find(near).map(|tick| tick.label.clone()).unwrap_or_default()
    }
}

fn unit_of(most: f64, quantity: Quantity) -> (f64, &'static str) {
    match quantity {
        Quantity::Count => (1.0, ""),
        Quantity::PerSecond => (1.0, "/s"),
        Quantity::Dbm => (1.0, " dBm"),
        Quantity::Time => match most {
            ..1.0 => (1e-3, " ns"),
            ..1e3 => (1.0, " us"),
            ..1e6 => (1e3, " ms"),
            _ => (1e6, " s"),
        },
        Quantity::Bytes => match most {
            ..2_048.0 => (1.0, " B"),
            ..2_097_152.0 => (1_024.0, " KiB"),
            ..2_147_483_648.0 => (1_048_576.0, " MiB"),
            _ => (1_073_741_824.0, " GiB"),
        },
    }
}

fn joined(number: &str, unit: &str) -> String {
    let space = if unit.is_empty() || unit.starts_with([' ', '/']) { "" } else { " " };
    format!("{number}{space}{unit}")
}

/// 1, 2 or 5 times a power of ten, not below `x`.
fn nice(x: f64, whole: bool) -> f64 {
    let x = if whole { x.max(1.0) } else { x.max(1e-12) };
    let power = 10_f64.powf(x.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|n| n * power);
    steps.into_iter().find(|step| *step >= x * 0.999_999).unwrap_or(10.0 * power)
}

/// A tick's number without zeros at its end.
fn trimmed(x: f64) -> String {
    if x.abs() >= 1_000.0 {
        return digits(x);
    }
    let text = format!("{x:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A power of ten of microseconds, as `10 us`.
fn decade(exponent: i64) -> String {
    let (unit, base) = match exponent {
        ..0 => ("ns", -3),
        0..3 => ("us", 0),
        3..6 => ("ms", 3),
        _ => ("s", 6),
    };
    joined(&trimmed(10_f64.powi((exponent - base) as i32)), unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<&str> {
        scale.ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn labels_keep_their_unit() {
        assert_eq!(
            labels(&Scale::decades(8.0, 90_000.0)),
            ["1 us", "10 us", "100 us", "1 ms", "10 ms", "100 ms"]
        );
        assert_eq!(
            labels(&Scale::linear(0.0, 60_000.0, Quantity::Bytes, 3)),
            ["0 KiB", "20 KiB", "40 KiB", "60 KiB"]
        );
        assert_eq!(labels(&Scale::linear(0.0, 3.0, Quantity::Count, 6)), ["0", "1", "2", "3"]);
        assert_eq!(
            labels(&Scale::linear(-71.0, -42.0, Quantity::Dbm, 3)),
            ["-80 dBm", "-70 dBm", "-60 dBm", "-50 dBm", "-40 dBm"]
        );
        assert_eq!(labels(&Scale::percentiles(4_000, 700.0, 12.0)), ["99.9 %", "99 %", "90 %", "0 %"]);
    }

    #[test]
    fn an_axis_of_time_has_room_for_its_labels_from_milliseconds_to_weeks() {
        for span in [0.004, 0.9, 2.0, 7.3, 61.0, 299.0, 1_800.0, 86_400.0, 1_296_000.0] {
            for width in [250.0, 740.0] {
                let scale = Scale::time(0.0, span, width, 12.0);
                assert!(scale.ticks.len() >= 2, "{span} {width}: {scale:?}");
                for two in scale.ticks.windows(2) {
                    let apart = (two[1].at - two[0].at) / (scale.to - scale.from) * width;
                    let halves = (width_of(&two[0].label, 12.0, Face::Sans)
                        + width_of(&two[1].label, 12.0, Face::Sans))
                        / 2.0;
                    assert!(apart > halves, "{span} {width}: {scale:?}");
                }
            }
        }
    }

    #[test]
    fn percentiles_of_a_billion_have_room_on_a_narrow_page() {
        let scale = Scale::percentiles(1_000_000_000, 250.0, 12.0);
        assert_eq!(labels(&scale), ["99.9999999 %", "99.999 %", "90 %"]);
    }

    #[test]
    fn whatever_a_report_holds_has_a_place_on_its_axis() {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300, 1e18, 0.0, 1e-300];
        for (least, most) in odd.into_iter().flat_map(|least| odd.map(|most| (least, most))) {
            let all = [Quantity::Dbm, Quantity::Count, Quantity::PerSecond]
                .map(|of| Scale::linear(least, most, of, 3));
            for scale in all.into_iter().chain([Scale::time(least, most, 600.0, 11.0)]) {
                assert!(
                    odd.iter().all(|value| (0.0..=1.0).contains(&scale.share(*value))),
                    "{least} {most} {scale:?}"
                );
            }
        }
    }

    #[test]
    fn a_value_that_does_not_vary_still_has_an_axis() {
        let scale = Scale::linear(0.0, 0.0, Quantity::PerSecond, 3);
        assert!(scale.to > scale.from && scale.share(0.0) == 0.0);
        assert!(Scale::decades(5.0, 5.0).ticks.len() >= 2);
    }
}
