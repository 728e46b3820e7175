use super::super::super::{Measured, WorkloadEvidence};
use super::super::findings;
use super::*;
use crate::RestartEvidence;
use crate::TelemetryEvidence;
use espstress_event::{Failure, FailureCounts, Frame, ResetReason, Watchdog};

use crate::facts::SECOND as S;

fn event(at_s: f64, said: Said, line: &str) -> ConsoleEvent {
    let at_ns = (at_s * 1e9) as u64;
    ConsoleEvent { at_ns, device_ms: None, said, line: line.to_owned(), around: Vec::new() }
}

fn crash() -> Said {
    Said::Crash {
        how: Crash::Exception,
        cause: "LoadProhibited".into(),
        task: Some("httpd".into()),
        backtrace: vec![Frame { address: 0x400d_1234, place: Some("serve at main/server.c:42".into()) }],
    }
}

fn restart(reason: ResetReason) -> Said {
    Said::Restart { reason }
}

fn full() -> Said {
    Said::Error { doing: Doing::Accept, name: "ENFILE".into(), no_memory: false }
}

/// A workload that was served from 1 s on, and at 10 s failed for two seconds.
fn run(events: &[ConsoleEvent]) -> Evidence<'_> {
    let failed = |from_ns, to_ns, failure| {
        let mut failures = FailureCounts::default();
        failures.add(failure, 4);
        Episode { from_ns, to_ns, attempts: 4, succeeded: 0, failures }
    };
    let served =
        |from_ns, to_ns| Episode { from_ns, to_ns, attempts: 90, succeeded: 90, ..Episode::default() };
    let mut failures = FailureCounts::default();
    failures.add(Failure::ReadTimeout, 4);
    Evidence {
        duration_ns: 30 * S,
        workloads: vec![WorkloadEvidence {
            name: "head".into(),
            start_ns: S,
            end_ns: 20 * S,
            attempts: 184,
            succeeded: 180,
            failures,
            episodes: vec![
                served(S, 10 * S),
                failed(10 * S, 12 * S, Failure::ReadTimeout),
                served(12 * S, 20 * S),
            ],
            ..WorkloadEvidence::default()
        }],
        console: Some(events),
        ..Evidence::default()
    }
}

fn ids(events: &[ConsoleEvent]) -> Vec<FindingId> {
    find(&run(events)).into_iter().map(|f| f.id).collect()
}

#[test]
fn a_crash_a_brownout_and_a_watchdog_are_three_findings() {
    assert_eq!(
        ids(&[event(10.0, crash(), "Guru"), event(11.0, restart(ResetReason::Panic), "rst")]),
        [FindingId::DeviceCrashed]
    );
    let supply =
        [event(10.0, Said::Brownout, "Brownout"), event(11.0, restart(ResetReason::Brownout), "rst")];
    assert_eq!(ids(&supply), [FindingId::Brownout]);
    assert_eq!(ids(&supply[1..]), [FindingId::Brownout]);
    assert!(find(&run(&supply))[0].statement.contains("too low once"), "{:?}", find(&run(&supply)));
    let dog = Said::Watchdog { which: Watchdog::Task, task: Some("busy".into()), restarts: true };
    let dog = [event(10.0, dog, "task_wdt"), event(11.0, restart(ResetReason::TaskWatchdog), "rst")];
    assert_eq!(ids(&dog), [FindingId::Watchdog]);
    assert!(find(&run(&dog))[0].statement.contains("task busy held"), "{:?}", find(&run(&dog)));
    assert_eq!(ids(&[event(10.0, restart(ResetReason::Software), "rst")]), []);
}

#[test]
fn a_crash_tells_its_cause_its_task_and_where_it_was() {
    let found = &find(&run(&[event(10.0, crash(), "Guru Meditation Error")]))[0];
    assert!(found.statement.contains("LoadProhibited in task httpd, first at 10 s"), "{found:?}");
    assert!(found.evidence.iter().any(|e| e == "console at 10 s: \"Guru Meditation Error\""), "{found:?}");
    assert!(found.evidence.iter().any(|e| e.contains("serve at main/server.c:42")), "{found:?}");
}

