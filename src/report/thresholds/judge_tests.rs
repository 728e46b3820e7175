use std::collections::BTreeMap;

use super::*;
use crate::thresholds::Gates;
use crate::{Capture, NotJudgedRow, Target, TargetKind, Verdict};
use ThresholdStatus::{Fail, Inconclusive, Pass};
use espstress_diagnose::AnomalyRow;
use espstress_event::{Datagrams, Direction, Failure};
use espstress_stats::{Phase, Recorder};

fn report() -> Report {
    let mut r = Recorder::new(0, Phase::Total);
    for ms in 1..=200 {
        r.attempt(0, 1, Ok(()));
        r.latency(Phase::Total, ms * 1_000_000);
    }
    let stats = r.finish(2_000_000_000);
    let target = Target::new("127.0.0.1", TargetKind::Sim);
    let mut report = Report::new(target, serde_json::json!({}), 1, 0);
    report.workloads.push(Workload::from_stats("head", "head", serde_json::json!({}), &stats));
    report.capture = Capture::seen(1000, 0);
    report
}

fn anomaly(id: AnomalyId, class: AnomalyClass, count: u64) -> AnomalyRow {
    AnomalyRow {
        id,
        class,
        count,
        connections: count,
        workload: Some("head".into()),
        first_s: 0.0,
        last_s: 1.0,
        direction: Direction::FromDevice,
        examples: Vec::new(),
    }
}

fn row(report: &Report, expr: &str) -> ThresholdRow {
    judge(&Threshold::parse(expr).unwrap(), report)
}

#[test]
fn a_measured_figure_passes_or_fails_with_its_value() {
    let r = report();
    assert_eq!(row(&r, "head.attempts == 200").status, Pass);
    let broken = row(&r, "head.latency.total.p99 < 100ms");
    assert_eq!((broken.status, broken.unit), (Fail, Unit::Us));
    assert!(broken.value.unwrap() > 190_000.0);
    assert_eq!(row(&r, "head.rate >= 100/s").status, Pass);
    assert_eq!(row(&r, "head.latency.total.p95 < 195ms").status, Pass);
}

#[test]
fn a_gate_on_a_workload_of_the_scenario_that_did_not_begin_says_so() {
    let mut r = report();
    r.scenario = serde_json::json!({
        "phase": [{ "name": "head" }, { "name": "b" }],
        "left_out": [{ "name": "c", "reason": "it needs the framed service" }],
    });
    r.interrupted = true;
    let open = row(&r, "b.failed == 0");
    let why = "the run was stopped before b began";
    assert_eq!((open.status, open.value, open.reason.as_deref()), (Inconclusive, None, Some(why)));
    let open = row(&r, "c.latency.total.p99 < 1s");
    assert_eq!((open.status, open.unit), (Inconclusive, Unit::Us));
    assert_eq!(open.reason.as_deref(), Some("c was left out: it needs the framed service"));
    r.workloads.clear();
    let open = row(&r, "x.qqqq == 0");
    assert!(open.reason.unwrap().contains("this run's workloads are head, b, c;"));
    r.scenario = serde_json::json!({});
    assert!(row(&r, "x.qqqq == 0").reason.unwrap().contains("; this run has no workloads;"));
}

#[test]
fn what_a_stopped_run_had_not_come_to_breaks_no_gate() {
    let mut r = report();
    assert_eq!(row(&r, "head.attempts >= 900").status, Fail);
    r.interrupted = true;
    for expr in
        ["head.attempts >= 900", "head.duration > 1m", "head.succeeded == 900", "capture.packets > 5000"]
    {
        let open = row(&r, expr);
        assert_eq!(open.status, Inconclusive, "{open:?}");
        assert_eq!(open.reason.as_deref(), Some("the run was stopped before its end"));
    }
    // What more time can only make worse is broken, and what it holds now passes as before.
    assert_eq!(row(&r, "head.attempts < 100").status, Fail);
    assert_eq!(row(&r, "head.attempts == 100").status, Fail);
    assert_eq!(row(&r, "head.attempts >= 200").status, Pass);
    assert_eq!(row(&r, "head.failed == 0").status, Pass);
    assert_eq!(row(&r, "head.success_rate < 50%").status, Fail);
}

