//! Two groups of reports side by side: the words that are said of them, and how often they are wrong.

use std::sync::LazyLock;

use crate::report_support as make;
use espstress_compare::{Comparison, Decision, FindingRow, Named, Options, Refused, Row, compare, page};
use espstress_diagnose::{Finding, FindingId, Severity};
use espstress_event::{Datagrams, Failure};
use espstress_report::{Capture, Report, Style, Workload};
use espstress_stats::{Phase, Recorder};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use serde_json::json;

const S: u64 = 1_000_000_000;

fn against(base: &[Report], new: &[Report]) -> Result<Comparison, Refused> {
    with(base, new, &Options::default())
}

fn with(base: &[Report], new: &[Report], options: &Options) -> Result<Comparison, Refused> {
    let names: Vec<String> = (1..=base.len().max(new.len())).map(|n| format!("{n}.json")).collect();
    let named =
        |group: &[Report]| -> Vec<(String, Report)> { names.iter().cloned().zip(group.to_vec()).collect() };
    let (base, new) = (named(base), named(new));
    let group = |of: &'static str, group: &[(String, Report)]| -> Vec<(String, Report)> {
        group.iter().map(|(name, report)| (format!("{of}/{name}"), report.clone())).collect()
    };
    let (base, new) = (group("base", &base), group("new", &new));
    compare(&views(&base), &views(&new), options)
}

fn views(group: &[(String, Report)]) -> Vec<Named<'_>> {
    group.iter().map(|(name, report)| Named { name, report }).collect()
}

fn row<'a>(c: &'a Comparison, figure: &str) -> &'a Row {
    c.workloads[0].rows.iter().find(|r| r.figure == figure).unwrap_or_else(|| panic!("{figure}: {c:?}"))
}

fn found(c: &Comparison, id: FindingId) -> &FindingRow {
    c.findings.iter().find(|f| f.id == id).unwrap_or_else(|| panic!("{id:?}: {:?}", c.findings))
}

fn finding(id: FindingId, severity: Severity) -> Finding {
    let text = String::new;
    Finding { id, severity, statement: text(), evidence: Vec::new(), cause: text(), change: text() }
}

/// A device and a machine to test it on, from which runs are drawn.
#[derive(Clone, Copy)]
struct Bench {
    /// Median latency in nanoseconds on an idle machine.
    median_ns: f64,
    /// How far runs lie apart, as a standard deviation of the logarithm.
    scatter: f64,
    /// One run of so many meets a busy machine, on which all takes half as long again.
    busy_one_in: u64,
    /// Chance that an attempt fails.
    lost: f64,
    /// One run of so many meets a stall, in which all eight connections fail.
    stall_one_in: u64,
    attempts: u64,
}

impl Bench {
    /// As the twin behind a link with a delay: what the machine does hardly shows (of 90 runs under load one stalled).
    const TWIN: Self =
        Self { median_ns: 2e7, scatter: 0.01, busy_one_in: 30, lost: 0.0, stall_one_in: 60, attempts: 300 };
    /// As the twin without a delay on a machine that builds something else.
    const BUSY: Self = Self { scatter: 0.05, busy_one_in: 4, stall_one_in: 6, attempts: 120, ..Self::TWIN };

