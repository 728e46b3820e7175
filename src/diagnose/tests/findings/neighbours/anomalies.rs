//! Anomalies that no failure goes with.

use espstress_diagnose::*;
use espstress_event::{AnomalyClass, AnomalyId};

use crate::support::*;

#[test]
fn an_anomaly_that_fails_nothing_and_that_nothing_explains_is_said_once_it_is_no_chance() {
    let duels = |n| Case::clean(head(300)).anomaly(AnomalyId::FinDuel, n);
    let found = duels(30).findings();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].id, found[0].severity), (FindingId::UnexplainedFailures, Severity::Warning));
    assert!(found[0].statement.contains("30 of 300 connections") && found[0].statement.contains("fin_duel"));
    assert_eq!(duels(3).ids(), []);
}

#[test]
fn an_anomaly_that_a_finding_explains_is_in_its_row_of_the_account() {
    let case = Case::clean(head(300)).anomaly(AnomalyId::AbortiveClose, 300).anomaly(AnomalyId::FinDuel, 30);
    assert_eq!(case.ids(), [FindingId::AbortiveClose]);
    let account = case.diagnosis().account;
    assert_eq!(account.rows.len(), 1, "{account:#?}");
    assert_eq!(account.rows[0].by.as_deref(), Some("abortive_close"));
    let anomalies: Vec<_> = account.rows[0].anomalies.iter().map(|(id, n)| (*id, *n)).collect();
    assert_eq!(anomalies, [(AnomalyId::AbortiveClose, 300), (AnomalyId::FinDuel, 30)]);
}

#[test]
fn a_rst_that_answers_payload_is_abortive_and_one_that_answers_a_late_fin_is_not() {
    let case = |payload, late| {
        Case::clean(head(50)).anomaly(AnomalyId::RstAfterFin, 50).with(|e| {
            e.resets = ResetCauses {
                answering_payload: payload,
                answering_late_close: late,
                ..ResetCauses::default()
            };
        })
    };
    assert_eq!(case(50, 0).ids(), [FindingId::AbortiveClose]);
    assert_eq!(case(0, 50).ids(), [FindingId::FinWaitTimeout]);
    assert_eq!(case(20, 30).ids(), [FindingId::AbortiveClose, FindingId::FinWaitTimeout]);
    assert_eq!(case(0, 0).ids(), [FindingId::UnexplainedFailures], "neither explains these");
}

#[test]
fn provoked_and_path_anomalies_are_no_evidence_against_the_device() {
    for class in [AnomalyClass::Provoked, AnomalyClass::Path] {
        let case = AnomalyId::ALL
            .into_iter()
            .fold(Case::clean(head(500)), |case, id| case.row(row(id, class, 100, Some("head"))));
        assert_eq!(case.ids(), [], "{class:?}");
    }
}
