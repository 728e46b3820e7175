//! What the verdict's line says, word by word, and what leaves a verdict open.

use super::tests::{judged, of, report};
use super::*;
use crate::thresholds::Gates;
use crate::{HalfOpenFigures, MqttFigures, OutageSummary};
use espstress_diagnose::{Examination, Finding, FindingId};
use espstress_event::{ByProtocol, EventStreams, MqttDelivery, MqttToDevice};

fn found(id: FindingId, severity: Severity) -> Finding {
    Finding {
        id,
        severity,
        statement: String::new(),
        evidence: Vec::new(),
        cause: String::new(),
        change: String::new(),
    }
}

fn gated(mut r: Report, gates: &[&str]) -> Report {
    r.note_remarks();
    Gates::from_expressions(gates).unwrap().judge(&mut r);
    r
}

fn accounted(accounted: Accounted, by: Option<&str>, attempts: u64) -> AccountRow {
    AccountRow {
        workload: "head".into(),
        accounted,
        anomalies: BTreeMap::new(),
        by: by.map(str::to_owned),
        attempts,
        failures: [(Failure::ConnectTimeout, attempts)].into(),
        first_s: 0.0,
        last_s: 1.0,
    }
}

#[test]
fn the_line_of_a_pass_names_each_failure_and_leaves_out_what_it_has_said() {
    let line = verdict_line(&judged(report(16, 8)));
    let rest = "head 16 at once, more than the 5 the device has room for";
    assert_eq!(
        line,
        format!("pass: `findings.error == 0` passes; 8 of 10 attempts failed: connect_timeout 8; {rest}")
    );
}

#[test]
fn a_run_without_a_gate_is_done_and_neither_passes_nor_fails() {
    let mut r = judged(report(4, 0));
    r.thresholds.clear();
    assert_eq!(verdict_line(&r), "done: no gate was set");
}

#[test]
fn several_gates_that_pass_are_counted() {
    let r = gated(report(4, 0), &["head.failed == 0", "head.attempts == 10"]);
    assert_eq!(verdict_line(&r), "pass: all 2 gates pass");
}

#[test]
fn failures_of_all_workloads_are_added_up_by_name() {
    let mut r = report(4, 3);
    r.workloads.push(of("rw", 2, Some(Failure::ConnectTimeout)));
    r.workloads.push(of("more", 4, Some(Failure::ReadReset)));
    let line = verdict_line(&gated(r, &["head.attempts == 10"]));
    assert!(line.contains("; 9 of 16 attempts failed: connect_timeout 5, read_reset 4"), "{line}");
}

#[test]
fn what_this_machine_could_not_do_is_told_apart_from_what_the_device_did() {
    let mut r = report(4, 0);
    r.workloads.push(of("rw", 2, Some(Failure::HostOutOfPorts)));
    r.workloads.push(of("more", 4, Some(Failure::HostOutOfPorts)));
    let line = verdict_line(&gated(r, &["head.attempts == 10"]));
    assert!(line.contains("limits of this machine: host_out_of_ports 6"), "{line}");
    assert!(!line.contains("attempts failed"), "{line}");
}

#[test]
fn the_line_says_how_many_failures_are_excused_but_for_those_of_this_machine() {
    let mut r = report(4, 6);
    r.account = vec![
        accounted(Accounted::Excused, Some("link_away"), 2),
        accounted(Accounted::Excused, None, 1),
        accounted(Accounted::Excused, Some("host"), 8),
        accounted(Accounted::Explained, Some("accept_overflow"), 5),
    ];
    let line = verdict_line(&judged(r));
    assert!(line.contains("6 of 10 attempts failed: connect_timeout 6 (3 excused)"), "{line}");
}

