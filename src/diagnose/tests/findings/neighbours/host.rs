//! What the host, its capture or the order of findings is the reason for.

use espstress_diagnose::*;
use espstress_event::{AnomalyId, Failure, NotJudged};

use crate::support::*;

#[test]
fn the_hosts_own_limits_are_a_warning_about_the_host() {
    let mut short = head(1_000);
    short.failures.add(Failure::HostOutOfPorts, 5);
    let waits = WorkloadEvidence { port_waits: 50, ..head(1_000) };
    for w in [short, waits.clone()] {
        let found = Case::clean(w).findings();
        assert_eq!(
            (found.len(), found[0].id, found[0].severity),
            (1, FindingId::HostLimited, Severity::Warning)
        );
    }
    let cause = |failure: Failure, local_ports: Option<u32>| {
        let mut short = WorkloadEvidence { local_ports, ..head(1_000) };
        short.failures.add(failure, 5);
        Case::clean(short).findings()[0].cause.clone()
    };
    assert!(cause(Failure::HostOutOfPorts, None).contains("port"));
    assert_ne!(cause(Failure::HostOutOfPorts, None), cause(Failure::HostOutOfFiles, None));
    assert_ne!(
        cause(Failure::HostOutOfPorts, None),
        cause(Failure::HostOutOfPorts, Some(100)),
        "as asked for"
    );
    let asked_for = WorkloadEvidence { local_ports: Some(100), ..waits };
    assert_eq!(Case::clean(asked_for).ids(), []);
    let busy = |late_starts| {
        Case::clean(WorkloadEvidence { late_starts, ..head(1_000) })
            .with(|e| e.host.cpu_busy = Some(0.99))
            .ids()
    };
    assert_eq!(busy(0), [], "a closed loop takes all there is");
    assert_eq!(busy(30), [FindingId::HostLimited]);
}

#[test]
fn dropped_packets_are_information_and_name_what_was_not_judged() {
    let not_judged: &'static [NotJudged] = Box::leak(Box::new([NotJudged {
        id: AnomalyId::RstAfterFin,
        reason: "packets of the connection are missing from the capture".into(),
        connections: 3,
    }]));
    let case = Case::clean(head(100)).with(|e| {
        e.capture =
            CaptureEvidence { status: CaptureState::Dropped, packets: 900, dropped: 100, reason: None };
        e.not_judged = not_judged;
    });
    let found = case.findings();
    assert_eq!((found.len(), found[0].severity), (1, Severity::Info));
    assert!(found[0].statement.contains("100 of 1000 packets (10 %)"), "{found:?}");
    assert!(found[0].evidence[0].contains("rst_after_fin"), "{found:?}");
}

#[test]
fn the_most_harmful_comes_first() {
    let mut w = head(1_000);
    w.failures.add(Failure::HostOutOfFiles, 1);
    let case = Case::clean(w).anomaly(AnomalyId::AbortiveClose, 1_000).with(|e| {
        e.capture.status = CaptureState::Dropped;
        e.capture.dropped = 1;
    });
    assert_eq!(case.ids(), [FindingId::AbortiveClose, FindingId::HostLimited, FindingId::CaptureIncomplete]);
}

#[test]
fn connects_far_beyond_the_round_trip_are_the_hosts_unless_syns_were_repeated() {
    let late = |retransmissions| {
        let connect =
            Quantiles { count: 500, p50_ns: 60 * MS, p90_ns: 70 * MS, p99_ns: 75 * MS, ..Default::default() };
        let tcp = TcpEvidence { connections: 500, retransmissions, rtt_mean_ns: Some(2 * MS) };
        Case::clean(WorkloadEvidence { connect: Some(connect), tcp: Some(tcp), ..head(500) }).ids()
    };
    assert_eq!(late(0), [FindingId::HostLimited]);
    assert_eq!(late(200), []);
}