#[test]
fn tcp_info_of_connections_that_were_all_refused_could_not_be_read_from_anything() {
    let mut r = report();
    r.workloads[0].tcp = None;
    assert_eq!(row(&r, "head.tcp.lost == 0").reason.unwrap(), "TCP_INFO could not be read");
    r.workloads[0].succeeded = 0;
    r.workloads[0].failures.0 = [(Failure::ConnectRefused, 199), (Failure::HostOutOfPorts, 1)].into();
    let why = row(&r, "head.tcp.lost == 0").reason.unwrap();
    assert_eq!(why, "no connection was opened whose TCP_INFO could be read");
}

#[test]
fn a_quantile_of_too_few_samples_is_not_judged() {
    let r = row(&report(), "head.latency.total.p999 < 1s");
    assert_eq!(r.status, Inconclusive);
    assert!(r.reason.unwrap().contains("200 of the 1000"));
}

#[test]
fn what_was_not_measured_is_not_judged() {
    let r = report();
    for expr in [
        "head.latency.close.p99 < 1s",
        "head.latency.total.uncorrected.p99 < 1s",
        "telemetry.heap_free.min > 10KiB",
        "probes.icmp.loss < 1%",
        "head.tcp.lost == 0",
        "rw.attempts > 0",
    ] {
        let row = row(&r, expr);
        assert_eq!((row.status, row.value), (Inconclusive, None), "{expr}");
        assert!(row.reason.is_some());
    }
}

#[test]
fn anomalies_need_a_complete_capture_unless_what_was_seen_decides() {
    let mut r = report();
    assert_eq!(row(&r, "anomalies.abortive_close == 0").status, Pass);
    for capture in [Capture::denied("no right"), Capture::off(None), Capture::seen(100, 3)] {
        r.capture = capture;
        r.anomalies.clear();
        assert_eq!(row(&r, "anomalies.abortive_close == 0").status, Inconclusive);
        assert_eq!(row(&r, "anomalies.device == 0").status, Inconclusive);
        r.anomalies.push(anomaly(AnomalyId::AbortiveClose, AnomalyClass::Device, 3));
        assert_eq!(row(&r, "anomalies.abortive_close == 0").status, Fail);
        assert_eq!(row(&r, "anomalies.abortive_close < 3").status, Fail);
        assert_eq!(row(&r, "anomalies.abortive_close < 4").status, Inconclusive);
        assert_eq!(row(&r, "anomalies.abortive_close >= 3").status, Pass);
        assert_eq!(row(&r, "anomalies.abortive_close != 0").status, Pass);
    }
}

#[test]
fn provoked_anomalies_do_not_count_against_the_device() {
    let mut r = report();
    r.anomalies.push(anomaly(AnomalyId::RstAfterFin, AnomalyClass::Provoked, 7));
    r.anomalies.push(anomaly(AnomalyId::Retransmission, AnomalyClass::Path, 2));
    assert_eq!(row(&r, "anomalies.rst_after_fin == 0").status, Pass);
    assert_eq!(row(&r, "anomalies.rst_after_fin.provoked == 7").status, Pass);
    assert_eq!(row(&r, "anomalies.device == 0").status, Pass);
    assert_eq!(row(&r, "anomalies.retransmission == 2").status, Pass);
    assert_eq!(row(&r, "head.anomalies.path == 2").status, Pass);
}

#[test]
fn a_rule_that_was_not_judged_leaves_its_gate_open() {
    let mut r = report();
    r.not_judged.push(NotJudgedRow {
        id: AnomalyId::HalfClosedLinger,
        reason: "watched for 2 s of 5 s".into(),
        connections: 4,
    });
    assert_eq!(row(&r, "anomalies.half_closed_linger == 0").status, Inconclusive);
    assert_eq!(row(&r, "anomalies.abortive_close == 0").status, Pass);
}

#[test]
fn the_default_gate_passes_without_a_capture_and_says_what_it_leaves_open() {
    let mut r = report();
    r.capture = Capture::denied("CAP_NET_RAW is missing");
    Gates::from_expressions::<&str>(&[]).unwrap().judge(&mut r);
    assert_eq!(r.verdict, Verdict::Pass);
    assert!(r.thresholds[0].reason.as_ref().unwrap().contains("CAP_NET_RAW is missing"));
    assert_eq!(row(&r, "findings.abortive_close == 0").status, Inconclusive);
}

