//! Signal and rates of many frames, in little room.

use std::collections::BTreeMap;

use espstress_event::{AirRate, AirSignal};

/// Different rates that are kept; no radio has as many.
const RATES: usize = 256;

/// Counts by value.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally<T>(BTreeMap<T, u64>);

impl<T: Ord + Copy> Tally<T> {
    pub(super) fn add(&mut self, value: Option<T>) {
        let Some(value) = value else { return };
        if self.0.len() < RATES || self.0.contains_key(&value) {
            *self.0.entry(value).or_default() += 1;
        }
    }

    /// Number, least, median and greatest.
    fn figures(&self) -> Option<(u64, T, T, T)> {
        let (least, greatest) = (self.0.first_key_value()?, self.0.last_key_value()?);
        let count: u64 = self.0.values().sum();
        let mut below = 0;
        let middle = self.0.iter().find(|(_, n)| {
            below += **n;
            below * 2 >= count
        })?;
        Some((count, *least.0, *middle.0, *greatest.0))
    }
}

impl Tally<i8> {
    pub(super) fn signal(&self) -> Option<AirSignal> {
        let (frames, min_dbm, p50_dbm, max_dbm) = self.figures()?;
        Some(AirSignal { frames, min_dbm, p50_dbm, max_dbm })
    }
}

impl Tally<u32> {
    /// Of values in 100 kbit/s.
    pub(super) fn rate(&self) -> Option<AirRate> {
        let (frames, min, p50, max) = self.figures()?;
        let mbps = |rate: u32| f64::from(rate) / 10.0;
        Some(AirRate { frames, min_mbps: mbps(min), p50_mbps: mbps(p50), max_mbps: mbps(max) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_that_of_all_frames() {
        let mut tally = Tally::default();
        for value in [-40, -70, -60, -60, -50] {
            tally.add(Some(value));
        }
        tally.add(None);
        assert_eq!(tally.signal(), Some(AirSignal { frames: 5, min_dbm: -70, p50_dbm: -60, max_dbm: -40 }));
        assert_eq!(Tally::<u32>::default().rate(), None);
    }
}
