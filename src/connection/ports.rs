//! The source-port allocator of the storms.
//!
//! The kernel's own search for a free port takes milliseconds once half the range is in TIME_WAIT and the
//! time would be taken for the device's. Here ports are handed out in rotation, first in first out, starting
//! at a random one, and come back when they can be used again. Memory is two words a port, whatever the run.

use std::collections::VecDeque;
use std::str::FromStr;
use std::time::{Duration, Instant};

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// How long the host keeps a port whose connection it closed first (Linux: TCP_TIMEWAIT_LEN, 60 s), with
/// a little more so that the last moment is not raced.
const TIME_WAIT: Duration = Duration::from_millis(60_250);

/// An inclusive range of TCP ports, as `40000-40099`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// Why a port range could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no port range: FIRST-LAST, both from 1 to 65535, FIRST not above LAST, as 40000-40099")]
pub struct PortRangeError(String);

impl PortRange {
    /// The range the host's system gives out by itself: `ip_local_port_range` on Linux, else the range that
    /// RFC 6335 calls dynamic.
    #[must_use]
    pub fn of_this_host() -> Self {
        std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
            .ok()
            .and_then(|text| {
                let mut numbers = text.split_whitespace().map(str::parse);
                Some(Self { first: numbers.next()?.ok()?, last: numbers.next()?.ok()? })
            })
            .filter(|r| r.first > 0 && r.first <= r.last)
            .unwrap_or(Self { first: 49_152, last: 65_535 })
    }

    /// From `first` to `last`; turned round where `last` is less.
    #[must_use]
    pub const fn between(first: u16, last: u16) -> Self {
        if first <= last { Self { first, last } } else { Self { first: last, last: first } }
    }

    /// Whether a port is in both.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// How many ports it holds, 1 to 65,535.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a range holds at least one port")]
    pub const fn len(self) -> usize {
        (self.last - self.first) as usize + 1
    }
}

impl FromStr for PortRange {
    type Err = PortRangeError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (first, last) = s.split_once('-')?;
            let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            (first > 0 && first <= last).then_some(Self { first, last })
        };
        parse().ok_or_else(|| PortRangeError(s.to_owned()))
    }
}

impl TryFrom<String> for PortRange {
    type Error = PortRangeError;
    fn try_from(s: String) -> Result<Self, Self::Error> {
        s.parse()
    }
}

impl From<PortRange> for String {
    fn from(r: PortRange) -> Self {
        r.to_string()
    }
}

impl std::fmt::Display for PortRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// How a port comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// The peer closed first, or a RST ended it: free at once.
    Free,
    /// This host closed first: free after its TIME_WAIT.
    TimeWait,
    /// The connection vanished; the peer may still hold it. Not used again in this run.
    Never,
}

/// The answer to a request for a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Use this one.
    Port(u16),
    /// All are waiting; the first comes back then.
    WaitUntil(Instant),
    /// All are in use, or used up for this run.
    NoneLeft,
}

/// The ports of a run.
#[derive(Debug)]
pub struct PortPool {
    free: VecDeque<u16>,
    waiting: VecDeque<(Instant, u16)>,
}

impl PortPool {
    /// All ports of `range`, in rotation from a place that `seed` decides.
    #[must_use]
    pub fn new(range: PortRange, seed: u64) -> Self {
        let mut free: VecDeque<u16> = (range.first..=range.last).collect();
        // Neighbouring seeds start far apart.
        let turn = (SplitMix64::seed_from_u64(seed).next_u64() % free.len() as u64) as usize;
        free.rotate_left(turn);
        Self { free, waiting: VecDeque::new() }
    }

    /// The next port in rotation.
    pub fn take(&mut self, now: Instant) -> Taken {
        while self.waiting.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, port)) = self.waiting.pop_front() {
                self.free.push_back(port);
            }
        }
        match (self.free.pop_front(), self.waiting.front()) {
            (Some(port), _) => Taken::Port(port),
            (None, Some((at, _))) => Taken::WaitUntil(*at),
            (None, None) => Taken::NoneLeft,
        }
    }

    /// Gives a port back.
    pub(crate) fn release(&mut self, port: u16, how: Release, now: impl FnOnce() -> Instant) {
        match how {
            Release::Free => self.free.push_back(port),
            Release::TimeWait => self.waiting.push_back((now() + TIME_WAIT, port)),
            Release::Never => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(range: &str) -> PortPool {
        PortPool::new(range.parse().unwrap(), 7)
    }

    fn port(taken: Taken) -> u16 {
        match taken {
            Taken::Port(p) => p,
            other => panic!("no port: {other:?}"),
        }
    }

    #[test]
    fn every_port_is_used_once_before_the_first_is_used_again() {
        let (mut pool, now) = (pool("40000-40099"), Instant::now());
        let mut seen = Vec::new();
        for _ in 0..100 {
            let p = port(pool.take(now));
            pool.release(p, Release::Free, || now);
            seen.push(p);
        }
        assert_eq!(port(pool.take(now)), seen[0]);
        seen.sort_unstable();
        assert_eq!(seen, (40_000..=40_099).collect::<Vec<_>>());
    }

    #[test]
    fn a_port_that_this_host_closed_first_comes_back_after_its_time_wait() {
        let (mut pool, now) = (pool("5000-5000"), Instant::now());
        let p = port(pool.take(now));
        assert_eq!(pool.take(now), Taken::NoneLeft);
        pool.release(p, Release::TimeWait, || now);
        assert_eq!(pool.take(now), Taken::WaitUntil(now + TIME_WAIT));
        assert_eq!(port(pool.take(now + TIME_WAIT)), 5000);
    }

    #[test]
    fn a_vanished_connections_port_is_never_used_again() {
        let (mut pool, now) = (pool("5000-5000"), Instant::now());
        let p = port(pool.take(now));
        pool.release(p, Release::Never, || now);
        assert_eq!(pool.take(now + Duration::from_secs(3_600)), Taken::NoneLeft);
    }

    #[test]
    fn the_seed_decides_where_the_rotation_starts() {
        let range = "32768-60999".parse().unwrap();
        let now = Instant::now();
        let first = |seed| port(PortPool::new(range, seed).take(now));
        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
    }

    #[test]
    fn a_range_that_is_none_is_refused_with_the_form_it_should_have() {
        for bad in ["", "1", "0-5", "9-3", "1-70000", "a-b", "1-2-3"] {
            let error = bad.parse::<PortRange>().unwrap_err().to_string();
            assert!(error.contains("FIRST-LAST"), "{error}");
        }
        assert_eq!("40000-40099".parse::<PortRange>().unwrap().len(), 100);
    }
}
