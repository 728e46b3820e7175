//! Findings that look alike are told apart, and near misses have none.

mod heap;
mod path;
mod power_save;
mod silence;

use crate::findings_support::*;
use espstress_diagnose::*;
use espstress_event::{AnomalyClass, AnomalyId, Failure, FailureCounts, NotJudged};

#[test]
fn one_connection_served_is_blocked_and_several_are_not_reclaimed() {
    for (served, expected) in [
        (0, FindingId::BlockedApplication),
        (1, FindingId::BlockedApplication),
        (2, FindingId::HalfOpenNotReclaimed),
    ] {
        let w = half_open_with(|h| {
            never_reclaimed(h);
            h.served = served;
        });
        assert_eq!(Case::clean(w).ids(), [expected], "{served} served");
    }
}

#[test]
fn a_device_made_for_one_connection_is_not_called_blocked() {
    let w = half_open_with(|h| {
        never_reclaimed(h);
        h.served = 1;
    });
    let case = Case::clean(w).with(|e| e.device.capacity = Some(1));
    assert_eq!(case.ids(), [FindingId::HalfOpenNotReclaimed]);
}

/// Nobody is served for some seconds, and later the device restarts, in a run of 36 s.
fn hangs_and_restarts_later(stuck: u64, cut: u64) -> Case {
    let counts = |failure, n| {
        let mut failures = FailureCounts::default();
        failures.add(failure, n);
        failures
    };
    let (silent, reset) = (counts(Failure::ReadTimeout, stuck), counts(Failure::ReadReset, cut));
    let mut w = head(60 + stuck + cut);
    (w.succeeded, w.at_once) = (60, 4);
    w.failures.merge(&silent);
    w.failures.merge(&reset);
    let none = FailureCounts::default();
    w.episodes = vec![
        episode(0, 4, 30, &none),
        episode(4, 12, 0, &silent),
        episode(12, 33, 30, &none),
        episode(33, 34, 0, &reset),
    ];
    let restart =
        RestartEvidence { at_ns: 34 * S, reason: Some(ResetReason::TaskWatchdog), last_words: None };
    Case::clean(w).telemetry(|t| t.restarts = vec![restart])
}

#[test]
fn a_second_fault_needs_failures_that_the_first_does_not_explain() {
    assert_eq!(
        hangs_and_restarts_later(20, 4).ids(),
        [FindingId::BlockedApplication, FindingId::DeviceRebooted]
    );
    assert_eq!(hangs_and_restarts_later(0, 4).ids(), [FindingId::DeviceRebooted]);
}

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
fn a_watch_shorter_than_the_keep_alive_accuses_nobody() {
    let w = half_open_with(|h| {
        never_reclaimed(h);
        h.watched_ns = 10 * S;
    });
    assert_eq!(Case::clean(w).ids(), []);
}

#[test]
fn a_server_that_takes_all_silent_connections_and_serves_on_has_no_finding() {
    let w = half_open_with(|h| {
        never_reclaimed(h);
        fell_silent(h, 64, 0, 0);
        h.exhausted = Some(false);
        h.during = client(60, 60);
    });
    assert_eq!(Case::clean(w).no_telemetry().ids(), []);
}

#[test]
fn sockets_that_the_device_counts_and_never_frees_are_a_warning_before_they_run_out() {
    let w = half_open_with(|h| {
        never_reclaimed(h);
        fell_silent(h, 3, 0, 0);
        h.exhausted = Some(false);
        h.during = client(60, 60);
        h.sockets_used = sockets(5, 8, 8);
    });
    let found = Case::clean(w).findings();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].id, found[0].severity), (FindingId::HalfOpenNotReclaimed, Severity::Warning));
}

