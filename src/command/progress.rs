//! What a person sees while a run goes on: bars on a terminal, lines that become rarer elsewhere, nothing when
//! asked to be quiet. On standard error, so that standard output stays what was asked for.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::live::View;
use super::output::{self, is_dumb};
use espstress_event::{Event, EventSink, Expected, PhaseProgress};
use espstress_report::{Unit, human_figure, in_all, things};
use espstress_stats::Latency;

/// Nanoseconds between two lines about a workload where there is no terminal, by how long it has been running: so
/// that a run of a minute shows that it goes on and a run of two weeks leaves a log that can be read.
pub(super) const fn line_every_ns(running_ns: u64) -> u64 {
    const SECOND: u64 = 1_000_000_000;
    match running_ns / SECOND {
        0..60 => 5 * SECOND,
        60..600 => 30 * SECOND,
        // Build servers take ten minutes without a word for a job that hangs.
        _ => 300 * SECOND,
    }
}

/// How much to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verbosity {
    /// Nothing.
    Quiet,
    /// As the place allows.
    Usual,
    /// The whole terminal, where there is one.
    Live,
}

/// Shows a run's events.
pub(super) fn display(verbosity: Verbosity) -> Box<dyn EventSink> {
    let terminal = std::io::stderr().is_terminal() && !is_dumb();
    match verbosity {
        Verbosity::Quiet => Box::new(|_: &Event| {}),
        Verbosity::Live if terminal && has_size() => Box::new(View::new(output::look())),
        Verbosity::Usual | Verbosity::Live if terminal => Box::new(Bars::default()),
        Verbosity::Usual | Verbosity::Live => Box::new(Lines::default()),
    }
}

/// A terminal that tells no size, as a serial console's, cannot be filled.
fn has_size() -> bool {
    console::Term::stderr().size_checked().is_some_and(|(rows, columns)| rows > 0 && columns > 0)
}

/// Bars, one a running workload.
#[derive(Default)]
struct Bars {
    all: MultiProgress,
    bars: BTreeMap<String, (ProgressBar, Expected, Latency)>,
}

/// Columns below which a bar is short, so that there is room for words.
const NARROW: u16 = 90;

