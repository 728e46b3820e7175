//! What looks like a leak and is none, and leaks that little shows.

use espstress_diagnose::*;
use espstress_event::{AnomalyId, Failure};

use crate::support::*;

#[test]
fn a_heap_that_is_noisy_or_comes_back_does_not_leak() {
    let noise = Case::clean(head(1_000)).telemetry(|t| {
        let slope = Some(Slope { mean: -20.0, low: -60.0, high: 20.0 });
        t.heap = t.heap.map(|h| HeapEvidence { per_second: slope, per_request: slope, ..h });
    });
    assert_eq!(noise.ids(), []);
    let falls = Some(Slope { mean: -20.0, low: -25.0, high: -15.0 });
    let back = Case::clean(head(1_000))
        .telemetry(|t| t.heap = t.heap.map(|h| HeapEvidence { per_request: falls, per_second: falls, ..h }));
    assert_eq!(back.ids(), []);
    let settled = back.telemetry(|t| {
        t.heap = t.heap.map(|h| HeapEvidence { free_last: 91_000, free_middle: Some(91_100), ..h });
    });
    assert_eq!(settled.ids(), [], "what is set up once and stays is no leak");
}

/// A heap that a program printed on its console with connections open and without.
fn told_unasked(ceiling: Option<HeapCeiling>, slope: Option<Slope>, step: Option<HeapStep>) -> Case {
    Case::clean(head(300)).telemetry(move |t| {
        t.requests = 300;
        t.heap = t.heap.map(|h| HeapEvidence {
            free_first: 151_200,
            free_middle: Some(131_200),
            free_last: 131_200,
            free_min: 131_200,
            first: InUse::default(),
            last: InUse::default(),
            per_second: slope,
            step,
            ceiling,
            unasked: true,
            ..h
        });
        (t.sockets, t.time_wait) = (None, None);
    })
}

#[test]
fn a_console_that_prints_the_heap_with_connections_open_tells_of_no_leak() {
    let falls = Some(Slope { mean: -4_000.0, low: -7_000.0, high: -1_000.0 });
    let step = Some(HeapStep { at_ns: 1_500_000_000, by: -20_000 });
    let comes_back =
        HeapCeiling { first: 151_200, middle: 151_200, last: 151_200, readings: 39, at_rest: false };
    for at_rest in [false, true] {
        let ceiling = Some(HeapCeiling { at_rest, ..comes_back });
        assert_eq!(told_unasked(ceiling, None, None).ids(), []);
        assert_eq!(told_unasked(ceiling, falls, step).ids(), []);
    }
    let low = HeapCeiling { middle: 131_200, last: 131_200, ..comes_back };
    assert_eq!(told_unasked(Some(low), falls, step).ids(), [], "connections may be open at the end");
    let few = HeapCeiling { readings: 8, at_rest: true, ..low };
    assert_eq!(told_unasked(Some(few), None, None).ids(), [], "eight readings");
    assert_eq!(told_unasked(None, None, None).ids(), [], "two readings");
    let rests = HeapCeiling { at_rest: true, ..low };
    assert_eq!(told_unasked(Some(rests), None, None).ids(), [FindingId::HeapLeak]);
}

#[test]
fn a_console_whose_highest_readings_fall_all_the_time_tells_of_a_leak() {
    let falls = Some(Slope { mean: -900.0, low: -1_200.0, high: -600.0 });
    let ceiling =
        HeapCeiling { first: 151_200, middle: 145_000, last: 139_000, readings: 90, at_rest: false };
    let of = |at_once| {
        told_unasked(Some(ceiling), falls, None).with(move |e| e.workloads[0].at_once = at_once).findings()
    };
    let found = of(1);
    assert_eq!(found[0].id, FindingId::HeapLeak, "{found:?}");
    assert!(
        found[0].evidence[0].starts_with("highest free heap: 148 KiB at the start, 136 KiB"),
        "{found:?}"
    );
    assert_eq!(of(4), [], "four connections at once may hold as much");
}