#[test]
fn what_half_open_did_is_not_blamed_on_a_later_workload() {
    let lost = [(Failure::ReadTimeout, 6), (Failure::ConnectTimeout, 18)];
    let case = Case::clean(half_open_with(never_reclaimed))
        .with(|e| e.workloads.push(dies_after(head(0), 0, &lost)));
    assert_eq!(case.ids(), [FindingId::HalfOpenNotReclaimed]);
}

#[test]
fn lingering_of_served_connections_is_exhaustion_and_of_unanswered_ones_is_a_hang() {
    let lost = [(Failure::ReadTimeout, 6), (Failure::ConnectTimeout, 18)];
    let case = Case::clean(dies_after(head(0), 5, &lost));
    let hang = case.clone().anomaly(AnomalyId::HalfClosedLinger, 6);
    assert_eq!(hang.ids(), [FindingId::BlockedApplication]);
    assert_eq!(case.anomaly(AnomalyId::HalfClosedLinger, 11).ids(), [FindingId::SocketExhaustion]);
}

#[test]
fn service_that_goes_on_is_an_overflow_and_service_that_ends_is_not() {
    let failures = [(Failure::ConnectTimeout, 22)];
    let on = fails_beside(WorkloadEvidence { at_once: 64, ..head(5_000) }, &failures);
    let case = Case::clean(on).anomaly(AnomalyId::SynUnanswered, 22);
    assert_eq!(case.ids(), [FindingId::AcceptOverflow]);
    let ends = dies_after(WorkloadEvidence { at_once: 64, ..head(0) }, 5_000, &failures);
    assert_eq!(Case::clean(ends).ids(), [FindingId::BlockedApplication]);
}

#[test]
fn accepting_without_a_free_socket_is_an_overflow() {
    let w = WorkloadEvidence { at_once: 16, ..head(4_459) };
    let w = fails_beside(w, &[(Failure::ReadReset, 186), (Failure::EofBeforeResponse, 355)]);
    let case = Case::clean(w)
        .anomaly(AnomalyId::RstAfterHandshake, 186)
        .anomaly(AnomalyId::ClosedUnserved, 355)
        .anomaly(AnomalyId::RstAfterFin, 355)
        .with(|e| e.resets.answering_payload = 355);
    assert_eq!(case.ids(), [FindingId::AcceptOverflow], "the late requests met closed sockets");
}

#[test]
fn one_connection_at_a_time_cannot_overflow() {
    let w = fails_beside(WorkloadEvidence { at_once: 1, ..head(500) }, &[(Failure::ConnectTimeout, 4)]);
    assert_eq!(Case::clean(w).ids(), [FindingId::UnexplainedFailures]);
}

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

#[test]
fn recovery_within_back_off_is_in_time_and_beyond_it_slow() {
    let case = |recovery| {
        let mut w = outage(1);
        w.outages.as_mut().unwrap().rows[0] = EndedOutage {
            outage: OutageRow {
                planned_start_ns: Some(5 * S),
                planned_length_ns: Some(10 * S),
                ..seen(OutageOrigin::Made, 5 * S, 10 * S)
            },
            recovery,
        };
        Case::clean(w).findings().iter().map(|f| (f.id, f.severity)).collect::<Vec<_>>()
    };
    assert_eq!(case(Recovery::After(23 * S)), []);
    assert_eq!(case(Recovery::CutOff), []);
    assert_eq!(case(Recovery::After(24 * S)), [(FindingId::SlowRecovery, Severity::Warning)]);
    assert_eq!(case(Recovery::NotWithin(60 * S)), [(FindingId::SlowRecovery, Severity::Error)]);
}

/// A device that had dialled in and was away for `away` seconds when the run of 60 s ended.
fn dialled_and_away(away: u64) -> Case {
    let mut w = outage(1);
    let outages = w.outages.as_mut().unwrap();
    (outages.made, outages.natural, outages.quiet_ns) = (0, 1, 3 * S);
    outages.rows[0] = EndedOutage {
        outage: OutageRow {
            origin: OutageOrigin::Natural,
            device: Some(1),
            seen_start_ns: Some((60 - away) * S),
            ..OutageRow::default()
        },
        recovery: Recovery::NotBack(away * S),
    };
    Case::clean(w)
}

