use super::super::fixtures;
use super::*;
use espstress_diagnose::{Accounted, WorkloadKind};
use espstress_event::WorkloadFacts;
use espstress_stats::{
    DeviceSeries, LimitReached, OpenFailure, ProbeKindStats, ProbeOutcome, ReclaimEvidence, Recorder,
    SilencedConnection, Stage,
};

/// A phase of `head` that came to this.
fn of_head(name: &str, recorder: Recorder) -> WorkloadOutcome {
    WorkloadOutcome {
        name: name.into(),
        kind: "head",
        facts: WorkloadFacts { kind: Some(WorkloadKind::Head), ..WorkloadFacts::default() },
        settings: serde_json::Value::Null,
        at_once: 12,
        stats: recorder.finish(1_000_000_000),
    }
}

/// What is measured where only these phases were.
fn only<'a>(workloads: &'a [WorkloadOutcome], packets: Option<&'a Packets>) -> Measured<'a> {
    Measured { workloads, probes: None, packets, console: None, findings: &[], account: &[] }
}

#[test]
fn the_page_states_how_long_the_device_took_and_not_how_long_this_host_put_it_off() {
    let mut recorder = Recorder::new(0, Phase::Total);
    for waited in [0, 2 * S, 4 * S] {
        recorder.attempt(0, S, Ok(()));
        recorder.latency_pair(Phase::Total, waited + 1_200_000_000, 1_200_000_000);
    }
    let workloads = [of_head(names::REQUESTS, recorder)];
    let measured = only(&workloads, None);
    let check = Look { measured: &measured, hold: None }.http();
    assert_eq!(check.seen, "3 of 3 requests answered, median 1.2 s, max 1.2 s");
}

#[test]
fn a_program_that_stood_still_has_no_tick_though_every_request_was_answered_at_last() {
    let phase = |name: &str, slowest| {
        let mut recorder = Recorder::new(0, Phase::Total);
        for took in [1_000_000, 1_000_000, slowest] {
            recorder.attempt(0, S, Ok(()));
            recorder.latency(Phase::FirstByte, took);
            recorder.latency(Phase::Total, took);
        }
        of_head(name, recorder)
    };
    let checks = |requests, late, beside| {
        let workloads =
            [phase(names::REQUESTS, requests), phase(names::LATE, late), phase(names::BESIDE, beside)];
        let measured = only(&workloads, None);
        let look = Look { measured: &measured, hold: None };
        (look.http(), look.late_request().unwrap())
    };
    let (at_once, stood) = (2_000_000, 6 * S);
    let (http, late) = checks(at_once, at_once, at_once);
    assert_eq!((http.mark, late.mark), (Mark::Good, Mark::Good));
    let (http, late) = checks(stood, at_once, stood);
    assert_eq!((http.mark, late.mark), (Mark::Unknown, Mark::Unknown));
    assert!(http.seen.ends_with("max 6.0 s") && late.seen.ends_with("took 6.0 s"), "{http:?} {late:?}");
    assert_eq!(checks(at_once, stood, at_once).1.mark, Mark::Unknown);
}

/// The checks of a device that had one request on each of 20 connections, of which the host ended so many.
fn one_each(by_host: u64) -> [Check; 2] {
    let mut recorder = Recorder::new(0, Phase::RoundTrip);
    for at in 0..20 {
        recorder.attempt(0, S, Ok(()));
        recorder.latency(Phase::Connect, 1_000);
        if at < by_host {
            recorder.ended(Ending::Fin, 1_000);
        }
    }
    let silent = fixtures::silent(Recorder::new(0, Phase::Total), S);
    let workloads = [of_head(names::PERSISTENT, recorder), silent];
    let measured = only(&workloads, None);
    let look = Look { measured: &measured, hold: None };
    [look.persistent().unwrap(), look.idle_connections().unwrap()]
}

