//! What recording costs: the same loop over the same latencies with nothing, a histogram, the recorder, and the whole
//! of what one transaction of `head` writes down. The differences are what is to be looked at.
//!
//! `cargo bench --bench record`

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use espstress_stats::{Latency, Phase, Recorder};

/// As latencies on a small device are: a few hundred microseconds, one in a hundred far longer. Nanoseconds.
fn latencies() -> Vec<u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..10_000)
        .map(|_| {
            let tail = if next() % 100 == 0 { 100 } else { 1 };
            (100_000 + next() % 400_000) * tail
        })
        .collect()
}

/// What one transaction of `head` in a closed loop writes down.
fn transaction(recorder: &mut Recorder, ns: u64) {
    recorder.opened();
    recorder.latency(Phase::Connect, ns / 4);
    recorder.bytes(64, 0);
    recorder.latency(Phase::FirstByte, ns / 2);
    recorder.bytes(0, 100);
    recorder.latency(Phase::Total, ns);
    recorder.attempt(0, 1, Ok(()));
    recorder.latency(Phase::Close, ns / 8);
    recorder.closed();
}

fn benches(c: &mut Criterion) {
    let all = latencies();
    let mut group = c.benchmark_group("record");
    group.throughput(Throughput::Elements(all.len() as u64));
    group.bench_function("nothing", |b| b.iter(|| all.iter().fold(0, |sum, &ns| sum ^ black_box(ns))));

    let mut histogram = Latency::default();
    group.bench_function("histogram", |b| {
        b.iter(|| all.iter().for_each(|&ns| histogram.record(black_box(ns))))
    });

    let mut recorder = Recorder::new(0, Phase::Total);
    group.bench_function("phase", |b| {
        b.iter(|| all.iter().for_each(|&ns| recorder.latency(Phase::Connect, black_box(ns))));
    });
    group.bench_function("main_phase", |b| {
        b.iter(|| all.iter().for_each(|&ns| recorder.latency(Phase::Total, black_box(ns))));
    });
    group.bench_function("open_loop", |b| {
        b.iter(|| all.iter().for_each(|&ns| recorder.latency_pair(Phase::Total, black_box(ns), ns / 2)));
    });
    group.bench_function("transaction", |b| {
        b.iter(|| all.iter().for_each(|&ns| transaction(&mut recorder, black_box(ns))));
    });
    group.finish();

    let mut group = c.benchmark_group("read");
    group.bench_function("quantile", |b| b.iter(|| histogram.quantile_ns(black_box(0.99))));
    let other = histogram.clone();
    group.bench_function("merge", |b| b.iter(|| histogram.merge(black_box(&other))));
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