#[test]
fn a_device_that_does_not_dial_in_again_is_gone_once_it_had_its_time() {
    fn none<T>() -> Measured<T> {
        Measured::Unavailable { reason: "switched off".into() }
    }
    let unasked = |away| {
        let probes = ProbesEvidence { icmp: none(), tcp: none(), telemetry: none() };
        dialled_and_away(away).with(|e| (e.probes, e.telemetry) = (probes, none())).ids()
    };
    // Three seconds of quiet, and ten for the recovery.
    assert_eq!(unasked(12), []);
    assert_eq!(unasked(13), [FindingId::DeviceUnreachable]);
    // Its stack answers: its program does not dial.
    let case = dialled_and_away(30);
    let found: Vec<_> = case.findings().iter().map(|f| (f.id, f.severity)).collect();
    assert_eq!(found, [(FindingId::SlowRecovery, Severity::Error)]);
}

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
fn failures_while_nothing_succeeds_are_no_overflow() {
    let nobody = || Measured::Unavailable { reason: "off".to_owned() };
    let mut w = fails_beside(head(2_000), &[(Failure::ConnectTimeout, 8)]);
    let failures = std::mem::take(&mut w.episodes[0].failures);
    w.episodes = vec![
        episode(0, 9, 1_000, &FailureCounts::default()),
        episode(11, 14, 0, &failures),
        episode(16, 29, 1_000, &FailureCounts::default()),
    ];
    let case = Case::clean(w)
        .with(|e| e.probes = ProbesEvidence { icmp: nobody(), tcp: nobody(), telemetry: nobody() });
    assert_eq!(case.ids(), [FindingId::UnexplainedFailures], "a link that was away does that as well");
    assert_eq!(case.findings()[0].severity, Severity::Warning);
}

