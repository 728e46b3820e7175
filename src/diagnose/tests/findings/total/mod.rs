//! Whatever the evidence, findings are said in whole sentences with figures that are numbers.

mod device;
mod dice;
mod protocols;
mod workloads;

use dice::Dice;
use espstress_diagnose::*;
use espstress_event::ByProtocol;
use proptest::prelude::*;

/// A sentence: something, ended by a full stop.
fn is_sentence(text: &str) -> bool {
    text.ends_with('.') && text.chars().next().is_some_and(|c| c.is_uppercase() || c.is_ascii_digit())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn any_evidence_gives_findings_in_words_and_numbers(seed in any::<u64>()) {
        let (evidence, rows, air) = Dice(seed).evidence();
        let found = findings(&Evidence { anomalies: &rows, air: air.as_ref(), ..evidence });
        for f in &found {
            prop_assert!(is_sentence(&f.statement), "{f:?}");
            prop_assert!(!f.cause.is_empty() && !f.change.is_empty(), "{f:?}");
            let worst = finding_catalogue().into_iter().find(|e| e.id == f.id).map(|e| e.severity);
            prop_assert!(worst.is_some_and(|worst| worst <= f.severity), "{f:?}");
            for text in f.evidence.iter().chain([&f.statement, &f.cause, &f.change]) {
                prop_assert!(!text.contains("NaN") && !text.contains("inf "), "{text}");
                prop_assert!(!text.contains("  "), "{text}");
            }
        }
        let mut ids: Vec<_> = found.iter().map(|f| f.id).collect();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), found.len(), "each finding once");
        prop_assert!(found.is_sorted_by_key(|f| f.severity));
    }
}

/// A run in which every request was answered, in time or late: some findings are only said where nothing else is wrong.
fn of_answers(workloads: &[WorkloadEvidence]) -> Evidence<'static> {
    let answered = |w: &WorkloadEvidence| WorkloadEvidence {
        attempts: w.succeeded,
        succeeded: w.succeeded,
        tcp: Some(TcpEvidence::default()),
        pace: w.pace.clone(),
        by_protocol: w
            .by_protocol
            .as_ref()
            .map(|by| Box::new(ByProtocol { standstills: by.standstills, ..ByProtocol::default() })),
        ..WorkloadEvidence::default()
    };
    Evidence { workloads: workloads.iter().map(answered).collect(), ..Evidence::default() }
}

#[test]
fn the_dice_reach_every_finding() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200_000 {
        let (evidence, rows, air) = Dice(u64::wrapping_mul(seed, 0x9E37_79B9_7F4A_7C15)).evidence();
        seen.extend(findings(&of_answers(&evidence.workloads)).into_iter().map(|f| f.id));
        seen.extend(
            findings(&Evidence { anomalies: &rows, air: air.as_ref(), ..evidence }).into_iter().map(|f| f.id),
        );
        if seen.len() == FindingId::ALL.len() {
            return;
        }
    }
    panic!("only {seen:?}");
}

#[test]
fn the_catalogue_explains_every_finding_in_the_order_of_the_ids() {
    let ids = finding_catalogue().map(|entry| entry.id);
    assert_eq!(ids, FindingId::ALL);
    for e in finding_catalogue() {
        let texts = [e.meaning, e.needs, e.neighbours, e.change];
        assert!(texts.iter().all(|t| t.len() > 8 && !t.contains("  ")), "{}", e.id.name());
    }
}

#[test]
fn no_evidence_at_all_means_no_finding() {
    assert_eq!(findings(&Evidence::default()), []);
}
