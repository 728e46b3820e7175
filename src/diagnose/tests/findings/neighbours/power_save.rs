//! Latencies that spread as if a device slept between beacons, and those of one that does.

use espstress_diagnose::*;

use crate::support::*;

#[test]
fn long_busy_and_slow_paths_are_no_power_save() {
    let q = |min, p50, p90, p99| Quantiles {
        count: 60,
        min_ns: min * MS,
        p50_ns: p50 * MS,
        p90_ns: p90 * MS,
        p99_ns: p99 * MS,
        max_ns: (p99 + 2) * MS,
    };
    for (what, latency) in [
        ("far away", q(95, 100, 105, 110)),
        ("busy channel", q(9, 48, 70, 84)),
        ("a tail", q(2, 4, 9, 104)),
        ("queue", q(2, 20, 180, 420)),
    ] {
        let case = Case::clean(head(300))
            .with(|e| e.probes.icmp = Measured::Value(ProbeEvidence { latency: Some(latency), ..probe(60) }));
        assert_eq!(case.ids(), [], "{what}");
    }
}

#[test]
fn answers_that_something_else_held_up_do_not_hide_power_save() {
    for (beacons, spread) in [(1, 102), (3, 307)] {
        let latency = Quantiles {
            count: 24,
            min_ns: 6 * MS,
            p50_ns: (6 + spread / 2) * MS,
            p90_ns: (6 + spread * 9 / 10) * MS,
            p99_ns: 900 * MS,
            max_ns: 1_400 * MS,
        };
        let sleepy = || ProbeEvidence { latency: Some(latency), ..probe(24) };
        let case = Case::clean(head(300)).with(|e| e.probes.icmp = Measured::Value(sleepy()));
        assert_eq!(case.ids(), [], "it says that it does not sleep");
        let case = case.telemetry(|t| t.power_save = None);
        let found = case.findings();
        assert_eq!(case.ids(), [FindingId::PowerSaveLatency], "{beacons}");
        let evidence = found[0].evidence.join(" ");
        assert!(evidence.contains(&format!("about {beacons} beacon interval")), "{evidence}");
    }
}

#[test]
fn power_save_that_the_pings_alone_do_not_show_is_told_by_the_other_probes_unless_pings_do_not_wait() {
    let spread = |p50: u64, p90: u64, p99: u64| Quantiles {
        count: 22,
        min_ns: 5 * MS,
        p50_ns: (5 + p50) * MS,
        p90_ns: (5 + p90) * MS,
        p99_ns: (5 + p99) * MS,
        max_ns: (5 + p99) * MS,
    };
    let probed = |latency| Measured::Value(ProbeEvidence { latency: Some(latency), ..probe(22) });
    let case = |pings| {
        let case = Case::clean(head(300)).telemetry(|t| t.power_save = None);
        case.with(|e| {
            e.probes.icmp = probed(pings);
            e.probes.telemetry = probed(spread(52, 91, 102));
        })
    };
    assert_eq!(case(spread(25, 80, 400)).ids(), [FindingId::PowerSaveLatency], "22 pings, and one held up");
    assert_eq!(case(spread(1, 3, 8)).ids(), [], "the program is slow");
}

#[test]
fn latencies_of_any_size_are_judged_without_overflow() {
    for (p90, max) in [(u64::MAX, u64::MAX), (92 * MS, u64::MAX), (u64::MAX / 2, u64::MAX)] {
        let latency =
            Quantiles { count: u64::MAX, min_ns: 0, p50_ns: p90 / 2, p90_ns: p90, p99_ns: max, max_ns: max };
        let slow = || ProbeEvidence { latency: Some(latency), ..probe(60) };
        let case = Case::clean(head(300)).with(|e| e.probes.icmp = Measured::Value(slow()));
        let case = case.telemetry(|t| t.power_save = None);
        assert!(case.ids().iter().all(|id| *id == FindingId::PowerSaveLatency));
    }
}
