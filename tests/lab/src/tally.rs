//! How often the right thing was said, and how sure that figure is.

use std::collections::BTreeMap;
use std::fmt::Write;

use espstress_diagnose::FindingId;

use crate::case::{Cell, Half, Verdict};

/// So many of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Of these...
    pub of: u64,
    /// ...so many.
    pub hits: u64,
}

impl Share {
    /// One more.
    pub fn add(&mut self, hit: bool) {
        self.of += 1;
        self.hits += u64::from(hit);
    }

    /// The interval that holds the true share with 95 % confidence (Wilson, 1927), in percent.
    #[must_use]
    pub fn interval(&self) -> Option<(f64, f64)> {
        /// The normal distribution's two-sided 95 %.
        const Z: f64 = 1.959_964;
        if self.of == 0 {
            return None;
        }
        let (n, p) = (self.of as f64, self.hits as f64 / self.of as f64);
        let middle = p + Z * Z / (2.0 * n);
        let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 100.0 / (1.0 + Z * Z / n);
        let low = if self.hits == 0 { 0.0 } else { (middle - half) * scale };
        let high = if self.hits == self.of { 100.0 } else { (middle + half) * scale };
        Some((low.max(0.0), high.min(100.0)))
    }

    /// For a table: the count, the percentage and its interval.
    #[must_use]
    pub fn text(&self) -> String {
        match self.interval() {
            None => "-".to_owned(),
            Some((low, high)) => {
                let percent = 100.0 * self.hits as f64 / self.of as f64;
                format!("{} of {}: {percent:.2} % ({low:.2} to {high:.2})", self.hits, self.of)
            }
        }
    }
}

/// One judged run.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Its cell.
    pub cell: Cell,
    /// Its seed.
    pub seed: u64,
    /// Which half it belongs to.
    pub half: Half,
    /// How right it was.
    pub verdict: Verdict,
}

/// The runs of a matrix.
#[derive(Clone, Debug, Default)]
pub struct Tally(pub Vec<Judged>);

impl Tally {
    fn share(&self, of: impl Fn(&Judged) -> bool, hit: impl Fn(&Judged) -> bool) -> Share {
        let mut share = Share::default();
        self.0.iter().filter(|run| of(run)).for_each(|run| share.add(hit(run)));
        share
    }

    /// Healthy devices that are called faulty.
    #[must_use]
    pub fn false_errors_of_healthy(&self, half: Option<Half>) -> Share {
        let of = |run: &Judged| healthy(run) && in_half(run, half);
        self.share(of, |run| !run.verdict.false_errors.is_empty())
    }

    /// Faults that showed themselves often enough and were not named.
    #[must_use]
    pub fn missed(&self, half: Option<Half>) -> Share {
        self.share(|run| judgeable(run) && in_half(run, half), |run| run.verdict.is_miss())
    }

    /// Runs with a fault that are also called something else, as an error.
    #[must_use]
    pub fn false_errors_beside_faults(&self, half: Option<Half>) -> Share {
        let of = |run: &Judged| !healthy(run) && in_half(run, half);
        self.share(of, |run| !run.verdict.false_errors.is_empty())
    }

    /// Runs in which anything at all was said that nothing in them accounts for.
    #[must_use]
    pub fn false_words(&self, half: Option<Half>) -> Share {
        self.share(|run| in_half(run, half), |run| !run.verdict.false_words.is_empty())
    }

    /// The targets that the held-out half misses, in words.
    #[must_use]
    pub fn broken_targets(&self) -> Vec<String> {
        let targets = [
            ("false errors on healthy devices", 0.2, self.false_errors_of_healthy(Some(Half::HeldOut))),
            ("faults missed that showed themselves", 1.0, self.missed(Some(Half::HeldOut))),
        ];
        let above = |(what, most, share): (&str, f64, Share)| {
            let percent = 100.0 * share.hits as f64 / share.of.max(1) as f64;
            (percent > most).then(|| format!("{what}: {}, more than {most} %", share.text()))
        };
        targets.into_iter().filter_map(above).collect()
    }

