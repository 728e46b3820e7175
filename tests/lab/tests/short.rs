//! The short form of the laboratory: what holds today of the program's word, in under a minute.
//!
//! Even seeds only. The long form is `scripts/accuracy`.

use espstress_diagnose::FindingId;
use espstress_engine::Packets;
use espstress_lab::case::{Cell, Half, LENGTHS, Onset, Tells, cells};
use espstress_lab::tally::{Judged, Tally};
use espstress_lab::world::{self, Setup};

/// Judges the first run of each cell that is asked for.
fn judge(wanted: impl Fn(&Cell) -> bool) -> Tally {
    let runs = cells().into_iter().filter(wanted).map(|cell| {
        let seed = cell.seed(0, Half::Training);
        let run = world::run(&cell.setup(seed));
        Judged { cell, seed, half: Half::Training, verdict: cell.verdict(&run) }
    });
    Tally(runs.collect())
}

/// The runs of which something holds, to be printed when an assertion fails.
fn named(tally: &Tally, of: impl Fn(&Judged) -> bool) -> Vec<String> {
    let of = tally.0.iter().filter(|run| of(run));
    of.map(|run| format!("seed {}: {}: {:?}", run.seed, run.cell, run.verdict)).collect()
}

#[test]
fn a_healthy_device_is_not_called_faulty_on_any_link_under_any_load() {
    let tally = judge(|cell| cell.truth.right.is_none() && cell.length_ns == LENGTHS[0]);
    assert!(tally.0.len() >= 150, "{}", tally.0.len());
    let wrong = named(&tally, |run| !run.verdict.false_errors.is_empty());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_fault_from_the_first_second_on_a_clean_link_is_named() {
    let tally = judge(|cell| {
        cell.onset == Onset::Start
            && cell.link == "clean"
            && cell.length_ns == LENGTHS[0]
            && cell.tells == Tells::All
            && cell.truth.right.is_some()
    });
    let shown = named(&tally, |run| run.verdict.shown >= 10);
    assert!(shown.len() >= 15, "{shown:#?}");
    let missed = named(&tally, |run| run.verdict.is_miss());
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn a_run_is_repeated_from_its_seed_packet_by_packet() {
    let cells = cells();
    for link in ["lossy", "roaming"] {
        let cell = cells.iter().find(|cell| cell.link == link && cell.truth.persona == "frozen").unwrap();
        let setup = Setup { keeps: true, ..cell.setup(cell.seed(3, Half::Training)) };
        let (first, second) = (world::run(&setup), world::run(&setup));
        assert!(first.kept.len() > 100, "{}", first.kept.len());
        assert!(first.kept == second.kept, "the same seed, other packets");
        assert_eq!(first.findings, second.findings);
        let other = world::run(&Setup { seed: setup.seed + 2, ..setup });
        assert!(first.kept != other.kept, "another seed, the same packets");
    }
}

#[test]
fn a_device_without_telemetry_is_judged_without_it() {
    let cell = cells().into_iter().find(|cell| cell.tells == Tells::Nothing).unwrap();
    let run = world::run(&cell.setup(cell.seed(0, Half::Training)));
    assert!(run.probes.telemetry.measured().is_none());
    assert_eq!(run.probes.device.samples, 0);
    assert!(run.findings.iter().all(|finding| finding.id != FindingId::HeapLeak));
}

#[test]
fn each_packet_is_seen_and_each_attempt_is_counted() {
    let cell = cells().into_iter().find(|cell| cell.link == "clean").unwrap();
    let run = world::run(&Setup { keeps: true, ..cell.setup(cell.seed(0, Half::Training)) });
    let Packets::Seen(seen) = &run.packets else { panic!("{:?}", run.packets) };
    assert_eq!(seen.packets, run.kept.len() as u64);
    let stats = &run.workloads[0].stats;
    assert_eq!((stats.attempts, stats.succeeded), (60, 60), "two a second for half a minute");
    assert_eq!(stats.series.rows().iter().map(|row| row.attempts).sum::<u64>(), 60);
}
