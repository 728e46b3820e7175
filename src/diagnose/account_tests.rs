use super::*;
use crate::{EndedOutage, OutageEvidence, OutageOrigin, OutageRow, Recovery, Severity};
use espstress_event::{AnomalyClass, Direction};

const S: u64 = 1_000_000_000;

fn found(ids: &[FindingId]) -> Vec<Finding> {
    let finding = |id: &FindingId| Finding {
        id: *id,
        severity: Severity::Error,
        statement: String::new(),
        evidence: Vec::new(),
        cause: String::new(),
        change: String::new(),
    };
    ids.iter().map(finding).collect()
}

/// Eight requests that failed so from 11 to 19 s.
fn failing(failure: Failure) -> WorkloadEvidence {
    let mut failures = FailureCounts::default();
    failures.add(failure, 8);
    let (from_ns, to_ns) = (11 * S, 19 * S);
    let episode = Episode { from_ns, to_ns, attempts: 8, failures: failures.clone(), ..Episode::default() };
    WorkloadEvidence {
        name: "w".into(),
        kind: WorkloadKind::Head,
        attempts: 100,
        succeeded: 92,
        failures,
        episodes: vec![episode],
        ..WorkloadEvidence::default()
    }
}

/// A link that was away from 10 to 20 s, which the run did not do.
fn away() -> WorkloadEvidence {
    let outage = OutageRow {
        origin: OutageOrigin::Natural,
        seen_start_ns: Some(10 * S),
        seen_end_ns: Some(20 * S),
        ..OutageRow::default()
    };
    let rows = vec![EndedOutage { outage, recovery: Recovery::After(0) }];
    WorkloadEvidence {
        name: "outage".into(),
        kind: WorkloadKind::Outage,
        outages: Some(OutageEvidence { natural: 1, rows, ..OutageEvidence::default() }),
        ..WorkloadEvidence::default()
    }
}

fn evidence(workloads: Vec<WorkloadEvidence>) -> Evidence<'static> {
    Evidence { duration_ns: 60 * S, workloads, ..Evidence::default() }
}

/// The only answer for all failures.
fn answer(e: &Evidence<'_>, findings: &[FindingId]) -> Option<String> {
    let rows = account(e, &found(findings)).rows;
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0].by.clone()
}

#[test]
fn what_met_a_link_that_was_away_is_a_findings_where_one_says_so_and_excused_elsewhere() {
    let e = evidence(vec![failing(Failure::ReadTimeout), away()]);
    assert_eq!(answer(&e, &[]).as_deref(), Some("link_away"));
    assert_eq!(answer(&e, &[FindingId::LinkOutages]).as_deref(), Some("link_outages"));
    assert_eq!(answer(&e, &[FindingId::DeviceRebooted]).as_deref(), Some("device_rebooted"));
    assert_eq!(
        answer(&e, &[FindingId::DeviceRebooted, FindingId::LinkOutages]).as_deref(),
        Some("link_outages")
    );
}

#[test]
fn an_anomaly_is_excused_by_what_goes_on_for_the_whole_of_its_time() {
    let w = failing(Failure::ReadTimeout);
    let by = |first_s, last_s| {
        let anomaly = AnomalyRow {
            id: AnomalyId::AbortiveClose,
            class: AnomalyClass::Device,
            count: 1,
            connections: 1,
            workload: Some("w".into()),
            first_s,
            last_s,
            direction: Direction::FromDevice,
            examples: Vec::new(),
        };
        let rows = [anomaly];
        let e = Evidence { anomalies: &rows, ..evidence(vec![w.clone(), away()]) };
        let rows = account(&e, &[]).rows;
        let row = rows.into_iter().find(|row| !row.anomalies.is_empty());
        row.and_then(|row| row.by)
    };
    for (first_s, last_s) in [(11.0, 19.0), (9.5, 12.0), (15.0, 20.9)] {
        assert_eq!(by(first_s, last_s).as_deref(), Some("link_away"), "{first_s} to {last_s} s");
    }
    for (first_s, last_s) in [(5.0, 12.0), (15.0, 25.0), (5.0, 25.0), (1.0, 2.0), (30.0, 31.0)] {
        assert_eq!(by(first_s, last_s), None, "{first_s} to {last_s} s");
    }
}

/// Findings whose fault is seen in the answers: they ask the evidence which failures those are.
const ANSWERS: [FindingId; 11] = [
    FindingId::HttpErrors,
    FindingId::MalformedResponse,
    FindingId::TlsFailed,
    FindingId::UploadStalled,
    FindingId::HeadUnanswered,
    FindingId::OtherProtocol,
    FindingId::PipeliningLost,
    FindingId::EventStream,
    FindingId::ClosesIdle,
    FindingId::MakesRoom,
    FindingId::ClosesUnserved,
];

fn explained(id: FindingId, failure: Failure) -> bool {
    let e = evidence(vec![failing(failure)]);
    scope::explains(&e, &e.workloads[0], id, failure, &e.workloads[0].episodes[0])
}

#[test]
fn no_fault_of_a_connection_explains_an_answer_of_its_own() {
    for id in FindingId::ALL.into_iter().filter(|id| !ANSWERS.contains(id)) {
        assert!(!explained(id, Failure::BadStatus), "{}", id.name());
    }
}

#[test]
fn what_happens_at_a_time_explains_nothing_where_it_did_not_happen() {
    use FindingId as Id;
    let timed = [
        Id::DeviceCrashed,
        Id::Brownout,
        Id::Watchdog,
        Id::NoMemoryReported,
        Id::WifiLost,
        Id::WifiDeauthenticated,
    ];
    for id in timed {
        assert!(!explained(id, Failure::ReadTimeout), "{}", id.name());
    }
    // Without a time of its own a fault explains its kinds at any time.
    assert!(explained(Id::DeviceUnreachable, Failure::ReadTimeout));
    assert!(explained(Id::NoEcho, Failure::DatagramLost));
    assert!(
        explained(Id::DeviceRebooted, Failure::ReadReset)
            && !explained(Id::DeviceRebooted, Failure::ReadTimeout)
    );
}