#[test]
fn a_close_that_is_only_announced_is_not_told_as_one_that_was_seen() {
    let [kept, idle] = one_each(20);
    assert_eq!(kept.seen, "20 of 20 requests answered: its responses announce a close");
    assert_eq!(
        (idle.mark, idle.seen.as_str()),
        (Mark::Unknown, "not judged: its responses announce a close")
    );
    let [kept, idle] = one_each(1);
    assert_eq!(kept.seen, "20 of 20 requests answered: the device closes after each response");
    assert_eq!((idle.mark, idle.seen.as_str()), (Mark::Good, "none: the device closes after each response"));
}

/// Three connections that were silent for 26 s at most, and when the device ended each of them.
fn silent_three(ended_after: [Option<u64>; 3]) -> Recorder {
    let mut recorder = Recorder::new(0, Phase::Total);
    let h = recorder.half_open();
    for (connection, reclaimed_after_ns) in (1..).zip(ended_after) {
        h.fell_silent(SilencedConnection {
            connection,
            port: 40_000,
            stage: Stage::Served,
            opened_ns: None,
            silent_ns: 10 * S,
            reclaimed_after_ns,
            evidence: reclaimed_after_ns.map(|_| ReclaimEvidence::Fin),
        });
    }
    h.watched_ns = 26 * S;
    (h.limit, h.exhausted) = (LimitReached::Setting, Some(false));
    recorder
}

#[test]
fn a_connection_is_idle_until_it_ends_and_no_longer() {
    let idle = |ended, stay| {
        let stats = fixtures::silent(silent_three(ended), S).stats;
        let idle = idle::Idle::of_silent(stats.half_open.as_deref().unwrap(), stay);
        idle.map(idle::Idle::words).unwrap_or_default()
    };
    assert_eq!(idle([None; 3], true), "26 s idle");
    assert_eq!(idle([Some(S), Some(2 * S), None], true), "26 s idle");
    let ended = [Some(S), Some(2 * S), Some(2 * S)];
    assert_eq!(idle(ended, true), "2.0 s idle, when the device had ended each of them");
    // Those whose end nobody saw had ended before the silence began.
    assert_eq!(idle([Some(1_000), Some(9_000), None], false), "");
    assert_eq!(idle([Some(7 * S), None, None], false), "7.0 s idle, when the device had ended each of them");
}

/// The check of three that fell silent, of which these ended; whether they kept others out, and when these were served again.
fn frees(ended: [Option<u64>; 3], kept_out: bool, served_again_ns: Option<u64>, off: bool) -> Check {
    let mut recorder = silent_three(ended);
    let h = recorder.half_open();
    (h.exhausted, h.served_again_ns, h.expected_reclaim_ns) = (Some(kept_out), served_again_ns, 20 * S);
    let workloads = [fixtures::silent(recorder, S)];
    let packets = Packets::Off;
    let measured = only(&workloads, off.then_some(&packets));
    Look { measured: &measured, hold: None }.takes_back().unwrap()
}

#[test]
fn others_that_are_served_again_beside_all_silent_ones_were_kept_out_by_something_else() {
    let mark = |served_again| frees([None; 3], true, served_again, false).mark;
    assert_eq!((mark(Some(5 * S)), mark(Some(20 * S)), mark(None)), (Mark::Unknown, Mark::Bad, Mark::Bad));
}

#[test]
fn what_only_packets_show_is_not_counted_without_them() {
    let check = |ended, kept_out: bool, off: bool| frees(ended, kept_out, None, off);
    let unseen = check([None; 3], false, true);
    let text = "not known whether the device closed the 3 connections: there was no capture";
    assert_eq!((unseen.mark, unseen.seen.as_str()), (Mark::Unknown, text));
    let later = check([None; 3], false, false).seen;
    assert!(later.ends_with("connections: the packets are judged at the end"), "{later}");
    let kept_out = check([None; 3], true, true);
    let text = format!("no other client was served again within 26 s; {text}");
    assert_eq!((kept_out.mark, kept_out.seen), (Mark::Bad, text));
    // A RST comes in on the socket itself.
    let some = check([Some(S), None, None], false, true).seen;
    assert!(
        some.starts_with("1 of 3 connections whose client fell silent, the last after 1.0 s; "),
        "{some}"
    );
    assert!(
        some.ends_with("not known whether the device closed the 2 others: there was no capture"),
        "{some}"
    );
    assert_eq!(check([Some(S); 3], false, true).mark, Mark::Good);
}

