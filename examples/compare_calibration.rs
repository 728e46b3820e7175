//! How often `compare` is wrong, on real reports: resamples groups of runs from folders of repeats.
//!
//! ```text
//! cargo run --release --example compare_calibration -- [--runs N] [--pairs N] [--seed N] FOLDER
//! cargo run --release --example compare_calibration -- [--runs N] [--pairs N] [--seed N] --derived FOLDER
//! cargo run --release --example compare_calibration -- [--runs N] [--pairs N] [--seed N] FOLDER --new FOLDER
//! ```
//!
//! The first takes two groups of the same runs, which are unchanged: at most 2.5 % may be called worse. The second makes
//! the new group slower by 10 %, then lets one attempt in a hundred fail, and the third takes it from another folder,
//! of runs that are known to be worse: 95 % have to be called so. Exit status 1 when that does not hold.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use espstress_compare::{Decision, Named, Options, compare};
use espstress_event::Failure;
use espstress_report::{LatencyFigures, Report};
use espstress_stats::Latency;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

struct Asked {
    folder: String,
    new: Option<String>,
    derived: bool,
    runs: usize,
    pairs: usize,
    seed: u64,
}

fn asked() -> Option<Asked> {
    let mut asked = Asked { folder: String::new(), new: None, derived: false, runs: 5, pairs: 200, seed: 1 };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--runs" => asked.runs = words.next()?.parse().ok()?,
            "--pairs" => asked.pairs = words.next()?.parse().ok()?,
            "--seed" => asked.seed = words.next()?.parse().ok()?,
            "--new" => asked.new = Some(words.next()?),
            "--derived" => asked.derived = true,
            _ => asked.folder = word,
        }
    }
    (!asked.folder.is_empty()).then_some(asked)
}

fn main() -> ExitCode {
    let Some(asked) = asked() else {
        eprintln!(
            "usage: compare_calibration [--runs N] [--pairs N] [--seed N] [--derived] FOLDER [--new FOLDER]"
        );
        return ExitCode::from(2);
    };
    match calibrate(&asked) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn calibrate(asked: &Asked) -> Result<bool, String> {
    let base = reports(&asked.folder)?;
    let mut random = Xoshiro256PlusPlus::seed_from_u64(asked.seed);
    if let Some(folder) = &asked.new {
        let new = reports(folder)?;
        let said = pairs(asked, &mut random, &base, |_, random| drawn(&new, asked.runs, random))?;
        return Ok(shown("worse in truth", &said, true));
    }
    if asked.derived {
        let slower = pairs(asked, &mut random, &base, |rest, _| rest.iter().map(slower).collect())?;
        let losing = pairs(asked, &mut random, &base, |rest, random| {
            rest.iter().map(|r| losing(r, random)).collect()
        })?;
        return Ok(shown("slower by 10 %", &slower, true) & shown("one in a hundred lost", &losing, true));
    }
    let said = pairs(asked, &mut random, &base, |rest, _| rest.to_vec())?;
    Ok(shown("unchanged", &said, false))
}

fn reports(folder: &str) -> Result<Vec<Report>, String> {
    let entries = std::fs::read_dir(folder).map_err(|e| format!("{folder}: {e}"))?;
    let mut paths: Vec<_> = entries.flatten().map(|e| e.path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "json"));
    paths.sort();
    paths
        .iter()
        .map(|p: &std::path::PathBuf| espstress_report::read(Path::new(p)).map_err(|e| e.to_string()))
        .collect()
}

fn drawn(from: &[Report], n: usize, random: &mut Xoshiro256PlusPlus) -> Vec<Report> {
    let mut order: Vec<&Report> = from.iter().collect();
    for i in (1..order.len()).rev() {
        order.swap(i, (random.next_u64() % (i as u64 + 1)) as usize);
    }
    order.into_iter().take(n).cloned().collect()
}

/// How often each word is said; `new` makes the new group, from as many runs again that are not in the base.
fn pairs(
    asked: &Asked,
    random: &mut Xoshiro256PlusPlus,
    from: &[Report],
    new: impl Fn(&[Report], &mut Xoshiro256PlusPlus) -> Vec<Report>,
) -> Result<BTreeMap<&'static str, usize>, String> {
    if from.len() < 2 * asked.runs {
        return Err(format!("{}: {} reports, it takes {}", asked.folder, from.len(), 2 * asked.runs));
    }
    let mut said = BTreeMap::new();
    for _ in 0..asked.pairs {
        let both = drawn(from, 2 * asked.runs, random);
        let (base, rest) = both.split_at(asked.runs);
        let new = new(rest, random);
        let named = |group: &'static str, reports: &[Report]| -> Vec<(String, Report)> {
            reports.iter().map(|r| (group.to_owned(), r.clone())).collect()
        };
        let (base, new) = (named("base", base), named("new", &new));
        let comparison =
            compare(&views(&base), &views(&new), &Options::default()).map_err(|e| e.to_string())?;
        *said.entry(comparison.decision.words()).or_default() += 1;
    }
    Ok(said)
}

fn views(group: &[(String, Report)]) -> Vec<Named<'_>> {
    group.iter().map(|(name, report)| Named { name, report }).collect()
}

/// The same run with every latency a tenth longer.
fn slower(report: &Report) -> Report {
    let mut report = report.clone();
    for figures in report.workloads.iter_mut().flat_map(|w| w.latency.values_mut()) {
        let Some(h) = figures.histogram() else { continue };
        let mut longer = Latency::default();
        for v in h.iter_recorded() {
            (0..v.count_at_value()).for_each(|_| longer.record(v.value_iterated_to() * 11 / 10));
        }
        *figures = LatencyFigures {
            uncorrected: figures.uncorrected.take(),
            ..LatencyFigures::from_latency(&longer)
        };
    }
    report
}

/// The same run with each success lost with a probability of one in a hundred.
fn losing(report: &Report, random: &mut Xoshiro256PlusPlus) -> Report {
    let mut report = report.clone();
    for w in &mut report.workloads {
        let lost = (0..w.succeeded).filter(|_| random.next_u64().is_multiple_of(100)).count() as u64;
        w.succeeded -= lost;
        *w.failures.0.entry(Failure::ConnectTimeout).or_default() += lost;
    }
    report
}

fn shown(name: &str, said: &BTreeMap<&'static str, usize>, is_worse: bool) -> bool {
    let all: usize = said.values().sum();
    let worse = said.get(Decision::Worse.words()).copied().unwrap_or(0);
    // 19 of 20, and 5 of 200.
    let holds = if is_worse { worse * 20 >= all * 19 } else { worse * 40 <= all };
    let words: Vec<String> = said.iter().map(|(word, n)| format!("{n} {word}")).collect();
    println!("{} {name}: {} of {all} pairs", if holds { "-" } else { "BROKEN:" }, words.join(", "));
    holds
}