#[test]
fn ping_without_tcp_is_a_program_that_accepts_nothing() {
    let case = Case::clean(dies_after(head(0), 0, &[(Failure::ConnectTimeout, 9)]));
    case.always(&[FindingId::BlockedApplication]);
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

#[test]
fn clients_that_give_up_before_the_queue_reaches_them_meet_an_overflow_and_no_hang() {
    let lost = [(Failure::ReadTimeout, 12), (Failure::ConnectTimeout, 16)];
    let w = WorkloadEvidence { at_once: 12, ..dies_after(head(0), 2, &lost) };
    // The device ended every connection in order, only later.
    let case = Case::clean(w).anomaly(AnomalyId::SynUnanswered, 16).with(|e| e.idle = Some(Vec::new()));
    assert_eq!(case.ids(), [FindingId::AcceptOverflow]);
    let provoked = row(AnomalyId::HalfClosedLinger, AnomalyClass::Provoked, 12, Some("head"));
    let of_probes = row(AnomalyId::HalfClosedLinger, AnomalyClass::Device, 3, Some("probe"));
    assert_eq!(case.clone().row(of_probes).ids(), [FindingId::AcceptOverflow]);
    let idle = |e: &mut Evidence<'static>| e.idle = Some(vec![Quiet { from_ns: 5 * S, to_ns: 30 * S }]);
    let hangs = case.row(provoked).with(idle);
    assert_eq!(hangs.ids(), [FindingId::BlockedApplication], "its program sent nothing any more");
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
fn what_a_device_without_memory_does_not_acknowledge_says_nothing_of_its_program() {
    let failures = [(Failure::ReadReset, 90), (Failure::ConnectReset, 86), (Failure::ReadTimeout, 9)];
    let w = WorkloadEvidence { close: ClosePolicy::Wait, ..dies_after(head(0), 467, &failures) };
    let case = Case::clean(w).anomaly(AnomalyId::NoAckToData, 1).anomaly(AnomalyId::HalfClosedLinger, 8);
    let starved = case.clone().with(|e| e.probes.telemetry = Measured::Value(silent_from(S)));
    assert_eq!(starved.ids(), [FindingId::HeapLow], "{:#?}", starved.findings());
    assert!(case.ids().contains(&FindingId::BlockedApplication), "with memory it does");
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
fn connections_that_were_open_when_a_program_hung_are_no_sockets_that_it_keeps() {
    let lost = [(Failure::ReadTimeout, 5), (Failure::ConnectTimeout, 7)];
    let case = Case::clean(dies_after(head(0), 20, &lost));
    // Four at once: five without an answer, and at most four answered ones that the hang kept open.
    let hang = case.clone().anomaly(AnomalyId::HalfClosedLinger, 8);
    assert_eq!(hang.ids(), [FindingId::BlockedApplication]);
    assert_eq!(case.anomaly(AnomalyId::HalfClosedLinger, 11).ids(), [FindingId::SocketExhaustion]);
}

#[test]
fn sockets_that_were_filled_before_the_first_account_are_kept_all_the_same() {
    let lost = [(Failure::ReadTimeout, 5), (Failure::ConnectTimeout, 10)];
    let w = WorkloadEvidence { close: ClosePolicy::Rst, ..dies_after(head(0), 5, &lost) };
    let full = SocketsEvidence { first: 10, most: 10, last: 10, limit: Some(10) };
    let provoked = row(AnomalyId::HalfClosedLinger, AnomalyClass::Provoked, 5, Some("head"));
    let case = Case::clean(w).row(provoked).telemetry(|t| t.sockets = Some(full));
    assert_eq!(case.ids(), [FindingId::SocketExhaustion]);
}

#[test]
fn as_many_time_waits_as_the_heap_holds_are_want_of_memory_without_a_single_reset() {
    let failures = [(Failure::ReadTimeout, 8), (Failure::ConnectTimeout, 5)];
    let w = WorkloadEvidence { close: ClosePolicy::Wait, ..dies_after(head(0), 455, &failures) };
    let silent = |e: &mut Evidence<'static>| e.probes.telemetry = Measured::Value(silent_from(S));
    let case = Case::clean(w.clone()).anomaly(AnomalyId::HalfClosedLinger, 8).with(silent);
    assert_eq!(case.ids(), [FindingId::HeapLow]);
    let host_closes = WorkloadEvidence { close: ClosePolicy::Fin, ..w };
    let case = Case::clean(host_closes).anomaly(AnomalyId::HalfClosedLinger, 8).with(silent);
    assert_eq!(case.ids(), [FindingId::BlockedApplication], "the host keeps TIME_WAIT then");
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
fn what_made_outages_left_without_a_first_answer_is_no_hang() {
    let w = WorkloadEvidence { at_once: 1, ..fails_beside(outage(5), &[(Failure::ReadTimeout, 5)]) };
    assert_eq!(Case::clean(w.clone()).ids(), []);
    let mut more = WorkloadEvidence { at_once: 1, ..fails_beside(outage(5), &[(Failure::ReadTimeout, 14)]) };
    let served = FailureCounts::default();
    more.episodes =
        vec![episode(0, 4, 900, &served), episode(20, 22, 0, &more.failures), episode(24, 29, 900, &served)];
    assert_eq!(Case::clean(more).ids(), [FindingId::BlockedApplication]);
}

#[test]
fn what_made_outages_cost_the_workloads_beside_them_is_held_against_nobody() {
    let made = outage(89);
    let paced = fails_beside(head(8_974), &[(Failure::ConnectTimeout, 26)]);
    let paced = WorkloadEvidence { at_once: 2, ..paced };
    let standing = fails_beside(rw(8_937), &[(Failure::ReadTimeout, 63)]);
    let standing = WorkloadEvidence { at_once: 2, ..standing };
    let case = Case::clean(paced).with(|e| {
        let probe = || Measured::Value(probe_through(&made));
        e.probes = ProbesEvidence { icmp: probe(), tcp: probe(), telemetry: probe() };
        e.workloads.extend([standing, made.clone()]);
    });
    assert_eq!(case.ids(), []);
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
fn one_client_at_a_time_is_no_want_of_sockets_though_nobody_was_asked_meanwhile() {
    let w = half_open_with(|h| {
        never_reclaimed(h);
        fell_silent(h, 1, 2, 0);
        h.during = Availability::default();
        h.exhausted = Some(false);
        h.sockets_used = sockets(5, 6, 6);
    });
    assert_eq!(Case::clean(w).ids(), []);
}

#[test]
fn a_program_that_hangs_in_one_workload_hangs_whatever_a_later_one_meets() {
    let one = WorkloadEvidence { at_once: 1, ..head(60) };
    let dead = dies_after(one, 9, &[(Failure::ReadTimeout, 6)]);
    assert_eq!(Case::clean(dead.clone()).ids(), [FindingId::BlockedApplication]);
    let later = WorkloadEvidence { name: "later".into(), start_ns: 31 * S, ..head(60) };
    let case = Case::clean(dead).with(|e| e.workloads.push(later));
    assert_eq!(case.ids(), [FindingId::BlockedApplication]);
    let said = &case.findings()[0].statement;
    assert!(said.contains("for up to 25 s") && !said.contains("didn't recover"), "it did, by then: {said}");
}

#[test]
fn sockets_kept_are_held_against_what_was_open_as_service_ended_and_not_against_an_earlier_crowd() {
    let crowd = WorkloadEvidence {
        name: "crowd".into(),
        at_once: 12,
        episodes: vec![episode(0, 1, 36, &FailureCounts::default())],
        ..head(36)
    };
    let failures = [(Failure::ReadTimeout, 5), (Failure::ConnectTimeout, 2)];
    let resets = WorkloadEvidence { close: ClosePolicy::Rst, at_once: 1, ..head(12) };
    let resets = dies_after(resets, 5, &failures);
    let case = Case::clean(crowd)
        .with(|e| e.workloads.push(resets))
        .telemetry(|t| t.sockets = Some(SocketsEvidence { first: 5, most: 10, last: 10, limit: Some(10) }));
    assert_eq!(case.ids(), [FindingId::SocketExhaustion]);
}

#[test]
fn connections_that_fail_together_right_before_others_are_served_are_an_overflow() {
    let mut w = fails_beside(WorkloadEvidence { at_once: 12, ..head(6) }, &[(Failure::ConnectTimeout, 21)]);
    w.episodes = vec![episode(0, 1, 0, &w.failures), episode(1, 2, 6, &FailureCounts::default())];
    let case = Case::clean(w).anomaly(AnomalyId::SynUnanswered, 21).with(|e| e.idle = Some(Vec::new()));
    assert_eq!(case.ids(), [FindingId::AcceptOverflow]);
}

#[test]
fn waiting_within_the_capacity_makes_an_overflow_the_programs_fault() {
    let crowd = WorkloadEvidence { name: "crowd".into(), at_once: 12, ..head(60) };
    let crowd = fails_beside(crowd, &[(Failure::ConnectTimeout, 20)]);
    let severity = |p50_ns: u64| {
        let few = WorkloadEvidence {
            main: Some(Quantiles { count: 9, p50_ns, max_ns: 9 * S, ..Quantiles::default() }),
            ..head(9)
        };
        let case = Case::clean(crowd.clone()).anomaly(AnomalyId::SynUnanswered, 20);
        let case = case.with(|e| e.workloads.push(few));
        case.with(|e| e.device.capacity = Some(5)).findings()[0].severity
    };
    assert_eq!(severity(50 * MS), Severity::Warning, "more at once than the device has sockets for");
    assert_eq!(severity(4 * S), Severity::Error);
}