#[test]
fn a_step_is_no_loss_with_each_request_and_is_told_with_its_time() {
    let slope = Some(Slope { mean: -177.4, low: -210.0, high: -140.0 });
    let case = |last, step: Option<HeapStep>| {
        Case::clean(head(300)).telemetry(|t| {
            t.heap = t.heap.map(|h| HeapEvidence {
                free_first: 96_000,
                free_middle: Some(93_500),
                free_last: last,
                free_min: last,
                per_request: slope,
                per_second: slope,
                step,
                ..h
            });
        })
    };
    let step = |by| Some(HeapStep { at_ns: 41_000_000_000, by });
    assert_eq!(case(91_000, None).ids(), [FindingId::HeapLeak]);
    assert_eq!(case(91_000, step(-5_000)).ids(), []);
    let much = case(60_000, step(-36_000));
    assert_eq!(much.ids(), [FindingId::HeapLeak]);
    let said = &much.findings()[0];
    assert!(said.statement.contains("heap at 41 s"), "{}", said.statement);
    assert!(said.evidence.iter().any(|line| line.contains("fell by 35 KiB at 41 s")), "{:?}", said.evidence);
    assert!(!said.evidence.iter().any(|line| line.contains("confidence")), "{:?}", said.evidence);
}

#[test]
fn what_connections_hold_that_are_not_let_go_of_yet_is_no_leak() {
    let slope = Some(Slope { mean: -11.6, low: -21.3, high: -2.0 });
    let case = |closing| {
        Case::clean(head(200)).telemetry(|t| {
            t.heap = t.heap.map(|h| HeapEvidence {
                free_first: 109_968,
                free_middle: Some(109_800),
                free_last: 106_848,
                free_min: 105_400,
                per_request: slope,
                last: InUse { closing, ..h.last },
                ..h
            });
        })
    };
    assert_eq!(case(Some(2)).ids(), []);
    assert_eq!(case(Some(0)).ids(), [FindingId::HeapLeak]);
    assert_eq!(case(None).ids(), [FindingId::HeapLeak], "nothing says that there were any");
}

/// 200 requests on a heap that is 75 KiB smaller at the end, with so much in use at first and at last.
fn shrinks(first: impl Fn(InUse) -> InUse, last: impl Fn(InUse) -> InUse) -> Case {
    Case::clean(head(200)).telemetry(|t| {
        t.requests = 200;
        t.heap = t.heap.map(|h| HeapEvidence {
            free_first: 108_000,
            free_middle: Some(80_000),
            free_last: 31_000,
            free_min: 29_000,
            per_second: None,
            first: first(h.first),
            last: last(h.last),
            ..h
        });
    })
}

/// A program that has stopped accepting: the stack takes connections and their data all the same, and no socket counts them.
#[test]
fn what_connections_hold_that_no_program_has_accepted_is_no_leak() {
    let case = |open| {
        shrinks(
            |first| InUse { sockets: Some(6), open: Some(1), ..first },
            |last| InUse { sockets: Some(10), open, ..last },
        )
    };
    assert_eq!(case(Some(16)).ids(), []);
    assert_eq!(case(Some(5)).ids(), [FindingId::HeapLeak], "ten sockets and no connection besides hold less");
    assert_eq!(case(None).ids(), [FindingId::HeapLeak], "nothing says that there were more");
}

#[test]
fn a_short_run_after_which_much_is_missing_leaks_without_a_slope() {
    let case = Case::clean(head(300)).telemetry(|t| {
        t.requests = 300;
        let (first, last) = (96_000, 19_000);
        t.heap = t.heap.map(|h| HeapEvidence {
            free_first: first,
            free_middle: Some(last),
            free_last: last,
            free_min: last,
            per_second: None,
            ..h
        });
    });
    assert_eq!(case.ids(), [FindingId::HeapLeak]);
    let vanished = case.with(|e| e.workloads[0].close = ClosePolicy::Vanish).telemetry(|t| {
        t.heap = t.heap.map(|h| HeapEvidence { free_last: 60_000, ..h });
    });
    assert_eq!(vanished.ids(), [], "vanished connections hold their buffers for a while");
}

