//! The laboratory's command line.
//!
//! ```text
//! lab matrix [--healthy N] [--faults N] [--every K] [--jobs N] [--misjudged FILE]
//!                                                            the matrix as Markdown, N runs a cell and half, of the
//!                                                            cells with a fault only every Kth; status 1 where a
//!                                                            target is missed in the half that is held out
//! lab replay SEED [FILE]                                     one run, with all that was seen, and its packets in FILE
//! ```

use std::process::ExitCode;

use espstress_engine::Packets;
use espstress_lab::case::{Half, cell_of, cells};
use espstress_lab::tally::{Judged, Tally};
use espstress_lab::world::{self, Setup};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["matrix", options @ ..] => matrix(options),
        ["replay", seed, file @ ..] => match (seed.parse(), file) {
            (Ok(seed), []) => replay(seed, None),
            (Ok(seed), [file]) => replay(seed, Some(file)),
            _ => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: lab matrix [--healthy N] [--faults N] [--every K] [--jobs N] [--misjudged FILE] | lab replay SEED [FILE]"
    );
    ExitCode::from(2)
}

/// What is to be run.
#[derive(Clone, Copy)]
struct Plan {
    /// Runs of each cell with a healthy device, in each half.
    healthy: u64,
    /// Of each with a fault.
    faults: u64,
    /// Of the cells with a fault, every so-manieth.
    every: usize,
    jobs: usize,
}

fn matrix(options: &[&str]) -> ExitCode {
    let (mut plan, mut misjudged) = (Plan { healthy: 4, faults: 1, every: 1, jobs: 1 }, None);
    for pair in options.chunks(2) {
        match *pair {
            ["--healthy", n] => plan.healthy = n.parse().unwrap_or(plan.healthy),
            ["--faults", n] => plan.faults = n.parse().unwrap_or(plan.faults),
            ["--every", n] => plan.every = n.parse().unwrap_or(plan.every).max(1),
            ["--jobs", n] => plan.jobs = n.parse().unwrap_or(plan.jobs).max(1),
            ["--misjudged", file] => misjudged = Some(file),
            _ => return usage(),
        }
    }
    let tally = run(plan);
    println!("{}", tally.markdown());
    if let Some(file) = misjudged
        && let Err(error) = std::fs::write(file, tally.misjudged())
    {
        eprintln!("{file}: {error}");
        return ExitCode::from(2);
    }
    let broken = tally.broken_targets();
    broken.iter().for_each(|target| eprintln!("{target}"));
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs and judges; the order of the runs, and so every figure, is the same with any number of jobs.
fn run(plan: Plan) -> Tally {
    let cells = cells();
    let part = |job: usize| {
        let mut judged = Vec::new();
        for (place, cell) in cells.iter().enumerate().filter(|(place, _)| place % plan.jobs == job) {
            let runs = match cell.truth.right {
                None => plan.healthy,
                Some(_) if place % plan.every == 0 => plan.faults,
                Some(_) => 0,
            };
            for n in 0..runs {
                for half in [Half::Training, Half::HeldOut] {
                    let seed = cell.seed(n, half);
                    let verdict = cell.verdict(&world::run(&cell.setup(seed)));
                    judged.push((place, Judged { cell: *cell, seed, half, verdict }));
                }
            }
        }
        judged
    };
    let mut judged: Vec<(usize, Judged)> = std::thread::scope(|scope| {
        let part = &part;
        let jobs: Vec<_> = (0..plan.jobs).map(|job| scope.spawn(move || part(job))).collect();
        let parts = jobs.into_iter().map(|job| match job.join() {
            Ok(part) => part,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        parts.flatten().collect()
    });
    judged.sort_by_key(|(place, _)| *place);
    Tally(judged.into_iter().map(|(_, run)| run).collect())
}

/// Packets as a classic capture file: IPv4 without a link layer, nanoseconds.
fn pcap(packets: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let head = [0xa1b2_3c4d_u32, 2 | 4 << 16, 0, 0, 65_535, 101];
    let mut bytes: Vec<u8> = head.iter().flat_map(|word| word.to_le_bytes()).collect();
    for (at_ns, packet) in packets {
        let length = packet.len() as u32;
        let head = [(at_ns / 1_000_000_000) as u32, (at_ns % 1_000_000_000) as u32, length, length];
        bytes.extend(head.iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend_from_slice(packet);
    }
    bytes
}

fn replay(seed: u64, file: Option<&str>) -> ExitCode {
    let Some(cell) = cell_of(seed) else { return usage() };
    let setup = Setup { keeps: file.is_some(), ..cell.setup(seed) };
    let run = world::run(&setup);
    if let Some(file) = file
        && let Err(error) = std::fs::write(file, pcap(&run.kept))
    {
        eprintln!("{file}: {error}");
        return ExitCode::FAILURE;
    }
    println!("{cell}");
    for switch in &setup.personas {
        println!("  at {:.1} s: {}", switch.at_ns as f64 / 1e9, switch.persona);
    }
    for (start, end) in &run.outages {
        println!("  link away: {:.1} s to {:.1} s", *start as f64 / 1e9, *end as f64 / 1e9);
    }
    println!("  {:.1} s, {} restarts", run.duration_ns as f64 / 1e9, run.restarts);
    for workload in &run.workloads {
        let stats = &workload.stats;
        let failures: Vec<_> = stats.failures.iter().filter(|(_, n)| *n > 0).collect();
        println!("  {}: {} of {}, {failures:?}", workload.name, stats.succeeded, stats.attempts);
        println!("  endings (fin, reset, not ended): {:?}", stats.endings);
    }
    let probes = [("ping", &run.probes.icmp), ("tcp", &run.probes.tcp), ("telemetry", &run.probes.telemetry)];
    for (name, stats) in probes {
        match stats.measured() {
            Some(stats) => println!("  {name}: {} of {} answered", stats.answered, stats.sent),
            None => println!("  {name}: none"),
        }
    }
    if let Packets::Seen(seen) = &run.packets {
        println!("  {} packets", seen.packets);
        for row in &seen.anomalies {
            println!(
                "    {:?} {:?} {:?}: {} on {} connections, {:.1} to {:.1} s",
                row.id, row.class, row.direction, row.count, row.connections, row.first_s, row.last_s
            );
        }
    }
    for finding in &run.findings {
        println!("  {:?} {}: {}", finding.severity, finding.id.name(), finding.statement);
        finding.evidence.iter().for_each(|line| println!("      {line}"));
    }
    println!("{:?}", cell.verdict(&run));
    ExitCode::SUCCESS
}