impl Bars {
    fn add(&mut self, workload: &str, expected: Expected) {
        let bar = match expected {
            Expected::Count(n) => ProgressBar::new(n),
            Expected::Duration(ns) => ProgressBar::new(ns / 1_000_000),
            Expected::Open => ProgressBar::no_length(),
        };
        let narrow = console::Term::stderr().size_checked().is_some_and(|(_, columns)| columns < NARROW);
        let template = match expected {
            Expected::Open => "{prefix:>12} {spinner} {elapsed_precise} {wide_msg}",
            _ if narrow => "{prefix:>12} [{bar:8}] {elapsed_precise} {wide_msg}",
            _ => "{prefix:>12} [{bar:28}] {elapsed_precise} {wide_msg}",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = self.all.add(bar.with_style(style.progress_chars("=> ")));
        bar.set_prefix(workload.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        self.bars.insert(workload.to_owned(), (bar, expected, Latency::default()));
    }

    fn update(&mut self, workload: &str, progress: &PhaseProgress) {
        let Some((bar, expected, latency)) = self.bars.get_mut(workload) else { return };
        take(latency, progress);
        match expected {
            Expected::Count(_) => bar.set_position(progress.attempts),
            Expected::Duration(_) | Expected::Open => {
                bar.set_position(u64::try_from(bar.elapsed().as_millis()).unwrap_or(u64::MAX));
            }
        }
        bar.set_message(words(progress));
    }
}

impl EventSink for Bars {
    fn event(&mut self, event: &Event) {
        match event {
            Event::RunStarted { scenario, target, seed, .. } => {
                let _ = self.all.println(started(scenario, target, *seed));
            }
            Event::Notice { text } => {
                let _ = self.all.println(format!("note: {text}"));
            }
            Event::PhaseStarted { workload, expected, .. } => self.add(workload, *expected),
            Event::Interval { workload, progress, .. } => self.update(workload, progress),
            Event::PhaseEnded { workload, progress, .. } => {
                self.update(workload, progress);
                if let Some((bar, _, latency)) = self.bars.remove(workload) {
                    bar.finish_and_clear();
                    self.all.remove(&bar);
                    let _ = self.all.println(format!("{workload:>12} {}", in_all(progress, &latency)));
                }
            }
            Event::Watching { at_most_ns } => {
                let seconds = *at_most_ns as f64 / 1e9;
                let _ = self.all.println(format!("watching for late packets, for up to {seconds:.0} s"));
            }
            Event::RunEnded { .. } => {
                let _ = self.all.clear();
            }
            _ => {}
        }
    }
}

/// A line every few seconds, then every few minutes.
#[derive(Default)]
struct Lines {
    workloads: BTreeMap<String, Spoken>,
    latencies: BTreeMap<String, Latency>,
}

/// When there was something to say of a workload, nanoseconds since the start of the run.
#[derive(Clone, Copy)]
struct Spoken {
    first_ns: u64,
    last_ns: u64,
}

impl Lines {
    /// Whether a line about `workload` is due at `at_ns`; if so it counts as said.
    fn is_due(&mut self, workload: &str, at_ns: u64) -> bool {
        let Some(spoken) = self.workloads.get_mut(workload) else {
            self.workloads.insert(workload.to_owned(), Spoken { first_ns: at_ns, last_ns: at_ns });
            return false;
        };
        let due =
            at_ns.saturating_sub(spoken.last_ns) >= line_every_ns(at_ns.saturating_sub(spoken.first_ns));
        if due {
            spoken.last_ns = at_ns;
        }
        due
    }
}

impl EventSink for Lines {
    fn event(&mut self, event: &Event) {
        if let Event::Interval { workload, progress, .. } | Event::PhaseEnded { workload, progress, .. } =
            event
        {
            take(self.latencies.entry(workload.clone()).or_default(), progress);
        }
        match event {
            Event::RunStarted { scenario, target, seed, .. } => say(&started(scenario, target, *seed)),
            Event::Notice { text } => say(&format!("note: {text}")),
            Event::Interval { workload, at_ns, progress } if self.is_due(workload, *at_ns) => {
                say(&format!("{:7.0} s  {workload}: {}", *at_ns as f64 / 1e9, words(progress)));
            }
            Event::PhaseEnded { workload, progress, .. } => {
                let latency = self.latencies.remove(workload).unwrap_or_default();
                say(&format!("{workload}: {}", in_all(progress, &latency)));
            }
            Event::Watching { at_most_ns } => {
                say(&format!("watching for late packets, for up to {} s", at_most_ns / 1_000_000_000))
            }
            _ => {}
        }
    }
}

/// Standard error that is closed is no reason to stop measuring.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// What is run, on what.
pub(super) fn started(scenario: &str, target: &str, seed: u64) -> String {
    format!("{scenario} against {target}, seed {seed}")
}

/// What a workload has come to by now; the latency is that of the last second or so.
fn words(progress: &PhaseProgress) -> String {
    let mut words = things(progress.attempts, "attempt");
    let failed = progress.attempts - progress.succeeded;
    if failed > 0 {
        let worst = progress.failures.iter().max_by_key(|(_, n)| *n);
        let name = worst.map_or("", |(failure, _)| failure.name());
        words.push_str(&format!(", {failed} failed (most: {name})"));
    }
    if let Some(p99) = progress.p99_ns {
        words.push_str(&format!(", p99 now {}", human_figure(p99 as f64 / 1e3, Unit::Us)));
    }
    if progress.open > 0 {
        words.push_str(&format!(", {} open", progress.open));
    }
    words
}

/// Adds the latencies of an interval to those of the workload.
fn take(latency: &mut Latency, progress: &PhaseProgress) {
    progress.latencies.iter().for_each(|(ns, count)| latency.record_n(*ns, *count));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds at which a line is said in a workload that tells its progress once a second.
    fn lines(seconds: std::ops::RangeInclusive<u64>) -> Vec<u64> {
        let mut lines = Lines::default();
        seconds.filter(|s| lines.is_due("w", s * 1_000_000_000)).collect()
    }

    #[test]
    fn a_run_of_a_minute_has_a_line_every_five_seconds() {
        assert_eq!(lines(1..=50), [6, 11, 16, 21, 26, 31, 36, 41, 46]);
    }

    #[test]
    fn lines_become_rarer_as_a_run_goes_on() {
        let all = lines(0..=24 * 3_600);
        let between = |from: u64, to: u64| all.iter().filter(|s| (from + 1..=to).contains(*s)).count();
        assert_eq!(between(0, 60), 11, "every 5 s");
        assert_eq!(between(60, 600), 18, "every 30 s");
        assert_eq!(between(600, 24 * 3_600), 286, "every five minutes");
    }

    #[test]
    fn each_workload_has_lines_of_its_own() {
        let mut lines = Lines::default();
        let said = |lines: &mut Lines, workload, s: u64| lines.is_due(workload, s * 1_000_000_000);
        assert!(!said(&mut lines, "long", 0));
        assert!(said(&mut lines, "long", 7_000));
        assert!(!said(&mut lines, "short", 7_001), "it has just begun");
        assert!(said(&mut lines, "short", 7_006));
        assert!(!said(&mut lines, "long", 7_007));
    }
}