#[test]
fn time_wait_that_nobody_counts_is_not_called_a_leak() {
    let slope = Some(Slope { mean: -224.0, low: -230.0, high: -218.0 });
    let case = Case::clean(WorkloadEvidence { close: ClosePolicy::Wait, ..head(200) }).telemetry(|t| {
        t.time_wait = None;
        t.heap = t.heap.map(|h| HeapEvidence {
            free_last: 51_000,
            free_middle: Some(70_000),
            free_min: 50_000,
            per_request: slope,
            ..h
        });
    });
    assert_eq!(case.ids(), []);
    let counted = case.telemetry(|t| t.time_wait = Some(TimeWaitEvidence::default()));
    assert_eq!(counted.ids(), [FindingId::HeapLeak], "no connection was in TIME_WAIT");
}

#[test]
fn a_leak_is_seen_beside_silent_peers_where_the_device_counts_its_sockets() {
    let lost = |counted: bool| {
        let case = Case::clean(half_open()).with(|e| e.workloads.push(head(150)));
        let case = case.telemetry(|t| {
            t.requests = 150;
            if let Some(heap) = &mut t.heap {
                (heap.free_first, heap.free_middle, heap.free_last) = (110_000, Some(72_000), 70_000);
            }
            t.sockets = counted.then_some(SocketsEvidence { first: 5, most: 10, last: 5, limit: Some(10) });
        });
        case.ids()
    };
    assert_eq!(lost(true), [FindingId::HeapLeak]);
    assert_eq!(lost(false), [], "the connections that fell silent may hold it");
}

#[test]
fn a_leak_says_whether_it_is_the_stacks_or_the_programs() {
    let memory = |middle, last, low| MemoryEvidence {
        first: 400_000,
        middle: Some(middle),
        last,
        per_second: Some(Slope { mean: 20_000.0, low, high: 25_000.0 }),
    };
    let case = |memory| {
        Case::clean(head(300)).telemetry(|t| {
            t.requests = 300;
            t.program_memory = Some(memory);
        })
    };
    let grows = case(memory(700_000, 1_000_000, 15_000.0));
    assert_eq!(grows.ids(), [FindingId::HeapLeak]);
    let said = &grows.findings()[0];
    assert_eq!(said.severity, Severity::Info, "a garbage collector may still come");
    assert!(said.statement.starts_with("Your program's own memory grew"), "{}", said.statement);
    assert_eq!(case(memory(990_000, 1_000_000, 15_000.0)).ids(), [], "it settles");
    assert_eq!(case(memory(700_000, 1_000_000, 0.0)).ids(), [], "it is noise");
    assert_eq!(case(memory(420_000, 450_000, 15_000.0)).ids(), [], "it is little");

    let falls = Some(Slope { mean: -177.4, low: -210.0, high: -140.0 });
    let heap = case(memory(400_000, 400_000, -1.0)).telemetry(|t| {
        t.heap = t.heap.map(|h| HeapEvidence {
            free_first: 96_000,
            free_middle: Some(70_000),
            free_last: 43_000,
            free_min: 43_000,
            per_request: falls,
            ..h
        });
    });
    let said = &heap.findings()[0];
    assert!(said.statement.starts_with("The TCP/IP stack under your program loses"), "{}", said.statement);
}

#[test]
fn resets_while_telemetry_is_silent_and_ping_goes_on_are_want_of_memory() {
    let failures = [(Failure::ReadReset, 154), (Failure::ConnectReset, 84), (Failure::ReadTimeout, 9)];
    let w = WorkloadEvidence { close: ClosePolicy::Wait, ..dies_after(head(0), 450, &failures) };
    let case = Case::clean(w)
        .anomaly(AnomalyId::RstAfterHandshake, 238)
        .anomaly(AnomalyId::HalfClosedLinger, 9)
        .with(|e| e.probes.telemetry = Measured::Value(silent_from(S)));
    let found = case.findings();
    assert_eq!(case.ids(), [FindingId::HeapLow], "{found:#?}");
    assert_eq!(found[0].severity, Severity::Error);
    assert!(found[0].cause.contains("TIME_WAIT"), "{}", found[0].cause);
    // Telemetry that goes on needs memory as well: then it is something else.
    let told = case.with(|e| e.probes.telemetry = Measured::Value(probe(60)));
    assert!(!told.ids().contains(&FindingId::HeapLow), "{:#?}", told.findings());
}