#[test]
fn a_gate_on_findings_that_fails_names_those_that_it_counts() {
    let mut r = report(4, 0);
    r.findings = vec![
        found(FindingId::HeapLeak, Severity::Error),
        found(FindingId::AbortiveClose, Severity::Warning),
        found(FindingId::AcceptOverflow, Severity::Error),
    ];
    let gates =
        ["findings.error==0", "findings.warning < 1", "findings.heap_leak == 0", "head.attempts > 10"];
    assert_eq!(
        gated(r, &gates).verdict_reasons,
        [
            "`findings.error==0` fails: found 2 (heap_leak, accept_overflow)",
            "`findings.warning < 1` fails: found 1 (abortive_close)",
            "`findings.heap_leak == 0` fails: found 1 (heap_leak)",
            "`head.attempts > 10` fails: found 10",
        ]
    );
}

#[test]
fn of_several_reasons_the_line_has_the_first_and_their_number() {
    let r = gated(report(4, 0), &["head.attempts > 10", "head.attempts > 20", "head.attempts > 30"]);
    assert_eq!(verdict_line(&r), "fail: `head.attempts > 10` fails: found 10, and 2 more");
    let r = gated(report(4, 0), &["head.tcp.lost == 0"]);
    let why = "can't judge `head.tcp.lost == 0`: TCP_INFO could not be read";
    assert_eq!(verdict_line(&r), format!("inconclusive: {why}"));
}

#[test]
fn a_finding_that_only_informs_explains_no_cross_of_the_doctors() {
    let examined = |severity| {
        let mut r = report(4, 0);
        let checks = vec![Check { name: "HTTP".into(), mark: Mark::Bad, seen: "no answer".into() }];
        r.examination = Some(Examination { checks, ..Examination::default() });
        r.findings.push(found(FindingId::HostLimited, severity));
        judged(r).verdict
    };
    assert_eq!(examined(Severity::Info), Verdict::Inconclusive);
    assert_eq!(examined(Severity::Warning), Verdict::Pass);
}

#[test]
fn a_step_of_the_doctors_that_did_nothing_leaves_nothing_open_once_its_checks_are_known() {
    let mut r = report(4, 0);
    r.workloads.push(of("rw", 0, None));
    r.remarks.push("something else".into());
    r.note_remarks();
    assert_eq!(r.remarks, ["something else", "rw made no attempts: it tested nothing"]);
    r.examined(Examination::default());
    assert_eq!(r.remarks, ["something else"]);
    assert!(r.examination.is_some());
    let mut nothing = report(4, 0);
    nothing.workloads = vec![of("rw", 0, None)];
    nothing.note_remarks();
    nothing.examined(Examination::default());
    assert_eq!(nothing.remarks, ["rw made no attempts: nothing was tested"], "no step asked for anything");
}

#[test]
fn a_workload_that_ended_no_attempt_says_how_far_it_came() {
    let remark = |change: fn(&mut Workload)| {
        let mut r = report(4, 0);
        let mut w = of("rw", 0, None);
        change(&mut w);
        r.workloads.push(w);
        let r = judged(r);
        assert_eq!(r.verdict, Verdict::Inconclusive);
        r.remarks.join("; ")
    };
    assert_eq!(remark(|_| ()), "rw made no attempts: it tested nothing");
    let one = "rw finished no attempt: one was under way when it ended, so it tested nothing";
    assert_eq!(remark(|w| w.unfinished = 1), one);
    let two = "rw finished no attempt: 2 were under way when it ended, so it tested nothing";
    assert_eq!(remark(|w| w.unfinished = 2), two);
    fn streams(w: &mut Workload, streams: u64) {
        let sse = Some(EventStreams { streams, ..EventStreams::default() });
        w.by_protocol = Some(Box::new(ByProtocol { sse, ..ByProtocol::default() }));
    }
    let no_event = "no event came on the streams of rw: nothing more was tested";
    assert_eq!(remark(|w| streams(w, 1)), no_event);
    assert_eq!(remark(|w| streams(w, 0)), "rw made no attempts: it tested nothing");
}

