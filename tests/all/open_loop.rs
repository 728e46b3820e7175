//! Latency in an open loop is taken from the intended start.

use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::common::{OK, request, run, server};
use espstress_stats::Phase;

/// Requests a second.
const RATE: u64 = 1_000;

#[test]
fn a_server_that_stops_for_a_second_shows_in_the_corrected_p99_and_not_in_the_other() {
    let (corrected, uncorrected) = p99_of_a_server_that_stops_for_a_second();
    assert!(corrected >= 800_000_000, "corrected p99 {corrected} ns");
    assert!(uncorrected < 500_000_000, "uncorrected p99 {uncorrected} ns");
}

fn p99_of_a_server_that_stops_for_a_second() -> (u64, u64) {
    let start = Instant::now();
    let gate = Mutex::new(());
    let target = server(move |mut stream| {
        while !request(&mut stream).is_empty() {
            // Everything stands still from the second second to the third.
            let held = gate.lock().unwrap();
            let now = start.elapsed();
            if (Duration::from_secs(1)..Duration::from_secs(2)).contains(&now) {
                std::thread::sleep(Duration::from_secs(2) - now);
            }
            drop(held);
            let _ = stream.write_all(OK);
        }
    });
    let settings = format!("rate = '{RATE}/s'\nconnections = 1\nduration = '4s'");
    let stats = run("head", &settings, target);
    assert_eq!(stats.failures.of_device() + stats.failures.of_host(), 0, "{:?}", stats.failures);
    assert!(stats.late_starts > RATE / 10, "{} late starts", stats.late_starts);
    let total = &stats.latency[&Phase::Total];
    let uncorrected = total.uncorrected.as_ref().unwrap();
    (total.corrected.quantile_ns(0.99).unwrap(), uncorrected.quantile_ns(0.99).unwrap())
}

#[test]
fn a_closed_loop_has_one_figure_only() {
    let target = server(crate::common::answer_all);
    let stats = run("head", "count = 10", target);
    assert!(stats.latency[&Phase::Total].uncorrected.is_none());
}