#[test]
fn a_device_whose_heap_was_full_before_ping_ended_ran_out_of_memory_and_one_whose_heap_stood_is_gone() {
    let silent = |last: u64| {
        let w = dies_after(head(0), 450, &[(Failure::ReadTimeout, 8), (Failure::ConnectTimeout, 30)]);
        let case = Case::clean(w).telemetry(|t| {
            t.heap = t.heap.map(|h| HeapEvidence { free_last: last, free_min: last, per_second: None, ..h });
        });
        case.with(|e| {
            e.probes.telemetry = Measured::Value(silent_from(6 * S));
            e.probes.icmp = Measured::Value(silent_from(8 * S));
            e.probes.tcp = Measured::Value(silent_from(7 * S));
        })
    };
    let found = silent(20_000).findings();
    assert_eq!(silent(20_000).ids(), [FindingId::HeapLeak, FindingId::HeapLow], "{found:#?}");
    assert!(found[1].statement.contains("telemetry and ping stopped"), "{found:#?}");
    assert_eq!(silent(95_000).ids(), [FindingId::DeviceUnreachable]);
}

#[test]
fn a_heap_that_falls_until_telemetry_is_silent_runs_out_and_one_that_stood_does_not() {
    let with = |last| {
        let case = Case::clean(dies_after(head(0), 93, &[(Failure::ReadTimeout, 10)]));
        let case = case.anomaly(AnomalyId::HalfClosedLinger, 10).telemetry(|t| {
            t.requests = 10;
            t.heap = t.heap.map(|h| HeapEvidence { free_last: last, free_min: last, per_second: None, ..h });
        });
        case.with(|e| e.probes.telemetry = Measured::Value(silent_from(6 * S)))
    };
    assert_eq!(with(25_000).ids(), [FindingId::HeapLow]);
    assert_eq!(with(84_000).ids(), [FindingId::BlockedApplication]);
}

#[test]
fn the_figures_of_the_heap_are_named_each_by_a_word_of_its_own() {
    let case = Case::clean(head(300)).telemetry(|t| {
        t.heap = t.heap.map(|h| HeapEvidence { free_min: 300, ..h });
    });
    let evidence = case.findings()[0].evidence.join("; ");
    for word in ["at the start", "at the lowest", "at the end", "at its smallest"] {
        assert_eq!(evidence.matches(word).count(), 1, "{evidence}");
    }
    assert!(!evidence.contains("least"), "{evidence}");
}

#[test]
fn a_leak_that_ends_in_restarts_is_as_large_as_its_slope_and_its_requests_make_it() {
    let leaks = |each: f64, requests: u64| {
        let case = Case::clean(head(5_000)).telemetry(|t| {
            let slope = Some(Slope { mean: -each, low: -each - 2.0, high: -each + 2.0 });
            t.requests = requests;
            t.restarts = vec![RestartEvidence { at_ns: 18 * S, reason: None, last_words: None }];
            t.heap = t.heap.map(|h| HeapEvidence {
                free_first: 200_000,
                free_min: 9_000,
                free_last: 150_000,
                per_request: slope,
                ..h
            });
        });
        case.ids().contains(&FindingId::HeapLeak)
    };
    assert!(leaks(40.0, 5_000), "200,000 bytes");
    assert!(!leaks(8.0, 200), "1,600 bytes in all");
}

#[test]
fn a_loss_of_which_open_connections_may_hold_a_part_is_told_as_a_lower_bound() {
    let said = |open| {
        let case =
            shrinks(|first| InUse { open: Some(1), ..first }, |last| InUse { open: Some(open), ..last });
        case.findings().remove(0).statement
    };
    let bound = said(5);
    assert!(bound.contains("at least 27 KiB did not come back"), "{bound}");
    let whole = said(1);
    assert!(!whole.contains("at least") && whole.contains(": 75 KiB did not come back"), "{whole}");
}