#[test]
fn the_interrupt_watchdog_has_its_own_cause_and_advice_with_its_words_or_its_banner_alone() {
    let dog = Said::Watchdog { which: Watchdog::Interrupt, task: None, restarts: true };
    let words = [event(10.0, dog, "Guru"), event(11.0, restart(ResetReason::InterruptWatchdog), "rst")];
    for events in [&words[..], &words[1..]] {
        let found = &find(&run(events))[0];
        assert!(found.statement.starts_with("The interrupt watchdog ran out once"), "{found:?}");
        assert!(found.cause.contains("interrupt handler"), "{found:?}");
        assert!(found.change.contains("CONFIG_ESP_INT_WDT_TIMEOUT_MS"), "{found:?}");
        assert!(!found.change.contains("vTaskDelay") && !found.cause.contains("loop()"), "{found:?}");
    }
}

#[test]
fn crashes_of_several_kinds_are_each_named_with_their_own_cause() {
    let crash = |how, cause: &str, task: Option<&str>, address| Said::Crash {
        how,
        cause: cause.into(),
        task: task.map(str::to_owned),
        backtrace: vec![Frame { address, place: None }],
    };
    let overflow = || crash(Crash::StackOverflow, "stack overflow", Some("mqtt_task"), 0x4008_1a36);
    let abort = || crash(Crash::Abort, "abort() at 0x400e1f37", None, 0x400d_2b4c);
    let both = [event(10.0, overflow(), "a"), event(13.0, abort(), "b"), event(16.0, abort(), "b")];
    let found = &find(&run(&both))[0];
    let want = "crashed 3 times: stack overflow in task mqtt_task once, abort() at 0x400e1f37 2 times, first at 10 s";
    assert!(found.statement.contains(want), "{found:?}");
    assert!(
        found.cause.starts_with("stack overflow: a task used more stack than it has; abort(): "),
        "{found:?}"
    );
    assert!(found.change.starts_with("stack overflow: give the task more stack"), "{found:?}");
    assert!(found.change.contains("; abort(): repeat with --elf"), "{found:?}");
    assert!(
        found.evidence.contains(&"abort() at 0x400e1f37: called from 0x400d2b4c".to_owned()),
        "{found:?}"
    );
    let twice = [event(10.0, abort(), "b"), event(13.0, abort(), "b")];
    let found = &find(&run(&twice))[0];
    assert!(found.statement.contains("crashed 2 times: abort() at 0x400e1f37, first"), "{found:?}");
    assert!(found.cause.starts_with("the program gave up"), "{found:?}");
}

#[test]
fn a_watchdog_names_every_task_that_held_the_processor_and_every_watchdog_its_cause() {
    let dog = |which, task: Option<&str>, restarts| Said::Watchdog {
        which,
        task: task.map(str::to_owned),
        restarts,
    };
    let task = |name| dog(Watchdog::Task, Some(name), false);
    let two = [event(3.0, task("alpha"), "a"), event(6.0, task("beta"), "b")];
    let found = &find(&run(&two))[0];
    let want = "The task watchdog ran out 2 times: the processor was held by task alpha once, task beta once, first at 3.0 s.";
    assert_eq!((found.statement.as_str(), found.severity), (want, Severity::Warning));
    // Words and the banner after them are one time, and a banner alone is one of its own.
    let mixed = [
        event(3.0, task("alpha"), "a"),
        event(6.0, dog(Watchdog::Interrupt, None, true), "Guru"),
        event(6.5, restart(ResetReason::InterruptWatchdog), "rst"),
        event(9.0, restart(ResetReason::InterruptWatchdog), "rst"),
    ];
    let found = &find(&run(&mixed))[0];
    let want = "Watchdogs ran out 3 times and restarted the device 2 times: the task watchdog (task alpha held the \
                processor) once, the interrupt watchdog 2 times, first at 3.0 s.";
    assert_eq!(found.statement, want);
    assert!(found.cause.contains("the task watchdog: a task computes"), "{found:?}");
    assert!(found.cause.contains("; the interrupt watchdog: an interrupt handler"), "{found:?}");
}

