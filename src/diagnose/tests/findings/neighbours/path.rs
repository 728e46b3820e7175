//! What the path does: single losses, outages, repetitions, each told from the others and from the device.

use espstress_diagnose::*;
use espstress_event::{AnomalyClass, AnomalyId, Failure, FailureCounts, Losses};

use crate::support::*;

#[test]
fn repetitions_by_delayed_acknowledgements_are_no_loss_when_every_ping_arrives() {
    let case = Case::clean(rw(2_000)).with(|e| {
        let to_device = PathFigures { data_segments: 2_000, retransmissions: 400, ..Default::default() };
        e.path = e.path.map(|p| PathEvidence { to_device, ..p });
    });
    assert_eq!(case.ids(), []);
}

#[test]
fn repetitions_on_a_link_that_holds_frames_back_for_longer_than_the_host_waits_are_no_loss() {
    // Both copies came together, and one acknowledgement answered both.
    let held = |min: u64, nine: u64| {
        let latency = |q: Quantiles| Quantiles { min_ns: min * MS, p90_ns: nine * MS, ..q };
        let probe = || ProbeEvidence { latency: probe(6).latency.map(latency), ..probe(6) };
        let case = Case::clean(rw(100)).no_telemetry().with(|e| {
            e.probes.icmp = Measured::Value(probe());
            let losses = Losses { segments: 100, lost: 14, again: 0 };
            e.path = e.path.map(|p| PathEvidence { losses, ..p });
        });
        case.ids()
    };
    assert_eq!(held(4, 291), []);
    assert_eq!(held(4, 12), [FindingId::LossyLink]);
    // A satellite's way is long each time, and the host's time-out follows it.
    assert_eq!(held(590, 620), [FindingId::LossyLink]);
}

#[test]
fn spells_without_an_answer_are_outages_and_no_scattered_loss() {
    let away = || ProbeEvidence {
        answered: 52,
        silences: vec![
            Silence { from_ns: 8 * S, to_ns: Some(12 * S), lost: 4 },
            Silence { from_ns: 20 * S, to_ns: Some(24 * S), lost: 4 },
        ],
        ..probe(60)
    };
    let case = Case::clean(rw(2_000)).with(|e| {
        e.probes.icmp = Measured::Value(away());
        e.probes.tcp = Measured::Value(away());
        e.probes.telemetry = Measured::Value(away());
    });
    case.always(&[FindingId::LinkOutages]);
    assert_eq!(case.findings()[0].severity, Severity::Warning);
}

#[test]
fn what_a_machine_that_stood_still_did_not_hear_is_no_outage() {
    let away = |lost| ProbeEvidence {
        answered: 60 - lost,
        silences: vec![Silence { from_ns: 8 * S, to_ns: Some((8 + lost) * S), lost }],
        ..probe(60)
    };
    let still = |from: u64, to: u64| StoodStill { from_ns: from * MS, to_ns: to * MS };
    let case = |spells: &[StoodStill]| {
        Case::clean(rw(2_000)).with(|e| {
            e.probes.icmp = Measured::Value(away(4));
            e.probes.telemetry = Measured::Value(away(4));
            e.host.stood_still = spells.to_vec();
        })
    };
    assert_eq!(case(&[still(8_100, 11_700)]).ids(), []);
    assert_eq!(case(&[still(8_100, 9_300), still(9_900, 11_000)]).ids(), [], "half of it, in two pieces");
    assert_eq!(
        case(&[still(8_100, 9_300)]).ids(),
        [FindingId::LinkOutages],
        "the rest was not the machine's"
    );
    assert_eq!(case(&[still(2_000, 7_900), still(13_000, 19_000)]).ids(), [FindingId::LinkOutages]);
    let natural =
        EndedOutage { outage: seen(OutageOrigin::Natural, 9 * S, 3 * S), recovery: Recovery::After(S) };
    let mut w = outage(0);
    w.outages = Some(OutageEvidence { natural: 1, rows: vec![natural], ..Default::default() });
    let seen = Case::clean(w).no_icmp().no_telemetry();
    assert_eq!(seen.ids(), [FindingId::LinkOutages]);
    assert_eq!(seen.with(|e| e.host.stood_still = vec![still(9_000, 12_100)]).ids(), []);
}