/// The check of a crowd of 36 of which two were reset, and this account of them.
fn crowd(accounted: Accounted, by: &str) -> Check {
    let mut recorder = Recorder::new(0, Phase::Total);
    (0..34).for_each(|_| recorder.attempt(0, 1_000_000, Ok(())));
    (0..2).for_each(|_| recorder.attempt(0, 1_000_000, Err(Failure::ReadReset)));
    let crowd = of_head(names::CROWD, recorder);
    let row = AccountRow {
        workload: names::CROWD.into(),
        accounted,
        by: Some(by.into()),
        attempts: 2,
        failures: [(Failure::ReadReset, 2)].into(),
        anomalies: [].into(),
        first_s: 0.0,
        last_s: 1.0,
    };
    let (workloads, account) = ([crowd], [row]);
    let measured = Measured {
        workloads: &workloads,
        probes: None,
        packets: None,
        console: None,
        findings: &[],
        account: &account,
    };
    Look { measured: &measured, hold: None }.crowd().unwrap()
}

#[test]
fn a_crowd_beyond_the_devices_room_is_no_fault_however_few_of_it_found_none() {
    let check = crowd(Accounted::Excused, "beyond_capacity");
    assert_eq!(check.mark, Mark::Good, "{}", check.seen);
    assert!(check.seen.ends_with("read_reset 2: more at once than it has room for"), "{}", check.seen);
    assert_eq!(crowd(Accounted::Unexplained, "").mark, Mark::Bad);
}

/// The page's checks of a device whose requests, and whose crowd, were answered by these statuses.
fn answered_by(requests: &[(u16, u64)], crowd: &[(u16, u64)]) -> [Check; 2] {
    let phase = |name: &str, statuses: &[(u16, u64)]| {
        let mut recorder = Recorder::new(0, Phase::Total);
        for (status, n) in statuses {
            for _ in 0..*n {
                recorder.attempt(0, S, Ok(()));
                recorder.response(*status);
            }
        }
        of_head(name, recorder)
    };
    let workloads = [phase(names::REQUESTS, requests), phase(names::CROWD, crowd)];
    let measured = only(&workloads, None);
    let look = Look { measured: &measured, hold: None };
    [look.http(), look.crowd().unwrap()]
}

#[test]
fn a_check_whose_answers_were_refusals_has_no_tick_and_says_so() {
    let [http, crowd] = answered_by(&[(200, 34), (429, 30)], &[(429, 36)]);
    assert_eq!((http.mark, crowd.mark), (Mark::Unknown, Mark::Unknown));
    assert!(http.seen.ends_with("64 of 64 requests answered; 30 of 64 were answered 429"), "{}", http.seen);
    let why = ": 36 of 36 were answered 429: this doesn't show how it serves many at once";
    assert!(crowd.seen.ends_with(why), "{}", crowd.seen);
    // The page was there at first.
    let [_, crowd] = answered_by(&[(200, 30), (404, 34)], &[(404, 30), (429, 6)]);
    assert_eq!(crowd.mark, Mark::Unknown, "{}", crowd.seen);
    assert!(crowd.seen.contains("36 of 36 were answered 404 (30) or 429 (6)"), "{}", crowd.seen);
    // An error page from the start is what each check measures, and one refusal in many is told.
    let [http, crowd] = answered_by(&[(404, 64)], &[(404, 36)]);
    assert_eq!((http.mark, crowd.mark), (Mark::Good, Mark::Good), "{} {}", http.seen, crowd.seen);
    let [http, _] = answered_by(&[(200, 63), (429, 1)], &[(200, 36)]);
    assert_eq!(http.mark, Mark::Good);
    assert!(http.seen.ends_with("1 of 64 were answered 429"), "{}", http.seen);
    let [http, crowd] = answered_by(&[(429, 64)], &[(429, 36)]);
    assert_eq!((http.mark, crowd.mark), (Mark::Unknown, Mark::Unknown));
}