#[test]
fn a_device_that_is_said_to_be_gone_is_not_also_said_to_be_perhaps_on_its_way_back() {
    let remarks = |severity| {
        let mut r = report(4, 0);
        let away = crate::outages::DialledDevice { id: 2, away_since_s: Some(7.25), ..Default::default() };
        r.workloads[0].outage_summary =
            Some(OutageSummary { dialled: vec![away], ..OutageSummary::default() });
        r.findings.push(found(FindingId::DeviceUnreachable, severity));
        gated(r, &["head.attempts == 10"])
    };
    let gone = remarks(Severity::Error);
    assert!(gone.remarks.is_empty(), "{:?}", gone.remarks);
    // The gate did not ask for findings: nobody has judged that the device is gone.
    assert_eq!(gone.verdict, Verdict::Inconclusive);
    let warned = remarks(Severity::Warning);
    assert!(warned.remarks[0].contains("too short to say"), "{:?}", warned.remarks);
}

#[test]
fn a_gate_on_findings_judges_a_run_that_was_served_nothing() {
    let mut r = report(1, 10);
    r.findings.push(found(FindingId::NoEcho, Severity::Error));
    let passes = gated(r.clone(), &["findings.heap_leak <= 1", "head.attempts == 10"]);
    assert_eq!(
        (passes.verdict, passes.verdict_reasons.len()),
        (Verdict::Inconclusive, 1),
        "it needs packets"
    );
    r.capture = crate::Capture::seen(100, 0);
    let judged = gated(r.clone(), &["findings.no_echo == 1"]);
    assert_eq!(judged.left_open().collect::<Vec<_>>(), Vec::<String>::new());
    assert_eq!(gated(r, &["head.attempts == 10"]).verdict, Verdict::Inconclusive);
}

#[test]
fn a_device_that_gave_up_every_slow_client_is_not_said_to_have_failed() {
    let open = |failures: &[(Failure, usize)]| {
        let mut r = report(4, 0);
        let mut recorder = espstress_stats::Recorder::new(0, espstress_stats::Phase::Total);
        failures.iter().for_each(|(f, n)| (0..*n).for_each(|_| recorder.attempt(0, 1, Err(*f))));
        let w = Workload::from_stats("rw", "rw", serde_json::json!({}), &recorder.finish(1_000_000_000));
        r.workloads = vec![w];
        judged(r).left_open().collect::<Vec<_>>()
    };
    let slow = Failure::SlowGivenUp;
    let no_fault = "the device gave up every slow client of rw, which is no fault: nothing more of its service was measured";
    assert_eq!(open(&[(slow, 5)]), [no_fault]);
    let unserved = "no attempt of rw succeeded: nothing of the device's service was measured";
    let limits = "limits of this machine stopped every attempt of rw: nothing was tested";
    assert_eq!(open(&[(Failure::HostOutOfPorts, 5)]), [limits, unserved]);
    assert_eq!(open(&[]), ["rw made no attempts: nothing was tested"]);
    assert_eq!(open(&[(slow, 5), (Failure::ReadTimeout, 1)]), [unserved]);
}

#[test]
fn silent_connections_beyond_what_the_device_has_room_for_are_what_was_asked_for() {
    let mut r = report(16, 8);
    r.workloads[0].half_open = Some(HalfOpenFigures { silenced: 3, ..HalfOpenFigures::default() });
    assert!(judged(r).remarks.is_empty());
}

#[test]
fn only_requests_count_as_service_that_was_asked_for() {
    let mut r = report(4, 10);
    r.workloads[0].kind = "outage".into();
    r.workloads[0].params = serde_json::json!({ "by": "none" });
    assert_eq!(judged(r).left_open().next(), None);
    let mut beside = report(4, 10);
    beside.workloads.push(of("rw", 3, None));
    assert_eq!(judged(beside).left_open().next(), None, "another workload was served");
}