#[test]
fn every_kind_of_want_of_memory_is_named() {
    let said = |doing, name: &str| Said::Error { doing, name: name.into(), no_memory: true };
    let events = [
        event(3.0, said(Doing::Allocate, "ENOMEM"), "a"),
        event(4.0, said(Doing::Tls, "MBEDTLS_ERR_SSL_ALLOC_FAILED"), "b"),
        event(5.0, said(Doing::Allocate, "ENOMEM"), "a"),
    ];
    let statement = &find(&run(&events))[0].statement;
    let want =
        "no memory: ENOMEM (allocate) 2 times, MBEDTLS_ERR_SSL_ALLOC_FAILED (tls) once, first at 3.0 s.";
    assert!(statement.contains(want), "{statement}");
    let statement = &find(&run(&events[..1]))[0].statement;
    assert!(statement.contains("no memory: ENOMEM (allocate), once, first"), "{statement}");
}

#[test]
fn what_was_said_before_the_load_is_not_charged_to_it() {
    assert_eq!(ids(&[event(0.5, crash(), "Guru"), event(0.9, Said::Brownout, "Brownout")]), []);
}

#[test]
fn a_lost_access_point_has_its_reason_and_one_that_a_restart_brought_is_none() {
    let lost =
        || event(9.8, Said::WifiLost { reason: Some(200), name: "BEACON_TIMEOUT".into() }, "wifi:state");
    let events = [lost()];
    let found = &find(&run(&events))[0];
    assert_eq!((found.id, found.severity), (FindingId::WifiLost, Severity::Warning));
    assert!(found.statement.contains("BEACON_TIMEOUT 1"), "{found:?}");
    let mut restarted = run(&events);
    let restart = RestartEvidence { at_ns: 9 * S, ..RestartEvidence::default() };
    restarted.telemetry =
        Measured::Value(TelemetryEvidence { restarts: vec![restart], ..TelemetryEvidence::default() });
    assert_eq!(find(&restarted), []);
}

#[test]
fn want_of_memory_beside_failures_is_an_error_and_explains_them() {
    let said = || Said::Error { doing: Doing::Allocate, name: "ENOMEM".into(), no_memory: true };
    let near = [event(10.5, said(), "no memory")];
    let e = run(&near);
    assert_eq!(find(&e)[0].severity, Severity::Error);
    assert!(explains(&e, FindingId::NoMemoryReported, &e.workloads[0].episodes[1]));
    let far = [event(17.0, said(), "no memory")];
    let e = run(&far);
    assert_eq!(find(&e)[0].severity, Severity::Warning);
    assert!(!explains(&e, FindingId::NoMemoryReported, &e.workloads[0].episodes[1]));
}

#[test]
fn a_device_that_crashed_and_stayed_away_explains_what_failed_from_then_on() {
    let stays = [event(9.9, crash(), "Guru")];
    let e = run(&stays);
    assert!(explains(&e, FindingId::DeviceCrashed, &e.workloads[0].episodes[1]));
    let later = [event(14.0, crash(), "Guru")];
    let e = run(&later);
    assert!(!explains(&e, FindingId::DeviceCrashed, &e.workloads[0].episodes[1]));
}

#[test]
fn the_devices_own_line_stands_beside_the_evidence_of_others() {
    let events = [event(10.2, full(), "httpd_accept_conn: error in accept (23)")];
    let mut found = vec![Finding {
        id: FindingId::SocketExhaustion,
        severity: Severity::Error,
        statement: String::new(),
        evidence: Vec::new(),
        cause: String::new(),
        change: String::new(),
    }];
    attach(&run(&events), &mut found);
    let want = "console at 10 s: \"httpd_accept_conn: error in accept (23)\": ENFILE - no free socket, at least 90 attempts in";
    assert_eq!(found[0].evidence, [want]);
}

#[test]
fn a_console_that_says_nothing_of_note_changes_nothing() {
    let events = [
        event(3.0, Said::WifiUp, "connected"),
        event(3.1, Said::Address { ip: "10.0.0.1".parse().unwrap() }, "ip"),
    ];
    let with = findings(&run(&events));
    let without = findings(&Evidence { console: None, ..run(&events) });
    assert_eq!(with, without);
}