const S: u64 = 1_000_000_000;

/// The check of TCP probes, one a second for so many seconds of which those of these seconds are lost, beside connections that fill the
/// device from second 10 to second 20 while the host still opens some.
fn tcp_beside_silence(seconds: u64, lost: &[u64]) -> Check {
    let mut recorder = Recorder::new(8 * S, Phase::Total);
    let h = recorder.half_open();
    (h.full_after, h.limit, h.exhausted) = (Some(2), LimitReached::Device, None);
    for (connection, stage) in [(1, Stage::Served), (2, Stage::Served), (3, Stage::Unserved)] {
        h.fell_silent(SilencedConnection {
            connection,
            port: 40_000,
            stage,
            opened_ns: None,
            silent_ns: 10 * S,
            reclaimed_after_ns: None,
            evidence: None,
        });
    }
    (h.filling.attempts, h.filling.served) = (7, 1);
    let silent = fixtures::silent(recorder, 21 * S);
    let mut tcp = ProbeKindStats::new(0, S, S);
    for second in 1..=seconds {
        if lost.contains(&second) {
            tcp.loss((second + 1) * S);
        } else {
            tcp.answer(second * S + 1_000, 1_000);
        }
    }
    let none = || ProbeStats::Unavailable { reason: String::new() };
    let probes = ProbeOutcome {
        icmp: none(),
        tcp: ProbeStats::Measured(Box::new(tcp)),
        telemetry: none(),
        device: DeviceSeries::default(),
    };
    let workloads = [silent];
    let measured = Measured {
        workloads: &workloads,
        probes: Some(&probes),
        packets: None,
        console: None,
        findings: &[],
        account: &[],
    };
    Look { measured: &measured, hold: None }.tcp()
}

/// The check of connections that fall silent: two are held, and two more refused by a status.
fn held_beside(status: u16, exhausted: bool) -> Check {
    let mut recorder = Recorder::new(8 * S, Phase::Total);
    let h = recorder.half_open();
    (h.full_after, h.limit, h.exhausted) = (Some(2), LimitReached::Device, Some(exhausted));
    (h.during.attempts, h.during.served) = (20, if exhausted { 0 } else { 20 });
    for connection in 1..=4 {
        let (met, status) = (Failure::BadStatus, Some(status));
        match connection {
            1 | 2 => h.fell_silent(SilencedConnection {
                connection,
                port: 40_000,
                stage: Stage::Served,
                opened_ns: None,
                silent_ns: S,
                reclaimed_after_ns: None,
                evidence: None,
            }),
            _ => h.failures.push(OpenFailure { connection, met, status, at_ns: S }),
        }
    }
    let workloads = [fixtures::silent(recorder, 21 * S)];
    let measured = only(&workloads, None);
    Look { measured: &measured, hold: None }.idle_connections().unwrap()
}

#[test]
fn a_device_that_answers_each_request_by_an_error_page_is_reachable_by_http() {
    let reached = |refused: bool| {
        let mut recorder = Recorder::new(S, Phase::Total);
        recorder.attempt(0, S, Err(if refused { Failure::BadStatus } else { Failure::ReadTimeout }));
        if refused {
            recorder.response(503);
        }
        let workloads = [of_head(names::REQUESTS, recorder)];
        Look { measured: &only(&workloads, None), hold: None }.reachable()
    };
    let error_page = reached(true);
    assert_eq!((error_page.mark, error_page.seen.as_str()), (Mark::Good, "by HTTP"));
    assert_eq!(reached(false).mark, Mark::Bad);
}

#[test]
fn connections_that_were_refused_by_a_status_are_not_held() {
    let said = |held, refused_by| {
        let hold = HoldSeen { held, full: true, refused_by, idle_ns: S, ..HoldSeen::default() };
        let measured = only(&[], None);
        let check = Look { measured: &measured, hold: Some(hold).as_ref() }.idle_connections().unwrap();
        (check.mark, check.seen.chars().take(30).collect::<String>())
    };
    assert_eq!(said(5, Some(503)), (Mark::Good, "holds 5 at once (more wait or ".to_owned()));
    assert_eq!(said(5, None).0, Mark::Good);
    for (held, status) in [(5, 429), (0, 429), (0, 503)] {
        assert_eq!(said(held, Some(status)), (Mark::Unknown, "not known how many it holds: i".to_owned()));
    }
}