#[test]
fn a_run_that_only_its_end_can_judge_is_open_where_that_is_missing() {
    let cut = |half_open: bool| {
        let mut r = report(4, 0);
        r.findings_incomplete = Some("the log ends".into());
        if half_open {
            let figures = HalfOpenFigures { silenced: 3, ..HalfOpenFigures::default() };
            r.workloads[0].half_open = Some(figures);
        }
        gated(r, &["head.failed == 0"]).verdict
    };
    assert_eq!((cut(false), cut(true)), (Verdict::Pass, Verdict::Inconclusive));
}

#[test]
fn a_broker_whose_figures_are_lost_or_that_published_nothing_leaves_the_verdict_open() {
    let broker = |mqtt: Option<MqttFigures>| {
        let mut r = report(4, 0);
        r.workloads.push(Workload { mqtt, ..of("mqtt", 3, None) });
        judged(r)
    };
    let lost = broker(None);
    let why = "mqtt: what it measured is not in the log of a run that did not end";
    assert_eq!((lost.verdict, lost.remarks[0].as_str()), (Verdict::Inconclusive, why));
    let silent = MqttFigures { not_published: Some("no filter".into()), ..MqttFigures::default() };
    assert_eq!(broker(Some(silent)).remarks, ["mqtt: nothing was published to the device: no filter"]);
    let missing = |qos: &str| {
        let row = MqttDelivery { received: 9, lost: Some(0), under_way: 2, ..MqttDelivery::default() };
        broker(Some(MqttFigures { to_host: [(qos.to_owned(), row)].into(), ..MqttFigures::default() }))
            .remarks
    };
    let why = "mqtt: 2 numbered messages missing when it ended, too soon to call lost";
    assert_eq!((missing("1"), missing("0")), (vec![why.to_owned()], vec![]));
    let quiet =
        MqttDelivery { received: 9, lost: Some(0), quiet_after_fault: true, ..MqttDelivery::default() };
    let quiet = MqttFigures { to_host: [("2".to_owned(), quiet)].into(), ..MqttFigures::default() };
    let why = "mqtt: no numbered message came after the last fault: whether any was lost in it is not known";
    assert_eq!(broker(Some(quiet)).remarks, [why]);
    assert_eq!(broker(Some(MqttFigures::default())).verdict, Verdict::Pass);
    let waits = |acknowledged, overdue| {
        let row =
            MqttToDevice { acknowledged: Some(acknowledged), under_way: 2, overdue, ..Default::default() };
        broker(Some(MqttFigures { to_device: [("1".to_owned(), row)].into(), ..MqttFigures::default() }))
            .remarks
    };
    let why = "mqtt: 2 messages to the device waited for an acknowledgement when it ended, and none had been \
               acknowledged";
    assert_eq!(waits(0, 2), [why]);
    let why = "mqtt: 1 message to the device waited for an acknowledgement when it ended, for longer than any before";
    assert_eq!((waits(9, 1), waits(9, 0)), (vec![why.to_owned()], vec![]));
    let mut judged_gone = report(4, 0);
    judged_gone.workloads.push(of("mqtt", 3, None));
    judged_gone.findings.push(found(FindingId::DeviceUnreachable, Severity::Error));
    assert!(judged(judged_gone).remarks.is_empty());
}

#[test]
fn a_remark_is_written_down_once() {
    let mut r = report(4, 0);
    r.workloads.push(of("rw", 0, None));
    r.note_remarks();
    r.note_remarks();
    assert_eq!(r.remarks.len(), 1);
}

#[test]
fn an_open_reason_is_told_once_beside_the_gates_and_the_remarks() {
    let mut r = report(4, 0);
    (r.verdict, r.remarks) = (Verdict::Inconclusive, vec!["a remark".into()]);
    r.verdict_reasons = vec!["can't judge `x`".into(), "a remark".into(), "the rest".into()];
    assert_eq!(r.open_reasons().collect::<Vec<_>>(), ["the rest"]);
    r.verdict = Verdict::Fail;
    assert_eq!(r.open_reasons().count(), 0);
}