    fn run(&self, seed: u64) -> Report {
        static BARE: LazyLock<Report> = LazyLock::new(|| {
            let mut bare = make::clean();
            bare.workloads.clear();
            bare
        });
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut even = move || (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let one_in = |even: f64, n: u64| n > 0 && even * (n as f64) < 1.0;
        let normal = (0..12).map(|_| even()).sum::<f64>() - 6.0;
        let mut pace = (self.scatter * normal).exp();
        if one_in(even(), self.busy_one_in) {
            pace *= 1.5;
        }
        let mut w = Recorder::new(0, Phase::Total);
        for _ in 0..self.attempts {
            if even() < self.lost {
                w.attempt(0, S, Err(Failure::ConnectTimeout));
                continue;
            }
            w.attempt(0, S, Ok(()));
            let tail = if even() < 0.02 { 3.0 } else { 1.0 };
            w.latency(Phase::Total, (self.median_ns * pace * tail * (0.8 + 0.4 * even())) as u64);
        }
        if one_in(even(), self.stall_one_in) {
            (0..8).for_each(|_| w.attempt(0, S, Err(Failure::ReadTimeout)));
        }
        let mut r = BARE.clone();
        let params = json!({ "connections": 8, "close": "fin" });
        let stats = w.finish((S as f64 * pace) as u64);
        r.workloads = vec![Workload::from_stats("head", "head", params, &stats)];
        r.seed = seed;
        r
    }

    fn runs(&self, first_seed: u64, n: u64) -> Vec<Report> {
        (first_seed..first_seed + n).map(|seed| self.run(seed)).collect()
    }
}

/// How often each word is said of `pairs` pairs of groups.
fn words(base: Bench, new: Bench, runs: u64, pairs: u64) -> [usize; 4] {
    let mut said = [0; 4];
    for pair in 0..pairs {
        let seed = 1_000_000 + 1_000 * pair;
        let c = against(&base.runs(seed, runs), &new.runs(seed + 500, runs)).unwrap();
        said[c.decision as usize] += 1;
    }
    said
}

#[track_caller]
fn cries_no_wolf(runs: u64, pairs: u64) {
    let [worse, better, ..] = words(Bench::BUSY, Bench::BUSY, runs, pairs);
    // The promise of 2 % for both words is 4 of 200; twice that would be chance once in 25 such tests.
    assert!(
        worse <= pairs as usize / 40 && worse + better <= pairs as usize / 25,
        "{worse}, {better} of {pairs}"
    );
}

#[test]
fn of_two_hundred_unchanged_pairs_of_three_runs_five_at_most_are_called_worse() {
    cries_no_wolf(3, 200);
}

#[test]
fn of_two_hundred_unchanged_pairs_of_five_runs_five_at_most_are_called_worse() {
    cries_no_wolf(5, 200);
}

#[test]
fn of_forty_unchanged_pairs_of_eight_runs_one_at_most_is_called_worse() {
    cries_no_wolf(8, 40);
}

#[test]
fn a_median_ten_percent_slower_is_found_nineteen_times_of_twenty() {
    let slow = Bench { median_ns: Bench::TWIN.median_ns * 1.1, ..Bench::TWIN };
    let [worse, ..] = words(Bench::TWIN, slow, 8, 40);
    assert!(worse >= 38, "{worse} of 40");
}

#[test]
fn one_lost_connection_in_a_hundred_is_found_nineteen_times_of_twenty() {
    let losing = Bench { lost: 0.01, ..Bench::TWIN };
    let [worse, ..] = words(Bench::TWIN, losing, 8, 40);
    assert!(worse >= 38, "{worse} of 40");
}

#[test]
fn calm_runs_that_are_the_same_are_called_so() {
    let calm = Bench { busy_one_in: 0, stall_one_in: 0, ..Bench::TWIN };
    let [worse, better, same, cant_tell] = words(calm, calm, 6, 40);
    assert!(same >= 38, "{worse} worse, {better} better, {same} same, {cant_tell} can't tell");
}

#[test]
fn same_is_said_only_of_what_a_difference_of_the_tolerance_would_have_shown_in() {
    let mut not_same = 0;
    for seed in 0..20 {
        // On a machine as restless as this nothing can be said of ten percent.
        let restless = Bench { scatter: 0.2, ..Bench::TWIN };
        let c = against(&restless.runs(seed * 100, 5), &restless.runs(seed * 100 + 50, 5)).unwrap();
        for r in c.workloads[0].rows.iter().filter(|r| r.figure.starts_with("latency")) {
            let (low, high) = (r.low.unwrap(), r.high.unwrap());
            let within = low >= 1.0 / 1.1 && high <= 1.1;
            assert_eq!(r.decision == Decision::Same, within, "{r:?}");
            assert!(!within || r.smallest_visible.unwrap() < 0.21, "{r:?}");
            not_same += usize::from(!within);
        }
        assert_ne!(c.decision, Decision::Same);
    }
    assert!(not_same > 60, "{not_same} of 80");
}

#[test]
fn nothing_is_said_of_the_latencies_of_a_single_pair_however_far_apart() {
    let slow = Bench { median_ns: 2e8, ..Bench::TWIN };
    let c = against(&[Bench::TWIN.run(1)], &[slow.run(2)]).unwrap();
    assert_eq!(row(&c, "latency.total.p50").decision, Decision::CantTell);
    assert_eq!(c.decision, Decision::CantTell);
    assert_eq!(c.decision.exit().code(), 4);
    assert!(row(&c, "latency.total.p50").reason.as_deref().unwrap().contains("repeat"), "{c:?}");
}

#[test]
fn a_single_pair_shows_failures_that_are_not_one_burst() {
    let base = make::head(2_000, 300_000, &[]);
    let of = |w: Workload| {
        let mut r = make::clean();
        r.workloads = vec![w];
        r
    };
    let burst = of(make::head(2_000, 300_000, &[(Failure::ReadReset, 8)]));
    let many = of(make::head(2_000, 300_000, &[(Failure::ReadReset, 100)]));
    let c = against(&[of(base.clone())], &[burst]).unwrap();
    assert_eq!(row(&c, "failures.read_reset").decision, Decision::CantTell, "{c:?}");
    let c = against(&[of(base)], &[many]).unwrap();
    assert_eq!(row(&c, "failures.read_reset").decision, Decision::Worse);
    assert_eq!((c.decision, c.decision.exit().code()), (Decision::Worse, 1));
}

#[test]
fn a_stall_of_one_run_is_no_change() {
    let calm = Bench { busy_one_in: 0, stall_one_in: 0, ..Bench::TWIN };
    let stalled = Bench { stall_one_in: 1, ..calm };
    let mut new = calm.runs(100, 7);
    // Eight failures in 3,200 attempts against none in as many: by themselves they would be beyond chance.
    new.push(stalled.run(300));
    let c = against(&calm.runs(200, 8), &new).unwrap();
    assert_ne!(row(&c, "failures.read_timeout").decision, Decision::Worse);
    assert_ne!(c.decision, Decision::Worse);
}

#[test]
fn a_regression_fails_only_beyond_the_limit_and_with_confidence() {
    let calm = Bench { busy_one_in: 0, stall_one_in: 0, ..Bench::TWIN };
    let slower = |by: f64| Bench { median_ns: calm.median_ns * by, ..calm };
    let limit = Options { fail_on_regression: Some(0.1), ..Options::default() };
    let said = |by: f64| {
        let c = with(&calm.runs(1, 8), &slower(by).runs(50, 8), &limit).unwrap();
        (c.decision, row(&c, "latency.total.p50").decision)
    };
    assert_eq!(said(1.0), (Decision::Same, Decision::Same));
    assert_eq!(said(1.03), (Decision::Same, Decision::Same));
    assert_eq!(said(1.1), (Decision::CantTell, Decision::CantTell));
    assert_eq!(said(1.3), (Decision::Worse, Decision::Worse));
    assert_eq!(said(0.7), (Decision::Better, Decision::Better));
}

#[test]
fn a_faster_device_is_better() {
    let calm = Bench { busy_one_in: 0, stall_one_in: 0, ..Bench::TWIN };
    let fast = Bench { median_ns: calm.median_ns / 2.0, ..calm };
    let c = against(&calm.runs(1, 5), &fast.runs(50, 5)).unwrap();
    assert_eq!((c.decision, c.decision.exit().code()), (Decision::Better, 0));
    let ratio = row(&c, "latency.total.p50").ratio.unwrap();
    assert!((0.48..0.52).contains(&ratio), "{ratio}");
}

/// A step of an attempt in which runs of the two sides differ.
fn with_a_step(runs: Vec<Report>, phase: Phase, ns: &[u64]) -> Vec<Report> {
    let with = |(run, mut r): (usize, Report)| {
        let mut w = Recorder::new(0, phase);
        for i in 0..300 {
            w.attempt(0, S, Ok(()));
            let step = ns[run % ns.len()];
            // Two attempts in a hundred find the processor taken.
            w.latency(phase, if i % 50 == 7 { 5 * step } else { step + i % 7 });
        }
        let stats = w.finish(S);
        let step = Workload::from_stats("head", "head", json!({}), &stats);
        r.workloads[0].latency.extend(step.latency);
        r
    };
    runs.into_iter().enumerate().map(with).collect()
}

#[test]
fn a_step_that_takes_longer_by_what_scheduling_makes_leaves_a_faster_device_better() {
    let calm = Bench { busy_one_in: 0, stall_one_in: 0, ..Bench::TWIN };
    let fast = Bench { median_ns: calm.median_ns / 2.0, ..calm };
    let base = with_a_step(calm.runs(1, 8), Phase::Close, &[35_000, 38_000, 41_000]);
    let new = with_a_step(fast.runs(50, 8), Phase::Close, &[119_000, 125_000, 131_000]);
    let c = against(&base, &new).unwrap();
    assert_eq!(c.decision, Decision::Better, "{c:?}");
    for stat in ["p50", "p90", "p99", "geometric_mean"] {
        let row = row(&c, &format!("latency.close.{stat}"));
        assert_eq!(row.decision, Decision::CantTell, "{row:?}");
        assert!(row.reason.as_deref().unwrap().contains("scheduling"), "{row:?}");
    }
    // Nor is the other way round an improvement that a step shows.
    assert_eq!(row(&against(&new, &base).unwrap(), "latency.close.p50").decision, Decision::CantTell);
}

#[test]
fn a_halved_throughput_is_worse_also_where_an_attempt_takes_less_than_scheduling_makes() {
    // As on a machine with other work: the rate counts each of its stalls, and the median doesn't.
    let runs = |us: f64, seed| {
        let mut runs =
            Bench { busy_one_in: 0, stall_one_in: 0, median_ns: us * 1e3, ..Bench::TWIN }.runs(seed, 8);
        let rates = runs.iter_mut().map(|r| &mut r.workloads[0].attempts_per_s);
        rates
            .flatten()
            .zip([1.0, 0.4, 0.9, 0.2, 0.6, 0.3, 0.8, 0.5])
            .for_each(|(rate, stalls)| *rate *= stalls);
        runs
    };
    let c = against(&runs(60.0, 1), &runs(120.0, 50)).unwrap();
    let median = row(&c, "latency.total.p50");
    assert_eq!((c.decision, median.decision), (Decision::Worse, Decision::Worse), "{c:?}");
    assert_eq!(row(&c, "latency.total.p90").decision, Decision::CantTell);
    // What this machine can make of it is none of the device's, however clear.
    let c = against(&runs(60.0, 1), &runs(72.0, 50)).unwrap();
    assert_eq!(row(&c, "latency.total.p50").decision, Decision::CantTell, "{c:?}");
    // An open loop sleeps between its attempts.
    let open = |us: f64, seed| {
        let mut runs = runs(us, seed);
        let latencies = runs.iter_mut().flat_map(|r| r.workloads[0].latency.values_mut());
        latencies.for_each(|l| l.uncorrected = Some(Box::new(l.clone())));
        runs
    };
    let c = against(&open(60.0, 1), &open(120.0, 50)).unwrap();
    assert_eq!(row(&c, "latency.total.p50").decision, Decision::CantTell, "{c:?}");
}

#[test]
fn a_step_that_takes_milliseconds_longer_is_worse() {
    let calm = Bench { busy_one_in: 0, stall_one_in: 0, ..Bench::TWIN };
    let base = with_a_step(calm.runs(1, 5), Phase::Close, &[35_000, 38_000, 41_000]);
    let new = with_a_step(calm.runs(50, 5), Phase::Close, &[3_000_000, 3_100_000, 3_200_000]);
    let c = against(&base, &new).unwrap();
    assert_eq!((c.decision, row(&c, "latency.close.p50").decision), (Decision::Worse, Decision::Worse));
}

#[test]
fn two_runs_on_each_side_are_not_called_one() {
    let c = against(&Bench::TWIN.runs(1, 2), &Bench::TWIN.runs(50, 2)).unwrap();
    let reason = row(&c, "latency.total.p50").reason.clone().unwrap();
    assert!(reason.starts_with("2 base runs and 2 new runs don't show"), "{reason}");
}

#[test]
fn the_hosts_own_failures_are_no_regression() {
    let mut new = Bench::TWIN.runs(50, 5);
    for r in &mut new {
        r.workloads[0].attempts += 300;
        r.workloads[0].failures.0.insert(Failure::HostOutOfPorts, 300);
    }
    let c = against(&Bench::TWIN.runs(1, 5), &new).unwrap();
    assert!(c.workloads[0].rows.iter().all(|r| !r.figure.contains("host_")), "{c:?}");
    assert_ne!(row(&c, "success_rate").decision, Decision::Worse);
}

#[test]
fn anomalies_are_judged_only_where_both_sides_looked() {
    let mut base = make::clean();
    base.workloads = make::broken().workloads;
    let c = against(&[base.clone()], &[make::broken()]).unwrap();
    assert_eq!(row(&c, "anomalies.abortive_close").decision, Decision::Worse);
    base.capture = Capture::denied("no right");
    let c = against(&[base], &[make::broken()]).unwrap();
    assert_eq!(row(&c, "anomalies.abortive_close").decision, Decision::CantTell);
    assert!(row(&c, "anomalies.abortive_close").reason.as_deref().unwrap().contains("looked at"));
}

#[test]
fn a_status_code_that_comes_more_often_is_worse_and_reports_without_codes_are_not_judged() {
    let answered = |codes: &[(&str, u64)], first_seed: u64| {
        let mut runs = Bench::TWIN.runs(first_seed, 5);
        for r in &mut runs {
            r.workloads[0].responses = codes.iter().map(|(code, n)| ((*code).to_owned(), *n)).collect();
        }
        runs
    };
    let (good, none) = (answered(&[("200", 300)], 1), answered(&[], 1));
    let unavailable = answered(&[("200", 297), ("503", 3)], 50);
    let c = against(&good, &unavailable).unwrap();
    for figure in ["responses.200", "responses.503"] {
        assert_eq!(row(&c, figure).decision, Decision::Worse, "{figure}");
    }
    assert_eq!(row(&c, "responses.200").new, Some(0.99));
    assert_eq!(c.decision, Decision::Worse);
    let back = against(&unavailable, &good).unwrap();
    assert_eq!(row(&back, "responses.503").decision, Decision::Better);
    let c = against(&none, &unavailable).unwrap();
    assert_eq!(row(&c, "responses.503").decision, Decision::CantTell);
    assert_ne!(c.decision, Decision::Worse);
}

#[test]
fn an_error_found_in_most_new_runs_alone_is_worse_and_in_one_of_them_cant_be_told() {
    let (base, mut new) = (Bench::TWIN.runs(1, 5), Bench::TWIN.runs(50, 5));
    new[0].findings.push(finding(FindingId::HeapLeak, Severity::Error));
    let c = against(&base, &new).unwrap();
    let leak = found(&c, FindingId::HeapLeak);
    assert_eq!((leak.new, leak.new_of, leak.decision), (1, 5, Decision::CantTell));
    assert_eq!(c.decision, Decision::CantTell);
    for r in &mut new[1..3] {
        r.findings.push(finding(FindingId::HeapLeak, Severity::Error));
    }
    assert_eq!(against(&base, &new).unwrap().decision, Decision::Worse);
    let back = against(&new, &base).unwrap();
    assert_eq!(found(&back, FindingId::HeapLeak).decision, Decision::Better);
    // One pair: what it has and the base has not is news.
    let c = against(&base[..1], &new[..1]).unwrap();
    assert_eq!(c.decision, Decision::Worse);
}

#[test]
fn a_warning_is_told_and_decides_nothing() {
    let (base, mut new) = (Bench::TWIN.runs(1, 5), Bench::TWIN.runs(50, 5));
    for r in &mut new {
        r.findings.push(finding(FindingId::LossyLink, Severity::Warning));
    }
    let c = against(&base, &new).unwrap();
    assert_eq!(found(&c, FindingId::LossyLink).decision, Decision::Worse);
    assert_ne!(c.decision, Decision::Worse);
}

#[test]
fn latencies_of_a_host_that_limits_one_side_are_not_judged() {
    let mut slow = Bench { median_ns: 4e7, ..Bench::TWIN }.runs(50, 5);
    for r in &mut slow {
        r.findings.push(finding(FindingId::HostLimited, Severity::Warning));
    }
    let c = against(&Bench::TWIN.runs(1, 5), &slow).unwrap();
    let p50 = row(&c, "latency.total.p50");
    assert_eq!(p50.decision, Decision::CantTell);
    assert!(p50.reason.as_deref().unwrap().contains("host_limited"), "{p50:?}");
    assert_eq!(c.decision, Decision::CantTell);
}

#[test]
fn datagrams_lost_beside_a_host_that_stood_still_are_not_held_against_the_device() {
    let lossy = |bench: Bench, seed| {
        let mut runs = bench.runs(seed, 5);
        for w in runs.iter_mut().flat_map(|r| &mut r.workloads) {
            w.by_protocol.get_or_insert_default().udp = Some(Datagrams::default());
        }
        runs
    };
    let base = lossy(Bench::TWIN, 1);
    let mut new = lossy(Bench { lost: 0.02, ..Bench::TWIN }, 50);
    assert_eq!(row(&against(&base, &new).unwrap(), "success_rate").decision, Decision::Worse);
    new.iter_mut().for_each(|r| r.findings.push(finding(FindingId::HostLimited, Severity::Warning)));
    let c = against(&base, &new).unwrap();
    for row in c.workloads[0].rows.iter().filter(|r| r.figure.starts_with("failures.")) {
        assert_eq!(row.decision, Decision::CantTell, "{row:?}");
    }
    assert_eq!(row(&c, "success_rate").decision, Decision::CantTell);
    assert!(row(&c, "success_rate").reason.as_deref().unwrap().contains("host_limited"));
    assert_eq!(c.decision, Decision::CantTell);
}

#[test]
fn no_timing_is_judged_on_the_few_runs_that_the_host_did_not_limit() {
    let calm = Bench { busy_one_in: 0, stall_one_in: 0, ..Bench::TWIN };
    let mut slow: Vec<Report> = Bench { median_ns: 4e7, ..calm }.runs(50, 5);
    for r in &mut slow {
        // A closed loop is slower by as much.
        r.workloads[0].attempts_per_s = r.workloads[0].attempts_per_s.map(|rate| rate / 2.0);
        // After all of the base: what limited this machine then is no scatter that both sides have.
        r.started_at = "2099-01-01T10:00:00.000Z".into();
    }
    for r in &mut slow[..3] {
        r.findings.push(finding(FindingId::HostLimited, Severity::Warning));
    }
    let c = against(&calm.runs(1, 5), &slow).unwrap();
    for figure in ["latency.total.p50", "rate"] {
        let row = row(&c, figure);
        assert_eq!(row.decision, Decision::CantTell, "{row:?}");
        assert!(row.reason.as_deref().unwrap().contains("host_limited"), "{row:?}");
    }
    assert_eq!(c.decision, Decision::CantTell);
    // One of five is left out, and the others tell.
    slow[..2].iter_mut().for_each(|r| drop(r.findings.pop()));
    assert_eq!(row(&against(&calm.runs(1, 5), &slow).unwrap(), "rate").decision, Decision::Worse);
}

#[test]
fn a_host_that_limits_both_sides_alike_is_scatter_between_runs_if_they_ran_in_turns() {
    let limited = |mut runs: Vec<Report>, minute: usize| {
        for (i, r) in runs.iter_mut().enumerate() {
            r.started_at = format!("2026-01-01T10:{:02}:00.000Z", minute + 2 * i);
            if i % 2 == 0 {
                r.findings.push(finding(FindingId::HostLimited, Severity::Warning));
            }
        }
        runs
    };
    let calm = Bench { busy_one_in: 0, stall_one_in: 0, ..Bench::TWIN };
    let base = limited(calm.runs(1, 8), 0);
    let c = against(&base, &limited(calm.runs(50, 8), 1)).unwrap();
    assert_eq!(row(&c, "latency.total.p50").decision, Decision::Same);
    assert!(c.notes.iter().any(|n| n.contains("4 of 8 base runs limited") && n.contains("kept")), "{c:?}");
    let c = against(&base, &limited(calm.runs(50, 8), 30)).unwrap();
    assert!(c.notes.iter().any(|n| n.contains("left out")), "{c:?}");
}

#[test]
fn other_work_is_refused_with_all_that_differs() {
    let one = |w: Workload| {
        let mut r = make::clean();
        r.workloads = vec![w];
        r
    };
    let base = one(make::head(100, 300_000, &[]));
    let mut other = base.clone();
    other.target.kind = espstress_report::TargetKind::Twin;
    other.workloads[0].params = json!({ "connections": 16, "count": 9, "close": "fin", "rate_per_s": 10 });
    let e = against(std::slice::from_ref(&base), &[other]).unwrap_err().to_string();
    for word in [
        "base/1.json",
        "new/1.json",
        "target kind sim and twin",
        "connections 4 and 16",
        "rate_per_s none and 10",
    ] {
        assert!(e.contains(word), "{word}: {e}");
    }
    assert!(!e.contains("count 2000"), "how many may differ: {e}");
    let e = against(&[base], &[make::clean()]).unwrap_err().to_string();
    assert!(e.contains("workload rw only in new/1.json"), "{e}");
}

#[test]
fn the_same_run_twice_is_no_repeat() {
    let run = Bench::TWIN.run(1);
    let e = against(&[run.clone(), run.clone()], std::slice::from_ref(&run)).unwrap_err().to_string();
    assert!(e.contains("base/1.json and base/2.json are reports of the same run"), "{e}");
    assert!(matches!(against(&[], &[run]), Err(Refused::NoReport)));
}

#[test]
fn groups_that_ran_one_after_the_other_are_told_so() {
    let at = |mut runs: Vec<Report>, hour: usize, step: usize| {
        for (i, r) in runs.iter_mut().enumerate() {
            r.started_at = format!("2026-01-01T{:02}:{:02}:00.000Z", hour, i * step);
        }
        runs
    };
    let told = |c: &Comparison| c.notes.iter().any(|n| n.contains("interleave"));
    let base = at(Bench::TWIN.runs(1, 3), 10, 2);
    assert!(told(&against(&base, &at(Bench::TWIN.runs(50, 3), 11, 2)).unwrap()));
    assert!(!told(&against(&base, &at(Bench::TWIN.runs(50, 3), 10, 1)).unwrap()));
}

#[test]
fn the_page_shows_verdict_cause_and_figures() {
    let calm = Bench { busy_one_in: 0, stall_one_in: 0, ..Bench::TWIN };
    let mut slow = Bench { median_ns: calm.median_ns * 1.2, lost: 0.01, ..calm }.runs(50, 5);
    for r in &mut slow {
        r.target.options.insert("CONFIG_LWIP_TCP_MSL".into(), "6000".into());
        r.findings.push(finding(FindingId::TimewaitPortReuse, Severity::Error));
    }
    let c = against(&calm.runs(1, 5), &slow).unwrap();
    insta::assert_snapshot!(page(&c, &Style::default()));
    let json: serde_json::Value = serde_json::from_str(&c.to_json()).unwrap();
    assert_eq!(json["decision"], "worse");
    let p50 = &json["workloads"][0]["rows"][1];
    assert_eq!(p50["figure"], "latency.total.p50");
    for field in ["base", "new", "ratio", "low", "high", "p", "smallest_visible"] {
        assert!(p50[field].is_number(), "{field}: {p50}");
    }
}
