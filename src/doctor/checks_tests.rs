use super::*;
use espstress_diagnose::WorkloadKind;
use espstress_event::WorkloadFacts;
use espstress_stats::Recorder;

/// The check of a crowd of 36 of which two were reset, and this account of them.
fn crowd(accounted: Accounted, by: &str) -> Check {
    let mut recorder = Recorder::new(0, Phase::Total);
    (0..34).for_each(|_| recorder.attempt(0, 1_000_000, Ok(())));
    (0..2).for_each(|_| recorder.attempt(0, 1_000_000, Err(Failure::ReadReset)));
    let crowd = WorkloadOutcome {
        name: names::CROWD.into(),
        kind: "head",
        facts: WorkloadFacts { kind: Some(WorkloadKind::Head), ..WorkloadFacts::default() },
        settings: serde_json::Value::Null,
        at_once: 12,
        stats: recorder.finish(1_000_000_000),
    };
    let row = AccountRow {
        workload: names::CROWD.into(),
        accounted,
        by: Some(by.into()),
        attempts: 2,
        failures: [(Failure::ReadReset, 2)].into(),
        anomalies: [].into(),
        first_s: 0.0,
        last_s: 1.0,
    };
    let (workloads, account) = ([crowd], [row]);
    let measured = Measured {
        workloads: &workloads,
        probes: None,
        packets: None,
        console: None,
        findings: &[],
        account: &account,
    };
    Look { measured: &measured, hold: None }.crowd().unwrap()
}

#[test]
fn a_crowd_beyond_the_devices_room_is_no_fault_however_few_of_it_found_none() {
    let check = crowd(Accounted::Excused, "beyond_capacity");
    assert_eq!(check.mark, Mark::Good, "{}", check.seen);
    assert!(check.seen.ends_with("read_reset 2: more at once than it has room for"), "{}", check.seen);
    assert_eq!(crowd(Accounted::Unexplained, "").mark, Mark::Bad);
}

#[test]
fn probes_that_a_path_may_have_lost_are_a_tick_and_many_a_question() {
    let marks = [(6, 6), (6, 5), (60, 54), (6, 4), (6, 3), (60, 53), (6, 2), (6, 0), (1, 0), (0, 0)];
    let of = marks.map(|(sent, answered)| lost(sent, answered));
    let (good, bad, unknown) = (Mark::Good, Mark::Bad, Mark::Unknown);
    assert_eq!(of, [good, good, good, unknown, unknown, unknown, bad, bad, bad, unknown]);
}

#[test]
fn the_documented_page_has_the_names_of_the_checks() {
    let (code, docs) = (include_str!("checks.rs"), include_str!("../../docs/doctor.md"));
    let is_name = |text: &str| code.contains(&format!("\"{}\"", text.trim_end()));
    let marked = |line: &'static str| Some(line.trim_start().strip_prefix(['✓', '✗', '?'])?.trim_start());
    let lines: Vec<&str> = docs.lines().filter_map(marked).collect();
    assert!(lines.len() > 10, "{lines:?}");
    for line in lines {
        let known = line.char_indices().any(|(end, c)| c == ' ' && is_name(&line[..end]));
        assert!(known, "docs/doctor.md shows a check that there isn't: {line}");
    }
    let explained = docs.lines().filter_map(|line| line.strip_prefix("- **")?.split_once("**"));
    for name in explained.flat_map(|(names, _)| names.split(", ")) {
        assert!(is_name(name), "docs/doctor.md explains a check that there isn't: {name}");
    }
}