    /// The report as Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        let halves = [("training (even seeds)", Half::Training), ("held out (odd seeds)", Half::HeldOut)];
        line(&mut out, "| | target | training (even seeds) | held out (odd seeds) |");
        line(&mut out, "|---|---|---|---|");
        let mut row = |what: &str, target: &str, share: &dyn Fn(Half) -> Share| {
            let [training, held] = halves.map(|(_, half)| share(half).text());
            let _ = writeln!(out, "| {what} | {target} | {training} | {held} |");
        };
        row("healthy device, false error", "at most 0.2 %", &|h| self.false_errors_of_healthy(Some(h)));
        row("fault shown on ten connections, missed", "at most 1 %", &|h| self.missed(Some(h)));
        row("faulty device, false error beside it", "", &|h| self.false_errors_beside_faults(Some(h)));
        row("any run, any unfounded finding", "", &|h| self.false_words(Some(h)));
        let _ = writeln!(out, "\n{} runs; in brackets the 95 % confidence interval (Wilson).", self.0.len());
        self.by_device(&mut out);
        let onset = |run: &Judged| format!("{:?}", run.cell.onset).to_lowercase();
        let link = |run: &Judged| run.cell.link.to_owned();
        let load = |run: &Judged| run.cell.load.name.to_owned();
        let told = |run: &Judged| format!("{:?}", run.cell.tells).to_lowercase();
        let length = |run: &Judged| format!("{} s", run.cell.length_ns / 1_000_000_000);
        self.by(&mut out, "link", &link);
        self.by(&mut out, "onset", &onset);
        self.by(&mut out, "load", &load);
        self.by(&mut out, "length", &length);
        self.by(&mut out, "device tells", &told);
        out
    }

    /// What was said of what: the confusion matrix, of held-out runs in which the fault has shown itself.
    fn by_device(&self, out: &mut String) {
        let runs: Vec<&Judged> = self
            .0
            .iter()
            .filter(|run| run.half == Half::HeldOut && (healthy(run) || judgeable(run)))
            .collect();
        let said: Vec<FindingId> = FindingId::ALL
            .into_iter()
            .filter(|id| runs.iter().any(|run| run.verdict.said.contains(id)))
            .collect();
        line(out, "\n## What was said of what\n");
        line(
            out,
            "Held-out runs in which the fault has shown itself on ten connections; a run with two findings is in two \
             columns. What must be said is bold.\n",
        );
        let _ = write!(out, "| device | runs | nothing |");
        said.iter().for_each(|id| {
            let _ = write!(out, " {} |", id.name());
        });
        let _ = writeln!(out, "\n|---|---|---|{}", "---|".repeat(said.len()));
        for truth in &crate::case::TRUTHS {
            let of: Vec<&&Judged> = runs.iter().filter(|r| r.cell.truth.persona == truth.persona).collect();
            let silent = of.iter().filter(|run| run.verdict.said.is_empty()).count();
            let _ = write!(out, "| {} | {} | {silent} |", truth.persona, of.len());
            for id in &said {
                let n = of.iter().filter(|run| run.verdict.said.contains(id)).count();
                let bold = if truth.right == Some(*id) { "**" } else { "" };
                let _ = write!(out, " {bold}{n}{bold} |");
            }
            out.push('\n');
        }
    }

    fn by(&self, out: &mut String, what: &str, key: &dyn Fn(&Judged) -> String) {
        let mut groups: BTreeMap<String, Self> = BTreeMap::new();
        for run in self.0.iter().filter(|run| run.half == Half::HeldOut) {
            groups.entry(key(run)).or_default().0.push(run.clone());
        }
        let _ = writeln!(out, "\n## By {what}\n");
        let _ = writeln!(out, "| {what} | healthy, false error | missed | false error beside a fault |");
        line(out, "|---|---|---|---|");
        for (name, runs) in groups {
            let _ = writeln!(
                out,
                "| {name} | {} | {} | {} |",
                runs.false_errors_of_healthy(None).text(),
                runs.missed(None).text(),
                runs.false_errors_beside_faults(None).text()
            );
        }
    }

    /// What was misjudged, the most frequent kind first, each with a few seeds to repeat it by. Training half only:
    /// looking at the other one would use it up.
    #[must_use]
    pub fn misjudged(&self) -> String {
        let mut kinds: BTreeMap<(String, String), Vec<&Judged>> = BTreeMap::new();
        for run in self.0.iter().filter(|run| run.half == Half::Training) {
            let mut kind = |what: String| {
                kinds.entry((run.cell.truth.persona.to_owned(), what)).or_default().push(run);
            };
            if run.verdict.is_miss() {
                let right = run.cell.truth.right.map_or("", FindingId::name);
                let said: Vec<&str> = run.verdict.said.iter().map(|id| id.name()).collect();
                kind(format!(
                    "{right} not said; said: {}",
                    if said.is_empty() { "nothing".into() } else { said.join(", ") }
                ));
            }
            for id in &run.verdict.false_words {
                let error = if run.verdict.false_errors.contains(id) { "error" } else { "warning or info" };
                kind(format!("{} said ({error}), which is unfounded", id.name()));
            }
        }
        let mut kinds: Vec<_> = kinds.into_iter().collect();
        kinds.sort_by_key(|(_, runs)| std::cmp::Reverse(runs.len()));
        let mut out = String::new();
        for ((persona, what), runs) in kinds {
            let of = self.0.iter().filter(|r| r.half == Half::Training && r.cell.truth.persona == persona);
            let _ = writeln!(out, "\n## {persona}: {what}: {} of {} runs\n", runs.len(), of.count());
            let step = runs.len().div_ceil(6).max(1);
            for run in runs.iter().step_by(step) {
                let _ = writeln!(out, "- seed {}: {}; shown {} times", run.seed, run.cell, run.verdict.shown);
            }
        }
        out
    }
}

fn line(out: &mut String, text: &str) {
    let _ = writeln!(out, "{text}");
}

const fn healthy(run: &Judged) -> bool {
    run.cell.truth.right.is_none()
}

const fn judgeable(run: &Judged) -> bool {
    !healthy(run) && run.verdict.shown >= Verdict::ENOUGH
}

fn in_half(run: &Judged, half: Option<Half>) -> bool {
    half.is_none_or(|half| run.half == half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_wilsons() {
        // Newcombe, Statistics in Medicine 17 (1998), table I: 15 of 148.
        let (low, high) = Share { of: 148, hits: 15 }.interval().unwrap();
        assert!((low - 6.24).abs() < 0.01 && (high - 16.05).abs() < 0.01, "{low} to {high}");
        assert_eq!(Share { of: 0, hits: 0 }.interval(), None);
    }
}
