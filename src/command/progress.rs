//! What a person sees while a run goes on: bars on a terminal, a line every few seconds elsewhere, nothing when
//! asked to be quiet. On standard error, so that standard output stays what was asked for.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::event::{Event, EventSink, Expected, PhaseProgress};

/// Seconds between two lines where there is no terminal.
const LINE_EVERY_NS: u64 = 5_000_000_000;

/// How much to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verbosity {
    /// Nothing.
    Quiet,
    /// As the place allows.
    Usual,
}

/// Shows a run's events.
pub(super) fn display(verbosity: Verbosity) -> Box<dyn EventSink> {
    match verbosity {
        Verbosity::Quiet => Box::new(|_: &Event| {}),
        Verbosity::Usual if std::io::stderr().is_terminal() => Box::new(Bars::default()),
        Verbosity::Usual => Box::new(Lines::default()),
    }
}

/// Bars, one a running workload.
#[derive(Default)]
struct Bars {
    all: MultiProgress,
    bars: BTreeMap<String, (ProgressBar, Expected)>,
}

impl Bars {
    fn add(&mut self, workload: &str, expected: Expected) {
        let bar = match expected {
            Expected::Count(n) => ProgressBar::new(n),
            Expected::Duration(ns) => ProgressBar::new(ns / 1_000_000),
            Expected::Open => ProgressBar::no_length(),
        };
        let template = match expected {
            Expected::Open => "{prefix:>12} {spinner} {elapsed_precise} {msg}",
            _ => "{prefix:>12} [{bar:28}] {elapsed_precise} {msg}",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = self.all.add(bar.with_style(style.progress_chars("=> ")));
        bar.set_prefix(workload.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        self.bars.insert(workload.to_owned(), (bar, expected));
    }

    fn update(&self, workload: &str, progress: &PhaseProgress) {
        let Some((bar, expected)) = self.bars.get(workload) else { return };
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
            Event::RunStarted { scenario, target, seed } => {
                let _ = self.all.println(started(scenario, target, *seed));
            }
            Event::Notice { text } => {
                let _ = self.all.println(format!("note: {text}"));
            }
            Event::PhaseStarted { workload, expected } => self.add(workload, *expected),
            Event::Interval { workload, progress, .. } => self.update(workload, progress),
            Event::PhaseEnded { workload, progress, .. } => {
                self.update(workload, progress);
                if let Some((bar, _)) = self.bars.remove(workload) {
                    bar.finish_and_clear();
                    self.all.remove(&bar);
                    let _ = self.all.println(format!("{workload:>12} {}", words(progress)));
                }
            }
            Event::Watching { at_most_ns } => {
                let seconds = *at_most_ns as f64 / 1e9;
                let _ = self.all.println(format!("listening on for up to {seconds:.0} s"));
            }
            Event::RunEnded { .. } => {
                let _ = self.all.clear();
            }
            _ => {}
        }
    }
}

/// A line every few seconds.
#[derive(Default)]
struct Lines {
    last_ns: BTreeMap<String, u64>,
}

impl EventSink for Lines {
    fn event(&mut self, event: &Event) {
        match event {
            Event::RunStarted { scenario, target, seed } => say(&started(scenario, target, *seed)),
            Event::Notice { text } => say(&format!("note: {text}")),
            Event::Interval { workload, at_ns, progress } => {
                let last = self.last_ns.entry(workload.clone()).or_insert(*at_ns);
                if at_ns.saturating_sub(*last) >= LINE_EVERY_NS {
                    *last = *at_ns;
                    say(&format!("{:7.0} s  {workload}: {}", *at_ns as f64 / 1e9, words(progress)));
                }
            }
            Event::PhaseEnded { workload, progress, .. } => say(&format!("{workload}: {}", words(progress))),
            Event::Watching { at_most_ns } => {
                say(&format!("listening on for up to {} s", at_most_ns / 1_000_000_000))
            }
            _ => {}
        }
    }
}

/// Standard error that is closed is no reason to stop measuring.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn started(scenario: &str, target: &str, seed: u64) -> String {
    format!("{scenario} against {target}, seed {seed}")
}

fn words(progress: &PhaseProgress) -> String {
    let mut words = format!("{} done", progress.attempts);
    let failed = progress.attempts - progress.succeeded;
    if failed > 0 {
        let worst = progress.failures.iter().max_by_key(|(_, n)| *n);
        let name = worst.map_or("", |(failure, _)| failure.name());
        words.push_str(&format!(", {failed} failed (most: {name})"));
    }
    if let Some(p99) = progress.p99_ns {
        words.push_str(&format!(", p99 {:.2} ms", p99 as f64 / 1e6));
    }
    if progress.open > 0 {
        words.push_str(&format!(", {} open", progress.open));
    }
    words
}