#[test]
fn datagrams_of_a_machine_that_catches_up_are_lost_by_its_own_burst() {
    let by = |from| {
        let mut w = fails_beside(rw(700), &[(Failure::DatagramLost, 300)]);
        let failures = w.failures.clone();
        w.episodes = vec![
            episode(0, from, 700, &FailureCounts::default()),
            episode(from, from + 1, 0, &failures),
            episode(from + 1, 30, 400, &FailureCounts::default()),
        ];
        let case = Case::clean(w)
            .with(|e| e.host.stood_still = vec![StoodStill { from_ns: 5 * S, to_ns: 12 * S - 9 * MS }]);
        let rows = case.diagnosis().account.rows;
        rows.iter().map(|row| row.by.clone().unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(by(12), ["host_stood_still"]);
    assert_ne!(by(14), ["host_stood_still"], "two seconds later, nothing had piled up");
}

#[test]
fn probes_that_are_lost_in_a_row_while_packets_come_are_no_outage() {
    let unlucky = |lost: u64| {
        let silences = vec![Silence { from_ns: 8 * S, to_ns: Some((8 + lost) * S), lost }];
        let probe = || ProbeEvidence { answered: 60 - lost, silences: silences.clone(), ..probe(60) };
        Case::clean(rw(2_000)).with(|e| {
            e.probes.icmp = Measured::Value(probe());
            e.probes.telemetry = Measured::Value(probe());
        })
    };
    let quiet = |spells: &[(u64, u64)]| {
        let spells = spells.iter().map(|&(from, to)| Quiet { from_ns: from * MS, to_ns: to * MS });
        Some(spells.collect())
    };
    let beside = |lost, spells: &[(u64, u64)]| unlucky(lost).with(|e| e.quiet = quiet(spells)).ids();
    for lost in [2, 4] {
        assert_eq!(beside(lost, &[]), [], "packets came all the time");
        assert_eq!(beside(lost, &[(6_000, 7_500), (8_700, 9_200)]), [], "pauses here and there are none");
        let end = (8 + lost) * 1_000;
        assert_eq!(
            beside(lost, &[(7_900, end - 900)]),
            [FindingId::LinkOutages],
            "back before the next probe"
        );
        assert_eq!(beside(lost, &[(0, 40_000)]), [FindingId::LinkOutages], "nobody said anything at all");
        assert_eq!(unlucky(lost).no_capture(CaptureState::Off).ids(), [FindingId::LinkOutages]);
    }
}

#[test]
fn two_probes_lost_in_a_row_are_chance_on_a_losing_path_and_an_outage_elsewhere() {
    let found = |lost: u64, repeated: u64| {
        let silences = vec![Silence { from_ns: 8 * S, to_ns: Some((8 + lost) * S), lost }];
        let probe = || ProbeEvidence { answered: 60 - lost, silences: silences.clone(), ..probe(60) };
        let to_device =
            PathFigures { data_segments: 600 + repeated, retransmissions: repeated, ..Default::default() };
        let case = Case::clean(rw(600)).with(|e| {
            e.probes.icmp = Measured::Value(probe());
            e.probes.telemetry = Measured::Value(probe());
            e.path = e.path.map(|p| PathEvidence {
                to_device,
                from_device: PathFigures { data_segments: 600, ..p.from_device },
                ..p
            });
        });
        case.ids()
    };
    assert_eq!(found(2, 60), [FindingId::LossyLink], "losses before and after it as well");
    assert_eq!(found(2, 12), [FindingId::LinkOutages], "no more repetitions than it makes itself");
    assert_eq!(found(4, 60), [FindingId::LinkOutages, FindingId::LossyLink], "four seconds are no chance");
}

#[test]
fn an_outage_while_ping_goes_on_is_not_the_links() {
    let natural =
        EndedOutage { outage: seen(OutageOrigin::Natural, 9 * S, 8 * S), recovery: Recovery::After(S) };
    let with = |rows: Vec<EndedOutage>| {
        let mut w = outage(0);
        w.outages = Some(OutageEvidence { natural: rows.len() as u64, rows, ..Default::default() });
        Case::clean(w)
    };
    assert_eq!(with(vec![natural]).ids(), []);
    let unasked = with(vec![natural]).no_icmp().no_telemetry();
    assert_eq!(unasked.ids(), [FindingId::LinkOutages]);
}

#[test]
fn a_program_that_falls_silent_for_moments_while_every_ping_is_answered_is_no_link() {
    let rows: Vec<EndedOutage> = (1..=24)
        .map(|n| EndedOutage {
            outage: seen(OutageOrigin::Natural, n * 2 * S, 1_900 * MS),
            recovery: Recovery::After(300 * MS),
        })
        .collect();
    let with = |rows: &[EndedOutage]| {
        let mut w = outage(0);
        w.outages =
            Some(OutageEvidence { natural: rows.len() as u64, rows: rows.to_vec(), ..Default::default() });
        Case::clean(w)
    };
    assert_eq!(with(&rows).ids(), [FindingId::BlockedApplication]);
    // Two of them may lie between the pings.
    assert_eq!(with(&rows[..2]).ids(), [FindingId::LinkOutages]);
    assert_eq!(with(&rows).no_icmp().no_telemetry().ids(), [FindingId::LinkOutages]);
}

#[test]
fn disconnections_that_the_run_asked_for_are_not_the_links() {
    let case = |made| {
        Case::clean(rw(100)).telemetry(|t| {
            (t.wifi_disconnects, t.wifi_disconnects_made) = (Some(3), made);
            t.wifi_last_reason = Some("BEACON_TIMEOUT".into());
        })
    };
    assert_eq!(case(3).ids(), []);
    assert_eq!(case(1).ids(), [FindingId::LinkOutages]);
}

#[test]
fn requests_that_wait_in_a_backlog_are_repeated_early_and_not_lost() {
    let w = WorkloadEvidence { at_once: 5, ..dies_after(head(0), 7, &[(Failure::ReadTimeout, 13)]) };
    let case = Case::clean(w).with(|e| {
        e.probes = ProbesEvidence::default();
        let to_device =
            PathFigures { data_segments: 37, retransmissions: 17, repeated_early: 17, ..Default::default() };
        e.path = e.path.map(|p| PathEvidence { to_device, ..p });
        e.idle = Some(Vec::new());
    });
    assert_eq!(case.ids(), [FindingId::AcceptOverflow]);
}

#[test]
fn one_way_messages_that_are_repeated_early_are_not_lost() {
    // The second is from a machine that was busy: some were acknowledged a little later than at once.
    for (retransmissions, repeated_early) in [(27, 26), (12, 9)] {
        let to_device =
            PathFigures { data_segments: 117, retransmissions, repeated_early, ..Default::default() };
        let case = Case::clean(outage(0)).with(|e| {
            e.probes.icmp = Measured::Value(probe(10));
            e.path = e.path.map(|p| PathEvidence { to_device, ..p });
        });
        assert_eq!(case.ids(), []);
    }
}

#[test]
fn a_handful_of_segments_shows_no_loss_and_a_small_sample_no_percentage() {
    let with = |segments, repeated| {
        Case::clean(head(20)).with(|e| {
            e.probes.icmp = Measured::Value(probe(2));
            let to_device =
                PathFigures { data_segments: segments, retransmissions: repeated, ..Default::default() };
            let from_device = PathFigures { data_segments: segments, ..Default::default() };
            e.path = e.path.map(|p| PathEvidence { to_device, from_device, ..p });
        })
    };
    assert_eq!(with(20, 3).ids(), []);
    // A link that loses one in two hundred has eight of four hundred once in a thousand runs.
    assert_eq!(with(200, 8).ids(), []);
    assert_eq!(with(200, 9).ids(), [FindingId::LossyLink]);
    let each_way = |lost: u64| {
        with(300, lost).with(|e| {
            let from_device = PathFigures { data_segments: 300, late_fills: lost, ..Default::default() };
            e.path = e.path.map(|p| PathEvidence { from_device, ..p });
        })
    };
    assert_eq!(each_way(5).ids(), []);
    assert_eq!(each_way(6).ids(), [FindingId::LossyLink], "twelve of six hundred");
    let small = with(80, 6);
    assert_eq!(small.ids(), [FindingId::LossyLink]);
    assert!(!small.findings()[0].statement.contains('%'), "{}", small.findings()[0].statement);
    assert!(with(400, 20).findings()[0].statement.contains("2.5 %"));
}

/// On a path that loses five of a hundred segments.
fn losing(case: Case) -> Case {
    let to_device = PathFigures { data_segments: 600, retransmissions: 30, ..Default::default() };
    case.with(|e| e.path = e.path.map(|p| PathEvidence { to_device, ..p })).with(|e| {
        e.probes.icmp = Measured::Value(ProbeEvidence { answered: 57, ..probe(60) });
    })
}

#[test]
fn losses_explain_no_failure_where_the_packets_charge_the_device_with_as_many_silences() {
    let failed = || {
        let lost = [(Failure::ReadTimeout, 1), (Failure::ConnectTimeout, 1)];
        losing(Case::clean(fails_beside(head(6), &lost)))
    };
    assert!(!failed().ids().contains(&FindingId::UnexplainedFailures));
    let charged = failed().row(row(AnomalyId::HalfClosedLinger, AnomalyClass::Device, 2, Some("head")));
    assert!(charged.ids().contains(&FindingId::UnexplainedFailures), "{:?}", charged.ids());
}

#[test]
fn the_last_answer_of_a_run_may_be_lost_on_a_losing_path() {
    let last = |failures| Case::clean(dies_after(head(0), 299, &[(Failure::ReadTimeout, failures)]));
    assert!(!losing(last(1)).ids().contains(&FindingId::BlockedApplication));
    let hung = last(20).anomaly(AnomalyId::HalfClosedLinger, 20);
    assert!(losing(hung).ids().contains(&FindingId::BlockedApplication));
}

#[test]
fn what_a_losing_path_has_not_acknowledged_is_no_leak_and_a_leak_is_still_found_there() {
    let lost = |bytes: u64| {
        Case::clean(head(2_000)).telemetry(|t| {
            t.requests = 2_000;
            t.heap = t.heap.map(|h| HeapEvidence {
                free_last: h.free_first - bytes,
                free_middle: Some(h.free_first - bytes / 2),
                free_min: h.free_first - bytes,
                per_request: Some(Slope { mean: -12.0, low: -13.0, high: -11.0 }),
                ..h
            });
        })
    };
    assert!(lost(10_000).ids().contains(&FindingId::HeapLeak));
    assert!(!losing(lost(10_000)).ids().contains(&FindingId::HeapLeak));
    assert!(losing(lost(88_000)).ids().contains(&FindingId::HeapLeak));
}

/// The host closes by RST, and the device has shown that it did not receive some of them.
fn resets_lost(case: Case, lost: u64, lost_at_once: u64) -> Case {
    case.with(|e| {
        let sent = e.workloads.iter().map(|w| w.attempts).sum();
        e.workloads.iter_mut().for_each(|w| w.close = ClosePolicy::Rst);
        e.path = e.path.map(|p| PathEvidence { resets: HostResets { sent, lost, lost_at_once }, ..p });
    })
}

#[test]
fn slots_that_lost_resets_hold_are_the_paths_doing_and_not_the_devices() {
    let timed_out = [(Failure::ConnectTimeout, 6), (Failure::ReadTimeout, 4)];
    let case = || Case::clean(WorkloadEvidence { at_once: 5, ..fails_beside(head(290), &timed_out) });
    let held = |lost_at_once| losing(resets_lost(case(), 12, lost_at_once)).ids();
    assert_eq!(held(5), [FindingId::LossyLink]);
    assert_eq!(held(3), [FindingId::LossyLink], "most of five slots");
    assert_eq!(held(2), [FindingId::AcceptOverflow, FindingId::LossyLink], "there was room for others");
    let unknown = losing(resets_lost(case(), 12, 3)).with(|e| e.device.capacity = None);
    assert_eq!(unknown.ids(), [FindingId::LossyLink]);
    assert_eq!(resets_lost(case(), 12, 5).ids(), [FindingId::AcceptOverflow], "nothing else was lost");
    let heedless = losing(resets_lost(case(), 200, 5)).ids();
    assert!(heedless.contains(&FindingId::AcceptOverflow), "a device that heeds no RST: {heedless:?}");
}

#[test]
fn a_run_that_ends_while_lost_resets_hold_the_slots_shows_no_end_of_service() {
    for failure in [Failure::ConnectTimeout, Failure::ReadTimeout] {
        let case = Case::clean(dies_after(WorkloadEvidence { at_once: 5, ..head(0) }, 295, &[(failure, 5)]));
        let case = losing(resets_lost(case, 9, 5)).telemetry(|t| {
            t.sockets = Some(SocketsEvidence { first: 5, most: 10, last: 10, limit: Some(10) });
        });
        assert_eq!(case.ids(), [FindingId::LossyLink], "{failure:?}");
    }
}

#[test]
fn sockets_that_are_left_at_the_end_of_a_run_are_lost_resets_where_they_are_a_few_of_many() {
    let left = |served| {
        let one_by_one = WorkloadEvidence { at_once: 1, ..head(served) };
        let case = losing(resets_lost(Case::clean(one_by_one), 1, 1));
        case.telemetry(|t| t.sockets = Some(SocketsEvidence { first: 5, most: 9, last: 9, limit: Some(10) }))
    };
    assert_eq!(left(300).ids(), [FindingId::LossyLink]);
    let ids = left(5).ids();
    assert!(ids.contains(&FindingId::SocketExhaustion), "most of those that were served: {ids:?}");
    let by_fin = left(300).with(|e| e.workloads[0].close = ClosePolicy::Fin).ids();
    assert!(by_fin.contains(&FindingId::SocketExhaustion), "a lost FIN is sent again: {by_fin:?}");
}

#[test]
fn sockets_that_are_held_for_longer_than_keep_alive_lets_them_are_no_lost_resets() {
    let w = WorkloadEvidence { at_once: 4, close: ClosePolicy::Rst, ..head(0) };
    let ends = |from| {
        let mut w = dies_after(w.clone(), 124, &[(Failure::ConnectTimeout, 14), (Failure::ReadTimeout, 3)]);
        for (episode, (start, end)) in w.episodes.iter_mut().zip([(0, from), (from, 30)]) {
            (episode.from_ns, episode.to_ns) = (start * S, end * S);
        }
        let case = losing(Case::clean(w));
        case.telemetry(|t| {
            t.sockets = Some(SocketsEvidence { first: 5, most: 10, last: 10, limit: Some(10) })
        })
    };
    let long = ends(12).findings();
    assert_eq!(long[0].id, FindingId::SocketExhaustion, "{long:#?}");
    assert!(long[0].cause.contains("lost some of these RSTs"), "{}", long[0].cause);
    assert!(!ends(24).ids().contains(&FindingId::SocketExhaustion));
}
