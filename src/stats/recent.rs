//! The latencies of an interval.

use super::Latency;

/// The latencies since the last interval. A look at them costs what was recorded: a histogram's own iterator walks all
/// values below as well, tens of thousands for a few requests.
#[derive(Debug, Default)]
pub(super) struct Recent {
    latency: Latency,
    /// A value of each step of the histogram that has any, in the order in which they came.
    steps: Vec<u64>,
}

impl Recent {
    /// Records one latency, nanoseconds.
    pub(super) fn record(&mut self, ns: u64) {
        if self.latency.count_of(ns) == 0 {
            self.steps.push(ns);
        }
        self.latency.record(ns);
    }

    /// The values that were recorded, nanoseconds, in ascending order, each with how many of them.
    pub(super) fn recorded(&self) -> Vec<(u64, u64)> {
        let mut all: Vec<u64> = self.steps.clone();
        all.sort_unstable();
        all.into_iter().map(|ns| (self.latency.step_of(ns), self.latency.count_of(ns))).collect()
    }

    /// Forgets everything, keeping the memory.
    pub(super) fn clear(&mut self) {
        if !self.steps.is_empty() {
            self.steps.clear();
            self.latency.clear();
        }
    }
}

/// The value at quantile `q` (above 0, to 1) of recorded values, as [`Recent::recorded`] gives them, nanoseconds; `None` when there
/// are none.
pub(super) fn quantile_ns(recorded: &[(u64, u64)], q: f64) -> Option<u64> {
    let all: u64 = recorded.iter().map(|(_, count)| count).sum();
    // As HdrHistogram counts: the value that as many are at or below.
    let wanted = ((q * all as f64).ceil() as u64).max(1);
    let mut below = 0;
    recorded
        .iter()
        .find(|(_, count)| {
            below += count;
            below >= wanted
        })
        .map(|(ns, _)| *ns)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Of all magnitudes, too long ones included.
    fn latency() -> impl Strategy<Value = u64> {
        (0_u32..44, 0.0..1.0_f64).prop_map(|(bits, more)| ((1_u64 << bits) as f64 * (1.0 + more)) as u64)
    }

    proptest! {
        #[test]
        fn it_gives_what_a_histogram_gives(intervals in vec(vec(latency(), 0..200), 1..4), q in 0.001..=1.0_f64) {
            let mut recent = Recent::default();
            for interval in intervals {
                let mut whole = Latency::default();
                for ns in interval {
                    recent.record(ns);
                    whole.record(ns);
                }
                let recorded = recent.recorded();
                prop_assert_eq!(&recorded, &whole.recorded().collect::<Vec<_>>());
                for q in [q, 0.5, 0.99, 1.0] {
                    prop_assert_eq!(quantile_ns(&recorded, q), whole.quantile_ns(q));
                }
                recent.clear();
            }
            prop_assert_eq!(recent.recorded(), []);
        }
    }
}
