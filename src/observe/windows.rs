//! Losses and occasions, window by window: what the path did at the time of a silence.

use espstress_event::{Losses, PathWindow};

use super::flow::SECOND;

/// A window's length at first: some hundred segments of a run that is worth looking at.
const LENGTH: i64 = 10 * SECOND;

/// Windows kept; when they are as many, each two become one.
const MOST: usize = 512;

/// What chance brings about less often is no chance.
const CHANCE: f64 = 1e-3;

/// The windows of a capture.
#[derive(Clone, Debug)]
pub(super) struct Windows {
    list: Vec<PathWindow>,
    /// In each of them, what the host sent before the device had taken anything of a connection.
    untaken: Vec<Losses>,
    length: i64,
}

impl Default for Windows {
    fn default() -> Self {
        Self { list: Vec::new(), untaken: Vec::new(), length: LENGTH }
    }
}

impl Windows {
    /// The window of `at`, nanoseconds since the Unix epoch; times do not go back.
    pub(super) fn at(&mut self, at: i64) -> &mut PathWindow {
        if self.list.last().is_none_or(|last| at >= last.to_ns) {
            if self.list.len() == MOST {
                self.coarsen();
            }
            let from_ns = self.list.last().map_or(at, |last| {
                let whole = at.saturating_sub(last.to_ns) / self.length;
                last.to_ns.saturating_add(whole.saturating_mul(self.length))
            });
            let to_ns = from_ns.saturating_add(self.length);
            self.list.push(PathWindow { from_ns, to_ns, ..PathWindow::default() });
            self.untaken.push(Losses::default());
        }
        let last = self.list.len() - 1;
        &mut self.list[last]
    }

    /// Each two that follow each other become one.
    fn coarsen(&mut self) {
        self.length = self.length.saturating_mul(2);
        let pairs = self.list.chunks(2).map(|pair| pair.iter().copied().reduce(PathWindow::and));
        self.list = pairs.flatten().collect();
        let pairs = self.untaken.chunks(2).map(|pair| pair.iter().copied().reduce(Losses::and));
        self.untaken = pairs.flatten().collect();
    }

    /// Of the losses and occasions in the last window, those before the device had taken anything of the connection.
    pub(super) fn untaken(&mut self, losses: Losses) {
        if let Some(last) = self.untaken.last_mut() {
            *last = last.and(losses);
        }
    }

    /// All of them together.
    pub(super) fn sum(&self) -> PathWindow {
        self.of_path().reduce(PathWindow::and).unwrap_or_default()
    }

    pub(super) fn finish(self) -> Vec<PathWindow> {
        self.of_path().collect()
    }

    /// The windows, without what a full accept queue dropped: a path that loses what comes before the device has taken
    /// anything of a connection loses other segments as well.
    fn of_path(&self) -> impl Iterator<Item = PathWindow> {
        let sum = |of: &mut dyn Iterator<Item = Losses>| of.reduce(Losses::and).unwrap_or_default();
        let untaken = sum(&mut self.untaken.iter().copied());
        let rest = less(sum(&mut self.list.iter().map(|window| window.losses)), untaken);
        let rate = untaken.lost as f64 / untaken.segments.max(1) as f64;
        let drops = rest.lost == 0 && (-rate * rest.segments as f64).exp() < CHANCE;
        self.list.iter().zip(&self.untaken).map(move |(window, untaken)| {
            let losses = if drops { less(window.losses, *untaken) } else { window.losses };
            PathWindow { losses, ..*window }
        })
    }
}

const fn less(all: Losses, part: Losses) -> Losses {
    Losses {
        segments: all.segments.saturating_sub(part.segments),
        lost: all.lost.saturating_sub(part.lost),
        again: all.again.saturating_sub(part.again),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_a_long_capture_stay_few_and_lose_nothing() {
        let mut windows = Windows::default();
        for n in 0..100_000 {
            windows.at(n * 7 * SECOND).syns += 1;
        }
        assert_eq!(windows.sum().syns, 100_000);
        let list = windows.finish();
        assert!(list.len() <= MOST, "{}", list.len());
        assert!(list.windows(2).all(|pair| pair[0].to_ns <= pair[1].from_ns));
    }

    #[test]
    fn windows_of_a_short_capture_are_ten_seconds_long_and_begin_at_ten_seconds_after_the_first() {
        let mut windows = Windows::default();
        for at in [5, 8, 16, 47, 54] {
            windows.at(at * SECOND).syns += 1;
        }
        let list: Vec<_> =
            windows.finish().iter().map(|w| (w.from_ns / SECOND, w.to_ns / SECOND, w.syns)).collect();
        assert_eq!(list, [(5, 15, 2), (15, 25, 1), (45, 55, 2)]);
    }
}