#[test]
fn where_findings_were_not_all_looked_for_the_absence_of_one_passes_nothing() {
    let mut r = report();
    r.findings_incomplete = Some("the log ends before the run did".into());
    for expr in ["findings.error == 0", "findings.heap_leak == 0"] {
        let row = row(&r, expr);
        assert_eq!((row.status, row.value), (Inconclusive, Some(0.0)), "{expr}");
    }
    Gates::from_expressions::<&str>(&[]).unwrap().judge(&mut r);
    assert_eq!(r.verdict, Verdict::Inconclusive);
}

#[test]
fn of_figures_that_were_cut_off_only_what_cannot_change_is_judged() {
    use crate::{ProbeKind, ProbeRow, ReadingSummary, TelemetrySummary};
    let incomplete = Some("the log ends".to_owned());
    let mut r = report();
    let latency = LatencyFigures::default();
    let (kind, longest_gap_s) = (ProbeKind::Icmp, Some(3.0));
    r.probes =
        vec![ProbeRow { kind, sent: 10, lost: 2, longest_gap_s, latency, incomplete: incomplete.clone() }];
    let heap = ReadingSummary {
        first: 50.0,
        last: 30.0,
        min: 20.0,
        max: 50.0,
        mean: Some(40.0),
        slope_per_hour: None,
        slope_low_per_hour: None,
        slope_high_per_hour: None,
    };
    let summary = [(crate::Reading::HeapFreeBytes, heap)].into();
    r.telemetry = Some(TelemetrySummary {
        samples: 10,
        reboots: Some(1),
        summary,
        incomplete,
        ..TelemetrySummary::default()
    });
    for (expr, status) in [
        ("probes.icmp.lost <= 2", Inconclusive),
        ("probes.icmp.lost == 0", Fail),
        ("probes.icmp.longest_gap < 2s", Fail),
        ("probes.icmp.loss < 50%", Inconclusive),
        ("telemetry.reboots == 0", Fail),
        ("telemetry.reboots < 3", Inconclusive),
        ("telemetry.heap_free.first > 40B", Pass),
        ("telemetry.heap_free.min > 10B", Inconclusive),
        ("telemetry.heap_free.min > 20B", Fail),
        ("telemetry.heap_free.last > 10B", Inconclusive),
        ("telemetry.heap_free.max < 40B", Fail),
    ] {
        assert_eq!(row(&r, expr).status, status, "{expr}");
    }
}

#[test]
fn what_the_testing_machine_may_have_done_is_not_held_against_the_device() {
    let mut r = report();
    let slow = [("head.latency.total.max < 100ms", "lower"), ("head.rate > 150/s", "higher")];
    let fast_enough = [
        "head.latency.total.max < 1s",
        "head.rate > 50/s",
        "head.attempts == 200",
        "head.success_rate == 100%",
    ];
    assert!(slow.iter().all(|(expr, _)| row(&r, expr).status == Fail));
    r.findings.push(espstress_diagnose::Finding {
        id: FindingId::HostLimited,
        severity: espstress_diagnose::Severity::Warning,
        statement: String::new(),
        evidence: Vec::new(),
        cause: String::new(),
        change: String::new(),
    });
    let limited = r.clone();
    for (expr, than) in slow {
        let row = row(&r, expr);
        assert_eq!(row.status, Inconclusive, "{expr}");
        assert!(row.reason.unwrap().ends_with(&format!("may be {than}")), "{expr}");
    }
    // What a datagram meets on a machine that stands still, no connection does.
    r.workloads[0].failures.0 = BTreeMap::from([(Failure::DatagramLost, 2), (Failure::ReadTimeout, 1)]);
    r.workloads[0].success_rate = Some(0.985);
    for (expr, status) in [
        ("head.failures.datagram_lost == 0", Inconclusive),
        ("head.failed == 0", Fail),
        ("head.success_rate == 1", Fail),
    ] {
        assert_eq!(row(&r, expr).status, status, "{expr}");
    }
    r.workloads[0].by_protocol.get_or_insert_default().udp = Some(Datagrams::default());
    for expr in ["head.failures.datagram_lost == 0", "head.failed < 3", "head.success_rate == 1"] {
        assert_eq!(row(&r, expr).status, Inconclusive, "{expr}");
    }
    assert_eq!(row(&r, "head.failures.read_timeout == 0").status, Fail);
    r = limited;
    // The device is faster still, and a count of attempts is what it is.
    for expr in fast_enough {
        assert_eq!(row(&r, expr).status, Pass, "{expr}");
    }
    assert_eq!(row(&r, "head.attempts == 100").status, Fail);
}
