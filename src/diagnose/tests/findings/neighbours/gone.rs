//! A device or a listener that is gone, and one that comes back.

use espstress_diagnose::*;
use espstress_event::{Failure, FailureCounts};

use crate::support::*;

#[test]
fn a_device_that_goes_silent_to_ping_as_well_is_unreachable_and_not_hung() {
    let lost = [(Failure::ReadTimeout, 6), (Failure::ConnectTimeout, 18)];
    let gone = |e: &mut Evidence<'static>| {
        e.probes.icmp = Measured::Value(silent_from(5 * S));
        e.probes.tcp = Measured::Value(silent_from(5 * S));
        e.probes.telemetry = Measured::Value(silent_from(5 * S));
    };
    for w in [head(0), rw(0)] {
        let case = Case::clean(dies_after(w, 2_000, &lost)).with(gone);
        case.always(&[FindingId::DeviceUnreachable]);
    }
}

#[test]
fn what_failed_before_a_device_was_gone_is_not_explained_by_that() {
    let lost = [(Failure::ReadTimeout, 6), (Failure::ConnectTimeout, 18)];
    let unexplained = |before: Option<(u64, u64)>| {
        let mut w = dies_after(head(0), 2_000, &lost);
        if let Some((from, to)) = before {
            let mut early = FailureCounts::default();
            early.add(Failure::ReadTimeout, 2);
            w.failures.merge(&early);
            w.episodes.insert(0, episode(from, to, 100, &early));
            (w.attempts, w.succeeded) = (w.attempts + 102, w.succeeded + 100);
            w.episodes[1].from_ns = to * S;
        }
        let case = Case::clean(w).with(|e| {
            for probe in [&mut e.probes.icmp, &mut e.probes.tcp, &mut e.probes.telemetry] {
                *probe = Measured::Value(silent_from(5 * S));
            }
        });
        let rows = case.diagnosis().account.rows;
        rows.iter().filter(|row| row.by.is_none()).map(|row| row.attempts).sum::<u64>()
    };
    assert_eq!((unexplained(None), unexplained(Some((0, 2)))), (0, 2));
}

#[test]
fn a_workload_of_the_same_kind_that_is_served_later_shows_that_service_has_not_ended() {
    let lost = [(Failure::ReadTimeout, 6), (Failure::ConnectTimeout, 18)];
    let first = Case::clean(dies_after(head(0), 2_000, &lost));
    first.always(&[FindingId::BlockedApplication]);
    let then = |w: WorkloadEvidence| {
        let later = WorkloadEvidence {
            name: "later".into(),
            start_ns: 31 * S,
            end_ns: 60 * S,
            episodes: vec![episode(31, 60, w.succeeded, &FailureCounts::default())],
            ..w
        };
        first.clone().with(|e| e.workloads.push(later)).diagnosis().findings
    };
    let ended = |found: &[Finding]| found.iter().any(|f| f.severity == Severity::Error);
    assert!(ended(&then(rw(300))), "another kind says nothing of this one");
    assert_ne!(
        then(head(300)).iter().map(|f| f.statement.clone()).collect::<Vec<_>>(),
        then(rw(300)).iter().map(|f| f.statement.clone()).collect::<Vec<_>>(),
        "served again, it is no end"
    );
}

#[test]
fn service_that_ends_while_nobody_pings_is_said_to_have_ended() {
    let nobody = || Measured::Unavailable { reason: "off".to_owned() };
    let case = Case::clean(dies_after(head(0), 2_000, &[(Failure::ConnectTimeout, 18)]))
        .with(|e| e.probes = ProbesEvidence { icmp: nobody(), tcp: nobody(), telemetry: nobody() });
    case.always(&[FindingId::DeviceUnreachable]);
}

#[test]
fn who_answers_wrongly_while_nobody_pings_is_there() {
    let nobody = || Measured::Unavailable { reason: "off".to_owned() };
    for failure in [Failure::BadStatus, Failure::BadResponse, Failure::ReadReset, Failure::EofBeforeResponse]
    {
        for served in [0, 2_000] {
            let case = Case::clean(dies_after(head(0), served, &[(failure, 60)]))
                .with(|e| e.probes = ProbesEvidence { icmp: nobody(), tcp: nobody(), telemetry: nobody() });
            assert!(!case.ids().contains(&FindingId::DeviceUnreachable), "{failure:?} after {served}");
        }
    }
}

#[test]
fn nothing_at_all_is_unreachable_and_a_refused_port_is_so_though_ping_answers() {
    let none = ProbeEvidence { answered: 0, latency: None, silences: vec![], ..probe(60) };
    let dead = Case::clean(dies_after(head(0), 0, &[(Failure::ConnectTimeout, 9)])).with(|e| {
        e.probes.icmp = Measured::Value(none.clone());
        e.probes.tcp = Measured::Value(none.clone());
        e.probes.telemetry = Measured::Value(none);
    });
    assert_eq!(dead.no_telemetry().ids(), [FindingId::DeviceUnreachable]);
    let refused = Case::clean(dies_after(head(0), 0, &[(Failure::ConnectRefused, 900)]));
    assert_eq!(refused.ids(), [FindingId::DeviceUnreachable]);
    assert!(refused.findings()[0].statement.contains("nothing listens"));
}

#[test]
fn a_port_that_is_refused_from_a_moment_on_to_the_end_has_no_listener_any_more() {
    let case =
        Case::clean(dies_after(head(0), 20, &[(Failure::ReadReset, 2), (Failure::ConnectRefused, 47)]));
    case.always(&[FindingId::DeviceUnreachable]);
    let said = &case.findings()[0].statement;
    assert!(said.starts_with("Nothing listens on that port any more: from 5"), "{said}");
    // It comes back: whatever that was, it listens.
    let mut w = dies_after(head(0), 20, &[(Failure::ConnectRefused, 47)]);
    w.episodes.push(episode(30, 35, 20, &FailureCounts::default()));
    (w.attempts, w.succeeded, w.end_ns) = (87, 40, 35 * S);
    assert!(!Case::clean(w).ids().contains(&FindingId::DeviceUnreachable));
}

#[test]
fn a_device_that_answers_neither_ping_nor_telemetry_on_principle_is_not_gone() {
    let none = ProbeEvidence { answered: 0, latency: None, silences: vec![], ..probe(60) };
    let case = Case::clean(head(2_000)).no_telemetry().with(|e| {
        e.probes.icmp = Measured::Value(none.clone());
        e.probes.telemetry = Measured::Value(none.clone());
    });
    assert_eq!(case.ids(), []);
    let hung = Case::clean(dies_after(rw(0), 0, &[(Failure::ReadTimeout, 12)])).no_telemetry().with(|e| {
        e.probes.icmp = Measured::Value(none.clone());
        e.probes.telemetry = Measured::Value(none);
    });
    assert_eq!(hung.ids(), [FindingId::BlockedApplication]);
}
