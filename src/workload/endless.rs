//! Whether an answer whose bytes keep coming will ever end. No read time-out meets it, and without `--duration` nothing else
//! would end the run.

use std::time::{Duration, Instant};

use espstress_clock::Throughput;

/// An answer is given up after so many read time-outs from its first byte. By default that is a minute: ten times what
/// a page of 60 KiB takes at 10 KiB/s.
const READ_TIMEOUTS: u32 = 12;

/// An answer that says how long it is may take so many times as long, where it will be done by then at its pace.
const KNOWN_END: u32 = 10;

/// Of what a client takes slowly by its own choice, its own time counts up to this.
const OWN_TIME: Duration = Duration::from_secs(3_600);

/// So many answers without an end in a row end a run that nothing but a count ends: a person no longer calls that chance.
pub(crate) const IN_A_ROW: u32 = 3;

/// How long one answer has been coming in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Coming {
    since: Option<Instant>,
    bytes: u64,
}

impl Coming {
    /// An answer has got `n` more bytes, and is not complete; `left` of its body are still to come where it says so. Whether
    /// it is given up.
    pub(super) fn goes_on(
        &mut self,
        n: usize,
        left: Option<u64>,
        read_timeout: Duration,
        rate: Option<Throughput>,
        now: Instant,
    ) -> bool {
        let since = *self.since.get_or_insert(now);
        self.bytes = self.bytes.saturating_add(n as u64);
        let own = rate.map_or(0.0, |rate| self.bytes as f64 / rate.bytes_per_s().max(1) as f64);
        let own = Duration::try_from_secs_f64(own).unwrap_or(OWN_TIME).min(OWN_TIME);
        let taken = now.saturating_duration_since(since).saturating_sub(own);
        let limit = read_timeout.saturating_mul(READ_TIMEOUTS);
        if taken <= limit {
            return false;
        }
        let rest = left.map(|left| taken.as_secs_f64() * left as f64 / self.bytes.max(1) as f64);
        let most = limit.saturating_mul(KNOWN_END).saturating_sub(taken).as_secs_f64();
        rest.is_none_or(|rest| rest > most)
    }

    /// The host itself is at work on the request: the answer's time begins anew.
    pub(super) fn begin(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Duration = Duration::from_secs(5);

    /// How long nine bytes every 200 ms are taken, at most two hours.
    fn given_up_after(left: impl Fn(u64) -> Option<u64>, rate: Option<Throughput>) -> Option<u64> {
        let (mut coming, start) = (Coming::default(), Instant::now());
        (0..36_000_u64).find_map(|nth| {
            let now = start + Duration::from_millis(nth * 200);
            coming.goes_on(9, left((nth + 1) * 9), READ, rate, now).then_some(nth / 5)
        })
    }

    #[test]
    fn an_answer_without_an_end_is_given_up_after_twelve_read_time_outs() {
        assert_eq!(given_up_after(|_| None, None), Some(60));
    }

    #[test]
    fn an_answer_that_says_its_length_is_waited_for_while_its_pace_brings_its_end() {
        // At this pace 18 kB take 400 s and 90 kB 2,000 s; ten minutes are allowed.
        let of = |length: u64| move |came: u64| Some(length.saturating_sub(came));
        let (mut coming, start) = (Coming::default(), Instant::now());
        let mut gone_on = (0..2_000_u64).map(|nth| {
            let now = start + Duration::from_millis(nth * 200);
            coming.goes_on(9, of(18_000)((nth + 1) * 9), READ, None, now)
        });
        assert!(!gone_on.any(|given_up| given_up));
        assert_eq!(given_up_after(of(90_000), None), Some(60));
    }

    #[test]
    fn what_the_host_takes_slowly_is_its_own_time_for_an_hour() {
        let slow: Throughput = "45B/s".parse().unwrap();
        assert!(given_up_after(|_| None, Some(slow)).unwrap() >= 3_600);
    }
}