#[test]
fn who_limits_how_often_it_is_asked_is_not_said_to_hold_so_many() {
    for (status, exhausted) in [(429, false), (429, true), (503, false)] {
        let check = held_beside(status, exhausted);
        assert_eq!(check.mark, Mark::Unknown, "{}", check.seen);
        assert!(check.seen.starts_with("not known how many it holds: it held 2"), "{}", check.seen);
    }
    let full = held_beside(503, true);
    assert_eq!((full.mark, full.seen.as_str()), (Mark::Good, "holds 2 at once; more wait or fail"));
}

#[test]
fn a_probe_that_silent_connections_kept_out_while_they_were_opened_is_not_lost_by_the_device() {
    let beside = tcp_beside_silence(30, &[11, 12, 13, 14, 15, 16]);
    assert_eq!(beside.mark, Mark::Good, "{}", beside.seen);
    assert!(
        beside.seen.ends_with("max 1 us; this test kept the device full for part of the time"),
        "{beside:?}"
    );
    let before = tcp_beside_silence(30, &[2, 3, 5, 6, 7]);
    assert_eq!(before.mark, Mark::Unknown, "{}", before.seen);
    assert!(before.seen.ends_with(reach::LOST), "{}", before.seen);
    let both = tcp_beside_silence(30, &[2, 3, 5, 6, 7, 12, 13]);
    assert_eq!(both.mark, Mark::Unknown, "{}", both.seen);
    assert!(
        both.seen.ends_with("part of the time, and the device or the path lost 5 others"),
        "{}",
        both.seen
    );
    // The run is over before the next answer.
    let at_the_end = tcp_beside_silence(20, &[15, 16, 17, 18, 19, 20]);
    assert_eq!(at_the_end.mark, Mark::Good, "{}", at_the_end.seen);
    assert_eq!(tcp_beside_silence(30, &[]).mark, Mark::Good);
}

#[test]
fn probes_that_a_path_may_have_lost_are_a_tick_and_many_a_question() {
    let marks = [(6, 6), (6, 5), (60, 54), (6, 4), (6, 3), (60, 53), (6, 2), (6, 0), (1, 0), (0, 0)];
    let of = marks.map(|(sent, answered)| reach::lost(sent, answered));
    let (good, bad, unknown) = (Mark::Good, Mark::Bad, Mark::Unknown);
    assert_eq!(of, [good, good, good, unknown, unknown, unknown, bad, bad, bad, unknown]);
}

#[test]
fn the_documented_page_has_the_names_of_the_checks() {
    let docs = include_str!("../../docs/doctor.md");
    let code = concat!(
        include_str!("checks.rs"),
        include_str!("checks/close.rs"),
        include_str!("checks/idle.rs"),
        include_str!("checks/reach.rs"),
        include_str!("checks/requests.rs")
    );
    let is_name = |text: &str| code.contains(&format!("\"{}\"", text.trim_end()));
    let marked = |line: &'static str| Some(line.trim_start().strip_prefix(['✓', '✗', '?'])?.trim_start());
    let lines: Vec<&str> = docs.lines().filter_map(marked).collect();
    assert!(lines.len() > 10, "{lines:?}");
    for line in lines {
        let known = line.char_indices().any(|(end, c)| c == ' ' && is_name(&line[..end]));
        assert!(known, "docs/doctor.md shows a check that there isn't: {line}");
    }
    let explained = docs.lines().filter_map(|line| line.strip_prefix("- **")?.split_once("**"));
    for name in explained.flat_map(|(names, _)| names.split(", ")) {
        assert!(is_name(name), "docs/doctor.md explains a check that there isn't: {name}");
    }
}
