//! What a restart explains, and for how long.

use espstress_diagnose::*;
use espstress_event::{Failure, FailureCounts};

use crate::support::*;

/// A process that is the device ends at 8 s, boots for three seconds, and refuses connections until its program listens, at 20 s.
fn boots_and_refuses() -> Case {
    let counts = |failure, n| {
        let mut failures = FailureCounts::default();
        failures.add(failure, n);
        failures
    };
    let (silent, refused) = (counts(Failure::ConnectUnreachable, 9), counts(Failure::ConnectRefused, 20));
    let mut w = head(129);
    w.succeeded = 100;
    w.failures.merge(&silent);
    w.failures.merge(&refused);
    let none = FailureCounts::default();
    w.episodes = vec![
        episode(0, 8, 40, &none),
        episode(8, 11, 0, &silent),
        episode(11, 20, 0, &refused),
        episode(20, 36, 60, &none),
    ];
    let restart = RestartEvidence { at_ns: 8 * S, reason: Some(ResetReason::Software), last_words: None };
    Case::clean(w).telemetry(|t| t.restarts = vec![restart])
}

#[test]
fn what_a_restart_explains_lasts_until_the_program_listens_again() {
    assert_eq!(boots_and_refuses().ids(), [FindingId::DeviceRebooted]);
    let rows = boots_and_refuses().diagnosis().account.rows;
    assert_eq!(rows.iter().map(|row| row.by.as_deref()).collect::<Vec<_>>(), [Some("device_rebooted")]);
}

#[test]
fn restarts_that_were_not_kept_are_counted_as_well() {
    let findings = boots_and_refuses().telemetry(|t| t.more_restarts = 10).findings();
    let statement = &findings[0].statement;
    assert!(statement.contains("restarted 11 times") && statement.contains("not kept 10"), "{statement}");
}
