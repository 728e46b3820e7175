//! Latency in an open loop is taken from the intended start.

mod common;

use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::{OK, request, run, server};
use espstress::stats::Phase;

#[test]
fn a_server_that_stops_for_a_second_shows_in_the_corrected_p99_and_not_in_the_other() {
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
    let stats = run("head", "rate = '1000/s'\nconnections = 1\nduration = '4s'", target);
    assert_eq!(stats.failures.of_device() + stats.failures.of_host(), 0, "{:?}", stats.failures);
    let total = &stats.latency[&Phase::Total];
    let corrected = total.corrected.quantile_ns(0.99).unwrap();
    let uncorrected = total.uncorrected.as_ref().unwrap().quantile_ns(0.99).unwrap();
    assert!((800_000_000..1_300_000_000).contains(&corrected), "corrected p99 {corrected} ns");
    assert!(uncorrected < 200_000_000, "uncorrected p99 {uncorrected} ns");
    assert!(stats.late_starts > 100, "{} late starts", stats.late_starts);
}

#[test]
fn a_closed_loop_has_one_figure_only() {
    let target = server(common::answer_all);
    let stats = run("head", "count = 10", target);
    assert!(stats.latency[&Phase::Total].uncorrected.is_none());
}
